"""`leadconnector undo`: what a run created is deleted, and what it updated is restored where the run kept it."""

from __future__ import annotations

import asyncio
import math
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..bulk.report import Outcome
from ..client import LeadConnector
from ..errors import ConfigurationError, LeadConnectorError
from ..limits.limit import RateLimit
from ..migration.before import BEFORE, SNAPSHOT, Snapshot, StoredContacts
from ..migration.books import UndoBook
from ..migration.mapping.rows import RowFile
from ..migration.restore import Restore, assume_met
from ..migration.sweep import Access
from ..migration.undo import (
    UNDO_BOOK,
    UNDO_REPORT,
    UNDO_TABLE,
    Created,
    Undo,
    UndoPlan,
    UndoReport,
    conclude_undo,
    correct_plan,
    plan_undo,
    read_created,
)
from ..migration.verify import Meetings, group_by_contact
from ..models import ContactUpsert
from ..protocol.answers import clean_text
from .options import read_rate
from .past_runs import Pace, PastOrder, PastRun, stop_in_order
from .terminal import INTERRUPTED, STOPPED, calling_on_signals, is_agreed, is_person_there, show, show_document, tell

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
    stop = asyncio.Event()
    with calling_on_signals(stop_in_order(stop, asyncio.current_task())), ExitStack() as opened:
        run = PastRun(order.past, opened)
        rate = read_rate(order.past.rate, order.past.daily)
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(await run.make_client())
            path = run.folder / UNDO_BOOK
            if path.exists() and not order.is_resumed:
                raise ConfigurationError(f"{path}: an undo of this run was begun before; go on with --resume")
            past = await _open_past(run, client, opened)
            plan = await asyncio.to_thread(past.plan)
            restores = past.snapshot is not None
            _tell_beforehand(order, run, plan, rate, restores=restores)
            if not await _may_begin(order, plan, stop, restores=restores):
                tell("Nothing was deleted or restored.")
                return INTERRUPTED
            book = stack.enter_context(UndoBook(path))
            access = Access(client)
            work = Undo(
                client,
                book,
                run.journal,
                access,
                is_forced=order.is_forced,
                includes_inferred=order.includes_inferred,
            )
            reason = await _work(order, work, plan.created, past.created(), stop)
            if past.snapshot is not None and reason in (None, _words_of(access.reason)):
                reason = await _restore(order, past, book, past.snapshot, access, stop, plan.updated)
            report = conclude_undo(run.folder, plan, book, reason, restores=restores, fields_left=run.fields_made)
            return _conclude(order, report, is_interrupted=stop.is_set())


class _Past(Struct, frozen=True):
    """What a run has left.

    Attributes:
        run: It.
        client: Of the service that it loaded into; it is open.
        files: What was loaded; empty where nobody needs to know.
        snapshot: What contacts were before, where it kept that.
        stored: What locations held, likewise.
    """

    run: PastRun
    client: LeadConnector
    files: list[RowFile]
    snapshot: Snapshot | None
    stored: StoredContacts | None

    def plan(self) -> UndoPlan:
        plan = plan_undo(self.run.journal, self.outcomes())
        return plan if self.snapshot is None else correct_plan(plan, filter(self._was_there, self._told_created()))

    def outcomes(self) -> Iterator[Outcome]:
        found = self.run.journal.outcomes()
        if self.stored is None:
            return found
        return assume_met(self.files, found, self.stored, self.client.location_id or "")

    def created(self) -> Iterator[Created]:
        return (created for created in self._told_created() if not self._was_there(created))

    def _told_created(self) -> Iterator[Created]:
        journal = self.run.journal
        return read_created(journal, _location_of(self.files)) if self.run.note.has_locations else read_created(journal)

    def _was_there(self, created: Created) -> bool:
        location_id = created.location_id or self.client.location_id or ""
        return self.snapshot is not None and self.snapshot.was_there(location_id, created.contact_id)


async def _open_past(run: PastRun, client: LeadConnector, opened: ExitStack) -> _Past:
    snapshot = stored = None
    if (run.folder / SNAPSHOT).is_file():
        stored = opened.enter_context(StoredContacts(run.folder / BEFORE))
        snapshot = opened.enter_context(Snapshot(run.folder, stored))
    needs_files = snapshot is not None or run.note.has_locations
    return _Past(run, client, await run.open_files(client) if needs_files else [], snapshot, stored)


def _tell_beforehand(order: UndoOrder, run: PastRun, plan: UndoPlan, rate: RateLimit, *, restores: bool) -> None:
    calls = _count_to_delete(order, plan) * (1 if order.is_forced else 2)
    show(f"{run.folder}: {plan.created:,} contacts created in {run.place}")
    show(f"Undo deletes them, with all that belongs to them: {calls:,} calls, which take {_least_time(calls, rate)}.")
    if plan.created:
        _tell_of_changed(order)
    if plan.inferred:
        _tell_of_inferred(order, plan)
    if plan.updated and restores:
        _tell_of_restoring(order, plan, rate)
    elif plan.updated:
        show(
            f"{plan.updated:,} contacts that were there before were updated; what they held is not known, so they stay."
        )
    if plan.unknown:
        show(f"{plan.unknown:,} rows may have created contacts, which nobody knows: look them up (failed.csv).")


def _count_to_delete(order: UndoOrder, plan: UndoPlan) -> int:
    return plan.created if order.includes_inferred else plan.created - plan.inferred


def _tell_of_inferred(order: UndoOrder, plan: UndoPlan) -> None:
    what = (
        "are deleted, too (--include-inferred)"
        if order.includes_inferred
        else "are kept (--include-inferred deletes them, too)"
    )
    show(f"{plan.inferred:,} of them may be somebody else's, as no answer said that the run created them: they {what}.")


