"""The queue of rows between source and workers: bounded, ordered by identity, and fair between locations.

Rows that share an email or a phone are never handed out together, and are handed out in the order in which they came.
Locations take turns; one whose window has no room, or that has its share of the workers, is skipped until it may go on.
So no location holds up another of which rows have been read: if rows of several locations come, reading goes on until
enough rows can be sent, or `look_ahead` rows wait. Rows that may be joined are always read on so far, to find more of
one person. The first row of each location goes alone, until `trust`: a location
that refuses all calls costs one call.

A window is asked whether it is ready when a worker takes the row, but the slot is taken later, inside the try. If the
window is full or paused by then, the call waits for its slot, or the row is put back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar


class Item:
    """One row on its way.

    Attributes:
        index: Its place in the source.
        location_id: Where it goes.
        keys: Whom it may be matched with.
        blocked_by: How many rows of the same identity must be done before.
        followers: The rows that wait for this one, or None.
        was_taken: Whether a worker has it, or had it.
        weight: How many rows it stands for, with those that were joined to it.
    """

    __slots__ = ("blocked_by", "followers", "index", "keys", "location_id", "was_taken", "weight")

    def __init__(self, index: int, location_id: str, keys: tuple[str, ...]) -> None:
        self.index = index
        self.location_id = location_id
        self.keys = keys
        self.blocked_by = 0
        self.followers: list[Any] | None = None
        self.was_taken = False
        self.weight = 1


AnyItem = TypeVar("AnyItem", bound=Item)


class Room(Protocol):
    """What the backlog needs to know of a location's window."""

    def is_ready(self) -> bool:
        """Whether a row could go at once."""

    def is_paused(self) -> bool:
        """Whether none will for a while."""

    def call_when_ready(self, callback: Callable[[], None]) -> None:
        """Call back once when that is so."""


class Lane(Generic[AnyItem]):
    """The rows of one location.

    Attributes:
        ready: Those whose identity is free.
        in_hands: How many the workers have.
        is_queued: Whether it is in the rotation.
        is_parked: Whether its window has no room, and will call.
        is_held: Whether it waits for another day.
    """

    __slots__ = ("in_hands", "is_held", "is_parked", "is_queued", "ready")

    def __init__(self) -> None:
        self.ready: deque[AnyItem] = deque()
        self.in_hands = 0
        self.is_queued = self.is_parked = self.is_held = False


