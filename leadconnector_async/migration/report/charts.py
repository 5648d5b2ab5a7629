"""A chart of areas on top of each other, and a line for what they may reach at most. SVG, drawn here."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Final, NamedTuple

from msgspec import Struct

from ...run.timeline import Second
from .html import Content, Html, element

# ---------------------------------------------------------------------------------------------- throughput

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
        pauses: Those longer than the rest warrants, as between two sessions.
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


def measure_throughput(read: Callable[[], Iterable[Second]], sessions: Sequence[float]) -> Throughput | None:
    """Fold the seconds of a load, in constant memory; they are read twice.

    Each row counts for the whole window of the service's that its call uses up. So a load that sends all that a window
    allows at once, and then waits for the next, has the even rate that it has. Retried calls count for the share
    alone: nobody knows any more when they were.

    Args:
        read: Returns the seconds, in order.
        sessions: When each session began, in seconds since 1970.

    Returns:
        None where there was no call.
    """
    axis = _build_axis(read(), sorted(sessions))
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
    is_between_sessions: bool
    seconds: float
    end: int


def _build_axis(seconds: Iterable[Second], sessions: Sequence[float]) -> _Axis | None:
    first = last = None

    def gaps() -> Iterator[_Gap]:
        nonlocal first, last
        for one, other in pairwise(_twice_the_first(seconds)):
            first = one.second if first is None else first
            last = other.second
            is_between = bisect_left(sessions, one.second + 1) < bisect_left(sessions, other.second + 1)
            yield _Gap(is_between, other.second - one.second - max(one.pace.window or 1.0, 1.0), other.second)

    worth = (gap for gap in gaps() if gap.seconds > (0.0 if gap.is_between_sessions else _SHORTEST_CUT))
    longest = heapq.nlargest(_MOST_CUTS, worth)
    if first is None or last is None:
        return None
    rest = last - first + 1 - sum(gap.seconds for gap in longest)
    cut = [gap for gap in longest if gap.is_between_sessions or gap.seconds * _SHARE_OF_CUT > rest]
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


_WIDTH, _HEIGHT = 1000, 220
_HEAD_ROOM: Final = 1.08


class Series(Struct, frozen=True):
    """One of the things that are shown.

    Attributes:
        name: What it is.
        look: Its class, which gives its colour.
        values: One for each step.
    """

    name: str
    look: str
    values: Sequence[float]


class Chart(Struct, frozen=True):
    """What a chart shows.

    Attributes:
        title: What it shows, in which unit.
        summary: The same as one would tell it over the phone, for those who do not see it.
        series: From the bottom up; of nothing but zeros they are left out.
        labels: What to write below it, from its left to its right end.
        limit: What they may reach together, one for each step, None where nothing limits them.
        limit_name: What that is.
        cuts: Between which steps time was left out: the number of the step after it.
    """

    title: str
    summary: str
    series: Sequence[Series]
    labels: Sequence[str]
    limit: Sequence[float | None] = ()
    limit_name: str = "limit"
    cuts: Sequence[int] = ()


def build_chart(chart: Chart) -> Html:
    """Draw a chart. The text is HTML beside the drawing, so that it is as readable on a phone as on a wall."""
    series = [one for one in chart.series if any(one.values)]
    heights = [sum(column) for column in zip(*(one.values for one in series), strict=True)]
    limits = [limit for limit in chart.limit if limit is not None]
    top = _round_up(max([*heights, *limits, 0.0]) * _HEAD_ROOM)
    drawing = element(
        "svg",
        [_line(_HEIGHT * part, "grid") for part in (0.0, 0.5, 1.0)],
        _areas(series, top),
        _steps(chart.limit, top),
        [_cut(step / max(len(heights), 1)) for step in chart.cuts],
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{chart.title}. {chart.summary}",
    )
    scale = element(
        "div", [element("span", _tick(top * part)) for part in (1.0, 0.5, 0.0)], class_="scale", aria_hidden="true"
    )
    below = element("div", [element("span", label) for label in chart.labels], class_="below")
    return element(
        "figure",
        element("figcaption", element("strong", chart.title), element("span", chart.summary)),
        element("div", scale, drawing, below, class_="plot"),
        element("ul", _legend(series, chart.limit_name if limits else None), class_="legend"),
    )


def _legend(series: Iterable[Series], limit_name: str | None) -> list[Content]:
    shown = [(one.name, f"swatch back-{one.look}") for one in series]
    if limit_name is not None:
        shown.append((limit_name, "swatch dash"))
    return [element("li", element("span", class_=look, aria_hidden="true"), name) for name, look in shown]


def _round_up(value: float) -> float:
    """Return the next number that is easy to halve."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value * (1 - 1e-9))


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _line(y: float, look: str) -> Html:
    return element("path", d=f"M0 {y:g}H{_WIDTH}", class_=look)


