"""What one worker leaves behind, another goes on with; what it still writes after that counts for nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async.bulk.outcome import Entry
from leadconnector_async.bulk.report import Outcome, RowError
from leadconnector_async.cluster.journal import Records, StoreLog
from leadconnector_async.cluster.lease import Lease
from leadconnector_async.cluster.store import Store
from leadconnector_async.errors import ConfigurationError, JournalError
from leadconnector_async.models.identity import Identity

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


def created(row: int, contact_id: str | None = None, email: str = "") -> Entry:
    contact_id = contact_id or f"c{row}"
    outcome = Outcome(index=row, status="created", contact_id=contact_id, new=True, attempts=1)
    return Entry(outcome, b"", Identity(f"L {email or row}", ""), is_repeatable=True)


def failed(row: int, *, is_repeatable: bool = True) -> Entry:
    outcome = Outcome(index=row, status="failed", error=RowError("ServerError", 500, "no"), attempts=2)
    return Entry(outcome, b"", Identity("", ""), is_repeatable=is_repeatable)


def test_the_next_worker_goes_on(take: OpenLog) -> None:
    first = take(1)
    first.write([created(0), created(1)], rows_read=10)
    second = take(2)
    assert [second.is_finished(row) for row in range(4)] == [True, True, False, False]
    assert second.may_have_been_sent(2, b"")
    second.write([created(2)], rows_read=10)
    second.end(is_delivered=True)
    third = take(3, begin=False)
    assert [outcome.index for outcome in third.outcomes()] == [0, 1, 2]
    assert third.is_begun
    assert third.begin(whole=WHOLE, concurrency=4, now=1_790_000_009.0).sessions == 2
    assert not third.may_have_been_sent(1, b"")


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
    first.intend([(0, b""), (1, b""), (2, b"")], now=1_790_000_000.0)
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
        journal.intend([(1, b"")], now=0.0)
    assert store.names("journal/L") == before
    assert not take(2).is_finished(0)


def test_who_comes_late_is_refused(take: OpenLog) -> None:
    take(7)
    with pytest.raises(JournalError, match="another worker has this location"):
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
