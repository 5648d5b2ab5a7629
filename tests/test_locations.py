"""Many locations in one load: each at its own pace, none held up by another."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import DailyQuotaExceededError, Outcome, RateLimit, RateLimitStuckError, RetryPolicy
from leadconnector_async.answers import Quota, Response
from leadconnector_async.backlog import Backlog, Item
from leadconnector_async.local_limits import LocalLimits, LocalWindow
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
    exchange = client._exchange
    slow = asyncio.Event()

    async def exchange_slowly(request: Any, token: str) -> Any:
        if request.location_id == "slow":
            await slow.wait()
        return await exchange(request, token)

    client._exchange = exchange_slowly  # type: ignore[method-assign]
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
    assert max(finished[index] for index in range(50, 110)) - began == 3.0  # sixty calls, twenty at a time
    assert min(finished[index] for index in range(50)) - began == 61.0


@pytest.mark.parametrize("home", [None, "stuck0"])
async def test_rows_of_a_location_that_answers_429_give_their_workers_back(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, home: str | None
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, concurrency=4, location_id=home)
    exchange = client._exchange
    paused_until = clock.now + 60

    async def refuse(request: Any, token: str) -> Any:
        response = await exchange(request, token)
        if request.location_id.startswith("stuck") and clock.now < paused_until:
            headers = {"Retry-After": str(int(paused_until - clock.now) + 1)}
            return Response(429, headers, b'{"statusCode": 429, "message": "Too Many Requests"}')
        return response

    client._exchange = refuse
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
    assert (report.created, report.failed) == (36, 4)


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
