"""Which row met which contact, where no journal keeps it: of late, so that memory stays the same."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

Signature: TypeAlias = tuple[Any, Any]
"""A row's email and phone, or checksums of them; empty or None where it has none."""
Met: TypeAlias = tuple[int, Signature]
"""The row that met a contact."""

_MOST_CONTACTS: Final = 10_000  # of each of two generations


class RecentContacts:
    """The contacts that a load met last: between 10,000 and 20,000 of them."""

    def __init__(self) -> None:
        self._recent: dict[str, Met] = {}
        self._earlier: dict[str, Met] = {}

    def get(self, contact_id: str) -> Met | None:
        """Return the last row that met a contact, or None."""
        return self._recent.get(contact_id) or self._earlier.get(contact_id)

    def keep(self, contact_id: str, met: Met) -> None:
        """Note that a row met a contact."""
        if len(self._recent) >= _MOST_CONTACTS:
            self._earlier, self._recent = self._recent, {}
        self._recent[contact_id] = met
