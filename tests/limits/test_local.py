"""The window: never over the limit however the server counts, never far under it, and no slot lost."""

from __future__ import annotations

import asyncio
import itertools
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError, DailyQuotaExceededError, RateLimit, RateLimitStuckError
from leadconnector_async.limits.local import LocalLimits, LocalWindow
from leadconnector_async.protocol.answers import Quota, read_quota
from tests.fake_clock import FakeClock
from tests.waiting import PATIENCE, patiently


def make_window(clock: FakeClock, *, is_new: bool = False, **limit: float) -> LocalWindow:
    """A window of 5 in 10 s; its first call is answered already where it is not to be new."""
    window = LocalWindow("loc", RateLimit(**{"max_requests": 5, "per_seconds": 10.0, **limit}), clock)  # type: ignore[arg-type]
    window._has_answer = not is_new
    return window


def most_in_a_window(arrivals: list[float], seconds: float) -> int:
    """The most calls that any window of that length holds, wherever it begins."""
    arrivals = sorted(arrivals)
    most = start = 0
    for end, arrival in enumerate(arrivals):
        while arrivals[start] <= arrival - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 8),
    workers=st.integers(1, 12),
    calls=st.integers(1, 60),
    slowest=st.floats(0.0, 15.0),
    seed=st.integers(0, 10**6),
)
async def test_no_window_of_the_server_is_ever_over_the_limit(
    capacity: int, workers: int, calls: int, slowest: float, seed: int
) -> None:
    clock, chance = FakeClock(), random.Random(seed)
    window = make_window(clock, max_requests=capacity)
    arrivals: list[float] = []
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            slot = await window.acquire()
            await clock.sleep(chance.uniform(0, slowest))
            arrivals.append(clock.now)
            await clock.sleep(chance.uniform(0, slowest))
            window.release(slot)

    async def all_work() -> None:
        await asyncio.gather(*(work() for _ in range(workers)))

    await clock.run(all_work())
    assert len(arrivals) == calls
    assert most_in_a_window(arrivals, 10.0) <= capacity


async def test_an_idle_location_lets_a_whole_window_go_at_once() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=100)
    started = clock.now
    for _ in range(100):
        await window.acquire()
    assert clock.now == started


async def test_a_slot_is_free_again_only_after_the_answer_and_the_window() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=1)
    slot = await window.acquire()
    await clock.advance(7)
    window.release(slot)
    waiting = asyncio.ensure_future(window.acquire())
    await clock.advance(9.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert waiting.done()


async def test_a_slot_given_back_is_free_at_once() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=1)
    slot = await window.acquire()
    waiting = asyncio.ensure_future(window.acquire())
    await clock.settle()
    window.give_back(slot)
    await clock.settle()
    assert waiting.done()


async def test_waiters_are_served_in_the_order_they_came() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=1)
    served: list[int] = []

    async def call(number: int) -> None:
        slot = await window.acquire()
        served.append(number)
        window.release(slot)

    async def all_calls() -> None:
        await asyncio.gather(*(call(number) for number in range(5)))

    await clock.run(all_calls())
    assert served == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("moment", ["while it waits", "after it was served"])
async def test_a_cancelled_waiter_leaves_no_slot_behind(moment: str) -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=1)
    slot = await window.acquire()
    waiter = asyncio.ensure_future(window.acquire())
    await clock.settle()
    if moment == "while it waits":
        waiter.cancel()
        await clock.settle()
        window.give_back(slot)
    else:
        window.give_back(slot)  # serves the waiter, whose task has not run yet
        waiter.cancel()
    await clock.settle()
    assert waiter.cancelled()
    async with patiently():
        await window.acquire()


@pytest.mark.parametrize(("seconds", "passes"), [(3.0, 3.0), (None, 10.0), (25.0, 25.0)])
async def test_a_pause_holds_back_everything_for_its_time(seconds: float | None, passes: float) -> None:
    clock = FakeClock()
    window = make_window(clock)
    window.pause(seconds)
    waiting = asyncio.ensure_future(window.acquire())
    await clock.advance(passes - 0.1)
    assert not waiting.done()
    await clock.advance(0.2)
    assert waiting.done()


