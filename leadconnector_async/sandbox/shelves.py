"""Records of one kind, by their id and by their owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]
Watcher = Callable[[str, str, Fields | None], None]


class Shelf(dict[str, Fields]):
    """Records of one kind by their id, the oldest first.

    Args:
        kind: What they are; so they are called in the data file.
        owner: The field that names whom a record belongs to: a contact, or a location.

    Attributes:
        generation: Grows with each change.
        watchers: Called with each change: the kind, the id, and the record or None where it is gone.
    """

    __slots__ = ("_owned", "_owner", "generation", "kind", "watchers")

    def __init__(self, kind: str, owner: str) -> None:
        super().__init__()
        self.kind = kind
        self.generation = 0
        self.watchers: list[Watcher] = []
        self._owner = owner
        self._owned: dict[str, dict[str, Fields]] = {}

    def put(self, record: Fields) -> Fields:
        """Keep a record that is new or has changed, and return it."""
        record_id = record["id"]
        if self.get(record_id) is not record:
            self._owned.setdefault(record[self._owner], {})[record_id] = record
            self[record_id] = record
        self.generation += 1
        for notify in self.watchers:
            notify(self.kind, record_id, record)
        return record

    def take(self, record_id: str) -> None:
        """Remove a record."""
        record = self.pop(record_id)
        owned = self._owned[record[self._owner]]
        del owned[record_id]
        if not owned:
            del self._owned[record[self._owner]]
        self.generation += 1
        for notify in self.watchers:
            notify(self.kind, record_id, None)

    def of(self, owner: str) -> list[Fields]:
        """Return the records of one owner, the oldest first."""
        return list(self._owned.get(owner, {}).values())

    def take_all_of(self, owner: str) -> None:
        """Remove the records of one owner."""
        for record in self.of(owner):
            self.take(record["id"])

    def load(self, records: list[Fields]) -> None:
        """Hold these records and no others; no watcher is called."""
        self.clear()
        self._owned.clear()
        self.generation += 1
        for record in records:
            self[record["id"]] = record
            self._owned.setdefault(record[self._owner], {})[record["id"]] = record
