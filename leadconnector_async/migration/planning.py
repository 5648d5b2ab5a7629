"""Makes a plan of what was seen of the rows, and of what their locations say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from ..bulk.closing import CALLS_TO_CLOSE
from ..bulk.pool import Pool, until_stopped
from ..bulk.row import refusal_of_location
from ..bulk.source import Closing, Skipped
from ..calls.retry import is_worth_repeating
from ..client import LeadConnector
from ..errors import CallError, DailyQuotaExceededError, LeadConnectorError, RateLimitStuckError
from ..limits.limit import RateLimit, Window
from ..models import ContactUpsert, Filter, FilterGroup, any_of
from ..models.dnd import ALL
from ..models.locations import Location
from ..protocol.answers import clean_text
from ..rules.problems import ProblemTally
from ..run.rows import RunFile, RunRow
from .load import Read, change_rest
from .mapping.rows import RowFile
from .matching import USUAL_ORDER, Conflict, Matching, MatchRule, PhoneRule
from .phones import SharedRow, SharedRows, what_to_send
from .plan import (
    Closings,
    ComparedRow,
    Comparison,
    FieldChange,
    Plan,
    PlannedLocation,
    effects_of,
    longest,
    time_needed,
)
from .report.html import shorten
from .select import Choice, Chooser
from .survey import Survey, describe_file, describe_person, find_shared
from .tables.table import text_of

_TRIAL: Final = RateLimit(25, 10.0, daily=10_000)  # as the vendor has it for trial accounts
MOST_ASKED: Final = 20  # locations of one load; the others are taken to be as usual
_MOST_LOCATIONS: Final = 100  # that are told one by one


class Asked(Struct, frozen=True, kw_only=True):
    """What a location says of itself.

    Attributes:
        rule: How it matches.
        limit: The limits that hold for it, ours and its own.
        left_today: How many calls of its day are left, where that is known.
        country: Where its phone numbers are from that name no country, as two letters, or None.
    """

    rule: MatchRule
    limit: RateLimit
    left_today: int | None
    country: str | None = None


async def ask_locations(
    client: LeadConnector,
    location_ids: Iterable[str],
    limit: RateLimit,
    tell: Callable[[str], None],
    pool: Pool | None = None,
    *,
    waits: bool = True,
    waits_for_quota: bool = False,
    stop: asyncio.Event | None = None,
) -> dict[str, Asked]:
    """Ask locations how they match contacts; one that does not say it is left out, and that is told.

    Args:
        client: It is open.
        location_ids: Which.
        limit: Our own.
        tell: Is told what is not known.
        pool: At whose work this is done: learns which locations refuse all calls. None where that is not to be told
            apart; then an outage is waited out here.
        waits: Without a pool: whether an outage is waited out; else a location is left out whose call is given up, or
            whose quota is spent.
        waits_for_quota: Without a pool: whether to wait for the next day where the day's calls are spent.
        stop: Without a pool: set it to give up at once.

    Raises:
        InterruptedError: `stop` was set.
        CallError: The call is given up, and the pool begins the work anew later.
        OutageError: Without a pool: the service was down for too long.
    """
    asked = {}
    for location_id in location_ids:
        try:
            get = partial(client.locations.get, location_id)
            if pool is not None:
                location = await get()
            elif waits:
                location = await Pool(client, waits_for_quota=waits_for_quota).ask(location_id, get, stop=stop)
            else:
                location = await until_stopped(get(), stop)
        except (DailyQuotaExceededError, RateLimitStuckError) as error:
            if pool is not None or waits:
                raise
            _tell_not_asked(tell, location_id, error)
            continue
        except CallError as error:
            if pool is not None and is_worth_repeating(error):
                raise
            if pool is None or not pool.note_refusal(location_id, error):
                _tell_not_asked(tell, location_id, error)
            continue
        settings = location.settings
        known = _read_order(location)
        if not known:
            tell(f"Location {location_id} does not say how it matches contacts; assumed: email, then phone.")
        asked[location_id] = Asked(
            rule=MatchRule(
                order=known or USUAL_ORDER,
                allows_duplicates=bool(settings is not None and settings.allow_duplicate_contact),
            ),
            limit=_known_limit(client.window(location_id), limit),
            left_today=client.calls_left_today(location_id),
            country=location.country,
        )
    return asked


_CLOSED_WORDS: Final = ("active", "permanent")
_COUNTED: Final[Mapping[str, Filter | FilterGroup]] = {
    ALL: Filter("dnd", "eq", True),
    **{
        channel: any_of(*(Filter(f"dnd_settings.{channel.lower()}.status", "eq", word) for word in _CLOSED_WORDS))
        for channel in ("Call", "Email", "SMS")
    },
}


async def count_closed(
    client: LeadConnector, location_ids: Sequence[str], tell: Callable[[str], None], stop: asyncio.Event | None = None
) -> dict[str, int] | None:
    """Count the contacts of locations whose channels are closed, by one search each that returns one contact.

    Returns:
        The number of contacts by channel, `all` for the switch of all channels; None where the service does not say.

    Raises:
        InterruptedError: `stop` was set.
    """
    counts = Counter[str]()
    for location_id in location_ids[:MOST_ASKED]:
        for channel, closed in _COUNTED.items():
            try:
                search = client.contacts.search_page(closed, page_size=1, location_id=location_id or None)
                total = (await until_stopped(search, stop)).total
            except CallError as error:
                tell(f"How many contacts were closed before could not be looked up ({clean_text(str(error))}).")
                return None
            if total is None:
                return None
            counts[channel] += total
    if len(location_ids) > MOST_ASKED:
        tell(f"How many contacts were closed before was looked up in {MOST_ASKED} of the locations.")
    return dict(counts)


def _read_order(location: Location) -> tuple[str, ...]:
    """Return by what a location matches contacts, in order; nothing where it does not say, or says it so that only a
    part can be read."""
    settings, odd = location.settings, location.extra.get("settings")
    if settings is None or (isinstance(odd, dict) and "contactUniqueIdentifiers" in odd):
        return ()
    return tuple(name for name in settings.contact_unique_identifiers or () if name in USUAL_ORDER)


def _tell_not_asked(tell: Callable[[str], None], location_id: str, error: LeadConnectorError) -> None:
    reason = clean_text(str(error))
    if isinstance(error, CallError) and refusal_of_location(error, location_id, has_answered=False) is not None:
        tell(
            f"Location {location_id} takes no calls ({reason}): its rows will not be sent unless the token, its id or "
            "the base URL is corrected."
        )
    else:
        tell(
            f"Location {location_id} could not be asked how it matches contacts ({reason}); assumed: email, then phone."
        )


def _known_limit(window: Window, ours: RateLimit) -> RateLimit:
    """Return our limit, as the answers have corrected it.

    They tell what is left of the day, and we keep nothing more: the day of a trial account is known by its window.
    """
    if not window.per_seconds:  # the client has no limit
        return ours
    calls, seconds, daily = window.capacity, window.per_seconds, ours.daily
    left = window.calls_left_today()
    if calls == _TRIAL.max_requests < ours.max_requests and left is not None and left <= (_TRIAL.daily or 0):
        daily = _TRIAL.daily if daily is None else min(daily, _TRIAL.daily or daily)
    return RateLimit(calls, seconds, daily=daily)


class Seen(Struct, frozen=True, kw_only=True):
    """All that a plan is made of.

    Attributes:
        files: What was read.
        rows: The rows.
        survey: What was gathered of them.
        tally: What is wrong with them.
        matching: Their identities; which of them share a phone is settled.
        asked: What locations said.
        limit: Our own limits of each location.
        target: The service that was asked, or None.
        obstacles: Why the load cannot begin.
        new_fields: Custom fields that are to be made.
        assumptions: What was taken for granted.
        comparison: Against what is there, or None.
        closings: Whose channels rows close, or None.
        phone_conflict: What is to be done about rows of several people with one phone.
    """

    files: Sequence[RowFile]
    rows: Sequence[RunFile]
    survey: Survey
    tally: ProblemTally
    matching: Matching
    asked: Mapping[str, Asked]
    limit: RateLimit
    target: str | None
    obstacles: list[str]
    new_fields: list[str]
    assumptions: list[str]
    phone_conflict: PhoneRule
    comparison: Comparison | None = None
    closings: Closings | None = None


def make_plan(seen: Seen, is_stopped: Callable[[], bool] = lambda: False) -> Plan:
    """Make the plan."""
    survey = seen.survey
    tags = survey.conclude_tags()
    rules = {name: asked.rule for name, asked in seen.asked.items()}
    forecast = seen.matching.forecast(rules, is_stopped)
    shared = find_shared(seen.rows, seen.matching)
    skipped, phone_calls = seen.matching.skipped(), seen.matching.phone_calls()
    names = dict.fromkeys([*(name for name, _ in survey.by_location.most_common()), *survey.closing_calls])
    locations = [
        _plan_location(seen, name, survey.by_location[name] - skipped.get(name, 0), phone_calls.get(name, 0))
        for name in names
    ]
    closings = survey.closing_calls.total() // CALLS_TO_CLOSE
    seconds, days = longest(locations)
    unwanted = 0 if seen.comparison is None else sum(seen.comparison.skipped.values())
    to_send = survey.by_location.total() - forecast.skipped
    return Plan(
        target=seen.target,
        files=[describe_file(file, rows.count) for file, rows in zip(seen.files, seen.rows, strict=True)],
        rows=survey.rows,
        to_send=to_send,
        refused=survey.rows - survey.by_location.total() - unwanted,
        skipped=forecast.skipped + unwanted,
        phone_conflict=seen.phone_conflict,
        obstacles=seen.obstacles,
        problems=seen.tally.kinds(),
        forecast=forecast,
        overwritten=shared["overwrites"],
        sharing=shared["phones"],
        repeated=shared["updates"],
        tags=tags,
        dnd=dict(sorted(survey.dnd.items())),
        emptied=dict(seen.survey.emptied.most_common()),
        new_fields=seen.new_fields,
        locations=locations[:_MOST_LOCATIONS],
        location_count=len(locations),
        calls=sum(location.calls for location in locations),
        seconds=seconds,
        days=days,
        effects=effects_of(
            to_send + sum(phone_calls.values()) - forecast.refused_phones + closings, 0 if tags is None else tags.rows
        ),
        assumptions=seen.assumptions,
        comparison=seen.comparison,
        by_id=survey.by_id,
        nameless=survey.nameless,
        closings=seen.closings,
    )


def _plan_location(seen: Seen, location_id: str, rows: int, phone_calls: int) -> PlannedLocation:
    usual = Asked(rule=MatchRule(), limit=seen.limit, left_today=None)
    asked = seen.asked.get(location_id, usual)
    survey = seen.survey
    calls = rows + phone_calls + survey.tag_calls[location_id]
    calls += survey.closing_calls[location_id] + survey.channel_calls[location_id]
    seconds, days = time_needed(calls, asked.limit, asked.left_today)
    return PlannedLocation(
        id=location_id or None,
        rows=rows,
        calls=calls,
        seconds=seconds,
        days=days,
        max_requests=asked.limit.max_requests,
        per_seconds=asked.limit.per_seconds,
        daily=asked.limit.daily,
        left_today=asked.left_today,
        match_order=list(asked.rule.order),
        is_asked=asked is not usual,
        allows_duplicates=None if asked is usual else asked.rule.allows_duplicates,
    )


# ---------------------------------------------------------------------------------------------- the comparison

_MOST_EXAMPLES: Final = 20
_MOST_FIELDS: Final = 1000  # kinds that are counted; custom fields known by key could be many
_ASKED_EVERY: Final = 1000


def compare_rows(
    files: Sequence[RunFile],
    chooser: Chooser,
    *,
    there: int,
    conflicts: Iterable[Conflict] = (),
    on_row: Callable[[ContactUpsert | Skipped | Closing | None], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Compare all rows, in constant memory.

    Args:
        files: The rows.
        chooser: Says what is done with each.
        there: How many contacts are known to be there.
        conflicts: The rows that share a phone with another person's, in their order.
        on_row: Called for each row in turn with what would be sent of it, a phone that is set afterwards among it; None
            of one that cannot be sent.
        is_stopped: Asked now and then; where it says so, the rest is not looked at.

    Raises:
        JournalError: What is there cannot be read.
        ConfigurationError: A file can be read no more.
    """
    found, shared_rows = Comparison(there=there), SharedRows(SharedRow(conflict, "") for conflict in conflicts)
    for number, row in enumerate(row for file in files for row in file.rows()):
        contact = row.contact
        if not isinstance(contact, ContactUpsert):
            on_row(None if row.closing is None else Closing(None, row.closing, contact))
            continue
        shared = shared_rows.find(number)
        what: Read | Skipped | Closing = contact if shared is None else what_to_send(contact, shared)
        if isinstance(what, ContactUpsert):
            choice = chooser.choose(what, whole=contact)
            _count(found, row, choice)
            what = choice.what
        rest = what.rest if isinstance(what, Closing) else what
        if isinstance(rest, Skipped):
            found.skipped[rest.reason] = found.skipped.get(rest.reason, 0) + 1
        elif shared is not None:
            what = change_rest(what, partial(msgspec.structs.replace, phone=contact.phone))
        on_row(what if isinstance(what, ContactUpsert | Skipped | Closing) else None)
        if number % _ASKED_EVERY == 0 and is_stopped():
            break
    return found


def _count(found: Comparison, row: RunRow, choice: Choice) -> None:
    if choice.is_after_another:
        found.repeated += 1
    elif choice.kind == "new":
        found.new += 1
    elif choice.kind == "same":
        found.same += 1
    else:
        found.changed += 1
        _add_changes(found, row, choice)


def _add_changes(found: Comparison, row: RunRow, choice: Choice) -> None:
    for change in choice.changes:
        if change.field in found.fields or len(found.fields) < _MOST_FIELDS:
            found.fields[change.field] = found.fields.get(change.field, 0) + 1
    if len(found.examples) < _MOST_EXAMPLES:
        told = [
            FieldChange(field=one.field, stored=shorten(text_of(one.stored)), sent=shorten(text_of(one.sent)))
            for one in choice.changes
        ]
        contact_id = "" if choice.stored is None else choice.stored.contact_id
        example = ComparedRow(where=row.where, who=describe_person(row), contact_id=contact_id, changes=told)
        found.examples.append(example)
