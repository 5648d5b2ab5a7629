"""Which rows of a load meet the same contact: what the service's matching will make of them, told beforehand.

Only digests of addresses and numbers are kept, in a file of SQLite that is gone when this ends, so that memory does not
grow with rows. What the location holds already is not known here: a row that is new among these may update one of its
contacts.

Source of the rules: the reference of `POST /contacts/upsert` (the location's setting decides; where email and phone are
of two contacts, the first in the configured order is updated and the other field is ignored).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ..errors import ConfigurationError
from ..models.identity import Identity, is_another_person

# ---------------------------------------------------------------------------------------------- shared phones

# An upsert finds a contact by a phone, too: such a row would overwrite the contact of the other person. Sent without
# the phone it cannot, and the phone is set afterwards by an update, which the service refuses where another contact has
# it.

PhoneRule: TypeAlias = Literal["second-pass", "skip", "allow"]
PHONE_RULES: Final[tuple[PhoneRule, ...]] = ("second-pass", "skip", "allow")
ConflictAction: TypeAlias = Literal["wait", "skip"]
USUAL_ORDER: Final = ("email", "phone")

SCHEMA: Final = """
    CREATE TABLE repeated (phone INTEGER PRIMARY KEY, number INTEGER, is_shared INTEGER);
    CREATE TABLE owners (phone INTEGER PRIMARY KEY, number INTEGER);
    CREATE TABLE rules (location INTEGER PRIMARY KEY, action TEXT, allows_apart INTEGER);
    CREATE TABLE conflicts (
        number INTEGER PRIMARY KEY, location INTEGER, owner INTEGER, email INTEGER, phone INTEGER, action TEXT,
        later INTEGER
    );
    CREATE TABLE last (email INTEGER PRIMARY KEY, number INTEGER, phone INTEGER);
    CREATE TABLE last_other (email INTEGER PRIMARY KEY, number INTEGER);
"""
_FILL_REPEATED: Final = """
    INSERT INTO repeated SELECT phone, min(number) FILTER (WHERE email IS NOT NULL), min(email) <> max(email)
    FROM rows WHERE phone IS NOT NULL GROUP BY phone HAVING count(*) > 1
"""
# The first row with a phone keeps it, where rows with that phone have several emails. Of people without an email
# nobody can tell that they are others.
_FILL_OWNERS: Final = "INSERT INTO owners SELECT phone, number FROM repeated WHERE is_shared"
_FILL_CONFLICTS: Final = """
    INSERT INTO conflicts SELECT row.number, row.location, owners.number, row.email, row.phone, rules.action, NULL
    FROM rows AS row JOIN owners USING (phone) JOIN rules USING (location)
    JOIN rows AS first ON first.number = owners.number
    WHERE row.email <> first.email AND row.is_apart <> 2 AND NOT (row.is_apart AND rules.allows_apart)
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
        """Find phones that several rows have, and return the locations where people share one."""
        self._db.execute(_FILL_REPEATED)
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


_BY_ID: Final = 2  # in the place of `is_apart`
_BY_ID_ALONE: Final = MatchRule(order=("email",))  # where the identity has the id
Field: TypeAlias = Literal["email", "phone"]
Fate: TypeAlias = Literal["makes", "updates", "overwrites"]
SharedFate: TypeAlias = Fate | Literal["keeps", "waits", "skipped"]
_PHONE_FATES: Final[dict[ConflictAction, SharedFate]] = {"wait": "waits", "skip": "skipped"}
_ROW_WIDTH: Final = 5  # values of a row
_VALUES_A_STATEMENT: Final = 50 * _ROW_WIDTH  # a statement for each row would take twice as long
_VALUES_AT_ONCE: Final = 5000 * _ROW_WIDTH
_CLOSINGS_AT_ONCE: Final = 5000
_ASKED_EVERY: Final = 1000
_CACHE: Final = -16384  # KiB of pages in memory, in SQLite's own way to say it

