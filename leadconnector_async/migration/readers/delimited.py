"""CSV and TSV with a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from ...errors import ConfigurationError
from .table import Record, Table, describe_file
from .text import is_text, open_text

_MOST_CELL_CHARS: Final = 16 * 1024 * 1024


class DelimitedTable(Table):
    """Cells between delimiters, with a header.

    Args:
        path: The file.
        delimiters: Those to choose from.
    """

    def __init__(self, path: Path, delimiters: str) -> None:
        self.name = str(path)
        self._path = path
        with open_text(path) as file:
            first = file.readline()
        # What stands in quotes delimits nothing.
        self._delimiter = max(delimiters, key=re.sub(r'"[^"]*"', "", first).count)
        header = next((record.cells for record in self._records()), None)
        if header is None or not all(is_text(name) for name in header):
            raise ConfigurationError(f"{path}: the header cannot be read as UTF-8; save the file as UTF-8")
        self.columns = [name.strip() for name in header]

    def rows(self) -> Iterator[Record]:
        """Yield all rows."""
        records = self._records()
        next(records)
        return records

    def describe(self) -> list[int | str]:
        """Return what the content is known by."""
        return describe_file(self._path)

    def _records(self) -> Iterator[Record]:
        """Yield each record that is not blank, the header first.

        A line whose quotes are wrong is one record that cannot be read.

        Raises:
            ConfigurationError: Quotes are wrong in a record of several lines, so that nobody knows where it ends.
        """
        with open_text(self._path) as file:
            lines = Lines(file)
            csv.field_size_limit(_MOST_CELL_CHARS)
            reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
            number = 0
            while True:
                number += 1
                lines.begin()
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if lines.taken > 1:
                        # What follows may be text of a cell as well as rows: nothing of it must be sent.
                        raise ConfigurationError(
                            f"{self.name}, row {number}: its quotes cannot be read ({error}), so that cells and rows "
                            "cannot be told apart from there on; correct the quotes"
                        ) from None
                    yield Record(number, [lines.first.rstrip("\r\n")], f"its quotes cannot be read ({error})")
                    continue
                if any(cell.strip() for cell in cells):
                    yield Record(number, cells)


class Lines:
    """The lines of a file.

    Attributes:
        first: The first line of the record at hand.
        taken: How many lines it has so far.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.first = ""
        self.taken = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = next(self._file)
        if not self.taken:
            self.first = line
        self.taken += 1
        return line

    def begin(self) -> None:
        """Begin a record."""
        self.first = ""
        self.taken = 0