def _cut(share: float) -> Html:
    return element("path", d=f"M{share * _WIDTH:g} 0V{_HEIGHT}", class_="cut")


def _areas(series: Sequence[Series], top: float) -> list[Html]:
    """Draw each series upon those before it."""
    if not series:
        return []
    floor = [0.0] * len(series[0].values)
    areas = []
    for one in series:
        ceiling = [below + value for below, value in zip(floor, one.values, strict=True)]
        outline = [*_corners(ceiling, top), *reversed(_corners(floor, top))]
        areas.append(element("path", d=f"M{'L'.join(outline)}Z", class_=f"fill-{one.look}"))
        floor = ceiling
    return areas


def _corners(values: Sequence[float], top: float) -> list[str]:
    """Return the corners of steps: each value holds for the whole of its step."""
    width = _WIDTH / max(len(values), 1)
    corners = []
    for step, value in enumerate(values):
        y = _HEIGHT * (1 - value / top)
        corners += [f"{step * width:.5g} {y:.5g}", f"{(step + 1) * width:.5g} {y:.5g}"]
    return corners


def _steps(values: Sequence[float | None], top: float) -> Html | None:
    """Draw the line of the limit, with gaps where there is none."""
    width = _WIDTH / max(len(values), 1)
    pieces = [
        f"M{step * width:.5g} {_HEIGHT * (1 - value / top):.5g}h{width:.5g}"
        for step, value in enumerate(values)
        if value is not None
    ]
    return element("path", d="".join(pieces), class_="limit") if pieces else None


# ---------------------------------------------------------------------------------------------- a load over time


def show_throughput(told: Throughput) -> list[Content]:
    """Return a chart of rows a second, and what it leaves out."""
    steps = told.steps
    chart = Chart(
        title=f"{_what(told)} a second, by what came of them",
        summary=_summary(told),
        series=[
            Series("created", "created", [step.created for step in steps]),
            Series("updated", "updated", [step.updated for step in steps]),
            Series("failed or unknown", "failed", [step.failed for step in steps]),
            Series("calls that set phones, or add tags to many rows", "tagged", [step.tagged for step in steps]),
        ],
        labels=[f"{_clock(told.began_at)}", f"{_clock(told.ended_at)} UTC"],
        limit=[step.limit for step in steps],
        limit_name="calls that the limits allow",
        cuts=[pause.step for pause in told.pauses],
    )
    return [build_chart(chart), _pauses(told)]


def _what(told: Throughput) -> str:
    return "Calls" if any(step.tagged for step in told.steps) else "Rows"


def _summary(told: Throughput) -> str:
    paces = [step.created + step.updated + step.failed + step.tagged for step in told.steps]
    share = "" if told.share is None else f" The calls made were {told.share:.0%} of those that the limits allow."
    return f"{_rate(fmean(paces))} a second on average, {_rate(max(paces))} at most.{share}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _pauses(told: Throughput) -> Content:
    if not told.pauses:
        return None
    lengths = ", ".join(duration(pause.seconds) for pause in told.pauses)
    return element(
        "p", f"At the dotted lines nothing was sent for a time, which is left out: {lengths}.", class_="quiet"
    )


def _clock(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return a time as people say it: 20.3 s, 4 min 5 s, 2 h 10 min, 3 d 4 h."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    whole = round(seconds)
    largest = next(number for number, (_, length) in enumerate(units) if whole >= length)
    parts = []
    for name, length in units[largest : largest + 2]:
        count, whole = divmod(whole, length)
        parts += [f"{count} {name}"] if count else []
    return " ".join(parts)