def quota(**values: float | None) -> Quota:
    fields: dict[str, float | None] = {
        "max_requests": 5,
        "remaining": None,
        "per_seconds": 10.0,
        "daily_remaining": None,
        "daily_reset": None,
    }
    return Quota(**{**fields, **values})  # type: ignore[arg-type]


async def answered(window: LocalWindow, said: Quota) -> None:
    window.release(await window.acquire(), said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (quota(max_requests=25), (25, 10.0)),
        (quota(max_requests=500), (100, 10.0)),
        (quota(max_requests=100, per_seconds=60.0), (100, 60.0)),
        (quota(max_requests=10, per_seconds=1.0), (10, 1.0)),
        (quota(max_requests=20, per_seconds=1.0), (20, 2.0)),
        (quota(max_requests=0), (100, 10.0)),
    ],
)
async def test_headers_correct_the_constants_but_never_loosen_them(said: Quota, expected: tuple[int, float]) -> None:
    window = make_window(FakeClock(), max_requests=100)
    await answered(window, said)
    assert (window.capacity, window.per_seconds) == expected


async def test_what_others_use_is_left_to_them_until_the_window_has_passed() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=10)
    await answered(window, quota(max_requests=10, remaining=3))  # we used 1, so others used 6
    for _ in range(3):
        await window.acquire()
    fourth = asyncio.ensure_future(window.acquire())
    await clock.settle()
    assert not fourth.done()
    await clock.advance(10.1)
    assert fourth.done()


async def test_our_own_calls_are_not_taken_for_others() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=10)
    slots = [await window.acquire() for _ in range(10)]
    for left, slot in zip(itertools.count(9, -1), slots, strict=False):
        window.release(slot, quota(max_requests=10, remaining=left))
    await clock.advance(10.1)
    again = [asyncio.ensure_future(window.acquire()) for _ in range(10)]
    await clock.settle()
    assert all(slot.done() for slot in again)


async def test_a_spent_day_refuses_with_the_time_it_takes_and_goes_on_after_it() -> None:
    clock = FakeClock()
    window = make_window(clock)
    await answered(window, quota(daily_remaining=0, daily_reset=3_600.0))
    with pytest.raises(DailyQuotaExceededError, match="1 h 0 min") as caught:
        await window.acquire()
    assert caught.value.resets_in == pytest.approx(3_601)  # the service tells it in whole seconds
    await clock.advance(3_601)
    await window.acquire()


async def test_the_last_calls_of_a_day_wait_for_those_in_flight() -> None:
    clock = FakeClock()
    window = make_window(clock, daily=2)
    first, second = await window.acquire(), await window.acquire()
    third = asyncio.ensure_future(window.acquire())
    await clock.settle()
    assert not third.done()  # had one of the two never left, there would be a call for it
    window.give_back(second)
    await clock.settle()
    assert third.done()
    window.release(first)
    window.release(third.result())
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire()


async def test_a_day_counted_by_us_alone_is_spent_and_begins_anew() -> None:
    clock = FakeClock()
    window = make_window(clock, daily=3)
    for _ in range(3):
        window.release(await window.acquire())
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire()
    await clock.advance(86_400)
    await window.acquire()


async def test_answers_out_of_order_do_not_bring_calls_of_a_day_back() -> None:
    clock = FakeClock()
    window = make_window(clock)
    first, second = await window.acquire(), await window.acquire()
    window.release(second, quota(daily_remaining=1, daily_reset=100.0))
    window.release(first, quota(daily_remaining=2, daily_reset=100.0))
    await answered(window, quota(daily_remaining=0, daily_reset=100.0))
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire()


async def test_without_a_limit_only_pauses_hold() -> None:
    clock = FakeClock()
    window = LocalWindow("loc", None, clock)
    for _ in range(1_000):
        await answered(window, quota(max_requests=1, remaining=0))
    window.pause(None)
    waiting = asyncio.ensure_future(window.acquire())
    await clock.advance(9)
    assert not waiting.done()
    await clock.advance(2)
    assert waiting.done()


