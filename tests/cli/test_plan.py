"""`leadconnector plan`: what it tells is what the load then does, and it writes nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.bulk.closing import CALLS_TO_CLOSE
from leadconnector_async.migration.survey import Survey
from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import Run, calls_of_rows, people, stored, table
from tests.page_reader import PageReader

EXPORT = Path(__file__).parent.parent / "migration" / "mapping" / "messy_hubspot.csv"
FAMILY = (
    "email,firstName,phone,tags\n"
    "ann@x.example,Ann,+16175550100,vip\n"
    "bob@x.example,Bob,+16175550100,vip\n"
    "cid@x.example,Cid,+16175550101,\n"
    "ann@x.example,Ann,+16175550101,\n"
    "dan@x.example,Dan,+16175550102,lead\n"
    "dan@x.example,Dan,+16175550102,\n"
    "no address,,,\n"
)
HOSTILE = "<script>alert('x')</script>\u202e\x1b[31m"


@pytest.fixture
def family(tmp_path: Path) -> Path:
    path = tmp_path / "family.csv"
    path.write_text(FAMILY)
    return path


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def connect(url: str) -> None:
        for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)

    return connect


def plan(run: Run, *arguments: object, code: int = 0) -> dict[str, Any]:
    ended, out, err = run("plan", "--json", *arguments)
    assert (ended, err) == (code, "")
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize(
    "rules", [(), ("--tags", "replace", "--phone-conflict", "allow"), ("--phone-conflict", "skip")], ids=" ".join
)
@pytest.mark.parametrize("file", [EXPORT, "family"], ids=["export", "family"])
def test_the_plan_is_what_the_load_then_does(
    run: Run, family: Path, tmp_path: Path, file: Path | str, rules: tuple[str, ...]
) -> None:
    file = family if file == "family" else file
    told = plan(run, file, "--sandbox", *rules, code=1)
    run("upsert", file, "--sandbox", *rules, "--out", "out", "--rate", "5000/1")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    forecast = told["forecast"]
    assert (told["rows"], told["refused"], told["skipped"]) == (report["total"], report["failed"], report["skipped"])
    if not rules:
        assert forecast["deferred"] >= forecast["refused_phones"] == report["partially_applied"]
    assert told["to_send"] == report["created"] + report["updated"]
    assert forecast["contacts"] == report["created"]
    assert forecast["repeats"] + forecast["overwrites"] == report["updated"]
    assert forecast["overwrites"] == report["collisions"]
    # Whether a contact whose channels are closed must be read by its id is known only then, and whether there is one
    # that a refused row closes.
    most = sum(told["dnd"].values()) + CALLS_TO_CLOSE * told["refused"]
    assert 0 <= told["calls"] - calls_of_rows(tmp_path / "out") <= most
    problems = table(tmp_path / "out" / "problems.csv")
    for action in ("refused", "skipped", "fixed"):
        expected = sum(problem["action"] == action for problem in problems)
        assert sum(kind["count"] for kind in told["problems"] if kind["action"] == action) == expected


def test_without_a_token_it_is_told_that_nothing_was_asked(run: Run, family: Path) -> None:
    code, out, _ = run("plan", family)
    assert code == 1
    assert "The service was not asked: the usual limits and matching are assumed." in out
    assert "email      -> email" in out
    assert "7 rows: 6 would be sent, 1 would not" in out
    assert "2 rows would be sent without the phone, because an earlier row of another person has it" in out
    assert "is set after all rows; the service will refuse it for 2, because that person has it" in out
    assert f"{family}, row 3: Bob, bob@x.example, +16175550100 (is sent without it; set afterwards" in out
    allowed = run("plan", family, "--phone-conflict", "allow")[1]
    assert "2 rows would OVERWRITE the contact of another person" in allowed
    assert f"{family}, row 3: Bob, bob@x.example, +16175550100 (overwrites it, by phone)" in allowed
    assert "1 x email is not an email address" in out
    assert "Each of the 6 writes fires the location's contact webhooks, and starts workflows" in out
    assert list(family.parent.iterdir()) == [family]


def test_a_location_is_asked_how_it_matches_and_what_it_allows_and_nothing_is_written(
    run: Run, family: Path, connect: Callable[[str], None]
) -> None:
    with run_sandbox(unique_identifiers=("phone", "email"), profile="trial") as sandbox:
        connect(sandbox.url)
        told = plan(run, family, code=1)
        assert sandbox.contacts() == []
    (location,) = told["locations"]
    assert (location["id"], location["match_order"], location["is_asked"]) == ("L", ["phone", "email"], True)
    assert (location["max_requests"], location["daily"], location["left_today"]) == (25, 10_000, 9_999)
    assert {name: count for name, count in told["forecast"].items() if count} == {
        "contacts": 4,
        "repeats": 2,
        "deferred": 2,
        "refused_phones": 2,
    }
    assert told["target"] == "127.0.0.1"
    assert told["assumptions"] == []


def test_phones_that_a_location_does_not_match_by_are_shared_without_harm(
    run: Run, family: Path, connect: Callable[[str], None]
) -> None:
    with run_sandbox(unique_identifiers=("email",)) as sandbox:
        connect(sandbox.url)
        told = plan(run, family, code=1)
    assert {name: count for name, count in told["forecast"].items() if count} == {"contacts": 4, "repeats": 2}
    assert told["overwritten"] == told["sharing"] == []


def test_offline_asks_nothing(run: Run, family: Path, connect: Callable[[str], None]) -> None:
    connect("http://127.0.0.1:1")
    told = plan(run, family, "--offline", code=1)
    assert (told["target"], told["locations"][0]["id"]) == (None, "L")


def test_a_service_that_does_not_answer_is_no_end(
    run: Run, family: Path, connect: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-another")
        told = plan(run, family, code=1)
    assert told["locations"][0]["is_asked"] is False
    (assumed,) = told["assumptions"]
    assert assumed.startswith("Location L could not be asked how it matches contacts (")
    assert "pit-another" not in json.dumps(told)


def test_options_that_are_missing_and_strict_are_told_as_what_they_are(run: Run, tmp_path: Path, family: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,Level\na@x.example,Gold\nb@x.example,Pro\n")
    options = ("--sandbox", "--map", "Level=custom:plan")
    told = plan(run, path, *options, code=1)
    assert (told["to_send"], told["refused"]) == (2, 0)
    (obstacle,) = told["obstacles"]
    assert "add the option in the location's settings" in obstacle
    assert run("upsert", path, *options)[2].strip() == f"leadconnector: {obstacle}"
    (strict,) = plan(run, family, "--strict", code=1)["obstacles"]
    assert "with `strict` nothing is sent" in strict
    assert "Nothing would be sent\n" in run("plan", family, "--strict")[1]


def test_fields_that_would_be_made_are_told_and_not_made(
    run: Run, tmp_path: Path, connect: Callable[[str], None]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,Shoe Size\na@x.example,42\n")
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        for _ in range(2):
            told = plan(run, path, "--create-fields", "--map", "Shoe Size=custom:Shoe Size")
            assert told["new_fields"] == ["Shoe Size"]


def test_days_where_the_daily_quota_counts_and_locations_side_by_side(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"p{number}@x.example,{'A' if number < 250 else 'B'}" for number in range(350)]
    path.write_text("\n".join(["email,locationId", *rows, ""]))
    told = plan(run, path, "--daily", "120", "--rate", "50/10")
    by_id = {location["id"]: location for location in told["locations"]}
    assert (by_id["A"]["days"], by_id["A"]["seconds"]) == (3, 2 * 86_400.0)
    assert (by_id["B"]["days"], by_id["B"]["seconds"]) == (1, 10.0)
    assert (told["calls"], told["days"], told["seconds"]) == (350, 3, 2 * 86_400.0)
    assert "In total: at most 350 calls, at least 2 d, on 3 days" in run("plan", path, "--daily", "120")[1]


def test_what_tags_and_wishes_will_do(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "email,tags,DND,DND SMS\na@x.example,VIP;lead,true,\nb@x.example,vip,,active\nc@x.example,,false,inactive\n"
    )
    told = plan(run, path)
    assert told["tags"] == {"rule": "add", "rows": 2, "calls": 2, "names": {"vip": 2, "lead": 1}, "kinds": 2}
    assert told["dnd"] == {"SMS: active": 1, "dnd: true": 1}
    assert plan(run, path, "--tags", "replace")["tags"]["calls"] == 0
    assert "They replace all tags of a contact." in run("plan", path, "--tags", "replace")[1]


def test_columns_for_one_field_are_told_as_such(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Email,Phone,Mobile Phone,Tags,Labels\na@x.example,+16175550100,,vip,\n")
    out = run("plan", path, "--map", "Labels=tags")[1]
    assert out.count("-> phone (of 2 columns for it, one that is filled)") == 2
    assert out.count("-> tags\n") == 2


def test_the_first_rows_alone(run: Run, tmp_path: Path) -> None:
    assert plan(run, people(tmp_path / "a.csv", 40), "--limit", "10")["calls"] == 10


@pytest.mark.parametrize(("rule", "title"), [("second-pass", "Shared phones"), ("allow", "Overwritten")])
def test_the_page_shows_the_numbers_of_the_plan_and_text_stays_text(
    run: Run, tmp_path: Path, rule: str, title: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        f'email,firstName,phone,tags,"{HOSTILE}"\n'
        f'a@x.example,"{HOSTILE}",+16175550100,"{HOSTILE}",\nb@x.example,Bob,+16175550100,,\n"{HOSTILE}",,,,\n',
        encoding="utf-8",
    )
    told = plan(run, path, "--phone-conflict", rule, code=1)
    code, out, err = run("plan", path, "--phone-conflict", rule, "--html", "plan.html")
    assert (code, err) == (1, "As a page: plan.html\n")
    assert "\x1b" not in out
    assert "\u202e" not in out
    page = PageReader((tmp_path / "plan.html").read_text(encoding="utf-8"))
    assert "script" not in page.names
    for key in ("rows", "to_send", "refused", "calls"):
        assert page.keys[key]["value"] == str(told[key])
    for key in ("contacts", "overwrites", "repeats", "deferred", "refused_phones"):
        assert page.keys[key]["value"] == str(told["forecast"][key])
    assert {"Columns", title, "Problems", "Tags", "Calls and time"} <= set(page.headings)
    assert len(page.rows_of[title.lower().replace(" ", "-")]) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "plan.html"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.csv", "--html", "missing/plan.html"), "--html missing/plan.html: cannot be written"),
        (("a.csv", "--html", "."), "--html .: already exists"),
        (("a.csv", "--html", "a.csv"), "--html a.csv: already exists"),
        (("b.csv",), "b.csv"),
        (("a.csv", "--map", "Nope=email"), "no file has such a column"),
        (("a.csv", "--tags", "maybe"), "--tags 'maybe' is not valid"),
        (("a.csv", "--phone-conflict", "maybe"), "write second-pass, skip, allow"),
        (("a.csv", "--store", "nowhere.sqlite3"), "there is no token"),
        ((), "name files to load"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(run: Run, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    people(tmp_path / "a.csv", 2)
    code, out, err = run("plan", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("leadconnector: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_ctrl_c_ends_it_without_a_plan(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(survey: Survey, contact: object) -> None:
        if not seen:
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(contact)

    monkeypatch.setattr(Survey, "look", look)
    assert run("plan", people(tmp_path / "a.csv", 3000)) == (130, "", "Interrupted: no plan was made.\n")


def test_a_header_alone_is_no_end(run: Run, tmp_path: Path) -> None:
    told = plan(run, people(tmp_path / "a.csv", 0))
    assert run("plan", tmp_path / "a.csv", "--html", "plan.html")[0] == 0
    assert PageReader((tmp_path / "plan.html").read_text()).headings[0] == "There is nothing to load"
    assert (told["rows"], told["calls"], told["days"], told["effects"]) == (0, 0, 0, [])


# ---------------------------------------------------------------------------------------------- planned, then loaded


def change(path: Path) -> None:
    path.write_text(path.read_text().replace("P1", "Q1"))


@pytest.mark.parametrize("spoil", [change, lambda path: path.write_bytes(b"\0")], ids=["changed", "unreadable"])
def test_a_plan_whose_source_changed_is_loaded_only_as_planned(
    url: str, run: Run, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    path = people(tmp_path / "a.csv", 3)
    assert run("plan", path, "--out", "kept")[0] == 0
    spoil(path)
    code, out, err = run("upsert", "kept", "--yes")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(path) in err
    assert "--as-planned" in err
    assert not stored(url)
    assert run("upsert", "kept", "--yes", "--as-planned", "--limit", "2")[0] == 0
    assert run("upsert", "kept", "--yes")[0] == 0  # begun, it goes on
    assert sorted(str(contact.first_name) for contact in stored(url)) == ["P0", "P1", "P2"]


@pytest.mark.parametrize("options", [(), ("--as-planned",)], ids=" ".join)
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: None, Path.touch], ids=["gone", "the same", "touched"])
def test_a_plan_whose_source_is_gone_or_the_same_is_loaded(
    url: str, run: Run, tmp_path: Path, spoil: Callable[[Path], object], options: tuple[str, ...]
) -> None:
    path = people(tmp_path / "a.csv", 3)
    assert run("plan", path, "--out", "kept")[0] == 0
    spoil(path)
    assert run("upsert", "kept", "--yes", *options)[0] == 0
    assert len(stored(url)) == 3


@pytest.mark.parametrize("options", [(), ("--as-planned",)], ids=" ".join)
def test_a_plan_of_standard_input_is_loaded_without_it(url: str, run: Run, options: tuple[str, ...]) -> None:
    assert run("plan", "-", "--format", "csv", "--out", "kept", stdin=b"email\na@x.example\n")[0] == 0
    assert run("upsert", "kept", "--yes", *options, stdin=b"email\nother@x.example\n")[0] == 0
    assert [contact.email for contact in stored(url)] == ["a@x.example"]


def test_as_planned_is_for_a_plan(url: str, run: Run, tmp_path: Path) -> None:
    code, out, err = run("upsert", people(tmp_path / "a.csv", 3), "--yes", "--as-planned")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "plan --out" in err
    assert not stored(url)
