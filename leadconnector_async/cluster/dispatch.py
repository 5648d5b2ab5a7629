"""Who loads which location, and when another worker may have it. Pure; the clock is handed in.

Two workers never have a location at once. It is handed to one worker, and to another only when the first has reported
that it is done with it, or when the lease of the first has ended. Why that lease has ended by then: a worker stamps its
report with its own time, and its lease lasts from that stamp, once the lead has given the stamp back. The lead notes
when it got the report, which is later, and counts the same lease from there, longer by what two clocks may differ in
speed. It does so before it sends the stamp back. So however long messages take, or if they are lost, the worker's lease
ends first. A worker whose stamp was never given back has no lease, and sends nothing.
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


class LoadSetup(Struct, frozen=True, kw_only=True):
    """What a worker needs to know of a load before it gets its first location.

    Attributes:
        store_url: The folder of the run.
        split_id: What the pieces of rows are known by.
        options: Where the rows go.
        locations_at_once: Locations that a worker loads at the same time.
        lease_seconds: How long a worker goes on unheard.
        compare: Whether to compare what was sent with what was stored.
        wait_for_quota: Whether to wait for the next day when the day's calls are spent.
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
    """What the lead sends to a worker, some times a second.

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
        sessions: In how many sessions, on whatever workers, it was loaded.
        stopped: What ended it before its last row; None where it is done.
        stops_all: Whether no other location would fare better.
        is_given_up: Whether it may do better elsewhere, or later: the lease or the store was at fault.
    """

    location_id: str
    epoch: int
    tally: Tally
    sessions: int = msgspec.field(default=1, name="sittings")  # as it stands in stores
    stopped: str | None = None
    stops_all: bool = False
    is_given_up: bool = False


class WorkerReport(Struct, frozen=True, kw_only=True):
    """What a worker reports to the lead.

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


class WorkerState(Struct):
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
        self._workers: dict[str, WorkerState] = {}
        self._shares = {share.location_id: share for share in ordered}
        self.left = len(ordered)
        self._given_up: dict[str, int] = {}
        self.is_stopping = False

    def admit(self, worker: str) -> None:
        """Take a worker in."""
        self._workers.setdefault(worker, WorkerState())

    @property
    def workers(self) -> list[str]:
        """Those who are taken in."""
        return list(self._workers)

    def orders_for(self, worker: str, now: float) -> Orders:
        """Return what to send to a worker now. Give its answer to `hear`; if there is none, ask this again."""
        state = self._workers[worker]
        self._unlock(now)
        heard = None
        if state.heard is not None:
            # Before the orders leave, which extend the worker's lease: whether they arrive is not known.
            heard, at = state.heard
            state.lease_until = max(state.lease_until, at + self._lease_seconds * _MARGIN)
        if not self.is_stopping and heard is not None:
            while self._free and len(state.held) < self._most_held():
                assignment = self._assign(self._free.pop())
                state.held[assignment.epoch] = state.unsent[assignment.epoch] = assignment
        return Orders(
            heard=heard,
            assigned=list(state.unsent.values()),
            noted=state.noted,
            is_stopping=self.is_stopping,
            is_over=self.is_over,
        )

    def _most_held(self) -> int:
        """How many locations a worker may have now: its part of all, and towards the end none that only wait there."""
        is_plenty = len(self._free) > _PLENTY * self._at_once * len(self._workers)
        return min(self._at_once + self._ahead * is_plenty, math.ceil(self.left / len(self._workers)))

    def _assign(self, share: Share) -> Assignment:
        self._epoch += 1
        return Assignment(
            location_id=share.location_id,
            rows=share.rows,
            parts=share.parts,
            epoch=self._epoch - 1,
            is_again=share.is_again,
        )

    def hear(self, worker: str, orders: Orders, report: WorkerReport, now: float) -> list[Ending]:
        """Take in what a worker answered to orders, and return the locations that it has newly ended."""
        state = self._workers[worker]
        state.heard = report.stamp, now
        for assignment in orders.assigned:
            state.unsent.pop(assignment.epoch, None)
        state.noted = [ending.epoch for ending in report.endings]
        ended = [ending for ending in report.endings if state.held.pop(ending.epoch, None) is not None]
        new = [ending for ending in ended if not (ending.is_given_up and self._gets_another_try(state, ending))]
        self.left -= len(new)
        self.is_stopping = self.is_stopping or any(ending.stops_all for ending in new)
        return new

    def _gets_another_try(self, state: WorkerState, ending: Ending) -> bool:
        """Have a location loaded once more that a worker gave up, but not for ever."""
        tries = self._given_up.get(ending.location_id, 0) + 1
        self._given_up[ending.location_id] = tries
        if tries <= _MOST_TRIES and not self.is_stopping:
            self._lock(state, ending.location_id)
            return True
        return False

    def is_unheard(self, worker: str, now: float) -> bool:
        """Whether a worker that was heard once may send no more, as it was not heard since."""
        state = self._workers[worker]
        return state.lease_until < now and state.lease_until > -math.inf

    def lose(self, worker: str) -> None:
        """Take it that a worker is gone: others get its locations when its lease has ended."""
        state = self._workers.pop(worker)
        for assignment in state.held.values():
            self._lock(state, assignment.location_id)

    def _lock(self, state: WorkerState, location_id: str) -> None:
        again = msgspec.structs.replace(self._shares[location_id], is_again=True)
        self._shares[location_id] = again
        heapq.heappush(self._locked, (state.lease_until, location_id, again))

    def _unlock(self, now: float) -> None:
        while self._locked and self._locked[0][0] <= now:
            self._free.append(heapq.heappop(self._locked)[2])

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to hand out, and nobody has anything."""
        is_any_held = any(state.held for state in self._workers.values())
        return not is_any_held and (self.is_stopping or not (self._free or self._locked))

    def lease_left(self, now: float) -> float:
        """Return for how many seconds at most a worker may go on with a location that it has not reported as done."""
        leases = [state.lease_until for state in self._workers.values() if state.held]
        leases += [lease_until for lease_until, _, _ in self._locked]
        return max(0.0, *(until - now for until in leases)) if leases else 0.0

    def left_over(self) -> list[Share]:
        """Return the locations that nobody has had to the end."""
        held = (self._shares[one.location_id] for state in self._workers.values() for one in state.held.values())
        return [*self._free, *(share for _, _, share in self._locked), *held]
