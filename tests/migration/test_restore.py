"""Undoing a load that kept a snapshot: the location is what it was before, whatever the rows, repeats and faults; and
what somebody changed since is left alone."""

from __future__ import annotations

import asyncio
import copy
import csv
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async import (
    Contact,
    ContactUpsert,
    CustomFieldValue,
    DndSetting,
    DndSettings,
    InboundDndSetting,
    InboundDndSettings,
    LeadConnector,
    RateLimit,
    RetryPolicy,
)
from leadconnector_async.bulk.pool import Pool
from leadconnector_async.bulk.report import BatchReport
from leadconnector_async.bulk.traces import Trace, Written, trace_of
from leadconnector_async.migration.before import Snapshot, StoredContacts
from leadconnector_async.migration.inventory import Inventory, complete_contacts
from leadconnector_async.migration.load import FileLoad
from leadconnector_async.migration.mapping.directories import fetch_fields
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import open_row_file
from leadconnector_async.migration.report.files import Results
from leadconnector_async.migration.restore import Restore, assume_met
from leadconnector_async.migration.restoring import Sent, fields_changed, find_restoration
from leadconnector_async.migration.tagging import TagStep
from leadconnector_async.migration.undo import Undo, read_created
from leadconnector_async.migration.undone import Undone, UndoRecords
from leadconnector_async.migration.verify import Meetings, group_by_contact, note_end
from leadconnector_async.models.search import FoundContact
from leadconnector_async.models.wire import read_contact
from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import RUN_FILE
from leadconnector_async.run.journal import Journal
from leadconnector_async.run.rows import Rows
from leadconnector_async.sandbox import Sandbox, search
from leadconnector_async.sandbox.books import Records
from leadconnector_async.sandbox.shapes import FOUND
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.kept_rows import keep

CUSTOM = {"Nickname": "custom:nickname", "Interests": "custom:interests", "Score": "custom:score"}
QUICK = RateLimit(max_requests=10_000, per_seconds=1.0, daily=None)
NAMES = ("", "Ann", "Bo Lee")
COLUMNS: dict[str, Sequence[str]] = {
    "email": ("", "a@x.example", "b@x.example", "c@x.example", "d@x.example"),
    "phone": ("", "", "+16175550101", "+16175550102", "+16175550103"),
    "firstName": NAMES,
    "lastName": NAMES,
    "name": ("", "", "Kim Roe"),
    "address1": ("", "1 Main St"),
    "city": ("", "Rome", "Bonn"),
    "postalCode": ("", "02134"),
    "country": ("", "DE"),
    "website": ("", "https://a.example"),
    "timezone": ("", "Europe/Rome"),
    "companyName": ("", "Acme", "Byte"),
    "source": ("", "crm"),
    "dateOfBirth": ("", "1990-09-25", "1991-01-02"),
    "tags": ("", "vip", "new;vip", "Old"),
    "Nickname": ("", "Nan", "Bob"),
    "Interests": ("", "Music", "Sport;Music"),
    "Score": ("", "1", "2.5"),
}
one_row = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in COLUMNS.items()})
existing = st.lists(one_row.filter(lambda row: bool(row["email"] or row["phone"])), max_size=5)


def write(path: Path, rows: Sequence[dict[str, str]], more: Sequence[str] | dict[str, str] = ()) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *more], restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


