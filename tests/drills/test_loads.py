"""Loads whose clock is set, whose consumer is slow or fails, whose source fails, and whose end comes at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import BatchReport, LeadConnector, LoadStoppedError, Outcome, RetryPolicy, Timeouts
from leadconnector_async.sandbox import FAULT_KINDS, Sandbox
from tests.conftest import LOCATION
from tests.drills.conftest import StartDrill, people, rows_of_all_kinds
from tests.drills.truth import Row, Witness, assert_each_row_is_told_truly, mark
from tests.fake_clock import FakeClock

QUICK = RetryPolicy(max_attempts=4, first_delay=0.1)

# ---------------------------------------------------------------------------------------------- the clock is set


@contextlib.asynccontextmanager
async def setting_the_date(clock: FakeClock, *, by: float) -> AsyncIterator[None]:
    """Meanwhile, let this machine's date jump to and fro."""

    async def jump() -> None:
        chance = random.Random(1)
        while True:
            await asyncio.sleep(0.002)
            clock.wall_ahead += chance.uniform(-by, by)

    task = asyncio.create_task(jump())
    yield
    task.cancel()


@pytest.mark.parametrize("by", [3_600, pytest.param(1e8, marks=pytest.mark.slow)], ids=["an hour", "years"])
async def test_a_date_that_is_set_in_the_midst_changes_no_truth(
    start_drill: StartDrill, clock: FakeClock, by: float
) -> None:
    true_ahead = clock.wall_ahead
    drill = await start_drill(
        wall=lambda: clock.now + true_ahead, faults={"reset-after": 0.3}, window="sliding", client={"retry": QUICK}
    )
    rows = people(250)
    for row in rows[::2]:
        drill.sandbox.add_contact(LOCATION, email=row["email"])
    await clock.sleep(60)
    began = clock.now
    async with setting_the_date(clock, by=by):
        report = await drill.load(rows)
    assert 20 <= clock.now - began <= 60, "as long as the limit wants, and no longer"
    assert drill.sandbox.rate_limited == 0
    told = [outcome.status for outcome in report.outcomes]
    assert set(told[::2]) <= {"updated", "failed"}
    assert set(told[1::2]) <= {"created", "failed"}


async def test_a_date_that_is_set_back_makes_no_load_last_less_than_nothing(
    start_drill: StartDrill, clock: FakeClock
) -> None:
    drill = await start_drill()
    setting = asyncio.get_running_loop().call_later(0.01, lambda: setattr(clock, "wall_ahead", 0.0))
    report = await drill.load(people(150))
    setting.cancel()
    assert clock.wall_ahead == 0
    assert report.duration_seconds == pytest.approx(10.01)


# ---------------------------------------------------------------------------------------------- consumers and sources


async def test_a_consumer_slower_than_the_server_holds_it_up_and_loses_nothing(
    start_drill: StartDrill, clock: FakeClock
) -> None:
    drill = await start_drill(faults={"reset-after": 0.1, "500": 0.1}, client={"retry": QUICK, "concurrency": 8})
    rows = rows_of_all_kinds(150)
    report = BatchReport()
    most_ahead = 0
    async for outcome in drill.client.contacts.stream_upserts(rows):
        report.add(outcome)
        await clock.sleep(0.5)
        most_ahead = max(most_ahead, len({write.row for write in drill.witness.writes}) - report.total)
    assert report.total == 150
    drill.check(rows, report)
    assert most_ahead <= 4 * 8


async def test_a_slow_on_outcome_holds_rows_up_and_loses_none(start_drill: StartDrill, clock: FakeClock) -> None:
    drill = await start_drill(faults={"cut-body": 0.1}, client={"retry": QUICK, "concurrency": 8})
    at_once = most_at_once = 0

    async def dawdle(_outcome: Outcome) -> None:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await clock.sleep(0.5)
        at_once -= 1

    await drill.load(rows_of_all_kinds(150), on_outcome=dawdle)
    assert most_at_once <= 8 + 1  # the workers, and the one who reads rows


