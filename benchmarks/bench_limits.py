"""Share of the quota used, and number of 429s, against servers that count in fixed, aligned and sliding windows.

Measure: calls that the sandbox counted, as a share of those that its limit allows in the time they took, in whole
hundreds, with an endless supply of rows. Latency and window are scaled together, so that a short run says
what a long one would; `--scale 1` runs in real time. The three servers run at once, each loaded by a client of its own.

    python benchmarks/bench_limits.py [--scale 10] [--windows 40] [--latency 50-500]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import aclosing

from machine import describe

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.sandbox import Sandbox

MAX_REQUESTS = 100
PER_SECONDS = 10.0


def rows() -> Iterator[dict[str, str]]:
    for number in itertools.count():
        yield {"email": f"person{number}@example.com"}


async def measure(window: str, scale: float, windows: float, latency: tuple[float, float]) -> str:
    seconds = PER_SECONDS / scale
    delay = (latency[0] / 1000 / scale, latency[1] / 1000 / scale)
    async with (
        Sandbox(max_requests=MAX_REQUESTS, per_seconds=seconds, window=window, latency=delay, seed=1) as sandbox,  # type: ignore[arg-type]
        LeadConnector(
            "sandbox",
            base_url=sandbox.url,
            location_id="L",
            concurrency=100,
            rate_limit=RateLimit(MAX_REQUESTS, seconds),
        ) as client,
    ):
        async with aclosing(client.contacts.stream_upserts(rows())) as outcomes:
            until = time.monotonic() + seconds * windows
            async for _ in outcomes:
                if time.monotonic() >= until:
                    break
        counted = [arrival.time for arrival in sandbox.arrivals if arrival.status != 429]
        # Whole hundreds, from the first call to the first one of the last hundred.
        hundreds = (len(counted) - 1) // MAX_REQUESTS
        share = hundreds * seconds / (counted[MAX_REQUESTS * hundreds] - counted[0])
        at_once = (counted[MAX_REQUESTS - 1] - counted[0]) * scale
        return (
            f"{window:8}  {share:6.1%} of the quota  {sandbox.rate_limited:3} x 429  "
            f"{len(counted):5} calls, the first {MAX_REQUESTS} of them within {at_once:.2f} s"
        )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=10.0)
    parser.add_argument("--windows", type=float, default=40.0)
    parser.add_argument("--latency", default="50-500", help="least-most, in milliseconds before scaling")
    options = parser.parse_args()
    least, most = map(float, options.latency.split("-"))
    print(describe())
    print(
        f"latency {least:.0f} to {most:.0f} ms, {options.windows:.0f} windows of 10 s, {options.scale:g} times as fast"
    )
    kinds = ("fixed", "aligned", "sliding")
    for line in await asyncio.gather(*(measure(k, options.scale, options.windows, (least, most)) for k in kinds)):
        print(line)


asyncio.run(main())
