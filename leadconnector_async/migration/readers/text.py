"""From bytes to lines of text, and from values to cells."""

from __future__ import annotations

from io import TextIOWrapper
from pathlib import Path
from typing import Any

import msgspec


def open_text(path: Path) -> TextIOWrapper:
    """Open a file as text."""
    # Bytes that are not UTF-8 become lone surrogates: the row is told apart, and results repeat it byte by byte.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def is_text(text: str) -> bool:
    """Whether a text was read whole: no NUL, and no byte that the encoding does not know."""
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def text_of(value: Any) -> str:
    """Return a value as the cell that it is read from: text as it is, nothing as empty, all else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
