"""Rows with the id of a contact: they update that one, and never make another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async import (
    ContactUpsert,
    DuplicateContactError,
    InvalidContactError,
    LeadConnector,
    NotFoundError,
    RetryPolicy,
)
from leadconnector_async.bulk.source import Creation
from leadconnector_async.protocol import API_VERSIONS
from leadconnector_async.sandbox import FAULT_KINDS, Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock

GONE = "0" * 20


async def make(client: LeadConnector, **fields: Any) -> str:
    return (await client.contacts.create({"first_name": "Ann", **fields})).id


async def test_an_edited_email_changes_that_contact_and_makes_no_second_one(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    ann = await make(client, email="ann@old.com", phone="+16175550101", tags=["vip"])
    report = await client.contacts.bulk_upsert([{"id": ann, "email": "ann@new.com", "lastName": "Lee"}])
    (outcome,) = report.outcomes
    assert (outcome.status, outcome.new, outcome.contact_id, outcome.not_applied) == ("updated", False, ann, ())
    (contact,) = sandbox.contacts()
    assert (contact["email"], contact["phone"], contact["tags"]) == ("ann@new.com", "+16175550101", ["vip"])


async def test_a_deleted_id_fails_its_row_alone(client: LeadConnector, sandbox: Sandbox) -> None:
    ann = await make(client, email="ann@a.co")
    rows = [{"id": GONE, "email": "bob@b.co"}, {"id": ann, "city": "Rome"}, {"email": "cy@c.co"}]
    report = await client.contacts.bulk_upsert(rows)
    assert [outcome.status for outcome in report.outcomes] == ["failed", "updated", "created"]
    assert report.outcomes[0].error is not None
    assert "not found" in report.outcomes[0].error.message
    assert sorted(contact["email"] for contact in sandbox.contacts()) == ["ann@a.co", "cy@c.co"]


async def test_a_contact_of_another_location_fails_its_row_alone(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(locations=[LOCATION])
    client = await connect(sandbox)
    ann = await make(client, email="ann@a.co")
    elsewhere = sandbox.add_contact("elsewhere", email="eve@e.co")["id"]
    rows = [{"id": ann, "city": "Rome"}, {"id": elsewhere, "city": "Rome"}, {"email": "cy@c.co"}]
    report = await client.contacts.bulk_upsert(rows, concurrency=1)
    assert [outcome.status for outcome in report.outcomes] == ["updated", "failed", "created"]
    report = await client.contacts.bulk_upsert([rows[1], rows[0]])
    assert [outcome.status for outcome in report.outcomes] == ["failed", "updated"]


async def test_a_location_without_access_is_known_after_a_few_rows_with_ids(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(locations=["another"])
    client = await connect(sandbox)
    ids = [sandbox.add_contact(LOCATION, email=f"p{number}@b.co")["id"] for number in range(200)]
    report = await client.contacts.bulk_upsert([{"id": one, "city": "Rome"} for one in ids], concurrency=4)
    assert (report.failed, report.not_attempted) == (3, 197)
    assert len(sandbox.arrivals) <= 3 + 4
    assert LOCATION in report.closed_locations


@pytest.mark.parametrize(("field", "value"), [("email", "bob@b.co"), ("phone", "+16175550102")])
async def test_a_taken_email_or_phone_fails_the_row_and_names_whose_it_is(
    client: LeadConnector, sandbox: Sandbox, field: str, value: str
) -> None:
    ann = await make(client, email="ann@a.co", phone="+16175550101")
    bob = await make(client, first_name="Bob", email="bob@b.co", phone="+16175550102")
    report = await client.contacts.bulk_upsert([{"id": ann, field: value, "city": "Rome"}])
    (outcome,) = report.outcomes
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert f"contact {bob} (Bob) has the {field}" in outcome.error.message
    assert "city" not in sandbox.contacts()[0]
    with pytest.raises(DuplicateContactError) as refused:
        await client.contacts.upsert({"id": ann, field: value})
    assert refused.value.contact_id == bob


@pytest.mark.parametrize("is_bulk", [True, False])
async def test_a_company_goes_by_an_upsert_that_meets_the_contact_and_gender_is_reported(
    client: LeadConnector, sandbox: Sandbox, is_bulk: bool
) -> None:
    ann = await make(client, email="ann@a.co", company_name="Old")
    row = {"id": ann, "email": "ann@new.com", "company_name": "New", "gender": "female"}
    if is_bulk:
        not_applied = (await client.contacts.bulk_upsert([row])).outcomes[0].not_applied
    else:
        not_applied = (await client.contacts.upsert(row)).not_applied
    assert [one.field for one in not_applied] == ["gender"]
    (contact,) = sandbox.contacts()
    assert (contact["email"], contact["companyName"]) == ("ann@new.com", "New")


@pytest.mark.parametrize("version", API_VERSIONS)
async def test_every_version_updates_by_id_and_creates_of_a_name_alone(
    open_sandbox: OpenSandbox, connect: OpenSandbox, version: str
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, api_version=version)
    ann = await make(client, email="ann@a.co", dnd_settings={"sms": {"status": "active"}})
    custom = [{"key": "nickname", "field_value": "Annie"}]
    settings = {"Email": {"status": "active"}}
    row = {"id": ann, "email": "ann@new.co", "companyName": "New", "customFields": custom, "dndSettings": settings}
    alone = Creation(ContactUpsert(first_name="Bob", timezone="Europe/Rome", tags=["vip"]))
    report = await client.contacts.bulk_upsert([row, alone])
    assert [(outcome.status, outcome.not_applied) for outcome in report.outcomes] == [("updated", ()), ("created", ())]
    first, second = sandbox.contacts()
    assert (first["email"], first["companyName"], set(first["dndSettings"])) == ("ann@new.co", "New", {"SMS", "Email"})
    assert (first["customFields"][0]["value"], second["firstName"], second["tags"]) == ("Annie", "Bob", ["vip"])


async def test_a_company_that_is_there_costs_no_further_call(client: LeadConnector, sandbox: Sandbox) -> None:
    ann = await make(client, email="ann@a.co", company_name="Acme")
    report = await client.contacts.bulk_upsert([{"id": ann, "company_name": "Acme", "city": "Rome"}])
    assert (report.outcomes[0].attempts, report.outcomes[0].not_applied) == (1, ())


async def test_a_company_that_no_upsert_can_set_is_reported(client: LeadConnector, sandbox: Sandbox) -> None:
    ann = await make(client)  # without an email or a phone
    report = await client.contacts.bulk_upsert([{"id": ann, "company_name": "New", "city": "Rome"}])
    assert [one.field for one in report.outcomes[0].not_applied] == ["company_name"]
    assert len(sandbox.contacts()) == 1


async def test_a_company_is_sent_to_nobody_else(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(allow_duplicates=True)
    client = await connect(sandbox)
    first = await make(client, email="info@a.co")
    second = await make(client, email="info@a.co")
    report = await client.contacts.bulk_upsert([{"id": second, "company_name": "New"}])
    assert [one.field for one in report.outcomes[0].not_applied] == ["company_name"]
    assert "companyName" not in (await client.contacts.get(first)).extra
    assert (await client.contacts.get(first)).company_name is None


async def test_other_channels_stay_as_they_are(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(replace_dnd=True)
    client = await connect(sandbox)
    ann = await make(client, email="ann@a.co", dnd_settings={"sms": {"status": "active"}})
    await client.contacts.bulk_upsert([{"id": ann, "dndSettings": {"Email": {"status": "active"}}}])
    assert set(sandbox.contacts()[0]["dndSettings"]) == {"SMS", "Email"}


async def test_rows_about_one_contact_apply_in_their_order(client: LeadConnector, sandbox: Sandbox) -> None:
    ann = await make(client, email="ann@a.co")
    rows = [{"id": ann, "city": f"City {number}"} for number in range(30)]
    report = await client.contacts.bulk_upsert(rows)
    assert report.updated == 30
    assert sandbox.contacts()[0]["city"] == "City 29"


async def test_a_row_with_nothing_but_an_id_finds_out_whether_it_is_there(client: LeadConnector) -> None:
    ann = await make(client, email="ann@a.co")
    report = await client.contacts.bulk_upsert([{"id": ann}, {"id": GONE}])
    assert [outcome.status for outcome in report.outcomes] == ["updated", "failed"]


@pytest.mark.parametrize("number", [17, "", "00Q5e00000ABCDEFGH", "../../users"])
async def test_what_is_no_id_of_a_contact_is_not_sent(client: LeadConnector, sandbox: Sandbox, number: Any) -> None:
    with pytest.raises(InvalidContactError, match="is not the id of a contact"):
        await client.contacts.upsert({"id": number, "email": "ann@a.co"})
    assert (await client.contacts.bulk_upsert([{"id": number, "email": "ann@a.co"}])).failed == 1
    assert sandbox.contacts() == []


async def test_what_contradicts_an_id_is_refused(client: LeadConnector) -> None:
    with pytest.raises(InvalidContactError, match="never created"):
        await client.contacts.upsert({"id": GONE, "create_new_if_duplicate_allowed": True})
    with pytest.raises(InvalidContactError, match="create takes no id"):
        await client.contacts.create({"id": GONE, "first_name": "Ann"})
    with pytest.raises(InvalidContactError, match="null is not accepted"):
        await client.contacts.upsert({"id": GONE, "gender": None})
    with pytest.raises(NotFoundError):
        await client.contacts.upsert({"id": GONE, "city": "Rome"})


# ---------------------------------------------------------------------------------------------- whatever happens

FIELDS = {"city": st.sampled_from(["Rome", "Oslo"]), "companyName": st.sampled_from(["Acme", "Ajax"])}
KINDS = sorted(FAULT_KINDS.keys() - {"hang", "422-created"})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.fixed_dictionaries({}, optional=FIELDS)), max_size=25),
    faults=st.dictionaries(st.sampled_from(KINDS), st.sampled_from([0.05, 0.3]), max_size=3),
    seed=st.integers(0, 999),
)
async def test_no_fault_makes_a_contact_and_each_row_goes_where_it_says(
    rows: list[tuple[int, dict[str, Any]]], faults: dict[str, float], seed: int
) -> None:
    clock = FakeClock()
    async with (
        clock.jumping(),
        Sandbox(seed=seed, faults=faults, monotonic=clock.monotonic, wall=clock.time, sleep=clock.sleep) as sandbox,
        LeadConnector(
            "sandbox",
            location_id=LOCATION,
            base_url=sandbox.url,
            clock=clock,
            retry=RetryPolicy(max_attempts=3, first_delay=0.1),
        ) as client,
    ):
        ids = [sandbox.add_contact(LOCATION, email=f"p{number}@b.co")["id"] for number in range(4)] + [GONE]
        report = await client.contacts.bulk_upsert([{"id": ids[number], **fields} for number, fields in rows])
        assert len(sandbox.contacts()) == 4
        assert report.created == 0
        assert all(
            outcome.contact_id in (None, ids[rows[outcome.index][0]]) and outcome.status in ("updated", "failed")
            for outcome in report.outcomes
        )
        assert all(outcome.status == "failed" for outcome in report.outcomes if rows[outcome.index][0] == 4)


async def test_a_load_that_was_cut_off_goes_on(open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path) -> None:
    sandbox = await open_sandbox()
    client, stop = await connect(sandbox), asyncio.Event()
    ids = [sandbox.add_contact(LOCATION, email=f"p{number}@b.co")["id"] for number in range(9)]
    rows = [ContactUpsert(id=one, city="Rome", company_name="Acme") for one in ids]
    options: dict[str, Any] = {"journal": tmp_path / "journal.sqlite3", "concurrency": 1}
    sandbox.fail_next("reset-after", times=2)
    report = await client.contacts.bulk_upsert(rows, **options, stop=stop, on_outcome=lambda _: stop.set())
    assert 0 < report.updated < 9
    report = await client.contacts.bulk_upsert(rows, **options)
    assert (report.updated, report.created) == (9, 0)
    assert [contact["companyName"] for contact in sandbox.contacts()] == ["Acme"] * 9
