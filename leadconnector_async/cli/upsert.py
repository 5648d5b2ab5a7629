"""`leadconnector upsert`: files in, a report and an exit code out."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..answers import clean_text
from ..client import LeadConnector
from ..errors import (
    ConfigurationError,
    LoadStoppedError,
    LoginRequiredError,
)
from ..journal import Journal
from ..limits import RateLimit
from ..migration.inputs import Inputs, Sources
from ..migration.meaning import Meaning
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
    Results,
)
from ..migration.rows import RowFile
from ..migration.run import FileLoad, count_rows, describe_files
from ..report import STATUSES, BatchReport
from .folders import choose_folder
from .logins import LoginOptions, open_app
from .options import read_limits, read_rate, read_token_file
from .page import write_page
from .preparation import Preparation, tell_of_columns, tell_of_problems
from .printing import show, tell
from .progress import open_progress
from .saying import Saying, read_meaning
from .signals import calling_on_signals
from .sources import describe_sources

_SANDBOX_LOCATION: Final = "ve9EPM428h8vShlRW1KT"
_MOST_ERRORS: Final = 10
_STOPPED: Final = 3
_INTERRUPTED: Final = 130
DEFAULT_CONCURRENCY: Final = 64


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
    redis: str | None = None
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions
    saying: Saying = Saying()


async def load(order: Order) -> int:
    """Load files and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was sent.
        JournalError: The journal cannot be read or written; nothing was sent.
    """
    stop = asyncio.Event()
    with calling_on_signals(_interrupter(stop, asyncio.current_task())):
        try:
            return await _load(order, stop)
        except (asyncio.CancelledError, InterruptedError):
            if not stop.is_set():
                raise
    tell("Nothing was sent.")
    return _INTERRUPTED


def _interrupter(stop: asyncio.Event, work: asyncio.Task[Any] | None) -> Callable[[], None]:
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
        files = await asyncio.to_thread(_look_through, inputs, meaning)
        client = await _open_client(order, rate, files, stack)
        files, tally = await _prepare(order, files, client, stop)
        whole = _describe(order, files, client)
        if stop.is_set():
            raise asyncio.CancelledError
        folder = choose_folder(order.out, whole, is_resumed=order.is_resumed)
        journal = stack.enter_context(Journal(folder / JOURNAL, whole=whole, retry_failed=order.retry_failed))
        inputs.keep_in(folder)
        await asyncio.to_thread(count_rows, files, journal, whole)
        _tell_beforehand(order, files, tally, is_begun=journal.is_begun)
        load = FileLoad(files, Results(folder, files), journal)
        reason = await _run(order, client, load, stop, rate.max_requests / rate.per_seconds)
    return _conclude(order, load, whole, reason, is_interrupted=stop.is_set())


def _look_through(inputs: Inputs, meaning: Meaning) -> list[RowFile]:
    """Open all files.

    Raises:
        InterruptedError: The user wished to stop while standard input was read.
    """
    return [RowFile(table, meaning) for table in inputs.open()]


async def _prepare(
    order: Order, files: list[RowFile], client: LeadConnector, stop: asyncio.Event
) -> tuple[list[RowFile], ProblemTally | None]:
    preparation = Preparation(order.saying, client, stop.is_set)
    files = await preparation.look_up(files)
    if order.is_resumed:
        return files, None  # its rows were looked at, and fields made, before its first sitting
    tally = await preparation.check(files)
    return await preparation.make_fields(files), tally


def _describe(order: Order, files: list[RowFile], client: LeadConnector) -> dict[str, str]:
    return describe_files(files) | {
        "location": client.location_id or "",
        "target": "the sandbox" if order.is_sandbox else client.host,
        "api_version": client.api_version,
    }


async def _open_client(order: Order, rate: RateLimit, files: list[RowFile], stack: AsyncExitStack) -> LeadConnector:
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
        options = await _choose_token(order)
        if order.location_id:
            options["location_id"] = order.location_id
        client = LeadConnector.from_env(rate_limit=rate, concurrency=order.concurrency, limits=limits, **options)
        if not client.location_id and not all(file.has_locations for file in files):
            raise ConfigurationError(
                "there is no location: give --location, set LEADCONNECTOR_LOCATION_ID, or add a column locationId"
            )
    return await stack.enter_async_context(client)


async def _choose_token(order: Order) -> dict[str, Any]:
    """Return what the client is to be made with: the token that is named, or the login that is stored."""
    if order.token_file is not None:
        return {"token": read_token_file(order.token_file)}
    if order.login.store is None and os.environ.get("LEADCONNECTOR_TOKEN", "").strip():
        return {}
    try:
        app, found = await open_app(order.login, os.environ)
    except LoginRequiredError as error:
        raise LoginRequiredError(
            f"there is no token: set LEADCONNECTOR_TOKEN to a Private Integration Token, or log in ({error})"
        ) from None
    for option, name in (("base_url", "LEADCONNECTOR_BASE_URL"), ("location_id", "LEADCONNECTOR_LOCATION_ID")):
        if os.environ.get(name, "").strip():
            found.pop(option, None)
    return {"token": app, **found}


def _tell_beforehand(order: Order, files: list[RowFile], tally: ProblemTally | None, *, is_begun: bool) -> None:
    if order.is_resumed:
        tell("Going on with an earlier run." if is_begun else "There is no earlier run in that folder: beginning one.")
    for file in files:
        for note in file.table.notes:
            tell(f"{file.name}: {clean_text(note)}")
    tell_of_columns(files)
    if tally is not None:
        tell_of_problems(tally)
    if not order.is_sandbox:
        tell("Each write fires the location's contact webhooks and workflows.")


async def _run(
    order: Order, client: LeadConnector, load: FileLoad, stop: asyncio.Event, most_per_second: float
) -> str | None:
    """Run a load to its end, and return what ended it early, if it was no wish of the user's."""
    progress = open_progress(
        load.total, load.report, most_per_second, client.calls_left_today, is_wanted=order.is_progress_wanted
    )
    with progress:
        try:
            await load.run(client, stop, wait_for_quota=order.waits, on_outcome=progress.update)
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
    _summarise(load.report, load.results, reason)
    for step in steps:
        show(step.sentence if step.command is None else f"{step.sentence} {step.command}")
    if is_interrupted and (is_stopped or not load.report.is_complete):
        return _INTERRUPTED
    if is_stopped:
        return _STOPPED
    return 0 if load.report.is_complete else 1


