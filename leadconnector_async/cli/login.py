"""`leadconnector login`, `logout` and `whoami`."""

from __future__ import annotations

import asyncio
import sys
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from ..answers import clean_text
from ..client import LeadConnector
from ..environment import API_VERSION, BASE_URL, TOKEN, read_variable
from ..errors import LeadConnectorError, LoginRequiredError, NotFoundError, PermissionDeniedError, TokenStoreError
from ..logins import AccountInfo, Logins
from ..oauth_app import DEFAULT_SCOPES, OAuthApp
from ..transport import DEFAULT_BASE_URL, check_base_url
from .logins import Login, LoginOptions, describe_store, load_login, open_app, open_store, read_client, save_login
from .loopback import Loopback
from .options import read_token_file
from .printing import show, show_document, tell

DEFAULT_REDIRECT: Final = "http://localhost:8788/callback"
_AGENCY_SCOPES: Final = ("oauth.readonly", "oauth.write")
_WAIT_SECONDS: Final = 600.0
_NOBODY: Final = "00000000000000000000"  # the id of no contact
_MOST_LOCATIONS: Final = 20


class LoginOrder(Struct, frozen=True, kw_only=True):
    """What `leadconnector login` is asked for."""

    options: LoginOptions
    client_id: str | None
    redirect_uri: str
    scopes: tuple[str, ...]
    is_agency: bool
    is_white_label: bool
    is_pasted: bool
    opens_browser: bool


async def log_in(order: LoginOrder) -> int:
    """Log an account in, and return the exit code.

    Raises:
        LeadConnectorError: It was not logged in; the sentence says why.
    """
    client_id, secret = read_client(order.options, order.client_id)
    base_url = read_variable(BASE_URL) or DEFAULT_BASE_URL
    store = open_store(order.options.store, is_new=True)
    scopes = order.scopes or (*DEFAULT_SCOPES, *(_AGENCY_SCOPES if order.is_agency else ()))
    app = OAuthApp(
        client_id, secret, redirect_uri=order.redirect_uri, scopes=scopes, store=store, pages=_pages_of(base_url)
    )
    async with LeadConnector(app, **_client_options()):
        state = app.new_state()
        code = await _ask_for_code(order, app, state)
        account = await app.exchange(code, user_type="Company" if order.is_agency else None)
    await save_login(store, Login(client_id=client_id, redirect_uri=order.redirect_uri, base_url=base_url))
    info, where = await account.info(), describe_store(order.options.store)
    show(f"Logged in: {_name(info)}. Kept in {where}.")
    show_document({"account": _document(info), "store": where})
    return 0


def _client_options() -> dict[str, Any]:
    found = {"base_url": read_variable(BASE_URL), "api_version": read_variable(API_VERSION)}
    return {option: value for option, value in found.items() if value is not None}


def _pages_of(base_url: str) -> str | None:
    """A sandbox shows the pages of the login itself."""
    base_url = check_base_url(base_url)
    return base_url if base_url.startswith("http:") else None


async def _ask_for_code(order: LoginOrder, app: OAuthApp, state: str) -> str:
    """Send the user to the page, and return the code that comes back, after a look at its state."""
    url = app.authorization_url(state, white_label=order.is_white_label)
    if order.is_pasted:
        tell(f"Open this page, and choose the account:\n{url}")
        tell("Then paste the address that the browser ends at (or the code in it):")
        return _read_pasted(await asyncio.to_thread(sys.stdin.readline), state)
    async with Loopback(order.redirect_uri, state) as loopback:
        tell(f"Choose the account on the page that opens. If none does, open it yourself:\n{url}")
        if order.opens_browser:
            await asyncio.to_thread(webbrowser.open, url)
        return await loopback.code(_WAIT_SECONDS)


def _read_pasted(text: str, state: str) -> str:
    text = text.strip()
    if "://" not in text:
        return text  # the code alone; it was copied by the one who began
    fields = parse_qs(urlsplit(text).query)
    if fields.get("state") != [state]:
        raise LoginRequiredError(
            "the address that was pasted is not of the login that was just begun (its state is another): log in again, "
            "and paste the address of that page"
        )
    return fields.get("code", [""])[0]


