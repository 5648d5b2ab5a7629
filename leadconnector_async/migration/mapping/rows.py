"""Rows of a table on their way to contacts; a row that cannot be read is a row all the same."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from ...bulk.closing import closings_of
from ...errors import InvalidContactError
from ...models import UPSERT_NAMES, ContactUpsert, read_mapping
from ...models.fields import KEYS, NAMES, UPSERT_FIELDS
from ...models.identity import is_contact_id
from ...models.records import spell_number
from ...models.wire import read_plain, refuse_nulls
from ...protocol import API_VERSIONS
from ...protocol.text import count_of
from ...rules.checks import Checks
from ...rules.consent import WeakCells, find_weak, judge, plain, without_openings
from ...rules.contacts import blame_identity, check_fields
from ...rules.fields import RULES, reader_of
from ...rules.problems import Problem, UnusableCellError
from ...rules.texts import clean_cell, is_placeholder
from ...run.rows import KeptFile, KeptRow, place_cells
from ..tables import Reading, Record, Table, open_table
from ..tables.text import why_no_text
from .columns import ID, WIRE_NAMES, ColumnMap, require_identity
from .headers import RESULT_COLUMNS, column_key, find_target, is_known, looks_like_header
from .meaning import NOTHING_SAID, Meaning, Words
from .targets import read_contact_id

_KINDS: Final = {field.wire: "text" if field.is_text else field.kind for field in UPSERT_FIELDS}


def _spell_numbers(name: str, value: Any) -> Any:
    """Return what a field of text has as a number, such as `"phone": 6175550101`, as its digits stand in the file."""
    kind = _KINDS.get(UPSERT_NAMES.get(name, ""))
    if kind == "tags" and isinstance(value, list):
        return list(map(spell_number, value))
    return spell_number(value) if kind == "text" else value


_WHO: Final = (*KEYS, ID)
_OF_CLOSING: Final = (*_WHO, "locationId", "dnd", "dndSettings")


class FileRow(Struct, frozen=True, gc=False):
    """One row of a file, as it was read; what it means is looked at only where it is asked for.

    Attributes:
        file: Its file.
        record: What stands there.
    """

    file: RowFile
    record: Record

    @property
    def where(self) -> str:
        """How messages call its place."""
        return f"{self.file.name}, {self.file.table.row_word} {self.record.number}"

    @property
    def contact(self) -> ContactUpsert | InvalidContactError:
        """The contact, or what is wrong with it."""
        return self.file.read(self)[0]

    @property
    def problems(self) -> list[Problem]:
        """What there is to be told of its cells."""
        return self.file.read(self)[1]

    @property
    def cells(self) -> Sequence[str]:
        """The row as it stands in the file, in the order of the file's columns.

        There are more where it has too many, or where it cannot be read: then it stands whole after empty ones.
        """
        return self.file.cells_of(self.record)

    @property
    def line(self) -> str | None:
        """The row as a line of JSON Lines where the file has objects, else None."""
        return self.record.line


class RowFile:
    """A table whose rows are contacts. It can be read more than once.

    Args:
        table: The table.
        meaning: What the user says of its columns and cells.

    Attributes:
        table: The table.
        meaning: The same.
        most: How many of its rows, from the first, there are to be; None for all.
        name: How messages call it.
        columns: Its columns, those that an earlier run added left out; each has a name of its own.
        map: Which of them goes where; None of objects of the API.
        mapping: Each column that is sent, and the field that it goes to; nothing of objects of the API.
        ignored: Columns that are not sent.
        keys: Of each column what it shares with columns of other files for the same field; no two here share one.
        has_locations: Whether some column names a location.
        has_ids: Whether rows may be matched by the id of a contact.
        is_lines: Whether it has objects, of which a cell cannot tell null from an empty text.
        has_tags: Whether rows may have tags.
        may_close: Whether rows may close channels.
        left_out: How many lines that are no people, or deleted ones, were left out when its rows were read last.

    Raises:
        ConfigurationError: Its columns are not those of contacts.
    """

    def __init__(self, table: Table, meaning: Meaning = NOTHING_SAID) -> None:
        self.table = table
        self.name = table.name
        self.is_lines = table.has_objects
        self.meaning = meaning
        header = table.columns
        self.columns, inputs = input_columns(table)
        self._width, self._inputs = len(header), len(inputs)
        self.map: ColumnMap | None = None
        if not (table.has_objects and _are_names_of_api(header) and not meaning.says(header)):
            self.map = map_columns(table, meaning)
            require_identity(
                self.map,
                self.columns,
                self.name,
                lambda: propose_fields(table, meaning),
                takes_nameless=meaning.takes_nameless,
            )
        self._places = {name: place for place, name in enumerate(self.columns)}
        self._words = Words(meaning.values, self.columns, inputs)
        self._people = None if self.map is None else People(self.map, header, inputs, meaning)
        self.left_out: Counter[str] = Counter()
        targets = {} if self.map is None else self.map.targets
        self.mapping = {name: sent[0].slot for name, sent in targets.items()}
        self._who = {name for name, sent in targets.items() if any(target.field in KEYS for target in sent)}
        self.ignored = [] if self.map is None else [unsent.name for unsent in self.map.unsent]
        self.keys = _keys(self.columns, self.mapping) if self.map else [column_key(name) for name in self.columns]
        fields = header if self.map is None else self.map.fields
        self.has_tags = self.map is None or "tags" in self.map.fields
        self.has_locations = bool({"locationId", "location_id"}.intersection(fields))
        self.has_ids = ID in fields and meaning.ids != "none"
        self._closing = [] if self.map is None else self.map.closing_columns
        self.may_close = self.map is None or bool(self._closing)
        self._is_of_texts = self.map is not None and not self.map.holds_objects

    def key_of(self, name: str) -> str:
        """Return the key of a column."""
        return self.keys[self.columns.index(name)] if name in self.columns else name

    def rows(self, on_deleted: Callable[[FileRow], None] = lambda _: None) -> Iterator[FileRow]:
        """Yield all rows but those that are no people; reading goes on after one that cannot be read.

        Args:
            on_deleted: Called with each row that its source marks as deleted.
        """
        self.left_out = Counter()
        records = self.table.rows()
        if self._people is not None:
            records = self._people.of(records, self.left_out, lambda record: on_deleted(FileRow(self, record)))
        return (FileRow(self, one) for one in records)

    def may_close_by(self, row: FileRow) -> bool:
        """Whether a row may close channels, by a quick look."""
        cells = self.meant(row.record)
        filled = ((column, cells[column.position]) for column in self._closing if column.position < len(cells))
        return self.map is None or any(column.closes_by(text) for column, cell in filled if (text := clean_cell(cell)))

    def about_left_out(self) -> list[str]:
        """Say which lines were left out when the rows were read last, a sentence for each reason."""
        return [
            f"{self.name}: {_LEFT_OUT[why].format(count_of(number, 'line is', 'lines are'))}"
            for why, number in self.left_out.items()
        ]

    def keep(self, row: FileRow) -> KeptRow:
        """Return a row as a run keeps it."""
        record = row.record
        contact, problems = self.read(row)
        closing = self._closing_of(record, problems) if isinstance(contact, InvalidContactError) else None
        return KeptRow(record.number, record.cells, record.error, contact, problems, record.line, closing)

    def _closing_of(self, record: Record, problems: Sequence[Problem]) -> ContactUpsert | None:
        """Return whom a row that is refused is about as far as it can be used, and what it closes: whoever opted out is
        not to be reached because of a mistake in another cell."""
        refused = {problem.column for problem in problems if problem.action == "refused"}
        if record.error is not None or any(self._field_of(name) == "locationId" for name in refused):
            return None
        try:
            fields, _ = self._read_fields(record)
            used = {name: value for name, value in fields.items() if UPSERT_NAMES.get(name) in _OF_CLOSING}
            usable = {name: value for name, value in used.items() if not (self.map is None and name in refused)}
            contact = read_mapping(without_openings(usable), ContactUpsert)
        except (RefusedRowError, InvalidContactError):
            return None
        return closings_of(contact) if any(_is_given(getattr(contact, name)) for name in _WHO) else None

    def _field_of(self, column: str) -> str | None:
        return UPSERT_NAMES.get(self.mapping.get(column, column))

    def about(self, count: int) -> KeptFile:
        """Return what a run keeps of the file, given how many rows it has."""
        return KeptFile(
            name=_printable(self.name),
            row_word=self.table.row_word,
            path=_printable(str(self.table.file.path.absolute())),
            content=self.table.describe(),
            header=self.table.columns,
            inputs=self._inputs,
            columns=self.columns,
            keys=self.keys,
            mapping=self.mapping,
            is_lines=self.is_lines,
            has_locations=self.has_locations,
            has_tags=self.has_tags,
            count=count,
            delimiter=self.table.result_delimiter,
            needs_mark=self.table.needs_mark,
        )

    def cells_of(self, record: Record) -> Sequence[str]:
        """Return what `FileRow.cells` tells."""
        return place_cells(record.cells, record.error, inputs=self._inputs, width=self._width)

    def read(self, row: FileRow) -> tuple[ContactUpsert | InvalidContactError, list[Problem]]:
        """Return what `FileRow.contact` and `FileRow.problems` tell."""
        record, problems = row.record, list[Problem]()
        try:
            if record.error is not None:
                raise RefusedRowError(record.error)
            fields, problems = self._read_fields(record)
            return self._make_contact(record, fields, problems), problems
        except RefusedRowError as refused:
            if not any(problem.action == "refused" for problem in problems):
                problems.append(Problem(refused.column or "", "", str(refused), "refused"))
            place = row.where if refused.column is None else f"{row.where}, column {refused.column}"
            return InvalidContactError(str(refused), field=refused.field, where=place), problems

    def meant(self, record: Record) -> Sequence[str]:
        """Return the cells of a record as the user says that they are meant; see `Meaning.values`."""
        return self._words.read(record.cells)

    def _read_fields(self, record: Record) -> tuple[dict[str, Any], list[Problem]]:
        if self.map is None:
            return self._read_object(record)
        self._check_cells(record.cells)
        absent = () if record.value is None else self._absent(record.value)
        fields, problems = self.map.read(self.meant(record), absent)
        return fields, [
            self._as_it_stands(problem, record) for problem in problems
        ] if self.meaning.values else problems

    def _as_it_stands(self, problem: Problem, record: Record) -> Problem:
        """Return a problem with the cell of the file, not with what it stands for."""
        position = self._places[problem.column]
        return msgspec.structs.replace(problem, value=record.cells[position]) if problem.value else problem

    def _absent(self, value: Mapping[str, Any]) -> Collection[int]:
        """Return the columns that an object does not name: they are not empty, but not there."""
        return [position for position, name in enumerate(self.table.columns) if name not in value]

    def _read_object(self, record: Record) -> tuple[dict[str, Any], list[Problem]]:
        self._check_cells(record.cells)
        fields = {name: _spell_numbers(name, value) for name, value in (record.value or {}).items()}
        problems = self._read_id(fields)
        return check_fields(fields, UPSERT_NAMES, self.meaning.checks, problems), problems

    def _read_id(self, fields: dict[str, Any]) -> list[Problem]:
        """Take out what is not the id of a contact, and any where rows are not matched by it."""
        if ID not in fields or (self.meaning.ids != "none" and is_contact_id(fields[ID])):
            return []
        found = fields.pop(ID)
        if self.meaning.ids == "none" or found is None or found == "":
            return []
        try:
            fields[ID] = read_contact_id(clean_cell(str(found)))
        except UnusableCellError as error:
            return [Problem(ID, str(found), str(error), "skipped")]
        return []

    def _make_contact(self, record: Record, fields: dict[str, Any], problems: list[Problem]) -> ContactUpsert:
        for problem in problems:
            if problem.action == "refused":
                raise RefusedRowError(problem.sentence, problem.column)
        try:
            if self._is_of_texts:
                contact = read_plain(fields, ContactUpsert)
            else:
                contact = read_mapping(without_openings(fields), ContactUpsert)
            if self.is_lines:  # null in some fields is for callers of one version of the API
                refuse_nulls(contact, "upsert", API_VERSIONS[0], what="files")
        except InvalidContactError as error:
            raise RefusedRowError(error.sentence, field=error.field) from None
        if contact.id is UNSET:
            self._require_identity(contact, problems)
        elif contact.create_new_if_duplicate_allowed is True:
            raise RefusedRowError("has the id of a contact, and asks for a new one (createNewIfDuplicateAllowed)", ID)
        if self._is_unknown(record.cells) and contact.create_new_if_duplicate_allowed is True:
            raise RefusedRowError(
                "it may have been applied; look it up, then clear this cell to send the row", "status"
            )
        return contact

    def _require_identity(self, contact: ContactUpsert, problems: list[Problem]) -> None:
        """Refuse a row that stands for no contact."""
        if self.meaning.ids == "all":
            raise RefusedRowError("has no id of a contact, and rows are matched by that alone (`match='id'`)")
        if any(_is_given(getattr(contact, name)) for name in KEYS):
            return
        blamed = blame_identity(problems, self._who if self.map else KEYS)
        has_name = any(_is_given(getattr(contact, name)) for name in NAMES)
        if blamed.column or not has_name:
            raise RefusedRowError(blamed.sentence, blamed.column or None)
        if not self.meaning.takes_nameless:
            raise RefusedRowError(f"{blamed.sentence}; {_NAMELESS}")

    def _is_unknown(self, cells: Sequence[str]) -> bool:
        """Whether a run that wrote this file could not tell what became of a row."""
        return self._inputs < self._width and len(cells) > self._inputs and cells[self._inputs] == "unknown"

    def _check_cells(self, cells: Sequence[str]) -> None:
        if len(cells) > self._width:
            found = count_of(len(cells), "cell")
            sentence = f"has {found} where the header has {self._width}; quote cells that hold a delimiter"
            raise RefusedRowError(sentence)
        text = "".join(cells)
        if text.isprintable() or why_no_text(text) is None:  # one look is quicker than one for each
            return
        for position, cell in enumerate(cells):
            if (why := why_no_text(cell)) is not None:
                raise RefusedRowError(why, self._header_of(position))

    def _header_of(self, position: int) -> str:
        return self.columns[position] if position < len(self.columns) else str(position + 1)


# ---------------------------------------------------------------------------------------------- lines without people

_FOOTER: Final = re.compile(
    r"confidential information - do not distribute|copyright \(c\)|all rights reserved|generated (?:by|on)\s?:|"
    r"exported (?:by|on)\s?:|end of report|report generated"
)
_TOTALS: Final = re.compile(
    r"(?:grand |sub[ -]?|eind|zwischen|gesamt|sous-)?(?:totals?|totales?|totale|totaal|totalt|summe|summa|ergebnis)"
    r"(?: (?:records?|rows|count|contacts|g[e\u00e9]n[e\u00e9]ral|complessivo))?"
    r"\W{0,3}(?:\(?[\d.,]{1,15}(?: \w{1,15})?\)?)?|"
    r"(?:record |row )?count\W{0,3}[\d.,]{0,15}"
)
_NUMBER: Final = re.compile(r"[-+]?[\d.,%]{1,30}")
_MOST_FOOTER_LINES: Final = 20
_DELETED: Final = frozenset(
    "isdeleted deleted deletedat deletedon deleteddate gel\u00f6scht supprim\u00e9 eliminado eliminato".split()
)
_REPEATED, _IN_FOOTER, _IS_DELETED = "repeated", "footer", "deleted"
_LEFT_OUT: Final = {
    _REPEATED: "{} left out, as the header is repeated there",
    _IN_FOOTER: "{} left out, as part of a footer or of totals",
    _IS_DELETED: "{} left out, as deleted in the source",
}


class People:
    """Tells the rows of a table that are people from lines that are none.

    Nothing with an email or a phone is taken for a footer, so nobody is lost with one.

    Args:
        columns: Of the table.
        header: The headers as they stand, those that an earlier run added included.
        inputs: Those without.
        meaning: What the user says; a column that it names marks nothing as deleted.
    """

    def __init__(self, columns: ColumnMap, header: Sequence[str], inputs: Sequence[str], meaning: Meaning) -> None:
        self._header = list(header)
        self._who = _places_of(_WHO, columns) or _places_of(WIRE_NAMES, columns)
        marks = enumerate(inputs)
        self._marks = [at for at, name in marks if plain(name) in _DELETED and not meaning.says([name])]

    def of(
        self, records: Iterable[Record], left_out: Counter[str], on_deleted: Callable[[Record], None]
    ) -> Iterator[Record]:
        """Yield the records that are people; count the others by why they are not, and hand on deleted ones."""
        held: list[Record] = []  # lines that a footer below or among them would make part of it
        first, who, has_marks = self._header[0], self._who[0], bool(self._marks)
        for record in records:
            cells = record.cells
            is_plain = not (held or has_marks) and len(cells) > who
            if is_plain and cells[who].strip() and cells[0].strip() != first:
                yield record  # as nearly all are: it says who it is, and is no header
                continue
            if held and record.number != held[-1].number + 1:  # an empty line parts a footer from the rows above it
                yield from _settle(held, left_out)
                held = []
            if record.error is None and self._is_nobody(record.cells):
                held.append(record)
                if len(held) < _MOST_FOOTER_LINES:
                    continue
                record = held.pop()
            yield from _settle(held, left_out)
            held = []
            why = self._why_not(record)
            if why is None:
                yield record
            else:
                left_out[why] += 1
                if why == _IS_DELETED:
                    on_deleted(record)
        yield from _settle(held, left_out)

    def _is_nobody(self, cells: Sequence[str]) -> bool:
        width = len(cells)
        if any(at < width and cells[at].strip() for at in self._who):
            return False
        filled = [cell.strip() for cell in cells if cell.strip()]
        return len(self._header) > 1 and (len(filled) == 1 or _is_total(filled))

    def _why_not(self, record: Record) -> str | None:
        cells = record.cells
        if record.error is not None:
            return None
        if cells and cells[0].strip() == self._header[0] and [cell.strip() for cell in cells] == self._header:
            return _REPEATED
        is_deleted = any(at < len(cells) and _marks_deleted(cells[at].strip()) for at in self._marks)
        return _IS_DELETED if is_deleted else None


def _places_of(fields: Collection[str], columns: ColumnMap) -> list[int]:
    return [column.position for column in columns.columns if column.target.field in fields]


def _is_total(filled: Sequence[str]) -> bool:
    rest = filled[1:]
    return bool(filled) and _TOTALS.fullmatch(filled[0].lower()) is not None and all(map(_NUMBER.fullmatch, rest))


def _marks_deleted(cell: str) -> bool:
    return bool(cell) and judge(cell, "opt-out") == "closes"  # yes, or a date


def _settle(held: Sequence[Record], left_out: Counter[str]) -> Iterator[Record]:
    """Yield lines without people where none of them is of a footer: what is wrong with them is said of each."""
    texts = [[cell.strip().lower() for cell in record.cells if cell.strip()] for record in held]
    if any(_is_total(text) or _FOOTER.search(text[0]) for text in texts):
        left_out[_IN_FOOTER] += len(held)
    else:
        yield from held


def open_row_file(path: Path, meaning: Meaning = NOTHING_SAID, reading: Reading = Reading()) -> RowFile:  # noqa: B008
    """Look at a file before anything is sent.

    Args:
        path: The file.
        meaning: What the user says of its columns and cells.
        reading: How to read it, where it does not tell itself.

    Raises:
        ConfigurationError: It cannot be read as rows of contacts; the sentence says what to do.
    """
    return RowFile(open_table(path, reading, is_header=looks_like_header), meaning)


def _printable(name: str) -> str:
    """Return a name of a file as text that can be encoded: on Linux a name is any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


