"""A location's quota that others use, too, or that is not what the documentation says: real servers, real headers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.sandbox import WINDOWS, Sandbox
from leadconnector_async.sandbox.server import WindowKind
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock


def rows(count: int, who: str = "person") -> list[dict[str, str]]:
    return [{"email": f"{who}{number}@example.com"} for number in range(count)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("used", [1, 12, 19, 20])
@pytest.mark.parametrize("is_load", [True, False])
async def test_a_process_that_starts_in_a_used_window_draws_no_429_but_with_its_first_call(
    window: WindowKind, used: int, is_load: bool, open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(max_requests=20, per_seconds=0.6, window=window)
    before = await connect(sandbox, rate_limit=None)
    await before.contacts.bulk_upsert(rows(used, "earlier"))
    client = await connect(sandbox, rate_limit=RateLimit(20, 0.6))
    if is_load:
        await client.contacts.bulk_upsert(rows(30))
    else:
        await asyncio.gather(*(client.contacts.upsert(row) for row in rows(30)))
    assert len(sandbox.contacts()) == used + 30
    assert sandbox.rate_limited == (1 if used == 20 else 0)


async def test_what_others_use_meanwhile_is_left_to_them(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    """Another process takes five calls a second; ours has the rest, and learns of them from `Remaining` alone."""
    sandbox = await open_sandbox(latency=(0.05, 0.1))
    other = await connect(sandbox, rate_limit=None)
    client = await connect(sandbox, concurrency=32)
    load = asyncio.ensure_future(client.contacts.bulk_upsert(rows(600)))
    while not load.done():
        for row in rows(5, "other"):
            await other.contacts.upsert(row)
        await clock.sleep(1.0)
    report = await load
    assert report.created == 600
    # The other process takes calls that ours had counted on: each such meeting costs a few 429s, never a flood.
    assert sandbox.rate_limited <= 0.05 * sandbox.requests


@pytest.mark.parametrize(
    ("server", "count"),
    [
        ({"profile": "trial"}, 120),
        ({"max_requests": 40, "per_seconds": 20.0}, 130),
        ({"max_requests": 7, "per_seconds": 1.0}, 60),
        ({"max_requests": 300, "per_seconds": 60.0}, 700),
    ],
)
async def test_the_limit_that_the_headers_tell_is_kept(
    open_sandbox: OpenSandbox, connect: OpenSandbox, server: dict[str, object], count: int
) -> None:
    sandbox = await open_sandbox(latency=(0.01, 0.3), **server)
    client = await connect(sandbox, concurrency=100)
    report = await client.contacts.bulk_upsert(rows(count))
    assert (report.created, sandbox.rate_limited) == (count, 0)


async def test_the_end_of_the_day_is_seen_in_the_headers_before_it_is_a_429(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(daily=150)
    before = await connect(sandbox, rate_limit=None)
    await before.contacts.bulk_upsert(rows(90, "earlier"))
    client = await connect(sandbox, concurrency=100)
    report = await client.contacts.bulk_upsert(rows(80))
    assert (report.created, report.not_attempted, sandbox.rate_limited) == (60, 20, 0)


async def test_each_event_is_told_in_one_line(
    open_sandbox: OpenSandbox, connect: OpenSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leadconnector_async")
    sandbox: Sandbox = await open_sandbox(profile="trial")
    client: LeadConnector = await connect(sandbox, rate_limit=RateLimit())
    await client.contacts.bulk_upsert(rows(2))
    sandbox.fail_next("429", 5)
    await client.contacts.bulk_upsert(rows(10, "later"))
    told = [record.getMessage() for record in caplog.records if record.name == "leadconnector_async.limits.local"]
    assert told == [
        f"location {LOCATION}: the limit is 25 calls in 10 s now",
        # First to the row that goes alone; then to four that went together, in one line.
        f"location {LOCATION}: rate-limited (HTTP 429); nothing is sent for 10.0 s",
        f"location {LOCATION}: rate-limited (HTTP 429); nothing is sent for 10.0 s",
    ]
