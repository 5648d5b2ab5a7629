"""Loads on a Dask cluster: locations a second with 1 and 2 workers, workers that are killed, and 10,000 locations.

Measures:
- Throughput: locations a second from the first order to the last answer, on a server in a process of its own that
  answers at once, and with the folder of the run in memory. Each worker has so many locations at a time, each at the
  limit of its window: so what bounds a worker is the quota of its locations, as in life, until the cores of this
  machine do; the CPU that all workers used is told with it. And the same without limits, where on a machine of few
  cores nothing but these bounds it.
- Kills: a worker is killed (SIGKILL) at a random moment of each load. Lost are rows without an outcome, and rows whose
  contact is not there; the report must be that of an undisturbed load.
- 10,000 locations of 2,000 rows: how long a location takes is measured row by row on a virtual clock, with latencies of
  50 to 500 ms; the dispatcher then hands all locations to 20 simulated workers on a virtual clock. Ideal is what the
  limit of 100 calls in 10 s allows and not a second more. Memory is the peak of a real scheduler in a process of its
  own, from which real workers, which only pretend to load, take the same number of locations.

    python benchmarks/bench_cluster.py [--locations 64] [--rows 100] [--kills 20] [--many 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["DASK_DISTRIBUTED__LOGGING__DISTRIBUTED"] = "critical"  # workers are killed on purpose

import distributed
from machine import describe, serve

from leadconnector_async import BatchReport, LeadConnector, RateLimit
from leadconnector_async.cluster import ClientOptions, Parts, Progress, upsert_partitions
from leadconnector_async.cluster.dispatch import Dispatcher, Ending, LoadSetup, Orders, Share, WorkerReport
from leadconnector_async.cluster.lead import Lead
from leadconnector_async.cluster.lease import Lease
from leadconnector_async.cluster.workers import Cluster
from leadconnector_async.sandbox import Sandbox
from tests.fake_clock import FakeClock

_SERVER = """
import asyncio, json, sys
from leadconnector_async.sandbox import Sandbox

