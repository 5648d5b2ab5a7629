"""Headers that say by themselves which field their column is for, whoever wrote them."""

from __future__ import annotations

from typing import Final

from ...models.fields import UPSERT_FIELDS
from ...rules.consent import CHANNELS, find_consent, plain
from .targets import CUSTOM_PREFIX, Target, consent_target

RESULT_COLUMNS: Final = ("status", "error", "trace_id")
"""What `failed.csv` adds; a file that ends in these is one of ours, and they are no input."""


def _targets() -> dict[str, tuple[Target, int]]:
    """Return what each header is for, and its place among the headers for that: the lowest is preferred."""
    found = {plain(field.wire): (Target(field.wire), 0) for field in UPSERT_FIELDS}
    for field in UPSERT_FIELDS:
        found |= {name: (Target(field.wire), rank) for rank, name in enumerate(field.headers.split(), 1)}
    for channel in CHANNELS:
        target = Target("dndSettings", channel)
        found |= {f"dnd{channel.lower()}": (target, 0), f"{channel.lower()}dnd": (target, 1)}
    return found


_TARGETS: Final = _targets()


def find_target(name: str) -> tuple[Target, int] | None:
    """Return what a header's column is for and its place among all names for that, or None where it does not say."""
    if name.lower().startswith(CUSTOM_PREFIX):
        key = name[len(CUSTOM_PREFIX) :].strip()
        return (Target("customFields", key), 0) if key else None
    found = _TARGETS.get(plain(name))
    if found is not None:
        return found
    consent = find_consent(name)
    return (consent_target(consent), 0) if consent is not None and consent.channels else None


def is_known(name: str) -> bool:
    """Whether a header is one that a field is known for."""
    return find_target(name) is not None


def column_key(name: str) -> str:
    """Return what headers for the same field share: its name on the wire, `custom:KEY`, or the header where unknown."""
    found = find_target(name)
    return name if found is None else found[0].slot
