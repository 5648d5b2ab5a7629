"""Tags that are added to those a contact has: after the upserts, in bulk calls for contacts that get the same tags.

An upsert replaces all tags of a contact, so those rows go without them. A hundred contacts a call and one more for each
set of tags: about one call in a hundred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..call import Call
from ..client import LeadConnector
from ..comparison import NotApplied
from ..contacts.tags import MAX_IDS
from ..errors import (
    APIError,
    AuthenticationError,
    DailyQuotaExceededError,
    LeadConnectorError,
    PermissionDeniedError,
    ServerError,
    StopRequestedError,
)
from ..journal import Journal, read_outcome
from ..models import ContactUpsert, TagsReport
from ..protocol import Scope
from ..protocol.tags import build_bulk_tags
from ..report import Outcome
from .rows import FileRow, RowFile
from .tag_book import ADDED, LEFT, REFUSED, TagBook, Tagged

_WORKERS: Final = 8
_ROWS_AT_ONCE: Final = 1000
_MOST_WAITING: Final = 20_000  # contacts in groups that are not full, so that memory has a bound
_KEPT_SHARE: Final = 0.9  # of those, where it is reached
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

    Attributes:
        stopped: What ended it early, or None.
    """

    def __init__(self, files: Sequence[RowFile], journal: Journal, book: TagBook, client: LeadConnector) -> None:
        self._files = files
        self._journal = journal
        self._book = book
        self._client = client
        self._closed: dict[str, LeadConnectorError] = {}  # locations that take no more calls, and why
        self._busy: dict[asyncio.Task[None], Call[TagsReport] | None] = {}
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
        while self.stopped is None:
            async with turn:
                batch = await asyncio.to_thread(next, batches, None)
            if batch is None or self.stopped is not None:
                return
            while batch.location_id not in self._closed and not await self._add(batch, waits=wait_for_quota):
                pass

    async def _add(self, batch: TagBatch, *, waits: bool) -> bool:
        """Send one call, and say whether that is all: else the next day has come."""
        scope = Scope(batch.location_id, self._client.api_version)
        call = Call(build_bulk_tags("add", list(batch.rows), list(batch.tags), scope))
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        self._busy[task] = call
        told: list[Tagged] = []
        try:
            told = _read_report(batch, await self._client.send(call))
        except DailyQuotaExceededError as error:
            if waits and not call.is_halted:
                self._busy[task] = None
                await self._client.clock.sleep(error.resets_in)
                return False
            self._closed[batch.location_id] = error
        except LeadConnectorError as error:
            if _is_for_later(error):
                self._closed[batch.location_id] = error
            else:
                told = [Tagged(row, REFUSED, batch.tags, str(error)) for rows in batch.rows.values() for row in rows]
        finally:
            del self._busy[task]
            self._book.note(told, attempts=call.attempts, rate_limited=call.rate_limited)
        return True

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
            if index in settled or outcome.contact_id is None or not _is_written(outcome):
                continue
            contact = rows[index - first].contact
            if isinstance(contact, ContactUpsert) and normal_tags(contact):
                yield index, contact, outcome.contact_id


def normal_tags(contact: ContactUpsert) -> tuple[str, ...]:
    """Return the tags of a contact as the service keeps them, so that equal sets are equal."""
    tags = contact.tags or ()
    return tuple(sorted({tag.strip().lower() for tag in tags} - {""}))


def tell_of_missing(outcomes: Iterator[Outcome], missing: dict[int, Tagged]) -> Iterator[Outcome]:
    """Have the outcomes say which tags were not added."""
    for outcome in outcomes:
        tagged = missing.get(outcome.index)
        if tagged is None or not _is_written(outcome):
            yield outcome
            continue
        lost = NotApplied("tags", list(tagged.tags), None)
        note = f"its tags were not added: {tagged.reason}"
        yield msgspec.structs.replace(
            outcome,
            not_applied=(*outcome.not_applied, lost),
            note=note if outcome.note is None else f"{outcome.note}; {note}",
        )


def _is_written(outcome: Outcome) -> bool:
    return outcome.status in ("created", "updated")


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


def _is_for_later(error: LeadConnectorError) -> bool:
    """Whether it says nothing of these contacts: the service is down, the day is spent, the token is refused or lacks a
    scope."""
    return not isinstance(error, APIError) or isinstance(
        error, AuthenticationError | PermissionDeniedError | ServerError
    )
