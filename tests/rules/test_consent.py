"""Columns about consent: who opted out is closed whatever the header is called, nobody is opened, and what cannot be
read stops the load."""

from __future__ import annotations

import json
import unicodedata
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from leadconnector_async import ContactUpsert, LeadConnector, LeadConnectorError
from leadconnector_async.bulk.closing import closings_of
from leadconnector_async.migration.check import ConsentCells, describe_unread
from leadconnector_async.migration.mapping.custom_fields import FieldDefinition, value_reader
from leadconnector_async.migration.mapping.file import read_mapping_file, write_mapping
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import FileRow, RowFile, open_row_file
from leadconnector_async.migration.mapping.targets import read_channel, read_dnd, read_flag
from leadconnector_async.models import encode_contact
from leadconnector_async.rules import consent
from leadconnector_async.rules.checks import Checks
from leadconnector_async.rules.consent import (
    CHANNELS,
    CLOSED,
    KINDS,
    Consent,
    find_consent,
    judge,
    read_answer,
    says_nothing,
)
from leadconnector_async.rules.problems import Fixed, ProblemTally, UnknownOptionError
from leadconnector_async.sandbox import Sandbox
from tests.migration.mapping.test_columns import EXPORTS

ALL = "dnd"

# By what yes closes, and by what no does: headers as systems and people write them.
OPT_OUT = {
    "Email": """
        Unsubscribed | unsubscribed | UNSUBSCRIBED | Is Unsubscribed | Unsubscribe | Unsubscribed from all email |
        Unsubscribed From All Emails | Email Unsubscribed | Newsletter unsubscribed | Email Opt Out | Email Opt-Out |
        email_opt_out | emailOptOut | EMAIL OPTOUT | Opted out of email | Opted Out of All Email | Email opted out |
        HasOptedOutOfEmail | HASOPTEDOUTOFEMAIL | has_opted_out_of_email | Has Opted Out Of Email | hs_email_optout |
        hs_email_optout_10472 | Opted out of email: Product Tips | Opted out of email: One on One | Email_Opt_Out__c |
        Opted out of email - Weekly digest | Opt Out (Email) | Do Not Email | DoNotEmail | do-not-email | Don't email |
        Do Not Send Email | Do not allow Bulk Emails | donotbulkemail | Email Suppressed | EMAIL_BLACKLISTED |
        email_disabled | Contact: Email Opt Out | Person - Email opt out | Email Opt Out? | Email 2 Opt Out | Email
        Marketing Opt Out | Unsubscribed (yes/no) | Unsubscribed from newsletter | No Email Consent | Primary Email Opt
        Out | Work Email Opt Out | Account Email Opt Out | Suppress Email | No Longer Subscribed
    """,
    "SMS": """
        SMS Opt Out | SMS Opt-Out | sms_optout | SMSOptOut | Opted out of SMS | HasOptedOutOfSMS | Do Not Text |
        DoNotText | Do Not SMS | Text Opt Out | Unsubscribed from SMS | Text Message Opt-Out | SMS unsubscribed |
        Unsubscribed (text alerts) | Opt Out: SMS | Do Not Send Texts
    """,
    "Call": """
        Do Not Call | DoNotCall | DO NOT CALL | do_not_call | Do Not Phone | donotphone | Call Opt Out | Landline DNC |
        Home Phone Do Not Call
    """,
    "WhatsApp": """
        WhatsApp Opt Out | Opted out of WhatsApp
    """,
    "FB": """
        Messenger Opt Out
    """,
    "Call SMS": """
        DNC | dnc | DNC? | On DNC List | Do Not Call List | Phone DNC | Mobile Opt-Out | Phone 2 DNC | DNC Registered |
        National Do Not Call | Mobile Do Not Call | Do not call mobile
    """,
    "Email SMS": """
        Email/SMS Opt Out | Opt out of email and SMS
    """,
    "Call Email": """
        Do Not Call or Email
    """,
    ALL: """
        Opt Out | Opt-Out | opt_out | Optout | Opted Out | OptedOut | Has Opted Out | Opt_Out__c | Global Opt Out | Do
        Not Contact | DoNotContact | Do not contact? | Do Not Market | Do Not Solicit | Suppressed | Suppression |
        Marketing Opt Out | Opted out of marketing | Unsubscribed from all marketing | Consent Withdrawn | No Consent |
        Opt-outs | On Suppression List
    """,
}
OPT_IN = {
    "Email": """
        Accepts Email Marketing | Email Marketing Consent | Email Opt In | Email Opt-In | EmailOptIn | email_opt_in |
        Opted in to email | Email Consent | Subscribed | Is Subscribed | Subscribed to newsletter | Newsletter opt-in |
        Consent to email | OK to email | Email Permission | Allow Email | Emails allowed | May Email | Work Email
        Permission | Marketing Consent: Email | Receive Marketing Emails | Accepts Marketing Emails
    """,
    "SMS": """
        Accepts SMS Marketing | SMS Marketing Consent | SMS Opt-In | smsConsent | Opted In to Text Messages
    """,
    "Call SMS": """
        TCPA Consent
    """,
    "Email SMS": """
        Email & SMS Marketing Consent
    """,
    ALL: """
        Accepts Marketing | accepts_marketing | Buyer Accepts Marketing | Marketing Consent | marketing_consent | GDPR
        Marketing Consent | Marketing Opt In | Opt In | Opt-In | Opted In | Consent to marketing | Marketing Consent (I
        agree to receive offers)
    """,
}
TIMES = {
    "Email": """
        Unsubscribed At | UNSUB_TIME | unsubscribed_on | Date Unsubscribed | Unsubscribe Date | Email Opt Out Date
    """,
    "SMS": """
        SMS Opt-Out Date | SMS opted out at
    """,
    ALL: """
        Opt Out Date | Opted Out (date) | Do Not Contact Date
    """,
}
SILENT = {
    "provenance": """
        Opt-in Time | Opt-in IP | OPTIN_TIME | OPTIN_IP | CONFIRM_TIME | Consent Date | Consent Source | SMS Consent IP
        | Email Marketing Consent Timestamp | Opt Out Reason | Unsubscribe Reason | Unsubscribed Mode | Opt out: source
        | Unsubscribe Link | UNSUB_CAMPAIGN_TITLE | Email Opt-In Date | Marketing Consent (date) | DNC Checked | DNC
        Date
    """,
    "another subject": """
        Do Not Mail | Do Not Fax | HasOptedOutOfFax | Do not allow Mails | Direct Mail Opt Out | Do Not Use | Do Not
        Sell | Do Not Ship | Consent: treatment | Photo Consent | Opt Out: Photos | Cookie consent | active_subscription
    """,
    "only cells could tell": """
        Status | Email Status | Newsletter | Permission | Subscription | Marketing contact status | Consent | Marketing
    """,
    "a field or a count": """
        Text | Call | Phone | Calls | Emails Sent | Unsubscribes | Opt | Contact | Suppressed Reason | Call Notes |
        custom:Do Not Call
    """,
}
YES = (
    "yes",
    "Yes",
    "TRUE",
    "1",
    "y",
    "x",
    "1.0",
    "2024-03-05",
    "3/5/2024 10:00",
    "5 Mar 2024",
    "opted out",
    "Unsubscribed",
)
NO = ("no", "FALSE", "0", "n", "0.0")
NOTHING = ("", "  ", "N/A", "null", "-")


