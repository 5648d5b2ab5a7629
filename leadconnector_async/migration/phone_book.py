"""Which rows of a load share a phone with another person's, and which of them have got theirs: a file beside the
journal, so that a load goes on with what was settled before its first row was sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from .sharing import Conflict
from .tag_book import ADDED, TagBook, Tagged

PHONES: Final = "phones.sqlite3"
_SCHEMA: Final = """
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
            self._db.executescript(_SCHEMA)

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
