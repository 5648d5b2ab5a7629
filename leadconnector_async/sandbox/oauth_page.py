"""The page on which a user chooses what an app may act for, for a browser or a test to click through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

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


def choice_page(hidden: Mapping[str, str], scopes: Iterable[str], choices: Iterable[tuple[str, str, str]]) -> bytes:
    """Return the page that asks for a location or an agency.

    Args:
        hidden: What the form carries on.
        scopes: What the app asks for.
        choices: The value, the title and a remark of each button.
    """
    fields = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    buttons = "\n".join(
        f'<button name="account" value="{escape(value)}">{escape(title)}<small>{escape(remark)}</small></button>'
        for value, title, remark in choices
    )
    listed = ", ".join(f"<code>{escape(scope)}</code>" for scope in scopes)
    return _page(
        "Choose what the app may act for",
        f"<p>This is a sandbox: nothing real is shared. The app asks for {listed}.</p>\n"
        f'<form method="post">\n{fields}\n{buttons}\n</form>',
    )


def error_page(sentence: str) -> bytes:
    """Return the page that says why there is nothing to choose."""
    return _page("This link cannot be used", f"<p>{escape(sentence)}</p>")


def _page(title: str, body: str) -> bytes:
    return _SHELL.format(title=title, body=body).encode()
