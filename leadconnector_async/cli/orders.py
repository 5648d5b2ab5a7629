"""What the command line asks of a load, and the exit codes of commands that were ended."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError
from ..migration.options import MigrationOptions
from ..migration.tables import Reading
from ..migration.tables.inputs import Sources
from ..migration.tables.queries import Query, has_password
from ..run.folder import is_run
from .accounts import LoginOptions
from .options import DEFAULT_CONCURRENCY, words_of


class Order(Struct, frozen=True, kw_only=True):
    """What the command line asks for.

    Attributes:
        sources: What is loaded, unless `run` names a run that is prepared.
        run: The folder of that run, or None.
        limit: Of that run, how many rows are loaded this time; None for all.
        max_failures: After how many failed rows the load stops; None: after 50 alike at the beginning.
        is_as_planned: Whether that run is loaded although its source has changed since it was planned.
    """

    sources: Sources
    run: Path | None = None
    limit: int | None = None
    is_as_planned: bool = False
    location_id: str | None
    is_sandbox: bool
    out: Path | None
    is_resumed: bool
    retry_failed: bool
    rate: str | None
    daily: int | None
    waits: bool
    max_failures: str | None = None
    concurrency: int
    is_dry_run: bool = False
    redis: str | None = None
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions
    options: MigrationOptions
    is_agreed: bool = False


def describe_command(order: Order, sources: list[str], *more: str) -> str:
    """Return the command that loads other files, or goes on, with the options of this one."""
    options = {
        "--location": order.location_id,
        "--rate": order.rate,
        "--daily": order.daily,
        "--redis": order.redis,
        "--max-failures": order.max_failures,
        "--concurrency": None if order.concurrency == DEFAULT_CONCURRENCY else order.concurrency,
        "--token-file": order.token_file,
        "--store": order.login.store,
        "--client-secret-file": order.login.secret_file,
    }
    goes_on_with_run = order.run is not None and bool(more)  # its folder says all that was fixed
    words = ["leadconnector", "upsert", *sources, *([] if goes_on_with_run else more)]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    if not goes_on_with_run:
        words += words_of(order.options, goes_on=bool(more))  # of what failed, all is loaded
    words += ["--as-planned"] * order.is_as_planned + ["--wait"] * order.waits + ["--sandbox"] * order.is_sandbox
    return shlex.join(words)


def find_run_folder(files: list[Path] | None, *, is_query: bool) -> Path | None:
    """Return the folder of the run that is named in the place of files, or None."""
    if is_query or not files or len(files) != 1 or not is_run(files[0]):
        return None
    return files[0]


def refuse_fixed(options: MigrationOptions, *, others: Mapping[str, object]) -> None:
    """Refuse to load a run otherwise than it was planned.

    Raises:
        ConfigurationError: An option is given that the plan has fixed, or that has no place here.
    """
    fixed = msgspec.structs.replace(options, limit=None)
    given = words_of(fixed, goes_on=False) or [name for name, value in others.items() if value]
    if given:
        raise ConfigurationError(
            f"{given[0]} was fixed when this run was planned; leave it out, or plan again with it and another --out"
        )


def check_as_planned(is_as_planned: bool, run: Path | None) -> bool:
    """Refuse `--as-planned` where no run is named."""
    if is_as_planned and run is None:
        raise ConfigurationError("--as-planned loads a run that `plan --out` kept: give its folder in place of files")
    return is_as_planned


# ---------------------------------------------------------------------------------------------- what to read

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
            raise ConfigurationError(f"--from {given}: {name} is not set in the environment")
        return database
    if has_password(given):
        raise ConfigurationError(
            "--from holds a password, which everybody on this machine could read; set PGPASSWORD, or put the whole "
            "address into an environment variable and name that: --from env:DATABASE_URL"
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
