"""Tags that are added to those a contact has: after the upserts, in bulk calls for contacts that get the same tags.

An upsert replaces all tags of a contact, so those rows go without them. A hundred contacts a call and one more for each
set of tags: about one call in a hundred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..breaker import Breaker
from ..call import Call
from ..client import LeadConnector
from ..contacts.tags import MAX_IDS
from ..errors import (
    AuthenticationError,
    CallError,
    DailyQuotaExceededError,
    LeadConnectorError,
    OutageError,
    PermissionDeniedError,
    StopRequestedError,
)
from ..journal import Journal, read_outcome
from ..models import ContactUpsert, TagsReport
from ..protocol import Scope
from ..protocol.tags import build_bulk_tags
from ..retry import is_worth_repeating
from ..timeline import TagCall, pace_of
from .missing_tags import is_written
from .rows import FileRow, RowFile
from .tag_book import ADDED, LEFT, REFUSED, TagBook, Tagged

_WORKERS: Final = 8
_ROWS_AT_ONCE: Final = 1000
_MOST_WAITING: Final = 20_000  # contacts in groups that are not full, so that memory has a bound
_KEPT_SHARE: Final = 0.9  # of those, where it is reached
_MOST_FAILURES: Final = 3  # of one call while others succeed: it may be this one that the service cannot cope with
_WRITE_SECONDS: Final = 1.0
_LEFT_REASON: Final = "the load ended before its tags were added"
_Group: TypeAlias = dict[str, list[int]]  # the rows by contact


class TagBatch(Struct, frozen=True):
    """One call: contacts of one location that get the same tags.

    Attributes:
        location_id: The location.
        tags: What to add, in lower case and sorted.
        rows: The rows of each contact.
    """

    location_id: str
    tags: tuple[str, ...]
    rows: _Group


class TagGroups:
    """Contacts that wait for others that get the same tags, so that one call does for all; in memory with a bound."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, tuple[str, ...]], _Group] = {}
        self._waiting = 0

    def add(self, location_id: str, tags: tuple[str, ...], contact_id: str, row: int) -> list[TagBatch]:
        """Add a row, and return the calls that are to be made now."""
        key = location_id, tags
        group = self._groups.setdefault(key, {})
        self._waiting += contact_id not in group
        group.setdefault(contact_id, []).append(row)
        if len(group) >= MAX_IDS:
            return [self._take(key)]
        return self._take_largest() if self._waiting >= _MOST_WAITING else []

    def _take(self, key: tuple[str, tuple[str, ...]]) -> TagBatch:
        self._waiting -= len(self._groups[key])
        return TagBatch(*key, self._groups.pop(key))

    def _take_largest(self) -> list[TagBatch]:
        """Make room for many rows at once: looking for the largest at each row takes long where there are many sets."""
        largest = iter(sorted(self._groups, key=lambda key: -len(self._groups[key])))
        taken = []
        while self._waiting > _MOST_WAITING * _KEPT_SHARE:
            taken.append(self._take(next(largest)))
        return taken

    def rest(self) -> Iterator[TagBatch]:
        """Yield the calls for all that wait."""
        for key, group in self._groups.items():
            yield TagBatch(*key, group)


def without_tags(contact: ContactUpsert) -> ContactUpsert:
    """Return a contact as it is to be upserted where its tags are added later."""
    return contact if contact.tags is UNSET else msgspec.structs.replace(contact, tags=UNSET)


def has_tags(files: Sequence[RowFile]) -> bool:
    """Whether rows of some file may have tags."""
    return any(file.map is None or "tags" in file.map.fields for file in files)


