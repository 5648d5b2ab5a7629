"""What every source looks like to those who use it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct


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
        name: How messages call it.
        columns: The names of its columns as they stand; they may repeat.
        row_word: How messages call a row.
        has_objects: Whether its rows are objects, so that each has a `line`.
    """

    name: str
    columns: list[str]
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
        """Return what the content is known by: its size and its SHA-256."""
        raise NotImplementedError


def describe_file(path: Path) -> list[int | str]:
    """Return size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return [file.tell(), digest.hexdigest()]
