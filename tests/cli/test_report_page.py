"""`report.html` as a load leaves it: the numbers of `report.json`, what to do now, and nothing that acts."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from leadconnector_async.migration.report.files import Results
from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import Run, load, people, port_of, table
from tests.cli.test_commands import EXAMPLE
from tests.page_reader import PageReader, read_page

COUNTS = "total created updated failed skipped unknown not_attempted partially_applied collisions requests retries"
HOSTILE = [
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "\u202egnp.exe",
    "W" * 3000,
    "a\u200bb",
]


def assert_numbers_are_those_of_the_report(folder: Path) -> PageReader:
    page, report = read_page(folder), json.loads((folder / "report.json").read_text())
    for key in [*COUNTS.split(), "rate_limited", "duration_seconds"]:
        assert page.number(key) == report[key], key
    assert page.number("sessions") == report.get("sessions", 1)
    for key in ("started_at", "finished_at"):
        assert page.keys[key]["datetime"] == report[key]
    kinds = [row for row in page.rows_of["errors"] if len(row) == 6]
    assert [(int(row[0].replace(",", "")), row[2]) for row in kinds] == [
        (error["count"], error["message"]) for error in report["errors"][:25]
    ]
    return page


def test_the_page_says_what_the_report_says(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("upsert", EXAMPLE, "--sandbox", "--out", "out", "--rate", "100/0.3")
    assert code == 1
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (
        page.headings[0] == f"{report['created'] + report['updated']} of 250 rows are done, {report['failed']} are not"
    )
    assert page.headings[1] == "What to do now"
    next_command = re.search(r"^Next: .*, then: (leadconnector upsert .*)$", out, re.M)
    assert next_command is not None
    assert page.commands == [next_command[1]]
    assert "report.json, report.html, succeeded.csv" in out
    for expected in ("Errors", "Rows to fix", "Fields not applied", "Over time"):
        assert expected in page.headings


def test_links_lead_to_what_they_name(run: Run, tmp_path: Path) -> None:
    run("upsert", EXAMPLE, "--sandbox", "--out", "out", "--rate", "100/0.3")
    page = read_page(tmp_path / "out")
    with (tmp_path / "out" / "failed.csv").open(encoding="utf-8", newline="") as file:
        failed = list(csv.reader(file))
    emails = failed[0].index("Email")
    for address, text in page.links:
        path, _, fragment = address.partition("#")
        if not path:
            assert fragment in page.ids
            continue
        assert (tmp_path / "out" / path).is_file()
        if fragment and path == "failed.csv":
            assert text == f"row {fragment.removeprefix('row=')}"
    rows = page.rows_of["rows-to-fix"]
    assert len(rows) == len(failed) - 1
    for row in rows:
        number = int(re.match(r"row ([\d,]+)", row[0])[1])  # type: ignore[index]
        assert failed[number - 1][emails].strip() in row[1]


def test_what_stands_in_a_cell_that_is_wrong_is_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text(
        "email,Phone Number,DND,country\na@example.com,,maybe,\n,call me,,\nc@example.com,,,Narnia\n"
        "no,,,\n,,,US\nd@example.com,,,US,too,many\n"
    )
    assert run("upsert", path, "--sandbox", "--out", "out")[0] == 1
    shown = {row[1]: row[4] for row in read_page(tmp_path / "out").rows_of["rows-to-fix"]}
    assert shown == {
        "a@example.com": "DND: maybe",
        "call me": "Phone Number: call me",
        "no": "email: no",
        "": "",
        "d@example.com": "too",
    }


def test_problems_in_the_file_are_told_by_kind_with_links_to_their_rows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    rows = "".join(f"p{n}@example.com,call me {n % 2},Narnia\n" for n in range(5))
    path.write_text(f'email,phone,country\n{rows}no,,\n"a@example.com",,"{HOSTILE[1].replace(chr(34), chr(34) * 2)}"\n')
    assert run("upsert", path, "--sandbox", "--out", "out")[0] == 1
    page = read_page(tmp_path / "out")
    assert "Problems in the file" in page.headings
    assert "img" not in page.names
    told = table(tmp_path / "out" / "problems.csv")
    kinds = [row for row in page.rows_of["problems-in-the-file"] if len(row) == 5]
    words = {"refused": "the row was not sent", "skipped": "sent without the cell"}
    counted = Counter((row["column"], row["problem"] + words[row["action"]]) for row in told)
    assert {(row[1], row[2]): int(row[0]) for row in kinds} == counted
    examples = [row[-2:] for row in page.rows_of["problems-in-the-file"]]
    assert len(examples) > len(kinds)
    for place, value in examples:
        number = int(re.match(r"row ([\d,]+)from row (\d+)", place)[1])  # type: ignore[index]
        assert told[number - 2]["row"].endswith(re.search(r"row \d+$", place)[0])  # type: ignore[index]
        assert told[number - 2]["value"] == value
    assert ("./problems.csv#row=2", "row 2") in page.links


def test_without_problems_there_is_no_such_section(run: Run, tmp_path: Path) -> None:
    run("upsert", people(tmp_path / "a.csv", 2), "--sandbox", "--out", "out")
    assert "Problems in the file" not in read_page(tmp_path / "out").headings


def test_all_is_done(run: Run, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 30), "--sandbox", "--out", "out")[0] == 0
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    assert page.headings == ["All 30 rows are done", "What to do now", "In figures", "Over time"]
    assert "Nothing. Keep this folder as the record of the load." in page.text
    assert not page.commands


def test_a_header_alone_makes_a_page_too(run: Run, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 0), "--sandbox", "--out", "out")[0] == 0
    assert assert_numbers_are_those_of_the_report(tmp_path / "out").headings[0] == "There was nothing to load"


def test_rows_that_overwrote_another_person_stand_side_by_side(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "family.csv"
    path.write_text("email,phone,city\n" + "".join(f"p{n}@example.com,+16175550100,C{n}\n" for n in range(3)))
    assert run("upsert", path, "--sandbox", "--out", "out", "--phone-conflict", "allow")[0] == 0
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    assert "Collisions" in page.headings
    assert ["email", "p0@example.com", "p1@example.com"] in page.rows
    assert ["city", "C1", "C2"] in page.rows


def test_a_load_that_stopped_says_how_to_go_on_and_the_end_has_all_sessions(
    served: Callable[..., str], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox(daily=7) as sandbox:
        code, out, _ = load(sandbox.url, people(tmp_path / "a.csv", 20), "--concurrency", "1")
    assert code == 3
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    assert page.headings[0] == "Stopped early: 7 of 20 rows are done"
    assert "has spent its calls of this day" in page.text
    (command,) = page.commands
    assert command in out
    assert "--resume" in command
    assert "Rows to fix" not in page.headings  # there is nothing wrong with them

    for name, value in (("TOKEN", "sandbox"), ("BASE_URL", served(port=port_of(sandbox.url))), ("LOCATION_ID", "L")):
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    assert run(*shlex.split(command)[1:])[0] == 0
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    assert page.headings[0] == "All 20 rows are done"
    assert page.number("sessions") == 2
    assert [(row[0], row[-1]) for row in page.rows_of["sessions"]] == [("1", "in order"), ("2", "in order")]


def test_hostile_data_is_text(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "<b>\u202e&.csv"
    rows = [[f"not an address {n}", name, "Narnia"] for n, name in enumerate(HOSTILE)]
    rows += [[f"ok{n}@example.com", name, ""] for n, name in enumerate(HOSTILE)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["email", "firstName", "country"], *rows])
    assert run("upsert", path, "--sandbox", "--out", "out")[0] == 1
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    assert page.names.isdisjoint({"script", "img", "b", "iframe", "object", "form", "base"})
    assert "<script>alert(1)</script>" in page.text
    assert r"\u202egnp.exe" in page.text
    assert r"a\u200bb" in page.text
    assert "\u202e" not in page.text
    assert r"<b>\u202e&.csv" in page.text
    assert max(map(len, page.texts)) < 20_000


@pytest.mark.slow
def test_a_hundred_thousand_failures_make_a_small_page(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("email,dnd\n" + "".join(f"p{n}@example.com,maybe{n}\n" for n in range(100_000)))
    assert run("upsert", path, "--sandbox", "--out", "out", "--no-progress")[0] == 1
    page = assert_numbers_are_those_of_the_report(tmp_path / "out")
    assert page.number("failed") == 100_000
    assert (tmp_path / "out" / "report.html").stat().st_size < 150_000
    assert "The first 100 of 100,000" in page.text
    assert len(table(tmp_path / "out" / "failed.csv")) == 100_000


def test_a_page_that_cannot_be_written_is_told_and_costs_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Results.write

    def spoil(self: Results, *told: object) -> None:
        write(self, *told)  # type: ignore[arg-type]
        (self.folder / "report.html.part").mkdir()

    monkeypatch.setattr(Results, "write", spoil)
    code, out, err = run("upsert", people(tmp_path / "a.csv", 3), "--sandbox", "--out", "out")
    assert (code, "report.html" in out) == (0, False)
    assert re.search(r"report\.html: could not be written \(.*\)\n", err)
