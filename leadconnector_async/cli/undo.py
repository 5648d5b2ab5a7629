"""`leadconnector undo`: delete what a run created, and restore what it updated where the run kept it."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError
from ..limits.limit import RateLimit
from ..migration.migration import Migration
from ..migration.undo import UNDO_REPORT, UNDO_TABLE, UndoPlan, UndoReport
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from .options import read_rate
from .past_runs import Pace, PastOrder, describe_place, make_client, open_run
from .terminal import INTERRUPTED, STOPPED, is_agreed, is_person_there, show, show_document, stopping_in_order, tell

_MINUTE: Final = 60.0
_MOST_KINDS: Final = 15  # of changes that are shown


class UndoOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    past: PastOrder
    is_agreed: bool
    is_forced: bool
    includes_inferred: bool
    is_resumed: bool


async def undo(order: UndoOrder) -> int:
    """Undo a run and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was deleted.
        JournalError: The journal of the run or of the undo cannot be read or written.
    """
    stop, past = asyncio.Event(), order.past
    with stopping_in_order(stop):
        async with AsyncExitStack() as stack:
            run = stack.enter_context(await open_run(past.folder))
            run.use(await stack.enter_async_context(await make_client(run, past)))
            if run.is_undo_begun and not order.is_resumed:
                raise ConfigurationError(
                    f"{past.folder}: an undo of this run has already started; continue it with --resume"
                )
            plan = await run.plan_undo()
            _tell_beforehand(order, run, plan, read_rate(past.rate, past.daily))
            if not await _may_begin(order, plan, stop, restores=run.restores):
                tell("Nothing was deleted or restored.")
                return INTERRUPTED
            pace = Pace("contacts", is_wanted=past.is_progress_wanted)
            report = await run.undo(
                force=order.is_forced,
                include_inferred=order.includes_inferred,
                stop=stop,
                concurrency=past.concurrency,
                on_start=pace.begin,
                on_undone=pace.count,
            )
            return _conclude(order, report, is_interrupted=stop.is_set())


def _tell_beforehand(order: UndoOrder, run: Migration, plan: UndoPlan, rate: RateLimit) -> None:
    calls = _count_to_delete(order, plan) * (1 if order.is_forced else 2)
    show(f"{run.folder}: {count_of(plan.created, 'contact')} created in {describe_place(run)}")
    show(f"Undo deletes them with everything that belongs to them: {_calls_take(calls, rate)}.")
    if plan.created:
        _tell_of_changed(order)
    if plan.inferred:
        _tell_of_inferred(order, plan)
    if plan.updated and run.restores:
        _tell_of_restoring(order, plan, rate)
    elif plan.updated:
        updated = count_of(plan.updated, "contact that already existed was", "contacts that already existed were")
        show(f"{updated} updated; the load did not keep what they held before, so they stay as they are.")
    if plan.unknown:
        rows = count_of(plan.unknown, "row")
        show(f"{rows} may have created contacts, but no answer says so: look them up (failed.csv).")


def _count_to_delete(order: UndoOrder, plan: UndoPlan) -> int:
    return plan.created if order.includes_inferred else plan.created - plan.inferred


def _tell_of_inferred(order: UndoOrder, plan: UndoPlan) -> None:
    what = (
        "are deleted too (--include-inferred)"
        if order.includes_inferred
        else "are kept (--include-inferred deletes them too)"
    )
    show(
        f"{plan.inferred:,} of them may be somebody else's, because no answer confirmed that the run created them: "
        f"they {what}."
    )


def _tell_of_changed(order: UndoOrder) -> None:
    if order.is_forced:
        show("Those that somebody has changed since are deleted too (--force).")
    else:
        show("Those that somebody has changed since are kept (--force deletes them too).")


def _tell_of_restoring(order: UndoOrder, plan: UndoPlan, rate: RateLimit) -> None:
    calls = 2 * plan.updated
    updated = count_of(plan.updated, "contact that already existed was", "contacts that already existed were")
    show(
        f"{updated} updated. Undo restores the fields that the run sent: "
        f"{_calls_take(calls, rate)}, and three more for each company that changed."
    )
    if order.is_forced:
        show("Fields that somebody has changed since are restored too (--force).")
    else:
        show("Fields that somebody has changed since are kept and reported (--force restores them too).")
    show(
        "Not undone: notes, tasks and workflows that the run caused, and fields that cannot be changed through the API."
    )


def _calls_take(calls: int, rate: RateLimit) -> str:
    return f"{count_of(calls, 'call, which takes', 'calls, which take')} {_least_time(calls, rate)}"


def _least_time(calls: int, rate: RateLimit) -> str:
    """Say how long calls to one location take at least."""
    if rate.daily is not None and calls > rate.daily:
        return f"at least {count_of(math.ceil(calls / rate.daily), 'day')}"
    seconds = max(math.ceil(calls / rate.max_requests) - 1, 0) * rate.per_seconds
    minutes = count_of(round(seconds / _MINUTE), "minute")
    return f"at least {seconds:.0f} s" if seconds < 2 * _MINUTE else f"at least {minutes}"


async def _may_begin(order: UndoOrder, plan: UndoPlan, stop: asyncio.Event, *, restores: bool) -> bool:
    """Ask, where somebody is there.

    Raises:
        ConfigurationError: Nobody is, and nothing on the command line stands for a yes.
    """
    updated = plan.updated if restores else 0
    if order.is_agreed or not (_count_to_delete(order, plan) or updated):
        return True
    if not is_person_there():
        what = "delete contacts" if not updated else "delete and restore contacts"
        raise ConfigurationError(f"this would {what}, and there is no terminal to ask on; give --yes to agree")
    counts = (("delete", _count_to_delete(order, plan)), ("restore", updated))
    parts = [f"{verb} {count_of(count, 'contact')}" for verb, count in counts if count]
    question = " and ".join(parts)
    return await is_agreed(f"{question[0].upper()}{question[1:]}?", stop)


def _conclude(order: UndoOrder, report: UndoReport, *, is_interrupted: bool) -> int:
    folder = order.past.folder
    counts = msgspec.structs.asdict(report)
    show_document({"folder": str(folder), **counts})
    counts["kept"] -= report.inferred
    told = [f"{counts[name]:,} {words}" for name, words in _WORDS.items() if counts[name]]
    show(f"{count_of(report.created + report.updated, 'contact')}: {', '.join(told) or 'nothing to do'}")
    is_stopped = report.stopped is not None and not report.is_done
    if is_stopped:
        show(f"Stopped early: {clean_text(report.stopped or '')}")
    _show_changes(order, report)
    if report.fields_left:
        names = clean_text(", ".join(report.fields_left))
        show(
            f"Left in place: the custom fields that the run created ({names}). You can delete them in the location's "
            "settings."
        )
    show(f"Results: {folder}/ ({UNDO_REPORT}, {UNDO_TABLE})")
    if is_stopped:
        show(f"Next: {_command(order)} --resume{' --force' * order.is_forced}")
        return INTERRUPTED if is_interrupted else STOPPED
    _tell_of_kept(order, report)
    return 0 if report.is_done else 1


def _show_changes(order: UndoOrder, report: UndoReport) -> None:
    """Show what others changed, by kind: workflows touch contacts soon after they are created."""
    if not report.changes:
        return
    show("What has changed since the run last wrote to these contacts (one may count more than once):")
    kinds = list(report.changes.items())
    for change, count in kinds[:_MOST_KINDS]:
        show(f"  {count:,} x {clean_text(change)}")
    if len(kinds) > _MOST_KINDS:
        show(f"  and {count_of(len(kinds) - _MOST_KINDS, 'more kind')} of change, see {UNDO_TABLE}")
    if not order.is_forced:
        show("If your own workflows made these changes, --force undoes these contacts too.")


def _tell_of_kept(order: UndoOrder, report: UndoReport) -> None:
    more = ""
    if report.kept > report.inferred or (report.partly and not order.is_forced):
        more += " --force"
    if report.inferred:
        more += " --include-inferred"
    if more:
        table = order.past.folder / UNDO_TABLE
        show(f"Next: see in {table} what was kept and why, then: {_command(order)} --resume{more}")


_WORDS: Final = {
    "deleted": "deleted",
    "restored": "restored",
    "same": "already as before",
    "gone": "already gone",
    "kept": "kept because they have changed since",
    "inferred": "kept because no answer confirmed that the run created them",
    "partly": "restored in part",
    "unseen": "kept because what they held before is not known",
    "failed": "failed",
    "left": "left",
}


def _command(order: UndoOrder) -> str:
    return order.past.describe("undo", *["--include-inferred"] * order.includes_inferred)
