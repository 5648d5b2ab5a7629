"""The window of one location, shared with other processes: asks Redis for slots, and tells what became of them.

While calls wait, one request at a time asks for as many slots as there are waiters, and tells of all calls answered
meanwhile. A slot is promised for a moment; until then its call waits here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .answers import Quota, clean_text
from .clock import Clock
from .day import DAY_SECONDS, day_spent
from .errors import LocationPausedError, RateLimitStuckError
from .limits import RateLimit
from .local_limits import LocalWindow

_log = logging.getLogger(__name__)

_NO_DAY: Final = 10**12  # calls a day, where there is no daily limit
_MOST_AT_ONCE: Final = 100  # slots asked for in one request
_PARKED_AT_ONCE: Final = 10  # slots asked for where a load waits with rows
_LEASE: Final = 1.02  # windows, as in the script
_GATHER: Final = 0.005  # of a window: how long answers are gathered before Redis is told
_HEARTBEAT: Final = 0.25  # of a window: how often calls in flight are told to be alive
_UNUSED: Final = 0.02  # of a window: how long a slot is kept for a load that asked for it
_KNOWN: Final = 2.0  # windows: what Redis was told so long ago no longer matters
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # between tries while Redis does not answer


class TheirQuota(Struct, frozen=True, omit_defaults=True, gc=False):
    """What the headers of an answer said, in the script's words."""

    max: int | UnsetType = UNSET
    remaining: int | UnsetType = UNSET
    length: float | UnsetType = UNSET
    daily: int | UnsetType = UNSET
    daily_reset: float | UnsetType = UNSET


class Answered(Struct, frozen=True, omit_defaults=True, gc=False):
    """A call that was answered, or given up when its bytes may have left."""

    name: str
    lead: float
    ago: float
    is_answered: bool
    quota: TheirQuota | UnsetType = UNSET


class Unused(Struct, frozen=True, gc=False):
    """A slot whose call never left."""

    name: str
    free_in: float


class Said(Struct, kw_only=True, gc=False):
    """What the script is told and asked; times in milliseconds."""

    holder: str
    number: int
    max: int
    length: float
    daily: int
    known: bool
    answered: list[Answered]
    unused: list[Unused]
    in_flight: list[str]
    used_elsewhere: int
    pause: float
    single_seen: bool
    singles: int
    bulk: int


class Promised(Struct, frozen=True, gc=False):
    """A slot: its name, how long until it may be used, and what `believe` needs."""

    name: str
    wait: float
    lead: float


class Told(Struct, frozen=True, kw_only=True, gc=False):
    """What the script answers; times in milliseconds."""

    singles: int
    capacity: int
    length: float
    day_left: int
    is_day_spent: bool
    day_ends_in: float
    paused_for: float
    slots: list[Promised] | dict[str, Any] = {}  # an empty list comes as an empty object
    again: float | None = None


Ask = Callable[[bytes], Awaitable[bytes]]
_decode: Final = msgspec.json.Decoder(Told, strict=False).decode
_encode: Final = msgspec.json.encode


class SharedSlot:
    """A slot that is held.

    Attributes:
        free_at: When it may be used, by the monotonic clock.
        told_at: When Redis last heard that it is held, by the same clock.
    """

    __slots__ = ("free_at", "lead", "local", "name", "told_at")

    def __init__(self, name: str, free_at: float, lead: float, told_at: float, local: int | None = None) -> None:
        self.name = name
        self.free_at = free_at
        self.lead = lead
        self.told_at = told_at
        self.local = local  # the slot of the share that is used without Redis


