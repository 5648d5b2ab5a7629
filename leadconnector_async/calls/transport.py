"""One exchange over HTTP: a Request out, a Response in, aiohttp's errors turned into ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from itertools import takewhile
from typing import Any, Final
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.connector import Connection
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from ..errors import (
    CallError,
    CallTimeoutError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidResponseError,
)
from ..protocol import Request, T
from ..protocol.answers import Response, clean_text
from ..protocol.redaction import Redactor
from ..protocol.text import Secret

# ---------------------------------------------------------------------------------------------- one timer for all calls

_CHECKS = 16  # in the time that is watched over; a call may take that share longer


class Watch:
    """Cancels the tasks that spend more than some time between `begin` and `end`.

    Args:
        seconds: How long a task may take; it is cancelled at most a sixteenth of that later.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # When each is cancelled, and how often others had cancelled it by then; in the order of the deadlines, as all
        # have the same time.
        self._until: dict[asyncio.Task[Any], tuple[float, int]] = {}
        self._expired: dict[asyncio.Task[Any], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Watch over a task from now on."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._until[task] = self._loop.time() + self._seconds, task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds / _CHECKS, self._check)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Watch no more, and say whether this cancelled the task and nobody else did."""
        self._until.pop(task, None)
        cancellations = self._expired.pop(task, None)
        return cancellations is not None and task.uncancel() <= cancellations

    def _check(self) -> None:
        assert self._loop is not None  # noqa: S101  (begin set it)
        self._timer = None
        now = self._loop.time()
        for task in [*takewhile(lambda task: self._until[task][0] <= now, self._until)]:
            _, self._expired[task] = self._until.pop(task)
            task.cancel()
        if self._until:
            self._timer = self._loop.call_later(self._seconds / _CHECKS, self._check)


DEFAULT_BASE_URL = "https://services.leadconnectorhq.com"
# Below what servers and balancers commonly keep, so that a connection is rarely reused just as it is being closed.
_KEEP_IDLE_SECONDS = 15.0
# What is read of an error: its text is shortened to a few hundred characters, and is searched for secrets before that.
_MOST_ERROR_BYTES = 64 * 1024
_FIRST_ERROR: Final = int(HTTPStatus.BAD_REQUEST)


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long to wait, in seconds.

    Attributes:
        connect: For a new connection and its TLS.
        total: For one try of a call, all in all.
        close: For the calls in flight when the client is closed.
    """

    connect: float = 10.0
    total: float = 60.0
    close: float = 30.0

    def __post_init__(self) -> None:
        if min(self.connect, self.total) <= 0 or self.close < 0:
            raise ConfigurationError(f"{self}: timeouts are seconds above 0")


class _StrayAnswerError(aiohttp.ClientConnectionError):
    """A kept connection brought something that nobody asked for; nothing was sent on it."""


class _CarefulRequest(aiohttp.ClientRequest):
    """A request that takes no answer that came before it was sent.

    aiohttp gives a connection out again without a look at what came while nobody used it, and would take that for the
    answer: a row would be told by the answer to another one (aiohttp issue 13656).
    """

    def send(self, conn: Connection) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        if conn.protocol is not None and conn.protocol.should_close:
            raise _StrayAnswerError("a kept connection brought an answer that nobody had asked for")
        return super().send(conn)


class Transport:
    """The connections of one client.

    Args:
        base_url: The API's address.
        timeouts: How long to wait.
        max_body_bytes: Answers above this size (decompressed) are refused.
        session: The caller's session, which is used as it is and never closed here, or None.
        proxy: The proxy to call through, with its user and password. This machine is called without it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeouts: Timeouts,
        max_body_bytes: int,
        session: aiohttp.ClientSession | None,
        proxy: str | None = None,
    ) -> None:
        self.base_url = check_base_url(base_url)
        is_here = _is_loopback(URL(self.base_url).host or "")
        self._proxy = None if proxy is None or is_here else _read_proxy(proxy)
        if session is not None and proxy is not None:
            raise ConfigurationError("the proxy of a session of your own is the session's: leave out `proxy`")
        # Of aiohttp's timers only the one for new connections is used: the others would be set anew for every call.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect)
        self._watch = Watch(timeouts.total)
        self._last: tuple[Mapping[str, str], str, CIMultiDict[str]] = {}, "", CIMultiDict()
        self._max_body_bytes = max_body_bytes
        self._redactor = lru_cache(maxsize=64)(Redactor)  # one for each token in use
        self._sent_by_session: tuple[str, ...] = ()
        self._session = session
        self._is_own = session is None

    def open(self) -> None:
        """Make the session, on the running event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # How many calls are out at once is the client's to say: a second limit here would know no lanes.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_CarefulRequest,
                proxy=self._proxy,
            )
            # aiohttp sends GET, PUT and DELETE once more by itself when a kept connection breaks: a call that no slot
            # was taken for, and a doubt that nobody hears of. It has no public switch for that.
            self._session._retry_connection = False
        elif self.base_url.startswith("http:") and _finds_proxy(self._session, self.base_url):
            raise ConfigurationError(
                "the session reads proxies from the environment (trust_env), and one of them would be sent the token "
                "unencrypted on its way to this machine: set NO_PROXY=localhost,127.0.0.1"
            )
        self._sent_by_session = tuple(_credentials_of(self._session))

    async def close(self) -> None:
        """Close the session, unless it is the caller's. Exchanges still under way fail."""
        if self._is_own and self._session is not None:
            await self._session.close()

    async def exchange(self, request: Request[T], token: str) -> Response:
        """Send once and read the answer to its end. An empty token is not sent.

        Whatever was sent as a credential is replaced in the answer.

        Raises:
            ConnectFailedError: Nothing was sent.
            CallTimeoutError, ConnectionLostError: No complete answer; the request may have been applied.
            InvalidResponseError: The answer is too large.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (coroutines of this package run in tasks)
        assert self._session is not None  # noqa: S101  (an open client opened it)
        self._watch.begin(task)
        try:
            response = await self._session.request(
                request.method,
                _url(self.base_url, request.path),
                data=request.body,
                headers=self._headers(request, token),
                allow_redirects=False,  # a redirect would take the token elsewhere
                timeout=self._timeout,
            )
            answer = Response(response.status, response.headers, await self._read_body(response))
            redactor = self._redactor(token, *request.secrets, *self._sent_by_session)
            return redactor.clean(answer, issues_tokens=request.issues_tokens)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = transport_error(error)
        except asyncio.CancelledError:
            if not self._watch.end(task):
                raise
            failure = CallTimeoutError("no complete answer in time")
        finally:
            self._watch.end(task)
        # Out here, so that aiohttp's error is not chained to ours: some of its errors carry all headers, the token too.
        raise failure

    def _headers(self, request: Request[T], token: str) -> CIMultiDict[str]:
        """Join headers and token; those of the last call are kept, as nearly all calls have the same."""
        headers, last_token, joined = self._last
        if headers is not request.headers or last_token != token:
            authorization = {"Authorization": Secret(f"Bearer {token}")} if token else {}
            joined = CIMultiDict({**request.headers, **authorization})
            self._last = request.headers, token, joined
        return joined

    async def _read_body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read to the end, which gives the connection back; what fails before the end closes it."""
        content = response.content
        most = self._max_body_bytes
        if response.status >= _FIRST_ERROR:
            most = min(most, _MOST_ERROR_BYTES)
        try:
            body = await content.readany()
            if content.at_eof() and len(body) <= most:
                return body
            return await self._read_on(response, bytearray(body), most)
        except BaseException as error:
            response.close()
            if response.status == HTTPStatus.TOO_MANY_REQUESTS and isinstance(error, aiohttp.ClientError):
                return b""  # it was not applied, whatever else it was to say
            raise

    async def _read_on(self, response: aiohttp.ClientResponse, body: bytearray, most: int) -> bytes:
        while len(body) <= most:
            more = await response.content.readany()
            if not more:
                return bytes(body)
            body += more
        if response.status < HTTPStatus.BAD_REQUEST:
            raise InvalidResponseError(
                f"the answer is larger than {most} bytes (max_body_bytes)", status=response.status
            )
        response.close()
        return bytes(body[:most])  # the status of an error decides, and its text is shortened anyway


