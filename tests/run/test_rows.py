"""Rows come back from a run as they went in, whatever stood in their cells, and none goes missing unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from leadconnector_async.errors import ConfigurationError, InvalidContactError, JournalError
from leadconnector_async.models import ContactUpsert
from leadconnector_async.rules.problems import ACTIONS, Problem
from leadconnector_async.run.database import Database
from leadconnector_async.run.rows import KeptFile, KeptRow, Rows, RunFile, pick_rows

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)  # lone surrogates, too
CLEAN = st.text(max_size=8)
CONTACTS = st.builds(
    ContactUpsert,
    email=st.one_of(st.none(), CLEAN),
    first_name=st.one_of(st.none(), CLEAN),
    tags=st.one_of(st.just(UNSET), st.lists(CLEAN, max_size=3)),
    dnd=st.booleans(),
)
REFUSALS = st.builds(InvalidContactError, CLEAN, field=st.one_of(st.none(), CLEAN), where=st.one_of(st.none(), CLEAN))
PROBLEMS = st.lists(st.builds(Problem, CLEAN, TEXTS, CLEAN, st.sampled_from(ACTIONS)), max_size=2)
ROWS = st.builds(
    KeptRow,
    number=st.integers(1, 10**9),
    cells=st.lists(TEXTS, max_size=4),
    error=st.one_of(st.none(), CLEAN),
    contact=st.one_of(CONTACTS, REFUSALS),
    problems=PROBLEMS,
    line=st.one_of(st.none(), TEXTS),
)


def about(name: str, count: int) -> KeptFile:
    return KeptFile(
        name=name,
        row_word="row",
        path=name,
        content=[1, "x"],
        header=["email"],
        inputs=1,
        columns=["email"],
        keys=["email"],
        mapping={"email": "email"},
        is_lines=False,
        has_locations=False,
        has_tags=True,
        count=count,
    )


def keep(file: Database, *files: list[KeptRow]) -> list[RunFile]:
    rows = Rows(file)
    for number, some in enumerate(files):
        for row in some:
            rows.add(number, row)
        rows.end_file(number, about(f"file {number}", len(some)))
    return rows.files()


def plain(row: KeptRow) -> tuple[object, ...]:
    contact = row.contact
    told = (str(contact), contact.field, contact.where) if isinstance(contact, InvalidContactError) else contact
    return row.number, list(row.cells), row.error, told, row.problems, row.line


@given(st.lists(ROWS, max_size=5), st.lists(ROWS, max_size=5))
def test_rows_come_back_as_they_were(one: list[KeptRow], other: list[KeptRow]) -> None:
    with Database(None) as file:
        found = [[plain(row.row) for row in kept.rows()] for kept in keep(file, one, other)]
    assert found == [[plain(row) for row in one], [plain(row) for row in other]]


def numbered(count: int) -> list[KeptRow]:
    return [KeptRow(number, [f"{number}"], None, ContactUpsert(email=f"{number}@x.y"), []) for number in range(count)]


def test_single_rows_are_found_in_any_block(tmp_path: Path) -> None:
    with Database(tmp_path / "run.sqlite3") as file:
        files = keep(file, numbered(1001), [], numbered(450))
        wanted = [0, 199, 200, 1000, 1001, 1201, 1450]
        found = [(row.file.name, row.row.number) for row in pick_rows(files, wanted)]
        assert found == [
            *(("file 0", number) for number in (0, 199, 200, 1000)),
            *(("file 2", number) for number in (0, 200, 449)),
        ]
        assert [row.row.number for row in files[2].first(3).rows()] == [0, 1, 2]
        Rows(file).check()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM rows WHERE first = 200",
        "UPDATE rows SET data = (SELECT data FROM rows WHERE first = 0) WHERE first = 200",
        "UPDATE rows SET data = CAST(substr(data, 1, 40) || x'00' || substr(data, 42) AS BLOB) WHERE first = 200",
        "UPDATE rows SET first = 250 WHERE first = 200",
        "UPDATE rows SET file = 1 WHERE first = 200",
    ],
)
def test_rows_that_are_damaged_or_gone_are_reported(tmp_path: Path, damage: str) -> None:
    with Database(tmp_path / "run.sqlite3") as file:
        (kept,) = keep(file, numbered(550))
        with file.transaction() as db:
            db.execute(damage)
        with pytest.raises(JournalError, match="restore a complete copy of the run"):
            list(kept.rows())
        with pytest.raises(ConfigurationError, match="restore a complete copy of the run"):
            Rows(file).check()


def test_rows_that_are_missing_at_the_end_are_reported(tmp_path: Path) -> None:
    with Database(tmp_path / "run.sqlite3") as file:
        keep(file, numbered(550))
        with file.transaction() as db:
            db.execute("DELETE FROM rows WHERE first = 400")
        with pytest.raises(ConfigurationError, match="restore a complete copy of the run"):
            Rows(file).check()


def test_rows_can_be_read_anew(tmp_path: Path) -> None:
    with Database(tmp_path / "run.sqlite3") as file:
        keep(file, numbered(300), numbered(10))
        rows = Rows(file)
        rows.change(lambda number, some: [KeptRow(row.number, [f"{number}"], None, row.contact, []) for row in some])
        assert [[row.row.cells for row in kept.rows()] for kept in rows.files()] == [[["0"]] * 300, [["1"]] * 10]
