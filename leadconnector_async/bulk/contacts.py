"""client.contacts: all that can be done with contacts, many at once included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..calls.caller import Caller
from ..contacts.contacts import ContactOperations
from ..errors import LeadConnectorError, StopRequestedError
from .brake import Brake, MaxFailures, read_max_failures
from .delivery import OutcomeBuffer
from .load import Load, Options
from .report import BatchReport, LoadStoppedError, OnOutcome, Outcome
from .run_log import Earlier, LastCalls, OpenRunLog, RunLog
from .source import Source, open_source
from .threads import in_thread, open_in_thread

if TYPE_CHECKING:
    from ..rules.checks import Checks

# ---------------------------------------------------------------------------------------------- the two ways to load


async def bulk_upsert(
    contacts: Contacts,
    source: Source,
    options: Options,
    *,
    report: BatchReport,
    on_outcome: OnOutcome | None,
    stop: asyncio.Event | None,
    max_failures: MaxFailures | None = None,
) -> BatchReport:
    """Run a load to its end and fill the report, as `Contacts.bulk_upsert` says."""
    clock = contacts.client.clock
    rows = open_source(source)
    async with AsyncExitStack() as stack:
        journal, earlier = await _begin(contacts, options, stack)
        load = Load(
            contacts,
            rows,
            options,
            journal=journal,
            record=_braked(_counted(contacts, report.add), max_failures, lambda reason: load.stop(reason)),
            on_outcome=on_outcome,
            on_replaced=report.take_back,
            on_standing=report.take_back_calls,
            on_known=partial(_hand_again, report, on_outcome),
            read_rest=True,
        )
        load.breaker.on_pause = partial(setattr, report, "paused")
        if journal is not None:
            load.before = partial(_take_over, journal, earlier, report, on_outcome)
        for location_id, why in report.closed_locations.items():
            load.close_location(location_id, why)
        report.location_id, report.host = contacts.client.location_id, contacts.client.host
        report.start(earlier.began_at, now=clock.time(), monotonic=clock.monotonic())
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
            report.closed_locations = load.closed
            report.add_count(load.other_calls)
            report.finish(clock.monotonic())
    return report


def _hand_again(report: BatchReport, on_outcome: OnOutcome | None, outcome: Outcome) -> Awaitable[None] | None:
    report.put_again(outcome)
    return None if on_outcome is None else on_outcome(outcome)


def _braked(
    record: Callable[[Outcome], None],
    max_failures: MaxFailures | None,
    stop: Callable[[LeadConnectorError], None],
) -> Callable[[Outcome], None]:
    """Return what records outcomes and stops the load where too many fail."""
    if max_failures is None:
        return record
    brake = Brake(max_failures)

    def braked(outcome: Outcome) -> None:
        record(outcome)
        if (reason := brake.note(outcome)) is not None:
            stop(reason)

    return braked


def _counted(contacts: Contacts, record: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
    telemetry = contacts.client.telemetry
    if telemetry is None:
        return record

    def counted(outcome: Outcome) -> None:
        telemetry.count_outcome(outcome.status)
        record(outcome)

    return counted


async def _begin(contacts: Contacts, options: Options, stack: AsyncExitStack) -> tuple[RunLog | None, Earlier]:
    """Begin a session; a journal that is opened here is closed with the stack."""
    client = contacts.client
    journal = options.journal
    if journal is None:
        return None, Earlier(0, client.clock.time())
    if isinstance(journal, str | Path):
        journal = await open_in_thread(partial(contacts.open_run_log, journal))
        stack.push_async_callback(in_thread, journal.close)
    whole = {"location": client.location_id or "", "target": client.target, "api_version": client.api_version}
    begin = partial(journal.begin, whole=whole, concurrency=options.concurrency, now=client.clock.time())
    earlier = await in_thread(partial(begin, retry_failed=options.retry_failed))
    leave_used_slots(client, earlier.last_calls)
    return journal, earlier


def leave_used_slots(client: Caller, last_calls: LastCalls) -> None:
    """Have a client leave the slots that another process used within the last window, so that both together stay
    below the limit."""
    if client.rate_limit is not None:
        slots = last_calls.slots(client.clock.time(), client.rate_limit.per_seconds)
        client.assume_used(*slots, location_id=last_calls.location_id)


async def _take_over(journal: RunLog, earlier: Earlier, report: BatchReport, on_outcome: OnOutcome | None) -> None:
    """Count the outcomes of earlier sessions, and hand on those that they may not have handed on."""
    report.sessions = earlier.sessions + 1
    await in_thread(partial(journal.fold_into, report))
    for outcome in await in_thread(journal.undelivered):
        if on_outcome is not None and (waiting := on_outcome(outcome)) is not None:
            await waiting


async def _stop_on(load: Load, stop: asyncio.Event) -> None:
    await stop.wait()
    load.stop(StopRequestedError("the load was asked to stop"))


async def stream_upserts(contacts: Contacts, source: Source, options: Options) -> AsyncGenerator[Outcome, None]:
    """Run a load and yield its outcomes, as `Contacts.stream_upserts` says."""
    buffer = OutcomeBuffer(most=options.concurrency)
    rows = open_source(source)
    async with AsyncExitStack() as stack:
        journal, _ = await _begin(contacts, options, stack)
        if journal is not None:
            for outcome in await in_thread(journal.undelivered):
                yield outcome
        load = Load(
            contacts,
            rows,
            options,
            journal=journal,
            record=_counted(contacts, buffer.put),
            on_outcome=buffer.wait_for_room if journal is None else None,
            on_group=buffer.wait_until_taken,
            on_replaced=lambda _: None,
            on_standing=lambda _: None,
            on_known=buffer.put_and_wait,
            read_rest=False,
        )
        # The workers' group needs a task of its own: another task than began it may leave a generator, and close it.
        task = asyncio.create_task(load.run())
        task.add_done_callback(buffer.end)
        try:
            while outcomes := await buffer.take():
                for outcome in outcomes:
                    yield outcome
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])
    if load.stopped is not None:
        raise load.stopped


class Contacts(ContactOperations):
    """The contacts of the client's locations. Reached as `client.contacts`.

    Attributes:
        campaigns: The campaigns that contacts are in.
        followers: The users who follow contacts.
        notes: Notes on contacts.
        tags: Tags of one contact, and of many at once.
        tasks: Tasks of contacts.
        workflows: The workflows that contacts are in.
    """

    def __init__(self, caller: Caller, open_run_log: OpenRunLog) -> None:
        super().__init__(caller)
        self.open_run_log = open_run_log

    async def bulk_upsert(
        self,
        contacts: Source,
        *,
        concurrency: int | None = None,
        compare: bool = True,
        on_outcome: OnOutcome | None = None,
        keep_outcomes: bool = True,
        report: BatchReport | None = None,
        stop: asyncio.Event | None = None,
        journal: RunLog | str | Path | None = None,
        retry_failed: bool = False,
        wait_for_quota: bool = False,
        coalesce: bool = False,
        max_failures: int | str | MaxFailures | None = None,
        checks: Checks | None = None,
    ) -> BatchReport:
        """Upsert many contacts at once, under the rate limit.

        Rows that share an email or phone are applied in their order, all others as they come. A row that cannot be sent
        or is refused is an outcome `failed`; the load goes on. It stops only for a refused token, a spent day, a
        service that answers nothing but 429, or `stop`; `report.stopped` then says why, and rows not tried are
        `not_attempted` (a sync source is read on for that, for ten seconds at most; an async one is not).

        A location that refuses all calls (403, 404), has no token or a spent day ends for itself: its rows are
        `not_attempted`, others go on, and `report.closed_locations` says why. While no location is known that takes
        calls, a list is read to its end to find one, and any other source for ten seconds at most.

        Args:
            contacts: Iterable or async iterable of contacts or dicts, or of `Row`s, which bring something along that
                comes back as `outcome.ref`. A sync one (other than a list) is pulled in a thread of its own, in small
                batches; a SQLite connection must allow that (`check_same_thread=False`).
            concurrency: Rows in flight at most; the client's by default.
            compare: Whether to compare what was sent with what the service says it stored (`outcome.not_applied`).
            on_outcome: Called with each outcome as it comes; what it returns is awaited.
            keep_outcomes: Whether `report.outcomes` holds one entry a row.
            report: Where to count, to have it at hand when this call is cancelled; a new one by default.
            stop: Set it to end the load in order: calls in flight finish, no further one begins.
            journal: A file that keeps what became of each row, or a `Journal`. Run the same load with the same file
                again, after whatever ended it, and it goes on: rows that are done are not sent again, the report covers
                all runs. Rows are known by position and content: a row that is another one now is sent. Each outcome is
                on disk before it is counted or handed to `on_outcome`; the last ones may be handed over twice.
            retry_failed: Whether to send rows once more that failed in an earlier run with this journal. They are then
                applied after rows of the same person that came later; `outcome.note` says so.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent, in place of stopping.
            coalesce: Whether one call may send several rows of the same person that wait, where that cannot change what
                is stored in the end (`outcome.merged_into`, `report.merged`). Up to 10,000 rows are read ahead for it.
                Leave it off where a workflow must see each step.
            max_failures: Stop once so many of the rows that were sent have failed; or, written `"5%"`, once more than
                that share of them has, and at least 50 were sent. Each session of a journal counts anew. None: never.
            checks: Check the values of each row before it is sent, as `check_contact` does; what they find stands in
                `outcome.problems`. None sends values as they stand.

        Returns:
            The report; its outcomes are in the order of the rows.

        Raises:
            LoadStoppedError: The source or `on_outcome` raised; carries the report, and the reason as `__cause__`.
            asyncio.CancelledError: Cancelled; `report`, where given, says what became of each row that was read.
        """
        if report is None:
            report = BatchReport(keep_outcomes=keep_outcomes)
        options = Options(
            concurrency=concurrency or self.client.concurrency,
            compare=compare,
            journal=journal,
            retry_failed=retry_failed,
            wait_for_quota=wait_for_quota,
            coalesce=coalesce,
            checks=checks,
        )
        return await bulk_upsert(
            self,
            contacts,
            options,
            report=report,
            on_outcome=on_outcome,
            stop=stop,
            max_failures=read_max_failures(max_failures),
        )

    def stream_upserts(
        self,
        contacts: Source,
        *,
        concurrency: int | None = None,
        compare: bool = True,
        journal: RunLog | str | Path | None = None,
        retry_failed: bool = False,
        wait_for_quota: bool = False,
        coalesce: bool = False,
        checks: Checks | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Upsert contacts from a source without end, yielding outcomes as they come, in constant memory.

        A service that cannot be reached is waited for, as long as the retry policy says (`max_outage`), also where it
        never was.

        A consumer that is slower than the service slows the load. Leaving the loop early cancels the calls in flight:
        close the generator (`contextlib.aclosing`) to have that happen at once.

        Args:
            contacts: As in `bulk_upsert`.
            concurrency: Rows in flight at most; the client's by default.
            compare: As in `bulk_upsert`.
            journal, retry_failed, wait_for_quota: As in `bulk_upsert`. Outcomes that an earlier run yielded are not
                yielded again, but for the last ones where it was cut off, and those of rows that come with a `ref`.
            coalesce, checks: As in `bulk_upsert`.

        Yields:
            One outcome for each row that was read, in the order in which they finish. With a journal it is on disk by
            then. Acknowledge a message when its outcome comes: what was not acknowledged as a process died is delivered
            and sent once more, so that each message is applied at least once.

        Raises:
            LeadConnectorError: What stopped the load (a refused token, a spent day), or the first of its locations that
                took no more calls, after the last outcome.
            Exception: What the source raised, after the outcomes of the rows read by then.
        """
        options = Options(
            concurrency=concurrency or self.client.concurrency,
            compare=compare,
            journal=journal,
            retry_failed=retry_failed,
            wait_for_quota=wait_for_quota,
            coalesce=coalesce,
            checks=checks,
            is_endless=True,
        )
        return stream_upserts(self, contacts, options)
