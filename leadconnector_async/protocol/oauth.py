"""OAuth without a network: build requests for tokens, read the answers. Pure.

Sources: https://marketplace.gohighlevel.com/docs/Authorization/authorization_doc and the OAuth 2.0 specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Generic, Literal, TypeAlias
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from ..errors import APIError, ConfigurationError, InvalidResponseError, LeadConnectorError, LoginRequiredError
from . import USER_AGENT, Request, T
from .redaction import MASK

# ---------------------------------------------------------------------------------------------- grants

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


STANDARD_PAGES: Final = "https://marketplace.gohighlevel.com"
WHITE_LABEL_PAGES: Final = "https://marketplace.leadconnectorhq.com"
# Requests for pairs count against no location: they share a window of their own.
_PAIR_WINDOW: Final = "oauth/token"
_AHEAD_SECONDS: Final = 300.0
_AHEAD_SHARE: Final = 0.1  # of a short life, in place of the above
_SECRET_FIELDS: Final = ("code", "client_secret", "refresh_token", "clientSecret", "refreshToken")

# ---------------------------------------------------------------------------------------------- requests


class _SecretRequest(Request[T], Generic[T], frozen=True, kw_only=True, gc=False):
    """A request whose body nobody is to see."""

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


def build_authorization_url(client: Client, scopes: Iterable[str], state: str, pages: str) -> str:
    """Return the address of the page on which a user chooses the location, or agency, that the app may act for."""
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
    }
    return f"{pages}/v2/oauth/chooselocation?{urlencode(query, quote_via=quote)}"


def build_code_exchange(client: Client, code: str, user_type: UserType | None, version: str) -> Request[TokenAnswer]:
    """POST /oauth/token: a first pair, for a code."""
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect_uri}
    return _build_token_request(client, fields | ({"user_type": user_type} if user_type else {}), version)


def build_refresh(client: Client, grant: Grant, version: str) -> Request[TokenAnswer]:
    """POST /oauth/token: the next pair, for a refresh token that is spent by it."""
    fields = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token, "user_type": grant.user_type}
    return _build_token_request(client, fields, version)


def _build_token_request(client: Client, fields: Mapping[str, str], version: str) -> Request[TokenAnswer]:
    fields = {"client_id": client.client_id, "client_secret": client.client_secret, **fields}
    if version == "v3":
        fields = {_camel(name): value for name, value in fields.items()}
    # Before v3 this call takes no version.
    headers = build_headers(version if version == "v3" else None)
    return _build_form("/oauth/token", fields, headers, _PAIR_WINDOW, _read_token_answer, is_repeatable=False)


def build_location_token(company_id: str, location_id: str, version: str) -> Request[LocationTokenAnswer]:
    """POST /oauth/locationToken: a location's token, for that of its agency."""
    path = "/oauth/location-token" if version == "v3" else "/oauth/locationToken"
    fields = {"companyId": company_id, "locationId": location_id}
    return _build_form(path, fields, build_headers(version), company_id, _read_location_token, is_repeatable=True)


def _build_form(
    path: str,
    fields: Mapping[str, str],
    headers: Mapping[str, str],
    window: str,
    read: Callable[[bytes], Any],
    *,
    is_repeatable: bool,
) -> Request[Any]:
    return _SecretRequest(
        method="POST",
        path=path,
        headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(fields).encode(),
        location_id=window,
        repeatable=is_repeatable,
        read=read,
        secrets=tuple(fields[name] for name in _SECRET_FIELDS if name in fields),
        issues_tokens=True,
    )


def build_headers(version: str | None) -> dict[str, str]:
    """Return the headers of a call but for its token."""
    headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
    return headers if version is None else {**headers, "Version": version}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# ---------------------------------------------------------------------------------------------- answers


class LocationTokenAnswer(Struct, frozen=True, rename="camel"):
    """The answer to a request for a location's token."""

    access_token: str
    expires_in: float

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def token(self, now: float) -> LocationToken:
        """Return what to keep of it, now in seconds since 1970."""
        renew_at, expires_at = _times(self.expires_in, now)
        return LocationToken(access_token=self.access_token, renew_at=renew_at, expires_at=expires_at)


class TokenAnswer(LocationTokenAnswer, frozen=True, rename="camel"):
    """The answer to a request for a pair."""

    user_type: UserType = "Location"
    refresh_token: str | None = None
    scope: str = ""
    location_id: str | None = None
    company_id: str | None = None
    user_id: str | None = None
    approved_locations: tuple[str, ...] | None = None

    def grant(self, base_url: str, now: float, before: Grant | None = None) -> Grant:
        """Return what to keep of it.

        Args:
            base_url: The API that answered.
            now: Seconds since 1970.
            before: What it renews; holds where the answer says nothing.

        Raises:
            InvalidResponseError: It names no account, or no refresh token.
        """
        renew_at, expires_at = _times(self.expires_in, now)
        grant = Grant(
            access_token=self.access_token,
            refresh_token=self.refresh_token or (before.refresh_token if before else ""),
            renew_at=renew_at,
            expires_at=expires_at,
            base_url=base_url,
            user_type=before.user_type if before else self.user_type,
            location_id=before.location_id if before else self.location_id,
            company_id=before.company_id if before else self.company_id,
            user_id=self.user_id or (before.user_id if before else None),
            scopes=tuple(self.scope.split()) or (before.scopes if before else ()),
            approved_locations=self.approved_locations or (before.approved_locations if before else ()),
        )
        if not (grant.refresh_token and grant.account_id):
            raise InvalidResponseError("the service gave a token without a refresh token or an account", status=200)
        return grant


