"""What a login gives, as it is kept: whose account it is, its tokens, its locations. Pure data."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

UserType: TypeAlias = Literal["Location", "Company"]
"""Whose account it is: that of one location, or that of an agency."""


class LocationToken(Struct, frozen=True, kw_only=True):
    """A token that acts for one location, made from that of its agency. All times are seconds since 1970.

    Attributes:
        renew_at: From when on it is worth renewing.
        expires_at: When the service takes it no more.
    """

    access_token: str
    renew_at: float
    expires_at: float

    def __repr__(self) -> str:
        return f"LocationToken(..., expires_at={self.expires_at})"


class Grant(Struct, frozen=True, kw_only=True):
    """What a login gave: the pair of tokens, and whose it is. All times are seconds since 1970.

    Attributes:
        refresh_token: Good for one renewal.
        renew_at: From when on the access token is worth renewing.
        expires_at: When the service takes the access token no more.
        base_url: The API that gave the tokens; they are sent nowhere else.
        user_type: `Location`, or `Company` for an agency.
        approved_locations: The locations that an agency approved when it installed the app, where the service says so.
    """

    access_token: str
    refresh_token: str
    renew_at: float
    expires_at: float
    base_url: str
    user_type: UserType
    location_id: str | None = None
    company_id: str | None = None
    user_id: str | None = None
    scopes: tuple[str, ...] = ()
    approved_locations: tuple[str, ...] = ()

    @property
    def account_id(self) -> str:
        """The location's id, or that of the agency."""
        return (self.location_id if self.user_type == "Location" else self.company_id) or ""

    def __repr__(self) -> str:
        return f"Grant(..., user_type={self.user_type!r}, account_id={self.account_id!r})"


class InstalledLocation(Struct, frozen=True, kw_only=True, rename="camel"):
    """A location of an agency, and whether the app is installed there."""

    id: str = msgspec.field(name="_id")
    name: str = ""
    address: str = ""
    is_installed: bool | None = None
    version_id: str | None = None
    installed_at: str | None = None


class Client(Struct, frozen=True, kw_only=True):
    """What the service knows an app by."""

    client_id: str
    client_secret: str
    redirect_uri: str

    @property
    def app_id(self) -> str:
        """The app's id, with which a client id begins."""
        return self.client_id.partition("-")[0]

    def __repr__(self) -> str:
        return f"Client(client_id={self.client_id!r}, ...)"
