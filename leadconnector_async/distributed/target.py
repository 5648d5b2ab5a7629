"""Where a load on a cluster goes, in a form that may travel: no token is in it, only where a worker finds one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..auth import TokenSource
from ..client import LeadConnector
from ..environment import API_VERSION, BASE_URL, LOCATION_ID, TOKEN, read_variable
from ..errors import ConfigurationError
from ..limits import Limits, RateLimit
from ..retry import RetryPolicy
from ..transport import DEFAULT_BASE_URL, Timeouts

FROM_ENVIRONMENT: Final = "env"
OF_SANDBOX: Final = "sandbox"
_FILE: Final = "file:"


class ClientOptions(Struct, frozen=True, kw_only=True):
    """How each worker opens its client. Nothing in it is secret.

    Attributes:
        token_source: Where a worker finds the token: `env` (the variable LEADCONNECTOR_TOKEN of its own environment),
            `file:PATH` (a file that it can read), or `module:name`, imported on the worker: a token source, a text, or
            a function without arguments that returns one of these.
        location_id: The location of rows that name none.
        base_url: The API's address.
        api_version: `2021-07-28`, `2023-02-21` or `v3`.
        rate_limit: The limits of each location to begin with, or None to send without any.
        retry: When to try again.
        timeouts: How long to wait.
        concurrency: Rows of one location in flight at most.

    Raises:
        ConfigurationError: A value cannot be used.
    """

    token_source: str = FROM_ENVIRONMENT
    location_id: str | None = None
    base_url: str = DEFAULT_BASE_URL
    api_version: str = "2021-07-28"
    rate_limit: RateLimit | None = RateLimit()
    retry: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()
    concurrency: int = 64

    def __post_init__(self) -> None:
        # A client checks the rest; this one is never opened.
        self._client("never-sent", concurrency=self.concurrency)
        is_named = ":" in self.token_source and not any(map(str.isspace, self.token_source))
        if self.token_source not in (FROM_ENVIRONMENT, OF_SANDBOX) and not is_named:
            raise ConfigurationError("token_source says where a token is, not which: env, file:PATH or module:name")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: object) -> ClientOptions:
        """Take location, address and version from the environment of this process, as `LeadConnector.from_env`.

        Args:
            environ: Where to look; the process's environment by default.
            options: Any attribute; it wins over the environment.

        Raises:
            ConfigurationError: A value cannot be used, or a variable that counts is set but empty.
        """
        names = {"location_id": LOCATION_ID, "base_url": BASE_URL, "api_version": API_VERSION}
        found: dict[str, object] = {
            option: value
            for option, name in names.items()
            if option not in options and (value := read_variable(name, environ)) is not None
        }
        return cls(**found, **options)  # type: ignore[arg-type]

    def find_token(self) -> str | TokenSource:
        """Find the token where this runs.

        Raises:
            ConfigurationError: There is none; the sentence says where it was looked for, and nothing of what was found.
        """
        if self.token_source == OF_SANDBOX:
            return "sandbox"
        if self.token_source == FROM_ENVIRONMENT:
            token = read_variable(TOKEN)
            if token is None:
                raise ConfigurationError(f"there is no token: set {TOKEN} in the environment of each worker")
            return token
        if self.token_source.startswith(_FILE):
            return _read_file(Path(self.token_source.removeprefix(_FILE)))
        return _find_by_name(self.token_source)

    def open_client(self, *, limits: Limits | None = None, concurrency: int | None = None) -> LeadConnector:
        """Make a client with the token that is found here.

        Args:
            limits: Where windows are kept.
            concurrency: Calls of all locations in flight at most.

        Raises:
            ConfigurationError: There is no token.
        """
        return self._client(self.find_token(), limits=limits, concurrency=concurrency or self.concurrency)

    def _client(self, token: str | TokenSource, *, concurrency: int, limits: Limits | None = None) -> LeadConnector:
        return LeadConnector(
            token,
            location_id=self.location_id,
            base_url=self.base_url,
            api_version=self.api_version,
            rate_limit=self.rate_limit,
            retry=self.retry,
            timeouts=self.timeouts,
            concurrency=concurrency,
            limits=limits,
        )


def _read_file(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"{path}: no token can be read there ({reason})") from None
    if not token:
        raise ConfigurationError(f"{path}: is empty; it should hold a Private Integration Token")
    return token


def _find_by_name(name: str) -> str | TokenSource:
    module, _, attribute = name.partition(":")
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        raise ConfigurationError(f"token source {name}: there is nothing called so") from None
    if callable(found) and not hasattr(found, "token"):
        try:
            found = found()
        except Exception as error:  # it is the user's; its words might hold what it found
            raise ConfigurationError(f"token source {name}: raised {type(error).__name__}") from None
    if isinstance(found, str) or (hasattr(found, "token") and hasattr(found, "refresh")):
        return found
    raise ConfigurationError(f"token source {name}: is neither a token nor a token source")
