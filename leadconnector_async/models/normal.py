"""Normal forms of emails, phones, tags and birthdays: one for each, whatever form the value came in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache
from typing import Final, Literal

from msgspec import UnsetType

_EXTENSION = re.compile(r"(?:ext(?:ension)?[.=]?|x|#)\s*\d{1,7}\s*$", re.I)  # the service does not store it
_EXTENSION_MARKS = frozenset("xX#")  # an extension has one of these
_NO_DIGITS: Final = bytes(byte for byte in range(128) if not chr(byte).isdigit())
_US_NUMBER_DIGITS = 10  # a national number without `+`; the service, too, reads it as one of the location's country


_PIECE_CHARS: Final = 256


def normal_letters(text: str, form: Literal["NFKC", "NFKD"]) -> str:
    """Return a text in a normal form of Unicode, in time proportional to its length.

    The library sorts the accents of each letter, in time that grows with the square of their number: a cell that is
    nothing but accents would hold up a load. So a long text is normalised in pieces. A letter and its accent may be
    parted where two pieces meet, which changes no word that we look for: they are far shorter than a piece.
    """
    pieces = range(0, len(text), _PIECE_CHARS)
    return "".join(unicodedata.normalize(form, text[start : start + _PIECE_CHARS]) for start in pieces)


def normal_email(email: str | None) -> str:
    """Trim an address and put it into lower case, as the service does before it compares; None is none."""
    return (email or "").strip().lower()


def normal_phone(phone: str) -> str:
    """Reduce a phone number to digits, of its international form where that is plain.

    Two ways to write one number give the same digits as long as both name the country, or both leave it out; a trunk
    zero after the country code counts for nothing. A number
    of ten digits without one counts as one of the United States, which is where the service's default lies; so does
    the 011 that is dialled there before the country.
    """
    if phone[:1] == "+" and phone[1:].isdecimal():
        return without_trunk_zero(phone[1:])
    digits = phone_digits(phone)
    if phone.lstrip().startswith("+"):
        return without_trunk_zero(digits)
    for exit_code in ("00", "011"):
        if digits.startswith(exit_code):
            return without_trunk_zero(digits.removeprefix(exit_code))
    return "1" + digits if len(digits) == _US_NUMBER_DIGITS else digits


# Countries where a zero is dialled before the area at home, and no number that can be called from abroad begins with a
# single one. Not among them is Italy, whose zero belongs to the number. The source is libphonenumber's table.
_WITH_TRUNK_ZERO: Final = frozenset(
    "20 27 31 32 33 40 41 43 44 46 49 51 53 54 55 57 58 60 61 62 63 64 66 81 82 84 86 90 91 92 93 94 95 98 211 212 213 "
    "218 231 232 233 234 243 249 251 252 254 255 256 260 261 262 263 264 265 291 353 355 358 359 370 373 374 380 "
    "381 382 383 385 386 387 389 421 423 593 594 595 596 598 686 850 855 856 880 886 961 962 963 964 966 967 "
    "970 971 972 976 977 994 995 996 375 377 508 590 591".split()
)


def without_trunk_zero(digits: str) -> str:
    """Return the digits of an international number without a trunk zero, as in +44 (0)20."""
    for length in (2, 3):
        if digits[length : length + 1] == "0" and digits[:length] in _WITH_TRUNK_ZERO:
            return digits if digits[length + 1 : length + 2] == "0" else digits[:length] + digits[length + 1 :]
    return digits


def phone_digits(phone: str) -> str:
    """Return the digits of a phone number as they are written, without an extension."""
    if not _EXTENSION_MARKS.isdisjoint(phone):  # few have one, and to look for it closely is slow
        phone = _EXTENSION.sub("", phone)
    if phone.isascii():  # nearly all are, and this takes a tenth of the time
        return phone.encode().translate(None, _NO_DIGITS).decode()
    return "".join(filter(str.isdecimal, phone))


def normal_tags(tags: Iterable[str] | UnsetType | None) -> frozenset[str]:
    """Trim tags and put them into lower case, as the service stores them."""
    return frozenset([normal for tag in tags or () if (normal := tag.strip().lower())])


def sorted_tags(tags: Iterable[str] | UnsetType | None) -> tuple[str, ...]:
    """Return tags as the service stores them, in order, so that equal sets are equal."""
    return _sorted_tags(tuple(tags)) if tags else ()


@lru_cache(maxsize=1024)  # the rows of a file share few sets of tags
def _sorted_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(normal_tags(tags)))


# ---------------------------------------------------------------------------------------------- birthdays

# The service returns a date, an ISO timestamp or milliseconds since 1970, depending on the operation, and takes dates
# in eight forms.

_ISO_DATE_CHARS: Final = len("1980-05-17")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_IN_MILLISECONDS: Final = 86_400_000
_MILLISECONDS: Final = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]", re.ASCII)
_DATE: Final = re.compile(r"(\d{4})([/._-])(\d{2})\2(\d{2})|(\d{2})([/._-])(\d{2})\6(\d{4})", re.ASCII)


def read_birthday(value: object) -> str | None:
    """Return a birthday as `YYYY-MM-DD`, or None where there is none.

    Args:
        value: As received or as sent: a date in one of the service's eight forms, with the month before the day; an ISO
            timestamp, of which the date counts as it is written; or milliseconds since 1970 in UTC (a number or a text,
            negative before 1970).

    Raises:
        ValueError: It is something else. Nothing is guessed.
    """
    try:
        return _read(value)
    except (ValueError, OverflowError):
        raise ValueError("it is no birthday") from None


def _read(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _read_text(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _read_milliseconds(value)
    raise ValueError


def _read_text(text: str) -> str | None:
    if not text:
        return None
    if text[4:5] == text[7:8] == "-" and len(text) == _ISO_DATE_CHARS:  # as the service returns nearly all
        return date.fromisoformat(text).isoformat()
    if (match := _DATE.fullmatch(text)) is not None:
        year, _, month, day, us_month, _, us_day, us_year = match.groups()
        return date(int(year or us_year), int(month or us_month), int(day or us_day)).isoformat()
    if _MILLISECONDS.fullmatch(text):
        return _read_milliseconds(float(text))
    if _TIMESTAMP.match(text):
        return datetime.fromisoformat(text).date().isoformat()
    raise ValueError


def _read_milliseconds(number: float) -> str:
    return date.fromordinal(_EPOCH + int(number // _DAY_IN_MILLISECONDS)).isoformat()
