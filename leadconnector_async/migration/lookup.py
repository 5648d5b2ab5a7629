"""What a load asks of a location beforehand: its custom fields, and the locations of an agency by name."""

from __future__ import annotations

from collections.abc import Iterable

from ..client import LeadConnector
from ..errors import CallError, ConfigurationError
from ..models import CustomFieldDefinition
from .definitions import FieldBook, FieldDefinition
from .people import Directory


async def fetch_fields(client: LeadConnector, location_id: str | None = None) -> FieldBook:
    """Ask for the custom fields of a location, the client's unless told else, in one call.

    Raises:
        CallError: They cannot be had; the token may not read them, for one.
    """
    definitions = await client.locations.custom_fields.list(model="contact", location_id=location_id)
    return FieldBook(_read_definition(definition) for definition in definitions)


def _read_definition(definition: CustomFieldDefinition) -> FieldDefinition:
    return FieldDefinition(
        id=definition.id,
        key=definition.field_key or definition.id,
        name=definition.name or definition.field_key or definition.id,
        data_type=definition.data_type or "",
        options=tuple(definition.picklist_options or ()),
        takes_others=bool(definition.is_allowed_custom_option),
    )


async def create_fields(client: LeadConnector, names: Iterable[str]) -> None:
    """Define custom fields of one line of text.

    Raises:
        CallError: One could not be defined, those before it were.
    """
    for name in names:
        await client.locations.custom_fields.create(name, "TEXT", model="contact")


async def fetch_locations(client: LeadConnector) -> Directory:
    """Ask for the ids of an agency's locations by their names; a name that several have stands for none.

    Raises:
        ConfigurationError: They cannot be had; it needs a token of the agency.
    """
    ids: dict[str, str | None] = {}
    try:
        async for location in client.locations.search():
            name = (location.name or location.id).strip().lower()
            ids[name] = location.id if name not in ids else None
    except CallError as error:
        raise ConfigurationError(
            f"locations are given by name, and their ids cannot be looked up ({error}): that needs a token of the "
            "agency; write ids in the column in their place"
        ) from None
    return Directory("location", {name: found for name, found in ids.items() if found is not None})
