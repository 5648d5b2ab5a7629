"""Printing that never ends a load: a closed pipe or another encoding costs text, not rows."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def accept_any_text() -> None:
    """Let stdout and stderr show what their encoding lacks as escapes, in place of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(text: str) -> None:
    """Print a line on stdout at once; where nobody reads any more it is dropped."""
    _print(text, sys.stdout)


def tell(text: str) -> None:
    """Print a line on stderr at once; where nobody reads any more it is dropped."""
    _print(text, sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        _let_go(stream)


def _let_go(stream: TextIO) -> None:
    """Send the rest to nowhere; else the text that is kept in the stream would raise again when Python ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
