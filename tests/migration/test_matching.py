"""What the service's matching will make of rows, told beforehand: the same as the sandbox then does."""

from __future__ import annotations

import random
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import ContactUpsert
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.migration.matching import Conflict, Forecast, Matching, MatchRule, PhoneRule
from leadconnector_async.models.identity import identity_of
from leadconnector_async.sandbox.answers import Refusal
from leadconnector_async.sandbox.books import Records

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
        matching.find_shared_phones()
        return matching.forecast({"L": rule, "M": rule})


def open_books(rule: MatchRule) -> Records:
    return Records(
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


def lived_through(rows: list[tuple[str, str, bool, str]], rule: MatchRule) -> tuple[int, int, int]:
    """Let the sandbox do it: contacts, emails that were dropped, phones that were."""
    books = open_books(rule)
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
@settings(deadline=None)  # files are made, and the machine may be busy
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
        matching.find_shared_phones()
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


@pytest.mark.parametrize("count", [1, 49, 50, 51, 99, 5_000, 5_051])
def test_however_many_rows_go_into_a_statement_each_is_kept_once(count: int) -> None:
    with Matching() as matching:
        for number in range(count):
            contact = ContactUpsert(email=f"p{number // 2}@x.example", phone=f"+1617555{number:04}")
            matching.add(number, "L", identity_of(contact, "L"))
        matching.find_shared_phones()
        told = matching.forecast({})
        kept = [number for (number,) in matching._db.execute("SELECT number FROM rows ORDER BY number")]
    assert kept == list(range(count))
    assert (told.contacts, told.repeats) == (-(-count // 2), count // 2)


def test_nothing_that_names_a_person_is_kept() -> None:
    with Matching() as matching:
        matching.add(0, "Somewhere", identity_of(ContactUpsert(email="ann@x.example", phone="+16175550100"), "L"))
        matching.find_shared_phones()
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
        with pytest.raises(ConfigurationError, match=r"cannot be written .*; free disk space"):
            matching.find_shared_phones()


# ---------------------------------------------------------------------------------------------- shared phones


def settled(
    rows: list[tuple[str, str]],
    wanted: PhoneRule = "second-pass",
    rule: MatchRule = MatchRule(),  # noqa: B008
) -> tuple[list[Conflict], Forecast]:
    with Matching() as matching:
        for number, (email, phone) in enumerate(rows):
            matching.add(number, "L", identity_of(ContactUpsert(email=email, phone=phone), "L"))
        if matching.find_shared_phones():
            matching.settle_phones(wanted, {"L": rule})
        return list(matching.phones.conflicts()), matching.forecast({"L": rule})


HOUSE = "+16175550100"
OWN = "+16175550101"


def test_the_first_person_keeps_a_phone_and_the_others_go_without() -> None:
    conflicts, told = settled(
        [("", HOUSE), ("ann@x.example", HOUSE), ("bob@x.example", HOUSE), ("", HOUSE), ("ann@x.example", HOUSE)]
    )
    assert conflicts == [Conflict(2, 1, None, "wait")]
    assert (told.contacts, told.overwrites, told.deferred, told.refused_phones) == (2, 0, 1, 1)
    conflicts, told = settled([("ann@x.example", HOUSE), ("bob@x.example", HOUSE), ("c@x.example", HOUSE)], "skip")
    assert [(conflict.row, conflict.action) for conflict in conflicts] == [(1, "skip"), (2, "skip")]
    assert (told.contacts, told.overwrites, told.skipped) == (1, 0, 2)


def test_a_phone_that_a_later_row_of_the_person_changes_is_left_to_that_row() -> None:
    ann, bob = "ann@x.example", "bob@x.example"
    house, own = (bob, HOUSE), (bob, OWN)
    assert [conflict.later for conflict in settled([(ann, HOUSE), house, own])[0]] == [2]
    assert [conflict.later for conflict in settled([(ann, HOUSE), own, house])[0]] == [None]
    assert [conflict.later for conflict in settled([(ann, HOUSE), house, own, house])[0]] == [2, None]
    assert [conflict.later for conflict in settled([(ann, HOUSE), house, house])[0]] == [None, None]
    assert [conflict.later for conflict in settled([(ann, HOUSE), house, (bob, "")])[0]] == [None]


@pytest.mark.parametrize(
    ("order", "actions"),
    [(("email", "phone"), ["wait"]), (("phone", "email"), ["wait"]), (("email",), []), (("phone",), ["skip"])],
)
def test_what_is_done_is_as_the_location_matches(order: tuple[str, ...], actions: list[str]) -> None:
    rows = [("ann@x.example", HOUSE), ("bob@x.example", HOUSE)]
    assert [conflict.action for conflict in settled(rows, rule=MatchRule(order=order))[0]] == actions
    assert settled(rows, "allow", MatchRule(order=order))[0] == []


def lived_through_twice(rows: list[tuple[str, str, bool, str]], rule: MatchRule, conflicts: list[Conflict]) -> Forecast:
    """Let the sandbox do it: all rows, and then the phones that were left out."""
    books, told, ids = open_books(rule), Forecast(), dict[int, str]()
    by_row = {conflict.row: conflict for conflict in conflicts}
    owners = dict[str, str]()
    for number, (email, phone, _, location) in enumerate(rows):
        conflict = by_row.get(number)
        if conflict is not None and conflict.action == "skip":
            told.skipped += 1
            continue
        told.deferred += conflict is not None
        sent = {"locationId": location} | ({"email": email} if email else {})
        contact, is_new = books.upsert(sent | ({"phone": phone} if phone and conflict is None else {}))
        told.contacts += is_new
        ids[number] = contact["id"]
        told.overwrites += bool(email) and owners.setdefault(contact["id"], email) != email
    for conflict in conflicts:
        if conflict.action == "wait" and conflict.later is None:
            try:
                books.update(ids[conflict.row], {"phone": rows[conflict.row][1]})
            except Refusal:
                told.refused_phones += 1
    return told


@pytest.mark.parametrize("wanted", ["second-pass", "skip"])
@pytest.mark.parametrize("order", ORDERS)
@settings(deadline=None)  # files are made, and the machine may be busy
@given(rows=ROWS)
def test_nobody_is_overwritten_and_the_forecast_holds(
    order: tuple[str, ...], wanted: PhoneRule, rows: list[tuple[str, str, bool, str]]
) -> None:
    rule = MatchRule(order=order)
    with Matching() as matching:
        for number, (email, phone, _, location) in enumerate(rows):
            matching.add(number, location, identity_of(ContactUpsert(email=email, phone=phone), location))
        if matching.find_shared_phones():
            matching.settle_phones(wanted, {"L": rule, "M": rule})
        told = matching.forecast({"L": rule, "M": rule})
        lived = lived_through_twice(rows, rule, list(matching.phones.conflicts()))
    assert (told.contacts, told.deferred, told.refused_phones, told.skipped) == (
        lived.contacts,
        lived.deferred,
        lived.refused_phones,
        lived.skipped,
    )
    assert told.overwrites == lived.overwrites == 0
