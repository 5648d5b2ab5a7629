"""The columns of a table as one: what the cells of a row say."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from ...errors import ConfigurationError, option
from ...models.dnd import ALL
from ...models.fields import FIELD_OF, NAMES
from ...rules.checks import Checks
from ...rules.consent import (
    CLOSED,
    MOST_UNREAD,
    ConsentKind,
    consent_reader,
    find_consent,
    find_weak,
    judge,
    plain,
    says_nothing,
)
from ...rules.fields import FREE_TEXT, RULES, action_for, action_of, reader_of
from ...rules.problems import Action, Fixed, Problem, UnusableCellError
from ...rules.texts import STANDS_FOR_NOTHING, clean_cell, is_placeholder, is_plain, notes_of, without_decimals
from .custom_fields import (
    KEY_PREFIX,
    FieldDefinition,
    FieldDefinitions,
    MissingFieldsError,
    collect_missing,
    empty_custom_value,
    empty_value,
    settle_names,
    value_reader,
)
from .headers import find_target, other_meaning
from .meaning import Meaning
from .presets import Preset, recognise
from .targets import (
    ADDRESS,
    CONSENT_PREFIXES,
    CUSTOM_PREFIX,
    DND_PREFIX,
    VALUE_READERS,
    Target,
    consent_target,
    read_channel,
    read_contact_id,
    read_state,
    read_tags,
    read_targets,
)

# ---------------------------------------------------------------------------------------------- one column

_NOT_IN_NAME: Final = "is not sent, as the whole name that another column gives does not have it"
NOT_KNOWN: Final = "no field matches it"
_NO_CHANNEL: Final = "it is about post or fax, for which there is no channel"
Rank: TypeAlias = tuple[int, int]
_SAID, _OF_PRESET, _BY_NAME = range(3)
ID: Final = "id"
_NO_IDS: Final = "its cells are not ids of contacts, which have 20 letters and digits"
_BY_EMAIL: Final = "rows are matched by email and phone"
_OF_IDS: Final = ("assignedTo", "assigned_to")  # as our own exports and the API have it: ids, where others have names
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
        keeps_placeholders: Whether a word for nothing is read as any other: it is consent's own to judge.
        is_free_text: Whether its cells may hold any text.
        flag: Of a phone, the place of a column that says whether this number must not be called; None without one.
    """

    position: int
    name: str
    target: Target
    read: Callable[[str], Any]
    action: Action
    rank: Rank
    empty: Any = UNSET
    doubt: Doubt | None = None
    keeps_placeholders: bool = False
    is_free_text: bool = False
    flag: int | None = None

    def closes_by(self, cell: str) -> bool:
        """Whether a cell that is not empty closes a channel, as far as this column alone says."""
        try:
            value = self.read(cell)
        except UnusableCellError:
            return False
        value = value.value if isinstance(value, Fixed) else value
        if self.target != Target("dndSettings"):
            return bool(value)
        return any(one != {"status": "inactive"} for one in value.values())


class Unsent(Struct, frozen=True):
    """A column that is not sent, and why."""

    name: str
    reason: str


