"""`leadconnector login`, `logout` and `whoami`."""

from __future__ import annotations

import asyncio
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import typer
from aiohttp import web
from msgspec import Struct
from yarl import URL

from ..auth.logins import AccountInfo, Logins
from ..auth.oauth_app import DEFAULT_SCOPES, OAuthApp
from ..auth.stores import KeyringTokenStore, SQLiteTokenStore, TokenStore
from ..calls.transport import DEFAULT_BASE_URL, check_base_url
from ..client import LeadConnector
from ..environment import (
    API_VERSION,
    BASE_URL,
    CLIENT_ID,
    CLIENT_SECRET,
    LOCATION_ID,
    PROXY,
    TOKEN,
    read_variable,
    without_secrets,
)
from ..errors import (
    ConfigurationError,
    LeadConnectorError,
    LoginRequiredError,
    NotFoundError,
    PermissionDeniedError,
    TokenStoreError,
)
from ..private_file import make_private_folder, write_private
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from .app import app, run
from .options import AsJson, Proxy, SecretFile, Store, TokenFile, read_secret_file, read_token_file
from .terminal import is_agreed, is_person_there, show, show_document, tell

# ---------------------------------------------------------------------------------------------- the login that is kept

_KEY: Final = "leadconnector-cli"
_FILE: Final = "logins.sqlite3"
_KEYRING: Final = "keyring"
_LOG_IN: Final = "log in with: leadconnector login"


class Login(Struct, frozen=True, kw_only=True):
    """The app that the last login was for; its secret is not kept."""

    client_id: str
    redirect_uri: str
    base_url: str | None = None


class LoginOptions(Struct, frozen=True, kw_only=True):
    """What a command is told of logins.

    Attributes:
        store: `keyring`, the path of a file, or None for the file in the user's own folder.
        secret_file: Where the app's secret is, in place of the environment.
    """

    store: str | None = None
    secret_file: Path | None = None


def open_store(where: str | None, *, is_new: bool = False) -> TokenStore:
    """Open the store of tokens.

    Args:
        where: `keyring`, the path of a file, or None for the file in the user's own folder.
        is_new: Whether it may be made.

    Raises:
        LoginRequiredError: There is none.
        TokenStoreError, ConfigurationError: It cannot be used.
    """
    folder = Path(typer.get_app_dir("leadconnector-async"))
    if where == _KEYRING:
        _make_folder(folder)
        return KeyringTokenStore(lock_file=folder / _KEYRING)
    path = folder / _FILE if where is None else Path(where)
    if where is None and is_new:
        _make_folder(folder)
    if not is_new and not os.path.lexists(path):
        raise LoginRequiredError(f"you are not logged in; {_LOG_IN}")
    return SQLiteTokenStore(path)


def _make_folder(folder: Path) -> None:
    try:
        make_private_folder(folder)
    except OSError as error:
        raise TokenStoreError(f"{folder}: cannot be made ({error.strerror}); name a file with --store") from None


def describe_store(where: str | None) -> str:
    """Return where a login is kept, for people."""
    if where == _KEYRING:
        return "the system's keyring"
    return str(Path(typer.get_app_dir("leadconnector-async")) / _FILE if where is None else where)


async def save_login(store: TokenStore, login: Login) -> None:
    """Keep which app the login is for."""
    await store.save(_KEY, msgspec.json.encode(login))


async def load_login(store: TokenStore) -> Login:
    """Return which app the login is for.

    Raises:
        LoginRequiredError: Nobody has logged in.
        TokenStoreError: It cannot be read.
    """
    value = await store.load(_KEY)
    if value is None:
        raise LoginRequiredError(f"you are not logged in; {_LOG_IN}")
    try:
        return msgspec.json.decode(value, type=Login)
    except msgspec.DecodeError:
        raise TokenStoreError(f"the stored login is damaged; {_LOG_IN}") from None


