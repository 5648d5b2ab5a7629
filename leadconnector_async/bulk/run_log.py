"""What a load needs of the log that `journal=` opens, which keeps the outcome of each row over crashes.

`run.Journal` keeps it in a SQLite file, `cluster.StoreLog` in a store that all workers see. Neither knows of the other,
and a load knows nothing of either. What both decide alike stands here and in `outcome.py`.

A load survives a crash because of the order of its steps: `begin`; `intend` before the bytes of a call leave; `write`
before an outcome is counted, and before a row of the same identity is sent; `end`. So after a crash a row is done (it
has an outcome), in doubt (it has an intent, or was merged into a row that has one), or was never sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from ..calls.call import CallCount
from .outcome import NO_TRIES, Entry, LostTries, TriesBefore
from .report import BatchReport, Outcome

MOST_READ_AHEAD: Final = 10_000
"""Rows that a load of several locations reads ahead."""

MOST_REFUSED: Final = 200
"""Outcomes of rows that cannot be sent which wait to be written, before reading waits for them."""

LATEST_SECONDS: Final = 300.0
"""After the last write of a session that was cut off, none of its calls arrives later than this."""


RECENT_SECONDS: Final = 600
"""Longer than any window of a limit: calls that ended so long before the last one are no last calls."""

_IN_FLIGHT_SECONDS: Final = 120.0  # after its last outcome, a session that was cut off made no more calls


class LastCalls(Struct, frozen=True):
    """The calls that earlier sessions made last.

    Attributes:
        by_second: Calls by the second in which they had ended, in seconds since 1970 by this machine.
        is_whole: Whether these are all; not where a session was cut off, as its process may have just died.
        location_id: Of which location they are; None where they may be of any.
    """

    by_second: tuple[tuple[int, int], ...] = ()
    is_whole: bool = True
    location_id: str | None = None

    def slots(self, now: float, per_seconds: float) -> tuple[int | None, float]:
        """Return how many slots of a window may be in use still (None for all of them), and for how many seconds.

        Args:
            now: Seconds since 1970.
            per_seconds: The length of the window.
        """
        last = max((second for second, _ in self.by_second), default=0) + 1
        if not self.is_whole and now - last < _IN_FLIGHT_SECONDS + per_seconds:
            return None, per_seconds
        used = sum(calls for second, calls in self.by_second if second + 1 + per_seconds > now)
        return used, last + per_seconds - now


NO_CALLS: Final = LastCalls()


class Earlier(Struct, frozen=True):
    """What earlier sessions left.

    Attributes:
        sessions: How many there were.
        began_at: When the first began, in seconds since 1970 by this machine.
        last_calls: The calls that they made last.
    """

    sessions: int
    began_at: float
    last_calls: LastCalls = NO_CALLS


class Intent(Struct, frozen=True, gc=False, array_like=True):
    """A row that is about to be sent.

    Attributes:
        row: Its position.
        row_hash: Its hash.
        is_repeatable: Whether it may be sent again where its outcome is not known.
        lost_tries: The try that is about to be made, unless it only reads, and those before it that may have been
            applied.
        before: The tries of this session before it.
    """

    row: int
    row_hash: bytes
    is_repeatable: bool
    lost_tries: LostTries = ()
    before: TriesBefore = NO_TRIES


class Pace(Struct, frozen=True):
    """What the limits allow a load at some time.

    Attributes:
        per_second: Calls a second, of all locations at work; None where nothing limits them.
        window: The seconds over which the service counts them; None where nothing limits them.
        left_today: Calls left of the day, of a load of one location; None where that is not known.
    """

    per_second: float | None = None
    window: float | None = None
    left_today: int | None = None


NO_PACE: Final = Pace()


class Limited(Protocol):
    """What is to be known of a location's window.

    Attributes:
        capacity: Calls in one window.
        per_seconds: Its length in seconds; 0 where nothing limits it.
    """

    capacity: int
    per_seconds: float

    def calls_left_today(self) -> int | None:
        """Return how many calls of the day are left, as far as known."""


def pace_of(windows: Sequence[Limited]) -> Pace:
    """Return what the limits of some locations allow together; one at least."""
    left = windows[0].calls_left_today() if len(windows) == 1 else None
    if not all(window.per_seconds for window in windows):
        return Pace(left_today=left)
    per_second = sum(window.capacity / window.per_seconds for window in windows)
    return Pace(per_second, sum(window.capacity for window in windows) / per_second, left)


class RunLog(Protocol):
    """The memory of one load. What it writes is on disk when the call returns; every call may block.

    Attributes:
        keeps_traces: Whether it keeps what the load left in each contact, for an undo.
    """

    keeps_traces: bool

    @property
    def is_by_position(self) -> bool:
        """Whether a row is known by its position alone; else by position and content."""

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float, retry_failed: bool = False) -> Earlier:
        """Begin a session, and return what earlier ones left.

        Raises:
            ConfigurationError: It is of another load, or another load works on it; nothing was changed.
            JournalError: It cannot be read or written.
        """

    def fold_into(self, report: BatchReport) -> None:
        """Count the outcomes of earlier sessions that are final, and all calls that these sessions made."""

    def undelivered(self) -> list[Outcome]:
        """Return the outcomes that an earlier session wrote and may not have handed to its consumer."""

    def is_finished(self, row: int) -> bool:
        """Whether a row has a final outcome of an earlier session."""

    def hashes(self, first: int, count: int) -> dict[int, tuple[bytes, bytes]]:
        """Return hash and encoded outcome of rows from `first` on, where there is one; see `read_outcome`."""

    def pending(self, row: int, row_hash: bytes) -> Outcome | None:
        """Return the outcome that a row has so far, where it has one and is to be sent again all the same."""

    def lost_tries(self, row: int, row_hash: bytes) -> LostTries:
        """Return the tries of earlier sessions that may have been applied to a row that is to be sent again."""

    def intend(self, intents: Iterable[Intent], now: float) -> None:
        """Write that rows are about to be sent.

        Raises:
            JournalError: It could not be written; they must not be sent.
        """

    def write(
        self,
        entries: Sequence[Entry],
        *,
        is_delivered: bool = True,
        server_times: tuple[float, float] | None = None,
        pace: Pace = NO_PACE,
    ) -> list[Outcome]:
        """Write a group of outcomes, and return them as they were written.

        Raises:
            JournalError: They could not be written; none of them was.
        """

    def count_calls(self, calls: CallCount) -> None:
        """Count calls that no outcome shows.

        Raises:
            JournalError: It could not be written.
        """

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keep outcomes in memory that could not be written, for `end`."""

    def end(self, *, is_delivered: bool) -> None:
        """End the session, and try once more to write what was kept.

        Raises:
            JournalError: It cannot be written: what was kept is lost, and its rows are handed over again.
        """

    def close(self) -> None:
        """Let go of what is open. May be called twice."""


OpenRunLog: TypeAlias = Callable[[str | Path], RunLog]
"""Opens the run log of a path, or makes it where there is none. It blocks."""

_decode: Final = msgspec.json.Decoder(Outcome).decode


def read_outcome(encoded: bytes) -> Outcome:
    """Decode an outcome of `RunLog.hashes`."""
    return _decode(encoded)


def hash_row(content: bytes) -> bytes:
    """Return a short hash by which a row's content is recognised."""
    return blake2b(content, digest_size=8).digest()
