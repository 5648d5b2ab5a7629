"""Rows that share a phone with a row of another person before them, and what is done about each.

An upsert finds a contact by a phone, too: such a row would overwrite the contact of the other person. Sent without the
phone it cannot, and the phone is set afterwards by an update, which the service refuses where another contact has it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

PhoneRule: TypeAlias = Literal["second-pass", "skip", "allow"]
PHONE_RULES: Final[tuple[PhoneRule, ...]] = ("second-pass", "skip", "allow")
ConflictAction: TypeAlias = Literal["wait", "skip"]
USUAL_ORDER: Final = ("email", "phone")

SCHEMA: Final = """
    CREATE TABLE owners (phone INTEGER PRIMARY KEY, number INTEGER);
    CREATE TABLE rules (location INTEGER PRIMARY KEY, action TEXT, allows_apart INTEGER);
    CREATE TABLE conflicts (
        number INTEGER PRIMARY KEY, location INTEGER, owner INTEGER, email INTEGER, phone INTEGER, action TEXT,
        later INTEGER
    );
    CREATE TABLE last (email INTEGER PRIMARY KEY, number INTEGER, phone INTEGER);
    CREATE TABLE last_other (email INTEGER PRIMARY KEY, number INTEGER);
"""
# The first row with a phone keeps it, where rows with that phone have several emails. Of people without an email
# nobody can tell that they are others.
_FILL_OWNERS: Final = """
    INSERT INTO owners SELECT phone, min(number) FROM rows WHERE phone IS NOT NULL AND email IS NOT NULL
    GROUP BY phone HAVING min(email) <> max(email)
"""
_FILL_CONFLICTS: Final = """
    INSERT INTO conflicts SELECT row.number, row.location, owners.number, row.email, row.phone, rules.action, NULL
    FROM rows AS row JOIN owners USING (phone) JOIN rules USING (location)
    JOIN rows AS first ON first.number = owners.number
    WHERE row.email <> first.email AND NOT (row.is_apart AND rules.allows_apart)
"""
# Where a later row of the same person has another phone, that one stands in the end.
_FILL_LATER: Final = """
    INSERT INTO last SELECT email, max(number), phone FROM rows
        WHERE phone IS NOT NULL AND email IN (SELECT email FROM conflicts) GROUP BY email;
    INSERT INTO last_other SELECT rows.email, max(rows.number) FROM rows JOIN last USING (email)
        WHERE rows.phone <> last.phone GROUP BY rows.email;
    UPDATE conflicts SET later = (
        SELECT max(found) FROM (
            SELECT number AS found FROM last WHERE email = conflicts.email AND phone <> conflicts.phone
            UNION ALL SELECT number FROM last_other WHERE email = conflicts.email
        ) WHERE found > conflicts.number
    )
"""
_SHOWN: Final = """
    SELECT owner, size, number, action FROM (
        SELECT owner, number, action, count(*) OVER (PARTITION BY owner) AS size,
            row_number() OVER (PARTITION BY owner ORDER BY number) AS place
        FROM conflicts WHERE owner IN (SELECT DISTINCT owner FROM conflicts ORDER BY owner LIMIT ?)
    ) WHERE place <= ? ORDER BY owner, number
"""


class MatchRule(Struct, frozen=True, kw_only=True):
    """How a location matches contacts.

    Attributes:
        order: What it looks for, in this order: `email`, `phone`, or both.
        allows_duplicates: Whether a row with `createNewIfDuplicateAllowed` makes a contact whatever there is.
    """

    order: tuple[str, ...] = USUAL_ORDER
    allows_duplicates: bool = False


class Conflict(Struct, frozen=True):
    """A row that shares a phone with a row of another person before it.

    Attributes:
        row: Its place among all rows, from 0.
        owner: The first row with that phone.
        later: The last row of the same person that has another phone and comes later, or None.
        action: `wait`: it goes without the phone, which is set after all rows. `skip`: it is not sent.
    """

    row: int
    owner: int
    later: int | None
    action: ConflictAction


def action_for(wanted: PhoneRule, rule: MatchRule) -> ConflictAction | None:
    """Return what is done about rows of a location that share a phone; None where they are sent as they are.

    Where phones are not matched, rows that share one do not meet. Where nothing else is, a row without its phone could
    not be found again: sent twice it would make two contacts, so it is not sent.
    """
    if wanted == "allow" or "phone" not in rule.order:
        return None
    return "wait" if wanted == "second-pass" and "email" in rule.order else "skip"


class SharedPhones:
    """Finds the conflicts among the rows of a `Matching`.

    Args:
        db: Has its table `rows`.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def find(self) -> set[int]:
        """Find phones that people share, and return the locations where there are any."""
        self._db.execute(_FILL_OWNERS)
        found = self._db.execute("SELECT DISTINCT location FROM rows WHERE number IN (SELECT number FROM owners)")
        return {location for (location,) in found}

    def settle(self, wanted: PhoneRule, rules: Mapping[int, MatchRule]) -> None:
        """Settle what is done about each row, once they are found."""
        actions = [
            (location, action, rule.allows_duplicates)
            for location, rule in rules.items()
            if (action := action_for(wanted, rule)) is not None
        ]
        self._db.executemany("INSERT INTO rules VALUES (?, ?, ?)", actions)
        self._db.execute(_FILL_CONFLICTS)
        for statement in _FILL_LATER.split(";"):
            self._db.execute(statement)

    def counts(self) -> dict[tuple[int, ConflictAction], int]:
        """Return by location and action how many rows there are, those whose phone a later row changes left out."""
        query = "SELECT location, action, count(*) FROM conflicts WHERE action = 'skip' OR later IS NULL GROUP BY 1, 2"
        return {(location, action): count for location, action, count in self._db.execute(query)}

    def count(self, action: ConflictAction) -> int:
        """Return how many rows there are with an action."""
        (found,) = self._db.execute("SELECT count(*) FROM conflicts WHERE action = ?", (action,)).fetchone()
        return int(found)

    def conflicts(self) -> Iterator[Conflict]:
        """Yield all of them, in the order of the rows."""
        for record in self._db.execute("SELECT number, owner, later, action FROM conflicts ORDER BY number"):
            yield Conflict(*record)

    def owners(self) -> Iterator[int]:
        """Yield the rows that keep a phone which others have as well, in their order."""
        for (owner,) in self._db.execute("SELECT DISTINCT owner FROM conflicts ORDER BY owner"):
            yield owner

    def shown(self, *, most: int, most_rows: int) -> list[tuple[int, int, list[tuple[int, ConflictAction]]]]:
        """Return the first owners: each with the number of rows that share its phone, and the first of these."""
        found: dict[int, tuple[int, int, list[tuple[int, ConflictAction]]]] = {}
        for owner, size, number, action in self._db.execute(_SHOWN, (most, most_rows)):
            found.setdefault(owner, (owner, size, []))[2].append((number, action))
        return list(found.values())
