"""How many calls of a client are out at once, whatever locations they are for."""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """A bound on calls in flight, with two lanes: single calls go before rows of loads.

    Args:
        most: Calls at most.
    """

    __slots__ = ("_inside", "_most", "_singles", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._singles: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()  # the bulk lane

    async def enter(self, *, bulk: bool) -> None:
        """Wait for a place. What entered must leave."""
        if self._inside < self._most:
            self._inside += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting if bulk else self._singles).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Hand the place on to who waits first."""
        for lane in (self._singles, self._waiting):
            while lane:
                waiter = lane.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return
        self._inside -= 1
