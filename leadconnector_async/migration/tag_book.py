"""Which rows of a load have got their tags: a file of its own beside the journal, to go on with after a crash.

What it does not know of is sent again, which is safe: adding a tag that is there changes nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import JournalError
from ..private_file import keep_database_private

_SCHEMA: Final = """
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
            self._db.executescript(_SCHEMA)

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
