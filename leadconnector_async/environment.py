"""The environment variables of this package: all of them, and the one way to read them.

A variable that is set but empty is refused. It is what a missing secret or a misspelled name in a script leaves behind,
and to take it for "not set" would send contacts to the real service instead of the test system that was meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from .errors import ConfigurationError

TOKEN: Final = "LEADCONNECTOR_TOKEN"  # noqa: S105  (a name)
LOCATION_ID: Final = "LEADCONNECTOR_LOCATION_ID"
BASE_URL: Final = "LEADCONNECTOR_BASE_URL"
API_VERSION: Final = "LEADCONNECTOR_API_VERSION"
CLIENT_ID: Final = "LEADCONNECTOR_CLIENT_ID"
CLIENT_SECRET: Final = "LEADCONNECTOR_CLIENT_SECRET"  # noqa: S105
PROXY: Final = "LEADCONNECTOR_PROXY"
REDIS_PASSWORD: Final = "LEADCONNECTOR_REDIS_PASSWORD"  # noqa: S105
INGEST_SECRET: Final = "LEADCONNECTOR_INGEST_SECRET"  # noqa: S105
VARIABLES: Final = (
    TOKEN,
    LOCATION_ID,
    BASE_URL,
    API_VERSION,
    CLIENT_ID,
    CLIENT_SECRET,
    PROXY,
    REDIS_PASSWORD,
    INGEST_SECRET,
)


def read_variable(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the value of a variable without white space around it, or None where it is not set.

    Args:
        name: One of `VARIABLES`.
        environ: Where to look; the process's environment by default.

    Raises:
        ConfigurationError: It is set, but empty.
    """
    value = (os.environ if environ is None else environ).get(name)
    if value is not None and not value.strip():
        raise ConfigurationError(f"{name} is set but empty: unset it, or give it a value")
    return None if value is None else value.strip()


def set_variable(name: str, value: str) -> None:
    """Set a variable for the rest of this process, as an option of the command line does that goes before it."""
    os.environ[name] = value


def without_secrets() -> dict[str, str]:
    """Return the environment for a process that is to know none of our secrets, nor any that is called one."""
    return {name: value for name, value in os.environ.items() if not _SECRET_NAME.search(name)}


_SECRET_NAME: Final = re.compile("TOKEN|SECRET|PASSWORD|PASSWD|LEADCONNECTOR_", re.I)


def check_variables(environ: Mapping[str, str] | None = None) -> None:
    """Refuse variables that are set but empty, whether or not they would be read.

    Raises:
        ConfigurationError: One is; the sentence names it.
    """
    for name in VARIABLES:
        read_variable(name, environ)
