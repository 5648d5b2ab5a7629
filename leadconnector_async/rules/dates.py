"""Days: what people and systems write for a date, and what they write for none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from ..models.normal import normal_letters
from .checks import Checks
from .problems import Fixed, UnusableCellError
from .texts import STANDS_FOR_NOTHING

# The eight forms: the year first or last, and one of / - . _ between. A time of day behind it is of no matter.
_YEAR_FIRST: Final = re.compile(r"(\d{4})([/._-])(\d{1,2})\2(\d{1,2})(?:[T ]\d{1,2}:\d{2}.*)?", re.ASCII)
_YEAR_LAST: Final = re.compile(r"(\d{1,2})([/._-])(\d{1,2})\2(\d{4})(?:,? \d{1,2}:\d{2}.*)?", re.ASCII)
_COMPACT: Final = re.compile(r"([12]\d{3})(\d{2})(\d{2})(?:\.0{1,6})?", re.ASCII)
# Of five digits, as one of four may be a year: from 1927 on.
_SERIAL: Final = re.compile(r"([1-9]\d{4})(?:\.\d{1,20})?", re.ASCII)
_SERIAL_ZERO: Final = date(1899, 12, 30)
# What databases and Outlook write for no date, and what Excel shows for zero.
_NOTHING: Final = re.compile(
    r"0+|0{1,4}([/._-])0{1,2}\1(?:0{4}|00?)(?:[T ]00?:00.*)?|1/0/(?:19)?00|00\.01\.(?:19)?00|1900-01-00.*", re.ASCII
)
_WITHOUT_YEAR: Final = re.compile(r"--?\d\d-?\d\d|\d{1,2}[/._-]\d{1,2}\.?", re.ASCII)
_SHORT_YEAR: Final = re.compile(r"\d{1,2}([/._-])\d{1,2}\1\d{2}(?:,? \d{1,2}:\d{2}.*)?", re.ASCII)
_NO_DATE: Final = "is not a date in a form that the service reads; write it as YYYY-MM-DD"
_NO_DAY: Final = "is a day that does not exist"
_LACKS_YEAR: Final = "is a birthday without a year, and the service takes whole dates"
_HAS_SHORT_YEAR: Final = "has a year of two digits, which may be of two centuries; write it with four"
_WAS_SERIAL: Final = "was the number of a day in a spreadsheet, and is read as that day"

_FIRST: Final = "1900-01-02"  # the day before is what systems write for no date
_YEAR_OF_NONE: Final = "1604-"  # what Apple writes for no year


def calendar_day(cell: str, checks: Checks) -> str | Fixed:
    """Bring a day into the form `1990-09-25`."""
    return _read_day(cell, checks.date_order)


def birthday(cell: str, checks: Checks) -> str:
    """Refuse a day on which nobody was born who is alive."""
    if cell >= _FIRST:
        if cell > (datetime.now(UTC).date() + timedelta(days=1)).isoformat():  # it may be tomorrow already
            raise UnusableCellError("lies in the future, and so is not a birthday")
        return cell
    if cell.startswith(_YEAR_OF_NONE):
        raise UnusableCellError(_LACKS_YEAR)
    raise UnusableCellError(f"lies before {_FIRST}, as what systems write for no date")


@lru_cache(maxsize=65_536)  # there are not many more birthdays than that
def _read_day(cell: str, order: str | None) -> str | Fixed:
    if _NOTHING.fullmatch(cell):
        return Fixed(None, STANDS_FOR_NOTHING, "empty")
    if (match := _YEAR_FIRST.fullmatch(cell)) is not None:
        return _day(match[1], match[3], match[4])
    if (match := _YEAR_LAST.fullmatch(cell)) is not None:
        return _read_year_last(match[1], match[3], match[4], order)
    if (match := _COMPACT.fullmatch(cell)) is not None:
        return _day(match[1], match[2], match[3])
    if (match := _SERIAL.fullmatch(cell)) is not None:
        return Fixed((_SERIAL_ZERO + timedelta(days=int(match[1]))).isoformat(), _WAS_SERIAL)
    return _read_words(cell)


# ---------------------------------------------------------------------------------------------- with words

_MOST_CHARS: Final = 80
_TOKEN: Final = re.compile(r"\d{1,2}:\d\d|\d+|[a-z]+", re.ASCII)
# English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish; without accents.
_MONTH_NAMES: Final = """
    jan january januar janner jaenner janvier janv enero ene gennaio gen genn janeiro januari
    feb february februar febr feber fevrier fevr fev febrero febbraio febb fevereiro februari
    mar march marz maerz mrz mars marzo marco maart mrt
    apr april avril avr abril abr aprile
    may mai mayo maggio mag maio mei maj
    jun june juni juin junio giugno giu junho
    jul july juli juillet juil julio luglio lug julho
    aug august aout agosto ago ag agos augustus augusti
    sep sept september septembre septiembre setiembre settembre sett set setembro
    oct october oktober okt octobre octubre ottobre ott outubro out
    nov november novembre noviembre novembro
    dec december dezember dez decembre diciembre dic dicembre dezembro
