"""Work that the disk may hold up, in threads: cancelled, it leaves nothing open or locked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

T = TypeVar("T")


class Closeable(Protocol):
    """What is to be closed."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Closeable)


async def in_thread(work: Callable[[], T]) -> T:
    """Return what work in a thread returns.

    A thread cannot be cancelled. So where this is cancelled, however often, it ends only after the work: else what that
    holds open would still be locked for whoever comes next.
    """
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        while not done.done():
            with suppress(asyncio.CancelledError):  # the one that is raised below stands for all
                await asyncio.wait([done])
        raise


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
