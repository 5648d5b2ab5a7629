"""Peak memory of exporting 10,000 and 1,000,000 contacts through `search`, and how many a second.

Measure: the peak resident size of a fresh process for each number of contacts, and the difference between the two. The
server runs in a process of its own; it holds no contacts, but makes up each page from the cursor, as a sandbox with a
million of them would itself need more memory and time than what is measured. Each contact must come once and in order.

    python benchmarks/bench_search.py [--contacts 1000000] [--few 10000] [--page-size 500]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
from aiohttp import web
from machine import describe

from leadconnector_async import LeadConnector

FIRST_ADDED = 1_790_000_000_000  # milliseconds
CONTACT = {
    "locationId": "ve9EPM428h8vShlRW1KT",
    "contactName": "Rosan Deo",
    "firstName": "Rosan",
    "lastName": "Deo",
    "firstNameLowerCase": "rosan",
    "lastNameLowerCase": "deo",
    "companyName": "DGS VolMAX",
    "phone": "+18888888888",
    "address": "3535 1st St N",
    "city": "Dolomite",
    "state": "AL",
    "postalCode": "35061",
    "country": "US",
    "type": "lead",
    "source": "public api",
    "dnd": False,
    "dndSettings": {"Call": {"status": "inactive"}, "SMS": {"status": "active", "message": "asked for it"}},
    "tags": ["lead", "newsletter"],
    "customFields": [{"id": "MgobCB14YMVKuE4Ka8p1", "value": "name"}, {"id": "6dvNaf7VhkQ9snc5vnjJ", "value": 7}],
    "followers": [],
    "additionalEmails": [],
    "additionalPhones": [],
    "dateAdded": "2026-09-21T14:13:20.000Z",
    "dateUpdated": "2026-09-21T14:13:20.000Z",
}


async def serve(total: int) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        asked = msgspec.json.decode(await request.read())
        after = asked.get("searchAfter")
        first = 0 if after is None else after[0] - FIRST_ADDED + 1
        numbers = range(first, min(first + asked["pageLimit"], total))
        contacts = [
            {
                **CONTACT,
                "id": f"{number:020}",
                "email": f"person{number}@example.com",
                "searchAfter": [FIRST_ADDED + number, f"{number:020}"],
            }
            for number in numbers
        ]
        body = msgspec.json.encode({"contacts": contacts, "total": total, "traceId": "c381e88f"})
        return web.Response(body=body, content_type="application/json")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextlib.contextmanager
def serving(total: int) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", str(total)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


async def export(url: str, page_size: int) -> None:
    done = 0
    began, cpu = time.monotonic(), time.process_time()
    async with LeadConnector("sandbox", base_url=url, location_id="L", rate_limit=None) as client:
        async for contact in client.contacts.search(page_size=page_size):
            assert contact.id == f"{done:020}", (contact.id, done)
            done += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done} {peak:.1f} {time.monotonic() - began:.1f} {time.process_time() - cpu:.1f}")


def peak_of(count: int, page_size: int) -> float:
    with serving(count) as url:
        command = [sys.executable, __file__, "--url", url, "--page-size", str(page_size)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    done, peak, seconds, cpu = output.split()
    assert int(done) == count
    rate = count / max(float(seconds), 0.1)
    each = float(cpu) / count * 1e6
    print(
        f"{count:9,} contacts: peak {float(peak):6.1f} MB, {rate:,.0f} a second, {each:.0f} us of CPU each", flush=True
    )
    return float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--page-size", type=int, default=500)
    parser.add_argument("--most", type=float, default=1.2, help="times as much memory; more is a failure")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
    elif options.url:
        asyncio.run(export(options.url, options.page_size))
    else:
        print(describe())
        few, many = (peak_of(count, options.page_size) for count in (options.few, options.contacts))
        print(f"ratio: {many / few:.2f} (a difference of {many - few:.1f} MB)")
        if many / few > options.most:
            sys.exit(f"the export grew to {many / few:.2f} times its memory, and {options.most:g} times are allowed")


main()
