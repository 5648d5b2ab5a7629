"""A journal that lives where every worker can read it, so that another worker can go on where one stopped.

Each group of outcomes is an object of its own. It is in the store before the group counts, and never changes. Whoever
takes a location over reads them all into a scratch file on its own machine; from that, the rules of `Journal` say what
was done, what may have been sent, and what must not be sent again.

Each holder of a location has an epoch, higher than any before. Its first object says how many objects of each earlier
holder it found; only these count. A write of an earlier holder that is later than that counts for nobody, and its
writer does not count it either: its lease had ended before the new holder began to read, and `append` checks the lease
after the write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ..bulk.outcome import Entry, LostTries
from ..bulk.report import Outcome
from ..bulk.run_log import Earlier, Intent, Pace
from ..errors import JournalError
from ..run.journal import Journal, keep_lost_tries, lost_tries_of
from .lease import Lease
from .store import Store, seal, unseal

_NAME: Final = re.compile(r"(\d{12})-(\d{8})")
_NO_PACE: Final = Pace()


class Began(Struct, frozen=True, tag=True):
    """A session began; `found` says how many objects of each earlier epoch count."""

    whole: dict[str, str]
    concurrency: int
    now: float
    found: dict[str, int]


class Wrote(Struct, frozen=True, tag=True):
    """A group of outcomes: rows with state, hash and outcome, and contacts with row and checksums; and of rows that may
    be sent again the tries that may have been applied, none of those of which that is settled."""

    rows: list[tuple[int, int, bytes, bytes]]
    contacts: list[tuple[str, int, int | None, int | None]]
    done_intents: list[int] = msgspec.field(name="settled")  # rows; the name is as it stands in stores
    server_times: tuple[float, float] | None
    lost_tries: list[tuple[int, bytes, LostTries]] = []


class Intended(Struct, frozen=True, tag=True):
    """Rows that are about to be sent."""

    intents: list[Intent]
    now: float


class Ended(Struct, frozen=True, tag=True):
    """The session ended in order."""


_Record: TypeAlias = Began | Wrote | Intended | Ended
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Record).decode


class Log:
    """The objects of one location's journal.

    Args:
        store: Where they are.
        folder: Below which they are.
        epoch: That of this holder; above all others before it.
        lease: Without it nothing is written.

    Attributes:
        found: How many objects of each epoch count, once `read` has gone to its end.
    """

    def __init__(self, store: Store, folder: str, epoch: int, lease: Lease) -> None:
        self._store = store
        self._folder = folder
        self._epoch = epoch
        self._lease = lease
        self._next = 0
        self.found: dict[str, int] = {}

    def read(self) -> Iterator[_Record]:
        """Yield all that counts, in order.

        Raises:
            JournalError: It cannot be read, or is damaged.
        """
        there = self._count_objects()
        latest = max(there, default=None)
        if latest is None:
            return
        first = self._load(latest, 0)
        before = first.found if isinstance(first, Began) else {}
        for epoch, count in sorted({**{int(epoch): count for epoch, count in before.items()}, latest: 0}.items()):
            yield from self._read_epoch(epoch, there[latest] if epoch == latest else count, is_latest=epoch == latest)

    def _read_epoch(self, epoch: int, count: int, *, is_latest: bool) -> Iterator[_Record]:
        for number in range(count):
            record = self._load(epoch, number)
            if record is None:
                if is_latest and number == count - 1:
                    return  # cut off as it was written: it never counted
                raise JournalError(f"{self._path(epoch, number)}: is missing or damaged; the load cannot go on")
            self.found[str(epoch)] = number + 1
            yield record

    def _count_objects(self) -> dict[int, int]:
        """Return how many objects each epoch has whose beginning is there, counted up to the first that is missing."""
        numbers: dict[int, set[int]] = {}
        for name in self._store.names(self._folder):
            if match := _NAME.fullmatch(name):
                numbers.setdefault(int(match[1]), set()).add(int(match[2]))
        if self._epoch in numbers or any(epoch > self._epoch for epoch in numbers):
            raise JournalError(f"{self._store.path(self._folder)}: another worker has this location by now")
        counts = {epoch: next(n for n in range(len(there) + 1) if n not in there) for epoch, there in numbers.items()}
        return {epoch: count for epoch, count in counts.items() if count and self._load(epoch, 0) is not None}

    def _load(self, epoch: int, number: int) -> _Record | None:
        sealed = self._store.read(self._path(epoch, number))
        data = None if sealed is None else unseal(sealed)
        return None if data is None else _decode(data)

    def _path(self, epoch: int, number: int) -> str:
        return f"{self._folder}/{epoch:012}-{number:08}"

    def check(self) -> None:
        """Raise JournalError where this worker may no longer write."""
        self._lease.check()

    def append(self, record: _Record) -> None:
        """Write the next object; it counts when this returns.

        Raises:
            JournalError: It could not be written, or the lease ended meanwhile.
        """
        self.check()
        self._store.write(self._path(self._epoch, self._next), seal(_encode(record)))
        self._next += 1
        self.check()  # else it may have come too late to be found by the next holder


class SharedJournal(Journal):
    """The journal of one location, of which this machine holds a copy to look things up in.

    Args:
        log: Its objects.
        scratch: A file of this machine, not there yet.
        whole: As `Journal`.

    Raises:
        JournalError: The objects cannot be read.
        ConfigurationError: They are of another load, or the scratch file cannot be made.
    """

    def __init__(self, log: Log, scratch: Path, *, whole: Mapping[str, str]) -> None:
        super().__init__(scratch, whole=whole)
        self.keeps_traces = False  # a load on a cluster cannot be undone
        self._log = log
        self._db.execute("PRAGMA synchronous = OFF")  # what counts is in the store
        for record in log.read():
            self._repeat(record)

    def _repeat(self, record: _Record) -> None:
        """Do to the scratch file what an earlier holder did to its own."""
        match record:
            case Began(whole=whole, concurrency=concurrency, now=now):
                super().begin(whole=whole, concurrency=concurrency, now=now)
                self._is_in_use = False
            case Wrote():
                self._repeat_group(record)
            case Intended(intents=intents, now=now):
                super().intend(intents, now)
            case Ended():
                super().end(is_delivered=True)

    def _repeat_group(self, group: Wrote) -> None:
        with self._transaction() as db:
            self._written += 1
            rows = ((row, state, self._written, row_hash, outcome) for row, state, row_hash, outcome in group.rows)
            db.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", rows)
            db.executemany("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?)", group.contacts)
            db.executemany("DELETE FROM intents WHERE row = ?", [(row,) for row in group.done_intents])
            keep_lost_tries(db, group.lost_tries)
            if group.server_times is not None:
                times = "UPDATE sittings SET server_began_at = ?, server_until = ? WHERE number = ?"
                db.execute(times, (*group.server_times, self._sitting))

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float, retry_failed: bool = False) -> Earlier:
        """Begin a session, as `Journal`."""
        earlier = super().begin(whole=whole, concurrency=concurrency, now=now, retry_failed=retry_failed)
        self._log.append(Began(dict(whole), concurrency, now, self._log.found))
        return earlier

    def write(
        self,
        entries: Sequence[Entry],
        *,
        is_delivered: bool = True,
        server_times: tuple[float, float] | None = None,
        pace: Pace = _NO_PACE,
    ) -> list[Outcome]:
        """Write a group of outcomes, as `Journal`; it is in the store when this returns."""
        self._log.check()
        outcomes = super().write(entries, is_delivered=is_delivered, server_times=server_times, pace=pace)
        self._log.append(
            Wrote(
                [row for outcome in outcomes for row in self._rows_of(outcome)],
                [contact for outcome in outcomes for contact in self._contacts_of(outcome)],
                [entry.outcome.index for entry in entries if not entry.is_repeatable],
                server_times,
                lost_tries_of(entries),
            )
        )
        return outcomes

    def _rows_of(self, outcome: Outcome) -> list[Any]:
        query = "SELECT row, state, hash, outcome FROM outcomes WHERE row = ? AND written = ?"
        return self._read(query, outcome.index, self._written)

    def _contacts_of(self, outcome: Outcome) -> list[Any]:
        return self._read("SELECT id, row, email, phone FROM contacts WHERE id = ?", outcome.contact_id)

    def intend(self, intents: Iterable[Intent], now: float) -> None:
        """Write intents, as `Journal`; they are in the store when this returns."""
        intents = list(intents)
        super().intend(intents, now)
        self._log.append(Intended(intents, now))

    def end(self, *, is_delivered: bool) -> None:
        """End the session, as `Journal`."""
        super().end(is_delivered=is_delivered)
        self._log.append(Ended())
