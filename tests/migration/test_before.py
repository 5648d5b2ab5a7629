"""What locations held before a load: read by pages or by rows, found as an upsert finds it, kept and gone on with."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.bulk.pool import Pool
from leadconnector_async.errors import (
    ConfigurationError,
    DailyQuotaExceededError,
    JournalError,
    LeadConnectorError,
    StopRequestedError,
)
from leadconnector_async.migration.before import LocationRead, StoredContacts
from leadconnector_async.migration.inventory import Inventory
from leadconnector_async.migration.mapping.rows import RowFile, open_row_file
from leadconnector_async.migration.matching import MatchRule
from leadconnector_async.models import ContactUpsert
from leadconnector_async.models.identity import Identity
from leadconnector_async.models.search import FoundContact
from leadconnector_async.models.wire import read_contact
from leadconnector_async.run.database import Database
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.kept_rows import keep


@contextmanager
def open_stored(path: Path | None = None) -> Iterator[StoredContacts]:
    with Database(path) as file:
        yield StoredContacts(file)


def rows(path: Path, *lines: str, header: str = "email,phone") -> list[RowFile]:
    path.write_text("\n".join([header, *lines, ""]))
    return [open_row_file(path)]


def who(email: str = "", phone: str = "", *, location: str = LOCATION) -> Identity:
    return Identity(email and f"{location} {email}", phone and f"{location} {phone}")


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.glob("run.sqlite3*")}


async def read(
    client: LeadConnector, stored: StoredContacts, files: list[RowFile], *, waits: bool = False, **options: Any
) -> list[str]:
    told: list[str] = []
    pool = Pool(client, waits_for_quota=waits)
    inventory = Inventory(client, stored, keep(files, stored._file), pool=pool, limit=RateLimit(), tell=told.append)
    await inventory.run(options.pop("stop", asyncio.Event()), **options)
    assert stored.is_finished
    return told


def fill(sandbox: Sandbox, count: int) -> None:
    for number in range(count):
        sandbox.add_contact(LOCATION, email=f"there{number}@x.de", city="Bonn")


def found_id(stored: StoredContacts, identity: Identity, location: str = LOCATION) -> str | None:
    found = stored.find(location, identity)
    return None if found is None else found.contact_id


@pytest.mark.parametrize("way", ["pages", "rows"])
async def test_contacts_are_found_as_an_upsert_finds_them(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path, way: str
) -> None:
    a = (await client.contacts.upsert({"email": "A@x.de", "phone": "+49 30 123456", "city": "Bonn"})).contact
    b = (await client.contacts.upsert({"phone": "+1 617 555 0100"})).contact
    if way == "rows":
        fill(sandbox, 3000)  # so that looking up six rows is cheaper than seven pages
    lines = [
        "a@x.de,",
        ",+493012345 6",
        "a@x.de,+16175550100",
        "new@x.de,+16175550100",
        "new@x.de,+16175550199",
        "A@x.de,",
    ]
    with open_stored(tmp_path / "run.sqlite3") as stored:
        told = await read(client, stored, rows(tmp_path / "a.csv", *lines))
        assert stored.location(LOCATION).way == way
        assert ("to look up" in told[0]) == (way == "rows")
        assert found_id(stored, who("a@x.de")) == found_id(stored, who(phone="493012345" + "6")) == a.id
        assert found_id(stored, who("new@x.de", "16175550100")) == b.id
        assert found_id(stored, who("new@x.de", "16175550199")) is None
        both = stored.find(LOCATION, who("a@x.de", "16175550100"))
        assert both is not None
        assert (both.contact_id, both.field, both.contact.city) == (a.id, "email", "Bonn")
        held = stored.holder(who("a@x.de", "16175550100"), "phone")
        assert held is not None
        assert held.contact_id == b.id
        asked = stored.get(LOCATION, b.id)
        assert asked is not None
        assert asked.contact.phone == "+16175550100"
        assert stored.get(LOCATION, "nobody") is None
        assert stored.count == 2


async def test_the_location_decides_what_is_looked_for_first(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    client = await connect(await open_sandbox(unique_identifiers=("phone", "email")))
    await client.contacts.upsert({"email": "a@x.de"})
    b = (await client.contacts.upsert({"phone": "+16175550100"})).contact
    with open_stored() as stored:
        await read(client, stored, rows(tmp_path / "a.csv", "a@x.de,+16175550100"))
        found = stored.find(LOCATION, who("a@x.de", "16175550100"))
        assert found is not None
        assert (found.contact_id, found.field) == (b.id, "phone")


async def test_a_number_without_country_is_read_as_of_the_location(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    client = await connect(await open_sandbox(country="DE"))
    there = (await client.contacts.upsert({"phone": "030 123456"})).contact
    assert there.phone == "+4930123456"
    with open_stored() as stored:
        await read(client, stored, rows(tmp_path / "a.csv", ",030/123456"))
        identity = stored.identify(ContactUpsert(phone="030/123456"), LOCATION)
        assert found_id(stored, identity) == there.id


async def test_one_look_up_a_row_is_enough_unless_email_and_phone_are_of_two_people(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    await client.contacts.upsert({"email": "a@x.de", "phone": "+16175550100"})
    await client.contacts.upsert({"email": "b@x.de", "phone": "+16175550101"})
    fill(sandbox, 4000)
    lines = ["a@x.de,+16175550100", "b@x.de,+16175550100", "c@x.de,+16175550109", "a@x.de,", "c@x.de,"]
    asked: list[object] = []
    find = client.contacts.find_duplicate

    async def count(**sought: Any) -> Any:
        asked.append(sought)
        return await find(**sought)

    client.contacts.find_duplicate = count  # type: ignore[method-assign]
    with open_stored() as stored:
        await read(client, stored, rows(tmp_path / "a.csv", *lines), concurrency=1)
        assert len(asked) == 3  # the phone of the second row is known from the first by then
        assert stored.count == 2


async def test_several_locations_are_kept_apart(client: LeadConnector, tmp_path: Path) -> None:
    there = {}
    for location in ("ve9EPM428h8vShlRW1K1", "ve9EPM428h8vShlRW1K2"):
        result = await client.contacts.upsert({"email": "a@x.de", "location_id": location})
        there[location] = result.contact.id
    files = rows(tmp_path / "a.csv", *(f"a@x.de,{name}" for name in [*there, LOCATION]), header="email,locationId")
    with open_stored() as stored:
        told = await read(client, stored, files)
        assert len(told) == 3
        for location, contact_id in there.items():
            assert found_id(stored, who("a@x.de", location=location), location) == contact_id
        assert found_id(stored, who("a@x.de")) is None


async def test_what_was_read_is_kept_for_its_owner_alone_and_not_read_again(
    client: LeadConnector, tmp_path: Path
) -> None:
    await client.contacts.upsert({"email": "a@x.de", "city": "Bonn"})
    path, files = tmp_path / "run.sqlite3", rows(tmp_path / "a.csv", "a@x.de,", "b@x.de,")
    with open_stored(path) as stored:
        await read(client, stored, files)
        assert modes(tmp_path) == {0o600}
    await client.contacts.upsert({"email": "b@x.de"})
    await client.contacts.upsert({"email": "a@x.de", "city": "Ulm"})
    with open_stored(path) as stored:
        assert await read(client, stored, files) == []
        found = stored.find(LOCATION, who("a@x.de"))
        assert found is not None
        assert found.contact.city == "Bonn"
        assert stored.find(LOCATION, who("b@x.de")) is None


async def test_a_reading_that_is_stopped_goes_on_where_it_was(
    sandbox: Sandbox, client: LeadConnector, tmp_path: Path
) -> None:
    fill(sandbox, 1700)
    path, stop = tmp_path / "run.sqlite3", asyncio.Event()
    files = rows(tmp_path / "a.csv", *(f"there{number}@x.de," for number in range(1700)))
    with open_stored(path) as stored:
        inventory = Inventory(
            client,
            stored,
            keep(files, stored._file),
            pool=Pool(client),
            limit=RateLimit(),
            tell=lambda _: None,
            on_progress=lambda _: stop.set(),
        )
        with pytest.raises(StopRequestedError):
            await inventory.run(stop)
        assert not stored.is_finished
        assert stored.count == 500
    with open_stored(path) as stored:
        before = client.calls_left_today() or 0
        assert await read(client, stored, files) == []
        assert before - (client.calls_left_today() or 0) <= 4  # and not those of the page that was read
        assert stored.count == 1700


async def test_a_spent_day_ends_the_reading_and_the_next_one_goes_on(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    sandbox = await open_sandbox(daily=6)
    client = await connect(sandbox)
    await client.contacts.upsert({"email": "a@x.de"})
    files = rows(tmp_path / "a.csv", *(f"{name}@x.de," for name in "abcdefgh"))
    with open_stored(tmp_path / "run.sqlite3") as stored:
        stored.begin(LOCATION, LocationRead(rule=MatchRule(), way="rows"))
        with pytest.raises(DailyQuotaExceededError):
            await read(client, stored, files)
    with open_stored(tmp_path / "run.sqlite3") as stored:
        await read(client, stored, files, waits=True)
        assert found_id(stored, who("a@x.de")) is not None
        assert not any(stored.lacks(who(f"{name}@x.de"), "email") for name in "abcdefgh")


async def test_a_call_that_fails_ends_the_reading(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    client = await connect(await open_sandbox(faults={"500": 1.0}))
    with open_stored() as stored:
        with pytest.raises(LeadConnectorError):
            await read(client, stored, rows(tmp_path / "a.csv", "a@x.de,"))
        assert not stored.is_finished


def test_a_file_that_is_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite3"
    path.write_text("no database, but a text that is long enough to be looked at" * 20)
    with (
        pytest.raises(ConfigurationError, match=r"run\.sqlite3: is not a run of leadconnector-async"),
        open_stored(path),
    ):
        pass


def test_a_record_that_is_not_as_it_was_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite3"
    contact = read_contact(b'{"id": "c1", "email": "a@x.de"}', FoundContact, "found")
    with open_stored(path) as stored:
        stored.begin(LOCATION, LocationRead(rule=MatchRule()))
        stored.add_page(LOCATION, [contact], None)
        found = stored.find(LOCATION, who("a@x.de"))
        assert found is not None
        assert found.contact.email == "a@x.de"
        ((raw,),) = stored._file.read("SELECT raw FROM before_contacts")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.create_function("note_change", -1, lambda *_: None)
        db.execute("UPDATE before_contacts SET raw = ?", (raw[:-1] + bytes([raw[-1] ^ 1]),))
    with pytest.raises((ConfigurationError, JournalError), match="damaged"), open_stored(path) as stored:
        stored.find(LOCATION, who("a@x.de"))