@lru_cache(maxsize=256)
def _url(base_url: str, path: str) -> URL:
    return URL(base_url + path, encoded=True)


# Letters beyond ASCII may look like others; white space and what parsers read in several ways belong in no address.
_BASE_URL: Final = re.compile(
    r"https?://(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:/[a-z0-9._~/-]*)?", re.I | re.ASCII
)


def check_base_url(base_url: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        ConfigurationError: It is no http(s) address, carries more than host and path, or would send a token in clear.
    """
    text = base_url.strip()
    if any(mark in text for mark in "@?#;"):
        raise ConfigurationError("the base URL must be scheme, host and path alone, without user, query or fragment")
    try:
        url = URL(text) if _BASE_URL.fullmatch(text) else URL()
        host, scheme = url.host, url.scheme
        (host or "").encode("idna")  # as the look-up does it, whose error would be none of ours
    except ValueError:
        host = scheme = None
    if not host or scheme not in ("http", "https"):
        shown = f" {text!r}" if text.lower().startswith("http") else ""  # else it may be a token in the wrong place
        hint = "" if text.isascii() else " (some of its letters only look like those of an address)"
        raise ConfigurationError(f"base URL{shown} is not an address{hint}; it looks like {DEFAULT_BASE_URL}")
    if scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"base URL http://{host} would send the token unencrypted; use https")
    return str(url).rstrip("/")


def _read_proxy(text: str) -> URL:
    """Return the address of a proxy; messages do not repeat it, as it may hold a password."""
    try:
        url = URL(text.strip())
        is_good = url.scheme in ("http", "https") and bool(url.host) and url.path in ("", "/") and not url.query_string
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigurationError("the proxy is not an address; it looks like http://proxy.example:3128")
    return url


def _finds_proxy(session: aiohttp.ClientSession, base_url: str) -> bool:
    """Whether a session would take a proxy from the environment for plain HTTP, as aiohttp looks for one."""
    return session.trust_env and "http" in getproxies() and not proxy_bypass(URL(base_url).host or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials_of(session: aiohttp.ClientSession) -> Iterator[str]:
    """Yield the credentials that a session of the caller's sends by itself, to the service or to a proxy."""
    for name in ("Authorization", "Proxy-Authorization", "Cookie"):
        for value in session.headers.getall(name, []):
            yield from re.split(r"[\s;=]+", value)
    proxies = [str(getattr(session, "_default_proxy", ""))]  # aiohttp has no public names for these
    if session.trust_env:
        proxies += getproxies().values()
    logins = [unquote(proxy.partition("://")[2].rpartition("@")[0]) for proxy in proxies]
    for auth in (getattr(session, "auth", None), getattr(session, "_default_proxy_auth", None)):
        logins += [] if auth is None else [f"{auth.login}:{auth.password}"]
    for login in logins:
        yield login  # as a whole, as it is in base64
        yield login.partition(":")[2]


def transport_error(error: Exception) -> CallError:
    """Turn an error of aiohttp or the operating system into ours; which says whether anything may have been sent.

    Its own text is not repeated: it may hold an address with a password, headers, or what the server sent.
    """
    # A certificate that is refused, a name that is not found, a connection that does not come about: nothing was sent.
    if isinstance(error, _NOT_CONNECTED):
        failure = ConnectFailedError(f"no connection to the service: {_reason(error)}")
        failure.is_permanent = isinstance(error, _PERMANENT)
        return failure
    if isinstance(error, TimeoutError):
        return CallTimeoutError("no complete answer in time")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ConnectionLostError("the answer broke off in its midst")
    return ConnectionLostError(f"the connection broke before the answer was complete: {_reason(error)}")


_NOT_CONNECTED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    _StrayAnswerError,
)

# An unknown host and a server that speaks no TLS may be so for a moment, as it starts or the network comes up.
_PERMANENT: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL)


def _reason(error: Exception) -> str:
    """Say what is wrong in words of ours or of the operating system."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            refused = error.certificate_error
            return (
                f"the certificate of {error.host} is refused ({getattr(refused, 'verify_message', 'no reason given')})"
            )
        case aiohttp.ClientConnectorError():
            return f"{error.host}:{error.port}: {_system_reason(error.os_error)}"
        case aiohttp.ConnectionTimeoutError():
            return "it did not come about in time"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.InvalidURL():
            return "its address cannot be used"
        case _StrayAnswerError():
            return str(error)
        case aiohttp.ServerDisconnectedError():
            return "the server closed it"
        case aiohttp.ClientResponseError():
            return "what came is not HTTP"
        case OSError():
            return _system_reason(error)
    return type(error).__name__


def _system_reason(error: OSError) -> str:
    return clean_text(error.strerror or "") or type(error).__name__
