"""A file as bytes, unpacked on the way, and never taken for whole where it is cut."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final, cast

from ...errors import ConfigurationError
from ...protocol.text import count_of
from .extras import load_library

_BUFFER_BYTES: Final = 256 * 1024
_MOST_RATIO: Final = 200
_MOST_BYTES: Final = 64 * 1024**3
_ALWAYS_BYTES: Final = 64 * 1024**2
"""A packed file may become `_MOST_RATIO` times as large and at most `_MOST_BYTES`; up to `_ALWAYS_BYTES` nobody asks.

Exports become 5 to 30 times as large, bombs a thousand times and more.
"""

_DAMAGES: Final[tuple[type[Exception], ...]] = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,  # a way of packing that the library does not know
)


class File:
    """A file that a table is read from.

    Args:
        path: Where it is.
        name: How messages call it, if not by its path.
        kind: The kind of its content as a suffix (`.csv`), where its name does not tell.

    Attributes:
        path: Where it is; it may be moved between two readings.
        name: How messages call it.
        kind: The kind of its content as a suffix, packing left out.
        is_packed: Whether it is to be unpacked.
        damages: What reading it may raise.

    Raises:
        ConfigurationError: There is no such file, or it cannot be opened.
    """

    def __init__(self, path: Path, *, name: str | None = None, kind: str | None = None) -> None:
        self.path = path
        self.name = str(path) if name is None else name
        self._packing = path.suffix.lower() if path.suffix.lower() in _PACKINGS else ""
        self.is_packed = bool(self._packing)
        self.damages = _DAMAGES
        self._check()
        self.kind = kind or Path(self._name_inside()).suffix.lower()

    def open(self) -> IO[bytes]:
        """Open its content.

        Raises:
            ConfigurationError: It cannot be read, and likewise later from what is returned, where it is cut or damaged.
        """
        return io.BufferedReader(_Guarded(self), _BUFFER_BYTES)

    def open_unpacked(self) -> IO[bytes]:
        """Open its content without guarding it."""
        return _PACKINGS[self._packing](self) if self._packing else self.path.open("rb")

    def start(self, size: int) -> bytes:
        """Return its first bytes."""
        with self.open() as file:
            return file.read(size)

    def describe(self) -> list[int | str]:
        """Return what its content is known by: its size and its SHA-256."""
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                return [file.tell(), digest.hexdigest()]
        except OSError as error:
            raise self.unreadable(error) from None

    def unreadable(self, error: Exception) -> ConfigurationError:
        """Say that it cannot be read."""
        if isinstance(error, FileNotFoundError):
            return ConfigurationError(f"{self.name}: there is no such file")
        if isinstance(error, OSError) and error.errno is not None:
            return ConfigurationError(f"{self.name}: cannot be read ({error.strerror})")
        what = "cut off or damaged" if self.is_packed else "not to be read"
        return ConfigurationError(f"{self.name}: is {what} ({error}); none of it can be trusted, so export it again")

    def _check(self) -> None:
        try:
            mode = self.path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise ConfigurationError(
                    f"{self.name}: is a folder, not a file; name its files, such as '{self.path}/*.csv'"
                )
            if not stat.S_ISREG(mode):
                raise ConfigurationError(
                    f"{self.name}: is a pipe or device, not a file; send it to the standard input of `-`"
                )
            self.path.open("rb").close()
        except OSError as error:
            raise self.unreadable(error) from None

    def _name_inside(self) -> str:
        if self._packing != ".zip":
            return self.path.stem if self._packing else self.path.name
        try:
            with zipfile.ZipFile(self.path) as archive:
                return self.member(archive).filename
        except (zipfile.BadZipFile, OSError) as error:
            raise self.unreadable(error) from None

    def member(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        """Return the one file of an archive.

        Raises:
            ConfigurationError: It has several, or none, or the one is encrypted.
        """
        members = [one for one in archive.infolist() if not one.is_dir() and not _is_litter(one.filename)]
        if len(members) != 1:
            raise ConfigurationError(
                f"{self.name}: holds {count_of(len(members), 'file')} and must hold one; unpack it, and name its files"
            )
        if members[0].flag_bits & 1:
            raise ConfigurationError(f"{self.name}: is encrypted; unpack it first")
        return members[0]


def _is_litter(name: str) -> bool:
    """Whether a file of an archive is one that a system adds by itself."""
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1] in (".DS_Store", "Thumbs.db")


class _Guarded(io.RawIOBase):
    """Bytes of a file; what goes wrong is one clear sentence, and a bomb is let go of before it goes off."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._taken = 0
        try:
            self._most = file.path.stat().st_size * _MOST_RATIO
            self._stream = file.open_unpacked()
        except file.damages as error:
            raise file.unreadable(error) from None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except self._file.damages as error:
            raise self._file.unreadable(error) from None
        buffer[: len(data)] = data
        self._taken += len(data)
        if self._file.is_packed and self._taken > _ALWAYS_BYTES:
            self._check_size()
        return len(data)

    def _check_size(self) -> None:
        if self._taken > min(self._most, _MOST_BYTES):
            sentence = f"becomes more than {_MOST_RATIO} times as large as it is, which no export does"
            raise ConfigurationError(f"{self._file.name}: {sentence}; unpack it yourself if you trust it")

    def close(self) -> None:
        if not self.closed:
            stream = getattr(self, "_stream", None)
            if stream is not None:
                stream.close()
        super().close()


def _open_zip(file: File) -> IO[bytes]:
    archive = zipfile.ZipFile(file.path)
    member = archive.open(file.member(archive))
    archive.close()  # the member keeps the file open for as long as it is read
    return member


def _open_zstd(file: File) -> IO[bytes]:
    purpose = f"{file.name}: Zstandard"
    try:
        zstd = load_library("compression.zstd", purpose)
    except ConfigurationError:
        zstd = load_library("backports.zstd", purpose)
    file.damages = (*_DAMAGES, zstd.ZstdError)
    stream: IO[bytes] = zstd.open(file.path, "rb")
    return stream


def _open_gzip(file: File) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file.path, "rb"))


def _open_bzip2(file: File) -> IO[bytes]:
    return bz2.open(file.path, "rb")


def _open_xz(file: File) -> IO[bytes]:
    return lzma.open(file.path, "rb")


_PACKINGS: Final[dict[str, Callable[[File], IO[bytes]]]] = {
    ".gz": _open_gzip,
    ".bz2": _open_bzip2,
    ".xz": _open_xz,
    ".zst": _open_zstd,
    ".zip": _open_zip,
}
PACKINGS: Final = tuple(_PACKINGS)