def choose_columns(
    position: int,
    name: str,
    header: str,
    meaning: Meaning,
    preset: Preset | None,
    *,
    is_consent: bool = False,
    holds_ids: bool = True,
) -> list[Column] | Unsent:
    """Choose what a column is for; the user may send it to several fields.

    What the user says goes before what is known of the export that this is, and that before what the header says.

    Args:
        position: Its place in the row, from 0.
        name: Its name, which no other column has.
        header: The name as it stands in the table.
        meaning: What the user says.
        preset: Whose export this is, or None.
        is_consent: Whether its header is a weak one (see `find_weak`) and its cells are words about consent.
        holds_ids: Whether its cells may be ids of contacts.

    Raises:
        ConfigurationError: What the user says is no target, or one that the location does not have.
    """
    if name in meaning.ignored or header in meaning.ignored:
        return Unsent(name, "ignored on request")
    said = next((text for text in (name, header) if text in meaning.columns), None)
    if said is not None:
        targets, rank = read_targets(said, meaning.columns[said]), (_SAID, meaning.rank_of(said))
        if not targets:
            return Unsent(name, "ignored on request")
        columns = [
            _column(position, name, header, target, rank, meaning)
            for target in targets
            if not (target.field == ID and meaning.ids == "none")
        ]
        return columns or Unsent(name, _BY_EMAIL)
    if meaning.is_whole and not (is_consent or _is_about_consent(header)):
        return Unsent(name, "it is not in the mapping file")
    found = _known_target(header, preset, is_consent=is_consent)
    if isinstance(found, str):
        return Unsent(name, found)
    target, rank = found
    if target.field == ID and not (holds_ids and meaning.ids != "none"):
        return Unsent(name, _BY_EMAIL if holds_ids else _NO_IDS)
    holds_names = target.field == "assignedTo" and rank[0] == _OF_PRESET and header.strip() not in _OF_IDS
    if holds_names and not meaning.owners.is_known:
        return Unsent(name, "there is no file of owners to look up their ids in (`owners`)")
    return [_column(position, name, header, target, rank, meaning)]


def choose_closing(header: str, meaning: Meaning, sent: Sequence[Column]) -> Column | None:
    """Return what closes channels beside a column about consent that the user has sent to another field, or None.

    Only a target of consent, or leaving the column out, says that it is to close nobody. Where the header does not say
    clearly which channels, all are closed: the user has settled the rest of what it means.
    """
    found, chosen = find_target(header), sent[0]
    is_settled = chosen.rank[0] != _SAID or any(column.target.is_consent for column in sent)
    if is_settled or found is None or not found[0].is_consent:
        return None
    column = _column(chosen.position, chosen.name, header, found[0], (_BY_NAME, found[1]), meaning)
    if found[0].consent is None:
        return column
    return msgspec.structs.replace(column, doubt=_doubt_of_cells(found[0], found[0].consent, header))


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


def _known_target(header: str, preset: Preset | None, *, is_consent: bool) -> tuple[Target, Rank] | str:
    name = plain(header)
    weak = find_weak(header) if is_consent else None
    if weak is not None and not (preset is not None and name in preset.targets and preset.targets[name].is_consent):
        return consent_target(weak.consent), (_BY_NAME, 0)
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
        return _of_custom_field(position, name, header, target, rank, meaning)
    read, action = _reader(target, header, meaning), action_of(target.field)
    is_free, is_consent = target.field in FREE_TEXT, target.is_consent
    return Column(
        position,
        name,
        target,
        read,
        action,
        rank,
        _empty(target, meaning),
        _doubt(target, header, rank),
        keeps_placeholders=is_consent or (is_free and meaning.checks.keep_placeholders),
        is_free_text=is_free,
    )


def _doubt(target: Target, header: str, rank: Rank) -> Doubt | None:
    """Return what stops a load: a column that only its header tells of and that cannot be read, and a status, or what
    says the opposite, that the user has mapped to not disturbing."""
    is_said = rank[0] == _SAID
    if target.consent is not None:
        return None if is_said else _doubt_by_name(target, target.consent, header)
    if not (target.is_consent and is_said) or re.search("dnd|disturb", plain(header)):
        return None
    consent = find_consent(header)
    if consent is not None and consent.kind == "opt-in":
        return Doubt(lambda _: True, 0.0, f"says by its header the opposite of {target.text}")
    why = f"has words of a status, of which {target.text} cannot tell which are opt-outs"
    return Doubt(lambda cell: cell.lower() in _STATUS_WORDS, 0.0, why)


def _doubt_by_name(target: Target, kind: ConsentKind, header: str) -> Doubt:
    consent = find_consent(header)
    if consent is None or not consent.is_vague:
        return _doubt_of_cells(target, kind, header)
    if kind == "opt-out":  # "no" may be the answer to its opposite
        return Doubt(lambda cell: not says_nothing(cell), 0.0, "says that people opted out, but not of what")
    why = "says that people opted in, but not to what, and some did not"
    return Doubt(lambda cell: judge(cell, "opt-in") == "closes", 0.0, why)


