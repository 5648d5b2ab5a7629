"""The log of a location, kept where every worker can read it, so that another worker can go on where one stopped.

Each group of outcomes is an object of its own. It is in the store before the group counts, and never changes. Whoever
takes a location over reads all of them once, in order, and does with each what its writer did: so it knows what was
done, what may have been sent, and what must not be sent again.

What is kept of a row in memory is 10 bytes, and up to 67 of the contact that it reached: at most 80 MB for a location
of a million rows, 200 KB for one of two thousand. The outcomes themselves are put aside on the machine's disk
(`Spool`).

A load on a cluster cannot be verified or undone for now: nothing here keeps what the load left in each contact.

Each holder of a location has an epoch, higher than any before. Its first object says how many objects of each earlier
holder it found; only these count. A write of an earlier holder that is later than that counts for nobody, and its
writer does not count it either: its lease had ended before the new holder began to read, and `append` checks the lease
after the write.
"""

from __future__ import annotations

import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from types import TracebackType
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from ..bulk.outcome import (
    NO_TRIES,
    PLAIN,
    UNKNOWN,
    Entry,
    LastRow,
    LostTries,
    LostTriesOfRow,
    TriesBefore,
    calls_cut_off,
    lost_tries_of,
    outcome_cut_off,
    states_sent_again,
    with_unwritten,
)
from ..bulk.report import BatchReport, Outcome, calls_of
from ..bulk.run_log import NO_PACE, RECENT_SECONDS, Earlier, Intent, LastCalls, Pace, read_outcome
from ..calls.call import NO_CALLS_COUNTED, CallCount
from ..errors import ConfigurationError, JournalError
from .lease import Lease
from .spool import Spool
from .store import Store, seal, unseal

# ---------------------------------------------------------------------------------------------- objects in the store

_NAME: Final = re.compile(r"(\d{12})-(\d{8})")


class Began(Struct, frozen=True, tag=True):
    """A session began; `found` says how many objects of each earlier epoch count."""

    whole: dict[str, str]
    concurrency: int
    now: float
    found: dict[str, int]


class Wrote(Struct, frozen=True, tag=True):
    """A group of outcomes: rows with state, hash and outcome, and contacts with row and checksums; and what is known in
    the end of tries to send rows."""

    rows: list[tuple[int, int, bytes, bytes]]
    contacts: list[tuple[str, int, int | None, int | None]]
    done_intents: list[int] = msgspec.field(name="settled")  # rows; the name is as it stands in stores
    server_times: tuple[float, float] | None
    is_delivered: bool = False  # whether the consumer has done with all groups before; older stores do not say
    lost_tries: list[LostTriesOfRow] = []
    unsent: list[CallCount] = []  # what was tried of rows that were not sent after all
    calls: list[tuple[int, int]] = []  # by the second in which they had ended, of the writer's clock
    standing: list[int] = []  # rows whose outcome is that of an earlier session, with what was tried since


class Intended(Struct, frozen=True, tag=True):
    """Rows that are about to be sent: those that must not be sent twice, and the tries of those that may be."""

    rows: list[tuple[int, bytes]]
    now: float
    lost_tries: list[LostTriesOfRow] = []
    before: list[tuple[int, TriesBefore]] = []  # rows, and the tries of this session before


class Ended(Struct, frozen=True, tag=True):
    """The session ended in order; `is_delivered` says whether the consumer has done with all outcomes."""

    is_delivered: bool = True


_Record: TypeAlias = Began | Wrote | Intended | Ended
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Record).decode


