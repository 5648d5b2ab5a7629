"""What a user says of columns and cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ...errors import ConfigurationError
from ...rules.checks import Checks
from ...rules.texts import clean_cell
from .custom_fields import FieldDefinitions
from .directories import Directory

IdRule: TypeAlias = Literal["none", "some", "all"]
"""Whether no rows are matched by the id of a contact, those that have one, or all."""


class Meaning(Struct, frozen=True, kw_only=True, dict=True):
    """What a user says of columns and cells; what is not said, headers tell.

    Attributes:
        columns: The target of columns by their header, or several, in the order in which those for one field are
            preferred; see `targets.read_target` for how it is written.
        values: By header what cells stand for: each word, and what is read in its place.
        is_whole: Whether these are all columns that are to be sent, as where a mapping file is given.
        ignored: Headers of columns that are not to be sent.
        checks: What is to be taken for granted of cells.
        empties_fields: Whether an empty cell empties its field.
        empties_tags: Whether one of tags removes all tags, as where they are replaced.
        fields: The custom fields of the location; None where they are not known, and cells are sent as text by key.
        owners: Ids of users.
        locations: Ids of locations.
        ids: Which rows are matched by the id of a contact.
        takes_nameless: Whether a row with a name alone makes a contact.
    """

    columns: Mapping[str, str | Sequence[str]] = {}
    values: Mapping[str, Mapping[str, str]] = {}
    is_whole: bool = False
    ignored: frozenset[str] = frozenset()
    checks: Checks = Checks()
    empties_fields: bool = False
    empties_tags: bool = False
    fields: FieldDefinitions | None = None
    owners: Directory = Directory("owner")
    locations: Directory = Directory("location")
    ids: IdRule = "some"
    takes_nameless: bool = False

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {name: rank for rank, name in enumerate(self.columns)}

    def rank_of(self, name: str) -> int:
        """Return the place of a column among those of which the user says something."""
        return self._ranks[name]

    def says(self, names: Iterable[str]) -> bool:
        """Whether it says something of one of these columns."""
        return any(name in self.columns or name in self.ignored or name in self.values for name in names)


class Words:
    """Reads cells as what a user says that their words stand for. A word is found in any case.

    Args:
        values: By header, as of `Meaning`.
        names: The names of the columns, each its own.
        headers: As they stand in the table.
    """

    def __init__(self, values: Mapping[str, Mapping[str, str]], names: Sequence[str], headers: Sequence[str]) -> None:
        self._words: dict[int, dict[str, str]] = {}
        for position, (name, header) in enumerate(zip(names, headers, strict=True)) if values else ():
            said = values.get(name) or values.get(header)
            if said:
                exact = {clean_cell(word): meant for word, meant in said.items()}
                self._words[position] = {word.casefold(): meant for word, meant in exact.items()} | exact

    def read(self, cells: Sequence[str]) -> Sequence[str]:
        """Return the cells of a row as they are meant."""
        if not self._words:
            return cells
        meant = list(cells)
        for position, words in self._words.items():
            if position < len(meant):
                cell = clean_cell(meant[position])
                meant[position] = words.get(cell, words.get(cell.casefold(), meant[position]))
        return meant


NOTHING_SAID: Final = Meaning()
_MOST_NAMES: Final = 20


def check_names(option: str, wanted: Iterable[str], names: Iterable[str]) -> None:
    """Refuse what an option says of columns that there are not.

    Args:
        option: The option.
        wanted: The headers that it names.
        names: The headers of all tables.

    Raises:
        ConfigurationError: A header that is named is in no table.
    """
    known = dict.fromkeys(names)
    for name in wanted:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(list(known)[:_MOST_NAMES])}"
            raise ConfigurationError(f"{option} {name!r}: no file has such a column; {hint}")
