"""Cells of files: what stands around them, what stands for nothing, what is noticed; whatever the column is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import ContactUpsert
from leadconnector_async.migration.mapping.custom_fields import FieldDefinition, FieldDefinitions
from leadconnector_async.migration.mapping.meaning import Meaning
from leadconnector_async.migration.mapping.rows import FileRow, open_row_file
from leadconnector_async.models import encode_contact
from leadconnector_async.rules.checks import Checks

COLUMNS = "email,phone,firstName,city,postalCode,country,dateOfBirth,timezone,website,gender,tags,custom:Note"
CELLS = "a@example.com,+16175550100,Ann,Boston,02110,US,1990-09-25,America/New_York,example.com,female,vip,hello"
GOOD = dict(zip(COLUMNS.split(","), CELLS.split(","), strict=True))
INVISIBLE = ("\u200b", "\ufeff", "\u00ad", "\u202a", "\u00a0")


def read_rows(path: Path, rows: list[dict[str, str]], **meaning: Any) -> list[FileRow]:
    """Read rows as a table, and as objects, which must mean the same."""
    found = []
    for name, text in (("a.csv", csv_of(rows)), ("a.jsonl", "\n".join(map(json.dumps, rows)))):
        (path / name).write_text(text, encoding="utf-8")
        found.append(list(open_row_file(path / name, Meaning(**meaning)).rows()))
    assert [meant(row) for row in found[0]] == [meant(row) for row in found[1]]
    return found[0]


def meant(row: FileRow) -> ContactUpsert | str:
    return row.contact if isinstance(row.contact, ContactUpsert) else row.contact.sentence


def csv_of(rows: list[dict[str, str]]) -> str:
    lines = [rows[0].keys(), *(row.values() for row in rows)]
    return "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)


def sent(row: FileRow) -> dict[str, Any]:
    assert isinstance(row.contact, ContactUpsert), row.contact
    found: dict[str, Any] = json.loads(encode_contact(row.contact))
    return found


@pytest.mark.parametrize("column", COLUMNS.split(","))
def test_what_stands_around_a_cell_is_not_sent_in_any_column(tmp_path: Path, column: str) -> None:
    (good,) = read_rows(tmp_path, [GOOD])
    for around in INVISIBLE:
        (row,) = read_rows(tmp_path, [GOOD | {column: f"{around}{GOOD[column]}{around}"}])
        assert row.contact == good.contact
        assert not row.problems
    (row,) = read_rows(tmp_path, [GOOD | {column: f"'{GOOD[column]}"}])
    assert row.contact == good.contact


@pytest.mark.parametrize("column", COLUMNS.split(","))
@pytest.mark.parametrize("cell", ["N/A", "#N/A", "NULL", r"\N", "nan", "None", "-", "--"])
def test_a_word_for_nothing_is_an_empty_cell_in_any_column(tmp_path: Path, column: str, cell: str) -> None:
    empty, row = read_rows(tmp_path, [GOOD | {column: ""}, GOOD | {column: cell}])
    assert row.contact == empty.contact
    ((name, action),) = [(problem.column, problem.action) for problem in row.problems]
    assert (name, action) == (column, "empty")


def test_a_word_for_nothing_is_sent_where_that_is_wanted_and_possible(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, [dict.fromkeys(GOOD, "N/A") | {"phone": GOOD["phone"]}], checks=KEEPING)
    assert sent(rows[0]) == {
        "phone": "+16175550100",
        **dict.fromkeys(("firstName", "city", "postalCode", "gender"), "N/A"),
        "tags": ["N/A"],
        "customFields": [{"key": "Note", "field_value": "N/A"}],
    }


KEEPING = Checks(keep_placeholders=True)


def test_a_word_for_nothing_is_no_tag_among_tags(tmp_path: Path) -> None:
    (row,) = read_rows(tmp_path, [GOOD | {"tags": "vip, N/A, -"}])
    assert sent(row)["tags"] == ["vip"]


def test_a_word_for_nothing_erases_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("email,city,state\na@example.com,N/A,\n")
    (row,) = open_row_file(tmp_path / "a.csv", Meaning(empties_fields=True)).rows()
    assert sent(row) == {"email": "a@example.com", "state": ""}


def test_a_row_of_nothing_but_words_for_nothing_has_no_identity(tmp_path: Path) -> None:
    (row,) = read_rows(tmp_path, [GOOD | {"email": "N/A", "phone": "-"}])
    assert "has neither email nor phone" in str(row.contact)


def test_a_mailbox_inside_exchange_does_not_keep_its_row(tmp_path: Path) -> None:
    inside = "/o=Lab/ou=First Group (ABC)/cn=Recipients/cn=ann"
    (row,) = read_rows(tmp_path, [GOOD | {"email": inside}])
    assert ("email" in sent(row), sent(row)["phone"]) == (False, "+16175550100")
    assert [(problem.column, problem.action) for problem in row.problems] == [("email", "skipped")]
    (row,) = read_rows(tmp_path, [GOOD | {"email": inside, "phone": ""}])
    assert "inside Exchange" in str(row.contact)


def test_decimals_of_codes_are_left_out_and_other_numbers_keep_theirs(tmp_path: Path) -> None:
    row = GOOD | {"postalCode": "53111.0", "phone": "16175550100.0", "custom:Customer ID": "12345.0"}
    (read,) = read_rows(tmp_path, [row | {"custom:Version": "2.0"}], checks=Checks(default_country="US"))
    found = sent(read)
    assert (found["postalCode"], found["phone"]) == ("53111", "+16175550100")
    fields = {field["key"]: field["field_value"] for field in found["customFields"]}
    assert fields == {"Note": "hello", "Customer ID": "12345", "Version": "2.0"}
    assert [problem.action for problem in read.problems] == ["fixed"] * 3


def test_text_that_was_decoded_wrongly_is_sent_and_told(tmp_path: Path) -> None:
    wrong = {
        "firstName": "J\u00c3\u00b6rg",
        "city": "Smith &amp; Co",
        "tags": "M\ufffdller",
        "custom:Note": "Z\u00c3\u00bcrich",
    }
    (row,) = read_rows(tmp_path, [GOOD | wrong])
    assert sent(row)["firstName"] == wrong["firstName"]
    assert [(problem.column, problem.action) for problem in row.problems] == [(name, "sent") for name in wrong]


def test_the_first_address_that_says_something_is_sent(tmp_path: Path) -> None:
    header = "email,city@home,state@home,city@work,state@work"
    columns = {name: name for name in header.split(",")}
    (tmp_path / "a.csv").write_text(f"{header}\na@example.com,N/A,-,Boston,MA\n")
    (row,) = open_row_file(tmp_path / "a.csv", Meaning(columns=columns)).rows()
    assert (sent(row)["city"], sent(row)["state"]) == ("Boston", "MA")


def test_tags_of_objects_are_cleaned_as_those_of_cells(tmp_path: Path) -> None:
    lines = [{"email": "a@example.com", "tags": ["vip", "N/A"]}, {"email": "b@example.com", "tags": ["-"]}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, second = open_row_file(tmp_path / "a.jsonl").rows()
    assert (sent(first)["tags"], "tags" in sent(second)) == (["vip"], False)
    assert [problem.action for problem in (*first.problems, *second.problems)] == ["empty"] * 2


def test_an_option_that_is_called_none_is_an_option(tmp_path: Path) -> None:
    field = FieldDefinition(id="f", key="contact.allergy", name="Allergy", data_type="RADIO", options=("None", "Nuts"))
    (tmp_path / "a.csv").write_text("email,custom:Allergy\na@example.com,None\n")
    (row,) = open_row_file(tmp_path / "a.csv", Meaning(fields=FieldDefinitions([field]))).rows()
    assert sent(row)["customFields"] == [{"id": "f", "field_value": "None"}]
