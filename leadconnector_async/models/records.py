"""Rows and values of other libraries as plain dicts and values.

Each is recognised by what it offers, so that none of those libraries is imported: dataclasses, named tuples, rows of
databases (sqlite3, SQLAlchemy, asyncpg, psycopg), pydantic and attrs models; tables of pandas, polars and whatever
speaks Arrow; dates, `Decimal`, `UUID`, `Enum`, numpy scalars and arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

from ..errors import UsageError

_ROWS_AT_ONCE: Final = 1_000  # of an Arrow batch, which may hold a whole file
_MOST_EXACT: Final = 2**53


class _HasDataclassFields(Protocol):
    @property
    def __dataclass_fields__(self) -> dict[str, Any]: ...


class _HasAsDict(Protocol):
    def _asdict(self) -> Mapping[str, Any]: ...


class _HasKeys(Protocol):
    def keys(self) -> Iterable[str]: ...

    def __getitem__(self, key: str, /) -> object: ...


class _HasModelDump(Protocol):
    def model_dump(self) -> dict[str, Any]: ...


Record: TypeAlias = Mapping[str, object] | _HasDataclassFields | _HasAsDict | _HasKeys | _HasModelDump
"""A row with names: a mapping, dataclass, named tuple, row of a database, or pydantic model."""


class _HasArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: Any = None) -> object: ...


class _HasIterRows(Protocol):
    def iter_rows(self, *, named: bool) -> Iterator[Any]: ...


class _HasIterTuples(Protocol):
    def itertuples(self, index: bool = ..., name: str | None = ...) -> Iterable[tuple[Any, ...]]: ...


Table: TypeAlias = _HasArrowStream | _HasIterRows | _HasIterTuples
"""Rows in columns: a DataFrame of pandas or polars, or whatever speaks Arrow (pyarrow, DuckDB)."""


def as_mapping(record: object) -> Mapping[Any, object] | None:
    """Return a row of any kind by its names; None where it has none.

    `None` clears a field only in a mapping, where somebody wrote it. Everywhere else it is what an empty column or a
    default looks like, so it is left out: nothing that is missing may erase what is stored.
    """
    if isinstance(record, Mapping):
        return record
    items = _items_of(record)
    return None if items is None else {name: value for name, value in items.items() if value is not None}


def _items_of(record: Any) -> Mapping[Any, object] | None:
    if isinstance(record, type):
        return None
    if dataclasses.is_dataclass(record):  # not `asdict`, which copies all the way down
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    for name in ("_asdict", "model_dump"):
        if callable(method := getattr(record, name, None)):
            return dict(method())
    if (attributes := getattr(type(record), "__attrs_attrs__", None)) is not None:
        return {attribute.name: getattr(record, attribute.name) for attribute in attributes}
    if callable(getattr(record, "keys", None)) and hasattr(type(record), "__getitem__"):
        return {key: record[key] for key in record.keys()}  # noqa: SIM118 - rows of sqlite3 iterate over values
    return None


# ---------------------------------------------------------------------------------------------- tables


def rows_of(table: Any) -> Iterator[Mapping[str, object]] | None:
    """Return the rows of a table, read as they are asked for; None where this is none. Empty cells are left out.

    Raises:
        UsageError: Two columns have one name, or pyarrow is missing and the table speaks only Arrow.
    """
    if callable(getattr(table, "iter_rows", None)):  # polars
        return _rows(table.columns, table.iter_rows())
    if callable(getattr(table, "itertuples", None)):  # pandas
        return _rows(list(table.columns), table.itertuples(index=False, name=None))
    if hasattr(table, "__arrow_c_stream__"):
        reader = _open_arrow(table)
        return _rows(reader.schema.names, _arrow_rows(reader))
    return None


def _rows(names: Sequence[Any], rows: Iterable[Iterable[object]]) -> Iterator[Mapping[str, object]]:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the table has two columns named {name!r}; rename one")
    return ({name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows)


def _open_arrow(table: Any) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise UsageError(
            f"a {type(table).__name__} is read through pyarrow, which is not installed: pip install pyarrow"
        ) from None
    return pyarrow.RecordBatchReader.from_stream(table)


def _arrow_rows(reader: Any) -> Iterator[tuple[object, ...]]:
    for batch in reader:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            columns = [column.to_pylist() for column in batch.slice(start, _ROWS_AT_ONCE).columns]
            yield from zip(*columns, strict=True)


# ---------------------------------------------------------------------------------------------- values


def plain_value(value: Any) -> Any:
    """Return a value of the standard library or numpy as one that JSON has; any other as it is.

    A date and time at midnight without a zone is the date alone: tables have no other way to hold one.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        is_day = value.tzinfo is None and value.time() == time.min
        return value.date().isoformat() if is_day else value.isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number_of(value)
    if isinstance(value, UUID):
        return str(value)
    if type(value).__module__ == "numpy" or callable(getattr(value, "tolist", None)):
        return _from_numpy(value)
    return value


def _number_of(value: Decimal) -> int | float | str:
    """Return a number of JSON, or the text of one that a float would change."""
    if value == value.to_integral_value():
        return int(value) if value.adjusted() < 19 else format(value, "f")
    return float(value) if Decimal(repr(float(value))) == value else format(value, "f")


def _from_numpy(value: Any) -> Any:
    if getattr(getattr(value, "dtype", None), "kind", "") == "M":
        value = value.astype("datetime64[us]")  # nanoseconds would become a plain number
    return value.tolist()


def spell_number(value: Any) -> Any:
    """Return a number as its digits, for a field that holds text; anything else as it is.

    A whole float loses the `.0` that pandas adds to a column of numbers where a cell is empty. A number so large that
    it may have lost digits when it was read stays a number, which the field then refuses.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= _MOST_EXACT:
        return value
    whole = int(value)
    return str(whole) if whole == value else format(Decimal(repr(value)), "f")
