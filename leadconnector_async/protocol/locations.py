"""Calls on locations and their custom fields."""

from __future__ import annotations

from typing import Final, Literal

from ..models.locations import CustomFieldBody, CustomFieldDefinition, Location
from ..models.structs import encode_body, many, one
from .answers import read_success
from .request import Request, Scope, add_query, build_request, fill_path

_FIELDS: Final = "/locations/{location_id}/customFields"
_FIELD: Final = "/locations/{location_id}/customFields/{custom_field_id}"
_read_location: Final = one("location", Location)
_read_locations: Final = many("locations", Location)
_read_field: Final = one("customField", CustomFieldDefinition)
_read_fields: Final = many("customFields", CustomFieldDefinition)


def build_location_get(scope: Scope) -> Request[Location]:
    """GET /locations/{locationId}."""
    path = fill_path("/locations/{location_id}", location_id=scope.location_id)
    return build_request("GET", path, scope, _read_location)


def build_location_search(
    scope: Scope, *, company_id: str | None, email: str | None, order: str | None, skip: int, limit: int
) -> Request[list[Location]]:
    """GET /locations/search."""
    path = add_query("/locations/search", companyId=company_id, email=email, order=order, skip=skip, limit=limit)
    return build_request("GET", path, scope, _read_locations)


def build_field_list(
    scope: Scope, *, model: Literal["contact", "opportunity", "all"] | None
) -> Request[list[CustomFieldDefinition]]:
    """GET /locations/{locationId}/customFields."""
    path = add_query(fill_path(_FIELDS, location_id=scope.location_id), model=model)
    return build_request("GET", path, scope, _read_fields)


def build_field_create(field: CustomFieldBody, scope: Scope) -> Request[CustomFieldDefinition]:
    """POST /locations/{locationId}/customFields. A second one might make a second field."""
    path = fill_path(_FIELDS, location_id=scope.location_id)
    return build_request("POST", path, scope, _read_field, body=encode_body(field), is_repeatable=False)


def build_field_get(field_id: str, scope: Scope) -> Request[CustomFieldDefinition]:
    """GET /locations/{locationId}/customFields/{id}."""
    return build_request("GET", _field_path(field_id, scope), scope, _read_field)


def build_field_update(field_id: str, changes: CustomFieldBody, scope: Scope) -> Request[CustomFieldDefinition]:
    """PUT /locations/{locationId}/customFields/{id}."""
    return build_request("PUT", _field_path(field_id, scope), scope, _read_field, body=encode_body(changes))


def build_field_delete(field_id: str, scope: Scope) -> Request[None]:
    """DELETE /locations/{locationId}/customFields/{id}."""
    return build_request("DELETE", _field_path(field_id, scope), scope, read_success)


def _field_path(field_id: str, scope: Scope) -> str:
    return fill_path(_FIELD, location_id=scope.location_id, custom_field_id=field_id)
