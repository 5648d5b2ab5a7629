"""What a figure was measured on, and a sandbox in a process of its own."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

_SERVER = """
import asyncio, sys
from leadconnector_async.sandbox import Sandbox
async def main():
    async with Sandbox(unlimited=True, seed=1) as sandbox:
        print(sandbox.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""

# Answers each upsert at once with what it was sent, so that the client is never the one that waits: the hardest measure
# of what it adds, as nothing of a call's cost is hidden by waking up for one answer at a time.
_ECHO = """
import asyncio, msgspec, sys
contact = dict(
    id="seD4PfOuKoVMLkEZqohJ", name="Rosan Deo", type="lead", dnd=False, customFields=[],
    dateAdded="2026-11-21T05:18:26.704Z", dateUpdated="2026-11-21T05:18:26.704Z", emailLowerCase="rosan@deos.com",
    firstNameLowerCase="rosan", lastNameLowerCase="deo", fullNameLowerCase="rosan deo",
)
head = "\\r\\n".join([
    "HTTP/1.1 200 OK", "Content-Type: application/json; charset=utf-8", "x-ratelimit-max: 100",
    "x-ratelimit-remaining: 99", "x-ratelimit-interval-milliseconds: 10000", "x-ratelimit-limit-daily: 200000",
    "x-ratelimit-daily-remaining: 199000", "x-ratelimit-daily-reset: 86343000",
    "Date: Sat, 21 Nov 2026 05:18:26 GMT", "Content-Length: %d", "", "",
])
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.held = transport, b""
    def data_received(self, data):
        self.held += data
        while (end := self.held.find(b"\\r\\n\\r\\n")) >= 0:
            length = int(self.held[:end].lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
            if len(self.held) < end + 4 + length:
                return
            sent = msgspec.json.decode(self.held[end + 4 : end + 4 + length])
            self.held = self.held[end + 4 + length :]
            answer = dict(new=True, contact=contact | sent, traceId="c381e88f-38c0-48fd-a712-b8bc076f3787")
            body = msgspec.json.encode(answer)
            self.transport.write((head % len(body)).encode() + body)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print("http://127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


def describe(*packages: str) -> str:
    """Return machine and versions in one line."""
    names = ("aiohttp", "msgspec", *packages)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, " + ", ".join(map(_with_version, names))


def _with_version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


def _other_cores() -> set[int]:
    """The cores that a pinned process leaves to others; none where it is not pinned."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) > 1:
        return set()
    return set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)


def pin(core: int) -> None:
    """Keep this process on one core, where there are several and the system can."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def serve(*, is_echo: bool = False) -> Iterator[str]:
    """Run a sandbox without limits, or a server that echoes at once, in another process, and yield its URL."""
    others = _other_cores()
    with subprocess.Popen(
        [sys.executable, "-c", _ECHO if is_echo else _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        if others:
            os.sched_setaffinity(server.pid, others)
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
