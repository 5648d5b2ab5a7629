"""What runs on a worker: many locations at once in one event loop, as the lead assigns them.

The loop is that of one long Dask task, so that the cluster sees the worker at work. The lead talks to it through
`hear`, in another thread, some times a second.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from ..bulk.report import BatchReport, Outcome, RowError, Tally, row_error
from ..bulk.source import FINISHED, Finished
from ..bulk.threads import in_thread, open_in_thread
from ..client import LeadConnector
from ..errors import (
    AuthenticationError,
    InvalidContactError,
    JournalError,
    LeadConnectorError,
    PermissionDeniedError,
    StopRequestedError,
)
from ..models import ContactUpsert
from .dispatch import Assignment, Ending, LoadSetup, Orders, WorkerReport
from .journal import Records, StoreLog
from .lease import Lease, LeasedLimits
from .splitting import PieceRow, piece_name, read_piece, write_results
from .store import Store, name_of

# ---------------------------------------------------------------------------------------------- one location

_USUAL_WINDOW: Final = 10.0
_MARGIN: Final = 1.01


def count_earlier(store: Store, split_id: str, location_id: str) -> Tally | None:
    """Count what became of the rows of a location that nobody is loading now; None where it was never begun.

    Raises:
        JournalError: Its log cannot be read.
    """
    folder = f"journal/{name_of(location_id)}"
    if not store.names(folder):
        return None
    with StoreLog(Records(store, folder, sys.maxsize, Lease(0.0)), whole={"files": split_id}) as log:
        counts = BatchReport(keep_outcomes=False)
        log.fold_all_into(counts)
        return counts.tally()


class LocationLoad:
    """One location, from its rows in the store to its results there.

    Args:
        setup: What the load is.
        assignment: Which location.
        client: Where its rows go; other locations share it.
        store: The folder of the run.
        lease: Without it nothing is sent or written.

    Attributes:
        report: The counts, also while it runs.
    """

    def __init__(
        self, setup: LoadSetup, assignment: Assignment, client: LeadConnector, store: Store, lease: Lease
    ) -> None:
        self._setup = setup
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
            log = await open_in_thread(self._open_log)
            try:
                return await self._load(log, stop)
            finally:
                await in_thread(log.close)

    def _open_log(self) -> StoreLog:
        records = Records(self._store, f"journal/{self._name}", self._assignment.epoch, self._lease)
        # Its pieces never change, so that a row is known by its place in them.
        return StoreLog(records, whole={"files": self._setup.split_id}, location_id=self._assignment.location_id)

    async def _load(self, log: StoreLog, stop: asyncio.Event) -> Ending:
        if self._assignment.is_again or log.is_begun:
            # Whoever sent the last calls may have died before it wrote of them, or have another clock.
            self._wait_out_a_window()
        await self._client.contacts.bulk_upsert(
            self._rows(log),
            concurrency=self._setup.options.concurrency,
            compare=self._setup.compare,
            report=self.report,
            stop=stop,
            journal=log,
            wait_for_quota=self._setup.wait_for_quota,
        )
        self._lease.check()  # else another worker reports on its rows
        if isinstance(self.report.stopped, JournalError):
            raise self.report.stopped
        return await asyncio.to_thread(self._conclude, log)

    def _wait_out_a_window(self) -> None:
        limit = self._setup.options.rate_limit
        seconds = _USUAL_WINDOW if limit is None else limit.per_seconds
        self._client.window(self._assignment.location_id).pause(seconds * _MARGIN)

    def _pieces(self) -> Iterator[PieceRow]:
        path = self._scratch / "piece.parquet"
        for number in self._assignment.parts:
            self._store.fetch(piece_name(number, self._assignment.location_id), path)
            yield from read_piece(path)

    def _rows(self, log: StoreLog) -> Iterator[ContactUpsert | InvalidContactError | Finished]:
        for index, row in enumerate(self._pieces()):
            yield FINISHED if log.is_finished(index) else row.contact

    def _conclude(self, log: StoreLog) -> Ending:
        """Write the results, and what they add up to, which says that the location is done."""
        reason = row_error(self.report.stopped or StopRequestedError("the load was interrupted"))
        counts = BatchReport(keep_outcomes=False)
        log.fold_all_into(counts)
        counts.add_rest(self._assignment.rows - counts.total, reason)
        self.report.take_over(counts)
        self._write_results(log, reason)
        stopped = self.report.stopped
        ending = Ending(
            location_id=self._assignment.location_id,
            epoch=self._assignment.epoch,
            tally=self.report.tally(),
            sessions=self.report.sessions,
            stopped=None if stopped is None else str(stopped),
            stops_all=isinstance(stopped, AuthenticationError | PermissionDeniedError) and self._client.has_one_token,
        )
        if stopped is None:
            self._lease.check()
            self._store.write(f"done/{self._name}.{ending.epoch:012}.json", msgspec.json.encode(ending))
        return ending

    def _write_results(self, log: StoreLog, reason: RowError) -> None:
        path = self._scratch / "results.parquet"
        write_results(path, self._assignment.location_id, self._results(log, reason))
        self._lease.check()
        self._store.put(path, f"results/{self._name}.{self._assignment.epoch:012}.parquet")

    def _results(self, log: StoreLog, reason: RowError) -> Iterator[tuple[PieceRow, Outcome]]:
        outcomes = log.outcomes()
        outcome = next(outcomes, None)
        for index, row in enumerate(self._pieces()):
            if outcome is None or outcome.index != index:
                yield row, Outcome(index=index, status="not_attempted", error=reason)
                continue
            yield row, outcome
            outcome = next(outcomes, None)


_log = logging.getLogger(__name__)

_CALLS_OF_A_LOCATION: Final = 3  # in flight, as a location has about ten calls a second
_NOT_BEGUN: Final = BatchReport(keep_outcomes=False).tally()
_Key: TypeAlias = tuple[str, int]  # a location and an epoch
_loaders: Final[dict[str, Loader]] = {}  # of this process, by the name of their task


class Loader:
    """Loads locations until the lead has no more of them, or is not heard any more.

    Args:
        setup: What the load is.
        lease: How long it goes on unheard; nothing is sent before the lead was heard.
    """

    def __init__(self, setup: LoadSetup, lease: Lease) -> None:
        self._setup = setup
        self._lease = lease
        self._lock = threading.Lock()  # of what both threads touch
        self._news: list[Orders] = []
        self._endings: dict[int, Ending] = {}  # by epoch, until the lead has noted them
        self._under_way: dict[_Key, BatchReport] = {}
        self._has_ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_heard = asyncio.Event()
        # In the loop alone:
        self._known: set[_Key] = set()
        self._waiting: list[Assignment] = []
        self._tasks: dict[asyncio.Task[Ending], Assignment] = {}
        self._stop = asyncio.Event()
        self._is_over = False

    # ------------------------------------------------------------------------------------------ in the lead's thread

    def hear(self, orders: Orders) -> WorkerReport:
        """Take orders, and report progress."""
        with self._lock:
            for epoch in orders.noted:
                self._endings.pop(epoch, None)
            if orders.heard is not None:
                self._lease.renew(orders.heard)
            self._news.append(orders)
            report = WorkerReport(
                stamp=self._lease.stamp(),
                endings=list(self._endings.values()),
                under_way=self._count(),
                has_ended=self._has_ended,
            )
        if self._loop is not None and not self._has_ended:
            self._loop.call_soon_threadsafe(self._is_heard.set)
        return report

    def _count(self) -> Any:
        counts = BatchReport(keep_outcomes=False)
        for report in self._under_way.values():
            counts.add_tally(report.tally())
        return counts.tally()

    # ------------------------------------------------------------------------------------------ in its own loop

    async def run(self) -> None:
        """Load what the lead assigns, until it says that this was all, or the lease ends.

        Raises:
            ConfigurationError: There is no token, or the store cannot be used.
        """
        self._loop = asyncio.get_running_loop()
        store = await asyncio.to_thread(Store, self._setup.store_url)
        concurrency = max(self._setup.options.concurrency, _CALLS_OF_A_LOCATION * self._setup.locations_at_once)
        limits = LeasedLimits(self._lease)
        client = await asyncio.to_thread(self._setup.options.open_client, limits=limits, concurrency=concurrency)
        async with client:
            try:
                await self._serve(client, store)
            finally:
                await self._let_go()
                with self._lock:
                    self._has_ended = True

    async def _serve(self, client: LeadConnector, store: Store) -> None:
        has_lease = False
        began = time.monotonic()
        while True:
            self._take_news()
            if self._is_over and not self._tasks:
                return
            # A lead that is gone before it was heard once must not keep this worker from the next load for ever.
            is_awaited = not has_lease and time.monotonic() - began < self._lease.seconds
            if self._lease.left <= 0 and not is_awaited:
                _log.warning("%s: its loads end here", self._lease.why_lost())
                return
            has_lease = has_lease or self._lease.left > 0
            self._start_more(client, store, has_lease=has_lease)
            self._is_heard.clear()
            await self._wait()

    async def _wait(self) -> None:
        """Wait until a location is done, the lead is heard, or the lease ends."""
        heard = asyncio.ensure_future(self._is_heard.wait())
        timeout = self._lease.left if self._lease.left > 0 else self._lease.seconds
        await asyncio.wait([heard, *self._tasks], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()
        for task in [task for task in self._tasks if task.done()]:
            self._note_end(task)

    def _take_news(self) -> None:
        with self._lock:
            news, self._news = self._news, []
        for orders in news:
            for assignment in orders.assigned:
                key = assignment.location_id, assignment.epoch
                if key not in self._known:
                    self._known.add(key)
                    self._waiting.append(assignment)
            if orders.is_stopping:
                self._stop.set()
            self._is_over = self._is_over or orders.is_over

    def _start_more(self, client: LeadConnector, store: Store, *, has_lease: bool) -> None:
        if self._stop.is_set():
            self._give_back()
        while has_lease and self._waiting and len(self._tasks) < self._setup.locations_at_once:
            assignment = self._waiting.pop(0)
            load = LocationLoad(self._setup, assignment, client, store, self._lease)
            with self._lock:
                self._under_way[assignment.location_id, assignment.epoch] = load.report
            self._tasks[self._begin(load.run(self._stop))] = assignment

    def _begin(self, work: Coroutine[Any, Any, Ending]) -> asyncio.Task[Ending]:
        return asyncio.get_running_loop().create_task(work)

    def _give_back(self) -> None:
        """End locations that were not begun."""
        for assignment in self._waiting:
            self._report_end(
                Ending(
                    location_id=assignment.location_id,
                    epoch=assignment.epoch,
                    tally=_NOT_BEGUN,
                    stopped="the load was asked to stop",
                )
            )
        self._waiting.clear()

    def _note_end(self, task: asyncio.Task[Ending]) -> None:
        assignment = self._tasks.pop(task)
        try:
            ending = task.result()
        except LeadConnectorError as error:  # of the store, or the lease has ended
            _log.warning("location %s: %s", assignment.location_id, error)
            report = self._under_way[assignment.location_id, assignment.epoch]
            ending = Ending(
                location_id=assignment.location_id,
                epoch=assignment.epoch,
                tally=report.tally(),
                stopped=str(error),
                is_given_up=True,
            )
        self._report_end(ending)

    def _report_end(self, ending: Ending) -> None:
        with self._lock:
            self._endings[ending.epoch] = ending
            self._under_way.pop((ending.location_id, ending.epoch), None)

    async def _let_go(self) -> None:
        """Break off what is under way; the journals hold what became of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def serve(name: str, setup: bytes) -> None:
    """Run a loader to its end, as the task of a worker.

    Args:
        name: What the lead calls it.
        setup: What to load, encoded.
    """
    decoded = msgspec.msgpack.decode(setup, type=LoadSetup)
    loader = Loader(decoded, Lease(decoded.lease_seconds))
    _loaders[name] = loader
    logger = logging.getLogger("distributed.worker")
    logger.addFilter(_is_news)
    try:
        asyncio.run(loader.run())
    finally:
        logger.removeFilter(_is_news)
        del _loaders[name]


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out what Dask would log of each `hear`, twice a second."""
    return not (isinstance(record.msg, str) and record.msg.startswith("Run out-of-band"))


def hear(name: str, orders: bytes) -> bytes | None:
    """Hand orders to the loader of this process and return its report; None where it has not begun, or has ended."""
    loader = _loaders.get(name)
    if loader is None:
        return None
    return msgspec.msgpack.encode(loader.hear(msgspec.msgpack.decode(orders, type=Orders)))
