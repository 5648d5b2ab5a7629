"""The bulk load: each row exactly one outcome, true against the sandbox's own books, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async import (
    AuthenticationError,
    BatchReport,
    ContactUpsert,
    DailyQuotaExceededError,
    InvalidContactError,
    LeadConnector,
    LoadStoppedError,
    Outcome,
    RateLimit,
    RetryPolicy,
    RowsFailedError,
    StopRequestedError,
    TokenSourceError,
    UsageError,
)
from leadconnector_async.bulk import load as load_module
from leadconnector_async.bulk.report import STATUSES, RowError
from leadconnector_async.sandbox import FAULT_KINDS, Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import patiently, until

QUICK = RetryPolicy(max_attempts=3, first_delay=0.1)


def people(count: int) -> list[dict[str, Any]]:
    return [{"email": f"person{number}@example.com", "first_name": f"P{number}"} for number in range(count)]


def adds_up(report: BatchReport) -> bool:
    return report.total == sum(getattr(report, status) for status in STATUSES)


# ---------------------------------------------------------------------------------------------- the invariant

rows = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"email": st.sampled_from([f"e{number}@b.co" for number in range(6)])},
            optional={
                "phone": st.sampled_from([f"+1617555010{number}" for number in range(6)]),
                "createNewIfDuplicateAllowed": st.booleans(),
                "firstName": st.sampled_from(["Ann", "Bob"]),
            },
        ),
        st.sampled_from([{"firstName": "nobody"}, {"emial": "x"}, {"email": "x", "dnd": "maybe"}]),
    ),
    max_size=40,
)
kinds = sorted(FAULT_KINDS.keys() - {"hang", "422-created"})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=rows,
    faults=st.dictionaries(st.sampled_from(kinds), st.sampled_from([0.01, 0.1, 0.5]), max_size=4),
    allow_duplicates=st.booleans(),
    concurrency=st.integers(1, 20),
    coalesce=st.booleans(),
    seed=st.integers(0, 999),
)
async def test_each_row_has_one_outcome_and_it_is_true(
    rows: list[dict[str, Any]],
    faults: dict[str, float],
    allow_duplicates: bool,
    concurrency: int,
    coalesce: bool,
    seed: int,
) -> None:
    clock = FakeClock()
    async with (
        clock.jumping(),
        Sandbox(
            seed=seed,
            faults=faults,
            allow_duplicates=allow_duplicates,
            monotonic=clock.monotonic,
            wall=clock.time,
            sleep=clock.sleep,
        ) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, retry=QUICK, clock=clock) as client,
    ):
        report = await client.contacts.bulk_upsert(iter(rows), concurrency=concurrency, coalesce=coalesce)
    assert [outcome.index for outcome in report.outcomes] == list(range(len(rows)))
    assert adds_up(report)
    stored = {contact["id"]: contact for contact in sandbox.contacts()}
    for outcome, row in zip(report.outcomes, rows, strict=True):
        if outcome.status in ("created", "updated"):
            assert outcome.contact_id in stored
        elif outcome.status == "unknown":
            assert row.get("createNewIfDuplicateAllowed")
        elif outcome.error is not None and outcome.error.kind == "InvalidContactError":
            assert outcome.attempts == 0
    created = Counter(outcome.contact_id for outcome in report.outcomes if outcome.status == "created")
    assert all(count == 1 for count in created.values()), "a contact is created once"
    if not faults:
        assert set(created) == set(stored)
        assert not report.unknown


# ---------------------------------------------------------------------------------------------- sources


async def from_async(rows: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in rows:
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "iterator", "async", "structs"])
async def test_every_kind_of_source(client: LeadConnector, sandbox: Sandbox, kind: str) -> None:
    rows = people(150)
    source: Any = {
        "list": rows,
        "tuple": tuple(rows),
        "generator": (row for row in rows),
        "iterator": iter(rows),
        "async": from_async(rows),
        "structs": [ContactUpsert(email=row["email"]) for row in rows],
    }[kind]
    report = await client.contacts.bulk_upsert(source)
    assert (report.total, report.created) == (150, 150)
    assert len(sandbox.contacts()) == 150
    assert report.is_complete
    report.raise_for_failures()


@pytest.mark.parametrize("source", ["a@b.co", b"x", {"email": "a@b.co"}, 7, None])
async def test_what_is_no_source_is_refused(client: LeadConnector, source: Any) -> None:
    with pytest.raises(UsageError):
        await client.contacts.bulk_upsert(source)


async def test_an_empty_source_is_a_load_of_nothing(client: LeadConnector) -> None:
    assert (await client.contacts.bulk_upsert([])).total == 0
    assert [outcome async for outcome in client.contacts.stream_upserts(from_async([]))] == []


async def test_a_slow_sync_source_does_not_block_the_loop(client: LeadConnector) -> None:
    threads = set()

    def slow() -> Iterator[dict[str, Any]]:
        for row in people(3):
            threads.add(threading.current_thread())
            time.sleep(0.3)
            yield row

    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()

    async def watch() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.005)
            longest, last = max(longest, loop.time() - last), loop.time()

    watching = asyncio.create_task(watch())
    report = await client.contacts.bulk_upsert(slow())
    watching.cancel()
    assert report.created == 3
    assert longest < 0.25  # less than a row takes, with room for a machine that is busy
    assert len(threads) == 1
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("is_async", [True, False])
async def test_nothing_is_read_far_ahead(client: LeadConnector, is_async: bool) -> None:
    read = 0

    def endless() -> Iterator[dict[str, Any]]:
        nonlocal read
        while True:
            read += 1
            yield {"email": f"{read}@b.co"}

    async def endless_async() -> AsyncIterator[dict[str, Any]]:
        for row in endless():
            yield row

    stream = client.contacts.stream_upserts(endless_async() if is_async else endless(), concurrency=8)
    async with contextlib.aclosing(stream):
        taken = 0
        async for _ in stream:
            taken += 1
            if taken == 50:
                break
    assert read <= 50 + 8 * 5 + 2 * 100


async def test_what_a_source_raises_ends_the_load_with_its_report(client: LeadConnector, sandbox: Sandbox) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from people(120)
        raise OSError("the disk is gone")

    with pytest.raises(LoadStoppedError, match="the disk is gone") as caught:
        await client.contacts.bulk_upsert(broken())
    assert isinstance(caught.value.__cause__, OSError)
    report = caught.value.report
    assert report.created == report.total == 120  # all that was read before
    assert len(sandbox.contacts()) == 120


async def test_what_a_consumer_raises_ends_the_load_with_its_report(client: LeadConnector) -> None:
    def angry(outcome: Outcome) -> None:
        raise KeyError("no such place")

    with pytest.raises(LoadStoppedError) as caught:
        await client.contacts.bulk_upsert(people(30), on_outcome=angry, concurrency=4)
    assert isinstance(caught.value.__cause__, KeyError)
    assert adds_up(caught.value.report)
    assert caught.value.report.created >= 1


async def test_each_outcome_reaches_its_consumer_once_and_is_awaited(client: LeadConnector) -> None:
    seen: list[int] = []

    async def consume(outcome: Outcome) -> None:
        await asyncio.sleep(0)
        seen.append(outcome.index)

    await client.contacts.bulk_upsert([*people(60), {"nonsense": 1}], on_outcome=consume)
    assert sorted(seen) == list(range(61))


@pytest.mark.parametrize("is_blocked", [True, False], ids=["blocked", "endless"])
async def test_a_source_without_an_end_does_not_hold_up_a_stop(
    is_blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On the machine's clock: the fake one waits for threads that work, and this one never ends.
    monkeypatch.setattr(load_module, "_REST_SECONDS", 0.2)
    stop = asyncio.Event()
    let_go = threading.Event()

    def endless() -> Iterator[dict[str, Any]]:
        yield from people(3)
        while not let_go.wait(None if is_blocked else 0.001):
            yield people(1)[0]

    async with Sandbox() as sandbox, LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION) as client:
        report = await client.contacts.bulk_upsert(endless(), stop=stop, on_outcome=lambda _: stop.set())
    let_go.set()
    assert isinstance(report.stopped, StopRequestedError)
    assert adds_up(report)


async def test_a_source_that_blocks_does_not_keep_the_process_alive() -> None:
    code = """
