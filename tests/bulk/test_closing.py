"""Channels that are closed by an update of their own: nobody is opened, whatever the service does with the settings
that an update does not name, and the outcome says what was sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import Contact, ContactUpsert, LeadConnector, Outcome, PermanentDndError
from leadconnector_async.bulk.closing import build_closing, close_channels, closings_of, find_open
from leadconnector_async.bulk.report import BatchReport, has_closed
from leadconnector_async.bulk.source import Closing, Skipped
from leadconnector_async.models import decode_contact, read_mapping
from leadconnector_async.models.dnd import V3_CHANNELS
from leadconnector_async.protocol import API_VERSIONS, Request, Scope
from leadconnector_async.sandbox import Applied, Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.scripted import answering

LEFT_OUT = Skipped("it was there before")
STOP = {"SMS": {"status": "permanent", "message": "STOP", "code": "30004"}, "Call": {"status": "inactive"}}


def wanted(email: str, *channels: str, dnd: bool = False) -> ContactUpsert:
    fields: dict[str, Any] = {"email": email, **({"dnd": True} if dnd else {})}
    if channels:
        fields["dndSettings"] = {channel: {"status": "active"} for channel in channels}
    found = closings_of(read_mapping(fields, ContactUpsert))
    assert found is not None
    return found


async def load(client: LeadConnector, *rows: Closing | ContactUpsert, **options: Any) -> BatchReport:
    return await client.contacts.bulk_upsert(rows, **options)


def add(sandbox: Sandbox, number: int, **fields: Any) -> str:
    return str(sandbox.add_contact(LOCATION, email=f"p{number}@example.com", **fields)["id"])


def settings_of(sandbox: Sandbox, contact_id: str) -> dict[str, Any]:
    (found,) = [one for one in sandbox.contacts() if one["id"] == contact_id]
    return dict(found.get("dndSettings", {}))


# ---------------------------------------------------------------------------------------------- what is sent

ENTRIES = st.fixed_dictionaries(
    {"status": st.sampled_from(["active", "inactive", "permanent", "paused"])},
    optional={"message": st.sampled_from([None, "STOP"]), "code": st.sampled_from([None, "30004"])},
)
HELD = st.none() | st.dictionaries(st.sampled_from([*V3_CHANNELS, "Pager"]), ENTRIES)
WANTED = st.dictionaries(st.sampled_from([*V3_CHANNELS]), st.just({"status": "active"}))


@given(HELD, st.sampled_from([None, False, True]), WANTED, st.booleans(), st.sampled_from(API_VERSIONS))
def test_closing_opens_nothing_whether_the_service_merges_or_replaces(
    held: dict[str, Any] | None, dnd: bool | None, asked: dict[str, Any], asks_for_all: bool, version: str
) -> None:
    held = held or {}
    spell = {key: V3_CHANNELS.get(key, key) if version == "v3" else key for key in (*V3_CHANNELS, "Pager")}
    body = {"id": "c", "dnd": dnd, "dndSettings": {spell[key]: one for key, one in held.items()}}
    stored = decode_contact(msgspec.json.encode({"contact": body}))
    row = {"email": "a@b.co", "dndSettings": asked} | ({"dnd": True} if asks_for_all else {})
    goal, was = closed(asks_for_all, asked), closed(dnd, held)
    closing = closings_of(read_mapping(row, ContactUpsert))
    assert (closing is None) == (not goal)
    if closing is None:
        return
    changes = build_closing(closing, stored, version)
    assert (changes is None) == (not find_open(closing, stored)) == (goal <= was)
    if changes is None:
        return
    named = {key: changes["dndSettings"][spell[key]] for key in spell if spell[key] in changes.get("dndSettings", {})}
    for after in (held | named, named or held):
        assert goal | was <= closed(changes.get("dnd", dnd), after)
    changed = {key for key in named if key not in held or held[key]["status"] != named[key]["status"]}
    assert changed <= goal - was
    assert all(None not in one.values() for one in named.values())


def closed(dnd: bool | None, settings: dict[str, Any]) -> set[str]:
    found = {key for key, one in settings.items() if one["status"] != "inactive"}
    return found | {"dnd"} if dnd else found


async def test_a_channel_that_the_contact_closes_meanwhile_stays_as_it_is() -> None:
    """It says STOP between the look at it and the update, which the service then refuses whole."""
    before = {"contact": {"id": "c1", "dndSettings": {"SMS": {"status": "inactive"}}}}
    now = {"contact": {"id": "c1", "dndSettings": {"SMS": {"status": "permanent"}}}}
    done = {"contact": {"id": "c1", "dndSettings": {"SMS": {"status": "permanent"}, "Email": {"status": "active"}}}}
    answers = iter([before, PermanentDndError(400, ("no",)), now, done])
    sent: list[Request[Contact]] = []

    async def send(request: Request[Contact]) -> Contact:
        sent.append(request)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return decode_contact(msgspec.json.encode(answer))

    found = await close_channels(send, "c1", wanted("a@b.co", "Email", "SMS"), Scope("L", "2021-07-28"))
    assert (found.channels, found.not_applied) == (("Email",), ())
    assert [request.method for request in sent] == ["GET", "PUT", "GET", "PUT"]
    settings = {"SMS": {"status": "permanent"}, "Email": {"status": "active"}}
    assert msgspec.json.decode(sent[-1].body or b"") == {"dndSettings": settings}


# ---------------------------------------------------------------------------------------------- in a load


async def test_what_is_stored_is_sent_along_as_it_is(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    applied: list[Applied] = []
    sandbox = await open_sandbox(on_applied=applied.append)
    contact_id = add(sandbox, 1, dndSettings=STOP)
    client = await connect(sandbox)
    report = await load(client, Closing(contact_id, wanted("p1@example.com", "Email", "SMS"), LEFT_OUT))
    assert [(call.method, call.sent) for call in applied] == [
        ("GET", {}),
        ("PUT", {"dndSettings": {**STOP, "Email": {"status": "active"}}}),
    ]
    (outcome,) = report.outcomes
    assert has_closed(outcome)
    assert (outcome.status, outcome.contact_id, outcome.note) == (
        "skipped",
        contact_id,
        "do not disturb was sent: Email",
    )
    assert (report.skipped, report.requests, report.retries, report.is_complete) == (1, 2, 0, True)
    assert report.skip_reasons == {"it was there before": 1}


async def test_what_is_closed_already_is_not_sent(sandbox: Sandbox, client: LeadConnector) -> None:
    contact_id = add(sandbox, 1, dndSettings=STOP, dnd=True)
    report = await load(client, Closing(contact_id, wanted("p1@example.com", "SMS", dnd=True), LEFT_OUT))
    (outcome,) = report.outcomes
    assert (outcome.status, has_closed(outcome), report.requests, report.retries) == ("skipped", False, 1, 0)
    assert outcome.note == "what it closes was closed already, so nothing was sent"
    assert settings_of(sandbox, contact_id) == STOP


async def test_the_rest_of_a_row_is_sent_and_whom_it_meets_is_closed(sandbox: Sandbox, client: LeadConnector) -> None:
    first, second = add(sandbox, 1, dndSettings=STOP), add(sandbox, 2, phone="+16175550102")
    closing = wanted("p2@example.com", "Email")
    rest = ContactUpsert(email="p2@example.com", city="Bonn")
    report = await load(client, Closing(first, closing, rest), Closing(None, closing, rest))
    assert [(outcome.status, outcome.contact_id) for outcome in report.outcomes] == [("updated", second)] * 2
    assert [outcome.calls for outcome in report.outcomes] == [5, 2]
    assert (report.requests, report.retries) == (7, 0)
    assert settings_of(sandbox, first) == {**STOP, "Email": {"status": "active"}}
    assert settings_of(sandbox, second) == {"Email": {"status": "active"}}


async def test_somebody_who_is_gone_fails_the_row_alone(sandbox: Sandbox, client: LeadConnector) -> None:
    rows = [Closing("gone", wanted("p1@example.com", "Email"), LEFT_OUT), ContactUpsert(email="p2@example.com")]
    report = await load(client, *rows)
    failed, done = report.outcomes
    assert (failed.status, failed.note, done.status) == ("failed", "its opt-out was not sent, or not wholly", "created")


async def test_a_closing_that_the_service_drops_is_reported() -> None:
    before = {"contact": {"id": "c1", "dnd": False}}
    async with (
        answering(before) as script,
        LeadConnector("t", base_url=script.url, location_id="L", rate_limit=None) as client,
    ):
        report = await load(client, Closing("c1", wanted("a@b.co", "SMS", dnd=True), LEFT_OUT))
    (outcome,) = report.outcomes
    assert [missing.field for missing in outcome.not_applied] == ["dnd", "dnd_settings"]
    assert report.partially_applied == 1
    method, _, body = script.requests[-1]
    assert (method, body) == ("PUT", {"dnd": True, "dndSettings": {"SMS": {"status": "active"}}})


@pytest.mark.parametrize("kind", ["500", "503-html", "reset-before", "reset-after", "429"])
async def test_faults_leave_nobody_open_and_each_outcome_is_true(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, tmp_path: Path, kind: str
) -> None:
    sandbox = await open_sandbox(faults={kind: 0.2}, unlimited=True)
    ids = [add(sandbox, number, dndSettings=STOP) for number in range(60)]
    client = await connect(sandbox, rate_limit=None)
    rows = [row_of(number, contact_id) for number, contact_id in enumerate(ids)]
    journal = tmp_path / "j.sqlite3"
    await clock.sleep(3600)  # so that nobody passes for made by the load
    report = await load(client, *rows, journal=journal)
    assert report.requests == sandbox.requests
    while not report.is_complete:
        report = await load(client, *rows, journal=journal, retry_failed=True)
    assert (report.total, report.skipped, report.updated) == (60, 40, 20)
    assert all(settings_of(sandbox, contact_id) == {**STOP, "Email": {"status": "active"}} for contact_id in ids)


def row_of(number: int, contact_id: str) -> Closing:
    closing = wanted(f"p{number}@example.com", "Email")
    if number % 3:
        return Closing(contact_id, closing, LEFT_OUT)
    return Closing(None, closing, ContactUpsert(email=f"p{number}@example.com", city="Ulm"))


async def test_a_load_that_is_stopped_goes_on_with_what_it_has_not_closed(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, tmp_path: Path
) -> None:
    sandbox = await open_sandbox(latency=(0.5, 0.5), unlimited=True)
    ids = [add(sandbox, number) for number in range(40)]
    client = await connect(sandbox, rate_limit=None)
    rows = [row_of(number, contact_id) for number, contact_id in enumerate(ids)]
    stop, journal = asyncio.Event(), tmp_path / "j.sqlite3"
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 10:
            stop.set()

    report = await load(client, *rows, journal=journal, stop=stop, on_outcome=note, concurrency=4)
    left = [contact_id for contact_id in ids if "Email" not in settings_of(sandbox, contact_id)]
    done = [outcome.contact_id for outcome in report.outcomes if outcome.status in ("skipped", "updated")]
    assert report.not_attempted
    assert not set(done) & set(left)
    report = await load(client, *rows, journal=journal)
    assert (report.skipped, report.updated, report.not_attempted) == (26, 14, 0)
    assert all("Email" in settings_of(sandbox, contact_id) for contact_id in ids)


async def test_rows_of_one_person_close_in_their_order(sandbox: Sandbox, client: LeadConnector) -> None:
    """A row that closes waits for a row before it about the same person, and a row after it waits for that."""
    contact_id = add(sandbox, 1)
    rows: list[Closing | ContactUpsert] = [ContactUpsert(email="p1@example.com", city="Bonn")]
    rows += [Closing(contact_id, wanted("p1@example.com", "Email"), LEFT_OUT)]
    rows += [Closing(contact_id, wanted("p1@example.com", "SMS"), LEFT_OUT)]
    report = await load(client, *rows)
    assert [outcome.status for outcome in report.outcomes] == ["updated", "skipped", "skipped"]
    assert set(settings_of(sandbox, contact_id)) == {"Email", "SMS"}
