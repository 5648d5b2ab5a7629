"""Stop a load of which too many rows fail: what is wrong may be wrong for all that follow."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from ..errors import TooManyFailuresError, UsageError
from ..protocol.text import count_of
from .report import Outcome, RowError

_LEAST_SENT: Final = 50  # before that, a share of the rows says little
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%", re.ASCII)
_ROWS: Final = re.compile(r"\d{1,15}", re.ASCII)


class MaxFailures(Struct, frozen=True, kw_only=True):
    """After how many failed rows a load stops. Rows that were not sent do not count.

    Attributes:
        rows: So many, or None.
        percent: More than that share of the rows that were sent, once there are 50 of them, or None.
        first_alike: So many at the beginning, where all are refused for the same kind of reason, or None.
    """

    rows: int | None = None
    percent: float | None = None
    first_alike: int | None = None


FIRST_ALIKE: Final = MaxFailures(first_alike=_LEAST_SENT)
"""What the command line does where nothing else is wanted."""


def read_max_failures(value: object) -> MaxFailures | None:
    """Read a number of rows, or a share such as `5%`.

    Raises:
        UsageError: It is neither.
    """
    if value is None or isinstance(value, MaxFailures):
        return value
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if _ROWS.fullmatch(text) and int(text):
        return MaxFailures(rows=int(text))
    share = _SHARE.fullmatch(text)
    if share is not None and 0 < float(share[1]) <= 100:
        return MaxFailures(percent=float(share[1]))
    raise UsageError(f"`max_failures` is {value!r}; it must be a number of rows of at least 1, or a share such as '5%'")


class Brake:
    """Counts the rows of one session that were sent, and says when to stop.

    Args:
        limit: After how many failures.
    """

    def __init__(self, limit: MaxFailures) -> None:
        self._limit = limit
        self._sent = self._failed = 0
        self._first: tuple[str, int | None] | None = None
        self._are_alike = True
        self._last = ""

    def note(self, outcome: Outcome) -> TooManyFailuresError | None:
        """Take note of an outcome; return why the load is to stop, or None."""
        if not outcome.has_calls:
            return None
        self._sent += 1
        if outcome.status != "failed" or outcome.error is None:
            self._are_alike = False
        else:
            self._note_failure(outcome.error)
        why = self._why()
        return None if why is None else TooManyFailuresError(f"{why}; the last one: {self._last}")

    def _note_failure(self, error: RowError) -> None:
        self._failed += 1
        self._last = error.message
        kind = error.kind, error.status
        self._first = self._first or kind
        self._are_alike = self._are_alike and kind == self._first

    def _why(self) -> str | None:
        limit = self._limit
        if limit.rows is not None and self._failed >= limit.rows:
            return f"{self._failed:,} of {count_of(self._sent, 'row')} sent failed, and `max_failures` allows fewer"
        if limit.percent is not None and self._sent >= _LEAST_SENT and self._failed * 100 > limit.percent * self._sent:
            sent = count_of(self._sent, "row")
            return f"{self._failed:,} of {sent} sent failed, which is more than {limit.percent:g} %"
        if self._are_alike and self._sent == limit.first_alike:
            sent = count_of(self._sent, "row sent was", "rows sent were")
            return f"the first {sent} all refused for the same kind of reason"
        return None
