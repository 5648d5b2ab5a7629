"""What may befall Redis, and the processes that share a quota through it: never a flood, nothing stuck."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import (
    ClientStateError,
    ConfigurationError,
    DailyQuotaExceededError,
    LeadConnector,
    RateLimit,
    RateLimitStuckError,
    RedisLimits,
    SharedLimitsError,
)
from leadconnector_async.cli.options import read_limits
from leadconnector_async.limits import redis as shared_limits
from leadconnector_async.limits.limit import Slot, Window
from leadconnector_async.limits.redis_window import SharedWindow
from leadconnector_async.protocol.answers import Quota
from leadconnector_async.sandbox import Sandbox
from tests.limits.test_local import most_in_a_window
from tests.redis_server import LIMIT, OpenLimits, RedisServer, answer_first, heard, needs_redis, use, use_in_turn
from tests.waiting import PATIENCE, patiently, until

pytestmark = needs_redis
SECRET = "very-secret"


async def take_all(window: Window) -> list[Slot]:
    return list(await asyncio.gather(*(window.acquire() for _ in range(LIMIT.max_requests))))


# ---------------------------------------------------------------------------------------------- Redis loses something


async def lose_all(server: RedisServer) -> None:
    await asyncio.to_thread(server.ask, "flushall")


async def lose_what_cools(server: RedisServer) -> None:
    await asyncio.to_thread(server.ask, "del", "leadconnector:{L}:cooling")


async def lose_the_state(server: RedisServer) -> None:
    await asyncio.to_thread(server.ask, "del", "leadconnector:{L}:state")


@pytest.mark.parametrize("lose", [lose_all, lose_what_cools, lose_the_state])
async def test_what_is_evicted_or_flushed_costs_a_window_and_no_flood(
    redis_server: RedisServer, holders: OpenLimits, lose: Callable[[RedisServer], Awaitable[None]]
) -> None:
    windows = [(await holders()).window("L", LIMIT) for _ in range(2)]
    await answer_first(windows[0])
    arrivals: list[float] = []
    work = asyncio.ensure_future(use_in_turn(4 * LIMIT.max_requests, windows, arrivals))
    for times in range(3):
        await until(lambda: len(arrivals) >= (times + 0.7) * LIMIT.max_requests)  # noqa: B023  (awaited at once)
        await lose(redis_server)
    await work
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests


async def test_old_data_after_a_restart_is_not_believed(redis_server: RedisServer, holders: OpenLimits) -> None:
    window = (await holders(timeout=0.2)).window("L", LIMIT)
    await answer_first(window)
    await asyncio.to_thread(redis_server.ask, "save")
    arrivals: list[float] = []
    for _ in range(LIMIT.max_requests):
        await use(window, arrivals)
    await heard(window)
    redis_server.stop()
    await redis_server.start()
    assert "leadconnector:{L}:state" in await asyncio.to_thread(redis_server.ask, "keys", "*")
    await use_in_turn(2 * LIMIT.max_requests, [window], arrivals)
    assert most_in_a_window(arrivals[::2][:10] + arrivals[20:], LIMIT.per_seconds) <= LIMIT.max_requests


async def test_a_process_that_is_new_when_all_is_lost_sends_one_call_before_the_others_are_heard(
    redis_server: RedisServer, holders: OpenLimits
) -> None:
    old, new = (await holders()).window("L", LIMIT), (await holders()).window("L", LIMIT)
    await answer_first(old)
    arrivals: list[float] = []
    for slot in await take_all(old):
        arrivals.append(time.monotonic())
        old.release(slot)
    await heard(old)
    await asyncio.to_thread(redis_server.ask, "flushall")
    slot = await new.acquire()
    arrivals.append(time.monotonic())
    await use_in_turn(2 * LIMIT.max_requests, [old, new], arrivals)
    new.release(slot)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests + 1


@pytest.fixture
def leap(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Set the clock of Redis: the script adds what another key holds, and keys end by the same clock."""
    clock, end = b"local clock = redis.call('TIME')\n", b"redis.call('PEXPIREAT', "
    assert (shared_limits.SCRIPT.count(clock), shared_limits.SCRIPT.count(end)) == (1, 2)
    script = shared_limits.SCRIPT.replace(end, b"expire_at(")
    leaping = b"""local leap = redis.call('GET', 'leap') or 0
clock[1] = clock[1] + leap
local function expire_at(key, at) redis.call('PEXPIREAT', key, string.format('%.0f', at - leap * 1000)) end
"""
    monkeypatch.setattr(shared_limits, "SCRIPT", script.replace(clock, clock + leaping))
    monkeypatch.setattr(shared_limits, "SCRIPT_SHA", "0" * 40)

    async def set_ahead(seconds: float) -> None:
        await asyncio.to_thread(redis_server.ask, "set", "leap", str(seconds))

    return set_ahead


