"""The groups of operations: what is repeated and what never is, many contacts at once, strange answers, misuse."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leadconnector_async as lca
from leadconnector_async import (
    BadRequestError,
    CallError,
    InvalidResponseError,
    LeadConnector,
    NotFoundError,
    RetryPolicy,
    ServerError,
    UsageError,
)
from leadconnector_async.models.structs import Received, format_time, read_received
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.contacts.test_contacts import METHODS, STRUCTS
from tests.scripted import answering

BUSINESS = "641c094001436dbc2081e642"
Calling: TypeAlias = Callable[[LeadConnector, str], Awaitable[object]]


async def first(found: Any) -> object:
    return [each async for each in found]


# What each operation does to a contact `x` with the note, task and custom field `y`, by whether it may be repeated.
REPEATABLE: dict[str, Calling] = {
    "contacts.search_page": lambda lc, x: lc.contacts.search_page(),
    "contacts.find_duplicate": lambda lc, x: lc.contacts.find_duplicate(email="rosan@deos.com"),
    "contacts.get": lambda lc, x: lc.contacts.get(x),
    "contacts.update": lambda lc, x: lc.contacts.update(x, {"city": "Bonn"}),
    "contacts.upsert": lambda lc, x: lc.contacts.upsert({"email": "rosan@deos.com"}),
    "contacts.appointments": lambda lc, x: lc.contacts.appointments(x),
    "contacts.list_page": lambda lc, x: lc.contacts.list_page(),
    "contacts.by_business": lambda lc, x: lc.contacts.by_business(BUSINESS),
    "contacts.set_business": lambda lc, x: lc.contacts.set_business([x], BUSINESS),
    "contacts.notes.list": lambda lc, x: lc.contacts.notes.list(x),
    "contacts.notes.get": lambda lc, x: lc.contacts.notes.get(x, "{note}"),
    "contacts.notes.update": lambda lc, x: lc.contacts.notes.update(x, "{note}", body="new"),
    "contacts.tasks.list": lambda lc, x: lc.contacts.tasks.list(x),
    "contacts.tasks.get": lambda lc, x: lc.contacts.tasks.get(x, "{task}"),
    "contacts.tasks.update": lambda lc, x: lc.contacts.tasks.update(x, "{task}", title="new"),
    "contacts.tasks.complete": lambda lc, x: lc.contacts.tasks.complete(x, "{task}"),
    "contacts.tags.add": lambda lc, x: lc.contacts.tags.add(x, ["vip"]),
    "contacts.tags.remove": lambda lc, x: lc.contacts.tags.remove(x, ["vip"]),
    "contacts.tags.remove_from_many": lambda lc, x: lc.contacts.tags.remove_from_many([x], ["vip"]),
    "contacts.followers.add": lambda lc, x: lc.contacts.followers.add(x, ["user1"]),
    "contacts.followers.remove": lambda lc, x: lc.contacts.followers.remove(x, ["user1"]),
    "contacts.campaigns.remove": lambda lc, x: lc.contacts.campaigns.remove(x, "campaign1"),
    "contacts.campaigns.remove_from_all": lambda lc, x: lc.contacts.campaigns.remove_from_all(x),
    "contacts.workflows.remove": lambda lc, x: lc.contacts.workflows.remove(x, "workflow1"),
    "locations.get": lambda lc, x: lc.locations.get(),
    "locations.search": lambda lc, x: first(lc.locations.search()),
    "locations.custom_fields.list": lambda lc, x: lc.locations.custom_fields.list(),
    "locations.custom_fields.get": lambda lc, x: lc.locations.custom_fields.get("{field}"),
    "locations.custom_fields.update": lambda lc, x: lc.locations.custom_fields.update("{field}", "Size"),
}
DELETES: dict[str, Calling] = {
    "contacts.delete": lambda lc, x: lc.contacts.delete(x),
    "contacts.notes.delete": lambda lc, x: lc.contacts.notes.delete(x, "{note}"),
    "contacts.tasks.delete": lambda lc, x: lc.contacts.tasks.delete(x, "{task}"),
    "locations.custom_fields.delete": lambda lc, x: lc.locations.custom_fields.delete("{field}"),
}
NEVER_REPEATED: dict[str, Calling] = {
    "contacts.create": lambda lc, x: lc.contacts.create({"email": "new@deos.com"}),
    "contacts.notes.create": lambda lc, x: lc.contacts.notes.create(x, "call"),
    "contacts.tasks.create": lambda lc, x: lc.contacts.tasks.create(x, "call", due_date="2026-11-01T00:00:00Z"),
    "contacts.campaigns.add": lambda lc, x: lc.contacts.campaigns.add(x, "campaign2"),
    "contacts.workflows.add": lambda lc, x: lc.contacts.workflows.add(x, "workflow2"),
    "locations.custom_fields.create": lambda lc, x: lc.locations.custom_fields.create("Hat", "TEXT"),
}


def test_each_operation_is_in_one_of_the_three() -> None:
    assert sorted((*REPEATABLE, *DELETES, *NEVER_REPEATED)) == sorted(METHODS.values())


class Known:
    """A client whose ids in braces stand for what a test made before."""

    def __init__(self, client: LeadConnector, ids: dict[str, str]) -> None:
        self.client = client
        self.ids = ids

    async def call(self, calling: Calling) -> object:
        send = self.client.send

        async def send_known(call: Any) -> Any:
            path = call.request.path
            for name, known in self.ids.items():
                path = path.replace("%7B" + name + "%7D", known)
            return await send(msgspec.structs.replace(call, request=msgspec.structs.replace(call.request, path=path)))

        self.client.send = send_known  # type: ignore[method-assign]
        return await calling(self.client, self.ids["contact"])


@pytest.fixture
async def known(client: LeadConnector, sandbox: Sandbox) -> Known:
    contact_id = sandbox.add_contact(LOCATION, email="rosan@deos.com")["id"]
    await client.contacts.campaigns.add(contact_id, "campaign1")
    await client.contacts.workflows.add(contact_id, "workflow1")
    return Known(
        client,
        {
            "contact": contact_id,
            "note": (await client.contacts.notes.create(contact_id, "first")).id,
            "task": (await client.contacts.tasks.create(contact_id, "first", due_date=datetime.now(UTC))).id,
            "field": (await client.locations.custom_fields.create("Shoe", "TEXT")).id,
        },
    )


@pytest.mark.parametrize("kind", ["reset-after", "empty-200", "500"])
@pytest.mark.parametrize("name", [*REPEATABLE, *DELETES])
async def test_what_does_no_harm_twice_is_tried_again(known: Known, sandbox: Sandbox, name: str, kind: str) -> None:
    before = sandbox.requests
    sandbox.fail_next(kind)
    await known.call((REPEATABLE | DELETES)[name])
    assert sandbox.requests == before + 2


@pytest.mark.parametrize("kind", ["reset-after", "empty-200", "500"])
@pytest.mark.parametrize("name", NEVER_REPEATED)
async def test_what_could_be_done_twice_never_is(known: Known, sandbox: Sandbox, name: str, kind: str) -> None:
    before = sandbox.requests
    sandbox.fail_next(kind)
    with pytest.raises(CallError) as caught:
        await known.call(NEVER_REPEATED[name])
    assert (caught.value.may_be_applied, sandbox.requests) == (True, before + 1)


@pytest.mark.parametrize("name", DELETES)
async def test_a_delete_of_what_never_was_is_told(known: Known, name: str) -> None:
    await known.call(DELETES[name])
    with pytest.raises(NotFoundError):
        await known.call(DELETES[name])


# ---------------------------------------------------------------------------------------------- many at once


async def test_many_contacts_go_a_hundred_a_call(client: LeadConnector, sandbox: Sandbox) -> None:
    ids = [sandbox.add_contact(LOCATION, email=f"{number}@b.co")["id"] for number in range(230)]
    report = await client.contacts.tags.add_to_many([*ids, "nobody", ids[0]], ["vip"])
    assert [result.contact_id for result in report.results] == [*ids, "nobody"]
    assert (report.error_count, [result.contact_id for result in report.failed]) == (1, ["nobody"])
    assert sandbox.requests == 3
    assert all(contact["tags"] == ["vip"] for contact in sandbox.contacts())
    assert await client.contacts.set_business(ids, BUSINESS) == ids
    assert sandbox.requests == 6
    assert (await client.contacts.tags.add_to_many([], ["vip"])).results == []
    assert sandbox.requests == 6


async def test_a_call_that_fails_leaves_the_hundreds_before_it_done(sandbox: Sandbox, connect: OpenSandbox) -> None:
    client: LeadConnector = await connect(sandbox, retry=RetryPolicy(max_attempts=1))
    ids = [sandbox.add_contact(LOCATION, email=f"{number}@b.co")["id"] for number in range(150)]
    sandbox.fail_next(None)
    sandbox.fail_next("500")
    with pytest.raises(ServerError):
        await client.contacts.tags.add_to_many(ids, ["vip"])
    assert sum("vip" in contact.get("tags", ()) for contact in sandbox.contacts()) == 100
    assert (await client.contacts.tags.add_to_many(ids, ["vip"])).failed == []


async def test_a_contact_of_which_nothing_is_said_counts_as_failed() -> None:
    answer = {
        "succeded": True,
        "errorCount": "none",
        "responses": [
            {"contactId": "b", "type": "success", "tagsAdded": "odd"},
            "odd",
            {"contactId": 7},
            {"type": "success"},
        ],
    }
    async with answering(answer, status=201) as script, LeadConnector("x", base_url=script.url, location_id="L") as lc:
        report = await lc.contacts.tags.add_to_many(["a", "b"], ["vip"])
    assert [(result.contact_id, result.is_done) for result in report.results] == [("a", False), ("b", True)]
    assert report.failed[0].message == "the service's answer did not mention this contact"
    assert report.results[1].extra == {"tagsAdded": "odd"}


# ---------------------------------------------------------------------------------------------- whose quota


async def test_a_call_counts_against_the_location_it_names(
    client: LeadConnector, sandbox: Sandbox, known: Known
) -> None:
    contact_id = known.ids["contact"]
    calls: list[Awaitable[object]] = [
        client.contacts.get(contact_id, location_id="two"),
        client.contacts.update(contact_id, {"city": "Bonn"}, location_id="two"),
        client.contacts.add_tags(contact_id, ["a"], location_id="two"),
        client.contacts.notes.list(contact_id, location_id="two"),
        client.contacts.tasks.list(contact_id, location_id="two"),
        client.contacts.followers.add(contact_id, ["a"], location_id="two"),
        client.contacts.campaigns.add(contact_id, "a", location_id="two"),
        client.contacts.workflows.add(contact_id, "a", location_id="two"),
        client.contacts.appointments(contact_id, location_id="two"),
        client.contacts.search_page(location_id="two"),
        client.locations.get("two"),
        client.locations.custom_fields.list(location_id="two"),
        client.contacts.delete(contact_id, location_id="two"),
    ]
    seen: list[str] = []
    window = client.window
    client.window = lambda location_id: seen.append(location_id) or window(location_id)  # type: ignore[method-assign,func-returns-value]
    for call in calls:
        await call
    assert seen == ["two"] * len(calls)


# ---------------------------------------------------------------------------------------------- strange answers

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RECEIVED = [
    struct for struct in dict.fromkeys((*STRUCTS.values(), lca.FollowersChange)) if issubclass(struct, Received)
]


@pytest.mark.parametrize("struct", RECEIVED, ids=lambda struct: struct.__name__)
@given(data=st.data())
def test_no_value_of_any_field_breaks_an_answer(struct: type[Received], data: st.DataObject) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(struct)]
    body = data.draw(st.dictionaries(st.sampled_from(names) | st.text(max_size=4), json_values, max_size=8))
    body |= {name: "an id" for name in ("id", "contactId") if name in names}
    value = read_received(json.dumps(body).encode(), struct)
    assert json.loads(value.raw) == body
    for name, sent in body.items():
        if name not in names:
            assert value.extra[name] == sent
    for field in msgspec.structs.fields(struct):
        known = getattr(value, field.name)
        if known is None and body.get(field.encode_name) is not None:
            assert value.extra[field.encode_name] == body[field.encode_name]


@pytest.mark.parametrize(
    "answer", [{}, {"note": None}, {"note": {}}, {"note": {"id": 7}}, {"note": {"id": " "}}, [], b""]
)
async def test_an_answer_without_the_thing_is_refused_and_in_doubt(answer: object) -> None:
    async with answering(answer, status=201) as script, LeadConnector("x", base_url=script.url) as client:
        with pytest.raises(InvalidResponseError) as caught:
            await client.contacts.notes.create("x", "call")
        assert (caught.value.may_be_applied, len(script.requests)) == (True, 1)


def test_what_was_received_survives_a_pickle() -> None:
    note = read_received(b'{"id":"1","pinned":"often","new":[2]}', lca.Note)
    for other in (pickle.loads(pickle.dumps(note)), copy.deepcopy(note)):
        assert (other, other.extra, other.raw) == (note, {"pinned": "often", "new": [2]}, note.raw)


async def test_a_list_that_is_null_is_one_of_none() -> None:
    async with answering({"events": None}) as script, LeadConnector("x", base_url=script.url) as client:
        assert await client.contacts.appointments("x") == []


@pytest.mark.parametrize("answer", [{"succeeded": None}, {}])
async def test_a_deletion_that_does_not_say_so_is_none(answer: object) -> None:
    once = RetryPolicy(max_attempts=1)
    async with answering(answer) as script, LeadConnector("x", base_url=script.url, retry=once) as client:
        with pytest.raises(InvalidResponseError, match="does not say that it succeeded"):
            await client.contacts.notes.delete("x", "y")


SAYS_NO: dict[str, Any] = {
    "delete a note": lambda contacts: contacts.notes.delete("x", "y"),
    "add to a campaign": lambda contacts: contacts.campaigns.add("x", "y"),
    "set a business": lambda contacts: contacts.set_business(["x"], "y", location_id="L"),
    "upsert": lambda contacts: contacts.upsert({"email": "a@b.co", "location_id": "L"}),
    "create": lambda contacts: contacts.create({"email": "a@b.co", "location_id": "L"}),
    "update": lambda contacts: contacts.update("x", {"city": "Bonn"}),
}


@pytest.mark.parametrize("call", SAYS_NO.values(), ids=SAYS_NO)
@pytest.mark.parametrize("flag", ["succeded", "succeeded", "success"])
@pytest.mark.parametrize("beside", [{}, {"contact": {"id": "x"}, "new": True, "ids": ["x"]}, {"contact": {"id": 7}}])
async def test_an_answer_that_says_no_is_a_refusal(call: Callable[..., Any], flag: str, beside: dict[str, Any]) -> None:
    if flag == "success" and "contact" in beside:
        return  # no answer with a contact has a flag of this name
    answer = {flag: False, "message": "it is locked", "traceId": "t", **beside}
    async with answering(answer) as script, LeadConnector("x", base_url=script.url) as client:
        with pytest.raises(BadRequestError, match=r"^200: it is locked$") as refused:
            await call(client.contacts)
        assert len(script.requests) == 1, "it is not tried again"
    assert (refused.value.trace_id, refused.value.may_be_applied) == ("t", False)


async def test_an_answer_that_says_no_and_no_more() -> None:
    async with answering({"succeeded": False}) as script, LeadConnector("x", base_url=script.url) as client:
        with pytest.raises(BadRequestError, match=r"^200: the service says that it did not succeed"):
            await client.contacts.delete("x")


async def test_locations_that_come_again_end_the_search() -> None:
    pages = [{"locations": [{"id": "a"}, {"id": "b"}]}, {"locations": [{"id": "b"}, {"id": "c"}]}]
    async with answering(*pages) as script, LeadConnector("x", base_url=script.url) as client:
        assert [location.id async for location in client.locations.search(page_size=2)] == ["a", "b", "c"]
        assert len(script.requests) == 3  # the last page came once more, with nothing new in it


# ---------------------------------------------------------------------------------------------- misuse


@pytest.mark.parametrize("bad", ["", " ", ".", "..", "\ud800", None, 7])
async def test_an_id_that_leads_elsewhere_is_not_sent(client: LeadConnector, sandbox: Sandbox, bad: Any) -> None:
    for call in (
        client.contacts.get(bad),
        client.contacts.notes.get("x", bad),
        client.contacts.tasks.complete("x", bad),
        client.contacts.campaigns.add("x", bad),
        client.contacts.workflows.remove(bad, "x"),
        client.locations.custom_fields.delete(bad),
        client.contacts.by_business(bad),
    ):
        with pytest.raises(UsageError, match="id"):
            await call
    assert sandbox.requests == 0


async def test_an_id_is_quoted(client: LeadConnector, sandbox: Sandbox) -> None:
    with pytest.raises(NotFoundError):
        await client.contacts.notes.get("a/b?c=d#e", "../..")
    assert sandbox.requests == 1
    assert sandbox.arrivals[-1].status in (400, 404)


async def test_values_of_the_wrong_type_are_told_and_not_sent(client: LeadConnector, sandbox: Sandbox) -> None:
    contacts: Any = client.contacts
    fields: Any = client.locations.custom_fields
    for call, sentence in (
        (contacts.find_duplicate(email="\ud800"), "email holds a character"),
        (contacts.notes.create("x", "\ud800"), "cannot be encoded"),
        (contacts.notes.create("x", True), "body: expected str"),
        (contacts.notes.update("x", "y", user_id=True), "user_id: expected str"),
        (contacts.tasks.create("x", "t", due_date=7), "a time is a text or a datetime"),
        (contacts.tasks.create("x", "t", due_date=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
        (contacts.tasks.complete("x", "y", completed="yes"), "completed: expected bool"),
        (contacts.tags.add_to_many("abc", ["a"]), "contact_ids is a list"),
        (contacts.tags.add_to_many(["a"], "abc"), "tags is a list"),
        (contacts.tags.add("x", ["a", 7]), "there is a int in it"),
        (contacts.followers.add("x", "user1"), "user_ids is a list"),
        (contacts.set_business(["x"], True), "business_id: expected str"),
        (fields.create("Size", "TEXT", model="thing"), "model: invalid enum value"),
        (fields.create("Size", "TEXT", text_box_list_options=[True]), r"text_box_list_options\[0\]"),
    ):
        with pytest.raises(UsageError, match=sentence):
            await call
    assert sandbox.requests == 0


async def test_what_needs_a_location_says_so(connect: OpenSandbox) -> None:
    client: LeadConnector = await connect("http://127.0.0.1:1", location_id=None)
    for call in (
        client.contacts.search_page(),
        client.contacts.find_duplicate(email="a@b.co"),
        client.contacts.list_page(),
        client.contacts.by_business(BUSINESS),
        client.contacts.set_business(["x"], None),
        client.contacts.tags.add_to_many(["x"], ["a"]),
        client.locations.get(),
        client.locations.custom_fields.list(),
    ):
        with pytest.raises(UsageError, match="no location: pass location_id"):
            await call


def test_times_are_written_in_utc() -> None:
    in_india = datetime(2026, 1, 31, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert format_time(in_india) == "2026-01-31T12:00:00.000Z"
    assert format_time("2026") == "2026"
