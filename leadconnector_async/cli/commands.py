"""`leadconnector` with all its commands, in the order in which its help names them."""

from __future__ import annotations

from . import accounts as account_commands
from . import load_commands, run_commands
from . import service as service_commands

# isort: split
from . import ingest as ingest_commands
from .app import app

__all__ = ["account_commands", "app", "ingest_commands", "load_commands", "run_commands", "service_commands"]
