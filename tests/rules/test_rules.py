"""Rules: each cell is sent in the one form that cannot be mistaken, or the reason why it is not is told."""

from __future__ import annotations

from typing import Any

import phonenumbers
import pytest
from email_validator import validate_email
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError
from leadconnector_async.rules import RULES, Checks, apply_rules
from leadconnector_async.rules.checks import read_checks
from leadconnector_async.rules.countries import country_codes, find_country
from leadconnector_async.rules.emails import _PLAIN, email_syntax
from leadconnector_async.rules.problems import Fixed, UnusableCellError
from leadconnector_async.sandbox.validation import COUNTRIES, read_day


def ask(field: str, cell: str, **options: Any) -> str:
    """Return what is sent, and after a bar what is told; or what is refused, after a dash."""
    try:
        found = apply_rules(RULES[field], cell, Checks(**options))
    except UnusableCellError as reason:
        return f"- {reason}"
    return f"{found.value} | {found.sentence}" if isinstance(found, Fixed) else found


# ---------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        ("rosan@deos.com", "rosan@deos.com"),
        ("Rosan.Deo+crm@DEOS.com", "Rosan.Deo+crm@DEOS.com"),
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("jörg@münchen.example", "jörg@münchen.example"),
        ("a@xn--mnchen-3ya.de", "a@xn--mnchen-3ya.de"),
        ("mailto:rosan@deos.com", "rosan@deos.com"),
        ("Rosan Deo <rosan@deos.com>", "rosan@deos.com"),
        ('"Deo, Rosan" <rosan@deos.com>', "rosan@deos.com"),
        ("rosan@deos.com;", "rosan@deos.com"),
        ("rosan@deos.com ::: Rosan@deos.com", "rosan@deos.com"),
    ],
)
def test_addresses_that_are_sent(cell: str, sent: str) -> None:
    assert ask("email", cell) == sent


@pytest.mark.parametrize("between", [";", ", ", " ", " | ", " ::: ", "\n", " and "])
def test_of_two_addresses_the_first_is_sent_and_that_is_told(between: str) -> None:
    told = ask("email", f"two@x.com{between}three@x.com")
    assert told == "two@x.com | holds several addresses; the first is sent, as the service takes one"


@pytest.mark.parametrize(
    "cell",
    [
        *("not-an-email a@ @b.co a@b a@b..co .a@b.co a.@b.co a@-b.co a@b_c.de a@b.c1 a@b@c.de a@[127.0.0.1]".split()),
        *("a b@c.de", "a" * 65 + "@b.co", "a@" + "b" * 64 + ".co", "a@" + "b." * 127 + "co"),
    ],
)
def test_what_is_no_address_is_told(cell: str) -> None:
    assert ask("email", cell).startswith("- is not an email address (")
    assert "\n" not in ask("email", cell)


@given(st.from_regex(_PLAIN, fullmatch=True))
def test_the_fast_way_takes_nothing_that_the_library_does_not(address: str) -> None:
    try:
        email_syntax(address, Checks())
    except UnusableCellError:
        return
    validate_email(address, check_deliverability=False, test_environment=True, globally_deliverable=False)


def test_an_address_made_to_be_slow_is_not() -> None:
    assert ask("email", "a" * 50_000 + "@").startswith("- is not an email address")
    assert ask("email", "a@" + "a-" * 50_000).startswith("- is not an email address")
    assert ask("email", "@," * 50_000).startswith("- is not an email address")


# ---------------------------------------------------------------------------------------------- phones