def rows_of(path: Path, text: str, **meaning: Any) -> list[FileRow]:
    path.write_text(text, encoding="utf-8")
    return list(open_row_file(path, Meaning(**meaning)).rows())


def quoted(*cells: str) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def closed_by(contact: ContactUpsert) -> set[str]:
    sent = json.loads(encode_contact(contact))
    assert sent.get("dnd", True) is True
    assert all(setting == {"status": "active"} for setting in sent.get("dndSettings", {}).values())
    return {*sent.get("dndSettings", {}), *([ALL] if "dnd" in sent else [])}


def closed(path: Path, header: str, cell: str, **meaning: Any) -> set[str]:
    """What a file with one column about consent closes, and that its row is sent."""
    columns = f"Email,Phone,{quoted(header)}\na@example.com,+16175550100,{quoted(cell)}\n"
    (row,) = rows_of(path, columns, **meaning)
    assert isinstance(row.contact, ContactUpsert), row.contact
    return closed_by(row.contact)


def cases(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(" ".join(header.split()), channels) for channels, text in table.items() for header in text.split("|")]


# ---------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(("header", "channels"), cases(OPT_OUT))
def test_yes_in_a_column_of_opt_outs_closes_and_no_leaves(tmp_path: Path, header: str, channels: str) -> None:
    path = tmp_path / "a.csv"
    for cell in YES:
        assert closed(path, header, cell) == set(channels.split()), cell
    for cell in (*NO, *NOTHING):
        assert closed(path, header, cell) == set(), cell


@pytest.mark.parametrize(("header", "channels"), cases(OPT_IN))
def test_no_in_a_column_of_opt_ins_closes_and_yes_leaves(tmp_path: Path, header: str, channels: str) -> None:
    path = tmp_path / "a.csv"
    for cell in (*NO, "NEVER_SUBSCRIBED", "opted-out", "inactive"):
        assert closed(path, header, cell) == set(channels.split()), cell
    for cell in ("yes", "1", "true", "2024-03-05", "SUBSCRIBED", "active", *NOTHING):
        assert closed(path, header, cell) == set(), cell


@pytest.mark.parametrize(("header", "channels"), cases(TIMES))
def test_the_time_of_an_opt_out_closes_in_whatever_form_it_is(tmp_path: Path, header: str, channels: str) -> None:
    path = tmp_path / "a.csv"
    for cell in ("2024-03-05 10:11:12", "3/5/2024 10:11", "5. März 2024", "1709633472", "45356.42"):
        assert closed(path, header, cell) == set(channels.split()), cell
    for cell in (*NOTHING, "0000-00-00 00:00:00", "no"):
        assert closed(path, header, cell) == set(), cell


