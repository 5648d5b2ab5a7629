"""What the journal costs: CPU and disk for each row, and how soon a load of a million rows goes on.

Measure: process CPU time (all threads) of `bulk_upsert` for each row, without a journal, with one, and without
comparing fields; each row creates a contact on a sandbox in a process of its own, limits are off, and ratios are taken
within each round. Disk: the size of the journal's file after the load, less the outcomes in it. Going on: from the
start of `bulk_upsert`, or of the process of `leadconnector upsert RUN`, until the first call reaches a server,
where all rows but the last ten are done.

    python benchmarks/bench_journal.py [--calls 4000] [--rounds 9] [--rows 1000000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from machine import describe, serve

from leadconnector_async import Journal, LeadConnector, Outcome
from leadconnector_async.bulk.intake import hash_of
from leadconnector_async.bulk.outcome import Entry
from leadconnector_async.models.identity import Identity
from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import RUN_FILE

LOCATION = "ve9EPM428h8vShlRW1KT"
LEFT = 10
TRACE_ID = "c381e88f-38c0-48fd-a712-b8bc076f3787"


def people(first: int, count: int) -> Iterator[dict[str, Any]]:
    for number in range(first, first + count):
        yield {
            "email": f"person{number}@example.com",
            "firstName": "Rosan",
            "lastName": "Deo",
            "phone": f"+1617{number % 10**7:07}",
            "city": "Dolomite",
            "tags": ["lead", "newsletter"],
        }


# ---------------------------------------------------------------------------------------------- CPU and disk


async def cpu(url: str, first: int, calls: int, **options: Any) -> float:
    rows = list(people(first, calls))
    async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as client:
        began = time.process_time()
        report = await client.contacts.bulk_upsert(rows, keep_outcomes=False, **options)
        assert report.created == calls, report
        return (time.process_time() - began) / calls * 1e6


def bytes_beyond_outcomes(path: Path) -> tuple[float, float]:
    with closing(sqlite3.connect(path)) as db:
        rows, outcomes = db.execute("SELECT count(*), sum(length(outcome)) FROM outcomes").fetchone()
    return (path.stat().st_size - outcomes) / rows, outcomes / rows


async def costs(url: str, options: argparse.Namespace, folder: Path) -> None:
    await cpu(url, 9 * 10**6, 500)  # warm up
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds):
        first = number * 3 * options.calls
        path = folder / f"{number}.sqlite3"
        rounds.append(
            {
                "no journal": await cpu(url, first, options.calls),
                "journal": await cpu(url, first + options.calls, options.calls, journal=path),
                "no comparison": await cpu(url, first + 2 * options.calls, options.calls, compare=False),
            }
        )
    print(f"CPU for each row, median of {len(rounds)} rounds (ratio to no journal within each round)")
    for what in rounds[0]:
        each = statistics.median(figures[what] for figures in rounds)
        ratio = statistics.median(figures[what] / figures["no journal"] for figures in rounds)
        print(f"  {what:15} {each:8.1f} us   {ratio:6.2f}x")
    compared = statistics.median(figures["no journal"] / figures["no comparison"] for figures in rounds)
    print(f"  comparing fields takes {100 * (compared - 1):.0f} % more than not comparing")
    beyond, outcome = bytes_beyond_outcomes(folder / "0.sqlite3")
    print(f"disk for each row: {outcome:.0f} bytes of outcome, and {beyond:.0f} beyond", flush=True)


# ---------------------------------------------------------------------------------------------- going on


def write_journal(place: Path | Database, whole: dict[str, str], hashes: Iterator[bytes]) -> None:
    """Write the journal of a load that was killed ten rows before its end, as a load does."""
    with Journal(place) as journal:
        journal.begin(whole=whole, concurrency=64, now=time.time() - 60_000)
        group = []
        for index, row_hash in enumerate(hashes):
            outcome = Outcome(
                index=index, status="created", new=True, contact_id=f"{index:020}", trace_id=TRACE_ID, attempts=1
            )
            group.append(Entry(outcome, row_hash, Identity(f"person{index}", ""), is_repeatable=True))
            if len(group) == 200:
                journal.write(group)
                group = []
        journal.write(group)


async def first_call() -> tuple[asyncio.Server, asyncio.Future[float]]:
    """Serve, and tell when the first call comes."""
    came: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not came.done():
            came.set_result(time.monotonic())
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0), came


async def resume_in_python(folder: Path, count: int) -> float:
    whole = {"location": LOCATION, "target": "127.0.0.1", "api_version": "2021-07-28"}
    hashes = (hash_of(row) for row in people(0, count - LEFT))
    write_journal(folder / "python.sqlite3", whole, hashes)
    server, came = await first_call()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as client:
        began = time.monotonic()
        load = asyncio.ensure_future(
            client.contacts.bulk_upsert(people(0, count), keep_outcomes=False, journal=folder / "python.sqlite3")
        )
        seconds = await came - began
        load.cancel()
        await asyncio.wait([load])
    server.close()
    return seconds


async def resume_on_the_command_line(folder: Path, count: int) -> float:
    path = folder / "people.csv"
    with path.open("w") as file:
        file.write("email,firstName,lastName,phone,city\n")
        file.writelines(f"person{n}@example.com,Rosan,Deo,+1617{n % 10**7:07},Dolomite\n" for n in range(count))
    server, came = await first_call()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environ = {
        **os.environ,
        "LEADCONNECTOR_TOKEN": "sandbox",
        "LEADCONNECTOR_LOCATION_ID": LOCATION,
        "LEADCONNECTOR_BASE_URL": url,
    }
    main = [sys.executable, "-c", "from leadconnector_async.cli import main; main()"]
    run, plan = folder / "run", ["plan", str(path), "--out", str(folder / "run"), "--offline"]
    planned = await asyncio.create_subprocess_exec(*main, *plan, env=environ, stdout=subprocess.DEVNULL)
    assert await planned.wait() == 0
    with Database(run / RUN_FILE) as database:
        whole = {"location": LOCATION, "target": url, "api_version": "2021-07-28", "loading": "yes"}
        database.note([*whole.items()])
        write_journal(database, {}, (b"" for _ in range(count - LEFT)))
    command = [*main, "upsert", str(run)]
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=subprocess.DEVNULL)
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait([came, ended], return_when=asyncio.FIRST_COMPLETED)
    if not came.done():
        raise SystemExit(f"the command ended with {ended.result()} before its first call")
    seconds = came.result() - began
    process.kill()
    await ended
    server.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    print(describe() + f", SQLite {sqlite3.sqlite_version}")
    with tempfile.TemporaryDirectory() as name, serve() as url:
        folder = Path(name)
        asyncio.run(costs(url, options, folder))
        for what, resume in (("bulk_upsert", resume_in_python), ("leadconnector upsert", resume_on_the_command_line)):
            seconds = asyncio.run(resume(folder, options.rows))
            print(f"going on with {options.rows:,} rows, {what}: first call after {seconds:.1f} s", flush=True)


main()
