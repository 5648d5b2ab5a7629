"""`--tags add` keeps the tags a contact has, `replace` overwrites them; what was not added is told, and can be gone on
with."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector, RateLimit
from leadconnector_async.models import Contact
from leadconnector_async.testing import RunningSandbox
from tests.cli.conftest import Run, change_run, load, start, table
from tests.waiting import PATIENCE, wait_until

QUICK = ("--rate", "5000/1")


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err
    return process.returncode, out, err


def tagged_people(path: Path, count: int, *, sets: int = 3) -> Path:
    rows = [f"p{number}@example.com,Set {number % sets};all" for number in range(count)]
    path.write_text("\n".join(["email,tags", *rows, ""]))
    return path


def stored(url: str, folder: Path) -> dict[str, Contact]:
    """Return the contacts of a run's rows that are written, by address."""

    async def read() -> dict[str, Contact]:
        pace = RateLimit(max_requests=50, per_seconds=0.5)
        async with LeadConnector("sandbox", location_id="L", base_url=url, rate_limit=pace) as client:
            rows = table(folder / "succeeded.csv")
            return {row["email"]: await client.contacts.get(row["contact_id"]) for row in rows}

    return asyncio.run(read())


def store_before(url: str, emails: list[str]) -> None:
    async def write() -> None:
        async with LeadConnector("sandbox", location_id="L", base_url=url, rate_limit=None) as client:
            for email in emails:
                await client.contacts.upsert({"email": email, "tags": ["kept"]})

    asyncio.run(write())


def report_of(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / "report.json").read_text())
    return found


@pytest.mark.parametrize(("rule", "before"), [((), {"kept"}), (("--tags", "replace"), set())])
def test_tags_that_a_contact_has_are_kept_unless_told_else(
    served: Callable[..., str], tmp_path: Path, rule: tuple[str, ...], before: set[str]
) -> None:
    url, path = served(max_requests=5_000, per_seconds=1), tagged_people(tmp_path / "a.csv", 12)
    store_before(url, ["p3@example.com"])
    code, out, err = load(url, path, *QUICK, *rule)
    assert code == 0, err
    contacts = stored(url, tmp_path / "out")
    assert {email: set(contact.tags or ()) for email, contact in contacts.items()} == {
        f"p{number}@example.com": {"all", f"set {number % 3}"} | (before if number == 3 else set())
        for number in range(12)
    }
    assert report_of(tmp_path / "out")["requests"] == (12 if rule else 12 + 3)
    assert report_of(tmp_path / "out")["partially_applied"] == 0
    assert "not applied" not in out
    assert ("Tags replace all" if rule else "Tags are added to those") in err


def test_a_load_of_fifty_sets_of_tags_takes_two_calls_more_in_a_hundred_at_most(
    served: Callable[..., str], tmp_path: Path
) -> None:
    url, path = served(max_requests=50_000, per_seconds=1), tagged_people(tmp_path / "a.csv", 5000, sets=50)
    code, _, err = load(url, path, "--rate", "50000/1")
    assert code == 0, err
    report = report_of(tmp_path / "out")
    assert (report["total"], report["created"]) == (5000, 5000)
    assert 5050 <= report["requests"] <= 5100


