"""A service that is down: the load waits and probes, goes on when it is back, and fails no more rows than it must."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import (
    BatchReport,
    DailyQuotaExceededError,
    LeadConnector,
    OutageError,
    RateLimit,
    RetryPolicy,
    ServerError,
    StopRequestedError,
)
from leadconnector_async.bulk.backlog import Item
from leadconnector_async.bulk.breaker import Breaker
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import patiently, until

QUICK = RetryPolicy(max_attempts=2, first_delay=0.1, max_outage=600.0)
DOWN = ServerError(503, ("Service Temporarily Unavailable",))


def people(count: int) -> list[dict[str, Any]]:
    return [{"email": f"person{number}@example.com"} for number in range(count)]


@pytest.mark.parametrize("kind", ["503-html", "reset-before", "reset-after"])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_service_that_comes_back_costs_no_row(
    open_sandbox: OpenSandbox, connect: OpenSandbox, kind: str, concurrency: int
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    sandbox.fail_next(None, times=20)
    sandbox.fail_next(kind, times=24)
    report = await client.contacts.bulk_upsert(people(300), concurrency=concurrency)
    assert (report.created, report.failed, report.unknown, report.not_attempted) == (300, 0, 0, 0)
    assert report.requests == sandbox.requests == 300 + 24


async def test_a_load_that_waits_shows_the_address_and_the_reason(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    sandbox.fail_next("503-html", times=20 * 2 + 5)
    report, shown = BatchReport(), set[str | None]()
    load = asyncio.ensure_future(client.contacts.bulk_upsert(people(20), report=report))
    while not load.done():
        shown.add(report.paused)
        await asyncio.sleep(0.5)
    assert (report.created, report.paused) == (20, None)
    (paused,) = shown - {None}
    assert paused is not None
    assert paused.startswith(f"{sandbox.url} does not answer (503: ")
    assert [f"{sandbox.url} " in record.message for record in caplog.records] == [True, True]
    assert "work pauses" in caplog.messages[0]
    assert "answers again" in caplog.messages[1]


async def test_an_outage_of_twelve_seconds_fails_no_row_of_a_short_load(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox)
    sandbox.fail_next("503-html", times=10_000)
    clock.call_at(clock.now + 12, sandbox._faults._script.clear)
    report = await client.contacts.bulk_upsert(people(20))
    assert (report.created, report.failed) == (20, 0)


async def test_a_service_that_stays_down_stops_the_load(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(faults={"503-html": 1.0}, unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    report = await client.contacts.bulk_upsert(people(1_000))
    assert isinstance(report.stopped, OutageError)
    assert "no call for 600 s" in str(report.stopped)
    assert report.total == 1_000 == report.unknown + report.not_attempted
    assert sandbox.requests < 64 * 2 * 2 + 2 * 25


@pytest.mark.parametrize(
    ("concurrency", "numbers"),
    [*itertools.product((1, 8), [(0,), (20,), (39,), (3, 9, 17, 26)]), (8, (0, 1, 2))],
)
async def test_a_row_that_always_fails_does_not_pass_for_an_outage(
    open_sandbox: OpenSandbox, connect: OpenSandbox, poison: set[bytes], concurrency: int, numbers: tuple[int, ...]
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    poison.update(b'"person%d@example.com"' % number for number in numbers)
    report = await client.contacts.bulk_upsert(people(40), concurrency=concurrency)
    assert report.stopped is None
    assert [outcome.index for outcome in report.outcomes if outcome.status == "failed"] == list(numbers)
    assert (report.failed, report.created) == (len(numbers), 40 - len(numbers))


async def test_the_only_row_that_always_fails_does_not_pass_for_an_outage(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, poison: set[bytes]
) -> None:
    client = await connect(await open_sandbox(), retry=QUICK)
    poison.add(b"person0@")
    began = clock.now
    report = await client.contacts.bulk_upsert(people(1))
    assert (report.failed, report.stopped) == (1, None)
    assert clock.now - began < 60


async def test_where_all_rows_that_are_left_fail_nobody_knows_why_and_they_are_kept(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    rows, journal = people(60), tmp_path / "journal.sqlite3"
    sandbox.fail_next(None, times=50)
    sandbox.fail_next("500", times=10_000)
    report = await client.contacts.bulk_upsert(rows, journal=journal)
    assert isinstance(report.stopped, OutageError)
    assert (report.created, report.failed, report.total) == (50, 0, 60)
    sandbox._faults._script.clear()
    report = await client.contacts.bulk_upsert(rows, journal=journal)
    assert (report.created, report.is_complete) == (60, True)


async def test_what_may_not_be_sent_twice_is_not_sent_to_a_service_that_is_down(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(allow_duplicates=True, unlimited=True)
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    sandbox.fail_next(None, times=20)
    sandbox.fail_next("502-after", times=30)
    rows = [{**row, "create_new_if_duplicate_allowed": True} for row in people(60)]
    report = await client.contacts.bulk_upsert(rows, concurrency=8)
    assert report.unknown <= 8 + 1  # those that were out when it began, and one before anybody could know
    assert report.created == 60 - report.unknown
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


def open_breaker(clock: FakeClock, items: list[Item]) -> Breaker:
    breaker = Breaker(LeadConnector("sandbox", clock=clock, retry=QUICK))
    for item in items:
        breaker.give_up(item, DOWN)
    assert breaker.is_open
    return breaker


async def test_one_probe_at_a_time_and_pauses_grow() -> None:
    clock, items = FakeClock(), [Item(number, "L", ()) for number in range(3)]
    breaker = open_breaker(clock, items)
    sent: list[float] = []

    async def work(item: Item) -> None:
        while breaker.is_open:
            await breaker.enter(item)
            if breaker.is_open:
                sent.append(clock.now - 1_000)
                breaker.give_up(item, DOWN)
            breaker.leave(item)

    tasks = [asyncio.ensure_future(work(item)) for item in items]
    await clock.advance(200)
    assert sent == [5, 15, 35, 65, 95, 125, 155, 185]
    breaker.succeed(items[0])
    await clock.settle()
    assert all(task.done() for task in tasks)
    await breaker.enter(items[0])


async def test_an_outage_ends_when_it_lasts_too_long() -> None:
    clock, items = FakeClock(), [Item(number, "L", ()) for number in range(2)]
    breaker = open_breaker(clock, items)

    async def work() -> None:
        while True:
            await breaker.enter(items[0])
            breaker.give_up(items[0], DOWN)
            breaker.leave(items[0])

    task = asyncio.ensure_future(work())
    await clock.advance(590)
    assert not task.done()
    await clock.advance(40)
    assert isinstance(task.exception(), OutageError)


async def test_a_probe_that_is_cancelled_leaves_its_turn_to_the_next() -> None:
    clock, items = FakeClock(), [Item(number, "L", ()) for number in range(3)]
    breaker = open_breaker(clock, items)
    entered: list[int] = []

    async def work(item: Item) -> None:
        try:
            await breaker.enter(item)
            entered.append(item.index)
        finally:
            breaker.leave(item)

    tasks = [asyncio.ensure_future(work(item)) for item in items]
    await clock.settle()
    tasks[0].cancel()
    await asyncio.sleep(0)  # the next is woken, and cancelled at that very moment
    tasks[1].cancel()
    await clock.advance(11)
    assert entered == [2]


async def test_a_row_that_comes_when_the_service_is_down_is_not_sent_but_as_a_probe(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    """Workers that wait for a row ask the breaker after they have it."""
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=RetryPolicy(max_attempts=1, max_outage=600.0), rate_limit=None)

    async def rows() -> AsyncIterator[dict[str, str]]:
        yield people(1)[0]
        await clock.sleep(3)
        sandbox.fail_next("503-html", times=10_000)
        for person in people(3)[1:]:
            yield person
        await clock.sleep(60)  # the other workers wait for a row, and the service is down since a minute
        seen.append(sandbox.requests)
        for person in people(60)[3:]:
            yield person
        await clock.sleep(1)
        seen.append(sandbox.requests)
        sandbox._faults._script.clear()

    seen: list[int] = []
    report = await client.contacts.bulk_upsert(rows(), concurrency=32)
    assert seen[1] - seen[0] <= 1
    assert (report.created, report.failed) == (60, 0)


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