@pytest.mark.parametrize(("header", "why"), cases(SILENT))
def test_what_is_about_something_else_closes_nobody_and_stops_nothing(tmp_path: Path, header: str, why: str) -> None:
    path = tmp_path / "a.csv"
    for cell in ("yes", "no", "", "2024-03-05", "203.0.113.7", "Main list", "active"):
        assert closed(path, header, cell) == set(), (cell, why)
        assert not look_at(open_row_file(path)).unread


LANGUAGES = sorted(path.stem for path in (Path(consent.__file__).parent / "languages").glob("*.txt"))


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_header_of_each_language_is_found_in_every_spelling(code: str) -> None:
    assert code in consent._LANGUAGES
    language = consent._language(code)
    for name, meant in language.bare.items():
        found = find_consent(name)
        assert found is not None, name
        assert (found.kind, found.is_vague) == (meant.kind, False), name
        assert not found.channels or not meant.channels or set(found.channels) & {*meant.channels, "all"}, name
    for phrase in language.phrases:
        for word, channels in phrase.words.items():
            name = f"{phrase.before} {word} {phrase.after}"
            for spelled_name in (name, name.upper()):
                found = find_consent(spelled_name)
                assert found is not None, name
                assert found.kind == phrase.kind, name
                # Some are two: "do not allow mail" is about post, and "consent to phone" about calls.
                assert not found.channels or set(found.channels) & {*channels, "all"} or not channels, name


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_weak_header_of_each_language_counts_by_its_cells_alone(code: str) -> None:
    language = consent._language(code)
    names = [*language.weak, *(f"{one.before}{word}{one.after}" for one in language.weak_phrases for word in one.words)]
    for name in names:
        weak, explicit = consent.find_weak(name), find_consent(name)
        assert weak is not None or explicit is not None or name in {"sms", "text"} or not _channels(language, name), (
            name
        )


def _channels(language: Any, name: str) -> tuple[str, ...]:
    found = language.match_weak(name)
    return () if found is None else found.channels


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_word_of_each_language_is_read(code: str) -> None:
    text = consent._file(code)
    for key, kind, answer in (
        *((key, kind, "closes") for key in ("closes", "closes beside", "asked closes") for kind in KINDS),
        *(("leaves", kind, "leaves") for kind in KINDS),
        *((key, "opt-in", "leaves") for key in ("member", "asked leaves", "yes")),
        *(("no", "opt-out", "leaves"), ("yes", "opt-out", "closes"), ("no", "opt-in", "closes")),
        ("no member", "opt-in", "closes"),
    ):
        for word in consent._split(text.get(key, "")):
            for cell in (word, word.upper(), word.title(), unicodedata.normalize("NFD", word), consent._bare(word)):
                assert judge(cell, kind) == answer, (key, cell, kind)  # type: ignore[arg-type]


def test_a_header_without_a_channel_is_about_the_phone_where_there_is_no_email(tmp_path: Path) -> None:
    for header, cell in (("Unsubscribed", "yes"), ("Subscribed", "no")):
        (row,) = rows_of(tmp_path / "a.csv", f"Phone,{header}\n+16175550100,{cell}\n")
        assert closed_by(row.contact) == {ALL}  # type: ignore[arg-type]
    (row,) = rows_of(tmp_path / "a.csv", "Phone,DNC\n+16175550100,yes\n")
    assert closed_by(row.contact) == {"Call", "SMS"}  # type: ignore[arg-type]


def test_what_one_of_several_columns_closes_stays_closed(tmp_path: Path) -> None:
    header = "Email,Unsubscribed,Opted out of email: Tips,Opted out of email: News,SMS Opt-In,dnd:Email\n"
    (row,) = rows_of(tmp_path / "a.csv", f"{header}a@example.com,no,,yes,no,inactive\n")
    assert closed_by(row.contact) == {"Email", "SMS"}  # type: ignore[arg-type]
    assert [problem.column for problem in row.problems] == ["dnd:Email"]


def test_json_lines_are_read_as_tables_are(tmp_path: Path) -> None:
    lines = [
        {"email": "a@example.com", "firstName": "Ann", "unsubscribed": True},
        {"email": "b@example.com", "firstName": "Ben", "unsubscribed": False},
        {"email": "c@example.com"},
    ]
    rows = rows_of(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert [closed_by(row.contact) for row in rows] == [{"Email"}, set(), set()]  # type: ignore[arg-type]


async def test_a_load_closes_each_header_s_channels_at_the_service(tmp_path: Path) -> None:
    """One file with all headers, and a person for each, who said so in this column alone."""
    wanted = [(header, channels, "yes", "no") for header, channels in cases(OPT_OUT)]
    wanted += [(header, channels, "no", "yes") for header, channels in cases(OPT_IN)]
    wanted += [(header, channels, "2024-03-05", "") for header, channels in cases(TIMES)]
    lines = [quoted("Email", *(header for header, *_ in wanted))]
    for number in range(len(wanted)):
        cells = [said if place == number else other for place, (_, _, said, other) in enumerate(wanted)]
        lines.append(quoted(f"p{number}@example.com", *cells))
    rows = rows_of(tmp_path / "a.csv", "\n".join(lines))
    async with (
        Sandbox(unlimited=True) as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="L", rate_limit=None) as lc,
    ):
        assert (await lc.contacts.bulk_upsert(row.contact for row in rows)).created == len(wanted)
        stored = {one["email"]: one for one in sandbox.contacts()}
    for number, (header, channels, *_) in enumerate(wanted):
        one = stored[f"p{number}@example.com"]
        found = {*one.get("dndSettings", {}), *([ALL] if one["dnd"] else [])}
        assert found == set(channels.split()), header


