"""The house: who may call whom. Read from the source, so that a back edge fails before it is used."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "leadconnector_async"

# Each module and the ones it may use, besides those that they may use themselves.
MAY_USE: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "clock": set(),
    "environment": {"errors"},
    "models": {"errors"},
    "identity": {"models"},
    "answers": {"errors"},
    "redaction": {"answers"},
    "protocol": {"answers", "models", "version"},
    "server_clock": {"answers"},
    "call": {"protocol", "server_clock"},
    "retry": {"errors"},
    "auth": {"clock", "protocol"},
    "private_file": {"errors"},
    "token_stores": {"private_file"},
    "grants": set(),
    "oauth": {"grants", "protocol", "redaction"},
    "installed_locations": {"oauth"},
    "logins": {"grants", "token_stores"},
    "renewal": {"auth", "oauth"},
    "accounts": {"installed_locations", "logins", "renewal"},
    "oauth_app": {"accounts"},
    "watch": set(),
    "day": {"answers"},
    "limits": {"day"},
    "local_limits": {"clock", "limits"},
    "transport": {"protocol", "redaction", "watch"},
    "comparison": {"identity"},
    "report": {"comparison", "private_file"},
    "sources": {"models"},
    "backlog": set(),
    "outbox": {"report"},
    "shared_script": {"answers"},
    "shared_window": {"local_limits", "shared_script"},
    "shared_limits": {"redaction", "shared_window"},
    "telemetry": {"clock", "limits", "protocol", "report"},
    "gate": set(),
    "client": {"call", "environment", "gate", "local_limits", "retry", "auth", "transport", "clock", "telemetry"},
    "group": {"client"},
    "locations": {"group"},
    "contacts": {"group", "journal", "report", "sources"},
    "closing": {"comparison", "protocol"},
    "collisions": set(),
    "traces": {"identity", "models", "server_clock"},
    "entry": {"collisions", "identity", "report", "traces"},
    "timeline": {"report"},
    "journal_file": {"private_file", "timeline", "traces"},
    "journal": {"entry", "journal_file", "report"},
    "breaker": {"clock"},
    "delivery": {"clock", "journal"},
    "verdict": {"backlog", "call", "clock", "closing", "journal", "sources"},
    "intake": {"contacts", "delivery", "sources", "verdict"},
    "load": {"breaker", "intake"},
    "bulk": {"load", "outbox"},
    "webhooks": {"clock", "models"},
    "sandbox": {"models", "errors", "private_file"},
    "testing": {"client", "sandbox"},
    "migration": {"bulk"},
    "distributed": {"migration"},
    "cli": {"distributed", "migration", "oauth_app", "sandbox", "shared_limits"},
}
# What the application's meter provider raises is no failure of a call.
MAY_SWALLOW = {"telemetry.py"}
# `client.contacts` and `contacts.bulk_upsert` are promised to users, so each reaches up once, when it is called.
DEFERRED = {
    ("client", "contacts"),
    ("client", "locations"),
    ("contacts", "bulk"),
    ("contacts", "load"),
    ("cli", "sandbox"),
    ("errors", "report"),
    ("accounts", "oauth_app"),  # for its type alone
}


def reachable(module: str) -> set[str]:
    found = set(MAY_USE[module])
    for used in MAY_USE[module]:
        found |= reachable(used)
    return found


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def wing_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Each module of ours that a file imports, and whether it does so on import."""
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = {id(node) for node in tree.body}
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.level == depth:
                names = [node.module] if node.module else [alias.name for alias in node.names]
            elif (node.module or "").startswith("leadconnector_async."):
                names = [str(node.module).removeprefix("leadconnector_async.")]
            else:
                continue
            found += [(name.split(".")[0], id(node) in at_once) for name in names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_against_the_arrows(path: Path) -> None:
    wing = wing_of(path)
    for used, at_once in imports(path):
        if used != wing and not (not at_once and (wing, used) in DEFERRED):
            assert used in reachable(wing), f"{wing} must not use {used}"


def test_every_module_has_its_place() -> None:
    assert {wing_of(path) for path in modules()} <= set(MAY_USE)


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


@pytest.mark.parametrize(
    "module",
    [
        "protocol",
        "answers",
        "redaction",
        "models",
        "retry",
        "report",
        "identity",
        "comparison",
        "oauth",
        "grants",
        "installed_locations",
    ],
)
def test_what_is_pure_stays_pure(module: str) -> None:
    paths = [path for path in modules() if wing_of(path) == module]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    assert "import asyncio" not in text
    assert "import aiohttp" not in text
