"""Stores of tokens: what is kept, who is let in, and what several processes do with one file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest
from keyring.backends import fail

from leadconnector_async import (
    ConfigurationError,
    KeyringTokenStore,
    LeadConnector,
    LockingTokenStore,
    MemoryTokenStore,
    SQLiteTokenStore,
    TokenStore,
    TokenStoreError,
)
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION
from tests.oauth import log_in, make_app, token_calls

UNIX = pytest.mark.skipif(os.name == "nt", reason="permissions of Unix")
ROOT = Path(__file__).parent.parent.parent


class FakeKeyring(keyring.backend.KeyringBackend):
    """A keyring in memory, in the place of the system's."""

    priority = 1  # type: ignore[assignment]
    error: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[tuple[str, str], str] = {}

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.values[service, username]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    backend = FakeKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(keyring, name, getattr(backend, name))
    return backend


@pytest.fixture(params=["memory", "sqlite", "keyring"])
def store(request: pytest.FixtureRequest, tmp_path: Path, backend: FakeKeyring) -> TokenStore:
    if request.param == "memory":
        return MemoryTokenStore()
    if request.param == "keyring":
        return KeyringTokenStore(lock_file=tmp_path / "keyring")
    return SQLiteTokenStore(tmp_path / "tokens.sqlite3")


async def test_each_store_keeps_replaces_and_forgets(store: TokenStore) -> None:
    assert await store.load("a") is None
    await store.save("a", b"one")
    await store.save("b", b"two")
    await store.save("a", b"three")
    assert (await store.load("a"), await store.load("b")) == (b"three", b"two")
    await store.save("a", None)
    await store.save("a", None)
    assert (await store.load("a"), await store.load("b")) == (None, b"two")
    assert "two" not in repr(store)


async def test_one_at_a_time_holds_a_lock(store: TokenStore) -> None:
    if not isinstance(store, LockingTokenStore):
        assert isinstance(store, MemoryTokenStore)
        return
    holders: list[int] = []

    async def hold(number: int) -> None:
        async with store.lock("key"):
            holders.append(number)
            await asyncio.sleep(0.01)
            assert holders[-1] == number

    await asyncio.gather(*(hold(number) for number in range(5)))
    assert len(holders) == 5


async def test_an_app_can_use_any_store(store: TokenStore) -> None:
    async with Sandbox() as sandbox:
        for _ in range(2):  # the second app finds the login of the first
            app = make_app(sandbox, store=store)
            async with LeadConnector(app, base_url=sandbox.url, location_id=LOCATION) as lc:
                if not await app.accounts():
                    await log_in(app, sandbox, LOCATION)
                await lc.contacts.upsert({"email": "a@example.com"})
                sandbox.oauth.expire_tokens()
                await lc.contacts.upsert({"email": "a@example.com"})
        assert sandbox.oauth.refreshes == 2


# ---------------------------------------------------------------------------------------------- the SQLite file


@UNIX
def test_the_file_and_its_locks_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SQLiteTokenStore(tmp_path / "tokens.sqlite3")

        async def use() -> None:
            async with store.lock("key"):
                await store.save("key", b"x")

        asyncio.run(use())
    finally:
        os.umask(before)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_what_was_replaced_is_gone_from_the_file(tmp_path: Path) -> None:
    store = SQLiteTokenStore(tmp_path / "tokens.sqlite3")
    await store.save("key", b"a-secret-of-yesterday")
    await store.save("key", b"other")
    await store.save("key", None)
    assert all(b"yesterday" not in path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240


def open_to_others(path: Path) -> None:
    SQLiteTokenStore(path)
    path.chmod(0o640)


def link(path: Path) -> None:
    SQLiteTokenStore(path.with_name("other"))
    path.symlink_to(path.with_name("other"))


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE x (y)")
    path.chmod(0o600)


def no_database(path: Path) -> None:
    path.write_bytes(b"no database, but long enough to be looked at " * 50)
    path.chmod(0o600)


def cut_database(path: Path) -> None:
    SQLiteTokenStore(path)
    path.write_bytes(path.read_bytes()[:4096])


@UNIX
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (open_to_others, r"others can read it \(mode 0640\).*chmod 600"),
        (link, "is a link, and no place for tokens"),
        (Path.mkdir, "is no plain file"),
        (other_database, "is no store of tokens; name another file"),
        (no_database, "is no store of tokens, or is damaged; move it away, and log in again"),
        (cut_database, "is no store of tokens, or is damaged; move it away, and log in again"),
    ],
)
async def test_a_file_that_is_no_place_for_tokens(tmp_path: Path, make: Any, sentence: str) -> None:
    path = tmp_path / "tokens.sqlite3"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(TokenStoreError, match=sentence):
        await SQLiteTokenStore(path).load("key")
    assert before is None or path.read_bytes() == before


