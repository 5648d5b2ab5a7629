"""A service that is down while a command is at work: the command waits, and loses nothing; where it ends early all the
same, the command that it names goes on."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from leadconnector_async import LeadConnector, RetryPolicy
from leadconnector_async.bulk import breaker
from leadconnector_async.contacts.locations import Locations
from leadconnector_async.errors import ServerError
from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.cli.conftest import COMMAND, Run, people, stored, table
from tests.waiting import PATIENCE

QUICK = ("--rate", "10000/1")
COUNT = 24


class Case(Struct, frozen=True):
    """A command, what comes before it, and what must be so after it.

    Attributes:
        command: Its words.
        before: Commands before it.
        check: Looks at what is there after it; told the service's address and the folder.
        calls: How many calls it makes at least that are worth to be disturbed, from which one on.
        options: Of the sandbox.
        code: Its exit code.
    """

    command: list[str]
    check: Callable[[str, Path], None]
    before: list[list[str]] = []
    calls: tuple[int, int] = (0, COUNT)
    options: dict[str, Any] = {}
    code: int = 0


def emails(url: str) -> set[str | None]:
    return {contact.email for contact in stored(url)}


def everybody(count: int = COUNT) -> set[str | None]:
    return {f"person{number}@example.com" for number in range(count)}


def report_of(folder: Path, name: str = "report") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / f"{name}.json").read_text())
    return found


def check_upsert(url: str, folder: Path) -> None:
    assert emails(url) == everybody()
    report = report_of(folder)
    assert (report["total"], report["failed"], report["unknown"], report["not_attempted"]) == (COUNT, 0, 0, 0)


def check_tags(url: str, folder: Path) -> None:
    check_upsert(url, folder)
    assert all(len(contact.tags or []) == 2 for contact in stored(url))
    assert report_of(folder)["partially_applied"] == 0


def check_phones(url: str, folder: Path) -> None:
    check_upsert(url, folder)
    assert all(contact.phone for contact in stored(url))
    assert report_of(folder)["partially_applied"] == 0


def check_verify(_: str, folder: Path) -> None:
    report = report_of(folder, "verify")
    assert (report["loaded"], report["compared"], report["differing"], report["unread"]) == (COUNT, COUNT, 0, 0)
    assert table(folder / "out" / "verify.csv") == []


def check_undo(url: str, folder: Path) -> None:
    assert stored(url) == []
    report = report_of(folder, "undo")
    assert (report["deleted"] + report["gone"], report["failed"], report["kept"], report["left"]) == (COUNT, 0, 0, 0)


def check_restore(url: str, folder: Path) -> None:
    report = report_of(folder, "undo")
    assert (report["failed"], report["kept"], report["partly"], report["left"]) == (0, 0, 0, 0)
    assert {contact.first_name for contact in stored(url)} == {"Old"}
    assert {contact.city for contact in stored(url)} == {None, ""} or all(not one.city for one in stored(url))


def check_selection(url: str, folder: Path) -> None:
    assert emails(url) == everybody()
    report = report_of(folder)
    assert (report["failed"], report["skipped"], report["created"]) == (0, 12, 12)


def check_nothing(url: str, _: Path) -> None:
    assert emails(url) == everybody(12)


def check_export(url: str, folder: Path) -> None:
    assert {row["email"] for row in table(folder / "all.csv")} == emails(url)
    assert len(table(folder / "all.csv")) == COUNT


LOAD = ["upsert", "all.csv", "--out", "out", *QUICK]
OLD = ["upsert", "old.csv", "--out", "old", *QUICK]
HALF = ["upsert", "half.csv", "--out", "half", *QUICK]
CASES = {
    "upsert": Case(LOAD, check_upsert),
    "tags": Case(["upsert", "tags.csv", "--out", "out", *QUICK], check_tags, calls=(COUNT, 6)),
    "phones": Case(
        ["upsert", "phones.csv", "--out", "out", *QUICK],
        check_phones,
        calls=(COUNT + 1, COUNT // 2),
        options={"allow_duplicates": True},
    ),
    "verify": Case(["verify", "out", *QUICK], check_verify, [LOAD]),
    "verify a sample": Case(["verify", "out", "--sample", "100%", *QUICK], check_verify, [LOAD]),
    "undo": Case(["undo", "out", "--yes", *QUICK], check_undo, [LOAD], calls=(0, 2 * COUNT)),
    "undo by force": Case(["undo", "out", "--yes", "--force", *QUICK], check_undo, [LOAD]),
    "restore": Case(
        ["undo", "out", "--yes", *QUICK], check_restore, [OLD, [*LOAD, "--snapshot"]], calls=(0, 2 * COUNT)
    ),
    "snapshot": Case([*LOAD, "--snapshot"], check_upsert, [OLD], calls=(0, 4)),
    "only new": Case([*LOAD, "--only-new"], check_selection, [HALF], calls=(0, 3)),
    "compare": Case(["plan", "all.csv", "--compare", *QUICK], check_nothing, [HALF], calls=(0, 3)),
    "dry run": Case(["upsert", "all.csv", "--dry-run", "--only-new", *QUICK], check_nothing, [HALF], calls=(0, 3)),
    "export": Case(["export", "exported.csv", *QUICK], lambda url, folder: None, [LOAD], calls=(0, 4)),
    "export by id": Case(["export", "exported.csv", "--by-id", *QUICK], lambda url, folder: None, [LOAD]),
}


def be_quick(monkeypatch: pytest.MonkeyPatch, *, max_outage: float) -> None:
    """Have commands wait for the service a thousandth of the time."""
    policy = RetryPolicy(max_attempts=2, first_delay=0.005, max_outage=max_outage)
    monkeypatch.setitem(LeadConnector.__init__.__kwdefaults__ or {}, "retry", policy)
    monkeypatch.setattr(breaker, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(breaker, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def start(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RunningSandbox]]:
    """Start sandboxes, and write the files of all cases."""
    lines = [f"person{number}@example.com" for number in range(COUNT)]
    people(Path("all.csv"), COUNT)
    people(Path("half.csv"), 12)
    Path("old.csv").write_text("\n".join(["email,firstName", *(f"{line},Old" for line in lines), ""]))
    tagged = (f"{line},set {number % 6};all" for number, line in enumerate(lines))
    Path("tags.csv").write_text("\n".join(["email,tags", *tagged, ""]))
    shared = (f"{line},+1617555{number // 2:04}" for number, line in enumerate(lines))
    Path("phones.csv").write_text("\n".join(["email,phone", *shared, ""]))
    with ExitStack() as stack:

        def start_one(**options: Any) -> RunningSandbox:
            sandbox = stack.enter_context(run_sandbox(max_requests=100_000, per_seconds=1, **options))
            monkeypatch.setenv("LEADCONNECTOR_TOKEN", "sandbox")
            monkeypatch.setenv("LEADCONNECTOR_LOCATION_ID", "L")
            monkeypatch.setenv("LEADCONNECTOR_BASE_URL", sandbox.url)
            return sandbox

        yield start_one


def begin(case: Case, run: Run) -> None:
    for words in case.before:
        code, out, err = run(*words)
        assert code == 0, (words, out, err)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9], ids=["at first", "in the midst", "near the end"])
@pytest.mark.parametrize("name", CASES)
def test_an_outage_that_ends_loses_nothing(
    run: Run,
    start: Callable[..., RunningSandbox],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    part: float,
) -> None:
    case = CASES[name]
    sandbox = start(**case.options)
    begin(case, run)
    be_quick(monkeypatch, max_outage=PATIENCE)
    sandbox.fail_next(None, case.calls[0] + int(part * case.calls[1]))
    sandbox.fail_next("503-html", 90)
    code, out, err = run(*case.command)
    assert code == case.code, (out, err)
    assert sandbox.ask(lambda one: len(one._faults._script)) == 0, "it was no outage"
    case.check(sandbox.url, tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_an_outage_that_lasts_ends_it_and_the_command_that_it_names_goes_on(
    run: Run, start: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    case = CASES[name]
    sandbox = start(**case.options)
    begin(case, run)
    be_quick(monkeypatch, max_outage=0.2)
    sandbox.fail_next(None, case.calls[0] + case.calls[1] // 2)
    sandbox.fail_next("503-html", 100_000)
    code, out, err = run(*case.command)
    assert code == 3, (out, err)
    assert "the service has answered no call for 0 s" in out + err
    sandbox.ask(lambda one: one._faults._script.clear())
    if name == "undo":
        report = report_of(tmp_path, "undo")
        assert 0 < report["deleted"] < COUNT
        assert (report["failed"], report["deleted"] + report["left"]) == (0, COUNT)
    if name == "verify":
        report = report_of(tmp_path, "verify")
        assert 0 < report["compared"] < COUNT
        assert (report["differing"], report["unread"], table(tmp_path / "out" / "verify.csv")) == (0, 0, [])
    code, out, err = run(*next_command(case, out + err))
    assert code == case.code, (out, err)
    case.check(sandbox.url, tmp_path)


def next_command(case: Case, printed: str) -> list[str]:
    """Return the command that a command that ended early names."""
    (line,) = [line for line in printed.splitlines() if "Next" in line]
    words = shlex.split(line[line.rindex("leadconnector ") :]) if "leadconnector " in line else []
    assert words or line == "Next: run the same command again."
    return [*words[1:], *["--yes"] * ("undo" in words)] or case.command


@pytest.mark.parametrize("name", ["upsert", "tags", "verify", "undo", "restore", "snapshot", "compare", "export by id"])
def test_a_service_that_refuses_connections_for_a_while_loses_nothing(
    run: Run,
    tmp_path: Path,
    start: Callable[..., RunningSandbox],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    case = CASES[name]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options: dict[str, Any] = {**case.options, "port": port, "data": tmp_path / "data.sqlite3"}
    with ExitStack() as stack:
        first = stack.enter_context(run_sandbox(max_requests=100_000, per_seconds=1, **options))
        for key, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": first.url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{key}", value)
        begin(case, run)
        be_quick(monkeypatch, max_outage=PATIENCE)
        calls = len(first.arrivals) + case.calls[0] + case.calls[1] // 3
        is_down = threading.Event()

        def go_away() -> None:
            until = time.monotonic() + PATIENCE
            while len(first.arrivals) < calls and time.monotonic() < until:
                time.sleep(0.001)
            stack.close()
            is_down.set()
            time.sleep(0.3)
            start(**options)

        watcher = threading.Thread(target=go_away)
        watcher.start()
        code, out, err = run(*case.command)
        watcher.join()
    assert code == case.code, (out, err)
    case.check(first.url, tmp_path)


def test_an_address_where_nobody_ever_answers_is_given_up_soon(
    run: Run, start: Callable[..., RunningSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox() as sandbox:
        for key, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": sandbox.url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{key}", value)
        begin(CASES["verify"], run)
    be_quick(monkeypatch, max_outage=PATIENCE)
    monkeypatch.setattr(breaker, "_LONGEST_UNHEARD", 0.1)
    code, out, _ = run("verify", "out")
    assert code == 3
    assert f"{sandbox.url} was never reached" in out
    assert "Next: leadconnector verify out" in out


# ---------------------------------------------------------------------------------------------- interrupted meanwhile

FIELDS = "email,customField:Shoe Size\na@x.example,42\n"
NAMED = "email,locationId\na@x.example,The Garage of Bob\n"
SHARING = "email,phone\na@x.example,+16175550100\nb@x.example,+16175550100\n"
FILES = {"fields.csv": FIELDS, "named.csv": NAMED, "sharing.csv": SHARING}
# What is asked before the first row, or the first contact: each command, and those before it.
FIRST_QUESTIONS: dict[str, tuple[list[str], list[list[str]]]] = {
    "custom fields": (["upsert", "fields.csv", "--map", "customField:Shoe Size=custom:Shoe Size", "--out", "out"], []),
    "location names": (["upsert", "named.csv", "--out", "out"], []),
    "how a location matches": (["upsert", "sharing.csv", "--out", "out"], []),
    "what is there": (["upsert", "half.csv", "--only-new", "--out", "out"], []),
    "a snapshot": (["upsert", "half.csv", "--snapshot", "--out", "out"], []),
    "a plan made offline": (["upsert", "kept"], [["plan", "named.csv", "--offline", "--out", "kept"]]),
    "a dry run": (["upsert", "named.csv", "--dry-run"], []),
    "plan": (["plan", "half.csv"], []),
    "plan of names": (["plan", "named.csv"], []),
    "plan compared": (["plan", "half.csv", "--compare"], []),
    "verify": (["verify", "half"], [HALF]),
    "undo": (["undo", "half", "--yes"], [HALF]),
    "restore": (["undo", "half", "--yes"], [[*HALF, "--snapshot"]]),
    "export": (["export", "exported.csv"], [HALF]),
}


# Loads, and what is asked in them beside the rows. After an outage, some of them are probes.
LOADS = {
    name: (command, before)
    for name, (command, before) in FIRST_QUESTIONS.items()
    if command[0] == "upsert" and name not in ("a dry run", "custom fields")
} | {
    "a plan compared": (["upsert", "kept"], [["plan", "all.csv", "--compare", "--out", "kept"]]),
    "new fields": (["upsert", "fields.csv", "--create-fields", "--out", "out"], []),
    "tags": (["upsert", "tags.csv", "--out", "out"], []),
    "filling empty fields": (["upsert", "half.csv", "--fill-empty", "--out", "out"], [OLD]),
}


@pytest.mark.parametrize("outage_after", [None, 0, 4, 20], ids=["no outage", "at first", "soon", "late"])
@pytest.mark.parametrize("name", LOADS)
def test_the_report_counts_each_call_that_arrived(
    run: Run,
    start: Callable[..., RunningSandbox],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    outage_after: int | None,
) -> None:
    command, before = LOADS[name]
    for file, text in FILES.items():
        Path(file).write_text(text)
    sandbox = start()
    be_quick(monkeypatch, max_outage=PATIENCE)
    already = len(sandbox.arrivals)
    for words in before:
        assert run(*words)[0] in (0, 1)
        already = already if words[0] == "plan" else len(sandbox.arrivals)
    if outage_after is not None:
        sandbox.fail_next(None, outage_after)
        sandbox.fail_next("503-html", 20)
    code, out, err = run(*command, *QUICK)
    assert code in (0, 1), (out, err)
    folder = tmp_path / ("kept" if "kept" in command else "out")
    counted = json.loads((folder / "report.json").read_text())["requests"]
    assert counted == len(sandbox.arrivals) - already


@pytest.mark.parametrize("fault", ["503-html", "hang"])
@pytest.mark.parametrize("name", FIRST_QUESTIONS)
def test_ctrl_c_is_heard_while_the_first_questions_are_not_answered(
    run: Run, start: Callable[..., RunningSandbox], name: str, fault: str
) -> None:
    command, before = FIRST_QUESTIONS[name]
    if fault == "hang" and name in POOLED:
        pytest.skip("calls in flight finish")
    for file, text in FILES.items():
        Path(file).write_text(text)
    sandbox = start()
    for words in before:
        assert run(*words)[0] in (0, 1), words
    contacts = len(stored(sandbox.url))
    sandbox.fail_next(fault, 100_000)
    process = subprocess.Popen(
        [*COMMAND, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None and not sandbox.ask(lambda one: len(one._faults._script) < 100_000):
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    sandbox.ask(lambda one: one._faults._script.clear())
    assert len(stored(sandbox.url)) == contacts


POOLED = {"what is there", "a snapshot", "plan compared", "verify", "undo", "restore"}


def test_what_is_only_told_of_a_location_holds_up_no_plan(
    run: Run, start: Callable[..., RunningSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = start()
    be_quick(monkeypatch, max_outage=3600.0)
    sandbox.fail_next("500", 100_000)
    code, out, err = run("plan", "half.csv")
    assert (code, err) == (0, "")
    assert "could not be asked how it matches contacts" in out


@pytest.mark.parametrize("has_location", [True, False])
def test_a_load_is_not_held_up_by_names_that_alone_are_not_answered(
    run: Run, start: Callable[..., RunningSandbox], monkeypatch: pytest.MonkeyPatch, has_location: bool
) -> None:
    Path("named.csv").write_text(NAMED)
    start()
    if not has_location:  # a token of an agency
        monkeypatch.delenv("LEADCONNECTOR_LOCATION_ID")
    be_quick(monkeypatch, max_outage=3600.0)

    async def search(*_: object, **__: object) -> AsyncIterator[object]:
        raise ServerError(500, ("no",))
        yield

    monkeypatch.setattr(Locations, "search", search)
    code, out, err = run("upsert", "named.csv", "--out", "out")
    assert (code, out) == (3, "")
    assert "their ids cannot be looked up" in err
    assert "Next: run the same command again." in err


# ---------------------------------------------------------------------------------------------- too many failures


BAD = ["upsert", "bad.csv", "--out", "out", "--concurrency", "1", *QUICK]


@pytest.fixture
def refusing(start: Callable[..., RunningSandbox]) -> RunningSandbox:
    """A service that refuses the rows of a file."""
    people(Path("bad.csv"), 130)
    sandbox = start()
    sandbox.fail_next("422-created", 1_000)
    return sandbox


@pytest.mark.parametrize(
    ("options", "failed"), [([], 50), (["--max-failures", "3"], 3), (["--max-failures", "9%"], 50)]
)
def test_a_load_of_which_too_many_rows_fail_stops_and_goes_on(
    run: Run, refusing: RunningSandbox, tmp_path: Path, options: list[str], failed: int
) -> None:
    code, out, err = run(*BAD, *options)
    report = report_of(tmp_path)
    assert (code, report["failed"], report["not_attempted"]) == (3, failed, 130 - failed), (out, err)
    command = next_command(CASES["upsert"], out + err)
    assert "--resume" in command
    code, out, err = run(*command)
    assert (code, report_of(tmp_path)["failed"]) == (3, 2 * failed), (out, err)


def test_a_load_goes_on_whatever_fails_where_that_is_wanted(run: Run, refusing: RunningSandbox, tmp_path: Path) -> None:
    code, out, err = run(*BAD, "--max-failures", "100%")
    assert (code, report_of(tmp_path)["failed"]) == (1, 130), (out, err)


def test_what_is_no_limit_of_failures_is_refused(run: Run, refusing: RunningSandbox) -> None:
    code, out, err = run(*BAD, "--max-failures", "many")
    assert (code, out) == (2, "")
    assert "--max-failures is 'many'; it must be a number of rows" in err


# ---------------------------------------------------------------------------------------------- a spent quota before

LOOK_UPS = {name: FIRST_QUESTIONS[name] for name in ("custom fields", "location names", "how a location matches")}


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a storm of 429 last for a moment only."""
    monkeypatch.setitem(LeadConnector.__init__.__kwdefaults__ or {}, "retry", RetryPolicy(max_rate_limited=0.0))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "a storm") for name in LOOK_UPS),
        *((name, "a spent day") for name in LOOK_UPS if name != "location names"),  # which are of no location's day
    ],
)
def test_a_spent_quota_before_the_first_row_is_no_wrong_use(
    run: Run, start: Callable[..., RunningSandbox], monkeypatch: pytest.MonkeyPatch, name: str, kind: str
) -> None:
    for file, text in FILES.items():
        Path(file).write_text(text)
    sandbox = start(daily=1 if kind == "a spent day" else 1_000)
    if kind == "a spent day":
        assert stored(sandbox.url) == []  # which takes the one call
    else:
        be_impatient(monkeypatch)
        sandbox.fail_next("429", 100_000)
    code, out, err = run(*LOOK_UPS[name][0])
    assert (code, out) == (3, ""), err
    assert "Next: run the same command again." in err
    assert not Path("out").exists()


