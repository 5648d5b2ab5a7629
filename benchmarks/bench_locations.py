"""Many locations in one process: share of the sum of their quotas, 429s, CPU for each call, and memory.

Measure: a load of endless rows that take turns over the locations, against a sandbox in a process of its own with
latency. Counted are the whole hundreds of calls of each location, as a share of what its limit allows in the
time they took; the mean is told. CPU is that of this process (user and system) for each call, against a bare
aiohttp loop that posts the same bytes on as many connections, paced to the same rate. Memory: the peak of a fresh
process that loads rows of many locations, and of one that loads as many of one location.

    python benchmarks/bench_locations.py [--locations 300] [--windows 6] [--scale 1] [--many 5000]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import aiohttp
from machine import describe, serve

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.models import ContactUpsert
from leadconnector_async.protocol import build_upsert

MAX_REQUESTS = 100
_SERVER = """
import asyncio, json, sys
from leadconnector_async.sandbox import Sandbox

async def main():
    seconds, least, most = map(float, sys.argv[1:])
    async with Sandbox(max_requests=100, per_seconds=seconds, latency=(least, most), seed=1) as sandbox:
        print(sandbox.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            times = {}
            for arrival in sandbox.arrivals:
                if arrival.status != 429:
                    times.setdefault(arrival.location_id, []).append(arrival.time)
            # From its first call to the first of its last hundred, a location has made so many whole hundreds.
            shares = [
                hundreds * seconds / (each[100 * hundreds] - each[0])
                for each in times.values()
                if (hundreds := (len(each) - 1) // 100)
            ]
            calls = sum(map(len, times.values()))
            lasted = max(map(max, times.values())) - min(map(min, times.values()))
            print(json.dumps([sum(shares) / len(shares), calls, sandbox.rate_limited, lasted]), flush=True)
            sandbox.arrivals.clear()

asyncio.run(main())
"""


@contextmanager
def sandbox(seconds: float, latency: tuple[float, float]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _SERVER, *map(str, (seconds, *latency))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server
        assert server.stdin is not None
        server.stdin.close()


def told(server: subprocess.Popen[str]) -> tuple[float, int, int, float]:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    share, calls, limited, lasted = json.loads(server.stdout.readline())
    return share, calls, limited, lasted


def rows(locations: int, count: int | None = None) -> Iterator[dict[str, str]]:
    numbers = itertools.count() if count is None else range(count)
    for number in numbers:
        yield {
            "locationId": f"location{number % locations} of {locations}",
            "email": f"person{number}@example.com",
            "firstName": "R",
        }


async def ours(url: str, options: argparse.Namespace, seconds: float) -> tuple[int, float]:
    limit = RateLimit(MAX_REQUESTS, seconds, daily=None)
    done = 0
    async with LeadConnector("sandbox", base_url=url, rate_limit=limit, concurrency=options.concurrency) as client:
        began = time.process_time()
        until = time.monotonic() + seconds * options.windows
        async with aclosing(client.contacts.stream_upserts(rows(options.locations))) as outcomes:
            async for _ in outcomes:
                done += 1
                if time.monotonic() >= until:
                    break
        return done, (time.process_time() - began) / done * 1e6


async def bare(url: str, options: argparse.Namespace, calls_per_second: float, calls: int) -> float:
    contacts = [
        ContactUpsert(email=f"b{number}@example.com", first_name="R", location_id=f"bare{number % options.locations}")
        for number in range(calls)
    ]
    requests = [build_upsert(contact, "2021-07-28") for contact in contacts]
    headers = {**requests[0].headers, "Authorization": "Bearer sandbox"}
    left = iter(requests)
    began, cpu = time.monotonic(), time.process_time()
    sent = 0
    connector = aiohttp.TCPConnector(limit=options.concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            nonlocal sent
            for request in left:
                sent += 1
                ahead = sent / calls_per_second - (time.monotonic() - began)
                if ahead > 0:
                    await asyncio.sleep(ahead)
                async with session.post(f"{url}/contacts/upsert", data=request.body, headers=headers) as response:
                    await response.read()

        await asyncio.gather(*(work() for _ in range(options.concurrency)))
    return (time.process_time() - cpu) / calls * 1e6


def measure_rate(options: argparse.Namespace) -> None:
    seconds = 10.0 / options.scale
    latency = (0.05 / options.scale, 0.5 / options.scale)
    with sandbox(seconds, latency) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        done, cpu = asyncio.run(ours(url, options, seconds))
        share, calls, limited, lasted = told(server)
        rate = calls / lasted
        print(
            f"{options.locations} locations, windows of {seconds:g} s: {calls:,} calls ({rate:,.0f} a second), "
            f"{share:.1%} of the quota, {limited} x 429"
        )
        plain = asyncio.run(bare(url, options, rate, min(done, 30_000)))
        print(
            f"CPU for each call: {cpu:.1f} us, a bare loop at the same rate {plain:.1f} us: {cpu / plain:.2f}x",
            flush=True,
        )


async def load(url: str, locations: int, count: int) -> None:
    limit = RateLimit(MAX_REQUESTS, 10.0, daily=None)
    async with LeadConnector("sandbox", base_url=url, rate_limit=limit if locations > 1 else None) as client:
        report = await client.contacts.bulk_upsert(rows(locations, count), keep_outcomes=False)
    assert report.created == count, report
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure_memory(options: argparse.Namespace) -> None:
    peaks: list[float] = []
    count = options.many * 4
    with serve() as url:
        for locations in (1, options.many):
            command = [sys.executable, __file__, "--load", url, str(locations), str(count)]
            output: Any = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks.append(float(output))
    print(f"{count:,} rows: peak {peaks[0]:.1f} MB of one location, {peaks[1]:.1f} MB of {options.many:,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locations", type=int, default=300)
    parser.add_argument("--windows", type=float, default=6.0)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--concurrency", type=int, default=1500)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--load", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        url, locations, count = options.load
        asyncio.run(load(url, int(locations), int(count)))
        return
    print(describe())
    measure_memory(options)  # first: a child's peak begins with what its parent has
    measure_rate(options)


main()
