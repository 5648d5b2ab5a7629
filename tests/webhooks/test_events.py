"""A genuine delivery becomes an event, whatever the vendor adds to it or changes in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async.webhooks import (
    ContactCreateEvent,
    ContactDeleteEvent,
    ContactDndUpdateEvent,
    ContactEvent,
    ContactTagUpdateEvent,
    ContactUpdateEvent,
    WebhookEvent,
    verify_webhook,
)
from tests.fake_clock import FakeClock
from tests.webhooks.conftest import KEYS, delivery, sign

CLOCK = FakeClock()
# As in the vendor's pages on these events, with names and values of our own; live deliveries add the last four.
FIELDS: dict[str, Any] = {
    "locationId": "ve9EPM428h8vShlRW1KT",
    "id": "nmFmQEsNgz6AVpgLVUJ0",
    "address1": "1 Main Street",
    "city": "Springfield",
    "state": "AL",
    "companyName": "Acme",
    "country": "DE",
    "source": "form",
    "dateAdded": "2021-11-26T12:41:02.193Z",
    "dateOfBirth": "2000-01-05T00:00:00.000Z",
    "dnd": True,
    "email": "ann@example.com",
    "name": "Ann Lee",
    "firstName": "Ann",
    "lastName": "Lee",
    "phone": "+18888888888",
    "phoneLabel": "mobile",
    "postalCode": "452001",
    "tags": ["one", "two"],
    "website": "https://example.com/",
    "attachments": [],
    "assignedTo": "nmFmQEsNgz6AVpgLVUJ1",
    "customFields": [{"id": "BcdmQEsNgz6AVpgLVUJ0", "value": "XYZ"}, {"id": "b", "value": [1, {"c": 2}]}],
    "dndSettings": {"SMS": {"status": "active", "message": "m", "code": "101"}, "Call": {"status": "inactive"}},
    "inboundDndSettings": {"all": {"status": "active", "message": "m"}},
    "webhookId": "w-1",
    "appId": "a-1",
    "versionId": "v-1",
}


def read(**fields: Any) -> Any:
    body = delivery(CLOCK.time(), **fields)
    return verify_webhook(body, sign(body), keys=KEYS, clock=CLOCK)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("ContactCreate", ContactCreateEvent),
        ("ContactUpdate", ContactUpdateEvent),
        ("ContactDelete", ContactDeleteEvent),
        ("ContactTagUpdate", ContactTagUpdateEvent),
        ("ContactDndUpdate", ContactDndUpdateEvent),
    ],
)
def test_each_contact_event_has_a_class_and_each_of_its_fields_an_attribute(kind: str, model: type) -> None:
    event = read(type=kind, **FIELDS)
    assert type(event) is model
    assert event.type == kind
    assert event.extra.keys() == {"timestamp"}  # as a number: see the next but one
    assert msgspec.to_builtins(event) == {"type": kind, "timestamp": None, **FIELDS} | {
        "dndSettings": {"SMS": {"status": "active", "message": "m", "code": "101"}, "Call": {"status": "inactive"}}
    }
    assert (event.dnd_settings.sms.status, event.inbound_dnd_settings.all.status) == ("active", "active")
    assert event.custom_fields[1].value == [1, {"c": 2}]


def test_half_an_emoji_does_not_make_a_delivery_malformed() -> None:
    body = delivery(CLOCK.time(), name="x").replace(b'"x"', rb'"Ann \ud83d"')
    event: Any = verify_webhook(body, sign(body), keys=KEYS, clock=CLOCK)
    assert (event.id, event.name) == ("C1", "Ann ?")


def test_what_is_not_there_is_none() -> None:
    event = read(type="ContactDelete", locationId=..., webhookId=...)
    assert (event.id, event.email, event.tags, event.location_id, event.webhook_id) == ("C1", None, None, None, None)


def test_unknown_fields_and_strange_values_are_kept_and_break_nothing() -> None:
    event = read(type="ContactCreate", email=7, tags="one", customFields=[{}], dnd="yes", score=[1], name=None)
    assert type(event) is ContactCreateEvent
    assert (event.email, event.tags, event.custom_fields, event.name) == (None, None, None, None)
    assert event.dnd is True  # what cannot be read must not pass for "may be disturbed"
    assert event.extra == {
        "email": 7,
        "tags": "one",
        "customFields": [{}],
        "dnd": "yes",
        "score": [1],
        "timestamp": CLOCK.time(),
    }


@pytest.mark.parametrize("kind", ["OpportunityCreate", "contactcreate", "", None, 7, ["ContactCreate"], ...])
def test_another_type_is_an_event_with_all_that_it_holds(kind: Any) -> None:
    event = read(type=kind, **FIELDS)
    assert type(event) is WebhookEvent
    assert event.location_id == FIELDS["locationId"]
    assert event.extra["id"] == FIELDS["id"]
    assert event.extra["customFields"] == FIELDS["customFields"]


@pytest.mark.parametrize("contact_id", [..., None, 7, "", " "])
def test_a_contact_event_without_a_contact_is_a_general_one(contact_id: Any) -> None:
    event = read(type="ContactCreate", id=contact_id, email="ann@example.com")
    assert type(event) is WebhookEvent
    assert event.extra["email"] == "ann@example.com"


def test_channels_come_in_any_spelling() -> None:
    settings = {"sms": {"status": "active"}, "whatsApp": {"status": "permanent"}}
    event = read(type="ContactDndUpdate", dndSettings=settings)
    assert (event.dnd_settings.sms.status, event.dnd_settings.whats_app.status) == ("active", "permanent")
    assert read(type="ContactDndUpdate", dndSettings={}).dnd_settings.sms is msgspec.UNSET
    strange = read(type="ContactDndUpdate", dndSettings={"SMS": {"status": "?"}})
    assert (strange.dnd_settings.sms.status, strange.dnd_settings.sms.is_closed) == ("?", True)
    assert strange.extra["dndSettings"] == {"SMS": {"status": "?"}}


PLAIN = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text()
FLAT = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(), PLAIN, max_size=3)
JSON = FLAT | st.lists(FLAT, max_size=3) | st.dictionaries(st.text(), FLAT, max_size=3)
NAMES = st.sampled_from([field.encode_name for field in msgspec.structs.fields(ContactEvent)]) | st.text()


@given(st.dictionaries(NAMES.filter(lambda name: name != "timestamp"), JSON))
def test_nothing_genuine_is_refused_and_nothing_of_it_is_lost(fields: dict[str, Any]) -> None:
    event = read(**{"type": "ContactUpdate", **fields})
    known = {field.encode_name: field.name for field in msgspec.structs.fields(type(event))}
    for name, value in fields.items():
        if name in event.extra:
            assert event.extra[name] == value
        else:
            assert (getattr(event, known[name]) is None) == (value is None)
