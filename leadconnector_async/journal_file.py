"""The file of a journal: one SQLite database, written ahead, in the hands of one process at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from .errors import ConfigurationError
from .private_file import keep_database_private
from .timeline import prepare_timeline
from .traces import prepare_traces

_APPLICATION_ID: Final = 0x4C436A31
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE load (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sittings (
    number INTEGER PRIMARY KEY,
    began_at REAL NOT NULL,
    concurrency INTEGER NOT NULL,
    server_began_at REAL,
    server_until REAL,
    rows_read INTEGER NOT NULL DEFAULT 0,
    has_ended INTEGER NOT NULL DEFAULT 0,
    reach INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE outcomes (
    row INTEGER PRIMARY KEY, state INTEGER NOT NULL, written INTEGER NOT NULL, hash BLOB NOT NULL, outcome BLOB NOT NULL
);
CREATE TABLE intents (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, at TEXT NOT NULL);
CREATE TABLE contacts (id TEXT PRIMARY KEY, row INTEGER NOT NULL, email INTEGER, phone INTEGER) WITHOUT ROWID;
CREATE TABLE delivered (written INTEGER NOT NULL);
INSERT INTO delivered VALUES (0);
"""


def open_journal_file(path: Path) -> sqlite3.Connection:
    """Open a journal, or make one where there is none.

    Raises:
        ConfigurationError: It is in use, cannot be written, or is something else, which is then left as it is; its
            `__cause__` is SQLite's error, where there was one.
    """
    try:
        keep_database_private(path)
        db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigurationError(f"{path}: the journal cannot be opened ({reason})") from error
    try:
        _prepare(db, path)
    except sqlite3.Error as error:
        db.close()
        raise ConfigurationError(f"{path}: {_why_not_opened(error)}") from error
    except ConfigurationError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # One process at a time, for as long as it is open; the lock goes with the process.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    _check_kind(db, path)  # before anything is changed
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("BEGIN IMMEDIATE")
    if _check_kind(db, path):
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    prepare_timeline(db)
    prepare_traces(db)
    db.execute("COMMIT")


def _check_kind(db: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database is new; refuse what is no journal of this version."""
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if kind == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        return True
    if kind != _APPLICATION_ID:
        raise ConfigurationError(f"{path}: is no journal of a load; name another file")
    if version != _VERSION:
        raise ConfigurationError(f"{path}: was made by another version of leadconnector-async; finish it there")
    return False


def _why_not_opened(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return "another process, or another load of this one, works on this journal; wait until it has ended"
    if "not a database" in text or "malformed" in text or "encrypted" in text:
        return f"is no journal of a load, or is damaged ({text}); name another file"
    return f"the journal cannot be written ({text})"
