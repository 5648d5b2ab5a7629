"""An export knows who must not be disturbed also where searches leave it out, at a call for each of those alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import FoundContact, LeadConnector
from leadconnector_async.errors import DailyQuotaExceededError
from leadconnector_async.migration.export import (
    Export,
    ExportOrder,
    Progress,
    doubt_restrictions,
    find_untold,
    write_csv_header,
    write_csv_rows,
    write_json_lines,
)
from leadconnector_async.models.wire import read_contact
from leadconnector_async.sandbox import Sandbox
from leadconnector_async.sandbox import search as filters
from tests.cli.conftest import table
from tests.conftest import LOCATION, OpenSandbox

CLOSED = {"SMS": {"status": "permanent", "message": "STOP_KEYWORD"}, "FB": {"status": "active"}}
ORDER = ExportOrder(target="x", location_id=LOCATION)


def fill(sandbox: Sandbox, count: int, *, every: int = 1, **fields: Any) -> list[str]:
    """Store contacts of which every so many has some fields, and return the ids of these."""
    made = [
        sandbox.add_contact(LOCATION, email=f"p{number}@deos.com", **({} if number % every else fields))["id"]
        for number in range(count)
    ]
    return made[::every]


async def export(client: LeadConnector, path: Path, order: ExportOrder = ORDER) -> Progress:
    with Export(path, order, is_resumed=True) as work:
        return await work.run(client, lambda _: None)


def reads_by_id(sandbox: Sandbox, since: int = 0) -> int:
    return sum(one.method == "GET" and "customFields" not in one.path for one in list(sandbox.arrivals)[since:])


@pytest.mark.parametrize("leaves_out", [False, True])
async def test_only_those_with_a_closed_channel_are_read_by_their_ids(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, leaves_out: bool
) -> None:
    sandbox: Sandbox = await open_sandbox(search_without_dnd=leaves_out, unlimited=True)
    client: LeadConnector = await connect(sandbox, rate_limit=None)
    closed = fill(sandbox, 1_200, every=3, dndSettings=CLOSED)
    progress = await export(client, tmp_path / "a.csv")
    rows = table(tmp_path / "a.csv")
    assert {row["id"] for row in rows if row["dndSettings"]} == set(closed)
    assert all(json.loads(row["dndSettings"]) == CLOSED for row in rows if row["dndSettings"])
    assert len(rows) == progress.contacts == 1_200
    assert reads_by_id(sandbox) == progress.by_id == (400 if leaves_out else 0)
    assert doubt_restrictions(ORDER, progress) == ("seen" if leaves_out else None)
    pages = sum(one.path == "/contacts/search" for one in sandbox.arrivals)
    assert pages == 3 + 1 + 1  # all of them, those that are closed, and those whose messages are refused


async def test_what_comes_in_counts_by_itself(open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path) -> None:
    sandbox: Sandbox = await open_sandbox(search_without_dnd=True, unlimited=True)
    inbound = {"all": {"status": "active"}}
    refusing = fill(sandbox, 6, every=2, inboundDndSettings=inbound)
    await export(await connect(sandbox, rate_limit=None), tmp_path / "a.csv")
    told = {row["id"]: json.loads(row["inboundDndSettings"] or "{}") for row in table(tmp_path / "a.csv")}
    assert {contact_id for contact_id, settings in told.items() if settings == inbound} == set(refusing)


async def test_tags_and_query_choose_who_is_read(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    sandbox: Sandbox = await open_sandbox(search_without_dnd=True, unlimited=True)
    fill(sandbox, 5, dndSettings=CLOSED)
    sandbox.add_contact(LOCATION, email="vip@deos.com", tags=["vip"], dndSettings=CLOSED)
    order = ExportOrder(target="x", location_id=LOCATION, tags=("vip",))
    assert (await export(await connect(sandbox, rate_limit=None), tmp_path / "a.csv", order)).by_id == 1


async def test_a_service_that_knows_no_such_filters_is_no_end_and_is_told(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "FIELDS", [name for name in filters.FIELDS if "ndSettings" not in name])
    sandbox: Sandbox = await open_sandbox(search_without_dnd=True, unlimited=True)
    client: LeadConnector = await connect(sandbox, rate_limit=None)
    fill(sandbox, 3, dndSettings=CLOSED)
    progress = await export(client, tmp_path / "a.csv")
    assert (progress.contacts, progress.by_id, doubt_restrictions(ORDER, progress)) == (3, 0, "unasked")
    assert not any(row["dndSettings"] for row in table(tmp_path / "a.csv"))
    by_id = ExportOrder(target="x", location_id=LOCATION, is_by_id=True)
    progress = await export(client, tmp_path / "b.csv", by_id)
    assert (progress.by_id, doubt_restrictions(by_id, progress), find_untold(by_id, progress)) == (3, None, [])
    assert all(row["dndSettings"] for row in table(tmp_path / "b.csv"))


async def test_an_export_that_the_day_cut_off_goes_on(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    sandbox: Sandbox = await open_sandbox(search_without_dnd=True, daily=900)
    client: LeadConnector = await connect(sandbox)
    closed = fill(sandbox, 1_200, dndSettings=CLOSED)
    with pytest.raises(DailyQuotaExceededError) as spent:
        await export(client, tmp_path / "a.csv")
    await client.clock.sleep(spent.value.resets_in)
    progress = await export(client, tmp_path / "a.csv")
    assert (progress.contacts, progress.by_id) == (1_200, 1_200)
    rows = table(tmp_path / "a.csv")
    assert sorted(row["id"] for row in rows) == sorted(closed)
    assert all(row["dndSettings"] for row in rows)


async def test_who_goes_while_an_export_reads_is_left_out(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    sandbox: Sandbox = await open_sandbox(search_without_dnd=True, search_lag=3600.0, unlimited=True)
    client: LeadConnector = await connect(sandbox, rate_limit=None)
    closed = fill(sandbox, 4, dndSettings=CLOSED)
    await client.clock.sleep(3600)
    await client.contacts.delete(closed[1])
    assert (await export(client, tmp_path / "a.csv")).contacts == 3
    assert {row["id"] for row in table(tmp_path / "a.csv")} == {*closed} - {closed[1]}


def test_what_cannot_be_read_is_written_as_it_came() -> None:
    told = {"id": "1", "dateOfBirth": "soon", "tags": "vip", "address": {"line": "1 St"}, "firstName": "Ann"}
    contact = read_contact(json.dumps(told).encode(), FoundContact, "found")
    street = {"line": "1 St"}
    assert contact.unreadable == {"date_of_birth": "soon", "tags": "vip", "address1": street, "address": street}
    (line,) = (json.loads(line) for line in write_json_lines([contact], []).splitlines())
    assert line == {"id": "1", "firstName": "Ann", "dateOfBirth": "soon", "tags": "vip", "address1": street}
    header, row = (write_csv_header([]) + write_csv_rows([contact], [])).decode().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["dateOfBirth"], cells["tags"]) == ("soon", "vip")
    assert "1 St" in cells["address1"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize("is_link", [False, True])
async def test_what_came_there_meanwhile_is_not_overwritten(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, name: str, is_link: bool
) -> None:
    sandbox: Sandbox = await open_sandbox(unlimited=True)
    fill(sandbox, 3)
    client: LeadConnector = await connect(sandbox, rate_limit=None)
    path, target = tmp_path / name, tmp_path / "target"
    with Export(path, ORDER, is_resumed=False) as work:
        if is_link:
            path.symlink_to(target)
        else:
            path.write_text("mine")
        with pytest.raises(FileExistsError):
            await work.run(client, lambda _: None)
    assert not target.exists()
    assert path.is_symlink() == is_link
    assert is_link or path.read_text() == "mine"
    path.unlink()
    await export(client, path)  # what was read is kept, and goes on
    assert path.stat().st_size


async def test_a_part_that_became_a_link_is_not_written(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path
) -> None:
    sandbox: Sandbox = await open_sandbox(unlimited=True)
    fill(sandbox, 3)
    client: LeadConnector = await connect(sandbox, rate_limit=None)
    target = tmp_path / "target"
    with Export(tmp_path / "a.csv", ORDER, is_resumed=False) as work:
        (tmp_path / "a.csv").write_text("mine")
        with pytest.raises(FileExistsError):
            await work.run(client, lambda _: None)
    target.write_bytes((tmp_path / "a.csv.part").read_bytes() + b"more")
    (tmp_path / "a.csv.part").unlink()
    (tmp_path / "a.csv.part").symlink_to(target)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(OSError):  # noqa: PT011 - each system has another one
        await export(client, tmp_path / "a.csv")
    assert target.read_bytes().endswith(b"more")
