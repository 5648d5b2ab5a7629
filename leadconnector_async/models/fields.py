"""The one table of a contact's fields: what each holds, how its values compare, and what can be done with it.

Whatever walks over the fields of a contact reads `FIELDS`: comparing, skipping what is unchanged, filling what is
empty, verifying, tracing, restoring, exporting, checking cells and reading headers. A field that is added here, and to
the Structs, is known everywhere.

Sources: the vendor's specification says which fields are written and returned, and where null is allowed. For the
version 2023-02-21 there is only a white label's page about the upsert, which allows null in more fields but not in
`companyName`; creations and updates of that version are sent what both allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from .custom_fields import CustomFieldValue
from .dnd import DndSetting, DndSettings, InboundDndSetting, InboundDndSettings
from .normal import normal_email, normal_phone, normal_tags, phone_digits, read_birthday

AnySetting: TypeAlias = DndSetting | InboundDndSetting
AnySettings: TypeAlias = DndSettings | InboundDndSettings
_SETTINGS: Final = (DndSettings, InboundDndSettings)  # quicker to ask for than the union
Same: TypeAlias = Callable[[Any, Any], bool]
Operation: TypeAlias = Literal["create", "upsert", "update"]
"""What sends the fields of a contact."""
Key: TypeAlias = Literal["email", "phone"]
KEYS: Final[tuple[Key, ...]] = ("email", "phone")
"""What the service finds a contact by, in its usual order."""

# ---------------------------------------------------------------------------------------------- normal forms

# Each returns the same for all forms in which one value is sent, or comes back from different operations.


def is_empty(value: object) -> bool:
    """Whether a value is one of the ways to say that a field holds nothing; UNSET, which says nothing, is none."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value in ([], {}) or (isinstance(value, _SETTINGS) and not value.by_channel())


def _text(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value or ""


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


def _is_same_phone(sent: str | None, stored: str | None, *, exactly: bool = False) -> bool:
    if not sent or not stored:
        return not sent and not stored
    if normal_phone(sent) == normal_phone(stored):
        return True
    # A national number, of a country that only the location knows: its digits end the stored one.
    national = phone_digits(sent).lstrip("0")
    return "+" not in sent and len(national) >= _FEWEST_DIGITS and normal_phone(stored).endswith(national)


def _has_tags(sent: list[str], stored: list[str] | None, *, exactly: bool = False) -> bool:
    wanted = normal_tags(sent)
    if exactly or not wanted:
        return wanted == normal_tags(stored)
    return wanted.issubset(stored or ()) or wanted <= normal_tags(stored)  # the first is quick, and nearly always true


def _has_channels(sent: AnySettings, stored: AnySettings | None, *, exactly: bool = False) -> bool:
    return not differing_channels(sent, stored, exactly=exactly)


def _has_inbound(sent: AnySettings, stored: AnySettings | None, *, exactly: bool = False) -> bool:
    # The service's answers need not name it: without it nobody knows.
    return stored is None or _has_channels(sent, stored, exactly=exactly)


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
    # where an upsert goes, which contact it is for, how it works, and what the service alone writes
    "location", "contact", "option", "received",
]  # fmt: skip
"""What a field holds."""

_NORMAL: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    "word": lambda value: " ".join((value or "").split()).casefold(),
    "country": lambda value: (value or "").strip().upper(),
    "email": normal_email,
    "phone": lambda value: normal_phone(value or ""),
    "day": _day,
    "switch": bool,
    "channels": _channels,
    "inbound": _channels,
    "tags": normal_tags,
    "custom": _custom_fields,
}
_SAME: Final[Mapping[Kind, Callable[..., bool]]] = {
    "phone": _is_same_phone,
    "channels": _has_channels,
    "inbound": _has_inbound,
    "tags": _has_tags,
}
_OTHER_KINDS: Final[tuple[Kind, ...]] = ("switch", "channels", "inbound", "tags", "custom", "option", "received")
CHANNEL_KINDS: Final[tuple[Kind, ...]] = ("channels", "inbound")
PART_KINDS: Final[tuple[Kind, ...]] = (*CHANNEL_KINDS, "tags", "custom")
"""Of values in parts, of which each is compared and restored for itself."""


# ---------------------------------------------------------------------------------------------- the table


