"""What clears a field of a stored contact, from Python: the page "Custom fields, DND and None" against the sandbox."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from leadconnector_async import ContactUpsert, InvalidContactError, LeadConnector
from leadconnector_async.models.fields import UPSERT_FIELDS, ContactField
from leadconnector_async.protocol import API_VERSIONS
from leadconnector_async.sandbox import CustomFieldDefinition, Sandbox

EMAIL, PHONE = "ann@example.com", "+16175550100"
FIELD = CustomFieldDefinition(id="6dvNaf7VhkQ9snc5vnjJ", key="pet", name="Pet", data_type="TEXT")
VALUES: dict[str, Any] = {
    "first_name": "Ann", "last_name": "Miller", "name": "Ann Miller", "email": EMAIL, "phone": PHONE,
    "company_name": "Acme", "address1": "1 Main St", "city": "Boston", "state": "MA", "postal_code": "02134",
    "country": "US", "website": "https://example.com", "timezone": "America/New_York", "gender": "female",
    "date_of_birth": "1990-09-25", "source": "form", "assigned_to": "y0BeYjuRIlDwsDcOHOJo", "tags": ["vip"],
    "dnd": True, "dnd_settings": {"SMS": {"status": "active"}}, "inbound_dnd_settings": {"all": {"status": "active"}},
    "custom_fields": {"pet": "Cat"},
}  # fmt: skip
WAYS: dict[str, Any] = {
    'send "" to empty it': "",
    "send [] to remove all of them": [],
    "send False to switch it off": False,
    'send the status "inactive" for each channel that is to be open': {"SMS": {"status": "inactive"}},
    'send the status "inactive" for "all"': {"all": {"status": "inactive"}},
    'send "" as the value of each field that is to be empty': {"pet": ""},
}
"""What the refusal of None says, and what that is in Python."""
STORED = [field for field in UPSERT_FIELDS if field.is_stored]


def key_of(field: ContactField) -> dict[str, Any]:
    """What the contact is found by when a field of it is cleared."""
    return {"phone": PHONE} if field.name == "email" else {"email": EMAIL}


async def stored(lc: LeadConnector, contact_id: str, field: ContactField) -> Any:
    value = getattr(await lc.contacts.get(contact_id), field.name)
    if field.kind in ("channels", "inbound"):
        return any(setting.is_closed for setting in value.by_channel().values()) if value else None
    return value


@pytest.mark.parametrize("version", API_VERSIONS)
@pytest.mark.parametrize("field", STORED, ids=lambda field: field.name)
async def test_none_clears_or_says_what_does(field: ContactField, version: str) -> None:
    async with (
        Sandbox(custom_fields=[FIELD]) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="L", api_version=version) as lc,
    ):
        contact = (await lc.contacts.upsert({"email": EMAIL, "phone": PHONE, field.name: VALUES[field.name]})).contact
        before = await stored(lc, contact.id, field)
        assert before
        try:
            await lc.contacts.upsert({**key_of(field), **nothing_in(field)})
        except InvalidContactError as error:
            assert await stored(lc, contact.id, field) == before
            await clear_as_told(lc, contact.id, field, str(error))
        else:
            # The service never changes the gender of a contact that exists, whatever is sent.
            assert bool(await stored(lc, contact.id, field)) == (field.name == "gender")


def nothing_in(field: ContactField) -> dict[str, None]:
    """What is sent to clear a field: of a whole name also its parts, of which the service makes it."""
    return dict.fromkeys(("first_name", "last_name", "name") if field.name == "name" else (field.name,))


async def clear_as_told(lc: LeadConnector, contact_id: str, field: ContactField, told: str) -> None:
    """Do what a refusal says, and see that the field is empty then."""
    way = told.rpartition("; ")[2]
    if way == "nothing empties it":
        return
    if way == "only an update can empty it":
        await lc.contacts.update(contact_id, {field.name: None})
    else:
        await lc.contacts.upsert({**key_of(field), field.name: WAYS[way]})
    assert not await stored(lc, contact_id, field)


@dataclasses.dataclass
class Row:
    email: str
    city: str | None = None


async def test_none_means_not_given_where_nobody_wrote_it() -> None:
    async with Sandbox() as sandbox, LeadConnector("sandbox", base_url=sandbox.url, location_id="L") as lc:
        contact = (await lc.contacts.upsert({"email": EMAIL, "city": "Boston"})).contact
        for row in (Row(EMAIL), {"email": EMAIL, "city": float("nan")}, {"email": EMAIL}):
            await lc.contacts.bulk_upsert([row])
            assert (await lc.contacts.get(contact.id)).city == "Boston"
        await lc.contacts.upsert(ContactUpsert(email=EMAIL, city=None))
        assert (await lc.contacts.get(contact.id)).city is None


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_none_clears_a_custom_field_and_nothing_missing_does(version: str) -> None:
    async with (
        Sandbox(custom_fields=[FIELD]) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="L", api_version=version) as lc,
    ):
        held = {"email": EMAIL, "custom_fields": {"pet": "Cat"}}
        assert (await lc.contacts.upsert(held)).contact.custom_fields
        for missing in ({"pet": float("nan")}, {}):
            assert (await lc.contacts.upsert({"email": EMAIL, "custom_fields": missing})).contact.custom_fields
        assert not (await lc.contacts.upsert({"email": EMAIL, "custom_fields": {"pet": None}})).contact.custom_fields
