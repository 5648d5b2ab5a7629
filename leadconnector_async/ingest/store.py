"""The file of an outbox: any number of processes put, one drains.

SQLite, written ahead and flushed with each commit. What is written goes through one thread, which writes all that waits
in one transaction: while one flush is under way, the puts of the next gather.

Every writer takes a file lock before its transaction. SQLite would let them poll for its own lock instead, with growing
pauses; a process that writes without a pause then starves the others.

The life of an entry: it waits in `entries`; it is noted as taken before its call leaves; its outcome is written as it
leaves `entries`, and what was refused is kept in `dead` besides. An outcome is removed once its consumer has it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from hashlib import blake2b
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ..bulk.outcome import LostTries
from ..bulk.report import Outcome
from ..errors import ConfigurationError, JournalError, KeyConflictError, LeadConnectorError, OutboxFullError
from ..models import ContactUpsert
from ..models.normal import normal_email, normal_phone
from ..private_file import FileLock, refuse_network_disk
from ..protocol.text import count_of
from ..run.database import DAMAGE_OR_WORSE, connect, failed, is_damage, not_opened, seal, unseal, why_not_opened

_APPLICATION_ID: Final = 0x4C436F31
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE boxes (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, waiting INTEGER NOT NULL, dead INTEGER NOT NULL,
    active_at REAL NOT NULL, is_draining INTEGER NOT NULL, last_calls BLOB NOT NULL, paused BLOB NOT NULL
);
CREATE TABLE entries (
    place INTEGER PRIMARY KEY AUTOINCREMENT, box INTEGER NOT NULL, id INTEGER NOT NULL, location TEXT NOT NULL,
    email TEXT NOT NULL, phone TEXT NOT NULL, key TEXT, put_at REAL NOT NULL, taken INTEGER NOT NULL, lost BLOB,
    content BLOB NOT NULL
);
CREATE TABLE keys (
    box INTEGER NOT NULL, name BLOB NOT NULL, content BLOB NOT NULL, id INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (box, name)
) WITHOUT ROWID;
CREATE INDEX keys_by_time ON keys (at);
CREATE TABLE outcomes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, box INTEGER NOT NULL, id INTEGER NOT NULL, key TEXT, at REAL NOT NULL,
    outcome BLOB NOT NULL
);
CREATE TABLE dead (
    id INTEGER PRIMARY KEY, box INTEGER NOT NULL, location TEXT NOT NULL, email TEXT NOT NULL, phone TEXT NOT NULL,
    key TEXT, put_at REAL NOT NULL, content BLOB NOT NULL, status TEXT NOT NULL, at REAL NOT NULL, outcome BLOB NOT NULL
);
"""
_PATIENCE: Final = 60.0  # seconds to wait for SQLite's own locks, which our file lock keeps free
_MOST_AT_ONCE: Final = 2_000  # works in one transaction: others wait for its end
_PURGED_AT_ONCE: Final = 1_000
_UNREADABLE: Final = "the entry cannot be read ({}); the outbox is damaged"

_encode: Final = msgspec.json.Encoder().encode
_decode_contact: Final = msgspec.json.Decoder(ContactUpsert).decode
_decode_outcome: Final = msgspec.json.Decoder(Outcome).decode
_decode_paused: Final = msgspec.json.Decoder(dict[str, str]).decode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack_spans: Final = msgspec.msgpack.Decoder(LostTries).decode
_unpack_calls: Final = msgspec.msgpack.Decoder(tuple[tuple[int, int], ...]).decode


class Receipt(Struct, frozen=True):
    """What `put` returns once the contact is on disk.

    Attributes:
        id: By which the outbox knows the contact.
        is_duplicate: Whether the key and the contact were put before; `id` is then of that time.
    """

    id: int
    is_duplicate: bool = False


class Put(Struct, frozen=True):
    """A contact for `put_many`, with what else `put` takes.

    Attributes:
        contact: A contact or a dict, as of `put`.
        key: Names the event that it comes from, or None.
        location_id: Where it goes; by default where the contact or the client says.
    """

    contact: Any
    key: str | None = None
    location_id: str | None = None


