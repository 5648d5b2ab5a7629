"""Every kind of source gives the same text, whole, as often as it is read."""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib
import io
import json
import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError, ContactUpsert
from leadconnector_async.migration.mapping.rows import RowFile
from leadconnector_async.migration.tables import Reading, Record, Table, find_files, open_table
from leadconnector_async.migration.tables.queries import Query, has_password, hide_password
from leadconnector_async.migration.tables.table import cell_of
from tests.cli.conftest import COMMAND

DATA = Path(__file__).parent / "data"
HEADER = ["email", "zip", "phone", "custom:note"]
ROWS = [
    ["a@b.co", "02134", "+1 617 555 0100", "two\nlines"],
    ["zoë@b.co", "00501", "", 'a "quoted"; cell, of\tall'],
    ["c@b.co", "", "1e5", "=1+1"],
]


def read(path: Path, **reading: Any) -> tuple[list[str], list[list[str]]]:
    """Return columns and cells, and check that a second reading gives the same."""
    table = open_table(path, Reading(**reading))
    rows = [list(record.cells) for record in table.rows()]
    assert [list(record.cells) for record in table.rows()] == rows
    return table.columns, rows


def records(path: Path, **reading: Any) -> list[Record]:
    return list(open_table(path, Reading(**reading)).rows())


def as_csv(delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([HEADER, *ROWS])
    return text.getvalue()


def as_json_lines() -> str:
    return "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in ROWS)


def duckdb() -> Any:
    return importlib.import_module("duckdb")


def write_parquet(path: Path) -> None:
    values = ", ".join(f"({', '.join(_quoted(cell) for cell in row)})" for row in ROWS)
    names = ", ".join(f'"{name}"' for name in HEADER)
    with duckdb().connect() as connection:
        connection.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t({names})) TO '{path}' (FORMAT parquet)")


def _quoted(cell: str) -> str:
    return "'" + cell.replace("'", "''") + "'"


def write_workbook(path: Path) -> None:
    workbook = importlib.import_module("openpyxl").Workbook()
    for row in [HEADER, *ROWS]:
        workbook.active.append(row)
    for cells in workbook.active.iter_rows():
        for cell in cells:
            cell.data_type = "s"  # a text is no formula
    workbook.save(path)


def write_ods(path: Path) -> None:
    def cell(text: str) -> str:
        lines = "".join(f"<text:p>{line.replace('&', '&amp;')}</text:p>" for line in text.split("\n"))
        return f'<table:table-cell office:value-type="string">{lines}</table:table-cell>'

    rows = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in [HEADER, *ROWS])
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="People">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/people.csv", as_csv())
        archive.writestr("__MACOSX/export/._people.csv", b"\0")


