"""Undo a run: delete the contacts that it created, except those that somebody has changed since.

Contacts that it updated are restored if it kept them as they were before: see `restore`.
"""

from __future__ import annotations

import asyncio
import csv
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from ..bulk.pool import Pool
from ..bulk.report import SCHEMA, Outcome, has_closed
from ..bulk.traces import Kept
from ..client import LeadConnector
from ..errors import LeadConnectorError, NotFoundError
from ..private_file import replacing, write_private
from ..protocol.text import neutral_cell
from ..run.journal import Journal
from .undone import Undone, UndoRecords

UNDO_TABLE: Final = "undo.csv"
UNDO_REPORT: Final = "undo.json"
_COLUMNS: Final = ("row", "contact_id", "result", "detail")
_INFERRED: Final = (
    "the answer that would confirm its creation was lost; only its dateAdded suggests that the run created it"
)
_NO_TRACE: Final = "it is not known when the run last wrote to it"


class Created(Struct, frozen=True):
    """A contact that a run created.

    Attributes:
        row: The number of its row, from 0.
        contact_id: Its id.
        location_id: Its location, where that is not the client's.
        is_inferred: Whether no answer said that the run created it.
    """

    row: int
    contact_id: str
    location_id: str | None = None
    is_inferred: bool = False


class UndoPlan(Struct, frozen=True):
    """What an undo would delete and restore.

    Attributes:
        created: Contacts that the run created.
        inferred: How many of these no answer confirmed.
        updated: Contacts that existed before and that the run updated; they stay so unless it kept a snapshot.
        unknown: Rows that may have created a contact; no answer says so.
    """

    created: int
    updated: int
    unknown: int
    inferred: int = 0


def plan_undo(journal: Journal, outcomes: Iterable[Outcome] | None = None) -> UndoPlan:
    """Count what a run did.

    Args:
        journal: Of the run.
        outcomes: Its outcomes, if more is known about them than the journal says.

    Raises:
        JournalError: The journal cannot be read.
    """
    with closing(sqlite3.connect("")) as db:  # a file of SQLite's own, for as long as it is open
        db.execute("CREATE TABLE met (id TEXT, status TEXT, is_inferred INTEGER)")
        found = journal.outcomes() if outcomes is None else outcomes
        told = (
            (outcome.contact_id, "updated" if has_closed(outcome) else outcome.status, _is_inferred(outcome))
            for outcome in found
        )
        db.executemany("INSERT INTO met VALUES (?, ?, ?)", told)
        db.execute("CREATE INDEX by_id ON met (id)")
        counts = dict(db.execute("SELECT status, count(*) FROM met GROUP BY status"))
        (inferred,) = db.execute("SELECT count(*) FROM met WHERE is_inferred").fetchone()
        (updated,) = db.execute(_UPDATED_ONLY).fetchone()
    return UndoPlan(counts.get("created", 0), updated, counts.get("unknown", 0), inferred)


def _is_inferred(outcome: Outcome) -> bool:
    """Whether no answer said that a row created its contact; journals of earlier versions only have a note of it."""
    return outcome.inferred or (outcome.status == "created" and outcome.note is not None)


_UPDATED_ONLY: Final = """
SELECT count(DISTINCT id) FROM met AS one WHERE status = 'updated'
AND NOT EXISTS (SELECT 1 FROM met WHERE id = one.id AND status = 'created')
"""


def correct_plan(plan: UndoPlan, were_there: Iterable[Created]) -> UndoPlan:
    """Count as updated the contacts that a row seemed to create, but that existed before."""
    were_inferred = [created.is_inferred for created in were_there]
    return UndoPlan(
        plan.created - len(were_inferred),
        plan.updated + len(were_inferred),
        plan.unknown,
        plan.inferred - sum(were_inferred),
    )


def read_created(journal: Journal, location_of: Callable[[int], str | None] = lambda _: None) -> Iterator[Created]:
    """Yield the contacts that a run created, in the order of its rows; asks for their locations in this order, too."""
    for outcome in journal.outcomes():
        if outcome.status == "created" and outcome.contact_id is not None:
            location_id = location_of(outcome.index)
            yield Created(outcome.index, outcome.contact_id, location_id, _is_inferred(outcome))


