"""client.contacts.notes: the notes of a contact."""

from __future__ import annotations

from datetime import datetime

from ..models.activities import Note, NoteBody, Task, TaskBody
from ..models.structs import format_time
from ..protocol import activities as calls
from .group import OperationGroup


class Notes(OperationGroup):
    """The notes of contacts. Reached as `client.contacts.notes`.

    Each method takes `location_id`: the location of the contact, whose limits the call counts against; the client's by
    default. Each raises `NotFoundError` where there is no such contact or note, and `CallError` where it does not
    succeed otherwise; `may_be_applied` then says whether it may have been done all the same.
    """

    async def create(
        self,
        contact_id: str,
        body: str,
        *,
        title: str | None = None,
        color: str | None = None,
        pinned: bool | None = None,
        user_id: str | None = None,
        location_id: str | None = None,
    ) -> Note:
        """Write a note on a contact. Never retried once it may have been stored: that could make a second one.

        Args:
            contact_id: On whom.
            body: The text.
            title: Its title.
            color: Such as `#FFAA00`.
            pinned: Whether it stays on top.
            user_id: Who writes it.
            location_id: See the class.
        """
        note = NoteBody(body=body, title=title, color=color, pinned=pinned, user_id=user_id)
        return await self._send(calls.build_note_create(contact_id, note, self._scope(location_id)))

    async def get(self, contact_id: str, note_id: str, *, location_id: str | None = None) -> Note:
        """Return one note of a contact."""
        return await self._send(calls.build_note_get(contact_id, note_id, self._scope(location_id)))

    async def update(
        self,
        contact_id: str,
        note_id: str,
        *,
        body: str | None = None,
        title: str | None = None,
        color: str | None = None,
        pinned: bool | None = None,
        user_id: str | None = None,
        location_id: str | None = None,
    ) -> Note:
        """Change a note and return it as stored. What is not given stays; arguments are those of `create`."""
        changes = NoteBody(body=body, title=title, color=color, pinned=pinned, user_id=user_id)
        return await self._send(calls.build_note_update(contact_id, note_id, changes, self._scope(location_id)))

    async def delete(self, contact_id: str, note_id: str, *, location_id: str | None = None) -> None:
        """Delete a note."""
        await self._send_delete(calls.build_note_delete(contact_id, note_id, self._scope(location_id)))

    async def list(self, contact_id: str, *, location_id: str | None = None) -> list[Note]:
        """Return all notes of a contact, in the service's own order."""
        return await self._send(calls.build_note_list(contact_id, self._scope(location_id)))


# ---------------------------------------------------------------------------------------------- tasks


class Tasks(OperationGroup):
    """The tasks of contacts. Reached as `client.contacts.tasks`.

    Each method takes `location_id`: the location of the contact, whose limits the call counts against; the client's by
    default. Each raises `NotFoundError` where there is no such contact or task, and `CallError` where it does not
    succeed otherwise; `may_be_applied` then says whether it may have been done all the same.
    """

    async def create(
        self,
        contact_id: str,
        title: str,
        *,
        due_date: str | datetime,
        completed: bool = False,
        body: str | None = None,
        assigned_to: str | None = None,
        location_id: str | None = None,
    ) -> Task:
        """Give a contact a task. Never retried once it may have been stored: that could make a second one.

        Args:
            contact_id: For whom.
            title: What is to be done.
            due_date: Until when: a datetime with its time zone, or a text such as `2026-10-25T11:00:00Z`.
            completed: Whether it is done already.
            body: More about it.
            assigned_to: The id of the user who is to do it.
            location_id: See the class.

        Raises:
            UsageError: `due_date` has no time zone, or a value is of the wrong type; not sent.
        """
        task = TaskBody(
            title=title, body=body, due_date=format_time(due_date), completed=completed, assigned_to=assigned_to
        )
        return await self._send(calls.build_task_create(contact_id, task, self._scope(location_id)))

    async def get(self, contact_id: str, task_id: str, *, location_id: str | None = None) -> Task:
        """Return one task of a contact."""
        return await self._send(calls.build_task_get(contact_id, task_id, self._scope(location_id)))

    async def update(
        self,
        contact_id: str,
        task_id: str,
        *,
        title: str | None = None,
        due_date: str | datetime | None = None,
        completed: bool | None = None,
        body: str | None = None,
        assigned_to: str | None = None,
        location_id: str | None = None,
    ) -> Task:
        """Change a task and return it as stored. What is not given stays; arguments are those of `create`."""
        due = None if due_date is None else format_time(due_date)
        changes = TaskBody(title=title, body=body, due_date=due, completed=completed, assigned_to=assigned_to)
        return await self._send(calls.build_task_update(contact_id, task_id, changes, self._scope(location_id)))

    async def complete(
        self, contact_id: str, task_id: str, *, completed: bool = True, location_id: str | None = None
    ) -> Task:
        """Mark a task as done (or, with `completed=False`, as not done) and return it as stored."""
        scope = self._scope(location_id)
        return await self._send(calls.build_task_complete(contact_id, task_id, scope, completed=completed))

    async def delete(self, contact_id: str, task_id: str, *, location_id: str | None = None) -> None:
        """Delete a task."""
        await self._send_delete(calls.build_task_delete(contact_id, task_id, self._scope(location_id)))

    async def list(self, contact_id: str, *, location_id: str | None = None) -> list[Task]:
        """Return all tasks of a contact, in the service's own order."""
        return await self._send(calls.build_task_list(contact_id, self._scope(location_id)))