def zstd() -> Any:
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "people.csv": lambda path: path.write_text(as_csv(), newline=""),
    "people.tsv": lambda path: path.write_text(as_csv("\t"), newline=""),
    "semicolon.csv": lambda path: path.write_text(as_csv(";"), newline=""),
    "pipe.txt": lambda path: path.write_text(as_csv("|"), newline=""),
    "people.jsonl": lambda path: path.write_text(as_json_lines()),
    "lines.json": lambda path: path.write_text(as_json_lines()),
    "people.json": lambda path: path.write_text(json.dumps([*map(json.loads, as_json_lines().splitlines())], indent=2)),
    "people.parquet": write_parquet,
    "people.xlsx": write_workbook,
    "people.ods": write_ods,
    "people.csv.gz": lambda path: path.write_bytes(gzip.compress(as_csv().encode())),
    "people.csv.bz2": lambda path: path.write_bytes(bz2.compress(as_csv().encode())),
    "people.jsonl.xz": lambda path: path.write_bytes(lzma.compress(as_json_lines().encode())),
    "people.csv.zst": lambda path: path.write_bytes(zstd().compress(as_csv().encode())),
    "people.zip": write_zip,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_text(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert read(tmp_path / name) == (HEADER, ROWS)


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl", "people.json", "people.parquet", "people.xlsx"])
def test_every_kind_of_file_gives_the_same_contacts(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    first = next(RowFile(open_table(tmp_path / name)).rows()).contact
    assert isinstance(first, ContactUpsert)
    assert (first.email, first.postal_code, first.phone) == ("a@b.co", "02134", "+16175550100")
    assert first.custom_fields is not None


# ---------------------------------------------------------------------------------------------- encodings


WORDS = {
    "cp1252": "Müller Größe Köln Jürgen François Hélène Œuvre Peña Muñoz €5",
    "latin-1": "Müller Größe Köln Jürgen François Hélène Peña Muñoz",
    "cp1250": "Łukasz Żółć Kraków Świętosława Wójcik Małgorzata Jarosław",
    "cp1251": "Иван Петров Москва улица Сергей Наталья Екатерина",
    "utf-8": "Müller Łukasz Иван 株式会社 عمر",
    "utf-8-sig": "Müller Łukasz Иван 株式会社 عمر",
    "utf-16": "Müller Łukasz Иван 株式会社 عمر",
    "utf-16-le": "Müller Łukasz Hélène",
    "utf-16-be": "Müller Łukasz Hélène",
    "utf-32": "Müller Łukasz Иван 株式会社 عمر",
}


def people_of(words: str) -> str:
    lines = [f"person{number}@example.com,{word},Main Street {number}" for number, word in enumerate(words.split())]
    return "\r\n".join(["email,first name,address", *lines, ""])


@pytest.mark.parametrize("encoding", WORDS)
def test_encodings_are_found_out(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(people_of(WORDS[encoding]).encode(encoding))
    assert [cells[1] for cells in read(path)[1]] == WORDS[encoding].split()


@pytest.mark.parametrize(("encoding", "label"), [("cp1252", "Windows-1252"), ("cp1250", "Windows-1250")])
def test_a_guess_is_told_and_can_be_overruled(tmp_path: Path, encoding: str, label: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(people_of(WORDS[encoding]).encode(encoding))
    assert f"read as {label}" in open_table(path).notes[0]
    table = open_table(path, Reading(encoding="cp1257"))
    assert not table.notes
    assert [row.cells[1] for row in table.rows()] != WORDS[encoding].split()


def test_letters_far_down_in_a_long_file_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    lines = [f"person{number}@example.com,Ann" for number in range(100_000)]
    path.write_bytes("\n".join(["email,name", *lines, "z@b.co,Günther"]).encode("cp1252"))
    assert path.stat().st_size > 2_000_000
    *_, last = open_table(path).rows()
    assert last.cells == ["z@b.co", "Günther"]


def test_in_a_file_of_two_encodings_the_rows_of_the_other_one_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    old = [f"x{number}@b.co,Jürgen".encode("cp1252") for number in range(40)]
    path.write_bytes(b"\n".join([b"email,name", *old, "y@b.co,Jürgen".encode(), b"z@b.co,Ann", b""]))
    rows = records(path)
    assert [row.error for row in rows[:40]] == [None] * 40
    assert "UTF-8 in a file that is not" in str(rows[40].error)
    assert rows[41].error is None
    new = [f"x{number}@b.co,Jürgen".encode() for number in range(40)]
    path.write_bytes(b"\n".join([b"email,name", *new, "y@b.co,Jürgen".encode("cp1252"), b""]))
    *good, bad = RowFile(open_table(path)).rows()
    assert {row.contact.name for row in good if isinstance(row.contact, ContactUpsert)} == {"Jürgen"}
    assert "is not UTF-8" in str(bad.contact)


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1), st.sampled_from(["utf-8", "utf-16", "utf-32"])
)
def test_any_text_arrives_whole_in_any_unicode(
    tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str
) -> None:
    path = tmp_path_factory.mktemp("text") / "people.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([["email", "note"], ["a@b.co", text]])
    assert read(path)[1] == [["a@b.co", text]]


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl", "people.json", "lines.json"])
def test_an_encoding_that_is_wrong_is_one_sentence(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    (tmp_path / name).write_bytes(
        (tmp_path / name).read_bytes().rstrip() + b"\n" * ((tmp_path / name).stat().st_size % 2)
    )
    for wrong in ("utf-16", "utf-32", "utf-7", "punycode"):
        with pytest.raises(ConfigurationError) as caught:
            RowFile(open_table(tmp_path / name, Reading(encoding=wrong)))
        assert "\n" not in str(caught.value)


def test_an_encoding_that_there_is_not(tmp_path: Path) -> None:
    WRITERS["people.csv"](tmp_path / "people.csv")
    for wrong in ("klingon", "base64"):
        with pytest.raises(ConfigurationError, match=f"`encoding` '{wrong}' is not known"):
            open_table(tmp_path / "people.csv", Reading(encoding=wrong))


# ---------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    "text",
    [
        '[{"email": "a@b.co", "n": 1.10}, {"email": null, "n": 12345678901234567890123}]',
        '{"total": 2, "data": {"contacts": [{"email": "a@b.co", "n": 1.10}, {"n": 12345678901234567890123}]}}',
        '{"contacts": [\n{"email": "a@b.co", "n": 1.10},\n{"n": 12345678901234567890123}\n], "next": [{"x": 1}]}',
        '\ufeff\n\n{"email": "a@b.co", "n": 1.1}\n{"n": 12345678901234567890123}\n',
    ],
)
def test_objects_wherever_they_stand(tmp_path: Path, text: str) -> None:
    (tmp_path / "people.json").write_text(text, encoding="utf-8")
    assert read(tmp_path / "people.json") == (["email", "n"], [["a@b.co", "1.1"], ["", "12345678901234567890123"]])


def test_which_array_was_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text('{"page": {"items": [1], "contacts": [{"email": "a@b.co"}]}}')
    table = open_table(path)
    assert table.notes == ["the rows are those of its array 'page.contacts'"]
    path.write_text('{"email": "a@b.co"}')
    assert [row.line for row in open_table(path).rows()] == ['{"email": "a@b.co"}']


def test_what_is_no_object_among_items_is_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "people.json").write_text('[{"email": "a@b.co"}, 7, {"email": "b@b.co", "tags": ["x"]}]', "utf-16")
    first, second, third = records(tmp_path / "people.json")
    assert (first.error, second.number, third.cells) == (None, 2, ["b@b.co", '["x"]'])
    assert "is no JSON object; each item must be an object" in str(second.error)


# ---------------------------------------------------------------------------------------------- typed cells


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        ("02134", "02134"),
        (2134, "2134"),
        (2134.0, "2134"),
        (16175550100.0, "16175550100"),
        (0.1, "0.1"),
        (1e22, "1e+22"),
        (float("nan"), ""),
        (float("inf"), "inf"),
        (True, "true"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+3"), "1000"),
        (date(1990, 9, 25), "1990-09-25"),
        (datetime(1990, 9, 25), "1990-09-25"),  # noqa: DTZ001
        (datetime(1990, 9, 25, 1, 2, 3), "1990-09-25T01:02:03"),  # noqa: DTZ001
        (datetime(1990, 9, 25, tzinfo=UTC), "1990-09-25T00:00:00+00:00"),
        (time(3, 4), "03:04:00"),
        (b"K\xc3\xb6ln", "Köln"),
        ([1, "x"], '[1,"x"]'),
        ({"a": Decimal("1.10")}, '{"a":1.10}'),
    ],
)
def test_values_become_text_as_a_person_sees_them(value: Any, cell: str) -> None:
    assert cell_of(value) == cell


