"""What searches and lists see of the contacts, in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from .shelves import Fields, Shelf
from .validation import is_number, read_time

IsMatch: TypeAlias = Callable[[Fields], bool]
Order: TypeAlias = tuple[tuple[str, bool], ...]
"""Fields to sort by, each with whether it descends; the id decides at last."""

NEWEST_FIRST: Final[Order] = (("dateAdded", True),)
_TIMES: Final = ("dateAdded", "dateUpdated")
_MOST_REMEMBERED: Final = 4


class Directory:
    """The contacts as searches see them: as they are, or as they were a while ago.

    Args:
        contacts: All of them.
        lag: How long a change takes to show, in seconds.
        monotonic: The clock, in seconds.
    """

    def __init__(self, contacts: Shelf, lag: float, monotonic: Callable[[], float]) -> None:
        self._seen = Shelf(contacts.kind, "locationId") if lag else contacts
        self._lag = lag
        self._monotonic = monotonic
        self._coming: deque[tuple[float, str, Fields | None]] = deque()
        self._selected: dict[tuple[str, str, Order], tuple[int, list[Fields]]] = {}
        if lag:
            contacts.watchers.append(self._note)

    def load(self, contacts: Shelf) -> None:
        """Begin anew with these contacts, which show at once."""
        self._coming.clear()
        self._selected.clear()
        if self._seen is not contacts:
            self._seen.load([dict(contact) for contact in contacts.values()])

    def _note(self, _kind: str, contact_id: str, contact: Fields | None) -> None:
        self._coming.append((self._monotonic() + self._lag, contact_id, None if contact is None else dict(contact)))

    def _catch_up(self) -> None:
        now = self._monotonic()
        while self._coming and self._coming[0][0] <= now:
            _, contact_id, contact = self._coming.popleft()
            if contact is not None:
                self._seen.put(contact)
            elif contact_id in self._seen:
                self._seen.take(contact_id)

    def select(self, location_id: str, order: Order, is_match: IsMatch, key: str) -> list[Fields]:
        """Return the contacts of a location that match, in order.

        Args:
            key: What tells this choice from others, so that the pages of one search need not be sorted each time.
        """
        self._catch_up()
        generation, found = self._selected.get((location_id, key, order), (-1, []))
        if generation != self._seen.generation:
            found = in_order(filter(is_match, self._seen.of(location_id)), order)
            if len(self._selected) >= _MOST_REMEMBERED:
                del self._selected[next(iter(self._selected))]
            self._selected[location_id, key, order] = self._seen.generation, found
        return found


def in_order(contacts: Iterable[Fields], order: Order) -> list[Fields]:
    """Sort contacts; those without a value come last, whichever way a field is sorted."""
    rows = sorted(contacts, key=lambda contact: str(contact["id"]))
    for field, descends in reversed(order):
        rows.sort(key=lambda contact: _rank(contact.get(field), descends), reverse=descends)
    return rows


def _rank(value: Any, descends: bool) -> tuple[bool, Any]:
    return ((value is None) != descends, "" if value is None else value.lower() if isinstance(value, str) else value)


def sort_values(contact: Fields, order: Order) -> list[Any]:
    """Return where a contact stands in an order, as searches tell it: times in milliseconds, and the id at last."""
    return [*(_place(field, contact.get(field)) for field, _ in order), contact["id"]]


def _place(field: str, value: Any) -> Any:
    if field in _TIMES and value is not None:
        return milliseconds(value)
    return value.lower() if isinstance(value, str) else value


def milliseconds(text: str) -> int:
    """Return a stored time in milliseconds since 1970."""
    time = read_time(text)
    return 0 if time is None else round(time.timestamp() * 1000)


def fits_order(cursor: list[Any], order: Order) -> bool:
    """Say whether values can stand for a place in an order."""
    if len(cursor) != len(order) + 1 or not isinstance(cursor[-1], str):
        return False
    return all(value is None or _is_of(field, value) for value, (field, _) in zip(cursor, order, strict=False))


def _is_of(field: str, value: Any) -> bool:
    if field in _TIMES:
        return is_number(value)
    return isinstance(value, bool if field == "dnd" else str)


def comes_after(values: list[Any], cursor: list[Any], order: Order) -> bool:
    """Say whether one place in an order comes after another; those without a value are last."""
    for value, before, descends in zip(values, cursor, (*(descends for _, descends in order), False), strict=True):
        if value == before:
            continue
        if value is None or before is None:
            return value is None
        return bool(value < before if descends else value > before)
    return False
