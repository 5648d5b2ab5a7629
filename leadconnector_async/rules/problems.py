"""Problems of cells and rows, and what was done about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

from msgspec import Struct

Action: TypeAlias = Literal["missing", "refused", "skipped", "fixed", "sent", "empty", "assumed"]
ACTIONS: Final[tuple[Action, ...]] = ("missing", "refused", "skipped", "fixed", "sent", "empty", "assumed")
_MOST_KINDS: Final = 1000  # a sentence may name the cell's own text, and be another for each row
_OTHERS: Final = "other problems"


class Problem(Struct, frozen=True, array_like=True, gc=False):
    """Something about a cell that whoever loads a file should know. A run keeps it as it is.

    Attributes:
        column: The header of its column, or the field of a row of Python; empty where the row as a whole is meant.
        value: The cell as it stands.
        sentence: What is wrong; the same for all cells with this problem, so that they can be counted.
        action: What becomes of it. `missing`: it names an option that the location does not have, which is to be
            decided before anything is sent. `refused`: the row is not sent. `skipped`: the row is sent without this
            cell. `fixed`: the cell is sent with a part left out or changed, as the sentence says. `sent`: it is sent as
            it stands, though the service may not keep it. `empty`: it stands for nothing, and counts as an empty cell.
            `assumed`: it is sent, and means what is usual.
    """

    column: str
    value: str
    sentence: str
    action: Action


class Fixed(Struct, frozen=True, gc=False):
    """A value that a rule changed, or left as it is, with a sentence for the list of problems."""

    value: Any
    sentence: str
    action: Action = "fixed"


class UnusableCellError(ValueError):
    """A cell that cannot be sent; the message says why, after the cell's name."""


class LeftOutError(UnusableCellError):
    """A cell that is left out although others of its field keep their row from being sent: it was never meant to say
    who the contact is."""


class UnknownOptionError(UnusableCellError):
    """A cell that names an option that its custom field does not have."""


class ProblemCount(Struct):
    """One kind of problem.

    Attributes:
        column: Its column.
        sentence: What is wrong.
        action: What is done about it.
        count: How many cells have it.
        value: The first of them.
        where: The row of that one.
    """

    column: str
    sentence: str
    action: Action
    count: int
    value: str
    where: str


class UnreadColumn(Struct, frozen=True, kw_only=True):
    """A column about consent that cannot be read, so that the load cannot begin.

    Attributes:
        file: Its file.
        column: Its header.
        why: What is wrong with it, after its name.
        channels: Which channels it is about, as a target has them.
        filled: How many of its cells are not empty.
        words: The cells that cannot be read, each with its number, the most frequent first.
    """

    file: str
    column: str
    why: str
    channels: str
    filled: int
    words: dict[str, int]


class _Placed(Protocol):
    @property
    def where(self) -> str:
        """How messages call its place."""
        raise NotImplementedError


class ProblemTally:
    """Problems counted by kind, in memory that does not grow with rows.

    Attributes:
        rows: How many rows were looked at.
        refused_rows: How many of the rows with problems cannot be sent.
        unread: Columns about consent that cannot be read.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.refused_rows = 0
        self.unread: list[UnreadColumn] = []
        self._kinds: dict[tuple[str, str, Action], ProblemCount] = {}

    def add(self, problems: Sequence[Problem], row: _Placed) -> None:
        """Count the problems of a row."""
        is_refused = False
        for problem in problems:
            is_refused |= problem.action == "refused"
            key = problem.column, problem.sentence, problem.action
            if key not in self._kinds and len(self._kinds) >= _MOST_KINDS:
                key = "", _OTHERS, problem.action
            kind = self._kinds.get(key)
            if kind is None:
                self._kinds[key] = ProblemCount(*key, count=1, value=problem.value, where=row.where)
            else:
                kind.count += 1
        self.refused_rows += is_refused

    def kinds(self, *actions: Action) -> list[ProblemCount]:
        """Return the kinds with one of these actions (or all), the gravest action first, then the most frequent."""
        found = [kind for kind in self._kinds.values() if not actions or kind.action in actions]
        return sorted(found, key=lambda kind: (ACTIONS.index(kind.action), -kind.count, kind.column, kind.sentence))