async def main():
    async with Sandbox(seed=int(sys.argv[1]), latency=(0.005, 0.03), max_requests=40, per_seconds=0.5,
                       faults={"500": 0.02, "reset-before": 0.02}) as sandbox:
        print(sandbox.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            contacts = [[contact["locationId"], contact["email"]] for contact in sandbox.contacts()]
            print(json.dumps([contacts, sum(sandbox.writes.values()), sandbox.rate_limited]), flush=True)

asyncio.run(main())
"""
_SCHEDULER = """
import asyncio, sys
from distributed import Scheduler

async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        print(scheduler.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
# A worker that is killed takes answers with it: what they said is inferred by the next one.
_VARYING = (
    *("requests", "retries", "rate_limited", "started_at", "finished_at", "duration_seconds", "sessions"),
    "inferred",
)
WORKERS, AT_ONCE, BEAT = 20, 50, 0.5  # of the simulation


def write_rows(path: Path, locations: int, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["locationId", "email", "firstName"])
        for number in range(locations * rows):
            writer.writerow([f"L{number % locations}", f"person{number}@example.com", "Rosan"])


# ---------------------------------------------------------------------------------------------- throughput


async def locations_a_second(
    url: str, path: Path, out: Path, options: argparse.Namespace, workers: int, limit: RateLimit | None
) -> tuple[float, float]:
    """Return locations a second, and the share of one core that the workers used."""
    began, cpu = [0.0], [0.0]

    async def note_begin(parts: Parts) -> None:
        cpu[0] = sum(cpu_of(pid) for pid in children())
        began[0] = time.time()

    def note(progress: Progress) -> None:
        cpu.append(sum(cpu_of(pid) for pid in children()))

    client_options = ClientOptions(base_url=url, token_source="sandbox", rate_limit=limit, concurrency=32)
    report = await upsert_partitions(
        client_options,
        path,
        out=str(out),
        workers=workers,
        locations_at_once=options.at_once,
        on_parts=note_begin,
        on_progress=note,
    )
    assert report.created == options.locations * options.rows, report
    assert report.finished_at is not None
    seconds = report.finished_at.timestamp() - began[0]
    return options.locations / seconds, (cpu[-1] - cpu[0]) / seconds


def children() -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process().children(recursive=True) if "spawn" in " ".join(child.cmdline())]


def cpu_of(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def measure_throughput(options: argparse.Namespace, folder: Path) -> None:
    path = folder / "rows.csv"
    write_rows(path, options.locations, options.rows)
    limits = {"each at 25 calls in 3 s": RateLimit(25, 3.0, daily=None), "without limits": None}
    for name, limit in limits.items():
        rates = {}
        for workers in (1, 2):
            with serve(is_echo=limit is None) as url:
                out = folder / f"{workers} {name}"
                rates[workers], cpu = asyncio.run(locations_a_second(url, path, out, options, workers, limit))
            print(
                f"{workers} worker(s), {options.at_once} locations at once on each, {name}: {rates[workers]:.2f} "
                f"locations of {options.rows} rows a second, {cpu:.2f} cores",
                flush=True,
            )
        print(f"2 workers against 1, {name}: {rates[2] / rates[1]:.2f}x", flush=True)


# ---------------------------------------------------------------------------------------------- kills


@contextmanager
def sandbox(seed: int) -> Iterator[tuple[str, Any]]:
    command = [sys.executable, "-c", _SERVER, str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()

        def look() -> Any:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write("\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield url, look
        server.stdin.close()


class Killer:
    """Kills a worker once so many rows are done."""

    def __init__(self, cluster: Any, chance: random.Random, rows: int) -> None:
        self._cluster = cluster
        self._chance = chance
        self._after = chance.randrange(1, rows // 2)
        self.has_killed = False

    def __call__(self, progress: Progress) -> None:
        nannies = self._cluster.workers.values()
        # One that is killed as it starts is never started again by Dask.
        pids = [nanny.pid for nanny in nannies if nanny.pid is not None and nanny.status.name == "running"]
        if not self.has_killed and progress.rows >= self._after and pids:
            os.kill(self._chance.choice(pids), signal.SIGKILL)
            self.has_killed = True


def told(report: BatchReport) -> dict[str, Any]:
    return {name: value for name, value in report.to_dict().items() if name not in _VARYING}


async def load_once(cluster: Any, url: str, path: Path, out: Path, killer: Killer | None) -> BatchReport:
    options = ClientOptions(base_url=url, token_source="sandbox", rate_limit=RateLimit(40, 0.5), concurrency=16)
    return await upsert_partitions(
        options, path, out=str(out), scheduler=cluster.scheduler_address, lease_seconds=2.0, on_progress=killer
    )


def measure_kills(options: argparse.Namespace, folder: Path) -> None:
    locations, rows = 8, 120
    path = folder / "people.csv"
    write_rows(path, locations, rows)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        with sandbox(0) as (url, _):
            undisturbed = told(asyncio.run(load_once(cluster, url, path, folder / "undisturbed", None)))
        killed = lost = doubled = differing = limited = 0
        for seed in range(options.kills):
            killer = Killer(cluster, random.Random(seed), locations * rows)
            with sandbox(seed) as (url, look):
                report = asyncio.run(load_once(cluster, url, path, folder / f"killed {seed}", killer))
                contacts, _, refused = look()
            people = {tuple(contact) for contact in contacts}
            killed += killer.has_killed
            lost += (locations * rows - report.total) + (locations * rows - len(people))
            doubled += len(contacts) - len(people)
            differing += told(report) != undisturbed
            limited += refused
    print(
        f"{options.kills} loads of {locations * rows} rows, {killed} workers killed: {lost} rows lost, "
        f"{doubled} contacts doubled, {differing} reports other than an undisturbed one, {limited} x 429",
        flush=True,
    )


# ---------------------------------------------------------------------------------------------- 10,000 locations


async def seconds_of_a_location(rows: int, seed: int) -> float:
    """Load one location row by row on a clock that jumps over all waits."""
    clock = FakeClock()
    times: dict[str, Any] = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    async with (
        clock.jumping(),
        Sandbox(seed=seed, latency=(0.05, 0.5), **times) as server,
        LeadConnector("sandbox", base_url=server.url, location_id="L", clock=clock) as client,
    ):
        began = clock.now
        report = await client.contacts.bulk_upsert(
            ({"email": f"person{number}@example.com"} for number in range(rows)), keep_outcomes=False
        )
        assert (report.created, server.rate_limited) == (rows, 0)
        return clock.now - began


class Pretender:
    """A worker that only lets time pass.

    Args:
        plan: What it is told.
        seconds: How long each location takes.
        clock: Tells the time.
    """

    def __init__(self, at_once: int, lease_seconds: float, seconds: Any, clock: Any) -> None:
        self._at_once = at_once
        self._seconds = seconds
        self._clock = clock
        self._lease = Lease(lease_seconds, clock)
        self._known: set[int] = set()
        self._waiting: list[Any] = []
        self._loading: dict[int, tuple[float, Any]] = {}
        self._endings: dict[int, Ending] = {}
        self.is_over = threading.Event()

    def hear(self, orders: Orders) -> WorkerReport:
        for epoch in orders.noted:
            self._endings.pop(epoch, None)
        if orders.heard is not None:
            self._lease.renew(orders.heard)
        new = [one for one in orders.assigned if one.epoch not in self._known]
        self._known.update(one.epoch for one in new)
        self._waiting += new
        self._pass_time()
        if orders.is_over:
            self.is_over.set()
        tally = BatchReport().tally()
        return WorkerReport(stamp=self._lease.stamp(), endings=list(self._endings.values()), under_way=tally)

    def _pass_time(self) -> None:
        """End what has had its time; what waited began when a place was free, not when this was asked."""
        now = self._clock()
        free = [now] * (self._at_once - len(self._loading))
        for epoch, (until, one) in sorted(self._loading.items(), key=lambda item: item[1][0]):
            if until <= now:
                del self._loading[epoch]
                free.insert(0, until)
                counts = BatchReport()
                counts.add_plain("created", one.rows)
                self._endings[epoch] = Ending(location_id=one.location_id, epoch=epoch, tally=counts.tally())
        for began in sorted(free)[: len(self._waiting)]:
            one = self._waiting.pop(0)
            self._loading[one.epoch] = began + self._seconds(), one


def shares(count: int) -> list[Share]:
    return [Share(f"location{number:05}", 2000, [0, 1, 2, 3], is_again=False) for number in range(count)]


def simulate(count: int, samples: list[float]) -> float:
    """Return the virtual seconds that simulated workers take for all locations."""
    chance, now = random.Random(1), [0.0]
    dispatcher = Dispatcher(shares(count), at_once=AT_ONCE, ahead=AT_ONCE // 2 + 1, lease_seconds=15.0)
    crew = {
        f"worker{number}": Pretender(AT_ONCE, 15.0, lambda: chance.choice(samples), lambda: now[0])
        for number in range(WORKERS)
    }
    for worker in crew:
        dispatcher.admit(worker)
    while not dispatcher.is_over:
        now[0] += BEAT
        for worker, pretender in crew.items():
            orders = dispatcher.orders_for(worker, now[0])
            dispatcher.hear(worker, orders, pretender.hear(orders), now[0])
    return now[0]


def pretend_to_serve(name: str, plan: bytes) -> None:
    """The task of a worker that loads each location in a tenth of a second."""
    import msgspec

    from leadconnector_async.cluster import load as loader

    decoded = msgspec.msgpack.decode(plan, type=LoadSetup)
    pretender = Pretender(decoded.locations_at_once, decoded.lease_seconds, lambda: 0.1, time.monotonic)
    loader._loaders[name] = pretender  # type: ignore[assignment]
    pretender.is_over.wait()
    del loader._loaders[name]


class AlwaysLeading:
    ended: Exception | None = None
    is_held = True


async def load_through_a_scheduler(address: str, count: int) -> int:
    plan = LoadSetup(
        store_url="memory://",
        split_id="1",
        options=ClientOptions(token_source="sandbox"),
        locations_at_once=AT_ONCE,
        lease_seconds=15.0,
        compare=True,
        wait_for_quota=False,
    )
    done = 0

    def note(ending: Ending) -> None:
        nonlocal done
        done += 1

    async with (
        distributed.Nanny(address, nthreads=1),
        distributed.Nanny(address, nthreads=1),
        distributed.Client(address, asynchronous=True) as client,
    ):
        dispatcher = Dispatcher(shares(count), at_once=AT_ONCE, ahead=AT_ONCE // 2 + 1, lease_seconds=15.0)
        await Lead(Cluster(client), dispatcher, plan, AlwaysLeading(), note, serve=pretend_to_serve).run("simulation")
    return done


def measure_many(options: argparse.Namespace) -> None:
    samples = [asyncio.run(seconds_of_a_location(2000, seed)) for seed in range(options.samples)]
    ideal_of_one = (2000 / 100 - 1) * 10.0
    print(f"a location of 2,000 rows, row by row: {min(samples):.1f} to {max(samples):.1f} s, ideal {ideal_of_one:g} s")
    rounds = options.many / (WORKERS * AT_ONCE)
    took = simulate(options.many, samples)
    print(
        f"{options.many:,} locations on {WORKERS} workers, {AT_ONCE} at once on each: {took:,.0f} s, ideal "
        f"{rounds * ideal_of_one:,.0f} s, {took / (rounds * ideal_of_one) - 1:.1%} over it",
        flush=True,
    )
    command = [sys.executable, "-c", _SCHEDULER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as scheduler:
        assert scheduler.stdin is not None
        assert scheduler.stdout is not None
        done = asyncio.run(load_through_a_scheduler(scheduler.stdout.readline().strip(), options.many))
        status = Path(f"/proc/{scheduler.pid}/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        scheduler.stdin.close()
    assert done == options.many
    print(f"{done:,} locations through a real scheduler: its memory was {peak:.0f} MB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locations", type=int, default=64)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--measure", nargs="+", default=["throughput", "kills", "many"])
    options = parser.parse_args()
    print(describe("distributed", "pyarrow"))
    memory = Path("/dev/shm")  # in memory, so that one disk does not bound what stands for many machines
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        if "throughput" in options.measure:
            measure_throughput(options, Path(folder))
        if "kills" in options.measure:
            measure_kills(options, Path(folder))
    if "many" in options.measure:
        measure_many(options)


if __name__ == "__main__":  # the workers are started from this file, too
    main()
