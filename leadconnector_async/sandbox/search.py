"""The search: filters, sort, and pages by number or by what the last contact of a page says."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

import msgspec

from .books import Books
from .calls import Body, Call
from .directory import NEWEST_FIRST, Order, comes_after, fits_order, sort_values
from .filters import read_filters
from .refusals import Refusal
from .shapes import FOUND, FOUND_WITHOUT_DND
from .shelves import Fields
from .validation import Rules, array, number, text

SORT_FIELDS: Final = "email dnd source firstNameLowerCase lastNameLowerCase dateAdded dateUpdated".split()
SEARCH: Final = Rules(
    {
        "locationId": text,
        "pageLimit": number,
        "page": number,
        "searchAfter": array,
        "filters": array,
        "sort": array,
        "query": text,
    },
    ("locationId", "pageLimit"),
)
_LONGEST_QUERY: Final = 75
_LARGEST_PAGE: Final = 500
_LAST_BY_NUMBER: Final = 10_000
_QUERIED: Final = ("name", "email", "phone", "companyName")


def search(books: Books, call: Call) -> Body:
    sent = call.body
    order = _read_sort(sent.get("sort") or [])
    size = _read_size(sent["pageLimit"])
    filters = read_filters(sent.get("filters") or [])
    wanted = sent.get("query", "").strip().lower()
    if len(wanted) > _LONGEST_QUERY:
        raise Refusal(422, [f"query must be shorter than or equal to {_LONGEST_QUERY} characters"])
    found = books.directory.select(
        sent["locationId"], order, lambda contact: filters(contact) and holds(contact, wanted), _key(sent)
    )
    start = _start(sent, size, found, order)
    shape = FOUND_WITHOUT_DND if books.searches_without_dnd else FOUND
    contacts = [
        {**shape.spell(contact, call.version), "searchAfter": sort_values(contact, order)}
        for contact in found[start : start + size]
    ]
    return {"contacts": contacts, "total": len(found)}


def holds(contact: Fields, wanted: str) -> bool:
    """Say whether a contact has a text, in lower case, in a field that people look for."""
    return not wanted or any(wanted in contact.get(name, "").lower() for name in _QUERIED)


def _key(sent: Body) -> str:
    return msgspec.json.encode([sent.get("filters"), sent.get("query")]).decode()


def _read_size(size: float) -> int:
    if size > _LARGEST_PAGE:
        raise Refusal(400, f"pageLimit must not be greater than {_LARGEST_PAGE}")
    if size < 1 or size != int(size):
        raise Refusal(422, ["pageLimit must be a whole number from 1 on"])
    return int(size)


def _read_sort(sent: list[Any]) -> Order:
    order = []
    for place, each in enumerate(sent):
        if not isinstance(each, dict) or each.get("field") not in SORT_FIELDS:
            raise Refusal(422, [f"sort.{place}.field must be one of the following values: {', '.join(SORT_FIELDS)}"])
        if each.get("direction", "asc") not in ("asc", "desc"):
            raise Refusal(422, [f"sort.{place}.direction must be one of the following values: asc, desc"])
        order.append((each["field"], each.get("direction") == "desc"))
    return tuple(order) or NEWEST_FIRST


def _start(sent: Body, size: int, found: list[Fields], order: Order) -> int:
    """Return the place of the first contact of the page."""
    page, cursor = sent.get("page"), sent.get("searchAfter")
    if page is not None and cursor:
        raise Refusal(400, "page and searchAfter cannot be used together")
    if cursor:
        return _place_after(cursor, found, order)
    page = 1 if page is None else page
    if page * size > _LAST_BY_NUMBER:
        raise Refusal(400, f"only the first {_LAST_BY_NUMBER} records are found by page; use searchAfter")
    if page < 1 or page != int(page):
        raise Refusal(422, ["page must be a whole number from 1 on"])
    return int(page - 1) * size


def _place_after(cursor: list[Any], found: list[Fields], order: Order) -> int:
    """Find the first contact after a cursor; the contact that it was taken from may be gone."""
    if not fits_order(cursor, order):
        raise Refusal(400, "searchAfter does not fit the sort that it is used with")
    return bisect_left(found, True, key=lambda contact: comes_after(sort_values(contact, order), cursor, order))
