"""How fast a load was, in a number of steps that a chart can hold, however long it took."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from msgspec import Struct

from ..timeline import Second

_STEPS: Final = 120
_MOST_CUTS: Final = 50
_SHORTEST_CUT: Final = 120.0  # seconds
_FEWEST_WINDOWS: Final = 10  # below this the last window, which is never full, tells too much
_SHARE_OF_CUT: Final = 10  # a pause is cut out where it took longer than such a share of all the rest


class Step(Struct):
    """Some seconds of a load.

    Attributes:
        created: Rows a second.
        updated: Rows a second.
        failed: Rows a second that were sent and are not done.
        tagged: Calls a second after the rows: that set phones, and that add tags, each to many rows.
        limit: The calls a second that the limits allowed; None where there are none.
    """

    created: float = 0.0
    updated: float = 0.0
    failed: float = 0.0
    tagged: float = 0.0
    limit: float | None = None


class Pause(Struct, frozen=True):
    """A time without calls that was cut out.

    Attributes:
        step: The first step after it.
        seconds: How long it was.
    """

    step: int
    seconds: float


class Throughput(Struct, frozen=True):
    """A load over time.

    Attributes:
        began_at: When its first answers came, in seconds since 1970.
        ended_at: When its last ones did.
        seconds: How long that took, without pauses.
        steps: In order, each as long as the others.
        pauses: Those longer than the rest warrants, as between two sittings.
        share: Of the calls that the limits allowed in that time, how many were made, from 0 to 1; None where nothing
            limits them, or it was over too soon to tell.
        left_today: Calls left of the day in the end; None where that is not known.
    """

    began_at: int
    ended_at: int
    seconds: float
    steps: list[Step]
    pauses: list[Pause]
    share: float | None
    left_today: int | None


def measure_throughput(read: Callable[[], Iterable[Second]], sittings: Sequence[float]) -> Throughput | None:
    """Fold the seconds of a load, in constant memory; they are read twice.

    Each row counts for the whole window of the service's that its call uses up. So a load that sends all that a window
    allows at once, and then waits for the next, has the even rate that it has. Calls tried again count for the share
    alone: nobody knows any more when they were.

    Args:
        read: Returns the seconds, in order.
        sittings: When each sitting began, in seconds since 1970.

    Returns:
        None where there was no call.
    """
    axis = _build_axis(read(), sorted(sittings))
    if axis is None:
        return None
    steps = [Step() for _ in range(min(math.ceil(axis.length), _STEPS))]
    width = axis.length / len(steps)
    calls, allowed, last = 0, 0.0, None
    for last in read():
        calls += last.calls
        _spread(steps, last, axis.place(last.second), width)
    assert last is not None  # noqa: S101  (there is an axis)
    _fill_limits(steps)
    window = last.pace.window or 1.0
    allowed = sum((step.limit or 0.0) * width for step in steps)
    allowed += (last.pace.per_second or 0.0) * (window - 1.0)  # the last one is allowed all of its window's calls, too
    is_telling = all(step.limit for step in steps) and axis.length >= _FEWEST_WINDOWS * window
    return Throughput(
        began_at=axis.first,
        ended_at=last.second,
        seconds=axis.length,
        steps=steps,
        pauses=[Pause(min(int(place / width), len(steps) - 1), seconds) for place, seconds in axis.cuts()],
        share=calls / allowed if is_telling else None,
        left_today=last.pace.left_today,
    )


class _Axis:
    """Where each second is, when pauses are cut out."""

    def __init__(self, first: int, last: int, gaps: Sequence[tuple[int, float]]) -> None:
        self.first = first
        self._gaps = gaps  # when each pause ended, and how much of it is cut out
        self._ends = [end for end, _ in gaps]
        self._cut = [*accumulate((seconds for _, seconds in gaps), initial=0.0)]
        self.length = self.place(last) + 1.0

    def place(self, second: int) -> float:
        return second - self.first - self._cut[bisect_right(self._ends, second)]

    def cuts(self) -> Iterator[tuple[float, float]]:
        """Yield the place and the length of each pause."""
        for end, seconds in self._gaps:
            yield self.place(end), seconds


class _Gap(NamedTuple):
    is_between_sittings: bool
    seconds: float
    end: int


def _build_axis(seconds: Iterable[Second], sittings: Sequence[float]) -> _Axis | None:
    first = last = None

    def gaps() -> Iterator[_Gap]:
        nonlocal first, last
        for one, other in pairwise(_twice_the_first(seconds)):
            first = one.second if first is None else first
            last = other.second
            is_between = bisect_left(sittings, one.second + 1) < bisect_left(sittings, other.second + 1)
            yield _Gap(is_between, other.second - one.second - max(one.pace.window or 1.0, 1.0), other.second)

    worth = (gap for gap in gaps() if gap.seconds > (0.0 if gap.is_between_sittings else _SHORTEST_CUT))
    longest = heapq.nlargest(_MOST_CUTS, worth)
    if first is None or last is None:
        return None
    rest = last - first + 1 - sum(gap.seconds for gap in longest)
    cut = [gap for gap in longest if gap.is_between_sittings or gap.seconds * _SHARE_OF_CUT > rest]
    return _Axis(first, last, sorted((gap.end, gap.seconds) for gap in cut))


def _twice_the_first(seconds: Iterable[Second]) -> Iterator[Second]:
    """Have a pair also where there is one second alone."""
    for number, second in enumerate(seconds):
        if not number:
            yield second
        yield second


def _spread(steps: list[Step], second: Second, place: float, width: float) -> None:
    """Add the calls of a second to the steps of the window that they use up."""
    window = max(second.pace.window or 1.0, 1.0)
    for number in range(int(place / width), min(int((place + window) / width) + 1, len(steps))):
        step = steps[number]
        overlap = min(place + window, (number + 1) * width) - max(place, number * width)
        share = max(overlap, 0.0) / window / width
        step.created += second.created * share
        step.updated += second.updated * share
        step.failed += second.failed * share
        step.tagged += second.tagged * share
        step.limit = second.pace.per_second


def _fill_limits(steps: list[Step]) -> None:
    """Where nothing was sent, what was told last holds on."""
    for before, step in pairwise(steps):
        if step.limit is None:
            step.limit = before.limit
