"""Plain HTTP against a sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from leadconnector_async.sandbox import Sandbox

L = "ve9EPM428h8vShlRW1KT"


class Api:
    """Plain HTTP against a sandbox, so that its tests do not lean on the client."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self._session = session

    async def call(
        self, method: str, path: str, body: Any = None, version: str = "2021-07-28"
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": "Bearer sandbox", "Version": version}
        async with self._session.request(method, self.sandbox.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def ok(self, method: str, path: str, body: Any = None, version: str = "2021-07-28") -> dict[str, Any]:
        status, answer = await self.call(method, path, body, version)
        assert status in (200, 201), answer
        return answer

    async def upsert(self, **fields: Any) -> dict[str, Any]:
        status, body = await self.call("POST", "/contacts/upsert", {"locationId": L, **fields})
        assert status == 200, body
        return body

    async def refused(
        self, path: str = "/contacts/upsert", method: str = "POST", body: Any = None, **fields: Any
    ) -> tuple[int, Any]:
        if fields or path == "/contacts/upsert":
            body = fields if method == "PUT" else {"locationId": L, **fields}
        status, answer = await self.call(method, path, body)
        assert status >= 400, answer
        return status, answer["message"]


@pytest.fixture
async def open_api() -> AsyncIterator[Callable[..., Awaitable[Api]]]:
    opened: list[Any] = []

    async def start(**options: Any) -> Api:
        sandbox = Sandbox(seed=1, unlimited=True, **options)
        await sandbox.start()
        session = aiohttp.ClientSession()
        opened.append((sandbox, session))
        return Api(sandbox, session)

    yield start
    for sandbox, session in opened:
        await session.close()
        await sandbox.stop()


@pytest.fixture
async def api(open_api: Callable[..., Awaitable[Api]]) -> Api:
    return await open_api()
