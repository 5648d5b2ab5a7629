"""The one table of a contact's fields: what each holds, how its values compare, and what can be done with it.

Whatever walks over the fields of a contact reads `FIELDS`: comparing, skipping what is unchanged, filling what is
empty, verifying, tracing, restoring, exporting, checking cells and reading headers. A field that is added here, and to
the Structs, is known everywhere.

Sources: the vendor's specification says which fields are written and returned, and where null is allowed. That of the
version 2023-02-21 is a page of one white label, which allows null in more fields but not in `companyName`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from .custom_fields import CustomFieldValue
from .dnd import DndSetting, DndSettings, InboundDndSetting, InboundDndSettings
from .normal import normal_email, normal_phone, normal_tags, phone_digits, read_birthday

AnySetting: TypeAlias = DndSetting | InboundDndSetting
AnySettings: TypeAlias = DndSettings | InboundDndSettings
Same: TypeAlias = Callable[[Any, Any], bool]
Key: TypeAlias = Literal["email", "phone"]
KEYS: Final[tuple[Key, ...]] = ("email", "phone")
"""What the service finds a contact by, in its usual order."""

# ---------------------------------------------------------------------------------------------- normal forms

# Each returns the same for all forms in which one value is sent, or comes back from different operations.


def is_empty(value: object) -> bool:
    """Whether a value is one of the ways to say that a field holds nothing; UNSET, which says nothing, is none."""
    if isinstance(value, AnySettings):
        return not value.by_channel()
    return value is None or value in ("", [], {}) or (isinstance(value, str) and value.isspace())


def _text(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value or ""


def _words(value: str | None) -> str:
    return " ".join((value or "").split()).casefold()


def _code(value: str | None) -> str:
    return (value or "").strip().upper()


def _phone(value: str | None) -> str:
    return normal_phone(value or "")


def _day(value: str | None) -> str:
    try:
        return read_birthday(value) or ""
    except ValueError:
        return (value or "").strip()


def _channels(value: AnySettings | None) -> dict[str, tuple[str, ...]]:
    """Leave out what is open without a word: the service may as well not name it."""
    said = {} if value is None else {channel: words_of(setting) for channel, setting in value.by_channel().items()}
    return {channel: words for channel, words in said.items() if words != _OPEN}


def words_of(setting: AnySetting | None) -> tuple[str, str, str]:
    """Return status, message and code of a channel; one that is not named is open. No word, null and "" are the
    same."""
    if setting is None:
        return _OPEN
    return setting.status, setting.message or "", getattr(setting, "code", UNSET) or ""


_OPEN: Final = ("inactive", "", "")


def _custom_fields(value: Iterable[CustomFieldValue] | None) -> dict[str, Any]:
    return {field.id: normal_value(field.value) for field in value or () if not is_empty(field.value)}


def normal_value(value: Any) -> Any:
    """Return what a custom field holds in its normal form: options in any order, a number as text."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format(Decimal(repr(value)).normalize(), "f")
    return sorted(map(str, value)) if isinstance(value, list) else value


# ---------------------------------------------------------------------------------------------- comparing

_FEWEST_DIGITS: Final = 7
_OF_PARTS: Final = (list, dict)
_NUMBER: Final = re.compile(r"-?(?:[1-9]\d{0,2}(?:,\d{3})+|0|[1-9]\d*)(?:\.\d+)?", re.ASCII)


def _is_same_phone(sent: str | None, stored: str | None) -> bool:
    if not sent or not stored:
        return not sent and not stored
    if normal_phone(sent) == normal_phone(stored):
        return True
    # A national number, of a country that only the location knows: its digits end the stored one.
    national = phone_digits(sent).lstrip("0")
    return "+" not in sent and len(national) >= _FEWEST_DIGITS and normal_phone(stored).endswith(national)


def _has_tags(sent: list[str], stored: list[str] | None) -> bool:
    wanted = normal_tags(sent)
    if not wanted:
        return not normal_tags(stored)
    return wanted.issubset(stored or ()) or wanted <= normal_tags(stored)  # the first is quick, and nearly always true


