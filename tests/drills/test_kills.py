"""kill -9 at random moments, then --resume: nothing lost, nothing doubled, and the report of an undisturbed run."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import RUN_FILE
from leadconnector_async.run.journal import Journal
from tests.waiting import PATIENCE

COMMAND = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]
SERVER = """
import asyncio, json, sys
from leadconnector_async.sandbox import Sandbox

async def main():
    async with Sandbox(seed=int(sys.argv[1]), latency=(0.005, 0.05), max_requests=400, per_seconds=1.0,
                       allow_duplicates=sys.argv[2] == "1",
                       faults=json.loads(sys.argv[3])) as sandbox:
        print(sandbox.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps([sandbox.contacts(), dict(sandbox.writes), sandbox.requests]), flush=True)

asyncio.run(main())
"""
PEOPLE = 400
REPEATED = 40  # rows that come again later on, with another city


class Server:
    """A sandbox in a process of its own, with its books."""

    def __init__(self, seed: int, *, allow_duplicates: bool, has_faults: bool = True) -> None:
        faults = {"500": 0.02, "reset-after" if allow_duplicates else "reset-before": 0.02} if has_faults else {}
        command = [sys.executable, "-c", SERVER, str(seed), str(int(allow_duplicates)), json.dumps(faults)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    def books(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """All contacts, and how often each was written."""
        contacts, writes, _ = self._ask()
        return contacts, writes

    def arrivals(self) -> int:
        """How many calls came."""
        _, _, arrivals = self._ask()
        return arrivals

    def _ask(self) -> tuple[list[dict[str, Any]], dict[str, int], int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        contacts, writes, arrivals = json.loads(self._process.stdout.readline())
        return contacts, writes, arrivals

    def stop(self) -> None:
        self._process.communicate(timeout=PATIENCE)


def write_rows(path: Path, *, allow_duplicates: bool) -> list[dict[str, str]]:
    rows = [
        {
            "email": f"person{number % PEOPLE}@example.com",
            "firstName": f"P{number}",
            "createNewIfDuplicateAllowed": "true" if allow_duplicates else "",
        }
        for number in range(PEOPLE + (0 if allow_duplicates else REPEATED))
    ]
    rows.insert(7, {"email": "not an address", "firstName": "X", "createNewIfDuplicateAllowed": ""})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


def start(url: str, path: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "LEADCONNECTOR_TOKEN": "sandbox",
        "LEADCONNECTOR_LOCATION_ID": "L",
        "LEADCONNECTOR_BASE_URL": url,
    }
    command = [*COMMAND, "upsert", str(path), "--out", str(out), "--rate", "400/1", "--no-progress", *arguments]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def load_with_kills(server: Server, path: Path, out: Path, chance: random.Random, kills: int) -> int:
    """Load, killed at random moments, and return how often it was killed before it had ended."""
    killed = 0
    resume: tuple[str, ...] = ()
    for _ in range(kills):
        process = start(server.url, path, out, *resume)
        time.sleep(chance.uniform(0.3, 1.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        resume = ("--resume",)
    process = start(server.url, path, out, "--resume")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    return killed


def report_of(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    for name in (*_OF_THE_WAY, "inferred", "requests_in_doubt"):
        report.pop(name, None)
    return report


_OF_THE_WAY = "requests retries rate_limited started_at finished_at duration_seconds sessions".split()


def count_untimed(out: Path) -> int:
    with Journal(Database(out / RUN_FILE)) as journal:
        notes = [outcome.note or "" for outcome in journal.outcomes() if outcome.status == "updated"]
    return sum("may have created it" in note for note in notes)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drill(tmp_path: Path, seed: int, kills: int) -> None:
    path = tmp_path / "people.csv"
    rows = write_rows(path, allow_duplicates=False)
    server = Server(seed, allow_duplicates=False)
    killed = load_with_kills(server, path, tmp_path / "out", random.Random(seed), kills)
    contacts, writes = server.books()
    server.stop()
    undisturbed = Server(seed, allow_duplicates=False)
    process = start(undisturbed.url, path, tmp_path / "undisturbed")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    undisturbed.stop()

    report = report_of(tmp_path / "out")
    # The first call of a session may be cut off before any answer told the server's time: then nobody knows when it was
    # made, so that nothing is inferred from it.
    untimed = count_untimed(tmp_path / "out")
    assert untimed <= killed
    report["created"], report["updated"] = report["created"] + untimed, report["updated"] - untimed
    assert report == report_of(tmp_path / "undisturbed"), f"killed {killed} times"
    succeeded = table(tmp_path / "out" / "succeeded.csv")
    assert [row["firstName"] for row in succeeded] == [row["firstName"] for row in rows if row["firstName"] != "X"]
    # Each person once, with what the last row says; and no contact that a row does not name.
    assert len(contacts) == PEOPLE
    expected = {row["email"]: row["firstName"] for row in rows}
    assert all(contact["firstName"] == expected[contact["email"]] for contact in contacts)
    assert {row["contact_id"] for row in succeeded} == {contact["id"] for contact in contacts}
    created = Counter(row["contact_id"] for row in succeeded if row["new"] == "true")
    assert set(created.values()) == {1}
    assert len(created) == len(contacts) - untimed
    # None is applied twice but what was in flight when the load was killed.
    assert sum(writes.values()) <= len(succeeded) + killed * 64


def test_a_load_that_is_killed_is_told_as_if_it_had_not_been(tmp_path: Path) -> None:
    drill(tmp_path, seed=random.randrange(10**6), kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_load_that_is_killed_twice_over_and_over(tmp_path: Path, seed: int) -> None:
    drill(tmp_path, seed, kills=2)


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.slow) for seed in range(5)] + [99])
def test_what_is_not_safe_to_repeat_is_never_applied_twice(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "people.csv"
    rows = write_rows(path, allow_duplicates=True)
    server = Server(seed, allow_duplicates=True)
    killed = load_with_kills(server, path, tmp_path / "out", random.Random(seed), 2)
    contacts, _ = server.books()
    server.stop()
    report = report_of(tmp_path / "out")
    assert report["total"] == len(rows)
    assert report["not_attempted"] == 0
    emails = Counter(contact["email"] for contact in contacts)
    assert max(emails.values()) == 1, f"killed {killed} times"
    told = {row["email"]: row["status"] for row in table(tmp_path / "out" / "failed.csv")}
    for row in rows:
        if row["email"] not in emails:
            assert told[row["email"]] in ("unknown", "failed")
    assert report["created"] == sum(told.get(email) != "unknown" for email in emails)


@pytest.mark.parametrize(
    ("signum", "allow_duplicates", "times"),
    [
        # Killed again and again: a session first looks up the rows that the last one left in doubt.
        pytest.param(signal.SIGKILL, False, 3, id="safe to repeat, killed"),
        pytest.param(signal.SIGKILL, True, 2, id="not safe, killed"),
        pytest.param(signal.SIGINT, False, 2, id="safe to repeat, stopped at once"),
        pytest.param(signal.SIGINT, True, 2, id="not safe, stopped at once"),
    ],
)
def test_the_report_counts_the_calls_of_all_sessions(
    tmp_path: Path, signum: signal.Signals, *, allow_duplicates: bool, times: int
) -> None:
    path, out = tmp_path / "people.csv", tmp_path / "out"
    write_rows(path, allow_duplicates=allow_duplicates)
    server = Server(7, allow_duplicates=allow_duplicates, has_faults=False)  # a fault may have the service probed, too
    _load_with_stops(server, path, out, signum, times)


@pytest.mark.parametrize("selection", ["--only-new", "--fill-empty"])
def test_the_report_counts_the_calls_that_close_channels(tmp_path: Path, selection: str) -> None:
    path, closing, out = tmp_path / "people.csv", tmp_path / "closing.csv", tmp_path / "out"
    write_rows(path, allow_duplicates=False)
    closing.write_text("email,Opted Out\n" + "".join(f"person{number}@example.com,yes\n" for number in range(PEOPLE)))
    server = Server(7, allow_duplicates=False, has_faults=False)
    start(server.url, path, tmp_path / "first").communicate(timeout=PATIENCE)
    _load_with_stops(server, closing, out, signal.SIGKILL, 3, selection)


def _load_with_stops(server: Server, path: Path, out: Path, signum: signal.Signals, times: int, *options: str) -> None:
    """Load a file that is stopped some times, and compare the calls that its report counts with those that came."""
    already = server.arrivals()
    resume: tuple[str, ...] = ()
    for number in range(times):
        process = start(server.url, path, out, *options, *resume)
        before = server.arrivals()
        while process.poll() is None and server.arrivals() < before + (50 if number else 100):
            time.sleep(0.01)
        process.send_signal(signum)
        if signum == signal.SIGINT:
            process.send_signal(signum)  # the second cuts off the calls in flight
        process.communicate(timeout=PATIENCE)
        resume = ("--resume",)
    process = start(server.url, path, out, *options, "--resume")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, 1), err
    arrivals = server.arrivals() - already
    server.stop()
    report = json.loads((out / "report.json").read_text())
    in_doubt = report.get("requests_in_doubt", 0)
    assert report["sessions"] == times + 1
    assert report["requests"] - in_doubt <= arrivals <= report["requests"]
    assert in_doubt <= times * 64
    assert (in_doubt > 0) == (signum == signal.SIGKILL)
