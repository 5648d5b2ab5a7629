"""Renew tokens ahead of their expiry, in one task at a time, however many calls wait for it.

A refresh token is good for one use: the first request that arrives spends it. Two renewals at once would each send the
same one, and the second would be refused, or would leave us with a pair that the service has replaced since. So each
account has one renewal at a time, which all callers join (`Renewed`). Among processes, a lock of the store does the
same (`OAuthAccount._renew_pair`), and whoever gets it reads the store first: the token may have been renewed meanwhile.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from ..errors import APIError, CallError, CallTimeoutError, LeadConnectorError, TokenSourceError
from ..protocol import Request
from ..protocol.oauth import TokenAnswer, read_refusal
from .source import Line

_log = logging.getLogger(__name__)

# For about 30 s after a refresh token is spent, the service answers it with the same new pair once more. So a lost
# answer is no lost login if the next try comes soon, and no try may take as long as that.
_TRY_SECONDS: Final = 20.0
_DELAYS_BETWEEN_TRIES: Final = (0.5, 2.0, 5.0)
_PAUSE_AFTER_FAILURE: Final = 30.0  # while the token is still good

V = TypeVar("V", bound="ExpiringToken")
R = TypeVar("R")


class ExpiringToken(Protocol):
    """A token that expires; times are seconds since 1970."""

    @property
    def access_token(self) -> str:
        """The token."""

    @property
    def renew_at(self) -> float:
        """From when on it is worth renewing."""

    @property
    def expires_at(self) -> float:
        """When it expires."""


class BackgroundTasks:
    """Work that goes on when those who wait for it are cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Begin something that ends whether or not anybody waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # else asyncio would log it where nobody waited

    async def wait(self) -> None:
        """Return when all has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    @staticmethod
    async def join(task: asyncio.Task[R]) -> R:
        """Wait for work, which goes on if the waiter is cancelled; each waiter gets an error of its own.

        Shielded, as a renewal that is cut off between the service's answer and the store would lose the login.
        """
        me = asyncio.current_task()
        cancellations = 0 if me is None else me.cancelling()
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and me is not None and me.cancelling() <= cancellations:
                raise TokenSourceError("the client was closed while its token was renewed") from None
            raise
        except LeadConnectorError as error:
            raise copy.copy(error) from None


class Renewed(Generic[V]):
    """A token that is always good when it is asked for.

    Args:
        renew: Returns one to go on with. It is given the token that was refused, or None where time alone asks for
            another, and may return one that somebody else renewed meanwhile.
        line: The way to the service.
        tasks: Where renewals run.
    """

    def __init__(
        self, renew: Callable[[str | None], Coroutine[Any, Any, V]], *, line: Callable[[], Line], tasks: BackgroundTasks
    ) -> None:
        self._renew = renew
        self._line = line
        self._tasks = tasks
        self._value: V | None = None
        self._task: asyncio.Task[V] | None = None
        self._not_before = 0.0

    def put(self, value: V | None) -> None:
        """Take one that came another way; None for none."""
        self._value = value

    async def get(self) -> V:
        """Return one that is good. While the old one still is, it is renewed meanwhile, and nobody waits.

        Raises:
            LeadConnectorError: There is none, and none could be had.
        """
        value = self._value
        if value is None:
            return await self._tasks.join(self._begin(None))
        now = self._line().clock.time()
        if now < value.renew_at:
            return value
        if now < value.expires_at:  # still good: renew it in the background
            if now >= self._not_before:
                self._not_before = now + _PAUSE_AFTER_FAILURE
                self._begin(None).add_done_callback(_log_failure)
            return value
        return await self._tasks.join(self._begin(None))

    async def replace(self, refused: str) -> V:
        """Return one other than that which was refused.

        Raises:
            LeadConnectorError: None could be had.
        """
        value = self._value
        if value is not None and value.access_token != refused:
            return value  # another call that was refused has had it renewed
        value = await self._tasks.join(self._begin(refused))
        # The renewal that was joined may have begun because of the time alone. It knew of no refusal, and may have
        # returned the very token that was refused.
        if value.access_token == refused:
            value = await self._tasks.join(self._begin(refused))
        return value

    def _begin(self, refused: str | None) -> asyncio.Task[V]:
        if self._task is None or self._task.done():
            self._task = self._tasks.start(self._work(refused))
        return self._task

    async def _work(self, refused: str | None) -> V:
        self._value = value = await self._renew(refused)
        return value


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("a token that is still good could not be renewed ahead of its end (%s)", type(error).__name__)


async def ask_for_pair(
    line: Line,
    request: Request[TokenAnswer],
    *,
    account_id: str | None = None,
    on_lost: Callable[[], None] = lambda: None,
) -> TokenAnswer:
    """Ask for a pair; ask again if the answer was lost, as the service gives the same pair once more for a while.

    Args:
        line: The way to the service.
        request: For a code, or for a refresh token; both are spent by the first request that arrives.
        account_id: Whose refresh token it is; None for a code.
        on_lost: Called where the service may have given a pair that did not arrive.

    Raises:
        LoginRequiredError: The service does not take the code or refresh token.
        ConfigurationError: It does not take the client id and secret.
        CallError: It gave no answer, or could not.
    """
    for delay in (*_DELAYS_BETWEEN_TRIES, None):
        try:
            return await _in_time(line.send(request, ""))
        except CallError as error:
            if isinstance(error, APIError) and not error.may_be_applied:
                raise read_refusal(error, is_code=account_id is None, account_id=account_id) from None
            if error.may_be_applied:
                on_lost()
            if delay is None or not error.may_be_applied:
                raise
            _log.info("the answer to a request for tokens was lost (%s); asking again", type(error).__name__)
        await line.clock.sleep(delay)
    raise AssertionError  # the loop returns or raises


async def _in_time(answer: Awaitable[R]) -> R:
    try:
        async with asyncio.timeout(_TRY_SECONDS):
            return await answer
    except TimeoutError as error:
        if isinstance(error, CallError):
            raise
    late = CallTimeoutError("no complete answer in time")
    late.may_be_applied = True
    raise late
