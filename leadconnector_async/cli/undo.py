"""`leadconnector undo`: the contacts that a run created are deleted again."""

from __future__ import annotations

import asyncio
import math
import shlex
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, ExitStack
from typing import Final

import msgspec
from msgspec import Struct

from ..answers import clean_text
from ..client import LeadConnector
from ..errors import ConfigurationError
from ..limits import RateLimit
from ..migration.aftermath import read_end
from ..migration.rows import RowFile
from ..migration.undo import (
    UNDO_BOOK,
    UNDO_REPORT,
    UNDO_TABLE,
    Created,
    Undo,
    UndoPlan,
    UndoReport,
    conclude_undo,
    plan_undo,
    read_created,
)
from ..migration.undo_book import UndoBook
from ..models import ContactUpsert
from .asking import is_agreed, is_person_there
from .options import read_rate
from .past_runs import Pace, PastOrder, PastRun, stop_in_order
from .printing import show, tell
from .signals import calling_on_signals

_STOPPED: Final = 3
_INTERRUPTED: Final = 130
_MINUTE: Final = 60.0


class UndoOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    past: PastOrder
    is_agreed: bool
    is_forced: bool
    is_resumed: bool


async def undo(order: UndoOrder) -> int:
    """Undo a run and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was deleted.
        JournalError: The journal of the run or of the undo cannot be read or written.
    """
    stop = asyncio.Event()
    with calling_on_signals(stop_in_order(stop, asyncio.current_task())), ExitStack() as opened:
        run = PastRun(order.past, opened)
        plan = await asyncio.to_thread(plan_undo, run.journal)
        rate = read_rate(order.past.rate, order.past.daily)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(await run.make_client())
            path = run.folder / UNDO_BOOK
            if path.exists() and not order.is_resumed:
                raise ConfigurationError(f"{path}: an undo of this run was begun before; go on with --resume")
            _tell_beforehand(order, run, plan, rate)
            if not await _may_begin(order, plan, stop):
                tell("Nothing was deleted.")
                return _INTERRUPTED
            contacts = await _created(run, client)
            book = stack.enter_context(UndoBook(path))
            reason = await _work(
                order,
                Undo(client, book, ended_at=read_end(run.journal), is_forced=order.is_forced),
                plan,
                contacts,
                stop,
            )
            return _conclude(order, conclude_undo(run.folder, plan, book, reason), is_interrupted=stop.is_set())


def _tell_beforehand(order: UndoOrder, run: PastRun, plan: UndoPlan, rate: RateLimit) -> None:
    calls = plan.created * (1 if order.is_forced else 2)
    show(f"{run.folder}: {plan.created:,} contacts created in {run.place}")
    show(f"Undo deletes them, with all that belongs to them: {calls:,} calls, which take {_least_time(calls, rate)}.")
    if order.is_forced:
        show("Those that somebody changed since are deleted, too (--force).")
    else:
        show("Those that somebody changed since are kept (--force deletes them, too).")
    if plan.updated:
        show(
            f"{plan.updated:,} contacts that were there before were updated; what they held is not known, so they stay."
        )
    if plan.unknown:
        show(f"{plan.unknown:,} rows may have created contacts, which nobody knows: look them up (failed.csv).")


def _least_time(calls: int, rate: RateLimit) -> str:
    """Say how long calls to one location take at least."""
    if rate.daily is not None and calls > rate.daily:
        return f"{math.ceil(calls / rate.daily)} days at least"
    seconds = max(math.ceil(calls / rate.max_requests) - 1, 0) * rate.per_seconds
    return f"{seconds:.0f} s at least" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:.0f} minutes at least"


async def _may_begin(order: UndoOrder, plan: UndoPlan, stop: asyncio.Event) -> bool:
    """Ask, where somebody is there.

    Raises:
        ConfigurationError: Nobody is, and nothing on the command line stands for a yes.
    """
    if order.is_agreed or not plan.created:
        return True
    if not is_person_there():
        raise ConfigurationError("nobody is there to be asked whether to delete contacts; give --yes if so")
    return await is_agreed(f"Delete {plan.created:,} contacts?", stop)


async def _created(run: PastRun, client: LeadConnector) -> Iterable[Created]:
    if not run.note.has_locations:
        return read_created(run.journal)
    return read_created(run.journal, _location_of(await run.open_files(client)))


def _location_of(files: list[RowFile]) -> Callable[[int], str | None]:
    """Return what tells the location that a row names; it is asked for rows in their order."""
    numbered = enumerate(row for file in files for row in file.rows())

    def find(index: int) -> str | None:
        contact = next(row for number, row in numbered if number == index).contact
        return (contact.location_id or None) if isinstance(contact, ContactUpsert) else None

    return find


async def _work(
    order: UndoOrder, work: Undo, plan: UndoPlan, contacts: Iterable[Created], stop: asyncio.Event
) -> str | None:
    pace = Pace(plan.created, "contacts", is_wanted=order.past.is_progress_wanted)
    try:
        reason = await work.run(contacts, stop, concurrency=order.past.concurrency, on_undone=pace.count)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return "interrupted at once"
    return str(reason) if reason is not None else "interrupted" if stop.is_set() else None


def _conclude(order: UndoOrder, report: UndoReport, *, is_interrupted: bool) -> int:
    folder = order.past.folder
    counts = msgspec.structs.asdict(report)
    told = [f"{counts[name]:,} {words}" for name, words in _WORDS.items() if counts[name]]
    show(f"{report.created:,} contacts: {', '.join(told) or 'nothing to do'}")
    is_stopped = report.stopped is not None and bool(report.left or report.kept or report.failed)
    if is_stopped:
        show(f"Stopped early: {clean_text(report.stopped or '')}")
    show(f"Results: {folder}/ ({UNDO_REPORT}, {UNDO_TABLE})")
    if is_stopped:
        more = " --resume --force" if order.is_forced else " --resume"
        show(f"Next: {_command(order)}{more}")
        return _INTERRUPTED if is_interrupted else _STOPPED
    if report.kept:
        show(f"Next: look at those that were kept in {folder / UNDO_TABLE}, then: {_command(order)} --resume --force")
    return 1 if report.kept or report.failed else 0


_WORDS: Final = {
    "deleted": "deleted",
    "gone": "not there any more",
    "kept": "kept, as they changed since",
    "failed": "failed",
    "left": "left",
}


def _command(order: UndoOrder) -> str:
    past = order.past
    options = {
        "--rate": past.rate,
        "--daily": past.daily,
        "--redis": past.redis,
        "--token-file": past.token_file,
        "--store": past.login.store,
        "--client-secret-file": past.login.secret_file,
    }
    words = ["leadconnector", "undo", str(past.folder)]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(words)