class ContactField(Struct, frozen=True):
    """A field of a contact.

    Attributes:
        name: Its name in Python.
        kind: What it holds.
        nulls: The operations that take null for it, by the version of the API.
        empty_upsert: What empties it in an upsert of a file's row; UNSET where nothing does.
        empty_update: What empties it in an update; UNSET where nothing does.
        restored_by: What can give it back the value that it had, an `update` or an `upsert`; empty where nothing can.
        group: A name for the fields that change together: a write of one of them may change the others.
        headers: Headers that mean it, in the form of `rules.consent.plain`, the best first.
        is_address: Whether it is a part of an address.
        is_filled: Whether to fill it where a contact lacks it.
        is_personal: Whether it says who somebody is; the service never fills it by itself.
        is_traced: Whether a trace has a checksum of it.
        is_unsure: Whether an answer of a whole contact may leave it out although it holds something.
        is_exported: Whether exports have it.
        is_searched: Whether a search can filter by it.
        is_sorted: Whether a search can be ordered by it.
    """

    name: str
    kind: Kind
    nulls: Mapping[str, str] = {}
    empty_upsert: Any = UNSET
    empty_update: Any = UNSET
    restored_by: str = ""
    group: str = ""
    headers: str = ""
    is_address: bool = False
    is_filled: bool = False
    is_personal: bool = False
    is_traced: bool = False
    is_unsure: bool = False
    is_exported: bool = False
    is_searched: bool = False
    is_sorted: bool = False

    @property
    def wire(self) -> str:
        """Its name on the wire."""
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    def takes_null(self, operation: Operation, version: str) -> bool:
        """Whether null may be sent for it."""
        return operation in self.nulls.get(version, "").split()

    def how_to_clear(self, operation: Operation) -> str:
        """Say what empties it where null does not."""
        if self.kind in _HOW_TO_CLEAR:
            return _HOW_TO_CLEAR[self.kind]
        value = self.empty_update if operation == "update" else self.empty_upsert
        if value is not UNSET:
            return 'send "" to empty it'
        return "nothing empties it" if self.empty_update is UNSET else "only an update can empty it"

    @property
    def is_stored(self) -> bool:
        """Whether a contact holds afterwards what is sent for it."""
        return self.kind not in ("location", "contact", "option", "received")

    @property
    def is_text(self) -> bool:
        """Whether it holds a text."""
        return self.kind not in _OTHER_KINDS

    @property
    def normal(self) -> Callable[[Any], Any]:
        """A function that returns a value in its normal form."""
        return _NORMAL.get(self.kind, _text)

    def comparer(self, *, exactly: bool = False) -> Same:
        """Return a function that says whether what is stored is what was sent, `exactly` as in `find_not_applied`."""
        normal, found = self.normal, _SAME.get(self.kind)
        if found is None:
            return lambda sent, stored: bool(normal(sent) == normal(stored))
        return partial(found, exactly=True) if exactly else found


_HOW_TO_CLEAR: Final[Mapping[Kind, str]] = {
    "tags": "send [] to remove all of them",
    "switch": "send False to switch it off",
    "channels": 'send the status "inactive" for each channel that is to be open',
    "inbound": 'send the status "inactive" for "all"',
    "custom": 'send "" as the value of each field that is to be empty',
    "location": "leave it out to use the client's location",
    "contact": "leave it out to match by email and phone",
    "option": "leave it out",
}


def _field(*columns: Any, traits: str = "", **more: Any) -> ContactField:
    more |= {f"is_{trait}": True for trait in traits.split()}
    return ContactField(*columns, **more)


def _received(names: str, traits: str = "") -> list[ContactField]:
    return [_field(name, "received", traits=traits) for name in names.split()]


