"""Ctrl-C and SIGTERM as a call in the loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

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
