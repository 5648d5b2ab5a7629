"""Every command refuses a variable of ours that is set but empty, and sends nothing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.cli.commands import app
from leadconnector_async.environment import VARIABLES
from tests.cli.conftest import Run, people

COMMANDS = [
    *(
        "upsert people.csv",
        "upsert people.csv --sandbox",
        "upsert people.csv --dask local",
        "upsert people.csv --dry-run",
    ),
    *(
        "plan people.csv",
        "plan people.csv --offline",
        "verify run",
        "undo run --yes",
        "export all.csv",
        "map people.csv",
    ),
    *("login --paste", "logout", "whoami"),
    "ingest outbox.sqlite3 --stdin",
    "outbox status outbox.sqlite3",
    "sandbox --fault none=1",  # ends by itself, should it get that far
]


@pytest.fixture
def connections(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Settings that are all good, a run, and the connections that are made."""
    people(tmp_path / "people.csv", 2)
    assert run("upsert", "people.csv", "--sandbox", "--out", "run")[0] == 0
    for name in VARIABLES:
        monkeypatch.setenv(name, "something")
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LEADCONNECTOR_API_VERSION", "v3")
    made: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: made.append(address))
    return made


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_every_empty_variable(
    command: str, run: Run, connections: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    for name in VARIABLES:
        for empty in ("", " \t"):
            with monkeypatch.context() as setting:
                setting.setenv(name, empty)
                sentence = f"leadconnector: {name} is set but empty: unset it, or give it a value\n"
                assert run(*command.split()) == (2, "", sentence)
    assert connections == []
    assert sorted(tmp_path.rglob("*")) == before


def test_no_command_is_left_out() -> None:
    names = {command.name or str(command.callback and command.callback.__name__) for command in app.registered_commands}
    assert names == {command.split()[0] for command in COMMANDS}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["upsert", "--help"]])
def test_help_is_given_whatever_is_set(arguments: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "")
    assert run(*arguments)[0] == 0
