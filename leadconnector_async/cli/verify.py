"""`leadconnector verify`: what a run sent, compared with what is stored."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Final

import msgspec
from msgspec import Struct

from ..client import LeadConnector
from ..errors import ConfigurationError
from ..migration.books import TAGS, read_missing
from ..migration.phones import tell_of_phones
from ..migration.tagging import mark_missing
from ..migration.verify import (
    VERIFY_REPORT,
    VERIFY_TABLE,
    Meetings,
    Sample,
    Verification,
    VerifyReport,
    describe_confidence,
    group_by_contact,
    most_differing,
    read_end,
)
from ..protocol.answers import clean_text
from .past_runs import Pace, PastOrder, PastRun, stop_in_order
from .terminal import INTERRUPTED, STOPPED, calling_on_signals, show, show_document

_MOST_REASONS: Final = 12


class VerifyOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    past: PastOrder
    sample: Sample


async def verify(order: VerifyOrder) -> int:
    """Verify a run and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong, or a result cannot be written.
        JournalError: The journal of the run cannot be read.
    """
    stop = asyncio.Event()
    with calling_on_signals(stop_in_order(stop, asyncio.current_task())), ExitStack() as opened:
        run = PastRun(order.past, opened)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(await run.make_client())
            try:
                report = await _verify(order, run, client, stop)
                report.write(run.folder)
            except OSError as error:
                raise ConfigurationError(f"{run.folder}: cannot hold the results ({error.strerror or error})") from None
        return _conclude(order, run, report, is_interrupted=stop.is_set())


async def _verify(order: VerifyOrder, run: PastRun, client: LeadConnector, stop: asyncio.Event) -> VerifyReport:
    files = await run.open_files(client)
    book = run.open_phones()
    sending = run.open_sending(client, book)
    with await asyncio.to_thread(Meetings, run.journal.outcomes()) as meetings:
        adds_tags = run.journal.told("tags") == "add"
        work = Verification(client, run.folder, ended_at=read_end(run.journal), adds_tags=adds_tags)
        picked = order.sample.pick(meetings.total)
        wanted = meetings.total if picked is None else len(picked)
        pace = Pace(wanted, "rows", is_wanted=order.past.is_progress_wanted)
        told = run.journal.outcomes() if book is None else tell_of_phones(run.journal.outcomes(), book)
        outcomes = mark_missing(told, await asyncio.to_thread(read_missing, run.folder / TAGS))
        groups = group_by_contact(files, outcomes, meetings, picked, sending, adds_tags=adds_tags)
        stopped = None
        try:
            reason = await work.run(groups, stop, concurrency=order.past.concurrency, on_compared=pace.count)
            stopped = str(reason) if reason is not None else "interrupted" if stop.is_set() else None
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            stopped = "interrupted at once"
        return _report(work, meetings.total, wanted, stopped, is_sample=picked is not None)


def _report(work: Verification, loaded: int, wanted: int, stopped: str | None, *, is_sample: bool) -> VerifyReport:
    tally = work.tally
    is_told = is_sample and stopped is None and tally.compared > 0
    return VerifyReport(
        loaded=loaded,
        wanted=wanted,
        compared=tally.compared,
        differing=tally.differing,
        unread=tally.unread,
        overwritten=tally.overwritten,
        reasons=sorted((*key, count) for key, count in tally.reasons.items()),
        most_differing=most_differing(tally.differing, tally.compared) if is_told else None,
        stopped=stopped,
    )


def _conclude(order: VerifyOrder, run: PastRun, report: VerifyReport, *, is_interrupted: bool) -> int:
    show_document({"folder": str(run.folder), **msgspec.structs.asdict(report)})
    rows = "all" if report.compared == report.loaded else f"{report.compared:,} of"
    show(f"{run.folder}: {rows} {report.loaded:,} rows that were loaded compared with {run.place}")
    if report.differing:
        show(f"{report.differing:,} {'row differs' if report.differing == 1 else 'rows differ'}:")
    elif not report.unread and report.stopped is None:
        show("No difference.")
    for field, reason, count in report.reasons[:_MOST_REASONS]:
        show(f"  {count:,} x {clean_text(f'{field} {reason}'.strip())}")
    if len(report.reasons) > _MOST_REASONS:
        show(f"  and {len(report.reasons) - _MOST_REASONS} more kinds")
    if report.unread:
        show(f"The contacts of {report.unread:,} rows could not be read.")
    if report.overwritten:
        stand = "row stands" if report.overwritten == 1 else "rows stand"
        show(f"{report.overwritten:,} {stand} as other rows of the same person have it.")
    if report.most_differing is not None:
        sentence = describe_confidence(report.differing, report.compared)
        show(f"{sentence[:1].upper()}{sentence[1:]}.")
    show(f"Results: {run.folder}/ ({VERIFY_REPORT}, {VERIFY_TABLE})")
    if report.stopped is not None:
        show(f"Stopped early: {clean_text(report.stopped)}")
        words = () if order.sample == Sample() else ("--sample", str(order.sample))
        show(f"Next: {order.past.describe('verify', *words)}")
        return INTERRUPTED if is_interrupted else STOPPED
    return 1 if report.differing or report.unread else 0