def test_a_spent_day_holds_up_no_plan(run: Run, start: Callable[..., RunningSandbox]) -> None:
    sandbox = start(daily=1)
    assert stored(sandbox.url) == []
    code, out, err = run("plan", "half.csv")
    assert (code, err) == (0, "")
    assert "could not be asked how it matches contacts" in out


# ---------------------------------------------------------------------------------------------- refused locations


@pytest.mark.parametrize("file", ["half.csv", "two.csv", "sharing.csv"])
def test_a_plan_says_which_locations_take_no_calls(
    run: Run, start: Callable[..., RunningSandbox], monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    Path("sharing.csv").write_text(SHARING)
    Path("two.csv").write_text("email,locationId\na@x.example,L\nb@x.example,Other\n")
    sandbox = start()
    sandbox.ask(lambda one: one.allow_locations(["Other"]))
    code, out, _ = run("plan", file)
    assert code == 0
    assert "Location L takes no calls (403: The token does not have access to this location.)" in out
    assert "Location Other takes no calls" not in out


@pytest.mark.parametrize(
    ("name", "code"), [(name, 2 if name in ("custom fields", "plan of names") else 3) for name in FIRST_QUESTIONS]
)
def test_a_refused_location_stops_each_command(
    run: Run, start: Callable[..., RunningSandbox], name: str, code: int
) -> None:
    if name in ("location names", "a plan made offline", "a dry run", "plan", "plan of names"):
        pytest.skip("asks about no single location, or says it in the plan")
    for file, text in FILES.items():
        Path(file).write_text(text)
    command, before = FIRST_QUESTIONS[name]
    sandbox = start()
    for words in before:
        assert run(*words)[0] in (0, 1), words
    sandbox.ask(lambda one: one.allow_locations(["Other"]))
    calls = len(sandbox.arrivals)
    found, out, err = run(*command)
    assert found == code, (out, err)
    assert "The token does not have access to this location" in out + err
    assert "Next" in out + err or code == 2
    assert len(sandbox.arrivals) - calls <= 2


def test_where_no_location_takes_calls_the_base_url_is_named(
    run: Run, start: Callable[..., RunningSandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("two.csv").write_text("email,locationId\n" + "".join(f"p{n}@x.example,L{n % 2}\n" for n in range(10)))
    sandbox = start()
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", f"{sandbox.url}/wrong")
    for file, calls in (("half.csv", 1), ("two.csv", 2)):
        before = len(sandbox.arrivals)
        code, out, _ = run("upsert", file, "--out", f"{file}-run")
        assert (code, len(sandbox.arrivals) - before) == (3, calls)
        assert "check the base URL" in out
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", sandbox.url)
    sandbox.ask(lambda one: one.allow_locations(["Other"]))
    code, out, _ = run("upsert", "two.csv", "--out", "refused")
    assert (code, "as no location takes calls, check the token and the base URL" in out) == (3, True)
