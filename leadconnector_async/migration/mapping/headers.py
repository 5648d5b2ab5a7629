"""Headers that say by themselves which field their column is for, whoever wrote them and in which language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct

from ...models.fields import UPSERT_FIELDS
from ...models.normal import normal_letters
from ...rules.consent import CHANNELS, find_consent, plain
from .targets import ADDRESS, CUSTOM_PREFIX, Target, consent_target, read_target

RESULT_COLUMNS: Final = ("status", "error", "trace_id")
"""What `failed.csv` adds; a file that ends in these is one of ours, and they are no input."""


def _targets() -> dict[str, tuple[Target, int]]:
    """Return what each header is for, and its place among the headers for that: the lowest is preferred."""
    found = {plain(field.wire): (Target(field.wire), 0) for field in UPSERT_FIELDS}
    for field in UPSERT_FIELDS:
        found |= {name: (Target(field.wire), rank) for rank, name in enumerate(field.headers.split(), 1)}
    for channel in CHANNELS:
        target = Target("dndSettings", channel)
        found |= {f"dnd{channel.lower()}": (target, 0), f"{channel.lower()}dnd": (target, 1)}
    return found


_TARGETS: Final = _targets()


def find_target(name: str) -> tuple[Target, int] | None:
    """Return what a header's column is for and its place among all names for that, or None where it does not say."""
    if name.lower().startswith(CUSTOM_PREFIX):
        key = name[len(CUSTOM_PREFIX) :].strip()
        return (Target("customFields", key), 0) if key else None
    found = _TARGETS.get(plain(name))
    if found is not None:
        return found
    consent = find_consent(name)
    if consent is not None:
        return (consent_target(consent), 0) if consent.channels else None
    return next((found for language in languages() if (found := language.find(name)) is not None), None)


def is_known(name: str) -> bool:
    """Whether a header is one that a field is known for."""
    return find_target(name) is not None


