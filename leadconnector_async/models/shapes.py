"""How each operation returns a contact: one table of the shapes, read into one Struct.

The service returns the same contact in several shapes: a search calls the street `address`, gives the birthday in
milliseconds and leaves the time zone out; a list has names in lower case, and as they were written beside them. A
birthday is read in any of its forms in every shape.

Sources: the vendor's API reference. It says nothing of searches; what they return was seen live:
https://github.com/GoHighLevel/highlevel-api-docs/issues/314 (names and birthdays), /185 (no time zone) and /43 (no
`dndSettings`, which others have seen since).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from .birthdays import read_birthday

ShapeName: TypeAlias = Literal["whole", "created", "found", "listed", "duplicate"]
Fields: TypeAlias = Mapping[str, Any]
"""What was received of a contact, by the names under which it came."""
Find: TypeAlias = Callable[[Fields], Any]
"""Returns what was received for a field, or `UNSET` where the answer says nothing of it."""

BIRTHDAY: Final = "dateOfBirth"


class Shape(Struct, frozen=True):
    """How an operation returns a contact.

    Attributes:
        is_whole: Whether a field that is absent is empty. Otherwise nothing is known of it.
        finds: How to find fields that come under other names, by the names that they have in `Contact`.
    """

    is_whole: bool = False
    finds: Mapping[str, Find] = {}

    def unify(self, received: Fields) -> dict[str, Any]:
        """Return what was received with every field under the name that it has in `Contact`."""
        values = dict(received)
        for name, find in self.finds.items():
            values.pop(name, None)
            if (value := find(received)) is not UNSET:
                values[name] = value
        return values


def first_of(*names: str) -> Find:
    """Find a field under the first of some names that holds anything."""

    def find(received: Fields) -> Any:
        found: Any = UNSET
        for name in names:
            if name in received:
                found = received[name]
                if found is not None:
                    return found
        return found

    return find


_NAME: Final = first_of("name", "contactName")
_FIRST_NAME: Final = first_of("firstNameRaw", "firstName")
_LAST_NAME: Final = first_of("lastNameRaw", "lastName")


def find_name(received: Fields) -> Any:
    """Find the whole name. Searches and lists have it as `contactName` alone, often in lower case: then only its parts,
    where it is made of them, tell how it is written."""
    name = _NAME(received)
    if name is received.get("name") or not isinstance(name, str):
        return name
    written = " ".join(part for part in (_FIRST_NAME(received), _LAST_NAME(received)) if part and isinstance(part, str))
    if name.lower() == written.lower():
        return written
    return UNSET if name == name.lower() != name.upper() else name


_STREET: Final = {"address1": first_of("address1", "address")}
_NAMES: Final = {"firstName": _FIRST_NAME, "lastName": _LAST_NAME, "name": find_name}

SHAPES: Final[Mapping[ShapeName, Shape]] = {
    # by id, from an upsert and an update, and from a creation with v3
    "whole": Shape(is_whole=True),
    # from a creation before v3: without name, timezone and others
    "created": Shape(),
    "found": Shape(finds=_STREET | _NAMES),
    # from the deprecated list and that of a business
    "listed": Shape(finds=_NAMES),
    # from a search for a duplicate, which no reference describes
    "duplicate": Shape(finds=_STREET | _NAMES),
}


def settle_birthday(values: dict[str, Any]) -> bool:
    """Bring the birthday into one form, and return whether it can be read; one that cannot is taken out."""
    try:
        if BIRTHDAY in values:
            values[BIRTHDAY] = read_birthday(values[BIRTHDAY])
    except ValueError:
        del values[BIRTHDAY]
        return False
    return True
