"""Contacts that others create while a load is cut off from the service, or was killed, are theirs: they survive undo.

Real processes: the load, the sandbox, and a wire between them that swallows what is sent, and that can be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadconnector_async import DuplicateContactError, LeadConnector
from tests.drills.test_kills import COMMAND, Server, start, table
from tests.waiting import PATIENCE, wait_until

WIRE = """
import asyncio, signal, sys

is_swallowing = False

async def carry(source, to, is_request):
    while data := await source.read(65536):
        if not (is_request and is_swallowing):
            to.write(data)
            await to.drain()
    to.close()

async def connect(reader, writer):
    up, down = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(carry(reader, down, True), carry(up, writer, False), return_exceptions=True)

def swallow():
    global is_swallowing
    is_swallowing = True

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, swallow)
    server = await asyncio.start_server(connect, "127.0.0.1", int(sys.argv[2]))
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
ROWS = 300
EMAILS = [f"person{number}@example.com" for number in range(ROWS)]
LONGER_THAN_THE_TOLERANCE = 3.0


class Wire:
    """The only way from the load to the service."""

    def __init__(self, server: Server) -> None:
        self._behind = urlsplit(server.url).port or 0
        self._port = 0
        self.connect()
        self.url = f"http://127.0.0.1:{self._port}"

    def connect(self) -> None:
        """Carry calls, to the same address as before."""
        command = [sys.executable, "-c", WIRE, str(self._behind), str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def swallow(self) -> None:
        """Let no call arrive any more; the connections stay."""
        self._process.send_signal(signal.SIGUSR1)

    def cut(self) -> None:
        """Break all connections, and take no new ones."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(1, allow_duplicates=False, has_faults=False)
    yield server
    server.stop()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server)
    yield wire
    wire.cut()


def emails_at(server: Server) -> list[str]:
    return sorted(contact["email"] for contact in server.books()[0])


def load_until_calls_are_swallowed(server: Server, wire: Wire, folder: Path) -> tuple[subprocess.Popen[str], set[str]]:
    """Load until a third is created, and swallow the rest; return who was created by then."""
    path = folder / "people.csv"
    path.write_text("email\n" + "".join(f"{email}\n" for email in EMAILS))
    process = start(wire.url, path, folder / "out")
    wait_until(lambda: len(emails_at(server)) >= ROWS // 3, process)
    wire.swallow()
    created, before = emails_at(server), None
    while created != before:
        time.sleep(0.5)  # ten times what a call takes
        created, before = emails_at(server), created
    assert len(created) < ROWS - 64, "all workers are to have a call in flight"
    return process, set(created)


async def sign_up(url: str, emails: Iterable[str]) -> None:
    """Make contacts as a form on a web page and a person do: every other one with a name."""
    async with LeadConnector("sandbox", base_url=url, location_id="L", rate_limit=None) as client:

        async def create(number: int, email: str) -> None:
            with contextlib.suppress(DuplicateContactError):
                await client.contacts.create({"email": email, **({"first_name": "Ann"} if number % 2 else {})})

        await asyncio.gather(*(create(number, email) for number, email in enumerate(emails)))


def undo(url: str, folder: Path, *arguments: str) -> tuple[int, str]:
    environ = {**os.environ, "LEADCONNECTOR_TOKEN": "sandbox", "LEADCONNECTOR_BASE_URL": url}
    command = [*COMMAND, "undo", str(folder), "--yes", "--rate", "400/1", "--no-progress", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_contacts_that_others_create_during_an_outage_are_theirs(server: Server, wire: Wire, tmp_path: Path) -> None:
    """Calls were out when the connections broke. None had arrived, which nobody knows."""
    process, created = load_until_calls_are_swallowed(server, wire, tmp_path)
    wire.cut()
    time.sleep(LONGER_THAN_THE_TOLERANCE)
    theirs = set(EMAILS) - created
    asyncio.run(sign_up(server.url, theirs))
    wire.connect()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 1), err
    # Rows that were given up just before the service came back.
    process = start(wire.url, tmp_path / "people.csv", tmp_path / "out", "--resume", "--retry-failed")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["created"], report["updated"]) == (len(created), len(theirs))
    assert report.get("inferred", 0) == 0
    code, out = undo(wire.url, tmp_path / "out", "--include-inferred")
    assert (code, emails_at(server)) == (0, sorted(theirs)), out


def test_contacts_that_others_create_after_a_crash_are_theirs(server: Server, wire: Wire, tmp_path: Path) -> None:
    process, created = load_until_calls_are_swallowed(server, wire, tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    theirs = set(EMAILS) - created
    asyncio.run(sign_up(server.url, theirs))
    named = {contact["email"] for contact in server.books()[0] if contact.get("firstName")}
    wire.cut()
    wire.connect()
    process = start(wire.url, tmp_path / "people.csv", tmp_path / "out", "--resume")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    succeeded = table(tmp_path / "out" / "succeeded.csv")
    inferred = {row["email"] for row in succeeded if row["inferred"]}
    assert {row["email"] for row in succeeded if row["new"] == "true"} == created | inferred
    # Nothing tells these from ours: they hold what was sent, and were created when a call may have been on its way.
    assert inferred
    assert inferred <= theirs - named
    assert len(inferred) <= 64
    assert f"{len(inferred)} of those created: inferred from the date" in out

    code, out = undo(wire.url, tmp_path / "out")
    assert (code, emails_at(server)) == (1, sorted(theirs)), out
    assert f"{len(inferred)} of them may be somebody else's" in out
    assert "--resume --include-inferred" in out
    code, out = undo(wire.url, tmp_path / "out", "--resume", "--include-inferred")
    assert (code, emails_at(server)) == (0, sorted(theirs - inferred)), out
