"""`--only-new`, `--only-existing`, `--fill-empty` and `--skip-unchanged`: what was there before decides."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.testing import RunningSandbox
from tests.cli.conftest import LOCATION, Run, calls_of_rows, end, load, lose_table, start, stored, table
from tests.cli.conftest import people as people_file
from tests.waiting import wait_until


@pytest.fixture
def there(url: str) -> str:
    """A location that holds Ada, with a city and a tag, and Bob, with a phone alone."""
    write(url, {"email": "ada@x.de", "first_name": "Ada", "city": "Bonn", "tags": ["kept"]})
    write(url, {"phone": "+4930123456", "last_name": "Bobson"})
    return url


def write(url: str, *contacts: dict[str, Any]) -> None:
    async def work() -> None:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            assert (await lc.contacts.bulk_upsert(contacts)).is_complete

    asyncio.run(work())


def sheet(tmp_path: Path, *lines: str, header: str = "email,phone,firstName,city,tags") -> Path:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *lines, ""]))
    return path


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert found["total"] == sum(
        found[name] for name in ("created", "updated", "failed", "skipped", "unknown", "not_attempted")
    )
    return found


def people(url: str) -> dict[str, tuple[str | None, ...]]:
    found = {}
    for one in stored(url):
        found[one.email or one.phone or ""] = (one.phone, one.first_name, one.last_name, one.city, *(one.tags or ()))
    return found


ROWS = (
    "ADA@x.de,+49301234999,Adele,Ulm,new",
    "bob@x.de,+4930123456,Bob,Kiel,",
    "eve@x.de,,Eve,Jena,new",
    "eve@x.de,,Eva,,",
    "not an address,,Zoe,,",
)


def test_only_new_leaves_alone_who_was_there(run: Run, there: str, tmp_path: Path) -> None:
    before = people(there)
    code, out, err = run("upsert", sheet(tmp_path, *ROWS), "--out", "out", "--only-new")
    assert (code, "Reading the existing contacts: location L holds 2 contacts; all of them to read, 1 call" in err) == (
        1,
        True,
    )
    told = report(tmp_path / "out")
    assert (told["created"], told["updated"], told["skipped"], told["failed"]) == (1, 1, 2, 1)
    assert told["skip_reasons"] == {"the contact existed before the load (`only_new`)": 2}
    assert "2 x not sent: the contact existed before the load (--only-new) (see skipped.csv)" in out
    assert "Stopped early" not in out
    after = people(there)
    assert {name: after[name] for name in before} == before
    assert after["eve@x.de"] == (None, "Eva", None, "Jena", "new")
    skipped = table(tmp_path / "out" / "skipped.csv")
    assert [(row["email"], row["reason"][:19]) for row in skipped] == [
        ("ADA@x.de", "the contact existed"),
        ("bob@x.de", "the contact existed"),
    ]
    assert {row["contact_id"] for row in skipped} == {one.id for one in stored(there) if one.email != "eve@x.de"}
    assert len(table(tmp_path / "out" / "succeeded.csv")) == 2
    page = (tmp_path / "out" / "report.html").read_text()
    assert "the contact existed before the load (`only_new`)" in page


def test_only_existing_makes_nobody(run: Run, there: str, tmp_path: Path) -> None:
    code, _, _ = run("upsert", sheet(tmp_path, *ROWS), "--out", "out", "--only-existing")
    told = report(tmp_path / "out")
    assert (code, told["created"], told["updated"], told["skipped"], told["failed"]) == (1, 0, 2, 2, 1)
    assert people(there) == {
        "ada@x.de": ("+49301234999", "Adele", None, "Ulm", "kept", "new"),
        "bob@x.de": ("+4930123456", "Bob", "Bobson", "Kiel"),
    }


@pytest.mark.parametrize("option", ["--only-new", "--only-existing", "--skip-unchanged"])
def test_a_phone_that_is_shared_is_set_where_the_row_before_is_not_sent(
    run: Run, url: str, tmp_path: Path, option: str
) -> None:
    rows = ("ann@x.de,+4930111111,Ann,,", "bob@x.de,+4930111111,Bob,,")
    ann, bob = {"email": "ann@x.de", "first_name": "Ann"}, {"email": "bob@x.de"}
    write(url, {"--only-new": ann, "--only-existing": bob, "--skip-unchanged": {**ann, "phone": "+4930111111"}}[option])
    code, out, _ = run("upsert", sheet(tmp_path, *rows), "--out", "out", option)
    told = report(tmp_path / "out")
    assert (code, told["created"] + told["updated"], told["skipped"]) == (0, 1, 1)
    assert calls_of_rows(tmp_path / "out") == 2
    assert "Stopped early" not in out
    if option == "--skip-unchanged":  # she has it
        assert people(url)["bob@x.de"] == (None, "Bob", None, None)
        (lost,) = table(tmp_path / "out" / "not_applied.csv")
        assert "was not set: contact " in lost["note"]
    else:
        assert people(url)["bob@x.de"] == ("+4930111111", "Bob", None, None)
        assert told["partially_applied"] == 0
    assert run("upsert", tmp_path / "a.csv", "--out", "out", option, "--resume")[0] == 0
    assert report(tmp_path / "out")["requests"] == told["requests"]


def test_fill_empty_overwrites_nothing(run: Run, there: str, tmp_path: Path) -> None:
    rows = (
        *ROWS[:3],
        "ada@x.de,,Adele,Ulm,KEPT",  # nothing of it is empty
        "new@x.de,+4930123456,,,",  # Bob's phone, and an address that would overwrite his once he has one
        "ada@x.de,+4930123456,,,",  # a phone that is Bob's
    )
    code, _, _ = run("upsert", sheet(tmp_path, *rows), "--out", "out", "--fill-empty", "--phone-conflict", "allow")
    assert code == 0
    assert people(there) == {
        "ada@x.de": ("+49301234999", "Ada", None, "Bonn", "kept", "new"),
        "bob@x.de": ("+4930123456", "Bob", "Bobson", "Kiel"),
        "eve@x.de": (None, "Eve", None, "Jena", "new"),
    }
    told = report(tmp_path / "out")
    assert (told["created"], told["updated"], told["skipped"], told["partially_applied"]) == (1, 2, 3, 0)


def test_skip_unchanged_sends_what_changes_something(run: Run, there: str, tmp_path: Path) -> None:
    rows = (
        "Ada@x.de,,Ada,Bonn,Kept",
        "ada@x.de,,Ada,,",
        "ada@x.de,,Ada,,more",
        "ada@x.de,,Ada,Bonn,",  # after one that was sent: sent, too
        ",+49 30 123456,,,",
        "eve@x.de,,,,",
    )
    code, _, _ = run("upsert", sheet(tmp_path, *rows), "--out", "out", "--skip-unchanged")
    told = report(tmp_path / "out")
    assert (code, told["created"], told["updated"], told["skipped"]) == (0, 1, 2, 3)
    code, out, _ = run("upsert", sheet(tmp_path, *rows), "--out", "again", "--skip-unchanged")
    told = report(tmp_path / "again")
    assert (code, told["skipped"], calls_of_rows(tmp_path / "again")) == (0, 6, 0)
    assert "6 rows" in out
    code, _, _ = run("upsert", sheet(tmp_path, *rows), "--out", "third", "--skip-unchanged", "--tags", "replace")
    assert report(tmp_path / "third")["updated"] >= 3  # tags that would go


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--only-new", "--only-existing"), "--only-new and --only-existing leave no row"),
        (("--only-new", "--fill-empty"), "--fill-empty is about contacts that exist"),
        (("--fill-empty", "--tags", "replace"), "--fill-empty overwrites nothing, but --tags replace does"),
    ],
)
@pytest.mark.parametrize("command", ["upsert", "plan"])
def test_wishes_that_contradict_each_other_are_refused(
    run: Run, tmp_path: Path, command: str, options: tuple[str, ...], sentence: str
) -> None:
    code, _, err = run(command, sheet(tmp_path, *ROWS), "--sandbox", *options)
    assert (code, sentence in err) == (2, True)
    assert not list(tmp_path.glob("leadconnector-run-*"))


def test_a_load_that_goes_on_does_not_take_its_own_writes_for_what_was_there(
    served: Callable[..., str], tmp_path: Path
) -> None:
    url, path = served(daily=30), tmp_path / "a.csv"
    path.write_text("\n".join(["email", *(f"p{number}@x.de" for number in range(60)), ""]))
    write(url, {"email": "p0@x.de"}, {"email": "p59@x.de"})
    code, out, err = load(url, path, "--only-new")
    assert code == 3, (out, err)
    told = report(tmp_path / "out")
    assert told["skipped"] == 2
    assert 0 < told["created"] < 58
    assert "--only-new" in out.split("rows left:")[1]
    assert stat.S_IMODE((tmp_path / "out" / "run.sqlite3").stat().st_mode) == 0o600
    code, out, err = load(url, path, "--only-new", "--resume")
    assert (code, "Reading" in err) == (3, False)  # the day is still spent
    assert report(tmp_path / "out")["created"] == told["created"]
    code, _, err = load(url, path, "--resume")
    assert (code, "was made with other settings of --only-new" in err) == (2, True)
    lose_table(tmp_path / "out", "before_contacts")
    code, _, err = load(url, path, "--only-new", "--resume")
    assert (code, "run.sqlite3: is damaged" in err) == (2, True)


def test_a_reading_that_is_cut_short_goes_on(served: Callable[..., str], tmp_path: Path) -> None:
    url, path = served(daily=5), tmp_path / "a.csv"
    path.write_text("email\na@x.de\nb@x.de\n")
    write(url, *({"email": f"p{number}@x.de"} for number in range(4)))
    code, out, err = load(url, path, "--only-new")
    assert (code, "Nothing was sent. Next, to go on reading" in out) == (3, True), (out, err)
    command = shlex.split(out.split("the existing contacts: ")[-1])
    assert command[-2:] == ["--resume", "--only-new"]
    assert not (tmp_path / "out" / "report.json").exists()
    code, out, err = load(url, path, "--only-new", "--resume")
    assert code == 3, (out, err)


# ------------------------------------------------------------------------------------------ plan and dry run


def plan(run: Run, *arguments: object, code: int = 1) -> dict[str, Any]:
    ended, out, _ = run("plan", "--json", *arguments)
    assert ended == code
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize(
    "options", [(), ("--only-new",), ("--only-existing",), ("--fill-empty",), ("--skip-unchanged",)], ids=str
)
def test_the_plan_against_what_is_there_is_what_the_load_then_does(
    run: Run, there: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = sheet(tmp_path, *ROWS, "fay@x.de,,Fay,,", ",+4930123456,,,", "fay@x.de,+49301111111,,,")
    told = plan(run, path, "--compare", *options)
    before = people(there)
    compared = told["comparison"]
    assert (compared["there"], sum(compared[name] for name in ("new", "changed", "same", "repeated"))) == (2, 7)
    code, out, _ = run("upsert", path, "--dry-run", *options)
    assert code == 1
    if options:
        left_out = f", {told['skipped']} would be left out" if told["skipped"] else ""
        assert f"{told['to_send']} would be sent, 1 would not{left_out}\n" in out
    assert people(there) == before
    run("upsert", path, "--out", "out", *options)
    done = report(tmp_path / "out")
    assert (told["to_send"], told["skipped"], told["refused"]) == (
        done["created"] + done["updated"],
        done["skipped"],
        done["failed"],
    )
    assert told["calls"] == calls_of_rows(tmp_path / "out")
    assert compared["skipped"] == done.get("skip_reasons", {})
    assert len(people(there)) - len(before) == done["created"]


@pytest.mark.parametrize("rule", ["second-pass", "skip"])
@pytest.mark.parametrize("option", ["--only-new", "--only-existing", "--fill-empty", "--skip-unchanged"])
def test_the_plan_and_the_load_agree_on_rows_that_share_a_phone(
    run: Run, there: str, tmp_path: Path, option: str, rule: str
) -> None:
    shared = "+49301111111"
    rows = [f"{name}@x.de,{shared},{name},," for name in ("eve", "fay", "ada", "ada", "gil")]
    path, options = sheet(tmp_path, *rows, "gil@x.de,,,Trier,"), (option, "--phone-conflict", rule)
    told = plan(run, path, *options, code=0)
    code, out, _ = run("upsert", path, "--dry-run", *options)
    left_out = f", {told['skipped']} would be left out" if told["skipped"] else ""
    assert (code, f"{told['to_send']} would be sent, 0 would not{left_out}\n" in out) == (0, True)
    before = len(people(there))
    run("upsert", path, "--out", "out", *options)
    done = report(tmp_path / "out")
    assert (told["to_send"], told["refused"]) == (done["created"] + done["updated"], done["failed"])
    assert told["comparison"]["skipped"] == done.get("skip_reasons", {})
    assert (told["comparison"]["new"] if option != "--only-existing" else 0) == len(people(there)) - before


def test_the_plan_shows_what_would_change_old_beside_new(run: Run, there: str, tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    path = sheet(tmp_path, "ada@x.de,,Ada,Ulm <b>,new", "ada@x.de,,Ada,,", "fay@x.de,,,,", ",+4930123456,,,")
    code, out, err = run("plan", path, "--compare", "--html", page)
    assert (code, "Reading the existing contacts" in err) == (0, True)
    assert "Compared with 2 contacts: 1 new, 1 would change one, 1 would change nothing" in out
    assert "1 row more about a person of an earlier row" in out
    assert "--skip-unchanged would save the calls for 1 row" in out
    assert "    city: Bonn -> Ulm <b>" in out
    assert '    tags: ["kept"] -> ["kept","new"]' in out
    assert "not compared" not in out
    assert "Ulm &lt;b&gt;" in page.read_text()


def test_what_is_there_cannot_be_compared_without_asking(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sheet(tmp_path, "ada@x.de,,,,")
    code, _, err = run("plan", path, "--compare")
    assert (code, "--compare needs a token" in err) == (2, True)
    code, _, err = run("plan", path, "--compare", "--offline")
    assert (code, "--offline calls nothing" in err) == (2, True)
    code, out, _ = run("plan", path, "--only-new")
    assert (code, "offline it is not known which of them --only-new would leave out" in out) == (0, True)


def test_a_day_that_is_spent_ends_the_plan_in_one_sentence(
    run: Run, served: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": served(daily=3)}.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    code, out, err = run("plan", sheet(tmp_path, "ada@x.de,,,,", "b@x.de,,,,"), "--compare")
    assert (code, out, "Stopped early: " in err) == (3, "", True)


def test_verify_looks_for_what_was_sent_alone(run: Run, there: str, tmp_path: Path) -> None:
    run("upsert", sheet(tmp_path, *ROWS), "--out", "out", "--fill-empty")
    code, out, _ = run("verify", "out")
    assert (code, "No differences." in out) == (0, True), out
    lose_table(tmp_path / "out", "before_contacts")
    code, _, err = run("verify", "out")
    assert (code, "run.sqlite3: is damaged" in err) == (2, True)


def test_a_process_that_is_killed_while_it_reads_goes_on_and_loads(
    open_sandbox: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = open_sandbox(max_requests=100, per_seconds=5)
    url, path = sandbox.url, tmp_path / "a.csv"
    names = [f"p{number}@x.de" for number in range(12)]
    path.write_text("\n".join(["email", *names, *(f"new{number}@x.de" for number in range(3)), ""]))
    write(url, *({"email": name} for name in names), *({"email": f"more{number}@x.de"} for number in range(60)))
    before = len(sandbox.arrivals)
    process = start(url, path, "--only-new", "--rate", "1/2")  # so that it waits for its turn
    wait_until(lambda: len(sandbox.arrivals) > before + 1, process)
    process.kill()
    process.communicate()
    code, out, err = load(url, path, "--only-new", "--resume")
    assert code == 0, (out, err)
    told = report(tmp_path / "out")
    assert (told["created"], told["skipped"]) == (3, 12)


def test_an_interrupt_while_it_reads_ends_in_order(open_sandbox: Callable[..., RunningSandbox], tmp_path: Path) -> None:
    sandbox = open_sandbox()
    url, path = sandbox.url, people_file(tmp_path / "a.csv", 3)
    process = start(url, path, "--only-new", "--rate", "1/3")
    wait_until(lambda: sandbox.arrivals, process)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, "Nothing was sent. Next, to go on" in out) == (130, True), (out, err)
    code, out, err = load(url, path, "--only-new", "--resume")
    assert (code, report(tmp_path / "out")["created"]) == (0, 3), (out, err)