def _doubt_of_cells(target: Target, kind: ConsentKind, header: str) -> Doubt:
    why = f"is about consent ({target.text}), and cannot be read"
    return Doubt(partial(_is_unread, kind, _is_time(header)), MOST_UNREAD, why)


def _is_unread(kind: ConsentKind, is_time: bool, cell: str) -> bool:
    return judge(cell, kind, is_time=is_time) == "unread"


def _is_time(header: str) -> bool:
    consent = find_consent(header)
    return consent is not None and consent.is_time


def _one_line(cell: str) -> str:
    return ", ".join(line.strip(" \t,") for line in cell.splitlines() if line.strip(" \t,"))


def _empty(target: Target, meaning: Meaning, field: FieldDefinition | None = None) -> Any:
    if target.is_joined or not meaning.empties_fields:
        return UNSET
    return empty_value(target, with_tags=meaning.empties_tags) if field is None else empty_custom_value(field)


def _reader(target: Target, header: str, meaning: Meaning) -> Callable[[str], Any]:
    if target.consent is not None:
        return consent_reader(target.consent, is_time=_is_time(header))
    if target.field == "dndSettings" and target.part:
        return read_channel
    if target.field == ID:
        return _of_codes(read_contact_id, meaning.checks)
    if target.field == "assignedTo":
        return _of_codes(meaning.owners.read, meaning.checks)
    if target.field == "locationId":
        return _of_codes(meaning.locations.read, meaning.checks)
    if target.field == _TAGS and not meaning.checks.keep_placeholders:
        return lambda cell: [tag for tag in read_tags(cell) if not is_placeholder(tag)]
    if target.is_joined:
        return _one_line
    if target.field == "state":
        return read_state
    if target.field in VALUE_READERS:
        return VALUE_READERS[target.field]
    rules = RULES.get(target.field)
    return str if rules is None else reader_of(rules, meaning.checks)


def _of_custom_field(position: int, name: str, header: str, target: Target, rank: Rank, meaning: Meaning) -> Column:
    """Find a custom field. Where the fields of the location are not known, it is left to the service, by its key."""
    said, field, checks = target.part, None, meaning.checks
    read = _by_key(said)
    if meaning.fields is not None:
        field = _find_custom_field(said, meaning.fields)
        read = value_reader(field, checks)
        target = Target("customFields", field.key.removeprefix(KEY_PREFIX))
    is_free = field is None or field.data_type in _TEXTS
    is_option = field is not None and any(map(is_placeholder, field.options))
    return Column(
        position,
        name,
        target,
        _of_codes(read, checks) if is_free and _HOLDS_CODES.search(header) else read,
        "skipped",
        rank,
        _empty(target, meaning, field),
        keeps_placeholders=(is_free and checks.keep_placeholders) or is_option,
        is_free_text=is_free,
    )


_TEXTS: Final = ("TEXT", "LARGE_TEXT")
_HOLDS_CODES: Final = re.compile(
    r"(?i:(?<![^\W_])(?:id|nr|no|num|nummer|numero|number|code|zip|plz|postcode|account|phone|sku)(?![^\W_]))|[a-z](?:Id|ID|Nr|No)$"
)


def _of_codes(read: Callable[[str], Any], checks: Checks) -> Callable[[str], Any]:
    """Have codes read as they were before a table of numbers gave them decimals."""

    def read_code(cell: str) -> Any:
        found = without_decimals(cell, checks)
        if not isinstance(found, Fixed):
            return read(cell)
        value = read(found.value)
        return value if isinstance(value, Fixed) else Fixed(value, found.sentence)

    return read_code


def _find_custom_field(said: str, fields: FieldDefinitions) -> FieldDefinition:
    field = fields.find(said)
    if field is None:
        raise MissingFieldsError([said])
    return field


