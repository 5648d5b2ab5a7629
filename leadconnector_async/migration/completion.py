"""Reads contacts by their ids of which a search did not tell all that a load needs to know.

A search leaves fields out that a contact has, and what was left out is not to pass for empty. So before the load the
contacts are read whole that rows may meet and that do not tell some field which a row sends; the others are not, as
each takes a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Protocol

from msgspec import Struct

from ..client import LeadConnector
from ..errors import DailyQuotaExceededError, NotFoundError, StopRequestedError
from ..models import Contact, ContactUpsert
from .rows import RowFile
from .selection import SentRows
from .stored import StoredContact, StoredContacts
from .sweep import sweep


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
    files: Sequence[RowFile],
    needed: Callable[[ContactUpsert], Iterable[str]],
    stop: asyncio.Event,
    *,
    wait_for_quota: bool = False,
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
        wait_for_quota: Whether to wait for the next day where the day's calls are spent.
        concurrency: Calls at once.
        on_progress: Called with how many contacts more were read.

    Raises:
        StopRequestedError: The user wished to stop. What was read is kept, also where the others are raised.
        LeadConnectorError: A call failed, or the day is spent.
        JournalError: What was read cannot be kept.
    """

    async def fetch(doubtful: _Doubtful) -> None:
        try:
            contact = await client.contacts.get(doubtful.contact_id, location_id=doubtful.location_id)
        except NotFoundError:  # it has gone since
            return
        await asyncio.to_thread(whole.add_whole, doubtful.location_id, contact)
        on_progress(1)

    while not whole.is_completed:
        doubtful = _find_doubtful(files, whole, stored, client.location_id or "", needed)
        reason = await sweep(doubtful, fetch, concurrency=concurrency, stop=stop)
        if stop.is_set():
            raise StopRequestedError("the reading of what is there was asked to stop")
        if reason is None:
            whole.complete(client.clock.time())
        elif wait_for_quota and isinstance(reason, DailyQuotaExceededError):
            await client.clock.sleep(reason.resets_in)
        else:
            raise reason


def _find_doubtful(
    files: Sequence[RowFile],
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
    files: Sequence[RowFile], stored: StoredContacts, location_id: str
) -> Iterator[tuple[ContactUpsert, list[StoredContact]]]:
    """Yield the rows, each with whom it may meet: also where its email and phone are of two people, as others may
    change them first, and where an earlier row gives somebody the email or phone that it has."""
    with closing(SentRows()) as earlier:
        for contact in (row.contact for file in files for row in file.rows()):
            if isinstance(contact, ContactUpsert):
                where = contact.location_id or location_id
                identity = stored.identify(contact, where)
                held = (stored.holder(identity, "email"), stored.holder(identity, "phone"))
                met = {found.contact_id: found for found in held if found is not None}
                keys = [key for key in identity if key]
                for contact_id in earlier.find(keys, met) or ():
                    if contact_id not in met and (found := stored.get(where, contact_id)) is not None:
                        met[contact_id] = found
                if met:
                    earlier.add(keys, met)
                yield contact, list(met.values())
