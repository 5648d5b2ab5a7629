"""Pages of an agency's locations: counted at first; in v3 each names the one before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .refusals import Refusal

_USUAL: Final = 20
_LARGEST: Final = 500
_LONGEST: Final = 9
_PREFIX: Final = "page-"


def counted_page(found: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return what `skip` and `limit` ask for."""
    skip, limit = _count(query, "skip", 0), _count(query, "limit", _USUAL)
    return {"locations": found[skip : skip + limit], "count": len(found), "installToFutureLocations": False}


def named_page(found: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return what `pageToken` and `pageSize` ask for."""
    size = _count(query, "pageSize", _USUAL) or _USUAL
    token = query.get("pageToken", f"{_PREFIX}0")
    start = token.removeprefix(_PREFIX)
    if not (token.startswith(_PREFIX) and _is_count(start)):
        raise Refusal(400, "Invalid parameter: pageToken")
    begin, end = int(start), int(start) + size
    pagination = {
        "totalRecords": len(found),
        "hasNextPage": end < len(found),
        "hasPrevPage": begin > 0,
        "nextPageToken": f"{_PREFIX}{end}" if end < len(found) else None,
        "prevPageToken": f"{_PREFIX}{max(begin - size, 0)}" if begin else None,
        "currentPageSize": len(found[begin:end]),
    }
    return {"items": found[begin:end], "pagination": pagination, "installToFutureLocations": False}


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not _is_count(text):
        raise Refusal(422, [f"{name} must be a number string"])
    if int(text) > _LARGEST and name != "skip":
        raise Refusal(400, f"{name} must not be greater than {_LARGEST}")
    return int(text)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST
