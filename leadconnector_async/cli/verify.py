"""`leadconnector verify`: what a run sent, compared with what is stored."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from msgspec import Struct

from ..migration.migration import Migration
from ..migration.verify import VERIFY_REPORT, VERIFY_TABLE, Sample, VerifyReport, describe_confidence
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from .past_runs import Pace, PastOrder, describe_place, make_client, open_run
from .terminal import INTERRUPTED, STOPPED, show, show_document, stopping_in_order

_MOST_REASONS: Final = 12


class VerifyOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    past: PastOrder
    sample: Sample


async def verify(order: VerifyOrder) -> int:
    """Verify a run and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong, or a result cannot be written.
        JournalError: The run cannot be read.
    """
    stop, past = asyncio.Event(), order.past
    with stopping_in_order(stop):
        async with AsyncExitStack() as stack:
            run = stack.enter_context(await open_run(past.folder))
            run.use(await stack.enter_async_context(await make_client(run, past)))
            pace = Pace("rows", is_wanted=past.is_progress_wanted)
            report = await run.verify(
                sample=order.sample,
                stop=stop,
                concurrency=past.concurrency,
                on_start=pace.begin,
                on_compared=pace.count,
            )
            return _conclude(order, run, report, is_interrupted=stop.is_set())


def _conclude(order: VerifyOrder, run: Migration, report: VerifyReport, *, is_interrupted: bool) -> int:
    show_document({"folder": str(run.folder), **msgspec.structs.asdict(report)})
    rows = "all" if report.compared == report.loaded else f"{report.compared:,} of"
    show(f"{run.folder}: {rows} {report.loaded:,} loaded rows compared with {describe_place(run)}")
    if report.differing:
        show(f"{report.differing:,} {'row differs' if report.differing == 1 else 'rows differ'}:")
    elif not report.unread and report.stopped is None:
        show("No differences.")
    for field, reason, count in report.reasons[:_MOST_REASONS]:
        show(f"  {count:,} x {clean_text(f'{field} {reason}'.strip())}")
    if len(report.reasons) > _MOST_REASONS:
        show(f"  and {count_of(len(report.reasons) - _MOST_REASONS, 'more kind')}")
    if report.unread:
        show(f"The contacts of {count_of(report.unread, 'row')} could not be read.")
    if report.overwritten:
        rows = "row was" if report.overwritten == 1 else "rows were"
        show(f"{report.overwritten:,} {rows} overwritten by another row of the same person, as intended.")
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