def input_columns(table: Table) -> tuple[list[str], list[str]]:
    """Return the columns of a table, those that an earlier run added left out: each with a name of its own, and as
    they stand."""
    header = table.columns
    if table.has_objects:
        return header, header
    if tuple(header[-len(RESULT_COLUMNS) :]) == RESULT_COLUMNS:
        header = header[: -len(RESULT_COLUMNS)]
    return _distinct(header), header


def map_columns(table: Table, meaning: Meaning) -> ColumnMap:
    """Choose what each column of a table is for.

    Where headers say too little, such as `Status`, all cells of their columns are read first, once for a table.
    """
    names, headers = input_columns(table)
    if table.consents is None:
        table.consents = _find_consents(table, headers, Words(meaning.values, names, headers))
        table.foreign_ids = _find_foreign_ids(table, headers)
    return ColumnMap(names, headers, meaning, table.consents, table.foreign_ids)


_ENOUGH: Final = 1_000


def _find_consents(table: Table, headers: Sequence[str], words: Words) -> frozenset[int]:
    """Return the places of columns with weak headers whose cells are words about consent."""
    looked = {place: WeakCells(weak) for place, header in enumerate(headers) if (weak := find_weak(header)) is not None}
    # Of a column that may be a field, too, the first cells are enough: nearly all tables have a column `State`.
    fields = [place for place in looked if is_known(headers[place])]
    for record in table.rows() if looked else ():
        cells = words.read(record.cells)
        for place in looked if record.error is None else ():
            cell = clean_cell(cells[place]) if place < len(cells) else ""
            if cell:
                looked[place].add(cell)
        for place in [place for place in fields if looked[place].filled >= _ENOUGH and not looked[place].are_shown]:
            fields.remove(place)
            del looked[place]
        if not looked:
            break
    return frozenset(place for place, cells in looked.items() if cells.are_consent)


