"""The rate limit of one location: no window of the service holds more calls, however the service counts.

A slot is taken before its call is sent, and is free again `per_seconds` after the answer to (or failure of) that call.

Proof: say a call takes its slot at `t`, the service counts it at `c`, and it gives the slot back at `r`, so that
t <= c <= r. The slot is occupied from `t` until r + per_seconds >= c + per_seconds. Look at all calls counted in some
interval of `per_seconds`, and at the one among them that took its slot last, at `t`. Each of the others took its slot
before `t`, and keeps it past the end of the interval, so all of them occupy different slots at `t`: there are at most
`max_requests`. It does not matter whether the window is fixed, aligned or sliding, nor what the latency is.

An answer proves c <= r. For a call that was given up (a timeout, a lost connection) it is an assumption: bytes that
had left may still arrive after `r`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from ..errors import ConfigurationError, RateLimitStuckError
from ..protocol.answers import Quota
from .day import DAY_SECONDS

AnySlot = TypeVar("AnySlot")
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


def strictest(one: tuple[int, float], other: tuple[int, float]) -> tuple[int, float]:
    """Combine two limits, each the calls in so many seconds, so that both hold whatever the windows.

    Take the smaller number of slots, so that a limit has room for `calls // slots` uses of each slot. Uses of one slot
    are at least the returned time apart, which is `seconds / (calls // slots)` or more: within `seconds`, no slot is
    used more often, and so no more than `calls` calls are made.
    """
    slots = min(one[0], other[0])
    return slots, max(seconds / (calls // slots) for calls, seconds in (one, other))


def pause_too_long(seconds: float) -> RateLimitStuckError:
    """Return the refusal of a call that would have to wait out a pause of so many seconds."""
    return RateLimitStuckError(
        f"the service asks not to be called for {seconds:.0f} s, longer than the retry policy waits (max_retry_after); "
        "try again later",
        rate_limited=0,
    )


def turn_away(lane: deque[asyncio.Future[AnySlot | None]], refuse_for: float | None) -> None:
    """Empty a lane as the location is paused.

    Args:
        lane: Those who wait for a slot.
        refuse_for: Seconds that the pause lasts, where that is longer than is waited for: each is refused. None: each
            is given no slot, so that rows of loads are sent later.
    """
    while lane:
        waiter = lane.popleft()
        if waiter.done():
            continue
        if refuse_for is None:
            waiter.set_result(None)
        else:  # each with an error of its own, as each is raised in another task
            waiter.set_exception(pause_too_long(refuse_for))


async def wait_in_lane(waiter: asyncio.Future[AnySlot | None], give_back: Callable[[AnySlot], None]) -> AnySlot | None:
    """Return the slot that a waiter is given. One that is cancelled after that leaves no slot behind."""
    try:
        return await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            slot = waiter.result()
            if slot is not None:
                give_back(slot)
        raise


class Window(Protocol):
    """The slots of one location, in two lanes. Give each slot that you take to `release` or `give_back`, once.

    Attributes:
        capacity: How many there are.
        per_seconds: How long after an answer its slot is free again.
    """

    capacity: int
    per_seconds: float

    async def acquire(self, *, bulk: bool = False) -> Slot | None:
        """Take a slot, waiting for one in turn.

        Args:
            bulk: Whether the call is one of a load, and lets single calls go first.

        Returns:
            The slot; None where a row of a load would have to wait out a pause, and gives way to rows of other
            locations.

        Raises:
            DailyQuotaExceededError: The day is spent; nothing was taken.
            RateLimitStuckError: The pause is longer than is waited for; nothing was taken.
        """

    def release(self, slot: Slot, quota: Quota | None = None, *, is_answered: bool = True) -> None:
        """Give a slot back after its call was answered, failed, or was given up when its bytes may have left.

        Args:
            slot: What `acquire` returned.
            quota: What the headers of the answer say, or None.
            is_answered: Whether there was an answer.
        """

    def give_back(self, slot: Slot) -> None:
        """Give a slot back whose call never left; it is free at once."""

    def pause(self, seconds: float | None, *, longest: float = DAY_SECONDS) -> None:
        """Send nothing more for some time after a 429.

        Args:
            seconds: How long; None: until any window has passed.
            longest: How long a call waits for the end of a pause; where it would be longer, it is refused at once.
        """

    def is_paused(self) -> bool:
        """Whether nothing is sent for now, as after a 429."""

    def is_ready(self) -> bool:
        """Whether a call of the bulk lane would not wait: it is sent, or refused."""

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

    def assume_used(self, slots: int | None, seconds: float, *, location_id: str | None = None) -> None:
        """Take slots (None for all) of each window that was not used yet as used by another process, for so long.

        Args:
            slots: How many.
            seconds: For how long.
            location_id: Of whose window alone, which is there; None for all, also those that are yet to come.
        """

    async def pace(self, *, bulk: bool) -> None:
        """Wait until the process as a whole may send another call; of a load only one waits at a time."""
