"""What real use brings to a load: others who write meanwhile, closed locations, sessions in quick succession."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from leadconnector_async import BatchReport, Outcome, RetryPolicy, TooManyFailuresError
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.drills.conftest import StartDrill, people
from tests.drills.truth import Witness, mark

QUICK = RetryPolicy(max_attempts=4, first_delay=0.1)


# ---------------------------------------------------------------------------------------------- others who write


@pytest.mark.parametrize("faults", [{}, {"reset-after": 0.2, "503-html": 0.1, "cut-body": 0.1}], ids=["calm", "faults"])
async def test_others_create_contacts_of_rows_that_are_not_sent_yet(
    start_drill: StartDrill, faults: dict[str, float]
) -> None:
    drill = await start_drill(faults=faults, client={"retry": QUICK, "concurrency": 8})
    rows, others, seen = people(150), set[int](), set[int]()

    def sign_up(outcome: Outcome) -> None:
        seen.add(outcome.index)
        number = max(seen) + 40  # not sent yet
        if number < len(rows) and number % 3 == 0 and number not in others:
            drill.sandbox.add_contact(LOCATION, email=rows[number]["email"], city="Elsewhere")
            others.add(number)

    report = await drill.load(rows, on_outcome=sign_up)
    assert len(others) > 20
    assert not others & {outcome.index for outcome in report.outcomes if outcome.status == "created"}
    assert (report.created + report.updated, report.failed) == (150, 0)


async def test_others_use_the_same_quota(start_drill: StartDrill, connect: OpenSandbox) -> None:
    """They keep the limit for themselves alone, as every program does that knows of no other."""
    drill = await start_drill()
    other = await connect(drill.sandbox)
    is_over = asyncio.Event()

    async def use() -> int:
        calls = 0
        while not is_over.is_set():
            await asyncio.gather(*(other.locations.get(LOCATION) for _ in range(20)))
            calls += 20
            await asyncio.sleep(2)
        return calls

    using = asyncio.ensure_future(use())
    report = await drill.load(people(400))
    is_over.set()
    others = await using
    assert (report.created, report.failed) == (400, 0)
    assert report.requests + others <= drill.sandbox.requests
    assert report.rate_limited <= drill.sandbox.rate_limited


# ---------------------------------------------------------------------------------------------- refusals


async def test_locations_that_are_closed_at_first_or_in_the_midst(start_drill: StartDrill, tmp_path: Path) -> None:
    drill = await start_drill(unlimited=True, client={"rate_limit": None, "concurrency": 6, "retry": QUICK})
    rows = [{**row, "locationId": f"L{number % 3}"} for number, row in enumerate(people(150))]
    drill.sandbox.allow_locations(["L0", "L1"])

    def close(outcome: Outcome) -> None:
        if outcome.index == 60:
            drill.sandbox.allow_locations(["L0"])

    report = await drill.load(rows, on_outcome=close, journal=tmp_path / "j.sqlite3")
    by_location = [[outcome for outcome in report.outcomes if outcome.index % 3 == number] for number in range(3)]
    assert {outcome.status for outcome in by_location[0]} == {"created"}
    assert {outcome.status for outcome in by_location[1]} == {"created", "not_attempted"}
    assert {outcome.status for outcome in by_location[2]} == {"not_attempted"}
    assert sum(outcome.attempts for outcome in by_location[2]) == 1
    assert set(report.closed_locations) == {"L1", "L2"}
    drill.sandbox.allow_locations(None)
    report = await drill.client.contacts.bulk_upsert(rows, journal=tmp_path / "j.sqlite3")
    assert (report.created, report.is_complete) == (150, True)


async def test_a_brake_leaves_nothing_untold(start_drill: StartDrill, tmp_path: Path) -> None:
    drill = await start_drill(faults={"422-created": 0.3, "reset-after": 0.2}, client={"retry": QUICK})
    rows = people(150)
    report = await drill.load(rows, max_failures=10, concurrency=8)
    assert isinstance(report.stopped, TooManyFailuresError)
    assert report.not_attempted > 0
    assert 10 <= report.failed < 10 + 8


# ---------------------------------------------------------------------------------------------- within a window


@pytest.mark.parametrize("window", ["fixed", "aligned", "sliding"])
async def test_sessions_that_go_on_within_a_window_cause_no_429(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, window: str
) -> None:
    """Each by a client of its own, as a command that is interrupted and called again at once."""
    witness = Witness()
    sandbox: Sandbox = await open_sandbox(on_applied=witness.note, window=window)
    rows, numbers, sessions = people(450), random.Random(1), 0
    report = BatchReport()
    while not report.is_complete or not sessions:
        client = await connect(sandbox)
        stop, report, until = asyncio.Event(), BatchReport(keep_outcomes=False), numbers.randint(1, 90)
        seen = 0

        def count(_: Outcome, stop: asyncio.Event = stop, until: int = until) -> None:
            nonlocal seen
            seen += 1
            if seen >= until:
                stop.set()

        await client.contacts.bulk_upsert(rows, journal=tmp_path / "j", report=report, stop=stop, on_outcome=count)
        await client.close()
        sessions += 1
        assert sessions < 100
    assert sessions > 3
    assert (report.created, report.sessions) == (450, sessions)
    assert sandbox.rate_limited == 0
    assert [write.contact["source"] for write in sorted(witness.writes, key=lambda write: write.row)] == [
        mark(number) for number in range(450)
    ], "each row was written once"
