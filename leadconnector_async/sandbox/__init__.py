"""A local server that behaves like the API, for trying, testing and measuring.

Uses `models` alone. Begin with `server.py`; `service.py` finds the operation, `books.py` holds what is stored.
"""

from .answers import FAULT_KINDS
from .custom_fields import DEFAULT_CUSTOM_FIELDS, CustomFieldDefinition
from .quota import PROFILES, WINDOWS
from .server import Sandbox
from .service import Applied, Arrival

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
