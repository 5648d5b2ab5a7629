"""A redis-server of the tests' own, on a free port; stopped and started as a test likes."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import RateLimit
from leadconnector_async.limits.limit import Window
from leadconnector_async.limits.redis_window import SharedWindow
from tests.waiting import PATIENCE, patiently, until

LIMIT = RateLimit(10, 0.4, daily=None)
OpenLimits = Callable[..., Any]

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="there is no redis-server (Debian: apt-get install redis-server)"
)


async def use(window: Window, times: list[float], *, seconds: float = 0.01, bulk: bool = True) -> None:
    """Hold a slot for a while, as a call does."""
    slot = await window.acquire(bulk=bulk)
    times.append(time.monotonic())
    await asyncio.sleep(seconds)
    times.append(time.monotonic())
    window.release(slot)


async def answer_first(window: Window) -> None:
    """Have the first call answered, which bulk makes alone, and wait until its slot is free again."""
    window.release(await window.acquire())
    await asyncio.sleep(LIMIT.per_seconds * 1.1)


async def use_in_turn(calls: int, windows: Sequence[Window], arrivals: list[float], *, workers: int = 4) -> list[int]:
    """Make so many calls through some windows, each with so many workers, as fast as the windows allow.

    Args:
        arrivals: Takes the times at which calls were sent.

    Returns:
        How many calls went through each window.
    """
    last = len(arrivals) + calls

    async def work(window: Window) -> int:
        count = 0
        while len(arrivals) < last:
            slot = await window.acquire(bulk=True)
            if slot is None:
                await asyncio.sleep(0.01)
                continue
            arrivals.append(time.monotonic())
            count += 1
            await asyncio.sleep(0.005)
            window.release(slot)
        return count

    async with patiently():
        counts = await asyncio.gather(*(work(window) for window in windows for _ in range(workers)))
    return [sum(counts[first : first + workers]) for first in range(0, len(counts), workers)]


async def heard(window: Window) -> None:
    """Wait until Redis has heard all that a window has to tell."""
    assert isinstance(window, SharedWindow)
    now = time.monotonic()
    await until(
        lambda: window._heard_at >= now and not (window._answered or window._unused) and window._unreported_until < now
    )


class RedisServer:
    """One server, which keeps nothing on disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = 65_535
        while self.port > 55_535:  # a member of a cluster listens 10,000 above it, too
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        async with patiently():
            await asyncio.to_thread(self._start)

    def _start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._options]
        self._process = subprocess.Popen([*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL)
        while not self._answers():
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                return bool(connection.recv(5))
        except OSError:
            return False

    def ask(self, *words: str) -> str:
        """Give a command, and return what it answers as text."""
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout.strip()

    def scripts_run(self) -> int:
        """How often it has run a script by its name, or was asked to."""
        lines = (line for line in self.ask("info", "commandstats").splitlines() if line.startswith("cmdstat_evalsha:"))
        return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)

    def freeze(self) -> None:
        """Let it answer nothing until `thaw`, and keep its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, as a machine that fails does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
