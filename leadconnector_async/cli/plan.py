"""`leadconnector plan`: what a load would do, told before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct

from ..answers import clean_text
from ..client import LeadConnector
from ..environment import LOCATION_ID, read_variable
from ..errors import ConfigurationError, LoginRequiredError
from ..limits import RateLimit
from ..migration.emptying import about_not_emptied
from ..migration.inputs import Inputs
from ..migration.matching import Matching
from ..migration.plan import Comparison, Plan
from ..migration.plan_page import build_plan_page
from ..migration.planning import MOST_ASKED, Asked, Seen, ask_locations, make_plan
from ..migration.problems import ProblemTally
from ..migration.rows import RowFile, split_emptied
from ..migration.survey import Survey
from ..models import ContactUpsert
from ..private_file import write_private
from ..sources import Closing, Skipped
from .exit_codes import INTERRUPTED, STOPPED
from .options import read_rate
from .orders import Order
from .phones import PhoneConflicts
from .plan_text import describe_plan
from .preparation import Preparation
from .printing import show, show_document, tell
from .saying import read_meaning
from .signals import calling_on_signals
from .stock import READING_ENDS, compare_with_stored
from .upsert import look_through, open_client


class PlanOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for.

    Attributes:
        load: The load that is planned.
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
    """Tell what a load would do, and return the exit code: 1 where some row or all of the load would not be sent.

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
                tell(f"Stopped early: {clean_text(str(error))}. There is no plan.")
                return STOPPED
    if made is None or stop.is_set():
        tell("Interrupted: there is no plan.")
        return INTERRUPTED
    _tell_plan(order, made)
    return 1 if made.refused or made.obstacles else 0


def _check(order: PlanOrder) -> None:
    if order.is_compared and order.is_offline:
        raise ConfigurationError("--compare reads what is there, and --offline asks for nothing: give one of them")
    if order.html is not None and (order.html.is_dir() or not order.html.parent.is_dir()):
        raise ConfigurationError(f"--html {order.html}: cannot be written; name a file in a folder that is there")


def _tell_plan(order: PlanOrder, made: Plan) -> None:
    if order.html is not None:
        _write_page(order.html, made)
    show_document(made)
    if not order.is_json:
        show("\n".join(describe_plan(made)))
    if order.html is not None:
        tell(f"As a page: {order.html}")


async def _plan(order: PlanOrder, stop: asyncio.Event) -> Plan:
    load, assumptions = order.load, list[str]()
    rate, meaning = read_rate(load.rate, load.daily), read_meaning(load.saying)
    async with AsyncExitStack() as stack:
        inputs = stack.enter_context(Inputs(load.sources, kept=None, is_stopped=stop.is_set))
        files = await asyncio.to_thread(look_through, inputs, meaning, load.limit)
        assumptions += [f"{file.name}: {note}" for file in files for note in file.table.notes]
        client = await _find_client(order, rate, files, stack)
        if client is None:
            assumptions += _without_asking(order)
        preparation = Preparation(load.saying, client, stop.is_set, assumptions.append)
        files = await preparation.look_up(files)
        matching = stack.enter_context(Matching())
        location_id = (load.location_id or read_variable(LOCATION_ID)) if client is None else client.location_id
        survey = Survey(location_id or "", tags_rule=load.tags, matching=matching)
        if load.saying.empties_fields:
            assumptions += filter(None, [about_not_emptied(split_emptied(files)[1])])
        comparison = None
        if client is not None and (order.is_compared or load.selection.is_any):
            shared = stack.enter_context(Matching())
            conflicts = PhoneConflicts(load.phone_conflict, client, rate, shared, stop.is_set)
            tally = await preparation.look_at(files, conflicts.look)
            await conflicts.settle()
            comparison = await _compare(load, client, files, survey, stop, conflicts)
        else:
            tally = await preparation.look_at(files, survey.look)
        seen = Seen(
            files=files,
            survey=survey,
            tally=tally,
            matching=matching,
            asked=await _ask(client, survey, rate, assumptions),
            limit=rate,
            target=None if client is None else "the sandbox" if load.is_sandbox else client.host,
            obstacles=_obstacles(preparation, tally),
            new_fields=preparation.missing,
            assumptions=assumptions,
            comparison=comparison,
            phone_conflict=load.phone_conflict,
        )
        return await asyncio.to_thread(make_plan, seen, stop.is_set)


def _without_asking(order: PlanOrder) -> Iterator[str]:
    """Yield what is taken for granted where nothing can be asked.

    Raises:
        ConfigurationError: What is there is to be compared.
    """
    if order.is_compared:
        raise ConfigurationError("--compare reads what is there, and there is no token: set LEADCONNECTOR_TOKEN")
    yield "The service was not asked: limits and matching are taken to be as usual."
    if order.load.selection.is_any:
        options = " ".join(order.load.selection.words())
        yield f"All rows are taken to be sent as they are: which {options} leaves out, what is there would tell."


async def _compare(
    load: Order,
    client: LeadConnector,
    files: list[RowFile],
    survey: Survey,
    stop: asyncio.Event,
    phones: PhoneConflicts,
) -> Comparison:
    def look(what: ContactUpsert | Skipped | Closing | None) -> None:
        if isinstance(what, Closing):
            survey.look_at_closing(what)
        elif isinstance(what, ContactUpsert):
            survey.look(what)
        else:
            survey.pass_over()

    return await compare_with_stored(load.wish, client, files, stop, conflicts=phones.conflicts(), on_row=look)


async def _find_client(
    order: PlanOrder, rate: RateLimit, files: list[RowFile], stack: AsyncExitStack
) -> LeadConnector | None:
    """Open a client where there is a token for it."""
    if order.is_offline:
        return None
    try:
        return await open_client(order.load, rate, files, stack)
    except LoginRequiredError:
        if order.load.login.store is not None:
            raise
        return None


async def _ask(
    client: LeadConnector | None, survey: Survey, rate: RateLimit, assumptions: list[str]
) -> dict[str, Asked]:
    if client is None:
        return {}
    names = [name for name, _ in survey.by_location.most_common(MOST_ASKED)]
    if len(survey.by_location) > MOST_ASKED:
        more = len(survey.by_location) - MOST_ASKED
        assumptions.append(f"{more:,} more locations were not asked: limits and matching are taken to be as usual.")
    return await ask_locations(client, names, rate, assumptions.append)


def _obstacles(preparation: Preparation, tally: ProblemTally) -> list[str]:
    try:
        preparation.refuse(tally)
    except ConfigurationError as error:
        return [str(error)]
    return []


def _write_page(path: Path, made: Plan) -> None:
    try:
        write_private(path, build_plan_page(made))
    except OSError as error:
        raise ConfigurationError(f"--html {path}: cannot be written ({error.strerror or error})") from None
