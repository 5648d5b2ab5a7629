"""Undoing a load that kept a snapshot: the location is what it was before, whatever the rows, repeats and faults; and
what somebody changed since is left alone."""

from __future__ import annotations

import asyncio
import copy
import csv
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.journal import Journal
from leadconnector_async.migration.aftermath import note_end, read_end
from leadconnector_async.migration.inventory import Inventory
from leadconnector_async.migration.lookup import fetch_fields
from leadconnector_async.migration.meaning import Meaning
from leadconnector_async.migration.restore import Restore
from leadconnector_async.migration.results import Results
from leadconnector_async.migration.rows import RowFile, open_row_file
from leadconnector_async.migration.run import FileLoad
from leadconnector_async.migration.snapshot import Snapshot, complete_snapshot
from leadconnector_async.migration.stored import BEFORE, StoredContacts
from leadconnector_async.migration.undo import Undo, read_created
from leadconnector_async.migration.undo_book import UndoBook, Undone
from leadconnector_async.migration.verify import Meetings, group_by_contact
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION
from tests.fake_clock import FakeClock

CUSTOM = {"Nickname": "custom:nickname", "Interests": "custom:interests", "Score": "custom:score"}
QUICK = RateLimit(max_requests=10_000, per_seconds=1.0, daily=None)
NAMES = ("", "Ann", "Bo Lee")
COLUMNS: dict[str, Sequence[str]] = {
    "email": ("", "a@x.example", "b@x.example", "c@x.example", "d@x.example"),
    "phone": ("", "", "+16175550101", "+16175550102", "+16175550103"),
    "firstName": NAMES,
    "lastName": NAMES,
    "name": ("", "", "Kim Roe"),
    "address1": ("", "1 Main St"),
    "city": ("", "Rome", "Bonn"),
    "postalCode": ("", "02134"),
    "country": ("", "DE"),
    "website": ("", "https://a.example"),
    "timezone": ("", "Europe/Rome"),
    "companyName": ("", "Acme", "Byte"),
    "source": ("", "crm"),
    "dateOfBirth": ("", "1990-09-25", "1991-01-02"),
    "tags": ("", "vip", "new;vip", "Old"),
    "Nickname": ("", "Nan", "Bob"),
    "Interests": ("", "Music", "Sport;Music"),
    "Score": ("", "1", "2.5"),
}
one_row = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in COLUMNS.items()})
existing = st.lists(one_row.filter(lambda row: bool(row["email"] or row["phone"])), max_size=5)


def write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


class Run:
    """A load with a snapshot, and its undo."""

    def __init__(self, client: LeadConnector, folder: Path, *, adds_tags: bool = True, clears: bool = False) -> None:
        self._client = client
        self._folder = folder
        self._adds_tags = adds_tags
        self._clears = clears
        self._files: list[RowFile] = []

    async def load(self, rows: Sequence[dict[str, str]]) -> None:
        meaning = Meaning(
            columns=CUSTOM,
            empties_fields=self._clears,
            empties_tags=not self._adds_tags,
            fields=await fetch_fields(self._client),
        )
        self._files = files = [open_row_file(write(self._folder / "rows.csv", rows), meaning)]
        with StoredContacts(self._folder / BEFORE) as stored, Snapshot(self._folder, stored) as snapshot:
            limit = RateLimit()
            await Inventory(self._client, stored, files, limit=limit, tell=lambda _: None).run(asyncio.Event())
            await complete_snapshot(self._client, snapshot, stored, files, asyncio.Event())
        with self._open_journal() as journal:
            load = FileLoad(files, Results(self._folder, files), journal, adds_tags=self._adds_tags)
            await load.run(self._client, asyncio.Event(), wait_for_quota=True, on_outcome=lambda _: None)
            note_end(journal, self._client)

    def _open_journal(self) -> Journal:
        return Journal(self._folder / "journal.sqlite3", whole={"files": "1"})

    async def undo(self, client: LeadConnector, *, is_forced: bool = False) -> list[Undone]:
        with ExitStack() as opened:
            journal = opened.enter_context(self._open_journal())
            book = opened.enter_context(UndoBook(self._folder / "undo.sqlite3"))
            stored = opened.enter_context(StoredContacts(self._folder / BEFORE))
            snapshot = opened.enter_context(Snapshot(self._folder, stored))
            meetings = opened.enter_context(Meetings(journal.outcomes()))
            work = Undo(client, book, ended_at=read_end(journal), is_forced=is_forced)
            assert await work.run(read_created(journal), asyncio.Event(), concurrency=4) is None
            groups = group_by_contact(self._files, journal.outcomes(), meetings, None, adds_tags=self._adds_tags)
            restore = Restore(client, book, snapshot, adds_tags=self._adds_tags, is_forced=is_forced)
            assert await restore.run(groups, asyncio.Event(), concurrency=4) is None
            return list(book.all())


def state_of(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """All contacts, but for when they were changed."""
    contacts = copy.deepcopy(sandbox.contacts(LOCATION))
    for contact in contacts:
        contact.pop("dateUpdated")
        contact["customFields"].sort(key=lambda field: field["id"])
    return {contact["id"]: contact for contact in contacts}


async def fill(client: LeadConnector, folder: Path, rows: Sequence[dict[str, str]]) -> None:
    """Have a location hold contacts."""
    meaning = Meaning(columns=CUSTOM, fields=await fetch_fields(client))
    for row in open_row_file(write(folder / "before.csv", rows), meaning).rows():
        await client.contacts.upsert(row.contact)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    before=existing,
    rows=st.lists(one_row, max_size=8),
    adds_tags=st.booleans(),
    clears=st.booleans(),
    faults=st.dictionaries(st.sampled_from(["500", "429", "reset-before", "503-html"]), st.just(0.1), max_size=2),
    identifiers=st.sampled_from([("email", "phone"), ("phone", "email"), ("email",)]),
    seed=st.integers(0, 99),
)
async def test_a_location_is_what_it_was_before_whatever_was_loaded(
    before: list[dict[str, str]],
    rows: list[dict[str, str]],
    adds_tags: bool,
    clears: bool,
    faults: dict[str, float],
    identifiers: tuple[str, ...],
    seed: int,
) -> None:
    clock = FakeClock()
    clocks = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            clock.jumping(),
            Sandbox(unlimited=True, seed=seed, unique_identifiers=identifiers, **clocks) as sandbox,
            LeadConnector(
                "sandbox", location_id=LOCATION, base_url=sandbox.url, clock=clock, rate_limit=QUICK
            ) as client,
        ):
            await fill(client, folder, before)
            was = state_of(sandbox)
            await clock.sleep(60)
            sandbox._faults._chances = dict(faults)
            run = Run(client, folder, adds_tags=adds_tags, clears=clears)
            await run.load(rows)
            await clock.sleep(60)
            told = await run.undo(client)
            sandbox._faults._chances = {}
            assert state_of(sandbox) == was, told
            assert {undone.status for undone in told} <= {"deleted", "restored", "same"}
