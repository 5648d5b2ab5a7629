"""Workbooks: Excel's kinds and OpenDocument. They are read into memory, which none of their formats avoids."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, Final

from ...errors import ConfigurationError
from .extras import load_library
from .file import File
from .table import MOST_ABOVE, IsHeader, Record, Table, about_above, cell_of, count_above

_MOST_BYTES: Final = 4 * 1024**3
_MOST_RATIO: Final = 500
_ALWAYS_BYTES: Final = 64 * 1024**2
"""What a workbook may become when it is unpacked. Equal cells become 100 times as large, bombs 1,000 times."""

_CHUNK_BYTES: Final = 1024 * 1024
_FORMULA: Final = re.compile(rb"<c([^<>]*)><f(?:[^<>]*/>|[^<>]*>[^<]*</f>)(?:<v ?/>|<v></v>)?</c>")


# Fails only where the library ends the process, or takes more memory than it may: other errors come again, and are told
# then. Where a system knows no such limit, the library finds the end of its memory by itself.
_TRIAL: Final = f"""
import os, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({_MOST_BYTES}, {_MOST_BYTES}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
from python_calamine import CalamineWorkbook, SheetVisibleEnum
try:
    with CalamineWorkbook.from_path(sys.argv[1]) as workbook:
        names, wanted = workbook.sheet_names, sys.argv[2]
        if wanted in names:
            chosen = [wanted]
        elif wanted.isdecimal() and 1 <= int(wanted) <= len(names):
            chosen = [names[int(wanted) - 1]]
        else:
            shown = SheetVisibleEnum.Visible
            chosen = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible == shown]
        for name in chosen:
            workbook.get_sheet_by_name(name)
except MemoryError:
    os._exit(1)
except BaseException:
    pass
