"""What the README and the pages say is true: each block of each of them runs, and prints what it shows."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.migration.mapping.file import read_mapping_file
from leadconnector_async.sandbox import FAULT_KINDS
from tests.cli.conftest import COMMAND, invoke
from tests.cli.reference import parts
from tests.contacts.test_contacts import METHODS, method_of
from tests.pages import (
    PACKAGE,
    PAGES,
    ROOT,
    SET_UP,
    blocks_of,
    headings_of,
    in_powershell,
    is_python,
    links_of,
    run_commands,
    run_python,
    shape,
    shows,
)
from tests.redis_server import needs_redis
from tests.waiting import PATIENCE

README = PAGES["README.md"]
BLOCKS = {name: blocks_of(page) for name, page in PAGES.items()}
PYTHON = [
    pytest.param(block.text, block.output, id=f"{name}-{number}")
    for name, blocks in BLOCKS.items()
    for number, block in enumerate(blocks)
    if is_python(block)
]
TESTS = [
    pytest.param(block.text, id=name)
    for name, blocks in BLOCKS.items()
    for block in blocks
    if block.kind == "python" and not is_python(block)
]
IN_CI = ("See it run", "Run the tests")  # `.ci/run` runs the first command below these headings as it stands
STORIES = [
    pytest.param(name, marks=needs_redis) if any("redis-server" in block.text for block in blocks) else name
    for name, blocks in BLOCKS.items()
    if any(block.kind == "sh" for block in blocks)
]

# ---------------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("name", PAGES)
def test_every_block_is_of_a_kind_that_runs(name: str) -> None:
    assert {block.kind for block in BLOCKS[name]} <= {"sh", "powershell", "python", "toml"}
    assert PAGES[name].count("```") == 2 * len(re.findall(r"^```\w+\n.*?^```$", PAGES[name], re.M | re.S))


TOML = [block.text for blocks in BLOCKS.values() for block in blocks if block.kind == "toml"]


@pytest.mark.parametrize("text", TOML)
def test_a_mapping_file_that_is_shown_can_be_read(text: str, tmp_path: Path) -> None:
    (tmp_path / "mapping.toml").write_text(text, encoding="utf-8")
    assert read_mapping_file(tmp_path / "mapping.toml").columns


@pytest.mark.parametrize("name", STORIES)
def test_the_commands_of_a_page_print_what_it_shows(name: str, tmp_path: Path) -> None:
    for block, out in run_commands(BLOCKS[name], tmp_path):
        if block.output is not None:
            assert shows(block.output, out), f"{shape(out)}\n{(tmp_path / 'stderr').read_text()}"


@pytest.mark.parametrize(("code", "output"), PYTHON)
def test_python_blocks_print_what_their_page_shows(code: str, output: str | None, tmp_path: Path) -> None:
    out = run_python(code, tmp_path)
    assert shows(output or "", out), shape(out)


@pytest.mark.parametrize("code", TESTS)
def test_blocks_that_are_tests_pass(code: str, tmp_path: Path) -> None:
    plugin = re.search(r"`(pytest_plugins = [^`]+)`", PAGES["leadconnector_async/testing/README.md"])
    assert plugin is not None
    (tmp_path / "conftest.py").write_text(plugin[1])
    (tmp_path / "test_page.py").write_text(code)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "-q"]
    scope = ["-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider"]
    ended = subprocess.run([*command, *scope, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert re.search(rf"^{code.count('def test_')} passed in", ended.stdout, re.M), ended.stdout + ended.stderr


@pytest.mark.parametrize("name", PAGES)
def test_commands_for_windows_are_those_before_them(name: str) -> None:
    """Nobody can run them here, so they must not say anything of their own."""
    for before, block in zip(BLOCKS[name], BLOCKS[name][1:], strict=False):
        if block.kind == "powershell":
            assert block.text == in_powershell(before.text)


def test_set_up_commands_are_those_that_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    first = {heading: blocks_of(README.split(f"\n## {heading}\n")[1])[0] for heading in IN_CI}
    assert all(f"block '## {heading}'" in ci for heading in IN_CI)
    assert {block.text for block in first.values()} == {
        block.text for blocks in BLOCKS.values() for block in blocks if block.kind == "sh" and SET_UP.match(block.text)
    }
    for heading in IN_CI:
        assert [block.kind for block in blocks_of(README.split(f"\n## {heading}\n")[1])[:2]] == ["sh", "powershell"]


def test_what_is_left_out_of_an_output_can_be_anything_but_nothing_else_can() -> None:
    assert shows("a\n...\nz\n", "a\nb\nc\nz\n")
    assert shows("...\nz\n", "a\nz\n")
    assert shows("3 rows in 0.1 s\n", "3 rows in 20.3 s\n")
    assert not shows("a\n...\nz\n", "b\nz\n")
    assert not shows("a\n", "a\nb\n")
    assert not shows("a\n...\nc\n...\nz\n", "a\nb\nz\n")


# ---------------------------------------------------------------------------------------------- the README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_the_readme_leads_to_every_page() -> None:
    """Directly, or through another page."""
    found, waiting = {"README.md"}, ["README.md"]
    while waiting:
        name = waiting.pop()
        paths = [((ROOT / name).parent / link.partition("#")[0]).resolve() for link in links_of(PAGES[name])]
        linked = {path.relative_to(ROOT).as_posix() for path in paths} & PAGES.keys() - found
        found |= linked
        waiting += linked
    assert found == PAGES.keys()


def test_the_readme_says_what_each_extra_adds() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    table = README.split("| extra |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == extras - {"test", "dev", "browser", "bench"}


OTHERS = ["CHANGELOG.md", "benchmarks/README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md"]


@pytest.mark.parametrize("name", [*PAGES, *OTHERS])
def test_every_link_leads_somewhere(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in headings_of(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_one_title(name: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGES[name], flags=re.M | re.S)
    assert prose.startswith("# ")
    assert len(re.findall(r"^# ", prose, re.M)) == 1


ODD = re.compile(
    r"\b(tells?|told|whom|of which|sittings?|that there is not|is no (number|day|list)|of a load|spent day|as ever|anew"
    r"|of ours|goes on|go on|gives up|none that|what there is|what is there)\b",
    re.IGNORECASE,
)


# Rendered from the code: docstrings of it, and the words that people write in files.
RENDERED = {"leadconnector_async/API.md", "leadconnector_async/migration/mapping/README.md"}


@pytest.mark.parametrize("name", [*sorted(PAGES.keys() - RENDERED), *OTHERS[1:]])
def test_pages_use_common_words(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", parts(page)[0], flags=re.S)
    assert not [line for line in prose.splitlines() if ODD.search(line)]


# ---------------------------------------------------------------------------------------------- for contributors


def test_the_workflow_runs_what_decides_on_every_python_that_is_promised() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    promised = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert promised
    assert set(promised) <= set(re.findall(r'"(3\.\d+)"', workflow))
    assert re.search(r"^      - run: \.ci/run$", workflow, re.M)


def test_the_hooks_run_what_ci_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert {"ruff format", "ruff check", "mypy"} <= set(re.findall(r"^        name: (.*)$", hooks, re.M))
    for path in re.findall(r"tests/\S+\.py", hooks):
        assert (ROOT / path).exists()


def test_what_contributors_are_pointed_to_exists() -> None:
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(
        r"`(?:python -m )?((?:tests|migration|models|rules|sandbox|contacts|protocol)[\w/.]*)", page
    ):
        places = [base / path.replace(".", "/") for base in (ROOT, PACKAGE)] + [base / path for base in (ROOT, PACKAGE)]
        assert any(place.exists() or place.with_suffix(".py").exists() for place in places), path


# ---------------------------------------------------------------------------------------------- single pages


def test_every_option_in_the_table_exists() -> None:
    _, shown, _ = invoke("upsert", "--help")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    page = PAGES["leadconnector_async/cli/README.md"]
    for option in re.findall(r"^\| `(--[\w-]+)", parts(page)[0], re.M):  # test_reference.py sees to the rest
        assert option in plain


def test_the_table_of_operations_has_each_and_names_methods_that_exist() -> None:
    table = PAGES["leadconnector_async/contacts/README.md"].split("```")[0]
    rows = [row.split("|") for row in table.splitlines() if row.startswith("|")][2:]
    client, named = LeadConnector("x"), set()
    for _, _, methods, operations, _ in rows:
        names = re.findall(r"`([\w.]+)`", methods)
        assert all(inspect.getdoc(method_of(client, name)) for name in names)
        for operation in operations.split():
            assert METHODS[operation] in names or operation == "upsert-contact"
            named.add(operation)
    assert named == METHODS.keys()


def test_the_command_on_the_page_of_the_sandbox_starts_one() -> None:
    command = re.search(r"`leadconnector (sandbox [^`]+)`", PAGES["leadconnector_async/sandbox/README.md"])
    assert command is not None
    arguments = [*command[1].split(), "--port", "0", "--seed", "1"]  # its faults then strike later calls
    server = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True)
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


def test_the_page_of_the_sandbox_says_what_each_fault_does() -> None:
    table = PAGES["leadconnector_async/sandbox/README.md"].split("## Faults")[1]
    assert dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", table, re.M)) == FAULT_KINDS


def test_the_page_of_telemetry_names_every_instrument() -> None:
    page = PAGES["leadconnector_async/calls/telemetry.md"]
    source = (PACKAGE / "calls" / "telemetry.py").read_text(encoding="utf-8")
    made = re.findall(r'create_\w+\(\s*"([\w.]+)"', source)
    assert made
    assert set(re.findall(r"^\| `(leadconnector\.[\w.]+)`", page, re.M)) == set(made)


def test_the_page_of_figures_names_every_benchmark() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in (ROOT / "benchmarks").glob("bench_*.py")}
    assert set(re.findall(r"^python benchmarks/(\S+)", page, re.M)) == files
