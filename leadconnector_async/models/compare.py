"""Find what the service did not store: it may answer 200 and silently drop a field.

What was sent is compared with the contact in the answer, at no extra call, allowing for the forms into which the
service brings values: email and tags in lower case, phones in E.164, dates as YYYY-MM-DD, text trimmed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import astuple

from .contacts import Contact, ContactUpdate, ContactUpsert, NotApplied
from .custom_fields import CustomField, CustomFieldValue
from .dnd import DndSettings
from .fields import FIELD_OF, FIELDS, NAMES, AnySettings, Same, differing_channels, is_empty, is_same_value

CUSTOM_PREFIX: Final = "custom_fields."


def _comparers_of(model: type[Struct], *, exactly: bool) -> list[tuple[str, Same | None]]:
    """Return how each field of a class is compared, in its order; None for what is not compared as one value."""
    fields = [FIELD_OF[name] for name in model.__struct_fields__]
    is_one = [field.is_stored and field.kind != "custom" for field in fields]
    return [
        (field.name, field.comparer(exactly=exactly) if one else None)
        for field, one in zip(fields, is_one, strict=True)
    ]


_COMPARERS: Final = {model: _comparers_of(model, exactly=False) for model in (ContactUpsert, ContactUpdate)}
_EXACT_COMPARERS: Final = {model: _comparers_of(model, exactly=True) for model in (ContactUpsert, ContactUpdate)}


def find_not_applied(
    sent: ContactUpsert | ContactUpdate, stored: Contact, *, exactly: bool = False
) -> tuple[NotApplied, ...]:
    """List the fields of `sent` that `stored` lacks or leaves unsaid, in the order of the fields.

    What could not be read of an answer may be anything: a field counts as there only where the part that was read shows
    it.

    Args:
        sent: What was sent.
        stored: What is there.
        exactly: Whether to list also what is there, but with something beside it that sending it would take away (other
            tags, other options of a custom field), and what cannot be seen to be there (a custom field known by key).
    """
    missing: list[NotApplied] = []
    is_whole = stored.is_whole
    comparers = _EXACT_COMPARERS[type(sent)] if exactly else _COMPARERS[type(sent)]
    unset = UNSET  # a local name is found faster, and this loop runs for every field of every row
    for place, value in enumerate(astuple(sent)):
        if value is unset:
            continue
        name, is_same = comparers[place]
        if is_same is None:
            continue
        found = getattr(stored, name)
        if not is_whole and not stored.knows(name):
            if exactly or is_empty(found) or not is_same(value, found):
                missing.append(NotApplied(name, msgspec.to_builtins(value), stored.unreadable.get(name)))
        elif value != found and not is_same(value, found):
            missing.append(
                _not_applied_settings(name, value, found, differing_channels(value, found, exactly=exactly))
                if isinstance(value, AnySettings)
                else NotApplied(name, value, found)
            )
    if sent.custom_fields:
        missing += _compare_custom_fields(sent.custom_fields, stored, exactly)
    return tuple(missing)


def find_dropped(sent: ContactUpsert | ContactUpdate, stored: Contact) -> tuple[NotApplied, ...]:
    """List the fields of `sent` that an answer shows not to be stored, as `find_not_applied` does; of fields that the
    answer leaves out nothing is known."""
    return tuple(one for one in find_not_applied(sent, stored) if _is_shown(one.field.partition(".")[0], stored))


def _is_shown(name: str, stored: Contact) -> bool:
    return stored.knows(name) or name in stored.unreadable


_SAME: Final = {field.name: field.comparer() for field in FIELDS if field.is_personal}
_PERSONAL: Final = [field.name for field in FIELDS if field.is_personal and field.name not in NAMES]
_EVIDENCE: Final = frozenset((*_PERSONAL, *NAMES, *(field.name for field in FIELDS if field.kind == "custom")))


def holds_only_what_was_sent(sent: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact holds no name, email, phone, address or custom field that was not sent with this value.

    One that somebody else made may hold more, or something else; so may one of which not all of this could be read.

    What the service fills in by itself (country, time zone, source, type) proves nothing, nor do tags, which workflows
    add.
    """
    if not _EVIDENCE.isdisjoint(stored.unreadable):
        return False
    has_own = all(_holds_what_was_sent(name, sent, stored) for name in _PERSONAL if getattr(stored, name))
    return has_own and _is_named_as_sent(sent, stored) and _holds_only_fields_sent(sent, stored)


def _holds_what_was_sent(name: str, sent: ContactUpsert, stored: Contact) -> bool:
    return _was_given(sent, name) and _SAME[name](getattr(sent, name), getattr(stored, name))


def _was_given(sent: ContactUpsert, name: str) -> bool:
    value = getattr(sent, name)
    return value is not UNSET and not is_empty(value)


