"""Commands in this process, in processes of their own, and the files they read and leave."""

from __future__ import annotations

import asyncio
import contextvars
import csv
import io
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, closing, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest
import typer

from leadconnector_async import LeadConnector
from leadconnector_async.cli.commands import app
from leadconnector_async.models import Contact
from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import RUN_FILE
from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.schemas import check_document, name_of_document
from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]
_LEADCONNECTOR = typer.main.get_command(app)  # made once: that takes longer than most commands
LOCATION = "L"
Run: TypeAlias = Callable[..., tuple[int, str, str]]


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Put back what a command, or its test, changes of this process, and see that no handler of a signal is left."""
    environ, root = dict(os.environ), logging.getLogger()
    level, loggers = root.level, list(root.handlers)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with chdir(Path.cwd()), warnings.catch_warnings():
            yield
        assert {number: signal.getsignal(number) for number in signals} == signals
    finally:
        root.setLevel(level)
        root.handlers[:] = loggers
        os.environ.clear()
        os.environ.update(environ)


@contextmanager
def _standard_input(data: bytes) -> Iterator[None]:
    """Have bytes come from the descriptor 0, as they do from a file or a pipe."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        before = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(before, 0)
            os.close(before)


@contextmanager
def _answering(line: Callable[[], str]) -> Iterator[None]:
    """Have `sys.stdin.readline` return a line that is only known once it is asked for."""
    before, sys.stdin = sys.stdin, io.StringIO()
    sys.stdin.readline = lambda *_: f"{line()}\n"  # type: ignore[method-assign]
    try:
        yield
    finally:
        sys.stdin = before


def invoke(
    *arguments: object,
    stdin: bytes | None = None,
    answer: Callable[[str], str] | None = None,
    cwd: Path | None = None,
    **environ: str,
) -> tuple[int, str, str]:
    """Run a command in this process as in one of its own.

    Args:
        arguments: The command and its options.
        stdin: What it can read from the descriptor 0.
        answer: Gives the line that it reads, from what it printed on stderr before.
        cwd: Its folder.
        environ: Variables beside those that are set.

    Returns:
        The exit code, and what was printed on stdout and on stderr.
    """
    out, err = io.StringIO(), io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(_process_as_it_was())
        os.environ.update(environ)
        if cwd is not None:
            stack.enter_context(chdir(cwd))
        if stdin is not None:
            stack.enter_context(_standard_input(stdin))
        if answer is not None:
            stack.enter_context(_answering(lambda: answer(err.getvalue())))
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        words = [str(argument) for argument in arguments]
        with pytest.raises(SystemExit) as ended:
            contextvars.copy_context().run(_LEADCONNECTOR, words, prog_name="leadconnector")
    if "--json" in words and out.getvalue():
        check_document(name_of_document(words), out.getvalue())
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run commands in this process, in a folder where no file and no login is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))  # where no login is
    for name in ("TOKEN", "LOCATION_ID", "BASE_URL", "API_VERSION", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"LEADCONNECTOR_{name}", raising=False)
    return invoke


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def people(path: Path, count: int) -> Path:
    lines = [f"person{number}@example.com,P{number}" for number in range(count)]
    path.write_text("\n".join(["email,firstName", *lines, ""]))
    return path


@pytest.fixture
def open_sandbox() -> Iterator[Callable[..., RunningSandbox]]:
    """Start sandboxes in threads of this process."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(run_sandbox(**options))


@pytest.fixture
def served(open_sandbox: Callable[..., RunningSandbox]) -> Callable[..., str]:
    """Start sandboxes in threads of this process, and return their URLs."""
    return lambda **options: open_sandbox(**options).url


def port_of(url: str) -> int:
    """Return the port of a sandbox, for one that is to take its place: a run is known by its address."""
    port = urlsplit(url).port
    assert port is not None
    return port


def note_target(folder: Path, target: str) -> None:
    """Have a run say that it was loaded into a service."""
    with Database(folder / RUN_FILE) as file:
        file.note([("target", target)])


def _environ(url: str, token: str) -> dict[str, str]:
    return {"LEADCONNECTOR_TOKEN": token, "LEADCONNECTOR_LOCATION_ID": "L", "LEADCONNECTOR_BASE_URL": url}


def _upsert(path: Path, *arguments: str) -> list[str]:
    return ["upsert", str(path), "--out", str(path.parent / "out"), *arguments]


def load(url: str, path: Path, *arguments: str, token: str = "sandbox") -> tuple[int, str, str]:
    """Load a file in this process, and return the exit code and what was printed."""
    return invoke(*_upsert(path, *arguments), **_environ(url, token))


def start(url: str, path: Path, *arguments: str, token: str = "sandbox") -> subprocess.Popen[str]:
    """Begin to load a file in a process of its own, which can be sent signals."""
    process = subprocess.Popen(
        [*COMMAND, *_upsert(path, *arguments)], env={**os.environ, **_environ(url, token)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
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
    url = served(max_requests=10_000, per_seconds=1)
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
    with change_run(folder) as db:
        db.execute("UPDATE about SET value = value - 3600 WHERE name = 'ended_at'")
        db.execute("UPDATE sessions SET server_until = server_until - 3600")


@contextmanager
def change_run(folder: Path) -> Iterator[sqlite3.Connection]:
    """Change what a run has kept, as the product itself does it."""
    with Database(folder / "run.sqlite3") as file, file.transaction() as db:
        yield db


def calls_of_rows(folder: Path) -> int:
    """How many calls the rows of a run and the steps after them took: all but those before the first row."""
    with closing(sqlite3.connect(folder / "run.sqlite3")) as db:
        (before,) = db.execute("SELECT total(requests) FROM other_calls").fetchone()
    return int(json.loads((folder / "report.json").read_text())["requests"] - before)


def lose_table(folder: Path, name: str) -> None:
    """Have a run lose a table, as no write of the product can."""
    with closing(sqlite3.connect(folder / "run.sqlite3", isolation_level=None)) as db:
        db.execute(f"DROP TABLE {name}")


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
