"""`upsert --snapshot`: what contacts were is kept before the load changes them, so that `undo` can restore it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..client import LeadConnector
from ..errors import ConfigurationError
from ..limits import RateLimit
from ..migration.completion import complete_contacts
from ..migration.inventory import Inventory
from ..migration.restoring import fields_changed
from ..migration.rows import RowFile
from ..migration.snapshot import SNAPSHOT, Snapshot
from ..migration.stored import BEFORE, StoredContacts
from .past_runs import Pace
from .printing import tell

SNAPSHOT_SENTENCE: Final = (
    f"What contacts hold before they are changed is kept for undo, in {BEFORE} and {SNAPSHOT}: data of people."
)


async def take_snapshot(
    client: LeadConnector,
    files: Sequence[RowFile],
    folder: Path,
    stop: asyncio.Event,
    *,
    limit: RateLimit,
    waits: bool,
    is_begun: bool,
    is_progress_wanted: bool = True,
) -> None:
    """Keep what rows may change; does nothing where an earlier sitting has done that.

    Args:
        client: Of where the load goes; it is open.
        files: What is to be loaded.
        folder: Of the run.
        stop: Set it to end in order.
        limit: Our own limits.
        waits: Whether to wait for the next day where the day's calls are spent.
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
        await Inventory(client, stored, files, limit=limit, tell=tell).run(stop, wait_for_quota=waits)
        reading = Pace(stored.count, "contacts at most read whole", is_wanted=is_progress_wanted)
        await complete_contacts(
            client, snapshot, stored, files, fields_changed, stop, wait_for_quota=waits, on_progress=reading.count
        )
