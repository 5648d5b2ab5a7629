"""The sandbox's data in a file: started again, killed, in use, damaged."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from leadconnector_async.errors import ConfigurationError
from leadconnector_async.sandbox import Sandbox
from tests.cli.conftest import COMMAND
from tests.sandbox.conftest import Api, L
from tests.waiting import patiently

OpenApi = Callable[..., Awaitable[Api]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sandbox.sqlite3"


async def everything(api: Api) -> list[Any]:
    """All that can be read of the contacts of L and of the location."""
    search = await api.ok("POST", "/contacts/search", {"locationId": L, "pageLimit": 100})
    answers = [search["contacts"]]
    for contact in search["contacts"]:
        for end in ("notes", "tasks", "appointments"):
            answer = await api.ok("GET", f"/contacts/{contact['id']}/{end}")
            answers.append({name: value for name, value in answer.items() if name != "traceId"})
        answers += [api.sandbox.campaigns(contact["id"]), api.sandbox.workflows(contact["id"])]
    answers.append((await api.ok("GET", f"/locations/{L}/customFields"))["customFields"])
    answers.append((await api.ok("GET", "/locations/search"))["locations"])
    return answers


async def fill(api: Api) -> None:
    await api.ok("POST", f"/locations/{L}/customFields", {"name": "Shoe", "dataType": "TEXT"})
    for number in range(3):
        fields = [{"key": "shoe", "field_value": str(number)}]
        path = f"/contacts/{(await api.upsert(email=f'{number}@b.co', customFields=fields))['contact']['id']}"
        for text in ("one", "two", "three"):
            note = (await api.ok("POST", f"{path}/notes", {"body": text}))["note"]["id"]
        await api.ok("DELETE", f"{path}/notes/{note}")
        await api.ok("POST", f"{path}/tasks", {"title": "t", "dueDate": "2026-01-01", "completed": False})
        await api.ok("POST", f"{path}/followers", {"followers": ["u1"]})
        await api.ok("POST", f"{path}/campaigns/c{number}", {})
        await api.ok("POST", f"{path}/workflow/w{number}", {})
        api.sandbox.add_appointment(path[10:], title="Visit")
    await api.ok("DELETE", path)
    api.sandbox.add_contact("other", phone="+16175550100")


async def test_all_is_there_when_it_is_started_again(open_api: OpenApi, path: Path) -> None:
    api = await open_api(data=path)
    await fill(api)
    before = await everything(api)
    assert len(before[0]) == 2
    await api.sandbox.stop()
    again = await open_api(data=path)
    assert await everything(again) == before
    assert (await again.upsert(email="0@b.co"))["new"] is False
    assert (await again.upsert(email="2@b.co"))["new"] is True
    assert len(again.sandbox.contacts()) == 4  # with a seed, ids are not given twice


async def test_a_stopped_sandbox_lets_its_file_go_and_goes_on_with_it(open_api: OpenApi, path: Path) -> None:
    api = await open_api(data=path)
    await fill(api)
    before = await everything(api)
    await api.sandbox.stop()
    api.sandbox.add_contact("other", email="late@b.co")
    await api.sandbox.start()
    assert await everything(api) == before
    await api.sandbox.stop()
    again = await open_api(data=path)
    assert [contact.get("email") for contact in again.sandbox.contacts("other")] == [None, "late@b.co"]


async def test_faults_after_the_write_are_kept_too(open_api: OpenApi, path: Path) -> None:
    api = await open_api(data=path)
    api.sandbox.fail_next("reset-after")
    with pytest.raises(aiohttp.ClientError):
        await api.upsert(email="a@b.co")
    await api.sandbox.stop()
    assert len((await open_api(data=path)).sandbox.contacts()) == 1


async def test_one_sandbox_at_a_time(open_api: OpenApi, path: Path) -> None:
    await open_api(data=path)
    with pytest.raises(ConfigurationError, match="another sandbox works on this data"):
        Sandbox(data=path)


def other_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE mine (x)")
    db.close()


def later_version(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA application_id = {0x4C437331}")
    db.execute("PRAGMA user_version = 99")
    db.close()


def broken_record(path: Path) -> None:
    asyncio.run(Sandbox(data=path).stop())
    db = sqlite3.connect(path)
    db.execute("INSERT INTO records (kind, id, value) VALUES ('contact', 'x', '{')")
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.write_text("first,last\n" * 100), "is no data of a sandbox, or is damaged"),
        (lambda path: path.mkdir(), "cannot be opened"),
        (other_database, "is no data of a sandbox; name another file"),
        (later_version, "was made by another version"),
        (broken_record, "the sandbox's data is damaged"),
    ],
)
def test_what_is_no_data_is_refused_and_left_alone(path: Path, make: Callable[[Path], object], sentence: str) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(ConfigurationError, match=sentence):
        Sandbox(data=path)
    assert (path.read_bytes() if path.is_file() else b"") == before


async def test_a_write_that_cannot_be_kept_is_not_answered_with_success(open_api: OpenApi, path: Path) -> None:
    api = await open_api(data=path)
    await api.upsert(email="a@b.co")
    size = api.sandbox._data._db  # type: ignore[union-attr]
    assert size is not None
    size.execute("PRAGMA max_page_count = 1")  # as good as a full disk
    status, answer = await api.call(
        "POST", "/contacts/upsert", {"locationId": L, "email": "b@b.co", "city": "x" * 9000}
    )
    assert (status, answer["statusCode"]) == (500, 500)
    size.execute("PRAGMA max_page_count = 1000000")
    await api.upsert(email="c@b.co")
    await api.sandbox.stop()
    assert len((await open_api(data=path)).sandbox.contacts()) == 3


async def start(path: Path) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sandbox", "--port", "0", "--rate", "100000/1", "--data", str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().strip()


async def post_until_killed(url: str, answered: list[str], lane: int, enough: asyncio.Event) -> None:
    headers = {"Authorization": "Bearer sandbox", "Version": "v3"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(10_000):
            body = {"locationId": L, "email": f"{lane}-{number}@b.co"}
            try:
                async with session.post(f"{url}/contacts/upsert", json=body) as response:
                    answered.append((await response.json())["contact"]["id"])
            except aiohttp.ClientError:
                return
            if number > 10:
                enough.set()


async def test_what_was_answered_outlives_kill_minus_9(path: Path) -> None:
    answered: list[str] = []
    for round_ in range(3):
        process, url = await start(path)
        enough = asyncio.Event()
        lanes = asyncio.gather(*(post_until_killed(url, answered, lane + 10 * round_, enough) for lane in range(8)))
        async with patiently():
            await enough.wait()
        process.send_signal(signal.SIGKILL)
        await asyncio.gather(lanes, process.wait())
    async with Sandbox(data=path) as sandbox:
        assert {contact["id"] for contact in sandbox.contacts()} >= set(answered)
    assert len(set(answered)) >= 30
