"""The page on which a user chooses what an app may act for, for a browser or a test to click through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from aiohttp import web
from yarl import URL

from .answers import HTML, Answer, read_form
from .logins import ALL_SCOPES, CLIENT_ID

if TYPE_CHECKING:
    from .oauth import OAuth

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