@pytest.mark.parametrize(
    ("cell", "country", "sent"),
    [
        ("+16175550100", None, "+16175550100"),
        ("+1 617-555-0100", None, "+16175550100"),
        ("+1 (617) 555.0100", "DE", "+16175550100"),
        ("0041 44 668 18 00", None, "+41446681800"),
        ("(+41) 44 668 18 00", None, "+41446681800"),
        ("+44 (0)20 7946 0004", None, "+442079460004"),
        ("'+44 20 7946 0004", None, "+442079460004"),
        ("617.555.0100", "US", "+16175550100"),
        ("1-617-555-0100", "US", "+16175550100"),
        ("044 668 18 00", "CH", "+41446681800"),
        ("011 41 44 668 18 00", "US", "+41446681800"),
        ("030/901820", "DE", "+4930901820"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("+١٦١٧٥٥٥٠١٠٠", None, "+16175550100"),
    ],
)
def test_phones_are_sent_as_e164(cell: str, country: str | None, sent: str) -> None:
    assert ask("phone", cell, default_country=country) == sent


def test_a_number_of_no_country_goes_as_it_stands_and_that_is_told() -> None:
    for cell in ("(617) 555-0100", "1-617-555-0100", "044 668 18 00", "617 555 0100 x12"):
        assert ask("phone", cell).startswith(f"{cell} | has no country code: it is sent as it is")


def test_a_number_that_is_possible_but_not_in_use_is_sent() -> None:
    cell = "+1 555-555-0100"
    assert not phonenumbers.is_valid_number(phonenumbers.parse(cell))
    assert ask("phone", cell) == "+15555550100"


@pytest.mark.parametrize(
    ("cell", "country", "reason"),
    [
        ("+999 12345678", None, "begins with a country code that does not exist"),
        ("+1 617 555 010", None, "is too short to be a phone number of its country"),
        ("+1 617 555 0100 99", None, "is too long to be a phone number of its country"),
        ("555-0100", "US", "lacks its area code"),
        ("call me", None, "is not a phone number"),
        ("call me", "US", "is not a phone number"),
        ("n/a", "US", "is not a phone number"),
        ("12", None, "is too short to be a phone number"),
        ("1234567890123456", None, "is too long to be a phone number"),
        ("1.61756E+10", None, "was a number in a spreadsheet that has cut its digits; get it from its source again"),
        ("1.61756E+10", "US", "was a number in a spreadsheet that has cut its digits; get it from its source again"),
    ],
)
def test_what_is_no_phone_number_is_told(cell: str, country: str | None, reason: str) -> None:
    assert ask("phone", cell, default_country=country) == f"- {reason}"


def test_what_is_left_out_of_a_phone_is_told() -> None:
    assert ask("phone", "+1 617 555 0100 ext. 7") == (
        "+16175550100 | has an extension, which is left out, as the service keeps none"
    )
    told = "+16175550100 | holds several numbers; the first is sent, as the service takes one"
    for cell in ("+1 617 555 0100; +1 617 555 0101", "+1 617 555 0100 ::: 617 555 0101", "+16175550100\n+16175550101"):
        assert ask("phone", cell) == told


def test_several_numbers_of_no_country_are_both_told() -> None:
    assert ask("phone", "617 555 0100; 617 555 0101").startswith("617 555 0100 | ")


# ---------------------------------------------------------------------------------------------- dates


EIGHT_FORMS = "1990/09/25 09/25/1990 1990-09-25 09-25-1990 1990.09.25 09.25.1990 1990_09_25 09_25_1990".split()


@pytest.mark.parametrize("cell", EIGHT_FORMS)
def test_the_eight_forms_of_the_service(cell: str) -> None:
    assert ask("dateOfBirth", cell) == "1990-09-25" == read_day(cell)


@pytest.mark.parametrize(
    ("cell", "order", "told"),
    [
        ("25.09.1990", None, "- has the day first, which the service does not read; `date_order='dmy'` reads it so"),
        ("25.09.1990", "dmy", "1990-09-25"),
        ("25.09.1990", "mdy", "- has the day first, which the service does not read, and is not of the order mdy"),
        (
            "03/04/1990",
            None,
            "- may be month and day, or day and month; `date_order='mdy'` or `date_order='dmy'` decides",
        ),
        ("03/04/1990", "mdy", "1990-03-04"),
        ("03/04/1990", "dmy", "1990-04-03"),
        ("04/04/1990", None, "1990-04-04"),
        ("9/25/1990", None, "1990-09-25"),
        ("09/25/1990", "dmy", "1990-09-25 | is read as month, day, year, as it can be read in no other way"),
        ("1990-9-5", None, "1990-09-05"),
        ("1990-09-25T00:00:00.000Z", None, "1990-09-25"),
        ("1990-09-25 12:30", None, "1990-09-25"),
        ("31.31.1990", None, "- is a day that does not exist; `date_order='dmy'` reads it so"),
        ("1990-02-30", None, "- is a day that does not exist"),
        ("02/30/1990", None, "- is a day that does not exist"),
        ("02/30/1990", "dmy", "- is a day that does not exist"),
        ("1990-25-09", None, "- is a day that does not exist"),
        ("0000-01-01", None, "- is a day that does not exist"),
        ("09/25", None, "- is not a date in a form that the service reads; write it as YYYY-MM-DD"),
        ("25 Sep 1990", None, "- is not a date in a form that the service reads; write it as YYYY-MM-DD"),
        ("1990/09-25", None, "- is not a date in a form that the service reads; write it as YYYY-MM-DD"),
        ("09/25/90", None, "- is not a date in a form that the service reads; write it as YYYY-MM-DD"),
    ],
)
def test_dates(cell: str, order: str | None, told: str) -> None:
    assert ask("dateOfBirth", cell, date_order=order) == told


@given(st.dates(), st.sampled_from("/-._"), st.sampled_from(["mdy", "dmy", None]))
def test_a_day_is_never_read_as_another(day: Any, mark: str, order: Any) -> None:
    forms = {"mdy": ["%m", "%d", "%Y"], "dmy": ["%d", "%m", "%Y"], None: ["%Y", "%m", "%d"]}[order]
    cell = mark.join(f"{getattr(day, {'%Y': 'year', '%m': 'month', '%d': 'day'}[form]):02}" for form in forms)
    cell = cell.replace(f"{day.year:02}", f"{day.year:04}") if day.year < 1000 and order is None else cell
    if day.year >= 1000:
        assert ask("dateOfBirth", cell, date_order=order) == day.isoformat()


# ---------------------------------------------------------------------------------------------- places and texts


COUNTRY_NAMES = """
    US=US us=US USA=US U.S.A.=US united_states=US United_States_of_America=US UK=GB England=GB Great_Britain=GB
    Switzerland=CH Schweiz=CH Suisse=CH Deutschland=DE DEU=DE Österreich=AT España=ES espana=ES The_Netherlands=NL
    Côte_d'Ivoire=CI Bosnia_&_Herzegovina=BA 日本=JP Россия=RU South_Korea=KR Czech_Republic=CZ
    Congo= Korea= Atlantis= XX= Oesterreich=
"""


@pytest.mark.parametrize("name", COUNTRY_NAMES.split())
def test_countries_by_code_and_name(name: str) -> None:
    cell, _, code = name.replace("_", " ").partition("=")
    assert ask("country", cell) == (
        code or "- is not a country that the service knows; write its two letters, such as US"
    )


def test_the_countries_are_those_that_the_service_takes() -> None:
    assert country_codes() == frozenset(COUNTRIES)
    assert len(country_codes()) == 247
    assert all(find_country(code.lower()) == code for code in COUNTRIES)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("America/Chihuahua", "America/Chihuahua"),
        ("america/new_york", "America/New_York"),
        ("America/New York", "America/New_York"),
        ("america_slash_new_york", "America/New_York"),
        ("UTC", "UTC"),
        ("Eastern Standard Time", "- is not a time zone; write it as America/New_York"),
        ("../etc/passwd", "- is not a time zone; write it as America/New_York"),
    ],
)
def test_time_zones(cell: str, told: str) -> None:
    assert ask("timezone", cell) == told


