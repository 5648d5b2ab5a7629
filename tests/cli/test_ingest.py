"""`leadconnector ingest` and `leadconnector outbox`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async.testing import RunningSandbox, run_sandbox
from tests.cli.conftest import COMMAND, Run
from tests.waiting import PATIENCE

LINES = b'{"email": "ann@example.com", "firstName": "Ann"}\n{"email": "ben@example.com"}\n'
REFUSED = b'{"email": "no address at all", "firstName": "Refused"}\n'


def ingest(run: Run, sandbox: RunningSandbox, stdin: bytes, *options: str) -> tuple[int, str, str]:
    return run("ingest", "box.sqlite3", "--stdin", *options, stdin=stdin, **sandbox.environ)


def test_lines_are_stored_and_sent(run: Run, tmp_path: Path) -> None:
    with run_sandbox() as sandbox:
        code, _, err = ingest(run, sandbox, LINES)
        assert (code, "2 contacts stored, 0 lines refused" in err) == (0, True)
        code, _, err = ingest(run, sandbox, b"no json\n" + LINES)
        assert (code, "line 1: it is not JSON" in err) == (1, True)
        assert len(sandbox.contacts()) == 2
    assert (tmp_path / "box.sqlite3").stat().st_mode & 0o777 == 0o600


def test_what_became_of_lines_is_a_document(run: Run) -> None:
    with run_sandbox() as sandbox:
        code, out, _ = ingest(run, sandbox, LINES + b"no json\n", "--json")
    assert (code, json.loads(out)) == (1, {"schema": 1, "stored": 2, "refused": 1, "waiting": 0})


def test_each_outcome_is_logged_as_json_by_id_alone(run: Run) -> None:
    with run_sandbox() as sandbox:
        code, _, err = ingest(run, sandbox, LINES + REFUSED, "--log-json")
    logged = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    outcomes = {record["id"]: record["status"] for record in logged if "id" in record}
    assert (code, outcomes) == (0, {1: "created", 2: "created", 3: "failed"})
    assert "ann@" not in err
    assert "Refused" not in err


def test_dead_letters_are_listed_retried_dropped_and_forgotten(run: Run) -> None:
    with run_sandbox() as sandbox:
        ingest(run, sandbox, LINES + REFUSED * 3)
    code, out, _ = run("outbox", "status", "box.sqlite3", "--json")
    status = json.loads(out)
    assert (code, status["waiting"], status["dead_letters"], status["is_draining"]) == (0, 0, 3, False)
    assert "dead letters: 3" in run("outbox", "status", "box.sqlite3")[1]
    letters = json.loads(run("outbox", "list", "box.sqlite3", "--json")[1])["dead_letters"]
    assert [letter["id"] for letter in letters] == [3, 4, 5]
    assert letters[0]["contact"]["firstName"] == "Refused"
    assert "Refused" not in run("outbox", "list", "box.sqlite3")[1]
    assert run("outbox", "retry", "box.sqlite3", "--id", 3)[:2] == (0, "1 contact queued again\n")
    assert json.loads(run("outbox", "drop", "box.sqlite3", "--id", 4, "--json")[1]) == {"schema": 1, "count": 1}
    forgotten = run("outbox", "forget", "box.sqlite3", "--email", "No address at all")
    assert forgotten[:2] == (0, "2 contacts forgotten\n")
    status = json.loads(run("outbox", "status", "box.sqlite3", "--json")[1])
    assert (status["waiting"], status["dead_letters"]) == (0, 0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("ingest box.sqlite3", "either --http or --stdin"),
        ("ingest box.sqlite3 --stdin --http 0", "either --http or --stdin"),
        ("ingest box.sqlite3 --http 0", "set LEADCONNECTOR_INGEST_SECRET"),
        ("ingest box.sqlite3 --http 0 --secret-file nothing", "--secret-file nothing: cannot be read"),
        ("ingest missing/box.sqlite3 --stdin", "missing/box.sqlite3: the outbox cannot be opened"),
        ("outbox watch box.sqlite3", "choose one of status, list, retry, drop, forget"),
        ("outbox status box.sqlite3", "there is no such outbox"),
        ("outbox retry box.sqlite3", "either --id or --all"),
        ("outbox retry box.sqlite3 --all --id 3", "either --id or --all"),
        ("outbox status box.sqlite3 --all", "--id and --all are for retry and drop"),
        ("outbox drop box.sqlite3 --all --with-unknown", "--with-unknown is for retry"),
        ("outbox drop box.sqlite3 --all --email a@b.c", "--email and --phone are for forget"),
        ("outbox forget box.sqlite3", "give --email or --phone"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(run: Run, words: str, sentence: str, tmp_path: Path) -> None:
    environ = {"LEADCONNECTOR_TOKEN": "pit-1", "LEADCONNECTOR_LOCATION_ID": "L"}
    code, out, err = run(*words.split(), stdin=b"", **environ)
    assert (code, out, sentence in err, err.count("\n")) == (2, "", True, 1)
    assert not (tmp_path / "box.sqlite3").exists()


def post(url: str, content: Any, secret: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_service_takes_contacts_until_sigterm(tmp_path: Path, run: Run) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("of tests\n")
    command = [*COMMAND, "ingest", "box.sqlite3", "--http", "0", "--secret-file", str(secret)]
    with run_sandbox() as sandbox:
        environ = {**os.environ, **sandbox.environ}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen([*command, "--log-json"], cwd=tmp_path, env=environ, **pipes) as service:
            assert service.stdout is not None
            url = service.stdout.readline().strip()
            assert post(url, {"email": "ann@example.com"}, "of tests") == (202, {"id": 1, "duplicate": False})
            assert post(url, {"email": "ann@example.com"}, "wrong")[0] == 401
            other = {"email": "a@example.com", "locationId": "stranger"}
            assert post(url, [other, {"email": "ben@example.com"}], "of tests")[0] == 207
            service.send_signal(signal.SIGTERM)
            out, err = service.communicate(timeout=PATIENCE)
        assert (service.returncode, out) == (0, "")
        assert "example.com" not in err
        ingest(run, sandbox, b"")  # sends what still waited
        assert {contact.email for contact in sandbox.contacts()} == {"ann@example.com", "ben@example.com"}
