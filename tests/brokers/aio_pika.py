"""What the page on queues uses of aio-pika, with a queue in memory: it stands for the library where blocks are run."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BODIES = [
    b'{"email": "ann@example.com", "city": "Rome"}',
    b'{"email": "ann@example.com", "city": "Oslo"}',
    b'{"email": "ben@example.com"}',
    b"{",
    b'{"first_name": "Nobody"}',
]


class Message:
    def __init__(self, tag: int, body: bytes) -> None:
        self.delivery_tag = tag
        self.body = body
        self.settled = ""

    async def ack(self) -> None:
        assert not self.settled
        self.settled = "acknowledged"

    async def reject(self, requeue: bool = False) -> None:
        assert not self.settled
        self.settled = "requeued" if requeue else "rejected"


class Queue:
    def __init__(self) -> None:
        self.messages = deque(Message(tag, body) for tag, body in enumerate(BODIES, 1))

    @asynccontextmanager
    async def iterator(self) -> AsyncIterator[AsyncIterator[Message]]:
        yield self._deliver()

    async def _deliver(self) -> AsyncIterator[Message]:
        for message in self.messages:
            yield message


class Channel:
    async def set_qos(self, prefetch_count: int = 0) -> None:
        assert prefetch_count

    async def get_queue(self, name: str) -> Queue:
        assert name == "contacts"
        return QUEUE


class Connection:
    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        left = {message.delivery_tag: message.settled for message in QUEUE.messages}
        print("the broker:", left)

    async def channel(self) -> Channel:
        return Channel()


QUEUE = Queue()


async def connect_robust(url: str) -> Connection:
    assert url.startswith("amqp://")
    return Connection()
