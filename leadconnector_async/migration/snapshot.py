"""What each contact was before a run changed it, kept so that the run can be undone.

What locations held is read already (`stored`). But a search may leave out fields that a contact has, and what was left
out does not pass for empty: contacts of which a row sends such a field are read once more, whole, before the load.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..client import LeadConnector
from ..errors import DailyQuotaExceededError, JournalError, NotFoundError, StopRequestedError
from ..models import Contact, ContactUpsert
from ..models.received import read_received
from .restoring import Before, fields_changed
from .rows import RowFile
from .selection import SentRows
from .stored import StoredContact, StoredContacts
from .sweep import sweep

SNAPSHOT: Final = "snapshot.sqlite3"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS contacts (
    location TEXT NOT NULL, id TEXT NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (location, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS finished (at REAL NOT NULL);
"""


class Snapshot:
    """The contacts that were read whole, in a file for its owner alone, beside that of `StoredContacts`.

    Args:
        folder: Of the run. Only the process that has the journal of the load may open it.
        stored: What locations held.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    def __init__(self, folder: Path, stored: StoredContacts) -> None:
        self._path = folder / SNAPSHOT
        self._stored = stored
        self._lock = threading.Lock()
        with self._telling():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def is_finished(self) -> bool:
        """Whether all that a load may change is read, so that it may begin."""
        return bool(self._execute("SELECT 1 FROM finished"))

    def finish(self, now: float) -> None:
        """Note that all is read, in seconds since 1970."""
        self._execute("INSERT INTO finished VALUES (?)", now)

    def has(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was read whole."""
        return bool(self._execute("SELECT 1 FROM contacts WHERE location = ? AND id = ?", location_id, contact_id))

    def was_there(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was there before the run. This is surer than what tells of a row whose answer was lost
        whether it created its contact."""
        return self.has(location_id, contact_id) or self._stored.get(location_id, contact_id) is not None

    def add(self, location_id: str, contact: Contact) -> None:
        """Keep a contact that was read whole; what was kept first stays."""
        record = location_id, contact.id, zlib.compress(contact.raw, 1)
        self._execute("INSERT OR IGNORE INTO contacts VALUES (?, ?, ?)", *record)

    def find(self, location_id: str, contact_id: str) -> Before | None:
        """Return a contact as it was before the run; None where it is not known to have been there."""
        found = self._execute("SELECT raw FROM contacts WHERE location = ? AND id = ?", location_id, contact_id)
        if found:
            return Before(read_received(zlib.decompress(found[0][0]), Contact))
        stored = self._stored.get(location_id, contact_id)
        return None if stored is None else Before(stored.contact, fields_told(stored))

    def _execute(self, query: str, *values: object) -> Sequence[Any]:
        with self._telling():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"{self._path}: cannot be read or written ({error})") from error


def fields_told(stored: StoredContact) -> frozenset[str]:
    """Return the fields that an answer named, by their names on the wire."""
    return frozenset(msgspec.json.decode(stored.raw, type=dict[str, msgspec.Raw]))


class _Doubtful(Struct, frozen=True):
    location_id: str
    contact_id: str


async def complete_snapshot(
    client: LeadConnector,
    snapshot: Snapshot,
    stored: StoredContacts,
    files: Sequence[RowFile],
    stop: asyncio.Event,
    *,
    wait_for_quota: bool = False,
    concurrency: int = 64,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Read the contacts whole that rows may change and of which not all is known. Does nothing where that is done.

    Args:
        client: Of where the load goes; it is open.
        snapshot: Takes the contacts.
        stored: What the locations hold, all of it read.
        files: The rows that are to be loaded.
        stop: Set it to end in order.
        wait_for_quota: Whether to wait for the next day where the day's calls are spent.
        concurrency: Calls at once.
        on_progress: Called with how many contacts more were read.

    Raises:
        StopRequestedError: The user wished to stop. What was read is kept, also where the others are raised.
        LeadConnectorError: A call failed, or the day is spent.
        JournalError: What was read cannot be kept.
    """

    async def fetch(doubtful: _Doubtful) -> None:
        try:
            contact = await client.contacts.get(doubtful.contact_id, location_id=doubtful.location_id)
        except NotFoundError:  # it has gone since
            return
        snapshot.add(doubtful.location_id, contact)
        on_progress(1)

    while not snapshot.is_finished:
        wanted = _find_doubtful(files, snapshot, stored, client.location_id or "")
        reason = await sweep(wanted, fetch, concurrency=concurrency, stop=stop)
        if stop.is_set():
            raise StopRequestedError("the reading of what is there was asked to stop")
        if reason is None:
            snapshot.finish(client.clock.time())
        elif wait_for_quota and isinstance(reason, DailyQuotaExceededError):
            await client.clock.sleep(reason.resets_in)
        else:
            raise reason


def _find_doubtful(
    files: Sequence[RowFile], snapshot: Snapshot, stored: StoredContacts, location_id: str
) -> Iterator[_Doubtful]:
    asked: set[_Doubtful] = set()
    for contact, met in _meetings(files, stored, location_id):
        fields = set(fields_changed(contact))
        for found in met:
            doubtful = _Doubtful(found.location_id, found.contact_id)
            is_known = doubtful in asked or snapshot.has(found.location_id, found.contact_id)
            if not is_known and not fields <= fields_told(found):
                asked.add(doubtful)
                yield doubtful


def _meetings(
    files: Sequence[RowFile], stored: StoredContacts, location_id: str
) -> Iterator[tuple[ContactUpsert, list[StoredContact]]]:
    """Yield the rows, each with whom it may meet: also where its email and phone are of two people, as others may
    change them first, and where an earlier row gives somebody the email or phone that it has."""
    with closing(SentRows()) as earlier:
        for contact in (row.contact for file in files for row in file.rows()):
            if isinstance(contact, ContactUpsert):
                where = contact.location_id or location_id
                identity = stored.identify(contact, where)
                held = (stored.holder(identity, "email"), stored.holder(identity, "phone"))
                met = {found.contact_id: found for found in held if found is not None}
                keys = [key for key in identity if key]
                for contact_id in earlier.find(keys, met) or ():
                    if contact_id not in met and (found := stored.get(where, contact_id)) is not None:
                        met[contact_id] = found
                if met:
                    earlier.add(keys, met)
                yield contact, list(met.values())
