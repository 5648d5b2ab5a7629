"""What the page on queues uses of aiokafka, with a topic in memory: it stands for the library where blocks are run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

BODIES = [
    (0, b'{"email": "ann@example.com", "city": "Rome"}'),
    (1, b'{"email": "ben@example.com"}'),
    (0, b'{"email": "ann@example.com", "city": "Oslo"}'),
    (1, b"{"),
    (0, b'{"first_name": "Nobody"}'),
]


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    value: bytes


class AIOKafkaConsumer:
    def __init__(self, topic: str, *, bootstrap_servers: str, group_id: str, enable_auto_commit: bool) -> None:
        assert bootstrap_servers
        assert group_id
        assert not enable_auto_commit
        self._topic = topic
        self._committed: dict[int, int] = {}

    async def __aenter__(self) -> AIOKafkaConsumer:
        return self

    async def __aexit__(self, *_: object) -> None:
        print("committed:", dict(sorted(self._committed.items())))

    async def __aiter__(self) -> AsyncIterator[Record]:
        for number, (partition, value) in enumerate(BODIES):
            yield Record(self._topic, partition, 100 + number, value)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        for (_, partition), offset in offsets.items():
            assert offset > self._committed.get(partition, 0)
            self._committed[partition] = offset


class AIOKafkaProducer:
    def __init__(self, *, bootstrap_servers: str) -> None:
        assert bootstrap_servers

    async def __aenter__(self) -> AIOKafkaProducer:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send_and_wait(self, topic: str, value: bytes) -> None:
        print(f"to {topic}:", value.decode())
