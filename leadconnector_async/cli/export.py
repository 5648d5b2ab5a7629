"""`leadconnector export`: the contacts of a location in a file."""

from __future__ import annotations

import asyncio
import shlex
import time
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..client import LeadConnector
from ..errors import ConfigurationError, LeadConnectorError, UsageError
from ..migration.export import ASKED, NOT_ASKED, Doubt, Export, ExportOrder, Progress, doubt_restrictions, find_untold
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from .options import read_limits, read_rate, read_token_file
from .terminal import INTERRUPTED, STOPPED, calling_on_signals, show, show_document, tell

_LINE_SECONDS: Final = 5.0
_BY_ID: Final = "--by-id reads each contact by its id, with one call each"
_ASKED: Final = f"{', '.join(ASKED[:-1])} or {ASKED[-1]}"
_NOT_ASKED: Final = f"{', '.join(NOT_ASKED[:-1])} or {NOT_ASKED[-1]}"
_DOUBTS: Final[dict[Doubt, str]] = {
    "unasked": (
        "do-not-disturb by channel is not in the file: searches return none, and the service does not say which "
        "contacts have a channel closed"
    ),
    "unseen": f"no contact has {_ASKED} closed; searches may not show contacts that have only {_NOT_ASKED} closed",
    "seen": (
        "searches leave out do-not-disturb by channel: it was read by id for {count} with "
        f"{', '.join(ASKED)} or inbound messages closed; which contacts have only {_NOT_ASKED} closed is not known"
    ),
}


class ExportCommand(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    path: Path
    location_id: str | None
    tags: list[str]
    query: str | None
    is_raw: bool
    is_for_spreadsheets: bool
    is_by_id: bool
    is_resumed: bool
    rate: str | None
    daily: int | None
    redis: str | None
    is_progress_wanted: bool
    token_file: Path | None


async def export(command: ExportCommand) -> int:
    """Export contacts and return the exit code.

    Raises:
        ConfigurationError: Something is missing or wrong; nothing was read.
    """
    options: dict[str, Any] = {"token": read_token_file(command.token_file)} if command.token_file else {}
    if command.location_id:
        options["location_id"] = command.location_id
    rate, limits = read_rate(command.rate, command.daily), read_limits(command.redis)
    client = LeadConnector.from_env(rate_limit=rate, limits=limits, **options)
    if not client.location_id:
        raise ConfigurationError("there is no location: give --location, or set LEADCONNECTOR_LOCATION_ID")
    order = ExportOrder(
        target=client.host,
        location_id=client.location_id,
        tags=tuple(command.tags),
        query=command.query,
        is_raw=command.is_raw,
        is_for_spreadsheets=command.is_for_spreadsheets,
        is_by_id=command.is_by_id,
    )
    with Export(command.path, order, is_resumed=command.is_resumed) as work:
        if command.is_resumed:
            beginning = "There is no interrupted export into that file: starting a new one."
            tell(f"Going on after {count_of(work.progress.contacts, 'contact')}." if work.is_going_on else beginning)
        return await _run(command, client, work)


async def _run(command: ExportCommand, client: LeadConnector, work: Export) -> int:
    task = asyncio.create_task(_read_all(command, client, work))

    def interrupt() -> None:
        task.cancel()

    with calling_on_signals(interrupt):
        await asyncio.wait([task])
    if task.cancelled():
        _tell_next(command, work, "interrupted")
        return INTERRUPTED
    error = task.exception()
    if error is None:
        _summarise(command, work)
        show_document(_document(command, work, None))
        return 0
    if not isinstance(error, LeadConnectorError | OSError) or isinstance(error, ConfigurationError | UsageError):
        raise error
    _tell_next(command, work, str(error.strerror or error) if isinstance(error, OSError) else str(error))
    return STOPPED


async def _read_all(command: ExportCommand, client: LeadConnector, work: Export) -> None:
    told = time.monotonic()

    def on_page(progress: Progress) -> None:
        nonlocal told
        if command.is_progress_wanted and time.monotonic() - told >= _LINE_SECONDS:
            told = time.monotonic()
            tell(count_of(progress.contacts, "contact"))

    async with client:
        await work.run(client, on_page)


def _summarise(command: ExportCommand, work: Export) -> None:
    progress = work.progress
    show(f"{count_of(progress.contacts, 'contact')} in {command.path}")
    if progress.undefined:
        values = count_of(progress.undefined, "value has", "values have")
        show(
            f"  {values} no column, because the location does not define their custom fields (any more); export to "
            ".jsonl to keep them"
        )
    if progress.unreadable:
        show(
            f"  {count_of(progress.unreadable, 'value')} of an unknown kind, written as they came; --raw writes all "
            "values that way"
        )
    if untold := find_untold(work.order, progress):
        show(f"  searches do not return {' and '.join(untold)}, which stay empty; {_BY_ID}")
    if doubt := doubt_restrictions(work.order, progress):
        show(f"  {_DOUBTS[doubt].format(count=count_of(progress.by_id, 'contact'))}; {_BY_ID}")


def _document(command: ExportCommand, work: Export, stopped: str | None) -> dict[str, object]:
    progress = work.progress
    return {
        "file": str(command.path),
        "contacts": progress.contacts,
        "undefined_values": progress.undefined,
        "unreadable_values": progress.unreadable,
        "read_by_id": progress.by_id,
        "not_returned": find_untold(work.order, progress),
        "do_not_disturb": doubt_restrictions(work.order, progress) or "complete",
        "stopped": stopped,
    }


def _tell_next(command: ExportCommand, work: Export, reason: str) -> None:
    show_document(_document(command, work, reason))
    show(f"Stopped early: {clean_text(reason)}; {count_of(work.progress.contacts, 'contact')} so far")
    options = {
        "--location": command.location_id,
        "--query": command.query,
        "--rate": command.rate,
        "--daily": command.daily,
        "--redis": command.redis,
        "--token-file": command.token_file,
    }
    words = ["leadconnector", "export", str(command.path), "--resume"]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += [word for tag in command.tags for word in ("--tag", tag)]
    words += ["--for-spreadsheets"] * command.is_for_spreadsheets
    words += ["--raw"] * command.is_raw + ["--by-id"] * command.is_by_id
    show(f"Next: {shlex.join(words)}")
