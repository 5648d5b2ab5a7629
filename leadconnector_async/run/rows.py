"""The rows of a run, as they were read, mapped and checked: once, in their order, each with the cells of its source.

They stand in blocks, as a database of a million small records is slow to fill. A block is sealed: it carries a checksum
that is compared when it is read, and a walk over all rows checks that none is missing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from typing import Final, TypeVar
from zlib import crc32

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, InvalidContactError, JournalError
from ..models import ContactUpsert
from ..rules.problems import Problem
from .database import Database, seal, unseal

_SCHEMA: Final = """
CREATE TABLE files (number INTEGER PRIMARY KEY, about BLOB NOT NULL);
CREATE TABLE rows (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, file INTEGER NOT NULL, data BLOB NOT NULL);
"""
T = TypeVar("T")
_BLOCK_ROWS: Final = 200
_BLOCKS_AT_ONCE: Final = 25


class KeptFile(Struct, frozen=True, kw_only=True):
    """A file, or what else gave rows, as it was read.

    Attributes:
        name: How messages call it.
        row_word: How messages call a row.
        path: Where it was.
        content: What its content is known by: its size and SHA-256, and which part of it was read.
        header: The names of its columns as they stand.
        inputs: How many of them are there besides those that an earlier run added.
        columns: These, each with a name of its own.
        keys: Of each column what it shares with columns of other files for the same field.
        mapping: Each column that is sent, and the field that it goes to; nothing of objects of the API.
        is_lines: Whether it has objects, of which a cell cannot tell null from an empty text.
        has_locations: Whether some column names a location.
        has_tags: Whether rows may have tags.
        count: How many rows it has.
        delimiter: What is to stand between cells of the files with our results; None where anything may.
        needs_mark: Whether a spreadsheet needs a byte order mark in the files with our results.
    """

    name: str
    row_word: str
    path: str
    content: list[int | str]
    header: list[str]
    inputs: int
    columns: list[str]
    keys: list[str]
    mapping: dict[str, str]
    is_lines: bool
    has_locations: bool
    has_tags: bool
    count: int
    delimiter: str | None = None
    needs_mark: bool = False


class KeptRow(Struct, frozen=True, gc=False):
    """One row.

    Attributes:
        number: Its number in its file, as messages call it.
        cells: Its cells as they stand; there may be fewer or more than columns.
        error: Why it could not be read, or None.
        contact: What is to be sent, or why nothing can be.
        problems: What there is to be told of its cells.
        line: The row as a line of JSON Lines where the file has objects, else None.
        closing: Whom a row that cannot be sent is about, and which channels it closes all the same; None if none.
    """

    number: int
    cells: Sequence[str]
    error: str | None
    contact: ContactUpsert | InvalidContactError
    problems: list[Problem]
    line: str | None = None
    closing: ContactUpsert | None = None


class _Stored(Struct, frozen=True, array_like=True, gc=False):
    """A row in a block. Where some are not UTF-8, `is_raw` says that its texts are spelt byte by byte."""

    number: int
    cells: Sequence[str]
    error: str | None
    contact: ContactUpsert | None
    refusal: tuple[str, str | None, str | None] | None
    problems: list[Problem]
    line: str | None
    is_raw: bool = False
    closing: ContactUpsert | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[_Stored]).decode
_encode_file: Final = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode_file: Final = msgspec.msgpack.Decoder(KeptFile).decode


class Rows:
    """The rows of a run.

    Args:
        file: The database of the run.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        file.create(_SCHEMA, sealed=["rows"])
        self._waiting: list[_Stored] = []
        self._blocks: list[tuple[int, int, int, bytes]] = []
        self._next = 0
        self._block: tuple[int, list[KeptRow]] = (0, [])  # the one that `row` read last

    # ------------------------------------------------------------------------------------------ filling

    def add(self, file: int, row: KeptRow) -> None:
        """Add the next row of a file, given by its number."""
        self._waiting.append(_to_store(row))
        if len(self._waiting) >= _BLOCK_ROWS:
            self._end_block(file)

    def end_file(self, number: int, file: KeptFile) -> None:
        """Note what a file is, after its last row."""
        self._end_block(number)
        self._write_blocks()
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (number, _encode_file(file)))

    def change(self, change: Callable[[int, list[KeptRow]], list[KeptRow]]) -> None:
        """Put others in the place of all rows.

        Args:
            change: Called with the number of their file and some rows, in order; returns what is to stand there.
        """
        for first, file in self._file.read("SELECT first, file FROM rows ORDER BY first"):
            _, rows = self._block_of(first)
            self._rewrite(first, file, change(file, rows))

    def amend(self, changes: Iterable[tuple[int, T]], change: Callable[[int, KeptRow, T], KeptRow]) -> None:
        """Put others in the place of some rows.

        Args:
            changes: The places of rows among all, in ascending order, each with what is to change.
            change: Called with the number of the row's file, the row, and that; returns what is to stand there.
        """
        for (first, file), some in groupby(changes, lambda one: self._find_block(one[0])):
            _, rows = self._block_of(first)
            for number, what in some:
                rows[number - first] = change(file, rows[number - first], what)
            self._rewrite(first, file, rows)

    def _find_block(self, number: int) -> tuple[int, int]:
        query = "SELECT first, file FROM rows WHERE first <= ? ORDER BY first DESC LIMIT 1"
        ((first, file),) = self._file.read(query, number)
        return first, file

    def _rewrite(self, first: int, file: int, rows: Sequence[KeptRow]) -> None:
        data = seal(_encode_block([_to_store(row) for row in rows]), _place(first, file))
        with self._file.transaction() as db:
            db.execute("UPDATE rows SET data = ? WHERE first = ?", (data, first))

    def _end_block(self, file: int) -> None:
        if self._waiting:
            count = len(self._waiting)
            data = seal(_encode_block(self._waiting), _place(self._next, file))
            self._blocks.append((self._next, count, file, data))
            self._waiting, self._next = [], self._next + count
        if len(self._blocks) >= _BLOCKS_AT_ONCE:
            self._write_blocks()

    def _write_blocks(self) -> None:
        with self._file.transaction() as db:
            db.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", self._blocks)
        self._blocks = []

    # ------------------------------------------------------------------------------------------ reading

    def check(self) -> None:
        """Compare all rows with their checksums, and see that none is missing.

        Raises:
            ConfigurationError: They are not as they were written.
        """
        end = 0
        try:
            for first, count, file, data in self._file.walk("SELECT first, count, file, data FROM rows ORDER BY first"):
                if first != end:
                    raise JournalError(f"row {end} is missing: restore a complete copy of the run")
                unseal(data, _place(first, file))
                end += count
        except JournalError as error:
            raise ConfigurationError(f"{self._file.path}: {error}") from error
        if end != sum(file.count for file in self.files()):
            raise ConfigurationError(f"{self._file.path}: rows are missing: restore a complete copy of the run")

    def files(self) -> list[RunFile]:
        """Return the files, in order."""
        found, first = [], 0
        for number, about in self._file.read("SELECT number, about FROM files ORDER BY number"):
            file = RunFile(self, number, _decode_file(about), first)
            found.append(file)
            first += file.count
        return found

    def walk(self, first: int, end: int) -> Iterator[KeptRow]:
        """Yield rows from one on to before another one, in constant memory; others may write meanwhile."""
        while first < end:
            start, rows = self._block_of(first)
            yield from rows[first - start : end - start]
            first = start + len(rows)

    def row(self, number: int) -> KeptRow:
        """Return one row, by its place among all."""
        first, rows = self._block
        if not first <= number < first + len(rows):
            first, rows = self._block = self._block_of(number)
        return rows[number - first]

    def _block_of(self, number: int) -> tuple[int, list[KeptRow]]:
        query = "SELECT first, count, file, data FROM rows WHERE first <= ? ORDER BY first DESC LIMIT 1"
        for first, count, file, data in self._file.read(query, number):
            rows = _decode(unseal(data, _place(first, file)))
            if first <= number < first + count and count == len(rows):
                return first, [_from_store(row) for row in rows]
        raise JournalError(f"{self._file.path}: row {number} is missing; restore a complete copy of the run")


