"""Tags that are added to those a contact has: after the upserts, in bulk calls for contacts that get the same tags.

An upsert replaces all tags of a contact, so those rows go without them. A hundred contacts a call and one more for each
set of tags: about one call in a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final, Self, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..bulk.report import Outcome, RowError
from ..bulk.run_log import read_outcome
from ..bulk.traces import Span
from ..contacts.links import MAX_IDS
from ..errors import CallError, LeadConnectorError
from ..models import ContactUpsert, TagsReport
from ..models.contacts import NotApplied
from ..models.normal import sorted_tags
from ..protocol import Scope
from ..protocol.links import build_bulk_tags
from ..run.database import Database
from ..run.journal import Journal
from ..run.rows import RunFile, RunRow
from .options import MigrationOptions
from .steps import DONE, LEFT, REFUSED, Step, StepCall, StepRow, StepRun, is_written, with_note

_REFUSED_KIND: Final = CallError.__name__
_ROWS_AT_ONCE: Final = 1000
_MOST_WAITING: Final = 20_000  # contacts in groups that are not full, so that memory has a bound
_KEPT_SHARE: Final = 0.9  # of those, where it is reached
_LEFT_REASON: Final = "the load ended before its tags were added"
_Group: TypeAlias = dict[str, list[int]]  # the rows by contact


class TagBatch(Struct, frozen=True):
    """One call: contacts of one location that get the same tags.

    Attributes:
        location_id: The location.
        tags: What to add, in lower case and sorted.
        rows: The rows of each contact.
    """

    location_id: str
    tags: tuple[str, ...]
    rows: _Group


class TagGroups:
    """Contacts that wait for others that get the same tags, so that one call does for all; in memory with a bound."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, tuple[str, ...]], _Group] = {}
        self._waiting = 0

    def add(self, location_id: str, tags: tuple[str, ...], contact_id: str, row: int) -> list[TagBatch]:
        """Add a row, and return the calls that are to be made now."""
        key = location_id, tags
        group = self._groups.setdefault(key, {})
        self._waiting += contact_id not in group
        group.setdefault(contact_id, []).append(row)
        if len(group) >= MAX_IDS:
            return [self._take(key)]
        return self._take_largest() if self._waiting >= _MOST_WAITING else []

    def _take(self, key: tuple[str, tuple[str, ...]]) -> TagBatch:
        self._waiting -= len(self._groups[key])
        return TagBatch(*key, self._groups.pop(key))

    def _take_largest(self) -> list[TagBatch]:
        """Make room for many rows at once: looking for the largest at each row takes long where there are many sets."""
        largest = iter(sorted(self._groups, key=lambda key: -len(self._groups[key])))
        taken = []
        while self._waiting > _MOST_WAITING * _KEPT_SHARE:
            taken.append(self._take(next(largest)))
        return taken

    def rest(self) -> Iterator[TagBatch]:
        """Yield the calls for all that wait."""
        for key, group in self._groups.items():
            yield TagBatch(*key, group)


def without_tags(contact: ContactUpsert) -> ContactUpsert:
    """Return a contact without its tags."""
    return contact if contact.tags is UNSET else msgspec.structs.replace(contact, tags=UNSET)


