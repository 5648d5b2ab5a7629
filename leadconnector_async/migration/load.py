"""One load of files: rows to the client, outcomes to the journal, and from there to the result files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TypeAlias

import msgspec

from ..bulk.pool import Pool
from ..bulk.report import BatchReport, LoadStoppedError, Outcome, RowError
from ..bulk.source import FINISHED, Closing, Finished, Row, Skipped
from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError, JournalError, LeadConnectorError
from ..models import ContactUpsert
from ..run.database import Database
from ..run.journal import Journal, Session
from ..run.rows import RunFile, RunRow
from .books import PhoneBook, TagBook, Tagged
from .phones import Phones, SharedRows, tell_of_phones, what_to_send
from .report.charts import Throughput, measure_throughput
from .report.files import Results, why_not_attempted, why_row_not_attempted
from .select import Chooser
from .tagging import Tagging, has_tags, tell_of_missing, without_tags

# ---------------------------------------------------------------------------------------------- what is sent of a row

Read: TypeAlias = ContactUpsert | InvalidContactError


class Sending:
    """Says what is sent of rows. It is shown all of them once, in their order.

    Args:
        phones: Which rows share a phone; None where none does.
        chooser: Chooses which rows are sent, and what of them; None for all as they are.
        closed: Locations to which nothing is sent; their rows are not chosen among before it is known what is there.
        home: The location of rows that name none.
    """

    def __init__(
        self, phones: PhoneBook | None, chooser: Chooser | None, closed: Collection[str] = (), home: str = ""
    ) -> None:
        self._shared = SharedRows(phones)
        self._chooser = chooser
        self._closed = closed
        self._home = home

    def at_first(self, number: int, contact: Read) -> Read | Skipped | Closing:
        """Return what the upsert of a row holds, and what is closed before it."""
        shared = self._shared.find(number)
        what = contact if shared is None else what_to_send(contact, shared)
        if self._chooser is None or not isinstance(contact, ContactUpsert) or not isinstance(what, ContactUpsert):
            return what
        if (contact.location_id or self._home) in self._closed:
            return what
        return self._chooser.choose(what, whole=contact).what

    def in_the_end(self, number: int, contact: Read) -> Read | Skipped:
        """Return all that is sent of a row, in one: with what is closed before, and the phone that is set after the
        rows."""
        what = in_one(self.at_first(number, contact))
        shared = self._shared.find(number)
        if shared is None or not isinstance(contact, ContactUpsert) or not isinstance(what, ContactUpsert):
            return what
        return msgspec.structs.replace(what, phone=contact.phone)


def change_rest(
    what: Read | Skipped | Closing, change: Callable[[ContactUpsert], ContactUpsert]
) -> Read | Skipped | Closing:
    """Change what is upserted of a row, where something is."""
    if isinstance(what, Closing) and isinstance(what.rest, ContactUpsert):
        return msgspec.structs.replace(what, rest=change(what.rest))
    return change(what) if isinstance(what, ContactUpsert) else what


def in_one(what: Read | Skipped | Closing) -> Read | Skipped:
    """Return all that is sent of a row as one contact: what it closes, and the rest of it."""
    if not isinstance(what, Closing):
        return what
    if isinstance(what.rest, Skipped):
        return what.wanted
    return msgspec.structs.replace(what.rest, dnd=what.wanted.dnd, dnd_settings=what.wanted.dnd_settings)


class _Counted:
    """Rows of several locations, which are read to their end although those that came so far take no calls."""

    def __init__(self, rows: Iterator[Row], count: int) -> None:
        self._rows = rows
        self._count = count

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def __len__(self) -> int:
        return self._count


class FileLoad:
    """A load of files.

    Args:
        files: What to load, in this order.
        results: Where to write what became of them.
        file: The database of the run.
        journal: Of this load; not begun.
        adds_tags: Whether tags are added to those a contact has, after the upserts, rather than replace them.
        phones: Which rows share a phone with another person's, and go without it at first; None where none does.
        retry_failed: Whether tags that the service refused in an earlier sitting are tried once more.
        chooser: Chooses which rows are sent, and what of them; None for all as they are.
        closed: Locations that take no calls, and why; nothing is known of what they hold, and nothing is sent there.

    Attributes:
        results: Where to write what became of them.
        names: How messages call the files.
        total: How many rows there are.
        report: The counts, also while it runs.
        throughput: The load over time, once it has ended; None where that is not known.
        sessions: When it was worked on, once it has ended.
    """

    def __init__(
        self,
        files: Sequence[RunFile],
        results: Results,
        file: Database,
        journal: Journal,
        *,
        adds_tags: bool = False,
        phones: PhoneBook | None = None,
        retry_failed: bool = False,
        chooser: Chooser | None = None,
        closed: Mapping[str, LeadConnectorError] | None = None,
    ) -> None:
        self._files = files
        self._file = file
        self._journal = journal
        self._chooser = chooser
        self._adds_tags = adds_tags
        self._retry_failed = retry_failed
        self._phones = phones
        self._are_phones_set = self._is_tagged = False
        self._has_locations = any(file.has_locations for file in files)
        self._book: TagBook | None = None
        self._pool: Pool | None = None
        self.results = results
        self.names = [file.name for file in files]
        self.total = sum(file.count for file in files)
        self.report = BatchReport(keep_outcomes=False)
        self.report.closed_locations = dict(closed or {})
        self.throughput: Throughput | None = None
        self.sessions: list[Session] = []

    async def run(
        self,
        client: LeadConnector,
        stop: asyncio.Event,
        *,
        wait_for_quota: bool,
        on_outcome: Callable[[Outcome], None],
        on_phone: Callable[[int, int], None] = lambda done, total: None,
        on_tagged: Callable[[int], None] = lambda _: None,
    ) -> BatchReport:
        """Load all rows. The results are written whatever happens.

        Args:
            client: Where to send them.
            stop: Set it to end in order.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent.
            on_outcome: Called with each outcome after it was written to the journal.
            on_phone: Called while phones are set after the rows: with how many are, and how many are to be.
            on_tagged: Called with the number of rows that got their tags, after each call that adds some.

        Raises:
            LoadStoppedError: A file could not be read further, or results could not be written.
            ConfigurationError: The journal is of another load; nothing was sent.
            asyncio.CancelledError: Cancelled; the results are written all the same.
        """
        try:
            rows = self._rows(stop, client.location_id or "")
            await client.contacts.bulk_upsert(
                _Counted(rows, self.total) if self._has_locations else rows,
                journal=self._journal,
                on_outcome=on_outcome,
                report=self.report,
                stop=stop,
                wait_for_quota=wait_for_quota,
            )
            self._pool = Pool(client, self.report.closed_locations, waits_for_quota=wait_for_quota)
            await self._set_phones(client, stop, on_phone)
            if self._adds_tags:
                await self._add_tags(client, stop, on_tagged)
        finally:
            if self.report.started_at is not None:
                await self._finish(client)
        return self.report

    def _may_go_on(self, stop: asyncio.Event) -> bool:
        """Whether nothing ended the load before; locations that take no calls hold up no others."""
        reason = self.report.stopped
        is_of_location = self._has_locations and any(reason is closed for closed in self._closed().values())
        return (reason is None or is_of_location) and not stop.is_set()

    def _closed(self) -> dict[str, LeadConnectorError]:
        return {} if self._pool is None else self._pool.closed

    async def _set_phones(
        self, client: LeadConnector, stop: asyncio.Event, on_phone: Callable[[int, int], None]
    ) -> None:
        """Set the phones of rows that went without, where nothing ended the load before."""
        if self._phones is None or not self._may_go_on(stop):
            return
        done, total = 0, await asyncio.to_thread(self._phones.count_to_set)

        def count(settled: int) -> None:
            nonlocal done
            done += settled
            on_phone(done, total)

        phones = self._open_phones(client, self._phones, count)
        with self._ending(client, phones, "the phones could not be set to the end"):
            await phones.run(stop)
        self._are_phones_set = phones.stopped is None

    def _open_phones(
        self, client: LeadConnector, book: PhoneBook, on_set: Callable[[int], None] = lambda _: None
    ) -> Phones:
        pool = self._pool or Pool(client)
        return Phones(self._files, self._journal, book, client, pool, on_set, self._may_set_phone)

    def _may_set_phone(self, location_id: str, contact_id: str) -> bool:
        return self._chooser is None or self._chooser.may_set_phone(location_id, contact_id)

    @contextmanager
    def _ending(self, client: LeadConnector, work: Phones | Tagging, sentence: str) -> Iterator[None]:
        """Have the report tell what ends the calls after the rows."""
        try:
            yield
        except (JournalError, ConfigurationError) as error:
            self.report.stopped = error
            raise LoadStoppedError(f"{sentence} ({error})", report=self.report) from error
        finally:
            self.report.stopped = self.report.stopped or work.stopped
            self.report.closed_locations = dict(self._closed())
            self.report.finish(client.clock.monotonic())

    async def _add_tags(self, client: LeadConnector, stop: asyncio.Event, on_tagged: Callable[[int], None]) -> None:
        """Add the tags of the rows that are written, where nothing ended the load before."""
        if not (self._may_go_on(stop) and has_tags(self._files)):
            return
        tagging = self._open_tagging(client, on_tagged)
        with self._ending(client, tagging, "the tags could not be added to the end"):
            await tagging.run(stop)
        self._is_tagged = tagging.stopped is None

    def _open_tagging(self, client: LeadConnector, on_tagged: Callable[[int], None] = lambda _: None) -> Tagging:
        if self._book is None:  # not before the journal has taken the load for its own
            self._book = TagBook(self._file, retry_refused=self._retry_failed)
        return Tagging(self._files, self._journal, self._book, client, self._pool or Pool(client), on_tagged)

    def _rows(
        self, stop: asyncio.Event, home: str
    ) -> Iterator[ContactUpsert | InvalidContactError | Skipped | Closing | Finished]:
        closed = frozenset(self.report.closed_locations)
        index, sending = 0, Sending(self._phones, self._chooser, closed, home)
        for file in self._files:
            for row in file.rows():
                if stop.is_set():
                    return
                is_finished = self._journal.is_finished(index)
                if is_finished and self._chooser is None:
                    yield FINISHED
                else:  # what is chosen for later rows depends on those before them, whenever they were sent
                    what = self._to_send(sending, index, row)
                    yield FINISHED if is_finished else what
                index += 1

    def _to_send(
        self, sending: Sending, number: int, row: RunRow
    ) -> ContactUpsert | InvalidContactError | Skipped | Closing:
        what = sending.at_first(number, row.contact)
        return change_rest(what, without_tags) if self._adds_tags else what

    async def _finish(self, client: LeadConnector) -> None:
        """Write the results; a second wish to stop leaves that to the next run."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._write_results, client))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            self.results.give_up()
            await asyncio.wait([writing])
            raise

    def _write_results(self, client: LeadConnector) -> None:
        try:
            self._look_up_phones(client)
            missing = self._look_up_missing(client)
            explain = self._explain_not_attempted(client.location_id)
            self._recount(missing, explain)
            self.sessions = self._journal.sessions()
            begun = [session.began_at for session in self.sessions]
            self.throughput = measure_throughput(self._journal.timeline, begun)
            self.results.write(self._outcomes(missing), self._journal.collisions(), self.report, explain)
        except (OSError, ConfigurationError, JournalError) as error:  # of the results, of an input, of the journal
            reason = error.strerror if isinstance(error, OSError) else str(error)
            sentence = f"the results in {self.results.folder} could not be written whole ({reason})"
            raise LoadStoppedError(sentence, report=self.report) from error

    def _look_up_phones(self, client: LeadConnector) -> None:
        """Note the rows whose phones were not set, and count the calls that setting took."""
        if self._phones is None:
            return
        if not self._are_phones_set:
            self._open_phones(client, self._phones).note_left()
        self._add_spent(self._phones)

    def _explain_not_attempted(self, home: str | None) -> Callable[[RunRow], RowError]:
        """Return what says why a row was not sent."""
        if self._has_several_reasons:
            return partial(why_row_not_attempted, self.report, home=home)
        reason = why_not_attempted(self.report)
        return lambda _: reason

    @property
    def _has_several_reasons(self) -> bool:
        return self._has_locations and bool(self.report.closed_locations)

    def _add_spent(self, book: TagBook) -> None:
        spent = book.spent()
        self.report.add_calls(spent.calls, attempts=spent.attempts, rate_limited=spent.rate_limited)

    def _look_up_missing(self, client: LeadConnector) -> dict[int, Tagged]:
        """Return the rows whose tags were not added, and count the calls that adding took."""
        if not (self._adds_tags and has_tags(self._files)):
            return {}
        tagging = self._open_tagging(client)
        if not self._is_tagged:
            tagging.note_left()
        assert self._book is not None  # noqa: S101  (opened just now)
        self._add_spent(self._book)
        return self._book.missing()

    def _outcomes(self, missing: dict[int, Tagged]) -> Iterator[Outcome]:
        outcomes = self._journal.outcomes()
        if self._phones is not None:
            outcomes = tell_of_phones(outcomes, self._phones)
        return tell_of_missing(outcomes, missing) if missing else outcomes

    def _recount(self, missing: dict[int, Tagged], explain: Callable[[RunRow], RowError]) -> None:
        """Count anew what the journal holds, so that report and result files are of one truth."""
        told = BatchReport(keep_outcomes=False)
        if missing or self._phones is not None:
            for outcome in self._outcomes(missing):
                told.add(outcome)
        else:
            self._journal.fold_all_into(told)
        for error, count in self._count_rest(told, missing, explain).items():
            told.add_rest(count, error)
        self.report.take_over(told)

    def _count_rest(
        self, told: BatchReport, missing: dict[int, Tagged], explain: Callable[[RunRow], RowError]
    ) -> Mapping[RowError, int]:
        """Count the rows without an outcome, by why they have none."""
        if not self._has_several_reasons:
            return {why_not_attempted(self.report): self.total - told.total}
        rows = chain.from_iterable(file.rows() for file in self._files)
        outcomes = self._outcomes(missing)
        outcome = next(outcomes, None)
        counts = Counter[RowError]()
        for index, row in enumerate(rows):
            if outcome is None or outcome.index != index:
                counts[explain(row)] += 1
            else:
                outcome = next(outcomes, None)
        return counts
