"""What goes wrong around a load: two who lead it, a folder that is not shared, damage, a cluster that fails early."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadconnector_async import BatchReport
from leadconnector_async.cluster import Progress, splitting
from leadconnector_async.cluster.dispatch import LoadSetup
from leadconnector_async.cluster.lease import Leadership, Lease
from leadconnector_async.cluster.load import Loader
from leadconnector_async.cluster.run import describe, open_folder, take_folder
from leadconnector_async.cluster.store import Store
from leadconnector_async.errors import ConfigurationError, JournalError, OutageError
from leadconnector_async.migration.mapping.meaning import NOTHING_SAID
from tests.cluster.conftest import Server, load, write_people
from tests.waiting import patiently


def _mislay() -> None:
    """Have this worker write what tells of parts where nobody else looks, as on a disk of its own."""
    splitting.part_name = lambda number: f"elsewhere/{number}"  # type: ignore[assignment]


def _find() -> None:
    splitting.part_name = lambda number: f"parts/{number:06}.json"  # type: ignore[assignment]


async def test_rows_that_a_worker_wrote_elsewhere_are_missed(cluster: Any, server: Server, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.csv").write_text(f"locationId,email\nL,{name}@example.com\n")
    with cluster.get_client() as client:
        client.run(_mislay, workers=[cluster.workers[0].worker_address])
        try:
            with pytest.raises(ConfigurationError, match="a worker wrote it where this process cannot see it"):
                await load(server, tmp_path / "*.csv", tmp_path / "out", cluster)
        finally:
            client.run(_find)
    server.look()
    assert server.arrivals == []
    report = await load(server, tmp_path / "*.csv", tmp_path / "out", cluster, resume=True)
    assert (report.total, report.created) == (4, 4)


async def test_two_that_begin_at_once_do_not_both_load(cluster: Any, server: Server, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    write_people(people, locations=3, rows=20)
    loads = [load(server, people, tmp_path / "out", cluster) for _ in range(2)]
    ended = await asyncio.gather(*loads, return_exceptions=True)
    assert any(isinstance(one, ConfigurationError) for one in ended), ended
    report = await load(server, people, tmp_path / "out", cluster, resume=True)
    assert (report.total, report.failed, report.not_attempted) == (60, 3, 0)
    server.look()
    assert server.rate_limited == 0
    assert sum(server.writes.values()) == 57
    assert set(Counter((one["locationId"], one["email"]) for one in server.contacts).values()) == {1}


def test_the_description_of_a_load_is_not_replaced_by_one_that_comes_late(server: Server, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    whole = describe(server.options(), [], NOTHING_SAID)
    first, late = (open_folder(store, whole, is_resumed=False) for _ in range(2))
    taken = take_folder(store, first)
    with pytest.raises(ConfigurationError, match="another process has started a load there"):
        take_folder(store, late)
    assert open_folder(store, whole, is_resumed=True) == taken


async def test_two_signs_that_cross_are_seen_before_anything_is_sent(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    first, second = Leadership(store, Lease(0.4)), Leadership(store, Lease(0.4))
    await first.begin()
    (tmp_path / "lead.json").unlink()  # as if the second had looked before the first had written
    await second.begin()
    with pytest.raises(ConfigurationError, match="another process has taken this load over"):
        await first.confirm()
    await second.confirm()


async def test_who_was_taken_over_from_leaves_the_report_alone(cluster: Any, server: Server, tmp_path: Path) -> None:
    people, out = tmp_path / "people.csv", tmp_path / "out"
    write_people(people, locations=3, rows=200)

    def take_over(_: object) -> None:
        (out / "report.json").write_text("another's")
        sign = msgspec.json.decode((out / "lead.json").read_bytes())
        (out / "lead.json").write_bytes(msgspec.json.encode({**sign, "who": "another", "beat": 1}))

    report = await load(server, people, out, cluster, on_progress=take_over)
    assert "another process has taken this load over" in str(report.stopped)
    assert (out / "report.json").read_text() == "another's"


async def test_a_lead_that_is_broken_off_does_not_say_that_nobody_works_on_the_load(
    cluster: Any, server: Server, tmp_path: Path
) -> None:
    people, out = tmp_path / "people.csv", tmp_path / "out"
    write_people(people, locations=3, rows=200)
    has_begun = asyncio.Event()

    def look(progress: Progress) -> None:
        if progress.rows > 20:
            has_begun.set()

    under_way = asyncio.create_task(load(server, people, out, cluster, on_progress=look))
    await has_begun.wait()
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert msgspec.json.decode((out / "lead.json").read_bytes())["has_ended"] is False  # workers go on for a lease
    report = await load(server, people, out, cluster, resume=True)
    assert (report.total, report.failed, report.not_attempted) == (600, 3, 0)
    server.look()
    assert server.rate_limited == 0
    assert msgspec.json.decode((out / "lead.json").read_bytes())["has_ended"] is True


@pytest.mark.parametrize("name", ["load.json", "lead.json", "parts/000000.json"])
async def test_damage_is_a_sentence(cluster: Any, server: Server, tmp_path: Path, name: str) -> None:
    people, out = tmp_path / "people.csv", tmp_path / "out"
    write_people(people, locations=1, rows=2)
    assert isinstance(await load(server, people, out, cluster), BatchReport)
    for damage in (b"", b'{"rows"', b"\xff\x00"):
        (out / name).write_bytes(damage)
        with pytest.raises(JournalError, match=f"{name}: is damaged"):
            await load(server, people, out, cluster, resume=True)


async def test_a_run_that_was_refused_early_leaves_a_folder_that_can_be_used(
    cluster: Any, server: Server, tmp_path: Path
) -> None:
    people, out = tmp_path / "people.csv", tmp_path / "out"
    write_people(people, locations=1, rows=2)
    with pytest.raises(ConfigurationError, match="the token cannot be read"):
        await load(server, people, out, cluster, client_options=server.options(token_source=f"file:{tmp_path}/no"))
    report = await load(server, people, out, cluster)
    assert report.total == 2


def _fail(frame: Any) -> Any:
    raise ValueError("the warehouse is closed")


async def test_a_dataframe_that_fails_is_a_sentence(cluster: Any, server: Server, tmp_path: Path) -> None:
    pandas, dataframe = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = dataframe.from_pandas(pandas.DataFrame({"locationId": ["L"], "email": ["a@example.com"]}), npartitions=1)
    with pytest.raises(OutageError, match=r"could not group the rows by location .*the warehouse is closed"):
        await load(server, frame.map_partitions(_fail, meta=frame._meta), tmp_path / "out", cluster)
    server.look()
    assert server.arrivals == []


async def test_a_worker_whose_lead_is_gone_before_it_was_heard_is_free_again(server: Server, tmp_path: Path) -> None:
    plan = LoadSetup(
        store_url=str(tmp_path),
        split_id="1",
        options=server.options(token_source="sandbox"),
        locations_at_once=1,
        lease_seconds=0.1,
        compare=True,
        wait_for_quota=False,
    )
    async with patiently():
        await Loader(plan, Lease(plan.lease_seconds)).run()