_SCHEMA: Final = """
    CREATE TABLE rows (number INTEGER PRIMARY KEY, location INTEGER, email INTEGER, phone INTEGER, is_apart INTEGER);
    CREATE TABLE shared (key INTEGER PRIMARY KEY);
    CREATE TABLE holders (key INTEGER, contact INTEGER, PRIMARY KEY (key, contact)) WITHOUT ROWID;
    CREATE TABLE contacts (number INTEGER PRIMARY KEY, email INTEGER, phone INTEGER);
    CREATE TABLE closings (number INTEGER, email INTEGER, phone INTEGER, closed TEXT);
    CREATE INDEX closings_of_rows ON closings (number);
    CREATE TABLE closed_emails (email INTEGER PRIMARY KEY, closed TEXT);
    CREATE TABLE closed_phones (phone INTEGER PRIMARY KEY, closed TEXT);
    CREATE TABLE closed_any (phone INTEGER PRIMARY KEY, closed TEXT);
    CREATE TABLE met (number INTEGER PRIMARY KEY, contact INTEGER, fate TEXT, field TEXT);
"""
# Who is closed: by email, by phone if the row that opts out names no email, and by phone whoever has no email himself.
# Rows that say so themselves, and nothing less than others of the person, are left out.
_FILL_CLOSED: Final = """
    INSERT INTO closed_emails SELECT email, group_concat(DISTINCT closed) FROM closings
        WHERE email IS NOT NULL GROUP BY email;
    INSERT INTO closed_phones SELECT phone, group_concat(DISTINCT closed) FROM closings
        WHERE phone IS NOT NULL AND email IS NULL GROUP BY phone;
    INSERT INTO closed_any SELECT phone, group_concat(DISTINCT closed) FROM closings
        WHERE phone IS NOT NULL GROUP BY phone
"""
_CLOSED: Final = """
    SELECT rows.number, one.closed, two.closed, three.closed FROM rows
    LEFT JOIN closings AS own ON own.number = rows.number
    LEFT JOIN closed_emails AS one ON one.email = rows.email
    LEFT JOIN closed_phones AS two ON two.phone = rows.phone
    LEFT JOIN closed_any AS three ON three.phone = rows.phone AND rows.email IS NULL
    WHERE (one.closed IS NOT NULL AND one.closed IS NOT own.closed)
        OR (two.closed IS NOT NULL AND two.closed IS NOT own.closed)
        OR (three.closed IS NOT NULL AND three.closed IS NOT own.closed)
    ORDER BY rows.number
"""
_FILL_SHARED: Final = """
    INSERT INTO shared SELECT email FROM rows WHERE email IS NOT NULL GROUP BY email HAVING count(*) > 1
    UNION SELECT phone FROM repeated
"""
_SHARING: Final = """
    SELECT number, rows.location, rows.email, iif(action IS NULL, rows.phone, NULL), is_apart
    FROM rows LEFT JOIN conflicts USING (number)
    WHERE (rows.email IN shared OR rows.phone IN shared) AND action IS NOT 'skip' ORDER BY number
"""
_TO_UPDATE: Final = """
    SELECT contact, phone, location FROM conflicts JOIN met USING (number)
    WHERE action = 'wait' AND later IS NULL ORDER BY number
"""
_GROUPS: Final = """
    SELECT contact, number, fate, field, size FROM (
        SELECT contact, number, fate, field, count(*) OVER (PARTITION BY contact) AS size,
            row_number() OVER (PARTITION BY contact ORDER BY number) AS place
        FROM met WHERE contact IN (SELECT DISTINCT contact FROM met WHERE fate = ? ORDER BY contact LIMIT ?)
    ) WHERE place <= ? ORDER BY contact, number
"""


