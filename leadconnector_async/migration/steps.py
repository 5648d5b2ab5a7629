"""Steps: passes over the rows of a run after their upserts, such as adding tags.

A step says which rows it concerns, the call it makes for them, and what the answers mean. Everything else is here and
in `load`, once for all steps: limits, outages, records that survive a crash, resuming, counting calls. To add a step,
write a subclass of `Step` in a module of its own and name it in `load.STEPS`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

import msgspec
from msgspec import Struct

from ..bulk.pool import Pool
from ..bulk.report import Outcome
from ..bulk.run_log import pace_of
from ..bulk.traces import Span
from ..calls.call import NO_CALLS_COUNTED, Call, CallCount, Tries
from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError, JournalError, LeadConnectorError, StopRequestedError
from ..models import ContactUpsert
from ..models.contacts import NotApplied
from ..protocol import Request
from ..run.database import Database
from ..run.journal import Journal
from ..run.rows import RunFile
from ..run.timeline import LaterCall
from .options import MigrationOptions

_WORKERS: Final = 8
_WRITE_SECONDS: Final = 1.0
_ROWS_AT_ONCE: Final = 1000
A = TypeVar("A")

# ---------------------------------------------------------------------------------------------- what became of rows

_SCHEMA: Final = """
CREATE TABLE steps (
    step TEXT NOT NULL, row INTEGER NOT NULL, state INTEGER NOT NULL, wanted TEXT NOT NULL, reason TEXT,
    PRIMARY KEY (step, row)
) WITHOUT ROWID;
CREATE TABLE step_calls (
    number INTEGER PRIMARY KEY, step TEXT NOT NULL, attempts INTEGER, rate_limited INTEGER
);
"""
DONE: Final = 1
REFUSED: Final = 2
LEFT: Final = 3  # for the next session


class StepRow(Struct, frozen=True, gc=False):
    """The result of a step for one row.

    Attributes:
        row: Its position in the run.
        state: `DONE`, `REFUSED` or `LEFT`.
        values: What the step was to write, such as tags; empty if it is done.
        reason: Why it is not done.
    """

    row: int
    state: int
    values: tuple[str, ...] = ()
    reason: str | None = None


class StepRecords:
    """The results of a step, in the database of the run.

    A row without a record is sent again after a crash, so the calls of a step must be safe to repeat.

    Args:
        database: Of the run.
        step: The name of the step.
        retry_refused: Whether to try once more what the service refused.

    Raises:
        JournalError: The database cannot be read or written. All methods raise this, too.
    """

    def __init__(self, database: Database, step: str, *, retry_refused: bool = False) -> None:
        self._database = database
        self._step = step
        self._settled = (DONE,) if retry_refused else (DONE, REFUSED)
        database.create(_SCHEMA)

    def settled(self, first: int, count: int) -> set[int]:
        """Return which of `count` rows, from `first` on, need no call any more."""
        states = ",".join(map(str, self._settled))
        query = f"SELECT row FROM steps WHERE step = ? AND row >= ? AND row < ? AND state IN ({states})"  # noqa: S608
        return {row for (row,) in self._database.read(query, self._step, first, first + count)}

    def begin_call(self) -> int:
        """Note that a call is about to be sent, and return its number. If it never ends, it was cut off by a crash."""
        with self._database.transaction() as db:
            return int(db.execute("INSERT INTO step_calls (step) VALUES (?)", (self._step,)).lastrowid or 0)

    def end_call(self, number: int, rows: Iterable[StepRow], tries: Tries) -> None:
        """Write the tries of a call, and the results of the rows that it settled."""
        with self._database.transaction() as db:
            self._write(db, rows)
            query = "UPDATE step_calls SET attempts = ?, rate_limited = ? WHERE number = ?"
            db.execute(query, (tries.count, tries.rate_limited, number))

    def write(self, rows: Iterable[StepRow]) -> None:
        """Write the results of rows."""
        with self._database.transaction() as db:
            self._write(db, rows)

    def _write(self, db: sqlite3.Connection, rows: Iterable[StepRow]) -> None:
        records = [(self._step, row.row, row.state, write_values(row.values), row.reason) for row in rows]
        db.executemany("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", records)

    def clear(self) -> None:
        """Forget all results."""
        with self._database.transaction() as db:
            db.execute("DELETE FROM steps WHERE step = ?", (self._step,))

    def missing(self) -> dict[int, StepRow]:
        """Return the rows that a call was due for and that are not done."""
        query = "SELECT row, state, wanted, reason FROM steps WHERE step = ? AND state <> ?"
        found = self._database.read(query, self._step, DONE)
        return {row: StepRow(row, state, read_values(values), reason) for row, state, values, reason in found}

    @property
    def is_missing_any(self) -> bool:
        """Whether some row is not done."""
        query = "SELECT 1 FROM steps WHERE step = ? AND state <> ? LIMIT 1"
        return bool(self._database.read(query, self._step, DONE))

    def spent(self) -> CallCount:
        """Return what the calls took so far, in all sessions."""
        query = "SELECT attempts, rate_limited, count(*) FROM step_calls WHERE step = ? GROUP BY attempts, rate_limited"
        spent = NO_CALLS_COUNTED
        for attempts, rate_limited, calls in self._database.read(query, self._step):
            if attempts is None:  # each may not have left, or have been tried more than once
                spent = spent.plus(CallCount(calls, in_doubt=calls))
            else:
                retries = max(attempts - 1, 0) * calls
                spent = spent.plus(CallCount((attempts + rate_limited) * calls, retries, rate_limited * calls))
        return spent


def write_values(values: tuple[str, ...]) -> str:
    """Encode `StepRow.values` for the database."""
    return msgspec.json.encode(values).decode()


def read_values(text: str) -> tuple[str, ...]:
    """Decode `StepRow.values` from the database."""
    return msgspec.json.decode(text, type=tuple[str, ...])


# ---------------------------------------------------------------------------------------------- the pass


class StepCall(Struct, Generic[A], frozen=True):
    """One call of a step, for one row or several.

    Attributes:
        location_id: The location.
        request: What to send; safe to repeat.
        read: Turns the answer into the result of each row.
        refuse: Turns an error about these rows into the result of each row.
        leave_traces: Notes in the journal what the answer changed in contacts, and when. An undo needs that: without
            it, the run's own change looks like somebody else's.
    """

    location_id: str
    request: Request[A]
    read: Callable[[A], list[StepRow]]
    refuse: Callable[[LeadConnectorError], list[StepRow]]
    leave_traces: Callable[[A, Span | None], None]


class StepProgress(Struct, frozen=True):
    """How far a step is.

    Attributes:
        work: What it does, such as `adding tags`.
        done: The number of rows settled by this session.
        total: The number of rows it will settle; None if that is unknown.
    """

    work: str
    done: int
    total: int | None


class StepRun(Struct, frozen=True):
    """What a step works on.

    Attributes:
        files: The rows of the run.
        journal: What became of their upserts.
        client: Where to send.
        pool: Makes the calls.
        may_write: Returns whether the run's selection allows to write a field (its Python name) of a contact (location
            and id); with `fill_empty`, only where it was empty before.
    """

    files: Sequence[RunFile]
    journal: Journal
    client: LeadConnector
    pool: Pool
    may_write: Callable[[str, str, str], bool] = lambda *_: True


class Step(ABC):
    """A pass over the rows of a run after their upserts.

    Args:
        database: Of the run.
        retry_refused: Whether to try once more what the service refused.

    Attributes:
        records: The results so far.
        is_finished: Whether the last `run` came to its end.
    """

    name: ClassVar[str]
    """Names its records in the database; never change it."""
    work: ClassVar[str]
    """Says in messages what it does, such as `adding tags`."""

    def __init__(self, database: Database, *, retry_refused: bool = False) -> None:
        self.records = StepRecords(database, self.name, retry_refused=retry_refused)
        self.is_finished = False

    @classmethod
    def open(cls, database: Database, options: MigrationOptions, *, retry_refused: bool = False) -> Self | None:
        """Return the step for a run, or None if the run does without it."""
        return cls(database, retry_refused=retry_refused)

    def concerns(self, files: Sequence[RunFile]) -> bool:
        """Return whether any row of the files may need it."""
        return True

    # What the upserts leave to the step. They are asked for rows in their order.

    def hold_back(self, number: int, contact: ContactUpsert | InvalidContactError) -> Any:
        """Return what is upserted of a row, before the run's selection sees it.

        Returns:
            The contact, or part of it; `bulk.source.Skipped` or `Closing`.
        """
        return contact

    def strip(self, contact: ContactUpsert) -> ContactUpsert:
        """Return a selected contact without what the step writes."""
        return contact

    def complete(self, number: int, contact: ContactUpsert, sent: ContactUpsert) -> ContactUpsert:
        """Return what was sent of a row with what the step added to it."""
        return sent

    # Its calls

    @abstractmethod
    def calls(self, run: StepRun) -> Iterator[StepCall[Any]]:
        """Yield the calls that are still due. It runs in a thread."""

    @abstractmethod
    def due(self, run: StepRun) -> Iterator[StepRow]:
        """Yield the rows that a call is still due for, as `LEFT`, with a reason."""

    def count(self) -> int | None:
        """Return the number of rows that `calls` will settle; None if that is unknown."""
        return None

    # What the results say

    @property
    def marks_any(self) -> bool:
        """Whether `mark` changes any outcome."""
        return self.records.is_missing_any

    def mark(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Add to the outcomes, in the order of their rows, what the step did not write."""
        missing = self.records.missing()
        for outcome in outcomes:
            row = missing.get(outcome.index)
            yield outcome if row is None or not is_written(outcome) else self._mark(outcome, row)

    def conclude(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Return the outcomes as the report counts them; by default as `mark` does."""
        return self.mark(outcomes)

    def _mark(self, outcome: Outcome, row: StepRow) -> Outcome:
        lost = NotApplied(self.name, list(row.values), None)
        marked = msgspec.structs.replace(outcome, not_applied=(*outcome.not_applied, lost))
        return with_note(marked, f"{self.work} failed: {row.reason}")

    async def run(
        self, run: StepRun, stop: asyncio.Event, on_settled: Callable[[int], None]
    ) -> LeadConnectorError | None:
        """Make the calls that are due. Call it again to go on.

        Args:
            run: What it works on.
            stop: Set it to end in order: calls in flight finish.
            on_settled: Called after each call with the number of rows it settled.

        Returns:
            Why it ended early, or None.

        Raises:
            JournalError: A result could not be written; the call is made again next time.
            ConfigurationError: A file could not be read further.
        """
        self.is_finished = False
        sender = _Sender(self.records, run, on_settled)
        try:
            reason = await run.pool.run(
                self.calls(run),
                sender.send,
                location_of=lambda call: call.location_id,
                concurrency=_WORKERS,
                stop=stop,
                on_failed=sender.refuse,
            )
        finally:
            sender.write_calls()
        if isinstance(reason, JournalError | ConfigurationError):
            raise reason
        if reason is None and stop.is_set():
            reason = StopRequestedError("the load was asked to stop")
        reason = reason or run.pool.reason
        self.is_finished = reason is None
        return reason

    def note_left(self, run: StepRun) -> None:
        """Note the rows that a call is still due for, if the last `run` ended early."""
        if self.is_finished or not self.concerns(run.files):
            return
        rows = self.due(run)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            self.records.write(some)


class _Sender:
    """Sends the calls of a step and writes down what came of them."""

    def __init__(self, records: StepRecords, run: StepRun, on_settled: Callable[[int], None]) -> None:
        self._records = records
        self._run = run
        self._client = run.client
        self._on_settled = on_settled
        self._calls: list[LaterCall] = []  # that the journal does not know of yet
        self._written_at = run.client.clock.monotonic()

    async def send(self, wanted: StepCall[Any]) -> None:
        await self._run.pool.call(wanted.location_id, partial(self._send, wanted))

    def refuse(self, wanted: StepCall[Any], error: LeadConnectorError) -> None:
        rows = wanted.refuse(error)
        self._records.write(rows)
        self._on_settled(len(rows))

    async def _send(self, wanted: StepCall[Any]) -> None:
        call, number = Call(wanted.request, is_counted=True), self._records.begin_call()
        rows: list[StepRow] = []
        try:
            answer = await self._client.send(call)
            # Before the rows count as done: if this process dies in between, they are sent again.
            wanted.leave_traces(answer, call.tries.span(self._client.server_clock, self._client.clock.monotonic()))
            rows = wanted.read(answer)
        finally:
            self._records.end_call(number, rows, call.tries)
            self._note_call(wanted.location_id, call)
        self._on_settled(len(rows))

    def _note_call(self, location_id: str, call: Call[Any]) -> None:
        """Let the journal count a call; once a second, as each write waits for the disk."""
        clock = self._client.clock
        if tries := call.tries.count + call.tries.rate_limited:
            self._calls.append(LaterCall(clock.time(), tries, pace_of([self._client.window(location_id)])))
        if clock.monotonic() - self._written_at >= _WRITE_SECONDS:
            self.write_calls()

    def write_calls(self) -> None:
        calls, self._calls = self._calls, []
        self._written_at = self._client.clock.monotonic()
        if calls:
            self._run.journal.write_later_calls(calls)


def is_written(outcome: Outcome) -> bool:
    """Return whether a row reached a contact."""
    return outcome.status in ("created", "updated")


def with_note(outcome: Outcome, note: str | None) -> Outcome:
    """Return an outcome with one more note."""
    notes = "; ".join(one for one in (outcome.note, note) if one is not None)
    return msgspec.structs.replace(outcome, note=notes or None)
