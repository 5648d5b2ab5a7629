"""The files that a load leaves: what succeeded, what did not and can be loaded again, and the report."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from ..errors import ConfigurationError
from ..report import BatchReport, Outcome
from .columns import RESULT_COLUMNS, column_key, text_of
from .rows import FileRow, RowFile

_SUCCESS_COLUMNS: Final = ("contact_id", "new", "trace_id")
REPORT: Final = "report.json"
SUCCEEDED: Final = "succeeded.csv"
FAILED: Final = "failed.csv"
FAILED_LINES: Final = "failed.jsonl"
NOT_APPLIED: Final = "not_applied.csv"
_NOT_APPLIED_COLUMNS: Final = ("contact_id", "field", "sent", "stored")


class Results:
    """The result files of one load; each is begun with its first row.

    Args:
        folder: Where they go; it is made, and must be empty where it is there.
        files: What is loaded, for the columns.

    Raises:
        ConfigurationError: The folder cannot be used.
    """

    def __init__(self, folder: Path, files: Iterable[RowFile]) -> None:
        self.folder = folder
        self._columns: dict[str, str] = {}  # by what they are for: files may spell one field in several ways
        self._is_all_lines = True
        for file in files:
            self._is_all_lines &= file.is_lines
            for name in file.columns:
                self._columns.setdefault(column_key(name), name)
        self._open: dict[str, IO[str]] = {}
        self._writers: dict[str, Any] = {}
        _make_empty(folder)

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._open.values():
            _failure_of(file.close)  # `finish` tells of it; here something else has failed already

    @property
    def written(self) -> list[str]:
        """The names of the files that have rows."""
        return list(self._open)

    @property
    def to_load_again(self) -> str | None:
        """The name of the file with every row not done, in the form that loses least; None where all are done."""
        if FAILED_LINES in self._open and self._is_all_lines:
            return FAILED_LINES
        return FAILED if FAILED in self._open else None

    def add(self, file: RowFile, row: FileRow, outcome: Outcome) -> None:
        """Write one row to where it belongs."""
        cells, surplus = self._place(file, row.cells)
        if outcome.status in ("created", "updated", "skipped"):
            is_new = {True: "true", False: "false"}.get(outcome.new or False) if outcome.new is not None else ""
            result = [outcome.contact_id or "", is_new, outcome.trace_id or ""]
            self._write(SUCCEEDED, _SUCCESS_COLUMNS, [*cells, *result])
            for missing in outcome.not_applied:
                told = [outcome.contact_id, missing.field, text_of(missing.sent), text_of(missing.stored)]
                self._write(NOT_APPLIED, _NOT_APPLIED_COLUMNS, [*cells, *told])
            return
        reason = str(outcome.error or "")
        if outcome.note:
            reason = f"{reason} ({outcome.note})"
        self._write(FAILED, RESULT_COLUMNS, [*cells, outcome.status, reason, outcome.trace_id or "", *surplus])
        if row.line is not None:
            self._file(FAILED_LINES).write(row.line + "\n")

    def finish(self, report: BatchReport) -> None:
        """Write the report beside them, and what was not written out yet.

        Raises:
            OSError: A file could not be written whole; the others are.
        """
        failures = [failure for file in self._open.values() if (failure := _failure_of(file.close))]
        failures += filter(None, [_failure_of(lambda: report.to_json(self.folder / REPORT))])
        if failures:
            raise failures[0]

    def _place(self, file: RowFile, cells: Sequence[str]) -> tuple[list[str], Sequence[str]]:
        """Put a row's cells under the columns of all files, and return what is too much for them apart."""
        placed: dict[str, str] = {}
        surplus = []
        for name, cell in zip(file.columns, cells, strict=False):
            key = column_key(name)
            if placed.get(key) and cell:
                surplus.append(cell)
            elif cell:
                placed[key] = cell
        return [placed.get(key, "") for key in self._columns], [*surplus, *cells[len(file.columns) :]]

    def _write(self, name: str, more_columns: Sequence[str], cells: Sequence[Any]) -> None:
        if name not in self._writers:
            self._writers[name] = csv.writer(self._file(name))
            self._writers[name].writerow([*self._columns.values(), *more_columns])
        self._writers[name].writerow(cells)

    def _file(self, name: str) -> IO[str]:
        if name not in self._open:
            # What was no UTF-8 in the input is repeated byte by byte.
            self._open[name] = (self.folder / name).open("x", encoding="utf-8", errors="surrogateescape", newline="")
        return self._open[name]


def _failure_of(work: Callable[[], object]) -> OSError | None:
    try:
        work()
    except OSError as error:
        return error
    return None


def _make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"{folder}: is not empty; name a new folder for the results with --out")
        (folder / REPORT).touch()
        (folder / REPORT).unlink()
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot hold the results ({error.strerror or error})") from None
