"""The window of one location, shared with other processes: ask Redis for slots, and report what became of them.

While calls wait, one request at a time asks for as many slots as there are waiters, and reports all calls answered
meanwhile. A slot is promised for a certain moment; until then its call waits here.

What this process believes (`window.lua` is the other side):

- Limit, pauses and the day are what Redis last said, but for a pause of its own that Redis has not heard of.
- A slot is its own for a lease, counted from before the request that got or confirmed it. Redis counts the same time
  from when it got that request, or later, so the lease ends here first: `acquire` returns no slot that Redis may have
  given away by then.
- It sends back `born` and `runs` of the last answer, by which Redis sees whether it has lost data in between.
- Of the clock of Redis it uses differences alone. A leap ahead, which frees slots early, shows in `_leap`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from ..clock import Clock
from ..errors import ClientStateError
from ..protocol.answers import Quota, clean_text
from .day import DAY_SECONDS, day_spent
from .limit import RateLimit, pause_too_long, strictest, turn_away, wait_in_lane
from .local import LocalWindow
from .redis_script import (
    LEASE,
    LONG_AGO,
    NO_DAY,
    Answered,
    Promised,
    Unused,
    WindowAnswer,
    WindowRequest,
    decode_answer,
    encode_request,
    their_quota,
)

_log = logging.getLogger(__name__)

_MOST_AT_ONCE: Final = 100  # slots asked for in one request
_PARKED_AT_ONCE: Final = 10  # slots asked for where a load waits with rows
_MARGIN: Final = 0.001  # of a window, as in the script
_GATHER: Final = 0.005  # of a window: how long answers are gathered before Redis hears of them
_HEARTBEAT: Final = 0.25  # of a window: how often Redis hears that calls in flight are alive
_UNUSED: Final = 0.02  # of a window: how long a slot is kept for a load that asked for it
_CLOCKS: Final = 0.002  # the clocks may drift by this share
_KNOWN: Final = 2.0  # windows: what Redis heard so long ago no longer matters
# Between tries while Redis does not answer; the first at once, as it may be the connection that was stale.
_RETRY_SECONDS: Final = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_MOST_LOST: Final = 50  # requests without an answer whose slots are asked back

Ask = Callable[[bytes], Awaitable[bytes | str]]


class SharedSlot:
    """A slot that is held.

    Attributes:
        free_at: When it may be used, by the monotonic clock.
        confirmed_at: When Redis last heard that it is held, by the same clock.
        share: The window and the slot in it, where it is one of the share that is used without Redis.
    """

    __slots__ = ("confirmed_at", "free_at", "lead", "name", "share")

    def __init__(
        self, name: str, free_at: float, lead: float, confirmed_at: float, share: tuple[LocalWindow, int] | None = None
    ) -> None:
        self.name = name
        self.free_at = free_at
        self.lead = lead
        self.confirmed_at = confirmed_at
        self.share = share

    def is_of(self, alone: LocalWindow) -> bool:
        """Whether it is one of this share."""
        return self.share is not None and self.share[0] is alone


class Used(NamedTuple):
    """A call that is over, and of which Redis is to hear."""

    slot: SharedSlot
    at: float
    quota: Quota | None
    is_answered: bool


class SharedWindow:
    """The slots of one location, of which Redis knows; see `Window`.

    Args:
        location_id: Whose.
        limit: The limits to begin with.
        ask: Runs the script for this location; raises ConnectionError where Redis gives no answer.
        holder: The name of this process among those that share.
        share: What this process may use of the limit while Redis does not answer, from 0 to 1.
        clock: Where time comes from.
    """

    def __init__(
        self, location_id: str, limit: RateLimit, *, ask: Ask, holder: str, share: float, clock: Clock
    ) -> None:
        self._location_id = location_id
        self._limit = limit
        self._ask = ask
        self._holder = holder
        self._share = share
        self._clock = clock
        self.capacity = limit.max_requests
        self.per_seconds = limit.per_seconds
        # Who waits, and what is held.
        self._singles: deque[asyncio.Future[SharedSlot | None]] = deque()
        self._waiting: deque[asyncio.Future[SharedSlot | None]] = deque()
        self._parked: list[Callable[[], None]] = []
        self._ready: deque[SharedSlot] = deque()  # asked for by loads that were parked
        self._held: dict[str, SharedSlot] = {}
        # To be reported to Redis.
        self._answered: list[Used] = []
        self._unused: list[SharedSlot] = []
        self._lost: list[int] = []
        self._unreported_until = -math.inf  # the end of a pause of which it does not know
        self._longest = DAY_SECONDS  # how much of that is waited for
        self._is_single_seen = False
        self._used_at = -math.inf
        # From its last answer.
        self._number = 0
        self._born = self._runs = 0
        self._clock_ahead = math.inf  # that of Redis of ours, at most
        self._again_at = -math.inf
        self._heard_at = -math.inf
        self._paused_until = -math.inf
        self._refused_until = -math.inf
        self._day_spent_until = -math.inf
        self._day_left: int | None = None
        # While it does not answer.
        self._failures = 0
        self._lost_at = 0.0
        self._alone: LocalWindow | None = None
        self._agent: asyncio.Task[None] | None = None
        self._tick = asyncio.Event()
        self._is_closed = False

    # ------------------------------------------------------------------------------------------ for calls

    async def acquire(self, *, bulk: bool = False) -> SharedSlot | None:
        """Take a slot, waiting for one in turn."""
        self._is_single_seen |= not bulk
        while True:
            if self._must_give_way(bulk=bulk):
                return None
            if self._alone is not None:
                slot = await self._acquire_alone(self._alone, bulk=bulk)
            elif bulk and self._ready:
                slot = self._ready.popleft()
            else:
                slot = await self._wait_in_turn(bulk=bulk)
            if slot is None:  # Redis went or came meanwhile
                continue
            self._held[slot.name] = slot
            try:
                await self._wait_until_free(slot)
            except asyncio.CancelledError:
                self.give_back(slot)
                raise
            if self._may_be_used(slot):
                return slot
            self.give_back(slot)

    def tighten(self, limit: RateLimit) -> None:
        """Keep this limit, too."""
        ours = self._limit
        calls, seconds = strictest((ours.max_requests, ours.per_seconds), (limit.max_requests, limit.per_seconds))
        days = [daily for daily in (ours.daily, limit.daily) if daily is not None]
        self._limit = RateLimit(calls, seconds, daily=min(days, default=None))

    def _must_give_way(self, *, bulk: bool) -> bool:
        """Whether a row of a load is to be sent later, as the location is paused.

        Raises:
            DailyQuotaExceededError: The day is spent.
            RateLimitStuckError: The pause is longer than is waited for.
        """
        now = self._clock.monotonic()
        if self._is_closed:
            raise ClientStateError("these limits are closed; open a client on them")
        if now < self._paused_until and (bulk or now < self._refused_until):
            if self._refused_until <= now < self._day_spent_until:  # as `is_ready` says
                raise day_spent(self._location_id, self._day_spent_until - now, self._clock.time())
            if now < self._refused_until:
                raise pause_too_long(self._paused_until - now)
            return True
        return False

    async def _wait_in_turn(self, *, bulk: bool) -> SharedSlot | None:
        waiter: asyncio.Future[SharedSlot | None] = asyncio.get_running_loop().create_future()
        (self._waiting if bulk else self._singles).append(waiter)
        if not self._failures and (not bulk or self._again_at <= self._clock.monotonic()):
            self._again_at = -math.inf
        self._wake()
        return await wait_in_lane(waiter, self.give_back)

    async def _wait_until_free(self, slot: SharedSlot) -> None:
        """Wait for the moment that was promised."""
        wait = slot.free_at - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)

    def _may_be_used(self, slot: SharedSlot) -> bool:
        """Whether there was no 429 since it was given, and it has not lapsed as this process stood still."""
        now = self._clock.monotonic()
        return now >= self._paused_until and (slot.share is not None or not self._has_lapsed(slot, now))

    def _has_lapsed(self, slot: SharedSlot, now: float) -> bool:
        return now >= slot.confirmed_at + LEASE * self.per_seconds

    def release(self, slot: SharedSlot, quota: Quota | None = None, *, is_answered: bool = True) -> None:
        """Give a slot back whose call may have left."""
        now = self._used_at = self._clock.monotonic()
        self._held.pop(slot.name, None)
        if slot.share is not None:
            alone, number = slot.share
            alone.release(number, quota, is_answered=is_answered)
            if alone is self._alone:
                return
            quota = None  # what Redis knows was not asked for this call, and cannot be compared
        self._answered.append(Used(slot, now, quota, is_answered))
        self._wake()

    def give_back(self, slot: SharedSlot) -> None:
        """Give a slot back whose call never left."""
        self._held.pop(slot.name, None)
        if slot.share is not None:
            alone, number = slot.share
            alone.give_back(number)
            if alone is self._alone:
                return
        self._unused.append(slot)
        self._wake()

    def pause(self, seconds: float | None, *, longest: float = DAY_SECONDS) -> None:
        """Send nothing more for some time after a 429; rows of loads that wait give way."""
        wait = self.per_seconds * (1 + _MARGIN) if seconds is None else seconds
        if not self.is_paused():
            name = clean_text(self._location_id)
            _log.info("location %s: rate-limited (HTTP 429); nothing is sent for %.1f s", name, wait)
        self._stop_sending(wait, longest)

    def _stop_sending(self, wait: float, longest: float) -> None:
        now = self._clock.monotonic()
        self._paused_until = max(self._paused_until, now + wait)
        if wait > longest:
            self._refused_until = max(self._refused_until, now + wait - longest)
        if now + wait > self._unreported_until:
            self._unreported_until, self._longest = now + wait, longest
        if self._alone is not None:
            self._alone.pause(wait, longest=longest)
        self._give_way(now)
        self._wake()

    def _give_way(self, now: float) -> None:
        """Refuse those who wait: the location is paused, by this process or another."""
        refuse_for = self._paused_until - now if now < self._refused_until else None
        if refuse_for is not None:
            turn_away(self._singles, refuse_for)
        turn_away(self._waiting, refuse_for)  # without a slot, a row looks again, and finds the pause
        self._call_parked()

    def is_paused(self) -> bool:
        """Whether nothing is sent for now, as after a 429."""
        return self._clock.monotonic() < self._paused_until

    def is_ready(self) -> bool:
        """Whether a call of the bulk lane would not wait: it is sent, or refused as the day is spent."""
        now = self._clock.monotonic()
        if self._alone is not None:
            return not (self._singles or self._waiting) and self._alone.is_ready()
        if now < max(self._refused_until, self._day_spent_until):
            return True  # it is refused
        return bool(self._ready) and now >= self._paused_until

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once, when `is_ready` may have become true."""
        if self._alone is not None:
            self._alone.call_when_ready(callback)
        else:
            self._parked.append(callback)
        self._wake()

    def calls_left_today(self) -> int | None:
        """Return how many calls of the day were left when Redis last answered; None before."""
        return None if self._day_left is None or self._day_left > NO_DAY // 2 else self._day_left

    def is_idle(self) -> bool:
        """Whether it holds nothing that Redis does not know, and nothing by which to see what Redis lost."""
        return self._agent is None and not (self._held or self._ready) and not self._has_heard(self._clock.monotonic())

    def _has_heard(self, now: float) -> bool:
        return now - self._heard_at < _KNOWN * self.per_seconds

    async def close(self) -> None:
        """Report what is not reported yet, and ask no more."""
        self._is_closed = True
        agent = self._agent
        if agent is not None:
            agent.cancel()
            await asyncio.wait([agent])
        for waiter in (*self._singles, *self._waiting):
            if not waiter.done():
                waiter.set_exception(ClientStateError("these limits were closed while the call waited"))
        self._singles.clear()
        self._waiting.clear()
        self._parked.clear()
        self._unused.extend(self._ready)
        self._ready.clear()
        if (self._answered or self._unused) and not self._failures:
            await self._exchange()

    # ------------------------------------------------------------------------------------------ the agent

    def _wake(self) -> None:
        self._tick.set()
        if self._agent is None and not self._is_closed:
            self._agent = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Exchange with Redis as long as there is something to ask or to report."""
        try:
            while (when := self._next_exchange()) is not None and not self._is_closed:
                self._tick.clear()
                if when > self._clock.monotonic():
                    timer = self._clock.call_at(when, self._tick.set)
                    try:
                        await self._tick.wait()
                    finally:
                        timer.cancel()
                else:
                    await self._exchange()
        finally:
            self._agent = None

    def _next_exchange(self) -> float | None:
        """When to ask or report next, or None where there is nothing."""
        times = [self._again_at] if self._failures else []
        now = self._clock.monotonic()
        if self._singles or self._waiting or self._parked:
            times.append(self._again_at)
        if self._answered:
            times.append(self._answered[0].at + _GATHER * self.per_seconds)
        if self._unused or now < self._unreported_until:
            times.append(now)
        if self._held and self._alone is None:
            heard = min(slot.confirmed_at for slot in self._held.values())
            times.append(heard + _HEARTBEAT * self.per_seconds)
        if self._ready:
            times.append(self._ready[0].free_at + _UNUSED * self.per_seconds)
        if not times:
            return None
        return max(min(times), self._again_at) if self._failures else min(times)

    async def _exchange(self) -> None:
        now = self._clock.monotonic()
        self._drop_cancelled()
        self._return_ready(now)
        request, unreported = self._build_request(now), (self._answered, self._unused, self._unreported_until)
        self._answered, self._unused, self._unreported_until = [], [], -math.inf
        try:
            answer = decode_answer(await self._ask(encode_request(request)))
        except (ConnectionError, asyncio.CancelledError) as error:
            # Redis may have run the script all the same. So the report is sent again, which is safe, and so is the
            # number of this request, by which the slots that it took for nobody come back.
            answered, unused, unreported_until = unreported
            self._answered, self._unused = [*answered, *self._answered], [*unused, *self._unused]
            self._unreported_until = max(unreported_until, self._unreported_until)
            self._lost = [*self._lost, request.number][-_MOST_LOST:]
            if isinstance(error, asyncio.CancelledError):
                raise
            self._miss()
            return
        self._lost.clear()
        self._is_single_seen = self._is_single_seen and bool(self._singles)
        for name in request.in_flight:
            if name in self._held:
                self._held[name].confirmed_at = now
        self._failures, self._alone = 0, None
        self._believe(answer, asked_at=now)

    def _drop_cancelled(self) -> None:
        for lane in (self._singles, self._waiting):
            if any(waiter.done() for waiter in lane):
                waiting = [waiter for waiter in lane if not waiter.done()]
                lane.clear()
                lane.extend(waiting)

    def _return_ready(self, now: float) -> None:
        """Give slots back that no load took."""
        while self._ready and now >= self._ready[0].free_at + _UNUSED * self.per_seconds:
            self._unused.append(self._ready.popleft())

    def _build_request(self, now: float) -> WindowRequest:
        self._number += 1
        limit, alone = self._limit, self._alone
        parked = _PARKED_AT_ONCE if self._parked else 0
        return WindowRequest(
            holder=self._holder,
            number=self._number,
            born=self._born if self._has_heard(now) else 0,
            runs=self._runs,
            used_ago=0.0 if self._held else min((now - self._used_at) * 1000, LONG_AGO),
            max=limit.max_requests,
            length=limit.per_seconds * 1000,
            daily=NO_DAY if limit.daily is None else limit.daily,
            answered=[
                Answered(
                    used.slot.name, used.slot.lead, (now - used.at) * 1000, used.is_answered, their_quota(used.quota)
                )
                for used in self._answered
            ],
            unused=[Unused(slot.name, max(slot.free_at - now, 0.0) * 1000) for slot in self._unused],
            lost=self._lost.copy(),
            in_flight=[
                slot.name
                for slot in self._held.values()
                if now - slot.confirmed_at >= _HEARTBEAT * self.per_seconds * 0.9 or alone is not None
            ],
            # Those of the share that are held are reported as in flight.
            used_elsewhere=0
            if alone is None
            else alone.in_use() - sum(slot.is_of(alone) for slot in self._held.values()),
            pause=max(self._unreported_until - now, 0.0) * 1000,
            longest=self._longest * 1000,
            single_seen=self._is_single_seen,
            singles=min(len(self._singles), _MOST_AT_ONCE),
            bulk=min(len(self._waiting) + parked, _MOST_AT_ONCE),
        )

    def _believe(self, answer: WindowAnswer, *, asked_at: float) -> None:
        now = self._clock.monotonic()
        ahead = self._leap(answer, now, asked_at=asked_at)
        was_paused = self.is_paused()
        self._heard_at, self._born, self._runs = now, answer.born, answer.runs
        if (answer.capacity, answer.length / 1000) != (self.capacity, self.per_seconds):
            self.capacity, self.per_seconds = answer.capacity, answer.length / 1000
            name = clean_text(self._location_id)
            _log.info("location %s: the limit is %d calls in %g s now", name, self.capacity, self.per_seconds)
        self._again_at = -math.inf if answer.again is None else now + answer.again / 1000
        has_news = now < self._unreported_until  # a pause that began since Redis was asked
        self._paused_until = max(now + answer.paused_for / 1000, self._paused_until if has_news else -math.inf)
        self._refused_until = max(now + answer.refused_for / 1000, self._refused_until if has_news else -math.inf)
        if (
            answer.paused_for and not was_paused
        ):  # another process was rate-limited (HTTP 429), or Redis lost what it knew
            self._give_way(now)
        self._day_left = answer.day_left
        self._day_spent_until = now + answer.day_ends_in / 1000 if answer.is_day_spent else -math.inf
        slots = [
            SharedSlot(slot.name, now + slot.wait / 1000, slot.lead, asked_at)
            for slot in answer.slots
            if isinstance(slot, Promised)
        ]
        if ahead:
            self._wait_for_leap(slots)
        else:
            self._hand_out(answer, deque(slots))

    def _leap(self, answer: WindowAnswer, now: float, *, asked_at: float) -> float:
        """Return by how much the clock of Redis leapt ahead for certain since it last answered, or 0."""
        # Redis read its clock between `asked_at` and `now`, so its clock is ahead of ours by `least` to `most`. That it
        # leapt is certain only by how much the least of now exceeds the most of before.
        least, most = answer.now / 1000 - now, answer.now / 1000 - asked_at
        ahead, self._clock_ahead = least - self._clock_ahead, most
        since = now - self._heard_at
        if not self._has_heard(now) or ahead <= _MARGIN * (self.per_seconds + since):
            return 0.0
        return min(ahead, self.per_seconds)

    def _wait_for_leap(self, slots: list[SharedSlot]) -> None:
        """Give back the slots that a clock that leapt freed too early, and pause for a whole window.

        A slot may have been used the moment before the leap, by any process, and Redis would free it too early by as
        much as its clock leapt. After a window without calls no call from before it counts any more.
        """
        name, wait = clean_text(self._location_id), self.per_seconds * (1 + _MARGIN)
        _log.warning("location %s: the clock of Redis leapt ahead; nothing is sent for %.1f s", name, wait)
        self._unused.extend(slots)
        self._stop_sending(wait, DAY_SECONDS)

    def _hand_out(self, answer: WindowAnswer, slots: deque[SharedSlot]) -> None:
        for lane in (self._singles, self._waiting):
            while lane and (slots or answer.is_day_spent):
                waiter = lane.popleft()
                if waiter.done():
                    continue
                if slots:
                    slot = slots.popleft()
                    self._held[slot.name] = slot  # from now on, not from when the waiter goes on
                    waiter.set_result(slot)
                else:
                    waiter.set_exception(day_spent(self._location_id, answer.day_ends_in / 1000, self._clock.time()))
        if self._parked and (slots or answer.is_day_spent):
            self._ready.extend(slots)
            slots.clear()
            self._call_parked()
        self._unused.extend(slots)

    def _call_parked(self) -> None:
        parked, self._parked = self._parked, []
        for callback in parked:
            callback()

    # ------------------------------------------------------------------------------------------ without Redis

    def _miss(self) -> None:
        """Let calls wait; use the share of this process after a lease, in which slots given out before lapse."""
        now = self._clock.monotonic()
        if not self._failures:
            self._lost_at = now
        self._again_at = now + _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
        self._failures += 1
        if self._share and self._alone is None and now - self._lost_at > LEASE * self.per_seconds:
            most = max(int(self.capacity * self._share), 1)
            self._alone = LocalWindow(self._location_id, RateLimit(most, self.per_seconds, daily=None), self._clock)
            for waiter in (*self._singles, *self._waiting):
                if not waiter.done():
                    waiter.set_result(None)
            self._singles.clear()
            self._waiting.clear()
            self._unused.extend(self._ready)
            self._ready.clear()
            self._call_parked()

    async def _acquire_alone(self, alone: LocalWindow, *, bulk: bool) -> SharedSlot | None:
        self._wake()
        number = await alone.acquire(bulk=bulk)
        if number is None:
            return None
        now = self._clock.monotonic()
        if alone is not self._alone:
            alone.give_back(number)
            return None
        self._number += 1
        return SharedSlot(f"{self._holder}:{self._number}:alone", now, 0.0, now, (alone, number))
