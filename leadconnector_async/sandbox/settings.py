"""What the arguments of a sandbox may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from .quota import PROFILES, WINDOWS

WindowKind: TypeAlias = Literal["fixed", "aligned", "sliding"]
UnknownFields: TypeAlias = Literal["drop", "refuse"]


def check_settings(
    *,
    window: str,
    unknown_custom_fields: str,
    unique_identifiers: tuple[str, ...],
    latency: tuple[float, float],
    search_lag: float,
) -> None:
    """Check what only has to make sense.

    Raises:
        ValueError: Something does not; the sentence says which.
    """
    _check_choice("window", window, WINDOWS)
    _check_choice("unknown_custom_fields", unknown_custom_fields, ("drop", "refuse"))
    if not unique_identifiers or set(unique_identifiers) - {"email", "phone"}:
        raise ValueError(f"unique_identifiers is {unique_identifiers}; it lists email, phone or both, in order")
    if not 0 <= latency[0] <= latency[1]:
        raise ValueError(f"latency is {latency}; it is the least and the most time in seconds, in this order")
    if not search_lag >= 0:
        raise ValueError(f"search_lag is {search_lag}; it is a time in seconds, 0 or more")


def read_limits(
    profile: str, max_requests: int | None, per_seconds: float | None, daily: int | None
) -> tuple[int, float, int]:
    """Return calls in a window, its length in seconds, and calls in a day: the profile's where nothing else is said.

    Raises:
        ValueError: One of them is none.
    """
    _check_choice("profile", profile, PROFILES)
    most, seconds, day = PROFILES[profile]
    limits = (max_requests or most, per_seconds or seconds, daily or day)
    if min(limits) <= 0:
        raise ValueError(f"max_requests, per_seconds and daily are {limits}; each must be above 0")
    return limits


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(choices)}")
