"""Outcome -> journal -> consumer: an outcome is on disk before anybody hears of it.

With a journal, the steps of a group of outcomes are:

1. The group is written and on disk. What is not, did not happen: after a crash its rows are in doubt.
2. Its workers go on: they need the disk alone, and need not wait for a slow consumer.
3. Each outcome is counted, and handed to the consumer.
4. The next group is written, or the log ends, and only that marks this one as delivered. After a crash between 1 and 4
   the group is handed over again: a consumer may get an outcome twice, but it never misses one.

One thread does all writing, in the order in which it was asked to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import msgspec

from ..calls.call import CallCount
from ..clock import Clock
from ..errors import JournalError, LeadConnectorError
from .outcome import Entry, RecentContacts
from .report import OnOutcome, Outcome
from .run_log import MOST_REFUSED, Intent, Pace, RunLog

_GROUP_ROWS: Final = 200
_GROUP_SECONDS: Final = 0.2
_CANCELLED: Final = "on_outcome raised CancelledError"
_Waiting: TypeAlias = tuple[Intent, asyncio.Future[None]]  # and when it is on disk


class Delivery:
    """Hands outcomes on at once; there is no journal.

    Args:
        record: Called once with each outcome; must not fail.
        on_outcome: Called after it; what it returns is awaited.
    """

    def __init__(self, record: Callable[[Outcome], None], on_outcome: OnOutcome | None) -> None:
        self._record = record
        self._on_outcome = on_outcome
        self._contacts = RecentContacts()
        self._refs: dict[int, Any] = {}

    def keep_ref(self, row: int, ref: Any) -> None:
        """Have the outcome of a row carry what the row came with. It is added when the outcome is handed on, so that
        nothing that is written holds it."""
        if ref is not None:
            self._refs[row] = ref

    def _with_ref(self, outcome: Outcome) -> Outcome:
        if not self._refs or outcome.index not in self._refs:
            return outcome
        return msgspec.structs.replace(outcome, ref=self._refs.pop(outcome.index))

    async def run(self) -> None:
        """Hand on what is put, until `end`; with no journal, `put` does that."""

    def end(self) -> None:
        """Say that the workers will put nothing more."""

    async def close(self, *, is_delivered: bool, other_calls: CallCount) -> None:
        """End; say whether the consumer has got all, and which calls no outcome shows."""

    async def intend(self, intent: Intent) -> None:
        """Note that a row is about to be sent, and return when that is on disk.

        Raises:
            JournalError: It cannot be noted; the row must not be sent.
        """

    async def put(self, entry: Entry) -> None:
        """Take the outcome of a row that was sent; the worker that brings it may go on when this returns."""
        await self._hand_on(self._resolve(entry))

    async def put_all(self, entries: Iterable[Entry]) -> None:
        """Take the outcomes of rows that one call has sent, as `put` does."""
        outcomes = [self._with_ref(self._resolve(entry)) for entry in entries]
        for outcome in outcomes:  # all before the consumer sees the first: `on_outcome` may raise
            self._record(outcome)
        for outcome in outcomes:
            if (waiting := self._notify(outcome)) is not None:
                await _wait(waiting)

    async def put_refused(self, entry: Entry) -> None:
        """Take the outcome of a row that cannot be sent."""
        await self.put(entry)

    async def put_rest(self, entries: Sequence[Entry], unsent: Iterable[Outcome]) -> None:
        """Take what is left after `run`: of rows that were begun, and of rows that were not."""
        for outcome in [*map(self._resolve, entries), *unsent]:
            await self._hand_on(outcome)

    def put_at_once(self, entries: Sequence[Entry], unsent: Iterable[Outcome]) -> None:
        """Record what is left when a load is cut off, without telling the consumer."""
        for outcome in [*map(self._resolve, entries), *unsent]:
            self._record(self._with_ref(outcome))

    def _resolve(self, entry: Entry) -> Outcome:
        contact_id = entry.outcome.contact_id
        if contact_id is None or entry.outcome.status == "skipped":
            return entry.outcome
        outcome, last = entry.resolve(self._contacts.get(contact_id), entry.identity)
        self._contacts.keep(contact_id, last)
        return outcome

    async def _hand_on(self, outcome: Outcome) -> None:
        outcome = self._with_ref(outcome)
        self._record(outcome)
        if (waiting := self._notify(outcome)) is not None:
            await _wait(waiting)

    def _notify(self, outcome: Outcome) -> Awaitable[None] | None:
        if self._on_outcome is None:
            return None
        try:
            return self._on_outcome(outcome)
        except asyncio.CancelledError:
            raise RuntimeError(_CANCELLED) from None


class JournaledDelivery(Delivery):
    """Writes outcomes in groups, and hands them on when they are on disk.

    A worker waits until its outcome is on disk, so that after a crash no more rows are in doubt than there are workers.
    To keep this cheap, a group is written as soon as half the workers wait for it, or all of them do.

    Args:
        record: As `Delivery`.
        on_outcome: As `Delivery`; as many are awaited together as there are workers.
        on_group: Awaited after each group was handed on; only then it counts as delivered.
        journal: Begun.
        workers: How many there are.
        clock: For the time that a group waits for more rows.
        on_failure: Called where the journal cannot be written; outcomes are handed on all the same.
        server_times: Returns when the session began, and now, by the server's clock; None while that is not known.
        is_idle: Returns whether no call is out, so that no more outcomes will come before those that wait are written.
        pace: Returns what the limits allow.
    """

    def __init__(
        self,
        record: Callable[[Outcome], None],
        on_outcome: OnOutcome | None,
        *,
        on_group: Callable[[], Awaitable[None]] | None,
        journal: RunLog,
        workers: int,
        clock: Clock,
        on_failure: Callable[[LeadConnectorError], None],
        server_times: Callable[[], tuple[float, float] | None],
        is_idle: Callable[[], bool],
        pace: Callable[[], Pace],
    ) -> None:
        super().__init__(record, on_outcome)
        self._on_group = on_group
        self._journal = journal
        self._group_rows = min(max(workers // 2, 1), _GROUP_ROWS)
        self._clock = clock
        self._on_failure = on_failure
        self._server_times = server_times
        self._is_idle = is_idle
        self._pace = pace
        self._workers = workers
        self._thread = ThreadPoolExecutor(1, "leadconnector-journal")
        self._entries: list[tuple[Entry, asyncio.Future[None] | None]] = []
        self._writing: Future[list[Outcome]] | None = None
        self._failure: JournalError | None = None
        self._intents: list[_Waiting] = []
        self._is_intending = False
        self._has_ended = False
        self._news = asyncio.Event()
        self._is_group = asyncio.Event()  # set where outcomes wait for no others

    async def put(self, entry: Entry) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._add(entry, done)
        await done

    async def put_all(self, entries: Iterable[Entry]) -> None:
        *others, last = entries
        for entry in others:
            self._add(entry, None)
        await self.put(last)  # groups are written in order

    async def put_refused(self, entry: Entry) -> None:
        if len(self._entries) < MOST_REFUSED:  # it was never sent, so that a crash leaves no doubt
            self._add(entry, None)
        else:
            await self.put(entry)

    def _add(self, entry: Entry, done: asyncio.Future[None] | None) -> None:
        entry.at = self._clock.time()
        self._entries.append((entry, done))
        self._news.set()
        if len(self._entries) >= self._group_rows or self._is_idle():
            self._is_group.set()

    def end(self) -> None:
        self._has_ended = True
        self._news.set()
        self._is_group.set()

    async def run(self) -> None:
        while not self._has_ended or self._entries:
            await self._news.wait()
            timer = self._clock.call_at(self._clock.monotonic() + _GROUP_SECONDS, self._is_group.set)
            await self._is_group.wait()
            timer.cancel()
            await self._write_group()

    async def _write_group(self) -> None:
        group = self._entries[:_GROUP_ROWS]
        del self._entries[:_GROUP_ROWS]
        self._writing = self._submit([entry for entry, _ in group])
        if not self._has_ended:
            if not self._entries:
                self._news.clear()
            if len(self._entries) < self._group_rows and not (self._entries and self._is_idle()):
                self._is_group.clear()
        # Shielded: where this is cancelled, `put_at_once` waits for what the thread is at.
        outcomes = await asyncio.shield(asyncio.wrap_future(self._writing))
        self._writing = None
        for _, done in group:
            if done is not None and not done.done():
                done.set_result(None)
        await self._hand_on_all(outcomes)

    def _submit(self, entries: Sequence[Entry], *, is_delivered: bool = True) -> Future[list[Outcome]]:
        now = self._clock.time()
        for entry in entries:
            entry.at = entry.at or now
        return self._thread.submit(self._write, entries, self._pace(), is_delivered)

    def _write(self, entries: Sequence[Entry], pace: Pace, is_delivered: bool) -> list[Outcome]:
        """Write a group, in the journal's thread.

        What cannot be written is kept for the end, and is handed on all the same: the rows were sent, and the load
        stops (`on_failure`).
        """
        try:
            return self._journal.write(
                entries,
                is_delivered=is_delivered,
                server_times=self._server_times(),
                pace=pace,
            )
        except JournalError as error:
            self._failure = error
            self._journal.keep(entries)
            return [entry.outcome for entry in entries]

    async def _hand_on_all(self, outcomes: Sequence[Outcome]) -> None:
        outcomes = [*map(self._with_ref, outcomes)]
        for outcome in outcomes:  # all before the consumer sees the first: `on_outcome` may raise
            self._record(outcome)
        if self._failure is not None:
            self._on_failure(self._failure)
        if self._on_outcome is not None:
            for some in batched(outcomes, self._workers):
                async with asyncio.TaskGroup() as group:
                    for outcome in some:
                        if (waiting := self._notify(outcome)) is not None:
                            group.create_task(_wait(waiting))
        if self._on_group is not None:
            await self._on_group()

    async def put_rest(self, entries: Sequence[Entry], unsent: Iterable[Outcome]) -> None:
        if entries:
            self._writing = self._submit(entries)
            outcomes = await asyncio.shield(asyncio.wrap_future(self._writing))
            self._writing = None
            await self._hand_on_all(outcomes)
        await super().put_rest((), unsent)

    def put_at_once(self, entries: Sequence[Entry], unsent: Iterable[Outcome]) -> None:
        written = [] if self._writing is None else self._writing.result()  # takes as long as the disk does
        self._writing = None
        left = [*(entry for entry, _ in self._entries), *entries]
        self._entries.clear()
        # In the thread, so that it comes after all that was ordered before. Not delivered: nobody waits for a consumer
        # here, and the group before may not be handed over either.
        rest = self._submit(left, is_delivered=False).result() if left else []
        for outcome in [*written, *rest, *unsent]:
            self._record(self._with_ref(outcome))

    async def close(self, *, is_delivered: bool, other_calls: CallCount) -> None:
        try:
            await asyncio.wrap_future(self._thread.submit(self._end_session, is_delivered, other_calls))
        except JournalError as error:
            self._on_failure(error)
        self._thread.shutdown(wait=False)

    def _end_session(self, is_delivered: bool, other_calls: CallCount) -> None:
        try:
            self._journal.count_calls(other_calls)
        finally:
            self._journal.end(is_delivered=is_delivered)

    # ------------------------------------------------------------------------------------------ intents

    async def intend(self, intent: Intent) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._intents.append((intent, done))
        if not self._is_intending:
            self._write_intents()
        await done

    def _write_intents(self) -> None:
        """Have all that wait by now written together; those that come meanwhile wait for the next write.

        The bytes of a call leave after its intent is on disk (`Call.before_send`). So after a crash a row with neither
        intent nor outcome was not sent; one with an intent may have been, and is not sent again unless it may be. Rows
        that were merged into another one need none: they are safe to send again, and that one says what was tried.
        """
        intents, self._intents = self._intents, []
        self._is_intending = bool(intents)
        if intents:
            rows = [intent for intent, _ in intents]
            written = asyncio.wrap_future(self._thread.submit(self._journal.intend, rows, self._clock.time()))
            written.add_done_callback(lambda result: self._finish_intents(intents, result))

    def _finish_intents(self, intents: Iterable[_Waiting], result: asyncio.Future[None]) -> None:
        failure = result.exception()
        for _, done in intents:
            if not done.done():
                done.set_result(None) if failure is None else done.set_exception(failure)
        self._write_intents()


def batched(outcomes: Sequence[Outcome], size: int) -> Iterator[Sequence[Outcome]]:
    """Cut a group into parts."""
    for first in range(0, len(outcomes), size):
        yield outcomes[first : first + size]


async def _wait(for_what: Awaitable[None]) -> None:
    """Await what `on_outcome` returned; a CancelledError of its own must not pass for one of ours."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  (a coroutine runs in a task here)
    cancellations = task.cancelling()
    try:
        await for_what
    except asyncio.CancelledError:
        if task.cancelling() > cancellations:
            raise
        raise RuntimeError(_CANCELLED) from None


