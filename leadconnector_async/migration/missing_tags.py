"""What the outcomes of a load say of tags that were to be added, and were not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ..comparison import NotApplied
from ..errors import CallError
from ..report import Outcome, RowError
from .tag_book import REFUSED, Tagged

_REFUSED_KIND: Final = CallError.__name__


def tell_of_missing(outcomes: Iterator[Outcome], missing: dict[int, Tagged]) -> Iterator[Outcome]:
    """Have the outcomes say which tags were not added: a row whose tags were refused has failed, although its contact
    is written; one whose tags are yet to be added is as good as done."""
    for outcome in mark_missing(outcomes, missing):
        tagged = missing.get(outcome.index)
        if tagged is None or tagged.state != REFUSED or not is_written(outcome):
            yield outcome
            continue
        error = RowError(_REFUSED_KIND, None, f"its tags were not added: {tagged.reason}")
        note = f"the contact itself was {outcome.status}: {outcome.contact_id}"
        yield msgspec.structs.replace(outcome, status="failed", error=error, note=_join(outcome.note, note))


def mark_missing(outcomes: Iterator[Outcome], missing: dict[int, Tagged]) -> Iterator[Outcome]:
    """Have the outcomes name the tags that were not added, as fields that did not arrive."""
    for outcome in outcomes:
        tagged = missing.get(outcome.index)
        if tagged is None or not is_written(outcome):
            yield outcome
            continue
        lost = NotApplied("tags", list(tagged.tags), None)
        note = None if tagged.state == REFUSED else f"its tags were not added: {tagged.reason}"
        yield msgspec.structs.replace(outcome, not_applied=(*outcome.not_applied, lost), note=_join(outcome.note, note))


def _join(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note is not None) or None


def is_written(outcome: Outcome) -> bool:
    """Whether a row reached a contact."""
    return outcome.status in ("created", "updated")
