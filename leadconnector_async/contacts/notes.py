"""client.contacts.notes: the notes of a contact."""

from __future__ import annotations

from ..group import Group
from ..models.notes import Note, NoteBody
from ..protocol import notes as calls


class Notes(Group):
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
        """Write a note on a contact. Never tried again once it may have been stored: that could make a second one.

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
