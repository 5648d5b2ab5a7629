"""How long a single call takes while a load saturates its location.

Measure: the time of single upserts that come at random moments, through the same client as a load with endless rows,
against a sandbox with latency; the first call, which the load cannot know of, is told apart. Times are scaled with the
window and told as they would be in windows of 10 s. The load's share of the quota is told, too.

    python benchmarks/bench_lanes.py [--calls 200] [--per-window 8] [--scale 5]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Iterator

from machine import describe

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.sandbox import Sandbox

MAX_REQUESTS = 100
LATENCY = (0.05, 0.5)


def rows() -> Iterator[dict[str, str]]:
    for number in itertools.count():
        yield {"email": f"person{number}@example.com"}


async def single_calls(client: LeadConnector, options: argparse.Namespace, seconds: float) -> list[float]:
    chance = random.Random(1)
    took: list[float] = []

    async def call(number: int) -> None:
        began = time.monotonic()
        await client.contacts.upsert({"email": f"single{number}@example.com"})
        took.append((time.monotonic() - began) * options.scale)

    await asyncio.sleep(2.5 * seconds)
    await call(-1)
    async with asyncio.TaskGroup() as group:
        for number in range(options.calls):
            await asyncio.sleep(chance.expovariate(options.per_window / seconds))
            group.create_task(call(number))
    return took


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--per-window", type=float, default=8.0)
    parser.add_argument("--scale", type=float, default=5.0)
    options = parser.parse_args()
    seconds = 10.0 / options.scale
    latency = (LATENCY[0] / options.scale, LATENCY[1] / options.scale)
    limit = RateLimit(MAX_REQUESTS, seconds, daily=None)
    print(describe())
    async with (
        Sandbox(max_requests=MAX_REQUESTS, per_seconds=seconds, latency=latency, seed=1) as sandbox,
        LeadConnector(
            "sandbox", base_url=sandbox.url, location_id="L", rate_limit=limit, concurrency=2 * MAX_REQUESTS
        ) as client,
    ):
        load = asyncio.ensure_future(client.contacts.bulk_upsert(rows(), concurrency=64, keep_outcomes=False))
        began = time.monotonic()
        first, *others = await single_calls(client, options, seconds)
        lasted = time.monotonic() - began
        load.cancel()
        await asyncio.wait([load])
        share = sandbox.requests / MAX_REQUESTS / (lasted / seconds)
        limited = sandbox.rate_limited
    others.sort()
    print(f"{len(others)} single calls, {options.per_window:g} in 10 s, beside a load that takes all it can get")
    print(f"the first took {first:.2f} s; of the others the median {statistics.median(others):.2f} s,", end=" ")
    print(f"99 % at most {others[int(len(others) * 0.99) - 1]:.2f} s, all {others[-1]:.2f} s")
    print(
        f"the service takes {LATENCY[0]:g} to {LATENCY[1]:g} s itself; {share:.1%} of the quota in all, {limited} x 429"
    )


asyncio.run(main())
