"""Rows from whatever the caller has: pulled in small batches, never far ahead, and never blocking the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from .errors import InvalidContactError, UsageError
from .models import ContactUpsert

Row: TypeAlias = ContactUpsert | Mapping[str, Any] | InvalidContactError
"""A contact, a dict of its fields, or what is wrong with a row that could not be read: it becomes a failed outcome."""
Source: TypeAlias = Iterable[Row] | AsyncIterable[Row]

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
    if isinstance(source, Mapping | str | bytes) or not isinstance(source, Iterable):
        raise UsageError(f"contacts must be an iterable or async iterable of contacts, not {type(source).__name__}")
    return ThreadSource(source)


class RowSource:
    """Rows in batches. What the caller's iterable raises comes out of `batch` as it is.

    Attributes:
        can_read_rest: Whether reading can go on after a `batch` that was cancelled.
    """

    can_read_rest = True

    async def batch(self) -> list[Row]:
        """Return the next rows, none at the end. A call that was cancelled loses no rows of a sync source."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the caller's iterable."""


class ListSource(RowSource):
    """Rows that are in memory already."""

    def __init__(self, rows: list[Row] | tuple[Row, ...]) -> None:
        self._rows = Rows(rows)

    async def batch(self) -> list[Row]:
        return self._rows.pull()


class ThreadSource(RowSource):
    """A sync iterable, pulled in one thread of its own: a slow cursor does not block the loop, and one thread alone
    ever touches it."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = Rows(rows)
        self._thread = ThreadPoolExecutor(1, "leadconnector-source")
        self._pending: asyncio.Future[list[Row]] | None = None

    async def batch(self) -> list[Row]:
        if self._pending is None:
            self._pending = asyncio.get_running_loop().run_in_executor(self._thread, self._rows.pull)
        rows = await asyncio.shield(self._pending)
        self._pending = None
        return rows

    async def close(self) -> None:
        if self._pending is None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._rows.close)
        else:
            self._pending.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._thread.shutdown(wait=False)


class AsyncSource(RowSource):
    """An async iterable, awaited row by row."""

    can_read_rest = False

    def __init__(self, rows: AsyncIterable[Row]) -> None:
        self._rows: AsyncIterator[Row] = aiter(rows)

    async def batch(self) -> list[Row]:
        try:
            return [await anext(self._rows)]
        except StopAsyncIteration:
            return []

    async def close(self) -> None:
        close = getattr(self._rows, "aclose", None)
        if close is not None:
            await close()


class Rows:
    """A sync iterable, pulled in batches; what it raises is raised after the rows before it were handed over."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._source = rows
        self._rows: Iterator[Row] | None = None
        self._failure: Exception | None = None

    def pull(self) -> list[Row]:
        """Return the next rows, none at the end."""
        if self._failure is not None:
            raise self._failure
        until = time.monotonic() + _BATCH_SECONDS
        batch: list[Row] = []
        try:
            if self._rows is None:
                self._rows = iter(self._source)
            for row in self._rows:
                batch.append(row)
                if len(batch) >= _BATCH_ROWS or time.monotonic() >= until:
                    break
        except (Exception, asyncio.CancelledError) as error:
            # Neither of these two can cross a Future as what it is: one hangs it, the other passes for our own.
            if isinstance(error, StopIteration | asyncio.CancelledError):
                self._failure = RuntimeError(f"the source raised {type(error).__name__}")
            else:
                self._failure = error
            if not batch:
                raise self._failure from None
        return batch

    def close(self) -> None:
        """Close a generator."""
        close: Callable[[], None] | None = getattr(self._rows, "close", None)
        if close is not None:
            close()
