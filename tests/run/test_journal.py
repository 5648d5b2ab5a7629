"""The journal: what was done is not done again, whatever ended the load, and the report covers all of it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from leadconnector_async import (
    BatchReport,
    ConfigurationError,
    InvalidContactError,
    Journal,
    JournalError,
    LeadConnector,
    LoadStoppedError,
    Outcome,
    StopRequestedError,
)
from leadconnector_async.bulk.intake import hash_of
from leadconnector_async.bulk.outcome import Entry
from leadconnector_async.bulk.report import STATUSES
from leadconnector_async.bulk.run_log import Intent
from leadconnector_async.models.identity import Identity
from leadconnector_async.run.database import CUT_OFF, Database
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import patiently


def people(count: int) -> list[dict[str, Any]]:
    return [{"email": f"person{number}@example.com", "first_name": f"P{number}"} for number in range(count)]


def adds_up(report: BatchReport) -> bool:
    return report.total == sum(getattr(report, status) for status in STATUSES)


def counts(report: BatchReport) -> dict[str, Any]:
    """What a resumed load must have in common with an undisturbed one."""
    told = report.to_dict()
    for name in (
        "requests",
        "retries",
        "rate_limited",
        "started_at",
        "finished_at",
        "duration_seconds",
        "sessions",
        "inferred",
    ):
        told.pop(name, None)
    return told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


# ---------------------------------------------------------------------------------------------- going on


def test_what_a_load_is_known_by_is_noted_whole_or_not_at_all(path: Path) -> None:
    whole = {"location": "L", "target": "here"}
    with Journal(path) as journal:
        with pytest.raises(UnicodeEncodeError):  # in the midst, as a kill would be
            journal.note({**whole, "target": "\ud800"})
        assert [journal.about(name) for name in whole] == [None, None]
        journal.check({"location": "another"})
        journal.note(whole)
        journal.check(whole)
        assert {name: journal.about(name) for name in whole} == whole
        with pytest.raises(ConfigurationError, match="another service"):
            journal.check({**whole, "target": "there"})


async def test_a_load_that_was_stopped_goes_on(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    stop = asyncio.Event()

    def stop_at_fifty(outcome: Outcome) -> None:
        if outcome.index == 50:
            stop.set()

    rows = people(300)
    first = await client.contacts.bulk_upsert(rows, journal=path, stop=stop, on_outcome=stop_at_fifty, concurrency=8)
    assert isinstance(first.stopped, StopRequestedError)
    assert 50 < first.created < 300
    assert first.total == 300
    before = sandbox.requests

    seen: list[int] = []
    second = await client.contacts.bulk_upsert(
        iter(rows), journal=path, on_outcome=lambda outcome: seen.append(outcome.index)
    )
    assert (second.total, second.created, second.sessions) == (300, 300, 2)
    assert sandbox.requests - before == 300 - first.created == len(seen)
    assert second.is_complete
    assert second.to_dict()["sessions"] == 2
    assert [outcome.index for outcome in second.outcomes] == list(range(300))
    assert first.started_at == second.started_at


async def test_a_finished_load_is_told_again_without_a_call(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    rows = [*people(20), {"nonsense": 1}, {"email": "not an address"}]
    first = await client.contacts.bulk_upsert(rows, journal=path)
    before = sandbox.requests
    again = await client.contacts.bulk_upsert(rows, journal=path, keep_outcomes=False)
    assert sandbox.requests == before
    assert counts(again) == counts(first)
    kept = await client.contacts.bulk_upsert(rows, journal=path)
    assert kept.outcomes == first.outcomes
    assert kept.sessions == 3


async def test_a_row_that_is_another_one_now_is_sent(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    rows = people(30)
    await client.contacts.bulk_upsert(rows, journal=path)
    before = sandbox.requests
    rows[7] = {"email": "somebody@example.com"}
    rows.append({"email": "one-more@example.com"})
    report = await client.contacts.bulk_upsert(rows, journal=path)
    assert sandbox.requests - before == 2
    assert (report.total, report.created) == (31, 31)
    assert report.outcomes[7].contact_id in {
        c["id"] for c in sandbox.contacts() if c["email"] == "somebody@example.com"
    }


async def test_mappings_of_other_kinds_are_known_by_their_content(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    def rows(city: str) -> list[Any]:
        return [MappingProxyType({**row, "city": city}) for row in people(5)]

    await client.contacts.bulk_upsert(rows("Bonn"), journal=path)
    before = sandbox.requests
    await client.contacts.bulk_upsert(rows("Bonn"), journal=path)
    assert sandbox.requests == before
    assert (await client.contacts.bulk_upsert(rows("Ulm"), journal=path)).updated == 5


async def test_a_stop_while_rows_are_looked_up_loses_none(client: LeadConnector, path: Path) -> None:
    rows = people(20_000)
    with Journal(path) as journal:
        journal.begin(whole=whole_of(client), concurrency=1, now=0.0)
        journal.write([done(index, row) for index, row in enumerate(rows[:19_000])])
    for delay in (0.0, 0.005, 0.02, 0.05, 0.1):
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(delay, stop.set)
        report = await client.contacts.bulk_upsert(iter(rows), journal=path, stop=stop, concurrency=1)
        assert report.total == 20_000
        assert report.created + report.not_attempted == 20_000
        assert report.created >= 19_000
        assert [outcome.index for outcome in report.outcomes] == list(range(20_000))


def whole_of(client: LeadConnector) -> dict[str, str]:
    return {"location": LOCATION, "target": client.target, "api_version": client.api_version}


def done(index: int, row: dict[str, Any]) -> Entry:
    outcome = Outcome(index=index, status="created", new=True, contact_id=f"c{index}", attempts=1)
    return Entry(outcome, hash_of(row), Identity(row["email"], ""), is_repeatable=True)


async def test_failed_rows_are_sent_again_only_where_wanted(
    client: LeadConnector, poison: set[bytes], path: Path
) -> None:
    rows = people(4)
    poison.add(rows[0]["email"].encode())
    first = await client.contacts.bulk_upsert(rows, journal=path, concurrency=1)
    assert (first.failed, first.created) == (1, 3)
    second = await client.contacts.bulk_upsert(rows, journal=path)
    assert (second.failed, second.created, second.total) == (1, 3, 4)
    poison.clear()
    third = await client.contacts.bulk_upsert(rows, journal=path, retry_failed=True)
    assert (third.failed, third.created, third.total) == (0, 4, 4)
    # Its failed tries count on, though its outcome is another one now.
    assert (second.requests, third.requests) == (first.requests, first.requests + 1)
    fourth = await client.contacts.bulk_upsert(rows, journal=path)
    assert (fourth.requests, fourth.retries) == (third.requests, third.retries)
    assert third.errors == []


async def test_a_row_that_is_sent_late_says_so(client: LeadConnector, poison: set[bytes], path: Path) -> None:
    rows = [{"email": "a@b.co", "city": "Old"}, {"email": "a@b.co", "city": "New"}]
    poison.add(b'"Old"')
    assert (await client.contacts.bulk_upsert(rows, journal=path, concurrency=1)).failed == 1
    poison.clear()
    report = await client.contacts.bulk_upsert(rows, journal=path, retry_failed=True)
    assert report.outcomes[0].status == "updated"
    assert "after row 1 of the same contact" in (report.outcomes[0].note or "")


async def test_a_journal_object_heeds_what_the_load_asks_for(
    client: LeadConnector, poison: set[bytes], path: Path
) -> None:
    poison.add(b"@")
    with Journal(path) as journal:
        assert (await client.contacts.bulk_upsert(people(1), journal=journal)).failed == 1
        poison.clear()
        assert (await client.contacts.bulk_upsert(people(1), journal=journal, retry_failed=True)).created == 1


async def test_a_list_that_has_moved_by_one_row_is_sent_again_and_quickly(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    rows = people(3_000)
    with Journal(path) as journal:
        journal.begin(whole=whole_of(client), concurrency=1, now=0.0)
        journal.write([done(index, row) for index, row in enumerate(rows)])
    report = await client.contacts.bulk_upsert([{"email": "first@example.com"}, *rows], journal=path)
    assert report.total == 3_001
    assert [outcome.index for outcome in report.outcomes] == list(range(3_001))
    assert sandbox.requests == 3_001


async def test_a_stream_goes_on_and_yields_only_what_is_left(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    rows = people(90)
    seen: Counter[int] = Counter()
    stream = client.contacts.stream_upserts(rows, journal=path, concurrency=4)
    async with contextlib.aclosing(stream):
        async for outcome in stream:
            seen[outcome.index] += 1
            if len(seen) == 20:
                break
    async for outcome in client.contacts.stream_upserts(rows, journal=path):
        seen[outcome.index] += 1
    assert sorted(seen) == list(range(90))  # none is missed, though some may come twice
    assert sum(seen.values()) < 140
    assert len(sandbox.contacts()) == 90
    assert [outcome async for outcome in client.contacts.stream_upserts(rows, journal=path)] == []


async def test_what_a_consumer_had_not_done_with_is_handed_over_again(client: LeadConnector, path: Path) -> None:
    rows = people(10)

    def angry(outcome: Outcome) -> None:
        raise OSError("the database is gone")

    with pytest.raises(LoadStoppedError):
        await client.contacts.bulk_upsert(rows, journal=path, on_outcome=angry)
    seen: Counter[int] = Counter()
    report = await client.contacts.bulk_upsert(rows, journal=path, on_outcome=lambda o: seen.update([o.index]))
    assert seen == dict.fromkeys(range(10), 1)
    assert (report.total, report.created) == (10, 10)


def test_what_became_unknown_is_handed_over_after_groups_of_rows_that_were_not_sent(path: Path) -> None:
    whole = {"location": "L", "target": "here", "api_version": "2021-07-28"}
    unsent = Entry(Outcome(index=1, status="not_attempted"), b"", Identity("", ""), is_repeatable=True)
    with Journal(path) as journal:
        journal.begin(whole=whole, concurrency=1, now=1_790_000_000.0)
        journal.intend([Intent(0, b"", is_repeatable=False)], now=1_790_000_000.0)
        journal.write([unsent])
        journal.write([unsent])  # which says that the group before was delivered
    with Journal(path) as journal:
        journal.begin(whole=whole, concurrency=1, now=1_790_000_009.0)
        assert [(outcome.index, outcome.status) for outcome in journal.undelivered()] == [(0, "unknown")]


async def test_an_outcome_is_on_disk_before_it_is_told(client: LeadConnector, path: Path, tmp_path: Path) -> None:
    on_disk: list[bool] = []

    def look(outcome: Outcome) -> None:
        copy = tmp_path / "copy"
        for suffix in ("", "-wal"):
            source = Path(f"{path}{suffix}")
            if source.exists():
                Path(f"{copy}{suffix}").write_bytes(source.read_bytes())
        with contextlib.closing(sqlite3.connect(copy)) as db:
            on_disk.append(bool(db.execute("SELECT 1 FROM outcomes WHERE row = ?", (outcome.index,)).fetchone()))

    await client.contacts.bulk_upsert(people(12), journal=path, on_outcome=look, concurrency=3)
    assert on_disk == [True] * 12


# ---------------------------------------------------------------------------------------------- truth after a crash


def forget(path: Path, *rows: int, has_times: bool = True) -> None:
    """Take outcomes out of a journal, as if the process had been killed before they were written. Of their tries it
    knows the times, if any answer had told the server's time."""
    with Database(path, "journal") as file, file.transaction() as db:
        (span,) = db.execute("SELECT server_began_at, server_until FROM sessions").fetchall()
        spans = msgspec.msgpack.encode([span if has_times else None])
        for row in rows:
            ((row_hash,),) = db.execute("SELECT hash FROM outcomes WHERE row = ?", (row,)).fetchall()
            db.execute("INSERT INTO lost_tries (row, hash, spans) VALUES (?, ?, ?)", (row, row_hash, spans))
            db.execute("DELETE FROM contacts WHERE row = ?", (row,))
            db.execute("DELETE FROM outcomes WHERE row = ?", (row,))
        db.execute("UPDATE sessions SET state = ?", (CUT_OFF,))