def _by_key(key: str) -> Callable[[str], Any]:
    return lambda cell: {"key": key, "field_value": cell}


_OBJECTS: Final = ("customFields", "inboundDndSettings")
_TAGS: Final = "tags"
_IDENTITIES: Final = ("email", "phone", ID)
WIRE_NAMES: Final = [FIELD_OF[name].wire for name in NAMES]


class ColumnMap:
    """The columns of one table, each with what it is for.

    Args:
        names: The headers, each a name of its own.
        headers: As they stand in the table.
        meaning: What the user says.
        consents: Places of columns with weak headers whose cells are words about consent.
        foreign: Places of columns whose cells are not ids of contacts, whatever their headers say.

    Attributes:
        preset: Whose export this is, or None.
        columns: Those that are sent; of several for one field the preferred ones first.
        unsent: Those that are not.

    Raises:
        ConfigurationError: A target is none.
    """

    def __init__(
        self,
        names: Sequence[str],
        headers: Sequence[str],
        meaning: Meaning,
        consents: Container[int] = (),
        foreign: Container[int] = (),
    ) -> None:
        self.preset = None if meaning.is_whole else recognise(headers)
        chosen = collect_missing(
            lambda at: choose_columns(
                at,
                names[at],
                headers[at],
                meaning,
                self.preset,
                is_consent=at in consents,
                holds_ids=at not in foreign,
            ),
            range(len(names)),
            meaning.fields,
        )
        self.unsent = [column for column in chosen if isinstance(column, Unsent)]
        sent = [columns for columns in chosen if not isinstance(columns, Unsent)]
        closings = [choose_closing(headers[columns[0].position], meaning, columns) for columns in sent]
        self.columns = [*chain.from_iterable(sent), *(column for column in closings if column is not None)]
        if "email" not in self.fields:
            self.columns = [close_all(column, headers[column.position]) for column in self.columns]
        self.columns = _flag_phones(_group_address(_settle_name(self.columns, headers)), headers)
        self.columns.sort(key=lambda column: (column.rank, column.position))
        self._groups: dict[str, list[Column]] = {}
        for column in self.columns:
            if _address_of(column):
                self._groups.setdefault(column.target.group, []).append(column)
        self._told: list[tuple[Column, Problem]] = []  # of the row at hand
        self._plan = [(column.position, _slot(column), _Values(column, self._told), column) for column in self.columns]
        self._flags = [(column.position, column.flag) for column in self.columns if column.flag is not None]
        self._slots = [slot for _, slot, _, _ in self._plan]
        self._known = [known for _, _, known, _ in self._plan]
        self._width = max((column.position for column in self.columns), default=0) + 1
        # As most tables are: each column has a field of its own, so that none gives way to another.
        is_simple = len({*self._slots}) == len(self._slots) > 1 and not self._flags and len(self._groups) < 2
        self._cells_of = itemgetter(*(column.position for column in self.columns)) if is_simple else None
        self._emptied = _by_slot(self.columns)
        self._has_parts = any(column.target.part for column in self.columns)
        self._has_several = len({column.position for column in self.columns}) < len(self.columns)
        self._has_joined = any(column.target.is_joined for column in self.columns)

    @property
    def fields(self) -> frozenset[str]:
        """The fields that some column is for."""
        return frozenset(column.target.field for column in self.columns)

    @property
    def holds_objects(self) -> bool:
        """Whether values may hold keys that somebody wrote, or channels."""
        return any(column.target.is_consent or column.target.field in _OBJECTS for column in self.columns)

    @property
    def closing_columns(self) -> list[Column]:
        """The columns that may close channels; those that flag a phone among them, as they are read by themselves."""
        flags = [place for _, place in self._flags]
        read = consent_reader("opt-out")
        return [
            msgspec.structs.replace(column, read=read) if column.position in flags else column
            for column in sorted(self.columns, key=lambda column: column.position)
            if column.target.is_consent
        ]

    @property
    def targets(self) -> dict[str, list[Target]]:
        """What each column that is sent is for, by its name, the field that it is mapped to first."""
        found: dict[str, list[Target]] = {}
        for column in self.columns:
            found.setdefault(column.name, []).append(column.target)
        return found

    @property
    def texts(self) -> dict[str, str]:
        """The same as people write it."""
        return {name: ", ".join(target.text for target in targets) for name, targets in self.targets.items()}

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
        passed_over = self._passed_over(cells) if len(self._groups) > 1 else ()
        self._told.clear()
        values = self._read_all(cells, passed_over)
        if self._emptied or self._has_joined:
            self._told += self._join(values, cells)
            self._empty(values, cells, absent, passed_over)
        relented = []
        if self._told:
            self._told.sort(key=lambda pair: pair[0].position)
            relented = [_relent(column, problem, values) for column, problem in self._told]
            relented = list(dict.fromkeys(relented)) if self._has_several else relented  # a cell is told of once
        return (_fold(values) if self._has_parts else values), relented

    def _read_all(self, cells: Sequence[str], passed_over: Collection[str]) -> dict[str, Any]:
        """Return the values of cells; what there is to be told of them is put into `_told`."""
        if self._cells_of is not None and len(cells) >= self._width:
            pairs = zip(self._slots, self._known, self._cells_of(cells), strict=True)
            return {slot: value for slot, known, raw in pairs if (value := known[raw]) is not None}
        values: dict[str, Any] = {}
        tags: list[list[str]] = []
        width = len(cells)
        flagged = self._flagged(cells) if self._flags else ()
        # A number that may be called goes before one that may not.
        plan = sorted(self._plan, key=lambda planned: planned[0] in flagged) if flagged else self._plan
        for position, slot, known, column in plan:
            raw = cells[position] if position < width else ""
            if not raw:
                continue
            if slot in values or (passed_over and _address_of(column) in passed_over):
                self._told += _unneeded(column, _clean(column, raw, self._told), values.get(slot))
                continue
            value = known[raw]
            if value is None:
                continue
            if slot == _TAGS:
                tags.append(value)
            else:
                values[slot] = value
                if position in flagged:
                    values[_CLOSED_BY_FLAG] = True
        if flagged and "phone" not in values:
            values[_CLOSED_BY_FLAG] = True  # the number that must not be called may be one that the contact has
        if tags:
            values[_TAGS] = _join_tags(tags)
        return values

    def _join(self, values: dict[str, Any], cells: Sequence[str]) -> list[tuple[Column, Problem]]:
        """Join the parts of a name and of a street; return the parts that a whole name leaves no place for."""
        whole = str(values.get("name") or "").lower()
        middles = [
            column
            for column in self.columns
            if whole and column.target.slot in values and column.target.part == "middle"
        ]
        _join_parts(values)
        told = [(column, Problem(column.name, cells[column.position], _NOT_IN_NAME, "skipped")) for column in middles]
        return [(column, problem) for column, problem in told if problem.value.strip().lower() not in whole]

    def _empty(
        self, values: dict[str, Any], cells: Sequence[str], absent: Collection[int], passed_over: Collection[str]
    ) -> None:
        """Add what empties the fields of which all cells are empty."""
        for slot, columns in self._emptied.items():
            used = [column for column in columns if _address_of(column) not in passed_over]
            if slot not in values and used and all(_is_empty(column.position, cells, absent) for column in used):
                values[slot] = used[0].empty
        settle_names(values, self._emptied)

    def _flagged(self, cells: Sequence[str]) -> Collection[int]:
        """Return the places of phones that must not be called; what cannot be read says so, too."""
        return [phone for phone, flag in self._flags if _is_filled(flag, cells) and _closes(clean_cell(cells[flag]))]

    def _passed_over(self, cells: Sequence[str]) -> Collection[str]:
        """Return the addresses that are not sent: all but the first of which there is a cell."""
        filled = [
            [column for column in columns if _is_filled(column.position, cells)] for columns in self._groups.values()
        ]
        # A country alone says less than the street of another address.
        best = [any(column.target.field not in _OF_LAND for column in columns) for columns in filled]
        kept = best.index(True) if True in best else next((place for place, some in enumerate(filled) if some), None)
        return () if kept is None else frozenset(group for place, group in enumerate(self._groups) if place != kept)