def differing_channels(sent: AnySettings, stored: AnySettings | None, *, exactly: bool = False) -> list[str]:
    """Return the channels that are not as they were sent, by their keys on the wire.

    A channel that was to be closed is as sent however it is closed: permanently, or in a word that is not known. One
    that was to be opened is as sent where nothing is said of it.

    Args:
        sent: What was sent.
        stored: What is there.
        exactly: Whether the messages and codes that were sent must be there, too.
    """
    held = {} if stored is None else stored.by_channel()
    return [
        channel
        for channel, setting in sent.by_channel().items()
        if not _is_as_set(setting, held.get(channel)) or (exactly and not _has_words(setting, held.get(channel)))
    ]


def _is_as_set(sent: AnySetting, stored: AnySetting | None) -> bool:
    if sent.status == "permanent":
        return stored is not None and stored.status == "permanent"
    return sent.is_closed == (stored is not None and stored.is_closed)


def _has_words(sent: AnySetting, stored: AnySetting | None) -> bool:
    if stored is not None and not stored.is_settable:
        return True  # a channel that is closed in any other way keeps its words
    return all(not word or word == held for word, held in zip(words_of(sent), words_of(stored), strict=True))


def is_same_value(sent: Any, stored: Any, *, exactly: bool = False) -> bool:
    """Whether what a custom field holds is what was sent for it.

    Args:
        sent: What was sent.
        stored: What is there.
        exactly: Whether nothing may be there beside what was sent, and no text may be written in another way.
    """
    if sent == stored:
        return True
    if is_empty(sent) or is_empty(stored):
        return is_empty(sent) and is_empty(stored)
    if isinstance(sent, _OF_PARTS):
        wanted, held = set(map(str, sent)), set(map(str, stored)) if isinstance(stored, type(sent)) else set[str]()
        return wanted == held if exactly else wanted <= held
    if normal_value(sent) == normal_value(stored):
        return True
    are_texts = isinstance(sent, str) and isinstance(stored, str)
    return not (exactly and are_texts) and _is_same_number(sent, stored, are_texts=are_texts)


def _is_same_number(sent: Any, stored: Any, *, are_texts: bool) -> bool:
    """Compare numbers to the last digit. Two texts may be no numbers at all, but codes such as 007 or +49."""
    texts = [str(normal_value(value)) for value in (sent, stored)]
    if are_texts and not all(map(_NUMBER.fullmatch, texts)):
        return False
    try:
        one, other = (Decimal(text.replace(",", "")) for text in texts)
    except ArithmeticError:
        return False
    return one.is_finite() and bool(one == other)


# ---------------------------------------------------------------------------------------------- kinds of values

Kind: TypeAlias = Literal[
    # texts
    "text", "word", "country", "email", "phone", "day", "zone", "url", "id",
    # others that are compared
    "switch", "channels", "inbound", "tags", "custom",
    # where an upsert goes, how it works, and what the service alone writes
    "location", "option", "received",
]  # fmt: skip
"""What a field holds."""

_NORMAL: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    "word": _words,
    "country": _code,
    "email": normal_email,
    "phone": _phone,
    "day": _day,
    "switch": bool,
    "channels": _channels,
    "inbound": _channels,
    "tags": normal_tags,
    "custom": _custom_fields,
}
_SAME: Final[Mapping[Kind, Same]] = {
    "phone": _is_same_phone,
    "channels": lambda sent, stored: not differing_channels(sent, stored),
    # The service's answers need not name it, so that nothing can be said then.
    "inbound": lambda sent, stored: stored is None or not differing_channels(sent, stored),
    "tags": _has_tags,
}
_SAME_EXACTLY: Final[Mapping[Kind, Same]] = {
    "phone": _is_same_phone,
    "channels": lambda sent, stored: not differing_channels(sent, stored, exactly=True),
    "inbound": lambda sent, stored: stored is None or not differing_channels(sent, stored, exactly=True),
}
CHANNEL_KINDS: Final = ("channels", "inbound")


