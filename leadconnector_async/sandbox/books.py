"""The contacts of all locations, and what the service does with a contact that it is sent.

Contacts are kept as they go over the wire in version 2021-07-28; fields without a value are left out.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from .custom_fields import CustomFieldDefinition, CustomFields, stored_value
from .phones import read_phone
from .refusals import Refusal, contact_not_found, duplicate
from .validation import dnd_key, read_day

Fields = dict[str, Any]

_ID_LETTERS = string.ascii_letters + string.digits
_NAMES = frozenset(("firstName", "lastName", "name"))


class Books:
    """All that the sandbox has stored.

    Args:
        allow_duplicates: The location setting "Allow Duplicate Contact".
        unique_identifiers: What contacts are matched by, in order: `email`, `phone` or both.
        custom_fields: What the locations define.
        refuse_unknown_custom_fields: Whether an unknown custom field is refused; else it is dropped without a word.
        country: The locations' country, two letters.
        chance: The source of ids.
        wall: Seconds since 1970.
    """

    def __init__(
        self,
        *,
        allow_duplicates: bool,
        unique_identifiers: tuple[str, ...],
        custom_fields: Iterable[CustomFieldDefinition],
        refuse_unknown_custom_fields: bool,
        country: str,
        chance: random.Random,
        wall: Callable[[], float],
    ) -> None:
        self._allow_duplicates = allow_duplicates
        # With duplicates allowed, a lookup goes by email first and phone second, whatever the setting.
        self._identifiers = ("email", "phone") if allow_duplicates else unique_identifiers
        self._custom_fields = CustomFields(custom_fields)
        self._refuse_unknown = refuse_unknown_custom_fields
        self._country = country
        self._chance = chance
        self._wall = wall
        self.contacts: dict[str, Fields] = {}
        self.writes: dict[str, int] = {}
        self._ids: dict[tuple[str, str, str], dict[str, None]] = {}  # (location, field, value) -> ids, oldest first

    # ------------------------------------------------------------------------------------------ operations

    def upsert(self, sent: Fields) -> tuple[Fields, bool]:
        """Create or update a contact and say whether it is new.

        Raises:
            Refusal: 400 without email and phone, or for a phone that is none.
        """
        sent = dict(sent)
        location_id = sent.pop("locationId")
        may_duplicate = sent.pop("createNewIfDuplicateAllowed", False) and self._allow_duplicates
        fields = self._normalise(sent)
        if not (fields.get("email") or fields.get("phone")):
            raise Refusal(400, "Contact must have an email or a phone")
        found = {} if may_duplicate else dict(self._find(location_id, fields))
        if not found:
            return self._store_new(location_id, fields), True
        target = next(iter(found.values()))
        for field, contact_id in found.items():
            if contact_id != target:
                del fields[field]  # another contact holds it; ignored without a word
        fields.pop("gender", None)
        return self._change(self.contacts[target], fields), False

    def create(self, sent: Fields) -> Fields:
        """Create a contact.

        Raises:
            Refusal: 400 for a duplicate, with its id; 400 with a body that says 422 where there is only a location.
        """
        sent = dict(sent)
        location_id = sent.pop("locationId")
        fields = self._normalise(sent)
        if not any(fields.get(name) for name in (*_NAMES, "email", "phone", "companyName")):
            raise Refusal(400, ["contact must have a name, an email or a phone"], statusCode=422)
        self._refuse_duplicate(location_id, fields, but="")
        return self._store_new(location_id, fields)

    def update(self, contact_id: str, sent: Fields) -> Fields:
        """Change a contact.

        Raises:
            Refusal: 400 where there is none, or another one has the new email or phone.
        """
        contact = self.get(contact_id)
        fields = self._normalise(sent)
        self._refuse_duplicate(contact["locationId"], fields, but=contact_id)
        return self._change(contact, fields)

    def get(self, contact_id: str) -> Fields:
        """Return a contact, or raise the refusal for one that is not there."""
        contact = self.contacts.get(contact_id)
        if contact is None:
            raise contact_not_found(contact_id)
        return contact

    def delete(self, contact_id: str) -> None:
        """Delete a contact, or raise the refusal for one that is not there."""
        self._unindex(self.get(contact_id))
        del self.contacts[contact_id]

    def change_tags(self, contact_id: str, tags: list[str], *, add: bool) -> list[str]:
        """Add or remove tags and return all that the contact has then."""
        contact = self.get(contact_id)
        had, named = contact.get("tags", []), _tags(tags)
        now = _tags([*had, *named]) if add else [tag for tag in had if tag not in named]
        return list(self._change(contact, {"tags": now}).get("tags", []))

    # ------------------------------------------------------------------------------------------ matching

    def _find(self, location_id: str, fields: Fields) -> Iterator[tuple[str, str]]:
        """Yield each identifier that some contact has already, with the id of the oldest, in the order of matching."""
        for field in self._identifiers:
            if fields.get(field):
                ids = self._ids.get((location_id, field, fields[field]))
                if ids:
                    yield field, next(iter(ids))

    def _refuse_duplicate(self, location_id: str, fields: Fields, *, but: str) -> None:
        if self._allow_duplicates:
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

    def _store_new(self, location_id: str, fields: Fields) -> Fields:
        now = self._now()
        contact: Fields = {
            "id": self.new_id(),
            "locationId": location_id,
            "type": "lead",
            "country": self._country,
            "dnd": False,
            "tags": [],
            "customFields": [],
            "dateAdded": now,
        }
        self.contacts[contact["id"]] = contact
        return self._change(contact, fields, now)

    def _change(self, contact: Fields, fields: Fields, now: str | None = None) -> Fields:
        self._unindex(contact)
        _apply(contact, fields)
        contact["dateUpdated"] = now or self._now()
        self._index(contact)
        self.writes[contact["id"]] = self.writes.get(contact["id"], 0) + 1
        return contact

    def new_id(self) -> str:
        """Make an id like the service's: 20 letters and digits."""
        return "".join(self._chance.choices(_ID_LETTERS, k=20))

    def _now(self) -> str:
        return datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    # ------------------------------------------------------------------------------------------ normal forms

    def _normalise(self, sent: Fields) -> Fields:
        """Bring what was sent into the form in which it is stored; None and empty stand for no value."""
        fields = dict(sent)
        if fields.get("email"):
            fields["email"] = fields["email"].strip().lower()
        if fields.get("phone"):
            fields["phone"] = read_phone(fields["phone"], self._country)
        if fields.get("dateOfBirth"):
            fields["dateOfBirth"] = read_day(fields["dateOfBirth"])
        if "tags" in fields:
            fields["tags"] = _tags(fields["tags"])
        if "dndSettings" in fields:
            fields["dndSettings"] = {dnd_key(channel): value for channel, value in fields["dndSettings"].items()}
        if "customFields" in fields:
            fields["customFields"] = list(self._normalise_custom_fields(fields["customFields"]))
        return fields

    def _normalise_custom_fields(self, sent: list[Fields]) -> Iterator[Fields]:
        for field in sent:
            definition = self._custom_fields.find(field)
            if definition is None:
                if self._refuse_unknown:
                    raise Refusal(422, [f"custom field {field.get('id') or field.get('key')} does not exist"])
                continue
            value = field.get("fieldValue", field.get("field_value"))
            stored = stored_value(definition, value)
            is_cleared = value is None or value in ("", [])
            if stored is not None or is_cleared:
                yield {"id": definition.id, "value": stored}


