"""What became of contacts in an undo: tables of the run, so that an undo that was interrupted goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ..run.database import Database

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
_UNDO_SCHEMA: Final = """
CREATE TABLE undone (
    contact_id TEXT PRIMARY KEY, row INTEGER NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE changes (contact_id TEXT NOT NULL, change TEXT NOT NULL, PRIMARY KEY (contact_id, change)) WITHOUT ROWID;
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
        changes: The ways in which somebody else changed a contact that was kept, as of `traces.Kept`.
    """

    row: int
    contact_id: str
    status: UndoStatus
    detail: str = ""
    changes: tuple[str, ...] = ()


_UNDO: Final = "undo"


class UndoRecords:
    """What became of contacts in an undo.

    Args:
        file: The database of the run.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        file.create(_UNDO_SCHEMA)

    @property
    def is_begun(self) -> bool:
        """Whether an undo of the run was begun."""
        return self._file.about(_UNDO) is not None

    def begin(self, now: float) -> None:
        """Note that an undo begins, in seconds since 1970."""
        self._file.note([(_UNDO, repr(now))])

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
        found = self._file.read("SELECT status FROM undone WHERE contact_id = ?", contact_id)
        return str(found[0][0]) if found else None

    def write(self, undone: Undone) -> None:
        """Note what became of a contact."""
        record = undone.contact_id, undone.row, undone.status, undone.detail
        changes = [(undone.contact_id, change) for change in dict.fromkeys(undone.changes)]
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO undone VALUES (?, ?, ?, ?)", record)
            db.execute("DELETE FROM changes WHERE contact_id = ?", (undone.contact_id,))
            db.executemany("INSERT INTO changes VALUES (?, ?)", changes)

    def counts(self) -> dict[UndoStatus, int]:
        """Return how many contacts there are of each status, those of earlier sessions included."""
        found = dict(self._file.read("SELECT status, count(*) FROM undone GROUP BY status"))
        return {status: found.get(status, 0) for status in UNDO_STATUSES}

    def count_kept(self, detail: str) -> int:
        """Return how many contacts were kept for one reason."""
        query = "SELECT count(*) FROM undone WHERE status = 'kept' AND detail = ?"
        ((count,),) = self._file.read(query, detail)
        return int(count)

    def changes(self) -> dict[str, int]:
        """Return in which ways contacts changed that were kept, and how many each, the most frequent first."""
        query = "SELECT change, count(*) AS many FROM changes GROUP BY change ORDER BY many DESC, change"
        return dict(self._file.read(query))

    def all(self) -> Iterator[Undone]:
        """Yield what became of each contact, in the order of the rows."""
        for record in self._file.walk("SELECT row, contact_id, status, detail FROM undone ORDER BY row"):
            yield Undone(*record)
