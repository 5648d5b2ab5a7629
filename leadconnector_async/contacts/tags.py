"""client.contacts.tags: the tags of one contact."""

from __future__ import annotations

from collections.abc import Iterable

from .. import protocol
from ..errors import InvalidContactError
from ..group import Group


class Tags(Group):
    """The tags of contacts. Reached as `client.contacts.tags`."""

    async def add(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Add tags to those the contact has, and return all it has then (the service keeps them in lower case).

        Args:
            contact_id: Whose.
            tags: What to add; a tag that the location does not know yet is made.
            location_id: The location of the contact, whose limits the call counts against; the client's by default.

        Raises:
            NotFoundError: There is no such contact.
            CallError: It did not succeed; it may be repeated.
        """
        return await self._send(
            protocol.build_tags("POST", contact_id, list_texts(tags, "tags"), self._scope(location_id))
        )

    async def remove(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Remove tags from the contact, and return those it has left. Arguments and errors are those of `add`."""
        return await self._send(
            protocol.build_tags("DELETE", contact_id, list_texts(tags, "tags"), self._scope(location_id))
        )


def list_texts(texts: Iterable[str], name: str) -> list[str]:
    """Return the texts as a list, and refuse what would be taken for a list of letters."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InvalidContactError(f"{name} is a list of texts, not {type(texts).__name__}", field=name)
    return list(texts)
