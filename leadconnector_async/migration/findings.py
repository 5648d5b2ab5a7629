"""What a report tells beside the counts: some examples of each kind, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct, field

from ..report import Outcome, RowError
from .page import shorten
from .problems import Action, Problem
from .rows import FileRow

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
        self, row: FileRow, outcome: Outcome, cells: Mapping[str, str], surplus: Sequence[str], number: int
    ) -> None:
        """Take note of a row that is not done.

        Args:
            row: The row.
            outcome: What became of it.
            cells: Its cells by what they are for (see `RowFile.keys`).
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

    def add_dropped(self, row: FileRow, outcome: Outcome, cells: Mapping[str, str], told: Sequence[str]) -> None:
        """Take note of a field that was not applied: its name, what was sent, what is stored."""
        name, sent, stored = told
        if name not in self.dropped and len(self.dropped) >= _MOST_KINDS:
            return
        examples = self.dropped.setdefault(name, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(Dropped(row.where, who(cells), shorten(sent), shorten(stored), outcome.contact_id))

    def add_meeting(
        self, contact_id: str | None, first: tuple[FileRow, Mapping[str, str]], later: tuple[FileRow, Mapping[str, str]]
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
