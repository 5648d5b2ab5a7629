"""The base of all objects that the service returns: any content can be read, and none of it is lost.

A value that is not of the documented kind is left out and kept in `extra`, and everything around it is read, so that a
change of the service never turns a call that succeeded into one that failed. A field of which nothing can be read is
None. Do not disturb is the exception: left at None, it would read as "open"; what cannot be read of it counts as
closed, and is kept in `extra` as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from ..errors import UsageError
from .dnd import read_odd_dnd, read_odd_inbound_settings, read_odd_settings, respell_channels
from .given import WrongKeyError, is_plain, read_given
from .lenient import UNREAD, fields_by_wire_name, read_in_part

if TYPE_CHECKING:
    JSON: TypeAlias = str | int | float | bool | list["JSON"] | dict[str, "JSON"] | None
    """Whatever JSON can hold."""
else:
    JSON = Any  # msgspec decodes no type that names itself


class Received(Struct, kw_only=True, rename="camel", repr_omit_defaults=True, dict=True):
    """An object as the service returned it. Fields that are absent or null are None."""

    @property
    def raw(self) -> bytes:
        """The object's JSON to the letter as it was received (encoded anew where it was not received)."""
        raw: bytes | None = self.__dict__.get("_raw")
        return msgspec.json.encode(self) if raw is None else raw

    @property
    def extra(self) -> dict[str, JSON]:
        """What was received under names, or with kinds of value, that this class has no attribute for.

        Of an object or a list that was read in part, it holds the odd fields and the odd items alone.
        """
        received: dict[str, JSON] = msgspec.json.decode(self.raw)
        found = {name: self._rest_of(name, value) for name, value in received.items()}
        return {name: rest for name, rest in found.items() if rest is not UNREAD}

    def _rest_of(self, name: str, value: JSON) -> Any:
        """Return what of a field, by its name on the wire, was not read, or `UNREAD` where that is nothing."""
        field = fields_by_wire_name(type(self)).get(name)
        if field is None:
            return value
        if name in _READ_ODD:
            return value if name in self.__dict__.get("_odd_names", ()) else UNREAD
        _, rest = read_in_part(value, field.type, keeps_unknown=True)
        return value if rest is UNREAD and name in self._strange else rest

    @property
    def unreadable(self) -> dict[str, JSON]:
        """What was received in fields that could not be read, in whole or in part, by their names in Python.

        Such a field is None, or holds the part that could be read: neither is all that the service has there.
        """
        unread = self._unread()
        received: dict[str, JSON] = msgspec.json.decode(self.raw) if unread else {}
        return {field: received[name] for field, name in unread.items()}

    def _unread(self) -> dict[str, str]:
        """Return the fields that could not be read, each with its name on the wire."""
        fields = fields_by_wire_name(type(self))
        return {fields[name].name: name for name in self._strange}

    @property
    def _strange(self) -> set[str]:
        """The names on the wire of fields that could not be read, or not all of them."""
        strange: set[str] = self.__dict__.get("_strange_names", set())
        return strange

    def __reduce__(self) -> tuple[Any, ...]:
        # A Struct alone would leave behind what is kept beside its fields.
        return _rebuild, (type(self), msgspec.structs.asdict(self), self.__dict__.copy())


def _rebuild(model: type[AnyReceived], fields: dict[str, Any], beside: dict[str, Any]) -> AnyReceived:
    value = model(**fields)
    value.__dict__.update(beside)
    return value


AnyReceived = TypeVar("AnyReceived", bound=Received)
AnyKind = TypeVar("AnyKind")


@cache
def wire_names_of(model: type[Struct]) -> dict[str, str]:
    """Return the names on the wire of the fields of a class."""
    return {field.name: name for name, field in fields_by_wire_name(model).items()}


@cache
def _decoder_of_received(model: type[AnyReceived]) -> msgspec.json.Decoder[AnyReceived]:
    return msgspec.json.Decoder(model)  # made when first used: most programs use few of them


