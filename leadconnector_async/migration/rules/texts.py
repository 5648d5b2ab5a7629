"""Texts that may be anything, within reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..problems import UnusableCellError

if TYPE_CHECKING:
    from .checks import Checks

# No limit is documented. A name or a town of this length is a note, or rows that a lost quote has swallowed.
_MOST_CHARS: Final = 1_000
_ADDRESS: Final = re.compile(r"(?:https?://)?[^\s/@:?#]+\.[^\s/@:?#.]{2,}\.?(?::\d+)?(?:[/?#]\S*)?", re.I)


def not_too_long(cell: str, checks: Checks) -> str:
    """Refuse a text that no such field can be meant to hold."""
    if len(cell) > _MOST_CHARS:
        raise UnusableCellError(f"is longer than {_MOST_CHARS:,} characters; is it in the right column?")
    return cell


def web_address(cell: str, checks: Checks) -> str:
    """Refuse what is no address on the web; `https://` may be left out, and is not added."""
    if not _ADDRESS.fullmatch(cell):
        raise UnusableCellError("is no web address")
    return cell
