"""Read a value of a documented type as far as it can be read, and keep apart what cannot.

For values that msgspec refuses as a whole: an object loses only its odd fields, a list only its odd items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct

UNREAD: Final = UNSET
"""Stands for a value of which nothing could be read, and for a rest of which nothing is left."""


def read_in_part(value: Any, kind: Any, *, keeps_unknown: bool = False) -> tuple[Any, Any]:
    """Read a value that JSON holds.

    Args:
        value: The value.
        kind: Its type.
        keeps_unknown: Whether fields that the type does not have belong to the rest.

    Returns:
        What can be read, or `UNREAD`; and the rest, in the same form, or `UNREAD` where there is none. The rest of an
        object holds its odd fields. That of a list holds each item of which not all was read, whole, so that one can
        see what the odd part belongs to.
    """
    shape = _shape_of(kind)
    if isinstance(value, dict) and shape.model is not None:
        return _read_object(value, shape.model, keeps_unknown=keeps_unknown)
    if isinstance(value, list) and shape.has_items:
        return _read_list(value, shape.item, keeps_unknown=keeps_unknown)
    try:
        return msgspec.convert(value, kind), UNREAD
    except msgspec.ValidationError:
        return UNREAD, value


def _read_object(received: Mapping[str, Any], model: type[Struct], *, keeps_unknown: bool) -> tuple[Any, Any]:
    fields = fields_by_wire_name(model)
    read: dict[str, Any] = {}
    rest = {name: value for name, value in received.items() if keeps_unknown and name not in fields}
    for name in received.keys() & fields.keys():
        value, left = read_in_part(received[name], fields[name].type, keeps_unknown=keeps_unknown)
        if value is not UNREAD:
            read[fields[name].name] = value
        if left is not UNREAD:
            rest[name] = left
    if any(field.required and field.name not in read for field in fields.values()):
        return UNREAD, received
    return model(**read), rest or UNREAD


def _read_list(received: Iterable[Any], kind: Any, *, keeps_unknown: bool) -> tuple[Any, Any]:
    read, rest = [], []
    for item in received:
        value, left = read_in_part(item, kind, keeps_unknown=keeps_unknown)
        if value is not UNREAD:
            read.append(value)
        if left is not UNREAD:
            rest.append(item)
    return (read if read or not rest else UNREAD), rest or UNREAD


@cache
def fields_by_wire_name(model: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the fields of a class by their names on the wire."""
    return {field.encode_name: field for field in msgspec.structs.fields(model)}


# ---------------------------------------------------------------------------------------------- types


class _Shape(Struct, frozen=True):
    """What objects and lists of a type are made of.

    Attributes:
        model: The class of its objects, or None.
        has_items: Whether it may be a list.
        item: The type of the list's items.
    """

    model: type[Struct] | None = None
    has_items: bool = False
    item: Any = None


@cache
def _shape_of(kind: Any) -> _Shape:
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    lists = [get_args(member)[0] for member in members if get_origin(member) is list]
    return _Shape(next(_structs_in(members), None), bool(lists), lists[0] if lists else None)


def _structs_in(members: Iterable[Any]) -> Iterator[type[Struct]]:
    return (member for member in members if isinstance(member, type) and issubclass(member, Struct))
