"""The two ways to run a load: to a report, and as a stream of outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar

from .contacts import Contacts
from .errors import LoadStoppedError, StopRequestedError
from .journal import Earlier, Journal
from .load import Load, Options
from .outbox import Outbox
from .report import BatchReport, OnOutcome, Outcome
from .sources import Source, open_source

T = TypeVar("T")


async def bulk_upsert(
    contacts: Contacts,
    source: Source,
    options: Options,
    *,
    report: BatchReport,
    on_outcome: OnOutcome | None,
    stop: asyncio.Event | None,
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
            earlier=earlier,
            record=_counted(contacts, report.add),
            on_outcome=on_outcome,
            on_replaced=report.take_back,
            read_rest=True,
        )
        if journal is not None:
            load.before = partial(_take_over, journal, earlier, report, on_outcome)
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
            report.finish(clock.monotonic())
    return report


def _counted(contacts: Contacts, record: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
    telemetry = contacts.client.telemetry
    return record if telemetry is None else telemetry.counting(record)


async def _begin(contacts: Contacts, options: Options, stack: AsyncExitStack) -> tuple[Journal | None, Earlier]:
    """Begin a sitting; a journal that is opened here is closed with the stack."""
    client = contacts.client
    journal = options.journal
    if journal is None:
        return None, Earlier(0, client.clock.time(), None, None)
    if not isinstance(journal, Journal):
        journal = await _in_thread(partial(Journal, journal))
        stack.push_async_callback(asyncio.to_thread, journal.close)
    whole = {"location": client.location_id or "", "target": client.host, "api_version": client.api_version}
    begin = partial(journal.begin, whole=whole, concurrency=options.concurrency, now=client.clock.time())
    return journal, await _in_thread(partial(begin, retry_failed=options.retry_failed))


async def _in_thread(work: Callable[[], T]) -> T:
    """Do what the disk may hold up in a thread. Where this is cancelled, it is done all the same before it ends."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise


async def _take_over(journal: Journal, earlier: Earlier, report: BatchReport, on_outcome: OnOutcome | None) -> None:
    """Count what earlier sittings settled, and hand on what they may not have."""
    report.sittings = earlier.sittings + 1
    await _in_thread(partial(journal.fold_into, report))
    for outcome in await _in_thread(journal.undelivered):
        if on_outcome is not None and (waiting := on_outcome(outcome)) is not None:
            await waiting


async def _stop_on(load: Load, stop: asyncio.Event) -> None:
    await stop.wait()
    load.stop(StopRequestedError("the load was asked to stop"))


async def stream_upserts(contacts: Contacts, source: Source, options: Options) -> AsyncGenerator[Outcome, None]:
    """Run a load and yield its outcomes, as `Contacts.stream_upserts` says."""
    outbox = Outbox(most=options.concurrency)
    rows = open_source(source)
    async with AsyncExitStack() as stack:
        journal, earlier = await _begin(contacts, options, stack)
        if journal is not None:
            for outcome in await _in_thread(journal.undelivered):
                yield outcome
        load = Load(
            contacts,
            rows,
            options,
            journal=journal,
            earlier=earlier,
            record=_counted(contacts, outbox.put),
            on_outcome=outbox.wait_for_room if journal is None else None,
            on_group=outbox.wait_until_taken,
            on_replaced=lambda _: None,
            read_rest=False,
        )
        # The workers' group needs a task of its own: another task than began it may leave a generator, and close it.
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
