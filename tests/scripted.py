"""A service that answers as a test tells it, where the sandbox would not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web


class Scripted:
    """What came to the service: method, path with its query, and body."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, Any]] = []


@contextlib.asynccontextmanager
async def answering(*answers: object, status: int = 200) -> AsyncIterator[Scripted]:
    """Answer each call with the next of these: bytes as they are, all else as JSON; the last one again and again."""
    script = Scripted()

    async def answer(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        script.requests.append((request.method, request.path_qs, json.loads(body) if body else None))
        found = answers[min(len(script.requests), len(answers)) - 1]
        text = found if isinstance(found, bytes) else json.dumps(found).encode()
        return web.Response(status=status, body=text, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield script
    finally:
        await runner.cleanup()
