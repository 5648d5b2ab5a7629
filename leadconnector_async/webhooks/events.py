"""Read deliveries. Whatever the vendor adds or changes, every genuine delivery becomes an event.

Source: the vendor's webhook events, https://marketplace.gohighlevel.com/docs/webhook/ContactCreate and its neighbours
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import msgspec

from ..errors import WebhookError
from ..models import CustomFieldValue, DndSettings, InboundDndSettings
from ..models.structs import JSON, Received, read_received


class WebhookEvent(Received, kw_only=True):
    """What was delivered; of a type that has no class of its own, all else is in `extra`.

    Attributes:
        type: What happened, in the vendor's word, such as `ContactCreate`.
        location_id: Where.
        webhook_id: The id of the delivery; when it is retried, it has the same.
        timestamp: When it was sent, an ISO 8601 text.
        app_id: The app that it was sent to.
        version_id: The version of that app.
    """

    type: str | None = None
    location_id: str | None = None
    webhook_id: str | None = None
    timestamp: str | None = None
    app_id: str | None = None
    version_id: str | None = None

    @property
    def delivery(self) -> str:
        """What the delivery is known by when it comes again: `webhook_id`, or else a hash of its body."""
        return self.webhook_id or hashlib.sha256(self.raw).hexdigest()


class ContactEvent(WebhookEvent, kw_only=True):
    """What happened to a contact, and the contact as it then was. Times are ISO 8601 texts in UTC.

    Attributes:
        id: The contact's.
    """

    id: str
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    phone_label: str | None = None
    company_name: str | None = None
    address1: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    website: str | None = None
    date_of_birth: str | None = None
    dnd: bool | None = None
    dnd_settings: DndSettings | None = None
    inbound_dnd_settings: InboundDndSettings | None = None
    tags: list[str] | None = None
    custom_fields: list[CustomFieldValue] | None = None
    source: str | None = None
    assigned_to: str | None = None
    attachments: str | list[JSON] | None = None
    date_added: str | None = None


class ContactCreateEvent(ContactEvent, kw_only=True):
    """A contact was created."""


class ContactUpdateEvent(ContactEvent, kw_only=True):
    """A contact was changed; which fields were is not said."""


class ContactDeleteEvent(ContactEvent, kw_only=True):
    """A contact was deleted."""


class ContactTagUpdateEvent(ContactEvent, kw_only=True):
    """Tags were added or removed; `tags` are all that it has now."""


class ContactDndUpdateEvent(ContactEvent, kw_only=True):
    """Do not disturb was switched, in whole (`dnd`) or by channel (`dnd_settings`)."""


_CLASSES: Final[dict[object, type[ContactEvent]]] = {
    "ContactCreate": ContactCreateEvent,
    "ContactUpdate": ContactUpdateEvent,
    "ContactDelete": ContactDeleteEvent,
    "ContactTagUpdate": ContactTagUpdateEvent,
    "ContactDndUpdate": ContactDndUpdateEvent,
}


def read_event(body: bytes) -> tuple[WebhookEvent, object]:
    """Read a body, and return the event and its `timestamp` as it came, of whatever kind.

    Raises:
        WebhookError: It is no JSON object.
    """
    try:
        body, received = _read_object(body)
    except (ValueError, RecursionError):  # msgspec's own errors, those of UTF-8 and those of json are ValueErrors
        raise WebhookError("the delivery is signed, but its body is no JSON object", reason="malformed") from None
    kind = received.get("type")
    model = _CLASSES.get(kind) if isinstance(kind, str) else None
    event = None if model is None else _read_contact_event(body, model)
    return event or read_received(body, WebhookEvent), received.get("timestamp")


def _read_object(body: bytes) -> tuple[bytes, dict[str, Any]]:
    try:
        return body, msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        # JavaScript may write half of an emoji, where a text was cut off. msgspec refuses that; here it becomes "?".
        body = json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
        return body, msgspec.json.decode(body, type=dict[str, Any])


def _read_contact_event(body: bytes, model: type[ContactEvent]) -> ContactEvent | None:
    """Return None where the body has no contact id."""
    try:
        return read_received(body, model)
    except msgspec.DecodeError:
        return None
