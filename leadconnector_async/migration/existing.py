"""What locations hold before a load: read before the first row is sent, kept where an undo wants it, and asked of each
row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import Final

from msgspec import Struct

from ..bulk.pool import Pool
from ..bulk.source import Closing, Skipped
from ..bulk.threads import in_thread_until
from ..client import LeadConnector
from ..errors import (
    CallError,
    ConfigurationError,
    DailyQuotaExceededError,
    JournalError,
    LocationRefusedError,
    OutageError,
    RateLimitStuckError,
    StopRequestedError,
    TokenSourceError,
)
from ..limits.limit import RateLimit
from ..models import ContactUpsert
from ..run.database import Database
from ..run.rows import RunFile
from .before import Snapshot, StoredContacts
from .inventory import Inventory, complete_contacts
from .matching import Conflict
from .plan import Comparison
from .planning import compare_rows
from .restoring import fields_changed
from .select import Chooser, Selection, fields_filled

READING_ENDS: Final = (
    CallError,
    DailyQuotaExceededError,
    JournalError,
    LocationRefusedError,
    OutageError,
    RateLimitStuckError,
    StopRequestedError,
    TokenSourceError,
)
"""Errors that interrupt reading; it can be resumed."""
_GONE: Final = "what this run read before the load is missing or incomplete; start again in another folder"


class Reading(Struct, frozen=True, kw_only=True):
    """How what is there is read.

    Attributes:
        selection: Which rows are sent, and what of them.
        replaces_tags: Whether tags replace all that a contact has.
        limit: Our own limits of each location.
        waits: Whether to wait for the next day where the day's calls are spent.
        tell: Called with what is read, and how long it takes.
        on_progress: Called with how many contacts more were read, or people more looked up.
    """

    selection: Selection
    replaces_tags: bool
    limit: RateLimit
    waits: bool
    tell: Callable[[str], None]
    on_progress: Callable[[int], None]

    async def read(
        self,
        client: LeadConnector,
        files: Sequence[RunFile],
        stored: StoredContacts,
        stop: asyncio.Event,
        pool: Pool,
    ) -> None:
        """Read what there is to be known of the contacts that are there, unless that is done.

        Raises:
            LeadConnectorError: As of `Inventory.run`; what was read is kept.
        """
        inventory = Inventory(
            client, stored, files, pool=pool, limit=self.limit, tell=self.tell, on_progress=self.on_progress
        )
        await inventory.run(stop)
        if self.selection.fill_empty:
            await complete_contacts(
                client,
                stored,
                stored,
                files,
                fields_filled,
                stop,
                pool=pool,
                on_progress=self.on_progress,
            )

    def choose(self, client: LeadConnector, stored: StoredContacts, opened: ExitStack | AsyncExitStack) -> Chooser:
        """Return what chooses among the rows."""
        location_id = client.location_id or ""
        chooser = Chooser(self.selection, stored, location_id=location_id, replaces_tags=self.replaces_tags)
        opened.callback(chooser.close)
        return chooser


async def open_chooser(
    reading: Reading,
    client: LeadConnector,
    files: Sequence[RunFile],
    file: Database,
    stop: asyncio.Event,
    stack: AsyncExitStack,
    pool: Pool,
    *,
    is_begun: bool,
) -> Chooser | None:
    """Read what is there into the run, where rows are to be chosen by that; None where not.

    Cut off, it goes on when this is called again; once the load is begun, it is not read again.

    Args:
        reading: What is wanted.
        client: Of where the load goes; it is open.
        files: The rows.
        file: The database of the run.
        stop: Set it to end in order.
        stack: Closes what is opened.
        pool: Learns which locations take no calls; their rows must not be sent.
        is_begun: Whether rows may have been sent already.

    Raises:
        LeadConnectorError: As of `Inventory.run`; nothing was sent.
        ConfigurationError: What was there is not known any more.
    """
    if not reading.selection.is_any:
        return None
    stored = StoredContacts(file)
    if is_begun and not stored.was_finished:
        raise ConfigurationError(f"{file.path}: {_GONE}")
    # Not later, when contacts may hold what was sent; to a location that was not read before, nothing was.
    await reading.read(client, files, stored, stop, pool)
    return reading.choose(client, stored, stack)


async def compare_with_existing(
    reading: Reading,
    client: LeadConnector,
    files: Sequence[RunFile],
    stop: asyncio.Event,
    *,
    conflicts: Iterable[Conflict] = (),
    on_row: Callable[[ContactUpsert | Skipped | Closing | None], None] = lambda _: None,
) -> Comparison:
    """Read what is there, and compare all rows with it; nothing is kept.

    Args:
        reading: What is wanted.
        client: Of where the load would go; it is open.
        files: The rows.
        stop: Set it to end early.
        conflicts: As of `compare_rows`; read in a thread.
        on_row: As of `compare_rows`; called in a thread.

    Raises:
        LeadConnectorError: As of `Inventory.run`.
    """
    with ExitStack() as opened:
        stored = StoredContacts(opened.enter_context(Database(None)))
        pool = Pool(client, waits_for_quota=reading.waits)
        await reading.read(client, files, stored, stop, pool)
        if pool.reason is not None:
            raise pool.reason
        chooser, there = reading.choose(client, stored, opened), stored.count
        return await in_thread_until(
            stop.is_set,
            lambda is_stopped: compare_rows(
                files, chooser, there=there, conflicts=conflicts, on_row=on_row, is_stopped=is_stopped
            ),
        )


async def take_snapshot(
    reading: Reading,
    client: LeadConnector,
    files: Sequence[RunFile],
    file: Database,
    stop: asyncio.Event,
    pool: Pool,
    *,
    is_begun: bool,
) -> None:
    """Keep what rows may change; does nothing where an earlier session has done that.

    Args:
        reading: How; its selection counts for nothing here.
        client: Of where the load goes; it is open.
        files: The rows.
        file: The database of the run.
        stop: Set it to end in order.
        pool: As of `open_chooser`.
        is_begun: Whether rows may have been sent already.

    Raises:
        ConfigurationError: Rows may have been sent, and the snapshot is gone.
        StopRequestedError: The user wished to stop. What was read is kept, also where the others are raised.
        LeadConnectorError: A call failed, or the day is spent.
        JournalError: What was read cannot be kept.
    """
    stored = StoredContacts(file)
    snapshot = Snapshot(file, stored)
    if is_begun and not snapshot.is_completed:
        raise ConfigurationError(f"{file.path}: {_GONE}")
    inventory = Inventory(client, stored, files, pool=pool, limit=reading.limit, tell=reading.tell)
    await inventory.run(stop)
    await complete_contacts(
        client,
        snapshot,
        stored,
        files,
        fields_changed,
        stop,
        pool=pool,
        on_progress=reading.on_progress,
    )
