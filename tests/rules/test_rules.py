"""Rules: each cell is sent in the one form that cannot be mistaken, or the reason why it is not is told."""

from __future__ import annotations

import unicodedata
from datetime import date
from typing import Any

import phonenumbers
import pytest
from email_validator import validate_email
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError
from leadconnector_async.rules.checks import Checks, read_checks
from leadconnector_async.rules.countries import country_codes, find_country
from leadconnector_async.rules.emails import _PLAIN, _SHORT, email_syntax
from leadconnector_async.rules.fields import CUSTOM_RULES, RULES, apply_rules
from leadconnector_async.rules.problems import Fixed, LeftOutError, UnusableCellError
from leadconnector_async.rules.texts import clean_cell, is_placeholder, notes_of
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
        *((cell, "rosan@deos.com") for cell in ("MAILTO:rosan@deos.com", "smtp:rosan@deos.com", "rosan@deos.com.")),
        *((cell, "rosan@deos.com") for cell in ("rosan@deos.com (work)", "rosan@deos.com,", "'rosan@deos.com'")),
        *((cell, "rosan@deos.com") for cell in ("<rosan@deos.com>.", "Deo <mailto:rosan@deos.com> (home)")),
        ("mailto:rosan@deos.com?subject=Hello", "rosan@deos.com"),
        ("ro\u00adsan@de\u200bos.com", "rosan@deos.com | holds characters that nobody sees, which are left out"),
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


@pytest.mark.parametrize(
    "cell", ["/o=Lab/ou=First (ABC)/cn=Recipients/cn=a-b", "/O=X/CN=Y", "EX:/o=x", "IMCEAEX-_o=x@b.co"]
)
def test_the_name_of_a_mailbox_inside_exchange_is_left_out_and_its_row_goes_on(cell: str) -> None:
    with pytest.raises(LeftOutError, match="inside Exchange"):
        apply_rules(RULES["email"], cell, Checks())


@given(st.from_regex(_PLAIN, fullmatch=True) | st.from_regex(_SHORT, fullmatch=True))
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
        ("+١٦١٧٥٥٥٠١٠٠", None, "+16175550100"),
    ],
)
def test_phones_are_sent_as_e164(cell: str, country: str | None, sent: str) -> None:
    assert ask("phone", cell, default_country=country) == sent


def test_a_number_of_no_country_goes_as_it_stands_and_that_is_told() -> None:
    for cell in ("(617) 555-0100", "1-617-555-0100", "044 668 18 00"):
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
    told = ask("phone", "617 555 0100; 617 555 0101")
    assert told.startswith("617 555 0100 | holds several numbers")
    assert "; has no country code: it is sent as it is" in told
    assert ask("phone", "617 555 0100 x12").startswith("617 555 0100 | has an extension")


WORDS = "holds words beside its number, which are left out"
MORE_DIGITS = "holds more digits after its number, which are left out"
DECIMALS = "was a number with decimals, which are left out"


