"""The mapping file: what is written can be read, corrected and given back; what a file holds stays inert in it."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from leadconnector_async import ConfigurationError, ContactUpsert
from leadconnector_async.cli.flags import with_flags
from leadconnector_async.migration.check import ConsentCells
from leadconnector_async.migration.mapping.file import read_mapping_file, write_mapping
from leadconnector_async.migration.mapping.headers import read_entries
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.presets import PRESETS, Preset
from leadconnector_async.migration.mapping.rows import RowFile, open_row_file, propose_fields
from leadconnector_async.migration.options import MigrationOptions
from leadconnector_async.migration.tables import Reading, open_table
from leadconnector_async.migration.tables.inputs import Sources
from leadconnector_async.migration.tables.queries import Query
from leadconnector_async.models.fields import UPSERT_FIELDS
from leadconnector_async.rules.consent import CHANNELS

HEADER = "First Name,E-Mail,Email 2,Notes,Tags,custom:plan,DND SMS\n"


def write(folder: Path, text: str, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def mapping_of(path: Path) -> str:
    return "".join(write_mapping([open_table(path)]))


def test_known_columns_are_listed_in_order_and_unknown_ones_commented_out_with_samples(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + 'Ann,a@b.co,,"line1\nline2",x,Pro,no\nBob,b@b.co,c@b.co,,y,,\n')
    text = mapping_of(path)
    lines = text.partition("[columns]\n")[2].partition("\n[settings]")[0].splitlines()
    assert '# "Notes" = "custom:Notes"  # line1 line2' in lines
    assert {'"First Name" = "firstName"  # Ann; Bob', '"DND SMS" = "dnd:SMS"  # no', '"Tags" = "tags"  # x; y'} < set(
        lines
    )
    assert lines.index('"E-Mail" = "email"  # a@b.co; b@b.co') < lines.index('"Email 2" = "email"  # c@b.co')


# ---------------------------------------------------------------------------------------------- the way round

SPELLINGS = {field.wire: [field.wire, *field.headers.split()] for field in UPSERT_FIELDS}
CELLS = {
    **{field.wire: "Text" for field in UPSERT_FIELDS},
    "email": "ann@example.com",
    "phone": "+16175550101",
    "tags": "red, blue",
    "dnd": "yes",
    "dateOfBirth": "1990-09-25",
    "country": "US",
    "timezone": "Europe/Berlin",
    "website": "example.com",
    "createNewIfDuplicateAllowed": "no",
    "dndSettings": '{"SMS": {"status": "active"}}',
    "inboundDndSettings": '{"all": {"status": "active"}}',
    "customFields": '[{"id": "F", "field_value": "x"}]',
    "assignedTo": "y0BeYjuRIlDwsDcOHOJo",
    "locationId": "ve9EPM428h8vShlRW1KT",
    "id": "ocQHyuzHvysMo5N5VsXc",
}


def table_of(folder: Path, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([headers, *rows])
    return write(folder, text.getvalue())


def file_of(folder: Path, path: Path) -> RowFile:
    """Return a table as it is read with the mapping file that is written for it."""
    (folder / "mapping.toml").write_text(mapping_of(path), encoding="utf-8")
    found = read_mapping_file(folder / "mapping.toml")
    return open_row_file(path, Meaning(columns=found.columns, values=found.values, is_whole=True))


def sent_of(file: RowFile) -> list[object]:
    """Return each target in its order, and what each row becomes."""
    assert file.map is not None
    rows = [
        (repr(row.contact), [(one.column, one.value, one.sentence, one.action) for one in row.problems])
        for row in file.rows()
    ]
    return [[(column.name, column.target.text) for column in file.map.columns], *rows]


def rows_for(headers: Sequence[str], targets: Mapping[str, str]) -> list[list[str]]:
    """Return rows that fill all columns without and with opt-outs, every other one, and the first ones."""
    of = [targets.get(name, "").partition("@")[0] for name in headers]
    full = [CELLS.get(target, f"Text {at}") for at, target in enumerate(of)]
    full = ["no" if of[at].startswith(("opt-", "dnd:")) else cell for at, cell in enumerate(full)]
    closing = ["yes" if of[at].startswith("opt-out") else cell for at, cell in enumerate(full)]
    some = [cell if at % 2 or of[at] in ("email", "phone") else "" for at, cell in enumerate(closing)]
    return [full, closing, some, [*full[:3], *[""] * len(full[3:])]]


def check_way_round(folder: Path, headers: Sequence[str]) -> RowFile:
    headers = list(dict.fromkeys(headers))
    before = open_row_file(table_of(folder, headers, [[CELLS["id"]] * len(headers)]))
    assert before.map is not None
    targets = {name: found[0].text for name, found in before.map.targets.items()}
    path = table_of(folder, headers, rows_for(headers, targets))
    file = open_row_file(path)
    assert sent_of(file_of(folder, path)) == sent_of(file)
    return file


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_mapping_of_a_known_export_is_the_same_when_it_is_given_back(tmp_path: Path, preset: Preset) -> None:
    headers = ["Email", *sorted(preset.own), *sorted(preset.signs), *preset.targets, *preset.unsent]
    file = check_way_round(tmp_path, headers)
    assert file.map is not None
    assert file.map.preset is preset
    assert not file.map.columns[0].target.is_consent


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_mapping_of_each_header_of_each_field_is_the_same_when_it_is_given_back(tmp_path: Path, name: str) -> None:
    beside = ["email", "phone"] if name not in ("email", "phone") else []
    for spelling in SPELLINGS[name]:
        file = check_way_round(tmp_path, [*beside, spelling])
        assert file.map is not None
        assert name in file.map.fields
    check_way_round(tmp_path, [*beside, *SPELLINGS[name]])


def test_the_mapping_of_all_fields_at_once_is_the_same_when_it_is_given_back(tmp_path: Path) -> None:
    check_way_round(tmp_path, [field.wire for field in UPSERT_FIELDS if field.wire != "locationId"])
    check_way_round(tmp_path, [name for names in SPELLINGS.values() for name in names])


@pytest.mark.parametrize("code", ["en", "de", "fr", "es", "it", "pt", "nl", "sv"])
def test_the_mapping_of_headers_of_each_language_is_the_same_when_it_is_given_back(tmp_path: Path, code: str) -> None:
    entries = [entry for left, found in read_entries(code) if left[:1] not in "@?" for entry in found]
    check_way_round(tmp_path, ["email", *entries])


@pytest.mark.parametrize(
    "headers",
    [
        ["email", "Phone 1", "Phone 1 DNC", "Phone 2", "Phone 2 DNC", "Do Not Call"],
        ["email", "Phone", "Phone DNC", "Mobile Phone", "Mobile Phone DNC"],
        ["email", *(f"dnd:{channel}" for channel in CHANNELS), "dnd"],
        ["email", *(f"{name} Opt-Out" for name in ("Email", "SMS", "Call", "WhatsApp", "FB"))],
        ["email", "Email Marketing Consent", "Unsubscribed", "Unsubscribed at", "custom:Plan", "custom:x@y"],
        ["phone", "Unsubscribed", "Newsletter"],
        ["email", "Vorname", "Name", "Strasse", "Ort", "Strasse privat", "Ort privat", "Hausnummer"],
        ["email", "Full Name", "Middle Name", "Address", "Address 2", "Full Address", "Billing City", "Billing Street"],
    ],
    ids=lambda headers: headers[1],
)
def test_what_is_more_than_a_field_is_the_same_when_it_is_given_back(tmp_path: Path, headers: list[str]) -> None:
    check_way_round(tmp_path, headers)


def test_columns_of_one_header_that_mean_two_things_stay_apart(tmp_path: Path) -> None:
    headers = ["email", "Status", "Status"]
    path = table_of(tmp_path, headers, [["a@b.co", "unsubscribed", "married"], ["b@b.co", "subscribed", "single"]])
    before = open_row_file(path)
    assert [file.map.texts for file in (before, file_of(tmp_path, path)) if file.map] == [
        {"email": "email", "Status": "opt-in:Email"}
    ] * 2
    assert sent_of(file_of(tmp_path, path)) == sent_of(before)


def test_what_the_user_says_is_written_too(tmp_path: Path) -> None:
    path = write(tmp_path, "Mail;Tel;Status\na@b.co;1;Aktiv\n")
    said = Meaning(
        columns={"Tel": ["phone", "custom:Tel as given"], "Status": "custom:Level"},
        values={"Status": {"Aktiv": "subscribed", 'odd "word"\t': ""}},
    )
    settings = {"encoding": "cp1252", "date_order": "dmy"}
    text = "".join(write_mapping([open_table(path)], said, settings=settings))
    (tmp_path / "mapping.toml").write_text(text, encoding="utf-8")
    found = read_mapping_file(tmp_path / "mapping.toml")
    assert found.columns == {
        "Tel": ["phone", "custom:Tel as given"], "Status": "custom:Level", "Mail": "email"
    }  # fmt: skip
    assert found.settings == settings
    assert found.values == said.values
    assert '# delimiter = ";"  # between the cells' in text


def test_how_a_file_is_read_is_shown_and_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes("email|Vorname\na@b.co|J\u00fcrgen; der\n".encode("cp1252"))
    (tmp_path / "mapping.toml").write_text(
        '[columns]\nemail = "email"\nVorname = "firstName"\n[settings]\nencoding = "cp1252"\ndelimiter = "|"\n'
    )
    options = MigrationOptions(mapping=tmp_path / "mapping.toml")
    reading = options.complete(Sources(files=[path])).reading
    assert (reading.usual_encoding, reading.delimiter) == ("cp1252", "|")
    file = open_row_file(path, options.read_meaning(), reading)
    assert [row.cells for row in file.rows()] == [["a@b.co", "J\u00fcrgen; der"]]
    given = Sources(files=[path], reading=Reading(encoding="cp1251"))
    assert [row.cells[1] for row in open_row_file(path, reading=options.complete(given).reading).rows()] != [
        "J\u00fcrgen; der"
    ]
    # Our own results begin with a mark, and are read as the UTF-8 that they are.
    path.write_text("email|Vorname\na@b.co|J\u00fcrgen\n", encoding="utf-8-sig")
    assert [row.cells[1] for row in open_row_file(path, reading=reading).rows()] == ["J\u00fcrgen"]
    assert '# delimiter = "|"' in mapping_of(path)
    query = Sources(query=Query("SELECT 1", "sqlite:///x"))
    assert options.complete(query).reading == reading


@pytest.mark.parametrize(("said", "mark"), [("tab", "\t"), (";", ";"), ("|", "|"), ("^", "^")])
def test_a_delimiter_that_is_said_goes_before_what_the_header_shows(tmp_path: Path, said: str, mark: str) -> None:
    path = write(tmp_path, f"email{mark}a,b,c{mark}x\na@b.co{mark}1,2,3{mark}y\n")
    table = open_table(path, Reading(delimiter=said))
    assert (table.columns, table.delimiter) == (["email", "a,b,c", "x"], mark)


# ---------------------------------------------------------------------------------------------- what words stand for


def contacts(folder: Path, text: str, **said: Any) -> list[Any]:
    return [row.contact for row in open_row_file(write(folder, text), Meaning(**said)).rows()]


def test_words_are_read_as_what_the_user_says_they_stand_for(tmp_path: Path) -> None:
    text = "email,Status,Sex,Level\na@b.co,Aktiv,w,A\nb@b.co, aktiv ,W,B\nc@b.co,Abgemeldet,m,\nd@b.co,other,x,A\n"
    values = {
        "Status": {"Aktiv": "subscribed", "Abgemeldet": "unsubscribed", "other": ""},
        "Sex": {"w": "female", "m": "male"},
        "Level": {"A": "Gold"},
    }
    found = contacts(tmp_path, text, values=values, columns={"Sex": "gender", "Level": "tags"})
    assert [one.gender for one in found] == ["female", "female", "male", "x"]
    assert [one.tags for one in found] == [["Gold"], ["B"], UNSET, ["Gold"]]
    assert [one.dnd_settings is not UNSET for one in found] == [False, False, True, False]


def test_consent_is_judged_by_what_words_stand_for(tmp_path: Path) -> None:
    text = "email,Status,Werbung\na@b.co,A1,p\nb@b.co,A2,q\nc@b.co,A1,\n"
    values = {"Status": {"A1": "subscribed", "A2": "unsubscribed"}, "Werbung": {"p": "ja", "q": "nein"}}
    file = open_row_file(write(tmp_path, text), Meaning(values=values, columns={"Werbung": "opt-in:SMS"}))
    cells = ConsentCells(file)
    for row in file.rows():
        cells.add(row.record)
    assert cells.unread() == []
    assert file.mapping["Status"] == "opt-in:Email"
    closed = [one.contact.dnd_settings for one in file.rows() if isinstance(one.contact, ContactUpsert)]
    assert [sorted(msgspec.to_builtins(one)) for one in closed if one] == [["Email", "SMS"]]
    assert [row.cells[1] for row in file.rows()] == ["A1", "A2", "A1"]  # result files repeat the source


def test_a_problem_shows_the_cell_as_it_stands(tmp_path: Path) -> None:
    file = open_row_file(write(tmp_path, "email,dob\na@b.co,never\n"), Meaning(values={"dob": {"Never": "soon"}}))
    (row,) = file.rows()
    assert [(problem.column, problem.value) for problem in row.problems] == [("dob", "never")]


# ---------------------------------------------------------------------------------------------- several fields


def test_a_column_feeds_several_fields(tmp_path: Path) -> None:
    said = {"columns": {"Tel": ["phone", "custom:Tel"], "Who": ["firstName", "tags"]}}
    (found,) = contacts(tmp_path, "email,Tel,Who\na@b.co,+1 617 555 0101,Ann\n", **said)
    assert (found.phone, found.first_name, found.tags) == ("+16175550101", "Ann", ["Ann"])
    assert [(field.key, field.field_value) for field in found.custom_fields] == [("Tel", "+1 617 555 0101")]


def test_what_is_wrong_with_a_cell_is_told_once(tmp_path: Path) -> None:
    said = Meaning(columns={"Tel": ["phone", "custom:Tel"]})
    (row,) = open_row_file(write(tmp_path, "email,Tel\na@b.co,N/A\n"), said).rows()
    assert len(row.problems) == 1


@pytest.mark.parametrize(
    ("said", "closes"),
    [
        ("custom:Level", True),
        (["custom:Level", "tags"], True),
        (["custom:Level", "opt-out:SMS"], True),
        (["custom:Level", "opt-in:Email"], False),
        ("ignore", False),
        ([], False),
    ],
)
def test_a_column_about_consent_closes_unless_one_of_its_targets_says_otherwise(
    tmp_path: Path, said: Any, closes: bool
) -> None:
    (found,) = contacts(tmp_path, "email,Email Opt Out\na@b.co,yes\n", columns={"Email Opt Out": said})
    assert (found.dnd_settings is not UNSET) is closes


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(cells.filter(str.strip), min_size=1, max_size=5), st.lists(cells, min_size=1, max_size=5))
def test_no_header_and_no_cell_breaks_out(
    tmp_path_factory: pytest.TempPathFactory, headers: list[str], row: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("mapping")
    text = io.StringIO()
    csv.writer(text).writerows([["email", *headers], ["a@b.co", *row]])
    written = mapping_of(write(folder, text.getvalue()))
    found = tomllib.loads(written)
    assert found["columns"]["email"] == "email"
    assert found.keys() == {"columns", "settings"}
    assert found["settings"] == {}
    lines = written.partition("[columns]\n")[2].partition("\n[settings]")[0].split("\n")
    shown = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines))
    assert len(shown) == len(headers) + 1  # each column is there once, and nothing else


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[columns\n", "cannot be read"),
        ("", "there is no table .columns. in it; leadconnector map FILE writes one"),
        ("columns = 3\n", ".columns. must hold lines such as"),
        ("[columns]\nEmail = 3\n", ".columns. must hold lines such as"),
        ('[columns]\nEmail = "email"\n[colums]\n', "'colums' has no meaning"),
        ('[columns]\nEmail = "email"\n[settings]\ncountry = "US"\n', "'country' has no meaning"),
        ('[columns]\nEmail = "email"\n[settings]\ndate_order = 3\n', ".settings. must hold lines such as date_order"),
        ('[columns]\nEmail = "email"\n[settings]\nencoding = "utf-99"\n', "'utf-99' is not known; try utf-8"),
        ('[columns]\nEmail = "email"\n[settings]\ndelimiter = ";;"\n', "';;' cannot stand between cells"),
        ('[columns]\nEmail = "email"\n[settings]\ndelimiter = "a"\n', "'a' cannot stand between cells"),
        ('[columns]\nEmail = "email"\n[values]\nStatus = "x"\n', r".values. must hold lines such as .Yes, please. ="),
        ('[columns]\nEmail = "email"\n[values.Status]\nAktiv = true\n', ".values. must hold lines such as"),
        ('[columns]\nEmail = ["email", 3]\n', ".columns. must hold lines such as"),
        ('[columns]\nEmail = ["email", "ignore"]\n', "'Email' is both sent and ignored"),
        ('[columns]\nEmail = ["email", "emial"]\n', "column 'Email': 'emial' is not a field"),
        ('[columns]\n"X" = "emial"\n', "column 'X': 'emial' is not a field of a contact; did you mean email"),
    ],
)
def test_a_mapping_file_that_is_wrong_is_told_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text, "mapping.toml")
    with pytest.raises(ConfigurationError, match=told) as caught:
        read_mapping_file(path)
    assert str(caught.value).startswith(f"mapping file {path}")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_mapping_file(tmp_path / "gone.toml")


# ---------------------------------------------------------------------------------------------- what cells show

EMAILS = ["ann@example.com", "Bob <bob@example.com>", "MAILTO:cy@example.org", "dee@example.com"]
PHONES = [
    ["+49 171 1234567", "0171/1234567", "+1 (617) 555-0101", "tel:+16175550101"],
    ["617-555-0101", "617.555.0102", "(617) 555 0103", "617 555 0104"],
    ["01711234567", "01711234568", "01711234569", "01711234560"],
]


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        (EMAILS, "email"),
        ([*EMAILS * 5, "none of it"], "email"),
        *((cells, "phone") for cells in PHONES),
        ([*PHONES[0], "", "n/a"], "phone"),
        (["www.example.com", "https://example.org/x", "http://a.example.com"], "website"),
    ],
)
def test_what_cells_show_is_proposed(tmp_path: Path, cells: list[str], field: str) -> None:
    path = table_of(tmp_path, ["A1", "A2"], [[cell, f"text {at}"] for at, cell in enumerate(cells)])
    assert propose_fields(open_table(path), Meaning()) == {"A1": field}
    with pytest.raises(ConfigurationError) as caught:
        open_row_file(path)
    told = with_flags(str(caught.value))
    assert f"no column is known (found: A1, A2; by its cells, 'A1' may be {field})" in told
    assert f'--map "A1={field}"' in told
    assert "`leadconnector map` writes a file of all columns" in told


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-01-31", "2023-12-01"],
        ["25.09.1990", "26.09.1990"],
        ["01/02/2020 10:00", "01/03/2020 11:30"],
        ["48.137154", "52.520008"],
        ["10.20.30.40", "192.168.100.200"],
        ["12345-6789", "54321-9876"],
        ["123-45-6789", "987-65-4321"],
        ["10023344", "10023345"],
        ["4111111111111111", "4012888888881881"],
        ["1234567", "7654321"],
        ["$1,234,567", "$7,654,321"],
        ["Ann Lee", "Bob Ray"],
        ["ann@example", "@bob"],
        ["x", "ann@example.com"],
        ["", ""],
    ],
)
def test_what_cells_do_not_show_is_not_proposed(tmp_path: Path, cells: list[str]) -> None:
    path = table_of(tmp_path, ["A1", "A2"], [[cell, "text"] for cell in cells])
    assert propose_fields(open_table(path), Meaning()) == {}


def test_a_file_of_which_nothing_is_known_can_be_loaded_with_the_mapping_that_is_proposed(tmp_path: Path) -> None:
    path = table_of(tmp_path, ["K1", "K2", "K3"], [["ann@example.com", "+1 617 555 0101", "7"]])
    text = mapping_of(path)
    assert '"K1" = "email"  # by its cells  # ann@example.com' in text
    assert '# "K3" = "custom:K3"  # 7' in text
    (row,) = file_of(tmp_path, path).rows()
    assert isinstance(row.contact, ContactUpsert)
    assert (row.contact.email, row.contact.phone) == ("ann@example.com", "+16175550101")


def test_where_a_column_says_who_it_is_about_proposals_take_no_effect(tmp_path: Path) -> None:
    path = table_of(tmp_path, ["email", "K2"], [["ann@example.com", "+1 617 555 0101"]])
    assert '# "K2" = "phone"  # by its cells' in mapping_of(path)
    assert read_mapping_file(write(tmp_path, mapping_of(path), "m.toml")).columns == {"email": "email"}
