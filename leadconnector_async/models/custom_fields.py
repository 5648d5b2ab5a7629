"""Values for custom fields: the nine kinds that are sent, and the one form in which they come back."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from .dnd import Text
from .structs import JSON

CustomValue: TypeAlias = "str | int | float | list[str] | dict[str, FileEntry] | None"
"""Whatever one custom field can hold."""


class FileMeta(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of an uploaded file; `size` is in bytes."""

    fieldname: Text = UNSET
    originalname: Text = UNSET
    encoding: Text = UNSET
    mimetype: Text = UNSET
    size: int | UnsetType = UNSET
    uuid: Text = UNSET


class FileEntry(Struct, frozen=True, omit_defaults=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One file of a file field, under the file's uuid."""

    meta: FileMeta | UnsetType = UNSET
    url: Text = UNSET
    document_id: Text = UNSET


class CustomField(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,
):
    """A value for a custom field, known by `id` (safer) or by `key` (with or without `contact.`).

    This one takes any kind of value; the nine classes below say which kind is meant. The service drops ids, keys and
    options that it does not know, with no word of it.
    """

    id: Text = UNSET
    key: Text = UNSET
    field_value: CustomValue

    def __post_init__(self) -> None:
        if self.id is UNSET and self.key is UNSET:
            raise ValueError("a custom field needs an id or a key")


class TextField(CustomField, frozen=True, kw_only=True):
    """One line of text."""

    field_value: str | None


class LargeTextField(CustomField, frozen=True, kw_only=True):
    """Text of several lines."""

    field_value: str | None


class SingleSelectField(CustomField, frozen=True, kw_only=True):
    """One option of a drop-down list."""

    field_value: str | None


class RadioField(CustomField, frozen=True, kw_only=True):
    """One option of a group of radio buttons."""

    field_value: str | None


class NumericField(CustomField, frozen=True, kw_only=True):
    """A number."""

    field_value: int | float | None


class MonetaryField(CustomField, frozen=True, kw_only=True):
    """An amount, in the currency of the location."""

    field_value: int | float | None


class CheckboxField(CustomField, frozen=True, kw_only=True):
    """Any number of ticked boxes."""

    field_value: list[str] | None


class MultiSelectField(CustomField, frozen=True, kw_only=True):
    """Any number of options of a list."""

    field_value: list[str] | None


class FileField(CustomField, frozen=True, kw_only=True):
    """Uploaded files, each under its uuid."""

    field_value: dict[str, FileEntry] | None


class CustomFieldValue(Struct, frozen=True, kw_only=True):
    """A custom field as the service returns it: id and value, no key and no kind."""

    id: str
    value: JSON = None
