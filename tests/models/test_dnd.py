"""Do not disturb: nothing closed is ever read as open or lost, and what is closed for good is never changed."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from leadconnector_async import (
    ContactUpsert,
    DndSetting,
    DndSettings,
    FoundContact,
    InvalidContactError,
    LeadConnector,
    NotApplied,
    PermanentDndError,
    RetryPolicy,
)
from leadconnector_async.migration.export import write_csv_header, write_csv_rows, write_json_lines
from leadconnector_async.migration.restoring import Sent, find_restoration
from leadconnector_async.migration.select import find_changes
from leadconnector_async.models import decode_contact, decode_upsert, read_mapping, without_refused
from leadconnector_async.models.compare import find_not_applied
from leadconnector_async.models.dnd import CHANNELS, V3_CHANNELS
from leadconnector_async.models.search import read_contact_page, read_duplicate, read_search_page
from leadconnector_async.models.structs import read_received
from leadconnector_async.protocol.answers import Response, read_error
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.webhooks.events import ContactDndUpdateEvent, read_event
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.oauth import log_in, make_app, token_calls
from tests.scripted import answering

# ---------------------------------------------------------------------------------------------- reading

WORDS = st.sampled_from(["active", "inactive", "permanent", "paused", "Inactive", "", " "])
TEXTS = st.none() | st.sampled_from(["", "asked", "STOP_KEYWORD"])
good_entries = st.fixed_dictionaries(
    {"status": st.sampled_from(["active", "inactive", "permanent"])}, optional={"message": TEXTS, "code": TEXTS}
)
odd_entries = (
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | WORDS
    | st.lists(WORDS, max_size=2)
    | st.fixed_dictionaries(
        {},
        optional={
            "status": WORDS | st.none() | st.integers(0, 1) | st.lists(WORDS, max_size=1),
            "message": TEXTS | st.integers(0, 9) | st.lists(TEXTS, max_size=1),
            "code": TEXTS | st.integers(30_000, 30_009),
            "updatedAt": st.just("2026-11-01"),
        },
    )
)
keys = st.sampled_from([*CHANNELS.values(), *V3_CHANNELS.values(), "Telegram", "Fax", "sMs", ""])
mixtures = st.dictionaries(keys, good_entries | odd_entries, max_size=8)
PYTHON_NAMES = {name.replace("_", ""): name for name in CHANNELS}


def is_said(entry: Any) -> bool:
    return entry is not None


def is_closed(entry: Any) -> bool:
    """Whether an entry may stand for a closed channel: all but those that say `inactive`, or nothing."""
    return is_said(entry) and "inactive" not in (entry, entry.get("status") if isinstance(entry, dict) else None)


def check(settings: DndSettings | None, received: dict[str, Any]) -> None:
    """Check that nothing of what was received is lost, and nothing closed is open."""
    assert isinstance(settings, DndSettings)
    for key, entry in received.items():
        if is_said(entry):
            name = PYTHON_NAMES.get(key.lower())
            found = settings.others[key] if name is None else getattr(settings, name)
            assert isinstance(found, DndSetting)
            assert found.is_closed or not is_closed(entry)
            assert found in settings.by_channel().values()
    spoken = {PYTHON_NAMES.get(key.lower(), key) for key, entry in received.items() if is_said(entry)}
    assert len(settings.by_channel()) == len(spoken)


def contact_json(received: Any, **fields: Any) -> bytes:
    return json.dumps({"id": "c1", "locationId": "L", "email": "a@b.co", "dndSettings": received, **fields}).encode()


def found_contact(received: Any) -> FoundContact:
    return read_received(contact_json(received), FoundContact)


@given(received=mixtures)
def test_nothing_closed_is_lost_or_open_in_any_answer(received: dict[str, Any]) -> None:
    contact = contact_json(received)
    contacts: list[Any] = [
        decode_contact(b'{"contact":%b}' % contact),
        decode_upsert(b'{"new":true,"contact":%b}' % contact).contact,
        read_duplicate(b'{"contact":%b}' % contact),
        *read_search_page(b'{"contacts":[%b],"total":1}' % contact).contacts,
        *read_contact_page(b'{"contacts":[%b],"count":1}' % contact).contacts,
        read_event(contact_json(received, type="ContactDndUpdate"))[0],
    ]
    assert isinstance(contacts[-1], ContactDndUpdateEvent)
    for one in contacts:
        check(one.dnd_settings, received)
        assert (one.id, one.email) == ("c1", "a@b.co")
        assert json.loads(one.raw)["dndSettings"] == received


@pytest.mark.parametrize("value", ["active", 7, True, ["SMS"], [{"channel": "SMS", "status": "active"}]])
def test_settings_of_another_shape_are_kept_as_a_closed_channel_that_nobody_knows(value: Any) -> None:
    contact = decode_contact(b'{"contact":%b}' % contact_json(value))
    assert contact.dnd_settings is not None
    assert [one.is_closed for one in contact.dnd_settings.by_channel().values()] == [True]
    assert contact.extra["dndSettings"] == value


@pytest.mark.parametrize("value", [None, {}, [], "", {"SMS": None}])
def test_settings_that_say_nothing_say_nothing(value: Any) -> None:
    settings = decode_contact(b'{"contact":%b}' % contact_json(value)).dnd_settings
    assert settings is None or settings.by_channel() == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), (None, None), (0, False), ("false", False), ("", False), (1, True), ("yes", True)],
)
def test_a_switch_of_another_kind_counts_as_on_unless_it_says_no(value: Any, expected: bool | None) -> None:
    assert decode_contact(b'{"contact":%b}' % contact_json({}, dnd=value)).dnd is expected


@pytest.mark.parametrize(
    ("value", "statuses"),
    [
        ({"all": {"status": "active", "message": None}}, {"all": "active"}),
        ({"all": {"status": "paused"}}, {"all": "paused"}),
        ({"all": {"status": "inactive"}, "SMS": {"status": "active", "code": 7}}, {"all": "inactive", "SMS": "active"}),
    ],
)
def test_what_is_said_of_incoming_messages_is_read_likewise(value: Any, statuses: dict[str, str]) -> None:
    contact = decode_contact(b'{"contact":%b}' % contact_json({}, inboundDndSettings=value))
    assert contact.inbound_dnd_settings is not None
    found = contact.inbound_dnd_settings.by_channel()
    assert {name: one.status for name, one in found.items()} == statuses
    assert all(one.is_closed == (one.status != "inactive") for one in found.values())


def test_words_are_kept_and_what_is_strange_is_kept_to_the_letter() -> None:
    received = {
        "SMS": {"status": "active", "message": None, "code": 30003},
        "RCS": {"status": "permanent", "message": "STOP"},
        "Email": {"status": "paused", "since": "2026"},
    }
    contact = decode_contact(b'{"contact":%b}' % contact_json(received))
    assert contact.dnd_settings == DndSettings(
        sms=DndSetting(status="active", message=None, code="30003"),
        rcs=DndSetting(status="permanent", message="STOP"),
        email=DndSetting(status="paused"),
    )
    assert contact.extra == {"dndSettings": received}
    plain = {key: {"status": "active", "message": None} for key in CHANNELS.values()}
    assert decode_contact(b'{"contact":%b}' % contact_json(plain)).extra == {}


async def test_every_operation_reads_them(sandbox: Sandbox, connect: OpenSandbox) -> None:
    stored = sandbox.add_contact(LOCATION, email="a@example.com")
    stored["dndSettings"] = received = {
        "SMS": {"status": "permanent", "message": None},
        "RCS": {"status": "active"},
        "Email": {"status": "paused"},
        "Telegram": {"status": "active"},
    }
    for version in ("2021-07-28", "2023-02-21", "v3"):
        client = await connect(sandbox, api_version=version)
        contacts = [
            await client.contacts.get(stored["id"]),
            (await client.contacts.upsert({"email": "a@example.com"})).contact,
            await client.contacts.update(stored["id"], {"city": "Bonn"}),
            await client.contacts.find_duplicate(email="a@example.com"),
            *[one async for one in client.contacts.search()],
            *(await client.contacts.list_page()).contacts,
        ]
        assert len(contacts) == 6
        for contact in contacts:
            check(contact.dnd_settings, received)


# ---------------------------------------------------------------------------------------------- comparing, exporting


SENT = st.dictionaries(
    st.sampled_from(sorted(CHANNELS)), st.builds(DndSetting, status=st.sampled_from(["active", "inactive"])), max_size=7
).map(lambda named: DndSettings(**named))


@given(sent=SENT, received=mixtures)
def test_a_channel_is_as_sent_if_it_is_closed_as_sent(sent: DndSettings, received: dict[str, Any]) -> None:
    contact = decode_contact(b'{"contact":%b}' % contact_json(received))
    missing = find_not_applied(ContactUpsert(dnd_settings=sent), contact)
    named = missing[0].sent if missing else {}
    assert contact.dnd_settings is not None
    stored = contact.dnd_settings.by_channel()
    for channel, setting in sent.by_channel().items():
        is_stored_closed = channel in stored and stored[channel].is_closed
        assert (channel in named) == (setting.is_closed != is_stored_closed)


@pytest.mark.parametrize("status", ["active", "permanent", "paused"])
def test_a_row_that_closes_what_is_closed_changes_nothing(status: str) -> None:
    stored = decode_contact(b'{"contact":%b}' % contact_json({"SMS": {"status": status, "message": None}}))
    close, lift = (
        ContactUpsert(dnd_settings=DndSettings(sms=DndSetting(status=one))) for one in ("active", "inactive")
    )
    assert find_changes(close, stored, replaces_tags=False) == ()
    assert [one.field for one in find_changes(lift, stored, replaces_tags=False)] == ["dnd_settings"]


@given(received=mixtures)
def test_an_export_loses_no_closed_channel_and_can_be_loaded(received: dict[str, Any]) -> None:
    contact = found_contact(received)
    table = (write_csv_header([]) + write_csv_rows([contact], [])).decode()
    (row,) = csv.DictReader(io.StringIO(table, newline=""))
    (line,) = write_json_lines([contact], []).splitlines()
    exported = json.loads(row["dndSettings"] or "{}")
    assert json.loads(line).get("dndSettings", {}) == exported
    for key, entry in received.items():
        if is_closed(entry):
            name = PYTHON_NAMES.get(key.lower())
            assert exported[key if name is None else CHANNELS[name]]["status"] in ("active", "permanent")
    assert contact.dnd_settings is not None
    if contact.dnd_settings.others:  # no load may lose them without a word
        with pytest.raises(InvalidContactError, match="unknown field"):
            read_mapping({"dndSettings": exported}, ContactUpsert)
    else:
        again = read_mapping({"dndSettings": exported}, ContactUpsert).dnd_settings
        assert again is UNSET or again.by_channel().keys() == contact.dnd_settings.by_channel().keys()


# ---------------------------------------------------------------------------------------------- undoing


ANY_SENT = st.dictionaries(
    st.sampled_from(sorted(CHANNELS)),
    st.builds(DndSetting, status=st.sampled_from(["active", "inactive", "permanent"])),
    min_size=1,
    max_size=4,
).map(lambda named: DndSettings(**named))


@given(before=mixtures, now=mixtures, sent=ANY_SENT, is_forced=st.booleans())
def test_undoing_opens_nothing_that_was_closed_and_changes_nothing_that_is_closed_for_good(
    before: dict[str, Any], now: dict[str, Any], sent: DndSettings, is_forced: bool
) -> None:
    was, held = (decode_contact(b'{"contact":%b}' % contact_json(one)) for one in (before, now))
    rows = [ContactUpsert(dnd_settings=sent)]
    found = find_restoration(was, held, Sent(rows=rows, adds_tags=True), is_forced=is_forced)
    changes = found.changes.get("dnd_settings", {})
    assert was.dnd_settings is not None
    assert held.dnd_settings is not None
    old, stored = was.dnd_settings.by_channel(), held.dnd_settings.by_channel()
    for channel, setting in changes.items():
        is_as_stored = channel in stored and setting == json.loads(json.dumps(_plain(stored[channel])))
        assert is_as_stored or (channel in sent.by_channel() and setting["status"] in ("active", "inactive"))
        if not is_as_stored:
            assert setting["status"] == "active" or not (channel in old and old[channel].is_closed)
        if channel in stored and stored[channel].status == "permanent":
            assert is_as_stored
    if changes:  # the service may replace them all: what is closed goes along, or nothing is opened
        lost = [one for channel, one in stored.items() if one.is_closed and channel not in changes]
        opened = [channel for channel in changes if changes[channel]["status"] == "inactive"]
        assert not lost or all(channel in stored and not stored[channel].is_closed for channel in opened)
        read_mapping({"dnd_settings": changes}, ContactUpsert)  # can be sent


def _plain(setting: DndSetting) -> dict[str, Any]:
    words = {"message": setting.message, "code": setting.code}
    return {"status": setting.status, **{name: word for name, word in words.items() if word is not UNSET}}


# ---------------------------------------------------------------------------------------------- closed for good


def closed(status: str = "permanent", **words: str) -> dict[str, str]:
    return {"status": status, **words}


REFUSAL = {"statusCode": 401, "message": "Not authorized to update permanent dnd setting for SMS"}


def test_the_refusal_is_an_error_of_its_own_whatever_its_status() -> None:
    for status in (400, 401):
        error = read_error(Response(status, {}, json.dumps(REFUSAL).encode()))
        assert isinstance(error, PermanentDndError)
        assert (error.status, error.channels) == (status, ("SMS",))
    body = {"statusCode": 401, "message": ["Not authorized to update permanent DND setting for SMS, whatsApp"]}
    error = read_error(Response(400, {}, json.dumps(body).encode()))
    assert isinstance(error, PermanentDndError)
    assert error.channels == ("SMS", "whatsApp")


async def test_an_upsert_applies_the_rest_and_names_the_channel(client: LeadConnector, sandbox: Sandbox) -> None:
    stored = sandbox.add_contact(LOCATION, email="a@example.com", dndSettings={"SMS": closed(message="STOP")})
    settings = {"sms": closed("inactive"), "email": closed("active")}
    result = await client.contacts.upsert({"email": "a@example.com", "city": "Bonn", "dnd_settings": settings})
    refused = NotApplied("dnd_settings", {"SMS": closed("inactive")}, {"SMS": closed(message="STOP")})
    assert result.not_applied == (refused,)
    assert (result.new, result.attempts, sandbox.requests) == (False, 2, 3)  # it is looked up before
    assert stored["city"] == "Bonn"
    assert stored["dndSettings"] == {"SMS": closed(message="STOP"), "Email": closed("active")}


@pytest.mark.parametrize("version", ["2021-07-28", "2023-02-21", "v3"])
async def test_what_is_stored_may_be_sent_again(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    client = await connect(sandbox, api_version=version)
    entry: dict[str, Any] = {"status": "permanent", "message": None, "code": "30004"}
    stored = sandbox.add_contact(LOCATION, email="a@example.com", dndSettings={"SMS": entry, "RCS": closed()})
    contact = await client.contacts.get(stored["id"])
    assert contact.dnd_settings is not None
    upsert = ContactUpsert(email="a@example.com", dnd_settings=contact.dnd_settings)
    assert (await client.contacts.upsert(upsert)).not_applied == ()
    updated = await client.contacts.update(stored["id"], {"dnd_settings": {"sms": entry, "RCS": closed()}})
    assert updated.not_applied == ()
    assert sandbox.requests == 5  # each write reads before what else is held


async def test_what_cannot_be_closed_for_good_is_closed_all_the_same(client: LeadConnector, sandbox: Sandbox) -> None:
    row = {
        "email": "a@example.com",
        "dnd_settings": {"sms": closed(), "rcs": closed(message="x"), "fb": closed("active")},
    }
    result = await client.contacts.upsert(row)
    settings = {"SMS": closed("active"), "FB": closed("active"), "RCS": closed("active", message="x")}
    assert sandbox.contacts()[0]["dndSettings"] == settings
    assert result.new
    (missing,) = result.not_applied
    assert missing.sent == {"SMS": closed(), "RCS": closed(message="x")}
    assert missing.stored == {"SMS": closed("active"), "RCS": closed("active", message="x")}
    assert sandbox.requests == 4


async def test_create_makes_one_contact_and_names_the_channel(client: LeadConnector, sandbox: Sandbox) -> None:
    contact = await client.contacts.create({"email": "a@example.com", "dnd_settings": {"call": closed()}})
    assert len(sandbox.contacts()) == 1
    assert sandbox.contacts()[0]["dndSettings"] == {"Call": closed("active")}
    assert [one.field for one in contact.not_applied] == ["dnd_settings"]


async def test_update_applies_the_rest_or_raises_where_there_is_none(client: LeadConnector, sandbox: Sandbox) -> None:
    stored = sandbox.add_contact(LOCATION, email="a@example.com", dndSettings={"SMS": closed(), "RCS": closed()})
    was = dict(stored)
    changes = {"dnd_settings": {"sms": closed("inactive"), "rcs": closed("inactive")}}
    with pytest.raises(PermanentDndError, match="permanent dnd setting for RCS") as caught:
        await client.contacts.update(stored["id"], changes)
    assert (caught.value.attempts, caught.value.may_be_applied) == (2, False)
    assert stored == was
    contact = await client.contacts.update(stored["id"], {**changes, "city": "Bonn"})
    assert contact.city == "Bonn"
    assert contact.not_applied == (
        NotApplied("dnd_settings", {"SMS": closed("inactive"), "RCS": closed("inactive")}, was["dndSettings"]),
    )
    assert stored["dndSettings"] == was["dndSettings"]
    assert contact.not_applied == (await client.contacts.update(stored["id"], {**changes, "city": "Bonn"})).not_applied


@pytest.mark.parametrize("compare", [True, False])
async def test_rows_of_a_load_are_done_without_the_channel(
    client: LeadConnector, sandbox: Sandbox, compare: bool
) -> None:
    for name in "abc":
        sandbox.add_contact(LOCATION, email=f"{name}@example.com", dndSettings={"SMS": closed(), "GMB": closed()})
    rows: list[dict[str, Any]] = [
        {"email": "a@example.com", "city": "Bonn", "dndSettings": {"SMS": closed("inactive"), "GMB": closed("active")}},
        {"email": "b@example.com", "city": "Bonn", "dndSettings": {"SMS": closed(), "GMB": closed()}},
        {"email": "c@example.com", "city": "Bonn", "dndSettings": {"Email": closed("active")}},
        {"email": "d@example.com", "city": "Bonn", "dndSettings": {"SMS": closed()}},
    ]
    report = await client.contacts.bulk_upsert(rows, compare=compare)
    assert [outcome.status for outcome in report.outcomes] == ["updated", "updated", "updated", "created"]
    named = [[list(one.sent) for one in outcome.not_applied] for outcome in report.outcomes]
    assert named == [[["SMS", "GMB"]], [], [], [["SMS"]]]
    assert (report.failed, report.partially_applied, report.not_applied) == (0, 2, {"dnd_settings": 2})
    assert [contact["city"] for contact in sandbox.contacts()] == ["Bonn"] * 4
    statuses = [contact["dndSettings"]["SMS"]["status"] for contact in sandbox.contacts()]
    assert statuses == ["permanent"] * 3 + ["active"]
    assert [outcome.attempts for outcome in report.outcomes] == [4, 2, 2, 3]  # one of them looks it up


async def test_a_refusal_costs_no_attempt_of_the_policy(sandbox: Sandbox, connect: OpenSandbox) -> None:
    client = await connect(sandbox, retry=RetryPolicy(max_attempts=1))
    every = dict.fromkeys(CHANNELS.values(), closed())
    sandbox.add_contact(LOCATION, email="a@example.com", dndSettings=every)
    result = await client.contacts.upsert(
        {"email": "a@example.com", "dndSettings": dict.fromkeys(every, closed(message="x"))}
    )
    assert result.not_applied[0].stored == every
    assert sandbox.requests == 1 + 2 * len(CHANNELS) + 1  # looked up, each as `permanent`, then as `active`


async def test_no_token_is_renewed(sandbox: Sandbox, connect: OpenSandbox) -> None:
    app = make_app(sandbox)
    lc = await connect(sandbox, token=app)
    await log_in(app, sandbox, LOCATION)
    before = token_calls(sandbox)
    stored = sandbox.add_contact(LOCATION, email="a@example.com", dndSettings={"SMS": closed()})
    await lc.contacts.update(stored["id"], {"city": "Bonn", "dnd_settings": {"sms": closed("active")}})
    with pytest.raises(PermanentDndError):
        await lc.contacts.update(stored["id"], {"dnd_settings": {"sms": closed("active")}})
    assert token_calls(sandbox) == before


async def test_a_load_that_is_stopped_sends_the_row_later(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(latency=(1.0, 1.0))
    client, stop = await connect(sandbox), asyncio.Event()
    sandbox.add_contact(LOCATION, email="a@example.com", dndSettings={"SMS": closed()})
    clock.call_at(clock.monotonic() + 0.5, stop.set)
    rows = [{"email": "a@example.com", "dndSettings": {"SMS": closed("active")}}]
    (outcome,) = (await client.contacts.bulk_upsert(rows, stop=stop)).outcomes
    assert (outcome.status, sandbox.requests) == ("not_attempted", 1)


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("for SMS", {"Email": closed("active")}),
        ("for sms and WhatsApp", {"Email": closed("active")}),
        ("for Telegram", None),
        ("", None),
    ],
)
async def test_what_the_answer_names_is_left_out(message: str, left: Any, connect: OpenSandbox) -> None:
    refusal = {"statusCode": 401, "message": f"Not authorized to update permanent dnd setting {message}"}
    settings = {"SMS": closed("inactive"), "Email": closed("active")}
    async with answering(refusal, status=400) as script:
        client = await connect(script.url)
        with pytest.raises(PermanentDndError):
            await client.contacts.create({"email": "a@example.com", "dndSettings": settings})
        bodies = [body for _, _, body in script.requests]
    assert bodies[0]["dndSettings"] == settings
    if left is None:
        assert len(bodies) == 1
    else:
        assert bodies[1]["dndSettings"] == left


@given(sent=ANY_SENT, named=st.lists(st.lists(keys, max_size=2), max_size=20))
def test_giving_way_ends_and_never_opens(sent: DndSettings, named: list[list[str]]) -> None:
    contact: ContactUpsert | None = ContactUpsert(email="a@b.co", dnd_settings=sent)
    steps = 0
    for channels in named * 20:
        assert contact is not None
        less = without_refused(contact, channels)
        if less is None:
            continue
        assert less != contact
        contact, steps = less, steps + 1
        left = {} if contact.dnd_settings is UNSET else contact.dnd_settings.by_channel()
        assert all(left[channel].is_closed or sent.by_channel()[channel] == left[channel] for channel in left)
    assert steps <= 2 * len(sent.by_channel())
