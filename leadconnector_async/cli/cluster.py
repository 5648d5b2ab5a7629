"""`leadconnector upsert --dask`: the same load on a cluster."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, Final

from ..bulk.report import BatchReport
from ..cluster import ClientOptions, Parts, Progress, upsert_partitions
from ..errors import ConfigurationError
from ..limits.limit import RateLimit
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from .conclusion import tell_counts
from .flags import FLAGS
from .options import address_of, read_rate
from .orders import Order, describe_command, describe_sources
from .terminal import (
    INTERRUPTED,
    STOPPED,
    clock_text,
    is_agreed,
    is_person_there,
    show,
    show_document,
    stopping_in_order,
    tell,
)

_LOCAL: Final = "local"
_LINE_SECONDS: Final = 5.0


async def load_on_cluster(order: Order, scheduler: str) -> int:
    """Load files with the workers of a cluster, and return the exit code.

    Args:
        order: What the command line asks for.
        scheduler: The address of the scheduler, or `local` for a cluster on this machine.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was sent.
        JournalError: The folder of the run cannot be read or written.
    """
    _refuse_options(order, scheduler)
    stop = asyncio.Event()
    out = address_of(str(order.out or f"leadconnector-run-{datetime.now().astimezone():%Y%m%d-%H%M%S}"))
    with stopping_in_order(stop):
        try:
            async with AsyncExitStack() as stack:
                options = await _choose_options(order, stack)
                report = await upsert_partitions(
                    options,
                    [address_of(str(path)) for path in order.sources.files],
                    out=out,
                    scheduler=None if scheduler == _LOCAL else scheduler,
                    meaning=order.options.read_meaning(),
                    reading=order.options.complete(order.sources).reading,
                    resume=order.is_resumed,
                    wait_for_quota=order.waits,
                    stop=stop,
                    on_parts=Asking(order, options, stop),
                    on_progress=Teller() if order.is_progress_wanted else None,
                )
        except NotAgreedError:
            tell("Nothing was sent.")
            return INTERRUPTED
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            tell("Stopped at once; the run's folder shows what happened to each row.")
            _show_way_on(order, scheduler, out)
            return INTERRUPTED
    return _conclude(order, scheduler, out, report, is_interrupted=stop.is_set())


def _refuse_options(order: Order, scheduler: str) -> None:
    """Refuse what a load on a cluster cannot do.

    Raises:
        ConfigurationError: Something of it is asked for.
    """
    asked = {
        "--sql": order.sources.query is not None,
        "standard input (-)": order.sources.is_asked_once and order.sources.query is None,
        "--limit": order.options.limit is not None,
        "--dry-run": order.is_dry_run,
        "--retry-failed": order.retry_failed,
        "--strict": order.options.strict,
        "--create-fields": order.options.create_fields,
        "--store": order.login.store is not None,
        "--client-secret-file": order.login.secret_file is not None,
        "--snapshot": order.options.snapshot,
        "--redis": order.redis is not None,
        "--empty clear": order.options.empty == "clear",
        "--match id": order.options.match == "id",
        "--create-nameless": order.options.create_nameless,
        "--phone-conflict skip": order.options.phone_conflict == "skip",
        FLAGS["max_failures"]: order.max_failures is not None,
        " ".join(FLAGS[name] for name in order.options.selection.names()): order.options.selection.is_any,
    }
    for option, is_asked in asked.items():
        if is_asked:
            raise ConfigurationError(f"--dask does not go with {option}; leave one of them out")
    if order.is_sandbox and scheduler != _LOCAL:
        raise ConfigurationError("--sandbox is on this machine, and a cluster may not be: use --dask local")
    if order.is_resumed and order.out is None:
        raise ConfigurationError("--resume on a cluster needs --out: give it the folder of the run")


async def _choose_options(order: Order, stack: AsyncExitStack) -> ClientOptions:
    rate = read_rate(order.rate, order.daily)
    options: dict[str, Any] = {"rate_limit": rate, "concurrency": order.concurrency}
    if order.location_id:
        options["location_id"] = order.location_id
    if order.is_sandbox:
        return ClientOptions(base_url=await _open_sandbox(rate, stack), token_source="sandbox", **options)  # noqa: S106
    if order.token_file is not None:
        options["token_source"] = f"file:{order.token_file.resolve()}"
    return ClientOptions.from_env(**options)


async def _open_sandbox(rate: RateLimit, stack: AsyncExitStack) -> str:
    from ..sandbox import Sandbox

    sandbox = Sandbox(max_requests=rate.max_requests, per_seconds=rate.per_seconds, daily=rate.daily)
    return (await stack.enter_async_context(sandbox)).url


class NotAgreedError(Exception):
    """Somebody was asked whether to send the rows, and said no."""


class Asking:
    """Looks at a load when its rows are counted, and asks before the first write where somebody is there."""

    def __init__(self, order: Order, options: ClientOptions, stop: asyncio.Event) -> None:
        self._order = order
        self._options = options
        self._stop = stop

    async def __call__(self, parts: Parts) -> None:
        """Look at the rows, and ask.

        Raises:
            ConfigurationError: They have tags, which would replace others.
            NotAgreedError: The answer was no.
        """
        if parts.has_tags and self._order.options.tags == "add":
            raise ConfigurationError(
                "rows have tags, and a load on a cluster can only replace all tags of a contact: give --tags replace, "
                "or leave their column out with --ignore"
            )
        for note in parts.notes:
            tell(clean_text(note))
        if self._order.options.phone_conflict != "allow":
            tell(
                "A load on a cluster does not look for rows that share a phone: a later row overwrites the contact "
                "of an earlier one."
            )
        if not self._order.is_sandbox:
            tell("Each write fires the location's contact webhooks and workflows.")
        is_asked = not (self._order.is_agreed or self._order.is_sandbox or self._order.is_resumed)
        if is_asked and is_person_there():
            where = f"{count_of(parts.locations, 'location')} at {clean_text(self._options.base_url)}"
            if not await is_agreed(f"Send {count_of(parts.rows, 'row')} to {where}?", self._stop):
                raise NotAgreedError


class Teller:
    """Tells of progress, a line every few seconds, on stderr."""

    def __init__(self) -> None:
        self._told = time.monotonic()
        self._rows_before: int | None = None

    def __call__(self, progress: Progress) -> None:
        """Print a line where the last one is some time ago."""
        if self._rows_before is None:
            self._rows_before = progress.rows
        now = time.monotonic()
        if now - self._told < _LINE_SECONDS:
            return
        self._told = now
        rate = (progress.rows - self._rows_before) / max(progress.seconds, 0.1)
        left = clock_text((progress.total_rows - progress.rows) / rate) + " to go" if rate else "waiting"
        tell(
            f"{progress.rows:,}/{count_of(progress.total_rows, 'row')}, "
            f"{progress.locations:,}/{count_of(progress.total_locations, 'location')}, "
            f"{count_of(progress.workers, 'worker')}, {rate:.1f} a second, {left}"
        )


def _conclude(order: Order, scheduler: str, out: str, report: BatchReport, *, is_interrupted: bool) -> int:
    stopped = None if report.stopped is None else str(report.stopped)
    show_document({**report.to_dict(), "not_applied": report.not_applied, "stopped": stopped, "results": out})
    tell_counts(report)
    for field, count in report.not_applied.items():
        show(f"  {field} not applied on {count_of(count, 'row')} (see not_applied in results/)")
    if report.collisions:
        met = count_of(report.collisions, "row")
        show(f"  {met} overwrote the contact of another person (see collision_with in results/)")
    if report.stopped is not None:
        show(f"Stopped early: {clean_text(str(report.stopped))}")
    show(f"Results: {out}/ (report.json, results/*.parquet)")
    if report.stopped is not None:
        _show_way_on(order, scheduler, out)
    if is_interrupted and not report.is_complete:
        return INTERRUPTED
    if report.stopped is not None:
        return STOPPED
    return 0 if report.is_complete else 1


def _show_way_on(order: Order, scheduler: str, out: str) -> None:
    sources = [address_of(word) for word in describe_sources(order.sources)]
    show(f"Next, for the rows left: {describe_command(order, sources, '--dask', scheduler, '--out', out, '--resume')}")
