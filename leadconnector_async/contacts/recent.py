"""The ids seen lately."""

from __future__ import annotations

from collections import deque


class Recent:
    """The last so many ids, to tell what comes a second time, in bounded memory."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._order: deque[str] = deque()
        self._ids: set[str] = set()

    def add(self, seen: str) -> bool:
        """Note an id, and return whether it is new among the last ones."""
        if seen in self._ids:
            return False
        if len(self._order) >= self._most:
            self._ids.discard(self._order.popleft())
        self._order.append(seen)
        self._ids.add(seen)
        return True
