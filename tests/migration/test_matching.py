"""What the service's matching will make of rows, told beforehand: the same as the sandbox then does."""

from __future__ import annotations

import random
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ContactUpsert
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.identity import identity_of
from leadconnector_async.migration.matching import Forecast, Matching, MatchRule
from leadconnector_async.sandbox.books import Books

EMAILS = [f"p{number}@example.com" for number in range(4)]
PHONES = [f"+1617555010{number}" for number in range(4)]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", *EMAILS]), st.sampled_from(["", *PHONES]), st.booleans(), st.sampled_from(["L", "M"])
    ).filter(lambda row: bool(row[0] or row[1])),
    max_size=14,
)
ORDERS = [("email", "phone"), ("phone", "email"), ("email",), ("phone",)]


def forecast(rows: list[tuple[str, str, bool, str]], rule: MatchRule) -> Forecast:
    with Matching() as matching:
        for number, (email, phone, is_apart, location) in enumerate(rows):
            contact = ContactUpsert(email=email, phone=phone)
            matching.add(number, location, identity_of(contact, location), is_apart=is_apart)
        return matching.forecast({"L": rule, "M": rule})


def lived_through(rows: list[tuple[str, str, bool, str]], rule: MatchRule) -> tuple[int, int, int]:
    """Let the sandbox do it: contacts, emails that were dropped, phones that were."""
    books = Books(
        allow_duplicates=rule.allows_duplicates,
        unique_identifiers=rule.order,
        custom_fields=(),
        refuse_unknown_custom_fields=False,
        country="US",
        locations=(),
        search_lag=0.0,
        chance=random.Random(1),
        wall=lambda: 0.0,
        monotonic=lambda: 0.0,
    )
    made = emails = phones = 0
    for email, phone, is_apart, location in rows:
        sent = {"locationId": location, "createNewIfDuplicateAllowed": is_apart}
        sent |= {name: value for name, value in (("email", email), ("phone", phone)) if value}
        contact, is_new = books.upsert(sent)
        made += is_new
        emails += bool(email) and contact.get("email") != email
        phones += bool(phone) and contact.get("phone") != phone
    return made, emails, phones


@pytest.mark.parametrize("allows_duplicates", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@given(rows=ROWS)
def test_the_forecast_is_what_the_sandbox_does(
    order: tuple[str, ...], allows_duplicates: bool, rows: list[tuple[str, str, bool, str]]
) -> None:
    rule = MatchRule(order=order, allows_duplicates=allows_duplicates)
    if not allows_duplicates:
        told = forecast(rows, rule)
        assert (told.contacts, told.lost_emails, told.lost_phones) == lived_through(rows, rule)
        assert told.contacts + told.repeats + told.overwrites == len(rows)
    else:  # contacts that have the same email or phone: which of them is found is the service's own affair
        apart = [(email, phone, True, location) for email, phone, _, location in rows]
        assert forecast(apart, rule).contacts == lived_through(apart, rule)[0] == len(rows)


def test_families_offices_and_repeats_are_told_apart() -> None:
    with Matching() as matching:
        for number, (email, phone) in enumerate(
            [
                ("ann@x.example", "+16175550100"),
                ("bob@x.example", "+16175550100"),  # overwrites Ann
                ("ann@x.example", "+16175550101"),  # Ann is no more: a new contact
                ("ANN@x.example ", ""),  # the same person
                ("dan@x.example", ""),
                ("dan@x.example", "(617) 555-0101"),  # its phone is Ann's: dropped
            ]
        ):
            matching.add(number, "L", identity_of(ContactUpsert(email=email, phone=phone), "L"))
        told = matching.forecast({})
        assert told == Forecast(contacts=3, repeats=2, overwrites=1, lost_emails=0, lost_phones=1)
        (group,) = matching.groups("overwrites", most=5, most_rows=5)
        assert [(row.number, row.fate, row.field) for row in group.rows] == [
            (0, "makes", None),
            (1, "overwrites", "phone"),
        ]
        assert [[row.number for row in group.rows] for group in matching.groups("updates", most=5, most_rows=5)] == [
            [2, 3],
            [4, 5],
        ]
        assert [group.size for group in matching.groups("updates", most=1, most_rows=1)] == [2]


def test_one_person_in_two_locations_is_two_contacts() -> None:
    same = ("ann@x.example", "+16175550100", False)
    assert forecast([(*same, "L"), (*same, "M")], MatchRule()).contacts == 2


def test_nothing_that_names_a_person_is_kept() -> None:
    with Matching() as matching:
        matching.add(0, "Somewhere", identity_of(ContactUpsert(email="ann@x.example", phone="+16175550100"), "L"))
        matching.forecast({})
        dump = "\n".join(matching._db.iterdump())
    assert "INSERT" in dump
    assert not any(word in dump for word in ("ann", "x.example", "6175550100", "Somewhere"))
    with pytest.raises(sqlite3.ProgrammingError):
        matching._db.execute("SELECT 1")


def test_a_full_disk_is_told_in_one_sentence() -> None:
    with Matching() as matching:
        matching._db.execute("PRAGMA max_page_count = 12")
        for number in range(4_999):
            matching.add(number, "L", identity_of(ContactUpsert(email=f"p{number}@x.example"), "L"))
        with pytest.raises(ConfigurationError, match=r"cannot be written .*; make room"):
            matching.forecast({})
