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
_NOT_ON_CREATION: Final = ("name", "timezone")  # a created contact comes back without them before v3
_ONLY_ON_CREATION: Final = {"deleted": False, "bounceEmail": False, "unsubscribeEmail": False}


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


def spell_contact(contact: Fields, version: str) -> Fields:
    """Return a stored contact as a version spells it: the contact itself where there is no difference."""
    if version != "v3" or "dndSettings" not in contact:
        return contact
    return {
        **contact,
        "dndSettings": {_V3_DND.get(name, name): value for name, value in contact["dndSettings"].items()},
    }


def spell_created(contact: Fields, version: str) -> Fields:
    """Return a contact as the answer to its creation has it."""
    if version == "v3":
        return spell_contact(contact, version)
    return {name: value for name, value in contact.items() if name not in _NOT_ON_CREATION} | _ONLY_ON_CREATION
