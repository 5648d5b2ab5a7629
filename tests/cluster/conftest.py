"""A Dask cluster of two worker processes, and a sandbox beside it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")

from leadconnector_async import BatchReport, RateLimit  # noqa: E402
from leadconnector_async.cluster import ClientOptions, upsert_partitions  # noqa: E402
from leadconnector_async.sandbox import Sandbox  # noqa: E402
from leadconnector_async.testing import run_sandbox  # noqa: E402

TOKEN = "sandbox"
WINDOW = 0.5


class Server:
    """A sandbox in a thread of its own, with its books."""

    def __init__(self, **options: Any) -> None:
        self._sandbox = run_sandbox(
            **{"seed": 1, "latency": (0.005, 0.03), "max_requests": 40, "per_seconds": WINDOW, **options}
        )
        self._sandbox.__enter__()
        self.url = self._sandbox.url
        self.contacts: list[dict[str, Any]] = []
        self.writes: dict[str, int] = {}
        self.rate_limited = 0
        self.arrivals: list[tuple[float, str]] = []

    def look(self) -> None:
        """Read the books."""
        self._sandbox.ask(self._read)

    def _read(self, sandbox: Sandbox) -> None:
        self.contacts, self.writes = deepcopy(sandbox.contacts()), dict(sandbox.writes)
        self.rate_limited = sandbox.rate_limited
        self.arrivals = [(arrival.time, arrival.location_id) for arrival in sandbox.arrivals]

    def stop(self) -> None:
        self._sandbox.__exit__(None, None, None)

    def options(self, **more: Any) -> ClientOptions:
        return ClientOptions(**{"base_url": self.url, "rate_limit": RateLimit(40, WINDOW), "concurrency": 16, **more})


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers, which find the token in their environment; they take longer to begin than most tests to run.

    They end with the module, and with them the thread of the scheduler: it may look for a worker that was killed for
    half a minute, and draws random numbers for that, which Hypothesis takes for a fault of the test that runs then.
    """
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", env={"LEADCONNECTOR_TOKEN": TOKEN}
    ) as cluster:
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


LEASE_SECONDS = 10.0
"""Leases are of real time, as workers are real processes: none may lose its lease because the machine is busy."""


async def load(server: Server, source: Any, out: Path | str, cluster: Any = None, **more: Any) -> BatchReport:
    options = {
        "out": str(out),
        "scheduler": None if cluster is None else cluster.scheduler_address,
        "lease_seconds": LEASE_SECONDS,
        **more,
    }
    client_options = options.pop("client_options", None) or server.options()
    return await upsert_partitions(client_options, source, **options)


def told(report: BatchReport) -> dict[str, Any]:
    """What a report tells that is the same in each run of the same rows."""
    found = report.to_dict()
    for name in (
        "requests",
        "requests_in_doubt",
        "retries",
        "rate_limited",
        "started_at",
        "finished_at",
        "duration_seconds",
        "sessions",
    ):
        found.pop(name, None)
    found.pop("inferred", None)  # a worker that is killed takes answers with it; what they said is inferred then
    return found


def results(out: Path) -> list[dict[str, Any]]:
    """All rows of the results, by location and index."""
    import pyarrow.parquet as parquet

    rows = [row for path in (out / "results").iterdir() for row in parquet.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: (row["location_id"], row["index"]))
