"""From bytes to lines of text, in whatever encoding they are."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from ...errors import ConfigurationError
from .extras import load_library
from .file import File

_START_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 1024 * 1024
_SAMPLE_BYTES: Final = 65_536
_MOST_LINE_CHARS: Final = 16 * 1024 * 1024
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES: Final = (
    (b"PK\x03\x04", "a ZIP archive or a workbook"),
    (b"\xd0\xcf\x11\xe0", "an old or an encrypted workbook"),
    (b"\x1f\x8b", "packed by gzip"),
    (b"BZh", "packed by bzip2"),
    (b"\xfd7zXZ", "packed by xz"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF"),
)
_LEGACY: Final = {  # what a text is taken for where several are as likely, in this order
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "koi8_r": "KOI8-R",
    "mac_roman": "Mac Roman",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
    "cp1257": "Windows-1257",
    "iso8859_2": "ISO 8859-2",
    "shift_jis": "Shift JIS",
    "gb18030": "GB 18030",
    "big5": "Big5",
    "euc_kr": "EUC-KR",
    "cp1255": "Windows-1255",
    "cp1256": "Windows-1256",
}
_MANY_BYTES: Final = ("shift_jis", "gb18030", "big5", "euc_kr")
OTHER_ENCODING: Final = "is UTF-8 in a file that is not; save the file in one encoding"
_AS_LIKELY: Final = 0.02  # of the disorder that charset-normalizer measures


_CONTROLS: Final = bytes(code for code in range(1, 32) if chr(code) not in "\t\n\v\f\r\x1a\x1b")
_MOST_NULS, _MOST_CONTROLS = 0.1, 0.02  # shares of what is still a text


class Encoding(Struct, frozen=True):
    """How the bytes of a file are read as text.

    Attributes:
        name: As Python knows it.
        note: What was assumed, or None where the file says it.
        is_marked: Whether the file begins with a byte order mark.
    """

    name: str
    note: str | None = None
    is_marked: bool = False

    @property
    def needs_mark(self) -> bool:
        """Whether those who open such files in a spreadsheet need a mark in our UTF-8: without one it is taken for the
        encoding of the system."""
        return self.is_marked or self.name != _UTF8.name

    @property
    def is_guess(self) -> bool:
        """Whether it is an old one of one byte a letter, so that UTF-8 may hide in it."""
        return self.note is not None and self.name not in _MANY_BYTES

    def hides_utf8(self, text: str) -> bool:
        """Whether a text was read in this encoding though its own is UTF-8."""
        if text.isascii():
            return False
        try:
            text.encode(self.name).decode("utf-8")
        except UnicodeError:
            return False
        return True


_UTF8: Final = Encoding("utf-8-sig")


def find_encoding(file: File, given: str | None = None, usual: str | None = None) -> Encoding:
    """Find out how a file is encoded. Where it is not UTF-8, this reads the whole of it.

    Args:
        file: Which.
        given: What the user says.
        usual: What a mapping file says. A file with a mark is not in it: our own results have one.

    Raises:
        ConfigurationError: It is no text, or nobody can tell in which encoding.
    """
    start = file.start(_START_BYTES)
    if not start.strip():
        raise ConfigurationError(f"{file.name}: is empty")
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if given is not None:
        return msgspec.structs.replace(_named(given), is_marked=marked is not None)
    if marked is not None:
        return Encoding(marked, is_marked=True)
    if usual is not None:
        return _named(usual)
    wide = _utf16_without_mark(start)
    if wide is not None:
        return Encoding(wide)
    _refuse_binary(file, start)
    return _UTF8 if _is_utf8(file) else _guess(file)


def check_encoding(name: str) -> None:
    """Refuse an encoding that is not known.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        "".encode(name)  # raises for what is a codec and no encoding, too
    except (LookupError, UnicodeError):
        raise ConfigurationError(f"`encoding` {name!r} is not known; try utf-8, cp1252 or utf-16") from None


def _named(name: str) -> Encoding:
    check_encoding(name)
    return _UTF8 if is_utf8(name) else Encoding(name)


def is_utf8(name: str) -> bool:
    """Whether an encoding that is known is UTF-8, be it with a mark."""
    return codecs.lookup(name).name in ("utf-8", _UTF8.name)


def _utf16_without_mark(start: bytes) -> str | None:
    """Tell UTF-16 by its NULs: in text of the West nearly every second byte is one."""
    half = len(start) // 2
    even, odd = start[::2].count(0), start[1::2].count(0)
    if odd > 0.4 * half and not even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * half and not odd else None


def _refuse_binary(file: File, start: bytes) -> None:
    what = next((what for signature, what in _SIGNATURES if start.startswith(signature)), None)
    if what is not None:
        raise ConfigurationError(f"{file.name}: is not text but {what}; give it the ending that it should have")
    if b"\0" in start and _is_binary(start):
        raise ConfigurationError(f"{file.name}: is not UTF-8 text (it looks like a binary file); save it as UTF-8")


