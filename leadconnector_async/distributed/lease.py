"""How long a worker may go on by itself: it sends nothing once its locations may be another's.

The one who leads the load lets nobody else have a worker's locations before the lease has ended by the worker's own
clock. So a worker that the network has cut off, or that stood still, stops by itself. What no lease can call back are
calls whose bytes had left by then; for these the next worker waits out a window of the rate limit, and more than that
nobody can promise, as the service knows no fencing tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import JournalError, StopRequestedError
from ..limits import RateLimit
from ..local_limits import LocalLimits, LocalWindow

_LOST = "the load's lead was not heard of for {:g} s, so that another worker may have its locations"


def _seconds() -> float:
    """Seconds that go on while the machine sleeps, where the system tells them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """The right to send, for some seconds from when a worker last stated its time and the lead has heard it.

    Args:
        seconds: How long it lasts.
        clock: Tells seconds that never go back.

    Attributes:
        seconds: How long it lasts.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = _seconds) -> None:
        self.seconds = seconds
        self._clock = clock
        self._until = clock()

    def stamp(self) -> float:
        """Return the time that the lead is to give back."""
        return self._clock()

    def renew(self, stamp: float) -> None:
        """Have it last from a time that was stated here and that the lead has heard."""
        self._until = max(self._until, stamp + self.seconds)

    @property
    def left(self) -> float:
        """Seconds that are left of it; below 0 it has ended."""
        return self._until - self._clock()

    def check(self) -> None:
        """Do nothing while it lasts.

        Raises:
            JournalError: It has ended; nothing may be written.
        """
        if self.left <= 0:
            raise JournalError(_LOST.format(self.seconds))

    def why_lost(self) -> StopRequestedError:
        """Return why a load ends with it."""
        return StopRequestedError(_LOST.format(self.seconds))


class LeasedLimits(LocalLimits):
    """Windows of this process through which nothing goes once the lease has ended.

    Args:
        lease: The lease.
    """

    def __init__(self, lease: Lease) -> None:
        super().__init__()
        self._lease = lease

    def window(self, location_id: str, rate_limit: RateLimit | None) -> LocalWindow:
        """Return the window of a location."""
        if location_id not in self._windows:
            self._windows[location_id] = LeasedWindow(self._lease, location_id, rate_limit, self._clock)
        return super().window(location_id, rate_limit)

    def forget(self, location_id: str) -> None:
        """Forget a location that is done."""
        self._windows.pop(location_id, None)


class LeasedWindow(LocalWindow):
    """The slots of a location, none of which is there without a lease."""

    __slots__ = ("_lease",)

    def __init__(self, lease: Lease, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._lease = lease

    async def acquire(self, *, bulk: bool = False) -> int:
        """Take a slot; without a lease the load ends."""
        if self._lease.left <= 0:
            raise self._lease.why_lost()
        return await super().acquire(bulk=bulk)

    def is_paused(self) -> bool:
        """Whether nothing is sent for now; this is asked right before the bytes of a row's call leave."""
        return self._lease.left <= 0 or super().is_paused()
