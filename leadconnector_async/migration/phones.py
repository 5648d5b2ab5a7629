"""Phones that are set after all rows: of rows that share one with another person, which went without it.

An update with a phone that another contact has is refused by the service; an upsert with it would overwrite that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Final, Self

import msgspec
from msgspec import UNSET, Struct

from ..bulk.closing import closings_of
from ..bulk.report import Outcome
from ..bulk.run_log import read_outcome
from ..bulk.source import Closing, Skipped
from ..bulk.traces import Span, Written, follow
from ..errors import DuplicateContactError, InvalidContactError, LeadConnectorError
from ..models import Contact, ContactUpdate, ContactUpsert
from ..models.compare import find_not_applied
from ..models.contacts import NotApplied
from ..protocol import Scope
from ..protocol.contacts import build_update
from ..run.database import Database
from ..run.journal import Journal
from ..run.rows import RunFile, pick_rows
from .matching import Conflict, Matching
from .options import MigrationOptions
from .steps import (
    DONE,
    LEFT,
    REFUSED,
    Step,
    StepCall,
    StepRecords,
    StepRow,
    StepRun,
    is_written,
    read_values,
    with_note,
)

SKIP_REASON: Final = "it shares its phone with a row of another person, whose contact it would overwrite"
_LEFT_REASON: Final = "the load ended before it was set"
_LATER_REASON: Final = "a later row of the same person, which has another phone, is not done"
_OWNER_REASON: Final = "the phone is that row's, and that row is not done yet"


# ---------------------------------------------------------------------------------------------- which rows share one

_SCHEMA: Final = """
CREATE TABLE conflicts (row INTEGER PRIMARY KEY, owner INTEGER NOT NULL, later INTEGER, action TEXT NOT NULL);
CREATE TABLE owners (number INTEGER PRIMARY KEY, place TEXT NOT NULL);
"""
_SHARED_ROWS: Final = """
    SELECT conflicts.row, owner, later, action, place, state, wanted, reason FROM conflicts
    JOIN owners ON owners.number = conflicts.owner
    LEFT JOIN steps ON steps.row = conflicts.row AND step = 'phones'
    WHERE conflicts.row >= ? ORDER BY conflicts.row LIMIT 500
