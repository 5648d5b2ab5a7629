"""A clock that tests move by hand, or that jumps to the next timer when everything else waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from selectors import EVENT_READ, BaseSelector
from typing import Any, TypeAlias, TypeVar

from aiohttp import connector

T = TypeVar("T")
_Address: TypeAlias = tuple[str, int]

_SETTLE = 6  # turns of the loop in which tasks that can go on do so
_STUCK_SECONDS = 60.0  # real seconds that something under way may take: it hangs, and the test says so


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

    def next_timer(self) -> float | None:
        """When the next timer of this clock is due, if there is one."""
        while self._timers and self._timers[0][2].callback is None:  # cancelled
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def jump(self, until: float) -> bool:
        """Go to the next timer not later than `until`, and fire it."""
        when = self.next_timer()
        if when is None or when > until:
            return False
        timer = heapq.heappop(self._timers)[2]
        self.now = max(self.now, when)
        assert timer.callback is not None  # next_timer dropped those
        timer.callback()
        return True

    async def advance(self, seconds: float) -> None:
        """Let time pass, firing timers on the way."""
        until = self.now + seconds
        await self.settle()
        while self.jump(until):
            await self.settle()
        self.now = until

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work that waits for nothing but this clock."""
        task = asyncio.ensure_future(work)
        await self.settle()
        while not task.done():
            assert self.jump(float("inf")), "the work waits for something that never comes"
            await self.settle()
        return task.result()

    @contextlib.asynccontextmanager
    async def jumping(self) -> AsyncIterator[None]:
        """Within, the running loop keeps this clock's time, and jumps to its next timer whenever all else waits for it.

        Timers of the loop itself (`asyncio.sleep`, `asyncio.timeout`, aiohttp's keep-alive) are on this clock too, so
        that no real second decides what a test sees. What else can be under way is counted, not guessed: see `Traffic`.
        """
        loop = asyncio.get_running_loop()
        assert isinstance(loop, asyncio.SelectorEventLoop)
        selector: BaseSelector = loop._selector  # type: ignore[attr-defined]
        traffic, select, real_time = Traffic(loop, selector), selector.select, loop.time

        def wait(timeout: float | None = None) -> Any:
            # The order matters: a thread that ends wakes the loop first and is struck off then. Looked at the other way
            # round, it could end in between, and the clock would jump over what it brought.
            is_under_way = traffic.is_under_way()
            events = select(0)
            if events or (timeout is not None and timeout <= 0):
                return events
            if is_under_way:
                events = select(_STUCK_SECONDS)
                assert events, f"nothing has come for {_STUCK_SECONDS:.0f} s of: {traffic.describe()}"
                return events
            timers = [when for when in (self.next_timer(), _next_timer(loop)) if when is not None]
            if not timers:
                return select(_STUCK_SECONDS)  # a signal, another process: what comes from outside
            self.now = max(self.now, min(timers))
            while (when := self.next_timer()) is not None and when <= self.now:
                self.jump(when)
            return []

        selector.select = wait  # type: ignore[method-assign]
        loop.time = self.monotonic  # type: ignore[method-assign]
        # By real time, connections in the pool would never be idle for long enough to be closed, and be looked at in
        # vain every few seconds of this clock: thousands of times a day.
        real_monotonic, connector.monotonic = connector.monotonic, self.monotonic  # type: ignore[attr-defined]
        try:
            with traffic.counting():
                yield
        finally:
            connector.monotonic = real_monotonic  # type: ignore[attr-defined]
            selector.select = select  # type: ignore[method-assign]
            ahead = self.now - real_time()  # what is left of timers was set on this clock
            loop.time = lambda: real_time() + ahead  # type: ignore[method-assign]


def _next_timer(loop: asyncio.AbstractEventLoop) -> float | None:
    scheduled = loop._scheduled  # type: ignore[attr-defined]
    when: float | None = next((handle.when() for handle in scheduled[:1]), None)
    return when


