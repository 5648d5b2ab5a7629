"""Asking the person at the terminal, where there is one."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import suppress
from typing import Final

from .printing import tell

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
