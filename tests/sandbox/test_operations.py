"""The operations beside those on a contact itself: what they keep, what they refuse, how each version spells them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.calls import VERSIONS
from leadconnector_async.sandbox.service import ROUTES
from tests import specification
from tests.sandbox.conftest import Api, L

OpenApi = Callable[..., Awaitable[Api]]
NOBODY = "abcdefghijklmnopqrst"
TASK = {"title": "Call", "dueDate": "2026-01-02T10:00:00+01:00", "completed": False}


@pytest.fixture
async def contact_id(api: Api) -> str:
    return str((await api.upsert(email="ann@b.co", firstName="Ann"))["contact"]["id"])


@pytest.fixture
def path(contact_id: str) -> str:
    return f"/contacts/{contact_id}"


# ---------------------------------------------------------------------------------------------- notes and tasks


async def test_notes_from_birth_to_death(api: Api, contact_id: str, path: str) -> None:
    status, answer = await api.call("POST", f"{path}/notes", {"body": "hi", "title": "T", "pinned": True})
    note = answer["note"]
    assert status == 201
    assert (note["body"], note["title"], note["pinned"], note["contactId"]) == ("hi", "T", True, contact_id)
    assert note["dateAdded"].endswith("Z")
    own = f"{path}/notes/{note['id']}"
    assert (await api.ok("PUT", own, {"body": "ho"}))["note"] == {**note, "body": "ho"}
    assert (await api.ok("GET", own))["note"]["body"] == "ho"
    assert [each["body"] for each in (await api.ok("GET", f"{path}/notes"))["notes"]] == ["ho"]
    assert (await api.ok("DELETE", own))["succeded"] is True
    assert (await api.ok("GET", f"{path}/notes"))["notes"] == []
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        assert await api.refused(own, method, body) == (400, f"Note with id {note['id']} not found")


async def test_tasks_from_birth_to_death(api: Api, contact_id: str, path: str) -> None:
    status, answer = await api.call("POST", f"{path}/tasks", TASK)
    task = answer["task"]
    assert status == 201
    assert task == {**TASK, "id": task["id"], "contactId": contact_id, "dueDate": "2026-01-02T09:00:00.000Z"}
    own = f"{path}/tasks/{task['id']}"
    assert (await api.ok("PUT", own, {"title": "Write"}))["task"]["title"] == "Write"
    assert (await api.ok("PUT", f"{own}/completed", {"completed": True}))["task"]["completed"] is True
    assert (await api.ok("GET", own))["task"] == (await api.ok("GET", f"{path}/tasks"))["tasks"][0]
    assert api.sandbox.tasks(contact_id)[0]["completed"] is True
    assert (await api.ok("DELETE", own))["succeded"] is True
    status, answer = await api.call("GET", own)
    assert (status, answer["error"]) == (400, f"Task with id {task['id']} not found")
    assert "message" not in answer


@pytest.mark.parametrize(
    ("end", "body", "message"),
    [
        ("notes", {}, ["body must be a string", "body should not be empty"]),
        ("notes", {"body": ""}, ["body should not be empty"]),
        ("notes", {"body": "x", "contactId": "y"}, ["property contactId should not exist"]),
        ("notes", {"body": "x", "pinned": "yes"}, ["pinned must be a boolean value"]),
        ("tasks", {**TASK, "dueDate": "soon"}, ["dueDate must be a valid ISO 8601 date string"]),
        ("tasks", {**TASK, "completed": None}, ["completed must be a boolean value"]),
        ("followers", {"followers": "me"}, ["followers must be an array"]),
        ("campaigns/c1", {"eventStartTime": "x"}, ["property eventStartTime should not exist"]),
        ("workflow/w1", {"eventStartTime": "x"}, ["eventStartTime must be a valid ISO 8601 date string"]),
        ("tags", {}, ["tags must be an array", "tags should not be empty"]),
    ],
)
async def test_what_belongs_to_a_contact_is_checked(api: Api, path: str, end: str, body: Any, message: Any) -> None:
    assert await api.refused(f"{path}/{end}", "POST", body) == (422, message)


async def test_what_belongs_to_one_contact_is_not_found_at_another(api: Api, path: str) -> None:
    other = (await api.upsert(email="bob@b.co"))["contact"]["id"]
    note = (await api.ok("POST", f"{path}/notes", {"body": "hi"}))["note"]["id"]
    task = (await api.ok("POST", f"{path}/tasks", TASK))["task"]["id"]
    assert (await api.call("GET", f"/contacts/{other}/notes/{note}"))[0] == 400
    assert (await api.call("DELETE", f"/contacts/{other}/tasks/{task}"))[0] == 400
    assert len(api.sandbox.notes(path.rsplit("/", 1)[1])) == 1


@pytest.mark.parametrize(
    ("method", "end", "body"),
    [
        ("GET", "notes", None),
        ("POST", "notes", {"body": "x"}),
        ("GET", "tasks", None),
        ("POST", "tasks", TASK),
        ("GET", "appointments", None),
        ("POST", "followers", {"followers": ["u"]}),
        ("POST", "campaigns/c", {}),
        ("DELETE", "campaigns/removeAll", None),
        ("DELETE", "workflow/w", {}),
    ],
)
async def test_nothing_is_kept_for_a_contact_that_is_not_there(api: Api, method: str, end: str, body: Any) -> None:
    assert await api.refused(f"/contacts/{NOBODY}/{end}", method, body) == (400, f"Contact not found for id:{NOBODY}")


async def test_a_deleted_contact_is_gone_everywhere(api: Api, contact_id: str, path: str) -> None:
    await api.ok("POST", f"{path}/notes", {"body": "hi"})
    await api.ok("POST", f"{path}/tasks", TASK)
    await api.ok("POST", f"{path}/campaigns/c1", {})
    api.sandbox.add_appointment(contact_id, title="Visit")
    await api.ok("DELETE", path)
    sandbox = api.sandbox
    assert (sandbox.notes(contact_id), sandbox.tasks(contact_id), sandbox.campaigns(contact_id)) == ([], [], [])
    found = await api.ok("POST", "/contacts/search", {"locationId": L, "pageLimit": 10})
    assert (found["contacts"], found["total"]) == ([], 0)
    assert (await api.ok("GET", f"/contacts/?locationId={L}"))["contacts"] == []
    assert (await api.ok("GET", f"/contacts/search/duplicate?locationId={L}&email=ann@b.co"))["contact"] is None
    answer = await api.ok(
        "POST", "/contacts/bulk/tags/update/add", {"contacts": [contact_id], "tags": ["x"], "locationId": L}
    )
    assert answer["responses"] == [{"contactId": contact_id, "message": "contact is deleted", "type": "error"}]


# ---------------------------------------------------------------------------------------------- what a contact is in


async def test_followers(api: Api, path: str) -> None:
    status, answer = await api.call("POST", f"{path}/followers", {"followers": ["u1", "u2", "u1"]})
    assert (status, answer["followers"], answer["followersAdded"]) == (201, ["u1", "u2"], ["u1", "u2"])
    assert (await api.ok("POST", f"{path}/followers", {"followers": ["u2", "u3"]}))["followersAdded"] == ["u3"]
    status, answer = await api.call("DELETE", f"{path}/followers", {"followers": ["u1", "u9"]})
    assert (status, answer["followers"], answer["followersRemoved"]) == (200, ["u2", "u3"], ["u1"])
    assert (await api.ok("GET", path))["contact"]["followers"] == ["u2", "u3"]


async def test_campaigns_and_workflows(api: Api, contact_id: str, path: str) -> None:
    for campaign in ("c1", "c2", "c3"):
        assert (await api.call("POST", f"{path}/campaigns/{campaign}", {}))[0] == 201
    await api.ok("DELETE", f"{path}/campaigns/c1")
    assert api.sandbox.campaigns(contact_id) == ["c2", "c3"]
    status, _ = await api.call("POST", f"{path}/workflow/w1", {"eventStartTime": "2026-06-23T03:30:00+01:00"})
    assert (status, api.sandbox.workflows(contact_id)) == (200, ["w1"])
    await api.ok("DELETE", f"{path}/campaigns/removeAll")
    assert (api.sandbox.campaigns(contact_id), api.sandbox.workflows(contact_id)) == ([], ["w1"])
    await api.ok("DELETE", f"{path}/workflow/w1", {})
    assert api.sandbox.workflows(contact_id) == []


async def test_appointments_are_seeded(api: Api, contact_id: str, path: str) -> None:
    assert (await api.ok("GET", f"{path}/appointments"))["events"] == []
    event = api.sandbox.add_appointment(contact_id, title="Visit", startTime="2026-01-02 10:00:00")
    assert (await api.ok("GET", f"{path}/appointments"))["events"] == [event]
    assert (event["contactId"], event["locationId"]) == (contact_id, L)


# ---------------------------------------------------------------------------------------------- many at once


async def test_bulk_tags_tell_each_contact_apart(api: Api, contact_id: str) -> None:
    elsewhere = api.sandbox.add_contact("other", email="x@b.co")["id"]
    ids = [contact_id, "short", NOBODY, elsewhere]
    where = "/contacts/bulk/tags/update"
    status, answer = await api.call("POST", f"{where}/add", {"contacts": ids, "tags": ["A", "b"], "locationId": L})
    assert (status, answer["succeded"], answer["errorCount"]) == (201, True, 3)
    assert answer["responses"] == [
        {
            "contactId": contact_id,
            "message": "Tags updated",
            "type": "success",
            "oldTags": [],
            "tagsAdded": ["a", "b"],
            "tagsRemoved": [],
        },
        {"contactId": "short", "message": "contact id is not a valid firebase id", "type": "error"},
        {"contactId": NOBODY, "message": "contact is deleted", "type": "error"},
        {"contactId": elsewhere, "message": "contact does not belong to location", "type": "error"},
    ]
    sent = {"contacts": [contact_id], "tags": ["B", "c"], "locationId": L}
    assert (await api.ok("POST", f"{where}/remove", sent))["responses"][0]["tagsRemoved"] == ["b"]
    await api.ok("POST", f"{where}/add", sent)
    answer = await api.ok("POST", f"{where}/remove", {**sent, "tags": [], "removeAllTags": True})
    assert answer["responses"][0]["oldTags"] == ["a", "b", "c"]
    assert (api.sandbox.contact(contact_id) or {})["tags"] == []
    assert (await api.call("POST", f"{where}/swap", sent))[0] == 422


async def test_a_business_takes_contacts_and_lets_them_go(api: Api, contact_id: str) -> None:
    others = [api.sandbox.add_contact(L, email=f"{n}@b.co", firstName=f"N{n}")["id"] for n in range(3)]
    sent = {"locationId": L, "ids": [contact_id, *others, NOBODY], "businessId": "641c094001436dbc2081e642"}
    answer = await api.ok("POST", "/contacts/bulk/business", sent)
    assert (answer["success"], answer["ids"]) == (True, [contact_id, *others])
    where = f"/contacts/business/641c094001436dbc2081e642?locationId={L}"
    pages = [await api.ok("GET", f"{where}&limit=3&skip={skip}") for skip in (0, 3)]
    assert sorted(each["id"] for page in pages for each in page["contacts"]) == sorted([contact_id, *others])
    assert [page["count"] for page in pages] == [4, 4]
    last = pages[0]["contacts"][-1]
    for after in (
        f"startAfter={last['contactName']}&startAfter={last['id']}",  # as the vendor's SDK for Python sends it
        f"startAfter={last['contactName']},{last['id']}",  # as the specification of v3 has it
    ):
        assert (await api.ok("GET", f"{where}&{after}", None, "v3"))["contacts"] == pages[1]["contacts"]
    assert await api.refused(f"{where}&startAfter=x", "GET") == (422, ["startAfter must be a name and an id"])
    assert [each["id"] for each in (await api.ok("GET", f"{where}&query=ann"))["contacts"]] == [contact_id]
    await api.ok("POST", "/contacts/bulk/business", {**sent, "ids": others, "businessId": None})
    assert [each["id"] for each in (await api.ok("GET", where))["contacts"]] == [contact_id]
    assert "businessId" not in (api.sandbox.contact(others[0]) or {})
    assert await api.refused("/contacts/bulk/business", "POST", {**sent, "ids": ["x" * 51]}) == (
        422,
        ["each value in ids must be shorter than or equal to 50 characters"],
    )


# ---------------------------------------------------------------------------------------------- duplicates


@pytest.mark.parametrize(("order", "first"), [(("email", "phone"), "email"), (("phone", "email"), "phone")])
async def test_a_duplicate_is_looked_up_as_an_upsert_would(
    open_api: OpenApi, order: tuple[str, ...], first: str
) -> None:
    api = await open_api(unique_identifiers=order)
    ids = {
        "email": (await api.upsert(email="a+b@c.co"))["contact"]["id"],
        "phone": (await api.upsert(phone="+16175550100"))["contact"]["id"],
    }
    where = f"/contacts/search/duplicate?locationId={L}"
    for query, found in (
        ("&email=A%2BB@c.co", ids["email"]),
        ("&number=%2B16175550100", ids["phone"]),
        ("&email=a%2Bb@c.co&number=6175550100", ids[first]),
    ):
        assert (await api.ok("GET", where + query))["contact"]["id"] == found
    assert (await api.ok("GET", where + "&email=no@b.co"))["contact"] is None
    assert (await api.call("GET", "/contacts/search/duplicate?email=a"))[0] == 403


# ---------------------------------------------------------------------------------------------- locations


async def test_a_location_tells_how_it_matches(open_api: OpenApi) -> None:
    api = await open_api(allow_duplicates=True, unique_identifiers=("phone",), country="DE", locations=[L, "M"])
    location = (await api.ok("GET", f"/locations/{L}"))["location"]
    assert (location["id"], location["country"], location["settings"]["allowDuplicateContact"]) == (L, "DE", True)
    assert location["settings"]["contactUniqueIdentifiers"] == ["phone"]
    assert (await api.call("GET", "/locations/unknown"))[0] == 403


async def test_locations_are_those_named_and_those_written_to(open_api: OpenApi) -> None:
    api = await open_api()
    assert (await api.ok("GET", "/locations/search"))["locations"] == []
    for name in ("A", "B", "C"):
        api.sandbox.add_contact(name, email="a@b.co")

    async def found(query: str) -> list[str]:
        return [each["id"] for each in (await api.ok("GET", f"/locations/search?{query}"))["locations"]]

    assert await found("limit=2") == ["A", "B"]
    assert await found("limit=2&skip=2") == ["C"]
    assert await found("order=desc") == ["C", "B", "A"]
    assert await found("email=b@sandbox.example") == ["B"]
    assert await found("companyId=other") == []
    assert (await api.call("GET", "/locations/search?limit=many"))[0] == 422


async def test_custom_fields_made_by_the_api_work_in_upserts(api: Api) -> None:
    where = f"/locations/{L}/customFields"
    usual = (await api.ok("GET", where))["customFields"]
    assert {"nickname", "plan"} <= {each["fieldKey"].removeprefix("contact.") for each in usual}
    status, answer = await api.call(
        "POST", where, {"name": "Shoe size", "dataType": "SINGLE_OPTIONS", "options": ["41", "42"], "position": 3}
    )
    field = answer["customField"]
    assert (status, field["fieldKey"], field["picklistOptions"]) == (201, "contact.shoe_size", ["41", "42"])
    assert (field["locationId"], field["model"], field["position"]) == (L, "contact", 3)
    sent = [{"key": "shoe_size", "field_value": "42"}, {"key": "nickname", "field_value": "Al"}]
    contact = (await api.upsert(email="a@b.co", customFields=sent))["contact"]
    assert {"id": field["id"], "value": "42"} in contact["customFields"]
    elsewhere = (await api.upsert(email="a@b.co", customFields=sent, locationId="other"))["contact"]
    assert [each["value"] for each in elsewhere["customFields"]] == ["Al"]
    renamed = (await api.ok("PUT", f"{where}/{field['id']}", {"name": "Shoes", "options": ["43"]}))["customField"]
    assert (renamed["name"], renamed["fieldKey"], renamed["picklistOptions"]) == ("Shoes", "contact.shoe_size", ["43"])
    assert (await api.ok("GET", f"{where}/{field['id']}"))["customField"] == renamed
    assert len((await api.ok("GET", where))["customFields"]) == len(usual) + 1
    assert (await api.ok("DELETE", f"{where}/{field['id']}"))["succeded"] is True
    assert [each["value"] for each in (await api.upsert(email="a@b.co"))["contact"]["customFields"]] == ["Al"]
    assert (await api.call("GET", f"{where}/{field['id']}"))[0] == 400


async def test_custom_fields_of_opportunities_are_not_for_contacts(api: Api) -> None:
    where = f"/locations/{L}/customFields"
    await api.ok("POST", where, {"name": "Stage", "dataType": "TEXT", "model": "opportunity"})
    listed = {
        model: (await api.ok("GET", f"{where}?model={model}"))["customFields"] for model in ("opportunity", "all")
    }
    assert [each["fieldKey"] for each in listed["opportunity"]] == ["opportunity.stage"]
    assert len(listed["all"]) == len((await api.ok("GET", where))["customFields"]) + 1
    contact = (await api.upsert(email="a@b.co", customFields=[{"key": "stage", "field_value": "x"}]))["contact"]
    assert contact["customFields"] == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"name": "X"}, 422, None),
        ({"name": "", "dataType": "TEXT"}, 422, ["name should not be empty"]),
        ({"name": "X", "dataType": "COLOUR"}, 422, None),
        ({"name": "Nickname", "dataType": "TEXT"}, 400, "contact.nickname already exists"),
        ({"name": "X", "dataType": "RADIO", "options": [{"label": "a"}]}, 400, "v.trim is not a function"),
        ({"name": "X", "dataType": "TEXTBOX_LIST", "textBoxListOptions": [{}]}, 422, None),
    ],
)
async def test_custom_fields_that_cannot_be(api: Api, body: Any, status: int, message: Any) -> None:
    answered, said = await api.refused(f"/locations/{L}/customFields", "POST", body)
    assert answered == status
    assert message in (None, said)


# ---------------------------------------------------------------------------------------------- versions


def flags(answer: dict[str, Any]) -> set[str]:
    return {name for name in answer if name.startswith("succe")}


@pytest.mark.parametrize("version", VERSIONS)
async def test_each_version_spells_success_its_way(api: Api, path: str, version: str) -> None:
    usual = {"succeeded", "succeded"} if version == "v3" else {"succeded"}
    note = (await api.ok("POST", f"{path}/notes", {"body": "x"}, version))["note"]["id"]
    assert flags(await api.ok("DELETE", f"{path}/notes/{note}", None, version)) == usual
    assert flags(await api.ok("POST", f"{path}/campaigns/c", {}, version)) == usual
    sent = {"contacts": [], "tags": ["x"], "locationId": L}
    assert flags(await api.ok("POST", "/contacts/bulk/tags/update/add", sent, version)) == usual
    updated = {"succeeded"} if version == "v3" else {"succeded"}
    assert flags(await api.ok("PUT", path, {"city": "Bonn"}, version)) == updated
    assert flags(await api.ok("DELETE", path, None, version)) == usual


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_created_contact_as_each_version_has_it(api: Api, version: str) -> None:
    sent = {"locationId": L, "email": "new@b.co", "name": "New One", "timezone": "Europe/Berlin"}
    contact = (await api.ok("POST", "/contacts/", sent, version))["contact"]
    assert ("name" in contact, "timezone" in contact, "deleted" in contact) == (
        (True, True, False) if version == "v3" else (False, False, True)
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_do_not_disturb_in_all_answers_with_a_contact(api: Api, path: str, version: str) -> None:
    await api.ok("PUT", path, {"dndSettings": {"sms": {"status": "active"}}}, version)
    await api.ok("POST", "/contacts/bulk/business", {"locationId": L, "ids": [path[10:]], "businessId": "b"}, version)
    search = await api.ok("POST", "/contacts/search", {"locationId": L, "pageLimit": 1}, version)
    contacts = [
        (await api.ok("GET", path, None, version))["contact"],
        (await api.ok("GET", f"/contacts/search/duplicate?locationId={L}&email=ann@b.co", None, version))["contact"],
        *search["contacts"],
        *(await api.ok("GET", f"/contacts/?locationId={L}", None, version))["contacts"],
        *(await api.ok("GET", f"/contacts/business/b?locationId={L}", None, version))["contacts"],
    ]
    assert len(contacts) == 5
    assert all(set(each["dndSettings"]) == ({"sms"} if version == "v3" else {"SMS"}) for each in contacts)


async def test_paths_with_a_hyphen_are_only_known_to_v3(api: Api, contact_id: str, path: str) -> None:
    await api.ok("POST", f"{path}/campaigns/c", {})
    status, answer = await api.call("DELETE", f"{path}/campaigns/remove-all")
    assert (status, answer["message"]) == (404, f"Cannot DELETE {path}/campaigns/remove-all")
    await api.ok("DELETE", f"{path}/campaigns/remove-all", None, "v3")
    assert api.sandbox.campaigns(contact_id) == []
    await api.ok("DELETE", f"{path}/campaigns/removeAll", None, "v3")


@pytest.mark.parametrize(
    ("method", "where", "status"),
    [
        ("GET", "/contacts/x/Notes", 401),
        ("GET", "/Locations/L", 401),
        ("GET", "/locations/L/customfields", 401),
        ("POST", "/contacts/Search", 401),
        ("GET", "/contacts/x/tags", 404),
        ("GET", "/contacts/x/notes/", 404),
        ("GET", "/contacts//notes", 404),
        ("PATCH", "/contacts/x", 404),
        ("PUT", "/locations/L", 404),
        ("GET", "/", 404),
    ],
)
async def test_paths_that_are_none(api: Api, method: str, where: str, status: int) -> None:
    assert (await api.call(method, where))[0] == status


async def test_what_belongs_to_a_contact_counts_against_its_location() -> None:
    async with Sandbox(max_requests=2) as sandbox:
        ids = [sandbox.add_contact(name, email="a@b.co")["id"] for name in ("A", "B")]
        headers = {"Authorization": "Bearer sandbox", "Version": "v3"}
        async with aiohttp.ClientSession(headers=headers) as session:
            paths = [f"/contacts/{ids[0]}/notes"] * 2 + [f"/contacts/{ids[1]}/tasks", "/locations/A", "/locations/B"]
            statuses = []
            for where in paths:
                async with session.get(sandbox.url + where) as response:
                    statuses.append(response.status)
        assert statuses == [200, 200, 200, 429, 200]
        assert [arrival.location_id for arrival in sandbox.arrivals] == ["A", "A", "B", "A", "B"]


async def test_a_call_without_the_body_that_it_needs_is_refused(api: Api, contact_id: str) -> None:
    ids = {"contactId": contact_id, "locationId": L, "type": "add"}
    needy = [route for route in ROUTES if route.rules is not None]
    assert len(needy) > 15
    for route in needy:
        path = re.sub(r"{(\w+)}", lambda part: ids.get(part[1], "x"), route.template)
        status, answer = await api.call(route.method, path)
        assert (status, answer["message"]) == (400, "Unexpected end of JSON input"), path


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
async def test_an_upsert_answers_with_all_that_the_documents_show(api: Api, version: str) -> None:
    sent = {"locationId": L, "email": "a@b.co"}
    answer = await api.ok("POST", "/contacts/upsert", sent, version)
    contact = answer["contact"]
    named = "attachments ssn keyword lastActivity visitorId attributionSource lastAttributionSource".split()
    assert set(named) <= contact.keys()
    assert set(contact["attributionSource"]) <= set(specification.OBJECTS["attribution"].split())
    assert contact["lastActivity"] == contact["dateUpdated"]
    assert (await api.ok("GET", f"/contacts/{contact['id']}", None, version))["contact"] == contact
