"""Going on with a load from the command line: what was done stays done, and the result files cover all of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leadconnector_async.private_file import write_private
from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import Run, count, end, load, people, port_of, start, table
from tests.waiting import wait_until


def test_the_same_command_with_resume_goes_on(served: Callable[..., str], tmp_path: Path) -> None:
    path, url = people(tmp_path / "a.csv", 300), served(latency=(0.02, 0.04), max_requests=1_000, per_seconds=1)
    process = start(url, path, "--concurrency", "4", "--rate", "1000/1")
    wait_until(lambda: count(url), process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out" / "report.json").exists()
    code, out, err = load(url, path, "--resume", "--rate", "1000/1")
    assert code == 0, err
    assert "Going on with an earlier run." in err
    assert re.search(r"300 rows in .* s over 2 sessions: 300 created", out)
    assert [row["email"] for row in table(tmp_path / "out" / "succeeded.csv")] == [row["email"] for row in table(path)]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sessions"] == 2
    code, again, _ = load(url, path, "--resume")
    assert code == 0
    assert "300 created" in again


def test_without_out_the_latest_run_of_this_load_goes_on(run: Run, tmp_path: Path) -> None:
    path = people(tmp_path / "a.csv", 3)
    code, _, err = run("upsert", path, "--sandbox", "--resume")
    assert code == 2
    assert "found no run of this load to resume" in err
    assert run("upsert", path, "--sandbox")[0] == 0
    (first,) = tmp_path.glob("leadconnector-run-*")
    assert run("upsert", people(tmp_path / "b.csv", 4), "--sandbox", "--out", f"{first}9")[0] == 0
    (tmp_path / "leadconnector-run-99999999").mkdir()
    (tmp_path / "leadconnector-run-99999998").mkdir()
    (tmp_path / "leadconnector-run-99999998" / "journal.sqlite3").write_text("no journal")
    code, out, _ = run("upsert", path, "--sandbox", "--resume")
    assert code == 0
    assert f"Results: {first.name}/" in out


def test_failed_rows_are_sent_again_where_that_is_wanted(
    served: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = people(tmp_path / "a.csv", 30)
    path.write_text(path.read_text() + "no address,X\n")
    with run_sandbox(faults={"422-created": 1}) as sandbox:  # every row is refused, though it is written
        assert load(sandbox.url, path)[0] == 1
    good = served(port=port_of(sandbox.url))
    code, out, err = load(good, path, "--resume")
    assert code == 1, err
    assert "31 failed" in out
    code, out, err = load(good, path, "--retry-failed")
    assert code == 1, err
    assert "30 created, 1 failed" in out
    assert [row["email"] for row in table(tmp_path / "out" / "failed.csv")] == ["no address"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("file", "another file, or the file has changed"),
        ("location", "is for location L1, but the client is for L2"),
        ("sandbox", "was loaded into the sandbox, but the settings name services.leadconnectorhq.com"),
    ],
)
def test_a_run_of_another_load_is_refused(run: Run, tmp_path: Path, change: str, sentence: str) -> None:
    path = people(tmp_path / "a.csv", 3)
    assert run("upsert", path, "--sandbox", "--out", "out", "--location", "L1")[0] == 0
    before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    if change == "file":
        people(path, 4)
    if change == "sandbox":
        token = tmp_path / "token"
        write_private(token, "pit-x")
        arguments: list[object] = ["--token-file", token, "--location", "L1"]
    else:
        arguments = ["--sandbox", "--location", "L2" if change == "location" else "L1"]
    code, _, err = run("upsert", path, "--out", "out", "--resume", *arguments)
    assert code == 2
    assert sentence in err
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("ending", ["vanishes", "grows", "comes back"])
def test_a_source_may_vanish_and_must_not_change(served: Callable[..., str], tmp_path: Path, ending: str) -> None:
    path, url = people(tmp_path / "a.csv", 100), served(latency=(0.02, 0.04), max_requests=1_000, per_seconds=1)
    process = start(url, path, "--concurrency", "2")
    wait_until(lambda: count(url), process)
    process.kill()
    process.communicate()
    done, kept = count(url), path.read_bytes()
    path.unlink()
    if ending == "grows":
        path.write_bytes(kept + b"one@example.com,One\n")
    if ending == "comes back":
        path.write_bytes(kept)
    code, _, err = load(url, path, "--resume")
    if ending == "grows":
        assert (code, "was made for another file, or the file has changed since" in err) == (2, True)
        assert count(url) == done
    else:
        assert (code, count(url)) == (0, 100), err
        assert len(table(tmp_path / "out" / "succeeded.csv")) == 100


def test_a_run_is_not_overwritten_and_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    path = people(tmp_path / "a.csv", 3)
    assert run("upsert", path, "--sandbox", "--out", "out")[0] == 0
    code, _, err = run("upsert", path, "--sandbox", "--out", "out")
    assert code == 2
    assert "go on with the run in it (--resume)" in err


def test_a_second_process_is_refused(served: Callable[..., str], tmp_path: Path) -> None:
    path, url = people(tmp_path / "a.csv", 100), served(latency=(1.0, 2.0))
    first = start(url, path, "--concurrency", "1")
    wait_until(lambda: count(url), first)
    code, _, err = load(url, path, "--resume")
    assert code == 2
    assert "another process, or another load in this one, is using this run" in err
    first.kill()
    first.communicate()


def test_rows_that_met_another_persons_contact_are_listed_side_by_side(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "office.csv"
    path.write_text("email,phone\nann@b.co,+16175550100\ncarl@b.co,\nbob@b.co,+16175550100\n")
    code, out, _ = run("upsert", path, "--sandbox", "--out", "out", "--phone-conflict", "allow")
    assert code == 0
    assert "1 row overwrote the contact of another person in this load (see collisions.csv)" in out
    one, other = table(tmp_path / "out" / "collisions.csv")
    assert (one["email"], other["email"]) == ("ann@b.co", "bob@b.co")
    assert one["contact_id"] == other["contact_id"]
    assert (one["row"], one["collision_with"]) == (f"{path}, row 2", f"{path}, row 4")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["collisions"] == 1


def test_several_files_and_lines_go_on_as_one_load(served: Callable[..., str], tmp_path: Path) -> None:
    lines = tmp_path / "b.jsonl"
    lines.write_text("".join(f'{{"email": "line{n}@example.com"}}\n' for n in range(60)))
    path, url = people(tmp_path / "a.csv", 60), served(latency=(0.02, 0.04), max_requests=1_000, per_seconds=1)
    process = start(url, path, str(lines), "--concurrency", "2")
    wait_until(lambda: count(url), process)
    process.send_signal(signal.SIGINT)
    code, out, _ = end(process)
    assert code == 130
    assert re.search(r"Next, for the \d+ rows left: leadconnector upsert .*a.csv .*b.jsonl --out .* --resume", out)
    assert load(url, path, str(lines), "--resume")[0] == 0
    assert len(table(tmp_path / "out" / "succeeded.csv")) == 120
    assert not (tmp_path / "out" / "failed.csv").exists()
    assert load(url, lines, str(path), "--resume")[0] == 2  # another order is another load


def test_a_spent_day_is_waited_for_where_that_is_wanted(tmp_path: Path) -> None:
    with run_sandbox(daily=7) as sandbox:
        process = start(sandbox.url, people(tmp_path / "a.csv", 20), "--wait", "--concurrency", "1")
        wait_until(lambda: len(sandbox.applied) == 7, process)
        time.sleep(1.0)
        assert process.poll() is None  # it waits for the next day
        process.send_signal(signal.SIGINT)
        code, out, _ = end(process)
    assert code == 130
    assert "7 created, 13 not attempted" in out


def test_the_run_of_this_location_goes_on_whatever_else_lies_there(
    served: Callable[..., str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = people(tmp_path / "a.csv", 3)
    names = []
    for location in ("LA", "LB"):
        assert (
            run("upsert", path, "--sandbox", "--location", location, "--out", f"leadconnector-run-{location}")[0] == 0
        )
        names.append(f"leadconnector-run-{location}")
    for location, name in zip(("LA", "LB"), names, strict=True):
        code, out, _ = run("upsert", path, "--sandbox", "--location", location, "--resume")
        assert code == 0
        assert f"Results: {name}/" in out
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-x")
    for location in ("LA", "LB"):  # the service itself has no such run
        code, _, err = run("upsert", path, "--location", location, "--resume")
        assert (code, "found no run of this load to resume here" in err) == (2, True)
    for name, value in {"TOKEN": "sandbox", "BASE_URL": served()}.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    assert run("upsert", path, "--location", "LA", "--out", "leadconnector-run-0")[0] == 0
    code, out, err = run("upsert", path, "--location", "LA", "--resume")
    assert (code, "Results: leadconnector-run-0/" in out) == (0, True), err


def wait_until_open(process: subprocess.Popen[str], path: Path) -> None:
    """Wait until a process reads a file."""
    while process.poll() is None:
        opened = Path(f"/proc/{process.pid}/fd").glob("*")
        if any(link.is_symlink() and os.path.realpath(link) == str(path) for link in opened):
            return
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_file_is_looked_through_sends_nothing(
    served: Callable[..., str], tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write("email\n")
        file.writelines(f"person{row}@example.com\n" for row in range(1_000_000))
    process = start(served(), path)
    wait_until_open(process, path)
    process.send_signal(number)
    code, out, err = end(process)
    assert code == 130
    assert "Nothing was sent." in err or "0 calls, " in out


def test_the_command_to_go_on_with_is_whole(tmp_path: Path) -> None:
    path = people(tmp_path / "my contacts.csv", 200)
    with run_sandbox(latency=(0.05, 0.06)) as sandbox:
        process = start(sandbox.url, path, "--rate", "90/10", "--concurrency", "2", "--location", "L9")
        wait_until(lambda: sandbox.applied, process)
        process.send_signal(signal.SIGINT)
        code, out, _ = end(process)
    assert code == 130
    command = re.search(r"leadconnector (upsert .*)$", out, re.M)
    assert command is not None
    words = shlex.split(command[1])
    assert words[1] == str(path)
    assert {"--resume", "--location", "L9", "--rate", "90/10", "--concurrency", "2"} <= set(words)