class Settled(Struct, frozen=True, kw_only=True):
    """What became of a contact.

    Attributes:
        number: Of this outcome; one that is handed over twice has the same number.
        id: As in the receipt.
        key: As it was put.
        at: When that was known, in seconds since 1970.
        outcome: The outcome; its `index` is the id.
    """

    number: int
    id: int
    key: str | None
    at: float
    outcome: Outcome


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A contact that the service did not take, or of which nobody knows whether it did.

    Attributes:
        id: As in the receipt.
        key: As it was put.
        location_id: Where it was to go.
        put_at: When it was put, in seconds since 1970.
        at: When it was given up.
        outcome: Why; `unknown` where it may have been applied, and must not be sent again unseen.
        contact: What was put; None where it cannot be read.
    """

    id: int
    key: str | None
    location_id: str
    put_at: float
    at: float
    outcome: Outcome
    contact: ContactUpsert | None


class Status(Struct, frozen=True, kw_only=True):
    """How an outbox is doing.

    Attributes:
        waiting: Contacts without an outcome, those in flight included.
        oldest: For how many seconds the first of them has waited; None where there is none.
        dead_letters: Contacts that were given up.
        undelivered: Outcomes that no consumer has had yet.
        is_draining: Whether some process sends what waits.
        paused: Why nothing is sent for now: reasons by location, those of all locations under an empty name.
    """

    waiting: int
    oldest: float | None
    dead_letters: int
    undelivered: int
    is_draining: bool
    paused: dict[str, str]


class NewEntry(Struct, frozen=True, gc=False):
    """What is to be put, checked and encoded.

    Attributes:
        location: Where it goes.
        email, phone: By which the service matches it, in their normal forms; empty where it has none.
        key: Names its event, or None.
        content: The contact.
    """

    location: str
    email: str
    phone: str
    key: str | None
    content: bytes


class Entry(Struct, frozen=True, gc=False):
    """A contact that waits.

    Attributes:
        place: Its place in the order.
        id: As in the receipt.
        location: Where it goes.
        key: As it was put.
        taken: In how many sessions it was sent without an outcome.
        lost_tries: Of those, the tries that may have been applied.
        contact: What was put, or why that cannot be read.
    """

    place: int
    id: int
    location: str
    key: str | None
    taken: int
    lost_tries: LostTries
    contact: ContactUpsert | JournalError


class Drained(Struct, frozen=True):
    """What the last process that drained has left.

    Attributes:
        active_at: When it last sent something, in seconds since 1970; 0 where nothing ever was.
        has_ended: Whether it ended in order.
        last_calls: Its last calls by second, where it did.
    """

    active_at: float
    has_ended: bool
    last_calls: tuple[tuple[int, int], ...]


def new_entry(contact: ContactUpsert, key: str | None) -> NewEntry:
    """Prepare what `Contacts.complete` returned for the file."""
    email, phone = contact.email, contact.phone
    return NewEntry(
        str(contact.location_id),
        normal_email(email) if email else "",
        normal_phone(phone) if phone else "",
        key,
        _encode(contact),
    )


class Transaction:
    """What the works of one transaction share.

    Attributes:
        db: The connection.
        box: The number of the outbox.
        now: Seconds since 1970.
        waiting, dead: How many entries wait and how many were given up, as the works leave them.
    """

    def __init__(self, db: sqlite3.Connection, box: int, now: float) -> None:
        self.db = db
        self.box = box
        self.now = now
        self._before = db.execute("SELECT waiting, dead FROM boxes WHERE number = ?", (box,)).fetchone()
        self.waiting, self.dead = self._before

    def end(self) -> None:
        """Write the counts."""
        if (self.waiting, self.dead) != self._before:
            counts = (self.waiting, self.dead, self.box)
            self.db.execute("UPDATE boxes SET waiting = ?, dead = ? WHERE number = ?", counts)


Work: TypeAlias = Callable[[Transaction], Any]
"""A part of a transaction. Where it raises an error of ours, it has changed nothing, and the others go on."""


class _Order(Struct, frozen=True, gc=False):
    works: Sequence[Work]
    done: Future[list[Any]]


class Store:
    """The file. Threads may share it.

    Args:
        path: The file, made with mode 0600 where it is not there.
        name: Of the outbox: a file may hold several.
        now: Returns seconds since 1970.
        is_made: Whether to make the file where it is not there.

    Raises:
        ConfigurationError: It is damaged, something else, of a newer version, or cannot be written; it was left as it
            is.
    """

    def __init__(self, path: Path, name: str, now: Callable[[], float], *, is_made: bool = True) -> None:
        if not is_made and not path.exists():
            raise ConfigurationError(f"{path}: there is no such outbox")
        self.path = path
        self.commits = 0
        self._now = now
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._reading = threading.Lock()
        self._is_closed = self._drains = False
        self._open(name)
        self._thread = threading.Thread(target=self._write_all, name="leadconnector-outbox", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------------ opening

    def _open(self, name: str) -> None:
        refuse_network_disk(self.path)  # before anything is made there
        with ExitStack() as opened:
            try:
                self._lock = FileLock(self._beside("lock"))
                opened.callback(self._lock.close)
                self._lock.acquire()  # one process makes the tables, and the others find them
                self._db, self._reader = self._connect(opened), self._connect(opened)
                self._prepare(name)
                self._drain_lock = FileLock(self._beside(f"drain{self.box}"))
                self._file = self.path.stat().st_ino
                self._lock.release()
            except DAMAGE_OR_WORSE as error:
                reason = why_not_opened(error, "outbox")
                raise ConfigurationError(f"{self.path}: {reason}") from (None if is_damage(error) else error)
            except OSError as error:
                raise not_opened(self.path, "outbox", error) from error
            opened.pop_all()

    def _beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{what}")

    def _connect(self, opened: ExitStack) -> sqlite3.Connection:
        db = connect(self.path, "outbox", patience=_PATIENCE)
        opened.callback(db.close)
        return db

    def _prepare(self, name: str) -> None:
        db, is_new = self._db, self._check_kind()  # before anything is changed
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS alone: else a flush may stay in the disk's own memory
        db.execute("PRAGMA secure_delete = ON")
        self._reader.execute("PRAGMA query_only = ON")
        if is_new:
            db.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; "
                f"PRAGMA user_version = {_VERSION}; COMMIT"
            )
        find = "SELECT number FROM boxes WHERE name = ?"
        if db.execute(find, (name,)).fetchone() is None:
            new = (name, 0, 0, 0.0, 0, _pack(()), b"{}")
            db.execute("INSERT INTO boxes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", new)
        (self.box,) = db.execute(find, (name,)).fetchone()

    def _check_kind(self) -> bool:
        """Return whether the file is new; refuse what is no outbox that this version can read."""
        (kind,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if kind == 0 and self._db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            return True
        if kind != _APPLICATION_ID:
            raise ConfigurationError(f"{self.path}: is not an outbox of leadconnector-async; name another file")
        if version != _VERSION:
            raise ConfigurationError(f"{self.path}: was made by a newer version of leadconnector-async; use that one")
        return False

    def close(self) -> None:
        """Write what was ordered, and let go of the file. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._orders.put(None)
        self._thread.join()
        self._lock.acquire()  # the last one to close the file writes the log into it
        with self._reading:
            self._reader.close()
        self._db.close()
        self._lock.close()
        self._drain_lock.close()

    # ------------------------------------------------------------------------------------------ writing

    def submit(self, works: Sequence[Work]) -> Future[list[Any]]:
        """Have works written, each in its turn, and return a future of their results: what a work returns, or the error
        of ours that it raises. It is done once all are on disk; a `JournalError` says that none of them is."""
        done: Future[list[Any]] = Future()
        done.set_running_or_notify_cancel()  # from here on nobody but the thread ends it
        if self._is_closed:
            done.set_exception(self._failed("written", sqlite3.ProgrammingError()))
        else:
            self._orders.put(_Order(works, done))
        return done

    def run(self, work: Work) -> Any:
        """Carry out a work, and return its result once it is on disk.

        Raises:
            JournalError: It could not be written.
        """
        (result,) = self.submit([work]).result()
        if isinstance(result, LeadConnectorError):
            raise result
        return result

    def _write_all(self) -> None:
        while orders := self._next_orders():
            try:
                results = self._commit(orders)
            except JournalError as error:
                _fail(orders, error)
            except DAMAGE_OR_WORSE as error:
                _fail(orders, self._failed("written", error))
            except OSError as error:
                _fail(orders, self._failed("written", error))
            except BaseException as error:
                _fail(orders, error)
                raise
            else:
                for order, result in zip(orders, results, strict=True):
                    order.done.set_result(result)

    def _next_orders(self) -> list[_Order]:
        """Return all orders that wait, at least one; none at the end."""
        orders, order, count = list[_Order](), self._orders.get(), 0
        with suppress(Empty):
            while order is not None:
                orders.append(order)
                count += len(order.works)
                if count >= _MOST_AT_ONCE:
                    return orders
                order = self._orders.get_nowait()
            if orders:
                self._orders.put(None)  # the end, for the next time
        return orders

    def _commit(self, orders: Sequence[_Order]) -> list[list[Any]]:
        db = self._db
        self._lock.acquire()
        try:
            self._check_there()
            db.execute("BEGIN IMMEDIATE")
            transaction = Transaction(db, self.box, self._now())
            results = [[_carry_out(work, transaction) for work in order.works] for order in orders]
            transaction.end()
            db.execute("COMMIT")
            self.commits += 1
        finally:
            with suppress(sqlite3.Error):  # the file may be gone, and the first error says more
                if db.in_transaction:
                    db.execute("ROLLBACK")
            self._lock.release()
        return results

    def _check_there(self) -> None:
        """SQLite would go on with a file that nobody can find any more."""
        try:
            is_there = self.path.stat().st_ino == self._file
        except OSError:
            is_there = False
        if not is_there:
            raise JournalError(f"{self.path}: the outbox is gone")

    def _failed(self, what: str, error: Exception) -> JournalError:
        return failed(str(self.path), "outbox", what, error)

    # ------------------------------------------------------------------------------------------ reading

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._reading:
            try:
                return self._reader.execute(query, values).fetchall()
            except DAMAGE_OR_WORSE as error:
                raise self._failed("read", error) from error

    def entries(self, after: int, most: int) -> list[Entry]:
        """Return the first entries behind a place, in order.

        Raises:
            JournalError: The file cannot be read.
        """
        found = self._read(
            "SELECT place, id, location, key, taken, lost, content FROM entries WHERE place > ? AND box = ? "
            "ORDER BY place LIMIT ?",
            after,
            self.box,
            most,
        )
        return [_read_entry(*record) for record in found]

    def last_place(self) -> int:
        """Return the place of the last entry that waits; 0 where there is none."""
        ((place,),) = self._read("SELECT coalesce(max(place), 0) FROM entries WHERE box = ?", self.box)
        return int(place)

    def has_entries_until(self, place: int) -> bool:
        """Whether an entry waits whose place is not behind this one."""
        return bool(self._read("SELECT 1 FROM entries WHERE box = ? AND place <= ? LIMIT 1", self.box, place))

    def outcomes(self, after: int, most: int) -> list[Settled]:
        """Return the first outcomes that no consumer has had, by number.

        Raises:
            JournalError: The file cannot be read.
        """
        found = self._read(
            "SELECT number, id, key, at, outcome FROM outcomes WHERE number > ? AND box = ? ORDER BY number LIMIT ?",
            after,
            self.box,
            most,
        )
        return [
            Settled(number=number, id=id_, key=key, at=at, outcome=_decode_outcome(outcome))
            for number, id_, key, at, outcome in found
        ]

    def dead_letters(self, after: int, most: int) -> list[DeadLetter]:
        """Return the first dead letters behind an id.

        Raises:
            JournalError: The file cannot be read.
        """
        found = self._read(
            "SELECT id, key, location, put_at, at, outcome, content FROM dead WHERE id > ? AND box = ? "
            "ORDER BY id LIMIT ?",
            after,
            self.box,
            most,
        )
        return [_read_dead(*record) for record in found]

    def status(self) -> Status:
        """Return how the outbox is doing, as far as the file shows it.

        Raises:
            JournalError: The file cannot be read.
        """
        ((waiting, dead, paused),) = self._read("SELECT waiting, dead, paused FROM boxes WHERE number = ?", self.box)
        oldest = self._read("SELECT put_at FROM entries WHERE box = ? ORDER BY place LIMIT 1", self.box)
        ((undelivered,),) = self._read("SELECT count(*) FROM outcomes WHERE box = ?", self.box)
        is_draining = self.is_draining()
        return Status(
            waiting=waiting,
            oldest=max(self._now() - oldest[0][0], 0.0) if oldest else None,
            dead_letters=dead,
            undelivered=undelivered,
            is_draining=is_draining,
            paused=_decode_paused(paused) if is_draining else {},
        )

    # ------------------------------------------------------------------------------------------ who drains

    def try_to_drain(self) -> bool:
        """Become the one that drains, unless another is; for as long as this is open, or until `stop_draining`."""
        self._drains = self._drains or self._drain_lock.try_acquire()
        return self._drains

    def stop_draining(self) -> None:
        """Let another one drain."""
        if self._drains:
            self._drains = False
            self._drain_lock.release()

    def is_draining(self) -> bool:
        """Whether some process drains."""
        if self._drains:
            return True
        lock = FileLock(self._beside(f"drain{self.box}"))
        try:
            return not lock.try_acquire()
        finally:
            lock.close()


