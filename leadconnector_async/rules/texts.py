"""Texts: what surrounds a cell, what stands for nothing, what was decoded wrongly; lengths and web addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from .checks import Checks
from .problems import Action, Fixed, UnusableCellError

# ---------------------------------------------------------------------------------------------- around a cell

# Spaces, and what takes no place and changes nothing at the ends of a text: soft hyphens, fillers, marks of zero width
# and of direction, byte order marks. Variation selectors and tags are not among them: emoji end in these.
_SPACES: Final = "".join(filter(str.isspace, map(chr, range(0x10000)))) + "\x00"
_OF_NO_WIDTH: Final = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u3164\ufeff\uffa0\ufff9\ufffa\ufffb" + "".join(
    map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)))
)
_NOT_SEEN: Final = dict.fromkeys(map(ord, _OF_NO_WIDTH))
_BLANK: Final = _SPACES + _OF_NO_WIDTH
# Words that begin with an apostrophe: 's-Hertogenbosch, 't Hooft, 'n Beetjie.
_CLITIC: Final = re.compile(r"'[A-Za-z]{1,2}[ \-]")


def clean_cell(cell: str) -> str:
    """Return a cell without what surrounds its text: spaces, what nobody sees, a spreadsheet's mark for text."""
    text = cell.strip(_BLANK)
    if text[:1] != "'" or text[-1:] == "'" or _CLITIC.match(text):
        return text
    return text[1:].strip(_BLANK)


def without_invisible(text: str) -> str:
    """Return a text without what takes no place, for values of which that is no part anywhere."""
    return text if text.isascii() else text.translate(_NOT_SEEN)


# ---------------------------------------------------------------------------------------------- nothing

# What systems write where they have nothing, and what a spreadsheet shows for a formula that failed.
_PLACEHOLDERS: Final = frozenset(
    r"n/a #n/a null \n nan none - -- <na> nat (null) <null> "
    "\u2013 \u2014 #nv #n/d #n/b #saknas! #null! #div/0! #value! #wert! #ref! #bezug! #name? #num! #zahl!".split()
)
_MOST_PLACEHOLDER_CHARS: Final = max(map(len, _PLACEHOLDERS))
STANDS_FOR_NOTHING: Final = "stands for nothing"
# What Outlook writes for no gender, in the languages that it speaks here.
_WORDS_FOR_NOTHING: Final = frozenset(
    "unspecified|nicht angegeben|keine angabe|unbestimmt|non précisé|non spécifié|no especificado|sin especificar|"
    "non specificato|não especificado|niet opgegeven|niet gespecificeerd|ospecificerat|ej angivet".split("|")
)


def is_placeholder(cell: str) -> bool:
    """Whether a clean cell is one of the ways in which systems write that they have nothing."""
    return len(cell) <= _MOST_PLACEHOLDER_CHARS and cell.lower() in _PLACEHOLDERS


_NOT_PLAIN: Final = frozenset(
    [*_SPACES, "'", *(word[0] for word in _PLACEHOLDERS), *(word[0].upper() for word in _PLACEHOLDERS)]
)


def is_plain(raw: str) -> bool:
    """Whether nothing here has anything to do with a cell, but to cut off spaces behind it: so it is with nearly all,
    and to know it is quick."""
    return raw != "" and raw.isascii() and raw[0] not in _NOT_PLAIN and "&" not in raw and raw[-1] != "\0"


def no_filler(cell: str, checks: Checks) -> str | Fixed:
    """Leave out a word for nothing that a list of choices offers."""
    return Fixed(None, STANDS_FOR_NOTHING, "empty") if cell.lower() in _WORDS_FOR_NOTHING else cell


# ---------------------------------------------------------------------------------------------- wrongly decoded

_ENTITY: Final = re.compile(r"&(?:[A-Za-z]{2,8}|#\d{1,6}|#[xX][0-9A-Fa-f]{1,5});")
_MOST_LOOKED_AT: Final = 10_000


def notes_of(raw: str, text: str) -> Sequence[tuple[str, Action]]:
    """Return what people should know of a free text: that a letter may have lost the apostrophe before it, and what
    suggests that it was decoded or escaped wrongly before it came here.

    Args:
        raw: The cell.
        text: The same as `clean_cell` returns it.
    """
    if text.isascii() and "&" not in text and raw[:1] != "'":  # as nearly all are
        return ()
    return list(_notes(raw, text))


def _notes(raw: str, text: str) -> Iterator[tuple[str, Action]]:
    if raw[:1] == "'" != text[:1] and text[:1].isalpha():
        yield "begins with an apostrophe, as spreadsheets mark texts, which is left out", "fixed"
    if _ENTITY.search(text):
        yield "holds an HTML entity such as &amp; instead of the character", "sent"
    if "\ufffd" in text:
        yield "holds characters that were lost when it was decoded (U+FFFD); get it from its source again", "sent"
    elif not text.isascii() and _is_mojibake(text[:_MOST_LOOKED_AT]):
        yield "looks as if it was decoded wrongly, as MÃ¼ller for Müller; read the file with another `encoding`", "sent"


@lru_cache(maxsize=8192)  # towns and names repeat
def _is_mojibake(text: str) -> bool:
    try:
        from ftfy.badness import is_bad
    except ModuleNotFoundError:  # a warning less, and no reason to refuse a load
        return False
    return bool(is_bad(text))


# ---------------------------------------------------------------------------------------------- lengths and forms

# No limit is documented. A name or a town of this length is a note, or rows that a lost quote has swallowed.
_MOST_CHARS: Final = 1_000
_ADDRESS: Final = re.compile(r"(?:https?://)?[^\s/@:?#]+\.[^\s/@:?#.]{2,}\.?(?::\d+)?(?:[/?#]\S*)?", re.I)
_WHOLE_FLOAT: Final = re.compile(r"(\d{1,15})\.0{1,6}", re.ASCII)


def without_decimals(cell: str, checks: Checks) -> str | Fixed:
    """Leave out the decimals that a table of numbers gives a code, as in 53111.0."""
    match = _WHOLE_FLOAT.fullmatch(cell) if "." in cell else None
    return cell if match is None else Fixed(match[1], "was a number with decimals, which are left out")


def not_too_long(cell: str, checks: Checks) -> str:
    """Refuse a text that no such field can be meant to hold."""
    if len(cell) > _MOST_CHARS:
        raise UnusableCellError(f"is longer than {_MOST_CHARS:,} characters; is it in the right column?")
    return cell


def web_address(cell: str, checks: Checks) -> str:
    """Refuse what is no address on the web; `https://` may be left out, and is not added."""
    if not _ADDRESS.fullmatch(cell):
        raise UnusableCellError("is not a web address")
    return cell
