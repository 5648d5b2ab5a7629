"""The two operations on many contacts at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from .books import Books
from .calls import Body, Call
from .refusals import Refusal
from .validation import Rules, flag, strings, text
from .versions import success

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


def change_tags(books: Books, call: Call) -> Body:
    """Add or remove tags; what went wrong is told per contact, in an answer that says success."""
    kind = call.params["type"]
    if kind not in ("add", "remove"):
        raise Refusal(422, ["type must be one of the following values: add, remove"])
    responses = [_change_tags_of(books, call.body, contact_id, kind) for contact_id in call.body["contacts"]]
    errors = sum(response["type"] == "error" for response in responses)
    return {**success(call.version), "errorCount": errors, "responses": responses}


def _change_tags_of(books: Books, sent: Body, contact_id: str, kind: str) -> Body:
    reason = _why_not(books, sent["locationId"], contact_id)
    if reason is not None:
        return {"contactId": contact_id, "message": reason, "type": "error"}
    had = list(books.get(contact_id).get("tags", []))
    removes_all = kind == "remove" and sent.get("removeAllTags", False)
    now = books.change_tags(contact_id, had if removes_all else sent["tags"], add=kind == "add")
    return {
        "contactId": contact_id,
        "message": "Tags updated",
        "type": "success",
        "oldTags": had,
        "tagsAdded": [tag for tag in now if tag not in had],
        "tagsRemoved": [tag for tag in had if tag not in now],
    }


def _why_not(books: Books, location_id: str, contact_id: str) -> str | None:
    """Return why a contact is passed over, in the service's words, or None."""
    if not _ID.fullmatch(contact_id):
        return "contact id is not a valid firebase id"
    contact = books.contacts.get(contact_id)
    if contact is None:
        return "contact is deleted"
    if contact["locationId"] != location_id:
        return "contact does not belong to location"
    return None


def set_business(books: Books, call: Call) -> Body:
    """Put contacts under a business, or under none; ids of contacts that are not there are passed over."""
    sent = call.body
    ids = [each for each in dict.fromkeys(sent["ids"]) if _why_not(books, sent["locationId"], each) is None]
    for contact_id in ids:
        books.set_field(books.get(contact_id), "businessId", sent["businessId"])
    return {"success": True, "ids": ids}
