"""Faults on demand: by chance, or the next calls by script."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Final

from .refusals import Refusal

FAULT_KINDS: Final[Mapping[str, str]] = {
    "500": "500 with the framework's JSON body, before the write",
    "502-html": "502 with the edge's HTML page, before the write",
    "502-after": "502 with the edge's HTML page, after the write",
    "503-html": "503 with the edge's HTML page, before the write",
    "401-timeout": '401 "Command timed out" of the gateway, before the write',
    "reset-before": "the connection is reset, nothing is written",
    "reset-after": "the contact is written, then the connection is reset",
    "cut-body": "the contact is written, the answer ends in its midst",
    "429": "429 without Retry-After",
    "429-retry-after": "429 with Retry-After",
    "422-created": "the contact is written, the answer is 422",
    "empty-200": "the contact is written, the answer is 200 and empty",
    "html-200": "the contact is written, the answer is 200 and HTML",
    "hang": "the call is accepted and never answered",
}
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


class Page(Refusal):
    """A refusal whose body is an HTML page of the edge, not JSON of the service."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(status, title)
        self.html = _HTML.format(title)


class Faults:
    """Chooses the fault of each call.

    Args:
        chances: The probability of each kind, from 0 to 1.
        chance: The source of chance.

    Raises:
        ValueError: A kind is unknown or a probability is none.
    """

    def __init__(self, chances: Mapping[str, float], chance: random.Random) -> None:
        for kind, probability in chances.items():
            check_kind(kind)
            if not 0 <= probability <= 1:
                raise ValueError(f"the probability of fault {kind} is {probability}; it must be from 0 to 1")
        self._chances = dict(chances)
        self._chance = chance
        self._script: deque[str | None] = deque()

    def script(self, kind: str | None, times: int) -> None:
        """Let the next calls meet this fault, or none, after what was scripted before."""
        if kind is not None:
            check_kind(kind)
        self._script.extend([kind] * times)

    def next(self) -> str | None:
        """Return the fault of the next call, or None."""
        if self._script:
            return self._script.popleft()
        for kind, probability in self._chances.items():
            if self._chance.random() < probability:
                return kind
        return None


def check_kind(kind: str) -> None:
    """Raise ValueError where there is no such fault."""
    if kind not in FAULT_KINDS:
        raise ValueError(f"unknown fault {kind!r}; known are {', '.join(FAULT_KINDS)}")


def refuse_before_write(kind: str | None) -> None:
    """Raise the answer of a fault that strikes before anything is written."""
    if kind == "500":
        raise Refusal(500, "Internal server error")
    if kind == "401-timeout":
        raise Refusal(401, "Command timed out", error=None)
    if kind in ("502-html", "503-html"):
        raise edge_page(int(kind[:3]))


def edge_page(status: int) -> Page:
    """Return the page that the edge shows when the service behind it fails."""
    return Page(status, {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable"}[status])