def _summarise(report: BatchReport, results: Results, reason: str | None) -> None:
    counts = [f"{getattr(report, status)} {status.replace('_', ' ')}" for status in STATUSES if getattr(report, status)]
    sittings = f" and {report.sittings} sittings" if report.sittings > 1 else ""
    show(f"{report.total} rows in {report.duration_seconds:.1f} s{sittings}: {', '.join(counts) or 'nothing to do'}")
    show(f"{report.requests} calls, {report.retries} tried again, {report.rate_limited} answered 429")
    for error in report.errors[:_MOST_ERRORS]:
        status = "" if error.status is None else f"{error.status} "
        show(f"  {error.count} x {status}{clean_text(error.message)}")
    if len(report.errors) > _MOST_ERRORS:
        show(f"  and {len(report.errors) - _MOST_ERRORS} more kinds; all are in {REPORT}")
    for field, count in report.not_applied.items():
        rows = "1 row" if count == 1 else f"{count} rows"
        show(f"  {field} not applied on {rows}: {why_not_applied(field)} (see {NOT_APPLIED})")
    if report.collisions:
        met = "1 row met" if report.collisions == 1 else f"{report.collisions} rows met"
        show(f"  {met} the contact of another person in this load, and overwrote it (see {COLLISIONS})")
    left_out, changed = (sum(kind.count for kind in results.problems.kinds(action)) for action in ("skipped", "fixed"))
    if left_out or changed:
        show(f"  {left_out} cells left out and {changed} changed before they were sent (see {PROBLEMS})")
    if (stopped := reason or why_stopped(report)) is not None:
        show(f"Stopped early: {clean_text(stopped)}")
    if results.written:
        show(f"Results: {results.folder}/ ({', '.join(results.written)})")
    else:
        show(f"No result file could be written in {results.folder}")


def _next_steps(order: Order, report: BatchReport, results: Results, *, is_stopped: bool) -> Iterator[NextStep]:
    if is_stopped:
        left = report.not_attempted + report.unknown
        way = "--retry-failed" if order.retry_failed else "--resume"
        what = f"for the {left} rows left" if left else "as all rows are done, to have the results written"
        yield NextStep(
            f"Next, {what}:", _command(order, describe_sources(order.sources), "--out", str(results.folder), way)
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
    yield NextStep(f"Next: correct {path} where needed{why}, then:", _command(order, [str(path)]))
    if again == FAILED and FAILED_LINES in results.written:
        yield NextStep(f"A null of JSON Lines is an empty cell there; {FAILED_LINES} has those rows as they were.")


def _command(order: Order, sources: list[str], *more: str) -> str:
    """Return the command that loads other files, or goes on, with the options of this one."""
    options = {
        "--location": order.location_id,
        "--rate": order.rate,
        "--daily": order.daily,
        "--redis": order.redis,
        "--concurrency": None if order.concurrency == DEFAULT_CONCURRENCY else order.concurrency,
        "--token-file": order.token_file,
        "--store": order.login.store,
        "--client-secret-file": order.login.secret_file,
    }
    words = ["leadconnector", "upsert", *sources, *more]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += order.saying.words()
    words += ["--wait"] * order.waits + ["--sandbox"] * order.is_sandbox
    return shlex.join(words)
