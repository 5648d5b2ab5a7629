"""What became of a row: its outcome, from what its call returned or raised, and from what is known of its tries."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec
from msgspec import UNSET

from ..calls.call import Call, Doubt, Tries
from ..calls.server_clock import ServerClock
from ..clock import Clock
from ..contacts.authorship import NO_EARLIER_TRIES, EarlierTries
from ..contacts.contacts import is_found_by_nothing
from ..errors import (
    APIError,
    AuthenticationError,
    CallError,
    InvalidContactError,
    LocationRefusedError,
    PermissionDeniedError,
)
from ..models import ContactUpsert, UpsertResult
from ..models.compare import find_dropped, find_not_applied, with_refused
from ..models.contacts import NotApplied
from ..models.identity import Identity
from ..models.wire import send_along
from ..protocol import Request, T
from ..protocol.contacts import NO_CHANNELS
from ..rules.problems import Problem
from .backlog import Item
from .closing import Closed
from .outcome import NO_TRIES, Entry, LostTries, TriesBefore
from .report import CLOSED_ONLY, Outcome, RowError, row_error
from .source import Closing, Skipped

_RECENT_SECONDS: Final = 10.0  # well above the tolerance with which `dateAdded` is read
_REFUSED_TOKEN: Final = (AuthenticationError, PermissionDeniedError)
_NO_SUCH_LOCATION: Final = re.compile(r"\blocation.{0,40}\bnot (found|accessible|active)", re.I)
_OF_LOCATION: Final = re.compile(r"\blocation", re.I)
_OF_RECORD: Final = re.compile(r"\b(contact|note|task|custom ?field)s?\b.{0,40}not found|not found for id", re.I)
_UNSAFE_NOTE: Final = "it may have been applied; look the contact up before sending it again"
_SAFE_NOTE: Final = "a try may have been applied; it is safe to send again"
_CLOSED_BEFORE_NOTE: Final = "what it closes was closed already, so nothing was sent"
_NOBODY_NOTE: Final = "no contact has its email or phone, so there is nothing to close"
_NOT_CLOSED_NOTE: Final = "its opt-out was not sent, or not wholly"


class GaveWayError(Exception):
    """A row of several calls stops between two of them: its location is paused, or the load ends. Stays in the load."""


class IntendRow(Protocol):
    """Notes that a call of a row is about to be made."""

    def __call__(self, item: Upsert, /, *, stores: bool) -> Awaitable[None]:
        """Return once it is noted; `stores` says whether it is the call that stores the row."""


class Upsert(Item):
    """A row that was checked: the contact, and the call that is to store it.

    `is_doubted` is kept over all its tries: whether a row of the same person may have been applied of late although no
    answer said so. A row may take several calls: `call` is the one that was begun last, and `done` counts those before
    it. Of a row with a `closing`, `closed` says what was closed so far. `earlier` is what earlier sessions may have
    done to it, and `is_looked_up` whether its contact was looked up because of that. `held` are the channels of the
    contact that its upsert sends along, once they are known. `problems` is what its checks have found. `intended` is
    what the log says of the tries to store it, once there was one.

    `merged` are later rows of the same person that one call sends together with it: `contact` and `request` are then
    those of all, and `replaced` says of which fields not every row has the value that is sent. `applied` is what became
    of the row in such a call, which counts unless the row is sent by itself after all, and
    `missing` what the service did not take of the call.
    """

    __slots__ = (
        "_body",
        "_intend",
        "_on_retry",
        "_own",
        "applied",
        "call",
        "closed",
        "closing",
        "contact",
        "done",
        "earlier",
        "held",
        "identity",
        "intended",
        "is_doubted",
        "is_looked_up",
        "lost",
        "merged",
        "missing",
        "problems",
        "replaced",
        "request",
        "row_hash",
    )

    def __init__(
        self,
        index: int,
        identity: Identity,
        contact: ContactUpsert,
        request: Request[Any],
        row_hash: bytes,
        *,
        on_retry: Callable[[str], None] | None = None,
        intend: IntendRow | None = None,
        closing: Closing | None = None,
        earlier: EarlierTries = NO_EARLIER_TRIES,
        problems: Sequence[Problem] = (),
    ) -> None:
        email, phone = identity
        keys = identity if email and phone else (email or phone,) if email or phone else ()
        if contact.id is not UNSET:  # rows about it apply in their order, whatever else they say
            keys = (*keys, f"{request.location_id} #{contact.id}")
        super().__init__(index, request.location_id, keys)
        self.identity = identity
        self.contact = contact
        self.request = request
        self.row_hash = row_hash
        self._on_retry = on_retry
        self._intend = intend
        self.intended: LostTries = ()
        self.closing = closing
        self.problems = problems
        self.call: Call[Any] = self._new_call(request)
        self.is_doubted = False
        self.closed: Closed | None = None
        self.done = NO_TRIES
        self.earlier = earlier
        self.is_looked_up = not earlier.spans
        self.lost: tuple[Doubt, ...] = ()  # of calls before the last
        self.held = NO_CHANNELS
        self._body = request.body
        self._own = contact, request
        self.merged: list[Upsert] = []
        self.replaced: frozenset[str] = frozenset()
        self.applied: Entry | None = None
        self.missing: tuple[NotApplied, ...] = ()

    def begin_call(self, request: Request[T]) -> Call[T]:
        """Note that the row goes on with another call, and return it.

        Raises:
            GaveWayError: The row was halted since its last call began.
        """
        tries = self.call.tries
        if tries.is_halted:
            raise GaveWayError
        if tries.count or tries.rate_limited:
            self.done = _plus(self.done, tries)
        self.lost = self._doubts()
        self.call = call = self._new_call(request)
        return call

    def absorb(
        self, row: Upsert, contact: ContactUpsert, request: Request[UpsertResult], replaced: frozenset[str]
    ) -> None:
        """Have the row, of which nothing was sent so far, send a later one as well.

        Args:
            row: The later one.
            contact: Both, and those that were merged before.
            request: What stores them.
            replaced: Fields of which `row` has another value than those before it.
        """
        self.merged.append(row)
        self.contact, self.request, self._body = contact, request, request.body
        self.replaced |= replaced
        self.call = self._new_call(request)

    def come_apart(self) -> list[Upsert]:
        """Have the row send itself alone from now on, and return those that it has sent besides."""
        tries, rows = self.call.tries, self.merged
        if tries.count or tries.rate_limited:
            self.done = _plus(self.done, tries)
        self.lost = self._doubts()
        self.merged, self.replaced = [], frozenset()
        self.contact, self.request = self._own
        self._body = self.request.body
        self.call = self._new_call(self.request)
        return rows

    @property
    def own_contact(self) -> ContactUpsert:
        """What the row itself says, without those that were merged into it."""
        return self._own[0]

    def hold(self, held: Mapping[str, Any]) -> None:
        """Have the upsert send along what the contact holds of other channels."""
        self.held = held
        self.request = msgspec.structs.replace(self.request, body=send_along(self._body or b"", held))

    def _new_call(self, request: Request[T]) -> Call[T]:
        is_upserted = self.closing is None or isinstance(self.closing.rest, ContactUpsert)
        stores = request is self.request and is_upserted
        before_send = None
        # Look-ups and closings are noted as well, so that a crash during them leaves by what they are counted. Before
        # the first try of a call that is not safe to repeat they are not: after a crash the row would be `unknown`.
        if self._intend is not None and (stores or self.request.repeatable or self.intended):
            before_send = partial(self._intend, self, stores=stores)
        return Call(request, is_bulk=True, is_counted=True, before_send=before_send, on_retry=self._on_retry)

    def lost_tries(self, server_clock: ServerClock) -> LostTries:
        """Return all tries to store it that may have been applied although no answer said so."""
        if not self.earlier.spans and not self.lost and not self.call.tries.doubts:
            return ()
        return (*self.earlier.spans, *(doubt.span_by(server_clock) for doubt in self._doubts()))

    @property
    def tries_before(self) -> TriesBefore:
        """Its tries before the one that is about to be made."""
        before, tries = self.done, self.call.tries
        return TriesBefore(before.calls + 1, before.attempts + tries.count, before.rate_limited + tries.rate_limited)

    @property
    def may_be_new(self) -> bool:
        """Whether a try whose answer was lost may have created its contact."""
        return self.contact.id is UNSET and bool(self.earlier.spans or self._doubts())

    def _doubts(self) -> tuple[Doubt, ...]:
        """Return the tries of this session that may have stored it."""
        return (*self.lost, *self.call.tries.doubts) if self.call.request is self.request else self.lost

    def with_closed(self, entry: Entry) -> Entry:
        """Have the entry of the upsert tell of what was closed besides."""
        not_closed = () if self.closed is None else self.closed.not_applied
        outcome = _with_all(entry.outcome, self.done, self.call.tries)
        entry.outcome = msgspec.structs.replace(outcome, not_applied=(*outcome.not_applied, *not_closed))
        return entry

    def entry(self, outcome: Outcome, *, is_compared: bool, server_clock: ServerClock) -> Entry:
        """Return what the journal needs to know with an outcome."""
        is_applied = outcome.status in ("created", "updated")
        if self.problems:
            outcome = msgspec.structs.replace(outcome, problems=tuple(self.problems))
        return Entry(
            _with_all(outcome, self.done, self.call.tries),
            self.row_hash,
            self.identity,
            is_repeatable=self.request.repeatable,  # of the row: its last call may have been one that closes channels
            is_compared=is_compared and self.contact.id is UNSET,  # by its id it was meant, whose email it may be
            lost_tries=() if is_applied else self.lost_tries(server_clock),
        )


def _plus(before: TriesBefore, tries: Tries) -> TriesBefore:
    """Return tries of a row with those of one more call."""
    calls = before.calls + bool(tries.count)
    return TriesBefore(calls, before.attempts + tries.count, before.rate_limited + tries.rate_limited)


def _with_all(outcome: Outcome, before: TriesBefore, last: Tries) -> Outcome:
    """Return an outcome that counts all calls."""
    if before is NO_TRIES:
        return outcome
    return msgspec.structs.replace(
        outcome,
        calls=max(before.calls + bool(last.count), 1),
        attempts=before.attempts + last.count,
        rate_limited=before.rate_limited + last.rate_limited,
    )


def is_token_refused(error: CallError) -> bool:
    """Whether no other row would fare better."""
    return isinstance(error, _REFUSED_TOKEN) and error.status == HTTPStatus.UNAUTHORIZED


def refusal_of_location(error: CallError, location_id: str, *, has_answered: bool) -> LocationRefusedError | None:
    """Return what to say of a location that refuses all calls; None where the error is about something else.

    Args:
        error: What a call about the location came back with.
        location_id: Which.
        has_answered: Whether an earlier call about it was answered with anything else.
    """
    if not isinstance(error, APIError) or not _is_of_location(error, has_answered=has_answered):
        return None
    sentence = f"location {location_id or '(none)'} takes no calls: {'; '.join(error.messages)}"
    refused = LocationRefusedError(sentence, location_id=location_id, status=error.status)
    refused.__cause__ = error
    return refused


def _is_of_location(error: APIError, *, has_answered: bool) -> bool:
    said = " ".join(error.messages)
    if error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED):
        return _NO_SUCH_LOCATION.search(said) is not None and _OF_RECORD.search(said) is None
    if error.status == HTTPStatus.FORBIDDEN:
        # A page of the edge, which is no answer of the service's, may be about what one row holds.
        is_of_service = bool(error.trace_id or error.code or _OF_LOCATION.search(said))
        return is_of_service or not has_answered
    if error.status == HTTPStatus.NOT_FOUND and _OF_RECORD.search(said) is None:
        return _OF_LOCATION.search(said) is not None or not has_answered
    return False


def outcome_done(item: Upsert, result: UpsertResult, *, is_compared: bool) -> Outcome:
    """Settle a row that was applied. Where its creation is inferred, it is `updated` for now."""
    is_new = result.new and not result.is_new_by_date
    # The answer to a creation leaves fields out.
    find = find_dropped if is_found_by_nothing(item.contact) else find_not_applied
    missing = find(item.contact, result.contact) if is_compared else ()
    not_applied = with_refused(missing, result.not_applied) if result.not_applied else missing
    return Outcome(
        index=item.index,
        status="created" if is_new else "updated",
        contact_id=result.contact.id,
        new=is_new,
        trace_id=result.trace_id and result.trace_id[:_MOST_KEPT_CHARS],
        not_applied=tuple(map(_shorten_stored, not_applied)) if not_applied else (),
        attempts=result.attempts,
        rate_limited=result.rate_limited,
    )


_MOST_KEPT_CHARS: Final = 2_000
"""Of one text of an answer, in an outcome: an answer may have megabytes, and a load has many rows."""


def _shorten_stored(missing: NotApplied) -> NotApplied:
    stored = missing.stored
    if stored is None or isinstance(stored, bool | int | float):
        return missing
    text = stored if isinstance(stored, str) else msgspec.json.encode(stored, enc_hook=str).decode()
    return (
        missing if len(text) <= _MOST_KEPT_CHARS else msgspec.structs.replace(missing, stored=text[:_MOST_KEPT_CHARS])
    )


def outcome_skipped(index: int, skipped: Skipped) -> Outcome:
    """Settle a row that is not sent, on purpose."""
    error = RowError("Skipped", None, skipped.reason)
    return Outcome(index=index, status="skipped", contact_id=skipped.contact_id, error=error, note=skipped.note)


def outcome_closed(item: Upsert, contact_id: str | None, rest: Skipped | InvalidContactError) -> Outcome:
    """Settle a row of which nothing was sent but what it closes: it was left out, or refused."""
    closed = item.closed
    channels = () if closed is None else closed.channels
    note = _CLOSED_BEFORE_NOTE if contact_id else _NOBODY_NOTE
    if channels:
        note = f"do not disturb was sent: {', '.join(channels)}"
    if isinstance(rest, InvalidContactError):
        settled = Outcome(index=item.index, status="failed", error=row_error(rest))
    else:
        error = RowError(CLOSED_ONLY if channels else "Skipped", None, rest.reason)
        settled = msgspec.structs.replace(outcome_skipped(item.index, rest), error=error)
    return msgspec.structs.replace(
        settled,
        contact_id=contact_id,
        not_applied=() if closed is None else closed.not_applied,
        attempts=item.call.tries.count,
        rate_limited=item.call.tries.rate_limited,
        note=note if settled.note is None else f"{settled.note}; {note}",
    )


def outcome_merged(item: Upsert, of: Outcome, not_applied: tuple[NotApplied, ...] = ()) -> Outcome:
    """Settle a row that was sent with an earlier one, whose outcome is given; that one counts the calls."""
    is_applied = of.status in ("created", "updated")
    return Outcome(
        index=item.index,
        status="updated" if is_applied else of.status,
        contact_id=of.contact_id,
        new=False if is_applied else None,
        trace_id=of.trace_id,
        error=of.error,
        not_applied=not_applied,
        note=None if is_applied else of.note,
        merged_into=of.index,
    )


def outcome_failed(item: Upsert, error: CallError) -> Outcome:
    """Settle a row that was refused, or given up."""
    is_unsafe = error.may_be_applied and not item.call.request.repeatable
    not_closed = None if item.closing is None else _NOT_CLOSED_NOTE
    return Outcome(
        index=item.index,
        status="unknown" if is_unsafe else "failed",
        trace_id=error.trace_id if isinstance(error, APIError) else None,
        error=row_error(error),
        attempts=item.call.tries.count,
        rate_limited=item.call.tries.rate_limited,
        note=_UNSAFE_NOTE if is_unsafe else _SAFE_NOTE if error.may_be_applied else not_closed,
    )


def outcome_cut_short(item: Upsert, reason: RowError) -> Outcome:
    """Settle a row whose call was given up before or between its tries, or in the midst of one."""
    tries = item.call.tries
    is_in_doubt = tries.is_in_doubt
    return Outcome(
        index=item.index,
        status="unknown" if is_in_doubt else "not_attempted",
        error=reason,
        attempts=tries.count,
        rate_limited=tries.rate_limited,
        note=(_SAFE_NOTE if item.call.request.repeatable else _UNSAFE_NOTE) if is_in_doubt else None,
    )


class Doubts:
    """Whom a load may have applied of late although no answer said so: their `dateAdded` is too young to tell whose
    they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: set[str] = set()
        self._earlier: set[str] = set()
        self._until = 0.0

    def remember(self, keys: tuple[str, ...]) -> None:
        """Note a row that did not succeed."""
        now = self._clock.monotonic()
        if now >= self._until:
            self._earlier, self._recent, self._until = self._recent, set(), now + _RECENT_SECONDS
        self._recent.update(keys)

    def has(self, keys: tuple[str, ...]) -> bool:
        """Whether such a row was about the same person."""
        return not (self._recent.isdisjoint(keys) and self._earlier.isdisjoint(keys))