class TagStep(Step):
    """Adds the tags of rows to those their contacts have."""

    name = "tags"
    work = "adding tags"

    @classmethod
    def open(cls, database: Database, options: MigrationOptions, *, retry_refused: bool = False) -> Self | None:
        """Return the step if the run adds tags rather than replaces them."""
        return cls(database, retry_refused=retry_refused) if options.tags == "add" else None

    def concerns(self, files: Sequence[RunFile]) -> bool:
        """Return whether rows of some file may have tags."""
        return any(file.has_tags for file in files)

    def strip(self, contact: ContactUpsert) -> ContactUpsert:
        """Return a contact without its tags: an upsert would replace those it has."""
        return without_tags(contact)

    def conclude(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Return the outcomes as the report counts them.

        A row whose tags were refused has failed, although its contact is written; one whose tags are left for the next
        session counts as written.
        """
        missing = self.records.missing()
        for outcome in outcomes:
            row = missing.get(outcome.index)
            yield outcome if row is None or not is_written(outcome) else self._conclude(outcome, row)

    def _conclude(self, outcome: Outcome, row: StepRow) -> Outcome:
        marked = self._mark(outcome, row)
        if row.state != REFUSED:
            return marked
        error = RowError(_REFUSED_KIND, None, f"its tags were not added: {row.reason}")
        failed = msgspec.structs.replace(marked, status="failed", error=error)
        return with_note(failed, f"the contact itself was {outcome.status}: {outcome.contact_id}")

    def _mark(self, outcome: Outcome, row: StepRow) -> Outcome:
        lost = NotApplied(self.name, list(row.values), None)
        marked = msgspec.structs.replace(outcome, not_applied=(*outcome.not_applied, lost))
        return with_note(marked, None if row.state == REFUSED else f"its tags were not added: {row.reason}")

    # ------------------------------------------------------------------------------------------ calls

    def calls(self, run: StepRun) -> Iterator[StepCall[TagsReport]]:
        """Yield calls for contacts that get the same tags: as soon as a group is full, and the rest at the end."""
        groups = TagGroups()
        for index, contact, contact_id in self._pending(run):
            location_id = contact.location_id or run.client.location_id or ""
            for batch in groups.add(location_id, sorted_tags(contact.tags), contact_id, index):
                yield self._call(run, batch)
        for batch in groups.rest():
            yield self._call(run, batch)

    def due(self, run: StepRun) -> Iterator[StepRow]:
        """Yield the rows whose tags are still to be added."""
        return (StepRow(row, LEFT, sorted_tags(contact.tags), _LEFT_REASON) for row, contact, _ in self._pending(run))

    def _call(self, run: StepRun, batch: TagBatch) -> StepCall[TagsReport]:
        scope = Scope(batch.location_id, run.client.api_version)
        return StepCall(
            batch.location_id,
            build_bulk_tags("add", list(batch.rows), list(batch.tags), scope),
            read=partial(_read_report, batch),
            refuse=partial(_refuse, batch),
            leave_traces=partial(_leave_traces, run.journal, batch),
        )

    def _pending(self, run: StepRun) -> Iterator[tuple[int, ContactUpsert, str]]:
        """Yield the rows whose tags are still to be added: position, contact, and the contact's id."""
        rows = (row for file in run.files for row in file.rows())
        first = 0
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            yield from self._pending_of(run.journal, first, some)
            first += len(some)

    def _pending_of(
        self, journal: Journal, first: int, rows: Sequence[RunRow]
    ) -> Iterator[tuple[int, ContactUpsert, str]]:
        settled = self.records.settled(first, len(rows))
        for index, (_, encoded) in journal.hashes(first, len(rows)).items():
            outcome = read_outcome(encoded)
            if index in settled or outcome.contact_id is None or not is_written(outcome):
                continue
            contact = rows[index - first].contact
            if isinstance(contact, ContactUpsert) and sorted_tags(contact.tags):
                yield index, contact, outcome.contact_id


def _leave_traces(journal: Journal, batch: TagBatch, report: TagsReport, span: Span | None) -> None:
    done = [result.contact_id for result in report.results if result.is_done and result.contact_id in batch.rows]
    journal.change_traces(done, lambda trace: trace.tagged(batch.tags, span))


def _read_report(batch: TagBatch, report: TagsReport) -> list[StepRow]:
    """Say of each row what the answer says of its contact."""
    told = {result.contact_id: result for result in report.results}
    found = []
    for contact_id, rows in batch.rows.items():
        result = told.get(contact_id)
        if result is not None and result.is_done:
            found += [StepRow(row, DONE) for row in rows]
        else:
            reason = (
                "the service's answer did not mention this contact" if result is None else result.message or "refused"
            )
            found += [StepRow(row, REFUSED, batch.tags, reason) for row in rows]
    return found


def _refuse(batch: TagBatch, error: LeadConnectorError) -> list[StepRow]:
    return [StepRow(row, REFUSED, batch.tags, str(error)) for rows in batch.rows.values() for row in rows]
