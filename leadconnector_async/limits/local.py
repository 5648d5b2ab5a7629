"""The windows of locations, kept in this process."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from bisect import insort
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from ..clock import Clock, SystemClock, Timer
from ..errors import ConfigurationError
from ..protocol.answers import Quota, clean_text
from .day import DAY_SECONDS, Day, day_spent
from .limit import RateLimit, pause_too_long, strictest, turn_away, wait_in_lane

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

_log = logging.getLogger(__name__)

_DEFAULT_INTERVAL = 10.0
# Our clock and the service's may differ in speed, so wait this share of the window longer.
_MARGIN = 0.001

_FEWEST_WINDOWS = 1_000  # below this none is forgotten
_SPARE_SHARE = 10  # of a window's slots, one in so many is left to single calls while there are any
_ALONE_SECONDS = 2.0  # how long others wait for the answer to a first call
_MOST_ALONE = 3  # first calls without an answer, before others go as well
_SECONDS_BETWEEN_LOGS = 60.0  # a service whose headers alternate would fill the log


class LocalLimits:
    """Windows kept in this process; clients that are given the same object share them.

    Where clients name different limits for a location, the strictest holds.

    Args:
        max_calls_per_second: Cap on all locations together, for a process that should leave the machine or the network
            to others; None for no cap. As many may go at once after a rest, and as many again in the second after.
        clock: Where time comes from.

    Raises:
        ConfigurationError: The cap is not above 0.
    """

    def __init__(self, *, max_calls_per_second: float | None = None, clock: Clock | None = None) -> None:
        if max_calls_per_second is not None and not max_calls_per_second > 0:
            raise ConfigurationError(f"max_calls_per_second is {max_calls_per_second}; it must be above 0")
        self._clock = clock or SystemClock()
        self._windows: dict[str, LocalWindow] = {}
        self._sweep_at = _FEWEST_WINDOWS
        self._most_a_second = max_calls_per_second
        self.is_paced = max_calls_per_second is not None
        self._used_elsewhere: tuple[int | None, float] = (0, -math.inf)  # slots, and until when
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pace: AsyncLimiter | None = None
        self._set_pace()

    def _set_pace(self) -> None:
        self._turn_of_bulk = asyncio.Lock()
        most = self._most_a_second
        if most is not None:
            from aiolimiter import AsyncLimiter  # where there is a cap: importing it takes as long as half of this wing

            self._pace = AsyncLimiter(most, 1) if most >= 1 else AsyncLimiter(1, 1 / most)

    def assume_used(self, slots: int | None, seconds: float, *, location_id: str | None = None) -> None:
        """Take slots (None for all) of each window that was not used yet, or of one, as used by another process, for
        so long."""
        until = self._clock.monotonic() + seconds
        if location_id is not None:
            self._windows[location_id].assume_used(slots, until)
            return
        self._used_elsewhere = slots, until
        for window in self._windows.values():
            window.assume_used(*self._used_elsewhere)

    async def open(self) -> None:
        """Be ready for a client: on another event loop than before, nobody waits any more."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self._set_pace()
            for window in self._windows.values():
                window.forget_waiters()
        self._loop = loop

    async def close(self) -> None:
        """Do nothing: what a client sent counts on for the others, and for one that is opened next."""

    def window(self, location_id: str, rate_limit: RateLimit | None) -> LocalWindow:
        """Return the window of a location (None as limit: only pauses)."""
        window = self._windows.get(location_id)
        if window is None:
            if len(self._windows) >= self._sweep_at:
                self._forget_idle()
            window = self._windows[location_id] = LocalWindow(location_id, rate_limit, self._clock)
            window.assume_used(*self._used_elsewhere)
        elif rate_limit is not window.limit and rate_limit is not None:
            window.tighten(rate_limit)
        return window

    def _forget_idle(self) -> None:
        """Forget locations with nothing to do: a first call, which goes alone, learns all of it again."""
        self._windows = {name: window for name, window in self._windows.items() if not window.is_idle()}
        self._sweep_at = max(2 * len(self._windows), _FEWEST_WINDOWS)

    async def pace(self, *, bulk: bool) -> None:
        """Wait until the cap on all locations together allows another call; of a load only one waits at a time."""
        if self._pace is None:
            return
        if not bulk:
            await self._pace.acquire()
            return
        async with self._turn_of_bulk:
            await self._pace.acquire()


