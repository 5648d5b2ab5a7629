"""Caller: the one path that every call takes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp

from ..auth.source import ConnectedTokenSource, FixedToken, Line, TokenSource, check_token
from ..clock import Clock, SystemClock
from ..errors import (
    AuthenticationError,
    CallError,
    ClientStateError,
    ConfigurationError,
    ConnectFailedError,
    LeadConnectorError,
    RateLimitedError,
    RateLimitStuckError,
    TokenSourceError,
)
from ..limits.limit import Limits, RateLimit, Window
from ..limits.local import LocalLimits
from ..protocol import Request, T, check_api_version, read_response
from ..protocol.answers import Quota, Response, read_quota, read_retry_after
from ..protocol.text import count_of
from .call import ANSWERED, IN_DOUBT, NOT_SENT, PAUSED, Call, Paused, count_tries
from .gate import Gate
from .retry import RetryPolicy, delay_before_retry, is_in_doubt
from .server_clock import ServerClock
from .telemetry import Telemetry, find_telemetry
from .transport import Timeouts, Transport

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_log = logging.getLogger(__name__)

_V = TypeVar("_V")
_PORTS: Final = {"http": 80, "https": 443}
_TOO_MANY_REQUESTS: Final = int(HTTPStatus.TOO_MANY_REQUESTS)


class Caller:
    """Sends calls for one account, each tried until it succeeds or the policy gives up.

    The arguments are those of `LeadConnector`, which says what they mean.

    Raises:
        ConfigurationError: An argument cannot be used; nothing was opened.
    """

    def __init__(
        self,
        token: str | TokenSource,
        *,
        location_id: str | None,
        base_url: str,
        api_version: str,
        rate_limit: RateLimit | None,
        retry: RetryPolicy,
        timeouts: Timeouts,
        concurrency: int,
        limits: Limits | None,
        session: aiohttp.ClientSession | None,
        proxy: str | None,
        max_body_bytes: int,
        meter_provider: MeterProvider | None,
        clock: Clock | None,
    ) -> None:
        _check_kinds(
            ("location_id", location_id, str, True),
            ("base_url", base_url, str, False),
            ("rate_limit", rate_limit, RateLimit, True),
            ("retry", retry, RetryPolicy, False),
            ("timeouts", timeouts, Timeouts, False),
            ("concurrency", concurrency, int, False),
            ("limits", limits, Limits, True),
            ("session", session, aiohttp.ClientSession, True),
            ("proxy", proxy, str, True),
            ("max_body_bytes", max_body_bytes, int, False),
            ("clock", clock, Clock, True),
        )
        if min(concurrency, max_body_bytes) < 1:
            name = "concurrency" if concurrency < 1 else "max_body_bytes"
            raise ConfigurationError(f"{name} is {min(concurrency, max_body_bytes)}; it must be at least 1")
        if not isinstance(token, str) and not all(
            callable(getattr(token, name, None)) for name in ("token", "refresh")
        ):
            raise ConfigurationError(
                f"the token is {type(token).__name__}; give a Private Integration Token as text, or a token source"
            )
        self._tokens: TokenSource = FixedToken(token) if isinstance(token, str) else token
        self._fixed_token = self._tokens.value if isinstance(self._tokens, FixedToken) else None
        self.location_id = location_id
        self.api_version = check_api_version(api_version)
        self.concurrency = concurrency
        self.clock = clock or SystemClock()
        self.server_clock = ServerClock()
        self._rate_limit = rate_limit
        self.retry = retry
        self._timeouts = timeouts
        self._limits: Limits = limits or LocalLimits(clock=self.clock)
        self.has_answered = False  # anything at all, so that the address is right
        # When a connection first failed to come about, by the monotonic clock.
        self.unreached_since: float | None = None
        self._transport = Transport(
            base_url, timeouts=timeouts, max_body_bytes=max_body_bytes, session=session, proxy=proxy
        )
        self._gate = Gate(concurrency)
        self.telemetry = find_telemetry(self.clock, meter_provider)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._calls: dict[Call[Any], asyncio.Task[Any]] = {}  # under way, and where
        self._cut_off: set[Call[Any]] = set()
        self.when_closed: set[Callable[[LeadConnectorError], None]] = set()
        self._all_done: asyncio.Event | None = None
        self._line = Line(self._send_for_source, self._transport.base_url, api_version, self.clock)

    @property
    def has_one_token(self) -> bool:
        """Whether all locations share a token, so that one that is refused is refused for all."""
        return self._fixed_token is not None

    @property
    def rate_limit(self) -> RateLimit | None:
        """The limits that each location begins with; None where calls are sent without any."""
        return self._rate_limit

    @property
    def host(self) -> str:
        """The host of the base URL."""
        return urlsplit(self._transport.base_url).hostname or ""

    @property
    def target(self) -> str:
        """The base URL in one form: scheme, host, port unless it is the scheme's own, and path."""
        url = urlsplit(self._transport.base_url)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        port = "" if url.port in (None, _PORTS[url.scheme]) else f":{url.port}"
        return f"{url.scheme}://{host}{port}{url.path}"

    @property
    def longest_try(self) -> float:
        """Seconds after which a try is given up."""
        return self._timeouts.total

    def __repr__(self) -> str:
        if not hasattr(self, "_line"):  # its making failed
            return f"<{type(self).__name__} without a service>"
        return f"<{type(self).__name__} {self._transport.base_url} location={self.location_id} {self._state}>"

    @property
    def _state(self) -> str:
        if self._is_closed:
            return "closed"
        return "not open" if self._loop is None else "open"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the client on the running event loop, where `async with` does not fit.

        Raises:
            ClientStateError: It is open already, or was closed.
            LeadConnectorError: The token source cannot be used here.
        """
        if self._state != "not open":
            raise ClientStateError(f"this client is {self._state} and cannot be opened; make a new LeadConnector")
        if isinstance(self._tokens, ConnectedTokenSource):
            self._tokens.connect(self._line)
        self._loop = asyncio.get_running_loop()
        try:
            await self._limits.open()
        except BaseException:
            self._loop = None
            raise
        self._transport.open()

    async def close(self) -> None:
        """Refuse new calls, wait for those in flight and for new tokens (at most `timeouts.close` each), and
        close. May be called twice."""
        was_open = self._state == "open"
        self._is_closed = True
        if not was_open:
            return
        try:
            if self._calls:
                self._all_done = asyncio.Event()
                if not await self._wait_to_close(self._all_done.wait()):
                    self._cut_off_waiting()  # the session's end fails the others, each with an error of its own
            for stop in tuple(self.when_closed):
                stop(ClientStateError("this client was closed"))
            if isinstance(self._tokens, ConnectedTokenSource):
                await self._wait_to_close(self._tokens.disconnect(self._line))
        finally:
            await self._transport.close()
            await self._limits.close()

    async def _wait_to_close(self, end: Awaitable[object]) -> bool:
        """Wait for the end of something, and say whether it came in time."""
        try:
            async with asyncio.timeout(self._timeouts.close):
                await end
        except TimeoutError:
            return False
        return True

    def _cut_off_waiting(self) -> None:
        """End the calls that wait for a slot, or to be retried."""
        for call, task in self._calls.items():
            if not call.tries.is_out:
                self._cut_off.add(call)
                task.cancel()

    def halt(self, task: asyncio.Task[Any]) -> bool:
        """Have no further try begun by the calls of a task, and return whether it only waits to begin one: then nothing
        is lost where it is cancelled."""
        calls = [call for call, owner in self._calls.items() if owner is task]
        for call in calls:
            call.tries.is_halted = True
        return bool(calls) and not any(call.tries.is_out for call in calls)

    def assume_used(self, slots: int | None, seconds: float, *, location_id: str | None = None) -> None:
        """Take slots (None for all) of locations that got no call yet, or of one, as used by another process, for so
        long."""
        if location_id is not None:
            self.window(location_id)  # so that it is there
        self._limits.assume_used(slots, seconds, location_id=location_id)

    def window(self, location_id: str) -> Window:
        """Return the window of a location."""
        return self._limits.window(location_id, self._rate_limit)

    def calls_left_today(self, location_id: str | None = None) -> int | None:
        """Return how many calls of its day a location has left, as far as known; None before the first answer.

        Args:
            location_id: The client's own location by default.
        """
        return self.window(location_id or self.location_id or "").calls_left_today()

    async def send(self, call: Call[T]) -> T:
        """Try a call until it succeeds or the policy gives up. It goes before rows of loads, and waits out a pause.

        Raises:
            ClientStateError: The client is not open here; nothing was sent.
            CallError: It did not succeed; `may_be_applied` and `attempts` say more.
            DailyQuotaExceededError: The location's day is spent; the last try was not sent.
            RateLimitStuckError: Nothing but 429 for as long as the policy waits; it was not applied.
            TokenSourceError: The token source raised; the last try was not sent.
        """
        value = await self.send_row(call)
        assert value is not PAUSED  # noqa: S101  (only calls of loads give way)
        return value

    async def send_row(self, call: Call[T]) -> T | Paused:
        """Do the same for a call that may be one of a load.

        Returns:
            The value of the call; `PAUSED` where it is one of a load and its location is paused: nothing was sent after
            the last try that its `tries` count.

        Raises:
            LeadConnectorError: As `send`.
        """
        self.check_open()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (coroutines of this package run in tasks)
        cancellations = task.cancelling()
        self._calls[call] = task
        has_refreshed = False
        try:
            while True:
                try:
                    return await self._try(call)
                except _SourceFailedError as failure:
                    raise self._given_up(call, failure.take()) from None
                except AuthenticationError as error:
                    call.tries.note_end(0.0, is_limited=False)
                    if has_refreshed or not await self._refresh(call):
                        raise self._given_up(call, error) from None
                    has_refreshed = True
                except CallError as error:
                    await self._wait_before_retry(call, error)
        except asyncio.CancelledError:
            # Ours, as the client was closed, unless the task was cancelled by others, too.
            if call not in self._cut_off or task.uncancel() > cancellations:
                raise
            raise ClientStateError("this client was closed while the call waited; nothing more was sent") from None
        finally:
            del self._calls[call]
            count_tries(call)
            self._cut_off.discard(call)
            if self._all_done is not None and not self._calls:
                self._all_done.set()

    def check_open(self) -> None:
        """Refuse work where the client is not open on this event loop.

        Raises:
            ClientStateError: It is not.
        """
        if self._is_closed:
            raise ClientStateError("this client is closed; make a new LeadConnector")
        if self._loop is None:
            raise ClientStateError("this client is not open; use `async with LeadConnector(...) as lc:`")
        if self._loop is not asyncio.get_running_loop():
            raise ClientStateError("this client belongs to another event loop; open one on each loop")

    async def _try(self, call: Call[T]) -> T | Paused:
        """Make one try: take a slot, send, read the answer, give the slot back.

        The order matters. A token may end while the call waits for its slot, so it is asked for after that. What the
        answer says of the limits is believed before the slot goes to the next call, so that no call slips through
        between a 429 and the pause that it asks for.
        """
        request, tries = call.request, call.tries
        tries.ending = NOT_SENT
        window = self.window(request.location_id)
        telemetry = self._listener()
        wait = window.acquire if telemetry is None else partial(telemetry.acquire, window)
        slot = await wait(bulk=call.is_bulk)
        if slot is None:
            return PAUSED
        quota: Quota | None = None
        try:
            token = self._fixed_token
            if token is None or self._limits.is_paced or call.before_send is not None:
                token = await self._prepare(call)
            await self._gate.enter(bulk=call.is_bulk)
            try:
                if not self._may_still_send(call, window):
                    return PAUSED
                tries.begin(self.clock.monotonic())
                response = await self._transport.exchange(request, token)
            finally:
                self._gate.leave()
            quota = self._learn(call, window, response, telemetry)
            return read_response(request, response)
        except BaseException as error:
            self._note_failure(call, error)
            raise
        finally:
            # A slot comes back unused only where nothing left; else the service may have counted the call.
            if tries.ending is NOT_SENT:
                window.give_back(slot)
            else:
                window.release(slot, quota, is_answered=tries.ending is ANSWERED)

    def _listener(self) -> Telemetry | None:
        """Return where to count, where anybody listens."""
        telemetry = self.telemetry
        return telemetry if telemetry is not None and telemetry.is_heard() else None

    async def _prepare(self, call: Call[Any]) -> str:
        """Do what comes between a slot and the sending, and return the token."""
        token = call.source_token if call.source_token is not None else self._fixed_token
        if token is None:
            token = call.tries.token = await self._ask_for_token(call.request.location_id)
        if self._limits.is_paced:
            await self._limits.pace(bulk=call.is_bulk)
        if call.before_send is not None:
            await call.before_send()
        return token

    def _may_still_send(self, call: Call[Any], window: Window) -> bool:
        """Look once more at what may have changed while the call waited.

        Raises:
            ClientStateError: The client was closed; nothing was sent.
        """
        if self._is_closed and call.source_token is None:
            self.check_open()
        return not (call.is_bulk and window.is_paused())

    def _learn(self, call: Call[Any], window: Window, response: Response, telemetry: Telemetry | None) -> Quota | None:
        """Take note of an answer: what its headers say of time and limits. Each header is read once."""
        tries = call.tries
        tries.ending = ANSWERED
        self.has_answered = True
        now = self.clock.monotonic()
        quota = read_quota(response.headers)
        self.server_clock.believe(response.headers, tries.sent_at, now)
        if response.status == _TOO_MANY_REQUESTS:
            tries.count -= 1
            tries.rate_limited += 1
            window.pause(read_retry_after(response.headers), longest=self.retry.max_retry_after)
        if telemetry is not None:
            telemetry.note_answer(call.request, response.status, quota, now - tries.sent_at)
        return quota

    def _note_failure(self, call: Call[Any], error: BaseException) -> None:
        """Say how a try ended that has no answer."""
        tries = call.tries
        if not tries.is_out:
            return
        if isinstance(error, ConnectFailedError):
            tries.never_left()
            if self.unreached_since is None:
                self.unreached_since = self.clock.monotonic()
            return
        if (telemetry := self._listener()) is not None:
            telemetry.note_failure(call.request, error, self.clock.monotonic() - tries.sent_at)
        tries.ending = IN_DOUBT
        if isinstance(error, asyncio.CancelledError):  # of all others the loop of tries says whether they are in doubt
            tries.doubt_last(self.server_clock, self.clock.monotonic())

    # ------------------------------------------------------------------------------------------ between two tries

    async def _wait_before_retry(self, call: Call[T], error: CallError) -> None:
        now, tries = self.clock.monotonic(), call.tries
        tries.note_end(now, is_limited=isinstance(error, RateLimitedError))
        if is_in_doubt(error):
            tries.doubt_last(self.server_clock, now)
        delay = delay_before_retry(
            self.retry,
            error,
            attempts=tries.made - tries.forgiven,
            rate_limited_for=0.0 if tries.limited_since is None else now - tries.limited_since,
            repeatable=call.request.repeatable,
            random=random.random,
        )
        if delay is None or tries.is_halted:
            raise self._given_up(call, error)
        if call.on_retry is not None:
            call.on_retry(call.request.location_id)
        path = call.request.path.partition("?")[0]  # a query may hold an address or a phone number
        _log.info("%s %s: %s; trying again in %.1f s", call.request.method, path, type(error).__name__, delay)
        if (telemetry := self._listener()) is not None:
            telemetry.count_retry(error)
        await self.clock.sleep(delay)

    def _given_up(self, call: Call[T], error: CallError) -> CallError | RateLimitStuckError:
        tries = call.tries
        if isinstance(error, RateLimitedError) and not tries.is_halted:
            return RateLimitStuckError(
                f"rate-limited (HTTP 429) {count_of(tries.limited_in_a_row, 'time')} in a row, longer than the retry "
                "policy waits; try again later, or find out what else uses this location's quota",
                rate_limited=tries.rate_limited,
            )
        error.attempts, error.rate_limited = tries.made, tries.rate_limited
        error.may_be_applied = tries.is_in_doubt
        return error

    # ------------------------------------------------------------------------------------------ the token source

    async def _ask_for_token(self, location_id: str) -> str:
        token = await self._ask(self._tokens.token(location_id))
        try:
            return check_token(token)
        except ConfigurationError as error:
            raise TokenSourceError(f"the token source gave no token: {error}") from None

    async def _refresh(self, call: Call[Any]) -> bool:
        try:
            return await self._ask(self._tokens.refresh(call.request.location_id, call.tries.token))
        except _SourceFailedError as failure:
            raise self._given_up(call, failure.take()) from None

    async def _ask(self, answer: Awaitable[_V]) -> _V:
        try:
            return await answer
        except CallError as error:
            raise _SourceFailedError(error) from None
        except LeadConnectorError:
            raise
        except Exception as error:  # it is the caller's, and may be anything
            raise TokenSourceError(f"the token source raised {type(error).__name__}") from error

    async def _send_for_source(self, request: Request[T], token: str) -> T:
        """Send what the token source asks the service, with a token of its choice."""
        call = Call(request, source_token=token)
        while True:
            try:
                value = await self._try(call)
            except CallError as error:
                await self._wait_before_retry(call, error)
            else:
                assert value is not PAUSED  # noqa: S101  (only rows of loads give way)
                return value


class _SourceFailedError(Exception):
    """A call of the token source itself failed, which says nothing of the call that needs the token."""

    def __init__(self, error: CallError) -> None:
        super().__init__()
        self._error: CallError | None = error

    def take(self) -> CallError:
        """Return the error, and let go of it: raised from here, it has this for its context. Did each hold the other,
        what pickles whole chains (as Dask does) would never come to an end.
        """
        error, self._error = self._error, None
        assert error is not None  # noqa: S101  (it is taken once)
        return error


def _check_kinds(*arguments: tuple[str, object, type, bool]) -> None:
    """Refuse arguments of another kind than they should be: each with its name, its kind, and whether it may be None.

    Raises:
        ConfigurationError: The sentence names the argument.
    """
    for name, value, kind, may_be_none in arguments:
        if value is None and may_be_none:
            continue
        is_good = isinstance(value, kind) if not getattr(kind, "_is_protocol", False) else not isinstance(value, _PLAIN)
        if not is_good:
            raise ConfigurationError(f"{name} is {value!r:.60}; it must be {kind.__name__}{' or None' * may_be_none}")


_PLAIN: Final = (str, bytes, int, float, list, dict, tuple, type(None))
"""What is certainly no object with the methods of a protocol."""
