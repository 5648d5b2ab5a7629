"""Email addresses."""

from __future__ import annotations

import re
from typing import Final

from ..errors import ConfigurationError
from .checks import Checks
from .problems import Fixed, LeftOutError, UnusableCellError
from .texts import without_invisible

# What nearly all addresses are like. Whatever this takes the library takes, too; it only takes ten times as long.
_PLAIN: Final = re.compile(
    r"(?![^@]{65})[A-Za-z0-9_+-]{1,64}(?:\.[A-Za-z0-9_+-]{1,64})*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
# The same in half the time, where nothing can be too long.
_SHORT: Final = re.compile(
    r"[A-Za-z0-9_+-]++(?:\.[A-Za-z0-9_+-]++)*+@(?:[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+\.)++[A-Za-z]{2,63}"
)
_MOST_SHORT_CHARS: Final = 64
_MOST_CHARS: Final = 254
_IN_ANGLES: Final = re.compile(r"[^<>]*+<\s*+([^<>\s@]++@[^<>\s]++)\s*+>[^<>]*+")
_IN_BRACKETS: Final = re.compile(r"\([^()]{0,100}\)")
_BETWEEN: Final = re.compile(r"\s*(?::::|[;,|\s])\s*")
_SCHEME: Final = re.compile(r"(?:mailto|smtp|e-?mail):", re.I)
_BEFORE: Final = " \t'\"`,;:<>()[]"
_BEHIND: Final = _BEFORE + "."
# The names by which Exchange and its ancestors know their own mailboxes.
_OF_EXCHANGE: Final = re.compile(r"(?:(?:ex|x500):)?/o=.*|imceaex-.*", re.I | re.S)
_EXCHANGE_BEGINS: Final = frozenset("iI")  # of those of its names that could pass for an address


def email_address(cell: str, checks: Checks) -> str | Fixed:
    """Take an address out of a cell, and refuse what is none."""
    if cell[:1] not in _EXCHANGE_BEGINS and _is_usual(cell):
        return cell
    found = one_address(cell, checks)
    address = found.value if isinstance(found, Fixed) else found
    email_syntax(address, checks)
    return found


def one_address(cell: str, checks: Checks) -> str | Fixed:
    """Take the address out of what may stand around it, and the first of several."""
    if _OF_EXCHANGE.fullmatch(cell):
        raise LeftOutError("is the name of a mailbox inside Exchange, not an email address")
    text = without_invisible(cell)
    found = _first_of(_IN_BRACKETS.sub(" ", text))
    if text == cell or (isinstance(found, str) and "@" not in found):
        return found
    return Fixed(found, _HAS_INVISIBLE) if isinstance(found, str) else found


_HAS_INVISIBLE: Final = "holds characters that nobody sees, which are left out"


def _first_of(cell: str) -> str | Fixed:
    cell = cell.strip()
    is_bare = cell[:1] not in _BEFORE and cell[-1:] not in _BEHIND
    if cell.count("@") == 1 and is_bare and ":" not in cell and "<" not in cell:
        return cell
    found = [address for part in re.split(r"(?<=>)\s*[;,]?\s*|:::|[;,|]", cell) for address in _addresses(part)]
    if not found:
        return cell
    if len({address.lower() for address in found}) > 1:
        return Fixed(found[0], "holds several addresses; the first is sent, as the service takes one")
    return found[0]


def _addresses(part: str) -> list[str]:
    angles = _IN_ANGLES.fullmatch(part.strip())
    if angles is not None:
        return [_bare(angles[1])]
    return [_bare(word) for word in _BETWEEN.split(part) if "@" in word]


def _bare(word: str) -> str:
    return _SCHEME.sub("", word.lstrip(_BEFORE), 1).partition("?")[0].lstrip(_BEFORE).rstrip(_BEHIND)


def email_syntax(cell: str, checks: Checks) -> str:
    """Refuse what is no address; whether anybody reads mail there is not asked."""
    return cell if _is_usual(cell) else _ask_library(cell)


def _is_usual(cell: str) -> bool:
    if len(cell) <= _MOST_SHORT_CHARS and _SHORT.fullmatch(cell):
        return True
    return len(cell) <= _MOST_CHARS and "--" not in cell and _PLAIN.fullmatch(cell) is not None


def _ask_library(cell: str) -> str:
    try:
        from email_validator import EmailNotValidError, validate_email
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "checking addresses needs email-validator: pip install 'leadconnector-async[cli]'"
        ) from error
    try:
        validate_email(cell, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError as error:
        reason = str(error)
        raise UnusableCellError(f"is not an email address ({reason[0].lower()}{reason[1:].rstrip('.')})") from None
    return cell
