"""The lead of a load: hand locations to the workers, and follow those that come and go."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from ..bulk.report import Tally
from ..errors import LeadConnectorError, OutageError
from .dispatch import Dispatcher, Ending, LoadSetup, WorkerReport
from .load import hear, serve
from .workers import Cluster

_log = logging.getLogger(__name__)

_BEAT_SECONDS: Final = 0.5
_BEATS: Final = 12  # at least, in the time of a lease
_PATIENCE_SECONDS: Final = 60.0  # without any worker
_MOST_FAILURES: Final = 3  # of the task of a worker

_decode: Final = msgspec.msgpack.Decoder(WorkerReport).decode


class HoldsLead(Protocol):
    """Whether orders may be given."""

    ended: Exception | None

    @property
    def is_held(self) -> bool:
        """Whether they may now."""


class Lead:
    """Has the workers of a cluster load all locations.

    Args:
        cluster: The workers.
        dispatcher: Says who loads what.
        setup: What a worker needs to know.
        leadership: Says whether this process may lead.
        on_ending: Called with each location that is done or stopped.
        run: A worker's task, and what talks to it; another one in simulations.

    Attributes:
        under_way: The counts of each worker's locations that are not done.
        failure: Why it gave up, or None.
    """

    def __init__(
        self,
        cluster: Cluster,
        dispatcher: Dispatcher,
        setup: LoadSetup,
        leadership: HoldsLead,
        on_ending: Callable[[Ending], None],
        *,
        serve: Callable[[str, bytes], Any] = serve,
    ) -> None:
        self._cluster = cluster
        self._dispatcher = dispatcher
        self._setup = msgspec.msgpack.encode(setup)
        self._beat = min(_BEAT_SECONDS, setup.lease_seconds / _BEATS)
        self._call_seconds = setup.lease_seconds / 2
        self._leadership = leadership
        self._on_ending = on_ending
        self._serve = serve
        self._numbers = itertools.count(1)
        self._attended: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, int] = {}
        self._alone_since = time.monotonic()
        self.under_way: dict[str, Tally] = {}
        self.failure: Exception | None = None
        self._last_failure: OutageError | None = None
        self._is_given_up = False

    async def run(self, name: str) -> None:
        """Work until all locations are done or stopped, or it cannot go on.

        Args:
            name: What tasks are called after.
        """
        try:
            while not (self._dispatcher.is_over and not self._attended) and not self._is_given_up:
                await self._look_round(name)
                await asyncio.sleep(self._beat)
        except OutageError as error:
            self._give_up(error)
        finally:
            for task in self._attended.values():
                task.cancel()
            await asyncio.gather(*self._attended.values(), return_exceptions=True)

    def fail_with(self, task: asyncio.Task[None]) -> None:
        """Have workers end in order where another task failed."""
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.failure = self.failure or error
            self._dispatcher.is_stopping = True

    def _give_up(self, reason: Exception) -> None:
        """Leave the workers to themselves: they end with their leases."""
        self.failure = self.failure or reason
        self._is_given_up = True

    async def _look_round(self, name: str) -> None:
        """Take in who has come, and let go of who has gone."""
        there = set(await self._cluster.workers())
        for worker in self._attended.keys() - there:
            self._attended[worker].cancel()
        if not self._dispatcher.is_over:
            new = [worker for worker in sorted(there) if self._may_have(worker)]
            for worker in new:
                self._dispatcher.admit(worker)
            for worker in new:
                task = asyncio.create_task(self._attend(worker, f"{name}-{next(self._numbers)}"))
                self._attended[worker] = task
                task.add_done_callback(partial(self._leave, worker))
        if there and self._last_failure is not None and not any(map(self._is_trusted, there)):
            self._give_up(self._last_failure)
        self._check_lead()

    def _is_trusted(self, worker: str) -> bool:
        return self._failures.get(worker, 0) < _MOST_FAILURES

    def _may_have(self, worker: str) -> bool:
        return worker not in self._attended and self._is_trusted(worker)

    def _check_lead(self) -> None:
        now = time.monotonic()
        if self._attended or self._dispatcher.is_over:
            self._alone_since = now
        elif now - self._alone_since > _PATIENCE_SECONDS:
            self._give_up(OutageError(f"the cluster has had no working worker for {_PATIENCE_SECONDS:.0f} s"))
        if self._leadership.ended is not None:
            self._give_up(self._leadership.ended)

    def _leave(self, worker: str, task: asyncio.Task[None]) -> None:
        del self._attended[worker]
        self.under_way.pop(worker, None)
        self._dispatcher.lose(worker)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("worker %s: %s: %s", worker, type(error).__name__, error)
            self._failures[worker] = self._failures.get(worker, 0) + 1
            sentence = str(error) if isinstance(error, LeadConnectorError) else f"{type(error).__name__}: {error}"
            self._last_failure = OutageError(f"worker {worker} cannot go on: {sentence}")

    async def _attend(self, worker: str, name: str) -> None:
        """Talk to a worker until it has no more to do, or is not heard any more.

        Raises:
            LeadConnectorError: Its task failed.
        """
        future = self._cluster.submit(self._serve, name, self._setup, worker=worker, key=name)
        try:
            while True:
                is_over = self._dispatcher.is_over
                if self._leadership.is_held and await self._talk(worker, name) and is_over:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(_result(future), self._call_seconds)  # it closes its client
                    return
                if future.status == "error":
                    await future  # raises what the task raised
                if future.status != "pending" or self._dispatcher.is_unheard(worker, time.monotonic()):
                    return
                await asyncio.sleep(self._beat)
        finally:
            if future.status == "pending" and not self._dispatcher.is_over:
                future.release()

    async def _talk(self, worker: str, name: str) -> bool:
        """Give orders, take in the report, and return whether the worker answered."""
        orders = self._dispatcher.orders_for(worker, time.monotonic())
        data = await self._cluster.call(worker, hear, name, msgspec.msgpack.encode(orders), seconds=self._call_seconds)
        if data is None:
            return False
        report = _decode(data)
        self.under_way[worker] = report.under_way
        for ending in self._dispatcher.hear(worker, orders, report, time.monotonic()):
            self._on_ending(ending)
        return True


async def _result(future: Any) -> Any:
    return await future
