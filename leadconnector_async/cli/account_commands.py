"""`leadconnector login`, `logout` and `whoami`."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app, run
from .arguments import SecretFile, Store, TokenFile
from .login import DEFAULT_REDIRECT, LoginOrder, log_in, log_out, tell_who
from .logins import LoginOptions


@app.command()
def login(
    client_id: Annotated[
        str | None, typer.Option(help="Of your marketplace app; else LEADCONNECTOR_CLIENT_ID.", show_default=False)
    ] = None,
    client_secret_file: SecretFile = None,
    agency: Annotated[bool, typer.Option("--agency", help="Log in as an agency, for all its locations.")] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="What the app may do; again for more.", show_default="contacts, locations")
    ] = None,
    redirect_uri: Annotated[str, typer.Option(help="One of those in the app's settings.")] = DEFAULT_REDIRECT,
    paste: Annotated[
        bool, typer.Option("--paste", help="Take the code as text, where no browser can reach this machine.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page, only tell it.")] = False,
    white_label: Annotated[bool, typer.Option("--white-label", help="The page without the name HighLevel.")] = False,
    store: Store = None,
) -> None:
    """Log in with a marketplace app. The page of a browser asks what it may act for.

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
    )
    run(log_in(order))


@app.command()
def logout(
    account: Annotated[
        str | None, typer.Argument(help="Id of the location or agency.", show_default="all of them")
    ] = None,
    store: Store = None,
) -> None:
    """Forget a login. Says what stays valid."""
    run(log_out(account, LoginOptions(store=store)))


@app.command()
def whoami(
    location: Annotated[
        str | None, typer.Option(help="Location of a token; else LEADCONNECTOR_LOCATION_ID.", show_default=False)
    ] = None,
    token_file: TokenFile = None,
    store: Store = None,
    client_secret_file: SecretFile = None,
) -> None:
    """Tell which account there is: its locations, scopes, and the calls it has left today."""
    run(tell_who(location, token_file, LoginOptions(store=store, secret_file=client_secret_file)))
