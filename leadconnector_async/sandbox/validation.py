"""What the service checks before it looks at a contact: each property by the operation's list, all messages at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import available_timezones

from msgspec import Struct

from ..models.normal import without_trunk_zero
from .answers import Refusal
from .custom_fields import DefinedFields, stored_value
from .shelves import Fields

# ---------------------------------------------------------------------------------------------- countries

# Source: https://highlevel.stoplight.io/docs/integrations/ZG9jOjI4MzUzNDIy-country-list

COUNTRIES: Final = frozenset(
    (
        "AD AE AF AG AI AL AM AN AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BV BW BY "
        "BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK "
        "FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ "
        "IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG "
        "MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH "
        "PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR ST SV SX SY SZ "
        "TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA "
        "ZM ZW "
    ).split()
)


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
        nullable_in: The same for versions in which they are others.
    """

    properties: Mapping[str, Check]
    required: tuple[str, ...] = ()
    nullable: frozenset[str] = frozenset()
    nullable_in: Mapping[str, frozenset[str]] = {}

    def may_be_null(self, name: str, version: str) -> bool:
        """Whether a property may be null in a version of the API."""
        return name in self.nullable_in.get(version, self.nullable)


# 2023-02-21 has no specification but a white label's page about the upsert. It leaves `companyName` out, and takes null
# for `locationId`, too: which location that would mean it does not say, so the sandbox refuses it.
_LATER: Final = "2023-02-21"
_NULLABLE_LATER: Final = _NULLABLE - {"companyName"}
_NULLABLE_IN_UPSERT: Final = _NULLABLE_LATER | set(
    "gender postalCode dnd source assignedTo createNewIfDuplicateAllowed".split()
)
_NULLABLE_IN_UPDATE: Final = _NULLABLE - {"companyName"} | {"source", "assignedTo"}

CREATE: Final = Rules(_OF_A_NEW_ONE, ("locationId",), _NULLABLE, {_LATER: _NULLABLE_LATER})
UPSERT: Final = Rules(
    {**_OF_A_NEW_ONE, "createNewIfDuplicateAllowed": flag},
    ("locationId",),
    _NULLABLE,
    {_LATER: _NULLABLE_IN_UPSERT},
)
UPDATE: Final = Rules(_COMMON, nullable=_NULLABLE_IN_UPDATE)


def check(body: dict[str, Any], rules: Rules, version: str) -> None:
    """Check a body against the rules of its operation in a version of the API.

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
        if name in properties and not (value is None and rules.may_be_null(name, version)):
            messages += properties[name](name, _without_null_words(name, value) if version == _LATER else value)
    if messages:
        raise Refusal(422, messages)


def _without_null_words(name: str, value: Any) -> Any:
    """Take out of channels what 2023-02-21 also takes as null: `message` and `code`."""
    if name not in ("dndSettings", "inboundDndSettings") or not isinstance(value, dict):
        return value
    return {channel: _drop_null_words(setting) for channel, setting in value.items()}


def _drop_null_words(setting: Any) -> Any:
    if not isinstance(setting, dict):
        return setting
    return {word: text for word, text in setting.items() if not (text is None and word in ("message", "code"))}


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
    """Read a time in ISO 8601, in UTC unless it names a zone; None where the text is none."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---------------------------------------------------------------------------------------------- phones

_CALLING_CODES: Final = frozenset(
    "1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 "
    "82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 "
    "234 235 236 237 238 239 240 241 242 243 244 245 246 247 248 249 250 251 252 253 254 255 256 257 258 260 "
    "261 262 263 264 265 266 267 268 269 290 291 297 298 299 350 351 352 353 354 355 356 357 358 359 370 371 "
    "372 373 374 375 376 377 378 380 381 382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 "
    "508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 "
    "686 687 688 689 690 691 692 850 852 853 855 856 880 886 960 961 962 963 964 965 966 967 968 970 971 972 "
    "973 974 975 976 977 992 993 994 995 996 998".split()
)
_OF_COUNTRY: Final = {
    "US": "1", "CA": "1", "GB": "44", "DE": "49", "FR": "33", "CH": "41", "AT": "43", "NL": "31", "ES": "34",
    "IT": "39", "AU": "61", "NZ": "64", "IN": "91", "BR": "55", "MX": "52", "ZA": "27", "IE": "353", "PL": "48",
    "SE": "46",
}  # fmt: skip
_EXTENSION = re.compile(r"(?:ext\.?|x|#)\s*\d{1,7}\s*$", re.I)
_SHAPE = re.compile(r"\+?[\d\s().\-/]+", re.ASCII)
_MOST_DIGITS = 15
_FEWEST_DIGITS = 7

_NO_NUMBER = "The string supplied did not seem to be a phone number"
_TOO_LONG = "The string supplied is too long to be a phone number"
_TOO_SHORT = "The string supplied is too short to be a phone number"
_NO_COUNTRY = "Invalid country calling code"


