"""How far a load is: a bar where a person looks on, plain lines where not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

from ..report import BatchReport, Outcome
from .printing import tell

_LINE_SECONDS: Final = 5.0


class Silent:
    """No progress."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, outcome: Outcome) -> None:
        """Take note of one more outcome."""

    def count_phones(self, done: int, total: int) -> None:
        """Take note of how many phones are set, after the rows."""

    def add_tagged(self, rows: int) -> None:
        """Take note of rows that got their tags."""


class Pace:
    """How fast a load is, and how long it will take.

    Args:
        total: Rows in all.
        report: Where they are counted.
        most_per_second: What the rate limit allows; a first window goes at once, and says nothing of the others.
    """

    def __init__(self, total: int, report: BatchReport, most_per_second: float) -> None:
        self._total = total
        self._report = report
        self._most = most_per_second
        self._began = time.monotonic()
        self._done = 0

    def count(self) -> None:
        """Take note of one more row; those of earlier runs say nothing of the pace."""
        self._done += 1

    def __str__(self) -> str:
        rate = min(self._done / max(time.monotonic() - self._began, 0.1), self._most)
        left = (self._total - self._report.total) / rate if rate else 0.0
        return f"{rate:.1f} a second, {clock_text(left)} to go"


class Lines(Silent):
    """A line every few seconds, on stderr."""

    def __init__(self, total: int, report: BatchReport, pace: Pace, quota_left: Callable[[], int | None]) -> None:
        self._total = total
        self._report = report
        self._pace = pace
        self._quota_left = quota_left
        self._told = time.monotonic()
        self._tagged = 0

    def add_tagged(self, rows: int) -> None:
        """Print a line where the last one is some time ago."""
        self._tagged += rows
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            tell(_tags_added(self._tagged, self._quota_left()))

    def update(self, outcome: Outcome) -> None:
        """Print a line where the last one is some time ago."""
        self._pace.count()
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            done = f"{self._report.total}/{self._total} rows, {self._pace}"
            tell(f"{done}, {_counts(self._report)}, {_quota(self._quota_left())}")

    def count_phones(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            tell(f"{_phones(done, total)}, {_quota(self._quota_left())}")


class Bar(Silent):
    """A bar, on a terminal."""

    def __init__(self, total: int, report: BatchReport, pace: Pace, quota_left: Callable[[], int | None]) -> None:
        self._report = report
        self._pace = pace
        self._quota_left = quota_left
        self._progress = RichProgress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=total)
        self._tagged = 0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, outcome: Outcome) -> None:
        """Move the bar; it is drawn some times a second."""
        self._pace.count()
        description = f"{self._pace}, {_counts(self._report)}, {_quota(self._quota_left())}"
        self._progress.update(self._task, completed=self._report.total, description=description)

    def count_phones(self, done: int, total: int) -> None:
        description = f"{_phones(done, total)}, {_quota(self._quota_left())}"
        self._progress.update(self._task, total=total, completed=done, description=description)

    def add_tagged(self, rows: int) -> None:
        """Say how many rows have their tags."""
        self._tagged += rows
        self._progress.update(self._task, description=_tags_added(self._tagged, self._quota_left()))


def open_progress(
    total: int, report: BatchReport, most_per_second: float, quota_left: Callable[[], int | None], *, is_wanted: bool
) -> Silent:
    """Choose how to tell of progress: a bar on a terminal, else lines, or nothing where it is not wanted."""
    if not is_wanted:
        return Silent()
    pace = Pace(total, report, most_per_second)
    kind = Bar if sys.stderr.isatty() else Lines
    return kind(total, report, pace, quota_left)


def _counts(report: BatchReport) -> str:
    done = f"{report.created} created, {report.updated} updated, {report.failed} failed"
    return done + (f", {report.unknown} unknown" if report.unknown else "")


def _phones(done: int, total: int) -> str:
    return f"{done}/{total} phones set that rows share"


def _tags_added(rows: int, left: int | None) -> str:
    return f"adding tags: {rows:,} rows have theirs, {_quota(left)}"


def _quota(left: int | None) -> str:
    return "quota not known yet" if left is None else f"{left:,} calls left today"


def clock_text(seconds: float) -> str:
    """Write a time as a clock does."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