_MOST_CELLS: Final = 400
_WHO: Final = frozenset(("email", "phone"))


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether a row is the header of contacts: two fields or more are known in it, or it is one for email or phone."""
    names = [cell.strip() for cell in cells[:_MOST_CELLS] if cell.strip()]
    if any("@" in name or len(name) > _MOST_CHARS for name in names):
        return False
    fields = {found[0].slot for name in names if (found := find_target(name)) is not None}
    return len(fields) > 1 or (len(names) == 1 and not _WHO.isdisjoint(fields))


def column_key(name: str) -> str:
    """Return what headers for the same field share: its name on the wire, `custom:KEY`, or the header where unknown."""
    found = find_target(name)
    return name if found is None else found[0].slot


# ---------------------------------------------------------------------------------------------- languages

_LANGUAGES: Final = ("en", "de", "fr", "es", "it", "pt", "nl", "sv")
_MOST_CHARS: Final = 120  # of a header; a longer one is a question that no list has
_NEUTRAL: Final = ""  # words that name no other address
_ORDER: Final = (_NEUTRAL, "business", "home", "mailing", "billing", "shipping", "other")
_QUALIFIED: Final = ("email", "phone", *ADDRESS)
_PERSONAL: Final = ("firstName", "lastName")
_FAR: Final = 1000  # in ranks: headers of the main address or number go before those of another
# Words that join others, in any of the languages.
_JOINTS: Final = frozenset(
    "of the and a an o y e et ou und der das vom von zu et le la les l d de des du del los las el da do dos di della "
    "dello dei il en het van och av".split()
)


class Language(Struct, frozen=True):
    """The headers of one language, read from its file in `languages/`, which says how it is written.

    Attributes:
        code: Its two letters.
        headers: The field of each header, by the header's key, and its rank.
        others: Which field a header means beside one for the other part of the name, by its key.
        qualifiers: The keys of words that make of a field that of another address, and which.
        questions: Words that may stand around a header where it is a question.
    """

    code: str
    headers: dict[str, tuple[str, int]]
    others: dict[str, str]
    qualifiers: dict[str, str]
    questions: frozenset[str]

    def find(self, name: str) -> tuple[Target, int] | None:
        """Return what a header is for and its rank, or None where it is not in the language."""
        words = _words(name)
        if not words or len(name) > _MOST_CHARS:
            return None
        core = [word for word in words if word not in self.questions]
        return self._find(words) or (self._find(core) if core != words else None)

    def _find(self, words: Sequence[str]) -> tuple[Target, int] | None:
        numbers = [int(word[:4]) for word in words if word.isdecimal()]
        key = "".join(word for word in words if not word.isdecimal() and word not in _JOINTS)
        if len(numbers) > 1:
            return None
        found = self._qualify(key, 2)
        return None if found is None else _numbered(*found, numbers[0] if numbers else 1)

    def _qualify(self, key: str, most: int) -> tuple[str, int, str] | None:
        """Return the field of a key, its rank, and which address it is of, with fewer and fewer qualifiers."""
        if key in self.headers:
            return *self.headers[key], _NEUTRAL
        for word, group in self.qualifiers.items() if most else ():
            for rest in _without(key, word):
                found = self._qualify(rest, most - 1)
                if found is not None and _may_qualify(found[0], group):
                    return found[0], found[1], found[2] or group
        return None


def _without(key: str, word: str) -> Iterator[str]:
    if key.startswith(word):
        yield key[len(word) :]
    if key.endswith(word):
        yield key[: -len(word)]


def _may_qualify(name: str, group: str) -> bool:
    return _target(name).field in _QUALIFIED or (group == _NEUTRAL and name in _PERSONAL)


def _numbered(name: str, rank: int, group: str, number: int) -> tuple[Target, int] | None:
    """Return the target of a header with a number in it: a further line of a street, a further email or phone."""
    target, rank = _target(name), rank + _FAR * _ORDER.index(group)
    if name == "address1" and number > 1:
        target = _target("address2")
    elif number > 1 and target.field not in ("email", "phone") and name != "address2":
        return None
    if group and target.field in ADDRESS:
        target = Target(target.field, target.part, group)
    return target, rank + number


@cache
def _target(name: str) -> Target:
    target = read_target(name)
    assert target is not None  # noqa: S101  (the files name fields)
    return target


@cache
def languages() -> tuple[Language, ...]:
    """Return the languages; they are read where a header is asked for that has no other meaning."""
    return tuple(map(_read_language, _LANGUAGES))


def _read_language(code: str) -> Language:
    headers = _english() if code == "en" else {}
    others: dict[str, str] = {}
    qualifiers: dict[str, str] = {}
    questions: set[str] = set()
    for left, entries in read_entries(code):
        name, _, other = left.partition("|")
        for rank, entry in enumerate(entries, sum(found == name for found, _ in headers.values())):
            key, *more = _keys(entry)
            if left == "?":
                questions.update(_words(entry))
            elif left.startswith("@"):
                qualifiers |= dict.fromkeys((key, *more), left[1:])
            else:  # "Street 2" has the key of "Street", whose number says the rest
                headers = dict.fromkeys((key, *more), (name, rank)) | headers
                others |= dict.fromkeys((key, *more), other) if other else {}
    longest = dict(sorted(qualifiers.items(), key=lambda pair: -len(pair[0])))
    return Language(code, headers, others, longest, frozenset(questions))


def _english() -> dict[str, tuple[str, int]]:
    """Return the headers that the table of fields has, so that they are found in questions and beside other words."""
    texts = [field for field in UPSERT_FIELDS if field.is_text and field.kind not in ("id", "contact")]
    names = [(field, rank, name) for field in texts for rank, name in enumerate([field.wire, *field.headers.split()])]
    return {plain(name): (field.wire, rank) for field, rank, name in names if name.isalpha()}


def read_entries(code: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of a language's file: what stands left of the equals sign, and the entries on the right."""
    table = files(__package__).joinpath("languages", f"{code}.txt").read_text(encoding="utf-8")
    for line in table.splitlines():
        if line and not line.startswith("#"):
            left, _, right = line.partition(" = ")
            yield left, right.split("; ")


def _keys(entry: str) -> list[str]:
    """Return the keys of an entry: without accents, and with those that German also writes as two letters."""
    spelled = entry.casefold().translate(_AS_TWO_LETTERS)
    return list(dict.fromkeys(_key(text) for text in (entry, spelled)))


_AS_TWO_LETTERS: Final = str.maketrans({"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue"})


def _key(text: str) -> str:
    return "".join(word for word in _words(text) if not word.isdecimal() and word not in _JOINTS)


def _words(text: str) -> list[str]:
    """Return the words and numbers of a text, in lower case and without accents."""
    letters = normal_letters(text[: 2 * _MOST_CHARS].casefold(), "NFKD")
    bare = "".join(one for one in letters if not _is_accent(one))
    return re.findall(r"\d+|[^\W\d_]+", _E_MAIL.sub("e", bare))


_E_MAIL: Final = re.compile(r"(?<![^\W_])e[-_ ](?=mail|post)")  # the "e" joins no words


def _is_accent(letter: str) -> bool:
    return "\u0300" <= letter <= "\u036f"


def other_meaning(name: str, beside: Sequence[str]) -> str | None:
    """Return the part of a name that a header means beside headers for the other part, or None.

    "Name" is the whole name, but the last one beside "Vorname"; "Nombre" is the first one beside "Apellidos".

    Args:
        name: The header, of a column for the whole name.
        beside: Headers of columns for the other parts of the name.
    """
    for language in languages():
        other = language.others.get(_key(name))
        if other is not None and any(language.headers.get(_key(header)) is not None for header in beside):
            return other
    return None
