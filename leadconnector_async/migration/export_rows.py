"""Contacts as rows of an export, in the form in which `leadconnector upsert` takes them again."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import StringIO
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from ..models import Contact, DndSettings, InboundDndSettings
from ..models.search import FoundContact
from .readers.cells import text_of
from .targets import CUSTOM_PREFIX

_FILE: Final = "FILE_UPLOAD"
_FILE_PREFIX: Final = "file:"  # a load has no value for such a field, and passes the column over
WRITABLE: Final = {
    "firstName": "first_name",
    "lastName": "last_name",
    "name": "name",
    "email": "email",
    "phone": "phone",
    "companyName": "company_name",
    "address1": "address1",
    "city": "city",
    "state": "state",
    "postalCode": "postal_code",
    "country": "country",
    "website": "website",
    "timezone": "timezone",
    "gender": "gender",
    "dateOfBirth": "date_of_birth",
    "source": "source",
    "assignedTo": "assigned_to",
    "tags": "tags",
    "dnd": "dnd",
    "dndSettings": "dnd_settings",
    "inboundDndSettings": "inbound_dnd_settings",
}
"""What an upsert takes, but for the location: an export of one is often for another."""
_READ_ONLY: Final = {
    "additionalEmails": "additional_emails",
    "additionalPhones": "additional_phones",
    "type": "type",
    "businessId": "business_id",
    "dateAdded": "date_added",
    "dateUpdated": "date_updated",
}
_ATTRIBUTES: Final = {*WRITABLE.values(), *_READ_ONLY.values(), "custom_fields"}
_SEPARATING: Final = re.compile(r'[,;|"\n\r]|:::|^\s|\s$')
_LEFT_OUT: Final[tuple[object, ...]] = (None, "", [], {})


class ExportField(Struct, frozen=True):
    """A custom field of the location.

    Attributes:
        id: Its id.
        key: Its key, without the `contact.` that the service puts before it.
        holds_files: Whether it holds files.
    """

    id: str
    key: str
    holds_files: bool

    @property
    def column(self) -> str:
        """Its header."""
        return f"{_FILE_PREFIX if self.holds_files else CUSTOM_PREFIX}{self.key}"


class Definition(Protocol):
    """What is to be known of a custom field's definition."""

    id: str
    field_key: str | None
    data_type: str | None


def read_fields(definitions: Iterable[Definition]) -> list[ExportField]:
    """Return the custom fields of a location, those of the same key by their ids."""
    fields: dict[str, ExportField] = {}
    for one in definitions:
        key = (one.field_key or one.id).removeprefix("contact.")
        key = one.id if key in fields else key
        fields[key] = ExportField(one.id, key, one.data_type == _FILE)
    return list(fields.values())


def write_csv_header(fields: Sequence[ExportField]) -> bytes:
    """Return the header."""
    return _write_csv([["id", *WRITABLE, *_READ_ONLY, *(field.column for field in fields)]])


