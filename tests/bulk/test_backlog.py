"""Many locations in one load: each at its own pace, none held up by another."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import (
    BatchReport,
    DailyQuotaExceededError,
    ErrorCount,
    LoadStoppedError,
    LocationRefusedError,
    LoginRequiredError,
    Outcome,
    PermissionDeniedError,
    RateLimit,
    RateLimitStuckError,
    RetryPolicy,
    Timeouts,
)
from leadconnector_async.bulk.backlog import Backlog, Item
from leadconnector_async.limits.local import LocalLimits, LocalWindow
from leadconnector_async.protocol.answers import Quota, Response
from leadconnector_async.sandbox import Applied, Sandbox
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import patiently


def rows_of(location: str, count: int) -> list[dict[str, Any]]:
    return [{"locationId": location, "email": f"person{number}@example.com"} for number in range(count)]


def by_location(rows: list[dict[str, Any]], finished: list[Outcome]) -> dict[str, list[int]]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, outcome in enumerate(finished):
        places[rows[outcome.index]["locationId"]].append(place)
    return places


async def test_each_location_moves_at_its_own_full_rate(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox)
    rows = [row for number in range(10) for row in rows_of(f"L{number}", 200)]
    began = clock.now
    report = await client.contacts.bulk_upsert(rows)
    assert report.created == 2_000
    assert report.rate_limited == 0
    # A second window each, side by side; one after the other it would be 200 s.
    assert clock.now - began == pytest.approx(10.01)


async def test_a_location_that_is_paused_holds_up_no_other(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, concurrency=4, clock=None)  # in real time: a fake clock would jump over the pause
    client.window("paused").pause(1.0)
    rows = [*rows_of("paused", 90), *rows_of("free", 90)]
    finished: list[Outcome] = []
    report = await client.contacts.bulk_upsert(rows, on_outcome=finished.append)
    assert report.created == 180
    places = by_location(rows, finished)
    assert max(places["free"]) < min(places["paused"])


async def test_a_slow_location_leaves_the_others_their_share(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, concurrency=8, rate_limit=None)
    exchange = client._transport.exchange
    slow = asyncio.Event()

    async def exchange_slowly(request: Any, token: str) -> Any:
        if request.location_id == "slow":
            await slow.wait()
        return await exchange(request, token)

    client._transport.exchange = exchange_slowly  # type: ignore[method-assign]
    rows = [row for pair in zip(rows_of("slow", 60), rows_of("fast", 60), strict=True) for row in pair]
    finished: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        finished.append(outcome)
        if len(finished) == 60:
            slow.set()

    report = await client.contacts.bulk_upsert(rows, on_outcome=note)
    assert report.created == 120
    assert max(by_location(rows, finished)["fast"]) < 60


async def test_a_spent_location_leaves_the_others_going(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(daily=30)
    client = await connect(sandbox, rate_limit=RateLimit(daily=30))
    rows = [*rows_of("A", 50), *rows_of("B", 20), *rows_of("C", 40)]
    report = await client.contacts.bulk_upsert(rows)
    assert (report.created, report.not_attempted) == (30 + 20 + 30, 20 + 10)
    assert isinstance(report.stopped, DailyQuotaExceededError)
    assert sandbox.rate_limited == 0


async def test_reading_ahead_is_bounded_where_one_location_is_stuck(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, clock=None)
    client.window("stuck").pause(3_600.0)
    read = 0

    def endless() -> Any:
        nonlocal read
        yield {"locationId": "free", "email": "a@example.com"}
        while True:
            read += 1
            yield {"locationId": "stuck", "email": f"{read}@example.com"}

    stop = asyncio.Event()
    load = asyncio.ensure_future(client.contacts.bulk_upsert(endless(), stop=stop, keep_outcomes=False))
    before = -1
    while read != before:  # until it reads no further
        before = read
        await asyncio.sleep(0.3)
    assert 5_000 < read <= 10_000 + 400
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load


async def test_idle_locations_are_forgotten_and_busy_ones_are_not() -> None:
    clock = FakeClock()
    limits = LocalLimits(clock=clock)
    limit = RateLimit(5, 10.0)
    kept = limits.window("kept", limit)
    slot = await kept.acquire()
    for number in range(5_000):
        window = limits.window(f"L{number}", limit)
        window.release(await window.acquire(), Quota(5, 4, 10.0, 199_999, 86_000.0))
        await clock.advance(0.01)
    assert len(limits._windows) < 3_500
    assert limits.window("kept", limit) is kept
    kept.release(slot)


@pytest.mark.parametrize("said", [None, Quota(5, 4, 10.0, 199_999, 86_000.0)])
async def test_a_location_whose_day_nobody_else_counts_is_not_forgotten_before_it_ends(said: Quota | None) -> None:
    clock = FakeClock()
    limits = LocalLimits(clock=clock)
    strict = limits.window("strict", RateLimit(5, 10.0, daily=1))
    strict.release(await strict.acquire(), said)

    async def meet_others(when: str) -> None:
        for number in range(5_000):
            window = limits.window(f"{when}{number}", RateLimit(5, 10.0, daily=None))
            window.release(await window.acquire())
            await clock.advance(0.01)

    await meet_others("today")
    with pytest.raises(DailyQuotaExceededError):
        await limits.window("strict", RateLimit(5, 10.0, daily=1)).acquire()
    await clock.advance(86_500)
    await meet_others("tomorrow")
    assert limits.window("strict", RateLimit(5, 10.0, daily=1)) is not strict


async def test_parked_locations_leave_their_workers_to_the_others(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(unlimited=True, latency=(1.0, 1.0))
    client = await connect(sandbox, concurrency=20, rate_limit=RateLimit(100, 10.0))
    paused = [f"paused{number}" for number in range(50)]
    for name in ("fast", *paused):
        await client.contacts.upsert({"email": "first@example.com", "location_id": name})
    for name in paused:
        client.window(name).pause(60.0)
    rows = [row for name in paused for row in rows_of(name, 1)] + rows_of("fast", 60)
    began = clock.now
    finished: dict[int, float] = {}
    await client.contacts.bulk_upsert(rows, on_outcome=lambda outcome: finished.update({outcome.index: clock.now}))
    assert max(finished[index] for index in range(50, 110)) - began == 4.0  # one alone, then twenty at a time
    assert min(finished[index] for index in range(50)) - began == 61.0


@pytest.mark.parametrize("home", [None, "stuck0"])
async def test_rows_of_a_location_that_answers_429_give_their_workers_back(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, home: str | None
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, concurrency=4, location_id=home)
    exchange = client._transport.exchange
    paused_until = clock.now + 60

    async def refuse(request: Any, token: str) -> Any:
        response = await exchange(request, token)
        if request.location_id.startswith("stuck") and clock.now < paused_until:
            headers = {"Retry-After": str(int(paused_until - clock.now) + 1)}
            return Response(429, headers, b'{"statusCode": 429, "message": "Too Many Requests"}')
        return response

    client._transport.exchange = refuse
    rows = [row for number in range(8) for row in rows_of(f"stuck{number}", 50)] + rows_of("healthy", 20)
    finished: dict[int, float] = {}
    report = await client.contacts.bulk_upsert(
        rows, on_outcome=lambda outcome: finished.update({outcome.index: clock.now})
    )
    assert report.total == report.created + report.updated == 420
    assert max(finished[index] for index in range(400, 420)) < paused_until


async def test_a_pause_that_is_too_long_closes_its_location_at_once(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(retry_after=3600)
    client = await connect(sandbox)
    await client.contacts.upsert({"email": "a@example.com", "location_id": "B"})
    sandbox.fail_next("429-retry-after")
    began = clock.now
    report = await client.contacts.bulk_upsert([*rows_of("A", 50), *rows_of("B", 20)])
    assert (report.created + report.updated, report.not_attempted) == (20, 50)
    assert clock.now == began
    with pytest.raises(RateLimitStuckError, match="max_retry_after"):
        await client.contacts.upsert({"email": "a@example.com", "location_id": "A"})


async def test_a_day_that_others_spent_is_told_at_once_and_spins_nowhere(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=10)
    other = await connect(sandbox, location_id="A", rate_limit=None)
    await other.contacts.bulk_upsert([{"email": f"other{number}@example.com"} for number in range(10)])
    client = await connect(sandbox, location_id="A")
    report = await client.contacts.bulk_upsert([*rows_of("A", 3), *rows_of("B", 5)])
    assert (report.created, report.not_attempted) == (5, 3)
    assert isinstance(report.stopped, DailyQuotaExceededError)


@pytest.mark.parametrize("fault", ["429", "429-retry-after"])
async def test_a_probe_that_is_answered_429_is_followed_by_another(
    open_sandbox: OpenSandbox, connect: OpenSandbox, fault: str
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, retry=RetryPolicy(max_attempts=1), concurrency=4)
    sandbox.fail_next("503-html", 8)
    sandbox.fail_next(fault, 1)
    report = await client.contacts.bulk_upsert(rows_of("A", 40))
    assert (report.created, report.failed) == (40, 0)


async def test_a_home_that_waits_for_its_day_does_not_keep_others_from_being_read(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=10)
    client = await connect(sandbox, location_id="A", concurrency=2)
    await client.contacts.bulk_upsert([{"email": f"first{number}@example.com"} for number in range(10)])
    rows = [*[{"locationId": "A", "email": "office@example.com"}] * 20, *rows_of("B", 5)]
    began = clock.now
    finished: dict[int, float] = {}
    report = await client.contacts.bulk_upsert(
        rows, wait_for_quota=True, on_outcome=lambda outcome: finished.update({outcome.index: clock.now})
    )
    assert report.created + report.updated == 25
    assert max(finished[index] for index in range(20, 25)) == began


async def test_rows_behind_the_gate_are_not_sent_into_a_pause(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(latency=(1.0, 1.0))
    client = await connect(sandbox, location_id="A", concurrency=4)
    await client.contacts.upsert({"email": "first@example.com"})
    load = asyncio.ensure_future(client.contacts.bulk_upsert(rows_of("A", 40), concurrency=20))
    await clock.sleep(0.5)
    client.window("A").pause(60.0)
    paused_at = clock.now
    report = await load
    assert report.created + report.updated == 40
    assert not [arrival for arrival in sandbox.arrivals if paused_at + 2 < arrival.time < paused_at + 60]


class Tokens:
    """A token source that has none for one location."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def token(self, location_id: str) -> str:
        if location_id != "broken":
            return "sandbox"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]

    async def refresh(self, location_id: str, refused: str) -> bool:
        return False


