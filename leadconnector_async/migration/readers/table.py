"""What every source looks like to those who use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct

from .file import File


class Record(Struct, frozen=True, gc=False):
    """One row of a table, as it stands there.

    Attributes:
        number: Its number there; of a table with a header, the header is 1.
        cells: Its cells as text, in the order of the columns. There may be fewer or more. Of a row that cannot be read,
            all that there is of it.
        error: Why it cannot be read, or None.
        value: The object, where the source has objects: it can tell null, a number and an empty text apart.
        line: That object as a line of JSON Lines; of JSON Lines the line as it stands.
    """

    number: int
    cells: Sequence[str]
    error: str | None = None
    value: dict[str, Any] | None = None
    line: str | None = None


class Table:
    """A source that can be read row by row, more than once, in constant memory where its format allows it.

    Attributes:
        file: Where it is read from.
        name: How messages call it.
        part: Which part of the file it is, or which query gave the file, where that matters.
        columns: The names of its columns as they stand; they may repeat.
        notes: What was assumed in reading it, each the end of a sentence that begins with its name.
        row_word: How messages call a row.
        has_objects: Whether its rows are objects, so that each has a `line`.
    """

    file: File
    name: str
    part: str = ""
    columns: list[str]
    notes: Sequence[str] = ()
    row_word = "row"
    has_objects = False

    def rows(self) -> Iterator[Record]:
        """Yield all rows; reading goes on after one that cannot be read.

        Raises:
            ConfigurationError: From here on, rows cannot be told apart, or the source ends in the midst of one.
        """
        raise NotImplementedError

    @cached_property
    def count(self) -> int:
        """How many rows there are. This reads the whole table, and so finds what makes it unreadable.

        Raises:
            ConfigurationError: As `rows`.
        """
        return sum(1 for _ in self.rows())

    def describe(self) -> list[int | str]:
        """Return what the content is known by: size and SHA-256 of the file, and which part of it is read."""
        return [*self.file.describe(), *([self.part] if self.part else [])]
