"""One report of many locations: what is done, what is under way, and what nobody came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec
from msgspec import Struct

from ..errors import JournalError, StopRequestedError
from ..report import BatchReport, Tally, row_error
from .dispatch import Share
from .messages import Ending
from .store import Store


class Progress(Struct, frozen=True, kw_only=True):
    """How far a load is, over all workers.

    Attributes:
        rows: Rows that have an outcome.
        total_rows: All rows.
        locations: Locations that are done.
        total_locations: All locations.
        workers: Workers that take part.
        tally: The counts so far.
        seconds: Since this run of the load began.
    """

    rows: int
    total_rows: int
    locations: int
    total_locations: int
    workers: int
    tally: Tally
    seconds: float


OnProgress: TypeAlias = Callable[[Progress], None]


class Merge:
    """The counts of all locations, each once.

    Args:
        shares: All locations.
        began_at: When the load began, in seconds since 1970.

    Attributes:
        report: What is done, and at the end the rest.
        done: The epoch of each location that is done or stopped.
    """

    def __init__(self, shares: Iterable[Share], *, sitting: int, began_at: float) -> None:
        self._shares = {share.location_id: share for share in shares}
        self._began = time.monotonic()
        self._total_rows = sum(share.rows for share in self._shares.values())
        self.done: dict[str, int] = {}
        self.report = BatchReport(keep_outcomes=False)
        self.report.sittings = sitting
        self.report.start(began_at, now=time.time(), monotonic=self._began)
        self._stopped: str | None = None

    def add(self, ending: Ending) -> None:
        """Count a location that is done or stopped."""
        self.done[ending.location_id] = ending.epoch
        rest = self._shares[ending.location_id].rows - sum(ending.tally.counts.values())
        self.report.add_tally(ending.tally)
        self.report.add_rest(rest, row_error(StopRequestedError(ending.stopped or "the load was cut off")))
        if ending.stopped is not None and self._stopped is None:
            self._stopped = ending.stopped

    def progress(self, under_way: Iterable[Tally], *, workers: int) -> Progress:
        """Return how far the load is."""
        counts = BatchReport(keep_outcomes=False)
        for tally in (self.report.tally(), *under_way):
            counts.add_tally(tally)
        return Progress(
            rows=counts.total,
            total_rows=self._total_rows,
            locations=sum(map(bool, self.done)),  # "" stands for rows that can be sent nowhere
            total_locations=sum(map(bool, self._shares)),
            workers=workers,
            tally=counts.tally(),
            seconds=time.monotonic() - self._began,
        )

    def conclude(self, failure: Exception | None, count_left: Callable[[Share], Tally | None]) -> BatchReport:
        """Count the locations that nobody had to their end, and return the report.

        Args:
            failure: What ended the load, or None.
            count_left: Returns what earlier runs or lost workers left of a location, or None.
        """
        reason = failure or (None if self._stopped is None else StopRequestedError(self._stopped))
        for share in self._shares.values():
            if share.location_id in self.done:
                continue
            reason = reason or StopRequestedError("the load was asked to stop")
            tally = count_left(share)
            if tally is not None:
                self.report.add_tally(tally)
            rest = share.rows - (0 if tally is None else sum(tally.counts.values()))
            self.report.add_rest(rest, row_error(reason))
        self.report.stopped = reason
        self.report.finish(time.monotonic())
        return self.report


def read_endings(store: Store) -> list[Ending]:
    """Return the locations that earlier runs were done with.

    Raises:
        JournalError: They cannot be read.
    """
    latest: dict[str, Ending] = {}
    for name in store.names("done"):
        data = store.read(f"done/{name}")
        if data is not None:
            try:
                ending = msgspec.json.decode(data, type=Ending)
            except msgspec.DecodeError as error:
                raise JournalError(f"{store.path(f'done/{name}')}: is damaged ({error}); remove it") from None
            latest[ending.location_id] = ending
    return list(latest.values())
