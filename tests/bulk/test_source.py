"""Rows that bring something along: `Row(contact, ref=anything)`, and `outcome.ref`."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import (
    BatchReport,
    ContactUpsert,
    InvalidContactError,
    LeadConnector,
    LoadStoppedError,
    OutageError,
    Outcome,
    Row,
)
from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock

OTHER = "anotherLocation00001"


class Message:
    """What a queue delivers. Nothing can encode it, compare it or copy it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.outcome: Outcome | None = None

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        raise TypeError("it has no hash")

    def __repr__(self) -> str:
        return f"<secret {self.number}>"


def delivered(count: int) -> list[Row]:
    rows: list[Row] = []
    for number in range(count):
        email = f"p{number}@example.com"
        contacts: list[Any] = [
            {"email": email},
            ContactUpsert(email=email),
            {"email": email, "location_id": OTHER},
            {"emial": email},
            InvalidContactError("it is no JSON"),
            {"email": email, "create_new_if_duplicate_allowed": True},
        ]
        rows.append(Row(contacts[number % 6], ref=Message(number)))
    return rows


async def slowly(rows: Iterable[Row]) -> AsyncIterator[Row]:
    for row in rows:
        await asyncio.sleep(0)
        yield row


SOURCES: dict[str, Callable[[list[Row]], Any]] = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "sized": lambda rows: dict.fromkeys(range(len(rows)), None) and _Sized(rows),
    "async iterator": slowly,
}


class _Sized:
    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


