"""Texts on their way to people: to a terminal, or to a spreadsheet."""

from __future__ import annotations

import re
from typing import Final

# Characters that take no place, or turn the direction of those around them: a text is not what it seems with them.
INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# All control characters but line ends and tabs, which our own sentences hold.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")


def printable(text: str) -> str:
    """Return lines for a terminal: without what would move its cursor, colour it, or turn the order of letters."""
    return INVISIBLE.sub("", _CONTROL.sub("", text))


# In one line, line ends and tabs are no more welcome.
_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """Return a text of any origin so that it can be printed on one line, whole."""
    return " ".join(INVISIBLE.sub("", _BREAKS.sub(" ", text)).split())


def count_of(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun, and what follows where that changes, too: 1 row, 2,000 rows, 1 row has."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


# What makes a spreadsheet calculate a cell, also in full width. A cell may begin anew within one of ours: where a
# spreadsheet takes semicolons or tabs for delimiters, the quotes around ours count for nothing.
_FORMULA: Final = re.compile("(^|[;\t\r\n])([ \u00a0]*[=+@\\-\uff1d\uff0b\uff20\uff0d])")
_NUMBER: Final = re.compile(r"[+-][\d\s().,/-]+", re.ASCII)  # a phone number, too: nothing of it can call a function


# Where semicolons part our cells, no quotes stand around one with a comma.
_FORMULA_ANYWHERE: Final = re.compile("(^|[,;|\t\r\n])([ \u00a0]*[=+@\\-\uff1d\uff0b\uff20\uff0d])")


def neutral_cell(text: str, delimiter: str = ",") -> str:
    """Return a text that no spreadsheet runs as a formula: what begins like one gets an apostrophe before it.

    Args:
        text: The text.
        delimiter: What stands between the cells of its file.
    """
    if _NUMBER.fullmatch(text):
        return text
    return (_FORMULA if delimiter == "," else _FORMULA_ANYWHERE).sub(r"\1'\2", text)


class Secret(str):
    """A text that is not shown where objects are: in the locals of a traceback, in a debugger, in error reports."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'...'"
