"""Reads what locations hold before a load: all contacts of a location, or those that rows may meet, whatever takes
fewer calls."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from functools import partial
from typing import Final, Protocol, TypeAlias, TypeVar

from msgspec import UNSET, Struct

from ..bulk.pool import Pool
from ..bulk.threads import in_thread, in_thread_until
from ..client import LeadConnector
from ..errors import BadRequestError, NotFoundError, StopRequestedError, ValidationError
from ..limits.limit import RateLimit
from ..models import Contact, ContactUpsert
from ..models.identity import Identity
from ..models.search import FoundContact
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from ..run.rows import RunFile
from .before import LocationRead, StoredContact, StoredContacts, Way, keys_of
from .matching import Field, MatchRule
from .plan import time_needed
from .planning import Asked, ask_locations
from .report.words import about_time
from .select import SentRows

PAGE_SIZE: Final = 500
_LOCATIONS_AT_ONCE: Final = 8
_FEW_ROWS: Final = 100  # where nobody knows how many contacts there are
_ASKED_EVERY: Final = 1000
_Sought: TypeAlias = tuple[str, Identity | str]
"""A location, and whom to look up there: by email and phone, or by the contact's id."""
_Key: TypeAlias = tuple[Field, str]

_T = TypeVar("_T")


class Inventory:
    """The reading of what is there. Cut off, another one with the same file goes on where it was.

    Args:
        client: Of where the load goes; it is open.
        stored: Takes the contacts.
        files: The rows that are to be loaded.
        pool: Makes the calls. Locations that take none are left out, unless all do.
        limit: Our own limits of each location.
        tell: Is told what is read, and how long it takes.
        on_progress: Called with how many contacts more were read, or people more looked up.
    """

    def __init__(
        self,
        client: LeadConnector,
        stored: StoredContacts,
        files: Sequence[RunFile],
        *,
        pool: Pool,
        limit: RateLimit,
        tell: Callable[[str], None],
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._stored = stored
        self._files = files
        self._pool = pool
        self._limit = limit
        self._tell = tell
        self._on_progress = on_progress

    async def run(self, stop: asyncio.Event, *, concurrency: int = 64) -> None:
        """Read all that the load needs to know. Does nothing where that is done.

        Args:
            stop: Set it to end in order.
            concurrency: Calls at once.

        Raises:
            StopRequestedError: The user wished to stop. What was read is kept, also where the others are raised.
            LeadConnectorError: A call failed, the service was down for too long, or the day is spent.
            JournalError: What was read cannot be kept.
            ConfigurationError: The rows of a file cannot be told apart.
        """
        if self._stored.is_finished:
            return
        rows = await in_thread_until(
            stop.is_set, partial(count_by_location, self._files, self._client.location_id or "")
        )
        _check(stop)
        unread = [location_id for location_id in rows if not self._stored.location(location_id).is_whole]
        await self._each(unread, lambda location_id: self._begin(location_id, rows[location_id]), stop)
        if rows and self._pool.closed.keys() >= rows.keys() and self._pool.reason is not None:
            raise self._pool.reason
        by_pages = [location_id for location_id in unread if not self._is_by_rows(location_id)]
        await self._each(by_pages, partial(self._read_pages, stop=stop), stop)
        if any(map(self._is_by_rows, rows)):
            await _run(self._pool, self._sought(), self._look_up, lambda sought: sought[0], concurrency, stop)
        if self._pool.spent is not None:  # what is missing can be read tomorrow
            raise self._pool.spent
        await in_thread(partial(self._stored.finish, self._client.clock.time(), list(self._pool.closed)))

    async def _each(
        self, location_ids: Iterable[str], work: Callable[[str], Awaitable[None]], stop: asyncio.Event
    ) -> None:
        await _run(self._pool, location_ids, work, lambda location_id: location_id, _LOCATIONS_AT_ONCE, stop)

    # ------------------------------------------------------------------------------------------ how to read

    async def _begin(self, location_id: str, rows: int) -> None:
        """Ask a location how it matches, and choose how to read it."""
        if self._stored.is_begun(location_id):
            return
        told = await ask_locations(self._client, [location_id], self._limit, self._tell, self._pool)
        if location_id in self._pool.closed:
            return
        asked = told.get(location_id) or Asked(rule=MatchRule(), limit=self._limit, left_today=None)
        count = partial(self._client.contacts.search_page, page_size=1, location_id=location_id)
        total = (await self._pool.call(location_id, count)).total
        way: Way = "rows" if rows < _count_pages(total) else "pages"
        self._tell(_describe(location_id, asked, total=total, rows=rows, way=way))
        read = LocationRead(rule=asked.rule, country=asked.country, way=way)
        await in_thread(partial(self._stored.begin, location_id, read))

    def _is_by_rows(self, location_id: str) -> bool:
        return self._stored.location(location_id).way == "rows"

    # ------------------------------------------------------------------------------------------ by pages

    async def _read_pages(self, location_id: str, *, stop: asyncio.Event) -> None:
        """Read all contacts of a location, the oldest first: of several with one email that is the one to be found.

        Begun anew, it goes on after the last page that was kept.
        """
        await self._pool.call(location_id, partial(self._read_more_pages, location_id, stop))

    async def _read_more_pages(self, location_id: str, stop: asyncio.Event) -> None:
        search = self._client.contacts.search(
            page_size=PAGE_SIZE, search_after=self._stored.location(location_id).cursor, location_id=location_id
        )
        page: list[FoundContact] = []
        async with aclosing(search) as contacts:
            async for contact in contacts:
                page.append(contact)
                if len(page) >= PAGE_SIZE and contact.search_after is not None:
                    await self._keep(location_id, page, is_last=False)
                    self._pool.note_progress()
                    page = []
                    if stop.is_set():
                        return
        await self._keep(location_id, page, is_last=True)

    async def _keep(self, location_id: str, page: Sequence[FoundContact], *, is_last: bool) -> None:
        cursor = None if is_last else page[-1].search_after
        await in_thread(partial(self._stored.add_page, location_id, page, cursor))
        self._on_progress(len(page))

    # ------------------------------------------------------------------------------------------ by rows

    def _sought(self) -> Iterator[_Sought]:
        """Yield whom rows may meet, of locations where each is looked up."""
        for location_id, contact in _contacts(self._files, self._client.location_id or ""):
            if not self._is_by_rows(location_id):
                continue
            if contact.id is not UNSET:
                if self._stored.lacks_id(location_id, contact.id):
                    yield location_id, contact.id
            else:
                identity = self._stored.identify(contact, location_id)
                if self._lacking(location_id, identity):
                    yield location_id, identity

    def _lacking(self, location_id: str, identity: Identity) -> list[_Key]:
        """Return what is to be looked up still, in the order in which the location does."""
        fields: list[Field] = [
            "email" if name == "email" else "phone" for name in self._stored.location(location_id).order
        ]
        return [(field, getattr(identity, field)) for field in fields if self._stored.lacks(identity, field)]

    async def _look_up(self, sought: _Sought) -> None:
        """Find out who has the email, and who the phone, of a row: by one call, unless they are of two people."""
        location_id, identity = sought
        if isinstance(identity, str):
            await self._look_up_by_id(location_id, identity)
            return
        keys = await in_thread(partial(self._lacking, location_id, identity))
        while keys:
            told, contact = await self._ask(location_id, keys)
            nobodys = told if contact is None else told[:-1]
            await in_thread(partial(self._stored.add_found, location_id, nobodys, None))
            own = []
            if contact is not None:
                await in_thread(partial(self._stored.add_found, location_id, told[-1:], contact))
                own = _keys_of(contact, location_id)
            keys = [key for key in keys[len(told) :] if key not in own]
        self._on_progress(1)

    async def _look_up_by_id(self, location_id: str, contact_id: str) -> None:
        get = partial(self._client.contacts.get, contact_id, location_id=location_id)
        try:
            contact = await self._pool.call(location_id, get)
        except (BadRequestError, ValidationError, NotFoundError):
            contact = None
        await in_thread(partial(self._stored.add_by_id, location_id, contact_id, contact))
        self._on_progress(1)

    async def _ask(self, location_id: str, keys: list[_Key]) -> tuple[list[_Key], Contact | None]:
        """Ask for the contact that has the first of some keys which any has.

        Returns:
            The keys to which this is the answer, and the contact that has the last of them; None where nobody has any.
        """
        contact = await self._find(location_id, keys)
        if contact is None:
            return keys, None
        own = _keys_of(contact, location_id)
        for place, key in enumerate(keys, 1):
            if key in own:
                return keys[:place], contact
        # It has one of them in another form, or beside its own: which, tells one question alone.
        return (keys, contact) if len(keys) == 1 else await self._ask(location_id, keys[:1])

    async def _find(self, location_id: str, keys: Sequence[_Key]) -> Contact | None:
        texts = {field: key.removeprefix(f"{location_id} ") for field, key in keys}
        phone = texts.get("phone")
        try:
            find = partial(self._client.contacts.find_duplicate, email=texts.get("email"), phone=phone and f"+{phone}")
            return await self._pool.call(location_id, partial(find, location_id=location_id))
        except (BadRequestError, ValidationError):  # what the service refuses here, it refuses when the row is sent
            return None


async def _run(
    pool: Pool,
    items: Iterable[_T],
    work: Callable[[_T], Awaitable[None]],
    location_of: Callable[[_T], str],
    concurrency: int,
    stop: asyncio.Event,
) -> None:
    """Run `work` for each item; a location that takes no calls does not end it.

    Raises:
        StopRequestedError: The user wished to stop.
        LeadConnectorError: It ended early otherwise.
    """
    reason = await pool.run(items, work, location_of=location_of, concurrency=concurrency, stop=stop)
    if reason is not None:
        raise reason
    _check(stop)


def _check(stop: asyncio.Event) -> None:
    if stop.is_set():
        raise StopRequestedError("reading the existing contacts was stopped on request")


def _count_pages(total: int | None) -> int:
    return _FEW_ROWS if total is None else math.ceil(total / PAGE_SIZE)


def _describe(location_id: str, asked: Asked, *, total: int | None, rows: int, way: Way) -> str:
    """Say how a location is read, and how long that takes."""
    calls = rows if way == "rows" else _count_pages(total)
    told = about_time(*time_needed(calls, asked.limit, asked.left_today))
    there = "contacts" if total is None else count_of(total, "contact")
    how = f"{count_of(rows, 'row')} to look up" if way == "rows" else "all of them to read"
    name = f"location {clean_text(location_id)}"
    return f"Reading the existing contacts: {name} holds {there}; {how}, {count_of(calls, 'call')}, {told}"


def _contacts(files: Sequence[RunFile], location_id: str) -> Iterator[tuple[str, ContactUpsert]]:
    for file in files:
        for row in file.rows():
            contact = row.contact
            if isinstance(contact, ContactUpsert):
                yield contact.location_id or location_id, contact


def count_by_location(
    files: Sequence[RunFile], location_id: str, is_stopped: Callable[[], bool] = lambda: False
) -> Counter[str]:
    """Return how many rows go to each location; this reads the files only where a column names locations.

    Args:
        files: The rows.
        location_id: Of rows that name none.
        is_stopped: Asked now and then; where it says so, the rest is not looked at.
    """
    counts: Counter[str] = Counter()
    if not any(file.has_locations for file in files):
        counts[location_id] = sum(file.count for file in files)
        return counts
    for number, (name, _) in enumerate(_contacts(files, location_id)):
        counts[name] += 1
        if number % _ASKED_EVERY == 0 and is_stopped():
            break
    return counts


def _keys_of(contact: Contact, location_id: str) -> list[_Key]:
    return [(field, f"{location_id} {key}") for field, key, _ in keys_of(contact)]


# ---------------------------------------------------------------------------------------------- contacts read by id

# A search leaves fields out that a contact has, and what was left out is not to pass for empty. So before the load the
# contacts are read whole that rows may meet and that do not tell some field which a row sends; the others are not, as
# each takes a call.


class WholeContacts(Protocol):
    """Where contacts go that are read whole: `StoredContacts` or a `Snapshot`."""

    @property
    def is_completed(self) -> bool:
        """Whether all of them are read."""

    def is_whole(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact is read."""

    def add_whole(self, location_id: str, contact: Contact) -> None:
        """Keep one."""

    def complete(self, now: float) -> None:
        """Note that all are read, in seconds since 1970."""


class _Doubtful(Struct, frozen=True):
    location_id: str
    contact_id: str


async def complete_contacts(
    client: LeadConnector,
    whole: WholeContacts,
    stored: StoredContacts,
    files: Sequence[RunFile],
    needed: Callable[[ContactUpsert], Iterable[str]],
    stop: asyncio.Event,
    *,
    pool: Pool,
    concurrency: int = 64,
    on_progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Read the contacts whole of which rows need to know more. Does nothing where that is done.

    Args:
        client: Of where the load goes; it is open.
        whole: Takes the contacts.
        stored: What the locations hold, all of it read.
        files: The rows that are to be loaded.
        needed: Returns what must be known of a contact that a row may meet: fields, by their names in Python.
        stop: Set it to end in order.
        pool: As of `Inventory`.
        concurrency: Calls at once.
        on_progress: Called with how many contacts more were read.

    Raises:
        StopRequestedError: The user wished to stop. What was read is kept, also where the others are raised.
        LeadConnectorError: A call failed, the service was down for too long, or the day is spent.
        JournalError: What was read cannot be kept.
    """

    async def fetch(doubtful: _Doubtful) -> None:
        try:
            get = partial(client.contacts.get, doubtful.contact_id, location_id=doubtful.location_id)
            contact = await pool.call(doubtful.location_id, get)
        except NotFoundError:  # it has gone since
            return
        await in_thread(partial(whole.add_whole, doubtful.location_id, contact))
        on_progress(1)

    if whole.is_completed and not stored.refused:
        return
    doubtful = _find_doubtful(files, whole, stored, client.location_id or "", needed)
    await _run(pool, doubtful, fetch, lambda one: one.location_id, concurrency, stop)
    if pool.spent is not None:
        raise pool.spent
    whole.complete(client.clock.time())


def _find_doubtful(
    files: Sequence[RunFile],
    whole: WholeContacts,
    stored: StoredContacts,
    location_id: str,
    needed: Callable[[ContactUpsert], Iterable[str]],
) -> Iterator[_Doubtful]:
    asked: set[_Doubtful] = set()
    for row, met in _meetings(files, stored, location_id):
        fields = list(needed(row))
        for found in met:
            doubtful = _Doubtful(found.location_id, found.contact_id)
            if doubtful in asked or all(map(found.contact.knows, fields)):
                continue
            if not whole.is_whole(found.location_id, found.contact_id):
                asked.add(doubtful)
                yield doubtful


def _meetings(
    files: Sequence[RunFile], stored: StoredContacts, location_id: str
) -> Iterator[tuple[ContactUpsert, list[StoredContact]]]:
    """Yield the rows, each with whom it may meet: also where its email and phone are of two people, as others may
    change them first, and where an earlier row gives somebody the email or phone that it has."""
    with closing(SentRows()) as earlier:
        for contact in (row.contact for file in files for row in file.rows()):
            if isinstance(contact, ContactUpsert):
                where = contact.location_id or location_id
                identity = stored.identify(contact, where)
                held = (stored.holder(identity, "email"), stored.holder(identity, "phone"))
                if contact.id is not UNSET:
                    held = (stored.get(where, contact.id), None)
                met = {found.contact_id: found for found in held if found is not None}
                keys = [key for key in identity if key]
                for contact_id in earlier.find(keys, met) or ():
                    if contact_id not in met and (found := stored.get(where, contact_id)) is not None:
                        met[contact_id] = found
                if met:
                    earlier.add(keys, met)
                yield contact, list(met.values())