# ---------------------------------------------------------------------------------------------- the table

NullIn: TypeAlias = Literal["upsert", "update", "2023-02-21"]
_ALL: Final[tuple[NullIn, ...]] = ("upsert", "update", "2023-02-21")


class ContactField(Struct, frozen=True, kw_only=True):
    """A field of a contact.

    Attributes:
        name: Its name in Python.
        kind: What it holds.
        group: A name for the fields that change together: a write of one of them may change the others.
        headers: Headers that mean it, in the form of `rules.consent.plain`, the best first.
        nulls: What takes null for it: an `upsert` or an `update` of the versions 2021-07-28 and v3; 2023-02-21.
        empty_upsert: What empties it in an upsert read from a file; UNSET where nothing does.
        empty_update: What empties it in an update; UNSET where nothing does.
        restored_by: What can give it back the value that it had; None where nothing can.
        is_filled: Whether to fill it where a contact lacks it.
        is_personal: Whether it says who somebody is; the service never fills it by itself.
        is_traced: Whether a trace holds a checksum of it.
        is_always_named: Whether every answer of a whole contact names it where it holds something.
        is_exported: Whether exports hold it.
    """

    name: str
    kind: Kind = "text"
    group: str = ""
    headers: str = ""
    nulls: tuple[NullIn, ...] = ()
    empty_upsert: Any = UNSET
    empty_update: Any = UNSET
    restored_by: Literal["update", "upsert"] | None = "update"
    is_filled: bool = False
    is_personal: bool = False
    is_traced: bool = True
    is_always_named: bool = True
    is_exported: bool = True

    @property
    def wire(self) -> str:
        """Its name on the wire."""
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def is_stored(self) -> bool:
        """Whether a contact holds afterwards what is sent for it."""
        return self.kind not in ("location", "option", "received")

    @property
    def normal(self) -> Callable[[Any], Any]:
        """A function that returns a value in its normal form."""
        return _NORMAL.get(self.kind, _text)

    def comparer(self, *, exactly: bool = False) -> Same:
        """Return a function that says whether what is stored is what was sent, `exactly` as in `find_not_applied`."""
        normal = self.normal
        found = (_SAME_EXACTLY if exactly else _SAME).get(self.kind)
        return found or (lambda sent, stored: bool(normal(sent) == normal(stored)))


def _texts(names: str, **more: Any) -> list[ContactField]:
    """Return fields that hold a text which can be filled, emptied and restored."""
    usual = {"nulls": _ALL, "empty_upsert": "", "empty_update": "", "is_filled": True}
    return [ContactField(**{**usual, "name": name, **more}) for name in names.split()]


def _received(names: str, *, is_traced: bool = False, is_exported: bool = False) -> list[ContactField]:
    return [
        ContactField(name=name, kind="received", restored_by=None, is_traced=is_traced, is_exported=is_exported)
        for name in names.split()
    ]


