"""`leadconnector upsert`: files in, a report and an exit code out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..answers import clean_text
from ..client import LeadConnector
from ..errors import ConfigurationError, LoadStoppedError, StopRequestedError
from ..journal import Journal, is_journal_of
from ..limits import RateLimit
from ..migration.results import COLLISIONS, FAILED, FAILED_LINES, JOURNAL, NOT_APPLIED, REPORT, Results, make_folder
from ..migration.rows import RowFile, open_row_file
from ..migration.run import FileLoad, count_rows, describe_files
from ..report import STATUSES, BatchReport
from .options import read_rate, read_token_file
from .printing import show, tell
from .progress import open_progress
from .signals import calling_on_signals

_SANDBOX_LOCATION: Final = "ve9EPM428h8vShlRW1KT"
_MOST_ERRORS: Final = 10
_RUN: Final = "leadconnector-run-"


class Order(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    files: list[Path]
    location_id: str | None
    is_sandbox: bool
    out: Path | None
    is_resumed: bool
    retry_failed: bool
    rate: str | None
    daily: int | None
    waits: bool
    concurrency: int
    is_progress_wanted: bool
    token_file: Path | None


async def load(order: Order) -> int:
    """Load files and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was sent.
    """
    rate = read_rate(order.rate, order.daily)
    files = [open_row_file(path) for path in order.files]
    whole = describe_files(files) | ({"target": "the sandbox"} if order.is_sandbox else {})
    async with AsyncExitStack() as stack:
        client = await _open_client(order, rate, files, stack)
        if not order.is_resumed:
            _ = [file.count for file in files]  # what cannot be read leaves no folder behind
        folder = _choose_folder(order, whole)
        journal = stack.enter_context(Journal(folder / JOURNAL, whole=whole, retry_failed=order.retry_failed))
        count_rows(files, journal)
        _tell_beforehand(order, files, is_begun=journal.is_begun)
        results = Results(folder, files)
        return await _load(order, client, files, results, journal, rate.max_requests / rate.per_seconds)


def _choose_folder(order: Order, whole: dict[str, str]) -> Path:
    folder = order.out
    if folder is None and order.is_resumed:
        folder = next(filter(partial(_is_of, whole=whole), sorted(Path().glob(f"{_RUN}*"), reverse=True)), None)
        if folder is None:
            raise ConfigurationError(
                f"there is no run of this load here to go on with (looked for {_RUN}*/{JOURNAL}); name its folder with "
                "--out, or leave --resume out to begin anew"
            )
    folder = folder or Path(f"{_RUN}{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    make_folder(folder, is_resumed=order.is_resumed)
    return folder


def _is_of(folder: Path, whole: dict[str, str]) -> bool:
    return (folder / JOURNAL).is_file() and is_journal_of(folder / JOURNAL, whole)


async def _open_client(order: Order, rate: RateLimit, files: list[RowFile], stack: AsyncExitStack) -> LeadConnector:
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
        )
    else:
        options: dict[str, Any] = {"token": read_token_file(order.token_file)} if order.token_file else {}
        if order.location_id:
            options["location_id"] = order.location_id
        client = LeadConnector.from_env(rate_limit=rate, concurrency=order.concurrency, **options)
        if not client.location_id and not all(file.has_locations for file in files):
            raise ConfigurationError(
                "there is no location: give --location, set LEADCONNECTOR_LOCATION_ID, or add a column locationId"
            )
    return await stack.enter_async_context(client)


def _tell_beforehand(order: Order, files: list[RowFile], *, is_begun: bool) -> None:
    if order.is_resumed:
        tell("Going on with an earlier run." if is_begun else "There is no earlier run in that folder: beginning one.")
    for file in files:
        if file.ignored:
            names = clean_text(", ".join(file.ignored))
            tell(f"{file.name}: ignored columns: {names}")
    if not order.is_sandbox:
        tell("Each write fires the location's contact webhooks and workflows.")


async def _load(
    order: Order,
    client: LeadConnector,
    files: list[RowFile],
    results: Results,
    journal: Journal,
    most_per_second: float,
) -> int:
    total = sum(file.count for file in files)
    load = FileLoad(files, results, journal, lambda outcome: progress.update(outcome))
    progress = open_progress(
        total, load.report, most_per_second, client.calls_left_today, is_wanted=order.is_progress_wanted
    )
    reason: str | None = None
    with progress:
        stop = asyncio.Event()
        work = asyncio.create_task(load.run(client, stop, wait_for_quota=order.waits))
        with calling_on_signals(_interrupter(stop, work)):
            try:
                await work
            except LoadStoppedError as error:
                reason = str(error)
            except asyncio.CancelledError:
                reason = "interrupted at once"
    _summarise(load.report, results, reason)
    is_stopped = reason is not None or load.report.stopped is not None
    _tell_next(order, load.report, results, is_stopped=is_stopped)
    if stop.is_set() and not load.report.is_complete:
        return 130
    if is_stopped:
        return 3
    return 0 if load.report.is_complete else 1


def _interrupter(stop: asyncio.Event, work: asyncio.Task[BatchReport]) -> Callable[[], None]:
    """Stop in order on a first signal, at once on a second."""

    def interrupt() -> None:
        if stop.is_set():
            work.cancel()
        else:
            tell("\nStopping: calls in flight finish. Once more to stop at once.")
            stop.set()

    return interrupt


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
        show(f"  {field} not applied on {rows}: {_why_not_applied(field)} (see {NOT_APPLIED})")
    if report.collisions:
        met = "1 row met" if report.collisions == 1 else f"{report.collisions} rows met"
        show(f"  {met} the contact of another person in this load, and overwrote it (see {COLLISIONS})")
    stopped = reason or (None if report.stopped is None else str(report.stopped))
    if stopped is not None and not isinstance(report.stopped, StopRequestedError):
        show(f"Stopped early: {clean_text(stopped)}")
    show(f"Results: {results.folder}/ ({', '.join(results.written)})")


def _why_not_applied(field: str) -> str:
    """Say what is known of why the service takes a contact without a field."""
    if field in ("phone", "email"):
        return "another contact holds it"
    if field == "gender":
        return "the service drops it on a contact that exists"
    if field.startswith("custom_fields."):
        return "there is no such field, or no such option"
    return "the service took the contact without it"


def _tell_next(order: Order, report: BatchReport, results: Results, *, is_stopped: bool) -> None:
    option = " --sandbox" if order.is_sandbox else ""
    if is_stopped:
        left = report.not_attempted + report.unknown
        files = " ".join(map(str, order.files))
        show(f"Next, for the {left} rows left: leadconnector upsert {files} --out {results.folder} --resume{option}")
        return
    again = results.to_load_again
    if again is None:
        return
    path = results.folder / again
    why = f" ({FAILED} tells why)" if again == FAILED_LINES else ""
    show(f"Next: correct {path} where needed{why}, then: leadconnector upsert {path}{option}")
    if again == FAILED and FAILED_LINES in results.written:
        show(f"A null of JSON Lines is an empty cell there; {FAILED_LINES} has those rows as they were.")
