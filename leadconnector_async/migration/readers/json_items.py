"""JSON: an array of objects, or an object that holds one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, Any, Final

import msgspec

from ...errors import ConfigurationError
from .extras import load_library
from .file import File
from .json_lines import ObjectTable, read_object
from .table import Record
from .text import Encoding, open_text, read_start

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_START_CHARS: Final = 1024 * 1024
_BUFFER_BYTES: Final = 256 * 1024
_MOST_DEPTH: Final = 100
_MOST_TEXT_BYTES: Final = 16 * 1024 * 1024
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+("?)', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


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

    It ends where values are nested so deeply, or texts are so long, that reading them would take all memory.
    """

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self._name = name
        self._depth = 0
        self._begun = b""  # of a text that the bytes before left open: its quote, and a backslash that is not used up
        self._text_bytes = 0

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
        for bracket in _BRACKET.findall(_TEXT.sub(self._drop_text, data)):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > _MOST_DEPTH:
                raise ConfigurationError(f"{self._name}: is nested more than {_MOST_DEPTH} deep, which no contact is")
        if self._text_bytes > _MOST_TEXT_BYTES:
            raise ConfigurationError(f"{self._name}: holds a text of more than 16 million letters, which is no cell")

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
