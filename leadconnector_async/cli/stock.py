"""Reading what locations hold before a load, told as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ..client import LeadConnector
from ..errors import ConfigurationError
from ..limits import RateLimit
from ..migration.inventory import Inventory
from ..migration.rows import RowFile
from ..migration.stored import StoredContacts
from .printing import tell

_LINE_SECONDS: Final = 5.0


async def take_stock(
    client: LeadConnector,
    files: Sequence[RowFile],
    stored: StoredContacts,
    stop: asyncio.Event,
    *,
    limit: RateLimit,
    waits: bool = False,
    tells: Callable[[str], None] = tell,
) -> None:
    """Read what there is to be known of the contacts that are there, but where that is done.

    Args:
        client: Of where the load goes; it is open.
        files: What is to be loaded.
        stored: Takes them.
        stop: Set it to end in order.
        limit: Our own limits.
        waits: Whether to wait for the next day where the day's calls are spent.
        tells: Is told what is read.

    Raises:
        LeadConnectorError: As of `Inventory.run`; what was read is kept.
    """
    inventory = Inventory(client, stored, files, limit=limit, tell=tells, on_progress=_Pace(tells).count)
    await inventory.run(stop, wait_for_quota=waits)


def open_stored(path: Path | None, stack: ExitStack, *, is_begun: bool = False) -> StoredContacts:
    """Open the file of what was there; None for one without a name.

    Raises:
        ConfigurationError: The load was begun, and the file is not whole: what was there before nobody knows any more.
        JournalError: It cannot be read or written.
    """
    stored = stack.enter_context(StoredContacts(path))
    if is_begun and not stored.is_finished:
        raise ConfigurationError(
            f"{path}: is gone or not whole, so that what was there before the load is not known any more; begin anew "
            "with another --out"
        )
    return stored


class _Pace:
    """A line now and then."""

    def __init__(self, tells: Callable[[str], None]) -> None:
        self._tells = tells
        self._done = 0
        self._told = time.monotonic()

    def count(self, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            self._tells(f"Reading what is there: {self._done:,} so far")
