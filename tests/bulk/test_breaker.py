"""A service that is down: the load waits and probes, goes on when it is back, and fails no more rows than it must."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from leadconnector_async import DailyQuotaExceededError, OutageError, RateLimit, RetryPolicy, StopRequestedError
from leadconnector_async.bulk.breaker import Breaker
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import patiently, until

QUICK = RetryPolicy(max_attempts=2, first_delay=0.1, max_outage=600.0)


def people(count: int) -> list[dict[str, Any]]:
    return [{"email": f"person{number}@example.com"} for number in range(count)]


@pytest.mark.parametrize("kind", ["503-html", "reset-before", "reset-after"])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_service_that_comes_back_costs_few_rows(
    open_sandbox: OpenSandbox, connect: OpenSandbox, kind: str, concurrency: int
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    sandbox.fail_next(None, times=20)
    sandbox.fail_next(kind, times=24)
    report = await client.contacts.bulk_upsert(people(300), concurrency=concurrency)
    assert report.failed <= 4
    assert report.created == 300 - report.failed
    assert report.unknown == report.not_attempted == 0
    assert report.requests == sandbox.requests == 300 + 24 - report.failed


async def test_a_service_that_stays_down_stops_the_load(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(faults={"503-html": 1.0}, unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    report = await client.contacts.bulk_upsert(people(1_000))
    assert isinstance(report.stopped, OutageError)
    assert "no call for 600 s" in str(report.stopped)
    assert report.failed <= 5
    assert report.total == 1_000 == report.failed + report.unknown + report.not_attempted
    assert sandbox.requests < 64 * 2 * 2 + 2 * 20


async def test_a_row_that_always_fails_does_not_pass_for_an_outage(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    for _ in range(10):
        sandbox.fail_next("500", times=2)
        sandbox.fail_next(None)
    report = await client.contacts.bulk_upsert(people(40), concurrency=1)
    assert (report.failed, report.created) == (10, 30)


@pytest.mark.parametrize("concurrency", [1, 64])
async def test_rows_that_the_service_cannot_cope_with_fail_in_the_end(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, concurrency: int
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    sandbox.fail_next(None, times=50)
    sandbox.fail_next("500", times=10_000)
    report = await client.contacts.bulk_upsert(people(60), concurrency=concurrency)
    assert report.stopped is None
    assert (report.created, report.failed) == (50, 10)
    assert report.is_complete is False


async def test_what_may_not_be_sent_twice_is_not_put_back(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(allow_duplicates=True, unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    sandbox.fail_next("502-after", times=30)
    rows = [{**row, "create_new_if_duplicate_allowed": True} for row in people(60)]
    report = await client.contacts.bulk_upsert(rows, concurrency=8)
    assert (report.unknown, report.created) == (30, 30)
    assert len(sandbox.contacts()) == 60


async def test_a_load_that_waits_for_the_service_can_be_stopped(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(faults={"503-html": 1.0}, unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    stop = asyncio.Event()
    load = asyncio.ensure_future(client.contacts.bulk_upsert(people(100), stop=stop))
    await until(lambda: sandbox.requests >= 140)
    stop.set()
    began = clock.now
    report = await load
    assert clock.now == began
    assert isinstance(report.stopped, StopRequestedError)
    assert report.total == 100


async def test_one_probe_at_a_time_and_pauses_grow() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    assert [breaker.fail(is_probe=False) for _ in range(5)] == [False] * 4 + [True]
    sent: list[float] = []

    async def work() -> None:
        while await breaker.wait():
            sent.append(clock.now - 1_000)
            breaker.fail(is_probe=True)
            breaker.end_probe()

    tasks = [asyncio.ensure_future(work()) for _ in range(3)]
    await clock.advance(200)
    assert sent == [5, 15, 35, 65, 95, 125, 155, 185]
    breaker.succeed()
    await clock.settle()
    assert all(task.done() for task in tasks)
    assert not await breaker.wait()


async def test_a_probe_that_is_cancelled_leaves_its_turn_to_the_next() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(5):
        breaker.fail(is_probe=False)
    first, second = (asyncio.ensure_future(breaker.wait()) for _ in range(2))
    await clock.settle()
    first.cancel()
    await clock.advance(5)
    assert second.result() is True


# ---------------------------------------------------------------------------------------------- a spent day


async def test_a_load_may_wait_for_the_next_day(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=30)
    client = await connect(sandbox, rate_limit=RateLimit(daily=30))
    began = clock.now
    report = await client.contacts.bulk_upsert(people(70), wait_for_quota=True)
    assert report.is_complete
    assert report.created == 70
    assert clock.now - began == 2 * 86_401  # two nights, each with a second to spare
    assert sandbox.rate_limited == 0


async def test_a_load_that_waits_for_the_next_day_can_be_stopped(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(daily=30)
    client = await connect(sandbox, rate_limit=RateLimit(daily=30), clock=None)
    stop = asyncio.Event()
    load = asyncio.ensure_future(client.contacts.bulk_upsert(people(70), wait_for_quota=True, stop=stop))
    await until(lambda: len(sandbox.contacts()) == 30)
    stop.set()
    async with patiently():
        report = await load
    assert (report.created, report.not_attempted) == (30, 40)
    assert not isinstance(report.stopped, DailyQuotaExceededError)
