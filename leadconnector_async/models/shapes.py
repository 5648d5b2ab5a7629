"""How each operation returns a contact: one table of the shapes, all of them read into the same fields.

The service returns the same contact in several shapes: a search calls the street `address`, gives the birthday in
milliseconds and leaves the time zone out; a list has names in lower case, and as they were written beside them. A
birthday is read in any of its forms in every shape.

Sources: the vendor's API reference. It says nothing of searches; what they return was seen live:
https://github.com/GoHighLevel/highlevel-api-docs/issues/314 (names and birthdays), /185 (no time zone) and /43 (no
`dndSettings`, which others have seen since).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

ShapeName: TypeAlias = Literal["whole", "created", "found", "listed", "duplicate"]


class Shape(Struct, frozen=True):
    """How an operation returns a contact.

    Attributes:
        is_whole: Whether a field that is absent is empty. Otherwise nothing is known of it.
        sources: Fields of `Contact` that may come under other names: the fields of `FoundContact` to take each from, of
            which the first that holds anything counts.
    """

    is_whole: bool = False
    sources: Mapping[str, tuple[str, ...]] = {}

    def sources_of(self, field: str) -> tuple[str, ...]:
        """Return the fields from which a field is taken."""
        return self.sources.get(field, (field,))


_STREET: Final = {"address1": ("address1", "address")}
_NAMES: Final = {
    "first_name": ("first_name_raw", "first_name"),
    "last_name": ("last_name_raw", "last_name"),
    "name": ("name", "contact_name"),
}

SHAPES: Final[Mapping[ShapeName, Shape]] = {
    # by id, from an upsert and an update, and from a creation with v3
    "whole": Shape(is_whole=True),
    # from a creation before v3: without name, timezone and others
    "created": Shape(),
    "found": Shape(sources=_STREET | _NAMES),
    # from the deprecated list and that of a business
    "listed": Shape(sources=_NAMES),
    # from a search for a duplicate, which no reference describes
    "duplicate": Shape(sources=_STREET | _NAMES),
}


def written_name(name: str, first_name: str | None, last_name: str | None) -> str | None:
    """Return a whole name as it was written, where it came as `contactName`, which often is in lower case.

    Args:
        name: As it came.
        first_name: As it was written.
        last_name: As it was written.

    Returns:
        The two parts where the name is made of them, the name itself where it cannot have been lowered, and None where
        nobody knows.
    """
    parts = " ".join(part for part in (first_name, last_name) if part)
    if name.lower() == parts.lower():
        return parts
    return None if name == name.lower() != name.upper() else name
