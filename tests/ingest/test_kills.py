"""kill -9 of processes that put and drain: each acknowledged contact has one outcome, none is lost, order holds."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.ingest import Outbox, Settled
from tests.conftest import LOCATION
from tests.waiting import PATIENCE, patiently, wait_until

LIMIT = RateLimit(400, 1.0)
IN_FLIGHT = 64  # of one process, at most
SERVER = """
import asyncio, json, sys
from leadconnector_async.sandbox import Sandbox

async def main():
    async with Sandbox(seed=int(sys.argv[1]), latency=(0.005, 0.05), max_requests=400, per_seconds=1.0,
                       window="sliding") as sandbox:
        print(sandbox.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps([sandbox.contacts(), sum(sandbox.writes.values()), sandbox.rate_limited]), flush=True)

asyncio.run(main())
"""
# Puts until it is killed, and says of each contact that it was acknowledged; drains where no other process does.
WORKER = f"""
import asyncio, sys
from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.ingest import Outbox

async def main():
    url, path, name, log = sys.argv[1:]

    def keep(settled):
        with open(log, "a") as file:
            file.write(f"{{settled.number}} {{settled.id}} {{settled.outcome.status}}\\n")

    client = LeadConnector("sandbox", base_url=url, location_id="{LOCATION}", rate_limit=RateLimit(400, 1.0))
    async with client, Outbox(client, path, max_waiting=300, on_outcome=keep) as outbox:

        async def put(worker):
            for number in range(1_000_000):
                email = f"{{name}}-{{worker}}-{{number % 5}}@example.com"
                contact = {{"email": email, "firstName": str(number)}}
                receipt = await outbox.put(contact, key=f"{{name}}-{{worker}}-{{number}}")
                print(receipt.id, email, number, flush=True)

        await asyncio.gather(*map(put, range(4)))

asyncio.run(main())
"""


class Worker:
    """A process that puts; what it says goes to a file, as nobody reads a pipe while the other process is watched."""

    def __init__(self, url: str, path: Path, number: int) -> None:
        command = [sys.executable, "-W", "error", "-c", WORKER]
        arguments = [url, str(path), f"w{number}", str(path.with_name("outcomes"))]
        self._said = path.with_name(f"said-{number}")
        with self._said.open("wb") as said:
            self._process = subprocess.Popen([*command, *arguments], stdout=said)

    def lines(self) -> list[str]:
        """What it has acknowledged so far."""
        return [line for line in self._said.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, count: int) -> None:
        """Wait until so many were acknowledged."""
        wait_until(lambda: len(self.lines()) >= count, self._process)

    def kill(self) -> list[str]:
        """Kill it, and return what it said."""
        self._process.kill()
        self._process.wait(PATIENCE)
        return self.lines()


@contextmanager
def serving(seed: int) -> Iterator[tuple[str, Any]]:
    command = [sys.executable, "-c", SERVER, str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin, stdout = server.stdin, server.stdout
        url = stdout.readline().strip()

        def ask() -> Any:
            stdin.write("\n")
            stdin.flush()
            return json.loads(stdout.readline())

        try:
            yield url, ask
        finally:
            stdin.close()


def put_and_kill(url: str, path: Path, kills: int, chance: random.Random) -> list[str]:
    """Keep two processes at work, and kill one of them again and again; return all that was acknowledged."""
    workers, lines = [Worker(url, path, number) for number in range(2)], list[str]()
    for number in range(2, kills):
        workers[0].wait_for(chance.randint(1, 150))
        workers[1].wait_for(1)
        victim = chance.randrange(2)
        lines += workers[victim].kill()
        workers[victim] = Worker(url, path, number)
    for worker in workers:
        worker.wait_for(1)
        lines += worker.kill()
    return lines


@pytest.mark.parametrize(("seed", "kills"), [(1, 5), pytest.param(2, 20, marks=pytest.mark.slow)])
async def test_kills_lose_nothing_and_double_only_what_was_in_flight(tmp_path: Path, seed: int, kills: int) -> None:
    path, log = tmp_path / "outbox.sqlite3", tmp_path / "outcomes"
    got: dict[int, tuple[int, str]] = {}

    def keep(settled: Settled) -> None:
        got[settled.number] = settled.id, settled.outcome.status

    with serving(seed) as (url, ask):
        lines = put_and_kill(url, path, kills, random.Random(seed))
        client = LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=LIMIT)
        async with patiently(), client, Outbox(client, path, on_outcome=keep) as outbox:
            assert await outbox.flush()
            assert [letter.id async for letter in outbox.dead_letters()] == []
        contacts, writes, rate_limited = ask()
    for line in log.read_text().splitlines():
        number, id_, status = line.split()
        assert got.setdefault(int(number), (int(id_), status)) == (int(id_), status)
    ids = [id_ for id_, _ in got.values()]
    assert len(ids) == len(set(ids)), "an entry has two outcomes"
    assert {status for _, status in got.values()} <= {"created", "updated"}
    acknowledged = {int(id_): (email, int(number)) for id_, email, number in map(str.split, lines)}
    assert acknowledged.keys() <= set(ids)
    assert len(acknowledged) > kills
    assert len(ids) <= writes <= len(ids) + kills * IN_FLIGHT
    assert rate_limited == 0
    last: dict[str, int] = defaultdict(int)
    for email, number in acknowledged.values():
        last[email] = max(last[email], number)
    stored = {contact["email"]: int(contact["firstName"]) for contact in contacts}
    # What was stored last of a person may have been on disk before its process could say so.
    assert [email for email, number in last.items() if stored.get(email, -1) not in (number, number + 5)] == []
