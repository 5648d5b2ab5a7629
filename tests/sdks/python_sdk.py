"""The vendor's Python SDK against a sandbox, unchanged but for the base URL.

python python_sdk.py URL TOKEN LOCATION
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any

from highlevel import HighLevel
from highlevel.error import GHLError


async def use_contacts(sdk: Any, location_id: str) -> None:
    person = {
        "locationId": location_id,
        "email": "Rosan@Deos.com",
        "phone": "+1 888-888-8888",
        "name": "Rosan Deo",
        "tags": ["VIP"],
        "customFields": [{"key": "nickname", "fieldValue": "Ro"}],
        "dndSettings": {"sms": {"status": "active"}},
    }
    made = await sdk.contacts.upsert_contact(person)
    assert made["new"] is True, made
    contact_id = made["contact"]["id"]
    again = await sdk.contacts.upsert_contact({"locationId": location_id, "email": "rosan@deos.com", "city": "Bonn"})
    assert (again["new"], again["contact"]["id"]) == (False, contact_id), again
    contact = (await sdk.contacts.get_contact(contact_id))["contact"]
    assert (contact["email"], contact["phone"], contact["city"]) == ("rosan@deos.com", "+18888888888", "Bonn"), contact
    assert contact["dndSettings"] == {"sms": {"status": "active"}}, contact
    assert [field["value"] for field in contact["customFields"]] == ["Ro"], contact

    search = {
        "locationId": location_id,
        "pageLimit": 20,
        "filters": [{"field": "email", "operator": "eq", "value": "rosan@deos.com"}],
    }
    found = await sdk.contacts.search_contacts_advanced(search)
    assert [each["id"] for each in found["contacts"]] == [contact_id], found
    twin = await sdk.contacts.get_duplicate_contact(location_id, number="+18888888888")
    assert twin["contact"]["id"] == contact_id, twin
    await use_tags(sdk, contact_id)
    await use_notes_and_tasks(sdk, contact_id)
    await meet_refusals(sdk, location_id, contact_id)


async def use_tags(sdk: Any, contact_id: str) -> None:
    added = await sdk.contacts.add_tags(contact_id, {"tags": ["Lead"]})
    assert added["tags"] == ["vip", "lead"], added
    left = await sdk.contacts.remove_tags(contact_id, {"tags": ["vip"]})
    assert left["tags"] == ["lead"], left


async def use_notes_and_tasks(sdk: Any, contact_id: str) -> None:
    note = (await sdk.contacts.create_note(contact_id, {"body": "Called"}))["note"]
    changed = await sdk.contacts.update_note(contact_id, note["id"], {"body": "Called twice"})
    assert changed["note"]["body"] == "Called twice", changed
    assert [each["id"] for each in (await sdk.contacts.get_all_notes(contact_id))["notes"]] == [note["id"]]
    assert (await sdk.contacts.delete_note(contact_id, note["id"]))["succeeded"] is True
    due = {"title": "Write", "dueDate": "2026-01-02T10:00:00Z", "completed": False}
    task = (await sdk.contacts.create_task(contact_id, due))["task"]
    done = await sdk.contacts.update_task_completed(contact_id, task["id"], {"completed": True})
    assert done["task"]["completed"] is True, done


async def refusal_of(call: Awaitable[Any]) -> GHLError:
    try:
        answer = await call
    except GHLError as error:
        return error
    raise AssertionError(f"not refused: {answer}")


async def meet_refusals(sdk: Any, location_id: str, contact_id: str) -> None:
    refusal = await refusal_of(sdk.contacts.create_contact({"locationId": location_id, "email": "rosan@deos.com"}))
    assert (refusal.status_code, refusal.response["meta"]["contactId"]) == (400, contact_id), refusal.response
    assert (await sdk.contacts.delete_contact(contact_id))["succeeded"] is True
    assert (await refusal_of(sdk.contacts.get_contact(contact_id))).status_code == 400


async def main(url: str, token: str, location_id: str) -> None:
    HighLevel.BASE_URL = url
    sdk = HighLevel(private_integration_token=token, log_level="error")
    await use_contacts(sdk, location_id)
    location = await sdk.locations.get_location(location_id)
    assert location["location"]["id"] == location_id, location
    # OAuth: its own function here, and its call in this line.
    await sdk.http_client.aclose()
    print("all is well")


asyncio.run(main(*sys.argv[1:4]))
