"""How a load went over time: the calls of each second by what came of them, and what the limits allowed then.

A table of the journal, so that a load that goes on has the whole. It is written with the outcomes, a line a second.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from msgspec import Struct

from ..bulk.report import Outcome
from ..bulk.run_log import Pace

TIMELINE_SCHEMA: Final = """
CREATE TABLE timeline (
    second INTEGER PRIMARY KEY,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    repeated INTEGER NOT NULL,
    per_second REAL,
    window REAL,
    left_today INTEGER,
    tagged INTEGER NOT NULL DEFAULT 0
);
"""
_ADD: Final = """
INSERT INTO timeline (second, created, updated, failed, repeated, per_second, window, left_today, tagged)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (second) DO UPDATE SET
    created = created + excluded.created,
    updated = updated + excluded.updated,
    failed = failed + excluded.failed,
    repeated = repeated + excluded.repeated,
    tagged = tagged + excluded.tagged,
    per_second = excluded.per_second,
    window = excluded.window,
    left_today = excluded.left_today
"""
_READ: Final = """
SELECT second, created, updated, failed, repeated, tagged, per_second, window, left_today FROM timeline ORDER BY second
"""
RECENT_CALLS: Final = """
SELECT second, created + updated + failed + repeated + tagged FROM timeline
WHERE second > (SELECT max(second) FROM timeline) - ? ORDER BY second
"""
"""The seconds of the last time in which calls were made, each with how many had ended in it."""
_CREATED, _UPDATED, _FAILED, _REPEATED = range(4)
_PLACES: Final = {"created": _CREATED, "updated": _UPDATED}


class LaterCall(Struct, frozen=True):
    """A call after the rows, such as one that adds tags to many contacts.

    Attributes:
        at: When it had ended, in seconds since 1970.
        tries: How many it took, counting those that were rate-limited (HTTP 429).
        pace: What the limits allowed then.
    """

    at: float
    tries: int
    pace: Pace


class Second(Struct, frozen=True):
    """The calls of rows whose outcome became known within one second.

    Attributes:
        second: Seconds since 1970, by this machine.
        created: Rows.
        updated: Rows.
        failed: Rows that were sent and are not done.
        repeated: Tries beyond the first of each call, counting those that were rate-limited (HTTP 429).
        pace: What the limits allowed.
        tagged: Calls after the rows: that set phones, and that add tags, each to many rows.
    """

    second: int
    created: int
    updated: int
    failed: int
    repeated: int
    pace: Pace
    tagged: int = 0

    @property
    def calls(self) -> int:
        """All calls."""
        return self.created + self.updated + self.failed + self.repeated + self.tagged


def add_to_timeline(db: sqlite3.Connection, outcomes: Iterable[tuple[float, Outcome]], pace: Pace) -> None:
    """Count outcomes, each with the time when it became known (seconds since 1970); rows not sent do not count."""
    counts: dict[int, list[int]] = {}
    for at, outcome in outcomes:
        if calls := outcome.attempts + outcome.rate_limited:
            found = counts.get(int(at))
            if found is None:
                found = counts[int(at)] = [0, 0, 0, 0]
            found[_PLACES.get(outcome.status, _FAILED)] += 1
            found[_REPEATED] += calls - 1
    limits = pace.per_second, pace.window, pace.left_today
    db.executemany(_ADD, [(second, *found, *limits, 0) for second, found in counts.items()])


def add_later_calls(db: sqlite3.Connection, calls: Iterable[LaterCall]) -> None:
    """Count calls after the rows."""
    for call in calls:
        pace = call.pace
        limits = pace.per_second, pace.window, pace.left_today
        db.execute(_ADD, (int(call.at), 0, 0, 0, call.tries - 1, *limits, 1))


def read_timeline(walk: Callable[[str], Iterator[Any]]) -> Iterator[Second]:
    """Yield the seconds in which something became known, in order, as what walks over a query finds them."""
    for second, created, updated, failed, repeated, tagged, *pace in walk(_READ):
        yield Second(second, created, updated, failed, repeated, Pace(*pace), tagged)
