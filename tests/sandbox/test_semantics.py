"""What the sandbox makes of contacts: the decision table and the field rules of the real service."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async.sandbox import CustomFieldDefinition, Sandbox
from tests.sandbox.conftest import Api, L

PHONE, OTHER_PHONE = "+16175550100", "+16175550101"

# ---------------------------------------------------------------------------------------------- whom an upsert hits


async def test_no_match_creates(api: Api) -> None:
    answer = await api.upsert(email="a@b.co")
    assert answer["new"] is True
    assert set(answer) == {"new", "contact", "traceId"}
    assert len(answer["contact"]["id"]) == 20


async def test_the_first_identifier_matches_and_the_other_is_set(api: Api) -> None:
    first = await api.upsert(email="a@b.co", phone=PHONE)
    answer = await api.upsert(email="A@B.co ", phone=OTHER_PHONE)
    assert answer["new"] is False
    assert answer["succeded"] is answer["succeeded"] is True
    assert answer["contact"]["id"] == first["contact"]["id"]
    assert answer["contact"]["phone"] == OTHER_PHONE


async def test_a_shared_phone_overwrites_another_persons_email(api: Api) -> None:
    first = await api.upsert(email="ann@b.co", phone=PHONE, firstName="Ann")
    answer = await api.upsert(email="bob@b.co", phone="(617) 555-0100", firstName="Bob")
    assert (answer["new"], answer["contact"]["id"]) == (False, first["contact"]["id"])
    assert answer["contact"]["email"] == "bob@b.co"


@pytest.mark.parametrize(("order", "kept"), [(("email", "phone"), "email"), (("phone", "email"), "phone")])
async def test_two_contacts_in_conflict_the_second_field_is_dropped(
    open_api: Callable[..., Awaitable[Api]], order: tuple[str, str], kept: str
) -> None:
    api = await open_api(unique_identifiers=order)
    by = {
        "email": (await api.upsert(email="a@b.co"))["contact"],
        "phone": (await api.upsert(phone=PHONE))["contact"],
    }
    answer = await api.upsert(email="a@b.co", phone=PHONE, city="Bonn")
    assert answer["contact"]["id"] == by[kept]["id"]
    assert answer["contact"]["city"] == "Bonn"
    assert {"email", "phone"} & set(answer["contact"]) == {kept}


async def test_with_one_identifier_the_other_may_be_shared(open_api: Callable[..., Awaitable[Api]]) -> None:
    api = await open_api(unique_identifiers=("email",))
    await api.upsert(email="a@b.co", phone=PHONE)
    assert (await api.upsert(email="b@b.co", phone=PHONE))["new"] is True


@pytest.mark.parametrize(
    ("allowed", "flag", "is_new"), [(True, True, True), (True, False, False), (False, True, False)]
)
async def test_the_three_cases_of_create_new_if_duplicate_allowed(
    open_api: Callable[..., Awaitable[Api]], allowed: bool, flag: bool, is_new: bool
) -> None:
    api = await open_api(allow_duplicates=allowed)
    await api.upsert(email="a@b.co")
    assert (await api.upsert(email="a@b.co", createNewIfDuplicateAllowed=flag))["new"] is is_new


async def test_locations_are_apart(api: Api) -> None:
    await api.upsert(email="a@b.co")
    assert (await api.upsert(email="a@b.co", locationId="other"))["new"] is True
    assert len(api.sandbox.contacts(L)) == len(api.sandbox.contacts("other")) == 1


emails, phones = st.sampled_from(["a@b.co", "B@b.co", None]), st.sampled_from([PHONE, "(617) 555-0101", None])


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(emails, phones).filter(any), max_size=12),
    st.sampled_from([("email", "phone"), ("phone", "email"), ("email",), ("phone",)]),
)
async def test_identifiers_stay_unique(pairs: list[tuple[str | None, str | None]], order: tuple[str, ...]) -> None:
    async with Sandbox(unlimited=True, unique_identifiers=order) as sandbox, aiohttp.ClientSession() as session:
        api = Api(sandbox, session)
        for email, phone in pairs:
            before = len(sandbox.contacts())
            answer = await api.upsert(**{k: v for k, v in (("email", email), ("phone", phone)) if v})
            assert answer["new"] == (len(sandbox.contacts()) > before)
            for field in order:
                values = [contact[field] for contact in sandbox.contacts() if field in contact]
                assert len(values) == len(set(values))


# ---------------------------------------------------------------------------------------------- fields


async def test_normal_forms(api: Api) -> None:
    contact = (
        await api.upsert(
            email=" Rosan@Deos.com ",
            phone="+1 888-888-8888",
            name="Rosan van Deo",
            tags=[" VIP ", "vip", "Lead"],
            dateOfBirth="09/25/1990",
        )
    )["contact"]
    assert contact["email"] == contact["emailLowerCase"] == "rosan@deos.com"
    assert contact["phone"] == "+18888888888"
    assert (contact["firstName"], contact["lastName"], contact["name"]) == ("Rosan", "van Deo", "Rosan van Deo")
    assert (contact["firstNameLowerCase"], contact["lastNameLowerCase"]) == ("rosan", "van deo")
    assert contact["fullNameLowerCase"] == "rosan van deo"
    assert contact["tags"] == ["vip", "lead"]
    assert contact["dateOfBirth"] == "1990-09-25"
    assert (contact["type"], contact["country"]) == ("lead", "US")
    assert contact["dateAdded"] == contact["dateUpdated"]
    assert contact["dateAdded"].endswith("Z")


@pytest.mark.parametrize("day", [f"1990{sep}09{sep}25" for sep in "/-._"] + [f"09{sep}25{sep}1990" for sep in "/-._"])
async def test_the_eight_forms_of_a_date(api: Api, day: str) -> None:
    assert (await api.upsert(email="a@b.co", dateOfBirth=day))["contact"]["dateOfBirth"] == "1990-09-25"


async def test_omitted_stays_empty_blanks_null_clears_tags_replace(api: Api) -> None:
    await api.upsert(email="a@b.co", firstName="Ann", city="Bonn", website="https://x.org", tags=["a", "b"])
    contact = (await api.upsert(email="a@b.co", city="", website=None, tags=["c"]))["contact"]
    assert contact["firstName"] == "Ann"
    assert not contact.keys() & {"city", "website"}
    assert contact["tags"] == ["c"]


async def test_gender_is_taken_once_and_then_dropped(api: Api) -> None:
    assert (await api.upsert(email="a@b.co", gender="female"))["contact"]["gender"] == "female"
    assert (await api.upsert(email="a@b.co", gender="male"))["contact"]["gender"] == "female"


async def test_custom_fields_merge_and_what_is_unknown_is_dropped(api: Api) -> None:
    fields = [
        {"key": "nickname", "field_value": "Al"},
        {"key": "contact.plan", "fieldValue": "Pro"},
        {"id": "SandboxField00000005", "field_value": "1,234.50"},
        {"key": "interests", "field_value": ["Music", "Chess"]},
        {"key": "size", "field_value": "XXL"},
        {"key": "no_such_field", "field_value": "x"},
    ]
    contact = (await api.upsert(email="a@b.co", customFields=fields))["contact"]
    assert [field["value"] for field in contact["customFields"]] == ["Al", "Pro", 1234.5, ["Music"]]
    changed = (await api.upsert(email="a@b.co", customFields=[{"key": "nickname", "field_value": ""}]))["contact"]
    assert [field["value"] for field in changed["customFields"]] == ["Pro", 1234.5, ["Music"]]


async def test_unknown_custom_fields_can_be_refused(open_api: Callable[..., Awaitable[Api]]) -> None:
    own = CustomFieldDefinition(id="1", key="mine", name="Mine", data_type="TEXT")
    api = await open_api(custom_fields=[own], unknown_custom_fields="refuse")
    status, message = await api.refused(email="a@b.co", customFields=[{"key": "other", "field_value": "x"}])
    assert (status, message) == (422, ["custom field other does not exist"])


@pytest.mark.parametrize(
    ("phone", "country", "stored"),
    [
        ("+1 888-888-8888", "US", "+18888888888"),
        ("(617) 555-0100", "US", "+16175550100"),
        ("1-617-555-0100", "US", "+16175550100"),
        ("617.555.0100 ext. 12", "US", "+16175550100"),
        ("011 49 30 901820", "US", "+4930901820"),
        ("030 901820", "DE", "+4930901820"),
        ("0041 44 668 18 00", "DE", "+41446681800"),
        ("+44 20 7946 0958", "US", "+442079460958"),
    ],
)
async def test_phones_become_e164(
    open_api: Callable[..., Awaitable[Api]], phone: str, country: str, stored: str
) -> None:
    api = await open_api(country=country)
    assert (await api.upsert(phone=phone))["contact"]["phone"] == stored


async def test_do_not_disturb_is_spelled_per_version(api: Api) -> None:
    body = {
        "locationId": L,
        "email": "a@b.co",
        "dndSettings": {"SMS": {"status": "active"}, "whatsApp": {"status": "active"}},
    }
    _, old = await api.call("POST", "/contacts/upsert", body)
    _, new = await api.call("POST", "/contacts/upsert", body, version="v3")
    assert set(old["contact"]["dndSettings"]) == {"SMS", "WhatsApp"}
    assert set(new["contact"]["dndSettings"]) == {"sms", "whatsApp"}


PERMANENT: dict[str, Any] = {"status": "permanent", "message": "STOP"}


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
@pytest.mark.parametrize(
    ("channel", "setting"),
    [
        ("SMS", {"status": "inactive"}),
        ("SMS", {"status": "active", "message": "STOP"}),
        ("sms", {"status": "permanent"}),  # not to the letter
        ("SMS", {**PERMANENT, "code": "1"}),
        ("Email", {"status": "permanent"}),
        ("rcs", {"status": "permanent"}),
    ],
)
async def test_a_channel_that_is_closed_for_good_is_not_changed_nor_is_one_closed_so(
    api: Api, version: str, channel: str, setting: dict[str, Any]
) -> None:
    contact = api.sandbox.add_contact(L, email="a@b.co", dndSettings={"SMS": PERMANENT, "Email": {"status": "active"}})
    was = copy.deepcopy(contact)
    sent = {"city": "Bonn", "dndSettings": {"Call": {"status": "active"}, channel: setting}}
    named = "SMS" if channel.lower() == "sms" else {"rcs": "RCS"}.get(channel, channel)
    for method, path, body in (
        ("POST", "/contacts/upsert", {**sent, "locationId": L, "email": "a@b.co"}),
        ("PUT", f"/contacts/{contact['id']}", sent),
    ):
        status, answer = await api.call(method, path, body, version)
        answer.pop("traceId")
        assert status == 400
        assert answer == {"statusCode": 401, "message": f"Not authorized to update permanent dnd setting for {named}"}
    assert api.sandbox.contacts() == [was]


@pytest.mark.parametrize("path", ["/contacts/", "/contacts/upsert"])
async def test_no_contact_is_made_with_a_channel_closed_for_good(api: Api, path: str) -> None:
    body = {"locationId": L, "email": "a@b.co", "dndSettings": {"SMS": {"status": "permanent"}}}
    assert (await api.call("POST", path, body))[0] == 400
    assert api.sandbox.contacts() == []


async def test_what_is_closed_for_good_may_be_sent_as_it_is(api: Api) -> None:
    stored = {"SMS": {**PERMANENT, "code": None}, "RCS": PERMANENT}
    contact = api.sandbox.add_contact(L, email="a@b.co", dndSettings=stored)
    await api.upsert(email="a@b.co", dndSettings={"SMS": PERMANENT, "rcs": PERMANENT, "Email": {"status": "active"}})
    await api.ok("PUT", f"/contacts/{contact['id']}", {"dndSettings": {"sms": PERMANENT}})
    assert contact["dndSettings"]["SMS"]["status"] == "permanent"


# ---------------------------------------------------------------------------------------------- other operations


async def test_create_get_update_tags_delete(api: Api) -> None:
    status, body = await api.call("POST", "/contacts/", {"locationId": L, "email": "a@b.co", "name": "Ann Lee"})
    assert status == 201
    path = f"/contacts/{body['contact']['id']}"
    assert (await api.call("GET", path))[1]["contact"]["name"] == "Ann Lee"
    status, body = await api.call("PUT", path, {"lastName": "Low"})
    assert (status, body["succeded"], body["contact"]["name"]) == (200, True, "Ann Low")
    assert (await api.call("PUT", path, {"lastName": "Low"}, version="v3"))[1]["succeeded"] is True
    status, body = await api.call("POST", path + "/tags", {"tags": ["VIP", "x"]})
    assert (status, body["tags"]) == (201, ["vip", "x"])
    status, body = await api.call("DELETE", path + "/tags", {"tags": ["vip"]})
    assert (status, body["tags"]) == (200, ["x"])
    assert (await api.call("DELETE", path))[1]["succeded"] is True
    for method in ("GET", "PUT", "DELETE"):
        status, body = await api.call(method, path, {} if method == "PUT" else None)
        assert (status, body["message"]) == (400, f"Contact not found for id:{path[10:]}")
    assert (await api.upsert(email="a@b.co"))["new"] is True


async def test_a_duplicate_is_told_as_the_service_tells_it(api: Api) -> None:
    first = (await api.upsert(email="a@b.co", name="Ann Lee"))["contact"]
    other = (await api.upsert(phone=PHONE))["contact"]
    meta = {"contactName": "Ann Lee", "contactId": first["id"], "matchingField": "email"}
    for method, path in (("POST", "/contacts/"), ("PUT", f"/contacts/{other['id']}")):
        body = {"email": "a@b.co"} if method == "PUT" else {"email": "a@b.co", "locationId": L}
        status, answer = await api.call(method, path, body)
        answer.pop("traceId")
        assert status == 400
        assert answer == {
            "statusCode": 400,
            "message": "This location does not allow duplicated contacts.",
            "meta": meta,
            "succeeded": False,
        }


# ---------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"email": ""}, "email must be an email"),
        ({"email": "nobody"}, "email must be an email"),
        ({"email": 7}, "email must be an email"),
        ({"email": "a@b.co", "additionalEmails": []}, "property additionalEmails should not exist"),
        ({"email": "a@b.co", "id": "x"}, "property id should not exist"),
        ({"email": "a@b.co", "firstName": 7}, "firstName must be a string"),
        ({"email": "a@b.co", "source": None}, "source must be a string"),
        ({"email": "a@b.co", "dnd": "maybe"}, "dnd must be a boolean value"),
        ({"email": "a@b.co", "tags": "vip"}, "tags must be an array"),
        ({"email": "a@b.co", "tags": [1]}, "each value in tags must be a string"),
        ({"email": "a@b.co", "customFields": {}}, "customFields must be an array"),
        ({"email": "a@b.co", "customFields": ["x"]}, "each value in customFields must be an object"),
        ({"email": "a@b.co", "country": "Germany"}, "country must be a valid enum value"),
        ({"email": "a@b.co", "dateOfBirth": "25.09.1990"}, "dateOfBirth must be a valid date"),
        ({"email": "a@b.co", "dateOfBirth": "1990-02-30"}, "dateOfBirth must be a valid date"),
        (
            {"email": "a@b.co", "dndSettings": {"SMS": {"status": "on"}}},
            "dndSettings.SMS.status must be one of the following values: active, inactive, permanent",
        ),
        (
            {"email": "a@b.co", "dndSettings": {"Fax": {"status": "active"}}},
            "dndSettings.property Fax should not exist",
        ),
    ],
)
async def test_validation_in_the_services_words(api: Api, fields: dict[str, Any], message: str) -> None:
    assert await api.refused(**fields) == (422, [message])


async def test_all_that_is_wrong_is_told_at_once(api: Api) -> None:
    status, answer = await api.call("POST", "/contacts/upsert", {"email": "x", "foo": 1})
    assert status == 422
    assert answer["error"] == "Unprocessable Entity"
    assert set(answer["message"]) == {
        "property foo should not exist",
        "locationId must be a string",
        "locationId should not be empty",
        "email must be an email",
    }


@pytest.mark.parametrize("field", ["gender", "companyName", "locationId", "createNewIfDuplicateAllowed"])
async def test_what_an_update_does_not_take(api: Api, field: str) -> None:
    contact = (await api.upsert(email="a@b.co"))["contact"]
    refused = await api.refused(f"/contacts/{contact['id']}", "PUT", **{field: "x"})
    assert refused == (422, [f"property {field} should not exist"])


@pytest.mark.parametrize(
    ("phone", "message"),
    [
        ("call me", "The string supplied did not seem to be a phone number"),
        ("+1 617 555 0100 0100 0100", "The string supplied is too long to be a phone number"),
        ("+999 123 456 78", "Invalid country calling code"),
        ("+1 23", "The string supplied is too short to be a phone number"),
    ],
)
async def test_phones_that_are_none(api: Api, phone: str, message: str) -> None:
    assert await api.refused(phone=phone) == (400, message)


async def test_nobody_is_refused(api: Api) -> None:
    assert (await api.refused(firstName="Ann"))[0] == 400
    status, answer = await api.call("POST", "/contacts/", {"locationId": L})
    assert (status, answer["statusCode"]) == (400, 422)
    assert (await api.call("POST", "/contacts/", {"locationId": L, "firstName": "Ann"}))[0] == 201
