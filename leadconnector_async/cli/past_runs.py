"""A run that is over, for commands that are about one."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..client import LeadConnector
from ..cluster.run import is_cluster_run
from ..errors import ConfigurationError
from ..migration.migration import IN_SANDBOX, Migration
from ..protocol.answers import clean_text
from ..run.folder import is_run
from ..run.target import describe_target
from .accounts import LoginOptions, choose_token
from .options import DEFAULT_CONCURRENCY, address_of, read_limits, read_rate
from .terminal import tell

_LINE_SECONDS: Final = 5.0


class PastOrder(Struct, frozen=True, kw_only=True):
    """What a command that is about a run is told."""

    folder: Path
    rate: str | None
    daily: int | None
    redis: str | None
    concurrency: int
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions

    def describe(self, verb: str, *words: str) -> str:
        """Return the command that goes on with it."""
        options = {
            "--rate": self.rate,
            "--daily": self.daily,
            "--redis": self.redis,
            "--concurrency": None if self.concurrency == DEFAULT_CONCURRENCY else self.concurrency,
            "--token-file": self.token_file,
            "--store": self.login.store,
            "--client-secret-file": self.login.secret_file,
        }
        found = ["leadconnector", verb, str(self.folder), *words]
        return shlex.join(
            found + [word for name, value in options.items() if value is not None for word in (name, str(value))]
        )


async def open_run(folder: Path) -> Migration:
    """Open a run that was loaded into a service that is still there.

    Raises:
        ConfigurationError: There is no run, it is damaged or in use, or it loaded into a sandbox that has ended.
    """
    if not is_run(folder):
        raise ConfigurationError(_why_no_run(folder))
    run = await Migration.open(None, folder)
    if run.target == IN_SANDBOX:
        run.close()
        raise ConfigurationError(
            f"{folder}: was loaded into a sandbox that ended with the load (--sandbox); start a lasting one with "
            "`leadconnector sandbox`, and load into that"
        )
    return run


async def make_client(run: Migration, order: PastOrder) -> LeadConnector:
    """Return a client of the location that a run loaded into; it is not open.

    Raises:
        ConfigurationError: There is no token, or a setting is wrong.
    """
    options: dict[str, Any] = await choose_token(order.token_file, order.login)
    if run.location_id is not None:
        options["location_id"] = run.location_id
    rate = read_rate(order.rate, order.daily)
    return LeadConnector.from_env(
        rate_limit=rate, concurrency=order.concurrency, limits=read_limits(order.redis), **options
    )


def describe_place(run: Migration) -> str:
    """Return where a run loaded into, for people."""
    location = "the locations of its rows" if run.location_id is None else f"location {run.location_id}"
    return clean_text(f"{location} at {describe_target(run.target or '')}")


def _why_no_run(folder: Path) -> str:
    address = address_of(str(folder))
    if "://" in address or is_cluster_run(folder):  # loads on a cluster alone have addresses
        return (
            f"{address}: was loaded on a cluster (--dask), and such runs cannot be verified or undone yet; its "
            "results/ and report.json show what happened to each row"
        )
    return f"{folder}: is not the folder of a run; name the folder that upsert wrote (--out)"


class Pace:
    """A line now and then on how far a sweep is, on stderr."""

    def __init__(self, what: str, *, is_wanted: bool) -> None:
        self._total = 0
        self._what = what
        self._is_wanted = is_wanted
        self._done = 0
        self._began = self._told = time.monotonic()

    def begin(self, total: int) -> None:
        """Begin to count so many."""
        self._total, self._done = total, 0
        self._began = self._told = time.monotonic()

    def count(self, _: object = None) -> None:
        """Take note of one more."""
        self._done += 1
        now = time.monotonic()
        if self._is_wanted and now - self._told >= _LINE_SECONDS:
            self._told = now
            rate = self._done / max(now - self._began, 0.1)
            tell(f"{self._done:,}/{self._total:,} {self._what}, {rate:.1f} a second")