"""
_COUNT: Final = "shared_phones"


class SharedRow(Struct, frozen=True):
    """A row that shares a phone with another person's.

    Attributes:
        conflict: The row.
        place: Where the row stands that keeps the phone.
        missing: The phone and why the contact lacks it; None if it has it, or nothing was tried yet.
    """

    conflict: Conflict
    place: str
    missing: StepRow | None = None


def keep_shared_rows(database: Database, matching: Matching, files: Sequence[RunFile]) -> None:
    """Keep in the database of a run which rows share a phone, for its `PhoneStep`; earlier ones are forgotten."""
    StepRecords(database, PhoneStep.name).clear()
    database.create(_SCHEMA)
    owners = list(matching.phones.owners())
    places = [(number, row.where) for number, row in zip(owners, pick_rows(files, owners), strict=True)]
    with database.transaction() as db:
        db.execute("DELETE FROM conflicts")
        db.execute("DELETE FROM owners")
        records = ((one.row, one.owner, one.later, one.action) for one in matching.phones.conflicts())
        db.executemany("INSERT INTO conflicts VALUES (?, ?, ?, ?)", records)
        db.executemany("INSERT INTO owners VALUES (?, ?)", places)
    ((count,),) = database.read("SELECT count(*) FROM conflicts")
    database.note([(_COUNT, str(count))])


def read_shared_rows(database: Database) -> Iterator[SharedRow]:
    """Yield the rows of a run that share a phone, in their order. It reads in parts, so that others can write."""
    first = 0
    while found := database.read(_SHARED_ROWS, first):
        for row, owner, later, action, place, state, values, reason in found:
            missing = None if state in (None, DONE) else StepRow(row, state, read_values(values), reason)
            yield SharedRow(Conflict(row, owner, later, action), place, missing)
        first = found[-1][0] + 1


class SharedRows:
    """A walk along the rows that share a phone, beside a walk along all rows in their order."""

    def __init__(self, rows: Iterator[SharedRow]) -> None:
        self._rows = rows
        self._next = next(self._rows, None)

    @property
    def is_over(self) -> bool:
        """Whether there is none any more."""
        return self._next is None

    def find(self, row: int) -> SharedRow | None:
        """Return what is known of a row; ask for rows in their order."""
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
        skipped, wanted = Skipped(SKIP_REASON, note=f"the other row is {shared.place}"), closings_of(contact)
        return skipped if wanted is None else Closing(None, wanted, skipped)
    return msgspec.structs.replace(contact, phone=UNSET)


class _ToSet(Struct, frozen=True):
    """A phone that is to be set."""

    row: int
    phone: str
    location_id: str
    contact_id: str


class PhoneStep(Step):
    """Sets the phones of rows that went without because another person's row has the same one."""

    name = "phones"
    work = "setting shared phones"

    def __init__(self, database: Database, *, retry_refused: bool = False) -> None:
        super().__init__(database, retry_refused=retry_refused)
        database.create(_SCHEMA)
        self._database = database

    @classmethod
    def open(cls, database: Database, options: MigrationOptions, *, retry_refused: bool = False) -> Self | None:
        """Return the step if rows of the run share a phone."""
        return cls(database, retry_refused=retry_refused) if int(database.about(_COUNT) or 0) else None

    @cached_property
    def _held_back(self) -> SharedRows:
        return self._shared_rows()

    def _shared_rows(self) -> SharedRows:
        return SharedRows(read_shared_rows(self._database))

    def hold_back(
        self, number: int, contact: ContactUpsert | InvalidContactError
    ) -> ContactUpsert | InvalidContactError | Skipped | Closing:
        """Return a row without a phone that it shares, or what is left of a row that is skipped."""
        shared = self._held_back.find(number)
        return contact if shared is None else what_to_send(contact, shared)

    def complete(self, number: int, contact: ContactUpsert, sent: ContactUpsert) -> ContactUpsert:
        """Return what was sent of a row with the phone that was set later."""
        shared = self._held_back.find(number)
        return sent if shared is None else msgspec.structs.replace(sent, phone=contact.phone)

    def count(self) -> int:
        """Return the number of phones that are still to be set."""
        query = """
            SELECT count(*) FROM conflicts LEFT JOIN steps ON steps.row = conflicts.row AND step = 'phones'
            WHERE action = 'wait' AND later IS NULL AND state IS NOT ?
        """
        ((found,),) = self._database.read(query, DONE)
        return int(found)

    # ------------------------------------------------------------------------------------------ calls

    def calls(self, run: StepRun) -> Iterator[StepCall[Contact]]:
        """Yield a call for each phone that is still to be set."""
        return (self._call(run, one) for one in self._pending(run))

    def due(self, run: StepRun) -> Iterator[StepRow]:
        """Yield the rows whose phone is still to be set."""
        return (StepRow(one.row, LEFT, (one.phone,), _LEFT_REASON) for one in self._pending(run))

    def _call(self, run: StepRun, one: _ToSet) -> StepCall[Contact]:
        scope = Scope(one.location_id, run.client.api_version)
        update = ContactUpdate(phone=one.phone)
        return StepCall(
            one.location_id,
            build_update(one.contact_id, update, scope),
            read=partial(_read_stored, one),
            refuse=partial(_refuse, one),
            leave_traces=partial(_leave_trace, run.journal, update),
        )

    def _pending(self, run: StepRun) -> Iterator[_ToSet]:
        shared_rows = self._shared_rows()
        for number, row in enumerate(chain.from_iterable(file.rows() for file in run.files)):
            if shared_rows.is_over:
                return
            shared = shared_rows.find(number)
            if shared is not None and shared.conflict.action == "wait" and not self.records.settled(number, 1):
                yield from self._look_at(run, shared.conflict, row.contact)

    def _look_at(
        self, run: StepRun, conflict: Conflict, contact: ContactUpsert | InvalidContactError
    ) -> Iterator[_ToSet]:
        contact_id = _contact_of(run.journal, conflict.row)
        if contact_id is None or not isinstance(contact, ContactUpsert):
            return
        phone, location_id = contact.phone or "", contact.location_id or run.client.location_id or ""
        if not run.may_write(location_id, contact_id, "phone"):
            self.records.write([StepRow(conflict.row, DONE)])
        elif conflict.later is not None and not _is_left_out(run.journal, conflict.later):
            is_done = _contact_of(run.journal, conflict.later) is not None
            result = StepRow(conflict.row, DONE) if is_done else StepRow(conflict.row, LEFT, (phone,), _LATER_REASON)
            self.records.write([result])
        elif _contact_of(run.journal, conflict.owner) is None and not _is_left_out(run.journal, conflict.owner):
            # Once that row is sent, it would overwrite this contact.
            self.records.write([StepRow(conflict.row, LEFT, (phone,), _OWNER_REASON)])
        else:
            yield _ToSet(conflict.row, phone, location_id, contact_id)

    # ------------------------------------------------------------------------------------------ results

    @property
    def marks_any(self) -> bool:
        """Whether `mark` changes any outcome; a row that is not sent names the row that it shares its phone with."""
        return True

    def mark(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Add to the outcomes which phones were not set, and what rows that were not sent share."""
        shared_rows = self._shared_rows()
        for outcome in outcomes:
            shared = shared_rows.find(outcome.index)
            yield outcome if shared is None else _mark(outcome, shared)


def _contact_of(journal: Journal, row: int) -> str | None:
    """Return the contact that a row was written to, or None."""
    outcome = _outcome_of(journal, row)
    return outcome.contact_id if outcome is not None and is_written(outcome) else None


def _is_left_out(journal: Journal, row: int) -> bool:
    """Return whether a row is not sent on purpose, now or later."""
    outcome = _outcome_of(journal, row)
    return outcome is not None and outcome.status == "skipped"


def _outcome_of(journal: Journal, row: int) -> Outcome | None:
    for _, encoded in journal.hashes(row, 1).values():
        return read_outcome(encoded)
    return None


def _leave_trace(journal: Journal, update: ContactUpdate, stored: Contact, span: Span | None) -> None:
    written = Written(update, stored, span)
    journal.change_traces([stored.id], lambda trace: follow(trace, written))


def _read_stored(one: _ToSet, stored: Contact) -> list[StepRow]:
    if find_not_applied(ContactUpsert(phone=one.phone), stored):
        return [StepRow(one.row, REFUSED, (one.phone,), "the service took the update without it")]
    return [StepRow(one.row, DONE)]


def _refuse(one: _ToSet, error: LeadConnectorError) -> list[StepRow]:
    reason = str(error)
    if isinstance(error, DuplicateContactError):
        reason = f"contact {error.contact_id or 'of another row'} has it"
    return [StepRow(one.row, REFUSED, (one.phone,), reason)]


def _mark(outcome: Outcome, shared: SharedRow) -> Outcome:
    if outcome.status == "skipped":
        return outcome
    if not is_written(outcome):
        note = (
            f"{shared.place} has the same phone and is about another person: with the phone, this row would overwrite "
            "that one"
        )
        return with_note(outcome, note)
    if shared.missing is None:
        return outcome
    lost = NotApplied("phone", next(iter(shared.missing.values), None), None)
    marked = msgspec.structs.replace(outcome, not_applied=(*outcome.not_applied, lost))
    return with_note(marked, f"its phone, which {shared.place} also has, was not set: {shared.missing.reason}")