@pytest.mark.parametrize(
    ("cell", "country", "told"),
    [
        ("+49 171 7654321 mob", None, f"+491717654321 | {WORDS}"),
        ("0171 7654321 Tom", "DE", f"+491717654321 | {WORDS}"),
        ("030 654321 (office)", "DE", f"+4930654321 | {WORDS}"),
        ("Mobil: +43 664 7654321", None, f"+436647654321 | {WORDS}"),
        ("+46 70 765 43 21 (Axel)", None, f"+46707654321 | {WORDS}"),
        ("+39 06 7654321 uff", None, f"+39067654321 | {WORDS}"),
        ("Tel. 1: +49 171 7654321", None, f"+491717654321 | {WORDS}"),
        ("+49 171 7654321 (моб.)", None, f"+491717654321 | {WORDS}"),
        ("tel:+1-617-555-0100", None, "+16175550100"),
        (
            "tel:+1-617-555-0100;ext=5",
            None,
            "+16175550100 | has an extension, which is left out, as the service keeps none",
        ),
        ("\uff0b\uff14\uff19 \uff11\uff17\uff11 \uff17\uff16\uff15\uff14\uff13\uff12\uff11", None, "+491717654321"),
        ("\U0001f4f1 +49\u00a0171\u20117654321", None, "+491717654321"),
        ("+49 171 7654321\u00b2", None, "+491717654321"),
        ("1-800-FLOWERS", "US", "+18003569377 | spells a part of its number in letters, which are sent as digits"),
        ("1-800-Flowers", "US", "+18003569377 | spells a part of its number in letters, which are sent as digits"),
        ("617 555 Mark", "US", "- is not a phone number"),
        ("800 555 Mark", "US", "- is not a phone number"),
        ("O171 7654321", "DE", "- has letters among its digits"),
        ("0171 I654321", "DE", "- has letters among its digits"),
        ("0171 abc 7654321", "DE", "- has letters or marks among its digits"),
        ("030, 7654321", "DE", "- has letters or marks among its digits"),
        (
            "0171 7654321 / 030 7654321",
            "DE",
            "+491717654321 | holds several numbers; the first is sent, as the service takes one",
        ),
        (
            "0171 7654321 oder 030 7654321",
            "DE",
            "+491717654321 | holds several numbers; the first is sent, as the service takes one",
        ),
        ("030 / 901820", "DE", "+4930901820"),
        ("+1 617 555 0100, 12", None, f"+16175550100 | {MORE_DIGITS}"),
        ("1517654321.0", "DE", f"+491517654321 | {DECIMALS}"),
        ("+4915176543210.0", None, f"+4915176543210 | {DECIMALS}"),
        ("+4407911654321", None, "+447911654321"),
        ("+490151 7654321", None, "+491517654321"),
        ("+34 (0)91 765 43 21", None, "+34917654321"),
        ("+39 (0)6 7654321", None, "+39067654321"),
        ("+0049 171 7654321", None, "+491717654321"),
        ("+0151 76543210", "DE", "- begins with a country code that does not exist"),
    ],
)
def test_what_stands_beside_a_number_never_becomes_a_part_of_it(cell: str, country: str | None, told: str) -> None:
    assert ask("phone", cell, default_country=country) == told


@pytest.mark.parametrize(
    ("cell", "country", "sent", "is_told"),
    [
        ("491517654321", "DE", "+491517654321", True),
        ("4915176543210", "DE", "+4915176543210", True),
        ("491717654321", "DE", "+491717654321", True),
        ("16175550101", "DE", "+16175550101", True),
        ("447400123456", "IN", "+447400123456", True),
        ("436647654321", "DE", "+436647654321", True),
        ("41791234567", "CH", "+41791234567", False),
        ("34612345678", "ES", "+34612345678", False),
        ("15176543210", "DE", "+4915176543210", True),
        ("9123456789", "IN", "+919123456789", False),
        ("16175550101", "US", "+16175550101", False),
        ("6175550101", "US", "+16175550101", False),
        ("612345678", "ES", "+34612345678", False),
        ("0171 7654321", "DE", "+491717654321", False),
    ],
)
def test_a_country_code_without_its_plus_is_told(cell: str, country: str, sent: str, is_told: bool) -> None:
    number, _, told = ask("phone", cell, default_country=country).partition(" | ")
    assert number == sent
    assert ("default country" in told or "begins with a country code" in told) == is_told


PARTS = [
    *"+49|0171|+1 |00|617|555|0100|7654321|12| | |-|/|(|)|.|,|;|+|Ann|x7| ext. 12|(mobile)|Tel:|ABC|e|O|E".split("|"),
    *("1-800-FLOWERS", "(0)", "\u0661", "\uff12", ".0", "\u00b2"),
]


@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=9).map("".join),
    st.sampled_from([None, "DE", "US", "GB", "IT", "ES", "FR"]),
)
def test_the_digits_sent_are_digits_of_the_cell_after_a_country_code(cell: str, country: str | None) -> None:
    try:
        found = apply_rules(RULES["phone"], cell.strip() or "1", Checks(default_country=country))
    except UnusableCellError:
        return
    sent = found.value if isinstance(found, Fixed) else found
    if isinstance(found, Fixed) and "in letters" in found.sentence:
        return
    written = [str(unicodedata.decimal(char)) for char in cell if char.isdecimal()]
    digits = [char for char in sent if char.isdecimal()]
    codes = [] if country is None else list(str(phonenumbers.country_code_for_region(country)))
    assert is_within(digits, written) or (digits[: len(codes)] == codes and is_within(digits[len(codes) :], written))


def is_within(some: list[str], all_of_them: list[str]) -> bool:
    left = iter(all_of_them)
    return all(one in left for one in some)


# ---------------------------------------------------------------------------------------------- dates


