"""The folder of a run that all workers can reach: on a shared disk or in an object store, through fsspec.

Each object is written once, as a whole. None is appended to, locked, or renamed by two processes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from ..errors import ConfigurationError, JournalError
from ..migration.tables import extras
from ..private_file import make_private_folder

# ---------------------------------------------------------------------------------------------- libraries


def load_cluster_library(module: str) -> Any:
    """Import a library of the extra `dask`.

    Args:
        module: Its name.

    Raises:
        ConfigurationError: It is not installed.
    """
    return extras.load_library(module, "a load on a cluster", extra="dask", where=", here and on each worker")


_DIGEST_BYTES: Final = 8
_Object = TypeVar("_Object")


class Store:
    """A folder that all workers see.

    Args:
        url: Where it is, as fsspec writes it: a path, `s3://bucket/folder`, ... Credentials are none of it: each worker
            has them in its own environment.

    Attributes:
        url: The same; a path is a whole one.

    Raises:
        ConfigurationError: It cannot be used.
    """

    def __init__(self, url: str) -> None:
        if urlsplit(url).password:
            raise ConfigurationError(
                "the address of the results holds a password, which the whole cluster could read; leave it out, and "
                "set it in the environment of the workers"
            )
        fsspec = load_cluster_library("fsspec")
        self.url = url if "://" in url else str(Path(url).resolve())
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"{self.url}: cannot be used for results ({error})") from None
        self._is_local = "file" in _protocols(self._fs)

    def path(self, name: str) -> str:
        """Return the whole address of what is called so, for messages."""
        return f"{self.url.rstrip('/')}/{name}"

    def _inside(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Write an object; it is there whole and on disk when this returns, or not at all.

        Raises:
            JournalError: It could not be written.
        """
        with self._guarded(name, "written"):
            if self._is_local:
                _write_file(Path(self._inside(name)), data)
            else:
                self._make_folder(name)
                self._fs.pipe_file(self._inside(name), data)

    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine there, as `write`."""
        with self._guarded(name, "written"):
            if self._is_local:
                _place_file(Path(self._inside(name)), lambda part: shutil.copyfile(path, part))
            else:
                self._make_folder(name)
                self._fs.put_file(str(path), self._inside(name))

    def _make_folder(self, name: str) -> None:
        self._fs.makedirs(self._inside(name).rpartition("/")[0], exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """Return an object, or None where there is none.

        Raises:
            JournalError: It could not be read.
        """
        with self._guarded(name, "read"):
            try:
                data: bytes = self._fs.cat_file(self._inside(name))
                return data
            except FileNotFoundError:
                return None

    def decode(self, name: str, kind: type[_Object]) -> _Object | None:
        """Return what an object of JSON holds, or None where there is none.

        Raises:
            JournalError: It could not be read, or is damaged.
        """
        data = self.read(name)
        try:
            return None if data is None else msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalError(f"{self.path(name)}: is damaged ({error}); load into a new folder") from None

    def fetch(self, name: str, path: Path) -> None:
        """Copy an object to a file of this machine.

        Raises:
            JournalError: It could not be read.
        """
        with self._guarded(name, "read"):
            self._fs.get_file(self._inside(name), str(path))

    def remove(self, name: str) -> None:
        """Remove an object.

        Raises:
            JournalError: It could not be removed.
        """
        with self._guarded(name, "removed"):
            self._fs.rm_file(self._inside(name))

    def clear(self, *, but: Collection[str] = ()) -> None:
        """Remove what is there, and the folder where it is one of this machine and nothing is left in it.

        Args:
            but: Names right below the folder that stay.

        Raises:
            JournalError: It could not be removed.
        """
        for name in set(self.names("")) - set(but):
            with self._guarded(name, "removed"):
                self._fs.rm(self._inside(name), recursive=True)
        if self._is_local:
            with suppress(OSError):  # it is not empty
                Path(self._root).rmdir()

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects right below a folder, sorted; none where there is no such folder.

        Raises:
            JournalError: It could not be read.
        """
        with self._guarded(folder, "read"):
            try:
                found = self._fs.ls(self._inside(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(name for path in found if (name := path.rstrip("/").rpartition("/")[2])[:1] != ".")

    @contextmanager
    def _guarded(self, name: str, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each kind of store has its own
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise JournalError(f"{self.path(name)}: cannot be {what} ({reason})") from None


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _write_file(path: Path, data: bytes) -> None:
    def write(part: Path) -> None:
        part.write_bytes(data)

    _place_file(path, write)


def _place_file(path: Path, write: Any) -> None:
    """Write a file beside its place, have it on disk, and move it there."""
    make_private_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        _sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name != "nt":  # folders cannot be opened there
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def seal(data: bytes) -> bytes:
    """Put a checksum before data, by which an object that was cut off is recognised."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest() + data


def unseal(sealed: bytes) -> bytes | None:
    """Return the data, or None where it is not whole."""
    digest, data = sealed[:_DIGEST_BYTES], sealed[_DIGEST_BYTES:]
    return data if blake2b(data, digest_size=_DIGEST_BYTES).digest() == digest else None


def name_of(location_id: str) -> str:
    """Return what a location is called in the store: no two locations share a name on any disk, and none is a path."""
    readable = "".join(char for char in location_id if char.isascii() and char.isalnum())[:32]
    return f"{readable}-{blake2b(location_id.encode(errors='replace'), digest_size=6).hexdigest()}"
