"""The file of a run notices what SQLite does not: flipped bits, a log that is damaged or gone, another version."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async.errors import ConfigurationError, JournalError
from leadconnector_async.run.database import CUT_OFF, ENDED, Database, seal, unseal
from tests.waiting import PATIENCE

# A process that works on a run, and is killed: groups are in the main file, and groups are in the log alone.
WORK = """
import os, sys
from pathlib import Path
from leadconnector_async.run.database import Database

file = Database(Path(sys.argv[1]))
file.create("CREATE TABLE things (number INTEGER PRIMARY KEY, name TEXT, data BLOB);")
file.create("CREATE TABLE keys (name TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;")
with file.transaction() as db:
    db.execute("INSERT INTO sessions (number, began_at, concurrency) VALUES (1, 1.0, 64)")
file.checkpoint()
for group in range(12):
    with file.transaction() as db:
        for number in range(group * 7, group * 7 + 10):
            db.execute("INSERT OR REPLACE INTO things VALUES (?, ?, ?)", (number, f"name {group}", bytes(60)))
            db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", (f"key {number}", number))
    if group == 6:
        file.checkpoint()
os._exit(9)
"""
NAME = "run.sqlite3"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The main file and the log of a run whose process was killed."""
    path = tmp_path_factory.mktemp("killed") / NAME
    assert subprocess.run([sys.executable, "-c", WORK, path], check=False).returncode == 9
    return path.read_bytes(), path.with_name(f"{NAME}-wal").read_bytes()


def lay(folder: Path, main: bytes, log: bytes | None) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / NAME).write_bytes(main)
    if log is not None:
        (folder / f"{NAME}-wal").write_bytes(log)
    return folder / NAME


def all_of(path: Path) -> tuple[list[object], list[object]]:
    with Database(path) as file:
        things = file.read("SELECT * FROM things ORDER BY number")
        return [things, file.read("SELECT * FROM keys")], file.read("SELECT number, state FROM sessions")


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_run_whose_process_was_killed_has_all_that_was_written(killed: tuple[bytes, bytes], tmp_path: Path) -> None:
    tables, sessions = all_of(lay(tmp_path / "copy", *killed))
    assert len(tables[0]) == 87  # type: ignore[arg-type]
    assert sessions == [(1, CUT_OFF)]
    assert all_of(tmp_path / "copy" / NAME) == (tables, sessions)  # opened again, too


@given(place=st.floats(0, 1, exclude_max=True), is_log=st.booleans())
def test_a_flipped_bit_changes_nothing_or_is_reported(
    killed: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory, place: float, is_log: bool
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    whole, _ = all_of(lay(folder, *killed))
    main, log = killed
    if is_log:
        log = flipped(log, int(place * len(log) * 8))
    else:
        main = flipped(main, int(place * len(main) * 8))
    try:
        found, _ = all_of(lay(folder, main, log))
    except (ConfigurationError, JournalError):
        return
    if found != whole:  # the last group alone may be dropped, as after a power cut: it was in doubt all the same
        assert is_log
        assert found == all_of(lay(folder, killed[0], killed[1][: last_group(killed[1])]))[0]


def last_group(log: bytes) -> int:
    """Where the last group of a log begins."""
    size = 24 + int.from_bytes(log[8:12])
    frames = range(32, len(log) - size + 1, size)
    current = [frame for frame in frames if log[frame + 8 : frame + 16] == log[16:24]]
    commits = [frame for frame in current if any(log[frame + 4 : frame + 8])]
    return commits[-2] + size


def test_a_log_that_is_cut_ends_with_its_last_whole_group(killed: tuple[bytes, bytes], tmp_path: Path) -> None:
    main, log = killed
    end = last_group(log)
    kept = all_of(lay(tmp_path / "copy", main, log[:end]))[0]
    assert kept != all_of(lay(tmp_path / "copy", main, log))[0]
    for cut in (end + 10, end + 24 + 100):
        assert all_of(lay(tmp_path / "copy", main, log[:cut]))[0] == kept


@pytest.mark.parametrize("log", [None, b"", bytes(32)])
def test_a_run_that_was_in_use_is_refused_without_its_log(
    killed: tuple[bytes, bytes], tmp_path: Path, log: bytes | None
) -> None:
    with pytest.raises(ConfigurationError, match="is missing, and the run was in use when it was copied"):
        all_of(lay(tmp_path / "copy", killed[0], log))


def test_a_run_that_has_ended_needs_no_log(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with Database(path) as file:
        with file.transaction() as db:
            db.execute("INSERT INTO sessions (number, began_at, concurrency) VALUES (1, 1.0, 64)")
        file.checkpoint()
        with file.transaction() as db:
            db.execute("UPDATE sessions SET state = ?", (ENDED,))
    assert not path.with_name(f"{NAME}-wal").exists()
    with Database(path) as file:
        assert file.read("SELECT state FROM sessions") == [(ENDED,)]


def test_every_table_is_in_the_ledger(tmp_path: Path) -> None:
    with Database(tmp_path / NAME) as file:
        file.create("CREATE TABLE things (number INTEGER PRIMARY KEY);")
    db = sqlite3.connect(tmp_path / NAME)
    db.execute("CREATE TABLE more (number INTEGER)")
    db.close()
    with pytest.raises(ConfigurationError, match="is damaged"):
        Database(tmp_path / NAME)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE things SET name = 'other' WHERE number = 3",
        "DELETE FROM things WHERE number = 3",
        "UPDATE ledger SET records = 7 WHERE name = 'things'",
        "DELETE FROM ledger WHERE name = 'things'",
    ],
)
def test_a_change_by_somebody_else_is_reported(killed: tuple[bytes, bytes], tmp_path: Path, change: str) -> None:
    path = lay(tmp_path / "copy", *killed)
    Database(path).close()
    db = sqlite3.connect(path)
    for name in ("insert", "update", "delete"):
        db.execute(f"DROP TRIGGER things_{name}")
    db.execute(change)
    db.commit()
    db.close()
    with pytest.raises(ConfigurationError, match="is damaged"):
        Database(path)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [(1, "was made by version 0.1 of leadconnector-async; finish it with that version"), (3, "another version")],
)
def test_a_file_of_another_version_is_refused_and_stays_as_it_is(tmp_path: Path, version: int, sentence: str) -> None:
    path = tmp_path / NAME
    db = sqlite3.connect(path)
    db.execute("PRAGMA application_id = 0x4C436A31")
    db.execute(f"PRAGMA user_version = {version}")
    db.execute("CREATE TABLE load (name TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=sentence):
        Database(path)
    assert path.read_bytes() == before


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Database(tmp_path / NAME), pytest.raises(ConfigurationError, match="another process"):
        Database(tmp_path / NAME)
    Database(tmp_path / NAME).close()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="modes do not stop this user")
