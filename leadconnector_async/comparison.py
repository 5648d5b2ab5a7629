"""What of a contact that was sent did not arrive: the service may answer 200 and drop a field without a word.

What was sent is compared with the contact in the answer, at no extra call, allowing for the forms into which the
service brings values: email and tags in lower case, phones in E.164, dates as YYYY-MM-DD, text trimmed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from .identity import normal_email, normal_phone
from .models import Contact, ContactUpsert, CustomField, CustomFieldValue, DndSettings, InboundDndSettings
from .models.birthdays import read_birthday

Same: TypeAlias = Callable[[Any, Any], bool]

_FEWEST_DIGITS: Final = 7


class NotApplied(Struct, frozen=True, gc=False):
    """A field that did not arrive.

    Attributes:
        field: Its name in Python; a custom field as `custom_fields.` and its id or key.
        sent: What was sent.
        stored: What the service has in its place, or None.
    """

    field: str
    sent: Any
    stored: Any


def find_not_applied(sent: ContactUpsert, stored: Contact) -> tuple[NotApplied, ...]:
    """List the fields of `sent` that `stored` does not have or does not tell, in the order of the fields."""
    missing: list[NotApplied] = []
    is_whole = stored.is_whole
    for name, is_same in _FIELDS:
        value = getattr(sent, name)
        if value is UNSET:
            continue
        found = getattr(stored, name)
        if not is_whole and not stored.knows(name):
            missing.append(NotApplied(name, _plain(value), stored.unreadable.get(name)))
        elif value != found and not is_same(value, found):
            missing.append(NotApplied(name, _plain(value), _plain(found)))
    if sent.custom_fields:
        missing += _compare_custom_fields(sent.custom_fields, stored)
    return tuple(missing)


def is_as_sent(field: str, sent: Any, stored: Any) -> bool:
    """Whether what a field (by its name in Python; no custom one) holds is what was sent for it."""
    return sent == stored or _SAME[field](sent, stored)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value) if isinstance(value, Struct) else value


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
    named = msgspec.structs.asdict(sent)
    found = {} if stored is None else msgspec.structs.asdict(stored)
    return all(
        setting is UNSET or getattr(found.get(channel), "status", None) == setting.status
        for channel, setting in named.items()
    )


def _has_inbound(sent: InboundDndSettings, stored: InboundDndSettings | None) -> bool:
    return stored is None  # the service's answers need not name them, so that nothing can be told


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


# ---------------------------------------------------------------------------------------------- custom fields


def _compare_custom_fields(sent: Iterable[CustomField], stored: Contact) -> Iterable[NotApplied]:
    if stored.knows("custom_fields"):
        return _missing_custom_fields(sent, stored.custom_fields or [])
    told = stored.unreadable.get("custom_fields")
    return [NotApplied(f"custom_fields.{field.id or field.key}", _plain_value(field), told) for field in sent]


def _missing_custom_fields(sent: Iterable[CustomField], stored: Iterable[CustomFieldValue]) -> Iterable[NotApplied]:
    by_id = {field.id: field.value for field in stored}
    for field in sent:
        if field.id is not UNSET:
            found = by_id.get(field.id)
            if not is_same_value(field.field_value, found):
                yield NotApplied(f"custom_fields.{field.id}", _plain_value(field), found)
        elif not _is_empty(field.field_value) and not any(
            # Answers name the id alone: of a field sent by key, all that can be told is whether its value is there.
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
