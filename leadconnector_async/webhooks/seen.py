"""Which deliveries came before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from ..clock import Clock, SystemClock
from ..errors import ConfigurationError


class SeenDeliveries(Protocol):
    """Remembers deliveries. With Redis, any number of processes can share it:

    `return bool(redis.set(f"webhook:{delivery}", 1, nx=True, px=int(seconds * 1000)))`

    What is to be awaited does not fit here: call it with `event.delivery` once `verify_webhook` has returned.
    """

    def add(self, delivery: str, seconds: float) -> bool:
        """Remember a delivery for so many seconds, and say whether it is new; both in one step."""


class SeenInMemory:
    """Remembers deliveries in this process; may be used from any thread.

    Args:
        max_deliveries: How many are kept; beyond, the oldest is forgotten before its time. Only genuine deliveries are
            kept at all, so that nobody else can fill it. 100,000 take some 20 MB, and are 300 a second over 5 minutes.
        clock: Where time comes from.

    Raises:
        ConfigurationError: `max_deliveries` is less than 1.
    """

    def __init__(self, *, max_deliveries: int = 100_000, clock: Clock | None = None) -> None:
        if max_deliveries < 1:
            raise ConfigurationError(f"max_deliveries is {max_deliveries}; it must be at least 1")
        self._max = max_deliveries
        self._clock = clock or SystemClock()
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, delivery: str, seconds: float) -> bool:
        """Remember a delivery for so many seconds, and say whether it is new."""
        now = self._clock.monotonic()
        with self._lock:
            while self._until and next(iter(self._until.values())) <= now:
                self._until.popitem(last=False)
            if self._until.get(delivery, now) > now:
                return False
            self._until.pop(delivery, None)  # it goes to the end
            if len(self._until) == self._max:
                self._until.popitem(last=False)
            self._until[delivery] = now + seconds
            return True

    def forget(self, delivery: str) -> None:
        """Take a delivery (`event.delivery`) as new when it comes again, as it could not be dealt with this time."""
        with self._lock:
            self._until.pop(delivery, None)
