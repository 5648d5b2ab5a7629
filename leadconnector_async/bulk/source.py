"""Read rows from whatever the caller has: in small batches, never far ahead, and without blocking the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from concurrent.futures import Future
from enum import Enum
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from ..errors import InvalidContactError, UsageError
from ..models import ContactUpsert
from ..models.records import Record, Table, rows_of

Given: TypeAlias = "ContactUpsert | Record | InvalidContactError | Skipped | Closing | Creation | Finished"
"""A contact, its fields by their names, what is wrong with a row that could not be read (it becomes a failed outcome),
why a row is not to be sent, whose channels are to be closed before the rest of a row is sent, or what to make of a row
that nothing finds again."""


class Row(Struct, frozen=True):
    """A row with something of the caller's, such as the message of a queue that it came in.

    Attributes:
        contact: What to send: a contact, or its fields by their names. An `InvalidContactError` where what came could
            not be read: the row fails with it.
        ref: Anything. `outcome.ref` brings it back; it is never stored, sent, or looked into.
    """

    contact: ContactUpsert | Record | InvalidContactError
    ref: Any = None


AnyRow: TypeAlias = "Given | Row"


class Finished(Enum):
    """Stands for a row whose outcome is in the journal already, so that it need not be read."""

    FINISHED = "finished"


FINISHED: Final = Finished.FINISHED


class Skipped(Struct, frozen=True):
    """Stands for a row that is not sent, on purpose.

    Attributes:
        reason: Why, in one sentence that is the same for all rows that are left out for that reason.
        contact_id: The contact that it is about, where that is known.
        note: What else there is to know of this one, or None.
    """

    reason: str
    contact_id: str | None = None
    note: str | None = None


class Closing(Struct, frozen=True):
    """Stands for a row that closes channels by an update of their own.

    Attributes:
        contact_id: The contact whose channels are closed before anything else of the row is sent; None where it is not
            known, or where they are closed already. Of a row of which nothing else is sent it is looked up then, by the
            row's email and phone, as an upsert would find it.
        wanted: Whom the row is about, and what it closes; see `closing.closings_of`.
        rest: What else of the row is sent, or why nothing is: left out on purpose, or refused. If it reaches another
            contact, that is closed after it.
    """

    contact_id: str | None
    wanted: ContactUpsert
    rest: ContactUpsert | Skipped | InvalidContactError


class Creation(Struct, frozen=True):
    """Stands for a row without an id, an email or a phone, of which a contact is made.

    The service would make another one each time, so that it is sent once, and never again where it may have been
    applied.
    """

    contact: ContactUpsert


T = TypeVar("T")
Source: TypeAlias = "Iterable[AnyRow] | AsyncIterable[AnyRow] | Table"

_BATCH_ROWS = 100
_BATCH_SECONDS = 0.05  # a slow source is not kept waiting for a full batch


def open_source(source: Source) -> RowSource:
    """Choose how to read a source.

    Raises:
        UsageError: It is nothing that can be read row by row.
    """
    if isinstance(source, AsyncIterable):
        return AsyncSource(source)
    if isinstance(source, list | tuple):
        return ListSource(source)
    if (rows := rows_of(source)) is not None:
        return ThreadSource(rows, has_end=True)
    if isinstance(source, Mapping | str | bytes) or not isinstance(source, Iterable):
        raise UsageError(f"contacts must be an iterable or async iterable of contacts, not {type(source).__name__}")
    return ThreadSource(source, has_end=isinstance(source, Sized))


class RowSource:
    """Rows in batches. What the caller's iterable raises comes out of `batch` as it is.

    Attributes:
        can_read_rest: Whether reading can go on after a `batch` that was cancelled.
        has_end: Whether it is known to end.
    """

    can_read_rest = True
    has_end = False

    async def batch(self) -> list[AnyRow]:
        """Return the next rows, none at the end. A call that was cancelled loses no rows of a sync source."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the caller's iterable."""


class ListSource(RowSource):
    """Rows that are in memory already."""

    has_end = True

    def __init__(self, rows: list[AnyRow] | tuple[AnyRow, ...]) -> None:
        self._rows = PulledRows(rows)

    async def batch(self) -> list[AnyRow]:
        self._rows.pull()
        return self._rows.take() or []