@pytest.mark.parametrize("seconds", [0.3, -0.3, 3600, -3600, -0.02])
async def test_a_clock_of_redis_that_is_set_neither_floods_nor_stops(
    holders: OpenLimits, leap: Callable[[float], Awaitable[None]], seconds: float
) -> None:
    windows = [(await holders()).window("L", LIMIT) for _ in range(2)]
    await answer_first(windows[0])
    arrivals: list[float] = []
    work = asyncio.ensure_future(use_in_turn(5 * LIMIT.max_requests, windows, arrivals))
    await until(lambda: len(arrivals) >= 1.5 * LIMIT.max_requests)
    await leap(seconds)
    await work
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests


# ---------------------------------------------------------------------------------------------- Redis gives no answer


async def test_redis_frozen_in_mid_load_costs_time_alone(redis_server: RedisServer) -> None:
    limit = RateLimit(20, 0.5)
    async with Sandbox(max_requests=20, per_seconds=0.5, latency=(0.0, 0.02)) as sandbox:

        async def load(name: str) -> int:
            limits = RedisLimits(redis_server.url, timeout=0.2)
            async with LeadConnector(
                "sandbox", base_url=sandbox.url, location_id="L", limits=limits, rate_limit=limit
            ) as client:
                report = await client.contacts.bulk_upsert([{"email": f"{name}{n}@example.com"} for n in range(60)])
            return report.created

        loads = asyncio.gather(load("a"), load("b"))
        await until(lambda: len(sandbox.contacts()) > 30)
        redis_server.freeze()
        await asyncio.sleep(1.2)
        redis_server.thaw()
        assert await loads == [60, 60]
        assert sandbox.rate_limited == 0


