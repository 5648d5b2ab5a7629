"""What may befall Redis, and the processes that share a quota through it: never a flood, nothing stuck."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
    shared_limits,
)
from leadconnector_async.answers import Quota
from leadconnector_async.cli.options import read_limits
from leadconnector_async.errors import LocationPausedError
from leadconnector_async.limits import Slot, Window
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.shared_window import SharedWindow
from tests.redis_server import LIMIT, OpenLimits, RedisServer, answer_first, needs_redis, use
from tests.test_limits import most_in_a_window

pytestmark = needs_redis
SECRET = "very-secret"


async def use_for(windows: float, window: Window, arrivals: list[float], *, workers: int = 4) -> None:
    """Call as often as the window allows."""
    until = time.monotonic() + windows * LIMIT.per_seconds

    async def work() -> None:
        while time.monotonic() < until:
            try:
                slot = await window.acquire(bulk=True)
            except LocationPausedError:
                await asyncio.sleep(0.01)
                continue
            arrivals.append(time.monotonic())
            await asyncio.sleep(0.005)
            window.release(slot)

    await asyncio.gather(*(work() for _ in range(workers)))


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
    work = asyncio.gather(*(use_for(8, window, arrivals) for window in windows))
    for _ in range(3):
        await asyncio.sleep(1.7 * LIMIT.per_seconds)
        await lose(redis_server)
    await work
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests
    assert len(arrivals) >= 2 * LIMIT.max_requests


async def test_old_data_after_a_restart_is_not_believed(redis_server: RedisServer, holders: OpenLimits) -> None:
    window = (await holders(timeout=0.2)).window("L", LIMIT)
    await answer_first(window)
    await asyncio.to_thread(redis_server.ask, "save")
    arrivals: list[float] = []
    for _ in range(LIMIT.max_requests):
        await use(window, arrivals)
    await asyncio.sleep(0.05)  # so that Redis hears of them
    redis_server.stop()
    await redis_server.start()
    assert "leadconnector:{L}:state" in await asyncio.to_thread(redis_server.ask, "keys", "*")
    await use_for(3, window, arrivals)
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
    await asyncio.sleep(0.05)
    await asyncio.to_thread(redis_server.ask, "flushall")
    slot = await new.acquire()
    arrivals.append(time.monotonic())
    await asyncio.gather(use_for(2, old, arrivals), use_for(2, new, arrivals))
    new.release(slot)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests + 1


@pytest.fixture
def leap(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Set the clock of Redis: the script adds what another key holds."""
    clock = b"local clock = redis.call('TIME')\n"
    assert clock in shared_limits.SCRIPT
    more = clock + b"clock[1] = clock[1] + (redis.call('GET', 'leap') or 0)\n"
    monkeypatch.setattr(shared_limits, "SCRIPT", shared_limits.SCRIPT.replace(clock, more))
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
    async with asyncio.timeout(20):
        work = asyncio.gather(*(use_for(7, window, arrivals) for window in windows))
        await asyncio.sleep(2.2 * LIMIT.per_seconds)
        await leap(seconds)
        await work
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests
    assert len(arrivals) >= 3 * LIMIT.max_requests


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
        await asyncio.sleep(0.8)
        redis_server.freeze()
        await asyncio.sleep(1.2)
        redis_server.thaw()
        assert await loads == [60, 60]
        assert sandbox.rate_limited == 0


