"""What an empty cell does to a field that a contact has: nothing, or (`--empty clear`) it empties the field, too.

How a field is emptied differs: the service blanks a text that is sent empty; what it checks for its form it takes as
null alone; some it takes in no empty form at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from msgspec import UNSET

from ..models import ContactUpsert
from .definitions import LISTS, FieldDefinition
from .targets import Target

_NAME_PARTS: Final = ("firstName", "lastName")
_TEXTS: Final = (*_NAME_PARTS, "name", "address1", "city", "state", "postalCode", "website", "companyName", "source")
EMPTY_VALUES: Final[dict[str, str | None]] = {**dict.fromkeys(_TEXTS, ""), "dateOfBirth": None, "timezone": None}
"""What empties a field, by its name on the wire."""
_NOT_EMPTIED: Final = {
    "by which contacts are found": ("email", "phone"),
    "of which the service takes no empty value": ("country", "assignedTo"),
    "which the service never changes": ("gender",),
    "which nothing in a file lifts": ("dnd", "dndSettings", "inboundDndSettings"),
    "which hold several fields": ("customFields",),
    "which are added (--tags replace empties them)": ("tags",),
}
"""Why some fields are not; those of no contact, such as `locationId`, are not spoken of."""


def empty_value(target: Target, *, with_tags: bool) -> Any:
    """Return what empties the field that a column is for; `UNSET` where nothing does.

    Args:
        target: What the column is for.
        with_tags: Whether tags are replaced, so that none at all can be sent.
    """
    if target.is_custom_field:
        return {"key": target.part, "field_value": ""}
    if target.field == "tags":
        return [] if with_tags else UNSET
    return EMPTY_VALUES.get(target.field, UNSET)


def empty_custom_value(field: FieldDefinition) -> dict[str, Any]:
    """Return what empties a custom field; by its id, as answers name it so, and tell whether it is empty then."""
    return {"id": field.id, "field_value": empty_field_value(field.data_type)}


def empty_field_value(data_type: str) -> Any:
    """Return the value that empties a custom field of a kind."""
    return [] if data_type in LISTS else ""


def settle_names(values: dict[str, Any], empties: Collection[str]) -> None:
    """Have a name and its parts agree: a name is of its parts, so that none can be empty alone.

    Args:
        values: The fields of a row; changed.
        empties: Those that columns of their own may empty.
    """
    if values.get("name"):
        for part in _NAME_PARTS:
            if values.get(part) == "":
                del values[part]
    elif values.get("name") == "":
        if any(values.get(part) for part in _NAME_PARTS):
            del values["name"]
            return
        for part in _NAME_PARTS:
            if part not in empties:
                values.setdefault(part, "")


def list_emptied(contact: ContactUpsert) -> Iterator[str]:
    """Yield the fields that a contact would empty, as people write them."""
    for wire, name in _PYTHON_NAMES.items():
        value = getattr(contact, name)
        if value is None or value in ("", []):
            yield wire
    for field in contact.custom_fields or ():
        if field.field_value is None or field.field_value in ("", []):
            yield f"custom:{field.key or field.id}"


def _python_name(wire: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in wire)


_PYTHON_NAMES: Final = {wire: _python_name(wire) for wire in (*EMPTY_VALUES, "tags")}


def about_emptied(names: Iterable[str]) -> str | None:
    """Say what empty cells empty; None where it is nothing."""
    found = list(dict.fromkeys(names))
    return f"Empty cells empty these fields of the contacts: {', '.join(found)}." if found else None


def about_not_emptied(fields: Iterable[str]) -> str | None:
    """Say in one sentence which fields of some stay as they are where their cells are empty, and why."""
    known, reasons = set(fields), []
    for reason, names in _NOT_EMPTIED.items():
        if found := [name for name in names if name in known]:
            reasons.append(f"{' and '.join(found)}, {reason}")
    return f"Empty cells do not empty {'; '.join(reasons)}." if reasons else None
