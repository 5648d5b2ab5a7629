"""Commands in this process, in processes of their own, and the files they read and leave."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from leadconnector_async.cli.commands import app

COMMAND = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]
Run: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in this process, and return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # where no login is
    for name in ("TOKEN", "LOCATION_ID", "BASE_URL", "API_VERSION", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"LEADCONNECTOR_{name}", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def people(path: Path, count: int) -> Path:
    lines = [f"person{number}@example.com,P{number}" for number in range(count)]
    path.write_text("\n".join(["email,firstName", *lines, ""]))
    return path


@pytest.fixture
def served() -> Iterator[Callable[..., str]]:
    """Start `leadconnector sandbox` in processes of their own, and return their URLs."""
    started: list[subprocess.Popen[str]] = []

    def serve(*arguments: str) -> str:
        process = subprocess.Popen([*COMMAND, "sandbox", "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield serve
    for process in started:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert [process.returncode for process in started] == [0] * len(started)


def start(url: str, path: Path, *arguments: str, token: str = "sandbox") -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "LEADCONNECTOR_TOKEN": token,
        "LEADCONNECTOR_LOCATION_ID": "L",
        "LEADCONNECTOR_BASE_URL": url,
    }
    command = [*COMMAND, "upsert", str(path), "--out", str(path.parent / "out"), *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    return process.returncode, out, err