def _is_named_as_sent(sent: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact has no name, or one that was sent: whole, or in its parts."""
    *parts, whole = NAMES
    there = [name for name in parts if getattr(stored, name)]
    if there and all(_holds_what_was_sent(name, sent, stored) for name in there):
        return True
    held = " ".join(getattr(stored, name) for name in there) or stored.name
    given = (" ".join(getattr(sent, name) for name in parts if _was_given(sent, name)), sent.name or "")
    return not held or any(_SAME[whole](each, held) for each in given)


def _holds_only_fields_sent(sent: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact holds no custom field but those that were sent. Answers name fields by their ids alone, so one
    that was sent by its key is known by its value."""
    by_id = {field.id: field.field_value for field in sent.custom_fields or () if field.id is not UNSET}
    by_key = [field.field_value for field in sent.custom_fields or () if field.id is UNSET]
    held = [field for field in stored.custom_fields or () if not is_empty(field.value)]
    others = [field.value for field in held if field.id not in by_id]
    return (
        all(is_same_value(by_id[field.id], field.value) for field in held if field.id in by_id)
        and len(others) <= len(by_key)
        and all(any(is_same_value(one, other) for one in by_key) for other in others)
    )


# ---------------------------------------------------------------------------------------------- channels


def _not_applied_settings(
    name: str, sent: AnySettings, stored: AnySettings | None, channels: Collection[str]
) -> NotApplied:
    """Describe channels that did not arrive; those that did are left out."""

    def plain(settings: AnySettings | None) -> dict[str, Any] | None:
        found = {} if settings is None else settings.by_channel()
        return msgspec.to_builtins({key: found[key] for key in channels if key in found}) or None

    return NotApplied(name, plain(sent), plain(stored))


def describe_refused(sent: DndSettings, stored: Contact, channels: Collection[str]) -> NotApplied:
    """Describe channels that the service refused to change.

    Args:
        sent: What they were to be.
        stored: The contact without that change.
        channels: Which, by their keys on the wire.
    """
    return _not_applied_settings("dnd_settings", sent, stored.dnd_settings, channels)


def with_refused(missing: Iterable[NotApplied], refused: Collection[NotApplied]) -> tuple[NotApplied, ...]:
    """Add what the service refused to change, or dropped, to what else did not arrive: one entry for each field.

    A refused channel may compare as it should be: one that was to be closed, and is closed permanently.
    """
    if not refused:
        return tuple(missing)
    found = {one.field: one for one in missing}
    for one in refused:
        also = found.get(one.field)
        found[one.field] = one if also is None else _join(also, one)
    return tuple(found.values())


def _join(one: NotApplied, other: NotApplied) -> NotApplied:
    """Join what is said twice of one field: the channels of both."""
    if not (isinstance(one.sent, dict) and isinstance(other.sent, dict)):
        return one
    stored = {**(one.stored or {}), **(other.stored or {})}
    return NotApplied(one.field, {**one.sent, **other.sent}, stored or None)


# ---------------------------------------------------------------------------------------------- custom fields


def _compare_custom_fields(sent: Iterable[CustomField], stored: Contact, exactly: bool) -> Iterable[NotApplied]:
    values = stored.custom_fields or []
    if stored.knows("custom_fields"):
        return _missing_custom_fields(sent, values, exactly)
    return _unsure_custom_fields(sent, values, stored.unreadable.get("custom_fields"), exactly)


def _unsure_custom_fields(
    sent: Iterable[CustomField], stored: Iterable[CustomFieldValue], received: Any, exactly: bool
) -> Iterator[NotApplied]:
    """Compare where not all values could be read: one that is not among those may be there, or may not be empty."""
    read = {value.id: value for value in stored}
    for field in sent:
        if field.id is not UNSET and field.id in read:
            yield from _missing_custom_fields([field], [read[field.id]], exactly)
        elif is_empty(field.field_value) or any(_missing_custom_fields([field], read.values(), exactly)):
            yield NotApplied(CUSTOM_PREFIX + str(field.id or field.key), _plain_value(field), received)


def _missing_custom_fields(
    sent: Iterable[CustomField], stored: Iterable[CustomFieldValue], exactly: bool
) -> Iterator[NotApplied]:
    by_id = {field.id: field.value for field in stored}
    for field in sent:
        if field.id is not UNSET:
            sent_value, found = field.field_value, by_id.get(field.id)
            if sent_value != found and not is_same_value(sent_value, found, exactly=exactly):
                yield NotApplied(CUSTOM_PREFIX + field.id, _plain_value(field), found)
        # Answers name fields by id alone: for a field sent by key we can only check that its value is there.
        elif exactly or not (
            is_empty(field.field_value) or any(is_same_value(field.field_value, found) for found in by_id.values())
        ):
            yield NotApplied(CUSTOM_PREFIX + str(field.key), _plain_value(field), None)


def _plain_value(field: CustomField) -> Any:
    return msgspec.to_builtins(field.field_value)
