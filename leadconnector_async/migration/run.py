"""One load of files: rows to the client, outcomes to the journal, and from there to the result files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError, JournalError, LoadStoppedError
from ..journal import Journal, Sitting
from ..models import ContactUpsert
from ..report import BatchReport, Outcome
from ..sources import SETTLED, Closing, Settled, Skipped
from .missing_tags import tell_of_missing
from .phone_book import PhoneBook
from .phones import Phones, tell_of_phones
from .results import Results, why_not_attempted
from .rows import FileRow, RowFile
from .selection import Chooser
from .sending import Sending, change_rest
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
        phones: Which rows share a phone with another person's, and go without it at first; None where none does. It is
            closed with the load.
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
        phones: PhoneBook | None = None,
        retry_failed: bool = False,
        chooser: Chooser | None = None,
    ) -> None:
        self._files = files
        self._journal = journal
        self._chooser = chooser
        self._adds_tags = adds_tags
        self._retry_failed = retry_failed
        self._phones = phones
        self._are_phones_set = self._is_tagged = False
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
            await client.contacts.bulk_upsert(
                self._rows(stop),
                journal=self._journal,
                on_outcome=on_outcome,
                report=self.report,
                stop=stop,
                wait_for_quota=wait_for_quota,
            )
            await self._set_phones(client, stop, on_phone, wait_for_quota=wait_for_quota)
            if self._adds_tags:
                await self._add_tags(client, stop, on_tagged, wait_for_quota=wait_for_quota)
        finally:
            if self.report.started_at is not None:
                await self._finish(client)
        return self.report

    async def _set_phones(
        self,
        client: LeadConnector,
        stop: asyncio.Event,
        on_phone: Callable[[int, int], None],
        *,
        wait_for_quota: bool,
    ) -> None:
        """Set the phones of rows that went without, where nothing ended the load before."""
        if self._phones is None or self.report.stopped is not None or stop.is_set():
            return
        done, total = 0, await asyncio.to_thread(self._phones.count_to_set)

        def count(settled: int) -> None:
            nonlocal done
            done += settled
            on_phone(done, total)

        phones = Phones(self._files, self._journal, self._phones, client, count, self._may_set_phone)
        with self._ending(client, phones, "the phones could not be set to the end"):
            await phones.run(stop, wait_for_quota=wait_for_quota)
        self._are_phones_set = phones.stopped is None

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
            self.report.finish(client.clock.monotonic())

    async def _add_tags(
        self, client: LeadConnector, stop: asyncio.Event, on_tagged: Callable[[int], None], *, wait_for_quota: bool
    ) -> None:
        """Add the tags of the rows that are written, where nothing ended the load before."""
        if self.report.stopped is not None or stop.is_set() or not has_tags(self._files):
            return
        tagging = self._open_tagging(client, on_tagged)
        with self._ending(client, tagging, "the tags could not be added to the end"):
            await tagging.run(stop, wait_for_quota=wait_for_quota)
        self._is_tagged = tagging.stopped is None

    def _open_tagging(self, client: LeadConnector, on_tagged: Callable[[int], None] = lambda _: None) -> Tagging:
        if self._book is None:  # not before the journal has taken the load for its own
            self._book = TagBook(self.results.folder / TAGS, retry_refused=self._retry_failed)
        return Tagging(self._files, self._journal, self._book, client, on_tagged)

    def _rows(self, stop: asyncio.Event) -> Iterator[ContactUpsert | InvalidContactError | Skipped | Closing | Settled]:
        index, sending = 0, Sending(self._phones, self._chooser)
        for file in self._files:
            for row in file.rows():
                if stop.is_set():
                    return
                is_finished = self._journal.is_finished(index)
                if is_finished and self._chooser is None:
                    yield SETTLED
                else:  # what is chosen for later rows depends on those before them, whenever they were sent
                    what = self._to_send(sending, index, row)
                    yield SETTLED if is_finished else what
                index += 1

    def _to_send(
        self, sending: Sending, number: int, row: FileRow
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
            for book in (self._book, self._phones):
                if book is not None:
                    book.close()

    def _look_up_phones(self, client: LeadConnector) -> None:
        """Note the rows whose phones were not set, and count the calls that setting took."""
        if self._phones is None:
            return
        if not self._are_phones_set:
            Phones(self._files, self._journal, self._phones, client, may_set=self._may_set_phone).note_left()
        self._add_spent(self._phones)

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

    def _recount(self, missing: dict[int, Tagged]) -> None:
        """Count anew what the journal holds, so that report and result files are of one truth."""
        told = BatchReport(keep_outcomes=False)
        if missing or self._phones is not None:
            for outcome in self._outcomes(missing):
                told.add(outcome)
        else:
            self._journal.fold_all_into(told)
        told.add_rest(self.total - told.total, why_not_attempted(self.report))
        self.report.take_over(told)
