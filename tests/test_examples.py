"""Each example runs as it stands."""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from tests.contacts.test_contacts import METHODS
from tests.redis_server import needs_redis
from tests.waiting import patiently

EXAMPLES = Path(__file__).parent.parent / "examples"
TestClient.__test__ = TestServer.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one_upsert.py", "refused: email is taken by the contact above: True"),
        ("bulk_from_async_source.py", "<BatchReport total=90 created=80 updated=10>"),
        ("webhook_server.py", "ContactTagUpdate: 'Rosan Deos', 'rosan@deos.com', tags ['customer'] of"),
        ("cluster_load.py", "<BatchReport total=2000 created=2000> without a 429"),
        ("every_operation.py", "found: 26\nthe last of 25 is person9@deos.com\n"),
    ],
)
def test_scripts(name: str, expected: str) -> None:
    environ = {**os.environ, "PYTHONWARNINGS": "error"}
    ended = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, env=environ, check=True
    )
    assert expected in ended.stdout


async def test_the_web_app_shares_one_client() -> None:
    make_app = runpy.run_path(str(EXAMPLES / "web_app.py"))["make_app"]
    async with TestClient(TestServer(make_app())) as browser:
        answers = await asyncio.gather(
            *(browser.post("/sign-up", json={"email": f"person{number}@example.com"}) for number in range(20))
        )
        assert [answer.status for answer in answers] == [200] * 20
        again = await browser.post("/sign-up", json={"email": "person1@example.com"})
        assert (await again.json())["new"] is False
        for wrong in ({"firstName": "Nobody"}, {"emial": "x"}):
            assert (await browser.post("/sign-up", json=wrong)).status == 400
        assert (await browser.post("/sign-up", data="{")).status == 400


async def test_a_web_app_that_locations_install() -> None:
    make_app = runpy.run_path(str(EXAMPLES / "oauth_web_app.py"))["make_app"]
    location = "ve9EPM428h8vShlRW1KT"
    async with TestClient(TestServer(make_app())) as browser:
        refused = await browser.post(f"/sign-up/{location}", json={"email": "a@example.com"})
        assert (refused.status, (await refused.json())["open"]) == (403, "/install")
        link = await browser.get("/install", allow_redirects=False)
        page = link.headers["Location"]
        assert f'value="{location}"' in await (await browser.session.get(page)).text()
        clicked = await browser.session.post(page, data={"account": location}, allow_redirects=False)
        back = URL(clicked.headers["Location"])
        other = await browser.get("/callback", params={**back.query, "state": "of somebody else"})
        assert (other.status, "state that came back" in await other.text()) == (400, True)
        done = await browser.get("/callback", params=back.query)
        assert (done.status, await done.text()) == (200, f"Installed for {location}.")
        again = await browser.get("/callback", params=back.query)
        assert (again.status, "does not take this code" in await again.text()) == (400, True)
        signed_up = await browser.post(f"/sign-up/{location}", json={"email": "a@example.com"})
        assert (signed_up.status, (await signed_up.json())["new"]) == (200, True)
        assert (await browser.post("/sign-up/elsewhere", json={"email": "a@example.com"})).status == 403


@needs_redis
async def test_a_web_app_of_several_workers_shares_one_quota() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(EXAMPLES / "web_app_workers.py"), "--port", str(port), "--rate", "20/0.5",
        env={name: value for name, value in os.environ.items() if name != "REDIS_URL"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert app.stdout is not None
    workers: set[int] = set()

    async def sign_up(browser: aiohttp.ClientSession, email: str) -> bool:
        async with browser.post(f"http://127.0.0.1:{port}/sign-up", json={"email": email}) as answer:
            told = await answer.json()
            assert answer.status == 200, told
            workers.add(told["worker"])
            return bool(told["new"])

    try:
        async with patiently():
            line = (await app.stdout.readline()).decode()
            assert line == f"sign up at http://127.0.0.1:{port}/sign-up\n"
            calls = 0
            # Each call on a connection of its own, so that the workers take turns, and until all of them have begun.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as browser:
                while len(workers) < 4 or calls < 120:
                    emails = [f"person{calls + n}@example.com" for n in range(40)]
                    assert all(await asyncio.gather(*(sign_up(browser, email) for email in emails)))
                    calls += len(emails)
    finally:
        app.send_signal(signal.SIGINT)
        out, error = await app.communicate()
    assert (app.returncode, out.decode()) == (0, f"{calls} calls, 0 of them answered 429\n"), error.decode()


async def test_a_web_app_of_several_workers_puts_into_one_outbox() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(EXAMPLES / "web_app_outbox.py"), "--port", str(port),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert app.stdout is not None
    url, workers, count = f"http://127.0.0.1:{port}/sign-up", set[int](), 0

    async def sign_up(browser: aiohttp.ClientSession, number: int) -> int:
        contact, headers = {"email": f"person{number}@example.com"}, {"Idempotency-Key": str(number)}
        while True:
            try:
                async with browser.post(url, json=contact, headers=headers) as answer:
                    told = await answer.json()
                    assert answer.status == 202, told
                    workers.add(told["worker"])
                    return int(told["id"])
            except aiohttp.ClientConnectionError:  # none listens yet, or it was killed: the key makes it safe
                await asyncio.sleep(0.05)

    try:
        async with patiently(), aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as browser:
            assert (await app.stdout.readline()).decode() == f"sign up at {url}\n"
            while len(workers) < 4 and count < 2_000:
                ids = await asyncio.gather(*(sign_up(browser, count + number) for number in range(20)))
                assert len(set(ids)) == 20
                count += 20
            os.kill(min(workers), signal.SIGKILL)
            await sign_up(browser, count)
            async with browser.post(url, json={"firstName": "nobody"}) as answer:
                assert answer.status == 400
    finally:
        app.send_signal(signal.SIGINT)
        out, error = await app.communicate()
    assert (app.returncode, out.decode()) == (0, f"{count + 1} contacts, 0 calls answered 429\n"), error.decode()


def test_one_example_uses_every_operation() -> None:
    text = (EXAMPLES / "every_operation.py").read_text(encoding="utf-8")
    methods = {*METHODS.values(), "contacts.search", "contacts.tags.add_to_many", "contacts.tags.remove_all_from_many"}
    assert [name for name in methods if f"lc.{name}(" not in text] == []


@pytest.mark.slow
def test_it_passes_the_strictest_type_check() -> None:
    """No expression in it is of the type Any: what a user sees has types."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--disallow-any-expr", str(EXAMPLES / "every_operation.py")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent, check=False)
    assert ended.returncode == 0, ended.stdout
