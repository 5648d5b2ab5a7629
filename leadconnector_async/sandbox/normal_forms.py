"""How a contact is kept: what becomes of each field that is sent.

Contacts are kept as they go over the wire in version 2021-07-28; fields without a value are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from .custom_fields import CustomFields, stored_value
from .phones import read_phone
from .refusals import Refusal
from .shelves import Fields
from .validation import dnd_key, read_day

NAMES = frozenset(("firstName", "lastName", "name"))
_TWINS = {
    "email": "emailLowerCase",
    "firstName": "firstNameLowerCase",
    "lastName": "lastNameLowerCase",
    "name": "fullNameLowerCase",
}


def normalise(sent: Fields, country: str, definitions: CustomFields, *, refuse_unknown: bool) -> Fields:
    """Bring what was sent into the form in which it is stored; None and empty stand for no value.

    Raises:
        Refusal: 400 for a phone that is none, 422 for an unknown custom field where these are refused.
    """
    fields = dict(sent)
    if fields.get("email"):
        fields["email"] = fields["email"].strip().lower()
    if fields.get("phone"):
        fields["phone"] = read_phone(fields["phone"], country)
    if fields.get("dateOfBirth"):
        fields["dateOfBirth"] = read_day(fields["dateOfBirth"])
    if "tags" in fields:
        fields["tags"] = clean_tags(fields["tags"])
    if "dndSettings" in fields:
        fields["dndSettings"] = {dnd_key(channel): value for channel, value in fields["dndSettings"].items()}
    if "customFields" in fields:
        fields["customFields"] = list(_read_custom_fields(fields["customFields"], definitions, refuse_unknown))
    return fields


def _read_custom_fields(sent: list[Fields], definitions: CustomFields, refuse_unknown: bool) -> Iterator[Fields]:
    for field in sent:
        definition = definitions.find(field)
        if definition is None:
            if refuse_unknown:
                raise Refusal(422, [f"custom field {field.get('id') or field.get('key')} does not exist"])
            continue
        value = field.get("fieldValue", field.get("field_value"))
        stored = stored_value(definition, value)
        is_cleared = value is None or value in ("", [])
        if stored is not None or is_cleared:
            yield {"id": definition.id, "value": stored}


def apply(contact: Fields, fields: Fields) -> None:
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
    if not NAMES.isdisjoint(fields):
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
    for name, twin in _TWINS.items():
        contact.pop(twin, None)
        if name in contact:
            contact[twin] = contact[name].lower()


def clean_tags(tags: list[str]) -> list[str]:
    """Tags as they are kept: trimmed, in lower case, each once."""
    return list(dict.fromkeys(tag.strip().lower() for tag in tags if tag.strip()))
