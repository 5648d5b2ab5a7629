"""`leadconnector upsert`: files in, a report and an exit code out."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..answers import clean_text
from ..client import LeadConnector
from ..errors import (
    ConfigurationError,
    JournalError,
    LeadConnectorError,
    LoadStoppedError,
    StopRequestedError,
)
from ..journal import Journal
from ..limits import RateLimit
from ..migration.aftermath import note_end
from ..migration.check import Look
from ..migration.inputs import Inputs, Sources
from ..migration.matching import Matching
from ..migration.meaning import Meaning
from ..migration.page import count_of
from ..migration.problems import ProblemTally
from ..migration.reasons import why_not_applied, why_stopped
from ..migration.report_page import NextStep
from ..migration.results import (
    COLLISIONS,
    FAILED,
    FAILED_LINES,
    JOURNAL,
    NOT_APPLIED,
    PROBLEMS,
    REPORT,
    SKIPPED,
    Results,
)
from ..migration.rows import RowFile, take_first
from ..migration.run import FileLoad, count_rows, describe_files
from ..migration.selection import Selection
from ..migration.sharing import PhoneRule
from ..migration.tagging import has_tags
from ..report import STATUSES, BatchReport
from .asking import is_agreed, is_person_there
from .folders import choose_folder, discard_folder
from .logins import LoginOptions, choose_token
from .options import TagsRule, read_limits, read_rate
from .page import write_page
from .past_runs import SANDBOX, note_run
from .phones import PhoneConflicts
from .preparation import Preparation, conclude_dry_run, tell_of_columns, tell_of_emptying, tell_of_problems
from .printing import show, show_document, tell
from .progress import open_progress
from .saying import Saying, read_meaning
from .signals import calling_on_signals
from .snapshots import SNAPSHOT_SENTENCE, take_snapshot
from .sources import describe_sources
from .stock import READING_ENDS, Wish, compare_with_stored, open_chooser

_SANDBOX_LOCATION: Final = "ve9EPM428h8vShlRW1KT"
_MOST_ERRORS: Final = 10
STOPPED: Final = 3
INTERRUPTED: Final = 130
DEFAULT_CONCURRENCY: Final = 64
_TAGS_SENTENCES: Final[dict[TagsRule, str]] = {
    "add": "Tags are added to those a contact has, after the upserts, a hundred contacts a call.",
    "replace": "Tags replace all that a contact has.",
}


class Order(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    sources: Sources
    location_id: str | None
    is_sandbox: bool
    out: Path | None
    is_resumed: bool
    retry_failed: bool
    rate: str | None
    daily: int | None
    waits: bool
    concurrency: int
    tags: TagsRule = "add"
    selection: Selection = Selection()
    phone_conflict: PhoneRule = "second-pass"
    limit: int | None = None
    is_dry_run: bool = False
    takes_snapshot: bool = False
    redis: str | None = None
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions
    saying: Saying = Saying()
    is_agreed: bool = False

    @property
    def wish(self) -> Wish:
        """What it says of rows that meet contacts which are there."""
        return Wish(
            selection=self.selection,
            replaces_tags=self.tags == "replace",
            limit=read_rate(self.rate, self.daily),
            waits=self.waits,
        )


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
        files, tally = await _prepare(order, files, client, stop, conflicts.look)
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
        phones = await conflicts.open_book(folder, journal, files, retry_refused=order.retry_failed)
        if phones is not None:
            stack.callback(phones.close)
        _tell_beforehand(order, files, tally, conflicts.told, is_begun=journal.is_begun)
        if not journal.is_begun and (stop.is_set() or not await _is_agreed(order, files, client, stop)):
            journal.close()
            discard_folder(folder)
            tell("Nothing was sent.")
            return INTERRUPTED
        try:
            if order.takes_snapshot:
                await _take_snapshot(order, client, files, journal, whole, stop)
            chooser = await open_chooser(order.wish, client, files, journal, whole, stop, stack)
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
        )
        reason = await _run(order, client, load, stop, rate.max_requests / rate.per_seconds)
        with suppress(JournalError):  # what it tells of its end is then less exact
            note_end(journal, client)
    return _conclude(order, load, whole, reason, is_interrupted=stop.is_set())


async def _take_snapshot(
    order: Order,
    client: LeadConnector,
    files: list[RowFile],
    journal: Journal,
    whole: dict[str, str],
    stop: asyncio.Event,
) -> None:
    journal.check(whole)
    if not journal.is_begun:
        journal.note(whole)  # so that the run is found again, although no row was sent
    await take_snapshot(
        client,
        files,
        journal.path.parent,
        stop,
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
    order: Order, files: list[RowFile], client: LeadConnector, stop: asyncio.Event, look: Look
) -> tuple[list[RowFile], ProblemTally | None]:
    preparation = Preparation(order.saying, client, stop.is_set)
    files = await preparation.look_up(files)
    if order.is_resumed:
        return files, None  # its rows were looked at, and fields made, before its first sitting
    tally = await preparation.check(files, look)
    return files if order.is_dry_run else await preparation.make_fields(files), tally


def _describe(order: Order, files: list[RowFile], client: LeadConnector) -> dict[str, str]:
    return describe_files(files) | {
        "location": client.location_id or "",
        "target": SANDBOX if order.is_sandbox else client.host,
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


def _conclude(order: Order, load: FileLoad, whole: dict[str, str], reason: str | None, *, is_interrupted: bool) -> int:
    is_stopped = reason is not None or load.report.stopped is not None
    steps = list(_next_steps(order, load.report, load.results, is_stopped=is_stopped))
    write_page(load, whole, reason, steps)
    show_document(_document(load, reason, steps))
    _summarise(load.report, load.results, reason)
    for step in steps:
        show(step.sentence if step.command is None else f"{step.sentence} {step.command}")
    if is_interrupted and (is_stopped or not load.report.is_complete):
        return INTERRUPTED
    if is_stopped:
        return STOPPED
    return 0 if load.report.is_complete else 1


def _document(load: FileLoad, reason: str | None, steps: list[NextStep]) -> dict[str, object]:
    """Return what machines are told: `report.json`, and what people are told besides."""
    return {
        **load.report.to_dict(),
        "not_applied": load.report.not_applied,
        "stopped": reason or (None if load.report.stopped is None else str(load.report.stopped)),
        "folder": str(load.results.folder),
        "files": load.results.written,
        "next_steps": steps,
    }


def _summarise(report: BatchReport, results: Results, reason: str | None) -> None:
    counts = [f"{getattr(report, status)} {status.replace('_', ' ')}" for status in STATUSES if getattr(report, status)]
    sittings = f" and {report.sittings} sittings" if report.sittings > 1 else ""
    show(f"{report.total} rows in {report.duration_seconds:.1f} s{sittings}: {', '.join(counts) or 'nothing to do'}")
    show(f"{report.requests} calls, {report.retries} tried again, {report.rate_limited} answered 429")
    tell_errors(report)
    for why, count in report.skip_reasons.items():
        show(f"  {count} x not sent, as {clean_text(why)} (see {SKIPPED})")
    for field, count in report.not_applied.items():
        rows = "1 row" if count == 1 else f"{count} rows"
        show(f"  {field} not applied on {rows}: {why_not_applied(field)} (see {NOT_APPLIED})")
    if report.collisions:
        met = "1 row met" if report.collisions == 1 else f"{report.collisions} rows met"
        show(f"  {met} the contact of another person in this load, and overwrote it (see {COLLISIONS})")
    left_out, changed = (sum(kind.count for kind in results.problems.kinds(action)) for action in ("skipped", "fixed"))
    if left_out or changed:
        show(f"  {count_of(left_out, 'cell')} left out and {changed:,} changed before they were sent (see {PROBLEMS})")
    if (stopped := reason or why_stopped(report)) is not None:
        show(f"Stopped early: {clean_text(stopped)}")
    if results.written:
        show(f"Results: {results.folder}/ ({', '.join(results.written)})")
    else:
        show(f"No result file could be written in {results.folder}")


def tell_errors(report: BatchReport) -> None:
    """Print the errors of rows by kind, the most frequent first."""
    for error in report.errors[:_MOST_ERRORS]:
        status = "" if error.status is None else f"{error.status} "
        show(f"  {error.count} x {status}{clean_text(error.message)}")
    if len(report.errors) > _MOST_ERRORS:
        show(f"  and {len(report.errors) - _MOST_ERRORS} more kinds; all are in {REPORT}")


def _next_steps(order: Order, report: BatchReport, results: Results, *, is_stopped: bool) -> Iterator[NextStep]:
    if is_stopped:
        left = report.not_attempted + report.unknown
        way = "--retry-failed" if order.retry_failed else "--resume"
        what = f"for the {left} rows left" if left else _what_is_left(report)
        yield NextStep(
            f"Next, {what}:",
            describe_command(order, describe_sources(order.sources), "--out", str(results.folder), way),
        )
        return
    if report.unknown:
        yield NextStep(
            f"Look up the {report.unknown} unknown rows of {FAILED} first: they may have been applied, and are not "
            "sent again as long as their status says so."
        )
    again = results.to_load_again
    if again is None:
        return
    path = results.folder / again
    why = f" ({FAILED} tells why)" if again == FAILED_LINES else ""
    yield NextStep(f"Next: correct {path} where needed{why}, then:", describe_command(order, [str(path)]))
    if again == FAILED and FAILED_LINES in results.written:
        yield NextStep(f"A null of JSON Lines is an empty cell there; {FAILED_LINES} has those rows as they were.")


def _what_is_left(report: BatchReport) -> str:
    if "phone" in report.not_applied and "tags" not in report.not_applied:
        return "to set the phones of rows that share one, as all rows are written"
    if "tags" in report.not_applied:
        return f"to add the tags of {report.not_applied['tags']} rows, as all rows are written"
    return "as all rows are done, to have the results written"


def describe_command(order: Order, sources: list[str], *more: str) -> str:
    """Return the command that loads other files, or goes on, with the options of this one."""
    options = {
        "--location": order.location_id,
        "--rate": order.rate,
        "--daily": order.daily,
        "--limit": order.limit if more else None,  # of what failed, all
        "--tags": None if order.tags == "add" else order.tags,
        "--phone-conflict": None if order.phone_conflict == "second-pass" else order.phone_conflict,
        "--redis": order.redis,
        "--concurrency": None if order.concurrency == DEFAULT_CONCURRENCY else order.concurrency,
        "--token-file": order.token_file,
        "--store": order.login.store,
        "--client-secret-file": order.login.secret_file,
    }
    words = ["leadconnector", "upsert", *sources, *more]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += order.saying.words() + order.selection.words()
    words += ["--snapshot"] * order.takes_snapshot
    words += ["--wait"] * order.waits + ["--sandbox"] * order.is_sandbox
    return shlex.join(words)