def _fail(orders: Iterable[_Order], error: BaseException) -> None:
    for order in orders:
        order.done.set_exception(error)


def _carry_out(work: Work, transaction: Transaction) -> Any:
    try:
        return work(transaction)
    except LeadConnectorError as error:
        return error


def _read_entry(
    place: int, id_: int, location: str, key: str | None, taken: int, lost: bytes | None, content: bytes
) -> Entry:
    contact: ContactUpsert | JournalError
    try:
        contact = _read_contact(content)
    except JournalError as error:
        contact = error
    return Entry(place, id_ or place, location, key, taken, _unpack_spans(lost) if lost else (), contact)


def _read_contact(content: bytes) -> ContactUpsert:
    try:
        return _decode_contact(unseal(content))
    except (JournalError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalError(_UNREADABLE.format(type(error).__name__)) from None


def _read_dead(
    id_: int, key: str | None, location: str, put_at: float, at: float, outcome: bytes, content: bytes
) -> DeadLetter:
    contact = None
    with suppress(JournalError):  # then that is why it is here
        contact = _read_contact(content)
    return DeadLetter(
        id=id_,
        key=key,
        location_id=location,
        put_at=put_at,
        at=at,
        outcome=_decode_outcome(outcome),
        contact=contact,
    )


# ---------------------------------------------------------------------------------------------- works: putting


def put(entry: NewEntry, most: int, keep_keys: float, transaction: Transaction) -> Receipt:
    """Store an entry.

    Args:
        entry: Which.
        most: Entries that may wait.
        keep_keys: For how many seconds a key is known.
        transaction: The transaction.

    Raises:
        KeyConflictError: Its key was put with another contact.
        OutboxFullError: There is no room.
    """
    db = transaction.db
    name = content = b""
    if entry.key is not None:
        name, content = _digest(entry.key.encode()), _digest(entry.content)
        receipt = _find_key(name, content, entry.key, keep_keys, transaction)
        if receipt is not None:
            return receipt
    if transaction.waiting >= most:
        raise OutboxFullError(f"the outbox is full: {count_of(transaction.waiting, 'contact waits', 'contacts wait')}")
    # The id is the place, but for an entry that is sent again: 0 stands for that.
    cursor = db.execute(
        "INSERT INTO entries VALUES (NULL, ?, 0, ?, ?, ?, ?, ?, 0, NULL, ?)",
        (transaction.box, entry.location, entry.email, entry.phone, entry.key, transaction.now, seal(entry.content)),
    )
    id_ = cursor.lastrowid or 0
    if entry.key is not None:
        db.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)", (transaction.box, name, content, id_, transaction.now)
        )
    transaction.waiting += 1
    return Receipt(id_)


