"""Libraries that a load on a cluster needs, imported when it begins."""

from __future__ import annotations

from typing import Any

from ..migration.readers import extras


def load_library(module: str) -> Any:
    """Import a library of the extra `dask`.

    Args:
        module: Its name.

    Raises:
        ConfigurationError: It is not installed.
    """
    return extras.load_library(module, "a load on a cluster", extra="dask", where=", here and on each worker")
