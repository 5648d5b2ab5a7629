"""The contacts that a run changed are made again what they were before it, as far as a snapshot knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from msgspec import UNSET

from ..bulk.pool import Pool
from ..bulk.report import Outcome, has_closed
from ..bulk.threads import in_thread
from ..bulk.traces import Trace
from ..calls.call import Call
from ..calls.retry import is_worth_repeating
from ..client import LeadConnector
from ..contacts.contacts import set_company
from ..errors import (
    CallError,
    DuplicateContactError,
    InvalidContactError,
    LeadConnectorError,
    NotFoundError,
    StopRequestedError,
)
from ..models import Contact, ContactUpdate, ContactUpsert, read_mapping
from ..models.compare import find_not_applied, with_refused
from ..models.fields import CHANNEL_KINDS, FIELD_OF, KEYS, UPSERT_FIELDS
from ..protocol import Scope
from ..run.journal import Journal
from ..run.rows import RunFile
from .before import Snapshot, StoredContacts
from .mapping.custom_fields import FieldDefinitions
from .mapping.directories import fetch_fields
from .restoring import Left, Restoration, Sent, find_restoration
from .undone import Undone, UndoRecords, UndoStatus
from .verify import Loaded

_BY_CHANNEL: Final = [field.name for field in UPSERT_FIELDS if field.kind in CHANNEL_KINDS]
_TAKEN: Final = "another contact has it now"
_NOT_TAKEN: Final = "the service did not accept what it held before"
_UNSEEN: Final = "it was not found before the run, so what it held then is not known"


_Work: TypeAlias = Callable[[list[Loaded]], Awaitable[None]]


class _Each(Protocol):
    """Does something with each of some contacts; raises what ends that early."""

    async def __call__(self, some: Iterable[list[Loaded]], work: _Work, at_once: int = 1) -> None: ...


class Restore:
    """Makes contacts what they were.

    Args:
        client: Of the service that the run loaded into; it is open.
        records: Where to keep what is done.
        snapshot: What they were.
        journal: Of the run; it knows what the run left of each contact.
        pool: Makes the calls.
        adds_tags: Whether the run added tags; else it replaced them.
        is_forced: Whether fields that somebody changed since go back, too.
    """

    def __init__(
        self,
        client: LeadConnector,
        records: UndoRecords,
        snapshot: Snapshot,
        journal: Journal,
        pool: Pool,
        *,
        adds_tags: bool,
        is_forced: bool,
    ) -> None:
        self._client = client
        self._records = records
        self._snapshot = snapshot
        self._journal = journal
        self._pool = pool
        self._adds_tags = adds_tags
        self._is_forced = is_forced
        self._custom_fields: dict[str, asyncio.Future[FieldDefinitions | None]] = {}

    async def run(
        self,
        groups: Iterable[list[Loaded]],
        stop: asyncio.Event,
        *,
        concurrency: int = 64,
        on_undone: Callable[[Undone], None] = lambda _: None,
    ) -> LeadConnectorError | None:
        """Restore contacts; those that an earlier session restored are left out.

        Args:
            groups: The rows of each contact, as of `verify.group_by_contact`; contacts that the run created are left
                out.
            stop: Set it to end in order.
            concurrency: How many at a time.
            on_undone: Called with the result of each.

        Returns:
            What ended it early, or None.
        """
        waiting: list[list[Loaded]] = []

        def note(undone: Undone) -> None:
            self._records.write(undone)
            on_undone(undone)

        async def restore(rows: list[Loaded]) -> None:
            try:
                note(await self._restore(rows))
            except DuplicateContactError:  # of a contact, perhaps, that is itself to be restored
                waiting.append(rows)

        async def each(some: Iterable[list[Loaded]], work: _Work, at_once: int = 1) -> None:
            reason = await self._pool.run(
                some,
                work,
                location_of=self._location_of,
                concurrency=at_once,
                stop=stop,
                on_failed=lambda rows, error: note(_undone(rows, "failed", str(error))),
            )
            if reason is not None:
                raise reason
            if stop.is_set():
                raise StopRequestedError("the undo was asked to stop")

        watcher = asyncio.create_task(self._break_off_questions(stop))
        try:
            await each((rows for rows in groups if self._is_to_restore(rows)), restore, concurrency)
            await self._settle(waiting, each, note)
        except StopRequestedError:
            pass
        except LeadConnectorError as reason:
            return reason
        finally:
            watcher.cancel()
        return self._pool.reason

    async def _break_off_questions(self, stop: asyncio.Event) -> None:
        """Break off what locations are asked where `stop` is set: no worker makes that call, which would be halted."""
        await stop.wait()
        for asked in self._custom_fields.values():
            asked.cancel()

    def _is_to_restore(self, rows: Sequence[Loaded]) -> bool:
        contact_id, is_created = _id_of(rows), any(loaded.outcome.status == "created" for loaded in rows)
        is_there = not is_created or self._snapshot.was_there(self._location_of(rows), contact_id)
        return is_there and not self._records.is_done(contact_id)

    async def _settle(self, waiting: list[list[Loaded]], each: _Each, note: Callable[[Undone], None]) -> None:
        """Restore contacts whose email or phone another one has: once that one is restored, or has let go of it."""
        holders: dict[str, str] = {}
        is_released = False

        async def restore(rows: list[Loaded]) -> None:
            try:
                note(await self._restore(rows))
            except DuplicateContactError as error:
                holders[_id_of(rows)] = error.contact_id

        async def restore_but(rows: list[Loaded]) -> None:
            note(await self._restore_but(rows))

        while waiting:
            holders.clear()
            await each(waiting, restore)
            left = [rows for rows in waiting if _id_of(rows) in holders]
            await each([rows for rows in left if holders[_id_of(rows)] not in holders], restore_but)
            ring = [rows for rows in left if holders[_id_of(rows)] in holders]
            if len(ring) == len(waiting):  # they stand in each other's way: each lets go of what another one is to get
                await each(ring, restore_but if is_released else self._release)
                is_released = True
            waiting = [rows for rows in ring if not self._records.is_settled(_id_of(rows))]

    # ------------------------------------------------------------------------------------------ one contact

    async def _restore(self, rows: list[Loaded], *, but: Collection[str] = ()) -> Undone:
        """Restore a contact.

        Raises:
            DuplicateContactError: Another contact has its email or phone.
            CallError: A call did not succeed.
        """
        contact_id = _id_of(rows)
        try:
            found = await self._compare(rows)
            if found is None:
                return _undone(rows, "unseen", _UNSEEN)
            for name in but:
                if found.changes.pop(name, None) is not None:
                    found.left.append(Left(name, _TAKEN))
            await self._apply(contact_id, rows, found)
        except NotFoundError:
            return _undone(rows, "gone", "it no longer existed")
        except InvalidContactError as error:
            return _undone(rows, "failed", str(error))
        changes = tuple(left.field for left in found.left if left.is_changed)
        return _undone(rows, _status_of(found), "; ".join(map(str, found.left)), changes)

    async def _restore_but(self, rows: list[Loaded]) -> Undone:
        """Restore all of a contact but the email and phone that others have."""
        try:
            return await self._restore(rows, but=KEYS)
        except DuplicateContactError as error:
            return _undone(rows, "failed", str(error))

    async def _compare(self, rows: list[Loaded]) -> Restoration | None:
        """Return what it takes; None where nothing is known of what the contact was."""
        contact_id, location_id = _id_of(rows), self._location_of(rows)
        before = await in_thread(partial(self._snapshot.find, location_id, contact_id))
        if before is None:
            return None
        get = partial(self._client.contacts.get, contact_id, location_id=location_id or None)
        now = await self._pool.call(location_id, get)
        definitions = None
        if any(loaded.sent.custom_fields for loaded in rows):
            definitions = await self._find_custom_fields(location_id)
        sent = Sent(rows=[loaded.sent for loaded in rows], adds_tags=self._adds_tags, custom_fields=definitions)
        emptied = KEYS if self._records.is_waiting(contact_id) else ()
        trace = await in_thread(partial(self._trace_of, rows))
        return find_restoration(before, now, sent, trace=trace, emptied=emptied, is_forced=self._is_forced)

    def _trace_of(self, rows: Sequence[Loaded]) -> Trace | None:
        """Return what the run left of a contact; None where a row may have been applied that had no answer."""
        outcomes = [loaded.outcome for loaded in rows]
        if any(outcome.error is not None and not has_closed(outcome) for outcome in outcomes):
            return None
        return self._journal.trace(_id_of(rows))

    async def _apply(self, contact_id: str, rows: list[Loaded], found: Restoration) -> None:
        location_id = self._location_of(rows) or None
        if found.changes:
            update = partial(self._client.contacts.update, contact_id, found.changes, location_id=location_id)
            stored = await self._pool.call(location_id or "", update)
            found.left += _not_taken(found.changes, stored)
        if found.company_name is not UNSET and not await self._set_company(contact_id, location_id, found.company_name):
            reason = "only an upsert changes it, and no upsert would match this contact"
            found.left.append(Left("company_name", reason, is_lost=True))
            found.company_name = UNSET

    async def _set_company(self, contact_id: str, location_id: str | None, name: str) -> bool:
        """Change what no update takes, by an upsert that is known to meet this contact."""
        contact = await self._client.contacts.get(contact_id, location_id=location_id)
        scope = Scope(location_id or self._client.location_id or "", self._client.api_version)
        stored = await set_company(lambda request: self._client.send(Call(request)), contact, name, scope)
        return stored is not None and FIELD_OF["company_name"].comparer()(name, stored.company_name)

    async def _release(self, rows: list[Loaded]) -> None:
        """Empty the email and phone of a contact that are to go back, so that others can have them."""
        found = await self._compare(rows)
        if found is None:
            return
        emptied: dict[str, object] = {name: None for name in KEYS if name in found.changes}
        if emptied:
            self._records.write(_undone(rows, "waiting", "its email or phone was cleared, and is still to be restored"))
            # With all else that goes back: once this has moved `dateUpdated`, no channel is opened any more.
            changes = found.changes | emptied
            location_id = self._location_of(rows)
            update = partial(self._client.contacts.update, _id_of(rows), changes, location_id=location_id or None)
            await self._pool.call(location_id, update)

    def _location_of(self, rows: Sequence[Loaded]) -> str:
        return rows[-1].sent.location_id or self._client.location_id or ""

    async def _find_custom_fields(self, location_id: str) -> FieldDefinitions | None:
        """Ask a location once for its custom fields; once more where the service was down."""
        if location_id not in self._custom_fields:
            self._custom_fields[location_id] = asyncio.ensure_future(self._fetch_fields(location_id))
        asked = self._custom_fields[location_id]
        try:
            return await asyncio.shield(asked)
        except CallError:
            if self._custom_fields.get(location_id) is asked:
                del self._custom_fields[location_id]
            raise

    async def _fetch_fields(self, location_id: str) -> FieldDefinitions | None:
        try:
            return await fetch_fields(self._client, location_id or None)
        except CallError as error:
            if is_worth_repeating(error):
                raise
            return None


def assume_met(
    files: Sequence[RunFile], outcomes: Iterable[Outcome], stored: StoredContacts, location_id: str
) -> Iterator[Outcome]:
    """Have the outcomes of rows that may have been applied, although no answer said so, name whom they met.

    Args:
        files: What was loaded.
        outcomes: In the order of the rows.
        stored: What was there before.
        location_id: Of rows that name none.
    """
    rows = enumerate(row for file in files for row in file.rows())
    for outcome in outcomes:
        if outcome.status not in ("failed", "unknown") or not outcome.attempts or outcome.contact_id is not None:
            yield outcome
            continue
        contact = next(row for index, row in rows if index == outcome.index).contact
        found = None
        if isinstance(contact, ContactUpsert):
            where = contact.location_id or location_id
            found = stored.find_met(contact, where, stored.identify(contact, where))
        met = None if found is None else found.contact_id
        yield outcome if met is None else msgspec.structs.replace(outcome, status="updated", contact_id=met)


def _id_of(rows: Sequence[Loaded]) -> str:
    return str(rows[0].outcome.contact_id)


def _undone(rows: Sequence[Loaded], status: UndoStatus, detail: str, changes: tuple[str, ...] = ()) -> Undone:
    return Undone(rows[0].outcome.index, _id_of(rows), status, detail, changes)


def _status_of(found: Restoration) -> UndoStatus:
    if found.left:
        return "partly" if found.is_needed else "kept"
    return "restored" if found.is_needed else "same"


def _not_taken(changes: dict[str, Any], stored: Contact) -> list[Left]:
    """Return what the service says it stored in another way."""
    missing = find_not_applied(read_mapping(changes, ContactUpdate), stored, exactly=True)
    return [
        Left(name, _NOT_TAKEN, is_lost=True)
        for one in with_refused(missing, stored.not_applied)
        for name in ([f"{one.field}.{channel}" for channel in one.sent] if one.field in _BY_CHANNEL else [one.field])
    ]
