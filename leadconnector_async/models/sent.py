"""What every body that is sent has in common: its values are checked before a call is spent on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import Struct

from ..errors import UsageError
from .given import WrongKeyError, is_plain, read_given

_ENCODE = msgspec.json.Encoder().encode
ENCODING_ERRORS = (msgspec.MsgspecError, WrongKeyError, TypeError, UnicodeEncodeError, RecursionError)
"""What is raised for a value that cannot be encoded or is of the wrong type, and for a key that is unknown."""


class Sent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A body; what is None by default is left out."""


AnySent = TypeVar("AnySent", bound=Sent)


@cache
def _decoder(model: type[AnySent]) -> msgspec.json.Decoder[AnySent]:
    return msgspec.json.Decoder(model)


@cache
def _python_names(model: type[Sent]) -> dict[str, str]:
    return {field.encode_name: field.name for field in msgspec.structs.fields(model)}


def encode_body(body: Sent) -> bytes:
    """Encode a body, and check the type of each of its values. What is missing (NaN and its like) is left out.

    Raises:
        UsageError: A value is of the wrong type, or a key of a nested dict is unknown; the message names it.
    """
    model = type(body)
    try:
        encoded = _ENCODE(body if is_plain(body) else read_given(body, model))
        _decoder(model).decode(encoded)
    except ENCODING_ERRORS as error:
        raise UsageError(describe(error, _python_names(model))[0]) from None
    return encoded


def describe(error: Exception, python_names: Mapping[str, str], *, what: str = "it") -> tuple[str, str | None]:
    """Turn "Expected `bool`, got `str` - at `$.dnd`" into "dnd: expected bool, got str", and the field at fault."""
    if isinstance(error, WrongKeyError):
        return _describe_key(error, python_names)
    sentence, _, path = str(error).replace("`", "").partition(" - at $")
    match = re.match(r"\.(\w+)", path)
    if match is None:
        return f"{what} cannot be encoded: {sentence}", None
    field = python_names.get(match[1], match[1])
    where = field + path[match.end() :]
    return f"{where}: {sentence[0].lower()}{sentence[1:]}", field


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
