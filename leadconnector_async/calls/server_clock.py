"""The server's time: estimated from the `Date` headers of its answers, and read from the stamps of contacts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ..protocol.answers import read_date

CLOCK_TOLERANCE: Final = 2.0
"""Seconds by which the clock that stamps contacts (`dateAdded`, `dateUpdated`) may differ from that of the headers."""

_RESOLUTION: Final = 1.0  # of the header, in seconds


class ServerClock:
    """How far the server's time is ahead of this machine's monotonic clock.

    The header of an answer was made between the call and the answer, so each answer narrows down the difference. The
    date of this machine is not used: it may be wrong, and may be set in the midst of a load.
    """

    __slots__ = ("_at_least", "_at_most", "_text")

    def __init__(self) -> None:
        self._at_least, self._at_most = -math.inf, math.inf  # by how much it is ahead
        self._text = ""

    def believe(self, headers: Mapping[str, str], sent_at: float, answered_at: float) -> None:
        """Learn from an answer; its two moments are those of the monotonic clock."""
        text = headers.get("Date", "")
        if text == self._text:  # the same second: the first answer in it has told nearly all
            return
        self._text = text
        date = read_date(headers)
        if date is not None:
            self._narrow(date - answered_at, date + _RESOLUTION - sent_at)

    def _narrow(self, at_least: float, at_most: float) -> None:
        low, high = max(at_least, self._at_least), min(at_most, self._at_most)
        if low > high:  # this machine slept, or the server's clock was set
            low, high = at_least, at_most
        self._at_least, self._at_most = low, high

    def span(self, at: float) -> tuple[float, float] | None:
        """Return the server's earliest and latest time at a moment of the monotonic clock, in seconds since 1970."""
        return self.span_of(at, at)

    def span_of(self, first: float, last: float) -> tuple[float, float] | None:
        """Return the earliest and the latest time of all that happened between two moments; as `span`."""
        return None if self._at_most == math.inf else (first + self._at_least, last + self._at_most)


def read_time(text: str | None) -> float | None:
    """Read a contact's stamp, in seconds since 1970; None where there is none, or it names no time zone."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if time.tzinfo is None else time.timestamp()
