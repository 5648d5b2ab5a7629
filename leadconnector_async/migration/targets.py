"""What a column can be for, and what its cells are made of."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import ConfigurationError
from ..models import UPSERT_NAMES
from .problems import UnusableCellError

CUSTOM_PREFIX: Final = "custom:"
DND_PREFIX: Final = "dnd:"
DND_CHANNELS: Final = ("Call", "Email", "SMS", "WhatsApp", "GMB", "FB")
_ALIASES: Final = {"owner": "assignedTo", "location": "locationId", "ignore": "", "": ""}
_TRUE, _FALSE = ("true", "yes", "y", "1"), ("false", "no", "n", "0")


class Target(Struct, frozen=True):
    """What a column is for.

    Attributes:
        field: The field on the wire.
        part: Of `customFields` the field's name, key or id; of `dndSettings` the channel; empty for all of it.
        group: Of an address, which: columns of one address are used together, or not at all.
    """

    field: str
    part: str = ""
    group: str = ""

    @property
    def slot(self) -> str:
        """What columns share of which only one can be sent."""
        if not self.part:
            return self.field
        return f"{CUSTOM_PREFIX if self.field == 'customFields' else DND_PREFIX}{self.part}"

    @property
    def is_custom_field(self) -> bool:
        """Whether it is one custom field."""
        return self.field == "customFields" and bool(self.part)

    @property
    def text(self) -> str:
        """How people write it."""
        return f"{self.slot}@{self.group}" if self.group else self.slot


def read_target(text: str) -> Target | None:
    """Read a target as people write it: a field in any spelling, `custom:NAME`, `dnd:CHANNEL`, `owner`, `location`.

    Of an address, what follows an @ is the name of its group: `city@home`.

    Returns:
        The target; None where the column is not to be sent (`ignore`, or nothing).

    Raises:
        ConfigurationError: There is no such field.
    """
    text = text.strip()
    text, _, group = text.partition("@") if not text.lower().startswith(CUSTOM_PREFIX) else (text, "", "")
    prefix, _, rest = text.partition(":")
    if prefix.lower() + ":" == CUSTOM_PREFIX and rest.strip():
        return Target("customFields", rest.strip())
    if prefix.lower() + ":" == DND_PREFIX:
        channel = {name.lower(): name for name in DND_CHANNELS}.get(rest.strip().lower())
        if channel is None:
            raise ConfigurationError(f"{text!r} is no channel; there are {', '.join(DND_CHANNELS)}")
        return Target("dndSettings", channel)
    field = _ALIASES.get(text.lower(), _SPELLINGS.get(_plain(text)))
    if field is None:
        near = get_close_matches(text, [*FIELDS, "owner", "location"], 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIELDS)}, custom:NAME and dnd:CHANNEL"
        raise ConfigurationError(f"{text!r} is no field of a contact; {hint}")
    return Target(field, group=group.strip()) if field else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


FIELDS: Final = tuple(dict.fromkeys(UPSERT_NAMES.values()))
_SPELLINGS: Final = {_plain(wire): wire for wire in FIELDS}


# ---------------------------------------------------------------------------------------------- cells to values


def read_flag(cell: str) -> bool:
    """Read yes or no."""
    word = cell.lower()
    if word not in _TRUE + _FALSE:
        raise UnusableCellError(f"{cell[:40]!r} is neither yes nor no (true, false, 1 and 0 are fine, too)")
    return word in _TRUE


_SEPARATED: Final = re.compile(r"\s*(?::::|[,;|\n])\s*")


def read_tags(cell: str) -> list[str]:
    """Read tags between any of , ; | ::: and line ends, in quotes or not, or as JSON."""
    if cell.startswith("["):
        return read_json(cell, list[str])  # type: ignore[no-any-return]
    return [tag for tag in split_list(cell) if not _is_of_system(tag)]


def split_list(cell: str) -> list[str]:
    """Split a cell that holds several values; what stands in quotes is one."""
    if '"' in cell:
        parts = next(csv.reader([cell.replace("\n", ",")], skipinitialspace=True))
        return [part.strip() for part in parts if part.strip()]
    return [part for part in _SEPARATED.split(cell) if part]


def _is_of_system(tag: str) -> bool:
    """Whether a label is one that Google puts on each contact, such as "* myContacts"."""
    return tag.startswith("* ")


def read_json(cell: str, kind: Any) -> Any:
    """Read JSON of a kind."""
    try:
        return msgspec.json.decode(cell, type=kind)
    except msgspec.DecodeError as error:
        raise UnusableCellError(f"{cell[:40]!r} is not the JSON that belongs here ({error})") from None


_IS_SET: Final = ("unsubscribed", "opted out", "opted-out", "opt-out", "archived")
_IS_NOT_SET: Final = ("subscribed", "opted in", "opted-in", "opt-in", "")
_SINCE: Final = re.compile(r"\d{4}-\d{2}-\d{2}.*")


def read_channel(cell: str) -> dict[str, str] | None:
    """Read whether a channel must not be used: yes or no, the API's own word, or the time since when.

    "No" leaves the channel as it is on the service: what another system does not know is no leave to write to somebody
    who has opted out here. `inactive` says it in so many words.
    """
    word = cell.lower()
    if word in ("active", "inactive", "permanent"):
        return {"status": word}
    if word in _IS_SET or _SINCE.fullmatch(cell):
        return {"status": "active"}
    if word in _IS_NOT_SET:
        return None
    return {"status": "active"} if read_flag(cell) else None


VALUE_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "dnd": read_flag,
    "createNewIfDuplicateAllowed": read_flag,
    "tags": read_tags,
    "dndSettings": lambda cell: read_json(cell, dict[str, Any]),
    "inboundDndSettings": lambda cell: read_json(cell, dict[str, Any]),
    "customFields": lambda cell: read_json(cell, list[dict[str, Any]]),
}
"""Of fields that are no text: what makes their value of a cell. It raises `UnusableCellError` with the reason."""
