"""One bulk load: rows in, outcomes out.

rows -> check -> bounded backlog -> workers -> contacts.upsert -> Outcome -> journal -> consumer
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Struct

from ..calls.call import NO_CALLS_COUNTED, PAUSED, Call, Paused, counting
from ..calls.retry import is_worth_repeating
from ..clock import Timer
from ..contacts.authorship import EarlierTries
from ..contacts.contacts import (
    ContactOperations,
    build_checked,
    find_held_channels,
    is_found_by_nothing,
    lacks_company,
    names_channels,
    send_company,
    send_upsert,
)
from ..errors import (
    APIError,
    CallError,
    DailyQuotaExceededError,
    LeadConnectorError,
    OutageError,
    PermanentDndError,
    RateLimitStuckError,
    StopRequestedError,
    TokenSourceError,
    UsageError,
)
from ..models import Contact, ContactUpdate, ContactUpsert, UpsertResult
from ..models.compare import find_not_applied
from ..protocol import Request, Scope, T
from ..protocol.locations import build_field_list
from ..protocol.search import build_duplicate
from .backlog import Backlog
from .breaker import Breaker
from .closing import close_channels
from .coalesce import FieldIds, find_own, ids_of, is_mergeable, merge, needs_ids
from .delivery import Delivery, JournaledDelivery
from .intake import Intake
from .outcome import Entry, standing
from .report import OnOutcome, Outcome, RowError, row_error
from .row import (
    Doubts,
    GaveWayError,
    Upsert,
    is_token_refused,
    outcome_closed,
    outcome_cut_short,
    outcome_done,
    outcome_failed,
    outcome_merged,
    refusal_of_location,
)
from .run_log import MOST_READ_AHEAD, Pace, RunLog, pace_of
from .source import Closing, RowSource
from .traces import Span, Written

if TYPE_CHECKING:
    from ..rules.checks import Checks

_log = logging.getLogger(__name__)

_LOOK_AHEAD: Final = 4  # rows read for each worker: room to overtake rows that wait for one of their own identity
_REST_SECONDS: Final = 10.0  # a source may block for ever, or have no end
_ALONE_SECONDS: Final = 2.0  # that the first row of a location goes alone at most, so that a slow one holds up no other
_LATE_SECONDS: Final = 10.0  # after a load was stopped, none of its calls arrives any more
_MOST_REFUSED_BY_ID: Final = 3  # rows, before it is taken for their location that refuses them
_MAY_BE_NEW_NOTE: Final = "an earlier try, whose answer was lost, may have created it"
_INFERRED_NOTE: Final = "the answer was lost; by dateAdded and by what the contact holds, an earlier try created it"


class Options(Struct, frozen=True, kw_only=True):
    """How a load is done, as `Contacts.bulk_upsert` says."""

    concurrency: int
    compare: bool
    journal: RunLog | str | Path | None
    retry_failed: bool
    wait_for_quota: bool
    coalesce: bool = False
    checks: Checks | None = None
    is_endless: bool = False


def _refuse_other_checks(checks: object) -> None:
    if checks is None:
        return
    from ..rules.checks import Checks

    if not isinstance(checks, Checks):
        raise UsageError(f"checks must be Checks(...), not {type(checks).__name__}")


class Load:
    """One bulk load. Each row that was read gets exactly one outcome, also where the load is stopped or cancelled.

    Args:
        contacts: Where to send.
        source: The rows.
        options: How.
        journal: Begun, or None.
        record: Called once with the outcome of each row that was read, as they come; must not fail.
        on_outcome: Called after `record`, but not for what is left when the load is cancelled or fails.
        on_group: Awaited after outcomes that were written together were handed on.
        on_replaced: Called with the outcome of an earlier session whose row is another one now.
        on_standing: Called with the outcome of an earlier session that becomes the outcome of this one, as its row was
            not sent once more.
        on_known: Called with an outcome of an earlier session whose row has a `ref`: it is handed over once more.
        read_rest: Whether a load that is stopped reads a sync source on, to report the rest `not_attempted`.

    Attributes:
        before: Awaited before the first row is read, or None.
        closed: Locations that take no more calls, and why.
        stopped: What ended it early, or None.
        other_calls: Its calls that no outcome shows, once it has ended: those of the circuit breaker.
    """

    def __init__(
        self,
        contacts: ContactOperations,
        source: RowSource,
        options: Options,
        *,
        journal: RunLog | None,
        record: Callable[[Outcome], None],
        on_outcome: OnOutcome | None,
        on_replaced: Callable[[Outcome], None],
        on_standing: Callable[[Outcome], None],
        read_rest: bool,
        on_known: OnOutcome = lambda _: None,
        on_group: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        concurrency = options.concurrency
        if not isinstance(concurrency, int) or concurrency < 1:
            raise UsageError(f"concurrency is {concurrency!r}; it must be a number of at least 1")
        _refuse_other_checks(options.checks)
        self._contacts = contacts
        self._clock = contacts.client.clock
        self._source = source
        self._options = options
        self._journal = journal
        self._read_rest = read_rest
        self._on_known = on_known
        self._on_standing = on_standing
        self._delivery = self._open_delivery(record, on_outcome, on_group)
        self._intake = Intake(
            contacts,
            source,
            journal=journal,
            delivery=self._delivery,
            on_replaced=on_replaced,
            on_standing=on_standing,
            on_retry=self._trust,
            checks=options.checks,
        )
        self._doubts = Doubts(self._clock)
        self._breaker = Breaker(contacts.client, waits_for_address=options.is_endless)
        self._backlog: Backlog[Upsert] = Backlog(
            concurrency,
            most=concurrency * _LOOK_AHEAD,
            look_ahead=MOST_READ_AHEAD,
            room=contacts.client.window,
            home=contacts.client.location_id,
            joins=options.coalesce,
        )
        self._field_ids: dict[str, FieldIds | None] = {}  # of locations whose rows name custom fields otherwise
        self.closed: dict[str, LeadConnectorError] = {}
        self._answered: set[str] = set()  # locations that have answered otherwise
        self._alone: dict[str, Timer] = {}  # until when the first row of a location goes alone
        self._search: Timer | None = None  # for a location that takes calls, where none does that is known
        self._has_searched = False
        self._refused_by_id = Counter[str]()  # rows by location
        self._feeder: asyncio.Task[None] | None = None
        self._busy: dict[asyncio.Task[None], Upsert] = {}
        self._called_back: set[asyncio.Task[Any]] = set()  # workers that are to give up their row, and go on
        self._cancellations: dict[asyncio.Task[Any], int] = {}  # of each worker, by others, as it began
        self._cut_short: list[Entry] = []
        self._waits_until = 0.0
        self._at_work: list[str] = []  # when it was looked at last
        self._last_pace = Pace()
        self._pace_until = -math.inf
        self.before: Callable[[], Awaitable[None]] | None = None
        self.stopped: LeadConnectorError | None = None
        self.other_calls = NO_CALLS_COUNTED

    @property
    def breaker(self) -> Breaker:
        """Its circuit breaker."""
        return self._breaker

    def _open_delivery(
        self,
        record: Callable[[Outcome], None],
        on_outcome: OnOutcome | None,
        on_group: Callable[[], Awaitable[None]] | None,
    ) -> Delivery:
        if self._journal is None:
            return Delivery(record, on_outcome)
        began = self._clock.monotonic()
        server_clock = self._contacts.client.server_clock

        def server_times() -> tuple[float, float] | None:
            first, now = server_clock.span(began), server_clock.span(self._clock.monotonic())
            return None if first is None or now is None else (first[0], now[1])

        return JournaledDelivery(
            record,
            on_outcome,
            on_group=on_group,
            journal=self._journal,
            workers=self._options.concurrency,
            clock=self._clock,
            on_failure=self.stop,
            server_times=server_times,
            is_idle=lambda: not self._busy,
            pace=self._pace,
        )

    def _pace(self) -> Pace:
        """Return what the limits allow the locations at work; of many it is looked at once a second."""
        now = self._clock.monotonic()
        locations = self._backlog.locations or self._at_work
        if locations and (len(locations) == 1 or now >= self._pace_until):
            self._at_work, self._pace_until = locations, now + 1.0
            self._last_pace = pace_of([self._contacts.client.window(location) for location in locations])
        return self._last_pace

    async def run(self) -> None:
        """Send all rows.

        Raises:
            Exception: What the source raised, after all rows read by then were sent; or what `on_outcome` raised, at
                once. Each row that was read has its outcome then.
        """
        is_whole = False
        when_closed = self._contacts.client.when_closed
        when_closed.add(self.stop)
        try:
            if self.before is not None:
                await self.before()
            await self._run_workers()
            self.stopped = self.stopped or next(iter(self.closed.values()), None)
            if self.stopped is not None:
                await self._report_the_rest()
            is_whole = True
        finally:
            when_closed.discard(self.stop)
            self._cancel_timers()
            self._delivery.put_at_once(*self._left())
            self.other_calls = self._breaker.calls.take()
            await self._delivery.close(is_delivered=is_whole, other_calls=self.other_calls)
            await self._source.close()

    async def _run_workers(self) -> None:
        if self.stopped is not None:  # before it began
            return
        # Beside the group, not in it: where the source fails, the rows that were read are still sent.
        self._feeder = feeder = asyncio.create_task(self._feed())
        feeder.add_done_callback(lambda _: self._backlog.end())
        try:
            await self._work_together()
        finally:
            feeder.cancel()
            await asyncio.wait([feeder])
        if not feeder.cancelled():
            feeder.result()  # raises what the source raised
        elif self.stopped is None:
            raise RuntimeError("the source raised CancelledError")

    async def _work_together(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._delivery.run())
                async with asyncio.TaskGroup() as workers:
                    for _ in range(self._options.concurrency):
                        workers.create_task(self._work())
                self._delivery.end()
            return
        except BaseExceptionGroup as failures:
            failure: BaseException = failures
            while isinstance(failure, BaseExceptionGroup):
                failure = failure.exceptions[0]
        raise failure

    def stop(self, reason: LeadConnectorError) -> None:
        """Begin no further call: those in flight finish, rows not tried become `not_attempted`."""
        if self.stopped is not None:
            return
        self.stopped = reason
        _log.info("the load stops: %s", reason)
        if self._feeder is not None:
            self._feeder.cancel()
        for task in self._halt(self._busy):
            task.cancel()
        self._cut_short_those_that_wait()
        self._breaker.close()

    def _halt(self, tasks: Iterable[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        """Have no further try begun by these workers, and return those that wait to begin one."""
        waiting = []
        for task in tasks:
            tries = self._busy[task].call.tries
            tries.is_halted = True
            if not tries.is_out and task is not asyncio.current_task():
                waiting.append(task)
        return waiting

    # ------------------------------------------------------------------------------------------ rows in

    async def _feed(self) -> None:
        while await self._intake.read():
            for outcome in self._intake.take_known():
                if (waiting := self._on_known(outcome)) is not None:
                    await waiting
            while True:
                if self._backlog.is_full:
                    await self._backlog.wait_for_room()
                row = self._intake.next()
                if row is None:
                    break
                if isinstance(row, Entry):
                    await self._delivery.put_refused(row)
                elif not self._options.coalesce:
                    self._backlog.put(row)
                else:
                    await self._put_or_merge(row)
            if self._options.coalesce:
                await asyncio.sleep(0)  # so far ahead is read that others must get their turn in between

    # ------------------------------------------------------------------------------------------ rows in one call

    async def _put_or_merge(self, row: Upsert) -> None:
        """Put a row in line, or into the one before it of the same person."""
        if row.location_id not in self._field_ids and needs_ids(row.contact):
            try:
                self._field_ids[row.location_id] = await self._read_field_ids(self._scope_of(row))
            except asyncio.CancelledError:
                self._cut_short.append(self._settle_cut_short(row))
                raise
        if not self._merge(row):
            self._backlog.put(row)

    async def _read_field_ids(self, scope: Scope) -> FieldIds | None:
        """Read which names mean the same custom field; None where they cannot be had, and no such rows are merged."""
        try:
            with counting(self._breaker.calls):
                fields = await self._contacts.client.send(Call(build_field_list(scope, model="contact")))
            return ids_of(fields)
        except LeadConnectorError as error:
            _log.warning("rows with custom fields are not coalesced, as their ids cannot be read: %s", error)
            return None

    def _merge(self, row: Upsert) -> bool:
        into = self._backlog.find_waiting(row)
        if into is None or not (is_mergeable(into) and is_mergeable(row)):
            return False
        merged = merge(into, row, self._field_ids.get(row.location_id))
        if merged is None:
            return False
        request = build_checked(merged.contact, self._contacts.client.api_version)
        into.absorb(row, merged.contact, request, merged.replaced)
        self._backlog.join(into)
        return True

    def _send_one_by_one(self, item: Upsert) -> None:
        """Have each row of a call sent by itself, in their order."""
        self._backlog.split(item, item.come_apart())

    def _unless_values_are_lost(self, item: Upsert, entry: Entry) -> Entry | None:
        """Return what became of a row; None where the service dropped a value that had replaced another, which it may
        take, so that the rows go one by one."""
        if item.replaced.isdisjoint(one.field for one in item.missing) or not self._may_come_apart(item):
            return entry
        item.applied = entry
        self._send_one_by_one(item)
        return None

    def _may_come_apart(self, item: Upsert) -> bool:
        is_over = item.call.tries.is_halted or self.stopped is not None or item.location_id in self.closed
        return bool(item.merged) and not is_over

    def _settle_rows(self, item: Upsert, entry: Entry) -> list[Entry]:
        """Return what became of a row, and of those that were merged into it."""
        return [entry, *(self._settle_merged(row, entry) for row in item.merged)]

    def _settle_merged(self, row: Upsert, of: Entry) -> Entry:
        if row.applied is not None:
            return row.applied
        if of.is_standing or of.outcome.status == "not_attempted":
            return self._settle_cut_short(row)
        return self._entry(row, outcome_merged(row, of.outcome))

    def _settle_applied(self, item: Upsert, applied: Entry) -> Entry:
        """Settle a row by the call that sent it with others, where it cannot be sent by itself after all."""
        tries = item.call.tries
        counted = msgspec.structs.replace(
            applied.outcome, attempts=tries.count, rate_limited=tries.rate_limited, calls=max(bool(tries.count), 1)
        )
        return self._like(applied, self._entry(item, counted))

    def _like(self, applied: Entry, entry: Entry) -> Entry:
        """Return an entry with what is known of its row from an earlier call that was applied as well."""
        if applied.outcome.new:
            entry.outcome = msgspec.structs.replace(entry.outcome, status="created", new=True)
        entry.note_if_new, entry.note_if_first = applied.note_if_new, applied.note_if_first
        entry.written = (*applied.written, *entry.written)
        return entry

    # ------------------------------------------------------------------------------------------ workers

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        self._cancellations[task] = task.cancelling()
        while True:
            item = await self._backlog.get()
            if item is None:
                return
            self._busy[task] = item
            try:
                entry = await self._send(item)
            except BaseException:
                self._cut_short += self._settle_rows(item, self._settle_cut_short(item))
                self._backlog.done(item)
                raise
            finally:
                del self._busy[task]
                self._breaker.leave(item)
            if entry is None:
                self._backlog.put_back(item)
            else:
                self._breaker.forget(item)
                if item.merged:
                    await self._delivery.put_all(self._settle_rows(item, entry))
                else:
                    await self._delivery.put(entry)
                self._backlog.done(item)

    async def _send(self, item: Upsert) -> Entry | None:
        """Send a row and return what became of it; None where it is to be sent again later."""
        if item.location_id in self.closed:
            return self._settle_cut_short(item)
        try:
            entry = None if self._breaker.is_quiet else await self._wait_for_service(item)
            if entry is not None:
                return entry
            self._let_the_first_go_alone(item)
            item.is_doubted = item.is_doubted or self._doubts.has(item.keys)
            entry = await self._carry_out(item)
        except asyncio.CancelledError:
            if not self._is_called_back():
                raise
            return self._settle_cut_short(item)
        except CallError as error:
            return None if self._is_for_later(item, error) else self._settle_refused(item, error)
        except (DailyQuotaExceededError, RateLimitStuckError, TokenSourceError) as error:
            if self._waits_for_day(item, error):
                return None
            return self._settle_closed(item, error)
        except LeadConnectorError as error:  # the token source, the journal, the client: no fault of this row's
            self.stop(error)
            return self._settle_cut_short(item)
        if entry is None:
            return self._settle_cut_short(item) if item.call.tries.is_halted else None
        self._breaker.succeed(item)
        self._note_answer(item.location_id)
        return self._unless_values_are_lost(item, entry) if item.replaced else entry

    async def _wait_for_service(self, item: Upsert) -> Entry | None:
        """Wait until a row may be sent; return what became of it where it is not. One that has failed together with
        others may be sent by itself."""
        failure = await self._breaker.enter(item, is_repeatable=item.call.request.repeatable)
        if item.location_id in self.closed or self.stopped is not None:
            return self._settle_cut_short(item)
        return None if failure is None else self._settle_refused(item, failure)

    async def _carry_out(self, item: Upsert) -> Entry | None:
        """Make the calls of a row: its upsert and, where it has a closing, those that close channels.

        Returns:
            What became of it; None where its location is paused, and the row is to be sent later.
        """
        if item.closing is not None:
            try:
                return await self._carry_out_with(item, item.closing)
            except GaveWayError:
                return None
        try:
            result = await self._send_upsert(item)
        except GaveWayError:
            return None
        return None if result is PAUSED else self._settle_done(item, result)

    async def _send_upsert(self, item: Upsert) -> UpsertResult | Paused:
        """Send the upsert of a row. Where an earlier session may have sent it, its contact is looked up before: once it
        is written over, nothing shows any more whether it holds what that session sent."""
        if not item.is_looked_up:
            item.earlier = EarlierTries(item.earlier.spans, await self._look_up_before(item))
            item.is_looked_up = True
        if names_channels(item.contact):  # each time anew: what the contact has closed since must not be opened
            item.hold(await find_held_channels(partial(self._call, item), item.contact, self._scope_of(item)))
        call = item.call if item.call.request is item.request else item.begin_call(item.request)
        result = await send_upsert(self._contacts.client, call, item.contact, item.earlier, held=item.held)
        if result is not PAUSED and lacks_company(item.contact, result.contact):
            return await send_company(partial(self._call, item), item.contact, result, self._scope_of(item))
        return result

    async def _look_up_before(self, item: Upsert) -> Contact | None:
        """Return the contact that the upsert of a row would meet; None where there is none, or it cannot be had. One
        that is known by its id was not created by the row, so that nothing is to be found out."""
        contact = item.contact
        if contact.id is not UNSET or is_found_by_nothing(contact):
            return None
        request = build_duplicate(contact.email or None, contact.phone or None, self._scope_of(item))
        try:
            return await self._call(item, request)
        except CallError as error:  # without that evidence nothing is inferred; the upsert meets the same trouble
            _log.debug("a contact that may have been created before the load was cut off: %s", error)
            return None

    async def _carry_out_with(self, item: Upsert, closing: Closing) -> Entry:
        """Make the calls of a row that closes channels. What is done already is not done again."""
        if not isinstance(closing.rest, ContactUpsert):
            contact_id = closing.contact_id or await self._look_up(item)
            if contact_id is not None:
                await self._close(item, contact_id, closing.wanted)
            entry = self._entry(item, outcome_closed(item, contact_id, closing.rest))
            entry.written = self._written_by_closing(item, closing.wanted)
            return entry
        if closing.contact_id is not None and item.closed is None:
            await self._close(item, closing.contact_id, closing.wanted)
        result = await self._send_upsert(item)
        if result is PAUSED:
            raise GaveWayError
        entry = self._settle_done(item, result)
        if result.contact.id != closing.contact_id:
            await self._close(item, result.contact.id, closing.wanted)
            entry.written = (*entry.written, *self._written_by_closing(item, closing.wanted))
        return item.with_closed(entry)

    async def _look_up(self, item: Upsert) -> str | None:
        """Return the contact that an upsert of a row would meet, or None."""
        found: Contact | None = await self._call(item, item.request)
        return None if found is None else found.id

    async def _close(self, item: Upsert, contact_id: str, wanted: ContactUpsert) -> None:
        closed = await close_channels(partial(self._call, item), contact_id, wanted, self._scope_of(item))
        item.closed = closed if item.closed is None else item.closed.plus(closed)

    async def _call(self, item: Upsert, request: Request[T]) -> T:
        answer = await self._contacts.client.send_row(item.begin_call(request))
        if answer is PAUSED:
            raise GaveWayError
        return answer

    def _scope_of(self, item: Upsert) -> Scope:
        return Scope(item.location_id, self._contacts.client.api_version)

    def _written_by_closing(self, item: Upsert, wanted: ContactUpsert) -> tuple[Written, ...]:
        journal, closed = self._journal, item.closed
        if journal is None or not journal.keeps_traces or closed is None or not closed.channels:
            return ()
        sent = ContactUpdate(dnd=wanted.dnd, dnd_settings=wanted.dnd_settings)
        return (Written(sent, closed.stored, self._span_of(item)),)

    def _span_of(self, item: Upsert) -> Span | None:
        return item.call.tries.span(self._contacts.client.server_clock, self._clock.monotonic())

    def _settle_done(self, item: Upsert, result: UpsertResult) -> Entry:
        entry = self._entry(item, outcome_done(item, result, is_compared=self._options.compare))
        if item.merged:
            self._settle_all_done(item, entry, result.contact)
        if self._journal is not None and self._journal.keeps_traces:
            entry.written = (Written(item.contact, result.contact, self._span_of(item)),)
        if result.is_new_by_date and not item.is_doubted:
            entry.note_if_new = _INFERRED_NOTE
        elif item.may_be_new and not entry.outcome.new and result.is_new_by_date is not False:
            entry.note_if_first = _MAY_BE_NEW_NOTE
        return entry if item.applied is None else self._like(item.applied, entry)

    def _settle_all_done(self, item: Upsert, entry: Entry, stored: Contact) -> None:
        """Settle the rows that a call has sent: each is told what the service did not take of it."""
        item.missing = find_not_applied(item.contact, stored)
        ids = self._field_ids.get(item.location_id)
        compared = item.missing if self._options.compare else ()
        for row in item.merged:
            own = find_own(compared, row.contact, ids)
            row.applied = self._entry(row, outcome_merged(row, entry.outcome, own))
        own = find_own(compared, item.own_contact, ids)
        entry.outcome = msgspec.structs.replace(entry.outcome, not_applied=own)

    def _settle_closed(self, item: Upsert, error: LeadConnectorError) -> Entry:
        """Settle a row whose location takes no more calls."""
        self._close_location(item.location_id, error)
        return self._settle_cut_short(item)

    def _settle_refused(self, item: Upsert, error: CallError) -> Entry | None:
        """Settle a row that was refused or given up; None where it was together with others, and goes by itself now."""
        has_answered = item.location_id in self._answered
        refused = refusal_of_location(error, item.location_id, has_answered=has_answered)
        if refused is not None and not self._may_be_of_contact(item, has_answered=has_answered):
            return self._settle_closed(item, refused)
        if is_token_refused(error):
            if not self._contacts.client.has_one_token:
                return self._settle_closed(item, error)
            self.stop(error)
            return self._settle_cut_short(item)
        if item.call.tries.is_halted and (is_worth_repeating(error) or isinstance(error, PermanentDndError)):
            return self._settle_cut_short(item)
        if isinstance(error, APIError) and refused is None and not is_worth_repeating(error):
            self._note_answer(item.location_id)
        if item.applied is not None:
            return self._settle_applied(item, item.applied)
        # Also where it was refused: the service has been seen to refuse what it wrote.
        self._doubts.remember(item.keys)
        if not item.merged:
            return self._entry(item, outcome_failed(item, error))
        if not self._may_come_apart(item):  # none of the rows was sent by itself, which alone says what comes of it
            return self._settle_cut_short(item)
        self._breaker.forget(item)
        self._send_one_by_one(item)
        return None

    def _may_be_of_contact(self, item: Upsert, *, has_answered: bool) -> bool:
        """Whether a refusal may be about the contact of an id, which may be of another location, rather than about the
        row's own location: once that has answered, and of a few rows before."""
        if item.contact.id is UNSET:
            return False
        self._refused_by_id[item.location_id] += 1
        return has_answered or self._refused_by_id[item.location_id] <= _MOST_REFUSED_BY_ID

    def _settle_cut_short(self, item: Upsert) -> Entry:
        if item.applied is not None:
            return self._settle_applied(item, item.applied)
        reason = self.closed.get(item.location_id)
        outcome = outcome_cut_short(item, self._stop_error() if reason is None else row_error(reason))
        entry = self._entry(item, outcome)
        if outcome.status == "not_attempted" and self._journal is not None:
            before = self._journal.pending(item.index, item.row_hash)
            if before is not None:
                entry.outcome, entry.is_standing = standing(before, entry.outcome), True
                self._on_standing(before)
        return entry

    def _entry(self, item: Upsert, outcome: Outcome) -> Entry:
        clock = self._contacts.client.server_clock
        return item.entry(outcome, is_compared=self._options.compare, server_clock=clock)

    def _waits_for_day(self, item: Upsert, error: LeadConnectorError) -> bool:
        """Keep a location's rows until its next day, where the load is to wait for that."""
        is_over = item.call.tries.is_halted or item.location_id in self.closed
        if is_over or not self._options.wait_for_quota or not isinstance(error, DailyQuotaExceededError):
            return False
        now = self._clock.monotonic()
        if now >= self._waits_until:  # else another row has told
            _log.warning("%s; the load waits", error)
        self._waits_until = max(self._waits_until, now + error.resets_in)
        self._backlog.hold(item.location_id)
        self._clock.call_at(now + error.resets_in, partial(self._backlog.resume, item.location_id))
        return True

    def _is_for_later(self, item: Upsert, error: CallError) -> bool:
        """Tell the breaker, and say whether a row that was given up is to be sent again later."""
        tries = item.call.tries
        if not is_worth_repeating(error):
            self._breaker.succeed(item)
            return False
        if tries.is_halted:  # which proves nothing
            return False
        try:
            self._breaker.give_up(item, error)
        except OutageError as outage:
            self.stop(outage)
            return False
        if tries.is_in_doubt and not item.call.request.repeatable:
            return False
        tries.forgiven = tries.made
        return True

    # ------------------------------------------------------------------------------------------ locations

    def _let_the_first_go_alone(self, item: Upsert) -> None:
        """Have no other row of a location sent before the first is answered, is retried, or takes long."""
        if item.location_id not in self._alone:
            trust = partial(self._trust, item.location_id)
            self._alone[item.location_id] = self._clock.call_at(self._clock.monotonic() + _ALONE_SECONDS, trust)

    def _trust(self, location_id: str) -> None:
        self._backlog.trust(location_id)

    def _note_answer(self, location_id: str) -> None:
        """Note that a location was not refused as a whole."""
        if location_id not in self._answered:
            self._answered.add(location_id)
            self._alone[location_id].cancel()
            self._backlog.trust(location_id)

    def close_location(self, location_id: str, why: LeadConnectorError) -> None:
        """Have no row of a location sent; to be called before `run`."""
        self.closed[location_id] = why
        self._backlog.close(location_id)

    def _close_location(self, location_id: str, error: LeadConnectorError) -> None:
        """Send a location nothing more. Others go on; where there is none, the load stops."""
        if location_id not in self.closed:
            _log.warning("%s", error)
            self.closed[location_id] = error
            self._backlog.close(location_id)
            for task in self._halt([task for task, item in self._busy.items() if item.location_id == location_id]):
                self._called_back.add(task)
                task.cancel()
        if not self._is_any_open():
            self._search_for_another(error)

    def _is_called_back(self) -> bool:
        """Whether the running worker was cancelled to give up its row, and by nobody else."""
        task = asyncio.current_task()
        if task is None or task not in self._called_back:
            return False
        self._called_back.discard(task)
        return task.uncancel() <= self._cancellations[task]

    def _is_any_open(self) -> bool:
        """Whether some location is known that takes calls, as far as is known."""
        return any(location_id not in self.closed for location_id in (*self._backlog.locations, *self._answered))

    def _search_for_another(self, error: LeadConnectorError) -> None:
        """Read on for a row of a location that takes calls; not for ever, as the source may have no end."""
        if self._source.has_end:
            return
        may_come = self._backlog.has_several_locations or (self._read_rest and self._source.can_read_rest)
        if not may_come:
            self.stop(error)
        elif self._search is None:
            until = self._clock.monotonic() + _REST_SECONDS
            self._search = self._clock.call_at(until, partial(self._end_search, error))

    def _end_search(self, error: LeadConnectorError) -> None:
        self._search = None
        if not self._is_any_open():
            self._has_searched = True
            self.stop(error)

    def _cancel_timers(self) -> None:
        for timer in (*self._alone.values(), *([] if self._search is None else [self._search])):
            timer.cancel()

    # ------------------------------------------------------------------------------------------ what is left

    def _stop_error(self) -> RowError:
        return row_error(self.stopped or StopRequestedError("the load was interrupted"))

    def _left(self) -> tuple[list[Entry], Iterator[Outcome]]:
        """Settle the rows that were read and have no outcome, after the workers ended."""
        self._cut_short_those_that_wait()
        entries, self._cut_short = self._cut_short, []
        return entries, self._intake.unread(self._stop_error())

    def _cut_short_those_that_wait(self) -> None:
        for item in self._backlog.empty():
            self._cut_short += self._settle_rows(item, self._settle_cut_short(item))

    async def _report_the_rest(self) -> None:
        await self._delivery.put_rest(*self._left())
        until = asyncio.get_running_loop().time() + (0.0 if self._has_searched else _REST_SECONDS)
        while self._read_rest and self._source.can_read_rest and await self._read_until(until):
            await self._delivery.put_rest((), self._intake.unread(self._stop_error()))

    async def _read_until(self, until: float) -> bool:
        limit = asyncio.timeout_at(until)
        try:
            async with limit:
                return await self._intake.read()
        except TimeoutError:
            if not limit.expired():  # the source's own
                raise
            return False