async def test_rows_in_flight_at_a_crash_are_told_truly(
    client: LeadConnector, sandbox: Sandbox, path: Path, clock: FakeClock
) -> None:
    sandbox.add_contact(LOCATION, email="person3@example.com")
    await clock.sleep(60)
    rows = [*people(10), {"email": "person5@example.com", "source": "again"}]
    first = await client.contacts.bulk_upsert(rows, journal=path)
    forget(path, 3, 5, 7, 10)  # updated, created, created, updated (created by row 5)
    await clock.sleep(3_600)
    second = await client.contacts.bulk_upsert(rows, journal=path)
    assert counts(second) == counts(first)
    assert [o.status for o in second.outcomes] == [o.status for o in first.outcomes]
    assert [o.index for o in second.outcomes if o.inferred] == [5, 7]
    assert "dateAdded" in (second.outcomes[7].note or "")


async def test_where_no_answer_told_the_servers_time_nothing_is_inferred(client: LeadConnector, path: Path) -> None:
    await client.contacts.bulk_upsert(people(3), journal=path)
    forget(path, 0, 1, 2, has_times=False)
    report = await client.contacts.bulk_upsert(people(3), journal=path)
    assert (report.updated, report.inferred) == (3, 0)
    assert all("may have created it" in (outcome.note or "") for outcome in report.outcomes)