async def test_slots_of_an_answer_that_never_came_are_asked_back(
    holders: OpenLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = await holders()
    window = limits.window("L", RateLimit(10, 20.0, daily=None))
    window.release(await window.acquire(), Quota(10, 9, 20.0, None, None))
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
    async with asyncio.timeout(10):  # a lease ends later
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
    async with asyncio.timeout(10):
        await window.acquire()
    assert (lost, window.calls_left_today()) == (3, 100 - 5 - 1)


async def test_an_answer_that_makes_no_sense_is_no_answer(holders: OpenLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = await holders()
    run = limits._run_script
    answers = iter([b"nonsense", b"[]", b'{"slots":1}'])

    async def garble(location_id: str, said: bytes) -> Any:
        return next(answers, None) or await run(location_id, said)

    monkeypatch.setattr(limits, "_run_script", garble)
    async with asyncio.timeout(10):
        await limits.window("L", LIMIT).acquire()


async def test_a_slot_of_the_share_is_of_the_outage_in_which_it_was_taken(
    redis_server: RedisServer, holders: OpenLimits
) -> None:
    window = (await holders(share=0.5, timeout=0.2)).window("L", LIMIT)
    await answer_first(window)

    async def be_alone() -> None:
        redis_server.stop()
        wanted = asyncio.ensure_future(window.acquire())
        async with asyncio.timeout(10):
            slot = await wanted
        window.release(slot)

    await be_alone()
    kept = [await window.acquire() for _ in range(3)]
    await redis_server.start()
    async with asyncio.timeout(10):
        while window._alone is not None:  # noqa: ASYNC110  (nothing else tells)
            await asyncio.sleep(0.01)
    await be_alone()
    for slot in kept:
        window.release(slot)
    arrivals: list[float] = []
    await use_for(2, window, arrivals, workers=8)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests // 2


async def test_that_redis_is_lost_is_told_once_however_many_locations_notice(
    redis_server: RedisServer, holders: OpenLimits, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "leadconnector_async.shared_limits")
    limits = await holders(timeout=0.3)
    redis_server.stop()
    calls = [asyncio.ensure_future(limits.window(f"L{n}", LIMIT).acquire()) for n in range(40)]
    await asyncio.sleep(0.4)
    await redis_server.start()
    async with asyncio.timeout(20):
        await asyncio.gather(*calls)
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" ")[2] for line in told] == ["over", "again"], told


async def test_closing_does_not_wait_for_a_redis_that_is_frozen(redis_server: RedisServer) -> None:
    limits = RedisLimits(redis_server.url, timeout=0.1)
    await limits.open()
    for n in range(40):
        window = limits.window(f"L{n}", LIMIT)
        window.release(await window.acquire())
    redis_server.freeze()
    try:
        async with asyncio.timeout(5):
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
    await use_for(3, window, arrivals)  # Redis lets a script write on that has freed some memory
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests
    limits = RedisLimits(redis_server.url)
    with pytest.raises(SharedLimitsError, match="no memory left"):
        await limits.open()
    await asyncio.to_thread(redis_server.ask, "config", "set", "maxmemory", "0")
    async with asyncio.timeout(10):
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
    async with asyncio.timeout(10):
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
        check=True, capture_output=True, timeout=60,
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
        async with asyncio.timeout(5):
            window.release(await window.acquire())


async def test_text_in_place_of_bytes_is_understood(redis_server: RedisServer) -> None:
    limits = RedisLimits(f"{redis_server.url}?decode_responses=true")
    await limits.open()
    async with asyncio.timeout(5):
        await limits.window("L", LIMIT).acquire()
    await limits.close()


# ---------------------------------------------------------------------------------------------- several processes


async def test_of_two_limits_the_strictest_holds_and_each_has_its_turn(holders: OpenLimits) -> None:
    loose = (await holders()).window("L", RateLimit(40, 0.4, daily=None))
    strict = (await holders()).window("L", LIMIT)
    await answer_first(strict)
    await answer_first(loose)
    first: list[float] = []
    second: list[float] = []
    await asyncio.gather(use_for(6, loose, first, workers=20), use_for(6, strict, second, workers=8))
    assert most_in_a_window(first + second, LIMIT.per_seconds) <= LIMIT.max_requests
    assert min(len(first), len(second)) >= 5


async def test_a_strict_limit_ends_with_the_process_that_asked_for_it(holders: OpenLimits) -> None:
    loose = (await holders()).window("L", RateLimit(40, 0.4, daily=None))
    strict = (await holders()).window("L", LIMIT)
    await answer_first(strict)
    await asyncio.sleep(4 * LIMIT.per_seconds)
    arrivals: list[float] = []
    await use_for(4, loose, arrivals, workers=20)
    assert len(arrivals) >= 4 * LIMIT.max_requests


