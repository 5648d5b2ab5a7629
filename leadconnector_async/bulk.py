"""The worker pool: rows in, outcomes out.

rows -> check -> bounded backlog -> workers -> contacts.upsert -> Outcome -> consumer
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from http import HTTPStatus
from typing import Final

from .backlog import Backlog, Item
from .call import Call
from .comparison import find_not_applied
from .contacts import ContactLike, Contacts
from .errors import (
    APIError,
    AuthenticationError,
    CallError,
    InvalidContactError,
    LeadConnectorError,
    LoadStoppedError,
    PermissionDeniedError,
    StopRequestedError,
    UsageError,
)
from .identity import identity_keys
from .models import ContactUpsert, UpsertResult
from .outbox import Outbox
from .report import BatchReport, OnOutcome, Outcome, RowError, row_error
from .retry import is_worth_repeating
from .sources import Row, RowSource, Source, open_source

_log = logging.getLogger(__name__)


class Upsert(Item):
    """A row that was checked: the contact, and the call that is to store it."""

    __slots__ = ("call", "contact")

    def __init__(self, index: int, keys: tuple[str, ...], contact: ContactUpsert, call: Call[UpsertResult]) -> None:
        super().__init__(index, keys)
        self.contact = contact
        self.call = call


_LOOK_AHEAD: Final = 4  # rows read for each worker: room to overtake rows that wait for one of their own identity
_RECENT_SECONDS: Final = 10.0  # well above the tolerance with which `dateAdded` is read
_REST_SECONDS: Final = 10.0  # a source may block for ever, or have no end
_BY_DATE_NOTE: Final = "the answer was lost; dateAdded tells that an earlier try created it"
_MAY_BE_NEW_NOTE: Final = "an earlier try, whose answer was lost, may have created it"
_UNSAFE_NOTE: Final = "it may have been applied; look the contact up before sending it again"
_SAFE_NOTE: Final = "a try may have been applied; it is safe to send again"


class Load:
    """One bulk load. Each row that was read gets exactly one outcome, also where the load is stopped or cancelled.

    Args:
        contacts: Where to send.
        source: The rows.
        record: Called once with the outcome of each row that was read, as they come; must not fail.
        on_outcome: Called after `record`, but not for what is left when the load is cancelled or fails.
        concurrency: Rows in flight at most.
        compare: Whether to compare each contact sent with the one in the answer.
        read_rest: Whether a load that is stopped reads a sync source to its end, to report the rest `not_attempted`.

    Attributes:
        stopped: What ended it early, or None.
    """

    def __init__(
        self,
        contacts: Contacts,
        source: RowSource,
        *,
        record: Callable[[Outcome], None],
        on_outcome: OnOutcome | None,
        concurrency: int,
        compare: bool,
        read_rest: bool,
    ) -> None:
        if not isinstance(concurrency, int) or concurrency < 1:
            raise UsageError(f"concurrency is {concurrency!r}; it must be a number of at least 1")
        self._contacts = contacts
        self._source = source
        self._record = record
        self._on_outcome = on_outcome
        self._concurrency = concurrency
        self._is_compared = compare
        self._read_rest = read_rest
        self._backlog: Backlog[Upsert] = Backlog(concurrency * _LOOK_AHEAD)
        self._rows: deque[Row] = deque()  # read and not yet looked at
        self._count = 0
        self._feeder: asyncio.Task[None] | None = None
        self._busy: dict[asyncio.Task[None], Upsert] = {}
        self._cut_short: list[Outcome] = []
        self._recent: set[str] = set()  # identities applied lately, and those of the time before
        self._earlier: set[str] = set()
        self._recent_until = 0.0
        self.stopped: LeadConnectorError | None = None

    async def run(self) -> None:
        """Send all rows.

        Raises:
            Exception: What the source raised, after all rows read by then were sent; or what `on_outcome` raised, at
                once. Each row that was read has its outcome then.
        """
        try:
            await self._run_workers()
            if self.stopped is not None:
                await self._report_the_rest()
        finally:
            for outcome in self._left():
                self._record(outcome)
            await self._source.close()

    async def _run_workers(self) -> None:
        # Beside the group, not in it: where the source fails, the rows that were read are still sent.
        self._feeder = feeder = asyncio.create_task(self._feed())
        feeder.add_done_callback(lambda _: self._backlog.end())
        try:
            await self._work_together()
        finally:
            feeder.cancel()
            await asyncio.wait([feeder])
        if not feeder.cancelled():
            feeder.result()  # raises what the source raised
        elif self.stopped is None:
            raise RuntimeError("the source raised CancelledError")

    async def _work_together(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._work())
            return
        except BaseExceptionGroup as failures:
            failure = failures.exceptions[0]
        raise failure

    def stop(self, reason: LeadConnectorError) -> None:
        """Begin no further call: those in flight finish, rows not tried become `not_attempted`."""
        if self.stopped is not None:
            return
        self.stopped = reason
        _log.info("the load stops: %s", reason)
        if self._feeder is not None:
            self._feeder.cancel()
        for task, item in self._busy.items():
            item.call.is_halted = True
            if not item.call.in_flight and task is not asyncio.current_task():
                task.cancel()
        self._cut_short += [self._outcome_untried(item.index) for item in self._backlog.empty()]

    # ------------------------------------------------------------------------------------------ rows in

    async def _feed(self) -> None:
        while rows := await self._source.batch():
            self._rows.extend(rows)
            while self._rows:
                if self._backlog.is_full:
                    await self._backlog.wait_for_room()
                refused = self._admit(self._rows.popleft())
                if refused is not None:
                    await self._settle(refused)

    def _admit(self, row: Row) -> Outcome | None:
        """Check a row and queue it, or return its outcome where it cannot be sent."""
        index = self._count
        self._count += 1
        try:
            self._backlog.put(self._check(index, row))
        except InvalidContactError as error:
            return Outcome(index=index, status="failed", error=row_error(error))
        return None

    def _check(self, index: int, row: Row) -> Upsert:
        if isinstance(row, InvalidContactError):
            raise row
        contact = self._read(row)
        call = self._contacts.prepare_upsert(contact)
        return Upsert(index, identity_keys(contact, call.request.location_id), contact, call)

    def _read(self, row: ContactLike) -> ContactUpsert:
        try:
            return self._contacts.complete(row)
        except LeadConnectorError:
            raise
        except Exception as error:  # of a Mapping of the caller's, in giving up its values
            raise InvalidContactError(f"the row raised {type(error).__name__} as it was read") from error

    # ------------------------------------------------------------------------------------------ workers

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        while (item := await self._backlog.get()) is not None:
            self._busy[task] = item
            try:
                outcome = await self._send(item)
            except BaseException:
                self._cut_short.append(self._outcome_cut_short(item))
                self._backlog.done(item)
                raise
            finally:
                del self._busy[task]
            try:
                await self._settle(outcome)
            except asyncio.CancelledError:
                if task.cancelling():
                    raise
                raise RuntimeError("on_outcome raised CancelledError") from None
            self._backlog.done(item)

    async def _send(self, item: Upsert) -> Outcome:
        is_known = not (self._recent.isdisjoint(item.keys) and self._earlier.isdisjoint(item.keys))
        try:
            result = await self._contacts.finish_upsert(item.call)
        except CallError as error:
            if error.may_be_applied:
                self._remember(item.keys)
            if (
                isinstance(error, AuthenticationError | PermissionDeniedError)
                and error.status == HTTPStatus.UNAUTHORIZED
            ):
                self.stop(error)  # no other row would fare better
                return self._outcome_cut_short(item)
            is_cut_short = item.call.is_halted and is_worth_repeating(error)
            return self._outcome_cut_short(item) if is_cut_short else self._outcome_failed(item, error)
        except LeadConnectorError as error:  # the day, the token source, the client: no fault of this row's
            self.stop(error)
            return self._outcome_cut_short(item)
        self._remember(item.keys)
        is_new = result.new and not (result.is_new_by_date and is_known)
        return Outcome(
            index=item.index,
            status="created" if is_new else "updated",
            contact_id=result.contact.id,
            new=is_new,
            trace_id=result.trace_id,
            not_applied=find_not_applied(item.contact, result.contact) if self._is_compared else (),
            attempts=result.attempts,
            rate_limited=result.rate_limited,
            note=_note_of_doubt(item, result, is_new) if item.call.doubted_at is not None else None,
        )

    def _remember(self, keys: tuple[str, ...]) -> None:
        """Keep whom this load applied of late, or may have: their `dateAdded` is too young to tell whose they are."""
        now = self._contacts.client.clock.monotonic()
        if now >= self._recent_until:
            self._earlier, self._recent, self._recent_until = self._recent, set(), now + _RECENT_SECONDS
        self._recent.update(keys)

    async def _settle(self, outcome: Outcome) -> None:
        self._record(outcome)
        if self._on_outcome is not None:
            waiting = self._on_outcome(outcome)
            if waiting is not None:
                await waiting

    # ------------------------------------------------------------------------------------------ outcomes

    def _outcome_failed(self, item: Upsert, error: CallError) -> Outcome:
        is_unsafe = error.may_be_applied and not item.call.request.repeatable
        return Outcome(
            index=item.index,
            status="unknown" if is_unsafe else "failed",
            trace_id=error.trace_id if isinstance(error, APIError) else None,
            error=row_error(error),
            attempts=error.attempts,
            rate_limited=error.rate_limited,
            note=_UNSAFE_NOTE if is_unsafe else _SAFE_NOTE if error.may_be_applied else None,
        )

    def _outcome_cut_short(self, item: Upsert) -> Outcome:
        """Settle a row whose call was given up between its tries, or in the midst of one."""
        call = item.call
        is_in_doubt = call.doubted_at is not None
        return Outcome(
            index=item.index,
            status="unknown" if is_in_doubt else "not_attempted",
            error=self._stop_error(),
            attempts=call.attempts,
            rate_limited=call.rate_limited,
            note=(_SAFE_NOTE if call.request.repeatable else _UNSAFE_NOTE) if is_in_doubt else None,
        )

    def _outcome_untried(self, index: int) -> Outcome:
        return Outcome(index=index, status="not_attempted", error=self._stop_error())

    def _stop_error(self) -> RowError:
        return row_error(self.stopped or StopRequestedError("the load was cancelled"))

    # ------------------------------------------------------------------------------------------ what is left

    def _left(self) -> Iterator[Outcome]:
        """Settle the rows that were read and have no outcome, after the workers ended."""
        while self._cut_short:
            yield self._cut_short.pop()
        for item in self._backlog.empty():
            yield self._outcome_untried(item.index)
        while self._rows:
            self._rows.popleft()
            self._count += 1
            yield self._outcome_untried(self._count - 1)

    async def _report_the_rest(self) -> None:
        for outcome in self._left():
            await self._settle(outcome)
        until = asyncio.get_running_loop().time() + _REST_SECONDS
        while self._read_rest and self._source.can_read_rest and (rows := await self._batch_until(until)):
            self._rows.extend(rows)
            for outcome in self._left():
                await self._settle(outcome)

    async def _batch_until(self, until: float) -> list[Row]:
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await self._source.batch()
        except TimeoutError:
            if not limit.expired():  # the source's own
                raise
            return []


def _note_of_doubt(item: Upsert, result: UpsertResult, is_new: bool) -> str | None:
    if is_new:
        return _BY_DATE_NOTE if result.is_new_by_date else None
    return None if result.is_new_by_date is False else _MAY_BE_NEW_NOTE


async def bulk_upsert(
    contacts: Contacts,
    source: Source,
    *,
    concurrency: int,
    compare: bool,
    report: BatchReport,
    on_outcome: OnOutcome | None,
    stop: asyncio.Event | None,
) -> BatchReport:
    """Run a load to its end and fill the report, as `Contacts.bulk_upsert` says."""
    clock = contacts.client.clock
    load = Load(
        contacts,
        open_source(source),
        record=report.add,
        on_outcome=on_outcome,
        concurrency=concurrency,
        compare=compare,
        read_rest=True,
    )
    report.start(clock.time())
    watcher = asyncio.create_task(_stop_on(load, stop)) if stop is not None else None
    try:
        await load.run()
    except Exception as error:
        report.stopped = error
        raise LoadStoppedError(f"the load was ended by {type(error).__name__}: {error}", report=report) from error
    finally:
        if watcher is not None:
            watcher.cancel()
        report.stopped = report.stopped or load.stopped
        report.finish(clock.time())
    return report


async def _stop_on(load: Load, stop: asyncio.Event) -> None:
    await stop.wait()
    load.stop(StopRequestedError("the load was asked to stop"))


async def stream_upserts(
    contacts: Contacts, source: Source, *, concurrency: int, compare: bool
) -> AsyncGenerator[Outcome, None]:
    """Run a load and yield its outcomes, as `Contacts.stream_upserts` says."""
    outbox = Outbox(most=concurrency)
    load = Load(
        contacts,
        open_source(source),
        record=outbox.put,
        on_outcome=outbox.wait_for_room,
        concurrency=concurrency,
        compare=compare,
        read_rest=False,
    )
    # The workers' group needs a task of its own: a generator may be left, and closed, by another task than began it.
    task = asyncio.create_task(load.run())
    task.add_done_callback(outbox.end)
    try:
        while outcomes := await outbox.take():
            for outcome in outcomes:
                yield outcome
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])
    if load.stopped is not None:
        raise load.stopped
