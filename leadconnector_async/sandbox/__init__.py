"""A local server that behaves like the API, for trying, testing and measuring."""

from .custom_fields import DEFAULT_CUSTOM_FIELDS, CustomFieldDefinition
from .faults import FAULT_KINDS
from .quota import PROFILES, WINDOWS
from .server import Sandbox
from .traffic import Applied, Arrival

__all__ = [
    "DEFAULT_CUSTOM_FIELDS",
    "FAULT_KINDS",
    "PROFILES",
    "WINDOWS",
    "Applied",
    "Arrival",
    "CustomFieldDefinition",
    "Sandbox",
]
