"""Reads a page of ours as a browser would, as far as tests need it, and refuses what is not well-formed."""

from __future__ import annotations

from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

VOID = {"br", "link", "meta"}


class PageReader(HTMLParser):
    """A page.

    Attributes:
        ids: The id of each element that has one.
        keys: The attributes of each element that has a `data-key`.
        links: The address of each link, and its text.
        names: Each name of an element.
        headings: The text of each heading, in order.
        commands: The text of each command.
        rows: The text of the cells of each row of all tables.
        rows_of: The same by the section that they are in, headers left out.
        texts: All text, as it is shown.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: set[str] = set()
        self.keys: dict[str, dict[str, str]] = {}
        self.links: list[tuple[str, str]] = []
        self.names: set[str] = set()
        self.headings: list[str] = []
        self.commands: list[str] = []
        self.rows: list[list[str]] = []
        self.rows_of: dict[str, list[list[str]]] = defaultdict(list)
        self._section = ""
        self.texts: list[str] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(page)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), f"an attribute twice: {attrs}"
        assert not [name for name in attributes if name.startswith("on") or name == "style"], attrs
        self.names.add(tag)
        if "id" in attributes:
            assert attributes["id"] not in self.ids, f"twice: {attributes['id']}"
            self.ids.add(attributes["id"])
        if "data-key" in attributes:
            assert attributes["data-key"] not in self.keys, f"twice: {attributes['data-key']}"
            self.keys[attributes["data-key"]] = attributes
        if tag == "section":
            self._section = attributes["id"]
        if tag == "tr":
            self.rows.append([])
            if "thead" not in [name for name, _, _ in self._open]:
                self.rows_of[self._section].append(self.rows[-1])
        if tag not in VOID:
            self._open.append((tag, attributes, []))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        for _, _, texts in self._open:
            texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        opened, attributes, texts = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"
        text = "".join(texts)
        if tag == "a":
            self.links.append((attributes["href"], text))
        elif tag in ("h1", "h2"):
            self.headings.append(text)
        elif tag == "pre":
            self.commands.append(text)
        elif tag in ("td", "th"):
            self.rows[-1].append(text)

    def number(self, key: str) -> float:
        return float(self.keys[key]["value"])

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def read_page(folder: Path) -> PageReader:
    return PageReader((folder / "report.html").read_text(encoding="utf-8"))
