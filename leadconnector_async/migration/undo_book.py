"""What an undo has done so far, on disk, so that it can go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ..errors import ConfigurationError, JournalError
from ..private_file import keep_database_private

UndoStatus: TypeAlias = Literal["deleted", "gone", "kept", "failed", "restored", "same", "partly", "unseen", "waiting"]
UNDO_STATUSES: Final[tuple[UndoStatus, ...]] = (
    "deleted",
    "gone",
    "kept",
    "failed",
    "restored",
    "same",
    "partly",
    "unseen",
)
_DONE: Final = ("deleted", "gone", "restored", "same")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS undone (
    contact_id TEXT PRIMARY KEY, row INTEGER NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
"""


class Undone(Struct, frozen=True):
    """What became of a contact.

    Attributes:
        row: Of the run, from 0, that created it, or that updated it first.
        contact_id: Its id.
        status: `deleted`; `gone`: it was not there any more; `kept`: left as it is, as somebody else changed it, or as
            nobody knows whether the run created it;
            `failed`: it could not be deleted, or restored; `restored`: it is as it was before; `same`: it was as before
            already; `partly`: some of its fields could not be restored; `unseen`: what it was is not known; `waiting`:
            its email or phone was emptied for a moment, as another contact is to have it.
        detail: Why, where there is something to tell.
    """

    row: int
    contact_id: str
    status: UndoStatus
    detail: str = ""


class UndoBook:
    """The journal of an undo; at most one process has it open, the one that has the journal of the run.

    Args:
        path: The SQLite file; made where it is not there.

    Raises:
        ConfigurationError: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            keep_database_private(path)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(f"{path}: cannot keep what is undone ({error})") from error

    def __enter__(self) -> UndoBook:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def is_done(self, contact_id: str) -> bool:
        """Whether nothing is left to do for a contact."""
        return self._status(contact_id) in _DONE

    def is_waiting(self, contact_id: str) -> bool:
        """Whether a contact's email or phone was emptied, to be restored."""
        return self._status(contact_id) == "waiting"

    def is_settled(self, contact_id: str) -> bool:
        """Whether it is known what became of a contact."""
        return self._status(contact_id) not in (None, "waiting")

    def _status(self, contact_id: str) -> str | None:
        found = self._db.execute("SELECT status FROM undone WHERE contact_id = ?", (contact_id,)).fetchone()
        return None if found is None else str(found[0])

    def write(self, undone: Undone) -> None:
        """Note what became of a contact.

        Raises:
            JournalError: It could not be written.
        """
        record = undone.contact_id, undone.row, undone.status, undone.detail
        try:
            self._db.execute("INSERT OR REPLACE INTO undone VALUES (?, ?, ?, ?)", record)
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot be written ({error})") from error

    def counts(self) -> dict[UndoStatus, int]:
        """Return how many contacts there are of each status, those of earlier sittings included."""
        found = dict(self._db.execute("SELECT status, count(*) FROM undone GROUP BY status"))
        return {status: found.get(status, 0) for status in UNDO_STATUSES}

    def count_kept(self, detail: str) -> int:
        """Return how many contacts were kept for one reason."""
        query = "SELECT count(*) FROM undone WHERE status = 'kept' AND detail = ?"
        (count,) = self._db.execute(query, (detail,)).fetchone()
        return int(count)

    def all(self) -> Iterator[Undone]:
        """Yield what became of each contact, in the order of the rows."""
        for record in self._db.execute("SELECT row, contact_id, status, detail FROM undone ORDER BY row"):
            yield Undone(*record)
