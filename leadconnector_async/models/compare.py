"""Find what the service did not store: it may answer 200 and silently drop a field.

What was sent is compared with the contact in the answer, at no extra call, allowing for the forms into which the
service brings values: email and tags in lower case, phones in E.164, dates as YYYY-MM-DD, text trimmed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET

from .contacts import Contact, ContactUpsert, NotApplied
from .custom_fields import CustomField, CustomFieldValue
from .dnd import DndSetting, DndSettings, InboundDndSetting, InboundDndSettings
from .normal import normal_email, normal_phone, read_birthday

Same: TypeAlias = Callable[[Any, Any], bool]
AnySetting: TypeAlias = DndSetting | InboundDndSetting
AnySettings: TypeAlias = DndSettings | InboundDndSettings

_FEWEST_DIGITS: Final = 7


def find_not_applied(sent: ContactUpsert, stored: Contact) -> tuple[NotApplied, ...]:
    """List the fields of `sent` that `stored` lacks or leaves unsaid, in the order of the fields."""
    missing: list[NotApplied] = []
    is_whole = stored.is_whole
    for name, is_same in _FIELDS:
        value = getattr(sent, name)
        if value is UNSET:
            continue
        found = getattr(stored, name)
        if not is_whole and not stored.knows(name):
            missing.append(NotApplied(name, msgspec.to_builtins(value), stored.unreadable.get(name)))
        elif value != found and not is_same(value, found):
            missing.append(
                _not_applied_settings(name, value, found, differing_channels(value, found))
                if isinstance(value, AnySettings)
                else NotApplied(name, value, found)
            )
    if sent.custom_fields:
        missing += _compare_custom_fields(sent.custom_fields, stored)
    return tuple(missing)


def holds_only_what_was_sent(sent: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact holds no name, email, phone, address or custom field that was not sent with this value.

    One that somebody else made may hold more, or something else.

    What the service fills in by itself (country, time zone, source, type) proves nothing, nor do tags, which workflows
    add.
    """
    has_own = all(_holds_what_was_sent(name, sent, stored) for name in _OWN if getattr(stored, name))
    return has_own and _is_named_as_sent(sent, stored) and _holds_only_fields_sent(sent, stored)


def _holds_what_was_sent(name: str, sent: ContactUpsert, stored: Contact) -> bool:
    return _was_given(sent, name) and is_as_sent(name, getattr(sent, name), getattr(stored, name))


def _was_given(sent: ContactUpsert, name: str) -> bool:
    return getattr(sent, name) not in (UNSET, None, "")


