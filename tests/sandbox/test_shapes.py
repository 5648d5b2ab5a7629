"""Each operation answers in its own shape: the names of the specification and those that were seen, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from leadconnector_async.sandbox.shapes import CREATED, FOUND, LISTED, WHOLE, AnswerShape
from tests.sandbox.conftest import Api, L
from tests.specification import OBJECTS, OPERATIONS, SEEN

BUSINESS = "641c094001436dbc2081e642"
SHAPES = {"contact": WHOLE, "created contact": CREATED, "found contact": FOUND, "listed contact": LISTED}
FULL: dict[str, Any] = {
    "firstName": "Ann",
    "lastName": "O'Neil",
    "email": "ann@deos.com",
    "phone": "+16175550100",
    "address1": "1 Main St",
    "city": "Bonn",
    "state": "NRW",
    "postalCode": "02134",
    "country": "DE",
    "website": "https://deos.com",
    "timezone": "Europe/Berlin",
    "dateOfBirth": "09/25/1965",
    "dnd": True,
    "dndSettings": {"SMS": {"status": "active", "message": "no"}},
    "inboundDndSettings": {"all": {"status": "active"}},
    "tags": ["VIP"],
    "customFields": [{"key": "score", "field_value": 7}],
    "source": "fair",
    "assignedTo": "user1",
}
NEW: dict[str, Any] = {**FULL, "locationId": L, "gender": "female", "companyName": "Acme"}
VERSIONS = ["2021-07-28", "2023-02-21", "v3"]


def names_of(kind: str) -> set[str]:
    return {*OBJECTS[kind].split(), *SEEN[kind].split()}


@pytest.mark.parametrize("kind", SHAPES)
def test_the_table_holds_the_names_of_the_specification_and_those_that_were_seen(kind: str) -> None:
    names = SHAPES[kind].names
    assert len(names) == len(set(names))
    assert {*names, *(["searchAfter"] if kind == "found contact" else [])} == names_of(kind)


def contacts_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return answer["contacts"] if "contacts" in answer else [answer["contact"]]


async def answers(api: Api, version: str) -> dict[str, dict[str, Any]]:
    """What each operation returns of one contact that has everything."""
    found: dict[str, dict[str, Any]] = {}

    async def ask(name: str, method: str, path: str, body: Any = None) -> None:
        (found[name],) = contacts_of(await api.ok(method, path, body, version))

    await ask("create-contact", "POST", "/contacts/", NEW)
    contact_id = found["create-contact"]["id"]
    await api.ok("POST", "/contacts/bulk/business", {"locationId": L, "ids": [contact_id], "businessId": BUSINESS})
    await api.ok("POST", f"/contacts/{contact_id}/followers", {"followers": ["user2"]})
    await ask("upsert-contact", "POST", "/contacts/upsert", NEW)
    await ask("update-contact", "PUT", f"/contacts/{contact_id}", FULL)
    await ask("get-contact", "GET", f"/contacts/{contact_id}")
    await ask("get-duplicate-contact", "GET", f"/contacts/search/duplicate?locationId={L}&email=ann@deos.com")
    await ask("get-contacts", "GET", f"/contacts/?locationId={L}")
    await ask("get-contacts-by-businessId", "GET", f"/contacts/business/{BUSINESS}?locationId={L}")
    await ask("search-contacts-advanced", "POST", "/contacts/search", {"locationId": L, "pageLimit": 1})
    return found


KINDS_THAT_NO_DOCUMENT_NAMES = {"search-contacts-advanced": "found contact", "get-duplicate-contact": "contact"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_answer_holds_what_its_operation_returns(api: Api, version: str) -> None:
    told = await answers(api, version)
    documented = {one.name: one.holds[0][1] for one in OPERATIONS[version] if one.holds and one.name in told}
    kinds = {"get-contacts": "listed contact", **KINDS_THAT_NO_DOCUMENT_NAMES, **documented}
    assert kinds.keys() == told.keys()
    for name, contact in told.items():
        shape = SHAPES[kinds[name]]
        assert contact.keys() <= names_of(kinds[name]), name
        assert {*FULL} & set(shape.names) <= contact.keys(), name
        if shape.has_nulls:
            assert set(shape.names) - contact.keys() <= {"attributions", "attributionSource", "lastAttributionSource"}
        assert set(contact["dndSettings"]) == ({"sms"} if version == "v3" else {"SMS"}), name


async def test_what_differs_from_operation_to_operation(api: Api) -> None:
    told = await answers(api, "2021-07-28")
    birthdays = {name: contact["dateOfBirth"] for name, contact in told.items()}
    assert birthdays == {
        **dict.fromkeys(("upsert-contact", "update-contact", "get-contact", "get-duplicate-contact"), "1965-09-25"),
        **dict.fromkeys(("create-contact", "get-contacts", "get-contacts-by-businessId"), "1965-09-25T00:00:00.000Z"),
        "search-contacts-advanced": -134697600000,
    }
    created, found, listed = (told[name] for name in ("create-contact", "search-contacts-advanced", "get-contacts"))
    assert (created["birthMonth"], created["birthDay"], created["deleted"]) == (8, 25, False)
    assert not {"name", "timezone", "gender"} & created.keys()
    assert (found["address"], found["contactName"], found["firstName"]) == ("1 Main St", "ann o'neil", "Ann")
    assert not {"address1", "name", "timezone", "gender"} & found.keys()
    assert (listed["firstName"], listed["firstNameRaw"], listed["address1"]) == ("ann", "Ann", "1 Main St")
    with_v3 = await api.ok("POST", "/contacts/", {**NEW, "email": "v3@deos.com", "phone": "+16175550101"}, "v3")
    assert {"name", "timezone"} <= with_v3["contact"].keys()


@pytest.mark.parametrize("shape", [FOUND, LISTED], ids=["search", "list"])
async def test_pages_have_null_for_what_a_contact_lacks(api: Api, shape: AnswerShape) -> None:
    contact = api.sandbox.add_contact(L, email="bare@deos.com")
    answer = shape.spell(contact, "2021-07-28")
    assert answer.keys().isdisjoint({"dndSettings", "inboundDndSettings"})
    for name in ("dateOfBirth", "contactName", "city", "assignedTo"):
        assert answer[name] is None
    assert (answer["tags"], answer["customFields"], answer["dnd"]) == ([], [], False)


@pytest.mark.parametrize("leaves_out", [False, True])
async def test_searches_may_leave_out_do_not_disturb_by_channel_and_can_be_asked_for_it(
    open_api: Any, leaves_out: bool
) -> None:
    api: Api = await open_api(search_without_dnd=leaves_out)
    closed = api.sandbox.add_contact(L, email="a@b.co", dndSettings={"SMS": {"status": "permanent"}})["id"]
    inbound = api.sandbox.add_contact(L, email="b@b.co", inboundDndSettings={"all": {"status": "active"}})["id"]
    api.sandbox.add_contact(L, email="c@b.co", dndSettings={"SMS": {"status": "inactive"}})

    async def find(field: str, status: str) -> list[dict[str, Any]]:
        filters = [{"field": field, "operator": "eq", "value": status}]
        body = {"locationId": L, "pageLimit": 9, "filters": filters}
        return contacts_of(await api.ok("POST", "/contacts/search", body))

    (found,) = await find("dndSettings.SMS.status", "permanent")
    assert (found["id"], "dndSettings" in found) == (closed, not leaves_out)
    (found,) = await find("inboundDndSettings.all.status", "active")
    assert (found["id"], "inboundDndSettings" in found) == (inbound, not leaves_out)
    assert await find("dndSettings.Email.status", "active") == []
    assert "dndSettings" in (await api.ok("GET", f"/contacts/{closed}"))["contact"]
