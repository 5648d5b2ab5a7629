"""Who leads a load: one process at a time, told by an object in the store that changes as long as it lives.

A store may know no locks, so this is a promise of good will: who finds a lead's object waits until that has stood still
for as long as the lead and its workers may go on by themselves. Two that begin in the same moment find each other out
when they look again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, JournalError
from .lease import Lease
from .store import Store

_NAME: Final = "lead.json"
_BEATS: Final = 4  # in the time of a lease
_SETTLE_SECONDS: Final = 1.0  # longer than a store takes to write an object
_PATIENCE: Final = 2.1  # leases: the lead's own, and those that it may have given just before its end


class _Sign(Struct, frozen=True, kw_only=True):
    """What a lead leaves."""

    who: str
    sitting: int
    beat: int = 0
    has_ended: bool = False


class Tenure:
    """The lead of a load.

    Args:
        store: The folder of the run.
        lease: How long it leads without having looked whether another one does.

    Attributes:
        sitting: In which run of the load this is, from 1.
        ended: Why it leads no more, or None.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._who = secrets.token_hex(8)
        self._beat = 0
        self._began_at = 0.0
        self.sitting = 1
        self.ended: Exception | None = None

    async def begin(self) -> None:
        """Take the lead.

        Raises:
            ConfigurationError: Another process leads this load; nothing was sent.
            JournalError: The store cannot be read or written.
        """
        before = await self._find()
        if before is not None:
            self.sitting = before.sitting + 1
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
                    f"{self._store.url}: another process works on this load; wait until it has ended"
                )

    async def settle(self) -> None:
        """Look again when one that began in the same moment must have left its sign, before anything is sent.

        Raises:
            ConfigurationError: Another process leads this load; nothing was sent.
            JournalError: The store cannot be read or written.
        """
        await asyncio.sleep(self._began_at + min(_SETTLE_SECONDS, self._lease.seconds / _BEATS) - time.monotonic())
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
        sign = _Sign(who=self._who, sitting=self.sitting, beat=self._beat, has_ended=has_ended)
        await asyncio.to_thread(self._store.write, _NAME, msgspec.json.encode(sign))
