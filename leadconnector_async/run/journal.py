"""What has happened to each row, on disk, so that a load can go on after a crash.

One SQLite file, written ahead and by one process at a time. It holds the outcome of each row, and an intent of each try
before its bytes leave. It holds no tokens and nothing of a contact but its id and the
checksums of its fields.
"""

from __future__ import annotations

import heapq
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from struct import pack, unpack
from types import TracebackType
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ..bulk.outcome import AGAIN, DONE, FAILED, PLAIN, UNKNOWN, Entry, LastRow, LostTries
from ..bulk.report import BatchReport, Outcome, RowError
from ..bulk.run_log import NO_PACE, Earlier, Intent, Pace
from ..bulk.traces import Trace, follow, trace_of
from ..errors import ConfigurationError, JournalError
from ..private_file import keep_database_private
from .target import is_same_target
from .timeline import LaterCall, Second, add_later_calls, add_to_timeline, prepare_timeline, read_timeline

# ---------------------------------------------------------------------------------------------- the file

_APPLICATION_ID: Final = 0x4C436A31
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE load (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sittings (
    number INTEGER PRIMARY KEY,
    began_at REAL NOT NULL,
    concurrency INTEGER NOT NULL,
    server_began_at REAL,
    server_until REAL,
    has_ended INTEGER NOT NULL DEFAULT 0,
    was_cut_off INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE outcomes (
    row INTEGER PRIMARY KEY, state INTEGER NOT NULL, written INTEGER NOT NULL, hash BLOB NOT NULL, outcome BLOB NOT NULL
);
CREATE TABLE intents (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, at TEXT NOT NULL);
CREATE TABLE contacts (id TEXT PRIMARY KEY, row INTEGER NOT NULL, email INTEGER, phone INTEGER) WITHOUT ROWID;
CREATE TABLE delivered (written INTEGER NOT NULL);
INSERT INTO delivered VALUES (0);
"""
_TRACES: Final = """
CREATE TABLE IF NOT EXISTS traces (
    id TEXT PRIMARY KEY, updated_at REAL, since REAL, until REAL,
    fields BLOB NOT NULL, tags BLOB NOT NULL, touched TEXT NOT NULL
) WITHOUT ROWID
"""
_LOST_TRIES: Final = """
CREATE TABLE IF NOT EXISTS lost_tries (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, spans BLOB NOT NULL)
"""


def open_journal_file(path: Path) -> sqlite3.Connection:
    """Open a journal, or make one where there is none.

    Raises:
        ConfigurationError: It is in use, cannot be written, or is something else, which is then left as it is; its
            `__cause__` is SQLite's error, where there was one.
    """
    try:
        keep_database_private(path)
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigurationError(f"{path}: the journal cannot be opened ({reason})") from error
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        raise ConfigurationError(f"{path}: {_why_not_opened(error)}") from error
    except ConfigurationError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # One process at a time, for as long as it is open; the lock goes with the process.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    _check_kind(db, path)  # before anything is changed
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    if _check_kind(db, path):
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    prepare_timeline(db)
    prepare_traces(db)
    db.execute(_LOST_TRIES)
    db.execute("COMMIT")


def _check_kind(db: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database is new; refuse what is no journal of this version."""
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if kind == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        return True
    if kind != _APPLICATION_ID:
        raise ConfigurationError(f"{path}: is no journal of a load; name another file")
    if version != _VERSION:
        raise ConfigurationError(f"{path}: was made by another version of leadconnector-async; finish it there")
    return False


def _why_not_opened(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return "another process, or another load of this one, works on this journal; wait until it has ended"
    if "not a database" in text or "malformed" in text or "encrypted" in text:
        return f"is no journal of a load, or is damaged ({text}); name another file"
    return f"the journal cannot be written ({text})"


_log = logging.getLogger(__name__)

_WHOLE: Final = {  # what must be the same when a load goes on, and how to say that it is not
    "files": "was made for another file, or the file has changed since",
    "location": "was made for another location",
    "target": "was made for another service",
    "api_version": "was made with another API version",
    "mapping": "was made when other columns went to other fields",
    "checks": "was made with another --date-order or --default-country",
    "tags": "was made with another --tags",
    "phone_conflict": "was made with another --phone-conflict",
    "limit": "was made with another --limit",
    "empty": "was made with another --empty",
    "snapshot": "was made with another --snapshot",
    "selection": "was made with other of --only-new, --only-existing, --fill-empty and --skip-unchanged",
}
_TARGET: Final = "target"
_CUT_OFF: Final = RowError("LoadStoppedError", None, "the load was cut off while this row was in flight")

_LATEST_SECONDS: Final = 300.0  # after the last write of a sitting that was cut off, none of its calls arrives any more

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Outcome).decode
_encode_spans: Final = msgspec.msgpack.Encoder().encode
_decode_spans: Final = msgspec.msgpack.Decoder(LostTries).decode


def _is_same(name: str, before: str | None, now: str | None) -> bool:
    """Whether something that a load is known by is as it was."""
    if name == _TARGET and before is not None and now is not None:
        return is_same_target(before, now)
    return before == now


class Sitting(Struct, frozen=True):
    """One run of a load.

    Attributes:
        began_at: Seconds since 1970, by this machine.
        concurrency: Rows in flight at most.
        has_ended: Whether it ended in order, rather than being cut off, as far as is known.
    """

    began_at: float
    concurrency: int
    has_ended: bool


def is_journal_of(path: Path, whole: Mapping[str, str]) -> bool:
    """Whether a file is the journal of a load, as far as `whole` tells. A file that is none is left as it is.

    Raises:
        ConfigurationError: It is in use, so that nobody can tell.
    """
    try:
        with Journal(path) as journal:
            return journal.is_of(whole)
    except ConfigurationError as error:
        if isinstance(error.__cause__, sqlite3.OperationalError):
            raise
        return False


class Journal:
    """The journal of one load.

    Args:
        path: The SQLite file; made where it is not there.
        whole: What must be the same when the load goes on, besides what `begin` is given: `files` and `mapping`. Where
            it has `files`, a row's position tells which it is, else its position and content.
        retry_failed: Whether rows that failed are sent once more.

    Attributes:
        keeps_traces: Whether it keeps what the load left in each contact, for an undo.

    Raises:
        ConfigurationError: The file is no journal, is in use, or cannot be written.
    """

    def __init__(self, path: str | Path, *, whole: Mapping[str, str] | None = None, retry_failed: bool = False) -> None:
        self.path = Path(path)
        self._whole = dict(whole or {})
        self._retry_failed = retry_failed
        self._lock = threading.RLock()
        self._finished = bytearray()  # a byte a row: its state where it is not to be sent again, else 0
        self._pending = bytearray()  # the same of rows that are to be sent again
        self._lost_tries: dict[int, tuple[bytes, LostTries]] = {}
        self._written = 0  # groups so far
        self._sitting = 0
        self._is_in_use = False
        self._unwritten: dict[int, Entry] = {}
        self.keeps_traces = True
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
    def _may_restore(self) -> bool:
        """Whether an undo may restore what the load updated: it can where a snapshot was taken."""
        return self._whole.get("snapshot") != ""

    @property
    def is_begun(self) -> bool:
        """Whether a load was begun with it, in this process or another."""
        return bool(self._read("SELECT 1 FROM sittings"))

    def is_of(self, whole: Mapping[str, str]) -> bool:
        """Whether a load that is described so far was begun with it."""
        before = dict(self._read("SELECT name, value FROM load"))
        return bool(before) and all(_is_same(name, before.get(name), value) for name, value in whole.items())

    def told(self, name: str) -> str | None:
        """Return what `tell` noted in an earlier sitting, or None."""
        found = self._read("SELECT value FROM load WHERE name = ?", name)
        return str(found[0][0]) if found else None

    def tell(self, name: str, value: str) -> None:
        """Note something of the load for later sittings, when this one begins."""
        self._whole[name] = value

    def note(self, told: Mapping[str, str]) -> None:
        """Note something of the load at once, all of it or nothing: half of what a load is known by is another load's.

        Raises:
            JournalError: It could not be written.
        """
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO load VALUES (?, ?)", told.items())

    def check(self, whole: Mapping[str, str]) -> None:
        """Refuse a journal of another load.

        Raises:
            ConfigurationError: It is of another one; the sentence says in what.
        """
        before = dict(self._read("SELECT name, value FROM load"))
        for name, sentence in _WHOLE.items():
            if before and not _is_same(name, before.get(name), whole.get(name)):
                raise ConfigurationError(
                    f"{self.path}: this journal {sentence}; name another place for this one, or load that one"
                )

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float, retry_failed: bool = False) -> Earlier:
        """Begin a sitting.

        Args:
            whole: What else must be the same: `location`, `target`, `api_version`.
            concurrency: Rows in flight at most.
            now: Seconds since 1970 by this machine.
            retry_failed: Whether rows that failed are sent once more, also where the journal was not told so.

        Raises:
            ConfigurationError: The journal is of another load, or another load works on it; nothing was changed.
            JournalError: It cannot be read or written.
        """
        if self._is_in_use:
            raise ConfigurationError(f"{self.path}: another load works on this journal; wait until it has ended")
        whole = {**whole, **self._whole}
        self.check(whole)
        with self._transaction() as db:
            self._note_cut_off(db)
            earlier = self._read_earlier(db, now)
            db.executemany("INSERT OR REPLACE INTO load VALUES (?, ?)", whole.items())
            self._sitting = earlier.sessions + 1
            sitting = (self._sitting, now, concurrency)
            db.execute("INSERT INTO sittings (number, began_at, concurrency) VALUES (?, ?, ?)", sitting)
            self._settle_intents(db)
            self._read_states(db, retry_failed=retry_failed or self._retry_failed)
        self._is_in_use = True
        if earlier.sessions:
            _log.info("%s: going on, sitting %d", self.path, self._sitting)
        return earlier

    def _note_cut_off(self, db: sqlite3.Connection) -> None:
        """Note that the last sitting was cut off, where it was."""
        db.execute(
            "UPDATE sittings SET has_ended = 1, was_cut_off = 1, server_until = server_until + ? WHERE NOT has_ended",
            (_LATEST_SECONDS,),
        )

    def _read_earlier(self, db: sqlite3.Connection, now: float) -> Earlier:
        (self._written,) = db.execute("SELECT coalesce(max(written), 0) FROM outcomes").fetchone()
        sittings, began_at = db.execute("SELECT count(*), min(began_at) FROM sittings").fetchone()
        return Earlier(sittings, now if began_at is None else began_at)

    def _settle_intents(self, db: sqlite3.Connection) -> None:
        """Rows whose calls were begun, are not safe to repeat, and have no outcome: nobody knows."""
        self._written += 1
        for row, row_hash, at in db.execute("SELECT row, hash, at FROM intents").fetchall():
            note = f"it may have been applied at {at}; look the contact up before sending it again"
            outcome = Outcome(index=row, status="unknown", error=_CUT_OFF, attempts=1, note=note)
            record = row, UNKNOWN, self._written, row_hash, _encode(outcome)
            db.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", record)
        db.execute("DELETE FROM intents")

    def _read_states(self, db: sqlite3.Connection, *, retry_failed: bool) -> None:
        (last,) = db.execute("SELECT max(row) FROM outcomes").fetchone()
        self._finished = bytearray(0 if last is None else last + 1)
        self._pending = bytearray(len(self._finished))
        again = {AGAIN, FAILED} if retry_failed else {AGAIN}
        for row, state in db.execute("SELECT row, state FROM outcomes"):
            states = self._pending if state in again else self._finished
            states[row] = state
        lost = db.execute("SELECT row, hash, spans FROM lost_tries")  # no more rows than were in flight, or in doubt
        self._lost_tries = {row: (row_hash, _decode_spans(spans)) for row, row_hash, spans in lost}

    # ------------------------------------------------------------------------------------------ what is there

    def is_finished(self, row: int) -> bool:
        """Whether an earlier sitting settled a row for good."""
        return row < len(self._finished) and self._finished[row] != 0

    def pending(self, row: int, row_hash: bytes) -> Outcome | None:
        """Return the outcome that a row has so far, where it has one and is to be sent again all the same."""
        if row >= len(self._pending) or not self._pending[row]:
            return None
        ((before, outcome),) = self._read("SELECT hash, outcome FROM outcomes WHERE row = ?", row)
        return _decode(outcome) if before == row_hash else None

    def lost_tries(self, row: int, row_hash: bytes) -> LostTries:
        """Return the tries of earlier sittings that may have been applied to a row that is to be sent again."""
        before, spans = self._lost_tries.get(row, (row_hash, ()))
        return spans if before == row_hash else ()

    def hashes(self, first: int, count: int) -> dict[int, tuple[bytes, bytes]]:
        """Return hash and encoded outcome of the rows from one on that are settled; see `read_outcome`."""
        last = first + count
        found = self._read("SELECT row, hash, outcome FROM outcomes WHERE row >= ? AND row < ?", first, last)
        return {row: (row_hash, outcome) for row, row_hash, outcome in found}

    def fold_into(self, report: BatchReport) -> None:
        """Count the outcomes of earlier sittings that stand."""
        plain = [] if report.keeps_outcomes else list(PLAIN)
        for state in plain:
            report.add_plain(PLAIN[state], self._finished.count(state))
        for outcome in self.outcomes(but=plain):
            if self.is_finished(outcome.index):
                report.add(outcome)

    def fold_all_into(self, report: BatchReport) -> None:
        """Count the outcomes of all sittings, in constant memory.

        Raises:
            JournalError: The journal cannot be read.
        """
        plain = [] if self._unwritten else list(PLAIN)
        for state in plain:
            ((count,),) = self._read("SELECT count(*) FROM outcomes WHERE state = ?", state)
            report.add_plain(PLAIN[state], count)
        for outcome in self.outcomes(but=plain):
            report.add(outcome)

    def outcomes(self, *, but: Sequence[int] = ()) -> Iterator[Outcome]:
        """Yield all outcomes in the order of the rows, also those that could not be written.

        Raises:
            JournalError: The journal cannot be read.
        """
        written = (outcome for outcome in self._written_outcomes(but) if outcome.index not in self._unwritten)
        unwritten = (self._unwritten[row].outcome for row in sorted(self._unwritten))
        unwritten = (outcome for outcome in unwritten if outcome.status != "not_attempted")
        return heapq.merge(written, unwritten, key=lambda outcome: outcome.index)

    def _written_outcomes(self, but: Sequence[int]) -> Iterator[Outcome]:
        states = ",".join(map(str, but))
        query = f"SELECT outcome FROM outcomes WHERE state NOT IN ({states}) ORDER BY row"  # noqa: S608  (numbers)
        try:
            for (outcome,) in self._db.execute(query):
                yield _decode(outcome)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def collisions(self) -> dict[int, int]:
        """Return each row that met the contact of another one, which is about another person, and that other row."""
        outcomes = (_decode(outcome) for (outcome,) in self._read("SELECT outcome FROM outcomes WHERE state = ?", DONE))
        return {outcome.index: other for outcome in outcomes if (other := outcome.collision_with) is not None}

    def undelivered(self) -> list[Outcome]:
        """Return the outcomes that an earlier sitting wrote and may not have handed to its consumer."""
        found = self._read("SELECT outcome FROM outcomes WHERE written > (SELECT written FROM delivered) ORDER BY row")
        outcomes = [_decode(outcome) for (outcome,) in found]
        return [outcome for outcome in outcomes if self.is_finished(outcome.index)]

    def sittings(self) -> list[Sitting]:
        """Return all sittings, in order."""
        found = self._read("SELECT began_at, concurrency, has_ended AND NOT was_cut_off FROM sittings ORDER BY number")
        return [Sitting(began_at, concurrency, bool(in_order)) for began_at, concurrency, in_order in found]

    def arrived_until(self) -> float | None:
        """Return by when all that the load sent had arrived, in seconds since 1970 by the server's clock, as far as the
        times of its outcomes tell; None where no answer told its time."""
        ((until,),) = self._read("SELECT max(server_until + iif(has_ended, 0, ?)) FROM sittings", _LATEST_SECONDS)
        return None if until is None else float(until)

    def trace(self, contact_id: str) -> Trace | None:
        """Return what the load left of a contact; None where that is not known.

        Raises:
            JournalError: The journal cannot be read.
        """
        with self._lock:
            try:
                return read_trace(self._db, contact_id)
            except sqlite3.Error as error:
                raise self._unreadable(error) from error

    def timeline(self) -> Iterator[Second]:
        """Yield the seconds in which outcomes became known, in order, those of all sittings.

        Raises:
            JournalError: The journal cannot be read.
        """
        try:
            yield from read_timeline(self._db)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: sqlite3.Error) -> JournalError:
        return JournalError(f"{self.path}: the journal cannot be read ({error})")

    # ------------------------------------------------------------------------------------------ writing

    def write(
        self,
        entries: Sequence[Entry],
        *,
        is_delivered: bool = True,
        server_times: tuple[float, float] | None = None,
        pace: Pace = NO_PACE,
    ) -> list[Outcome]:
        """Write a group of outcomes.

        Args:
            entries: The outcomes.
            is_delivered: Whether the consumer has done with all groups before this one.
            server_times: When this sitting began, and now, by the server's clock, once that is known.
            pace: What the limits allow by now.

        Returns:
            The outcomes as they were written: one may have been found to be `created`, or to have met the contact of
            another row.

        Raises:
            JournalError: They could not be written; none of them was.
        """
        if not self.path.exists():  # SQLite would go on with the file that nobody can find any more
            raise JournalError(f"{self.path}: the journal is gone")
        with self._transaction() as db:
            if is_delivered:
                db.execute("UPDATE delivered SET written = ?", (self._written,))
            self._written += 1
            if server_times is not None:
                db.execute(
                    "UPDATE sittings SET server_began_at = ?, server_until = ? WHERE number = ?",
                    (*server_times, self._sitting),
                )
            outcomes = [self._meet(db, entry) for entry in entries]
            for entry, outcome in zip(entries, outcomes, strict=True):
                _leave_trace(db, entry, outcome, of_updated=self._may_restore)
            pairs = list(zip(entries, outcomes, strict=True))
            db.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", self._records(pairs))
            add_to_timeline(db, ((entry.at, outcome) for entry, outcome in pairs), pace)
            keep_lost_tries(db, lost_tries_of(entries))
            # Of a row that was not sent after all, too.
            db.executemany(
                "DELETE FROM intents WHERE row = ?", [(e.outcome.index,) for e in entries if not e.is_repeatable]
            )
        return outcomes

    def _records(self, pairs: Iterable[tuple[Entry, Outcome]]) -> Iterator[tuple[Any, ...]]:
        for entry, outcome in pairs:
            if outcome.status != "not_attempted":
                yield outcome.index, entry.state_of(outcome), self._written, entry.row_hash, _encode(outcome)

    def _meet(self, db: sqlite3.Connection, entry: Entry) -> Outcome:
        """Look up and note whose contact this is."""
        outcome = entry.outcome
        if outcome.contact_id is None or outcome.status == "skipped":  # which has written nothing
            return outcome
        met: LastRow | None = None
        if not outcome.new:  # else its id is a new one, too
            found = db.execute("SELECT row, email, phone FROM contacts WHERE id = ?", (outcome.contact_id,)).fetchone()
            met = None if found is None else (found[0], found[1:])
        outcome, (row, (email, phone)) = entry.resolve(met, entry.signature)
        db.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?)", (outcome.contact_id, row, email, phone))
        return outcome

    def change_traces(self, contact_ids: Iterable[str], change: Callable[[Trace], Trace]) -> None:
        """Note that the load wrote to contacts once more, after the rows; those without a trace are left out.

        Raises:
            JournalError: It could not be written.
        """
        with self._transaction() as db:
            for contact_id in contact_ids:
                if (trace := read_trace(db, contact_id)) is not None:
                    write_trace(db, contact_id, change(trace))

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keep outcomes in memory that could not be written, for `outcomes` and `end`."""
        self._unwritten.update((entry.outcome.index, entry) for entry in entries)

    def write_later_calls(self, calls: Sequence[LaterCall]) -> None:
        """Count calls after the rows in the timeline.

        Raises:
            JournalError: They could not be written.
        """
        with self._transaction() as db:
            add_later_calls(db, calls)

    def intend(self, intents: Iterable[Intent], now: float) -> None:
        """Write that rows are about to be sent.

        Args:
            intents: Which.
            now: Seconds since 1970 by this machine.

        Raises:
            JournalError: It could not be written; they must not be sent.
        """
        when = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        intents = list(intents)
        unsafe = [(one.row, one.row_hash, when) for one in intents if not one.is_repeatable]
        safe = [(one.row, one.row_hash, _encode_spans(one.lost_tries)) for one in intents if one.is_repeatable]
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO intents VALUES (?, ?, ?)", unsafe)
            db.executemany("INSERT OR REPLACE INTO lost_tries VALUES (?, ?, ?)", safe)

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
        with self._transaction() as db:
            db.execute("UPDATE sittings SET has_ended = 1 WHERE number = ?", (self._sitting,))
            if is_delivered:
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


def _leave_trace(db: sqlite3.Connection, entry: Entry, outcome: Outcome, *, of_updated: bool) -> None:
    """Note what a row left of its contact; of contacts that the load only updated where that can be undone."""
    if not entry.written or outcome.contact_id is None:
        return
    first, *others = entry.written
    before = None if outcome.new else read_trace(db, outcome.contact_id)
    if before is None and not outcome.new and not of_updated:
        return
    trace = trace_of(first) if before is None else follow(before, first)
    write_trace(db, outcome.contact_id, reduce(follow, others, trace))


LostTriesOfRow: TypeAlias = tuple[int, bytes, LostTries]
"""A row's position and hash, and its tries that may have been applied; none where nothing is in doubt any more."""


