"""Read what callers pass in, on its way to a Struct that is sent.

Keys may be in any spelling (snake_case, camelCase, the API's own), at every depth; an unknown one is an error that says
where it is. Missing values (NaN, infinities, NaT, pandas.NA) count as not given: msgspec would write them as null, and
null erases what is stored. Numbers become text where a field holds text; see `records` for the other values and rows
that are taken.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from numbers import Real
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .records import as_mapping, plain_value, spell_number

_PLAIN: Final = frozenset((str, bool, NoneType))  # types whose values are sent as they are
_PLAIN_IN_STRUCTS: Final = _PLAIN | {UnsetType}
_ID: Final = re.compile(r"(?=.*[A-Z])[0-9A-Za-z]{20}")  # keys are in lower case
_LISTS: Final = (list, tuple, set, frozenset)


class WrongKeyError(ValueError):
    """A key that cannot be sent; `place` says where it stands, and is empty at the top."""

    def __init__(self, sentence: str, key: object = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.key = key
        self.place: list[str] = []

    def within(self, place: str) -> WrongKeyError:
        """Note that it stands within a field (by its name) or an item (such as `[0]`)."""
        self.place.insert(0, place)
        return self


def read_given(values: Mapping[Any, object] | Struct, model: type[Struct]) -> dict[str, Any]:
    """Return what is given for a Struct as plain values by their names on the wire, ready for msgspec to check.

    A list or dict of which nothing is left is not given; nor is a nested Struct that has lost what it needs, such as a
    custom field whose value is NaN.

    Args:
        values: A dict with keys in any spelling, or a Struct. They may hold dicts and Structs alike.
        model: What they are for.

    Raises:
        WrongKeyError: A key is unknown, or given in two spellings.
        RecursionError: The values hold themselves.
    """
    fields = _fields_of(model)
    given = fields.respell(_items_of(values) if isinstance(values, Struct) else values)
    return given if _are_plain(given.values()) else fields.read(given)


class _Fields:
    """The fields of a Struct that is sent.

    Attributes:
        names: Each spelling of a field, and its name on the wire.
        types: The type of each, by its name on the wire.
        required: Those without which there is no such Struct.
        is_keyed: Whether it is a value with a key, so that many of them may be given as a dict.
        known: All of them, as error messages list them.
    """

    def __init__(self, model: type[Struct]) -> None:
        fields = msgspec.structs.fields(model)
        self.names = {spelling: field.encode_name for field in fields for spelling in _spellings(field)}
        self.types = {field.encode_name: _type_of(field.type) for field in fields}
        self.required = frozenset(field.encode_name for field in fields if field.required)
        self.is_keyed = {"id", "key", "field_value"} == self.types.keys()
        self.known = ", ".join(field.name for field in fields)

    def respell(self, items: Mapping[Any, object]) -> dict[str, Any]:
        """Return values by their names on the wire."""
        names = self.names
        try:
            given = {names[key]: value for key, value in items.items()}
        except KeyError as error:
            key = error.args[0]
            raise WrongKeyError(f"unknown field {key!r}; known are {self.known}", key) from None
        if len(given) != len(items):
            raise WrongKeyError("a field is given twice, in snake_case and in camelCase")
        return given

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """Take out of values, in place, those that stand for nothing, and read dicts and lists among them."""
        for name in [name for name, value in given.items() if type(value) not in _PLAIN]:
            try:
                value = self.types[name].read(given[name])
            except WrongKeyError as error:
                raise error.within(name) from None
            if value is UNSET:
                del given[name]
            else:
                given[name] = value
        return given

    def is_plain(self, items: object) -> bool:
        """Whether something is a dict of which nothing has to be read, as nearly all nested ones are."""
        return type(items) is dict and items.keys() <= self.types.keys() and _are_plain(items.values())

    def read_nested(self, items: Mapping[Any, object]) -> Any:
        """Return the values of a Struct within another; UNSET where what is left is none."""
        if self.is_plain(items):
            return items
        given = self.respell(items)
        names = set(given)
        lost = names - self.read(given).keys()
        return given if not lost or (given and lost.isdisjoint(self.required)) else UNSET


@cache
def _fields_of(model: type[Struct]) -> _Fields:
    return _Fields(model)


def _spellings(field: msgspec.structs.FieldInfo) -> Iterable[str]:
    first, *rest = field.name.split("_")
    return field.name, field.encode_name, first + "".join(word.capitalize() for word in rest)


def _items_of(struct: Struct) -> dict[str, Any]:
    """Return the fields of a Struct that would be encoded, by their names on the wire."""
    return {
        field.encode_name: value
        for field in msgspec.structs.fields(struct)
        if (value := getattr(struct, field.name)) is not UNSET and value is not field.default
    }


class _Type:
    """What the Structs, dicts and lists of a type are made of. Where it says nothing of them, they may hold anything.

    Looked up once for each field of a Struct: rows are many, and types are slow to take apart.
    """

    def __init__(self, kind: Any) -> None:
        members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        structs = [one for one in members if isinstance(one, type) and issubclass(one, Struct)]
        self._fields = _fields_of(structs[0]) if structs else None
        self._in_dicts = _type_in(members, dict) or self
        self._in_lists = _type_in(members, list) or self
        self._is_text = str in members and not {int, float, Any}.intersection(members)

    def read(self, value: Any) -> Any:
        """Return a value as msgspec reads it; UNSET where it stands for nothing."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, _LISTS):  # before mappings, as that question takes many times as long
            return value if _are_plain(value) else self._read_list(value)
        if kind is dict:
            return self._read_dict(value) if self._fields is None else self._fields.read_nested(value)
        if isinstance(value, Struct):
            return self.read(_items_of(value))
        return UNSET if is_missing(value) else self._read_other(value)

    def _read_other(self, value: Any) -> Any:
        """Return what a value of another library, or a number, stands for."""
        plain = plain_value(value)
        if plain is not value:
            return self.read(plain)
        if (record := as_mapping(value)) is not None:
            return self.read(dict(record))
        return spell_number(value) if self._is_text else value

    def _read_list(self, values: Iterable[object]) -> Any:
        fields = self._in_lists._fields
        if fields is not None and all(map(fields.is_plain, values)):
            return values
        read = self._read_items(self._in_lists, enumerate(values))
        return UNSET if read is None else list(read.values())

    def _read_dict(self, items: Mapping[Any, object]) -> Any:
        fields = self._in_lists._fields
        if fields is not None and fields.is_keyed:
            return self._read_list([_keyed(key, value) for key, value in items.items()])
        read = self._read_items(self._in_dicts, items.items())
        return UNSET if read is None else read

    def _read_items(self, kind: _Type, items: Iterable[tuple[Any, object]]) -> dict[Any, Any] | None:
        """Read items, each with its place; None where all of them stand for nothing."""
        read, place = {}, None
        try:
            for place, value in items:
                read[place] = kind.read(value)
        except WrongKeyError as error:
            raise error.within(f"[{place!r}]") from None
        given = {place: value for place, value in read.items() if value is not UNSET}
        return given if given or not read else None


