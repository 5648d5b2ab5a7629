"""What became of rows after their upserts, and of contacts in an undo: tables of the run, to go on with after a crash.

What they do not know of is sent again, which is safe: adding a tag that is there changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..run.database import Database
from .matching import Conflict

_STEPS_SCHEMA: Final = """
CREATE TABLE steps (
    step TEXT NOT NULL, row INTEGER NOT NULL, state INTEGER NOT NULL, tags TEXT NOT NULL, reason TEXT,
    PRIMARY KEY (step, row)
) WITHOUT ROWID;
CREATE TABLE step_calls (
    number INTEGER PRIMARY KEY, step TEXT NOT NULL, attempts INTEGER NOT NULL, rate_limited INTEGER NOT NULL
);
"""
Step: TypeAlias = Literal["tags", "phones"]
"""What is done after the upserts."""
ADDED: Final = 1
REFUSED: Final = 2
LEFT: Final = 3  # for the next session


class Tagged(Struct, frozen=True, gc=False):
    """What became of the tags of one row.

    Attributes:
        row: Its position in the load.
        state: `ADDED`, `REFUSED` or `LEFT`.
        tags: What was, or is, to be added; empty where they were added.
        reason: Why they were not added.
    """

    row: int
    state: int
    tags: tuple[str, ...] = ()
    reason: str | None = None


class Spent(Struct, frozen=True):
    """What adding tags has cost, in all sessions.

    Attributes:
        calls: How many calls there were.
        attempts: Their tries, those answered 429 not counted.
        rate_limited: Tries answered 429.
    """

    calls: int
    attempts: int
    rate_limited: int


class TagBook:
    """What became of the tags of each row.

    Args:
        file: The database of the run.
        retry_refused: Whether what the service refused is tried once more.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    _step: Step = "tags"

    def __init__(self, file: Database, *, retry_refused: bool = False) -> None:
        self._file = file
        self._settled = (ADDED,) if retry_refused else (ADDED, REFUSED)
        file.create(_STEPS_SCHEMA)

    def settled(self, first: int, count: int) -> set[int]:
        """Return which rows from one on need no call any more."""
        states = ",".join(map(str, self._settled))
        query = f"SELECT row FROM steps WHERE step = ? AND row >= ? AND row < ? AND state IN ({states})"  # noqa: S608
        return {row for (row,) in self._file.read(query, self._step, first, first + count)}

    def note(self, rows: Iterable[Tagged], *, attempts: int = 0, rate_limited: int = 0) -> None:
        """Write what became of rows, and what the call for them took."""
        records = [(self._step, row.row, row.state, msgspec.json.encode(row.tags).decode(), row.reason) for row in rows]
        with self._file.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", records)
            if attempts or rate_limited:
                query = "INSERT INTO step_calls (step, attempts, rate_limited) VALUES (?, ?, ?)"
                db.execute(query, (self._step, attempts, rate_limited))

    def missing(self) -> dict[int, Tagged]:
        """Return the rows whose tags were not added."""
        query = "SELECT row, state, tags, reason FROM steps WHERE step = ? AND state <> ?"
        found = self._file.read(query, self._step, ADDED)
        return {row: Tagged(row, state, _read_tags(tags), reason) for row, state, tags, reason in found}

    def spent(self) -> Spent:
        """Return what it has cost so far."""
        query = """
            SELECT count(*), coalesce(sum(attempts), 0), coalesce(sum(rate_limited), 0) FROM step_calls WHERE step = ?
        """
        ((calls, attempts, rate_limited),) = self._file.read(query, self._step)
        return Spent(calls, attempts, rate_limited)


def _read_tags(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


# ---------------------------------------------------------------------------------------------- phones

_PHONES_SCHEMA: Final = """
CREATE TABLE conflicts (row INTEGER PRIMARY KEY, owner INTEGER NOT NULL, later INTEGER, action TEXT NOT NULL);
CREATE TABLE owners (number INTEGER PRIMARY KEY, place TEXT NOT NULL);
"""
_TOLD: Final = """
    SELECT conflicts.row, owner, later, action, place, state, tags, reason FROM conflicts
    JOIN owners ON owners.number = conflicts.owner
    LEFT JOIN steps ON steps.row = conflicts.row AND step = 'phones'
    WHERE conflicts.row >= ? ORDER BY conflicts.row LIMIT 500
"""


class SharedRow(Struct, frozen=True):
    """A row that shares a phone with another person's, and what became of its phone.

    Attributes:
        conflict: The row.
        place: Where the row stands that keeps the phone.
        missing: Why it has not got the phone, and the phone; None where that was not tried, or it has it.
    """

    conflict: Conflict
    place: str
    missing: Tagged | None


class PhoneBook(TagBook):
    """Which rows share a phone, and what became of the phone of each."""

    _step = "phones"

    def __init__(self, file: Database, *, retry_refused: bool = False) -> None:
        super().__init__(file, retry_refused=retry_refused)
        file.create(_PHONES_SCHEMA)

    def fill(self, conflicts: Iterable[Conflict], places: Iterable[tuple[int, str]]) -> None:
        """Settle which rows there are.

        Args:
            conflicts: All of them.
            places: Each row that keeps a phone, and where it stands.
        """
        owners = list(places)
        with self._file.transaction() as db:
            for table in ("conflicts", "owners"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608  (our names)
            db.execute("DELETE FROM steps WHERE step = ?", (self._step,))
            records = ((one.row, one.owner, one.later, one.action) for one in conflicts)
            db.executemany("INSERT INTO conflicts VALUES (?, ?, ?, ?)", records)
            db.executemany("INSERT INTO owners VALUES (?, ?)", owners)

    def count(self, action: str) -> int:
        """Return how many rows there are with an action."""
        ((found,),) = self._file.read("SELECT count(*) FROM conflicts WHERE action = ?", action)
        return int(found)

    def count_to_set(self) -> int:
        """Return how many rows are to get a phone yet."""
        query = """
            SELECT count(*) FROM conflicts LEFT JOIN steps ON steps.row = conflicts.row AND step = 'phones'
            WHERE action = 'wait' AND later IS NULL AND state IS NOT ?
        """
        ((found,),) = self._file.read(query, ADDED)
        return int(found)

    def shared_rows(self, first: int = 0) -> Iterator[SharedRow]:
        """Yield all rows from one on, in their order; it is read in steps, so that others may write meanwhile."""
        while found := self._file.read(_TOLD, first):
            for row, owner, later, action, place, state, tags, reason in found:
                missing = None if state in (None, ADDED) else Tagged(row, state, _read_tags(tags), reason)
                yield SharedRow(Conflict(row, owner, later, action), place, missing)
            first = found[-1][0] + 1


# ---------------------------------------------------------------------------------------------- undo

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


class UndoBook:
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
