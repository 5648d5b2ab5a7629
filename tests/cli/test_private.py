"""What holds people's data is its owner's alone: each file and folder that a command makes, also while it works."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import finish_draft
from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.cli.conftest import COMMAND, LOCATION, Run

PEOPLE = """email,phone,firstName,tags,city,dnd,gender
ann@example.com,+16175550101,Ann,"vip,lead",Boston,no,
ben@example.com,+16175550101,Ben,lead,,no,
cora@example.com,,Cora,,N/A,no,male
nobody,,Nobody,,,no,
dan@example.com,,Dan,,,maybe,
ann@example.com,,Anna,,,no,
"""


class Watch:
    """Looks at all that was made below a folder, whenever it is told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inputs = set(folder.rglob("*"))
        self.seen: set[str] = set()
        self.open_to_others: dict[str, str] = {}

    def look(self) -> None:
        for path in self._folder.rglob("*"):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # it was there for a moment
                continue
            if path not in self._inputs:
                name = str(path.relative_to(self._folder))
                self.seen.add(name)
                if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600):
                    self.open_to_others[name] = stat.filemode(mode)

    async def sleep(self, seconds: float) -> None:
        """Look in place of the wait that a sandbox makes before it answers."""
        self.look()


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Whatever is not asked to be private, is open to all."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def watch(run: Run, tmp_path: Path, open_umask: None, monkeypatch: pytest.MonkeyPatch) -> Watch:
    (tmp_path / "people.csv").write_text(PEOPLE)
    with sqlite3.connect(tmp_path / "crm.sqlite3") as db:
        db.execute("CREATE TABLE people (email TEXT)")
        db.execute("INSERT INTO people VALUES ('eva@example.com')")
    db.close()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return Watch(tmp_path)