async def test_locations_have_windows_of_their_own() -> None:
    limits = LocalLimits(clock=FakeClock())
    limit = RateLimit(max_requests=1)
    await limits.window("a", limit).acquire()
    async with patiently():
        await limits.window("b", limit).acquire()
    assert limits.window("a", limit) is limits.window("a", limit)


async def test_the_process_can_be_capped_as_a_whole() -> None:
    limits = LocalLimits(max_calls_per_second=1_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(1_100):
        await limits.pace(bulk=True)
    assert loop.time() - began >= 0.09


@pytest.mark.parametrize(
    "limit", [{"max_requests": 0}, {"per_seconds": 0}, {"daily": 0}, {"per_seconds": float("nan")}]
)
def test_a_limit_that_is_none_is_refused(limit: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        RateLimit(**limit)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- two lanes


async def warmed_up(clock: FakeClock, **limit: float) -> LocalWindow:
    """A window that has heard an answer, and has all its slots free."""
    window = make_window(clock, **limit)
    window.release(await window.acquire())
    await clock.advance(30)
    return window


async def test_one_call_goes_alone_until_it_is_answered() -> None:
    clock = FakeClock()
    window = make_window(clock, is_new=True)
    slot = await window.acquire(bulk=True)
    rest = [asyncio.ensure_future(window.acquire(bulk=True)) for _ in range(3)]
    single = asyncio.ensure_future(window.acquire())
    await clock.advance(1.9)
    assert not any(task.done() for task in [*rest, single])
    window.release(slot, Quota(5, 2, 10.0, 9, 99.0))
    await clock.settle()
    # Of five slots one is cooling, one has the single call, two somebody else used, one is for the next single call.
    assert single.done()
    assert not any(task.done() for task in rest)
    for task in rest:
        task.cancel()


@pytest.mark.parametrize("bulk", [True, False])
async def test_a_first_call_that_hangs_holds_the_others_up_for_two_seconds_only(bulk: bool) -> None:
    clock = FakeClock()
    window = make_window(clock, is_new=True)
    await window.acquire(bulk=bulk)
    rest = [asyncio.ensure_future(window.acquire(bulk=bulk)) for _ in range(3)]
    for expected in (0, 1, 2):
        assert sum(task.done() for task in rest) == expected
        await clock.advance(2.01)
    for task in rest:
        task.cancel()


async def test_after_three_first_calls_without_an_answer_nobody_waits_for_one() -> None:
    clock = FakeClock()
    window = make_window(clock, is_new=True, max_requests=10)
    for _ in range(3):
        window.release(await window.acquire(bulk=True), is_answered=False)
    for _ in range(7):
        async with patiently():
            await window.acquire(bulk=True)


@pytest.mark.parametrize("longest", [60.0, 3.0])
async def test_rows_give_way_to_a_pause_and_single_calls_wait_unless_it_is_too_long(longest: float) -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=1)
    slot = await window.acquire()
    row, single = asyncio.ensure_future(window.acquire(bulk=True)), asyncio.ensure_future(window.acquire())
    await clock.settle()
    window.pause(30.0, longest=longest)
    window.release(slot)
    if longest == 60.0:
        assert await row is None
    else:
        with pytest.raises(RateLimitStuckError):
            await row
    for wait in (single, asyncio.ensure_future(window.acquire())):
        if longest == 60.0:
            await clock.settle()
            assert not wait.done()
            wait.cancel()
        else:
            with pytest.raises(RateLimitStuckError):
                await wait
    await clock.advance(27.1)  # what is left is not too long
    last = asyncio.ensure_future(window.acquire())
    await clock.advance(3.0)
    assert last.done()


async def test_a_window_lives_through_nonsense_in_the_headers() -> None:
    clock = FakeClock()
    window = make_window(clock)
    window.release(await window.acquire(), quota(max_requests=5, per_seconds=3600.0))
    assert window.per_seconds == 3600.0
    window.release(await window.acquire(), quota(max_requests=5, per_seconds=10.0))
    await clock.advance(10.1)
    for _ in range(5):  # the slot that was to cool for an hour is back
        async with patiently():
            await window.acquire()


async def test_clients_that_share_limits_keep_the_strictest() -> None:
    clock = FakeClock()
    limits = LocalLimits(clock=clock)
    window = limits.window("L", None)
    for limit, expected in [
        (RateLimit(100, 10.0), (100, 10.0)),
        (RateLimit(20, 1.0, daily=50), (20, 2.0)),
        (RateLimit(100, 10.0), (20, 2.0)),
    ]:
        assert limits.window("L", limit) is window
        assert (window.capacity, window.per_seconds) == expected
    assert limits.window("L", None) is window
    window.release(await window.acquire())
    assert window.calls_left_today() == 49


def test_limits_that_are_kept_serve_one_event_loop_after_the_other() -> None:
    limits = LocalLimits()

    async def use() -> None:
        await limits.open()
        window = limits.window("L", RateLimit(2, 0.1))
        for _ in range(3):
            slot = await window.acquire(bulk=True)
            waiting = asyncio.ensure_future(window.acquire(bulk=True))
            await asyncio.sleep(0)
            window.release(slot)
            window.release(await waiting)

    for _ in range(3):
        asyncio.run(asyncio.wait_for(use(), PATIENCE))


async def test_a_first_call_that_fails_does_not_hold_bulk_up_for_ever() -> None:
    clock = FakeClock()
    window = make_window(clock, is_new=True)
    slot = await window.acquire(bulk=True)
    rest = asyncio.ensure_future(window.acquire(bulk=True))
    await clock.settle()
    window.give_back(slot)  # it never left
    await clock.settle()
    assert rest.done()


async def test_single_calls_go_before_rows_that_wait() -> None:
    clock = FakeClock()
    window = await warmed_up(clock, max_requests=2)
    slots = [await window.acquire(bulk=True) for _ in range(2)]
    order: list[str] = []

    async def wait(name: str, *, bulk: bool) -> None:
        await window.acquire(bulk=bulk)
        order.append(name)

    tasks = [asyncio.ensure_future(wait(f"row {number}", bulk=True)) for number in range(2)]
    await clock.settle()
    tasks += [asyncio.ensure_future(wait(f"single {number}", bulk=False)) for number in range(2)]
    await clock.settle()
    for slot in slots:
        window.release(slot)
    await clock.advance(10.1)
    assert order == ["single 0", "single 1"]
    for task in tasks:
        task.cancel()


async def test_bulk_leaves_slots_while_single_calls_are_seen_and_uses_all_where_not() -> None:
    clock = FakeClock()
    window = await warmed_up(clock, max_requests=100)
    window.release(await window.acquire())
    rows = [asyncio.ensure_future(window.acquire(bulk=True)) for _ in range(150)]
    await clock.settle()
    assert sum(task.done() for task in rows) == 89  # a tenth of the slots is left, and one is cooling
    before = clock.now
    for _ in range(10):
        await window.acquire()
    assert clock.now == before
    for task in rows:
        task.cancel()
    quiet = await warmed_up(clock, max_requests=100)
    rows = [asyncio.ensure_future(quiet.acquire(bulk=True)) for _ in range(150)]
    await clock.settle()
    assert sum(task.done() for task in rows) == 100
    for task in rows:
        task.cancel()


async def test_a_window_after_the_last_single_call_bulk_uses_all_again() -> None:
    clock = FakeClock()
    window = await warmed_up(clock, max_requests=10)
    window.give_back(await window.acquire())
    rows = [asyncio.ensure_future(window.acquire(bulk=True)) for _ in range(10)]
    await clock.advance(9.9)
    assert sum(task.done() for task in rows) == 9
    await clock.advance(0.2)
    assert all(task.done() for task in rows)


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 12),
    calls=st.integers(1, 60),
    singles=st.integers(0, 20),
    slowest=st.floats(0.0, 15.0),
    seed=st.integers(0, 10**6),
)
async def test_both_lanes_together_never_pass_the_limit_and_lose_no_slot(
    capacity: int, calls: int, singles: int, slowest: float, seed: int
) -> None:
    clock, chance = FakeClock(), random.Random(seed)
    window = make_window(clock, max_requests=capacity)
    arrivals: list[float] = []

    async def call(*, bulk: bool, after: float) -> None:
        await clock.sleep(after)
        slot = await window.acquire(bulk=bulk)
        if chance.random() < 0.1:
            window.give_back(slot)
            return
        try:
            await clock.sleep(chance.uniform(0, slowest))
            arrivals.append(clock.now)
            await clock.sleep(chance.uniform(0, slowest))
        finally:
            window.release(slot)

    async def cancelled() -> None:
        waiting = asyncio.ensure_future(call(bulk=chance.random() < 0.5, after=chance.uniform(0, 20)))
        await clock.sleep(chance.uniform(0, 30))
        waiting.cancel()
        await asyncio.wait([waiting])

    async def all_calls() -> None:
        work = [call(bulk=True, after=0.0) for _ in range(calls)]
        work += [call(bulk=False, after=chance.uniform(0, 60)) for _ in range(singles)]
        await asyncio.gather(*work, *(cancelled() for _ in range(5)))

    await clock.run(all_calls())
    assert most_in_a_window(arrivals, 10.0) <= capacity
    await clock.advance(30)
    assert window._in_use - len(window._cooling) == window._in_flight == 0


