"""Two waiting rows of one person as one call, where that cannot change what is stored in the end.

Rows of one person are applied in their order. Where the later one sets a field that the earlier one sets too, only the
later value is left, so one call with the later values leaves the same as two. That holds only if both calls would reach
the same contact, if neither would be refused on its own, and if the service looks at the fields one by one. So two rows
are merged only if

- their emails and phones are equal in their normal form, and written so that the service must read them alike;
- no row that shares either waits between them, and the earlier one is not in flight (`Backlog.find_waiting`);
- none may create a duplicate, clears an email or phone, or carries consent, and their tags are the same;
- none replaces a value that the service might have refused: the rest of that row would be stored although on its own it
  would not be. `_RULES` says for each kind of field what may be replaced;
- a whole name does not meet its parts, which the service makes of each other.

What cannot be known before is seen afterwards: a call that was refused, or of which the service dropped a value that
replaced another, is sent again row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..models import ContactUpsert, CustomField, CustomFieldDefinition, NotApplied
from ..models.compare import CUSTOM_PREFIX
from ..models.fields import KEYS, NAMES, UPSERT_FIELDS, ContactField, Kind, is_empty
from ..models.normal import normal_tags, phone_digits
from .row import Upsert

FieldIds: TypeAlias = Mapping[str, str]
"""The ids of a location's custom fields, by all their names."""

Rule: TypeAlias = Literal["key", "replace", "keep", "equal", "never", "custom"]

# replace: the later value counts. keep: two values must be the same, as the service may refuse one of them. equal: the
# same, and one that is not given is another value, too. never: a row with one is not merged.
_RULES: Final[Mapping[Kind, Rule]] = {
    "text": "replace",
    "word": "replace",
    "email": "key",
    "phone": "key",
    "country": "keep",
    "day": "keep",
    "zone": "keep",
    "url": "keep",
    "id": "keep",
    "switch": "never",
    "channels": "never",
    "inbound": "never",
    "tags": "equal",
    "custom": "custom",
    "location": "keep",
    "contact": "never",  # by its id, an email may move from one contact to another
    "option": "never",
}
_ID_CHARS: Final = 20
_PHONE_CHARS: Final = frozenset("0123456789 ().-/")
_KEY_PREFIX: Final = "contact."


def rule_of(field: ContactField) -> Rule:
    """Return what becomes of two values of a field."""
    # The service takes such a field from the row that creates the contact, and drops it from those that follow.
    return "equal" if field.is_stored and not field.restored_by else _RULES[field.kind]


_FIELD_RULES: Final = [(field.name, rule_of(field)) for field in UPSERT_FIELDS]
_NEVER: Final = [name for name, rule in _FIELD_RULES if rule == "never"]
_KEPT: Final = [name for name, rule in _FIELD_RULES if rule in ("keep", "equal")]
_REPLACED: Final = [name for name, rule in _FIELD_RULES if rule == "replace"]
_MUST_BE_GIVEN: Final = frozenset(name for name, rule in _FIELD_RULES if rule == "equal")


class Merged(Struct, frozen=True):
    """Two rows in one.

    Attributes:
        contact: What is sent for both.
        replaced: Fields, as `NotApplied.field` has them, of which the earlier row had another value.
    """

    contact: ContactUpsert
    replaced: frozenset[str]


def is_mergeable(item: Upsert) -> bool:
    """Whether a row may be merged with another at all."""
    contact, identity = item.contact, item.identity
    return (
        item.closing is None
        and item.applied is None
        and any(item.identity)
        and not item.earlier.spans  # an earlier session may have sent it: nobody can tell what it left
        and all(getattr(contact, name) is UNSET for name in _NEVER)
        and all((getattr(contact, key) is UNSET) is not bool(getattr(identity, key)) for key in KEYS)
    )


def merge(one: Upsert, other: Upsert, ids: FieldIds | None) -> Merged | None:
    """Return two mergeable rows in one; None where that might change what is stored in the end.

    Args:
        one: The earlier row, with those that were merged into it.
        other: The later row.
        ids: The custom fields of their location; None where they are not known.
    """
    before, after = one.contact, other.contact
    if one.identity != other.identity or not _are_phones_alike(before.phone, after.phone):
        return None
    if not (_are_kept(before, after) and _are_names_apart(before, after)):
        return None
    fields = _merge_custom_fields(before.custom_fields or [], after.custom_fields or [], ids)
    if fields is None:
        return None
    custom_fields, replaced = fields
    changes = {name: value for name, _ in _FIELD_RULES if (value := getattr(after, name)) is not UNSET}
    for name in _REPLACED:
        if name in changes and getattr(before, name) not in (UNSET, changes[name]):
            replaced.add(name)
    changes["custom_fields"] = custom_fields or UNSET
    return Merged(msgspec.structs.replace(before, **changes), frozenset(replaced))


