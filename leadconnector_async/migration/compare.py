"""Rows of a load compared with what is there before it: how many are new, change something, or change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from ..models import ContactUpsert
from ..sources import Closing, Skipped
from .page import shorten
from .phones import SharedRows, what_to_send
from .plan import ComparedRow, Comparison, FieldChange
from .readers.cells import text_of
from .rows import FileRow, RowFile
from .selection import Choice, Chooser
from .sending import Read, change_rest
from .sharing import Conflict
from .survey import describe_person

_MOST_EXAMPLES: Final = 20
_MOST_FIELDS: Final = 1000  # kinds that are counted; custom fields known by key could be many
_ASKED_EVERY: Final = 1000


def compare_rows(
    files: Sequence[RowFile],
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
    found, shared_rows = Comparison(there=there), SharedRows(None, conflicts)
    for number, row in enumerate(row for file in files for row in file.rows()):
        contact = row.contact
        if not isinstance(contact, ContactUpsert):
            on_row(None)
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


def _count(found: Comparison, row: FileRow, choice: Choice) -> None:
    if choice.is_after_another:
        found.repeated += 1
    elif choice.kind == "new":
        found.new += 1
    elif choice.kind == "same":
        found.same += 1
    else:
        found.changed += 1
        _add_changes(found, row, choice)


def _add_changes(found: Comparison, row: FileRow, choice: Choice) -> None:
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
