"""One timer for all calls in flight, instead of one each: a good part of what a call costs would go into timers."""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import Any

_CHECKS = 16  # in the time that is watched over; a call may take that share longer


class Watch:
    """Cancels the tasks that spend more than some time between `begin` and `end`.

    Args:
        seconds: How long a task may take; it is cancelled at most a sixteenth of that later.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}  # in the order of the deadlines, as all have the same time
        self._expired: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Watch over a task from now on."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._until[task] = self._loop.time() + self._seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds / _CHECKS, self._check)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Watch no more, and say whether this cancelled the task and nobody else did."""
        self._until.pop(task, None)
        if task not in self._expired:
            return False
        self._expired.remove(task)
        return task.uncancel() == 0

    def _check(self) -> None:
        assert self._loop is not None  # noqa: S101  (begin set it)
        self._timer = None
        now = self._loop.time()
        for task in [*takewhile(lambda task: self._until[task] <= now, self._until)]:
            del self._until[task]
            self._expired.add(task)
            task.cancel()
        if self._until:
            self._timer = self._loop.call_later(self._seconds / _CHECKS, self._check)
