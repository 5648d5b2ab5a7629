"""OAuth as the service has it: the page that gives codes, and the calls that give tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any, Final

import msgspec
from aiohttp import web
from yarl import URL

from .answers import HTML, Answer, Refusal, read_form, read_json
from .calls import check_version
from .logins import (
    ALL_SCOPES,
    CLIENT_ID,
    CLIENT_SECRET,
    COMPANY_ID,
    DEFAULT_LOCATION,
    LOCATION_SECONDS,
    Bearer,
    IssuedTokens,
)

# ---------------------------------------------------------------------------------------------- fields of token calls

GRANT_TYPES: Final = ("authorization_code", "refresh_token", "client_credentials")


class FieldNames:
    """How a version spells the fields of a token call, and its refusals."""

    def __init__(self, is_v3: bool) -> None:
        self._is_v3 = is_v3

    def __call__(self, name: str) -> str:
        if not self._is_v3:
            return name
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    def missing(self, name: str) -> Refusal:
        if self._is_v3:
            return Refusal(400, f"Missing parameter: {self(name)}")
        return Refusal(422, [f"{name} must be a string", f"{name} should not be empty"])

    def wrong_grant_type(self) -> Refusal:
        if self._is_v3:
            return Refusal(400, "Invalid parameter: grantType")
        return Refusal(422, [f"grant_type must be one of the following values: {', '.join(GRANT_TYPES)}"])

    def no_code(self) -> Refusal:
        if self._is_v3:
            return Refusal(400, "Invalid grant: authorization code is invalid")
        return self.refuse("UnAuthorized!", "Authorization code not found", status=401)

    def refuse(self, error: str, description: str, v3_text: str | None = None, *, status: int) -> Refusal:
        """Return a refusal in the words of OAuth, which v3 turns into a sentence."""
        if self._is_v3:
            words = error.replace("_", " ").capitalize()
            return Refusal(400, f"{words}: {v3_text or description}")
        return Refusal(status, "", message=None, statusCode=None, error=error, error_description=description)


# ---------------------------------------------------------------------------------------------- installed locations

_USUAL: Final = 20
_LARGEST: Final = 500
_LONGEST: Final = 9
_PREFIX: Final = "page-"


def counted_page(found: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return what `skip` and `limit` ask for."""
    skip, limit = _count(query, "skip", 0), _count(query, "limit", _USUAL)
    return {"locations": found[skip : skip + limit], "count": len(found), "installToFutureLocations": False}


