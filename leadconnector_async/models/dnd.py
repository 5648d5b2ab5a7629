"""Do not disturb: by channel for what is sent to the contact, and one switch for what comes in.

The switch `dnd` and the channels are independent: a channel is closed if either says so. A channel is open only where
its status is `inactive`, or where nothing is said of it.

What is sent may hold nothing but the channels and statuses below. Reading is lenient and never fails open: an entry
that cannot be read as documented is closed, and hides no other one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

Text: TypeAlias = str | UnsetType
"""A text that the API lets one set, but not set to null."""
Words: TypeAlias = str | UnsetType | None
"""A text that the service may hold as null. It is not sent as null: not every version of the API takes that."""

if TYPE_CHECKING:
    DndStatus: TypeAlias = str
    """`active`, `inactive` or `permanent`; the service may return another word."""
    InboundDndStatus: TypeAlias = str
    """`active` or `inactive`; the service may return another word."""
else:  # what msgspec accepts in what is sent
    DndStatus = Literal["active", "inactive", "permanent"]
    InboundDndStatus = Literal["active", "inactive"]

CHANNELS: Final = {
    "call": "Call",
    "email": "Email",
    "sms": "SMS",
    "whats_app": "WhatsApp",
    "gmb": "GMB",
    "fb": "FB",
    "rcs": "RCS",
}
"""The channels by their names in Python, and their keys on the wire before v3. `RCS` is live, but not specified."""
ALL: Final = "all"
"""Stands among channels for the switch `dnd`, which closes them all."""
V3_CHANNELS: Final = {
    "Call": "call",
    "Email": "email",
    "SMS": "sms",
    "WhatsApp": "whatsApp",
    "GMB": "gmb",
    "FB": "fb",
    "RCS": "rcs",
}
"""The keys on the wire before v3, and in v3."""


class _Setting(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    status: str
    message: Words = UNSET

    @property
    def is_closed(self) -> bool:
        """Whether the channel must not be used. A status that is not known counts as closed."""
        return self.status != "inactive"

    @property
    def is_settable(self) -> bool:
        """Whether the API lets one set the status."""
        return self.status in ("active", "inactive")

    def as_settable(self) -> Self:
        """Return what comes nearest to this and can be set: what is closed in any other way is `active`."""
        return self if self.is_settable else msgspec.structs.replace(self, status="active")


class DndSetting(_Setting, frozen=True, kw_only=True):
    """Whether one channel may be used to reach the contact.

    Attributes:
        status: `active`: do not disturb. `inactive`: the channel is open. `permanent`: closed by the contact's own STOP
            or by the carrier; the API cannot set, change or lift it. The service may return another word, which counts
            as closed.
        message: Why, in the service's or anybody's words.
        code: Why, as a code.
    """

    status: DndStatus
    code: Words = UNSET


class InboundDndSetting(_Setting, frozen=True, kw_only=True):
    """Whether messages from the contact are refused; `active` means they are."""

    status: InboundDndStatus


class DndSettings(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    forbid_unknown_fields=True,
    rename=CHANNELS,
):
    """Do not disturb by channel. What is sent replaces only the channels it names."""

    call: DndSetting | UnsetType = UNSET
    email: DndSetting | UnsetType = UNSET
    sms: DndSetting | UnsetType = UNSET
    whats_app: DndSetting | UnsetType = UNSET
    gmb: DndSetting | UnsetType = UNSET
    fb: DndSetting | UnsetType = UNSET
    rcs: DndSetting | UnsetType = UNSET

    @property
    def others(self) -> Mapping[str, DndSetting]:
        """Channels that the service returned and that this version does not know, by the service's names."""
        return {}

    def by_channel(self) -> dict[str, DndSetting]:
        """Return all channels that are named, by their keys on the wire; unknown ones come last."""
        named = ((key, getattr(self, name)) for name, key in CHANNELS.items())
        return {key: setting for key, setting in named if setting is not UNSET} | dict(self.others)