FIELDS: Final[tuple[ContactField, ...]] = (
    # In the order of the columns of an export.
    *_texts("first_name", group="names", is_personal=True, headers="givenname first"),
    *_texts("last_name", group="names", is_personal=True, headers="familyname surname last"),
    # The service makes it of its parts, so that a trace of them is enough.
    *_texts("name", kind="word", group="names", is_personal=True, is_traced=False, headers="fullname contactname"),
    *_texts(
        "email",
        kind="email",
        empty_upsert=UNSET,
        empty_update=None,  # the service refuses "", which is no address
        is_personal=True,
        headers="emailaddress mail primaryemail email1 workemail businessemail email2 secondaryemail personalemail "
        "homeemail email3 otheremail additionalemail additionalemails",
    ),
    *_texts(
        "phone",
        kind="phone",
        empty_upsert=UNSET,
        empty_update=None,
        is_personal=True,
        headers="phonenumber telephone primaryphone phone1 mobile mobilephone mobilephonenumber mobilenumber cell "
        "cellphone workphone businessphone phone2 homephone phone3 otherphone additionalphone additionalphones",
    ),
    *_texts(
        "company_name",
        nulls=("upsert",),
        empty_update=UNSET,
        restored_by="upsert",  # an update does not take it
        headers="company organization organisation businessname",
    ),
    *_texts("address1", is_personal=True, headers="address street streetaddress addressline1"),
    *_texts("city", is_personal=True),
    *_texts("state", is_personal=True, headers="stateregion stateprovince region province"),
    *_texts("postal_code", nulls=("2023-02-21",), is_personal=True, headers="zip zipcode postcode zippostalcode"),
    *_texts(
        "country",
        kind="country",
        nulls=(),
        empty_upsert=UNSET,
        empty_update=UNSET,
        headers="countryregion countrycode",
    ),
    *_texts("website", kind="url", headers="websiteurl url web homepage"),
    *_texts("timezone", kind="zone", empty_upsert=None, empty_update=None),
    ContactField(
        name="gender",
        kind="word",
        nulls=("2023-02-21",),
        restored_by=None,  # the service never changes it once a contact is there
        is_always_named=False,
        headers="sex",
    ),
    *_texts("date_of_birth", kind="day", empty_upsert=None, empty_update=None, headers="birthday birthdate dob"),
    *_texts("source", nulls=("update", "2023-02-21"), headers="leadsource contactsource"),
    *_texts("assigned_to", kind="id", nulls=("update", "2023-02-21"), empty_upsert=UNSET, empty_update=None),
    # A trace holds each tag.
    ContactField(name="tags", kind="tags", empty_update=[], is_traced=False, headers="tag labels"),
    # Channels are closed whatever else of a contact is filled.
    ContactField(
        name="dnd", kind="switch", group="dnd", nulls=("2023-02-21",), empty_update=False, headers="donotdisturb"
    ),
    ContactField(name="dnd_settings", kind="channels", group="dnd"),
    ContactField(name="inbound_dnd_settings", kind="inbound", is_filled=True),
    ContactField(name="custom_fields", kind="custom", is_filled=True),
    ContactField(
        name="location_id",
        kind="location",
        nulls=("2023-02-21",),
        restored_by=None,
        is_traced=False,
        is_exported=False,  # an export of one location is often for another
    ),
    ContactField(
        name="create_new_if_duplicate_allowed",
        kind="option",
        nulls=("2023-02-21",),
        restored_by=None,
        is_traced=False,
        is_exported=False,
    ),
    # What the service alone writes.
    *_received("additional_emails additional_phones", is_exported=True),
    *_received("type business_id", is_traced=True, is_exported=True),
    *_received("date_added date_updated", is_exported=True),
    *_received("ssn keyword attachments bounce_email unsubscribe_email", is_traced=True),
    *_received("id email_lower_case first_name_lower_case last_name_lower_case full_name_lower_case"),
    *_received("last_activity last_session_activity_at attribution_source last_attribution_source visitor_id"),
    *_received("deleted birth_month birth_day offers products"),
    # What searches and lists return, some of it under names of their own.
    *_received("contact_name first_name_raw last_name_raw address business_name phone_label valid_email followers"),
    *_received("attributions search_after"),
)
FIELD_OF: Final[Mapping[str, ContactField]] = {field.name: field for field in FIELDS}
"""The fields by their names in Python."""
UPSERT_FIELDS: Final = tuple(field for field in FIELDS if field.kind != "received")
"""Those that an upsert takes."""
NAMES: Final = tuple(field.name for field in FIELDS if field.group == "names")
"""A name and its parts, which change together; the whole name is the last one."""


def given_fields(contact: Struct) -> Iterable[ContactField]:
    """Return the fields that an upsert or an update sets, also those that it sets to nothing."""
    return (field for field in UPSERT_FIELDS if getattr(contact, field.name, UNSET) is not UNSET)