def _find_foreign_ids(table: Table, headers: Sequence[str]) -> frozenset[int]:
    """Return the places of columns whose headers are those of a contact's id, and whose cells have another form: every
    system has numbers of its own."""
    left = {place for place, header in enumerate(headers) if (found := find_target(header)) and found[0].field == ID}
    filled: set[int] = set()
    for record in islice(table.rows(), _ENOUGH) if left else ():
        for place in [place for place in left if record.error is None and place < len(record.cells)]:
            cell = clean_cell(record.cells[place])
            if is_contact_id(cell):
                left.remove(place)
            elif cell:
                filled.add(place)
        if not left:
            break
    return frozenset(left & filled)


# ---------------------------------------------------------------------------------------------- what cells show

_LOOKED_AT: Final = 200
_MOST_OTHERS: Final = 0.1  # the share of cells that may be something else
_PHONE: Final = re.compile(r"(?:tel:)?[+(\d][\d\s().+/-]*", re.ASCII)
_LEAST_DIGITS, _MOST_DIGITS = 7, 15
# What has as many digits: days, decimals, addresses of machines, postal codes and social security numbers of the US.
_NO_PHONE: Final = re.compile(
    r"\d{1,4}([./-])\d{1,2}\1\d{1,4}(?:\s.*)?|\d+\.\d+|(?:\d{1,3}\.){3}\d{1,3}|\d{5}-\d{4}|\d{3}-\d\d-\d{4}", re.ASCII
)
_WRITTEN_AS_PHONE: Final = re.compile(r"^(?:tel:)?[+0(]|\d[\s)/.-]+\d", re.ASCII)
_WEB: Final = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


