"""HTML made of elements. What is no `Html` is text, and is escaped; as a rule `element` alone makes `Html`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final, TypeAlias
from urllib.parse import quote

_VOID: Final = frozenset({"br", "link", "meta"})
_LONGEST: Final = 240
_ROOM: Final = 40  # for what is said of the rest
# Control characters, and what is not seen and changes how the text around it is shown or read: soft hyphens, spaces of
# no width, marks and orders of direction, tags. Joiners stay, as scripts and emoji need them.
_UNSEEN: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SHORT: Final = {"\t": " ", "\n": "\u21b5 ", "\r": "\u21b5 "}


class Html(str):
    """Markup. Never make one of text that comes from outside."""

    __slots__ = ()


Content: TypeAlias = "Html | str | int | Iterable[Content] | None"
Attribute: TypeAlias = str | int | float | bool | None


def element(name: str, /, *content: Content, **attributes: Attribute) -> Html:
    """Make an element.

    Args:
        name: Its name.
        content: What is in it: elements, text (escaped), numbers, or several of these; None is nothing.
        attributes: By name, `_` for `-`, and one at the end left out (`class_`). True is an attribute without a value,
            None and False is none.
    """
    start = f"<{name}{''.join(_attribute(*pair) for pair in attributes.items())}>"
    return Html(start if name in _VOID else f"{start}{join(content)}</{name}>")


def join(content: Content) -> Html:
    """Return content as markup."""
    if isinstance(content, Html):
        return content
    if content is None:
        return Html()
    if isinstance(content, str | int):
        return Html(html.escape(show_unseen(str(content))))
    return Html("".join(map(join, content)))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:g}" if isinstance(value, float) else show_unseen(str(value))
    return f' {name}="{html.escape(text)}"'


def show_unseen(text: str) -> str:
    """Return text as it can stand in a page: what is not seen, or is no text at all, as an escape such as \\u202e.

    Zero bytes, marks of direction and spaces of no width are often what is wrong with a cell.
    """
    text = text.replace("\r\n", "\n").encode("utf-8", "backslashreplace").decode()
    return _UNSEEN.sub(lambda found: _SHORT.get(found[0]) or found[0].encode("unicode_escape").decode(), text)


def quoted(text: object) -> Html:
    """Return a text from outside as an element of its own: its direction changes nothing around it."""
    return element("bdi", shorten(str(text)))


def shorten(text: str) -> str:
    """Return a text as it is, or its beginning and how long it is. Once shortened, it stays as it is."""
    return text if len(text) <= _LONGEST + _ROOM else f"{text[:_LONGEST]}\u2026 ({len(text):,} characters)"


def link_to_file(name: str, *content: Content, fragment: str | None = None) -> Html:
    """Link to a file beside the page.

    Args:
        name: Its name.
        content: What to show; its name by default.
        fragment: What part of it; `row=7` is the seventh row of a CSV file (RFC 7111).
    """
    # ./ keeps a name from being read as an address, whatever it is.
    address = f"./{quote(name, safe='', errors='replace')}"
    return element(
        "a", content or quoted(name), href=address if fragment is None else f"{address}#{quote(fragment, safe='=')}"
    )
