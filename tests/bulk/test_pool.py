"""Work on contacts of several locations, some at a time: those that take no calls are left out, each for one call."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from leadconnector_async import (
    ConfigurationError,
    DailyQuotaExceededError,
    LeadConnector,
    LeadConnectorError,
    LocationRefusedError,
    LoginRequiredError,
    NotFoundError,
    OutageError,
    RateLimit,
    RateLimitStuckError,
    RetryPolicy,
    ServerError,
)
from leadconnector_async.bulk.pool import Pool
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import until

QUICK = RetryPolicy(max_attempts=2, first_delay=0.1, max_outage=600.0)


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
    pool, done = Pool(client), Counter[str]()

    async def read(one: tuple[str, str]) -> None:
        name, contact_id = one
        await pool.call(name, lambda: client.contacts.get(contact_id, location_id=name))
        done[name] += 1

    ended = await pool.run(added, read, location_of=lambda one: one[0], concurrency=16)
    return done, ended or pool.reason


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


# ---------------------------------------------------------------------------------------------- outages


async def delete_all(pool: Pool, ids: list[str], **options: Any) -> tuple[list[str], LeadConnectorError | None]:
    """Delete contacts, and return which, and what ended it."""
    deleted: list[str] = []

    async def delete(contact_id: str) -> None:
        client: Any = pool.caller
        with suppress(NotFoundError):  # begun anew, where the answer was lost
            await pool.call(LOCATION, partial(client.contacts.get, contact_id))
            await pool.call(LOCATION, partial(client.contacts.delete, contact_id))
        deleted.append(contact_id)

    ended = await pool.run(ids, delete, location_of=lambda _: LOCATION, concurrency=8, **options)
    return deleted, ended


def add(sandbox: Sandbox, count: int) -> list[str]:
    return [sandbox.add_contact(LOCATION, email=f"{number}@example.com")["id"] for number in range(count)]


@pytest.mark.parametrize("kind", ["503-html", "reset-before", "cut-body"])
@pytest.mark.parametrize("times", [2, 10, 57])
async def test_an_outage_costs_no_item(open_sandbox: OpenSandbox, connect: OpenSandbox, kind: str, times: int) -> None:
    sandbox = await open_sandbox(unlimited=True)
    ids = add(sandbox, 60)
    pool, failed = Pool(await connect(sandbox, retry=QUICK, rate_limit=None)), list[str]()
    sandbox.fail_next(None, times=31)
    sandbox.fail_next(kind, times=times)
    deleted, ended = await delete_all(pool, ids, on_failed=lambda one, _: failed.append(one))
    assert (sorted(deleted), failed, ended) == (sorted(ids), [], None)
    assert sandbox.contacts(LOCATION) == []


async def test_a_service_that_comes_back_for_a_moment_again_and_again_costs_no_item(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    ids = add(sandbox, 40)
    pool, failed = Pool(await connect(sandbox, retry=QUICK, rate_limit=None)), list[str]()
    for _ in range(12):
        sandbox.fail_next("503-html", times=25)
        sandbox.fail_next(None, times=2)  # one contact is deleted
    deleted, ended = await delete_all(pool, ids, on_failed=lambda one, _: failed.append(one))
    assert (sorted(deleted), failed, ended) == (sorted(ids), [], None)


async def test_an_outage_that_lasts_ends_the_work_and_leaves_what_is_not_done(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    ids = add(sandbox, 60)
    client, failed, began = await connect(sandbox, retry=QUICK, rate_limit=None), list[str](), clock.now
    sandbox.fail_next(None, times=31)
    sandbox.fail_next("503-html", times=10_000)
    deleted, ended = await delete_all(Pool(client), ids, on_failed=lambda one, _: failed.append(one))
    assert isinstance(ended, OutageError)
    assert (len(deleted), failed) == (60 - len(sandbox.contacts(LOCATION)), [])
    assert 600 < clock.now - began < 700
    assert sandbox.requests < 31 + 8 * 2 * 2 + 2 * 25
    sandbox._faults._script.clear()
    more, ended = await delete_all(Pool(client), [one for one in ids if one not in deleted])
    assert (sorted(deleted + more), ended) == (sorted(ids), None)


async def test_a_service_that_reads_and_takes_nothing_is_down(
    open_sandbox: OpenSandbox, connect: OpenSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    ids, failed = add(sandbox, 60), list[str]()
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    send = LeadConnector.send

    async def refuse_to_delete(self: LeadConnector, call: Any) -> Any:
        if call.request.method == "DELETE":
            raise ServerError(503, ("not today",))
        return await send(self, call)

    monkeypatch.setattr(LeadConnector, "send", refuse_to_delete)
    deleted, ended = await delete_all(Pool(client), ids, on_failed=lambda one, _: failed.append(one))
    assert (deleted, failed, isinstance(ended, OutageError)) == ([], [], True)


async def test_an_item_that_fails_while_others_succeed_has_failed(
    open_sandbox: OpenSandbox, connect: OpenSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    ids, failed = add(sandbox, 60), list[str]()
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    send = LeadConnector.send

    async def refuse_one(self: LeadConnector, call: Any) -> Any:
        if ids[7] in call.request.path:
            raise ServerError(500, ("not this one",))
        return await send(self, call)

    monkeypatch.setattr(LeadConnector, "send", refuse_one)
    deleted, ended = await delete_all(Pool(client), ids, on_failed=lambda one, _: failed.append(one))
    assert (failed, len(deleted), ended) == ([ids[7]], 59, None)
    deleted, ended = await delete_all(Pool(client), [ids[7]])  # also where there is no other
    assert (deleted, str(ended)) == ([], "500: not this one")


async def test_work_that_waits_for_the_service_can_be_stopped(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(faults={"503-html": 1.0}, unlimited=True)
    ids, stop = add(sandbox, 60), asyncio.Event()
    client = await connect(sandbox, retry=QUICK, rate_limit=None)
    work = asyncio.ensure_future(delete_all(Pool(client), ids, stop=stop))
    await until(lambda: sandbox.requests >= 6)
    began = clock.now
    stop.set()
    assert await work == ([], None)
    assert clock.now == began


# ---------------------------------------------------------------------------------------------- days, sources, fairness


async def test_items_of_a_spent_day_wait_for_the_next_one_and_hold_up_no_others(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=30)
    client = await connect(sandbox, rate_limit=RateLimit(daily=30))
    added = [(name, sandbox.add_contact(name, email=f"{n}@b.co")["id"]) for name in "XA" for n in range(45)]
    del added[-20:]  # A has 25
    pool, done = Pool(client, waits_for_quota=True), dict[str, list[float]]()
    began = clock.now

    async def read(one: tuple[str, str]) -> None:
        await pool.call(one[0], partial(client.contacts.get, one[1], location_id=one[0]))
        done.setdefault(one[0], []).append(clock.now - began)

    assert await pool.run(added, read, location_of=lambda one: one[0], concurrency=4) is None
    assert {name: len(times) for name, times in done.items()} == {"X": 45, "A": 25}
    assert max(done["A"]) < 60
    assert sum(time > 80_000 for time in done["X"]) == 15


async def test_a_location_whose_window_is_full_holds_up_no_other(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(max_requests=10, per_seconds=10)
    client = await connect(sandbox, rate_limit=RateLimit(10, 10.0))
    added = [("X", sandbox.add_contact("X", email=f"{n}@b.co")["id"]) for n in range(60)]
    added += [("A", sandbox.add_contact("A", email=f"{n}@b.co")["id"]) for n in range(10)]
    pool, done, began = Pool(client), dict[str, float](), clock.now

    async def read(one: tuple[str, str]) -> None:
        await pool.call(one[0], partial(client.contacts.get, one[1], location_id=one[0]))
        done[one[0]] = clock.now - began

    assert await pool.run(added, read, location_of=lambda one: one[0], concurrency=4) is None
    assert done["A"] < 20 < 40 < done["X"]  # not after those of X that came before


async def test_items_are_read_in_a_thread_and_never_far_ahead(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    client = await connect(await open_sandbox())
    read, most, threads = 0, 0, set[int]()
    done: list[int] = []

    def items() -> Iterator[int]:
        nonlocal read, most
        for number in range(3_000):
            threads.add(threading.get_ident())
            read += 1
            most = max(most, read - len(done))
            yield number

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    assert await Pool(client).run(items(), work, location_of=lambda _: LOCATION, concurrency=4) is None
    assert sorted(done) == list(range(3_000))
    assert most <= 4 * 4 + 2 * 100
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("error", [OSError("the disk is gone"), ConfigurationError("a file has changed")])
async def test_what_items_raise_comes_out_after_those_before_were_worked_on(
    open_sandbox: OpenSandbox, connect: OpenSandbox, error: Exception
) -> None:
    client, done = await connect(await open_sandbox()), list[int]()

    def items() -> Iterator[int]:
        yield from range(5)
        raise error

    async def work(number: int) -> None:
        done.append(number)

    run = Pool(client).run(items(), work, location_of=lambda _: LOCATION, concurrency=1)
    if isinstance(error, LeadConnectorError):
        assert await run is error
    else:
        with pytest.raises(OSError, match="the disk is gone"):
            await run


async def test_what_work_raises_that_is_no_error_of_ours_comes_out_as_it_is(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    client = await connect(await open_sandbox())

    async def work(_: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        await Pool(client).run(range(50), work, location_of=lambda _: LOCATION, concurrency=8)


async def test_a_single_question_waits_for_the_next_day_or_the_end_of_a_storm(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=1)
    client = await connect(sandbox, retry=RetryPolicy(max_rate_limited=30))
    get = partial(client.locations.get, LOCATION)
    await get()
    with pytest.raises(DailyQuotaExceededError):
        await Pool(client).ask(LOCATION, get)
    began = clock.now
    assert (await Pool(client, waits_for_quota=True).ask(LOCATION, get)).id == LOCATION
    assert clock.now - began > 80_000

    sandbox = await open_sandbox()
    client = await connect(sandbox, retry=RetryPolicy(max_rate_limited=30))
    get = partial(client.locations.get, LOCATION)
    sandbox.fail_next("429", 10)
    with pytest.raises(RateLimitStuckError):
        await Pool(client).ask(LOCATION, get)
    assert (await Pool(client, waits_for_quota=True).ask(LOCATION, get)).id == LOCATION
    assert sandbox.rate_limited == 10
