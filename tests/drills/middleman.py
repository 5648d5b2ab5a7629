"""A server between client and sandbox: calls reach the sandbox, what comes back of them is up to the drill."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeAlias

Spoil: TypeAlias = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Is given the sandbox's whole answer, and sends what it likes in its place; the connection is closed after it."""

_LENGTH = re.compile(rb"^content-length: *(\d+)\r$", re.I | re.M)


class Middleman:
    """Hands calls on, and spoils the answer to the first tries of each.

    Args:
        url: The sandbox's address.
        spoil: What to do with an answer.
        times: How many tries of each call to spoil; the later ones pass.
    """

    def __init__(self, url: str, spoil: Spoil, *, times: int = 1) -> None:
        self._port = int(url.rsplit(":", 1)[1])
        self._spoil = spoil
        self._times = times
        self._tries: Counter[bytes] = Counter()
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def __aenter__(self) -> Middleman:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_sandbox = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, to_sandbox}
        # The client may go away at any time; and a spoilt answer may be one that it does not read to the end.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                call = await read_message(reader)
                to_sandbox.write(call)
                answer = await read_message(upstream)
                body = call.partition(b"\r\n\r\n")[2]
                self._tries[body] += 1
                if self._tries[body] <= self._times:
                    await self._spoil(answer, writer)
                    break
                writer.write(answer)
                await writer.drain()
        for one in (writer, to_sandbox):
            one.close()
            self._open.discard(one)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read a request or an answer whose length is told, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def build_answer(body: bytes, *headers: str, status: str = "200 OK", framing: str = "length") -> bytes:
    """Make an answer whose end is told by its `length`, by `chunked`, or by `close` alone.

    It says that the connection is closed after it, as the middleman does that: else the next call may go out on it.
    """
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers]
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:]) if part) + b"0\r\n\r\n"
    return "\r\n".join([*lines, "", ""]).encode() + body


def closing(answer: bytes) -> bytes:
    """Let an answer say that its connection is closed after it."""
    return answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]
