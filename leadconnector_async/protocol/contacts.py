"""Calls on one contact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..models import Contact, ContactUpdate, ContactUpsert, UpsertResult, decode_contact, decode_upsert, encode_contact
from ..models.fields import Operation
from ..models.wire import decode_by_id, decode_created, decode_creation, decode_creation_v3, refuse_nulls, send_along
from .answers import read_success
from .request import HEADERS, Request, Scope, T, build_request, fill_path

_CONTACT = "/contacts/{contact_id}"
NO_CHANNELS: Final[Mapping[str, Any]] = {}
"""Of a contact of which nothing is held, or known."""


def build_upsert(
    contact: ContactUpsert, version: str, *, is_checked: bool = False, held: Mapping[str, Any] = NO_CHANNELS
) -> Request[UpsertResult]:
    """POST /contacts/upsert, for a contact whose `location_id` is set; with the channels that it holds already.

    Where it has an `id`: PUT /contacts/{contactId}, or GET where nothing is left that an update takes. Where it has no
    email or phone either: POST /contacts/, which an upsert refuses without them.
    """
    if contact.id is not UNSET:
        return _build_by_id(contact, contact.id, version, is_checked=is_checked, held=held)
    if not (contact.email or contact.phone):
        return _build_creation(contact, version, decode_creation_v3 if version == "v3" else decode_creation)
    return Request(
        method="POST",
        path="/contacts/upsert",
        headers=HEADERS[version],
        body=_encode(contact, "upsert", version, is_checked=is_checked, held=held),
        location_id=str(contact.location_id),
        repeatable=contact.create_new_if_duplicate_allowed is not True,
        read=decode_upsert,
    )


def _build_by_id(
    contact: ContactUpsert, contact_id: str, version: str, *, is_checked: bool, held: Mapping[str, Any]
) -> Request[UpsertResult]:
    if contact.company_name is None or contact.gender is None:
        refuse_nulls(ContactUpsert(company_name=contact.company_name, gender=contact.gender), "upsert", version)
    path, scope, changes = fill_path(_CONTACT, contact_id=contact_id), Scope(str(contact.location_id), version), None
    given = {name: getattr(contact, name) for name in ContactUpdate.__struct_fields__}
    if any(value is not UNSET for value in given.values()):
        changes = _encode(ContactUpdate(**given), "update", version, is_checked=is_checked, held=held)
    return build_request("GET" if changes is None else "PUT", path, scope, decode_by_id, body=changes)


def _encode(
    contact: ContactUpsert | ContactUpdate,
    operation: Operation,
    version: str,
    *,
    is_checked: bool = False,
    held: Mapping[str, Any] = NO_CHANNELS,
) -> bytes:
    body = encode_contact(contact, v3=version == "v3", is_checked=is_checked)
    if b"null" in body:  # quicker than to look at each field, and most rows have none
        refuse_nulls(contact, operation, version)
    return send_along(body, held) if held else body


def build_create(contact: ContactUpsert, version: str) -> Request[Contact]:
    """POST /contacts/, for a contact whose `location_id` is set. A second one would make a second contact."""
    return _build_creation(contact, version, decode_contact if version == "v3" else decode_created)


def _build_creation(contact: ContactUpsert, version: str, read: Callable[[bytes], T]) -> Request[T]:
    return Request(
        method="POST",
        path="/contacts/",
        headers=HEADERS[version],
        body=_encode(contact, "create", version),
        location_id=str(contact.location_id),
        repeatable=False,
        read=read,
    )


def build_update(
    contact_id: str, changes: ContactUpdate, scope: Scope, *, held: Mapping[str, Any] = NO_CHANNELS
) -> Request[Contact]:
    """PUT /contacts/{contactId}; with the channels that it holds already."""
    body = _encode(changes, "update", scope.version, held=held)
    return build_request("PUT", fill_path(_CONTACT, contact_id=contact_id), scope, decode_contact, body=body)


def build_plain_update(contact_id: str, changes: Mapping[str, Any], scope: Scope) -> Request[Contact]:
    """PUT /contacts/{contactId} with JSON as it is: it may repeat what the service holds and no model here knows."""
    body = msgspec.json.encode(changes)
    return build_request("PUT", fill_path(_CONTACT, contact_id=contact_id), scope, decode_contact, body=body)


def build_get(contact_id: str, scope: Scope) -> Request[Contact]:
    """GET /contacts/{contactId}."""
    return build_request("GET", fill_path(_CONTACT, contact_id=contact_id), scope, decode_contact)


def build_delete(contact_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}."""
    return build_request("DELETE", fill_path(_CONTACT, contact_id=contact_id), scope, read_success)
