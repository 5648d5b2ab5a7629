"""Search: each contact exactly once, whatever is written meanwhile; filters as the service takes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import (
    AdditionalEmail,
    Filter,
    FilterGroup,
    FoundContact,
    InvalidResponseError,
    LeadConnector,
    NotFoundError,
    Range,
    RetryPolicy,
    ServerError,
    Sort,
    UsageError,
    all_of,
    any_of,
)
from leadconnector_async.contacts.finding import Recent, is_last
from leadconnector_async.models.search import SearchPage, join_orders, read_search_page
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.scripted import answering

VIP = Filter("tags", "eq", "vip")


def fill(sandbox: Sandbox, count: int) -> list[str]:
    return [sandbox.add_contact(LOCATION, email=f"p{number}@deos.com", tags=["vip"])["id"] for number in range(count)]


# ---------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (1, 1), (9, 1), (10, 2), (11, 2), (30, 4)])
async def test_all_pages_are_read_until_a_short_one(
    client: LeadConnector, sandbox: Sandbox, count: int, calls: int
) -> None:
    ids = fill(sandbox, count)
    found = [contact async for contact in client.contacts.search(page_size=10)]
    assert sorted(contact.id for contact in found) == sorted(ids)
    assert [contact.date_added for contact in found] == sorted(contact.date_added or "" for contact in found)
    assert sandbox.requests == calls


@pytest.mark.parametrize("version", ["2021-07-28", "2023-02-21", "v3"])
async def test_it_goes_on_behind_any_contact(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    client: LeadConnector = await connect(sandbox, api_version=version)
    fill(sandbox, 25)
    found = [contact async for contact in client.contacts.search(VIP, page_size=7)]
    rest = [contact async for contact in client.contacts.search(VIP, page_size=4, search_after=found[9].search_after)]
    assert [contact.id for contact in rest] == [contact.id for contact in found[10:]]


async def test_leaving_early_reads_no_further_page(client: LeadConnector, sandbox: Sandbox) -> None:
    fill(sandbox, 30)
    async for _ in client.contacts.search(page_size=10):
        break
    assert sandbox.requests == 1


async def test_a_page_that_fails_leaves_what_was_found_and_where_to_go_on(
    sandbox: Sandbox, connect: OpenSandbox
) -> None:
    client: LeadConnector = await connect(sandbox, retry=RetryPolicy(max_attempts=1))
    ids = set(fill(sandbox, 25))
    sandbox.fail_next(None)
    sandbox.fail_next("500")
    found: list[FoundContact] = []
    with pytest.raises(ServerError):
        await collect(client.contacts.search(page_size=10), found)
    assert len(found) == 10
    await collect(client.contacts.search(page_size=10, search_after=found[-1].search_after), found)
    assert sorted(contact.id for contact in found) == sorted(ids)


async def collect(contacts: AsyncIterator[FoundContact], found: list[FoundContact]) -> None:
    async for contact in contacts:
        found.append(contact)  # noqa: PERF401  (what was found by then must stay)


async def test_a_page_is_read_again_where_its_answer_is_lost(client: LeadConnector, sandbox: Sandbox) -> None:
    ids = fill(sandbox, 25)
    for kind in ("reset-after", "502-html", "429", "cut-body"):
        sandbox.fail_next(kind)
    assert len([contact async for contact in client.contacts.search(page_size=10)]) == len(ids)


# ---------------------------------------------------------------------------------------------- writes between pages

changes = st.lists(
    st.tuples(st.sampled_from(["add", "add to the past", "touch", "delete", "untag", "tag"]), st.integers(0, 10_000)),
    max_size=6,
)


class Shop:
    """A location that changes while its contacts are read, and what is known of each contact."""

    def __init__(self, sandbox: Sandbox, client: LeadConnector, moment: Callable[[], None]) -> None:
        self.sandbox = sandbox
        self.client = client
        self.moment = moment
        self.throughout: set[str] = set()
        self.number = 0

    def add(self) -> str:
        self.number += 1
        email = f"p{self.number}@deos.com"
        return str(self.sandbox.add_contact(LOCATION, email=email, tags=["vip"], firstName=f"P{self.number}")["id"])

    async def change(self, what: str, which: int) -> None:
        self.moment()
        ids = [contact["id"] for contact in self.sandbox.contacts()]
        if what.startswith("add") or not ids:
            self.add()
            return
        contact_id = ids[which % len(ids)]
        if what == "touch":
            await self.client.contacts.update(contact_id, {"first_name": f"New{which}", "source": f"s{which}"})
        elif what == "tag":
            await self.client.contacts.update(contact_id, {"tags": ["vip"]})
        else:
            self.throughout.discard(contact_id)
            if what == "delete":
                await self.client.contacts.delete(contact_id)
            else:
                await self.client.contacts.update(contact_id, {"tags": []})


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 40),
    together=st.integers(1, 12),
    page_size=st.integers(1, 12),
    between=st.lists(changes, max_size=12),
    sort=st.sampled_from(["date_added", "email"]),
    direction=st.sampled_from(["asc", "desc"]),
)
def test_what_is_there_throughout_is_found_exactly_once(
    count: int, together: int, page_size: int, between: list[Any], sort: str, direction: Any
) -> None:
    """Contacts are added (some in the same millisecond), changed, deleted and made to match or not between pages."""
    asyncio.run(read_while_it_changes(count, together, page_size, between, Sort(sort, direction)))


async def read_while_it_changes(count: int, together: int, page_size: int, between: list[Any], sort: Sort) -> None:
    now = 1_790_000_000.0

    def moment() -> None:
        nonlocal now
        now += 0.001

    async with (
        Sandbox(unlimited=True, wall=lambda: now) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, rate_limit=None) as client,
    ):
        shop = Shop(sandbox, client, moment)
        for number in range(count):
            if number % together == 0:
                moment()
            shop.throughout.add(shop.add())
        left = iter(between)
        found: list[str] = []
        async for contact in client.contacts.search(VIP, sort=sort, page_size=page_size):
            found.append(contact.id)
            if len(found) % page_size == 0:
                for what, which in next(left, ()):
                    await shop.change(what, which)
        assert len(found) == len(set(found))
        assert shop.throughout <= set(found)


def test_the_ids_seen_lately_are_bounded() -> None:
    recent = Recent(most=3)
    assert [recent.add(text) for text in "abcab"] == [True, True, True, False, False]
    assert recent.add("d")
    assert recent.add("a")  # it was forgotten
    assert not recent.add("c")


# ---------------------------------------------------------------------------------------------- strange services


def page_of(ids: list[str], **more: Any) -> dict[str, Any]:
    contacts = [{"id": contact_id, "searchAfter": [number, contact_id]} for number, contact_id in enumerate(ids)]
    return {"contacts": contacts, **more}


async def search_among(pages: list[dict[str, Any]], **options: Any) -> list[str]:
    async with (
        answering(*pages) as script,
        LeadConnector("x", base_url=script.url, location_id="L", rate_limit=None) as client,
    ):
        try:
            return [contact.id async for contact in client.contacts.search(**options)]
        finally:
            assert len(script.requests) == len(pages)


async def test_a_service_that_gives_less_than_asked_does_not_end_the_search() -> None:
    pages = [page_of(["a", "b"], total=5), page_of(["c", "d"], total=5), page_of(["e"], total=5)]
    assert await search_among(pages, page_size=100) == list("abcde")
    assert await search_among([page_of(["a"], total=9), page_of([], total=9)], page_size=100) == ["a"]


async def test_a_contact_that_comes_again_is_left_out() -> None:
    assert await search_among([page_of(["a", "b"]), page_of(["b", "c"]), page_of([])], page_size=2) == list("abc")


async def test_a_cursor_that_leads_nowhere_is_told() -> None:
    with pytest.raises(InvalidResponseError, match="twice"):
        await search_among([page_of(["a", "b"]), page_of(["a", "b"])], page_size=2)
    with pytest.raises(InvalidResponseError, match="searchAfter"):
        await search_among([{"contacts": [{"id": "a"}, {"id": "b"}]}], page_size=2)


async def test_pages_that_come_in_a_circle_end_the_search() -> None:
    one, other = page_of(["a", "b"]), page_of(["x", "c", "d"])
    with pytest.raises(InvalidResponseError, match="again and again"):
        await search_among([one, other, one, other, one, other], page_size=2)


async def test_half_an_emoji_of_one_contact_spoils_no_page() -> None:
    page = (
        rb'{"contacts": [{"id": "a", "firstName": "\ud83d"}, {"id": "b", "firstName": "\ud83d\ude00 \\ud83d"}],'
        rb' "total": 2}'
    )
    async with (
        answering(page) as script,
        LeadConnector("x", base_url=script.url, location_id="L", rate_limit=None) as client,
    ):
        found = [contact.first_name async for contact in client.contacts.search()]
    assert found == ["\ufffd", "\U0001f600 \\ud83d"]


@pytest.mark.parametrize(
    ("found", "read", "total", "last"),
    [
        (0, 50, 99, True),
        (10, 10, 99, False),
        (5, 5, 5, True),
        (5, 5, 9, False),
        (5, 5, None, True),
        (10, 10, 10, False),
    ],
)
def test_the_last_page(found: int, read: int, total: int | None, last: bool) -> None:
    page = SearchPage(contacts=[FoundContact(id=str(number)) for number in range(found)], total=total)
    assert is_last(page, 10, read) is last


# ---------------------------------------------------------------------------------------------- what is found


def test_found_contacts_are_read_in_either_spelling_and_whatever_they_hold() -> None:
    contacts = [
        {"id": "1", "dndSettings": {"sms": {"status": "active"}}, "additionalEmails": ["a@b.co", {"email": "c@d.co"}]},
        {"id": "2", "dndSettings": {"SMS": {"status": "active"}}, "validEmail": "maybe", "brandNew": [1]},
        {"id": "3", "firstName": "ann", "firstNameRaw": "Ann", "searchAfter": [None, 1.5, True, "3"]},
    ]
    page = read_search_page(json.dumps({"contacts": contacts, "total": "many", "traceId": 7}).encode())
    one, two, three = page.contacts
    assert (page.total, page.trace_id, page.search_after) == (None, None, [None, 1.5, True, "3"])
    assert one.dnd_settings == two.dnd_settings is not None
    assert one.additional_emails == ["a@b.co", AdditionalEmail(email="c@d.co")]
    assert (two.valid_email, two.extra) == (None, {"validEmail": "maybe", "brandNew": [1]})
    assert (three.first_name_raw, json.loads(three.raw)) == ("Ann", contacts[2])


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"contacts":{}}', b'{"contacts":[7]}', b'{"contacts":[{"id":""}]}'])
async def test_what_is_no_page_is_refused(body: bytes) -> None:
    once = RetryPolicy(max_attempts=1)
    async with (
        answering(body) as script,
        LeadConnector("x", base_url=script.url, location_id="L", retry=once) as client,
    ):
        with pytest.raises(InvalidResponseError):
            await client.contacts.search_page()


@pytest.mark.parametrize("body", [b'{"contact":null}', b"{}", b'{"contact":{}}', b'{"contact": { } ,"traceId":"x"}'])
async def test_no_duplicate_is_told_in_several_ways(body: bytes) -> None:
    async with answering(body) as script, LeadConnector("x", base_url=script.url, location_id="L") as client:
        assert await client.contacts.find_duplicate(email="a+b@c.co", phone="+1 2") is None
        assert script.requests[0][1] == "/contacts/search/duplicate?locationId=L&email=a%2Bb%40c.co&number=%2B1%202"


# ---------------------------------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("part", "wire"),
    [
        (Filter("first_name_lower_case", "contains", "an"), ["firstNameLowerCase", "contains", "an"]),
        (Filter("dateAdded", "exists"), ["dateAdded", "exists"]),
        (Filter("custom_fields.f1", "eq", 7), ["customFields.f1", "eq", 7]),
        (Filter("dnd", "not_eq", value=False), ["dnd", "not_eq", False]),
        (
            Filter("date_added", "range", Range(gte=datetime(2026, 1, 31, 12, tzinfo=UTC), lt="2027-01-01")),
            ["dateAdded", "range", {"gte": "2026-01-31T12:00:00.000Z", "lt": "2027-01-01"}],
        ),
    ],
)
def test_filters_are_sent_as_the_service_takes_them(part: Filter, wire: list[Any]) -> None:
    assert part.to_wire() == dict(zip(("field", "operator", "value"), wire, strict=False))


async def test_filters_find_what_they_say(client: LeadConnector, sandbox: Sandbox) -> None:
    for name, city in (("ann", "Bonn"), ("bob", "Bonn"), ("cid", "Rome"), ("dan", None)):
        sandbox.add_contact(
            LOCATION, email=f"{name}@deos.com", firstName=name.title(), **({"city": city} if city else {})
        )
    for parts, names in (
        ([Filter("city", "eq", "Bonn")], "ann bob"),
        ([Filter("city", "eq", "Bonn"), Filter("email", "not_eq", "ann@deos.com")], "bob"),
        ([any_of(Filter("city", "eq", "Rome"), Filter("first_name_lower_case", "eq", "bob"))], "bob cid"),
        ([Filter("city", "not_exists")], "dan"),
        ([all_of(Filter("city", "exists"), any_of(Filter("city", "contains", "om")))], "cid"),
        ([Filter("date_added", "range", Range(gt=datetime(2020, 1, 1, tzinfo=UTC)))], "ann bob cid dan"),
        ([Filter("date_added", "range", Range(lt=datetime(2020, 1, 1, tzinfo=UTC)))], ""),
    ):
        found = [contact async for contact in client.contacts.search(*parts, sort=Sort("email"))]
        assert [contact.first_name for contact in found] == [name.title() for name in names.split()]
    assert [c.email async for c in client.contacts.search(query="bob")] == ["bob@deos.com"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Filter("emial", "eq", "a"), "cannot be searched 'emial'; fields are"),
        (lambda: Filter("custom_fields.", "eq", "a"), "cannot be searched"),
        (lambda: Filter("email", "is", "a"), "unknown operator 'is'; known are"),  # type: ignore[arg-type]
        (lambda: Filter("email", "eq"), "not_exists"),
        (lambda: Filter("email", "exists", "a"), "takes no value"),
        (lambda: Filter("email", "eq", Range(gt=1)), "only this one"),
        (lambda: Filter("date_added", "range", "2026"), "takes a Range"),
        (lambda: Filter("email", "eq", "a" * 76), "76 characters; the service takes 75"),
        (Range, "at least one"),
        (lambda: Filter("date_added", "range", Range(gt=datetime(2026, 1, 1))).to_wire(), "time zone"),  # noqa: DTZ001
        (any_of, "at least one"),
        (lambda: all_of("a"), "a filter is a Filter"),  # type: ignore[arg-type]
        (lambda: FilterGroup("OR", ()), "at least one"),
        (lambda: Filter(None, "eq", "a"), "the name of a field"),  # type: ignore[arg-type]
        (lambda: join_orders(["date_added"]), "an order is a Sort"),  # type: ignore[list-item]
        (lambda: Sort("phone"), "cannot be ordered by 'phone'; fields are"),
        (lambda: Sort("email", "up"), "asc or desc"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_asked_is_told_at_once(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make()


async def test_a_search_that_cannot_be_sent_is_told_at_once(client: LeadConnector, connect: OpenSandbox) -> None:
    search: Any = client.contacts.search
    for arguments, options, sentence in (
        ((), {"page_size": 0}, "1 to 500"),
        ((), {"page_size": "many"}, "1 to 500"),
        ((), {"page_size": 501}, "1 to 500"),
        ((), {"query": "a" * 76}, "the query has 76"),
        (("email",), {}, "a filter is a Filter"),
        ((), {"sort": ["email"]}, "an order is a Sort"),
    ):
        with pytest.raises(UsageError, match=sentence):
            search(*arguments, **options)
    with pytest.raises(UsageError, match="not by both"):
        await client.contacts.search_page(page=2, search_after=[1, "a"])
    with pytest.raises(UsageError, match="email or phone"):
        await client.contacts.find_duplicate()
    nowhere: LeadConnector = await connect("http://127.0.0.1:1", location_id=None)
    with pytest.raises(UsageError, match="no location"):
        nowhere.contacts.search()


async def test_a_search_names_its_own_location(client: LeadConnector, sandbox: Sandbox) -> None:
    sandbox.add_contact("elsewhere", email="a@b.co")
    assert [contact.location_id async for contact in client.contacts.search(location_id="elsewhere")] == ["elsewhere"]
    assert [contact async for contact in client.contacts.search()] == []
    with pytest.raises(NotFoundError):
        await client.contacts.appointments("nobody")