_ALL: Final = dict.fromkeys(("2021-07-28", "2023-02-21", "v3"), "create upsert update")
_COMPANY: Final = dict.fromkeys(("2021-07-28", "v3"), "create upsert")
_UPDATE: Final = {"2021-07-28": "update", "2023-02-21": "upsert update", "v3": "update"}
_LATER: Final = {"2023-02-21": "upsert"}
_WHO, _TEXT = "filled personal traced exported searched", "filled traced exported"
_WHERE: Final = _WHO + " address"
_EMAILS: Final = (
    "emailaddress mail primaryemail email1 workemail businessemail email2 secondaryemail personalemail homeemail "
    "email3 otheremail additionalemail additionalemails"
)
_PHONES: Final = (
    "phonenumber telephone primaryphone phone1 mobile mobilephone mobilephonenumber mobilenumber cell cellphone "
    "workphone businessphone phone2 homephone phone3 otherphone additionalphone additionalphones"
)
# fmt: off
FIELDS: Final[tuple[ContactField, ...]] = (
    # What an upsert takes, in the order of an export's columns.
    # name, kind, nulls, what empties it in an upsert and in an update, what restores it
    _field("first_name", "text", _ALL, "", "", "update", group="names", traits="filled personal traced exported",
           headers="givenname first"),
    _field("last_name", "text", _ALL, "", "", "update", group="names", traits="filled personal traced exported",
           headers="familyname surname last"),
    # The service makes it of its parts; a trace of these is enough.
    _field("name", "word", _ALL, "", "", "update", group="names", traits="filled personal exported",
           headers="fullname contactname"),
    # The service refuses an empty text, which is no address and no number.
    _field("email", "email", _ALL, UNSET, None, "update", traits=_WHO + " sorted", headers=_EMAILS),
    _field("phone", "phone", _ALL, UNSET, None, "update", traits=_WHO, headers=_PHONES),
    _field("company_name", "text", _COMPANY, "", UNSET, "upsert", traits=_TEXT + " searched",
           headers="company organization organisation businessname"),
    _field("address1", "text", _ALL, "", "", "update", traits="address filled personal traced exported",
           headers="address street streetaddress addressline1"),
    _field("city", "text", _ALL, "", "", "update", traits=_WHERE),
    _field("state", "text", _ALL, "", "", "update", traits=_WHERE, headers="stateregion stateprovince region province"),
    _field("postal_code", "text", _LATER, "", "", "update", traits=_WHERE,
           headers="zip zipcode postcode zippostalcode"),
    _field("country", "country", {}, UNSET, UNSET, "update", traits=_TEXT + " address searched",
           headers="countryregion countrycode"),
    _field("website", "url", _ALL, "", "", "update", traits=_TEXT, headers="websiteurl url web homepage"),
    _field("timezone", "zone", _ALL, None, None, "update", traits=_TEXT),
    # The service never changes it once a contact is there.
    _field("gender", "word", _LATER, UNSET, UNSET, "", traits="traced unsure exported", headers="sex"),
    _field("date_of_birth", "day", _ALL, None, None, "update", traits=_TEXT, headers="birthday birthdate dob"),
    _field("source", "text", _UPDATE, "", "", "update", traits=_TEXT + " searched sorted",
           headers="leadsource contactsource"),
    _field("assigned_to", "id", _UPDATE, UNSET, None, "update", traits=_TEXT + " searched"),
    # A trace has each tag.
    _field("tags", "tags", {}, UNSET, [], "update", traits="exported searched", headers="tag labels"),
    # Channels are closed whatever else of a contact is filled.
    _field("dnd", "switch", _LATER, UNSET, False, "update", group="dnd", traits="traced exported searched sorted",
           headers="donotdisturb"),
    _field("dnd_settings", "channels", {}, UNSET, UNSET, "update", group="dnd", traits="traced exported"),
    _field("inbound_dnd_settings", "inbound", {}, UNSET, UNSET, "update", traits=_TEXT),
    _field("custom_fields", "custom", {}, UNSET, UNSET, "update", traits=_TEXT),
    # An export of one location is often for another.
    # The white label's page takes null for it; a location is named in every call all the same.
    _field("location_id", "location"),
    _field("id", "contact", traits="searched", headers="contactid"),
    _field("create_new_if_duplicate_allowed", "option", _LATER),
    # What the service alone writes, and what only searches and lists return.
    *_received("additional_emails additional_phones", "exported"),
    *_received("type business_id", "traced exported"),
    *_received("date_added date_updated", "exported searched sorted"),
    *_received("ssn keyword attachments bounce_email unsubscribe_email", "traced"),
    *_received("first_name_lower_case last_name_lower_case", "searched sorted"),
    *_received("contact_name address business_name followers", "searched"),
    *_received("email_lower_case full_name_lower_case last_activity last_session_activity_at visitor_id"),
    *_received("attribution_source last_attribution_source deleted birth_month birth_day offers products"),
    *_received("first_name_raw last_name_raw phone_label valid_email attributions search_after"),
)
# fmt: on
FIELD_OF: Final[Mapping[str, ContactField]] = {field.name: field for field in FIELDS}
"""The fields by their names in Python."""
UPSERT_FIELDS: Final = tuple(field for field in FIELDS if field.kind != "received")
"""Those that an upsert takes."""
NAMES: Final = tuple(field.name for field in FIELDS if field.group == "names")
"""A name and its parts, which change together; the whole name is the last one."""
GROUPS: Final = [
    frozenset(field.name for field in FIELDS if field.group == group)
    for group in dict.fromkeys(field.group for field in FIELDS if field.group)
]
"""The names of the fields that change together, by group."""


def given_fields(contact: Struct) -> Iterable[ContactField]:
    """Return the fields that an upsert or an update sets, also those that it sets to nothing."""
    return (field for field in UPSERT_FIELDS if getattr(contact, field.name, UNSET) is not UNSET)
