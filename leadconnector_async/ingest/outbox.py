"""An outbox: take contacts at once, keep them on disk, and send them when the limits allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..bulk.threads import in_thread, open_in_thread
from ..client import LeadConnector
from ..contacts.contacts import ContactLike, build_checked
from ..errors import (
    ClientStateError,
    ConfigurationError,
    InvalidContactError,
    OutboxFullError,
    UsageError,
)
from .drainer import Drainer, wait_for
from .store import (
    DeadLetter,
    NewEntry,
    Put,
    Receipt,
    Settled,
    Status,
    Store,
    Work,
    check,
    deliver,
    drop,
    forget,
    new_entry,
    put,
    retry,
)

_log = logging.getLogger(__name__)

OnSettled: TypeAlias = Callable[[Settled], Awaitable[None] | None]
"""What is done with each outcome; what it returns is awaited."""
WhenFull: TypeAlias = Literal["wait", "raise"]

_KEEP_KEYS: Final = timedelta(days=7)
_KEEP_DEAD: Final = timedelta(days=30)
_POLL_SECONDS: Final = 0.2
_READ_AT_ONCE: Final = 100
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_MOST_KEY_CHARS: Final = 512
_SERVERS: Final = ("redis://", "rediss://", "unix://")


class Outbox:
    """Contacts that wait on disk until they are sent. Open it with `async with`.

    Any number of processes of one machine put contacts into one file, and one of them drains it: it sends what waits,
    under the client's limits. Where that one ends, however it does, another takes over at once.

    - Contacts that share an email or phone are applied in the order in which they were stored. That holds within one
      outbox: loads and single calls may overtake it.
    - Each contact is sent at least once. A process that is killed leaves some in flight, which are sent again; those
      that may create duplicates are not, and become dead letters that are `unknown`.
    - What the service refuses is a dead letter. A refused token or location, 429, and outages pause the outbox; it goes
      on by itself, and `status` says why it waits.

    Args:
        client: Checks what is put, and sends it. It is open where this drains.
        target: The file; it is made, with mode 0600, where it is not there. SQLite lays others beside it.
        name: A file may hold several outboxes, which know nothing of each other.
        max_waiting: Contacts that may wait.
        when_full: What `put` does then: `"wait"` for room, or `"raise"`.
        keep_keys: For how long keys are known, and outcomes are kept that nobody asks for.
        keep_dead: For how long dead letters are kept.
        drain: Whether this process may be the one that sends what waits.
        on_outcome: Called with each outcome after it was written, in the process that drains; what it returns is
            awaited. Where it raises, it is called again later. After a crash it may get the last outcomes once more.
        is_made: Whether the file is made where it is not there.

    Attributes:
        client: The client.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    def __init__(
        self,
        client: LeadConnector,
        target: str | Path,
        *,
        name: str = "contacts",
        max_waiting: int = 100_000,
        when_full: WhenFull = "wait",
        keep_keys: timedelta = _KEEP_KEYS,
        keep_dead: timedelta = _KEEP_DEAD,
        drain: bool = True,
        on_outcome: OnSettled | None = None,
        is_made: bool = True,
    ) -> None:
        if str(target).startswith(_SERVERS):
            raise ConfigurationError("an outbox is kept in a file: name one, such as outbox.sqlite3")
        if not isinstance(max_waiting, int) or max_waiting < 1:
            raise ConfigurationError(f"max_waiting is {max_waiting!r}; it must be a number of at least 1")
        if when_full not in ("wait", "raise"):
            raise ConfigurationError(f"when_full is {when_full!r}; it must be 'wait' or 'raise'")
        if not name:
            raise ConfigurationError("the name of an outbox is empty")
        if on_outcome is not None and not drain:
            raise ConfigurationError("on_outcome is called where the outbox is drained; leave out drain=False")
        self.client = client
        self._path = Path(target)
        self._name = name
        self._most = max_waiting
        self._when_full = when_full
        self._keep_keys, self._keep_dead = keep_keys.total_seconds(), keep_dead.total_seconds()
        self._drains = drain
        self._is_made = is_made
        self._on_outcome = on_outcome
        self._file: Store | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self._batch: list[tuple[Work, asyncio.Future[Any]]] = []  # what was put in this turn of the loop
        self._writing: set[asyncio.Future[Any]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._drainer: Drainer | None = None

    async def __aenter__(self) -> Outbox:
        if self._loop is not None:
            raise ClientStateError("this outbox was opened before; make another one")
        if self._drains:
            self.client.check_open()
        self._loop = asyncio.get_running_loop()
        self._written = asyncio.Event()  # outcomes were written, in this process
        self._closed = asyncio.Event()
        opening = partial(Store, self._path, self._name, self.client.clock.time, is_made=self._is_made)
        self._file = store = await open_in_thread(opening)
        if self._drains:
            self._drainer = Drainer(
                self.client,
                store,
                keep_keys=self._keep_keys,
                keep_dead=self._keep_dead,
                on_written=self._note_written,
            )
            self._begin(self._drainer.run())
        if self._on_outcome is not None:
            self._begin(self._deliver(self._on_outcome))
        return self

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    def _note_written(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._written.set)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Take nothing more, let the calls in flight finish, and close the file; what waits stays there. May be called
        twice.

        Raises:
            Exception: A task of the outbox failed before, by an error of its own.
        """
        if self._file is None or self._is_closing:
            return
        self._is_closing = True
        try:
            await self._end_tasks()
        except asyncio.CancelledError:  # the file must not be closed, and its lock be free, while calls are in flight
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            raise
        finally:
            self._write_batch()
            while self._writing:
                await asyncio.wait(self._writing)
            await in_thread(self._file.close)

    async def _end_tasks(self) -> None:
        if self._drainer is not None:
            self._drainer.close()
            await asyncio.wait(self._tasks[:1])
        self._closed.set()  # from now on no more outcomes come
        self._written.set()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    # ------------------------------------------------------------------------------------------ putting

    async def put(self, contact: ContactLike, *, key: str | None = None, location_id: str | None = None) -> Receipt:
        """Store a contact, and return once it is on disk.

        Where this is cancelled, the contact may be stored or not.

        Args:
            contact: A contact, or a dict with its fields in snake_case or camelCase.
            key: Names the event that the contact comes from, such as the id of a message: the same contact under the
                same key is stored once.
            location_id: Where it goes; by default where the contact or the client says.

        Raises:
            InvalidContactError: It cannot be sent; nothing was stored.
            KeyConflictError: The key was used for another contact; nothing was stored.
            OutboxFullError: There is no room, and the outbox is not to wait for some.
            JournalError: It could not be written: the disk is full or gone.
            ClientStateError: The outbox is not open.
        """
        return await self._put(self._new_entry(contact, key, location_id))

    async def put_many(self, contacts: Iterable[ContactLike | Put]) -> list[Receipt]:
        """Store contacts, in their order, and return once all are on disk.

        Args:
            contacts: Contacts, or `Put`s with a key or location besides.

        Returns:
            Their receipts, in their order.

        Raises:
            InvalidContactError: One cannot be sent, and `where` says which; nothing was stored.
            LeadConnectorError: As `put`; the others were stored.
        """
        entries = [self._new_entry_at(number, one) for number, one in enumerate(contacts)]
        results = await asyncio.gather(*map(self._put, entries), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Receipt)]

    def _new_entry_at(self, number: int, one: ContactLike | Put) -> NewEntry:
        item = one if isinstance(one, Put) else Put(one)
        try:
            return self._new_entry(item.contact, item.key, item.location_id)
        except InvalidContactError as error:
            raise InvalidContactError(error.sentence, field=error.field, where=f"contact {number}") from None

    def _new_entry(self, contact: ContactLike, key: str | None, location_id: str | None) -> NewEntry:
        self._store()  # before anything else is said of it
        if key is not None and not _is_key(key):
            raise UsageError(f"a key is a text of 1 to {_MOST_KEY_CHARS} printable characters")
        whole = self.client.contacts.complete(contact, location_id=location_id)
        build_checked(whole, self.client.api_version)
        return new_entry(whole, key)

    async def _put(self, entry: NewEntry) -> Receipt:
        work = partial(put, entry, self._most, self._keep_keys)
        while True:
            try:
                receipt: Receipt = await self._write(work)
            except OutboxFullError:
                if self._when_full == "raise":
                    raise
                await self._wait_for_news()
            else:
                if self._drainer is not None:
                    self._drainer.news.set()
                return receipt

    def _write(self, work: Work) -> asyncio.Future[Any]:
        """Have a work written, together with all others of this turn of the loop."""
        self._store()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._write_batch)
        self._batch.append((work, done))
        return done

    def _write_batch(self) -> None:
        batch, self._batch = self._batch, []
        if batch and self._file is not None:
            written = asyncio.wrap_future(self._file.submit([work for work, _ in batch]))
            self._writing.add(written)
            written.add_done_callback(partial(self._finish_batch, [done for _, done in batch]))

    def _finish_batch(self, waiting: Sequence[asyncio.Future[Any]], written: asyncio.Future[list[Any]]) -> None:
        self._writing.discard(written)
        failure = written.exception()
        results = [failure] * len(waiting) if failure is not None else written.result()
        for done, result in zip(waiting, results, strict=True):
            if done.done():  # cancelled
                continue
            if isinstance(result, BaseException):
                done.set_exception(result)
            else:
                done.set_result(result)

    def _store(self) -> Store:
        if self._file is None or self._is_closing:
            raise ClientStateError(f"the outbox is {'closed' if self._is_closing else 'not open; use `async with`'}")
        if self._loop is not asyncio.get_running_loop():
            raise ClientStateError("the outbox belongs to another event loop")
        return self._file

    async def _wait_for_news(self, seconds: float = _POLL_SECONDS) -> None:
        """Wait until outcomes were written; by other processes it is noticed a little later."""
        self._written.clear()
        await wait_for(self._written, seconds, self.client)

    # ------------------------------------------------------------------------------------------ outcomes

    async def outcomes(self) -> AsyncGenerator[Settled, None]:
        """Yield what became of each contact, as it becomes known, until the outbox is closed.

        An outcome counts as handed over when the next one is asked for; one that was not is yielded again, by the next
        loop over this, in any process. Of several consumers at once, each may get all of them.

        Raises:
            ConfigurationError: `on_outcome` gets them already.
        """
        if self._on_outcome is not None:
            raise ConfigurationError("on_outcome gets the outcomes already; use one of the two")
        store, after = self._store(), 0
        while not self._is_closing:
            found = await in_thread(partial(store.outcomes, after, _READ_AT_ONCE))
            for settled in found:
                yield settled
                after = settled.number
                await self._write(partial(deliver, [settled.number]))
            if not found:
                await self._wait_for_news()

    async def _deliver(self, on_outcome: OnSettled) -> None:
        """Hand outcomes on while this process drains; once more, and later, where that fails."""
        pause = _FIRST_PAUSE
        while True:
            some = asyncio.ensure_future(self._deliver_some(on_outcome))
            await asyncio.wait([some])  # what `on_outcome` raises may be anything
            failure = asyncio.CancelledError() if some.cancelled() else some.exception()
            if failure is not None:
                # By its kind alone: what it says may name people.
                _log.warning("on_outcome raised %s; outcomes wait for %.0f s", type(failure).__name__, pause)
                await wait_for(self._closed, pause, self.client)
                pause = min(pause * 2, _LONGEST_PAUSE)
            elif some.result():
                pause = _FIRST_PAUSE
                continue
            elif not self._closed.is_set():
                await self._wait_for_news()
                continue
            if self._closed.is_set():
                return

    async def _deliver_some(self, on_outcome: OnSettled) -> bool:
        """Hand on the outcomes that are there; return whether there were any."""
        store, done = self._file, list[int]()
        if store is None or self._drainer is None or not self._drainer.is_draining:
            return False
        try:
            for settled in await in_thread(partial(store.outcomes, 0, _READ_AT_ONCE)):
                if (waiting := on_outcome(settled)) is not None:
                    await waiting
                done.append(settled.number)
        finally:
            if done:
                await asyncio.wrap_future(store.submit([partial(deliver, done)]))
        return bool(done)

    # ------------------------------------------------------------------------------------------ what there is

    async def status(self) -> Status:
        """Return how the outbox is doing."""
        status = await in_thread(self._store().status)
        if self._drainer is None or not self._drainer.is_draining:
            return status
        return msgspec.structs.replace(status, paused=self._drainer.paused())

    async def check(self) -> None:
        """Return where contacts can be stored.

        Raises:
            ClientStateError: The outbox is not open.
            JournalError: It cannot be written.
        """
        await self._write(check)

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  (of the client's clock)
        """Wait until all that waits now has its outcome, and `on_outcome` had it.

        Args:
            timeout: Seconds to wait at most; None for as long as it takes.

        Returns:
            Whether that is so; False where the time is up.
        """
        store, clock = self._store(), self.client.clock
        last = await in_thread(store.last_place)
        until = None if timeout is None else clock.monotonic() + timeout
        while not await in_thread(partial(self._is_done, store, last)):
            if until is not None and clock.monotonic() >= until:
                return False
            await self._wait_for_news()
            self._store()
        return True

    def _is_done(self, store: Store, place: int) -> bool:
        if store.has_entries_until(place):
            return False
        return self._on_outcome is None or not store.outcomes(0, 1)

    async def dead_letters(self) -> AsyncGenerator[DeadLetter, None]:
        """Yield the contacts that were given up, by id."""
        store, after = self._store(), 0
        while found := await in_thread(partial(store.dead_letters, after, _READ_AT_ONCE)):
            for letter in found:
                yield letter
                after = letter.id

    async def retry(self, ids: Iterable[int] | None = None, *, with_unknown: bool = False) -> int:
        """Let dead letters wait again, behind all others.

        Args:
            ids: Which; all by default.
            with_unknown: Whether to send those again, too, that may have been applied and may create a second contact.

        Returns:
            How many there were.
        """
        count: int = await self._write(partial(retry, _ids(ids), with_unknown))
        if self._drainer is not None:
            self._drainer.news.set()
        return count

    async def drop(self, ids: Iterable[int] | None = None) -> int:
        """Remove dead letters (all by default), and return how many there were."""
        count: int = await self._write(partial(drop, _ids(ids)))
        return count

    async def forget(self, *, email: str | None = None, phone: str | None = None) -> int:
        """Remove all that waits or was given up of a person, in every location; return how many contacts that were.

        A call that is in flight is not called back, and what was sent before is not undone.

        Raises:
            UsageError: Neither is given.
        """
        if not email and not phone:
            raise UsageError("give the email or the phone of the person to forget")
        count: int = await self._write(partial(forget, email, phone))
        return count


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("the outbox does no more work: %s", type(task.exception()).__name__)


def _is_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= _MOST_KEY_CHARS and key.isprintable()


def _ids(ids: Iterable[int] | None) -> tuple[int, ...] | None:
    return None if ids is None else tuple(ids)
