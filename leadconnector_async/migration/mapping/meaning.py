"""What a user says of columns and cells."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from typing import Final

from msgspec import Struct

from ...errors import ConfigurationError
from ...rules.checks import Checks
from .custom_fields import FieldDefinitions
from .directories import Directory


class Meaning(Struct, frozen=True, kw_only=True, dict=True):
    """What a user says of columns and cells; what is not said, headers tell.

    Attributes:
        columns: The target of columns by their header, in the order in which those for one field are preferred; see
            `targets.read_target` for how it is written.
        is_whole: Whether these are all columns that are to be sent, as where a mapping file is given.
        ignored: Headers of columns that are not to be sent.
        checks: What is to be taken for granted of cells.
        empties_fields: Whether an empty cell empties its field.
        empties_tags: Whether one of tags removes all tags, as where they are replaced.
        fields: The custom fields of the location; None where they are not known, and cells are sent as text by key.
        owners: Ids of users.
        locations: Ids of locations.
    """

    columns: dict[str, str] = {}
    is_whole: bool = False
    ignored: frozenset[str] = frozenset()
    checks: Checks = Checks()
    empties_fields: bool = False
    empties_tags: bool = False
    fields: FieldDefinitions | None = None
    owners: Directory = Directory("owner")
    locations: Directory = Directory("location")

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {name: rank for rank, name in enumerate(self.columns)}

    def rank_of(self, name: str) -> int:
        """Return the place of a column among those of which the user says something."""
        return self._ranks[name]

    def says(self, names: Iterable[str]) -> bool:
        """Whether it says something of one of these columns."""
        return any(name in self.columns or name in self.ignored for name in names)


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
