"""The first pass: the rows of each part of a source, brought together by location. Nothing is sent.

A part is a file, or a partition of a dask.dataframe. Its rows are sorted in a scratch file of the machine that reads
it, so that memory does not grow with them, and become one object for each location. What a part holds is written last;
a part that has this is never read again.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError, InvalidContactError, LeadConnectorError
from ..migration.check import ConsentCells, describe_unread
from ..migration.meaning import Meaning
from ..migration.problems import UnusableCellError
from ..migration.readers import Reading
from ..migration.rows import FileRow, RowFile, open_row_file
from ..models import ContactUpsert
from ..private_file import keep_database_private
from .extras import load_library
from .pieces import PieceRow, write_piece
from .store import Store, name_of

_SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE rows (location TEXT NOT NULL, number INTEGER NOT NULL, row TEXT, sent TEXT, refused TEXT, field TEXT);
"""
_NOWHERE: Final = "has no location: give it one, or name one for rows without (--location)"


class Part(Struct, frozen=True, kw_only=True):
    """What a part of the source holds.

    Attributes:
        rows: The number of rows of each location; those that can be sent nowhere are of the location "".
        has_tags: Whether some row has tags.
        notes: What was assumed in reading it.
    """

    rows: dict[str, int]
    has_tags: bool = False
    notes: list[str] = []


class Parts(Struct, frozen=True, kw_only=True):
    """What the first pass found.

    Attributes:
        rows: All rows.
        locations: Locations that they are for.
        has_tags: Whether some row has tags.
        notes: What was assumed in reading files, a sentence each.
    """

    rows: int
    locations: int
    has_tags: bool
    notes: list[str]

    @classmethod
    def of(cls, parts: list[Part]) -> Parts:
        """Make one of what the parts of the source hold."""
        return cls(
            rows=sum(sum(part.rows.values()) for part in parts),
            locations=len({location_id for part in parts for location_id in part.rows if location_id}),
            has_tags=any(part.has_tags for part in parts),
            notes=[note for part in parts for note in part.notes],
        )


OnParts: TypeAlias = Callable[[Parts], Awaitable[None]]


class Splitting(Struct, frozen=True, kw_only=True):
    """How to split each part.

    Attributes:
        store_url: The folder of the run.
        location_id: The location of rows that name none, or None.
        meaning: What the user says of columns and cells.
        reading: How to read files.
    """

    store_url: str
    location_id: str | None
    meaning: Meaning
    reading: Reading


