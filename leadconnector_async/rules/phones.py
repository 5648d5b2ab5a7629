"""Bring phone numbers to E.164.

The digits sent are digits of the cell, in its order, without a trunk zero, after a country code. Letters never become
digits, unless the whole cell is a vanity number such as 1-800-FLOWERS.

Where a number can be read in several ways, a reading that is *valid* (a block of numbers that is given out) goes before
one that is only *possible* (its length fits). A number that is possible in its only reading is sent: numbering plans
change faster than any table of them, and the service itself refuses only what is impossible ("too long", "Invalid
country calling code").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, Final

from ..errors import ConfigurationError
from .checks import Checks
from .problems import Fixed, UnusableCellError

_USUAL: Final = re.compile(r"\+?[\d ()\-]{7,20}", re.ASCII)  # nothing stands beside nearly all numbers
_SPREADSHEET: Final = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.I)
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
_CUT_BY_SPREADSHEET: Final = "was a number in a spreadsheet that has cut its digits; get it from its source again"
_NO_NUMBER: Final = "is not a phone number"
_NAMES_NO_COUNTRY: Final = (
    "has no country code: it is sent as it is, and the service takes it for one of the location's country (give "
    "`default_country` to have it checked)"
)
_SEVERAL: Final = "holds several numbers; the first is sent, as the service takes one"
_HAS_EXTENSION: Final = "has an extension, which is left out, as the service keeps none"
_HAS_WORDS: Final = "holds words beside its number, which are left out"
_HAS_MORE_DIGITS: Final = "holds more digits after its number, which are left out"
_WAS_FLOAT: Final = "was a number with decimals, which are left out"
_WAS_VANITY: Final = "spells a part of its number in letters, which are sent as digits"

# ---------------------------------------------------------------------------------------------- out of a cell

_SCHEME: Final = re.compile(r"(?:tel|callto|sms|whatsapp):(?://)?", re.I)
_FLOAT: Final = re.compile(r"(\+?\d{7,15})[.,]0{1,6}", re.ASCII)
_EXTENSION: Final = re.compile(
    r"[\s,;(\-/]?(?:\b(?:extension|extn|ext|durchwahl|poste|anexo|toestel|interno|ankn|dw)\b|(?<![^\W\d_])(?:extension|extn|ext|x)|#)"
    r"[\s.:=]{0,3}\d{1,7}\)?$",
    re.I | re.ASCII,
)
_NOISE: Final = re.compile(r"[^\d \t()\[\].\-/+~_\\]+", re.ASCII)
_LETTER: Final = re.compile(r"[^\W\d_]")
_MISREAD: Final = re.compile(r"(?<![^\W\d_])[OoIl](?=\d)|(?<=\d)[OoIl](?![^\W\d_])")  # for 0 and 1
_ENDS: Final = " \t-./\\~_"
# Toll-free and premium numbers alone are spelled so: "617 555 Mark" is a number and a name.
_VANITY: Final = re.compile(
    r"(?:\+?1[ .\-]?)?\(?(?:8(?:00|33|44|55|66|77|88)|900)\)?[ .\-]{1,3}(?P<nanp>[A-Za-z0-9 .\-]{7,12})"
    r"|0?(?:80[08]|900)[ .\-]{1,3}(?P<other>[A-Za-z0-9 .\-]{4,12})|1[38]00[ .\-]{1,3}(?P<oceania>[A-Za-z0-9 .\-]{6,12})"
)
_VANITY_CHARS: Final = {"nanp": (7, 7), "other": (6, 8), "oceania": (6, 6)}
_KEYPAD: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "22233344455566677778889999")


def one_number(cell: str, checks: Checks) -> str | Fixed:
    """Take the number out of what stands around it, and the first of several."""
    if _USUAL.fullmatch(cell):
        return cell
    text = _SCHEME.sub("", _plain(cell), 1).strip(" \t'\"`")
    if _SPREADSHEET.fullmatch(text):
        raise UnusableCellError(_CUT_BY_SPREADSHEET)
    if (match := _FLOAT.fullmatch(text)) is not None:
        return Fixed(match[1], _WAS_FLOAT)
    number = _EXTENSION.sub("", text, 1)
    if _is_vanity(number):
        return Fixed(number.upper().translate(_KEYPAD), _WAS_VANITY)
    return _first_number(number, has_extension=number != text)


def _plain(cell: str) -> str:
    """Return a cell with the digits and marks of ASCII for those of other scripts and widths."""
    if cell.isascii():
        return cell
    return "".join(char if char.isascii() else _plain_char(char) for char in cell)


@lru_cache(maxsize=1024)
def _plain_char(char: str) -> str:
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if char.isnumeric():  # such as the small 2 of a footnote: no digit of the number
        return ","
    category = unicodedata.category(char)
    if category == "Cf":
        return ""
    if category == "Pd" or char in "\u2212\u30fc":
        return "-"
    if category == "Zs" or char in "\u00b7\u2022":
        return " "
    wide = unicodedata.normalize("NFKC", char)
    return wide if len(wide) == 1 else char


def _is_vanity(text: str) -> bool:
    match = _VANITY.fullmatch(text)
    if match is None or match.lastgroup is None:
        return False
    spelled = "".join(filter(str.isalnum, match[match.lastgroup]))
    fewest, most = _VANITY_CHARS[match.lastgroup]
    letters = "".join(filter(str.isalpha, spelled))
    # In small letters, digits and letters together are a number and a name.
    return fewest <= len(spelled) <= most and len(letters) >= 3 and (letters == spelled or letters.isupper())


def _first_number(text: str, *, has_extension: bool) -> str | Fixed:
    if _MISREAD.search(text):
        raise UnusableCellError("has letters among its digits")
    pieces = [piece for piece in _pieces(text) if _count_digits(piece)]
    numbers = [piece for piece in pieces if _count_digits(piece) >= _FEWEST_DIGITS]
    has_words = _LETTER.search(text) is not None
    if not numbers:
        if len(pieces) != 1 or has_words:
            raise UnusableCellError(_NO_NUMBER)
        return _noted(_trim(pieces[0]), _HAS_EXTENSION if has_extension else "")
    first = _trim(numbers[0])
    if numbers[0] is not pieces[0] and "+" not in first[:2]:
        raise UnusableCellError("has letters or marks among its digits")
    if len(numbers) > 1:
        return Fixed(first, _SEVERAL)
    if has_extension:
        return Fixed(first, _HAS_EXTENSION)
    if pieces[-1] is not numbers[0]:
        return Fixed(first, _HAS_MORE_DIGITS)
    return _noted(first, _HAS_WORDS if has_words else "")


def _noted(number: str, sentence: str) -> str | Fixed:
    return Fixed(number, sentence) if sentence else number


def _pieces(text: str) -> Iterator[str]:
    """Yield what may be numbers of their own: what words and marks part, and what only looks like one number."""
    for piece in _NOISE.split(text):
        for mark in (" / ", "+"):
            parts = piece.split(mark)
            if len(parts) > 1 and all(_count_digits(part) >= _FEWEST_DIGITS for part in parts if part.strip(" (")):
                yield from (mark.strip(" /") + part if number else part for number, part in enumerate(parts))
                break
        else:
            yield piece


def _trim(piece: str) -> str:
    return piece.strip(_ENDS).rstrip("([+" + _ENDS).lstrip(")]" + _ENDS)


def _count_digits(text: str) -> int:
    return sum(map(str.isdecimal, text))


# ---------------------------------------------------------------------------------------------- to E.164


def e164(cell: str, checks: Checks) -> str | Fixed:
    """Bring a number into the form `+16175550100`."""
    country = checks.default_country
    is_international = cell.lstrip(" ([").startswith(("+", "00"))
    if not is_international:
        return _as_it_stands(cell) if country is None else _read_national(cell, country)
    return _read_international("".join(filter(str.isdecimal, cell)).removeprefix("00"))


def read_as_of(phone: str, country: str | None) -> str:
    """Return a number as the service is likely to store it.

    Args:
        phone: The number.
        country: Of the location, as two letters; the service reads numbers as of there that name no country.
    """
    if phone[:1] == "+" or country is None:
        return phone
    try:
        return _Reading(phone, country).possible()
    except (UnusableCellError, ConfigurationError):
        return phone


def _as_it_stands(cell: str) -> Fixed:
    digits = _count_digits(cell)
    if digits < _FEWEST_DIGITS or digits > _MOST_DIGITS:
        raise UnusableCellError(f"is too {'short' if digits < _FEWEST_DIGITS else 'long'} to be a phone number")
    return Fixed(cell, _NAMES_NO_COUNTRY, "assumed")


@lru_cache(maxsize=8192)  # offices and families share numbers
def _read_international(digits: str) -> str:
    reading = _Reading("+" + digits)
    if reading.national[:1] == "0" and not reading.is_valid and (other := reading.without_zero()) is not None:
        return other.text
    return reading.possible()


@lru_cache(maxsize=8192)
def _read_national(cell: str, country: str) -> str | Fixed:
    """Read a number that names no country, or names it without a plus."""
    digits = "".join(filter(str.isdecimal, cell))
    if digits[:1] == "0":
        return _Reading(cell, country).possible()
    national = _read(cell, country)
    if national is not None and national.is_regular:
        return national.text
    abroad = _read("+" + digits)
    if abroad is None or not abroad.is_possible or (national is not None and national.text == abroad.text):
        return _Reading(cell, country).possible()
    return _choose(national, abroad)


def _choose(national: _Reading | None, abroad: _Reading) -> str | Fixed:
    if national is None or not national.is_possible:
        return Fixed(abroad.text, _BEGINS_WITH_CODE)
    # A code of the country itself is more likely than an area of the same digits, which would have its zero.
    is_own = abroad.code == national.code and not national.is_mobile
    is_better = abroad.is_valid and (not national.is_valid or (abroad.is_mobile and not national.is_mobile))
    if is_own or is_better:
        return Fixed(abroad.text, _MAY_BEGIN_WITH_CODE if national.is_valid else _BEGINS_WITH_CODE)
    return Fixed(national.text, _MAY_BE_ABROAD) if abroad.is_valid else national.text


_BEGINS_WITH_CODE: Final = "begins with a country code but no +, and is read as if the + were there"
_MAY_BEGIN_WITH_CODE: Final = (
    "may begin with a country code without its +, or be a number of the default country: it is read as if the + were "
    "there"
)
_MAY_BE_ABROAD: Final = (
    "may be a number of the default country, or begin with a country code without its +: it is read as of the default "
    "country"
)


def _read(number: str, country: str | None = None) -> _Reading | None:
    try:
        return _Reading(number, country)
    except UnusableCellError:
        return None


class _Reading:
    """A number as it is read in one way.

    Args:
        number: The number; with a plus where it begins with a country code.
        country: The country of a number without a plus.

    Raises:
        UnusableCellError: It cannot be read so.
    """

    def __init__(self, number: str, country: str | None = None) -> None:
        self._phonenumbers = phonenumbers = _library()
        try:
            self._parsed = phonenumbers.parse(number, country)
        except phonenumbers.NumberParseException as error:
            raise UnusableCellError(_PARSE_REASONS.get(error.error_type, _NO_NUMBER)) from None
        self._country = country

    @cached_property
    def national(self) -> str:
        """Its digits without the country code."""
        return self._phonenumbers.national_significant_number(self._parsed)  # type: ignore[no-any-return]

    @property
    def code(self) -> int:
        """Its country code."""
        return self._parsed.country_code  # type: ignore[no-any-return]

    @property
    def text(self) -> str:
        """The number in E.164."""
        return f"+{self.code}{self.national}"

    @property
    def is_possible(self) -> bool:
        """Whether there are numbers of this length."""
        return self._phonenumbers.is_possible_number(self._parsed)  # type: ignore[no-any-return]

    @cached_property
    def is_valid(self) -> bool:
        """Whether it is of a block that is given out."""
        is_there = self._country and self._phonenumbers.is_valid_number_for_region(self._parsed, self._country)
        return bool(is_there or self._phonenumbers.is_valid_number(self._parsed))

    @property
    def is_regular(self) -> bool:
        """Whether it is written as people of its country write theirs, and so is hardly anything else."""
        country = self._phonenumbers.PhoneMetadata.metadata_for_region(self._country)
        has_zero = country is not None and country.national_prefix == "0"
        return not has_zero and not self.national.startswith(str(self.code)) and self.is_valid

    @property
    def is_mobile(self) -> bool:
        """Whether it is valid and of a mobile phone."""
        phonenumbers = self._phonenumbers
        return self.is_valid and phonenumbers.number_type(self._parsed) == phonenumbers.PhoneNumberType.MOBILE

    def possible(self) -> str:
        """Return it in E.164.

        Raises:
            UnusableCellError: There is no number of this length.
        """
        fault = _FAULTS.get(self._phonenumbers.is_possible_number_with_reason(self._parsed))
        if fault is not None:
            raise UnusableCellError(fault)
        return self.text

    def without_zero(self) -> _Reading | None:
        """Return it without the first digit after the country code, a zero, if it is valid then."""
        other = _read(f"+{self.code}{self.national[1:]}")
        return other if other is not None and other.is_valid else None


def _library() -> Any:
    try:
        import phonenumbers
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "checking phone numbers needs phonenumberslite: pip install 'leadconnector-async[cli]'"
        ) from error
    return phonenumbers


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
