"""msgspec Structs of the wire: one Python form for all API versions."""

from .appointments import Appointment
from .contacts import AttributionSource, Contact, ContactUpdate, ContactUpsert, NotApplied, UpsertResult
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
from .filters import Filter, FilterGroup, Range, Sort, all_of, any_of
from .links import FollowersChange, TagResult, TagsReport
from .locations import (
    CustomFieldDefinition,
    Location,
    LocationBusiness,
    LocationSettings,
    LocationSocial,
    TextBoxOption,
)
from .notes import Note
from .received import JSON
from .search import AdditionalEmail, AdditionalPhone, ContactPage, FoundContact, SearchPage
from .tasks import Task
from .wire import (
    UPSERT_NAMES,
    AnySendable,
    as_given,
    decode_contact,
    decode_upsert,
    encode_contact,
    read_mapping,
    without_refused,
)

__all__ = [
    "JSON",
    "UPSERT_NAMES",
    "AdditionalEmail",
    "AdditionalPhone",
    "AnySendable",
    "Appointment",
    "AttributionSource",
    "CheckboxField",
    "Contact",
    "ContactPage",
    "ContactUpdate",
    "ContactUpsert",
    "CustomField",
    "CustomFieldDefinition",
    "CustomFieldValue",
    "DndSetting",
    "DndSettings",
    "FileEntry",
    "FileField",
    "FileMeta",
    "Filter",
    "FilterGroup",
    "FollowersChange",
    "FoundContact",
    "InboundDndSetting",
    "InboundDndSettings",
    "LargeTextField",
    "Location",
    "LocationBusiness",
    "LocationSettings",
    "LocationSocial",
    "MonetaryField",
    "MultiSelectField",
    "NotApplied",
    "Note",
    "NumericField",
    "RadioField",
    "Range",
    "SearchPage",
    "SingleSelectField",
    "Sort",
    "TagResult",
    "TagsReport",
    "Task",
    "TextBoxOption",
    "TextField",
    "UpsertResult",
    "all_of",
    "any_of",
    "as_given",
    "decode_contact",
    "decode_upsert",
    "encode_contact",
    "read_mapping",
    "without_refused",
]
