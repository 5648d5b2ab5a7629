"""Limits shared between processes, through Redis: four web workers and a migration stay under one limit together."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from .clock import Clock, SystemClock
from .errors import ConfigurationError, SharedLimitsError
from .limits import RateLimit, Window
from .local_limits import LocalWindow
from .shared_window import SharedWindow

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster

_log = logging.getLogger(__name__)

_SCRIPT: Final = files(__package__).joinpath("shared_window.lua").read_bytes()
_SHA: Final = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()  # as Redis names scripts
_KEYS: Final = ("state", "taken", "cooling", "waiting")
_FEWEST_WINDOWS: Final = 1_000  # below this none is forgotten


class RedisLimits:
    """Windows kept in Redis: all processes that name the same server and prefix share them.

    A slot costs at most one request to Redis, and where many calls wait, far less than one. Those of a process that
    died come back within about a window. Time is that of Redis.

    Args:
        url: `redis://host:6379/0`, `rediss://` with TLS, `unix://`; a password is better given as `password`.
        password: For Redis, where it needs one; it is shown nowhere.
        cluster: Whether it is a Redis Cluster. The keys of a location share a hash tag.
        prefix: Begins the name of each key; processes of one app share it, as the service counts by app and location.
        share: What this process may use of a location's limit while Redis does not answer, from 0 (calls wait) to 1. It
            begins once all slots that others may hold have come back. The shares of all processes must not exceed 1.
        timeout: Seconds to wait for an answer of Redis.
        clock: Where time comes from.

    Raises:
        ConfigurationError: The package redis is missing, or an argument makes no sense.
    """

    is_paced = False

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        cluster: bool = False,
        prefix: str = "leadconnector",
        share: float = 0.0,
        timeout: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        if not 0 <= share <= 1:
            raise ConfigurationError(f"share is {share}; it is a part of the limit, from 0 to 1")
        if "{" in prefix or "}" in prefix:
            raise ConfigurationError("prefix cannot hold { or }: these mark what Redis Cluster shards by")
        self._connect = _connector(url, password=password, cluster=cluster, timeout=timeout)
        self._name = urlsplit(url).hostname or urlsplit(url).path or "localhost"
        self._prefix = prefix
        self._share = share
        self._clock = clock or SystemClock()
        self._holder = uuid.uuid4().hex[:16]
        self._windows: dict[str, Window] = {}
        self._sweep_at = _FEWEST_WINDOWS
        self._redis: Redis | RedisCluster | None = None
        self._users = 0

    def __repr__(self) -> str:
        return f"<RedisLimits {self._name} {self._prefix}>"

    async def open(self) -> None:
        """Connect, for the first client that uses it.

        Raises:
            SharedLimitsError: Redis does not answer; nothing was opened.
        """
        if self._redis is None:
            redis = self._connect()
            try:
                await redis.ping()
            except _errors() as error:
                await redis.aclose()
                raise SharedLimitsError(f"{_sentence(self._name, error)}; start it, or correct its address") from None
            self._redis = redis
        self._users += 1

    async def close(self) -> None:
        """Disconnect, for the last client that used it; what answered calls used is told first."""
        self._users -= 1
        if self._users or self._redis is None:
            return
        for window in self._windows.values():
            if isinstance(window, SharedWindow):
                await window.close()
        self._windows.clear()
        redis, self._redis = self._redis, None
        await redis.aclose()

    async def pace(self, *, bulk: bool) -> None:
        """Return at once: there is no cap on all locations together."""

    def window(self, location_id: str, rate_limit: RateLimit | None) -> Window:
        """Return the window of a location; None as limit: only pauses, known to this process alone."""
        window = self._windows.get(location_id)
        if window is None:
            if len(self._windows) >= self._sweep_at:
                self._forget_idle()
            window = self._windows[location_id] = self._new_window(location_id, rate_limit)
        return window

    def _new_window(self, location_id: str, rate_limit: RateLimit | None) -> Window:
        if rate_limit is None:
            return LocalWindow(location_id, None, self._clock)
        return SharedWindow(
            location_id,
            rate_limit,
            ask=partial(self._ask, location_id),
            holder=self._holder,
            share=self._share,
            clock=self._clock,
        )

    def _forget_idle(self) -> None:
        self._windows = {
            name: window
            for name, window in self._windows.items()
            if not (isinstance(window, SharedWindow) and window.is_idle())
        }
        self._sweep_at = max(2 * len(self._windows), _FEWEST_WINDOWS)

    async def _ask(self, location_id: str, said: bytes) -> bytes:
        """Run the script for a location.

        Raises:
            ConnectionError: Redis gave no answer that can be used.
        """
        redis: Any = self._redis
        if redis is None:
            raise ConnectionError("the connection to Redis is closed")
        keys = [f"{self._prefix}:{{{location_id}}}:{key}" for key in _KEYS]
        try:
            try:
                answer = await redis.evalsha(_SHA, len(keys), *keys, said)
            except _no_script():
                answer = await redis.eval(_SCRIPT, len(keys), *keys, said)
        except _errors() as error:
            raise ConnectionError(_sentence(self._name, error)) from None
        return bytes(answer)


def _connector(url: str, *, password: str | None, cluster: bool, timeout: float) -> Any:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.cluster import RedisCluster
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError:
        sentence = "limits through Redis need a package: pip install 'leadconnector-async[redis]'"
        raise ConfigurationError(sentence) from None
    kind = RedisCluster if cluster else Redis
    options: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if password is not None:
        options["password"] = password
    if not cluster:
        options["retry"] = Retry(NoBackoff(), 0)  # the window asks again by itself
    try:
        kind.from_url(url, **options)
    except (ValueError, TypeError, AttributeError):
        sentence = "the address of Redis makes no sense; it looks like redis://localhost:6379/0"
        raise ConfigurationError(sentence) from None
    return partial(kind.from_url, url, **options)


def _errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return RedisError, OSError, asyncio.TimeoutError


def _no_script() -> type[Exception]:
    from redis.exceptions import NoScriptError

    return NoScriptError


def _sentence(name: str, error: Exception) -> str:
    """Say what is wrong without the address, which may hold a password."""
    return f"Redis at {name} gives no answer ({type(error).__name__})"
