"""The outbox: what is put is on disk, is sent in order, and has exactly one outcome."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import aclosing, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import ContactUpsert, LeadConnector, RetryPolicy
from leadconnector_async.errors import (
    ClientStateError,
    ConfigurationError,
    InvalidContactError,
    JournalError,
    UsageError,
)
from leadconnector_async.ingest import KeyConflictError, Outbox, OutboxFullError, Put, Settled
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import until

REFUSED = {"email": "not an address", "firstName": "Refused"}


def person(number: int, **fields: Any) -> dict[str, Any]:
    return {"email": f"p{number}@example.com", "firstName": f"P{number}", **fields}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


def emails(sandbox: Sandbox) -> list[str]:
    return sorted(contact["email"] for contact in sandbox.contacts())


async def ids_of_dead(outbox: Outbox) -> list[int]:
    return [letter.id async for letter in outbox.dead_letters()]


async def test_what_is_put_is_sent_and_its_outcome_is_handed_over(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    settled: list[Settled] = []
    async with Outbox(client, path, on_outcome=settled.append) as outbox:
        receipts = [await outbox.put(person(number), key=f"event-{number}") for number in range(5)]
        assert await outbox.flush()
        status = await outbox.status()
    settled.sort(key=lambda one: one.id)
    assert [one.id for one in settled] == [one.id for one in receipts] == [one.outcome.index for one in settled]
    assert [one.key for one in settled] == [f"event-{number}" for number in range(5)]
    assert {one.outcome.status for one in settled} == {"created"}
    assert emails(sandbox) == [person(number)["email"] for number in range(5)]
    assert (status.waiting, status.oldest, status.undelivered) == (0, None, 0)
    assert (status.is_draining, status.paused) == (True, {})


async def test_what_is_put_waits_for_a_process_that_drains(
    client: LeadConnector, sandbox: Sandbox, path: Path, clock: FakeClock
) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        await outbox.put(person(1))
        await clock.sleep(60)
        status = await outbox.status()
        assert (status.waiting, status.is_draining) == (1, False)
        assert status.oldest is not None
        assert status.oldest >= 60
        assert not await outbox.flush(5)
    assert sandbox.requests == 0
    async with Outbox(client, path) as outbox:
        assert await outbox.flush(5)
    assert len(sandbox.contacts()) == 1


async def test_another_outbox_of_the_file_takes_over_and_only_one_drains(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    async with Outbox(client, path, drain=False) as putting:
        first, second = Outbox(client, path), Outbox(client, path)
        await first.__aenter__()
        await second.__aenter__()
        await putting.put_many([person(number) for number in range(20)])
        assert await putting.flush()
        assert sandbox.requests == 20
        await first.close()
        await putting.put(person(20))
        assert await putting.flush()
        await second.close()
        assert not (await putting.status()).is_draining
    assert sandbox.requests == 21


async def test_outboxes_of_one_file_know_nothing_of_each_other(client: LeadConnector, path: Path) -> None:
    async with Outbox(client, path) as one, Outbox(client, path, name="other", drain=False) as other:
        await other.put(person(1), key="k")
        assert not (await one.put(person(2), key="k")).is_duplicate
        assert await one.flush()
        assert ((await one.status()).waiting, (await other.status()).waiting) == (0, 1)
        assert not (await other.status()).is_draining


# ---------------------------------------------------------------------------------------------- what is put


async def test_a_key_names_one_event(client: LeadConnector, path: Path, clock: FakeClock) -> None:
    async with Outbox(client, path, drain=False, keep_keys=timedelta(minutes=5)) as outbox:
        first = await outbox.put(person(1), key="k")
        assert await outbox.put(person(1), key="k") == type(first)(first.id, is_duplicate=True)
        # What is the same contact, however it is written, is no other one.
        again = await outbox.put(ContactUpsert(email="p1@example.com", first_name="P1", location_id=LOCATION), key="k")
        assert again.is_duplicate
        with pytest.raises(KeyConflictError, match=f"its id is {first.id}"):
            await outbox.put(person(2), key="k")
        with pytest.raises(KeyConflictError):
            await outbox.put(person(1), key="k", location_id="another")
        results = await asyncio.gather(*(outbox.put(person(3), key="at once") for _ in range(10)))
        assert [one.is_duplicate for one in results].count(False) == 1
        assert (await outbox.status()).waiting == 2
    async with Outbox(client, path, keep_keys=timedelta(minutes=5)) as outbox:
        assert await outbox.flush()
        assert (await outbox.put(person(1), key="k")).is_duplicate  # also once it is done
        await clock.sleep(370)
        assert not (await outbox.put(person(2), key="k")).is_duplicate


@pytest.mark.parametrize("key", ["", "x" * 513, "a\nb", "\ud800", 7, b"k"])
async def test_a_key_is_a_text(client: LeadConnector, path: Path, key: Any) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        with pytest.raises(UsageError, match="a key is a text"):
            await outbox.put(person(1), key=key)
        assert (await outbox.status()).waiting == 0


@pytest.mark.parametrize("contact", [{}, {"firstName": "Ann"}, {"tags": 7}, {"mail": "a@b.c"}, 7, None, "text", [1]])
async def test_what_is_no_contact_is_refused_at_once(client: LeadConnector, path: Path, contact: Any) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        with pytest.raises(InvalidContactError):
            await outbox.put(contact)
        with pytest.raises(InvalidContactError, match="contact 1"):
            await outbox.put_many([person(1), contact])
        assert (await outbox.status()).waiting == 0


async def test_many_are_stored_in_their_order(client: LeadConnector, path: Path) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        receipts = await outbox.put_many([person(1), Put(person(2), key="k"), Put(person(3), location_id="other")])
        assert [one.id for one in receipts] == sorted(one.id for one in receipts)
        with pytest.raises(KeyConflictError):
            await outbox.put_many([person(4), Put(person(5), key="k"), person(6)])
        assert (await outbox.status()).waiting == 5
        with pytest.raises(InvalidContactError, match="names another location"):
            await outbox.put(person(7, locationId="one"), location_id="two")


async def test_a_full_outbox_refuses_or_waits_and_drops_nothing(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    async with Outbox(client, path, drain=False, max_waiting=3, when_full="raise") as outbox:
        await outbox.put_many([person(number) for number in range(3)])
        with pytest.raises(OutboxFullError, match="3 contacts wait"):
            await outbox.put(person(3))
        await outbox.put_many([Put(person(0), key="k")][:0])
    async with Outbox(client, path, max_waiting=3) as outbox:
        receipts = await asyncio.gather(*(outbox.put(person(number)) for number in range(3, 30)))
        assert await outbox.flush()
    assert len({one.id for one in receipts}) == 27
    assert len(sandbox.contacts()) == 30


async def test_a_put_that_waits_for_room_ends_with_the_outbox(client: LeadConnector, path: Path) -> None:
    outbox = Outbox(client, path, drain=False, max_waiting=1)
    await outbox.__aenter__()
    await outbox.put(person(1))
    waiting = asyncio.create_task(outbox.put(person(2)))
    await asyncio.sleep(0)
    await outbox.close()
    with pytest.raises(ClientStateError, match="closed"):
        await waiting


# ---------------------------------------------------------------------------------------------- life


async def test_a_closed_outbox_takes_nothing_and_keeps_what_waits(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path
) -> None:
    sandbox = await open_sandbox(latency=(1.0, 1.0))
    client = await connect(sandbox)
    settled: list[Settled] = []
    outbox = Outbox(client, path, on_outcome=settled.append)
    with pytest.raises(ClientStateError, match="not open"):
        await outbox.put(person(1))
    async with outbox:
        await outbox.put_many([person(number) for number in range(200)])
        await until(lambda: sandbox.requests > 1)
        last = asyncio.create_task(outbox.put(person(200)))
        await asyncio.sleep(0)
    assert (await last).id == 201
    with pytest.raises(ClientStateError, match="closed"):
        await outbox.put(person(1))
    await outbox.close()
    assert len(settled) == len(sandbox.contacts()) < 201  # those in flight have finished, and their outcomes came
    async with Outbox(client, path, on_outcome=settled.append) as outbox:
        assert (await outbox.status()).waiting == 201 - len(settled)
        assert await outbox.flush()
    assert sorted(one.id for one in settled) == list(range(1, 202))
    assert sandbox.requests == 201
    with pytest.raises(ClientStateError, match="before"):
        await outbox.__aenter__()


async def test_a_client_that_is_not_open_is_told_and_one_that_is_closed_leaves_the_rest_to_others(
    client: LeadConnector, connect: OpenSandbox, sandbox: Sandbox, path: Path, clock: FakeClock
) -> None:
    with pytest.raises(ClientStateError, match="not open"):
        await Outbox(LeadConnector("sandbox", location_id=LOCATION), path).__aenter__()
    closing = await connect(sandbox)
    async with Outbox(closing, path) as first, Outbox(client, path):
        await first.put(person(1))
        assert await first.flush()
        await closing.close()
        await first.put(person(2))
        assert await first.flush(60)
    assert len(sandbox.contacts()) == 2


async def test_a_close_that_is_cancelled_leaves_nothing_behind(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path
) -> None:
    sandbox = await open_sandbox(latency=(20.0, 20.0))
    client = await connect(sandbox)
    outbox = Outbox(client, path)
    await outbox.__aenter__()
    await outbox.put(person(1))
    await until(lambda: sandbox.requests)
    ending = asyncio.create_task(outbox.close())
    await asyncio.sleep(0.1)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert all(task.done() for task in outbox._tasks)
    async with Outbox(client, path) as outbox:
        assert (await outbox.status()).waiting == 1
        assert await outbox.flush()


async def test_an_outcome_is_handed_over_again_where_its_consumer_failed(client: LeadConnector, path: Path) -> None:
    got: list[int] = []

    async def take(settled: Settled) -> None:
        got.append(settled.number)
        if len(got) < 3:
            raise ZeroDivisionError

    async with Outbox(client, path, on_outcome=take) as outbox:
        await outbox.put(person(1))
        assert await outbox.flush()
        with pytest.raises(ConfigurationError, match="on_outcome"):
            await anext(outbox.outcomes())
    assert got == [1, 1, 1]


async def test_an_outcome_is_yielded_until_the_next_one_is_asked_for(client: LeadConnector, path: Path) -> None:
    async with Outbox(client, path) as outbox:
        receipts = await outbox.put_many([person(number) for number in range(3)])
        assert await outbox.flush()
        async with aclosing(outbox.outcomes()) as outcomes:
            seen = [await anext(outcomes), await anext(outcomes)]
    async with Outbox(client, path, drain=False) as outbox, aclosing(outbox.outcomes()) as outcomes:
        seen += [await anext(outcomes), await anext(outcomes)]
    assert seen[1] == seen[2]
    assert {one.id for one in seen} == {one.id for one in receipts}


async def test_outcomes_that_nobody_asks_for_do_not_pile_up(
    client: LeadConnector, path: Path, clock: FakeClock
) -> None:
    async with Outbox(client, path, keep_keys=timedelta(minutes=5), keep_dead=timedelta(minutes=10)) as outbox:
        await outbox.put_many([*(person(number) for number in range(3)), REFUSED])
        assert await outbox.flush()
        assert (await outbox.status()).undelivered == 4
        await clock.sleep(370)
        assert ((await outbox.status()).undelivered, (await outbox.status()).dead_letters) == (0, 1)
        await clock.sleep(370)
        assert (await outbox.status()).dead_letters == 0


# ---------------------------------------------------------------------------------------------- dead letters


async def test_what_is_refused_is_a_dead_letter(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    settled: list[Settled] = []
    async with Outbox(client, path, on_outcome=settled.append) as outbox:
        refused = await outbox.put(REFUSED, key="k")
        await outbox.put(person(1))
        assert await outbox.flush()
        (letter,) = [letter async for letter in outbox.dead_letters()]
        assert (letter.id, letter.key, letter.location_id) == (refused.id, "k", LOCATION)
        assert letter.contact is not None
        assert letter.contact.first_name == "Refused"
        assert letter.outcome.error is not None
        assert letter.outcome.error.status in (400, 422)
        assert await outbox.retry([refused.id, 77]) == 1
        assert await outbox.flush()
        assert await ids_of_dead(outbox) == [refused.id]
        assert await outbox.drop([refused.id + 1]) == 0
        assert await outbox.drop() == 1
        status = await outbox.status()
        assert (status.dead_letters, status.waiting) == (0, 0)
    assert [one.outcome.status for one in settled].count("failed") == 2
    assert len({one.number for one in settled}) == 3


async def test_a_dead_letter_that_is_sent_again_goes_last(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    async with Outbox(client, path) as outbox:
        sandbox.fail_next("422-created")
        await outbox.put(person(1, firstName="Old"))
        assert await outbox.flush()
    async with Outbox(client, path, drain=False) as outbox:
        await outbox.put(person(1, firstName="New"))
        assert await outbox.retry() == 1
    async with Outbox(client, path) as outbox:
        assert await outbox.flush()
    assert [contact["firstName"] for contact in sandbox.contacts()] == ["Old"]


async def test_a_person_is_forgotten_also_where_the_load_has_read_ahead(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path
) -> None:
    sandbox = await open_sandbox(max_requests=5)
    client = await connect(sandbox)
    async with Outbox(client, path, max_waiting=1_000) as outbox, Outbox(client, path, drain=False) as elsewhere:
        await outbox.put(REFUSED)
        assert await outbox.flush()
        await outbox.put_many([person(number) for number in range(20)])
        await outbox.put_many([person(50, phone="+1 512 555 0100"), {"phone": "(512) 555-0100"}, REFUSED])
        await until(lambda: sandbox.requests >= 5)
        assert await elsewhere.forget(email=" P50@example.com", phone="512-555-0100") == 2
        assert await elsewhere.forget(email=REFUSED["email"]) == 2
        assert await outbox.flush()
        status = await outbox.status()
        assert (status.waiting, status.dead_letters) == (0, 0)
        with pytest.raises(UsageError):
            await outbox.forget()
    assert len(sandbox.contacts()) == 20
    assert not any(contact.get("phone") for contact in sandbox.contacts())
    assert sandbox.rate_limited == 0


# ---------------------------------------------------------------------------------------------- pauses


class Vault:
    """A token source whose token can be mended."""

    value = "wrong"

    async def token(self, location_id: str) -> str:
        return self.value

    async def refresh(self, location_id: str, refused: str) -> bool:
        return False


async def paused(outbox: Outbox, clock: FakeClock) -> dict[str, str]:
    while not (reasons := (await outbox.status()).paused):
        await clock.sleep(0.5)
    return reasons


async def test_a_refused_token_pauses_and_fails_nothing(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, clock: FakeClock
) -> None:
    sandbox, vault = await open_sandbox(), Vault()
    client = await connect(sandbox, token=vault)
    async with Outbox(client, path) as outbox, Outbox(client, path, drain=False) as elsewhere:
        await outbox.put_many([person(number) for number in range(30)])
        assert "401" in str(await paused(outbox, clock)) or "nvalid" in str(await paused(outbox, clock))
        assert await paused(elsewhere, clock)
        await clock.sleep(300)
        assert (await outbox.status()).waiting == 30
        assert sandbox.requests < 30  # it asks now and then
        vault.value = "sandbox"
        assert await outbox.flush()
        assert (await outbox.status()).paused == {}
        assert await ids_of_dead(outbox) == []
    assert len(sandbox.contacts()) == 30


async def test_a_refused_location_waits_while_others_go_on(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(locations=["open"])
    client = await connect(sandbox, location_id="open")
    async with Outbox(client, path) as outbox:
        await outbox.put_many([Put(person(number), location_id="shut") for number in range(5)])
        await outbox.put_many([person(number) for number in range(300)])
        assert "shut" in await paused(outbox, clock)
        while len(sandbox.contacts("open")) < 300:
            await clock.sleep(1)
        before = sandbox.requests
        await clock.sleep(300)
        assert 1 <= sandbox.requests - before <= 30
        assert ((await outbox.status()).waiting, await ids_of_dead(outbox)) == (5, [])
        sandbox.allow_locations(None)
        assert await outbox.flush(300)
        assert (await outbox.status()).paused == {}
    assert len(sandbox.contacts("shut")) == 5
    assert sandbox.rate_limited == 0


async def test_an_outage_of_hours_fails_nothing(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, retry=RetryPolicy(max_outage=100))
    async with Outbox(client, path) as outbox:
        sandbox.fail_next("503-html", times=100_000)
        await outbox.put_many([person(number) for number in range(10)])
        assert "503" in (await paused(outbox, clock))[""]
        await clock.sleep(1_000)
        assert (await outbox.status()).waiting == 10
        sandbox._faults._script.clear()
        assert await outbox.flush(120)
    assert len(sandbox.contacts()) == 10


async def test_a_service_that_was_never_reached_is_waited_for(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, clock: FakeClock
) -> None:
    sandbox = await open_sandbox()
    port = int(sandbox.url.rpartition(":")[2])
    await sandbox.stop()
    client = await connect(sandbox.url)
    async with Outbox(client, path) as outbox:
        await outbox.put(person(1))
        assert await paused(outbox, clock)
        await clock.sleep(300)  # a load of rows stops after thirty seconds
        assert (await outbox.status()).waiting == 1
        again = await open_sandbox(port=port)
        assert await outbox.flush(120)
    assert len(again.contacts()) == 1


async def test_a_spent_day_is_waited_out(
    open_sandbox: OpenSandbox, connect: OpenSandbox, path: Path, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(daily=10)
    client = await connect(sandbox)
    async with Outbox(client, path) as outbox:
        await outbox.put_many([person(number) for number in range(15)])
        assert "day" in (await paused(outbox, clock))[LOCATION]
        clock.now += 86_300  # rather than wait for a day, looking into the file all the time
        assert await outbox.flush(600)
    assert len(sandbox.contacts()) == 15
    assert sandbox.rate_limited == 0


# ---------------------------------------------------------------------------------------------- the file


async def test_the_file_is_private_and_flushed_with_each_commit(client: LeadConnector, path: Path) -> None:
    mask = os.umask(0)
    try:
        async with Outbox(client, path, drain=False) as outbox:
            await outbox.put(person(1))
            store = outbox._file
            assert store is not None
            values = [store._db.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
            assert values == [("wal",), (2,)]
            assert store._db.execute("PRAGMA secure_delete").fetchone() == (1,)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(mask)
    assert len(modes) == 5
    assert set(modes.values()) == {0o600}


async def test_what_was_sent_is_not_left_in_the_file(client: LeadConnector, path: Path) -> None:
    async with Outbox(client, path) as outbox:
        await outbox.put_many([person(number, firstName=f"Secretname{number}") for number in range(50)])
        assert await outbox.flush()
    assert b"Secretname" not in path.read_bytes()  # noqa: ASYNC240
    assert [file.name for file in path.parent.iterdir() if "wal" in file.name] == []


def edit(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement, values)
        db.commit()


async def test_a_newer_file_is_refused_and_left_alone(client: LeadConnector, path: Path) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        await outbox.put(person(1))
    edit(path, "PRAGMA user_version = 2")
    before = path.read_bytes()  # noqa: ASYNC240
    with pytest.raises(ConfigurationError, match="was made by a newer version"):
        await Outbox(client, path).__aenter__()
    assert path.read_bytes() == before  # noqa: ASYNC240


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all" * 400)


def another_database(path: Path) -> None:
    edit(path, "CREATE TABLE mine (x)")


def cut_off(path: Path) -> None:
    edit(path, "CREATE TABLE mine (x)")
    path.write_bytes(path.read_bytes()[:5000])


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [no_database, another_database, cut_off, a_folder, a_link])
async def test_what_is_no_outbox_is_refused(client: LeadConnector, path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    with pytest.raises(ConfigurationError, match=f"^{path}: "):
        await Outbox(client, path).__aenter__()


async def test_a_folder_that_is_not_there_is_told(client: LeadConnector, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be opened \(No such file"):
        await Outbox(client, tmp_path / "missing" / "outbox.sqlite3").__aenter__()


async def test_an_entry_that_cannot_be_read_is_a_dead_letter(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        receipts = await outbox.put_many([person(number) for number in range(3)])
    edit(path, "UPDATE entries SET content = substr(content, 1, 20) WHERE place = ?", receipts[1].id)
    async with Outbox(client, path) as outbox:
        assert await outbox.flush()
        (letter,) = [letter async for letter in outbox.dead_letters()]
    assert (letter.id, letter.contact, letter.outcome.status) == (receipts[1].id, None, "failed")
    assert "cannot be read" in str(letter.outcome.error)
    assert len(sandbox.contacts()) == 2


@pytest.mark.parametrize("taken", [1, 4, 5])
async def test_an_entry_that_was_taken_five_times_is_given_up(
    client: LeadConnector, sandbox: Sandbox, path: Path, taken: int
) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        await outbox.put(person(1))
    edit(path, "UPDATE entries SET taken = ?", taken)
    async with Outbox(client, path) as outbox:
        assert await outbox.flush()
        assert len(await ids_of_dead(outbox)) == (taken == 5)
        assert len(sandbox.contacts()) == (taken < 5)
        if taken == 5:  # a person has looked at it, and wants it to be tried
            assert await outbox.retry() == 1
            assert await outbox.flush()
            assert len(sandbox.contacts()) == 1


async def test_a_create_in_doubt_is_sent_again_only_where_that_is_wanted(
    client: LeadConnector, sandbox: Sandbox, path: Path
) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        await outbox.put(person(1, createNewIfDuplicateAllowed=True))
    edit(path, "UPDATE entries SET taken = 1")
    async with Outbox(client, path) as outbox:
        assert await outbox.flush()
        (letter,) = [letter async for letter in outbox.dead_letters()]
        assert (letter.outcome.status, sandbox.requests) == ("unknown", 0)
        assert await outbox.retry() == 0
        assert await outbox.retry([letter.id], with_unknown=True) == 1
        assert await outbox.flush()
    assert len(sandbox.contacts()) == 1


async def test_a_create_whose_answer_was_lost_is_unknown(client: LeadConnector, sandbox: Sandbox, path: Path) -> None:
    settled: list[Settled] = []
    async with Outbox(client, path, on_outcome=settled.append) as outbox:
        sandbox.fail_next("reset-after")
        await outbox.put(person(1, createNewIfDuplicateAllowed=True))
        assert await outbox.flush()
        assert len(await ids_of_dead(outbox)) == 1
    assert [one.outcome.status for one in settled] == ["unknown"]


async def test_what_cannot_be_written_is_not_acknowledged(client: LeadConnector, path: Path) -> None:
    async with Outbox(client, path, drain=False) as outbox:
        await outbox.put(person(0))
        store = outbox._file
        assert store is not None
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        results = await asyncio.gather(
            *(outbox.put(person(number, firstName="x" * 200)) for number in range(100)), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, JournalError)]
        assert "the outbox cannot be written (database or disk is full)" in str(refused[0])
        store._db.execute("PRAGMA max_page_count = 100000").fetchall()
        assert (await outbox.status()).waiting == 101 - len(refused)
        await outbox.put(person(200))
        path.rename(path.with_name("moved"))  # noqa: ASYNC240
        with pytest.raises(JournalError, match="the outbox is gone"):
            await outbox.put(person(201))
        path.with_name("moved").rename(path)
        await outbox.put(person(202))


async def test_a_clock_that_is_set_back_loses_nothing(
    client: LeadConnector, sandbox: Sandbox, path: Path, clock: FakeClock
) -> None:
    settled: list[Settled] = []
    async with Outbox(client, path, on_outcome=settled.append) as outbox:
        await outbox.put(person(1), key="k")
        assert await outbox.flush()
        clock.wall_ahead -= 1_000_000
        assert (await outbox.put(person(1), key="k")).is_duplicate
        await outbox.put(person(2))
        assert await outbox.flush()
    async with Outbox(client, path) as outbox:
        await outbox.put(person(3))
        assert (await outbox.status()).oldest in (None, 0.0)
        assert await outbox.flush()
    assert len(sandbox.contacts()) == 3


async def test_logs_name_nobody(client: LeadConnector, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Settled) -> None:
        raise ValueError("p1@example.com")

    caplog.set_level(logging.DEBUG, "leadconnector_async.ingest")
    async with Outbox(client, path, on_outcome=fail) as outbox:
        await outbox.put_many(
            [person(1), REFUSED],
        )
        await outbox.flush(10)
    assert caplog.messages
    assert "example.com" not in caplog.text
    assert REFUSED["email"] not in caplog.text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "redis://localhost"}, "kept in a file"),
        ({"max_waiting": 0}, "at least 1"),
        ({"when_full": "drop"}, "'wait' or 'raise'"),
        ({"name": ""}, "name"),
        ({"drain": False, "on_outcome": print}, "drain"),
    ],
)
async def test_wrong_use_is_told(client: LeadConnector, path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Outbox(client, **{"target": path, **options})
    assert not path.exists()  # noqa: ASYNC240