TYPED = """
    SELECT 'a@b.co' AS email, 2134::BIGINT AS "big int", 2134.0::DOUBLE AS score, 'nan'::DOUBLE AS none,
        0.1::DOUBLE AS small, true AS flag, DATE '1990-09-25' AS born, TIMESTAMP '1990-09-25' AS midnight,
        TIMESTAMP '1990-09-25 01:02:03' AS at,
        [1, 2] AS list, {'a': 'x'} AS struct, 12.50::DECIMAL(9, 2) AS money, NULL::INTEGER AS empty, '02134' AS zip,
        'K\\xC3\\xB6ln'::BLOB AS city, 'infinity'::TIMESTAMP AS ever
"""
TYPED_CELLS = [
    "a@b.co", "2134", "2134", "", "0.1", "true", "1990-09-25", "1990-09-25", "1990-09-25T01:02:03", "[1,2]",
    '{"a":"x"}', "12.50", "", "02134", "Köln", "infinity",
]  # fmt: skip


def test_parquet_is_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "year=2020" / "people [1]*.parquet"
    path.parent.mkdir()
    with duckdb().connect() as connection:
        connection.execute(f"COPY ({TYPED}) TO '{path}' (FORMAT parquet)")
    columns, (cells,) = read(path)
    assert columns[:3] == ["email", "big int", "score"]
    assert cells == TYPED_CELLS


def workbook(path: Path, *sheets: tuple[str, list[list[Any]]]) -> Any:
    book = importlib.import_module("openpyxl").Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return book


