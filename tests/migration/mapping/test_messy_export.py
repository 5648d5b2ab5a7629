"""An export with all that goes wrong in real ones, made for these tests: what is set aside, row by row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from leadconnector_async import ContactUpsert
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import open_row_file
from leadconnector_async.migration.migration import Migration
from leadconnector_async.migration.options import MigrationOptions
from leadconnector_async.rules.checks import Checks

EXPORT = Path(__file__).parent / "messy_hubspot.csv"
NO_IDENTITY = "has neither email nor phone, and the service matches by these"
DAY_FIRST = "has the day first, which the service does not read; `date_order='dmy'` reads it so"

# The truth of the file, by its row: column, what is done, and how the sentence begins.
TOLD = {
    5: ("Email", "refused", "is not an email address"),
    20: ("Email", "refused", "is not an email address"),
    23: ("Email", "refused", "is not an email address"),
    24: ("Email", "skipped", "is not an email address"),
    25: ("Additional email addresses", "skipped", "is not sent, as another column gives email"),
    33: ("Email", "fixed", "holds several addresses"),
    43: ("", "refused", NO_IDENTITY),
    44: ("", "refused", NO_IDENTITY),
    45: ("", "refused", NO_IDENTITY),
    47: ("Phone Number", "refused", "is not a phone number"),
    53: ("Phone Number", "skipped", "is not a phone number"),
    54: ("Phone Number", "skipped", "is not a phone number"),
    55: ("Phone Number", "skipped", "begins with a country code that does not exist"),
    56: ("Mobile Phone Number", "skipped", "is not sent, as another column gives phone"),
    63: ("Date of birth", "skipped", DAY_FIRST),
    64: ("Date of birth", "skipped", DAY_FIRST),
    65: ("Date of birth", "skipped", DAY_FIRST),
    66: ("Date of birth", "skipped", "may be month and day, or day and month"),
    67: ("Date of birth", "skipped", "is a day that does not exist"),
    73: ("Country/Region", "skipped", "is not a country that the service knows"),
    74: ("Time Zone", "skipped", "is not a time zone"),
    76: ("Unsubscribed from all email", "fixed", "is neither yes nor no, and is taken for an opt-out"),
    77: ("City", "skipped", "is longer than 1,000 characters"),
}


def test_each_problem_is_told_by_row_and_column_and_nothing_else_is() -> None:
    file = open_row_file(EXPORT)
    found = {}
    for row in file.rows():
        for problem in row.problems:
            if problem.action not in ("empty", "assumed"):
                assert row.record.number not in found
                found[row.record.number] = problem
    assert found.keys() == TOLD.keys()
    for number, (column, action, sentence) in TOLD.items():
        assert (found[number].column, found[number].action) == (column, action)
        assert found[number].sentence.startswith(sentence)


def test_the_rest_is_sent_whole() -> None:
    file = open_row_file(EXPORT)
    contacts = {row.record.number: row.contact for row in file.rows()}
    refused = {number for number, (_, action, _) in TOLD.items() if action == "refused"}
    assert {number for number, contact in contacts.items() if not isinstance(contact, ContactUpsert)} == refused
    assert len(contacts) == 120
    sent = [contact for contact in contacts.values() if isinstance(contact, ContactUpsert)]
    assert {contact.postal_code for contact in sent} == {"02134", "00501", "8001", "SW1A 1AA"}
    assert any("\n" in str(contact.address1) for contact in sent)
    assert {contact.country for contact in sent if isinstance(contact.country, str)} == {"US", "CH", "GB"}
    assert {contact.timezone for contact in sent if isinstance(contact.timezone, str)} == {
        "America/New_York",
        "Europe/Zurich",
    }
    assert {contact.date_of_birth for contact in sent if isinstance(contact.date_of_birth, str)} == {"1990-09-25"}
    emails = {row: contact.email for row, contact in contacts.items() if isinstance(contact, ContactUpsert)}
    assert (emails[24], emails[33], emails[34]) == ("spare21@example.com", "two30@example.com", "person31@example.com")


async def test_what_the_user_decides_is_set_aside_no_more() -> None:
    file = open_row_file(EXPORT, Meaning(checks=Checks(default_country="US", date_order="dmy")))
    options = MigrationOptions(default_country="US", date_order="dmy")
    async with await Migration.prepare(None, [EXPORT], folder=None, options=options) as run:
        problems = run.plan.problems
    kinds = Counter({(kind.column, kind.action): kind.count for kind in problems})
    assert kinds["Date of birth", "skipped"] == 1  # 1990-02-30
    assert not any(kind.action == "assumed" for kind in problems)
    assert [kind.column for kind in problems if kind.action == "empty"] == ["Website URL"]  # n/a
    phones = [row.contact.phone for row in file.rows() if isinstance(row.contact, ContactUpsert)]
    assert all(phone.startswith("+") for phone in phones if isinstance(phone, str))