def read_received(raw: bytes | msgspec.Raw, model: type[AnyReceived]) -> AnyReceived:
    """Read one object of an answer.

    Raises:
        msgspec.DecodeError: It is no object, or has no `id` where the class has one.
    """
    try:
        value: AnyReceived = _decoder_of_received(model).decode(raw)
    except msgspec.ValidationError:
        value = read_leniently(raw, model)
    check_id(value)
    value.__dict__["_raw"] = bytes(raw)
    return value


def check_id(value: Received) -> None:
    """Refuse an object whose id is blank."""
    if not getattr(value, "id", "none is due").strip():
        raise _no_id(type(value))


_SETTINGS: Final = "dndSettings"
_READ_ODD: Final[Mapping[str, Callable[[Any], Any]]] = {
    "dnd": read_odd_dnd,
    _SETTINGS: read_odd_settings,
    "inboundDndSettings": read_odd_inbound_settings,
}
"""Fields that are read, rather than left out, where their value is not of the documented kind."""


def read_leniently(raw: bytes | msgspec.Raw, model: type[AnyReceived]) -> AnyReceived:
    """Read an object that is not as documented: as far as possible, and with nothing lost."""
    received = msgspec.json.decode(raw, type=dict[str, Any])
    if isinstance(settings := received.get(_SETTINGS), dict):
        received[_SETTINGS] = respell_channels(settings)
    try:
        return msgspec.convert(received, model)  # the spelling of v3 was all that was odd
    except msgspec.ValidationError:
        return _read_by_field(received, model)


def _read_by_field(received: Mapping[str, Any], model: type[AnyReceived]) -> AnyReceived:
    """Read an object field by field, and leave out what is not of the documented kind."""
    known = fields_by_wire_name(model)
    values: dict[str, Any] = {}
    strange: set[str] = set()
    odd: set[str] = set()  # read all the same, so that what they hold is known
    for name in received.keys() & known.keys():
        field = known[name]
        if name in _READ_ODD:
            values[field.name], is_odd = _read_setting(name, received[name], field.type)
            odd |= {name} if is_odd else set()
            continue
        value, rest = read_in_part(received[name], field.type)
        if value is not UNREAD:
            values[field.name] = value
        if rest is not UNREAD:
            strange.add(name)
    if any(field.required and field.name not in values for field in known.values()):
        raise _no_id(model)
    value = model(**values)
    value.__dict__["_strange_names"] = strange
    value.__dict__["_odd_names"] = odd
    return value


def _read_setting(name: str, value: Any, kind: Any) -> tuple[Any, bool]:
    """Read a field about do-not-disturb, and say whether it is not as documented."""
    try:
        return msgspec.convert(value, kind), False
    except msgspec.ValidationError:
        return _READ_ODD[name](value), True


def _no_id(model: type[Received]) -> msgspec.ValidationError:
    return msgspec.ValidationError(f"the {model.__name__.lower()} has no id")


_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw] | None).decode


def read_parts(body: bytes) -> dict[str, msgspec.Raw]:
    """Read an answer as its named parts, none of them looked into yet."""
    return _PARTS(body)


def read_items(parts: dict[str, msgspec.Raw], name: str) -> Iterable[msgspec.Raw]:
    """Return the items of a list in an answer; null is a list of none.

    Raises:
        msgspec.DecodeError: There is no such list.
    """
    if name not in parts:
        raise msgspec.ValidationError(f"there is no `{name}`")
    return _ITEMS(parts[name]) or ()


def one(name: str, model: type[AnyReceived]) -> Callable[[bytes], AnyReceived]:
    """Make a reader of answers `{name: {...}}`."""

    def read(body: bytes) -> AnyReceived:
        parts = read_parts(body)
        if name not in parts:
            raise msgspec.ValidationError(f"there is no `{name}`")
        return read_received(parts[name], model)

    return read


