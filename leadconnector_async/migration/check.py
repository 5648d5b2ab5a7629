"""What stops a load before the first row is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import ConfigurationError
from ..models.dnd import ALL
from ..protocol.text import count_of
from ..rules.problems import ProblemCount, ProblemTally, UnreadColumn
from ..rules.texts import clean_cell
from .mapping.columns import Column, Doubt
from .mapping.directories import may_be_id
from .mapping.rows import RowFile
from .report.html import shorten
from .tables import Record

_MOST_WORDS: Final = 100
_MOST_SHOWN: Final = 3
_OTHER_WORDS: Final = "others"


class ConsentCells:
    """Counts the cells of a file's columns about consent that cannot be read.

    Args:
        file: The file.
    """

    def __init__(self, file: RowFile) -> None:
        self._file = file
        columns = () if file.map is None else file.map.columns
        self._doubted = [(column, column.doubt) for column in columns if column.doubt is not None]
        self._filled: Counter[int] = Counter()
        self._words: dict[int, Counter[str]] = {column.position: Counter() for column, _ in self._doubted}

    def add(self, record: Record) -> None:
        """Take note of a row."""
        cells = self._file.meant(record) if self._doubted else ()
        for column, doubt in self._doubted if record.error is None else ():
            cell = clean_cell(cells[column.position]) if column.position < len(cells) else ""
            if cell:
                self._filled[column.position] += 1
                if doubt.is_unread(cell):
                    self._count(self._words[column.position], cell)

    @staticmethod
    def _count(words: Counter[str], cell: str) -> None:
        word = shorten(cell)
        words[word if word in words or len(words) < _MOST_WORDS else _OTHER_WORDS] += 1

    def unread(self) -> list[UnreadColumn]:
        """Return the columns of which too many cells cannot be read for the rest to be believed."""
        return [
            self._describe(column, doubt)
            for column, doubt in self._doubted
            if self._words[column.position].total() > doubt.most * self._filled[column.position]
        ]

    def _describe(self, column: Column, doubt: Doubt) -> UnreadColumn:
        return UnreadColumn(
            file=self._file.name,
            column=column.name,
            why=doubt.why,
            channels=column.target.part or ALL,
            filled=self._filled[column.position],
            words=dict(self._words[column.position].most_common()),
        )


def describe_unread(unread: UnreadColumn) -> str:
    """Say in words why a column stops a load."""
    words = list(unread.words.items())
    shown = ", ".join(f"{word!r} {count:,} x" for word, count in words[:_MOST_SHOWN])
    more = f" and {len(words) - _MOST_SHOWN} more" if len(words) > _MOST_SHOWN else ""
    return (
        f"{unread.file}: the column {unread.column!r} {unread.why} ({shown}{more}; "
        f"{count_of(unread.filled, 'cell is filled', 'cells are filled')})"
    )


def refuse_missing_options(tally: ProblemTally) -> None:
    """Refuse a load with options that its location does not have: the service would drop each without a word.

    Raises:
        ConfigurationError: There is one; the sentence names the most frequent ones.
    """
    missing = tally.kinds("missing")
    if missing:
        shown = "; ".join(f"{kind.column} {kind.sentence} ({_times(kind)})" for kind in missing[:5])
        more = f"; and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ConfigurationError(
            f"{shown}{more}: add the option in the location's settings, correct the cells, or map or ignore the column"
        )


def refuse_problems(tally: ProblemTally) -> None:
    """Refuse a load of which some cell or row would not be sent as it stands.

    Raises:
        ConfigurationError: There is one; the sentence says where.
    """
    faults = tally.kinds("refused", "skipped")
    if faults:
        first, count = faults[0], sum(kind.count for kind in faults)
        what = f"{first.column}: " if first.column else ""
        raise ConfigurationError(
            f"{first.where}: {what}{first.sentence}; with `strict` nothing is sent while any cell or row cannot be "
            "sent "
            f"({count:,} of them; without `strict` they are left out)"
        )


def _times(kind: ProblemCount) -> str:
    return kind.where if kind.count == 1 else f"{count_of(kind.count, 'cell')}, the first in {kind.where}"


def has_location_names(files: Iterable[RowFile]) -> bool:
    """Whether rows name their locations otherwise than by id. This reads files that have a column for locations."""
    return any(not may_be_id(cell) for file in files if file.has_locations for cell in _location_cells(file))


def _location_cells(file: RowFile) -> Iterator[str]:
    columns = file.map.columns if file.map else ()
    positions = [column.position for column in columns if column.target.field == "locationId"]
    for record in file.table.rows() if positions else ():
        cells = file.meant(record)
        for position in positions:
            cell = cells[position].strip() if position < len(cells) else ""
            if cell:
                yield cell
