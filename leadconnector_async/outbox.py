"""The outcomes that wait for their consumer: bounded, so that a slow consumer slows the load."""

from __future__ import annotations

import asyncio

from .report import Outcome


class Outbox:
    """A bounded buffer between the workers and one consumer.

    Args:
        most: Outcomes that may wait before the workers do.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._outcomes: list[Outcome] = []
        self._has_ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._taken = asyncio.Event()

    def put(self, outcome: Outcome) -> None:
        """Add an outcome; await `wait_for_room` after it, or `wait_until_taken` after some."""
        self._outcomes.append(outcome)
        self._taken.clear()
        self._news.set()

    def wait_for_room(self, _outcome: Outcome) -> asyncio.Future[None] | None:
        """Return None where there is room, else what to await before the next row is begun."""
        if len(self._outcomes) < self._most or self._has_ended:
            return None
        self._room.clear()
        return asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        await self._room.wait()

    async def wait_until_taken(self) -> None:
        """Return when the consumer has done with all that was put."""
        if not self._has_ended:
            await self._taken.wait()

    async def take(self) -> list[Outcome]:
        """Return all that wait, waiting for the first; none once the load has ended."""
        if not self._outcomes:
            self._taken.set()  # whoever asks for more has done with what it got
        await self._news.wait()
        outcomes, self._outcomes = self._outcomes, []
        if not self._has_ended:
            self._news.clear()
        self._room.set()
        return outcomes

    def end(self, _task: object = None) -> None:
        """Say that no more outcomes will come."""
        self._has_ended = True
        self._news.set()
        self._room.set()
        self._taken.set()
