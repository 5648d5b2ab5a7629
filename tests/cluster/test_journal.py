"""What one worker leaves behind, another goes on with; what it still writes after that counts for nobody."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import RateLimit
from leadconnector_async.bulk.outcome import Entry
from leadconnector_async.bulk.report import BatchReport, Outcome, RowError, Status
from leadconnector_async.bulk.run_log import Earlier, Intent, LastCalls
from leadconnector_async.cluster.journal import Contacts, Records, StoreLog
from leadconnector_async.cluster.lease import Lease
from leadconnector_async.cluster.store import Store, seal
from leadconnector_async.errors import ConfigurationError, JournalError
from leadconnector_async.models.identity import Identity
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock

pytest.importorskip("fsspec")
WHOLE = {"location": "L", "target": "host", "api_version": "2021-07-28"}
OpenLog = Callable[..., StoreLog]


def held() -> Lease:
    lease = Lease(60.0)
    lease.renew(lease.stamp())
    return lease


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path}")


@pytest.fixture
def take(store: Store) -> Iterator[OpenLog]:
    """Take the location, as the next worker, or with an epoch."""
    logs: list[StoreLog] = []

    def take(epoch: int, lease: Lease | None = None, *, begin: bool = True) -> StoreLog:
        log = StoreLog(Records(store, "journal/L", epoch, lease or held()), whole={"files": "1"})
        logs.append(log)
        if begin:
            log.begin(whole=WHOLE, concurrency=4, now=1_790_000_000.0 + epoch)
        return log

    yield take
    for log in logs:
        log.close()


def intent(row: int, *, is_repeatable: bool = True) -> Intent:
    return Intent(row, b"", is_repeatable, ((1.0, 2.0),))


def created(row: int, contact_id: str | None = None, email: str = "") -> Entry:
    return entry(row, "created", contact_id or f"c{row}", email, new=True)


def entry(row: int, status: Status, contact_id: str, email: str, *, new: bool) -> Entry:
    outcome = Outcome(index=row, status=status, contact_id=contact_id, new=new, attempts=1)
    return Entry(outcome, b"", Identity(f"L {email or row}", ""), is_repeatable=True)


def failed(row: int, *, is_repeatable: bool = True) -> Entry:
    outcome = Outcome(index=row, status="failed", error=RowError("ServerError", 500, "no"), attempts=2)
    return Entry(outcome, b"", Identity("", ""), is_repeatable=is_repeatable)


def test_the_next_worker_goes_on(take: OpenLog) -> None:
    first = take(1)
    first.intend([intent(row) for row in range(3)], now=0.0)
    first.write([created(0), created(1)])
    second = take(2)
    assert [second.is_finished(row) for row in range(4)] == [True, True, False, False]
    assert [second.lost_tries(row, b"") for row in range(4)] == [(), (), ((1.0, 2.0),), ()]
    second.write([created(2)])
    second.end(is_delivered=True)
    third = take(3, begin=False)
    assert [outcome.index for outcome in third.outcomes()] == [0, 1, 2]
    assert third.is_begun
    assert third.begin(whole=WHOLE, concurrency=4, now=1_790_000_009.0).sessions == 2
    assert third.lost_tries(1, b"") == ()


def test_what_is_written_late_counts_for_nobody(take: OpenLog) -> None:
    first = take(1)
    first.write([created(0)])
    second = take(2)
    first.write([created(1)])  # as if it had not known that it has lost the location
    second.write([created(2)])
    third = take(3)
    first.write([created(3)])
    assert [outcome.index for outcome in take(4, begin=False).outcomes()] == [0, 2]
    assert not third.is_finished(1)


def test_what_must_not_be_sent_twice_is_unknown(take: OpenLog) -> None:
    first = take(1)
    first.intend([intent(row, is_repeatable=False) for row in range(3)], now=1_790_000_000.0)
    first.write([failed(0, is_repeatable=False)])
    for epoch in (2, 3):
        statuses = [outcome.status for outcome in take(epoch).outcomes()]
        assert statuses == ["failed", "unknown", "unknown"]


def test_nothing_is_written_without_a_lease(take: OpenLog, store: Store) -> None:
    seconds = [0.0]
    lease = Lease(5.0, lambda: seconds[0])
    lease.renew(lease.stamp())
    journal = take(1, lease)
    before = store.names("journal/L")
    seconds[0] = 5.0
    with pytest.raises(JournalError, match="another worker"):
        journal.write([created(0)])
    with pytest.raises(JournalError, match="another worker"):
        journal.intend([intent(1)], now=0.0)
    assert store.names("journal/L") == before
    assert not take(2).is_finished(0)


def test_who_comes_late_is_refused(take: OpenLog) -> None:
    take(7)
    with pytest.raises(JournalError, match="another worker has taken this location over"):
        take(6)


def test_an_object_that_was_cut_off_never_counted(take: OpenLog, store: Store) -> None:
    take(1).write([created(0)])
    name = f"journal/L/{store.names('journal/L')[-1]}"
    whole = store.read(name)
    assert whole is not None
    store.write(name, whole[:-3])
    assert list(take(2).outcomes()) == []
    store.write(f"journal/L/{store.names('journal/L')[0]}", b"damaged")  # of an epoch that another one has found
    with pytest.raises(JournalError, match="missing or damaged"):
        take(3)


def test_a_journal_of_another_load_is_refused(take: OpenLog, store: Store, tmp_path: Path) -> None:
    take(1)
    journal = take(2, begin=False)
    with pytest.raises(ConfigurationError, match="another service"):
        journal.begin(whole={**WHOLE, "target": "elsewhere"}, concurrency=4, now=0.0)


def test_what_could_not_be_written_is_not_known_either(take: OpenLog, store: Store) -> None:
    seconds = [0.0]
    lease = Lease(5.0, lambda: seconds[0])
    lease.renew(lease.stamp())
    log = take(1, lease)
    log.write([created(0)])
    seconds[0] = 5.0
    with pytest.raises(JournalError):
        log.write([created(1)])
    with pytest.raises(JournalError):
        log.intend([intent(2, is_repeatable=False)], now=0.0)
    assert [outcome.index for outcome in log.outcomes()] == [0]
    log.keep([created(1)])
    seconds[0] = 0.0
    log.end(is_delivered=True)
    assert [outcome.index for outcome in take(2).outcomes()] == [0, 1]


# As the version before wrote them, which had the rows of each group in a SQLite file and named no source.
OLD_FAILED = (
    b'{"index":3,"status":"failed","error":{"kind":"ServerError","status":500,"message":"no","where":null}'
    b',"attempts":2}'
)
OLD: list[tuple[str, dict[str, Any]]] = [
    ("000000000001-00000000", {"type": "Began", "whole": WHOLE, "concurrency": 4, "now": 1790000001.0, "found": {}}),
    ("000000000001-00000001", {"type": "Intended", "rows": [[3, b""], [4, b""]], "now": 1790000002.0}),
    (
        "000000000001-00000002",
        {
            "type": "Wrote",
            "rows": [
                [0, 1, b"", b'{"index":0,"status":"created","contact_id":"c0","new":true,"attempts":1}'],
                [3, 4, b"", OLD_FAILED],
            ],
            "contacts": [["c0", 0, 899463608, None]],
            "settled": [3],
            "rows_read": 6,
            "server_times": [1790000001.5, 1790000003.5],
        },
    ),
    (
        "000000000002-00000000",
        {"type": "Began", "whole": WHOLE, "concurrency": 4, "now": 1790000100.0, "found": {"1": 3}},
    ),
    (
        "000000000002-00000001",
        {
            "type": "Wrote",
            "rows": [
                [
                    1,
                    3,
                    b"",
                    b'{"index":1,"status":"updated","contact_id":"c0","new":false,"attempts":1,"collision_with":0}',
                ]
            ],
            "contacts": [["c0", 1, 101779320, None]],
            "settled": [],
            "rows_read": 6,
            "server_times": None,
        },
    ),
]
OLD_END = ("000000000002-00000002", {"type": "Ended"})


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_store_of_the_version_before_goes_on(take: OpenLog, store: Store, *, has_ended: bool) -> None:
    for name, record in [*OLD, OLD_END] if has_ended else OLD:
        store.write(f"journal/L/{name}", seal(msgspec.msgpack.encode(record)))
    log = take(3, begin=False)
    earlier = log.begin(whole=WHOLE, concurrency=4, now=1_790_000_200.0)
    # Such a store does not say when it made its calls: after a crash, all slots may be in use.
    assert earlier == Earlier(2, 1790000001.0, LastCalls(is_whole=has_ended))
    found = {outcome.index: outcome for outcome in log.outcomes()}
    assert {row: outcome.status for row, outcome in found.items()} == {
        0: "created",
        1: "updated",
        3: "failed",
        4: "unknown",
    }
    assert str(found[4].note).startswith("it may have been applied at 2026-09-21T14:13:22+00:00")
    assert [log.is_finished(row) for row in range(6)] == [True, True, False, True, True, False]
    assert log.lost_tries(2, b"") == ()  # it did not say when it sent what, so nothing is inferred
    assert [outcome.index for outcome in log.undelivered()] == ([] if has_ended else [0, 1, 3, 4])
    (outcome,) = log.write([entry(5, "updated", "c0", "third", new=False)])
    assert outcome.collision_with == 1


ROWS = 10_000


def test_memory_is_bounded_by_a_few_bytes_a_row(store: Store, take: OpenLog) -> None:
    if store.url.startswith("memory"):
        pytest.skip("the store would count as well")
    log = take(1)
    tracemalloc.start()
    try:
        for first in range(0, ROWS, 200):
            log.write([created(row, f"contact number {row}") for row in range(first, first + 200)])
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    fixed, group = 100_000, 600_000  # buffers, and 200 rows on their way
    assert held < 55 * ROWS + fixed
    assert peak < 80 * ROWS + group
    assert [outcome.contact_id for outcome in log.outcomes()][-1] == f"contact number {ROWS - 1}"
    report = BatchReport(keep_outcomes=False)
    log.fold_all_into(report)
    assert report.created == ROWS


def test_contacts_are_told_apart(store: Store) -> None:
    contacts, known = Contacts(), {}
    for number in range(5_000):
        contact_id = f"c{number % 4_000}"
        assert contacts.get(contact_id) == known.get(contact_id)
        known[contact_id] = (number, (number or None, None))
        contacts.keep(contact_id, known[contact_id])
    assert {contact_id: contacts.get(contact_id) for contact_id in known} == known
    assert contacts.get("another") is None


def test_a_disk_that_is_full_stops_the_load(take: OpenLog) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = take(1)
    groups = iter([created(row) for row in range(first, first + 100)] for first in range(0, 10_000, 100))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))  # the system's own error
        with pytest.raises(JournalError, match=r"cannot hold the temporary files of a load \(File too large\)"):
            all(map(log.write, groups))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    known = [outcome.index for outcome in take(2).outcomes()]
    assert known[:100] == list(range(100))
    assert known == list(range(len(known)))
    assert (
        len(known) == next(groups)[0].outcome.index
    )  # what was put in the store before the disk was found full counts


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_a_session_leaves_the_slots_that_the_last_one_used(
    store: Store, clock: FakeClock, open_sandbox: OpenSandbox, connect: OpenSandbox, *, is_cut_off: bool
) -> None:
    limit = RateLimit(20, 10.0)
    sandbox = await open_sandbox(max_requests=20, window="sliding")
    rows = [{"email": f"person{number}@example.com"} for number in range(60)]
    for epoch in (1, 2, 3):
        client = await connect(sandbox, rate_limit=limit)
        log = StoreLog(Records(store, "journal/L", epoch, held()), location_id=client.location_id)
        if is_cut_off:
            log.end = lambda *, is_delivered: None  # type: ignore[method-assign]  # as where its process dies
        part = rows[: 18 * epoch]
        report = await client.contacts.bulk_upsert(part, journal=log)
        log.close()
        assert (report.created, report.requests) == (18 * epoch, sandbox.requests)
        await clock.sleep(1.0)
    assert sandbox.rate_limited == 0


async def test_the_last_calls_of_one_location_hold_up_no_other(
    store: Store, clock: FakeClock, open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    client = await connect(await open_sandbox())
    for epoch in (1, 2):
        with StoreLog(Records(store, "journal/L", epoch, held()), location_id="L") as log:
            rows = [{"email": f"person{number}@example.com", "location_id": "L"} for number in range(100)]
            await client.contacts.bulk_upsert(rows[: 50 * epoch], journal=log)
    began = clock.monotonic()
    other = [{"email": f"person{number}@example.com", "location_id": "M"} for number in range(100)]
    assert (await client.contacts.bulk_upsert(other)).rate_limited == 0
    assert clock.monotonic() - began < 1.0