class ThreadSource(RowSource):
    """A sync iterable, pulled in one thread of its own: a slow cursor does not block the loop, and one thread alone
    ever touches it. The thread is a daemon: one that blocks for ever does not keep the process alive, as an executor's
    would."""

    def __init__(self, rows: Iterable[AnyRow], *, has_end: bool) -> None:
        self.has_end = has_end
        self._rows = PulledRows(rows)
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._pending: asyncio.Future[None] | None = None

    async def batch(self) -> list[AnyRow]:
        while (rows := self._rows.take()) == []:
            if self._pending is None:
                self._pending = self._order(self._rows.pull)
            # Where the source is slow, the rows that are there do not wait for the others of their batch.
            await asyncio.wait([self._pending], timeout=_BATCH_SECONDS)
            if self._pending.done():
                pending, self._pending = self._pending, None
                pending.result()
            else:
                await self._news()
        return rows or []

    async def _news(self) -> None:
        """Wait until a row waits, or the thread has done what was ordered."""
        news = asyncio.Event()
        self._rows.on_news = partial(asyncio.get_running_loop().call_soon_threadsafe, news.set)
        try:
            if not (self._rows.is_any_waiting or self._pending is None or self._pending.done()):
                await news.wait()
        finally:
            self._rows.on_news = None

    async def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
        elif self._thread is not None:
            await self._order(self._rows.close)
        self._orders.put(None)

    def _order(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if self._thread is None:
            self._thread = Thread(target=_carry_out, args=(self._orders,), name="leadconnector-source", daemon=True)
            self._thread.start()
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # from here on nobody but the thread ends it
        self._orders.put((work, done))
        return asyncio.wrap_future(done)


_Order: TypeAlias = tuple[Callable[[], Any], Future[Any]]


def _carry_out(orders: SimpleQueue[_Order | None]) -> None:
    while (order := orders.get()) is not None:
        work, done = order
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)
            if not isinstance(error, Exception):
                raise


class AsyncSource(RowSource):
    """An async iterable, awaited row by row."""

    can_read_rest = False

    def __init__(self, rows: AsyncIterable[AnyRow]) -> None:
        self._rows: AsyncIterator[AnyRow] = aiter(rows)

    async def batch(self) -> list[AnyRow]:
        try:
            return [await anext(self._rows)]
        except StopAsyncIteration:
            return []

    async def close(self) -> None:
        close = getattr(self._rows, "aclose", None)
        if close is not None:
            await close()


class PulledRows:
    """A sync iterable, pulled in batches; what it raises is raised after the rows before it were taken.

    Attributes:
        on_news: Called once, in the thread that pulls, when a row has come or none will.
    """

    def __init__(self, rows: Iterable[AnyRow]) -> None:
        self._source = rows
        self._rows: Iterator[AnyRow] | None = None
        self._waiting: list[AnyRow] = []  # one thread appends, another takes
        self._failure: Exception | None = None
        self._has_ended = False
        self.on_news: Callable[[], object] | None = None

    def pull(self) -> None:
        """Let the next rows wait to be taken."""
        until = time.monotonic() + _BATCH_SECONDS
        try:
            if self._rows is None:
                self._rows = iter(self._source)
            for count, row in enumerate(self._rows, 1):
                self._waiting.append(row)
                if self.on_news is not None:
                    self._notify()
                if count >= _BATCH_ROWS or time.monotonic() >= until:
                    return
        except (Exception, asyncio.CancelledError) as error:
            # Neither of these two can cross a Future as what it is: one hangs it, the other passes for our own.
            if isinstance(error, StopIteration | asyncio.CancelledError):
                self._failure = RuntimeError(f"the source raised {type(error).__name__}")
            else:
                self._failure = error
        finally:
            self._notify()
        self._has_ended = True

    def _notify(self) -> None:
        notify, self.on_news = self.on_news, None
        if notify is not None:
            notify()

    @property
    def is_any_waiting(self) -> bool:
        """Whether there are rows to be taken."""
        return bool(self._waiting)

    def take(self) -> list[AnyRow] | None:
        """Return the rows that wait; after the last, raise what the source raised, or return None."""
        has_ended = self._has_ended  # looked at first, as the other thread sets it last
        rows = self._waiting[:]
        del self._waiting[: len(rows)]
        if rows or not has_ended:
            return rows
        if self._failure is not None:
            raise self._failure
        return None

    def close(self) -> None:
        """Close a generator."""
        close: Callable[[], None] | None = getattr(self._rows, "close", None)
        if close is not None:
            close()
