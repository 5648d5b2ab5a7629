"""Stores for logins: in memory, in a SQLite file, or in the system's keyring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from ..errors import ConfigurationError, TokenStoreError
from ..private_file import check_private, make_private, take_lock

if TYPE_CHECKING:
    import sqlite3

_APPLICATION_ID: Final = 0x4C43746B
_BUSY_SECONDS: Final = 5.0
_LOCK_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05
_KEYRING_SERVICE: Final = "leadconnector-async"


class TokenStore(Protocol):
    """Keeps values by key. They hold secrets, in a form of this package's own.

    Two methods make a store. Where several processes share it, it should be a `LockingTokenStore`.
    """

    async def load(self, key: str) -> bytes | None:
        """Return the value of a key, or None where there is none.

        Raises:
            TokenStoreError: It cannot be read.
        """

    async def save(self, key: str, value: bytes | None) -> None:
        """Keep a value durably, in place of the one before; None forgets it. Once this returns, a crash loses nothing.

        Raises:
            TokenStoreError: It was not kept; what was there before still is.
        """


@runtime_checkable
class LockingTokenStore(TokenStore, Protocol):
    """A store that several processes share."""

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Keep all others, in whatever process, out of the same lock. The end of a process must free it.

        Raises:
            TokenStoreError: It did not come free in good time.
        """


class MemoryTokenStore:
    """Keeps logins as long as the process lives."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<MemoryTokenStore of {len(getattr(self, '_values', ()))}>"

    async def load(self, key: str) -> bytes | None:
        """Return the value of a key, or None."""
        return self._values.get(key)

    async def save(self, key: str, value: bytes | None) -> None:
        """Keep a value, or forget it."""
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value


class SQLiteTokenStore:
    """Keeps logins in a SQLite file that its owner alone can read; any number of processes may share it.

    Args:
        path: The file. It is made where it is not there, with mode 0600; its folder must be there. Locks lie beside it,
            in files of that name and `-lock`.
        lock_timeout: How long to wait for another process that is renewing the same login, in seconds.

    Raises:
        TokenStoreError: Others can read the file, or it is a link or none of this kind; it was left as it is. (Where
            permissions are not those of Unix, they are not looked at.)
    """

    def __init__(self, path: str | Path, *, lock_timeout: float = _LOCK_SECONDS) -> None:
        self.path = Path(path)
        self._lock_timeout = lock_timeout
        make_private(self.path)
        with closing(self._open()):
            pass

    def __repr__(self) -> str:
        return f"SQLiteTokenStore({str(getattr(self, 'path', None))!r})"

    async def load(self, key: str) -> bytes | None:
        """Return the value of a key, or None."""
        return await asyncio.to_thread(self._load, key)

    async def save(self, key: str, value: bytes | None) -> None:
        """Keep a value on disk, or forget it."""
        # The thread goes on where the caller is cancelled: what was to be kept is kept.
        await asyncio.to_thread(self._save, key, value)

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Keep all others out of the same lock, also those of other processes."""
        async with _hold_lock(self.path, key, self._lock_timeout):
            yield

    def _load(self, key: str) -> bytes | None:
        with closing(self._open()) as db, _sqlite_errors(self.path):
            row = db.execute("SELECT value FROM logins WHERE key = ?", (key,)).fetchone()
            return None if row is None else bytes(row[0])

    def _save(self, key: str, value: bytes | None) -> None:
        with closing(self._open()) as db, _sqlite_errors(self.path):
            if value is None:
                db.execute("DELETE FROM logins WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO logins VALUES (?, ?)", (key, value))

    def _open(self) -> sqlite3.Connection:
        import sqlite3  # when a store is opened: few programs have one

        check_private(self.path)
        with _sqlite_errors(self.path):
            db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                _prepare(db, self.path)
            except BaseException:
                db.close()
                raise
        return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA synchronous = EXTRA")
    db.execute("PRAGMA secure_delete = ON")  # a token that was replaced is gone from the file, too
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    if kind == _APPLICATION_ID:
        return
    db.execute("BEGIN IMMEDIATE")
    (kind,) = db.execute("PRAGMA application_id").fetchone()
    if kind != _APPLICATION_ID:  # nobody else made it meanwhile
        if kind or db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise TokenStoreError(f"{path}: is no store of tokens; name another file")
        db.execute("CREATE TABLE logins (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    db.execute("COMMIT")


class _sqlite_errors:  # noqa: N801  (reads as what it does)
    """Turns SQLite's errors into one clear sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import sqlite3

        if isinstance(error, sqlite3.Error):
            raise TokenStoreError(f"{self._path}: {_why(error)}") from None


def _why(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text:
        return "another process keeps this store of tokens locked; end it, or wait until it is done"
    if "not a database" in text or "malformed" in text or "no such table" in text or "no such column" in text:
        return "is no store of tokens, or is damaged; move it away, and log in again"
    return f"the store of tokens cannot be read or written ({text})"


@asynccontextmanager
async def _hold_lock(path: Path, key: str, seconds: float) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (held := take_lock(path, key)) is None:
        if loop.time() >= until:
            raise TokenStoreError(f"{path}: another process has been renewing this login for {seconds:.0f} s; end it")
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        held.close()


class KeyringTokenStore:
    """Keeps logins in the system's keyring (extra `keyring`).

    Args:
        lock_file: A file in a folder of the user's, for the locks that keep two processes from renewing one login at
            once; None where only one process uses these logins.

    Raises:
        ConfigurationError: The package `keyring` is missing, or the system has no keyring that it knows.
    """

    def __init__(self, *, lock_file: str | Path | None = None) -> None:
        try:
            import keyring
            from keyring.backends import fail
        except ModuleNotFoundError:
            raise ConfigurationError(
                "the keyring needs one more package: pip install 'leadconnector-async[keyring]'"
            ) from None
        if isinstance(keyring.get_keyring(), fail.Keyring):
            raise ConfigurationError("this system has no keyring; keep the login in a file (`SQLiteTokenStore`)")
        self._keyring = keyring
        self._lock_file = None if lock_file is None else Path(lock_file)

    def __repr__(self) -> str:
        return "KeyringTokenStore()"

    async def load(self, key: str) -> bytes | None:
        """Return the value of a key, or None."""
        value: str | None = await asyncio.to_thread(self._do, "get_password", key)
        return None if value is None else value.encode()

    async def save(self, key: str, value: bytes | None) -> None:
        """Keep a value, or forget it."""
        if value is not None:
            await asyncio.to_thread(self._do, "set_password", key, value.decode())
        elif await self.load(key) is not None:
            await asyncio.to_thread(self._do, "delete_password", key)

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Keep all others out of the same lock, where there is a file for it."""
        if self._lock_file is None:
            yield
            return
        async with _hold_lock(self._lock_file, key, _LOCK_SECONDS):
            yield

    def _do(self, name: str, *arguments: str) -> Any:
        from keyring.errors import KeyringError

        try:
            return getattr(self._keyring, name)(_KEYRING_SERVICE, *arguments)
        except (KeyringError, OSError) as error:
            # Its text may come from anywhere, and is not repeated.
            raise TokenStoreError(
                f"the system's keyring cannot be used ({type(error).__name__}); unlock it, or keep the login in a file"
            ) from None
