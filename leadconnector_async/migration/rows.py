"""Reading files row by row, in constant memory; a row that cannot be read is a row all the same."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from io import TextIOWrapper
from itertools import chain, count
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, InvalidContactError
from ..models import ContactUpsert, read_mapping
from .columns import RESULT_COLUMNS, CellError, read_cells, read_header, text_of

_CSV_KINDS: Final = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}
_JSON_KINDS: Final = (".jsonl", ".ndjson")
_NAMES: Final = ", ".join([*_CSV_KINDS, *_JSON_KINDS])
_MOST_CELL_CHARS: Final = 16 * 1024 * 1024
_SNIFF_BYTES: Final = 65_536


class FileRow(Struct, frozen=True, gc=False):
    """One row of a file, as it was read; what it means is looked at only where it is asked for.

    Attributes:
        file: Its file.
        number: Its number there, the header counted; of a JSON Lines file the number of its line.
        raw: Its cells, or its line.
        error: Why it cannot be read, or None.
    """

    file: RowFile
    number: int
    raw: Any
    error: str | None = None

    @property
    def where(self) -> str:
        """How messages call its place."""
        return f"{self.file.name}, {'line' if self.file.is_lines else 'row'} {self.number}"

    @property
    def contact(self) -> ContactUpsert | InvalidContactError:
        """The contact, or what is wrong with it."""
        return self.file.contact_of(self)

    @property
    def cells(self) -> Sequence[str]:
        """The row as it stands in the file, in the order of the file's columns.

        There are more where it has too many, or where it cannot be read: then it stands whole after empty ones.
        """
        return self.file.cells_of(self)

    @property
    def line(self) -> str | None:
        """The line as it stands in a JSON Lines file, else None."""
        return self.raw if self.file.is_lines else None


class RowFile:
    """A file that can be read row by row, more than once.

    Attributes:
        name: How messages call it.
        columns: Its columns, those that an earlier run added left out.
        ignored: Columns that no field is known for.
        has_locations: Whether some column names a location.
        is_lines: Whether it is JSON Lines, of which a cell cannot tell null from an empty text.
    """

    name: str
    columns: list[str]
    ignored: list[str]
    has_locations: bool
    is_lines = False

    def rows(self) -> Iterator[FileRow]:
        """Yield all rows; reading goes on after one that cannot be read."""
        raise NotImplementedError

    def contact_of(self, row: FileRow) -> ContactUpsert | InvalidContactError:
        """Return what `FileRow.contact` tells."""
        raise NotImplementedError

    def cells_of(self, row: FileRow) -> Sequence[str]:
        """Return what `FileRow.cells` tells."""
        raise NotImplementedError

    @cached_property
    def count(self) -> int:
        """How many rows there are. This reads the whole file, and so finds what makes it unreadable.

        Raises:
            ConfigurationError: From some place on, its rows cannot be told apart.
        """
        return sum(1 for _ in self.rows())

    @property
    def mapping(self) -> dict[str, str]:
        """Each column that is sent, and the field that it goes to."""
        return {}


def open_row_file(path: Path) -> RowFile:
    """Look at a file before anything is sent; `count` then looks through it.

    Raises:
        ConfigurationError: It cannot be read as rows of contacts; the sentence says what to do.
    """
    kind = path.suffix.lower()
    try:
        _check_readable(path)
        if kind in _CSV_KINDS:
            return CsvFile(path, _CSV_KINDS[kind])
        if kind in _JSON_KINDS:
            return JsonLinesFile(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error})") from None
    raise ConfigurationError(f"{path}: is of no kind that can be read; the name must end in {_NAMES}")


def _check_readable(path: Path) -> None:
    if not path.is_file():
        there = "is no file" if path.exists() else "there is no such file"
        raise ConfigurationError(f"{path}: {there}; name a file that ends in {_NAMES}")
    with path.open("rb") as file:
        start = file.read(_SNIFF_BYTES)
    if not start.strip():
        raise ConfigurationError(f"{path}: is empty; it needs at least a header")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise ConfigurationError(f"{path}: is not UTF-8 text (it looks like UTF-16 or a binary file); save it as UTF-8")


def _open_text(path: Path) -> TextIOWrapper:
    # Bytes that are not UTF-8 become lone surrogates: the row is told apart, and results repeat it byte by byte.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _is_text(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


# ---------------------------------------------------------------------------------------------- CSV


class CsvFile(RowFile):
    """CSV or TSV with a header."""

    def __init__(self, path: Path, delimiters: str) -> None:
        self.name = str(path)
        self._path = path
        with _open_text(path) as file:
            first = file.readline()
        # What stands in quotes delimits nothing.
        self._delimiter = max(delimiters, key=re.sub(r'"[^"]*"', "", first).count)
        header = next((cells for _, cells, _ in self._records()), None)
        if header is None or not all(_is_text(name) for name in header):
            raise ConfigurationError(f"{path}: the header cannot be read as UTF-8; save the file as UTF-8")
        header = [name.strip() for name in header]
        self._width = len(header)
        is_ours = tuple(header[-len(RESULT_COLUMNS) :]) == RESULT_COLUMNS
        self._inputs = self._width - len(RESULT_COLUMNS) if is_ours else self._width
        self.columns = _distinct(header[: self._inputs])
        self._known = read_header(header[: self._inputs], self.name)
        known = {column.position for column in self._known}
        self.ignored = [name for position, name in enumerate(self.columns) if position not in known]
        self.has_locations = any(column.field == "locationId" for column in self._known)

    def rows(self) -> Iterator[FileRow]:
        """Yield all rows."""
        records = self._records()
        next(records)
        for number, cells, error in records:
            yield FileRow(self, number, cells, error)

    def cells_of(self, row: FileRow) -> Sequence[str]:
        """Return the cells of the input columns, and those that are too many."""
        cells = row.raw
        if row.error is not None:
            return _beyond(self.columns, cells[0])
        return [*cells[: self._inputs], *[""] * (self._inputs - len(cells)), *cells[self._width :]]

    @property
    def mapping(self) -> dict[str, str]:
        """Each column that is sent, and the field that it goes to."""
        return {column.name: column.field for column in self._known}

    def contact_of(self, row: FileRow) -> ContactUpsert | InvalidContactError:
        """Read a row."""
        where = row.where
        if row.error is not None:
            return InvalidContactError(row.error, where=where)
        try:
            self._check_cells(row.raw)
            contact = _contact(read_cells(self._known, row.raw), where)
            if self._is_unknown(row.raw) and contact.create_new_if_duplicate_allowed is True:
                raise CellError("status", "it may have been applied; look it up, then clear this cell to send the row")
            return contact
        except CellError as wrong:
            place = where if wrong.column is None else f"{where}, column {wrong.column}"
            return InvalidContactError(str(wrong), where=place)
        except InvalidContactError as wrong:
            return wrong

    def _is_unknown(self, cells: list[str]) -> bool:
        """Whether a run that wrote this file could not tell what became of a row."""
        return self._inputs < self._width and len(cells) > self._inputs and cells[self._inputs] == "unknown"

    def _check_cells(self, cells: list[str]) -> None:
        if len(cells) > self._width:
            sentence = f"has {len(cells)} cells where the header has {self._width}; quote cells that hold a delimiter"
            raise CellError(None, sentence)
        for position, cell in enumerate(cells):
            if not _is_text(cell):
                raise CellError(self._header_of(position), "is not UTF-8 text; save the file as UTF-8")

    def _header_of(self, position: int) -> str:
        return self.columns[position] if position < len(self.columns) else str(position + 1)

    def _records(self) -> Iterator[tuple[int, list[str], str | None]]:
        """Yield number, cells and what is wrong of each record that is not blank, the header first.

        A line whose quotes are wrong is one record that cannot be read.

        Raises:
            ConfigurationError: Quotes are wrong in a record of several lines, so that nobody knows where it ends.
        """
        with _open_text(self._path) as file:
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
                    yield number, [lines.first.rstrip("\r\n")], f"its quotes cannot be read ({error})"
                    continue
                if any(cell.strip() for cell in cells):
                    yield number, cells, None


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


def _beyond(columns: list[str], line: str) -> list[str]:
    """Put a line that cannot be read after all columns, so that it is not sent where it is loaded again as it is."""
    return [*[""] * len(columns), line]


def _distinct(names: list[str]) -> list[str]:
    """Tell columns of the same name apart, so that none overwrites another in the result files."""
    distinct: dict[str, None] = {}
    for name in names:
        numbered = (f"{name} ({number})" for number in count(2))
        distinct[next(new for new in chain([name], numbered) if new not in distinct)] = None
    return list(distinct)


# ---------------------------------------------------------------------------------------------- JSON Lines


class JsonLinesFile(RowFile):
    """A JSON object a line, with the API's names in camelCase or snake_case."""

    is_lines = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self.ignored = []
        names: dict[str, None] = {}
        for _, line in self._lines():
            value = _decode(line)
            if isinstance(value, dict):
                names.update(dict.fromkeys(value))
        self.columns = list(names) or ["line"]
        self.has_locations = bool(names.keys() & {"locationId", "location_id"})

    def rows(self) -> Iterator[FileRow]:
        """Yield all rows."""
        for number, line in self._lines():
            yield FileRow(self, number, line)

    def cells_of(self, row: FileRow) -> Sequence[str]:
        """Return the values as text."""
        value = _decode(row.raw)
        if not isinstance(value, dict):
            return _beyond(self.columns, row.raw)
        return [text_of(value.get(name)) for name in self.columns]

    def _lines(self) -> Iterator[tuple[int, str]]:
        with _open_text(self._path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")

    def contact_of(self, row: FileRow) -> ContactUpsert | InvalidContactError:
        """Read a row."""
        where = row.where
        if not _is_text(row.raw):
            return InvalidContactError("is not UTF-8 text; save the file as UTF-8", where=where)
        value = _decode(row.raw)
        if not isinstance(value, dict):
            what = "is no JSON" if value is _NO_JSON else "is no JSON object"
            sentence = f'{what}; each line must be an object such as {{"email": "a@b.co"}}'
            return InvalidContactError(sentence, where=where)
        try:
            return _contact(value, where)
        except InvalidContactError as error:
            return error


_NO_JSON: Final = object()


def _decode(line: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _NO_JSON


# ---------------------------------------------------------------------------------------------- both


def _contact(fields: dict[str, Any], where: str) -> ContactUpsert:
    try:
        contact = read_mapping(fields, ContactUpsert)
    except InvalidContactError as error:
        raise InvalidContactError(error.sentence, field=error.field, where=where) from None
    if not any(isinstance(value, str) and value.strip() for value in (contact.email, contact.phone)):
        raise InvalidContactError("has neither email nor phone, and the service matches by these", where=where)
    return contact
