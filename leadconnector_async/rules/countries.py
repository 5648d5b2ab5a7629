"""Map the countries that people write to the codes that the service takes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from ..models.normal import normal_letters


def find_country(text: str) -> str | None:
    """Return the code of a country by its code (two or three letters) or one of its names; None where it is none."""
    codes = _codes()
    return codes.get(text.upper()) or codes.get(_plain(text))


def country_codes() -> frozenset[str]:
    """Return the codes that the service takes."""
    return frozenset(_codes().values())


@cache
def _codes() -> dict[str, str]:
    found: dict[str, str] = {}
    table = files(__package__).joinpath("countries.txt").read_text(encoding="utf-8")
    for line in table.splitlines():
        if not line.startswith("#"):
            code, _, names = line.partition(" ")
            found |= {code: code} | {_plain(name): code for name in names.split("; ")}
    return found


def _plain(name: str) -> str:
    """Leave out what people write in several ways: case, accents, points, dashes, "the"."""
    letters = normal_letters(name.casefold(), "NFKD")
    plain = "".join(letter for letter in letters.replace("&", "and") if letter.isalnum())
    return plain.removeprefix("the") if len(plain) > len("the") else plain
