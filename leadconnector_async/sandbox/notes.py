"""Notes of a contact."""

from __future__ import annotations

from typing import Final

from .books import Books
from .calls import Body, Call
from .refusals import Refusal
from .shelves import Fields
from .validation import Rules, flag, text
from .versions import success

_PROPERTIES: Final = {**dict.fromkeys(("userId", "body", "title", "color"), text), "pinned": flag}
NEW_NOTE: Final = Rules(_PROPERTIES, ("body",))
CHANGED_NOTE: Final = Rules(_PROPERTIES)


def list_notes(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    return {"notes": books.notes.of(call.contact_id)}


def create_note(books: Books, call: Call) -> Body:
    books.get(call.contact_id)
    note = {
        "id": books.new_id(books.notes),
        "contactId": call.contact_id,
        "pinned": False,
        "dateAdded": books.now(),
        **call.body,
    }
    return {"note": books.notes.put(note)}


def get_note(books: Books, call: Call) -> Body:
    return {"note": _find(books, call)}


def update_note(books: Books, call: Call) -> Body:
    return {"note": books.notes.put({**_find(books, call), **call.body})}


def delete_note(books: Books, call: Call) -> Body:
    books.notes.take(_find(books, call)["id"])
    return success(call.version)


def _find(books: Books, call: Call) -> Fields:
    books.get(call.contact_id)
    note = books.notes.get(call.params["id"])
    if note is None or note["contactId"] != call.contact_id:
        raise Refusal(400, f"Note with id {call.params['id']} not found")
    return note