def _are_phones_alike(one: Any, other: Any) -> bool:
    """Whether the service must read two phones alike, which are equal in their normal form. It reads one without a
    country as one of its location's country, and may refuse what is not written as a number."""
    if one == other:
        return True
    return (
        phone_digits(one) == phone_digits(other)
        and one.strip().startswith("+") == other.strip().startswith("+")
        and _PHONE_CHARS.issuperset(one.strip().removeprefix("+"))
        and _PHONE_CHARS.issuperset(other.strip().removeprefix("+"))
    )


def _are_kept(one: ContactUpsert, other: ContactUpsert) -> bool:
    """Whether the later row has no other value where the earlier one's must stay."""
    return all(_is_kept(name, getattr(one, name), getattr(other, name)) for name in _KEPT)


def _is_kept(name: str, before: Any, after: Any) -> bool:
    if before is UNSET or after is UNSET:
        return before is after or name not in _MUST_BE_GIVEN or (name != "tags" and after is UNSET)
    return bool(normal_tags(before) == normal_tags(after) if name == "tags" else before == after)


def _are_names_apart(one: ContactUpsert, other: ContactUpsert) -> bool:
    """Whether names do not depend on each other: the service makes a whole name of its parts, and the other way round,
    and an empty one anew."""
    before, after = ({name for name in NAMES if getattr(contact, name) is not UNSET} for contact in (one, other))
    whole = NAMES[-1]
    if not before or not after or whole not in before | after:
        return True
    return before == after == {whole} and not (is_empty(one.name) or is_empty(other.name))


def find_own(missing: Iterable[NotApplied], contact: ContactUpsert, ids: FieldIds | None) -> tuple[NotApplied, ...]:
    """Return what was not applied of one of several rows in one call, by the names that the row itself uses.

    Args:
        missing: What was not applied of the call; each row that gives such a field gives the same value.
        contact: The row.
        ids: As of `merge`.
    """
    if not missing:
        return ()
    own = {name: name for name in contact.__struct_fields__ if getattr(contact, name) is not UNSET}
    for field in contact.custom_fields or ():
        name = CUSTOM_PREFIX + _name_of(field)
        own[name] = own[CUSTOM_PREFIX + _name_of(_resolve(field, ids) or field)] = name
    return tuple(msgspec.structs.replace(one, field=own[one.field]) for one in missing if one.field in own)


# ---------------------------------------------------------------------------------------------- custom fields


def ids_of(definitions: Iterable[CustomFieldDefinition]) -> FieldIds:
    """Return the ids of custom fields by all names under which values can be sent."""
    return {
        name: field.id
        for field in definitions
        for key in [(field.field_key or "").removeprefix(_KEY_PREFIX)]
        for name in (field.id, key, _KEY_PREFIX + key)
        if name not in ("", _KEY_PREFIX)
    }


def needs_ids(contact: ContactUpsert) -> bool:
    """Whether a contact has custom fields by other names than their ids, so that two of them may be the same one."""
    return any(field.key or not _is_id(field.id) for field in contact.custom_fields or ())


def _is_id(name: Any) -> bool:
    return isinstance(name, str) and len(name) == _ID_CHARS and name.isalnum()


def _merge_custom_fields(
    before: list[CustomField], after: list[CustomField], ids: FieldIds | None
) -> tuple[list[CustomField], set[str]] | None:
    """Return the custom fields of two rows in one, and which of them were replaced; None where that is not known."""
    if not before or not after:
        return before or after, set()
    merged: dict[str, CustomField] = {}
    replaced: set[str] = set()
    for field in (*before, *after):
        resolved = _resolve(field, ids)
        if resolved is None:
            return None
        name = _name_of(resolved)
        other = merged.get(name)
        if other is not None and other.field_value != resolved.field_value:
            if isinstance(other.field_value, dict) or isinstance(resolved.field_value, dict):
                return None  # files, which may be kept beside each other
            replaced.add(CUSTOM_PREFIX + name)
        merged[name] = resolved
    return [*merged.values()], replaced


def _name_of(field: CustomField) -> str:
    return str(field.id or field.key)


def _resolve(field: CustomField, ids: FieldIds | None) -> CustomField | None:
    """Return a field by its id, if it has one; None where that is not known."""
    if not field.key and _is_id(field.id):
        return field
    if ids is None:
        return None
    found = ids.get(field.id or "") or ids.get(field.key or "")
    return field if found is None else CustomField(id=found, field_value=field.field_value)