@pytest.mark.parametrize("answer", [OSError("gone"), None, 5, "", "not the one"])
async def test_a_location_without_a_token_holds_up_no_other(
    open_sandbox: OpenSandbox, connect: OpenSandbox, answer: object
) -> None:
    client = await connect(await open_sandbox(), token=Tokens(answer))
    rows = [row for pair in zip(rows_of("broken", 30), rows_of("A", 30), strict=True) for row in pair]
    report = await client.contacts.bulk_upsert(rows)
    assert (report.created, report.not_attempted) == (30, 30)


async def test_days_that_are_waited_for_hold_up_no_other_location(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=5)
    client = await connect(sandbox, concurrency=2)
    rows = [*rows_of("A", 8), *rows_of("B", 8), *rows_of("C", 5)]
    began = clock.now
    finished: dict[int, float] = {}
    report = await client.contacts.bulk_upsert(
        rows, wait_for_quota=True, on_outcome=lambda outcome: finished.update({outcome.index: clock.now})
    )
    assert report.created == 21
    assert max(finished[index] for index in range(16, 21)) == began


async def test_two_loads_on_one_location_share_it(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(max_requests=10)
    client = await connect(sandbox, location_id="A", rate_limit=RateLimit(10, 10.0))
    finished: list[str] = []

    async def load(name: str, rows: list[dict[str, Any]]) -> None:
        await client.contacts.bulk_upsert(rows, on_outcome=lambda _: finished.append(name))

    alone = [{"email": f"alone{number}@example.com"} for number in range(60)]
    await asyncio.gather(load("alone", alone), load("both", [*rows_of("A", 30), *rows_of("B", 1)]))
    # The second load does not have to wait until the first has ended.
    assert finished.index("alone") < 30
    assert finished[:50].count("both") >= 10


async def test_a_single_call_finds_a_connection_beside_a_load_of_many_locations(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(unlimited=True, latency=(0.5, 0.5))
    client = await connect(sandbox, concurrency=8, rate_limit=None)
    rows = [row for number in range(40) for row in rows_of(f"L{number}", 20)]
    load = asyncio.ensure_future(client.contacts.bulk_upsert(rows))
    await clock.sleep(3.0)
    times = [clock.now]
    for _ in range(3):
        await client.contacts.upsert({"email": "web@example.com", "location_id": "idle"})
        times.append(clock.now)
    # At most it has to wait until one of the calls that are out is answered.
    assert [after - before for before, after in itertools.pairwise(times)] == [0.5, 0.5, 1.0]
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load


async def test_a_row_that_comes_while_a_slot_frees_is_not_forgotten() -> None:
    clock = FakeClock()
    window = LocalWindow("L", RateLimit(1, 10.0), clock)
    window.release(await window.acquire())
    backlog: Backlog[Item] = Backlog(2, most=8, look_ahead=100, room=lambda _: window)
    single = asyncio.ensure_future(window.acquire())
    await clock.settle()
    single.cancel()
    clock.now += 20  # the loop was busy: the slot is free, and no timer has fired
    backlog.put(Item(0, "L", ()))
    async with patiently():
        assert await backlog.get() is not None


# ---------------------------------------------------------------------------------------------- refused locations


async def collect(outcomes: AsyncIterator[Outcome], told: list[Outcome]) -> None:
    async for outcome in outcomes:
        told.append(outcome)  # noqa: PERF401  (what was told before it raises is kept)


def calls_to(sandbox: Sandbox, location: str) -> int:
    return sum(arrival.location_id == location for arrival in sandbox.arrivals)


async def test_a_refused_location_costs_one_call_and_holds_up_no_other(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(locations=["A", "B"], latency=(0.1, 0.3))
    client = await connect(sandbox, location_id="A")
    rows = [row for three in zip(*(rows_of(name, 100) for name in "AXB"), strict=True) for row in three]
    report = await client.contacts.bulk_upsert(rows)
    assert (report.created, report.failed, report.not_attempted) == (200, 0, 100)
    assert calls_to(sandbox, "X") == 1
    assert {rows[outcome.index]["locationId"] for outcome in report.outcomes if outcome.status == "not_attempted"} == {
        "X"
    }
    assert isinstance(report.stopped, LocationRefusedError)
    assert (report.stopped.location_id, report.stopped.status) == ("X", 403)
    assert isinstance(report.stopped.__cause__, PermissionDeniedError)
    sentence = "location X takes no calls: The token does not have access to this location."
    assert report.errors == [ErrorCount(403, sentence, 100)]
    assert report.closed_locations == {"X": report.stopped}
    assert report.to_dict()["closed_locations"] == {"X": sentence}
    with pytest.raises(LoadStoppedError, match="100 rows not attempted: location X takes no calls"):
        report.raise_for_failures()


@pytest.mark.parametrize("names", ["X", "XYZ"])
@pytest.mark.parametrize("kind", ["list", "generator", "async"])
async def test_where_every_location_is_refused_the_load_stops(
    open_sandbox: OpenSandbox, connect: OpenSandbox, names: str, kind: str
) -> None:
    sandbox = await open_sandbox(locations=["A"])
    client = await connect(sandbox, location_id="X")
    rows = [row for name in names for row in rows_of(name, 200)]

    async def trickle() -> AsyncIterator[dict[str, Any]]:
        for row in rows:
            yield row

    source: Any = {"list": rows, "generator": iter(rows), "async": trickle()}[kind]
    report = await client.contacts.bulk_upsert(source)
    assert isinstance(report.stopped, LocationRefusedError)
    assert report.total == report.not_attempted <= len(rows)
    assert kind == "async" or report.total == len(rows)
    assert sandbox.requests <= len(names)


@pytest.mark.parametrize("kind", ["list", "generator"])
async def test_rows_of_others_are_found_behind_those_of_a_refused_location(
    open_sandbox: OpenSandbox, connect: OpenSandbox, kind: str
) -> None:
    """As in a file in the order of its locations: else a load that goes on would never come to the others."""
    sandbox = await open_sandbox(locations=["A"])
    client = await connect(sandbox, location_id="X")
    rows = [*rows_of("X", 3_000), *rows_of("A", 20)]
    report = await client.contacts.bulk_upsert(rows if kind == "list" else iter(rows))
    assert (report.created, report.not_attempted) == (20, 3_000)
    assert sandbox.requests == 21


@pytest.mark.parametrize("home", [None, "X"])
@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_source_without_end_is_not_read_for_ever_for_a_refused_location(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, home: str | None, is_stream: bool
) -> None:
    client = await connect(await open_sandbox(locations=["A"]), location_id=home)

    async def endless() -> AsyncIterator[dict[str, Any]]:
        for number in itertools.count():
            yield {"locationId": "X", "email": f"{number}@example.com"}
            await clock.sleep(0.1)

    told: list[Outcome] = []
    if is_stream:
        with pytest.raises(LocationRefusedError):
            await collect(client.contacts.stream_upserts(endless()), told)
    else:
        report = await client.contacts.bulk_upsert(endless(), on_outcome=told.append)
        assert isinstance(report.stopped, LocationRefusedError)
    assert {outcome.status for outcome in told} == {"not_attempted"}
    assert len(told) < 200


async def test_a_stream_goes_on_for_the_other_locations(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    client = await connect(await open_sandbox(locations=["A"]), location_id=None)
    rows = [row for pair in zip(rows_of("X", 30), rows_of("A", 30), strict=True) for row in pair]
    told: list[Outcome] = []
    with pytest.raises(LocationRefusedError, match="location X takes no calls"):
        await collect(client.contacts.stream_upserts(iter(rows)), told)
    assert Counter(outcome.status for outcome in told) == {"created": 30, "not_attempted": 30}


async def test_access_that_ends_in_the_midst_costs_the_calls_in_flight(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    """Rows that wait for a slot, or to be retried, are not sent any more."""
    sent = 0

    def revoke(applied: Applied) -> None:
        nonlocal sent
        sent += applied.sent["locationId"] == "X"
        if sent == 120:  # in the second window
            sandbox.allow_locations("A")

    sandbox: Sandbox = await open_sandbox(latency=(0.2, 0.2), on_applied=revoke)
    client = await connect(sandbox, concurrency=150)
    rows = [*rows_of("X", 500), *rows_of("A", 50)]
    report = await client.contacts.bulk_upsert(rows)
    refused = sum(arrival.status == 403 for arrival in sandbox.arrivals)
    assert 0 < refused <= 80  # what was left of the window is out at once
    assert report.failed == report.unknown == 0
    created = sum(outcome.status == "created" for outcome in report.outcomes[:500])
    assert created == len(sandbox.contacts("X")) == 120
    assert report.created - created == 50


@pytest.mark.parametrize("has_journal", [True, False])
async def test_rows_of_a_refused_location_are_sent_once_it_is_granted(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, has_journal: bool
) -> None:
    sandbox = await open_sandbox(locations=["A"])
    client = await connect(sandbox)
    rows = [row for pair in zip(rows_of("X", 30), rows_of("A", 30), strict=True) for row in pair]
    journal = tmp_path / "journal.sqlite3" if has_journal else None
    await client.contacts.bulk_upsert(rows, journal=journal)
    sandbox.allow_locations("AX")
    report = await client.contacts.bulk_upsert(rows, journal=journal)
    assert (report.total, report.stopped, report.closed_locations) == (60, None, {})
    assert report.created == (60 if has_journal else 30)
    assert calls_to(sandbox, "X") == 31


FORBIDDEN = {"statusCode": 403, "message": "The token does not have access to this location."}
ABOUT_LOCATIONS: list[tuple[int, Any]] = [
    (403, FORBIDDEN),
    (403, {"message": "Forbidden resource", "error": "Forbidden", "statusCode": 403}),
    (403, {"statusCode": 403, "message": "You do not have permission to access this resource", "error": "Forbidden"}),
    (403, b"<html><body>error code: 1010</body></html>"),
    (403, b""),
    (404, {"message": "Cannot POST /contacts/upsert", "error": "Not Found", "statusCode": 404}),
    (404, {"message": "Location not found"}),
    (404, b""),
    (401, {"statusCode": 401, "message": "This location is not accessible from this token!"}),
    (400, {"message": "Location not found", "error": "Bad Request", "statusCode": 400}),
    (400, {"message": "Location is not active", "statusCode": 400}),
]
ABOUT_ROWS: list[tuple[int, Any]] = [
    (400, {"message": "Contact must have an email or a phone", "statusCode": 400}),
    (400, {"message": "Contact not found for id:X in this location", "statusCode": 400}),
    (400, {"message": "This location does not allow duplicated contacts.", "meta": {"contactId": "c"}}),
    (404, {"message": "Contact with id X not found"}),
    (422, {"message": ["property locationId should not exist"], "statusCode": 422}),
    (422, {"message": ["locationId must be a string"], "statusCode": 422}),
]


async def load_with(connect: OpenSandbox, answers: Callable[[int], tuple[int, Any]]) -> tuple[BatchReport, list[str]]:
    """Load 20 rows of each of two locations; the calls about X are answered so, by their number."""
    seen: list[str] = []
    done = {"new": True, "contact": {"id": "x" * 20}, "traceId": "t"}

    async def answer(request: web.BaseRequest) -> web.Response:
        location = (await request.json())["locationId"]
        status, body = answers(seen.count("X")) if location == "X" else (200, done)
        seen.append(location)
        text = body if isinstance(body, bytes) else json.dumps(body or done).encode()
        return web.Response(status=status, body=text, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        client = await connect(f"http://127.0.0.1:{runner.addresses[0][1]}")
        rows = [row for pair in zip(rows_of("X", 20), rows_of("A", 20), strict=True) for row in pair]
        return await client.contacts.bulk_upsert(rows, compare=False), seen
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("status", "body"), ABOUT_LOCATIONS)
async def test_what_is_about_a_location_stops_it_after_one_call(connect: OpenSandbox, status: int, body: Any) -> None:
    report, seen = await load_with(connect, lambda _: (status, body))
    assert (report.created, report.failed, report.not_attempted) == (20, 0, 20)
    assert seen.count("X") == 1
    assert [error.status for error in report.errors] == [status]


@pytest.mark.parametrize(("status", "body"), ABOUT_ROWS)
async def test_what_is_about_a_row_fails_it_alone(connect: OpenSandbox, status: int, body: Any) -> None:
    report, seen = await load_with(connect, lambda number: (status, body) if number % 2 == 0 else (200, None))
    assert (report.created, report.failed, report.stopped) == (30, 10, None)
    assert seen.count("X") == 20


@pytest.mark.parametrize("status", [403, 404])
async def test_a_page_of_the_edge_in_the_midst_is_about_a_row(connect: OpenSandbox, status: int) -> None:
    page = b"<html><h1>Sorry, you have been blocked</h1></html>"
    report, _ = await load_with(connect, lambda number: (status, page) if number == 7 else (200, None))
    assert (report.created, report.failed, report.stopped) == (39, 1, None)


async def test_a_slow_first_row_holds_up_its_location_for_two_seconds_at_most(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, timeouts=Timeouts(total=60.0))
    sandbox.fail_next("hang")
    began = clock.now
    finished: dict[int, float] = {}
    load = client.contacts.bulk_upsert(
        rows_of("A", 30), on_outcome=lambda outcome: finished.update({outcome.index: clock.now - began})
    )
    await load
    assert max(finished[index] for index in range(1, 30)) <= 2.0
    assert finished[0] >= 30.0


async def test_a_login_that_lacks_for_one_location_costs_one_question(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    asked: Counter[str] = Counter()

    class Agency(Tokens):
        async def token(self, location_id: str) -> str:
            asked[location_id] += 1
            await asyncio.sleep(0)
            return await super().token(location_id)

    lacking = LoginRequiredError("log in to location broken again", account_id="broken")
    sandbox = await open_sandbox()
    client = await connect(sandbox, token=Agency(lacking), location_id="broken")
    report = await client.contacts.bulk_upsert([*rows_of("broken", 300), *rows_of("A", 30)])
    assert (report.created, report.not_attempted) == (30, 300)
    assert asked["broken"] == 1
    assert report.closed_locations == {"broken": lacking}
    assert report.errors == [ErrorCount(None, "log in to location broken again", 300)]


# ---------------------------------------------------------------------------------------------- the backlog itself


class Gate:
    """A window that is opened and closed by hand."""

    def __init__(self) -> None:
        self.is_open = True
        self.callbacks: list[Callable[[], None]] = []

    def is_ready(self) -> bool:
        return self.is_open

    def is_paused(self) -> bool:
        return not self.is_open

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def open(self) -> None:
        self.is_open = True
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


@settings(max_examples=100, deadline=None)
@given(
    items=st.lists(st.tuples(st.sampled_from("ABC"), st.lists(st.sampled_from("xyz"), max_size=2)), max_size=60),
    workers=st.integers(1, 6),
    seed=st.integers(0, 999),
)
async def test_each_item_comes_out_once_in_the_order_of_its_identity(
    items: list[tuple[str, list[str]]], workers: int, seed: int
) -> None:
    chance = random.Random(seed)
    gates: defaultdict[str, Gate] = defaultdict(Gate)
    backlog: Backlog[Item] = Backlog(workers, most=4, look_ahead=20, room=lambda location: gates[location])
    out: list[int] = []
    in_hands: Counter[str] = Counter()

    async def feed() -> None:
        for index, (location, keys) in enumerate(items):
            if backlog.is_full:
                await backlog.wait_for_room()
            backlog.put(Item(index, location, tuple(f"{location} {key}" for key in keys)))
        backlog.end()

    async def work() -> None:
        while (item := await backlog.get()) is not None:
            assert not any(in_hands[key] for key in item.keys), "two rows of one identity at once"
            in_hands.update(set(item.keys))
            await asyncio.sleep(0)
            in_hands.subtract(set(item.keys))
            if chance.random() < 0.1:
                backlog.put_back(item)
                continue
            out.append(item.index)
            backlog.done(item)

    async def toggle() -> None:
        while True:
            gate = gates[chance.choice("ABC")]
            gate.is_open = False
            await asyncio.sleep(0)
            gate.open()
            await asyncio.sleep(0)

    toggling = asyncio.create_task(toggle())
    async with patiently():
        await asyncio.gather(feed(), *(work() for _ in range(workers)))
    toggling.cancel()
    assert sorted(out) == list(range(len(items)))
    for key in {(location, key) for location, keys in items for key in keys}:
        same = [index for index in out if items[index][0] == key[0] and key[1] in items[index][1]]
        assert same == sorted(same)
    assert not backlog._lanes