def _find_key(name: bytes, content: bytes, key: str, keep: float, transaction: Transaction) -> Receipt | None:
    query = "SELECT content, id, at FROM keys WHERE box = ? AND name = ?"
    found = transaction.db.execute(query, (transaction.box, name)).fetchone()
    if found is None or found[2] + keep < transaction.now:
        return None
    if found[0] != content:
        raise KeyConflictError(f"another contact was put under this key before (its id is {found[1]})")
    return Receipt(found[1], is_duplicate=True)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()  # the key itself may say who somebody is


def check(transaction: Transaction) -> None:
    """Write something of no meaning, to see whether that can be done."""
    transaction.db.execute("UPDATE boxes SET waiting = waiting WHERE number = ?", (transaction.box,))


# ---------------------------------------------------------------------------------------------- works: draining


class Finished(Struct, frozen=True, gc=False):
    """An entry whose row has an outcome.

    Attributes:
        place: Of the entry.
        outcome: What became of it.
        is_over: Whether it is not to be sent again; else it goes on waiting.
        lost_tries: Where it goes on waiting, tries that may have been applied.
    """

    place: int
    outcome: Outcome
    is_over: bool = True
    lost_tries: LostTries = ()


def begin_draining(transaction: Transaction) -> Drained:
    """Note that a process drains, and return what the last one has left."""
    query = "SELECT active_at, is_draining, last_calls FROM boxes WHERE number = ?"
    active_at, is_draining, calls = transaction.db.execute(query, (transaction.box,)).fetchone()
    transaction.db.execute("UPDATE boxes SET is_draining = 1, paused = '{}' WHERE number = ?", (transaction.box,))
    return Drained(active_at, not is_draining, _unpack_calls(calls))


