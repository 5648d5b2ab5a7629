"""What has happened to each row, on disk, so that a load can go on after a crash.

One SQLite file, written ahead and by one process at a time. It holds the outcome of each row, and an intent before the
bytes of its call leave. It holds no tokens and nothing of a contact but its id and the checksums of its fields.

Each record costs several times as much as the row that it is about: what is written together is one record where it can
be (`_OpenIntents`), and what is known of one contact is, too (`_Contacts`).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from struct import pack, unpack
from types import TracebackType
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ..bulk.outcome import (
    DONE,
    PLAIN,
    UNKNOWN,
    Entry,
    LastRow,
    LostTries,
    LostTriesOfRow,
    calls_cut_off,
    lost_tries_of,
    outcome_cut_off,
    states_sent_again,
    with_unwritten,
)
from ..bulk.report import BatchReport, Outcome, calls_of
from ..bulk.run_log import LATEST_SECONDS, NO_PACE, RECENT_SECONDS, Earlier, Intent, LastCalls, Pace
from ..bulk.traces import Trace, follow, trace_of
from ..calls.call import NO_CALLS_COUNTED, CallCount
from ..errors import ConfigurationError
from .database import CUT_OFF, ENDED, Database
from .target import is_same_target
from .timeline import RECENT_CALLS, TIMELINE_SCHEMA, LaterCall, Second, add_later_calls, add_to_timeline, read_timeline

_SCHEMA: Final = """
CREATE TABLE outcomes (
    row INTEGER PRIMARY KEY, state INTEGER NOT NULL, written INTEGER NOT NULL, hash BLOB NOT NULL, outcome BLOB NOT NULL
);
CREATE TABLE intents (number INTEGER PRIMARY KEY, at REAL NOT NULL, rows BLOB NOT NULL);
CREATE TABLE lost_tries (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, spans BLOB NOT NULL);
CREATE TABLE other_calls (
    number INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL, retries INTEGER NOT NULL, rate_limited INTEGER NOT NULL, in_doubt INTEGER NOT NULL
);
CREATE TABLE contacts (
    id TEXT PRIMARY KEY, row INTEGER, email INTEGER, phone INTEGER,
    updated_at REAL, since REAL, until REAL, fields BLOB, tags BLOB, touched TEXT
);
CREATE TABLE delivered (number INTEGER PRIMARY KEY, written INTEGER NOT NULL);
"""
_log = logging.getLogger(__name__)

_WHOLE: Final = {  # what must be the same when a load goes on, and how to say that it is not
    "location": "was made for another location",
    "target": "was made for another service",
    "api_version": "was made with another API version",
}
_TARGET: Final = "target"

_KEEP_OUTCOME: Final = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)"
_KEEP_LOST_TRIES: Final = "INSERT OR REPLACE INTO lost_tries VALUES (?, ?, ?)"
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Outcome).decode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack_spans: Final = msgspec.msgpack.Decoder(LostTries).decode
_unpack_intents: Final = msgspec.msgpack.Decoder(list[Intent]).decode


def _is_same(name: str, before: str, now: str | None) -> bool:
    """Whether something that a load is known by is as it was."""
    return is_same_target(before, now) if name == _TARGET and now is not None else before == now


class Session(Struct, frozen=True):
    """One process's work on a load.

    Attributes:
        began_at: Seconds since 1970, by this machine.
        concurrency: Rows in flight at most.
        has_ended: Whether it ended in order, rather than being cut off, as far as is known.
    """

    began_at: float
    concurrency: int
    has_ended: bool


class Journal:
    """The journal of one load.

    Args:
        place: The database of the run; or the path of a journal, which is made where it is not there.
        retry_failed: Whether to send failed rows again.

    Attributes:
        keeps_traces: Whether it keeps what the load left in each contact, for an undo.

    Raises:
        ConfigurationError: The file is no journal, is in use, or cannot be written.
    """

    def __init__(self, place: str | Path | Database, *, retry_failed: bool = False) -> None:
        self._file = place if isinstance(place, Database) else Database(Path(place), "journal")
        self._file.create(_SCHEMA)
        self._file.create(TIMELINE_SCHEMA)
        self._whole: dict[str, str] = {}
        self._retry_failed = retry_failed
        self._finished = bytearray()  # a byte a row: its state where it is not to be sent again, else 0
        self._pending = bytearray()  # the same of rows that are to be sent again
        self._has_outcome = bytearray()  # a byte a row
        self._lost_tries: dict[int, tuple[bytes, LostTries]] = {}  # as this session began
        self._rows_with_lost_tries: set[int] = set()
        self._intents = _OpenIntents()
        self._written = 0  # groups so far
        self._session = 0
        self._is_in_use = False
        self._unwritten: dict[int, Entry] = {}
        self.keeps_traces = True

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path or Path()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ beginning

    @property
    def is_by_position(self) -> bool:
        """Whether a row's position alone tells which row it is, as the run keeps its rows."""
        return self._file.kind == "run"

    @property
    def _may_restore(self) -> bool:
        """Whether an undo may restore what the load updated: it can where a snapshot was taken."""
        return self.about("snapshot") != ""

    @property
    def is_begun(self) -> bool:
        """Whether a load was begun with it, in this process or another."""
        return bool(self._file.read("SELECT 1 FROM sessions"))

    def about(self, name: str) -> str | None:
        """Return what was noted of the load under a name, or None."""
        return self._file.about(name)

    def note(self, told: Mapping[str, str]) -> None:
        """Note something of the load at once, all of it or nothing.

        Raises:
            JournalError: It could not be written.
        """
        self._file.note([*told.items()])

    def check(self, whole: Mapping[str, str]) -> None:
        """Refuse a journal of another load.

        Raises:
            ConfigurationError: It is of another one; the sentence says in what.
        """
        for name, sentence in _WHOLE.items():
            before = self.about(name)
            if before is not None and not _is_same(name, before, whole.get(name)):
                raise ConfigurationError(
                    f"{self.path}: this {self._file.kind} {sentence}; name another one for this load, or give what it "
                    "was made for"
                )

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float, retry_failed: bool = False) -> Earlier:
        """Begin a session.

        Args:
            whole: What must be the same as in earlier sessions: `location`, `target`, `api_version`.
            concurrency: Rows in flight at most.
            now: Seconds since 1970 by this machine.
            retry_failed: Whether rows that failed are sent once more, also where the journal was not told so.

        Raises:
            ConfigurationError: The journal is of another load, or another load works on it; nothing was changed.
            JournalError: It cannot be read or written.
        """
        if self._is_in_use:
            raise ConfigurationError(f"{self.path}: another load is using this {self._file.kind}; wait until it ends")
        if self.is_by_position:
            whole = {}  # what a run is known by was noted when it was prepared, and checked when it was opened
        else:
            self.check(whole)
        with self._file.transaction() as db:
            db.execute("INSERT OR IGNORE INTO delivered VALUES (1, 0)")
            earlier = msgspec.structs.replace(self._read_earlier(db, now), last_calls=self.last_calls())
            db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", whole.items())
            self._session = earlier.sessions + 1
            session = (self._session, now, concurrency)
            db.execute("INSERT INTO sessions (number, began_at, concurrency) VALUES (?, ?, ?)", session)
            self._settle_intents(db)
            self._read_states(db, retry_failed=retry_failed or self._retry_failed)
        self._file.checkpoint()  # before the first call: from now on, a file without its log has lost something
        self._is_in_use = True
        if earlier.sessions:
            _log.info("%s: going on, session %d", self.path, self._session)
        return earlier

    def _read_earlier(self, db: sqlite3.Connection, now: float) -> Earlier:
        # Not below what was delivered: groups of rows that were not sent after all left no outcome.
        latest = "SELECT max((SELECT max(written) FROM delivered), coalesce((SELECT max(written) FROM outcomes), 0))"
        (self._written,) = db.execute(latest).fetchone()
        sessions, began_at = db.execute("SELECT count(*), min(began_at) FROM sessions").fetchone()
        return Earlier(sessions, now if began_at is None else began_at)

    def _settle_intents(self, db: sqlite3.Connection) -> None:
        """Rows whose calls were begun, are not safe to repeat, and have no outcome: nobody knows. The tries of the
        others are counted, and may have been applied."""
        self._written += 1
        count = NO_CALLS_COUNTED
        for at, rows in db.execute("SELECT at, rows FROM intents ORDER BY number").fetchall():
            for one in _unpack_intents(rows):
                if one.is_repeatable:
                    count = count.plus(calls_cut_off(one.before))
                    db.execute(_KEEP_LOST_TRIES, (one.row, one.row_hash, _pack(one.lost_tries)))
                else:
                    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
                    outcome = _encode(outcome_cut_off(one.row, when, one.before))
                    count = count.plus(_calls_shown(db, one.row)).plus(CallCount(in_doubt=1))
                    db.execute(_KEEP_OUTCOME, (one.row, UNKNOWN, self._written, one.row_hash, outcome))
        db.execute("DELETE FROM intents")
        self._intents = _OpenIntents()
        _count_calls(db, count)

    def _read_states(self, db: sqlite3.Connection, *, retry_failed: bool) -> None:
        (last,) = db.execute("SELECT max(row) FROM outcomes").fetchone()
        self._finished = bytearray(0 if last is None else last + 1)
        self._pending = bytearray(len(self._finished))
        self._has_outcome = bytearray(len(self._finished))
        again = states_sent_again(retry_failed=retry_failed)
        for row, state in db.execute("SELECT row, state FROM outcomes"):
            states = self._pending if state in again else self._finished
            states[row] = state
            self._has_outcome[row] = 1
        lost = db.execute("SELECT row, hash, spans FROM lost_tries")  # no more rows than were in flight, or in doubt
        self._lost_tries = {row: (row_hash, _unpack_spans(spans)) for row, row_hash, spans in lost}
        self._rows_with_lost_tries = set(self._lost_tries)

    # ------------------------------------------------------------------------------------------ what is there

    def is_finished(self, row: int) -> bool:
        """Whether an earlier session settled a row for good."""
        return row < len(self._finished) and self._finished[row] != 0

    def pending(self, row: int, row_hash: bytes) -> Outcome | None:
        """Return the outcome that a row has so far, where it has one and is to be sent again all the same."""
        if row >= len(self._pending) or not self._pending[row]:
            return None
        ((before, outcome),) = self._file.read("SELECT hash, outcome FROM outcomes WHERE row = ?", row)
        return _decode(outcome) if before == row_hash else None

    def lost_tries(self, row: int, row_hash: bytes) -> LostTries:
        """Return the tries of earlier sessions that may have been applied to a row that is to be sent again."""
        before, spans = self._lost_tries.get(row, (row_hash, ()))
        return spans if before == row_hash else ()

    def hashes(self, first: int, count: int) -> dict[int, tuple[bytes, bytes]]:
        """Return hash and encoded outcome of the rows from one on that are settled; see `read_outcome`."""
        last = first + count
        found = self._file.read("SELECT row, hash, outcome FROM outcomes WHERE row >= ? AND row < ?", first, last)
        return {row: (row_hash, outcome) for row, row_hash, outcome in found}

    def fold_into(self, report: BatchReport) -> None:
        """Count the outcomes of earlier sessions that are final, and all calls that these sessions made."""
        plain = [] if report.keeps_outcomes else list(PLAIN)
        for state in plain:
            report.add_plain(PLAIN[state], self._finished.count(state))
        for outcome in self.outcomes(but=plain):
            if self.is_finished(outcome.index):
                report.add(outcome)
            else:
                report.add_count(calls_of(outcome))
        report.add_count(self._other_calls())

    def fold_all_into(self, report: BatchReport) -> None:
        """Count the outcomes of all sessions, in constant memory.

        Raises:
            JournalError: The journal cannot be read.
        """
        plain = [] if self._unwritten else list(PLAIN)
        for state in plain:
            ((count,),) = self._file.read("SELECT count(*) FROM outcomes WHERE state = ?", state)
            report.add_plain(PLAIN[state], count)
        for outcome in self.outcomes(but=plain):
            report.add(outcome)
        report.add_count(self._other_calls())

    def _other_calls(self) -> CallCount:
        """Return the calls that no outcome shows: of rows that were sent again later, or were cut off."""
        found = self._file.read("SELECT requests, retries, rate_limited, in_doubt FROM other_calls")
        return CallCount(*found[0]) if found else NO_CALLS_COUNTED

    def outcomes(self, *, but: Sequence[int] = ()) -> Iterator[Outcome]:
        """Yield all outcomes in the order of the rows, also those that could not be written.

        Raises:
            JournalError: The journal cannot be read.
        """
        return with_unwritten(self._written_outcomes(but), self._unwritten)

    def _written_outcomes(self, but: Sequence[int]) -> Iterator[Outcome]:
        states = ",".join(map(str, but))
        query = f"SELECT outcome FROM outcomes WHERE state NOT IN ({states}) ORDER BY row"  # noqa: S608  (numbers)
        return (_decode(outcome) for (outcome,) in self._file.walk(query))

    def collisions(self) -> dict[int, int]:
        """Return each row that met the contact of another one, which is about another person, and that other row."""
        outcomes = (
            _decode(outcome) for (outcome,) in self._file.read("SELECT outcome FROM outcomes WHERE state = ?", DONE)
        )
        return {outcome.index: other for outcome in outcomes if (other := outcome.collision_with) is not None}

    def undelivered(self) -> list[Outcome]:
        """Return the outcomes that an earlier session wrote and may not have handed to its consumer."""
        found = self._file.read(
            "SELECT outcome FROM outcomes WHERE written > (SELECT written FROM delivered) ORDER BY row"
        )
        outcomes = [_decode(outcome) for (outcome,) in found]
        return [outcome for outcome in outcomes if self.is_finished(outcome.index)]

    def sessions(self) -> list[Session]:
        """Return all sessions, in order."""
        found = self._file.read("SELECT began_at, concurrency, state FROM sessions ORDER BY number")
        return [Session(began_at, concurrency, state == ENDED) for began_at, concurrency, state in found]

    def last_calls(self) -> LastCalls:
        """Return the calls that the last sessions made, those of the last minutes."""
        seconds = self._file.read(RECENT_CALLS, RECENT_SECONDS)
        last = self._file.read("SELECT state FROM sessions ORDER BY number DESC LIMIT 1")
        return LastCalls(tuple(seconds), is_whole=last != [(CUT_OFF,)])

    def arrived_until(self) -> float | None:
        """Return by when all that the load sent had arrived, in seconds since 1970 by the server's clock, as far as the
        times of its outcomes tell; None where no answer told its time."""
        query = "SELECT max(server_until + iif(state = ?, 0, ?)) FROM sessions"
        ((until,),) = self._file.read(query, ENDED, LATEST_SECONDS)
        return None if until is None else float(until)

    def trace(self, contact_id: str) -> Trace | None:
        """Return what the load left of a contact; None where that is not known.

        Raises:
            JournalError: The journal cannot be read.
        """
        return _reached_of(self._file.read(_READ_CONTACT, contact_id)).trace

    def timeline(self) -> Iterator[Second]:
        """Yield the seconds in which outcomes became known, in order, those of all sessions.

        Raises:
            JournalError: The journal cannot be read.
        """
        return read_timeline(self._file.walk)

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
            server_times: When this session began, and now, by the server's clock, once that is known.
            pace: What the limits allow by now.

        Returns:
            The outcomes as they were written: one may have been found to be `created`, or to have met the contact of
            another row.

        Raises:
            JournalError: They could not be written; none of them was.
        """
        with self._file.transaction() as db:
            if is_delivered:
                db.execute("UPDATE delivered SET written = ?", (self._written,))
            self._written += 1
            if server_times is not None:
                db.execute(
                    "UPDATE sessions SET server_began_at = ?, server_until = ? WHERE number = ?",
                    (*server_times, self._session),
                )
            contacts, of_updated = _Contacts(db), self._may_restore
            outcomes = [contacts.add(entry, of_updated=of_updated) for entry in entries]
            contacts.write()
            pairs = list(zip(entries, outcomes, strict=True))
            _count_calls(db, reduce(CallCount.plus, self._calls_not_shown(db, pairs), NO_CALLS_COUNTED))
            db.executemany(_KEEP_OUTCOME, self._records(pairs))
            add_to_timeline(db, ((entry.at, outcome) for entry, outcome in pairs), pace)
            self._keep_lost_tries(db, lost_tries_of(entries))
            ended = self._intents.without(entry.outcome.index for entry in entries)  # also of rows not sent after all
            _write_intents(db, ended)
        self._intents.keep(ended)
        return outcomes

    def _keep_lost_tries(self, db: sqlite3.Connection, rows: Sequence[LostTriesOfRow]) -> None:
        """Keep what may have been applied."""
        there = self._rows_with_lost_tries
        db.executemany("DELETE FROM lost_tries WHERE row = ?", [(row,) for row, _, spans in rows if row in there])
        lost = [(row, row_hash, _pack(spans)) for row, row_hash, spans in rows if spans]
        db.executemany(_KEEP_LOST_TRIES, lost)
        there.update(row for row, _, _ in lost)

    def _calls_not_shown(self, db: sqlite3.Connection, pairs: Iterable[tuple[Entry, Outcome]]) -> Iterator[CallCount]:
        """Yield the calls that no outcome shows once these are written."""
        for entry, outcome in pairs:
            if outcome.status == "not_attempted":
                if outcome.has_calls:
                    yield calls_of(outcome)
            elif self._is_replaced(outcome.index) and not entry.is_standing:
                yield _calls_shown(db, outcome.index)

    def _is_replaced(self, row: int) -> bool:
        """Note that a row gets an outcome, and return whether it has one."""
        if row >= len(self._has_outcome):
            self._has_outcome.extend(bytes(row + 1 - len(self._has_outcome)))
        is_replaced = bool(self._has_outcome[row])
        self._has_outcome[row] = 1
        return is_replaced

    def _records(self, pairs: Iterable[tuple[Entry, Outcome]]) -> Iterator[tuple[Any, ...]]:
        for entry, outcome in pairs:
            if outcome.status != "not_attempted":
                yield outcome.index, entry.state_of(outcome), self._written, entry.row_hash, _encode(outcome)

    def change_traces(self, contact_ids: Iterable[str], change: Callable[[Trace], Trace]) -> None:
        """Note that the load wrote to contacts once more, after the rows; those without a trace are left out.

        Raises:
            JournalError: It could not be written.
        """
        with self._file.transaction() as db:
            contacts = _Contacts(db)
            traces = [(contact_id, contacts.find(contact_id).trace) for contact_id in contact_ids]
            changed = ((*_trace_record(change(trace)), contact_id) for contact_id, trace in traces if trace)
            db.executemany(_CHANGE_TRACE, changed)

    def count_calls(self, calls: CallCount) -> None:
        """Count calls that no outcome shows, such as those before the first row.

        Raises:
            JournalError: It could not be written.
        """
        if calls != NO_CALLS_COUNTED:
            with self._file.transaction() as db:
                _count_calls(db, calls)

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keep outcomes in memory that could not be written, for `outcomes` and `end`."""
        self._unwritten.update((entry.outcome.index, entry) for entry in entries)

    def write_later_calls(self, calls: Sequence[LaterCall]) -> None:
        """Count calls after the rows in the timeline.

        Raises:
            JournalError: They could not be written.
        """
        with self._file.transaction() as db:
            add_later_calls(db, calls)

    def intend(self, intents: Iterable[Intent], now: float) -> None:
        """Write that rows are about to be sent.

        Args:
            intents: Which.
            now: Seconds since 1970 by this machine.

        Raises:
            JournalError: It could not be written; they must not be sent.
        """
        begun = self._intents.plus(intents, now)
        with self._file.transaction() as db:
            _write_intents(db, begun)
        self._intents.keep(begun)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._file.close()

    def end(self, *, is_delivered: bool) -> None:
        """End the session, and try once more to write what was kept.

        Args:
            is_delivered: Whether the consumer has done with all outcomes.

        Raises:
            JournalError: It cannot be written: what was kept is lost on resume, and rows are handed over again.
        """
        self._is_in_use = False
        if self._unwritten:
            self.write([self._unwritten[row] for row in sorted(self._unwritten)], is_delivered=False)
            self._unwritten.clear()
        with self._file.transaction() as db:
            db.execute("UPDATE sessions SET state = ? WHERE number = ?", (ENDED, self._session))
            if is_delivered:
                db.execute("UPDATE delivered SET written = ?", (self._written,))


