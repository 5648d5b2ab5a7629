"""What the command line loads besides plain files: standard input, queries, patterns, packed files."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from leadconnector_async.private_file import write_private
from leadconnector_async.run.database import Database
from leadconnector_async.run.rows import Rows
from tests.cli.conftest import COMMAND, Run, count, invoke, people, table
from tests.migration.tables.test_nasty_files import REFUSED, TOLD
from tests.waiting import PATIENCE, wait_until


def pipe(text: bytes, *arguments: object, cwd: Path, **environ: str) -> tuple[int, str, str]:
    """Run `upsert` with something on its standard input."""
    return invoke("upsert", *arguments, stdin=text, cwd=cwd, **environ)


def crm(path: Path, rows: int = 3) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (email TEXT, zip TEXT)")
        connection.executemany("INSERT INTO people VALUES (?, '02134')", [(f"p{n}@b.co",) for n in range(rows)])
    connection.close()
    return path


# ---------------------------------------------------------------------------------------------- standard input


def test_standard_input_is_kept_where_nobody_else_can_read_it(tmp_path: Path) -> None:
    text = b"email;zip\na@b.co;02134\nno address;1\n"
    code, out, err = pipe(text, "-", "--format", "csv", "--sandbox", "--out", "out", cwd=tmp_path)
    assert (code, "1 created, 1 failed" in out) == (1, True), err
    kept = tmp_path / "out" / "run.sqlite3"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in kept.parent.glob("input*")) == []
    with Database(kept) as file:
        assert [list(row.cells) for row in Rows(file).walk(0, 2)] == [["a@b.co", "02134"], ["no address", "1"]]
    assert "upsert out/failed.csv --sandbox" in out


@pytest.mark.parametrize("again", ["nothing", "the same"])
def test_standard_input_goes_on_from_what_was_kept(served: Callable[..., str], tmp_path: Path, again: str) -> None:
    text = people(tmp_path / "a.csv", 120).read_bytes()
    write_private(tmp_path / "token", "sandbox")
    environ = {"LEADCONNECTOR_BASE_URL": served(latency=(0.02, 0.04), max_requests=1_000, per_seconds=1)}
    arguments = ["-", "--format", "csv", "--location", "L", "--token-file", "token", "--rate", "1000/1"]
    process = subprocess.Popen(
        [*COMMAND, "upsert", *arguments, "--out", "out", "--concurrency", "2"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env={**os.environ, **environ},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    wait_until(lambda: count(environ["LEADCONNECTOR_BASE_URL"]), process)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=PATIENCE)[0].decode()
    assert process.returncode == 130
    command = re.search(r"leadconnector (upsert - .*)$", out, re.M)
    assert command is not None
    words = shlex.split(command[1])[1:]
    assert {"--format", "csv", "--resume", "--out"} <= set(words)
    code, out, err = pipe(b"email\nz@b.co\n", *words, cwd=tmp_path, **environ)
    assert (code, "another file, or the file has changed" in err) == (2, True)
    code, out, err = pipe(b"" if again == "nothing" else text, *words, cwd=tmp_path, **environ)
    assert (code, "120 created" in out) == (0, True), err
    assert [row["email"] for row in table(tmp_path / "out" / "succeeded.csv")][:1] == ["person0@example.com"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-"], "no name to show its format: give --format, such as csv"),
        (["-", "a.csv", "--format", "csv"], "standard input (-) is loaded alone"),
        (["-", "--format", "nonsense"], "--format 'nonsense' cannot be read"),
        (["-", "--format", "csv"], "standard input: is empty"),
        (["-", "--format", "parquet"], "standard input: cannot be read"),
        ([], "name files to load, or a query (--sql and --from)"),
        (["a.csv", "--sql", "SELECT 1", "--from", "x.sqlite"], "name files to load, or a query"),
        (["--sql", "SELECT 1"], "give both, or neither"),
        (["--from", "x.sqlite"], "give both, or neither"),
        (["--sql", "SELECT 1", "--from", "x.sqlite"], "database x.sqlite: there is no such file"),
        (["--sql", "SELECT 1", "--from", "env:GONE"], "GONE is not set in the environment"),
        (["--sql", "SELECT 1", "--from", "x.sqlite", "--sheet", "A"], "--format, --encoding and --sheet are for files"),
        (["a.csv", "--sheet", "People"], "--sheet is for workbooks"),
        (["a.csv", "--encoding", "klingon"], "--encoding 'klingon' is not known"),
        (["*.parquet"], "*.parquet: there is no such file, and none that is called like that"),
        ([""], "FILE is empty: leave it out, or give it a value"),
        (["."], "is a folder, not a file; name its files"),
    ],
)
def test_sources_that_make_no_sense_are_one_sentence(tmp_path: Path, arguments: list[str], expected: str) -> None:
    people(tmp_path / "a.csv", 1)
    before = sorted(tmp_path.rglob("*"))
    code, out, err = pipe(b"", *arguments, "--sandbox", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_signal_while_standard_input_is_waited_for_sends_nothing(tmp_path: Path) -> None:
    command = [*COMMAND, "upsert", "-", "--format", "csv", "--sandbox", "--out", "out"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    wait_until(lambda: list(tmp_path.glob("leadconnector-*/input.csv")), process)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=PATIENCE)
    assert process.stderr is not None
    assert process.stdout is not None
    assert process.stdin is not None
    assert b"Nothing was sent." in process.stderr.read()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------- queries


def test_a_query_is_loaded_and_goes_on_with_the_rows_that_it_gave(run: Run, tmp_path: Path) -> None:
    path = crm(tmp_path / "crm.sqlite")
    sql = "SELECT email, zip FROM people"
    arguments = ["--sql", sql, "--from", path, "--sandbox", "--out", "out"]
    code, out, err = run("upsert", *arguments)
    assert (code, "3 created" in out) == (0, True), err
    assert [row["zip"] for row in table(tmp_path / "out" / "succeeded.csv")] == ["02134"] * 3
    assert (tmp_path / "out" / "run.sqlite3").stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "out").glob("input*"))
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM people")
    connection.close()
    code, out, _ = run("upsert", *arguments, "--resume")
    assert (code, "3 rows in" in out) == (0, True)
    code, _, err = run("upsert", "--sql", sql + " LIMIT 1", *arguments[2:], "--resume")
    assert (code, "another file, or the file has changed" in err) == (2, True)


def test_a_password_stays_in_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://ann:s3cr3t@127.0.0.1:1/crm"
    code, _, err = run("upsert", "--sql", "SELECT 1", "--from", address, "--sandbox")
    assert (code, "--from env:DATABASE_URL" in err) == (2, True)
    monkeypatch.setenv("DATABASE_URL", address)
    code, _, told = run("upsert", "--sql", "SELECT 1", "--from", "env:DATABASE_URL", "--sandbox")
    assert (code, "the query: cannot be answered" in told) == (2, True)
    assert "s3cr3t" not in err + told
    assert not list(tmp_path.iterdir())


def test_the_address_of_a_database_may_come_from_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crm(tmp_path / "crm.sqlite")
    monkeypatch.setenv("CRM", "sqlite:///crm.sqlite")
    code, out, err = run("upsert", "--sql", "SELECT zip FROM people", "--from", "env:CRM", "--sandbox", "--out", "out")
    assert (code, "no column for email or phone" in err) == (2, True)
    sql = "SELECT 'x' AS email UNION ALL SELECT 'a@b.co'"
    code, out, err = run("upsert", "--sql", sql, "--from", "env:CRM", "--sandbox", "--out", "out")
    assert (code, "1 created, 1 failed" in out) == (1, True), err
    assert table(tmp_path / "out" / "failed.csv")[0]["email"] == "x"


# ---------------------------------------------------------------------------------------------- files


def test_patterns_packed_files_and_every_kind_in_one_load(run: Run, tmp_path: Path) -> None:
    people(tmp_path / "b.csv", 2)
    (tmp_path / "a.csv").write_bytes("email,first name\nx@b.co,Günther\n".encode("cp1252"))
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b'{"email":"y@b.co"}\n'))
    (tmp_path / "d.json").write_text('[{"email":"z@b.co","tags":["x"]}, 7]')
    book = importlib.import_module("openpyxl").Workbook()
    for row in (["Email", "Zip"], ["w@b.co", "02134"]):
        book.active.append(row)
    book.create_sheet("More").append(["x"])
    book.save(tmp_path / "e.xlsx")
    code, out, err = run("upsert", "*.csv", "c.jsonl.gz", "d.json", "e.xlsx", "--sandbox", "--out", "out")
    assert (code, "6 created, 1 failed" in out) == (1, True), err
    assert "a.csv: is not UTF-8, and read as Windows-1252 (--encoding chooses another)" in err
    assert "e.xlsx: the sheet 'Sheet' is read (there are 'More'; --sheet chooses another)" in err
    rows = table(tmp_path / "out" / "succeeded.csv")
    assert [row["email"] for row in rows][:2] == ["x@b.co", "person0@example.com"]
    assert rows[0]["first name"] == "Günther"
    assert "d.json, item 2" not in out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["failed"] == 1


def test_the_command_tells_each_in_one_line_and_sends_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("email\na@b.co\n")
    for name in (
        "empty.csv",
        "cut.csv.gz",
        "encrypted.xlsx",
        "bomb.csv.gz",
        "cut.parquet",
        "cut.json",
        "cut quote.csv",
    ):
        (tmp_path / name).write_bytes(REFUSED[name][0]())
        code, out, err = run("upsert", "good.csv", name, "--sandbox", "--out", "out")
        assert (code, out) == (2, "")
        assert err.startswith(f"leadconnector: {name}")
        assert err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_the_command_tells_bad_rows_and_loads_the_others(run: Run, tmp_path: Path) -> None:
    for name in ("ragged.csv", "mixed.csv", "cut line.csv", "cut line.jsonl"):
        (tmp_path / name).write_bytes(TOLD[name][0]())
    code, out, err = run(
        "upsert", *sorted(TOLD.keys() & {"ragged.csv", "cut line.csv", "cut line.jsonl"}), "--sandbox", "--out", "o"
    )
    assert (code, "Traceback" in err) == (1, False)
    assert "3 failed" in out
    assert len(table(tmp_path / "o" / "failed.csv")) == 3