def end_draining(last_calls: Sequence[tuple[int, int]], transaction: Transaction) -> None:
    """Note that a process has stopped draining in order, with its last calls by second."""
    change = "UPDATE boxes SET is_draining = 0, paused = '{}', last_calls = ? WHERE number = ?"
    transaction.db.execute(change, (_pack(last_calls), transaction.box))


def note_paused(reasons: dict[str, str], transaction: Transaction) -> None:
    """Note why nothing is sent, for those who ask in other processes."""
    transaction.db.execute("UPDATE boxes SET paused = ? WHERE number = ?", (_encode(reasons), transaction.box))


def take(entries: Sequence[tuple[int, LostTries, bool]], transaction: Transaction) -> bool:
    """Note that entries are about to be sent; return whether all of them still wait.

    Args:
        entries: Place, tries that may have been applied once the call has left, and whether it is the first of this
            session, of each.
        transaction: The transaction.
    """
    changes = [(is_first, _pack(lost), place) for place, lost, is_first in entries]
    change = "UPDATE entries SET taken = taken + ?, lost = ? WHERE place = ?"
    counts = [transaction.db.execute(change, one).rowcount for one in changes]
    _note_active(transaction)
    return all(counts)


def settle(finished: Sequence[Finished], transaction: Transaction) -> None:
    """Write outcomes. Entries that were forgotten meanwhile leave none."""
    for one in finished:
        if one.is_over:
            _finish(one, transaction)
        else:
            transaction.db.execute(
                "UPDATE entries SET taken = 0, lost = ? WHERE place = ?", (_pack(one.lost_tries), one.place)
            )
    _note_active(transaction)


