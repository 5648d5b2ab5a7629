"""Custom fields of a location, as its own settings define them, and what a cell for each must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from ...errors import ConfigurationError
from ...models import ContactUpsert
from ...models.fields import CHANNEL_KINDS, FIELD_OF, KEYS, NAMES, UPSERT_FIELDS, Kind, given_fields, is_empty
from ...rules.checks import Checks
from ...rules.consent import read_answer
from ...rules.fields import CUSTOM_RULES, apply_rules
from ...rules.problems import Fixed, UnknownOptionError, UnusableCellError
from .targets import Target, split_list

S = TypeVar("S")
R = TypeVar("R")
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


class FieldDefinitions:
    """The custom fields of a location, found by id, key or name."""

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

    def with_texts(self, names: Iterable[str]) -> FieldDefinitions:
        """Return this with fields of one line of text that are yet to be made."""
        return FieldDefinitions(
            [*self._definitions, *(FieldDefinition(id=name, key=name, name=name, data_type="TEXT") for name in names)]
        )

    def nearest(self, text: str) -> str:
        """Return a hint at what may have been meant."""
        names = [field.name for field in self._definitions]
        near = get_close_matches(text, names, 1, 0.5)
        if near:
            return f"did you mean {near[0]!r}?"
        return f"there are {', '.join(map(repr, names[:12]))}" if names else "the location has none"


class MissingFieldsError(ConfigurationError):
    """Custom fields that columns are for and the location does not have."""

    def __init__(self, names: Sequence[str], fields: FieldDefinitions | None = None) -> None:
        self.names = names
        one = "the location has no custom field {}; `create_fields` makes it, and `ignore` leaves its column out"
        many = "the location has no custom fields {}; `create_fields` makes them, and `ignore` leaves their columns out"
        super().__init__((one if len(names) == 1 else many).format(", ".join(_with_hints(names, fields))))


def _with_hints(names: Sequence[str], fields: FieldDefinitions | None) -> Iterator[str]:
    """Yield names, the first ones with a hint at what may have been meant: to look for that takes time."""
    for number, name in enumerate(names):
        yield f"{name!r} ({fields.nearest(name)})" if fields is not None and number < _MOST_HINTS else repr(name)


_MOST_HINTS: Final = 20


def collect_missing(make: Callable[[S], R], of: Iterable[S], fields: FieldDefinitions | None) -> list[R]:
    """Make something of each, and say of all of them at once which custom fields are missing.

    Raises:
        MissingFieldsError: Some are.
    """
    made, missing = list[R](), list[str]()
    for one in of:
        try:
            made.append(make(one))
        except MissingFieldsError as error:
            missing += error.names
    if missing:
        raise MissingFieldsError(list(dict.fromkeys(missing)), fields)
    return made


def value_reader(field: FieldDefinition, checks: Checks) -> Callable[[str], Any]:
    """Return what makes the value of a cell for a field, as it is sent.

    Args:
        field: The field.
        checks: What is to be taken for granted.

    Returns:
        The function. It raises `UnusableCellError` with the reason, `UnknownOptionError` where that is the option.

    Raises:
        ConfigurationError: Cells cannot hold values of this field.
    """
    read = _plain_reader(field, checks)

    def read_value(cell: str) -> Any:
        value = read(cell)
        if isinstance(value, Fixed):
            if value.value is None:
                return value
            return Fixed({"id": field.id, "field_value": value.value}, value.sentence, value.action)
        return {"id": field.id, "field_value": value}

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
    rules = CUSTOM_RULES.get(field.data_type)
    if rules is not None:
        return lambda cell: apply_rules(rules, cell, checks)
    return _read_text if field.data_type == "TEXT" else str


def _read_text(cell: str) -> str | Fixed:
    if len(cell) > _MOST_TEXT_CHARS:
        return Fixed(cell, f"is longer than {_MOST_TEXT_CHARS} characters, and may be cut by the service", "sent")
    return cell


# What repeats here gives nothing back (`*+`): spaces stand before a number, in it and after it, and a long run of them
# would else be shared out among the three in all ways.
_AMOUNT: Final = re.compile(r"(?:[A-Z]{3}|[$€£¥₹])?\s*+([-+]?[\d.,'\u00a0 ]++)\s*+(?:[A-Z]{3}|[$€£¥₹%])?")


def _read_number(cell: str) -> float | int:
    match = _AMOUNT.fullmatch(cell)
    if match is None:
        raise UnusableCellError("is not a number")
    digits = re.sub(r"['\u00a0 ]", "", match[1])
    try:
        number = float(_with_decimal_point(digits))
    except ValueError:
        raise UnusableCellError("is not a number") from None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _with_decimal_point(digits: str) -> str:
    """Tell the mark of the decimals: the last mark of all, unless it is a comma that groups of three follow."""
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma > point and (point >= 0 or not re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+", digits)):
        return digits.replace(".", "").replace(",", ".")
    return digits.replace(",", "")


def _choose(field: FieldDefinition, cell: str) -> str | Fixed:
    options = {option.lower(): option for option in field.options}
    found = cell if cell in field.options else options.get(cell.lower())
    answer = _as_answer(field, cell) if found is None else None
    if answer is not None:
        return Fixed(answer, f"is read as the option {answer!r}")
    if found is None and not field.takes_others:
        raise UnknownOptionError(f"holds {cell!r}, which is not an option of the custom field {field.name!r}")
    return found or cell


def _as_answer(field: FieldDefinition, cell: str) -> str | None:
    """Return the option that says what a cell says in other words, where the field asks for yes or no; else None."""
    said = read_answer(cell)
    # Among others, one letter is no answer: S and N may be sizes.
    asked = [option for option in field.options if len(option) > 1 or len(field.options) == 2]
    answers = [(read_answer(option), option) for option in asked]
    same = [option for is_yes, option in answers if is_yes is said]
    is_question = {True, False} <= {is_yes for is_yes, _ in answers}
    return same[0] if said is not None and is_question and len(same) == 1 else None


def _choose_all(field: FieldDefinition, cell: str) -> list[str] | Fixed:
    chosen = [_choose(field, part) for part in _parts_of(field, cell)]
    values = [one.value if isinstance(one, Fixed) else one for one in chosen]
    fixed = [one.sentence for one in chosen if isinstance(one, Fixed)]
    return Fixed(values, "; ".join(fixed)) if fixed else values


def _parts_of(field: FieldDefinition, cell: str) -> list[str]:
    if cell.startswith("["):
        try:
            return msgspec.json.decode(cell, type=list[str])
        except msgspec.DecodeError:
            raise UnusableCellError("is not the JSON that belongs here") from None
    options = {option.lower() for option in field.options}
    return [cell] if cell.lower() in options else split_list(cell)


# ---------------------------------------------------------------------------------------------- empty cells

# How a field is emptied differs: the service blanks a text that is sent empty; what it checks for its form it takes as
# null alone; some it takes in no empty form at all.

*_NAME_PARTS, _NAME = (FIELD_OF[name].wire for name in NAMES)
_EMPTY_VALUES: Final = {field.wire: field.empty_upsert for field in UPSERT_FIELDS}
_WHY_NOT: Final[dict[str, tuple[Kind, ...]]] = {
    "by which contacts are found": (*KEYS, "contact"),
    "of which the service takes no empty value": ("country", "id"),
    "which the service never changes": ("word",),
    "which nothing in a file lifts": ("switch", *CHANNEL_KINDS),
    "which hold several fields": ("custom",),
    "which are added (`tags='replace'` empties them)": ("tags",),
}
"""Why fields of some kinds are not emptied, unless they are."""


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
    return _EMPTY_VALUES[target.field]


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
    if values.get(_NAME):
        for part in _NAME_PARTS:
            if values.get(part) == "":
                del values[part]
    elif values.get(_NAME) == "":
        if any(values.get(part) for part in _NAME_PARTS):
            del values[_NAME]
            return
        for part in _NAME_PARTS:
            if part not in empties:
                values.setdefault(part, "")


def list_emptied(contact: ContactUpsert) -> Iterator[str]:
    """Yield the fields that a contact would empty, as people write them."""
    for emptied in given_fields(contact):
        is_emptied = emptied.empty_upsert is not UNSET or emptied.kind == "tags"
        if is_emptied and is_empty(getattr(contact, emptied.name)):
            yield emptied.wire
    for field in contact.custom_fields or ():
        if is_empty(field.field_value):
            yield f"custom:{field.key or field.id}"


def about_emptied(names: Iterable[str]) -> str | None:
    """Say what empty cells empty; None where it is nothing."""
    found = list(dict.fromkeys(names))
    return f"Empty cells empty these fields of the contacts: {', '.join(found)}." if found else None


def about_not_emptied(fields: Iterable[str]) -> str | None:
    """Say in one sentence which fields of some stay as they are where their cells are empty, and why."""
    known, reasons = set(fields), []
    left = [field for field in UPSERT_FIELDS if field.wire in known and field.empty_upsert is UNSET]
    for reason, kinds in _WHY_NOT.items():
        if found := [field.wire for field in left if field.kind in kinds]:
            reasons.append(f"{' and '.join(found)}, {reason}")
    return f"Empty cells do not empty {'; '.join(reasons)}." if reasons else None
