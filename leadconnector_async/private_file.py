"""Files and folders for their owner alone, whatever the umask; disks that can hold a database; locks between processes.

Runs, journals, exports and reports hold people's data, and stores of tokens hold secrets. All of them are made here:
with mode 0600, in folders of mode 0700, and never through a link that somebody else has laid where the file is to be.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from weakref import WeakSet

from .errors import ConfigurationError, TokenStoreError

if TYPE_CHECKING:
    import sqlite3

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_OTHERS: Final = 0o077
_READ_BY_OTHERS: Final = stat.S_IRGRP | stat.S_IROTH
_MOST_SECRET_CHARS: Final = 65_536
_TRY_AGAIN_SECONDS: Final = 0.005  # where the system cannot wait for a lock
_LOCKS: Final = 16  # so many keys can be locked at once; two that fall together wait for each other
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
_DATABASE_FILES: Final = ("", "-wal", "-shm", "-journal")
_MOUNTS: Final = Path("/proc/self/mountinfo")  # Linux alone has it
_NETWORK_DISKS: Final = frozenset(  # kinds of file systems; those of FUSE without `fuse.`
    "9p afs beegfs ceph cifs coda gcsfuse glusterfs goofys gpfs juicefs lustre mount-s3 mountpoint-s3 ncpfs nfs nfs4"
    " orangefs pvfs2 rclone s3fs smb2 smb3 smbfs sshfs".split()
)


def make_private_folder(path: Path) -> None:
    """Make a folder with mode 0700, and those above it that are missing. One that is there is left as it is.

    Raises:
        OSError: It cannot be made.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_private_folder(path.parent)
    path.mkdir(mode=_FOLDER, exist_ok=True)


def create_private(path: Path) -> int:
    """Make a file with mode 0600 that is not there yet, and return its descriptor, to be written.

    Raises:
        FileExistsError: Something is there, be it a link that leads nowhere.
        OSError: It cannot be made.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK, _FILE)
    _set_mode(file)
    return file


def _set_mode(file: int) -> None:
    if os.name != "nt":  # modes mean little there, and a new file is its owner's
        os.fchmod(file, _FILE)  # an odd umask may have taken rights of the owner


def open_anew(path: Path, mode: str = "w", **options: Any) -> IO[Any]:
    """Open a new private file for writing; what was there under its name is removed, and a link is not followed.

    Args:
        path: Where.
        mode: As of `open`: `w` or `wb`.
        options: As of `open`.

    Raises:
        OSError: It cannot be made.
    """
    path.unlink(missing_ok=True)
    return open(create_private(path), mode, **options)


def write_new(path: Path, content: bytes | str) -> None:
    """Write a private file that is not there yet; text as UTF-8.

    Raises:
        FileExistsError: Something is there, be it a link that leads nowhere.
        OSError: It cannot be written.
    """
    with open(create_private(path), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def put_in_place(part: Path, path: Path) -> None:
    """Give a finished file its name, where nothing has it yet.

    Raises:
        FileExistsError: Something is there, be it a link that leads nowhere. The file keeps its old name.
        OSError: It cannot be done.
    """
    try:
        os.link(part, path, follow_symlinks=False)  # a rename would overwrite what came there meanwhile
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a disk without links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.rename(path)
    else:
        part.unlink()


def open_again(path: Path) -> IO[bytes]:
    """Open a private file that is there to be read and written, and no link in its place.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    return open(os.open(path, os.O_RDWR | _NO_LINK), "r+b")


def check_own_folder(folder: Path) -> None:
    """Refuse a folder of somebody else: they could read what is written there, and lay links in its place.

    Raises:
        PermissionError: It, or the link that leads to it, belongs to another user.
    """
    if os.name == "nt":
        return
    for status in (folder.lstat(), folder.stat()):
        if status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it belongs to another user; name a folder of your own", str(folder))


