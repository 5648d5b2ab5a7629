"""Calls that a load makes after its upserts: each settles rows, one call for one row or for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from ..call import Call
from ..client import LeadConnector
from ..errors import (
    APIError,
    AuthenticationError,
    DailyQuotaExceededError,
    LeadConnectorError,
    PermissionDeniedError,
    ServerError,
    StopRequestedError,
)
from ..protocol import Request
from .tag_book import TagBook, Tagged

_WORKERS: Final = 8
A = TypeVar("A")


class Errand(Struct, Generic[A], frozen=True):
    """One call.

    Attributes:
        location_id: The location.
        request: What to send; safe to repeat.
        read: Says of each row what the answer says of it.
        refuse: Says of each row what an error that is about these rows says of it.
    """

    location_id: str
    request: Request[A]
    read: Callable[[A], list[Tagged]]
    refuse: Callable[[LeadConnectorError], list[Tagged]]


class FollowUp:
    """Sends calls under the limits of their locations, some at a time.

    Args:
        client: Where to send.
        book: Keeps what became of each row.
        on_settled: Called with the number of rows that were settled together.

    Attributes:
        stopped: What ended it early, or None.
    """

    def __init__(
        self, client: LeadConnector, book: TagBook, on_settled: Callable[[int], None] = lambda _: None
    ) -> None:
        self._client = client
        self._book = book
        self._on_settled = on_settled
        self._closed: dict[str, LeadConnectorError] = {}  # locations that take no more calls, and why
        self._busy: dict[asyncio.Task[None], Call[Any] | None] = {}
        self.stopped: LeadConnectorError | None = None

    async def run(self, errands: Iterator[Errand[Any]], stop: asyncio.Event, *, wait_for_quota: bool) -> None:
        """Make all calls.

        Args:
            errands: Read in a thread, one by one.
            stop: Set it to end in order: calls in flight finish.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent.

        Raises:
            JournalError: What was done cannot be written; it is safe to do it again.
            ConfigurationError: A file can be read no more.
        """
        turn = asyncio.Lock()
        watcher = asyncio.create_task(self._stop_on(stop))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_WORKERS):
                    group.create_task(self._work(errands, turn, wait_for_quota=wait_for_quota))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            watcher.cancel()
        self.stopped = self.stopped or next(iter(self._closed.values()), None)

    async def _stop_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stopped = StopRequestedError("the load was asked to stop")
        for task, call in self._busy.items():
            if call is not None:
                call.is_halted = True
            if call is None or not call.in_flight:
                task.cancel()

    async def _work(self, errands: Iterator[Errand[Any]], turn: asyncio.Lock, *, wait_for_quota: bool) -> None:
        while self.stopped is None:
            async with turn:
                errand = await asyncio.to_thread(next, errands, None)
            if errand is None or self.stopped is not None:
                return
            while errand.location_id not in self._closed and not await self._run_errand(errand, waits=wait_for_quota):
                pass

    async def _run_errand(self, errand: Errand[Any], *, waits: bool) -> bool:
        """Send one call, and say whether that is all: else the next day has come."""
        call = Call(errand.request)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        self._busy[task] = call
        told: list[Tagged] = []
        try:
            told = errand.read(await self._client.send(call))
        except DailyQuotaExceededError as error:
            if waits and not call.is_halted:
                self._busy[task] = None
                await self._client.clock.sleep(error.resets_in)
                return False
            self._closed[errand.location_id] = error
        except LeadConnectorError as error:
            if _is_for_later(error):
                self._closed[errand.location_id] = error
            else:
                told = errand.refuse(error)
        finally:
            del self._busy[task]
            self._book.note(told, attempts=call.attempts, rate_limited=call.rate_limited)
            self._on_settled(len(told))
        return True


def _is_for_later(error: LeadConnectorError) -> bool:
    """Whether it says nothing of these contacts: the service is down, the day is spent, the token is refused or lacks a
    scope."""
    return not isinstance(error, APIError) or isinstance(
        error, AuthenticationError | PermissionDeniedError | ServerError
    )
