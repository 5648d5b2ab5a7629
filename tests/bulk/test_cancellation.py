"""Cancelled at any moment, or in a task that was cancelled before: nothing stays locked, and our own is told apart."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import (
    CallTimeoutError,
    ClientStateError,
    ConfigurationError,
    LeadConnector,
    LoadStoppedError,
    RateLimit,
    RetryPolicy,
    Timeouts,
)
from leadconnector_async.bulk.pool import Pool
from leadconnector_async.bulk.threads import in_thread, open_in_thread
from leadconnector_async.errors import LeadConnectorError
from leadconnector_async.migration import Migration
from leadconnector_async.run.rows import KeptRow, Rows
from tests.conftest import OpenSandbox

PEOPLE = [{"email": f"person{number}@example.com"} for number in range(6)]
Work = Callable[[], Awaitable[Any]]


# ---------------------------------------------------------------------------------------------- cancelled meanwhile


async def drain(client: LeadConnector, journal: Path) -> None:
    async with aclosing(client.contacts.stream_upserts(PEOPLE, journal=journal)) as outcomes:
        async for _ in outcomes:
            pass


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("way", ["bulk", "stream"])
async def test_a_load_cancelled_while_it_opens_its_journal_leaves_nothing_locked(
    client: LeadConnector, tmp_path: Path, way: str, times: int
) -> None:
    journal, begun, go_on = tmp_path / "j.sqlite3", threading.Event(), threading.Event()
    open_run_log = client.contacts.open_run_log

    def open_slowly(path: str | Path) -> Any:
        begun.set()
        go_on.wait()
        return open_run_log(path)

    async def load() -> None:
        await (drain(client, journal) if way == "stream" else client.contacts.bulk_upsert(PEOPLE, journal=journal))

    client.contacts.open_run_log = open_slowly
    task = asyncio.ensure_future(load())
    await asyncio.to_thread(begun.wait)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await load()
    report = await client.contacts.bulk_upsert(PEOPLE, journal=journal)
    assert (report.created, report.is_complete) == (6, True)


async def test_what_is_opened_in_a_thread_is_closed_where_nobody_takes_it() -> None:
    closed, begun, go_on = list[str](), threading.Event(), threading.Event()

    class Opened:
        def close(self) -> None:
            closed.append("closed")

    def open_one() -> Opened:
        begun.set()
        go_on.wait()
        return Opened()

    task = asyncio.ensure_future(open_in_thread(open_one))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == ["closed"]
    with pytest.raises(KeyError):
        await in_thread(lambda: {}["x"])


async def test_a_run_cancelled_while_it_is_opened_can_be_opened_again(client: LeadConnector, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("email\na@example.com\n")
    (await Migration.prepare(client, [file], folder=tmp_path / "run")).close()
    for turns in range(12):
        task = asyncio.ensure_future(Migration.open(client, tmp_path / "run"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            (await task).close()
        (await Migration.open(client, tmp_path / "run")).close()


async def test_a_plan_that_is_cancelled_stops_its_thread_and_leaves_nothing(
    client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, begun, rows = tmp_path / "a.csv", threading.Event(), list[KeptRow]()
    file.write_text("email\n" + "".join(f"person{number}@example.com\n" for number in range(50_000)))
    add = Rows.add

    def add_and_note(kept: Rows, number: int, row: KeptRow) -> None:
        rows.append(row)
        begun.set()
        add(kept, number, row)

    monkeypatch.setattr(Rows, "add", add_and_note)
    task = asyncio.ensure_future(Migration.prepare(client, [file], folder=tmp_path / "run"))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    seen = len(rows)
    assert seen < 50_000
    assert not (tmp_path / "run").exists()
    await asyncio.to_thread(time.sleep, 0.05)
    assert len(rows) == seen


async def test_who_leaves_a_stream_early_reads_how_to_go_on(client: LeadConnector, tmp_path: Path) -> None:
    journal = tmp_path / "j.sqlite3"
    outcomes = client.contacts.stream_upserts(PEOPLE, journal=journal)
    async for _ in outcomes:
        break
    with pytest.raises(ConfigurationError, match=r"close its generator first \(contextlib.aclosing does that\)"):
        await client.contacts.bulk_upsert(PEOPLE, journal=journal)
    await outcomes.aclose()
    report = await client.contacts.bulk_upsert(PEOPLE, journal=journal)
    assert report.is_complete


# ---------------------------------------------------------------------------------------------- cancelled before


async def after_a_group(work: Work) -> Any:
    """Do work after a TaskGroup failed: in Python 3.11 and 3.12 the task counts as cancelled from then on."""

    async def fail() -> None:
        raise ValueError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(1)
    except* ValueError:
        pass
    return await work()


async def in_clean_up(work: Work) -> Any:
    """Do work in the clean-up of a task that was cancelled."""

    async def wait() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await work()

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    task.cancel()
    return await task


@pytest.fixture(params=[after_a_group, in_clean_up])
def before(request: pytest.FixtureRequest) -> Any:
    """Do work in a task that counts as cancelled."""
    return request.param


Before = Callable[[Work], Awaitable[Any]]


async def test_a_timeout_of_ours_is_tried_again(
    open_sandbox: OpenSandbox, connect: OpenSandbox, before: Before
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, timeouts=Timeouts(total=0.3))
    sandbox.fail_next("hang")
    result = await before(lambda: client.contacts.upsert(PEOPLE[0]))
    assert (result.new, result.attempts) == (True, 2)


async def test_a_timeout_of_ours_is_an_error_of_ours(
    open_sandbox: OpenSandbox, connect: OpenSandbox, before: Before
) -> None:
    sandbox = await open_sandbox(faults={"hang": 1.0})
    client = await connect(sandbox, timeouts=Timeouts(total=0.3), retry=RetryPolicy(max_attempts=1))
    for work in (
        lambda: client.contacts.upsert(PEOPLE[0]),
        lambda: client.contacts.get("x"),
        lambda: client.locations.get("L"),
    ):
        with pytest.raises(CallTimeoutError):
            await before(work)


async def test_a_load_is_the_same(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, before: Before
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, timeouts=Timeouts(total=0.3))
    sandbox.fail_next("hang", times=3)
    report = await before(lambda: client.contacts.bulk_upsert(PEOPLE, journal=tmp_path / "j"))
    assert (report.created + report.updated, report.is_complete) == (6, True)


async def test_what_a_consumer_or_a_source_raises_comes_out(
    client: LeadConnector, tmp_path: Path, before: Before
) -> None:
    async def cancel(_: object) -> None:
        raise asyncio.CancelledError

    def fail(_: object) -> None:
        raise KeyError

    async def wait_and_fail(_: object) -> None:
        await asyncio.sleep(0)
        raise KeyError

    def source() -> Iterator[dict[str, str]]:
        yield PEOPLE[0]
        raise KeyError

    stop = asyncio.Event()
    stop.set()
    for number, on_outcome in enumerate((cancel, fail, wait_and_fail)):
        for journal in (None, tmp_path / str(number)):
            with pytest.raises(LoadStoppedError, match=r"CancelledError|KeyError"):
                await before(
                    lambda o=on_outcome, j=journal: client.contacts.bulk_upsert(PEOPLE, on_outcome=o, journal=j)
                )
            with pytest.raises(LoadStoppedError, match=r"CancelledError|KeyError"):
                await before(lambda o=on_outcome: client.contacts.bulk_upsert(iter(PEOPLE), on_outcome=o, stop=stop))
    with pytest.raises(LoadStoppedError, match="KeyError"):
        await before(lambda: client.contacts.bulk_upsert(source()))
    with pytest.raises(KeyError):
        await before(lambda: Pool(client).run(PEOPLE, wait_and_fail, location_of=lambda _: "L", concurrency=2))


async def test_a_call_that_waits_as_the_client_is_closed_says_so(
    open_sandbox: OpenSandbox, connect: OpenSandbox, before: Before
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, rate_limit=RateLimit(1, 60), timeouts=Timeouts(close=0.2))
    await client.contacts.upsert(PEOPLE[0])
    call = asyncio.ensure_future(before(lambda: client.contacts.upsert(PEOPLE[1])))
    while len(client._calls) == 0:  # noqa: ASYNC110  (each turn of the loop counts)
        await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ClientStateError, match="closed while the call waited"):
        await call


async def test_a_renewal_that_was_cut_off_is_an_error_of_ours(before: Before) -> None:
    from leadconnector_async.auth.renewal import BackgroundTasks

    async def join() -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(task.cancel)
        await BackgroundTasks.join(task)

    with pytest.raises(LeadConnectorError, match="closed while its token was renewed"):
        await before(join)
