"""The SQLite file that remembers a load: one process at a time, private, and sure of what it holds.

SQLite does not notice a flipped bit in a record, and takes one in its write-ahead log for the end of that log, so that
later groups are lost without a word. Here both are noticed:

- A *ledger* holds of each table how many records it has and the sum of their checksums. Triggers keep it, and it is
  written in the transaction that changes the table. Opening the file adds everything up again. The tables and triggers
  themselves are in it, too: a trigger that is damaged would keep a false ledger. Tables of large records
  are *sealed*: their large values carry checksums of their own, which are compared when they are read, and the ledger
  has the other columns alone.
- The *log* is read before SQLite reads it. A bad frame in its last group is what a power cut leaves: that group was
  never reported as written, and is dropped. A group after a bad frame shows that the frame was whole once.
- A *session* is noted in the main file before its first write to the service, and its first group stays in the log. So
  a file whose session is open and that has no log has lost it, as a copy made while the file was in use.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct as Layout
from struct import unpack_from
from typing import Any, Final, Literal, TypeAlias
from zlib import crc32

import msgspec

from ..errors import ConfigurationError, JournalError
from ..private_file import keep_database_private, refuse_network_disk

Kind: TypeAlias = Literal["run", "journal", "outbox"]
"""What a file is: a run with its rows, the journal of a load whose rows the caller has, or an outbox."""

_APPLICATION_ID: Final = 0x4C436A31
_VERSION: Final = 2
_FIRST_VERSION: Final = 1  # of 0.1, which kept no checksums
_SCHEMA: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    began_at REAL NOT NULL,
    concurrency INTEGER NOT NULL,
    server_began_at REAL,
    server_until REAL,
    state INTEGER NOT NULL DEFAULT 0
);
"""
_LEDGER: Final = """
CREATE TABLE ledger (
    name TEXT PRIMARY KEY, records INTEGER NOT NULL, total INTEGER NOT NULL, is_sealed INTEGER NOT NULL
) WITHOUT ROWID
"""
_SCHEMA_TABLE: Final = "sqlite_master"
_SUM_OF_SCHEMA: Final = (  # as a record of the ledger
    "SELECT 'sqlite_master', count(*), sum(checksum(type, name, tbl_name, rootpage, sql)), 0 FROM sqlite_master"
)
_TABLE: Final = re.compile(r"CREATE TABLE (\w+)")
_RECORDS_AT_ONCE: Final = 20  # some of them hold hundreds of rows
_CACHE: Final = -8192  # KiB of pages in memory, in SQLite's own way to say it
_encode: Final = msgspec.msgpack.Encoder().encode

OPEN: Final = 0
"""A session that has not ended."""
ENDED: Final = 1
"""One that has ended in order."""
CUT_OFF: Final = 2
"""One whose process ended before it did."""