@pytest.mark.parametrize("has_ended", [True, False])
async def test_somebody_elses_contact_is_not_called_ours_after_a_crash(
    client: LeadConnector, sandbox: Sandbox, path: Path, clock: FakeClock, has_ended: bool
) -> None:
    """Rows that no worker had begun were not sent, however near they are to those that were."""
    await client.contacts.bulk_upsert(people(3), journal=path)
    if not has_ended:
        forget(path, 2)
    for number in (3, 4):
        sandbox.add_contact(LOCATION, email=f"person{number}@example.com")
    report = await client.contacts.bulk_upsert(people(5), journal=path)
    assert [outcome.status for outcome in report.outcomes] == [*["created"] * 3, "updated", "updated"]
    assert [outcome.note for outcome in report.outcomes[3:]] == [None, None]
    assert report.inferred == (not has_ended)


async def test_a_failed_row_that_somebody_added_by_hand_is_not_called_ours(
    client: LeadConnector, sandbox: Sandbox, path: Path, clock: FakeClock
) -> None:
    sandbox.fail_next("429", times=1)
    rows = [{"email": "no address"}, *people(2)]
    await client.contacts.bulk_upsert(rows, journal=path)
    await clock.sleep(60)
    sandbox.add_contact(LOCATION, email="other@example.com")
    rows[0] = {"email": "other@example.com"}
    report = await client.contacts.bulk_upsert(rows, journal=path, retry_failed=True)
    assert [outcome.status for outcome in report.outcomes] == ["updated", "created", "created"]


