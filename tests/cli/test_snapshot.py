"""`upsert --snapshot` and `undo`: a location that held contacts is as it was before; stops, faults and what is told."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.private_file import write_private
from tests.cli.conftest import COMMAND, LOCATION, Run, count, end, lose_table, start, stored, table, update
from tests.waiting import wait_until

HEADER = "email,phone,firstName,lastName,city,companyName,website,dateOfBirth,tags"
QUICK = ("--rate", "5000/1")


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows, ""]))
    return path


def person(number: int, what: str, *, phone: bool = True) -> str:
    number_of = f"+1617555{number:04}" if phone else ""
    return f"p{number}@example.com,{number_of},{what} {number},Lee,{what}ville,{what} Inc,https://{what}.example,1990-01-02,{what}"


def state(url: str) -> list[dict[str, Any]]:
    """All that the location holds, but for when it was changed; do-not-disturb and tags in any order."""
    found = []
    for contact in sorted(stored(url), key=lambda contact: contact.id):
        fields = msgspec.json.decode(contact.raw)
        del fields["dateUpdated"], fields["lastActivity"]  # which move with each write
        found.append({**fields, "tags": sorted(fields["tags"])})
    return found


@pytest.fixture
def filled(served: Callable[..., str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A sandbox that holds 40 contacts, and whose faults come after they were stored."""
    url = served(max_requests=5_000, per_seconds=1, seed=1)
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
    monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", LOCATION)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    rows = [person(number, "Old", phone=number % 3 != 0) for number in range(40)]
    assert run("upsert", write(tmp_path / "old.csv", *rows), "--out", "before", *QUICK)[0] == 0
    return url


def mixed(path: Path) -> Path:
    """Rows that change, repeat, empty, collide with and add contacts."""
    rows = [person(number, "New") for number in range(20, 60)]
    rows += [person(number, "Newer", phone=False) for number in range(30, 45)]
    rows += [f"p{number}@example.com,,,,,,,," for number in range(5)]
    rows += [f"thief{number}@example.com,+1617555{number:04},Thief,,,,,," for number in (10, 11, 13)]
    return write(path, *rows)


