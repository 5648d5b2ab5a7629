"""One load of files: rows to the client, outcomes to the result files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from ..client import LeadConnector
from ..errors import InvalidContactError
from ..models import ContactUpsert
from ..report import BatchReport, Outcome
from .results import Results
from .rows import FileRow, RowFile


class FileLoad:
    """A load of files.

    Args:
        files: What to load, in this order.
        results: Where outcomes go.
        on_outcome: Called with each outcome after it was written.
    """

    def __init__(self, files: Sequence[RowFile], results: Results, on_outcome: Callable[[Outcome], None]) -> None:
        self._files = files
        self._results = results
        self._on_outcome = on_outcome
        self._unsettled: dict[int, tuple[RowFile, FileRow]] = {}  # as many as the load has read ahead
        self.report = BatchReport(keep_outcomes=False)

    async def run(self, client: LeadConnector, stop: asyncio.Event) -> BatchReport:
        """Load all rows; rows that are not tried are written as such. The report is written whatever happens.

        Raises:
            LoadStoppedError: A file could not be read further, or results could not be written.
        """
        try:
            await client.contacts.bulk_upsert(self._rows(), on_outcome=self._settle, report=self.report, stop=stop)
        finally:
            self._results.finish(self.report)
        return self.report

    def _rows(self) -> Iterator[ContactUpsert | InvalidContactError]:
        index = 0
        for file in self._files:
            for row in file.rows():
                self._unsettled[index] = file, row
                index += 1
                yield row.row

    def _settle(self, outcome: Outcome) -> None:
        file, row = self._unsettled.pop(outcome.index)
        self._results.add(file, row, outcome)
        self._on_outcome(outcome)
