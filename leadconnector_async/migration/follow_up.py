"""Calls that a load makes after its upserts: each settles rows, one call for one row or for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from ..bulk.breaker import Breaker
from ..bulk.row import is_token_refused
from ..bulk.run_log import pace_of
from ..bulk.traces import Span
from ..calls.call import Call
from ..calls.retry import is_worth_repeating
from ..client import LeadConnector
from ..errors import CallError, DailyQuotaExceededError, LeadConnectorError, OutageError, StopRequestedError
from ..protocol import Request
from ..run.journal import Journal
from ..run.rows import RunFile
from ..run.timeline import LaterCall
from .books import TagBook, Tagged
from .sweep import Access, LocationClosedError

_WORKERS: Final = 8
_MOST_FAILURES: Final = 3  # of one call while others succeed: it may be this one that the service cannot cope with
_WRITE_SECONDS: Final = 1.0
A = TypeVar("A")


class Errand(Struct, Generic[A], frozen=True):
    """One call.

    Attributes:
        location_id: The location.
        rows: How many rows it settles.
        request: What to send; safe to repeat.
        read: Says of each row what the answer says of it.
        refuse: Says of each row what an error that is about these rows says of it.
        leave_traces: Has the journal know what an answer left of contacts, and when.
    """

    location_id: str
    rows: int
    request: Request[A]
    read: Callable[[A], list[Tagged]]
    refuse: Callable[[LeadConnectorError], list[Tagged]]
    leave_traces: Callable[[A, Span | None], None]


class FollowUp:
    """Sends calls under the limits of their locations, some at a time. While the service is down, they wait.

    Rows that are done are left out, so it may be begun anew at any time.

    Args:
        files: The rows.
        journal: With what became of them; it counts the calls, for the load over time.
        book: Keeps what became of each row here.
        client: Where to send.
        access: Which locations take calls.

    Attributes:
        stopped: What ended it early, or None.
    """

    def __init__(
        self, files: Sequence[RunFile], journal: Journal, book: TagBook, client: LeadConnector, access: Access
    ) -> None:
        self._files = files
        self._journal = journal
        self._book = book
        self._client = client
        self._access = access
        self._busy: dict[asyncio.Task[None], Call[Any] | None] = {}
        self._breaker = Breaker(client.clock)
        self._calls: list[LaterCall] = []  # that the journal does not know of yet
        self._written_at = client.clock.monotonic()
        self.stopped: LeadConnectorError | None = None

    def _errands(self) -> Iterator[Errand[Any]]:
        """Yield the calls that are to be made still; read in a thread, one by one."""
        raise NotImplementedError

    def _on_settled(self, told: list[Tagged]) -> None:
        """Take note of what became of rows, after each call."""

    async def run(self, stop: asyncio.Event) -> None:
        """Make all calls.

        Args:
            stop: Set it to end in order: calls in flight finish.

        Raises:
            JournalError: What was done cannot be written; it is safe to do it again.
            ConfigurationError: A file can be read no more.
        """
        errands, turn = self._errands(), asyncio.Lock()
        watcher = asyncio.create_task(self._stop_on(stop))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_WORKERS):
                    group.create_task(self._work(errands, turn))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            watcher.cancel()
            self._write_calls()
        self.stopped = self.stopped or self._access.reason

    async def _stop_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.stopped = StopRequestedError("the load was asked to stop")
        for task, call in self._busy.items():
            if call is not None:
                call.tries.is_halted = True
            if call is None or not call.tries.is_out:
                task.cancel()

    async def _work(self, errands: Iterator[Errand[Any]], turn: asyncio.Lock) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        while self.stopped is None:
            async with turn:
                errand = await asyncio.to_thread(next, errands, None)
            if errand is None or self.stopped is not None:
                return
            self._busy[task] = None
            try:
                await self._run_errand(errand)
            finally:
                del self._busy[task]

    async def _run_errand(self, errand: Errand[Any]) -> None:
        """Send one call; again when the next day has come, or while the service is down."""
        failures = 0
        while self.stopped is None and errand.location_id not in self._access.closed:
            was_open = self._breaker.is_open
            is_probe = was_open and await self._breaker.wait()
            try:
                await self._access.call(errand.location_id, partial(self._send, errand))
                self._breaker.succeed()
                return
            except LocationClosedError:
                self._breaker.succeed()
            except CallError as error:
                failures += not was_open
                if self._is_settled(errand, error, is_probe=is_probe, is_last=failures >= _MOST_FAILURES):
                    return
            except DailyQuotaExceededError as error:  # else it closes the location
                self._breaker.succeed()
                await self._client.clock.sleep(error.resets_in)
            except LeadConnectorError as error:
                self._breaker.succeed()
                self.stopped = self.stopped or error
            finally:
                if is_probe:
                    self._breaker.end_probe()

    async def _send(self, errand: Errand[Any]) -> None:
        call = Call(errand.request)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a coroutine runs in a task here)
        self._busy[task] = call
        told: list[Tagged] = []
        try:
            answer = await self._client.send(call)
            # Before the rows count as done: should this process die in between, they are sent again.
            errand.leave_traces(answer, call.tries.span(self._client.server_clock, self._client.clock.monotonic()))
            told = errand.read(answer)
        finally:
            self._busy[task] = None
            self._book.note(told, attempts=call.tries.count, rate_limited=call.tries.rate_limited)
            self._note_call(errand.location_id, call)
        self._on_settled(told)

    def _is_settled(self, errand: Errand[Any], error: CallError, *, is_probe: bool, is_last: bool) -> bool:
        """Note what an error says, and whether the call is not to be sent again."""
        if is_worth_repeating(error):
            self._breaker.fail(is_probe=is_probe, rows=errand.rows)
            longest = self._client.retry.max_outage
            if self._breaker.open_for > longest:
                self.stopped = OutageError(f"the service has answered no call for {longest:.0f} s ({error})")
                self._breaker.close()
            if not is_last:
                return False
        else:
            self._breaker.succeed()
        if is_token_refused(error):
            self.stopped = self.stopped or error
        elif self.stopped is None:
            told = errand.refuse(error)
            self._book.note(told)
            self._on_settled(told)
        return True

    def _note_call(self, location_id: str, call: Call[Any]) -> None:
        """Have the journal count a call; once a second, as writing takes its time."""
        clock = self._client.clock
        if tries := call.tries.count + call.tries.rate_limited:
            self._calls.append(LaterCall(clock.time(), tries, pace_of([self._client.window(location_id)])))
        if clock.monotonic() - self._written_at >= _WRITE_SECONDS:
            self._write_calls()

    def _write_calls(self) -> None:
        calls, self._calls = self._calls, []
        self._written_at = self._client.clock.monotonic()
        if calls:
            self._journal.write_later_calls(calls)
