"""Files and folders for their owner alone, whatever the umask, and never through a link."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from leadconnector_async import BatchReport, ConfigurationError, Journal, LeadConnector, private_file
from leadconnector_async.ingest.store import Store
from leadconnector_async.migration.tables.duck import DuckRows
from leadconnector_async.private_file import (
    FileLock,
    create_private,
    keep_database_private,
    make_private_folder,
    open_again,
    open_anew,
    put_in_place,
    read_secret,
    replacing,
    write_private,
)
from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import RUN_FILE, make_folder, open_run
from leadconnector_async.sandbox import Sandbox
from tests.waiting import PATIENCE


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def write_anew(path: Path) -> None:
    with open_anew(path) as file:
        file.write("new")


def replace(path: Path) -> None:
    with replacing(path, encoding="utf-8") as file:
        file.write("new")


WAYS: list[Callable[[Path], None]] = [write_anew, replace, lambda path: write_private(path, "new")]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("write", WAYS)
def test_a_file_is_private_whatever_was_there(write: Callable[[Path], None], tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("old")
    victim.chmod(0o644)
    for name, place in {
        "nothing": lambda path: None,
        "a file": lambda path: (path.write_text("old"), path.chmod(0o666)),
        "a link": lambda path: path.symlink_to(victim),
        "a link to nowhere": lambda path: path.symlink_to(tmp_path / "nowhere"),
    }.items():
        path = tmp_path / name
        place(path)
        for part in (path.with_name(f"{name}.part"),):
            part.symlink_to(victim)
        write(path)
        assert (path.read_text(), mode(path), path.is_symlink()) == ("new", 0o600, False)
    assert (victim.read_text(), mode(victim)) == ("old", 0o644)
    assert not (tmp_path / "nowhere").exists()


def test_what_cannot_be_written_whole_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError), replacing(path, encoding="ascii") as file:
        file.write("half\n" * 10_000 + "é")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("report.json", "old")]


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="no plain file"):
        write_private(pipe, "x")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_new_file_is_new(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "link")
    assert not (tmp_path / "nowhere").exists()


def test_folders_are_private_from_the_first_that_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "a" / "b" / "c")
    make_private_folder(tmp_path / "a" / "b" / "c")
    os.umask(before)
    assert [mode(tmp_path / name) for name in (".", "a", "a/b", "a/b/c")] == [0o755, 0o700, 0o700, 0o700]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_database_is_private_with_all_that_is_beside_it(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    keep_database_private(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {'WAL' if ending == '-wal' else 'DELETE'}")
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t VALUES (1)")
        modes = {each.name: mode(each) for each in tmp_path.iterdir()}
        db.execute("COMMIT")
    assert f"x.sqlite3{ending}" in modes
    assert set(modes.values()) == {0o600}


def test_a_database_that_others_could_read_is_taken_from_them_and_keeps_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (x)")
        for each in tmp_path.iterdir():
            each.chmod(0o644)
        db.execute("BEGIN EXCLUSIVE")
        keep_database_private(path)
        assert {mode(each) for each in tmp_path.iterdir()} == {0o600}
        with (
            closing(sqlite3.connect(path, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("INSERT INTO t VALUES (1)")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="is a link"):
        keep_database_private(link)


@pytest.mark.usefixtures("umask")
async def test_what_python_writes_is_private(tmp_path: Path) -> None:
    async with (
        Sandbox(data=tmp_path / "sandbox.sqlite3") as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="L") as client,
    ):
        report = await client.contacts.bulk_upsert([{"email": "a@example.com"}], journal=tmp_path / "journal.sqlite3")
    report.to_csv(tmp_path / "outcomes.csv")
    report.to_json(tmp_path / "report.json")
    modes = {path.name: mode(path) & ~0o200 for path in tmp_path.iterdir()}  # noqa: ASYNC240
    assert modes == dict.fromkeys(["sandbox.sqlite3", "journal.sqlite3", "outcomes.csv", "report.json"], 0o400)


def test_a_file_of_the_callers_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(0o644)
    BatchReport().to_json(path)
    assert mode(path) == 0o644


def test_rows_for_which_memory_is_short_go_to_a_folder_of_ours() -> None:
    with closing(DuckRows("SELECT current_setting('temp_directory') AS folder", "the query")) as rows:
        ((folder,),) = rows
        assert mode(Path(folder)) == 0o700
    assert not Path(folder).exists()


# ---------------------------------------------------------------------------------------------- network disks

needs_mounts = pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux alone has it")


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the folder of the test pass for one on a disk of some kind: as Linux lists it, beside the real ones."""

    def mount(kind: str) -> None:
        device = tmp_path.stat().st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        real = Path("/proc/self/mountinfo").read_text().splitlines()
        others = [line for line in real if line.split()[2] != number]
        ours = rf"99 27 {number} / {tmp_path}\040x rw,relatime shared:1 master:2 - {kind} server:/export rw,vers=4.2"
        (tmp_path / "mountinfo").write_text("\n".join([*others, ours, ""]))
        monkeypatch.setattr(private_file, "_MOUNTS", tmp_path / "mountinfo")

    return mount


