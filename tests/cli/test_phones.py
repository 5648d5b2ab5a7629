"""`--phone-conflict`: rows that share a phone with another person's overwrite nobody, and what became of their phone is
told."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.migration.options import MigrationOptions
from leadconnector_async.migration.phones import PhoneStep
from leadconnector_async.run.database import Database
from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.cli.conftest import Run, calls_of_rows, change_run, end, load, lose_table, start, stored, table
from tests.waiting import wait_until

HOUSE, OWN, NEW = "+16175550100", "+16175550101", "+16175550102"
Connect = Callable[[str], None]


@pytest.fixture
def connect(run: Run, monkeypatch: pytest.MonkeyPatch) -> Connect:
    def connect(url: str) -> None:
        for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)

    return connect


def family(path: Path, *rows: tuple[str, str]) -> Path:
    lines = [f"{name}@x.example,{name},{phone}" for name, phone in rows]
    path.write_text("\n".join(["email,firstName,phone", *lines, ""]))
    return path


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def phones(url: str) -> dict[str, str | None]:
    return {str(contact.first_name): contact.phone for contact in stored(url)}


def test_nobody_is_overwritten_and_a_refused_phone_is_told(run: Run, tmp_path: Path, connect: Connect) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE), ("cid", OWN), ("ann", HOUSE))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        code, out, err = run("upsert", path, "--out", "out")
        assert phones(sandbox.url) == {"ann": HOUSE, "bob": None, "cid": OWN}
    assert code == 0
    assert "1 row has the phone of another person in an earlier row." in err
    assert "set after all rows, with 1 more call (--phone-conflict second-pass)." in err
    assert "phone not applied on 1 row: another contact holds it (see not_applied.csv)" in out
    (lost,) = table(tmp_path / "out" / "not_applied.csv")
    assert (lost["email"], lost["field"], lost["sent"], lost["stored"]) == ("bob@x.example", "phone", HOUSE, "")
    assert lost["note"].startswith(f"its phone, which {path}, row 2 also has, was not set: contact ")
    report = report_of(tmp_path / "out")
    assert (report["created"], report["updated"], report["partially_applied"]) == (3, 1, 1)
    assert (calls_of_rows(tmp_path / "out"), report["collisions"]) == (4 + 1, 0)


def test_a_phone_is_set_where_the_location_allows_duplicates_or_its_owner_has_another(
    run: Run, tmp_path: Path, connect: Connect
) -> None:
    with run_sandbox(allow_duplicates=True) as sandbox:
        connect(sandbox.url)
        path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE))
        assert run("upsert", path, "--out", "one")[0] == 0
        assert phones(sandbox.url) == {"ann": HOUSE, "bob": HOUSE}
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        path = family(tmp_path / "b.csv", ("ann", HOUSE), ("bob", HOUSE), ("ann", NEW))
        assert run("upsert", path, "--out", "two")[0] == 0
        assert phones(sandbox.url) == {"ann": NEW, "bob": HOUSE}
    for folder in ("one", "two"):
        assert report_of(tmp_path / folder)["partially_applied"] == 0
        assert not (tmp_path / folder / "not_applied.csv").exists()


def test_a_later_row_of_the_same_person_has_the_last_word(run: Run, tmp_path: Path, connect: Connect) -> None:
    rows = [("ann", HOUSE), ("bob", HOUSE), ("bob", OWN), ("ann", NEW)]
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        assert run("upsert", family(tmp_path / "a.csv", *rows), "--out", "out")[0] == 0
        assert phones(sandbox.url) == {"ann": NEW, "bob": OWN}
    assert report_of(tmp_path / "out")["partially_applied"] == 0


def test_rows_are_left_out_where_that_is_wanted(run: Run, tmp_path: Path, connect: Connect) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE), ("cid", OWN))
    options = ("--phone-conflict", "skip")
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        assert (
            "3 rows checked: 2 would be sent, 0 would not, 1 would be left out"
            in run("upsert", path, "--dry-run", *options)[1]
        )
        code, out, _ = run("upsert", path, "--out", "out", *options)
        assert phones(sandbox.url) == {"ann": HOUSE, "cid": OWN}
        assert run("upsert", path, "--out", "out", "--resume", *options)[0] == 0
    assert code == 0
    assert "3 rows in" in out
    assert "2 created, 1 skipped" in out
    (skipped,) = table(tmp_path / "out" / "skipped.csv")
    assert skipped["email"] == "bob@x.example"
    assert skipped["reason"].endswith(f"whose contact it would overwrite (the other row is {path}, row 2)")
    report = report_of(tmp_path / "out")
    assert (report["total"], report["created"], report["skipped"]) == (3, 2, 1)


def test_what_is_right_is_done_where_a_location_matches_by_one_field_alone(
    run: Run, tmp_path: Path, connect: Connect
) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE))
    with run_sandbox(unique_identifiers=("email",)) as sandbox:
        connect(sandbox.url)
        code, _, err = run("upsert", path, "--out", "email")
        assert (code, phones(sandbox.url)) == (0, {"ann": HOUSE, "bob": HOUSE})
    assert "matches by email alone, rows that share only a phone do not overwrite each other" in err
    with run_sandbox(unique_identifiers=("phone",)) as sandbox:
        connect(sandbox.url)
        code, _, err = run("upsert", path, "--out", "phone")
        assert (code, phones(sandbox.url)) == (0, {"ann": HOUSE})
    assert "left out (their location matches by phone alone)" in err
    assert [row["email"] for row in table(tmp_path / "phone" / "skipped.csv")] == ["bob@x.example"]


def test_each_location_is_asked_and_served_by_its_own_rule(run: Run, tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{name}{place}@x.example,{HOUSE},{place}" for place in "KM" for name in ("ann", "bob")]
    path.write_text("\n".join(["email,phone,locationId", *rows, ""]))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        code, _, err = run("upsert", path, "--out", "out")
        assert code == 0
        assert len(sandbox.contacts()) == 4
    assert "2 rows have the phone of another person in an earlier row" in err
    assert report_of(tmp_path / "out")["partially_applied"] == 2


def test_a_load_without_shared_phones_makes_no_call_and_leaves_no_file_more(
    run: Run, tmp_path: Path, connect: Connect
) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", OWN), ("ann", HOUSE))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        code, _, err = run("upsert", path, "--out", "out")
    assert (code, report_of(tmp_path / "out")["requests"]) == (0, 3)
    assert "phone of another" not in err
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["report.html", "report.json", "run.sqlite3", "succeeded.csv"]
    with Database(tmp_path / "out" / "run.sqlite3") as file:
        assert PhoneStep.open(file, MigrationOptions()) is None


def test_a_phone_is_left_to_its_owner_while_that_row_is_not_done(run: Run, tmp_path: Path, connect: Connect) -> None:
    """Else the owner, loaded again, would overwrite the contact that has got it meanwhile."""
    path = tmp_path / "a.csv"
    path.write_text(f"email,firstName,phone\nann@x.example,ann,{HOUSE}\nbob@x.example,bob,{HOUSE}\n")
    with run_sandbox(faults={"422-created": 1.0}) as sandbox:
        connect(sandbox.url)
        assert run("upsert", path, "--out", "failed")[0] == 1
        failed = table(tmp_path / "failed" / "failed.csv")
    assert ["would overwrite that one" in row["error"] for row in failed] == [False, True]
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        assert run("upsert", path, "--out", "out")[0] == 0
        with change_run(tmp_path / "out") as db:  # as if Ann's row had been refused, and Bob's phone not been set
            outcome = '{"index": 0, "status": "failed", "attempts": 1}'
            db.execute("UPDATE outcomes SET state = 4, outcome = ? WHERE row = 0", (outcome.encode(),))
            db.execute("DELETE FROM steps")
        assert run("upsert", path, "--out", "out", "--resume")[0] == 1
        (lost,) = table(tmp_path / "out" / "not_applied.csv")
        assert (lost["email"], lost["field"]) == ("bob@x.example", "phone")
        before = report_of(tmp_path / "out")["requests"]
        assert run("upsert", path, "--out", "out", "--retry-failed")[0] == 0
        assert phones(sandbox.url) == {"ann": HOUSE, "bob": None}
        assert report_of(tmp_path / "out")["requests"] == before + 2  # Ann's row once more, and Bob's update


def test_verify_tells_of_a_phone_that_was_not_taken(run: Run, tmp_path: Path, connect: Connect) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        assert run("upsert", path, "--out", "out")[0] == 0
        code, out, _ = run("verify", "out")
    assert code == 1
    assert "1 x phone was not accepted when it was loaded (see not_applied.csv)" in out


def test_a_run_goes_on_with_the_same_rule_alone_and_not_without_its_book(
    run: Run, tmp_path: Path, connect: Connect
) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        assert run("upsert", path, "--out", "out")[0] == 0
        for rule in ("allow", "skip"):
            code, _, err = run("upsert", path, "--out", "out", "--resume", "--phone-conflict", rule)
            assert code == 2
            assert "was made with another --phone-conflict" in err
        before = report_of(tmp_path / "out")
        assert run("upsert", path, "--out", "out", "--resume")[0] == 0
        after = report_of(tmp_path / "out")
        assert (after["requests"], after["partially_applied"]) == (before["requests"], 1)
        lose_table(tmp_path / "out", "conflicts")
        code, _, err = run("upsert", path, "--out", "out", "--resume")
    assert (code, err.count("\n")) == (2, 1)
    assert "run.sqlite3: is damaged" in err


def test_a_dry_run_and_a_no_write_and_leave_nothing(
    run: Run, tmp_path: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("bob", HOUSE))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        code, out, err = run("upsert", path, "--dry-run")
        assert (code, out.splitlines()[0]) == (0, "2 rows checked: 2 would be sent, 0 would not")
        assert "1 row has the phone of another person in an earlier row" in err

        async def refuse(*_: object) -> bool:
            return False

        monkeypatch.setattr("leadconnector_async.cli.upsert._is_agreed", refuse)
        assert run("upsert", path, "--out", "out")[0] == 130
        assert sandbox.contacts() == []
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_the_first_rows_alone_share_what_they_share(run: Run, tmp_path: Path, connect: Connect) -> None:
    path = family(tmp_path / "a.csv", ("ann", HOUSE), ("cid", OWN), ("bob", HOUSE))
    with run_sandbox() as sandbox:
        connect(sandbox.url)
        assert "phone of another" not in run("upsert", path, "--out", "out", "--limit", "2")[2]


# ---------------------------------------------------------------------------------------------- cut off and gone on


def houses(path: Path, count: int) -> Path:
    rows = [(f"p{number}", f"+1617555{number // 2:04}") for number in range(count)]
    return family(path, *rows)


@pytest.mark.parametrize("moment", ["rows", "phones"])
def test_a_load_that_was_killed_goes_on_as_it_was_settled(
    open_sandbox: Callable[..., RunningSandbox], tmp_path: Path, moment: str
) -> None:
    sandbox = open_sandbox(max_requests=1_000, per_seconds=1, latency=(0.04, 0.08))
    url, path = sandbox.url, houses(tmp_path / "a.csv", 160)
    process = start(url, path, "--rate", "1000/1", "--concurrency", "4")
    if moment == "rows":
        wait_until(lambda: len(sandbox.applied) > 20, process)
    else:
        wait_until(lambda: sets_phones(sandbox), process)
    process.kill()
    process.communicate()
    code, out, err = load(url, path, "--rate", "1000/1", "--resume")
    assert code == 0, (out, err)
    report = report_of(tmp_path / "out")
    assert (report["total"], report["created"], report["collisions"]) == (160, 160, 0)
    assert report["partially_applied"] == len(table(tmp_path / "out" / "not_applied.csv")) == 80
    assert sum(phone is not None for phone in phones(url).values()) == 80


def sets_phones(sandbox: RunningSandbox) -> bool:
    return any(call.method == "PUT" for call in sandbox.arrivals)


@pytest.mark.parametrize("how", ["interrupt", "day"])
def test_a_stop_in_order_tells_of_the_phones_left_and_goes_on(
    open_sandbox: Callable[..., RunningSandbox], tmp_path: Path, how: str
) -> None:
    path = houses(tmp_path / "a.csv", 40)
    if how == "day":
        url = open_sandbox(daily=50).url
        code, out, err = load(url, path)
        assert code == 3, (out, err)
    else:
        sandbox = open_sandbox(max_requests=50, per_seconds=5)
        url = sandbox.url
        process = start(url, path, "--rate", "50/5")  # so that it waits in the midst of the phones
        wait_until(lambda: sets_phones(sandbox), process)
        process.send_signal(signal.SIGINT)
        code, out, err = end(process)
        assert code == 130, (out, err)
    report = report_of(tmp_path / "out")
    assert (report["created"], report["partially_applied"]) == (40, 20)  # refused, or left
    assert "to set the phones that rows share" in out
    code, out, err = load(url, path, "--resume", "--rate", "1000/1")
    assert code == (3 if how == "day" else 0), (out, err)
    if how != "day":
        report = report_of(tmp_path / "out")
        assert report["requests"] - report["rate_limited"] - report["retries"] >= 40 + 20
        with Database(tmp_path / "out" / "run.sqlite3") as file:
            assert file.read("SELECT count(*) FROM steps WHERE step = 'phones' AND state = 2") == [(20,)]


def test_it_holds_under_faults(served: Callable[..., str], tmp_path: Path) -> None:
    url = served(max_requests=100, per_seconds=0.5, faults={"500": 0.05, "429": 0.05, "reset-after": 0.05})
    path = houses(tmp_path / "a.csv", 60)
    code, out, err = load(url, path, "--rate", "100/0.5")
    for _ in range(5):  # a row may meet with more faults than it has tries
        if code:
            code, out, err = load(url, path, "--rate", "100/0.5", "--retry-failed")
    assert code == 0, (out, err)
    assert len(phones(url)) == 60
    assert sum(phone is not None for phone in phones(url).values()) == 30
    assert report_of(tmp_path / "out")["collisions"] == 0
