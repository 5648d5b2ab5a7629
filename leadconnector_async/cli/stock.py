"""What locations hold before a load: read before the first row is sent, told as it goes, and asked of each row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..bulk.pool import Pool
from ..bulk.source import Closing, Skipped
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
from ..migration.before import BEFORE, SNAPSHOT, Snapshot, StoredContacts
from ..migration.inventory import Inventory, complete_contacts
from ..migration.mapping.rows import RowFile
from ..migration.matching import Conflict
from ..migration.plan import Comparison
from ..migration.planning import compare_rows
from ..migration.restoring import fields_changed
from ..migration.select import Chooser, Selection, fields_filled
from ..models import ContactUpsert
from ..run.journal import Journal
from .past_runs import Pace
from .terminal import tell

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
"""What ends a reading before its time, and may be otherwise later."""

_LINE_SECONDS: Final = 5.0


class Wish(Struct, frozen=True, kw_only=True):
    """What the command line says of rows that meet contacts which are there.

    Attributes:
        selection: Which are sent, and what of them.
        replaces_tags: Whether tags replace all that a contact has.
        limit: Our own limits of each location.
        waits: Whether to wait for the next day where the day's calls are spent.
    """

    selection: Selection
    replaces_tags: bool
    limit: RateLimit
    waits: bool


async def open_chooser(
    wish: Wish,
    client: LeadConnector,
    files: Sequence[RowFile],
    journal: Journal,
    whole: Mapping[str, str],
    stop: asyncio.Event,
    stack: AsyncExitStack,
    pool: Pool,
) -> Chooser | None:
    """Read what is there into a file beside the journal, where rows are to be chosen by that; None where not.

    Cut off, it goes on when this is called again; once the load is begun, it is not read again.

    Args:
        wish: What is wanted.
        client: Of where the load goes; it is open.
        files: What is to be loaded.
        journal: Of the load; not begun in this sitting.
        whole: What the load is known by.
        stop: Set it to end in order.
        stack: Closes what is opened.
        pool: Learns which locations take no calls; their rows must not be sent.

    Raises:
        LeadConnectorError: As of `Inventory.run`; nothing was sent.
        ConfigurationError: The journal is of another load, or what was there is not known any more.
    """
    if not wish.selection.is_any:
        return None
    journal.check(whole)
    path = journal.path.with_name(BEFORE)
    opened = stack.enter_context(ExitStack())
    stored = opened.enter_context(StoredContacts(path))
    if not journal.is_begun:
        journal.note(whole)  # so that the run is found again, although no row was sent
    elif not stored.was_finished:
        raise ConfigurationError(
            f"{path}: is gone or not whole, so that what was there before the load is not known any more; begin anew "
            "with another --out"
        )
    # Not later, when contacts may hold what was sent; to a location that was not read before, nothing was.
    await take_stock(wish, client, files, stored, stop, pool)
    return make_chooser(wish, client, stored, opened)


async def compare_with_stored(
    wish: Wish,
    client: LeadConnector,
    files: Sequence[RowFile],
    stop: asyncio.Event,
    *,
    conflicts: Iterable[Conflict] = (),
    on_row: Callable[[ContactUpsert | Skipped | Closing | None], None] = lambda _: None,
) -> Comparison:
    """Read what is there, and compare all rows with it; nothing is kept.

    Args:
        wish: What is wanted.
        client: Of where the load would go; it is open.
        files: The rows.
        stop: Set it to end early.
        conflicts: As of `compare_rows`; read in a thread.
        on_row: As of `compare_rows`; called in a thread.

    Raises:
        LeadConnectorError: As of `Inventory.run`.
    """
    with ExitStack() as opened:
        stored = opened.enter_context(StoredContacts(None))
        pool = Pool(client, waits_for_quota=wish.waits)
        await take_stock(wish, client, files, stored, stop, pool)
        if pool.reason is not None:
            raise pool.reason
        chooser, there = make_chooser(wish, client, stored, opened), stored.count
        return await asyncio.to_thread(
            compare_rows, files, chooser, there=there, conflicts=conflicts, on_row=on_row, is_stopped=stop.is_set
        )


async def take_stock(
    wish: Wish,
    client: LeadConnector,
    files: Sequence[RowFile],
    stored: StoredContacts,
    stop: asyncio.Event,
    pool: Pool,
) -> None:
    """Read what there is to be known of the contacts that are there, but where that is done; told on stderr.

    Raises:
        LeadConnectorError: As of `Inventory.run`; what was read is kept.
    """
    pace = _Pace()
    inventory = Inventory(client, stored, files, pool=pool, limit=wish.limit, tell=tell, on_progress=pace.count)
    await inventory.run(stop)
    if wish.selection.fill_empty:
        await complete_contacts(
            client,
            stored,
            stored,
            files,
            fields_filled,
            stop,
            pool=pool,
            on_progress=pace.count,
        )


def make_chooser(wish: Wish, client: LeadConnector, stored: StoredContacts, opened: ExitStack) -> Chooser:
    """Return what chooses among the rows."""
    location_id = client.location_id or ""
    chooser = Chooser(wish.selection, stored, location_id=location_id, replaces_tags=wish.replaces_tags)
    opened.callback(chooser.close)
    return chooser


class _Pace:
    """A line now and then."""

    def __init__(self) -> None:
        self._done = 0
        self._told = time.monotonic()

    def count(self, more: int) -> None:
        """Take note of some more."""
        self._done += more
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            tell(f"Reading what is there: {self._done:,} so far")


# ---------------------------------------------------------------------------------------------- --snapshot

SNAPSHOT_SENTENCE: Final = (
    f"What contacts hold before they are changed is kept for undo, in {BEFORE} and {SNAPSHOT}: data of people."
)


async def take_snapshot(
    client: LeadConnector,
    files: Sequence[RowFile],
    folder: Path,
    stop: asyncio.Event,
    *,
    pool: Pool,
    limit: RateLimit,
    is_begun: bool,
    is_progress_wanted: bool = True,
) -> None:
    """Keep what rows may change; does nothing where an earlier sitting has done that.

    Args:
        client: Of where the load goes; it is open.
        files: What is to be loaded.
        folder: Of the run.
        stop: Set it to end in order.
        pool: As of `open_chooser`.
        limit: Our own limits.
        is_begun: Whether rows may have been sent already.
        is_progress_wanted: Whether to tell how far it is.

    Raises:
        ConfigurationError: Rows may have been sent, and the snapshot is gone.
        StopRequestedError: The user wished to stop. What was read is kept, also where the others are raised.
        LeadConnectorError: A call failed, or the day is spent.
        JournalError: What was read cannot be kept.
    """
    with StoredContacts(folder / BEFORE) as stored, Snapshot(folder, stored) as snapshot:
        if is_begun and not snapshot.is_completed:
            raise ConfigurationError(
                f"{folder / SNAPSHOT}: is gone or not whole, so that what was there before the load is not known any "
                "more; begin anew with another --out"
            )
        await Inventory(client, stored, files, pool=pool, limit=limit, tell=tell).run(stop)
        reading = Pace(stored.count, "contacts at most read whole", is_wanted=is_progress_wanted)
        await complete_contacts(
            client,
            snapshot,
            stored,
            files,
            fields_changed,
            stop,
            pool=pool,
            on_progress=reading.count,
        )


def settle_stock(folder: Path, pool: Pool) -> None:
    """Note, once all was read that rows need, which locations are to be read when the load goes on."""
    if (folder / BEFORE).exists():
        with StoredContacts(folder / BEFORE) as stored:
            stored.settle(pool.closed)
