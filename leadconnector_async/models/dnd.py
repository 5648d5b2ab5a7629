"""Do not disturb: by channel for what is sent to the contact, and one switch for what comes in."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

Text: TypeAlias = str | UnsetType
"""A text that the API lets one set, but not set to null."""


class DndSetting(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whether one channel may be used to reach the contact; `active` means do not disturb."""

    status: Literal["active", "inactive", "permanent"]
    message: Text = UNSET
    code: Text = UNSET


class DndSettings(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    rename={
        "call": "Call",
        "email": "Email",
        "sms": "SMS",
        "whats_app": "WhatsApp",
        "gmb": "GMB",
        "fb": "FB",
    },
):
    """Do not disturb by channel. What is sent replaces only the channels it names."""

    call: DndSetting | UnsetType = UNSET
    email: DndSetting | UnsetType = UNSET
    sms: DndSetting | UnsetType = UNSET
    whats_app: DndSetting | UnsetType = UNSET
    gmb: DndSetting | UnsetType = UNSET
    fb: DndSetting | UnsetType = UNSET


class InboundDndSetting(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whether messages from the contact are refused; `active` means they are."""

    status: Literal["active", "inactive"]
    message: Text = UNSET


class InboundDndSettings(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Do not disturb for what comes in; there is one switch for all channels."""

    all: InboundDndSetting | UnsetType = UNSET
