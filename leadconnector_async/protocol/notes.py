"""Calls on the notes of a contact."""

from __future__ import annotations

from typing import Final

from ..models.notes import Note, NoteBody
from ..models.received import many, one
from ..models.sent import encode_body
from .request import Request, Scope, build_request, fill_path
from .success import read_success

_ALL: Final = "/contacts/{contact_id}/notes"
_ONE: Final = "/contacts/{contact_id}/notes/{note_id}"
_read_note: Final = one("note", Note)
_read_notes: Final = many("notes", Note)


def build_note_list(contact_id: str, scope: Scope) -> Request[list[Note]]:
    """GET /contacts/{contactId}/notes."""
    return build_request("GET", fill_path(_ALL, contact_id=contact_id), scope, _read_notes)


def build_note_create(contact_id: str, note: NoteBody, scope: Scope) -> Request[Note]:
    """POST /contacts/{contactId}/notes. A second one would make a second note."""
    path = fill_path(_ALL, contact_id=contact_id)
    return build_request("POST", path, scope, _read_note, body=encode_body(note), is_repeatable=False)


def build_note_get(contact_id: str, note_id: str, scope: Scope) -> Request[Note]:
    """GET /contacts/{contactId}/notes/{id}."""
    return build_request("GET", fill_path(_ONE, contact_id=contact_id, note_id=note_id), scope, _read_note)


def build_note_update(contact_id: str, note_id: str, changes: NoteBody, scope: Scope) -> Request[Note]:
    """PUT /contacts/{contactId}/notes/{id}."""
    path = fill_path(_ONE, contact_id=contact_id, note_id=note_id)
    return build_request("PUT", path, scope, _read_note, body=encode_body(changes))


def build_note_delete(contact_id: str, note_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/notes/{id}."""
    return build_request("DELETE", fill_path(_ONE, contact_id=contact_id, note_id=note_id), scope, read_success)
