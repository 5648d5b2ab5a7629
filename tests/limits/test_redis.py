"""Limits shared through a real redis-server: one quota for all holders, none lost, and never a flood."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.cluster import RedisCluster

from leadconnector_async import (
    ConfigurationError,
    DailyQuotaExceededError,
    LeadConnector,
    RateLimit,
    RedisLimits,
    SharedLimitsError,
)
from leadconnector_async.limits.limit import Window
from leadconnector_async.protocol.answers import Quota
from leadconnector_async.sandbox import Sandbox
from tests.cli.conftest import invoke
from tests.limits.test_local import most_in_a_window
from tests.redis_server import LIMIT, OpenLimits, RedisServer, answer_first, heard, needs_redis, use, use_in_turn
from tests.waiting import PATIENCE, patiently, until

pytestmark = needs_redis


async def test_all_holders_together_keep_the_limit_and_each_has_its_turn(holders: OpenLimits) -> None:
    windows = [(await holders()).window("L", LIMIT) for _ in range(4)]
    arrivals: list[float] = []
    counts = await use_in_turn(6 * LIMIT.max_requests, windows, arrivals, workers=6)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests
    assert min(counts) >= 2


async def test_a_slot_of_a_holder_that_died_comes_back(holders: OpenLimits) -> None:
    dead, alive = (await holders()).window("L", LIMIT), (await holders()).window("L", LIMIT)
    await answer_first(dead)
    await asyncio.gather(*(dead.acquire() for _ in range(LIMIT.max_requests)))
    began = time.monotonic()
    await dead.close()  # as a process that is killed: nothing is said of its slots
    async with patiently():
        await asyncio.gather(*(alive.acquire() for _ in range(LIMIT.max_requests)))
    assert time.monotonic() - began > 0.5 * LIMIT.per_seconds


async def test_a_slow_call_keeps_its_slot_however_long_it_takes(holders: OpenLimits) -> None:
    limit = RateLimit(2, 0.4, daily=None)
    slow, other = (await holders()).window("L", limit), (await holders()).window("L", limit)
    await answer_first(slow)
    await slow.acquire()
    arrivals: list[float] = []
    for _ in range(4):
        slot = await other.acquire()
        arrivals.append(time.monotonic())
        other.release(slot)
    # With one slot left, the four calls take turns.
    assert most_in_a_window(arrivals, 0.4) == 1


async def test_single_calls_of_one_holder_go_before_the_rows_of_another(holders: OpenLimits) -> None:
    loading, web = (await holders()).window("L", LIMIT), (await holders()).window("L", LIMIT)
    await answer_first(loading)
    stop = asyncio.Event()
    rows = 0

    async def load() -> None:
        nonlocal rows
        while not stop.is_set():
            await use(loading, [])
            rows += 1

    loads = [asyncio.ensure_future(load()) for _ in range(20)]
    await until(lambda: rows)
    await use(web, [], bulk=False)  # bulk cannot know of the first one
    overtaken_by = []
    for _ in range(12):
        before = rows
        await use(web, [], bulk=False)
        overtaken_by.append(rows - before)
        await asyncio.sleep(0.5 * LIMIT.per_seconds)
    stop.set()
    await asyncio.gather(*loads)
    # In their turn they would come after the twenty rows that wait.
    assert sorted(overtaken_by)[len(overtaken_by) // 2] < LIMIT.max_requests
    assert rows > 3 * LIMIT.max_requests


async def test_waiters_that_are_cancelled_leave_no_slot_behind(holders: OpenLimits) -> None:
    window = (await holders()).window("L", LIMIT)
    await answer_first(window)
    slots = [await window.acquire() for _ in range(LIMIT.max_requests)]
    waiters = [asyncio.ensure_future(window.acquire(bulk=bool(n % 2))) for n in range(30)]
    await asyncio.sleep(0.02)
    for slot in slots:
        window.give_back(slot)
    for waiter in waiters[::2]:
        waiter.cancel()
    await asyncio.sleep(0.05)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)
    for waiter in waiters:
        if not waiter.cancelled():
            window.give_back(waiter.result())
    async with patiently():  # one that was left behind would be held for ever
        await asyncio.gather(*(window.acquire() for _ in range(LIMIT.max_requests)))


async def test_what_the_headers_say_holds_for_all(holders: OpenLimits) -> None:
    limit = RateLimit(100, 0.4)
    one, other = (await holders()).window("L", limit), (await holders()).window("L", limit)
    one.release(await one.acquire(), Quota(4, 3, 0.4, 150_000, 80_000.0))
    await heard(one)
    arrivals: list[float] = []

    async def call(window: Window) -> None:
        slot = await window.acquire()
        arrivals.append(time.monotonic())
        window.release(slot)

    await asyncio.gather(*(call(window) for window in (one, other) for _ in range(8)))
    assert most_in_a_window(arrivals, 0.4) <= 4
    assert 149_000 < (other.calls_left_today() or 0) < 150_000


async def test_a_pause_of_one_holds_for_all(holders: OpenLimits) -> None:
    one, other = (await holders()).window("L", LIMIT), (await holders()).window("L", LIMIT)
    await answer_first(one)
    slot = await one.acquire()
    began = time.monotonic()
    one.pause(0.5)
    one.release(slot)
    await heard(one)
    await other.acquire()
    assert time.monotonic() - began > 0.45


async def test_a_spent_day_is_spent_for_all(holders: OpenLimits) -> None:
    limit = RateLimit(10, 0.4, daily=3)
    one, other = (await holders()).window("L", limit), (await holders()).window("L", limit)
    for window in (one, other, one):
        window.release(await window.acquire())
        await heard(window)
    for window in (one, other):
        with pytest.raises(DailyQuotaExceededError, match="UTC"):
            await window.acquire()


async def test_two_clients_load_one_location(redis_server: RedisServer) -> None:
    async with Sandbox(max_requests=20, per_seconds=0.5, latency=(0.0, 0.02)) as sandbox:

        async def load(name: str) -> int:
            limits = RedisLimits(redis_server.url)
            limit = RateLimit(20, 0.5)
            async with LeadConnector(
                "sandbox", base_url=sandbox.url, location_id="L", limits=limits, rate_limit=limit
            ) as client:
                report = await client.contacts.bulk_upsert([{"email": f"{name}{n}@example.com"} for n in range(50)])
            return report.created

        assert await asyncio.gather(load("a"), load("b")) == [50, 50]
        assert sandbox.rate_limited == 0


async def test_many_locations_in_one_load(redis_server: RedisServer) -> None:
    rows = [{"email": f"p{n}@example.com", "locationId": f"L{n % 12}"} for n in range(360)]
    async with Sandbox(max_requests=20, per_seconds=0.5) as sandbox:
        limits = RedisLimits(redis_server.url)
        async with LeadConnector(
            "sandbox", base_url=sandbox.url, limits=limits, rate_limit=RateLimit(20, 0.5)
        ) as client:
            report = await client.contacts.bulk_upsert(rows)
        assert (report.created, sandbox.rate_limited) == (360, 0)


# ---------------------------------------------------------------------------------------------- without Redis


async def test_redis_that_does_not_answer_at_the_start_is_told_in_a_sentence() -> None:
    limits = RedisLimits("redis://:very-secret@127.0.0.1:1")
    with pytest.raises(SharedLimitsError, match=r"Redis at 127\.0\.0\.1 gives no answer") as caught:
        async with LeadConnector("sandbox", base_url="http://127.0.0.1:2", location_id="L", limits=limits):
            pass
    assert "very-secret" not in f"{caught.value!r} {caught.value.__cause__!r} {limits!r}"


@pytest.mark.parametrize(
    "options", [{"share": 1.5}, {"share": -0.1}, {"prefix": "a{b}"}, {"url": "http://localhost"}, {"url": "nonsense"}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RedisLimits(**{"url": "redis://localhost", **options})


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_calls_wait_or_go_on_at_their_share_while_redis_is_gone(
    redis_server: RedisServer, holders: OpenLimits, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leadconnector_async")
    window = (await holders(share=share, timeout=0.2)).window("L", LIMIT)
    await answer_first(window)
    redis_server.stop()
    times: list[float] = []
    calls = [asyncio.ensure_future(use(window, times)) for _ in range(20)]
    if share:
        await until(lambda: sum(call.done() for call in calls) >= 12)  # more than a window of it
        assert most_in_a_window(times, LIMIT.per_seconds) <= 2 * LIMIT.max_requests * share + 1
    else:
        await asyncio.sleep(4 * LIMIT.per_seconds)
        assert times == []
    await redis_server.start()
    await asyncio.gather(*calls)
    told = [record.getMessage() for record in caplog.records if record.name.endswith("limits.redis")]
    assert sum("gives no answer" in line for line in told) == 1
    assert sum("answers again" in line for line in told) == 1


async def test_a_load_lives_through_a_restart_of_redis(redis_server: RedisServer) -> None:
    async with Sandbox(max_requests=20, per_seconds=0.5) as sandbox:
        limits = RedisLimits(redis_server.url, timeout=0.2)
        async with LeadConnector(
            "sandbox", base_url=sandbox.url, location_id="L", limits=limits, rate_limit=RateLimit(20, 0.5)
        ) as client:
            rows = [{"email": f"p{n}@example.com"} for n in range(120)]
            load = asyncio.ensure_future(client.contacts.bulk_upsert(rows))
            await until(lambda: len(sandbox.contacts()) > 30)
            redis_server.stop()
            await redis_server.start()
            assert (await load).created == 120
        assert sandbox.rate_limited == 0


# ---------------------------------------------------------------------------------------------- elsewhere


async def test_it_works_on_a_cluster(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--cluster-enabled", "yes")
    await server.start()
    try:
        command = ["redis-cli", "-p", str(server.port), "cluster", "addslots", *map(str, range(16384))]
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        async with patiently():
            await asyncio.to_thread(_wait_until_ready, server.port)
        limits = RedisLimits(server.url, cluster=True)
        await limits.open()
        assert isinstance(limits._redis, RedisCluster)
        windows = [limits.window(name, LIMIT) for name in ("L1", "L2", "{odd} name", "", "}")]
        times: list[float] = []
        for window in windows:
            await use(window, times)
        await limits.close()
        assert len(times) == 10
    finally:
        server.stop()


def _wait_until_ready(port: int) -> None:
    command = ["redis-cli", "-p", str(port), "cluster", "info"]
    while "cluster_state:ok" not in subprocess.run(command, capture_output=True, text=True, check=True).stdout:
        time.sleep(0.02)


def test_without_the_package_one_sentence_says_what_to_install() -> None:
    script = """