def propose_fields(table: Table, meaning: Meaning) -> dict[str, str]:
    """Return what columns may be for by their cells alone, by name: emails, phones and websites show themselves.

    Columns that the user ignores are left out.
    """
    names, headers = input_columns(table)
    cells: dict[str, list[str]] = {name: [] for name in names}
    for record in islice(table.rows(), _LOOKED_AT):
        for name, raw in zip(names, record.cells if record.error is None else (), strict=False):
            cell = clean_cell(raw)
            if cell and not is_placeholder(cell):
                cells[name].append(cell)
    wanted = [name for name, *both in zip(names, names, headers, strict=True) if meaning.ignored.isdisjoint(both)]
    return {name: field for name in wanted if (field := _propose(cells[name])) is not None}


def _propose(cells: Sequence[str]) -> str | None:
    return next((field for field, shows in _SHOWS.items() if cells and _are_mostly(shows, cells)), None)


def _are_mostly(shows: Callable[[str], bool], cells: Sequence[str]) -> bool:
    return sum(not shows(cell) for cell in cells) <= _MOST_OTHERS * len(cells)


def _shows_email(cell: str) -> bool:
    try:
        return "@" in cell and bool(reader_of(RULES["email"], Checks())(cell))
    except UnusableCellError:
        return False


def _shows_phone(cell: str) -> bool:
    digits = sum(letter.isdecimal() for letter in cell)
    is_long = _LEAST_DIGITS <= digits <= _MOST_DIGITS and len(cell) <= 2 * _MOST_DIGITS
    is_written_so = is_long and _PHONE.fullmatch(cell) and _WRITTEN_AS_PHONE.search(cell)
    return bool(is_written_so) and _NO_PHONE.fullmatch(cell) is None


