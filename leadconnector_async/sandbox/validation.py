"""What the service checks before it looks at a contact: each property by the operation's list, all messages at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, Final
from zoneinfo import available_timezones

from .countries import COUNTRIES
from .refusals import Refusal

Check = Callable[[str, Any], Iterator[str]]

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@.<>()\[\],;:\\\"]+(\.[^\s@.<>()\[\],;:\\\"]+)+")
_DAY = re.compile(r"(\d{4})([/._-])(\d{2})\2(\d{2})|(\d{2})([/._-])(\d{2})\6(\d{4})")
_DND_OF: Final = {"call": "Call", "email": "Email", "sms": "SMS", "whatsapp": "WhatsApp", "gmb": "GMB", "fb": "FB"}
_DND_STATUSES: Final = ("active", "inactive", "permanent")


def _text(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name} must be a string"


def _flag(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{name} must be a boolean value"


def _email(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not _EMAIL.fullmatch(value.strip()):
        yield f"{name} must be an email"


def _date(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or read_day(value) is None:
        yield f"{name} must be a valid date"


def _country(name: str, value: Any) -> Iterator[str]:
    if value not in COUNTRIES:
        yield f"{name} must be a valid enum value"


def _timezone(name: str, value: Any) -> Iterator[str]:
    if value != "" and _TIMEZONES and value not in _TIMEZONES:  # some machines know no timezones
        yield f"{name} must be a valid timezone"


def _tags(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{name} must be an array"
    elif not all(isinstance(tag, str) for tag in value):
        yield f"each value in {name} must be a string"


def _custom_fields(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{name} must be an array"
        return
    for number, field in enumerate(value):
        if not isinstance(field, dict):
            yield f"each value in {name} must be an object"
        else:
            for other in field.keys() - {"id", "key", "field_value", "fieldValue"}:
                yield f"{name}.{number}.property {other} should not exist"


def _dnd_settings(name: str, value: Any) -> Iterator[str]:
    yield from _settings(name, value, lambda channel: channel.lower() in _DND_OF, _DND_STATUSES)


def _inbound_dnd_settings(name: str, value: Any) -> Iterator[str]:
    yield from _settings(name, value, lambda channel: channel == "all", _DND_STATUSES[:2])


def _settings(name: str, value: Any, is_known: Callable[[str], bool], statuses: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{name} must be an object"
        return
    for channel, setting in value.items():
        if not is_known(channel):
            yield f"{name}.property {channel} should not exist"
        elif not isinstance(setting, dict) or setting.get("status") not in statuses:
            yield f"{name}.{channel}.status must be one of the following values: {', '.join(statuses)}"


_TIMEZONES: Final = available_timezones()
_COMMON: Final[dict[str, Check]] = {
    **dict.fromkeys(("firstName", "lastName", "name", "phone", "address1", "city", "state", "website"), _text),
    **dict.fromkeys(("postalCode", "source", "assignedTo"), _text),
    "email": _email,
    "timezone": _timezone,
    "country": _country,
    "dateOfBirth": _date,
    "dnd": _flag,
    "dndSettings": _dnd_settings,
    "inboundDndSettings": _inbound_dnd_settings,
    "tags": _tags,
    "customFields": _custom_fields,
}
_NULLABLE: Final = frozenset(
    "firstName lastName name email phone address1 city state website timezone companyName dateOfBirth".split()
)

UPDATE: Final = _COMMON
CREATE: Final[dict[str, Check]] = {**_COMMON, **dict.fromkeys(("locationId", "gender", "companyName"), _text)}
UPSERT: Final[dict[str, Check]] = {**CREATE, "createNewIfDuplicateAllowed": _flag}
TAGS: Final[dict[str, Check]] = {"tags": _tags}


def check(body: dict[str, Any], properties: dict[str, Check], *, required: tuple[str, ...] = ()) -> None:
    """Check a body against the properties that its operation knows.

    Raises:
        Refusal: 422 with all that is wrong with it.
    """
    nullable = _NULLABLE | {"source", "assignedTo"} if properties is UPDATE else _NULLABLE
    messages = [f"property {name} should not exist" for name in body if name not in properties]
    for name in required:
        if name not in body:
            messages += [f"{name} must be a string", f"{name} should not be empty"]
    for name, value in body.items():
        if name in properties and not (value is None and name in nullable):
            messages += properties[name](name, value)
    if messages:
        raise Refusal(422, messages)


def read_day(text: str) -> str | None:
    """Return a date in any of the eight documented forms as YYYY-MM-DD, or None where it is none."""
    match = _DAY.fullmatch(text.strip())
    if match is None:
        return None
    year, _, month, day, us_month, _, us_day, us_year = match.groups()
    try:
        return date(int(year or us_year), int(month or us_month), int(day or us_day)).isoformat()
    except ValueError:
        return None


def dnd_key(channel: str) -> str:
    """Return a channel's key in the spelling of 2021-07-28, whichever it came in."""
    return _DND_OF[channel.lower()]