def test_workbooks_as_a_person_sees_them(tmp_path: Path) -> None:
    rows = [
        [],
        ["Contacts of 2020"],
        [],
        ["email", "zip", "born", "at", "flag", "phone", "share"],
        ["a@b.co", 2134, date(1990, 9, 25), datetime(2020, 1, 2, 3, 4, 5), True, 16175550100, 0.1],  # noqa: DTZ001
        [],
        ["b@b.co", "02134"],
    ]
    path = tmp_path / "people.xlsx"
    workbook(path, ("People", rows[3:]))
    expected = ["a@b.co", "2134", "1990-09-25", "2020-01-02T03:04:05", "true", "16175550100", "0.1"]
    assert read(path) == (rows[3], [expected, ["b@b.co", "02134", "", "", "", "", ""]])
    assert [record.number for record in records(path)] == [2, 4]


def test_the_sheet_is_chosen_and_told(tmp_path: Path) -> None:
    path = tmp_path / "people.xlsx"
    book = workbook(path, ("Notes", []), ("A", [["email"], ["a@b.co"]]), ("B", [["email"], ["b@b.co"]]))
    table = open_table(path)
    assert table.notes == ["the sheet 'A' is read (there are 'B'; `sheet` chooses another)"]
    assert read(path, sheet="B")[1] == read(path, sheet="3")[1] == [["b@b.co"]]
    assert open_table(path).describe() != open_table(path, Reading(sheet="B")).describe()
    with pytest.raises(ConfigurationError, match=r"has no sheet 'C'; there are 'Notes', 'A', 'B'"):
        open_table(path, Reading(sheet="C"))
    book["A"].sheet_state = "hidden"
    book.save(path)
    assert read(path)[1] == [["b@b.co"]]


def test_formulas_without_a_stored_value_are_told(tmp_path: Path) -> None:
    path = tmp_path / "people.xlsx"
    workbook(path, ("People", [["email", "sum"], ["a@b.co", "=1+1"], ["b@b.co", "=2+2"], ["c@b.co", 5]]))
    table = open_table(path)
    assert "2 formula cells have no stored value and are read as empty" in table.notes[0]
    assert [row.cells for row in table.rows()] == [["a@b.co", ""], ["b@b.co", ""], ["c@b.co", "5"]]
    with_values = tmp_path / "saved.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(with_values, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>"))
    assert not open_table(with_values).notes
    assert [row.cells[1] for row in records(with_values)] == ["2", "2", "5"]


def test_old_workbooks_are_read(tmp_path: Path) -> None:
    header = ["email", "zip", "dob", "custom:score"]
    assert read(DATA / "people.xls") == (header, [["a@b.co", "02134", "1990-09-25", "2134"]])


# ---------------------------------------------------------------------------------------------- files and patterns


def test_patterns_stand_for_their_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "c.jsonl", "x[1].csv", "deep/d.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("email\n")
    assert find_files([Path("*.csv"), Path("c.jsonl")]) == [*map(Path, ("a.csv", "b.csv", "x[1].csv", "c.jsonl"))]
    assert find_files([Path("x[1].csv"), Path("**/d.csv")]) == [Path("x[1].csv"), Path("deep/d.csv")]
    assert find_files([Path("*")]) == [*map(Path, ("a.csv", "b.csv", "c.jsonl", "x[1].csv"))]
    with pytest.raises(ConfigurationError, match="none that is called like that"):
        find_files([Path("*.xlsx")])


def test_a_format_that_is_given_wins_over_the_name(tmp_path: Path) -> None:
    path = tmp_path / "export.dat"
    path.write_text(as_json_lines())
    assert read(path, format="jsonl") == (HEADER, ROWS)
    with pytest.raises(ConfigurationError, match="`format` 'doc' cannot be read; it is one of csv, tsv"):
        Reading(format="doc")


# ---------------------------------------------------------------------------------------------- databases


def rows_of(query: Query, folder: Path) -> Table:
    query.keep_rows(folder / "kept.csv")
    assert (folder / "kept.csv").stat().st_mode & 0o777 == 0o600
    table = open_table(folder / "kept.csv", Reading(encoding="utf-8"))
    (folder / "kept.csv").rename(folder / "done.csv")
    table.file.path = folder / "done.csv"
    return table