def _apply(contact: Fields, fields: Fields) -> None:
    """Change a stored contact in place; what is cleared goes away."""
    for name, value in fields.items():
        if name == "customFields":
            merged = {field["id"]: field for field in [*contact["customFields"], *value]}
            contact[name] = [field for field in merged.values() if field["value"] is not None]
        elif name in ("dndSettings", "inboundDndSettings"):
            contact[name] = {**contact.get(name, {}), **value}
        elif value is None or value == "":
            contact.pop(name, None)
        else:
            contact[name] = value
    if not _NAMES.isdisjoint(fields):
        _complete_names(contact, fields)
    _add_lower_case_twins(contact)


def _complete_names(contact: Fields, fields: Fields) -> None:
    """Split `name` where it came alone, and make it of the two parts where it did not come."""
    if fields.get("name") and not fields.get("firstName") and not fields.get("lastName"):
        first, _, last = fields["name"].strip().partition(" ")
        contact["firstName"] = first
        contact.pop("lastName", None)
        if last.strip():
            contact["lastName"] = last.strip()
    elif not fields.get("name"):
        name = " ".join(contact[part] for part in ("firstName", "lastName") if part in contact)
        contact.pop("name", None)
        if name:
            contact["name"] = name


def _add_lower_case_twins(contact: Fields) -> None:
    twins = {"email": "emailLowerCase", "firstName": "firstNameLowerCase", "lastName": "lastNameLowerCase"}
    for name, twin in {**twins, "name": "fullNameLowerCase"}.items():
        contact.pop(twin, None)
        if name in contact:
            contact[twin] = contact[name].lower()


def _tags(tags: list[str]) -> list[str]:
    """Tags as they are kept: trimmed, in lower case, each once."""
    return list(dict.fromkeys(tag.strip().lower() for tag in tags if tag.strip()))
