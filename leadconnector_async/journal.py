"""What has happened to each row, on disk, so that a load can go on after a crash.

One SQLite file, written ahead and by one process at a time. It holds the outcome of each row, and for calls that are
not safe to repeat an intent before their bytes leave. It holds no tokens and nothing of a contact but its id and the
checksums of its email and phone.
"""

from __future__ import annotations

import heapq
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
from msgspec import Struct

from .entry import AGAIN, DONE, FAILED, INTENDED, PLAIN, UNKNOWN, Entry
from .errors import ConfigurationError, JournalError
from .journal_file import open_journal_file
from .report import BatchReport, Outcome, RowError

_WHOLE: Final = {  # what must be the same when a load goes on, and how to say that it is not
    "files": "was made for another file, or the file has changed since",
    "location": "was made for another location",
    "target": "was made for another service",
    "api_version": "was made with another API version",
    "mapping": "was made when other columns went to other fields",
}
_CUT_OFF: Final = RowError("LoadStoppedError", None, "the load was cut off while this row was in flight")

_READ_AHEAD: Final = 8  # rows for each worker; twice what a load reads

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Outcome).decode


class Earlier(Struct, frozen=True):
    """What earlier sittings left.

    Attributes:
        sittings: How many there were.
        began_at: When the first began, in seconds since 1970 by this machine.
        server_began_at: The same by the server's clock, or None where no answer told it.
        reach: Rows from this one on were never sent.
    """

    sittings: int
    began_at: float
    server_began_at: float | None
    reach: int


def is_journal_of(path: Path, whole: Mapping[str, str]) -> bool:
    """Whether a file is the journal of a load, as far as `whole` tells; it is not changed.

    Raises:
        ConfigurationError: Another process works on it, so that nobody can tell.
    """
    try:
        with Journal(path) as journal:
            return journal.is_of(whole)
    except ConfigurationError as error:
        if isinstance(error.__cause__, sqlite3.OperationalError):
            raise
        return False


def hash_row(content: bytes) -> bytes:
    """Return what tells a row's content from another's."""
    return blake2b(content, digest_size=8).digest()


