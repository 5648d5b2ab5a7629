"""A circuit breaker: while the service is down, the load waits and probes instead of failing every row.

It opens when rows are given up one after the other and nothing is answered in between; a refusal is an answer, too. A
worker asks it before it takes a row, so that no row is held by a worker that only waits. While it is open, one worker
at a time waits out the pause, takes a row and sends it as the probe; the others wait for the end of that. Any answer
closes it, also one to a call that was sent before it opened. Workers that were waiting for a row when it opened send
that one without asking.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from ..clock import Clock

_log = logging.getLogger(__name__)

_ROWS_THAT_OPEN: Final = 5  # given up one after the other, with nothing answered in between
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Open while the service is down: then one row at a time is let through, with growing pauses.

    Args:
        clock: For the pauses.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._pause = _FIRST_PAUSE
        self._is_probing = False
        self._end_pause: Callable[[], None] = lambda: None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_open(self) -> bool:
        """Whether rows wait."""
        return self._opened_at is not None

    @property
    def open_for(self) -> float:
        """Seconds since it opened; 0 where it is closed."""
        return 0.0 if self._opened_at is None else self._clock.monotonic() - self._opened_at

    async def wait(self) -> bool:
        """Return when a row may be sent: True where it is a probe, after a pause."""
        while self.is_open:
            if not self._is_probing:
                self._is_probing = True
                await self._wait_out()
                return True
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        return False

    async def _wait_out(self) -> None:
        """Wait until the pause is over, or the breaker is closed."""
        over = asyncio.Event()
        self._end_pause = over.set
        timer = self._clock.call_at(self._clock.monotonic() + self._pause, over.set)
        try:
            await over.wait()
        except asyncio.CancelledError:
            self._next_probe()
            raise
        finally:
            timer.cancel()

    def succeed(self) -> None:
        """Say that the service answered."""
        self._failures = 0
        if self.is_open:
            _log.info("the service answers again after %.0f s", self.open_for)
            self.close()

    def fail(self, *, is_probe: bool, rows: int = 1) -> bool:
        """Say that rows were given up because the service is down; return whether they are to be sent again later."""
        self._failures += rows
        if is_probe and self.is_open:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        elif not self.is_open and self._failures >= _ROWS_THAT_OPEN:
            _log.warning("nothing was answered for %d rows; the load pauses until the service does", self._failures)
            self._opened_at = self._clock.monotonic()
            self._pause = _FIRST_PAUSE
        return self.is_open

    def end_probe(self) -> None:
        """Say that a probe is over, whatever came of it; where the service is still down, another is due."""
        if self.is_open:
            self._next_probe()

    def close(self) -> None:
        """Let all rows through."""
        self._opened_at = None
        self._is_probing = False
        self._end_pause()
        while self._waiting:
            self._wake()

    def _next_probe(self) -> None:
        self._is_probing = False
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
