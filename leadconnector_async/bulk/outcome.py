"""Outcomes on their way to disk: what makes a row `created` or `updated`, and rows that reached the same contact.

A row is `created` if an answer said `new: true`. One case is open: the answer to a try was lost, or the load was cut
off before it came, and a later try is answered `new: false`, as the contact is there by now. The lost try may have
created it, or it was there before. Such a row is `updated`, with `note_if_new` set where both of these hold
(`Load._settle_done`):

- what is known of the lost try and of the contact says that the one created the other (`contacts.authorship`);
- no row of the same person has been in doubt of late, which may have created the contact as well.

`Entry.resolve` then makes it `created` with `inferred` set, if no row of the load reached the contact before: that row
may have created it, too. Rows are resolved in the order in which their outcomes come, each before the next row of its
identity is sent. A load without a journal remembers only the contacts it reached last (`RecentContacts`), so that its
memory is bounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from zlib import crc32

import msgspec
from msgspec import Struct

from ..calls.call import CallCount
from ..models.identity import Identity, is_another_person
from .report import Outcome, RowError, Status, calls_of
from .traces import Span, Written

Signature: TypeAlias = tuple[Any, Any]
"""A row's email and phone, or checksums of them; empty or None where it has none."""
LastRow: TypeAlias = tuple[int, Signature]
"""The row that reached a contact last, and its signature."""

LostTries: TypeAlias = tuple[Span | None, ...]
"""When each of some tries was under way, by the server's clock; None where that is not known."""


class TriesBefore(Struct, frozen=True):
    """Tries of a row that one session made, before the last one or its last call.

    Attributes:
        calls: How many calls they were of, those left out that were answered nothing but 429.
        attempts: How many, not counting those that were rate-limited (HTTP 429).
        rate_limited: How many were rate-limited (HTTP 429).
    """

    calls: int = 0
    attempts: int = 0
    rate_limited: int = 0


NO_TRIES: Final = TriesBefore()

_MOST_CONTACTS: Final = 10_000  # of each of two generations


class RecentContacts:
    """The contacts that a load reached last: between 10,000 and 20,000 of them."""

    def __init__(self) -> None:
        self._recent: dict[str, LastRow] = {}
        self._earlier: dict[str, LastRow] = {}

    def get(self, contact_id: str) -> LastRow | None:
        """Return the last row that reached a contact, or None."""
        return self._recent.get(contact_id) or self._earlier.get(contact_id)

    def keep(self, contact_id: str, last: LastRow) -> None:
        """Note that a row reached a contact."""
        if len(self._recent) >= _MOST_CONTACTS:
            self._earlier, self._recent = self._recent, {}
        self._recent[contact_id] = last


# ---------------------------------------------------------------------------------------------- to the journal

# The states of a row, as they stand in journals: never change a number.
CREATED: Final = 1  # and nothing more to say, so that such rows can be counted without reading them
UPDATED: Final = 2
DONE: Final = 3  # with more to say
FAILED: Final = 4
UNKNOWN: Final = 5
AGAIN: Final = 6  # unknown, and safe to send again
PLAIN: Final[Mapping[int, Status]] = {CREATED: "created", UPDATED: "updated"}

_CUT_OFF: Final = RowError("LoadStoppedError", None, "the load was cut off while this row was in flight")
_TOO_LATE_NOTE: Final = "it was applied after row {} of the same contact, which comes later (rows count from 0)"


