"""What a plan says in sentences, alike as text and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from .page import count_of
from .plan import Plan
from .throughput_chart import duration

TAGS_WORDS: Final[dict[Literal["add", "replace"], str]] = {
    "add": "They are added to those a contact has, after the upserts, a hundred contacts a call.",
    "replace": "They replace all that a contact has.",
}
ACTION_WORDS: Final = {
    "missing": "nothing is sent",
    "refused": "the row is not sent",
    "skipped": "sent without the cell",
    "fixed": "sent, changed",
    "sent": "sent as it is",
    "assumed": "sent",
}


def about_rows(plan: Plan) -> Iterator[str]:
    """Yield how many rows are sent."""
    yield f"{count_of(plan.rows, 'row')}: {plan.to_send:,} would be sent, {plan.refused:,} would not"


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
    for lost, name in ((told.lost_emails, "email"), (told.lost_phones, "phone")):
        if lost:
            yield f"{count_of(lost, 'row')} would lose the {name}, as the contact of another row has it"
    yield "What the location holds already is not compared: a row may also update a contact that is there"


def about_time(seconds: float, days: int) -> str:
    """Return how long something takes."""
    least = f"{duration(seconds)} at least" if seconds else "done within one window of the limit"
    return f"{least}, on {days:,} days" if days > 1 else least
