"""Bring phone numbers to E.164.

A number is sent if it is *possible*: its country code exists, and its length fits. We do not check that numbers of that
form are in use: numbering plans change faster than any table of them, and the service itself refuses only what is
impossible ("too long", "Invalid country calling code").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..errors import ConfigurationError
from .checks import Checks
from .problems import Fixed, UnusableCellError

_E164: Final = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_NATIONAL: Final = re.compile(r"[\d\s().\-/\u00a0\u2010-\u2015]+(?:(?:ext\.?|x|#)\s*\d{1,7})?", re.ASCII | re.I)
_MARKS: Final = re.compile(r"[:;,|\n]")  # at least one of these stands between several numbers
_SEPARATOR: Final = re.compile(r":::|[;,|\n]")
_SPREADSHEET: Final = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.I)
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
_CUT_BY_SPREADSHEET: Final = "was a number in a spreadsheet that has cut its digits; get it from its source again"
_NAMES_NO_COUNTRY: Final = (
    "has no country code: it is sent as it is, and the service takes it for one of the location's country (give "
    "`default_country` to have it checked)"
)


def one_number(cell: str, checks: Checks) -> str | Fixed:
    """Take the first of several numbers."""
    if cell[0] == "'":  # a spreadsheet's mark for text
        cell = cell[1:].strip()
    if _MARKS.search(cell) is None:
        return cell
    parts = map(str.strip, _SEPARATOR.split(cell))
    found = [part for part in parts if sum(map(str.isdecimal, part)) >= _FEWEST_DIGITS]
    if len(found) < 2:
        return found[0] if found else cell
    return Fixed(found[0], "holds several numbers; the first is sent, as the service takes one")


def e164(cell: str, checks: Checks) -> str | Fixed:
    """Bring a number into the form `+16175550100`."""
    country = checks.default_country
    if not (is_international := cell[:1] == "+" or cell[:2] == "00" or "+" in cell[:3]) and country is None:
        return _as_it_stands(cell)
    number = "+" + cell[2:] if cell[:2] == "00" and is_international else cell
    parsed, extension = _parse(number, None if is_international else country)
    if extension:
        return Fixed(parsed, "has an extension, which is left out, as the service keeps none")
    return parsed


def read_as_of(phone: str, country: str | None) -> str:
    """Return a number as the service is likely to store it.

    Args:
        phone: The number.
        country: Of the location, as two letters; the service reads numbers as of there that name no country.
    """
    if phone[:1] == "+" or country is None:
        return phone
    try:
        return _parse(phone, country)[0]
    except (UnusableCellError, ConfigurationError):
        return phone


def _as_it_stands(cell: str) -> Fixed:
    if not _NATIONAL.fullmatch(cell):
        raise UnusableCellError(_CUT_BY_SPREADSHEET if _SPREADSHEET.fullmatch(cell) else "is not a phone number")
    digits = sum(map(str.isdecimal, cell))
    if digits < _FEWEST_DIGITS or digits > _MOST_DIGITS:
        raise UnusableCellError(f"is too {'short' if digits < _FEWEST_DIGITS else 'long'} to be a phone number")
    return Fixed(cell, _NAMES_NO_COUNTRY, "assumed")


@lru_cache(maxsize=8192)  # offices and families share numbers
def _parse(number: str, country: str | None) -> tuple[str, bool]:
    """Return a number in E.164, and whether an extension was left out."""
    try:
        import phonenumbers
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "checking phone numbers needs phonenumberslite: pip install 'leadconnector-async[cli]'"
        ) from error
    if _SPREADSHEET.fullmatch(number):
        raise UnusableCellError(_CUT_BY_SPREADSHEET)
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException as error:
        reason = _PARSE_REASONS.get(error.error_type, "is not a phone number")
        raise UnusableCellError(reason) from None
    fault = _FAULTS.get(phonenumbers.is_possible_number_with_reason(parsed))
    if fault is not None:
        raise UnusableCellError(fault)
    # The digits alone, where nothing else is to be done, as writing them anew is slow.
    text = (
        number if _E164.fullmatch(number) else phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    )
    return text, parsed.extension is not None


# By the library's constants, which are not there until it is asked for: NumberParseException and ValidationResult.
_PARSE_REASONS: Final = {
    0: "begins with a country code that does not exist",
    2: "is too short to be a phone number",
    3: "is too short to be a phone number",
    4: "is too long to be a phone number",
}
_FAULTS: Final = {
    1: "begins with a country code that does not exist",
    2: "is too short to be a phone number of its country",
    3: "is too long to be a phone number of its country",
    4: "lacks its area code",
    5: "has a number of digits that no phone number of its country has",
}
