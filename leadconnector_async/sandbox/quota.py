"""The limits as the service counts them, and its six headers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

_DAY: Final = 86_400.0
WINDOWS: Final = ("fixed", "aligned", "sliding")
PROFILES: Final = {"standard": (100, 10.0, 200_000), "trial": (25, 10.0, 10_000)}


class SandboxQuota:
    """The calls of one location.

    Args:
        max_requests: Calls in one window.
        per_seconds: Its length.
        daily: Calls in 24 hours, which begin with the first call.
        window: `fixed` begins with a first call, `aligned` with each multiple of its length, `sliding` looks back.
        monotonic: The clock, in seconds.
    """

    def __init__(
        self, max_requests: int, per_seconds: float, daily: int, window: str, monotonic: Callable[[], float]
    ) -> None:
        self._max = max_requests
        self._seconds = per_seconds
        self._daily = daily
        self._window = window
        self._monotonic = monotonic
        self._arrivals: deque[float] = deque()
        self._since = -_DAY
        self._day_since = -_DAY
        self._day_used = 0

    def take(self) -> bool:
        """Count a call where there is room for it, and say whether there was. Refused calls do not count."""
        now = self._monotonic()
        self._turn(now)
        if len(self._arrivals) >= self._max or self._day_used >= self._daily:
            return False
        if self._window == "fixed" and not self._arrivals:
            self._since = now
        if not self._day_used:
            self._day_since = now
        self._arrivals.append(now)
        self._day_used += 1
        return True

    def _turn(self, now: float) -> None:
        """Forget what no longer counts."""
        arrivals = self._arrivals
        if self._window == "sliding":
            while arrivals and arrivals[0] <= now - self._seconds:
                arrivals.popleft()
        else:
            if self._window == "aligned":
                begin = now // self._seconds * self._seconds
            else:
                begin = now if now >= self._since + self._seconds else self._since
            if begin > self._since:
                arrivals.clear()
                self._since = begin
        if now >= self._day_since + _DAY:
            self._day_used = 0

    def headers(self) -> dict[str, str]:
        """Return the six headers, lower case as on the wire."""
        left = self._day_since + _DAY - self._monotonic() if self._day_used else _DAY
        return {
            "x-ratelimit-max": str(self._max),
            "x-ratelimit-remaining": str(self._max - len(self._arrivals)),
            "x-ratelimit-interval-milliseconds": str(round(self._seconds * 1000)),
            "x-ratelimit-limit-daily": str(self._daily),
            "x-ratelimit-daily-remaining": str(self._daily - self._day_used),
            "x-ratelimit-daily-reset": str(int(max(left, 0)) * 1000),
        }
