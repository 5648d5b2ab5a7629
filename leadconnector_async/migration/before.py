"""What locations held before a load: their contacts, on disk, to be found by email and phone as an upsert finds them.

Tables of the run, filled before the first write and never changed from then on, so that a load never takes what it
wrote itself for what was there before.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..models import Contact, ContactUpsert
from ..models.contacts import ShapeName
from ..models.identity import Identity, identity_of
from ..models.normal import normal_email, normal_phone
from ..models.search import Cursor, FoundContact
from ..models.wire import read_contact
from ..rules.phones import read_as_of
from ..run.database import Database, seal, unseal
from .matching import USUAL_ORDER, Field, MatchRule

Way: TypeAlias = Literal["pages", "rows"]
"""How contacts are read: all of a location, by pages of a search, or those of each row by a call of its own."""

_SCHEMA: Final = """
CREATE TABLE before_locations (
    id TEXT PRIMARY KEY, asked TEXT NOT NULL, way TEXT NOT NULL, cursor TEXT, is_whole INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE before_contacts (
    number INTEGER PRIMARY KEY, location TEXT NOT NULL, id TEXT NOT NULL, raw BLOB NOT NULL, UNIQUE (location, id)
);
CREATE TABLE before_keys (
    field TEXT NOT NULL, key TEXT NOT NULL, rank INTEGER NOT NULL, contact INTEGER,
    PRIMARY KEY (field, key, rank)
) WITHOUT ROWID;
CREATE TABLE before_wholes (contact INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE before_steps (name TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE before_refused (location TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE before_snapshot (
    location TEXT NOT NULL, id TEXT NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (location, id)
) WITHOUT ROWID;
"""
_SEALED: Final = ("before_contacts", "before_wholes", "before_snapshot")
_OWN: Final = 0  # the rank of the address and number of a contact
_MORE: Final = 1  # and of those beside; the service has been seen to match by them, too
_NOBODY: Final = 2  # it was looked for, and no contact has it
_CONTACTS: Final = """
    SELECT location, id, coalesce(whole.raw, one.raw), whole.raw IS NOT NULL
    FROM before_contacts AS one LEFT JOIN before_wholes AS whole ON whole.contact = one.number
"""
_BY_KEY: Final = "WHERE number = (SELECT contact FROM before_keys WHERE field = ? AND key = ? ORDER BY rank LIMIT 1)"
_FIND: Final = _CONTACTS + _BY_KEY
_GET: Final = _CONTACTS + "WHERE location = ? AND id = ?"
_SHAPES: Final[dict[Way, ShapeName]] = {"pages": "found", "rows": "duplicate"}


class StoredContact(Struct, frozen=True):
    """A contact as it was before the load.

    Attributes:
        location_id: Its location.
        contact_id: Its id.
        raw: Its JSON to the letter.
        shape: How what returned it returns contacts; a search leaves fields out that a read by id has.
        field: By what it was found; None where it was asked for by its id.
    """

    location_id: str
    contact_id: str
    raw: bytes
    shape: ShapeName
    field: Field | None = None

    @property
    def contact(self) -> FoundContact:
        """It, read anew each time."""
        return read_contact(self.raw, FoundContact, self.shape)


class LocationRead(Struct, frozen=True, kw_only=True):
    """How a location matches, and how far its contacts are read.

    Attributes:
        rule: How it matches. Where it allows duplicates, it looks for the email first, whatever its order.
        country: Where its phone numbers are from that name no country, as two letters, or None.
        way: How its contacts are read.
        cursor: Where the next page begins; None for the first.
        is_whole: Whether all pages are read.
    """

    rule: MatchRule = MatchRule()
    country: str | None = None
    way: Way = "pages"
    cursor: Cursor | None = None
    is_whole: bool = False

    @property
    def order(self) -> tuple[str, ...]:
        """By what an upsert looks for a contact there, in this order."""
        return USUAL_ORDER if self.rule.allows_duplicates else self.rule.order


class _Told(Struct):
    rule: MatchRule
    country: str | None


class StoredContacts:
    """The contacts that locations held before a load. Threads may share it.

    Args:
        file: The database of the run, or one without a name.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    def __init__(self, file: Database) -> None:
        self._file = file
        self._locations: dict[str, LocationRead | None] = {}
        file.create(_SCHEMA, sealed=_SEALED)

    # ------------------------------------------------------------------------------------------ what is there

    def identify(self, contact: ContactUpsert, location_id: str) -> Identity:
        """Return whom a contact that is to be sent to a location will be matched with; as `identity_of`, but for phones
        that name no country, which are read as of the location's."""
        phone, country = contact.phone, self.location(location_id).country
        if phone and phone[:1] != "+" and country is not None:
            contact = msgspec.structs.replace(contact, phone=read_as_of(phone, country))
        return identity_of(contact, location_id)

    def find(self, location_id: str, identity: Identity) -> StoredContact | None:
        """Return the contact that an upsert would have met before the load began, or None.

        It is looked for in the order in which the location matches: where email and phone are of two contacts, the
        first in that order is it, and the service ignores the other field.

        Args:
            location_id: Where.
            identity: Whom, as of `identify`.
        """
        for field in self.location(location_id).order:
            found = self.holder(identity, "email" if field == "email" else "phone")
            if found is not None:
                return found
        return None

    def find_met(self, contact: ContactUpsert, location_id: str, identity: Identity) -> StoredContact | None:
        """Return the contact that a row would have met: that of its id, else as `find`."""
        return self.find(location_id, identity) if contact.id is UNSET else self.get(location_id, contact.id)

    def holder(self, identity: Identity, field: Field) -> StoredContact | None:
        """Return the contact that had the email, or the phone, of an identity; of several the oldest."""
        key = getattr(identity, field)
        found = self._file.read(_FIND, field, key) if key else ()
        return self._stored(found[0], field) if found else None

    def get(self, location_id: str, contact_id: str) -> StoredContact | None:
        """Return a contact by its id, or None where it is not known to have been there."""
        found = self._file.read(_GET, location_id, contact_id)
        return self._stored(found[0], None) if found else None

    def _stored(self, record: Sequence[Any], field: Field | None) -> StoredContact:
        location_id, contact_id, raw, is_whole = record
        shape: ShapeName = "whole" if is_whole else _SHAPES[self.location(location_id).way]
        return StoredContact(location_id, contact_id, _unpack(raw), shape, field)

    def location(self, location_id: str) -> LocationRead:
        """Return how far a location is read; one that was not begun is as usual."""
        return self._location(location_id) or LocationRead()

    def is_begun(self, location_id: str) -> bool:
        """Whether reading a location was begun."""
        return self._location(location_id) is not None

    def _location(self, location_id: str) -> LocationRead | None:
        if location_id not in self._locations:
            found = self._file.read(
                "SELECT asked, way, cursor, is_whole FROM before_locations WHERE id = ?", location_id
            )
            self._locations[location_id] = _read_location(found[0]) if found else None
        return self._locations[location_id]

    def lacks(self, identity: Identity, field: Field) -> bool:
        """Whether the email, or phone, of an identity is still to be looked up."""
        key = getattr(identity, field)
        return bool(key) and not self._file.read("SELECT 1 FROM before_keys WHERE field = ? AND key = ?", field, key)

    def lacks_id(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact is still to be looked up by its id."""
        query = "SELECT 1 FROM before_keys WHERE field = 'id' AND key = ?"
        return not self._file.read(query, f"{location_id} {contact_id}")

    def add_by_id(self, location_id: str, contact_id: str, contact: Contact | None) -> None:
        """Add what a look-up by an id returned: None where there is no such contact."""
        with self._file.transaction() as db:
            number = None if contact is None else self._add(db, location_id, contact)
            record = ("id", f"{location_id} {contact_id}", _OWN, number)
            db.execute("INSERT OR IGNORE INTO before_keys VALUES (?, ?, ?, ?)", record)
        if contact is not None:
            self.add_whole(location_id, contact)

    @property
    def is_finished(self) -> bool:
        """Whether all that a load asked for is read."""
        return self.was_finished and not self.refused

    @property
    def was_finished(self) -> bool:
        """Whether all of it is read but for locations that took no calls, to which nothing was sent either."""
        return bool(self._file.read("SELECT 1 FROM before_steps WHERE name = 'finished'"))

    @property
    def refused(self) -> set[str]:
        """Locations that took no calls when they were to be read."""
        return {location for (location,) in self._file.read("SELECT location FROM before_refused")}

    @property
    def is_completed(self) -> bool:
        """Whether the contacts were read by id of which a load needs to know more."""
        return bool(self._file.read("SELECT 1 FROM before_steps WHERE name = 'completed'"))

    def is_whole(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was read by its id."""
        found = self._file.read(_GET, location_id, contact_id)
        return bool(found and found[0][3])

    @property
    def count(self) -> int:
        """How many contacts there are."""
        ((found,),) = self._file.read("SELECT count(*) FROM before_contacts")
        return int(found)

    # ------------------------------------------------------------------------------------------ filling it

    def begin(self, location_id: str, read: LocationRead) -> None:
        """Note how a location matches, and how it is to be read."""
        told = msgspec.json.encode(_Told(read.rule, read.country)).decode()
        with self._file.transaction() as db:
            db.execute("INSERT INTO before_locations (id, asked, way) VALUES (?, ?, ?)", (location_id, told, read.way))
        self._locations.pop(location_id, None)

    def add_page(self, location_id: str, contacts: Sequence[FoundContact], cursor: Cursor | None) -> None:
        """Add contacts of a search, the oldest first.

        Args:
            location_id: Where they are.
            contacts: The next ones.
            cursor: Where to go on; None where these were the last.
        """
        after = None if cursor is None else msgspec.json.encode(cursor).decode()
        with self._file.transaction() as db:
            for contact in contacts:
                self._add(db, location_id, contact)
            db.execute(
                "UPDATE before_locations SET cursor = ?, is_whole = ? WHERE id = ?",
                (after, cursor is None, location_id),
            )
        self._locations.pop(location_id, None)

    def add_found(self, location_id: str, keys: Iterable[tuple[Field, str]], contact: Contact | None) -> None:
        """Add what a look-up returned; none of its keys is to be looked up again.

        Args:
            location_id: Where.
            keys: The fields, with what an `Identity` has of them, to which this is the answer.
            contact: The contact, or None where nobody has them.
        """
        with self._file.transaction() as db:
            number = None if contact is None else self._add(db, location_id, contact)
            rank = _NOBODY if contact is None else _MORE
            db.executemany(
                "INSERT OR IGNORE INTO before_keys VALUES (?, ?, ?, ?)",
                [(field, key, rank, number) for field, key in keys],
            )

    def finish(self, now: float, refused: Iterable[str] = ()) -> None:
        """Note that all is read that the load asks for, in seconds since 1970, but for locations that take no calls."""
        with self._file.transaction() as db:
            db.executemany("INSERT OR IGNORE INTO before_refused VALUES (?)", [(location,) for location in refused])
            db.execute("UPDATE before_locations SET is_whole = 1 WHERE id NOT IN before_refused")
            db.execute("INSERT OR REPLACE INTO before_steps VALUES ('finished', ?)", (now,))
        self._locations.clear()

    def settle(self, refused: Iterable[str]) -> None:
        """Note, once all is read and completed, which locations are still to be read, as they take no calls."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM before_refused")
            db.executemany("INSERT INTO before_refused VALUES (?)", [(location,) for location in refused])
            db.execute("UPDATE before_locations SET is_whole = 1 WHERE id NOT IN before_refused")
        self._locations.clear()

    def add_whole(self, location_id: str, contact: Contact) -> None:
        """Keep a contact that was read by its id in the place of what a search said of it."""
        raw = _pack(contact.raw)
        with self._file.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO before_wholes"
                " SELECT number, ? FROM before_contacts WHERE location = ? AND id = ?",
                (raw, location_id, contact.id),
            )

    def complete(self, now: float) -> None:
        """Note that the contacts are read by id of which the load needs to know more, in seconds since 1970."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO before_steps VALUES ('completed', ?)", (now,))

    def _add(self, db: sqlite3.Connection, location_id: str, contact: Contact) -> int:
        """Add a contact with what it is matched by, and return its number; one that is there stays as it is."""
        known = db.execute(
            "SELECT number FROM before_contacts WHERE location = ? AND id = ?", (location_id, contact.id)
        )
        for (number,) in known:
            return int(number)
        record = location_id, contact.id, _pack(contact.raw)
        number = db.execute("INSERT INTO before_contacts (location, id, raw) VALUES (?, ?, ?)", record).lastrowid or 0
        keys = [(field, f"{location_id} {key}", rank, number) for field, key, rank in keys_of(contact)]
        db.executemany("INSERT OR IGNORE INTO before_keys VALUES (?, ?, ?, ?)", keys)
        return number


def _read_location(record: Sequence[Any]) -> LocationRead:
    text, way, cursor, is_whole = record
    told = msgspec.json.decode(text, type=_Told)
    return LocationRead(
        rule=told.rule,
        country=told.country,
        way=way,
        cursor=None if cursor is None else msgspec.json.decode(cursor, type=Cursor),
        is_whole=bool(is_whole),
    )


def keys_of(contact: Contact) -> Iterator[tuple[Field, str, int]]:
    """Yield what a contact is matched by, in its normal form: its own email and phone, then those beside."""
    if contact.email:
        yield "email", normal_email(contact.email), _OWN
    if contact.phone:
        yield "phone", normal_phone(contact.phone), _OWN
    for email in getattr(contact, "additional_emails", None) or ():
        if text := email if isinstance(email, str) else email.email:
            yield "email", normal_email(text), _MORE
    for phone in getattr(contact, "additional_phones", None) or ():
        if text := phone if isinstance(phone, str) else phone.phone:
            yield "phone", normal_phone(text), _MORE


# ---------------------------------------------------------------------------------------------- the snapshot

# What locations held is read already (`stored`), and what a search left out of it is read by id before the load
# (`completion`).


class Snapshot:
    """The contacts that were read whole, so that an undo can restore them.

    Args:
        file: The database of the run.
        stored: What locations held.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    def __init__(self, file: Database, stored: StoredContacts) -> None:
        self._file = file
        self._stored = stored

    @property
    def is_completed(self) -> bool:
        """Whether all that a load may change is read, so that it may begin."""
        return bool(self._file.read("SELECT 1 FROM before_steps WHERE name = 'kept'"))

    def complete(self, now: float) -> None:
        """Note that all is read, in seconds since 1970."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO before_steps VALUES ('kept', ?)", (now,))

    def is_whole(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was read whole."""
        query = "SELECT 1 FROM before_snapshot WHERE location = ? AND id = ?"
        return bool(self._file.read(query, location_id, contact_id))

    def was_there(self, location_id: str, contact_id: str) -> bool:
        """Whether a contact was there before the run. This is surer than what tells of a row whose answer was lost
        whether it created its contact."""
        return self.is_whole(location_id, contact_id) or self._stored.get(location_id, contact_id) is not None

    def add_whole(self, location_id: str, contact: Contact) -> None:
        """Keep a contact that was read whole; what was kept first stays."""
        record = location_id, contact.id, _pack(contact.raw)
        with self._file.transaction() as db:
            db.execute("INSERT OR IGNORE INTO before_snapshot VALUES (?, ?, ?)", record)

    def find(self, location_id: str, contact_id: str) -> Contact | None:
        """Return a contact as it was before the run, as far as it is known; None where it is not known to have been
        there."""
        query = "SELECT raw FROM before_snapshot WHERE location = ? AND id = ?"
        found = self._file.read(query, location_id, contact_id)
        if found:
            return read_contact(_unpack(found[0][0]), Contact, "whole")
        stored = self._stored.get(location_id, contact_id)
        return None if stored is None else stored.contact


def _pack(raw: bytes) -> bytes:
    return seal(zlib.compress(raw, 1))


def _unpack(packed: bytes) -> bytes:
    return zlib.decompress(unseal(packed))
