"""Webhooks: is a delivery the vendor's own, is it fresh, and what does it say?"""

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
from .seen import SeenDeliveries, SeenInMemory
from .signatures import WebhookHeaders, WebhookKeys
from .verification import verify_webhook

__all__ = [
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
