"""One thing done for each of many contacts, some at a time, until all are done or none would fare better."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import islice
from typing import Final, Generic, TypeVar

from ..errors import AuthenticationError, CallError, LeadConnectorError, PermissionDeniedError, TransportError

T = TypeVar("T")

_BATCH: Final = 100


async def sweep(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], *, concurrency: int, stop: asyncio.Event
) -> LeadConnectorError | None:
    """Do one thing for each item.

    Args:
        items: Read in a thread and never far ahead, so that they may come from files.
        work: What to do; what it raises of ours ends the sweep.
        concurrency: At how many items at a time.
        stop: Set it to end in order: what was begun is finished.

    Returns:
        What ended it early, or None: then all is done, or the user wished to stop.
    """
    feed, reasons = _Feed(iter(items)), list[LeadConnectorError]()

    async def go_on() -> None:
        while not stop.is_set() and not reasons:
            try:
                found = await feed.next()
                if not found:
                    return
                await work(found[0])
            except LeadConnectorError as error:
                reasons.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(go_on())
    return reasons[0] if reasons else None


def ends_sweep(error: CallError) -> bool:
    """Whether no other contact would fare better: the token is refused, or the service does not answer."""
    is_refused = isinstance(error, AuthenticationError | PermissionDeniedError)
    return isinstance(error, TransportError) or (is_refused and getattr(error, "status", 0) == HTTPStatus.UNAUTHORIZED)


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
