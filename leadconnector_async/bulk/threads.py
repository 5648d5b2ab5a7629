"""Work that the disk may hold up, in threads: cancelled, it leaves nothing open or locked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

T = TypeVar("T")


class Closeable(Protocol):
    """What is to be closed."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closeable)


async def in_thread(work: Callable[[], T], *, on_cancelled: Callable[[], None] = lambda: None) -> T:
    """Run work in a thread and return its result.

    A thread cannot be cancelled. Where this call is, however often, it ends only after the work: the work's files would
    still be in use or locked for whoever comes next.

    Args:
        work: What to run.
        on_cancelled: Called once when this is cancelled, to make the work end early.
    """
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        on_cancelled()
        while not done.done():
            with suppress(asyncio.CancelledError):  # the one that is raised below stands for all
                await asyncio.wait([done])
        raise


async def in_thread_until(is_stopped: Callable[[], bool], work: Callable[[Callable[[], bool]], T]) -> T:
    """Run long work in a thread; it ends early where it is told to stop, or this call is cancelled.

    Args:
        is_stopped: Whether the caller asked to stop.
        work: Takes a function to call now and then, which returns whether to end early.
    """
    cancelled = threading.Event()
    return await in_thread(lambda: work(lambda: cancelled.is_set() or is_stopped()), on_cancelled=cancelled.set)


async def open_in_thread(work: Callable[[], C]) -> C:
    """Return what is opened in a thread; where this is cancelled meanwhile, that is closed before it ends."""
    opened: list[C] = []
    try:
        await in_thread(lambda: opened.append(work()))
    except asyncio.CancelledError:
        for one in opened:
            await in_thread(one.close)
        raise
    return opened[0]
