"""Everything the sandbox stores, and what the service does with a contact that it receives."""

from __future__ import annotations

import random
import string
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from .answers import Refusal, contact_not_found, duplicate, permanent_dnd
from .custom_fields import CustomFieldDefinition, DefinedFields
from .logins import IssuedTokens
from .shelves import Fields, Shelf
from .validation import NAMES, apply, clean_tags, is_number, normalise, read_time

# ---------------------------------------------------------------------------------------------- the view of searches

IsMatch: TypeAlias = Callable[[Fields], bool]
SortOrder: TypeAlias = tuple[tuple[str, bool], ...]
"""Fields to sort by, each with whether it descends; the id decides at last."""

NEWEST_FIRST: Final[SortOrder] = (("dateAdded", True),)
_TIMES: Final = ("dateAdded", "dateUpdated")
_MOST_REMEMBERED: Final = 4


class SearchView:
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
        self._selected: dict[tuple[str, str, SortOrder], tuple[int, list[Fields]]] = {}
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

    def select(self, location_id: str, order: SortOrder, is_match: IsMatch, key: str) -> list[Fields]:
        """Return the contacts of a location that match, in order.

        Args:
            key: Identifies the query, so that the pages of one search need not be sorted each time.
        """
        self._catch_up()
        generation, found = self._selected.get((location_id, key, order), (-1, []))
        if generation != self._seen.generation:
            found = in_order(filter(is_match, self._seen.of(location_id)), order)
            if len(self._selected) >= _MOST_REMEMBERED:
                del self._selected[next(iter(self._selected))]
            self._selected[location_id, key, order] = self._seen.generation, found
        return found


def in_order(contacts: Iterable[Fields], order: SortOrder) -> list[Fields]:
    """Sort contacts; those without a value come last, whichever way a field is sorted."""
    rows = sorted(contacts, key=lambda contact: str(contact["id"]))
    for field, descends in reversed(order):
        rows.sort(key=lambda contact: _rank(contact.get(field), descends), reverse=descends)
    return rows


def _rank(value: Any, descends: bool) -> tuple[bool, Any]:
    return ((value is None) != descends, "" if value is None else value.lower() if isinstance(value, str) else value)


def sort_values(contact: Fields, order: SortOrder) -> list[Any]:
    """Return where a contact stands in an order, as searches write it: times in milliseconds, the id last."""
    return [*(_place(field, contact.get(field)) for field, _ in order), contact["id"]]


def _place(field: str, value: Any) -> Any:
    if field in _TIMES and value is not None:
        return milliseconds(value)
    return value.lower() if isinstance(value, str) else value


def milliseconds(text: str) -> int:
    """Return a stored time in milliseconds since 1970."""
    time = read_time(text)
    return 0 if time is None else round(time.timestamp() * 1000)


def fits_order(cursor: list[Any], order: SortOrder) -> bool:
    """Say whether values can stand for a place in an order."""
    if len(cursor) != len(order) + 1 or not isinstance(cursor[-1], str):
        return False
    return all(value is None or _is_of(field, value) for value, (field, _) in zip(cursor, order, strict=False))


def _is_of(field: str, value: Any) -> bool:
    if field in _TIMES:
        return is_number(value)
    return isinstance(value, bool if field == "dnd" else str)


def comes_after(values: list[Any], cursor: list[Any], order: SortOrder) -> bool:
    """Say whether one place in an order comes after another; those without a value are last."""
    for value, before, descends in zip(values, cursor, (*(descends for _, descends in order), False), strict=True):
        if value == before:
            continue
        if value is None or before is None:
            return value is None
        return bool(value < before if descends else value > before)
    return False


_ID_LETTERS = string.ascii_letters + string.digits