def read_client(options: LoginOptions, client_id: str | None) -> tuple[str, str]:
    """Return the app's client id and secret.

    Raises:
        ConfigurationError: One is missing.
    """
    client_id = client_id or read_variable(CLIENT_ID)
    if client_id is None:
        raise ConfigurationError(f"there is no client id: set {CLIENT_ID} to the client id of your marketplace app")
    if options.secret_file is not None:
        return client_id, read_secret_file("--client-secret-file", options.secret_file, "the client secret of the app")
    secret = read_variable(CLIENT_SECRET)
    if secret is None:
        raise ConfigurationError(
            f"there is no client secret, and a login cannot be renewed without it: set {CLIENT_SECRET}, or give "
            "--client-secret-file"
        )
    return client_id, secret


async def open_app(options: LoginOptions) -> tuple[OAuthApp, dict[str, Any]]:
    """Return the app that is logged in, and what its login says of the client: address, and location where it is one.

    Raises:
        LoginRequiredError: Nobody is logged in.
        ConfigurationError: The client secret is missing.
        TokenStoreError: The store cannot be used.
    """
    store = open_store(options.store)
    login = await load_login(store)
    client_id, secret = read_client(options, login.client_id)
    app = OAuthApp(client_id, secret, redirect_uri=login.redirect_uri, store=store)
    found: dict[str, Any] = {"base_url": login.base_url} if login.base_url else {}
    accounts = await app.logins.accounts()
    if not accounts:
        raise LoginRequiredError(f"you are not logged in; {_LOG_IN}")
    if list(accounts.values()) == ["Location"]:
        found["location_id"] = next(iter(accounts))
    return app, found


async def choose_token(token_file: Path | None, options: LoginOptions) -> dict[str, Any]:
    """Return what the client is to be made with: the token that is named, or the login that is stored.

    Raises:
        LoginRequiredError: There is neither.
        ConfigurationError: A file or a secret is missing.
        TokenStoreError: The store cannot be used.
    """
    if token_file is not None:
        return {"token": read_token_file(token_file)}
    if options.store is None and read_variable(TOKEN) is not None:
        return {}
    try:
        app, found = await open_app(options)
    except LoginRequiredError as error:
        raise LoginRequiredError(
            f"there is no token: set {TOKEN} to a Private Integration Token, or log in ({error})"
        ) from None
    for option, name in (("base_url", BASE_URL), ("location_id", LOCATION_ID)):
        if read_variable(name) is not None:
            found.pop(option, None)
    return {"token": app, **found}


# ---------------------------------------------------------------------------------------------- the browser's answer

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_PAGE: Final = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>leadconnector</title></head>'
    '<body style="font: 16px/1.5 system-ui, sans-serif; margin: 3rem"><p>{}</p></body></html>\n'
)


