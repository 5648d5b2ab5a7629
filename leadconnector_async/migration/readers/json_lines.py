"""JSON Lines: an object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from .cells import text_of
from .file import File
from .table import Record, Table
from .text import OTHER_ENCODING, Encoding, Lines, is_text, open_text


class ObjectTable(Table):
    """JSON objects; the columns are the names of all of them.

    Args:
        file: The file.
        encoding: Its encoding.

    Raises:
        ConfigurationError: It cannot be read to its end.
    """

    has_objects = True

    def __init__(self, file: File, encoding: Encoding) -> None:
        self.name = file.name
        self.notes: list[str] = [encoding.note] if encoding.note else []
        self.columns = []
        self.file = file
        self._encoding = encoding
        self._look_through()

    def _look_through(self) -> None:
        names: dict[str, None] = {}
        count = 0
        for record in self.rows():
            names.update(dict.fromkeys(record.value or ()))
            count += 1
        self.columns = list(names) or [self.row_word]
        self.count = count


class JsonLinesTable(ObjectTable):
    """A JSON object a line."""

    row_word = "line"

    def rows(self) -> Iterator[Record]:
        """Yield all lines that are not blank."""
        with open_text(self.file, self._encoding) as file:
            for number, line in enumerate(Lines(file, self.name), 1):
                if not line.strip():
                    continue
                line = line.rstrip("\r\n")
                if self._encoding.is_guess and self._encoding.hides_utf8(line):
                    yield Record(number, [line], OTHER_ENCODING, line=line)
                else:
                    yield read_object(number, line, self.columns, self.row_word)


def read_object(number: int, line: str, columns: Sequence[str], row_word: str) -> Record:
    """Read a JSON object that stands in a line."""
    if not is_text(line):
        return Record(number, [line], "is not UTF-8 text; save the file as UTF-8", line=line)
    value = _decode(line)
    if not isinstance(value, dict):
        what = "is no JSON" if value is _NO_JSON else "is no JSON object"
        error = f'{what}; each {row_word} must be an object such as {{"email": "a@b.co"}}'
        return Record(number, [line], error, line=line)
    return Record(number, [text_of(value.get(name)) for name in columns], value=value, line=line)


_NO_JSON: Final = object()


def _decode(line: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _NO_JSON
