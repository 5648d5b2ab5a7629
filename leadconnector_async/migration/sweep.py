"""Run a coroutine for each contact with bounded concurrency; stop early when going on is pointless.

Where a location refuses all calls, its contacts alone are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

from ..bulk.row import is_token_refused, refusal_of_location
from ..calls.retry import is_worth_repeating
from ..client import LeadConnector
from ..errors import (
    APIError,
    CallError,
    DailyQuotaExceededError,
    LeadConnectorError,
    RateLimitStuckError,
    TokenSourceError,
    TransportError,
)

T = TypeVar("T")

_BATCH: Final = 100


class LocationClosedError(LeadConnectorError):
    """A call about a location is not made, or was the last one, as the location takes none (stays inside)."""


class Access:
    """Which locations take calls. The first call about each goes alone: one that refuses all calls costs one.

    Args:
        client: Makes the calls.
        closed: Locations that take none, as far as is known, and why.
        waits_for_quota: Whether a location whose day is spent is waited for; then that does not close it.

    Attributes:
        closed: Locations that take no more calls, and why.
    """

    def __init__(
        self,
        client: LeadConnector,
        closed: Mapping[str, LeadConnectorError] | None = None,
        *,
        waits_for_quota: bool = False,
    ) -> None:
        self.closed = dict(closed or {})
        self._has_one_token = client.has_one_token
        self._closing = _CLOSING if waits_for_quota else (DailyQuotaExceededError, *_CLOSING)
        self._refused: CallError | None = None  # the one token of all locations
        self._answered: set[str] = set()
        self._trusted: set[str] = set()  # locations about which several calls may be out at once
        self._first: dict[str, asyncio.Lock] = {}

    @property
    def reason(self) -> LeadConnectorError | None:
        """Why the first of the closed locations is closed, or None."""
        return next(iter(self.closed.values()), None)

    @property
    def spent(self) -> DailyQuotaExceededError | None:
        """Why the first location is closed whose day is spent, or None: it takes calls again tomorrow."""
        spent = (reason for reason in self.closed.values() if isinstance(reason, DailyQuotaExceededError))
        return next(spent, None)

    def reopen_spent(self) -> None:
        """Let locations whose day was spent take calls again, as the next day has begun."""
        for location_id, reason in tuple(self.closed.items()):
            if isinstance(reason, DailyQuotaExceededError):
                del self.closed[location_id]

    async def call(self, location_id: str, send: Callable[[], Awaitable[T]]) -> T:
        """Make a call about a location, and return what it returns.

        Raises:
            LocationClosedError: The location takes no calls.
            LeadConnectorError: Anything else that the call raised.
        """
        if location_id not in self._trusted:
            async with self._first.setdefault(location_id, asyncio.Lock()):
                if location_id not in self._trusted:
                    return await self._call(location_id, send)
        return await self._call(location_id, send)

    async def _call(self, location_id: str, send: Callable[[], Awaitable[T]]) -> T:
        if self._refused is not None:
            raise self._refused
        if location_id in self.closed:
            raise LocationClosedError(location_id)
        try:
            result = await send()
        except LeadConnectorError as error:
            reason = self._why_closed(location_id, error)
            if reason is None:
                self._trusted.add(location_id)
                raise
            self.closed.setdefault(location_id, reason)
            raise LocationClosedError(location_id) from error
        self._answered.add(location_id)
        self._trusted.add(location_id)
        return result

    def note_refusal(self, location_id: str, error: CallError) -> bool:
        """Take note of what a call made otherwise came back with, and return whether that closes its location."""
        reason = refusal_of_location(error, location_id, has_answered=location_id in self._answered)
        if reason is not None:
            self.closed.setdefault(location_id, reason)
        return reason is not None

    def _why_closed(self, location_id: str, error: LeadConnectorError) -> LeadConnectorError | None:
        """Return why a location takes no more calls; None where the error does not say so."""
        if isinstance(error, self._closing):
            return error
        if not isinstance(error, CallError):
            return None
        reason = refusal_of_location(error, location_id, has_answered=location_id in self._answered)
        if reason is not None:
            return reason
        if is_token_refused(error):
            return self._note_refused_token(error)
        if isinstance(error, APIError) and not is_worth_repeating(error):
            self._answered.add(location_id)
        return None

    def _note_refused_token(self, error: CallError) -> CallError | None:
        """Note that no call will do better where all locations share the token; else one location is closed."""
        if not self._has_one_token:
            return error
        self._refused = error
        return None


_CLOSING: Final = (RateLimitStuckError, TokenSourceError)


async def sweep(
    items: Iterable[T],
    work: Callable[[T], Awaitable[None]],
    *,
    concurrency: int,
    stop: asyncio.Event,
    access: Access | None = None,
) -> LeadConnectorError | None:
    """Run `work` for each item.

    Args:
        items: Read in a thread and never far ahead, so that they may come from files.
        work: What to do; what it raises of ours ends the sweep.
        concurrency: At how many items at a time.
        stop: Set it to end in order: what was begun is finished.
        access: Makes the calls of `work`; items of locations that take none are left out.

    Returns:
        What ended it early, or why the first of the locations that were left out was; None where all is done, or the
        user wished to stop.
    """
    feed, reasons = _Feed(iter(items)), list[LeadConnectorError]()

    async def go_on() -> None:
        while not stop.is_set() and not reasons:
            try:
                found = await feed.next()
                if not found:
                    return
                await work(found[0])
            except LocationClosedError:
                continue
            except LeadConnectorError as error:
                reasons.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(go_on())
    if reasons:
        return reasons[0]
    return None if access is None else access.reason


def ends_sweep(error: CallError) -> bool:
    """Whether no other contact would fare better: the token is refused, or the service does not answer."""
    return isinstance(error, TransportError) or is_token_refused(error)


class _Feed(Generic[T]):
    """Items for several workers, from one iterator."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._read: list[T] = []
        self._lock = asyncio.Lock()

    async def next(self) -> list[T]:
        """Return the next item alone in a list; an empty one where there is none."""
        async with self._lock:
            if not self._read:
                self._read = await asyncio.to_thread(lambda: list(islice(self._items, _BATCH)))
                self._read.reverse()
            return [self._read.pop()] if self._read else []
