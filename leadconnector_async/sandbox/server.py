"""The sandbox: a real HTTP server on loopback that behaves as the API does."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from .answers import LOGGER, Answer, Faults, http_date, send
from .books import Records
from .contacts import enrolled
from .custom_fields import DEFAULT_CUSTOM_FIELDS, CustomFieldDefinition
from .data_file import open_data
from .oauth import OAuth
from .quota import PROFILES, WINDOWS, SandboxQuota
from .service import Applied, Arrival, Service

# ---------------------------------------------------------------------------------------------- settings

WindowKind: TypeAlias = Literal["fixed", "aligned", "sliding"]
UnknownFields: TypeAlias = Literal["drop", "refuse"]


def check_settings(
    *,
    window: str,
    unknown_custom_fields: str,
    unique_identifiers: tuple[str, ...],
    latency: tuple[float, float],
    search_lag: float,
) -> None:
    """Check what only has to make sense.

    Raises:
        ValueError: Something does not; the sentence says which.
    """
    _check_choice("window", window, WINDOWS)
    _check_choice("unknown_custom_fields", unknown_custom_fields, ("drop", "refuse"))
    if not unique_identifiers or set(unique_identifiers) - {"email", "phone"}:
        raise ValueError(f"unique_identifiers is {unique_identifiers}; it lists email, phone or both, in order")
    if not 0 <= latency[0] <= latency[1]:
        raise ValueError(f"latency is {latency}; it is the least and the most time in seconds, in this order")
    if not search_lag >= 0:
        raise ValueError(f"search_lag is {search_lag}; it is a time in seconds, 0 or more")


def read_limits(
    profile: str, max_requests: int | None, per_seconds: float | None, daily: int | None
) -> tuple[int, float, int]:
    """Return calls in a window, its length in seconds, and calls in a day: the profile's where nothing else is said.

    Raises:
        ValueError: One of them is none.
    """
    _check_choice("profile", profile, PROFILES)
    most, seconds, day = PROFILES[profile]
    limits = (max_requests or most, per_seconds or seconds, daily or day)
    if min(limits) <= 0:
        raise ValueError(f"max_requests, per_seconds and daily are {limits}; each must be above 0")
    return limits


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices)}")


_STOP_SECONDS = 1.0
_TURNS_TO_ACCEPT = 4  # turns of the event loop from a connection's arrival until the server knows of it


class Sandbox:
    """A server that behaves like the API, in this process or behind `leadconnector sandbox`.

    Any `locationId` works unless `locations` names them. Times are in seconds.

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
        tags_move_date: Whether adding and removing tags moves `dateUpdated`; of the real service that is not known.
        search_lag: How long a change takes to show in searches and lists; the real service takes from seconds to over
            a minute.
        search_without_dnd: Whether searches leave out `dndSettings` and `inboundDndSettings`; reports of the real
            service differ.
        replace_dnd: Whether `dndSettings` of an upsert or update replace all channels of a contact, rather than those
            that they name; reports of the real service differ.
        data: The file that keeps contacts and all else, so that a sandbox can go on where another ended, even one that
            was killed; in memory alone where there is none. It is in use from now until `stop`.
        seed: Makes ids, latency and faults repeatable.
        on_applied: Called with each call that was carried out, so that a test learns of those whose answer was lost.
        monotonic, wall, sleep: The clocks.

    Raises:
        ValueError: An argument makes no sense; the sentence says which.
        ConfigurationError: `data` is no such file, is in use, or cannot be written.
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
        unknown_custom_fields: UnknownFields = "drop",
        country: str = "US",
        tags_move_date: bool = True,
        search_lag: float = 0.0,
        search_without_dnd: bool = False,
        replace_dnd: bool = False,
        data: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        on_applied: Callable[[Applied], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        check_settings(
            window=window,
            unknown_custom_fields=unknown_custom_fields,
            unique_identifiers=unique_identifiers,
            latency=latency,
            search_lag=search_lag,
        )
        limits = read_limits(profile, max_requests, per_seconds, daily)
        chance = random.Random(seed)
        names = None if locations is None else frozenset(locations)
        self._address = (host, port)
        self._latency = latency
        self._chance = chance
        self._faults = Faults(faults or {}, chance)
        self._wall = wall
        self._sleep = sleep
        self._records = Records(
            allow_duplicates=allow_duplicates,
            unique_identifiers=tuple(unique_identifiers),
            custom_fields=custom_fields,
            refuse_unknown_custom_fields=unknown_custom_fields == "refuse",
            country=country,
            locations=sorted(names or ()),
            tags_move_date=tags_move_date,
            search_lag=search_lag,
            searches_without_dnd=search_without_dnd,
            replaces_dnd=replace_dnd,
            chance=chance,
            wall=wall,
            monotonic=monotonic,
        )
        self._data = None if data is None else open_data(data, self._records)
        self._service = Service(
            self._records,
            OAuth(self._records.logins, locations=self._records.location_ids, names=names, wall=wall),
            self._data,
            token=token,
            locations=names,
            new_quota=None if unlimited else lambda: SandboxQuota(*limits, window, monotonic),
            retry_after=str(retry_after),
            chance=chance,
            monotonic=monotonic,
            on_applied=on_applied,
        )
        self._server: web.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._stopped = asyncio.Event()
        self.requests = 0
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
            ConfigurationError: The data file can no longer be used.
        """
        if self._data is not None:
            self._data.open()
        server = web.Server(self._handle, access_log=None, logger=LOGGER)
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
        if self._runner is not None and self._server is not None:
            # asyncio never closes a connection that it is about to accept when its server is closed.
            for _ in range(_TURNS_TO_ACCEPT):
                await asyncio.sleep(0)
            if abruptly:
                _break_connections(self._server)
            await self._runner.cleanup()
            self._runner = None
        if self._data is not None:
            self._data.close()

    # ------------------------------------------------------------------------------------------ for tests

    @property
    def oauth(self) -> OAuth:
        """The app that is known here, and who is logged in to it."""
        return self._service.oauth

    def contacts(self, location_id: str | None = None) -> list[dict[str, Any]]:
        """Return the stored contacts of a location, or of all, the oldest first."""
        return [
            contact
            for contact in self._records.contacts.values()
            if location_id is None or contact["locationId"] == location_id
        ]

    def contact(self, contact_id: str) -> dict[str, Any] | None:
        """Return a stored contact by its id, or None."""
        return self._records.contacts.get(contact_id)

    @property
    def arrivals(self) -> deque[Arrival]:
        """The calls that came, the last 200,000 of them."""
        return self._service.arrivals

    @property
    def rate_limited(self) -> int:
        """How many calls were rate-limited (HTTP 429)."""
        return self._service.rate_limited

    @property
    def writes(self) -> Mapping[str, int]:
        """How often each contact, by its id, was created or changed."""
        return self._records.writes

    def add_contact(self, location_id: str, **fields: Any) -> dict[str, Any]:
        """Store a contact, past limits and faults, from fields named as on the wire; return it as stored."""
        contact = self._records.create({**fields, "locationId": location_id}, is_seed=True)
        self._commit()
        return contact

    def add_appointment(self, contact_id: str, **fields: Any) -> dict[str, Any]:
        """Store an appointment of a contact, which no operation here makes, from fields named as on the wire."""
        contact = self._records.get(contact_id)
        new_id = self._records.new_id(self._records.appointments)
        event = {"id": new_id, "contactId": contact_id, "locationId": contact["locationId"], **fields}
        self._records.appointments.put(event)
        self._commit()
        return event

    def notes(self, contact_id: str) -> list[dict[str, Any]]:
        """Return the stored notes of a contact, the oldest first."""
        return self._records.notes.of(contact_id)

    def tasks(self, contact_id: str) -> list[dict[str, Any]]:
        """Return the stored tasks of a contact, the oldest first."""
        return self._records.tasks.of(contact_id)

    def campaigns(self, contact_id: str) -> list[str]:
        """Return the ids of the campaigns that a contact is in, the first joined first."""
        return enrolled(self._records, contact_id, "campaign")

    def workflows(self, contact_id: str) -> list[str]:
        """Return the ids of the workflows that a contact is in, the first joined first."""
        return enrolled(self._records, contact_id, "workflow")

    def _commit(self) -> None:
        if self._data is not None:
            self._data.commit()

    def allow_locations(self, locations: Iterable[str] | None) -> None:
        """Let the token use these locations from now on, and no others; None for any."""
        self._service.allow_locations(None if locations is None else frozenset(locations))

    def fail_next(self, kind: str | None, times: int = 1) -> None:
        """Give the next calls a fault (None: let them pass), after those named before; then chance decides again.

        Raises:
            ValueError: There is no such kind.
        """
        self._faults.script(kind, times)

    # ------------------------------------------------------------------------------------------ one call

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not is_from_here(request.method, request.headers, self._address[0]):
            return web.Response(status=403, text="This sandbox answers only programs and pages on this machine.\n")
        delay = self._chance.uniform(*self._latency)
        before = delay * self._chance.random()
        if delay:
            await self._sleep(before)
        fault = self._faults.next()
        if fault == "hang":
            await self._stopped.wait()
        self.requests += 1
        try:
            answer = Answer(0, b"") if fault in ("reset-before", "hang") else await self._service.answer(request, fault)
            if delay:
                await self._sleep(delay - before)
            # Clients compare `dateAdded` with it, so it must come from the same clock.
            answer.headers["Date"] = http_date(int(self._wall()))
            return await send(request, answer, fault)
        except ConnectionError:  # the client went away before its request was complete, or before its answer was
            return web.Response()


def is_from_here(method: str, headers: Mapping[str, str], listening: str) -> bool:
    """Whether a request is meant for this machine, and not made by a page of some site in a browser here.

    Such a page may send forms to any address, and reads answers where its own name leads to this machine.

    Args:
        method: Of the request.
        headers: Of the request.
        listening: Where the sandbox listens.
    """
    name = _name_of(headers.get("Host", ""))
    if not (_is_loopback(name) or name == listening or (listening in _ANYWHERE and _is_address(name))):
        return False
    if method in ("GET", "HEAD"):
        return True
    origin = headers.get("Origin")
    is_own = origin is None or origin.lower() == f"http://{headers.get('Host', '')}".lower()
    return is_own and headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


_ANYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with what the user gave


def _is_loopback(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or (_is_address(name) and ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _break_connections(server: web.Server) -> None:
    server.handler_cancellation = True  # what is not applied by now never is
    for connection in server.connections:
        if connection.transport is not None:
            connection.transport.abort()
