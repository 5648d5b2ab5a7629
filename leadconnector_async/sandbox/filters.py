"""The filters of a search: from what is sent to a test of a contact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from .directory import IsMatch, milliseconds
from .refusals import Refusal
from .shelves import Fields
from .validation import is_number, read_time

Test: TypeAlias = Callable[[Any, Any], bool]
"""Of what a contact has, and what the filter names."""

FIELDS: Final = (
    "id contactName firstNameLowerCase lastNameLowerCase email phone address city state country postalCode companyName "
    "businessName assignedTo source dnd isValidWhatsapp followers dateAdded dateUpdated lastEmailClickedDate "
    "lastEmailOpenedDate tags dndSettings.Email.status dndSettings.SMS.status dndSettings.Call.status "
    "inboundDndSettings.all.status"
).split()
_CUSTOM: Final = "customFields."
_STORED_AS: Final = {"contactName": "name", "address": "address1"}
_LONGEST: Final = 75
_DEEPEST: Final = 10
_BOUNDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "from": lambda value, bound: value >= bound,
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "to": lambda value, bound: value <= bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}


def read_filters(sent: list[Any]) -> IsMatch:
    """Make one test of filters that all must hold.

    Raises:
        Refusal: 422 for what is no filter.
    """
    return _all_of([_read(each, f"filters.{place}", 1) for place, each in enumerate(sent)])


def _all_of(tests: list[IsMatch]) -> IsMatch:
    return lambda contact: all(test(contact) for test in tests)


def _any_of(tests: list[IsMatch]) -> IsMatch:
    return lambda contact: any(test(contact) for test in tests)


def _read(sent: Any, place: str, depth: int) -> IsMatch:
    if not isinstance(sent, dict):
        raise Refusal(422, [f"{place} must be an object"])
    if depth > _DEEPEST:
        raise Refusal(422, [f"{place} is nested too deeply"])
    return _read_group(sent, place, depth) if "group" in sent else _read_one(sent, place)


def _read_group(sent: Fields, place: str, depth: int) -> IsMatch:
    members = sent.get("filters")
    if sent["group"] not in ("AND", "OR"):
        raise Refusal(422, [f"{place}.group must be one of the following values: AND, OR"])
    if not isinstance(members, list):
        raise Refusal(422, [f"{place}.filters must be an array"])
    tests = [_read(each, f"{place}.filters.{number}", depth + 1) for number, each in enumerate(members)]
    return _all_of(tests) if sent["group"] == "AND" else _any_of(tests)


def _read_one(sent: Fields, place: str) -> IsMatch:
    field, operator, value = sent.get("field"), sent.get("operator"), sent.get("value")
    if not isinstance(field, str) or not (field in FIELDS or field.startswith(_CUSTOM)):
        raise Refusal(422, [f"{place}.field is not a field that contacts are searched by"])
    if not isinstance(operator, str) or operator not in _OPERATORS or (field == "email" and "contains" in operator):
        raise Refusal(422, [f"{place}.operator is not an operator of {field}"])
    test = _OPERATORS[operator]
    _check_value(operator, value, place)
    return lambda contact: test(_held(contact, field), value)


def _check_value(operator: str, value: Any, place: str) -> None:
    if operator in ("exists", "not_exists"):
        return
    if operator == "range":
        if not isinstance(value, dict) or not value or value.keys() - _BOUNDS.keys():
            raise Refusal(422, [f"{place}.value must be an object of {', '.join(_BOUNDS)}"])
        return
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str | bool) or is_number(each) for each in values):
        raise Refusal(422, [f"{place}.value must be a string, a number or a boolean value"])
    if any(isinstance(each, str) and len(each) > _LONGEST for each in values):
        raise Refusal(422, [f"{place}.value must be shorter than or equal to {_LONGEST} characters"])


def _held(contact: Fields, field: str) -> Any:
    if not field.startswith(_CUSTOM):
        return _within(contact, _STORED_AS.get(field, field).split("."))
    wanted = field.removeprefix(_CUSTOM)
    return next((each["value"] for each in contact["customFields"] if each["id"] == wanted), None)


def _within(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _equals(held: Any, value: Any) -> bool:
    named = {_plain(each) for each in (value if isinstance(value, list) else [value])}
    return any(each in named for each in _each(held))


def _contains(held: Any, value: Any) -> bool:
    named = [str(_plain(each)) for each in (value if isinstance(value, list) else [value])]
    return any(part in str(each) for each in _each(held) for part in named)


def _is_there(held: Any, _value: Any) -> bool:
    return held not in (None, "", [])


def _is_within(held: Any, value: Any) -> bool:
    for name, bound in value.items():
        for pair in _comparable(held, bound):
            if not _BOUNDS[name](*pair):
                return False
            break
        else:
            return False
    return True


def _comparable(held: Any, bound: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the two as numbers, or times in milliseconds; nothing where they are neither."""
    if is_number(held) and is_number(bound):
        yield held, bound
    elif isinstance(held, str) and read_time(held) is not None:
        if is_number(bound):
            yield milliseconds(held), bound
        elif isinstance(bound, str) and read_time(bound) is not None:
            yield milliseconds(held), milliseconds(bound)


def _each(held: Any) -> Iterator[Any]:
    """Yield what is compared: each member of a list, in lower case; nothing where there is no value."""
    for value in held if isinstance(held, list) else [held]:
        if isinstance(value, str | bool) or is_number(value):
            yield _plain(value)


def _plain(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


_OPERATORS: Final[dict[str, Test]] = {
    "eq": _equals,
    "not_eq": lambda held, value: not _equals(held, value),
    "contains": _contains,
    "not_contains": lambda held, value: not _contains(held, value),
    "exists": _is_there,
    "not_exists": lambda held, value: not _is_there(held, value),
    "range": _is_within,
}