async def test_the_callers_own_limit_of_a_day_holds_whatever_the_service_has_left() -> None:
    clock = FakeClock()
    window = make_window(clock, max_requests=100, daily=3)
    for _ in range(3):
        window.release(await window.acquire(), Quota(100, 90, 10.0, 150_000, 5_000.0))
    assert window.calls_left_today() == 0
    with pytest.raises(DailyQuotaExceededError, match="UTC"):
        await window.acquire()
    await clock.advance(5_001.5)
    window.release(await window.acquire(), Quota(100, 90, 10.0, 199_999, 86_000.0))
    assert window.calls_left_today() == 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"max": "-5", "remaining": "3"}, (None, 3, None, None, None)),
        ({"max": "9" * 400, "interval-milliseconds": "9" * 400, "daily-reset": "9" * 400}, (None,) * 5),
        ({"max": "25", "remaining": "many", "interval-milliseconds": "10000.5"}, (25, None, None, None, None)),
        ({"max": "25", "interval-milliseconds": "86400000"}, (25, None, None, None, None)),
        ({"max": "25", "daily-remaining": "7", "daily-reset": "5000"}, (25, None, None, 7, 5.0)),
        ({"max": "\u0662", "daily-remaining": "0", "daily-reset": str(10**15)}, (None, None, None, 0, None)),
    ],
)
def test_each_header_is_read_by_itself_and_nonsense_tells_nothing(
    headers: dict[str, str], expected: tuple[float | None, ...]
) -> None:
    said = read_quota({f"x-ratelimit-{name}": value for name, value in headers.items()})
    assert said is not None
    assert msgspec.structs.astuple(said) == expected


@pytest.mark.parametrize(("used", "at_once"), [(0, 5), (3, 2), (7, 0), (None, 0)])
async def test_slots_that_another_process_used_are_left_until_they_are_free(
    clock: FakeClock, used: int | None, at_once: int
) -> None:
    limits = LocalLimits(clock=clock)
    known = limits.window("known", RateLimit(5, 10.0))
    limits.assume_used(used, 4.0)
    for window in (known, limits.window("new", RateLimit(5, 10.0))):
        window._has_answer = True
        assert [window.is_ready() and await window.acquire(bulk=True) is not None for _ in range(at_once)] == [
            True
        ] * at_once
        assert window.is_ready() == (used == 0 and at_once < 5)
    await clock.sleep(4.1)
    if used != 0:
        assert all(limits.window(name, None).is_ready() for name in ("known", "new"))
    limits.assume_used(None, 4.0)
    if at_once:  # what has been used by this process, it knows itself
        assert known.in_use() == at_once
