"""Contacts as searches and lists return them, a page at a time."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from .contacts import AttributionSource, Contact
from .filters import Cursor
from .received import read_items, read_part, read_parts
from .shapes import ShapeName
from .wire import read_contact


class AdditionalEmail(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """One more address of a contact; the API cannot write these."""

    email: str | None = None


class AdditionalPhone(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """One more number of a contact; the API cannot write these."""

    phone: str | None = None
    phone_label: str | None = None


class FoundContact(Contact, kw_only=True):
    """A contact as a search or a list returned it: with fields of its own, and without some that `get` has.

    What both have stands under the same names, whatever the operation calls it; `knows` says what was left out.

    Attributes:
        contact_name: The whole name, often in lower case; `name` is as it was written.
        first_name_raw: The first name as a list returns it beside one in lower case; `first_name` holds it, too.
        last_name_raw: The last name likewise.
        address: The street as a search returns it; `address1` holds it, too.
        search_after: The contact's place in the order of the search, to go on behind it.
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

    def take_over(self, whole: Contact) -> None:
        """Take over what a read by its id said of the same contact; what searches alone tell stays."""
        for name in Contact.__struct_fields__:
            setattr(self, name, getattr(whole, name))
        self.__dict__.clear()
        self.__dict__.update(_raw=whole.raw, _strange_names=whole._strange)


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
        contacts=_read_contacts(parts, "found"),
        total=read_part(parts, "total", int),
        trace_id=read_part(parts, "traceId", str),
    )


def read_contact_page(body: bytes) -> ContactPage:
    """Read the answer to a list of contacts; where it goes on is told in `meta`, which the API's reference omits."""
    parts = read_parts(body)
    meta = read_part(parts, "meta", _Meta) or _Meta()
    count = read_part(parts, "count", int)
    return ContactPage(
        contacts=_read_contacts(parts, "listed"),
        count=meta.total if count is None else count,
        start_after=meta.start_after,
        start_after_id=meta.start_after_id,
    )


def read_duplicate(body: bytes) -> Contact | None:
    """Read the answer to a search for a duplicate; none is told by a contact that is absent, null or has no id."""
    raw = read_parts(body).get("contact", msgspec.Raw(b"null"))
    found = msgspec.json.decode(raw, type=dict[str, Any] | None)
    return read_contact(raw, FoundContact, "duplicate") if found and found.get("id") else None


def _read_contacts(parts: dict[str, msgspec.Raw], shape: ShapeName) -> list[FoundContact]:
    return [read_contact(raw, FoundContact, shape) for raw in read_items(parts, "contacts")]