# ---------------------------------------------------------------------------------------------- a stream of outcomes


class OutcomeBuffer:
    """A bounded buffer between the workers and one consumer.

    Args:
        most: Outcomes that may wait before the workers do.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._outcomes: list[Outcome] = []
        self._has_ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._taken = asyncio.Event()

    def put(self, outcome: Outcome) -> None:
        """Add an outcome; await `wait_for_room` after it, or `wait_until_taken` after some."""
        self._outcomes.append(outcome)
        self._taken.clear()
        self._news.set()

    def put_and_wait(self, outcome: Outcome) -> asyncio.Future[None] | None:
        """Add an outcome, and return what to await before the next one; None where there is room."""
        self.put(outcome)
        return self.wait_for_room(outcome)

    def wait_for_room(self, _outcome: Outcome) -> asyncio.Future[None] | None:
        """Return None where there is room, else what to await before the next row is begun."""
        if len(self._outcomes) < self._most or self._has_ended:
            return None
        self._room.clear()
        return asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        await self._room.wait()

    async def wait_until_taken(self) -> None:
        """Return when the consumer has done with all that was put."""
        if not self._has_ended:
            await self._taken.wait()

    async def take(self) -> list[Outcome]:
        """Return all that wait, waiting for the first; none once the load has ended."""
        if not self._outcomes:
            self._taken.set()  # whoever asks for more has done with what it got
        await self._news.wait()
        outcomes, self._outcomes = self._outcomes, []
        if not self._has_ended:
            self._news.clear()
        self._room.set()
        return outcomes

    def end(self, _task: object = None) -> None:
        """Say that no more outcomes will come."""
        self._has_ended = True
        self._news.set()
        self._room.set()
        self._taken.set()
