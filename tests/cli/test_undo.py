"""`leadconnector undo`: what a run created is deleted, what changed since is kept, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from leadconnector_async.migration.migration import Migration
from leadconnector_async.migration.tables.inputs import Sources
from leadconnector_async.migration.tables.queries import Query
from leadconnector_async.private_file import write_private
from tests.cli.conftest import (
    COMMAND,
    Run,
    add_tag,
    count,
    delete,
    end,
    note_target,
    people,
    start,
    stored,
    table,
    update,
)
from tests.redis_server import RedisServer, needs_redis
from tests.waiting import wait_until


def test_what_was_created_is_deleted_and_what_was_there_before_stays(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 3), "--out", "before")[0] == 0
    assert run("upsert", people(tmp_path / "b.csv", 8), "--out", "out")[0] == 0
    assert len(stored(url)) == 8
    code, out, err = run("undo", "out", "--yes")
    assert code == 0, err
    assert f"out: 5 contacts created in location L at {url.removeprefix('http://')}" in out
    assert "3 contacts that already existed were updated" in out
    assert "5 contacts: 5 deleted" in out
    assert {contact.email for contact in stored(url)} == {f"person{n}@example.com" for n in range(3)}
    assert [(row["row"], row["result"]) for row in table(tmp_path / "out" / "undo.csv")] == [
        (str(n), "deleted") for n in range(4, 9)
    ]
    created = {row["contact_id"] for row in table(tmp_path / "out" / "succeeded.csv") if row["new"] == "true"}
    assert {row["contact_id"] for row in table(tmp_path / "out" / "undo.csv")} == created
    report = json.loads((tmp_path / "out" / "undo.json").read_text())
    assert (report["created"], report["deleted"], report["left"], report["stopped"]) == (5, 5, 0, None)


def test_it_needs_the_folder_alone(run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the file, nor the folder in which it was loaded, nor the location named in the environment."""
    path = people(tmp_path / "a.csv", 8)
    assert run("upsert", path, "--out", "out")[0] == 0
    path.unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").rename(tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("LEADCONNECTOR_LOCATION_ID")
    code, out, err = run("undo", "run", "--yes")
    assert (code, "8 contacts: 8 deleted" in out) == (0, True), err
    assert stored(url) == []


def test_what_changed_since_is_kept_and_told_and_deleted_by_force(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 3), "--out", "out")[0] == 0
    edited = stored(url)[1].id
    update(url, edited, city="Rome")
    code, out, _ = run("undo", "out", "--yes")
    assert (code, "2 deleted, 1 kept because they have changed since" in out) == (1, True)
    assert [contact.id for contact in stored(url)] == [edited]
    (kept,) = [row for row in table(tmp_path / "out" / "undo.csv") if row["result"] == "kept"]
    assert kept["contact_id"] == edited
    assert "it changed after the load last wrote to it, at 20" in kept["detail"]
    assert kept["detail"].endswith(": city")
    assert "  1 x city\n" in out
    assert "undo out --resume --force" in out
    code, out, _ = run("undo", "out", "--yes", "--resume", "--force")
    assert (code, "3 contacts: 3 deleted" in out) == (0, True)
    assert stored(url) == []


def test_what_others_edit_while_a_load_is_at_work_is_kept(run: Run, url: str, tmp_path: Path) -> None:
    """One edits a contact whose tags are yet to come, another one adds a tag of their own; hours may lie between."""
    path = tmp_path / "a.csv"
    path.write_text("email,tags\n" + "".join(f"person{number}@example.com,vip\n" for number in range(90)))
    process = start(url, path, "--rate", "30/1")
    wait_until(lambda: stored(url), process)
    found = stored(url)
    edited, labelled = found[0].id, found[-1].id
    update(url, edited, city="Rome")
    add_tag(url, labelled, "called")
    assert end(process)[0] == 0
    assert all("vip" in (contact.tags or []) for contact in stored(url))
    code, out, _ = run("undo", "out", "--yes", "--rate", "10000/1")
    kept = {edited, labelled}
    assert (code, f"{90 - len(kept)} deleted, {len(kept)} kept because they have changed since" in out) == (1, True)
    assert {contact.id for contact in stored(url)} == kept
    told = {row["contact_id"]: row["detail"] for row in table(tmp_path / "out" / "undo.csv") if row["detail"]}
    assert told.keys() == kept


