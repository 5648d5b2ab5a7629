"""A chart of areas on top of each other, and a line for what they may reach at most. SVG, drawn here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from .html import Content, Html, element

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
