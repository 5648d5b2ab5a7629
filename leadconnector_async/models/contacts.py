"""Contacts as they are sent and as they come back.

Fields are snake_case here and camelCase on the wire. In what is sent, absent (`UNSET`, the default), null (`None`) and
empty (`""`, `[]`) are three different things. In what is received, a field that is absent or null is `None`;
`Contact.raw` is the answer to the letter.

Source: the vendor's API reference, https://marketplace.gohighlevel.com/docs/ghl/contacts/upsert-contact
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .custom_fields import CustomField, CustomFieldValue
from .dnd import DndSettings, InboundDndSettings, Text
from .structs import JSON, Received, wire_names_of

# ---------------------------------------------------------------------------------------------- shapes

# The service returns the same contact in several shapes: a search calls the street `address`, gives the birthday in
# milliseconds and leaves the time zone out; a list has names in lower case, and as they were written beside them. A
# birthday is read in any of its forms in every shape.
#
# Sources: the vendor's API reference. It says nothing of searches; what they return was seen live:
# https://github.com/GoHighLevel/highlevel-api-docs/issues/314 (names and birthdays), /185 (no time zone) and /43 (no
# `dndSettings`, which others have seen since).

ShapeName: TypeAlias = Literal["whole", "created", "found", "listed", "duplicate"]


class Shape(Struct, frozen=True):
    """How an operation returns a contact.

    Attributes:
        is_whole: Whether a field that is absent is empty. Otherwise nothing is known of it.
        sources: Fields of `Contact` that may come under other names: the fields of `FoundContact` to take each from, of
            which the first that holds anything counts.
    """

    is_whole: bool = False
    sources: Mapping[str, tuple[str, ...]] = {}

    def sources_of(self, field: str) -> tuple[str, ...]:
        """Return the fields from which a field is taken."""
        return self.sources.get(field, (field,))


_STREET: Final = {"address1": ("address1", "address")}
_NAMES: Final = {
    "first_name": ("first_name_raw", "first_name"),
    "last_name": ("last_name_raw", "last_name"),
    "name": ("name", "contact_name"),
}

SHAPES: Final[Mapping[ShapeName, Shape]] = {
    # by id, from an upsert and an update, and from a creation with v3
    "whole": Shape(is_whole=True),
    # from a creation before v3: without name, timezone and others
    "created": Shape(),
    "found": Shape(sources=_STREET | _NAMES),
    # from the deprecated list and that of a business
    "listed": Shape(sources=_NAMES),
    # from a search for a duplicate, which no reference describes
    "duplicate": Shape(sources=_STREET | _NAMES),
}


def written_name(name: str, first_name: str | None, last_name: str | None) -> str | None:
    """Return a whole name as it was written, where it came as `contactName`, which often is in lower case.

    Args:
        name: As it came.
        first_name: As it was written.
        last_name: As it was written.

    Returns:
        The two parts where the name is made of them, the name itself where it cannot have been lowered, and None where
        nobody knows.
    """
    parts = " ".join(part for part in (first_name, last_name) if part)
    if name.lower() == parts.lower():
        return parts
    return None if name == name.lower() != name.upper() else name


NullableText: TypeAlias = str | UnsetType | None
"""A text that the API also lets one set to null, in some versions and operations; `fields` says in which."""
NullableFlag: TypeAlias = bool | UnsetType | None
"""Likewise."""

if TYPE_CHECKING:
    Birthday: TypeAlias = str
    """`YYYY-MM-DD`."""
else:
    Birthday = str | int | float  # as it may come; `wire` makes a text of it


# gc=False: contacts hold no cycles, and a list of half a million of them should not slow down each garbage collection.
class _Writable(Struct, kw_only=True, rename="camel", omit_defaults=True, repr_omit_defaults=True, gc=False):
    """The fields that both an upsert and an update take."""

    first_name: NullableText = UNSET
    last_name: NullableText = UNSET
    name: NullableText = UNSET
    email: NullableText = UNSET
    phone: NullableText = UNSET
    address1: NullableText = UNSET
    city: NullableText = UNSET
    state: NullableText = UNSET
    postal_code: NullableText = UNSET
    country: Text = UNSET
    website: NullableText = UNSET
    timezone: NullableText = UNSET
    dnd: NullableFlag = UNSET
    dnd_settings: DndSettings | UnsetType = UNSET
    inbound_dnd_settings: InboundDndSettings | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    custom_fields: list[CustomField] | UnsetType = UNSET
    date_of_birth: NullableText = UNSET


class ContactUpsert(_Writable, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A contact to create, or to update where its email or phone is known.

    Fields that are not set are left as they are on the service. `tags` replaces all tags of the contact. `country`
    is an ISO 3166 code of two letters; `date_of_birth` best is `YYYY-MM-DD`; `assigned_to` is a user's id.

    With an `id`, it updates that contact and never creates one; `email` and `phone` are then fields like any others.
    """

    id: Text = UNSET
    location_id: Text = UNSET
    gender: NullableText = UNSET
    company_name: NullableText = UNSET
    source: NullableText = UNSET
    assigned_to: NullableText = UNSET
    create_new_if_duplicate_allowed: NullableFlag = UNSET


