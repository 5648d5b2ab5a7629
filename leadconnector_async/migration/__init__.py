"""From files to a finished, proved load that can be undone: read, map, check, plan, load, verify, undo, export.

Uses `run`, `rules` and the client. Begin with `migration.py`; `tables` reads files, `mapping` makes contacts of their
rows, `report` writes what a run leaves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .migration import Migration
    from .options import MigrationOptions
    from .tables.inputs import Sources

__all__ = ["Migration", "MigrationOptions", "Sources"]
_PLACES = {"Migration": "migration", "MigrationOptions": "options", "Sources": "tables.inputs"}


def __getattr__(name: str) -> Any:
    """Load what is asked for: the room of one command need not load all others."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)
