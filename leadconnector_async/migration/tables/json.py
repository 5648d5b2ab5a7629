"""JSON Lines: an object a line."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

import msgspec

from ...errors import ConfigurationError
from .extras import load_library
from .file import File
from .table import Record, Table, text_of
from .text import OTHER_ENCODING, Encoding, Lines, open_text, read_start, why_no_text


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
            self.check_width(len(names))
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
    if (why := why_no_text(line)) is not None:
        return Record(number, [line], why, line=line)
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


# ---------------------------------------------------------------------------------------------- JSON

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_START_CHARS: Final = 1024 * 1024
_BUFFER_BYTES: Final = 256 * 1024
_MOST_DEPTH: Final = 100
_MOST_TEXT_BYTES: Final = 16 * 1024 * 1024
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+("?)', re.DOTALL)
_MOST_NUMBER_BYTES: Final = 1_000
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_NUMBER: Final = re.compile(rb"[-+.\deE]+")


class JsonTable(ObjectTable):
    """The objects of an array: that of the whole file, else the first array of objects in it.

    Args:
        file: The file.
        encoding: Its encoding.

    Raises:
        ConfigurationError: It cannot be read to its end, or holds no array of objects.
    """

    row_word = "item"

    def __init__(self, file: File, encoding: Encoding) -> None:
        self._library = load_library("ijson", f"{file.name}: JSON")
        self.name, self.file, self._encoding = file.name, file, encoding
        self._array = self._find_array()
        super().__init__(file, encoding)
        if self._array:
            self.notes.append(f"the rows are those of its array {self._array!r}")

    def rows(self) -> Iterator[Record]:
        """Yield all items of the array."""
        with self._open() as file:
            number = 0
            place = f"{self._array}.item" if self._array else "item"
            try:
                for number, item in enumerate(self._library.items(file, place), 1):
                    yield read_object(number, _ENCODER.encode(item).decode(), self.columns, self.row_word)
            except (self._library.JSONError, UnicodeError) as error:
                raise self._broken(f"after item {number}", error) from None

    def _find_array(self) -> str:
        """Return where the array is, in the words of ijson: nothing where it is the whole.

        Raises:
            ConfigurationError: There is none.
        """
        arrays: list[str] = []
        with self._open() as file:
            try:
                for place, event, _ in self._library.parse(file):
                    if event == "start_array":
                        arrays.append(place)
                        if not place:
                            return ""
                    elif event == "end_array":
                        arrays.pop()
                    elif event == "start_map" and arrays and place == f"{arrays[-1]}.item":
                        return arrays[-1]
            except (self._library.JSONError, UnicodeError) as error:
                raise self._broken("from its beginning on", error) from None
        raise ConfigurationError(f"{self.name}: holds no array of objects, which is what JSON of contacts should be")

    def _open(self) -> IO[bytes]:
        return io.BufferedReader(_Utf8(open_text(self.file, self._encoding), self.name), _BUFFER_BYTES)

    def _broken(self, where: str, error: Exception) -> ConfigurationError:
        reason = " ".join(str(error).split("\n")[0].split())
        return ConfigurationError(f"{self.name}: cannot be read as JSON {where} ({reason}); export it anew")


class _Utf8(io.RawIOBase):
    """A text of any encoding as the UTF-8 that JSON is written in, without a mark before it.

    It ends where values are nested so deeply, or texts are so long, that reading them would take all memory, and where
    a number is so long that the library does not survive it: Python refuses whole numbers of more than 4,300 digits,
    which the library does not expect.
    """

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self._name = name
        self._depth = 0
        self._begun = b""  # of a text that the bytes before left open: its quote, and a backslash that is not used up
        self._text_bytes = 0
        self._number_bytes = 0  # of a number that the bytes before left open

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._text.read(len(buffer) // 4).encode(errors="surrogateescape")
        self._check(data)
        buffer[: len(data)] = data
        return len(data)

    def _check(self, data: bytes) -> None:
        data = self._begun + data
        self._begun = b""
        rest = _TEXT.sub(self._drop_text, data)
        self._check_numbers(rest)
        for bracket in _BRACKET.findall(rest):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > _MOST_DEPTH:
                raise ConfigurationError(f"{self._name}: is nested more than {_MOST_DEPTH} deep, which no contact is")
        if self._text_bytes > _MOST_TEXT_BYTES:
            raise ConfigurationError(f"{self._name}: holds a text of more than 16 million letters, too long for a cell")

    def _check_numbers(self, data: bytes) -> None:
        left_open = 0
        for number in _NUMBER.finditer(data):
            size = len(number[0]) + (self._number_bytes if number.start() == 0 else 0)
            if size > _MOST_NUMBER_BYTES:
                raise ConfigurationError(
                    f"{self._name}: holds a number of more than {_MOST_NUMBER_BYTES:,} digits, too long for a cell"
                )
            left_open = size if number.end() == len(data) else 0
        self._number_bytes = left_open

    def _drop_text(self, text: re.Match[bytes]) -> bytes:
        """Leave a text out, and take note of one that goes on in the bytes that come next."""
        if text[1]:
            self._text_bytes = 0
        else:
            self._begun = b'"' + text.string[text.end() :]
            self._text_bytes += len(text[0])
        return b""

    def close(self) -> None:
        self._text.close()
        super().close()


def is_json_lines(file: File, encoding: Encoding) -> bool:
    """Whether a file that is called JSON has an object a line."""
    start = read_start(file, encoding, _START_CHARS)
    first, _, rest = start.strip().partition("\n")
    try:
        value = msgspec.json.decode(first)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and (bool(rest.strip()) or not _holds_objects(value))


def _holds_objects(value: Any) -> bool:
    """Whether there is an array of objects in an object."""
    if isinstance(value, dict):
        return any(map(_holds_objects, value.values()))
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)
