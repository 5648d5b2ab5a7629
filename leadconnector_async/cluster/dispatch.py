"""Who loads which location, and when another may have it: pure, on a clock that is handed in.

A location is handed to one worker. Another gets it only after that one has told that it has done with it, or after the
lease that it may have has ended: the lead counts from when it had heard the worker's stamp, and the worker from when it
stated it, so that the worker's lease always ends first, whatever the network does in between.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from ..bulk.report import Tally
from .workers import ClientOptions

# ---------------------------------------------------------------------------------------------- messages


class Plan(Struct, frozen=True, kw_only=True):
    """What a worker needs to know of a load before it gets its first location.

    Attributes:
        store_url: The folder of the run.
        split_id: What the pieces of rows are known by.
        options: Where the rows go.
        locations_at_once: Locations that a worker loads at the same time.
        lease_seconds: How long a worker goes on unheard.
        compare: Whether to compare what was sent with what was stored.
        wait_for_quota: Whether to wait for the next day where the day's calls are spent.
    """

    store_url: str
    split_id: str
    options: ClientOptions
    locations_at_once: int
    lease_seconds: float
    compare: bool
    wait_for_quota: bool


class Assignment(Struct, frozen=True, kw_only=True):
    """A location that a worker is to load.

    Attributes:
        location_id: Which; empty for rows that can be sent nowhere.
        rows: How many rows it has.
        parts: The parts of the source that have rows of it, in order.
        epoch: Above that of all who had it before.
        is_again: Whether another worker, or an earlier run, may have sent rows of it.
    """

    location_id: str
    rows: int
    parts: list[int]
    epoch: int
    is_again: bool


class Orders(Struct, frozen=True, kw_only=True):
    """What the lead tells a worker, some times a second.

    Attributes:
        heard: The time that the worker stated last, or None: it renews the lease.
        assigned: Locations to load; one that is known already may come twice.
        noted: Epochs whose end the lead has noted.
        is_stopping: Whether to end in order: calls in flight finish, no further one begins.
        is_over: Whether there is nothing more to do.
    """

    heard: float | None
    assigned: list[Assignment] = []
    noted: list[int] = []
    is_stopping: bool = False
    is_over: bool = False


class Ending(Struct, frozen=True, kw_only=True):
    """A location that a worker has done with.

    Attributes:
        location_id: Which.
        epoch: In which the worker had it.
        tally: The counts of all its rows.
        sittings: In how many runs or on how many workers it was loaded.
        stopped: What ended it before its last row; None where it is done.
        stops_all: Whether no other location would fare better.
        is_given_up: Whether it may do better elsewhere, or later: the lease or the store was at fault.
    """

    location_id: str
    epoch: int
    tally: Tally
    sittings: int = 1
    stopped: str | None = None
    stops_all: bool = False
    is_given_up: bool = False


class Told(Struct, frozen=True, kw_only=True):
    """What a worker tells the lead.

    Attributes:
        stamp: Its time; the lease lasts from here once the lead has given it back.
        endings: The locations that it has done with, until each is noted.
        under_way: The counts of the locations that it is loading.
        has_ended: Whether it has let go of all its locations.
    """

    stamp: float
    endings: list[Ending]
    under_way: Tally
    has_ended: bool = False


_PLENTY: Final = 2  # rounds of locations for each worker
_MOST_TRIES: Final = 3  # of a location that workers give up
_MARGIN: Final = 1.02  # two machines' clocks may differ in speed


class Share(Struct, frozen=True):
    """A location that is to be loaded.

    Attributes:
        location_id: Which.
        rows: How many rows it has.
        parts: The parts of the source that have rows of it.
        is_again: Whether an earlier run may have sent some.
    """

    location_id: str
    rows: int
    parts: list[int]
    is_again: bool


class Desk(Struct):
    """What is known of a worker.

    Attributes:
        held: What it has, by epoch.
        unsent: What is to be handed to it.
        heard: The time that it stated last, and when that was heard; not given back yet, or None.
        lease_until: Until when it may send.
        noted: Epochs whose end is to be confirmed.
    """

    held: dict[int, Assignment] = {}
    unsent: dict[int, Assignment] = {}
    heard: tuple[float, float] | None = None
    lease_until: float = -math.inf
    noted: list[int] = []


class Dispatcher:
    """Hands locations to workers.

    Args:
        shares: The locations; the largest go first, so that none is begun late that takes long.
        at_once: Locations that a worker loads at the same time.
        ahead: Locations that wait at a worker, so that it need not ask for the next.
        lease_seconds: How long a worker goes on unheard.
        first_epoch: The least epoch that nobody has had.
    """

    def __init__(
        self, shares: Iterable[Share], *, at_once: int, ahead: int, lease_seconds: float, first_epoch: int = 1
    ) -> None:
        self._at_once = at_once
        self._ahead = ahead
        self._lease_seconds = lease_seconds
        self._epoch = first_epoch
        ordered = sorted(shares, key=lambda share: share.rows)
        self._free = ordered  # the next is the last
        self._locked: list[tuple[float, str, Share]] = []  # by when they are free again
        self._desks: dict[str, Desk] = {}
        self._shares = {share.location_id: share for share in ordered}
        self.left = len(ordered)
        self._given_up: dict[str, int] = {}
        self.is_stopping = False

    def admit(self, worker: str) -> None:
        """Take a worker in."""
        self._desks.setdefault(worker, Desk())

    @property
    def workers(self) -> list[str]:
        """Those who are taken in."""
        return list(self._desks)

    def orders_for(self, worker: str, now: float) -> Orders:
        """Return what to tell a worker now. What it answers is for `hear`; where it does not, this is asked again."""
        desk = self._desks[worker]
        self._unlock(now)
        heard = None
        if desk.heard is not None:
            heard, at = desk.heard
            desk.lease_until = max(desk.lease_until, at + self._lease_seconds * _MARGIN)
        if not self.is_stopping and heard is not None:
            while self._free and len(desk.held) < self._most_held():
                assignment = self._assign(self._free.pop())
                desk.held[assignment.epoch] = desk.unsent[assignment.epoch] = assignment
        return Orders(
            heard=heard,
            assigned=list(desk.unsent.values()),
            noted=desk.noted,
            is_stopping=self.is_stopping,
            is_over=self.is_over,
        )

    def _most_held(self) -> int:
        """How many locations a worker may have now: its part of all, and towards the end none that only wait there."""
        is_plenty = len(self._free) > _PLENTY * self._at_once * len(self._desks)
        return min(self._at_once + self._ahead * is_plenty, math.ceil(self.left / len(self._desks)))

    def _assign(self, share: Share) -> Assignment:
        self._epoch += 1
        return Assignment(
            location_id=share.location_id,
            rows=share.rows,
            parts=share.parts,
            epoch=self._epoch - 1,
            is_again=share.is_again,
        )

    def hear(self, worker: str, orders: Orders, told: Told, now: float) -> list[Ending]:
        """Take in what a worker answered to orders, and return the locations that it has newly ended."""
        desk = self._desks[worker]
        desk.heard = told.stamp, now
        for assignment in orders.assigned:
            desk.unsent.pop(assignment.epoch, None)
        desk.noted = [ending.epoch for ending in told.endings]
        ended = [ending for ending in told.endings if desk.held.pop(ending.epoch, None) is not None]
        new = [ending for ending in ended if not (ending.is_given_up and self._gets_another_try(desk, ending))]
        self.left -= len(new)
        self.is_stopping = self.is_stopping or any(ending.stops_all for ending in new)
        return new

    def _gets_another_try(self, desk: Desk, ending: Ending) -> bool:
        """Have a location loaded once more that a worker gave up, but not for ever."""
        tries = self._given_up.get(ending.location_id, 0) + 1
        self._given_up[ending.location_id] = tries
        if tries <= _MOST_TRIES and not self.is_stopping:
            self._lock(desk, ending.location_id)
            return True
        return False

    def is_unheard(self, worker: str, now: float) -> bool:
        """Whether a worker that was heard once may send no more, as it was not heard since."""
        desk = self._desks[worker]
        return desk.lease_until < now and desk.lease_until > -math.inf

    def lose(self, worker: str) -> None:
        """Take it that a worker is gone: others get its locations when its lease has ended."""
        desk = self._desks.pop(worker)
        for assignment in desk.held.values():
            self._lock(desk, assignment.location_id)

    def _lock(self, desk: Desk, location_id: str) -> None:
        again = msgspec.structs.replace(self._shares[location_id], is_again=True)
        self._shares[location_id] = again
        heapq.heappush(self._locked, (desk.lease_until, location_id, again))

    def _unlock(self, now: float) -> None:
        while self._locked and self._locked[0][0] <= now:
            self._free.append(heapq.heappop(self._locked)[2])

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to hand out, and nobody has anything."""
        is_any_held = any(desk.held for desk in self._desks.values())
        return not is_any_held and (self.is_stopping or not (self._free or self._locked))

    def lease_left(self, now: float) -> float:
        """Return for how many seconds at most somebody may go on with a location that was not told to be done with."""
        leases = [desk.lease_until for desk in self._desks.values() if desk.held]
        leases += [lease_until for lease_until, _, _ in self._locked]
        return max(0.0, *(until - now for until in leases)) if leases else 0.0

    def left_over(self) -> list[Share]:
        """Return the locations that nobody has had to the end."""
        held = (self._shares[one.location_id] for desk in self._desks.values() for one in desk.held.values())
        return [*self._free, *(share for _, _, share in self._locked), *held]