class Database:
    """A file of ours. Threads may share it.

    Args:
        path: The file, made with mode 0600 where it is not there; None for one without a name, which is gone when this
            is closed.
        kind: What it is, or is to be.
        is_draft: Whether it is being prepared: a crash costs the whole file, so it is written without a log.

    Raises:
        ConfigurationError: It is in use, damaged, incomplete, of another version, something else, or cannot be written.
            It was left as it is; `__cause__` is SQLite's error where it is in use or cannot be written.
    """

    def __init__(self, path: Path | None, kind: Kind = "run", *, is_draft: bool = False) -> None:
        self.path = path
        self.kind = kind
        self._lock = threading.RLock()
        self._added: dict[str, list[int]] = defaultdict(lambda: [0, 0])  # records and checksums since the last commit
        self._db = _connect(path, kind)
        try:
            self._prepare(is_draft=is_draft or path is None)
        except DAMAGE_OR_WORSE as error:
            self._db.close()
            reason = why_not_opened(error, kind)
            raise ConfigurationError(f"{path}: {reason}") from (None if is_damage(error) else error)
        except JournalError as error:
            self.close()
            raise ConfigurationError(str(error)) from error
        except ConfigurationError:
            self._db.close()
            raise

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, and of its log, which goes into the main file. May be called twice."""
        with self._lock:
            self._note_cut_off()
            self._db.close()

    def _note_cut_off(self) -> None:
        """Note that a session which is still open is cut off: closing the file removes its log, and an open session
        without a log is refused from then on."""
        for _ in range(2):
            with suppress(JournalError, sqlite3.Error):
                if self._has_open_session():
                    with self.transaction() as db:
                        db.execute("UPDATE sessions SET state = ? WHERE state = ?", (CUT_OFF, OPEN))
                return
            with suppress(sqlite3.Error):  # a full disk: the next group takes the place of what is in the log
                self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _has_open_session(self) -> bool:
        return self._db.execute("SELECT 1 FROM sessions WHERE state = ?", (OPEN,)).fetchone() is not None

    # ------------------------------------------------------------------------------------------ opening

    def _prepare(self, *, is_draft: bool) -> None:
        db = self._db
        db.create_function("note_change", -1, self._note_change, deterministic=False)
        db.create_function("checksum", -1, _checksum, deterministic=True)
        # One process at a time, for as long as it is open; the lock goes with the process.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_new = self._check_kind()  # before anything is changed
        db.execute(f"PRAGMA journal_mode = {'OFF' if is_draft else 'WAL'}")
        db.execute(f"PRAGMA synchronous = {'OFF' if is_draft else 'FULL'}")
        db.execute("PRAGMA recursive_triggers = ON")  # a record that is replaced leaves the ledger, too
        db.execute(f"PRAGMA cache_size = {_CACHE}")
        if is_new:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_LEDGER)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
            self._create(_SCHEMA, sealed=())
            db.execute("COMMIT")
        else:
            self._check_ledger()
            self._close_sessions()
        self._tables = {name for (name,) in db.execute("SELECT name FROM ledger")}

    def _check_kind(self) -> bool:
        """Return whether the file is new; refuse what is no file of ours of this version."""
        (kind,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if kind == 0 and self._db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            return True
        if kind != _APPLICATION_ID:
            raise ConfigurationError(f"{self.path}: is not a {self.kind} of leadconnector-async; name another file")
        if version == _FIRST_VERSION:
            raise ConfigurationError(
                f"{self.path}: was made by version 0.1 of leadconnector-async; finish it with that version"
            )
        if version != _VERSION:
            raise ConfigurationError(f"{self.path}: was made by another version of leadconnector-async; use that one")
        return False

    def _close_sessions(self) -> None:
        """Note which session was cut off, and begin a new log: what a power cut left in the old one might pass for a
        group after a bad frame, once others are written over its beginning."""
        if self._has_open_session():
            with self.transaction() as db:
                db.execute("UPDATE sessions SET state = ? WHERE state = ?", (CUT_OFF, OPEN))
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def create(self, schema: str, *, sealed: Sequence[str] = ()) -> None:
        """Create tables where they are not there yet.

        Args:
            schema: `CREATE TABLE` statements, each ended by a semicolon, without comments.
            sealed: Tables whose BLOBs carry checksums of their own, so that opening the file need not read them.

        Raises:
            JournalError: They cannot be written.
        """
        if not {*_TABLE.findall(schema)} <= self._tables:
            with self.transaction():
                self._create(schema, sealed=sealed)
            self._tables |= {*_TABLE.findall(schema)}

    def _create(self, schema: str, *, sealed: Sequence[str]) -> None:
        for statement in filter(None, map(str.strip, schema.split(";"))):
            self._db.execute(statement)
            for name in _TABLE.findall(statement):
                self._db.execute("INSERT INTO ledger VALUES (?, 0, 0, ?)", (name, name in sealed))
                self._watch(name, is_sealed=name in sealed)
        self._db.execute(f"INSERT OR REPLACE INTO ledger {_SUM_OF_SCHEMA}")

    def _watch(self, name: str, *, is_sealed: bool) -> None:
        columns = self._summed_columns(name, is_sealed=is_sealed)
        new, old = (", ".join(f"{version}.{column}" for column in columns) for version in ("NEW", "OLD"))
        for event, changes in (
            ("INSERT", [(1, new)]),
            ("DELETE", [(-1, old)]),
            ("UPDATE", [(-1, old), (1, new)]),
        ):
            calls = " ".join(f"SELECT note_change('{name}', {sign}, {values});" for sign, values in changes)
            self._db.execute(f"CREATE TRIGGER {name}_{event.lower()} AFTER {event} ON {name} BEGIN {calls} END")

    def _summed_columns(self, name: str, *, is_sealed: bool) -> list[str]:
        columns = self._db.execute(f"PRAGMA table_info({name})")
        return [column for _, column, kind, *_ in columns if not (is_sealed and kind == "BLOB")]

    def _note_change(self, name: str, sign: int, *values: object) -> None:
        change = self._added[name]
        change[0] += sign
        change[1] += sign * _checksum(*values)

    def _check_ledger(self) -> None:
        """Add up all tables, and compare them with the ledger; look into their trees, too.

        Raises:
            ConfigurationError: A record, a table or a page is not as it was written.
        """
        ledger = self._db.execute("SELECT name, records, total, is_sealed FROM ledger").fetchall()
        schema = self._db.execute(_SUM_OF_SCHEMA).fetchone()
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if schema not in ledger or tables - {"ledger"} != {name for name, *_ in ledger} - {_SCHEMA_TABLE}:
            raise self._damaged("its tables have changed")
        for name, records, total, is_sealed in filter(lambda one: one != schema, ledger):
            if self._add_up(name, is_sealed=is_sealed) != (records, total):
                raise self._damaged(f"records of {name} have changed")
            if not self._is_sound(name, is_sealed=is_sealed):
                raise self._damaged(f"the pages of {name} are inconsistent")

    def _add_up(self, name: str, *, is_sealed: bool) -> tuple[int, int]:
        columns = ", ".join(self._summed_columns(name, is_sealed=is_sealed))
        # Of the table itself: an index may hold the same columns.
        query = f"SELECT count(*), coalesce(sum(checksum({columns})), 0) FROM {name} NOT INDEXED"  # noqa: S608  (ours)
        records, checksums = self._db.execute(query).fetchone()
        return records, checksums

    def _is_sound(self, name: str, *, is_sealed: bool) -> bool:
        """Whether the trees of a table fit together. That reads all of it, so it is left out where it finds nothing
        that the ledger and the seals do not: of a sealed table without an index."""
        if is_sealed and not self._db.execute(f"PRAGMA index_list({name})").fetchall():
            return True
        return bool(self._db.execute(f"PRAGMA integrity_check({name})").fetchall() == [("ok",)])

    def _damaged(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path}: is damaged ({what}); restore a complete copy of it")

    # ------------------------------------------------------------------------------------------ reading and writing

    def read(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds.

        Raises:
            JournalError: The file cannot be read.
        """
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except DAMAGE_OR_WORSE as error:
                raise self.unreadable(error) from error

    def walk(self, query: str, *values: object) -> Iterator[Any]:
        """Yield what a query finds, in constant memory. What is written meanwhile may be in it or not.

        Raises:
            JournalError: The file cannot be read.
        """
        # No thread may touch the connection without the lock, not even to fetch a record or to close a cursor: sqlite3
        # keeps the GIL while it waits for the connection's mutex to read a column. A thread in mid-write holds that
        # mutex when a trigger calls `note_change`, which needs the GIL. Both would wait forever.
        cursor = None
        try:
            while True:
                with self._lock:
                    cursor = cursor or self._db.execute(query, values)
                    records = cursor.fetchmany(_RECORDS_AT_ONCE)
                if not records:
                    return
                yield from records
        except DAMAGE_OR_WORSE as error:
            raise self.unreadable(error) from error
        finally:
            if cursor is not None:
                with self._lock, suppress(sqlite3.Error):  # the database may be closed by now
                    cursor.close()

    def unreadable(self, error: Exception) -> JournalError:
        """Say that the file cannot be read."""
        return self._failed("read", error)

    def _failed(self, what: str, error: Exception) -> JournalError:
        return failed(self._name, self.kind, what, error)

    @property
    def _name(self) -> str:
        return "a file without a name" if self.path is None else str(self.path)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all of it or nothing. It is on disk when this ends.

        Raises:
            JournalError: It could not be written; nothing was.
        """
        if self.path is not None and not self.path.exists():  # SQLite would go on with a file that nobody can find
            raise JournalError(f"{self.path}: the {self.kind} is gone")
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._write_ledger()
                    self._db.execute("COMMIT")
                finally:
                    self._added.clear()
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise self._failed("written", error) from error

    def _write_ledger(self) -> None:
        changes = [(records, total, name) for name, (records, total) in self._added.items()]
        self._db.executemany("UPDATE ledger SET records = records + ?, total = total + ? WHERE name = ?", changes)

    def checkpoint(self) -> None:
        """Write the log into the main file. The log keeps its last groups until the next write.

        Raises:
            JournalError: It could not be written.
        """
        with self._lock:
            try:
                self._db.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
            except sqlite3.Error as error:
                raise self._failed("written", error) from error

    # ------------------------------------------------------------------------------------------ what it is about

    def about(self, name: str) -> str | None:
        """Return what was noted of the load under a name, or None."""
        found = self.read("SELECT value FROM about WHERE name = ?", name)
        return str(found[0][0]) if found else None

    def note(self, told: Sequence[tuple[str, str]]) -> None:
        """Note something of the load, all of it or nothing: half of what a load is known by is another load's.

        Raises:
            JournalError: It could not be written.
        """
        with self.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", told)

    def forget(self, name: str) -> None:
        """Remove what was noted under a name.

        Raises:
            JournalError: It could not be written.
        """
        with self.transaction() as db:
            db.execute("DELETE FROM about WHERE name = ?", (name,))


def _checksum(*values: object) -> int:
    return crc32(_encode(values))


def seal(content: bytes, place: int = 0) -> bytes:
    """Return content with a checksum before it, for a record of a sealed table; the checksum says its place, too."""
    return _SEAL.pack(crc32(content, place)) + content


def unseal(sealed: bytes, place: int = 0) -> bytes:
    """Return the content of a sealed record, given its place.

    Raises:
        JournalError: It is not as it was written.
    """
    content = sealed[_SEAL.size :]
    if sealed != seal(content, place):
        raise JournalError("a record is damaged: restore a complete copy of the run")
    return content


_SEAL: Final = Layout("<I")


def failed(name: str, kind: Kind, what: str, error: Exception) -> JournalError:
    """Say that a file cannot be "read" or "written"."""
    if isinstance(error, sqlite3.ProgrammingError):  # the one of them that we can cause: it was closed
        return JournalError(f"{name}: the {kind} is closed; open it again")
    return JournalError(f"{name}: the {kind} cannot be {what} ({error})")


def _connect(path: Path | None, kind: Kind) -> sqlite3.Connection:
    if path is None:
        return sqlite3.connect("", isolation_level=None, check_same_thread=False)
    return connect(path, kind, check=lambda: _check_log(path, kind))


def connect(
    path: Path, kind: Kind, *, check: Callable[[], None] = lambda: None, patience: float = 0
) -> sqlite3.Connection:
    """Open a private file on a disk of this machine, which is made where it is not there.

    Args:
        path: The file.
        kind: What it is, or is to be.
        check: Called before SQLite touches it.
        patience: Seconds to wait for others who use it.

    Raises:
        ConfigurationError: It cannot be opened, or `check` refuses it.
    """
    refuse_network_disk(path)
    try:
        keep_database_private(path)
        check()
        return sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise not_opened(path, kind, error) from error


def not_opened(path: Path, kind: Kind, error: Exception) -> ConfigurationError:
    """Say that a file cannot be opened."""
    reason = (isinstance(error, OSError) and error.strerror) or error
    return ConfigurationError(f"{path}: the {kind} cannot be opened ({reason})")


# Where SQLite repeats a text that is not UTF-8 in a message, Python cannot even read the message.
DAMAGE_OR_WORSE: Final = (sqlite3.Error, UnicodeDecodeError)
_IN_USE: Final = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_UNWRITABLE: Final = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
    )
)


_LEFT_LOOP: Final = (
    ", and where you left a loop over stream_upserts early, close its generator first (contextlib.aclosing does that)"
)


def _code_of(error: Exception) -> int:
    """Return SQLite's primary result code of an error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_damage(error: Exception) -> bool:
    """Whether an error on opening is of what the file holds: our own statements are right for a file that is whole."""
    return _code_of(error) not in _IN_USE | _UNWRITABLE


