"""What a plan says in sentences, alike as text and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final, Literal

from ...bulk.report import BatchReport
from ...errors import AuthenticationError, LocationRefusedError, StopRequestedError
from ...models.dnd import ALL
from ...protocol.text import count_of
from ..mapping.targets import CONSENT_PREFIXES
from ..matching import Forecast
from ..plan import Closings, Comparison, Plan, PlannedColumn, PlannedFile
from .charts import duration

TAGS_WORDS: Final[dict[Literal["add", "replace"], str]] = {
    "add": "They are added to those that a contact has, after the upserts, with 100 contacts per call.",
    "replace": "They replace all tags of a contact.",
}
_MOST_FIELDS: Final = 12
ACTION_WORDS: Final = {
    "missing": "nothing is sent",
    "refused": "the row is not sent",
    "skipped": "sent without the cell",
    "fixed": "sent, changed",
    "sent": "sent as it is",
    "empty": "sent without the cell",
    "assumed": "sent",
}


DND_WORDS: Final = "active: the channel must not be used any more"


def where_to(column: PlannedColumn, file: PlannedFile) -> str:
    """Return where a column goes; of tags and consent all columns count, else one of those for the same field."""
    if column.target is None:
        return "not sent"
    others = sum(other.target == column.target for other in file.columns) - 1
    if not others or column.target == "tags" or column.target.startswith(CONSENT_PREFIXES):
        return column.target
    return f"{column.target} (of {count_of(others + 1, 'column')} for it, one that is filled)"


def about_rows(plan: Plan) -> Iterator[str]:
    """Yield how many rows are sent."""
    skipped = f", {plan.skipped:,} would be left out" if plan.skipped else ""
    yield f"{count_of(plan.rows, 'row')}: {plan.to_send:,} would be sent, {plan.refused:,} would not{skipped}"


def about_matching(plan: Plan) -> Iterator[str]:
    """Yield what becomes of the rows among each other."""
    told = plan.forecast
    if not plan.to_send:
        return
    orders = sorted({" and then ".join(location.match_order) for location in plan.locations})
    known = all(location.is_asked for location in plan.locations)
    asked = "" if known else " (the usual order; not all locations were asked)" if plan.target else " (the usual order)"
    yield f"They make {count_of(told.contacts, 'contact')}, matched by {' or by '.join(orders)}{asked}"
    if plan.by_id:
        yield f"{count_of(plan.by_id, 'row')} would update the contact of an id, and create none"
    if plan.nameless:
        yield f"{count_of(plan.nameless, 'row')} with a name alone would each make a contact, whoever is there already"
    if told.repeats:
        yield f"{count_of(told.repeats, 'row')} would update the contact of an earlier row about the same person"
    if told.overwrites:
        rows = count_of(told.overwrites, "row")
        yield f"{rows} would OVERWRITE the contact of another person, because they share an email or phone"
    yield from _about_phones(told, is_wanted=plan.phone_conflict == "skip")
    for lost, name in ((told.lost_emails, "email"), (told.lost_phones, "phone")):
        if lost:
            yield f"{count_of(lost, 'row')} would lose the {name}, because the contact of another row has it"
    if plan.comparison is None:
        yield "Existing contacts are not compared (`compare` does that): a row may also update one of them"


def about_comparison(found: Comparison) -> Iterator[str]:
    """Yield how the rows stand against what is there."""
    yield (
        f"Compared with {count_of(found.there, 'contact')}: {found.new:,} new, {found.changed:,} would change one, "
        f"{found.same:,} would change nothing"
    )
    if found.repeated:
        yield f"{count_of(found.repeated, 'row')} more about a person of an earlier row"
    for reason, count in found.skipped.items():
        yield f"{count_of(count, 'row')} not sent: {reason}"
    if found.same and not found.skipped:
        yield f"`skip_unchanged` would save the calls for {count_of(found.same, 'row')}"
    if found.fields:
        shown = sorted(found.fields.items(), key=lambda pair: -pair[1])[:_MOST_FIELDS]
        more = len(found.fields) - len(shown)
        told = ", ".join(f"{name} ({count:,})" for name, count in shown)
        yield f"What would change: {told}{f', and {more:,} more' if more else ''}"


_MOST_CELLS: Final = 5


def about_closings(closings: Closings, *, is_done: bool = False) -> Iterator[str]:
    """Yield whose channels are closed, by what, and whose were before.

    Args:
        closings: Of the plan, or of the load once its results are written.
        is_done: Whether these are the rows whose opt-outs were sent.
    """
    rows, one = count_of(closings.rows, "row"), closings.rows == 1
    what = ("has closed" if one else "have closed") if is_done else ("closes" if one else "close")
    yield f"{rows} {what} channels: {_counts(closings.channels)}" if closings.rows else f"{rows} {what} channels"
    for column in closings.columns:
        shown = dict([*column.words.items()][:_MOST_CELLS])
        more = len(column.words) - len(shown)
        words = ", ".join(f"{word!r} {count:,} x" for word, count in shown.items())
        yield (
            f"{column.file}: {column.column} ({column.target}) closes on {count_of(column.rows, 'row')}: "
            f"{words}{f' and {more:,} more' if more else ''}"
        )
    if closings.before is not None:
        yield f"Closed at the service before the load: {_counts(closings.before)}"


def _counts(channels: Mapping[str, int]) -> str:
    return ", ".join(f"{name_channel(channel)} {count:,}" for channel, count in channels.items())


def name_channel(channel: str) -> str:
    """Return a channel as people read it."""
    return "all channels (dnd)" if channel == ALL else channel


def _about_phones(told: Forecast, *, is_wanted: bool) -> Iterator[str]:
    if told.deferred:
        rows = count_of(told.deferred, "row")
        yield (
            f"{rows} would be sent without the phone, because an earlier row of another person has it; nobody is "
            "overwritten"
        )
        refused = f"; the service will refuse it for {told.refused_phones:,}, because that person has it"
        yield f"That phone is set after all rows{refused if told.refused_phones else ''}"
    if told.skipped:
        why = "`phone_conflict='skip'`" if is_wanted else "their location matches by phone alone"
        rows = count_of(told.skipped, "row")
        yield f"{rows} would be left out, because an earlier row of another person has the same phone ({why})"


def about_time(seconds: float, days: int) -> str:
    """Return how long something takes."""
    least = f"at least {duration(seconds)}" if seconds else "done within one window of the limit"
    return f"{least}, on {count_of(days, 'day')}" if days > 1 else least


# ---------------------------------------------------------------------------------------------- reasons


def why_stopped(report: BatchReport) -> str | None:
    """Say what ended a load early, unless the user asked for it."""
    if report.stopped is None or isinstance(report.stopped, StopRequestedError):
        return None
    if isinstance(report.stopped, AuthenticationError):
        return f"the service refused the token ({report.stopped}); check it"
    others = len(report.closed_locations) - 1
    more = f" ({others} more {'takes' if others == 1 else 'take'} none)" if others > 0 else ""
    if isinstance(report.stopped, LocationRefusedError):
        return f"{report.stopped}{more}; {_refusal_advice(report, report.stopped)}, then go on"
    return f"{report.stopped}{more}"


def _refusal_advice(report: BatchReport, refused: LocationRefusedError) -> str:
    """Say what to look at: where nothing was ever taken, it may be the address, or the token for all."""
    is_all_refused = not (report.created or report.updated)
    if is_all_refused and refused.status == HTTPStatus.NOT_FOUND:
        return "check the base URL and the ids of locations"
    if is_all_refused and len(report.closed_locations) > 1:
        return "as no location takes calls, check the token and the base URL"
    return "give the token access to it or correct its id"


def why_not_applied(field: str) -> str:
    """Say what is known of why the service takes a contact without a field."""
    if field in ("phone", "email"):
        return "another contact holds it"
    if field == "gender":
        return "the service drops it on a contact that exists"
    if field == "dnd_settings":
        return "the API can neither change a channel that is closed permanently nor close one permanently"
    if field.startswith("custom_fields."):
        return "there is no such field, or no such option"
    return "the service took the contact without it"