LACKS_YEAR = "is a birthday without a year, and the service takes whole dates"
SHORT_YEAR = "has a year of two digits, which may be of two centuries; write it with four"
EARLY = "lies before 1900-01-02, as what systems write for no date"
NO_DATE = "is not a date in a form that the service reads; write it as YYYY-MM-DD"
NOTHING = "stands for nothing"
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
        ("09/25", None, f"- {LACKS_YEAR}"),
        ("1990/09-25", None, "- is not a date in a form that the service reads; write it as YYYY-MM-DD"),
        ("09/25/90", None, f"- {SHORT_YEAR}"),
    ],
)
def test_dates(cell: str, order: str | None, told: str) -> None:
    assert ask("dateOfBirth", cell, date_order=order) == told


@given(st.dates(date(1900, 1, 2), date(2026, 1, 1)), st.sampled_from("/-._"), st.sampled_from(["mdy", "dmy", None]))
def test_a_day_is_never_read_as_another(day: Any, mark: str, order: Any) -> None:
    forms = {"mdy": ["%m", "%d", "%Y"], "dmy": ["%d", "%m", "%Y"], None: ["%Y", "%m", "%d"]}[order]
    cell = mark.join(f"{getattr(day, {'%Y': 'year', '%m': 'month', '%d': 'day'}[form]):02}" for form in forms)
    assert ask("dateOfBirth", cell, date_order=order) == day.isoformat()


# Months as people write them, by language: full names, then abbreviations.
MONTHS = """
    January February March April May June July August September October November December
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec
    Januar Februar März April Mai Juni Juli August September Oktober November Dezember
    Jan. Feb. Mrz. Apr. Mai Jun. Jul. Aug. Sept. Okt. Nov. Dez.
    janvier février mars avril mai juin juillet août septembre octobre novembre décembre
    janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.
    enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
    ene feb mar abr may jun jul ago sept oct nov dic
    gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
    gen feb mar apr mag giu lug ago set ott nov dic
    janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
    jan fev mar abr mai jun jul ago set out nov dez
    januari februari maart april mei juni juli augustus september oktober november december
    jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec.
    januari februari mars april maj juni juli augusti september oktober november december
    jan feb mar apr maj jun jul aug sep okt nov dec
"""


@pytest.mark.parametrize("names", MONTHS.strip().splitlines())
def test_months_are_read_in_the_languages_of_the_headers(names: str) -> None:
    for number, name in enumerate(names.split(), 1):
        for form in ("{day} {name} {year}", "{day}. {name} {year}", "{name} {day}, {year}", "{day}-{name}-{year}"):
            for spelled in (name, name.upper(), unicodedata.normalize("NFD", name)):
                cell = form.format(day=9, name=spelled, year=1985)
                assert ask("dateOfBirth", cell) == f"1985-{number:02}-09", cell


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        *((cell, "1990-09-25") for cell in ("25 de septiembre de 1990", "September 25th, 1990", "25º setembro 1990")),
        *((cell, "1990-09-25") for cell in ("Tue, 25 Sep 1990 00:00:00 +0200", "Tue Sep 25 00:00:00 1990")),
        *((cell, "1990-09-25") for cell in ("mar. 25 sept. 1990", "Dienstag, 25. September 1990", "1990 Sep 25")),
        *((cell, "1990-09-25") for cell in ("Sep 25 1990 02:09 PM", "19900925", "19900925.0")),
        ("1er janvier 1990", "1990-01-01"),
        ("33141", "1990-09-25 | was the number of a day in a spreadsheet, and is read as that day"),
        ("33141.75", "1990-09-25 | was the number of a day in a spreadsheet, and is read as that day"),
        *((cell, f"None | {NOTHING}") for cell in ("0/0/00", "00/00/0000", "0000-00-00", "0", "1/0/1900", "0.0.00")),
        ("0000-00-00 00:00:00", f"None | {NOTHING}"),
        *((cell, f"- {EARLY}") for cell in ("1900-01-01", "0001-01-01", "01/01/1753", "1899-12-30T00:00:00")),
        *((cell, "- lies in the future, and so is not a birthday") for cell in ("2199-01-01", "1 May 2150", "99999")),
        *((cell, f"- {LACKS_YEAR}") for cell in ("25 Sep", "--09-25", "--0925", "25.9.", "1604-09-25", "May 4th")),
        *((cell, f"- {SHORT_YEAR}") for cell in ("25-SEP-90", "25.9.90", "Sep 25 '90")),
        *((cell, f"- {NO_DATE}") for cell in ("1985", "Flat 25 September 1990", "25 Foo 1990", "May", "1990 May")),
        *((cell, f"- {NO_DATE}") for cell in ("25 May or 26 May 1990", "12345678901", "-33141")),
        ("31 Feb 1990", "- is a day that does not exist"),
        ("1990-09-25\u200b", "1990-09-25"),
    ],
)
def test_dates_that_people_and_systems_write(cell: str, told: str) -> None:
    assert ask("dateOfBirth", cell.rstrip("\u200b")) == told


