"""Notes on contacts."""

from __future__ import annotations

from .structs import Received, SentStruct


class Note(Received, kw_only=True):
    """A note as the service returned it. `date_added` is an ISO 8601 text in UTC."""

    id: str
    contact_id: str | None = None
    body: str | None = None
    title: str | None = None
    color: str | None = None
    pinned: bool | None = None
    user_id: str | None = None
    date_added: str | None = None


class NoteBody(SentStruct, frozen=True, kw_only=True):
    """What a note is made or changed with."""

    body: str | None = None
    title: str | None = None
    color: str | None = None
    pinned: bool | None = None
    user_id: str | None = None


# ---------------------------------------------------------------------------------------------- tasks


class Task(Received, kw_only=True):
    """A task as the service returned it. `due_date` is an ISO 8601 text in UTC."""

    id: str
    contact_id: str | None = None
    title: str | None = None
    body: str | None = None
    due_date: str | None = None
    completed: bool | None = None
    assigned_to: str | None = None


class TaskBody(SentStruct, frozen=True, kw_only=True):
    """What a task is made or changed with."""

    title: str | None = None
    body: str | None = None
    due_date: str | None = None
    completed: bool | None = None
    assigned_to: str | None = None


# ---------------------------------------------------------------------------------------------- appointments


class Appointment(Received, kw_only=True):
    """An appointment as the service returned it; times are texts in the service's own form."""

    id: str
    calendar_id: str | None = None
    location_id: str | None = None
    contact_id: str | None = None
    group_id: str | None = None
    title: str | None = None
    status: str | None = None
    appointment_status: str | None = None
    assigned_user_id: str | None = None
    users: list[str] | None = None
    assigned_resources: list[str] | None = None
    notes: str | None = None
    address: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    date_added: str | None = None
    date_updated: str | None = None
