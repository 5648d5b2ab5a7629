"""Tags that are added to those a contact has: after the upserts, in bulk calls for contacts that get the same tags.

An upsert replaces all tags of a contact, so those rows go without them. A hundred contacts a call and one more for each
set of tags: about one call in a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..bulk.pool import Pool
from ..bulk.report import Outcome, RowError
from ..bulk.run_log import read_outcome
from ..bulk.traces import Span
from ..client import LeadConnector
from ..contacts.links import MAX_IDS
from ..errors import CallError, LeadConnectorError
from ..models import ContactUpsert, TagsReport, normal
from ..models.contacts import NotApplied
from ..protocol import Scope
from ..protocol.links import build_bulk_tags
from ..run.journal import Journal
from ..run.rows import RunFile, RunRow
from .books import ADDED, LEFT, REFUSED, TagBook, Tagged
from .follow_up import Errand, FollowUp

# ---------------------------------------------------------------------------------------------- tags that are missing

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


_ROWS_AT_ONCE: Final = 1000
_MOST_WAITING: Final = 20_000  # contacts in groups that are not full, so that memory has a bound
_KEPT_SHARE: Final = 0.9  # of those, where it is reached
_MOST_FAILURES: Final = 3  # of one call while others succeed: it may be this one that the service cannot cope with
_WRITE_SECONDS: Final = 1.0
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
    """Return a contact as it is to be upserted where its tags are added later."""
    return contact if contact.tags is UNSET else msgspec.structs.replace(contact, tags=UNSET)


def has_tags(files: Sequence[RunFile]) -> bool:
    """Whether rows of some file may have tags."""
    return any(file.has_tags for file in files)


class Tagging(FollowUp):
    """Adding the tags of a load's rows.

    Args:
        files: As `FollowUp`.
        journal: As `FollowUp`.
        book: Which of the rows have their tags.
        client: As `FollowUp`.
        pool: As `FollowUp`.
        on_added: Called with the number of rows that have their tags by each call.
    """

    def __init__(
        self,
        files: Sequence[RunFile],
        journal: Journal,
        book: TagBook,
        client: LeadConnector,
        pool: Pool,
        on_added: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(files, journal, book, client, pool)
        self._on_added = on_added

    def _errands(self) -> Iterator[Errand[TagsReport]]:
        return map(self._errand, self._batches())

    def _on_settled(self, told: list[Tagged]) -> None:
        self._on_added(sum(row.state == ADDED for row in told))

    def _errand(self, batch: TagBatch) -> Errand[TagsReport]:
        scope = Scope(batch.location_id, self._client.api_version)
        return Errand(
            batch.location_id,
            build_bulk_tags("add", list(batch.rows), list(batch.tags), scope),
            read=partial(_read_report, batch),
            refuse=partial(_refuse, batch),
            leave_traces=partial(self._leave_traces, batch),
        )

    def _leave_traces(self, batch: TagBatch, report: TagsReport, span: Span | None) -> None:
        done = [result.contact_id for result in report.results if result.is_done and result.contact_id in batch.rows]
        self._journal.change_traces(done, lambda trace: trace.tagged(batch.tags, span))

    # ------------------------------------------------------------------------------------------ what is to be done

    def note_left(self) -> None:
        """Note the rows that have not got their tags, where it ended early."""
        left = (Tagged(index, LEFT, normal_tags(contact), _LEFT_REASON) for index, contact, _ in self._pending())
        while some := list(islice(left, _ROWS_AT_ONCE)):
            self._book.note(some)

    def _batches(self) -> Iterator[TagBatch]:
        """Yield the calls: groups as they are full, and the rest in the end."""
        groups = TagGroups()
        for index, contact, contact_id in self._pending():
            location_id = contact.location_id or self._client.location_id or ""
            yield from groups.add(location_id, normal_tags(contact), contact_id, index)
        yield from groups.rest()

    def _pending(self) -> Iterator[tuple[int, ContactUpsert, str]]:
        """Yield the rows whose tags are to be added: position, contact, and the id it got."""
        rows = (row for file in self._files for row in file.rows())
        first = 0
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            yield from self._pending_of(first, some)
            first += len(some)

    def _pending_of(self, first: int, rows: Sequence[RunRow]) -> Iterator[tuple[int, ContactUpsert, str]]:
        settled = self._book.settled(first, len(rows))
        for index, (_, encoded) in self._journal.hashes(first, len(rows)).items():
            outcome = read_outcome(encoded)
            if index in settled or outcome.contact_id is None or not is_written(outcome):
                continue
            contact = rows[index - first].contact
            if isinstance(contact, ContactUpsert) and normal_tags(contact):
                yield index, contact, outcome.contact_id


def normal_tags(contact: ContactUpsert) -> tuple[str, ...]:
    """Return the tags of a contact as the service keeps them, so that equal sets are equal."""
    return _sorted_tags(tuple(contact.tags)) if contact.tags else ()


@lru_cache(maxsize=1024)  # the rows of a file share few sets of tags
def _sorted_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(normal.normal_tags(tags)))


def _read_report(batch: TagBatch, report: TagsReport) -> list[Tagged]:
    """Say of each row what the answer says of its contact."""
    told = {result.contact_id: result for result in report.results}
    found = []
    for contact_id, rows in batch.rows.items():
        result = told.get(contact_id)
        if result is not None and result.is_done:
            found += [Tagged(row, ADDED) for row in rows]
        else:
            reason = "the service said nothing of this contact" if result is None else result.message or "refused"
            found += [Tagged(row, REFUSED, batch.tags, reason) for row in rows]
    return found


def _refuse(batch: TagBatch, error: LeadConnectorError) -> list[Tagged]:
    return [Tagged(row, REFUSED, batch.tags, str(error)) for rows in batch.rows.values() for row in rows]
