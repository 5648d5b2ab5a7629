"""Undoing, on a clock that jumps: what changed since is told from what did not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.journal import Journal
from leadconnector_async.migration.aftermath import changed_since, note_end, read_end
from leadconnector_async.migration.undo import Undo, plan_undo, read_created
from leadconnector_async.migration.undo_book import UndoBook
from leadconnector_async.models import Contact
from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock


async def load(client: LeadConnector, journal: Journal, count: int) -> None:
    await client.contacts.bulk_upsert([{"email": f"p{n}@example.com"} for n in range(count)], journal=journal)
    note_end(journal, client)


async def test_only_what_changed_after_the_run_is_kept(client: LeadConnector, clock: FakeClock, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite3") as journal, UndoBook(tmp_path / "undo.sqlite3") as book:
        await load(client, journal, 5)
        created = list(read_created(journal))
        assert plan_undo(journal).created == len(created) == 5
        await clock.sleep(60)
        await client.contacts.update(created[2].contact_id, {"city": "Rome"})
        work = Undo(client, book, ended_at=read_end(journal), is_forced=False)
        assert await work.run(created, asyncio.Event()) is None
        assert [undone.status for undone in book.all()] == ["deleted", "deleted", "kept", "deleted", "deleted"]
        assert (await client.contacts.get(created[2].contact_id)).city == "Rome"


async def test_a_run_whose_end_was_not_noted_is_known_by_its_outcomes(client: LeadConnector, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite3") as journal, UndoBook(tmp_path / "undo.sqlite3") as book:
        await client.contacts.bulk_upsert([{"email": "a@example.com"}], journal=journal)  # and no end
        work = Undo(client, book, ended_at=read_end(journal), is_forced=False)
        assert await work.run(read_created(journal), asyncio.Event()) is None
        assert book.counts()["deleted"] == 1


async def test_it_keeps_to_the_limits_and_no_call_is_refused(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> None:
    with Journal(tmp_path / "journal.sqlite3") as journal, UndoBook(tmp_path / "undo.sqlite3") as book:
        await load(client, journal, 250)
        began = clock.monotonic()
        work = Undo(client, book, ended_at=read_end(journal), is_forced=False)
        assert await work.run(read_created(journal), asyncio.Event()) is None
        assert book.counts()["deleted"] == 250
        assert clock.monotonic() - began == pytest.approx(50.05)  # 500 calls, a hundred at a time
        assert sandbox.requests == 750  # none was answered 429 and sent again


async def test_one_that_cannot_be_deleted_does_not_end_it(
    connect: OpenSandbox, open_sandbox: OpenSandbox, tmp_path: Path
) -> None:
    sandbox = await open_sandbox(faults={"500": 1})
    good = await open_sandbox()
    with Journal(tmp_path / "journal.sqlite3") as journal, UndoBook(tmp_path / "undo.sqlite3") as book:
        await load(await connect(good), journal, 3)
        work = Undo(await connect(sandbox), book, ended_at=read_end(journal), is_forced=True)
        assert await work.run(read_created(journal), asyncio.Event()) is None
        assert book.counts()["failed"] == 3


@pytest.mark.parametrize(
    ("updated", "ended_at", "has_changed"),
    [
        ("2026-01-01T00:00:10Z", 1767225600.0, True),
        ("2026-01-01T00:00:01.500Z", 1767225600.0, False),
        ("2026-01-01T00:00:10", 1767225600.0, None),
        ("yesterday", 1767225600.0, None),
        (None, 1767225600.0, None),
        ("2026-01-01T00:00:10Z", None, None),
    ],
)
def test_whether_a_contact_changed_is_told_only_where_it_is_known(
    updated: str | None, ended_at: float | None, has_changed: bool | None
) -> None:
    assert changed_since(Contact(id="x" * 20, date_updated=updated), ended_at) is has_changed