def write_csv_rows(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> bytes:
    """Return a line for each contact. Values of fields that the location does not define have no column."""
    return _write_csv(_csv_row(contact, fields) for contact in contacts)


def write_json_lines(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> bytes:
    """Return for each contact what an upsert would send to have it as it is."""
    keys = {field.id: field.key for field in fields}
    return b"".join(msgspec.json.encode(_upsert_of(contact, keys)) + b"\n" for contact in contacts)


def write_raw_lines(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> bytes:
    """Return each contact with all fields, as the service returned it."""
    return b"".join(msgspec.json.encode(msgspec.Raw(_on_one_line(contact.raw))) + b"\n" for contact in contacts)


def count_undefined(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> int:
    """Return how many values are of custom fields that the location does not define (any more)."""
    known = {field.id for field in fields}
    return sum(value.id not in known for contact in contacts for value in contact.custom_fields or ())


def count_unreadable(contacts: Iterable[FoundContact]) -> int:
    """Return how many values are not of the documented kind."""
    return sum(len(contact.unreadable.keys() & _ATTRIBUTES) for contact in contacts)


def find_told(contacts: Sequence[Contact], *, but: Collection[str]) -> set[str]:
    """Return which fields some contacts tell, also where they are empty, by their names on the wire.

    Args:
        contacts: The contacts.
        but: Fields that need not be looked for.
    """
    sought = {name: attribute for name, attribute in WRITABLE.items() if name not in but}
    return {name for name, attribute in sought.items() if any(contact.knows(attribute) for contact in contacts)}


# ---------------------------------------------------------------------------------------------- one contact


def _values_of(contact: FoundContact) -> dict[str, Any]:
    values = {name: getattr(contact, attribute) for name, attribute in WRITABLE.items()}
    values |= _unreadable_of(contact)  # as it came: better than to pass for nothing
    if values["firstName"] or values["lastName"]:
        del values["name"]  # made of these
    else:
        values["name"] = contact.name or contact.contact_name
    for name in ("dndSettings", "inboundDndSettings"):
        values[name] = _channels_of(values[name])
    return {name: value for name, value in values.items() if value not in _LEFT_OUT}


def _unreadable_of(contact: FoundContact) -> dict[str, Any]:
    unreadable = contact.unreadable
    return {name: unreadable[attribute] for name, attribute in WRITABLE.items() if attribute in unreadable}


def _channels_of(settings: DndSettings | InboundDndSettings | None) -> dict[str, Any]:
    """Return all channels, each so that a load takes it: one that is closed in a word of the service's own is `active`.

    A channel that is not known keeps its name, although a load refuses that: better than to lose that it is closed.
    """
    channels = {} if settings is None else settings.by_channel()
    known = {name: one if one.status == "permanent" else one.as_settable() for name, one in channels.items()}
    told: dict[str, dict[str, str | None]] = msgspec.to_builtins(known)
    return {name: {word: text for word, text in one.items() if text is not None} for name, one in told.items()}


def _upsert_of(contact: FoundContact, keys: Mapping[str, str]) -> dict[str, Any]:
    values = _values_of(contact)
    custom = [
        {"id": one.id, **({"key": keys[one.id]} if one.id in keys else {}), "field_value": one.value}
        for one in contact.custom_fields or ()
        if one.value not in _LEFT_OUT
    ]
    return {**values, "customFields": custom} if custom else values


def _csv_row(contact: FoundContact, fields: Sequence[ExportField]) -> list[str]:
    values = _values_of(contact)
    if "tags" not in contact.unreadable:
        values["tags"] = _join_tags(contact.tags or [])
    row = [contact.id, *(text_of(msgspec.to_builtins(values.get(name))) for name in WRITABLE)]
    row += [_read_only_text(getattr(contact, attribute)) for attribute in _READ_ONLY.values()]
    custom: dict[str, Any] = {value.id: value.value for value in contact.custom_fields or ()}
    return [*row, *(_custom_text(custom.get(field.id)) for field in fields)]


def _join_tags(tags: Sequence[str]) -> str:
    """Join tags as they are read again; one that would not be read as one tag needs JSON."""
    is_plain = not any(_SEPARATING.search(tag) or tag.startswith(("[", "* ")) for tag in tags)
    return ", ".join(tags) if is_plain else msgspec.json.encode(tags).decode()


def _custom_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(f'"{one.replace(chr(34), chr(34) * 2)}"' if _SEPARATING.search(one) else one for one in value)
    return text_of(value)


def _read_only_text(value: Any) -> str:
    plain = msgspec.to_builtins(value)
    return text_of(plain or None)


def _write_csv(rows: Iterable[Sequence[str]]) -> bytes:
    lines = StringIO()
    # No file with a zero byte is read as text again, and the service stores none.
    csv.writer(lines).writerows([cell.replace("\0", "") for cell in row] for row in rows)
    return lines.getvalue().encode("utf-8", "backslashreplace")


def _on_one_line(raw: bytes) -> bytes:
    return raw if b"\n" not in raw and b"\r" not in raw else msgspec.json.encode(msgspec.json.decode(raw))
