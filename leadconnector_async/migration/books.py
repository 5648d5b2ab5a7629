"""Which rows of a load have got their tags: a file of its own beside the journal, to go on with after a crash.

What it does not know of is sent again, which is safe: adding a tag that is there changes nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, JournalError
from ..private_file import keep_database_private
from .matching import Conflict

_TAGS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rows (row INTEGER PRIMARY KEY, state INTEGER NOT NULL, tags TEXT NOT NULL, reason TEXT);
CREATE TABLE IF NOT EXISTS calls (attempts INTEGER NOT NULL, rate_limited INTEGER NOT NULL);
"""
TAGS: Final = "tags.sqlite3"
ADDED: Final = 1
REFUSED: Final = 2
LEFT: Final = 3  # for the next sitting


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
    """What adding tags has cost, in all sittings.

    Attributes:
        calls: How many calls there were.
        attempts: Their tries, those answered 429 not counted.
        rate_limited: Tries answered 429.
    """

    calls: int
    attempts: int
    rate_limited: int


class TagBook:
    """The file of one load.

    Args:
        path: Of it; made where it is not there. Only the process that has the load's journal may open it.
        retry_refused: Whether tags that the service refused are tried once more.

    Raises:
        JournalError: It cannot be read or written.
    """

    def __init__(self, path: Path, *, retry_refused: bool = False) -> None:
        self._path = path
        self._settled = (ADDED,) if retry_refused else (ADDED, REFUSED)
        self._lock = threading.RLock()
        with self._telling():
            keep_database_private(path)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes away is added again
            self._db.executescript(_TAGS_SCHEMA)

    def settled(self, first: int, count: int) -> set[int]:
        """Return which rows from one on need no call any more."""
        states = ",".join(map(str, self._settled))
        query = f"SELECT row FROM rows WHERE row >= ? AND row < ? AND state IN ({states})"  # noqa: S608  (numbers)
        return {row for (row,) in self._read(query, first, first + count)}

    def note(self, rows: Iterable[Tagged], *, attempts: int = 0, rate_limited: int = 0) -> None:
        """Write what became of rows, and what the call for them took."""
        records = [(row.row, row.state, msgspec.json.encode(row.tags).decode(), row.reason) for row in rows]
        with self._telling():
            self._db.execute("BEGIN")
            try:
                self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", records)
                if attempts or rate_limited:
                    self._db.execute("INSERT INTO calls VALUES (?, ?)", (attempts, rate_limited))
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def missing(self) -> dict[int, Tagged]:
        """Return the rows whose tags were not added."""
        found = self._read("SELECT row, state, tags, reason FROM rows WHERE state <> ?", ADDED)
        return {row: Tagged(row, state, self._read_tags(tags), reason) for row, state, tags, reason in found}

    def spent(self) -> Spent:
        """Return what it has cost so far."""
        ((calls, attempts, rate_limited),) = self._read(
            "SELECT count(*), coalesce(sum(attempts), 0), coalesce(sum(rate_limited), 0) FROM calls"
        )
        return Spent(calls, attempts, rate_limited)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _read(self, query: str, *values: object) -> Sequence[Any]:
        with self._telling():
            return self._db.execute(query, values).fetchall()

    @staticmethod
    def _read_tags(text: str) -> tuple[str, ...]:
        return msgspec.json.decode(text, type=tuple[str, ...])

    @contextmanager
    def _telling(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise JournalError(f"{self._path}: cannot be read or written ({error})") from error


def read_missing(path: Path) -> dict[int, Tagged]:
    """Return the rows of a run whose tags were not added; none where the run added none.

    Raises:
        JournalError: The file cannot be read.
    """
    if not path.is_file():
        return {}
    book = TagBook(path)
    try:
        return book.missing()
    finally:
        book.close()


# ---------------------------------------------------------------------------------------------- phones

PHONES: Final = "phones.sqlite3"
_PHONES_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS conflicts (
    row INTEGER PRIMARY KEY, owner INTEGER NOT NULL, later INTEGER, action TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS owners (number INTEGER PRIMARY KEY, place TEXT NOT NULL);
"""
_TOLD: Final = """
    SELECT row, owner, later, action, place, state, tags, reason FROM conflicts
    JOIN owners ON owners.number = conflicts.owner LEFT JOIN rows USING (row)
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
    """The file of one load. It keeps of each row what a `TagBook` does, of its phone."""

    def __init__(self, path: Path, *, retry_refused: bool = False) -> None:
        super().__init__(path, retry_refused=retry_refused)
        with self._telling():
            self._db.executescript(_PHONES_SCHEMA)

    def fill(self, conflicts: Iterable[Conflict], places: Iterable[tuple[int, str]]) -> None:
        """Settle which rows there are; what an earlier sitting wrote that did not begin is replaced.

        Args:
            conflicts: All of them.
            places: Each row that keeps a phone, and where it stands.
        """
        with self._telling():
            self._db.execute("BEGIN")
            for table in ("conflicts", "owners", "rows"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608  (our names)
            records = ((one.row, one.owner, one.later, one.action) for one in conflicts)
            self._db.executemany("INSERT INTO conflicts VALUES (?, ?, ?, ?)", records)
            self._db.executemany("INSERT INTO owners VALUES (?, ?)", places)
            self._db.execute("COMMIT")

    def count(self, action: str) -> int:
        """Return how many rows there are with an action."""
        ((found,),) = self._read("SELECT count(*) FROM conflicts WHERE action = ?", action)
        return int(found)

    def count_to_set(self) -> int:
        """Return how many rows are to get a phone yet."""
        query = "SELECT count(*) FROM conflicts LEFT JOIN rows USING (row) WHERE action = 'wait' AND later IS NULL"
        ((found,),) = self._read(f"{query} AND state IS NOT ?", ADDED)
        return int(found)

    def shared_rows(self, first: int = 0) -> Iterator[SharedRow]:
        """Yield all rows from one on, in their order; it is read in steps, so that others may write meanwhile."""
        while found := self._read(_TOLD, first):
            for row, owner, later, action, place, state, tags, reason in found:
                missing = None if state in (None, ADDED) else Tagged(row, state, self._read_tags(tags), reason)
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
CREATE TABLE IF NOT EXISTS undone (
    contact_id TEXT PRIMARY KEY, row INTEGER NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    contact_id TEXT NOT NULL, change TEXT NOT NULL, PRIMARY KEY (contact_id, change)
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
        changes: The ways in which somebody else changed a contact that was kept, as of `traces.Kept`.
    """

    row: int
    contact_id: str
    status: UndoStatus
    detail: str = ""
    changes: tuple[str, ...] = ()


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
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_UNDO_SCHEMA}")
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
        changes = [(undone.contact_id, change) for change in dict.fromkeys(undone.changes)]
        try:
            self._db.execute("BEGIN")
            self._db.execute("INSERT OR REPLACE INTO undone VALUES (?, ?, ?, ?)", record)
            self._db.execute("DELETE FROM changes WHERE contact_id = ?", (undone.contact_id,))
            self._db.executemany("INSERT INTO changes VALUES (?, ?)", changes)
            self._db.execute("COMMIT")
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

    def changes(self) -> dict[str, int]:
        """Return in which ways contacts changed that were kept, and how many each, the most frequent first."""
        query = "SELECT change, count(*) AS many FROM changes GROUP BY change ORDER BY many DESC, change"
        return dict(self._db.execute(query))

    def all(self) -> Iterator[Undone]:
        """Yield what became of each contact, in the order of the rows."""
        for record in self._db.execute("SELECT row, contact_id, status, detail FROM undone ORDER BY row"):
            yield Undone(*record)
