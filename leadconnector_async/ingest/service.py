"""An outbox behind HTTP, or behind a stream of lines: for programs that are not written in Python.

A contact is acknowledged once it is on disk, and never before.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import IO, Any, Final, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct

from ..bulk.source import ThreadSource
from ..errors import (
    ClientStateError,
    ConfigurationError,
    InvalidContactError,
    JournalError,
    KeyConflictError,
    LeadConnectorError,
    OutboxFullError,
    UsageError,
)
from .outbox import Outbox
from .store import Receipt

_MOST_BODY_BYTES: Final = 1024 * 1024
_MOST_LINE_BYTES: Final = 1024 * 1024
_STOP_SECONDS: Final = 10.0  # for requests that are under way
_TRY_AGAIN_SECONDS: Final = "5"
_STATUSES: Final[tuple[tuple[type[Exception], HTTPStatus], ...]] = (
    (KeyConflictError, HTTPStatus.CONFLICT),
    (ClientStateError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UsageError, HTTPStatus.BAD_REQUEST),
    (OutboxFullError, HTTPStatus.SERVICE_UNAVAILABLE),
    (JournalError, HTTPStatus.SERVICE_UNAVAILABLE),
)
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
_decode: Final = msgspec.json.Decoder().decode


class Answer(Struct, frozen=True, omit_defaults=True):
    """What became of one contact of a request.

    Attributes:
        status: As of HTTP: 202 where it is on disk.
        id: As in the receipt.
        duplicate: Whether its key and content were there before.
        error: Why it was not taken.
    """

    status: int
    id: int | None = None
    duplicate: bool = False
    error: str | None = None


class Taker:
    """Puts what comes from outside into an outbox.

    Args:
        outbox: Open; it should raise where it is full.
        locations: Those that contacts may name; None for the client's own alone.
    """

    def __init__(self, outbox: Outbox, locations: Iterable[str] | None = None) -> None:
        self._outbox = outbox
        self._locations = frozenset(locations or ())

    async def take(self, contact: object, key: str | None = None) -> Answer:
        """Put a contact, and say what became of it."""
        try:
            self._check(contact)
            receipt: Receipt = await self._outbox.put(contact, key=key)  # type: ignore[arg-type]
        except LeadConnectorError as error:
            return Answer(_status_of(error), error=str(error))
        return Answer(HTTPStatus.ACCEPTED, receipt.id, receipt.is_duplicate)

    def _check(self, contact: object) -> None:
        if not isinstance(contact, dict):
            raise InvalidContactError(f"a contact is an object, not {_kind(contact)}")
        for name in ("locationId", "location_id"):
            if name in contact and contact[name] not in self._locations:
                raise InvalidContactError("this service takes no contacts for that location", field="location_id")


def _kind(value: object) -> str:
    names = {str: "a text", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _status_of(error: LeadConnectorError) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


# ---------------------------------------------------------------------------------------------- HTTP


class Service:
    """Listens for contacts, and puts them into an outbox.

    - `POST /contacts`: a contact, or a list of contacts, as JSON. `Idempotency-Key` names the event; of a list, each
      contact is known by the key and its place. 202 once all is on disk; 207 for a list of which something was not
      taken; 400 for what is no contact, 401, 409 where the key is known from other content, 413, and 503 where the
      outbox is full or cannot write: send it again later.
    - `GET /status`: how the outbox is doing. `GET /healthz`: whether it takes contacts; needs no secret.

    Args:
        outbox: Open, with `when_full="raise"`.
        secret: What requests carry as `Authorization: Bearer`.
        host: Where to listen; this machine alone by default.
        port: 0 for a free one.
        locations: Those that contacts may name; None for the client's own alone.
        most_body_bytes: Larger bodies are refused.

    Attributes:
        url: Where it listens.

    Raises:
        ConfigurationError: The secret is empty.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        secret: str,
        host: str = "127.0.0.1",
        port: int = 0,
        locations: Iterable[str] | None = None,
        most_body_bytes: int = _MOST_BODY_BYTES,
    ) -> None:
        if not secret:
            raise ConfigurationError("the secret of the service is empty")
        self._outbox = outbox
        self._taker = Taker(outbox, locations)
        self._secret = b"Bearer " + secret.encode()
        self._address = host, port
        self._is_stopping = False
        application = web.Application(client_max_size=most_body_bytes, middlewares=[self._guard])
        application.router.add_post("/contacts", self._post)
        application.router.add_get("/status", self._status)
        application.router.add_get("/healthz", self._health)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_SECONDS)
        self.url = ""

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigurationError: The port cannot be used.
        """
        host, port = self._address
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            sentence = f"{host}, port {port}, cannot be used ({error.strerror}); choose another"
            raise ConfigurationError(sentence) from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Take nothing more, and return when the requests under way are answered."""
        self._is_stopping = True
        await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let in who knows the secret, and answer in JSON whatever happens."""
        try:
            if request.path != "/healthz" and not self._is_allowed(request):
                return _refuse(
                    HTTPStatus.UNAUTHORIZED, "the secret is missing or wrong", {"WWW-Authenticate": "Bearer"}
                )
            return await handler(request)
        except web.HTTPException as error:
            return _refuse(error.status, error.reason)

    def _is_allowed(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._secret)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if self._is_stopping:
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping; send it again later")
        try:
            content = _decode(await request.read())
        except _UNREADABLE:
            return _refuse(HTTPStatus.BAD_REQUEST, "the body is not JSON")
        key = request.headers.get("Idempotency-Key")
        if not isinstance(content, list):
            return _respond(await self._taker.take(content, key))
        keys = [None if key is None else f"{key}/{number}" for number in range(len(content))]
        answers = await asyncio.gather(*map(self._taker.take, content, keys))
        is_whole = all(answer.status == HTTPStatus.ACCEPTED for answer in answers)
        status = HTTPStatus.ACCEPTED if is_whole else HTTPStatus.MULTI_STATUS
        return _json(status, {"results": answers})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return _json(HTTPStatus.OK, await self._outbox.status())

    async def _health(self, request: web.Request) -> web.StreamResponse:
        try:
            await self._outbox.check()
        except LeadConnectorError as error:
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return _json(HTTPStatus.OK, {"ok": not self._is_stopping})


def _respond(answer: Answer) -> web.StreamResponse:
    if answer.error is None:
        return _json(answer.status, {"id": answer.id, "duplicate": answer.duplicate})
    return _refuse(answer.status, answer.error)


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> web.StreamResponse:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": _TRY_AGAIN_SECONDS}
    return _json(status, {"error": sentence}, headers)


def _json(status: int, document: object, headers: dict[str, str] | None = None) -> web.StreamResponse:
    body = msgspec.json.encode(document)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


# ---------------------------------------------------------------------------------------------- lines


class Lines(Struct):
    """How many lines came, and how many were not taken.

    Attributes:
        taken: Contacts that are on disk.
        refused: Lines that are none.
    """

    taken: int = 0
    refused: int = 0


async def take_lines(
    taker: Taker, stream: IO[bytes], stop: asyncio.Event, on_refused: Callable[[int, str], None]
) -> Lines:
    """Put each line of a stream of JSON Lines, until its end or until `stop` is set.

    Args:
        taker: Puts them.
        stream: Read in a thread of its own.
        stop: Ends the reading.
        on_refused: Called with the number of a line (from 1) that is not taken, and why.

    Returns:
        What came of them.

    Raises:
        JournalError: The outbox cannot be written; what was not counted is not stored.
    """
    lines, number = Lines(), 0
    source: ThreadSource = ThreadSource(_read_lines(stream), has_end=False)  # type: ignore[arg-type]
    stopping = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            reading = asyncio.ensure_future(source.batch())
            await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                break
            batch: list[Any] = reading.result()
            if not batch:
                break
            for answer in await asyncio.gather(*(_take_line(taker, line) for line in batch)):
                number += 1
                if answer is None:
                    continue
                if answer.error is None:
                    lines.taken += 1
                elif answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise JournalError(answer.error)
                else:
                    lines.refused += 1
                    on_refused(number, answer.error)
    finally:
        stopping.cancel()
    return lines


def _read_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines; one that is too long comes as its beginning, which is no JSON."""
    while line := stream.readline(_MOST_LINE_BYTES):
        yield line
        while not line.endswith(b"\n") and len(line) == _MOST_LINE_BYTES:
            line = stream.readline(_MOST_LINE_BYTES)


async def _take_line(taker: Taker, line: bytes) -> Answer | None:
    if not line.strip():
        return None
    try:
        contact = _decode(line)
    except _UNREADABLE:
        return Answer(HTTPStatus.BAD_REQUEST, error="it is not JSON")
    return await taker.take(contact)