@pytest.mark.parametrize("at", [0, 40])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_an_on_outcome_that_raises_leaves_a_true_report(start_drill: StartDrill, at: int, is_async: bool) -> None:
    drill = await start_drill(latency=(0.01, 0.3), faults={"reset-after": 0.2, "500": 0.1}, client={"retry": QUICK})
    calls = 0

    def fail(_outcome: Outcome) -> None:
        nonlocal calls
        calls += 1
        if calls > at:
            raise ZeroDivisionError("the consumer is broken")

    async def fail_late(outcome: Outcome) -> None:
        await asyncio.sleep(0)
        fail(outcome)

    rows = rows_of_all_kinds(150)
    with pytest.raises(LoadStoppedError) as caught:
        await drill.client.contacts.bulk_upsert(rows, on_outcome=fail_late if is_async else fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    await drill.sandbox.stop()  # what is under way there comes to its end
    report = caught.value.report
    assert report.total >= at + 1
    assert report.finished_at is not None
    drill.check(rows, report)


@pytest.mark.parametrize("at", [0, 1, 100])
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
async def test_a_source_that_raises_leaves_a_true_report(start_drill: StartDrill, at: int, is_async: bool) -> None:
    drill = await start_drill(faults={"reset-after": 0.2, "500": 0.1}, client={"retry": QUICK})
    rows = rows_of_all_kinds(150)
    with pytest.raises(LoadStoppedError) as caught:
        await drill.client.contacts.bulk_upsert(open_rows(rows, "async" if is_async else "sync", breaks_at=at))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    report = caught.value.report
    assert report.total == at, "all that was read before"
    assert report.not_attempted == 0
    drill.check(rows, report)


# ---------------------------------------------------------------------------------------------- anything goes

EMAILS = [f"e{number}@example.com" for number in range(8)]
PHONES = [f"+1617555010{number}" for number in range(8)]
SPELLINGS = ["617-555-0101", " (617) 555 0102", "1 617 555 0103", "617 555 0104 ext. 7", "011 1 617 555 0105"]
row_strategy = st.one_of(
    st.fixed_dictionaries(
        {"email": st.sampled_from(EMAILS)},
        optional={"phone": st.sampled_from(PHONES), "createNewIfDuplicateAllowed": st.booleans()},
    ),
    st.fixed_dictionaries({"phone": st.sampled_from([*PHONES, *SPELLINGS])}),
    st.fixed_dictionaries(
        {"email": st.sampled_from(["E1@Example.com ", "own", "own", "own", "own", "not an address"])}
    ),
    st.just({"email": ""}),
)
rows_strategy = st.lists(row_strategy, max_size=60).map(
    lambda rows: [
        {
            **row,
            "firstName": f"P{n}",
            "source": mark(n),
            **({"email": f"own{n}@b.co"} if row.get("email") == "own" else {}),
        }
        for n, row in enumerate(rows)
    ]
)


def open_rows(rows: list[Row], kind: str, breaks_at: int | None) -> Any:
    """Give rows as a list, a generator or an async one; the latter two may raise before a row."""

    def read() -> Iterator[Row]:
        for n, row in enumerate(rows):
            if n == breaks_at:
                raise ZeroDivisionError("the source is broken")
            yield row

    async def read_async() -> AsyncIterator[Row]:
        for row in read():
            yield row

    if kind == "async":
        return read_async()
    return rows if kind == "list" and breaks_at is None else read()


async def load_to_some_end(
    client: LeadConnector, rows: list[Row], report: BatchReport, *, end: str, at: int, source: str, concurrency: int
) -> None:
    """Load rows, and let the load end as told once so many rows are done (or read)."""
    stop = asyncio.Event()
    done = itertools.count()

    def fail() -> None:
        raise ZeroDivisionError("the consumer is broken")

    ends = {"stop": stop.set, "cancel": lambda: loading.cancel(), "consumer raises": fail}

    def count(_outcome: Outcome) -> None:
        if next(done) == at and end in ends:
            ends[end]()

    chosen = open_rows(rows, source, at if end == "source raises" else None)
    loading: asyncio.Task[BatchReport] = asyncio.create_task(
        client.contacts.bulk_upsert(chosen, report=report, on_outcome=count, stop=stop, concurrency=concurrency)
    )
    with contextlib.suppress(LoadStoppedError, asyncio.CancelledError):
        await asyncio.wait_for(loading, 86_400)  # of the fake clock


mixtures = given(
    rows=rows_strategy,
    faults=st.dictionaries(st.sampled_from(sorted(FAULT_KINDS)), st.sampled_from([0.01, 0.1, 0.5]), max_size=4),
    latency=st.sampled_from([(0.0, 0.0), (0.01, 0.05), (0.0, 2.0)]),
    allow_duplicates=st.booleans(),
    concurrency=st.integers(1, 20),
    seed=st.integers(0, 999),
    end=st.sampled_from(["none", "none", "stop", "cancel", "source raises", "consumer raises"]),
    at=st.integers(0, 60),
    source=st.sampled_from(["list", "sync", "async"]),
)


async def meet_a_mixture(
    rows: list[Row],
    faults: dict[str, float],
    latency: tuple[float, float],
    allow_duplicates: bool,
    concurrency: int,
    seed: int,
    end: str,
    at: int,
    source: str,
) -> None:
    clock, witness, report = FakeClock(), Witness(), BatchReport()
    clocks: dict[str, Any] = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    async with clock.jumping():
        async with (
            Sandbox(
                seed=seed,
                faults=faults,
                latency=latency,
                allow_duplicates=allow_duplicates,
                on_applied=witness.note,
                **clocks,
            ) as sandbox,
            LeadConnector(
                "sandbox",
                base_url=sandbox.url,
                location_id=LOCATION,
                retry=QUICK,
                timeouts=Timeouts(total=0.1 if "hang" in faults else 60),
                clock=clock,
            ) as client,
        ):
            await load_to_some_end(client, rows, report, end=end, at=at, source=source, concurrency=concurrency)
        # By now the sandbox has done, too, what was under way when the load ended.
        assert_each_row_is_told_truly(rows, report, sandbox, witness, is_ordered="hang" not in faults)
    if end == "none":
        assert report.total == len(rows)


@settings(max_examples=50, deadline=None)
@mixtures
async def test_any_mixture_of_rows_faults_and_ends(**mixture: Any) -> None:
    await meet_a_mixture(**mixture)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@mixtures
async def test_very_many_mixtures_of_rows_faults_and_ends(**mixture: Any) -> None:
    await meet_a_mixture(**mixture)