def _keyed(key: object, value: object) -> dict[str, object]:
    """Return a custom field that is given as an item of a dict: by its key, or its id."""
    return {"id" if isinstance(key, str) and _ID.fullmatch(key) else "key": key, "field_value": value}


@cache
def _type_of(kind: Any) -> _Type:
    return _Type(kind)


def _type_in(members: Iterable[Any], shape: type) -> _Type | None:
    return next((_type_of(get_args(member)[-1]) for member in members if get_origin(member) is shape), None)


# ---------------------------------------------------------------------------------------------- missing values


def is_plain(struct: Struct) -> bool:
    """Whether `read_given` would change nothing of a Struct: nothing is missing, no dict is where a Struct belongs."""
    values = msgspec.structs.astuple(struct)
    return _PLAIN_IN_STRUCTS.issuperset(map(type, values)) or all(map(_is_plain, values))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in _PLAIN_IN_STRUCTS:
        return True
    if kind is list:
        return _are_plain(value) or all(map(_is_plain, value))
    if kind is float:
        return math.isfinite(value)
    return isinstance(value, Struct) and is_plain(value)


def _are_plain(values: Iterable[object]) -> bool:
    return _PLAIN.issuperset(map(type, values))


def is_missing(value: object) -> bool:
    """Whether a value stands for nothing: NaN or infinite in any type of number, NaT, pandas.NA."""
    if isinstance(value, Decimal):
        return not value.is_finite()  # a signalling NaN cannot be compared
    unlike: object = None
    try:
        unlike = value != value  # so is nothing but what is missing
        return bool(unlike) or (isinstance(value, Real) and math.isinf(value))
    except (TypeError, ValueError, ArithmeticError):  # an array has no truth; nor has pandas.NA, which is NA again
        return unlike is value