_SHOWS: Final[Mapping[str, Callable[[str], bool]]] = {
    "email": _shows_email,
    "phone": _shows_phone,
    "website": lambda cell: _WEB.fullmatch(cell) is not None,
}


def split_emptied(files: Sequence[RowFile]) -> tuple[list[str], list[str]]:
    """Return what empty cells of files empty, as people write it, and the other fields that there are columns for."""
    maps = [file.map for file in files if file.map is not None]
    others = [column.target.field for one in maps for column in one.columns if column.empty is UNSET]
    return [slot for one in maps for slot in one.emptied], others


def _are_names_of_api(names: Sequence[str]) -> bool:
    """Whether objects are contacts as the API has them, rather than rows under headers that people write."""
    return not any(is_known(name) for name in names if name not in UPSERT_NAMES)


def _distinct(names: Sequence[str]) -> list[str]:
    """Tell columns of the same name apart, so that none overwrites another in the result files."""
    distinct: dict[str, None] = {}
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))  # so that none is tried twice
    for name in names:
        numbered = (f"{name} ({number})" for number in numbers[name])
        distinct[next(new for new in chain([name], numbered) if new not in distinct)] = None
    return list(distinct)


def _keys(columns: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """Number the columns for one field, so that each finds its like in other files."""
    seen: dict[str, int] = {}
    keys = []
    for name in columns:
        key = mapping.get(name, name)
        seen[key] = seen.get(key, 0) + 1
        keys.append(key if seen[key] == 1 else f"{key} ({seen[key]})")
    return keys


_NAMELESS: Final = "it has a name alone, of which `create_nameless` makes a contact"


class RefusedRowError(ValueError):
    """A row that cannot be sent, and the column that is to blame for it, or None."""

    def __init__(self, sentence: str, column: str | None = None, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.column = column
        self.field = field


def _is_given(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
