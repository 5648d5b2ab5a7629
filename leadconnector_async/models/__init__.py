"""msgspec Structs of the wire: one Python form for all API versions."""

from .contacts import AttributionSource, Contact, ContactUpdate, ContactUpsert, UpsertResult
from .custom_fields import (
    CheckboxField,
    CustomField,
    CustomFieldValue,
    FileEntry,
    FileField,
    FileMeta,
    LargeTextField,
    MonetaryField,
    MultiSelectField,
    NumericField,
    RadioField,
    SingleSelectField,
    TextField,
)
from .dnd import DndSetting, DndSettings, InboundDndSetting, InboundDndSettings
from .wire import UPSERT_NAMES, decode_contact, decode_upsert, encode_contact, read_mapping

__all__ = [
    "UPSERT_NAMES",
    "AttributionSource",
    "CheckboxField",
    "Contact",
    "ContactUpdate",
    "ContactUpsert",
    "CustomField",
    "CustomFieldValue",
    "DndSetting",
    "DndSettings",
    "FileEntry",
    "FileField",
    "FileMeta",
    "InboundDndSetting",
    "InboundDndSettings",
    "LargeTextField",
    "MonetaryField",
    "MultiSelectField",
    "NumericField",
    "RadioField",
    "SingleSelectField",
    "TextField",
    "UpsertResult",
    "decode_contact",
    "decode_upsert",
    "encode_contact",
    "read_mapping",
]
