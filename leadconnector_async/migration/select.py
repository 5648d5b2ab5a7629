"""Which rows of a load are sent, and what of them, by what was there before it began.

What an earlier row of the same load does counts, too: a row about somebody whom an earlier one was sent about is not
compared with what was there before that, but sent (with `fill_empty`, without what was there before the load).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct

from ..bulk.closing import closings_of, find_open
from ..bulk.source import Closing, Skipped
from ..models import Contact, ContactUpsert, CustomField
from ..models.compare import find_not_applied
from ..models.contacts import NotApplied
from ..models.fields import KEYS, NAMES, given_fields, is_empty
from ..models.identity import Identity
from ..models.normal import normal_tags
from .before import StoredContact, StoredContacts
from .matching import Field

# ---------------------------------------------------------------------------------------------- what would change

# Searches leave fields out. Where it is not known whether something would change, it counts as a change.


def find_changes(sent: ContactUpsert, stored: Contact, *, replaces_tags: bool) -> tuple[NotApplied, ...]:
    """List the fields of a contact that an upsert would change, each with what would be there and what is.

    Args:
        sent: The upsert.
        stored: The contact that it meets.
        replaces_tags: Whether its tags replace all that are there, rather than are added to them.
    """
    if sent.tags is not UNSET:
        kept = () if replaces_tags else stored.tags or ()
        sent = msgspec.structs.replace(sent, tags=sorted({*normal_tags(sent.tags), *kept}))
    found = find_not_applied(sent, stored, exactly=True)
    inbound = sent.inbound_dnd_settings
    if inbound is not UNSET and stored.inbound_dnd_settings is None and stored.knows("inbound_dnd_settings"):
        found = (*found, NotApplied("inbound_dnd_settings", msgspec.to_builtins(inbound), None))
    return found


# ---------------------------------------------------------------------------------------------- filling


def fields_filled(row: ContactUpsert) -> Iterator[str]:
    """Yield the fields that a row may fill, by their names in Python: what they hold must be known before."""
    for field in given_fields(row):
        if field.is_filled and not is_empty(getattr(row, field.name)):
            yield field.name


_BY_PARTS: Final = (*KEYS, *NAMES, "custom_fields")


def fill_empty(sent: ContactUpsert, holders: Sequence[Contact], keys: Iterable[str]) -> ContactUpsert | None:
    """Return of an upsert what overwrites nothing, or None where that is nothing.

    The channels that it closes are left out: they are closed whatever is there, apart from this.

    Args:
        sent: The upsert.
        holders: Whom it may meet. Of a field that one of them does not tell, nothing is sent.
        keys: By what it finds them, and what nobody has: `email`, `phone`, or both. The others are not sent.
    """
    keys = set(keys)
    kept: dict[str, Any] = {"location_id": sent.location_id, "id": sent.id}
    kept |= {key: getattr(sent, key) for key in keys}
    kept |= _kept_fields(sent, holders)
    kept |= {name: getattr(sent, name) for name in _kept_names(sent, holders)}
    if custom := [field for field in sent.custom_fields or () if _is_free(field, holders)]:
        kept["custom_fields"] = custom
    has_new_tags = any(not normal_tags(sent.tags) <= set(holder.tags or ()) for holder in holders)
    if has_new_tags:
        kept["tags"] = sent.tags
    is_key_new = any(not any(getattr(holder, key) for holder in holders) for key in keys)
    is_anything = has_new_tags or is_key_new or len(kept) > 2 + len(keys)
    return ContactUpsert(**kept) if is_anything else None


def _kept_fields(sent: ContactUpsert, holders: Sequence[Contact]) -> dict[str, Any]:
    names = [name for name in fields_filled(sent) if name not in _BY_PARTS]
    return {name: getattr(sent, name) for name in names if all(lacks(holder, name) for holder in holders)}


def lacks(holder: Contact, name: str) -> bool:
    """Whether a contact is known to have nothing in a field."""
    return is_empty(getattr(holder, name)) and holder.knows(name)


def _kept_names(sent: ContactUpsert, holders: Sequence[Contact]) -> list[str]:
    """Return which names are sent: parts that are missing beside the other, and the whole where there is none."""
    given = [name for name in fields_filled(sent) if name in NAMES]
    *parts, whole = NAMES
    for contact in holders:
        is_in_parts = not all(lacks(contact, part) for part in parts)
        has_name = is_in_parts or not lacks(contact, whole)
        given = [name for name in given if not has_name or (is_in_parts and name in parts and lacks(contact, name))]
    return given


def _is_free(field: CustomField, holders: Sequence[Contact]) -> bool:
    """Whether a custom field is empty. Answers name fields by id alone: of one known by key it is, where all are."""
    if is_empty(field.field_value):
        return False
    if not all(holder.knows("custom_fields") for holder in holders):
        return False
    values = [value for holder in holders for value in holder.custom_fields or () if not is_empty(value.value)]
    return not values if field.id is UNSET else all(value.id != field.id for value in values)


_IS_THERE: Final = "the contact existed before the load (`only_new`)"
_IS_NOT_THERE: Final = "the contact did not exist before the load (`only_existing`)"
_IS_FULL: Final = "all fields that it would fill were filled already (`fill_empty`)"
_IS_THE_SAME: Final = "everything in it was stored already (`skip_unchanged`)"
_BUT_OPT_OUT: Final = "; only its opt-out is sent"


class Selection(Struct, frozen=True, kw_only=True):
    """Which rows are sent, and what of them.

    Attributes:
        only_new: Those alone whose contact was not there before the load.
        only_existing: Those alone whose contact was.
        fill_empty: Of those whose contact was there, only the fields that were empty.
        skip_unchanged: Not those that would change nothing.
    """

    only_new: bool = False
    only_existing: bool = False
    fill_empty: bool = False
    skip_unchanged: bool = False

    @property
    def is_any(self) -> bool:
        """Whether some rows may not be sent, or not as they are."""
        return bool(self.names())

    def names(self) -> list[str]:
        """Return the names of the options that are set."""
        return [name for name, is_set in msgspec.structs.asdict(self).items() if is_set]


def read_selection(text: str) -> Selection:
    """Read what `Selection.names` wrote, joined by spaces."""
    names = text.split()
    return Selection(**{name: name in names for name in Selection.__struct_fields__})


class Choice(Struct, frozen=True):
    """What is done with a row, and why.

    Attributes:
        what: What is sent, or why nothing is; what the row closes is sent in either case.
        stored: The contact that it met before the load, or None.
        changes: What it would change of that.
        is_after_another: Whether an earlier row was sent about the same person.
    """

    what: ContactUpsert | Skipped | Closing
    stored: StoredContact | None
    changes: tuple[NotApplied, ...]
    is_after_another: bool

    @property
    def kind(self) -> Literal["new", "changed", "same"]:
        """What the contact of the row is, against what was there before."""
        if self.stored is None:
            return "new"
        return "changed" if self.changes else "same"


class Chooser:
    """Chooses what is done with the rows of a load. It is shown all of them once, in their order. Close it in the end.

    Args:
        selection: What is wanted.
        stored: What was there before; read to the end.
        location_id: Of rows that name none.
        replaces_tags: Whether tags replace all that a contact has.

    Raises:
        JournalError: What was there cannot be read. `choose` raises this, too.
    """

    def __init__(self, selection: Selection, stored: StoredContacts, *, location_id: str, replaces_tags: bool) -> None:
        self._selection = selection
        self._stored = stored
        self._location_id = location_id
        self._replaces_tags = replaces_tags
        self._sent = SentRows()

    def close(self) -> None:
        """Let go of what is kept of the rows; what was there before stays open."""
        self._sent.close()

    def choose(self, contact: ContactUpsert, *, whole: ContactUpsert | None = None) -> Choice:
        """Choose what is done with the next row.

        Args:
            contact: What would be sent of it.
            whole: The same with the phone that is to be set afterwards, where there is one.
        """
        later = whole if whole is not None and whole.phone and not contact.phone else None
        location_id = contact.location_id or self._location_id
        identity = self._stored.identify(contact, location_id)
        is_apart = self._makes_duplicate(contact, location_id)
        stored = None if is_apart else self._stored.find_met(contact, location_id, identity)
        keys = [key for key in identity if key]
        ids = [] if stored is None else [stored.contact_id]
        earlier = self._sent.find(keys, ids)
        changes = () if stored is None else self._changes(later or contact, stored)
        what = self._select(contact, stored, changes, identity, earlier, location_id)
        if isinstance(what, Skipped) and what.reason == _IS_FULL and later is not None and self._lacks_phone(stored):
            found_by = {"email": contact.email} if contact.id is UNSET else {"id": contact.id}
            what = ContactUpsert(**found_by, location_id=contact.location_id)
        if isinstance(what, ContactUpsert) and not is_apart:
            self._sent.add(keys, {*ids, *(earlier or ())})
            self._sent.add([_given(one, field) for one in ids for field in KEYS if getattr(what, field)], ids)
        is_whole = what is contact or is_apart
        chosen = what if is_whole else self._with_closing(contact, what, stored, identity, earlier)
        return Choice(chosen, stored, changes, earlier is not None)

    def _with_closing(
        self,
        contact: ContactUpsert,
        what: ContactUpsert | Skipped,
        stored: StoredContact | None,
        identity: Identity,
        earlier: set[str] | None,
    ) -> ContactUpsert | Skipped | Closing:
        """Have a row that is reduced or left out close the channels that it closes all the same."""
        wanted = closings_of(contact)
        if wanted is None:
            return what
        known = stored.contact_id if stored is not None else what.contact_id if isinstance(what, Skipped) else None
        is_closed = stored is not None and not find_open(wanted, stored.contact)
        contact_id = None if is_closed else known
        if isinstance(what, ContactUpsert):
            return what if is_closed and earlier is None else Closing(contact_id, wanted, what)
        met = self._met_otherwise(contact, identity, known)
        if met is not None:
            return Closing(contact_id, wanted, met)
        if is_closed:
            return what
        if contact_id is None:  # a search may not have shown it yet
            return Closing(None, wanted, what)
        return Closing(contact_id, wanted, msgspec.structs.replace(what, reason=what.reason + _BUT_OPT_OUT))

    def _met_otherwise(self, contact: ContactUpsert, identity: Identity, known: str | None) -> ContactUpsert | None:
        """Return what meets the contact, unlike the one that is known, which an earlier row has made or has given the
        email or phone of this one; None where there is none."""
        if contact.id is not UNSET:
            return None
        for field in self._stored.location(contact.location_id or self._location_id).order:
            key = getattr(identity, field)
            if key and self._sent.has_other(key, known or ""):
                sought: dict[str, Any] = {field: getattr(contact, field)}
                return ContactUpsert(**sought, location_id=contact.location_id)
        return None

    def may_write(self, location_id: str, contact_id: str, field: str) -> bool:
        """Return whether a step may write a field of a contact that was upserted without it."""
        stored = self._stored.get(location_id, contact_id) if self._selection.fill_empty else None
        return stored is None or lacks(stored.contact, field)

    def _lacks_phone(self, stored: StoredContact | None) -> bool:
        return stored is not None and lacks(stored.contact, "phone")

    def _makes_duplicate(self, contact: ContactUpsert, location_id: str) -> bool:
        is_wanted = contact.create_new_if_duplicate_allowed is True
        return is_wanted and self._stored.location(location_id).rule.allows_duplicates

    def _changes(self, contact: ContactUpsert, stored: StoredContact) -> tuple[NotApplied, ...]:
        return find_changes(contact, stored.contact, replaces_tags=self._replaces_tags)

    def _select(
        self,
        contact: ContactUpsert,
        stored: StoredContact | None,
        changes: tuple[NotApplied, ...],
        identity: Identity,
        earlier: set[str] | None,
        location_id: str,
    ) -> ContactUpsert | Skipped:
        wanted, contact_id = self._selection, None if stored is None else stored.contact_id
        if stored is not None and wanted.only_new:
            return Skipped(_IS_THERE, contact_id)
        if stored is None and wanted.only_existing:
            return Skipped(_IS_NOT_THERE)
        if stored is not None and wanted.skip_unchanged and not changes and earlier is None:
            return Skipped(_IS_THE_SAME, contact_id)
        if wanted.fill_empty:
            return self._fill(contact, stored, identity, earlier, location_id)
        return contact

    # ------------------------------------------------------------------------------------------ filling

    def _fill(
        self,
        contact: ContactUpsert,
        stored: StoredContact | None,
        identity: Identity,
        earlier: set[str] | None,
        location_id: str,
    ) -> ContactUpsert | Skipped:
        met = [] if stored is None else [stored]
        if earlier is not None:  # it may meet another one now, as an earlier row has given that its phone
            found = [self._stored.get(location_id, contact_id) for contact_id in sorted(earlier)]
            met = list({one.contact_id: one for one in [*met, *self._holders(identity), *found] if one}.values())
        if not met:
            return contact
        holders = [one.contact for one in met]
        filled = fill_empty(contact, holders, self._keys(contact, identity, stored, holders))
        return Skipped(_IS_FULL, met[0].contact_id) if filled is None else filled

    def _order_of(self, contact: ContactUpsert) -> list[Field]:
        order = self._stored.location(contact.location_id or self._location_id).rule.order
        return sorted(KEYS, key=lambda field: order.index(field) if field in order else len(order))

    def _holders(self, identity: Identity) -> Iterator[StoredContact]:
        for field in KEYS:
            if (holder := self._stored.holder(identity, field)) is not None:
                yield holder

    def _keys(
        self, contact: ContactUpsert, identity: Identity, stored: StoredContact | None, holders: Sequence[Contact]
    ) -> Iterator[Field]:
        """Yield which of email and phone are sent: what the contact is found by, and what it lacks and nobody has."""
        given = [field for field in self._order_of(contact) if getattr(contact, field)]
        # Where it is found by what an earlier row gave it, by the first of these; the other could overwrite.
        by = next((field for field in given if self._sent.find([getattr(identity, field)], []) is not None), None)
        for field in given:
            is_found = stored is not None and stored.field == field
            is_lacking = all(lacks(holder, field) for holder in holders)
            is_given = self._sent.find([_given(holder.id, field) for holder in holders], []) is not None
            is_free = is_lacking and not is_given and self._stored.holder(identity, field) is None
            if is_found or is_free or (stored is None and field == by):
                yield field


def _given(contact_id: str, field: Field) -> str:
    """Return what stands for that an earlier row was sent to a contact with an email, or a phone."""
    return f"{contact_id} {field}"


class SentRows:
    """Whom earlier rows of a load were sent about, in a file of SQLite that is gone when this is closed, so that memory
    does not grow with rows."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE sent (key TEXT, contact TEXT, PRIMARY KEY (key, contact)) WITHOUT ROWID")

    def find(self, keys: Iterable[str], ids: Iterable[str]) -> set[str] | None:
        """Return the contacts that earlier rows about a person may have met, or None where there was no such row.

        Args:
            keys: The email and phone of the person, in their normal form.
            ids: The contacts that the person may be.
        """
        found: set[str] = set()
        is_any = False
        for key in [*keys, *ids]:
            for (contact,) in self._db.execute("SELECT contact FROM sent WHERE key = ?", (key,)):
                is_any = True
                found.add(contact)
        return found - {""} if is_any else None

    def has_other(self, key: str, contact_id: str) -> bool:
        """Whether an earlier row with an email, or phone, was sent to another contact than this, or to a new one."""
        query = "SELECT 1 FROM sent WHERE key = ? AND (contact = '' OR contact <> ?)"
        return self._db.execute(query, (key, contact_id)).fetchone() is not None

    def add(self, keys: Iterable[str], ids: Iterable[str]) -> None:
        """Note that a row is sent."""
        ids = list(ids)
        noted = [(key, contact) for key in [*keys, *ids] for contact in ids or [""]]
        self._db.executemany("INSERT OR IGNORE INTO sent VALUES (?, ?)", noted)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._db.close()