def test_long_headers_and_cells_are_read_at_once() -> None:
    for text in (
        "email opt out " * 50_000,
        "has" * 100_000,
        "opted out of email: " + "x-" * 200_000,
        "do not " * 90_000,
    ):
        find_consent(text)
        assert judge(text, "opt-out") == "unread"
        assert judge(text, "opt-in") == "unread"


# Of headers that are not known as a whole: an explicit phrase, in whatever company, is never passed over.
PHRASES = """
    Opt Out | Opted Out | Opt-Out | Optout | OptedOut | Unsubscribed | Unsubscribe | Unsub | Do Not Call |
    Do Not Email | Do Not Text | Do Not Contact | Don't Call | DoNotContact | Do not send email | DNC | Suppressed |
    Suppression List | Blacklisted | Do Not Disturb | DND | No Longer Subscribed | Not Opted In | Consent Withdrawn |
    No Consent
""".split("|")
COMPANY = """
    Primary | Secondary | Work | Home | Account | Mobile | Landline | National | Federal | Promotional |
    Transactional | Global | Customer | Loyalty | Partner | Insurance | Health | Weekly digest | Product | Brand X |
    Region 7 | by agent | of all | Registered | Flag | Status | (Y/N) | Yes/No | Value | v2 | Number | Person |
    Newsletter | Ads | SMS | Email | Phone | in CRM | from import | List | List Member | Override | - | : | User |
    Name | Campaign | Country | Text | Form
""".split("|")


def wide(text: str) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


SPELLINGS = (
    str.upper,
    str.lower,
    str.title,
    lambda text: text.replace(" ", "_"),
    lambda text: text.replace(" ", "-"),
    wide,
    lambda text: text.replace(" ", "\u00a0"),
)


@given(
    st.lists(st.sampled_from(COMPANY), max_size=3),
    st.sampled_from(PHRASES),
    st.lists(st.sampled_from(COMPANY), max_size=3),
    st.sampled_from(SPELLINGS),
)
def test_an_explicit_phrase_in_any_company_closes_or_stops(
    tmp_path_factory: pytest.TempPathFactory, before: list[str], phrase: str, after: list[str], spell: Any
) -> None:
    header = spell(" ".join(" ".join([*before, phrase, *after]).split()))
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_text(f"email,{quoted(header)}\na@example.com,yes\n", encoding="utf-8")
    file = open_row_file(path)
    (row,) = file.rows()
    assert isinstance(row.contact, ContactUpsert), row.contact
    assert closed_by(row.contact) or look_at(file).unread, header


def test_the_width_of_letters_makes_no_difference() -> None:
    for header, _ in (*cases(OPT_OUT), *cases(OPT_IN), *cases(TIMES), *cases(SILENT)):
        assert header.startswith("custom:") or find_consent(wide(header)) == find_consent(header), header


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        *((name, "opt-out") for name in ("Promotional Email Opt Out", "Do not call, text or email", "Opt In/Out")),
        *((name, "opt-out") for name in ("DND Status", "No permission to call", "Does not accept promotional email")),
        *((name, "opt-in") for name in ("Promotional email opt-in", "Loyalty SMS consent", "Accepts weekly emails")),
    ],
)
def test_a_header_that_is_not_clear_stops_the_load_where_it_matters(tmp_path: Path, header: str, kind: str) -> None:
    found = find_consent(header)
    assert found == Consent(kind, ("all",), is_implied=True, is_vague=True)  # type: ignore[arg-type]
    for cell, stops in (
        ("no", True),
        ("", False),
        ("N/A", False),
        ("yes", kind == "opt-out"),
        ("A", kind == "opt-out"),
    ):
        tally, _ = check(tmp_path / "a.csv", header, [cell, ""])
        assert [unread.channels for unread in tally.unread] == ["all"] * stops, cell
    for said in ({"columns": {header: f"{kind}:SMS"}}, {"ignored": frozenset({header})}):
        assert not check(tmp_path / "a.csv", header, ["yes", "no", "A"], **said)[0].unread  # type: ignore[arg-type]
    # A mapping file does not pass it over, and sent to another field it closes all that it may be about.
    assert check(tmp_path / "a.csv", header, ["no", "yes"], columns={"Email": "email"}, is_whole=True)[0].unread
    tally, closings = check(tmp_path / "a.csv", header, ["no", "yes"], columns={header: "custom:old"})
    assert (tally.unread, sorted(closings, key=len)) == ([], [set(), {ALL}])