def _calls_shown(db: sqlite3.Connection, row: int) -> CallCount:
    """Return the calls that the outcome of a row shows, which is about to be replaced."""
    found = db.execute("SELECT outcome FROM outcomes WHERE row = ?", (row,)).fetchone()
    return NO_CALLS_COUNTED if found is None else calls_of(_decode(found[0]))


def _count_calls(db: sqlite3.Connection, calls: CallCount) -> None:
    """Count calls that no outcome shows any more."""
    if calls == NO_CALLS_COUNTED:
        return
    db.execute("INSERT OR IGNORE INTO other_calls VALUES (1, 0, 0, 0, 0)")
    db.execute(
        "UPDATE other_calls SET requests = requests + ?, retries = retries + ?, rate_limited = rate_limited + ?, "
        "in_doubt = in_doubt + ?",
        (calls.requests, calls.retries, calls.rate_limited, calls.in_doubt),
    )


# ---------------------------------------------------------------------------------------------- rows under way


_Key: TypeAlias = tuple[int, bool]


class _Group(Struct, frozen=True, gc=False):
    """Rows whose intents were written together, without those that have an outcome by now.

    Attributes:
        at: When they were written, in seconds since 1970 by this machine.
        intents: By row, and by whether the row may be sent again.
    """

    at: float
    intents: dict[_Key, Intent]


