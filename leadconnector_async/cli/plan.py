"""`leadconnector plan`: what a load would do, told before anything is written."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct

from ..client import LeadConnector
from ..errors import ConfigurationError, LoginRequiredError
from ..limits import RateLimit
from ..migration.inputs import Inputs
from ..migration.matching import Matching
from ..migration.plan import Plan
from ..migration.plan_page import build_plan_page
from ..migration.planning import MOST_ASKED, Asked, Seen, ask_locations, encode_plan, make_plan
from ..migration.problems import ProblemTally
from ..migration.rows import RowFile
from ..migration.survey import Survey
from .options import read_rate
from .plan_text import describe_plan
from .preparation import Preparation
from .printing import show, tell
from .saying import read_meaning
from .signals import calling_on_signals
from .upsert import Order, look_through, open_client

_INTERRUPTED = 130


class PlanOrder(Struct, frozen=True, kw_only=True):
    """What the command line asks for.

    Attributes:
        load: The load that is planned.
        is_offline: Whether the service is not to be asked.
        is_json: Whether scripts are to read it.
        html: Where to write it as a page, or None.
    """

    load: Order
    is_offline: bool
    is_json: bool
    html: Path | None


async def plan(order: PlanOrder) -> int:
    """Tell what a load would do, and return the exit code: 1 where some row or all of the load would not be sent.

    Raises:
        ConfigurationError: Something is missing or wrong, or the page cannot be written.
    """
    if order.html is not None and (order.html.is_dir() or not order.html.parent.is_dir()):
        raise ConfigurationError(f"--html {order.html}: cannot be written; name a file in a folder that is there")
    stop = asyncio.Event()
    with calling_on_signals(stop.set):
        try:
            made = await _plan(order, stop)
        except InterruptedError:
            made = None
    if made is None or stop.is_set():
        tell("Interrupted: there is no plan.")
        return _INTERRUPTED
    if order.html is not None:
        _write_page(order.html, made)
    show(encode_plan(made) if order.is_json else "\n".join(describe_plan(made)))
    if order.html is not None:
        tell(f"As a page: {order.html}")
    return 1 if made.refused or made.obstacles else 0


async def _plan(order: PlanOrder, stop: asyncio.Event) -> Plan:
    load, assumptions = order.load, list[str]()
    rate, meaning = read_rate(load.rate, load.daily), read_meaning(load.saying)
    async with AsyncExitStack() as stack:
        inputs = stack.enter_context(Inputs(load.sources, kept=None, is_stopped=stop.is_set))
        files = await asyncio.to_thread(look_through, inputs, meaning, load.limit)
        assumptions += [f"{file.name}: {note}" for file in files for note in file.table.notes]
        client = await _find_client(order, rate, files, stack)
        if client is None:
            assumptions.append("The service was not asked: limits and matching are taken to be as usual.")
        preparation = Preparation(load.saying, client, stop.is_set, assumptions.append)
        files = await preparation.look_up(files)
        matching = stack.enter_context(Matching())
        location_id = (load.location_id or _given_location()) if client is None else client.location_id
        survey = Survey(location_id or "", tags_rule=load.tags, matching=matching)
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
        )
        return await asyncio.to_thread(make_plan, seen, stop.is_set)


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


def _given_location() -> str | None:
    return os.environ.get("LEADCONNECTOR_LOCATION_ID", "").strip() or None


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
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(build_plan_page(made), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"--html {path}: cannot be written ({error.strerror or error})") from None
    finally:
        part.unlink(missing_ok=True)
