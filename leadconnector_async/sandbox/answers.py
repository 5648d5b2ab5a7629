"""How a request is read and an answer is sent, faults included."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from .faults import edge_page
from .refusals import Refusal

HTML = "text/html"


class Answer:
    """What is sent back."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(self, status: int, body: bytes, content_type: str = "application/json; charset=utf-8") -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers: dict[str, str] = {}


def read_json(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise Refusal(400, "Unexpected token in JSON") from None
    if not isinstance(value, dict):
        raise Refusal(400, "Unexpected token in JSON: an object is expected")
    return value


def answer_after_write(fault: str | None) -> Answer | None:
    """Return the answer of a fault that strikes after the write, or None."""
    if fault == "502-after":
        return Answer(502, edge_page(502).html.encode(), HTML)
    if fault == "422-created":
        refusal = Refusal(422, ["email must be an email"])
        return Answer(422, msgspec.json.encode(refusal.body))
    if fault == "empty-200":
        return Answer(200, b"")
    if fault == "html-200":
        return Answer(200, b"<html><body>All is well</body></html>", HTML)
    return None


@lru_cache(maxsize=8)
def http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


async def send(request: web.BaseRequest, answer: Answer, fault: str | None) -> web.StreamResponse:
    if fault in ("reset-before", "reset-after", "hang"):
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    headers = {"Content-Type": answer.content_type, **answer.headers}
    if fault != "cut-body":
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    headers["Content-Length"] = str(len(answer.body))
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
