"""The question before the first write: only where a person can answer it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, load, people, table
from tests.waiting import PATIENCE


def at_terminal(url: str, path: Path, answer: bytes, *arguments: str) -> tuple[int, str]:
    """Load a file at a terminal, give the answer when there is a question, and return the code and what was shown."""
    ours, theirs = pty.openpty()
    environ = {
        **os.environ,
        "LEADCONNECTOR_TOKEN": "sandbox",
        "LEADCONNECTOR_LOCATION_ID": "L",
        "LEADCONNECTOR_BASE_URL": url,
    }
    command = [*COMMAND, "upsert", str(path), "--out", str(path.parent / "out"), "--no-progress", *arguments]
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not more:
            break
        shown += more
        if answer and b"[y/N]" in shown:
            if answer == b"\x03":
                process.send_signal(signal.SIGINT)
            else:
                os.write(ours, answer)
            answer = b""
    os.close(ours)
    return process.wait(timeout=PATIENCE), shown.decode().replace("\r\n", "\n")


def test_a_person_is_asked_before_the_first_write_and_yes_sends(served: Callable[..., str], tmp_path: Path) -> None:
    code, shown = at_terminal(served(), people(tmp_path / "a.csv", 3), b"y\n")
    assert "Send 3 rows to location L at 127.0.0.1" in shown
    assert (code, "3 created" in shown) == (0, True)


@pytest.mark.parametrize("answer", [b"\n", b"no\n", b"\x04", b"\x03"], ids=["nothing", "no", "end", "interrupt"])
def test_anything_but_yes_sends_nothing_and_leaves_nothing(
    served: Callable[..., str], tmp_path: Path, answer: bytes
) -> None:
    url, path = served(), people(tmp_path / "a.csv", 3)
    code, shown = at_terminal(url, path, answer)
    assert code == 130
    assert "Nothing was sent." in shown
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in shown
    assert "3 created" in load(url, path)[1]  # none of them was there


def test_yes_and_going_on_are_not_asked(served: Callable[..., str], tmp_path: Path) -> None:
    url, path = served(), people(tmp_path / "a.csv", 3)
    for more in ("--yes", "--resume"):
        code, shown = at_terminal(url, path, b"", more)
        assert (code, "[y/N]" in shown) == (0, False)


def test_a_script_is_not_asked(served: Callable[..., str], tmp_path: Path) -> None:
    code, _, err = load(served(), people(tmp_path / "a.csv", 3))
    assert (code, "[y/N]" in err) == (0, False)
    assert len(table(tmp_path / "out" / "succeeded.csv")) == 3
