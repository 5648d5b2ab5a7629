"""A call on its way to the operation that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp.web import BaseRequest

from .refusals import Refusal

Body = dict[str, Any]


class Call:
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
