"""Operations on one contact."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

import msgspec
from msgspec import UNSET

from .. import protocol
from ..call import Call
from ..errors import InvalidContactError
from ..group import Group
from ..models import Contact, ContactUpdate, ContactUpsert, UpsertResult, as_given, read_mapping

ContactLike: TypeAlias = ContactUpsert | Mapping[str, object]
"""A contact, or a dict with its fields in snake_case or camelCase."""

# The clock that sets `dateAdded` need not be quite the one that sets the `Date` header.
_CLOCK_TOLERANCE = 2.0


class OneContact(Group):
    """Operations on one contact."""

    async def upsert(self, contact: ContactLike) -> UpsertResult:
        """Create a contact, or update the one that has its email or phone.

        Args:
            contact: What to store; its own `location_id` wins over the client's. `tags` replaces all tags.

        Returns:
            Whether it is new, the contact as stored, and the API's trace id. The service may drop a field without a
            word: compare `contact` with what was sent.

        Raises:
            InvalidContactError: It has no email or phone, an unknown field, or a value of the wrong type; not sent.
            CallError: It did not succeed; `may_be_applied` says whether it may have been stored all the same.
            DailyQuotaExceededError: The day is spent; not sent.
        """
        return await self.finish_upsert(self.prepare_upsert(self.complete(contact)))

    def prepare_upsert(self, contact: ContactUpsert) -> Call[UpsertResult]:
        """Check and encode what `complete` returned; for loads that check rows ahead of sending them.

        Raises:
            InvalidContactError: As `upsert`.
        """
        if not (contact.email or contact.phone):
            raise InvalidContactError("the contact has neither email nor phone, and the service matches by these")
        return Call(protocol.build_upsert(contact, self.client.api_version))

    async def finish_upsert(self, call: Call[UpsertResult]) -> UpsertResult:
        """Send what `prepare_upsert` made."""
        result = await self.client.send(call)
        if call.attempts == 1 and not call.rate_limited:
            return result
        is_new_by_date = None if result.new or call.doubted_at is None else self._is_ours(call, result.contact)
        return msgspec.structs.replace(
            result,
            new=result.new or is_new_by_date is True,
            is_new_by_date=is_new_by_date,
            attempts=call.attempts,
            rate_limited=call.rate_limited,
        )

    def _is_ours(self, call: Call[UpsertResult], contact: Contact) -> bool | None:
        """Whether an earlier try of this call, whose answer was lost, made a contact; None where that is not known."""
        doubted_at = call.doubted_at or 0.0
        return was_created_since(call.doubted_span or self.client.server_clock.span(doubted_at), contact)

    async def create(self, contact: ContactLike) -> Contact:
        """Create a contact; never tried again once it may have been stored, as that could make a second one.

        Raises:
            DuplicateContactError: Another contact has its email or phone; carries `contact_id` and `matching_field`.
            InvalidContactError, CallError, DailyQuotaExceededError: As `upsert`.
        """
        contact = self.complete(contact)
        if contact.create_new_if_duplicate_allowed is not UNSET:
            raise InvalidContactError("create takes no create_new_if_duplicate_allowed; it is for upsert alone")
        return await self._send(protocol.build_create(contact, self.client.api_version))

    async def get(self, contact_id: str, *, location_id: str | None = None) -> Contact:
        """Return a contact by its id; what was just written is seen at once.

        Args:
            contact_id: Its id, as an upsert or a search returned it.
            location_id: The location it is of, whose limits the call counts against; the client's by default.

        Raises:
            NotFoundError: There is none, or it was deleted.
            CallError: It did not succeed.
        """
        return await self._send(protocol.build_get(contact_id, self._scope(location_id)))

    async def update(
        self, contact_id: str, changes: ContactUpdate | Mapping[str, object], *, location_id: str | None = None
    ) -> Contact:
        """Change a contact and return it as stored. Fields that are not named stay; `tags` replaces all tags.

        Args:
            contact_id: Whose.
            changes: The fields to change, as a `ContactUpdate` or a dict in snake_case or camelCase.
            location_id: As in `get`.

        Raises:
            NotFoundError: There is no such contact.
            DuplicateContactError: Another contact has the new email or phone.
            InvalidContactError: `changes` has an unknown field or a value of the wrong type; not sent.
            CallError: It did not succeed.
        """
        if isinstance(changes, ContactUpdate):
            changes = as_given(changes)
        elif isinstance(changes, Mapping):
            changes = read_mapping(changes, ContactUpdate)
        else:
            raise InvalidContactError(f"changes are a ContactUpdate or a dict, not {type(changes).__name__}")
        return await self._send(protocol.build_update(contact_id, changes, self._scope(location_id)))

    async def delete(self, contact_id: str, *, location_id: str | None = None) -> None:
        """Delete a contact, with all that belongs to it.

        Args:
            contact_id: Which.
            location_id: As in `get`.

        Raises:
            NotFoundError: There is none.
            CallError: It did not succeed.
        """
        await self._send_delete(protocol.build_delete(contact_id, self._scope(location_id)))

    def complete(self, contact: ContactLike) -> ContactUpsert:
        """Make a Struct of a dict, without values that stand for nothing, such as NaN, and fill in the client's
        location where the contact names none.

        Raises:
            InvalidContactError: It is neither, has an unknown field or a wrong type, or there is no location.
        """
        if isinstance(contact, ContactUpsert):
            contact = as_given(contact)
        elif isinstance(contact, Mapping):
            contact = read_mapping(contact, ContactUpsert)
        else:
            raise InvalidContactError(f"a contact is a ContactUpsert or a dict, not {type(contact).__name__}")
        if contact.location_id:
            return contact
        if not self.client.location_id:
            raise InvalidContactError(
                "no location: pass location_id to the client or set it on the contact", field="location_id"
            )
        return msgspec.structs.replace(contact, location_id=self.client.location_id)


def was_created_since(span: tuple[float, float] | None, contact: Contact) -> bool | None:
    """Whether a contact is younger than a moment of the server's clock; None where that cannot be told.

    Args:
        span: The earliest and the latest that the moment may have been, in seconds since 1970, or None.
        contact: A contact; its `dateAdded` is by the server's clock.
    """
    added = _read_time(contact.date_added)
    if span is None or added is None:
        return None
    if added >= span[1] - _CLOCK_TOLERANCE:
        return True
    return None if added >= span[0] - _CLOCK_TOLERANCE else False


def _read_time(text: str | None) -> float | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if time.tzinfo is None else time.timestamp()
