"""Free texts: their length, web addresses, and dates of birth."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final

from .checks import Checks
from .problems import Fixed, UnusableCellError

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
        raise UnusableCellError("is not a web address")
    return cell


# ---------------------------------------------------------------------------------------------- dates


# The eight forms: the year first or last, and one of / - . _ between. A time of day behind it is of no matter.
_YEAR_FIRST: Final = re.compile(r"(\d{4})([/._-])(\d{1,2})\2(\d{1,2})(?:[T ]\d{1,2}:\d{2}.*)?", re.ASCII)
_YEAR_LAST: Final = re.compile(r"(\d{1,2})([/._-])(\d{1,2})\2(\d{4})(?:,? \d{1,2}:\d{2}.*)?", re.ASCII)
_NO_DATE: Final = "is not a date in a form that the service reads; write it as YYYY-MM-DD"
_NO_DAY: Final = "is a day that does not exist"


def date_of_birth(cell: str, checks: Checks) -> str | Fixed:
    """Bring a day into the form `1990-09-25`."""
    return _read_day(cell, checks.date_order)


@lru_cache(maxsize=65_536)  # there are not many more birthdays than that
def _read_day(cell: str, order: str | None) -> str | Fixed:
    match = _YEAR_FIRST.fullmatch(cell)
    if match is not None:
        return _day(match[1], match[3], match[4])
    match = _YEAR_LAST.fullmatch(cell)
    if match is None:
        raise UnusableCellError(_NO_DATE)
    return _read_year_last(match[1], match[3], match[4], order)


def _read_year_last(first: str, second: str, year: str, order: str | None) -> str | Fixed:
    if order is None:
        if int(first) > 12:
            raise UnusableCellError(f"{_has_day_first(first, second)}; `date_order='dmy'` reads it so")
        if int(second) <= 12 and first != second:
            raise UnusableCellError(
                "may be month and day, or day and month; `date_order='mdy'` or `date_order='dmy'` decides"
            )
        return _day(year, first, second)
    month, day = (first, second) if order == "mdy" else (second, first)
    if int(month) > 12 >= int(day):
        if order == "mdy":
            raise UnusableCellError(f"{_has_day_first(first, second)}, and is not of the order mdy")
        # A form of the service's own, which can be read in this one way.
        return Fixed(_day(year, day, month), "is read as month, day, year, as it can be read in no other way")
    return _day(year, month, day)


def _has_day_first(first: str, second: str) -> str:
    return "is a day that does not exist" if int(second) > 12 else "has the day first, which the service does not read"


def _day(year: str, month: str, day: str) -> str:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        raise UnusableCellError(_NO_DAY) from None
