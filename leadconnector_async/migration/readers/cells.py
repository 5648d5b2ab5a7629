"""From values to the text of a cell."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

import msgspec

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
