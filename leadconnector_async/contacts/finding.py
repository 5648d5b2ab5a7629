"""Finding contacts: search over all pages, one page of it, duplicates, lists."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Sequence

import msgspec

from ..errors import InvalidResponseError, UsageError
from ..models import Contact
from ..models.activities import Appointment
from ..models.search import (
    ContactPage,
    Cursor,
    Filter,
    FilterGroup,
    FoundContact,
    Search,
    SearchPage,
    Sort,
    join_orders,
)
from ..protocol import Scope
from ..protocol import search as calls
from .group import OperationGroup

# ---------------------------------------------------------------------------------------------- ids seen lately


class Recent:
    """The ids seen last, to recognise repeats in bounded memory."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._order: deque[str] = deque()
        self._ids: set[str] = set()

    def add(self, seen: str) -> bool:
        """Note an id, and return whether it is new among the last ones."""
        if seen in self._ids:
            return False
        if len(self._order) >= self._most:
            self._ids.discard(self._order.popleft())
        self._order.append(seen)
        self._ids.add(seen)
        return True


_MOST_STALE = 3  # pages in a row with nothing new: contacts that moved may fill one or two


class Finding(OperationGroup):
    """Operations that find contacts."""

    def search(
        self,
        *filters: Filter | FilterGroup,
        query: str | None = None,
        sort: Sort | Sequence[Sort] = Sort("date_added"),
        page_size: int = 100,
        search_after: Cursor | None = None,
        location_id: str | None = None,
    ) -> AsyncGenerator[FoundContact, None]:
        """Find contacts, all pages of them, in constant memory; without any filter or query, all of the location.

            async for contact in client.contacts.search(Filter("tags", "eq", "vip")):
                ...

        **What is sure while others write:** in the default order, `dateAdded` and then the id, a contact never moves.
        So each contact that was there and matched from the first page to the last is yielded exactly once, whatever is
        added, changed or deleted meanwhile; one that was there or matched only for a time may be yielded or not. In
        another order the same holds for contacts whose place does not change; one that moves while pages are read may
        be missed, or come again (not within 10,000 contacts of the first time). The service's index is some seconds
        behind, at times more than a minute: what was just written may not be found yet.

        Args:
            filters: Conditions, all of which must hold; `any_of` and `all_of` join some to one.
            query: Free text, at most 75 characters, looked for in the fields that the location made searchable.
            sort: Orders, the first one before the second.
            page_size: Contacts a call asks for, 1 to 500; 500 makes an export cheapest.
            search_after: Where to go on: `search_after` of the last contact that an earlier search
                yielded, one with the same filters and order.
            location_id: Where to search; the client's location by default.

        Yields:
            The contacts in the order asked for. Searches leave out some fields that `get` has, such as the time zone;
            `knows` of a contact says which.

        Raises:
            UsageError: There is no location, or an argument cannot be used; nothing was sent.
            InvalidResponseError: The service does not say where to go on, or sends a page twice.
            CallError: A page could not be read; all contacts before it were yielded, `search_after` goes on from there.
        """
        search = Search(
            filters=filters, query=query, sort=join_orders(sort), page_size=page_size, search_after=search_after
        )
        return self._read_pages(search, self._located(location_id))

    async def _read_pages(self, search: Search, scope: Scope) -> AsyncGenerator[FoundContact, None]:
        recent = Recent()
        read = stale = 0
        while True:
            page = await self._send(calls.build_search(search, scope))
            new = [contact for contact in page.contacts if recent.add(contact.id)]
            for contact in new:
                yield contact
            stale = 0 if new else stale + 1
            if stale > _MOST_STALE:
                raise InvalidResponseError("the service sends the same pages of the search again and again", status=200)
            read += len(page.contacts)
            if is_last(page, search.page_size, read):
                return
            search = msgspec.structs.replace(search, search_after=_next_cursor(page, search.search_after))

    async def search_page(
        self,
        *filters: Filter | FilterGroup,
        query: str | None = None,
        sort: Sort | Sequence[Sort] = Sort("date_added"),
        page_size: int = 100,
        page: int | None = None,
        search_after: Cursor | None = None,
        location_id: str | None = None,
    ) -> SearchPage:
        """Find one page of contacts, and how many there are in all.

        Args:
            filters, query, sort, page_size, location_id: As in `search`.
            page: Which page, from 1, of the first 10,000 contacts; not together with `search_after`.
            search_after: `search_after` of the page before.

        Raises:
            UsageError: There is no location, or an argument cannot be used; nothing was sent.
            CallError: It did not succeed.
        """
        search = Search(
            filters=filters,
            query=query,
            sort=join_orders(sort),
            page_size=page_size,
            page=page,
            search_after=search_after,
        )
        return await self._send(calls.build_search(search, self._located(location_id)))

    async def find_duplicate(
        self, *, email: str | None = None, phone: str | None = None, location_id: str | None = None
    ) -> Contact | None:
        """Return the contact that a create with this email or phone would duplicate, or None.

        Where the location allows duplicates, email is looked for before phone; else in the order of its settings.

        Args:
            email: An address.
            phone: A number, best in the form `+16175550100`.
            location_id: Where to look; the client's location by default.

        Raises:
            UsageError: Neither is given, or there is no location; nothing was sent.
            CallError: It did not succeed.
        """
        if not (email or phone):
            raise UsageError("a duplicate is looked for by email or phone; give one of them")
        return await self._send(calls.build_duplicate(email, phone, self._located(location_id)))

    async def list_page(
        self,
        *,
        limit: int | None = None,
        query: str | None = None,
        start_after: int | None = None,
        start_after_id: str | None = None,
        location_id: str | None = None,
    ) -> ContactPage:
        """Return one page of a location's contacts. **Deprecated** by the service, and gone from the reference of v3,
        which still answers it: use `search`.

        Args:
            limit: Contacts at most, up to 100; 20 by default.
            query: Free text.
            start_after: `start_after` of the page before, a time in milliseconds since 1970.
            start_after_id: `start_after_id` of the page before.
            location_id: Whose contacts; the client's location by default.

        Raises:
            UsageError: There is no location; nothing was sent.
            CallError: It did not succeed.
        """
        request = calls.build_list(
            self._located(location_id),
            limit=limit,
            query=query,
            start_after=start_after,
            start_after_id=start_after_id,
        )
        return await self._send(request)

    async def by_business(
        self,
        business_id: str,
        *,
        limit: int | None = None,
        skip: int | None = None,
        query: str | None = None,
        start_after: Sequence[str] | None = None,
        location_id: str | None = None,
    ) -> ContactPage:
        """Return one page of the contacts that belong to a business.

        Pages chosen by `skip` shift while contacts are written: one may be missed or come twice.

        Args:
            business_id: Which.
            limit: Contacts at most, up to 100; 25 by default.
            skip: How many to pass over.
            query: Free text.
            start_after: `contact_name` (or "") and `id` of the last contact of the page before; with `api_version` v3
                alone.
            location_id: The location of the business; the client's by default.

        Raises:
            UsageError: There is no location, or `start_after` is given with another version; nothing was sent.
            CallError: It did not succeed.
        """
        request = calls.build_business_list(
            business_id,
            self._located(location_id),
            limit=limit,
            skip=skip,
            query=query,
            start_after=start_after,
        )
        return await self._send(request)

    async def appointments(self, contact_id: str, *, location_id: str | None = None) -> list[Appointment]:
        """Return all appointments with a contact, in the service's own order.

        Raises:
            NotFoundError: There is no such contact.
            CallError: It did not succeed.
        """
        return await self._send(calls.build_appointments(contact_id, self._scope(location_id)))


def is_last(page: SearchPage, page_size: int, read: int) -> bool:
    """Whether a page is the last one: it is short, and the service does not say that there are more.

    A service that gives fewer contacts than it was asked for must not end the search before its time.

    Args:
        page: The page.
        page_size: How many contacts it was asked for.
        read: How many were read, those of this page included.
    """
    return not page.contacts or (len(page.contacts) < page_size and read >= (page.total or 0))


def _next_cursor(page: SearchPage, after: Cursor | None) -> Cursor:
    cursor = page.search_after
    if not cursor:
        raise InvalidResponseError("the service does not say where the search goes on (searchAfter)", status=200)
    if cursor == after:
        raise InvalidResponseError("the service sent a page of the search twice", status=200)
    return cursor
