"""Contacts of Python and of JSON Lines are checked as the cells of a table are."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import (
    CheckboxField,
    Checks,
    ContactUpsert,
    CustomField,
    DndSetting,
    DndSettings,
    InvalidContactError,
    Journal,
    LeadConnector,
    Outcome,
    TextField,
    UsageError,
    check_contact,
)
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import open_row_file
from leadconnector_async.models.fields import FIELD_OF, UPSERT_FIELDS
from leadconnector_async.rules.fields import RULES
from leadconnector_async.sandbox import Sandbox

GERMAN = Checks(default_country="DE", date_order="dmy")
ANN = {"email": "ann@example.com"}
TEXTS = [
    *("Ann", " Ann\u200b ", "N/A", "-", "'0049", "M\u00c3\u00bcller", "R&amp;D", "Unspecified", "x" * 1001, "\ufeff"),
    *("a@b.co", "MAILTO:a@b.co", "a@b", "0171 1234567 Ann", "+4407911123456", "12", "1.5E+11", "15123456789.0"),
    *("03/04/1990", "1990-13-01", "3 M\u00e4rz 1990", "0001-01-01", "19900925", "Germany", "XX", "53111.0"),
    *("Europe/Berlin", "GMT+1", "example.com", "not an address", "male", "niet opgegeven"),
]
TEXT_FIELDS = [field.name for field in UPSERT_FIELDS if field.wire in RULES]


def test_values_are_sent_as_they_were_meant_and_what_changed_is_named() -> None:
    row = {
        "email": " MAILTO:ann@example.com",
        "phone": "0171 1234567 Ann",
        "first_name": "\u200bAnn ",
        "city": "N/A",
        "country": "Germany",
        "date_of_birth": "3 M\u00e4rz 1990",
        "tags": ["vip", "-"],
        "custom_fields": {"plan": "n/a", "shop": " Bonn "},
    }
    contact, problems = check_contact(row, GERMAN)
    assert contact == ContactUpsert(
        email="ann@example.com",
        phone="+491711234567",
        first_name="Ann",
        country="DE",
        date_of_birth="1990-03-03",
        tags=["vip"],
        custom_fields=[CustomField(key="shop", field_value="Bonn")],
    )
    assert [(problem.column, problem.action) for problem in problems] == [
        ("phone", "fixed"),
        ("city", "empty"),
        ("tags", "empty"),
        ("custom_fields", "empty"),
    ]


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        ({"email": "a@@b", "phone": "+491711234567"}, "email", "is not an email address"),
        ({"phone": "12"}, "phone", "lacks its area code"),
        ({"first_name": "Ann"}, "", "has neither email nor phone"),
        ({"email": "n/a"}, "", "has neither email nor phone"),
        ({**ANN, "emial": "x"}, "emial", "unknown field 'emial'"),
        ({**ANN, "dnd": "maybe"}, "dnd", "dnd"),
        (("ann@example.com",), "", "a contact is a ContactUpsert or a dict"),
    ],
)
def test_a_row_that_cannot_be_sent_says_why(row: Any, column: str, words: str) -> None:
    contact, problems = check_contact(row, GERMAN)
    (refused,) = [problem for problem in problems if problem.action == "refused"]
    assert (contact, refused.column, words in refused.sentence) == (None, column, True)


def test_what_a_contact_says_of_consent_and_of_nothing_stays() -> None:
    """Contacts of Python say what they mean: no rule closes, opens, clears or keeps anything for them."""
    contact = ContactUpsert(
        email="ann@example.com",
        city=None,
        dnd=False,
        dnd_settings=DndSettings(sms=DndSetting(status="inactive"), email=DndSetting(status="active")),
        custom_fields=[CheckboxField(id="ocQHyuzHvysMo5N5VsXc", field_value=["N/A", "x"])],
    )
    assert check_contact(contact) == (contact, [])
    assert check_contact(contact).contact is contact


def test_placeholders_are_kept_where_they_are_wanted() -> None:
    keep = Checks(keep_placeholders=True)
    kept = {**ANN, "first_name": "N/A", "tags": ["-"], "custom_fields": [{"key": "a", "field_value": "none"}]}
    contact, problems = check_contact(kept, keep)
    assert contact is not None
    assert (contact.first_name, contact.tags, contact.custom_fields, problems) == (
        "N/A",
        ["-"],
        [CustomField(key="a", field_value="none")],
        [],
    )
    assert check_contact({**ANN, "phone": "N/A"}, keep).problems[0].action == "empty"


@dataclass
class Person:
    email: str
    date_of_birth: date
    postal_code: float


def test_rows_of_all_kinds_are_checked() -> None:
    contact, problems = check_contact(Person("ann@example.com ", date(1990, 1, 2), 53111.0))
    assert contact == ContactUpsert(email="ann@example.com", date_of_birth="1990-01-02", postal_code="53111")
    assert problems == []
    typed = ContactUpsert(email="a@example.com", custom_fields=[TextField(key="a", field_value="N/A")])
    assert check_contact(typed).contact == ContactUpsert(email="a@example.com")


@given(
    st.dictionaries(st.sampled_from(TEXT_FIELDS), st.sampled_from(TEXTS), min_size=1),
    st.sampled_from([Checks(), GERMAN, Checks(keep_placeholders=True, default_country="US", date_order="mdy")]),
)
def test_a_row_of_python_and_a_line_of_a_file_are_the_same(row: dict[str, str], checks: Checks) -> None:
    """Each rule, each kind of text: whatever changes for files changes for rows of Python."""
    wires = {FIELD_OF[name].wire: text for name, text in {"phone": "+16175550100", **row}.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.jsonl"
        path.write_text(json.dumps(wires) + "\n", encoding="utf-8")
        (line,) = open_row_file(path, Meaning(checks=checks)).rows()
        expected, found = line.file.read(line)
    contact, problems = check_contact(wires, checks)
    assert contact == (None if isinstance(expected, InvalidContactError) else expected)
    names = {field.name: field.wire for field in UPSERT_FIELDS}
    order = sorted((names[one.column], one.sentence, one.action, one.value) for one in problems if one.column)
    assert order == sorted((one.column, one.sentence, one.action, one.value) for one in found if one.column)


# ---------------------------------------------------------------------------------------------- loads

ROWS: list[dict[str, Any]] = [
    {"email": "ann@example.com", "phone": "0171 1234567 Ann", "city": "NULL"},
    {"email": "bob@@example.com", "phone": "+491719999999"},
    {"email": "cyd@example.com", "phone": "12"},
    {"email": "dot@example.com"},
]


async def load(client: LeadConnector, kind: str, **options: Any) -> list[Outcome]:
    if kind == "stream":
        found = [one async for one in client.contacts.stream_upserts(ROWS, **options)]
        return sorted(found, key=lambda one: one.index)
    report = await client.contacts.bulk_upsert(ROWS, **options)
    assert (report.created, report.failed) == (3, 1)
    return report.outcomes


@pytest.mark.parametrize("kind", ["bulk", "stream"])
async def test_a_load_checks_its_rows(client: LeadConnector, sandbox: Sandbox, kind: str) -> None:
    ann, bob, cyd, dot = await load(client, kind, checks=GERMAN)
    assert {one["email"]: one.get("phone") for one in sandbox.contacts()} == {
        "ann@example.com": "+491711234567",
        "cyd@example.com": None,
        "dot@example.com": None,
    }
    assert [(one.column, one.action) for one in ann.problems] == [("phone", "fixed"), ("city", "empty")]
    assert [(one.column, one.value, one.action) for one in cyd.problems] == [("phone", "12", "skipped")]
    assert bob.error is not None
    assert (bob.status, bob.attempts, bob.error.kind) == ("failed", 0, "InvalidContactError")
    assert bob.error.message.startswith("email is not an email address")
    assert [one.action for one in bob.problems] == ["refused"]
    assert dot.problems == ()


async def test_a_journal_keeps_what_was_found_and_knows_rows_as_they_were(
    client: LeadConnector, tmp_path: Path
) -> None:
    journal = tmp_path / "load.sqlite3"
    first = await client.contacts.bulk_upsert(ROWS, journal=journal, checks=GERMAN)
    again = await client.contacts.bulk_upsert(ROWS, journal=journal, checks=Checks(default_country="AT"))
    assert (again.total, again.created, again.sessions) == (first.total, 3, 2)
    assert again.requests == first.requests
    with Journal(journal) as kept:
        assert [one.problems for one in kept.outcomes()] == [one.problems for one in first.outcomes]


async def test_without_checks_rows_are_sent_as_they_stand(client: LeadConnector, sandbox: Sandbox) -> None:
    report = await client.contacts.bulk_upsert([{"email": "a@example.com", "city": "N/A "}])
    assert (report.outcomes[0].problems, sandbox.contacts()[0]["city"]) == ((), "N/A ")


@pytest.mark.parametrize("wrong", [{"default_country": "DE"}, "DE", True, Checks])
async def test_what_are_no_checks_is_refused(client: LeadConnector, wrong: Any) -> None:
    with pytest.raises(UsageError, match="checks must be"):
        await client.contacts.bulk_upsert(ROWS, checks=wrong)
    with pytest.raises(UsageError, match="checks must be"):
        _ = [one async for one in client.contacts.stream_upserts(ROWS, checks=wrong)]
