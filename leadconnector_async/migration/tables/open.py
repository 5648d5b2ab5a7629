"""From the name of a file to the reader of its kind."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from ...errors import ConfigurationError
from .delimited import DelimitedTable
from .duck import ParquetTable
from .file import PACKINGS, File
from .json import JsonLinesTable, JsonTable, is_json_lines
from .table import IsHeader, Table
from .text import Encoding, check_encoding, find_encoding, is_utf8
from .vcard import VCardTable
from .workbook import WorkbookTable

_ANY_DELIMITER: Final = ",;\t|"
_CSV_KINDS: Final = {".csv": _ANY_DELIMITER, ".tsv": "\t", ".tab": "\t", ".txt": _ANY_DELIMITER}
_TAB: Final = "tab"
_DELIMITER: Final = re.compile(rf'[^\w"\r\n\0 ]|{_TAB}')
_JSON_LINES_KINDS: Final = (".jsonl", ".ndjson")
_VCARD_KINDS: Final = (".vcf", ".vcard")
_JSON_KINDS: Final = (*_JSON_LINES_KINDS, ".json")
TEXT_KINDS: Final = (*_CSV_KINDS, *_JSON_LINES_KINDS, ".json", *_VCARD_KINDS)
_PARQUET_KINDS: Final = (".parquet", ".pq")
WORKBOOK_KINDS: Final = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
_KINDS: Final = (*TEXT_KINDS, *_PARQUET_KINDS, *WORKBOOK_KINDS)
FORMATS: Final = ("csv", "tsv", "json", "jsonl", "vcf", "parquet", "xlsx", "xls", "xlsb", "ods")


class Reading(Struct, frozen=True, kw_only=True):
    """How files are to be read, where they do not tell themselves.

    Attributes:
        format: One of `FORMATS`, whatever the file is called.
        encoding: Of text, as Python knows it.
        sheet: The name of a sheet of a workbook, or its number from 1.
        delimiter: What stands between cells of text, or `tab`; other kinds of files have none.
        usual_encoding: The encoding of text files that do not begin with a byte order mark, but for JSON.

    Raises:
        ConfigurationError: There is no such format or encoding, or no file has such a delimiter.
    """

    format: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    usual_encoding: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise ConfigurationError(f"`format` {self.format!r} cannot be read; it is one of {', '.join(FORMATS)}")
        if self.delimiter is not None and not _DELIMITER.fullmatch(self.delimiter):
            raise ConfigurationError(
                f"the delimiter {self.delimiter!r} cannot stand between cells; give one character, or tab"
            )
        if self.usual_encoding is not None:
            check_encoding(self.usual_encoding)

    @property
    def mark(self) -> str | None:
        """The delimiter as it stands between cells; None where none is said."""
        return "\t" if self.delimiter == _TAB else self.delimiter

    @property
    def needs_mark(self) -> bool:
        """Whether our results, which are UTF-8, must say so to be read with this."""
        return self.usual_encoding is not None and not is_utf8(self.usual_encoding)


def open_table(
    path: Path,
    reading: Reading = Reading(),  # noqa: B008 - it is frozen
    *,
    name: str | None = None,
    is_header: IsHeader | None = None,
) -> Table:
    """Look at a file before anything is sent; its `count` then looks through it.

    Args:
        path: The file.
        reading: How to read it.
        name: How messages call it, if not by its path.
        is_header: Tells the header from lines above it; None where the first line is the header.

    Raises:
        ConfigurationError: It cannot be read as rows; the sentence says what to do.
    """
    file = File(path, name=name, kind=f".{reading.format}" if reading.format else None)
    table = _open(file, reading, is_header)
    # Our results are loaded with the same mapping file, of whatever kind the input was.
    table.result_delimiter = reading.mark or table.result_delimiter
    table.needs_mark |= reading.needs_mark
    return table


def _open(file: File, reading: Reading, is_header: IsHeader | None) -> Table:
    if file.kind in TEXT_KINDS:
        # JSON is UTF-8, also in the lines that a load leaves.
        usual = None if file.kind in _JSON_KINDS else reading.usual_encoding
        return _open_text_table(file, find_encoding(file, reading.encoding, usual), reading, is_header)
    if file.kind in _PARQUET_KINDS:
        return ParquetTable(file)
    if file.kind in WORKBOOK_KINDS:
        return WorkbookTable(file, reading.sheet, is_header)
    names = f"{', '.join(_KINDS)}, perhaps with {', '.join(PACKINGS)} after it"
    raise ConfigurationError(
        f"{file.name}: is not a kind of file that can be read; the name must end in {names}, or give `format`"
    )


def _open_text_table(file: File, encoding: Encoding, reading: Reading, is_header: IsHeader | None) -> Table:
    if file.kind in _CSV_KINDS:
        marks = reading.mark or _CSV_KINDS[file.kind]
        return DelimitedTable(file, encoding, marks, is_header, is_said=reading.mark is not None)
    if file.kind in _VCARD_KINDS:
        return VCardTable(file, encoding)
    if file.kind in _JSON_LINES_KINDS or is_json_lines(file, encoding):
        return JsonLinesTable(file, encoding)
    return JsonTable(file, encoding)


def find_files(names: Iterable[Path]) -> list[Path]:
    """Return the files that names and patterns stand for, those of a pattern sorted.

    Raises:
        ConfigurationError: Nothing is called so.
    """
    return [path for name in names for path in _matches(name)]


def _matches(name: Path) -> list[Path]:
    if name.exists() or not glob.has_magic(str(name)):
        return [name]
    matches = sorted(path for path in map(Path, glob.iglob(str(name), recursive=True)) if not path.is_dir())
    if not matches:
        raise ConfigurationError(f"{name}: there is no such file, and none that is called like that")
    return matches