@pytest.fixture
def sandbox(watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """A sandbox at each of whose calls all is looked at."""
    data = tmp_path / "sandbox.sqlite3"
    with run_sandbox(latency=(0.001, 0.001), sleep=watch.sleep, data=data, unlimited=True) as sandbox:
        sandbox.seed([{"email": "cora@example.com", "firstName": "Old"}], location_id=LOCATION)
        for name, value in {**sandbox.environ, "LEADCONNECTOR_LOCATION_ID": LOCATION}.items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
def look_at_inputs(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Look at all once more before what could be read only once is removed; returns the names that it had."""
    remove, found = shutil.rmtree, set[str]()

    def look_and_remove(folder: str, **options: Any) -> None:
        watch.look()
        found.update(str(path.relative_to(Path.cwd())) for path in Path(folder).iterdir())
        remove(folder, **options)

    monkeypatch.setattr("leadconnector_async.migration.tables.inputs.shutil.rmtree", look_and_remove)
    return found


def check(watch: Watch, *names: str) -> None:
    """All that was seen is private, and what was expected was seen."""
    watch.look()
    assert watch.open_to_others == {}
    assert {name for name in names if name not in watch.seen} == set()


@pytest.mark.usefixtures("sandbox")
def test_a_run_and_all_that_is_done_with_it(run: Run, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_and_finish(folder: Path, draft: Database) -> Database:  # no call is made while a run is prepared
        watch.look()
        return finish_draft(folder, draft)

    monkeypatch.setattr("leadconnector_async.migration.migration.finish_draft", look_and_finish)
    assert run("upsert", "people.csv", "--out", "a/run", "--snapshot", "--phone-conflict", "allow")[0] == 1
    results = "report.json report.html succeeded.csv failed.csv problems.csv not_applied.csv collisions.csv".split()
    databases = "run.sqlite3.part run.sqlite3 run.sqlite3-wal".split()
    check(watch, "a", "a/run", *(f"a/run/{name}" for name in (*results, *databases)), "sandbox.sqlite3-wal")
    assert run("verify", "a/run")[0] in (0, 1)
    check(watch, "a/run/verify.csv", "a/run/verify.json")
    assert run("undo", "a/run", "--yes")[0] in (0, 1)
    check(watch, "a/run/undo.csv", "a/run/undo.json")


@pytest.mark.usefixtures("sandbox")
def test_what_other_ways_to_load_leave(
    run: Run, watch: Watch, look_at_inputs: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("upsert", "people.csv", "--out", "second", "--tags", "add")[0] == 1
    check(watch, "second/run.sqlite3", "second/run.sqlite3-wal")
    assert run("upsert", "people.csv", "--out", "new", "--only-new")[0] == 1
    check(watch, "new/skipped.csv", "new/run.sqlite3", "new/run.sqlite3-wal")
    query = ("--sql", "SELECT * FROM people", "--from", "sqlite:///crm.sqlite3")
    assert run("upsert", *query, "--out", "query")[0] == 0
    check(watch, "query/run.sqlite3", look_at_inputs.pop())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PEOPLE.encode())))
    with (Path.cwd() / "people.csv").open("rb") as stdin:
        saved = os.dup(0)
        os.dup2(stdin.fileno(), 0)
        try:
            assert run("upsert", "-", "--format", "csv", "--out", "stdin")[0] == 1
        finally:
            os.dup2(saved, 0)
            os.close(saved)
    check(watch, "stdin/run.sqlite3", look_at_inputs.pop())
    assert list((Path.cwd() / "tmp").iterdir()) == []
    Path("lines.jsonl").write_text('{"email": "nobody"}\n')
    Path("lines.jsonl").chmod(0o600)
    assert run("upsert", "lines.jsonl", "--out", "lines")[0] == 1
    check(watch, "lines/failed.jsonl")


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_export_and_a_plan(kind: str, run: Run, watch: Watch) -> None:
    assert run("export", f"all.{kind}")[0] == 0
    check(watch, f"all.{kind}", f"all.{kind}.part", f"all.{kind}.resume")
    assert run("plan", "people.csv", "--compare", "--html", "plan.html")[0] == 1
    check(watch, "plan.html")
    assert run("plan", f"all.{kind}", "--offline")[0] == 0
    check(watch)


@pytest.mark.usefixtures("sandbox")
def test_a_folder_that_was_there_is_left_as_it_is_and_its_files_are_private(run: Run, watch: Watch) -> None:
    Path("run").mkdir(mode=0o755)
    assert run("upsert", "people.csv", "--out", "run", "--snapshot")[0] == 1
    watch.look()
    assert watch.open_to_others == {"run": "drwxr-xr-x"}
    assert "run/run.sqlite3" in watch.seen


@pytest.mark.usefixtures("sandbox")
def test_a_run_of_before_is_private_once_it_goes_on(run: Run, watch: Watch) -> None:
    assert run("upsert", "people.csv", "--out", "run")[0] == 1
    for command in (["upsert", "people.csv", "--out", "run", "--resume", "--retry-failed"], ["verify", "run"]):
        for path in Path("run").iterdir():
            path.chmod(0o644)
        Path("run").chmod(0o777)
        assert run(*command)[0] == 1
        check(watch)


@pytest.mark.usefixtures("sandbox")
def test_a_folder_that_holds_other_things_keeps_its_mode_when_its_run_is_used_again(run: Run) -> None:
    assert run("upsert", "people.csv", "--out", "run")[0] == 1
    Path("run/notes.txt").touch()
    Path("run").chmod(0o755)
    for command in (["upsert", "people.csv", "--out", "run", "--resume", "--retry-failed"], ["verify", "run"]):
        assert run(*command)[0] == 1
        assert stat.S_IMODE(Path("run").stat().st_mode) == 0o755


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "name", ["run.sqlite3", "run.sqlite3-wal", "report.json.part", "failed.csv.part", "report.html.part"]
)
def test_no_link_is_followed(name: str, run: Run, watch: Watch, tmp_path: Path) -> None:
    """Somebody else may write to the folder that --out names."""
    victim = tmp_path / "victim"
    assert run("upsert", "people.csv", "--out", "run")[0] == 1
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).symlink_to(victim)
    code, _, err = run("upsert", "people.csv", "--out", "run", "--resume")
    kinds = {"run.sqlite3": (2, "is not empty"), "run.sqlite3-wal": (2, "it is a link")}
    expected, sentence = kinds.get(name, (1, ""))
    assert (code, sentence in err) == (expected, True)
    assert not victim.exists()


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("name", ["run.sqlite3", "run.sqlite3-wal"])
def test_no_link_to_another_run_is_followed(name: str, run: Run, watch: Watch, tmp_path: Path) -> None:
    for folder in ("run", "another"):
        assert run("upsert", "people.csv", "--out", folder)[0] == 1
    victim = tmp_path / "another" / "run.sqlite3"
    victim.chmod(0o644)
    before = victim.read_bytes()
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).symlink_to(victim)
    code, _, err = run("upsert", "people.csv", "--out", "run", "--resume")
    assert (code, "it is a link" in err) == (2, True)
    assert (victim.read_bytes(), stat.S_IMODE(victim.stat().st_mode)) == (before, 0o644)


@pytest.mark.usefixtures("sandbox")
def test_a_link_in_the_place_of_a_draft_is_removed(run: Run, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.sqlite3.part").symlink_to(victim)
    assert run("upsert", "people.csv", "--out", "run")[0] == 1
    assert not victim.exists()


def test_a_login(run: Run, watch: Watch, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    client_id, secret, code = sandbox.ask(
        lambda inner: (inner.oauth.client_id, inner.oauth.client_secret, inner.oauth.new_code(LOCATION))
    )
    monkeypatch.delenv("LEADCONNECTOR_TOKEN")
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_ID", client_id)
    monkeypatch.setenv("LEADCONNECTOR_CLIENT_SECRET", secret)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{code}\n"))
    assert run("login", "--paste")[0] == 0
    assert run("whoami")[0] == 0
    check(watch, "config", "config/leadconnector-async", "config/leadconnector-async/logins.sqlite3")


def test_what_a_sandbox_keeps(watch: Watch, tmp_path: Path) -> None:
    arguments = ["sandbox", "--port", "0", "--data", str(tmp_path / "kept.sqlite3")]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        check(watch, "kept.sqlite3", "kept.sqlite3-wal")
        process.terminate()
    check(watch)