class LocalWindow:
    """The slots of one location, of which this process alone knows.

    There are two lanes: single calls, for which somebody waits, go before bulk rows. While single calls have been seen
    within a window, bulk leaves a tenth of the slots free for the next ones. Within a lane it is first come, first
    served. A waiter that is cancelled leaves no slot behind.

    Until a first answer says what is left of the quota, and shows that the token is good, one call goes alone.

    `_in_use` counts the slots that are taken, those that cool, and those held back for other users of the quota. A slot
    is taken only while `_in_use < capacity`; `limit.py` proves that this is enough.

    Attributes:
        limit: What the caller allows, or None.
        capacity: Slots, by the caller's limit and the service's.
        per_seconds: How long after an answer its slot is free again.
        day: The calls of the day.
    """

    __slots__ = (
        "_alone",
        "_alone_until",
        "_clock",
        "_cooling",
        "_has_answer",
        "_in_flight",
        "_in_use",
        "_location_id",
        "_logged_at",
        "_parked",
        "_paused_until",
        "_refused_until",
        "_sent",
        "_single_seen_until",
        "_singles",
        "_timer",
        "_timer_at",
        "_waiting",
        "capacity",
        "day",
        "limit",
        "per_seconds",
    )

    def __init__(self, location_id: str, limit: RateLimit | None, clock: Clock) -> None:
        self._location_id = location_id
        self._clock = clock
        self.limit = limit
        self.capacity = sys.maxsize if limit is None else limit.max_requests
        self.per_seconds = 0.0 if limit is None else limit.per_seconds
        self.day = Day(None if limit is None else limit.daily)
        self._in_flight = 0  # calls sent and not answered
        self._has_answer = False
        self._alone = 0  # first calls that ended without an answer
        self._alone_until = -math.inf
        self._in_use = 0  # slots of calls in flight, slots cooling, and slots that others use
        self._sent = 0
        self._cooling: deque[float] = deque()  # when each slot that was used is free again, in order
        self._paused_until = 0.0
        self._refused_until = 0.0
        self._single_seen_until = -math.inf  # until when bulk leaves slots to single calls
        self._singles: deque[asyncio.Future[int | None]] = deque()
        self._waiting: deque[asyncio.Future[int | None]] = deque()  # the bulk lane
        self._parked: list[Callable[[], None]] = []  # loads with rows, to be called when bulk has room
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._logged_at = -math.inf

    def tighten(self, limit: RateLimit) -> None:
        """Keep this limit, too."""
        if self.limit is None:
            self.day.tighten(limit.daily)
            self.limit, self.capacity, self.per_seconds = limit, limit.max_requests, limit.per_seconds
            return
        ours = self.limit
        calls, seconds = strictest((ours.max_requests, ours.per_seconds), (limit.max_requests, limit.per_seconds))
        days = [daily for daily in (ours.daily, limit.daily) if daily is not None]
        both = RateLimit(calls, seconds, daily=min(days, default=None))
        if both != ours:
            self.limit = both
            self.capacity, self.per_seconds = strictest((self.capacity, self.per_seconds), (calls, seconds))
            self.day.tighten(both.daily)

    async def acquire(self, *, bulk: bool = False) -> int | None:
        """Take a slot, waiting for one in turn, as `Window` says."""
        now = self._clock.monotonic()
        if not bulk:
            self._single_seen_until = now + self.per_seconds
        if now < self._paused_until and (bulk or now < self._refused_until):
            if now >= self._refused_until and self._is_day_spent(now):  # as `is_ready` says
                raise day_spent(self._location_id, self.day.resets_in(now), self._clock.time())
            if now < self._refused_until:
                raise pause_too_long(self._paused_until - now)
            return None
        if not self._singles and not (bulk and self._waiting) and self._has_room(now, bulk=bulk):
            return self._take(now)
        return await self._wait_in_turn(bulk)

    def release(self, slot: int, quota: Quota | None = None, *, is_answered: bool = True) -> None:
        """Give a slot back whose call may have left."""
        now = self._clock.monotonic()
        if not self._has_answer:
            self._alone += 1
            self._has_answer = is_answered or self._alone >= _MOST_ALONE
            self._cancel_timer()  # it was for the others, who waited for this
        self._in_flight -= 1
        if quota is None:
            self.day.count_unseen()
        else:
            self.day.believe(quota, now)
            if self.limit is not None:
                self._believe(quota, slot, now, self.limit)
        # The service counted the call by now, so it has left every window of the service's by then. After `_believe`:
        # if this answer says that the window is longer, its own slot cools for that long.
        self._cool(now + self.per_seconds * (1 + _MARGIN))
        if self._waiting or self._singles or self._parked:
            self._serve()

    def _cool(self, free_at: float) -> None:
        cooling = self._cooling
        if cooling and free_at < cooling[-1]:
            insort(cooling, free_at)
        else:
            cooling.append(free_at)

    def assume_used(self, slots: int | None, until: float) -> None:
        """Let slots (None for all) cool until a time, as another process used them; not once this one has used any."""
        if self.limit is None or self._sent or until <= self._clock.monotonic():
            return
        count = min(self.capacity if slots is None else slots, self.capacity)
        for _ in range(count - self._in_use):
            self._in_use += 1
            self._cool(until)

    def give_back(self, slot: int) -> None:
        """Give a slot back whose call never left; it is free at once."""
        self._in_flight -= 1
        self._in_use -= 1
        if self._waiting or self._singles or self._parked:
            self._serve()

    def is_paused(self) -> bool:
        """Whether nothing is sent for now, as after a 429."""
        return self._clock.monotonic() < self._paused_until

    def is_ready(self) -> bool:
        """Whether a call of the bulk lane would not wait: it is sent, or refused."""
        now = self._clock.monotonic()
        is_first = not self._singles and not self._waiting
        return is_first and (self._has_room(now, bulk=True) or now < self._refused_until or self._is_day_spent(now))

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once, when `is_ready` may have become true."""
        self._parked.append(callback)
        self._serve()

    def is_idle(self) -> bool:
        """Whether it holds nothing that the next answer would not say."""
        now = self._clock.monotonic()
        self._has_room(now, bulk=False)
        is_waited_for = self._waiting or self._singles or self._parked
        is_busy = is_waited_for or self._in_use or self._in_flight or now < self._paused_until
        return not is_busy and self.day.is_kept_elsewhere(now)

    def in_use(self) -> int:
        """How many slots are held or not free yet."""
        self._has_room(self._clock.monotonic(), bulk=False)
        return self._in_use

    def forget_waiters(self) -> None:
        """Forget who waits: their event loop is gone."""
        self._singles.clear()
        self._waiting.clear()
        self._parked.clear()
        self._timer = None

    def pause(self, seconds: float | None, *, longest: float = DAY_SECONDS) -> None:
        """Send nothing more for some time after a 429; rows of loads that wait give way."""
        wait = (self.per_seconds or _DEFAULT_INTERVAL) * (1 + _MARGIN) if seconds is None else seconds
        now = self._clock.monotonic()
        if now >= self._paused_until:  # else another of its calls has logged it
            name = clean_text(self._location_id)
            _log.info("location %s: rate-limited (HTTP 429); nothing is sent for %.1f s", name, wait)
        self._paused_until = max(self._paused_until, now + wait)
        if seconds is not None and seconds > longest:
            self._refused_until = max(self._refused_until, now + wait - longest)
            turn_away(self._singles, self._paused_until - now)
        turn_away(self._waiting, self._paused_until - now if now < self._refused_until else None)
        self._call_parked()

    def calls_left_today(self) -> int | None:
        """Return how many calls of the day are left, as far as known; None before the first call."""
        left = self.day.left(self._clock.monotonic()) - self._in_flight
        return left if self._sent and left < sys.maxsize // 2 else None

    def _has_room(self, now: float, *, bulk: bool) -> bool:
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            cooling.popleft()
            self._in_use -= 1
        if not self._has_answer and self._must_wait_for_first(now, bulk=bulk):
            return False
        most = self.capacity - (self._spare(now) if bulk else 0)
        # Calls in flight are not in `day.left` yet: with these and one more, the day is not overdrawn.
        return self._in_use < most and now >= self._paused_until and self.day.left(now) > self._in_flight

    def _must_wait_for_first(self, now: float, *, bulk: bool) -> bool:
        return bool(self._in_flight) and now < self._alone_until and (bulk or self.limit is not None)

    def _spare(self, now: float) -> int:
        """How many slots bulk must leave free; never so many that it stands still."""
        if now >= self._single_seen_until:
            return 0
        return min(max(self.capacity // _SPARE_SHARE, 1), self.capacity - 1)

    def _take(self, now: float) -> int:
        # `_leave_room_for_others` adds what has been sent by the time of the answer: the slots in use now plus the
        # calls sent from now on are all of ours that the service can have in its window when it counts this call.
        slot = self._in_use - self._sent
        self._in_use += 1
        self._in_flight += 1
        self._sent += 1
        if not self._has_answer:
            self._alone_until = now + _ALONE_SECONDS
        return slot

    async def _wait_in_turn(self, bulk: bool) -> int | None:
        waiter: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        (self._waiting if bulk else self._singles).append(waiter)
        self._serve()
        return await wait_in_lane(waiter, self.give_back)

    def _serve(self) -> None:
        """Hand free slots to those who wait, and see to it that this is called again when there may be more."""
        now = self._clock.monotonic()
        for waiting, bulk in ((self._singles, False), (self._waiting, True)):
            while waiting:
                if waiting[0].done():  # cancelled
                    waiting.popleft()
                elif self._has_room(now, bulk=bulk):
                    waiting.popleft().set_result(self._take(now))
                elif self._is_day_spent(now):
                    reason = day_spent(self._location_id, self.day.resets_in(now), self._clock.time())
                    waiting.popleft().set_exception(reason)
                else:
                    self._call_again(now, bulk=bulk)
                    return
        if self._parked:
            if self.is_ready():
                self._call_parked()
            else:
                self._call_again(now, bulk=True)

    def _call_parked(self) -> None:
        parked, self._parked = self._parked, []
        for callback in parked:
            callback()

    def _call_again(self, now: float, *, bulk: bool) -> None:
        when = self._next_change(now, bulk=bulk)
        # None: only an answer to a call in flight can bring room, and `release` serves.
        if when is None or (self._timer is not None and self._timer_at <= when):
            return
        self._cancel_timer()
        self._timer, self._timer_at = self._clock.call_at(when, self._timer_fired), when

    def _next_change(self, now: float, *, bulk: bool) -> float | None:
        """When there may be room without an answer, or None."""
        if not self._has_answer and self._must_wait_for_first(now, bulk=bulk):
            return max(self._alone_until, self._paused_until)
        spare = self._spare(now) if bulk else 0
        if self._in_use < self.capacity - spare:
            return self._paused_until if self._paused_until > now else None
        changes = [*islice(self._cooling, 1), *([self._single_seen_until] if spare else ())]
        return max(min(changes), self._paused_until) if changes else None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_fired(self) -> None:
        self._timer = None
        self._serve()

    def _is_day_spent(self, now: float) -> bool:
        return self._in_flight == 0 and self.day.left(now) <= 0

    def _believe(self, quota: Quota, slot: int, now: float, limit: RateLimit) -> None:
        """Correct the constants by what the service says, never to more than the caller allowed."""
        if not quota.max_requests:
            return
        theirs = quota.max_requests, quota.per_seconds or limit.per_seconds
        self._set(*strictest((limit.max_requests, limit.per_seconds), theirs), now)
        if quota.remaining is not None and self.per_seconds >= theirs[1]:  # else ours are too short to be compared
            self._leave_room_for_others(quota.max_requests, quota.remaining, slot, now)

    def _set(self, capacity: int, per_seconds: float, now: float) -> None:
        if capacity == self.capacity and per_seconds == self.per_seconds:
            return
        if per_seconds < self.per_seconds:  # all that cool were counted by now, so they are free a new window from now
            latest = now + per_seconds * (1 + _MARGIN)
            self._cooling = deque(min(free_at, latest) for free_at in self._cooling)
        self.capacity, self.per_seconds = capacity, per_seconds
        if now >= self._logged_at + _SECONDS_BETWEEN_LOGS:
            self._logged_at = now
            name = clean_text(self._location_id)
            _log.info("location %s: the limit is %d calls in %g s now", name, capacity, per_seconds)

    def _leave_room_for_others(self, theirs: int, remaining: int, lead: int, now: float) -> None:
        """Hold back slots for the calls of others, for as long as the service may count them.

        Args:
            theirs: The service's limit.
            remaining: What the service says is left of it.
            lead: Slots in use when the call took its own, less the calls sent before it.
            now: When the answer came.
        """
        # Counted by the service, less the most that can be ours.
        others = theirs - remaining - (lead + self._sent)
        # What the service allows and we may not use is theirs first.
        held_back = min(others - (theirs - self.capacity), self.capacity)
        if held_back > 0:
            name = clean_text(self._location_id)
            _log.debug("location %s: others have used %d calls of its window", name, others)
            self._in_use += held_back
            for _ in range(held_back):
                self._cool(now + self.per_seconds * (1 + _MARGIN))