def named_page(found: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return what `pageToken` and `pageSize` ask for."""
    size = _count(query, "pageSize", _USUAL) or _USUAL
    token = query.get("pageToken", f"{_PREFIX}0")
    start = token.removeprefix(_PREFIX)
    if not (token.startswith(_PREFIX) and _is_count(start)):
        raise Refusal(400, "Invalid parameter: pageToken")
    begin, end = int(start), int(start) + size
    pagination = {
        "totalRecords": len(found),
        "hasNextPage": end < len(found),
        "hasPrevPage": begin > 0,
        "nextPageToken": f"{_PREFIX}{end}" if end < len(found) else None,
        "prevPageToken": f"{_PREFIX}{max(begin - size, 0)}" if begin else None,
        "currentPageSize": len(found[begin:end]),
    }
    return {"items": found[begin:end], "pagination": pagination, "installToFutureLocations": False}


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not _is_count(text):
        raise Refusal(422, [f"{name} must be a number string"])
    if int(text) > _LARGEST and name != "skip":
        raise Refusal(400, f"{name} must not be greater than {_LARGEST}")
    return int(text)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST


_PAGES: Final = ("/oauth/chooselocation", "/v2/oauth/chooselocation")
_USER_ID: Final = "SandboxUser000000001"
_V3_PATHS: Final = {
    "/oauth/location-token": "/oauth/locationToken",
    "/oauth/installed-locations": "/oauth/installedLocations",
}


def scope_of(method: str, template: str) -> tuple[str, bool]:
    """Return the scope that an operation needs, and whether an agency's own token may ask for it."""
    if template.startswith("/contacts"):
        is_read = method == "GET" or template == "/contacts/search"
        return ("contacts.readonly" if is_read else "contacts.write"), False
    kind = "locations/customFields" if "/customFields" in template else "locations"
    return f"{kind}.{'readonly' if method == 'GET' else 'write'}", kind == "locations"


class OAuth:
    """The app that is known to a sandbox, who is logged in to it, and handles for tests.

    Args:
        logins: Who is logged in.
        locations: Returns the locations that are known.
        names: All that there are, or None where any text names one.
        wall: Seconds since 1970.

    Attributes:
        location_tokens: How many tokens of locations were given to the agency.
    """

    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET
    company_id = COMPANY_ID

    def __init__(
        self,
        logins: IssuedTokens,
        *,
        locations: Callable[[], list[str]],
        names: frozenset[str] | None,
        wall: Callable[[], float],
    ) -> None:
        self._logins = logins
        self._locations = locations
        self._names = names
        self._wall = wall
        self._removed: set[str] = set()
        self.location_tokens = 0

    # ------------------------------------------------------------------------------------------ for tests

    @property
    def refreshes(self) -> int:
        """How many new pairs were given for refresh tokens."""
        return self._logins.refreshes

    @property
    def grace(self) -> float:
        """How long a refresh token that is spent still gets the pair that it was spent for, in seconds."""
        return self._logins.grace

    @grace.setter
    def grace(self, seconds: float) -> None:
        self._logins.grace = seconds

    def new_code(
        self, location_id: str | None = None, *, scopes: Iterable[str] = ALL_SCOPES, redirect_uri: str = ""
    ) -> str:
        """Return a code as a click on the page gives it.

        Args:
            location_id: The location that was chosen; None for the agency.
            scopes: What the app asked for.
            redirect_uri: Where the code would be sent.
        """
        user_type, account_id = ("Company", self.company_id) if location_id is None else ("Location", location_id)
        return self._logins.new_code(user_type, account_id, tuple(scopes), redirect_uri)

    def expire_tokens(self, account_id: str | None = None) -> None:
        """Let the access tokens of a location or agency (None: of all) come to their end now."""
        self._logins.expire(account_id)

    def revoke(self, account_id: str) -> None:
        """Take all tokens of a location or agency back, as when it removes the app."""
        self._logins.revoke(account_id)

    def uninstall(self, location_id: str) -> None:
        """Remove the app from one location of the agency."""
        self._removed.add(location_id)
        self._logins.revoke(location_id)

    def newest_pair(self, account_id: str) -> tuple[str, str] | None:
        """Return the access and refresh token that an account was given last, or None."""
        pair = self._logins.newest_pair(account_id)
        return None if pair is None else (pair["accessToken"], pair["id"])

    # ------------------------------------------------------------------------------------------ calls

    def bearer(self, authorization: str) -> Bearer:
        """Return who sends a call, by its header.

        Raises:
            Refusal: 401, the token is unknown, revoked or at its end.
        """
        token = authorization.removeprefix("Bearer ")
        bearer = self._logins.bearer(token) if token != authorization else None
        if bearer is None:
            is_integration = authorization.startswith("Bearer pit-")
            raise Refusal(401, "Invalid Private Integration token" if is_integration else "Invalid JWT", error=None)
        return bearer

    def company_of(self, path: str) -> str:
        """Return whose limits a call counts against."""
        return "" if path in _PAGES or path == "/oauth/token" else self.company_id

    async def answer(self, request: web.BaseRequest, trace_id: str) -> Answer:
        """Answer a request of `/oauth/`.

        Raises:
            Refusal: What the service answers.
        """
        path, version = request.path, request.headers.get("Version")
        if path in _PAGES:
            return await choose(self, request)
        if (request.method, path) == ("POST", "/oauth/token"):
            return _json(200, self._token(await _read_fields(request), version == "v3"))
        is_v3 = check_version(version) == "v3"
        if request.method == "POST" and _is_path(path, "/oauth/locationToken", is_v3):
            agency = self._agency(request, "oauth.write")
            # The spelling is that of the path: the old one answers under v3, too.
            token = self._location_token(agency, await _read_fields(request), FieldNames("-" in path))
            return _json(201, {**token, "traceId": trace_id})
        if request.method == "GET" and _is_path(path, "/oauth/installedLocations", is_v3):
            self._agency(request, "oauth.readonly")
            ask = named_page if "-" in path else counted_page
            return _json(200, {**ask(self._installed_locations(request.query), request.query), "traceId": trace_id})
        raise Refusal(404, f"Cannot {request.method} {path}")

    def is_location(self, location_id: str) -> bool:
        """Whether there is such a location."""
        return bool(location_id) and (self._names is None or location_id in self._names)

    def known_locations(self) -> list[str]:
        """Return the locations that have the app, as far as they are known."""
        return [each for each in self._locations() or [DEFAULT_LOCATION] if each not in self._removed]

    # ------------------------------------------------------------------------------------------ tokens

    def _token(self, fields: Mapping[str, str], is_v3: bool) -> dict[str, Any]:
        names = FieldNames(is_v3)
        grant_type = fields.get(names("grant_type"))
        for name in ("client_id", "client_secret"):
            if not fields.get(names(name)):
                raise names.missing(name)
        if grant_type not in GRANT_TYPES:
            raise names.wrong_grant_type()
        if grant_type == "authorization_code":
            return self._redeem(fields, names)
        self._check_client(fields, names)
        if grant_type == "client_credentials":
            raise names.refuse("unauthorized_client", "The client may not use this grant type", status=400)
        if not fields.get(names("refresh_token")):
            raise names.missing("refresh_token")
        pair = self._logins.rotate(fields[names("refresh_token")])
        if pair is None:
            raise names.refuse("invalid_grant", "This refresh token is invalid", "refresh token is invalid", status=400)
        return self._describe(pair, names)

    def _redeem(self, fields: Mapping[str, str], names: FieldNames) -> dict[str, Any]:
        code = fields.get(names("code"))
        if not code:
            raise names.missing("code")
        # The real service, too, looks at the code first, and at the client only then.
        if not self._logins.has_code(code):
            raise names.no_code()
        self._check_client(fields, names)
        pair = self._logins.redeem(code, fields.get(names("redirect_uri")))
        if pair is None:
            raise names.no_code()
        return self._describe(pair, names)

    def _check_client(self, fields: Mapping[str, str], names: FieldNames) -> None:
        if (fields[names("client_id")], fields[names("client_secret")]) != (self.client_id, self.client_secret):
            raise names.refuse("invalid_client", "Client credentials are invalid", status=401)

    def _describe(self, pair: Mapping[str, Any], names: FieldNames) -> dict[str, Any]:
        is_location = pair["userType"] == "Location"
        answer = {
            names("access_token"): pair["accessToken"],
            names("token_type"): "Bearer",
            names("expires_in"): max(int(pair["expiresAt"] - self._wall()), 0),
            names("refresh_token"): pair["id"],
            "scope": " ".join(pair["scopes"]),
            "userType": pair["userType"],
            "companyId": self.company_id,
            "userId": _USER_ID,
            "isBulkInstallation": not is_location,
        }
        if is_location:
            return {**answer, "locationId": pair["accountId"]}
        return {**answer, "approvedLocations": self.known_locations(), "installToFutureLocations": False}

    # ------------------------------------------------------------------------------------------ an agency's locations

    def _agency(self, request: web.BaseRequest, scope: str) -> Bearer:
        bearer = self.bearer(request.headers.get("Authorization", ""))
        if bearer.user_type != "Company":
            raise Refusal(401, "This token's user type is not yet supported!", error=None)
        bearer.check(scope, "", may_be_agency=True)
        return bearer

    def _location_token(self, agency: Bearer, fields: Mapping[str, str], names: FieldNames) -> dict[str, Any]:
        problems = [f"{name} should not be empty" for name in ("companyId", "locationId") if not fields.get(name)]
        if problems:
            raise Refusal(422, problems)
        location_id = fields["locationId"]
        if fields["companyId"] != self.company_id:
            raise Refusal(403, "The token does not have access to this company.", error=None)
        if not self.is_location(location_id) or location_id in self._removed:
            raise Refusal(400, "Location not found")
        self.location_tokens += 1
        return {
            names("access_token"): self._logins.new_token("Location", location_id, agency.scopes, LOCATION_SECONDS),
            names("token_type"): "Bearer",
            names("expires_in"): int(LOCATION_SECONDS),
            "scope": " ".join(agency.scopes),
            "locationId": location_id,
            "userId": _USER_ID,
        }

    def _installed_locations(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the locations that a query is about."""
        problems = [f"{name} must be a string" for name in ("companyId", "appId") if not query.get(name)]
        if problems:
            raise Refusal(422, problems)
        if query["companyId"] != self.company_id:
            raise Refusal(403, "The token does not have access to this company.", error=None)
        locations = self._locations() or [DEFAULT_LOCATION]
        found = [_describe_location(each, is_installed=each not in self._removed) for each in locations]
        found = [each for each in found if query.get("query", "").lower() in each["name"].lower()]
        if "isInstalled" in query:
            found = [each for each in found if each["isInstalled"] == (query["isInstalled"] == "true")]
        return found


def _is_path(path: str, name: str, is_v3: bool) -> bool:
    return path == name or (is_v3 and _V3_PATHS.get(path) == name)


def _describe_location(location_id: str, *, is_installed: bool) -> dict[str, Any]:
    return {
        "_id": location_id,
        "name": f"Sandbox {location_id}",
        "address": "3535 1st St N, Dolomite, AL 35061, US",
        "isInstalled": is_installed,
    }


async def _read_fields(request: web.BaseRequest) -> dict[str, str]:
    """Read a form, or JSON in its place."""
    if request.content_type != "application/json":
        return await read_form(request)
    fields = read_json(await request.read())
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _json(status: int, value: dict[str, Any]) -> Answer:
    return Answer(status, msgspec.json.encode(value))


# ---------------------------------------------------------------------------------------------- the consent page


_AGENCY: Final = "agency"
_CANCEL: Final = "cancel"

_SHELL: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #eef1f5; margin: 0; padding: 2rem 1rem }}
main {{ background: #fff; max-width: 34rem; margin: 0 auto; padding: 1.5rem 2rem 2rem; border-radius: .5rem }}
h1 {{ font-size: 1.35rem; margin: 0 0 .5rem }}
code {{ overflow-wrap: anywhere }}
button {{ display: block; width: 100%; margin: .5rem 0; padding: .7rem 1rem; font: inherit; text-align: left;
  background: #fff; border: 1px solid #8795a8; border-radius: .4rem; cursor: pointer }}
button:hover, button:focus-visible {{ background: #e3edfb; border-color: #1a56b0 }}
small {{ display: block; color: #526070 }}
</style>
</head>
<body><main>
<h1>{title}</h1>
{body}
</main></body>
</html>
"""


async def choose(oauth: OAuth, request: web.BaseRequest) -> Answer:
    """Show the page, or send the browser on with what was chosen."""
    query = request.query
    try:
        back = _check_link(query)
    except ValueError as error:
        return Answer(400, _error_page(str(error)), HTML)
    scopes = query.get("scope", "").split() or list(ALL_SCOPES)
    if request.method != "POST":
        return Answer(200, _choice_page(scopes, _choices(oauth)), HTML)
    chosen = (await read_form(request)).get("account", "")
    if chosen not in (_AGENCY, _CANCEL) and not oauth.is_location(chosen):
        return Answer(400, _error_page("There is no such location."), HTML)
    state = {"state": query["state"]} if "state" in query else {}
    if chosen == _CANCEL:
        return _redirect(back.update_query({"error": "access_denied", **state}))
    code = oauth.new_code(None if chosen == _AGENCY else chosen, scopes=scopes, redirect_uri=query["redirect_uri"])
    return _redirect(back.update_query({"code": code, **state}))


def _choices(oauth: OAuth) -> list[tuple[str, str, str]]:
    """Return the value, the title and a remark of each button."""
    locations = [(each, f"Location {each}", "for this location alone") for each in oauth.known_locations()]
    return [
        *locations,
        (_AGENCY, f"Agency {oauth.company_id}", "for all of its locations that have the app"),
        (_CANCEL, "Cancel", "gives the app nothing"),
    ]


def _check_link(query: Mapping[str, str]) -> URL:
    """Return where a login's code is to go.

    Raises:
        ValueError: The link lacks something; the sentence says what.
    """
    if query.get("client_id") != CLIENT_ID:
        raise ValueError(f"The client_id is not that of the sandbox's app, which is {CLIENT_ID}.")
    if query.get("response_type") != "code":
        raise ValueError("The response_type must be code.")
    try:
        back = URL(query.get("redirect_uri", ""))
    except ValueError:
        back = URL()
    if back.scheme not in ("http", "https") or not back.host:
        raise ValueError("The redirect_uri is missing, or is no http(s) address.")
    return back


def _redirect(to: URL) -> Answer:
    answer = Answer(302, b"", HTML)
    answer.headers["Location"] = str(to)
    return answer


def _choice_page(scopes: Iterable[str], choices: Iterable[tuple[str, str, str]]) -> bytes:
    buttons = "\n".join(
        f'<button name="account" value="{escape(value)}">{escape(title)}<small>{escape(remark)}</small></button>'
        for value, title, remark in choices
    )
    listed = ", ".join(f"<code>{escape(scope)}</code>" for scope in scopes)
    return _page(
        "Choose what the app may act for",
        f"<p>This is a sandbox: nothing real is shared. The app asks for {listed}.</p>\n"
        f'<form method="post">\n{buttons}\n</form>',
    )


def _error_page(sentence: str) -> bytes:
    return _page("This link cannot be used", f"<p>{escape(sentence)}</p>")


def _page(title: str, body: str) -> bytes:
    return _SHELL.format(title=title, body=body).encode()
