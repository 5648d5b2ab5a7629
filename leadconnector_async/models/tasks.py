"""Tasks of contacts."""

from __future__ import annotations

from .received import Received
from .sent import Sent


class Task(Received, kw_only=True):
    """A task as the service returned it. `due_date` is an ISO 8601 text in UTC."""

    id: str
    contact_id: str | None = None
    title: str | None = None
    body: str | None = None
    due_date: str | None = None
    completed: bool | None = None
    assigned_to: str | None = None


class TaskBody(Sent, frozen=True, kw_only=True):
    """What a task is made or changed with."""

    title: str | None = None
    body: str | None = None
    due_date: str | None = None
    completed: bool | None = None
    assigned_to: str | None = None
