"""One load of files: rows to the client, outcomes to the result files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError, LoadStoppedError
from ..models import ContactUpsert
from ..report import BatchReport, Outcome
from .results import Results
from .rows import FileRow, RowFile


class _Remembering(BatchReport):
    """A report that remembers the outcomes which have not been written yet."""

    def __init__(self) -> None:
        super().__init__(keep_outcomes=False)
        self.last: dict[int, Outcome] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        super().add(outcome)
        self.last[outcome.index] = outcome


class FileLoad:
    """A load of files.

    Args:
        files: What to load, in this order.
        results: Where outcomes go.
        on_outcome: Called with each outcome after it was written.

    Attributes:
        report: The counts, also while it runs.
        is_whole: Whether every row is in the results; False until the end.
    """

    def __init__(self, files: Sequence[RowFile], results: Results, on_outcome: Callable[[Outcome], None]) -> None:
        self._files = files
        self._results = results
        self._on_outcome = on_outcome
        self._unsettled: dict[int, tuple[RowFile, FileRow]] = {}  # as many as the load has read ahead
        self._read = 0
        self.report = _Remembering()
        self.is_whole = False

    async def run(self, client: LeadConnector, stop: asyncio.Event) -> BatchReport:
        """Load all rows; rows that are not tried are written as such. The report is written whatever happens.

        Raises:
            LoadStoppedError: A file could not be read further, or results could not be written.
        """
        try:
            await client.contacts.bulk_upsert(self._rows(), on_outcome=self._settle, report=self.report, stop=stop)
        finally:
            self._finish()
        return self.report

    def _finish(self) -> None:
        try:
            try:
                if self._unsettled or self._read < sum(file.count for file in self._files):
                    self._write_the_rest()
            finally:
                self._results.finish(self.report)
        except (OSError, ConfigurationError) as error:  # of the results, or of a file that is read once more
            reason = error.strerror if isinstance(error, OSError) else str(error)
            sentence = f"the results in {self._results.folder} could not be written whole ({reason})"
            raise LoadStoppedError(sentence, report=self.report) from error
        self.is_whole = True

    def _write_the_rest(self) -> None:
        """Write the rows of a load that was cut off: those it had read, and those it never came to."""
        told = self.report.last
        for index, row in enumerate(self._all_rows()):
            if index in self._unsettled or index >= self._read:
                outcome = told.get(index)
                if outcome is None:
                    outcome = Outcome(index=index, status="not_attempted")
                    self.report.add(outcome)
                self._results.add(*row, outcome)

    def _all_rows(self) -> Iterator[tuple[RowFile, FileRow]]:
        for file in self._files:
            for row in file.rows():
                yield file, row

    def _rows(self) -> Iterator[ContactUpsert | InvalidContactError]:
        for index, (file, row) in enumerate(self._all_rows()):
            self._unsettled[index] = file, row
            self._read = index + 1
            yield row.row

    def _settle(self, outcome: Outcome) -> None:
        self._results.add(*self._unsettled[outcome.index], outcome)
        del self._unsettled[outcome.index], self.report.last[outcome.index]  # after it was written, not before
        self._on_outcome(outcome)