def why_not_opened(error: Exception, kind: Kind) -> str:
    """Say why SQLite does not open a file."""
    if _code_of(error) in _IN_USE:
        left = _LEFT_LOOP if kind == "journal" else ""
        return f"another process, or another load in this one, is using this {kind}; wait until it ends{left}"
    if is_damage(error):
        return f"is not a {kind} of leadconnector-async, or is damaged ({error}); name another file"
    return f"the {kind} cannot be written ({error})"


# ---------------------------------------------------------------------------------------------- the write-ahead log

# The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log

_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_MAGIC: Final = {0x377F0682: "<", 0x377F0683: ">"}  # the byte order of the words that are summed


def _check_log(path: Path, kind: Kind) -> None:
    """Refuse a file whose log is damaged or missing.

    Raises:
        ConfigurationError: It is. Nothing was changed.
    """
    log = path.with_name(f"{path.name}-wal")
    content = log.read_bytes() if log.exists() else b""
    if len(content) <= _LOG_HEADER:  # a header alone is what a crash before the first group leaves
        if _has_open_session(path):
            raise ConfigurationError(
                f"{log}: is missing, and the {kind} was in use when it was copied; copy the whole folder again"
            )
    elif is_log_damaged(content):
        raise ConfigurationError(f"{log}: is damaged, so outcomes may be lost; restore a complete copy of the {kind}")


