"""A sandbox and a client on it, both on a clock that jumps over every wait."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import settings

from leadconnector_async import LeadConnector, RedisLimits, ServerError
from leadconnector_async.sandbox import Sandbox
from tests.fake_clock import FakeClock
from tests.redis_server import OpenLimits, RedisServer

LOCATION = "ve9EPM428h8vShlRW1KT"
OpenSandbox: TypeAlias = Callable[..., Any]

# How long an example takes says what else the machine does. The examples are the same each time, so that a change is
# judged by what it changes, and few of them: more of the same say nothing new. RANDOM_EXAMPLES=1 looks for others.
_ARE_RANDOM = "RANDOM_EXAMPLES" in os.environ
settings.register_profile("steady", deadline=None, derandomize=not _ARE_RANDOM, max_examples=200 if _ARE_RANDOM else 25)
settings.load_profile("steady")


@pytest.fixture
async def clock() -> AsyncIterator[FakeClock]:
    """A clock that jumps to the next timer whenever something waits for it."""
    clock = FakeClock()
    async with clock.jumping():
        yield clock


@pytest.fixture
async def open_sandbox(clock: FakeClock) -> AsyncIterator[OpenSandbox]:
    """Start sandboxes on the fake clock; they are stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Sandbox:
            options = {"seed": 1, "monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep, **options}
            return await stack.enter_async_context(Sandbox(**options))

        yield start


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> Sandbox:
    """A sandbox with the limits of the real service."""
    started: Sandbox = await open_sandbox()
    return started


@pytest.fixture
async def connect(clock: FakeClock) -> AsyncIterator[OpenSandbox]:
    """Open clients on the fake clock; they are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_client(sandbox: Sandbox | str, **options: Any) -> LeadConnector:
            url = sandbox if isinstance(sandbox, str) else sandbox.url
            options = {"location_id": LOCATION, "base_url": url, "clock": clock, **options}
            return await stack.enter_async_context(LeadConnector(options.pop("token", "sandbox"), **options))

        yield open_client


@pytest.fixture
async def client(sandbox: Sandbox, connect: OpenSandbox) -> LeadConnector:
    """A client on `sandbox`."""
    opened: LeadConnector = await connect(sandbox)
    return opened


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """What rows hold that the service cannot cope with: it answers each of their calls with 500."""
    texts, send = set[bytes](), LeadConnector.send_row

    async def send_poisoned(self: LeadConnector, call: Any) -> Any:
        if any(text in (call.request.body or b"") for text in texts):
            call.tries.count += 2
            raise ServerError(500, ("Internal server error",))
        return await send(self, call)

    monkeypatch.setattr(LeadConnector, "send_row", send_poisoned)
    return texts


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A redis-server, to be stopped, frozen and started as a test likes."""
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    server.stop()


@pytest.fixture
async def holders(redis_server: RedisServer) -> AsyncIterator[OpenLimits]:
    """Open limits as several processes would: each a holder of its own."""
    async with AsyncExitStack() as stack:

        async def open_limits(**options: Any) -> RedisLimits:
            limits = RedisLimits(redis_server.url, **options)
            await limits.open()
            stack.push_async_callback(limits.close)
            return limits

        yield open_limits