class InboundDndSettings(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """Do not disturb for what comes in; there is one switch for all channels."""

    all: InboundDndSetting | UnsetType = UNSET

    @property
    def others(self) -> Mapping[str, InboundDndSetting]:
        """Channels that the service returned and that this version does not know, by the service's names."""
        return {}

    def by_channel(self) -> dict[str, InboundDndSetting]:
        """Return all that is named, by its key on the wire; unknown channels come last."""
        return ({} if isinstance(self.all, UnsetType) else {"all": self.all}) | dict(self.others)


# Classes of their own, so that a caller cannot send unknown channels, and the usual case stays as small as it is.
class _OddDndSettings(DndSettings, frozen=True, kw_only=True):
    others: dict[str, DndSetting] = {}


class _OddInboundDndSettings(InboundDndSettings, frozen=True, kw_only=True):
    others: dict[str, InboundDndSetting] = {}


def give_way(settings: DndSettings, refused: Iterable[str]) -> DndSettings | None:
    """Return what is left of settings of which the service refused to change some channels for good.

    A channel that was to be `permanent` is closed as `active`: it may be refused as it is not permanent yet, and must
    not stay open for that. Any other one is left out.

    Args:
        settings: What was sent.
        refused: The channels that were refused, as an answer names them, in any spelling.

    Returns:
        The rest, which always differs from `settings`; None where it is not known which channel is meant.
    """
    named = {name: setting for name in CHANNELS if (setting := getattr(settings, name)) is not UNSET}
    names = {_PYTHON_NAMES.get(channel.lower(), "") for channel in refused} & named.keys()
    if not names and len(named) == 1:
        names = set(named)
    for name in names:
        named[name] = UNSET if named[name].is_settable else named[name].as_settable()
    return DndSettings(**named) if names else None


# ---------------------------------------------------------------------------------------------- reading answers

_PYTHON_NAMES: Final = {name.replace("_", ""): name for name in CHANNELS}  # by the key in lower case, of any version


def respell_channels(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return received settings with the keys of all versions as they were before v3, each entry as it came."""
    spelled = {CHANNELS[_PYTHON_NAMES[key.lower()]]: entry for key, entry in settings.items() if _is_known(key)}
    spelled |= {key: entry for key, entry in settings.items() if not _is_known(key)}
    return spelled if len(spelled) == len(settings) else settings  # two spellings of one channel: neither may be lost


def _is_known(key: str) -> bool:
    return key.lower() in _PYTHON_NAMES


def read_odd_dnd(value: object) -> bool:
    """Read a `dnd` that is no boolean: anything but the ways to say no counts as yes."""
    return value not in (0, "", "0", "false", "False")


def read_odd_settings(value: Any) -> DndSettings | None:
    """Read `dndSettings` that are not as documented, channel by channel.

    None (nothing is said of a channel) is the only entry that is left out. What has no readable status is closed; where
    a channel comes in two spellings, the closed one counts; what is no object at all stands under "" in `others`.
    """
    entries = _entries(value)
    if entries is None:
        return None
    known: dict[str, DndSetting] = {}
    others: dict[str, DndSetting] = {}
    for key, entry in entries.items():
        setting = DndSetting(**_words_of(entry))
        name = _PYTHON_NAMES.get(key.lower())
        if name is None:
            others[key] = setting
        elif name not in known or setting.is_closed:
            known[name] = setting
    return _OddDndSettings(**known, others=others) if others else DndSettings(**known)


def read_odd_inbound_settings(value: Any) -> InboundDndSettings | None:
    """Read `inboundDndSettings` that are not as documented, as `read_odd_settings`."""
    entries = _entries(value)
    if entries is None:
        return None
    read = {key: InboundDndSetting(**_words_of(entry, code=False)) for key, entry in entries.items()}
    everything = read.pop("all", UNSET)
    return _OddInboundDndSettings(all=everything, others=read) if read else InboundDndSettings(all=everything)


def _entries(value: Any) -> dict[str, Any] | None:
    if not value:
        return None
    entries = value if isinstance(value, dict) else {"": value}
    return {key: entry for key, entry in entries.items() if entry is not None}


def _words_of(entry: Any, *, code: bool = True) -> dict[str, Any]:
    """Return status, message and code of an entry; what is no text becomes its JSON."""
    fields = entry if isinstance(entry, dict) else {"status": entry}
    words = {name: _word(fields[name]) for name in ("message", "code") if name in fields and (code or name != "code")}
    status = fields.get("status")
    return {"status": status if isinstance(status, str) else _json(status), **words}


def _word(value: Any) -> str | None:
    return value if isinstance(value, str | None) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
