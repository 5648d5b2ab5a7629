"""What each contact was before a run changed it, kept so that the run can be undone.

What locations held is read already (`stored`), and what a search left out of it is read by id before the load
(`completion`).
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ..errors import JournalError
from ..models import Contact
from ..models.wire import read_contact
from ..private_file import keep_database_private
from .stored import StoredContacts

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
            keep_database_private(self._path)
            self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def is_completed(self) -> bool:
        """Whether all that a load may change is read, so that it may begin."""
        return bool(self._execute("SELECT 1 FROM finished"))

    def complete(self, now: float) -> None:
        """Note that all is read, in seconds since 1970."""
        self._execute("INSERT INTO finished VALUES (?)", now)

    def is_whole(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was read whole."""
        return bool(self._execute("SELECT 1 FROM contacts WHERE location = ? AND id = ?", location_id, contact_id))

    def was_there(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was there before the run. This is surer than what tells of a row whose answer was lost
        whether it created its contact."""
        return self.is_whole(location_id, contact_id) or self._stored.get(location_id, contact_id) is not None

    def add_whole(self, location_id: str, contact: Contact) -> None:
        """Keep a contact that was read whole; what was kept first stays."""
        record = location_id, contact.id, zlib.compress(contact.raw, 1)
        self._execute("INSERT OR IGNORE INTO contacts VALUES (?, ?, ?)", *record)

    def find(self, location_id: str, contact_id: str) -> Contact | None:
        """Return a contact as it was before the run, as far as it is known; None where it is not known to have been
        there."""
        found = self._execute("SELECT raw FROM contacts WHERE location = ? AND id = ?", location_id, contact_id)
        if found:
            return read_contact(zlib.decompress(found[0][0]), Contact, "whole")
        stored = self._stored.get(location_id, contact_id)
        return None if stored is None else stored.contact

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