@pytest.mark.parametrize("form", ["sqlite:///{}", "{}"])
def test_sqlite_is_read_and_never_written(tmp_path: Path, form: str) -> None:
    path = tmp_path / "my crm.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE people (email, zip TEXT, score, "a;b;c" TEXT, data BLOB)')
        rows = [("a@b.co", "02134", 2134.0, "x\ny", b"\xff"), ("b@b.co", None, 7, '"', "K\xf6ln".encode())]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    table = rows_of(Query("SELECT * FROM people -- all", form.format(path)), tmp_path)
    assert table.columns == ["email", "zip", "score", "a;b;c", "data"]
    expected = [["a@b.co", "02134", "2134", "x\ny", "\udcff"], ["b@b.co", "", "7", '"', "Köln"]]
    assert [row.cells for row in table.rows()] == expected
    for wrong in (
        "DELETE FROM people",
        "SELECT nothing FROM people",
        "SELECT 1; SELECT 2",
        "PRAGMA user_version = 1",
        "",
    ):
        (tmp_path / "kept.csv").unlink(missing_ok=True)
        with pytest.raises(ConfigurationError, match="the query: ") as caught:
            Query(wrong, f"sqlite:///{path}").keep_rows(tmp_path / "kept.csv")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["duckdb:///{}", "{}"])
def test_duckdb_is_read_and_never_written(tmp_path: Path, form: str) -> None:
    path = tmp_path / "crm.duckdb"
    with duckdb().connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE people AS {TYPED}")
    table = rows_of(Query('SELECT *, zip AS "zip" FROM people; -- all', form.format(path)), tmp_path)
    assert [row.cells for row in table.rows()] == [[*TYPED_CELLS, "02134"]]
    for wrong in ("DELETE FROM people", "SELECT nothing FROM people", "SELECT 1 +", "INSTALL httpfs"):
        (tmp_path / "kept.csv").unlink(missing_ok=True)
        with pytest.raises(ConfigurationError, match="the query: cannot be read") as caught:
            Query(wrong, f"duckdb:///{path}").keep_rows(tmp_path / "kept.csv")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("sqlite:///gone.sqlite", "database gone.sqlite: there is no such file"),
        ("mysql://root@localhost/crm", "mysql:// is no database that can be asked"),
        ("notes.txt", "is neither an SQLite nor a DuckDB file"),
        (".", "is a folder, not a file"),
        ("postgresql://x@127.0.0.1:1/crm", "the query: cannot be answered"),
        ("postgresql://x@[bad/crm", "the query: cannot be answered"),
    ],
)
def test_databases_that_cannot_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no database")
    with pytest.raises(ConfigurationError) as caught:
        Query("SELECT 1", database).keep_rows(tmp_path / "kept.csv")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


SECRET = "s3cr3t/w@rd"


@pytest.mark.parametrize(
    "database",
    [
        f"postgresql://ann:{SECRET}@127.0.0.1:1/crm",
        "postgresql://ann:s3cr3t%2Fw%40rd@127.0.0.1:1/crm",
        f"postgresql://127.0.0.1:1/crm?user=ann&password={SECRET}",
        f"postgresql://ann:{SECRET}@[bad",
        f"mysql://ann:{SECRET}@127.0.0.1/crm",
    ],
)
def test_a_password_is_told_to_nobody(tmp_path: Path, database: str) -> None:
    query = Query("SELECT 1", database)
    with pytest.raises(ConfigurationError) as caught:
        query.keep_rows(tmp_path / "kept.csv")
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in str(error)
        assert "w@rd" not in str(error)
        error = error.__cause__ or error.__context__
    assert "s3cr3t" not in repr(query)
    assert has_password(database)
    assert "s3cr3t" not in hide_password(database)


def test_an_address_without_a_password_is_told_as_it_is() -> None:
    for address in (
        "postgresql://ann@db.example.com:5432/crm?sslmode=require",
        "sqlite:////data/a:b@c.sqlite",
        "a@b:c",
    ):
        assert not has_password(address)
        assert hide_password(address) == address
    assert Query("SELECT 1", "x").describe() != Query("SELECT 2", "x").describe()


def test_what_needs_a_library_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("charset_normalizer", "duckdb", "ijson", "python_calamine"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    (tmp_path / "old.csv").write_bytes("email,Größe\na@b.co,ö\n".encode("cp1252"))
    (tmp_path / "people.json").write_text('[{"email": "a@b.co"}]')
    for name in ("people.parquet", "people.xlsx", "people.csv.zst"):
        (tmp_path / name).write_bytes(b"PAR1 or so")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ConfigurationError, match=r"pip install 'leadconnector-async\[files\]'") as caught:
            open_table(path)
        assert path.name in str(caught.value)
    for name in ("people.csv", "people.jsonl", "lines.json", "people.csv.gz", "people.zip"):  # these need none
        WRITERS[name](tmp_path / name)
        assert read(tmp_path / name) == (HEADER, ROWS)


