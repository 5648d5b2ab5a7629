"""The page as a whole: its head, its sections, and its end."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from .html import Content, Html, element, join

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