def test_what_workflows_changed_is_listed_by_kind_and_undone_by_force(run: Run, url: str, tmp_path: Path) -> None:
    """Workflows touch contacts seconds after they are created, so that without a look at what changed an undo would
    either keep all or spare none."""
    assert run("upsert", people(tmp_path / "a.csv", 6), "--out", "out")[0] == 0
    found = stored(url)
    for contact in found[:4]:
        add_tag(url, contact.id, "welcome \x1b[31m")
    for contact in found[3:5]:
        update(url, contact.id, assigned_to="y0BeYjuRIlDwsDcOHOJo")
    update(url, found[0].id, dnd=True)
    code, out, _ = run("undo", "out", "--yes")
    assert (code, "1 deleted, 5 kept because they have changed since" in out) == (1, True)
    kinds = ["  4 x tag added: welcome [31m", "  2 x assigned_to", "  1 x do not disturb"]
    assert [line for line in out.splitlines() if line.startswith("  ")] == kinds
    assert "--force undoes these contacts too" in out
    report = json.loads((tmp_path / "out" / "undo.json").read_text())
    assert sorted(report["changes"].values()) == [1, 2, 4]
    code, out, _ = run("undo", "out", "--yes", "--resume", "--force")
    assert (code, "6 contacts: 6 deleted" in out, "What has changed" in out) == (0, True, False)
    assert stored(url) == []


def test_custom_fields_that_the_run_made_are_named_as_left_behind(run: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,Shoe size\na@example.com,42\nb@example.com,43\n")
    load = ("upsert", path, "--out", "out", "--map", "Shoe size=custom:Shoe size", "--create-fields")
    assert run(*load)[0] == 0
    assert run(*load, "--resume")[0] == 0
    code, out, _ = run("undo", "out", "--yes")
    assert (code, "custom fields that the run created (Shoe size)" in out) == (0, True), out
    assert json.loads((tmp_path / "out" / "undo.json").read_text())["fields_left"] == ["Shoe size"]


def test_another_port_or_path_of_the_host_is_another_service(
    run: Run, url: str, tmp_path: Path, served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 2), "--out", "out")[0] == 0
    for other in (served(), f"{url}/v2"):
        monkeypatch.setenv("LEADCONNECTOR_BASE_URL", other)
        code, out, err = run("undo", "out", "--yes")
        assert (code, out) == (2, "")
        assert f"was loaded into {url.removeprefix('http://')}, but the settings name" in err
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", f"{url}/")
    assert run("undo", "out", "--yes")[0] == 0


def test_a_run_that_noted_the_host_alone_is_known_by_it(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = people(tmp_path / "a.csv", 2)
    assert run("upsert", path, "--out", "out")[0] == 0
    note_target(tmp_path / "out", "127.0.0.1")
    assert run("upsert", path, "--out", "out", "--resume")[0] == 0
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", "https://services.leadconnectorhq.com")
    assert run("undo", "out", "--yes")[0] == 2
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    assert run("undo", "out", "--yes")[0] == 0


def test_the_help_says_what_undo_does(run: Run) -> None:
    _, out, _ = run("undo", "--help")
    said = " ".join(out.split())
    for part in (
        "restore those that it updated",
        "is kept, unless --force",
        "Custom fields that the run created always stay",
    ):
        assert part in said
    assert "Those that it updated stay as they are" not in said


def test_what_is_gone_already_is_done(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 3), "--out", "out")[0] == 0
    delete(url, stored(url)[0].id)
    code, out, _ = run("undo", "out", "--yes")
    assert (code, "3 contacts: 2 deleted, 1 already gone" in out) == (0, True)
    assert stored(url) == []