def find_postgres() -> Path | None:
    """Return where the programs of PostgreSQL are."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@pytest.fixture
def postgres() -> Iterator[str]:
    """Start a PostgreSQL of our own, and return its address."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("there is no PostgreSQL here")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        if user is not None:
            shutil.chown(name, user)
        run: Any = partial(subprocess.run, check=True, capture_output=True, user=user, cwd=name)
        run([programs / "initdb", "-D", f"{name}/data", "-A", "trust", "-U", "ann"])
        options = f"-k {name} -c listen_addresses= -c fsync=off"
        run([programs / "pg_ctl", "-D", f"{name}/data", "-o", options, "-l", f"{name}/log", "-w", "start"])
        yield f"postgresql://ann:{quote(SECRET, safe='')}@/postgres?host={name}"
        run([programs / "pg_ctl", "-D", f"{name}/data", "-m", "immediate", "stop"])


POSTGRES_TYPED = """
    SELECT 'a@b.co' AS email, '02134' AS zip, 2134::float8 AS score, true AS flag, DATE '1990-09-25' AS born,
        ARRAY[1, 2] AS list, '{"a": 1}'::jsonb AS data, 12.50::numeric AS money, NULL AS empty
    FROM generate_series(1, 3000)
"""


@pytest.mark.slow
def test_postgres_is_read_and_never_written(postgres: str, tmp_path: Path) -> None:
    table = rows_of(Query(POSTGRES_TYPED, postgres), tmp_path)
    rows = [row.cells for row in table.rows()]
    assert len(rows) == 3000
    assert rows[0] == ["a@b.co", "02134", "2134", "true", "1990-09-25", "[1,2]", '{"a":1}', "12.50", ""]
    for wrong in ("CREATE TABLE x (y int)", "SELECT nothing", "SELECT 1; DROP TABLE x", "SELECT nextval('s')", ""):
        (tmp_path / "kept.csv").unlink(missing_ok=True)
        with pytest.raises(ConfigurationError, match="the query: cannot be answered") as caught:
            Query(wrong, postgres).keep_rows(tmp_path / "kept.csv")
        assert "s3cr3t" not in str(caught.value)
    command = [
        *COMMAND,
        "upsert",
        "--sql",
        "SELECT 'a@b.co' AS email",
        "--from",
        "env:CRM",
        "--sandbox",
        "--out",
        "out",
    ]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "CRM": postgres}, capture_output=True, check=True)
    written = [path.read_bytes() for path in (tmp_path / "out").iterdir()]
    assert len(written) >= 4
    assert all(b"s3cr3t" not in text for text in [done.stdout, done.stderr, *written])


MEASURE = """
import re, sys
from pathlib import Path
from leadconnector_async.migration.tables import open_table
assert sum(1 for _ in open_table(Path(sys.argv[1])).rows()) == int(sys.argv[2])
print(re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a system that tells the peak of a process")
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.zip", "a.jsonl", "a.json", "a.parquet"])
def test_memory_is_the_same_for_few_and_for_many_rows(tmp_path: Path, name: str) -> None:
    def peak_of(count: int) -> int:
        path = tmp_path / name
        write_many(path, count)
        done = subprocess.run([sys.executable, "-c", MEASURE, path, str(count)], capture_output=True, check=True)
        return int(done.stdout)

    def lists_of(count: int) -> int:
        rows = [[f"person{number}@example.com", f"person{number}@example.com"] for number in range(count)]
        return sum(map(sys.getsizeof, rows)) + 2 * sum(sys.getsizeof(row[0]) for row in rows)

    assert (peak_of(500_000) - peak_of(30_000)) * 1024 < (lists_of(500_000) - lists_of(30_000)) / 4


def write_many(path: Path, count: int) -> None:
    emails = (f"person{number}@example{number % 1000}.com" for number in range(count))
    if path.suffix == ".parquet":
        with duckdb().connect() as connection:
            source = (
                f"SELECT 'person' || i || '@example.com' AS email, md5(i::VARCHAR) AS note FROM range({count}) t(i)"
            )
            connection.execute(f"COPY ({source}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 20000)")
        return
    if path.suffix == ".jsonl":
        text = "".join(f'{{"email": "{email}", "note": "{email[::-1]}"}}\n' for email in emails)
    elif path.suffix == ".json":
        text = "[" + ",".join(f'{{"email": "{email}", "note": "{email[::-1]}"}}' for email in emails) + "]"
    else:
        text = "email,note\n" + "".join(f"{email},{email[::-1]}\n" for email in emails)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("people.csv", text)
        return
    packers: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd().compress}
    path.write_bytes(packers.get(path.suffix, bytes)(text.encode()))
