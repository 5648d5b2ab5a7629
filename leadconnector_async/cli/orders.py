"""What the command line asks of a load, and the exit codes of commands that were ended."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..errors import ConfigurationError
from ..migration.matching import PhoneRule
from ..migration.select import Selection
from ..migration.tables import Reading
from ..migration.tables.inputs import Sources
from ..migration.tables.queries import Query, has_password
from .accounts import LoginOptions
from .options import Saying, TagsRule, read_rate
from .stock import Wish

DEFAULT_CONCURRENCY: Final = 64


class Order(Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    sources: Sources
    location_id: str | None
    is_sandbox: bool
    out: Path | None
    is_resumed: bool
    retry_failed: bool
    rate: str | None
    daily: int | None
    waits: bool
    concurrency: int
    tags: TagsRule = "add"
    selection: Selection = Selection()
    phone_conflict: PhoneRule = "second-pass"
    limit: int | None = None
    is_dry_run: bool = False
    takes_snapshot: bool = False
    redis: str | None = None
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions
    saying: Saying = Saying()
    is_agreed: bool = False

    @property
    def wish(self) -> Wish:
        """What it says of rows that meet contacts which are there."""
        return Wish(
            selection=self.selection,
            replaces_tags=self.tags == "replace",
            limit=read_rate(self.rate, self.daily),
            waits=self.waits,
        )


def describe_command(order: Order, sources: list[str], *more: str) -> str:
    """Return the command that loads other files, or goes on, with the options of this one."""
    options = {
        "--location": order.location_id,
        "--rate": order.rate,
        "--daily": order.daily,
        "--limit": order.limit if more else None,  # of what failed, all
        "--tags": None if order.tags == "add" else order.tags,
        "--phone-conflict": None if order.phone_conflict == "second-pass" else order.phone_conflict,
        "--redis": order.redis,
        "--concurrency": None if order.concurrency == DEFAULT_CONCURRENCY else order.concurrency,
        "--token-file": order.token_file,
        "--store": order.login.store,
        "--client-secret-file": order.login.secret_file,
    }
    words = ["leadconnector", "upsert", *sources, *more]
    words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += order.saying.words() + order.selection.words()
    words += ["--snapshot"] * order.takes_snapshot
    words += ["--wait"] * order.waits + ["--sandbox"] * order.is_sandbox
    return shlex.join(words)


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