class Loopback:
    """Listens where the service sends the browser, until it brings a code.

    Args:
        redirect_uri: An `http` address of this machine, with a port.
        state: What the browser must bring back; others are turned away.

    Raises:
        ConfigurationError: The address is not one of this machine.
    """

    def __init__(self, redirect_uri: str, state: str) -> None:
        try:
            url = URL(redirect_uri)
        except ValueError:
            raise ConfigurationError(
                f"{redirect_uri!r} is not an address; write one such as http://localhost:8000/callback"
            ) from None
        if url.scheme != "http" or url.host not in _LOCAL:
            raise ConfigurationError(
                f"{redirect_uri} is not an address of this machine, so no code can arrive there; paste the code "
                "instead (--paste)"
            )
        self._url = url
        self._state = state
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None))

    async def __aenter__(self) -> Loopback:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._url.host, self._url.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"port {self._url.port} cannot be used ({error.strerror}); stop the program that uses it, or use "
                "--paste"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def code(self, seconds: float) -> str:
        """Wait for the code.

        Args:
            seconds: How long.

        Raises:
            LoginRequiredError: The login was refused on the page, or nobody came back.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._code
        except TimeoutError:
            raise LoginRequiredError(f"the login page sent no answer within {seconds:.0f} s; log in again") from None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET" or request.path != self._url.path:
            return _page(404, "There is nothing here.")
        if not hmac.compare_digest(request.query.get("state", "").encode(), self._state.encode()):
            return _page(400, "This is not the login that the command line started. Start it there again.")
        if self._code.done():
            return _page(200, "This login is already done. You can close this page.")
        code = request.query.get("code", "")
        if not code:
            reason = clean_text(request.query.get("error", "it sent no code"))
            self._code.set_exception(LoginRequiredError(f"the login was refused on the page ({reason}); log in again"))
            return _page(400, f"The login was refused ({reason}).")
        self._code.set_result(code)
        return _page(200, "You can close this page and go back to the command line.")


def _page(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(escape(sentence)), content_type="text/html")


# ---------------------------------------------------------------------------------------------- login, logout, whoami

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
    account: str | None = None


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
        account = await app.exchange(code, without_state=True, user_type="Company" if order.is_agency else None)
        await _confirm(order, app, await account.info())
    await save_login(store, Login(client_id=client_id, redirect_uri=order.redirect_uri, base_url=base_url))
    info, where = await account.info(), describe_store(order.options.store)
    show(f"Logged in: {_name(info)}. Kept in {where}.")
    show_document({"account": _document(info), "store": where})
    return 0


_OF_CLIENT: Final = {"base_url": BASE_URL, "api_version": API_VERSION, "proxy": PROXY}


def _client_options() -> dict[str, Any]:
    found = {name: read_variable(variable) for name, variable in _OF_CLIENT.items()}
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
        tell("Then paste the address that the browser arrives at, or the code in it:")
        return _read_pasted(await asyncio.to_thread(sys.stdin.readline), state)
    async with Loopback(order.redirect_uri, state) as loopback:
        tell(f"Choose the account on the page that opens. If no page opens, open this one yourself:\n{url}")
        if not order.opens_browser:
            return await loopback.code(_WAIT_SECONDS)
        with _page_leading_to(url) as page:
            await asyncio.to_thread(_open_browser, page)
            return await loopback.code(_WAIT_SECONDS)


@contextmanager
def _page_leading_to(url: str) -> Iterator[str]:
    """Return the address of a page of our own that leads to another one.

    Everybody on this machine can read the command line of a browser, and the address of a login holds its state.
    """
    with TemporaryDirectory(prefix="leadconnector-login-") as folder:
        path = Path(folder) / "login.html"
        write_private(path, _PAGE_AWAY.format(escape(url)))
        yield path.as_uri()


_PAGE_AWAY: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}"><a href="{0}">Log in</a>'
)
_OPEN: Final = "import sys, webbrowser; webbrowser.open(sys.argv[1])"


def _open_browser(url: str) -> None:
    """Open a page in the user's browser, which inherits none of our secrets: it may live for days."""
    command = [sys.executable, "-P", "-c", _OPEN, url]
    subprocess.run(command, env=without_secrets(), stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - our own


async def _confirm(order: LoginOrder, app: OAuthApp, info: AccountInfo) -> None:
    """Keep an account only where it is the one that was meant: whoever began the login on the page chose it there.

    Raises:
        LoginRequiredError: It is not, and is forgotten again.
    """
    if order.account is not None:
        is_right = order.account == info.account_id
    elif is_person_there():
        is_right = await is_agreed(f"This is the {_name(info)}. Log it in?", asyncio.Event())
    else:
        is_right = True
    if not is_right:
        await app.logins.remove(info.account_id)
        raise LoginRequiredError(f"the page logged in the {_name(info)} instead, so nothing was saved; log in again")


def _read_pasted(text: str, state: str) -> str:
    text = text.strip()
    if "://" not in text:
        return text  # the code alone; it was copied by the one who began
    fields = parse_qs(urlsplit(text).query)
    if fields.get("state") != [state]:
        raise LoginRequiredError(
            "the pasted address belongs to another login (its state differs): log in again, and paste the address "
            "that its page ends at"
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
        until = "until it expires" if grant is None else f"until {_time(grant.expires_at)}"
        show(f"Logged out: {clean_text(each)}. Its access token stays valid {until}.")
    show_document({"forgotten": forgotten})
    show(
        "Only this machine has forgotten the login: the app stays installed until you remove it in the account's "
        "settings."
    )
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
        show(f"A token from outside `login` (a private integration, for example), for {client.host}: {remark}.")
        unknown = "not given (--location); the service does not say which location the token is for"
        show(f"  location: {client.location_id or unknown}")
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
    show(f"  scopes: {clean_text(' '.join(info.scopes)) or 'unknown'}")
    show(f"  access token: valid until {_time(info.expires_at)}, renewed before then")
    told = {**_document(info), "remark": remark}
    if is_agency:
        return {**told, "locations": await _show_locations(app, info)}
    return {**told, "calls_left_today": _show_quota(client, info.account_id)}


async def _show_locations(app: OAuthApp, info: AccountInfo) -> list[dict[str, str]] | None:
    try:
        found = [each async for each in app.account(info.account_id).installed_locations()]
    except PermissionDeniedError as error:
        show(f"  locations: unknown ({clean_text(str(error))})")
        return None
    for each in found[:_MOST_LOCATIONS]:
        show(f"  location: {clean_text(f'{each.id} {each.name}')}")
    if len(found) > _MOST_LOCATIONS:
        show(f"  and {count_of(len(found) - _MOST_LOCATIONS, 'more location')}")
    return [{"id": each.id, "name": each.name} for each in found]


async def _ask_as(client: LeadConnector, location_id: str | None) -> str:
    """Ask the service for a contact that does not exist: its answer tells of the token, and of the quota."""
    try:
        await client.contacts.get(_NOBODY, location_id=location_id)
    except NotFoundError:
        return "taken"
    except PermissionDeniedError as error:
        return f"taken, but it may not read contacts ({clean_text(str(error))})"
    return "taken"


def _show_quota(client: LeadConnector, location_id: str | None) -> int | None:
    left = client.calls_left_today(location_id)
    show("  quota: unknown" if left is None else f"  quota: {count_of(left, 'call')} left today")
    return left


@app.command()
def login(
    client_id: Annotated[
        str | None,
        typer.Option(help="Client id of your marketplace app; by default LEADCONNECTOR_CLIENT_ID.", show_default=False),
    ] = None,
    client_secret_file: SecretFile = None,
    proxy: Proxy = None,
    agency: Annotated[bool, typer.Option("--agency", help="Log in as an agency, for all its locations.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="Scope to ask for; repeatable.", show_default="contacts, locations")
    ] = None,
    redirect_uri: Annotated[
        str, typer.Option(help="One of the redirect URLs in the app's settings.")
    ] = DEFAULT_REDIRECT,
    paste: Annotated[
        bool, typer.Option("--paste", help="Paste the code as text, if the browser cannot reach this machine.")
    ] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address of the page instead of opening it.")
    ] = False,
    account: Annotated[
        str | None,
        typer.Option(
            help="Id of the location or agency that is to be logged in; another one is refused.", show_default=False
        ),
    ] = None,
    white_label: Annotated[
        bool, typer.Option("--white-label", help="Use the login page without the name HighLevel.")
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Log in with a marketplace app; a page in the browser asks which account it may act for.

    Exit code: 0 logged in; 2 not; 130 interrupted.
    """
    order = LoginOrder(
        options=LoginOptions(store=store, secret_file=client_secret_file),
        client_id=client_id,
        redirect_uri=redirect_uri,
        scopes=tuple(scope or ()),
        is_agency=agency,
        is_white_label=white_label,
        is_pasted=paste,
        opens_browser=not no_browser,
        account=account,
    )
    run(log_in(order), as_json=as_json)


@app.command()
def logout(
    account: Annotated[
        str | None, typer.Argument(help="Id of the location or agency.", show_default="all of them")
    ] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Delete a stored login, and say which access stays valid.

    Exit code: 0 deleted; 2 not logged in, or wrong use.
    """
    run(log_out(account, LoginOptions(store=store)), as_json=as_json)


@app.command()
def whoami(
    location: Annotated[
        str | None,
        typer.Option(help="Location of the token; by default LEADCONNECTOR_LOCATION_ID.", show_default=False),
    ] = None,
    token_file: TokenFile = None,
    proxy: Proxy = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the account of the token, or of every stored login: its locations, scopes, and the calls left today.

    Exit code: 0 all of them are good; 1 some are not; 2 none is, or wrong use; 3 the service is down.
    """
    run(tell_who(location, token_file, LoginOptions(store=store, secret_file=client_secret_file)), as_json=as_json)
