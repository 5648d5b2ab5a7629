"""One load of files: rows to the client, outcomes to the journal, and from there to the result files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError, LoadStoppedError
from ..journal import Journal
from ..models import ContactUpsert
from ..report import BatchReport, Outcome
from ..sources import SETTLED, Settled
from .results import Results, why_not_attempted
from .rows import RowFile

_ROWS: Final = "rows"


def describe_files(files: Sequence[RowFile]) -> dict[str, str]:
    """Return what must be the same when a load of files goes on: their content, and which column goes where."""
    contents = [_describe(Path(file.name)) for file in files]
    return {
        "files": msgspec.json.encode(contents).decode(),
        "mapping": msgspec.json.encode([file.mapping for file in files]).decode(),
    }


def count_rows(files: Sequence[RowFile], journal: Journal) -> None:
    """Count the rows of a load, but where an earlier sitting did.

    Raises:
        ConfigurationError: The rows of a file cannot be told apart; nothing was sent.
    """
    told = journal.told(_ROWS)
    if told is not None and journal.is_of(describe_files(files)):
        for file, count in zip(files, msgspec.json.decode(told, type=list[int]), strict=True):
            file.count = count
    journal.tell(_ROWS, msgspec.json.encode([file.count for file in files]).decode())


def _describe(path: Path) -> list[int | str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return [file.tell(), digest.hexdigest()]


class FileLoad:
    """A load of files.

    Args:
        files: What to load, in this order.
        results: Where to write what became of them.
        journal: Of this load; not begun.
        on_outcome: Called with each outcome after it was written to the journal.

    Attributes:
        report: The counts, also while it runs.
        is_whole: Whether every row is in the results; False until the end.
    """

    def __init__(
        self, files: Sequence[RowFile], results: Results, journal: Journal, on_outcome: Callable[[Outcome], None]
    ) -> None:
        self._files = files
        self._results = results
        self._journal = journal
        self._on_outcome = on_outcome
        self.report = BatchReport(keep_outcomes=False)
        self.is_whole = False

    async def run(self, client: LeadConnector, stop: asyncio.Event, *, wait_for_quota: bool) -> BatchReport:
        """Load all rows. The results are written whatever happens.

        Raises:
            LoadStoppedError: A file could not be read further, or results could not be written.
            ConfigurationError: The journal is of another load; nothing was sent.
            asyncio.CancelledError: Cancelled; the results are written all the same.
        """
        try:
            await client.contacts.bulk_upsert(
                self._rows(stop),
                journal=self._journal,
                on_outcome=self._on_outcome,
                report=self.report,
                stop=stop,
                wait_for_quota=wait_for_quota,
            )
        finally:
            if self.report.started_at is not None:
                self._finish()
        return self.report

    def _rows(self, stop: asyncio.Event) -> Iterator[ContactUpsert | InvalidContactError | Settled]:
        index = 0
        for file in self._files:
            for row in file.rows():
                if stop.is_set():
                    return
                yield SETTLED if self._journal.is_finished(index) else row.contact
                index += 1

    def _finish(self) -> None:
        self._count_the_rest()
        try:
            self._results.write(self._journal.outcomes(), self._journal.collisions(), self.report)
        except (OSError, ConfigurationError) as error:  # of the results, or of a file that is read once more
            reason = error.strerror if isinstance(error, OSError) else str(error)
            sentence = f"the results in {self._results.folder} could not be written whole ({reason})"
            raise LoadStoppedError(sentence, report=self.report) from error
        self.is_whole = True

    def _count_the_rest(self) -> None:
        """Count the rows that the load never came to."""
        reason = why_not_attempted(self.report)
        for index in range(self.report.total, sum(file.count for file in self._files)):
            self.report.add(Outcome(index=index, status="not_attempted", error=reason))