class _OpenIntents:
    """The intents of rows under way. Each group is one record of the file, so that a row costs no record of its own,
    neither when it is sent nor when it is done.

    `plus` and `without` return the groups that change, by number: they are kept once they are on disk.
    """

    def __init__(self) -> None:
        self._groups: dict[int, _Group] = {}
        self._number_of: dict[_Key, int] = {}
        self._last = 0

    def plus(self, intents: Iterable[Intent], now: float) -> dict[int, _Group]:
        """Add a group; a further try of a row takes the place of the one before."""
        added = {(one.row, one.is_repeatable): one for one in intents}
        self._last += 1
        return {**self._leave_out(added), self._last: _Group(now, added)}

    def without(self, rows: Iterable[int]) -> dict[int, _Group]:
        """Take rows out of their groups."""
        return self._leave_out((row, is_repeatable) for row in rows for is_repeatable in (True, False))

    def _leave_out(self, keys: Iterable[_Key]) -> dict[int, _Group]:
        changed: dict[int, _Group] = {}
        for key in keys:
            number = self._number_of.get(key)
            if number is not None:
                if number not in changed:
                    before = self._groups[number]
                    changed[number] = _Group(before.at, dict(before.intents))
                changed[number].intents.pop(key, None)
        return changed

    def keep(self, changed: Mapping[int, _Group]) -> None:
        """Take what was written for what there is."""
        for number, group in changed.items():
            if (before := self._groups.pop(number, None)) is not None:
                for key in before.intents:
                    del self._number_of[key]
            if group.intents:
                self._groups[number] = group
                self._number_of.update(dict.fromkeys(group.intents, number))