"""
_MONTHS: Final[Mapping[str, int]] = {
    name: number for number, line in enumerate(_MONTH_NAMES.strip().splitlines(), 1) for name in line.split()
}
_WEEKDAYS: Final = """
    mon monday tue tues tuesday wed wednesday thu thur thurs thursday fri friday sat saturday sun sunday
    mo montag di dienstag mi mittwoch do donnerstag fr freitag sa samstag sonnabend so sonntag
    lun lundi mar mardi mer mercredi jeu jeudi ven vendredi sam samedi dim dimanche
    lunes martes mie miercoles jue jueves vie viernes sab sabado dom domingo
    lunedi martedi mercoledi giovedi gio venerdi sabato domenica
    seg segunda ter terca qua quarta qui quinta sex sexta feira
    ma maandag dinsdag wo woensdag donderdag vr vrijdag za zaterdag zo zondag
    man mandag mandagen tis tisdag ons onsdag tor tors torsdag fre fredag lor lordag son sondag
"""
_FILLERS: Final = "st nd rd th er re o a e of the de del di den der d do le el il em en am a t"
_SILENT: Final = frozenset([*_WEEKDAYS.split(), *_FILLERS.split()])


def _read_words(cell: str) -> str:
    """Read a day whose month is a word."""
    tokens = _TOKEN.findall(normal_letters(cell[:_MOST_CHARS], "NFKD").encode("ascii", "ignore").decode().lower())
    clock = next((place for place, token in enumerate(tokens) if ":" in token), len(tokens))
    numbers = [token for token in tokens[:clock] if token.isdecimal()]
    words = [token for token in tokens[:clock] if token.isalpha()]
    if not words or len(cell) > _MOST_CHARS:
        raise UnusableCellError(_fault_of(cell))
    if clock < len(tokens) and len(numbers) == 1:  # as in Tue Sep 25 00:00:00 1990
        numbers += [token for token in tokens[clock:] if len(token) == 4 and token.isdecimal()][:1]
    named = [place for place, word in enumerate(words) if word in _MONTHS]
    named = named[1:] if len(named) == 2 and words[named[0]] == "mar" else named  # it is also a Tuesday
    if len(named) != 1 or not _SILENT.issuperset(word for place, word in enumerate(words) if place != named[0]):
        raise UnusableCellError(_NO_DATE)
    return _day_of(numbers, _MONTHS[words[named[0]]])


def _day_of(numbers: list[str], month: int) -> str:
    long = [number for number in numbers if len(number) == 4]
    short = [number for number in numbers if len(number) < 3]
    if len(long) == len(short) == 1 and len(numbers) == 2:
        return _day(long[0], str(month), short[0])
    if len(numbers) == len(short) == 1:
        raise UnusableCellError(_LACKS_YEAR)
    raise UnusableCellError(_HAS_SHORT_YEAR if len(numbers) == len(short) == 2 else _NO_DATE)


def _fault_of(cell: str) -> str:
    if _WITHOUT_YEAR.fullmatch(cell):
        return _LACKS_YEAR
    return _HAS_SHORT_YEAR if _SHORT_YEAR.fullmatch(cell) else _NO_DATE


# ---------------------------------------------------------------------------------------------- in digits


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
