"""Closing the channels of somebody who opted out, whatever else is known or sent of them.

The switch `dnd` and the channels are independent: a channel is closed if either says so. Whether an update merges
`dndSettings` by channel or replaces them all is not certain, so the contact is read right before, and what it holds is
sent along as it is. No channel is ever opened here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from .comparison import NotApplied, find_not_applied
from .models import Contact, ContactUpdate, ContactUpsert, DndSetting, DndSettings
from .protocol import Request, Scope
from .protocol.contacts import build_get, build_update

SendRequest: TypeAlias = Callable[[Request[Contact]], Awaitable[Contact]]
CALLS_TO_CLOSE: Final = 2
"""Calls that it takes at most: one that reads the contact, one that changes it."""
_IDENTITY: Final = ("email", "phone", "location_id")
_WIRE_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(DndSettings)}


def closings_of(contact: ContactUpsert) -> ContactUpsert | None:
    """Return whom a contact is about and which channels it closes; None where it closes none."""
    kept: dict[str, Any] = {}
    if contact.dnd is True:
        kept["dnd"] = True
    closed = {name: setting for name, setting in _channels(contact.dnd_settings).items() if _is_closed(setting)}
    if closed:
        kept["dnd_settings"] = DndSettings(**closed)
    return ContactUpsert(**kept, **{name: getattr(contact, name) for name in _IDENTITY}) if kept else None


class Closed(Struct, frozen=True):
    """What it took to close what a row closes.

    Attributes:
        channels: Those that were open, as the API calls them, and `dnd` for the switch of all.
        not_applied: What the service did not take.
    """

    channels: tuple[str, ...] = ()
    not_applied: tuple[NotApplied, ...] = ()

    def plus(self, other: Closed) -> Closed:
        """Return what was closed of two contacts."""
        return Closed(self.channels + other.channels, self.not_applied + other.not_applied)


def find_open(wanted: ContactUpsert, stored: Contact) -> tuple[str, ...]:
    """Return what a row closes and is open still, as `Closed.channels` has it.

    Args:
        wanted: As of `closings_of`.
        stored: The contact, with all that is known of its channels.
    """
    there = _channels(stored.dnd_settings)
    named = [name for name in _channels(wanted.dnd_settings) if not _is_closed(there.get(name))]
    return ("dnd",) * (wanted.dnd is True and stored.dnd is not True) + tuple(_WIRE_NAMES[name] for name in named)


def build_closing(wanted: ContactUpsert, stored: Contact) -> ContactUpdate | None:
    """Build the update that closes what is open still; what else is stored of the channels stands in it as it is.

    Args:
        wanted: As of `closings_of`.
        stored: The contact as it was read just now.

    Returns:
        The update; None where all is closed.
    """
    channels = find_open(wanted, stored)
    closed = {name: each for name, each in _channels(wanted.dnd_settings).items() if _WIRE_NAMES[name] in channels}
    settings = stored.dnd_settings or DndSettings()
    changes = ContactUpdate(
        dnd=True if "dnd" in channels else UNSET,
        dnd_settings=msgspec.structs.replace(settings, **closed) if closed else UNSET,
    )
    return changes if channels else None


async def close_channels(send: SendRequest, contact_id: str, wanted: ContactUpsert, scope: Scope) -> Closed:
    """Read a contact, and close those of its channels that a row closes and that are open.

    Args:
        send: Makes a call.
        contact_id: The contact.
        wanted: As of `closings_of`.
        scope: What the calls count against.

    Raises:
        LeadConnectorError: A call did not succeed.
    """
    stored = await send(build_get(contact_id, scope))
    changes = build_closing(wanted, stored)
    if changes is None:
        return Closed()
    after = await send(build_update(contact_id, changes, scope))
    sent = ContactUpsert(dnd=changes.dnd, dnd_settings=changes.dnd_settings)
    return Closed(find_open(wanted, stored), find_not_applied(sent, after))


def _channels(settings: DndSettings | msgspec.UnsetType | None) -> dict[str, DndSetting]:
    named = msgspec.structs.asdict(settings) if isinstance(settings, DndSettings) else {}
    return {name: setting for name, setting in named.items() if setting is not UNSET}


def _is_closed(setting: DndSetting | None) -> bool:
    return setting is not None and setting.status != "inactive"