def _their_quota(quota: Quota | None) -> TheirQuota | UnsetType:
    """Leave out what the headers did not say."""
    if quota is None:
        return UNSET
    return TheirQuota(
        max=UNSET if quota.max_requests is None else quota.max_requests,
        remaining=UNSET if quota.remaining is None else quota.remaining,
        length=UNSET if quota.per_seconds is None else quota.per_seconds * 1000,
        daily=UNSET if quota.daily_remaining is None else quota.daily_remaining,
        daily_reset=UNSET if quota.daily_reset is None else quota.daily_reset * 1000,
    )


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
        # What Redis is to be told.
        self._answered: list[tuple[SharedSlot, float, Quota | None, bool]] = []
        self._unused: list[SharedSlot] = []
        self._pause: float = 0.0
        self._is_single_seen = False
        # What it told.
        self._number = 0
        self._again_at = -math.inf
        self._answered_at = -math.inf
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

    # ------------------------------------------------------------------------------------------ for calls

    async def acquire(self, *, bulk: bool = False) -> SharedSlot:
        """Take a slot, waiting for one in turn."""
        self._is_single_seen |= not bulk
        while True:
            self._check_pause(bulk=bulk)
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
                if await self._wait_until_free(slot):
                    return slot
            except asyncio.CancelledError:
                self.give_back(slot)
                raise
            self.give_back(slot)

    def _check_pause(self, *, bulk: bool) -> None:
        """Refuse rows of loads while the location is paused, and all where that is for longer than is waited for."""
        now = self._clock.monotonic()
        if now < self._paused_until and (bulk or now < self._refused_until):
            raise self._refusal(now)

    def _refusal(self, now: float) -> LocationPausedError | RateLimitStuckError:
        if now >= self._refused_until:
            return LocationPausedError("the location is paused; its rows are sent later")
        return RateLimitStuckError(
            f"the service asks not to be called for {self._paused_until - now:.0f} s, longer than the retry policy "
            "waits (max_retry_after); go on later",
            rate_limited=0,
        )

    async def _wait_in_turn(self, *, bulk: bool) -> SharedSlot | None:
        waiter: asyncio.Future[SharedSlot | None] = asyncio.get_running_loop().create_future()
        (self._waiting if bulk else self._singles).append(waiter)
        if not bulk or self._again_at <= self._clock.monotonic():
            self._again_at = -math.inf
        self._wake()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                slot = waiter.result()
                if slot is not None:
                    self.give_back(slot)
            raise

    async def _wait_until_free(self, slot: SharedSlot) -> bool:
        """Wait for the moment that was promised; False where a 429 came in between."""
        wait = slot.free_at - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        return self._paused_until <= self._clock.monotonic()

    def release(self, slot: SharedSlot, quota: Quota | None = None, *, is_answered: bool = True) -> None:
        """Give a slot back whose call may have left."""
        self._held.pop(slot.name, None)
        if slot.local is not None and self._alone is not None:
            self._alone.release(slot.local, quota, is_answered=is_answered)
            return
        if slot.local is not None:
            quota = None  # what Redis knows was not asked for this call, and cannot be compared
        self._answered.append((slot, self._clock.monotonic(), quota, is_answered))
        self._wake()

    def give_back(self, slot: SharedSlot) -> None:
        """Give a slot back whose call never left."""
        self._held.pop(slot.name, None)
        if slot.local is None:
            self._unused.append(slot)
            self._wake()
        elif self._alone is not None:
            self._alone.give_back(slot.local)

    def pause(self, seconds: float | None, *, longest: float = DAY_SECONDS) -> None:
        """Send nothing more for some time after a 429; rows of loads that wait give way."""
        wait = self.per_seconds if seconds is None else seconds
        now = self._clock.monotonic()
        if now >= self._paused_until:
            name = clean_text(self._location_id)
            _log.info("location %s: answered 429; nothing more is sent for %.1f s", name, wait)
        self._paused_until = max(self._paused_until, now + wait)
        if seconds is not None and seconds > longest:
            self._refused_until = max(self._refused_until, now + wait - longest)
        self._pause = -1.0 if seconds is None else max(self._pause, seconds * 1000)
        if self._alone is not None:
            self._alone.pause(seconds, longest=longest)
        self._give_way(now)
        self._wake()

    def _give_way(self, now: float) -> None:
        """Let those who wait hear of a pause, by this process or another."""
        lanes = (self._singles, self._waiting) if now < self._refused_until else (self._waiting,)
        for lane in lanes:
            while lane:
                waiter = lane.popleft()
                if not waiter.done():
                    waiter.set_exception(self._refusal(now))
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
        return None if self._day_left is None or self._day_left > _NO_DAY // 2 else self._day_left

    def is_idle(self) -> bool:
        """Whether it holds nothing that Redis does not know."""
        return self._agent is None and not (self._held or self._ready)

    async def close(self) -> None:
        """Tell what is not told, and ask no more."""
        agent = self._agent
        if agent is not None:
            agent.cancel()
            await asyncio.wait([agent])
        if self._answered or self._unused or self._ready:
            self._unused.extend(self._ready)
            self._ready.clear()
            await self._exchange()

    # ------------------------------------------------------------------------------------------ the agent

    def _wake(self) -> None:
        self._tick.set()
        if self._agent is None:
            self._agent = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Ask and tell, as long as there is something to ask or tell."""
        try:
            while (when := self._next_exchange()) is not None:
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
        """When to ask or tell next, or None where there is nothing."""
        times = [self._again_at] if self._failures else []
        if self._singles or self._waiting or self._parked:
            times.append(self._again_at)
        if self._answered:
            times.append(self._answered[0][1] + _GATHER * self.per_seconds)
        if self._unused or self._pause:
            times.append(self._clock.monotonic())
        if self._held and self._alone is None:
            heard = min(slot.told_at for slot in self._held.values())
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
        said, unsaid = self._say(now), (self._answered, self._unused, self._pause)
        self._answered, self._unused, self._pause = [], [], 0.0
        try:
            told = _decode(await self._ask(_encode(said)))
        except ConnectionError as error:
            answered, unused, pause = unsaid
            self._answered, self._unused = [*answered, *self._answered], [*unused, *self._unused]
            self._pause = self._pause or pause
            self._miss(error)
            return
        self._is_single_seen = self._is_single_seen and bool(self._singles)
        for name in said.in_flight:
            if name in self._held:
                self._held[name].told_at = now
        self._come_back()
        self._believe(told)
        self._hand_out(told, asked_at=now)

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

    def _say(self, now: float) -> Said:
        self._number += 1
        parked = _PARKED_AT_ONCE if self._parked else 0
        return Said(
            holder=self._holder,
            number=self._number,
            max=self._limit.max_requests,
            length=self._limit.per_seconds * 1000,
            daily=_NO_DAY if self._limit.daily is None else self._limit.daily,
            known=now - self._answered_at < _KNOWN * self.per_seconds,
            answered=[
                Answered(slot.name, slot.lead, (now - at) * 1000, is_answered, _their_quota(quota))
                for slot, at, quota, is_answered in self._answered
            ],
            unused=[Unused(slot.name, max(slot.free_at - now, 0.0) * 1000) for slot in self._unused],
            in_flight=[
                slot.name
                for slot in self._held.values()
                if now - slot.told_at >= _HEARTBEAT * self.per_seconds * 0.9 and slot.local is None
            ],
            used_elsewhere=0 if self._alone is None else self._alone.in_use(),
            pause=self._pause,
            single_seen=self._is_single_seen,
            singles=min(len(self._singles), _MOST_AT_ONCE),
            bulk=min(len(self._waiting) + parked, _MOST_AT_ONCE),
        )

    def _believe(self, told: Told) -> None:
        now = self._answered_at = self._clock.monotonic()
        if (told.capacity, told.length / 1000) != (self.capacity, self.per_seconds):
            self.capacity, self.per_seconds = told.capacity, told.length / 1000
            name = clean_text(self._location_id)
            _log.info("location %s: the limit is %d calls in %g s now", name, self.capacity, self.per_seconds)
        self._again_at = -math.inf if told.again is None else now + told.again / 1000
        was_paused, self._paused_until = self._paused_until > now, now + told.paused_for / 1000
        if told.paused_for and not was_paused:  # another process was answered 429
            self._give_way(now)
        self._day_left = told.day_left
        self._day_spent_until = now + told.day_ends_in / 1000 if told.is_day_spent else -math.inf

    def _hand_out(self, told: Told, *, asked_at: float) -> None:
        slots = deque(
            SharedSlot(slot.name, self._answered_at + slot.wait / 1000, slot.lead, asked_at)
            for slot in told.slots
            if isinstance(slot, Promised)
        )
        for lane in (self._singles, self._waiting):
            while lane and (slots or told.is_day_spent):
                waiter = lane.popleft()
                if waiter.done():
                    continue
                if slots:
                    slot = slots.popleft()
                    self._held[slot.name] = slot  # from now on, not from when the waiter goes on
                    waiter.set_result(slot)
                else:
                    waiter.set_exception(day_spent(self._location_id, told.day_ends_in / 1000, self._clock.time()))
        if self._parked and (slots or told.is_day_spent):
            self._ready.extend(slots)
            slots.clear()
            self._call_parked()
        self._unused.extend(slots)

    def _call_parked(self) -> None:
        parked, self._parked = self._parked, []
        for callback in parked:
            callback()

    # ------------------------------------------------------------------------------------------ without Redis

    def _miss(self, error: ConnectionError) -> None:
        """Let calls wait; once all slots have come back, let the share of this process go."""
        now = self._clock.monotonic()
        if not self._failures:
            self._lost_at = now
            going_on = "wait until it does" if not self._share else f"go on at {self._share:.0%} of the limit"
            _log.warning("location %s: %s; calls %s", self._location_id, error, going_on)
        self._again_at = now + _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)]
        self._failures += 1
        if self._share and self._alone is None and now - self._lost_at > _LEASE * self.per_seconds:
            most = max(int(self.capacity * self._share), 1)
            self._alone = LocalWindow(self._location_id, RateLimit(most, self.per_seconds, daily=None), self._clock)
            for waiter in (*self._singles, *self._waiting):
                if not waiter.done():
                    waiter.set_result(None)
            self._singles.clear()
            self._waiting.clear()
            self._call_parked()

    async def _acquire_alone(self, alone: LocalWindow, *, bulk: bool) -> SharedSlot | None:
        self._wake()
        local = await alone.acquire(bulk=bulk)
        now = self._clock.monotonic()
        if alone is not self._alone:
            alone.give_back(local)
            return None
        self._number += 1
        return SharedSlot(f"{self._holder}:{self._number}:alone", now, 0.0, now, local)

    def _come_back(self) -> None:
        if self._failures:
            _log.info("location %s: Redis answers again", self._location_id)
        self._failures, self._alone = 0, None
