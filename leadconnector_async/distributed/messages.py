"""What lead and workers tell each other. It travels as MessagePack, and holds no token and no contact."""

from __future__ import annotations

from msgspec import Struct

from ..report import Tally
from .target import ClientOptions


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
