"""What a load left of a contact: whatever somebody else changes is noticed, and other forms of one value are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import (
    Contact,
    ContactUpdate,
    ContactUpsert,
    CustomFieldValue,
    DndSetting,
    DndSettings,
    InboundDndSetting,
    InboundDndSettings,
    LeadConnector,
)
from leadconnector_async.bulk.outcome import Entry
from leadconnector_async.bulk.report import Outcome
from leadconnector_async.bulk.traces import (
    Span,
    Trace,
    Written,
    follow,
    trace_of,
)
from leadconnector_async.models.identity import Identity
from leadconnector_async.run.database import Database
from leadconnector_async.run.journal import Journal
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock

AT = "2026-01-01T00:00:10.000Z"
MOMENT = 1767225610.0
ANN = ContactUpsert(email="ann@example.com", first_name="Ann")
OTHERS: dict[str, Any] = {
    "first_name": "Eve",
    "last_name": "Doe",
    "email": "eve@example.com",
    "phone": "+16175550199",
    "address1": "2 Side St",
    "city": "Bonn",
    "state": "MA",
    "postal_code": "02134",
    "country": "DE",
    "website": "https://eve.example",
    "timezone": "Europe/Berlin",
    "dnd": True,
    "dnd_settings": {"SMS": {"status": "active"}},
    "inbound_dnd_settings": {"all": {"status": "active"}},
    "tags": ["vip"],
    "custom_fields": [{"id": "SandboxField00000005", "field_value": "5"}],
    "date_of_birth": "1990-09-25",
    "source": "by hand",
    "assigned_to": "y0BeYjuRIlDwsDcOHOJo",
}


def contact(**fields: Any) -> Contact:
    return Contact(id="x" * 20, **{"email": "ann@example.com", "date_updated": AT, **fields})


def trace(stored: Contact | None = None, *, span: Span | None = None) -> Trace:
    return trace_of(Written(ANN, stored or contact(), span))


def test_all_that_an_update_can_change_is_looked_at() -> None:
    assert OTHERS.keys() == set(ContactUpdate.__struct_fields__) - {"name"}  # made of its parts


@pytest.mark.parametrize("field", OTHERS)
async def test_a_change_of_any_field_is_noticed_though_the_date_hides_it(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, field: str
) -> None:
    client: LeadConnector = await connect(await open_sandbox())
    stored = (await client.contacts.upsert(ANN)).contact
    left = trace(stored).tagged(["new"], None)
    await clock.sleep(5)
    await client.contacts.update(stored.id, {field: OTHERS[field]})
    await client.contacts.add_tags(stored.id, ["new"])
    now = await client.contacts.get(stored.id)
    hidden = msgspec.structs.replace(left, span=(clock.time() - 1, clock.time() + 1))
    assert field in str(hidden.why_kept(now))


@pytest.mark.parametrize(
    ("left", "now", "is_kept"),
    [
        (trace(), contact(), False),
        (trace(), contact(date_updated="2026-01-01T01:00:10.000+01:00"), False),
        (trace(), contact(date_updated="2026-01-01T00:00:10.001Z"), True),
        (trace(), contact(date_updated="2026-01-01T00:00:09.000Z"), True),
        (trace(), contact(date_updated=None), True),
        (trace(), contact(date_updated="yesterday"), True),
        (trace(), contact(tags=["vip"]), True),
        (trace(contact(tags=["vip"])), contact(), True),
        (trace(contact(tags=["b", "a"])), contact(tags=["a", "b"]), False),
        # no date in the answer: the time of the call tells, and what the contact holds
        (trace(contact(date_updated=None)), contact(), True),
        (trace(contact(date_updated=None), span=(MOMENT - 1, MOMENT + 1)), contact(), False),
        (trace(contact(date_updated=None), span=(MOMENT - 1, MOMENT + 1)), contact(city="Rome"), True),
        (trace(contact(date_updated=None), span=(MOMENT - 9, MOMENT - 8)), contact(), True),
        # tags were added, and moved the date or did not
        (trace().tagged(["vip"], (MOMENT + 50, MOMENT + 51)), contact(tags=["vip"]), False),
        (
            trace().tagged(["VIP "], (MOMENT + 50, MOMENT + 51)),
            contact(tags=["vip"], date_updated="2026-01-01T00:01:00.500Z"),
            False,
        ),
        (
            trace().tagged(["vip"], (MOMENT + 50, MOMENT + 51)),
            contact(tags=["vip"], date_updated="2026-01-01T00:00:30.000Z"),
            True,
        ),
        (trace().tagged(["vip"], None), contact(tags=["vip"], date_updated="2026-01-01T00:01:00.500Z"), True),
        (trace().tagged(["vip"], (MOMENT, MOMENT)).tagged(["new"], (MOMENT, MOMENT)), contact(tags=["vip"]), True),
    ],
)
def test_a_contact_is_kept_unless_it_is_known_to_be_as_it_was_left(left: Trace, now: Contact, is_kept: bool) -> None:
    assert (left.why_kept(now) is not None) is is_kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"email": "Ann@Example.com "}, {"email": "ann@example.com"}),
        ({"phone": "+1 617-555-0100"}, {"phone": "+16175550100"}),
        ({"date_of_birth": "1990-09-25"}, {"date_of_birth": "1990-09-25T00:00:00.000Z"}),
        ({"city": "Rome"}, {"city": "Rome "}),
        ({"city": ""}, {"city": None}),
        ({"dnd": False}, {}),
        ({"gender": "female"}, {}),
        ({}, {"inbound_dnd_settings": InboundDndSettings(all=InboundDndSetting(status="inactive"))}),
        ({"dnd_settings": DndSettings(email=DndSetting(status="inactive"))}, {}),
        ({"dnd_settings": DndSettings(email=DndSetting(status="inactive", message=None, code=""))}, {}),
        *(
            (
                {"custom_fields": [CustomFieldValue(id="f", value=one)]},
                {"custom_fields": [CustomFieldValue(id="f", value=other)]},
            )
            for one, other in ((["b", "a"], ["a", "b"]), (100, "100"), (100, 100.0), ("x", " x"))
        ),
    ],
)
def test_another_form_of_the_same_value_is_no_change(one: dict[str, Any], other: dict[str, Any]) -> None:
    left = trace(contact(**{**one, "date_updated": None}), span=(MOMENT, MOMENT))
    assert left.why_kept(contact(**other)) is None


def test_what_an_answer_does_not_name_is_as_it_was_before() -> None:
    left = follow(trace(contact(gender="female")), Written(ContactUpdate(phone="+16175550100"), contact(), None))
    hidden = msgspec.structs.replace(left, updated_at=None, span=(MOMENT, MOMENT))
    assert hidden.why_kept(contact(gender="female")) is None
    assert "gender" in str(hidden.why_kept(contact(gender="male")))


@pytest.mark.parametrize(
    "change",
    [
        {"gender": "male"},
        {"company_name": "Acme"},
        {"inbound_dnd_settings": InboundDndSettings(all=InboundDndSetting(status="active"))},
        {"dnd_settings": DndSettings(email=DndSetting(status="inactive", message="by phone"))},
        {"business_id": "641c094001436dbc2081e642"},
        {"type": "customer"},
        {"unsubscribe_email": True},
    ],
)
def test_a_field_that_a_first_answer_does_not_name_is_looked_at_too(change: dict[str, Any]) -> None:
    left = trace(contact(date_updated=None), span=(MOMENT, MOMENT))
    assert next(iter(change)) in str(left.why_kept(contact(**change)))


def test_an_answer_that_comes_late_changes_nothing() -> None:
    early, late = contact(city="Rome"), contact(city="Bonn", date_updated="2026-01-01T00:00:20.000Z")
    left = follow(trace(late), Written(ContactUpsert(email="ann@example.com", city="Rome"), early, None))
    assert left.why_kept(late) is None


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    left = trace(contact(city="Rome", tags=["b", "a"])).tagged(["c"], (1.5, 2.5))
    touched = follow(left, Written(ContactUpdate(phone="+16175550100"), contact(city="Bonn"), None))
    assert touched.touched == ("city", "tags")
    written = Written(ContactUpsert(email="ann@example.com"), contact(), None)
    created = Outcome(index=0, status="created", contact_id=LOCATION, new=True, attempts=1)
    with Database(tmp_path / "run.sqlite3") as file:
        journal = Journal(file)
        journal.write([Entry(created, b"", Identity("", ""), is_repeatable=True, written=(written,))])
        assert journal.trace(LOCATION) == trace_of(written)
        for one in (left, touched):
            journal.change_traces([LOCATION, "another"], lambda _, one=one: one)  # type: ignore[misc]
            assert journal.trace(LOCATION) == one
        assert journal.trace("another") is None
