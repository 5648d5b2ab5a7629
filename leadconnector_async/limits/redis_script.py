"""The messages between a process and the script in Redis; all times in milliseconds."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..protocol.answers import Quota

SCRIPT: Final = files(__package__).joinpath("window.lua").read_bytes()
SCRIPT_SHA: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()  # as Redis names scripts
KEYS: Final = ("state", "taken", "cooling", "waiting")
NO_DAY: Final = 10**12  # calls a day, where there is no daily limit
LONG_AGO: Final = 1e12
LEASE: Final = 1.02  # windows, as in the script


class TheirQuota(Struct, frozen=True, omit_defaults=True, gc=False):
    """What the headers of an answer said, in the script's words."""

    max: int | UnsetType = UNSET
    remaining: int | UnsetType = UNSET
    length: float | UnsetType = UNSET
    daily: int | UnsetType = UNSET
    daily_reset: float | UnsetType = UNSET


class Answered(Struct, frozen=True, omit_defaults=True, gc=False):
    """A call that was answered, or given up when its bytes may have left."""

    name: str
    lead: float
    ago: float
    is_answered: bool
    quota: TheirQuota | UnsetType = UNSET


class Unused(Struct, frozen=True, gc=False):
    """A slot whose call never left."""

    name: str
    free_in: float


class WindowRequest(Struct, kw_only=True, gc=False):
    """What a process reports to the script, and asks of it.

    Attributes:
        born: Since when Redis had known everything, by its last answer; 0 where that is too long ago to matter.
        runs: How many times the script had run by then.
        used_ago: Time since the last call of this process.
        lost: The numbers of requests whose answers never came.
        in_flight: The slots that are held, and of which Redis has not heard for a while.
        used_elsewhere: Slots used without Redis that are not free yet.
        pause: How long nothing is to be sent.
        longest: How long a call waits for the end of that.
    """

    holder: str
    number: int
    born: int
    runs: int
    used_ago: float
    max: int
    length: float
    daily: int
    answered: list[Answered]
    unused: list[Unused]
    lost: list[int]
    in_flight: list[str]
    used_elsewhere: int
    pause: float
    longest: float
    single_seen: bool
    singles: int
    bulk: int


class Promised(Struct, frozen=True, gc=False):
    """A slot: its name, how long until it may be used, and what the script needs to compare the headers."""

    name: str
    wait: float
    lead: float


class WindowAnswer(Struct, frozen=True, kw_only=True, gc=False):
    """What the script answers.

    Attributes:
        now: By the clock of Redis.
        again: When to ask once more for slots that are missing, or None.
        refused_for: How long calls are refused, as the end of the pause is too far away.
    """

    born: int
    runs: int
    now: float
    capacity: int
    length: float
    day_left: int
    is_day_spent: bool
    day_ends_in: float
    paused_for: float
    refused_for: float
    slots: list[Promised] | dict[str, Any] = {}  # an empty list comes as an empty object
    again: float | None = None


_decoder: Final = msgspec.json.Decoder(WindowAnswer, strict=False)
encode_request: Final = msgspec.json.encode


def decode_answer(answer: bytes | str) -> WindowAnswer:
    """Read what the script answered.

    Raises:
        ConnectionError: It is not the answer of this script.
    """
    try:
        return _decoder.decode(answer)
    except msgspec.MsgspecError:
        raise ConnectionError("Redis answers something else; does it run another version of the script?") from None


def their_quota(quota: Quota | None) -> TheirQuota | UnsetType:
    """Leave out what the headers did not say."""
    if quota is None:
        return UNSET
    return TheirQuota(
        max=UNSET if quota.max_requests is None else quota.max_requests,
        remaining=UNSET if quota.remaining is None else quota.remaining,
        length=UNSET if quota.per_seconds is None else quota.per_seconds * 1000,
        daily=UNSET if quota.daily_remaining is None else quota.daily_remaining,
        daily_reset=UNSET if quota.daily_reset is None else quota.daily_reset * 1000,
    )
