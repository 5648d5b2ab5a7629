"""A worker is killed, stopped or cut off in the midst of a load: nothing lost, nothing doubled, the same report."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.cluster import Progress
from tests.cluster.conftest import LEASE_SECONDS, Server, load, pids, results, told, write_people

LOCATIONS, ROWS = 8, 120


class Killer:
    """Kills a worker once so many rows are done."""

    def __init__(self, cluster: Any, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self._after = chance.randrange(1, LOCATIONS * ROWS // 2)
        self.killed: list[int] = []

    def __call__(self, progress: Progress) -> None:
        if not self.killed and progress.rows >= self._after:
            pid = self._chance.choice(pids(self._cluster))
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)


async def drill(cluster: Any, tmp_path: Path, seed: int) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=LOCATIONS, rows=ROWS)
    faults = {"500": 0.02, "reset-before": 0.02}
    server, undisturbed = Server(seed=seed, faults=faults), Server(seed=seed, faults=faults)
    killer = Killer(cluster, random.Random(seed))
    try:
        expected = await load(undisturbed, people, tmp_path / "undisturbed", cluster)
        report = await load(server, people, tmp_path / "out", cluster, on_progress=killer)
        server.look()
        undisturbed.look()
    finally:
        server.stop()
        undisturbed.stop()
    assert killer.killed
    assert told(report) == told(expected)
    assert report.total == LOCATIONS * ROWS
    rows, others = results(tmp_path / "out"), results(tmp_path / "undisturbed")
    assert [[row[name] for name in ("location_id", "index", "status", "row", "sent")] for row in rows] == [
        [row[name] for name in ("location_id", "index", "status", "row", "sent")] for row in others
    ]
    emails = Counter((contact["locationId"], contact["email"]) for contact in server.contacts)
    assert set(emails.values()) == {1}
    assert emails == Counter((contact["locationId"], contact["email"]) for contact in undisturbed.contacts)
    # None is applied twice but what was in flight when the worker was killed.
    assert sum(server.writes.values()) <= report.created + report.updated + LOCATIONS * 16
    assert server.rate_limited == 0


async def test_a_load_whose_worker_is_killed_is_told_as_if_it_had_not_been(cluster: Any, tmp_path: Path) -> None:
    await drill(cluster, tmp_path, random.randrange(10**6))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
async def test_workers_are_killed_over_and_over(cluster: Any, tmp_path: Path, seed: int) -> None:
    await drill(cluster, tmp_path, seed)


class Sleeper:
    """Stops a worker once some rows are done, as a machine that sleeps or a network that is cut, and wakes it later."""

    def __init__(self, cluster: Any, seconds: float) -> None:
        self._cluster = cluster
        self._seconds = seconds
        self.stopped: list[int] = []

    def __call__(self, progress: Progress) -> None:
        if not self.stopped and progress.rows >= LOCATIONS * ROWS // 4:
            self.stopped.append(pids(self._cluster)[0])
            os.kill(self.stopped[0], signal.SIGSTOP)
            asyncio.get_running_loop().call_later(self._seconds, os.kill, self.stopped[0], signal.SIGCONT)


@pytest.mark.parametrize("seconds", [1.0, pytest.param(1.5 * LEASE_SECONDS, marks=pytest.mark.slow)])
async def test_a_worker_that_stood_still_sends_nothing_that_others_have_taken_over(
    cluster: Any, tmp_path: Path, server: Server, seconds: float
) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=LOCATIONS, rows=ROWS)
    sleeper = Sleeper(cluster, seconds)
    report = await load(server, people, tmp_path / "out", cluster, on_progress=sleeper)
    assert sleeper.stopped
    assert report.total == LOCATIONS * ROWS
    assert report.failed == LOCATIONS  # those that are wrong
    assert report.created + report.updated == LOCATIONS * (ROWS - 1)
    server.look()
    writes = sum(server.writes.values())
    assert server.rate_limited == 0
    await asyncio.sleep(1.0)
    server.look()
    assert sum(server.writes.values()) == writes


SCHEDULER = """
import asyncio, sys
from distributed import Nanny, Scheduler

async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        async with Nanny(scheduler.address, nthreads=1):
            print(scheduler.address, flush=True)
            await asyncio.to_thread(sys.stdin.read)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_scheduler_that_is_lost_ends_the_load_and_another_cluster_goes_on(
    cluster: Any, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadconnector_async.cluster.workers._ANSWER_SECONDS", 3)
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    people, script = tmp_path / "people.csv", tmp_path / "scheduler.py"
    write_people(people, locations=LOCATIONS, rows=ROWS)
    script.write_text(SCHEDULER)
    scheduler = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert scheduler.stdout is not None

    def kill(progress: Progress) -> None:
        if progress.rows > 20:
            scheduler.kill()

    address = scheduler.stdout.readline().strip()
    report = await load(server, people, tmp_path / "out", scheduler=address, on_progress=kill)
    scheduler.communicate()
    assert "the Dask scheduler no longer answers" in str(report.stopped)
    assert report.total == LOCATIONS * ROWS
    server.look()
    applied = sum(server.writes.values())
    assert report.created + report.updated <= applied
    report = await load(server, people, tmp_path / "out", cluster, resume=True)
    assert (report.total, report.failed, report.not_attempted) == (LOCATIONS * ROWS, LOCATIONS, 0)
    assert report.created + report.updated == LOCATIONS * (ROWS - 1)
    server.look()
    assert server.rate_limited == 0
    assert sum(server.writes.values()) <= LOCATIONS * (ROWS - 1) + LOCATIONS * 16
