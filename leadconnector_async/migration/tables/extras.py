"""Libraries that only some kinds of sources need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ...errors import ConfigurationError


def load_library(module: str, purpose: str, *, extra: str = "files", where: str = "") -> ModuleType:
    """Import a library of an extra.

    Args:
        module: Its name.
        purpose: What needs it, as the beginning of a sentence.
        extra: What installs it.
        where: Where it is to be installed, as the end of that sentence.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise ConfigurationError(
            f"{purpose} needs one more package: pip install 'leadconnector-async[{extra}]'{where}"
        ) from None