class Forecast(Struct, kw_only=True):
    """What becomes of the rows among each other.

    Attributes:
        contacts: How many contacts they are.
        repeats: Rows that update the contact of an earlier row about the same person.
        overwrites: Rows that overwrite the contact of an earlier row about another person.
        lost_emails: Rows whose email another contact has, so that the service drops it.
        lost_phones: The same of phones.
        deferred: Rows that are sent without their phone, as a row of another person before them has it.
        refused_phones: Rows of these whose phone the service will refuse, as the contact of that other row has it.
        skipped: Rows that are not sent for that reason.
    """

    contacts: int = 0
    repeats: int = 0
    overwrites: int = 0
    lost_emails: int = 0
    lost_phones: int = 0
    deferred: int = 0
    refused_phones: int = 0
    skipped: int = 0


class Met(Struct, frozen=True):
    """A row of a group.

    Attributes:
        number: Its place among all rows, from 0.
        fate: Whether it makes the contact, updates it, or overwrites what was of another person. Of rows of several
            people with one phone: `keeps` it, `waits` for it until all rows are sent, or is `skipped`.
        field: By what it meets the contact; None of the row that makes it.
    """

    number: int
    fate: SharedFate
    field: Field | None


class Group(Struct, frozen=True):
    """Rows that meet one contact, or rows of several people with one phone.

    Attributes:
        size: How many they are.
        rows: The first of them, in order.
    """

    size: int
    rows: list[Met]


