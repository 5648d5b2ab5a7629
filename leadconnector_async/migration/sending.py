"""What is sent of each row of a load: without a phone that another person's row has, and by what was there before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ..errors import InvalidContactError
from ..models import ContactUpsert
from ..sources import Closing, Skipped
from .phone_book import PhoneBook
from .phones import SharedRows, what_to_send
from .selection import Chooser

Read: TypeAlias = ContactUpsert | InvalidContactError


class Sending:
    """Says what is sent of rows. It is shown all of them once, in their order.

    Args:
        phones: Which rows share a phone; None where none does.
        chooser: Chooses which rows are sent, and what of them; None for all as they are.
    """

    def __init__(self, phones: PhoneBook | None, chooser: Chooser | None) -> None:
        self._shared = SharedRows(phones)
        self._chooser = chooser

    def at_first(self, number: int, contact: Read) -> Read | Skipped | Closing:
        """Return what the upsert of a row holds, and what is closed before it."""
        shared = self._shared.find(number)
        what = contact if shared is None else what_to_send(contact, shared)
        if self._chooser is None or not isinstance(contact, ContactUpsert) or not isinstance(what, ContactUpsert):
            return what
        return self._chooser.choose(what, whole=contact).what

    def in_the_end(self, number: int, contact: Read) -> Read | Skipped:
        """Return all that is sent of a row, in one: with what is closed before, and the phone that is set after the
        rows."""
        what = in_one(self.at_first(number, contact))
        shared = self._shared.find(number)
        if shared is None or not isinstance(contact, ContactUpsert) or not isinstance(what, ContactUpsert):
            return what
        return msgspec.structs.replace(what, phone=contact.phone)


def change_rest(
    what: Read | Skipped | Closing, change: Callable[[ContactUpsert], ContactUpsert]
) -> Read | Skipped | Closing:
    """Change what is upserted of a row, where something is."""
    if isinstance(what, Closing) and isinstance(what.rest, ContactUpsert):
        return msgspec.structs.replace(what, rest=change(what.rest))
    return change(what) if isinstance(what, ContactUpsert) else what


def in_one(what: Read | Skipped | Closing) -> Read | Skipped:
    """Return all that is sent of a row as one contact: what it closes, and the rest of it."""
    if not isinstance(what, Closing):
        return what
    if isinstance(what.rest, Skipped):
        return what.wanted
    return msgspec.structs.replace(what.rest, dnd=what.wanted.dnd, dnd_settings=what.wanted.dnd_settings)
