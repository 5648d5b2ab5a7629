"""Putting into an outbox: puts a flush, CPU a put, how long a put takes; draining; memory of many that wait.

A flush of the disk is measured in the same run, as the disk decides. All run in processes of their own; the outbox is
in the folder that is named, so that it is clear which disk is meant.

    python benchmarks/bench_ingest.py [--folder .] [--puts 20000] [--waiting 1000000] [--windows 10]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from machine import describe

from leadconnector_async import ContactUpsert, LeadConnector, RateLimit
from leadconnector_async.ingest import Outbox, Settled
from leadconnector_async.ingest.store import Store, new_entry, put
from leadconnector_async.sandbox import Sandbox

TASKS = 64
MAX_REQUESTS, SECONDS = 100, 2.0  # a window of the service, five times as fast


def flush_seconds(folder: Path) -> float:
    """The median of writing and flushing what a group of puts takes."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(100):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(32_768))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def contact(name: str, number: int) -> dict[str, object]:
    return {"email": f"{name}-{number}@example.com", "firstName": "Ann", "lastName": "Bee", "city": "Springfield"}


def client(url: str = "http://127.0.0.1:1", **options: Any) -> LeadConnector:
    return LeadConnector("sandbox", base_url=url, location_id="L", **options)


async def put_all(path: Path, name: str, puts: int, tasks: int) -> dict[str, float]:
    """Put from many tasks, and say how it went."""
    times: list[float] = []

    async def put_some(outbox: Outbox, task: int) -> None:
        for number in range(puts // tasks):
            began = time.perf_counter()
            await outbox.put(contact(f"{name}-{task}", number), key=f"{name}-{task}-{number}")
            times.append(time.perf_counter() - began)

    async with Outbox(client(), path, drain=False, max_waiting=10_000_000) as outbox:
        store = outbox._file
        assert store is not None
        cpu, began, commits = time.process_time(), time.perf_counter(), store.commits
        await asyncio.gather(*(put_some(outbox, task) for task in range(tasks)))
        took = time.perf_counter() - began
        return {
            "rate": len(times) / took,
            "per_flush": len(times) / (store.commits - commits),
            "cpu": (time.process_time() - cpu) / len(times) * 1e6,
            "p99": statistics.quantiles(times, n=100)[98] * 1000,
        }


def in_process(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, float]:
    out, _ = process.communicate()
    assert process.returncode == 0, out
    found: dict[str, float] = json.loads(out)
    return found


def show_puts(folder: Path, puts: int) -> None:
    flush = flush_seconds(folder) * 1000
    one = result_of(in_process("--put", folder / "one.sqlite3", "--puts", puts))
    print(f"a flush of the disk: {flush:.2f} ms")
    print(
        f"one process, {TASKS} tasks: {one['rate']:,.0f} puts a second, {one['per_flush']:.0f} a flush (at least 32), "
        f"{one['cpu']:.0f} us of CPU a put (at most 200), "
        f"99 % within {one['p99']:.1f} ms (at most {4 * flush + 10:.1f})"
    )
    options = ("--put", folder / "four.sqlite3", "--puts", puts, "--tasks", TASKS // 4)
    processes = [in_process(*options, "--name", number) for number in range(4)]
    four = [result_of(process) for process in processes]
    print(
        f"four processes, {TASKS // 4} tasks each: {sum(one['rate'] for one in four):,.0f} puts a second "
        "(8,000 on a fast disk), "
        f"99 % within {max(one['p99'] for one in four):.1f} ms (20 on a fast disk)"
    )


async def drain(path: Path, window: str, windows: float) -> str:
    async with (
        Sandbox(max_requests=MAX_REQUESTS, per_seconds=SECONDS, window=window, latency=(0.01, 0.1)) as sandbox,  # type: ignore[arg-type]
        client(sandbox.url, concurrency=100, rate_limit=RateLimit(MAX_REQUESTS, SECONDS)) as sending,
    ):
        async with Outbox(client(), path, drain=False) as outbox:
            await outbox.put_many([contact(window, number) for number in range(int(MAX_REQUESTS * windows * 2))])
        began = time.time()
        async with Outbox(sending, path) as outbox:
            await outbox.flush(SECONDS * windows)
        counted = [arrival.time for arrival in sandbox.arrivals if arrival.status != 429]
        hundreds = (len(counted) - 1) // MAX_REQUESTS
        share = hundreds * SECONDS / (counted[MAX_REQUESTS * hundreds] - counted[0])
        took = time.time() - began
        figures = f"{share:6.1%} of the quota (at least 97 %), {sandbox.rate_limited} x 429, {took:.0f} s"
        return f"draining, {window:8}: {figures}"


def fill(path: Path, count: int) -> None:
    """Let so many wait; in large transactions, as how they came is not measured here."""
    store = Store(path, "contacts", time.time)
    for first in range(0, count, 10_000):
        entries = [
            new_entry(ContactUpsert(email=f"p{number}@example.com", first_name="Ann", location_id="L"), None)
            for number in range(first, min(first + 10_000, count))
        ]
        store.submit([partial(put, entry, count, 1.0) for entry in entries]).result()
    store.close()


async def hold(url: str, path: Path) -> None:
    """Drain for a while, and say how much memory that took, and how soon the first call came."""
    began = time.perf_counter()
    first: list[float] = []

    def note(_: Settled) -> None:
        first.append(time.perf_counter() - began)

    sending = client(url, rate_limit=RateLimit(MAX_REQUESTS, SECONDS))
    async with sending, Outbox(sending, path, on_outcome=note) as outbox:
        if (await outbox.status()).waiting == 0:
            await outbox.put(contact("one", 1))
        await outbox.flush(3.0)
    print(json.dumps({"peak": peak(), "first": first[0]}))


def peak() -> float:
    """This process's own peak of memory, in MB: `ru_maxrss` counts what its parent had as it was forked, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return float(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def show_memory(folder: Path, waiting: int) -> None:
    fill(folder / "empty.sqlite3", 0)
    fill(folder / "full.sqlite3", waiting)
    async with Sandbox(max_requests=MAX_REQUESTS, per_seconds=SECONDS) as sandbox:
        empty, full = [
            await asyncio.to_thread(result_of, in_process("--hold", folder / f"{name}.sqlite3", "--url", sandbox.url))
            for name in ("empty", "full")
        ]
    print(
        f"{waiting:,} waiting: {full['peak'] - empty['peak']:.1f} MB above an empty outbox (at most 30), "
        f"the first outcome after {full['first']:.2f} s (at most 1)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--puts", type=int, default=20_000)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--windows", type=float, default=10.0)
    parser.add_argument("--put", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=int, default=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--name", default="one", help=argparse.SUPPRESS)
    parser.add_argument("--hold", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.put:
        print(json.dumps(asyncio.run(put_all(options.put, options.name, options.puts, options.tasks))))
    elif options.hold:
        asyncio.run(hold(options.url, options.hold))
    else:
        print(describe())
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            show_puts(folder, options.puts)
            for window in ("fixed", "aligned", "sliding"):
                print(asyncio.run(drain(folder / f"{window}.sqlite3", window, options.windows)), flush=True)
            asyncio.run(show_memory(folder, options.waiting))


main()
