"""Four processes on one location, whose quota they share through Redis: share of it that is used, 429s, cost of a slot.

Measure: a sandbox counts the window; four client processes each have a load without end; the redis-server is one of its
own. Told are the calls counted as a share of those that the limit allows, in whole hundreds; the 429s; the time of a
request to Redis, and requests for each call; and how soon the slots of a process that is killed are back.

    apt-get install redis-server; pip install -e '.[redis]'
    python benchmarks/bench_redis.py [--scale 5] [--windows 20] [--latency 10-200]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from machine import describe

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.shared_limits import RedisLimits

MAX_REQUESTS = 100


@contextmanager
def redis_server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                while True:
                    try:
                        socket.create_connection(("127.0.0.1", port), 0.1).close()
                        break
                    except OSError:
                        time.sleep(0.02)
                yield f"redis://127.0.0.1:{port}"
            finally:
                server.terminate()


async def work(redis: str, url: str, seconds: float, until: float, name: str) -> None:
    limits = RedisLimits(redis)
    times: list[float] = []
    ask = limits._ask

    async def timed(location_id: str, said: bytes) -> bytes:
        began = time.perf_counter()
        answer = await ask(location_id, said)
        times.append(time.perf_counter() - began)
        return answer

    limits._ask = timed  # type: ignore[method-assign]
    limit = RateLimit(MAX_REQUESTS, seconds, daily=None)
    calls = 0
    rows = ({"email": f"{name}-{number}@example.com"} for number in itertools.count())
    async with (
        LeadConnector(
            "sandbox", base_url=url, location_id="L", rate_limit=limit, limits=limits, concurrency=100
        ) as client,
        aclosing(client.contacts.stream_upserts(rows)) as outcomes,
    ):
        async for _ in outcomes:
            calls += 1
            if time.time() >= until:
                break
    print(json.dumps([calls, len(times), statistics.median(times) * 1000]), flush=True)


def begin(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--work", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def measure(redis: str, options: argparse.Namespace) -> None:
    seconds = 10.0 / options.scale
    latency = tuple(float(part) / 1000 / options.scale for part in options.latency.split("-"))
    async with Sandbox(
        max_requests=MAX_REQUESTS, per_seconds=seconds, latency=latency, window=options.window
    ) as sandbox:  # type: ignore[arg-type]
        until = time.time() + 1.0 + seconds * options.windows
        workers = [begin(redis, sandbox.url, seconds, until, f"p{n}") for n in range(4)]
        told = [json.loads((await asyncio.to_thread(worker.communicate))[0]) for worker in workers]
        counted = [arrival.time for arrival in sandbox.arrivals if arrival.status != 429]
        hundreds = (len(counted) - 1) // MAX_REQUESTS
        share = hundreds * seconds / (counted[MAX_REQUESTS * hundreds] - counted[0])
        calls, trips = sum(each[0] for each in told), sum(each[1] for each in told)
        print(
            f"{options.window:8} {share:6.1%} of the quota, {sandbox.rate_limited} x 429, {calls} calls "
            f"({', '.join(str(each[0]) for each in told)} each); {trips / calls:.2f} requests to Redis a call, "
            f"of {statistics.median(each[2] for each in told):.2f} ms"
        )
        await measure_kill(redis, sandbox, seconds)


async def measure_kill(redis: str, sandbox: Sandbox, seconds: float) -> None:
    """Kill a process with all slots in use, and see when another may send as many."""
    await asyncio.sleep(2 * seconds)
    sandbox.arrivals.clear()
    worker = begin(redis, sandbox.url, seconds, time.time() + 1000, "killed")
    while len(sandbox.arrivals) < MAX_REQUESTS // 2:  # noqa: ASYNC110  (nothing else tells)
        await asyncio.sleep(seconds / 1000)
    os.kill(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    sandbox.arrivals.clear()
    other = begin(redis, sandbox.url, seconds, time.time() + 1.0 + 3 * seconds, "other")
    await asyncio.to_thread(other.communicate)
    worker.communicate()
    back = [arrival.time for arrival in sandbox.arrivals][MAX_REQUESTS - 1] - killed
    print(f"killed with its slots in use: 100 calls of another process after {back / seconds:.2f} windows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=5.0)
    parser.add_argument("--windows", type=float, default=20.0)
    parser.add_argument("--latency", default="10-200", help="least-most, in milliseconds before scaling")
    parser.add_argument("--window", default="fixed")
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        redis, url, seconds, until, name = options.work
        asyncio.run(work(redis, url, float(seconds), float(until), name))
        return
    print(describe("redis"))
    if shutil.which("redis-server") is None:
        raise SystemExit("there is no redis-server; install it (Debian: apt-get install redis-server)")
    with redis_server() as redis:
        for window in ("fixed", "aligned", "sliding"):
            options.window = window
            asyncio.run(measure(redis, options))


main()
