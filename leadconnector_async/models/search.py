"""Contacts as searches and lists return them, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..errors import UsageError
from .contacts import AttributionSource, Contact, ShapeName
from .fields import FIELDS
from .given import is_missing
from .structs import JSON, SentStruct, format_time, read_items, read_part, read_parts
from .wire import read_contact

# ---------------------------------------------------------------------------------------------- filters

# Source: the vendor's guide to its search API, https://doc.clickup.com/8631005/d/h/87cpx-158396/6e629989abe7fad

Operator: TypeAlias = Literal["eq", "not_eq", "contains", "not_contains", "exists", "not_exists", "range"]
"""How a filter compares; `exists` and `not_exists` take no value, `range` takes a `Range`."""
Moment: TypeAlias = str | int | float | datetime
"""A bound of a range: a time as `datetime` (with its zone) or ISO 8601 text, or a number."""
Cursor: TypeAlias = list[JSON]
"""The place of a contact in the order of a search; it goes back to the service as it came."""

SORT_FIELDS: Final = {field.name: field.wire for field in FIELDS if field.is_sorted}
"""The fields that a search can be ordered by, and their names on the wire."""
SEARCH_FIELDS: Final = {field.name: field.wire for field in FIELDS if field.is_searched} | {
    "is_valid_whatsapp": "isValidWhatsapp",
    "last_email_clicked_date": "lastEmailClickedDate",
    "last_email_opened_date": "lastEmailOpenedDate",
    "dnd_settings.email.status": "dndSettings.Email.status",
    "dnd_settings.sms.status": "dndSettings.SMS.status",
    "dnd_settings.call.status": "dndSettings.Call.status",
    "inbound_dnd_settings.all.status": "inboundDndSettings.all.status",
}
"""The fields that a filter takes, and their names on the wire; custom fields are `custom_fields.` and their id."""

_OPERATORS: Final = ("eq", "not_eq", "contains", "not_contains", "exists", "not_exists", "range")
_CUSTOM: Final = ("custom_fields.", "customFields.")
_MAX_CHARS: Final = 75  # of a value, and of the free text


class Range(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """From and to, each with (`gte`, `lte`) or without (`gt`, `lt`) the bound itself; at least one is given."""

    gte: Moment | None = None
    gt: Moment | None = None
    lte: Moment | None = None
    lt: Moment | None = None

    def __post_init__(self) -> None:
        bounds = self.bounds()
        if not bounds:
            raise UsageError("a range needs at least one of gte, gt, lte and lt")
        if any(map(is_missing, bounds.values())):  # which would be sent as null
            raise UsageError("a bound of a range is NaN or infinite; leave it out")

    def bounds(self) -> dict[str, JSON]:
        """Return the bounds that are given, as they are sent."""
        given = {"gte": self.gte, "gt": self.gt, "lte": self.lte, "lt": self.lt}
        return {name: _plain(bound) for name, bound in given.items() if bound is not None}


class Filter(Struct, frozen=True, repr_omit_defaults=True):
    """One condition on a contact: `Filter("tags", "eq", "vip")`.

    Attributes:
        field: A name of `SEARCH_FIELDS`, in snake_case or camelCase, or `custom_fields.` and the id of a custom field.
        operator: How it compares. `email` takes no `contains`; words are matched by the service's own rules.
        value: What with, at most 75 characters; a `Range` for `range`, nothing for `exists` and `not_exists`.
    """

    field: str
    operator: Operator
    value: str | int | float | bool | Range | None = None

    def __post_init__(self) -> None:
        _wire_name(self.field, SEARCH_FIELDS, "searched")
        if self.operator not in _OPERATORS:
            raise UsageError(f"unknown operator {self.operator!r}; known are {', '.join(_OPERATORS)}")
        if self.operator in ("exists", "not_exists"):
            if self.value is not None:
                raise UsageError(f"the operator {self.operator} takes no value")
        elif isinstance(self.value, Range) != (self.operator == "range"):
            raise UsageError("the operator range takes a Range, and only this one does")
        elif self.value is None or is_missing(self.value):
            raise UsageError(f"the operator {self.operator} needs a value; to look for nothing there is not_exists")
        _check_length(self.value, "the value of a filter")

    def to_wire(self) -> dict[str, JSON]:
        """Return the filter as it is sent."""
        wire: dict[str, JSON] = {
            "field": _wire_name(self.field, SEARCH_FIELDS, "searched"),
            "operator": self.operator,
        }
        if self.value is not None:
            wire["value"] = self.value.bounds() if isinstance(self.value, Range) else self.value
        return wire


class FilterGroup(Struct, frozen=True):
    """Filters joined by AND or OR; made by `all_of` and `any_of`."""

    group: Literal["AND", "OR"]
    filters: tuple[Filter | FilterGroup, ...]

    def __post_init__(self) -> None:
        if not self.filters:
            raise UsageError("a group of filters needs at least one")
        _check_kinds(self.filters, (Filter, FilterGroup), "a filter is a Filter or a group of them")

    def to_wire(self) -> dict[str, JSON]:
        """Return the group as it is sent."""
        return {"group": self.group, "filters": [part.to_wire() for part in self.filters]}


def any_of(*filters: Filter | FilterGroup) -> FilterGroup:
    """Join filters so that one of them is enough."""
    return FilterGroup("OR", filters)


def all_of(*filters: Filter | FilterGroup) -> FilterGroup:
    """Join filters so that all must hold."""
    return FilterGroup("AND", filters)


class Sort(Struct, frozen=True):
    """An order: `Sort("date_updated", "desc")`.

    Attributes:
        field: A name of `SORT_FIELDS`, in snake_case or camelCase.
        direction: `asc`, the smallest first, or `desc`.
    """

    field: str
    direction: Literal["asc", "desc"] = "asc"

    def __post_init__(self) -> None:
        _wire_name(self.field, SORT_FIELDS, "ordered by")
        if self.direction not in ("asc", "desc"):
            raise UsageError(f"the direction is asc or desc, not {self.direction!r}")

    def to_wire(self) -> dict[str, JSON]:
        """Return the order as it is sent."""
        return {"field": _wire_name(self.field, SORT_FIELDS, "ordered by"), "direction": self.direction}


class SearchBody(SentStruct, frozen=True, kw_only=True):
    """What is sent to search; made by `build_search_body`."""

    location_id: str
    page_limit: int
    page: int | None = None
    search_after: Cursor | None = None
    filters: list[dict[str, JSON]] | None = None
    sort: list[dict[str, JSON]] | None = None
    query: str | None = None


class Search(Struct, frozen=True, kw_only=True):
    """One page to search for.

    Attributes:
        filters: Conditions, all of which must hold.
        query: Free text, at most 75 characters, or None.
        sort: Orders, the first one before the second.
        page_size: Contacts in a page at most, up to 500.
        page: Which page, from 1, among the first 10,000 contacts; not together with `search_after`.
        search_after: The cursor of the contact that the page begins after.
    """

    filters: tuple[Filter | FilterGroup, ...] = ()
    query: str | None = None
    sort: tuple[Sort, ...] = ()
    page_size: int = 100
    page: int | None = None
    search_after: Cursor | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.page_size, int) or not 1 <= self.page_size <= 500:
            raise UsageError(f"page_size is {self.page_size}; the service takes 1 to 500")
        if self.page is not None and self.search_after is not None:
            raise UsageError("name a page by its number or by the contact it follows, not by both")
        _check_kinds(self.filters, (Filter, FilterGroup), "a filter is a Filter or a group of them")
        _check_kinds(self.sort, (Sort,), "an order is a Sort")
        _check_length(self.query, "the query")

    def body(self, location_id: str) -> SearchBody:
        """Return what is sent to search a location."""
        return SearchBody(
            location_id=location_id,
            page_limit=self.page_size,
            page=self.page,
            search_after=self.search_after,
            filters=[part.to_wire() for part in self.filters] or None,
            sort=[order.to_wire() for order in self.sort] or None,
            query=self.query,
        )


def _wire_name(field: object, known: dict[str, str], what: str) -> str:
    if not isinstance(field, str):
        raise UsageError(f"contacts are {what} the name of a field, not {type(field).__name__}")
    if known is SEARCH_FIELDS and field.startswith(_CUSTOM) and field.partition(".")[2]:
        return f"customFields.{field.partition('.')[2]}"
    if field in known:
        return known[field]
    if field in known.values():
        return field
    raise UsageError(f"contacts cannot be {what} {field!r}; fields are {', '.join(known)}")


def _plain(bound: Moment) -> str | int | float:
    return format_time(bound) if isinstance(bound, datetime) else bound


def _check_kinds(parts: Iterable[object], kinds: tuple[type, ...], sentence: str) -> None:
    for part in parts:
        if not isinstance(part, kinds):
            raise UsageError(f"{sentence}, not {type(part).__name__}")


def _check_length(value: object, what: str) -> None:
    if isinstance(value, str) and len(value) > _MAX_CHARS:
        raise UsageError(f"{what} has {len(value)} characters; the service takes {_MAX_CHARS}")


def join_orders(sort: Sort | Sequence[Sort]) -> tuple[Sort, ...]:
    """Return orders as a tuple, of one or of many."""
    orders = (sort,) if isinstance(sort, Sort) else tuple(sort or ())
    if not all(isinstance(order, Sort) for order in orders):
        raise UsageError("an order is a Sort; give one, or a list of them")
    return orders


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
        """Take over a read by id of the same contact, and keep the fields that only searches return."""
        for name in Contact.__struct_fields__:
            setattr(self, name, getattr(whole, name))
        self.__dict__.clear()
        self.__dict__.update(whole.__dict__, _raw=whole.raw)


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
    """Read a list of contacts; `meta`, which the API's reference omits, says where the next page begins."""
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
    """Read the answer to a search for a duplicate; a contact that is absent, null or without id means none."""
    raw = read_parts(body).get("contact", msgspec.Raw(b"null"))
    found = msgspec.json.decode(raw, type=dict[str, Any] | None)
    return read_contact(raw, FoundContact, "duplicate") if found and found.get("id") else None


def _read_contacts(parts: dict[str, msgspec.Raw], shape: ShapeName) -> list[FoundContact]:
    return [read_contact(raw, FoundContact, shape) for raw in read_items(parts, "contacts")]
