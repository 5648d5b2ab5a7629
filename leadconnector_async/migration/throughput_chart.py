"""A load over time, as a chart and in words."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import fmean

from .page import Chart, Content, Series, build_chart, element
from .throughput import Throughput


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