def _tell_of_changed(order: UndoOrder) -> None:
    if order.is_forced:
        show("Those that somebody changed since are deleted, too (--force).")
    else:
        show("Those that somebody changed since are kept (--force deletes them, too).")


def _tell_of_restoring(order: UndoOrder, plan: UndoPlan, rate: RateLimit) -> None:
    calls = 2 * plan.updated
    show(
        f"{plan.updated:,} contacts that were there before were updated. Undo makes the fields that the run sent what "
        f"they were: {calls:,} calls, which take {_least_time(calls, rate)}, and three more where a company changed."
    )
    if order.is_forced:
        show("Fields that somebody changed since go back, too (--force).")
    else:
        show("Fields that somebody changed since stay, and are told (--force restores them, too).")
    show("Not undone: notes, tasks and workflows that came of the run, and fields that the service lets nobody change.")


def _least_time(calls: int, rate: RateLimit) -> str:
    """Say how long calls to one location take at least."""
    if rate.daily is not None and calls > rate.daily:
        return f"{math.ceil(calls / rate.daily)} days at least"
    seconds = max(math.ceil(calls / rate.max_requests) - 1, 0) * rate.per_seconds
    return f"{seconds:.0f} s at least" if seconds < 2 * _MINUTE else f"{seconds / _MINUTE:.0f} minutes at least"


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
        raise ConfigurationError(f"nobody is there to be asked whether to {what}; give --yes if so")
    counts = (("delete", _count_to_delete(order, plan)), ("restore", updated))
    parts = [f"{verb} {count:,} contacts" for verb, count in counts if count]
    question = " and ".join(parts)
    return await is_agreed(f"{question[0].upper()}{question[1:]}?", stop)


def _location_of(files: list[RowFile]) -> Callable[[int], str | None]:
    """Return what tells the location that a row names; it is asked for rows in their order."""
    numbered = enumerate(row for file in files for row in file.rows())

    def find(index: int) -> str | None:
        contact = next(row for number, row in numbered if number == index).contact
        return (contact.location_id or None) if isinstance(contact, ContactUpsert) else None

    return find


async def _restore(
    order: UndoOrder,
    past: _Past,
    book: UndoBook,
    snapshot: Snapshot,
    access: Access,
    stop: asyncio.Event,
    count: int,
) -> str | None:
    """Restore what was updated; return what ended it early, or None."""
    run = past.run
    adds_tags = run.journal.told("tags") == "add"
    with await asyncio.to_thread(Meetings, past.outcomes()) as meetings:
        sending = run.open_sending(past.client, run.open_phones())
        groups = group_by_contact(past.files, past.outcomes(), meetings, None, sending, adds_tags=adds_tags)
        work = Restore(past.client, book, snapshot, run.journal, access, adds_tags=adds_tags, is_forced=order.is_forced)
        return await _work(order, work, count, groups, stop)


async def _work(
    order: UndoOrder, work: Undo | Restore, count: int, contacts: Iterable[Any], stop: asyncio.Event
) -> str | None:
    pace = Pace(count, "contacts", is_wanted=order.past.is_progress_wanted)
    try:
        reason = await work.run(contacts, stop, concurrency=order.past.concurrency, on_undone=pace.count)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return "interrupted at once"
    return _words_of(reason) or ("interrupted" if stop.is_set() else None)


def _words_of(reason: LeadConnectorError | None) -> str | None:
    return None if reason is None else str(reason)


def _conclude(order: UndoOrder, report: UndoReport, *, is_interrupted: bool) -> int:
    folder = order.past.folder
    counts = msgspec.structs.asdict(report)
    show_document({"folder": str(folder), **counts})
    counts["kept"] -= report.inferred
    told = [f"{counts[name]:,} {words}" for name, words in _WORDS.items() if counts[name]]
    show(f"{report.created + report.updated:,} contacts: {', '.join(told) or 'nothing to do'}")
    is_stopped = report.stopped is not None and not report.is_done
    if is_stopped:
        show(f"Stopped early: {clean_text(report.stopped or '')}")
    _show_changes(order, report)
    if report.fields_left:
        names = clean_text(", ".join(report.fields_left))
        show(f"Left behind: the custom fields that the run made ({names}). Delete them in the location's settings.")
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
    show("What changed since the run last wrote to them (a contact may count more than once):")
    kinds = list(report.changes.items())
    for change, count in kinds[:_MOST_KINDS]:
        show(f"  {count:,} x {clean_text(change)}")
    if len(kinds) > _MOST_KINDS:
        show(f"  and {len(kinds) - _MOST_KINDS:,} more kinds of change, see {UNDO_TABLE}")
    if not order.is_forced:
        show("If your own workflows made these changes, --force undoes these contacts, too.")


def _tell_of_kept(order: UndoOrder, report: UndoReport) -> None:
    more = ""
    if report.kept > report.inferred or (report.partly and not order.is_forced):
        more += " --force"
    if report.inferred:
        more += " --include-inferred"
    if more:
        table = order.past.folder / UNDO_TABLE
        show(f"Next: look at those that were kept in {table}, then: {_command(order)} --resume{more}")


_WORDS: Final = {
    "deleted": "deleted",
    "restored": "restored",
    "same": "as before already",
    "gone": "not there any more",
    "kept": "kept, as they changed since",
    "inferred": "kept, as no answer said that the run created them",
    "partly": "restored in part",
    "unseen": "kept, as what they held is not known",
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
    words += ["--include-inferred"] * order.includes_inferred
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(words)