class Matching:
    """The identities of a load's rows. Close it in the end.

    Rows are added in their order. Then come, each once and in this order, `closed_by_others` and `find_shared_phones`,
    `settle_phones` where it is wanted, and `forecast`; then `groups` as often as wanted. All of them raise
    `ConfigurationError` where the file cannot be written, as there is no room on the disk.

    Attributes:
        phones: The rows that share a phone with another person's.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # a file without a name
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(f"PRAGMA cache_size = {_CACHE}")
        self._db.executescript(_SCHEMA + SCHEMA)
        self.phones = SharedPhones(self._db)
        self._locations: dict[str, int] = {}
        self._waiting: list[int | None] = []  # the values of rows, one row after another
        self._closings: list[tuple[int | None, int | None, int | None, str]] = []
        self._has_closings = False
        self._count = 0

    def add(
        self, number: int, location_id: str, identity: Identity, *, is_apart: bool = False, is_by_id: bool = False
    ) -> None:
        """Add a row.

        Args:
            number: Its place among all rows, from 0.
            location_id: Where it goes.
            identity: What it may be matched by.
            is_apart: Whether it asks for a contact of its own, where the location allows duplicates.
            is_by_id: Whether it is for the contact of an id, which its identity has in the place of an email. It
                overwrites nobody else; a row after it with its phone may overwrite it.
        """
        location = self._locations.setdefault(location_id, len(self._locations))
        self._waiting += (
            number,
            location,
            _digest(identity.email),
            _digest(identity.phone),
            _BY_ID if is_by_id else is_apart,
        )
        self._count += 1
        if len(self._waiting) >= _VALUES_AT_ONCE:
            self._write()

    def add_closing(self, number: int | None, identity: Identity, channels: Sequence[str]) -> None:
        """Note that a row closes channels of a person.

        Args:
            number: Its place among all rows; None if it is none of those that are sent.
            identity: Whom it is about.
            channels: Which.
        """
        digests = _digest(identity.email), _digest(identity.phone)
        self._closings.append((number, *digests, ",".join(sorted(channels))))
        self._has_closings = True
        if len(self._closings) >= _CLOSINGS_AT_ONCE:
            self._write_closings()

    def closed_by_others(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows of people whose channels other rows close, in their order, with these channels. Ask once."""
        if not self._has_closings:
            return
        with _telling():
            self._write()
            self._write_closings()
            for statement in _FILL_CLOSED.split(";"):
                self._db.execute(statement)
            for number, *found in self._db.execute(_CLOSED):
                yield number, sorted({channel for text in found if text for channel in text.split(",")})

    def _write_closings(self) -> None:
        with _telling():
            self._db.execute("BEGIN")
            self._db.executemany("INSERT INTO closings VALUES (?, ?, ?, ?)", self._closings)
            self._db.execute("COMMIT")
        self._closings.clear()

    def find_shared_phones(self) -> list[str]:
        """Find the phones that rows of several people have, and return the locations that have any."""
        with _telling():
            self._write()
            found = self.phones.find()
        return [name for name, number in self._locations.items() if number in found]

    def settle_phones(self, wanted: PhoneRule, rules: Mapping[str, MatchRule]) -> None:
        """Settle what is done about rows with such a phone.

        Args:
            wanted: What the user wants.
            rules: Of locations; those that are not named are as usual.
        """
        with _telling():
            self.phones.settle(wanted, self._by_number(rules))

    def phone_calls(self) -> dict[str, int]:
        """Return how many calls it takes to set phones afterwards, by location."""
        counts = self.phones.counts()
        return {name: counts.get((number, "wait"), 0) for name, number in self._locations.items()}

    def skipped(self) -> dict[str, int]:
        """Return how many rows are not sent because of their phone, by location."""
        counts = self.phones.counts()
        return {name: counts.get((number, "skip"), 0) for name, number in self._locations.items()}

    def _by_number(self, rules: Mapping[str, MatchRule]) -> dict[int, MatchRule]:
        return {number: rules.get(name, MatchRule()) for name, number in self._locations.items()}

    def forecast(self, rules: Mapping[str, MatchRule], is_stopped: Callable[[], bool] = lambda: False) -> Forecast:
        """Say what becomes of all rows.

        Args:
            rules: Of locations; those that are not named are as usual.
            is_stopped: Asked now and then; where it says so, the rest is not looked at.
        """
        with _telling():
            return self._forecast(rules, is_stopped)

    def _forecast(self, rules: Mapping[str, MatchRule], is_stopped: Callable[[], bool]) -> Forecast:
        self._write()
        self._db.execute(_FILL_SHARED)
        by_number = self._by_number(rules)
        simulation = _Simulation(self._db)
        self._db.execute("BEGIN")
        for asked, (number, location, email, phone, is_apart) in enumerate(self._sharing()):
            rule = _BY_ID_ALONE if is_apart == _BY_ID else by_number[location]
            simulation.send(number, {"email": email, "phone": phone}, rule, is_apart=is_apart == 1)
            if asked % _ASKED_EVERY == 0 and is_stopped():
                break
        for contact, phone, location in self._db.execute(_TO_UPDATE):
            simulation.set_phone(contact, phone, by_number[location])
        self._db.execute("COMMIT")
        told = simulation.forecast
        told.deferred, told.skipped = self.phones.count("wait"), self.phones.count("skip")
        told.contacts = self._count - told.repeats - told.overwrites - told.skipped
        return told

    def groups(self, fate: Fate, *, most: int, most_rows: int) -> list[Group]:
        """Return the first groups of rows that meet one contact, of which some row has this fate.

        Args:
            fate: Which.
            most: How many groups at most.
            most_rows: How many rows of each.
        """
        found: dict[int, Group] = {}
        with _telling():
            rows = self._db.execute(_GROUPS, (fate, most, most_rows)).fetchall()
        for contact, number, what, field, size in rows:
            found.setdefault(contact, Group(size, [])).rows.append(Met(number, what, field))
        return list(found.values())

    def shared_phones(self, *, most: int, most_rows: int) -> list[Group]:
        """Return the first groups of rows of several people with one phone, the row that keeps it before the others.

        Args:
            most: How many groups at most.
            most_rows: How many rows of each.
        """
        groups = []
        for owner, size, others in self.phones.shown(most=most, most_rows=most_rows - 1):
            rows = [Met(number, _PHONE_FATES[action], "phone") for number, action in others]
            groups.append(Group(size + 1, [Met(owner, "keeps", "phone"), *rows]))
        return groups

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Matching:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self) -> None:
        with _telling():
            self._db.execute("BEGIN")
            for first in range(0, len(self._waiting), _VALUES_A_STATEMENT):
                values = self._waiting[first : first + _VALUES_A_STATEMENT]
                places = ", ".join(["(?, ?, ?, ?, ?)"] * (len(values) // _ROW_WIDTH))
                self._db.execute(f"INSERT INTO rows VALUES {places}", values)  # noqa: S608  (places alone)
            self._db.execute("COMMIT")
        self._waiting.clear()

    def _sharing(self) -> Iterator[tuple[int, int, int | None, int | None, int]]:
        return self._db.execute(_SHARING)


def _digest(text: str) -> int | None:
    """Return 64 bits by which a text is known, unlike those of any other text in the file as good as certainly: Python
    hashes texts with a key that is another in each process, so that no file can be made whose digests meet."""
    return hash(text) if text else None


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ConfigurationError(
            f"the temporary file to find rows that share an email or phone cannot be written ({error}); free disk "
            "space, or name another folder with TMPDIR"
        ) from None


class _Simulation:
    """The service's matching, over rows that share an email or a phone with another."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.forecast = Forecast()

    def send(self, number: int, keys: dict[str, int | None], rule: MatchRule, *, is_apart: bool) -> None:
        """Do as the service does with a row."""
        found = None if is_apart and rule.allows_duplicates else self._find(keys, rule.order)
        if found is None:
            self._make(number, keys)
        else:
            self._meet(number, keys, rule, *found)

    def set_phone(self, contact: int, phone: int, rule: MatchRule) -> None:
        """Do as the service does with an update of a phone."""
        (stored,) = self._db.execute("SELECT phone FROM contacts WHERE number = ?", (contact,)).fetchone()
        holder = self._holder(phone)
        if holder is not None and holder != contact and not rule.allows_duplicates:
            self.forecast.refused_phones += 1
        else:
            self._change(contact, "phone", stored, phone, is_matched=False)

    def _find(self, keys: Mapping[str, int | None], order: Iterable[str]) -> tuple[int, str] | None:
        for field in order:
            contact = self._holder(keys.get(field))
            if contact is not None:
                return contact, field
        return None

    def _holder(self, key: int | None) -> int | None:
        """Return the contact that has an email or phone; of several the oldest."""
        row = self._db.execute("SELECT min(contact) FROM holders WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def _make(self, number: int, keys: Mapping[str, int | None]) -> None:
        self._db.execute("INSERT INTO contacts VALUES (?, ?, ?)", (number, keys["email"], keys["phone"]))
        self._db.execute("INSERT INTO met VALUES (?, ?, 'makes', NULL)", (number, number))
        held = [(key, number) for key in keys.values() if key is not None]
        self._db.executemany("INSERT OR IGNORE INTO holders VALUES (?, ?)", held)

    def _meet(self, number: int, keys: dict[str, int | None], rule: MatchRule, contact: int, field: str) -> None:
        email, phone = self._db.execute("SELECT email, phone FROM contacts WHERE number = ?", (contact,)).fetchone()
        stored = {"email": email, "phone": phone}
        is_another = is_another_person((keys["email"], keys["phone"]), (email, phone))
        fate: Fate = "overwrites" if is_another else "updates"
        if fate == "updates":
            self.forecast.repeats += 1
        else:
            self.forecast.overwrites += 1
        self._db.execute("INSERT INTO met VALUES (?, ?, ?, ?)", (number, contact, fate, field))
        for name, key in keys.items():
            if key is not None and key != stored[name]:
                self._change(contact, name, stored[name], key, is_matched=name in rule.order)

    def _change(self, contact: int, name: str, old: int | None, new: int, *, is_matched: bool) -> None:
        """Put another email or phone into a contact, unless one that is matched by it has it already."""
        holder = self._holder(new)
        if is_matched and holder is not None and holder != contact:
            if name == "email":
                self.forecast.lost_emails += 1
            else:
                self.forecast.lost_phones += 1
            return
        self._db.execute(f"UPDATE contacts SET {name} = ? WHERE number = ?", (new, contact))  # noqa: S608  (our names)
        self._db.execute("DELETE FROM holders WHERE key = ? AND contact = ?", (old, contact))
        self._db.execute("INSERT OR IGNORE INTO holders VALUES (?, ?)", (new, contact))