@pytest.mark.parametrize(
    "cell", ["https://www.tesla.com", "example.com", "example.com/a?b=c#d", "http://münchen.de:80/"]
)
def test_websites_are_sent_as_they_stand(cell: str) -> None:
    assert ask("website", cell) == cell


@pytest.mark.parametrize("cell", ["n/a", "none", "javascript:alert(1)", "ask Bob", "a@b.co", "x." + "y" * 1200])
def test_what_is_no_website_is_told(cell: str) -> None:
    assert ask("website", cell).startswith(("- is not a web address", "- is longer than"))


@pytest.mark.parametrize("field", ["firstName", "address1", "postalCode", "companyName"])
def test_a_text_that_is_far_too_long_is_told(field: str) -> None:
    assert ask(field, "x" * 1_000) == "x" * 1_000
    assert ask(field, "x" * 1_001) == "- is longer than 1,000 characters; is it in the right column?"


def test_what_is_taken_for_granted_is_checked_itself() -> None:
    assert read_checks("united kingdom", "DMY") == Checks(default_country="GB", date_order="dmy")
    assert read_checks(None, None) == Checks()
    with pytest.raises(ConfigurationError, match="'Atlantis' is not a country"):
        read_checks("Atlantis", None)
    with pytest.raises(ConfigurationError, match="'ymd' is not a date order; give mdy or dmy"):
        read_checks(None, "ymd")
