"""The columns of a table as one: what the cells of a row say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET

from ..errors import ConfigurationError
from .choice import Column, Unsent, choose_closing, choose_column, close_all
from .consent import ALL, CLOSED
from .emptying import settle_names
from .meaning import Meaning
from .presets import recognise
from .problems import Action, Fixed, Problem, UnknownOptionError, UnusableCellError
from .targets import CONSENT_PREFIXES, CUSTOM_PREFIX, DND_PREFIX, Target

_TAGS: Final = "tags"
_IDENTITIES: Final = ("email", "phone")


class ColumnMap:
    """The columns of one table, each with what it is for.

    Args:
        names: The headers, each a name of its own.
        headers: As they stand in the table.
        meaning: What the user says.

    Attributes:
        preset: Whose export this is, or None.
        columns: Those that are sent; of several for one field the preferred ones first.
        unsent: Those that are not.

    Raises:
        ConfigurationError: A target is none.
    """

    def __init__(self, names: Sequence[str], headers: Sequence[str], meaning: Meaning) -> None:
        self.preset = None if meaning.is_whole else recognise(headers)
        pairs = enumerate(zip(names, headers, strict=True))
        chosen = [choose_column(position, *pair, meaning, self.preset) for position, pair in pairs]
        self.unsent = [column for column in chosen if isinstance(column, Unsent)]
        self.columns = [column for column in chosen if isinstance(column, Column)]
        closings = (choose_closing(headers[column.position], meaning, column) for column in self.columns)
        self.columns += [column for column in closings if column is not None]
        if "email" not in self.fields:
            self.columns = [close_all(column, headers[column.position]) for column in self.columns]
        self.columns.sort(key=lambda column: (column.rank, column.position))
        groups = dict.fromkeys(column.target.group for column in self.columns if column.target.group)
        self._groups = {group: [column for column in self.columns if column.target.group == group] for group in groups}
        self._plan = [(column.position, column.target.slot, column.read, column) for column in self.columns]
        self._emptied = _by_slot(self.columns)
        self._has_parts = any(column.target.part for column in self.columns)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that some column is for."""
        return frozenset(column.target.field for column in self.columns)

    @property
    def targets(self) -> dict[str, Target]:
        """What each column is for, by its name: of one that closes channels beside, the field that it is mapped to."""
        found: dict[str, Target] = {}
        for column in self.columns:
            found.setdefault(column.name, column.target)
        return found

    @property
    def emptied(self) -> list[str]:
        """What empty cells empty, as people write it."""
        return list(self._emptied)

    def read(self, cells: Sequence[str], absent: Collection[int] = ()) -> tuple[dict[str, Any], list[Problem]]:
        """Read the cells of a row.

        Args:
            cells: In the order of the columns.
            absent: Places of cells that are not there at all, and so are not empty.

        Returns:
            The row's fields by their names on the wire, without those that are empty or cannot be used, and what there
            is to be told of its cells, in their order.
        """
        values: dict[str, Any] = {}
        told: list[tuple[Column, Problem]] = []
        passed_over = self._passed_over(cells) if len(self._groups) > 1 else ()
        width = len(cells)
        for position, slot, read, column in self._plan:
            cell = cells[position].strip() if position < width else ""
            if not cell:
                continue
            if (slot in values and slot != _TAGS) or (passed_over and column.target.group in passed_over):
                told += _unneeded(column, cell, values.get(slot))
                continue
            try:
                value = read(cell)
            except UnusableCellError as reason:
                action: Action = "missing" if isinstance(reason, UnknownOptionError) else column.action
                told.append((column, Problem(column.name, cell, str(reason), action)))
                continue
            if type(value) is Fixed:
                told.append((column, Problem(column.name, cell, value.sentence, value.action)))
                value = value.value
            if value is not None:
                values[slot] = _join_tags(values[slot], value) if slot in values else value
        if self._emptied:
            self._empty(values, cells, absent, passed_over)
        told.sort(key=lambda pair: pair[0].position)
        problems = [_relent(column, problem, values) for column, problem in told]
        return (_fold(values) if self._has_parts else values), problems

    def _empty(
        self, values: dict[str, Any], cells: Sequence[str], absent: Collection[int], passed_over: Collection[str]
    ) -> None:
        """Add what empties the fields of which all cells are empty."""
        for slot, columns in self._emptied.items():
            used = [column for column in columns if column.target.group not in passed_over]
            if slot not in values and used and all(_is_empty(column.position, cells, absent) for column in used):
                values[slot] = used[0].empty
        settle_names(values, self._emptied)

    def _passed_over(self, cells: Sequence[str]) -> Collection[str]:
        """Return the addresses that are not sent: all but the first of which there is a cell."""
        groups = iter(self._groups)
        for group in groups:
            if any(column.position < len(cells) and cells[column.position].strip() for column in self._groups[group]):
                return tuple(groups)
        return ()


