"""How each operation returns a contact: one table of what its answers hold, in which form, and under which names.

Contacts are kept as `normal_forms` says; every answer that holds one is made here.

Sources: the vendor's API reference for reads by id and for writes. It says nothing of what a search returns, and names
less than half of what lists do: these are as they were seen live
(https://github.com/GoHighLevel/highlevel-api-docs/issues/314, /185 and /43, and what other clients of the API read).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from .books import milliseconds
from .calls import spell_channels
from .shelves import Fields

Make: TypeAlias = Callable[[Any], Any]
"""Makes what is answered of what is kept."""


class AnswerShape(Struct, frozen=True):
    """How an operation returns a contact.

    Attributes:
        names: What its answers may hold, by their names on the wire.
        kept_as: Under which name a field is kept, where that is another.
        makes: How a field is formed, where it is not returned as it is kept.
        has_nulls: Whether what a contact lacks is null; otherwise it is left out.
        always: What is there of every contact, and its value where none is kept.
        derived: What is there of every contact, and how it is made where none is kept.
    """

    names: tuple[str, ...]
    kept_as: Mapping[str, str] = {}
    makes: Mapping[str, Make] = {}
    has_nulls: bool = False
    always: Mapping[str, Any] = {}
    derived: Mapping[str, Callable[[Fields], Any]] = {}

    def spell(self, contact: Fields, version: str) -> Fields:
        """Return a stored contact as the operation does in a version of the API."""
        answer: Fields = {}
        for name in self.names:
            value = contact.get(self.kept_as.get(name, name))
            if value is not None:
                answer[name] = self.makes[name](value) if name in self.makes else value
            elif name in self.always:
                answer[name] = self.always[name]
            elif name in self.derived:
                answer[name] = self.derived[name](contact)
            elif self.has_nulls and name not in _NEVER_NULL:
                answer[name] = None
        return spell_channels(answer, version)


# A contact that was never restricted has no do-not-disturb keys at all; attributions come where there are any.
_NEVER_NULL: Final = frozenset(
    "dndSettings inboundDndSettings attributions attributionSource lastAttributionSource".split()
)
_LISTS: Final[Mapping[str, Any]] = {"tags": [], "followers": [], "customFields": [], "additionalEmails": []}


def _split(names: str) -> tuple[str, ...]:
    return tuple(names.split())


def _midnight(day: str) -> str:
    return f"{day}T00:00:00.000Z"


def _attribution(contact: Fields) -> Fields:
    """Return where a contact came from that was made by a call: nobody clicked on anything."""
    return {"url": "", "campaign": None, "referrer": None, "medium": "api", "mediumId": contact["locationId"]}


WHOLE: Final = AnswerShape(
    _split("""
        id name locationId firstName lastName email emailLowerCase timezone companyName phone dnd dndSettings type
        source assignedTo address1 city state country postalCode website tags dateOfBirth dateAdded dateUpdated
        attachments ssn keyword firstNameLowerCase fullNameLowerCase lastNameLowerCase lastActivity customFields
        businessId attributionSource lastAttributionSource visitorId gender inboundDndSettings additionalEmails
        additionalPhones followers
    """),
    always={"attachments": "", "ssn": "", "keyword": ""},
    derived={
        "lastActivity": lambda contact: contact["dateUpdated"],
        "visitorId": lambda contact: contact["id"][::-1],  # any id that is not the contact's own
        "attributionSource": _attribution,
        "lastAttributionSource": _attribution,
    },
)
"""From a read by id, an upsert and an update, and from a creation with v3; the last line is not in the reference. That
of a duplicate, too, which no reference describes."""

CREATED: Final = AnswerShape(
    _split("""
        id dateAdded dateUpdated deleted tags type customFields locationId firstName firstNameLowerCase
        fullNameLowerCase lastName lastNameLowerCase email emailLowerCase bounceEmail unsubscribeEmail dnd
        dndSettings phone address1 city state country postalCode website source companyName dateOfBirth birthMonth
        birthDay lastSessionActivityAt offers products businessId assignedTo
    """),
    kept_as={"birthMonth": "dateOfBirth", "birthDay": "dateOfBirth"},
    makes={
        "dateOfBirth": _midnight,
        "birthMonth": lambda day: int(day[5:7]) - 1,  # the reference has 8 for September
        "birthDay": lambda day: int(day[8:]),
    },
    always={"deleted": False, "bounceEmail": False, "unsubscribeEmail": False},
)
"""From a creation before v3."""

FOUND: Final = AnswerShape(
    _split("""
        id phoneLabel country address source type locationId website dnd dndSettings inboundDndSettings state
        businessName customFields tags dateAdded additionalEmails phone companyName additionalPhones dateUpdated
        city dateOfBirth firstNameLowerCase lastNameLowerCase firstName lastName contactName email assignedTo
        followers validEmail postalCode businessId attributions attributionSource lastAttributionSource
    """),
    kept_as={"address": "address1", "contactName": "name"},
    makes={"contactName": str.lower, "dateOfBirth": milliseconds},
    has_nulls=True,
    always={**_LISTS, "additionalPhones": []},
)
"""From a search, beside `searchAfter`."""

_BY_CHANNEL: Final = ("dndSettings", "inboundDndSettings")
FOUND_WITHOUT_DND: Final = msgspec.structs.replace(
    FOUND, names=tuple(name for name in FOUND.names if name not in _BY_CHANNEL)
)
"""The same where searches leave out what is said of each channel."""

LISTED: Final = AnswerShape(
    _split("""
        id locationId contactName firstName lastName firstNameRaw lastNameRaw companyName email phone dnd
        dndSettings type source assignedTo city state postalCode address1 dateAdded dateUpdated dateOfBirth
        businessId tags followers country website timezone additionalEmails attributions customFields
    """),
    kept_as={"contactName": "name", "firstNameRaw": "firstName", "lastNameRaw": "lastName"},
    makes={"contactName": str.lower, "firstName": str.lower, "lastName": str.lower, "dateOfBirth": _midnight},
    has_nulls=True,
    always=_LISTS,
)
"""From the deprecated list of all contacts and from that of a business, of which the reference says the same."""
