"""One load of files: rows to the client, outcomes to the journal, and from there to the result files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError, JournalError, LoadStoppedError
from ..journal import Journal, Sitting
from ..models import ContactUpsert
from ..report import BatchReport, Outcome
from ..sources import SETTLED, Settled, Skipped
from .missing_tags import tell_of_missing
from .results import Results, why_not_attempted
from .rows import FileRow, RowFile
from .selection import Chooser
from .tag_book import TAGS, TagBook, Tagged
from .tagging import Tagging, has_tags, without_tags
from .throughput import Throughput, measure_throughput

_ROWS: Final = "rows"


def describe_files(files: Sequence[RowFile]) -> dict[str, str]:
    """Return what must be the same when a load of files goes on: their content, which column goes where, and what is
    taken for granted of cells."""
    contents = [file.table.describe() for file in files]
    return {
        "files": msgspec.json.encode(contents).decode(),
        "mapping": msgspec.json.encode([file.mapping for file in files]).decode(),
        "checks": msgspec.json.encode([file.meaning.checks for file in files]).decode(),
    }


def count_rows(files: Sequence[RowFile], journal: Journal, whole: Mapping[str, str]) -> None:
    """Count the rows of a load, but where an earlier sitting did.

    Raises:
        ConfigurationError: The rows of a file cannot be told apart; nothing was sent.
    """
    told = journal.told(_ROWS)
    if told is not None and journal.is_of(whole):
        for file, count in zip(files, msgspec.json.decode(told, type=list[int]), strict=True):
            file.count = count
    journal.tell(_ROWS, msgspec.json.encode([file.count for file in files]).decode())


class FileLoad:
    """A load of files.

    Args:
        files: What to load, in this order.
        results: Where to write what became of them.
        journal: Of this load; not begun.
        adds_tags: Whether tags are added to those a contact has, after the upserts, rather than replace them.
        retry_failed: Whether tags that the service refused in an earlier sitting are tried once more.
        chooser: Chooses which rows are sent, and what of them; None for all as they are.

    Attributes:
        results: Where to write what became of them.
        names: How messages call the files.
        total: How many rows there are.
        report: The counts, also while it runs.
        throughput: The load over time, once it has ended; None where that is not known.
        sittings: When it was worked on, once it has ended.
    """

    def __init__(
        self,
        files: Sequence[RowFile],
        results: Results,
        journal: Journal,
        *,
        adds_tags: bool = False,
        retry_failed: bool = False,
        chooser: Chooser | None = None,
    ) -> None:
        self._files = files
        self._journal = journal
        self._chooser = chooser
        self._adds_tags = adds_tags
        self._retry_failed = retry_failed
        self._is_tagged = False
        self._book: TagBook | None = None
        self.results = results
        self.names = [file.name for file in files]
        self.total = sum(file.count for file in files)
        self.report = BatchReport(keep_outcomes=False)
        self.throughput: Throughput | None = None
        self.sittings: list[Sitting] = []

    async def run(
        self,
        client: LeadConnector,
        stop: asyncio.Event,
        *,
        wait_for_quota: bool,
        on_outcome: Callable[[Outcome], None],
        on_tagged: Callable[[int], None] = lambda _: None,
    ) -> BatchReport:
        """Load all rows. The results are written whatever happens.

        Args:
            client: Where to send them.
            stop: Set it to end in order.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent.
            on_outcome: Called with each outcome after it was written to the journal.
            on_tagged: Called with the number of rows that got their tags, after each call that adds some.

        Raises:
            LoadStoppedError: A file could not be read further, or results could not be written.
            ConfigurationError: The journal is of another load; nothing was sent.
            asyncio.CancelledError: Cancelled; the results are written all the same.
        """
        try:
            await client.contacts.bulk_upsert(
                self._rows(stop),
                journal=self._journal,
                on_outcome=on_outcome,
                report=self.report,
                stop=stop,
                wait_for_quota=wait_for_quota,
            )
            if self._adds_tags:
                await self._add_tags(client, stop, on_tagged, wait_for_quota=wait_for_quota)
        finally:
            if self.report.started_at is not None:
                await self._finish(client)
        return self.report

    async def _add_tags(
        self, client: LeadConnector, stop: asyncio.Event, on_tagged: Callable[[int], None], *, wait_for_quota: bool
    ) -> None:
        """Add the tags of the rows that are written, where nothing ended the load before."""
        if self.report.stopped is not None or stop.is_set() or not has_tags(self._files):
            return
        tagging = self._open_tagging(client, on_tagged)
        try:
            await tagging.run(stop, wait_for_quota=wait_for_quota)
        except (JournalError, ConfigurationError) as error:
            self.report.stopped = error
            raise LoadStoppedError(f"the tags could not be added to the end ({error})", report=self.report) from error
        finally:
            self.report.stopped = self.report.stopped or tagging.stopped
            self.report.finish(client.clock.monotonic())
        self._is_tagged = tagging.stopped is None

    def _open_tagging(self, client: LeadConnector, on_tagged: Callable[[int], None] = lambda _: None) -> Tagging:
        if self._book is None:  # not before the journal has taken the load for its own
            self._book = TagBook(self.results.folder / TAGS, retry_refused=self._retry_failed)
        return Tagging(self._files, self._journal, self._book, client, on_tagged)

    def _rows(self, stop: asyncio.Event) -> Iterator[ContactUpsert | InvalidContactError | Skipped | Settled]:
        index = 0
        for file in self._files:
            for row in file.rows():
                if stop.is_set():
                    return
                is_finished = self._journal.is_finished(index)
                # What is chosen for later rows depends on those before them, whenever they were sent.
                yield SETTLED if is_finished and self._chooser is None else self._to_send(row, is_finished=is_finished)
                index += 1

    def _to_send(self, row: FileRow, *, is_finished: bool) -> ContactUpsert | InvalidContactError | Skipped | Settled:
        contact = row.contact if self._chooser is None else self._chooser.choose_sent(row.contact)
        if is_finished:
            return SETTLED
        return without_tags(contact) if self._adds_tags and isinstance(contact, ContactUpsert) else contact

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
            missing = self._look_up_missing(client)
            self._recount(missing)
            self.sittings = self._journal.sittings()
            begun = [sitting.began_at for sitting in self.sittings]
            self.throughput = measure_throughput(self._journal.timeline, begun)
            self.results.write(self._outcomes(missing), self._journal.collisions(), self.report)
        except (OSError, ConfigurationError, JournalError) as error:  # of the results, of an input, of the journal
            reason = error.strerror if isinstance(error, OSError) else str(error)
            sentence = f"the results in {self.results.folder} could not be written whole ({reason})"
            raise LoadStoppedError(sentence, report=self.report) from error

        finally:
            if self._book is not None:
                self._book.close()

    def _look_up_missing(self, client: LeadConnector) -> dict[int, Tagged]:
        """Return the rows whose tags were not added, and count the calls that adding took."""
        if not (self._adds_tags and has_tags(self._files)):
            return {}
        tagging = self._open_tagging(client)
        if not self._is_tagged:
            tagging.note_left()
        assert self._book is not None  # noqa: S101  (opened just now)
        spent = self._book.spent()
        self.report.add_calls(spent.calls, attempts=spent.attempts, rate_limited=spent.rate_limited)
        return self._book.missing()

    def _outcomes(self, missing: dict[int, Tagged]) -> Iterator[Outcome]:
        return tell_of_missing(self._journal.outcomes(), missing) if missing else self._journal.outcomes()

    def _recount(self, missing: dict[int, Tagged]) -> None:
        """Count anew what the journal holds, so that report and result files are of one truth."""
        told = BatchReport(keep_outcomes=False)
        if missing:
            for outcome in self._outcomes(missing):
                told.add(outcome)
        else:
            self._journal.fold_all_into(told)
        told.add_rest(self.total - told.total, why_not_attempted(self.report))
        self.report.take_over(told)
