"""The rows that wait, between source and workers: bounded, and those of one identity in order.

Rows that share an email or a phone are never handed out together, and are handed out in the order in which they came.
The rest overtake them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Generic, TypeVar


class Item:
    """One row on its way.

    Attributes:
        index: Its place in the source.
        keys: Whom it may be matched with.
        blocked_by: How many rows of the same identity must be done before.
        followers: The rows that wait for this one, or None.
    """

    __slots__ = ("blocked_by", "followers", "index", "keys")

    def __init__(self, index: int, keys: tuple[str, ...]) -> None:
        self.index = index
        self.keys = keys
        self.blocked_by = 0
        self.followers: list[Any] | None = None


AnyItem = TypeVar("AnyItem", bound=Item)


class Backlog(Generic[AnyItem]):
    """A bounded queue of items, ordered by identity.

    Args:
        most: Items waiting or in a worker's hands, at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._ready: deque[AnyItem] = deque()
        self._blocked: dict[int, AnyItem] = {}
        self._last_of: dict[str, AnyItem] = {}  # by key, the last item that is not done
        self._idle: deque[asyncio.Future[None]] = deque()
        self._room: asyncio.Future[None] | None = None
        self._has_ended = False

    @property
    def is_full(self) -> bool:
        """Whether to wait for room before the next `put`."""
        return self._size >= self._most

    async def wait_for_room(self) -> None:
        """Wait until half of a full backlog is done, so that one waking up serves many rows."""
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    def put(self, item: AnyItem) -> None:
        """Add an item; wait for room first."""
        self._size += 1
        last_of = self._last_of
        for key in item.keys:
            before = last_of.get(key)
            if before is not None and before is not item:
                if before.followers is None:
                    before.followers = []
                before.followers.append(item)
                item.blocked_by += 1
            last_of[key] = item
        if item.blocked_by:
            self._blocked[item.index] = item
        else:
            self._make_ready(item)

    async def get(self) -> AnyItem | None:
        """Take the next item whose identity is free, waiting for one; None once there will be none."""
        while not self._ready:
            if self._has_ended and not self._size:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        return self._ready.popleft()

    def done(self, item: AnyItem) -> None:
        """Say that an item that was taken is finished; those that waited for its identity may go."""
        self._size -= 1
        for key in item.keys:
            if self._last_of.get(key) is item:
                del self._last_of[key]
        for follower in item.followers or ():
            follower.blocked_by -= 1
            if not follower.blocked_by and self._blocked.pop(follower.index, None) is not None:
                self._make_ready(follower)
        if self._room is not None and self._size <= self._most // 2 and not self._room.done():
            self._room.set_result(None)
        if self._has_ended and not self._size:
            self._wake_all()

    def put_back(self, item: AnyItem) -> None:
        """Give back an item that was taken, to be handed out again after all that are ready; it is not done."""
        self._make_ready(item)

    def end(self) -> None:
        """Say that no more items will be put."""
        self._has_ended = True
        if not self._size:
            self._wake_all()

    def empty(self) -> list[AnyItem]:
        """End, and take back all items that no worker has, in order."""
        rest = sorted([*self._ready, *self._blocked.values()], key=lambda item: item.index)
        self._ready.clear()
        self._blocked.clear()
        self._size -= len(rest)
        self.end()
        return rest

    def _make_ready(self, item: AnyItem) -> None:
        self._ready.append(item)
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
