"""Locations (sub-accounts), and the custom fields they define."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .structs import JSON, Received, SentStruct


class LocationBusiness(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """The business that a location stands for."""

    name: str | None = None
    address: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    postal_code: str | None = None
    website: str | None = None
    timezone: str | None = None
    logo_url: str | None = None


class LocationSocial(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """Where a location is found on other services."""

    facebook_url: str | None = None
    google_plus: str | None = None
    linked_in: str | None = None
    foursquare: str | None = None
    twitter: str | None = None
    yelp: str | None = None
    instagram: str | None = None
    youtube: str | None = None
    pinterest: str | None = None
    blog_rss: str | None = None
    google_places_id: str | None = None


class LocationSettings(Struct, frozen=True, kw_only=True, rename="camel", repr_omit_defaults=True):
    """What decides how contacts of a location are matched.

    Attributes:
        contact_unique_identifiers: `email` and `phone` in the order in which an upsert looks for them. The API's
            reference does not name it, the service returns it.
    """

    allow_duplicate_contact: bool | None = None
    allow_duplicate_opportunity: bool | None = None
    allow_facebook_name_merge: bool | None = None
    disable_contact_timezone: bool | None = None
    contact_unique_identifiers: list[str] | None = None


class Location(Received, kw_only=True):
    """A location as the service returned it."""

    id: str
    company_id: str | None = None
    name: str | None = None
    domain: str | None = None
    address: str | None = None
    city: str | None = None
    state: str | None = None
    logo_url: str | None = None
    country: str | None = None
    postal_code: str | None = None
    website: str | None = None
    timezone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    business: LocationBusiness | None = None
    social: LocationSocial | None = None
    settings: LocationSettings | None = None
    reseller: JSON = None


class CustomFieldDefinition(Received, kw_only=True):
    """A custom field that a location defines; a contact holds its value under the same `id`.

    `field_key` is `contact.` and the key that a `CustomField` may name in place of the id. `data_type` is one of
    `TEXT LARGE_TEXT NUMERICAL PHONE MONETORY CHECKBOX SINGLE_OPTIONS MULTIPLE_OPTIONS DATE TEXTBOX_LIST FILE_UPLOAD
    RADIO`, in the service's own spelling.
    """

    id: str
    name: str | None = None
    field_key: str | None = None
    placeholder: str | None = None
    data_type: str | None = None
    position: int | float | None = None
    picklist_options: list[str] | None = None
    picklist_image_options: list[str] | None = None
    is_allowed_custom_option: bool | None = None
    is_multi_file_allowed: bool | None = None
    max_file_limit: int | float | None = None
    location_id: str | None = None
    model: str | None = None
    parent_id: str | None = None
    description: str | None = None


class TextBoxOption(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """One of the text boxes of a list of them."""

    label: str | None = None
    prefill_value: str | None = None


class CustomFieldBody(SentStruct, frozen=True, kw_only=True):
    """What a custom field is defined or changed with; the last three are for its definition alone."""

    name: str
    data_type: str | None = None
    placeholder: str | None = None
    accepted_format: list[str] | None = None
    is_multiple_file: bool | None = None
    max_number_of_files: int | None = None
    text_box_list_options: list[str | TextBoxOption] | None = None
    position: int | None = None
    model: Literal["contact", "opportunity"] | None = None
    field_key: str | None = None
    parent_id: str | None = None
    description: str | None = None