def read_phone(text: str, country: str) -> str:
    """Return the number in E.164, read as a national one of `country` (two letters) unless it names another.

    Raises:
        Refusal: 400, it is no phone number.
    """
    text = _EXTENSION.sub("", text.strip()).rstrip()
    if not _SHAPE.fullmatch(text):
        raise Refusal(400, _NO_NUMBER)
    digits = re.sub(r"\D", "", text)
    number = digits if text.startswith("+") else _international(digits, _OF_COUNTRY.get(country, "1"))
    if len(number) > _MOST_DIGITS:
        raise Refusal(400, _TOO_LONG)
    if not any(number.startswith(code) for code in (number[:1], number[:2], number[:3]) if code in _CALLING_CODES):
        raise Refusal(400, _NO_COUNTRY)
    if len(number) < _FEWEST_DIGITS + 1:
        raise Refusal(400, _TOO_SHORT)
    return f"+{without_trunk_zero(number)}"


def _international(digits: str, code: str) -> str:
    if code == "1":
        if digits.startswith("011"):
            return digits[3:]
        return digits if len(digits) == 11 and digits.startswith("1") else "1" + digits
    if digits.startswith("00"):
        return digits[2:]
    return code + digits.removeprefix("0")


# ---------------------------------------------------------------------------------------------- normal forms

# Contacts are kept as they go over the wire in version 2021-07-28; fields without a value are left out.

NAMES = frozenset(("firstName", "lastName", "name"))
_TWINS = {
    "email": "emailLowerCase",
    "firstName": "firstNameLowerCase",
    "lastName": "lastNameLowerCase",
    "name": "fullNameLowerCase",
}


def normalise(sent: Fields, country: str, definitions: DefinedFields, *, refuse_unknown: bool) -> Fields:
    """Bring what was sent into the form in which it is stored; None and empty stand for no value.

    Raises:
        Refusal: 400 for a phone that is none, 422 for an unknown custom field where these are refused.
    """
    fields = dict(sent)
    if fields.get("email"):
        fields["email"] = fields["email"].strip().lower()
    if fields.get("phone"):
        fields["phone"] = read_phone(fields["phone"], country)
    if fields.get("dateOfBirth"):
        fields["dateOfBirth"] = read_day(fields["dateOfBirth"])
    if "tags" in fields:
        fields["tags"] = clean_tags(fields["tags"])
    if "dndSettings" in fields:
        fields["dndSettings"] = {dnd_key(channel): value for channel, value in fields["dndSettings"].items()}
    if "customFields" in fields:
        fields["customFields"] = list(_read_custom_fields(fields["customFields"], definitions, refuse_unknown))
    return fields


def _read_custom_fields(sent: list[Fields], definitions: DefinedFields, refuse_unknown: bool) -> Iterator[Fields]:
    for field in sent:
        definition = definitions.find(field)
        if definition is None:
            if refuse_unknown:
                raise Refusal(422, [f"custom field {field.get('id') or field.get('key')} does not exist"])
            continue
        value = field.get("fieldValue", field.get("field_value"))
        stored = stored_value(definition, value)
        is_cleared = value is None or value in ("", [])
        if stored is not None or is_cleared:
            yield {"id": definition.id, "value": stored}


def apply(contact: Fields, fields: Fields, *, replaces_dnd: bool = False) -> None:
    """Change a stored contact in place; what is cleared goes away.

    Reports of the real service say both that `dndSettings` replace all channels and that they replace those that they
    name. Either way a channel that is closed for good stays.
    """
    for name, value in fields.items():
        if name == "customFields":
            merged = {field["id"]: field for field in [*contact["customFields"], *value]}
            contact[name] = [field for field in merged.values() if field["value"] is not None]
        elif name in ("dndSettings", "inboundDndSettings"):
            held = contact.get(name, {})
            contact[name] = {**(_closed_for_good(held) if replaces_dnd else held), **value}
        elif value is None or value == "":
            contact.pop(name, None)
        else:
            contact[name] = value
    if not NAMES.isdisjoint(fields):
        _complete_names(contact, fields)
    _add_lower_case_twins(contact)


def _closed_for_good(held: Fields) -> Fields:
    return {channel: setting for channel, setting in held.items() if setting.get("status") == "permanent"}


def _complete_names(contact: Fields, fields: Fields) -> None:
    """Split `name` where it came alone, and make it of the two parts where it did not come."""
    if fields.get("name") and not fields.get("firstName") and not fields.get("lastName"):
        first, _, last = fields["name"].strip().partition(" ")
        contact["firstName"] = first
        contact.pop("lastName", None)
        if last.strip():
            contact["lastName"] = last.strip()
    elif not fields.get("name"):
        name = " ".join(contact[part] for part in ("firstName", "lastName") if part in contact)
        contact.pop("name", None)
        if name:
            contact["name"] = name


def _add_lower_case_twins(contact: Fields) -> None:
    for name, twin in _TWINS.items():
        contact.pop(twin, None)
        if name in contact:
            contact[twin] = contact[name].lower()


def clean_tags(tags: list[str]) -> list[str]:
    """Tags as they are kept: trimmed, in lower case, each once."""
    return list(dict.fromkeys(tag.strip().lower() for tag in tags if tag.strip()))