class Run:
    """A load with a snapshot, and its undo."""

    def __init__(
        self,
        client: LeadConnector,
        folder: Path,
        *,
        adds_tags: bool = True,
        clears: bool = False,
        more: dict[str, str] | None = None,
    ) -> None:
        self._client = client
        self._folder = folder
        self._adds_tags = adds_tags
        self._clears = clears
        self._more = more or {}
        self.when_kept: Callable[[], None] = lambda: None
        self.report = BatchReport()

    async def load(self, rows: Sequence[dict[str, str]]) -> None:
        meaning = Meaning(
            columns=CUSTOM | self._more,
            empties_fields=self._clears,
            empties_tags=not self._adds_tags,
            fields=await fetch_fields(self._client),
        )
        with Database(self._folder / RUN_FILE) as file:
            files = keep([open_row_file(write(self._folder / "rows.csv", rows, self._more), meaning)], file)
            stored = StoredContacts(file)
            snapshot, limit, pool = Snapshot(file, stored), RateLimit(), Pool(self._client)
            await Inventory(self._client, stored, files, pool=pool, limit=limit, tell=lambda _: None).run(
                asyncio.Event()
            )
            await complete_contacts(self._client, snapshot, stored, files, fields_changed, asyncio.Event(), pool=pool)
            self.when_kept()
            journal, results = Journal(file), Results(self._folder, files)
            steps = [TagStep(file)] if self._adds_tags else []
            load = FileLoad(files, results, journal, steps=steps)
            self.report = await load.run(self._client, asyncio.Event(), wait_for_quota=True, on_outcome=lambda _: None)
            note_end(journal, self._client)

    async def undo(self, client: LeadConnector, *, is_forced: bool = False) -> list[Undone]:
        with ExitStack() as opened:
            file = opened.enter_context(Database(self._folder / RUN_FILE))
            files, journal, records, stored = Rows(file).files(), Journal(file), UndoRecords(file), StoredContacts(file)
            snapshot = Snapshot(file, stored)
            told = list(assume_met(files, journal.outcomes(), stored, LOCATION))
            meetings = opened.enter_context(Meetings(told))
            created = [one for one in read_created(journal) if not snapshot.was_there(LOCATION, one.contact_id)]
            pool = Pool(client)
            work = Undo(client, records, journal, pool, is_forced=is_forced)
            assert await work.run(created, asyncio.Event(), concurrency=4) is None
            groups = group_by_contact(files, told, meetings, None, adds_tags=self._adds_tags)
            restore = Restore(client, records, snapshot, journal, pool, adds_tags=self._adds_tags, is_forced=is_forced)
            assert await restore.run(groups, asyncio.Event(), concurrency=4) is None
            return list(records.all())


def state_of(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """All contacts, but for when they were changed."""
    contacts = copy.deepcopy(sandbox.contacts(LOCATION))
    for contact in contacts:
        contact.pop("dateUpdated")
        contact["customFields"].sort(key=lambda field: field["id"])
    return {contact["id"]: contact for contact in contacts}


async def fill(client: LeadConnector, folder: Path, rows: Sequence[dict[str, str]]) -> None:
    """Have a location hold contacts."""
    meaning = Meaning(columns=CUSTOM, fields=await fetch_fields(client))
    for row in open_row_file(write(folder / "before.csv", rows), meaning).rows():
        await client.contacts.upsert(row.contact)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    before=existing,
    rows=st.lists(one_row, max_size=8),
    adds_tags=st.booleans(),
    clears=st.booleans(),
    faults=st.dictionaries(st.sampled_from(["500", "429", "reset-before", "503-html"]), st.just(0.1), max_size=2),
    identifiers=st.sampled_from([("email", "phone"), ("phone", "email"), ("email",)]),
    seed=st.integers(0, 99),
)
async def test_a_location_is_what_it_was_before_whatever_was_loaded(
    before: list[dict[str, str]],
    rows: list[dict[str, str]],
    adds_tags: bool,
    clears: bool,
    faults: dict[str, float],
    identifiers: tuple[str, ...],
    seed: int,
) -> None:
    clock = FakeClock()
    clocks = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            clock.jumping(),
            Sandbox(unlimited=True, seed=seed, unique_identifiers=identifiers, **clocks) as sandbox,
            LeadConnector(
                "sandbox", location_id=LOCATION, base_url=sandbox.url, clock=clock, rate_limit=QUICK
            ) as client,
        ):
            await fill(client, folder, before)
            was = state_of(sandbox)
            await clock.sleep(60)
            sandbox._faults._chances = dict(faults)
            run = Run(client, folder, adds_tags=adds_tags, clears=clears)
            await run.load(rows)
            await clock.sleep(60)
            told = await run.undo(client)
            sandbox._faults._chances = {}
            assert state_of(sandbox) == was, told
            assert {undone.status for undone in told} <= {"deleted", "restored", "same"}


@pytest.fixture
async def client(sandbox: Sandbox, connect: OpenSandbox) -> LeadConnector:
    opened: LeadConnector = await connect(sandbox, rate_limit=QUICK)
    return opened


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> Sandbox:
    started: Sandbox = await open_sandbox(unlimited=True)
    return started


AT = "2026-01-01T00:00:10.000Z"


def left_by_run(now: Contact, sent: ContactUpsert) -> Trace:
    """Have a contact be as the run left it."""
    now.date_updated = AT
    return trace_of(Written(sent, now, None))


def row(**cells: str) -> dict[str, str]:
    return cells