def _document(info: AccountInfo) -> dict[str, object]:
    """Return what machines are told of an account."""
    return {
        "type": "location" if info.user_type == "Location" else "agency",
        "id": info.account_id,
        "agency": info.company_id or None,
        "base_url": info.base_url,
        "scopes": info.scopes,
        "access_token_until": _iso(info.expires_at),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _name(info: AccountInfo) -> str:
    kind = "location" if info.user_type == "Location" else "agency"
    return clean_text(f"{kind} {info.account_id}")


# ---------------------------------------------------------------------------------------------- logout


async def log_out(account_id: str | None, options: LoginOptions) -> int:
    """Forget one account, or all of them, and return the exit code.

    Raises:
        LeadConnectorError: Nobody is logged in, or the store cannot be used.
    """
    store = open_store(options.store)
    logins = Logins(store, (await load_login(store)).client_id)
    forgotten: list[dict[str, object]] = []
    accounts = list(await logins.accounts()) if account_id is None else [account_id]
    for each in accounts:
        try:
            grant = await logins.find(each)
        except TokenStoreError:  # damaged, and to be forgotten all the same
            grant = None
        if not await logins.remove(each):
            raise LoginRequiredError(f"{each} was not logged in", account_id=each)
        forgotten.append({"id": each, "access_token_until": None if grant is None else _iso(grant.expires_at)})
        until = "until it ends" if grant is None else f"until {_time(grant.expires_at)}"
        show(f"Forgotten: {clean_text(each)}. Its access token stays good {until}.")
    show_document({"forgotten": forgotten})
    show("The service was not told: each app stays installed until it is removed in the account's settings.")
    return 0


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


# ---------------------------------------------------------------------------------------------- whoami


async def tell_who(location_id: str | None, token_file: Path | None, options: LoginOptions) -> int:
    """Tell whose token or login there is, and return the exit code.

    Raises:
        LeadConnectorError: There is none, or the service takes it no more.
    """
    if token_file is not None or (options.store is None and read_variable(TOKEN) is not None):
        given: dict[str, Any] = {"location_id": location_id} if location_id else {}
        if token_file is not None:
            given["token"] = read_token_file(token_file)
        show_document({"accounts": [await _tell_of_token(LeadConnector.from_env(**given))]})
        return 0
    app, found = await open_app(options)
    async with LeadConnector(app, **{**found, **_client_options()}) as client:
        accounts = [await _tell_of_login_or_why_not(client, app, info) for info in await app.accounts()]
    are_good = [account["error"] is None for account in accounts]
    if any(are_good):
        show_document({"accounts": accounts})
    return 0 if all(are_good) else 1 if any(are_good) else 2


async def _tell_of_login_or_why_not(client: LeadConnector, app: OAuthApp, info: AccountInfo) -> dict[str, object]:
    """Tell of a login, and return what machines are told: `error` is None where it is good."""
    try:
        return {**await _tell_of_login(client, app, info), "error": None}
    except LeadConnectorError as error:
        reason = clean_text(str(error))
        tell(f"leadconnector: {_name(info)}, at {info.base_url}: {reason}")
        return {**_document(info), "error": reason}


async def _tell_of_token(client: LeadConnector) -> dict[str, object]:
    async with client:
        remark = await _ask_as(client, client.location_id)
        show(f"A token of its own (private integration, or given by somebody else), for {client.host}: {remark}.")
        show(f"  location: {client.location_id or 'not given (--location); the service does not tell whose it is'}")
        left = _show_quota(client, client.location_id)
    return {
        "type": "token",
        "id": client.location_id,
        "host": client.host,
        "remark": remark,
        "calls_left_today": left,
        "error": None,
    }


async def _tell_of_login(client: LeadConnector, app: OAuthApp, info: AccountInfo) -> dict[str, object]:
    account = app.account(info.account_id)
    is_agency = info.user_type == "Company"
    remark = "taken" if is_agency and await account.token("") else await _ask_as(client, info.account_id)
    info = await account.info()
    show(f"{_name(info)}, at {info.base_url}: {remark}.")
    if not is_agency and info.company_id:
        show(f"  agency: {clean_text(info.company_id)}")
    show(f"  scopes: {clean_text(' '.join(info.scopes)) or 'not told'}")
    show(f"  access token: until {_time(info.expires_at)}, renewed before that")
    told = {**_document(info), "remark": remark}
    if is_agency:
        return {**told, "locations": await _show_locations(app, info)}
    return {**told, "calls_left_today": _show_quota(client, info.account_id)}


async def _show_locations(app: OAuthApp, info: AccountInfo) -> list[dict[str, str]] | None:
    try:
        found = [each async for each in app.account(info.account_id).installed_locations()]
    except PermissionDeniedError as error:
        show(f"  locations: not told ({clean_text(str(error))})")
        return None
    for each in found[:_MOST_LOCATIONS]:
        show(f"  location: {clean_text(f'{each.id} {each.name}')}")
    if len(found) > _MOST_LOCATIONS:
        show(f"  and {len(found) - _MOST_LOCATIONS} more locations")
    return [{"id": each.id, "name": each.name} for each in found]


async def _ask_as(client: LeadConnector, location_id: str | None) -> str:
    """Ask the service for a contact that there is not: its answer tells of the token, and of the quota."""
    try:
        await client.contacts.get(_NOBODY, location_id=location_id)
    except NotFoundError:
        return "taken"
    except PermissionDeniedError as error:
        return f"taken, but it may not read contacts ({clean_text(str(error))})"
    return "taken"


def _show_quota(client: LeadConnector, location_id: str | None) -> int | None:
    left = client.calls_left_today(location_id)
    show("  quota: not told" if left is None else f"  quota: {left:,} calls left today")
    return left
