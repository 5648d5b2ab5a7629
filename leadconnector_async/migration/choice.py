"""Which field one column is for, and what reads its cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ..errors import ConfigurationError
from .columns import find_target
from .consent import ALL, Kind, consent_reader, find_consent, judge, plain
from .definitions import KEY_PREFIX, FieldDefinition, value_reader
from .emptying import empty_custom_value, empty_value
from .meaning import Meaning
from .presets import Preset
from .problems import Action
from .rules import RULES, action_of, reader_of
from .targets import VALUE_READERS, Target, read_channel, read_target

NOT_KNOWN: Final = "no field is known for it"
_NO_CHANNEL: Final = "it is about post or fax, for which there is no channel"
Rank: TypeAlias = tuple[int, int]
_SAID, _OF_PRESET, _BY_NAME = range(3)
_MOST_UNREAD: Final = 0.2  # of the filled cells of a column about consent; with more, nobody knows what it says
_STATUS_WORDS: Final = ("active", "inactive", "permanent")


class Doubt(Struct, frozen=True):
    """What is to be looked at before a column about consent is believed.

    Attributes:
        is_unread: Whether a cell that is not empty cannot be read.
        most: The share of such cells up to which the column can still be believed.
        why: What is wrong with more of them, after the column's name.
    """

    is_unread: Callable[[str], bool]
    most: float
    why: str


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
        doubt: Why it may stop the load, as it is about consent; None of most columns, and where the user settled it.
    """

    position: int
    name: str
    target: Target
    read: Callable[[str], Any]
    action: Action
    rank: Rank
    empty: Any = UNSET
    doubt: Doubt | None = None


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
        if target is None:
            return Unsent(name, "it is to be ignored")
        return _column(position, name, header, target, rank, meaning)
    if meaning.is_whole and not _is_about_consent(header):
        return Unsent(name, "it is not in the mapping file")
    found = _known_target(header, preset)
    if isinstance(found, str):
        return Unsent(name, found)
    target, rank = found
    if target.field == "assignedTo" and rank[0] == _OF_PRESET and not meaning.owners.is_known:
        return Unsent(name, "no --owners FILE tells the ids of users")
    return _column(position, name, header, target, rank, meaning)


def choose_closing(header: str, meaning: Meaning, chosen: Column) -> Column | None:
    """Return what closes channels beside a column about consent that the user has sent to another field, or None.

    Only a target of consent, or leaving the column out, says that it is to close nobody.
    """
    found = find_target(header)
    if chosen.rank[0] != _SAID or chosen.target.is_consent or found is None or not found[0].is_consent:
        return None
    return _column(chosen.position, chosen.name, header, found[0], (_BY_NAME, found[1]), meaning)


def close_all(column: Column, header: str) -> Column:
    """Return a column as it is meant in a table without email addresses: a header that names no channel, and by habit
    means email, is then about the phone."""
    consent = find_consent(header)
    is_habit = consent is not None and consent.is_implied and consent.channels == ("Email",)
    if column.target.consent is None or column.rank[0] == _SAID or not is_habit:
        return column
    target = msgspec.structs.replace(column.target, field="dnd", part=ALL)
    return msgspec.structs.replace(column, target=target)


def _is_about_consent(header: str) -> bool:
    found = find_target(header)
    return find_consent(header) is not None or (found is not None and found[0].is_consent)


def _known_target(header: str, preset: Preset | None) -> tuple[Target, Rank] | str:
    name = plain(header)
    if preset is not None:
        if name in preset.unsent:
            return preset.unsent[name]
        if name in preset.targets:
            return preset.targets[name], (_OF_PRESET, list(preset.targets).index(name))
    found = find_target(header)
    if found is None:
        return NOT_KNOWN if find_consent(header) is None else _NO_CHANNEL
    return found[0], (_BY_NAME, found[1])


def _column(position: int, name: str, header: str, target: Target, rank: Rank, meaning: Meaning) -> Column:
    if target.is_custom_field:
        return _of_custom_field(position, name, target, rank, meaning)
    read, action = _reader(target, header, meaning), action_of(target.field)
    return Column(position, name, target, read, action, rank, _empty(target, meaning), _doubt(target, header, rank))


def _doubt(target: Target, header: str, rank: Rank) -> Doubt | None:
    """Return what stops a load: a column that only its header tells of and that cannot be read, and a status, or what
    says the opposite, that the user has mapped to not disturbing."""
    is_said = rank[0] == _SAID
    if target.consent is not None:
        why = f"is about consent ({target.text}), and cannot be read"
        return None if is_said else Doubt(partial(_is_unread, target.consent, _is_time(header)), _MOST_UNREAD, why)
    if not (target.is_consent and is_said) or re.search("dnd|disturb", plain(header)):
        return None
    consent = find_consent(header)
    if consent is not None and consent.kind == "opt-in":
        return Doubt(lambda _: True, 0.0, f"says by its header the opposite of {target.text}")
    why = f"has words of a status, of which {target.text} cannot tell which are opt-outs"
    return Doubt(lambda cell: cell.lower() in _STATUS_WORDS, 0.0, why)


def _is_unread(kind: Kind, is_time: bool, cell: str) -> bool:
    return judge(cell, kind, is_time=is_time) == "unread"


def _is_time(header: str) -> bool:
    consent = find_consent(header)
    return consent is not None and consent.is_time


def _empty(target: Target, meaning: Meaning, field: FieldDefinition | None = None) -> Any:
    if not meaning.empties_fields:
        return UNSET
    return empty_value(target, with_tags=meaning.empties_tags) if field is None else empty_custom_value(field)


def _reader(target: Target, header: str, meaning: Meaning) -> Callable[[str], Any]:
    if target.consent is not None:
        return consent_reader(target.consent, is_time=_is_time(header))
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
