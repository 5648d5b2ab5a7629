"""Below the command line, messages name options as Python does; the command line prints its flags."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import leadconnector_async
from leadconnector_async import ConfigurationError, LeadConnector
from leadconnector_async.cli.commands import app
from leadconnector_async.cli.flags import FLAGS, with_flags
from leadconnector_async.cluster import upsert_partitions
from leadconnector_async.errors import option
from leadconnector_async.migration import Migration, MigrationOptions
from leadconnector_async.migration.export import Export, ExportOrder
from leadconnector_async.migration.tables.inputs import Query, Reading

PACKAGE = Path(leadconnector_async.__file__).parent
A_FLAG = re.compile(r"(?<![\w-])--[a-z]")
AN_OPTION = re.compile(r"`([A-Za-z_.]+)(?:=|`)")
# What else stands in backticks: a value that is filled in, a word of the API, a method, arguments of other wings.
NO_OPTIONS = {"a", "active", "use", "leadconnector_sandbox", "timestamp", "request.data"}
STRUCTS = (MigrationOptions, Query, Reading, ExportOrder)
CALLED = (
    Migration.prepare,
    Migration.open,
    Migration.upsert,
    Migration.verify,
    LeadConnector,
    Export,
    upsert_partitions,
)


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if not path.is_relative_to(PACKAGE / "cli")]


def texts(path: Path, *, with_docstrings: bool) -> Iterator[str]:
    """All texts of a module; of an f-string with a letter for each value that is filled in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "a" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value if with_docstrings or id(node) not in loose else ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_text_below_the_command_line_names_a_flag(path: Path) -> None:
    assert [text for text in texts(path, with_docstrings=True) if A_FLAG.search(text)] == []


def test_a_flag_put_together_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(name): return f'--{name}'\n", encoding="utf-8")
    assert any(map(A_FLAG.search, texts(tmp_path / "a.py", with_docstrings=False)))


def test_each_option_that_a_message_names_has_a_flag() -> None:
    named = {
        name for path in modules() for text in texts(path, with_docstrings=False) for name in AN_OPTION.findall(text)
    }
    assert named - {*FLAGS} - NO_OPTIONS == set()


def names_in_python() -> set[str]:
    found = {field for kind in STRUCTS for field in kind.__struct_fields__}
    for function in CALLED:
        found |= {*inspect.signature(function).parameters}
    return found | {*leadconnector_async.__all__} | {"Migration.open"}


def flags_of_commands() -> set[str]:
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    return {flag for command in commands for parameter in command.params for flag in parameter.opts}


def test_each_name_and_each_flag_of_the_table_exists() -> None:
    assert {*FLAGS} - names_in_python() == set()
    assert {*FLAGS.values()} - flags_of_commands() == set()


def test_the_table_has_every_option_of_a_migration() -> None:
    assert {*MigrationOptions.__struct_fields__} - {*FLAGS} == set()


def test_flags_take_the_place_of_names() -> None:
    assert with_flags("`only_new` and `only_existing` leave no row") == "--only-new and --only-existing leave no row"
    assert with_flags(f"see {option('tags', 'replace')}.") == "see --tags replace."
    assert with_flags(option("ignore", ["A b", 'c"$d'])) == r'--ignore "A b" --ignore "c\"\$d"'


@pytest.mark.parametrize("text", ["`nothing`", "`a b`", "`tags=oops(`", "`", "`tags", "``tags", "no option"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert with_flags(text) == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(str.split).map(" ".join))
def test_any_header_means_itself_to_a_shell(header: str) -> None:
    """Backticks, quotes, dollars, backslashes: the command that is shown names the very header."""
    (flag, quoted) = with_flags(option("columns", {header: "opt-out:Email"})).split(" ", 1)
    assert flag == "--map"
    shown = subprocess.run(["sh", "-c", f"printf %s {quoted}"], capture_output=True, text=True, check=True).stdout
    assert shown == f"{header}=opt-out:Email"


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert with_flags(option("ignore", ["\x1b[2JName\u202e"])) == '--ignore "[2JName"'


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"only_new": True, "only_existing": True}, ("only_new", "only_existing")),
        ({"only_new": True, "fill_empty": True}, ("fill_empty", "only_new")),
        ({"fill_empty": True, "tags": "replace"}, ("fill_empty", "tags")),
        ({"phone_conflict": "no"}, ("phone_conflict",)),
    ],
)
def test_python_reads_names_of_python(settings: dict[str, object], named: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MigrationOptions(**settings)  # type: ignore[arg-type]
    assert "--" not in str(caught.value)
    for name in named:
        assert name in str(caught.value)
        assert FLAGS[name] in with_flags(str(caught.value))