def test_the_date_of_a_custom_field_may_be_any_day() -> None:
    for day in ("1850-01-01", "2150-12-31"):
        assert apply_rules(CUSTOM_RULES["DATE"], day, Checks()) == day


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


# ---------------------------------------------------------------------------------------------- around and inside cells


@pytest.mark.parametrize("blank", " \t\u00a0\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u202a\u202c\u2066\u3164\u180e\0")
def test_what_nobody_sees_is_cut_off_at_both_ends(blank: str) -> None:
    assert clean_cell(f"{blank}a{blank}b{blank} {blank}") == f"a{blank}b"
    assert clean_cell(blank * 3) == ""


def test_an_emoji_keeps_what_it_is_made_of() -> None:
    for text in ("\u2764\ufe0f", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"):
        assert clean_cell(f" {text} ") == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("'02110", "02110"),
        ("'Boston", "Boston"),
        ("' 12 Main St", "12 Main St"),
        *(
            (name, name)
            for name in ("'s-Hertogenbosch", "'t Hooft", "'n Beetjie", "O'Brien", "'quoted'", "Rock 'n' Roll")
        ),
    ],
)
def test_a_spreadsheet_s_mark_for_text_is_taken_off(cell: str, text: str) -> None:
    assert clean_cell(cell) == text


PLACEHOLDERS = r"N/A n/a #N/A NULL Null \N nan NaN None NONE - -- <NA> NaT (null) #REF! #VALUE! #NV".split()


@pytest.mark.parametrize("cell", PLACEHOLDERS)
def test_words_for_nothing(cell: str) -> None:
    assert is_placeholder(cell)


@pytest.mark.parametrize("cell", ["Nanette", "Nullarbor", "Na", "0", "no", "none of them", "---x", "x", "NA"])
def test_words_that_say_something(cell: str) -> None:
    assert not is_placeholder(cell)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *(
            (text, "decoded wrongly")
            for text in (
                "M\u00c3\u00bcller",
                "Jos\u00c3\u00a9",
                "Z\u00c3\u00bcrich",
                "\u00c5\u0081\u00c3\u00b3d\u00c5\u00ba",
            )
        ),
        *((text, "HTML entity") for text in ("Smith &amp; Sons", "O&#39;Brien", "caf&eacute;", "A &#x26; B")),
        ("M\ufffdller", "U+FFFD"),
        *(
            (text, "")
            for text in (
                "M\u00fcller",
                "\u6f22\u5b57",
                "\u0141\u00f3d\u017a",
                "Smith & Sons",
                "AT&T; more",
                "S\u00e3o Jo\u00e3o",
                "\u041c\u0430\u0440\u0438\u044f",
                "A&B",
            )
        ),
    ],
)
def test_text_that_was_decoded_wrongly_is_noticed(text: str, told: str) -> None:
    found = [sentence for sentence, _ in notes_of(text, text)]
    assert (len(found) == 1 and told in found[0]) if told else not found


@pytest.mark.parametrize(
    ("cell", "sent"), [("53111.0", "53111"), ("2110.00", "2110"), ("02110", "02110"), ("1.05", "1.05")]
)
def test_a_postal_code_has_no_decimals(cell: str, sent: str) -> None:
    assert ask("postalCode", cell) == (sent if cell == sent else f"{sent} | {DECIMALS}")


@pytest.mark.parametrize(
    "word", ["Unspecified", "unspecified", "Keine Angabe", "Non sp\u00e9cifi\u00e9", "No especificado"]
)
def test_outlook_s_word_for_no_gender_is_none(word: str) -> None:
    assert ask("gender", word) == f"None | {NOTHING}"
    assert ask("gender", "female") == "female"
