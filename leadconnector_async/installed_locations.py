"""The locations of an agency that have the app installed, page by page. Pure.

Before v3 the pages are counted; in v3 each names the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from .grants import InstalledLocation
from .oauth import build_headers
from .protocol import Request


class Page(Struct, frozen=True):
    """One page of installed locations.

    Attributes:
        next: What to ask for the next page with; None after the last.
    """

    locations: list[InstalledLocation]
    next: str | None


class _CountedPage(Struct, frozen=True):
    locations: list[InstalledLocation]


class _Pagination(Struct, frozen=True, rename="camel"):
    next_page_token: str | None = None


class _NamedPage(Struct, frozen=True):
    items: list[InstalledLocation]
    pagination: _Pagination = _Pagination()


_COUNTED: Final = msgspec.json.Decoder(_CountedPage)
_NAMED: Final = msgspec.json.Decoder(_NamedPage)


def build_installed_locations(
    company_id: str, app_id: str, version: str, *, page: str, size: int, query: str | None, is_installed: bool | None
) -> Request[Page]:
    """GET /oauth/installedLocations: one page.

    Args:
        page: Empty for the first; else what the page before told.
        size: How many locations at most.
    """
    fields = {"companyId": company_id, "appId": app_id}
    read: Callable[[bytes], Page]
    if version == "v3":
        path, read = "/oauth/installed-locations", _read_named
        fields |= {"pageSize": str(size), **({"pageToken": page} if page else {})}
    else:
        skip = int(page or 0)
        path, read = "/oauth/installedLocations", partial(_read_counted, skip, size)
        fields |= {"skip": str(skip), "limit": str(size)}
    if query is not None:
        fields["query"] = query
    if is_installed is not None:
        fields["isInstalled"] = "true" if is_installed else "false"
    return Request(
        method="GET",
        path=f"{path}?{urlencode(fields, quote_via=quote)}",
        headers=build_headers(version),
        body=None,
        location_id=company_id,
        repeatable=True,
        read=read,
    )


def _read_counted(skip: int, size: int, body: bytes) -> Page:
    locations = _COUNTED.decode(body).locations
    return Page(locations, str(skip + len(locations)) if len(locations) >= size else None)


def _read_named(body: bytes) -> Page:
    page = _NAMED.decode(body)
    return Page(page.items, page.pagination.next_page_token or None)
