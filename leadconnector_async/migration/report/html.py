"""HTML made of elements. What is no `Html` is text, and is escaped; as a rule `element` alone makes `Html`."""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import accumulate
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from msgspec import Struct

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


# ---------------------------------------------------------------------------------------------- blocks

_BAR_WIDTH: Final = 1000


def number(value: float, *, key: str | None = None) -> Html:
    """Return a number as people read it; scripts find it by `data-key`, and as it is in `value`."""
    return element("data", f"{value:,}", value=str(value), data_key=key)


class Column(Struct, frozen=True):
    """A column of a table.

    Attributes:
        name: Its header.
        look: What its cells hold: numbers, which are aligned; one word; some words; or sentences.
    """

    name: str
    look: Literal["number", "word", "words", "sentence"] = "words"


def build_table(
    caption: Content, columns: Sequence[Column], rows: Iterable[Sequence[Content]], *, has_row_headers: bool = False
) -> Html:
    """Make a table; where it is wider than its place, it alone moves sideways. On a phone each cell has its own line.

    Args:
        caption: What it shows, and how much of it.
        columns: Its columns.
        rows: A cell for each column.
        has_row_headers: Whether the first cell of a row says what the row is.
    """
    body = [element("tr", _cells(columns, row, has_row_headers=has_row_headers)) for row in rows]
    return _frame(caption, columns, [element("tbody", body)])


def build_grouped_table(
    caption: Content, columns: Sequence[Column], groups: Iterable[tuple[Sequence[Content], Sequence[Sequence[Content]]]]
) -> Html:
    """Make a table whose rows come in groups.

    Args:
        caption: What it shows, and how much of it.
        columns: Its columns.
        groups: What the first cells of all rows of a group are, written once, and the rest of each row; one at least.
    """
    bodies = []
    for lead, rows in groups:
        heads = [
            element("th", cell, scope="rowgroup", rowspan=len(rows), class_=column.look, data_label=column.name)
            for column, cell in zip(columns, lead, strict=False)
        ]
        rest = columns[len(lead) :]
        lines = [element("tr", heads if not number else None, _cells(rest, row)) for number, row in enumerate(rows)]
        bodies.append(element("tbody", lines))
    return _frame(caption, columns, bodies)


def _frame(caption: Content, columns: Sequence[Column], bodies: Sequence[Html]) -> Html:
    head = element("tr", [element("th", column.name, scope="col", class_=column.look) for column in columns])
    table = element("table", element("caption", caption), element("thead", head), bodies)
    return element("div", table, class_="scroll", tabindex=0, role="group", aria_label="Table")


def _cells(columns: Sequence[Column], row: Sequence[Content], *, has_row_headers: bool = False) -> list[Html]:
    cells = []
    for position, (column, cell) in enumerate(zip(columns, row, strict=True)):
        if has_row_headers and not position:
            cells.append(element("th", cell, scope="row", class_=column.look, data_label=column.name))
        else:
            cells.append(element("td", cell, class_=column.look, data_label=column.name))
    return cells


def build_facts(facts: Iterable[tuple[str, Content]]) -> Html:
    """Make a list of names, each with its value."""
    return element("dl", [element("div", element("dt", name), element("dd", value)) for name, value in facts])


def build_commands(*commands: str) -> Html:
    """Show commands, to be copied whole."""
    return element("pre", element("code", "\n".join(commands)), tabindex=0, role="group", aria_label="Command")


class Part(Struct, frozen=True):
    """A part of a whole.

    Attributes:
        name: What it is.
        count: How much.
        look: Its class, which gives its colour.
        key: What scripts find its number by, or None.
    """

    name: str
    count: int
    look: str
    key: str | None = None


def build_bar(parts: Sequence[Part]) -> Html:
    """Show the shares of a whole as a bar, and below it each part with its colour and number; also those of nothing."""
    scale = _BAR_WIDTH / max(sum(part.count for part in parts), 1)
    starts = accumulate((part.count * scale for part in parts), initial=0.0)
    blocks = [
        element("rect", x=start, y=0, width=part.count * scale, height=14, class_=f"fill-{part.look}")
        for part, start in zip(parts, starts, strict=False)
        if part.count
    ]
    bar = element(
        "svg", blocks, viewBox=f"0 0 {_BAR_WIDTH} 14", preserveAspectRatio="none", class_="bar", aria_hidden="true"
    )
    return element("div", bar, element("ul", [_legend(part) for part in parts], class_="legend"))


def _legend(part: Part) -> Html:
    swatch = element("span", class_=f"swatch back-{part.look}", aria_hidden="true")
    return element(
        "li", swatch, number(part.count, key=part.key), " ", part.name, class_=None if part.count else "none"
    )


# ---------------------------------------------------------------------------------------------- the page

_DOCTYPE: Final = "<!DOCTYPE html>\n"


@cache
def _style() -> Html:
    return Html(files(__package__).joinpath("style.css").read_text(encoding="utf-8"))


def _policy() -> str:
    """Nothing is loaded, run, framed or sent anywhere; this very style sheet alone applies."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


class Page:
    """One self-contained page in English.

    Args:
        title: What the window and the search of a browser show.
        heading: The answer to the first question of whoever opens it.
        eyebrow: A line above the heading: what this is about.
    """

    def __init__(self, title: str, *, heading: Content, eyebrow: Content = None) -> None:
        self._title = title
        self._top = [element("p", eyebrow, class_="eyebrow") if eyebrow else None, element("h1", heading)]
        self._sections: list[Html] = []
        self._places: list[tuple[str, str]] = []

    def add_to_top(self, *content: Content) -> None:
        """Add what is to be seen at once, below the heading."""
        self._top.append(join(content))

    def add_section(self, heading: str, *content: Content, place: str | None = None) -> None:
        """Add a section.

        Args:
            heading: Its heading.
            content: What is in it.
            place: Its id, for links to it; made of the heading by default.
        """
        place = place or heading.lower().replace(" ", "-")
        self._places.append((place, heading))
        title = element("h2", heading, id=f"{place}-heading")
        self._sections.append(element("section", title, content, id=place, aria_labelledby=f"{place}-heading"))

    def render(self, *foot: Content) -> str:
        """Return the page.

        Args:
            foot: What its last line says.
        """
        links = [element("li", element("a", heading, href=f"#{place}")) for place, heading in self._places]
        ways = element("nav", element("ul", links), aria_label="Sections") if len(links) > 1 else None
        top = element("header", self._top)
        body = element("body", top, ways, element("main", self._sections), element("footer", element("p", foot)))
        return f"{_DOCTYPE}{element('html', self._head(), body, lang='en')}\n"

    def _head(self) -> Html:
        return element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_policy()),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="referrer", content="no-referrer"),
            element("meta", name="robots", content="noindex"),
            element("title", self._title),
            element("style", _style()),
        )


# ---------------------------------------------------------------------------------------------- pages

# page = Page("A load", heading="All 250 rows are done")
# page.add_section("Errors", build_table("Errors", [Column("Rows", "number"), Column("Message")], rows))
# Path("report.html").write_text(page.render(), encoding="utf-8")

__all__ = [
    "Column",
    "Content",
    "Html",
    "Page",
    "Part",
    "build_bar",
    "build_commands",
    "build_facts",
    "build_grouped_table",
    "build_table",
    "element",
    "join",
    "link_to_file",
    "number",
    "quoted",
    "shorten",
]
