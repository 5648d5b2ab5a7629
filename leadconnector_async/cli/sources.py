"""What the arguments of a command say about what to read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from ..migration.inputs import Sources
from ..migration.readers import Reading
from ..migration.readers.queries import Query, has_password

_FROM_ENVIRONMENT: Final = "env:"


class NamedQuery(Query, frozen=True):
    """A query of a database that the command line names in words of its own.

    Attributes:
        given: What it says after `--from`.
    """

    given: str


def read_sources(
    files: list[Path] | None,
    *,
    sql: str | None,
    database: str | None,
    file_format: str | None,
    encoding: str | None,
    sheet: str | None,
) -> Sources:
    """Read FILE..., `--sql`, `--from`, `--format`, `--encoding` and `--sheet`.

    Raises:
        ConfigurationError: They do not go together, or a password is where everybody can see it.
    """
    if (sql is None) != (database is None):
        raise ConfigurationError("--sql says what to select and --from says where: give both, or neither")
    query = None if sql is None or database is None else NamedQuery(sql, _find_database(database), database)
    return Sources(files=files or [], query=query, reading=Reading(format=file_format, encoding=encoding, sheet=sheet))


def _find_database(given: str) -> str:
    if given.startswith(_FROM_ENVIRONMENT):
        name = given.removeprefix(_FROM_ENVIRONMENT)
        database = os.environ.get(name, "").strip()
        if not database:
            raise ConfigurationError(f"--from {given}: the environment has no {name}")
        return database
    if has_password(given):
        raise ConfigurationError(
            "--from: a password on the command line is seen by everyone on this machine; "
            "set PGPASSWORD, or put the whole address into the environment and name it: --from env:DATABASE_URL"
        )
    return given


def describe_sources(sources: Sources) -> list[str]:
    """Return the words of a command line that name the same sources."""
    query, reading = sources.query, sources.reading
    words = [str(path) for path in sources.files]
    options = {"--format": reading.format, "--encoding": reading.encoding, "--sheet": reading.sheet}
    if isinstance(query, NamedQuery):
        options |= {"--sql": query.sql, "--from": query.given}
    return words + [word for name, value in options.items() if value is not None for word in (name, value)]
