"""The sandbox's data in a SQLite file, so that it can be started again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from ..errors import ConfigurationError
from ..private_file import keep_database_private
from .answers import Refusal
from .books import Records
from .shelves import Fields

_APPLICATION_ID: Final = 0x4C437331
_VERSION: Final = 1
_SCHEMA: Final = (
    "CREATE TABLE records (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL)",
    "CREATE UNIQUE INDEX names ON records (kind, id)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {_VERSION}",
)
_KEEP: Final = (
    "INSERT INTO records (kind, id, value) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value"
)
_FORGET: Final = "DELETE FROM records WHERE kind = ? AND id = ?"


class DataFile:
    """Writes each change to a file; each commit is with the operating system before it returns.

    So a process that is killed loses nothing that it committed; only a crash of the whole machine may cost the last
    commits (the file stays whole). One process at a time has the file.

    Args:
        path: The file; made where there is none.

    Raises:
        ConfigurationError: It is no such file, is in use, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._changed: dict[tuple[str, str], Fields | None] = {}
        self._db: sqlite3.Connection | None = _open(self._path)

    def open(self) -> None:
        """Open the file again after it was closed, and write what has changed meanwhile.

        Raises:
            ConfigurationError: As when it was made.
        """
        if self._db is None:
            self._db = _open(self._path)
            self.commit()

    def close(self) -> None:
        """Write what is to be written, and let the file go; twice does no harm."""
        if self._db is not None:
            try:
                self.commit()
            finally:
                self._db.close()
                self._db = None

    def note(self, kind: str, record_id: str, record: Fields | None) -> None:
        """Take down a record that is new or has changed, or is gone (None), for the next commit."""
        self._changed[kind, record_id] = record

    def commit(self) -> None:
        """Write what was noted.

        Raises:
            Refusal: 500, the file cannot be written; the next commit tries again.
        """
        if not self._changed or self._db is None:
            return
        kept = [(*name, msgspec.json.encode(each)) for name, each in self._changed.items() if each is not None]
        gone = [name for name, each in self._changed.items() if each is None]
        try:
            with self._db:
                self._db.execute("BEGIN")
                self._db.executemany(_FORGET, gone)
                self._db.executemany(_KEEP, kept)
        except sqlite3.Error as error:
            raise Refusal(500, f"the sandbox's data file cannot be written ({error})") from None
        self._changed.clear()

    def records(self) -> Iterator[tuple[str, Fields]]:
        """Yield all records, each with its kind, the oldest first.

        Raises:
            ConfigurationError: The file is damaged.
        """
        if self._db is None:
            return
        try:
            for kind, value in self._db.execute("SELECT kind, value FROM records ORDER BY number"):
                yield kind, msgspec.json.decode(value, type=dict)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise ConfigurationError(f"{self._path}: the sandbox's data is damaged ({error})") from None


def open_data(path: str | os.PathLike[str], records: Records) -> DataFile:
    """Load the records of a file, and keep the file up to date with what changes in them.

    Raises:
        ConfigurationError: It is no such file, is in use, is damaged, or cannot be written.
    """
    data = DataFile(path)
    try:
        records.load(data.records())
    except ConfigurationError:
        data.close()
        raise
    for shelf in records.shelves:
        shelf.watchers.append(data.note)
    return data


def _open(path: Path) -> sqlite3.Connection:
    try:
        keep_database_private(path)
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigurationError(f"{path}: the sandbox's data file cannot be opened ({reason})") from None
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        raise ConfigurationError(f"{path}: {_why_not_opened(error)}") from None
    except ConfigurationError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")  # the lock goes with the process
    _check_kind(db, path)  # before anything is changed
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # what is committed outlives the process, which is all that is promised
    db.execute("BEGIN IMMEDIATE")
    if _check_kind(db, path):
        for statement in _SCHEMA:
            db.execute(statement)
    db.execute("COMMIT")


def _check_kind(db: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database is new; refuse what is no data of a sandbox."""
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if kind == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        return True
    if kind != _APPLICATION_ID:
        raise ConfigurationError(f"{path}: is no data of a sandbox; name another file")
    if version != _VERSION:
        raise ConfigurationError(f"{path}: was made by another version of leadconnector-async; name another file")
    return False


def _why_not_opened(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return "another sandbox works on this data; stop it, or name another file"
    if "not a database" in text or "malformed" in text or "encrypted" in text:
        return f"is no data of a sandbox, or is damaged ({text}); name another file"
    return f"the sandbox's data file cannot be written ({text})"
