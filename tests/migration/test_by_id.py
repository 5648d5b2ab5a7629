"""Rows that are matched by the id of a contact, and rows that nothing finds: planned, loaded, verified and undone."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import ConfigurationError, LeadConnector
from leadconnector_async.migration import Migration, MigrationOptions, Sources
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox

GONE = "0" * 20


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, ""]))
    return path


async def prepare(client: LeadConnector | None, path: Path, **options: Any) -> Migration:
    folder, home = path.with_name(f"run-{path.stem}"), None if client is not None else LOCATION
    return await Migration.prepare(client, [path], folder=folder, options=MigrationOptions(**options), location_id=home)


def seed(sandbox: Sandbox, count: int, **fields: Any) -> list[str]:
    return [
        str(sandbox.add_contact(LOCATION, email=f"p{number}@b.co", firstName=f"P{number}", **fields)["id"])
        for number in range(count)
    ]


def failed(run: Migration) -> list[dict[str, str]]:
    assert run.folder is not None
    with (run.folder / "failed.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("header", ["id", "Contact Id", "contact_id", "contactId"])
@pytest.mark.parametrize("snapshot", [False, True])
async def test_rows_with_ids_update_these_contacts_alone(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, header: str, snapshot: bool
) -> None:
    ids = seed(sandbox, 3, city="Oslo")
    path = write(tmp_path / "a.csv", f"{header},email,city", f"{ids[0]},new@b.co,Rome", f"{ids[1]},p1@b.co,Rome")
    async with await prepare(client, path, snapshot=snapshot) as run:
        assert (run.plan.by_id, run.plan.to_send, run.plan.forecast.contacts) == (2, 2, 2)
        report = await run.upsert()
        assert (report.created, report.updated) == (0, 2)
        assert [contact["email"] for contact in sandbox.contacts()] == ["new@b.co", "p1@b.co", "p2@b.co"]
        assert [contact["city"] for contact in sandbox.contacts()] == ["Rome", "Rome", "Oslo"]
        assert (await run.verify()).differing == 0
        undone = await run.undo()
        assert undone.deleted == 0
    assert len(sandbox.contacts()) == 3
    if snapshot:
        assert [(one["email"], one["city"]) for one in sandbox.contacts()] == [
            (f"p{number}@b.co", "Oslo") for number in range(3)
        ]


async def test_rows_without_an_id_are_matched_by_email_beside_others(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids = seed(sandbox, 2)
    path = write(tmp_path / "a.csv", "id,email,city", f"{ids[0]},p0@b.co,Rome", ",p1@b.co,Rome", ",new@b.co,Rome")
    async with await prepare(client, path) as run:
        report = await run.upsert()
    assert (report.created, report.updated, run.plan.by_id) == (1, 2, 1)
    assert len(sandbox.contacts()) == 3


async def test_a_deleted_id_fails_its_row_alone_and_a_taken_email_names_whose_it_is(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids = seed(sandbox, 3)
    lines = [f"{GONE},gone@b.co", f"{ids[0]},p1@b.co", f"{ids[2]},new@b.co"]
    async with await prepare(client, write(tmp_path / "a.csv", "id,email", *lines)) as run:
        report = await run.upsert()
        assert (report.created, report.updated, report.failed) == (0, 1, 2)
        errors = [row["error"] for row in failed(run)]
    assert "not found" in errors[0]
    assert f"contact {ids[1]} (P1) has the email" in errors[1]
    assert sorted(contact["email"] for contact in sandbox.contacts()) == ["new@b.co", "p0@b.co", "p1@b.co"]


@pytest.mark.parametrize("match", ["auto", "email-phone", "id"])
async def test_ids_of_another_location(client: LeadConnector, sandbox: Sandbox, tmp_path: Path, match: str) -> None:
    elsewhere = [sandbox.add_contact("elsewhere", email=f"p{number}@b.co")["id"] for number in range(4)]
    path = write(tmp_path / "a.csv", "id,email", *(f"{one},p{number}@b.co" for number, one in enumerate(elsewhere)))
    async with await prepare(client, path, match=match) as run:
        if match == "id":
            assert run.plan.by_id == 4
            return
        report = await run.upsert()
    assert (report.created, report.failed, run.plan.by_id) == (4, 0, 0)
    is_told = any("its ids are not of contacts in this location (4 ids looked up)" in one for one in run.notes)
    assert is_told == (match == "auto")


@pytest.mark.parametrize("cells", [("1", "2"), ("003A000001abcdEFGH", "003A000001abcdEFGI"), ("1.0", "2.0")])
async def test_the_ids_of_other_systems_are_none(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, cells: tuple[str, str]
) -> None:
    path = write(tmp_path / "a.csv", "ID,email", f"{cells[0]},a@b.co", f"{cells[1]},b@b.co")
    async with await prepare(client, path) as run:
        (column, _) = run.plan.files[0].columns
        assert (column.target, run.plan.problems) == (None, [])
        assert "not ids of contacts" in (column.reason or "")
        assert (await run.upsert()).created == 2


async def test_match_by_id_refuses_rows_without_one(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    ids = seed(sandbox, 1)
    path = write(tmp_path / "a.csv", "id,email", f"{ids[0]},p0@b.co", ",new@b.co", "17,other@b.co")
    async with await prepare(client, path, match="id") as run:
        assert (run.plan.to_send, run.plan.refused) == (1, 2)
        report = await run.upsert()
        assert (report.created, report.updated, report.failed) == (0, 1, 2)
        assert "no id of a contact" in failed(run)[0]["error"]


async def test_a_file_of_ids_alone_needs_no_email(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    ids = seed(sandbox, 2, tags=["old"])
    path = write(tmp_path / "a.csv", "Contact Id,Tags", *(f"{one},vip" for one in ids))
    async with await prepare(client, path) as run:
        assert (await run.upsert()).updated == 2
        assert (await run.verify()).differing == 0
    assert [contact["tags"] for contact in sandbox.contacts()] == [["old", "vip"]] * 2
    with pytest.raises(ConfigurationError, match="no column for email or phone"):
        await prepare(client, write(tmp_path / "b.csv", "Contact Id,Tags", f"{ids[0]},vip"), match="email-phone")


@pytest.mark.parametrize("is_ours", [True, False])
async def test_planned_offline_ids_are_looked_up_before_the_first_write(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, is_ours: bool
) -> None:
    ids = seed(sandbox, 2) if is_ours else [GONE, "1" * 20]
    path = write(tmp_path / "a.csv", "id,email", *(f"{one},x{number}@b.co" for number, one in enumerate(ids)))
    async with await prepare(None, path) as run:
        assert run.plan.by_id == 2
        assert any("looked up when the load starts" in note for note in run.notes)
    async with await Migration.open(client, tmp_path / "run-a") as run:
        report = await run.upsert()
    assert (report.updated, report.created) == ((2, 0) if is_ours else (0, 2))
    assert len(sandbox.contacts()) == 2


async def test_json_lines_with_ids(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    ids = seed(sandbox, 1)
    rows = [{"id": ids[0], "email": "new@b.co"}, {"id": None, "email": "a@b.co"}, {"id": 17, "email": "c@b.co"}]
    async with await prepare(client, write(tmp_path / "a.jsonl", *map(json.dumps, rows))) as run:
        report = await run.upsert()
    assert (report.updated, report.created, report.failed) == (1, 2, 0)
    assert [problem.count for problem in run.plan.problems] == [1]
    assert len(sandbox.contacts()) == 3


# ---------------------------------------------------------------------------------------------- with other options


@pytest.mark.parametrize("count", [2, 150])  # all contacts are read by pages, or those of the rows one by one
@pytest.mark.parametrize("option", ["only_new", "only_existing", "fill_empty", "skip_unchanged"])
async def test_selections_know_a_contact_by_its_id(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, option: str, count: int
) -> None:
    ids = seed(sandbox, count, city="Oslo")
    lines = [f"{ids[0]},new@b.co,Rome", f"{ids[1]},p1@b.co,Oslo", f"{GONE},gone@b.co,Rome"]
    path = write(tmp_path / "a.csv", "id,email,city", *lines)
    async with await prepare(client, path, **{option: True}) as run:
        report = await run.upsert()
    expected = {
        "only_new": (0, 2, 1),  # the service, too, knows no such contact
        "only_existing": (2, 1, 0),
        "fill_empty": (0, 2, 1),
        "skip_unchanged": (1, 1, 1),
    }
    assert (report.updated, report.skipped, report.failed) == expected[option]
    assert report.created == 0
    assert sandbox.contacts()[0]["email"] == (
        "new@b.co" if option in ("only_existing", "skip_unchanged") else "p0@b.co"
    )


async def test_a_comparison_is_with_the_contact_of_the_id(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids = seed(sandbox, 2, city="Oslo")
    path = write(tmp_path / "a.csv", "id,email,city", f"{ids[0]},new@b.co,Oslo", f"{ids[1]},p1@b.co,Oslo")
    run = await Migration.prepare(client, [path], folder=None, compare=True)
    with run:
        found = run.plan.comparison
    assert found is not None
    assert (found.new, found.changed, found.same, found.fields) == (0, 1, 1, {"email": 1})
    assert found.examples[0].contact_id == ids[0]


async def test_what_is_filled_is_filled_in_the_contact_of_the_id(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids = seed(sandbox, 2)
    path = write(tmp_path / "a.csv", "id,phone,city,email", f"{ids[1]},+16175550101,Rome,other@b.co")
    async with await prepare(client, path, fill_empty=True) as run:
        assert (await run.upsert()).updated == 1
        assert (await run.verify()).differing == 0
    contact = sandbox.contacts()[1]
    assert (contact["email"], contact["phone"], contact["city"]) == ("p1@b.co", "+16175550101", "Rome")


async def test_an_opt_out_closes_the_contact_of_the_id_whatever_is_left_out(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids = seed(sandbox, 2)
    path = write(tmp_path / "a.csv", "id,email,Unsubscribed", f"{ids[1]},other@b.co,yes", f"{GONE},p0@b.co,yes")
    async with await prepare(client, path, only_new=True) as run:
        report = await run.upsert()
    assert (report.skipped, report.failed) == (1, 1)
    first, second = sandbox.contacts()
    assert second["dndSettings"]["Email"]["status"] == "active"
    assert not first.get("dndSettings")  # the id counts, not whose the email is


async def test_a_row_after_one_with_an_id_does_not_overwrite_it_by_a_shared_phone(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids = seed(sandbox, 1, phone="+16175550101")
    path = write(tmp_path / "a.csv", "id,email,phone", f"{ids[0]},p0@b.co,+16175550101", ",kid@b.co,+16175550101")
    async with await prepare(client, path) as run:
        assert run.plan.forecast.deferred == 1
        report = await run.upsert()
    assert (report.created, report.updated) == (1, 1)
    assert sorted(contact["email"] for contact in sandbox.contacts()) == ["kid@b.co", "p0@b.co"]


async def test_a_run_goes_on_with_the_same_way_to_match_alone(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    ids, stop = seed(sandbox, 9), asyncio.Event()
    path = write(tmp_path / "a.csv", "id,city", *(f"{one},Rome" for one in ids))
    async with await prepare(client, path) as run:
        await run.upsert(on_outcome=lambda _: stop.set(), stop=stop)
        assert not run.is_same(run_sources(path), MigrationOptions(match="id"))
        assert run.is_same(run_sources(path), MigrationOptions())
        assert (await run.upsert()).updated == 9


def run_sources(path: Path) -> Sources:
    return Sources(files=[path])


def test_what_contradicts_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="match"):
        MigrationOptions(match="phone")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="create_nameless"):
        MigrationOptions(match="id", create_nameless=True)
    with pytest.raises(ConfigurationError, match="only_new"):
        MigrationOptions(match="id", only_new=True)


# ---------------------------------------------------------------------------------------------- rows without a key


async def test_a_name_alone_makes_a_contact_where_that_is_wanted(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", "email,firstName,tags,timezone", ",Ann,vip,Europe/Rome", "b@b.co,Bob,,", ",,vip,")
    async with await prepare(client, path) as run:
        assert run.plan.to_send == 1
    run.discard()
    async with await prepare(client, path, create_nameless=True) as run:
        assert (run.plan.to_send, run.plan.refused, run.plan.nameless) == (2, 1, 1)
        report = await run.upsert()
        assert (report.created, report.failed, report.not_applied) == (2, 1, {})
        assert (await run.upsert()).created == 2  # and no more
        assert (await run.verify()).differing == 0
        assert [contact.get("firstName") for contact in sandbox.contacts()] == ["Ann", "Bob"]
        assert (await run.undo()).deleted == 2
    assert sandbox.contacts() == []


async def test_a_file_of_names_alone(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "First Name,Last Name", "Ann,Lee", "Bob,Ray", "Ann,Lee")
    with pytest.raises(ConfigurationError, match="no column for email or phone"):
        await prepare(client, path)
    async with await prepare(client, path, create_nameless=True) as run:
        assert (await run.upsert()).created == 3


@pytest.mark.parametrize("fault", ["reset-after", "502-after", "reset-before", "500", "429"])
async def test_a_name_alone_is_never_sent_twice(
    open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path, fault: str
) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox)
    path = write(tmp_path / "a.csv", "firstName,email", *(f"P{number}," for number in range(6)))
    async with await prepare(client, path, create_nameless=True) as run:
        stop = asyncio.Event()
        sandbox.fail_next(None, 3)  # what is asked before, and the first row
        sandbox.fail_next(fault, 1)
        await run.upsert(on_outcome=lambda _: stop.set(), stop=stop)
        report = await run.upsert()
        report = await run.upsert(retry_failed=True)
    names = [contact["firstName"] for contact in sandbox.contacts()]
    assert len(names) == len(set(names)), "a row made two contacts"
    assert report.created + report.unknown + report.failed == 6
    assert len(names) >= report.created