def _has_open_session(path: Path) -> bool:
    """Whether the main file alone says that a session has begun and not ended."""
    address = f"{path.absolute().as_uri()}?immutable=1"  # as if there were no log
    with suppress(*DAMAGE_OR_WORSE):  # no table of sessions: a file of another kind is refused later
        db = sqlite3.connect(address, uri=True)
        try:
            return bool(db.execute("SELECT 1 FROM sessions WHERE state = 0").fetchone())
        finally:
            db.close()
    return False


def is_log_damaged(log: bytes) -> bool:
    """Whether a group of a write-ahead log follows a frame that is not as it was written.

    The last group alone may be bad: a power cut leaves it so, and SQLite drops it. Its commit frame may be whole, as
    frames reach the disk in any order, so one commit after the bad frame proves nothing unless the bad frame is the
    commit of an earlier group.
    """
    magic, _, page_size, _, *salts = unpack_from(">IIIIII", log)
    order = _MAGIC.get(magic)
    if order is None or _sums(log[:24], order, 0, 0) != unpack_from(">II", log, 24):
        return True
    size = _FRAME_HEADER + page_size
    frames = range(_LOG_HEADER, len(log) - size + 1, size)
    bad = _first_bad(log, frames, page_size, order, tuple(salts))
    if bad is None:
        return False
    commits = sum(_is_commit(log, frame, tuple(salts)) for frame in frames if frame > bad)
    return commits > (0 if _was_commit(log, bad, tuple(salts)) else 1)