def _note_active(transaction: Transaction) -> None:
    transaction.db.execute("UPDATE boxes SET active_at = ? WHERE number = ?", (transaction.now, transaction.box))


_KEPT: Final = "location, email, phone, key, put_at, content"


def _finish(one: Finished, transaction: Transaction) -> None:
    db, now = transaction.db, transaction.now
    query = f"SELECT {_KEPT} FROM entries WHERE place = ?"  # noqa: S608  (ours)
    kept = db.execute(query, (one.place,)).fetchone()
    if kept is None:
        return
    id_, status, outcome = one.outcome.index, one.outcome.status, _encode(one.outcome)
    db.execute("DELETE FROM entries WHERE place = ?", (one.place,))
    transaction.waiting -= 1
    new = (transaction.box, id_, kept[3], now, outcome)
    db.execute("INSERT INTO outcomes VALUES (NULL, ?, ?, ?, ?, ?)", new)
    if status in ("failed", "unknown"):
        dead = (id_, transaction.box, *kept, status, now, outcome)
        db.execute("INSERT INTO dead VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", dead)
        transaction.dead += 1


def deliver(numbers: Iterable[int], transaction: Transaction) -> None:
    """Remove outcomes that their consumer has had."""
    transaction.db.executemany("DELETE FROM outcomes WHERE number = ?", [(number,) for number in numbers])