def _is_named_as_sent(sent: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact has no name, or one that was sent: whole, or in its parts."""
    parts = [name for name in _PARTS if getattr(stored, name)]
    if parts and all(_holds_what_was_sent(name, sent, stored) for name in parts):
        return True
    held = " ".join(getattr(stored, name) for name in parts) or stored.name
    given = (" ".join(getattr(sent, name) for name in _PARTS if _was_given(sent, name)), sent.name or "")
    return not held or any(_same_word(str(whole), held) for whole in given)


def _holds_only_fields_sent(sent: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact holds no custom field but those that were sent. Answers name fields by their ids alone, so one
    that was sent by its key is known by its value."""
    by_id = {field.id: field.field_value for field in sent.custom_fields or () if field.id is not UNSET}
    by_key = [field.field_value for field in sent.custom_fields or () if field.id is UNSET]
    held = [field for field in stored.custom_fields or () if not _is_empty(field.value)]
    others = [field.value for field in held if field.id not in by_id]
    return (
        all(is_same_value(by_id[field.id], field.value) for field in held if field.id in by_id)
        and len(others) <= len(by_key)
        and all(any(is_same_value(one, other) for one in by_key) for other in others)
    )


def is_as_sent(field: str, sent: Any, stored: Any) -> bool:
    """Whether what a field (by its name in Python; no custom one) holds is what was sent for it."""
    return sent == stored or _SAME[field](sent, stored)


# ---------------------------------------------------------------------------------------------- fields


def _same_text(sent: str | None, stored: str | None) -> bool:
    return (sent or "").strip() == (stored or "").strip()


def _same_word(sent: str | None, stored: str | None) -> bool:
    return " ".join((sent or "").split()).casefold() == " ".join((stored or "").split()).casefold()


def _same_email(sent: str | None, stored: str | None) -> bool:
    return normal_email(sent or "") == normal_email(stored or "")


def _same_phone(sent: str | None, stored: str | None) -> bool:
    if not sent or not stored:
        return not sent and not stored
    if normal_phone(sent) == normal_phone(stored):
        return True
    # A national number, of a country that only the location knows: its digits end the stored one.
    national = re.sub(r"\D", "", sent).lstrip("0")
    return "+" not in sent and len(national) >= _FEWEST_DIGITS and normal_phone(stored).endswith(national)


def _same_day(sent: str | None, stored: str | None) -> bool:
    return _day(sent) == _day(stored)


def _day(text: str | None) -> str | None:
    try:
        return read_birthday(text)
    except ValueError:
        return text


def _has_tags(sent: list[str], stored: list[str] | None) -> bool:
    wanted = {tag.strip().lower() for tag in sent if tag.strip()}
    return wanted <= set(stored or ()) if wanted else not stored


def _has_channels(sent: DndSettings, stored: DndSettings | None) -> bool:
    return not differing_channels(sent, stored)


def _has_inbound(sent: InboundDndSettings, stored: InboundDndSettings | None) -> bool:
    # The service's answers need not name them, so that nothing can be said then.
    return stored is None or not differing_channels(sent, stored)


def differing_channels(sent: AnySettings, stored: AnySettings | None) -> list[str]:
    """Return the channels that are not as they were sent, by their keys on the wire.

    A channel that was to be closed is as sent however it is closed: permanently, or in a word that is not known. One
    that was to be opened is as sent where nothing is said of it.
    """
    held = {} if stored is None else stored.by_channel()
    return [channel for channel, setting in sent.by_channel().items() if not _is_as_set(setting, held.get(channel))]


def _is_as_set(sent: AnySetting, stored: AnySetting | None) -> bool:
    if sent.status == "permanent":
        return stored is not None and stored.status == "permanent"
    return sent.is_closed == (stored is not None and stored.is_closed)


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


def with_refused(missing: Iterable[NotApplied], refused: Iterable[NotApplied]) -> tuple[NotApplied, ...]:
    """Add channels that the service refused to change to what else did not arrive: one entry for each field.

    A refused channel may compare as it should be: one that was to be closed, and is closed permanently.
    """
    found = {one.field: one for one in missing}
    for one in refused:
        also = found.get(one.field, one)
        stored = {**(also.stored or {}), **(one.stored or {})}
        found[one.field] = NotApplied(one.field, {**also.sent, **one.sent}, stored or None)
    return tuple(found.values())


_FIELDS: Final[tuple[tuple[str, Same], ...]] = (
    ("first_name", _same_text),
    ("last_name", _same_text),
    ("name", _same_word),
    ("email", _same_email),
    ("phone", _same_phone),
    ("address1", _same_text),
    ("city", _same_text),
    ("state", _same_text),
    ("postal_code", _same_text),
    ("country", _same_word),
    ("website", _same_text),
    ("timezone", _same_text),
    ("dnd", lambda sent, stored: sent is (stored or False)),
    ("dnd_settings", _has_channels),
    ("inbound_dnd_settings", _has_inbound),
    ("tags", _has_tags),
    ("date_of_birth", _same_day),
    ("gender", _same_word),
    ("company_name", _same_text),
    ("source", _same_text),
    ("assigned_to", _same_text),
)
_SAME: Final = dict(_FIELDS)
_PARTS: Final = ("first_name", "last_name")
_OWN: Final = ("email", "phone", "address1", "city", "state", "postal_code")


# ---------------------------------------------------------------------------------------------- custom fields


def _compare_custom_fields(sent: Iterable[CustomField], stored: Contact) -> Iterable[NotApplied]:
    if stored.knows("custom_fields"):
        return _missing_custom_fields(sent, stored.custom_fields or [])
    received = stored.unreadable.get("custom_fields")
    return [NotApplied(f"custom_fields.{field.id or field.key}", _plain_value(field), received) for field in sent]


def _missing_custom_fields(sent: Iterable[CustomField], stored: Iterable[CustomFieldValue]) -> Iterable[NotApplied]:
    by_id = {field.id: field.value for field in stored}
    for field in sent:
        if field.id is not UNSET:
            found = by_id.get(field.id)
            if not is_same_value(field.field_value, found):
                yield NotApplied(f"custom_fields.{field.id}", _plain_value(field), found)
        elif not _is_empty(field.field_value) and not any(
            # Answers name fields by id alone: for a field sent by key we can only check that its value is there.
            is_same_value(field.field_value, found)
            for found in by_id.values()
        ):
            yield NotApplied(f"custom_fields.{field.key}", _plain_value(field), None)


def _plain_value(field: CustomField) -> Any:
    return msgspec.to_builtins(field.field_value)


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [])


def is_same_value(sent: Any, stored: Any) -> bool:
    """Whether what a custom field holds is what was sent for it."""
    if _is_empty(sent) or _is_empty(stored):
        return _is_empty(sent) and _is_empty(stored)
    if isinstance(sent, list):
        return isinstance(stored, list) and set(sent) <= set(map(str, stored))
    if isinstance(sent, dict):
        return isinstance(stored, dict) and sent.keys() <= stored.keys()
    return _same_text(str(sent), str(stored)) or (_number(sent) is not None and _number(sent) == _number(stored))


def _number(value: Any) -> float | None:
    try:
        return float(str(value).replace(",", ""))
    except ValueError:
        return None