class Undo:
    """Deletes the contacts that a run created.

    Args:
        client: Of the service that the run loaded into; it is open.
        records: Where to keep what is done.
        journal: Of the run; it knows what the run left of each contact.
        pool: Makes the calls.
        is_forced: Whether contacts that changed since are deleted, too. Else each is read before, and kept where
            somebody else changed it, or where that cannot be told: what is deleted is lost, and what is kept can be
            deleted later.
        includes_inferred: Whether to delete also contacts that no answer confirmed as created by the run.
    """

    def __init__(
        self,
        client: LeadConnector,
        records: UndoRecords,
        journal: Journal,
        pool: Pool,
        *,
        is_forced: bool = False,
        includes_inferred: bool = False,
    ) -> None:
        self._client = client
        self._records = records
        self._journal = journal
        self._pool = pool
        self._is_forced = is_forced
        self._includes_inferred = includes_inferred

    async def run(
        self,
        contacts: Iterable[Created],
        stop: asyncio.Event,
        *,
        concurrency: int = 64,
        on_undone: Callable[[Undone], None] = lambda _: None,
    ) -> LeadConnectorError | None:
        """Delete contacts, except those that an earlier session deleted.

        Args:
            contacts: Which.
            stop: Set it to end in order.
            concurrency: How many at a time.
            on_undone: Called with the result of each.

        Returns:
            What ended it early, or None.
        """

        def note(undone: Undone) -> None:
            self._records.write(undone)
            on_undone(undone)

        async def undo(created: Created) -> None:
            note(await self._undo(created))

        left = (created for created in contacts if not self._records.is_done(created.contact_id))
        reason = await self._pool.run(
            left,
            undo,
            location_of=self._location_of,
            concurrency=concurrency,
            stop=stop,
            on_failed=lambda created, error: note(Undone(created.row, created.contact_id, "failed", str(error))),
        )
        return reason or self._pool.reason

    async def _undo(self, created: Created) -> Undone:
        row, contact_id = created.row, created.contact_id
        try:
            if kept := await self._why_kept(created):
                return Undone(row, contact_id, "kept", kept.reason, kept.changes)
            delete = partial(self._client.contacts.delete, contact_id, location_id=created.location_id)
            await self._pool.call(self._location_of(created), delete)
        except NotFoundError:
            return Undone(row, contact_id, "gone", "it no longer existed")
        return Undone(row, contact_id, "deleted")

    async def _why_kept(self, created: Created) -> Kept | None:
        if created.is_inferred and not self._includes_inferred:
            return Kept(_INFERRED)
        if self._is_forced:
            return None
        get = partial(self._client.contacts.get, created.contact_id, location_id=created.location_id)
        contact = await self._pool.call(self._location_of(created), get)
        trace = self._journal.trace(created.contact_id)
        return Kept(_NO_TRACE) if trace is None else trace.why_kept(contact)

    def _location_of(self, created: Created) -> str:
        return created.location_id or self._client.location_id or ""


class UndoReport(Struct, frozen=True, kw_only=True):
    """An undo as a whole; the counts are of all its sessions.

    Attributes:
        created: Contacts to be deleted.
        updated: Contacts to be restored; none where the run kept no snapshot.
        inferred: Contacts kept because no answer confirmed that the run created them; `kept` counts them too.
        changes: In which ways contacts that were kept, or restored in part, changed since the run, and how many each;
            one contact may count under several.
        fields_left: Custom fields that the run made, by their names; they stay.
        left: Contacts that are still to be undone.
        stopped: What ended it early, or None.

    The other counts are those of `Undone.status`; with `left` they add up to `created` and `updated`.
    """

    created: int
    updated: int
    deleted: int
    restored: int
    same: int
    partly: int
    gone: int
    kept: int
    unseen: int
    failed: int
    inferred: int
    left: int
    stopped: str | None
    changes: dict[str, int] = {}
    fields_left: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether all contacts that still exist are as before the run."""
        return not (self.partly or self.kept or self.unseen or self.failed or self.left)


def conclude_undo(
    folder: Path,
    plan: UndoPlan,
    records: UndoRecords,
    stopped: str | None,
    *,
    restores: bool = False,
    fields_left: Sequence[str] = (),
) -> UndoReport:
    """Write the result files of an undo, and return its report.

    Args:
        folder: Of the run.
        plan: What was to be done.
        records: What was done.
        stopped: What ended it early, or None.
        restores: Whether contacts that were updated were to be restored, too.
        fields_left: Custom fields that the run made.

    Raises:
        OSError: One cannot be written.
    """
    counts = records.counts()
    updated = plan.updated if restores else 0
    left = plan.created + updated - sum(counts.values())
    inferred = records.count_kept(_INFERRED)
    report = UndoReport(
        created=plan.created,
        updated=updated,
        **counts,
        inferred=inferred,
        left=left,
        stopped=stopped,
        changes=records.changes(),
        fields_left=tuple(fields_left),
    )
    with replacing(folder / UNDO_TABLE, encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for undone in records.all():
            writer.writerow([undone.row + 1, *map(neutral_cell, (undone.contact_id, undone.status, undone.detail))])
    document = {"schema": SCHEMA, **msgspec.structs.asdict(report)}
    write_private(folder / UNDO_REPORT, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    return report
