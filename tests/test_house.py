"""The house: who may call whom. Read from the source, so that a back edge fails before it is used."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "leadconnector_async"

# Each wing, or file beside the wings, and those it may use; besides those that they may use themselves.
WINGS: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "version": set(),
    "private_file": {"errors"},
    "environment": {"errors"},
    "models": {"errors"},
    "protocol": {"models", "version"},
    "limits": {"clock", "protocol"},
    "auth": {"clock", "private_file", "protocol"},
    "calls": {"auth", "limits"},
    "contacts": {"calls"},
    "rules": {"models"},
    "bulk": {"contacts", "private_file", "rules"},
    "run": {"bulk"},
    "client": {"environment", "run"},
    "ingest": {"client"},
    "migration": {"client"},
    "cluster": {"migration"},
    "distributed": {"cluster"},
    "sandbox": {"models", "private_file"},
    "testing": {"client", "sandbox"},
    "webhooks": {"clock", "models"},
    "cli": {"cluster", "ingest", "sandbox"},
}
# The rooms of each wing, from the bottom up: each may use those before it, and none behind it.
ROOMS: dict[str, str] = {
    "models": """
        dnd records given normal lenient structs activities custom_fields contacts fields compare identity links
        locations wire search __init__
    """,
    "protocol": "request text answers activities contacts links locations redaction search __init__ oauth",
    "limits": "day limit local redis_script redis_window redis __init__",
    "auth": "source renewal stores logins oauth_app __init__",
    "calls": "gate retry server_clock call telemetry transport caller __init__",
    "contacts": "group activities authorship finding links contacts locations __init__",
    "rules": "countries checks problems consent texts dates emails phones places fields contacts __init__",
    "bulk": """
        threads backlog breaker closing report source traces outcome row coalesce pool run_log delivery intake load
        brake contacts __init__
    """,
    "run": "database target timeline rows folder journal __init__",
    "migration": """
        tables/extras tables/file tables/table tables/duck tables/queries tables/text tables/delimited tables/json
        tables/workbook tables/vcard tables/open mapping/targets mapping/custom_fields mapping/directories
        mapping/headers mapping/meaning mapping/presets mapping/columns matching before undone plan export undo
        report/html report/charts report/words report/plan_page tables/__init__ tables/inputs mapping/rows
        mapping/file check restoring select options steps tagging phones report/files load survey planning inventory
        verify restore report/report_page mapping/__init__ report/__init__ existing prepare migration __init__
    """,
    "cluster": "own_worker store lease spool journal splitting workers dispatch load lead run __init__",
    "sandbox": """
        answers custom_fields quota shelves calls logins oauth validation books activities data_file locations
        shapes contacts search service server __init__
    """,
    "testing": "running fixtures __init__",
    "ingest": "store drainer outbox service __init__",
    "webhooks": "events signatures verification __init__",
    "cli": """
        flags options terminal app accounts export past_runs service ingest orders conclusion undo upsert cluster plan
        load_commands verify run_commands commands documents __init__
    """,
}
# What a wing must not name itself, although what it uses may: wings, and modules of the standard library.
FORBIDDEN = {"cluster": {"run", "sqlite3"}}
BESIDE = 8  # files beside the wings at most
# What the application's meter provider raises is no failure of a call, nor is what keeps its exceptions from a pickle.
MAY_SWALLOW = {"telemetry.py", "errors.py"}


def reachable(wing: str) -> set[str]:
    found = set(WINGS[wing])
    for used in WINGS[wing]:
        found |= reachable(used)
    return found


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def name_of(path: Path) -> str:
    """A module by its path below the package: `bulk/load`, `migration/report/html`, `errors`."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def wing_of(name: str) -> str:
    return name.partition("/")[0]


def place_of(name: str) -> int:
    rooms = ROOMS.get(wing_of(name), "").split()
    return rooms.index(name.partition("/")[2]) if rooms else 0


