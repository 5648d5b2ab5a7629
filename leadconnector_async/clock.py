"""The one clock that limits, retries and tokens read, so that tests need not sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """What `Clock.call_at` returns."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """Time, in float seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back, from an unknown start."""

    def time(self) -> float:
        """Seconds since 1970, as far as this machine knows."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at a moment of `monotonic`, on the running event loop."""


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at a moment of `monotonic`; event loops may keep another clock, so it is handed over as a delay."""
        return asyncio.get_running_loop().call_later(when - time.monotonic(), callback)
