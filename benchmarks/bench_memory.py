"""Peak memory of 10,000 and of 1,000,000 rows from a generator through `stream_upserts`.

Measure: the peak resident size of a fresh process for each number of rows, and the difference between the two. The
server runs in a process of its own; the rows come from 10,000 people, so that it does not grow either.

    python benchmarks/bench_memory.py [--rows 1000000] [--few 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from machine import describe, serve

from leadconnector_async import LeadConnector


def rows(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {"email": f"person{number % 10_000}@example.com", "firstName": f"Person {number}"}


async def load(url: str, count: int) -> None:
    done = 0
    began = time.monotonic()
    async with LeadConnector("sandbox", base_url=url, location_id="L", rate_limit=None) as client:
        async for outcome in client.contacts.stream_upserts(rows(count)):
            done += outcome.status in ("created", "updated")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done} {peak:.1f} {time.monotonic() - began:.1f}")


def peak_of(url: str, count: int) -> float:
    command = [sys.executable, __file__, "--url", url, "--rows", str(count)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    done, peak, seconds = output.split()
    assert int(done) == count
    print(f"{count:9,} rows: peak {float(peak):6.1f} MB, {count / float(seconds):,.0f} rows a second", flush=True)
    return float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        asyncio.run(load(options.url, options.rows))
        return
    print(describe())
    with serve() as url:
        few, many = peak_of(url, options.few), peak_of(url, options.rows)
    print(f"difference: {many - few:.1f} MB")


main()
