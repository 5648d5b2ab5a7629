"""A sweep over contacts of several locations: those that take no calls are left out, each for one call."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from leadconnector_async import (
    DailyQuotaExceededError,
    LeadConnector,
    LeadConnectorError,
    LocationRefusedError,
    LoginRequiredError,
    RateLimit,
    RetryPolicy,
    TransportError,
)
from leadconnector_async.migration.sweep import Access, sweep
from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock


class Tokens:
    """A token source that lacks one location, or has a wrong token for it."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: Counter[str] = Counter()

    async def token(self, location_id: str) -> str:
        self.asked[location_id] += 1
        await asyncio.sleep(0)
        if location_id == "X" and isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer) if location_id == "X" else "sandbox"

    async def refresh(self, location_id: str, refused: str) -> bool:
        return False


async def read_all(client: LeadConnector, sandbox: Sandbox, count: int = 40) -> tuple[Counter[str], Any]:
    """Read contacts of the locations X and A in turn, and return how many of each, and what ended it."""
    added = [
        (name, sandbox.add_contact(name, email=f"{number}@example.com")["id"])
        for number in range(count)
        for name in "XA"
    ]
    access, done = Access(client), Counter[str]()

    async def read(one: tuple[str, str]) -> None:
        name, contact_id = one
        await access.call(name, lambda: client.contacts.get(contact_id, location_id=name))
        done[name] += 1

    return done, await sweep(added, read, concurrency=16, stop=asyncio.Event(), access=access)


async def test_a_refused_location_costs_one_call(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(locations=["A"], latency=(0.1, 0.2))
    done, reason = await read_all(await connect(sandbox), sandbox)
    assert done == {"A": 40}
    assert isinstance(reason, LocationRefusedError)
    assert sandbox.requests == 41


@pytest.mark.parametrize("answer", [LoginRequiredError("log in to X", account_id="X"), "another token"])
async def test_a_location_without_a_good_token_costs_one_question(
    open_sandbox: OpenSandbox, connect: OpenSandbox, answer: object
) -> None:
    sandbox = await open_sandbox(latency=(0.1, 0.2))
    tokens = Tokens(answer)
    done, reason = await read_all(await connect(sandbox, token=tokens), sandbox)
    assert (done, tokens.asked["X"]) == ({"A": 40}, 1)
    assert isinstance(reason, LeadConnectorError)


async def test_a_spent_day_of_one_location_leaves_the_others_going(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, rate_limit=RateLimit(daily=45))
    for number in range(30):
        await client.contacts.upsert({"email": f"early{number}@example.com", "location_id": "X"})
    done, reason = await read_all(client, sandbox)
    assert done == {"A": 40, "X": 15}
    assert isinstance(reason, DailyQuotaExceededError)


async def test_one_token_that_is_refused_ends_it_all(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(latency=(0.1, 0.2))
    done, reason = await read_all(await connect(sandbox, token="another"), sandbox)
    assert (done, sandbox.requests) == ({}, 2)  # the first of each location
    assert "401" in str(reason)


async def test_a_service_that_does_not_answer_ends_it_as_soon_as_without_waiting_in_line(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(faults={"reset-before": 1.0})
    client = await connect(sandbox, retry=RetryPolicy(max_attempts=2, first_delay=60.0))
    began = clock.now
    done, reason = await read_all(client, sandbox)
    assert (done, isinstance(reason, TransportError)) == ({}, True)
    assert clock.now - began <= 120.0  # the first of each, then the others together