class Journal:
    """The journal of one load.

    Args:
        path: The SQLite file; made where it is not there.
        whole: What must be the same when the load goes on, besides what `begin` is given: `files` and `mapping`. Where
            it has `files`, a row's position tells which it is, else its position and content.
        retry_failed: Whether rows that failed are sent once more.

    Raises:
        ConfigurationError: The file is no journal, is in use, or cannot be written.
    """

    def __init__(self, path: str | Path, *, whole: Mapping[str, str] | None = None, retry_failed: bool = False) -> None:
        self.path = Path(path)
        self._whole = dict(whole or {})
        self._retry_failed = retry_failed
        self._lock = threading.RLock()
        self._finished = bytearray()  # a byte a row: its state where it is not to be sent again, else 0
        self._written = 0  # groups so far
        self._sitting = 0
        self._is_in_use = False
        self._unwritten: dict[int, Entry] = {}
        self._db = open_journal_file(self.path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ beginning

    @property
    def is_by_position(self) -> bool:
        """Whether a row's position alone tells which row it is."""
        return "files" in self._whole

    @property
    def is_begun(self) -> bool:
        """Whether a load was begun with it, in this process or another."""
        return self._db.execute("SELECT 1 FROM sittings").fetchone() is not None

    def is_of(self, whole: Mapping[str, str]) -> bool:
        """Whether a load that is described so far was begun with it."""
        before = dict(self._db.execute("SELECT name, value FROM load"))
        return bool(before) and whole.items() <= before.items()

    def told(self, name: str) -> str | None:
        """Return what `tell` noted in an earlier sitting, or None."""
        found = self._db.execute("SELECT value FROM load WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def tell(self, name: str, value: str) -> None:
        """Note something of the load for later sittings, when this one begins."""
        self._whole[name] = value

    def check(self, whole: Mapping[str, str]) -> None:
        """Refuse a journal of another load.

        Raises:
            ConfigurationError: It is of another one; the sentence says in what.
        """
        before = dict(self._db.execute("SELECT name, value FROM load"))
        for name, sentence in _WHOLE.items():
            if before and before.get(name) != whole.get(name):
                raise ConfigurationError(f"{self.path}: this journal {sentence}; name another --out, or load that one")

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float) -> Earlier:
        """Begin a sitting.

        Args:
            whole: What else must be the same: `location`, `target`, `api_version`.
            concurrency: Rows in flight at most.
            now: Seconds since 1970 by this machine.

        Raises:
            ConfigurationError: The journal is of another load, or another load works on it; nothing was changed.
            JournalError: It cannot be written.
        """
        if self._is_in_use:
            raise ConfigurationError(f"{self.path}: another load works on this journal; wait until it has ended")
        whole = {**whole, **self._whole}
        self.check(whole)
        with self._transaction() as db:
            earlier = self._read_earlier(db, now)
            db.executemany("INSERT OR REPLACE INTO load VALUES (?, ?)", whole.items())
            self._sitting = earlier.sittings + 1
            db.execute("INSERT INTO sittings VALUES (?, ?, NULL, ?)", (self._sitting, now, concurrency))
            self._settle_intents(db)
            self._read_finished(db)
        self._is_in_use = True
        return earlier

    def _read_earlier(self, db: sqlite3.Connection, now: float) -> Earlier:
        sittings, concurrency = db.execute("SELECT count(*), max(concurrency) FROM sittings").fetchone()
        rows, written = db.execute("SELECT count(*), max(written) FROM outcomes").fetchone()
        self._written = written or 0
        if not sittings:
            return Earlier(0, now, None, reach=0)
        began_at, server_began_at = db.execute(
            "SELECT began_at, server_began_at FROM sittings WHERE number = 1"
        ).fetchone()
        # Rows are read in turn, and few ahead of those that are written.
        return Earlier(sittings, began_at, server_began_at, reach=rows + MOST_REFUSED + concurrency * _READ_AHEAD)

    def _settle_intents(self, db: sqlite3.Connection) -> None:
        """Rows whose calls were begun, are not safe to repeat, and have no outcome: nobody knows."""
        self._written += 1
        for row, when in db.execute("SELECT row, outcome FROM outcomes WHERE state = ?", (INTENDED,)).fetchall():
            note = f"it may have been applied at {when}; look the contact up before sending it again"
            outcome = Outcome(index=row, status="unknown", error=_CUT_OFF, attempts=1, note=note)
            db.execute(
                "UPDATE outcomes SET state = ?, written = ?, outcome = ? WHERE row = ?",
                (UNKNOWN, self._written, _encode(outcome), row),
            )

    def _read_finished(self, db: sqlite3.Connection) -> None:
        (last,) = db.execute("SELECT max(row) FROM outcomes").fetchone()
        self._finished = bytearray(0 if last is None else last + 1)
        again = {AGAIN, FAILED} if self._retry_failed else {AGAIN}
        for row, state in db.execute("SELECT row, state FROM outcomes"):
            if state not in again:
                self._finished[row] = state

    # ------------------------------------------------------------------------------------------ what is there

    def is_finished(self, row: int) -> bool:
        """Whether an earlier sitting settled a row for good."""
        return row < len(self._finished) and self._finished[row] != 0

    @property
    def has_finished_rows(self) -> bool:
        """Whether there are any such rows."""
        return bool(self._finished)

    def hashes(self, first: int, count: int) -> dict[int, bytes]:
        """Return the hashes of the rows from one on that are settled."""
        with self._lock:
            found = self._db.execute(
                "SELECT row, hash FROM outcomes WHERE row >= ? AND row < ?", (first, first + count)
            ).fetchall()
        return dict(found)

    def fold_into(self, report: BatchReport) -> None:
        """Count the outcomes of earlier sittings that stand."""
        plain = [] if report.keeps_outcomes else list(PLAIN)
        for state in plain:
            report.add_plain(PLAIN[state], self._finished.count(state))
        for outcome in self.outcomes(but=plain):
            if self.is_finished(outcome.index):
                report.add(outcome)

    def outcomes(self, *, but: Sequence[int] = ()) -> Iterator[Outcome]:
        """Yield all outcomes in the order of the rows, also those that could not be written."""
        states = ",".join(map(str, (INTENDED, *but)))
        found = self._db.execute(f"SELECT row, outcome FROM outcomes WHERE state NOT IN ({states}) ORDER BY row")  # noqa: S608
        written = (_decode(outcome) for row, outcome in found if row not in self._unwritten)
        unwritten = (self._unwritten[row].outcome for row in sorted(self._unwritten))
        return heapq.merge(written, unwritten, key=lambda outcome: outcome.index)

    def collisions(self) -> dict[int, int]:
        """Return each row that met the contact of another one, which is about another person, and that other row."""
        found = self._db.execute("SELECT outcome FROM outcomes WHERE state = ?", (DONE,))
        outcomes = (_decode(outcome) for (outcome,) in found)
        return {outcome.index: other for outcome in outcomes if (other := outcome.collision_with) is not None}

    def outcome(self, row: int) -> Outcome:
        """Return the outcome of one row that is settled."""
        with self._lock:
            (outcome,) = self._db.execute("SELECT outcome FROM outcomes WHERE row = ?", (row,)).fetchone()
        return _decode(outcome)

    def undelivered(self) -> list[Outcome]:
        """Return the outcomes that an earlier sitting wrote and may not have handed to its consumer."""
        found = self._db.execute(
            "SELECT outcome FROM outcomes WHERE written > (SELECT written FROM delivered) AND state <> ? ORDER BY row",
            (INTENDED,),
        ).fetchall()
        outcomes = [_decode(outcome) for (outcome,) in found]
        return [outcome for outcome in outcomes if self.is_finished(outcome.index)]

    # ------------------------------------------------------------------------------------------ writing

    def write(
        self, entries: Sequence[Entry], *, is_delivered: bool = True, server_began_at: float | None = None
    ) -> list[Outcome]:
        """Write a group of outcomes.

        Args:
            entries: The outcomes.
            is_delivered: Whether the consumer has done with all groups before this one.
            server_began_at: When this sitting began by the server's clock, once that is known.

        Returns:
            The outcomes as they were written: one may have been found to be `created`, or to have met the contact of
            another row.

        Raises:
            JournalError: They could not be written; none of them was.
        """
        with self._transaction() as db:
            if is_delivered:
                db.execute("UPDATE delivered SET written = ?", (self._written,))
            self._written += 1
            if server_began_at is not None:
                db.execute(
                    "UPDATE sittings SET server_began_at = ? WHERE number = ? AND server_began_at IS NULL",
                    (server_began_at, self._sitting),
                )
            outcomes = [self._meet(db, entry) for entry in entries]
            pairs = list(zip(entries, outcomes, strict=True))
            db.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", self._records(pairs))
            db.executemany("DELETE FROM outcomes WHERE row = ? AND state = ?", _withdrawn(pairs))
        return outcomes

    def _records(self, pairs: Iterable[tuple[Entry, Outcome]]) -> Iterator[tuple[Any, ...]]:
        for entry, outcome in pairs:
            if outcome.status != "not_attempted":
                yield outcome.index, entry.state_of(outcome), self._written, entry.row_hash, _encode(outcome)

    def _meet(self, db: sqlite3.Connection, entry: Entry) -> Outcome:
        """Look up and note whose contact this is."""
        outcome = entry.outcome
        if outcome.contact_id is None:
            return outcome
        email, phone = signature = entry.signature
        if not outcome.new:  # else its id is a new one, too
            found = db.execute("SELECT row, email, phone FROM contacts WHERE id = ?", (outcome.contact_id,)).fetchone()
            outcome = entry.outcome_after(None if found is None else (found[0], found[1:]), signature)
        contact = outcome.contact_id, outcome.index, email, phone
        db.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?)", contact)
        return outcome

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keep outcomes in memory that could not be written, for `outcomes` and `end`."""
        self._unwritten.update((entry.outcome.index, entry) for entry in entries)

    def intend(self, rows: Iterable[tuple[int, bytes]], now: float) -> None:
        """Write that rows are about to be sent whose calls are not safe to repeat.

        Args:
            rows: Positions and hashes.
            now: Seconds since 1970 by this machine.

        Raises:
            JournalError: It could not be written; they must not be sent.
        """
        when = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)",
                [(row, INTENDED, self._written, hashed, when) for row, hashed in rows],
            )

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._lock:
            self._db.close()

    def end(self, *, is_delivered: bool) -> None:
        """End the sitting, and try once more to write what was kept.

        Args:
            is_delivered: Whether the consumer has done with all outcomes.

        Raises:
            JournalError: It cannot be written: what was kept is lost on resume, and rows are handed over again.
        """
        self._is_in_use = False
        if self._unwritten:
            self.write([self._unwritten[row] for row in sorted(self._unwritten)], is_delivered=False)
            self._unwritten.clear()
        if is_delivered:
            with self._transaction() as db:
                db.execute("UPDATE delivered SET written = ?", (self._written,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise JournalError(f"{self.path}: the journal cannot be written ({error})") from error


MOST_REFUSED: Final = 200
"""Outcomes of rows that cannot be sent which wait to be written, before reading waits for them."""


def _withdrawn(pairs: Iterable[tuple[Entry, Outcome]]) -> Iterator[tuple[int, int]]:
    """Rows that were to be sent and were not: what was intended no longer holds."""
    for _, outcome in pairs:
        if outcome.status == "not_attempted":
            yield outcome.index, INTENDED
