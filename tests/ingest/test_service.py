"""The service: what it answers, and that it acknowledges nothing that is not on disk."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from leadconnector_async import LeadConnector
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.ingest import Outbox
from leadconnector_async.ingest.service import Service, Taker, take_lines
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION

SECRET = "a secret of tests"
ANN = {"email": "ann@example.com", "firstName": "Ann"}
BEN = {"email": "ben@example.com", "firstName": "Ben"}


class Caller:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def post(self, content: Any = None, *, key: str | None = None, **options: Any) -> tuple[int, Any]:
        options.setdefault("headers", {"Authorization": f"Bearer {SECRET}"})
        if key is not None:
            options["headers"]["Idempotency-Key"] = key
        if "data" not in options:
            options["json"] = content
        return await self.ask("POST", "/contacts", **options)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self._session.request(method, self.url + path, **options) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json()


@pytest.fixture
async def outbox(client: LeadConnector, tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(client, tmp_path / "outbox.sqlite3", drain=False, when_full="raise", max_waiting=10)
    async with outbox:
        yield outbox


@pytest.fixture
async def caller(outbox: Outbox) -> AsyncIterator[Caller]:
    service = Service(outbox, secret=SECRET, locations=[LOCATION, "other"])
    await service.start()
    async with aiohttp.ClientSession() as session:
        yield Caller(session, service.url)
    await service.stop()


async def waiting(outbox: Outbox) -> int:
    return (await outbox.status()).waiting


async def test_a_contact_is_acknowledged_once_it_is_on_disk(caller: Caller, outbox: Outbox) -> None:
    status, answer = await caller.post(ANN, key="signup-1")
    assert (status, answer) == (202, {"id": 1, "duplicate": False})
    assert await waiting(outbox) == 1
    assert await caller.post(ANN, key="signup-1") == (202, {"id": 1, "duplicate": True})
    status, answer = await caller.post(BEN, key="signup-1")
    assert (status, "another contact" in answer["error"]) == (409, True)
    assert await waiting(outbox) == 1


async def test_of_a_list_the_good_ones_are_taken(caller: Caller, outbox: Outbox) -> None:
    status, answer = await caller.post([ANN, BEN], key="k")
    assert (status, [one["status"] for one in answer["results"]]) == (202, [202, 202])
    status, answer = await caller.post([ANN, {"firstName": "nobody"}, 7, {**BEN, "locationId": "stranger"}, BEN])
    assert status == 207
    assert [one["status"] for one in answer["results"]] == [202, 400, 400, 400, 202]
    assert await waiting(outbox) == 4
    status, answer = await caller.post([ANN, BEN], key="k")
    assert [one["duplicate"] for one in answer["results"]] == [True, True]
    assert await caller.post([]) == (202, {"results": []})


@pytest.mark.parametrize(
    "content", [{}, {"email": 7, "tags": 1}, {"mail": "a"}, 7, None, "text", {**ANN, "locationId": "x"}, True]
)
async def test_what_is_no_contact_is_refused(caller: Caller, outbox: Outbox, content: Any) -> None:
    status, answer = await caller.post(content)
    assert (status, bool(answer["error"]), await waiting(outbox)) == (400, True, 0)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"email": NaN}', b"email=a%40b.c"])
async def test_what_is_not_json_is_refused(caller: Caller, outbox: Outbox, body: bytes) -> None:
    assert await caller.post(data=body) == (400, {"error": "the body is not JSON"})
    assert await waiting(outbox) == 0


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer wrong", f"Basic {SECRET}", SECRET, f"Bearer {SECRET}x", "Bearer \xff"]
)
async def test_who_does_not_know_the_secret_is_refused(caller: Caller, outbox: Outbox, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    assert (await caller.post(ANN, headers=headers))[0] == 401
    assert (await caller.ask("GET", "/status", headers=headers))[0] == 401
    assert (await caller.ask("GET", "/other", headers=headers))[0] == 401
    assert await waiting(outbox) == 0
    assert await caller.ask("GET", "/healthz", headers=headers) == (200, {"ok": True})


async def test_bodies_are_capped_also_when_they_are_compressed(caller: Caller, outbox: Outbox) -> None:
    large = b'{"email": "a@example.com", "firstName": "' + b"x" * 2_000_000 + b'"}'
    assert (await caller.post(data=io.BytesIO(large)))[0] == 413
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Encoding": "gzip"}
    assert (await caller.post(data=gzip.compress(large), headers=headers))[0] == 413
    assert await waiting(outbox) == 0


async def test_other_paths_and_methods_are_refused(caller: Caller) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}
    assert (await caller.ask("GET", "/contacts", headers=headers))[0] == 405
    assert (await caller.ask("POST", "/nothing", headers=headers))[0] == 404


async def test_a_full_or_broken_outbox_asks_to_come_again(caller: Caller, outbox: Outbox, tmp_path: Path) -> None:
    await outbox.put_many([{"email": f"p{number}@example.com"} for number in range(9)])
    status, answer = await caller.post([ANN, BEN])
    assert (status, [one["status"] for one in answer["results"]]) == (207, [202, 503])
    assert (await caller.post(BEN))[0] == 503
    (tmp_path / "outbox.sqlite3").unlink()
    status, answer = await caller.post(BEN)
    assert (status, "gone" in answer["error"]) == (503, True)
    assert (await caller.ask("GET", "/healthz"))[0] == 503
    await outbox.close()
    assert (await caller.post(BEN))[0] == 503
    assert (await caller.ask("GET", "/healthz"))[0] == 503


async def test_the_status_is_told(caller: Caller, outbox: Outbox) -> None:
    await caller.post(ANN)
    status, answer = await caller.ask("GET", "/status", headers={"Authorization": f"Bearer {SECRET}"})
    assert status == 200
    assert (answer["waiting"], answer["dead_letters"], answer["is_draining"]) == (1, 0, False)


async def test_a_port_in_use_and_an_empty_secret_are_told(caller: Caller, outbox: Outbox) -> None:
    port = int(caller.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"port {port}, cannot be used"):
        await Service(outbox, secret="s", port=port).start()
    with pytest.raises(ConfigurationError, match="secret"):
        Service(outbox, secret="")


async def test_lines_are_put_and_faults_are_told_by_number(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    text = b'{"email": "a@example.com"}\n\nno json\n{"firstName": "x"}\n' + b"x" * 2_500_000 + b"\n[]\n"
    text += b'{"email": "b@example.com"}'
    refused: list[int] = []
    async with Outbox(client, tmp_path / "outbox.sqlite3") as outbox:
        lines = await take_lines(
            Taker(outbox), io.BytesIO(text), asyncio.Event(), lambda number, _: refused.append(number)
        )
        assert await outbox.flush()
    assert (lines.taken, lines.refused, refused) == (2, 4, [3, 4, 5, 6])
    assert len(sandbox.contacts()) == 2
