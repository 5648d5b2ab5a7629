"""Calls that find contacts, and their appointments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import UsageError
from ..models import Contact
from ..models.activities import Appointment
from ..models.search import ContactPage, Search, SearchPage, read_contact_page, read_duplicate, read_search_page
from ..models.structs import encode_body, many
from .request import Request, Scope, add_query, build_request, fill_path

_read_appointments: Final = many("events", Appointment)


def build_search(search: Search, scope: Scope) -> Request[SearchPage]:
    """POST /contacts/search."""
    body = encode_body(search.body(scope.location_id))
    return build_request("POST", "/contacts/search", scope, read_search_page, body=body)


def build_duplicate(email: str | None, phone: str | None, scope: Scope) -> Request[Contact | None]:
    """GET /contacts/search/duplicate."""
    path = add_query("/contacts/search/duplicate", locationId=scope.location_id, email=email, number=phone)
    return build_request("GET", path, scope, read_duplicate)


def build_list(
    scope: Scope, *, limit: int | None, query: str | None, start_after: int | None, start_after_id: str | None
) -> Request[ContactPage]:
    """GET /contacts/, which v3 no longer names and still answers."""
    path = add_query(
        "/contacts/",
        locationId=scope.location_id,
        limit=limit,
        query=query,
        startAfter=start_after,
        startAfterId=start_after_id,
    )
    return build_request("GET", path, scope, read_contact_page)


def build_business_list(
    business_id: str,
    scope: Scope,
    *,
    limit: int | None,
    skip: int | None,
    query: str | None,
    start_after: Sequence[str] | None,
) -> Request[ContactPage]:
    """GET /contacts/business/{businessId}; `startAfter` is of v3 alone."""
    if start_after is not None and scope.version != "v3":
        raise UsageError(f"start_after is of api_version v3; with {scope.version} page by skip")
    path = add_query(
        fill_path("/contacts/business/{business_id}", business_id=business_id),
        locationId=scope.location_id,
        limit=limit,
        skip=skip,
        query=query,
        startAfter=None if start_after is None else ",".join(start_after),
    )
    return build_request("GET", path, scope, read_contact_page)


def build_appointments(contact_id: str, scope: Scope) -> Request[list[Appointment]]:
    """GET /contacts/{contactId}/appointments."""
    path = fill_path("/contacts/{contact_id}/appointments", contact_id=contact_id)
    return build_request("GET", path, scope, _read_appointments)
