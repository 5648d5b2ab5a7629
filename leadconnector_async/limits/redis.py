"""Limits shared between processes through Redis: four web workers and a migration stay under one limit together.

`window.lua` says who believes whom, and what happens where a process or Redis fails.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ..clock import Clock, SystemClock
from ..errors import ClientStateError, ConfigurationError, SharedLimitsError
from ..protocol.answers import clean_text
from ..protocol.redaction import Redactor
from .limit import RateLimit, Window
from .local import LocalWindow
from .redis_script import KEYS, SCRIPT, SCRIPT_SHA
from .redis_window import SharedWindow

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.cluster import RedisCluster

_log = logging.getLogger(__name__)

_FEWEST_WINDOWS: Final = 1_000  # below this none is forgotten
_MOST_REQUESTS: Final = 16  # at once, each on a connection of its own
_CLOSE_TIMES: Final = 3  # closing waits so many timeouts for the last report to Redis
_TIMES_UNTIL_LOST: Final = 2  # failed tries; the first may have been on a stale connection

# Does what `window.lua` does, so that a Redis that would refuse that refuses this.
_TRIAL: Final = b"""
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'at', clock[1])
redis.call('PEXPIRE', KEYS[1], 1000)
return 1
"""


class RedisLimits:
    """Windows kept in Redis: all processes that name the same server and prefix share them.

    A slot costs at most one request to Redis, and where many calls wait, far less than one. Those of a process that
    died come back within about a window. Where processes name different limits for a location, the strictest holds.
    Time is that of Redis, which may restart, lose its data or have its clock set: that costs a window of waiting.

    Give a client of each event loop limits of its own; clients on one loop may share them. Redis 5 or later is needed.

    Args:
        url: `redis://host:6379/0`, `rediss://` with TLS, `unix://`; a password is better given as `password`.
        password: For Redis, where it needs one; it is shown nowhere.
        cluster: Whether it is a Redis Cluster. The keys of a location share a hash tag.
        prefix: Begins the name of each key; processes of one app share it, as the service counts by app and location.
        share: What this process may use of a location's limit while Redis does not answer, from 0 (calls wait) to 1. It
            begins once all slots that others may hold have come back. The shares of all processes must not exceed 1;
            where Redis answers the others and this one alone cannot reach it, its share comes on top of theirs.
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
        if not timeout > 0:
            raise ConfigurationError(f"timeout is {timeout}; it must be above 0 seconds")
        if "{" in prefix or "}" in prefix:
            raise ConfigurationError("prefix cannot hold { or }: these mark what Redis Cluster shards by")
        self._connect = _connector(url, password=password, cluster=cluster, timeout=timeout)
        self._name = _name_of(url)
        self._redactor = Redactor(password or "", *_passwords_in(url))
        self._prefix = prefix
        self._share = share
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._redis: Redis | RedisCluster | None = None
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        # A process that was forked is a holder of its own.
        self._holder = uuid.uuid4().hex[:16]
        self._windows: dict[tuple[str, bool], Window] = {}
        self._sweep_at = _FEWEST_WINDOWS
        self._places = asyncio.Semaphore(_MOST_REQUESTS)
        self._missed: dict[str, int] = {}  # by location, how often Redis gave no answer
        self._is_lost = False
        self._redis = None
        self._users = 0

    def __repr__(self) -> str:
        if not hasattr(self, "_prefix") or not hasattr(self, "_name"):  # its making failed
            return "<RedisLimits without an address>"
        return f"<RedisLimits {self._name} {clean_text(self._prefix)}>"

    async def open(self) -> None:
        """Connect, for the first client that uses it.

        Raises:
            SharedLimitsError: Redis does not answer, or not as is needed; nothing was opened.
            ClientStateError: A client on another event loop uses it.
        """
        self._be_owned()
        if self._redis is None:
            await self._open_connection()
        self._users += 1

    async def _open_connection(self) -> None:
        redis = self._connect()
        try:
            await redis.eval(_TRIAL, 1, f"{self._prefix}:{{trial}}:{self._holder}")
        except _errors() as error:
            await _close(redis)
            reason = self._reason(error)
            advice = "; start it, or correct its address" if reason.startswith("gives no answer") else ""
            raise SharedLimitsError(f"Redis at {self._name} {reason}{advice}") from None
        except asyncio.CancelledError:
            await _close(redis)
            raise
        if self._redis is None:
            self._redis = redis
        else:  # another client was quicker
            await _close(redis)

    def _be_owned(self) -> None:
        """Belong to this process and this event loop, if not to another one."""
        owner = os.getpid(), asyncio.get_running_loop()
        if self._users and self._owner == owner:
            return
        if self._users and self._owner is not None and self._owner[0] == owner[0] and not self._owner[1].is_closed():
            raise ClientStateError("these RedisLimits are in use on another event loop; make one for each loop")
        self._owner = owner
        self._begin_anew()

    async def close(self) -> None:
        """Disconnect, for the last client that used it; first report to Redis what calls have used."""
        self._users -= 1
        if self._users or self._redis is None:
            return
        windows, redis = list(self._windows.values()), self._redis
        try:
            async with asyncio.timeout(_CLOSE_TIMES * self._timeout):
                await asyncio.gather(*(window.close() for window in windows if isinstance(window, SharedWindow)))
        except TimeoutError:
            _log.warning("Redis at %s did not get the last report; what calls hold comes back in a window", self._name)
        finally:
            self._begin_anew()
            await _close(redis)

    def assume_used(self, slots: int | None, seconds: float, *, location_id: str | None = None) -> None:
        """Do nothing: Redis knows what each process has used."""

    async def pace(self, *, bulk: bool) -> None:
        """Return at once: there is no cap on all locations together."""

    def window(self, location_id: str, rate_limit: RateLimit | None) -> Window:
        """Return the window of a location; None as limit: only pauses, known to this process alone."""
        key = location_id, rate_limit is None
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._sweep_at:
                self._forget_idle()
            window = self._windows[key] = self._new_window(location_id, rate_limit)
        elif isinstance(window, SharedWindow) and rate_limit is not None:
            window.tighten(rate_limit)
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
            if not (isinstance(window, SharedWindow | LocalWindow) and window.is_idle())
        }
        self._sweep_at = max(2 * len(self._windows), _FEWEST_WINDOWS)

    async def _ask(self, location_id: str, request: bytes) -> bytes | str:
        """Run the script for a location.

        Raises:
            ConnectionError: Redis gave no answer that can be used.
        """
        try:
            async with self._places:
                answer = await self._run_script(location_id, request)
        except _errors() as error:
            self._note_missed(location_id, error)
            raise ConnectionError(f"Redis at {self._name} {self._reason(error)}") from None
        self._note_answered(location_id)
        return answer

    async def _run_script(self, location_id: str, request: bytes) -> bytes | str:
        redis: Any = self._redis
        if redis is None:
            raise ConnectionError("the connection is closed")
        tag = f"{{{quote(location_id, safe='') or '-'}}}"
        keys = [f"{self._prefix}:{tag}:{key}" for key in KEYS]
        try:
            answer: bytes | str = await redis.evalsha(SCRIPT_SHA, len(keys), *keys, request)
        except _no_script():
            answer = await redis.eval(SCRIPT, len(keys), *keys, request)
        return answer

    def _note_missed(self, location_id: str, error: Exception) -> None:
        """Log once that Redis is lost, however many locations notice it."""
        self._missed[location_id] = self._missed.get(location_id, 0) + 1
        if self._missed[location_id] >= _TIMES_UNTIL_LOST and not self._is_lost:
            self._is_lost = True
            going_on = (
                "wait until that is over"
                if not self._share
                else f"go on at {self._share:.0%} of the limit, after a window"
            )
            _log.warning("Redis at %s %s; calls %s", self._name, self._reason(error), going_on)

    def _reason(self, error: Exception) -> str:
        # Redis repeats a command that it does not know, the password of a login too.
        return _reason(error, self._redactor.clean_text(str(error)))

    def _note_answered(self, location_id: str) -> None:
        if self._missed.pop(location_id, None) and self._is_lost and not self._missed:
            self._is_lost = False
            _log.info("Redis at %s answers again", self._name)


def _connector(url: str, *, password: str | None, cluster: bool, timeout: float) -> Callable[[], Any]:
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
    if url.startswith("rediss:"):
        options["ssl_check_hostname"] = True  # earlier versions of the package did not by themselves
    if not cluster:
        options["retry"] = Retry(NoBackoff(), 0)  # the window asks again by itself
    try:
        kind.from_url(url, **options)
    except (ValueError, TypeError, AttributeError):
        sentence = "the address of Redis makes no sense; it looks like redis://localhost:6379/0"
        raise ConfigurationError(sentence) from None
    return partial(kind.from_url, url, **options)


def _name_of(url: str) -> str:
    """Name the server without the rest of its address, which may hold a password."""
    parts = urlsplit(url)
    return clean_text(parts.hostname or (parts.path if parts.scheme == "unix" else "") or "localhost")


def _passwords_in(url: str) -> list[str]:
    parts = urlsplit(url)
    given = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    return [spelling for password in given for spelling in (password, unquote(password))]


async def _close(redis: Any) -> None:
    close: Callable[[], Awaitable[None]] = redis.aclose
    try:
        await close()
    except _errors():  # it is gone anyway
        return


def _errors() -> tuple[type[Exception], ...]:
    from redis.exceptions import RedisError

    return RedisError, OSError, asyncio.TimeoutError


