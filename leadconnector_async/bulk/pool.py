"""One pool of workers for all work on contacts but the upserts themselves, whose rows need more: see `load`.

items -> bounded backlog, fair between locations -> workers -> calls

The pool knows which locations take calls, and leaves out the contacts of those that refuse them all. While the service
is down, it pauses and probes, as a load does (see `breaker`): an outage fails no contact.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Final, Generic, TypeVar

from ..calls.caller import Caller
from ..calls.retry import is_worth_repeating
from ..clock import Timer
from ..errors import (
    CallError,
    DailyQuotaExceededError,
    LeadConnectorError,
    RateLimitStuckError,
    TokenSourceError,
)
from .backlog import Backlog, Item
from .breaker import Breaker
from .row import is_token_refused, refusal_of_location
from .threads import in_thread

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_BATCH_ITEMS: Final = 100
_BATCH_SECONDS: Final = 0.05  # a slow source does not keep workers waiting for a full batch
_WAITING: Final = 4  # items that wait for each worker, so that reading never stops the work
_LOOK_AHEAD: Final = 1_000  # items at most that are read on to find some of locations that have room
_STORM_SECONDS: Final = 60.0  # nothing but 429 came for minutes; each new look may cost others a call
_CLOSING: Final = (RateLimitStuckError, TokenSourceError)


class LocationClosedError(LeadConnectorError):
    """A call about a location is not made, or was the last one, as the location takes none. Stays in the work."""


class Pool:
    """Workers for items of several locations, with one circuit breaker.

    What it learns is kept from run to run: which locations take calls, and whether the service answers.

    Args:
        caller: Makes the calls.
        closed: Locations that take none, as far as is known, and why.
        waits_for_quota: Whether items of a location whose day is spent wait for the next one. Else that closes the
            location.

    Attributes:
        closed: Locations that take no more calls, and why.
    """

    def __init__(
        self,
        caller: Caller,
        closed: Mapping[str, LeadConnectorError] | None = None,
        *,
        waits_for_quota: bool = False,
    ) -> None:
        self.closed = dict(closed or {})
        self.caller = caller
        self.breaker = Breaker(caller)
        self.waits_for_quota = waits_for_quota
        self._closing = _CLOSING if waits_for_quota else (DailyQuotaExceededError, *_CLOSING)
        self._refused: CallError | None = None  # the one token of all locations
        self._answered: set[str] = set()
        self._trusted: set[str] = set()  # locations about which several calls may be out at once
        self._runs: set[_Run[Any]] = set()

    @property
    def reason(self) -> LeadConnectorError | None:
        """Why the first of the closed locations is closed, or None."""
        return next(iter(self.closed.values()), None)

    @property
    def spent(self) -> DailyQuotaExceededError | None:
        """Why the first location is closed whose day is spent, or None: it takes calls again tomorrow."""
        spent = (reason for reason in self.closed.values() if isinstance(reason, DailyQuotaExceededError))
        return next(spent, None)

    async def run(
        self,
        items: Iterable[T],
        work: Callable[[T], Awaitable[None]],
        *,
        location_of: Callable[[T], str],
        concurrency: int,
        stop: asyncio.Event | None = None,
        on_failed: Callable[[T, CallError], None] | None = None,
    ) -> LeadConnectorError | None:
        """Run `work` for each item. May run inside of `work`.

        Args:
            items: Read in a thread and never far ahead, so that they may come from files.
            work: What to do with one. It makes its calls by `call`, and lets through what they raise. Where a call is
                given up, it is begun anew later: what it has done by then must do no harm when it is done again.
            location_of: Returns the location that an item's calls are about. The first item of a location goes alone
                until that has answered: one that refuses all calls costs one.
            concurrency: At how many items at a time.
            stop: Set it to end in order: calls that are out finish, and no other is begun.
            on_failed: Called with an item that failed on its own, and with what its call came back with. By default
                that ends the run.

        Returns:
            What ended it early; None where all is done but items of closed locations, or where `stop` was set. An
            `OutageError` says that the service was down for longer than the retry policy waits.

        Raises:
            Exception: What `work`, `on_failed` or the items raised that is no error of ours.
        """
        run = _Run(self, items, work, location_of, on_failed, concurrency)
        return await run.run(stop or asyncio.Event())

    async def ask(self, location_id: str, send: Callable[[], Awaitable[R]], *, stop: asyncio.Event | None = None) -> R:
        """Read something by a single call or some, and return it; an outage is waited out.

        Args:
            location_id: The location that it is about.
            send: Reads it. May be begun anew, or broken off.
            stop: Set it to give up at once.

        Raises:
            InterruptedError: `stop` was set.
            OutageError: The service was down for longer than the retry policy waits.
            LeadConnectorError: Anything else that the call raised.
        """
        answers: list[R] = []

        async def work(location_id: str) -> None:
            answers.append(await send())

        asking = self.run([location_id], work, location_of=lambda one: one, concurrency=1)
        reason = await until_stopped(asking, stop)
        if reason is not None:
            raise reason
        return answers[0]

    # ------------------------------------------------------------------------------------------ locations

    async def call(self, location_id: str, send: Callable[[], Awaitable[R]]) -> R:
        """Make a call about a location, and return what it returns.

        Raises:
            LocationClosedError: The location takes no calls.
            LeadConnectorError: Anything else that the call raised.
        """
        if self._refused is not None:
            raise self._refused
        if location_id in self.closed:
            raise LocationClosedError(location_id)
        try:
            result = await send()
        except LeadConnectorError as error:
            reason = self._why_closed(location_id, error)
            if reason is None:
                raise
            self._close(location_id, reason)
            raise LocationClosedError(location_id) from error
        self._note_answer(location_id)
        return result

    def note_refusal(self, location_id: str, error: CallError) -> bool:
        """Take note of what a call made otherwise came back with, and return whether that closes its location."""
        reason = refusal_of_location(error, location_id, has_answered=location_id in self._answered)
        if reason is not None:
            self._close(location_id, reason)
        return reason is not None

    def note_progress(self) -> None:
        """Say that the item at which the running worker is has come on, of which there is more to come.

        If it is given up later, that has nothing to do with what became of it before.
        """
        task = asyncio.current_task()
        for run in self._runs:
            if task is not None and task in run.busy:
                self.breaker.succeed(run.busy[task])

    def _why_closed(self, location_id: str, error: LeadConnectorError) -> LeadConnectorError | None:
        """Return why a location takes no more calls; None where the error does not say so."""
        if isinstance(error, self._closing):
            return error
        if not isinstance(error, CallError):
            return None
        reason = refusal_of_location(error, location_id, has_answered=location_id in self._answered)
        if reason is not None:
            return reason
        if is_token_refused(error):
            return self._note_refused_token(error)
        if not is_worth_repeating(error):
            self._note_answer(location_id)
        return None

    def _note_refused_token(self, error: CallError) -> CallError | None:
        """Note that no call will do better where all locations share the token; else one location is closed."""
        if not self.caller.has_one_token:
            return error
        self._refused = error
        return None

    def _note_answer(self, location_id: str) -> None:
        """Note that a location was not refused as a whole."""
        self._answered.add(location_id)
        if location_id not in self._trusted:
            self._trusted.add(location_id)
            for run in self._runs:
                run.backlog.trust(location_id)

    def _close(self, location_id: str, reason: LeadConnectorError) -> None:
        if location_id not in self.closed:
            self.closed[location_id] = reason
            for run in self._runs:
                run.backlog.close(location_id)

    def begin(self, run: _Run[Any]) -> None:
        """Have a run know what is known of locations, and learn what comes."""
        self._runs.add(run)
        for location_id in self._trusted:
            run.backlog.trust(location_id)
        for location_id in self.closed:
            run.backlog.close(location_id)

    def end(self, run: _Run[Any]) -> None:
        """Let go of a run."""
        self._runs.discard(run)


async def until_stopped(reading: Coroutine[Any, Any, R], stop: asyncio.Event | None) -> R:
    """Return what a reading returns. It is broken off where `stop` is set: nothing is lost by that.

    Raises:
        InterruptedError: `stop` was set.
        Exception: What the reading raised.
    """
    if stop is None:
        return await reading
    task, watcher = asyncio.create_task(reading), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([task, watcher], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise InterruptedError(0, "interrupted")
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
        await asyncio.wait([task, watcher])


class _PoolItem(Item, Generic[T]):
    """An item on its way."""

    __slots__ = ("value",)

    def __init__(self, index: int, location_id: str, value: T) -> None:
        super().__init__(index, location_id, ())
        self.value = value


class _Run(Generic[T]):
    """One run of a pool; its arguments are those of `Pool.run`.

    Attributes:
        backlog: Items that were read, and are not done.
        busy: What each worker is at.
    """

    def __init__(
        self,
        pool: Pool,
        items: Iterable[T],
        work: Callable[[T], Awaitable[None]],
        location_of: Callable[[T], str],
        on_failed: Callable[[T, CallError], None] | None,
        concurrency: int,
    ) -> None:
        self._pool = pool
        self._breaker = pool.breaker
        self._caller = pool.caller
        self._items = iter(items)
        self._work = work
        self._location_of = location_of
        self._on_failed = on_failed
        self._concurrency = max(concurrency, 1)
        self.backlog: Backlog[_PoolItem[T]] = Backlog(
            self._concurrency,
            most=self._concurrency * _WAITING,
            look_ahead=_LOOK_AHEAD,
            room=pool.caller.window,
            home=pool.caller.location_id or "",
        )
        self.busy: dict[asyncio.Task[Any], _PoolItem[T]] = {}
        self._at_breaker: set[asyncio.Task[Any]] = set()
        self._timers: list[Timer] = []
        self._reason: LeadConnectorError | None = None
        self._is_over = False  # nothing more is begun

    async def run(self, stop: asyncio.Event) -> LeadConnectorError | None:
        if stop.is_set():
            return None
        self._pool.begin(self)
        watcher, feeder = asyncio.create_task(self._stop_on(stop)), asyncio.create_task(self._feed())
        feeder.add_done_callback(lambda _: self.backlog.end())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._go_on())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            watcher.cancel()
            feeder.cancel()
            await asyncio.wait([watcher, feeder])
            self._pool.end(self)
            for timer in self._timers:
                timer.cancel()
        if not feeder.cancelled():
            feeder.result()  # raises what the items raised
        return self._reason

    # ------------------------------------------------------------------------------------------ items in

    async def _feed(self) -> None:
        index = 0
        try:
            while found := await in_thread(self._read_batch):
                for value in found:
                    if self.backlog.is_full:
                        await self.backlog.wait_for_room()
                    if self._is_over:
                        return
                    self.backlog.put(_PoolItem(index, self._location_of(value), value))
                    index += 1
        except LeadConnectorError as error:
            self._end(error)

    def _read_batch(self) -> list[T]:
        found, until = list[T](), time.monotonic() + _BATCH_SECONDS
        for item in self._items:
            found.append(item)
            if len(found) >= _BATCH_ITEMS or time.monotonic() >= until or self._is_over:
                break
        return found

    # ------------------------------------------------------------------------------------------ workers

    async def _go_on(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        while (item := await self.backlog.get()) is not None:
            self.busy[task] = item
            is_done = True
            try:
                is_done = await self._carry_out(item, task)
            finally:
                del self.busy[task]
                self._breaker.leave(item)
                if is_done or self._is_over:
                    self._breaker.forget(item)
                    self.backlog.done(item)
                else:
                    self.backlog.put_back(item)

    async def _carry_out(self, item: _PoolItem[T], task: asyncio.Task[Any]) -> bool:
        """Do what is to be done with an item; return False where it is to be begun anew later."""
        try:
            failure = await self._wait_for_service(item, task)
            if self._is_over or item.location_id in self._pool.closed:
                return True
            if failure is not None:
                self._fail(item, failure)
                return True
            await self._work(item.value)
        except LocationClosedError:
            return True
        except CallError as error:
            return self._settle(item, error)
        except (DailyQuotaExceededError, RateLimitStuckError) as error:
            return self._wait_for_quota(item, error)
        except LeadConnectorError as error:
            self._end(error)
            return True
        self._breaker.succeed(item)
        return True

    async def _wait_for_service(self, item: _PoolItem[T], task: asyncio.Task[Any]) -> CallError | None:
        """Wait until the item may be worked on; return why not where it has failed on its own."""
        self._at_breaker.add(task)
        try:
            return await self._breaker.enter(item)
        finally:
            self._at_breaker.discard(task)

    def _settle(self, item: _PoolItem[T], error: CallError) -> bool:
        """Judge a call that did not succeed; return False where its item is to be begun anew later."""
        if not is_worth_repeating(error):
            self._breaker.succeed(item)
            self._fail(item, error)
        elif not self._is_over:  # else its call was halted, which proves nothing
            try:
                self._breaker.give_up(item, error)
            except LeadConnectorError as outage:
                self._end(outage)
            return False
        return True

    def _fail(self, item: _PoolItem[T], error: CallError) -> None:
        if is_token_refused(error) or self._on_failed is None:
            self._end(error)
        else:
            self._on_failed(item.value, error)

    def _wait_for_quota(self, item: _PoolItem[T], error: DailyQuotaExceededError | RateLimitStuckError) -> bool:
        """Keep the items of a location until its next day, or until others may have let go of its quota."""
        if not self._pool.waits_for_quota:  # the call was made otherwise than by the pool
            self._end(error)
            return True
        if not self._timers:
            _log.warning("%s; work on it waits", error)
        self.backlog.hold(item.location_id)
        resume = partial(self.backlog.resume, item.location_id)
        seconds = error.resets_in if isinstance(error, DailyQuotaExceededError) else _STORM_SECONDS
        self._timers.append(self._caller.clock.call_at(self._caller.clock.monotonic() + seconds, resume))
        return False

    # ------------------------------------------------------------------------------------------ the end

    async def _stop_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._end(None)
        for task in tuple(self.busy):
            if task in self._at_breaker or self._caller.halt(task):
                task.cancel()

    def _end(self, reason: LeadConnectorError | None) -> None:
        """Begin nothing more; what was begun is finished."""
        if self._is_over:
            return
        self._is_over, self._reason = True, reason
        self.backlog.empty()
        self._breaker.close()
