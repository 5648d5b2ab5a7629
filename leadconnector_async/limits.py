"""The rate limit of one location, kept so that no window of the server's holds more than it, however the server counts.

A slot is free again `per_seconds` after the answer (or failure) of the call that used it. The server saw that call
before its answer, and sees the next call of the slot after it is sent: so it sees at most one call per slot in
`per_seconds`, whether it counts in a fixed, an aligned or a sliding window, and whatever the latency.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol, TypeAlias

from aiolimiter import AsyncLimiter
from msgspec import Struct

from .answers import Quota
from .clock import Clock, SystemClock, Timer
from .day import DAY_SECONDS, Day, day_spent
from .errors import ConfigurationError

_log = logging.getLogger(__name__)

_DEFAULT_INTERVAL = 10.0
# The two clocks may differ in speed, and a timer is not exact: wait this share of the window longer.
_MARGIN = 0.001

_FEWEST_WINDOWS = 1_000  # below this none is forgotten
_SPARE_SHARE = 10  # of a window's slots, one in so many is left to single calls while there are any

Slot: TypeAlias = Any
"""What `Window.acquire` gives and `Window.release` takes back."""


class RateLimit(Struct, frozen=True):
    """The limits to begin with; what the service's headers say is stricter wins.

    Source: https://marketplace.gohighlevel.com/docs/other/rate-limits

    Attributes:
        max_requests: Calls in one window, per location.
        per_seconds: Length of the window in seconds.
        daily: Calls in 24 hours, per location, or None for no daily limit of ours.
    """

    max_requests: int = 100
    per_seconds: float = 10.0
    daily: int | None = 200_000

    def __post_init__(self) -> None:
        if (
            self.max_requests < 1
            or not 0 < self.per_seconds <= DAY_SECONDS
            or (self.daily is not None and self.daily < 1)
        ):
            raise ConfigurationError(f"{self} is no rate limit: each of its numbers must be above 0 (a day at most)")


class Window(Protocol):
    """The slots of one location, in two lanes. A slot that is taken must be given to `release` or `give_back`, once."""

    async def acquire(self, *, bulk: bool = False) -> Slot:
        """Take a slot, waiting for one in turn.

        Args:
            bulk: Whether the call is one of a load, and lets single calls go first.

        Raises:
            DailyQuotaExceededError: The day is spent; nothing was taken.
        """

    def release(self, slot: Slot, quota: Quota | None = None) -> None:
        """Give a slot back after its call was answered, failed, or was given up when its bytes may have left.

        Args:
            slot: What `acquire` returned.
            quota: What the headers of the answer say, or None.
        """

    def give_back(self, slot: Slot) -> None:
        """Give a slot back whose call never left; it is free at once."""

    def pause(self, seconds: float | None) -> None:
        """Send nothing more for some seconds after a 429; None: until any window has passed."""

    def is_ready(self) -> bool:
        """Whether a call of the bulk lane would not wait: it is sent, or refused as the day is spent."""

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once, when `is_ready` may have become true."""

    def calls_left_today(self) -> int | None:
        """Return how many calls of the day are left, as far as known; None before the first call."""


class Limits(Protocol):
    """Where the windows are kept.

    Attributes:
        is_paced: Whether `pace` ever waits.
    """

    is_paced: bool

    async def open(self) -> None:
        """Be ready for one more client."""

    async def close(self) -> None:
        """Be left by a client that opened it."""

    def window(self, location_id: str, rate_limit: RateLimit | None) -> Window:
        """Return the window of a location, always the same one."""

    async def pace(self) -> None:
        """Wait until the process as a whole may send another call."""