class Records:
    """The objects of one location's log.

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
            raise JournalError(f"{self.place}: another worker has taken this location over")
        counts = {epoch: next(n for n in range(len(there) + 1) if n not in there) for epoch, there in numbers.items()}
        return {epoch: count for epoch, count in counts.items() if count and self._load(epoch, 0) is not None}

    def _load(self, epoch: int, number: int) -> _Record | None:
        sealed = self._store.read(self._path(epoch, number))
        data = None if sealed is None else unseal(sealed)
        return None if data is None else _decode(data)

    def _path(self, epoch: int, number: int) -> str:
        return f"{self._folder}/{epoch:012}-{number:08}"

    @property
    def place(self) -> str:
        """Where they are, for messages."""
        return self._store.path(self._folder)

    def append(self, record: _Record) -> None:
        """Write the next object; it counts when this returns.

        Raises:
            JournalError: It could not be written, or the lease ended meanwhile.
        """
        self._lease.check()
        self._store.write(self._path(self._epoch, self._next), seal(_encode(record)))
        self._next += 1
        self._lease.check()  # else it may have come too late to be found by the next holder


# ---------------------------------------------------------------------------------------------- contacts

_FIRST_SLOTS: Final = 64
_DIGEST_BYTES: Final = 8


class Contacts:
    """The row that reached each contact last.

    A hash table with linear probing in four arrays: 20 bytes a slot, of which half to three quarters are taken. As a
    `dict` it would take ten times as much. A contact is known by 64 bits of a hash of its id: that two of a million
    contacts share them has a chance of 1 in 37 million.
    """

    def __init__(self) -> None:
        self._count = 0
        self._allot(_FIRST_SLOTS)

    def _allot(self, slots: int) -> None:
        self._keys = array("Q", bytes(8 * slots))  # 0 where a slot is free
        self._rows = array("I", bytes(4 * slots))
        self._emails = array("I", bytes(4 * slots))
        self._phones = array("I", bytes(4 * slots))

    def get(self, contact_id: str) -> LastRow | None:
        """Return the row that reached a contact last, with its signature; None where there is none."""
        key = _key_of(contact_id)
        slot = self._slot_of(key)
        if self._keys[slot] != key:
            return None
        return self._rows[slot], (self._emails[slot] or None, self._phones[slot] or None)

    def keep(self, contact_id: str, last: LastRow) -> None:
        """Note that a row reached a contact."""
        if self._count * 4 >= len(self._keys) * 3:
            self._grow()
        row, (email, phone) = last
        self._put(_key_of(contact_id), row, email or 0, phone or 0)

    def _put(self, key: int, row: int, email: int, phone: int) -> None:
        slot = self._slot_of(key)
        self._count += self._keys[slot] != key
        self._keys[slot], self._rows[slot], self._emails[slot], self._phones[slot] = key, row, email, phone

    def _slot_of(self, key: int) -> int:
        """Return the slot that a key has, or would get."""
        keys = self._keys
        slot = key % len(keys)
        while keys[slot] and keys[slot] != key:
            slot = (slot + 1) % len(keys)
        return slot

    def _grow(self) -> None:
        before = zip(self._keys, self._rows, self._emails, self._phones, strict=True)
        self._count = 0
        self._allot(len(self._keys) * 3 // 2)
        for key, row, email, phone in before:
            if key:
                self._put(key, row, email, phone)


def _key_of(contact_id: str) -> int:
    digest = blake2b(contact_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest) or 1


# ---------------------------------------------------------------------------------------------- the log


class _Session(Struct):
    """One worker's work on the location."""

    began_at: float
    has_ended: bool = False


def _sum_up(sessions: Sequence[_Session], now: float) -> Earlier:
    return Earlier(len(sessions), min((session.began_at for session in sessions), default=now))


DIFFERENCES: Final = {
    "files": "other files, or they have changed since",
    "location": "another location",
    "target": "another service",
    "api_version": "another API version",
}
"""What must be the same when a load goes on, and how to say that it is not."""

_log: Final = logging.getLogger(__name__)
_encode_outcome: Final = msgspec.json.Encoder().encode
_encode_kept: Final = msgspec.msgpack.Encoder().encode
_decode_kept: Final = msgspec.msgpack.Decoder(tuple[bytes, bytes]).decode


