"""Webhooks: check that a delivery is the vendor's own and fresh, and read it.

Uses `models`. Begin with `verification.py`; `signatures.py` checks who signed, `events.py` reads what was signed.
"""

from ..errors import WebhookError
from .events import (
    ContactCreateEvent,
    ContactDeleteEvent,
    ContactDndUpdateEvent,
    ContactEvent,
    ContactTagUpdateEvent,
    ContactUpdateEvent,
    WebhookEvent,
)
from .signatures import VENDOR_RSA, WebhookHeaders, WebhookKeys
from .verification import SeenDeliveries, SeenInMemory, verify_webhook

__all__ = [
    "VENDOR_RSA",
    "ContactCreateEvent",
    "ContactDeleteEvent",
    "ContactDndUpdateEvent",
    "ContactEvent",
    "ContactTagUpdateEvent",
    "ContactUpdateEvent",
    "SeenDeliveries",
    "SeenInMemory",
    "WebhookError",
    "WebhookEvent",
    "WebhookHeaders",
    "WebhookKeys",
    "verify_webhook",
]
