"""What the service checks before it looks at a contact: each property by the operation's list, all messages at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import available_timezones

from msgspec import Struct

from .countries import COUNTRIES
from .refusals import Refusal

Check = Callable[[str, Any], Iterator[str]]

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@.<>()\[\],;:\\\"]+(\.[^\s@.<>()\[\],;:\\\"]+)+")
_DAY = re.compile(r"(\d{4})([/._-])(\d{2})\2(\d{2})|(\d{2})([/._-])(\d{2})\6(\d{4})")
# RCS is in no specification, but live.
_DND_OF: Final = {channel.lower(): channel for channel in ("Call", "Email", "SMS", "WhatsApp", "GMB", "FB", "RCS")}
_DND_STATUSES: Final = ("active", "inactive", "permanent")


def text(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{name} must be a string"


def flag(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{name} must be a boolean value"


def number(name: str, value: Any) -> Iterator[str]:
    if not is_number(value):
        yield f"{name} must be a number conforming to the specified constraints"


def iso_time(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or read_time(value) is None:
        yield f"{name} must be a valid ISO 8601 date string"


def one_of(*choices: str) -> Check:
    """Make the check of a property that has one of these values."""

    def check_choice(name: str, value: Any) -> Iterator[str]:
        if value not in choices:
            yield f"{name} must be one of the following values: {', '.join(choices)}"

    return check_choice


def _email(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not _EMAIL.fullmatch(value.strip()):
        yield f"{name} must be an email"


def _date(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or read_day(value) is None:
        yield f"{name} must be a valid date"


def _country(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or value not in COUNTRIES:
        yield f"{name} must be a valid enum value"


def _timezone(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, str) or (value and _TIMEZONES and value not in _TIMEZONES):  # some machines know none
        yield f"{name} must be a valid timezone"


def strings(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{name} must be an array"
    elif not all(isinstance(tag, str) for tag in value):
        yield f"each value in {name} must be a string"


def array(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{name} must be an array"


def _custom_fields(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{name} must be an array"
        return
    for place, field in enumerate(value):
        if not isinstance(field, dict):
            yield f"each value in {name} must be an object"
        else:
            for other in field.keys() - {"id", "key", "field_value", "fieldValue"}:
                yield f"{name}.{place}.property {other} should not exist"
            for part in ("id", "key"):
                if not isinstance(field.get(part, ""), str):
                    yield f"{name}.{place}.{part} must be a string"


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
        else:
            for part in ("message", "code"):
                if not isinstance(setting.get(part, ""), str):
                    yield f"{name}.{channel}.{part} must be a string"


_TIMEZONES: Final = available_timezones()
_COMMON: Final[dict[str, Check]] = {
    **dict.fromkeys(("firstName", "lastName", "name", "phone", "address1", "city", "state", "website"), text),
    **dict.fromkeys(("postalCode", "source", "assignedTo"), text),
    "email": _email,
    "timezone": _timezone,
    "country": _country,
    "dateOfBirth": _date,
    "dnd": flag,
    "dndSettings": _dnd_settings,
    "inboundDndSettings": _inbound_dnd_settings,
    "tags": strings,
    "customFields": _custom_fields,
}
_NULLABLE: Final = frozenset(
    "firstName lastName name email phone address1 city state website timezone companyName dateOfBirth".split()
)
_OF_A_NEW_ONE: Final[dict[str, Check]] = {**_COMMON, **dict.fromkeys(("locationId", "gender", "companyName"), text)}


class Rules(Struct, frozen=True):
    """What the body of an operation may hold.

    Attributes:
        properties: The check of each property that it knows.
        required: Those that must be there.
        nullable: Those that may be null.
    """

    properties: Mapping[str, Check]
    required: tuple[str, ...] = ()
    nullable: frozenset[str] = frozenset()


CREATE: Final = Rules(_OF_A_NEW_ONE, ("locationId",), _NULLABLE)
UPSERT: Final = Rules({**_OF_A_NEW_ONE, "createNewIfDuplicateAllowed": flag}, ("locationId",), _NULLABLE)
UPDATE: Final = Rules(_COMMON, nullable=_NULLABLE | {"source", "assignedTo"})


def check(body: dict[str, Any], rules: Rules) -> None:
    """Check a body against the rules of its operation.

    Raises:
        Refusal: 422 with all that is wrong with it.
    """
    properties = rules.properties
    messages = [f"property {name} should not exist" for name in body if name not in properties]
    for name in rules.required:
        if name not in body:
            messages += [*properties[name](name, None), f"{name} should not be empty"]
        elif body[name] == "":
            messages.append(f"{name} should not be empty")
    for name, value in body.items():
        if name in properties and not (value is None and name in rules.nullable):
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
    """Return a channel's key in the spelling of 2021-07-28, whichever it came in; one that is not known as it is."""
    return _DND_OF.get(channel.lower(), channel)


def read_time(text: str) -> datetime | None:
    """Return the time that a text tells in ISO 8601, in UTC unless it says else, or None where it tells none."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
