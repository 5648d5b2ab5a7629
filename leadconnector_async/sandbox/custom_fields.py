"""Custom fields of a location, and what the service makes of values for them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct


class CustomFieldDefinition(Struct, frozen=True, kw_only=True):
    """A custom field of the sandbox's locations.

    Attributes:
        id: Its id.
        key: Its key, without the `contact.` that the service puts before it.
        name: What people see.
        data_type: The service's word for its kind.
        options: What a field with options allows.
        model: What has it: `contact` or `opportunity`.
        placeholder: What people see where it is empty.
        position: Where it stands among the others.
        accepted_formats: What kinds of files it takes.
        max_files: How many of them.
        parent_id: The folder that it is in, or nothing.
        description: What it is for, or nothing.
    """

    id: str
    key: str
    name: str
    data_type: str
    options: tuple[str, ...] = ()
    model: str = "contact"
    placeholder: str = ""
    position: float = 0
    accepted_formats: tuple[str, ...] = ()
    max_files: float = 1
    parent_id: str = ""
    description: str = ""


def _define(number: int, key: str, data_type: str, *options: str) -> CustomFieldDefinition:
    name = key.replace("_", " ").capitalize()
    return CustomFieldDefinition(
        id=f"SandboxField{number:08d}", key=key, name=name, data_type=data_type, options=options
    )


DEFAULT_CUSTOM_FIELDS: Final = (
    _define(1, "nickname", "TEXT"),
    _define(2, "notes", "LARGE_TEXT"),
    _define(3, "plan", "SINGLE_OPTIONS", "Free", "Pro", "Enterprise"),
    _define(4, "size", "RADIO", "S", "M", "L"),
    _define(5, "score", "NUMERICAL"),
    _define(6, "budget", "MONETORY"),
    _define(7, "interests", "CHECKBOX", "Sport", "Music", "Travel"),
    _define(8, "languages", "MULTIPLE_OPTIONS", "English", "Deutsch", "Français"),
    _define(9, "contract", "FILE_UPLOAD"),
)
"""One field of each kind."""

DATA_TYPES: Final = (
    "TEXT LARGE_TEXT NUMERICAL PHONE MONETORY CHECKBOX SINGLE_OPTIONS MULTIPLE_OPTIONS DATE TEXTBOX_LIST FILE_UPLOAD "
    "RADIO"
).split()

_LISTS = ("CHECKBOX", "MULTIPLE_OPTIONS")
_CHOICES = ("SINGLE_OPTIONS", "RADIO")
_NUMBERS = ("NUMERICAL", "MONETORY")


class DefinedFields:
    """The definitions, to be found by id or by key with or without `contact.`."""

    def __init__(self, definitions: Iterable[CustomFieldDefinition]) -> None:
        self.by_id = {field.id: field for field in definitions}
        self._found = {
            name: field
            for field in self.by_id.values()
            if field.model == "contact"
            for name in (field.id, field.key, f"contact.{field.key}")
        }

    def find(self, sent: dict[str, Any]) -> CustomFieldDefinition | None:
        """Find the field that a value is for; None where the location has none such."""
        return self._found.get(sent.get("id") or "") or self._found.get(sent.get("key") or "")


def stored_value(field: CustomFieldDefinition, value: Any) -> Any:
    """Return what the service keeps of a value; None where it drops it, without a word."""
    if value is None or value in ("", []):
        return None
    if field.data_type in _NUMBERS:
        return _number(value)
    if field.data_type in _LISTS:
        chosen = value if isinstance(value, list) else [value]
        return [option for option in chosen if option in field.options] or None
    if field.data_type in _CHOICES:
        return value if value in field.options else None
    return value


def _number(value: Any) -> float | int | None:
    if isinstance(value, str):
        try:
            value = float(value.replace(",", ""))
        except ValueError:
            return None
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else value
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
