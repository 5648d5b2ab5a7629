"""The quota of a location's day: how many calls are left."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from typing import Final

from ..errors import DailyQuotaExceededError
from ..protocol.answers import Quota, clean_text

DAY_SECONDS: Final = 86_400.0
_MARGIN: Final = 1.0  # the service gives the end of its day in whole seconds
_NEXT_DAY_SECONDS: Final = 3600  # an end that moves by more than this is that of another day


def day_spent(location_id: str, resets_in: float, now: float) -> DailyQuotaExceededError:
    """Make the error of a location whose day is spent.

    Args:
        location_id: Whose day.
        resets_in: Seconds until the next.
        now: Seconds since 1970.
    """
    hours, minutes = divmod(round(resets_in / 60), 60)
    when = datetime.fromtimestamp(now + resets_in, UTC)
    return DailyQuotaExceededError(
        f"location {clean_text(location_id)} has spent its calls of this day; "
        f"they start anew in {hours} h {minutes} min, at {when:%Y-%m-%d %H:%M} UTC",
        location_id=location_id,
        resets_in=resets_in,
    )


class Day:
    """The calls left of a location's day: what the service says with each answer, and never more than the caller
    allowed.

    Within a day, `left` only falls: an answer lowers it to what the service says is left, and by one where the service
    says nothing. Whoever sends keeps fewer calls in flight than are left, so that the day lasts for all of them. An
    answer may already count calls that are still in flight; then too few are sent for a moment, never too many.
    """

    __slots__ = ("_daily", "_ends_at", "_is_reported", "_known", "_ours")

    def __init__(self, daily: int | None) -> None:
        self._daily = sys.maxsize if daily is None else daily
        self._known = self._daily  # left as far as the service has said
        self._ours = 0  # calls of ours that are over
        self._ends_at = -math.inf
        self._is_reported = False  # by the last answer

    def tighten(self, daily: int | None) -> None:
        """Allow no more than so many calls a day."""
        if daily is not None and daily < self._daily:
            self._known = min(self._known, daily)
            self._daily = daily

    def is_kept_elsewhere(self, now: float) -> bool:
        """Whether the next answer will say all that it knows; else forgetting it would forget the calls of this day."""
        left = self.left(now)
        return not self._ours or self._daily == sys.maxsize or (self._is_reported and left == self._known)

    def left(self, now: float) -> int:
        """Calls left, those in flight not yet taken off. The first time begins the day."""
        if now >= self._ends_at:
            self._begin(now + DAY_SECONDS)
        return min(self._known, self._daily - self._ours)

    def _begin(self, ends_at: float) -> None:
        self._known, self._ours, self._ends_at = self._daily, 0, ends_at

    def resets_in(self, now: float) -> float:
        """Seconds until the next day."""
        return max(self._ends_at - now, 0.0)

    def count_unseen(self) -> None:
        """Count a call whose answer did not come, or did not say how many are left."""
        self._known -= 1
        self._ours += 1
        self._is_reported = False

    def believe(self, quota: Quota, now: float) -> None:
        """Take over what the service says.

        Answers come out of order: one that was made earlier says that more is left. So the count of one day only falls.
        """
        if quota.daily_remaining is None:
            self.count_unseen()
            return
        ends_at = self._ends_at if quota.daily_reset is None else now + quota.daily_reset + _MARGIN
        if ends_at > self._ends_at + _NEXT_DAY_SECONDS:
            self._begin(ends_at)
        self._ours += 1
        self._known = min(self._known, quota.daily_remaining)
        self._ends_at = ends_at
        self._is_reported = True
