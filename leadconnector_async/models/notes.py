"""Notes on contacts."""

from __future__ import annotations

from .received import Received
from .sent import Sent


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


class NoteBody(Sent, frozen=True, kw_only=True):
    """What a note is made or changed with."""

    body: str | None = None
    title: str | None = None
    color: str | None = None
    pinned: bool | None = None
    user_id: str | None = None