# ---------------------------------------------------------------------------------------------- stops in between


async def test_what_is_known_of_a_row_is_told_again_where_a_later_run_does_not_come_to_it(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    rows = [*people(3), *({**row, "email": "no address"} for row in people(3))]
    first = await client.contacts.bulk_upsert(rows, journal=path)
    assert first.failed == 3
    stop = asyncio.Event()
    stop.set()
    for retry_failed in (True, False):
        report = await client.contacts.bulk_upsert(rows, journal=path, retry_failed=retry_failed, stop=stop)
        assert (report.failed, report.created, report.not_attempted) == (3, 3, 0)


async def test_a_stop_before_the_first_row_sends_nothing(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    stop = asyncio.Event()
    stop.set()
    for journal in (path, None):
        report = await client.contacts.bulk_upsert(people(30), journal=journal, stop=stop)
        assert (report.not_attempted, sandbox.requests) == (30, 0)


async def test_a_retry_that_is_stopped_forgets_no_failure(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path
) -> None:
    sandbox = await open_sandbox(allow_duplicates=True, faults={"422-created": 1.0})
    client = await connect(sandbox)
    rows = [{**row, "create_new_if_duplicate_allowed": True} for row in people(3)]
    assert (await client.contacts.bulk_upsert(rows, journal=path)).failed == 3
    refusing = await connect(sandbox, token="wrong")
    report = await refusing.contacts.bulk_upsert(rows, journal=path, retry_failed=True)
    assert (report.failed, report.not_attempted) == (3, 0)
    before = sandbox.requests
    assert (await client.contacts.bulk_upsert(rows, journal=path)).failed == 3
    assert sandbox.requests == before


async def test_a_text_that_no_file_can_hold_stops_nothing(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    rows: list[Any] = [
        *people(50),
        InvalidContactError("bad \udce9 name", where="caf\udce9.csv, row 3"),
        *people(60)[50:],
    ]
    report = await client.contacts.bulk_upsert(rows, journal=path)
    assert (report.total, report.created, report.failed) == (61, 60, 1)
    assert str(report.outcomes[50].error) == r"caf\udce9.csv, row 3: bad \udce9 name"


async def test_rows_of_one_person_do_not_wait_for_a_group_each(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, rate_limit=None)
    began = clock.now
    report = await client.contacts.bulk_upsert([{"email": "a@b.co", "city": f"{n}"} for n in range(30)], journal=path)
    assert report.updated == 29
    assert clock.now == began  # with a group each it would be six seconds


async def test_rows_that_cannot_be_sent_wait_for_no_timer(path: Path) -> None:
    rows: list[dict[str, Any]] = [{"first_name": "Nobody"}] * 1_000
    async with LeadConnector("x", base_url="http://127.0.0.1:1", location_id="L", clock=FakeClock()) as client:
        load = client.contacts.bulk_upsert(rows, journal=path, keep_outcomes=False)
        async with patiently():  # for ever, if it waited for a clock that stands still
            report = await load
    assert report.failed == 1_000


@pytest.mark.parametrize("is_written", [True, False])
async def test_what_is_not_safe_to_repeat_is_unknown_after_a_crash(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, is_written: bool
) -> None:
    sandbox = await open_sandbox(allow_duplicates=True)
    client = await connect(sandbox)
    rows = [{**row, "create_new_if_duplicate_allowed": True} for row in people(6)]
    await client.contacts.bulk_upsert(rows[:4], journal=path)
    journal = Journal(path)
    # As a process does that is killed while rows 4 and 5 are in flight.
    with contextlib.closing(journal):
        journal.begin(whole=whole_of(client), concurrency=2, now=1_790_000_000.0)
        intents = [Intent(row, hash_of(rows[row]), is_repeatable=False) for row in (4, 5)]
        journal.intend(intents, 1_790_000_000.0)
    if is_written:
        sandbox.add_contact(LOCATION, email="person4@example.com")
    before = sandbox.requests
    report = await client.contacts.bulk_upsert(rows, journal=path, retry_failed=True)
    assert sandbox.requests == before
    assert (report.created, report.unknown) == (4, 2)
    assert "2026-09-21T14:13:20" in (report.outcomes[4].note or "")
    assert report.outcomes[4].error is not None


def _done(row: int) -> Entry:
    outcome = Outcome(index=row, status="created", contact_id=f"contact{row}", new=True, attempts=1)
    return Entry(outcome, b"", Identity(f"L person{row}@example.com", ""), is_repeatable=True)


@pytest.mark.parametrize("retried", [(), (1, 2)])
def test_rows_under_way_cost_one_record_a_group_and_each_is_known_until_it_is_done(
    path: Path, retried: tuple[int, ...]
) -> None:
    span = (1.0, 2.0)
    with Database(path, "journal") as file, Journal(file) as journal:
        journal.begin(whole={}, concurrency=8, now=1_790_000_000.0)
        journal.intend([Intent(row, b"", is_repeatable=True, lost_tries=(span,)) for row in range(8)], 1.0)
        assert file.read("SELECT count(*) FROM intents") == [(1,)]
        if retried:  # takes the place of the try before
            again = [Intent(row, b"", is_repeatable=True, lost_tries=(span, span)) for row in retried]
            journal.intend(again, 2.0)
        journal.write([_done(row) for row in (0, 3, 4)])
        assert file.read("SELECT count(*) FROM intents") == [(1 + bool(retried),)]
    with Database(path, "journal") as file, Journal(file) as journal:  # as after a crash
        journal.begin(whole={}, concurrency=8, now=1_790_000_000.0)
        tries = {row: 2 if row in retried else 1 for row in (1, 2, 5, 6, 7)}
        assert {row: len(found) for row in range(8) if (found := journal.lost_tries(row, b""))} == tries
        assert journal._other_calls().in_doubt == len(tries)
        journal.intend([Intent(row, b"", is_repeatable=True, lost_tries=(span,)) for row in tries], 3.0)
        journal.write([_done(row) for row in tries])
        assert file.read("SELECT (SELECT count(*) FROM intents) + (SELECT count(*) FROM lost_tries)") == [(0,)]


def test_a_group_asks_the_database_the_same_whatever_its_size(path: Path) -> None:
    asked: list[int] = []
    with Database(path, "journal") as file, Journal(file) as journal:
        journal.begin(whole={}, concurrency=64, now=1_790_000_000.0)
        for rows in (range(1), range(1, 60)):
            statements: list[str] = []
            file._db.set_trace_callback(statements.append)
            journal.write([_done(row) for row in rows])
            file._db.set_trace_callback(None)
            asked.append(sum(statement.startswith("SELECT") for statement in statements))
    assert asked[0] == asked[1]


@pytest.mark.parametrize("is_unsafe", [True, False])
async def test_an_intent_is_on_disk_before_its_bytes_leave(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, monkeypatch: pytest.MonkeyPatch, is_unsafe: bool
) -> None:
    events: list[tuple[str, int]] = []
    intend = Journal.intend

    def watched(self: Journal, intents: Any, now: float) -> None:
        intend(self, intents, now)
        events.extend(("intended", one.row) for one in intents)

    monkeypatch.setattr(Journal, "intend", watched)
    sandbox = await open_sandbox(allow_duplicates=True)
    client = await connect(sandbox)
    exchange = client._transport.exchange

    async def sent(request: Any, token: str) -> Any:
        events.append(("sent", int(request.body.split(b"person")[1].split(b"@")[0])))
        return await exchange(request, token)

    monkeypatch.setattr(client._transport, "exchange", sent)
    rows = [{**row, "create_new_if_duplicate_allowed": is_unsafe} for row in people(30)]
    report = await client.contacts.bulk_upsert(rows, journal=path)
    assert report.created == 30
    for number in range(30):
        assert events.index(("intended", number)) < events.index(("sent", number))


async def test_an_intent_whose_call_never_left_is_taken_back(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path
) -> None:
    sandbox = await open_sandbox(allow_duplicates=True, token="another")
    client = await connect(sandbox)
    rows = [{**row, "create_new_if_duplicate_allowed": True} for row in people(5)]
    refused = await client.contacts.bulk_upsert(rows, journal=path)
    assert refused.not_attempted == 5
    allowed = await connect(sandbox, token="another")
    report = await allowed.contacts.bulk_upsert(rows, journal=path)
    assert (report.created, report.unknown) == (5, 0)


# ---------------------------------------------------------------------------------------------- what is refused


async def test_a_journal_of_another_load_is_refused(
    client: LeadConnector, sandbox: Sandbox, connect: OpenSandbox, path: Path
) -> None:
    await client.contacts.bulk_upsert(people(2), journal=path)
    before = sandbox.requests
    elsewhere = await connect(sandbox, location_id="another")
    with pytest.raises(ConfigurationError, match="another location"):
        await elsewhere.contacts.bulk_upsert(people(2), journal=path)
    later = await connect(sandbox, api_version="v3")
    with pytest.raises(ConfigurationError, match="another API version"):
        await later.contacts.bulk_upsert(people(2), journal=path)
    with Journal(path) as journal:
        journal.note({"target": "services.example.com"})
        with pytest.raises(ConfigurationError, match="another service"):
            await client.contacts.bulk_upsert(people(2), journal=journal)
    assert sandbox.requests == before


async def test_a_second_process_is_refused(client: LeadConnector, path: Path) -> None:
    with Journal(path), pytest.raises(ConfigurationError, match="another process"):
        await client.contacts.bulk_upsert(people(2), journal=path)
    assert (await client.contacts.bulk_upsert(people(2), journal=path)).created == 2


async def test_two_loads_at_once_on_one_journal_are_refused(client: LeadConnector, path: Path) -> None:
    with Journal(path) as journal:
        journal.begin(whole=whole_of(client), concurrency=1, now=0.0)  # as the first of two loads does
        with pytest.raises(ConfigurationError, match="another load is using this journal"):
            await client.contacts.bulk_upsert(people(20), journal=journal)
        journal.end(is_delivered=True)
        report = await client.contacts.bulk_upsert(people(20), journal=journal)
        assert (report.created, report.sessions) == (20, 2)


@pytest.mark.parametrize("content", [b"email\na@b.co\n" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_what_is_no_journal_is_refused(client: LeadConnector, path: Path, content: bytes) -> None:
    path.write_bytes(content)  # noqa: ASYNC240
    with pytest.raises(ConfigurationError, match="journal"):
        await client.contacts.bulk_upsert(people(2), journal=path)
    assert path.read_bytes() == content  # noqa: ASYNC240


async def test_another_database_is_refused(client: LeadConnector, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE customers (id)")
    before = path.read_bytes()  # noqa: ASYNC240
    with pytest.raises(ConfigurationError, match="is not a journal of leadconnector-async"):
        await client.contacts.bulk_upsert(people(2), journal=path)
    assert path.read_bytes() == before  # noqa: ASYNC240


async def test_a_journal_of_version_0_1_is_refused_and_left_as_it_is(client: LeadConnector, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA application_id = 1279486513")
        db.execute("PRAGMA user_version = 1")
        db.execute("CREATE TABLE sittings (number INTEGER PRIMARY KEY, has_ended INTEGER)")
    before = path.read_bytes()  # noqa: ASYNC240
    with pytest.raises(ConfigurationError, match=r"version 0\.1 .*; finish it with that version"):
        await client.contacts.bulk_upsert(people(2), journal=path)
    assert path.read_bytes() == before  # noqa: ASYNC240


@pytest.mark.parametrize("is_full", [False, True])
async def test_a_journal_that_is_closed_within_a_session_can_be_gone_on_with(
    client: LeadConnector, path: Path, is_full: bool
) -> None:
    rows = people(30)
    with Journal(path) as journal:
        journal.begin(whole=whole_of(client), concurrency=1, now=0.0)
        journal.write([done(index, row) for index, row in enumerate(rows[:20])])
        if is_full:
            fill_disk(journal)
    assert not path.with_name(f"{path.name}-wal").exists()
    report = await client.contacts.bulk_upsert(rows, journal=path)
    assert (report.total, report.created, report.sessions) == (30, 30, 2)


def test_a_walk_that_is_given_up_after_the_file_is_closed_says_nothing(path: Path) -> None:
    with Journal(path) as journal:
        journal.begin(whole={}, concurrency=1, now=0.0)
        journal.write([done(index, row) for index, row in enumerate(people(3))])
        outcomes = journal.outcomes()
        next(outcomes)
        walk = journal._file.walk("SELECT row FROM outcomes")
        next(walk)
    walk.close()  # type: ignore[attr-defined]
    del outcomes  # an error here would be one that nobody can catch


def fill_disk(journal: Journal) -> None:
    """Refuse the next group, as a disk does on which no log can grow; there is room in what the log has already."""
    transaction, refused = journal._file.transaction, []

    @contextlib.contextmanager
    def full() -> Iterator[sqlite3.Connection]:
        if not refused:
            refused.append(True)
            raise JournalError("database or disk is full")
        with transaction() as db:
            yield db

    journal._file.transaction = full  # type: ignore[method-assign]


async def test_a_folder_that_is_not_there_is_told(client: LeadConnector, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await client.contacts.bulk_upsert(people(2), journal=tmp_path / "none" / "journal.sqlite3")


@pytest.mark.parametrize("cut", [1, 30, 500, 4_000])
async def test_a_torn_last_record_costs_only_itself(
    client: LeadConnector, sandbox: Sandbox, path: Path, tmp_path: Path, cut: int
) -> None:
    torn = tmp_path / "torn.sqlite3"
    seen = 0
    stop = asyncio.Event()

    def copy(outcome: Outcome) -> None:
        nonlocal seen
        seen += 1
        if seen == 40:
            torn.write_bytes(path.read_bytes())
            Path(f"{torn}-wal").write_bytes(Path(f"{path}-wal").read_bytes()[:-cut])
            stop.set()

    rows = people(60)
    await client.contacts.bulk_upsert(rows, journal=path, concurrency=4, on_outcome=copy, stop=stop)
    report = await client.contacts.bulk_upsert(rows, journal=torn)
    assert (report.total, len(sandbox.contacts())) == (60, 60)
    # The record may have held what four rows were about to do; nothing else shows who created them.
    assert (report.created + report.updated, report.updated <= 4) == (60, True)


async def test_a_journal_that_is_removed_stops_the_load_in_order(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    report = await client.contacts.bulk_upsert(
        people(300), journal=path, concurrency=4, on_outcome=lambda _: path.unlink(missing_ok=True)
    )
    assert isinstance(report.stopped, JournalError)
    assert "is gone" in str(report.stopped)
    assert report.created == len(sandbox.contacts()) < 50
    assert report.total == 300


async def test_a_disk_that_is_full_stops_the_load_in_order(
    client: LeadConnector, sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Journal.write

    def full(self: Journal, entries: Any, **options: Any) -> Any:
        if self._written > 2:
            self._file.read("PRAGMA max_page_count = 1")  # SQLite's own error for a disk that is full
        return write(self, entries, **options)

    monkeypatch.setattr(Journal, "write", full)
    rows = people(300)
    report = await client.contacts.bulk_upsert(rows, journal=path, concurrency=4)
    assert isinstance(report.stopped, JournalError)
    assert "full" in str(report.stopped)
    assert adds_up(report)
    assert report.total == 300
    assert report.created == len(sandbox.contacts()) < 300
    monkeypatch.undo()
    again = await client.contacts.bulk_upsert(rows, journal=path)
    assert (again.created, again.total, len(sandbox.contacts())) == (300, 300, 300)
