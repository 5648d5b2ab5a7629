"""A clock that tests move by hand, or that jumps to the next timer whenever nothing else is left to do."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_SETTLE = 6  # turns of the loop in which tasks that can go on do so


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Implements `leadconnector_async.clock.Clock`."""

    def __init__(self, wall: float = 1_790_000_000.0) -> None:
        self.now = 1_000.0
        self.wall_ahead = wall - self.now
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + self.wall_ahead

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call_at(self.now + seconds, lambda: None if done.done() else done.set_result(None))
        await done

    async def settle(self) -> None:
        for _ in range(_SETTLE):
            await asyncio.sleep(0)

    def _jump(self, until: float) -> bool:
        """Go to the next timer not later than `until`, and fire it."""
        while self._timers and self._timers[0][2].callback is None:  # cancelled
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0][0] > until:
            return False
        when, _, timer = heapq.heappop(self._timers)
        self.now = max(self.now, when)
        if timer.callback is not None:
            timer.callback()
        return True

    async def advance(self, seconds: float) -> None:
        """Let time pass, firing timers on the way."""
        until = self.now + seconds
        await self.settle()
        while self._jump(until):
            await self.settle()
        self.now = until

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work that waits for nothing but this clock."""
        task = asyncio.ensure_future(work)
        await self.settle()
        while not task.done():
            assert self._jump(float("inf")), "the work waits for something that never comes"
            await self.settle()
        return task.result()

    @contextlib.asynccontextmanager
    async def jumping(self) -> AsyncIterator[None]:
        """Within, jump to the next timer again and again, while no socket or thread has anything to say."""
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select = selector.select
        is_quiet = True

        def watch(timeout: float | None = None) -> Any:
            nonlocal is_quiet
            events = select(timeout)
            is_quiet = is_quiet and not events
            return events

        async def jump() -> None:
            nonlocal is_quiet
            while True:
                is_quiet = True
                await asyncio.sleep(0.002)
                if is_quiet:
                    self._jump(float("inf"))

        task = asyncio.create_task(jump())
        selector.select = watch
        try:
            yield
        finally:
            selector.select = select
            task.cancel()
