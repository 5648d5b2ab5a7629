"""`leadconnector upsert`: files in, a report and an exit code out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from datetime import datetime
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, Final

import msgspec

from ..bulk.brake import FIRST_ALIKE
from ..bulk.report import LoadStoppedError
from ..bulk.threads import in_thread_until
from ..client import LeadConnector
from ..errors import ConfigurationError, LeadConnectorError, StopRequestedError
from ..limits.limit import RateLimit
from ..migration.existing import READING_ENDS
from ..migration.load import FileLoad
from ..migration.mapping.custom_fields import about_emptied
from ..migration.mapping.rows import split_emptied
from ..migration.migration import IN_SANDBOX, Content, Migration
from ..migration.options import TagsRule
from ..migration.report.html import shorten
from ..migration.report.words import about_closings
from ..migration.tables import find_files
from ..migration.tables.inputs import STDIN, Inputs
from ..protocol.answers import clean_text
from ..protocol.text import count_of, one_line
from ..run.folder import RUN_FILE, is_run
from ..run.target import is_same_target
from .accounts import choose_token
from .conclusion import conclude, conclude_dry_run, describe_problem
from .options import read_limits, read_rate
from .orders import Order, describe_command, describe_sources
from .terminal import (
    INTERRUPTED,
    STOPPED,
    Silent,
    is_agreed,
    is_person_there,
    open_progress,
    show,
    stopping_in_order,
    tell,
)

_RUN: Final = "leadconnector-run-"
_SANDBOX_LOCATION: Final = "ve9EPM428h8vShlRW1KT"
_MOST_KINDS: Final = 12
_LINE_SECONDS: Final = 5.0
_TAGS_SENTENCES: Final[dict[TagsRule, str]] = {
    "add": "Tags are added to those that a contact has, after the upserts, with 100 contacts per call.",
    "replace": "Tags replace all tags of a contact.",
}
_SNAPSHOT_SENTENCE: Final = f"Contacts are kept for undo as they were before the load, in {RUN_FILE} (personal data)."


async def load(order: Order) -> int:
    """Load files and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was sent.
        JournalError: The journal cannot be read or written; nothing was sent.
    """
    stop = asyncio.Event()
    with stopping_in_order(stop):
        try:
            return await _load(order, stop)
        except (asyncio.CancelledError, InterruptedError):
            if not stop.is_set():
                raise
    tell("Nothing was sent.")
    return INTERRUPTED


async def _load(order: Order, stop: asyncio.Event) -> int:
    async with AsyncExitStack() as stack:
        found = await _find_run(order, stop)
        if found is not None:
            stack.enter_context(found)
            order = msgspec.structs.replace(order, options=found.options)  # of a run that is named, none is given
        client = await open_client(order, read_rate(order.rate, order.daily), stack, found)
        if found is not None:
            found.use(client)
        try:
            run = found or stack.enter_context(await _prepare(order, client, stop))
        except READING_ENDS as error:
            if not order.is_dry_run:
                raise
            tell(f"Stopped early: {clean_text(str(error))}. Nothing was written: this was a dry run.")
            tell("Next: run the same command again.")
            return INTERRUPTED if stop.is_set() else STOPPED
        if stop.is_set():
            raise asyncio.CancelledError
        if order.is_dry_run:
            _tell_of_rows(run)
            return conclude_dry_run(run.plan)
        _tell_beforehand(order, run, is_found=found is not None)
        if not run.is_loading and (stop.is_set() or not await _is_agreed(order, run, client, stop)):
            if found is None:
                run.discard()
            tell("Nothing was sent.")
            return INTERRUPTED
        try:
            reason = await _upsert(order, run, client, stop)
        except READING_ENDS as error:
            return _conclude_reading(order, run.folder, error)
        assert run.load is not None  # noqa: S101  (it was loaded)
        target = IN_SANDBOX if order.is_sandbox else client.target
        return conclude(order, run.load, target, client.location_id, reason, is_interrupted=stop.is_set())


async def _prepare(order: Order, client: LeadConnector, stop: asyncio.Event) -> Migration:
    """Prepare the run; of a dry run nothing is kept."""
    folder = None if order.is_dry_run else order.out or Path(f"{_RUN}{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    return await Migration.prepare(
        client,
        order.sources,
        folder=folder,
        options=order.options,
        compare=order.is_dry_run and order.options.selection.is_any,
        ask_locations=False,
        wait_for_quota=order.waits,
        target=_target(order),
        stop=stop,
        tell=tell,
    )


# ---------------------------------------------------------------------------------------------- an earlier run


async def _find_run(order: Order, stop: asyncio.Event) -> Migration | None:
    """Open the run that is named, or that is to go on; None where one is to be prepared.

    Raises:
        ConfigurationError: It cannot be opened, is of other rows or options, or there is none.
        InterruptedError: `stop` was set while standard input was read.
    """
    if order.run is not None:
        return await _open_planned(order, order.run)
    for path in [] if order.is_resumed else find_files(order.sources.files):
        if path != STDIN and not path.exists():
            raise ConfigurationError(f"{path}: there is no such file")
    if not order.is_resumed:
        return None
    if order.out is None:
        return await _latest_run(order, await _describe_piped(order, stop))
    if not is_run(order.out):
        return None
    run = await Migration.open(None, order.out, target=_target(order))
    try:
        run.check_same(order.sources, order.options, piped=await _describe_piped(order, stop))
    except BaseException:
        run.close()
        raise
    return run


async def _open_planned(order: Order, folder: Path) -> Migration:
    """Open a run that is named.

    Raises:
        ConfigurationError: It cannot be opened, or is a plan whose source has changed since.
    """
    run = await Migration.open(None, folder, target=_target(order))
    try:
        if not order.is_as_planned and not run.is_loading and (changed := await asyncio.to_thread(run.find_changed)):
            raise ConfigurationError(
                f"{clean_text(changed[0])}: has changed since {folder} was planned; plan again, or load it as it was "
                "planned with --as-planned"
            )
    except BaseException:
        run.close()
        raise
    return run


def _target(order: Order) -> str | None:
    return IN_SANDBOX if order.is_sandbox else None


async def _describe_piped(order: Order, stop: asyncio.Event) -> Content | None:
    """Return what standard input gives this time, where rows are read from it: it may be other rows, or nothing."""
    if STDIN not in order.sources.files:
        return None
    with Inputs(order.sources) as inputs:
        return await in_thread_until(stop.is_set, inputs.describe_stdin)


async def _latest_run(order: Order, piped: Content | None) -> Migration:
    """Open the latest run of these rows and options that was begun, for the same service and location.

    Raises:
        ConfigurationError: There is none, or one that may be it cannot be opened.
    """
    unopened: ConfigurationError | None = None
    target, location_id = await _find_place(order)
    for folder in _earlier_runs():
        try:
            run = await Migration.open(None, folder, target=_target(order))
        except ConfigurationError as error:
            if not isinstance(error.__cause__, OperationalError) and (folder / RUN_FILE).exists():
                raise  # it is damaged, and may be the one
            unopened = unopened or error
            continue
        is_there = is_same_target(run.target or "", target) and location_id in (None, run.location_id)
        if is_there and run.is_loading and run.is_same(order.sources, order.options, piped=piped):
            return run
        run.close()
    raise unopened or ConfigurationError(
        f"found no run of this load to resume here (looked for {_RUN}*/{RUN_FILE}); name its folder with --out, or "
        "leave out --resume to start a new one"
    )


async def _find_place(order: Order) -> tuple[str, str | None]:
    """Return the service and the location that the settings name, the latter None where they name none."""
    if order.is_sandbox:
        return IN_SANDBOX, order.location_id or _SANDBOX_LOCATION
    client = await _make_client(order, order.location_id)
    return client.target, client.location_id


def _earlier_runs() -> list[Path]:
    return sorted(filter(is_run, Path().glob(f"{_RUN}*")), reverse=True)


# ---------------------------------------------------------------------------------------------- the client


async def open_client(
    order: Order, rate: RateLimit, stack: AsyncExitStack, run: Migration | None = None
) -> LeadConnector:
    """Open a client of where the load goes: of a run that is there, its location, unless another one is named.

    Raises:
        LoginRequiredError: There is no token.
        ConfigurationError: A setting is wrong.
    """
    location_id = order.location_id
    if location_id is None and run is not None:
        location_id = run.location_id
    if order.is_sandbox:
        from ..sandbox import Sandbox

        sandbox = await stack.enter_async_context(
            Sandbox(max_requests=rate.max_requests, per_seconds=rate.per_seconds, daily=rate.daily)
        )
        client = LeadConnector(
            "sandbox",
            base_url=sandbox.url,
            location_id=location_id or _SANDBOX_LOCATION,
            rate_limit=rate,
            concurrency=order.concurrency,
            limits=read_limits(order.redis),
        )
    else:
        client = await _make_client(
            order, location_id, rate_limit=rate, concurrency=order.concurrency, limits=read_limits(order.redis)
        )
    return await stack.enter_async_context(client)


async def _make_client(order: Order, location_id: str | None, **options: Any) -> LeadConnector:
    """Return a client of the service; it is not open."""
    options |= await choose_token(order.token_file, order.login)
    if location_id:
        options["location_id"] = location_id
    return LeadConnector.from_env(**options)


# ---------------------------------------------------------------------------------------------- before the first row


def _tell_beforehand(order: Order, run: Migration, *, is_found: bool) -> None:
    if order.is_resumed:
        tell(
            "Going on with an earlier run."
            if is_found
            else "There is no earlier run in that folder: starting a new one."
        )
    _tell_of_rows(run)
    if run.options.snapshot:
        tell(_SNAPSHOT_SENTENCE)
    if any(file.has_tags for file in run.files):
        tell(_TAGS_SENTENCES[run.options.tags])
    if not order.is_sandbox:
        tell("Each write fires the location's contact webhooks and workflows.")


def _tell_of_rows(run: Migration) -> None:
    """Say what was read, of a run that was prepared just now."""
    if not run.read_files:
        return
    for sentence in (*run.notes, *_about_columns(run)):
        tell(one_line(sentence))
    problems = run.plan.problems
    for kind in problems[:_MOST_KINDS]:
        tell(f"  {kind.count} x {clean_text(describe_problem(kind))}")
    if len(problems) > _MOST_KINDS:
        tell(f"  and {count_of(len(problems) - _MOST_KINDS, 'more kind')} of problem")
    for sentence in run.shared:
        tell(sentence)
    for sentence in about_closings(run.plan.closings) if run.plan.closings is not None else ():
        tell(clean_text(sentence))
    emptied = about_emptied(split_emptied(run.read_files)[0]) if run.options.empty == "clear" else None
    if emptied is not None:
        tell(one_line(emptied))


def _about_columns(run: Migration) -> Iterator[str]:
    """Yield whose export each file looks like, and which of its columns are not sent."""
    for file in run.read_files:
        if file.map is None:
            continue
        if file.map.preset is not None:
            yield f"{file.name}: looks like an export of {file.map.preset.name}"
        consent = [f"{column.name} ({column.target.text})" for column in file.map.columns if column.target.consent]
        if consent:
            yield f"{file.name}: read as consent: {', '.join(consent)}"
        by_reason: dict[str, list[str]] = {}
        for unsent in file.map.unsent:
            by_reason.setdefault(unsent.reason, []).append(shorten(unsent.name))
        for reason, names in by_reason.items():
            yield f"{file.name}: ignored columns: {', '.join(names)} ({reason})"


async def _is_agreed(order: Order, run: Migration, client: LeadConnector, stop: asyncio.Event) -> bool:
    """Ask before the first write, where that is no sandbox, and somebody is there."""
    if order.is_agreed or order.is_sandbox or not is_person_there():
        return True
    where = f"location {client.location_id}" if client.location_id else "the locations that they name"
    rows = count_of(run.plan.rows, "row")
    return await is_agreed(f"Send {rows} to {clean_text(where)} at {clean_text(client.host)}?", stop)


# ---------------------------------------------------------------------------------------------- the load


async def _upsert(order: Order, run: Migration, client: LeadConnector, stop: asyncio.Event) -> str | None:
    """Run a load to its end, and return what ended it early, if it was no wish of the user's."""
    rate = read_rate(order.rate, order.daily)
    most, wanted = rate.max_requests / rate.per_seconds, order.is_progress_wanted
    shown, reading = Silent(), _Reading(is_wanted=wanted)
    with ExitStack() as opened:

        def show_progress(load: FileLoad) -> None:
            nonlocal shown
            progress = open_progress(load.total, load.report, most, client.calls_left_today, is_wanted=wanted)
            shown = opened.enter_context(progress)

        try:
            await run.upsert(
                stop=stop,
                wait_for_quota=order.waits,
                max_failures=FIRST_ALIKE if order.max_failures is None else order.max_failures,
                retry_failed=order.retry_failed,
                limit=order.limit,
                as_planned=True,  # else it was refused before anything was asked
                tell=tell,
                on_read=reading.count,
                on_load=show_progress,
                on_outcome=lambda outcome: shown.update(outcome),
                on_step=lambda progress: shown.update_step(progress),
            )
        except LoadStoppedError as error:
            return str(error)
        except asyncio.CancelledError:
            if not stop.is_set() or run.load is None:
                raise
            return "interrupted at once"
    return None


class _Reading:
    """A line now and then on how far the reading of what is there has come."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._done = 0
        self._told = time.monotonic()

    def count(self, more: int) -> None:
        """Take note of some more."""
        self._done += more
        now = time.monotonic()
        if self._is_wanted and now - self._told >= _LINE_SECONDS:
            self._told = now
            tell(f"Reading the existing contacts: {self._done:,} so far")


def _conclude_reading(order: Order, folder: Path | None, error: LeadConnectorError) -> int:
    """Say what ended the reading of what is there, and how to go on."""
    is_wish = isinstance(error, StopRequestedError)
    show("Interrupted." if is_wish else f"Stopped early: {clean_text(str(error))}")
    command = describe_command(order, describe_sources(order.sources), "--out", str(folder), "--resume")
    show(f"Nothing was sent. Next, to go on reading the existing contacts: {command}")
    return INTERRUPTED if is_wish else STOPPED
