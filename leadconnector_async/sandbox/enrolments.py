"""The campaigns and workflows that a contact is in."""

from __future__ import annotations

from typing import Final

from .books import Books
from .calls import Body, Call
from .validation import Rules, iso_time
from .versions import success

CAMPAIGN: Final = Rules({})
WORKFLOW: Final = Rules({"eventStartTime": iso_time})


def enrolled(books: Books, contact_id: str, kind: str) -> list[str]:
    """Return the ids of the campaigns or workflows (`kind`) that a contact is in, the first joined first."""
    return [each["target"] for each in books.enrolments.of(contact_id) if each["kind"] == kind]


def add_to_campaign(books: Books, call: Call) -> Body:
    return _enrol(books, call, "campaign", call.params["campaignId"])


def remove_from_campaign(books: Books, call: Call) -> Body:
    return _leave(books, call, "campaign", call.params["campaignId"])


def remove_from_every_campaign(books: Books, call: Call) -> Body:
    for campaign_id in enrolled(books, call.contact_id, "campaign"):
        _leave(books, call, "campaign", campaign_id)
    books.get(call.contact_id)
    return success(call.version)


def add_to_workflow(books: Books, call: Call) -> Body:
    return _enrol(books, call, "workflow", call.params["workflowId"])


def remove_from_workflow(books: Books, call: Call) -> Body:
    return _leave(books, call, "workflow", call.params["workflowId"])


def _enrol(books: Books, call: Call, kind: str, target: str) -> Body:
    books.get(call.contact_id)
    key = f"{call.contact_id}/{kind}/{target}"
    books.enrolments.put({"id": key, "contactId": call.contact_id, "kind": kind, "target": target, **call.body})
    return success(call.version)


def _leave(books: Books, call: Call, kind: str, target: str) -> Body:
    """Leaving what one is not in is no mistake: nothing is known of an answer that says so."""
    books.get(call.contact_id)
    key = f"{call.contact_id}/{kind}/{target}"
    if key in books.enrolments:
        books.enrolments.take(key)
    return success(call.version)
