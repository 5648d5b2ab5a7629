"""client.locations: locations (sub-accounts), and the custom fields they define."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, TypeVar

from ..calls.caller import Caller
from ..models.locations import CustomFieldBody, CustomFieldDefinition, Location, TextBoxOption
from ..protocol import Scope
from ..protocol import locations as calls
from .group import OperationGroup

_T = TypeVar("_T")


class CustomFields(OperationGroup):
    """The custom fields that a location defines. Reached as `client.locations.custom_fields`.

    Each method takes `location_id`: whose fields, and whose limits the call counts against; the client's location by
    default. Each raises `UsageError` where there is none, `NotFoundError` where the location or field is not there, and
    `CallError` where it does not succeed otherwise. There is one page of fields, with all of them.
    """

    async def create(
        self,
        name: str,
        data_type: str,
        *,
        placeholder: str | None = None,
        accepted_format: Sequence[str] | None = None,
        is_multiple_file: bool | None = None,
        max_number_of_files: int | None = None,
        text_box_list_options: Sequence[str | TextBoxOption] | None = None,
        position: int | None = None,
        model: Literal["contact", "opportunity"] | None = None,
        field_key: str | None = None,
        parent_id: str | None = None,
        description: str | None = None,
        location_id: str | None = None,
    ) -> CustomFieldDefinition:
        """Define a custom field. Never retried once it may have been stored: that could make a second one.

        Args:
            name: Its name, as people see it.
            data_type: Such as `TEXT`; see `CustomFieldDefinition`.
            placeholder: What the empty field shows.
            accepted_format: Endings of files it takes, such as `.pdf`.
            is_multiple_file: Whether it takes several files.
            max_number_of_files: How many at most.
            text_box_list_options: The text boxes of a `TEXTBOX_LIST`; options of other kinds are plain texts.
            position: Its place among the fields.
            model: Whether contacts have it, or opportunities; the service takes contacts by default.
            field_key: Its key, by which values can be sent; made of the name by default.
            parent_id: The id of the folder that it goes into.
            description: What it is for, as people see it.
            location_id: See the class.

        The reference of the locations API does not list `field_key`, `parent_id` and `description`. Read the definition
        that is returned to see whether the service took them.
        """
        field = CustomFieldBody(
            name=name,
            data_type=data_type,
            placeholder=placeholder,
            accepted_format=_listed(accepted_format),
            is_multiple_file=is_multiple_file,
            max_number_of_files=max_number_of_files,
            text_box_list_options=_listed(text_box_list_options),
            position=position,
            model=model,
            field_key=field_key,
            parent_id=parent_id,
            description=description,
        )
        return await self._send(calls.build_field_create(field, self._located(location_id)))

    async def get(self, custom_field_id: str, *, location_id: str | None = None) -> CustomFieldDefinition:
        """Return one custom field."""
        return await self._send(calls.build_field_get(custom_field_id, self._located(location_id)))

    async def update(
        self,
        custom_field_id: str,
        name: str,
        *,
        placeholder: str | None = None,
        accepted_format: Sequence[str] | None = None,
        is_multiple_file: bool | None = None,
        max_number_of_files: int | None = None,
        text_box_list_options: Sequence[str | TextBoxOption] | None = None,
        position: int | None = None,
        model: Literal["contact", "opportunity"] | None = None,
        location_id: str | None = None,
    ) -> CustomFieldDefinition:
        """Change a custom field and return it as stored. The service wants its `name` each time; other arguments are
        those of `create`."""
        changes = CustomFieldBody(
            name=name,
            placeholder=placeholder,
            accepted_format=_listed(accepted_format),
            is_multiple_file=is_multiple_file,
            max_number_of_files=max_number_of_files,
            text_box_list_options=_listed(text_box_list_options),
            position=position,
            model=model,
        )
        return await self._send(calls.build_field_update(custom_field_id, changes, self._located(location_id)))

    async def delete(self, custom_field_id: str, *, location_id: str | None = None) -> None:
        """Delete a custom field, and with it the values that contacts have in it."""
        await self._send_delete(calls.build_field_delete(custom_field_id, self._located(location_id)))

    async def list(
        self, *, model: Literal["contact", "opportunity", "all"] | None = None, location_id: str | None = None
    ) -> list[CustomFieldDefinition]:
        """Return all custom fields of a location, in the service's own order.

        Args:
            model: Those of contacts, of opportunities, or all; the service's choice by default.
            location_id: See the class.
        """
        return await self._send(calls.build_field_list(self._located(location_id), model=model))


class Locations(OperationGroup):
    """Locations (sub-accounts). Reached as `client.locations`.

    Attributes:
        custom_fields: The custom fields that a location defines.
    """

    def __init__(self, client: Caller) -> None:
        super().__init__(client)
        self.custom_fields = CustomFields(client)

    async def get(self, location_id: str | None = None) -> Location:
        """Return a location; `settings` says how the service matches its contacts.

        Args:
            location_id: Which; the client's by default.

        Raises:
            UsageError: There is none; nothing was sent.
            NotFoundError: There is no such location.
            CallError: It did not succeed.
        """
        return await self._send(calls.build_location_get(self._located(location_id)))

    async def search(
        self,
        *,
        company_id: str | None = None,
        email: str | None = None,
        order: Literal["asc", "desc"] | None = None,
        page_size: int = 100,
        skip: int = 0,
    ) -> AsyncGenerator[Location, None]:
        """Find locations of an agency, all pages of them; this needs a token of the agency.

        Pages are chosen by how many locations to skip, so one that is added or removed meanwhile shifts the others, and
        one may be missed. None comes twice.

        Args:
            company_id: Of which agency; that of the token by default.
            email: The address of the location.
            order: The service's own order, forth or back.
            page_size: Locations a call asks for.
            skip: How many to pass over at the beginning.

        Yields:
            The locations in the service's own order.

        Raises:
            PermissionDeniedError: The token is one of a location.
            CallError: A page could not be read; all locations before it were yielded.
        """
        scope = Scope("", self.client.api_version)  # counts against the agency, not against a location
        seen: set[str] = set()
        while True:
            page = await self._send(
                calls.build_location_search(
                    scope, company_id=company_id, email=email, order=order, skip=skip, limit=page_size
                )
            )
            new = [location for location in page if location.id not in seen]
            seen.update(location.id for location in new)
            for location in new:
                yield location
            if len(page) < page_size or not new:
                return
            skip += len(page)


def _listed(values: Sequence[_T] | None) -> list[_T] | None:
    return None if values is None else list(values)
