"""What a plan says in sentences, alike as text and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from ...bulk.report import BatchReport
from ...errors import AuthenticationError, LocationRefusedError, StopRequestedError
from ..mapping.targets import CONSENT_PREFIXES
from ..matching import Forecast
from ..plan import Comparison, Plan, PlannedColumn, PlannedFile
from .charts import duration
from .html import count_of

TAGS_WORDS: Final[dict[Literal["add", "replace"], str]] = {
    "add": "They are added to those a contact has, after the upserts, a hundred contacts a call.",
    "replace": "They replace all that a contact has.",
}
_MOST_FIELDS: Final = 12
ACTION_WORDS: Final = {
    "missing": "nothing is sent",
    "refused": "the row is not sent",
    "skipped": "sent without the cell",
    "fixed": "sent, changed",
    "sent": "sent as it is",
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
    return f"{column.target} (of {others + 1} columns for it, one that is filled)"


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
    asked = "" if known else "; as is usual, as not all were asked" if plan.target else "; as is usual"
    yield f"They are {count_of(told.contacts, 'contact')}, as they are matched by {' or by '.join(orders)}{asked}"
    if told.repeats:
        yield f"{count_of(told.repeats, 'row')} would update the contact of an earlier row about the same person"
    if told.overwrites:
        rows = count_of(told.overwrites, "row")
        yield f"{rows} would OVERWRITE the contact of another person, as they share an email or phone"
    yield from _about_phones(told, is_wanted=plan.phone_conflict == "skip")
    for lost, name in ((told.lost_emails, "email"), (told.lost_phones, "phone")):
        if lost:
            yield f"{count_of(lost, 'row')} would lose the {name}, as the contact of another row has it"
    if plan.comparison is None:
        yield "What is there already is not compared (`compare` does): a row may also update a contact that is there"


def about_comparison(found: Comparison) -> Iterator[str]:
    """Yield how the rows stand against what is there."""
    yield (
        f"Compared with {count_of(found.there, 'contact')}: {found.new:,} new, {found.changed:,} would change one, "
        f"{found.same:,} would change nothing"
    )
    if found.repeated:
        yield f"{count_of(found.repeated, 'row')} more about somebody whom an earlier row is sent about"
    for reason, count in found.skipped.items():
        yield f"{count_of(count, 'row')} not sent, as {reason}"
    if found.same and not found.skipped:
        yield f"`skip_unchanged` would save the calls of {count_of(found.same, 'row')}"
    if found.fields:
        shown = sorted(found.fields.items(), key=lambda pair: -pair[1])[:_MOST_FIELDS]
        more = len(found.fields) - len(shown)
        told = ", ".join(f"{name} ({count:,})" for name, count in shown)
        yield f"What would change: {told}{f', and {more:,} more' if more else ''}"


def _about_phones(told: Forecast, *, is_wanted: bool) -> Iterator[str]:
    if told.deferred:
        rows = count_of(told.deferred, "row")
        yield f"{rows} would be sent without the phone, as a row of another person before has it, and overwrite nobody"
        refused = f"; the service will refuse it on {told.refused_phones:,}, as that person has it"
        yield f"That phone is set by an update after all rows{refused if told.refused_phones else ''}"
    if told.skipped:
        why = "`phone_conflict='skip'`" if is_wanted else "their location matches by phone alone"
        rows = count_of(told.skipped, "row")
        yield f"{rows} would be left out, as a row of another person before has the same phone ({why})"


def about_time(seconds: float, days: int) -> str:
    """Return how long something takes."""
    least = f"{duration(seconds)} at least" if seconds else "done within one window of the limit"
    return f"{least}, on {days:,} days" if days > 1 else least


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
        return f"{report.stopped}{more}; give the token access to it or correct its id, then go on"
    return f"{report.stopped}{more}"


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