class LocalLimits:
    """Windows kept in this process; clients that are given the same object share them.

    Args:
        max_calls_per_second: Cap on all locations together, for a process that should leave the machine or the network
            to others; None for no cap.
        clock: Where time comes from.
    """

    def __init__(self, *, max_calls_per_second: float | None = None, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._windows: dict[str, LocalWindow] = {}
        self._sweep_at = _FEWEST_WINDOWS
        self._pace = None if max_calls_per_second is None else AsyncLimiter(max_calls_per_second, 1)
        self.is_paced = self._pace is not None

    async def open(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Do nothing: what a client sent counts on for the others, and for one that is opened next."""

    def window(self, location_id: str, rate_limit: RateLimit | None) -> LocalWindow:
        """Return the window of a location; the first call sets its limits (None: only pauses)."""
        window = self._windows.get(location_id)
        if window is None:
            if len(self._windows) >= self._sweep_at:
                self._forget_idle()
            window = self._windows[location_id] = LocalWindow(location_id, rate_limit, self._clock)
        return window

    def _forget_idle(self) -> None:
        """Forget locations with nothing to do: a first call alone will tell of them again."""
        self._windows = {name: window for name, window in self._windows.items() if not window.is_idle()}
        self._sweep_at = max(2 * len(self._windows), _FEWEST_WINDOWS)

    async def pace(self) -> None:
        """Wait until the cap on all locations together allows another call."""
        if self._pace is not None:
            await self._pace.acquire()


class LocalWindow:
    """The slots of one location, of which this process alone knows.

    There are two lanes: single calls, for which somebody waits, go before bulk rows. While single calls have been seen
    within a window, bulk leaves a tenth of the slots free for the next ones. Within a lane it is first come, first
    served. A waiter that is cancelled leaves no slot behind.

    Until a first answer tells what is left of the quota, and that the token is good, bulk sends one call alone.
    """

    __slots__ = (
        "_clock",
        "_cooling",
        "_has_answer",
        "_in_flight",
        "_in_use",
        "_limit",
        "_location_id",
        "_parked",
        "_paused_until",
        "_sent",
        "_single_seen_until",
        "_singles",
        "_timer",
        "_timer_at",
        "_waiting",
        "capacity",
        "day",
        "per_seconds",
    )

    def __init__(self, location_id: str, limit: RateLimit | None, clock: Clock) -> None:
        self._location_id = location_id
        self._limit = limit
        self._clock = clock
        self.capacity = sys.maxsize if limit is None else limit.max_requests
        self.per_seconds = 0.0 if limit is None else limit.per_seconds
        self.day = Day(None if limit is None else limit.daily)
        self._in_flight = 0  # calls sent and not answered
        self._has_answer = False
        self._in_use = 0  # slots of calls in flight, slots cooling, and slots that others use
        self._sent = 0
        self._cooling: deque[float] = deque()  # when each slot that was used is free again
        self._paused_until = 0.0
        self._single_seen_until = -math.inf  # until when bulk leaves slots to single calls
        self._singles: deque[asyncio.Future[int]] = deque()
        self._waiting: deque[asyncio.Future[int]] = deque()  # the bulk lane
        self._parked: list[Callable[[], None]] = []  # loads with rows, to be called when bulk has room
        self._timer: Timer | None = None
        self._timer_at = 0.0

    async def acquire(self, *, bulk: bool = False) -> int:
        """Take a slot, waiting for one in turn, as `Window` says."""
        now = self._clock.monotonic()
        if not bulk:
            self._single_seen_until = now + self.per_seconds
        if not self._singles and not (bulk and self._waiting) and self._has_room(now, bulk=bulk):
            return self._take()
        return await self._wait_in_turn(bulk)

    def release(self, slot: int, quota: Quota | None = None) -> None:
        """Give a slot back whose call may have left."""
        now = self._clock.monotonic()
        self._has_answer = True
        self._in_flight -= 1
        if quota is None:
            self.day.count_unseen()
        else:
            self.day.believe(quota, now)
            if self._limit is not None:
                self._believe(quota, slot, now, self._limit)
        self._cooling.append(now + self.per_seconds * (1 + _MARGIN))  # as long as its own answer says
        if self._waiting or self._singles or self._parked:
            self._serve()

    def give_back(self, slot: int) -> None:
        """Give a slot back whose call never left; it is free at once."""
        self._in_flight -= 1
        self._in_use -= 1
        if self._waiting or self._singles or self._parked:
            self._serve()

    def is_ready(self) -> bool:
        """Whether a call of the bulk lane would not wait: it is sent, or refused as the day is spent."""
        now = self._clock.monotonic()
        is_first = not self._singles and not self._waiting
        return is_first and (self._has_room(now, bulk=True) or self._is_day_spent(now))

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once, when `is_ready` may have become true."""
        self._parked.append(callback)
        self._serve()

    def is_idle(self) -> bool:
        """Whether it holds nothing that the next answer would not tell."""
        now = self._clock.monotonic()
        self._has_room(now, bulk=False)
        is_waited_for = self._waiting or self._singles or self._parked
        is_busy = is_waited_for or self._in_use or self._in_flight or now < self._paused_until
        return not is_busy and self.day.is_kept_elsewhere(now)

    def in_use(self) -> int:
        """How many slots are held or not free yet."""
        self._has_room(self._clock.monotonic(), bulk=False)
        return self._in_use

    def pause(self, seconds: float | None) -> None:
        """Send nothing more for some seconds after a 429; None: until any window has passed."""
        wait = (self.per_seconds or _DEFAULT_INTERVAL) * (1 + _MARGIN) if seconds is None else seconds
        now = self._clock.monotonic()
        if now >= self._paused_until:  # else another of its calls has told
            _log.info("location %s: answered 429; nothing more is sent for %.1f s", self._location_id, wait)
        self._paused_until = max(self._paused_until, now + wait)

    def calls_left_today(self) -> int | None:
        """Return how many calls of the day are left, as far as known; None before the first call."""
        left = self.day.left(self._clock.monotonic()) - self._in_flight
        return left if self._sent and left < sys.maxsize // 2 else None

    def _has_room(self, now: float, *, bulk: bool) -> bool:
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            cooling.popleft()
            self._in_use -= 1
        if bulk and self._in_flight and not self._has_answer:
            return False
        most = self.capacity - (self._spare(now) if bulk else 0)
        return self._in_use < most and now >= self._paused_until and self.day.left(now) > self._in_flight

    def _spare(self, now: float) -> int:
        """How many slots bulk must leave free; never so many that it stands still."""
        if now >= self._single_seen_until:
            return 0
        return min(max(self.capacity // _SPARE_SHARE, 1), self.capacity - 1)

    def _take(self) -> int:
        # With what was in use and had been sent before, `_believe` can tell others' calls from ours.
        slot = self._in_use - self._sent
        self._in_use += 1
        self._in_flight += 1
        self._sent += 1
        return slot

    async def _wait_in_turn(self, bulk: bool) -> int:
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        (self._waiting if bulk else self._singles).append(waiter)
        self._serve()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())
            raise

    def _serve(self) -> None:
        """Hand free slots to those who wait, and see to it that this is called again when there may be more."""
        now = self._clock.monotonic()
        for waiting, bulk in ((self._singles, False), (self._waiting, True)):
            while waiting:
                if waiting[0].done():  # cancelled
                    waiting.popleft()
                elif self._has_room(now, bulk=bulk):
                    waiting.popleft().set_result(self._take())
                elif self._is_day_spent(now):
                    waiting.popleft().set_exception(
                        day_spent(self._location_id, self.day.resets_in(now), self._clock.time())
                    )
                else:
                    self._call_again(now, bulk=bulk)
                    return
        if self._parked:
            if self._has_room(now, bulk=True) or self._is_day_spent(now):
                parked, self._parked = self._parked, []
                for callback in parked:
                    callback()
            else:
                self._call_again(now, bulk=True)

    def _call_again(self, now: float, *, bulk: bool) -> None:
        spare = self._spare(now) if bulk else 0
        if self._in_use >= self.capacity - spare:
            changes = [*islice(self._cooling, 1), *([self._single_seen_until] if spare else ())]
            when = max(min(changes), self._paused_until) if changes else None
        else:
            when = self._paused_until if self._paused_until > now else None
        # None: only an answer to a call in flight can bring room, and `release` serves.
        if when is None or (self._timer is not None and self._timer_at <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = self._clock.call_at(when, self._timer_fired), when

    def _timer_fired(self) -> None:
        self._timer = None
        self._serve()

    def _is_day_spent(self, now: float) -> bool:
        return self._in_flight == 0 and self.day.left(now) <= 0

    def _believe(self, quota: Quota, slot: int, now: float, limit: RateLimit) -> None:
        """Correct the constants by what the service says, never to more than the caller allowed."""
        if not quota.max_requests:
            return
        theirs = quota.per_seconds or limit.per_seconds
        if quota.max_requests * limit.per_seconds <= limit.max_requests * theirs:
            self._set(quota.max_requests, theirs)
        else:
            self._set(min(limit.max_requests, quota.max_requests), limit.per_seconds)
        if quota.remaining is not None:
            self._leave_room_for_others(quota.max_requests - quota.remaining, slot, now)

    def _set(self, capacity: int, per_seconds: float) -> None:
        if capacity != self.capacity or per_seconds != self.per_seconds:
            self.capacity, self.per_seconds = capacity, per_seconds
            _log.info("location %s: the limit is %d calls in %g s now", self._location_id, capacity, per_seconds)

    def _leave_room_for_others(self, used: int, lead: int, now: float) -> None:
        """Hold back as many slots as others have used, for as long as the server may count them."""
        ours_at_most = lead + self._sent
        others = min(used - ours_at_most, self.capacity)
        if others > 0:
            _log.debug("location %s: others have used %d calls of its window", self._location_id, others)
            self._in_use += others
            self._cooling.extend([now + self.per_seconds * (1 + _MARGIN)] * others)
