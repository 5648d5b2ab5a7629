"""`--empty clear` empties fields at the contact; what is told of it before, by comparison, by verify, on resume."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, stored, table, update

HEADER = "email,phone,firstName,lastName,city,dateOfBirth,timezone,country,tags,Nickname,Interests"
FULL = "a@example.com,+16175550100,Ann,Lee,Rome,1990-09-25,Europe/Rome,IT,vip;new,Nan,Music"
CUSTOM = ("--map", "Nickname=custom:nickname", "--map", "Interests=custom:interests")


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def load_full(run: Run, tmp_path: Path) -> None:
    assert run("upsert", write(tmp_path / "full.csv", FULL), "--out", "full", *CUSTOM)[0] == 0


def test_empty_cells_leave_fields_as_they_are_unless_told(run: Run, url: str, tmp_path: Path) -> None:
    load_full(run, tmp_path)
    (before,) = stored(url)
    path = write(tmp_path / "empty.csv", "a@example.com" + "," * 10)
    assert run("upsert", path, "--out", "kept", "--tags", "replace", *CUSTOM)[0] == 0
    (after,) = stored(url)
    before.date_updated, before.last_activity = after.date_updated, after.last_activity
    assert after == before


def test_empty_cells_empty_fields_where_told_and_verify_finds_no_difference(run: Run, url: str, tmp_path: Path) -> None:
    load_full(run, tmp_path)
    path = write(tmp_path / "empty.csv", "a@example.com" + "," * 10)
    code, _, err = run("upsert", path, "--out", "out", "--empty", "clear", "--tags", "replace", *CUSTOM)
    assert code == 0, err
    assert "contacts: custom:nickname, custom:interests, firstName, lastName, city, dateOfBirth, timezone, tags." in err
    assert "do not empty email and phone, by which contacts are found; country, of which" in err
    (contact,) = stored(url)
    assert (contact.email, contact.phone, contact.country) == ("a@example.com", "+16175550100", "IT")
    assert contact.first_name is contact.last_name is contact.name is contact.city is contact.timezone is None
    assert contact.date_of_birth is None
    assert (contact.tags, contact.custom_fields) == ([], [])
    assert json.loads((tmp_path / "out" / "report.json").read_text())["partially_applied"] == 0
    code, out, err = run("verify", "out")
    assert (code, "No differences." in out) == (0, True), err
    update(url, contact.id, city="Bonn", tags=["back"], dateOfBirth="1990-09-25")
    code, out, _ = run("verify", "out")
    assert code == 1
    found = {row["field"]: row["stored"] for row in table(tmp_path / "out" / "verify.csv")}
    assert found == {"city": "Bonn", "tags": '["back"]', "date_of_birth": "1990-09-25"}


def test_an_empty_cell_of_tags_that_are_added_removes_none(run: Run, url: str, tmp_path: Path) -> None:
    load_full(run, tmp_path)
    path = write(tmp_path / "empty.csv", "a@example.com" + "," * 10)
    code, _, err = run("upsert", path, "--out", "out", "--empty", "clear")
    assert code == 0
    assert "tags, which are added (--tags replace empties them)" in err
    assert stored(url)[0].tags == ["new", "vip"]
    assert run("verify", "out")[0] == 0


def test_a_run_goes_on_only_with_what_it_began_with(run: Run, url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "full.csv", FULL)
    assert run("upsert", path, "--out", "out", "--empty", "clear", "--limit", "1")[0] == 0
    code, _, err = run("upsert", path, "--out", "out", "--limit", "1", "--resume")
    assert (code, "was made with another --empty" in err) == (2, True)


def test_what_failed_is_loaded_again_with_the_same_rule(run: Run, url: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.csv", "nobody" + "," * 10, "a@example.com" + "," * 10)
    code, out, _ = run("upsert", path, "--out", "out", "--empty", "clear")
    assert (code, "--empty clear" in out) == (1, True)
    assert len(stored(url)) == 1


def test_a_plan_tells_what_would_be_emptied(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "some.csv", FULL, "b@example.com" + "," * 10)
    told = json.loads(run("plan", path, "--offline", "--json", "--empty", "clear", *CUSTOM)[1])
    emptied = ("firstName", "lastName", "city", "timezone", "dateOfBirth", "custom:nickname", "custom:interests")
    assert told["emptied"] == dict.fromkeys(emptied, 1)
    assert any("do not empty email and phone" in sentence for sentence in told["assumptions"])
    assert "city on 1 row" in run("plan", path, "--offline", "--empty", "clear")[1]
    assert json.loads(run("plan", path, "--offline", "--json")[1])["emptied"] == {}


def test_another_word_is_one_sentence(run: Run, tmp_path: Path) -> None:
    code, _, err = run("upsert", write(tmp_path / "a.csv", FULL), "--sandbox", "--empty", "yes")
    assert (code, err) == (2, "leadconnector: --empty 'yes' is not valid; write clear or keep\n")


def test_to_fill_and_to_empty_contradict_each_other(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", FULL)
    code, _, err = run("upsert", path, "--sandbox", "--empty", "clear", "--fill-empty")
    assert code == 2
    assert err == "leadconnector: --fill-empty overwrites nothing, but --empty clear does: give only one of them\n"
