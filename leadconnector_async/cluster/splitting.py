"""The first pass: split the rows of a source by location. Nothing is sent.

A part is a file, or a partition of a dask.dataframe. Its rows are put aside on the machine that reads it, which keeps 8
bytes of each in memory, and become one object for each location. What a part holds is written last; a part that has
this is never read again.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from glob import has_magic
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ..bulk.report import Outcome
from ..errors import ConfigurationError, InvalidContactError, LeadConnectorError
from ..migration.check import ConsentCells, describe_unread
from ..migration.mapping.meaning import Meaning
from ..migration.mapping.rows import FileRow, RowFile, open_row_file
from ..migration.tables import Reading, find_files
from ..models import ContactUpsert
from ..protocol.text import count_of
from ..rules.problems import UnusableCellError
from .spool import Spool
from .store import Store, load_cluster_library, name_of

# ---------------------------------------------------------------------------------------------- what is read


@runtime_checkable
class Frame(Protocol):
    """A dask.dataframe, as far as it is needed."""

    @property
    def columns(self) -> Iterable[object]:
        """The names of its columns."""

    @property
    def npartitions(self) -> int:
        """How many partitions it has."""

    def to_delayed(self) -> Sequence[Any]:
        """Return its partitions, each to be computed."""


Source: TypeAlias = "str | Path | Sequence[str | Path] | Frame"
"""A file, files, patterns of files (with an address of fsspec, too: `s3://bucket/*.parquet`), or a dask.dataframe."""


def find_parts(source: Source) -> list[str] | Frame:
    """Return the files of a source, each with its whole path or address, or the frame that it is.

    Raises:
        ConfigurationError: There are none, or it is neither.
    """
    if isinstance(source, Frame):
        return source
    given = [source] if isinstance(source, str | Path) else list(source)
    if not all(isinstance(one, str | Path) for one in given):
        raise ConfigurationError("a source is a file, a list of files, or a dask.dataframe")
    files = [file for one in given for file in _matches(str(one))]
    if not files:
        raise ConfigurationError("there is no file to load")
    return files


def _matches(name: str) -> list[str]:
    if urlsplit(name).password:
        raise ConfigurationError(
            "the address of a file holds a password, which the whole cluster could read; leave it out, and set it in "
            "the environment of the workers"
        )
    if "://" not in name:
        return [str(path.resolve()) for path in find_files([Path(name)])]
    if not has_magic(name):
        return [name]
    fs, pattern = load_cluster_library("fsspec").core.url_to_fs(name)
    found = sorted(fs.unstrip_protocol(path) for path in fs.glob(pattern))
    if not found:
        raise ConfigurationError(f"{name}: no file has such a name")
    return found


def describe_source(parts: list[str] | Frame) -> str:
    """Return what a source is known by when a load goes on: names and sizes of files, partitions and columns."""
    if isinstance(parts, Frame):
        return f"{count_of(parts.npartitions, 'partition')} of {', '.join(map(str, parts.columns))}"
    return "\n".join(f"{file} {_size(file)}" for file in parts)


def _size(file: str) -> int:
    try:
        fs, path = load_cluster_library("fsspec").core.url_to_fs(file)
        return int(fs.size(path) or 0)
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file") from None
    except Exception as error:
        raise ConfigurationError(f"{file}: cannot be read ({type(error).__name__})") from None


# ---------------------------------------------------------------------------------------------- the rows of a location

_BATCH_ROWS: Final = 5_000
_ROW_COLUMNS: Final = ("row", "sent", "refused", "field")
_RESULT_COLUMNS: Final = {
    "location_id": "string",
    "index": "int64",
    "row": "string",
    "status": "string",
    "contact_id": "string",
    "new": "bool_",
    "trace_id": "string",
    "http_status": "int64",
    "error": "string",
    "note": "string",
    "not_applied": "string",
    "collision_with": "int64",
    "attempts": "int64",
    "rate_limited": "int64",
    "sent": "string",
}
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ContactUpsert).decode


class PieceRow(Struct, frozen=True, gc=False):
    """A row on its way to its location.

    Attributes:
        row: How messages call its place in the source.
        sent: The contact as JSON; None where it cannot be sent.
        refused: Why it cannot be sent, or None.
        field: The field at fault, or None.
    """

    row: str
    sent: str | None
    refused: str | None = None
    field: str | None = None

    @classmethod
    def of(cls, row: str, contact: ContactUpsert | InvalidContactError) -> PieceRow:
        """Make one of a contact, or of what is wrong with it."""
        if isinstance(contact, InvalidContactError):
            return cls(row, None, contact.sentence, contact.field)
        return cls(row, _encode(contact).decode())

    @property
    def contact(self) -> ContactUpsert | InvalidContactError:
        """What it was made of."""
        if self.sent is None:
            return InvalidContactError(self.refused or "", field=self.field, where=self.row)
        return _decode(self.sent)


_encode_row: Final = msgspec.msgpack.Encoder().encode
_decode_row: Final = msgspec.msgpack.Decoder(PieceRow).decode


def write_piece(path: Path, rows: Iterable[PieceRow]) -> None:
    """Write rows of one location to a file, in constant memory."""
    columns = dict.fromkeys(_ROW_COLUMNS, "string")
    _write(path, columns, ([getattr(row, name) for name in _ROW_COLUMNS] for row in rows))


def read_piece(path: Path) -> Iterator[PieceRow]:
    """Yield the rows of a file, in constant memory."""
    parquet = load_cluster_library("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield PieceRow(*cells)


def write_results(path: Path, location_id: str, rows: Iterable[tuple[PieceRow, Outcome]]) -> None:
    """Write what became of each row of a location, in their order, with the contact that was to be sent."""
    _write(path, _RESULT_COLUMNS, (_result(location_id, row, outcome) for row, outcome in rows))


def _result(location_id: str, row: PieceRow, outcome: Outcome) -> list[Any]:
    error = outcome.error
    return [
        location_id,
        outcome.index,
        row.row,
        outcome.status,
        outcome.contact_id,
        outcome.new,
        outcome.trace_id,
        None if error is None else error.status,
        None if error is None else error.message,
        outcome.note,
        _encode(outcome.not_applied).decode() if outcome.not_applied else None,
        outcome.collision_with,
        outcome.attempts,
        outcome.rate_limited,
        row.sent,
    ]


def _write(path: Path, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
    arrow, parquet = load_cluster_library("pyarrow"), load_cluster_library("pyarrow.parquet")
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batches(rows):
            arrays = [
                arrow.array(cells, field.type) for cells, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_batch(arrow.record_batch(arrays, schema=schema))


def _batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    batch: list[Sequence[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


_NOWHERE: Final = "has no location: give it one, or name one for rows without a location (`location_id`)"


class SourcePart(Struct, frozen=True, kw_only=True):
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
    def of(cls, parts: list[SourcePart]) -> Parts:
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
        location_id: The location of rows without one of their own, or None.
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
            f"{name}: has no column for the location; add one called locationId, or name one location (`location_id`)"
        )
    return file


def fetch_file(url: str, folder: Path) -> Path:
    """Return a path of this machine with what is at an address: itself, or a copy in a folder.

    Raises:
        ConfigurationError: It cannot be had.
    """
    if "://" not in url:
        return Path(url)
    fsspec = load_cluster_library("fsspec")
    path = folder / (url.rstrip("/").rpartition("/")[2] or "rows")
    try:
        fs, inside = fsspec.core.url_to_fs(url)
        fs.get_file(inside, str(path))
    except Exception as error:
        raise ConfigurationError(f"{url}: cannot be read ({type(error).__name__}: {error})") from None
    return path


def _split(splitting: Splitting, number: int, file: RowFile, folder: Path) -> None:
    store = Store(splitting.store_url)
    with closing(Spool()) as spool:
        places, has_tags = _sort(file, splitting.location_id, spool)
        for location_id, its_places in places.items():
            path = folder / "piece.parquet"
            write_piece(path, (_decode_row(spool.get(place)) for place in its_places))
            store.put(path, piece_name(number, location_id))
    rows = {location_id: len(its_places) for location_id, its_places in places.items()}
    notes = [*(f"{file.name}: {note}" for note in file.table.notes), *file.about_left_out()]
    part = SourcePart(rows=rows, has_tags=has_tags, notes=notes)
    store.write(part_name(number), msgspec.json.encode(part))


def _sort(file: RowFile, location_id: str | None, spool: Spool) -> tuple[dict[str, array[int]], bool]:
    """Put all rows aside, and return the places of each location's rows in their order, and whether some have tags.

    Raises:
        ConfigurationError: A column about consent cannot be read.
        JournalError: The rows cannot be put aside.
    """
    places: dict[str, array[int]] = {}
    has_tags, consent = False, ConsentCells(file)
    for row in file.rows():
        contact = row.contact
        consent.add(row.record)
        where, located = _locate(row, contact, location_id)
        has_tags = has_tags or (isinstance(contact, ContactUpsert) and bool(contact.tags))
        places.setdefault(where, array("Q")).append(spool.add(_encode_row(located)))
    if unread := consent.unread():
        described = "; ".join(map(describe_unread, unread))
        raise ConfigurationError(f"{described}: map it to opt-out:CHANNEL or opt-in:CHANNEL, or ignore it")
    return dict(sorted(places.items())), has_tags


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


def piece_name(number: int, location_id: str) -> str:
    """Return what the rows of a location from a part are called in the store."""
    return f"rows/{number:06}/{name_of(location_id)}.parquet"


def part_name(number: int) -> str:
    """Return the name of the object that describes a part in the store."""
    return f"parts/{number:06}.json"


def read_part(store: Store, number: int) -> SourcePart | None:
    """Return what a part holds, or None where it was not split to its end."""
    return store.decode(part_name(number), SourcePart)
