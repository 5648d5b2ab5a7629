"""Calls on the notes of a contact."""

from __future__ import annotations

from typing import Final

from ..models.activities import Note, NoteBody, Task, TaskBody
from ..models.structs import encode_body, many, one
from .answers import read_success
from .request import Request, Scope, build_request, fill_path

_NOTES: Final = "/contacts/{contact_id}/notes"
_NOTE: Final = "/contacts/{contact_id}/notes/{note_id}"
_read_note: Final = one("note", Note)
_read_notes: Final = many("notes", Note)


def build_note_list(contact_id: str, scope: Scope) -> Request[list[Note]]:
    """GET /contacts/{contactId}/notes."""
    return build_request("GET", fill_path(_NOTES, contact_id=contact_id), scope, _read_notes)


def build_note_create(contact_id: str, note: NoteBody, scope: Scope) -> Request[Note]:
    """POST /contacts/{contactId}/notes. A second one would make a second note."""
    path = fill_path(_NOTES, contact_id=contact_id)
    return build_request("POST", path, scope, _read_note, body=encode_body(note), is_repeatable=False)


def build_note_get(contact_id: str, note_id: str, scope: Scope) -> Request[Note]:
    """GET /contacts/{contactId}/notes/{id}."""
    return build_request("GET", fill_path(_NOTE, contact_id=contact_id, note_id=note_id), scope, _read_note)


def build_note_update(contact_id: str, note_id: str, changes: NoteBody, scope: Scope) -> Request[Note]:
    """PUT /contacts/{contactId}/notes/{id}."""
    path = fill_path(_NOTE, contact_id=contact_id, note_id=note_id)
    return build_request("PUT", path, scope, _read_note, body=encode_body(changes))


def build_note_delete(contact_id: str, note_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/notes/{id}."""
    return build_request("DELETE", fill_path(_NOTE, contact_id=contact_id, note_id=note_id), scope, read_success)


# ---------------------------------------------------------------------------------------------- tasks

_TASKS: Final = "/contacts/{contact_id}/tasks"
_TASK: Final = "/contacts/{contact_id}/tasks/{task_id}"
_read_task: Final = one("task", Task)
_read_tasks: Final = many("tasks", Task)


def build_task_list(contact_id: str, scope: Scope) -> Request[list[Task]]:
    """GET /contacts/{contactId}/tasks."""
    return build_request("GET", fill_path(_TASKS, contact_id=contact_id), scope, _read_tasks)


def build_task_create(contact_id: str, task: TaskBody, scope: Scope) -> Request[Task]:
    """POST /contacts/{contactId}/tasks. A second one would make a second task."""
    path = fill_path(_TASKS, contact_id=contact_id)
    return build_request("POST", path, scope, _read_task, body=encode_body(task), is_repeatable=False)


def build_task_get(contact_id: str, task_id: str, scope: Scope) -> Request[Task]:
    """GET /contacts/{contactId}/tasks/{taskId}."""
    return build_request("GET", fill_path(_TASK, contact_id=contact_id, task_id=task_id), scope, _read_task)


def build_task_update(contact_id: str, task_id: str, changes: TaskBody, scope: Scope) -> Request[Task]:
    """PUT /contacts/{contactId}/tasks/{taskId}."""
    path = fill_path(_TASK, contact_id=contact_id, task_id=task_id)
    return build_request("PUT", path, scope, _read_task, body=encode_body(changes))


def build_task_complete(contact_id: str, task_id: str, scope: Scope, *, completed: bool) -> Request[Task]:
    """PUT /contacts/{contactId}/tasks/{taskId}/completed."""
    path = fill_path(_TASK, contact_id=contact_id, task_id=task_id) + "/completed"
    return build_request("PUT", path, scope, _read_task, body=encode_body(TaskBody(completed=completed)))


def build_task_delete(contact_id: str, task_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/tasks/{taskId}."""
    return build_request("DELETE", fill_path(_TASK, contact_id=contact_id, task_id=task_id), scope, read_success)
