"""The two lists: the deprecated one of all contacts, and that of a business."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final
from urllib.parse import urlencode

from .books import Books
from .calls import Body, Call
from .directory import NEWEST_FIRST, comes_after, milliseconds, sort_values
from .refusals import Refusal
from .search import holds
from .shapes import LISTED
from .shelves import Fields

_LARGEST_PAGE: Final = 100
_USUAL_PAGE: Final = 20
_USUAL_PAGE_OF_A_BUSINESS: Final = 25


def list_contacts(books: Books, call: Call) -> Body:
    location_id, query = call.must_name_location(), call.query.get("query", "").strip().lower()
    size = call.count("limit", _USUAL_PAGE, most=_LARGEST_PAGE)
    found = books.directory.select(location_id, NEWEST_FIRST, lambda each: holds(each, query), repr(("list", query)))
    start = _start(call, found)
    page = found[start : start + size]
    contacts = [LISTED.spell(contact, call.version) for contact in page]
    return {"contacts": contacts, "count": len(found), "meta": _meta(call, len(found), start, page, size)}


def _start(call: Call, found: list[Fields]) -> int:
    if "startAfter" not in call.query and "startAfterId" not in call.query:
        return 0
    contact_id = call.query.get("startAfterId", "")
    if "startAfter" in call.query:
        return _place_after([call.query["startAfter"], contact_id], found)
    # The id alone tells the place, as long as the contact is there.
    return next((place + 1 for place, each in enumerate(found) if each["id"] == contact_id), len(found))


def _place_after(cursor: list[str], found: list[Fields]) -> int:
    """Find the first contact after a time in milliseconds and an id."""
    place = [_number(cursor[0]), cursor[-1]]
    return bisect_left(found, True, key=lambda each: comes_after(sort_values(each, NEWEST_FIRST), place, NEWEST_FIRST))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refusal(422, ["startAfter must be a number conforming to the specified constraints"]) from None


def _meta(call: Call, total: int, start: int, page: list[Fields], size: int) -> Body:
    meta: Body = {"total": total, "currentPage": start // size + 1 if size else 1, "nextPage": None, "prevPage": None}
    if start:
        meta["prevPage"] = meta["currentPage"] - 1
    if page:
        last = page[-1]
        meta |= {"startAfterId": last["id"], "startAfter": milliseconds(last["dateAdded"])}
    if page and start + len(page) < total:
        query = {**call.query, "startAfter": meta["startAfter"], "startAfterId": meta["startAfterId"]}
        meta |= {"nextPage": meta["currentPage"] + 1, "nextPageUrl": f"{call.address}?{urlencode(query)}"}
    return meta


def list_business(books: Books, call: Call) -> Body:
    location_id, business_id = call.must_name_location(), call.params["businessId"]
    query = call.query.get("query", "").strip().lower()
    size = call.count("limit", _USUAL_PAGE_OF_A_BUSINESS, most=_LARGEST_PAGE)
    found = books.directory.select(
        location_id,
        NEWEST_FIRST,
        lambda each: each.get("businessId") == business_id and holds(each, query),
        repr(("business", business_id, query)),
    )
    cursor = call.query_all("startAfter")  # of v3: what the last contact of a page was sorted by
    start = _place_after(cursor, found) if len(cursor) > 1 else call.count("skip", 0)
    page = found[start : start + size]
    return {"contacts": [LISTED.spell(contact, call.version) for contact in page], "count": len(found)}