def _is_binary(start: bytes) -> bool:
    """Whether what holds a NUL is no text at all: it has many, or many other characters that texts do not have. A stray
    one spoils its own row alone."""
    controls = len(start) - len(start.translate(None, _CONTROLS))
    return start.count(0) > _MOST_NULS * len(start) or controls > _MOST_CONTROLS * len(start)


def _chunks(file: File) -> Iterator[bytes]:
    with file.open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _is_utf8(file: File) -> bool:
    """Whether a file is UTF-8, be it with some bytes that are not: such rows are told apart then."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(file):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _is_mostly_utf8(file)
    return True


def _is_mostly_utf8(file: File) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    letters = strays = 0
    for chunk in _chunks(file):
        found = _BEYOND_ASCII.findall(decoder.decode(chunk))
        wrong = sum("\udc80" <= letter <= "\udcff" for letter in found)
        letters, strays = letters + len(found) - wrong, strays + wrong
    return letters * 4 >= strays


_BEYOND_ASCII: Final = re.compile(r"[^\0-\x7f]")


def _guess(file: File) -> Encoding:
    """Guess the encoding of a text that is not UTF-8.

    Raises:
        ConfigurationError: Nobody can tell, or the library for that is not installed.
    """
    library = load_library("charset_normalizer", f"{file.name}: is not UTF-8, and telling its encoding")
    matches = list(library.from_bytes(_sample(file), cp_isolation=list(_LEGACY)))
    if not matches:
        raise ConfigurationError(
            f"{file.name}: is in an encoding that cannot be recognised; save it as UTF-8, or give `encoding`"
        )
    least = min(match.chaos for match in matches) + _AS_LIKELY
    likely = {name for match in matches if match.chaos <= least for name in match.could_be_from_charset}
    name = next(name for name in _LEGACY if name in likely)
    return Encoding(name, f"is not UTF-8, and read as {_LEGACY[name]} (`encoding` chooses another)")


def _sample(file: File) -> bytes:
    """Return the lines that tell: those with letters beyond ASCII."""
    sample = bytearray()
    with file.open() as stream:
        while len(sample) < _SAMPLE_BYTES and (line := stream.readline(_SAMPLE_BYTES)):
            if not line.isascii():
                sample += line
    return bytes(sample)


_MOST_SMALL_CHARS: Final = 16 * 1024 * 1024


def read_small_text(path: Path) -> str:
    """Return a text that fits into memory, such as a file of settings.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no UTF-8, or so large that it is none of those, as a device that never ends.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read(_MOST_SMALL_CHARS + 1)
    if len(text) > _MOST_SMALL_CHARS:
        raise ValueError("it has more than 16 million characters")
    return text


def open_text(file: File, encoding: Encoding) -> TextIOWrapper:
    """Open a file as text, with its newlines as they stand."""
    # Bytes that the encoding does not know become lone surrogates: the row is told apart, and results repeat it byte by
    # byte. Of UTF-16 and the like this cannot be: there `Lines` ends with a sentence.
    return TextIOWrapper(file.open(), encoding=encoding.name, errors="surrogateescape", newline="")


def read_start(file: File, encoding: Encoding, chars: int) -> str:
    """Read the beginning of a text.

    Raises:
        ConfigurationError: It is not in that encoding.
    """
    with open_text(file, encoding) as text:
        try:
            return text.read(chars)
        except UnicodeError as error:
            raise undecodable(file.name, error) from None


def undecodable(name: str, error: UnicodeError) -> ConfigurationError:
    """Say that a text is not in the encoding that it should be in."""
    what, reason = (error.encoding, error.reason) if isinstance(error, UnicodeDecodeError) else ("text", str(error))
    return ConfigurationError(
        f"{name}: cannot be read as {what} to its end ({reason}); export it again, or give `encoding`"
    )


def is_text(text: str) -> bool:
    """Whether a text was read whole: no NUL, and no byte that the encoding does not know."""
    return why_no_text(text) is None


def why_no_text(text: str) -> str | None:
    """Say what is wrong with a text that was not read whole; None where it was."""
    if "\0" in text:
        return "holds a NUL character; remove it"
    return None if text.isascii() or _STRAY.search(text) is None else "is not UTF-8 text; save the file as UTF-8"


_STRAY: Final = re.compile("[\ud800-\udfff]")


class Lines:
    """The lines of a text, none longer than memory can bear.

    Attributes:
        first: The first line of the record at hand.
        last: The line read last.
        taken: How many lines the record has so far.
    """

    def __init__(self, text: IO[str], name: str) -> None:
        self._read = text.readline
        self._name = name
        self.first = self.last = ""
        self.taken = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._read(_MOST_LINE_CHARS)
        except UnicodeError as error:
            raise undecodable(self._name, error) from None
        if not line:
            raise StopIteration
        if len(line) == _MOST_LINE_CHARS:
            raise ConfigurationError(f"{self._name}: has a line of more than 16 million characters, which is no row")
        if not self.taken:
            self.first = line
        self.taken += 1
        self.last = line
        return line

    def begin(self) -> None:
        """Begin a record."""
        self.first = ""
        self.taken = 0
