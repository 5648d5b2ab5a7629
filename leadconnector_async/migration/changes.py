"""What an upsert would change of a contact that is there, and what of a row may be sent where nothing may be
overwritten.

Where it cannot be told whether something would change, as a search leaves fields out, it is taken to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..comparison import NotApplied, find_not_applied
from ..models import Contact, ContactUpsert, CustomField
from .tagging import normal_tags

_NAMES: Final = ("name", "first_name", "last_name")
# Tags are added, channels closed apart, two are no fields of a contact, and the service drops the gender of one that
# exists.
_NEVER_FILLED: Final = ("location_id", "create_new_if_duplicate_allowed", "tags", "gender", "dnd", "dnd_settings")
_BY_PARTS: Final = ("email", "phone", *_NAMES, "custom_fields")


def find_changes(sent: ContactUpsert, stored: Contact, *, replaces_tags: bool) -> tuple[NotApplied, ...]:
    """List the fields of a contact that an upsert would change, each with what would be there and what is.

    Args:
        sent: The upsert.
        stored: The contact that it meets.
        replaces_tags: Whether its tags replace all that are there, rather than are added to them.
    """
    found = {change.field: change for change in find_not_applied(sent, stored)}
    if "tags" in found and not replaces_tags:
        found["tags"] = NotApplied("tags", sorted({*normal_tags(sent), *(stored.tags or ())}), stored.tags)
    for change in _closer(sent, stored, replaces_tags=replaces_tags):
        found.setdefault(change.field, change)
    return tuple(found.values())


def _closer(sent: ContactUpsert, stored: Contact, *, replaces_tags: bool) -> Iterator[NotApplied]:
    """Yield what would change although all that was sent can be found there: values beside it that would be lost."""
    tags = normal_tags(sent)
    if replaces_tags and sent.tags is not UNSET and set(tags) != set(stored.tags or ()):
        yield NotApplied("tags", list(tags), stored.tags)
    if sent.inbound_dnd_settings is not UNSET and stored.inbound_dnd_settings is None:
        yield NotApplied("inbound_dnd_settings", msgspec.to_builtins(sent.inbound_dnd_settings), None)
    values = {field.id: field.value for field in stored.custom_fields or ()}
    for field in sent.custom_fields or ():
        value = msgspec.to_builtins(field.field_value)
        if field.id is UNSET:
            yield NotApplied(f"custom_fields.{field.key}", value, None)
        elif _has_parts(value) and not _is_empty(value) and not _are_same_parts(value, values.get(field.id)):
            yield NotApplied(f"custom_fields.{field.id}", value, values.get(field.id))


def _has_parts(value: object) -> bool:
    return isinstance(value, list | dict)


def _are_same_parts(sent: Any, stored: Any) -> bool:
    return isinstance(stored, type(sent)) and {str(part) for part in sent} == {str(part) for part in stored}


# ---------------------------------------------------------------------------------------------- filling


def fields_filled(row: ContactUpsert) -> Iterator[str]:
    """Yield the fields that a row may fill, by their names in Python: what they hold must be known before."""
    for name in ContactUpsert.__struct_fields__:
        if name not in _NEVER_FILLED and not _is_empty(getattr(row, name) or None):
            yield name


def fill_empty(sent: ContactUpsert, holders: Sequence[Contact], keys: Iterable[str]) -> ContactUpsert | None:
    """Return of an upsert what overwrites nothing, or None where that is nothing.

    The channels that it closes are left out: they are closed whatever is there, apart from this.

    Args:
        sent: The upsert.
        holders: Whom it may meet. Of a field that one of them does not tell, nothing is sent.
        keys: By what it finds them, and what nobody has: `email`, `phone`, or both. The others are not sent.
    """
    keys = set(keys)
    kept: dict[str, Any] = {"location_id": sent.location_id, **{key: getattr(sent, key) for key in keys}}
    kept |= _kept_fields(sent, holders)
    kept |= {name: getattr(sent, name) for name in _kept_names(sent, holders)}
    if custom := [field for field in sent.custom_fields or () if _is_free(field, holders)]:
        kept["custom_fields"] = custom
    has_new_tags = any(not set(normal_tags(sent)) <= set(holder.tags or ()) for holder in holders)
    if has_new_tags:
        kept["tags"] = sent.tags
    is_key_new = any(not any(getattr(holder, key) for holder in holders) for key in keys)
    is_anything = has_new_tags or is_key_new or len(kept) > 1 + len(keys)
    return ContactUpsert(**kept) if is_anything else None


def _kept_fields(sent: ContactUpsert, holders: Sequence[Contact]) -> dict[str, Any]:
    kept = {}
    for name in ContactUpsert.__struct_fields__:
        if name in _NEVER_FILLED or name in _BY_PARTS:
            continue
        value = getattr(sent, name)
        if value is not UNSET and not _is_empty(value) and all(lacks(holder, name) for holder in holders):
            kept[name] = value
    return kept


def lacks(holder: Contact, name: str) -> bool:
    """Whether a contact is known to have nothing in a field."""
    return _is_empty(getattr(holder, name)) and holder.knows(name)


def _kept_names(sent: ContactUpsert, holders: Sequence[Contact]) -> list[str]:
    """Return which names are sent: parts that are missing beside the other, and the whole where there is none."""
    given = [name for name in _NAMES if getattr(sent, name) is not UNSET and getattr(sent, name)]
    for contact in holders:
        parts = {"first_name": contact.first_name, "last_name": contact.last_name}
        has_name = bool(any(parts.values()) or not lacks(contact, "name"))
        is_in_parts = any(parts.values())
        given = [name for name in given if not has_name or (is_in_parts and name in parts and lacks(contact, name))]
    return given


def _is_free(field: CustomField, holders: Sequence[Contact]) -> bool:
    """Whether a custom field is empty. Answers name fields by id alone: of one known by key it is, where all are."""
    if _is_empty(field.field_value):
        return False
    if not all(holder.knows("custom_fields") for holder in holders):
        return False
    values = [value for holder in holders for value in holder.custom_fields or () if not _is_empty(value.value)]
    return not values if field.id is UNSET else all(value.id != field.id for value in values)


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())