def test_rows_of_one_contact_get_the_tags_of_all(run: Run, served: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,tags\na@example.com,one\nb@example.com,\na@example.com,Two\na@example.com,ONE\n")
    url = served()
    code, _, err = load(url, path)
    assert code == 0, err
    contacts = stored(url, tmp_path / "out")
    assert set(contacts["a@example.com"].tags or ()) == {"one", "two"}
    assert not contacts["b@example.com"].tags


def test_the_load_holds_under_faults_and_a_tight_limit(served: Callable[..., str], tmp_path: Path) -> None:
    url = served(max_requests=100, per_seconds=0.5, faults={"500": 0.05, "429": 0.05, "reset-after": 0.05})
    path = tagged_people(tmp_path / "a.csv", 100)
    code, out, err = load(url, path, "--rate", "100/0.5")
    for _ in range(5):  # a row may meet with more faults than it has tries
        if code:
            code, out, err = load(url, path, "--rate", "100/0.5", "--retry-failed")
    assert code == 0, (out, err)
    contacts = {email: contact.tags or [] for email, contact in stored(url, tmp_path / "out").items()}
    assert len(contacts) == 100
    assert all(set(tags) == {"all", f"set {int(email[1:].split('@')[0]) % 3}"} for email, tags in contacts.items())
    report = report_of(tmp_path / "out")
    assert report["requests"] >= 100 + 3 + report["rate_limited"]
    assert report["partially_applied"] == 0


def adds_tags(sandbox: RunningSandbox) -> bool:
    return any("/tags" in call.path for call in sandbox.arrivals)


def test_what_was_cut_off_between_upserts_and_tags_goes_on(
    open_sandbox: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = open_sandbox(max_requests=1_000, per_seconds=1, latency=(0.04, 0.08))
    url, path = sandbox.url, tagged_people(tmp_path / "a.csv", 120, sets=40)
    process = start(url, path, "--rate", "1000/1", "--concurrency", "4")
    wait_until(lambda: adds_tags(sandbox), process)
    process.kill()
    process.communicate()
    code, out, err = load(url, path, "--rate", "1000/1", "--resume")
    assert code == 0, (out, err)
    report = report_of(tmp_path / "out")
    assert (report["total"], report["created"], report["partially_applied"]) == (120, 120, 0)
    # Calls that were cut off are counted; whether the last of them left, nobody knows.
    sent = sum(call.method == "POST" for call in sandbox.arrivals)
    assert report["requests"] - report.get("requests_in_doubt", 0) <= sent <= report["requests"]
    contacts = stored(url, tmp_path / "out")
    assert all(len(contact.tags or ()) == 2 for contact in contacts.values())
    code, _, _ = load(url, path, "--resume")
    assert code == 0
    assert report_of(tmp_path / "out")["requests"] == report["requests"]  # nothing was sent again


@pytest.mark.parametrize("how", ["interrupt", "day"])
def test_a_stop_in_order_tells_of_the_tags_left_and_goes_on(
    open_sandbox: Callable[..., RunningSandbox], tmp_path: Path, how: str
) -> None:
    path = tagged_people(tmp_path / "a.csv", 40, sets=40)
    if how == "day":
        url = open_sandbox(daily=60).url
        code, out, err = load(url, path)
        assert code == 3, (out, err)
    else:
        sandbox = open_sandbox(max_requests=50, per_seconds=5)
        url = sandbox.url
        process = start(url, path, "--rate", "50/5")  # so that it waits in the midst of the tags
        wait_until(lambda: adds_tags(sandbox), process)
        process.send_signal(signal.SIGINT)
        code, out, err = end(process)
        assert code == 130, (out, err)
    report = report_of(tmp_path / "out")
    left = report["partially_applied"]
    assert report["created"] == report["total"] == 40
    assert 0 < left < 40
    assert len(table(tmp_path / "out" / "not_applied.csv")) == left
    assert f"to add the tags of {left} rows" in out
    code, out, err = load(url, path, "--resume", "--rate", "1000/1")
    if how == "day":
        assert code == 3  # the day is still spent
        assert report_of(tmp_path / "out")["partially_applied"] == left
        return
    assert code == 0, (out, err)
    assert report_of(tmp_path / "out")["partially_applied"] == 0
    assert not (tmp_path / "out" / "not_applied.csv").exists()


def test_tags_that_the_service_refuses_are_told_and_tried_again_where_wanted(
    served: Callable[..., str], tmp_path: Path
) -> None:
    url, path = served(), tagged_people(tmp_path / "a.csv", 3, sets=1)
    assert load(url, path)[0] == 0
    contacts = stored(url, tmp_path / "out")

    async def delete(contact_id: str) -> None:
        async with LeadConnector("sandbox", location_id="L", base_url=url, rate_limit=None) as client:
            await client.contacts.delete(contact_id)

    asyncio.run(delete(contacts["p1@example.com"].id))
    with change_run(tmp_path / "out") as db:
        db.execute("DELETE FROM steps")  # as if it had not been written
    code, out, _ = load(url, path, "--resume")
    assert code == 1
    (lost,) = table(tmp_path / "out" / "not_applied.csv")
    assert (lost["email"], lost["field"], lost["stored"]) == ("p1@example.com", "tags", "")
    (failed,) = table(tmp_path / "out" / "failed.csv")
    assert (failed["email"], failed["status"]) == ("p1@example.com", "failed")
    told = f"its tags were not added: contact is deleted (the contact itself was created: {lost['contact_id']})"
    assert failed["error"] == told
    assert [row["email"] for row in table(tmp_path / "out" / "succeeded.csv")] == ["p0@example.com", "p2@example.com"]
    assert "1 x its tags were not added: contact is deleted" in out
    report = report_of(tmp_path / "out")
    assert (report["total"], report["created"], report["failed"], report["partially_applied"]) == (3, 2, 1, 1)
    assert load(url, path, "--resume")[0] == 1
    assert report_of(tmp_path / "out")["requests"] == report["requests"]
    assert load(url, path, "--retry-failed")[0] == 1
    assert report_of(tmp_path / "out")["requests"] == report["requests"] + 1
    again = tmp_path / "again"
    code, _, err = load(url, tmp_path / "out" / "failed.csv", "--out", str(again))  # the last --out counts
    assert code == 0, err
    assert report_of(again)["created"] == 1
    assert set(stored(url, again)["p1@example.com"].tags or ()) == {"all", "set 0"}


def test_a_run_does_not_go_on_with_another_rule(run: Run, tmp_path: Path) -> None:
    path = tagged_people(tmp_path / "a.csv", 2)
    assert run("upsert", path, "--sandbox", "--out", "out")[0] == 0
    code, _, err = run("upsert", path, "--sandbox", "--out", "out", "--resume", "--tags", "replace")
    assert code == 2
    assert "was made with another --tags" in err


def test_an_unknown_rule_is_one_sentence(run: Run, tmp_path: Path) -> None:
    code, _, err = run("upsert", tagged_people(tmp_path / "a.csv", 2), "--sandbox", "--tags", "merge")
    assert (code, err) == (2, "leadconnector: --tags 'merge' is not valid; write add or replace\n")
