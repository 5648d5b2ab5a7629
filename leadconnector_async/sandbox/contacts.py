"""Operations on one contact: itself, its tags, followers and appointments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from .answers import Refusal
from .books import Records
from .calls import Body, IncomingCall, success
from .shapes import CREATED, WHOLE
from .validation import Rules, flag, iso_time, strings, text

TAGS: Final = Rules({"tags": strings}, ("tags",))
FOLLOWERS: Final = Rules({"followers": strings}, ("followers",))


def upsert(records: Records, call: IncomingCall) -> Body:
    contact, is_new = records.upsert(call.body)
    answer: Body = {"new": is_new, "contact": WHOLE.spell(contact, call.version)}
    return answer if is_new else {**answer, "succeded": True, "succeeded": True}  # both spellings, in each version


def create(records: Records, call: IncomingCall) -> Body:
    shape = WHOLE if call.version == "v3" else CREATED
    return {"contact": shape.spell(records.create(call.body), call.version)}


def get(records: Records, call: IncomingCall) -> Body:
    return {"contact": WHOLE.spell(records.get(call.contact_id), call.version)}


def update(records: Records, call: IncomingCall) -> Body:
    contact = records.update(call.contact_id, call.body)
    return {**success(call.version, has_twin=False), "contact": WHOLE.spell(contact, call.version)}


def delete(records: Records, call: IncomingCall) -> Body:
    records.delete(call.contact_id)
    return success(call.version)


def find_duplicate(records: Records, call: IncomingCall) -> Body:
    location_id = call.must_name_location()
    sent = {"email": call.query.get("email"), "phone": call.query.get("number")}
    contact = records.find_duplicate(location_id, sent)
    return {"contact": contact and WHOLE.spell(contact, call.version)}


def add_tags(records: Records, call: IncomingCall) -> Body:
    return {"tags": records.change_tags(call.contact_id, call.body["tags"], add=True)}


def remove_tags(records: Records, call: IncomingCall) -> Body:
    return {"tags": records.change_tags(call.contact_id, call.body["tags"], add=False)}


def add_followers(records: Records, call: IncomingCall) -> Body:
    contact = records.get(call.contact_id)
    had: list[str] = contact.get("followers", [])
    added = [user_id for user_id in dict.fromkeys(call.body["followers"]) if user_id not in had]
    records.set_field(contact, "followers", [*had, *added])
    return {"followers": contact["followers"], "followersAdded": added}


def remove_followers(records: Records, call: IncomingCall) -> Body:
    contact = records.get(call.contact_id)
    had: list[str] = contact.get("followers", [])
    removed = [user_id for user_id in had if user_id in call.body["followers"]]
    records.set_field(contact, "followers", [user_id for user_id in had if user_id not in removed])
    return {"followers": contact["followers"], "followersRemoved": removed}


def list_appointments(records: Records, call: IncomingCall) -> Body:
    records.get(call.contact_id)
    return {"events": records.appointments.of(call.contact_id)}


# ---------------------------------------------------------------------------------------------- bulk operations

_ID = re.compile(r"[A-Za-z0-9]{20}")
_LONGEST_ID: Final = 50


def _short_ids(name: str, value: Any) -> Iterator[str]:
    yield from strings(name, value)
    if isinstance(value, list) and any(isinstance(each, str) and len(each) > _LONGEST_ID for each in value):
        yield f"each value in {name} must be shorter than or equal to {_LONGEST_ID} characters"


MANY_TAGS: Final = Rules(
    {"contacts": strings, "tags": strings, "locationId": text, "removeAllTags": flag},
    ("contacts", "tags", "locationId"),
)
MANY_BUSINESS: Final = Rules(
    {"locationId": text, "ids": _short_ids, "businessId": text},
    ("locationId", "ids", "businessId"),
    frozenset(("businessId",)),
)


def change_tags(records: Records, call: IncomingCall) -> Body:
    """Add or remove tags. The answer always says success, and reports errors per contact."""
    kind = call.params["type"]
    if kind not in ("add", "remove"):
        raise Refusal(422, ["type must be one of the following values: add, remove"])
    responses = [_change_tags_of(records, call.body, contact_id, kind) for contact_id in call.body["contacts"]]
    errors = sum(response["type"] == "error" for response in responses)
    return {**success(call.version), "errorCount": errors, "responses": responses}


def _change_tags_of(records: Records, sent: Body, contact_id: str, kind: str) -> Body:
    reason = _why_not(records, sent["locationId"], contact_id)
    if reason is not None:
        return {"contactId": contact_id, "message": reason, "type": "error"}
    had = list(records.get(contact_id).get("tags", []))
    removes_all = kind == "remove" and sent.get("removeAllTags", False)
    now = records.change_tags(contact_id, had if removes_all else sent["tags"], add=kind == "add")
    return {
        "contactId": contact_id,
        "message": "Tags updated",
        "type": "success",
        "oldTags": had,
        "tagsAdded": [tag for tag in now if tag not in had],
        "tagsRemoved": [tag for tag in had if tag not in now],
    }


def _why_not(records: Records, location_id: str, contact_id: str) -> str | None:
    """Return why a contact is passed over, in the service's words, or None."""
    if not _ID.fullmatch(contact_id):
        return "contact id is not a valid firebase id"
    contact = records.contacts.get(contact_id)
    if contact is None:
        return "contact is deleted"
    if contact["locationId"] != location_id:
        return "contact does not belong to location"
    return None


