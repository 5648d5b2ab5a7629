"""The load of one location on a worker: from its pieces to its results, with its journal in the store."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..client import LeadConnector
from ..errors import AuthenticationError, InvalidContactError, JournalError, PermissionDeniedError, StopRequestedError
from ..models import ContactUpsert
from ..report import BatchReport, Outcome, RowError, Tally, row_error
from ..sources import SETTLED, Settled
from .lease import Lease
from .messages import Assignment, Ending, Plan
from .pieces import PieceRow, read_piece, write_results
from .shared_journal import Log, SharedJournal
from .splitting import piece_name
from .store import Store, name_of

_USUAL_WINDOW: Final = 10.0
_MARGIN: Final = 1.01


def count_earlier(store: Store, split_id: str, location_id: str) -> Tally | None:
    """Count what became of the rows of a location that nobody is loading now; None where it was never begun.

    Raises:
        JournalError: Its journal cannot be read.
    """
    folder = f"journal/{name_of(location_id)}"
    if not store.names(folder):
        return None
    log = Log(store, folder, sys.maxsize, Lease(0.0))
    with (
        tempfile.TemporaryDirectory(prefix="leadconnector-") as scratch,
        SharedJournal(log, Path(scratch) / "journal.sqlite3", whole={"files": split_id}) as journal,
    ):
        counts = BatchReport(keep_outcomes=False)
        journal.fold_all_into(counts)
        return counts.tally()


class LocationLoad:
    """One location, from its rows in the store to its results there.

    Args:
        plan: What the load is.
        assignment: Which location.
        client: Where its rows go; other locations share it.
        store: The folder of the run.
        lease: Without it nothing is sent or written.

    Attributes:
        report: The counts, also while it runs.
    """

    def __init__(self, plan: Plan, assignment: Assignment, client: LeadConnector, store: Store, lease: Lease) -> None:
        self._plan = plan
        self._assignment = assignment
        self._client = client
        self._store = store
        self._lease = lease
        self._name = name_of(assignment.location_id)
        self._scratch = Path()
        self.report = BatchReport(keep_outcomes=False)

    async def run(self, stop: asyncio.Event) -> Ending:
        """Load it, and return when its results are in the store.

        Args:
            stop: Set to end in order.

        Raises:
            LeadConnectorError: The store cannot be read or written, or the lease has ended.
        """
        with tempfile.TemporaryDirectory(prefix="leadconnector-") as folder:
            self._scratch = Path(folder)
            journal = await asyncio.to_thread(self._open_journal)
            try:
                return await self._load(journal, stop)
            finally:
                await asyncio.to_thread(journal.close)

    def _open_journal(self) -> SharedJournal:
        assignment = self._assignment
        log = Log(self._store, f"journal/{self._name}", assignment.epoch, self._lease)
        # Its pieces never change, so that a row is known by its place in them.
        return SharedJournal(log, self._scratch / "journal.sqlite3", whole={"files": self._plan.split_id})

    async def _load(self, journal: SharedJournal, stop: asyncio.Event) -> Ending:
        if self._assignment.is_again or journal.is_begun:
            self._wait_out_a_window()  # what was sent from elsewhere of late is not known here
        await self._client.contacts.bulk_upsert(
            self._rows(journal),
            concurrency=self._plan.options.concurrency,
            compare=self._plan.compare,
            report=self.report,
            stop=stop,
            journal=journal,
            wait_for_quota=self._plan.wait_for_quota,
        )
        self._lease.check()  # else another worker tells what became of its rows
        if isinstance(self.report.stopped, JournalError):
            raise self.report.stopped
        return await asyncio.to_thread(self._conclude, journal)

    def _wait_out_a_window(self) -> None:
        limit = self._plan.options.rate_limit
        seconds = _USUAL_WINDOW if limit is None else limit.per_seconds
        self._client.window(self._assignment.location_id).pause(seconds * _MARGIN)

    def _pieces(self) -> Iterator[PieceRow]:
        path = self._scratch / "piece.parquet"
        for number in self._assignment.parts:
            self._store.fetch(piece_name(number, self._assignment.location_id), path)
            yield from read_piece(path)

    def _rows(self, journal: SharedJournal) -> Iterator[ContactUpsert | InvalidContactError | Settled]:
        for index, row in enumerate(self._pieces()):
            yield SETTLED if journal.is_finished(index) else row.contact

    def _conclude(self, journal: SharedJournal) -> Ending:
        """Write the results, and what they add up to, which says that the location is done."""
        reason = row_error(self.report.stopped or StopRequestedError("the load was cut off"))
        told = BatchReport(keep_outcomes=False)
        journal.fold_all_into(told)
        told.add_rest(self._assignment.rows - told.total, reason)
        self.report.take_over(told)
        self._write_results(journal, reason)
        stopped = self.report.stopped
        ending = Ending(
            location_id=self._assignment.location_id,
            epoch=self._assignment.epoch,
            tally=self.report.tally(),
            sittings=self.report.sittings,
            stopped=None if stopped is None else str(stopped),
            stops_all=isinstance(stopped, AuthenticationError | PermissionDeniedError) and self._client.has_one_token,
        )
        if stopped is None:
            self._lease.check()
            self._store.write(f"done/{self._name}.{ending.epoch:012}.json", msgspec.json.encode(ending))
        return ending

    def _write_results(self, journal: SharedJournal, reason: RowError) -> None:
        path = self._scratch / "results.parquet"
        write_results(path, self._assignment.location_id, self._results(journal, reason))
        self._lease.check()
        self._store.put(path, f"results/{self._name}.{self._assignment.epoch:012}.parquet")

    def _results(self, journal: SharedJournal, reason: RowError) -> Iterator[tuple[PieceRow, Outcome]]:
        told = journal.outcomes()
        outcome = next(told, None)
        for index, row in enumerate(self._pieces()):
            if outcome is None or outcome.index != index:
                yield row, Outcome(index=index, status="not_attempted", error=reason)
                continue
            yield row, outcome
            outcome = next(told, None)
