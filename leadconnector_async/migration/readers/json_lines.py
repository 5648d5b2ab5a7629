"""JSON Lines: an object a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from .table import Record, Table, describe_file
from .text import is_text, open_text, text_of


class JsonLinesTable(Table):
    """A JSON object a line; the columns are the names of all of them.

    Args:
        path: The file.
    """

    row_word = "line"
    has_objects = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self.columns = []
        names: dict[str, None] = {}
        for record in self.rows():
            names.update(dict.fromkeys(record.value or ()))
        self.columns = list(names) or ["line"]

    def rows(self) -> Iterator[Record]:
        """Yield all lines that are not blank."""
        with open_text(self._path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _read_line(number, line.rstrip("\r\n"), self.columns)

    def describe(self) -> list[int | str]:
        """Return what the content is known by."""
        return describe_file(self._path)


def _read_line(number: int, line: str, columns: Iterable[str]) -> Record:
    if not is_text(line):
        return Record(number, [line], "is not UTF-8 text; save the file as UTF-8", line=line)
    value = _decode(line)
    if not isinstance(value, dict):
        what = "is no JSON" if value is _NO_JSON else "is no JSON object"
        error = f'{what}; each line must be an object such as {{"email": "a@b.co"}}'
        return Record(number, [line], error, line=line)
    return Record(number, [text_of(value.get(name)) for name in columns], value=value, line=line)


_NO_JSON: Final = object()


def _decode(line: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _NO_JSON
