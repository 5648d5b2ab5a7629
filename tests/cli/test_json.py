"""`--json`: one document on stdout and nothing else there, with the same exit codes; after wrong use there is none."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from leadconnector_async.cli.commands import app
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox.logins import CLIENT_ID, CLIENT_SECRET
from leadconnector_async.testing import run_sandbox
from leadconnector_async.version import __version__
from tests.cli.conftest import COMMAND, Run, invoke, people
from tests.cli.test_login import L, click
from tests.schemas import check_document
from tests.waiting import PATIENCE

HOSTILE = "Zoë \U0001f600"


@pytest.fixture
def service(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with run_sandbox() as sandbox:
        for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": sandbox.url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
        yield sandbox


@pytest.fixture
def ask(run: Run) -> Callable[..., tuple[int, Any, str]]:
    def ask(*arguments: object) -> tuple[int, Any, str]:
        code, out, err = run(*arguments, "--json")
        assert out.isascii()
        assert "Traceback" not in err
        return code, json.loads(out) if out else None, err

    return ask


Ask = Callable[..., tuple[int, Any, str]]


def test_every_command_has_it() -> None:
    group = typer.main.get_command(app)
    commands: dict[str, Any] = group.commands  # type: ignore[attr-defined]
    for name, each in commands.items():
        assert any("--json" in option.opts for option in each.params), name
    assert len(commands) >= 10


def test_a_load_its_plan_its_proof_and_its_undoing(ask: Ask, service: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"email,firstName\na@x.example,{HOSTILE}\nb@x.example,B\nno address,C\n", encoding="utf-8")
    code, told, _ = ask("plan", path)
    assert (code, told["rows"], told["refused"], told["calls"]) == (1, 3, 1, 2)
    code, told, err = ask("upsert", path, "--dry-run")
    assert (code, told["rows"], told["to_send"], told["refused"], told["skipped"]) == (1, 3, 2, 1, 0)
    assert told["problems"][0]["column"] == "email"
    assert "Nothing was written" in err
    code, told, err = ask("upsert", path, "--out", "out")
    assert code == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {name: told[name] for name in report} == report
    assert (report["schema"], report["location"], report["host"]) == (1, "L", "127.0.0.1")
    assert (report["version"], report["sources"]) == (__version__, [str(path)])
    assert (told["folder"], told["stopped"], told["not_applied"]) == ("out", None, {})
    assert "failed.csv" in told["files"]
    assert told["next_steps"][0]["command"].startswith("leadconnector upsert out/failed.csv")
    assert "3 rows in" in err  # what people read
    code, told, err = ask("verify", "out")
    assert (code, told["compared"], told["differing"], told["folder"]) == (0, 2, 0, "out")
    assert "No differences." in err
    code, told, err = ask("undo", "out", "--yes", "--force")
    assert (code, told["created"], told["deleted"], told["stopped"]) == (0, 2, 2, None)
    assert "2 contacts created" in err
    assert service.contacts() == []


def test_an_export_and_a_mapping(ask: Ask, service: Sandbox, tmp_path: Path) -> None:
    assert ask("upsert", people(tmp_path / "a.csv", 3), "--yes")[0] == 0
    code, told, err = ask("export", "out.csv")
    expected = {
        "schema": 1,
        "file": "out.csv",
        "contacts": 3,
        "undefined_values": 0,
        "unreadable_values": 0,
        "read_by_id": 0,
    }
    expected |= {"not_returned": ["timezone", "gender"], "do_not_disturb": "unseen", "stopped": None}
    assert (code, told) == (0, expected)
    assert "3 contacts in out.csv" in err
    code, told, err = ask("map", tmp_path / "a.csv")
    (file,) = told["files"]
    assert (code, err, file["looks_like"]) == (0, "", None)
    assert file["columns"][1] == {"name": "firstName", "target": "firstName", "reason": None}


def test_a_load_that_is_stopped_tells_so(ask: Ask, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_sandbox(daily=2) as sandbox:
        for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": sandbox.url}.items():
            monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
        code, told, _ = ask("upsert", people(tmp_path / "a.csv", 5), "--out", "out")
    assert (code, told["created"], told["not_attempted"]) == (3, 2, 3)
    assert told["stopped"]
    assert "--resume" in told["next_steps"][0]["command"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("upsert", "missing.csv"),
        ("upsert", "a.csv", "--tags", "maybe", "--sandbox"),
        ("upsert", "a.csv"),
        ("plan", "missing.csv"),
        ("map", "missing.csv"),
        ("verify", "nowhere"),
        ("undo", "nowhere", "--yes"),
        ("export", "a.txt"),
        ("export", "out.csv"),
        ("whoami",),
        ("logout",),
        ("login",),
        ("sandbox", "--rate", "none"),
        ("upsert", "--no-such-option"),
    ],
    ids=" ".join,
)
def test_after_wrong_use_there_is_no_document(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    people(tmp_path / "a.csv", 1)
    code, out, err = run(*arguments, "--json")
    assert (code, out) == (2, "")
    assert err


def test_who_a_token_is(ask: Ask, service: Sandbox) -> None:
    code, told, err = ask("whoami")
    (account,) = told["accounts"]
    assert (code, account["type"], account["id"], account["remark"], account["error"]) == (
        0,
        "token",
        "L",
        "taken",
        None,
    )
    assert account["calls_left_today"] > 0
    assert "A token from outside `login`" in err


def test_a_login_who_it_is_and_its_end(ask: Ask, served: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = served(seed=1)
    for name, value in {"BASE_URL": url, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)
    code, out, err = invoke("login", "--paste", "--json", answer=lambda told: click(told.splitlines()[1].strip(), L))
    assert code == 0, err
    told = json.loads(out)
    assert (told["account"]["type"], told["account"]["id"]) == ("location", L)
    assert "contacts.readonly" in told["account"]["scopes"]
    code, who, err = ask("whoami")
    (account,) = who["accounts"]
    assert (code, account["id"], account["remark"]) == (0, L, "taken")
    assert account["access_token_until"] == told["account"]["access_token_until"]
    code, told, _ = ask("logout")
    assert (code, [each["id"] for each in told["forgotten"]]) == (0, [L])
    assert ask("whoami")[:2] == (2, None)


def test_the_sandbox_tells_how_to_reach_it() -> None:
    serve = [*COMMAND, "sandbox", "--port", "0", "--json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    check_document("sandbox", out)
    told = json.loads(out)
    assert told["url"].startswith("http://127.0.0.1:")
    assert (told["token"], told["client_id"], told["client_secret"]) == ("sandbox", CLIENT_ID, CLIENT_SECRET)


def test_no_document_holds_a_token(ask: Ask, service: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADCONNECTOR_TOKEN", "pit-secret-of-mine")
    for arguments in (("upsert", people(tmp_path / "a.csv", 1), "--yes"), ("whoami",), ("plan", tmp_path / "a.csv")):
        _, told, err = ask(*arguments)
        assert "pit-secret" not in json.dumps(told) + err
