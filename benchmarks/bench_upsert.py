"""CPU of `leadconnector upsert` on a CSV, against a bare aiohttp loop, and disk and time of a plan of many rows.

Measure: user and system CPU of whole processes. `upsert` of a file of ten columns (phones, tags and dates among them)
less that of a file with one row, over a process that posts as many prepared bodies with 64 tasks on one aiohttp
session, less that of one body. The client runs on one core and the sandbox on another, where there are two; the least
of the rounds counts. Then `plan --out` of many rows, with and without phones, over a process that only reads, maps and
checks them: CPU, peak memory, bytes of disk a row. Last, the time from the start of `upsert` to its first call, for a
file and for a plan that is kept.

    python benchmarks/bench_upsert.py [--rows 30000] [--rounds 3] [--planned 1000000]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

from machine import describe, pin, serve

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
COLUMNS = ["Email", "First Name", "Last Name", "Phone", "City", "State", "Zip", "Country", "Tags", "Date of Birth"]
MAIN = "from leadconnector_async.cli import main; main()"
BARE = """
import asyncio, aiohttp, sys
url, count = sys.argv[1], int(sys.argv[2])
body = sys.stdin.buffer.read()
headers = {"Authorization": "Bearer sandbox", "Version": "2021-07-28", "Content-Type": "application/json"}
async def main():
    left = iter(range(count))
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15.0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        async def work():
            for number in left:
                each = body.replace(b"NUMBER", b"%d" % number)
                async with session.post(f"{url}/contacts/upsert", data=each, headers=headers) as response:
                    await response.read()
        await asyncio.gather(*(work() for _ in range(64)))
asyncio.run(main())
"""
BODY = (
    b'{"locationId":"L","email":"pNUMBER@example.com","firstName":"Ann","lastName":"BergNUMBER","city":"Boston",'
    b'"phone":"+16175550123","state":"MA","postalCode":"02101","country":"US","dateOfBirth":"1980-05-17"}'
)
READ = """
import sys
from pathlib import Path
from leadconnector_async import ContactUpsert
from leadconnector_async.migration.mapping.rows import RowFile
from leadconnector_async.migration.tables import open_table
file = RowFile(open_table(Path(sys.argv[1])))
for row in file.rows():
    file.read(row)
"""


def people(count: int, *, has_phone: bool = True) -> Iterator[list[str]]:
    chance = random.Random(1)
    for number in range(count):
        row = [f"p{number}@example.com", "Ann", f"Berg{number}"]
        row += [f"(617) {number // 10000 % 1000:03}-{number % 10000:04}"] if has_phone else []
        row += ["Boston", "MA", "02101", "US", chance.choice(("lead", "lead, vip", "customer")), "05/17/1980"]
        yield row


def write(path: Path, count: int, *, has_phone: bool = True) -> Path:
    header = [column for column in COLUMNS if has_phone or column != "Phone"]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(chain([header], people(count, has_phone=has_phone)))
    return path


def run(code: str, *arguments: str, body: bytes = b"", **environ: str) -> tuple[float, float]:
    """Return the CPU in seconds and the peak in MB of a process."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(
        command, env=CLEAN | environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(body)
        process.stdin.close()
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (arguments, said.decode())
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


class Access:
    """How the commands reach a server, without limits of ours."""

    def __init__(self, url: str) -> None:
        self.environ = {
            "LEADCONNECTOR_BASE_URL": url,
            "LEADCONNECTOR_TOKEN": "sandbox",
            "LEADCONNECTOR_LOCATION_ID": "L",
        }
        self.limits = ["--rate", "100000/1", "--daily", "100000000"]
        self.options = [*self.limits, "--concurrency", "64", "--date-order", "mdy"]


def compare_upsert(folder: Path, count: int, rounds: int) -> None:
    whole, one = write(folder / "whole.csv", count), write(folder / "one.csv", 1)
    ours, bare = [], []
    for number in range(rounds):
        with serve() as url:
            access = Access(url)

            def upsert(path: Path, name: str) -> float:
                out = str(folder / f"{name}-{number}")  # noqa: B023  (called at once)
                return run(MAIN, "upsert", str(path), "--out", out, *access.options, **access.environ)[0]  # noqa: B023

            ours.append(upsert(whole, "whole") - upsert(one, "one"))
            bare.append(run(BARE, url, str(count), body=BODY)[0] - run(BARE, url, "1", body=BODY)[0])
    each, least = min(ours) / count * 1e6, min(bare) / count * 1e6
    print(
        f"upsert of {count:,} rows: {each:.0f} us of CPU a row, {each / least:.2f}x a bare aiohttp loop "
        f"({least:.0f} us)",
        flush=True,
    )


def compare_plan(folder: Path, count: int, *, has_phone: bool) -> Path:
    path, out = write(folder / f"plan-{has_phone}.csv", count, has_phone=has_phone), folder / f"planned-{has_phone}"
    one = write(folder / "few.csv", 1, has_phone=has_phone)
    options = ("--offline", "--location", "L", "--date-order", "mdy")
    began = time.monotonic()
    cpu, peak = run(MAIN, "plan", str(path), "--out", str(out), *options)
    seconds = time.monotonic() - began
    cpu -= run(MAIN, "plan", str(one), "--out", str(folder / f"few-{has_phone}"), *options)[0]
    read = run(READ, str(path))[0] - run(READ, str(one))[0]
    size = sum(file.stat().st_size for file in out.iterdir()) / count
    phones = "with" if has_phone else "without"
    print(
        f"plan of {count:,} rows {phones} phones: {seconds:.0f} s, {cpu / read:.2f}x the CPU of reading, mapping and "
        f"checking them, peak {peak:.0f} MB, {size:.0f} bytes a row",
        flush=True,
    )
    return out


class _FirstCall(BaseHTTPRequestHandler):
    """Notes when the first upsert comes, and refuses the token, which ends the load."""

    came = threading.Event()

    def do_POST(self) -> None:
        self.came.set()
        self._refuse()

    def do_GET(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        self.send_response(401 if self.command == "POST" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def listen() -> Iterator[Access]:
    """Await first calls. A run goes on at the same address alone, so one server serves all sessions of a run."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _FirstCall) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Access(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def time_first_call(access: Access, *arguments: str) -> float:
    """Return the seconds from the start of `upsert` to its first call."""
    _FirstCall.came.clear()
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "upsert", *arguments],
        env=CLEAN | access.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not _FirstCall.came.wait(0.01):
            assert process.poll() is None, process.stderr and process.stderr.read()
        seconds = time.monotonic() - began
        process.communicate()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--planned", type=int, default=1_000_000)
    options = parser.parse_args()
    print(describe())
    pin(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare_upsert(folder, options.rows, options.rounds)
        for has_phone in (False, True):
            compare_plan(folder, options.planned, has_phone=has_phone)
        run_folder = str(folder / "first")
        with listen() as access:
            first = time_first_call(access, str(folder / "plan-True.csv"), "--out", run_folder, *access.options)
            print(f"from the start of `upsert FILE` to its first call: {first:.1f} s", flush=True)
            again = time_first_call(access, run_folder, *access.limits)
        print(f"from the start of `upsert RUN`, which goes on with that run, to its first call: {again:.1f} s")


main()
