"""Locations that refuse all calls: each costs one, others go on, and `--resume` does the rest once they are granted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.sandbox import Applied, Sandbox
from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.cli.conftest import Run, note_target, table

SENTENCE = "takes no calls: The token does not have access to this location."
Serve = Callable[..., RunningSandbox]


@pytest.fixture
def serve(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a sandbox that is named by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        started: list[RunningSandbox] = []

        def start(**options: Any) -> RunningSandbox:
            sandbox = run_sandbox(max_requests=10_000, per_seconds=1.0, **options)
            started.append(sandbox.__enter__())
            for name, value in sandbox.environ.items():
                patch.setenv(name, value)
            return sandbox

        yield start
        for sandbox in started:
            sandbox.__exit__(None, None, None)


def agency(path: Path, names: str, count: int, columns: str = "tags") -> Path:
    """Rows of several locations; two people of each share a phone."""
    lines = [f"email,locationId,{columns}"]
    for number in range(count):
        lines += [f"{name.lower()}{number}@example.com,{name},vip" for name in names]
    path.write_text("\n".join([*lines, ""]))
    return path


def calls_to(sandbox: RunningSandbox, location: str) -> int:
    return sum(arrival.location_id == location for arrival in sandbox.ask(lambda inner: list(inner.arrivals)))


def allow(sandbox: RunningSandbox, names: str) -> None:
    sandbox.ask(lambda inner: inner.allow_locations(names))


def tagged(sandbox: RunningSandbox) -> Counter[str]:
    contacts = sandbox.ask(lambda inner: [(one["locationId"], one["tags"]) for one in inner.contacts()])
    return Counter(location for location, tags in contacts if tags == ["vip"])


def test_others_go_on_to_the_last_tag_and_resume_does_the_rest(run: Run, serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(locations=["A", "B"])
    path = agency(tmp_path / "people.csv", "AXBY", 30)
    code, out, err = run("upsert", path, "--out", "out", "--rate", "10000/1")
    assert code == 3, err
    assert "60 created, 60 not attempted" in out
    assert f"Stopped early: location X {SENTENCE} (1 more takes none); give the token access to it" in out
    for name in "XY":
        assert f"30 x 403 location {name} {SENTENCE}" in out
        assert calls_to(sandbox, name) == 1
    assert tagged(sandbox) == {"A": 30, "B": 30}
    rows = table(tmp_path / "out" / "failed.csv")
    assert {(row["status"], row["error"]) for row in rows if row["locationId"] == "X"} == {
        ("not_attempted", f"location X {SENTENCE}")
    }
    assert {row["error"] for row in rows if row["locationId"] == "Y"} == {f"location Y {SENTENCE}"}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["created"], report["failed"], report["not_attempted"]) == (60, 0, 60)
    assert report["closed_locations"] == {name: f"location {name} {SENTENCE}" for name in "XY"}
    assert [(error["message"], error["count"]) for error in report["errors"]] == [
        (f"location {name} {SENTENCE}", 30) for name in "XY"
    ]

    allow(sandbox, "ABX")
    code, out, _ = run("upsert", path, "--out", "out", "--resume", "--rate", "10000/1")
    assert (code, "90 created, 30 not attempted" in out) == (3, True)
    assert tagged(sandbox) == {"A": 30, "B": 30, "X": 30}
    allow(sandbox, "ABXY")
    code, out, _ = run("upsert", path, "--out", "out", "--resume", "--rate", "10000/1")
    assert (code, "120 created" in out) == (0, True)
    assert tagged(sandbox) == dict.fromkeys("ABXY", 30)
    assert "closed_locations" not in json.loads((tmp_path / "out" / "report.json").read_text())


def test_one_location_alone_stops_the_load_after_one_call(run: Run, serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(locations=["A"])
    path = tmp_path / "people.csv"
    path.write_text("email\n" + "".join(f"p{number}@example.com\n" for number in range(500)))
    code, out, _ = run("upsert", path, "--location", "X", "--out", "out")
    assert (code, "500 not attempted" in out) == (3, True)
    assert len(sandbox.ask(lambda inner: list(inner.arrivals))) == 1
    assert "--out out --resume" in out
    allow(sandbox, "X")
    code, out, _ = run("upsert", path, "--location", "X", "--out", "out", "--resume", "--rate", "10000/1")
    assert (code, "500 created" in out) == (0, True)


@pytest.mark.parametrize("step", ["tags", "phone"])
def test_a_location_that_is_refused_after_its_rows_costs_one_call_of_the_step(
    run: Run, serve: Serve, tmp_path: Path, step: str
) -> None:
    upserts = 0

    def revoke(applied: Applied) -> None:
        nonlocal upserts
        is_upsert = applied.path.endswith("/upsert")
        upserts += is_upsert
        if is_upsert and upserts == 60:
            inner.allow_locations("AB")

    sandbox = serve(on_applied=revoke, allow_duplicates=True)
    inner: Sandbox = sandbox.ask(lambda inner: inner)
    path = agency(tmp_path / "people.csv", "AXB", 20)
    if step == "phone":  # of two people each
        lines = path.read_text().replace("tags", "phone").splitlines()
        phones = [f"+1617555{number // 6:04}" for number in range(len(lines))]
        path.write_text("\n".join(line.replace("vip", phone) for line, phone in zip(lines, phones, strict=True)) + "\n")
    code, out, err = run("upsert", path, "--out", "out", "--rate", "10000/1")
    assert (code, "60 created" in out) == (3, True), err
    assert f"location X {SENTENCE}" in out
    refused = sandbox.ask(lambda inner: [one for one in inner.arrivals if one.status == 403])
    assert [one.location_id for one in refused] == ["X"]
    missing = Counter(row["locationId"] for row in table(tmp_path / "out" / "not_applied.csv"))
    assert missing == {"X": 20 if step == "tags" else 10}
    allow(sandbox, "AXB")
    code, out, _ = run("upsert", path, "--out", "out", "--resume", "--rate", "10000/1")
    assert (code, (tmp_path / "out" / "not_applied.csv").exists()) == (0, False)


def test_verify_compares_the_others(run: Run, serve: Serve, tmp_path: Path) -> None:
    sandbox = serve()
    assert run("upsert", agency(tmp_path / "people.csv", "AXB", 20), "--out", "out", "--rate", "10000/1")[0] == 0
    allow(sandbox, "AB")
    before = calls_to(sandbox, "X")
    code, out, _ = run("verify", "out", "--rate", "10000/1")
    assert (code, f"Stopped early: location X {SENTENCE}" in out) == (3, True)
    assert calls_to(sandbox, "X") == before + 1
    report = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert (report["loaded"], report["compared"], report["differing"], report["unread"]) == (60, 40, 0, 0)
    allow(sandbox, "AXB")
    assert run("verify", "out", "--rate", "10000/1")[0] == 0


def test_undo_goes_on_in_the_others_and_resume_does_the_rest(run: Run, serve: Serve, tmp_path: Path) -> None:
    sandbox = serve()
    assert run("upsert", agency(tmp_path / "people.csv", "AXB", 20), "--out", "out", "--rate", "10000/1")[0] == 0
    allow(sandbox, "AB")
    before = calls_to(sandbox, "X")
    code, out, _ = run("undo", "out", "--yes", "--rate", "10000/1")
    assert (code, "40 deleted, 20 left" in out) == (3, True)
    assert f"Stopped early: location X {SENTENCE}" in out
    assert "undo out --rate 10000/1 --resume" in out
    assert calls_to(sandbox, "X") == before + 1
    assert {contact.location_id for contact in sandbox.contacts()} == {"X"}
    allow(sandbox, "AXB")
    code, out, _ = run("undo", "out", "--yes", "--rate", "10000/1", "--resume")
    assert (code, "60 contacts: 60 deleted" in out) == (0, True)
    assert sandbox.contacts() == []


@pytest.mark.parametrize("command", ["verify", "undo"])
def test_an_address_where_nothing_is_found_passes_for_no_deletion(
    run: Run, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    sandbox = serve()
    assert run("upsert", agency(tmp_path / "people.csv", "AX", 20), "--out", "out", "--rate", "10000/1")[0] == 0
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", f"{sandbox.url}/wrong")
    note_target(tmp_path / "out", f"{sandbox.url}/wrong")
    code, out, _ = run(command, "out", *(["--yes"] if command == "undo" else []))
    assert (code, "takes no calls: Cannot GET /wrong/contacts" in out) == (3, True)
    assert "already gone" not in out
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", sandbox.url)
    note_target(tmp_path / "out", sandbox.url)
    assert len(sandbox.contacts()) == 40
    code, _, _ = run(command, "out", *(["--yes", "--resume"] if command == "undo" else []), "--rate", "10000/1")
    assert code == 0


# ---------------------------------------------------------------------------------------------- what is there is read


def households(path: Path) -> Path:
    """Three locations: somebody who is there, has changed and has opted out, and somebody who is new."""
    lines = ["email,firstName,locationId,Unsubscribed"]
    for name in "ABC":
        domain = f"{name.lower()}.example"
        lines += [f"old@{domain},Anna,{name},yes", f"new@{domain},Neo,{name},"]
    path.write_text("\n".join([*lines, ""]))
    return path


OPTIONS = [
    ("--snapshot",),
    *((f"--{name}",) for name in ("only-new", "only-existing", "fill-empty", "skip-unchanged")),
    ("--snapshot", "--only-new"),
    ("--snapshot", "--fill-empty"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_location_that_refuses_to_be_read_stops_alone_and_is_done_later(
    run: Run, serve: Serve, tmp_path: Path, options: tuple[str, ...]
) -> None:
    sandbox = serve(locations=["A", "B", "C"])
    before = tmp_path / "before.csv"
    there = "".join(f"old@{name.lower()}.example,Ann,{name}\n" for name in "ABC")
    before.write_text(f"email,firstName,locationId\n{there}")
    assert run("upsert", before, "--out", "before", "--rate", "10000/1")[0] == 0
    path = households(tmp_path / "people.csv")
    allow(sandbox, "AC")
    calls = calls_to(sandbox, "B")
    code, out, err = run("upsert", path, "--out", "out", "--rate", "10000/1", *options)
    assert (code, f"Stopped early: location B {SENTENCE}" in out) == (3, True), out + err
    assert calls_to(sandbox, "B") == calls + 2  # to count who is closed, and to read
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["not_attempted"] == 2
    assert report["closed_locations"] == {"B": f"location B {SENTENCE}"}
    assert closed_in(sandbox) == {"A", "C"}

    code, out, _ = run("upsert", path, "--out", "out", "--rate", "10000/1", *options, "--resume")
    assert (code, calls_to(sandbox, "B")) == (3, calls + 3)
    allow(sandbox, "ABC")
    code, out, err = run("upsert", path, "--out", "out", "--rate", "10000/1", *options, "--resume")
    assert code == 0, out + err
    assert closed_in(sandbox) == {"A", "B", "C"}
    contacts = records(sandbox)
    by_location = {name: sorted(one["email"][:3] for one in contacts if one["locationId"] == name) for name in "ABC"}
    assert by_location == dict.fromkeys("ABC", ["old"] if "--only-existing" in options else ["new", "old"])
    is_kept = bool({"--only-new", "--fill-empty"} & {*options})
    names = {one["firstName"] for one in contacts if one["email"].startswith("old")}
    assert names == {"Ann" if is_kept else "Anna"}
    if "--snapshot" in options:
        assert run("undo", "out", "--yes", "--force")[0] == 0
        assert {(one["email"][:3], one["firstName"]) for one in records(sandbox)} == {("old", "Ann")}
        assert closed_in(sandbox) == set()


def test_where_no_location_can_be_read_nothing_is_sent_and_it_is_named(run: Run, serve: Serve, tmp_path: Path) -> None:
    sandbox = serve(locations=["Z"])
    code, out, _ = run("upsert", households(tmp_path / "people.csv"), "--out", "out", "--only-new")
    assert (code, f"Stopped early: location A {SENTENCE}" in out, "Nothing was sent" in out) == (3, True, True)
    assert records(sandbox) == []


def records(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return sandbox.ask(lambda inner: list(inner.contacts()))


def closed_in(sandbox: RunningSandbox) -> set[str]:
    """The locations where somebody's email is closed."""
    found = [(one["locationId"], one.get("dndSettings", {}).get("Email", {})) for one in records(sandbox)]
    return {name for name, setting in found if setting.get("status") == "active"}
