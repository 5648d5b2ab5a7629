"""Close the channels of people who opted out, whatever else of them is sent or left out.

The switch `dnd` and the channels are independent: a channel is closed if either says so. It is not certain whether an
update merges `dndSettings` by channel or replaces them all. So the contact is read right before, and the channels that
it holds are sent along unchanged. No channel is ever opened here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..errors import PermanentDndError
from ..models import Contact, ContactUpsert, DndSetting, DndSettings
from ..models.compare import find_not_applied
from ..models.contacts import NotApplied
from ..models.dnd import ALL, CHANNELS, V3_CHANNELS
from ..models.fields import KEYS
from ..models.wire import held_channels, join_channels
from ..protocol import Request, Scope
from ..protocol.contacts import build_get, build_plain_update

SendRequest: TypeAlias = Callable[[Request[Contact]], Awaitable[Contact]]
CALLS_TO_CLOSE: Final = 2
"""Calls that it takes as a rule: one that reads the contact, one that changes it."""
_PYTHON_NAMES: Final = {key: name for name, key in CHANNELS.items()}
_SWITCH: Final = "dnd"


def closings_of(contact: ContactUpsert) -> ContactUpsert | None:
    """Return whom a contact is about and which channels it closes; None where it closes none."""
    kept: dict[str, Any] = {}
    if contact.dnd is True:
        kept["dnd"] = True
    closed = {_PYTHON_NAMES[key]: each for key, each in _channels(contact.dnd_settings).items() if each.is_closed}
    if closed:
        kept["dnd_settings"] = DndSettings(**closed)
    return (
        ContactUpsert(**kept, **{name: getattr(contact, name) for name in (*KEYS, "id", "location_id")})
        if kept
        else None
    )


def close_more(contact: ContactUpsert, channels: Collection[str]) -> ContactUpsert:
    """Return a contact that closes channels, too; what it says of channels otherwise stays.

    Args:
        contact: What is to be sent.
        channels: As of `channels_of`.
    """
    wanted = closings_of(contact)
    missing = set(channels).difference(() if wanted is None else channels_of(wanted))
    named = {_PYTHON_NAMES[key]: DndSetting(status="active") for key in missing if key != ALL}
    changes: dict[str, Any] = {"dnd": True} if ALL in missing else {}
    if named:
        given = {_PYTHON_NAMES[key]: setting for key, setting in _channels(contact.dnd_settings).items()}
        changes["dnd_settings"] = DndSettings(**(given | named))
    return msgspec.structs.replace(contact, **changes) if changes else contact


def channels_of(wanted: ContactUpsert) -> list[str]:
    """Return the channels that a row closes, as the API calls them, and `ALL`.

    Args:
        wanted: As of `closings_of`.
    """
    return [*([ALL] if wanted.dnd is True else []), *_channels(wanted.dnd_settings)]


class Closed(Struct, frozen=True):
    """What it took to close what a row closes.

    Attributes:
        channels: Those that were open, as the API calls them, and `dnd` for the switch of all.
        not_applied: What the service did not take.
        stored: The contact as the last call returned it.
    """

    channels: tuple[str, ...]
    not_applied: tuple[NotApplied, ...]
    stored: Contact

    def plus(self, other: Closed) -> Closed:
        """Return what was closed of two contacts, the later one last."""
        return Closed(self.channels + other.channels, self.not_applied + other.not_applied, other.stored)


def find_open(wanted: ContactUpsert, stored: Contact) -> tuple[str, ...]:
    """Return what a row closes and is open still, as `Closed.channels` has it.

    Args:
        wanted: As of `closings_of`.
        stored: The contact, with all that is known of its channels.
    """
    there = _channels(stored.dnd_settings)
    named = [key for key in _channels(wanted.dnd_settings) if not (key in there and there[key].is_closed)]
    return (*([_SWITCH] if wanted.dnd is True and stored.dnd is not True else []), *named)


def build_closing(wanted: ContactUpsert, stored: Contact, version: str) -> dict[str, Any] | None:
    """Build the update that closes what is open still; what else is stored of the channels stands in it as it came.

    Args:
        wanted: As of `closings_of`.
        stored: The contact as it was read just now.
        version: The version of the API, which decides how channels are spelled.

    Returns:
        The update as JSON; None where all is closed.
    """
    channels = find_open(wanted, stored)
    settings = _channels(wanted.dnd_settings)
    spelled = V3_CHANNELS if version == "v3" else {key: key for key in V3_CHANNELS}
    closed = {spelled[key]: {"status": "active"} | _words_of(settings[key]) for key in channels if key != _SWITCH}
    changes: dict[str, Any] = {_SWITCH: True} if _SWITCH in channels else {}
    if closed:
        changes["dndSettings"] = join_channels(closed, held_channels(stored))
    return changes or None


def _words_of(setting: DndSetting) -> dict[str, str]:
    words = {"message": setting.message, "code": setting.code}
    return {name: word for name, word in words.items() if isinstance(word, str)}


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
    try:
        return await _close(send, contact_id, wanted, scope)
    except PermanentDndError:  # the contact has closed a channel itself since it was read
        return await _close(send, contact_id, wanted, scope)


async def _close(send: SendRequest, contact_id: str, wanted: ContactUpsert, scope: Scope) -> Closed:
    stored = await send(build_get(contact_id, scope))
    changes = build_closing(wanted, stored, scope.version)
    if changes is None:
        return Closed((), (), stored)
    after = await send(build_plain_update(contact_id, changes, scope))
    return Closed(find_open(wanted, stored), find_not_applied(_without_identity(wanted), after), after)


def _without_identity(wanted: ContactUpsert) -> ContactUpsert:
    return ContactUpsert(dnd=wanted.dnd, dnd_settings=wanted.dnd_settings)


def _channels(settings: DndSettings | UnsetType | None) -> dict[str, DndSetting]:
    return {} if settings is None or settings is UNSET else settings.by_channel()
