"""The command line as a stranger runs it: files, exit codes, signals, one sentence for what is wrong."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leadconnector_async import BatchReport, Outcome
from leadconnector_async.cli import terminal as progress
from leadconnector_async.cli.options import read_faults, read_latency, read_rate
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.limits.limit import RateLimit
from leadconnector_async.migration.steps import StepProgress
from leadconnector_async.private_file import write_private
from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import COMMAND, Run, count, load, people, start, table
from tests.waiting import PATIENCE, wait_until

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "contacts.csv"
# ---------------------------------------------------------------------------------------------- upsert


def test_the_example_loads_and_its_counts_add_up(run: Run, tmp_path: Path) -> None:
    code, out, err = run("upsert", EXAMPLE, "--sandbox", "--out", "out", "--rate", "100/0.3")
    assert code == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    rows = table(EXAMPLE)
    statuses = "created updated failed skipped unknown not_attempted".split()
    assert report["total"] == len(rows) == sum(report[status] for status in statuses) >= 200
    assert report["failed"] >= 8
    assert report["updated"] >= 10
    assert report["rate_limited"] == 0
    succeeded, failed = table(tmp_path / "out" / "succeeded.csv"), table(tmp_path / "out" / "failed.csv")
    assert (len(succeeded), len(failed)) == (report["created"] + report["updated"], report["failed"])
    assert list(succeeded[0])[-4:] == ["contact_id", "new", "trace_id", "inferred"]
    assert list(failed[0])[-3:] == ["status", "error", "trace_id"] or None in failed[0]
    assert sum(error["count"] for error in report["errors"]) == report["failed"]
    assert f"{report['total']} rows in" in out
    assert "upsert out/failed.csv" in out
    assert "ignored columns: Record ID" in err
    assert "Traceback" not in err
    assert {row["new"] for row in succeeded} == {"true", "false"}


def test_what_failed_is_corrected_and_loaded_again(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email,dnd\na@example.com,maybe\nb@example.com,no\n")
    assert run("upsert", path, "--sandbox", "--out", "one")[0] == 1
    failed = tmp_path / "one" / "failed.csv"
    failed.write_text(failed.read_text().replace(",maybe,", ",yes,"))
    assert run("upsert", failed, "--sandbox", "--out", "two")[0] == 0
    assert [row["email"] for row in table(tmp_path / "two" / "succeeded.csv")] == ["a@example.com"]
    columns = ["email", "dnd", "contact_id", "new", "trace_id", "inferred"]
    assert list(table(tmp_path / "two" / "succeeded.csv")[0]) == columns


def test_several_files_and_json_lines(run: Run, tmp_path: Path) -> None:
    lines = tmp_path / "people.jsonl"
    lines.write_text('{"email":"j@example.com","tags":["a"]}\n')
    code, out, _ = run("upsert", people(tmp_path / "a.csv", 3), lines, "--sandbox", "--out", "out")
    assert code == 0
    assert "4 rows" in out
    assert not (tmp_path / "out" / "failed.csv").exists()


def test_rows_of_two_kinds_of_files_are_all_in_what_to_load_next(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("email,dnd\na@example.com,maybe\n")
    (tmp_path / "b.jsonl").write_text('{"email":"b@example.com","dnd":"maybe"}\n')
    code, out, _ = run("upsert", "a.csv", "b.jsonl", "--sandbox", "--out", "out")
    assert (code, "upsert out/failed.csv" in out) == (1, True)
    assert len(table(tmp_path / "out" / "failed.csv")) == 2


def test_results_go_to_a_folder_named_by_time(run: Run, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 1), "--sandbox")[0] == 0
    assert [bool(re.match(r"leadconnector-run-\d{8}-\d{6}$", path.name)) for path in tmp_path.glob("lead*")] == [True]


def test_a_header_alone_is_done_at_once(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("upsert", people(tmp_path / "a.csv", 0), "--sandbox")
    assert (code, "0 rows" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gone.csv", "--sandbox"], "gone.csv: there is no such file"),
        (["people.csv"], "there is no token: set LEADCONNECTOR_TOKEN"),
        (["people.csv", "--token-file", "gone"], "--token-file gone: cannot be read"),
        (["people.csv", "--token-file", "empty"], "--token-file empty: is empty"),
        (["people.csv", "--token-file", "token"], "there is no location: give --location"),
        (["people.csv", "--sandbox", "--rate", "fast"], "--rate 'fast' is not a rate"),
        (["people.csv", "--sandbox", "--rate", "0/10"], "both numbers must be above 0"),
        (["people.csv", "--sandbox", "--out", "full"], "full: is not empty"),
        (["people.csv", "--sandbox", "--out", "people.csv/x"], "cannot hold the results"),
        (["people.csv", "bad.csv", "--sandbox"], "bad.csv: no column is known"),
    ],
)
def test_wrong_use_is_one_sentence_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    people(tmp_path / "people.csv", 1)
    (tmp_path / "bad.csv").write_text("x,y\n1,2\n")
    write_private(tmp_path / "empty", " \n")
    write_private(tmp_path / "token", "pit-x\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "report.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("upsert", *arguments)
    assert code == 2
    assert expected in err
    assert err.startswith("leadconnector: ")
    assert err.count("\n") == 1
    assert not out
    assert sorted(tmp_path.rglob("*")) == before


def test_an_address_that_is_not_safe_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-very-secret")
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", "http://crm.example.com")
    code, _, err = run("upsert", people(tmp_path / "a.csv", 1), "--location", "L")
    assert (code, "use https" in err, "secret" in err) == (2, True, False)


@pytest.mark.parametrize("option", [["--concurrency", "0"], ["--daily", "0"], ["--nonsense"], ["--token", "x"]])
def test_options_that_there_are_not(run: Run, tmp_path: Path, option: list[str]) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 1), "--sandbox", *option)[0] == 2


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out.startswith("leadconnector-async ")) == (0, True)


# ---------------------------------------------------------------------------------------------- a real account


def test_a_load_over_the_environment(served: Callable[..., str], tmp_path: Path) -> None:
    code, out, err = load(served(), people(tmp_path / "a.csv", 3))
    assert code == 0, err
    assert "3 created" in out
    assert "webhooks and workflows" in err


def test_a_refused_token_stops_the_load(served: Callable[..., str], tmp_path: Path) -> None:
    code, out, err = load(served(), people(tmp_path / "a.csv", 500), token="pit-wrong-secret")
    assert code == 3, err
    assert "500 not attempted" in out
    assert "Stopped early: the service refused the token (401: Invalid Private Integration token" in out
    assert len(table(tmp_path / "out" / "failed.csv")) == 500
    for text in (out, err, *(path.read_text(errors="replace") for path in (tmp_path / "out").iterdir())):
        assert "wrong-secret" not in text


def test_a_spent_day_stops_the_load_and_the_rest_goes_on_later(served: Callable[..., str], tmp_path: Path) -> None:
    code, out, _ = load(served(daily=7), people(tmp_path / "a.csv", 20), "--concurrency", "1")
    assert code == 3
    assert "has spent its calls of this day; they start anew in 24 h 0 min" in out
    assert (len(table(tmp_path / "out" / "succeeded.csv")), len(table(tmp_path / "out" / "failed.csv"))) == (7, 13)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_stops_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with run_sandbox(latency=(0.1, 0.2)) as sandbox:
        process = start(sandbox.url, people(tmp_path / "a.csv", 1_000), "--concurrency", "5")
        wait_until(lambda: sandbox.applied, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["total"] == 1_000
    assert report["created"] > 0
    assert report["unknown"] == report["failed"] == 0
    assert len(table(tmp_path / "out" / "succeeded.csv")) == report["created"]
    assert len(table(tmp_path / "out" / "failed.csv")) == report["not_attempted"] == 1_000 - report["created"]
    assert "Traceback" not in err
    assert "not attempted" in out


def test_two_signals_stop_at_once(tmp_path: Path) -> None:
    has_come = threading.Event()

    async def never_answer(_: float) -> None:
        has_come.set()
        await asyncio.Event().wait()

    with run_sandbox(latency=(1.0, 1.0), sleep=never_answer) as sandbox:
        process = start(sandbox.url, people(tmp_path / "a.csv", 5_000), "--concurrency", "5")
        wait_until(has_come.is_set, process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "Stopping" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["unknown"] == 1  # the first call goes alone
    assert report["not_attempted"] == 4_999
    failed = table(tmp_path / "out" / "failed.csv")
    assert {row["email"] for row in failed} == {row["email"] for row in table(tmp_path / "a.csv")}
    assert len(failed) == report["total"] == 5_000


def call(arguments: list[object], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as `main` runs it, its streams set up too."""
    command = [*COMMAND, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": False, **options}
    return subprocess.run(command, **options)  # type: ignore[no-any-return]


def test_a_terminal_of_another_encoding_shows_escapes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,dnd\na@example.com,mäybe\n", encoding="utf-8")
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = call(["upsert", path, "--sandbox", "--out", tmp_path / "out"], env=environ)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert r"m\xe4ybe" in done.stdout
    assert r"m\xe4ybe" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_nobody_reads_ends_no_load(tmp_path: Path, stream: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,ignored\na@example.com,x\n")
    with Path("/dev/full").open("w") as full:
        done = call(["upsert", path, "--sandbox", "--out", tmp_path / "out"], **{stream: full})
    assert done.returncode == 0
    assert "Traceback" not in (done.stdout or "") + (done.stderr or "")
    assert len(table(tmp_path / "out" / "succeeded.csv")) == 1


def limited_to(size: int, path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Load on a disk on which no file can grow beyond a size."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); "
    command = [*COMMAND[:-1], limit + COMMAND[-1], "upsert", str(path), "--sandbox", "--rate", "1000/1", *arguments]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)


def test_a_full_disk_stops_the_load_in_order_and_it_goes_on_later(run: Run, tmp_path: Path) -> None:
    path = people(tmp_path / "a.csv", 2_000)
    done = limited_to(300_000, path, "--out", "out")
    assert (done.returncode, done.stderr) == (3, "")
    assert "the run cannot be written" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["total"] == 2_000
    assert 0 < report["created"] < 2_000
    command = re.search(r"leadconnector (upsert .* --resume .*--sandbox)$", done.stdout, re.M)
    assert command is not None
    code, out, _ = run(*command[1].split(), "--rate", "5000/1")
    assert code == 0
    assert "2,000 rows in" in out
    assert "over 2 sessions" in out


def test_a_disk_that_is_full_from_the_start_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Whether it is full at once, or while the rows are prepared."""
    for size, rows in ((5_000, 400), (50_000, 2_000), (150_000, 2_000)):
        done = limited_to(size, people(tmp_path / "a.csv", rows), "--out", "out")
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"leadconnector: .*the run cannot be written \(.*\).*\n", done.stderr)
        assert not (tmp_path / "out").exists()


def test_results_that_cannot_be_written_are_told_in_a_sentence(served: Callable[..., str], tmp_path: Path) -> None:
    url = served()
    process = start(url, people(tmp_path / "a.csv", 300))
    wait_until(lambda: count(url), process)
    shutil.rmtree(tmp_path / "out")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, "Traceback" in err) == (3, False), err
    assert "Stopped early: the results in" in out


def test_progress_turns_into_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    report = BatchReport()
    with progress.open_progress(70, report, 10.0, lambda: 199_930, is_wanted=True) as lines:
        for index in range(2):
            time.sleep(0.001)
            report.add(outcome := Outcome(index=index, status="created"))
            lines.update(outcome)
        time.sleep(0.001)
        lines.update_step(StepProgress("setting shared phones", 7, 10))
        time.sleep(0.001)
        lines.update_step(StepProgress("adding tags", 1_250, None))
    pattern = r"2/70 rows, 10.0 a second, 0:07 to go, 2 created, 0 updated, 0 failed, 199,930 calls left today"
    told = capsys.readouterr().err.splitlines()
    assert re.fullmatch(pattern, told[1])
    assert told[2:] == [
        f"{step}, 199,930 calls left today" for step in ("setting shared phones: 7/10 rows", "adding tags: 1,250 rows")
    ]


def test_the_bar_shows_why_a_load_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", partial(Console, file=screen, force_terminal=True, width=150))
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(screen, "isatty", lambda: True)
    report = BatchReport()
    with progress.open_progress(70, report, 10.0, lambda: 199_930, is_wanted=True):
        report.paused = "https://crm.example.com does not answer (503: Bad\x1b Gateway)"
    assert "paused: https://crm.example.com does not answer (503: Bad Gateway)" in screen.getvalue()


INTERRUPT = """
import sys
MODULE = sys.argv.pop(1)
class Interrupt:
    def find_spec(self, name, *_):
        if name == MODULE:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from leadconnector_async.cli import main
main()
"""


@pytest.mark.parametrize(
    "module",
    ["typer", "rich", "aiohttp", "leadconnector_async.cli.commands", "leadconnector_async.migration.plan", "msgspec"],
)
def test_ctrl_c_during_import_prints_no_traceback(tmp_path: Path, module: str) -> None:
    command = [sys.executable, "-c", INTERRUPT, module, "plan", "a.csv"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.slow
def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    arguments = ["upsert", str(people(tmp_path / "a.csv", 250)), "--sandbox", "--rate", "100/1", "--out", "x"]
    on_a_terminal = f"import pty; pty.spawn({[*COMMAND, *arguments]!r})"
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    command = [sys.executable, "-c", on_a_terminal]
    shown = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert "250/250" in shown.stdout
    assert "250 created, 0 updated, 0 failed" in shown.stdout
    assert "calls left today" in shown.stdout


# ---------------------------------------------------------------------------------------------- sandbox


def test_the_sandbox_tells_its_address_first() -> None:
    options = ["--window", "sliding", "--fault", "500=0.1", "--seed", "1", "--latency", "0-1ms", "--daily", "9"]
    with subprocess.Popen([*COMMAND, "sandbox", "--port", "0", *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_right_after_the_address_ends_the_sandbox_in_order(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--fault", "earthquake=0.5"], "unknown fault 'earthquake'; known are 500"),
        (["--fault", "500"], "write kind=probability"),
        (["--fault", "500=2"], "must be from 0 to 1"),
        (["--latency", "500-50"], "write least-most, such as 0.05-0.5 or 50-500ms"),
        (["--window", "round"], "it is one of fixed, aligned, sliding"),
        (["--profile", "gold"], "it is one of standard, trial"),
        (["--search-lag", "-1"], "it is a time in seconds, 0 or more"),
        (["--data", str(EXAMPLE)], "is no data of a sandbox"),
        (["--data", "nowhere/data"], "the sandbox's data file cannot be opened"),
    ],
)
def test_a_sandbox_that_makes_no_sense(run: Run, arguments: list[str], expected: str) -> None:
    code, _, err = run("sandbox", "--port", "0", *arguments)
    assert code == 2
    assert expected in err


def test_a_port_in_use(run: Run, served: Callable[..., str]) -> None:
    port = served().rsplit(":", 1)[1]
    code, _, err = run("sandbox", "--port", port)
    assert (code, f"port {port} cannot be used" in err) == (2, True)


def test_a_sandbox_keeps_its_data_for_the_next(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [*COMMAND, "sandbox", "--port", "0", "--data", str(data)]
    for updated in (0, 3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            code, _, err = run("sandbox", "--port", "0", "--data", data)
            assert (code, "another sandbox works on this data" in err, "Traceback" in err) == (2, True, False)
            path, out = people(tmp_path / f"{updated}.csv", 3), tmp_path / f"out-{updated}"
            code, _, err = load(url, path, "--out", str(out))
            process.kill()
        report = json.loads((out / "report.json").read_text())
        assert (code, report["updated"], report["total"]) == (0, updated, 3), err


# ---------------------------------------------------------------------------------------------- options


def test_options() -> None:
    assert read_rate(None, None) == RateLimit()
    assert read_rate("25/0.5", 7) == RateLimit(max_requests=25, per_seconds=0.5, daily=7)
    assert read_latency("0.05-0.5") == (0.05, 0.5)
    assert read_latency("50-500ms") == pytest.approx((0.05, 0.5))
    assert read_latency("50-500") == pytest.approx((0.05, 0.5))
    assert read_latency("1-2s") == (1.0, 2.0)
    assert read_latency(None) == (0.0, 0.0)
    assert read_faults(["500=0.1", "reset-after=1"]) == {"500": 0.1, "reset-after": 1.0}


@pytest.mark.parametrize("wrong", ["0.5-0.1", "x", "1", "-1-2"])
def test_latencies_that_are_none(wrong: str) -> None:
    with pytest.raises(ConfigurationError):
        read_latency(wrong)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('no typer', name='typer')")
    environ: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ended = subprocess.run([*COMMAND, "whoami"], env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, "pip install 'leadconnector-async[cli]'" in ended.stderr) == (2, True)
