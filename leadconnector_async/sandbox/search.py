"""The search: filters, sort, and pages by number or by what the last contact of a page says."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from .answers import Refusal
from .books import NEWEST_FIRST, IsMatch, Records, SortOrder, comes_after, fits_order, milliseconds, sort_values
from .calls import Body, IncomingCall
from .shapes import FOUND, FOUND_WITHOUT_DND, LISTED
from .shelves import Fields
from .validation import Rules, array, is_number, number, read_time, text

# ---------------------------------------------------------------------------------------------- filters

Test: TypeAlias = Callable[[Any, Any], bool]
"""Of what a contact has, and what the filter names."""

FIELDS: Final = (
    "id contactName firstNameLowerCase lastNameLowerCase email phone address city state country postalCode companyName "
    "businessName assignedTo source dnd isValidWhatsapp followers dateAdded dateUpdated lastEmailClickedDate "
    "lastEmailOpenedDate tags dndSettings.Email.status dndSettings.SMS.status dndSettings.Call.status "
    "inboundDndSettings.all.status"
).split()
_CUSTOM: Final = "customFields."
_STORED_AS: Final = {"contactName": "name", "address": "address1"}
_LONGEST: Final = 75
_DEEPEST: Final = 10
_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "from": lambda value, bound: value >= bound,
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "to": lambda value, bound: value <= bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}


def read_filters(sent: list[Any]) -> IsMatch:
    """Make one test of filters that all must hold.

    Raises:
        Refusal: 422 for what is no filter.
    """
    return _all_of([_read(each, f"filters.{place}", 1) for place, each in enumerate(sent)])


def _all_of(tests: list[IsMatch]) -> IsMatch:
    return lambda contact: all(test(contact) for test in tests)


def _any_of(tests: list[IsMatch]) -> IsMatch:
    return lambda contact: any(test(contact) for test in tests)


def _read(sent: Any, place: str, depth: int) -> IsMatch:
    if not isinstance(sent, dict):
        raise Refusal(422, [f"{place} must be an object"])
    if depth > _DEEPEST:
        raise Refusal(422, [f"{place} is nested too deeply"])
    return _read_group(sent, place, depth) if "group" in sent else _read_one(sent, place)


def _read_group(sent: Fields, place: str, depth: int) -> IsMatch:
    members = sent.get("filters")
    if sent["group"] not in ("AND", "OR"):
        raise Refusal(422, [f"{place}.group must be one of the following values: AND, OR"])
    if not isinstance(members, list):
        raise Refusal(422, [f"{place}.filters must be an array"])
    tests = [_read(each, f"{place}.filters.{number}", depth + 1) for number, each in enumerate(members)]
    return _all_of(tests) if sent["group"] == "AND" else _any_of(tests)


def _read_one(sent: Fields, place: str) -> IsMatch:
    field, operator, value = sent.get("field"), sent.get("operator"), sent.get("value")
    if not isinstance(field, str) or not (field in FIELDS or field.startswith(_CUSTOM)):
        raise Refusal(422, [f"{place}.field is not a field that contacts are searched by"])
    if not isinstance(operator, str) or operator not in _OPERATORS or (field == "email" and "contains" in operator):
        raise Refusal(422, [f"{place}.operator is not an operator of {field}"])
    test = _OPERATORS[operator]
    _check_value(operator, value, place)
    return lambda contact: test(_held(contact, field), value)


def _check_value(operator: str, value: Any, place: str) -> None:
    if operator in ("exists", "not_exists"):
        return
    if operator == "range":
        if not isinstance(value, dict) or not value or value.keys() - _BOUNDS.keys():
            raise Refusal(422, [f"{place}.value must be an object of {', '.join(_BOUNDS)}"])
        return
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str | bool) or is_number(each) for each in values):
        raise Refusal(422, [f"{place}.value must be a string, a number or a boolean value"])
    if any(isinstance(each, str) and len(each) > _LONGEST for each in values):
        raise Refusal(422, [f"{place}.value must be shorter than or equal to {_LONGEST} characters"])


def _held(contact: Fields, field: str) -> Any:
    if not field.startswith(_CUSTOM):
        return _within(contact, _STORED_AS.get(field, field).split("."))
    wanted = field.removeprefix(_CUSTOM)
    return next((each["value"] for each in contact["customFields"] if each["id"] == wanted), None)


def _within(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _equals(held: Any, value: Any) -> bool:
    named = {_plain(each) for each in (value if isinstance(value, list) else [value])}
    return any(each in named for each in _each(held))


def _contains(held: Any, value: Any) -> bool:
    named = [str(_plain(each)) for each in (value if isinstance(value, list) else [value])]
    return any(part in str(each) for each in _each(held) for part in named)


def _is_there(held: Any, _value: Any) -> bool:
    return held not in (None, "", [])


def _is_within(held: Any, value: Any) -> bool:
    for name, bound in value.items():
        for pair in _comparable(held, bound):
            if not _BOUNDS[name](*pair):
                return False
            break
        else:
            return False
    return True


def _comparable(held: Any, bound: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the two as numbers, or times in milliseconds; nothing where they are neither."""
    if is_number(held) and is_number(bound):
        yield held, bound
    elif isinstance(held, str) and read_time(held) is not None:
        if is_number(bound):
            yield milliseconds(held), bound
        elif isinstance(bound, str) and read_time(bound) is not None:
            yield milliseconds(held), milliseconds(bound)


