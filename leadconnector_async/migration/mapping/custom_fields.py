"""Custom fields of a location, as its own settings define them, and what a cell for each must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from ...errors import ConfigurationError
from ...models import ContactUpsert
from ...rules import RULES, Checks, apply_rules
from ...rules.problems import Fixed, UnknownOptionError, UnusableCellError
from .targets import Target, split_list

KEY_PREFIX: Final = "contact."
_MOST_TEXT_CHARS: Final = 256  # one integration reports that longer ones are cut

LISTS: Final = ("CHECKBOX", "MULTIPLE_OPTIONS")
CHOICES: Final = ("SINGLE_OPTIONS", "RADIO")
NUMBERS: Final = ("NUMERICAL", "FLOAT", "MONETORY")


class FieldDefinition(Struct, frozen=True, kw_only=True):
    """A custom field of a location.

    Attributes:
        id: Its id.
        key: Its key, with or without the `contact.` that the service puts before it.
        name: What people see.
        data_type: The service's word for its kind, such as `TEXT`, `NUMERICAL`, `CHECKBOX`.
        options: What a field with options allows.
        takes_others: Whether it takes other options, too.
    """

    id: str
    key: str
    name: str
    data_type: str
    options: tuple[str, ...] = ()
    takes_others: bool = False


class FieldBook:
    """The custom fields of a location, to be found by what people call them."""

    def __init__(self, definitions: Iterable[FieldDefinition]) -> None:
        self._definitions = tuple(definitions)
        self._known: dict[str, FieldDefinition] = {}
        self._names: dict[str, list[FieldDefinition]] = {}
        for field in self._definitions:
            key = field.key.removeprefix(KEY_PREFIX)
            self._known |= {field.id: field, key.lower(): field}
            self._names.setdefault(field.name.strip().lower(), []).append(field)

    def find(self, text: str) -> FieldDefinition | None:
        """Find a field by id, by key (with or without `contact.`) or by name; None where there is none.

        Raises:
            ConfigurationError: Several fields have this name.
        """
        text = text.strip()
        found = self._known.get(text) or self._known.get(text.lower().removeprefix(KEY_PREFIX))
        named = self._names.get(text.lower(), [])
        if found is None and len(named) > 1:
            keys = " or ".join(f"custom:{field.key}" for field in named)
            raise ConfigurationError(f"several custom fields are called {text!r}; say which by its key: {keys}")
        return found or (named[0] if named else None)

    def with_texts(self, names: Iterable[str]) -> FieldBook:
        """Return this with fields of one line of text that are yet to be made."""
        return FieldBook(
            [*self._definitions, *(FieldDefinition(id=name, key=name, name=name, data_type="TEXT") for name in names)]
        )

    def nearest(self, text: str) -> str:
        """Return a hint at what may have been meant."""
        names = [field.name for field in self._definitions]
        near = get_close_matches(text, names, 1, 0.5)
        if near:
            return f"did you mean {near[0]!r}?"
        return f"there are {', '.join(map(repr, names[:12]))}" if names else "the location has none"


def value_reader(field: FieldDefinition, checks: Checks, *, is_strict: bool) -> Callable[[str], Any]:
    """Return what makes the value of a cell for a field, as it is sent.

    Args:
        field: The field.
        checks: What is to be taken for granted.
        is_strict: Whether a cell must be one of the field's options. Else it is sent all the same, by the field's key,
            by which it is then told that the service has dropped it.

    Returns:
        The function. It raises `UnusableCellError` with the reason, `UnknownOptionError` where that is the option.

    Raises:
        ConfigurationError: Cells cannot hold values of this field.
    """
    read = _plain_reader(field, checks)
    name = {"id": field.id} if is_strict else {"key": field.key.removeprefix(KEY_PREFIX)}

    def read_value(cell: str) -> Any:
        try:
            value = read(cell)
        except UnknownOptionError:
            if is_strict:
                raise
            value = cell
        if isinstance(value, Fixed):
            return Fixed(name | {"field_value": value.value}, value.sentence, value.action)
        return name | {"field_value": value}

    return read_value


def _plain_reader(field: FieldDefinition, checks: Checks) -> Callable[[str], Any]:
    if field.data_type == "FILE_UPLOAD":
        raise ConfigurationError(f"the custom field {field.name!r} holds files, which cannot be sent from a cell")
    if field.data_type in NUMBERS:
        return _read_number
    if field.data_type in LISTS:
        return lambda cell: _choose_all(field, cell)
    if field.data_type in CHOICES:
        return lambda cell: _choose(field, cell)
    rules = {"DATE": RULES["dateOfBirth"], "PHONE": RULES["phone"], "EMAIL": RULES["email"]}.get(field.data_type)
    if rules is not None:
        return lambda cell: apply_rules(rules, cell, checks)
    return _read_text if field.data_type == "TEXT" else str


def _read_text(cell: str) -> str | Fixed:
    if len(cell) > _MOST_TEXT_CHARS:
        return Fixed(cell, f"is longer than {_MOST_TEXT_CHARS} characters, and may be cut by the service", "sent")
    return cell


_AMOUNT: Final = re.compile(r"(?:[A-Z]{3}|[$€£¥₹])?\s*([-+]?[\d.,'\u00a0 ]+?)\s*(?:[A-Z]{3}|[$€£¥₹%])?")


def _read_number(cell: str) -> float | int:
    match = _AMOUNT.fullmatch(cell)
    if match is None:
        raise UnusableCellError("is no number")
    digits = re.sub(r"['\u00a0 ]", "", match[1])
    try:
        number = float(_with_decimal_point(digits))
    except ValueError:
        raise UnusableCellError("is no number") from None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _with_decimal_point(digits: str) -> str:
    """Tell the mark of the decimals: the last mark of all, unless it is a comma that groups of three follow."""
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma > point and (point >= 0 or not re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+", digits)):
        return digits.replace(".", "").replace(",", ".")
    return digits.replace(",", "")


def _choose(field: FieldDefinition, cell: str) -> str:
    options = {option.lower(): option for option in field.options}
    found = cell if cell in field.options else options.get(cell.lower())
    if found is None and not field.takes_others:
        raise UnknownOptionError(f"holds {cell!r}, which is no option of the custom field {field.name!r}")
    return found or cell


def _choose_all(field: FieldDefinition, cell: str) -> list[str]:
    if cell.startswith("["):
        try:
            return [_choose(field, option) for option in msgspec.json.decode(cell, type=list[str])]
        except msgspec.DecodeError:
            raise UnusableCellError("is not the JSON that belongs here") from None
    options = {option.lower() for option in field.options}
    return [_choose(field, part) for part in ([cell] if cell.lower() in options else split_list(cell))]


# ---------------------------------------------------------------------------------------------- empty cells

# How a field is emptied differs: the service blanks a text that is sent empty; what it checks for its form it takes as
# null alone; some it takes in no empty form at all.

_NAME_PARTS: Final = ("firstName", "lastName")
_TEXTS: Final = (*_NAME_PARTS, "name", "address1", "city", "state", "postalCode", "website", "companyName", "source")
EMPTY_VALUES: Final[dict[str, str | None]] = {**dict.fromkeys(_TEXTS, ""), "dateOfBirth": None, "timezone": None}
"""What empties a field, by its name on the wire."""
_NOT_EMPTIED: Final = {
    "by which contacts are found": ("email", "phone"),
    "of which the service takes no empty value": ("country", "assignedTo"),
    "which the service never changes": ("gender",),
    "which nothing in a file lifts": ("dnd", "dndSettings", "inboundDndSettings"),
    "which hold several fields": ("customFields",),
    "which are added (--tags replace empties them)": ("tags",),
}
"""Why some fields are not; those of no contact, such as `locationId`, are not spoken of."""


def empty_value(target: Target, *, with_tags: bool) -> Any:
    """Return what empties the field that a column is for; `UNSET` where nothing does.

    Args:
        target: What the column is for.
        with_tags: Whether tags are replaced, so that none at all can be sent.
    """
    if target.is_custom_field:
        return {"key": target.part, "field_value": ""}
    if target.field == "tags":
        return [] if with_tags else UNSET
    return EMPTY_VALUES.get(target.field, UNSET)


def empty_custom_value(field: FieldDefinition) -> dict[str, Any]:
    """Return what empties a custom field; by its id, as answers name it so, and tell whether it is empty then."""
    return {"id": field.id, "field_value": empty_field_value(field.data_type)}


def empty_field_value(data_type: str) -> Any:
    """Return the value that empties a custom field of a kind."""
    return [] if data_type in LISTS else ""


def settle_names(values: dict[str, Any], empties: Collection[str]) -> None:
    """Have a name and its parts agree: a name is of its parts, so that none can be empty alone.

    Args:
        values: The fields of a row; changed.
        empties: Those that columns of their own may empty.
    """
    if values.get("name"):
        for part in _NAME_PARTS:
            if values.get(part) == "":
                del values[part]
    elif values.get("name") == "":
        if any(values.get(part) for part in _NAME_PARTS):
            del values["name"]
            return
        for part in _NAME_PARTS:
            if part not in empties:
                values.setdefault(part, "")


def list_emptied(contact: ContactUpsert) -> Iterator[str]:
    """Yield the fields that a contact would empty, as people write them."""
    for wire, name in _PYTHON_NAMES.items():
        value = getattr(contact, name)
        if value is None or value in ("", []):
            yield wire
    for field in contact.custom_fields or ():
        if field.field_value is None or field.field_value in ("", []):
            yield f"custom:{field.key or field.id}"


def _python_name(wire: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in wire)


_PYTHON_NAMES: Final = {wire: _python_name(wire) for wire in (*EMPTY_VALUES, "tags")}


def about_emptied(names: Iterable[str]) -> str | None:
    """Say what empty cells empty; None where it is nothing."""
    found = list(dict.fromkeys(names))
    return f"Empty cells empty these fields of the contacts: {', '.join(found)}." if found else None


def about_not_emptied(fields: Iterable[str]) -> str | None:
    """Say in one sentence which fields of some stay as they are where their cells are empty, and why."""
    known, reasons = set(fields), []
    for reason, names in _NOT_EMPTIED.items():
        if found := [name for name in names if name in known]:
            reasons.append(f"{' and '.join(found)}, {reason}")
    return f"Empty cells do not empty {'; '.join(reasons)}." if reasons else None
