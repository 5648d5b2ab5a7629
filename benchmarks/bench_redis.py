"""Four processes on one location, whose quota they share through Redis: share of it that is used, 429s, cost of a slot.

Measure: a sandbox counts the window; four client processes each have a load without end; the redis-server is one of its
own. Told are the calls counted as a share of those that the limit allows, in whole hundreds; the 429s; the time of a
request to Redis, and requests for each call; and how soon the slots of a process that is killed are back. Then, without
a service: what one slot costs where nothing else goes on, and what 300 locations at once cost Redis and this process.

    apt-get install redis-server; pip install -e '.[redis]'
    python benchmarks/bench_redis.py [--scale 5] [--windows 20] [--latency 10-200] [--locations 300]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import random
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
from leadconnector_async.limits.redis import RedisLimits
from leadconnector_async.sandbox import Sandbox

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


async def work(redis: str, url: str, seconds: float, lasting: float, name: str) -> None:
    limits = RedisLimits(redis)
    times: list[float] = []
    ask = limits._ask

    async def timed(location_id: str, said: bytes) -> bytes | str:
        began = time.perf_counter()
        answer = await ask(location_id, said)
        times.append(time.perf_counter() - began)
        return answer

    limits._ask = timed  # type: ignore[method-assign]
    limit = RateLimit(MAX_REQUESTS, seconds, daily=None)
    calls, until = 0, math.inf
    rows = ({"email": f"{name}-{number}@example.com"} for number in itertools.count())
    async with (
        LeadConnector(
            "sandbox", base_url=url, location_id="L", rate_limit=limit, limits=limits, concurrency=100
        ) as client,
        aclosing(client.contacts.stream_upserts(rows)) as outcomes,
    ):
        async for _ in outcomes:
            calls, until = calls + 1, min(until, time.monotonic() + lasting)  # from the first on
            if time.monotonic() >= until:
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
        lasting = seconds * options.windows
        workers = [begin(redis, sandbox.url, seconds, lasting, f"p{n}") for n in range(4)]
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


async def measure_slot(redis: str) -> None:
    limits = RedisLimits(redis, prefix="one")
    await limits.open()
    times = []
    for number in range(300):
        window = limits.window(f"L{number}", RateLimit())
        began = time.perf_counter()
        slot = await window.acquire()
        times.append(time.perf_counter() - began)
        window.release(slot)
    await limits.close()
    median, slow = statistics.median(times) * 1000, statistics.quantiles(times, n=100)[94] * 1000
    print(f"one slot of an idle location: {median:.2f} ms, 95 % within {slow:.2f} ms; one request")


def read_info(url: str) -> dict[str, str]:
    port = url.rpartition(":")[2]
    told = subprocess.run(["redis-cli", "-p", port, "info", "everything"], capture_output=True, text=True, check=True)
    return dict(line.split(":", 1) for line in told.stdout.splitlines() if ":" in line)


async def measure_many(redis: str, options: argparse.Namespace) -> None:
    """Let many locations use their whole quota at once; no service is called."""
    seconds, calls = 10.0, 0
    limits = RedisLimits(redis, prefix="many")
    await limits.open()
    until = time.monotonic() + seconds * options.many_windows

    async def work(number: int) -> None:
        nonlocal calls
        window = limits.window(f"L{number}", RateLimit(MAX_REQUESTS, seconds, daily=None))
        while time.monotonic() < until:
            slot = await window.acquire(bulk=True)
            await asyncio.sleep(random.uniform(0.01, 0.2))
            window.release(slot)
            calls += 1

    before, cpu, began = read_info(redis), time.process_time(), time.monotonic()
    tasks = [asyncio.create_task(work(number)) for number in range(options.locations) for _ in range(8)]
    await asyncio.sleep(until - began)
    took, cpu, after = time.monotonic() - began, time.process_time() - cpu, read_info(redis)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await limits.close()

    def grown(name: str) -> float:
        return float(after[name]) - float(before[name])

    runs = [dict(part.split("=") for part in info["cmdstat_evalsha"].split(",")) for info in (before, after)]
    asked, spent = (float(runs[1][name]) - float(runs[0][name]) for name in ("calls", "usec"))
    busy = (grown("used_cpu_user") + grown("used_cpu_sys")) / took
    print(
        f"{options.locations} locations: {calls / took:.0f} calls in 1 s; {asked / calls:.2f} requests to Redis a call,"
        f" of {spent / asked:.0f} us: {busy:.0%} of a core;"
    )
    connections = int(after["connected_clients"]) - 1
    print(f"    this process needs {cpu / calls * 1e6:.0f} us of CPU a call, and {connections} connections")


async def measure_kill(redis: str, sandbox: Sandbox, seconds: float) -> None:
    """Kill a process with all slots in use, and see when another may send as many."""
    await asyncio.sleep(2 * seconds)
    sandbox.arrivals.clear()
    worker = begin(redis, sandbox.url, seconds, 1000, "killed")
    while len(sandbox.arrivals) < MAX_REQUESTS // 2:  # noqa: ASYNC110  (nothing else tells)
        await asyncio.sleep(seconds / 1000)
    os.kill(worker.pid, signal.SIGKILL)
    killed = time.monotonic()
    sandbox.arrivals.clear()
    other = begin(redis, sandbox.url, seconds, 2 * seconds, "other")
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
    parser.add_argument("--locations", type=int, default=300)
    parser.add_argument("--many-windows", type=float, default=2.0)
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        redis, url, seconds, lasting, name = options.work
        asyncio.run(work(redis, url, float(seconds), float(lasting), name))
        return
    print(describe("redis"))
    if shutil.which("redis-server") is None:
        raise SystemExit("there is no redis-server; install it (Debian: apt-get install redis-server)")
    with redis_server() as redis:
        for window in ("fixed", "aligned", "sliding"):
            options.window = window
            asyncio.run(measure(redis, options))
        asyncio.run(measure_slot(redis))
        asyncio.run(measure_many(redis, options))


main()