ORDINARY = """
    Output | Opening | Option | Optional Notes | Adopted | Outreach | Captain | Subscription | Sun Subscription |
    Phone | Subscriber ID | Last Contacted | Not Contacted | Contact Owner | Number of times contacted | Call Count |
    Emails Sent | Email Confirmation Status | Suppressant | Text Color | Do Not Use | Do Not Sell My Data |
    Pets Allowed | May | Notes | Number of unsubscribes | Total unsubscribes | Unsubscribe URL | UNSUB_CAMPAIGN_ID |
    UNSUB_REASON_OTHER | DNC Source | Source of opt-out | Data Sharing Opt Out | Marketing Source | Message |
    Last Message | Call Outcome | Stop Date
""".split("|")


@pytest.mark.parametrize("headers", [*(text.split(",") for text in EXPORTS.values()), ORDINARY])
def test_ordinary_headers_stop_nothing(tmp_path: Path, headers: list[str]) -> None:
    for name in (" ".join(header.split()) for header in headers):
        found = find_consent(name)
        assert found is None or not found.is_vague, name


# ---------------------------------------------------------------------------------------------- what cells say


def spelled(word: str) -> set[str]:
    return {word, word.upper(), word.title(), word.swapcase(), wide(word), wide(word).upper(), f" {word} "}


def test_yes_and_no_are_that_in_any_case() -> None:
    for words, closing in ((consent._cell_words().yes, "opt-out"), (consent._cell_words().no, "opt-in")):
        for cell in {cell for word in words for cell in spelled(word)}:
            for kind, is_time in product(KINDS, (False, True)):
                assert judge(cell, kind, is_time=is_time) == ("closes" if kind == closing else "leaves"), (cell, kind)
                assert not says_nothing(cell), cell


@given(st.text(max_size=6))
def test_no_word_passes_for_nothing(text: str) -> None:
    letters = [one for one in unicodedata.normalize("NFKC", text) if one.isalnum() and one != "0"]
    assert not (letters and says_nothing(text)) or text.strip().lower() in consent._NOTHING


def test_no_short_word_of_a_time_passes_for_nothing() -> None:
    for length in (1, 2, 3, 4):
        for text in map("".join, product("TZtz0:.-/ ", repeat=length)):
            assert not (says_nothing(text) and any(one.isalpha() for one in text)), text


@pytest.mark.parametrize("word", ["Confirmed", "GRANTED", "express", "agreed", "active", "accepted"])
def test_what_affirms_is_no_answer_to_an_opt_out(word: str) -> None:
    assert (judge(word, "opt-out"), judge(word, "opt-in")) == ("unread", "leaves")


# ---------------------------------------------------------------------------------------------- what cannot be read


def look_at(file: RowFile) -> ProblemTally:
    """Count what a preparation would find wrong in a file."""
    tally, cells = ProblemTally(), ConsentCells(file)
    for row in file.rows():
        tally.add(file.read(row)[1], row)
        cells.add(row.record)
    tally.unread += cells.unread()
    return tally


def check(path: Path, header: str, cells: list[str], **meaning: Any) -> tuple[ProblemTally, list[set[str]]]:
    lines = [f"{number}@example.com,{quoted(cell)}" for number, cell in enumerate(cells)]
    path.write_text("\n".join([f"Email,{quoted(header)}", *lines]), encoding="utf-8")
    file = open_row_file(path, Meaning(**meaning))
    return look_at(file), [closed_by(row.contact) for row in file.rows()]  # type: ignore[arg-type]


def test_a_column_that_cannot_be_read_stops_the_load(tmp_path: Path) -> None:
    tally, _ = check(tmp_path / "a.csv", "SMS Opt-Out", ["yes", "perhaps", "ask her", "perhaps"])
    (unread,) = tally.unread
    assert (unread.column, unread.channels, unread.words) == ("SMS Opt-Out", "SMS", {"perhaps": 2, "ask her": 1})
    assert describe_unread(unread).endswith(
        "a.csv: the column 'SMS Opt-Out' is about consent (opt-out:SMS), and cannot be read "
        "('perhaps' 2 x, 'ask her' 1 x; 4 cells are filled)"
    )


def test_a_word_that_is_not_known_closes_where_most_are_known(tmp_path: Path) -> None:
    cells = ["yes", "no", "", "no", "perhaps", "no"]
    tally, closings = check(tmp_path / "a.csv", "Unsubscribed", cells)
    assert not tally.unread
    assert closings == [{"Email"}, set(), set(), set(), {"Email"}, set()]
    (kind,) = tally.kinds()
    assert (kind.column, kind.count, kind.value, kind.action) == ("Unsubscribed", 1, "perhaps", "fixed")
    assert tally.refused_rows == 0
    tally, _ = check(tmp_path / "a.csv", "Unsubscribed", [*cells, "so so"])
    assert [unread.filled for unread in tally.unread] == [6]