@UNIX
async def test_a_file_that_was_opened_to_others_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite3"
    store = SQLiteTokenStore(path)
    path.chmod(0o644)
    with pytest.raises(TokenStoreError, match="others can read it"):
        await store.load("key")
    with pytest.raises(TokenStoreError, match="others can read it"):
        await store.save("key", b"x")


@pytest.mark.parametrize("place", ["gone/tokens.sqlite3", "file/tokens.sqlite3"])
def test_a_folder_that_is_not_there(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TokenStoreError, match="cannot be"):
        SQLiteTokenStore(tmp_path / place)


async def test_a_store_that_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.sqlite3"
    store = SQLiteTokenStore(path)
    monkeypatch.setattr("leadconnector_async.auth.stores._BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TokenStoreError, match="another process keeps this store of tokens locked"):
            await store.save("key", b"x")
    await store.save("key", b"x")


async def test_a_lock_that_does_not_come_free(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite3"
    store, hasty = SQLiteTokenStore(path), SQLiteTokenStore(path, lock_timeout=0.1)
    async with store.lock("key"):
        with pytest.raises(TokenStoreError, match="another process has been renewing this login"):
            async with hasty.lock("key"):
                pass
        waiter = asyncio.create_task(hasty.lock("key").__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
    async with hasty.lock("key"):
        pass


HOLDER = """
import asyncio, sys
from leadconnector_async import SQLiteTokenStore

async def main():
    async with SQLiteTokenStore(sys.argv[1]).lock("key"):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite3"
    hasty = SQLiteTokenStore(path, lock_timeout=0.1)
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(path), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(TokenStoreError, match="another process"):
        async with hasty.lock("key"):
            pass
    holder.kill()
    await holder.communicate()
    async with hasty.lock("key"):
        pass


WORKER = """
import asyncio, sys
from leadconnector_async import LeadConnector, OAuthApp, SQLiteTokenStore

url, path, client_id, secret, location_id = sys.argv[1:]

async def main():
    app = OAuthApp(client_id, secret, redirect_uri="https://example.com/", store=SQLiteTokenStore(path))
    async with LeadConnector(app, base_url=url, location_id=location_id) as lc:
        print("ready", flush=True)
        sys.stdin.readline()
        people = [{"email": f"p{number}@example.com"} for number in range(10)]
        await asyncio.gather(*(lc.contacts.upsert(person) for person in people))

asyncio.run(main())
"""


@pytest.mark.parametrize("is_agency", [False, True])
async def test_processes_that_share_a_store_cause_one_refresh(tmp_path: Path, is_agency: bool) -> None:
    path = tmp_path / "tokens.sqlite3"
    async with Sandbox(unlimited=True, latency=(0.05, 0.1)) as sandbox:
        app = make_app(sandbox, store=SQLiteTokenStore(path))
        async with LeadConnector(app, base_url=sandbox.url):
            await log_in(app, sandbox, None if is_agency else LOCATION)
        sandbox.oauth.expire_tokens()
        oauth = sandbox.oauth
        oauth.grace = 0.0  # so that a second renewal would be refused
        before = token_calls(sandbox)
        arguments = [sandbox.url, str(path), oauth.client_id, oauth.client_secret, LOCATION]
        pipe = asyncio.subprocess.PIPE
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", WORKER, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT
            )
            for _ in range(4)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert await worker.stdout.readline() == b"ready\n"
        ends = await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))
        assert [(worker.returncode, end[1]) for worker, end in zip(workers, ends, strict=True)] == [(0, b"")] * 4
        assert (oauth.refreshes, token_calls(sandbox) - before) == (1, 1)
        grant = await app.logins.load(oauth.company_id if is_agency else LOCATION)
        assert (grant.access_token, grant.refresh_token) == oauth.newest_pair(grant.account_id)


# ---------------------------------------------------------------------------------------------- the keyring


def test_a_system_without_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    with pytest.raises(ConfigurationError, match="no keyring; keep the login in a file"):
        KeyringTokenStore()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'leadconnector-async\[keyring\]'"):
        KeyringTokenStore()


@pytest.mark.parametrize("error", [keyring.errors.KeyringLocked("secret text"), OSError("secret text")])
async def test_a_keyring_that_is_locked(backend: FakeKeyring, error: Exception) -> None:
    store = KeyringTokenStore()
    async with store.lock("key"):
        backend.error = error
        with pytest.raises(TokenStoreError, match=r"keyring cannot be used .*unlock it") as caught:
            await store.load("key")
    assert "secret text" not in str(caught.value)
