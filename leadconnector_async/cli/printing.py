"""Printing that never ends a load: a closed pipe or another encoding costs text, not rows."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TextIO

import msgspec


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
    """Print a line on stdout at once, on stderr where machines read; where nobody reads any more it is dropped."""
    _print(text, sys.stderr if _is_for_machines.get() else sys.stdout)


def show_document(document: object) -> None:
    """Print the result as JSON on stdout where machines read, else nothing.

    It is ASCII, so that it is JSON whatever the encoding of stdout.
    """
    if _is_for_machines.get():
        _print(json.dumps(msgspec.to_builtins(document, enc_hook=str), indent=2), sys.stdout)


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