def _times(expires_in: float, now: float) -> tuple[float, float]:
    return now + expires_in - min(_AHEAD_SECONDS, expires_in * _AHEAD_SHARE), now + expires_in


# Before v3 these four alone are in snake_case.
_SNAKE: Final = {name: _camel(name) for name in ("access_token", "refresh_token", "expires_in", "token_type")}
_GRANT: Final = re.compile(r"grant|refresh.?token|\bcode\b|revoked|expired")


def _read_fields(body: bytes) -> dict[str, Any]:
    fields = msgspec.json.decode(body, type=dict[str, Any])
    # A refresh token that came back as it was sent is masked by now. Left out, it means that the old one stays good.
    return {_SNAKE.get(name, name): value for name, value in fields.items() if value != MASK}


def _read_token_answer(body: bytes) -> TokenAnswer:
    return msgspec.convert(_read_fields(body), TokenAnswer)


def _read_location_token(body: bytes) -> LocationTokenAnswer:
    return msgspec.convert(_read_fields(body), LocationTokenAnswer)


def read_refusal(error: APIError, *, is_code: bool, account_id: str | None = None) -> LeadConnectorError:
    """Say what a refused request for a pair means.

    Args:
        error: What the service answered.
        is_code: Whether a code was refused, and no refresh token.
        account_id: Whose refresh token it was.
    """
    text = f"{error.code} {' '.join(error.messages)}".lower()
    if "not active" in text:
        return error  # the same refresh token works again later
    if "client" in text and "grant" not in text:
        return ConfigurationError(
            f"the service does not take the client id and secret of this app ({error}); compare them with the app's "
            "settings in the marketplace"
        )
    if not _GRANT.search(text):
        return error
    if is_code:
        return LoginRequiredError(
            f"the service does not take this code ({error}); a code is good once, for a short time and for one "
            "redirect URI: log in again"
        )
    return LoginRequiredError(
        f"the service takes the login of {account_id} no more ({error}): its refresh token was revoked, has expired "
        "or was used before; log in again",
        account_id=account_id,
    )


# ---------------------------------------------------------------------------------------------- installed locations

# Before v3 the pages are counted; in v3 each names the next one.


class LocationsPage(Struct, frozen=True):
    """One page of installed locations.

    Attributes:
        next: What to ask for the next page with; None after the last.
    """

    locations: list[InstalledLocation]
    next: str | None


class _CountedPage(Struct, frozen=True):
    locations: list[InstalledLocation]


class _Pagination(Struct, frozen=True, rename="camel"):
    next_page_token: str | None = None


class _NamedPage(Struct, frozen=True):
    items: list[InstalledLocation]
    pagination: _Pagination = _Pagination()


_COUNTED: Final = msgspec.json.Decoder(_CountedPage)
_NAMED: Final = msgspec.json.Decoder(_NamedPage)


def build_installed_locations(
    company_id: str, app_id: str, version: str, *, page: str, size: int, query: str | None, is_installed: bool | None
) -> Request[LocationsPage]:
    """GET /oauth/installedLocations: one page.

    Args:
        page: Empty for the first; else `next` of the page before.
        size: How many locations at most.
    """
    fields = {"companyId": company_id, "appId": app_id}
    read: Callable[[bytes], LocationsPage]
    if version == "v3":
        path, read = "/oauth/installed-locations", _read_named
        fields |= {"pageSize": str(size), **({"pageToken": page} if page else {})}
    else:
        skip = int(page or 0)
        path, read = "/oauth/installedLocations", partial(_read_counted, skip, size)
        fields |= {"skip": str(skip), "limit": str(size)}
    if query is not None:
        fields["query"] = query
    if is_installed is not None:
        fields["isInstalled"] = "true" if is_installed else "false"
    return Request(
        method="GET",
        path=f"{path}?{urlencode(fields, quote_via=quote)}",
        headers=build_headers(version),
        body=None,
        location_id=company_id,
        repeatable=True,
        read=read,
    )


def _read_counted(skip: int, size: int, body: bytes) -> LocationsPage:
    locations = _COUNTED.decode(body).locations
    return LocationsPage(locations, str(skip + len(locations)) if len(locations) >= size else None)


def _read_named(body: bytes) -> LocationsPage:
    page = _NAMED.decode(body)
    return LocationsPage(page.items, page.pagination.next_page_token or None)