@pytest.mark.parametrize("options", [("--tags", "add"), ("--tags", "replace", "--empty", "clear")])
def test_a_location_is_as_before(run: Run, filled: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    was = state(filled)
    code, _, err = run("upsert", mixed(tmp_path / "new.csv"), "--out", "out", "--snapshot", *options, *QUICK)
    assert code == 0, err
    assert "are kept for undo as they were before the load, in run.sqlite3 (personal data)" in err
    assert state(filled) != was
    code, out, err = run("undo", "out", "--yes", *QUICK)
    assert code == 0, (out, err)
    assert "out: 20 contacts created in" in out
    updated = len({row["contact_id"] for row in table(tmp_path / "out" / "undo.csv") if row["result"] != "deleted"})
    assert f"{updated} contacts that already existed were updated. Undo restores the fields" in out
    assert state(filled) == was
    report = json.loads((tmp_path / "out" / "undo.json").read_text())
    assert (report["created"], report["deleted"], report["left"], report["stopped"]) == (20, 20, 0, None)
    assert report["updated"] == updated == report["restored"] + report["same"]


@pytest.mark.parametrize("fault", ["500", "reset-after", "429"])
def test_faults_change_nothing_of_that(
    run: Run,
    filled: str,
    served: Callable[..., str],
    tmp_path: Path,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = str(tmp_path / "data.sqlite3")
    url = served(max_requests=5_000, per_seconds=1, data=data, seed=3, faults={fault: 0.1})
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    rows = [person(number, "Old", phone=number % 3 != 0) for number in range(15)]
    assert run("upsert", write(tmp_path / "some.csv", *rows), "--out", "some", *QUICK)[0] == 0
    was = settled(url)
    time.sleep(2.5)  # so that dateAdded tells what was there before
    rows = [person(number, "New") for number in range(5, 25)]
    code, out, err = run("upsert", write(tmp_path / "new.csv", *rows), "--out", "out", "--snapshot", *QUICK)
    assert code == 0, (out, err)
    undo = ["undo", "out", "--yes", "--include-inferred", *QUICK]  # of some that it created the answer was lost
    code, out, err = run(*undo)
    for _ in range(5):
        if code:
            code, out, err = run(*undo, "--resume")
    assert code == 0, (out, err)
    assert settled(url) == was


def settled(url: str) -> list[dict[str, Any]]:
    async def ids() -> list[str]:
        async with LeadConnector("sandbox", base_url=url, location_id=LOCATION, rate_limit=None) as lc:
            return [contact.id async for contact in lc.contacts.search()]

    assert asyncio.run(ids())
    return state(url)


def test_files_of_a_snapshot_are_for_their_owner_alone(run: Run, filled: str, tmp_path: Path) -> None:
    code, _, err = run("upsert", mixed(tmp_path / "new.csv"), "--out", "out", "--snapshot", *QUICK)
    assert code == 0, err
    (kept,) = (tmp_path / "out").glob("*.sqlite3*")
    assert (kept.name, stat.S_IMODE(kept.stat().st_mode)) == ("run.sqlite3", 0o600)


def test_a_run_goes_on_only_with_the_snapshot_that_it_took(run: Run, filled: str, tmp_path: Path) -> None:
    path = mixed(tmp_path / "new.csv")
    assert run("upsert", path, "--out", "out", "--snapshot", *QUICK)[0] == 0
    code, _, err = run("upsert", path, "--out", "out", "--resume", *QUICK)
    assert (code, "was made with another --snapshot" in err) == (2, True)
    assert run("upsert", path, "--out", "out", "--resume", "--snapshot", *QUICK)[0] == 0
    now = state(filled)
    lose_table(tmp_path / "out", "before_snapshot")
    for command in (("upsert", path, "--out", "out", "--resume", "--snapshot"), ("undo", "out", "--yes")):
        code, _, err = run(*command, *QUICK)
        assert (code, "run.sqlite3: is damaged" in err) == (2, True)
    (tmp_path / "out" / "run.sqlite3").unlink()
    code, _, err = run("upsert", path, "--out", "out", "--resume", "--snapshot", *QUICK)
    assert (code, "out: is not empty; name a new folder" in err) == (2, True)
    assert state(filled) == now


def test_without_a_snapshot_what_was_updated_stays(run: Run, filled: str, tmp_path: Path) -> None:
    assert run("upsert", mixed(tmp_path / "new.csv"), "--out", "out", *QUICK)[0] == 0
    code, out, _ = run("undo", "out", "--yes", *QUICK)
    assert (code, "did not keep what they held before, so they stay" in out) == (0, True)
    report = json.loads((tmp_path / "out" / "undo.json").read_text())
    assert (report["created"], report["updated"], report["restored"]) == (20, 0, 0)


def test_what_changed_since_is_told_by_field_and_goes_back_by_force(run: Run, filled: str, tmp_path: Path) -> None:
    was = state(filled)
    path = write(tmp_path / "new.csv", *[person(number, "New") for number in range(20, 25)])
    assert run("upsert", path, "--out", "out", "--snapshot", *QUICK)[0] == 0
    changed = next(contact for contact in stored(filled) if contact.email == "p22@example.com")
    update(filled, changed.id, city="Elsewhere")
    code, out, _ = run("undo", "out", "--yes", *QUICK)
    assert (code, "5 contacts: 4 restored, 1 restored in part" in out) == (1, True)
    (told,) = [row for row in table(tmp_path / "out" / "undo.csv") if row["result"] == "partly"]
    assert told["detail"] == "city: it changed since the run, and holds 'Elsewhere' now"
    assert "--resume --force" in out
    code, out, _ = run("undo", "out", "--yes", "--resume", "--force", *QUICK)
    assert (code, "5 contacts: 5 restored" in out) == (0, True)
    assert state(filled) == was


def test_nobody_to_ask_is_no_yes(run: Run, filled: str, tmp_path: Path) -> None:
    path = write(tmp_path / "new.csv", person(20, "New"))
    assert run("upsert", path, "--out", "out", "--snapshot", *QUICK)[0] == 0
    now = state(filled)
    code, _, err = run("undo", "out", *QUICK)
    assert (code, "this would delete and restore contacts, and there is no terminal to ask on; give --yes" in err) == (
        2,
        True,
    )
    assert state(filled) == now


def test_reading_what_is_there_goes_on_where_the_day_was_spent(
    run: Run, served: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: str
) -> None:
    url = served(daily=60)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    path = write(tmp_path / "a.csv", *[person(number, "Old", phone=False) for number in range(50)])
    assert run("upsert", path, "--out", "a", "--tags", "replace", *QUICK)[0] == 0
    path = tmp_path / "b.csv"  # no search tells the time zone, so that each contact is read by its id
    path.write_text("\n".join(["email,timezone", *(f"p{number}@example.com,Europe/Rome" for number in range(50))]))
    code, out, err = run("upsert", path, "--out", "out", "--snapshot", *QUICK)
    assert (code, "Nothing was sent. Next, to go on reading" in out) == (3, True), (out, err)
    assert "--out out --resume" in out
    assert "--snapshot" in out
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.slow
def test_ctrl_c_amid_the_undo_and_resume(run: Run, filled: str, tmp_path: Path) -> None:
    was = state(filled)
    path = mixed(tmp_path / "new.csv")
    assert run("upsert", path, "--out", "out", "--snapshot", *QUICK)[0] == 0
    before = count(filled)
    command = [*COMMAND, "undo", "out", "--yes", "--rate", "20/0.5", "--concurrency", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: count(filled) <= before - 20, process)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, "Stopped early: interrupted" in out) == (130, True), err
    code, out, _ = run("undo", "out", "--yes", "--resume", *QUICK)
    assert (code, out.count("Stopped")) == (0, 0)
    assert state(filled) == was


def test_a_kill_amid_the_load_keeps_the_state_before_it(filled: str, run: Run, tmp_path: Path) -> None:
    was = state(filled)
    path = write(tmp_path / "new.csv", *[person(number, "New") for number in range(40)])
    process = start(filled, path, "--snapshot", "--rate", "20/0.5")
    wait_until(lambda: any(contact.city == "Newville" for contact in stored(filled)), process)
    process.kill()
    process.communicate()
    code, out, err = run("upsert", path, "--out", tmp_path / "out", "--resume", "--snapshot", *QUICK)
    assert code == 0, (out, err)
    code, out, err = run("undo", "out", "--yes", *QUICK)
    assert code == 0, (out, err)
    assert state(filled) == was


def test_no_token_is_in_what_is_kept_or_told(run: Run, filled: str, tmp_path: Path) -> None:
    token = "pit-5e0f7a31-very-secret"
    write_private(tmp_path / "token", token)
    path = write(tmp_path / "new.csv", person(20, "New"))
    code, out, err = run("upsert", path, "--out", "refused", "--snapshot", "--token-file", "token", *QUICK)
    assert (code, "Nothing was sent" in out) == (3, True)
    assert run("upsert", path, "--out", "out", "--snapshot", *QUICK)[0] == 0
    code, more_out, more_err = run("undo", "out", "--yes", "--token-file", "token", *QUICK)
    assert (code, "Stopped early" in more_out) == (3, True)
    kept = [file.read_bytes() for name in ("refused", "out") for file in (tmp_path / name).iterdir()]
    assert not any(token in text for text in (out, err, more_out, more_err))
    assert not any(token.encode() in data for data in kept)


@pytest.mark.parametrize("options", [(), ("--tags", "add"), ("--only-new",), ("--fill-empty",)])
def test_what_the_run_closed_is_opened_again(run: Run, filled: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    before = state(filled)
    path = tmp_path / "out.csv"
    path.write_text("email,city,tags,Unsubscribed\np1@example.com,Rome,new,yes\np2@example.com,,,yes\n")
    assert run("upsert", path, "--out", "run", "--snapshot", *options, *QUICK)[0] == 0
    closed = {contact["email"]: contact.get("dndSettings", {}).get("Email") for contact in state(filled)}
    assert closed["p1@example.com"] == closed["p2@example.com"] == {"status": "active"}
    assert run("undo", "run", "--yes", *QUICK)[0] == 0
    after = state(filled)
    for contact in after:
        settings = contact.pop("dndSettings", {})
        assert all(setting["status"] == "inactive" for setting in settings.values())
    assert after == [{name: value for name, value in one.items() if name != "dndSettings"} for one in before]