class Traffic:
    """What is under way in a loop while no task can go on: bytes on loopback, connections, jobs in threads.

    Bytes between two sockets of the loop are under way from `send` until the other side has read them, or the end of
    the stream; those to another process from `send` until it says something. A job is a future of `concurrent.futures`
    for which the loop waits.
    """

    def __init__(self, loop: asyncio.SelectorEventLoop, selector: BaseSelector) -> None:
        self._loop = loop
        self._selector = selector
        self._sockets: dict[tuple[_Address, _Address], CountedSocket] = {}  # by own and by the other's address
        self._listening: set[int] = set()
        self._connecting = 0
        self._jobs: set[Future[Any]] = set()

    def is_under_way(self) -> bool:
        """Whether something will come that no timer brings."""
        return bool(self._connecting or self._jobs or any(self._is_awaited(end) for end in self._sockets.values()))

    def describe(self) -> str:
        ends = [f"{end.own} from {end.other}" for end in self._sockets.values() if self._is_awaited(end)]
        return f"{self._connecting} connections, {len(self._jobs)} jobs in threads, sockets {ends}"

    def _is_awaited(self, end: CountedSocket) -> bool:
        """Whether a socket of ours will have something to read."""
        key = self._selector.get_map().get(end.fileno())
        if key is None or not key.events & EVENT_READ or end.has_ended:
            return False  # nobody reads: what is there, is not waited for
        other = self._sockets.get((end.other, end.own))
        if end.is_end_coming:
            return True
        if other is not None:
            return other.sent > end.received
        return end.other[1] in self._listening or end.spoke_last  # not accepted yet; or another process must answer

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Watch over the loop's connections and jobs."""
        loop: Any = self._loop
        makes_plain, makes_tls = loop._make_socket_transport, loop._make_ssl_transport
        connect, serve, stop_serving = loop.sock_connect, loop._start_serving, loop._stop_serving
        wrap_future = asyncio.futures.wrap_future

        def plain(sock: socket.socket, *args: Any, **options: Any) -> Any:
            return makes_plain(self._count(sock), *args, **options)

        def tls(sock: socket.socket, *args: Any, **options: Any) -> Any:
            return makes_tls(self._count(sock), *args, **options)

        async def sock_connect(sock: socket.socket, address: Any) -> None:
            self._connecting += 1
            try:
                await connect(sock, address)
            finally:
                self._connecting -= 1

        def start_serving(factory: Any, sock: socket.socket, *args: Any, **options: Any) -> None:
            self._listening.add(sock.getsockname()[1])
            serve(factory, sock, *args, **options)

        def stop(sock: socket.socket) -> None:
            self._listening.discard(sock.getsockname()[1])
            stop_serving(sock)

        def wrap(future: Any, *, loop: Any = None) -> Any:
            wrapped = wrap_future(future, loop=loop)
            if isinstance(future, Future) and not future.done():
                self._jobs.add(future)
                future.add_done_callback(end_job)  # after the callback that hands the result to the loop
            return wrapped

        def end_job(future: Future[Any]) -> None:
            self._jobs.discard(future)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(lambda: None)  # it may wait by now, for a job that was still here

        loop._make_socket_transport, loop._make_ssl_transport = plain, tls
        loop.sock_connect, loop._start_serving, loop._stop_serving = sock_connect, start_serving, stop
        asyncio.futures.wrap_future = asyncio.wrap_future = wrap
        try:
            yield
        finally:
            asyncio.futures.wrap_future = asyncio.wrap_future = wrap_future
            for name in "_make_socket_transport _make_ssl_transport sock_connect _start_serving _stop_serving".split():
                delattr(loop, name)

    def _count(self, sock: socket.socket) -> socket.socket:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return sock
        counted = CountedSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        counted.setblocking(False)
        counted.begin(self._sockets)
        return counted


class CountedSocket(socket.socket):
    """A connected socket that counts what goes through it.

    Attributes:
        own, other: The addresses of its ends.
        sent, received: Bytes.
        spoke_last: Whether it sent something since it read something.
        is_end_coming: Whether the other end, in this loop, has closed or said that it sends no more.
        has_ended: Whether it has read that.
    """

    own: _Address = ("", 0)
    other: _Address = ("", 0)
    sent = received = 0
    spoke_last = is_end_coming = has_ended = False
    _all: dict[tuple[_Address, _Address], CountedSocket]

    def begin(self, all_of_loop: dict[tuple[_Address, _Address], CountedSocket]) -> None:
        """Count from here on."""
        self._all = all_of_loop
        try:
            self.own, self.other = self.getsockname()[:2], self.getpeername()[:2]
        except OSError:  # gone already
            self.has_ended = True
        else:
            all_of_loop[self.own, self.other] = self

    def send(self, data: Any, flags: int = 0) -> int:
        return self._count_sent(super().send(data, flags))

    def sendmsg(self, *args: Any) -> int:
        return self._count_sent(super().sendmsg(*args))

    def recv(self, size: int, flags: int = 0) -> bytes:
        with self._reading():
            data = super().recv(size, flags)
        self._count_received(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        with self._reading():
            size = super().recv_into(buffer, nbytes, flags)
        self._count_received(size)
        return size

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        if how != socket.SHUT_RD:
            self._end_other()

    def close(self) -> None:
        if self._all.get((self.own, self.other)) is self:
            del self._all[self.own, self.other]
            self._end_other()
        super().close()

    def _end_other(self) -> None:
        if (end := self._all.get((self.other, self.own))) is not None:
            end.is_end_coming = True

    def _count_sent(self, size: int) -> int:
        self.sent += size
        self.spoke_last = True
        return size

    def _count_received(self, size: int) -> None:
        self.received += size
        self.spoke_last = False
        self.has_ended = size == 0

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            raise
        except OSError:
            self.has_ended = True
            raise
