"""CPU time of one upsert through `bulk_upsert`, against a bare aiohttp loop and the official SDK.

Measure: process CPU time (user and system) per call of the client's process alone; the server runs in its own process:
once the sandbox, and once a server that echoes each contact at once, which leaves the client no time to idle.
The bare loop posts the same bytes with 64 tasks on one session, with the same settings of aiohttp, and reads each
body. The typed loop also encodes each contact, decodes each answer to the same Struct, and reads the rate headers: it
is what any program does that uses aiohttp and msgspec well. All run in turn, several rounds; what counts is the least
of the rounds over the least of the bare loop's, as noise only ever adds. The client runs on one core and the server
on another, where there are two. Limits are off.

    pip install -e . --group bench
    python benchmarks/bench_call.py [--calls 4000] [--rounds 9] [--sdk-calls 300]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import msgspec
from machine import describe, pin, serve
from multidict import CIMultiDict
from yarl import URL

from leadconnector_async import ContactUpsert, LeadConnector
from leadconnector_async.models import Contact
from leadconnector_async.protocol import Request, build_upsert

IN_FLIGHT = 64
LOCATION = "ve9EPM428h8vShlRW1KT"
VERSION = "2021-07-28"
RATE_HEADERS = ("x-ratelimit-max", "x-ratelimit-remaining", "x-ratelimit-interval-milliseconds")
RATE_HEADERS += ("x-ratelimit-daily-remaining", "x-ratelimit-daily-reset")


class UpsertAnswer(msgspec.Struct):
    contact: Contact
    new: bool
    trace_id: str = msgspec.field(name="traceId")


def contacts(count: int) -> Iterator[ContactUpsert]:
    for number in range(count):
        yield ContactUpsert(
            location_id=LOCATION,
            email=f"person{number % 1000}@example.com",
            first_name="Rosan",
            last_name="Deo",
            phone=f"+1617{number % 1000:07}",
            address1="3535 1st St N",
            city="Dolomite",
            state="AL",
            postal_code="35061",
            country="US",
            tags=["lead", "newsletter"],
            source="public api",
        )


async def in_parallel(call: Callable[[Any], Awaitable[object]], items: list[Any]) -> None:
    left = iter(items)

    async def work() -> None:
        for item in left:
            await call(item)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def cpu_per_call(work: Awaitable[object], calls: int) -> float:
    began = time.process_time()
    await work
    return (time.process_time() - began) / calls * 1e6


def open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15.0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
    )


def headers_of(request: Request[Any]) -> CIMultiDict[str]:
    return CIMultiDict({**request.headers, "Authorization": "Bearer sandbox"})


async def bare(url: str, calls: int) -> float:
    requests = [build_upsert(contact, VERSION) for contact in contacts(calls)]
    headers, address = headers_of(requests[0]), URL(f"{url}/contacts/upsert")
    async with open_session() as session:

        async def post(body: bytes) -> None:
            async with session.post(address, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()

        return await cpu_per_call(in_parallel(post, [request.body for request in requests]), calls)


async def typed(url: str, calls: int) -> float:
    """The least that a program does that sends contacts and looks at what comes back."""
    rows = list(contacts(calls))
    headers, address = headers_of(build_upsert(rows[0], VERSION)), URL(f"{url}/contacts/upsert")
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(UpsertAnswer).decode
    async with open_session() as session:

        async def post(contact: ContactUpsert) -> None:
            async with session.post(address, data=encode(contact), headers=headers, allow_redirects=False) as response:
                answer = decode(await response.read())
                get = response.headers.get
                assert [int(get(name, 0)) for name in RATE_HEADERS]
                assert answer.contact.id

        return await cpu_per_call(in_parallel(post, rows), calls)


async def ours(url: str, calls: int, *, is_stream: bool) -> float:
    rows = list(contacts(calls))
    async with LeadConnector("sandbox", base_url=url, concurrency=IN_FLIGHT, rate_limit=None) as client:

        async def stream() -> None:
            async for outcome in client.contacts.stream_upserts(rows):
                assert outcome.contact_id

        async def bulk() -> None:
            report = await client.contacts.bulk_upsert(rows)
            assert report.is_complete
            assert report.total == calls

        return await cpu_per_call(stream() if is_stream else bulk(), calls)


async def official(url: str, calls: int) -> float:
    from highlevel import HighLevel  # type: ignore[import-not-found]

    logging.disable(logging.CRITICAL)
    rows = [msgspec.to_builtins(contact) for contact in contacts(calls)]
    sdk = HighLevel(private_integration_token="sandbox")
    sdk.http_client.base_url = url
    try:
        return await cpu_per_call(in_parallel(sdk.contacts.upsert_contact, rows), calls)
    finally:
        await sdk.http_client.aclose()


async def one_round(url: str, calls: int, sdk_calls: int) -> dict[str, float]:
    figures = {
        "bare": await bare(url, calls),
        "typed": await typed(url, calls),
        "bulk_upsert": await ours(url, calls, is_stream=False),
        "stream_upserts": await ours(url, calls, is_stream=True),
    }
    if sdk_calls:
        figures["official SDK"] = await official(url, sdk_calls)
    return figures


async def measure(url: str, options: argparse.Namespace, sdk_calls: int) -> list[dict[str, float]]:
    await one_round(url, 500, 0)  # warm up
    return [await one_round(url, options.calls, sdk_calls) for _ in range(options.rounds)]


def tell(name: str, rounds: list[dict[str, float]]) -> None:
    print(f"{name}: CPU per call, least of {len(rounds)} rounds (over the bare loop, over the typed loop)")
    least = {what: min(figures[what] for figures in rounds) for what in rounds[0]}
    for what, time_each in least.items():
        print(
            f"  {what:15} {time_each:8.1f} us   {time_each / least['bare']:6.2f}x  {time_each / least['typed']:6.2f}x"
        )
    if "official SDK" in least:
        times = least["official SDK"] / least["bulk_upsert"]
        print(f"  the official SDK takes {times:.1f} times as much as bulk_upsert", flush=True)


def event_loops() -> Iterator[tuple[str, Callable[[], asyncio.AbstractEventLoop] | None]]:
    yield "asyncio", None
    try:
        import uvloop
    except ModuleNotFoundError:
        return
    yield "uvloop", uvloop.new_event_loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sdk-calls", type=int, default=300, help="calls with the official SDK; 0 leaves it out")
    options = parser.parse_args()
    print(describe("uvloop", "gohighlevel-api-client", "opentelemetry-api"))
    pin(0)
    for server, is_echo in (("sandbox", False), ("echo", True)):
        with serve(is_echo=is_echo) as url:
            for name, factory in event_loops():
                with asyncio.Runner(loop_factory=factory) as runner:
                    sdk_calls = 0 if is_echo else options.sdk_calls
                    tell(f"{server}, {name}", runner.run(measure(url, options, sdk_calls)))


if __name__ == "__main__":
    main()
