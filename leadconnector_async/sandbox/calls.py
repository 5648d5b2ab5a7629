"""A call as the sandbox receives it: its parameters, body and version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp.web import BaseRequest

from .answers import Refusal
from .shelves import Fields

Body = dict[str, Any]


class IncomingCall:
    """What an operation is given.

    Attributes:
        params: The parts of the path that vary, by their names in its template.
        body: The body of the request; empty where there is none.
        version: The version that the call names.
    """

    __slots__ = ("_request", "body", "params", "version")

    def __init__(self, request: BaseRequest, params: Mapping[str, str], body: Body, version: str) -> None:
        self._request = request
        self.params = params
        self.body = body
        self.version = version

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters after the question mark."""
        return self._request.query

    def query_all(self, name: str) -> list[str]:
        """Return all values of a parameter that may come more than once."""
        return self._request.query.getall(name, [])

    @property
    def address(self) -> str:
        """The URL without its query."""
        return str(self._request.url.with_query(None))

    @property
    def contact_id(self) -> str:
        """The contact that the path names."""
        return self.params["contactId"]

    def location_id(self) -> str:
        """Return the location that the call names outside its contact, or the empty text."""
        named = self.params.get("locationId") or self.body.get("locationId")
        if named is None and self._request.method == "GET":
            named = self.query.get("locationId")
        return named if isinstance(named, str) else ""

    def must_name_location(self) -> str:
        """Return the location that the query names.

        Raises:
            Refusal: 403, as the service answers lists of no location.
        """
        location_id = self.query.get("locationId")
        if not location_id:
            raise Refusal(403, "The token does not have access to this location.", error=None)
        return location_id

    def count(self, name: str, default: int, *, most: int | None = None) -> int:
        """Return a whole number of the query.

        Raises:
            Refusal: 422 for what is no number, 400 where it is above the most.
        """
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise Refusal(422, [f"{name} must be a number string"])
        if most is not None and int(text) > most:
            raise Refusal(400, f"{name} must not be greater than {most}")
        return int(text)


# ---------------------------------------------------------------------------------------------- versions

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
