"""`leadconnector plan`: what a load would do, told before anything is written."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..client import LeadConnector
from ..environment import LOCATION_ID, read_variable
from ..errors import ConfigurationError, LoginRequiredError
from ..limits.limit import RateLimit
from ..migration.existing import READING_ENDS
from ..migration.migration import IN_SANDBOX, Migration
from ..migration.plan import (
    Comparison,
    Plan,
    PlannedColumn,
    PlannedFile,
    PlannedLocation,
    PlannedTags,
    SharedContact,
    SharedRow,
)
from ..migration.report.plan_page import build_plan_page
from ..migration.report.words import (
    DND_WORDS,
    TAGS_WORDS,
    about_closings,
    about_comparison,
    about_matching,
    about_rows,
    about_time,
    where_to,
)
from ..private_file import write_new
from ..protocol.answers import clean_text
from ..protocol.text import count_of, one_line
from .conclusion import describe_problem
from .options import read_rate
from .orders import Order
from .terminal import INTERRUPTED, STOPPED, calling_on_signals, show, show_document, tell
from .upsert import open_client

# ---------------------------------------------------------------------------------------------- a plan as text

_MOST: Final = 12
_MOST_GROUPS: Final = 5
_WIDEST: Final = 40
_PHONE_FATES: Final[dict[str, str]] = {
    "keeps": "keeps it",
    "waits": "is sent without it; set afterwards, if the service takes it",
    "skipped": "is left out",
}


def describe_plan(plan: Plan) -> Iterator[str]:
    """Yield the lines."""
    for title, lines in _sections(plan):
        if found := list(lines):
            yield from ("", title) if title != _FIRST else (title,)
            yield from (f"  {line}" for line in found)


_FIRST: Final = "Columns"
COMPARISON_TITLE: Final = "Compared with the stored contacts"


def _sections(plan: Plan) -> Iterator[tuple[str, Iterable[str]]]:
    yield _FIRST, (line for file in plan.files for line in _columns(file, is_alone=len(plan.files) == 1))
    yield "Rows", _rows(plan)
    yield COMPARISON_TITLE, [] if plan.comparison is None else describe_comparison(plan.comparison)
    yield "Problems", _problems(plan)
    yield "Nothing would be sent", map(one_line, plan.obstacles)
    yield "Tags", [] if plan.tags is None else _tags(plan.tags)
    yield f"Do not disturb ({DND_WORDS})", (f"{word} on {count_of(count, 'row')}" for word, count in plan.dnd.items())
    yield "Opt-outs", [] if plan.closings is None else map(clean_text, about_closings(plan.closings))
    yield "Fields that empty cells would clear", _emptied(plan)
    yield "Custom fields that would be created", map(one_line, plan.new_fields)
    yield "Calls and time", _locations(plan)
    yield "What else happens", plan.effects
    yield "Assumptions", map(one_line, plan.assumptions)


def _columns(file: PlannedFile, *, is_alone: bool) -> Iterator[str]:
    export = f", looks like an export of {file.looks_like}" if file.looks_like else ""
    yield f"{clean_text(file.name)}: {count_of(file.rows, 'row')}{export}"
    names = [clean_text(column.name) for column in file.columns]
    width = min(max(map(len, names), default=0), _WIDEST)
    for name, column in zip(names, file.columns, strict=True):
        yield f"  {name:{width}}  {clean_text(_where_to(column, file))}"


def _where_to(column: PlannedColumn, file: PlannedFile) -> str:
    return f"-> {where_to(column, file)}" if column.target is not None else f"not sent ({column.reason})"


def _rows(plan: Plan) -> Iterator[str]:
    yield from about_rows(plan)
    yield from about_matching(plan)
    yield from _groups("one contact", plan.overwritten, plan.forecast.overwrites)
    yield from _groups("one phone", plan.sharing, plan.forecast.deferred + plan.forecast.skipped)


def describe_comparison(found: Comparison) -> Iterator[str]:
    """Yield the lines on how rows stand against what is there, with examples of what would change."""
    yield from map(clean_text, about_comparison(found))
    for row in found.examples[:_MOST_GROUPS]:
        yield clean_text(f"{row.where}: {row.who}")
        for change in row.changes:
            yield "  " + clean_text(f"{change.field}: {change.stored or 'nothing'} -> {change.sent or 'nothing'}")
    if found.changed > _MOST_GROUPS:
        yield f"and {count_of(found.changed - _MOST_GROUPS, 'more row')}"


def _groups(title: str, groups: list[SharedContact], rows: int) -> Iterator[str]:
    for group in groups[:_MOST_GROUPS]:
        yield f"  {title}:"
        for row in group.rows:
            yield f"    {clean_text(f'{row.where}: {row.who}')} ({_fate(row)})"
        if group.size > len(group.rows):
            yield f"    and {count_of(group.size - len(group.rows), 'more row')}"
    if len(groups) > _MOST_GROUPS:
        yield f"  and more ({count_of(rows, 'row')} in all); --html and --json show them"


def _fate(row: SharedRow) -> str:
    if row.fate in _PHONE_FATES:
        return _PHONE_FATES[row.fate]
    return f"{row.fate} it, by {row.field}" if row.field else f"{row.fate} it"


def _problems(plan: Plan) -> Iterator[str]:
    for kind in plan.problems[:_MOST]:
        yield f"{kind.count:,} x {clean_text(describe_problem(kind))}"
    if len(plan.problems) > _MOST:
        yield f"and {count_of(len(plan.problems) - _MOST, 'more kind')}; --html and --json show all"


def _tags(tags: PlannedTags) -> Iterator[str]:
    yield f"{count_of(tags.rows, 'row has', 'rows have')} tags. {TAGS_WORDS[tags.rule]}"
    shown = [f"{clean_text(name)} ({count:,})" for name, count in list(tags.names.items())[:_MOST]]
    more = tags.kinds - len(shown)
    yield ", ".join(shown) + (f", and {more:,} more" if more else "")


def _emptied(plan: Plan) -> Iterator[str]:
    for name, count in list(plan.emptied.items())[:_MOST]:
        yield f"{clean_text(name)} on {count_of(count, 'row')}"
    if len(plan.emptied) > _MOST:
        yield f"and {count_of(len(plan.emptied) - _MOST, 'more field')}"


def _locations(plan: Plan) -> Iterator[str]:
    for location in plan.locations[:_MOST]:
        yield from _location(location)
    if plan.location_count > _MOST:
        yield f"and {count_of(plan.location_count - _MOST, 'more location')}"
    if plan.location_count > 1:
        yield f"In total: at most {count_of(plan.calls, 'call')}, {about_time(plan.seconds, plan.days)}"


def _location(location: PlannedLocation) -> Iterator[str]:
    name = "the location" if location.id is None else f"location {clean_text(location.id)}"
    limit = f"{count_of(location.max_requests, 'call')} in {location.per_seconds:g} s"
    if location.daily is not None:
        limit += f" and {location.daily:,} a day"
    left = "" if location.left_today is None else f", {location.left_today:,} left today"
    told = about_time(location.seconds, location.days)
    rows, calls = count_of(location.rows, "row"), count_of(location.calls, "call")
    yield f"{name}: {rows}, at most {calls}, {told} ({limit}{left})"


class PlanOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for.

    Attributes:
        load: The load that is planned; its `out` is where the run is kept, or None.
        is_offline: Whether the service is not to be asked.
        is_json: Whether scripts are to read it.
        html: Where to write it as a page, or None.
        is_compared: Whether rows are to be compared with what is there.
    """

    load: Order
    is_compared: bool
    is_offline: bool
    is_json: bool
    html: Path | None