def _address_of(column: Column) -> str:
    """Return which address a column is of; empty where it is of none."""
    return "" if column.target.is_consent else column.target.group


_OF_LAND: Final = ("country", "state")
_MAIN: Final = "main"


_CLOSED_BY_FLAG: Final = "opt-out:Call,SMS"


def _closes(cell: str) -> bool:
    return judge(cell, "opt-out") != "leaves"


def _flag_phones(columns: Sequence[Column], headers: Sequence[str]) -> list[Column]:
    """Give phones the flags that are theirs alone: `Phone 1 DNC` is about `Phone 1`, and closes nothing by itself.

    A flag may mean all phones where only some have one and no number in the header says which; then it stays as it is.
    """
    phones = [column for column in columns if column.target == Target("phone")]
    flags = {
        phone.position: flag
        for column in columns
        if (phone := _flagged_phone(column, phones, headers)) is not None
        for flag in [column.position]
    }
    if len(flags) < len(phones):
        flags = {place: flag for place, flag in flags.items() if re.search(r"\d", headers[place])}
    flags |= _flags_said(columns, phones, headers)
    flagged = {flag: phone for phone, flag in flags.items()}
    names = {phone.position: phone.name for phone in phones}
    return [_with_flag(column, flags, flagged, names) for column in columns]


