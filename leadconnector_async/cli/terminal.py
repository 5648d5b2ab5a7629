"""Printing that never ends a load: a closed pipe or another encoding costs text, not rows."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from ..bulk.report import SCHEMA, BatchReport, Outcome
from ..migration.steps import StepProgress
from ..protocol.answers import clean_text
from ..protocol.text import count_of, printable
from .flags import with_flags


def accept_any_text() -> None:
    """Let stdout and stderr show what their encoding lacks as escapes, in place of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


_is_for_machines: ContextVar[bool] = ContextVar("is_for_machines", default=False)


@contextmanager
def printing_for(*, machines: bool) -> Iterator[None]:
    """Have what is shown to people go to stderr where a machine reads stdout: it gets one document there alone."""
    before = _is_for_machines.set(machines)
    try:
        yield
    finally:
        _is_for_machines.reset(before)


def show(text: str) -> None:
    """Print a line on stdout at once, on stderr where machines read; where nobody reads any more it is dropped.

    Options that it names in the words of Python become flags.
    """
    show_file(with_flags(text))


def show_file(text: str) -> None:
    """Print the text of a file where `show` prints, without looking for options in it."""
    _print(text, sys.stderr if _is_for_machines.get() else sys.stdout)


def show_document(document: object) -> None:
    """Print the result as JSON on stdout where machines read, else nothing.

    It is ASCII, so that it is JSON whatever the encoding of stdout. `documents` has its schema.
    """
    if _is_for_machines.get():
        found = {"schema": SCHEMA, **msgspec.to_builtins(document, enc_hook=str)}
        _print(json.dumps(found, indent=2), sys.stdout)


def tell(text: str) -> None:
    """Print a line on stderr at once, with flags for options; where nobody reads any more it is dropped."""
    _print(with_flags(text), sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(printable(text), file=stream, flush=True)
    except OSError:
        _let_go(stream)


def _let_go(stream: TextIO) -> None:
    """Send the rest to nowhere; else the text that is kept in the stream would raise again when Python ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


# ---------------------------------------------------------------------------------------------- asking

_YES: Final = frozenset({"y", "yes"})
_LONGEST: Final = 1000


def is_person_there() -> bool:
    """Whether somebody can read a question and answer it."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream is not None and not stream.closed and stream.isatty() for stream in streams)


async def is_agreed(question: str, stop: asyncio.Event) -> bool:
    """Ask for a yes. Anything else is a no: another word, the end of the input, a wish to stop.

    Args:
        question: What to ask, without the choices.
        stop: Set where the user wishes to stop.
    """
    tell(f"{question} [y/N]")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def give(text: bytes) -> None:
        if not answer.done():
            answer.set_result(text)

    def read() -> None:
        try:
            # Not through sys.stdin: a thread that holds on to it as Python ends makes that end an abort.
            text = os.read(0, _LONGEST)
        except OSError:
            text = b""
        with suppress(RuntimeError):  # the loop has ended, as the user wished
            loop.call_soon_threadsafe(give, text)

    threading.Thread(target=read, daemon=True, name="asking").start()
    stopping = asyncio.ensure_future(stop.wait())
    stopping.add_done_callback(lambda _: give(b""))
    try:
        await answer
    finally:
        stopping.cancel()
    return answer.result().decode(errors="replace").strip().casefold() in _YES


# ---------------------------------------------------------------------------------------------- signals

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def calling_on_signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """Call a function in the running loop at each SIGINT or SIGTERM, in place of what they do else."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    for number in _NUMBERS:
        _install(loop, number, interrupt)
    try:
        yield
    finally:
        for number in _NUMBERS:
            _restore(loop, number, before[number])


@contextmanager
def stopping_in_order(stop: asyncio.Event) -> Iterator[None]:
    """Set an event on the first signal, and cancel the task that runs this on the second."""
    work = asyncio.current_task()

    def interrupt() -> None:
        if not stop.is_set():
            tell("\nStopping when the calls in flight have finished. Interrupt again to stop at once.")
            stop.set()
        elif work is not None:
            work.cancel()

    with calling_on_signals(interrupt):
        yield


def _install(loop: asyncio.AbstractEventLoop, number: signal.Signals, interrupt: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, interrupt)
    except NotImplementedError:  # the loop of Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(interrupt))


def _restore(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Any) -> None:
    with suppress(NotImplementedError):
        loop.remove_signal_handler(number)
    if handler is not None:  # else it was none of Python's
        signal.signal(number, handler)


# ---------------------------------------------------------------------------------------------- progress

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

    def update_step(self, progress: StepProgress) -> None:
        """Take note of a call that follows the upserts."""


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

    def update_step(self, progress: StepProgress) -> None:
        """Print a line where the last one is some time ago."""
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            tell(f"{_step(progress)}, {_quota(self._quota_left())}")

    def update(self, outcome: Outcome) -> None:
        """Print a line where the last one is some time ago."""
        self._pace.count()
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS:
            self._told = now
            done = f"{self._report.total}/{count_of(self._total, 'row')}, {self._pace}"
            tell(f"{done}, {_counts(self._report)}, {_quota(self._quota_left())}")


class _PauseColumn(ProgressColumn):
    """Why the load waits for the service, where it does: no outcome comes then that could move the bar."""

    def __init__(self, report: BatchReport) -> None:
        super().__init__()
        self._report = report

    def render(self, task: Task) -> Text:
        paused = self._report.paused
        return Text("" if paused is None else f"paused: {clean_text(paused)}")


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
            _PauseColumn(report),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=total)

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

    def update_step(self, progress: StepProgress) -> None:
        """Move the bar along the step, if its end is known, and describe it."""
        description = f"{_step(progress)}, {_quota(self._quota_left())}"
        if progress.total is None:
            self._progress.update(self._task, description=description)
        else:
            self._progress.update(self._task, total=progress.total, completed=progress.done, description=description)


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


def _step(progress: StepProgress) -> str:
    if progress.total is None:
        return f"{progress.work}: {count_of(progress.done, 'row')}"
    return f"{progress.work}: {progress.done:,}/{count_of(progress.total, 'row')}"


def _quota(left: int | None) -> str:
    return "quota not known yet" if left is None else f"{count_of(left, 'call')} left today"


def clock_text(seconds: float) -> str:
    """Write a time as a clock does."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


# ---------------------------------------------------------------------------------------------- exit codes

STOPPED: Final = 3
INTERRUPTED: Final = 130