class ContactUpdate(_Writable, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Changes to a contact known by its id; the API takes no `gender`, `company_name` or `location_id` here."""

    source: NullableText = UNSET
    assigned_to: NullableText = UNSET


class AttributionSource(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """Where a contact came from."""

    url: str | None = None
    campaign: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_content: str | None = None
    referrer: str | None = None
    campaign_id: str | None = None
    fbclid: str | None = None
    gclid: str | None = None
    msclikid: str | None = None
    dclid: str | None = None
    fbc: str | None = None
    fbp: str | None = None
    fb_event_id: str | None = None
    user_agent: str | None = None
    ip: str | None = None
    medium: str | None = None
    medium_id: str | None = None


class Contact(Received, kw_only=True):
    """A contact as the service returned it, in the same form whichever operation did.

    Times are ISO 8601 texts in UTC; `date_of_birth` is `YYYY-MM-DD`. A field that is None is empty only where `knows`
    says so. `birth_month` is the service's own number, which its reference counts from 0.
    """

    id: str
    location_id: str | None = None
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    email_lower_case: str | None = None
    phone: str | None = None
    company_name: str | None = None
    gender: str | None = None
    address1: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    website: str | None = None
    timezone: str | None = None
    date_of_birth: Birthday | None = None
    dnd: bool | None = None
    dnd_settings: DndSettings | None = None
    inbound_dnd_settings: InboundDndSettings | None = None
    tags: list[str] | None = None
    custom_fields: list[CustomFieldValue] | None = None
    type: str | None = None
    source: str | None = None
    assigned_to: str | None = None
    date_added: str | None = None
    date_updated: str | None = None
    last_activity: str | None = None
    last_session_activity_at: str | None = None
    first_name_lower_case: str | None = None
    last_name_lower_case: str | None = None
    full_name_lower_case: str | None = None
    attachments: str | list[JSON] | None = None
    ssn: str | None = None
    keyword: str | None = None
    business_id: str | None = None
    attribution_source: AttributionSource | None = None
    last_attribution_source: AttributionSource | None = None
    visitor_id: str | None = None
    deleted: bool | None = None
    bounce_email: bool | None = None
    unsubscribe_email: bool | None = None
    birth_month: int | None = None
    birth_day: int | None = None
    offers: list[str] | None = None
    products: list[str] | None = None

    @property
    def not_applied(self) -> tuple[NotApplied, ...]:
        """Of a contact that `create` or `update` returned: what was sent and is not stored, as far as the answer shows
        it, and channels of `dnd_settings` that the service refused to change, so that the call was sent again without
        them; see `PermanentDndError`."""
        refused: tuple[NotApplied, ...] = self.__dict__.get("_not_applied", ())
        return refused

    @property
    def raw(self) -> bytes:
        """The contact's JSON to the letter as it was received (encoded anew where it was not received)."""
        answer: bytes | None = self.__dict__.get("_answer")
        # An upsert keeps its whole answer: to look for the contact's part costs time that most calls can do without.
        return super().raw if answer is None else bytes(_OF_ANSWER.decode(answer).contact)

    @property
    def is_whole(self) -> bool:
        """Whether every field is known, as of a contact that was read by its id and holds nothing strange."""
        beside = self.__dict__
        return "_shape_name" not in beside and not (beside.get("_strange_names") and self._unread())

    def knows(self, name: str) -> bool:
        """Whether the answer says what a field holds, also where that is nothing.

        Searches and lists leave fields out, and what cannot be read, or only in part, is in `extra`: neither is to pass
        for all that is there.

        Args:
            name: The field, by its name in Python.
        """
        return self.is_whole or (self._is_received(name) and name not in self._unread())

    def _unread(self) -> dict[str, str]:
        if not self._strange:
            return {}
        names = wire_names_of(type(self))
        return {
            field: names[source]
            for field in names
            for source in reversed(self._shape.sources_of(field))
            if names.get(source) in self._strange and self._lacks_all_of(field)
        }

    def _lacks_all_of(self, field: str) -> bool:
        """Whether a strange value under one of its names leaves a field without all that it holds."""
        return getattr(self, field) is None or self._shape.sources_of(field) == (field,)

    def _is_received(self, field: str) -> bool:
        if self._shape.is_whole:
            return True
        if field == "name" and self.name is None and getattr(self, "contact_name", None):
            return False  # it came in lower case, and nobody knows how it is written
        names = wire_names_of(type(self))
        return any(names.get(source) in self._received for source in self._shape.sources_of(field))

    @property
    def _received(self) -> frozenset[str]:
        received: frozenset[str] | None = self.__dict__.get("_received_names")
        if received is None:
            received = frozenset(msgspec.json.decode(self.raw, type=dict[str, msgspec.Raw]))
            self.__dict__["_received_names"] = received
        return received

    @property
    def _shape(self) -> Shape:
        return SHAPES[self.__dict__.get("_shape_name", "whole")]


class NotApplied(Struct, frozen=True, gc=False):
    """A field that did not arrive.

    Attributes:
        field: Its name in Python; a custom field as `custom_fields.` and its id or key.
        sent: What was sent; of do-not-disturb settings only the channels that did not arrive.
        stored: What the service has in its place, or None.
    """

    field: str
    sent: Any
    stored: Any


class UpsertResult(Struct, frozen=True, kw_only=True, gc=False):
    """What an upsert did.

    Attributes:
        new: True where the contact was created, False where one was updated; see `is_new_by_date`.
        is_new_by_date: Where the answer to an earlier try was lost and this one says that the contact is not new,
            whether the earlier try created it. True is an inference: `dateAdded` lies within that very try, and the
            contact holds nothing but what was sent, but somebody else may have sent the same just then; `new` is True
            as well. False: the contact is older. None: it cannot be told, or no answer was lost.
        contact: The contact as it is stored now.
        trace_id: The API's id of the call for its support, or None.
        attempts: Tries it took, not counting those that were rate-limited (HTTP 429).
        rate_limited: Tries that were rate-limited (HTTP 429).
        not_applied: What was sent and is not stored, and channels of `dnd_settings` that the service refused to change,
            so that the upsert was sent again without them: see `PermanentDndError`. Loads report it in their outcomes.
    """

    new: bool
    contact: Contact
    trace_id: str | None = None
    attempts: int = 1
    rate_limited: int = 0
    is_new_by_date: bool | None = None
    not_applied: tuple[NotApplied, ...] = ()


class _RawAnswer(Struct):
    contact: msgspec.Raw


_OF_ANSWER: Final = msgspec.json.Decoder(_RawAnswer)