def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / NAME).close()
    (tmp_path / NAME).chmod(0o400)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Database(tmp_path / NAME)


def test_what_was_rolled_back_is_not_in_the_ledger(tmp_path: Path) -> None:
    with Database(tmp_path / NAME) as file:
        file.create("CREATE TABLE things (number INTEGER PRIMARY KEY);")
        twice = "INSERT INTO things VALUES (?)", [(1,), (1,)]
        with pytest.raises(JournalError), file.transaction() as db:
            db.executemany(*twice)
        with file.transaction() as db:
            db.execute("INSERT INTO things VALUES (2)")
            db.execute("INSERT OR REPLACE INTO things VALUES (2)")
    with Database(tmp_path / NAME) as file:
        assert file.read("SELECT * FROM things") == [(2,)]


@given(st.binary(), st.integers(0))
def test_a_sealed_record_is_what_it_was_or_is_reported(content: bytes, bit: int) -> None:
    sealed = seal(content)
    assert unseal(sealed) == content
    with pytest.raises(JournalError, match="is damaged"):
        unseal(flipped(sealed, bit % (len(sealed) * 8)))


# A thread reads what another writes: each write calls back into Python from within SQLite.
READ_AND_WRITE = """
import sys, threading
from pathlib import Path
from leadconnector_async.run.database import Database

sys.setswitchinterval(1e-6)
file = Database(Path(sys.argv[1]))
file.create("CREATE TABLE things (number INTEGER PRIMARY KEY, name TEXT);")
with file.transaction() as db:
    db.executemany("INSERT INTO things VALUES (?, 'x')", ((number,) for number in range(2000)))
is_over = threading.Event()

def read():
    while not is_over.is_set():
        assert sum(1 for _ in file.walk("SELECT * FROM things")) >= 2000
        next(file.walk("SELECT * FROM things"))  # given up in the middle

reader = threading.Thread(target=read)
reader.start()
for number in range(2000, 2300):
    with file.transaction() as db:
        db.execute("INSERT INTO things VALUES (?, 'y')", (number,))
is_over.set()
reader.join()
file.close()
"""


def test_a_thread_that_reads_never_blocks_one_that_writes_for_good(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", READ_AND_WRITE, tmp_path / NAME], check=True, timeout=PATIENCE)


def test_a_closed_file_says_so(tmp_path: Path) -> None:
    file = Database(tmp_path / NAME)
    file.close()
    with pytest.raises(JournalError, match="is closed; open it again"):
        file.read("SELECT 1")
    with pytest.raises(JournalError, match="is closed; open it again"), file.transaction():
        pass


def whole_run(folder: Path) -> bytes:
    """A file that has ended, with a sealed table that has an index."""
    folder.mkdir(exist_ok=True)
    with Database(folder / NAME) as file:
        schema = "CREATE TABLE things (id TEXT NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (id));"
        file.create(schema, sealed=["things"])
        with file.transaction() as db:
            db.executemany("INSERT INTO things VALUES (?, ?)", ((f"id {n}", seal(b"raw")) for n in range(9)))
    return (folder / NAME).read_bytes()


def places_of(content: bytes, text: bytes) -> list[int]:
    starts = [start for start in range(len(content)) if content.startswith(text, start)]
    return [place for start in starts for place in range(start, start + len(text))]


@pytest.mark.parametrize("text", [b"note_change('things', 1", b"CREATE TABLE sessions", b"PRIMARY KEY (id)", b"id 7"])
@pytest.mark.parametrize("bits", [0x01, 0x20, 0x80])
def test_damage_of_tables_triggers_and_keys_is_found_on_opening(tmp_path: Path, text: bytes, bits: int) -> None:
    content = whole_run(tmp_path / "run")
    assert places_of(content, text)
    for place in places_of(content, text):
        damaged = bytearray(content)
        damaged[place] ^= bits
        path = lay(tmp_path / "copy", bytes(damaged), None)
        with pytest.raises(ConfigurationError, match="damaged") as error:
            Database(path)
        assert error.value.__cause__ is None


@pytest.mark.parametrize("sealed", [b"", b"abc", b"abcd"])
def test_a_sealed_record_that_is_cut_is_reported(sealed: bytes) -> None:
    with pytest.raises(JournalError, match="is damaged"):
        unseal(sealed, 1)
