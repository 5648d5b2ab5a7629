"""Which field one column is for, and what reads its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec import UNSET, Struct

from ..errors import ConfigurationError
from .columns import find_target, plain
from .definitions import KEY_PREFIX, FieldDefinition, value_reader
from .emptying import empty_custom_value, empty_value
from .meaning import Meaning
from .presets import Preset
from .problems import Action
from .rules import RULES, action_of, reader_of
from .targets import VALUE_READERS, Target, read_channel, read_target

NOT_KNOWN: Final = "no field is known for it"
Rank: TypeAlias = tuple[int, int]
_SAID, _OF_PRESET, _BY_NAME = range(3)


class Column(Struct, frozen=True):
    """A column that is sent.

    Attributes:
        position: Its place in the row, from 0.
        name: Its header.
        target: What it is for.
        read: Makes the value of a cell that is not empty; raises `UnusableCellError` with the reason.
        action: What becomes of a cell that cannot be used.
        rank: Its place among columns for the same field: the first whose cell can be used is sent.
        empty: What an empty cell sends; `UNSET` for nothing.
    """

    position: int
    name: str
    target: Target
    read: Callable[[str], Any]
    action: Action
    rank: Rank
    empty: Any = UNSET


class Unsent(Struct, frozen=True):
    """A column that is not sent, and why."""

    name: str
    reason: str


def choose_column(position: int, name: str, header: str, meaning: Meaning, preset: Preset | None) -> Column | Unsent:
    """Choose what a column is for.

    What the user says goes before what is known of the export that this is, and that before what the header says.

    Args:
        position: Its place in the row, from 0.
        name: Its name, which no other column has.
        header: The name as it stands in the table.
        meaning: What the user says.
        preset: Whose export this is, or None.

    Raises:
        ConfigurationError: What the user says is no target, or one that the location does not have.
    """
    if name in meaning.ignored or header in meaning.ignored:
        return Unsent(name, "--ignore")
    said = next((text for text in (name, header) if text in meaning.columns), None)
    if said is not None:
        target, rank = read_target(meaning.columns[said]), (_SAID, list(meaning.columns).index(said))
        return Unsent(name, "it is to be ignored") if target is None else _column(position, name, target, rank, meaning)
    if meaning.is_whole:
        return Unsent(name, "it is not in the mapping file")
    found = _known_target(header, preset)
    if isinstance(found, str):
        return Unsent(name, found)
    target, rank = found
    if target.field == "assignedTo" and rank[0] == _OF_PRESET and not meaning.owners.is_known:
        return Unsent(name, "no --owners FILE tells the ids of users")
    return _column(position, name, target, rank, meaning)


def _known_target(header: str, preset: Preset | None) -> tuple[Target, Rank] | str:
    name = plain(header)
    if preset is not None:
        if name in preset.unsent:
            return preset.unsent[name]
        if name in preset.targets:
            return preset.targets[name], (_OF_PRESET, list(preset.targets).index(name))
    found = find_target(header)
    return NOT_KNOWN if found is None else (found[0], (_BY_NAME, found[1]))


def _column(position: int, name: str, target: Target, rank: Rank, meaning: Meaning) -> Column:
    if target.is_custom_field:
        return _of_custom_field(position, name, target, rank, meaning)
    read, action = _reader(target, meaning), action_of(target.field)
    return Column(position, name, target, read, action, rank, _empty(target, meaning))


def _empty(target: Target, meaning: Meaning, field: FieldDefinition | None = None) -> Any:
    if not meaning.empties_fields:
        return UNSET
    return empty_value(target, with_tags=meaning.empties_tags) if field is None else empty_custom_value(field)


def _reader(target: Target, meaning: Meaning) -> Callable[[str], Any]:
    if target.field == "dndSettings" and target.part:
        return read_channel
    if target.field == "assignedTo":
        return meaning.owners.read
    if target.field == "locationId":
        return meaning.locations.read
    if target.field in VALUE_READERS:
        return VALUE_READERS[target.field]
    rules = RULES.get(target.field)
    return str if rules is None else reader_of(rules, meaning.checks)


def _of_custom_field(position: int, name: str, target: Target, rank: Rank, meaning: Meaning) -> Column:
    """Find a custom field; one that only a header names may be none, and is then left to the service."""
    said, is_said = target.part, rank[0] == _SAID
    field = None if meaning.fields is None else meaning.fields.find(said)
    if field is None and meaning.fields is not None and is_said:
        hint = meaning.fields.nearest(said)
        raise ConfigurationError(f"the location has no custom field {said!r} ({hint}); --create-fields makes it")
    if field is None:
        read = _by_key(said)
    else:
        read = value_reader(field, meaning.checks, is_strict=is_said)
        target = Target("customFields", field.key.removeprefix(KEY_PREFIX))
    return Column(position, name, target, read, "skipped", rank, _empty(target, meaning, field))


def _by_key(key: str) -> Callable[[str], Any]:
    return lambda cell: {"key": key, "field_value": cell}