def imports(path: Path) -> set[str]:
    """The modules of ours that a file names in imports, also in those that are deferred or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {module_at(alias.name.split(".")[1:]) for alias in node.names if is_ours(alias.name)}
        elif isinstance(node, ast.ImportFrom) and (node.level or is_ours(node.module or "")):
            base = list(path.relative_to(PACKAGE).parts)[: -node.level] if node.level else []
            named = (node.module or "").split(".") if node.module else []
            base += named if node.level else named[1:]
            found |= {module_at([*base, alias.name]) for alias in node.names}
    return found


def is_ours(name: str) -> bool:
    return name.split(".")[0] == PACKAGE.name


def module_at(parts: list[str]) -> str:
    """The module that a dotted name means: the name may be a module itself, or stand in one."""
    for end in (len(parts), len(parts) - 1):
        path = PACKAGE.joinpath(*parts[:end])
        if end and path.with_suffix(".py").is_file():
            return name_of(path.with_suffix(".py"))
        if (path / "__init__.py").is_file():
            return name_of(path / "__init__.py")
    raise AssertionError(f"{'.'.join(parts)} is no module")


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_nothing_imports_against_the_arrows(path: Path) -> None:
    name = name_of(path)
    for used in sorted(imports(path) - {name}):
        assert used != "__init__", f"{name} must name the module it uses, not the package"
        if wing_of(used) == wing_of(name):
            assert place_of(used) < place_of(name), f"{name} must not use {used}, which stands above it"
        else:
            assert wing_of(used) in reachable(wing_of(name)), f"{name} must not use {used}"


def modules_of_others(path: Path) -> set[str]:
    """The modules of Python and of libraries that a file names in imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("wing", FORBIDDEN)
def test_a_wing_names_nothing_that_it_must_not_know(wing: str) -> None:
    paths = [path for path in modules() if wing_of(name_of(path)) == wing]
    assert paths
    for path in paths:
        named = {wing_of(used) for used in imports(path)} | modules_of_others(path)
        assert not named & FORBIDDEN[wing], name_of(path)


def test_every_module_has_its_place_and_every_place_its_module() -> None:
    placed = [f"{wing}/{room}" for wing, rooms in ROOMS.items() for room in rooms.split()]
    placed += [wing for wing in WINGS if wing not in ROOMS]
    assert sorted(placed) == sorted(name_of(path) for path in modules())
    assert sum("/" not in name for name in placed) + 1 <= BESIDE


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*/__init__.py")), ids=name_of)
def test_every_wing_says_what_it_is_what_it_uses_and_where_to_begin(path: Path) -> None:
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert "Uses " in told
    assert "Begin " in told


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_swallowed_and_nothing_unsafe_is_read(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            is_theirs = path.name in MAY_SWALLOW and caught == "Exception"
            is_broad = caught in ("everything", "Exception", "BaseException")
            assert not is_broad or raises or is_theirs, f"line {node.lineno}"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("eval", "exec", "pickle.loads", "pickle.load"), f"line {node.lineno}"


PURE = ["models", "protocol", "rules", "calls/retry", "bulk/report", "bulk/outcome", "bulk/traces"]


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_stays_pure(name: str) -> None:
    for path in modules():
        if name in (name_of(path), wing_of(name_of(path))):
            text = path.read_text(encoding="utf-8")
            assert "import asyncio" not in text
            assert "import aiohttp" not in text


@pytest.mark.parametrize(
    "path", [path for path in modules() if wing_of(name_of(path)) in ("bulk", "ingest", "migration")], ids=name_of
)
def test_no_thread_outlives_a_cancelled_task(path: Path) -> None:
    """What a thread reads from or writes to may be closed next, so `bulk.threads` waits for it."""
    if name_of(path) != "bulk/threads":
        assert "asyncio.to_thread" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_cancellations_are_compared_with_their_number_at_the_start(path: Path) -> None:
    """A task may have been cancelled before: in its clean-up, and after a failed TaskGroup in Python 3.11 and 3.12.

    So `cancelling()` is kept, or compared with what was kept, and `uncancel()` is compared with that: neither is a
    truth value, and neither is compared with a number.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    compared = {
        id(side)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and not any(isinstance(side, ast.Constant) for side in node.comparators)
        for side in (node.left, *node.comparators)
    }
    kept = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for part in (node.value, *(parts_of(node.value)))
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            if call.func.attr == "uncancel":
                assert id(call) in compared, f"{path}:{call.lineno}"
            elif call.func.attr == "cancelling":
                assert id(call) in compared | kept, f"{path}:{call.lineno}"


def parts_of(value: ast.expr) -> list[ast.expr]:
    """What a tuple or a choice holds."""
    if isinstance(value, ast.Tuple):
        return value.elts
    return [value.body, value.orelse] if isinstance(value, ast.IfExp) else []