def set_business(records: Records, call: IncomingCall) -> Body:
    """Put contacts under a business, or under none; ids of contacts that are not there are passed over."""
    sent = call.body
    ids = [each for each in dict.fromkeys(sent["ids"]) if _why_not(records, sent["locationId"], each) is None]
    for contact_id in ids:
        records.set_field(records.get(contact_id), "businessId", sent["businessId"])
    return {"success": True, "ids": ids}


# ---------------------------------------------------------------------------------------------- enrolments

CAMPAIGN: Final = Rules({})
WORKFLOW: Final = Rules({"eventStartTime": iso_time})


def enrolled(records: Records, contact_id: str, kind: str) -> list[str]:
    """Return the ids of the campaigns or workflows (`kind`) that a contact is in, the first joined first."""
    return [each["target"] for each in records.enrolments.of(contact_id) if each["kind"] == kind]


def add_to_campaign(records: Records, call: IncomingCall) -> Body:
    return _enrol(records, call, "campaign", call.params["campaignId"])


def remove_from_campaign(records: Records, call: IncomingCall) -> Body:
    return _leave(records, call, "campaign", call.params["campaignId"])


def remove_from_every_campaign(records: Records, call: IncomingCall) -> Body:
    for campaign_id in enrolled(records, call.contact_id, "campaign"):
        _leave(records, call, "campaign", campaign_id)
    records.get(call.contact_id)
    return success(call.version)


def add_to_workflow(records: Records, call: IncomingCall) -> Body:
    return _enrol(records, call, "workflow", call.params["workflowId"])


def remove_from_workflow(records: Records, call: IncomingCall) -> Body:
    return _leave(records, call, "workflow", call.params["workflowId"])


def _enrol(records: Records, call: IncomingCall, kind: str, target: str) -> Body:
    records.get(call.contact_id)
    key = f"{call.contact_id}/{kind}/{target}"
    records.enrolments.put({"id": key, "contactId": call.contact_id, "kind": kind, "target": target, **call.body})
    return success(call.version)


def _leave(records: Records, call: IncomingCall, kind: str, target: str) -> Body:
    """Leaving what one is not in is no mistake: nothing is known of an answer that says so."""
    records.get(call.contact_id)
    key = f"{call.contact_id}/{kind}/{target}"
    if key in records.enrolments:
        records.enrolments.take(key)
    return success(call.version)