@needs_mounts
@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs", "ceph", "fuse.ceph"])
async def test_a_database_on_a_network_disk_is_refused(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, mount: Callable[[str], None], kind: str
) -> None:
    path = tmp_path / "run.sqlite3"
    mount(kind)
    openers: list[Callable[[], object]] = [
        lambda: Journal(path),
        lambda: Database(path),
        lambda: Database(path, is_draft=True),
        lambda: Store(path, "contacts", time.time),
    ]
    for open_it in openers:
        with pytest.raises(ConfigurationError, match="name a place on a disk of this machine") as caught:
            open_it()
        assert f"{path}: is on a network disk ({kind})" in str(caught.value)
    with pytest.raises(ConfigurationError, match="network disk"):
        await client.contacts.bulk_upsert([{"email": "a@example.com"}], journal=path)
    assert [file.name for file in tmp_path.iterdir()] == ["mountinfo"]  # noqa: ASYNC240
    assert sandbox.contacts() == []


@needs_mounts
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuse.ntfs-3g", "fuseblk", "zfs"])
def test_a_database_on_a_disk_of_this_machine_is_not(tmp_path: Path, mount: Callable[[str], None], kind: str) -> None:
    mount(kind)
    with Journal(tmp_path / "run.sqlite3") as journal:
        assert not journal.is_begun


def test_where_nobody_can_tell_a_database_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_file, "_MOUNTS", tmp_path / "nowhere")  # as on other systems
    Journal(tmp_path / "run.sqlite3").close()
    (tmp_path / "odd").write_bytes(b"\xff\n - nfs\n1 2\n")
    monkeypatch.setattr(private_file, "_MOUNTS", tmp_path / "odd")
    Journal(tmp_path / "run.sqlite3").close()


# ---------------------------------------------------------------------------------------------- what is somebody else's


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o604, 0o664])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "token"
    path.write_text(" pit-x \n")
    path.chmod(bits)
    with pytest.raises(PermissionError, match="others can read it"):
        read_secret(path)
    path.chmod(0o400)
    assert read_secret(path) == "pit-x"


def test_a_secret_may_come_through_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"pit-x\n")
    os.close(writer)
    assert read_secret(Path(f"/dev/fd/{reader}")) == "pit-x"
    os.close(reader)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_folder_of_somebody_else_takes_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_link: bool) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if is_link:
        (tmp_path / "link").symlink_to(folder)
        folder = tmp_path / "link"
    make_folder(folder)
    (folder / RUN_FILE).touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    for work in (make_folder, open_run):
        with pytest.raises(ConfigurationError, match="belongs to another user"):
            work(folder)


def test_a_file_is_put_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a disk without hard links; and never over what came there meanwhile, nor through a link."""
    part, path = tmp_path / "a.part", tmp_path / "a"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "there are no links on this disk")

    for has_links in (True, False):
        if not has_links:
            monkeypatch.setattr(os, "link", refuse)
        for make in (lambda: path.write_text("old"), lambda: path.symlink_to(tmp_path / "nowhere")):
            make()
            part.write_text("new")
            with pytest.raises(FileExistsError):
                put_in_place(part, path)
            assert part.read_text() == "new"
            assert not (tmp_path / "nowhere").exists()
            path.unlink()
        put_in_place(part, path)
        assert (path.read_text(), part.exists()) == ("new", False)
        path.unlink()


def test_a_link_is_not_opened_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(OSError):  # noqa: PT011 - each system has another one
        open_again(tmp_path / "link")
    with open_again(tmp_path / "file") as file:
        assert file.read() == b"old"


# ---------------------------------------------------------------------------------------------- locks of files


def test_a_lock_is_had_by_one_and_freed_for_the_next(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert mode(tmp_path / "lock") == 0o600
    assert one.try_acquire()
    assert not other.try_acquire()
    one.release()
    assert other.try_acquire()
    other.close()
    other.close()
    one.acquire()
    one.close()


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        FileLock(tmp_path / "lock")


HOLDER = """
import os, sys, time
from pathlib import Path
from leadconnector_async.private_file import FileLock
lock = FileLock(Path(sys.argv[1]))
assert lock.try_acquire()
child = os.fork()
if child == 0:
    time.sleep(600)  # until it is killed
print(child, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_lock_is_free_when_its_holder_is_killed_although_a_child_lives(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    lock = FileLock(tmp_path / "lock")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            assert not lock.try_acquire()
            holder.kill()
            holder.wait(PATIENCE)
            lock.acquire()
        finally:
            os.kill(child, signal.SIGKILL)
    lock.close()
