"""Silent losses: what the service takes without a word is told, and what it only brings into another form is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import (
    CheckboxField,
    Contact,
    ContactUpsert,
    CustomField,
    CustomFieldValue,
    DndSetting,
    DndSettings,
    FileEntry,
    FileField,
    LeadConnector,
    NotApplied,
    NumericField,
    TextField,
)
from leadconnector_async.models.compare import find_not_applied
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION

ON, OFF = DndSetting(status="active"), DndSetting(status="inactive")


@pytest.mark.parametrize(
    ("field", "sent", "stored"),
    [
        ("email", " Rosan@Deos.com ", "rosan@deos.com"),
        ("phone", "(617) 555-0100", "+16175550100"),
        ("phone", "+1 617-555-0100", "+16175550100"),
        ("phone", "0044 20 7946 0958", "+442079460958"),
        ("phone", "030 901820", "+4930901820"),
        ("phone", "011 49 30 901820", "+4930901820"),
        ("phone", "617 555 0100 ext. 7", "+16175550100"),
        ("phone", "+1 617 555 0100 x7 ", "+16175550100"),
        ("phone", "030 901820 ext. 7", "+4930901820"),
        ("phone", "617 555 0100 EXTENSION= 7", "+16175550100"),
        ("phone", "617 555 0100 X7", "+16175550100"),
        ("phone", "617 555 0100 #7", "+16175550100"),
        ("phone", "\u0666\u0661\u0667 555 0100", "+1\u0666\u0661\u06675550100"),
        ("first_name", " Ann ", "Ann"),
        ("first_name", "", None),
        ("first_name", None, None),
        ("name", "Ann  LEE", "Ann Lee"),
        ("country", "us", "US"),
        ("date_of_birth", "09/25/1990", "1990-09-25"),
        ("date_of_birth", "1990_09_25", "1990-09-25T00:00:00.000Z"),
        ("date_of_birth", None, None),
        ("dnd", False, None),
        ("tags", [" VIP ", "vip", ""], ["vip", "other"]),
        ("tags", [], None),
        ("dnd_settings", DndSettings(sms=ON), DndSettings(sms=ON, email=OFF)),
        ("gender", "Female", "female"),
    ],
)
def test_another_form_is_no_loss(field: str, sent: Any, stored: Any) -> None:
    assert find_not_applied(ContactUpsert(**{field: sent}), Contact(id="1", **{field: stored})) == ()


@pytest.mark.parametrize(
    ("field", "sent", "stored"),
    [
        ("email", "a@b.co", "c@b.co"),
        ("phone", "+16175550100", None),
        ("phone", "+16175550100", "+16175550101"),
        ("phone", "", "+16175550101"),
        ("phone", "0100", "+16175550100"),
        ("city", "", "Bonn"),
        ("city", "Bonn", None),
        ("gender", "male", "female"),
        ("dnd", True, None),
        ("tags", ["a", "b"], ["a"]),
        ("tags", [], ["a"]),
        ("date_of_birth", None, "1990-09-25"),
        ("timezone", None, "Europe/Rome"),
        ("first_name", "", "Ann"),
        ("date_of_birth", "09/25/1990", "1990-09-26"),
    ],
)
def test_a_loss_is_told_with_what_is_there_instead(field: str, sent: Any, stored: Any) -> None:
    missing = find_not_applied(ContactUpsert(**{field: sent}), Contact(id="1", **{field: stored}))
    assert missing == (NotApplied(field, sent, stored),)


def test_a_channel_that_did_not_arrive() -> None:
    contact = Contact(id="1", dnd_settings=DndSettings(sms=OFF))
    (missing,) = find_not_applied(ContactUpsert(dnd_settings=DndSettings(sms=ON)), contact)
    assert missing.sent == {"SMS": {"status": "active"}}
    assert missing.stored == {"SMS": {"status": "inactive"}}


@pytest.mark.parametrize(
    ("sent", "stored", "is_there"),
    [
        (TextField(id="f", field_value=" x "), "x", True),
        (TextField(id="f", field_value="x"), "y", False),
        (TextField(id="f", field_value=""), None, True),
        (TextField(id="f", field_value=None), "x", False),
        (NumericField(id="f", field_value=100), "100", True),
        (CustomField(id="f", field_value="1,234.50"), 1234.5, True),
        (CustomField(id="f", field_value="1,234.50"), "1234.5", True),
        (CustomField(id="f", field_value="007"), 7, True),  # a number, as the service reads it
        (CustomField(id="f", field_value="007"), "7", False),
        (CustomField(id="f", field_value="+4912"), "4912", False),
        (CustomField(id="f", field_value="1e3"), "1000", False),
        (CustomField(id="f", field_value="12345678901234567890"), "12345678901234567891", False),
        (CheckboxField(id="f", field_value=["b", "a"]), ["a", "b"], True),
        (CheckboxField(id="f", field_value=["a", "b"]), ["a"], False),
        (FileField(id="f", field_value={"u": FileEntry(url="x")}), {"u": {"url": "x", "meta": {}}}, True),
        (FileField(id="f", field_value={"u": FileEntry(url="x")}), {}, False),
        (TextField(key="k", field_value="x"), "x", True),
        (TextField(key="k", field_value="x"), "y", False),
        (TextField(key="k", field_value=""), "y", True),  # cannot be told
    ],
)
def test_custom_fields_by_id_and_by_key(sent: CustomField, stored: Any, is_there: bool) -> None:
    contact = Contact(id="1", custom_fields=[] if stored is None else [CustomFieldValue(id="f", value=stored)])
    missing = find_not_applied(ContactUpsert(custom_fields=[sent]), contact)
    assert bool(missing) is not is_there
    if missing:
        assert missing[0].field == f"custom_fields.{sent.id or sent.key}"


async def test_the_known_silent_losses_of_the_service(client: LeadConnector, sandbox: Sandbox) -> None:
    sandbox.add_contact(LOCATION, email="ann@example.com", gender="female")
    sandbox.add_contact(LOCATION, phone="+16175550100")
    rows: list[dict[str, Any]] = [
        {"email": "ann@example.com", "phone": "617-555-0100"},  # another contact holds the phone
        {"email": "ann@example.com", "gender": "male"},  # gender of an existing contact is never changed
        {"email": "ann@example.com", "customFields": [{"key": "no_such_field", "field_value": "x"}]},
        {"email": "ann@example.com", "customFields": [{"key": "plan", "field_value": "Platinum"}]},  # no such option
        {"email": "new@example.com", "tags": ["VIP"], "dateOfBirth": "09/25/1990", "name": "New One"},
    ]
    report = await client.contacts.bulk_upsert(rows)
    assert [[missing.field for missing in outcome.not_applied] for outcome in report.outcomes] == [
        ["phone"],
        ["gender"],
        ["custom_fields.no_such_field"],
        ["custom_fields.plan"],
        [],
    ]
    assert report.outcomes[0].not_applied[0] == NotApplied("phone", "617-555-0100", None)
    data = json.loads(report.to_json())
    assert (data["partially_applied"], data["updated"], data["created"]) == (4, 4, 1)
    assert report.not_applied == {"phone": 1, "gender": 1, "custom_fields.no_such_field": 1, "custom_fields.plan": 1}
    assert sandbox.requests == 5


async def test_comparing_can_be_switched_off(client: LeadConnector) -> None:
    rows = [{"email": "a@example.com", "customFields": [{"key": "no_such_field", "field_value": "x"}]}]
    assert (await client.contacts.bulk_upsert(rows, compare=False)).partially_applied == 0
    assert [outcome.not_applied async for outcome in client.contacts.stream_upserts(rows, compare=False)] == [()]


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=10)


@given(
    contact=st.builds(
        ContactUpsert,
        email=st.sampled_from(["a@example.com", " B@Example.com"]),
        phone=st.sampled_from(["617-555-0100", "+49 30 901820", ""]),
        first_name=st.none() | texts,
        city=texts,
        tags=st.lists(texts, max_size=3),
        dnd=st.booleans(),
        date_of_birth=st.sampled_from(["09/25/1990", "1990.09.25"]),
        gender=st.sampled_from(["male", "female"]),
    )
)
async def test_a_new_contact_loses_nothing_on_the_sandbox(contact: ContactUpsert) -> None:
    async with (
        Sandbox(unlimited=True) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="L", rate_limit=None) as client,
    ):
        result = await client.contacts.upsert(contact)
    assert find_not_applied(contact, result.contact) == ()