@pytest.mark.parametrize("with_journal", [False, True], ids=["no journal", "journal"])
@pytest.mark.parametrize("open_it", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("coalesce", [False, True])
async def test_each_outcome_brings_back_what_its_row_came_with(
    client: LeadConnector, tmp_path: Path, open_it: Callable[[list[Row]], Any], with_journal: bool, coalesce: bool
) -> None:
    rows = delivered(36)
    journals = [tmp_path / f"{number}.sqlite3" if with_journal else None for number in range(2)]
    noted: list[Outcome] = []
    report = await client.contacts.bulk_upsert(
        open_it(rows), on_outcome=noted.append, journal=journals[0], coalesce=coalesce
    )
    stream = client.contacts.stream_upserts(open_it(rows), journal=journals[1], coalesce=coalesce)
    streamed = [outcome async for outcome in stream]
    for outcomes in (report.outcomes, noted, streamed):
        assert len(outcomes) == 36
        assert all(outcome.ref is rows[outcome.index].ref for outcome in outcomes)
    assert (report.created, report.failed) == (24, 12)


async def test_a_row_without_a_ref_is_the_contact_alone(client: LeadConnector) -> None:
    report = await client.contacts.bulk_upsert([Row({"email": "a@example.com"}), {"email": "b@example.com"}])
    assert [(outcome.status, outcome.ref) for outcome in report.outcomes] == [("created", None), ("created", None)]


async def test_a_row_is_no_contact(client: LeadConnector) -> None:
    row: Any = Row({"email": "a@example.com"}, ref=1)
    with pytest.raises(InvalidContactError, match="not Row"):
        await client.contacts.upsert(row)
    report = await client.contacts.bulk_upsert([Row(row, ref=2)])
    assert [(outcome.status, outcome.ref) for outcome in report.outcomes] == [("failed", 2)]


def read_all(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_what_a_row_came_with_is_not_stored(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    rows = [Row({"email": "a@example.com"}, ref="secret of the queue"), Row({}, ref="secret of the queue")]
    await client.contacts.bulk_upsert(rows, journal=path)
    assert b"secret of the queue" not in read_all(tmp_path)
    assert "secret" not in str(sandbox.contacts())


async def test_an_outcome_is_on_disk_when_it_is_yielded(client: LeadConnector, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    copy = tmp_path / "copy.sqlite3"
    count = 0
    async with aclosing(client.contacts.stream_upserts(delivered(30), journal=path)) as outcomes:
        async for outcome in outcomes:
            for suffix in ("", "-wal"):  # as they would be found after a crash at this moment
                (tmp_path / f"copy.sqlite3{suffix}").write_bytes((tmp_path / f"journal.sqlite3{suffix}").read_bytes())
            with sqlite3.connect(copy) as database:
                assert database.execute("SELECT 1 FROM outcomes WHERE row = ?", (outcome.index,)).fetchone()
            database.close()
            count += 1
    assert count == 30


async def test_a_message_that_comes_again_after_a_restart_gets_its_outcome_again(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nobody knows whether it was acknowledged: without an outcome it would wait for ever."""
    path = tmp_path / "journal.sqlite3"
    plain = [{"email": "plain@example.com"}]
    await client.contacts.bulk_upsert([*delivered(12), *plain], journal=path)
    requests = sandbox.requests
    rows = [*delivered(12), *plain, Row({"email": "new@example.com"}, ref="new")]
    outcomes = [outcome async for outcome in client.contacts.stream_upserts(rows, journal=path)]
    assert sandbox.requests == requests + 1
    assert sorted(outcome.index for outcome in outcomes) == [*range(12), 13]
    assert all(outcome.ref is rows[outcome.index].ref for outcome in outcomes if outcome.index < 12)
    noted: list[Outcome] = []
    report = await client.contacts.bulk_upsert(rows, journal=path, on_outcome=noted.append)
    assert (report.total, report.created) == (14, 10)
    assert sorted(outcome.index for outcome in noted) == [*range(12), 13]
    assert [outcome.index for outcome in report.outcomes] == list(range(14))
    assert all(outcome.ref is rows[outcome.index].ref for outcome in report.outcomes if outcome.index < 12)


async def test_what_was_not_sent_brings_it_back_as_well(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(daily=2)
    client = await connect(sandbox)
    rows = [Row({"email": f"p{number}@example.com"}, ref=number) for number in range(500)]
    report = await client.contacts.bulk_upsert(iter(rows), concurrency=2)
    assert report.not_attempted == 498
    assert [outcome.ref for outcome in report.outcomes] == list(range(500))


async def test_rows_that_were_read_bring_it_back_where_the_load_fails(client: LeadConnector) -> None:
    report = BatchReport()

    def fail(outcome: Outcome) -> None:
        raise ValueError(outcome.ref)

    rows = [Row({"email": f"p{number}@example.com"}, ref=number) for number in range(50)]
    with pytest.raises(LoadStoppedError):
        await client.contacts.bulk_upsert(rows, on_outcome=fail, report=report)
    assert report.outcomes
    assert all(outcome.ref == outcome.index for outcome in report.outcomes)


async def test_a_message_that_holds_its_outcome_is_let_go_of(client: LeadConnector) -> None:
    message = Message(1)
    seen = weakref.ref(message)
    async for outcome in client.contacts.stream_upserts(iter([Row({"email": "a@example.com"}, ref=message)])):
        message.outcome = outcome
    del message, outcome
    gc.collect()
    assert seen() is None


# ---------------------------------------------------------------------------------------------- no connection at all


async def test_a_stream_waits_for_a_service_that_was_never_reached(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox)
    await sandbox.stop()
    began = clock.now

    async def come_back() -> None:
        await clock.sleep(1_800.0)
        await sandbox.start()

    task = asyncio.create_task(come_back())
    rows = [Row({"email": f"p{number}@example.com"}, ref=number) for number in range(3)]
    outcomes = [outcome async for outcome in client.contacts.stream_upserts(rows)]
    await task
    assert sorted(outcome.ref for outcome in outcomes) == [0, 1, 2]
    assert {outcome.status for outcome in outcomes} == {"created"}
    assert 1_800.0 <= clock.now - began < 1_900.0


async def test_a_stream_waits_no_longer_than_the_retry_policy_says(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox)
    await sandbox.stop()
    began = clock.now
    stream = client.contacts.stream_upserts([Row({"email": "a@example.com"}, ref=1)])
    outcome = await anext(stream)
    assert (outcome.status, outcome.ref) == ("not_attempted", 1)
    with pytest.raises(OutageError):
        await anext(stream)
    assert 3_600.0 <= clock.now - began < 3_700.0


async def test_a_load_does_not_wait_for_an_address_that_was_never_reached(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox)
    await sandbox.stop()
    began = clock.now
    report = await client.contacts.bulk_upsert([{"email": "a@example.com"}])
    assert isinstance(report.stopped, OutageError)
    assert clock.now - began < 60.0