@pytest.mark.parametrize(
    ("target", "expected"), [("opt-out:email", [set(), {"Email"}]), ("Opt-In:Email", [{"Email"}] * 2)]
)
def test_what_the_user_says_settles_a_column(tmp_path: Path, target: str, expected: list[set[str]]) -> None:
    tally, closings = check(tmp_path / "a.csv", "Unsubscribed", ["no", "perhaps"], columns={"Unsubscribed": target})
    assert (tally.unread, closings) == ([], expected)
    tally, closings = check(tmp_path / "a.csv", "Unsubscribed", ["no", "perhaps"], ignored=frozenset({"Unsubscribed"}))
    assert (tally.unread, closings) == ([], [set(), set()])


@pytest.mark.parametrize(
    ("header", "target", "cells", "why"),
    [
        ("Level", "dnd:SMS", ["Active", "Inactive"], "has words of a status, of which dnd:SMS cannot tell"),
        ("Member", "dnd", ["unsubscribed", "active"], "has words of a status, of which dnd cannot tell"),
        ("Accepts Marketing", "dnd:Email", ["no", "yes"], "says by its header the opposite of dnd:Email"),
        ("SMS Opt-In", "dnd", ["yes"], "says by its header the opposite of dnd"),
    ],
)
def test_a_status_or_its_opposite_is_no_do_not_disturb(
    tmp_path: Path, header: str, target: str, cells: list[str], why: str
) -> None:
    (unread,) = check(tmp_path / "a.csv", header, cells, columns={header: target})[0].unread
    assert why in describe_unread(unread)


def test_do_not_disturb_reads_its_own_words(tmp_path: Path) -> None:
    for header, target in (("DND SMS", None), ("Do Not Disturb SMS", "dnd:SMS"), ("Stop", "dnd:SMS")):
        columns = {} if target is None else {header: target}
        tally, closings = check(tmp_path / "a.csv", header, ["yes", "no", "unsubscribed"], columns=columns)
        assert (tally.unread, closings) == ([], [{"SMS"}, set(), {"SMS"}])
    tally, closings = check(tmp_path / "a.csv", "DND SMS", ["active", "inactive"])
    assert (tally.unread, closings) == ([], [{"SMS"}, set()])


@pytest.mark.parametrize("target", ["tags", "custom:Old opt-out", "source"])
def test_a_column_about_consent_closes_also_where_it_is_sent_to_another_field(tmp_path: Path, target: str) -> None:
    for header in ("Unsubscribed", "dnd:Email"):
        assert closed(tmp_path / "a.csv", header, "yes", columns={header: target}) == {"Email"}
        file = open_row_file(tmp_path / "a.csv", Meaning(columns={header: target}))
        assert file.mapping[header].startswith(target.partition(":")[0])


def test_a_mapping_file_leaves_no_column_about_consent_out_unless_it_says_so(tmp_path: Path) -> None:
    columns = {"Email": "email"}
    assert closed(tmp_path / "a.csv", "Unsubscribed", "yes", columns=columns, is_whole=True) == {"Email"}
    assert closed(tmp_path / "a.csv", "DND", "yes", columns=columns, is_whole=True) == {ALL}
    for header in ("Unsubscribed", "DND"):
        said = {**columns, header: "ignore"}
        assert closed(tmp_path / "a.csv", header, "yes", columns=said, is_whole=True) == set()


def test_a_mapping_goes_out_and_comes_back(tmp_path: Path) -> None:
    headers = ["Email", "Phone", *(header for header, _ in (*cases(OPT_OUT), *cases(OPT_IN), *cases(TIMES)))]
    (tmp_path / "a.csv").write_text(quoted(*headers) + "\n", encoding="utf-8")
    file = open_row_file(tmp_path / "a.csv")
    (tmp_path / "m.toml").write_text("".join(write_mapping([file.table])), encoding="utf-8")
    meaning = Meaning(columns=read_mapping_file(tmp_path / "m.toml").columns, is_whole=True)
    assert open_row_file(tmp_path / "a.csv", meaning).mapping == file.mapping


# ---------------------------------------------------------------------------------------------- nothing is opened

HEADERS = st.sampled_from(
    [
        *("DND", "dnd", "Do Not Disturb", *(f"dnd:{name}" for name in CHANNELS), *(f"{name} DND" for name in CHANNELS)),
        *("dndSettings", "dnd_settings", "inboundDndSettings", "inbound_dnd_settings", "Status", "Notes", "Tags"),
        *(header for header, _ in (*cases(OPT_OUT), *cases(OPT_IN), *cases(TIMES))),
    ]
)
STATUSES = st.sampled_from(["active", "inactive", "permanent", "Inactive", "", "on", None, 0, False])
SETTINGS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["SMS", "sms", "Email", "email", "WhatsApp", "whatsApp", "whats_app", "all", "Call", "Fax"]),
    st.one_of(st.fixed_dictionaries({"status": STATUSES}, optional={"message": st.text(max_size=3)}), STATUSES),
    max_size=3,
)
CELLS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([*YES, *NO, *NOTHING, "active", "inactive", "permanent", "subscribed", "perhaps", "false", "{}"]),
    SETTINGS,
    st.booleans(),
    st.none(),
    st.text(max_size=5),
)
TARGETS = st.sampled_from(
    [
        *("dnd", "dndSettings", "inboundDndSettings", "ignore", "tags"),
        *(f"{kind}:{name}" for kind in ("dnd", "opt-in", "opt-out") for name in CHANNELS),
    ]
)