def _write_intents(db: sqlite3.Connection, groups: Mapping[int, _Group]) -> None:
    """Write groups of intents; one that is empty goes."""
    empty = [(number,) for number, group in groups.items() if not group.intents]
    others = [(number, one.at, _pack([*one.intents.values()])) for number, one in groups.items() if one.intents]
    db.executemany("DELETE FROM intents WHERE number = ?", empty)
    db.executemany("INSERT OR REPLACE INTO intents VALUES (?, ?, ?)", others)


# ---------------------------------------------------------------------------------------------- contacts


class _Reached(Struct, frozen=True, gc=False):
    """What is known of a contact that the load reached.

    Attributes:
        last: The row that reached it last, and its signature; None where none was compared.
        trace: What the load left of it; None where that is not known.
    """

    last: LastRow | None = None
    trace: Trace | None = None


_NOT_REACHED: Final = _Reached()
_READ_CONTACT: Final = (
    "SELECT row, email, phone, updated_at, since, until, fields, tags, touched FROM contacts WHERE id = ?"
)
_KEEP_CONTACT: Final = "INSERT OR REPLACE INTO contacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CHANGE_TRACE: Final = (
    "UPDATE contacts SET updated_at = ?, since = ?, until = ?, fields = ?, tags = ?, touched = ? WHERE id = ?"
)
_NO_TRACE: Final = (None,) * 6