def _by_slot(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """Return the columns of each field that an empty cell empties."""
    slots: dict[str, list[Column]] = {}
    for column in columns:
        if column.empty is not UNSET:
            slots.setdefault(column.target.slot, []).append(column)
    return slots


def _is_empty(position: int, cells: Sequence[str], absent: Collection[int]) -> bool:
    return position < len(cells) and position not in absent and not cells[position].strip()


def _join_tags(tags: Sequence[str], more: Sequence[str]) -> list[str]:
    known = {tag.lower() for tag in tags}
    return [*tags, *(tag for tag in more if tag.lower() not in known)]


def _unneeded(column: Column, cell: str, sent: Any) -> list[tuple[Column, Problem]]:
    """Tell of a cell whose field another column has filled; one that says the same is no loss."""
    if column.target.is_consent or (isinstance(sent, str) and sent.lower() == cell.lower()):
        return []  # a channel that is closed is not opened by what another column says
    sentence = f"is not sent, as another column gives {column.target.slot}, of which a contact has one"
    if column.target.group:
        sentence = "is of another address than the one that is sent"
    return [(column, Problem(column.name, cell, sentence, "skipped"))]


def _relent(column: Column, problem: Problem, values: Mapping[str, Any]) -> Problem:
    """Let a row go where another column gives what a refused cell was to give."""
    if problem.action == "refused" and column.target.slot in values:
        return Problem(problem.column, problem.value, problem.sentence, "skipped")
    return problem


def _fold(values: dict[str, Any]) -> dict[str, Any]:
    """Gather the parts of fields: custom fields into their list, channels into their settings."""
    fields: dict[str, Any] = {}
    custom_fields, channels, closed = [], {}, list[str]()
    for slot, value in values.items():
        if slot.startswith(CUSTOM_PREFIX):
            custom_fields.append(value)
        elif slot.startswith(DND_PREFIX):
            channels[slot.removeprefix(DND_PREFIX)] = value
        elif slot.startswith(CONSENT_PREFIXES):
            closed += slot.partition(":")[2].split(",")
        else:
            fields[slot] = value
    if custom_fields:
        fields["customFields"] = [*custom_fields, *fields.get("customFields", ())]
    if ALL in closed:
        fields["dnd"] = True
    channels = {channel: CLOSED for channel in closed if channel != ALL} | channels
    if channels:
        fields["dndSettings"] = fields.get("dndSettings", {}) | channels
    return fields


def require_identity(columns: ColumnMap, names: Sequence[str], file: str) -> None:
    """Refuse a table of which no row can be sent.

    Raises:
        ConfigurationError: No column is known, or none is for email or phone.
    """
    found = ", ".join(names[:12]) or "nothing"
    way = "name them email, phone, firstName, ..., or say what they are with --map 'Column=field'"
    if not columns.columns:
        raise ConfigurationError(f"{file}: no column is known (found: {found}); {way}")
    if not columns.fields.intersection(_IDENTITIES):
        way = "add one of them, or say which it is with --map 'Column=email'"
        raise ConfigurationError(f"{file}: there is no column for email or phone (found: {found}); {way}")
