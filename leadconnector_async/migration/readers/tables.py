"""From the name of a file to the reader of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...errors import ConfigurationError
from .delimited import DelimitedTable
from .json_lines import JsonLinesTable
from .table import Table

_CSV_KINDS: Final = {".csv": ",;\t|", ".tsv": "\t", ".tab": "\t"}
_JSON_KINDS: Final = (".jsonl", ".ndjson")
_NAMES: Final = ", ".join([*_CSV_KINDS, *_JSON_KINDS])
_SNIFF_BYTES: Final = 65_536


def open_table(path: Path) -> Table:
    """Look at a file before anything is sent; its `count` then looks through it.

    Raises:
        ConfigurationError: It cannot be read as rows; the sentence says what to do.
    """
    kind = path.suffix.lower()
    try:
        _check_readable(path)
        if kind in _CSV_KINDS:
            return DelimitedTable(path, _CSV_KINDS[kind])
        if kind in _JSON_KINDS:
            return JsonLinesTable(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error})") from None
    raise ConfigurationError(f"{path}: is of no kind that can be read; the name must end in {_NAMES}")


def _check_readable(path: Path) -> None:
    if not path.is_file():
        there = "is no file" if path.exists() else "there is no such file"
        raise ConfigurationError(f"{path}: {there}; name a file that ends in {_NAMES}")
    with path.open("rb") as file:
        start = file.read(_SNIFF_BYTES)
    if not start.strip():
        raise ConfigurationError(f"{path}: is empty; it needs at least a header")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise ConfigurationError(f"{path}: is not UTF-8 text (it looks like UTF-16 or a binary file); save it as UTF-8")
