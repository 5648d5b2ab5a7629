"""Bytes put aside on this machine, so that memory does not grow with them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Final

from ..errors import JournalError

_IN_MEMORY: Final = 1 << 18  # bytes; outcomes of a location of usual size, so that it needs no file
_SIZE: Final = Struct("<I")


class Spool:
    """Pieces of bytes, each found again by its place.

    They stay in memory while they are few. After that they are in a file without a name, which the system removes when
    the process ends, however it ends.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (`close` closes it)
        self._lock = threading.Lock()
        self._end = 0
        self._is_at_end = True

    def add(self, data: bytes) -> int:
        """Put bytes aside, and return their place.

        Raises:
            JournalError: The disk is full, or cannot be written.
        """
        with self._lock, _guarded():
            if not self._is_at_end:
                self._file.seek(self._end)
            self._is_at_end = False  # nor is it where the write fails
            self._file.write(_SIZE.pack(len(data)) + data)
            self._is_at_end = True
            place, self._end = self._end, self._end + _SIZE.size + len(data)
            return place

    def get(self, place: int) -> bytes:
        """Return what was put aside.

        Raises:
            JournalError: It cannot be read.
        """
        with self._lock, _guarded():
            self._is_at_end = False
            self._file.seek(place)
            (size,) = _SIZE.unpack(self._file.read(_SIZE.size))
            return self._file.read(size)

    def close(self) -> None:
        """Let go of it all. May be called twice."""
        with self._lock:
            self._file.close()


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # a ValueError where it is closed
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise JournalError(f"{tempfile.gettempdir()}: cannot hold the temporary files of a load ({reason})") from error
