"""`leadconnector upsert --dask`: what it says, how it ends, and how it goes on after it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.cli.conftest import invoke
from tests.cluster.conftest import WINDOW, Server, results, write_people
from tests.schemas import check_document
from tests.waiting import PATIENCE, wait_until

COMMAND = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()", "upsert"]


def environ_of(server: Server) -> dict[str, str]:
    return {"LEADCONNECTOR_TOKEN": "sandbox", "LEADCONNECTOR_BASE_URL": server.url}


def load(server: Server, *arguments: str, folder: Path, cluster: Any) -> tuple[int, str, str]:
    """Load in this process, with the workers of a cluster that is there."""
    options = ["--rate", f"40/{WINDOW}", "--dask", cluster.scheduler_address]
    return invoke("upsert", *arguments, *options, cwd=folder, **environ_of(server))


def start(server: Server, *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Begin to load in processes of their own, with a cluster of their own."""
    environ = {**os.environ, **environ_of(server)}
    command = [*COMMAND, *arguments, "--rate", f"40/{WINDOW}", "--dask", "local"]
    return subprocess.Popen(
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def wait_for_outcomes(out: Path, count: int) -> None:
    wait_until(lambda: len(list(out.glob("journal/*/*"))) >= count)


@pytest.mark.slow
def test_a_lead_that_is_killed_goes_on(server: Server, tmp_path: Path) -> None:
    write_people(tmp_path / "people.csv", locations=4, rows=400)
    process = start(server, "people.csv", "--out", "run", folder=tmp_path)
    wait_for_outcomes(tmp_path / "run", 40)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    server.look()
    assert 0 < sum(server.writes.values()) < 1596
    code, out, _ = end(start(server, "people.csv", "--out", "run", "--resume", folder=tmp_path))
    assert code == 1
    assert out.startswith("1,600 rows in ")
    assert " over 2 sessions: 1,440 created, 156 updated, 4 failed\n" in out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["total"], report["created"], report["updated"], report["failed"]) == (1600, 1440, 156, 4)
    assert len(results(tmp_path / "run")) == 1600
    server.look()
    assert len(server.contacts) == 1440
    assert sum(server.writes.values()) <= 1596 + 4 * 64
    assert server.rate_limited == 0


def test_interrupting_ends_in_order(server: Server, tmp_path: Path) -> None:
    write_people(tmp_path / "people.csv", locations=2, rows=600)
    process = start(server, "people.csv", "--out", "run", folder=tmp_path)
    wait_for_outcomes(tmp_path / "run", 20)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    code, out, err = end(process)
    assert code == 130
    assert "Stopping when the calls in flight have finished." in err
    assert "Stopped early: the load was asked to stop" in out
    assert f"upsert people.csv --dask local --out run --resume --rate 40/{WINDOW}" in out
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["total"] == 1200
    assert report["not_attempted"] > 0
    server.look()
    assert sum(server.writes.values()) == report["created"] + report["updated"]


def test_machines_are_told_as_of_an_ordinary_load(server: Server, cluster: Any, tmp_path: Path) -> None:
    write_people(tmp_path / "people.csv", locations=2, rows=2)
    code, out, _ = load(server, "people.csv", "--out", "run", "--json", folder=tmp_path, cluster=cluster)
    assert code == 0
    check_document("upsert-dask", out)
    told = json.loads(out)
    assert told["sources"] == [str(tmp_path / "people.csv")]
    assert told == {
        **json.loads((tmp_path / "run" / "report.json").read_text()),
        "not_applied": {},
        "stopped": None,
        "results": "run",
    }


@pytest.mark.parametrize("command", [["verify"], ["undo", "--yes"]], ids=["verify", "undo"])
def test_a_run_on_a_cluster_is_neither_verified_nor_undone_for_now(
    server: Server, cluster: Any, tmp_path: Path, command: list[str]
) -> None:
    write_people(tmp_path / "people.csv", locations=1, rows=2)
    assert load(server, "people.csv", "--out", "run", folder=tmp_path, cluster=cluster)[0] == 0
    server.look()
    before = len(server.arrivals), server.contacts
    for folder in ("run", "s3://exports/run", "memory://run"):
        code, out, err = invoke(*command, folder, cwd=tmp_path, **environ_of(server))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"{folder}: was loaded on a cluster (--dask), and such runs cannot be verified or undone yet" in err
    server.look()
    assert (len(server.arrivals), server.contacts) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["people.csv", "--limit", "3"], "--dask does not go with --limit"),
        (["people.csv", "--dry-run"], "--dask does not go with --dry-run"),
        (["people.csv", "--match", "id"], "--dask does not go with --match id"),
        (["people.csv", "--create-nameless"], "--dask does not go with --create-nameless"),
        (["--sql", "select 1", "--from", "sqlite:///x"], "--dask does not go with --sql"),
        (["people.csv", "--resume"], "--resume on a cluster needs --out"),
        (["nothing.csv"], "there is no such file"),
        (["people.csv", "--token-file", "nowhere"], "the token cannot be read"),
        (["tagged.csv"], "can only replace all tags of a contact: give --tags replace"),
    ],
)
def test_wrong_use(server: Server, cluster: Any, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    write_people(tmp_path / "people.csv", locations=1, rows=3)
    write_people(tmp_path / "tagged.csv", locations=1, rows=3, more={"tags": "vip"})
    code, out, err = load(server, *arguments, folder=tmp_path, cluster=cluster)
    assert code == 2, err
    assert sentence in err
    assert out == ""
    server.look()
    assert server.arrivals == []


@pytest.mark.parametrize("reason", ["tags", "no", "a column about consent"])
def test_a_load_that_is_refused_leaves_no_folder_behind(
    server: Server, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """So that the mended command can name the same one; also the second time."""
    write_people(tmp_path / "a.csv", locations=2, rows=6, more={"tags": "vip"})
    write_people(tmp_path / "b.csv", locations=2, rows=4, more={"tags": "vip", "Email opt out": "perhaps"})
    sources = ["a.csv", "b.csv"] if reason == "a column about consent" else ["a.csv"]
    options = [] if reason == "tags" else ["--tags", "replace"]
    if reason == "no":
        monkeypatch.setattr("leadconnector_async.cli.cluster.is_person_there", lambda: True)
        monkeypatch.setattr("leadconnector_async.cli.cluster.is_agreed", AsyncMock(return_value=False))
    for _ in range(2):
        code, out, err = load(server, *sources, "--out", "run", *options, folder=tmp_path, cluster=cluster)
        assert (code, out) == (130 if reason == "no" else 2, ""), err
        assert not (tmp_path / "run").exists()
    server.look()
    assert server.arrivals == []
    mended = ["a.csv", "--out", "run", "--tags", "replace", "--yes"]
    code, out, err = load(server, *mended, folder=tmp_path, cluster=cluster)
    assert "12 rows in" in out, err
    assert (code, len(results(tmp_path / "run"))) == (1, 12), "two rows have no address, as ever"


def test_without_the_extra_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("locationId,email\nL,a@example.com\n")
    code = "import sys; sys.modules['distributed'] = sys.modules['fsspec'] = None\n" + COMMAND[4]
    command = [*COMMAND[:4], code, "upsert", "people.csv", "--dask", "local"]
    ended: Any = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert "pip install 'leadconnector-async[dask]'" in ended.stderr
    assert "Traceback" not in ended.stderr
