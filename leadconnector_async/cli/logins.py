"""Where the command line keeps its login, and the app that the login is for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
from msgspec import Struct

from ..environment import BASE_URL, CLIENT_ID, CLIENT_SECRET, LOCATION_ID, TOKEN, read_variable
from ..errors import ConfigurationError, LoginRequiredError, TokenStoreError
from ..oauth_app import OAuthApp
from ..private_file import make_private_folder
from ..token_stores import KeyringTokenStore, SQLiteTokenStore, TokenStore
from .options import read_secret_file, read_token_file

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
        raise LoginRequiredError(f"nobody is logged in; {_LOG_IN}")
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
        raise LoginRequiredError(f"nobody is logged in; {_LOG_IN}")
    try:
        return msgspec.json.decode(value, type=Login)
    except msgspec.DecodeError:
        raise TokenStoreError(f"what is stored of the login is damaged; {_LOG_IN}") from None


def read_client(options: LoginOptions, client_id: str | None) -> tuple[str, str]:
    """Return the app's client id and secret.

    Raises:
        ConfigurationError: One is missing.
    """
    client_id = client_id or read_variable(CLIENT_ID)
    if client_id is None:
        raise ConfigurationError(f"there is no client id: set {CLIENT_ID} to that of your marketplace app")
    if options.secret_file is not None:
        return client_id, read_secret_file("--client-secret-file", options.secret_file, "the client secret of the app")
    secret = read_variable(CLIENT_SECRET)
    if secret is None:
        raise ConfigurationError(
            f"there is no client secret, which renewing a login takes: set {CLIENT_SECRET}, or give "
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
        raise LoginRequiredError(f"nobody is logged in; {_LOG_IN}")
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
