"""Files that hold secrets: their owner's alone; and locks between processes."""

from __future__ import annotations

import os
import sqlite3
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

from .errors import TokenStoreError

_OTHERS: Final = 0o077
_LOCKS: Final = 16  # so many keys can be locked at once; two that fall together wait for each other


def make_private(path: Path) -> None:
    """Make an empty file with mode 0600, where there is none.

    Raises:
        TokenStoreError: It cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise TokenStoreError(f"{path}: cannot be made ({error.strerror})") from None


def check_private(path: Path) -> None:
    """Refuse what is no file of the user's own, or what others can read.

    Raises:
        TokenStoreError: The sentence says what to do.
    """
    try:
        status = path.lstat()
    except OSError as error:
        raise TokenStoreError(f"{path}: cannot be used as a store of tokens ({error.strerror})") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a link" if stat.S_ISLNK(status.st_mode) else "no plain file"
        raise TokenStoreError(f"{path}: is {kind}, and no place for tokens; name a file of your own")
    if os.name == "nt":  # modes mean little there, and a new file is its owner's
        return
    if status.st_uid != os.geteuid():
        raise TokenStoreError(f"{path}: belongs to another user, and is no place for tokens; name a file of your own")
    if status.st_mode & _OTHERS:
        raise TokenStoreError(
            f"{path}: others can read it (mode {stat.S_IMODE(status.st_mode):04o}); if it is yours, chmod 600 it, and "
            "log in again where somebody may have read it"
        )


class Lock:
    """A lock that is held until it is closed, or the process ends."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def close(self) -> None:
        """Let others in."""
        self._db.close()


def take_lock(path: Path, key: str) -> Lock | None:
    """Take the lock of a key, beside a file, or return None where somebody has it.

    It is the lock of an empty SQLite database: held by the operating system on each platform, and free again when the
    process ends, however it does. It neither blocks nor waits.

    Raises:
        TokenStoreError: The file of the lock cannot be made.
    """
    lock = path.with_name(f"{path.name}-lock{sha256(key.encode()).digest()[0] % _LOCKS:x}")
    make_private(lock)
    check_private(lock)
    db = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        db.close()
        if "locked" in str(error):
            return None
        raise TokenStoreError(f"{lock}: cannot be locked ({error})") from None
    except sqlite3.DatabaseError as error:
        db.close()
        raise TokenStoreError(f"{lock}: is no lock of a store of tokens ({error}); remove it") from None
    return Lock(db)
