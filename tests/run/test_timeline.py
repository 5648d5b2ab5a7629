"""How a load went over time, as the journal keeps it: no call is lost or counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from leadconnector_async import Journal, LeadConnector
from leadconnector_async.run.timeline import Second
from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def people(count: int, **more: str) -> list[dict[str, str]]:
    return [{"email": f"person{number}@example.com", **more} for number in range(count)]


def timeline(path: Path) -> list[Second]:
    with Journal(path) as journal:
        return list(journal.timeline())


def total(seconds: Sequence[Second], name: str) -> int:
    return sum(getattr(second, name) for second in seconds)


async def test_each_call_is_counted_once_by_what_came_of_it(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    rows = [*people(230), *people(10), {"email": "nobody"}, {"first_name": "No identity"}]
    sandbox.fail_next("reset-before")
    report = await client.contacts.bulk_upsert(rows, journal=path)
    seconds = timeline(path)
    assert total(seconds, "calls") == report.requests == sandbox.requests
    assert total(seconds, "created") == report.created == 230
    assert total(seconds, "updated") == report.updated == 10
    assert (total(seconds, "failed"), report.failed) == (1, 2)  # the other one was never sent
    assert total(seconds, "repeated") == report.retries == 1


async def test_it_tells_when_and_what_the_limits_allowed(client: LeadConnector, clock: FakeClock, path: Path) -> None:
    began = clock.time()
    await client.contacts.bulk_upsert(people(250), journal=path)
    seconds = timeline(path)
    assert int(began) <= seconds[0].second < seconds[-1].second <= clock.time()
    for first in seconds:  # a slot is used again after ten seconds, so that no ten of them hold more than the limit
        window = [second for second in seconds if first.second <= second.second < first.second + 10]
        assert total(window, "calls") <= 100
    assert {(second.pace.per_second, second.pace.window) for second in seconds} == {(10.0, 10.0)}
    assert 199_750 <= (seconds[-1].pace.left_today or 0) < 200_000


async def test_limits_of_locations_add_up(client: LeadConnector, path: Path) -> None:
    await client.contacts.bulk_upsert(
        [{"location_id": f"L{row % 3}", "email": f"person{row}@example.com"} for row in range(600)], journal=path
    )
    assert max(second.pace.per_second or 0 for second in timeline(path)) == 30.0
    assert {second.pace.left_today for second in timeline(path)[:1]} == {None}


async def test_without_limits_there_is_none_to_tell(
    connect: OpenSandbox, open_sandbox: OpenSandbox, path: Path
) -> None:
    client = await connect(await open_sandbox(unlimited=True), rate_limit=None)
    await client.contacts.bulk_upsert(people(5), journal=path)
    assert {second.pace.per_second for second in timeline(path)} == {None}


async def test_a_load_that_goes_on_has_the_time_of_all_sessions(client: LeadConnector, path: Path) -> None:
    stop = asyncio.Event()
    await client.contacts.bulk_upsert(
        people(300), journal=path, stop=stop, on_outcome=lambda outcome: stop.set(), concurrency=8
    )
    assert 0 < total(timeline(path), "calls") < 300
    report = await client.contacts.bulk_upsert(people(300), journal=path)
    assert total(timeline(path), "calls") == report.requests == 300
    with Journal(path) as journal:
        assert [session.has_ended for session in journal.sessions()] == [True, True]


async def test_rows_cut_off_are_counted_when_they_were(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    sandbox.fail_next("hang")
    load = asyncio.create_task(client.contacts.bulk_upsert(people(1), journal=path))
    await asyncio.wait([load], timeout=0.5)  # by then, on the clock of the test, the call is out
    load.cancel()
    await asyncio.wait([load])
    (second,) = timeline(path)
    assert second.second > 1_000_000_000
    assert second.failed == 1
