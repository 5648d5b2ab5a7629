"""What differs on the wire from version to version; everything else speaks 2021-07-28."""

from __future__ import annotations

import re
from typing import Any, Final

from .refusals import Refusal
from .shelves import Fields

VERSIONS: Final = ("2021-04-15", "2021-07-28", "2023-02-21", "v3")
ONLY_V3: Final = ("v3",)

_V3_DND: Final = {
    "Call": "call",
    "Email": "email",
    "SMS": "sms",
    "WhatsApp": "whatsApp",
    "GMB": "gmb",
    "FB": "fb",
    "RCS": "rcs",
}


def check_version(version: str | None) -> str:
    """Return the version that a call names, or raise its refusal."""
    if version is None:
        raise Refusal(401, "version header was not found.", error=None)
    if version in VERSIONS:
        return version
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", version):
        raise Refusal(401, "version header is invalid", error="Error", statusCode=None, status=401)
    raise Refusal(400, f"Invalid API version segment '{version}' at position 0")


def success(version: str, *, has_twin: bool = True) -> dict[str, Any]:
    """Return the flag of success: `succeded` at first; v3 mends its spelling, and keeps the old one as a twin.

    Args:
        version: The version of the call.
        has_twin: Whether v3 keeps the old spelling here; the update of a contact does not.
    """
    if version != "v3":
        return {"succeded": True}
    return {"succeeded": True, "succeded": True} if has_twin else {"succeeded": True}


def spell_channels(contact: Fields, version: str) -> Fields:
    """Return a contact with the channels of do-not-disturb as a version spells them."""
    if version != "v3" or "dndSettings" not in contact:
        return contact
    return {
        **contact,
        "dndSettings": {_V3_DND.get(name, name): value for name, value in contact["dndSettings"].items()},
    }
