"""The files that a load leaves: what succeeded, what did not and can be loaded again, and the report."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import msgspec
from msgspec import Struct, field

from ...bulk.closing import channels_of, closings_of
from ...bulk.report import BatchReport, Outcome, RowError, format_json, has_closed, row_error
from ...errors import StopRequestedError
from ...models import ContactUpsert
from ...private_file import (
    open_anew,
    write_private,
)
from ...protocol.text import neutral_cell
from ...rules.problems import Action, Problem, ProblemTally
from ...run.rows import RunFile, RunRow
from ..mapping.headers import RESULT_COLUMNS
from ..plan import Closings
from ..tables.table import text_of
from .html import shorten

# ---------------------------------------------------------------------------------------------- examples of each kind

MOST_EXAMPLES: Final = 3
MOST_MEETINGS: Final = 20
MOST_ROWS: Final = 100
_MOST_KINDS: Final = 1000  # as many as a report counts
_COLUMN: Final = ", column "

ErrorKind: TypeAlias = tuple[int | None, str]
"""HTTP status and message, as a report counts errors."""
ProblemKind: TypeAlias = tuple[str, str, Action]
"""Column, sentence and what became of it, as problems are counted."""


class NotDone(Struct, frozen=True):
    """A row that is not done.

    Attributes:
        place: Where it comes from.
        row: Its row in `failed.csv`, the header counted.
        status: What became of it.
        who: Whom it is about.
        column: What the error is about, or None where it is the row.
        value: What stands there, as all values here the beginning of it where it is long.
        error: Why it is not done.
        note: What else there is to know, or None.
    """

    place: str
    row: int
    status: str
    who: str
    column: str | None
    value: str
    error: RowError | None
    note: str | None


class Dropped(Struct, frozen=True):
    """A field that the service did not take.

    Attributes:
        place: Where its row comes from.
        who: Whom the row is about.
        sent: What was sent.
        stored: What the service has in its place.
        contact_id: The contact.
    """

    place: str
    who: str
    sent: str
    stored: str
    contact_id: str | None


class Meeting(Struct, frozen=True):
    """Two rows about different people that met the same contact.

    Attributes:
        contact_id: The contact.
        first: Where the row comes from that met it first.
        later: Where the row comes from that overwrote it.
        differences: Each field in which they differ: its name, and what stands in the one and in the other.
    """

    contact_id: str
    first: str
    later: str
    differences: list[tuple[str, str, str]]


class CellExample(Struct, frozen=True):
    """A cell or row that there was something to tell of before it was sent.

    Attributes:
        place: Where it stands.
        row: Its row in `problems.csv`, the header counted.
        value: What stands there.
    """

    place: str
    row: int
    value: str


class Findings(Struct):
    """The examples, bounded.

    Attributes:
        errors: Rows not done, by kind of error.
        dropped: Fields not applied, by name.
        meetings: Rows that met the same contact.
        to_fix: The first rows that failed or are unknown, in their order.
        problems: Cells with each kind of problem, by column, sentence and action.
    """

    errors: dict[ErrorKind, list[NotDone]] = field(default_factory=dict)
    dropped: dict[str, list[Dropped]] = field(default_factory=dict)
    meetings: list[Meeting] = field(default_factory=list)
    to_fix: list[NotDone] = field(default_factory=list)
    problems: dict[ProblemKind, list[CellExample]] = field(default_factory=dict)

    def add_problem(self, problem: Problem, place: str, number: int) -> None:
        """Take note of a cell; `place` says where it stands, `number` is its row in `problems.csv`."""
        kind = problem.column, problem.sentence, problem.action
        if kind not in self.problems and len(self.problems) >= _MOST_KINDS:
            return
        examples = self.problems.setdefault(kind, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(CellExample(place, number, shorten(problem.value)))

    def add_not_done(
        self, row: RunRow, outcome: Outcome, cells: Mapping[str, str], surplus: Sequence[str], number: int
    ) -> None:
        """Take note of a row that is not done.

        Args:
            row: The row.
            outcome: What became of it.
            cells: Its cells by what they are for (see `RunFile.keys`).
            surplus: What there is of it beyond.
            number: Its row in `failed.csv`.
        """
        error = outcome.error
        examples = self._examples_of(error)
        is_wanted = len(examples) < MOST_EXAMPLES
        is_to_fix = len(self.to_fix) < MOST_ROWS and outcome.status != "not_attempted"
        if not (is_wanted or is_to_fix):
            return
        column, value = find_cell(error, cells, row.file.key_of) if error else (None, "")
        value = shorten(value or (surplus[0] if surplus else ""))
        told = NotDone(row.where, number, outcome.status, who(cells), column, value, error, outcome.note)
        if is_wanted:
            examples.append(told)
        if is_to_fix:
            self.to_fix.append(told)

    def _examples_of(self, error: RowError | None) -> list[NotDone]:
        kind = (error.status, error.message) if error else (None, "")
        if kind not in self.errors and len(self.errors) >= _MOST_KINDS:
            return []
        return self.errors.setdefault(kind, [])

    def add_dropped(self, row: RunRow, outcome: Outcome, cells: Mapping[str, str], told: Sequence[str]) -> None:
        """Take note of a field that was not applied: its name, what was sent, what is stored."""
        name, sent, stored = told
        if name not in self.dropped and len(self.dropped) >= _MOST_KINDS:
            return
        examples = self.dropped.setdefault(name, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(Dropped(row.where, who(cells), shorten(sent), shorten(stored), outcome.contact_id))

    def add_meeting(
        self, contact_id: str | None, first: tuple[RunRow, Mapping[str, str]], later: tuple[RunRow, Mapping[str, str]]
    ) -> None:
        """Take note of two rows that met the same contact, each with its cells."""
        if len(self.meetings) < MOST_MEETINGS:
            (row, cells), (other_row, other_cells) = first, later
            names = dict.fromkeys([*cells, *other_cells])
            pairs = [(name, cells.get(name, ""), other_cells.get(name, "")) for name in names]
            differences = [(name, shorten(one), shorten(other)) for name, one, other in pairs if one != other]
            self.meetings.append(Meeting(contact_id or "", row.where, other_row.where, differences))


def who(cells: Mapping[str, str]) -> str:
    """Return whom a row is about, as far as it says."""
    name = cells.get("name") or " ".join(filter(None, (cells.get("firstName"), cells.get("lastName"))))
    known = [name, *(cells.get(key, "") for key in ("email", "phone"))]
    return shorten(", ".join(text.strip() for text in known if text.strip()))


def find_cell(error: RowError, cells: Mapping[str, str], key_of: Callable[[str], str]) -> tuple[str | None, str]:
    """Return the field that an error is about, where that can be told, and what stands there."""
    _, is_column, column = (error.where or "").rpartition(_COLUMN)
    if is_column:
        return column, cells.get(key_of(column), "")
    word = error.message.split(" ", 1)[0]
    if word in cells:
        return word, cells[word]
    if "phone" in cells and any(clue in error.message for clue in ("phone number", "calling code")):
        return "phone", cells["phone"]
    return None, ""


_SKIPPED_COLUMNS: Final = ("contact_id", "reason")
_SUCCESS_COLUMNS: Final = ("contact_id", "new", "trace_id", "inferred")
REPORT: Final = "report.json"
SUCCEEDED: Final = "succeeded.csv"
FAILED: Final = "failed.csv"
FAILED_LINES: Final = "failed.jsonl"
SKIPPED: Final = "skipped.csv"
NOT_APPLIED: Final = "not_applied.csv"
COLLISIONS: Final = "collisions.csv"
PROBLEMS: Final = "problems.csv"
_ROW_FILES: Final = (SUCCEEDED, FAILED, FAILED_LINES, SKIPPED, NOT_APPLIED, COLLISIONS, PROBLEMS)
_NOT_APPLIED_COLUMNS: Final = ("contact_id", "field", "sent", "stored", "note")
_PROBLEM_COLUMNS: Final = ("row", "column", "value", "problem", "action")
_COLLISION_COLUMNS: Final = ("contact_id", "row", "collision_with")


class Results:
    """The result files of one load, written from its journal when it has ended: one line a row, in the rows' order.

    Args:
        folder: Where they go.
        files: What was loaded.
        closings: Whose channels all rows of the run close, or None.

    Attributes:
        folder: Where they go.
        closings: The same, but for `rows` and `channels`: of those the rows alone whose opt-outs were sent, once that
            is written. None if no row closes any.
        problems: What there was to be told of cells and rows before they were sent, once that is written.
        written: The names of the files that are there.
        findings: Examples of what stands in them.
    """

    def __init__(self, folder: Path, files: Sequence[RunFile], closings: Closings | None = None) -> None:
        self.folder = folder
        self.closings = closings
        self._closed: Counter[str] = Counter()
        self._closed_rows = 0
        self._files = files
        self._columns: dict[str, str] = {}  # by what they are for: files may spell one field in several ways
        for file in files:
            for key, name in zip(file.keys, file.columns, strict=True):
                self._columns.setdefault(key, name)
        self._keys = list(self._columns)
        delimiters = {file.about.delimiter for file in files} - {None}
        self._delimiter = str(delimiters.pop()) if len(delimiters) == 1 else ","
        # A spreadsheet that opened the input must open these, too: their encoding is another one.
        self._encoding = "utf-8-sig" if any(file.about.needs_mark for file in files) else "utf-8"
        self._open: dict[str, IO[str]] = {}
        self._writers: dict[str, Any] = {}
        self._rows: dict[str, int] = {}  # in each file, the header counted
        self.written: list[str] = []
        self.problems = ProblemTally()
        self.findings = Findings()
        self._is_given_up = False

    @property
    def to_load_again(self) -> str | None:
        """The name of the file with every row not done, in the form that loses least; None where all are done."""
        if FAILED_LINES in self.written and all(file.is_lines for file in self._files):
            return FAILED_LINES
        return FAILED if FAILED in self.written else None

    def give_up(self) -> None:
        """Have `write` end at once in another thread; it raises InterruptedError then."""
        self._is_given_up = True

    def write(
        self,
        outcomes: Iterable[Outcome],
        collisions: Mapping[int, int],
        report: BatchReport,
        explain: Callable[[RunRow], RowError],
    ) -> None:
        """Write all files anew; each takes its place only when it is whole.

        Args:
            outcomes: In the order of the rows; a row without one was not attempted.
            collisions: Each row that met another one's contact, and that other row.
            report: Written beside them.
            explain: Says why a row has no outcome.

        Raises:
            OSError: A file could not be written; those of an earlier run are then still there.
            ConfigurationError: An input file can be read no more.
        """
        try:
            self._write_rows(outcomes, collisions, explain)
            for file in self._open.values():
                file.close()
            self._make_official()
        finally:
            for file in self._open.values():
                with suppress(OSError):
                    file.close()
            for name in self._open:
                self._part(name).unlink(missing_ok=True)
            write_private(self.folder / REPORT, format_json(self.document(report)))
            self.written.insert(0, REPORT)

    def document(self, report: BatchReport) -> dict[str, Any]:
        """Return what `report.json` holds."""
        closings = {} if self.closings is None else {"closings": msgspec.to_builtins(self.closings)}
        return {**report.to_dict(), **closings}

    def _write_rows(
        self,
        outcomes: Iterable[Outcome],
        collisions: Mapping[int, int],
        explain: Callable[[RunRow], RowError],
    ) -> None:
        involved = {*collisions, *collisions.values()}
        met: dict[int, tuple[RunRow, Outcome]] = {}
        told = iter(outcomes)
        outcome = next(told, None)
        for index, row in enumerate(row for file in self._files for row in file.rows()):
            if self._is_given_up:
                raise InterruptedError(0, "interrupted; go on with the run to write them")
            self._add_problems(row)
            if outcome is None or outcome.index != index:
                self._add(row, Outcome(index=index, status="not_attempted", error=explain(row)))
                continue
            self._add(row, outcome)
            self._count_closed(row, outcome)
            if index in involved:
                met[index] = row, outcome
            outcome = next(told, None)
        if self.closings is not None:
            self.closings = msgspec.structs.replace(
                self.closings, rows=self._closed_rows, channels=dict(sorted(self._closed.items()))
            )
        for index, other in sorted(collisions.items()):
            self._add_collision(met[other], met[index])
            self._add_collision(met[index], met[other])
            (row, _), (later, outcome) = met[other], met[index]
            self.findings.add_meeting(outcome.contact_id, (row, self._fields_of(row)), (later, self._fields_of(later)))

    def _count_closed(self, row: RunRow, outcome: Outcome) -> None:
        is_done = outcome.status in ("created", "updated") or has_closed(outcome)
        wanted = closings_of(row.contact) if isinstance(row.contact, ContactUpsert) else row.closing
        if wanted is not None and (is_done or (row.closing is not None and outcome.contact_id is not None)):
            self._closed_rows += 1
            self._closed.update(channels_of(wanted))

    def _make_official(self) -> None:
        for name in _ROW_FILES:
            if name in self._open:
                self._part(name).replace(self.folder / name)
                self.written.append(name)
            else:
                (self.folder / name).unlink(missing_ok=True)

    def _add(self, row: RunRow, outcome: Outcome) -> None:
        cells, surplus = self._place(row)
        self._add_dropped(row, outcome, cells)
        if outcome.status in ("created", "updated"):
            self._add_done(outcome, cells)
            return
        reason = str(outcome.error or "")
        if outcome.note:
            reason = f"{reason} ({outcome.note})"
        if outcome.status == "skipped":
            self._write(SKIPPED, _SKIPPED_COLUMNS, cells, [outcome.contact_id, reason])
            return
        self._write(FAILED, RESULT_COLUMNS, cells, [outcome.status, reason, outcome.trace_id], surplus)
        self.findings.add_not_done(row, outcome, self._by_field(cells), surplus, self._rows[FAILED])
        if row.line is not None and not _must_be_looked_up(row, outcome):
            self._file(FAILED_LINES).write(row.line + "\n")

    def _add_dropped(self, row: RunRow, outcome: Outcome, cells: Sequence[str]) -> None:
        for missing in outcome.not_applied:
            told = [missing.field, text_of(missing.sent), text_of(missing.stored)]
            self._write(NOT_APPLIED, _NOT_APPLIED_COLUMNS, cells, [outcome.contact_id, *told, outcome.note])
            self.findings.add_dropped(row, outcome, self._by_field(cells), told)

    def _add_done(self, outcome: Outcome, cells: Sequence[str]) -> None:
        is_new = {True: "true", False: "false"}.get(outcome.new or False) if outcome.new is not None else ""
        told = [outcome.contact_id, is_new, outcome.trace_id, "true" if outcome.inferred else ""]
        self._write(SUCCEEDED, _SUCCESS_COLUMNS, cells, told)

    def _add_problems(self, row: RunRow) -> None:
        problems = row.problems
        if problems:
            self.problems.add(problems, row)
            for problem in problems:
                if problem.action not in ("empty", "assumed"):  # these are counted alone
                    told = [row.where, problem.column, problem.value, problem.sentence, problem.action]
                    self._writer(PROBLEMS, _PROBLEM_COLUMNS).writerow(map(self._neutral, told))
                    self._rows[PROBLEMS] = self._rows.get(PROBLEMS, 1) + 1
                    self.findings.add_problem(problem, row.where, self._rows[PROBLEMS])

    def _add_collision(self, one: tuple[RunRow, Outcome], other: tuple[RunRow, Outcome]) -> None:
        (row, outcome), (other_row, _) = one, other
        cells, _ = self._place(row)
        self._write(COLLISIONS, _COLLISION_COLUMNS, cells, [outcome.contact_id, row.where, other_row.where])

    def _fields_of(self, row: RunRow) -> Mapping[str, str]:
        return self._by_field(self._place(row)[0])

    def _by_field(self, cells: Sequence[str]) -> Mapping[str, str]:
        return dict(zip(self._columns, cells, strict=True))

    def _place(self, row: RunRow) -> tuple[list[str], Sequence[str]]:
        """Put a row's cells under the columns of all files, and return what is too much for them apart."""
        cells, columns = row.cells, row.file.columns
        if row.file.keys == self._keys:  # as where there is one file
            width = len(columns)
            return [*cells[:width], *[""] * (width - len(cells))], cells[width:]
        placed: dict[str, str] = {}
        surplus = []
        for key, cell in zip(row.file.keys, cells, strict=False):
            if placed.get(key) and cell:
                surplus.append(cell)
            elif cell:
                placed[key] = cell
        return [placed.get(key, "") for key in self._columns], [*surplus, *cells[len(columns) :]]

    def _write(
        self,
        name: str,
        more_columns: Sequence[str],
        cells: Sequence[str],
        more: Sequence[str | None],
        surplus: Sequence[str] = (),
    ) -> None:
        """Write a row: its own cells as they stand, so that it can be loaded again, and what the service said of it."""
        told = [self._neutral(text or "") for text in more]
        self._writer(name, [*self._columns.values(), *more_columns]).writerow([*cells, *told, *surplus])
        self._rows[name] = self._rows.get(name, 1) + 1

    def _writer(self, name: str, columns: Sequence[str]) -> Any:
        if name not in self._writers:
            self._writers[name] = csv.writer(self._file(name), delimiter=self._delimiter)
            self._writers[name].writerow(columns)
        return self._writers[name]

    def _file(self, name: str) -> IO[str]:
        if name not in self._open:
            # What was no UTF-8 in the input is repeated byte by byte.
            self._open[name] = open_anew(
                self._part(name), encoding=self._encoding_of(name), errors="surrogateescape", newline=""
            )
        return self._open[name]

    def _neutral(self, text: str) -> str:
        return neutral_cell(text, self._delimiter)

    def _encoding_of(self, name: str) -> str:
        return "utf-8" if name == FAILED_LINES else self._encoding

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}.part"


def _must_be_looked_up(row: RunRow, outcome: Outcome) -> bool:
    """Whether loading a row again could make a second contact."""
    contact = row.contact
    return (
        outcome.status == "unknown"
        and isinstance(contact, ContactUpsert)
        and contact.create_new_if_duplicate_allowed is True
    )


def why_not_attempted(report: BatchReport) -> RowError:
    """Say why the load did not come to its last rows."""
    return row_error(report.stopped or StopRequestedError("the load was cancelled"))


def why_row_not_attempted(report: BatchReport, row: RunRow, home: str | None) -> RowError:
    """Say why a row was not sent: its location takes no calls, or the load ended before.

    Args:
        report: Of the load.
        row: The row.
        home: The location of rows without one of their own.
    """
    contact = row.contact
    location_id = contact.location_id if isinstance(contact, ContactUpsert) else None
    closed = report.closed_locations.get(location_id or home or "")
    return why_not_attempted(report) if closed is None else row_error(closed)