@given(st.data())
def test_no_content_of_a_file_opens_a_channel(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    names = data.draw(st.lists(HEADERS, min_size=1, max_size=4, unique=True))
    columns = {name: data.draw(TARGETS) for name in names if data.draw(st.integers(0, 3)) == 0}
    path = tmp_path_factory.mktemp("any") / data.draw(st.sampled_from(["a.csv", "a.jsonl"]))
    values = [{"email": "a@example.com", **{name: data.draw(CELLS) for name in names}} for _ in range(3)]
    if path.suffix == ".csv":
        texts = [[value if isinstance(value, str) else json.dumps(value) for value in row.values()] for row in values]
        lines = [quoted("email", *names), *(quoted(*row) for row in texts)]
    else:
        lines = [json.dumps(row) for row in values]
    try:
        rows = rows_of(path, "\n".join(lines), columns=columns)
    except LeadConnectorError:  # columns that contradict each other
        return
    for row in rows:
        if isinstance(row.contact, ContactUpsert):
            for v3 in (False, True):
                assert opened_by(json.loads(encode_contact(row.contact, v3=v3))) == []
            closings = closings_of(row.contact)
            assert closings is None or opened_by(json.loads(encode_contact(closings))) == []


def opened_by(sent: dict[str, Any]) -> list[str]:
    settings = {**sent.get("dndSettings", {}), **sent.get("inboundDndSettings", {})}
    return ["dnd"] * (sent.get("dnd") is False) + [name for name in settings if settings[name]["status"] == "inactive"]


def test_what_the_product_exports_opens_nothing(tmp_path: Path) -> None:
    settings = {"SMS": {"status": "active", "message": "STOP"}, "Email": {"status": "inactive"}}
    fields = {
        "email": "a@example.com",
        "dnd": False,
        "dndSettings": settings,
        "inboundDndSettings": {"all": {"status": "inactive"}},
    }
    (row,) = rows_of(tmp_path / "a.jsonl", json.dumps(fields))
    assert json.loads(encode_contact(row.contact)) == {  # type: ignore[arg-type]
        "email": "a@example.com",
        "dndSettings": {"SMS": settings["SMS"]},
    }
    texts = [value if isinstance(value, str) else json.dumps(value) for value in fields.values()]
    (other,) = rows_of(tmp_path / "a.csv", f"{quoted(*fields)}\n{quoted(*texts)}\n")
    assert other.contact == row.contact


def test_consent_says_what_a_header_says() -> None:
    assert find_consent("SMS Opt-Out") == Consent("opt-out", ("SMS",))
    assert find_consent("Do Not Mail") == Consent("opt-out", ())


# ---------------------------------------------------------------------------------------------- weak headers


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("Status", ["Subscribed", "Unsubscribed", "Active"], [set(), {"Email"}, set()]),
        ("Email Status", ["Active", "Bounced", "Cleaned"], [set(), {"Email"}, {"Email"}]),
        ("state", ["active", "cancelled", "bounced"], [set(), {"Email"}, {"Email"}]),
        ("Anmeldestatus", ["angemeldet", "abgemeldet"], [set(), {"Email"}]),
        ("Permission", ["granted", "denied"], [set(), {ALL}]),
    ],
)
def test_a_weak_header_counts_where_its_cells_are_words_about_consent(
    tmp_path: Path, header: str, cells: list[str], expected: list[Any]
) -> None:
    rows = rows_of(tmp_path / "a.csv", f"email,{header}\n" + "".join(f"{n}@b.co,{c}\n" for n, c in enumerate(cells)))
    found = [closed_by(row.contact) for row in rows if isinstance(row.contact, ContactUpsert)]
    assert found == expected


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Status", ["New", "Customer", "active"]),
        ("Email Status", ["valid", "invalid", "catch-all", "unknown"]),
        ("State", ["MA", "NY", "active"]),
        ("Newsletter", ["Spring", "Weekly"]),
        ("Permission", ["admin", "editor"]),
        ("Subscription", ["active", "cancelled", "active"]),
        ("Marketing contact status", ["Marketing contact", "Non-marketing contact"]),
    ],
)
def test_a_weak_header_over_other_words_closes_nobody_and_stops_nothing(
    tmp_path: Path, header: str, cells: list[str]
) -> None:
    tally, found = check(tmp_path / "a.csv", header, cells)
    assert not tally.unread
    assert found == [set()] * len(cells)


def test_a_word_about_consent_is_found_wherever_in_the_file_it_stands(tmp_path: Path) -> None:
    cells = ["Customer"] * 3_000 + ["Unsubscribed"]
    tally, _ = check(tmp_path / "a.csv", "Status", cells)
    assert [unread.column for unread in tally.unread] == ["Status"]  # most of it says something else: it stops the load


# ---------------------------------------------------------------------------------------------- flags of phones