def _flags_said(columns: Sequence[Column], phones: Sequence[Column], headers: Sequence[str]) -> dict[int, int]:
    """Return the flags of phones by what the user says: `opt-out:Call,SMS@Phone 1`."""
    said = {column.target.group: column.position for column in columns if column.target.consent == "opt-out"}
    named = [(phone.position, (phone.name, headers[phone.position])) for phone in phones]
    return {place: said[name] for place, names in named for name in names if name and name in said}


def _flagged_phone(column: Column, phones: Sequence[Column], headers: Sequence[str]) -> Column | None:
    """Return the phone that a column about consent names, and no other; None where it names none."""
    if column.target.consent != "opt-out" or column.rank[0] == _SAID:
        return None
    flag = plain(headers[column.position])
    named = [(len(name), phone) for phone in phones if _is_flag_of(name := plain(headers[phone.position]), flag)]
    return max(named, key=lambda pair: pair[0])[1] if named else None


def _is_flag_of(name: str, flag: str) -> bool:
    """Whether a header is that of a phone with words of an opt-out before or behind it."""
    rest = flag.removeprefix(name) if flag.startswith(name) else flag.removesuffix(name)
    found = find_consent(rest)
    return rest != flag and not re.search(r"\d", rest) and found is not None and found.kind == "opt-out"


def _with_flag(
    column: Column, flags: Mapping[int, int], flagged: Mapping[int, int], names: Mapping[int, str]
) -> Column:
    if column.position in flags and column.target == Target("phone"):
        return msgspec.structs.replace(column, flag=flags[column.position])
    if column.position in flagged and column.target.consent is not None:
        target = msgspec.structs.replace(column.target, group=names[flagged[column.position]])
        return msgspec.structs.replace(column, target=target, read=lambda _: None)
    return column


def _settle_name(columns: Sequence[Column], headers: Sequence[str]) -> list[Column]:
    """Let a header for the whole name mean the part that another column leaves over: "Name" does beside "Vorname"."""
    parts = {field: _headers_of(columns, headers, field) for field in ("firstName", "lastName")}
    return [_as_part(column, headers[column.position], parts) for column in columns]


def _headers_of(columns: Sequence[Column], headers: Sequence[str], field: str) -> list[str]:
    return [headers[column.position] for column in columns if column.target.field == field]