class _Contacts:
    """The contacts that a group of rows reached: each is read at most once, and all are written together."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._changed: dict[str, _Reached] = {}

    def find(self, contact_id: str) -> _Reached:
        """Return what is known of a contact."""
        found = self._changed.get(contact_id)
        return found or _reached_of(self._db.execute(_READ_CONTACT, (contact_id,)).fetchall())

    def add(self, entry: Entry, *, of_updated: bool) -> Outcome:
        """Complete the outcome of a row by what is known of its contact, and note what the row left of it.

        Args:
            entry: The row.
            of_updated: Whether to keep traces also of contacts that the load only updated.
        """
        contact_id = entry.outcome.contact_id
        if contact_id is None:
            return entry.outcome
        # The id of a contact that was created is as new as the contact: no row can have reached it.
        before = _NOT_REACHED if entry.outcome.new else self.find(contact_id)
        outcome, last = entry.meet(lambda _: before.last)
        trace = _trace_after(entry, None if outcome.new else before.trace, of_updated=of_updated or bool(outcome.new))
        if last is not None or trace is not None:
            self._changed[contact_id] = _Reached(last or before.last, trace or before.trace)
        return outcome

    def write(self) -> None:
        """Write what was noted."""
        self._db.executemany(_KEEP_CONTACT, [_contact_record(*one) for one in self._changed.items()])


def _trace_after(entry: Entry, before: Trace | None, *, of_updated: bool) -> Trace | None:
    """Return what a row left of its contact; None where it wrote nothing, or nobody will ask."""
    if not entry.written or (before is None and not of_updated):
        return None
    first, *others = entry.written
    return reduce(follow, others, trace_of(first) if before is None else follow(before, first))


def _contact_record(contact_id: str, reached: _Reached) -> tuple[Any, ...]:
    row, (email, phone) = reached.last or (None, (None, None))
    return contact_id, row, email, phone, *(_NO_TRACE if reached.trace is None else _trace_record(reached.trace))


def _trace_record(trace: Trace) -> tuple[Any, ...]:
    since, until = trace.span or (None, None)
    fields, tags = _packed(trace.fields), _packed(sorted(trace.tags))
    return trace.updated_at, since, until, fields, tags, " ".join(trace.touched)


def _reached_of(found: Sequence[Any]) -> _Reached:
    if not found:
        return _NOT_REACHED
    row, email, phone, updated_at, since, until, fields, tags, touched = found[0]
    last = None if row is None else (row, (email, phone))
    if fields is None:
        return _Reached(last)
    trace = Trace(
        updated_at=updated_at,
        span=None if since is None else (since, until),
        fields=_unpacked(fields),
        tags=frozenset(_unpacked(tags)),
        touched=tuple(touched.split()),
    )
    return _Reached(last, trace)


def _packed(checksums: Sequence[int]) -> bytes:
    return pack(f"<{len(checksums)}I", *checksums)


def _unpacked(data: bytes) -> tuple[int, ...]:
    return unpack(f"<{len(data) // 4}I", data)
