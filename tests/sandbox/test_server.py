"""The sandbox as a server: who is let in, how it counts, how it fails."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import aiohttp
import pytest

from leadconnector_async.sandbox import FAULT_KINDS, Applied, Sandbox
from tests.fake_clock import FakeClock
from tests.waiting import patiently

BODY = {"locationId": "L", "email": "a@b.co"}
HEADERS = {"Authorization": "Bearer sandbox", "Version": "2021-07-28"}
RATE_HEADERS = {
    "x-ratelimit-max",
    "x-ratelimit-remaining",
    "x-ratelimit-interval-milliseconds",
    "x-ratelimit-limit-daily",
    "x-ratelimit-daily-remaining",
    "x-ratelimit-daily-reset",
}


async def post(sandbox: Sandbox, path: str = "/contacts/upsert", **options: Any) -> tuple[int, Any, Any]:
    options = {"json": BODY, "headers": HEADERS, **options}
    async with aiohttp.ClientSession() as session, session.post(sandbox.url + path, **options) as response:
        text = await response.text()
        return response.status, await response.json(content_type=None) if text[:1] == "{" else text, response.headers


# ---------------------------------------------------------------------------------------------- who is let in


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"Authorization": None}, 401, "Invalid JWT"),
        ({"Authorization": "Bearer wrong"}, 401, "Invalid JWT"),
        ({"Authorization": "Bearer pit-wrong"}, 401, "Invalid Private Integration token"),
        ({"Version": None}, 401, "version header was not found."),
        ({"Version": "2020-01-01"}, 401, "version header is invalid"),
        ({"Version": "bogus-version"}, 400, "Invalid API version segment 'bogus-version' at position 0"),
        ({"Version": "2021-04-15"}, 200, None),
        ({"Version": "2023-02-21"}, 200, None),
        ({"Version": "v3"}, 200, None),
    ],
)
async def test_tokens_and_versions(headers: dict[str, str | None], status: int, message: str | None) -> None:
    merged = {name: value for name, value in {**HEADERS, **headers}.items() if value is not None}
    async with Sandbox() as sandbox:
        answered, body, _ = await post(sandbox, headers=merged)
    assert (answered, body.get("message")) == (status, message)


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/contacts/upsert/", 404), ("/Contacts/upsert", 401), ("/contacts", 201)]
)
async def test_paths(path: str, status: int) -> None:
    async with Sandbox() as sandbox:
        assert (await post(sandbox, path))[0] == status


async def test_only_its_locations_where_it_has_some() -> None:
    async with Sandbox(locations=["M"]) as sandbox:
        status, body, _ = await post(sandbox)
        assert (status, body["message"]) == (403, "The token does not have access to this location.")
        assert (await post(sandbox, json={**BODY, "locationId": "M"}))[0] == 200


@pytest.mark.parametrize("agent", ["", "Python-urllib/3.11"])
async def test_the_edge_refuses_some_user_agents(agent: str) -> None:
    async with Sandbox() as sandbox:
        assert (await post(sandbox, headers={**HEADERS, "User-Agent": agent}))[0] == 403


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b"[" * 50_000])
async def test_bodies_that_are_no_objects(data: bytes) -> None:
    async with Sandbox() as sandbox:
        assert (await post(sandbox, json=None, data=data))[0] == 400


async def test_what_is_no_http_is_answered_and_makes_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox() as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1]))
        writer.write(b"GET / HTTP/1.1\r\nX-Null: \x00\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 400")
        writer.close()
        await writer.wait_closed()
        assert (await post(sandbox))[0] == 200
    assert not caplog.records


async def test_a_body_that_is_too_large() -> None:
    async with Sandbox() as sandbox:
        assert (await post(sandbox, json=None, data=io.BytesIO(b" " * 2_000_000)))[0] == 413


# ---------------------------------------------------------------------------------------------- how it counts


async def statuses(sandbox: Sandbox, count: int) -> list[int]:
    return [(await post(sandbox))[0] for _ in range(count)]


@pytest.mark.parametrize(
    ("window", "waits"),
    [
        # From a first call on; where a slot of the clock ends (it starts at 1000 s, calls come at 1007); looking back.
        ("fixed", [(9.9, 429), (0.2, 200)]),
        ("aligned", [(2.9, 429), (0.2, 200)]),
        ("sliding", [(9.9, 429), (0.2, 200)]),
    ],
)
async def test_each_kind_of_window(window: Any, waits: list[tuple[float, int]]) -> None:
    clock = FakeClock()
    async with Sandbox(max_requests=3, window=window, monotonic=clock.monotonic) as sandbox:
        clock.now += 7
        assert await statuses(sandbox, 4) == [200, 200, 200, 429]
        for seconds, status in waits:
            clock.now += seconds
            assert await statuses(sandbox, 1) == [status]
        assert sandbox.rate_limited == 2


async def test_a_sliding_window_frees_call_by_call_and_a_fixed_one_all_at_once() -> None:
    freed = {}
    for window in ("fixed", "sliding"):
        clock = FakeClock()
        async with Sandbox(max_requests=2, window=window, monotonic=clock.monotonic) as sandbox:  # type: ignore[arg-type]
            await post(sandbox)
            clock.now += 6
            await post(sandbox)
            clock.now += 4.1
            freed[window] = await statuses(sandbox, 2)
    assert freed == {"fixed": [200, 200], "sliding": [200, 429]}


async def test_the_six_headers_count_down_on_every_answer() -> None:
    clock = FakeClock()
    async with Sandbox(profile="trial", monotonic=clock.monotonic) as sandbox:
        _, _, headers = await post(sandbox)
        assert {name.lower() for name in headers if name.lower().startswith("x-rate")} == RATE_HEADERS
        assert (headers["x-ratelimit-max"], headers["x-ratelimit-remaining"]) == ("25", "24")
        assert headers["x-ratelimit-interval-milliseconds"] == "10000"
        clock.now += 57
        status, _, headers = await post(sandbox, json={**BODY, "email": "x"})
        assert status == 422
        assert headers["x-ratelimit-remaining"] == "24"
        assert (headers["x-ratelimit-limit-daily"], headers["x-ratelimit-daily-remaining"]) == ("10000", "9998")
        assert headers["x-ratelimit-daily-reset"] == "86343000"


async def test_a_429_is_the_services_own() -> None:
    async with Sandbox(max_requests=1) as sandbox:
        await post(sandbox)
        status, body, headers = await post(sandbox)
    assert (status, body) == (429, {"statusCode": 429, "message": "Too Many Requests"})
    assert headers["x-ratelimit-remaining"] == "0"
    assert "Retry-After" not in headers


async def test_a_spent_day_ends_after_24_hours() -> None:
    clock = FakeClock()
    async with Sandbox(daily=2, monotonic=clock.monotonic) as sandbox:
        assert await statuses(sandbox, 3) == [200, 200, 429]
        clock.now += 86_399
        status, _, headers = await post(sandbox)
        assert (status, headers["x-ratelimit-daily-remaining"]) == (429, "0")
        clock.now += 2
        assert await statuses(sandbox, 1) == [200]


async def test_each_location_has_its_own_quota() -> None:
    async with Sandbox(max_requests=1) as sandbox:
        assert await statuses(sandbox, 2) == [200, 429]
        assert (await post(sandbox, json={**BODY, "locationId": "M"}))[0] == 200


async def test_unlimited_counts_nothing() -> None:
    async with Sandbox(unlimited=True) as sandbox:
        _, _, headers = await post(sandbox)
    assert not {name for name in headers if name.lower().startswith("x-ratelimit")}


# ---------------------------------------------------------------------------------------------- how it fails

# kind: (status or None where the connection breaks, whether the contact is written)
FAULTS: dict[str, tuple[int | None, bool]] = {
    "500": (500, False),
    "502-html": (502, False),
    "502-after": (502, True),
    "503-html": (503, False),
    "401-timeout": (401, False),
    "reset-before": (None, False),
    "reset-after": (None, True),
    "cut-body": (None, True),
    "429": (429, False),
    "429-retry-after": (429, False),
    "422-created": (422, True),
    "empty-200": (200, True),
    "html-200": (200, True),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_each_fault(kind: str) -> None:
    status, is_written = FAULTS[kind]
    async with Sandbox(retry_after=7) as sandbox:
        sandbox.fail_next(kind)
        if status is None:
            with pytest.raises((aiohttp.ClientOSError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
                await post(sandbox)
        else:
            answered, body, headers = await post(sandbox)
            assert answered == status
            assert headers.get("Retry-After") == ("7" if kind == "429-retry-after" else None)
            assert (
                (re.match("<html>", body) is not None) == ("html" in kind or kind == "502-after")
                if isinstance(body, str)
                else True
            )
            if kind == "401-timeout":
                assert body["message"] == "Command timed out"
        assert len(sandbox.contacts()) == is_written
        assert (await post(sandbox))[0] == 200


def test_each_kind_is_covered() -> None:
    assert set(FAULTS) | {"hang"} == set(FAULT_KINDS)


async def test_a_hanging_call_ends_with_the_sandbox() -> None:
    sandbox = Sandbox()
    await sandbox.start()
    sandbox.fail_next("hang")
    call = asyncio.ensure_future(post(sandbox))
    await asyncio.sleep(0.05)
    assert not call.done()
    async with patiently():
        await sandbox.stop()
    with pytest.raises(aiohttp.ClientError):
        await call


async def test_it_goes_on_where_it_was_stopped() -> None:
    sandbox = Sandbox()
    await sandbox.start()
    await post(sandbox)
    url = sandbox.url
    await sandbox.stop()
    async with sandbox:
        assert sandbox.url == url
        _, body, _ = await post(sandbox)
        assert (body["new"], len(sandbox.contacts())) == (False, 1)


@pytest.mark.parametrize("has_waited", [False, True], ids=["before the write", "after it"])
async def test_a_server_that_is_killed_answers_nobody_and_applies_no_more(has_waited: bool) -> None:
    naps: list[asyncio.Event] = []

    async def sleep(_seconds: float) -> None:
        naps.append(asyncio.Event())
        await naps[-1].wait()

    sandbox = Sandbox(latency=(1, 1), sleep=sleep)
    await sandbox.start()
    call = asyncio.ensure_future(post(sandbox))
    while len(naps) < 1 + has_waited:
        await asyncio.sleep(0.001)
        if naps and has_waited:
            naps[0].set()
    async with patiently():
        await sandbox.stop(abruptly=True)
    with pytest.raises(aiohttp.ClientError):
        await call
    assert len(sandbox.contacts()) == has_waited


async def test_what_was_applied_is_told_whatever_the_answer() -> None:
    seen: list[Applied] = []
    async with Sandbox(on_applied=seen.append) as sandbox:
        for kind in ("422-created", "500", None):
            sandbox.fail_next(kind)
            await post(sandbox)
        await post(sandbox, json={**BODY, "email": "no address"})
    assert [(each.fault, each.sent, each.answered["new"]) for each in seen] == [
        ("422-created", BODY, True),
        (None, BODY, False),
    ]


async def test_faults_by_chance_are_repeatable() -> None:
    async def run() -> list[int]:
        async with Sandbox(unlimited=True, seed=5, faults={"500": 0.5}) as sandbox:
            return await statuses(sandbox, 20)

    first = await run()
    assert {200, 500} == set(first)
    assert first == await run()


async def test_latency_passes_before_and_after_the_call_is_counted() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with Sandbox(latency=(0.2, 0.4), seed=3, sleep=sleep) as sandbox:
        await post(sandbox)
    assert len(waits) == 2
    assert 0.2 <= sum(waits) <= 0.4
    assert all(waits)


async def test_arrivals_are_kept_to_look_at() -> None:
    async with Sandbox(max_requests=1) as sandbox:
        await statuses(sandbox, 2)
        assert [(arrival.status, arrival.location_id) for arrival in sandbox.arrivals] == [(200, "L"), (429, "L")]
        assert (sandbox.requests, sandbox.rate_limited, sum(sandbox.writes.values())) == (2, 1, 1)


async def test_seeding_past_limits() -> None:
    async with Sandbox(max_requests=1) as sandbox:
        contacts = [sandbox.add_contact("L", email=f"{number}@B.co") for number in range(3)]
        assert sandbox.contact(contacts[2]["id"]) == contacts[2]
        assert contacts[0]["email"] == "0@b.co"


@pytest.mark.parametrize(
    "options",
    [
        {"faults": {"earthquake": 0.5}},
        {"faults": {"500": 2}},
        {"latency": (2, 1)},
        {"latency": (-1, 1)},
        {"window": "round"},
        {"profile": "gold"},
        {"max_requests": -1},
        {"unique_identifiers": ("name",)},
        {"unknown_custom_fields": "eat"},
    ],
)
async def test_arguments_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+ is|unknown|must be"):
        Sandbox(**options)


async def test_a_port_in_use_is_told() -> None:
    async with Sandbox() as sandbox:
        port = int(sandbox.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            await Sandbox(port=port).start()


# ---------------------------------------------------------------------------------------------- pages in a browser


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LOCALHOST", 200),
        ("app.localhost:{port}", 200),
        ("[::1]:{port}", 200),
        ("127.0.0.1", 200),
        ("evil.example", 403),  # a name that leads to this machine
        ("127.0.0.1.evil.example:{port}", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.5:{port}", 403),
        ("user@127.0.0.1:{port}@evil.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
async def test_only_names_of_this_machine_are_answered(sandbox: Sandbox, host: str, status: int) -> None:
    port = sandbox.url.rsplit(":", 1)[1]
    for method, path in (("POST", "/contacts/upsert"), ("GET", "/contacts/search/duplicate?locationId=L&email=a@b.co")):
        headers = {**HEADERS, "Host": host.format(port=port)}
        async with aiohttp.ClientSession() as session:
            body = BODY if method == "POST" else None
            async with session.request(method, sandbox.url + path, json=body, headers=headers) as response:
                assert response.status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/contacts/upsert", "/oauth/chooselocation", "/oauth/token"])
async def test_a_page_of_another_site_sends_nothing(sandbox: Sandbox, path: str, headers: dict[str, str]) -> None:
    assert (await post(sandbox, path, headers={**HEADERS, **headers}))[0] == 403
    assert sandbox.requests == 0


async def test_its_own_pages_send_forms(sandbox: Sandbox) -> None:
    headers = {"Origin": sandbox.url, "Sec-Fetch-Site": "same-origin", **HEADERS}
    assert (await post(sandbox, headers=headers))[0] == 200
