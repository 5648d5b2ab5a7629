"""How long a worker may go on by itself: it sends nothing once its locations may be another's.

The lead gives nobody else a worker's locations before the lease has ended by the worker's own clock; `dispatch.py` says
why. So a worker that the network has cut off, or that stood still, stops by itself: the lease is checked before a slot
is taken, right before a row's call is sent, and before and after each write to the store. No lease can call back bytes
that have left by then, or that leave when a process stands still between the check and the socket. For these the next
worker waits out a window of the rate limit. More cannot be promised, as the service knows no fencing tokens.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, JournalError, StopRequestedError
from ..limits.limit import RateLimit
from ..limits.local import LocalLimits, LocalWindow
from .store import Store

_LOST = "the process that leads the load was silent for {:g} s, so another worker may have these locations"


def _seconds() -> float:
    """Seconds that go on while the machine sleeps, if the system counts these."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """The right to send, for some seconds from when a worker last stated its time and the lead has heard it.

    Args:
        seconds: How long it lasts.
        clock: Returns seconds that never go back.

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

    async def acquire(self, *, bulk: bool = False) -> int | None:
        """Take a slot; without a lease the load ends."""
        if self._lease.left <= 0:
            raise self._lease.why_lost()
        return await super().acquire(bulk=bulk)

    def is_paused(self) -> bool:
        """Whether nothing is sent for now; this is asked right before the bytes of a row's call leave."""
        return self._lease.left <= 0 or super().is_paused()


# ---------------------------------------------------------------------------------------------- who leads

# A store may have no locks, so leads find each other by an object that each writes and looks at again.
#
# One after the other: a lead rewrites its object four times in a lease, and gives orders for one lease after it last
# did so. The leases of its workers end one lease after its last order. So when its object has not changed for more than
# two leases, nobody sends on its behalf.
#
# At the same moment: each writes its object, and the last one stays. Before anything is sent, each looks again, later
# than a store takes to write (`confirm`), and whoever finds another's object gives up. This is no proof: a write that
# takes longer than that lets two lead until the next look, a quarter of a lease later.

_NAME: Final = "lead.json"
_BEATS: Final = 4  # in the time of a lease
_CONFIRM_SECONDS: Final = 1.0  # longer than a store usually takes to write an object
_PATIENCE: Final = 2.1  # leases: the lead's own, those of its workers after that, and some for clocks that differ


class _Sign(Struct, frozen=True, kw_only=True):
    """What a lead leaves."""

    who: str
    session: int = msgspec.field(name="sitting")  # as it stands in stores
    beat: int = 0
    has_ended: bool = False


class Leadership:
    """The lead of a load.

    Args:
        store: The folder of the run.
        lease: How long it leads without having looked whether another one does.

    Attributes:
        session: The number of this session of the load, from 1.
        ended: Why it leads no more, or None.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._who = secrets.token_hex(8)
        self._beat = 0
        self._began_at = 0.0
        self.session = 1
        self.ended: Exception | None = None

    async def begin(self) -> None:
        """Take the lead.

        Raises:
            ConfigurationError: Another process leads this load; nothing was sent.
            JournalError: The store cannot be read or written.
        """
        before = await self._find()
        if before is not None:
            self.session = before.session + 1
            if not before.has_ended:
                await self._wait_for(before)
        await self._write()
        self._began_at = time.monotonic()
        await self.look()
        if self.ended is not None:
            raise self.ended

    async def _wait_for(self, before: _Sign) -> None:
        for _ in range(_BEATS):
            await asyncio.sleep(self._lease.seconds * _PATIENCE / _BEATS)
            if await self._find() != before:
                raise ConfigurationError(
                    f"{self._store.url}: another process is working on this load; wait until it ends"
                )

    async def confirm(self) -> None:
        """Look again when one that began in the same moment must have left its sign, before anything is sent.

        Raises:
            ConfigurationError: Another process leads this load; nothing was sent.
            JournalError: The store cannot be read or written.
        """
        await asyncio.sleep(self._began_at + min(_CONFIRM_SECONDS, self._lease.seconds / _BEATS) - time.monotonic())
        if self.ended is None:
            await self.look()
        if self.ended is not None:
            raise self.ended

    async def keep(self) -> None:
        """Lead on, until cancelled or another one leads; a store that fails for a while is asked again."""
        while self.ended is None:
            await asyncio.sleep(self._lease.seconds / _BEATS)
            try:
                await self.look()
            except JournalError as error:
                if self._lease.left <= 0:
                    self.ended = error

    async def look(self) -> None:
        """See whether nobody else leads, and say that this one still does."""
        stamp = self._lease.stamp()
        found = await self._find()
        if found is None or found.who != self._who:
            self.ended = ConfigurationError(f"{self._store.url}: another process has taken this load over")
            return
        await self._write()
        self._lease.renew(stamp)

    @property
    def is_held(self) -> bool:
        """Whether orders may be given."""
        return self.ended is None and self._lease.left > 0

    async def end(self) -> None:
        """Leave the lead in order: nobody works on the load any more."""
        if self.ended is None:
            await self._write(has_ended=True)

    async def _find(self) -> _Sign | None:
        return await asyncio.to_thread(self._store.decode, _NAME, _Sign)

    async def _write(self, *, has_ended: bool = False) -> None:
        self._beat += 1
        sign = _Sign(who=self._who, session=self.session, beat=self._beat, has_ended=has_ended)
        await asyncio.to_thread(self._store.write, _NAME, msgspec.json.encode(sign))
