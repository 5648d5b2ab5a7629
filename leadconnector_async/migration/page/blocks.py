"""What pages are built of: tables, facts, commands, and a bar of shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Literal

from msgspec import Struct

from .html import Content, Html, element

_BAR_WIDTH: Final = 1000


def number(value: float, *, key: str | None = None) -> Html:
    """Return a number as people read it; scripts find it by `data-key`, and as it is in `value`."""
    return element("data", f"{value:,}", value=str(value), data_key=key)


def count_of(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: 1 row, 2,000 rows."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


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
