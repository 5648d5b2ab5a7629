"""Every fault of the sandbox, seldom and often, alone and all at once; and storms of 429."""

from __future__ import annotations

import pytest

from leadconnector_async import RateLimitStuckError, RetryPolicy, Timeouts
from leadconnector_async.sandbox import FAULT_KINDS
from leadconnector_async.sandbox.answers import http_date
from tests.drills.conftest import StartDrill, people, rows_of_all_kinds
from tests.fake_clock import FakeClock

QUICK = RetryPolicy(max_attempts=4, first_delay=0.1)
# A call that hangs is waited for in real time.
QUICK_TIMEOUT = Timeouts(total=0.1)


async def meet_one_fault(start_drill: StartDrill, kind: str, probability: float, *, allow_duplicates: bool) -> None:
    client = {"retry": QUICK, "timeouts": QUICK_TIMEOUT, "concurrency": 150} if kind == "hang" else {"retry": QUICK}
    drill = await start_drill(faults={kind: probability}, allow_duplicates=allow_duplicates, client=client)
    report = await drill.load(rows_of_all_kinds(150))
    assert report.created
    assert report.stopped is None


@pytest.mark.parametrize("probability", [0.1, *(pytest.param(other, marks=pytest.mark.slow) for other in (0.01, 0.5))])
@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_each_fault(start_drill: StartDrill, kind: str, probability: float) -> None:
    await meet_one_fault(start_drill, kind, probability, allow_duplicates=True)


@pytest.mark.slow
@pytest.mark.parametrize("probability", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("kind", FAULT_KINDS)
async def test_each_fault_where_no_duplicates_are_allowed(
    start_drill: StartDrill, kind: str, probability: float
) -> None:
    await meet_one_fault(start_drill, kind, probability, allow_duplicates=False)


@pytest.mark.parametrize(
    ("probability", "seed"),
    [
        (0.05, 0),
        *(pytest.param(each, seed, marks=pytest.mark.slow) for each in (0.01, 0.05, 0.1) for seed in (1, 2, 3)),
    ],
)
async def test_all_faults_at_once(start_drill: StartDrill, probability: float, seed: int) -> None:
    drill = await start_drill(
        seed=seed,
        faults=dict.fromkeys(FAULT_KINDS, probability),
        latency=(0.05, 0.5),
        allow_duplicates=True,
        client={"retry": QUICK, "timeouts": QUICK_TIMEOUT},
    )
    report = await drill.load(rows_of_all_kinds(150 if probability < 0.05 else 80), is_ordered=False)
    assert report.created


async def test_a_contact_that_a_refused_row_created_is_not_told_created_by_the_next(start_drill: StartDrill) -> None:
    drill = await start_drill()
    drill.sandbox.fail_next("422-created")
    drill.sandbox.fail_next("reset-after")
    rows = [{**row, "email": "same@example.com"} for row in people(2)]
    report = await drill.load(rows)
    assert [outcome.status for outcome in report.outcomes] == ["failed", "updated"]


async def test_whose_contact_it_may_be_is_remembered_over_an_outage(start_drill: StartDrill) -> None:
    drill = await start_drill(client={"retry": RetryPolicy(max_attempts=2, first_delay=0.1)})
    rows = people(3)
    rows[1]["email"] = rows[0]["email"]
    drill.sandbox.fail_next("422-created")  # row 0: the contact is there, although its row failed
    drill.sandbox.fail_next("503-html", times=8)  # rows 1 and 2, twice each: longer than failures are remembered
    report = await drill.load(rows, concurrency=1)
    assert (report.outcomes[1].status, report.outcomes[1].attempts) == ("updated", 5)


# ---------------------------------------------------------------------------------------------- storms of 429


@pytest.mark.parametrize("kind", ["429", "429-retry-after"])
async def test_a_storm_of_429_delays_rows_and_loses_none(start_drill: StartDrill, kind: str) -> None:
    drill = await start_drill(allow_duplicates=True)
    drill.sandbox.fail_next(kind, times=130)
    rows = rows_of_all_kinds(150)
    report = await drill.load(rows)
    refused = sum(not row.get("email", "+") or row.get("email") == "not an address" for row in rows)
    assert (report.failed, report.created + report.updated) == (refused, 150 - refused)
    assert report.rate_limited == drill.sandbox.rate_limited == 130
    assert report.requests == drill.sandbox.requests


@pytest.mark.parametrize("kind", ["429", "429-retry-after"])
async def test_half_of_all_calls_answered_429(start_drill: StartDrill, kind: str) -> None:
    drill = await start_drill(faults={kind: 0.5})
    report = await drill.load(people(70))
    assert report.created == 70
    assert report.rate_limited == drill.sandbox.rate_limited > 20


async def test_a_storm_in_the_midst_of_doubt(start_drill: StartDrill) -> None:
    drill = await start_drill(faults={"429": 0.3, "reset-after": 0.3, "429-retry-after": 0.3})
    report = await drill.load(people(60))
    assert report.rate_limited == drill.sandbox.rate_limited
    assert report.is_complete or report.failed


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("30", 30),
        (30.5, 30.5),
        ("in 45 s", 45),
        ("45 s ago", 10.01),  # no sense in it: as long as a window
        ("-30", 10.01),
        ("0", 0),
        ("soon", 10.01),
        ("30, 40", 10.01),
        ("1e3", 10.01),
        ("٣٠", 10.01),
        ("9" * 300, 10.01),
    ],
)
async def test_what_retry_after_may_say(
    start_drill: StartDrill, clock: FakeClock, retry_after: str | float, seconds: float
) -> None:
    dates = {"in 45 s": http_date(int(clock.time()) + 45), "45 s ago": http_date(int(clock.time()) - 45)}
    drill = await start_drill(retry_after=dates.get(str(retry_after), retry_after))
    drill.sandbox.fail_next("429-retry-after")
    began = clock.now
    report = await drill.load(people(20))
    assert report.created == 20
    assert report.rate_limited == drill.sandbox.rate_limited == 1  # the first call goes alone
    assert clock.now - began == pytest.approx(seconds)


@pytest.mark.parametrize("retry_after", ["121", "1000000000", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_huge_retry_after_stops_the_load_and_no_row_is_called_failed(
    start_drill: StartDrill, clock: FakeClock, retry_after: str
) -> None:
    drill = await start_drill(retry_after=retry_after, client={"concurrency": 8})
    drill.sandbox.fail_next(None, times=40)
    drill.sandbox.fail_next("429-retry-after", times=1_000)
    began = clock.now
    report = await drill.load(people(150))
    assert isinstance(report.stopped, RateLimitStuckError)
    assert (report.created, report.not_attempted) == (40, 110)
    assert report.rate_limited == drill.sandbox.rate_limited <= 8
    assert clock.now == began
