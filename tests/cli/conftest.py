"""Commands in this process, in processes of their own, and the files they read and leave."""

from __future__ import annotations

import asyncio
import csv
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.cli.commands import app
from leadconnector_async.models import Contact
from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]
LOCATION = "L"
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
        process.communicate(timeout=PATIENCE)
    assert [process.returncode for process in started] == [0] * len(started)


def start(url: str, path: Path, *arguments: str, token: str = "sandbox") -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "LEADCONNECTOR_TOKEN": token,
        "LEADCONNECTOR_LOCATION_ID": "L",
        "LEADCONNECTOR_BASE_URL": url,
    }
    command = [*COMMAND, "upsert", str(path), "--out", str(path.parent / "out"), *arguments]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for_handlers(process)
    return process


def _wait_for_handlers(process: subprocess.Popen[str]) -> None:
    """Wait until a process handles signals, as Linux tells: until then they would just end it."""
    while process.poll() is None:
        try:
            caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.M)
        except OSError:
            return
        if caught is None or int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, out, err


@pytest.fixture
def url(served: Callable[..., str], run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """A sandbox that stays, named by the environment; its limits are not those that a test waits for."""
    url = served("--rate", "10000/1")
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", LOCATION)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    return url


def stored(url: str) -> list[Contact]:
    """All contacts of the location."""

    async def read() -> list[Contact]:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            return [await lc.contacts.get(found.id) async for found in lc.contacts.search()]

    return asyncio.run(read())


def count(url: str) -> int:
    """How many contacts the location has."""

    async def read() -> int:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            return (await lc.contacts.search_page(page_size=1)).total or 0

    return asyncio.run(read())


def delete(url: str, contact_id: str) -> None:
    async def work() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            await lc.contacts.delete(contact_id)

    asyncio.run(work())


def let_time_pass(folder: Path) -> None:
    """Have a run be an hour old, as far as it knows."""
    with sqlite3.connect(folder / "journal.sqlite3") as db:
        db.execute("UPDATE load SET value = value - 3600 WHERE name = 'ended_at'")
        db.execute("UPDATE sittings SET server_until = server_until - 3600")
    db.close()


def add_tag(url: str, contact_id: str, tag: str) -> None:
    async def work() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            await lc.contacts.add_tags(contact_id, [tag])

    asyncio.run(work())


def update(url: str, contact_id: str, **changes: object) -> None:
    async def work() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            await lc.contacts.update(contact_id, changes)

    asyncio.run(work())
