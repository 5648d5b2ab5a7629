"""A Dask cluster of two worker processes, and a sandbox in a process of its own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")

from leadconnector_async import BatchReport, RateLimit  # noqa: E402
from leadconnector_async.cluster import ClientOptions, upsert_partitions  # noqa: E402
from tests.waiting import PATIENCE  # noqa: E402

SERVER = """
import asyncio, json, sys
from leadconnector_async.sandbox import Sandbox

async def main():
    options = json.loads(sys.argv[1])
    async with Sandbox(**options) as sandbox:
        print(sandbox.url, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            arrivals = [(arrival.time, arrival.location_id) for arrival in sandbox.arrivals]
            told = [sandbox.contacts(), dict(sandbox.writes), sandbox.rate_limited, arrivals]
            print(json.dumps(told), flush=True)

asyncio.run(main())
"""
TOKEN = "sandbox"
WINDOW = 0.5


class Server:
    """A sandbox in a process of its own, with its books."""

    def __init__(self, **options: Any) -> None:
        options = {"seed": 1, "latency": (0.005, 0.03), "max_requests": 40, "per_seconds": WINDOW, **options}
        command = [sys.executable, "-c", SERVER, json.dumps(options)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.contacts: list[dict[str, Any]] = []
        self.writes: dict[str, int] = {}
        self.rate_limited = 0
        self.arrivals: list[tuple[float, str]] = []

    def look(self) -> None:
        """Read the books."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        self.contacts, self.writes, self.rate_limited, self.arrivals = told

    def stop(self) -> None:
        self._process.communicate(timeout=PATIENCE)

    def options(self, **more: Any) -> ClientOptions:
        return ClientOptions(**{"base_url": self.url, "rate_limit": RateLimit(40, WINDOW), "concurrency": 16, **more})


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers, which find the token in their environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEADCONNECTOR_TOKEN", TOKEN)
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
            yield cluster


def pids(cluster: Any) -> list[int]:
    """The processes of the workers that live; one that is killed as it starts is never started again by Dask."""
    return [nanny.pid for nanny in cluster.workers.values() if nanny.pid and nanny.status.name == "running"]


def write_people(path: Path, *, locations: int, rows: int, more: dict[str, str] | None = None) -> None:
    """Write rows that take turns over the locations; some are wrong, and some come again with another name."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["locationId", "email", "firstName", *(more or {})])
        for number in range(locations * rows):
            location, turn = number % locations, number // locations
            email = f"person{turn % max(rows * 9 // 10, 1)}@{location}.example.com" if turn != 3 else "nobody"
            writer.writerow([f"L{location}", email, f"P{number}", *(more or {}).values()])


async def load(server: Server, source: Any, out: Path | str, cluster: Any = None, **more: Any) -> BatchReport:
    options = {
        "out": str(out),
        "scheduler": None if cluster is None else cluster.scheduler_address,
        "lease_seconds": 2.0,
        **more,
    }
    client_options = options.pop("client_options", None) or server.options()
    return await upsert_partitions(client_options, source, **options)


def told(report: BatchReport) -> dict[str, Any]:
    """What a report tells that is the same in each run of the same rows."""
    found = report.to_dict()
    for name in ("requests", "retries", "rate_limited", "started_at", "finished_at", "duration_seconds", "sittings"):
        found.pop(name, None)
    return found


def results(out: Path) -> list[dict[str, Any]]:
    """All rows of the results, by location and index."""
    import pyarrow.parquet as parquet

    rows = [row for path in (out / "results").iterdir() for row in parquet.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: (row["location_id"], row["index"]))
