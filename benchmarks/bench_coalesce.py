"""Calls that updates of a few people cost where they are coalesced, against the people and against the updates.

Measure: 10,000 updates of 500 people in random order, put as fast as the load reads them, at 100 calls in 10 s. The
sandbox counts the calls; at the end each contact must hold the last value of its person. What is sent before all is
read cannot hold what comes later: one window's quota, where reading is quicker than a window. Latency and window are
scaled together; `--scale 1` runs in real time.

    python benchmarks/bench_coalesce.py [--scale 10] [--updates 10000] [--people 500] [--latency 50-500]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time

from machine import describe

from leadconnector_async import BatchReport, LeadConnector, RateLimit
from leadconnector_async.sandbox import Sandbox

MAX_REQUESTS = 100
PER_SECONDS = 10.0


def updates(count: int, people: int) -> list[dict[str, str]]:
    chance = random.Random(1)
    return [
        {"email": f"person{chance.randrange(people)}@example.com", "company_name": f"Company {number}"}
        for number in range(count)
    ]


async def measure(
    rows: list[dict[str, str]], scale: float, latency: tuple[float, float]
) -> tuple[BatchReport, int, int, float]:
    """Load the rows; return the report, the calls that were counted, those answered 429, and how long it took."""
    seconds = PER_SECONDS / scale
    delay = (latency[0] / 1000 / scale, latency[1] / 1000 / scale)
    limit = RateLimit(MAX_REQUESTS, seconds)
    async with (
        Sandbox(max_requests=MAX_REQUESTS, per_seconds=seconds, latency=delay, seed=1) as sandbox,
        LeadConnector(
            "sandbox", base_url=sandbox.url, location_id="L", concurrency=MAX_REQUESTS, rate_limit=limit
        ) as client,
    ):
        began = time.monotonic()
        report = await client.contacts.bulk_upsert(rows, coalesce=True, keep_outcomes=False)
        took = (time.monotonic() - began) * scale
        last = {row["email"]: row["company_name"] for row in rows}
        assert last == {contact["email"]: contact["companyName"] for contact in sandbox.contacts()}
        return report, sandbox.requests, sandbox.rate_limited, took


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=10.0)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--latency", default="50-500", help="least-most, in milliseconds before scaling")
    options = parser.parse_args()
    least, most = map(float, options.latency.split("-"))
    print(describe())
    rows = updates(options.updates, options.people)
    people = len({row["email"] for row in rows})
    report, calls, limited, took = await measure(rows, options.scale, (least, most))
    assert report.is_complete
    assert report.total == len(rows)
    bound = (people + MAX_REQUESTS) * 1.1
    print(f"{len(rows)} updates of {people} people: {calls} calls, {calls / people:.2f} a person, {limited} x 429")
    print(f"at most the people, one window's quota and a tenth: {bound:.0f}; the last value of each is stored")
    print(
        f"{report.merged} rows merged; {took:.0f} s, one by one at least {len(rows) / MAX_REQUESTS * PER_SECONDS:.0f} s"
    )
    assert calls <= bound


asyncio.run(main())