def purge(keep_keys: float, keep_dead: float, transaction: Transaction) -> bool:
    """Remove some of what is too old: keys, outcomes that nobody asked for, dead letters; return whether more is left.

    Args:
        keep_keys: For how many seconds keys and outcomes are kept.
        keep_dead: For how many seconds dead letters are kept.
        transaction: The transaction.
    """
    db, box, now = transaction.db, transaction.box, transaction.now
    of_box = (box, now - keep_keys, _PURGED_AT_ONCE)
    keys = db.execute(
        "DELETE FROM keys WHERE (box, name) IN (SELECT box, name FROM keys WHERE box = ? AND at < ? LIMIT ?)", of_box
    ).rowcount
    outcomes = db.execute(
        "DELETE FROM outcomes WHERE number IN (SELECT number FROM outcomes WHERE box = ? AND at < ? "
        "ORDER BY number LIMIT ?)",
        of_box,
    ).rowcount
    dead = db.execute("DELETE FROM dead WHERE box = ? AND at < ?", (box, now - keep_dead)).rowcount
    transaction.dead -= dead
    return max(keys, outcomes) >= _PURGED_AT_ONCE


# ---------------------------------------------------------------------------------------------- works: dead letters


def retry(ids: Sequence[int] | None, with_unknown: bool, transaction: Transaction) -> int:
    """Let dead letters wait again, behind all that waits, and return how many.

    Args:
        ids: Which; None for all.
        with_unknown: Whether also those that may have been applied.
        transaction: The transaction.
    """
    count = 0
    for id_ in _dead_ids(ids, transaction):
        query = f"SELECT {_KEPT}, status FROM dead WHERE id = ?"  # noqa: S608  (ours)
        *kept, status = transaction.db.execute(query, (id_,)).fetchone()
        if status == "unknown" and not with_unknown:
            continue
        *of_entry, content = kept
        new = (transaction.box, id_, *of_entry, content)
        transaction.db.execute("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 0, NULL, ?)", new)
        transaction.db.execute("DELETE FROM dead WHERE id = ?", (id_,))
        count += 1
    transaction.waiting += count
    transaction.dead -= count
    return count


def drop(ids: Sequence[int] | None, transaction: Transaction) -> int:
    """Remove dead letters, and return how many."""
    found = _dead_ids(ids, transaction)
    transaction.db.executemany("DELETE FROM dead WHERE id = ?", [(id_,) for id_ in found])
    transaction.dead -= len(found)
    return len(found)


def _dead_ids(ids: Sequence[int] | None, transaction: Transaction) -> list[int]:
    found = transaction.db.execute("SELECT id FROM dead WHERE box = ? ORDER BY id", (transaction.box,))
    wanted = None if ids is None else set(ids)
    return [id_ for (id_,) in found if wanted is None or id_ in wanted]


def forget(email: str | None, phone: str | None, transaction: Transaction) -> int:
    """Remove what waits or was given up of the person who has this email or phone, in every location; return how many
    entries that were."""
    whom = (
        transaction.box,
        normal_email(email) if email else None,
        normal_phone(phone) if phone else None,
    )
    where = "box = ? AND (email = ? OR phone = ?)"
    waiting = transaction.db.execute(f"DELETE FROM entries WHERE {where}", whom).rowcount  # noqa: S608  (ours)
    dead = transaction.db.execute(f"DELETE FROM dead WHERE {where}", whom).rowcount  # noqa: S608  (ours)
    transaction.waiting -= waiting
    transaction.dead -= dead
    return waiting + dead
