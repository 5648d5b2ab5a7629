"""The search and the lists: what they find, in which order, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.sandbox.conftest import Api, L

OpenApi = Callable[..., Awaitable[Api]]
OLDEST_FIRST = [{"field": "dateAdded", "direction": "asc"}]


async def search(api: Api, **body: Any) -> dict[str, Any]:
    return await api.ok("POST", "/contacts/search", {"locationId": L, "pageLimit": 100, **body})


async def found(api: Api, *filters: Any, **body: Any) -> list[str]:
    answer = await search(api, filters=list(filters), sort=OLDEST_FIRST, **body)
    assert answer["total"] == len(answer["contacts"])
    return [contact["email"][0] for contact in answer["contacts"]]


def where(field: str, operator: str, value: Any = None) -> dict[str, Any]:
    return {"field": field, "operator": operator} | ({} if value is None else {"value": value})


@pytest.fixture
async def api(open_api: OpenApi) -> Api:
    """Four contacts, a minute apart."""
    clock = FakeClock()
    api = await open_api(wall=clock.time)
    people: list[dict[str, Any]] = [
        {"email": "a@b.co", "firstName": "Ann", "lastName": "Lee", "phone": "+16175550100", "tags": ["VIP", "lead"]},
        {"email": "b@b.co", "firstName": "bob", "city": "Bonn", "companyName": "Acme Works", "tags": ["vip gold"]},
        {"email": "c@b.co", "firstName": "Cyd", "dnd": True, "customFields": [{"key": "score", "field_value": 7}]},
        {"email": "d@b.co", "source": "fair", "customFields": [{"key": "interests", "field_value": ["Music"]}]},
    ]
    for person in people:
        clock.now += 60
        api.sandbox.add_contact(L, **person)
    api.sandbox.add_contact("other", email="x@b.co", firstName="Ann")
    return api


# ---------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], "abcd"),
        ([where("email", "eq", "A@b.co")], "a"),
        ([where("email", "not_eq", "a@b.co")], "bcd"),
        ([where("phone", "eq", "+16175550100")], "a"),
        ([where("phone", "exists")], "a"),
        ([where("phone", "not_exists")], "bcd"),
        ([where("firstNameLowerCase", "eq", "bob")], "b"),
        ([where("contactName", "contains", "ann l")], "a"),
        ([where("city", "eq", "bonn")], "b"),
        ([where("companyName", "contains", "work")], "b"),
        ([where("companyName", "not_contains", "work")], "acd"),
        ([where("tags", "eq", "vip")], "a"),
        ([where("tags", "eq", ["lead", "vip gold"])], "ab"),
        ([where("tags", "not_eq", "vip")], "bcd"),
        ([where("tags", "contains", "vip")], "ab"),
        ([where("tags", "not_exists")], "cd"),
        ([where("dnd", "eq", True)], "c"),
        ([where("dnd", "eq", False)], "abd"),
        ([where("source", "eq", "fair")], "d"),
        ([where("customFields.SandboxField00000005", "eq", 7)], "c"),
        ([where("customFields.SandboxField00000005", "range", {"gte": 7, "lt": 8})], "c"),
        ([where("customFields.SandboxField00000005", "range", {"gt": 7})], ""),
        ([where("customFields.SandboxField00000007", "eq", "music")], "d"),
        ([where("customFields.SandboxField00000007", "exists")], "d"),
        ([where("firstNameLowerCase", "exists"), where("dnd", "eq", False)], "ab"),
        ([{"group": "OR", "filters": [where("dnd", "eq", True), where("tags", "eq", "vip")]}], "ac"),
        ([{"group": "AND", "filters": [where("dnd", "eq", True), where("tags", "eq", "vip")]}], ""),
        (
            [
                {
                    "group": "OR",
                    "filters": [
                        where("source", "eq", "fair"),
                        {"group": "AND", "filters": [where("phone", "exists"), where("tags", "eq", "lead")]},
                    ],
                }
            ],
            "ad",
        ),
        ([{"group": "OR", "filters": []}], ""),
    ],
)
async def test_what_filters_find(api: Api, filters: list[Any], expected: str) -> None:
    assert "".join(await found(api, *filters)) == expected


async def test_ranges_of_time_in_each_form(api: Api) -> None:
    times = [contact["dateAdded"] for contact in api.sandbox.contacts(L)]
    assert await found(api, where("dateAdded", "range", {"gte": times[1], "lte": times[2]})) == ["b", "c"]
    assert await found(api, where("dateAdded", "range", {"from": times[1], "to": times[2]})) == ["b", "c"]
    assert await found(api, where("dateAdded", "range", {"gt": times[1], "lt": times[3]})) == ["c"]
    values = [contact["searchAfter"][0] for contact in (await search(api, sort=OLDEST_FIRST))["contacts"]]
    assert await found(api, where("dateAdded", "range", {"gte": values[3]})) == ["d"]
    assert await found(api, where("firstNameLowerCase", "range", {"gte": values[3]})) == []


async def test_ids_and_queries(api: Api) -> None:
    ids = [contact["id"] for contact in api.sandbox.contacts(L)]
    assert await found(api, where("id", "eq", ids[2])) == ["c"]
    assert await found(api, where("id", "eq", ids[:2])) == ["a", "b"]
    assert await found(api, query="ANN") == ["a"]
    assert await found(api, query="acme") == ["b"]
    assert await found(api, query="16175550100") == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        {"locationId": None},
        {"locationId": ""},
        {"pageLimit": None},
        {"pageLimit": 0},
        {"pageLimit": 1.5},
        {"pageLimit": "10"},
        {"page": 0},
        {"page": "1"},
        {"filters": {}},
        {"filters": ["x"]},
        {"filters": [where("shoe", "eq", "x")]},
        {"filters": [where("email", "like", "x")]},
        {"filters": [where("email", "contains", "x")]},
        {"filters": [where("city", "eq", "x" * 76)]},
        {"filters": [where("city", "eq", {"a": 1})]},
        {"filters": [where("city", "eq", [])]},
        {"filters": [where("dateAdded", "range", "today")]},
        {"filters": [where("dateAdded", "range", {"since": "today"})]},
        {"filters": [{"field": ["a"], "operator": {}}]},
        {"filters": [{"group": "XOR", "filters": []}]},
        {"filters": [{"group": "OR", "filters": "x"}]},
        {"sort": [{"field": "shoe"}]},
        {"sort": [{"field": "email", "direction": "up"}]},
        {"sort": ["email"]},
        {"query": "x" * 76},
        {"offset": 3},
    ],
)
async def test_searches_that_are_refused(api: Api, body: dict[str, Any]) -> None:
    sent = {name: value for name, value in {"locationId": L, "pageLimit": 10, **body}.items() if value is not None}
    status, message = await api.refused("/contacts/search", "POST", sent)
    assert status == 422
    assert isinstance(message, list)


@pytest.mark.parametrize(
    "body",
    [
        {"pageLimit": 501},
        {"page": 101},
        {"page": 1, "searchAfter": [1, "x"]},
        {"searchAfter": ["x"]},
        {"searchAfter": ["text", "x"]},
        {"searchAfter": [1, 2]},
        {"searchAfter": [{}, "x"], "sort": [{"field": "email"}]},
    ],
)
async def test_pages_that_are_refused(api: Api, body: dict[str, Any]) -> None:
    assert (await api.refused("/contacts/search", "POST", {"locationId": L, "pageLimit": 100, **body}))[0] == 400


async def test_groups_nested_too_deeply(api: Api) -> None:
    nested: dict[str, Any] = where("dnd", "eq", True)
    for _ in range(400):
        nested = {"group": "OR", "filters": [nested]}
    assert (await api.refused("/contacts/search", "POST", {"locationId": L, "pageLimit": 1, "filters": [nested]}))[
        0
    ] == 422


# ---------------------------------------------------------------------------------------------- order and pages


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ([], "dcba"),
        ([("dateAdded", "asc")], "abcd"),
        ([("email", "desc")], "dcba"),
        ([("firstNameLowerCase", "asc")], "abcd"),
        ([("firstNameLowerCase", "desc")], "cbad"),
        ([("dnd", "desc"), ("email", "desc")], "cdba"),
        ([("source", "asc"), ("email", "asc")], "dabc"),
    ],
)
async def test_orders_and_who_has_no_value_comes_last(api: Api, sort: list[Any], expected: str) -> None:
    order = [{"field": field, "direction": direction} for field, direction in sort]
    contacts = (await search(api, sort=order))["contacts"]
    assert "".join(contact["email"][0] for contact in contacts) == expected
    paged = ""
    cursor: list[Any] = []
    for _ in contacts:
        (contact,) = (await search(api, sort=order, pageLimit=1, searchAfter=cursor))["contacts"]
        paged, cursor = paged + contact["email"][0], contact["searchAfter"]
    assert paged == expected
    assert (await search(api, sort=order, pageLimit=1, searchAfter=cursor))["contacts"] == []


async def test_a_contact_as_the_search_has_it(api: Api) -> None:
    contact = (await search(api, sort=OLDEST_FIRST))["contacts"][0]
    assert (contact["firstName"], contact["firstNameLowerCase"]) == ("Ann", "ann")
    assert (contact["additionalEmails"], contact["additionalPhones"], contact["followers"]) == ([], [], [])
    milliseconds, contact_id = contact["searchAfter"]
    assert contact_id == contact["id"]
    assert isinstance(milliseconds, int)


async def test_pages_by_number(api: Api) -> None:
    pages = [await search(api, sort=OLDEST_FIRST, pageLimit=3, page=page) for page in (1, 2, 3)]
    assert [[contact["email"][0] for contact in page["contacts"]] for page in pages] == [["a", "b", "c"], ["d"], []]
    assert {page["total"] for page in pages} == {4}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=40),
    st.sampled_from(["dateAdded", "dateUpdated", "firstNameLowerCase", "dnd", "source"]),
    st.sampled_from(["asc", "desc"]),
    st.integers(1, 7),
    st.data(),
)
async def test_pages_miss_and_repeat_nobody_whatever_goes_meanwhile(
    people: list[tuple[str, bool]], field: str, direction: str, size: int, data: st.DataObject
) -> None:
    sort = [{"field": field, "direction": direction}]
    clock = FakeClock()
    async with Sandbox(unlimited=True, wall=clock.time) as sandbox, aiohttp.ClientSession() as session:
        api = Api(sandbox, session)
        for number, (name, has_source) in enumerate(people):
            clock.now += number % 3
            sandbox.add_contact(L, email=f"{number}@b.co", firstName=name, **({"source": "s"} if has_source else {}))
        remaining = {contact["id"] for contact in sandbox.contacts(L)}
        seen: list[str] = []
        cursor: list[Any] = []
        while True:
            page = (await search(api, sort=sort, pageLimit=size, searchAfter=cursor))["contacts"]
            seen += [contact["id"] for contact in page]
            if len(page) < size:
                break
            cursor = page[-1]["searchAfter"]
            if remaining and data.draw(st.booleans()):
                gone = data.draw(st.sampled_from(sorted(remaining)))
                await api.ok("DELETE", f"/contacts/{gone}")
                remaining.discard(gone)
        assert len(seen) == len(set(seen))
        assert remaining <= set(seen)


# ---------------------------------------------------------------------------------------------- what it sees when


async def test_searches_find_what_was_written_and_forget_what_was_changed(api: Api) -> None:
    assert await found(api, where("city", "eq", "Rome")) == []
    created = (await api.upsert(email="e@b.co", city="Rome"))["contact"]["id"]
    assert await found(api, where("city", "eq", "Rome")) == ["e"]
    await api.ok("PUT", f"/contacts/{created}", {"city": "Oslo"})
    assert await found(api, where("city", "eq", "Rome")) == []
    assert await found(api, where("city", "eq", "Oslo")) == ["e"]


async def test_with_a_lag_searches_see_the_past_and_reads_by_id_do_not(open_api: OpenApi) -> None:
    clock = FakeClock()
    api = await open_api(search_lag=3, monotonic=clock.monotonic)

    async def cities() -> list[list[str]]:
        answers = [await search(api), await api.ok("GET", f"/contacts/?locationId={L}")]
        return [[contact["city"] for contact in answer["contacts"]] for answer in answers]

    path = f"/contacts/{(await api.upsert(email='a@b.co', city='Bonn'))['contact']['id']}"
    clock.now += 2
    assert await cities() == [[], []]
    await api.ok("PUT", path, {"city": "Rome"})
    clock.now += 1
    assert await cities() == [["Bonn"], ["Bonn"]]
    assert (await api.ok("GET", path))["contact"]["city"] == "Rome"
    clock.now += 2
    assert await cities() == [["Rome"], ["Rome"]]
    await api.ok("DELETE", path)
    assert await cities() == [["Rome"], ["Rome"]]
    clock.now += 3
    assert await cities() == [[], []]


# ---------------------------------------------------------------------------------------------- the deprecated list


async def test_the_list_pages_by_its_own_marks_and_lowers_names(api: Api) -> None:
    first = await api.ok("GET", f"/contacts/?locationId={L}&limit=3")
    assert [contact["email"][0] for contact in first["contacts"]] == ["d", "c", "b"]
    assert (first["count"], first["meta"]["total"], first["meta"]["nextPage"]) == (4, 4, 2)
    url = first["meta"]["nextPageUrl"]
    assert url.startswith(api.sandbox.url)
    second = await api.ok("GET", url.removeprefix(api.sandbox.url))
    (contact,) = second["contacts"]
    assert (contact["firstName"], contact["firstNameRaw"], contact["lastNameRaw"]) == ("ann", "Ann", "Lee")
    assert contact["contactName"] == "ann lee"
    assert second["meta"]["nextPage"] is None
    by_id = await api.ok("GET", f"/contacts/?locationId={L}&startAfterId={first['contacts'][-1]['id']}")
    assert by_id["contacts"] == second["contacts"]
    assert len((await api.ok("GET", f"/contacts/?locationId={L}&query=acme"))["contacts"]) == 1
    assert len((await api.ok("GET", f"/contacts/?locationId={L}", None, "v3"))["contacts"]) == 4


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        (f"?locationId={L}&limit=101", 400),
        (f"?locationId={L}&limit=x", 422),
        (f"?locationId={L}&startAfter=x", 422),
    ],
)
async def test_lists_that_are_refused(api: Api, query: str, status: int) -> None:
    assert (await api.call("GET", f"/contacts/{query}"))[0] == status
