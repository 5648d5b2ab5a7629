"""How a request is read and an answer is sent, faults included."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

# ---------------------------------------------------------------------------------------------- refusals

_PHRASES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 422: "Unprocessable Entity"}


class Refusal(Exception):  # noqa: N818  (it is an answer, not a failure)
    """An answer of 400 or more.

    Args:
        status: The HTTP status.
        message: The sentence, or the list of them.
        fields: What else the body holds; they win over the usual ones. A field that is None is left out.
    """

    def __init__(self, status: int, message: str | list[str], /, **fields: Any) -> None:
        super().__init__(status, message)
        self.status = status
        body = {"message": message, "error": _PHRASES.get(status), "statusCode": status, **fields}
        self.body = {name: value for name, value in body.items() if value is not None}


def contact_not_found(contact_id: str) -> Refusal:
    """400, not 404, for a contact that is unknown or deleted."""
    return Refusal(400, f"Contact not found for id:{contact_id}")


def permanent_dnd(channel: str) -> Refusal:
    """400 whose body says 401, for a change of a channel that is closed for good, or that would close it so."""
    return Refusal(400, f"Not authorized to update permanent dnd setting for {channel}", error=None, statusCode=401)


def duplicate(contact: dict[str, Any], field: str) -> Refusal:
    """400 for a contact whose email or phone another one has."""
    meta = {"contactName": contact.get("name", ""), "contactId": contact["id"], "matchingField": field}
    return Refusal(400, "This location does not allow duplicated contacts.", error=None, meta=meta, succeeded=False)


# ---------------------------------------------------------------------------------------------- faults

FAULT_KINDS: Final[Mapping[str, str]] = {
    "500": "500 with the framework's JSON body, before the write",
    "502-html": "502 with the edge's HTML page, before the write",
    "502-after": "502 with the edge's HTML page, after the write",
    "503-html": "503 with the edge's HTML page, before the write",
    "401-timeout": '401 "Command timed out" of the gateway, before the write',
    "reset-before": "the connection is reset, nothing is written",
    "reset-after": "the contact is written, then the connection is reset",
    "cut-body": "the contact is written, the answer breaks off",
    "429": "429 without Retry-After",
    "429-retry-after": "429 with Retry-After",
    "422-created": "the contact is written, the answer is 422",
    "empty-200": "the contact is written, the answer is 200 and empty",
    "html-200": "the contact is written, the answer is 200 and HTML",
    "hang": "the call is accepted and never answered",
}
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class EdgePage(Refusal):
    """A refusal whose body is an HTML page of the edge, not JSON of the service."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(status, title)
        self.html = _HTML.format(title)


class Faults:
    """Chooses the fault of each call.

    Args:
        chances: The probability of each kind, from 0 to 1.
        chance: The source of chance.

    Raises:
        ValueError: A kind is unknown or a probability is none.
    """

    def __init__(self, chances: Mapping[str, float], chance: random.Random) -> None:
        for kind, probability in chances.items():
            check_kind(kind)
            if not 0 <= probability <= 1:
                raise ValueError(f"the probability of fault {kind} is {probability}; it must be from 0 to 1")
        self._chances = dict(chances)
        self._chance = chance
        self._script: deque[str | None] = deque()

    def script(self, kind: str | None, times: int) -> None:
        """Give the next calls this fault, or none, after what was scripted before."""
        if kind is not None:
            check_kind(kind)
        self._script.extend([kind] * times)

    def next(self) -> str | None:
        """Return the fault of the next call, or None."""
        if self._script:
            return self._script.popleft()
        for kind, probability in self._chances.items():
            if self._chance.random() < probability:
                return kind
        return None


def check_kind(kind: str) -> None:
    """Raise ValueError where there is no such fault."""
    if kind not in FAULT_KINDS:
        raise ValueError(f"unknown fault {kind!r}; known are {', '.join(FAULT_KINDS)}")


def refuse_before_write(kind: str | None) -> None:
    """Raise the answer of a fault that strikes before anything is written."""
    if kind == "500":
        raise Refusal(500, "Internal server error")
    if kind == "401-timeout":
        raise Refusal(401, "Command timed out", error=None)
    if kind in ("502-html", "503-html"):
        raise edge_page(int(kind[:3]))


def edge_page(status: int) -> EdgePage:
    """Return the page that the edge shows when the service behind it fails."""
    return EdgePage(status, {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable"}[status])


HTML = "text/html"
LOGGER = logging.getLogger("leadconnector_async.sandbox")
# What is not even HTTP is the client's mistake, answered with 400: not one of ours that calls for a traceback.
LOGGER.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], BadHttpMessage)))


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


async def read_form(request: web.BaseRequest) -> dict[str, str]:
    """Return the fields of a form; files are left out."""
    try:
        form = await request.post()
    except (ValueError, LookupError):  # no such charset, no such form
        raise Refusal(400, "Invalid form") from None
    return {name: value for name, value in form.items() if isinstance(value, str)}


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