def _as_part(column: Column, header: str, parts: Mapping[str, list[str]]) -> Column:
    if column.target != Target("name") or column.rank[0] != _BY_NAME or all(parts.values()):
        return column
    other = other_meaning(header, [*chain.from_iterable(parts.values())])
    if other is None or parts[other]:
        return column
    return msgspec.structs.replace(column, target=Target(other))


def _group_address(columns: Sequence[Column]) -> list[Column]:
    """Have the columns of an address that say not which one be one of their own beside others, lest two be mixed."""
    main = [one for one in columns if one.target.field in ADDRESS and not one.target.group and one.rank[0] != _SAID]
    is_whole = any(column.target.field not in _OF_LAND for column in main)
    if not (is_whole and any(column.target.group for column in columns)):
        return list(columns)
    places = {column.position for column in main}
    return [
        _in_main(column) if column.position in places and column.target.field in ADDRESS else column
        for column in columns
    ]


def _in_main(column: Column) -> Column:
    return msgspec.structs.replace(column, target=msgspec.structs.replace(column.target, group=_MAIN))


def _slot(column: Column) -> str:
    """Return the place of a column's value among those of its row: of several lines of a street, each has its own."""
    slot = column.target.slot
    return f"{slot}#{column.position}" if column.target.is_joined and slot == "address2" else slot


def _join_parts(values: dict[str, Any]) -> None:
    """Join what several columns say of one text: the parts of a name without a whole one, the lines of a street."""
    lines = [values.pop(slot) for slot in [*values] if slot.startswith("address2#")]
    before, after = values.pop("streetNumber", None), values.pop("houseNumber", None)
    middle, whole = values.pop("middleName", None), values.pop("fullAddress", None)
    if middle and not values.get("name"):
        # The service makes the whole name of these two, so the middle must be in one: "von" in the last, "Marie" in the
        # first.
        before_last = middle[:1].islower() and values.get("lastName")
        field, parts = (
            ("lastName", (middle, values["lastName"]))
            if before_last
            else ("firstName", (values.get("firstName"), middle))
        )
        values[field] = _joined(" ", *parts)
    street = _joined(" ", before, values.get("address1"), after)
    if lines or street:
        values["address1"] = _joined(", ", street, *lines)
    if whole and not any(values.get(field) for field in ADDRESS if field not in _OF_LAND):
        values["address1"] = whole


def _joined(between: str, *parts: str | None) -> str:
    return between.join(part for part in parts if part)


def _look_at(column: Column, raw: str, told: list[tuple[Column, Problem]]) -> str:
    """Return a cell that is not plain without what surrounds it, empty where it stands for nothing; add to `told` what
    people should know of it."""
    cell = clean_cell(raw)
    if is_placeholder(cell) and not column.keeps_placeholders:
        told.append((column, Problem(column.name, cell, STANDS_FOR_NOTHING, "empty")))
        return ""
    if column.is_free_text:
        told += [(column, Problem(column.name, raw, sentence, action)) for sentence, action in notes_of(raw, cell)]
    return cell


def _clean(column: Column, raw: str, told: list[tuple[Column, Problem]]) -> str:
    """Return a cell as `_look_at` does; most are plain."""
    return raw.rstrip() if is_plain(raw) else _look_at(column, raw, told)


_MOST_KNOWN: Final = 2_000
_LONGEST_KNOWN: Final = 100