def many(name: str, model: type[AnyReceived]) -> Callable[[bytes], list[AnyReceived]]:
    """Make a reader of answers `{name: [{...}, ...]}`."""

    def read(body: bytes) -> list[AnyReceived]:
        return [read_received(raw, model) for raw in read_items(read_parts(body), name)]

    return read


def whole(model: type[AnyReceived]) -> Callable[[bytes], AnyReceived]:
    """Make a reader of answers that are the object themselves."""
    return lambda body: read_received(body, model)


def read_part(parts: dict[str, msgspec.Raw], name: str, kind: type[AnyKind]) -> AnyKind | None:
    """Return one part of an answer as far as it can be read; None where it is absent or of another kind."""
    value, _ = read_in_part(msgspec.json.decode(parts.get(name, b"null")), kind)
    return None if value is UNREAD else value


# ---------------------------------------------------------------------------------------------- sent

_ENCODE = msgspec.json.Encoder().encode
ENCODING_ERRORS = (msgspec.MsgspecError, WrongKeyError, TypeError, UnicodeEncodeError, RecursionError)
"""What is raised for a value that cannot be encoded or is of the wrong type, and for a key that is unknown."""


class SentStruct(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A body; what is None by default is left out."""


AnySent = TypeVar("AnySent", bound=SentStruct)


@cache
def _decoder_of_sent(model: type[AnySent]) -> msgspec.json.Decoder[AnySent]:
    return msgspec.json.Decoder(model)


@cache
def _python_names(model: type[SentStruct]) -> dict[str, str]:
    return {field.encode_name: field.name for field in msgspec.structs.fields(model)}


def encode_body(body: SentStruct) -> bytes:
    """Encode a body, and check the type of each of its values. What is missing (NaN and its like) is left out.

    Raises:
        UsageError: A value is of the wrong type, or a key of a nested dict is unknown; the message names it.
    """
    model = type(body)
    try:
        encoded = _ENCODE(body if is_plain(body) else read_given(body, model))
        _decoder_of_sent(model).decode(encoded)
    except ENCODING_ERRORS as error:
        raise UsageError(describe(error, _python_names(model))[0]) from None
    return encoded


def describe(error: Exception, python_names: Mapping[str, str], *, what: str = "it") -> tuple[str, str | None]:
    """Turn "Expected `bool`, got `str` - at `$.dnd`" into "dnd: expected bool, got str", and the field at fault."""
    if isinstance(error, WrongKeyError):
        return _describe_key(error, python_names)
    # Which fields may be null, and where, is another question, and has an answer of its own.
    sentence, _, path = str(error).replace("`", "").replace(" | null", "").partition(" - at $")
    match = re.match(r"\.(\w+)", path)
    if match is None:
        return f"{what} cannot be encoded: {sentence}", None
    field = python_names.get(match[1], match[1])
    where = field + path[match.end() :]
    return f"{where}: {_in_python(sentence[0].lower() + sentence[1:])}", field


def _in_python(sentence: str) -> str:
    """Name types as Python does; msgspec names some as JSON does."""
    for of_json, of_python in (("object", "dict"), ("array", "list"), (" | ", " or ")):
        sentence = sentence.replace(of_json, of_python)
    return sentence


def _describe_key(error: WrongKeyError, python_names: Mapping[str, str]) -> tuple[str, str | None]:
    if not error.place:
        return error.sentence, error.key if isinstance(error.key, str) else None
    first, *within = error.place
    field = python_names.get(first, first)
    path = "".join(part if part.startswith("[") else f".{part}" for part in within)
    return f"{field}{path}: {error.sentence}", field


def format_time(value: str | datetime) -> str:
    """Write a time as the API does, `2026-01-31T12:00:00.000Z`; a text is taken as it is.

    Raises:
        UsageError: It has no time zone, or is neither.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        raise UsageError(f"a time is a text or a datetime, not {type(value).__name__}")
    if value.tzinfo is None:
        raise UsageError("a datetime without a time zone could be any hour; give it one, such as datetime.UTC")
    return value.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
