"""`leadconnector upsert`: files in, a report and an exit code out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ..bulk.report import LoadStoppedError
from ..client import LeadConnector
from ..errors import ConfigurationError, JournalError, LeadConnectorError, StopRequestedError
from ..limits.limit import RateLimit
from ..migration.before import BEFORE
from ..migration.books import PHONES
from ..migration.check import Look
from ..migration.load import FileLoad, count_rows, describe_files
from ..migration.mapping.meaning import Meaning
from ..migration.mapping.rows import RowFile, take_first
from ..migration.matching import Matching
from ..migration.report.files import JOURNAL, Results, make_folder
from ..migration.sweep import Access
from ..migration.tables.inputs import Inputs
from ..migration.tagging import has_tags
from ..migration.verify import note_end
from ..protocol.answers import clean_text
from ..rules.problems import ProblemTally
from ..run.journal import Journal, is_journal_of
from .accounts import choose_token
from .conclusion import conclude
from .options import TagsRule, read_limits, read_meaning, read_rate
from .orders import Order, describe_command, describe_sources
from .past_runs import SANDBOX, note_fields_made, note_run
from .preparation import (
    PhoneConflicts,
    Preparation,
    conclude_dry_run,
    tell_of_columns,
    tell_of_emptying,
    tell_of_problems,
)
from .stock import READING_ENDS, SNAPSHOT_SENTENCE, compare_with_stored, open_chooser, settle_stock, take_snapshot
from .terminal import INTERRUPTED, STOPPED, calling_on_signals, is_agreed, is_person_there, open_progress, show, tell

# ---------------------------------------------------------------------------------------------- where results go

_RUN: Final = "leadconnector-run-"


def choose_folder(out: Path | None, whole: dict[str, str], *, is_resumed: bool) -> Path:
    """Choose the folder for results and journal, and make it.

    Args:
        out: The one that the user names; None for one named by the time, or where a load goes on, that of its last run.
        whole: What the load is known by.
        is_resumed: Whether it goes on.

    Raises:
        ConfigurationError: It cannot be used, or there is no run to go on with.
    """
    folder = out
    if folder is None and is_resumed:
        folder = _latest_run(whole)
    folder = folder or Path(f"{_RUN}{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    make_folder(folder, is_resumed=is_resumed)
    return folder


def discard_folder(folder: Path) -> None:
    """Take back the folder of a run that was not begun; what is not of the run stays."""
    for name in (f"{JOURNAL}*", f"{BEFORE}*", f"{PHONES}*", "input.*"):
        for path in folder.glob(name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _latest_run(whole: dict[str, str]) -> Path:
    in_use: ConfigurationError | None = None
    for folder in sorted(Path().glob(f"{_RUN}*"), reverse=True):
        try:
            if (folder / JOURNAL).is_file() and is_journal_of(folder / JOURNAL, whole):
                return folder
        except ConfigurationError as error:
            in_use = in_use or error
    raise in_use or ConfigurationError(
        f"there is no run of this load here to go on with (looked for {_RUN}*/{JOURNAL}); name its folder with --out, "
        "or leave --resume out to begin anew"
    )


_SANDBOX_LOCATION: Final = "ve9EPM428h8vShlRW1KT"
_TAGS_SENTENCES: Final[dict[TagsRule, str]] = {
    "add": "Tags are added to those a contact has, after the upserts, a hundred contacts a call.",
    "replace": "Tags replace all that a contact has.",
}


async def load(order: Order) -> int:
    """Load files and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was sent.
        JournalError: The journal cannot be read or written; nothing was sent.
    """
    stop = asyncio.Event()
    with calling_on_signals(interrupt_in_order(stop, asyncio.current_task())):
        try:
            return await _load(order, stop)
        except (asyncio.CancelledError, InterruptedError):
            if not stop.is_set():
                raise
    tell("Nothing was sent.")
    return INTERRUPTED


def interrupt_in_order(stop: asyncio.Event, work: asyncio.Task[Any] | None) -> Callable[[], None]:
    """Stop in order on a first signal, at once on a second."""

    def interrupt() -> None:
        if not stop.is_set():
            tell("\nStopping: calls in flight finish. Once more to stop at once.")
            stop.set()
        elif work is not None:
            work.cancel()

    return interrupt


async def _load(order: Order, stop: asyncio.Event) -> int:
    rate, meaning = read_rate(order.rate, order.daily), read_meaning(order.saying)
    kept = order.out if order.is_resumed else None
    async with AsyncExitStack() as stack:
        inputs = stack.enter_context(Inputs(order.sources, kept=kept, is_stopped=stop.is_set))
        files = await asyncio.to_thread(look_through, inputs, meaning, order.limit)
        client = await open_client(order, rate, files, stack)
        matching = stack.enter_context(Matching())
        conflicts = PhoneConflicts(order.phone_conflict, client, rate, matching, stop.is_set)
        preparation = Preparation(order.saying, client, stop.is_set)
        files, tally = await _prepare(order, preparation, files, conflicts.look)
        whole = _describe(order, files, client)
        if stop.is_set():
            raise asyncio.CancelledError
        if order.is_dry_run and tally is not None:
            return await _dry_run(order, files, tally, client, conflicts, stop)
        folder = choose_folder(order.out, whole, is_resumed=order.is_resumed)
        journal = stack.enter_context(Journal(folder / JOURNAL, whole=whole, retry_failed=order.retry_failed))
        inputs.keep_in(folder)
        await asyncio.to_thread(count_rows, files, journal, whole)
        note_run(order.sources, order.saying, files, folder, journal)
        note_fields_made(preparation.made, journal)
        phones = await conflicts.open_book(folder, journal, files, retry_refused=order.retry_failed)
        if phones is not None:
            stack.callback(phones.close)
        _tell_beforehand(order, files, tally, conflicts.told, is_begun=journal.is_begun)
        if not journal.is_begun and (stop.is_set() or not await _is_agreed(order, files, client, stop)):
            journal.close()
            discard_folder(folder)
            tell("Nothing was sent.")
            return INTERRUPTED
        access = Access(client, waits_for_quota=order.waits)
        try:
            if order.takes_snapshot:
                await _take_snapshot(order, client, files, journal, whole, stop, access)
            chooser = await open_chooser(order.wish, client, files, journal, whole, stop, stack, access)
            settle_stock(folder, access)
        except READING_ENDS as error:
            return _conclude_reading(order, folder, error)
        load = FileLoad(
            files,
            Results(folder, files),
            journal,
            adds_tags=order.tags == "add",
            phones=phones,
            retry_failed=order.retry_failed,
            chooser=chooser,
            closed=access.closed,
        )
        reason = await _run(order, client, load, stop, rate.max_requests / rate.per_seconds)
        with suppress(JournalError):  # what it tells of its end is then less exact
            note_end(journal, client)
    return conclude(order, load, whole, reason, is_interrupted=stop.is_set())


async def _take_snapshot(
    order: Order,
    client: LeadConnector,
    files: list[RowFile],
    journal: Journal,
    whole: dict[str, str],
    stop: asyncio.Event,
    access: Access,
) -> None:
    journal.check(whole)
    if not journal.is_begun:
        journal.note(whole)  # so that the run is found again, although no row was sent
    await take_snapshot(
        client,
        files,
        journal.path.parent,
        stop,
        access=access,
        limit=read_rate(order.rate, order.daily),
        waits=order.waits,
        is_begun=journal.is_begun,
        is_progress_wanted=order.is_progress_wanted,
    )


def look_through(inputs: Inputs, meaning: Meaning, limit: int | None) -> list[RowFile]:
    """Open all files.

    Raises:
        InterruptedError: The user wished to stop while standard input was read.
    """
    files = [RowFile(table, meaning) for table in inputs.open()]
    if limit is not None:
        take_first(files, limit)
    return files


async def _dry_run(
    order: Order,
    files: list[RowFile],
    tally: ProblemTally,
    client: LeadConnector,
    conflicts: PhoneConflicts,
    stop: asyncio.Event,
) -> int:
    await conflicts.settle()
    comparison = None
    if order.selection.is_any:
        try:
            comparison = await compare_with_stored(order.wish, client, files, stop, conflicts=conflicts.conflicts())
        except READING_ENDS as error:
            tell(f"Stopped early: {clean_text(str(error))}. Nothing was written: this was a dry run.")
            return INTERRUPTED if stop.is_set() else STOPPED
    return conclude_dry_run(files, tally, shared=conflicts.told, skipped=conflicts.skipped, comparison=comparison)


def _conclude_reading(order: Order, folder: Path, error: LeadConnectorError) -> int:
    """Say what ended the reading of what is there, and how to go on."""
    is_wish = isinstance(error, StopRequestedError)
    show("Interrupted." if is_wish else f"Stopped early: {clean_text(str(error))}")
    command = describe_command(order, describe_sources(order.sources), "--out", str(folder), "--resume")
    show(f"Nothing was sent. Next, to go on with reading what is there: {command}")
    return INTERRUPTED if is_wish else STOPPED


async def _prepare(
    order: Order, preparation: Preparation, files: list[RowFile], look: Look
) -> tuple[list[RowFile], ProblemTally | None]:
    files = await preparation.look_up(files)
    if order.is_resumed:
        return files, None  # its rows were looked at, and fields made, before its first sitting
    tally = await preparation.check(files, look)
    return files if order.is_dry_run else await preparation.make_fields(files), tally


def _describe(order: Order, files: list[RowFile], client: LeadConnector) -> dict[str, str]:
    return describe_files(files) | {
        "location": client.location_id or "",
        "target": SANDBOX if order.is_sandbox else client.target,
        "api_version": client.api_version,
        "tags": order.tags,
        **({} if order.phone_conflict == "allow" else {"phone_conflict": order.phone_conflict}),
        "limit": "" if order.limit is None else str(order.limit),
        "snapshot": "kept" if order.takes_snapshot else "",
        "empty": "clear" if order.saying.empties_fields else "keep",
        **({"selection": " ".join(order.selection.words())} if order.selection.is_any else {}),
    }


async def open_client(order: Order, rate: RateLimit, files: list[RowFile], stack: AsyncExitStack) -> LeadConnector:
    """Open a client of where the load goes.

    Raises:
        LoginRequiredError: There is no token.
        ConfigurationError: There is no location, or a setting is wrong.
    """
    limits = read_limits(order.redis)
    if order.is_sandbox:
        from ..sandbox import Sandbox

        sandbox = await stack.enter_async_context(
            Sandbox(max_requests=rate.max_requests, per_seconds=rate.per_seconds, daily=rate.daily)
        )
        client = LeadConnector(
            "sandbox",
            base_url=sandbox.url,
            location_id=order.location_id or _SANDBOX_LOCATION,
            rate_limit=rate,
            concurrency=order.concurrency,
            limits=limits,
        )
    else:
        options = await choose_token(order.token_file, order.login)
        if order.location_id:
            options["location_id"] = order.location_id
        client = LeadConnector.from_env(rate_limit=rate, concurrency=order.concurrency, limits=limits, **options)
        if not client.location_id and not all(file.has_locations for file in files):
            raise ConfigurationError(
                "there is no location: give --location, set LEADCONNECTOR_LOCATION_ID, or add a column locationId"
            )
    return await stack.enter_async_context(client)


def _tell_beforehand(
    order: Order, files: list[RowFile], tally: ProblemTally | None, shared: list[str], *, is_begun: bool
) -> None:
    if order.is_resumed:
        tell("Going on with an earlier run." if is_begun else "There is no earlier run in that folder: beginning one.")
    for file in files:
        for note in file.table.notes:
            tell(f"{file.name}: {clean_text(note)}")
    tell_of_columns(files)
    if tally is not None:
        tell_of_problems(tally)
    for sentence in shared:
        tell(sentence)
    if order.saying.empties_fields:
        tell_of_emptying(files)
    if order.takes_snapshot:
        tell(SNAPSHOT_SENTENCE)
    if has_tags(files):
        tell(_TAGS_SENTENCES[order.tags])
    if not order.is_sandbox:
        tell("Each write fires the location's contact webhooks and workflows.")


async def _is_agreed(order: Order, files: list[RowFile], client: LeadConnector, stop: asyncio.Event) -> bool:
    """Ask before the first write, where that is no sandbox, and somebody is there."""
    if order.is_agreed or order.is_sandbox or not is_person_there():
        return True
    rows = sum(file.count for file in files)
    where = f"location {client.location_id}" if client.location_id else "the locations that they name"
    return await is_agreed(f"Send {rows:,} rows to {clean_text(where)} at {clean_text(client.host)}?", stop)


async def _run(
    order: Order, client: LeadConnector, load: FileLoad, stop: asyncio.Event, most_per_second: float
) -> str | None:
    """Run a load to its end, and return what ended it early, if it was no wish of the user's."""
    progress = open_progress(
        load.total, load.report, most_per_second, client.calls_left_today, is_wanted=order.is_progress_wanted
    )
    with progress:
        try:
            await load.run(
                client,
                stop,
                wait_for_quota=order.waits,
                on_outcome=progress.update,
                on_phone=progress.count_phones,
                on_tagged=progress.add_tagged,
            )
        except LoadStoppedError as error:
            return str(error)
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            return "interrupted at once"
    return None
