"""The folder of a run: one database, and the result files beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from ..private_file import check_own_folder, keep_files_private, keep_folder_private, make_private_folder
from .database import Database

RUN_FILE: Final = "run.sqlite3"
_DRAFT: Final = "run.sqlite3.part"
_FIRST_VERSION_FILE: Final = "journal.sqlite3"
_DATABASE_FILES: Final = ("", "-wal", "-shm", "-journal")
# What a run writes, by all before the first dot.
_OF_RUNS: Final = frozenset(
    "run report succeeded failed skipped not_applied collisions problems verify undo input".split()
)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, be it of an earlier version."""
    return any((folder / name).exists() for name in (RUN_FILE, f"{RUN_FILE}-wal", _FIRST_VERSION_FILE))


def make_folder(folder: Path) -> None:
    """Make the folder of a new run.

    Raises:
        ConfigurationError: It cannot be used, or holds something.
    """
    try:
        make_private_folder(folder)
        check_own_folder(folder)
        _remove(folder, _DRAFT)  # of a preparation that was cut off
        if any(folder.iterdir()):
            more = ", or go on with the run in it (`Migration.open`)" if is_run(folder) else ""
            raise ConfigurationError(f"{folder}: is not empty; name a new folder for the results (`folder`){more}")
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot hold the results ({error.strerror or error})") from None


def open_draft(folder: Path) -> Database:
    """Begin the database of a run that is being prepared. It is no run before `finish_draft`.

    Raises:
        ConfigurationError: It cannot be written, or another process prepares this run.
    """
    return Database(folder / _DRAFT, is_draft=True)


def finish_draft(folder: Path, draft: Database) -> Database:
    """Make a draft, all of which is written, the run of a folder, and open it as that.

    Raises:
        ConfigurationError: It cannot be written.
    """
    draft.close()
    try:
        with (folder / _DRAFT).open("rb+") as file:
            os.fsync(file.fileno())
        (folder / _DRAFT).rename(folder / RUN_FILE)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot hold the run ({error.strerror or error})") from None
    return Database(folder / RUN_FILE)


def open_run(folder: Path) -> Database:
    """Open the database of a run, and take the rights of others from its files.

    Raises:
        ConfigurationError: The folder holds no run; or as of `Database`.
    """
    if not (folder / RUN_FILE).exists():
        if (folder / _FIRST_VERSION_FILE).exists():
            raise ConfigurationError(
                f"{folder}: was made by version 0.1 of leadconnector-async; finish it with that version"
            )
        if is_run(folder):
            raise ConfigurationError(f"{folder / RUN_FILE}: is missing; restore a complete copy of the run")
        raise ConfigurationError(f"{folder}: holds no run; name the folder that the load wrote (`folder`)")
    try:
        check_own_folder(folder)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be used ({error.strerror or error})") from None
    database = Database(folder / RUN_FILE)
    try:
        _keep_private(folder)
    except OSError as error:
        database.close()
        raise ConfigurationError(f"{folder}: cannot be kept private ({error.strerror or error})") from None
    return database


def discard_folder(folder: Path) -> None:
    """Remove a run that was not begun; what is not of the run stays."""
    for name in (RUN_FILE, _DRAFT):
        _remove(folder, name)
    with suppress(OSError):
        folder.rmdir()


def _remove(folder: Path, name: str) -> None:
    for ending in _DATABASE_FILES:
        (folder / f"{name}{ending}").unlink(missing_ok=True)


def _keep_private(folder: Path) -> None:
    """Take the rights of others from a run that is used again: from its files, and from its folder, unless that holds
    anything else, so that others may have business there.

    Raises:
        OSError: Something belongs to somebody else.
    """
    keep_files_private(folder)
    if all(path.name.partition(".")[0] in _OF_RUNS for path in folder.iterdir()):
        keep_folder_private(folder)