async def test_one_process_may_ask_for_fewer_calls_a_day_than_another(holders: OpenLimits) -> None:
    few = (await holders()).window("L", RateLimit(10, 0.2, daily=2))
    many = (await holders()).window("L", RateLimit(10, 0.2, daily=5))
    for window in (few, many):
        window.release(await window.acquire())
    await asyncio.sleep(0.05)
    with pytest.raises(DailyQuotaExceededError):
        await few.acquire()
    for _ in range(3):
        many.release(await many.acquire())
        await asyncio.sleep(0.05)
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
    await use_for(3, strict, arrivals, workers=20)
    assert most_in_a_window(arrivals, LIMIT.per_seconds) <= LIMIT.max_requests


FORKING = """
import asyncio, os, sys, time
from leadconnector_async import RateLimit, RedisLimits

limits = RedisLimits(sys.argv[1])  # before the fork, as servers do that load the app first
limit = RateLimit(10, 20.0, daily=None)

async def work():
    await limits.open()
    window = limits.window("L", limit)
    count = 0
    try:
        async with asyncio.timeout(8):
            window.release(await window.acquire())
            count = 1
            while True:
                await window.acquire()
                count += 1
    except TimeoutError:
        return count

children = []
for _ in range(3):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, str(asyncio.run(work())).encode())
        os._exit(0)
    children.append(reading)
print(sum(int(os.read(child, 10)) for child in children))
"""


async def test_processes_that_were_forked_are_holders_of_their_own(redis_server: RedisServer) -> None:
    command = [sys.executable, "-W", "error", "-c", FORKING, redis_server.url]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=60)
    assert int(ended.stdout) == 10


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
    async with asyncio.timeout(10):
        await limits.window("L", RateLimit()).acquire()
    await limits.close()

asyncio.run(leave_open())
asyncio.run(use_again())
"""


async def test_limits_can_be_opened_on_the_next_loop(redis_server: RedisServer) -> None:
    command = [sys.executable, "-c", LEFT_OPEN, redis_server.url]
    await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=60)


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
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        with contextlib.suppress(LocationPausedError, RateLimitStuckError):
            await other.acquire(bulk=True)
        with pytest.raises(RateLimitStuckError):
            await other.acquire()


async def test_a_day_that_is_spent_is_told_also_during_a_pause(holders: OpenLimits) -> None:
    """Else a load would hand its rows out again and again: `is_ready` says that they are refused."""
    window = (await holders()).window("L", RateLimit(10, 0.4, daily=1))
    window.release(await window.acquire())
    await asyncio.sleep(0.05)
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire(bulk=True)
    window.pause(30.0)
    await asyncio.sleep(0.05)
    assert window.is_ready()
    with pytest.raises(DailyQuotaExceededError):
        await window.acquire(bulk=True)


# ---------------------------------------------------------------------------------------------- many locations


async def test_idle_locations_leave_nothing_behind(redis_server: RedisServer, holders: OpenLimits) -> None:
    def ask(*words: str) -> str:
        return redis_server.ask(*words)

    limits = await holders()
    window = limits.window("told", RateLimit(10, 0.4))
    window.release(await window.acquire(), Quota(10, 9, 0.4, 199_999, 80_000.0))
    window = limits.window("untold", RateLimit(10, 0.4))
    window.release(await window.acquire())
    await asyncio.sleep(0.1)
    names = {name for name in (await asyncio.to_thread(ask, "keys", "*")).split() if "trial" not in name}
    assert names == {f"leadconnector:{{{name}}}:{key}" for name in ("told", "untold") for key in ("state", "cooling")}
    lifetimes = {name: int(await asyncio.to_thread(ask, "pttl", name)) for name in names}
    assert 0 < lifetimes["leadconnector:{told}:cooling"] <= 2 * 400 + 1
    assert 0 < lifetimes["leadconnector:{told}:state"] <= 3_600_001
    assert lifetimes["leadconnector:{untold}:state"] > 80_000_000  # nobody else counts the calls of its day
    await asyncio.sleep(1.0)
    left = (await asyncio.to_thread(ask, "keys", "*")).split()
    assert sorted(left) == ["leadconnector:{told}:state", "leadconnector:{untold}:state"]
    assert limits.window("told", RateLimit(10, 0.4)).is_idle()


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
