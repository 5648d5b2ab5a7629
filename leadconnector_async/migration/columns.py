"""Which field each column of a file is for, and what its cells mean.

Everything is text until here: `02134` and `+1 617` arrive whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError
from ..models import UPSERT_NAMES

CUSTOM_PREFIX: Final = "custom:"
RESULT_COLUMNS: Final = ("status", "error", "trace_id")
"""What `failed.csv` adds; a file that ends in these is one of ours, and they are no input."""

_SYNONYMS: Final = {
    "givenname": "firstName",
    "first": "firstName",
    "familyname": "lastName",
    "surname": "lastName",
    "last": "lastName",
    "fullname": "name",
    "contactname": "name",
    "emailaddress": "email",
    "mail": "email",
    "phonenumber": "phone",
    "telephone": "phone",
    "mobile": "phone",
    "mobilephone": "phone",
    "address": "address1",
    "street": "address1",
    "streetaddress": "address1",
    "stateregion": "state",
    "region": "state",
    "zip": "postalCode",
    "zipcode": "postalCode",
    "postcode": "postalCode",
    "countryregion": "country",
    "countrycode": "country",
    "company": "companyName",
    "organization": "companyName",
    "websiteurl": "website",
    "url": "website",
    "birthday": "dateOfBirth",
    "birthdate": "dateOfBirth",
    "dob": "dateOfBirth",
    "donotdisturb": "dnd",
    "leadsource": "source",
    "contactsource": "source",
}
_TRUE, _FALSE = ("true", "yes", "y", "1"), ("false", "no", "n", "0")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


_FIELDS: Final = _SYNONYMS | {_plain(wire): wire for wire in UPSERT_NAMES.values()}


class Column(Struct, frozen=True):
    """A column that is known.

    Attributes:
        position: Its place in the row, from 0.
        name: Its header.
        field: The field on the wire.
        read: Makes the field's value of a cell that is not empty; raises ValueError with the reason.
    """

    position: int
    name: str
    field: str
    read: Callable[[str], Any]


def read_header(names: Sequence[str], file: str) -> list[Column]:
    """Find the columns that are known.

    Raises:
        ConfigurationError: None is, there is neither email nor phone, or two are for one field.
    """
    columns = [column for position, name in enumerate(names) if (column := _column(position, name))]
    found = ", ".join(names[:12]) or "nothing"
    if not columns:
        raise ConfigurationError(f"{file}: no column is known (found: {found}); name them email, phone, firstName, ...")
    if not {"email", "phone"} & {column.field for column in columns}:
        raise ConfigurationError(f"{file}: there is no column for email or phone (found: {found}); add one of them")
    _refuse_twins(columns, file)
    return columns


def _refuse_twins(columns: Sequence[Column], file: str) -> None:
    seen: dict[str, str] = {}
    for column in columns:
        key = column_key(column.name)
        if key in seen:
            twins = f"{seen[key]!r} and {column.name!r}"
            raise ConfigurationError(f"{file}: the columns {twins} are both for {key}; remove or rename one")
        seen[key] = column.name


def column_key(name: str) -> str:
    """Return what columns for the same field share: its name on the wire, `custom:KEY`, or the header where unknown."""
    key = _custom_key(name)
    return f"{CUSTOM_PREFIX}{key}" if key else _FIELDS.get(_plain(name), name)


def is_known(name: str) -> bool:
    """Whether a header is one that a field is known for."""
    return _column(0, name) is not None


def _custom_key(name: str) -> str:
    return name[len(CUSTOM_PREFIX) :].strip() if name.lower().startswith(CUSTOM_PREFIX) else ""


def _column(position: int, name: str) -> Column | None:
    key = _custom_key(name)
    if key:
        return Column(position, name, "customFields", lambda cell: [{"key": key, "field_value": cell}])
    field = _FIELDS.get(_plain(name))
    return None if field is None else Column(position, name, field, _READERS.get(field, str))


def read_cells(columns: Iterable[Column], cells: Sequence[str]) -> dict[str, Any]:
    """Make a dict of fields of a row; an empty cell leaves its field out.

    Raises:
        CellError: A cell makes no sense.
    """
    fields: dict[str, Any] = {}
    for column in columns:
        cell = cells[column.position].strip() if column.position < len(cells) else ""
        if not cell:
            continue
        try:
            value = column.read(cell)
        except ValueError as error:
            raise CellError(column.name, str(error)) from None
        fields[column.field] = [*fields.get("customFields", []), *value] if column.field == "customFields" else value
    return fields


class CellError(ValueError):
    """A cell that makes no sense in its column, or cells that no column is there for."""

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def _flag(cell: str) -> bool:
    word = cell.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"{cell[:40]!r} is neither yes nor no (true, false, 1 and 0 are fine, too)")
    return word in _TRUE


def _tags(cell: str) -> list[str]:
    if cell.startswith("["):
        return _json(cell, list[str])  # type: ignore[no-any-return]
    return [tag for part in re.split(r"[,;|]", cell) if (tag := part.strip())]


def _json(cell: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(cell, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"{cell[:40]!r} is not the JSON that belongs here ({error})") from None


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "dnd": _flag,
    "createNewIfDuplicateAllowed": _flag,
    "tags": _tags,
    "dndSettings": lambda cell: _json(cell, dict[str, Any]),
    "inboundDndSettings": lambda cell: _json(cell, dict[str, Any]),
    "customFields": lambda cell: _json(cell, list[dict[str, Any]]),
}
