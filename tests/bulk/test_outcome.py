"""The wrong person: two rows of one load that met the same contact, although they are about two people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import BatchReport, LeadConnector, NotApplied, Outcome
from leadconnector_async.bulk.outcome import RecentContacts
from leadconnector_async.models.identity import is_another_person
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION

ANN = {"email": "ann@example.com", "phone": "+16175550100"}
BOB = {"email": "bob@example.com", "phone": "(617) 555-0100"}  # the same office


@pytest.mark.parametrize("is_journaled", [True, False], ids=["journal", "memory"])
async def test_a_shared_phone_is_told(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, is_journaled: bool
) -> None:
    rows = [ANN, {"email": "carl@example.com"}, BOB, {**BOB, "city": "Boston"}]
    journal = tmp_path / "journal" if is_journaled else None
    report = await client.contacts.bulk_upsert(rows, journal=journal)
    assert [outcome.collision_with for outcome in report.outcomes] == [None, None, 0, None]
    assert report.collisions == report.to_dict()["collisions"] == 1
    assert report.outcomes[0].contact_id == report.outcomes[2].contact_id
    # The sandbox does as the service: the email of the first is gone.
    assert {contact["email"] for contact in sandbox.contacts()} == {"bob@example.com", "carl@example.com"}


@pytest.mark.parametrize("is_journaled", [True, False], ids=["journal", "memory"])
async def test_a_row_without_an_email_in_between_hides_nothing(
    client: LeadConnector, tmp_path: Path, is_journaled: bool
) -> None:
    rows = [ANN, {"phone": ANN["phone"]}, BOB]
    report = await client.contacts.bulk_upsert(rows, journal=tmp_path / "journal" if is_journaled else None)
    assert [outcome.collision_with for outcome in report.outcomes] == [None, None, 0]


async def test_it_is_told_across_sessions(client: LeadConnector, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    await client.contacts.bulk_upsert([ANN], journal=path)
    report = await client.contacts.bulk_upsert([ANN, BOB], journal=path)
    assert report.outcomes[1].collision_with == 0
    again = await client.contacts.bulk_upsert([ANN, BOB], journal=path, keep_outcomes=False)
    assert again.collisions == 1


async def test_a_stream_tells_it_too_and_it_can_be_switched_off(client: LeadConnector, sandbox: Sandbox) -> None:
    told = {o.index: o.collision_with async for o in client.contacts.stream_upserts([ANN, BOB])}
    assert told == {0: None, 1: 0}
    report = await client.contacts.bulk_upsert([{**ANN, "city": "Bonn"}, BOB], compare=False)
    assert report.collisions == 0


@pytest.mark.parametrize(
    ("rows", "collides"),
    [
        ([{"email": "a@b.co"}, {"email": "A@B.co "}], False),
        ([{"email": "a@b.co"}, {"email": "a@b.co", "phone": "+16175550100"}], False),
        ([{"email": "a@b.co", "phone": "+16175550100"}, {"phone": "+16175550100"}], False),
        ([{"email": "a@b.co", "phone": "+16175550100"}, {"email": "a@b.co", "phone": "+16175550101"}], False),
        ([{"phone": "+16175550100"}, {"email": "a@b.co", "phone": "+16175550100"}], False),
        ([{"email": "a@b.co", "phone": "+16175550100"}, {"email": "b@b.co", "phone": "+16175550100"}], True),
    ],
)
async def test_one_person_told_twice_is_no_collision(
    client: LeadConnector, rows: list[dict[str, Any]], collides: bool
) -> None:
    report = await client.contacts.bulk_upsert(rows)
    assert len({outcome.contact_id for outcome in report.outcomes}) == 1
    assert report.collisions == collides


async def test_a_contact_known_by_email_to_one_row_and_by_phone_to_another(
    client: LeadConnector, sandbox: Sandbox
) -> None:
    sandbox.add_contact(LOCATION, email="a@b.co", phone="+16175550100")
    report = await client.contacts.bulk_upsert([{"email": "a@b.co"}, {"phone": "+16175550100"}])
    assert report.collisions == 0  # nothing tells them apart


def test_the_email_decides_and_else_the_phone() -> None:
    assert is_another_person(("a", "1"), ("b", "1"))
    assert not is_another_person(("a", "1"), ("a", "2"))
    assert is_another_person(("", "1"), ("b", "2"))
    assert not is_another_person(("a", ""), ("", "1"))


def test_memory_holds_the_last_contacts_and_no_more() -> None:
    contacts = RecentContacts()
    for number in range(100_000):
        contacts.keep(str(number), (number, (number, None)))
    assert contacts.get("99999") == (99_999, (99_999, None))
    assert contacts.get("90000") is not None
    assert contacts.get("1000") is None
    assert len(contacts._recent) + len(contacts._earlier) <= 20_000


# ---------------------------------------------------------------------------------------------- what was not applied

missing = st.lists(st.sampled_from(["dnd_settings", "tags", "phone"]).map(lambda field: NotApplied(field, 1, None)))


@given(st.lists(st.tuples(st.sampled_from(["created", "updated", "failed"]), missing), max_size=8))
def test_what_was_not_applied_is_counted_by_rows(rows: list[tuple[Any, list[NotApplied]]]) -> None:
    """Also where the upsert of a row and the closing of its channels both leave one field out."""
    report = BatchReport()
    for index, (status, fields) in enumerate(rows):
        report.add(Outcome(index=index, status=status, not_applied=tuple(fields)))
    assert report.partially_applied == sum(bool(fields) for _, fields in rows)
    names = {one.field for _, fields in rows for one in fields}
    assert report.not_applied == {
        name: sum(any(one.field == name for one in fields) for _, fields in rows) for name in names
    }