def _first_bad(log: bytes, frames: range, page_size: int, order: str, salts: tuple[int, ...]) -> int | None:
    first, second = unpack_from(">II", log, 24)
    for frame in frames:
        page = log[frame + _FRAME_HEADER : frame + _FRAME_HEADER + page_size]
        first, second = _sums(log[frame : frame + 8] + page, order, first, second)
        if unpack_from(">II", log, frame + 8) != salts or unpack_from(">II", log, frame + 16) != (first, second):
            return frame
    return None


def _sums(content: bytes, order: str, first: int, second: int) -> tuple[int, int]:
    words = iter(unpack_from(f"{order}{len(content) // 4}I", content))
    for one, other in zip(words, words, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second


def _is_commit(log: bytes, frame: int, salts: tuple[int, ...]) -> bool:
    (pages,) = unpack_from(">I", log, frame + 4)
    return pages != 0 and unpack_from(">II", log, frame + 8) == salts


def _was_commit(log: bytes, frame: int, salts: tuple[int, ...]) -> bool:
    """Whether a bad frame ended a group: one salt may have been hit, but frames of an older log share neither."""
    (pages,) = unpack_from(">I", log, frame + 4)
    found = unpack_from(">II", log, frame + 8)
    return pages != 0 and any(one == other for one, other in zip(found, salts, strict=True))
