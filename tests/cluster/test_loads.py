"""Whole loads on a real cluster: from files or a dask.dataframe to one report and results for each row."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leadconnector_async import BatchReport, LeadConnector, LocalLimits
from leadconnector_async.bulk.report import LoadStoppedError
from leadconnector_async.cluster import Progress
from leadconnector_async.errors import ConfigurationError
from leadconnector_async.private_file import write_private
from tests.cluster.conftest import Server, load, results, told, write_people


async def load_in_this_process(server: Server, path: Path) -> BatchReport:
    """Load the rows of a CSV without a cluster."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    options = server.options()
    async with LeadConnector(
        "sandbox", base_url=server.url, rate_limit=options.rate_limit, limits=LocalLimits()
    ) as client:
        return await client.contacts.bulk_upsert(rows)


async def test_many_files_become_one_report(cluster: Any, server: Server, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=5, rows=30)
    expected = await load_in_this_process(server, people)
    lines = people.read_text().splitlines(keepends=True)
    (tmp_path / "a.csv").write_text("".join(lines[:61]))
    (tmp_path / "b.csv").write_text("".join([lines[0], *lines[61:]]))
    progress: list[Progress] = []
    other = Server()
    try:
        report = await load(other, str(tmp_path / "[ab].csv"), tmp_path / "out", cluster, on_progress=progress.append)
        other.look()
    finally:
        other.stop()
    own = ("errors", "sources")
    counts = {name: value for name, value in told(expected).items() if name not in own}
    assert {name: value for name, value in told(report).items() if name not in own} == counts
    assert report.sources == [f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"]
    assert [error.count for error in report.errors] == [5]
    assert (report.failed, report.requests) == (5, 145)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report.to_dict()
    assert other.rate_limited == 0
    assert progress[-1].total_rows == 150
    assert progress[-1].total_locations == 5

    rows = results(tmp_path / "out")
    assert [row["index"] for row in rows if row["location_id"] == "L3"] == list(range(30))
    stored = {contact["id"]: contact for contact in other.contacts}
    for row in rows:
        if row["status"] == "failed":
            assert row["row"] == f"{tmp_path}/a.csv, row {int(row['location_id'][1:]) + 17}"
            assert row["sent"] is None
        else:
            sent = json.loads(row["sent"])
            assert stored[row["contact_id"]]["locationId"] == sent["locationId"] == row["location_id"]
            assert stored[row["contact_id"]]["email"] == sent["email"]
    # Rows of one person were applied in their order.
    last = {(row["location_id"], json.loads(row["sent"])["email"]): row for row in rows if row["sent"]}
    for row in last.values():
        assert stored[row["contact_id"]]["firstName"] == json.loads(row["sent"])["firstName"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of dask.dataframe and pandas among themselves
async def test_a_dataframe_and_a_parquet_file(cluster: Any, server: Server, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    dataframe = pytest.importorskip("dask.dataframe")
    frame = pandas.DataFrame(
        {
            "Location ID": [f"L{number % 3}" for number in range(60)],
            "Email": [f"person{number}@example.com" for number in range(60)],
            "First Name": ["Rosan"] * 60,
        }
    )
    source = dataframe.from_pandas(frame, npartitions=4)
    report = await load(server, source, tmp_path / "out", cluster)
    assert told(report)["created"] == report.total == 60
    rows = results(tmp_path / "out")
    assert rows[0]["row"] == "partition 0, row 1"
    frame.to_parquet(tmp_path / "people.parquet")
    again = await load(server, tmp_path / "people.parquet", tmp_path / "again", cluster)
    assert (again.updated, again.total) == (60, 60)


async def test_a_cluster_of_its_own(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(tmp_path / "token", "sandbox\n")
    (tmp_path / "people.csv").write_text("email\na@example.com\nb@example.com\nnobody\n")
    options = server.options(token_source=f"file:{tmp_path}/token", location_id="HOME")
    report = await load(server, tmp_path / "people.csv", tmp_path / "out", client_options=options, workers=1)
    assert (report.created, report.failed) == (2, 1)
    server.look()
    assert {contact["locationId"] for contact in server.contacts} == {"HOME"}


async def test_a_load_that_was_stopped_goes_on(cluster: Any, server: Server, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=6, rows=300)
    stop = asyncio.Event()

    def stop_soon(progress: Progress) -> None:
        if progress.rows >= 100:
            stop.set()

    report = await load(server, people, tmp_path / "out", cluster, stop=stop, on_progress=stop_soon)
    assert report.total == 1800
    assert report.not_attempted > 0
    assert str(report.stopped) == "the load was asked to stop"
    done = report.created + report.updated
    report = await load(server, people, tmp_path / "out", cluster, resume=True)
    assert (report.total, report.failed, report.not_attempted, report.sessions) == (1800, 6, 0, 2)
    assert report.created + report.updated == 1794 > done
    assert len(results(tmp_path / "out")) == 1800
    server.look()
    assert sum(server.writes.values()) == 1794
    # Once more: nothing is left to do, and nothing is sent.
    again = await load(server, people, tmp_path / "out", cluster, resume=True)
    assert told(again) == told(report)
    server.look()
    assert sum(server.writes.values()) == 1794


async def test_what_on_progress_raises_ends_the_load(cluster: Any, server: Server, tmp_path: Path) -> None:
    write_people(tmp_path / "people.csv", locations=2, rows=300)

    def fail(progress: Progress) -> None:
        if progress.rows > 10:
            raise ValueError("enough")

    with pytest.raises(LoadStoppedError, match="ended by ValueError: enough") as caught:
        await load(server, tmp_path / "people.csv", tmp_path / "out", cluster, on_progress=fail)
    report = caught.value.report
    assert report.total == 600
    assert report.not_attempted > 0
    server.look()
    assert report.created + report.updated == sum(server.writes.values())
    assert (await load(server, tmp_path / "people.csv", tmp_path / "out", cluster, resume=True)).not_attempted == 0


async def test_a_wish_to_stop_before_anything_is_sent(cluster: Any, server: Server, tmp_path: Path) -> None:
    write_people(tmp_path / "people.csv", locations=2, rows=20)
    stop = asyncio.Event()
    stop.set()
    report = await load(server, tmp_path / "people.csv", tmp_path / "out", cluster, stop=stop)
    assert str(report.stopped) == "the load was asked to stop"
    server.look()
    assert server.arrivals == []
    assert (await load(server, tmp_path / "people.csv", tmp_path / "out", cluster, resume=True)).total == 40


async def test_a_token_that_is_refused_stops_the_load(cluster: Any, server: Server, tmp_path: Path) -> None:
    write_private(tmp_path / "token", "pit-wrong")
    people = tmp_path / "people.csv"
    write_people(people, locations=6, rows=20)
    options = server.options(token_source=f"file:{tmp_path}/token")
    report = await load(server, people, tmp_path / "out", cluster, client_options=options)
    # Rows that are wrong fail all the same, in locations that were read before the first refusal stopped all of them.
    assert report.total == report.failed + report.not_attempted == 120
    failed = [row for row in results(tmp_path / "out") if row["status"] == "failed"]
    assert len(failed) == report.failed <= 6
    assert all("is not an email address" in row["error"] for row in failed)
    assert "401" in str(report.stopped)


async def test_a_location_that_is_refused_costs_one_call(cluster: Any, tmp_path: Path) -> None:
    server = Server(locations=["L0", "L1", "L3"])
    people = tmp_path / "people.csv"
    write_people(people, locations=4, rows=50)
    try:
        report = await load(server, people, tmp_path / "out", cluster)
        server.look()
    finally:
        server.stop()
    assert (report.total, report.failed, report.not_attempted) == (200, 4, 49)
    assert str(report.stopped) == "location L2 takes no calls: The token does not have access to this location."
    assert [location for _, location in server.arrivals].count("L2") == 1


def _hide(path: str) -> None:
    from leadconnector_async.cluster import workers as cluster

    cluster.Path = lambda name: SimpleNamespace(is_file=lambda: name != path)  # type: ignore[assignment,misc]


def _show() -> None:
    from leadconnector_async.cluster import workers as cluster

    cluster.Path = Path  # type: ignore[misc]


def _have_version(version: str) -> None:
    from leadconnector_async.cluster import workers as cluster

    cluster.__version__ = version


def _have_token(token: str | None) -> None:
    os.environ.pop("LEADCONNECTOR_TOKEN", None)
    if token is not None:
        os.environ["LEADCONNECTOR_TOKEN"] = token


async def _refused(server: Server, source: Any, out: Path | str, cluster: Any, **more: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await load(server, source, out, cluster, **more)
    server.look()
    assert server.arrivals == []
    return str(caught.value)


async def test_what_a_worker_lacks_is_told_before_anything_is_sent(
    cluster: Any, server: Server, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=1, rows=2)
    one = cluster.workers[0].worker_address
    with cluster.get_client() as client:
        client.run(_hide, str(people), workers=[one])
        assert (
            await _refused(server, people, tmp_path / "1", cluster)
            == f"worker {one}: cannot see {people}; put it where all machines see it, or on each of them"
        )
        client.run(_show, workers=[one])
        client.run(_have_version, "0.0.9", workers=[one])
        sentence = await _refused(server, people, tmp_path / "2", cluster)
        assert sentence.startswith(f"worker {one}: has leadconnector-async 0.0.9, and ")
        client.run(_have_version, "0.1.0", workers=[one])
        client.run(_have_token, None, workers=[one])
        sentence = await _refused(server, people, tmp_path / "3", cluster)
        assert sentence == (
            f"worker {one}: there is no token: set LEADCONNECTOR_TOKEN in the environment of each worker"
        )
        client.run(_have_token, "sandbox", workers=[one])
    sentence = await _refused(server, people, "memory://run", cluster)
    assert "cannot see the folder for the results, memory://run; name one that all machines share" in sentence


async def test_sources_that_cannot_be_loaded(cluster: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("locationId,email\nL,a@example.com\n")
    (tmp_path / "b.csv").write_text("email\nb@example.com\n")
    (tmp_path / "c.csv").write_text("locationId,email\nL,a@example.com\n,c@example.com\n")
    sentence = await _refused(server, [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "1", cluster)
    assert sentence.startswith(f"{tmp_path}/b.csv: has no column for the location")
    assert await _refused(server, [], tmp_path / "2", cluster) == "there is no file to load"
    assert "there is no such file" in await _refused(server, tmp_path / "*.xyz", tmp_path / "3", cluster)
    report = await load(server, tmp_path / "c.csv", tmp_path / "4", cluster)
    assert (report.created, report.failed) == (1, 1)
    assert report.errors[0].message.startswith("has no location")
    with pytest.raises(ConfigurationError, match="holds a run; name a new folder"):
        await load(server, tmp_path / "c.csv", tmp_path / "4", cluster)
    with pytest.raises(ConfigurationError, match="holds a run with other files"):
        await load(server, tmp_path / "a.csv", tmp_path / "4", cluster, resume=True)
    with pytest.raises(ConfigurationError, match="is not empty"):
        await load(server, tmp_path / "a.csv", tmp_path, cluster)


async def test_a_wrong_scheduler_address(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadconnector_async.cluster.workers._CONNECT_SECONDS", 1)
    (tmp_path / "a.csv").write_text("locationId,email\nL,a@example.com\n")
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1"):
        with pytest.raises(ConfigurationError, match=f"no Dask scheduler answers at {address} "):
            await load(server, tmp_path / "a.csv", tmp_path / "out", scheduler=address)
