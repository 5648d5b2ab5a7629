"""One load of files: rows to the client, outcomes to the journal, and from there to the result files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

import msgspec

from ..bulk.brake import MaxFailures
from ..bulk.pool import Pool
from ..bulk.report import BatchReport, LoadStoppedError, Outcome, RowError
from ..bulk.source import FINISHED, Closing, Creation, Finished, Given, Skipped
from ..bulk.threads import in_thread
from ..calls.call import CallCounter
from ..client import LeadConnector
from ..contacts.contacts import is_found_by_nothing
from ..errors import ConfigurationError, InvalidContactError, JournalError, LeadConnectorError
from ..models import ContactUpsert
from ..protocol.answers import clean_text
from ..run.database import Database
from ..run.journal import Journal, Session
from ..run.rows import RunFile, RunRow
from .options import MigrationOptions
from .phones import PhoneStep
from .report.charts import Throughput, measure_throughput
from .report.files import Results, why_not_attempted, why_row_not_attempted
from .select import Chooser
from .steps import Step, StepProgress, StepRun
from .tagging import TagStep

STEPS: Final[tuple[type[Step], ...]] = (PhoneStep, TagStep)
"""All steps, in the order in which they run."""


def open_steps(database: Database, options: MigrationOptions, *, retry_refused: bool = False) -> list[Step]:
    """Return the steps of a run, in order.

    Args:
        database: Of the run.
        options: Of the run.
        retry_refused: Whether to try once more what the service refused.
    """
    opened = (step.open(database, options, retry_refused=retry_refused) for step in STEPS)
    return [step for step in opened if step is not None]


# ---------------------------------------------------------------------------------------------- what is sent of a row

Read: TypeAlias = ContactUpsert | InvalidContactError


class Sending:
    """Says what is sent of rows. Show it all of them once, in their order.

    Args:
        steps: What follows the upserts.
        chooser: Chooses which rows are sent, and what of them; None for all as they are.
        closed: Locations to which nothing is sent; their rows are not chosen among before it is known what is there.
        home: The location of rows without one of their own.
    """

    def __init__(
        self, steps: Sequence[Step], chooser: Chooser | None, closed: Collection[str] = (), home: str = ""
    ) -> None:
        self._steps = steps
        self._chooser = chooser
        self._closed = closed
        self._home = home

    def at_first(self, number: int, contact: Read) -> Read | Skipped | Closing | Creation:
        """Return what is upserted of a row, and what is closed before it."""
        what = change_rest(self._choose(number, contact), self._strip)
        return Creation(what) if isinstance(what, ContactUpsert) and is_found_by_nothing(what) else what

    def _choose(self, number: int, contact: Read) -> Read | Skipped | Closing:
        what: Read | Skipped | Closing = contact
        for step in self._steps:
            if isinstance(what, ContactUpsert):
                what = step.hold_back(number, what)
        if self._chooser is None or not isinstance(contact, ContactUpsert) or not isinstance(what, ContactUpsert):
            return what
        if (contact.location_id or self._home) in self._closed:
            return what
        return self._chooser.choose(what, whole=contact).what

    def _strip(self, contact: ContactUpsert) -> ContactUpsert:
        for step in self._steps:
            contact = step.strip(contact)
        return contact

    def in_the_end(self, number: int, contact: Read) -> Read | Skipped:
        """Return all that is sent of a row, in one: with what is closed before, and what the steps write."""
        what = in_one(self._choose(number, contact))
        for step in self._steps:
            if isinstance(contact, ContactUpsert) and isinstance(what, ContactUpsert):
                what = step.complete(number, contact, what)
        return what


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
    if not isinstance(what.rest, ContactUpsert):
        return what.wanted
    return msgspec.structs.replace(what.rest, dnd=what.wanted.dnd, dnd_settings=what.wanted.dnd_settings)


class _Counted:
    """Rows of several locations, which are read to their end although those that came so far take no calls."""

    def __init__(self, rows: Iterator[Given], count: int) -> None:
        self._rows = rows
        self._count = count

    def __iter__(self) -> Iterator[Given]:
        return self._rows

    def __len__(self) -> int:
        return self._count


class FileLoad:
    """A load of files.

    Args:
        files: What to load, in this order.
        results: Where to write what became of them.
        journal: Of this load; not begun.
        steps: What follows the upserts, in order.
        chooser: Chooses which rows are sent, and what of them; None for all as they are.
        closed: Locations that take no calls, and why; nothing is known of what they hold, and nothing is sent there.
        calls: Counts the calls of the session that neither outcomes nor steps show; None where nobody does.

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
        journal: Journal,
        *,
        steps: Sequence[Step] = (),
        chooser: Chooser | None = None,
        closed: Mapping[str, LeadConnectorError] | None = None,
        calls: CallCounter | None = None,
    ) -> None:
        self._calls = calls or CallCounter()
        self._files = files
        self._journal = journal
        self._chooser = chooser
        self._steps = [step for step in steps if step.concerns(files)]
        self._has_locations = any(file.has_locations for file in files)
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
        on_step: Callable[[StepProgress], None] = lambda _: None,
        max_failures: MaxFailures | None = None,
    ) -> BatchReport:
        """Load all rows. The results are written whatever happens.

        Args:
            client: Where to send them.
            stop: Set it to end in order.
            wait_for_quota: Whether to wait for the next day when the day's calls are spent.
            on_outcome: Called with each outcome after it was written to the journal.
            on_step: Called after each call that follows the upserts.
            max_failures: After how many failures of this session it stops, or None.

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
                max_failures=max_failures,
            )
            self._pool = Pool(client, self.report.closed_locations, waits_for_quota=wait_for_quota)
            for step in self._steps:
                await self._run_step(step, client, stop, on_step)
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

    async def _run_step(
        self, step: Step, client: LeadConnector, stop: asyncio.Event, on_step: Callable[[StepProgress], None]
    ) -> None:
        """Run a step, unless something ended the load before."""
        if not self._may_go_on(stop):
            return
        done, total = 0, await in_thread(step.count)

        def count(settled: int) -> None:
            nonlocal done
            done += settled
            on_step(StepProgress(step.work, done, total))

        reason: LeadConnectorError | None = None
        try:
            reason = await step.run(self._run_of(client), stop, count)
        except (JournalError, ConfigurationError) as error:
            self.report.stopped = error
            raise LoadStoppedError(f"{step.work} could not go on ({error})", report=self.report) from error
        finally:
            self.report.stopped = self.report.stopped or reason
            self.report.closed_locations = dict(self._closed())
            self.report.finish(client.clock.monotonic())

    def _run_of(self, client: LeadConnector) -> StepRun:
        may_write = self._chooser.may_write if self._chooser is not None else lambda *_: True
        return StepRun(self._files, self._journal, client, self._pool or Pool(client), may_write)

    def _rows(
        self, stop: asyncio.Event, home: str
    ) -> Iterator[ContactUpsert | InvalidContactError | Skipped | Closing | Creation | Finished]:
        closed = frozenset(self.report.closed_locations)
        index, sending = 0, Sending(self._steps, self._chooser, closed, home)
        for file in self._files:
            for row in file.rows():
                if stop.is_set():
                    return
                is_finished = self._journal.is_finished(index)
                if is_finished and self._chooser is None:
                    yield FINISHED
                else:  # what is chosen for later rows depends on those before them, whenever they were sent
                    what = sending.at_first(index, row.contact)
                    if isinstance(what, InvalidContactError) and row.closing is not None:
                        what = Closing(None, row.closing, what)
                    yield FINISHED if is_finished else what
                index += 1

    async def _finish(self, client: LeadConnector) -> None:
        """Write the results; a second wish to stop leaves that to the next run."""
        await in_thread(partial(self._write_results, client), on_cancelled=self.results.give_up)

    def _write_results(self, client: LeadConnector) -> None:
        self.report.location_id, self.report.host = client.location_id, client.host
        self.report.sources = [clean_text(file.name) for file in self._files]
        try:
            for step in self._steps:
                step.note_left(self._run_of(client))
                self.report.add_count(step.records.spent())
            calls = self._calls.take()
            self.report.add_count(calls)
            self._journal.count_calls(calls)
            explain = self._explain_not_attempted(client.location_id)
            self._recount(explain)
            self.sessions = self._journal.sessions()
            begun = [session.began_at for session in self.sessions]
            self.throughput = measure_throughput(self._journal.timeline, begun)
            self.results.write(self._outcomes(), self._journal.collisions(), self.report, explain)
        except (OSError, ConfigurationError, JournalError) as error:  # of the results, of an input, of the journal
            reason = error.strerror if isinstance(error, OSError) else str(error)
            sentence = f"the results in {self.results.folder} could not be written completely ({reason})"
            raise LoadStoppedError(sentence, report=self.report) from error

    def _explain_not_attempted(self, home: str | None) -> Callable[[RunRow], RowError]:
        """Return what says why a row was not sent."""
        if self._has_several_reasons:
            return partial(why_row_not_attempted, self.report, home=home)
        reason = why_not_attempted(self.report)
        return lambda _: reason

    @property
    def _has_several_reasons(self) -> bool:
        return self._has_locations and bool(self.report.closed_locations)

    def _outcomes(self) -> Iterator[Outcome]:
        outcomes = self._journal.outcomes()
        for step in self._steps:
            outcomes = step.conclude(outcomes)
        return outcomes

    def _recount(self, explain: Callable[[RunRow], RowError]) -> None:
        """Count anew what the journal holds, so that report and result files are of one truth."""
        told = BatchReport(keep_outcomes=False)
        if any(step.marks_any for step in self._steps):
            for outcome in self._outcomes():
                told.add(outcome)
        else:
            self._journal.fold_all_into(told)
        for error, count in self._count_rest(told, explain).items():
            told.add_rest(count, error)
        self.report.take_over(told)

    def _count_rest(self, told: BatchReport, explain: Callable[[RunRow], RowError]) -> Mapping[RowError, int]:
        """Count the rows without an outcome, by why they have none."""
        if not self._has_several_reasons:
            return {why_not_attempted(self.report): self.total - told.total}
        rows = chain.from_iterable(file.rows() for file in self._files)
        outcomes = self._outcomes()
        outcome = next(outcomes, None)
        counts = Counter[RowError]()
        for index, row in enumerate(rows):
            if outcome is None or outcome.index != index:
                counts[explain(row)] += 1
            else:
                outcome = next(outcomes, None)
        return counts
