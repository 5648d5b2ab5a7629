"""What the README and the pages it leads to say is true: each block runs, and shows what comes out, but for numbers."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.testing import run_sandbox
from tests.cli.conftest import invoke
from tests.cli.reference import parts
from tests.contacts.test_contacts import METHODS, method_of
from tests.redis_server import needs_redis
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
PAGES = {
    path.parent.name: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "leadconnector_async").glob("*/README.md"))
}
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = PAGES["cli"]


def blocks(text: str) -> list[tuple[str, str]]:
    """The kind and the content of each block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


BLOCKS = blocks(README)
ALL_BLOCKS = [*BLOCKS, *(block for page in PAGES.values() for block in blocks(page))]
TESTS = [text for kind, text in ALL_BLOCKS if kind == "python" and "def test_" in text]
PYTHON = [
    (text, ALL_BLOCKS[number + 1][1])
    for number, (kind, text) in enumerate(ALL_BLOCKS)
    if kind == "python" and text not in TESTS
]
SHELL = [text for kind, text in BLOCKS if kind == "sh"]
LEADCONNECTOR = [sys.executable, "-W", "error", "-c", "from leadconnector_async.cli import main; main()"]


def shape(text: str) -> str:
    """What of an output does not change from run to run."""
    text = re.sub(r"\b[\w-]{20,}\b", "ID", text)
    text = text.replace(" --rate 100/0.3", "")  # of the test, not of the README
    text = re.sub(r" at 127\.0\.0\.1:\d+", " at 127.0.0.1:PORT", text)
    return re.sub(r"\d+\.\d+ s", "N s", text)


