"""Calls that a load makes after its upserts: each settles rows, one call for one row or for many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from ..bulk.pool import Pool
from ..bulk.run_log import pace_of
from ..bulk.traces import Span
from ..calls.call import Call
from ..client import LeadConnector
from ..errors import ConfigurationError, JournalError, LeadConnectorError, StopRequestedError
from ..protocol import Request
from ..run.journal import Journal
from ..run.rows import RunFile
from ..run.timeline import LaterCall
from .books import TagBook, Tagged

_WORKERS: Final = 8
_WRITE_SECONDS: Final = 1.0
A = TypeVar("A")


class Errand(Struct, Generic[A], frozen=True):
    """One call.

    Attributes:
        location_id: The location.
        request: What to send; safe to repeat.
        read: Says of each row what the answer says of it.
        refuse: Says of each row what an error that is about these rows says of it.
        leave_traces: Has the journal know what an answer left of contacts, and when.
    """

    location_id: str
    request: Request[A]
    read: Callable[[A], list[Tagged]]
    refuse: Callable[[LeadConnectorError], list[Tagged]]
    leave_traces: Callable[[A, Span | None], None]


class FollowUp:
    """Sends calls under the limits of their locations, some at a time.

    Rows that are done are left out, so it may be begun anew at any time.

    Args:
        files: The rows.
        journal: With what became of them; it counts the calls, for the load over time.
        book: Keeps what became of each row here.
        client: Where to send.
        pool: Makes the calls.

    Attributes:
        stopped: What ended it early, or None.
    """

    def __init__(
        self, files: Sequence[RunFile], journal: Journal, book: TagBook, client: LeadConnector, pool: Pool
    ) -> None:
        self._files = files
        self._journal = journal
        self._book = book
        self._client = client
        self._pool = pool
        self._calls: list[LaterCall] = []  # that the journal does not know of yet
        self._written_at = client.clock.monotonic()
        self.stopped: LeadConnectorError | None = None

    def _errands(self) -> Iterator[Errand[Any]]:
        """Yield the calls that are to be made still; read in a thread."""
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
        try:
            reason = await self._pool.run(
                self._errands(),
                self._run_errand,
                location_of=lambda errand: errand.location_id,
                concurrency=_WORKERS,
                stop=stop,
                on_failed=self._refuse,
            )
        finally:
            self._write_calls()
        if isinstance(reason, JournalError | ConfigurationError):
            raise reason
        if reason is None and stop.is_set():
            reason = StopRequestedError("the load was asked to stop")
        self.stopped = reason or self._pool.reason

    async def _run_errand(self, errand: Errand[Any]) -> None:
        await self._pool.call(errand.location_id, partial(self._send, errand))

    def _refuse(self, errand: Errand[Any], error: LeadConnectorError) -> None:
        told = errand.refuse(error)
        self._book.note(told)
        self._on_settled(told)

    async def _send(self, errand: Errand[Any]) -> None:
        call = Call(errand.request)
        told: list[Tagged] = []
        try:
            answer = await self._client.send(call)
            # Before the rows count as done: should this process die in between, they are sent again.
            errand.leave_traces(answer, call.tries.span(self._client.server_clock, self._client.clock.monotonic()))
            told = errand.read(answer)
        finally:
            self._book.note(told, attempts=call.tries.count, rate_limited=call.tries.rate_limited)
            self._note_call(errand.location_id, call)
        self._on_settled(told)

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
