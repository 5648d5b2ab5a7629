"""CSV and TSV with a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from ...errors import ConfigurationError
from .file import File
from .table import MOST_ABOVE, IsHeader, Record, Table, about_above, count_above
from .text import OTHER_ENCODING, Encoding, Lines, is_text, open_text, read_start

_MOST_CELL_CHARS: Final = 16 * 1024 * 1024
_HEADER_CHARS: Final = 65_536
_DELIMITER_LINE: Final = re.compile(r'"?sep=([,;\t|])"?[\r\n]*', re.IGNORECASE)


class DelimitedTable(Table):
    """Cells between delimiters, with a header.

    Args:
        file: The file.
        encoding: Its encoding.
        delimiters: Those to choose from.
        is_header: Tells the header from lines above it; None where the first line is the header.
        is_said: Whether the user says which delimiter it is, so that a line for Excel does not.

    Raises:
        ConfigurationError: It has no header that can be read.
    """

    delimiter: str

    def __init__(
        self,
        file: File,
        encoding: Encoding,
        delimiters: str,
        is_header: IsHeader | None = None,
        *,
        is_said: bool = False,
    ) -> None:
        self.name = file.name
        self.notes = [encoding.note] if encoding.note else []
        self.file = file
        self._encoding = encoding
        self.encoding = encoding.name.removesuffix("-sig")
        self.needs_mark = encoding.needs_mark
        self._width = 0
        self._find_delimiter(delimiters, is_header, is_said=is_said)
        self.result_delimiter = self.delimiter
        first = self._first_rows(is_header)
        self._above = count_above(first, is_header)
        self.notes += about_above(first[: self._above])
        header = first[self._above] if first else None
        if header is None or not all(is_text(name) for name in header):
            raise ConfigurationError(f"{self.name}: the header cannot be read as UTF-8; save the file as UTF-8")
        self.check_width(len(header))
        self.columns = [name.strip() for name in header]
        self._width = len(header)

    def rows(self) -> Iterator[Record]:
        """Yield all rows."""
        return islice(self._records(), self._above + 1, None)

    def _first_rows(self, is_header: IsHeader | None) -> list[Sequence[str]]:
        """Return the first row; where it is no known header also those after it, as far as they can be read."""
        rows: list[Sequence[str]] = []
        try:
            for record in islice(self._records(), MOST_ABOVE if is_header is not None else 1):
                if rows and record.error is not None:
                    break
                rows.append(record.cells)
                if is_header is not None and is_header(record.cells):
                    break
        except ConfigurationError:  # it is raised again where the rows are read
            if not rows:
                raise
        return rows

    def _find_delimiter(self, delimiters: str, is_header: IsHeader | None, *, is_said: bool) -> None:
        """Take the delimiter that a first line for Excel names, else that of which the header has most.

        Where what that gives is no header, but another delimiter gives one below it, it is that one.
        """
        start = read_start(self.file, self._encoding, _HEADER_CHARS)
        named = _DELIMITER_LINE.match(start)
        self._skipped = named is not None
        # What stands in quotes delimits nothing, and ends no header.
        header = re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", start.lstrip("\r\n")), maxsplit=1)[0]
        self.delimiter = named[1] if named and not is_said else max(delimiters, key=header.count)
        if named is None and is_header is not None and not is_header(next(_split(start, self.delimiter), [])):
            found = (one for one in delimiters if count_above(list(_split(start, one)), is_header))
            self.delimiter = next(found, self.delimiter)

    def _records(self) -> Iterator[Record]:
        """Yield each record that is not blank, the header first.

        A line whose quotes are wrong is one record that cannot be read.

        Raises:
            ConfigurationError: Quotes are wrong in a record of several lines, so that nobody knows where it ends.
        """
        with open_text(self.file, self._encoding) as file:
            lines = Lines(file, self.name)
            if self._skipped:
                next(lines)
            csv.field_size_limit(_MOST_CELL_CHARS)
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            number = 0
            while True:
                number += 1
                lines.begin()
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield self._unreadable(number, lines, error)
                    continue
                if (cells and cells[0]) or any(map(str.strip, cells)):
                    yield Record(number, cells, self._error_of(cells, lines))

    def _unreadable(self, number: int, lines: Lines, error: csv.Error) -> Record:
        if lines.taken > 1:
            # What follows may be text of a cell as well as rows: nothing of it must be sent.
            raise ConfigurationError(
                f"{self.name}, row {number}: its quotes cannot be read ({error}), so that cells and rows "
                "cannot be told apart from there on; correct the quotes"
            ) from None
        return Record(number, [lines.first.rstrip("\r\n")], f"its quotes cannot be read ({error})")

    def _error_of(self, cells: list[str], lines: Lines) -> str | None:
        """Say why cells that were read are not to be trusted, or None."""
        if len(cells) < self._width and not lines.last.endswith(("\n", "\r")):
            return "the file ends in the middle of it; export it again"
        if self._encoding.is_guess and any(map(self._encoding.hides_utf8, cells)):
            return OTHER_ENCODING
        return None


def _split(start: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the first rows of a text that are not blank, as they are with a delimiter."""
    try:
        yield from islice(filter(any, csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)), MOST_ABOVE)
    except csv.Error:
        return
