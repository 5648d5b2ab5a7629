"""Operations on one contact, and the groups that hang on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..calls.call import PAUSED, Call, Paused
from ..calls.caller import Caller
from ..calls.retry import is_worth_repeating
from ..errors import APIError, InvalidContactError, NotFoundError, PermanentDndError
from ..models import (
    AnySendable,
    Contact,
    ContactUpdate,
    ContactUpsert,
    NotApplied,
    UpsertResult,
    as_given,
    read_mapping,
    without_refused,
)
from ..models.compare import describe_refused, find_dropped, with_refused
from ..models.contacts import NullableText
from ..models.fields import FIELD_OF, KEYS
from ..models.identity import is_contact_id
from ..models.records import Record, as_mapping
from ..models.wire import held_channels
from ..protocol import Request, Scope, T, build_create, build_delete, build_get, build_update, build_upsert
from ..protocol.contacts import NO_CHANNELS
from ..protocol.links import build_bulk_business
from ..protocol.search import build_duplicate
from .activities import Notes, Tasks
from .authorship import NO_EARLIER_TRIES, EarlierTries, was_created_by_lost_try
from .finding import Finding
from .group import OperationGroup
from .links import Campaigns, Followers, Tags, Workflows, in_hundreds

SendRequest: TypeAlias = Callable[[Request[Any]], Awaitable[Any]]
ContactLike: TypeAlias = ContactUpsert | Record
"""A contact, or a dict with its fields in snake_case or camelCase."""


class OneContact(OperationGroup):
    """Operations on one contact."""

    async def upsert(self, contact: ContactLike) -> UpsertResult:
        """Create a contact, or update the one that has its email or phone; where it has an `id`, update that one alone.

        An update takes no gender, and its company is sent by an upsert where that is known to meet the same contact.

        Args:
            contact: What to store; its own `location_id` wins over the client's. `tags` replaces all tags. With
                `dnd_settings`, the contact is looked up before (one or two calls), so that its other channels stay as
                they are whatever the service does.

        Returns:
            Whether it is new, the contact as stored, and the API's trace id. `not_applied` names what the service
            dropped without a word, and do-not-disturb channels that may not be changed.

        Raises:
            InvalidContactError: It has no id, email or phone, an unknown field, or a value of the wrong type; not sent.
            NotFoundError: There is no contact with its `id`.
            DuplicateContactError: Another contact has the email or phone of one with an `id`; nothing was changed.
            CallError: It did not succeed; `may_be_applied` says whether it may have been stored all the same.
            DailyQuotaExceededError: The day is spent; not sent.
        """
        contact = self.complete(contact)
        call, held = await self._hold_channels(Call(build_checked(contact, self.client.api_version)), contact)
        result = await send_upsert(self.client, call, contact, held=held)
        assert result is not PAUSED  # noqa: S101  (only rows of loads give way)
        if lacks_company(contact, result.contact):
            result = await send_company(self._send, contact, result, self._scope(contact.location_id or None))
        return _finish(result, contact)

    async def _hold_channels(
        self, call: Call[UpsertResult], contact: ContactUpsert
    ) -> tuple[Call[UpsertResult], Mapping[str, Any]]:
        """Add to an upsert of do-not-disturb settings what the contact holds of other channels."""
        if not names_channels(contact):
            return call, NO_CHANNELS
        scope = Scope(call.request.location_id, self.client.api_version)
        held = await find_held_channels(self._send, contact, scope)
        return with_request(call, build_upsert(contact, self.client.api_version, is_checked=True, held=held)), held

    async def create(self, contact: ContactLike) -> Contact:
        """Create a contact; never retried once it may have been stored, as that could make a second one.

        Returns:
            The contact as stored; its `not_applied` names what the service dropped without a word, as far as its answer
            shows it, and do-not-disturb channels that may not be set so.

        Raises:
            DuplicateContactError: Another contact has its email or phone; carries `contact_id` and `matching_field`.
            InvalidContactError, CallError, DailyQuotaExceededError: As `upsert`.
        """
        contact = self.complete(contact)
        if contact.create_new_if_duplicate_allowed is not UNSET:
            raise InvalidContactError("create takes no create_new_if_duplicate_allowed; it is for upsert alone")
        if contact.id is not UNSET:
            raise InvalidContactError("create takes no id: the service gives it one", field="id")

        def build(contact: ContactUpsert, _: Mapping[str, Any]) -> Request[Contact]:
            return build_create(contact, self.client.api_version)

        return await self._send_contact(contact, build, NO_CHANNELS)

    async def _send_contact(
        self,
        contact: AnySendable,
        build: Callable[[AnySendable, Mapping[str, Any]], Request[Contact]],
        held: Mapping[str, Any],
    ) -> Contact:
        allowed, call = contact, Call(build(contact, held))
        while True:
            try:
                stored = await self.client.send(call)
                break
            except PermanentDndError as error:
                allowed, held = without_permanent(allowed, held, error, call)
                call = with_request(call, build(allowed, held))
        refused = _find_refused(contact, allowed, stored)
        stored.__dict__["_not_applied"] = with_refused(find_dropped(contact, stored), refused)
        return stored

    async def get(self, contact_id: str, *, location_id: str | None = None) -> Contact:
        """Return a contact by its id; what was just written is seen at once.

        Args:
            contact_id: Its id, as an upsert or a search returned it.
            location_id: The location it is of, whose limits the call counts against; the client's by default.

        Raises:
            NotFoundError: There is none, or it was deleted.
            CallError: It did not succeed.
        """
        return await self._send(build_get(contact_id, self._scope(location_id)))

    async def update(
        self, contact_id: str, changes: ContactUpdate | Record, *, location_id: str | None = None
    ) -> Contact:
        """Change a contact and return it as stored. Fields that are not named stay; `tags` replaces all tags.

        Args:
            contact_id: Whose.
            changes: The fields to change, as a `ContactUpdate` or a dict in snake_case or camelCase. With
                `dnd_settings`, the contact is read before, so that its other channels stay as they are.
            location_id: As in `get`.

        Returns:
            The contact as stored; its `not_applied` names what the service dropped without a word, and do-not-disturb
            channels that may not be changed so.

        Raises:
            NotFoundError: There is no such contact.
            DuplicateContactError: Another contact has the new email or phone.
            PermanentDndError: All that `changes` name are such channels; nothing was changed.
            InvalidContactError: `changes` has an unknown field or a value of the wrong type; not sent.
            CallError: It did not succeed.
        """
        changes = _read(changes, ContactUpdate, "changes are a ContactUpdate")
        scope, held = self._scope(location_id), NO_CHANNELS
        if names_channels(changes):
            held = held_channels(await self._send(build_get(contact_id, scope)))

        def build(changes: ContactUpdate, held: Mapping[str, Any]) -> Request[Contact]:
            return build_update(contact_id, changes, scope, held=held)

        return await self._send_contact(changes, build, held)

    async def delete(self, contact_id: str, *, location_id: str | None = None) -> None:
        """Delete a contact, with all that belongs to it.

        Args:
            contact_id: Which.
            location_id: As in `get`.

        Raises:
            NotFoundError: There is none.
            CallError: It did not succeed.
        """
        await self._send_delete(build_delete(contact_id, self._scope(location_id)))

    def complete(self, contact: ContactLike, *, location_id: str | None = None) -> ContactUpsert:
        """Make a Struct of a dict, without values that stand for nothing, such as NaN, and fill in a location where the
        contact names none: this one, or the client's.

        Raises:
            InvalidContactError: It is neither, has an unknown field or a wrong type, or there is no location, or two.
        """
        contact = _read(contact, ContactUpsert, "a contact is a ContactUpsert")
        if contact.location_id:
            if location_id not in (None, contact.location_id):
                raise InvalidContactError("the contact names another location", field="location_id")
            return contact
        if location_id:
            return msgspec.structs.replace(contact, location_id=location_id)
        if not self.client.location_id:
            raise InvalidContactError(
                "no location: pass location_id to the client or set it on the contact", field="location_id"
            )
        return msgspec.structs.replace(contact, location_id=self.client.location_id)


def _read(given: object, model: type[AnySendable], what: str) -> AnySendable:
    """Return a Struct or a dict as a Struct whose values are checked.

    Raises:
        InvalidContactError: It is neither, has an unknown field, or a value of the wrong type.
    """
    if isinstance(given, model):
        return as_given(given)
    record = None if isinstance(given, Struct) else as_mapping(given)
    if record is not None:
        return read_mapping(record, model)
    hint = " (values without names; let the cursor return rows with names)" if isinstance(given, tuple | list) else ""
    raise InvalidContactError(f"{what} or a dict, not {type(given).__name__}{hint}")


CALLS_TO_READ_CHANNELS: Final = 2
"""Calls that `find_held_channels` makes at most."""


async def find_held_channels(send: SendRequest, contact: ContactUpsert, scope: Scope) -> dict[str, Any]:
    """Return what the contact that an upsert would meet holds of do-not-disturb by channel; see `held_channels`.

    Args:
        send: Makes a call.
        contact: What is to be sent.
        scope: What the calls count against.

    Raises:
        LeadConnectorError: A call did not succeed.
    """
    if contact.id is not UNSET:
        return held_channels(await send(build_get(contact.id, scope)))
    if is_found_by_nothing(contact):
        return {}
    found = await send(build_duplicate(contact.email or None, contact.phone or None, scope))
    if found is not None and not found.knows("dnd_settings"):
        try:
            found = await send(build_get(found.id, scope))
        except NotFoundError:  # it has gone meanwhile
            return {}
    return {} if found is None else held_channels(found)


def names_channels(contact: AnySendable) -> bool:
    """Whether do-not-disturb settings are sent, so that those of other channels must go along."""
    return bool(_channels_of(contact))


async def send_upsert(
    caller: Caller,
    call: Call[UpsertResult],
    contact: ContactUpsert,
    earlier: EarlierTries = NO_EARLIER_TRIES,
    *,
    held: Mapping[str, Any] = NO_CHANNELS,
) -> UpsertResult | Paused:
    """Send an upsert, and again without each do-not-disturb channel that the service refuses to change for good.

    It ends, as each refusal leaves less to refuse. Of a call that was refused nothing was applied, so that any kind of
    call may be sent again.

    Args:
        caller: Sends it.
        call: The upsert.
        contact: What it sends.
        earlier: Tries of earlier sessions that may have been applied.
        held: Channels that the call sends along, as the contact holds them.

    Returns:
        What the service says of it; `PAUSED` where it is a row of a load and its location is paused.

    Raises:
        PermanentDndError: There is nothing else to change, or it is not known which channel is meant.
        LeadConnectorError: As `Caller.send`.
    """
    allowed, tries = contact, call.tries
    while True:
        try:
            result = await caller.send_row(call)
            break
        except PermanentDndError as error:
            allowed, held = without_permanent(allowed, held, error, call)
            call = with_request(call, build_upsert(allowed, caller.api_version, held=held))
    if result is PAUSED or (tries.count == 1 and not tries.rate_limited and not earlier.spans):
        return result
    is_new_by_date = None
    if not result.new and contact.id is UNSET:
        is_new_by_date = was_created_by_lost_try(tries, contact, result.contact, caller.server_clock, earlier)
    return msgspec.structs.replace(
        result,
        new=result.new or is_new_by_date is True,
        is_new_by_date=is_new_by_date,
        attempts=tries.count,
        rate_limited=tries.rate_limited,
        not_applied=_find_refused(contact, allowed, result.contact),
    )


def lacks_company(contact: ContactUpsert, stored: Contact) -> bool:
    """Whether a contact that was updated by its id has another company than was sent: no update takes it."""
    if contact.id is UNSET or contact.company_name is UNSET:
        return False
    return not _is_same_company(contact.company_name, stored.company_name)


async def send_company(send: SendRequest, contact: ContactUpsert, result: UpsertResult, scope: Scope) -> UpsertResult:
    """Send the company of a contact that was updated by its id, where an upsert is known to meet that contact.

    Returns:
        The result with the contact as it is then; as it was where nothing was sent, or the service refused it.
    """
    try:
        stored = await set_company(send, result.contact, contact.company_name, scope)
    except APIError as error:
        if is_worth_repeating(error):
            raise
        return result
    return result if stored is None else msgspec.structs.replace(result, contact=stored)


async def set_company(send: SendRequest, stored: Contact, name: NullableText, scope: Scope) -> Contact | None:
    """Change the company of a contact, which no update takes, by an upsert that is known to meet it.

    Returns:
        The contact as stored; None where no upsert would meet it, so that nothing was sent.

    Raises:
        LeadConnectorError: A call did not succeed.
    """
    for field in KEYS:
        if key := getattr(stored, field):
            sought: dict[str, Any] = {field: key}
            met = await send(build_duplicate(sought.get("email"), sought.get("phone"), scope))
            if met is not None and met.id == stored.id:
                upsert = ContactUpsert(**sought, company_name=name, location_id=scope.location_id)
                result: UpsertResult = await send(build_upsert(upsert, scope.version))
                return result.contact if result.contact.id == stored.id else None
    return None


_is_same_company: Final = FIELD_OF["company_name"].comparer()


def _finish(result: UpsertResult, contact: ContactUpsert) -> UpsertResult:
    """Return the result of a single upsert, with what the service dropped."""
    missing = with_refused(find_dropped(contact, result.contact), result.not_applied)
    return msgspec.structs.replace(result, not_applied=missing) if missing else result


def is_found_by_nothing(contact: ContactUpsert) -> bool:
    """Whether a contact has no id, email or phone, so that each time it is sent it makes another one."""
    return contact.id is UNSET and not (contact.email or contact.phone)


def build_checked(contact: ContactUpsert, version: str, *, may_create: bool = False) -> Request[UpsertResult]:
    """Encode what `complete` returned, which is checked already.

    Args:
        contact: It.
        version: Of the API.
        may_create: Whether one without an id, an email and a phone is created.

    Raises:
        InvalidContactError: It has neither id, email nor phone, or a text cannot be written.
    """
    if contact.id is not UNSET:
        _check_id(contact)
    elif is_found_by_nothing(contact) and not may_create:
        raise InvalidContactError("the contact has neither email nor phone, and the service matches by these")
    return build_upsert(contact, version, is_checked=True)


def _check_id(contact: ContactUpsert) -> None:
    if not is_contact_id(contact.id):
        raise InvalidContactError(
            f"id: {str(contact.id)[:40]!r} is not the id of a contact, which has 20 letters and digits; leave it out "
            "to match by email and phone",
            field="id",
        )
    if contact.create_new_if_duplicate_allowed is True:
        raise InvalidContactError(
            "a contact with an id is never created; leave out id or create_new_if_duplicate_allowed", field="id"
        )


def without_permanent(
    contact: AnySendable, held: Mapping[str, Any], error: PermanentDndError, call: Call[Any]
) -> tuple[AnySendable, Mapping[str, Any]]:
    """Return what may be sent of a contact, and along with it, once the service refused to change a channel that is
    closed for good.

    A channel that only went along was closed by the contact itself since it was read: it is not sent again.

    Raises:
        PermanentDndError: Nothing may be sent, or the call is to be tried no more.
    """
    refused = {channel.lower() for channel in error.channels}
    kept = {channel: entry for channel, entry in held.items() if channel.lower() not in refused}
    is_only_held = len(kept) < len(held) and not refused & {channel.lower() for channel in _channels_of(contact)}
    allowed = contact if is_only_held else without_refused(contact, error.channels)
    if allowed is None or call.tries.is_halted:
        raise error
    call.tries.forgiven += 1  # it did not fail for a reason that passes with time
    return allowed, kept if is_only_held else held


def _channels_of(contact: AnySendable) -> Collection[str]:
    settings = contact.dnd_settings
    return () if isinstance(settings, UnsetType) else settings.by_channel()


def with_request(call: Call[T], request: Request[T]) -> Call[T]:
    """Return a call that goes on with another request; its tries stay."""
    return msgspec.structs.replace(call, request=request)


def _find_refused(sent: AnySendable, allowed: AnySendable, stored: Contact) -> tuple[NotApplied, ...]:
    """Return the channels that were not sent in the end as they were to be sent."""
    settings, in_the_end = sent.dnd_settings, allowed.dnd_settings
    if isinstance(settings, UnsetType) or settings is in_the_end:
        return ()
    kept = {} if isinstance(in_the_end, UnsetType) else in_the_end.by_channel()
    refused = [channel for channel, setting in settings.by_channel().items() if kept.get(channel) != setting]
    return (describe_refused(settings, stored, refused),)


class ContactOperations(OneContact, Finding):
    """All that can be done with contacts in one call, or in a few; `bulk` adds loads, and says what hangs on it."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller)
        self.campaigns = Campaigns(caller)
        self.followers = Followers(caller)
        self.notes = Notes(caller)
        self.tags = Tags(caller)
        self.tasks = Tasks(caller)
        self.workflows = Workflows(caller)

    async def add_tags(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Add tags to those the contact has, and return all it has then; the same as `tags.add`."""
        return await self.tags.add(contact_id, tags, location_id=location_id)

    async def remove_tags(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Remove tags from the contact, and return those it has left; the same as `tags.remove`."""
        return await self.tags.remove(contact_id, tags, location_id=location_id)

    async def set_business(
        self, contact_ids: Iterable[str], business_id: str | None, *, location_id: str | None = None
    ) -> list[str]:
        """Make contacts belong to a business: one call for each hundred of them, one call after the other.

        Args:
            contact_ids: Whom.
            business_id: To which; None takes them out of theirs.
            location_id: The location of them all; the client's by default.

        Returns:
            The ids that the service names as done, in its own order. Look for those that are missing.

        Raises:
            UsageError: There is no location, or a list is none; nothing was sent.
            CallError: A call did not succeed; the hundreds before it are done. The whole may be repeated.
        """
        scope = self._located(location_id)
        done: list[str] = []
        for ids in in_hundreds(contact_ids):
            done_now = await self._send(build_bulk_business(ids, business_id, scope))
            done += done_now
        return done
