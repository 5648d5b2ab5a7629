"""The sandbox: a real HTTP server on loopback that behaves as the API does."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct

from .answers import HTML, Answer, answer_after_write, check_version, http_date, read_json, send
from .books import Books
from .custom_fields import DEFAULT_CUSTOM_FIELDS, CustomFieldDefinition
from .faults import Faults, Page, refuse_before_write
from .operations import Operations, find_operation
from .quota import PROFILES, WINDOWS, Quota
from .refusals import Refusal

_STOP_SECONDS = 1.0

WindowKind: TypeAlias = Literal["fixed", "aligned", "sliding"]


class Arrival(Struct, frozen=True):
    """A call as the sandbox saw it.

    Attributes:
        time: When it was counted, on the sandbox's monotonic clock, in seconds.
        status: What it was answered, or 0 where it was not.
        fault: The fault it met, or None.
    """

    time: float
    method: str
    path: str
    location_id: str
    status: int
    fault: str | None


class Applied(Struct, frozen=True):
    """A call that was carried out, whatever became of its answer.

    Attributes:
        sent: The body of the request.
        answered: The body of the answer, as it is without a fault. Contacts in it are the stored ones themselves: copy
            them to see later how they were at the time.
        fault: The fault that the answer met, or None.
    """

    method: str
    path: str
    sent: Mapping[str, Any]
    answered: Mapping[str, Any]
    fault: str | None


class Sandbox:
    """A server that behaves like the API, in this process or behind `leadconnector sandbox`.

    Any `locationId` works unless `locations` names them; contacts live in memory. Times are in seconds.

    Args:
        host: Where to listen.
        port: 0 for a free one.
        token: The one token it accepts.
        locations: The locations that the token may use, or None for any.
        profile: `standard` (100 in 10 s, 200,000 a day) or `trial` (25 in 10 s, 10,000 a day).
        max_requests: Calls in one window and location, in place of the profile's.
        per_seconds: Length of the window, in place of the profile's.
        daily: Calls in 24 hours and location, in place of the profile's.
        unlimited: Whether to count nothing and send no rate headers.
        window: How it counts: `fixed` from a first call on, `aligned` to the clock, or `sliding`.
        latency: Least and most time that an answer takes; a random share of it passes before the call is counted.
        faults: Kinds of fault (see `FAULT_KINDS`) and their probabilities.
        retry_after: The value of Retry-After in the fault `429-retry-after`.
        allow_duplicates: The location setting "Allow Duplicate Contact".
        unique_identifiers: What contacts are matched by, in order.
        custom_fields: What the locations define.
        unknown_custom_fields: `drop` them without a word, or `refuse`; reports of the real service differ.
        country: The locations' country, two letters.
        seed: Makes ids, latency and faults repeatable.
        on_applied: Called with each call that was carried out, so that a test knows what no answer told.
        monotonic, wall, sleep: The clocks.

    Raises:
        ValueError: An argument makes no sense; the sentence says which.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "sandbox",  # noqa: S107  (it opens nothing but this sandbox)
        locations: Iterable[str] | None = None,
        profile: str = "standard",
        max_requests: int | None = None,
        per_seconds: float | None = None,
        daily: int | None = None,
        unlimited: bool = False,
        window: WindowKind = "fixed",
        latency: tuple[float, float] = (0.0, 0.0),
        faults: Mapping[str, float] | None = None,
        retry_after: str | int = 1,
        allow_duplicates: bool = False,
        unique_identifiers: tuple[str, ...] = ("email", "phone"),
        custom_fields: Iterable[CustomFieldDefinition] = DEFAULT_CUSTOM_FIELDS,
        unknown_custom_fields: Literal["drop", "refuse"] = "drop",
        country: str = "US",
        seed: int | None = None,
        on_applied: Callable[[Applied], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        _check_choice("window", window, WINDOWS)
        _check_choice("unknown_custom_fields", unknown_custom_fields, ("drop", "refuse"))
        _check_identifiers(unique_identifiers)
        _check_latency(latency)
        self._limits = _limits_of(profile, max_requests, per_seconds, daily)
        self._address = (host, port)
        self._authorization = f"Bearer {token}"
        self._locations = None if locations is None else frozenset(locations)
        self._window = window
        self._is_unlimited = unlimited
        self._latency = latency
        self._retry_after = str(retry_after)
        self._chance = random.Random(seed)
        self._faults = Faults(faults or {}, self._chance)
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._on_applied = on_applied
        self._books = Books(
            allow_duplicates=allow_duplicates,
            unique_identifiers=tuple(unique_identifiers),
            custom_fields=custom_fields,
            refuse_unknown_custom_fields=unknown_custom_fields == "refuse",
            country=country,
            chance=self._chance,
            wall=wall,
        )
        self._operations = Operations(self._books)
        self._quotas: dict[str, Quota] = {}
        self._server: web.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._stopped = asyncio.Event()
        self.arrivals: deque[Arrival] = deque(maxlen=200_000)
        self.requests = 0
        self.rate_limited = 0
        self.url = ""

    # ------------------------------------------------------------------------------------------ life

    async def __aenter__(self) -> Sandbox:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; `url` is set then. After a stop it listens where it did before, and has the contacts it had.

        Raises:
            OSError: The address cannot be used.
        """
        server = web.Server(self._handle, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address).start()
        except OSError:
            await runner.cleanup()
            raise
        self._server, self._runner = server, runner
        self._stopped.clear()
        host, port = self._address = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self, *, abruptly: bool = False) -> None:
        """Stop listening and end what is under way, hanging calls included; contacts stay.

        Args:
            abruptly: Break all connections at once, as a server that is killed does: calls under way get no answer.
        """
        self._stopped.set()
        if self._runner is not None:
            if abruptly and self._server is not None:
                _break_connections(self._server)
            await self._runner.cleanup()
            self._runner = None

    # ------------------------------------------------------------------------------------------ for tests

    def contacts(self, location_id: str | None = None) -> list[dict[str, Any]]:
        """Return the stored contacts of a location, or of all, the oldest first."""
        return [
            contact
            for contact in self._books.contacts.values()
            if location_id is None or contact["locationId"] == location_id
        ]

    def contact(self, contact_id: str) -> dict[str, Any] | None:
        """Return a stored contact by its id, or None."""
        return self._books.contacts.get(contact_id)

    @property
    def writes(self) -> Mapping[str, int]:
        """How often each contact, by its id, was created or changed."""
        return self._books.writes

    def add_contact(self, location_id: str, **fields: Any) -> dict[str, Any]:
        """Store a contact, past limits and faults, from fields named as on the wire; return it as stored."""
        return self._books.create({**fields, "locationId": location_id})

    def fail_next(self, kind: str | None, times: int = 1) -> None:
        """Let the next calls meet a fault (None: let them pass), after those named before; then chance decides again.

        Raises:
            ValueError: There is no such kind.
        """
        self._faults.script(kind, times)

    # ------------------------------------------------------------------------------------------ one call

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        delay = self._chance.uniform(*self._latency)
        before = delay * self._chance.random()
        if delay:
            await self._sleep(before)
        fault = self._faults.next()
        if fault == "hang":
            await self._stopped.wait()
        self.requests += 1
        try:
            answer = Answer(0, b"") if fault in ("reset-before", "hang") else await self._answer(request, fault)
        except ConnectionError:  # the client went away before its request was complete
            return web.Response()
        if delay:
            await self._sleep(delay - before)
        # Clients compare `dateAdded` with it, so it must come from the same clock.
        answer.headers["Date"] = http_date(int(self._wall()))
        return await send(request, answer, fault)

    async def _answer(self, request: web.BaseRequest, fault: str | None) -> Answer:
        quota = location_id = None
        try:
            version = self._admit(request)
            operation = find_operation(request.method, request.path)
            body = read_json(await request.read()) if request.can_read_body else {}
            location_id = self._operations.location_of(operation, body)
            self._check_location(location_id)
            quota = self._quota(location_id)
            self._take(quota, fault)
            refuse_before_write(fault)
            status, value = self._operations.run(operation, body, version, self._new_trace_id())
            if self._on_applied is not None:
                self._on_applied(Applied(request.method, request.path, body, value, fault))
            answer = answer_after_write(fault) or Answer(status, msgspec.json.encode(value))
        except Refusal as refusal:
            answer = self._refuse(refusal)
        except web.HTTPRequestEntityTooLarge:
            answer = self._refuse(Refusal(413, "request entity too large", error="Payload Too Large"))
        if quota is not None:
            answer.headers.update(quota.headers())
        self.arrivals.append(
            Arrival(self._monotonic(), request.method, request.path, location_id or "", answer.status, fault)
        )
        return answer

    def _admit(self, request: web.BaseRequest) -> str:
        """Check what comes before any operation, and return the version."""
        agent = request.headers.get("User-Agent", "")
        if not agent or agent.startswith("Python-urllib"):
            raise Page(403, "error code: 1010")
        authorization = request.headers.get("Authorization", "")
        if authorization != self._authorization:
            is_integration = authorization.startswith("Bearer pit-")
            raise Refusal(401, "Invalid Private Integration token" if is_integration else "Invalid JWT", error=None)
        return check_version(request.headers.get("Version"))

    def _check_location(self, location_id: str) -> None:
        if self._locations is not None and location_id and location_id not in self._locations:
            raise Refusal(403, "The token does not have access to this location.", error=None)

    def _quota(self, location_id: str) -> Quota | None:
        if self._is_unlimited:
            return None
        if location_id not in self._quotas:
            self._quotas[location_id] = Quota(*self._limits, self._window, self._monotonic)
        return self._quotas[location_id]

    def _take(self, quota: Quota | None, fault: str | None) -> None:
        if fault in ("429", "429-retry-after") or (quota is not None and not quota.take()):
            self.rate_limited += 1
            raise Refusal(
                429, "Too Many Requests", retry_after=self._retry_after if fault == "429-retry-after" else None
            )

    def _refuse(self, refusal: Refusal) -> Answer:
        if isinstance(refusal, Page):
            return Answer(refusal.status, refusal.html.encode(), HTML)
        body = dict(refusal.body)
        retry_after = body.pop("retry_after", None)
        if refusal.status in (400, 403, 404, 422):
            body["traceId"] = self._new_trace_id()
        answer = Answer(refusal.status, msgspec.json.encode(body))
        if retry_after is not None:
            answer.headers["Retry-After"] = retry_after
        return answer

    def _new_trace_id(self) -> str:
        digits = f"{self._chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _break_connections(server: web.Server) -> None:
    server.handler_cancellation = True  # what is not applied by now never is
    for connection in server.connections:
        if connection.transport is not None:
            connection.transport.abort()


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices)}")


def _check_identifiers(identifiers: tuple[str, ...]) -> None:
    if not identifiers or set(identifiers) - {"email", "phone"}:
        raise ValueError(f"unique_identifiers is {identifiers}; it lists email, phone or both, in order")


def _check_latency(latency: tuple[float, float]) -> None:
    if not 0 <= latency[0] <= latency[1]:
        raise ValueError(f"latency is {latency}; it is the least and the most time in seconds, in this order")


def _limits_of(
    profile: str, max_requests: int | None, per_seconds: float | None, daily: int | None
) -> tuple[int, float, int]:
    _check_choice("profile", profile, PROFILES)
    most, seconds, day = PROFILES[profile]
    limits = (max_requests or most, per_seconds or seconds, daily or day)
    if min(limits) <= 0:
        raise ValueError(f"max_requests, per_seconds and daily are {limits}; each must be above 0")
    return limits
