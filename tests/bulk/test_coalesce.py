"""Several rows of one person in one call: never another state than one by one, and an outcome of its own for each."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async import (
    BatchReport,
    CustomField,
    Journal,
    LeadConnector,
    LeadConnectorError,
    Outcome,
    PermissionDeniedError,
    RetryPolicy,
    Row,
)
from leadconnector_async.bulk.coalesce import rule_of
from leadconnector_async.models.fields import UPSERT_FIELDS
from leadconnector_async.sandbox import Applied, Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.drills.test_random_kills import load_until_killed
from tests.fake_clock import FakeClock

SCORE, NICKNAME, PLAN = "SandboxField00000005", "SandboxField00000001", "SandboxField00000003"
ANN = {"email": "ann@example.com"}
WITH_PHONE = {**ANN, "phone": "+16175550101"}

# ---------------------------------------------------------------------------------------------- the invariant

emails = st.sampled_from(["a@b.co", " A@B.co", "c@d.co", "e@f.co"])
phones = st.sampled_from(["+16175550101", "+1 (617) 555-0101", "6175550101", "+1 617 555 0101 home", "+16175550102"])
custom_fields = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from([SCORE, "SandboxField99999999"]),
                "field_value": st.sampled_from([1, "two", "3", "", None]),
            }
        ),
        st.fixed_dictionaries(
            {
                "key": st.sampled_from(["score", "contact.score", "plan", "nickname"]),
                "field_value": st.sampled_from(["1", "Pro", "Gold", ""]),
            }
        ),
        st.just({"id": PLAN, "field_value": "Free"}),
    ),
    max_size=2,
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "firstName": st.sampled_from(["Ann", "Anna", "", None]),
    "lastName": st.sampled_from(["Bee", ""]),
    "name": st.sampled_from(["Ann Bee", "Cher", "", None]),
    "city": st.sampled_from(["Rome", "Oslo", "", None]),
    "country": st.sampled_from(["IT", "NO", "ZZ"]),
    "dateOfBirth": st.sampled_from(["1980-05-17", "05/17/1980", "17.5.80"]),
    "timezone": st.sampled_from(["Europe/Rome", "Nowhere/Here", None]),
    "gender": st.sampled_from(["female", "male"]),
    "companyName": st.sampled_from(["Acme", "Bolt", ""]),
    "tags": st.sampled_from([["vip"], ["VIP "], ["lead"], []]),
    "dnd": st.booleans(),
    "dndSettings": st.sampled_from([{"Email": {"status": "active"}}, {"SMS": {"status": "active"}}]),
    "createNewIfDuplicateAllowed": st.booleans(),
    "customFields": custom_fields,
}
people = st.one_of(
    st.fixed_dictionaries({"email": emails}),
    st.fixed_dictionaries({"phone": phones}),
    st.fixed_dictionaries({"email": emails, "phone": phones}),
    st.fixed_dictionaries({"email": emails, "phone": st.sampled_from([None, ""])}),
)


@st.composite
def contacts(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return {**draw(people), **{name: draw(fields[name]) for name in names}}


def state_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    own = ("id", "dateAdded", "dateUpdated")
    kept = [{name: value for name, value in one.items() if name not in own} for one in sandbox.contacts()]
    for one in kept:
        one["customFields"] = sorted(one["customFields"], key=lambda field: field["id"])
    return sorted(kept, key=lambda one: sorted(map(repr, one.items())))


async def upsert_one_by_one(client: LeadConnector, rows: list[dict[str, Any]]) -> list[str]:
    statuses = []
    for row in rows:
        try:
            statuses.append("created" if (await client.contacts.upsert(row)).new else "updated")
        except LeadConnectorError:
            statuses.append("failed")
    return statuses


async def at_times(rows: list[dict[str, Any]], waits: list[float], clock: FakeClock) -> AsyncIterator[dict[str, Any]]:
    for row, wait in zip(rows, waits, strict=True):
        if wait:
            await clock.sleep(wait)
        yield row


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(contacts(), min_size=2, max_size=14),
    waits=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.3]), min_size=14, max_size=14),
    identifiers=st.sampled_from([("email", "phone"), ("phone", "email")]),
    country=st.sampled_from(["US", "DE"]),
    unknown=st.sampled_from(["drop", "refuse"]),
    allows=st.booleans(),
    seed=st.integers(0, 999),
)
async def test_the_state_after_a_coalesced_load_is_that_of_its_rows_one_by_one(
    rows: list[dict[str, Any]],
    waits: list[float],
    identifiers: tuple[str, ...],
    country: str,
    unknown: str,
    allows: bool,
    seed: int,
) -> None:
    clock = FakeClock()
    options: dict[str, Any] = {
        "unique_identifiers": identifiers,
        "country": country,
        "unknown_custom_fields": unknown,
        "allow_duplicates": allows,
        "seed": seed,
        "unlimited": True,
        "latency": (0.05, 0.4),
        "monotonic": clock.monotonic,
        "wall": clock.time,
        "sleep": clock.sleep,
    }
    async with clock.jumping(), Sandbox(**options) as sandbox, Sandbox(**options) as one_by_one:
        finished: list[Outcome] = []
        async with LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, clock=clock) as client:
            source = at_times(rows, waits[: len(rows)], clock)
            report = await client.contacts.bulk_upsert(
                source, concurrency=1, coalesce=True, on_outcome=finished.append, compare=True
            )
        # One worker finishes its rows in the order in which it sends them. Rows that share no email or phone have none.
        order = [outcome.index for outcome in finished]
        assert sorted(order) == list(range(len(rows)))
        async with LeadConnector("sandbox", base_url=one_by_one.url, location_id=LOCATION, clock=clock) as client:
            alone = await upsert_one_by_one(client, [rows[index] for index in order])
    assert state_of(sandbox) == state_of(one_by_one)
    assert [outcome.status for outcome in finished] == alone
    assert report.merged == sum(outcome.merged_into is not None for outcome in finished)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.booleans(), contacts()), min_size=2, max_size=20),
    concurrency=st.integers(1, 4),
    faults=st.dictionaries(st.sampled_from(["502-after", "reset-after", "429"]), st.just(0.2), max_size=2),
    seed=st.integers(0, 999),
)
async def test_the_rows_of_a_person_are_applied_in_their_order(
    rows: list[tuple[int, bool, dict[str, Any]]], concurrency: int, faults: dict[str, float], seed: int
) -> None:
    clock = FakeClock()
    options: dict[str, Any] = {
        "seed": seed,
        "unlimited": True,
        "latency": (0.05, 0.4),
        "monotonic": clock.monotonic,
        "wall": clock.time,
        "sleep": clock.sleep,
    }
    given_rows = []
    for person, has_phone, fields_given in rows:
        keys = {"email": f"p{person}@b.co", **({"phone": f"+1617555010{person}"} if has_phone else {})}
        others = {name: value for name, value in fields_given.items() if name not in ("email", "phone")}
        # Else a try that is repeated after its answer was lost could come to another end.
        others.pop("createNewIfDuplicateAllowed", None)
        others.pop("gender", None)
        given_rows.append({**keys, **others})
    first = [{"email": f"p{person}@b.co", "phone": f"+1617555010{person}"} for person in range(3)]
    async with clock.jumping(), Sandbox(**options, faults=faults) as sandbox, Sandbox(**options) as one_by_one:
        for each in (sandbox, one_by_one):
            for contact in first:
                each.add_contact(LOCATION, **contact)
        retry = RetryPolicy(max_attempts=20, first_delay=0.1)
        async with LeadConnector(
            "sandbox", base_url=sandbox.url, location_id=LOCATION, clock=clock, retry=retry
        ) as client:
            report = await client.contacts.bulk_upsert(given_rows, concurrency=concurrency, coalesce=True)
        async with LeadConnector("sandbox", base_url=one_by_one.url, location_id=LOCATION, clock=clock) as client:
            alone = await upsert_one_by_one(client, given_rows)
    assert state_of(sandbox) == state_of(one_by_one)
    assert faults or [outcome.status for outcome in report.outcomes] == alone


# ---------------------------------------------------------------------------------------------- what is merged


async def load(client: LeadConnector, rows: list[Any], **options: Any) -> BatchReport:
    return await client.contacts.bulk_upsert(rows, coalesce=True, **options)


@pytest.fixture
def applied() -> list[Applied]:
    """The calls that `sandbox` carries out."""
    return []


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox, applied: list[Applied]) -> Sandbox:
    started: Sandbox = await open_sandbox(on_applied=applied.append)
    return started


def calls(applied: list[Applied]) -> list[dict[str, Any]]:
    """What each upsert sent, without the location."""
    sent = [call.sent for call in applied if call.path == "/contacts/upsert"]
    return [{name: value for name, value in each.items() if name != "locationId"} for each in sent]


def test_each_kind_of_field_has_a_rule_and_what_may_harm_somebody_is_never_merged() -> None:
    rules = {field.name: rule_of(field) for field in UPSERT_FIELDS}
    assert {name for name, rule in rules.items() if rule == "never"} == {
        "id",
        "dnd",
        "dnd_settings",
        "inbound_dnd_settings",
        "create_new_if_duplicate_allowed",
    }
    assert {name for name, rule in rules.items() if rule == "equal"} == {"tags", "gender"}
    assert {name for name, rule in rules.items() if rule == "key"} == {"email", "phone"}


async def test_ten_updates_of_one_person_are_one_call_and_ten_outcomes(
    client: LeadConnector, applied: list[Applied]
) -> None:
    rows = [{**ANN, "city": f"C{number}", "custom_fields": {SCORE: number}} for number in range(10)]
    rows[3]["company_name"] = "Acme"
    report = await load(client, rows)
    assert calls(applied) == [
        {**ANN, "city": "C9", "companyName": "Acme", "customFields": [{"id": SCORE, "field_value": 9}]}
    ]
    assert [outcome.index for outcome in report.outcomes] == list(range(10))
    first, *others = report.outcomes
    assert (first.status, first.new, first.merged_into, first.attempts) == ("created", True, None, 1)
    assert {(one.status, one.new, one.merged_into, one.attempts) for one in others} == {("updated", False, 0, 0)}
    assert len({outcome.contact_id for outcome in report.outcomes}) == 1
    assert (report.merged, report.requests, report.created, report.updated) == (9, 1, 1, 9)
    assert report.to_dict()["merged"] == 9
    assert report.is_complete


async def test_nothing_is_merged_unless_it_is_asked_for(client: LeadConnector, applied: list[Applied]) -> None:
    report = await client.contacts.bulk_upsert([{**ANN, "city": "A"}, {**ANN, "city": "B"}])
    assert (len(calls(applied)), report.merged) == (2, 0)
    assert "merged" not in report.to_dict()


APART: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "other pair": (ANN, WITH_PHONE),
    "other phone": (WITH_PHONE, {**ANN, "phone": "+16175550102"}),
    "phone of another country elsewhere": (WITH_PHONE, {**ANN, "phone": "6175550101"}),
    "phone that may be refused": (WITH_PHONE, {**ANN, "phone": "+16175550101 home"}),
    "whole name and parts": ({**ANN, "name": "Ann Bee"}, {**ANN, "first_name": "Anna"}),
    "parts and whole name": ({**ANN, "last_name": "Bee"}, {**ANN, "name": "Ann"}),
    "whole name cleared": ({**ANN, "name": "Ann Bee"}, {**ANN, "name": ""}),
    "other tags": ({**ANN, "tags": ["a"]}, {**ANN, "tags": ["b"]}),
    "tags and none": ({**ANN, "tags": ["a"]}, ANN),
    "consent": (ANN, {**ANN, "dnd": True}),
    "opted in again": ({**ANN, "dnd": True}, {**ANN, "dnd": False}),
    "channels": (
        {**ANN, "dnd_settings": {"Email": {"status": "active"}}},
        {**ANN, "dnd_settings": {"SMS": {"status": "active"}}},
    ),
    "inbound": (ANN, {**ANN, "inbound_dnd_settings": {"all": {"status": "active"}}}),
    "identity cleared": (ANN, {**ANN, "phone": None}),
    "may create a duplicate": (ANN, {**ANN, "create_new_if_duplicate_allowed": True}),
    "gender of one that is there": (ANN, {**ANN, "gender": "female"}),
    "country that may be refused": ({**ANN, "country": "ZZ", "city": "A"}, {**ANN, "country": "IT"}),
    "birthday that may be refused": ({**ANN, "date_of_birth": "17.5.80"}, {**ANN, "date_of_birth": "1980-05-17"}),
    "another location": (ANN, {**ANN, "location_id": "anotherLocation00001"}),
}


@pytest.mark.parametrize("rows", APART.values(), ids=APART)
async def test_rows_that_must_not_be_merged_are_sent_one_by_one(
    client: LeadConnector, sandbox: Sandbox, rows: tuple[dict[str, Any], ...]
) -> None:
    report = await load(client, [*rows])
    assert report.merged == 0
    assert [outcome.attempts > 0 for outcome in report.outcomes] == [True, True]


TOGETHER: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "other spelling": ({"email": " Ann@Example.COM "}, {**ANN, "city": "A"}, {**ANN, "city": "A"}),
    "phone in another spelling": (
        WITH_PHONE,
        {**ANN, "phone": "+1 (617) 555-0101"},
        {**ANN, "phone": "+1 (617) 555-0101"},
    ),
    "the same tags": ({**ANN, "tags": ["VIP", "a"]}, {**ANN, "tags": ["a", "vip "]}, {**ANN, "tags": ["a", "vip "]}),
    "names in parts": (
        {**ANN, "first_name": "Ann"},
        {**ANN, "first_name": "Anna", "last_name": "Bee"},
        {**ANN, "firstName": "Anna", "lastName": "Bee"},
    ),
    "cleared": ({**ANN, "city": "A"}, {**ANN, "city": None}, {**ANN, "city": None}),
    "gender of the first": (
        {**ANN, "gender": "female"},
        {**ANN, "city": "A"},
        {**ANN, "gender": "female", "city": "A"},
    ),
    "a field by key and by id": (
        {**ANN, "custom_fields": [{"key": "contact.nickname", "field_value": "A"}]},
        {**ANN, "custom_fields": [CustomField(id=NICKNAME, field_value="B")]},
        {**ANN, "customFields": [{"id": NICKNAME, "field_value": "B"}]},
    ),
}


@pytest.mark.parametrize("case", TOGETHER.values(), ids=TOGETHER)
async def test_rows_that_may_be_merged_are(
    client: LeadConnector, applied: list[Applied], case: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
) -> None:
    one, other, sent = case
    report = await load(client, [one, other])
    assert calls(applied) == [sent]
    assert report.merged == 1


async def test_custom_fields_of_which_nobody_knows_the_ids_are_not_merged(
    client: LeadConnector, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise PermissionDeniedError(401, ("The token is not authorized for this scope.",))

    monkeypatch.setattr(LeadConnector, "send", refuse)
    one = {**ANN, "custom_fields": [{"key": "nickname", "field_value": "A"}]}
    other = {**ANN, "custom_fields": [{"id": NICKNAME, "field_value": "B"}]}
    report = await load(client, [one, other, {**ANN, "city": "C"}])
    assert [outcome.merged_into for outcome in report.outcomes] == [None, None, 1]
    assert sandbox.contacts()[0]["customFields"] == [{"id": NICKNAME, "value": "B"}]


async def test_a_row_of_somebody_else_who_shares_a_key_stays_between(
    client: LeadConnector, applied: list[Applied]
) -> None:
    company = {"phone": WITH_PHONE["phone"], "company_name": "Acme"}
    report = await load(client, [{**WITH_PHONE, "city": "A"}, company, {**WITH_PHONE, "city": "B"}], concurrency=1)
    assert report.merged == 0
    assert [call.get("city") for call in calls(applied)] == ["A", None, "B"]


async def test_a_row_in_flight_takes_no_more_and_those_behind_it_are_merged(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, applied: list[Applied]
) -> None:
    sandbox = await open_sandbox(on_applied=applied.append, latency=(0.5, 0.5))
    client = await connect(sandbox)

    async def source() -> AsyncIterator[dict[str, Any]]:
        yield {**ANN, "city": "0"}
        await clock.sleep(0.2)
        for number in range(1, 6):
            yield {**ANN, "city": str(number)}

    report = await client.contacts.bulk_upsert(source(), coalesce=True)
    assert [call["city"] for call in calls(applied)] == ["0", "5"]
    assert [outcome.merged_into for outcome in report.outcomes] == [None, None, 1, 1, 1, 1]
    assert [outcome.status for outcome in report.outcomes] == ["created", *["updated"] * 5]


# ---------------------------------------------------------------------------------------------- what comes apart


async def test_a_call_that_is_refused_is_sent_again_row_by_row(client: LeadConnector, sandbox: Sandbox) -> None:
    rows = [{**ANN, "city": "A"}, {**ANN, "timezone": "Nowhere/Here"}, {**ANN, "city": "C"}, {**ANN, "name": "Ann"}]
    report = await load(client, [*rows, {"email": "ben@example.com"}, {**ANN, "tags": ["last"]}])
    assert [outcome.status for outcome in report.outcomes] == [
        "created",
        "failed",
        "updated",
        "updated",
        "created",
        "updated",
    ]
    assert report.merged == 0
    refused, *others = report.outcomes
    assert (refused.attempts, refused.calls) == (2, 2)
    assert [outcome.attempts for outcome in others] == [1] * 5
    (ann,) = (one for one in sandbox.contacts() if one["email"] == ANN["email"])
    assert (ann["city"], ann["name"], ann["tags"]) == ("C", "Ann", ["last"])
    assert report.requests == sandbox.requests == 7


async def test_a_value_that_is_dropped_does_not_take_the_one_before_with_it(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    rows = [{**ANN, "custom_fields": {PLAN: "Pro"}}, {**ANN, "custom_fields": {PLAN: "Gold"}, "city": "A"}]
    report = await load(client, rows)
    (ann,) = sandbox.contacts()
    assert ann["customFields"] == [{"id": PLAN, "value": "Pro"}]
    assert [outcome.status for outcome in report.outcomes] == ["created", "updated"]
    first, second = report.outcomes
    assert (first.new, first.not_applied, first.attempts) == (True, (), 2)
    assert [missing.field for missing in second.not_applied] == [f"custom_fields.{PLAN}"]
    assert report.requests == sandbox.requests == 3


async def test_each_row_is_told_what_was_not_taken_of_it(client: LeadConnector, sandbox: Sandbox) -> None:
    sandbox.add_contact(LOCATION, email="ben@example.com", phone=WITH_PHONE["phone"])
    sandbox.add_contact(LOCATION, **ANN)
    rows = [{**WITH_PHONE, "city": "A"}, {**WITH_PHONE, "custom_fields": [{"key": "plan", "field_value": "Gold"}]}]
    report = await load(client, rows)
    assert [[missing.field for missing in outcome.not_applied] for outcome in report.outcomes] == [
        ["phone"],
        ["phone", "custom_fields.plan"],
    ]
    assert report.merged == 1


async def test_poison_in_one_row_fails_that_row_alone(
    client: LeadConnector, sandbox: Sandbox, poison: set[bytes]
) -> None:
    poison.add(b"Poison")
    rows = [{**ANN, "city": "A"}, {**ANN, "city": "Poison"}, {**ANN, "company_name": "Acme"}]
    others = [{"email": f"p{number}@example.com"} for number in range(20)]
    report = await load(client, [*rows, *others], concurrency=2)
    assert [outcome.status for outcome in report.outcomes[:3]] == ["created", "failed", "updated"]
    (ann,) = (one for one in sandbox.contacts() if one["email"] == ANN["email"])
    assert (ann["city"], ann["companyName"]) == ("A", "Acme")


# ---------------------------------------------------------------------------------------------- stopping and going on


async def test_each_row_has_its_outcome_where_the_load_is_stopped(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(daily=1)
    client = await connect(sandbox)
    rows = [{"email": f"p{number % 3}@example.com", "city": str(number)} for number in range(12)]
    report = await load(client, rows, concurrency=1)
    assert [outcome.index for outcome in report.outcomes] == list(range(12))
    assert (report.created, report.updated, report.not_attempted, report.merged) == (1, 3, 8, 3)


async def test_each_row_has_its_outcome_where_on_outcome_fails(client: LeadConnector) -> None:
    report = BatchReport()
    rows = [{**ANN, "city": str(number)} for number in range(5)]
    with pytest.raises(Exception, match="KeyError"):
        await load(client, rows, report=report, on_outcome=lambda outcome: {}[outcome.index])
    assert [outcome.index for outcome in report.outcomes] == list(range(5))
    assert report.merged == 4


async def test_rows_are_unknown_together_where_the_load_is_cut_off(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox = await open_sandbox(latency=(5.0, 5.0))
    client = await connect(sandbox)
    report = BatchReport()
    rows = [{**ANN, "city": str(number)} for number in range(3)]
    task = asyncio.create_task(load(client, rows, report=report))
    await clock.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(one.status, one.merged_into) for one in report.outcomes] == [
        ("unknown", None),
        ("unknown", 0),
        ("unknown", 0),
    ]


async def test_a_journal_knows_each_row_by_itself(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    rows = [{"email": f"p{number % 4}@example.com", "city": str(number)} for number in range(12)]
    journal = tmp_path / "journal.sqlite3"
    first = await load(client, rows[:8], journal=journal)
    again = await load(client, rows, journal=journal)
    whole = await load(client, rows, journal=journal)
    assert (first.merged, again.merged, whole.merged) == (4, 4, 4)
    assert whole.total == 12
    assert [outcome.status for outcome in whole.outcomes] == ["created"] * 4 + ["updated"] * 8
    assert [outcome.merged_into for outcome in whole.outcomes[:8]] == [None] * 4 + [0, 1, 2, 3]
    assert whole.requests == sandbox.requests == 8
    assert [one["city"] for one in sandbox.contacts()] == ["8", "9", "10", "11"]


async def test_a_stream_coalesces_too(client: LeadConnector, applied: list[Applied], tmp_path: Path) -> None:
    rows = [Row({**ANN, "city": str(number)}, ref=f"message {number}") for number in range(5)]
    for journal in (None, tmp_path / "journal.sqlite3"):
        async with aclosing(client.contacts.stream_upserts(rows, coalesce=True, journal=journal)) as outcomes:
            assert [outcome.ref async for outcome in outcomes] == [f"message {number}" for number in range(5)]
    assert [call["city"] for call in calls(applied)] == ["4", "4"]


async def test_no_more_rows_are_read_ahead_than_may_wait(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(daily=1)
    client = await connect(sandbox)
    count = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal count
        while True:
            count += 1
            yield {**ANN, "city": str(count)}

    outcomes = client.contacts.stream_upserts(source(), coalesce=True, concurrency=1)
    with pytest.raises(Exception, match="day"):
        async for _ in outcomes:
            pass
    assert count <= 10_000 + 200


async def why_kept(journal: Journal, client: LeadConnector, contact_id: str) -> object:
    """Why an `undo` would keep a contact that the load created."""
    trace = journal.trace(contact_id)
    assert trace is not None
    return trace.why_kept(await client.contacts.get(contact_id))


async def test_a_trace_is_of_what_the_contact_holds_also_where_rows_came_apart(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, clock: FakeClock
) -> None:
    """`undo` deletes what a load created and nobody has touched since."""
    rows: list[dict[str, Any]] = [
        *({"email": "merged@example.com", "city": str(number)} for number in range(3)),
        {"email": "refused@example.com", "city": "A"},
        {"email": "refused@example.com", "timezone": "Nowhere/Here"},
        {"email": "refused@example.com", "city": "B"},
        *({"email": "dropped@example.com", "custom_fields": {PLAN: plan}} for plan in ("Pro", "Gold")),
    ]
    with Journal(tmp_path / "journal.sqlite3") as journal:
        report = await load(client, rows, journal=journal)
        changes = [await why_kept(journal, client, contact["id"]) for contact in sandbox.contacts()]
        await clock.sleep(60.0)
        touched = sandbox.contacts()[0]["id"]
        await client.contacts.update(touched, {"website": "https://example.com"})
        after = await why_kept(journal, client, touched)
    assert [outcome.status for outcome in report.outcomes if outcome.status != "updated"] == [
        "created",
        "created",
        "failed",
        "created",
    ]
    assert changes == [None, None, None]
    assert after is not None


@settings(max_examples=12, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), contacts()), min_size=4, max_size=20),
    kills=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    concurrency=st.integers(1, 4),
    seed=st.integers(0, 999),
)
async def test_the_state_is_that_of_the_rows_one_by_one_where_the_process_is_killed(
    rows: list[tuple[int, dict[str, Any]]], kills: list[int], concurrency: int, seed: int
) -> None:
    clock = FakeClock()
    options: dict[str, Any] = {
        "seed": seed,
        "unlimited": True,
        "latency": (0.05, 0.4),
        "monotonic": clock.monotonic,
        "wall": clock.time,
        "sleep": clock.sleep,
    }
    doubtful = ("email", "phone", "gender", "createNewIfDuplicateAllowed")
    of_people = [
        {"email": f"p{person}@b.co", **{name: value for name, value in row.items() if name not in doubtful}}
        for person, row in rows
    ]
    with tempfile.TemporaryDirectory() as folder:
        async with clock.jumping(), Sandbox(**options) as sandbox, Sandbox(**options) as one_by_one:
            async with LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, clock=clock) as client:
                path = Path(folder) / "journal"
                for kill_at in kills:
                    path = await load_until_killed(
                        client, of_people, path, kill_at, concurrency=concurrency, coalesce=True
                    )
                report = await load(client, of_people, journal=path, concurrency=concurrency)
            async with LeadConnector("sandbox", base_url=one_by_one.url, location_id=LOCATION, clock=clock) as client:
                alone = await upsert_one_by_one(client, of_people)
    assert state_of(sandbox) == state_of(one_by_one)
    assert [outcome.index for outcome in report.outcomes] == list(range(len(rows)))
    failed = [status == "failed" for status in alone]
    assert [outcome.status == "failed" for outcome in report.outcomes] == failed
