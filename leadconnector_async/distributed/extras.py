"""Libraries that a load on a cluster needs, imported when it begins."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import ConfigurationError


def load_library(module: str) -> Any:
    """Import a library of the extra `dask`.

    Args:
        module: Its name.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise ConfigurationError(
            f"a load on a cluster needs {error.name}: pip install 'leadconnector-async[dask]', here and on each worker"
        ) from None
