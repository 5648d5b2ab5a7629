"""A sandbox that runs in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from copy import deepcopy
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import msgspec

from ..client import LeadConnector
from ..errors import ClientStateError, InvalidContactError, UsageError
from ..models import Contact, ContactUpsert, decode_contact, encode_contact, read_mapping
from ..sandbox import Applied, Arrival, Sandbox
from ..sandbox.answers import Refusal

T = TypeVar("T")
P = ParamSpec("P")

_LOCATION = "ve9EPM428h8vShlRW1KT"
_DAY = 86_400.0


class RunningSandbox:
    """A sandbox in a thread of its own, made by `run_sandbox`. Its methods may be called from any thread.

    What it has stored and seen can still be read after its end.

    Attributes:
        url: The base URL for clients.
        token: The token it takes.
        location_id: The location of contacts without one of their own: the first of its `locations`, or a made-up one.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        if options.get("locations") is not None:
            self._options["locations"] = list(options["locations"])
        self.url = ""
        self.token: str = self._options.get("token", "sandbox")
        self.location_id: str = next(iter(self._options.get("locations") or ()), _LOCATION)
        self._applied: list[Applied] = []
        self._sandbox: Sandbox | None = None
        self._thread: threading.Thread | None = None
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def __repr__(self) -> str:
        return f"<RunningSandbox {getattr(self, 'url', None) or 'not running'}>"

    # ------------------------------------------------------------------------------------------ life

    def __enter__(self) -> RunningSandbox:
        if self._thread is not None:
            raise ClientStateError("this sandbox was started before; call run_sandbox() for another")
        # A daemon, so that one that nobody stops does not keep the process alive.
        self._thread = threading.Thread(target=asyncio.run, args=(self._live(),), name="sandbox", daemon=True)
        self._thread.start()
        try:
            self._await(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._await(self._inner.stop(abruptly=True))  # a test's end waits for no call that is still under way
        finally:
            self._end()

    async def _live(self) -> None:
        end = asyncio.Event()
        self._running.set_result((asyncio.get_running_loop(), end))
        await end.wait()

    async def _open(self) -> None:
        self._sandbox = Sandbox(**{**self._options, "on_applied": self._keep_applied})
        await self._sandbox.start()
        self.url = self._sandbox.url

    def _end(self) -> None:
        loop, end = self._running.result()
        loop.call_soon_threadsafe(end.set)
        if self._thread is not None:
            self._thread.join()

    # ------------------------------------------------------------------------------------------ from thread to thread

    def ask(self, function: Callable[[Sandbox], T]) -> T:
        """Call a function with the sandbox itself, on its own thread, for what there is no method for here.

        Args:
            function: Such as `lambda sandbox: sandbox.notes(contact_id)`. What it returns should be no part of the
                sandbox that changes later.
        """
        if self._thread is None or not self._thread.is_alive() or self._thread is threading.current_thread():
            return function(self._inner)

        async def call() -> T:
            return function(self._inner)

        return self._await(call())

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._running.result()[0]).result()

    @property
    def _inner(self) -> Sandbox:
        if self._sandbox is None:
            raise ClientStateError("this sandbox is not running; use `with run_sandbox() as sandbox:`")
        return self._sandbox

    def _keep_applied(self, applied: Applied) -> None:
        self._applied.append(deepcopy(applied))  # contacts in it are the stored ones, and change
        if self._options.get("on_applied") is not None:
            self._options["on_applied"](applied)

    # ------------------------------------------------------------------------------------------ for tests

    def client(self, **options: Any) -> LeadConnector:
        """Make a client of this sandbox, to be opened with `async with`.

        Args:
            options: Any arguments of `LeadConnector`.
        """
        defaults = {"token": self.token, "base_url": self.url, "location_id": self.location_id}
        return LeadConnector(**{**defaults, **options})

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which `LeadConnector.from_env()` and `leadconnector` find this sandbox."""
        return {
            "LEADCONNECTOR_TOKEN": self.token,
            "LEADCONNECTOR_BASE_URL": self.url,
            "LEADCONNECTOR_LOCATION_ID": self.location_id,
        }

    def seed(
        self, contacts: Iterable[ContactUpsert | Mapping[str, object]], *, location_id: str | None = None
    ) -> list[Contact]:
        """Store contacts, past limits and faults, as if they had been there since yesterday.

        Args:
            contacts: As `bulk_upsert` takes them. Their own location wins.
            location_id: That of the others, in place of `self.location_id`.

        Returns:
            The contacts as they are stored, in this order.

        Raises:
            InvalidContactError: One cannot be stored (the sentence names it, counted from 0); those before it are.
        """
        if isinstance(contacts, Mapping):
            raise UsageError("seed takes a list of contacts, not one; write seed([...])")
        rows = [_wire(number, contact) for number, contact in enumerate(contacts)]
        # One added just now would pass for what a call whose answer was lost has created.
        yesterday = datetime.fromtimestamp(self._options.get("wall", time.time)() - _DAY, UTC)
        default = {"locationId": location_id or self.location_id, "dateAdded": _format(yesterday)}
        copies = self.ask(
            lambda sandbox: [_store(sandbox, number, {**default, **row}) for number, row in enumerate(rows)]
        )
        return [decode_contact(copy) for copy in copies]

    def contacts(self, location_id: str | None = None) -> list[Contact]:
        """Return the contacts as they are stored now, of a location or of all, the oldest first."""
        copies = self.ask(lambda sandbox: [_copy(contact) for contact in sandbox.contacts(location_id)])
        return [decode_contact(copy) for copy in copies]

    def contact(self, contact_id: str) -> Contact | None:
        """Return a contact as it is stored now, or None."""

        def find(sandbox: Sandbox) -> Contact | None:
            found = sandbox.contact(contact_id)
            return None if found is None else decode_contact(_copy(found))

        return self.ask(find)

    def fail_next(self, kind: str | None, times: int = 1) -> None:
        """Give the next calls a fault of `leadconnector_async.sandbox.FAULT_KINDS`, after those named before.

        Args:
            kind: None lets them pass.
            times: How many calls.

        Raises:
            ValueError: There is no such kind.
        """
        self.ask(lambda sandbox: sandbox.fail_next(kind, times))

    @property
    def arrivals(self) -> list[Arrival]:
        """The calls that came, those refused included, in order; without those that a fault cut off before."""
        return self.ask(lambda sandbox: list(sandbox.arrivals))

    @property
    def applied(self) -> list[Applied]:
        """The calls that were carried out, in order, with what was sent and answered."""
        return self.ask(lambda _: list(self._applied))


def _options_of(_: Callable[P, Sandbox]) -> Callable[[Callable[..., RunningSandbox]], Callable[P, RunningSandbox]]:
    """Let type checkers see the arguments of `Sandbox` in a function that hands them on."""
    return lambda function: function


@_options_of(Sandbox)
def run_sandbox(**options: Any) -> RunningSandbox:
    """Make a sandbox that runs in a thread within `with run_sandbox() as sandbox:`.

    Args:
        options: Those of `leadconnector_async.sandbox.Sandbox`.

    Raises:
        ValueError, TypeError, OSError: When it is entered: an option makes no sense, or the port is taken.
    """
    return RunningSandbox(options)


def _format(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _wire(number: int, contact: ContactUpsert | Mapping[str, object]) -> dict[str, Any]:
    if not isinstance(contact, ContactUpsert | Mapping):
        raise InvalidContactError(
            f"it is a {type(contact).__name__}, no dict or ContactUpsert", where=f"contact {number}"
        )
    try:
        upsert = contact if isinstance(contact, ContactUpsert) else read_mapping(contact, ContactUpsert)
        row: dict[str, Any] = msgspec.json.decode(encode_contact(upsert))
    except InvalidContactError as error:
        raise InvalidContactError(error.sentence, field=error.field, where=f"contact {number}") from None
    row.pop("createNewIfDuplicateAllowed", None)  # it is no field of a contact
    return row


def _store(sandbox: Sandbox, number: int, row: dict[str, Any]) -> bytes:
    location_id = row.pop("locationId")
    try:
        return _copy(sandbox.add_contact(location_id, **row))
    except Refusal as refusal:
        raise InvalidContactError(str(refusal.body["message"]), where=f"contact {number}") from None


def _copy(contact: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"contact": contact})
