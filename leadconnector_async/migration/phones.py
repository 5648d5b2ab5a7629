"""Phones that are set after all rows: of rows that share one with another person, which went without it.

An update with a phone that another contact has is refused by the service; an upsert with it would overwrite that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from ..bulk.closing import closings_of
from ..bulk.pool import Pool
from ..bulk.report import Outcome
from ..bulk.run_log import read_outcome
from ..bulk.source import Closing, Skipped
from ..bulk.traces import Span, Written, follow
from ..client import LeadConnector
from ..errors import DuplicateContactError, InvalidContactError, LeadConnectorError
from ..models import Contact, ContactUpdate, ContactUpsert
from ..models.compare import find_not_applied
from ..models.contacts import NotApplied
from ..protocol import Scope
from ..protocol.contacts import build_update
from ..run.journal import Journal
from ..run.rows import RunFile, pick_rows
from .books import ADDED, LEFT, REFUSED, PhoneBook, SharedRow, Tagged
from .follow_up import Errand, FollowUp
from .matching import Conflict, Matching
from .tagging import is_written

SKIP_REASON: Final = "it shares its phone with a row of another person, whose contact it would overwrite"
_LEFT_REASON: Final = "the load ended before it was set"
_LATER_REASON: Final = "a later row of the same person, which has another phone, is not done"
_OWNER_REASON: Final = "that row is not done, and the phone is left to it"


def fill_book(book: PhoneBook, matching: Matching, files: Sequence[RunFile]) -> None:
    """Write into the book what was settled."""
    owners = matching.phones.owners()
    book.fill(matching.phones.conflicts(), _places(files, owners))


def _places(files: Sequence[RunFile], wanted: Iterable[int]) -> Iterator[tuple[int, str]]:
    numbers = list(wanted)
    for number, row in zip(numbers, pick_rows(files, numbers), strict=True):
        yield number, row.where


class SharedRows:
    """A walk along the rows that share a phone, beside a walk along all rows in their order.

    Args:
        book: Of the load; None where no row does, or there is none yet.
        conflicts: What would be in it, where there is none yet, in the order of the rows.
    """

    def __init__(self, book: PhoneBook | None, conflicts: Iterable[Conflict] = ()) -> None:
        planned = (SharedRow(conflict, "", None) for conflict in conflicts)
        self._rows = planned if book is None else book.shared_rows()
        self._next = next(self._rows, None)

    @property
    def is_over(self) -> bool:
        """Whether there is none any more."""
        return self._next is None

    def find(self, row: int) -> SharedRow | None:
        """Return what there is of a row; it is asked for rows in their order."""
        while self._next is not None and self._next.conflict.row < row:
            self._next = next(self._rows, None)
        found = self._next
        return found if found is not None and found.conflict.row == row else None


def what_to_send(
    contact: ContactUpsert | InvalidContactError, shared: SharedRow
) -> ContactUpsert | InvalidContactError | Skipped | Closing:
    """Return what is sent at first of a row that shares a phone; one that is left out closes its channels."""
    if isinstance(contact, InvalidContactError):
        return contact
    if shared.conflict.action == "skip":
        skipped, wanted = Skipped(SKIP_REASON, note=f"the other is {shared.place}"), closings_of(contact)
        return skipped if wanted is None else Closing(None, wanted, skipped)
    return msgspec.structs.replace(contact, phone=UNSET)


class _ToSet(Struct, frozen=True):
    """A phone that is to be set."""

    row: int
    phone: str
    location_id: str
    contact_id: str


class Phones(FollowUp):
    """Setting the phones of rows that went without.

    Args:
        files: As `FollowUp`.
        journal: As `FollowUp`.
        book: Which of the rows share a phone.
        client: As `FollowUp`.
        pool: As `FollowUp`.
        on_set: Called with the number of rows that were settled together.
        may_set: Asked with a location and a contact whether its phone may be set; where not, it is left as it is.
    """

    def __init__(
        self,
        files: Sequence[RunFile],
        journal: Journal,
        book: PhoneBook,
        client: LeadConnector,
        pool: Pool,
        on_set: Callable[[int], None] = lambda _: None,
        may_set: Callable[[str, str], bool] = lambda *_: True,
    ) -> None:
        super().__init__(files, journal, book, client, pool)
        self._shared = book
        self._on_set = on_set
        self._may_set = may_set

    def _errands(self) -> Iterator[Errand[Contact]]:
        return map(self._errand, self._pending())

    def _on_settled(self, told: list[Tagged]) -> None:
        self._on_set(len(told))

    def note_left(self) -> None:
        """Note the rows that have not got their phone, where it ended early."""
        for one in self._pending():
            self._book.note([Tagged(one.row, LEFT, (one.phone,), _LEFT_REASON)])

    def _errand(self, one: _ToSet) -> Errand[Contact]:
        scope = Scope(one.location_id, self._client.api_version)
        update = ContactUpdate(phone=one.phone)
        return Errand(
            one.location_id,
            build_update(one.contact_id, update, scope),
            read=partial(_read_stored, one),
            refuse=partial(_refuse, one),
            leave_traces=partial(self._leave_trace, update),
        )

    def _leave_trace(self, update: ContactUpdate, stored: Contact, span: Span | None) -> None:
        written = Written(update, stored, span)
        self._journal.change_traces([stored.id], lambda trace: follow(trace, written))

    def _pending(self) -> Iterator[_ToSet]:
        """Yield the phones that are to be set."""
        shared_rows = SharedRows(self._shared)
        for number, row in enumerate(chain.from_iterable(file.rows() for file in self._files)):
            if shared_rows.is_over:
                return
            shared = shared_rows.find(number)
            if shared is not None and shared.conflict.action == "wait" and not self._book.settled(number, 1):
                yield from self._look_at(shared.conflict, row.contact)

    def _look_at(self, conflict: Conflict, contact: ContactUpsert | InvalidContactError) -> Iterator[_ToSet]:
        contact_id = self._contact_of(conflict.row)
        if contact_id is None or not isinstance(contact, ContactUpsert):
            return
        phone, location_id = contact.phone or "", contact.location_id or self._client.location_id or ""
        if not self._may_set(location_id, contact_id):
            self._book.note([Tagged(conflict.row, ADDED)])
            return
        if conflict.later is not None and not self._is_left_out(conflict.later):
            is_done = self._contact_of(conflict.later) is not None
            told = Tagged(conflict.row, ADDED) if is_done else Tagged(conflict.row, LEFT, (phone,), _LATER_REASON)
            self._book.note([told])
        elif self._contact_of(conflict.owner) is None and not self._is_left_out(conflict.owner):
            # as soon as that row is done, it would overwrite this contact
            self._book.note([Tagged(conflict.row, LEFT, (phone,), _OWNER_REASON)])
        else:
            yield _ToSet(conflict.row, phone, location_id, contact_id)

    def _contact_of(self, row: int) -> str | None:
        """Return the contact that a row was written to, or None."""
        outcome = self._outcome_of(row)
        return outcome.contact_id if outcome is not None and is_written(outcome) else None

    def _is_left_out(self, row: int) -> bool:
        """Whether a row is not sent on purpose, and never will be by this load."""
        outcome = self._outcome_of(row)
        return outcome is not None and outcome.status == "skipped"

    def _outcome_of(self, row: int) -> Outcome | None:
        for _, encoded in self._journal.hashes(row, 1).values():
            return read_outcome(encoded)
        return None


def _read_stored(one: _ToSet, stored: Contact) -> list[Tagged]:
    if find_not_applied(ContactUpsert(phone=one.phone), stored):
        return [Tagged(one.row, REFUSED, (one.phone,), "the service took the update without it")]
    return [Tagged(one.row, ADDED)]


def _refuse(one: _ToSet, error: LeadConnectorError) -> list[Tagged]:
    reason = str(error)
    if isinstance(error, DuplicateContactError):
        reason = f"contact {error.contact_id or 'of another row'} has it"
    return [Tagged(one.row, REFUSED, (one.phone,), reason)]


def tell_of_phones(outcomes: Iterator[Outcome], book: PhoneBook) -> Iterator[Outcome]:
    """Have the outcomes say which phones were not set, and what rows that are not done share."""
    shared_rows = SharedRows(book)
    for outcome in outcomes:
        shared = shared_rows.find(outcome.index)
        yield outcome if shared is None else _tell_of_phone(outcome, shared)


def _tell_of_phone(outcome: Outcome, shared: SharedRow) -> Outcome:
    if outcome.status == "skipped" or (is_written(outcome) and shared.missing is None):
        return outcome
    if not is_written(outcome):
        note = f"its phone is that of {shared.place}, about another person: sent with it, it would overwrite that one"
        return _with_note(outcome, note)
    assert shared.missing is not None  # noqa: S101  (see above)
    lost = NotApplied("phone", next(iter(shared.missing.tags), None), None)
    told = msgspec.structs.replace(outcome, not_applied=(*outcome.not_applied, lost))
    return _with_note(told, f"its phone, which {shared.place} has as well, was not set: {shared.missing.reason}")


def _with_note(outcome: Outcome, note: str) -> Outcome:
    whole = note if outcome.note is None else f"{outcome.note}; {note}"
    return msgspec.structs.replace(outcome, note=whole)