class Records:
    """The contacts of all locations, and what belongs to them.

    Args:
        allow_duplicates: The location setting "Allow Duplicate Contact".
        unique_identifiers: What contacts are matched by, in order: `email`, `phone` or both.
        custom_fields: What the locations define, until they change it.
        refuse_unknown_custom_fields: Whether an unknown custom field is refused; else it is dropped without a word.
        country: The locations' country, two letters.
        locations: Those that are there before they are written to.
        search_lag: How long a change takes to show in searches, in seconds.
        searches_without_dnd: Whether searches leave out do-not-disturb by channel.
        replaces_dnd: Whether `dndSettings` replace all channels of a contact, rather than those that they name.
        chance: The source of ids.
        wall: Seconds since 1970.
        monotonic: The clock of the lag.
        tags_move_date: Whether adding and removing tags moves `dateUpdated`.
    """

    def __init__(
        self,
        *,
        allow_duplicates: bool,
        unique_identifiers: tuple[str, ...],
        custom_fields: Iterable[CustomFieldDefinition],
        refuse_unknown_custom_fields: bool,
        country: str,
        locations: Iterable[str],
        search_lag: float,
        chance: random.Random,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        searches_without_dnd: bool = False,
        replaces_dnd: bool = False,
        tags_move_date: bool = True,
    ) -> None:
        self.searches_without_dnd = searches_without_dnd
        self._replaces_dnd = replaces_dnd
        self.allow_duplicates = allow_duplicates
        self.unique_identifiers = unique_identifiers
        self.country = country
        self._named_locations = tuple(locations)
        self._usual_fields = DefinedFields(custom_fields)
        self._tags_move_date = tags_move_date
        self._refuse_unknown = refuse_unknown_custom_fields
        self._chance = chance
        self._wall = wall
        self.contacts = Shelf("contact", "locationId")
        self.notes = Shelf("note", "contactId")
        self.tasks = Shelf("task", "contactId")
        self.appointments = Shelf("appointment", "contactId")
        self.enrolments = Shelf("enrolment", "contactId")
        self.locations = Shelf("location", "id")
        self.definitions = Shelf("definitions", "id")
        self.logins = IssuedTokens(chance, wall)
        self.search_view = SearchView(self.contacts, search_lag, monotonic)
        self.writes: dict[str, int] = {}
        self._ids: dict[tuple[str, str, str], dict[str, None]] = {}  # (location, field, value) -> ids, oldest first
        self._custom_fields: dict[str, DefinedFields] = {}  # of the locations that changed theirs

    @property
    def shelves(self) -> tuple[Shelf, ...]:
        """All that is stored."""
        return (self.contacts, *self._of_a_contact, self.locations, self.definitions, *self.logins.shelves)

    @property
    def _of_a_contact(self) -> tuple[Shelf, ...]:
        return self.notes, self.tasks, self.appointments, self.enrolments

    def load(self, records: Iterable[tuple[str, Fields]]) -> None:
        """Hold these records, each with its kind, and no others."""
        found: dict[str, list[Fields]] = {}
        for kind, record in records:
            found.setdefault(kind, []).append(record)
        for shelf in self.shelves:
            shelf.load(found.get(shelf.kind, []))
        self._ids.clear()
        for contact in self.contacts.values():
            self._index(contact)
        self.search_view.load(self.contacts)
        self._custom_fields = {
            record["id"]: DefinedFields(msgspec.convert(record["customFields"], list[CustomFieldDefinition]))
            for record in self.definitions.values()
        }

    # ------------------------------------------------------------------------------------------ contacts

    def upsert(self, sent: Fields) -> tuple[Fields, bool]:
        """Create or update a contact and say whether it is new.

        Raises:
            Refusal: 400 without email and phone, for a phone that is none, or for a channel that is closed for good.
        """
        sent = dict(sent)
        location_id = sent.pop("locationId")
        may_duplicate = sent.pop("createNewIfDuplicateAllowed", False) and self.allow_duplicates
        fields = self._normalise(sent, location_id)
        if not (fields.get("email") or fields.get("phone")):
            raise Refusal(400, "Contact must have an email or a phone")
        found = {} if may_duplicate else dict(self._find(location_id, fields))
        target = next(iter(found.values()), None)
        _refuse_permanent(fields, {} if target is None else self.contacts[target])
        if target is None:
            return self._store_new(location_id, fields), True
        for field, contact_id in found.items():
            if contact_id != target:
                del fields[field]  # another contact holds it; ignored without a word
        fields.pop("gender", None)
        return self._change(self.contacts[target], fields), False

    def create(self, sent: Fields, *, is_seed: bool = False) -> Fields:
        """Create a contact.

        Args:
            sent: Its fields.
            is_seed: Whether it may be as only the service itself makes contacts, with channels closed for good.

        Raises:
            Refusal: 400 for a duplicate, with its id, or for a channel that is to be closed for good; 400 with a body
                that says 422 where there is only a location.
        """
        sent = dict(sent)
        location_id = sent.pop("locationId")
        fields = self._normalise(sent, location_id)
        if not any(fields.get(name) for name in (*NAMES, "email", "phone", "companyName")):
            raise Refusal(400, "contact must have a name, an email or a phone", statusCode=422)
        self._refuse_duplicate(location_id, fields, but="")
        if not is_seed:
            _refuse_permanent(fields, {})
        return self._store_new(location_id, fields)

    def update(self, contact_id: str, sent: Fields) -> Fields:
        """Change a contact.

        Raises:
            Refusal: 400 where there is none, another one has the new email or phone, or for a channel that is closed
                for good.
        """
        contact = self.get(contact_id)
        fields = self._normalise(sent, contact["locationId"])
        self._refuse_duplicate(contact["locationId"], fields, but=contact_id)
        _refuse_permanent(fields, contact)
        return self._change(contact, fields)

    def get(self, contact_id: str) -> Fields:
        """Return a contact, or raise the refusal for one that is not there."""
        contact = self.contacts.get(contact_id)
        if contact is None:
            raise contact_not_found(contact_id)
        return contact

    def delete(self, contact_id: str) -> None:
        """Delete a contact with all that belongs to it, or raise the refusal for one that is not there."""
        self._unindex(self.get(contact_id))
        for shelf in self._of_a_contact:
            shelf.take_all_of(contact_id)
        self.contacts.take(contact_id)

    def change_tags(self, contact_id: str, tags: list[str], *, add: bool) -> list[str]:
        """Add or remove tags and return all that the contact has then."""
        contact = self.get(contact_id)
        had, named = contact.get("tags", []), clean_tags(tags)
        now = clean_tags([*had, *named]) if add else [tag for tag in had if tag not in named]
        stamp = None if self._tags_move_date else contact["dateUpdated"]
        return list(self._change(contact, {"tags": now}, stamp).get("tags", []))

    def set_field(self, contact: Fields, name: str, value: object) -> None:
        """Change one field of a stored contact that needs no checks; None removes it."""
        self._change(contact, {name: value})

    def find_duplicate(self, location_id: str, sent: Fields) -> Fields | None:
        """Return the contact that an upsert with this email or phone would update, or None.

        Raises:
            Refusal: 400 for a phone that is none.
        """
        fields = self._normalise(sent, location_id)
        found = next((contact_id for _, contact_id in self._find(location_id, fields)), None)
        return None if found is None else self.contacts[found]

    # ------------------------------------------------------------------------------------------ locations

    def location_ids(self) -> list[str]:
        """Return the locations there are: those that have a name, then those that were written to."""
        return list(dict.fromkeys((*self._named_locations, *self.locations)))

    def custom_fields(self, location_id: str) -> DefinedFields:
        """Return what a location defines."""
        return self._custom_fields.get(location_id, self._usual_fields)

    def define(self, location_id: str, definitions: Iterable[CustomFieldDefinition]) -> None:
        """Let a location define these custom fields; values of others go from its contacts."""
        before, fields = self.custom_fields(location_id), DefinedFields(definitions)
        self._know(location_id)
        self._custom_fields[location_id] = fields
        self.definitions.put({"id": location_id, "customFields": msgspec.to_builtins(list(fields.by_id.values()))})
        gone = before.by_id.keys() - fields.by_id.keys()
        for contact in self.contacts.of(location_id) if gone else ():
            if not gone.isdisjoint(field["id"] for field in contact["customFields"]):
                contact["customFields"] = [field for field in contact["customFields"] if field["id"] not in gone]
                self.contacts.put(contact)

    def _know(self, location_id: str) -> None:
        if location_id not in self.locations:
            self.locations.put({"id": location_id})

    # ------------------------------------------------------------------------------------------ matching

    def _find(self, location_id: str, fields: Fields) -> Iterator[tuple[str, str]]:
        """Yield each identifier that some contact has already, with the id of the oldest, in the order of matching."""
        # With duplicates allowed, a lookup goes by email first and phone second, whatever the setting.
        for field in ("email", "phone") if self.allow_duplicates else self.unique_identifiers:
            if fields.get(field):
                ids = self._ids.get((location_id, field, fields[field]))
                if ids:
                    yield field, next(iter(ids))

    def _refuse_duplicate(self, location_id: str, fields: Fields, *, but: str) -> None:
        if self.allow_duplicates:
            return
        for field, contact_id in self._find(location_id, fields):
            if contact_id != but:
                raise duplicate(self.contacts[contact_id], field)

    def _index(self, contact: Fields) -> None:
        for field in ("email", "phone"):
            if field in contact:
                self._ids.setdefault((contact["locationId"], field, contact[field]), {})[contact["id"]] = None

    def _unindex(self, contact: Fields) -> None:
        for field in ("email", "phone"):
            if field in contact:
                key = (contact["locationId"], field, contact[field])
                ids = self._ids[key]
                del ids[contact["id"]]
                if not ids:
                    del self._ids[key]

    # ------------------------------------------------------------------------------------------ writing

    def _normalise(self, sent: Fields, location_id: str) -> Fields:
        return normalise(sent, self.country, self.custom_fields(location_id), refuse_unknown=self._refuse_unknown)

    def _store_new(self, location_id: str, fields: Fields) -> Fields:
        self._know(location_id)
        now = self.now()
        contact: Fields = {
            "id": self.new_id(self.contacts),
            "locationId": location_id,
            "type": "lead",
            "country": self.country,
            "dnd": False,
            "tags": [],
            "customFields": [],
            "dateAdded": now,
        }
        return self._change(contact, fields, now)

    def _change(self, contact: Fields, fields: Fields, stamp: str | None = None) -> Fields:
        if contact["id"] in self.contacts:
            self._unindex(contact)
        apply(contact, fields, replaces_dnd=self._replaces_dnd)
        contact["dateUpdated"] = stamp or self.now()
        self._index(contact)
        self.writes[contact["id"]] = self.writes.get(contact["id"], 0) + 1
        return self.contacts.put(contact)

    def new_id(self, taken: Shelf) -> str:
        """Make an id like the service's, 20 letters and digits, that no record has."""
        while True:  # with a seed and a data file, chance begins anew
            new = "".join(self._chance.choices(_ID_LETTERS, k=20))
            if new not in taken:
                return new

    def now(self) -> str:
        """Return the time as the service writes it."""
        return write_time(datetime.fromtimestamp(self._wall(), UTC))


def _refuse_permanent(fields: Fields, contact: Fields) -> None:
    """Refuse to change a channel that is closed for good, and to close one so; what is stored may be sent again."""
    stored = contact.get("dndSettings", {})
    for channel, setting in fields.get("dndSettings", {}).items():
        is_permanent = "permanent" in (setting["status"], _words(stored.get(channel)).get("status"))
        if is_permanent and _words(setting) != _words(stored.get(channel)):
            raise permanent_dnd(channel)


def _words(setting: Any) -> Fields:
    """Return what an entry says; null says as little as nothing."""
    return {name: word for name, word in setting.items() if word is not None} if isinstance(setting, dict) else {}


def write_time(time: datetime) -> str:
    """Write a time in UTC as the service does."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
