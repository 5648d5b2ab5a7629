"""Rows that share a phone with another person's: found while rows are looked at, and settled before the first is
sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..client import LeadConnector
from ..errors import ConfigurationError, InvalidContactError
from ..identity import identity_of
from ..journal import Journal
from ..limits import RateLimit
from ..migration.check import check_files
from ..migration.matching import Matching
from ..migration.page import count_of
from ..migration.phone_book import PHONES, PhoneBook
from ..migration.phones import fill_book
from ..migration.planning import MOST_ASKED, ask_locations
from ..migration.rows import RowFile
from ..migration.sharing import Conflict, MatchRule, PhoneRule, action_for
from ..models import ContactUpsert

_NOTE: Final = "shared_phones"  # in the journal: how many rows share one


class PhoneConflicts:
    """What is done about rows that share a phone with another person's.

    Args:
        rule: What the user wants.
        client: Where the load goes; it is open.
        limit: Our own limits.
        matching: Takes the identities of the rows.
        is_stopped: Asked now and then; where it says so, a look at rows ends early.

    Attributes:
        told: What there is to say of it, in sentences, once that is settled.
        skipped: How many rows are not sent because of it.
    """

    def __init__(
        self,
        rule: PhoneRule,
        client: LeadConnector,
        limit: RateLimit,
        matching: Matching,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._rule = rule
        self._client = client
        self._limit = limit
        self._matching = matching
        self._is_stopped = is_stopped
        self._rows = 0
        self.told: list[str] = []
        self.skipped = 0

    def look(self, contact: ContactUpsert | InvalidContactError) -> None:
        """Take note of the next row."""
        number = self._rows
        self._rows += 1
        if self._rule == "allow" or isinstance(contact, InvalidContactError) or not (contact.email and contact.phone):
            return
        location_id = contact.location_id or self._client.location_id or ""
        is_apart = contact.create_new_if_duplicate_allowed is True
        self._matching.add(number, location_id, identity_of(contact, location_id), is_apart=is_apart)

    async def settle(self) -> int:
        """Settle what is done about each row, and return how many there are."""
        locations = await asyncio.to_thread(self._matching.find_shared_phones)
        if not locations:
            return 0
        rules = await self._ask(locations)
        await asyncio.to_thread(self._matching.settle_phones, self._rule, rules)
        waiting, skipped = (self._matching.phones.count(action) for action in ("wait", "skip"))
        calls = sum(self._matching.phone_calls().values())
        self.skipped = skipped
        self.told += describe_conflicts(waiting, skipped, calls, is_wanted=self._rule == "skip")
        if any(action_for(self._rule, rule) is None for rule in rules.values()):
            self.told.append("Where a location matches by email alone, rows that share a phone do not meet.")
        return waiting + skipped

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what was settled, in the order of the rows."""
        return self._matching.phones.conflicts()

    async def _ask(self, locations: Sequence[str]) -> dict[str, MatchRule]:
        """Ask how locations match; those that are not asked are taken to be as usual."""
        asked = await ask_locations(self._client, locations[:MOST_ASKED], self._limit, self.told.append)
        if len(locations) > MOST_ASKED:
            more = len(locations) - MOST_ASKED
            self.told.append(f"{more:,} more locations were not asked how they match contacts: email, then phone.")
        rules = dict.fromkeys(locations, MatchRule())
        return rules | {location_id: one.rule for location_id, one in asked.items()}

    async def open_book(
        self, folder: Path, journal: Journal, files: Sequence[RowFile], *, retry_refused: bool
    ) -> PhoneBook | None:
        """Return what was settled, of a load that goes on by its first sitting; None where no row shares a phone.

        Args:
            folder: Of the load.
            journal: Of it; not begun in this sitting.
            files: The rows.
            retry_refused: Whether phones that the service refused are tried once more.

        Raises:
            ConfigurationError: What an earlier sitting settled is gone; nothing was sent.
        """
        if self._rule == "allow":
            return None
        path = folder / PHONES
        if journal.is_begun:
            told = int(journal.told(_NOTE) or 0)
            if told and not path.is_file():
                raise ConfigurationError(f"{path}: is gone, which tells what rows share a phone; load anew")
            return PhoneBook(path, retry_refused=retry_refused) if told else None
        if not self._rows:  # a load that was to go on, and had not begun
            await asyncio.to_thread(check_files, files, self._is_stopped, self.look)
        found = await self.settle()
        journal.tell(_NOTE, str(found))
        if not found:
            return None
        book = PhoneBook(path)
        await asyncio.to_thread(fill_book, book, self._matching, files)
        return book


def describe_conflicts(waiting: int, skipped: int, calls: int, *, is_wanted: bool) -> list[str]:
    """Say what is done about rows that share a phone."""
    told = []
    if waiting:
        told.append(
            f"{_rows(waiting)} the phone of another person in a row before. To overwrite nobody, the phone is left out "
            f"there and set after all rows, by {count_of(calls, 'more call')} (--phone-conflict second-pass)."
        )
    if skipped:
        why = "--phone-conflict skip" if is_wanted else "their location matches by phone alone"
        told.append(f"{_rows(skipped)} the phone of another person in a row before: left out ({why}).")
    return told


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"
