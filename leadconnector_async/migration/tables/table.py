"""What every source looks like to those who use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ...errors import ConfigurationError
from ...protocol.text import count_of
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


_MOST_COLUMNS: Final = 16_384  # as many as a sheet of Excel has


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
        delimiter: What stands between cells; None where the source is no text with delimiters.
        encoding: In which text it is read; None where the source is no text.
        result_delimiter: What is to stand between cells of the files with our results; None where anything may.
        needs_mark: Whether a spreadsheet needs a byte order mark in the files with our results.
        consents: Places of columns whose cells showed that they are about consent; None where nobody has looked.
        foreign_ids: Places of columns that by their headers hold ids of contacts and whose cells show that they do not.
    """

    file: File
    name: str
    part: str = ""
    columns: list[str]
    notes: Sequence[str] = ()
    row_word = "row"
    has_objects = False
    delimiter: str | None = None
    encoding: str | None = None
    result_delimiter: str | None = None
    needs_mark = False
    consents: frozenset[int] | None = None
    foreign_ids: frozenset[int] = frozenset()

    def rows(self) -> Iterator[Record]:
        """Yield all rows; reading goes on after one that cannot be read.

        Raises:
            ConfigurationError: From here on, rows cannot be told apart, or the source ends in the midst of one.
        """
        raise NotImplementedError

    def check_width(self, columns: int) -> None:
        """Refuse more columns than any program exports: each row takes time and memory for all of them.

        Raises:
            ConfigurationError: There are too many.
        """
        if columns > _MOST_COLUMNS:
            raise ConfigurationError(f"{self.name}: has more than {_MOST_COLUMNS:,} columns, which no export has")

    def describe(self) -> list[int | str]:
        """Return what the content is known by: size and SHA-256 of the file, and which part of it is read."""
        return [*self.file.describe(), *([self.part] if self.part else [])]


# ---------------------------------------------------------------------------------------------- the header

IsHeader: TypeAlias = Callable[[Sequence[str]], bool]
"""Whether cells are headers of contacts."""
MOST_ABOVE: Final = 30  # lines above a header that are looked through
_MOST_SHOWN, _MOST_SHOWN_CHARS = 3, 40


def count_above(rows: Sequence[Sequence[str]], is_header: IsHeader | None) -> int:
    """Return how many rows stand above the header, such as the title of a report; none where no header follows.

    The header is the first row that is known for one and has more cells than all above it: a row of a table is not
    wider than its header, so no header that is merely unknown is passed over for one of its rows.

    Args:
        rows: The first rows that are not blank.
        is_header: Tells a header; None where the first row is one.
    """
    if is_header is None or not rows or is_header(rows[0]):
        return 0
    widest = _filled(rows[0])
    for place, cells in enumerate(rows[1:], 1):
        width = _filled(cells)
        if width > widest or width == widest == 1:
            if is_header(cells):
                return place
            widest = width
    return 0


def _filled(cells: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def about_above(rows: Sequence[Sequence[str]]) -> list[str]:
    """Say which rows above the header are skipped, as the end of a sentence; nothing where there are none."""
    if not rows:
        return []
    texts = [next(cell.strip() for cell in cells if cell.strip())[:_MOST_SHOWN_CHARS] for cells in rows[:_MOST_SHOWN]]
    lines = count_of(len(rows), "line")
    return [f"{lines} above the header {'is' if len(rows) == 1 else 'are'} skipped ({'; '.join(map(repr, texts))})"]


# ---------------------------------------------------------------------------------------------- cells

_EXACT: Final = 1e15  # below it a float tells every whole number
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def text_of(value: Any) -> str:
    """Return a value of JSON as the cell that it is read from: text as it is, nothing as empty, all else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return _ENCODER.encode(value).decode()


def cell_of(value: Any) -> str:
    """Return a value of a workbook or a database as a person sees it: `2134` and not `2134.0`, dates in ISO order."""
    if value is None or isinstance(value, str):
        return value or ""
    reader = _CELLS.get(type(value))
    return reader(value) if reader is not None else text_of(value)


def _float(value: float) -> str:
    if value != value:  # how tables of numbers tell that there is none
        return ""
    return str(int(value)) if abs(value) < _EXACT and value.is_integer() else repr(value)


def _datetime(value: datetime) -> str:
    # A date alone is kept as midnight by what knows no dates.
    return value.date().isoformat() if value.tzinfo is None and value.time() == time.min else value.isoformat()


def _bytes(value: bytes) -> str:
    return value.decode("utf-8", errors="surrogateescape")


_CELLS: Final[dict[type, Any]] = {
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _float,
    Decimal: lambda value: format(value, "f"),
    datetime: _datetime,
    date: date.isoformat,
    time: time.isoformat,
    bytes: _bytes,
    memoryview: lambda value: _bytes(bytes(value)),
}