import asyncio, threading
from leadconnector_async import LeadConnector

def blocked():
    threading.Event().wait()
    yield {}

async def main():
    async with LeadConnector("t", location_id="L", base_url="http://127.0.0.1:9") as client:
        try:
            await asyncio.wait_for(client.contacts.bulk_upsert(blocked()), 0.2)
        except TimeoutError:
            print("timed out")

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    async with patiently():
        output, _ = await process.communicate()
    assert output.strip() == b"timed out"


# ---------------------------------------------------------------------------------------------- rows


async def test_a_row_that_cannot_be_read_fails_alone(client: LeadConnector) -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise ZeroDivisionError("secret")

    report = await client.contacts.bulk_upsert([*people(2), Broken(), *people(4)[2:]])
    assert [outcome.status for outcome in report.outcomes] == ["created", "created", "failed", "created", "created"]
    assert str(report.outcomes[2].error) == "the row raised ZeroDivisionError as it was read"


async def test_a_token_source_that_fails_stops_the_load_in_order(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(latency=(0.05, 0.05), sleep=asyncio.sleep)

    class Broken:
        asked = 0

        async def token(self, location_id: str) -> str:
            self.asked += 1
            if self.asked > 3:
                raise OSError("the vault is closed")
            return "sandbox\n"

        async def refresh(self, location_id: str, refused: str) -> bool:
            return False

    client = await connect(sandbox, token=Broken())
    report = await client.contacts.bulk_upsert(people(10), concurrency=4)
    assert 1 <= report.created <= 3
    assert (report.not_attempted, report.unknown) == (10 - report.created, 0)
    assert isinstance(report.stopped, TokenSourceError)
    assert isinstance(report.stopped.__cause__, OSError)


async def test_a_bad_row_is_an_outcome_and_the_load_goes_on(client: LeadConnector, sandbox: Sandbox) -> None:
    rows: list[Any] = [
        *people(2),
        {"first_name": "nobody"},
        {"email": "a@b.co", "dnd": "maybe"},
        InvalidContactError("people.csv, row 7: too many cells"),
        "not a row",
        {"email": "not an address"},
        *people(4)[2:],
    ]
    report = await client.contacts.bulk_upsert(rows)
    assert [outcome.status for outcome in report.outcomes] == ["created"] * 2 + ["failed"] * 5 + ["created"] * 2
    assert [outcome.attempts for outcome in report.outcomes] == [1, 1, 0, 0, 0, 0, 1, 1, 1]
    assert {str(outcome.error) for outcome in report.outcomes} >= {
        "dnd: expected bool, got str",
        "people.csv, row 7: too many cells",
        "email must be an email",
    }
    with pytest.raises(RowsFailedError, match="5 of 9 rows failed: 1 x "):
        report.raise_for_failures()
    assert len(sandbox.contacts()) == 4


async def test_rows_of_one_identity_apply_in_order_and_hold_nobody_up(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(latency=(0.001, 0.02), unlimited=True, sleep=asyncio.sleep)
    client = await connect(sandbox, rate_limit=None)
    rows = []
    for number in range(40):
        rows.append({"email": "Same@example.com ", "first_name": f"{number}"})
        rows.append({"phone": "(617) 555-0100" if number % 2 else "+1 617-555-0100", "first_name": f"{number}"})
        rows.append({"email": f"other{number}@example.com"})
    finished: list[int] = []
    await client.contacts.bulk_upsert(rows, on_outcome=lambda outcome: finished.append(outcome.index))
    for remainder in (0, 1):
        same = [index for index in finished if index % 3 == remainder]
        assert same == sorted(same)
    assert [c["firstName"] for c in sandbox.contacts() if "firstName" in c] == ["39", "39"]
    assert finished.index(3 * 20 + 2) < finished.index(3 * 39)


async def test_a_row_that_joins_two_identities_waits_for_both(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(latency=(0.01, 0.02), unlimited=True, sleep=asyncio.sleep)
    client = await connect(sandbox, rate_limit=None)
    rows = [
        {"email": "a@example.com"},
        {"phone": "+16175550100"},
        {"email": "a@example.com", "phone": "+16175550100"},
        {"phone": "+16175550100", "city": "Boston"},
    ]
    finished: list[int] = []
    await client.contacts.bulk_upsert(rows, on_outcome=lambda outcome: finished.append(outcome.index))
    assert finished[2:] == [2, 3]


# ---------------------------------------------------------------------------------------------- stops


async def test_a_refused_token_stops_the_load_at_once(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(token="another")
    client = await connect(sandbox)
    report = await client.contacts.bulk_upsert((row for row in people(5_000)), concurrency=4)
    assert isinstance(report.stopped, AuthenticationError)
    assert (report.total, report.not_attempted) == (5_000, 5_000)
    assert sandbox.requests == 1
    with pytest.raises(LoadStoppedError, match="5,000 rows not attempted") as caught:
        report.raise_for_failures()
    assert caught.value.__cause__ is report.stopped


async def test_a_token_refused_in_midst_of_a_doubt_leaves_the_doubt(connect: OpenSandbox) -> None:
    refused = b'HTTP/1.1 401 No\r\nContent-Length: 25\r\n\r\n{"message":"Invalid JWT"}'
    answers = iter([b"", refused])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    report = await client.contacts.bulk_upsert(people(1))
    assert (report.unknown, type(report.stopped)) == (1, AuthenticationError)
    server.close()


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "learnt"])
async def test_a_spent_day_stops_the_load_and_loses_no_row(
    open_sandbox: OpenSandbox, connect: OpenSandbox, is_known: bool
) -> None:
    sandbox = await open_sandbox(daily=30)
    client = await connect(sandbox, rate_limit=RateLimit(daily=30 if is_known else None))
    report = await client.contacts.bulk_upsert(people(100))
    assert isinstance(report.stopped, DailyQuotaExceededError)
    assert (report.created, report.not_attempted, report.total) == (30, 70, 100)
    assert sandbox.rate_limited == report.rate_limited == 0  # the first answer tells of the limit


async def test_a_stop_lets_calls_in_flight_finish_and_begins_none(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(latency=(0.05, 0.05), sleep=asyncio.sleep)
    client = await connect(sandbox)
    stop = asyncio.Event()
    load = asyncio.ensure_future(client.contacts.bulk_upsert(people(300), concurrency=10, stop=stop))
    await asyncio.sleep(0.12)
    stop.set()
    report = await load
    assert isinstance(report.stopped, StopRequestedError)
    assert report.total == 300
    assert report.unknown == report.failed == 0
    assert report.created == len(sandbox.contacts()) == sandbox.requests
    assert 10 <= report.created <= 40


async def test_a_stop_does_not_wait_for_the_window(client: LeadConnector, sandbox: Sandbox, clock: FakeClock) -> None:
    stop = asyncio.Event()

    def stop_after_a_window(outcome: Outcome) -> None:
        if len(sandbox.contacts()) == 100:
            stop.set()

    began = clock.now
    report = await client.contacts.bulk_upsert(people(300), stop=stop, on_outcome=stop_after_a_window)
    assert clock.now == began
    assert (report.created, report.not_attempted) == (100, 200)


@pytest.mark.parametrize(("kind", "status"), [("429", "not_attempted"), ("500", "unknown"), ("reset-after", "unknown")])
async def test_a_row_stopped_between_its_tries_says_what_is_known(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, kind: str, status: str
) -> None:
    sandbox.fail_next(kind, times=100)
    stop = asyncio.Event()
    load = asyncio.ensure_future(client.contacts.bulk_upsert(people(1), stop=stop))
    await until(lambda: sandbox.requests)
    await clock.sleep(0.001)
    stop.set()
    began = clock.now
    report = await load
    assert clock.now == began
    assert report.outcomes[0].status == status


async def test_cancelling_keeps_the_report(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(latency=(0.05, 0.05), sleep=asyncio.sleep)
    client = await connect(sandbox)
    report = BatchReport()
    is_under_way = asyncio.Event()

    def note(_: Outcome) -> None:
        if report.created > 10:
            is_under_way.set()

    rows = people(300)
    load = asyncio.ensure_future(client.contacts.bulk_upsert(rows, concurrency=10, report=report, on_outcome=note))
    await is_under_way.wait()
    await asyncio.sleep(0.01)  # the next ten are in flight
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert adds_up(report)
    assert report.created >= 10
    assert report.unknown == 10  # in flight: they may have been applied
    assert report.not_attempted == report.total - report.created - report.unknown
    assert report.finished_at is not None
    statuses = {outcome.index: outcome.status for outcome in report.outcomes}
    assert sorted(statuses) == list(range(report.total))


# ---------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("kind", ["async source", "sync source", "source without rows", "consumer"])
async def test_a_cancellation_of_the_callers_own_making_is_no_success(client: LeadConnector, kind: str) -> None:
    async def cancelled() -> AsyncIterator[dict[str, Any]]:
        for row in people(5):
            yield row
        raise asyncio.CancelledError

    def cancelled_sync() -> Iterator[dict[str, Any]]:
        yield from people(5)
        raise asyncio.CancelledError

    class Empty:
        def __iter__(self) -> Iterator[dict[str, Any]]:
            raise StopIteration

    def angry(outcome: Outcome) -> None:
        raise asyncio.CancelledError

    sources: dict[str, Any] = {
        "async source": cancelled(),
        "sync source": cancelled_sync(),
        "source without rows": Empty(),
    }
    load = client.contacts.bulk_upsert(sources.get(kind, people(6)), on_outcome=angry if kind == "consumer" else None)
    with pytest.raises(LoadStoppedError) as caught:
        await load
    assert adds_up(caught.value.report)
    if kind.endswith("c source"):
        assert caught.value.report.created == 5


@pytest.mark.parametrize("concurrency", [-1, "2"])
async def test_a_concurrency_that_is_none_is_refused(client: LeadConnector, concurrency: Any) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        await client.contacts.bulk_upsert(people(3), concurrency=concurrency)


async def collect(stream: AsyncIterator[Outcome], into: list[Outcome]) -> None:
    async for outcome in stream:
        into.append(outcome)  # noqa: PERF401  (what came before a failure is looked at)


async def test_a_stream_yields_every_outcome_and_then_why_it_stopped(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(daily=20)
    client = await connect(sandbox)
    outcomes: list[Outcome] = []
    with pytest.raises(DailyQuotaExceededError):
        await collect(client.contacts.stream_upserts(people(25)), outcomes)
    assert Counter(outcome.status for outcome in outcomes) == {"created": 20, "not_attempted": 5}


async def test_a_stream_raises_what_its_source_raised_after_the_outcomes(client: LeadConnector) -> None:
    async def broken() -> AsyncIterator[dict[str, Any]]:
        for row in people(5):
            yield row
        await asyncio.sleep(0.1)
        raise OSError("the disk is gone")

    outcomes: list[Outcome] = []
    with pytest.raises(OSError, match="the disk is gone"):
        await collect(client.contacts.stream_upserts(broken()), outcomes)
    assert len(outcomes) == 5


async def test_a_consumer_that_leaves_ends_the_load(client: LeadConnector, sandbox: Sandbox) -> None:
    stream = client.contacts.stream_upserts(from_async(people(10_000)), concurrency=4)
    async for _ in stream:
        break
    await stream.aclose()
    before = sandbox.requests
    await asyncio.sleep(0.05)
    assert sandbox.requests == before < 100


async def test_a_slow_consumer_slows_the_load(client: LeadConnector, sandbox: Sandbox) -> None:
    stream = client.contacts.stream_upserts(people(90), concurrency=4)
    async with contextlib.aclosing(stream):
        await anext(stream)
        await asyncio.sleep(0.2)
        assert sandbox.requests <= 4 * 3
        rest = [outcome async for outcome in stream]
    assert len(rest) == 89


# ---------------------------------------------------------------------------------------------- reports


async def test_a_report_goes_to_json_and_csv(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.fail_next("500")
    sandbox.fail_next("429")
    report = await client.contacts.bulk_upsert([*people(3), {"nonsense": 1}])
    text = report.to_json(tmp_path / "report.json")
    data = json.loads(text)
    assert (tmp_path / "report.json").read_text() == text
    assert (
        list(data)
        == (
            "schema version location host sources "
            "total created updated failed skipped unknown not_attempted partially_applied collisions requests retries "
            "rate_limited started_at finished_at duration_seconds errors"
        ).split()
    )
    assert (data["total"], data["created"], data["failed"]) == (4, 3, 1)
    assert (data["requests"], data["retries"], data["rate_limited"]) == (5, 1, 1)
    assert data["errors"][0]["count"] == 1
    report.to_csv(tmp_path / "outcomes.csv")
    lines = (tmp_path / "outcomes.csv").read_text().splitlines()
    assert lines[0] == "index,status,contact_id,new,trace_id,attempts,error"
    assert len(lines) == 5
    assert "created=3 failed=1" in repr(report)


def test_kinds_of_errors_are_bounded_and_still_add_up() -> None:
    report = BatchReport(keep_outcomes=False)
    for index in range(3_000):
        error = RowError("BadRequestError", 400, f"no good: person{index}@example.com")
        report.add(Outcome(index=index, status="failed", error=error))
    assert len(report.errors) == 1_001
    assert sum(error.count for error in report.errors) == report.failed == 3_000


async def test_outcomes_are_kept_only_where_wanted(client: LeadConnector) -> None:
    report = await client.contacts.bulk_upsert(people(10), keep_outcomes=False)
    assert report.outcomes == []
    assert report.created == 10
