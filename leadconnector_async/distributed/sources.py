"""What a load on a cluster reads: files, wherever all workers see them, or a dask.dataframe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ..migration.readers import find_files
from .extras import load_library


@runtime_checkable
class Frame(Protocol):
    """A dask.dataframe, as far as it is needed."""

    @property
    def columns(self) -> Iterable[object]:
        """The names of its columns."""

    @property
    def npartitions(self) -> int:
        """How many partitions it has."""

    def to_delayed(self) -> Sequence[Any]:
        """Return its partitions, each to be computed."""


Source: TypeAlias = "str | Path | Sequence[str | Path] | Frame"
"""A file, files, patterns of files (with an address of fsspec, too: `s3://bucket/*.parquet`), or a dask.dataframe."""


def find_parts(source: Source) -> list[str] | Frame:
    """Return the files of a source, each with its whole path or address, or the frame that it is.

    Raises:
        ConfigurationError: There are none, or it is neither.
    """
    if isinstance(source, Frame):
        return source
    given = [source] if isinstance(source, str | Path) else list(source)
    if not all(isinstance(one, str | Path) for one in given):
        raise ConfigurationError("a source is a file, a list of files, or a dask.dataframe")
    files = [file for one in given for file in _matches(str(one))]
    if not files:
        raise ConfigurationError("there is no file to load")
    return files


def _matches(name: str) -> list[str]:
    if urlsplit(name).password:
        raise ConfigurationError(
            "the address of a file holds a password, which would be seen on the cluster; leave it out, and have the "
            "workers find it in their environment"
        )
    if "://" not in name:
        return [str(path.resolve()) for path in find_files([Path(name)])]
    if not has_magic(name):
        return [name]
    fs, pattern = load_library("fsspec").core.url_to_fs(name)
    found = sorted(fs.unstrip_protocol(path) for path in fs.glob(pattern))
    if not found:
        raise ConfigurationError(f"{name}: there is no file that is called like that")
    return found


def describe_source(parts: list[str] | Frame) -> str:
    """Return what a source is known by when a load goes on: names and sizes of files, partitions and columns."""
    if isinstance(parts, Frame):
        return f"{parts.npartitions} partitions of {', '.join(map(str, parts.columns))}"
    return "\n".join(f"{file} {_size(file)}" for file in parts)


def _size(file: str) -> int:
    try:
        fs, path = load_library("fsspec").core.url_to_fs(file)
        return int(fs.size(path) or 0)
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file") from None
    except Exception as error:
        raise ConfigurationError(f"{file}: cannot be read ({type(error).__name__})") from None
