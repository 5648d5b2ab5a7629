"""What scripts rely on, as it stands in tests/golden: names, signatures, options, documents, files, exit codes.

A change here is a change for users: it needs an entry in the CHANGELOG. `WRITE_GOLDEN=1 pytest tests/test_golden.py`
writes the files anew.
"""

from __future__ import annotations

import ast
import csv
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

import leadconnector_async
from leadconnector_async.cli.commands import app
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.testing import run_sandbox
from tests.schemas import check_document, name_of_document

GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = Path(__file__).parent.parent / "examples"
Command = Callable[..., tuple[int, Any]]


def compare(name: str, found: object) -> None:
    path = GOLDEN / f"{name}.json"
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if "WRITE_GOLDEN" in os.environ:
        path.write_text(text, encoding="utf-8")
    assert json.loads(text) == json.loads(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------------------------- Python


def describe(value: object) -> object:
    if not inspect.isclass(value):
        return str(inspect.signature(value)) if callable(value) else type(value).__name__
    members = {
        name: describe_member(member)
        for name, member in inspect.getmembers(value)
        if not name.startswith("_") and name not in dir(BaseException)
    }
    bases = [base.__name__ for base in value.__mro__[1:] if base.__name__ in leadconnector_async.__all__]
    made_by_client = value.__name__ in ("Contacts", "Locations")  # nobody else calls them
    return {"bases": bases, "members": members, "signature": None if made_by_client else signature_of(value)}


def describe_member(member: object) -> str:
    if isinstance(member, property):
        return "property"
    return signature_of(member) if callable(member) else "attribute"


def signature_of(member: Any) -> str:
    if isinstance(member, type) and issubclass(member, msgspec.Struct):
        fields = msgspec.structs.fields(member)
        return ", ".join(f"{field.encode_name}={default_of(field)}" for field in fields)
    try:
        return str(inspect.signature(member))
    except ValueError:
        return "no signature"


def default_of(field: Any) -> str:
    return "required" if field.required else repr(field.default)


def test_names() -> None:
    compare("names", leadconnector_async.__all__)


def test_each_name_is_imported_when_it_is_asked_for_from_where_types_find_it() -> None:
    tree = ast.parse(Path(leadconnector_async.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    for_types = {
        alias.name: node.module for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert for_types == leadconnector_async._PLACE_OF
    assert {*for_types, "__version__", "errors"} == set(leadconnector_async.__all__) <= set(dir(leadconnector_async))
    with pytest.raises(AttributeError, match="has no attribute 'Contact5'"):
        leadconnector_async.Contact5  # noqa: B018
    assert leadconnector_async.errors.LoadError is leadconnector_async.LoadError


def test_a_client_without_journal_and_shared_limits_loads_neither_sqlite_nor_redis() -> None:
    script = "import sys; before = {*sys.modules}; import leadconnector_async; print(*{*sys.modules} - before)\n"
    script += "from leadconnector_async import LeadConnector; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    package, client = done.stdout.splitlines()
    assert "aiohttp" not in package.split()
    assert {"aiohttp", "leadconnector_async.client"} <= set(client.split())
    for unwanted in ("sqlite3", "redis", "leadconnector_async.run.journal", "leadconnector_async.limits.redis_script"):
        assert unwanted not in client.split()


def test_signatures() -> None:
    compare("signatures", {name: describe(getattr(leadconnector_async, name)) for name in leadconnector_async.__all__})


# ---------------------------------------------------------------------------------------------- the command line


def test_options() -> None:
    group: Any = typer.main.get_command(app)
    compare(
        "options",
        {
            name: [
                {
                    "names": [*option.opts, *option.secondary_opts],
                    "type": option.type_descriptor.annotation.__name__,
                    "is_required": option.required,
                    "is_flag": getattr(option, "is_flag", False),
                    "is_repeatable": getattr(option, "multiple", False) or option.nargs == -1,
                    "environment": option.envvar,
                }
                for option in command.params
            ]
            for name, command in group.commands.items()
        },
    )


def shape_of(value: object) -> object:
    """The keys and types of a document, without its values."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes = [shape_of(item) for item in value]
        return [shape for number, shape in enumerate(shapes) if shape not in shapes[:number]]
    return type(value).__name__


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Command]:
    """Run commands against a sandbox, and return their exit codes and JSON documents."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*arguments: object) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in (*arguments, "--json")])
        out = capsys.readouterr().out
        return int(ended.value.code or 0), json.loads(out) if out else None

    with run_sandbox(seed=1, per_seconds=0.2) as sandbox:
        set_environment(monkeypatch, sandbox)
        yield run


def set_environment(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    for name in ("API_VERSION", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(f"LEADCONNECTOR_{name}", raising=False)
    for name, value in {"TOKEN": "sandbox", "LOCATION_ID": "L", "BASE_URL": sandbox.url}.items():
        monkeypatch.setenv(f"LEADCONNECTOR_{name}", value)


def test_documents_files_and_exit_codes(command: Command, tmp_path: Path) -> None:
    documents, codes = {}, {}
    options = ("--default-country", "US")
    for title, arguments in {
        "plan": ("plan", EXAMPLES / "export.csv", *options),
        "plan --compare": ("plan", EXAMPLES / "export.csv", *options, "--compare"),
        "map": ("map", EXAMPLES / "export.csv"),
        "upsert --dry-run": ("upsert", EXAMPLES / "export.csv", *options, "--dry-run"),
        "upsert": ("upsert", EXAMPLES / "export.csv", *options, "--out", "run", "--snapshot"),
        "upsert of more": ("upsert", EXAMPLES / "contacts.csv", "--out", "more", "--tags", "replace"),
        "verify": ("verify", "run"),
        "undo": ("undo", "run", "--yes", "--force"),
        "export": ("export", "all.csv"),
        "whoami": ("whoami",),
        "upsert of a missing file": ("upsert", "missing.csv"),
    }.items():
        codes[title], document = command(*arguments)
        if document is not None:
            check_document(name_of_document([str(word) for word in arguments]), json.dumps(document))
        documents[title] = shape_of(document)
    compare("documents", documents)
    compare("exit_codes", codes)
    for name in ("report", "verify-file", "undo-file"):
        check_document(name, (tmp_path / "run" / f"{name.removesuffix('-file')}.json").read_text())
    folders = {folder: describe_folder(tmp_path / folder) for folder in ("run", "more")}
    compare("result_files", {**folders, "all.csv": columns_of(tmp_path / "all.csv")})


def describe_folder(folder: Path) -> dict[str, object]:
    files = sorted(path for path in folder.iterdir() if ".sqlite3" not in path.name)
    return {path.name: columns_of(path) for path in files}


def columns_of(path: Path) -> object:
    if path.suffix == ".json":
        return shape_of(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file))
    return path.suffix