class Backlog(Generic[AnyItem]):
    """A bounded queue of items, ordered by identity and fair between locations.

    Args:
        workers: How many take items; the locations share them.
        most: Items waiting or in a worker's hands, at most, where all are of the location at home.
        look_ahead: The same where there are others.
        room: Returns the window of a location.
        home: The location of rows without one of their own.
        joins: Whether items may be joined to others that wait, so that as many as may be should wait.

    Attributes:
        has_several_locations: Whether some row named another location than the one at home.
    """

    def __init__(
        self,
        workers: int,
        *,
        most: int,
        look_ahead: int,
        room: Callable[[str], Room],
        home: str | None = None,
        joins: bool = False,
    ) -> None:
        self._workers = workers
        self._most = most
        self._look_ahead = max(look_ahead, most)
        self._room_of = room
        self._joins = joins
        self._size = 0  # rows: an item counts as many as it stands for
        self._lanes: dict[str, Lane[AnyItem]] = {}
        self._rotation: deque[str] = deque()
        self._runnable = 0  # ready items of the lanes in the rotation
        self._resting = 0  # lanes that are parked or held, and of which no worker has a row
        self._closed: set[str] = set()  # locations whose rows need no room
        self._trusted: set[str] = set()  # locations of which several rows may be out at once
        self._home = home
        self.has_several_locations = False
        self._blocked: dict[int, AnyItem] = {}
        self._last_of: dict[str, AnyItem] = {}  # by key, the last item that is not done
        self._idle: deque[asyncio.Future[None]] = deque()
        self._room: asyncio.Future[None] | None = None
        self._has_ended = False

    # ------------------------------------------------------------------------------------------ rows in

    @property
    def looks_ahead(self) -> bool:
        """Whether rows are read on to find some of other locations."""
        if self.has_several_locations:
            return True
        home = self._lanes.get(self._home or "")
        if home is None:
            return False
        return home.is_held or (home.is_parked and self._room_of(self._home or "").is_paused())

    @property
    def is_full(self) -> bool:
        """Whether to wait for room before the next `put`."""
        if self._joins:
            return self._size >= self._look_ahead
        if not self.looks_ahead:
            return self._size >= self._most
        return self._runnable >= self._most or self._size >= self._look_ahead

    @property
    def locations(self) -> list[str]:
        """The locations of which rows wait, or are in a worker's hands."""
        return list(self._lanes)

    async def wait_for_room(self) -> None:
        """Wait until a full backlog has room for many rows, so that one waking up serves them all."""
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    def _signal_room(self) -> None:
        if self._room is None or self._room.done():
            return
        if self._joins:
            has_room = self._size <= max(self._look_ahead - self._most, self._look_ahead // 2)
        elif self.looks_ahead:
            has_room = self._runnable <= self._most // 2 and self._size < self._look_ahead
        else:
            has_room = self._size <= self._most // 2
        if has_room:
            self._room.set_result(None)

    def put(self, item: AnyItem) -> None:
        """Add an item; wait for room first."""
        self._size += 1
        if item.location_id != self._home:
            self.has_several_locations = True
        last_of = self._last_of
        for key in item.keys:
            # It waits for the last row of each of its keys, which waits for the one before it, and so for all of them.
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

    def find_waiting(self, item: AnyItem) -> AnyItem | None:
        """Return the item right before another one that is to be put, where that is about the very same identity and
        was never taken: between the two there is none that shares a key with either."""
        before = self._last_of.get(item.keys[0]) if item.keys else None
        if before is None or before.was_taken or before.keys != item.keys:
            return None
        return before if all(self._last_of.get(key) is before for key in item.keys) else None

    def join(self, item: AnyItem) -> None:
        """Say that one more row was joined to an item that waits."""
        self._size += 1
        item.weight += 1

    def split(self, item: AnyItem, joined: Iterable[AnyItem]) -> None:
        """Make items of their own of the rows that were joined to one that was taken: they come right after it, one
        after the other, and before all that waited for it."""
        last, waiting = item, item.followers
        for row in joined:
            row.was_taken = True  # to stay what it is
            row.blocked_by, last.followers = 1, [row]
            self._blocked[row.index] = last = row
        last.followers = waiting
        item.weight = 1
        for key in item.keys:
            if self._last_of.get(key) is item:
                self._last_of[key] = last

    def end(self) -> None:
        """Say that no more items will be put."""
        self._has_ended = True
        if not self._size:
            self._wake_all()

    # ------------------------------------------------------------------------------------------ rows out

    async def get(self) -> AnyItem | None:
        """Take the next item that may go, waiting for one; None once there will be none."""
        while (item := self._next()) is None:
            if self._has_ended and not self._size:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter
        if self._rotation:
            self._wake_one()
        return item

    def _next(self) -> AnyItem | None:
        while self._rotation:
            location_id = self._rotation.popleft()
            lane = self._lanes[location_id]
            lane.is_queued = False  # before its window is asked, which may call back at once
            self._runnable -= len(lane.ready)
            if self._may_go(location_id, lane):
                item = lane.ready.popleft()
                item.was_taken = True
                lane.in_hands += 1
                if lane.ready:
                    self._enter_rotation(location_id, lane)
                return item
            self._signal_room()
        return None

    def _enter_rotation(self, location_id: str, lane: Lane[AnyItem]) -> None:
        lane.is_queued = True
        self._runnable += len(lane.ready)
        self._rotation.append(location_id)

    def _may_go(self, location_id: str, lane: Lane[AnyItem]) -> bool:
        if location_id in self._closed:
            return True
        most = self._share if location_id in self._trusted else 1
        if lane.is_held or lane.in_hands >= most:
            return False  # it is queued again when its day begins, it is trusted, or one of its rows is done
        room = self._room_of(location_id)
        if room.is_ready():
            return True
        lane.is_parked = True
        self._resting += not lane.in_hands
        room.call_when_ready(partial(self._unpark, location_id))
        return False

    @property
    def _share(self) -> int:
        """How many workers a location may have at once; those that rest leave theirs to the others."""
        return max(self._workers // max(len(self._lanes) - self._resting, 1), 1)

    def _unpark(self, location_id: str) -> None:
        lane = self._lanes.get(location_id)
        if lane is not None and lane.is_parked:
            self._resting -= not (lane.in_hands or lane.is_held)
            lane.is_parked = False
            self._queue(location_id, lane)

    def hold(self, location_id: str) -> None:
        """Hand out no row of a location, of which an item is taken, until `resume`."""
        self._lanes[location_id].is_held = True

    def resume(self, location_id: str) -> None:
        """Hand out rows of a location again."""
        lane = self._lanes.get(location_id)
        if lane is not None and lane.is_held:
            self._resting -= not (lane.in_hands or lane.is_parked)
            lane.is_held = False
            self._queue(location_id, lane)

    def trust(self, location_id: str) -> None:
        """Hand out several rows of a location at once from now on."""
        if location_id not in self._trusted:
            self._trusted.add(location_id)
            if (lane := self._lanes.get(location_id)) is not None:
                self._queue(location_id, lane)

    def close(self, location_id: str) -> None:
        """Hand out the rows of a location whether its window has room or not: they only get their outcomes."""
        self._closed.add(location_id)
        self.resume(location_id)
        self._unpark(location_id)

    def done(self, item: AnyItem) -> None:
        """Say that an item that was taken is finished; those that waited for its identity may go.

        The load calls it when the outcome is on disk: a row is never sent before the outcome of the row that it follows
        would survive a crash.
        """
        self._size -= item.weight
        for key in item.keys:
            if self._last_of.get(key) is item:
                del self._last_of[key]
        for follower in item.followers or ():
            follower.blocked_by -= 1
            if not follower.blocked_by and self._blocked.pop(follower.index, None) is not None:
                self._make_ready(follower)
        self._leave(item)
        self._signal_room()
        if self._has_ended and not self._size:
            self._wake_all()

    def put_back(self, item: AnyItem) -> None:
        """Give back an item that was taken, to be handed out again after all that are ready; it is not done."""
        self._make_ready(item)
        self._leave(item)
        self._signal_room()

    def _leave(self, item: AnyItem) -> None:
        lane = self._lanes[item.location_id]
        lane.in_hands -= 1
        is_waiting = lane.is_parked or lane.is_held
        self._resting += is_waiting and not lane.in_hands
        if lane.ready:
            self._queue(item.location_id, lane)
        elif not (lane.in_hands or is_waiting):
            del self._lanes[item.location_id]

    def empty(self) -> list[AnyItem]:
        """End, and take back all items that no worker has, in order."""
        waiting = [item for lane in self._lanes.values() for item in lane.ready]
        rest = sorted([*waiting, *self._blocked.values()], key=lambda item: item.index)
        for lane in self._lanes.values():
            lane.ready.clear()
            lane.is_queued = False
        self._rotation.clear()
        self._runnable = 0
        self._blocked.clear()
        self._size -= sum(item.weight for item in rest)
        self.end()
        return rest

    # ------------------------------------------------------------------------------------------ waking

    def _make_ready(self, item: AnyItem) -> None:
        lane = self._lanes.get(item.location_id)
        if lane is None:
            lane = self._lanes[item.location_id] = Lane()
        lane.ready.append(item)
        if lane.is_queued:
            self._runnable += 1
            self._wake_one()
        else:
            self._queue(item.location_id, lane)

    def _queue(self, location_id: str, lane: Lane[AnyItem]) -> None:
        if lane.ready and not (lane.is_queued or lane.is_parked or lane.is_held):
            self._enter_rotation(location_id, lane)
            self._wake_one()

    def _wake_one(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._idle:
            self._wake_one()
