"""LeadConnector: the client, with all that it can do. It composes what lies below; how a call goes is in `calls`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from . import environment
from .auth.source import TokenSource
from .bulk.contacts import Contacts
from .bulk.run_log import RunLog
from .calls.caller import Caller
from .calls.retry import RetryPolicy
from .calls.transport import DEFAULT_BASE_URL, Timeouts
from .clock import Clock
from .contacts.locations import Locations
from .environment import read_variable
from .errors import ConfigurationError
from .limits.limit import Limits, RateLimit

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider


class LeadConnector(Caller):
    """A client for one account: open it with `async with`, share it between any number of tasks of one event loop.

    Args:
        token: A Private Integration Token, or a token source.
        location_id: The location of contacts without one of their own.
        base_url: The API's address; plain `http` is refused unless the host is this machine.
        api_version: `2021-07-28`, `2023-02-21` or `v3`.
        rate_limit: The limits to begin with, or None to send without any.
        retry: When to try again.
        timeouts: How long to wait.
        concurrency: Calls in flight at most, and rows of one bulk load.
        limits: Where windows are kept, in the process unless told else.
        session: An aiohttp session of the caller's, never closed here. Its own connection limit then holds, and aiohttp
            repeats a GET, PUT or DELETE by itself when a kept connection breaks.
        proxy: The address of an HTTP proxy to call through, such as `http://proxy.example:3128`; it may hold a user and
            a password. HTTPS_PROXY in the environment is not looked at. This machine is called without it.
        max_body_bytes: Answers above this size (decompressed) are refused.
        meter_provider: Where OpenTelemetry's counts go, where it is installed; the application's own by default.
        clock: Where time comes from.

    Raises:
        ConfigurationError: An argument cannot be used; nothing was opened.
    """

    contacts: Contacts
    locations: Locations

    def __init__(
        self,
        token: str | TokenSource,
        *,
        location_id: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        api_version: str = "2021-07-28",
        rate_limit: RateLimit | None = RateLimit(),
        retry: RetryPolicy = RetryPolicy(),
        timeouts: Timeouts = Timeouts(),
        concurrency: int = 64,
        limits: Limits | None = None,
        session: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        max_body_bytes: int = 8 * 1024 * 1024,
        meter_provider: MeterProvider | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            token,
            location_id=location_id,
            base_url=base_url,
            api_version=api_version,
            rate_limit=rate_limit,
            retry=retry,
            timeouts=timeouts,
            concurrency=concurrency,
            limits=limits,
            session=session,
            proxy=proxy,
            max_body_bytes=max_body_bytes,
            meter_provider=meter_provider,
            clock=clock,
        )
        self.contacts = Contacts(self, _open_journal)
        self.locations = Locations(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Any) -> LeadConnector:
        """Make a client from `LEADCONNECTOR_TOKEN`, `_LOCATION_ID`, `_BASE_URL`, `_API_VERSION` and `_PROXY`.

        Args:
            environ: Where to look; the process's environment by default.
            options: Any other argument of the class; it wins over the environment.

        Raises:
            ConfigurationError: There is no token, a value cannot be used, or a variable that counts is set but empty.
        """
        found: dict[str, Any] = {
            option: value
            for option, name in _ENVIRONMENT.items()
            if option not in options and (value := read_variable(name, environ)) is not None
        }
        if "token" not in found and "token" not in options:
            raise ConfigurationError("there is no token: set LEADCONNECTOR_TOKEN to a Private Integration Token")
        return cls(**found, **options)


def _open_journal(path: str | Path) -> RunLog:
    from .run.journal import Journal  # SQLite is loaded when a journal is wanted

    journal = Journal(path)
    journal.keeps_traces = False  # a run has a folder; of a file alone no undo can be asked
    return journal


_ENVIRONMENT: Final = {
    "token": environment.TOKEN,
    "location_id": environment.LOCATION_ID,
    "base_url": environment.BASE_URL,
    "api_version": environment.API_VERSION,
    "proxy": environment.PROXY,
}