def _no_script() -> type[Exception]:
    from redis.exceptions import NoScriptError

    return NoScriptError


def _reason(error: Exception, text: str) -> str:
    """Say what is wrong, without what may hold the address.

    Args:
        error: What the package raised.
        text: Its text, without passwords.
    """
    from redis import exceptions

    # The first that fits: later ones are more general. Before Redis 7, only the text says what stopped a script.
    sentences: list[tuple[bool, str]] = [
        (isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError), _REFUSES_LOGIN),
        (isinstance(error, exceptions.NoPermissionError) or "NOPERM" in text, _LACKS_RIGHTS),
        (isinstance(error, exceptions.ReadOnlyError) or "READONLY" in text, _IS_REPLICA),
        (isinstance(error, exceptions.OutOfMemoryError) or "OOM" in text, "has no memory left (maxmemory)"),
        (isinstance(error, exceptions.BusyLoadingError), "is still reading its data"),
        (isinstance(error, exceptions.MovedError), "is a part of a Redis Cluster; give cluster=True"),
        (isinstance(error, exceptions.TimeoutError | asyncio.TimeoutError), "gives no answer in time"),
        (isinstance(error, exceptions.ConnectionError | OSError), f"gives no answer ({_kind(error)})"),
        (isinstance(error, exceptions.ResponseError), f"{_REFUSES_SCRIPT}: {clean_text(text)[:120]}"),
    ]
    return next((words for fits, words in sentences if fits), f"fails ({type(error).__name__})")


_REFUSES_LOGIN: Final = "refuses the password, or needs one"
_LACKS_RIGHTS: Final = "does not let this user run the script; it needs eval, evalsha, and the keys of the prefix"
_IS_REPLICA: Final = "is a replica and takes no writes; name the one that does"
_REFUSES_SCRIPT: Final = "refuses the script, which needs Redis 5 or later"


def _kind(error: Exception) -> str:
    """Name the kind of what failed first: its words may hold the address."""
    cause: BaseException = error
    while (before := cause.__cause__ or cause.__context__) is not None:
        cause = before
    return type(cause).__name__
