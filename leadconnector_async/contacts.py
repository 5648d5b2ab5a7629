"""client.contacts: one short method an operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from . import protocol
from .call import Call
from .client import LeadConnector
from .errors import InvalidContactError, NotFoundError
from .journal import Journal
from .models import Contact, ContactUpdate, ContactUpsert, UpsertResult, read_mapping
from .report import BatchReport, OnOutcome, Outcome
from .sources import Source

T = TypeVar("T")

ContactLike: TypeAlias = ContactUpsert | Mapping[str, Any]
"""A contact, or a dict with its fields in snake_case or camelCase."""

# The clock that sets `dateAdded` need not be quite the one that sets the `Date` header.
_CLOCK_TOLERANCE = 2.0


class Contacts:
    """The contacts of the client's locations. Reached as `client.contacts`."""

    def __init__(self, client: LeadConnector) -> None:
        self.client = client

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

    async def get(self, contact_id: str) -> Contact:
        """Return a contact by its id; what was just written is seen at once.

        Raises:
            NotFoundError: There is none, or it was deleted.
            CallError: It did not succeed.
        """
        return await self._send(protocol.build_get(contact_id, *self._where))

    async def update(self, contact_id: str, changes: ContactUpdate | Mapping[str, Any]) -> Contact:
        """Change a contact and return it as stored. Fields that are not named stay; `tags` replaces all tags.

        Raises:
            NotFoundError: There is no such contact.
            DuplicateContactError: Another contact has the new email or phone.
            InvalidContactError: `changes` has an unknown field or a value of the wrong type; not sent.
            CallError: It did not succeed.
        """
        if not isinstance(changes, ContactUpdate):
            if not isinstance(changes, Mapping):
                raise InvalidContactError(f"changes are a ContactUpdate or a dict, not {type(changes).__name__}")
            changes = read_mapping(changes, ContactUpdate)
        return await self._send(protocol.build_update(contact_id, changes, *self._where))

    async def delete(self, contact_id: str) -> None:
        """Delete a contact, with all that belongs to it.

        Raises:
            NotFoundError: There is none.
            CallError: It did not succeed.
        """
        try:
            await self._send(protocol.build_delete(contact_id, *self._where))
        except NotFoundError as error:
            if not error.may_be_applied:  # else an earlier try of this call deleted it, and the answer was lost
                raise

    async def add_tags(self, contact_id: str, tags: Iterable[str]) -> list[str]:
        """Add tags to those the contact has, and return all it has then (the service keeps them in lower case)."""
        return await self._send(protocol.build_tags("POST", contact_id, _tag_list(tags), *self._where))

    async def remove_tags(self, contact_id: str, tags: Iterable[str]) -> list[str]:
        """Remove tags from the contact, and return those it has left."""
        return await self._send(protocol.build_tags("DELETE", contact_id, _tag_list(tags), *self._where))

    async def bulk_upsert(
        self,
        contacts: Source,
        *,
        concurrency: int | None = None,
        compare: bool = True,
        on_outcome: OnOutcome | None = None,
        keep_outcomes: bool = True,
        report: BatchReport | None = None,
        stop: asyncio.Event | None = None,
        journal: Journal | str | Path | None = None,
        retry_failed: bool = False,
        wait_for_quota: bool = False,
    ) -> BatchReport:
        """Upsert many contacts at once, under the rate limit.

        Rows that share an email or phone are applied in their order, all others as they come. A row that cannot be sent
        or is refused is an outcome `failed`; the load goes on. It stops only for a refused token, a spent day, a
        service that answers nothing but 429, or `stop`; `report.stopped` then says why, and rows not tried are
        `not_attempted` (a sync source is read on for that, for ten seconds at most; an async one is not).

        Args:
            contacts: Iterable or async iterable of contacts or dicts. A sync one (other than a list) is pulled in a
                thread of its own, in small batches; a SQLite connection must allow that (`check_same_thread=False`).
            concurrency: Rows in flight at most; the client's by default.
            compare: Whether to compare what was sent with what the service says it stored (`outcome.not_applied`).
            on_outcome: Called with each outcome as it comes; what it returns is awaited.
            keep_outcomes: Whether `report.outcomes` holds one entry a row.
            report: Where to count, to have it at hand when this call is cancelled; a new one by default.
            stop: Set it to end the load in order: calls in flight finish, no further one begins.
            journal: A file that keeps what became of each row, or a `Journal`. Run the same load with the same file
                again, after whatever ended it, and it goes on: rows that are done are not sent again, the report covers
                all runs. Rows are known by position and content: a row that is another one now is sent. Each outcome is
                on disk before it is counted or handed to `on_outcome`; the last ones may be handed over twice.
            retry_failed: Whether to send rows once more that failed in an earlier run with this journal. They are then
                applied after rows of the same person that came later; `outcome.note` says so.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent, in place of stopping.

        Returns:
            The report; its outcomes are in the order of the rows.

        Raises:
            LoadStoppedError: The source or `on_outcome` raised; carries the report, and the reason as `__cause__`.
            asyncio.CancelledError: Cancelled; `report`, where given, says what became of each row that was read.
        """
        from .bulk import bulk_upsert
        from .load import Options

        if report is None:
            report = BatchReport(keep_outcomes=keep_outcomes)
        options = Options(
            concurrency=concurrency or self.client.concurrency,
            compare=compare,
            journal=journal,
            retry_failed=retry_failed,
            wait_for_quota=wait_for_quota,
        )
        return await bulk_upsert(self, contacts, options, report=report, on_outcome=on_outcome, stop=stop)

    def stream_upserts(
        self,
        contacts: Source,
        *,
        concurrency: int | None = None,
        compare: bool = True,
        journal: Journal | str | Path | None = None,
        retry_failed: bool = False,
        wait_for_quota: bool = False,
    ) -> AsyncGenerator[Outcome, None]:
        """Upsert contacts from a source without end, yielding outcomes as they come, in constant memory.

        A consumer that is slower than the service slows the load. Leaving the loop early cancels the calls in flight:
        close the generator (`contextlib.aclosing`) to have that happen at once.

        Args:
            contacts: As in `bulk_upsert`.
            concurrency: Rows in flight at most; the client's by default.
            compare: As in `bulk_upsert`.
            journal, retry_failed, wait_for_quota: As in `bulk_upsert`. Outcomes that an earlier run yielded are not
                yielded again, but for the last ones where it was cut off.

        Yields:
            One outcome for each row that was read, in the order in which they finish.

        Raises:
            LeadConnectorError: What stopped the load (a refused token, a spent day), after the last outcome.
            Exception: What the source raised, after the outcomes of the rows read by then.
        """
        from .bulk import stream_upserts
        from .load import Options

        options = Options(
            concurrency=concurrency or self.client.concurrency,
            compare=compare,
            journal=journal,
            retry_failed=retry_failed,
            wait_for_quota=wait_for_quota,
        )
        return stream_upserts(self, contacts, options)

    @property
    def _where(self) -> tuple[str, str]:
        return self.client.location_id or "", self.client.api_version

    async def _send(self, request: protocol.Request[T]) -> T:
        return await self.client.send(Call(request))

    def complete(self, contact: ContactLike) -> ContactUpsert:
        """Make a Struct of a dict, and fill in the client's location where the contact names none.

        Raises:
            InvalidContactError: It is neither, has an unknown field or a wrong type, or there is no location.
        """
        if not isinstance(contact, ContactUpsert):
            if not isinstance(contact, Mapping):
                raise InvalidContactError(f"a contact is a ContactUpsert or a dict, not {type(contact).__name__}")
            contact = read_mapping(contact, ContactUpsert)
        if contact.location_id:
            return contact
        if not self.client.location_id:
            raise InvalidContactError(
                "no location: pass location_id to the client or set it on the contact", field="location_id"
            )
        return msgspec.structs.replace(contact, location_id=self.client.location_id)


def _tag_list(tags: Iterable[str]) -> list[str]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidContactError(f"tags is a list of texts, not {type(tags).__name__}", field="tags")
    return list(tags)


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