async def test_what_somebody_changed_since_is_left_alone_and_told_unless_forced(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> None:
    await fill(
        client, tmp_path, [row(email="a@x.example", city="Rome", companyName="Acme", tags="vip", Nickname="Nan")]
    )
    was = state_of(sandbox)
    (contact_id,) = was
    run = Run(client, tmp_path)
    await run.load(
        [row(email="a@x.example", city="Bonn", companyName="Byte", firstName="Ann", tags="new", Nickname="Bob")]
    )
    await client.contacts.update(contact_id, {"city": "Oslo", "tags": ["vip", "new", "theirs"]})
    (told,) = await run.undo(client)
    assert (told.status, told.detail) == ("partly", "city: it changed since the run, and holds 'Oslo' now")
    now = await client.contacts.get(contact_id)
    assert (now.city, now.company_name, now.first_name, now.tags) == ("Oslo", "Acme", None, ["vip", "theirs"])
    (told,) = await run.undo(client, is_forced=True)
    assert told.status == "restored"
    await client.contacts.update(contact_id, {"tags": ["vip"]})
    assert state_of(sandbox) == was


def test_a_value_that_came_in_another_form_before_has_not_changed() -> None:
    sent = Sent(rows=[ContactUpsert(city="Oslo", country="DE")], adds_tags=True)
    before = Contact(id="x", city="Bonn ", country="us")
    now = Contact(id="x", city="Bonn", country="US")
    found = find_restoration(before, now, sent)  # the service took nothing of the row
    assert (found.changes, found.left) == ({}, [])


async def test_the_state_before_the_first_of_several_rows_counts(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    await fill(client, tmp_path, [row(email="a@x.example", city="Rome", website="https://a.example")])
    was = state_of(sandbox)
    run = Run(client, tmp_path, clears=True)
    await run.load([row(email="a@x.example", city=city) for city in ("Bonn", "", "Oslo")])
    assert state_of(sandbox) != was
    assert [told.status for told in await run.undo(client)] == ["restored"]
    assert state_of(sandbox) == was


async def test_contacts_that_have_each_others_email_get_their_own_back(
    connect: OpenSandbox, sandbox: Sandbox, tmp_path: Path
) -> None:
    client = await connect(sandbox, rate_limit=QUICK, concurrency=1)  # so that rows are applied in their order
    one, other = "+16175550101", "+16175550102"
    await fill(client, tmp_path, [row(email="a@x.example", phone=one), row(email="b@x.example", phone=other)])
    was = state_of(sandbox)
    run = Run(client, tmp_path)
    chain = [("c@x.example", one), ("a@x.example", other), ("b@x.example", one)]
    await run.load([row(email=email, phone=phone) for email, phone in chain])
    emails = [contact["email"] for contact in state_of(sandbox).values()]
    assert emails == [contact["email"] for contact in reversed(was.values())]
    assert {told.status for told in await run.undo(client)} == {"restored"}
    assert state_of(sandbox) == was


async def test_a_contact_that_rows_meet_by_what_an_earlier_row_gave_it_is_read_whole(
    connect: OpenSandbox, sandbox: Sandbox, tmp_path: Path
) -> None:
    client = await connect(sandbox, rate_limit=QUICK, concurrency=1)  # so that rows are applied in their order
    one, other = "+16175550101", "+16175550102"
    await fill(client, tmp_path, [row(email="a@x.example", phone=one)])
    was = state_of(sandbox)
    run = Run(client, tmp_path)
    new, born = row(email="new@x.example", phone=one), {"city": "Bonn", "dateOfBirth": "1990-01-02"}
    await run.load([new, row(email="new@x.example", phone=other), row(phone=other, **born)])
    assert {told.status for told in await run.undo(client)} == {"restored"}
    assert state_of(sandbox) == was


async def test_an_email_that_somebody_else_has_now_is_told_and_the_rest_goes_back(
    client: LeadConnector, tmp_path: Path
) -> None:
    await fill(client, tmp_path, [row(email="a@x.example", phone="+16175550101", city="Rome")])
    run = Run(client, tmp_path)
    await run.load([row(email="b@x.example", phone="+16175550101", city="Bonn")])
    taker = await client.contacts.create({"email": "a@x.example"})
    (told,) = await run.undo(client)
    assert (told.status, told.detail) == ("partly", "email: another contact has it now")
    now = await client.contacts.get(told.contact_id)
    assert (now.email, now.city) == ("b@x.example", "Rome")
    await client.contacts.delete(taker.id)
    assert [told.status for told in await run.undo(client)] == ["restored"]
    assert (await client.contacts.get(told.contact_id)).email == "a@x.example"


async def test_what_a_search_leaves_out_is_read_whole_and_does_not_pass_for_empty(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(email=f"p{n}@x.example", website="https://a.example", companyName="Acme") for n in range(3)]
    await fill(client, tmp_path, rows)
    was = state_of(sandbox)
    names = tuple(name for name in FOUND.names if name not in ("website", "companyName"))
    monkeypatch.setattr(search, "FOUND", msgspec.structs.replace(FOUND, names=names))
    run = Run(client, tmp_path)
    await run.load([row(email=f"p{n}@x.example", website="https://b.example", companyName="Byte") for n in range(3)])
    assert [told.status for told in await run.undo(client)] == ["restored"] * 3
    assert state_of(sandbox) == was


@pytest.mark.parametrize(("more", "calls"), [({}, 0), ({"timezone": "Europe/Rome"}, 3)])
async def test_what_a_search_tells_under_other_names_and_in_other_forms_is_not_read_once_more(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, more: dict[str, str], calls: int
) -> None:
    people = [{"email": f"p{n}@x.example", "name": f"Kim{n} McRoe"} for n in range(3)]
    await fill(client, tmp_path, [row(**one, address1="1 Main St", dateOfBirth="1965-09-25") for one in people])
    was = state_of(sandbox)
    before = len(sandbox.arrivals)
    read: list[str] = []
    run = Run(client, tmp_path)
    run.when_kept = lambda: read.extend(one.path for one in list(sandbox.arrivals)[before:] if one.method == "GET")
    changed = [{**one, "name": "Bo Lee", "address1": "2 Side St", "dateOfBirth": "1991-01-02"} for one in people]
    await run.load([row(**one, **more) for one in changed])
    assert sum(path.startswith("/contacts/") for path in read) == calls
    assert [told.status for told in await run.undo(client)] == ["restored"] * 3
    assert state_of(sandbox) == was


async def test_a_contact_that_was_there_is_restored_where_its_row_passes_for_new_or_failed(
    connect: OpenSandbox, sandbox: Sandbox, tmp_path: Path
) -> None:
    client = await connect(sandbox, rate_limit=QUICK, retry=RetryPolicy(max_attempts=2, first_delay=0.1))
    await fill(client, tmp_path, [row(email=f"p{n}@x.example", city="Rome") for n in range(30)])
    was = state_of(sandbox)  # just now: dateAdded cannot tell whether the load has made them
    run = Run(client, tmp_path)
    run.when_kept = lambda: sandbox._faults._chances.update({"reset-after": 0.5, "422-created": 0.2})
    await run.load([row(email=f"p{n}@x.example", city="Bonn") for n in range(30)])
    sandbox._faults._chances.clear()
    assert run.report.created > 0
    assert run.report.failed > 0
    assert {told.status for told in await run.undo(client)} == {"restored"}
    assert state_of(sandbox) == was


def test_wishes_go_back_by_channel_and_fields_that_nobody_can_change_are_told() -> None:
    active, permanent = DndSetting(status="active"), DndSetting(status="permanent")
    before = Contact(id="x", gender="female", dnd_settings=DndSettings(sms=permanent))
    now = Contact(id="x", gender="male", dnd=True, dnd_settings=DndSettings(sms=active, email=active, call=active))
    sent = ContactUpsert(gender="male", dnd=True, dnd_settings=DndSettings(sms=active, email=active))
    trace = left_by_run(now, sent)
    found = find_restoration(before, now, Sent(rows=[sent], adds_tags=True), trace=trace)
    assert found.changes == {
        "dnd": False,
        # The service may replace all channels by those that are sent, so that the others go along.
        "dnd_settings": {"SMS": {"status": "active"}, "Call": {"status": "active"}, "Email": {"status": "inactive"}},
    }
    assert [(left.field, left.is_lost) for left in found.left] == [("gender", True), ("dnd_settings.SMS", True)]


def test_a_channel_that_was_closed_in_a_way_that_cannot_be_sent_is_closed_again() -> None:
    opened, strange = DndSetting(status="inactive"), DndSetting(status="paused", message="m")
    before = Contact(id="x", dnd_settings=DndSettings(sms=strange))
    sent = Sent(
        rows=[ContactUpsert(dnd_settings=DndSettings(sms=opened, email=DndSetting(status="active")))], adds_tags=True
    )
    found = find_restoration(before, Contact(id="x", dnd_settings=DndSettings(sms=opened)), sent)
    assert found.changes == {"dnd_settings": {"SMS": {"status": "active", "message": "m"}}}
    assert [(left.field, left.is_lost) for left in found.left] == [("dnd_settings.SMS", True)]


def test_nothing_is_opened_where_another_channel_cannot_be_sent_along() -> None:
    raw = b'{"id":"x","dndSettings":{"Email":{"status":"active"},"Telegram":{"status":"active"}}}'
    sent = Sent(rows=[ContactUpsert(dnd_settings=DndSettings(email=DndSetting(status="active")))], adds_tags=True)
    found = find_restoration(Contact(id="x"), read_contact(raw, Contact, "whole"), sent)
    assert found.changes == {}
    assert [left.field for left in found.left] == ["dnd_settings.Email"]


@pytest.mark.parametrize("is_forced", [True, False])
def test_a_channel_that_its_contact_closed_since_stays_closed(is_forced: bool) -> None:
    sent = ContactUpsert(city="Bonn", dnd_settings=DndSettings(sms=DndSetting(status="active")))
    now = Contact(id="x", city="Bonn", dnd_settings=DndSettings(sms=DndSetting(status="permanent", message="STOP")))
    found = find_restoration(Contact(id="x"), now, Sent(rows=[sent], adds_tags=True), is_forced=is_forced)
    assert found.changes == {"city": ""}
    assert [left.field for left in found.left] == ["dnd_settings.SMS"]


@pytest.mark.parametrize(("message", "is_ours"), [("", True), ("by a link", True), ("by phone", False)])
def test_the_words_of_a_wish_go_back_with_it(message: str, is_ours: bool) -> None:
    was = DndSetting(status="inactive", message="by a link", code="94")
    before = Contact(id="x", dnd_settings=DndSettings(email=was))
    code = "94" if message == "by a link" else ""
    now = Contact(id="x", dnd_settings=DndSettings(email=DndSetting(status="active", message=message, code=code)))
    sent = ContactUpsert(dnd_settings=DndSettings(email=DndSetting(status="active")))
    trace = left_by_run(now, sent)
    found = find_restoration(before, now, Sent(rows=[sent], adds_tags=True), trace=trace)
    back = {"dnd_settings": {"Email": {"status": "inactive", "message": "by a link", "code": "94"}}}
    assert found.changes == (back if is_ours else {})
    assert [left.field for left in found.left] == ([] if is_ours else ["dnd_settings.Email"])


def test_the_words_of_a_wish_go_back_where_it_stands() -> None:
    active = DndSetting(status="active", message="by a link")
    bare = DndSettings(email=DndSetting(status="active"))
    sent = Sent(rows=[ContactUpsert(dnd_settings=bare)], adds_tags=True)
    before = Contact(id="x", dnd_settings=DndSettings(email=active))
    found = find_restoration(before, Contact(id="x", dnd_settings=bare), sent)
    assert found.changes == {"dnd_settings": {"Email": {"status": "active", "message": "by a link"}}}


def test_a_field_of_which_nobody_knows_what_it_held_stays() -> None:
    before = read_contact(b'{"id":"x","city":"Rome"}', FoundContact, "found")
    sent = Sent(rows=[ContactUpsert(city="Bonn", website="https://b.example", tags=["new"])], adds_tags=True)
    found = find_restoration(before, Contact(id="x", city="Bonn", website="https://b.example", tags=["new"]), sent)
    assert found.changes == {"city": "Rome"}
    assert {left.field for left in found.left} == {"website", "tags"}


# ---------------------------------------------------------------------------------------------- what others touched

CLOSING_ROW: dict[str, Any] = {"email": "a@x.example", "city": "Bonn"}


@pytest.mark.parametrize(
    "edit", [{}, {"dnd_settings": {"Email": {"status": "active"}}}, {"dnd": True}, {"website": "https://a.example"}]
)
@pytest.mark.parametrize("old_words", [{}, {"message": "by a link", "code": "94"}])
async def test_a_channel_is_opened_only_where_nobody_wrote_to_the_contact_since(
    client: LeadConnector,
    sandbox: Sandbox,
    clock: FakeClock,
    tmp_path: Path,
    edit: dict[str, Any],
    old_words: dict[str, str],
) -> None:
    """To close what is closed already changes nothing but the date, and is meant all the same."""
    await client.contacts.upsert({"email": "a@x.example", "city": "Rome"})
    (contact_id,) = state_of(sandbox)
    if old_words:
        await client.contacts.update(contact_id, {"dnd_settings": {"Email": {"status": "inactive", **old_words}}})
    run = Run(client, tmp_path, more={"Out": "dnd"})
    await run.load([{**CLOSING_ROW, "Out": "yes"}])
    assert (await client.contacts.get(contact_id)).dnd is True
    await clock.sleep(2.5)
    if edit:
        await client.contacts.update(contact_id, edit)
    (told,) = await run.undo(client)
    now = await client.contacts.get(contact_id)
    assert now.city == "Rome"  # what it holds still is the run's
    assert now.dnd is bool(edit)
    assert (told.status == "partly" and "dnd" in told.detail) if edit else told.status == "restored"
    (told,) = await run.undo(client, is_forced=True)
    assert not (await client.contacts.get(contact_id)).dnd


@pytest.mark.parametrize("has_trace", [True, False])
@pytest.mark.parametrize("name", ["dnd", "dnd_settings", "inbound_dnd_settings"])
def test_nothing_is_opened_where_it_is_not_known_who_wrote_last(name: str, has_trace: bool) -> None:
    closed: Any = {
        "dnd": True,
        "dnd_settings": DndSettings(email=DndSetting(status="active")),
        "inbound_dnd_settings": InboundDndSettings(all=InboundDndSetting(status="active")),
    }[name]
    sent, now = ContactUpsert(**{name: closed}), Contact(id="x", **{name: closed})
    trace = left_by_run(now, sent) if has_trace else None
    now.date_updated = None
    found = find_restoration(Contact(id="x"), now, Sent(rows=[sent], adds_tags=True), trace=trace)
    assert (found.changes, len(found.left)) == ({}, 1)


async def test_an_option_that_somebody_added_since_stays(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> None:
    await fill(client, tmp_path, [row(email="a@x.example", city="Rome")])
    (was,) = state_of(sandbox).values()
    run = Run(client, tmp_path)
    await run.load([row(email="a@x.example", city="Bonn", Interests="Music")])
    (field,) = (await client.contacts.get(was["id"])).custom_fields or ()
    await clock.sleep(5)
    change = {"id": field.id, "field_value": ["Music", "Sport"]}
    await client.contacts.update(was["id"], {"custom_fields": [change]})
    (told,) = await run.undo(client)
    assert (told.status, told.detail.partition(":")[0]) == ("partly", f"custom_fields.{field.id}")
    now = await client.contacts.get(was["id"])
    assert (now.city, now.custom_fields) == ("Rome", [CustomFieldValue(id=field.id, value=["Music", "Sport"])])


@pytest.mark.parametrize(("name", "wire"), [("dnd", "dnd"), ("tags", "tags"), ("dnd_settings.Email", "dndSettings")])
async def test_what_the_service_does_not_give_back_is_said_of_every_kind_of_field(
    client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wire: str
) -> None:
    await fill(client, tmp_path, [row(email="a@x.example", tags="vip")])
    run = Run(client, tmp_path, adds_tags=False, more={"Out": "dnd", "No email": "dnd:Email"})
    await run.load([{**row(email="a@x.example", tags="new"), "Out": "yes", "No email": "yes"}])
    update = Records.update

    def forget(records: Records, contact_id: str, fields: dict[str, Any]) -> Any:
        return update(records, contact_id, {key: value for key, value in fields.items() if key != wire})

    monkeypatch.setattr(Records, "update", forget)
    (told,) = await run.undo(client)
    assert (told.status, told.detail) == ("partly", f"{name}: the service did not accept what it held before")


async def test_what_somebody_set_to_a_value_of_an_earlier_row_is_theirs(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> None:
    await fill(client, tmp_path, [row(email="a@x.example", city="Rome", Nickname="Nan")])
    (contact_id,) = state_of(sandbox)
    run = Run(client, tmp_path)
    await run.load([row(email="a@x.example", city="Bonn", firstName="Ann"), row(email="a@x.example", city="Oslo")])
    await clock.sleep(5)
    await client.contacts.update(contact_id, {"city": "Bonn"})
    (told,) = await run.undo(client)
    assert (told.status, told.detail) == ("partly", "city: it changed since the run, and holds 'Bonn' now")
    now = await client.contacts.get(contact_id)
    assert (now.city, now.first_name) == ("Bonn", None)
