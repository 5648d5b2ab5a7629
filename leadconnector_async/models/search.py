"""Contacts as searches and lists return them, a page at a time."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .contacts import AttributionSource, Contact
from .filters import Cursor
from .received import read_items, read_part, read_parts, read_received

AnyContact = TypeVar("AnyContact", bound=Contact)


class AdditionalEmail(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """One more address of a contact; the API cannot write these."""

    email: str | None = None


class AdditionalPhone(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """One more number of a contact; the API cannot write these."""

    phone: str | None = None
    phone_label: str | None = None


class FoundContact(Contact, kw_only=True):
    """A contact as a search or a list returned it: with fields of its own, and often without some that `get` has.

    Attributes:
        search_after: The contact's place in the order of the search, to go on behind it.
        first_name_raw: The first name as it was written, where a list has `first_name` in lower case.
        last_name_raw: The last name likewise.
    """

    contact_name: str | None = None
    first_name_raw: str | None = None
    last_name_raw: str | None = None
    address: str | None = None
    business_name: str | None = None
    phone_label: str | None = None
    valid_email: bool | None = None
    additional_emails: list[str | AdditionalEmail] | None = None
    additional_phones: list[str | AdditionalPhone] | None = None
    followers: list[str] | None = None
    attributions: list[AttributionSource] | None = None
    search_after: Cursor | None = None


class SearchPage(Struct, frozen=True, kw_only=True):
    """One page of a search.

    Attributes:
        contacts: In the order asked for.
        total: How many contacts match in all, or None where the service does not say.
        trace_id: The API's id of the call for its support, or None.
    """

    contacts: list[FoundContact]
    total: int | None = None
    trace_id: str | None = None

    @property
    def search_after(self) -> Cursor | None:
        """Where the next page begins, or None where this one is empty."""
        return self.contacts[-1].search_after if self.contacts else None


class ContactPage(Struct, frozen=True, kw_only=True):
    """One page of a list of contacts.

    Attributes:
        contacts: In the service's own order.
        count: How many contacts there are in all, or None where the service does not say.
        start_after: With `start_after_id` where the next page of a list begins, or None where the service names none.
        start_after_id: See `start_after`.
    """

    contacts: list[FoundContact]
    count: int | None = None
    start_after: int | None = None
    start_after_id: str | None = None


class _Meta(Struct, rename="camel"):
    total: int | None = None
    start_after: int | None = None
    start_after_id: str | None = None


def read_search_page(body: bytes) -> SearchPage:
    """Read the answer to a search."""
    parts = read_parts(body)
    return SearchPage(
        contacts=_read_contacts(parts),
        total=read_part(parts, "total", int),
        trace_id=read_part(parts, "traceId", str),
    )


def read_contact_page(body: bytes) -> ContactPage:
    """Read the answer to a list of contacts; where it goes on is told in `meta`, which the API's reference omits."""
    parts = read_parts(body)
    meta = read_part(parts, "meta", _Meta) or _Meta()
    count = read_part(parts, "count", int)
    return ContactPage(
        contacts=_read_contacts(parts),
        count=meta.total if count is None else count,
        start_after=meta.start_after,
        start_after_id=meta.start_after_id,
    )


def read_duplicate(body: bytes) -> Contact | None:
    """Read the answer to a search for a duplicate; none is told by a contact that is absent, null or has no id."""
    raw = read_parts(body).get("contact", msgspec.Raw(b"null"))
    found = msgspec.json.decode(raw, type=dict[str, Any] | None)
    return read_received(raw, Contact) if found and found.get("id") else None


def _read_contacts(parts: dict[str, msgspec.Raw]) -> list[FoundContact]:
    return [read_received(raw, FoundContact) for raw in read_items(parts, "contacts")]