class RunFile:
    """A file of a run, with its rows.

    Args:
        rows: All rows of the run.
        number: Which file it is.
        about: What is known of it.
        first: Its first row among all.
    """

    def __init__(self, rows: Rows, number: int, about: KeptFile, first: int) -> None:
        self._rows = rows
        self._first = first
        self.number = number
        self.about = about
        self.name = about.name
        self.columns = about.columns
        self.keys = about.keys
        self.mapping = about.mapping
        self.is_lines = about.is_lines
        self.has_locations = about.has_locations
        self.has_tags = about.has_tags
        self.count = about.count

    def rows(self) -> Iterator[RunRow]:
        """Yield its rows, in order."""
        rows = self._rows.walk(self._first, self._first + self.count)
        return (RunRow(self, row) for row in rows)

    def row(self, number: int) -> RunRow:
        """Return one of its rows, by its place among those of all files."""
        return RunRow(self, self._rows.row(number))

    def first(self, most: int) -> RunFile:
        """Return the file with its first rows alone."""
        about = msgspec.structs.replace(self.about, count=min(self.count, most))
        return RunFile(self._rows, self.number, about, self._first)

    def key_of(self, name: str) -> str:
        """Return the key of a column."""
        return self.keys[self.columns.index(name)] if name in self.columns else name