async def test_slots_of_an_answer_that_never_came_are_asked_back(
    holders: OpenLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = await holders()
    seconds = 9 * PATIENCE  # a lease ends later than anybody waits
    window = limits.window("L", RateLimit(10, seconds, daily=None))
    window.release(await window.acquire(), Quota(10, 9, seconds, None, None))
    run = limits._run_script
    lost = 0

    async def lose(location_id: str, said: bytes) -> Any:
        nonlocal lost
        answer = await run(location_id, said)
        if lost < 3 and b'"singles":0' not in said:
            lost += 1
            raise ConnectionError("it was cut")
        return answer

    monkeypatch.setattr(limits, "_run_script", lose)
    async with patiently():
        await asyncio.gather(*(window.acquire() for _ in range(9)))
    assert lost == 3


async def test_what_was_told_twice_counts_once(holders: OpenLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = await holders()
    window = limits.window("L", RateLimit(10, 0.4, daily=100))
    run = limits._run_script
    lost = 0

    async def lose(location_id: str, said: bytes) -> Any:
        nonlocal lost
        answer = await run(location_id, said)
        if lost < 3 and b'"answered":[]' not in said:
            lost += 1
            raise ConnectionError("it was cut")
        return answer

    monkeypatch.setattr(limits, "_run_script", lose)
    for _ in range(5):
        window.release(await window.acquire())
    async with patiently():
        await window.acquire()
    assert (lost, window.calls_left_today()) == (3, 100 - 5 - 1)


async def test_an_answer_that_makes_no_sense_is_no_answer(holders: OpenLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = await holders()
    run = limits._run_script
    answers = iter([b"nonsense", b"[]", b'{"slots":1}'])

    async def garble(location_id: str, said: bytes) -> Any:
        return next(answers, None) or await run(location_id, said)

    monkeypatch.setattr(limits, "_run_script", garble)
    async with patiently():
        await limits.window("L", LIMIT).acquire()


async def test_a_slot_of_the_share_is_of_the_outage_in_which_it_was_taken(
    redis_server: RedisServer, holders: OpenLimits
) -> None:
    window = (await holders(share=0.5, timeout=0.2)).window("L", LIMIT)
    await answer_first(window)

    async def be_alone() -> None:
        redis_server.stop()
        wanted = asyncio.ensure_future(window.acquire())
        async with patiently():
            slot = await wanted
        window.release(slot)

    await be_alone()
    kept = [await window.acquire() for _ in range(3)]
    await redis_server.start()
    await until(lambda: window._alone is None)
    await be_alone()
    for slot in kept:
        window.release(slot)
    arrivals: list[float] = []
    await use_in_turn(LIMIT.max_requests, [window], arrivals, workers=8)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests // 2


async def test_that_redis_is_lost_is_told_once_however_many_locations_notice(
    redis_server: RedisServer, holders: OpenLimits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leadconnector_async.limits.redis")
    limits = await holders(timeout=0.3)
    redis_server.stop()
    calls = [asyncio.ensure_future(limits.window(f"L{n}", LIMIT).acquire()) for n in range(40)]
    await until(lambda: caplog.records)
    await redis_server.start()
    async with patiently():
        await asyncio.gather(*calls)
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[2] for line in told] == ["over", "again"], told


async def test_closing_does_not_wait_for_a_redis_that_is_frozen(redis_server: RedisServer) -> None:
    limits = RedisLimits(redis_server.url, timeout=1.0)
    await limits.open()
    for n in range(40):
        window = limits.window(f"L{n}", LIMIT)
        window.release(await window.acquire())
    redis_server.freeze()
    try:
        async with asyncio.timeout(40 * 1.0):  # as long as it would take, were they closed one after the other
            await limits.close()
    finally:
        redis_server.thaw()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_connection_that_redis_closed_while_idle_is_no_outage(
    redis_server: RedisServer, holders: OpenLimits, caplog: pytest.LogCaptureFixture
) -> None:
    window = (await holders()).window("L", LIMIT)
    await answer_first(window)
    await asyncio.to_thread(redis_server.ask, "client", "kill", "type", "normal", "skipme", "yes")
    window.release(await window.acquire())
    assert caplog.records == []


# ---------------------------------------------------------------------------------------------- Redis refuses


async def test_out_of_memory_is_told_and_waited_out(redis_server: RedisServer, holders: OpenLimits) -> None:
    window = (await holders()).window("L", LIMIT)
    await answer_first(window)
    await asyncio.to_thread(redis_server.ask, "config", "set", "maxmemory", "1")
    arrivals: list[float] = []
    # Redis lets a script write on that has freed some memory.
    work = asyncio.ensure_future(use_in_turn(99, [window], arrivals))
    await asyncio.wait([work], timeout=3 * LIMIT.per_seconds)
    work.cancel()
    await asyncio.wait([work])
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests
    limits = RedisLimits(redis_server.url)
    with pytest.raises(SharedLimitsError, match="no memory left"):
        await limits.open()
    await asyncio.to_thread(redis_server.ask, "config", "set", "maxmemory", "0")
    async with patiently():
        await window.acquire()


@pytest.mark.parametrize(
    ("setting", "url", "sentence"),
    [
        (["replicaof", "127.0.0.1", "1"], "redis://127.0.0.1:{}", "is a replica and takes no writes"),
        (["config", "set", "requirepass", SECRET], "redis://127.0.0.1:{}", "refuses the password, or needs one"),
        (["config", "set", "requirepass", SECRET], f"redis://:{SECRET}x@127.0.0.1:{{}}", "refuses the password"),
        (
            ["acl", "setuser", "lc", "on", f">{SECRET}", "~*", "+@all", "-eval"],
            f"redis://lc:{SECRET}@127.0.0.1:{{}}",
            "does not let this user run the script",
        ),
        (
            ["acl", "setuser", "lc", "on", f">{SECRET}", "~other:*", "+@all"],
            f"redis://lc:{SECRET}@127.0.0.1:{{}}",
            "refuses the script|does not let this user run the script",
        ),
    ],
)
async def test_a_redis_that_refuses_is_told_at_the_start_and_no_secret_with_it(
    redis_server: RedisServer, setting: list[str], url: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await asyncio.to_thread(redis_server.ask, *setting)
    limits = RedisLimits(url.format(redis_server.port))
    with pytest.raises(SharedLimitsError, match=sentence) as caught:
        await limits.open()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in caplog.text + repr(limits)


@pytest.mark.parametrize("where", ["redis://user:{}@127.0.0.1:{}", "redis://127.0.0.1:{1}?password={0}", ""])
async def test_a_server_that_repeats_the_password(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """As Redis does with a command that it does not know."""
    caplog.set_level(logging.DEBUG)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (said := await reader.read(1_000)) != b"":
            writer.write(b"-ERR unknown command 'AUTH', with args beginning with: '%s'\r\n" % said.split(b"\r\n")[-2])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = {} if where else {"password": SECRET}
    limits = RedisLimits((where or "redis://127.0.0.1:{1}").format(SECRET, port), **options)  # type: ignore[arg-type]
    with pytest.raises(SharedLimitsError, match=r"refuses the script.*unknown command 'AUTH'") as caught:
        await limits.open()
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + caplog.text
    server.close()


async def test_a_user_with_no_more_rights_than_are_needed(redis_server: RedisServer) -> None:
    rights = "+eval +evalsha +time +hset +hgetall +hdel +pexpire +pexpireat +exists +del +zadd +zrem +zscore +zcard"
    words = ["acl", "setuser", "lc", "on", f">{SECRET}", "~leadconnector:*", *rights.split(), "+zrange"]
    await asyncio.to_thread(redis_server.ask, *words, "+zremrangebyscore")
    limits = RedisLimits(f"redis://lc@127.0.0.1:{redis_server.port}", password=SECRET)
    await limits.open()
    async with patiently():
        await answer_first(limits.window("L", LIMIT))
    await limits.close()


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:1",
        f"redis://user:{SECRET}@127.0.0.1:1/0",
        f"redis://127.0.0.1:1?password={SECRET}",
        f"unix://:{SECRET}@/nowhere.sock",
        f"redis://:1/{SECRET}@127.0.0.1",
        f"rediss://:{SECRET}@127.0.0.1:1",
        f"redis://:1#{SECRET}@127.0.0.1",
    ],
)
async def test_a_password_in_an_address_is_nowhere_to_be_seen(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = ""
    try:
        limits = RedisLimits(url, timeout=0.3)
        told += repr(limits)
        await limits.open()
    except (ConfigurationError, SharedLimitsError) as error:
        told += "".join(traceback.format_exception(error)) + repr(error)
    assert SECRET not in told.replace(f'"{SECRET}"', "").replace(url, "") + caplog.text
    with pytest.raises(ConfigurationError, match="LEADCONNECTOR_REDIS_PASSWORD") as caught:
        read_limits(url)
    assert SECRET not in str(caught.value)


# ---------------------------------------------------------------------------------------------- other servers


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[RedisServer]]]:
    servers = []

    async def start_server(*options: str) -> RedisServer:
        server = RedisServer(tmp_path, *options)
        servers.append(server)
        await server.start()
        return server

    yield start_server
    for server in servers:
        server.stop()


async def test_a_unix_socket(tmp_path: Path, start: Callable[..., Awaitable[RedisServer]]) -> None:
    path = tmp_path / "redis.sock"
    await start("--unixsocket", str(path), "--unixsocketperm", "700")
    limits = RedisLimits(f"unix://{path}")
    await limits.open()
    await answer_first(limits.window("L", LIMIT))
    await limits.close()
    assert str(path) in repr(limits)


def make_certificate(folder: Path, name: str) -> list[str]:
    key, certificate = str(folder / f"{name}.key"), str(folder / f"{name}.crt")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return [certificate, key]


async def test_tls_and_whom_it_trusts(tmp_path: Path, start: Callable[..., Awaitable[RedisServer]]) -> None:
    try:
        certificate, key = await asyncio.to_thread(make_certificate, tmp_path, "localhost")
    except FileNotFoundError:
        pytest.skip("there is no openssl")
    plain = await start()
    free = plain.port
    plain.stop()
    options = ["--tls-port", str(free), "--tls-cert-file", certificate, "--tls-key-file", key]
    await start(*options, "--tls-auth-clients", "no")
    good = RedisLimits(f"rediss://localhost:{free}?ssl_ca_certs={certificate}")
    await good.open()
    await answer_first(good.window("L", LIMIT))
    await good.close()
    for url in (
        f"rediss://localhost:{free}",  # nobody vouches for it
        f"rediss://127.0.0.1:{free}?ssl_ca_certs={certificate}",  # another name
        f"redis://localhost:{free}",
    ):
        with pytest.raises(SharedLimitsError, match="gives no answer"):
            await RedisLimits(url, timeout=0.5).open()


@pytest.mark.parametrize("location_id", ["", "}", "{}x", "{a}{b}", "ö\r\n *", "}{"])
def test_all_keys_of_a_location_are_in_one_slot(location_id: str) -> None:
    from redis.cluster import key_slot

    limits = RedisLimits("redis://localhost")
    asked: list[list[str]] = []

    class Fake:
        async def evalsha(self, sha: str, count: int, *words: str) -> bytes:
            asked.append([*words[:count]])
            return b""

    limits._redis = Fake()  # type: ignore[assignment]
    asyncio.run(limits._run_script(location_id, b""))
    assert len({key_slot(name.encode()) for name in asked[0]}) == 1
    assert all(name.isascii() and name.isprintable() and " " not in name for name in asked[0])


async def test_scripts_that_were_flushed_are_sent_again(redis_server: RedisServer, holders: OpenLimits) -> None:
    window = (await holders()).window("L", LIMIT)
    for _ in range(3):
        await asyncio.to_thread(redis_server.ask, "script", "flush")
        async with patiently():
            window.release(await window.acquire())


async def test_text_in_place_of_bytes_is_understood(redis_server: RedisServer) -> None:
    limits = RedisLimits(f"{redis_server.url}?decode_responses=true")
    await limits.open()
    async with patiently():
        await limits.window("L", LIMIT).acquire()
    await limits.close()


# ---------------------------------------------------------------------------------------------- several processes


async def test_of_two_limits_the_strictest_holds_and_each_has_its_turn(holders: OpenLimits) -> None:
    loose = (await holders()).window("L", RateLimit(40, 0.4, daily=None))
    strict = (await holders()).window("L", LIMIT)
    await answer_first(strict)
    await answer_first(loose)
    arrivals: list[float] = []
    counts = await use_in_turn(5 * LIMIT.max_requests, [loose, strict], arrivals, workers=12)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests
    assert min(counts) >= 5


async def test_a_strict_limit_ends_with_the_process_that_asked_for_it(holders: OpenLimits) -> None:
    loose = (await holders()).window("L", RateLimit(40, 0.4, daily=None))
    strict = (await holders()).window("L", LIMIT)
    await answer_first(strict)
    async with patiently():  # nobody gives one back, so that under the strict limit they would wait for ever
        await asyncio.gather(*(loose.acquire() for _ in range(40)))


async def test_one_process_may_ask_for_fewer_calls_a_day_than_another(holders: OpenLimits) -> None:
    few = (await holders()).window("L", RateLimit(10, 0.2, daily=2))
    many = (await holders()).window("L", RateLimit(10, 0.2, daily=5))
    for window in (few, many):
        window.release(await window.acquire())
        await heard(window)
    with pytest.raises(DailyQuotaExceededError):
        await few.acquire()
    for _ in range(3):
        many.release(await many.acquire())
        await heard(many)
    with pytest.raises(DailyQuotaExceededError):
        await many.acquire()


async def test_two_clients_of_one_process_keep_the_strictest_and_none_lifts_it(holders: OpenLimits) -> None:
    limits = await holders()
    unlimited, loose = limits.window("L", None), limits.window("L", RateLimit(40, 0.4, daily=None))
    assert isinstance(unlimited.capacity, int)
    await answer_first(loose)
    strict = limits.window("L", LIMIT)
    assert strict is loose is not unlimited
    arrivals: list[float] = []
    await use_in_turn(3 * LIMIT.max_requests, [strict], arrivals, workers=20)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests


FORKING = """
import asyncio, os, sys
from leadconnector_async import RateLimit, RedisLimits

limits = RedisLimits(sys.argv[1])  # before the fork, as servers do that load the app first
limit = RateLimit(10, 3600.0, daily=None)

async def work():
    await limits.open()
    window = limits.window("L", limit)
    slot = await window.acquire()
    os.write(1, b".")
    window.release(slot)
    while True:
        await window.acquire()
        os.write(1, b".")

for _ in range(3):
    if os.fork() == 0:
        asyncio.run(work())
os.wait()
"""


async def test_processes_that_were_forked_are_holders_of_their_own(redis_server: RedisServer) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", FORKING, redis_server.url,
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with patiently():
            assert await process.stdout.readexactly(10) == b"." * 10
        with pytest.raises(TimeoutError):  # no more than that, however many they are
            await asyncio.wait_for(process.stdout.read(1), 1.0)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def test_limits_belong_to_the_loop_that_uses_them(redis_server: RedisServer) -> None:
    limits = RedisLimits(redis_server.url)
    await limits.open()
    raised: list[BaseException] = []

    def use_elsewhere() -> None:
        try:
            asyncio.run(limits.open())
        except ClientStateError as error:
            raised.append(error)

    thread = threading.Thread(target=use_elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "another event loop" in str(raised[0])
    await answer_first(limits.window("L", LIMIT))
    await limits.close()


LEFT_OPEN = """
import asyncio, sys
from leadconnector_async import RateLimit, RedisLimits

limits = RedisLimits(sys.argv[1])

async def leave_open():
    await limits.open()
    await limits.window("L", RateLimit()).acquire()

async def use_again():
    await limits.open()
    async with asyncio.timeout(120):
        await limits.window("L", RateLimit()).acquire()
    await limits.close()

asyncio.run(leave_open())
asyncio.run(use_again())
"""


async def test_limits_can_be_opened_on_the_next_loop(redis_server: RedisServer) -> None:
    command = [sys.executable, "-c", LEFT_OPEN, redis_server.url]
    await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=PATIENCE)


async def test_clients_that_open_at_once_share_a_connection(redis_server: RedisServer) -> None:
    limits = RedisLimits(redis_server.url)
    await asyncio.gather(*(limits.open() for _ in range(5)))
    listed = await asyncio.to_thread(redis_server.ask, "client", "list")
    assert len(listed.splitlines()) == 2  # with the one that asks
    for _ in range(5):
        await limits.close()


async def test_a_slot_that_lapsed_while_the_process_stood_still_is_not_used(
    redis_server: RedisServer, holders: OpenLimits
) -> None:
    window = (await holders()).window("L", LIMIT)
    await answer_first(window)
    ready = asyncio.Event()
    window.call_when_ready(ready.set)
    await ready.wait()
    assert window.is_ready()
    time.sleep(1.2 * LIMIT.per_seconds)  # noqa: ASYNC251  (as a process that is stopped)
    slot = await window.acquire(bulk=True)
    assert slot.name in await asyncio.to_thread(redis_server.ask, "zrange", "leadconnector:{L}:taken", "0", "-1")


# ---------------------------------------------------------------------------------------------- pauses and days


async def test_a_pause_that_begins_while_redis_is_asked_is_kept(
    holders: OpenLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = await holders()
    window = limits.window("L", LIMIT)
    await answer_first(window)
    slot = await window.acquire()
    run = limits._run_script

    async def pause_meanwhile(location_id: str, said: bytes) -> Any:
        answer = await run(location_id, said)
        monkeypatch.undo()
        window.pause(1.0)
        return answer

    monkeypatch.setattr(limits, "_run_script", pause_meanwhile)
    began = time.monotonic()
    await window.acquire()
    assert time.monotonic() - began > 0.9
    window.release(slot)


async def test_a_pause_that_is_too_long_is_refused_by_all(holders: OpenLimits) -> None:
    one, other = (await holders()).window("L", LIMIT), (await holders()).window("L", LIMIT)
    await answer_first(one)
    one.pause(600.0, longest=60.0)
    await heard(one)
    async with patiently():
        with contextlib.suppress(RateLimitStuckError):
            await other.acquire(bulk=True)
        with pytest.raises(RateLimitStuckError):
            await other.acquire()


async def test_a_day_that_is_spent_is_told_also_during_a_pause(holders: OpenLimits) -> None:
    """Else a load would hand its rows out again and again: `is_ready` says that they are refused."""
    window = (await holders()).window("L", RateLimit(10, 0.4, daily=1))
    window.release(await window.acquire())
    await heard(window)
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire(bulk=True)
    window.pause(30.0)
    await heard(window)
    assert window.is_ready()
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire(bulk=True)


# ---------------------------------------------------------------------------------------------- many locations


async def test_idle_locations_leave_nothing_behind(redis_server: RedisServer, holders: OpenLimits) -> None:
    seconds = 9 * PATIENCE  # so that nothing ends while it is looked at
    limits = await holders()
    told, untold = (limits.window(name, RateLimit(10, seconds)) for name in ("told", "untold"))
    told.release(await told.acquire(), Quota(10, 9, seconds, 199_999, 80_000.0))
    untold.release(await untold.acquire())
    for window in (told, untold):
        await heard(window)
    names = {name for name in (await asyncio.to_thread(redis_server.ask, "keys", "*")).split() if "trial" not in name}
    assert names == {f"leadconnector:{{{name}}}:{key}" for name in ("told", "untold") for key in ("state", "cooling")}
    lifetimes = {name: int(await asyncio.to_thread(redis_server.ask, "pttl", name)) for name in names}
    assert 0 < lifetimes["leadconnector:{told}:cooling"] <= 2 * seconds * 1000 + 1
    assert 0 < lifetimes["leadconnector:{told}:state"] <= 3_600_001
    assert lifetimes["leadconnector:{untold}:state"] > 80_000_000  # nobody else counts the calls of its day
    short = limits.window("short", RateLimit(10, 0.4))
    short.release(await short.acquire())
    await until(short.is_idle)


async def test_300_locations_at_once_use_few_connections_and_few_requests(
    redis_server: RedisServer, holders: OpenLimits
) -> None:
    limits = await holders()
    windows = [limits.window(f"L{n}", RateLimit(20, 5.0, daily=None)) for n in range(300)]
    for window in windows:
        window.release(await window.acquire(), Quota(20, 19, 5.0, None, None))
    await asyncio.to_thread(redis_server.ask, "config", "resetstat")
    await asyncio.gather(*(use(window, []) for window in windows for _ in range(6)))
    listed = await asyncio.to_thread(redis_server.ask, "client", "list")
    assert len(listed.splitlines()) <= 18
    await asyncio.sleep(0.5)
    assert await asyncio.to_thread(redis_server.scripts_run) <= 300 * 6


async def test_windows_with_nothing_to_do_are_forgotten(holders: OpenLimits) -> None:
    limits = await holders()
    limit = RateLimit(10, 0.05, daily=None)
    for n in range(900):
        limits.window(f"L{n}", limit)
        limits.window(f"L{n}", None)
    busy = limits.window("busy", limit)
    slot = await busy.acquire()
    limits.window("more", limit)
    assert len(limits._windows) <= 1_000
    assert isinstance(busy, SharedWindow)
    assert limits.window("busy", limit) is busy
    busy.release(slot)