class Entry(Struct, gc=False):
    """An outcome on its way to disk.

    Attributes:
        outcome: What became of the row.
        row_hash: Of the row's content; empty where a row is known by its position alone.
        identity: Whom the row is about.
        is_repeatable: Whether the row may be sent again where its outcome is not known.
        note_if_new: The note of the row if a try whose answer was lost created the contact; None where none can have.
        note_if_first: The note of the row if it may have created the contact although nothing shows that it did; a row
            that reached the contact before disproves it.
        is_compared: Whether to look for rows of other persons that reached the same contact.
        written: What it wrote to its contact, in order; nothing where nobody will ask.
        at: When the outcome became known, in seconds since 1970 by this machine.
        lost_tries: Tries of the row that may have been applied although no answer said so.
        is_standing: Whether the outcome is that of an earlier session, as the row was not sent once more; what this
            session tried is counted with it.
    """

    outcome: Outcome
    row_hash: bytes
    identity: Identity
    is_repeatable: bool
    note_if_new: str | None = None
    note_if_first: str | None = None
    is_compared: bool = True
    written: tuple[Written, ...] = ()
    at: float = 0.0
    lost_tries: LostTries = ()
    is_standing: bool = False

    @property
    def signature(self) -> Signature:
        """What to keep of the identity."""
        email, phone = self.identity
        return crc32(email.encode()) if email else None, crc32(phone.encode()) if phone else None

    def meet(self, find: Callable[[str], LastRow | None]) -> tuple[Outcome, LastRow | None]:
        """Complete the outcome by the row that reached its contact before.

        Args:
            find: Returns the row that reached a contact last, by the contact's id.

        Returns:
            The outcome, and what to keep of its contact: None where the row wrote to none.
        """
        contact_id = self.outcome.contact_id
        if contact_id is None or self.outcome.status == "skipped":
            return self.outcome, None
        # The id of a contact that was created is as new as the contact: no row can have reached it.
        return self.resolve(None if self.outcome.new else find(contact_id), self.signature)

    def resolve(self, last: LastRow | None, signature: Signature) -> tuple[Outcome, LastRow]:
        """Complete the outcome by what is known of the contact, and return it with what to keep for the next row.

        Args:
            last: The row that reached the contact before; None if this is the first of the load.
            signature: What to keep of this row's identity.
        """
        email, phone = signature
        if last is None:
            return self._resolve_first(), (self.outcome.index, signature)
        row, before = last
        is_other = self.is_compared and row != self.outcome.index and is_another_person(before, signature)
        if not email and not is_other:  # the contact keeps its email, and so its person
            return self.outcome, (row, (before[0], phone or before[1]))
        outcome = self.outcome
        if is_other:
            outcome = msgspec.structs.replace(outcome, collision_with=row)
        elif row > outcome.index and outcome.note is None:  # as where it failed, and is sent once more
            outcome = msgspec.structs.replace(outcome, note=_TOO_LATE_NOTE.format(row))
        return outcome, (self.outcome.index, (email, phone or before[1]))

    def _resolve_first(self) -> Outcome:
        """Return the outcome where no row of the load reached the contact before."""
        if self.note_if_new is not None:
            return msgspec.structs.replace(
                self.outcome, status="created", new=True, inferred=True, note=self.note_if_new
            )
        if self.note_if_first is not None:
            return msgspec.structs.replace(self.outcome, note=self.note_if_first)
        return self.outcome

    def state_of(self, outcome: Outcome) -> int:
        """Return the state in which an outcome leaves the row."""
        status = outcome.status
        if status == "failed":
            return FAILED
        if status == "unknown":
            return AGAIN if self.is_repeatable else UNKNOWN
        is_plain = outcome.attempts == 1 and not (
            outcome.rate_limited
            or outcome.not_applied
            or outcome.collision_with is not None
            or outcome.error
            or outcome.inferred
            or outcome.merged_into is not None
            or outcome.problems
        )
        if not is_plain or status == "skipped":
            return DONE
        return CREATED if status == "created" else UPDATED


LostTriesOfRow: TypeAlias = tuple[int, bytes, LostTries]
"""A row's position and hash, and its tries that may have been applied; none where nothing is in doubt any more."""


def lost_tries_of(entries: Iterable[Entry]) -> list[LostTriesOfRow]:
    """Return what is known in the end of the tries of rows, in place of what their intents say; a row that was not sent
    after all has an intent, too."""
    return [(e.outcome.index, e.row_hash, e.lost_tries) for e in entries]


def states_sent_again(*, retry_failed: bool) -> frozenset[int]:
    """Return the states of rows that a further session sends again."""
    return frozenset((AGAIN, FAILED)) if retry_failed else frozenset((AGAIN,))


def outcome_cut_off(row: int, at: str, before: TriesBefore) -> Outcome:
    """Return the outcome of a row whose call must not be repeated, and was under way when a session was cut off.

    Args:
        row: Its position.
        at: When its intent was written, in ISO 8601.
        before: Its tries before the intent was written.
    """
    note = f"it may have been applied at {at}; look the contact up before sending it again"
    return Outcome(
        index=row,
        status="unknown",
        error=_CUT_OFF,
        attempts=before.attempts + 1,
        rate_limited=before.rate_limited,
        calls=max(before.calls, 1),
        note=note,
    )


def calls_cut_off(before: TriesBefore) -> CallCount:
    """Return what the calls of a row took that is safe to send again, and was under way when a session was cut off.

    The last try is counted: its bytes leave right after its intent is written. But the process may have died between
    the two, or have waited for a pause of its location, so that it is in doubt.
    """
    calls = calls_of(outcome_cut_off(0, "", before))
    return msgspec.structs.replace(calls, in_doubt=1)


def standing(before: Outcome, now: Outcome) -> Outcome:
    """Return the outcome of an earlier session, with what this one tried without effect."""
    if not now.has_calls:
        return before
    return msgspec.structs.replace(
        before,
        attempts=before.attempts + now.attempts,
        rate_limited=before.rate_limited + now.rate_limited,
        calls=before.calls + (now.calls if now.attempts else 0),
    )


def with_unwritten(written: Iterator[Outcome], unwritten: Mapping[int, Entry]) -> Iterator[Outcome]:
    """Yield outcomes in the order of their rows, those that could not be written in the place of older ones.

    Args:
        written: In the order of their rows.
        unwritten: By row.
    """
    others = (outcome for outcome in written if outcome.index not in unwritten)
    kept = (unwritten[row].outcome for row in sorted(unwritten))
    sent = (outcome for outcome in kept if outcome.status != "not_attempted")
    return heapq.merge(others, sent, key=lambda outcome: outcome.index)