def _each(held: Any) -> Iterator[Any]:
    """Yield what is compared: each member of a list, in lower case; nothing where there is no value."""
    for value in held if isinstance(held, list) else [held]:
        if isinstance(value, str | bool) or is_number(value):
            yield _plain(value)


def _plain(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


_OPERATORS: Final[dict[str, Test]] = {
    "eq": _equals,
    "not_eq": lambda held, value: not _equals(held, value),
    "contains": _contains,
    "not_contains": lambda held, value: not _contains(held, value),
    "exists": _is_there,
    "not_exists": lambda held, value: not _is_there(held, value),
    "range": _is_within,
}


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


def search(records: Records, call: IncomingCall) -> Body:
    sent = call.body
    order = _read_sort(sent.get("sort") or [])
    size = _read_size(sent["pageLimit"])
    filters = read_filters(sent.get("filters") or [])
    wanted = sent.get("query", "").strip().lower()
    if len(wanted) > _LONGEST_QUERY:
        raise Refusal(422, [f"query must be shorter than or equal to {_LONGEST_QUERY} characters"])
    found = records.search_view.select(
        sent["locationId"], order, lambda contact: filters(contact) and holds(contact, wanted), _key(sent)
    )
    start = _start(sent, size, found, order)
    shape = FOUND_WITHOUT_DND if records.searches_without_dnd else FOUND
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


def _read_sort(sent: list[Any]) -> SortOrder:
    order = []
    for place, each in enumerate(sent):
        if not isinstance(each, dict) or each.get("field") not in SORT_FIELDS:
            raise Refusal(422, [f"sort.{place}.field must be one of the following values: {', '.join(SORT_FIELDS)}"])
        if each.get("direction", "asc") not in ("asc", "desc"):
            raise Refusal(422, [f"sort.{place}.direction must be one of the following values: asc, desc"])
        order.append((each["field"], each.get("direction") == "desc"))
    return tuple(order) or NEWEST_FIRST


def _start(sent: Body, size: int, found: list[Fields], order: SortOrder) -> int:
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


def _place_after(cursor: list[Any], found: list[Fields], order: SortOrder) -> int:
    """Find the first contact after a cursor; the contact that it was taken from may be gone."""
    if not fits_order(cursor, order):
        raise Refusal(400, "searchAfter does not fit the sort that it is used with")
    return bisect_left(found, True, key=lambda contact: comes_after(sort_values(contact, order), cursor, order))


# ---------------------------------------------------------------------------------------------- lists

_LARGEST_LIST_PAGE: Final = 100
_USUAL_PAGE: Final = 20
_USUAL_PAGE_OF_A_BUSINESS: Final = 25


def list_contacts(records: Records, call: IncomingCall) -> Body:
    location_id, query = call.must_name_location(), call.query.get("query", "").strip().lower()
    size = call.count("limit", _USUAL_PAGE, most=_LARGEST_LIST_PAGE)
    found = records.search_view.select(
        location_id, NEWEST_FIRST, lambda each: holds(each, query), repr(("list", query))
    )
    start = _list_start(call, found)
    page = found[start : start + size]
    contacts = [LISTED.spell(contact, call.version) for contact in page]
    return {"contacts": contacts, "count": len(found), "meta": _meta(call, len(found), start, page, size)}


def _list_start(call: IncomingCall, found: list[Fields]) -> int:
    if "startAfter" not in call.query and "startAfterId" not in call.query:
        return 0
    contact_id = call.query.get("startAfterId", "")
    if "startAfter" in call.query:
        return _list_place_after([call.query["startAfter"], contact_id], found)
    # The id alone says where to go on, as long as the contact is there.
    return next((place + 1 for place, each in enumerate(found) if each["id"] == contact_id), len(found))


def _list_place_after(cursor: list[str], found: list[Fields]) -> int:
    """Find the first contact after a time in milliseconds and an id."""
    place = [_number(cursor[0]), cursor[-1]]
    return bisect_left(found, True, key=lambda each: comes_after(sort_values(each, NEWEST_FIRST), place, NEWEST_FIRST))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refusal(422, ["startAfter must be a number conforming to the specified constraints"]) from None


def _meta(call: IncomingCall, total: int, start: int, page: list[Fields], size: int) -> Body:
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


_BY_NAME: Final[SortOrder] = (("name", False),)


def list_business(records: Records, call: IncomingCall) -> Body:
    """Return a page of the contacts of a business, by name and id, which is what its cursor is made of."""
    location_id, business_id = call.must_name_location(), call.params["businessId"]
    query = call.query.get("query", "").strip().lower()
    size = call.count("limit", _USUAL_PAGE_OF_A_BUSINESS, most=_LARGEST_LIST_PAGE)
    found = records.search_view.select(
        location_id,
        _BY_NAME,
        lambda each: each.get("businessId") == business_id and holds(each, query),
        repr(("business", business_id, query)),
    )
    after = call.query_all("startAfter")
    start = _place_after(_read_pair(after), found, _BY_NAME) if after else call.count("skip", 0)
    page = found[start : start + size]
    return {"contacts": [LISTED.spell(contact, call.version) for contact in page], "count": len(found)}


def _read_pair(sent: list[str]) -> list[Any]:
    """Read a name and an id: with a comma between, as the specification of v3 has them, or one parameter for each, as
    the vendor's own SDK sends them. A name may hold commas, an id does not."""
    name, comma, contact_id = ",".join(sent).rpartition(",")
    if not comma:
        raise Refusal(422, ["startAfter must be a name and an id"])
    return [name.strip().lower() or None, contact_id]