class StoreLog:
    """The log of one location: a `RunLog` over objects in a store.

    Its state changes only by records, those that others wrote and its own: each of its own is in the store first. So
    the next worker that reads them knows what this one knew.

    Args:
        records: Its objects.
        whole: What must be the same when the load goes on, besides what `begin` is given: `files`. Where it has
            `files`, a row is known by its position, else by position and content.
        location_id: Of which location all rows are; None where they may be of any.

    Attributes:
        keeps_traces: Always false: a load on a cluster cannot be undone.

    Raises:
        JournalError: The objects cannot be read.
    """

    def __init__(
        self, records: Records, *, whole: Mapping[str, str] | None = None, location_id: str | None = None
    ) -> None:
        self.keeps_traces = False
        self._records = records
        self._location_id = location_id
        self._calls: dict[int, int] = {}  # of the last minutes, by second
        self._whole = dict(whole or {})
        self._earlier_whole: dict[str, str] = {}
        # The load asks in one thread and writes in another, one write after the other. It needs no lock: what it asks
        # meanwhile is of before the session (`_states_before`), or the place of one row.
        self._sessions: list[_Session] = []
        self._states = bytearray()  # a byte a row: its state; 0 where it has no outcome
        self._places = array("Q")  # of its outcome in the spool
        self._spool = Spool()
        self._contacts = Contacts()
        self._intents: dict[int, tuple[bytes, float, TriesBefore]] = {}
        self._begun: dict[int, TriesBefore] = {}  # other rows under way, and their tries before the last
        self._other_calls = NO_CALLS_COUNTED  # that no outcome shows
        self._undelivered = array("Q")  # rows; one that was written twice is in it twice
        self._states_before = b""  # as this session began
        self._sent_again: frozenset[int] = frozenset()
        self._lost_tries: dict[int, tuple[bytes, LostTries]] = {}
        self._lost_before: dict[int, tuple[bytes, LostTries]] = {}  # as this session began
        self._is_in_use = False
        self._unwritten: dict[int, Entry] = {}
        self._read()

    def _read(self) -> None:
        try:
            for record in self._records.read():
                self._apply(record)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> StoreLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is put aside. May be called twice."""
        self._spool.close()

    # ------------------------------------------------------------------------------------------ records

    def _append(self, record: _Record) -> None:
        """Have a record in the store, and only then in memory.

        Raises:
            JournalError: It could not be written.
        """
        self._records.append(record)
        self._apply(record)

    def _apply(self, record: _Record) -> None:
        match record:
            case Began():
                self._apply_beginning(record)
            case Wrote():
                self._apply_group(record)
            case Intended(rows=rows, now=now, lost_tries=lost, before=before):
                tries = dict(before)  # none in older stores
                self._intents.update((row, (row_hash, now, tries.get(row, NO_TRIES))) for row, row_hash in rows)
                self._keep_lost_tries(lost)
                self._begun.update((row, tries.get(row, NO_TRIES)) for row, _, _ in lost)
            case Ended(is_delivered=is_delivered):
                self._sessions[-1].has_ended = True
                self._note_delivery(is_delivered=is_delivered)

    def _apply_beginning(self, began: Began) -> None:
        self._earlier_whole = began.whole
        self._sessions.append(_Session(began.now))
        for row, (row_hash, at, before) in self._intents.items():  # begun, not safe to repeat, no outcome: nobody knows
            when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
            outcome = outcome_cut_off(row, when, before)
            self._put(row, UNKNOWN, row_hash, _encode_outcome(outcome))
            self._count_calls(CallCount(in_doubt=1))
        self._intents.clear()
        for tries in self._begun.values():
            self._count_calls(calls_cut_off(tries))
        self._begun.clear()

    def _apply_group(self, group: Wrote) -> None:
        self._note_delivery(is_delivered=group.is_delivered)
        self._note_calls(group.calls)
        for row in group.rows:
            self._put(*row, is_standing=row[0] in group.standing)
        for calls in group.unsent:
            self._count_calls(calls)
        for contact_id, last, email, phone in group.contacts:
            self._contacts.keep(contact_id, (last, (email, phone)))
        for index in group.done_intents:  # of older stores; in others they are among the lost tries
            self._intents.pop(index, None)
        self._keep_lost_tries(group.lost_tries)
        for index, _, _ in group.lost_tries:
            self._intents.pop(index, None)
            self._begun.pop(index, None)

    def _keep_lost_tries(self, rows: Iterable[LostTriesOfRow]) -> None:
        for row, row_hash, spans in rows:
            if spans:
                self._lost_tries[row] = row_hash, spans
            else:
                self._lost_tries.pop(row, None)

    def _note_delivery(self, *, is_delivered: bool) -> None:
        if is_delivered:
            del self._undelivered[:]

    def _note_calls(self, by_second: Iterable[tuple[int, int]]) -> None:
        for second, calls in by_second:
            self._calls[second] = self._calls.get(second, 0) + calls
        since = max(self._calls, default=0) - RECENT_SECONDS
        self._calls = {second: calls for second, calls in self._calls.items() if second > since}

    def _count_calls(self, calls: CallCount) -> None:
        """Count calls that no outcome shows any more."""
        self._other_calls = self._other_calls.plus(calls)

    def _put(self, row: int, state: int, row_hash: bytes, outcome: bytes, *, is_standing: bool = False) -> None:
        if row < len(self._states) and self._states[row] and not is_standing:
            self._count_calls(calls_of(read_outcome(self._kept(row)[1])))
        place = self._spool.add(_encode_kept((row_hash, outcome)))
        if row >= len(self._states):
            self._places.frombytes(bytes((row + 1 - len(self._states)) * self._places.itemsize))
            self._states.extend(bytes(row + 1 - len(self._states)))
        self._states[row], self._places[row] = state, place
        self._undelivered.append(row)

    # ------------------------------------------------------------------------------------------ beginning

    @property
    def is_by_position(self) -> bool:
        """Whether a row's position alone tells which row it is."""
        return "files" in self._whole

    @property
    def is_begun(self) -> bool:
        """Whether a load was begun with it, on this worker or another."""
        return bool(self._sessions)

    def begin(self, *, whole: Mapping[str, str], concurrency: int, now: float, retry_failed: bool = False) -> Earlier:
        """Begin a session, as `RunLog`."""
        if self._is_in_use:
            raise ConfigurationError(f"{self._records.place}: another load is using this log; wait until it ends")
        whole = {**whole, **self._whole}
        self._check(whole)
        last_calls = self.last_calls()
        self._append(Began(whole, concurrency, now, self._records.found))
        self._states_before = bytes(self._states)
        self._sent_again = states_sent_again(retry_failed=retry_failed)
        *earlier, _ = self._sessions
        self._lost_before = dict(self._lost_tries)
        self._is_in_use = True
        if earlier:
            _log.info("%s: going on, session %d", self._records.place, len(self._sessions))
        return msgspec.structs.replace(_sum_up(earlier, now), last_calls=last_calls)

    def last_calls(self) -> LastCalls:
        """Return the calls that the last sessions made, those of the last minutes.

        They are by the clocks of the machines that made them: who goes on from another one waits out a window.
        """
        is_whole = not self._sessions or self._sessions[-1].has_ended
        return LastCalls(tuple(sorted(self._calls.items())), is_whole=is_whole, location_id=self._location_id)

    def _check(self, whole: Mapping[str, str]) -> None:
        """Refuse the log of another load; what an older store does not name of its load is not compared."""
        for name, sentence in DIFFERENCES.items():
            if self._earlier_whole.get(name, whole.get(name)) != whole.get(name):
                raise ConfigurationError(
                    f"{self._records.place}: belongs to a run with {sentence}; name another folder, or give what that "
                    "run was made for"
                )

    # ------------------------------------------------------------------------------------------ what is there

    def _state_before(self, row: int) -> int:
        return self._states_before[row] if row < len(self._states_before) else 0

    def is_finished(self, row: int) -> bool:
        """Whether an earlier session settled a row for good."""
        state = self._state_before(row)
        return bool(state) and state not in self._sent_again

    def pending(self, row: int, row_hash: bytes) -> Outcome | None:
        """Return the outcome that a row has so far, where it has one and is to be sent again all the same."""
        if self._state_before(row) not in self._sent_again:
            return None
        before, outcome = self._kept(row)
        return read_outcome(outcome) if before == row_hash else None

    def lost_tries(self, row: int, row_hash: bytes) -> LostTries:
        """Return the tries of earlier sessions that may have been applied to a row that is to be sent again."""
        before, spans = self._lost_before.get(row, (row_hash, ()))
        return spans if before == row_hash else ()

    def hashes(self, first: int, count: int) -> dict[int, tuple[bytes, bytes]]:
        """Return hash and encoded outcome of rows from `first` on, where there is one; see `read_outcome`."""
        rows = range(first, min(first + count, len(self._states)))
        return {row: self._kept(row) for row in rows if self._states[row]}

    def _kept(self, row: int) -> tuple[bytes, bytes]:
        """Return hash and encoded outcome of a row that has one."""
        return _decode_kept(self._spool.get(self._places[row]))

    def fold_into(self, report: BatchReport) -> None:
        """Count the outcomes of earlier sessions that are final, and all calls that these sessions made."""
        plain = () if report.keeps_outcomes else tuple(PLAIN)
        for state in plain:
            report.add_plain(PLAIN[state], self._states_before.count(state))
        for outcome in self.outcomes(but=plain):
            if self.is_finished(outcome.index):
                report.add(outcome)
            else:
                report.add_count(calls_of(outcome))
        report.add_count(self._other_calls)

    def fold_all_into(self, report: BatchReport) -> None:
        """Count the outcomes of all sessions, in constant memory."""
        plain = () if self._unwritten else tuple(PLAIN)
        for state in plain:
            report.add_plain(PLAIN[state], self._states.count(state))
        for outcome in self.outcomes(but=plain):
            report.add(outcome)
        report.add_count(self._other_calls)

    def outcomes(self, *, but: Sequence[int] = ()) -> Iterator[Outcome]:
        """Yield all outcomes in the order of the rows, also those that could not be written, but of some states."""
        left_out = (0, *but)
        rows = (row for row, state in enumerate(self._states) if state not in left_out)
        return with_unwritten((read_outcome(self._kept(row)[1]) for row in rows), self._unwritten)

    def undelivered(self) -> list[Outcome]:
        """Return the outcomes that an earlier session wrote and may not have handed to its consumer."""
        rows = sorted(filter(self.is_finished, set(self._undelivered)))
        return [read_outcome(self._kept(row)[1]) for row in rows]

    # ------------------------------------------------------------------------------------------ writing

    def intend(self, intents: Iterable[Intent], now: float) -> None:
        """Write intents, as `RunLog`; they are in the store when this returns."""
        intents = list(intents)
        unsafe = [(one.row, one.row_hash) for one in intents if not one.is_repeatable]
        lost = [(one.row, one.row_hash, one.lost_tries) for one in intents if one.is_repeatable]
        self._append(Intended(unsafe, now, lost, [(one.row, one.before) for one in intents]))

    def write(
        self,
        entries: Sequence[Entry],
        *,
        is_delivered: bool = True,
        server_times: tuple[float, float] | None = None,
        pace: Pace = NO_PACE,
    ) -> list[Outcome]:
        """Write a group of outcomes, as `RunLog`; it is in the store when this returns."""
        contacts: dict[str, LastRow] = {}
        outcomes = [self._meet(entry, contacts) for entry in entries]
        self._append(
            Wrote(
                [
                    (outcome.index, entry.state_of(outcome), entry.row_hash, _encode_outcome(outcome))
                    for entry, outcome in zip(entries, outcomes, strict=True)
                    if outcome.status != "not_attempted"
                ],
                [(contact_id, row, *signature) for contact_id, (row, signature) in contacts.items()],
                [],
                server_times,
                is_delivered,
                lost_tries_of(entries),
                [
                    calls
                    for outcome in outcomes
                    if outcome.status == "not_attempted" and (calls := calls_of(outcome)).requests
                ],
                _calls_by_second(entries),
                [entry.outcome.index for entry in entries if entry.is_standing],
            )
        )
        return outcomes

    def _meet(self, entry: Entry, contacts: dict[str, LastRow]) -> Outcome:
        """Look up whose contact this is, among those of its group first, and note it there."""
        outcome, last = entry.meet(lambda contact_id: contacts.get(contact_id) or self._contacts.get(contact_id))
        if last is not None and outcome.contact_id is not None:
            contacts[outcome.contact_id] = last
        return outcome

    def count_calls(self, calls: CallCount) -> None:
        """Count calls that no outcome shows, as `RunLog`."""
        if calls != NO_CALLS_COUNTED:
            self._append(Wrote([], [], [], None, False, [], [calls], [], []))

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keep outcomes in memory that could not be written, for `outcomes` and `end`."""
        self._unwritten.update((entry.outcome.index, entry) for entry in entries)

    def end(self, *, is_delivered: bool) -> None:
        """End the session, as `RunLog`."""
        self._is_in_use = False
        if self._unwritten:
            self.write([self._unwritten[row] for row in sorted(self._unwritten)], is_delivered=False)
            self._unwritten.clear()
        self._append(Ended(is_delivered))


def _calls_by_second(entries: Iterable[Entry]) -> list[tuple[int, int]]:
    counts = Counter[int]()
    for entry in entries:
        if entry.outcome.has_calls:
            counts[int(entry.at)] += calls_of(entry.outcome).requests
    return sorted(counts.items())
