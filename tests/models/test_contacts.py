"""What goes over the wire, in every version, and what comes back, however strange."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import leadconnector_async as lca
from leadconnector_async import ContactUpdate, ContactUpsert, DndSetting, DndSettings, InvalidContactError
from leadconnector_async.models import decode_contact, decode_upsert, encode_contact, read_mapping

# The properties that the specification lists for each body (contacts.json and contacts-v3.json, 2026-06).
UPDATE_FIELDS = set(
    "firstName lastName name email phone address1 city state postalCode website timezone dnd dndSettings "
    "inboundDndSettings tags customFields source dateOfBirth country assignedTo".split()
)
UPSERT_FIELDS = UPDATE_FIELDS | {"locationId", "gender", "companyName", "createNewIfDuplicateAllowed"}
CONTACT_FIELDS = set(
    "id name locationId firstName lastName email emailLowerCase timezone companyName phone dnd dndSettings type source "
    "assignedTo address1 city state country postalCode website tags dateOfBirth dateAdded dateUpdated attachments ssn "
    "keyword firstNameLowerCase fullNameLowerCase lastNameLowerCase lastActivity customFields businessId "
    "attributionSource lastAttributionSource visitorId deleted bounceEmail unsubscribeEmail birthMonth birthDay "
    "lastSessionActivityAt offers products".split()
)
ATTRIBUTION_FIELDS = set(
    "url campaign utmSource utmMedium utmContent referrer campaignId fbclid gclid msclikid dclid fbc fbp fbEventId "
    "userAgent ip medium mediumId".split()
)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (ContactUpsert, UPSERT_FIELDS),
        (ContactUpdate, UPDATE_FIELDS),
        (lca.Contact, CONTACT_FIELDS),
        (lca.AttributionSource, ATTRIBUTION_FIELDS),
    ],
)
def test_every_field_of_the_specification_is_there(model: type[msgspec.Struct], fields: set[str]) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(model)}
    assert fields <= names
    beside = {"gender", "inboundDndSettings"}  # the service also returns these
    assert names - fields <= beside | {"id"}  # which stands in the path of an update


def sent(contact: ContactUpsert | ContactUpdate, *, v3: bool = False) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(encode_contact(contact, v3=v3))
    return value


def test_absent_null_and_empty_are_three_things() -> None:
    contact = ContactUpsert(email="a@b.co", first_name=None, last_name="", tags=[])
    assert sent(contact) == {"email": "a@b.co", "firstName": None, "lastName": "", "tags": []}


KINDS: list[tuple[lca.CustomField, Any]] = [
    (lca.TextField(id="f", field_value="My Text"), "My Text"),
    (lca.LargeTextField(id="f", field_value="two\nlines"), "two\nlines"),
    (lca.SingleSelectField(id="f", field_value="one"), "one"),
    (lca.RadioField(id="f", field_value="one"), "one"),
    (lca.NumericField(id="f", field_value=100), 100),
    (lca.MonetaryField(id="f", field_value=100.5), 100.5),
    (lca.CheckboxField(id="f", field_value=["a", "b"]), ["a", "b"]),
    (lca.MultiSelectField(id="f", field_value=["a"]), ["a"]),
    (
        lca.FileField(
            id="f", field_value={"u": lca.FileEntry(meta=lca.FileMeta(size=3), url="https://x", document_id="d")}
        ),
        {"u": {"meta": {"size": 3}, "url": "https://x", "documentId": "d"}},
    ),
]


@pytest.mark.parametrize(("field", "value"), KINDS, ids=[type(field).__name__ for field, _ in KINDS])
def test_each_kind_of_custom_field_in_each_version(field: lca.CustomField, value: object) -> None:
    contact = ContactUpsert(custom_fields=[field])
    assert sent(contact) == {"customFields": [{"id": "f", "field_value": value}]}
    assert sent(contact, v3=True) == {"customFields": [{"id": "f", "fieldValue": value}]}


def test_a_custom_field_needs_an_id_or_a_key() -> None:
    with pytest.raises(ValueError, match="an id or a key"):
        lca.TextField(field_value="x")


def test_do_not_disturb_is_spelled_as_each_version_wants() -> None:
    on = DndSetting(status="active")
    contact = ContactUpsert(dnd_settings=DndSettings(call=on, email=on, sms=on, whats_app=on, gmb=on, fb=on))
    assert set(sent(contact)["dndSettings"]) == {"Call", "Email", "SMS", "WhatsApp", "GMB", "FB"}
    assert set(sent(contact, v3=True)["dndSettings"]) == {"call", "email", "sms", "whatsApp", "gmb", "fb"}


@pytest.mark.parametrize("spelling", [{"SMS": "WhatsApp"}, {"sms": "whatsApp"}])
def test_do_not_disturb_is_read_in_either_spelling(spelling: dict[str, str]) -> None:
    ((sms, whats_app),) = spelling.items()
    body = {"contact": {"id": "1", "dndSettings": {sms: {"status": "active"}, whats_app: {"status": "permanent"}}}}
    settings = decode_contact(json.dumps(body).encode()).dnd_settings
    assert settings == DndSettings(sms=DndSetting(status="active"), whats_app=DndSetting(status="permanent"))


def test_unknown_and_strange_fields_are_kept_and_break_nothing() -> None:
    body = b'{"contact":{"id":"1","email":"a@b.co","attachments":[],"tags":"x","brandNew":{"a":1},"name":null}}'
    contact = decode_contact(body)
    assert (contact.id, contact.email, contact.attachments, contact.tags) == ("1", "a@b.co", [], None)
    assert contact.extra == {"tags": "x", "brandNew": {"a": 1}}
    assert json.loads(contact.raw) == json.loads(body)["contact"]


def test_raw_tells_null_from_absent() -> None:
    contact = decode_contact(b'{"contact":{"id":"1","email":null}}')
    assert contact.email is None
    assert contact.phone is None
    assert json.loads(contact.raw) == {"id": "1", "email": None}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"<html>", b"\xff", b'{"contact":null}'),
        *(b'{"contact":{}}', b'{"contact":{"id":7}}', b'{"contact":{"id":""}}', b'{"contact":{"id":" ","dnd":7}}'),
    ],
)
def test_what_is_no_contact_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_contact(body)


@pytest.mark.parametrize("body", [b'{"contact":{"id":"1"}}', b'{"contact":{"id":"1"},"new":"yes"}'])
def test_an_upsert_that_does_not_say_whether_it_is_new_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_upsert(body)


@pytest.mark.parametrize(
    ("row", "field", "sentence"),
    [
        ({"dnd": "maybe"}, "dnd", "dnd: expected bool, got str"),
        ({"emial": "a@b.co"}, "emial", "unknown field 'emial'"),
        ({"postal_code": True}, "postal_code", "postal_code: expected str, got bool"),
        ({"tags": "a,b"}, "tags", "tags: expected list, got str"),
        ({"tags": ["a", True]}, "tags", r"tags\[1\]: expected str, got bool"),
        ({"first_name": "a", "firstName": "b"}, None, "given twice"),
        ({"customFields": [{"field_value": "x"}]}, "custom_fields", "an id or a key"),
        ({"dndSettings": {"Call": {"status": "of"}}}, "dnd_settings", "dnd_settings.Call.status"),
    ],
)
def test_a_wrong_row_is_told_in_one_sentence(row: dict[str, Any], field: str | None, sentence: str) -> None:
    with pytest.raises(InvalidContactError, match=sentence) as caught:
        read_mapping(row, ContactUpsert)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "contact",
    [
        ContactUpsert(dnd="maybe"),
        ContactUpsert(tags=[True]),
        ContactUpsert(email="\ud800"),
        ContactUpsert(tags=object()),
    ],  # type: ignore[arg-type,list-item]
)
def test_a_struct_with_wrong_values_is_refused_before_it_is_sent(contact: ContactUpsert) -> None:
    with pytest.raises(InvalidContactError):
        encode_contact(contact)


def test_rows_come_in_either_spelling_also_within() -> None:
    snake = {
        "first_name": "A",
        "dnd_settings": {"whats_app": {"status": "active"}},
        "custom_fields": [{"id": "f", "field_value": 1}],
    }
    camel = {
        "firstName": "A",
        "dndSettings": {"whatsApp": {"status": "active"}},
        "customFields": [{"id": "f", "fieldValue": 1}],
    }
    assert read_mapping(snake, ContactUpsert) == read_mapping(camel, ContactUpsert)


texts = st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
contacts = st.builds(
    ContactUpsert,
    email=texts,
    first_name=texts,
    tags=st.lists(st.text(st.characters(exclude_categories=("Cs",))), max_size=3),
    dnd=st.booleans(),
    dnd_settings=st.builds(DndSettings, sms=st.builds(DndSetting, status=st.sampled_from(["active", "inactive"]))),
    custom_fields=st.lists(st.builds(lca.CustomField, id=st.just("f"), field_value=texts | st.integers(0, 9))),
)


@given(contact=contacts, v3=st.booleans())
def test_what_is_encoded_in_any_version_reads_back_the_same(contact: ContactUpsert, v3: bool) -> None:
    assert read_mapping(sent(contact, v3=v3), ContactUpsert) == contact