@contextmanager
def replacing(path: Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Write a private file beside a path, and put it there when it is whole; where that fails, the old one stays.

    Args:
        path: Where it goes.
        mode: As of `open`: `w` or `wb`.
        options: As of `open`.

    Raises:
        OSError: It cannot be written.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    part = path.with_name(f"{path.name}.part")
    try:
        with open_anew(part, mode, **options) as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_private(path: Path, content: bytes | str) -> None:
    """Write a private file in the place of what is there; text as UTF-8.

    Raises:
        OSError: It cannot be written; the old one is still there.
    """
    with replacing(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def keep_database_private(path: Path) -> None:
    """See to it that a SQLite database is private before it is opened: make its file, or take the rights of others.

    The files that SQLite lays beside it get its mode. One that is there is not opened here: closing it would drop the
    locks that this process has on it.

    Raises:
        OSError: It cannot be made or changed, or is a link.
    """
    try:
        os.close(create_private(path))
    except FileExistsError:
        for ending in _DATABASE_FILES:
            _take_rights_of_others(path.with_name(path.name + ending))


def refuse_network_disk(path: Path) -> None:
    """Refuse a database on a disk of the network, where that can be told: on Linux.

    SQLite relies on locks that hold and on writes that are on disk when they are said to be. Over a network neither is
    certain: two processes could send the same rows, and what was written could be gone after a crash.

    Raises:
        ConfigurationError: It is on such a disk.
    """
    kind = _kind_of_disk(path.parent)
    if kind.removeprefix("fuse.") in _NETWORK_DISKS:
        raise ConfigurationError(
            f"{path}: is on a network disk ({kind}), where a database is not safe; name a place on a disk of this "
            "machine"
        )


def _kind_of_disk(folder: Path) -> str:
    """Return the kind of file system that a folder is on; empty where that cannot be told."""
    try:
        device = folder.stat().st_dev
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"  # rather than the path, which links and mounts over it hide
    for line in mounts.splitlines():
        where, _, what = line.partition(" - ")
        if where.split(" ", 3)[2:3] == [number]:
            return what.partition(" ")[0]
    return ""


def keep_files_private(folder: Path) -> None:
    """Take the rights of others from the files in a folder, as an earlier version left them some.

    Raises:
        OSError: One belongs to somebody else.
    """
    for path in folder.iterdir():
        if not path.is_symlink():
            _take_rights_of_others(path)


def keep_folder_private(folder: Path) -> None:
    """Take the rights of others from a folder.

    Raises:
        OSError: It belongs to somebody else.
    """
    if os.name != "nt" and folder.stat().st_mode & _OTHERS:
        folder.chmod(_FOLDER)


def _take_rights_of_others(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "it is a link; name the file itself", str(path))
    if os.name != "nt" and stat.S_ISREG(mode) and mode & _OTHERS:
        path.chmod(_FILE)


def open_private(path: str, flags: int) -> int:
    """Open a file that the user named, as `opener` of `open`: where there is none, it is made with mode 0600; one that
    is there keeps its mode."""
    return os.open(path, flags, _FILE)


def make_private(path: Path) -> None:
    """Make an empty file with mode 0600, where there is none.

    Raises:
        TokenStoreError: It cannot be made.
    """
    try:
        os.close(create_private(path))
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


def read_secret(path: Path) -> str:
    """Return the text of a file that holds a secret, without white space around it.

    A pipe is taken, too; it is how a secret that a system keeps in a file for all can be given on.

    Raises:
        OSError: It cannot be read, or is a file that others can read.
        UnicodeDecodeError: It is no text.
    """
    with path.open(encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name != "nt" and stat.S_ISREG(mode) and mode & _READ_BY_OTHERS:
            sentence = f"others can read it, mode {stat.S_IMODE(mode):04o}: chmod 600 it, or give a pipe: <(cat FILE)"
            raise PermissionError(errno.EACCES, sentence, str(path))
        return file.read(_MOST_SECRET_CHARS).strip()


class FileLock:
    """A lock of a file, for processes that take turns: the system frees it when its holder ends, however it does.

    A process that is forked from the holder does not hold it. Two of these on one file exclude each other also within
    one process.

    Args:
        path: The file; an empty private one is made where there is none.

    Raises:
        OSError: It cannot be opened, or is a link.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, _FILE)
        _OPEN_LOCKS.add(self)

    def acquire(self) -> None:
        """Take it, and wait for whoever has it."""
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_EX)
        else:
            while not self.try_acquire():
                time.sleep(_TRY_AGAIN_SECONDS)

    def try_acquire(self) -> bool:
        """Take it unless somebody has it; return whether it was taken."""
        try:
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return False
            raise
        return True

    def release(self) -> None:
        """Let the next one have it."""
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_UN)
        else:
            msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)

    def close(self) -> None:
        """Close the file, which lets go of the lock. May be called twice."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


_OPEN_LOCKS: Final[WeakSet[FileLock]] = WeakSet()


def _close_in_child() -> None:
    """A forked child shares the locks of its parent: had it kept them open, they would outlive the parent's death."""
    for lock in list(_OPEN_LOCKS):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


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
    import sqlite3  # when a lock is taken: few programs take one

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