class _Values(dict[str, Any]):
    """The values of a column by its cells as they stand; None for nothing. What is not known yet is read.

    Most columns hold the same few texts again and again, and to look one up takes a tenth of the time. Only that of
    which there is nothing to be told is kept.

    Args:
        column: The column.
        told: Takes what people should know of the cells that are read.
    """

    __slots__ = ("_column", "_read", "_told")

    def __init__(self, column: Column, told: list[tuple[Column, Problem]]) -> None:
        super().__init__({"": None})
        self._column = column
        self._read = column.read
        self._told = told

    def __missing__(self, raw: str) -> Any:
        if not is_plain(raw):
            return self._look_at(raw)
        try:
            value = self._read(raw.rstrip())
        except UnusableCellError:
            return self._look_at(raw)
        if type(value) is Fixed:
            return self._look_at(raw)
        return self._keep(raw, value) if len(self) < _MOST_KNOWN or type(value) is not str else value

    def _look_at(self, raw: str) -> Any:
        """Read a cell of which there may be something to be told."""
        column, told = self._column, self._told
        before, value = len(told), None
        if cell := _clean(column, raw, told):
            try:
                value = self._read(cell)
            except UnusableCellError as reason:
                told.append((column, Problem(column.name, cell, str(reason), action_for(reason, column.action))))
            if type(value) is Fixed:
                told.append((column, Problem(column.name, cell, value.sentence, value.action)))
                value = value.value
        return self._keep(raw, value) if len(told) == before else _not_empty(value)

    def _keep(self, raw: str, value: Any) -> Any:
        value = _not_empty(value)
        if len(self) < _MOST_KNOWN and len(raw) <= _LONGEST_KNOWN:
            self[raw] = value
        return value


def _not_empty(value: Any) -> Any:
    return None if value == [] else value  # no tags at all would remove those that are there


def _by_slot(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """Return the columns of each field that an empty cell empties."""
    slots: dict[str, list[Column]] = {}
    for column in columns:
        if column.empty is not UNSET:
            slots.setdefault(column.target.slot, []).append(column)
    return slots


def _is_empty(position: int, cells: Sequence[str], absent: Collection[int]) -> bool:
    """Whether a cell is there and empty. A word for nothing is not: what is missing erases nothing."""
    return position < len(cells) and position not in absent and not clean_cell(cells[position])


def _is_filled(position: int, cells: Sequence[str]) -> bool:
    cell = clean_cell(cells[position]) if position < len(cells) else ""
    return bool(cell) and not is_placeholder(cell)


def _join_tags(columns: Sequence[list[str]]) -> list[str]:
    """Return the tags of all columns, each once."""
    if len(columns) == 1:
        return columns[0]
    known: dict[str, str] = {}
    for tag in chain.from_iterable(columns):
        known.setdefault(tag.lower(), tag)
    return list(known.values())


def _unneeded(column: Column, cell: str, sent: Any) -> list[tuple[Column, Problem]]:
    """Tell of a cell whose field another column has filled; one that says the same is no loss."""
    if not cell or column.target.is_consent or (isinstance(sent, str) and sent.lower() == cell.lower()):
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


def has_identity(columns: ColumnMap, *, takes_nameless: bool = False) -> bool:
    """Whether some column says who a contact is; a name does where that is enough."""
    return bool(columns.fields.intersection((*_IDENTITIES, *(WIRE_NAMES if takes_nameless else ()))))


def require_identity(
    columns: ColumnMap,
    names: Sequence[str],
    file: str,
    propose: Callable[[], dict[str, str]],
    *,
    takes_nameless: bool = False,
) -> None:
    """Refuse a table of which no row can be sent.

    Args:
        columns: Its columns.
        names: Their names.
        file: How messages call it.
        propose: Returns what columns are for by their cells, which are looked at where nothing else tells it.

    Raises:
        ConfigurationError: No column is known, or none is for email, phone or the contact's id; nor for a name, where
            that is enough.
    """
    if has_identity(columns, takes_nameless=takes_nameless):
        return
    proposed = propose()
    may_be = ", ".join(f"{name!r} may be {field}" for name, field in proposed.items())
    found = f"(found: {', '.join(names[:12]) or 'nothing'}{f'; by its cells, {may_be}' if may_be else ''})"
    map_writes = "`leadconnector map` writes a file of all columns to correct"
    if not columns.columns:
        said = option("columns", proposed or {"Column": "field"})
        way = f"name them email, phone, firstName, ..., or say what they are: {said}; {map_writes}"
        raise ConfigurationError(f"{file}: no column is known {found}; {way}")
    said = option("columns", proposed or {"Column": "email"})
    way = f"add one of them, or say which it is: {said}; {map_writes}"
    raise ConfigurationError(f"{file}: there is no column for email or phone {found}; {way}")
