"""The log in a SQLite file and the log in a store say the same of every row, whatever happened before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from leadconnector_async import BatchReport, Journal
from leadconnector_async.bulk.outcome import Entry, LostTries, TriesBefore
from leadconnector_async.bulk.report import Outcome, RowError
from leadconnector_async.bulk.run_log import Earlier, Intent, RunLog
from leadconnector_async.cluster.journal import Records, StoreLog
from leadconnector_async.cluster.lease import Lease
from leadconnector_async.cluster.store import Store
from leadconnector_async.models.contacts import NotApplied
from leadconnector_async.models.identity import Identity
from leadconnector_async.run.database import Database

pytest.importorskip("fsspec")
WHOLE = {"location": "L", "target": "host", "api_version": "2021-07-28"}
ROWS = 12
HASHES = (b"", b"one")
BEGAN_AT = 1_790_000_000.0


# ---------------------------------------------------------------------------------------------- what happens


class Intend(Struct):
    intents: list[Intent]
    now: float


class Write(Struct):
    entries: list[Entry]
    is_delivered: bool
    server_times: tuple[float, float] | None


class Keep(Struct):
    entries: list[Entry]


Step: TypeAlias = Intend | Write | Keep


class Session(Struct):
    """A session, and how it ends: None where it is cut off, else whether all was delivered."""

    concurrency: int
    retry_failed: bool
    steps: list[Step]
    ending: bool | None


def do(log: RunLog, step: Step) -> Any:
    match step:
        case Intend():
            return log.intend(step.intents, step.now)
        case Write(entries=entries):
            return log.write(
                entries,
                is_delivered=step.is_delivered,
                server_times=step.server_times,
            )
        case Keep(entries=entries):
            return log.keep(entries)


def outcomes() -> st.SearchStrategy[Outcome]:
    index = st.integers(0, ROWS - 1)
    error = st.sampled_from([RowError("ServerError", 500, "no"), RowError("APIError", 400, "bad", "row 2")])
    note = st.sampled_from([None, "it may have been applied"])
    contact_id = st.integers(0, 3).map("c{}".format)
    tries = {"attempts": st.integers(1, 3), "rate_limited": st.integers(0, 2)}
    not_applied = st.sampled_from([(), (NotApplied("phone", "1", None),)])
    return st.one_of(
        st.builds(Outcome, index=index, status=st.just("created"), contact_id=contact_id, new=st.just(True), **tries),
        st.builds(
            Outcome,
            index=index,
            status=st.just("updated"),
            contact_id=contact_id,
            new=st.sampled_from([False, None]),
            not_applied=not_applied,
            note=note,
            **tries,
        ),
        st.builds(Outcome, index=index, status=st.just("failed"), error=error, note=note, **tries),
        st.builds(Outcome, index=index, status=st.just("unknown"), error=error, note=note, **tries),
        st.builds(Outcome, index=index, status=st.just("skipped"), contact_id=st.none() | contact_id, error=error),
        st.builds(Outcome, index=index, status=st.just("not_attempted"), error=error, rate_limited=st.integers(0, 2)),
    )


def lost_tries() -> st.SearchStrategy[LostTries]:
    span = st.tuples(st.floats(0, 9), st.floats(10, 19))
    return st.lists(st.none() | span, max_size=2).map(tuple)


def entries() -> st.SearchStrategy[Entry]:
    email, phone = st.sampled_from(["", "L a@b.c", "L d@e.f"]), st.sampled_from(["", "L 1", "L 2"])
    return st.builds(
        Entry,
        outcome=outcomes(),
        row_hash=st.sampled_from(HASHES),
        identity=st.builds(Identity, email, phone),
        is_repeatable=st.booleans(),
        note_if_new=st.sampled_from([None, "its answer was lost"]),
        note_if_first=st.sampled_from([None, "it may have created it"]),
        lost_tries=lost_tries(),
        is_compared=st.booleans(),
        is_standing=st.booleans(),
        at=st.sampled_from([0.0, 5.5, 606.0]).map(BEGAN_AT.__add__),
    )


def groups(least: int = 0) -> st.SearchStrategy[list[Entry]]:
    """A row is written at most once in a group: its outcome is on disk before it is sent again."""
    return st.lists(entries(), min_size=least, max_size=5, unique_by=lambda entry: entry.outcome.index)


def sessions() -> st.SearchStrategy[Session]:
    row, row_hash = st.integers(0, ROWS - 1), st.sampled_from(HASHES)
    before = st.builds(TriesBefore, st.integers(0, 2), st.integers(0, 3), st.integers(0, 3))
    intent = st.builds(Intent, row, row_hash, st.booleans(), lost_tries(), before)
    intents = st.lists(intent, max_size=3, unique_by=lambda one: one.row)  # a row makes one try after another
    times = st.integers(0, 1000).map(lambda second: (BEGAN_AT + second, BEGAN_AT + second * 2))
    steps = st.one_of(
        st.builds(Intend, intents, st.integers(0, 1000).map(lambda second: BEGAN_AT + second)),
        st.builds(Write, groups(), st.booleans(), st.none() | times),
        st.builds(Keep, groups(1)),
    )
    return st.builds(
        Session, st.integers(1, 3), st.booleans(), st.lists(steps, max_size=6), st.sampled_from([None, True, False])
    )


def _updated(row: int, contact_id: str, email: str, *, is_repeatable: bool = True) -> Entry:
    outcome = Outcome(index=row, status="updated", contact_id=contact_id, new=False, attempts=1)
    return Entry(outcome, b"", Identity(email, ""), is_repeatable=is_repeatable)


# What chance seldom makes: two rows of a group that reach one contact, a row written twice before a crash that left no
# number of rows read, intents of which one has an outcome, and a crash after the server's time was known.
HISTORY = [
    Session(
        concurrency=1,
        retry_failed=False,
        steps=[
            Intend([Intent(row, b"", row == 5, ((1.0, 2.0), None)) for row in (3, 4, 5)], BEGAN_AT),
            Write([_updated(0, "c0", "L a@b.c"), _updated(1, "c0", "L d@e.f")], True, None),
            Write([_updated(0, "c0", "L d@e.f"), _updated(3, "c1", "", is_repeatable=False)], True, (1.0, 2.0)),
        ],
        ending=None,
    ),
    Session(concurrency=2, retry_failed=True, steps=[Keep([_updated(5, "c0", "L g@h.i")])], ending=True),
    Session(concurrency=2, retry_failed=False, steps=[], ending=False),
]


# ---------------------------------------------------------------------------------------------- what is said


def say(log: Journal | StoreLog) -> dict[str, Any]:
    """All that a log says."""
    found: dict[str, Any] = {
        "finished": [log.is_finished(row) for row in range(ROWS + 3)],
        "outcomes": list(log.outcomes()),
        "undelivered": log.undelivered(),
        "hashes": log.hashes(2, ROWS) | log.hashes(0, 3),
        "is_begun": log.is_begun,
    }
    for row_hash in HASHES:
        found[f"pending {row_hash!r}"] = [log.pending(row, row_hash) for row in range(ROWS + 3)]
        found[f"lost tries {row_hash!r}"] = [log.lost_tries(row, row_hash) for row in range(ROWS + 3)]
    for keeps, name in itertools.product((True, False), ("fold_into", "fold_all_into")):
        report = BatchReport(keep_outcomes=keeps)
        getattr(log, name)(report)
        found[f"{name} {keeps}"] = report.tally(), report.skip_reasons, report.outcomes
    return found


@contextmanager
def both(folder: Path, epoch: int, whole: dict[str, str]) -> Iterator[tuple[Journal, StoreLog]]:
    """Open both logs, as the next process; they are let go of without an end, as by a crash."""
    lease = Lease(600.0)
    lease.renew(lease.stamp())
    records = Records(Store(f"memory:/{folder}"), "L", epoch, lease)
    with (
        Database(folder / "run.sqlite3", "run" if whole else "journal") as file,
        Journal(file) as journal,
        StoreLog(records, whole=whole) as log,
    ):
        yield journal, log


@pytest.mark.parametrize("whole", [{"files": "1"}, {}], ids=["by position", "by content"])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(history=HISTORY)
@given(history=st.lists(sessions(), min_size=1, max_size=4))
def test_both_logs_say_the_same_of_every_row(
    history: list[Session], whole: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    for epoch, session in enumerate(history, 1):
        with both(folder, epoch, whole) as (journal, log):
            earlier = [_begin(each, session, epoch) for each in (journal, log)]
            assert earlier[0] == earlier[1]
            assert say(log) == say(journal)
            for step in session.steps:
                assert do(log, step) == do(journal, step), msgspec.structs.asdict(step)
                assert say(log) == say(journal), step
            if session.ending is not None:
                for each in (journal, log):
                    each.end(is_delivered=session.ending)
                assert say(log) == say(journal)


def _begin(log: RunLog, session: Session, epoch: int) -> Earlier:
    return log.begin(
        whole=WHOLE,
        concurrency=session.concurrency,
        now=BEGAN_AT + 1000.0 * epoch,
        retry_failed=session.retry_failed,
    )
