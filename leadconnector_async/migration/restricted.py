"""Who must not be disturbed on some channel, as the search's own filters tell.

A search may leave `dndSettings` and `inboundDndSettings` out of what it returns, and of a contact without restrictions
they are left out anyway: so from a contact that comes without them nobody knows whether it has any. But a search can be
asked for the contacts whose channels are closed, a page at a time. Only those of them that came without their settings
need to be read by their ids.

The filters know Email, SMS, Call and what comes in, and not WhatsApp, GMB, FB or RCS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from ..client import LeadConnector
from ..errors import BadRequestError, ValidationError
from ..models import Contact, any_of
from ..models.filters import Filter, FilterGroup

ASKED: Final = ("Email", "SMS", "Call")
NOT_ASKED: Final = ("WhatsApp", "GMB", "FB", "RCS")

_CLOSED: Final[dict[str, FilterGroup]] = {
    "dnd_settings": any_of(
        *(
            Filter(f"dnd_settings.{channel.lower()}.status", "eq", status)
            for channel in ASKED
            for status in ("active", "permanent")
        )
    ),
    "inbound_dnd_settings": any_of(Filter("inbound_dnd_settings.all.status", "eq", "active")),
}
"""What to ask for, by the field that such a contact must have."""


class RestrictedContacts:
    """The contacts of which some channel is closed, in a file of SQLite that is gone when this is closed.

    Attributes:
        is_known: Whether the service has said who they are.
    """

    def __init__(self) -> None:
        self.is_known = False
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE closed (field TEXT, id TEXT, PRIMARY KEY (field, id)) WITHOUT ROWID")

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._db.close()

    async def read(
        self, client: LeadConnector, filters: Sequence[Filter], *, query: str | None, location_id: str, page_size: int
    ) -> None:
        """Ask who they are among the contacts that a search would find; where the service knows no such filters, they
        stay unknown.

        Raises:
            LeadConnectorError: It could not be asked.
        """
        try:
            for field, closed in _CLOSED.items():
                search = client.contacts.search(
                    *filters, closed, query=query, page_size=page_size, location_id=location_id
                )
                async for contact in search:
                    self._db.execute("INSERT OR IGNORE INTO closed VALUES (?, ?)", (field, contact.id))
        except (BadRequestError, ValidationError):
            return
        self.is_known = True

    def find_unsure(self, contacts: Sequence[Contact]) -> list[str]:
        """Return the ids of those that are restricted and do not say how."""
        return [contact.id for contact in contacts if self._is_unsure(contact)]

    def _is_unsure(self, contact: Contact) -> bool:
        return any(not contact.knows(field) and self._is_closed(field, contact.id) for field in _CLOSED)

    def _is_closed(self, field: str, contact_id: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM closed WHERE field = ? AND id = ?", (field, contact_id)).fetchone())


def take_restrictions(contact: Contact, whole: Contact) -> None:
    """Have a contact that a search returned say of do-not-disturb what a read of it by its id said."""
    for field in ("dnd", *_CLOSED):
        setattr(contact, field, getattr(whole, field))