import sys
sys.modules["redis"] = None
from leadconnector_async import ConfigurationError, RedisLimits
try:
    RedisLimits("redis://localhost")
except ConfigurationError as error:
    assert "leadconnector-async[redis]" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=PATIENCE)


# ---------------------------------------------------------------------------------------------- the command line


LEADCONNECTOR = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]


async def test_two_commands_share_a_location(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("email\n" + "".join(f"a{n}@example.com\n" for n in range(60)))
    (tmp_path / "b.csv").write_text("email\n" + "".join(f"b{n}@example.com\n" for n in range(60)))
    async with Sandbox(max_requests=20, per_seconds=0.5) as sandbox:
        environ = {**os.environ, "LEADCONNECTOR_TOKEN": "sandbox", "LEADCONNECTOR_BASE_URL": sandbox.url}
        commands = [
            await asyncio.create_subprocess_exec(
                *LEADCONNECTOR, "upsert", str(tmp_path / f"{name}.csv"), "--location", "L", "--rate", "20/0.5",
                "--redis", redis_server.url, "--out", str(tmp_path / name),
                env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )
            for name in "ab"
        ]  # fmt: skip
        for command in commands:
            out, _ = await command.communicate()
            assert command.returncode == 0, out
        assert (len(sandbox.contacts()), sandbox.rate_limited) == (120, 0)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://:secret@localhost:1", "LEADCONNECTOR_REDIS_PASSWORD"),
        ("http://localhost", "redis://localhost:6379/0"),
        ("redis://127.0.0.1:1", "gives no answer"),
    ],
)
def test_a_redis_that_cannot_be_used_is_told_in_a_sentence(url: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("email\na@example.com\n")
    code, _, err = invoke("upsert", "a.csv", "--sandbox", "--redis", url, cwd=tmp_path)
    assert code == 2
    assert sentence in err
    assert ":secret" not in err