"""


class WorkbookTable(Table):
    """One sheet of a workbook; its first row that is not empty is the header, or a later one that is known for one.

    Formula cells give what the program that wrote the file has stored for them, cells of errors nothing.

    Args:
        file: The file.
        sheet: The name of the sheet, or its number from 1; None for the first one that is shown and not empty.
        is_header: Tells the header from rows above it; None where the first row is the header.

    Raises:
        ConfigurationError: It cannot be read, or has no such sheet, or nothing stands there.
    """

    def __init__(self, file: File, sheet: str | None, is_header: IsHeader | None = None) -> None:
        self._library = load_library("python_calamine", f"{file.name}: a workbook")
        self.name = file.name
        self.notes: list[str] = []
        self.file = file
        if file.is_packed:
            raise ConfigurationError(f"{self.name}: a workbook is not read from a packed file; unpack it first")
        self._is_known = False
        self._check_size()
        self._try_elsewhere(sheet)
        self.part = self._choose(sheet)
        first = list(islice(self._filled(), MOST_ABOVE))
        if not first:
            raise ConfigurationError(f"{self.name}: is empty")
        above = count_above([cells for _, cells in first], is_header)
        self.notes += about_above([cells for _, cells in first[:above]])
        self._header_row, cells = first[above]
        self._width = max(position for position, cell in enumerate(cells, 1) if cell)
        self.check_width(self._width)
        self.columns = [name.strip() for name in cells[: self._width]]
        self._is_known = True

    def rows(self) -> Iterator[Record]:
        """Yield all rows that are not empty, with their numbers in the sheet."""
        for number, cells in self._filled():
            if number > self._header_row:
                yield Record(number, cells if any(cells[self._width :]) else cells[: self._width])

    def _filled(self) -> Iterator[tuple[int, list[str]]]:
        with self._open() as workbook:
            sheet = self._open_sheet(workbook, self.part)
            for number, values in enumerate(sheet.iter_rows(), 1):
                cells = [cell_of(value) for value in values]
                if any(map(str.strip, cells)):
                    yield number, cells

    def _open(self) -> Any:
        return self._guard(lambda: self._library.CalamineWorkbook.from_path(self.file.path))

    def _open_sheet(self, workbook: Any, name: str) -> Any:
        return self._guard(lambda: workbook.get_sheet_by_name(name))

    def _guard(self, work: Callable[[], Any]) -> Any:
        library = self._library
        try:
            # A second reading of what was read once has nothing to say, and others may speak meanwhile.
            with nullcontext() if self._is_known else _silence():
                return work()
        except library.PasswordError:
            raise ConfigurationError(f"{self.name}: is encrypted; save it without a password") from None
        except (library.CalamineError, library.WorksheetNotFound, OSError) as error:
            raise self._unreadable(error) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of the library; it has no name to import it by
                raise
            raise self._unreadable(ValueError("it is damaged")) from None

    def _unreadable(self, error: Exception) -> ConfigurationError:
        reason = " ".join(str(error).split())
        return ConfigurationError(f"{self.name}: cannot be read as a workbook ({reason})")

    def _try_elsewhere(self, wanted: str | None) -> None:
        """Read the sheets in a process of their own before this one does.

        The library keeps a place for each cell from the first to the last: a single cell in a far corner takes more
        memory than there is, and then it ends the process, as it does at some damage.

        Raises:
            ConfigurationError: The other process did not survive it.
        """
        command = [sys.executable, "-P", "-c", _TRIAL, str(self.file.path.absolute()), wanted or ""]
        trial = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own text
        if trial.returncode:
            sentence = "a cell stands too far from the others, or it is damaged; save its sheet as CSV"
            raise ConfigurationError(f"{self.name}: cannot be read as a workbook ({sentence})")

    def _choose(self, wanted: str | None) -> str:
        with self._open() as workbook:
            names: list[str] = workbook.sheet_names
            if wanted is not None:
                return self._named(wanted, names)
            visible = self._library.SheetVisibleEnum.Visible
            shown = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible == visible]
            filled = [name for name in shown if self._open_sheet(workbook, name).end is not None]
        if not filled:
            raise ConfigurationError(f"{self.name}: no sheet that is shown holds anything; name one (`sheet`)")
        if len(filled) > 1:
            others = ", ".join(map(repr, filled[1:6]))
            self.notes.append(f"the sheet {filled[0]!r} is read (there are {others}; `sheet` chooses another)")
        return str(filled[0])

    def _named(self, wanted: str, names: list[str]) -> str:
        if wanted in names:
            return wanted
        if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
            return names[int(wanted) - 1]
        there = ", ".join(map(repr, names[:12]))
        raise ConfigurationError(f"{self.name}: has no sheet {wanted!r}; there are {there}")

    def _check_size(self) -> None:
        """Unpack a workbook once without keeping it, as the library would keep whatever a bomb becomes."""
        try:
            if not zipfile.is_zipfile(self.file.path):
                return
            with zipfile.ZipFile(self.file.path) as archive:
                _refuse_bomb(self.file, archive)
                count = sum(_count_bare_formulas(archive, member) for member in archive.infolist())
        except self.file.damages as error:
            raise self.file.unreadable(error) from None
        if count:
            self.notes.append(
                f"{count} formula cells have no stored value and are read as empty; "
                "open it in Excel or LibreOffice and save it to have them"
            )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what the library says of a damaged file, which goes past Python, off stderr."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _refuse_bomb(file: File, archive: zipfile.ZipFile) -> None:
    """Refuse an archive that says itself that it grows too large; what lies about it fails by its checksums."""
    size = sum(member.file_size for member in archive.infolist())
    if size > _ALWAYS_BYTES and size > min(_MOST_BYTES, file.path.stat().st_size * _MOST_RATIO):
        sentence = (
            f"would take {size // 1024**2} MB of memory, which no export does; save its sheet as CSV if you trust it"
        )
        raise ConfigurationError(f"{file.name}: {sentence}")


def _count_bare_formulas(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Read a member to its end, and count its formula cells that the writing program has left without a value."""
    count = 0
    is_sheet = member.filename.startswith("xl/worksheets/")
    rest = b""
    with archive.open(member) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            if is_sheet:
                text = rest + chunk
                cut = text.rfind(b"</c>") + 4  # a cell may go on in the next chunk
                count += sum(b't="str"' not in found[1] for found in _FORMULA.finditer(text, 0, max(cut, 0)))
                rest = text[max(cut, 0) :][-_CHUNK_BYTES:]
    return count