class RunRow(Struct, frozen=True, gc=False):
    """A row of a run, and its file; see `KeptRow`."""

    file: RunFile
    row: KeptRow

    @property
    def where(self) -> str:
        """How messages call its place."""
        return f"{self.file.name}, {self.file.about.row_word} {self.row.number}"

    @property
    def contact(self) -> ContactUpsert | InvalidContactError:
        """What is to be sent, or why nothing can be."""
        return self.row.contact

    @property
    def closing(self) -> ContactUpsert | None:
        """What it closes although it cannot be sent, or None."""
        return self.row.closing

    @property
    def problems(self) -> list[Problem]:
        """What there is to be told of its cells."""
        return self.row.problems

    @property
    def cells(self) -> Sequence[str]:
        """Its cells; see `place_cells`."""
        about, row = self.file.about, self.row
        return place_cells(row.cells, row.error, inputs=about.inputs, width=len(about.header))

    @property
    def line(self) -> str | None:
        """The row as a line of JSON Lines, or None."""
        return self.row.line


def place_cells(cells: Sequence[str], error: str | None, *, inputs: int, width: int) -> Sequence[str]:
    """Return the cells of a row in the order of its file's columns, those that an earlier run added left out.

    There are more where it has too many, or where it cannot be read: then it stands whole after empty ones, so that it
    is not sent where it is loaded again as it is.

    Args:
        cells: As they stand.
        error: Why it cannot be read, or None.
        inputs: How many columns there are besides those that an earlier run added.
        width: How many there are.
    """
    if error is not None:
        return [*[""] * inputs, *cells]
    return [*cells[:inputs], *[""] * (inputs - len(cells)), *cells[width:]]


# ---------------------------------------------------------------------------------------------- the form in the file


def _place(first: int, file: int) -> int:
    """Return the place of a block, for its checksum."""
    return crc32(f"{first} {file}".encode())


def _to_store(row: KeptRow) -> _Stored:
    if isinstance(row.contact, InvalidContactError):
        refusal = row.contact.sentence, row.contact.field, row.contact.where
        return _Stored(row.number, row.cells, row.error, None, refusal, row.problems, row.line, closing=row.closing)
    return _Stored(row.number, row.cells, row.error, row.contact, None, row.problems, row.line)


def _encode_block(rows: list[_Stored]) -> bytes:
    try:
        return _encode(rows)
    except UnicodeEncodeError:
        return _encode([_as_spell(row) for row in rows])


def _as_spell(row: _Stored) -> _Stored:
    """Spell texts byte by byte, as a cell may hold what is not UTF-8 and is to be repeated as it is."""
    return msgspec.structs.replace(
        row,
        cells=[_spell(cell) for cell in row.cells],
        problems=[
            Problem(_clean(one.column), _spell(one.value), _clean(one.sentence), one.action) for one in row.problems
        ],
        error=row.error and _clean(row.error),
        refusal=None if row.refusal is None else _clean_refusal(*row.refusal),
        line=row.line and _spell(row.line),
        is_raw=True,
    )


def _spell(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _read_spelt(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogatepass")


def _clean_refusal(sentence: str, field: str | None, where: str | None) -> tuple[str, str | None, str | None]:
    return _clean(sentence), field, where and _clean(where)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _from_store(row: _Stored) -> KeptRow:
    if row.is_raw:
        row = msgspec.structs.replace(
            row,
            cells=[_read_spelt(cell) for cell in row.cells],
            problems=[msgspec.structs.replace(one, value=_read_spelt(one.value)) for one in row.problems],
            line=None if row.line is None else _read_spelt(row.line),
        )
    contact: ContactUpsert | InvalidContactError | None = row.contact
    if contact is None:
        sentence, field, where = row.refusal or ("", None, None)
        contact = InvalidContactError(sentence, field=field, where=where)
    return KeptRow(row.number, row.cells, row.error, contact, row.problems, row.line, row.closing)


def pick_rows(files: Sequence[RunFile], wanted: Iterable[int]) -> Iterator[RunRow]:
    """Yield some of the rows of a run.

    Args:
        files: All of its files, in order.
        wanted: The rows by their place among all, from 0; in ascending order each block is read once.
    """
    ends = list(accumulate(file.count for file in files))
    for number in wanted:
        yield files[bisect_right(ends, number)].row(number)
