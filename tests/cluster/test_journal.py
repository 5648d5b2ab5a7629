"""What one worker leaves behind, another goes on with; what it still writes after that counts for nobody."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async.bulk.outcome import Entry
from leadconnector_async.bulk.report import Outcome, RowError
from leadconnector_async.bulk.run_log import Intent
from leadconnector_async.cluster.journal import Log, SharedJournal
from leadconnector_async.cluster.lease import Lease
from leadconnector_async.cluster.store import Store
from leadconnector_async.errors import ConfigurationError, JournalError
from leadconnector_async.models.identity import Identity

pytest.importorskip("fsspec")
WHOLE = {"location": "L", "target": "host", "api_version": "2021-07-28"}
OpenJournal = Callable[..., SharedJournal]


def held() -> Lease:
    lease = Lease(60.0)
    lease.renew(lease.stamp())
    return lease


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/store" if request.param == "file" else f"memory://{tmp_path}")


@pytest.fixture
def take(store: Store, tmp_path: Path) -> Iterator[OpenJournal]:
    """Take the location, as the next worker, or with an epoch."""
    numbers = itertools.count()
    journals: list[SharedJournal] = []

    def take(epoch: int, lease: Lease | None = None, *, begin: bool = True) -> SharedJournal:
        scratch = tmp_path / f"{next(numbers)}.sqlite3"
        journal = SharedJournal(Log(store, "journal/L", epoch, lease or held()), scratch, whole={"files": "1"})
        journals.append(journal)
        if begin:
            journal.begin(whole=WHOLE, concurrency=4, now=1_790_000_000.0 + epoch)
        return journal

    yield take
    for journal in journals:
        journal.close()


def intent(row: int, *, is_repeatable: bool = True) -> Intent:
    return Intent(row, b"", is_repeatable, ((1.0, 2.0),))


def created(row: int, contact_id: str | None = None, email: str = "") -> Entry:
    contact_id = contact_id or f"c{row}"
    outcome = Outcome(index=row, status="created", contact_id=contact_id, new=True, attempts=1)
    return Entry(outcome, b"", Identity(f"L {email or row}", ""), is_repeatable=True)


def failed(row: int, *, is_repeatable: bool = True) -> Entry:
    outcome = Outcome(index=row, status="failed", error=RowError("ServerError", 500, "no"), attempts=2)
    return Entry(outcome, b"", Identity("", ""), is_repeatable=is_repeatable, lost_tries=((3.0, 4.0),))


def test_the_next_worker_goes_on(take: OpenJournal) -> None:
    first = take(1)
    first.intend([intent(row) for row in range(3)], now=0.0)
    first.write([created(0), created(1)])
    second = take(2)
    assert [second.is_finished(row) for row in range(4)] == [True, True, False, False]
    assert second.lost_tries(2, b"") == ((1.0, 2.0),)
    assert second.lost_tries(3, b"") == ()
    second.write([created(2)])
    second.end(is_delivered=True)
    third = take(3, begin=False)
    assert [outcome.index for outcome in third.outcomes()] == [0, 1, 2]
    assert [sitting.has_ended for sitting in third.sittings()] == [False, True]


def test_what_is_written_late_counts_for_nobody(take: OpenJournal) -> None:
    first = take(1)
    first.write([created(0)])
    second = take(2)
    first.write([created(1)])  # as if it had not known that it has lost the location
    second.write([created(2)])
    third = take(3)
    first.write([created(3)])
    assert [outcome.index for outcome in take(4, begin=False).outcomes()] == [0, 2]
    assert not third.is_finished(1)


def test_what_must_not_be_sent_twice_is_unknown(take: OpenJournal) -> None:
    first = take(1)
    first.intend([intent(row, is_repeatable=False) for row in range(3)], now=1_790_000_000.0)
    first.write([failed(0, is_repeatable=False)])
    for epoch in (2, 3):
        statuses = [outcome.status for outcome in take(epoch).outcomes()]
        assert statuses == ["failed", "unknown", "unknown"]


def test_nothing_is_written_without_a_lease(take: OpenJournal, store: Store) -> None:
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


def test_who_comes_late_is_refused(take: OpenJournal) -> None:
    take(7)
    with pytest.raises(JournalError, match="another worker has this location"):
        take(6)


def test_an_object_that_was_cut_off_never_counted(take: OpenJournal, store: Store) -> None:
    take(1).write([created(0)])
    name = f"journal/L/{store.names('journal/L')[-1]}"
    whole = store.read(name)
    assert whole is not None
    store.write(name, whole[:-3])
    assert list(take(2).outcomes()) == []
    store.write(f"journal/L/{store.names('journal/L')[0]}", b"damaged")  # of an epoch that another one has found
    with pytest.raises(JournalError, match="missing or damaged"):
        take(3)


def test_a_journal_of_another_load_is_refused(take: OpenJournal, store: Store, tmp_path: Path) -> None:
    take(1)
    journal = take(2, begin=False)
    with pytest.raises(ConfigurationError, match="another service"):
        journal.begin(whole={**WHOLE, "target": "elsewhere"}, concurrency=4, now=0.0)


_ENTRIES = st.builds(
    lambda row, kind, contact, email: failed(row) if kind else created(row, f"c{contact}", f"e{email}"),
    st.integers(0, 30),
    st.booleans(),
    st.integers(0, 5),
    st.integers(0, 5),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sittings=st.lists(st.lists(st.lists(_ENTRIES, max_size=5), max_size=4), min_size=1, max_size=3))
def test_what_is_read_back_is_what_the_worker_knew(
    sittings: list[list[list[Entry]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    store = Store(str(folder / "store"))
    for epoch, groups in enumerate(sittings, 1):
        log = Log(store, "L", epoch, held())
        with SharedJournal(log, folder / f"{epoch}.sqlite3", whole={"files": "1"}) as journal:
            journal.begin(whole=WHOLE, concurrency=2, now=float(epoch))
            for number, group in enumerate(groups):
                journal.intend([intent(entry.outcome.index) for entry in group], now=0.0)
                journal.write(group, server_times=(100.0 * epoch, 100.0 * epoch + number))
            known = _state(journal)
        with SharedJournal(Log(store, "L", 99, held()), folder / f"again{epoch}", whole={"files": "1"}) as again:
            assert _state(again) == known


def _state(journal: SharedJournal) -> object:
    tables = ("outcomes", "intents", "lost_tries", "contacts", "sittings", "load")
    return [sorted(journal._db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables]
