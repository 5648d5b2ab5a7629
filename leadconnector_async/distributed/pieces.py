"""The rows of one location from one part of a source, and what became of its rows: Parquet files in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import InvalidContactError
from ..models import ContactUpsert
from ..report import Outcome
from .extras import load_library

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


def write_piece(path: Path, rows: Iterable[PieceRow]) -> None:
    """Write rows of one location to a file, in constant memory."""
    columns = dict.fromkeys(_ROW_COLUMNS, "string")
    _write(path, columns, ([getattr(row, name) for name in _ROW_COLUMNS] for row in rows))


def read_piece(path: Path) -> Iterator[PieceRow]:
    """Yield the rows of a file, in constant memory."""
    parquet = load_library("pyarrow.parquet")
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
    arrow, parquet = load_library("pyarrow"), load_library("pyarrow.parquet")
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