def split_file(splitting: Splitting, number: int, url: str) -> str | None:
    """Split a file; runs on a worker.

    Args:
        splitting: How.
        number: Which part it is.
        url: The file.

    Returns:
        What is wrong, as a sentence, or None.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="leadconnector-") as folder:
            path = fetch_file(url, Path(folder))
            _split(splitting, number, open_named(path, url, splitting), Path(folder))
    except LeadConnectorError as error:
        return str(error)
    return None


def split_frame(splitting: Splitting, number: int, frame: Any) -> str | None:
    """Split a partition of a dask.dataframe, as `split_file`."""
    try:
        with tempfile.TemporaryDirectory(prefix="leadconnector-") as folder:
            path = Path(folder) / f"partition-{number}.parquet"
            frame.to_parquet(path, index=False)
            _split(splitting, number, open_named(path, f"partition {number}", splitting), Path(folder))
    except LeadConnectorError as error:
        return str(error)
    return None


def open_named(path: Path, name: str, splitting: Splitting) -> RowFile:
    """Open a file under the name by which its user knows it, and see to it that its rows have locations.

    Raises:
        ConfigurationError: It cannot be read as rows of contacts, or has no column for the location.
    """
    file = open_row_file(path, splitting.meaning, splitting.reading)
    file.name = file.table.name = file.table.file.name = name
    if not file.has_locations and splitting.location_id is None:
        raise ConfigurationError(
            f"{name}: has no column for the location; add one called locationId, or name one location with --location"
        )
    return file


def fetch_file(url: str, folder: Path) -> Path:
    """Return a path of this machine with what is at an address: itself, or a copy in a folder.

    Raises:
        ConfigurationError: It cannot be had.
    """
    if "://" not in url:
        return Path(url)
    fsspec = load_library("fsspec")
    path = folder / (url.rstrip("/").rpartition("/")[2] or "rows")
    try:
        fs, inside = fsspec.core.url_to_fs(url)
        fs.get_file(inside, str(path))
    except Exception as error:
        raise ConfigurationError(f"{url}: cannot be read ({type(error).__name__}: {error})") from None
    return path


def _split(splitting: Splitting, number: int, file: RowFile, folder: Path) -> None:
    store = Store(splitting.store_url)
    scratch = folder / "rows.sqlite3"
    keep_database_private(scratch)
    with closing(sqlite3.connect(scratch, isolation_level=None)) as db:
        db.executescript(_SCHEMA)
        has_tags = _sort_in(db, file, splitting.location_id)
        rows = dict(db.execute("SELECT location, count(*) FROM rows GROUP BY location"))
        for location_id in rows:
            path = folder / "piece.parquet"
            write_piece(path, _of_location(db, location_id))
            store.put(path, piece_name(number, location_id))
    part = Part(rows=rows, has_tags=has_tags, notes=[f"{file.name}: {note}" for note in file.table.notes])
    store.write(part_name(number), msgspec.json.encode(part))


def _sort_in(db: sqlite3.Connection, file: RowFile, location_id: str | None) -> bool:
    """Write all rows to the scratch file, and return whether some have tags.

    Raises:
        ConfigurationError: A column about consent cannot be read.
    """
    has_tags, consent = False, ConsentCells(file)

    def cells() -> Iterator[tuple[object, ...]]:
        nonlocal has_tags
        for number, row in enumerate(file.rows()):
            contact = row.contact
            consent.add(row.record)
            where, located = _locate(row, contact, location_id)
            has_tags = has_tags or (isinstance(contact, ContactUpsert) and bool(contact.tags))
            yield (where, number, located.row, located.sent, located.refused, located.field)

    db.execute("BEGIN")
    db.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", cells())
    db.execute("COMMIT")
    if unread := consent.unread():
        told = "; ".join(map(describe_unread, unread))
        raise ConfigurationError(f"{told}: map it to opt-out:CHANNEL or opt-in:CHANNEL, or ignore it")
    db.execute("CREATE INDEX by_location ON rows (location, number)")
    return has_tags


def _locate(
    row: FileRow, contact: ContactUpsert | InvalidContactError, location_id: str | None
) -> tuple[str, PieceRow]:
    """Return a row with its location: that of the client where it names none."""
    if isinstance(contact, ContactUpsert):
        where = contact.location_id or location_id
        if where:
            contact.location_id = where
            return where, PieceRow.of(row.where, contact)
        contact = InvalidContactError(_NOWHERE)
    return _named_location(row) or location_id or "", PieceRow.of(row.where, contact)


def _named_location(row: FileRow) -> str:
    """Return the location that a row names that cannot be sent, where that much of it can be read."""
    record, columns = row.record, row.file.map
    if columns is None:
        named = (record.value or {}).get("locationId")
        return named if isinstance(named, str) else ""
    for column in columns.columns:
        if column.target.field == "locationId" and column.position < len(record.cells) and record.error is None:
            with suppress(UnusableCellError):
                return str(column.read(record.cells[column.position].strip()))
    return ""


def _of_location(db: sqlite3.Connection, location_id: str) -> Iterable[PieceRow]:
    query = "SELECT row, sent, refused, field FROM rows WHERE location = ? ORDER BY number"
    return (PieceRow(*cells) for cells in db.execute(query, (location_id,)))


def piece_name(number: int, location_id: str) -> str:
    """Return what the rows of a location from a part are called in the store."""
    return f"rows/{number:06}/{name_of(location_id)}.parquet"


def part_name(number: int) -> str:
    """Return what tells of a part in the store."""
    return f"parts/{number:06}.json"


def read_part(store: Store, number: int) -> Part | None:
    """Return what a part holds, or None where it was not split to its end."""
    return store.decode(part_name(number), Part)