@pytest.mark.parametrize(
    ("cells", "phone", "expected"),
    [
        ("2125550101,yes,2125550102,no", "+12125550102", set()),
        ("2125550101,no,2125550102,yes", "+12125550101", set()),
        ("2125550101,yes,2125550102,yes", "+12125550101", {"Call", "SMS"}),
        ("2125550101,yes,,", "+12125550101", {"Call", "SMS"}),
        ("2125550101,perhaps,2125550102,", "+12125550102", set()),  # what cannot be read is no leave to call
        ("2125550101,,,yes", "+12125550101", set()),
        (",yes,,", UNSET, {"Call", "SMS"}),  # the contact may have that number
    ],
)
def test_a_phone_that_may_be_called_goes_before_one_that_may_not(
    tmp_path: Path, cells: str, phone: Any, expected: set[str]
) -> None:
    text = f"email,Phone 1,Phone 1 DNC,Phone 2,Do Not Call Phone 2\na@b.co,{cells}\n"
    (row,) = rows_of(tmp_path / "a.csv", text, checks=Checks(default_country="US"))
    assert isinstance(row.contact, ContactUpsert)
    assert (row.contact.phone, closed_by(row.contact)) == (phone, expected)


def test_a_flag_of_one_phone_among_several_is_about_all_of_them(tmp_path: Path) -> None:
    text = "email,Phone,Phone opt out,Mobile\na@b.co,,yes,2125550101\n"
    (row,) = rows_of(tmp_path / "a.csv", text, checks=Checks(default_country="US"))
    assert isinstance(row.contact, ContactUpsert)
    assert "Call" in closed_by(row.contact)


# ---------------------------------------------------------------------------------------------- yes and no

LANGUAGE_CODES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv")
YES_AND_NO = {
    "en": ("Yes", "No"), "de": ("Ja", "Nein"), "fr": ("Oui", "Non"), "es": ("S\u00ed", "No"), "it": ("S\u00ec", "No"),
    "pt": ("Sim", "N\u00e3o"), "nl": ("Ja", "Nee"), "sv": ("Ja", "Nej"),
}  # fmt: skip


def answers(code: str, key: str) -> list[str]:
    """Return the words of one language's file for yes or no."""
    lines = files("leadconnector_async.rules").joinpath("languages", f"{code}.txt").read_text(encoding="utf-8")
    (line,) = (line for line in lines.splitlines() if line.startswith(f"{key} = "))
    return [word.strip() for word in line.partition(" = ")[2].split(",")]


@pytest.mark.parametrize("code", LANGUAGE_CODES)
def test_each_language_has_its_yes_and_no_and_all_that_ask_for_them_understand_it(code: str) -> None:
    yes, no = YES_AND_NO[code]
    assert yes.lower() in answers(code, "yes")
    assert no.lower() in answers(code, "no")
    spelled = [(word, True) for word in answers(code, "yes")] + [(word, False) for word in answers(code, "no")]
    for word, is_yes in [(form, said) for one, said in spelled for form in (one, one.upper(), one.title())]:
        assert read_answer(word) is read_flag(word) is is_yes
        assert judge(word, "opt-out") == ("closes" if is_yes else "leaves")
        assert judge(word, "opt-in") == ("leaves" if is_yes else "closes")
        assert (read_dnd(word), read_channel(word)) == ((True, CLOSED) if is_yes else (None, None))


ASKED = [
    (("Yes", "No"), "SINGLE_OPTIONS", "Yes", "No"),
    (("No", "Yes", "Maybe"), "RADIO", "Yes", "No"),
    (("Ja", "Nein", "Weiss nicht"), "SINGLE_OPTIONS", "Ja", "Nein"),
    (("TRUE", "FALSE"), "CHECKBOX", ["TRUE"], ["FALSE"]),
]


@pytest.mark.parametrize(("options", "data_type", "yes", "no"), ASKED, ids=lambda value: str(value)[:20])
def test_a_custom_field_that_asks_for_yes_or_no_understands_it_in_all_languages(
    options: tuple[str, ...], data_type: str, yes: Any, no: Any
) -> None:
    field = FieldDefinition(id="F", key="f", name="Member", data_type=data_type, options=options)
    read = value_reader(field, Checks())
    for code in LANGUAGE_CODES:
        for words, option in ((answers(code, "yes"), yes), (answers(code, "no"), no)):
            for word in words:
                found = read(word)
                value = found.value if isinstance(found, Fixed) else found
                assert value == {"id": "F", "field_value": option}
                is_spelled = word.lower() in {name.lower() for name in options}
                assert isinstance(found, Fixed) is not is_spelled  # what is changed is reported
    with pytest.raises(UnknownOptionError):
        read("perhaps")


@pytest.mark.parametrize(
    "options", [("S", "M", "L", "N"), ("Yes",), ("Red", "Blue"), ("Yes", "Ja", "No"), ("No", "Nein")]
)
def test_what_asks_for_something_else_takes_no_yes(options: tuple[str, ...]) -> None:
    field = FieldDefinition(id="F", key="f", name="Size", data_type="SINGLE_OPTIONS", options=options)
    with pytest.raises(UnknownOptionError):
        value_reader(field, Checks())("oui")