class Tagging:
    """Adding the tags of a load's rows. Done rows are skipped, so it may be begun anew at any time.

    Args:
        files: The rows.
        journal: With what became of them.
        book: Which of them have their tags.
        client: Where to send.
        on_added: Called with the number of rows that have their tags by each call.

    Attributes:
        stopped: What ended it early, or None.
    """

    def __init__(
        self,
        files: Sequence[RowFile],
        journal: Journal,
        book: TagBook,
        client: LeadConnector,
        on_added: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._files = files
        self._journal = journal
        self._book = book
        self._client = client
        self._closed: dict[str, LeadConnectorError] = {}  # locations that take no more calls, and why
        self._busy: dict[asyncio.Task[None], Call[TagsReport] | None] = {}
        self._on_added = on_added
        self._breaker = Breaker(client.clock)
        self._calls: list[TagCall] = []  # that the journal does not know of yet
        self._written_at = client.clock.monotonic()
        self.stopped: LeadConnectorError | None = None

    async def run(self, stop: asyncio.Event, *, wait_for_quota: bool) -> None:
        """Add all tags that are to be added still.

        Args:
            stop: Set it to end in order: calls in flight finish.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent.

        Raises:
            JournalError: What was done cannot be written; it is safe to do it again.
            ConfigurationError: A file can be read no more.
        """
        batches, turn = self._batches(), asyncio.Lock()
        watcher = asyncio.create_task(self._stop_on(stop))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_WORKERS):
                    group.create_task(self._work(batches, turn, wait_for_quota=wait_for_quota))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            watcher.cancel()
            self._write_calls()
        self.stopped = self.stopped or next(iter(self._closed.values()), None)

    async def _stop_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stopped = StopRequestedError("the load was asked to stop")
        for task, call in self._busy.items():
            if call is not None:
                call.is_halted = True
            if call is None or not call.in_flight:
                task.cancel()

    async def _work(self, batches: Iterator[TagBatch], turn: asyncio.Lock, *, wait_for_quota: bool) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        while self.stopped is None:
            async with turn:
                batch = await asyncio.to_thread(next, batches, None)
            if batch is None or self.stopped is not None:
                return
            self._busy[task] = None
            try:
                await self._add(batch, waits=wait_for_quota)
            finally:
                del self._busy[task]

    async def _add(self, batch: TagBatch, *, waits: bool) -> None:
        """Send one call; again when the next day has come, or while the service is down."""
        failures = 0
        while self.stopped is None and batch.location_id not in self._closed:
            was_open = self._breaker.is_open
            is_probe = was_open and await self._breaker.wait()
            try:
                await self._send(batch)
                self._breaker.succeed()
                return
            except CallError as error:
                failures += not was_open
                if self._is_settled(batch, error, is_probe=is_probe, is_last=failures >= _MOST_FAILURES):
                    return
            except LeadConnectorError as error:
                self._breaker.succeed()
                if not (waits and isinstance(error, DailyQuotaExceededError)):
                    self._closed[batch.location_id] = error
                    return
                await self._client.clock.sleep(error.resets_in)
            finally:
                if is_probe:
                    self._breaker.end_probe()

    async def _send(self, batch: TagBatch) -> None:
        scope = Scope(batch.location_id, self._client.api_version)
        call = Call(build_bulk_tags("add", list(batch.rows), list(batch.tags), scope))
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        self._busy[task] = call
        told: list[Tagged] = []
        try:
            told = _read_report(batch, await self._client.send(call))
        finally:
            self._busy[task] = None
            self._book.note(told, attempts=call.attempts, rate_limited=call.rate_limited)
            self._note_call(batch.location_id, call)
        self._on_added(sum(row.state == ADDED for row in told))

    def _is_settled(self, batch: TagBatch, error: CallError, *, is_probe: bool, is_last: bool) -> bool:
        """Note what an error says, and whether the call is not to be sent again."""
        if is_worth_repeating(error):
            self._breaker.fail(is_probe=is_probe, rows=len(batch.rows))
            longest = self._client.retry.max_outage
            if self._breaker.open_for > longest:
                self.stopped = OutageError(f"the service has answered no call for {longest:.0f} s ({error})")
                self._breaker.close()
            if not is_last:
                return False
        else:
            self._breaker.succeed()
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            self._closed[batch.location_id] = error
        elif self.stopped is None:
            rows = (row for found in batch.rows.values() for row in found)
            self._book.note(Tagged(row, REFUSED, batch.tags, str(error)) for row in rows)
        return True

    def _note_call(self, location_id: str, call: Call[TagsReport]) -> None:
        """Have the journal count a call, for the load over time; once a second, as writing takes its time."""
        clock = self._client.clock
        if tries := call.attempts + call.rate_limited:
            self._calls.append(TagCall(clock.time(), tries, pace_of([self._client.window(location_id)])))
        if clock.monotonic() - self._written_at >= _WRITE_SECONDS:
            self._write_calls()

    def _write_calls(self) -> None:
        calls, self._calls = self._calls, []
        self._written_at = self._client.clock.monotonic()
        if calls:
            self._journal.write_tag_calls(calls)

    # ------------------------------------------------------------------------------------------ what is to be done

    def note_left(self) -> None:
        """Note the rows that have not got their tags, where it ended early."""
        left = (Tagged(index, LEFT, normal_tags(contact), _LEFT_REASON) for index, contact, _ in self._pending())
        while some := list(islice(left, _ROWS_AT_ONCE)):
            self._book.note(some)

    def _batches(self) -> Iterator[TagBatch]:
        """Yield the calls: groups as they are full, and the rest in the end."""
        groups = TagGroups()
        for index, contact, contact_id in self._pending():
            location_id = contact.location_id or self._client.location_id or ""
            yield from groups.add(location_id, normal_tags(contact), contact_id, index)
        yield from groups.rest()

    def _pending(self) -> Iterator[tuple[int, ContactUpsert, str]]:
        """Yield the rows whose tags are to be added: position, contact, and the id it got."""
        rows = (row for file in self._files for row in file.rows())
        first = 0
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            yield from self._pending_of(first, some)
            first += len(some)

    def _pending_of(self, first: int, rows: Sequence[FileRow]) -> Iterator[tuple[int, ContactUpsert, str]]:
        settled = self._book.settled(first, len(rows))
        for index, (_, encoded) in self._journal.hashes(first, len(rows)).items():
            outcome = read_outcome(encoded)
            if index in settled or outcome.contact_id is None or not is_written(outcome):
                continue
            contact = rows[index - first].contact
            if isinstance(contact, ContactUpsert) and normal_tags(contact):
                yield index, contact, outcome.contact_id


def normal_tags(contact: ContactUpsert) -> tuple[str, ...]:
    """Return the tags of a contact as the service keeps them, so that equal sets are equal."""
    tags = contact.tags or ()
    return tuple(sorted({tag.strip().lower() for tag in tags} - {""}))


def _read_report(batch: TagBatch, report: TagsReport) -> list[Tagged]:
    """Say of each row what the answer says of its contact."""
    told = {result.contact_id: result for result in report.results}
    found = []
    for contact_id, rows in batch.rows.items():
        result = told.get(contact_id)
        if result is not None and result.is_done:
            found += [Tagged(row, ADDED) for row in rows]
        else:
            reason = "the service said nothing of this contact" if result is None else result.message or "refused"
            found += [Tagged(row, REFUSED, batch.tags, reason) for row in rows]
    return found