def test_without_a_yes_nothing_is_deleted_where_nobody_can_be_asked(run: Run, url: str, tmp_path: Path) -> None:
    assert run("upsert", people(tmp_path / "a.csv", 3), "--out", "out")[0] == 0
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    code, _, err = run("undo", "out")
    assert (code, "there is no terminal to ask on; give --yes" in err) == (2, True)
    assert len(stored(url)) == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_an_undo_that_was_stopped_goes_on_where_that_is_said(
    run: Run, url: str, tmp_path: Path, served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(tmp_path / "sandbox.sqlite3")
    url = served(data=data, daily=26)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    assert run("upsert", people(tmp_path / "a.csv", 10), "--out", "out")[0] == 0
    code, out, _ = run("undo", "out", "--yes", "--daily", "1000", "--concurrency", "1")
    assert code == 3  # the day is spent in the midst
    assert "Stopped early" in out
    assert "undo out --daily 1000 --concurrency 1 --resume" in out
    report = json.loads((tmp_path / "out" / "undo.json").read_text())
    assert 0 < report["deleted"] < 10
    assert report["deleted"] + report["left"] == 10
    code, _, err = run("undo", "out", "--yes")
    assert (code, "continue it with --resume" in err) == (2, True)


def test_rows_of_other_locations_are_deleted_there(run: Run, url: str, tmp_path: Path) -> None:
    path = tmp_path / "agency.csv"
    path.write_text("email,locationId\na@example.com,L1\nb@example.com,L2\n")
    assert run("upsert", path, "--out", "out")[0] == 0
    code, out, err = run("undo", "out", "--yes")
    assert (code, "2 contacts: 2 deleted" in out) == (0, True), err


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("gone", "gone: is not the folder of a run"),
        ("tried", "was loaded into a sandbox that ended with the load"),
        ("elsewhere", "was loaded into 127.0.0.1"),
    ],
)
def test_wrong_use_is_one_sentence(
    run: Run, url: str, tmp_path: Path, folder: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = people(tmp_path / "a.csv", 1)
    assert run("upsert", path, "--sandbox", "--out", "tried")[0] == 0
    assert run("upsert", path, "--out", "elsewhere")[0] == 0
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", "https://services.leadconnectorhq.com")
    code, out, err = run("undo", folder, "--yes")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def test_ctrl_c_ends_in_order_and_resume_goes_on(
    run: Run, url: str, tmp_path: Path, served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = served(latency=(0.02, 0.03), max_requests=1_000, per_seconds=1)
    monkeypatch.setenv("LEADCONNECTOR_BASE_URL", url)
    assert run("upsert", people(tmp_path / "a.csv", 100), "--out", "out", "--rate", "1000/1")[0] == 0
    command = [*COMMAND, "undo", "out", "--yes", "--rate", "1000/1", "--concurrency", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: count(url) <= 95, process)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, "Stopped early: interrupted" in out) == (130, True), err
    assert 0 < count(url) < 100
    code, out, _ = run("undo", "out", "--yes", "--rate", "1000/1", "--resume")
    assert (code, "100 contacts: 100 deleted" in out) == (0, True)
    assert stored(url) == []
    assert len(table(tmp_path / "out" / "undo.csv")) == 100


@pytest.mark.parametrize("command", ["undo", "verify"])
def test_a_token_that_is_refused_stops_it_and_is_nowhere_told(run: Run, url: str, tmp_path: Path, command: str) -> None:
    token = "pit-5e0f7a31-very-secret"
    write_private(tmp_path / "token", token)
    assert run("upsert", people(tmp_path / "a.csv", 3), "--out", "out")[0] == 0
    options = ["--yes"] if command == "undo" else []
    code, out, err = run(command, "out", "--token-file", "token", *options)
    assert (code, "Stopped early" in out) == (3, True)
    texts = [out, err, *(path.read_text(errors="replace") for path in (tmp_path / "out").iterdir())]
    assert not any(token in text for text in texts)
    assert len(stored(url)) == 3


class Database(Query, frozen=True):
    """A query whose server need not be there."""

    def keep_rows(self, path: Path) -> None:
        people(path, 1)


async def test_a_password_of_a_database_is_not_kept(tmp_path: Path) -> None:
    secret = "s3cret-w0rd"
    sources = Sources(query=Database("SELECT 1", f"postgresql://me:{secret}@localhost/crm"))
    async with await Migration.prepare(None, sources, folder=tmp_path / "out") as run:
        assert (run.plan.rows, secret in str(run.plan), secret in str(run.notes)) == (1, False, False)
        assert run.is_same(sources, run.options)
        kept = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert {"run.sqlite3", "run.sqlite3-wal"} <= kept.keys()
    assert secret.encode() not in b"".join(kept.values())


@needs_redis
def test_all_commands_that_call_share_the_limit(run: Run, url: str, tmp_path: Path) -> None:
    """Each asks Redis for its slots, and tells it again in what it says to do next."""
    server = RedisServer(tmp_path)
    asyncio.run(server.start())
    commands = [
        ("plan", people(tmp_path / "a.csv", 3)),
        ("upsert", people(tmp_path / "a.csv", 3), "--out", "out"),
        ("verify", "out"),
        ("export", "all.csv"),
        ("undo", "out", "--yes"),
    ]
    try:
        for command in commands:
            before = server.scripts_run()
            code, _, err = run(*command, "--redis", server.url)
            assert code == 0, err
            assert server.scripts_run() > before, command
        assert run("upsert", people(tmp_path / "b.csv", 3), "--out", "later")[0] == 0
        for contact in stored(url):
            update(url, contact.id, city="Rome")
        _, out, _ = run("undo", "later", "--yes", "--redis", server.url)
        assert f"undo later --redis {server.url} --resume --force" in out
    finally:
        server.stop()
