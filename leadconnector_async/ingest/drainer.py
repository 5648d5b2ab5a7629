"""Sends what waits in an outbox: one load without end after another, each with the outbox as its log.

A load gives up where a batch job would: at a refused token, after an hour without an answer. An outbox waits instead,
says why, and begins the next load. Everything that has no outcome is still in the file, in its order, so that load
simply reads it from the start.

One load sends for all locations. A location that refuses its calls is left out from then on, and tried again by the
next load; so a load ends by itself now and then while such a location has something waiting.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from ..bulk.outcome import Entry as RowEntry
from ..bulk.outcome import LostTries, RecentContacts
from ..bulk.report import BatchReport, LoadStoppedError, Outcome, RowError, calls_of
from ..bulk.run_log import NO_CALLS, NO_PACE, RECENT_SECONDS, Earlier, Intent, LastCalls, Pace
from ..bulk.threads import in_thread
from ..calls.call import CallCount
from ..client import LeadConnector
from ..errors import ClientStateError, InvalidContactError, JournalError, LeadConnectorError
from ..models import ContactUpsert
from .store import Drained, Entry, Finished, Store, begin_draining, end_draining, note_paused, purge, settle, take

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.2  # what other processes put is noticed after so long
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 60.0
_REFUSED_SECONDS: Final = 60.0  # a location that refuses its calls is left out for so long
_PURGE_SECONDS: Final = 60.0
_NOTE_SECONDS: Final = 2.0
_READ_AT_ONCE: Final = 200
_MOST_TAKEN: Final = 5
_MOST_SEEN: Final = 1_000  # locations whose limits are looked at for the status
_SPENT: Final = "the calls of its day are spent; it goes on when the next day begins"
_LIMITED: Final = "the service asked to slow down (429); it goes on soon"
_TAKEN_TOO_OFTEN: Final = (
    f"it was taken {_MOST_TAKEN} times without an outcome: the process ended each time as it was in flight"
)


_CUT_OFF: Final = RowError("LoadStoppedError", None, "the process was cut off while this contact was in flight")
_CUT_OFF_NOTE: Final = "it may have been applied; look the contact up before sending it again"
_OF_LOAD: Final = ("JournalError", "OutageError", "RemovedError", "StopRequestedError")
"""Why a load ends that say nothing of the location of a row that was not sent."""


class RemovedError(LeadConnectorError):
    """Contacts were removed from the outbox that the load has read already. Stays in this wing."""


class OutboxLog:
    """The outbox as the log of one load; implements `bulk.run_log.RunLog`.

    Args:
        store: The file.
        last_calls: The calls of the process that drained before, for the first load of this one.
        now: Returns seconds since 1970.
        on_written: Called, in another thread, after outcomes were written.

    Attributes:
        refused: Locations that take no calls, and why.
        calls: How many calls ended in each of the last seconds.
    """

    keeps_traces = False
    is_by_position = True

    def __init__(
        self, store: Store, last_calls: LastCalls, now: Callable[[], float], on_written: Callable[[], None]
    ) -> None:
        self._store = store
        self._last_calls = last_calls
        self._now = now
        self._on_written = on_written
        self._rows: dict[int, Entry] = {}  # those that the load has read, by their number in it
        self._taken: set[int] = set()
        self._unwritten: list[RowEntry] = []
        self._contacts = RecentContacts()
        self._count = 0
        self.refused: dict[str, str] = {}
        self.calls: deque[tuple[int, int]] = deque()

    def add(self, entry: Entry) -> None:
        """Note that an entry is the next row of the load."""
        self._rows[self._count] = entry
        self._count += 1

    # ------------------------------------------------------------------------------------------ of earlier sessions

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float, retry_failed: bool = False) -> Earlier:
        return Earlier(0, now, self._last_calls)

    def fold_into(self, report: BatchReport) -> None:
        """Do nothing: a load counts its own rows alone."""

    def undelivered(self) -> list[Outcome]:
        return []  # they are handed over from the file

    def is_finished(self, row: int) -> bool:
        return False

    def hashes(self, first: int, count: int) -> dict[int, tuple[bytes, bytes]]:
        return {}

    def pending(self, row: int, row_hash: bytes) -> Outcome | None:
        return None

    def lost_tries(self, row: int, row_hash: bytes) -> LostTries:
        return self._rows[row].lost_tries

    # ------------------------------------------------------------------------------------------ writing

    def intend(self, intents: Iterable[Intent], now: float) -> None:
        """Note that entries are about to be sent.

        Raises:
            RemovedError: Some were removed; none of these may be sent before the load is begun anew.
            JournalError: It could not be written.
        """
        taken = [(self._rows[one.row].place, one.lost_tries, one.row not in self._taken) for one in intents]
        self._taken.update(one.row for one in intents)
        if not self._store.run(partial(take, taken)):
            raise RemovedError("contacts were removed from the outbox")

    def write(
        self,
        entries: Sequence[RowEntry],
        *,
        is_delivered: bool = True,
        server_times: tuple[float, float] | None = None,
        pace: Pace = NO_PACE,
    ) -> list[Outcome]:
        finished = [self._finish(entry, self._rows[entry.outcome.index]) for entry in entries]
        self._store.run(partial(settle, finished))
        for entry in entries:
            self._rows.pop(entry.outcome.index)
            self._taken.discard(entry.outcome.index)
            self._note_calls(entry.at, calls_of(entry.outcome).requests)
        self._on_written()
        return [one.outcome for one in finished]

    def _finish(self, entry: RowEntry, row: Entry) -> Finished:
        outcome = entry.outcome
        if outcome.status == "not_attempted" or (outcome.status == "unknown" and entry.is_repeatable):
            if outcome.error is not None and outcome.error.kind not in _OF_LOAD:
                self.refused[row.location] = outcome.error.message
            return Finished(row.place, outcome, is_over=False, lost_tries=entry.lost_tries)
        return Finished(row.place, msgspec.structs.replace(self._resolve(entry, row), index=row.id))

    def _resolve(self, entry: RowEntry, row: Entry) -> Outcome:
        """Complete an outcome by what is known of its contact, given rows by their place: their numbers in the load
        mean nothing to anybody else."""
        outcome = msgspec.structs.replace(entry.outcome, index=row.place)
        if outcome.contact_id is None:
            return outcome
        placed = msgspec.structs.replace(entry, outcome=outcome)
        outcome, last = placed.resolve(self._contacts.get(outcome.contact_id), entry.identity)
        self._contacts.keep(str(outcome.contact_id), last)
        return outcome

    def count_calls(self, calls: CallCount) -> None:
        self._note_calls(self._now(), calls.requests)

    def _note_calls(self, at: float, count: int) -> None:
        second = int(at)
        if self.calls and self.calls[-1][0] == second:
            second, before = self.calls.pop()
            count += before
        self.calls.append((second, count))
        while self.calls[0][0] < second - RECENT_SECONDS:
            self.calls.popleft()

    def keep(self, entries: Iterable[RowEntry]) -> None:
        self._unwritten.extend(entries)

    def end(self, *, is_delivered: bool) -> None:
        unwritten, self._unwritten = self._unwritten, []
        if unwritten:
            self.write(unwritten)

    def close(self) -> None:
        """Do nothing: the outbox stays open."""


class Drainer:
    """Sends what waits, while this process is the one that drains.

    Args:
        client: Open.
        store: The file.
        keep_keys, keep_dead: For how many seconds keys and outcomes, and dead letters, are kept.
        on_written: Called, in another thread, after outcomes were written.

    Attributes:
        news: To be set when something was put in this process.
        is_draining: Whether it is this process that drains.
    """

    def __init__(
        self,
        client: LeadConnector,
        store: Store,
        *,
        keep_keys: float,
        keep_dead: float,
        on_written: Callable[[], None],
    ) -> None:
        self._client = client
        self._clock = client.clock
        self._store = store
        self._keep_keys, self._keep_dead = keep_keys, keep_dead
        self._on_written = on_written
        self._log = OutboxLog(store, NO_CALLS, self._clock.time, on_written)
        self._report = BatchReport(keep_outcomes=False)
        self._stop = asyncio.Event()  # of the load that runs
        self._closing = asyncio.Event()
        self._is_renewed = False  # whether the load ends so that locations are tried again
        self._paused: str | None = None
        self._seen: set[str] = set()
        self._noted: dict[str, str] = {}
        self.news = asyncio.Event()
        self.is_draining = False

    def close(self) -> None:
        """Begin no further call; `run` ends when those in flight have."""
        self._closing.set()
        self._stop.set()

    async def run(self) -> None:
        """Wait until no other process drains, and then send what waits until `close`.

        No other process drains before the file is closed, so that this one can hand over its last outcomes.
        """
        while not self._store.try_to_drain():
            if await self._is_closed_within(_POLL_SECONDS):
                return
        _log.info("%s: this process sends what waits", self._store.path)
        self.is_draining = True
        keeper = asyncio.create_task(self._keep_house())
        try:
            await self._drain()
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            if not self._closing.is_set():  # the client was closed, or this has failed
                self.is_draining = False
                self._store.stop_draining()

    async def _drain(self) -> None:
        drained: Drained | None = None
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                if drained is None:
                    drained = await self._write(begin_draining)
                    self._log = self._new_log(_last_calls_of(drained))
                reason = await self._load()
            except JournalError as error:
                reason = error
            if isinstance(reason, ClientStateError):
                _log.warning("%s: nothing more is sent from here: %s", self._store.path, reason)
                break
            pause = await self._wait_after(reason, pause)
            self._log = self._new_log(NO_CALLS)
        with suppress(JournalError):  # then the next process waits out a window in vain
            await self._write(partial(end_draining, tuple(self._log.calls)))

    def _new_log(self, last_calls: LastCalls) -> OutboxLog:
        log = OutboxLog(self._store, last_calls, self._clock.time, self._on_written)
        log.calls.extend(self._log.calls)
        return log

    async def _load(self) -> Exception | None:
        """Send what waits until a load ends, and return why it did."""
        self._report = report = BatchReport(keep_outcomes=False)
        self._stop = stop = asyncio.Event()
        self._is_renewed = False
        if self._closing.is_set():
            return None
        try:
            await self._client.contacts.bulk_upsert(
                self._source(self._log), report=report, journal=self._log, stop=stop, wait_for_quota=True
            )
        except LoadStoppedError as error:
            if not isinstance(error.__cause__, LeadConnectorError):
                raise
            return error.__cause__
        return None if self._is_renewed else report.stopped

    async def _wait_after(self, reason: Exception | None, pause: float) -> float:
        """Wait before the next load, and return for how long to wait after that one."""
        if reason is None or isinstance(reason, RemovedError) or self._closing.is_set():
            return _FIRST_PAUSE
        if self._report.total > self._report.not_attempted:  # it got somewhere
            pause = _FIRST_PAUSE
        _log.warning("the outbox pauses for %.0f s: %s", pause, reason)
        self._paused = str(reason)
        try:
            await self._is_closed_within(pause)
        finally:
            self._paused = None
        return min(pause * 2, _LONGEST_PAUSE)

    async def _is_closed_within(self, seconds: float) -> bool:
        """Wait, and return whether this was closed meanwhile."""
        await wait_for(self._closing, seconds, self._client)
        return self._closing.is_set()

    async def _write(self, work: Callable[..., Any]) -> Any:
        return await in_thread(partial(self._store.run, work))

    # ------------------------------------------------------------------------------------------ rows for the load

    async def _source(self, log: OutboxLog) -> AsyncIterator[ContactUpsert | InvalidContactError]:
        """Yield what waits, in order; end where a location that was refused is to be tried again."""
        after, renew_at = 0, math.inf
        while True:
            self.news.clear()
            entries = await in_thread(partial(self._store.entries, after, _READ_AT_ONCE))
            for entry in entries:
                after = entry.place
                if entry.location not in log.refused and (row := await self._row_of(entry)) is not None:
                    self._see(entry.location)
                    log.add(entry)
                    yield row
            if log.refused:
                renew_at = min(renew_at, self._clock.monotonic() + _REFUSED_SECONDS)
            if self._clock.monotonic() >= renew_at:
                self._is_renewed = True
                return
            if not entries:
                await wait_for(self.news, _POLL_SECONDS, self._client)

    async def _row_of(self, entry: Entry) -> ContactUpsert | InvalidContactError | None:
        contact = entry.contact
        if isinstance(contact, JournalError):
            return InvalidContactError(str(contact))
        if entry.taken and contact.create_new_if_duplicate_allowed is True:
            await self._write(partial(settle, [Finished(entry.place, _outcome_cut_off(entry))]))
            self._on_written()
            return None
        return InvalidContactError(_TAKEN_TOO_OFTEN) if entry.taken >= _MOST_TAKEN else contact

    # ------------------------------------------------------------------------------------------ how it is doing

    def _see(self, location_id: str) -> None:
        if len(self._seen) < _MOST_SEEN:
            self._seen.add(location_id)

    def paused(self) -> dict[str, str]:
        """Return why nothing is sent for now, by location; under an empty name what holds for all."""
        reasons = dict(self._log.refused)
        for location_id in self._seen - reasons.keys():
            window = self._client.window(location_id)
            if window.calls_left_today() == 0:
                reasons[location_id] = _SPENT
            elif window.is_paused():
                reasons[location_id] = _LIMITED
        reason = self._paused or self._report.paused
        return reasons if reason is None else {**reasons, "": reason}

    async def _keep_house(self) -> None:
        """Remove what is too old, and note for others why nothing is sent."""
        purge_at = 0.0
        while True:
            with suppress(JournalError):  # the load meets it, and shows it
                if (reasons := self.paused()) != self._noted:
                    await self._write(partial(note_paused, reasons))
                    self._noted = reasons
                if self._clock.monotonic() >= purge_at:
                    while await self._write(partial(purge, self._keep_keys, self._keep_dead)):
                        pass
                    purge_at = self._clock.monotonic() + _PURGE_SECONDS
            await self._clock.sleep(_NOTE_SECONDS)


def _outcome_cut_off(entry: Entry) -> Outcome:
    """Return the outcome of an entry that must not be sent twice, and was in flight when a process was cut off."""
    return Outcome(index=entry.id, status="unknown", error=_CUT_OFF, attempts=entry.taken, note=_CUT_OFF_NOTE)


def _last_calls_of(drained: Drained) -> LastCalls:
    """Return the calls that the last process made: all of a window, where it was cut off of late."""
    if drained.has_ended:
        return LastCalls(drained.last_calls)
    return LastCalls(((int(drained.active_at), 1),), is_whole=not drained.active_at)


async def wait_for(event: asyncio.Event, seconds: float, client: LeadConnector) -> None:
    """Wait for an event, but not longer than so many seconds of the client's clock."""
    over = asyncio.ensure_future(event.wait())

    def end() -> None:
        over.cancel()

    timer = client.clock.call_at(client.clock.monotonic() + seconds, end)
    try:
        await asyncio.wait([over])
    finally:
        timer.cancel()
        over.cancel()
