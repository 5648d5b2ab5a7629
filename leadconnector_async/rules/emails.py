"""Email addresses."""

from __future__ import annotations

import re
from typing import Final

from ..errors import ConfigurationError
from .checks import Checks
from .problems import Fixed, UnusableCellError

# What nearly all addresses are like. Whatever this takes the library takes, too; it only takes ten times as long.
_PLAIN: Final = re.compile(
    r"(?![^@]{65})[A-Za-z0-9_+-]{1,64}(?:\.[A-Za-z0-9_+-]{1,64})*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_MOST_CHARS: Final = 254
_IN_ANGLES: Final = re.compile(r"[^<>]*+<\s*+([^<>\s@]++@[^<>\s]++)\s*+>")
_BETWEEN: Final = re.compile(r"\s*(?::::|[;,|\s])\s*")


def one_address(cell: str, checks: Checks) -> str | Fixed:
    """Take the address out of what may stand around it, and the first of several."""
    if cell.count("@") == 1 and not cell.endswith((">", ";", ",")) and ":" not in cell:
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
        return [angles[1]]
    words = (word.removeprefix("mailto:") for word in _BETWEEN.split(part))
    return [word for word in words if "@" in word]


def email_syntax(cell: str, checks: Checks) -> str:
    """Refuse what is no address; whether anybody reads mail there is not asked."""
    if len(cell) <= _MOST_CHARS and "--" not in cell and _PLAIN.fullmatch(cell):
        return cell
    return _ask_library(cell)


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
