"""Calls on the tasks of a contact."""

from __future__ import annotations

from typing import Final

from ..models.received import many, one
from ..models.sent import encode_body
from ..models.tasks import Task, TaskBody
from .request import Request, Scope, build_request, fill_path
from .success import read_success

_ALL: Final = "/contacts/{contact_id}/tasks"
_ONE: Final = "/contacts/{contact_id}/tasks/{task_id}"
_read_task: Final = one("task", Task)
_read_tasks: Final = many("tasks", Task)


def build_task_list(contact_id: str, scope: Scope) -> Request[list[Task]]:
    """GET /contacts/{contactId}/tasks."""
    return build_request("GET", fill_path(_ALL, contact_id=contact_id), scope, _read_tasks)


def build_task_create(contact_id: str, task: TaskBody, scope: Scope) -> Request[Task]:
    """POST /contacts/{contactId}/tasks. A second one would make a second task."""
    path = fill_path(_ALL, contact_id=contact_id)
    return build_request("POST", path, scope, _read_task, body=encode_body(task), is_repeatable=False)


def build_task_get(contact_id: str, task_id: str, scope: Scope) -> Request[Task]:
    """GET /contacts/{contactId}/tasks/{taskId}."""
    return build_request("GET", fill_path(_ONE, contact_id=contact_id, task_id=task_id), scope, _read_task)


def build_task_update(contact_id: str, task_id: str, changes: TaskBody, scope: Scope) -> Request[Task]:
    """PUT /contacts/{contactId}/tasks/{taskId}."""
    path = fill_path(_ONE, contact_id=contact_id, task_id=task_id)
    return build_request("PUT", path, scope, _read_task, body=encode_body(changes))


def build_task_complete(contact_id: str, task_id: str, scope: Scope, *, completed: bool) -> Request[Task]:
    """PUT /contacts/{contactId}/tasks/{taskId}/completed."""
    path = fill_path(_ONE, contact_id=contact_id, task_id=task_id) + "/completed"
    return build_request("PUT", path, scope, _read_task, body=encode_body(TaskBody(completed=completed)))


def build_task_delete(contact_id: str, task_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/tasks/{taskId}."""
    return build_request("DELETE", fill_path(_ONE, contact_id=contact_id, task_id=task_id), scope, read_success)
