"""`leadconnector verify`: what is stored is what was sent, or each field that is not is told, and why."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run, delete, let_time_pass, people, stored, table, update

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "contacts.csv"


def report(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "verify.json").read_text())
    return found


def test_a_run_that_was_taken_whole_shows_no_difference(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 30), "--out", "out")[0] == 0
    code, out, err = run("verify", "out")
    assert code == 0, err
    assert "out: all 30 loaded rows compared with location L at 127.0.0.1" in out
    assert "No differences." in out
    assert table(tmp_path / "out" / "verify.csv") == []
    assert report(tmp_path / "out") == {
        "schema": 1,
        "loaded": 30,
        "wanted": 30,
        "compared": 30,
        "differing": 0,
        "unread": 0,
        "overwritten": 0,
        "reasons": [],
        "most_differing": None,
        "stopped": None,
    }


def test_what_differs_is_told_row_by_row_with_its_reason(run: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,firstName,gender\n" + "".join(f"p{n}@example.com,P{n},female\n" for n in range(5)))
    assert run("upsert", people(tmp_path / "b.csv", 1), "--out", "b")[0] == 0
    assert run("upsert", path, "--out", "out")[0] == 0
    ids = [row["contact_id"] for row in table(tmp_path / "out" / "succeeded.csv")]
    update(url, ids[1], first_name="Changed")
    delete(url, ids[3])
    code, out, _ = run("verify", "out")
    assert code == 1
    assert "2 rows differ:" in out
    told = {row["row"]: row for row in table(tmp_path / "out" / "verify.csv")}
    assert set(told) == {f"{path}, row 3", f"{path}, row 5"}
    changed, gone = told[f"{path}, row 3"], told[f"{path}, row 5"]
    assert (changed["field"], changed["sent"], changed["stored"]) == ("first_name", "P1", "Changed")
    assert changed["contact_id"] == ids[1]
    assert changed["reason"] == "differs"  # within the tolerance of the clocks, nobody can tell
    assert (gone["field"], gone["reason"]) == ("", "the contact no longer exists")
    let_time_pass(tmp_path / "out")
    assert run("verify", "out")[0] == 1
    assert {row["reason"] for row in table(tmp_path / "out" / "verify.csv")} == {
        "the contact was changed after the run",
        "the contact no longer exists",
    }


def test_what_the_load_told_already_is_told_as_such(run: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,gender\na@example.com,female\n")
    assert run("upsert", people(tmp_path / "b.csv", 1), "--out", "b")[0] == 0
    path.write_text("email,gender\nperson0@example.com,female\n")  # dropped where the contact is there already
    assert run("upsert", path, "--out", "out")[0] == 0
    assert [row["field"] for row in table(tmp_path / "out" / "not_applied.csv")] == ["gender"]
    code, out, _ = run("verify", "out")
    assert (code, "1 x gender was not accepted when it was loaded (see not_applied.csv)" in out) == (1, True)


def test_rows_of_one_person_are_no_difference_and_those_of_two_are(run: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,firstName,city\nann@b.co,Ann,Rome\nann@b.co,Anna,\nann@b.co,Annie,\n")
    assert run("upsert", path, "--out", "one")[0] == 0
    code, out, _ = run("verify", "one")
    assert (code, "2 rows were overwritten by another row of the same person, as intended." in out) == (0, True)
    path.write_text("email,phone\ncarl@b.co,+16175550100\nbob@b.co,+16175550100\n")
    assert run("upsert", path, "--out", "two", "--phone-conflict", "allow")[0] == 0
    code, out, _ = run("verify", "two")
    assert code == 1
    (row,) = table(tmp_path / "two" / "verify.csv")
    assert (row["field"], row["sent"], row["stored"]) == ("email", "carl@b.co", "bob@b.co")
    assert row["reason"] == "was overwritten by a row about another person (see collisions.csv)"


def test_the_example_differs_only_in_what_its_load_told(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", EXAMPLE, "--out", "out", "--rate", "10000/1")[0] in (0, 1)
    code, _, err = run("verify", "out", "--rate", "10000/1")
    found = table(tmp_path / "out" / "verify.csv")
    assert code == 1, err
    told = {(row["contact_id"], row["field"]) for row in table(tmp_path / "out" / "not_applied.csv")}
    assert {(row["contact_id"], row["field"]) for row in found} == told
    assert {row["reason"] for row in found} == {"was not accepted when it was loaded (see not_applied.csv)"}


def test_a_sample_says_how_sure_it_is(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 60), "--out", "out")[0] == 0
    code, out, _ = run("verify", "out", "--sample", "50%", "--rate", "10000/1")
    assert code == 0
    assert "None of 30 differed: with 95 % confidence at most 9.51 % of all rows do." in out
    assert "30 of 60 loaded rows compared" in out
    for contact in stored(url):
        delete(url, contact.id)
    code, out, _ = run("verify", "out", "--sample", "7", "--rate", "10000/1")
    assert (code, "7 of 7 differed: with 95 % confidence at most 100 % of all rows do." in out) == (1, True)
    assert len(table(tmp_path / "out" / "verify.csv")) == 7


def test_other_kinds_of_files_and_meanings_are_compared_as_they_were_sent(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("Mail,Tel,Born,Shirt\na@example.com,0171 2345678,03/04/1990,Gold\n")
    (tmp_path / "b.jsonl").write_text('{"email":"b@example.com","tags":["X"],"dnd":true}\n')
    maps = ["--map", "Mail=email", "--map", "Tel=phone", "--map", "Born=dateOfBirth", "--map", "Shirt=custom:Shirt"]
    options = [*maps, "--create-fields", "--default-country", "DE", "--date-order", "dmy"]
    code, _, err = run("upsert", "a.csv", *options, "--out", "out")
    assert code == 0, err
    assert run("upsert", "b.jsonl", "--out", "lines")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for folder in ("out", "lines"):
        code, out, err = run("verify", tmp_path / folder)
        assert (code, "No differences." in out) == (0, True), err


def test_rows_of_a_query_are_compared_with_what_the_run_kept(run: Run, url: str, tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "crm.sqlite3") as db:
        db.execute("CREATE TABLE people (email TEXT, name TEXT)")
        db.execute("INSERT INTO people VALUES ('a@example.com', 'Ann Lee')")
    db.close()
    query = ["--sql", "SELECT * FROM people", "--from", f"sqlite:///{tmp_path}/crm.sqlite3"]
    code, _, err = run("upsert", *query, "--out", "out")
    assert code == 0, err
    (tmp_path / "crm.sqlite3").unlink()
    code, out, err = run("verify", "out")
    assert (code, "No differences." in out) == (0, True), err


def test_what_was_not_loaded_is_not_compared(run: Run, url: str, tmp_path: Path) -> None:
    path = people(tmp_path / "a.csv", 3)
    path.write_text(path.read_text() + "no address,X\n")
    assert run("upsert", path, "--out", "out")[0] == 1
    code, _, _ = run("verify", "out")
    assert (code, report(tmp_path / "out")["loaded"]) == (0, 3)


def test_it_stops_early_where_the_day_is_spent(
    run: Run, url: str, tmp_path: Path, served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", served(daily=15))
    assert run("upsert", people(tmp_path / "a.csv", 10), "--out", "out")[0] == 0
    code, out, _ = run("verify", "out", "--concurrency", "1")
    assert (code, "Stopped early" in out, "No difference" in out) == (3, True, False)
    assert "Next: leadconnector verify out --concurrency 1\n" in out
    assert report(tmp_path / "out")["compared"] == 5


@pytest.mark.parametrize("change", ["content", "gone"])
def test_it_compares_with_what_the_run_kept_whatever_became_of_the_file(
    run: Run, url: str, tmp_path: Path, change: str
) -> None:
    path = people(tmp_path / "a.csv", 3)
    assert run("upsert", path, "--out", "out")[0] == 0
    path.unlink()
    if change == "content":
        people(path, 4)
    code, out, err = run("verify", "out")
    assert (code, "out: all 3 loaded rows" in out, "No differences." in out) == (0, True, True), (out, err)
    changed = stored(url)[1]
    update(url, changed.id, first_name="Other")
    assert run("verify", "out")[0] == 1
    (row,) = table(tmp_path / "out" / "verify.csv")
    assert (row["contact_id"], row["field"], row["sent"], row["stored"]) == (
        changed.id,
        "first_name",
        changed.first_name,
        "Other",
    )


@pytest.mark.parametrize("sample", ["0", "some", "101%", "-3", "1.5"])
def test_a_sample_that_is_none_is_wrong_use(run: Run, sample: str) -> None:
    code, _, err = run("verify", "out", f"--sample={sample}")
    assert (code, "--sample" in err) == (2, True)


def test_formulas_and_bytes_of_a_row_do_no_harm(run: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["email", "firstName"], ["a@example.com", '=1+1,"x"\nnew line']])
    assert run("upsert", path, "--out", "out")[0] == 0
    update(url, stored(url)[0].id, first_name="x")
    assert run("verify", "out")[0] == 1
    (row,) = table(tmp_path / "out" / "verify.csv")
    assert (row["sent"], row["stored"]) == ('\'=1+1,"x"\nnew line', "x")