def lost_tries_of(entries: Iterable[Entry]) -> list[LostTriesOfRow]:
    """Return what is known in the end of the tries of rows; a row that was not sent after all has an intent, too."""
    return [(e.outcome.index, e.row_hash, e.lost_tries) for e in entries if e.is_repeatable]


def keep_lost_tries(db: sqlite3.Connection, rows: Sequence[LostTriesOfRow]) -> None:
    """Keep what may have been applied, in place of what the intents of the rows say."""
    db.executemany("DELETE FROM lost_tries WHERE row = ?", [(row,) for row, _, spans in rows if not spans])
    lost = [(row, row_hash, _encode_spans(spans)) for row, row_hash, spans in rows if spans]
    db.executemany("INSERT OR REPLACE INTO lost_tries VALUES (?, ?, ?)", lost)


# ---------------------------------------------------------------------------------------------- traces


def prepare_traces(db: sqlite3.Connection) -> None:
    """Make traces where it is not there."""
    db.execute(_TRACES)


def read_trace(db: sqlite3.Connection, contact_id: str) -> Trace | None:
    """Return what the load left of a contact; None where that is not known."""
    found = db.execute(
        "SELECT updated_at, since, until, fields, tags, touched FROM traces WHERE id = ?", (contact_id,)
    ).fetchone()
    if found is None:
        return None
    updated_at, since, until, fields, tags, touched = found
    return Trace(
        updated_at=updated_at,
        span=None if since is None else (since, until),
        fields=tuple(_unpacked(fields)),
        tags=frozenset(_unpacked(tags)),
        touched=tuple(touched.split()),
    )


def write_trace(db: sqlite3.Connection, contact_id: str, trace: Trace) -> None:
    """Write what the load left of a contact."""
    since, until = trace.span or (None, None)
    fields, tags = _packed(trace.fields), _packed(sorted(trace.tags))
    record = (contact_id, trace.updated_at, since, until, fields, tags, " ".join(trace.touched))
    db.execute("INSERT OR REPLACE INTO traces VALUES (?, ?, ?, ?, ?, ?, ?)", record)


def _packed(checksums: Iterable[int]) -> bytes:
    numbers = tuple(checksums)
    return pack(f"<{len(numbers)}I", *numbers)


def _unpacked(data: bytes) -> Iterator[int]:
    return iter(unpack(f"<{len(data) // 4}I", data))