@pytest.mark.parametrize(("code", "output"), PYTHON, ids=range(len(PYTHON)))
def test_python_blocks(code: str, output: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shape(ended.stdout) == shape(output)


@pytest.mark.parametrize("code", TESTS)
def test_tests(code: str, tmp_path: Path) -> None:
    line = re.search(r"`(pytest_plugins = [^`]+)`", README)
    assert line is not None
    (tmp_path / "conftest.py").write_text(line[1])
    (tmp_path / "test_readme.py").write_text(code)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "-q"]
    scope = ["-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"]
    ended = subprocess.run([*command, *scope, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert re.search(rf"^{code.count('def test_')} passed in", ended.stdout, re.M), ended.stdout + ended.stderr


def test_every_kind_of_block_is_accounted_for() -> None:
    assert {kind for kind, _ in ALL_BLOCKS} == {"sh", "python", "text"}
    assert len(PYTHON) == 8
    assert len(TESTS) == 2
    assert len(SHELL) == 11
    assert {name: sum(kind == "sh" for kind, _ in blocks(page)) for name, page in PAGES.items()} == {
        "cli": 2,
        "contacts": 0,
        "ingest": 1,
        "sandbox": 0,
        "testing": 0,
        "webhooks": 0,
    }


@pytest.mark.parametrize(
    "heading",
    ["Rate limits", "Many locations", pytest.param("Sharing a quota", marks=needs_redis), "More than one machine"],
)
def test_the_commands_of_a_section_show_what_it_shows(heading: str, tmp_path: Path) -> None:
    section = README.split(f"\n## {heading}\n")[1]
    (_, command), (_, output) = re.findall(r"^```(\w+)\n(.*?)^```", section, re.M | re.S)[:2]
    run = re.compile(r"leadconnector-run-\d+-\d+")
    assert shape(run.sub("RUN", _shown_by(command, tmp_path, {}))) == shape(run.sub("RUN", output))


def _shown_by(commands: str, folder: Path, environ: dict[str, str]) -> str:
    """What commands of a shell print, in which `leadconnector` is the one that is tested."""
    (folder / "leadconnector").write_text(f'#!/bin/sh\nexec {shlex.join(LEADCONNECTOR)} "$@"\n')
    (folder / "leadconnector").chmod(0o755)
    environ = {**os.environ, **environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-ec", commands], capture_output=True, text=True, check=True, cwd=folder, env=environ
    ).stdout


@contextmanager
def sandbox(**options: Any) -> Iterator[dict[str, str]]:
    """A sandbox, and the environment in which commands use it."""
    with run_sandbox(**options) as running:
        yield {**running.environ, "LEADCONNECTOR_LOCATION_ID": "ve9EPM428h8vShlRW1KT"}


def test_verify_and_undo_show_what_their_page_shows(tmp_path: Path) -> None:
    section = COMMANDS.split("\n## Verify and undo\n")[1]
    (_, commands), (_, output) = blocks(section)[:2]
    shown = ""
    load = f"leadconnector upsert {ROOT}/examples/contacts.csv --out run"
    with sandbox(max_requests=100, per_seconds=0.3) as environ:
        for number, command in enumerate([load, *commands.splitlines()]):
            _, out, _ = invoke(*shlex.split(command)[1:], "--rate", "100/0.3", cwd=tmp_path, **environ)
            shown += out if number else ""
    takes = re.compile(r"take at least \d+ s")  # other limits here than in the README
    assert takes.sub("", shape(shown)) == takes.sub("", shape(output))


def test_the_way_from_plan_to_undo_shows_what_the_readme_shows(tmp_path: Path) -> None:
    section = README.split("\n## Move your contacts in\n")[1].split("\n## ")[0]
    (_, setting), *shown = blocks(section)
    assert "leadconnector sandbox --port 8787" in setting
    assert "LEADCONNECTOR_LOCATION_ID=ve9EPM428h8vShlRW1KT" in setting
    assert [text.split()[1] for kind, text in shown if kind == "sh"] == ["plan", "upsert", "verify", "undo"]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    with sandbox() as environ:
        for (_, command), (_, output) in zip(shown[::2], shown[1::2], strict=True):
            _, out, _ = invoke(*shlex.split(command)[1:], cwd=tmp_path, **environ)
            assert shape(out) == shape(output)


def test_the_first_command_shows_what_the_readme_shows(tmp_path: Path) -> None:
    command, output = BLOCKS[0][1], BLOCKS[1][1]
    arguments = command.split("leadconnector ")[1].split()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    # The same load, but with a window of a third of a second in place of ten.
    code, out, _ = invoke(*arguments, "--rate", "100/0.3", cwd=tmp_path)
    assert code == 1

    def lines(text: str) -> list[str]:
        return sorted(re.sub(r"leadconnector-run-\d+-\d+", "RUN", shape(text)).splitlines())

    assert lines(out) == lines(output)


def test_the_second_command_is_what_ci_runs() -> None:
    assert "block '## Run the tests'" in (ROOT / ".ci" / "run").read_text()
    assert BLOCKS[2][1].rstrip().endswith(".venv/bin/pytest")


def test_the_command_line_of_its_page(tmp_path: Path) -> None:
    export, command = blocks(COMMANDS)[0][1].splitlines()
    assert export.startswith("read -rs LEADCONNECTOR_TOKEN && export LEADCONNECTOR_TOKEN")
    (tmp_path / "contacts.csv").write_text("email\na@example.com\n")
    with sandbox() as environ:
        assert invoke(*command.split()[1:], cwd=tmp_path, **environ)[0] == 0


def test_the_commands_of_ingestion_show_what_their_page_shows(tmp_path: Path) -> None:
    (_, commands), (_, output) = blocks(PAGES["ingest"].split("\n## From other programs\n")[1])
    with sandbox() as environ:
        assert _shown_by(commands, tmp_path, environ) == output


def test_every_option_that_is_told_of_is_there() -> None:
    _, shown, _ = invoke("upsert", "--help")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    for option in re.findall(r"^\| `(--[\w-]+)", parts(COMMANDS)[0], re.M):  # test_reference.py sees to the rest
        assert option in plain


def test_every_link_leads_somewhere() -> None:
    folders = {ROOT: README} | {ROOT / "leadconnector_async" / name: page for name, page in PAGES.items()}
    for folder, page in folders.items():
        for path in re.findall(r"\]\(((?!http)[^)]+)\)", page):
            assert (folder / path.partition("#")[0]).exists(), path


def test_the_table_of_operations_has_each_and_names_methods_that_are_there() -> None:
    table = PAGES["contacts"].split("```")[0]
    rows = [row.split("|") for row in table.splitlines() if row.startswith("|")][2:]
    client, told = LeadConnector("x"), set()
    for _, _, methods, operations, _ in rows:
        names = re.findall(r"`([\w.]+)`", methods)
        assert all(inspect.getdoc(method_of(client, name)) for name in names)
        for operation in operations.split():
            assert METHODS[operation] in names or operation == "upsert-contact"
            told.add(operation)
    assert told == METHODS.keys()


def test_the_sandbox_command_of_the_readme() -> None:
    command = re.search(r"`leadconnector (sandbox [^`]+)`", PAGES["sandbox"])
    assert command is not None
    arguments = [*command[1].split(), "--port", "0", "--seed", "1"]  # its faults then strike later calls
    server = subprocess.Popen([*LEADCONNECTOR, *arguments], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    body = json.dumps({"locationId": "L", "email": "a@example.com"}).encode()
    headers = {"Authorization": "Bearer sandbox", "Version": "2021-07-28", "User-Agent": "test"}
    request = urllib.request.Request(f"{url}/contacts/upsert", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        assert json.load(response)["new"] is True
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=PATIENCE)
    assert server.returncode == 0


def test_every_benchmark_is_told_of() -> None:
    told = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "benchmarks").glob("bench_*.py")}
    assert set(re.findall(r"^python benchmarks/(\S+)", told, re.M)) == files
