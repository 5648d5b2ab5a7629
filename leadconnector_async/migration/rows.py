"""Rows of a table on their way to contacts; a row that cannot be read is a row all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..errors import InvalidContactError
from ..models import UPSERT_NAMES, ContactUpsert, read_mapping
from .columns import RESULT_COLUMNS, CellError, is_known, read_cells, read_header
from .readers import Reading, Record, Table, open_table
from .readers.text import is_text


class FileRow(Struct, frozen=True, gc=False):
    """One row of a file, as it was read; what it means is looked at only where it is asked for.

    Attributes:
        file: Its file.
        record: What stands there.
    """

    file: RowFile
    record: Record

    @property
    def where(self) -> str:
        """How messages call its place."""
        return f"{self.file.name}, {self.file.table.row_word} {self.record.number}"

    @property
    def contact(self) -> ContactUpsert | InvalidContactError:
        """The contact, or what is wrong with it."""
        return self.file.contact_of(self)

    @property
    def cells(self) -> Sequence[str]:
        """The row as it stands in the file, in the order of the file's columns.

        There are more where it has too many, or where it cannot be read: then it stands whole after empty ones.
        """
        return self.file.cells_of(self.record)

    @property
    def line(self) -> str | None:
        """The row as a line of JSON Lines where the file has objects, else None."""
        return self.record.line


class RowFile:
    """A table whose rows are contacts. It can be read more than once.

    Args:
        table: The table.

    Attributes:
        table: The table.
        name: How messages call it.
        columns: Its columns, those that an earlier run added left out; each has a name of its own.
        mapping: Each column that is sent, and the field that it goes to; nothing of objects of the API.
        ignored: Columns that no field is known for.
        has_locations: Whether some column names a location.
        is_lines: Whether it has objects, of which a cell cannot tell null from an empty text.

    Raises:
        ConfigurationError: Its columns are not those of contacts.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        self.is_lines = table.has_objects
        self._reads_objects = table.has_objects and _are_names_of_api(table.columns)
        header = table.columns
        self._width = self._inputs = len(header)
        if self._reads_objects:
            self.columns = header
            self.mapping: dict[str, str] = {}
            self.ignored: list[str] = []
            self.has_locations = bool({"locationId", "location_id"}.intersection(header))
            return
        if tuple(header[-len(RESULT_COLUMNS) :]) == RESULT_COLUMNS:
            self._inputs -= len(RESULT_COLUMNS)
        self.columns = _distinct(header[: self._inputs])
        self._known = read_header(header[: self._inputs], self.name)
        known = {column.position for column in self._known}
        self.mapping = {column.name: column.field for column in self._known}
        self.ignored = [name for position, name in enumerate(self.columns) if position not in known]
        self.has_locations = any(column.field == "locationId" for column in self._known)

    def rows(self) -> Iterator[FileRow]:
        """Yield all rows; reading goes on after one that cannot be read."""
        return (FileRow(self, record) for record in self.table.rows())

    @cached_property
    def count(self) -> int:
        """How many rows there are. This reads the whole file, and so finds what makes it unreadable.

        Raises:
            ConfigurationError: From some place on, its rows cannot be told apart.
        """
        return self.table.count

    def cells_of(self, record: Record) -> Sequence[str]:
        """Return what `FileRow.cells` tells."""
        cells = record.cells
        if record.error is not None:
            # After all columns, so that it is not sent where it is loaded again as it is.
            return [*[""] * len(self.columns), *cells]
        return [*cells[: self._inputs], *[""] * (self._inputs - len(cells)), *cells[self._width :]]

    def contact_of(self, row: FileRow) -> ContactUpsert | InvalidContactError:
        """Return what `FileRow.contact` tells."""
        record = row.record
        if record.error is not None:
            return InvalidContactError(record.error, where=row.where)
        try:
            if self._reads_objects:
                return _contact(record.value or {}, row.where)
            return self._read_cells(record.cells, row.where)
        except CellError as wrong:
            place = row.where if wrong.column is None else f"{row.where}, column {wrong.column}"
            return InvalidContactError(str(wrong), where=place)
        except InvalidContactError as wrong:
            return wrong

    def _read_cells(self, cells: Sequence[str], where: str) -> ContactUpsert:
        self._check_cells(cells)
        contact = _contact(read_cells(self._known, cells), where)
        if self._is_unknown(cells) and contact.create_new_if_duplicate_allowed is True:
            raise CellError("status", "it may have been applied; look it up, then clear this cell to send the row")
        return contact

    def _is_unknown(self, cells: Sequence[str]) -> bool:
        """Whether a run that wrote this file could not tell what became of a row."""
        return self._inputs < self._width and len(cells) > self._inputs and cells[self._inputs] == "unknown"

    def _check_cells(self, cells: Sequence[str]) -> None:
        if len(cells) > self._width:
            sentence = f"has {len(cells)} cells where the header has {self._width}; quote cells that hold a delimiter"
            raise CellError(None, sentence)
        for position, cell in enumerate(cells):
            if not is_text(cell):
                raise CellError(self._header_of(position), "is not UTF-8 text; save the file as UTF-8")

    def _header_of(self, position: int) -> str:
        return self.columns[position] if position < len(self.columns) else str(position + 1)


def open_row_file(path: Path, reading: Reading = Reading()) -> RowFile:  # noqa: B008 - it is frozen
    """Look at a file before anything is sent; `count` then looks through it.

    Args:
        path: The file.
        reading: How to read it, where it does not tell itself.

    Raises:
        ConfigurationError: It cannot be read as rows of contacts; the sentence says what to do.
    """
    return RowFile(open_table(path, reading))


def _are_names_of_api(names: Sequence[str]) -> bool:
    """Whether objects are contacts as the API has them, rather than rows under headers that people write."""
    return not any(is_known(name) for name in names if name not in UPSERT_NAMES)


def _distinct(names: Sequence[str]) -> list[str]:
    """Tell columns of the same name apart, so that none overwrites another in the result files."""
    distinct: dict[str, None] = {}
    for name in names:
        numbered = (f"{name} ({number})" for number in count(2))
        distinct[next(new for new in chain([name], numbered) if new not in distinct)] = None
    return list(distinct)


def _contact(fields: dict[str, Any], where: str) -> ContactUpsert:
    try:
        contact = read_mapping(fields, ContactUpsert)
    except InvalidContactError as error:
        raise InvalidContactError(error.sentence, field=error.field, where=where) from None
    if not any(isinstance(value, str) and value.strip() for value in (contact.email, contact.phone)):
        raise InvalidContactError("has neither email nor phone, and the service matches by these", where=where)
    return contact
