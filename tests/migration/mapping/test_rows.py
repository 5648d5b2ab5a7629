"""Reading files: everything arrives whole, and a bad row is a row all the same."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from leadconnector_async import (
    BatchReport,
    ConfigurationError,
    ContactUpsert,
    CustomField,
    DndSetting,
    DndSettings,
    Outcome,
    RowError,
)
from leadconnector_async.errors import InvalidContactError
from leadconnector_async.migration.mapping.headers import looks_like_header
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import FileRow, open_row_file
from leadconnector_async.migration.report.files import Results, why_not_attempted
from leadconnector_async.migration.tables import open_table
from leadconnector_async.rules.checks import Checks
from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import make_folder
from leadconnector_async.run.rows import RunFile
from tests.kept_rows import keep


def write(folder: Path, text: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path) -> list[FileRow]:
    return list(open_row_file(path).rows())


def contacts(path: Path) -> list[ContactUpsert | str]:
    return [row.contact if isinstance(row.contact, ContactUpsert) else str(row.contact) for row in read(path)]


def sentence(row: FileRow) -> str:
    assert isinstance(row.contact, InvalidContactError)
    return str(row.contact)


# ---------------------------------------------------------------------------------------------- what is read


def test_text_stays_text(tmp_path: Path) -> None:
    path = write(tmp_path, "email,zip,phone,first_name\na@b.co,02134,+1 617 555 0100,007\n")
    assert contacts(path) == [
        ContactUpsert(email="a@b.co", postal_code="02134", phone="+16175550100", first_name="007")
    ]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("firstName", "first_name"),
        ("first_name", "first_name"),
        ("First Name", "first_name"),
        ("FIRST-NAME", "first_name"),
        ("Surname", "last_name"),
        ("Zip Code", "postal_code"),
        ("State/Region", "state"),
        ("Company", "company_name"),
        ("Website URL", "website"),
    ],
)
def test_headers_in_every_spelling(tmp_path: Path, header: str, field: str) -> None:
    (contact,) = contacts(write(tmp_path, f"E-Mail,{header}\na@b.co,x.co\n"))
    assert getattr(contact, field) == "x.co"


def test_ids_stand_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, "email,locationId,assignedTo\na@b.co,ve9EPM428h8vShlRW1KT,y0BeYjuRIlDwsDcOHOJo\n")
    expected = {"location_id": "ve9EPM428h8vShlRW1KT", "assigned_to": "y0BeYjuRIlDwsDcOHOJo"}
    assert contacts(path) == [ContactUpsert(email="a@b.co", **expected)]


def test_tags_flags_custom_fields_and_json_cells(tmp_path: Path) -> None:
    header = "email;tags;dnd;custom:plan;custom:size;dndSettings\n"
    path = write(tmp_path, header + 'a@b.co;vip, lead|x;No;Pro;M;"{""SMS"":{""status"":""active""}}"\n')
    assert contacts(path) == [
        ContactUpsert(
            email="a@b.co",
            tags=["vip", "lead", "x"],
            custom_fields=[CustomField(key="plan", field_value="Pro"), CustomField(key="size", field_value="M")],
            dnd_settings=DndSettings(sms=DndSetting(status="active")),
        )
    ]


def test_empty_cells_leave_their_fields_out_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "email,city,state\n\n a@b.co ,,\n,,\n\nb@b.co\n")
    assert contacts(path) == [ContactUpsert(email="a@b.co"), ContactUpsert(email="b@b.co")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "email,city\na@b.co,Bonn\n"),
        ("a.csv", "email;city\na@b.co;Bonn\n"),
        ("a.csv", "email\tcity\na@b.co\tBonn\n"),
        ("a.tsv", "email\tcity\na@b.co\tBonn\n"),
        ("a.txt", "email\tcity\na@b.co\tBonn\n"),
        ("a.csv", "email|city\na@b.co|Bonn\n"),
        ("a.csv", "sep=;\nemail;city\na@b.co;Bonn\n"),
        ("a.CSV", "\ufeffemail,city\r\na@b.co,Bonn\r\n"),
        ("a.csv", 'email,city\n"a@b.co","Bonn"'),
        ("a.jsonl", '{"email":"a@b.co","city":"Bonn"}\n'),
        ("a.ndjson", '\ufeff\n{"email":"a@b.co","city":"Bonn"}'),
    ],
)
def test_kinds_of_files(tmp_path: Path, name: str, text: str) -> None:
    assert contacts(write(tmp_path, text, name)) == [ContactUpsert(email="a@b.co", city="Bonn")]


def test_quoted_newlines_stay_in_their_cell(tmp_path: Path) -> None:
    path = write(tmp_path, 'email,address1\na@b.co,"Flat 2\n17 High Street"\nb@b.co,x\n')
    assert [contact.address1 for contact in contacts(path)] == ["Flat 2\n17 High Street", "x"]  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------------- files that are refused


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("gone.csv", None, "there is no such file"),
        ("people.docx", b"PK", "is not a kind of file that can be read"),
        ("people.csv", b"", "is empty"),
        ("people.csv", b" \n\n", "is empty"),
        ("people.csv", b"email\na@b.co\n" + b"\0" * 9, "save it as UTF-8"),
        ("people.csv", b"e\xffmail,caf\xc3\xa9\n", "the header cannot be read"),
        ("people.csv", b"foo,bar\n1,2\n", r"no column is known \(found: foo, bar\)"),
        ("people.csv", b"firstName,city\nAnn,Bonn\n", "no column for email or phone"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_in_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, expected: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected) as caught:
        open_row_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigurationError, match="is a folder, not a file"):
        open_row_file(tmp_path / "folder.csv")


def test_a_header_alone_is_a_file_of_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path, "email,city\n")) == []


# ---------------------------------------------------------------------------------------------- rows that are refused


def test_a_bad_row_is_told_by_row_and_column_and_reading_goes_on(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        b"email,dnd,First Name\n"
        b"a@b.co,yes,Ann\n"
        b"b@b.co,maybe,Bob\n"
        b"c@b.co,no,Cem,surplus\n"
        b"d@b.co,no,D\xe9d\xe9\n"
        b",,Nobody\n"
        b"e@b.co,no,Zo\xc3\xab\n",
    )
    rows = read(path)
    assert [isinstance(row.contact, ContactUpsert) for row in rows] == [True, False, False, False, False, True]
    assert (
        sentence(rows[1])
        == f"{path}, row 3, column dnd: 'maybe' is neither yes nor no (true, false, 1 and 0 are fine, too)"
    )
    assert "row 4: has 4 cells where the header has 3" in sentence(rows[2])
    assert rows[2].cells == ["c@b.co", "no", "Cem", "surplus"]
    assert "row 5, column First Name: is not UTF-8" in sentence(rows[3])
    assert "row 6: has neither email nor phone" in sentence(rows[4])


@pytest.mark.parametrize("text", ['"never closed', '"he said\nsee "this" note\nghost@b.co,Boo\nend"'])
def test_where_cells_and_rows_cannot_be_told_apart_nothing_is_sent(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, f"email,city\na@b.co,{text}\nc@b.co,Ulm\n")
    with pytest.raises(ConfigurationError, match="row 2: its quotes cannot be read"):
        list(open_row_file(path).rows())


@pytest.mark.parametrize("broken", ['b@b.co,"closed" too early'])
def test_a_wrong_quote_costs_its_own_line_alone(tmp_path: Path, broken: str) -> None:
    path = write(tmp_path, f'email,city\na@b.co,Bonn\n{broken}\nc@b.co,"Köln"\nd@b.co,Ulm\n')
    rows = read(path)
    assert [isinstance(row.contact, ContactUpsert) for row in rows] == [True, False, True, True]
    assert "row 3: its quotes cannot be read" in sentence(rows[1])
    assert rows[1].cells == ["", "", broken]


def test_a_large_cell_of_many_lines_is_one_cell(tmp_path: Path) -> None:
    notes = "ghost@b.co,Boo\n" * 20_000
    path = write(tmp_path, f'email,city\na@b.co,"{notes}"\nb@b.co,Bonn\n')
    assert [isinstance(row.contact, ContactUpsert) for row in read(path)] == [True, True]


def test_what_stands_in_quotes_does_not_tell_the_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path, 'email;"Notes, remarks, and so on";city\na@b.co;x;Bonn\n')
    assert contacts(path) == [ContactUpsert(email="a@b.co", city="Bonn")]


def test_columns_of_one_name_stay_apart(tmp_path: Path) -> None:
    file = open_row_file(write(tmp_path, "email,Note,Note,Note (2),custom:\na@b.co,1,2,3,4\n"))
    assert file.columns == ["email", "Note", "Note (2)", "Note (2) (2)", "custom:"]
    assert file.ignored == file.columns[1:]


def test_lines_of_one_error_are_one_kind_of_error(tmp_path: Path) -> None:
    rows = read(write(tmp_path, "{\n{{\n", "people.jsonl"))
    assert len({row.contact.sentence for row in rows if isinstance(row.contact, InvalidContactError)}) == 1


def test_white_space_is_no_identity(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, '{"email":"  ","phone":""}\n', "people.jsonl"))
    assert "line 1: has neither email nor phone" in sentence(row)


def test_json_lines_that_are_wrong_are_told_by_line(tmp_path: Path) -> None:
    lines = [
        '{"email":"a@b.co"}',
        "{",
        "[1]",
        '{"emial":"x"}',
        '{"email":"b@b.co","dnd":"maybe"}',
        '{"city":"Bonn"}',
        "\udcff",
        '{"email":"é@b.co"}',
    ]
    path = write(tmp_path, "\n".join(lines).encode(errors="surrogateescape"), "people.jsonl")
    told = [str(row.contact) for row in read(path)[1:-1]]
    expected = [
        "line 2: is no JSON;",
        "line 3: is no JSON object;",
        "line 4: unknown field 'emial'",
        "line 5: dnd: expected bool, got str",
        "line 6: has neither email nor phone",
        "line 7: is not UTF-8",
    ]
    for text, what in zip(told, expected, strict=True):
        assert what in text


# ---------------------------------------------------------------------------------------------- results


def table_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def settle(paths: list[Path], folder: Path, status: Any = "failed") -> Results:
    make_folder(folder)
    with Database(None) as database:
        return write_results(keep([open_row_file(path) for path in paths], database), folder, status)


def write_results(files: list[RunFile], folder: Path, status: Any) -> Results:
    results = Results(folder, files)
    error = RowError("ValidationError", 422, "no") if status == "failed" else None
    outcomes = (
        Outcome(index=index, status=status, error=error, contact_id="c", new=True)
        for index in range(sum(file.count for file in files))
    )
    report = BatchReport()
    results.write(outcomes, {}, report, lambda _: why_not_attempted(report))
    return results


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@given(st.lists(st.lists(cells, min_size=3, max_size=5), max_size=8))
def test_what_failed_loads_again_as_it_was(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]) -> None:
    folder = tmp_path_factory.mktemp("results")
    text = io.StringIO()
    csv.writer(text).writerows([["email", "Notes", "city"], *table])
    path = write(folder, text.getvalue())
    before = read(path)
    settle([path], folder / "out")
    if not before:
        assert not (folder / "out" / "failed.csv").exists()
        return
    after = read(folder / "out" / "failed.csv")
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        assert list(new.cells)[:3] == list(old.cells)[:3]
        assert isinstance(new.contact, ContactUpsert) == isinstance(old.contact, ContactUpsert)
        if isinstance(old.contact, ContactUpsert):
            assert new.contact == old.contact


def test_bytes_that_are_no_utf8_are_repeated_as_they_were(tmp_path: Path) -> None:
    path = write(tmp_path, b"email,city\na@b.co,K\xf6ln\nb@b.co,K\xc3\xb6ln\n")
    settle([path], tmp_path / "out")
    assert b"a@b.co,K\xf6ln,failed" in (tmp_path / "out" / "failed.csv").read_bytes()


def test_json_lines_that_failed_are_kept_to_the_letter(tmp_path: Path) -> None:
    lines = '{"email":"a@b.co","firstName":null,"tags":["x"],"dnd":true}\n{"emial":"x"}\n'
    path = write(tmp_path, lines, "people.jsonl")
    settle([path], tmp_path / "out")
    assert (tmp_path / "out" / "failed.jsonl").read_text() == lines
    (first, _) = table_of(tmp_path / "out" / "failed.csv")[1:]
    assert first[:4] == ["a@b.co", "", '["x"]', "true"]


def test_files_of_different_columns_share_result_files(tmp_path: Path) -> None:
    one = write(tmp_path, "email,city\na@b.co,Bonn\n", "one.csv")
    two = write(tmp_path, "phone,email\n+16175550100,b@b.co\n", "two.csv")
    settle([one, two], tmp_path / "out", "created")
    assert table_of(tmp_path / "out" / "succeeded.csv") == [
        ["email", "city", "phone", "contact_id", "new", "trace_id", "inferred"],
        ["a@b.co", "Bonn", "", "c", "true", "", ""],
        ["b@b.co", "", "+16175550100", "c", "true", "", ""],
    ]


def test_files_that_spell_a_field_in_several_ways_fail_into_one_that_loads(tmp_path: Path) -> None:
    one = write(tmp_path, "Email,First Name,custom:x\na@b.co,Ann,1\n", "one.csv")
    two = write(tmp_path, "e-mail,first_name,Custom:x\nb@b.co,Bob,2\n", "two.csv")
    settle([one, two], tmp_path / "out")
    assert contacts(tmp_path / "out" / "failed.csv") == [*contacts(one), *contacts(two)]


def test_files_with_several_columns_for_a_field_fail_into_one_that_loads(tmp_path: Path) -> None:
    one = write(tmp_path, "Email,E-Mail,Mobile,Phone\na@,a@b.co,1,+16175550100\n", "one.csv")
    two = write(tmp_path, "Phone,Email,email\n+16175550101,b@b.co,c@b.co\n", "two.csv")
    before = [*contacts(one), *contacts(two)]
    assert [(contact.email, contact.phone) for contact in before if isinstance(contact, ContactUpsert)] == [
        ("a@b.co", "+16175550100"),
        ("b@b.co", "+16175550101"),
    ]
    settle([one, two], tmp_path / "out")
    assert contacts(tmp_path / "out" / "failed.csv") == before


def test_cells_that_are_set_aside_are_told_by_row(tmp_path: Path) -> None:
    header = "email,phone,country,dob,website"
    path = write(tmp_path, f"{header}\na@b.co,abc,Atlantis,25.09.1990,n/a\n,abc,US,,\na@,+16175550100,,,\n")
    first, second, third = read(path)
    assert first.contact == ContactUpsert(email="a@b.co")
    assert [(problem.column, problem.action) for problem in first.problems] == [
        ("phone", "skipped"),
        ("country", "skipped"),
        ("dob", "skipped"),
        ("website", "empty"),
    ]
    # Without its email, the phone alone would decide whose contact is written.
    assert (
        sentence(third)
        == f"{path}, row 4, column email: is not an email address (there must be something after the @-sign)"
    )
    assert sentence(second) == f"{path}, row 3, column phone: is not a phone number"
    assert [(problem.column, problem.action) for problem in second.problems] == [("phone", "refused")]


def test_lines_of_json_are_checked_as_cells_are(tmp_path: Path) -> None:
    lines = [
        '{"email":"a@b.co","phone":"+1 617 555 0100","dateOfBirth":"25.09.1990","country":"Schweiz","city":null}',
        '{"email":"a@","phone":"+16175550100"}',
        '{"email":"a@b.co","date_of_birth":"1990/09/25","timezone":"","website":"n/a"}',
    ]
    first, second, third = read(write(tmp_path, "\n".join(lines), "people.jsonl"))
    assert first.contact == ContactUpsert(email="a@b.co", phone="+16175550100", country="CH", city=None)
    assert [(problem.column, problem.value) for problem in first.problems] == [("dateOfBirth", "25.09.1990")]
    assert "line 2, column email: is not an email address" in sentence(second)
    assert third.contact == ContactUpsert(email="a@b.co", date_of_birth="1990-09-25", timezone="")
    assert [(problem.column, problem.action) for problem in third.problems] == [("website", "empty")]


def test_a_field_given_twice_in_a_line_is_kept_twice(tmp_path: Path) -> None:
    path = write(tmp_path, '{"email":"a@b.co","firstName":"A","first_name":"B"}\n', "people.jsonl")
    settle([path], tmp_path / "out")
    assert table_of(tmp_path / "out" / "failed.csv")[1] == ["a@b.co", "A", "failed", "no", "", "B"]


@pytest.mark.parametrize(
    ("names", "again"), [(["a.csv"], "failed.csv"), (["b.jsonl"], "failed.jsonl"), (["a.csv", "b.jsonl"], "failed.csv")]
)
def test_the_file_to_load_again_holds_every_row(tmp_path: Path, names: list[str], again: str) -> None:
    write(tmp_path, "email\na@b.co\n", "a.csv")
    write(tmp_path, '{"email":"b@b.co"}\n', "b.jsonl")
    assert settle([tmp_path / name for name in names], tmp_path / "out").to_load_again == again
    assert len(read(tmp_path / "out" / again)) == len(names)


@pytest.mark.parametrize(
    ("name", "content"),
    [("people.csv", 'email,city\na@b.co"x,"y" z\n"a@b.co" x,y\n'), ("people.jsonl", '{"email":"a@b.co"}\n{\n')],
)
def test_what_cannot_be_read_is_not_sent_when_it_is_loaded_again(tmp_path: Path, name: str, content: str) -> None:
    before = read(write(tmp_path, content, name))
    settle([tmp_path / name], tmp_path / "out")
    after = read(tmp_path / "out" / "failed.csv")
    assert [isinstance(row.contact, ContactUpsert) for row in after] == [
        isinstance(row.contact, ContactUpsert) for row in before
    ]
    assert after[-1].cells[-1] == content.splitlines()[-1]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is not empty"):
        make_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot hold the results"):
        make_folder(tmp_path / "report.json" / "below")


def test_a_row_that_may_have_been_applied_is_not_loaded_again_by_mistake(tmp_path: Path) -> None:
    header = "email,createNewIfDuplicateAllowed,status,error,trace_id\n"
    path = write(
        tmp_path, header + "a@b.co,true,unknown,x,\nb@b.co,,unknown,x,\nc@b.co,true,failed,x,\nd@b.co,true,,,\n"
    )
    first, *others = read(path)
    assert "look it up, then clear this cell" in str(first.contact)
    assert all(isinstance(row.contact, ContactUpsert) for row in others)


def test_lines_that_must_be_looked_up_are_not_among_those_to_load_again(tmp_path: Path) -> None:
    lines = ['{"email":"a@b.co","createNewIfDuplicateAllowed":true}', '{"email":"b@b.co"}']
    path = write(tmp_path, "\n".join(lines), "people.jsonl")
    settle([path], tmp_path / "out", "unknown")
    assert (tmp_path / "out" / "failed.jsonl").read_text() == lines[1] + "\n"
    assert len(table_of(tmp_path / "out" / "failed.csv")) == 3


def test_null_in_a_file_opens_no_channel_and_is_refused_where_one_version_alone_takes_it(tmp_path: Path) -> None:
    lines = ['{"email":"a@b.co","dnd":null}', '{"email":"a@b.co","gender":null}', '{"email":"a@b.co","city":null}']
    opened, odd, cleared = (row.contact for row in read(write(tmp_path, "\n".join(lines).encode(), "people.jsonl")))
    assert isinstance(opened, ContactUpsert)
    assert opened.dnd is UNSET
    assert "gender: null is not accepted by files; nothing empties it" in str(odd)
    assert isinstance(cleared, ContactUpsert)
    assert cleared.city is None


def test_json_may_hold_numbers_where_texts_belong(tmp_path: Path) -> None:
    values: dict[str, Any] = {"phone": 6175550101, "postalCode": 35061, "first_name": 7.0, "city": 12.5, "tags": [2026]}
    path = write(tmp_path, json.dumps({"email": "a@b.co", **values}), "people.jsonl")
    (contact,) = (row.contact for row in open_row_file(path, Meaning(checks=Checks(default_country="US"))).rows())
    assert isinstance(contact, ContactUpsert)
    assert (contact.phone, contact.postal_code, contact.tags) == ("+16175550101", "35061", ["2026"])
    assert (contact.first_name, contact.city) == ("7", "12.5")


@pytest.mark.parametrize("value", ["12345678901234567890123", "1e30", "true", "{}", "[1]"])
def test_what_is_no_number_to_the_last_digit_becomes_no_text(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, f'{{"email":"a@b.co","phone":{value}}}', "people.jsonl")
    assert "phone: expected str, got" in contacts(path)[0]


def test_a_nul_refuses_its_own_row_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, b"email,city\na@b.co,Bo\0nn\nb@b.co,Ulm\n")
    odd, fine = contacts(path)
    assert "row 2, column city: holds a NUL character; remove it" in str(odd)
    assert isinstance(fine, ContactUpsert)


# ---------------------------------------------------------------------------------------------- lines without people


def emails(path: Path) -> list[str | None]:
    return [contact.email if isinstance(contact, ContactUpsert) else contact for contact in contacts(path)]


TITLES = {
    "one cell": "Contacts of the shop\nDrawn up on 3 May\n\n",
    "quotes": 'Notes:\n"Some addresses, as they are private, are missing."\n\n',
    "several cells": "Filter;active\n",
    "other delimiters": "Name, place and so on\n",
}


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_lines_above_the_header_are_skipped_and_told(tmp_path: Path, title: str, delimiter: str) -> None:
    rows = "Vorname;E-Mail;Kundennummer\nUte;u@x.de;7\nIda;i@x.de;8\n".replace(";", delimiter)
    file = open_row_file(write(tmp_path, title + rows))
    assert [row.contact.email for row in file.rows() if isinstance(row.contact, ContactUpsert)] == ["u@x.de", "i@x.de"]
    assert len(file.table.notes) == 1
    assert "above the header" in file.table.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "Kunde,Rang\nName,E-Mail\n",  # no wider than what may be a header
        "Kunde,Rang,Ort\nName,E-Mail\n",
        "email,way\na@b.co,Phone\n",
    ],
)
def test_a_row_is_not_taken_for_a_header_below_one(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    table = open_table(path, is_header=looks_like_header)
    assert table.columns == text.split("\n", maxsplit=1)[0].split(",")
    assert list(table.notes) == []


FOOTERS = {
    "of a report": '"Confidential Information - Do Not Distribute"\n"Copyright (c) 2000-2026 x.com"\n"Acme"\n',
    "in another order": '"My Contacts"\n"Generated By:  Ann  1/2/2026"\n',
    "totals": "Grand Totals (2 records)\n",
    "totals of columns": "Total,,2\n",
    "in French": "Total général,,2\n",
}


@pytest.mark.parametrize("footer", FOOTERS.values(), ids=FOOTERS)
def test_a_footer_is_no_people(tmp_path: Path, footer: str) -> None:
    file = open_row_file(write(tmp_path, "First Name,Email,Score\nAnn,a@b.co,1\nBob,b@b.co,1\n\n" + footer))
    assert [row.record.number for row in file.rows()] == [2, 3]
    lines = len(footer.splitlines())
    (sentence,) = file.about_left_out()
    assert sentence.endswith("left out, as part of a footer or of totals")
    assert f": {lines} line" in sentence


def test_whoever_can_be_reached_is_no_footer(tmp_path: Path) -> None:
    path = write(tmp_path, "Email,Name\ntotal@b.co,\ngenerated.by@b.co,Total\n")
    assert emails(path) == ["total@b.co", "generated.by@b.co"]


def test_a_row_with_a_name_alone_is_refused_and_not_lost(tmp_path: Path) -> None:
    path = write(tmp_path, "Name,Email\nAnn,\nBob,b@b.co\nIda,\n\nTotal,\n")
    rows = read(path)
    assert [row.record.number for row in rows] == [2, 3, 4]
    assert sentence(rows[0]).endswith(
        "row 2: has neither email nor phone, and the service matches by these; it has a name alone, of which "
        "`create_nameless` makes a contact"
    )


def test_a_repeated_header_is_no_row(tmp_path: Path) -> None:
    file = open_row_file(write(tmp_path, "email,city\na@b.co,Bonn\nemail,city\nb@b.co,Ulm\n"))
    assert len(list(file.rows())) == 2
    assert file.about_left_out() == [f"{file.name}: 1 line is left out, as the header is repeated there"]


@pytest.mark.parametrize("header", ["ISDELETED", "is_deleted", "Deleted At"])
def test_what_its_source_marks_as_deleted_is_left_out(tmp_path: Path, header: str) -> None:
    path = write(tmp_path, f"email,{header}\na@b.co,\nb@b.co,2026-01-02\nc@b.co,true\nd@b.co,false\n")
    assert emails(path) == ["a@b.co", "d@b.co"]
    file = open_row_file(path)
    list(file.rows())
    list(file.rows())  # is counted anew
    assert file.about_left_out() == [f"{file.name}: 2 lines are left out, as deleted in the source"]
    assert len(list(open_row_file(path, Meaning(ignored=frozenset([header]))).rows())) == 4
