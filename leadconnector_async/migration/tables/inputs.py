"""What a load is to read: files, patterns, standard input, a query."""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from ...errors import ConfigurationError
from ...private_file import open_anew
from ..mapping.headers import looks_like_header
from . import Reading, Table, find_files, open_table
from .open import TEXT_KINDS, WORKBOOK_KINDS
from .queries import Query

STDIN: Final = Path("-")
_KEPT: Final = "input"
_STDIN_NAME: Final = "standard input"
_READ_BYTES: Final = 1024 * 1024
_LOOK_UP_SECONDS: Final = 0.2


class Sources(Struct, frozen=True, kw_only=True):
    """What to read.

    Attributes:
        files: Files, patterns of files, and `-` for standard input.
        query: What to ask a database, or None.
        reading: How to read files where they do not tell themselves.

    Raises:
        ConfigurationError: There is nothing, or what is there does not go together.
    """

    files: list[Path] = []
    query: Query | None = None
    reading: Reading = Reading()

    def __post_init__(self) -> None:
        if bool(self.files) == (self.query is not None):
            raise ConfigurationError("name files to load, or a query (`sql` and `database`), and not both")
        if self.query is not None and (self.reading.format or self.reading.encoding or self.reading.sheet):
            raise ConfigurationError("`format`, `encoding` and `sheet` are for files, not for a query")
        if STDIN in self.files and len(self.files) > 1:
            raise ConfigurationError("standard input (-) is loaded alone; load the files in a run of their own")
        if STDIN in self.files and self.reading.format is None:
            raise ConfigurationError("standard input (-) has no name to show its format: give `format`, such as csv")

    @property
    def is_asked_once(self) -> bool:
        """Whether it can be read only once, so that its rows must be kept to go on later."""
        return self.query is not None or STDIN in self.files


class Inputs:
    """Opens what a load is to read. What can be read only once is kept in a file until this is closed.

    Args:
        sources: What to read.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._folder: Path | None = None
        self._tables: list[Table] = []

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, is_stopped: Callable[[], bool]) -> list[Table]:
        """Look at all that is to be read.

        Args:
            is_stopped: Whether to give up, asked while standard input is read.

        Raises:
            ConfigurationError: Something of it cannot be read as rows.
            InterruptedError: `is_stopped` said so.
        """
        sources = self._sources
        if sources.is_asked_once:
            name = _STDIN_NAME if sources.query is None else "the query"
            reading = sources.reading if sources.query is None else Reading(format="csv", encoding="utf-8")
            is_header = looks_like_header if sources.query is None else None
            table = open_table(self._keep_once(reading, is_stopped), reading, name=name, is_header=is_header)
            if sources.query is not None:
                table.part += sources.query.describe()
                table.result_delimiter, table.needs_mark = sources.reading.mark, sources.reading.needs_mark
            self._tables = [table]
        else:
            self._tables = [
                open_table(path, sources.reading, is_header=looks_like_header) for path in find_files(sources.files)
            ]
        self._check_options()
        return self._tables

    def describe_stdin(self, is_stopped: Callable[[], bool]) -> list[int | str] | None:
        """Return what the content of standard input is known by; None where it gives nothing, or is a terminal.

        Args:
            is_stopped: Whether to give up, asked while it is read.

        Raises:
            ConfigurationError: It cannot be read as rows.
            InterruptedError: `is_stopped` said so.
        """
        if os.isatty(0):
            return None
        reading = self._sources.reading
        path = self._keep_once(reading, is_stopped)
        return open_table(path, reading, name=_STDIN_NAME).describe() if path.stat().st_size else None

    def _keep_once(self, reading: Reading, is_stopped: Callable[[], bool]) -> Path:
        """Return the file that holds what can be read only once."""
        self._folder = Path(tempfile.mkdtemp(prefix="leadconnector-"))
        path = self._folder / f"{_KEPT}.{reading.format}"
        if self._sources.query is not None:
            self._sources.query.keep_rows(path)
        else:
            self._keep_stdin(path, is_stopped)
        return path

    def _keep_stdin(self, path: Path, is_stopped: Callable[[], bool]) -> None:
        try:
            with open_anew(path, "wb") as file:
                while data := self._read_stdin(is_stopped):
                    file.write(data)
        except InterruptedError:
            raise
        except OSError as error:
            raise ConfigurationError(f"standard input: cannot be kept ({error.strerror or error})") from None

    def _read_stdin(self, is_stopped: Callable[[], bool]) -> bytes:
        # Only sockets can be waited for on Windows.
        while os.name != "nt" and not select.select([0], [], [], _LOOK_UP_SECONDS)[0]:
            if is_stopped():
                raise InterruptedError(0, "interrupted")
        return os.read(0, _READ_BYTES)

    def _check_options(self) -> None:
        """Refuse an option that is for no file."""
        reading = self._sources.reading
        kinds = {table.file.kind for table in self._tables}
        if reading.sheet is not None and kinds.isdisjoint(WORKBOOK_KINDS):
            raise ConfigurationError("`sheet` is for workbooks, and none of the files is one")
        if reading.encoding is not None and kinds.isdisjoint(TEXT_KINDS):
            raise ConfigurationError("`encoding` is for text files, and none of the files is one")
