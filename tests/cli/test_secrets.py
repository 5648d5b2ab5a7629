"""No command shows or keeps a credential, also where the server repeats it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import Run, note_target, people
from tests.echo import SHAPES, SPELLINGS, Echo, echoing, find_leaks
from tests.test_security import APP_SECRET, CODE, EVERY_SECRET, PAIR, PIT, REFRESH_TOKEN

# Those that are not tried again: a command takes its time for that.
AT_ONCE = [
    *("message", "messages", "description", "code-and-trace", "json-in-json", "duplicate", "list"),
    *("bad-token", "scope", "forbidden", "not-found"),
]
COMMANDS: dict[str, list[str]] = {
    "upsert": ["people.csv", "--out", "{}"],
    "plan": ["people.csv", "--compare", "--html", "{}.html"],
    "verify": ["{}-run"],
    "undo": ["{}-run", "--yes"],
    "export": ["{}.csv"],
    "map": ["people.csv", "--out", "{}.toml"],
    "whoami": [],
}


@pytest.fixture
def echo(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Echo]:
    """A server that repeats all, in place of the sandbox into which `run` was loaded."""
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", PIT)
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", "L")
    with run_sandbox(token=PIT) as sandbox:
        monkeypatch.setenv("LEADCONNECTOR_BASE_URL", sandbox.url)
        assert run("upsert", people(tmp_path / "people.csv", 3), "--out", "run")[0] == 0
    note_target(tmp_path / "run", "127.0.0.1")  # as earlier versions did, which tell no two ports apart
    with echoing() as server:
        monkeypatch.setenv("LEADCONNECTOR_BASE_URL", server.url)
        yield server


def leaks_in(folder: Path) -> dict[str, list[str]]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: found for name, data in files.items() if (found := find_leaks(data, *EVERY_SECRET))}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_repeats_the_token(command: str, echo: Echo, run: Run, tmp_path: Path) -> None:
    for shape in [*AT_ONCE, *(["redirect", "200-contact"] if command == "upsert" else [])]:
        for name in ("as-sent", "base64", "after-460-characters"):
            echo.say, echo.spell = SHAPES[shape], SPELLINGS[name]
            copytree(tmp_path / "run", tmp_path / f"{shape}-{name}-run")
            _, out, err = run(command, *(word.format(f"{shape}-{name}") for word in COMMANDS[command]))
            assert "Traceback" not in err
            assert (shape, name, find_leaks(out + err, PIT)) == (shape, name, [])
    assert echo.requests >= len(AT_ONCE) or command == "map"
    assert leaks_in(tmp_path) == {}


@pytest.mark.parametrize("shape", AT_ONCE)
def test_no_login_repeats_its_secrets(
    shape: str, echo: Echo, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEADCONNECTOR_TOKEN")
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_ID", "64f1-app")
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_SECRET", APP_SECRET)
    echo.say = SHAPES[shape]
    for name in ("as-sent", "base64", "after-460-characters"):
        echo.spell = SPELLINGS[name]
        for good in ([], [("/oauth/token", {**PAIR, "access_token": PIT, "refresh_token": REFRESH_TOKEN})]):
            echo.good = list(good)
            monkeypatch.setattr("sys.stdin", io.StringIO(f"{CODE}\n"))
            code, out, err = run("login", "--paste")
            assert (code, find_leaks(out + err, *EVERY_SECRET)) == (0 if good else 2, [])
        for command in (["whoami"], ["upsert", "people.csv", "--out", f"{shape}-{name}"]):
            _, out, err = run(*command)
            assert find_leaks(out + err, *EVERY_SECRET) == []
    (tmp_path / "config" / "leadconnector-async" / "logins.sqlite3").unlink()  # the only place for them
    assert leaks_in(tmp_path) == {}
