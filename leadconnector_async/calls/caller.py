"""Caller: the one path that every call takes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
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
    LocationPausedError,
    RateLimitedError,
    RateLimitStuckError,
    TokenSourceError,
)
from ..limits.limit import Limits, RateLimit, Window
from ..limits.local import LocalLimits
from ..protocol import Request, T, check_api_version, read_response
from ..protocol.answers import Response, read_quota, read_retry_after
from .call import Call
from .gate import Gate
from .retry import RetryPolicy, delay_before_retry, is_in_doubt
from .server_clock import ServerClock
from .telemetry import find_telemetry
from .transport import Timeouts, Transport

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_log = logging.getLogger(__name__)


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
        max_body_bytes: int,
        meter_provider: MeterProvider | None,
        clock: Clock | None,
    ) -> None:
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; it must be at least 1")
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
        self._transport = Transport(base_url, timeouts=timeouts, max_body_bytes=max_body_bytes, session=session)
        self._gate = Gate(concurrency)
        self.telemetry = find_telemetry(self.clock, meter_provider)
        exchange = self._transport.exchange
        self._exchange = exchange if self.telemetry is None else self.telemetry.watching(exchange)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._calls: dict[Call[Any], asyncio.Task[Any] | None] = {}  # under way, and where
        self._cut_off: set[Call[Any]] = set()
        self.when_closed: set[Callable[[LeadConnectorError], None]] = set()
        self._all_done: asyncio.Event | None = None
        self._line = Line(self._send_for_source, self._transport.base_url, api_version, self.clock)

    @property
    def has_one_token(self) -> bool:
        """Whether all locations share a token, so that one that is refused is refused for all."""
        return self._fixed_token is not None

    @property
    def host(self) -> str:
        """The host of the base URL."""
        return urlsplit(self._transport.base_url).hostname or ""

    def __repr__(self) -> str:
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
        """End the calls that wait for a slot, or to be tried again."""
        for call, task in self._calls.items():
            if not call.in_flight and task is not None:
                self._cut_off.add(call)
                task.cancel()

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
        """Try a call until it succeeds or the policy gives up.

        Raises:
            ClientStateError: The client is not open here; nothing was sent.
            CallError: It did not succeed; `may_be_applied` and `attempts` say more.
            DailyQuotaExceededError: The location's day is spent; the last try was not sent.
            RateLimitStuckError: Nothing but 429 for as long as the policy waits; it was not applied.
            TokenSourceError: The token source raised; the last try was not sent.
        """
        self._check_open()
        task = asyncio.current_task()
        self._calls[call] = task
        try:
            return await self._try_until_done(call)
        except asyncio.CancelledError:
            if call not in self._cut_off or task is None or task.uncancel():
                raise
            raise ClientStateError("this client was closed while the call waited; nothing more was sent") from None
        finally:
            del self._calls[call]
            self._cut_off.discard(call)
            if self._all_done is not None and not self._calls:
                self._all_done.set()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClientStateError("this client is closed; make a new LeadConnector")
        if self._loop is None:
            raise ClientStateError("this client is not open; use `async with LeadConnector(...) as lc:`")
        if self._loop is not asyncio.get_running_loop():
            raise ClientStateError("this client belongs to another event loop; open one on each loop")

    async def _try_until_done(self, call: Call[T]) -> T:
        has_refreshed = False
        while True:
            try:
                return await self._attempt(call)
            except AuthenticationError as error:
                if call.lacks_token or has_refreshed or not await self._ask(call, self._refresh(call)):
                    raise self._given_up(call, error) from None
                has_refreshed = True
            except CallError as error:
                if call.lacks_token:  # it is of the source's own call, which was tried often enough
                    raise
                await self._wait_before_retry(call, error)

    def _refresh(self, call: Call[Any]) -> Awaitable[bool]:
        return self._tokens.refresh(call.request.location_id, call.token)

    async def _send_for_source(self, request: Request[T], token: str) -> T:
        """Send what the token source asks the service, with a token of its choice."""
        call = Call(request)
        call.is_for_source, call.token = True, token
        while True:
            try:
                return await self._attempt(call)
            except CallError as error:
                await self._wait_before_retry(call, error)

    async def _ask_for_token(self, call: Call[Any]) -> str:
        call.lacks_token = True
        token = await self._ask(call, self._tokens.token(call.request.location_id))
        try:
            call.token = check_token(token)
        except ConfigurationError as error:
            raise TokenSourceError(f"the token source gave no token: {error}") from None
        call.lacks_token = False
        return call.token

    async def _ask(self, call: Call[Any], token_source: Awaitable[T]) -> T:
        try:
            return await token_source
        except CallError as error:  # of the source's own call, which says nothing of this one
            raise self._given_up(call, error) from None
        except LeadConnectorError:
            raise
        except Exception as error:  # it is the caller's, and may be anything
            raise TokenSourceError(f"the token source raised {type(error).__name__}") from error

    async def _wait_before_retry(self, call: Call[T], error: CallError) -> None:
        now = self.clock.monotonic()
        if not isinstance(error, RateLimitedError):
            call.limited_since = None
        elif call.limited_since is None:
            call.limited_since = now
        if is_in_doubt(error):
            call.doubt(self.server_clock)
        delay = delay_before_retry(
            self.retry,
            error,
            attempts=call.attempts - call.forgiven,
            rate_limited_for=0.0 if call.limited_since is None else now - call.limited_since,
            repeatable=call.request.repeatable,
            random=random.random,
        )
        if delay is None or call.is_halted:
            raise self._given_up(call, error)
        if call.on_retry is not None:
            call.on_retry()
        path = call.request.path.partition("?")[0]  # a query may hold an address or a phone number
        _log.info("%s %s: %s; trying again in %.1f s", call.request.method, path, type(error).__name__, delay)
        if self.telemetry is not None:
            self.telemetry.count_retry(error)
        await self.clock.sleep(delay)

    def _given_up(self, call: Call[T], error: CallError) -> CallError | RateLimitStuckError:
        if isinstance(error, RateLimitedError) and not call.is_halted:
            return RateLimitStuckError(
                f"the service answered 429 {call.rate_limited} times in a row, longer than the retry policy waits; "
                "go on later, or find what else uses this location's quota",
                rate_limited=call.rate_limited,
            )
        error.attempts, error.rate_limited = call.attempts, call.rate_limited
        error.may_be_applied = call.doubted_at is not None
        return error

    async def _attempt(self, call: Call[T]) -> T:
        """Exchange once, and read the answer."""
        response = await self._exchange_in_slot(call)
        try:
            return read_response(call.request, response)
        except RateLimitedError:
            call.attempts -= 1
            call.rate_limited += 1
            raise

    async def _exchange_in_slot(self, call: Call[T]) -> Response:
        """Take a slot, exchange once, and give the slot back as used, or as unused where nothing was sent."""
        window = self.window(call.request.location_id)
        if self.telemetry is None:
            slot = await window.acquire(bulk=call.is_bulk)
        else:
            slot = await self.telemetry.acquire(window, bulk=call.is_bulk)
        response = quota = None
        try:
            token = self._fixed_token
            if token is None:  # not before the slot: it may end while the call waits for that
                token = call.token if call.is_for_source else await self._ask_for_token(call)
            if self._limits.is_paced:
                await self._limits.pace(bulk=call.is_bulk)
            if call.before_send is not None:
                await call.before_send()
                call.before_send = None
            response = await self._exchange_in_turn(call, token, window)
            quota = read_quota(response.headers)
            self.server_clock.believe(response.headers, call.sent_at, self.clock.monotonic())
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:  # before the slot's return serves others
                window.pause(read_retry_after(response.headers), longest=self.retry.max_retry_after)
            return response
        except ConnectFailedError:
            call.in_flight = False
            raise
        except asyncio.CancelledError:
            if call.in_flight:
                call.doubt(self.server_clock)
            raise
        finally:
            if call.in_flight:
                window.release(slot, quota, is_answered=response is not None)
            else:
                window.give_back(slot)
            call.in_flight = False

    async def _exchange_in_turn(self, call: Call[T], token: str, window: Window) -> Response:
        await self._gate.enter(bulk=call.is_bulk)
        try:
            if call.is_bulk and window.is_paused():  # since it has its slot
                raise LocationPausedError("the location is paused; its rows are sent later")
            if self._is_closed and not call.is_for_source:  # since this call began to wait
                self._check_open()
            call.begin_try(self.clock.monotonic())
            return await self._exchange(call.request, token)
        finally:
            self._gate.leave()