async def plan(order: PlanOrder) -> int:
    """Say what a load would do, and return the exit code: 1 where some row or all of the load would not be sent.

    Raises:
        ConfigurationError: Something is missing or wrong, or the page cannot be written.
        JournalError: What is there cannot be kept for as long as it takes.
    """
    _check(order)
    stop = asyncio.Event()
    with calling_on_signals(stop.set):
        try:
            made = await _plan(order, stop)
        except InterruptedError:
            made = None
        except LoginRequiredError:
            raise
        except READING_ENDS as error:
            made = None
            if not stop.is_set():
                tell(f"Stopped early: {clean_text(str(error))}. No plan was made.")
                tell("Next: run the same command again.")
                return STOPPED
    if made is None:
        tell("Interrupted: no plan was made.")
        return INTERRUPTED
    _tell_plan(order, made)
    return 1 if made.refused or made.obstacles else 0


def _check(order: PlanOrder) -> None:
    if order.is_compared and order.is_offline:
        raise ConfigurationError(
            "--compare reads the location's contacts, and --offline calls nothing: give only one of them"
        )
    if order.html is not None and os.path.lexists(order.html):
        raise ConfigurationError(f"--html {order.html}: already exists; name another file")
    if order.html is not None and (order.html.is_dir() or not order.html.parent.is_dir()):
        raise ConfigurationError(f"--html {order.html}: cannot be written; name a file in an existing folder")
    if order.load.out is not None and order.load.is_sandbox:
        raise ConfigurationError(
            "--out keeps the run for later, but a --sandbox ends with this command: start a lasting one with "
            "`leadconnector sandbox`"
        )


def _tell_plan(order: PlanOrder, made: Plan) -> None:
    if order.html is not None:
        _write_page(order.html, made)
    show_document(made)
    if not order.is_json:
        show("\n".join(describe_plan(made)))
    if order.html is not None:
        tell(f"As a page: {order.html}")
    if order.load.out is not None:
        tell(
            f"Kept in {order.load.out}/, which holds personal data. Next, to load exactly this: {_command(order.load)}"
        )


def _command(load: Order) -> str:
    words = ["leadconnector", "upsert", str(load.out)]
    options = {"--location": load.location_id, "--rate": load.rate, "--daily": load.daily, "--redis": load.redis}
    return shlex.join(
        words + [word for name, value in options.items() if value is not None for word in (name, str(value))]
    )


async def _plan(order: PlanOrder, stop: asyncio.Event) -> Plan:
    load = order.load
    async with AsyncExitStack() as stack:
        rate = read_rate(load.rate, load.daily)
        client = await _find_client(order, rate, stack)
        if client is None and order.is_compared:
            raise ConfigurationError(
                "--compare needs a token, to read the location's contacts: set LEADCONNECTOR_TOKEN"
            )
        run = await Migration.prepare(
            client,
            load.sources,
            folder=load.out,
            options=load.options,
            compare=order.is_compared or load.options.selection.is_any,
            keep_with_obstacles=True,
            rate_limit=rate,
            location_id=load.location_id or read_variable(LOCATION_ID),
            target=IN_SANDBOX if load.is_sandbox else None,
            stop=stop,
            tell=tell,
        )
        run.close()
        return run.plan


async def _find_client(order: PlanOrder, rate: RateLimit, stack: AsyncExitStack) -> LeadConnector | None:
    """Open a client where there is a token for it."""
    if order.is_offline:
        return None
    try:
        return await open_client(order.load, rate, stack)
    except LoginRequiredError:
        if order.load.login.store is not None:
            raise
        return None


def _write_page(path: Path, made: Plan) -> None:
    try:
        write_new(path, build_plan_page(made))
    except OSError as error:
        raise ConfigurationError(f"--html {path}: cannot be written ({error.strerror or error})") from None
