"""Undoing, on a clock that jumps: what changed since is told from what did not."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadconnector_async import DuplicateContactError, LeadConnector, RetryPolicy, ServerError
from leadconnector_async.bulk.pool import Pool
from leadconnector_async.migration.migration import Migration
from leadconnector_async.migration.undo import Created, Undo, plan_undo, read_created
from leadconnector_async.migration.undone import Undone, UndoRecords
from leadconnector_async.migration.verify import changed_since, note_end
from leadconnector_async.models import Contact
from leadconnector_async.run.database import Database
from leadconnector_async.run.folder import RUN_FILE
from leadconnector_async.run.journal import Journal
from leadconnector_async.sandbox import Applied, Sandbox
from tests.bulk.test_traces import OTHERS
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock


@contextlib.contextmanager
def open_run(folder: Path) -> Iterator[tuple[Journal, UndoRecords]]:
    """Open the run of a folder."""
    (folder / "run").mkdir(exist_ok=True)
    with Database(folder / "run" / RUN_FILE) as file:
        yield Journal(file), UndoRecords(file)


async def load(client: LeadConnector, journal: Journal, count: int) -> None:
    await client.contacts.bulk_upsert([{"email": f"p{n}@example.com"} for n in range(count)], journal=journal)
    note_end(journal, client)


async def test_only_what_changed_after_the_run_is_kept(client: LeadConnector, clock: FakeClock, tmp_path: Path) -> None:
    with open_run(tmp_path) as (journal, records):
        await load(client, journal, 5)
        created = list(read_created(journal))
        assert plan_undo(journal).created == len(created) == 5
        await clock.sleep(60)
        await client.contacts.update(created[2].contact_id, {"city": "Rome"})
        work = Undo(client, records, journal, Pool(client))
        assert await work.run(created, asyncio.Event()) is None
        assert [undone.status for undone in records.all()] == ["deleted", "deleted", "kept", "deleted", "deleted"]
        assert (await client.contacts.get(created[2].contact_id)).city == "Rome"


async def test_a_run_whose_end_was_not_noted_is_known_by_its_outcomes(client: LeadConnector, tmp_path: Path) -> None:
    with open_run(tmp_path) as (journal, records):
        await client.contacts.bulk_upsert([{"email": "a@example.com"}], journal=journal)  # and no end
        work = Undo(client, records, journal, Pool(client))
        assert await work.run(read_created(journal), asyncio.Event()) is None
        assert records.counts()["deleted"] == 1


async def test_it_keeps_to_the_limits_and_no_call_is_refused(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> None:
    with open_run(tmp_path) as (journal, records):
        await load(client, journal, 250)
        began = clock.monotonic()
        work = Undo(client, records, journal, Pool(client))
        assert await work.run(read_created(journal), asyncio.Event()) is None
        assert records.counts()["deleted"] == 250
        assert clock.monotonic() - began == pytest.approx(50.05)  # 500 calls, a hundred at a time
        assert sandbox.requests == 750  # none was rate-limited (HTTP 429) and sent again


async def test_one_that_cannot_be_deleted_does_not_end_it(
    client: LeadConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tmp_path) as (journal, records):
        await load(client, journal, 3)
        bad, send = next(read_created(journal)).contact_id, LeadConnector.send

        async def send_poisoned(self: LeadConnector, call: Any) -> Any:
            if call.request.method == "DELETE" and bad in call.request.path:
                raise ServerError(500, ("Internal server error",))
            return await send(self, call)

        monkeypatch.setattr(LeadConnector, "send", send_poisoned)
        work = Undo(client, records, journal, Pool(client), is_forced=True)
        assert await work.run(read_created(journal), asyncio.Event()) is None
        assert (records.counts()["deleted"], records.counts()["failed"]) == (2, 1)


@pytest.mark.parametrize(
    ("updated", "ended_at", "has_changed"),
    [
        ("2026-01-01T00:00:10Z", 1767225600.0, True),
        ("2026-01-01T00:00:01.500Z", 1767225600.0, False),
        ("2026-01-01T00:00:10", 1767225600.0, None),
        ("yesterday", 1767225600.0, None),
        (None, 1767225600.0, None),
        ("2026-01-01T00:00:10Z", None, None),
    ],
)
def test_whether_a_contact_changed_is_told_only_where_it_is_known(
    updated: str | None, ended_at: float | None, has_changed: bool | None
) -> None:
    assert changed_since(Contact(id="x" * 20, date_updated=updated), ended_at) is has_changed


# ---------------------------------------------------------------------------------------------- other writers


BY_HAND = "by hand"
PEOPLE = [f"{name}@example.com" for name in ("ann", "bob", "cy")]
PHONE = "+16175550100"
one_row = st.fixed_dictionaries(
    {
        "email": st.sampled_from(PEOPLE),
        "firstName": st.sampled_from(["", "Kim"]),
        "city": st.sampled_from(["", "Rome", "Bonn"]),
        "phone": st.sampled_from(["", "", PHONE]),
        "tags": st.sampled_from(["", "vip", "new, vip"]),
    }
)
one_edit = st.tuples(
    st.floats(0.0, 6.0), st.sampled_from(PEOPLE), st.sampled_from(["city", "first_name", "website", "tags", "sign up"])
)


class Witness:
    """Notes who wrote to which contact, in the order of the service."""

    def __init__(self) -> None:
        self.writers: defaultdict[str, list[str]] = defaultdict(list)

    def note(self, applied: Applied) -> None:
        if applied.method == "GET" or applied.path.endswith("/search"):
            return
        who = "other" if BY_HAND in str(applied.sent) else "run"
        contact = applied.answered.get("contact")
        path_id = applied.path.split("/")[2] if applied.path.startswith("/contacts/") else ""
        for contact_id in applied.sent.get("contacts") or [contact["id"] if contact else path_id]:
            self.writers[contact_id].append(who)


class OtherWriter:
    """Edits contacts of the location while a load is at work."""

    def __init__(self, client: LeadConnector, sandbox: Sandbox, clock: FakeClock) -> None:
        self._client = client
        self._sandbox = sandbox
        self._clock = clock

    async def edit(self, delay: float, email: str, what: str) -> None:
        await self._clock.sleep(delay)
        contact_id = next((one["id"] for one in self._sandbox.contacts() if one.get("email") == email), None)
        if what == "sign up":
            with contextlib.suppress(DuplicateContactError):
                await self._client.contacts.create({"email": email, "source": BY_HAND})
        elif contact_id is None:
            return
        elif what == "tags":
            await self._client.contacts.add_tags(contact_id, [BY_HAND])
        else:
            await self._client.contacts.update(contact_id, {what: BY_HAND})


async def load_file(client: LeadConnector, folder: Path, rows: Sequence[Mapping[str, str]]) -> list[Created]:
    """Load rows as the command line does: shared phones set afterwards, tags added in bulk; return what was created."""
    path = folder / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    async with await Migration.prepare(client, [path], folder=folder / "run", ask_locations=False) as run:
        await run.upsert()
        return list(read_created(run.journal))


async def undo_run(
    client: LeadConnector, folder: Path, created: Iterable[Created], **options: bool
) -> dict[str, Undone]:
    with open_run(folder) as (journal, records):
        assert await Undo(client, records, journal, Pool(client), **options).run(created, asyncio.Event()) is None
        return {undone.contact_id: undone for undone in records.all()}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(one_row, min_size=1, max_size=8),
    edits=st.lists(one_edit, max_size=4),
    tags_move_date=st.booleans(),
    seed=st.integers(0, 999),
)
async def test_nothing_is_deleted_that_somebody_else_touched_and_all_else_is(
    rows: list[dict[str, str]], edits: list[tuple[float, str, str]], tags_move_date: bool, seed: int
) -> None:
    clock, witness = FakeClock(), Witness()
    sandbox_options: dict[str, Any] = {
        "seed": seed,
        "latency": (0.1, 0.5),
        "tags_move_date": tags_move_date,
        "on_applied": witness.note,
        "monotonic": clock.monotonic,
        "wall": clock.time,
        "sleep": clock.sleep,
    }
    with tempfile.TemporaryDirectory() as name:
        async with clock.jumping(), Sandbox(**sandbox_options) as sandbox, AsyncExitStack() as stack:
            client, other = [
                await stack.enter_async_context(
                    LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, clock=clock, concurrency=2)
                )
                for _ in range(2)
            ]
            writer = OtherWriter(other, sandbox, clock)
            loading = asyncio.ensure_future(load_file(client, Path(name), rows))
            await asyncio.gather(*(writer.edit(*edit) for edit in edits))
            created = await loading
            writers = {contact_id: list(who) for contact_id, who in witness.writers.items()}
            before = {contact["id"]: str(contact) for contact in sandbox.contacts()}
            undone = await undo_run(client, Path(name), created)
    for one in created:
        who = writers[one.contact_id]
        assert who[0] == "run", "somebody else made it"
        status, why = undone[one.contact_id].status, undone[one.contact_id].detail
        if "other" not in who:
            assert status == "deleted", why
        elif who[-1] == "other" or BY_HAND in before[one.contact_id]:
            assert status == "kept"
        assert status == "deleted" or why
    assert {one.contact_id for one in created} == undone.keys()


@pytest.mark.parametrize("tags_move_date", [True, False])
async def test_an_edit_between_a_row_and_its_tags_is_kept(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, tmp_path: Path, tags_move_date: bool
) -> None:
    """The tags come after all rows, so that in a long load hours may lie between."""
    sandbox = await open_sandbox(tags_move_date=tags_move_date)
    client = await connect(sandbox)
    writer = OtherWriter(await connect(sandbox, rate_limit=None), sandbox, clock)
    rows = [{"email": f"person{number}@example.com", "tags": "vip"} for number in range(250)]
    loading = asyncio.ensure_future(load_file(client, tmp_path, rows))
    await writer.edit(11.0, "person3@example.com", "city")  # the rows take 20 seconds
    await writer.edit(0.0, "person4@example.com", "tags")
    created = await loading
    ids = {contact["email"]: contact["id"] for contact in sandbox.contacts()}
    assert all("vip" in contact["tags"] for contact in sandbox.contacts())
    undone = await undo_run(client, tmp_path, created)
    kept = {undone.contact_id: undone.detail for undone in undone.values() if undone.status == "kept"}
    assert kept.keys() == {ids["person3@example.com"], ids["person4@example.com"]}
    assert all(kept.values())
    assert sum(undone.status == "deleted" for undone in undone.values()) == 248


@pytest.mark.parametrize("tags_move_date", [True, False])
async def test_an_edit_of_any_field_between_the_writes_of_a_load_is_kept(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, tmp_path: Path, tags_move_date: bool
) -> None:
    """Of each field, at moments from right after the row to right before its tags."""
    sandbox = await open_sandbox(tags_move_date=tags_move_date)
    client = await connect(sandbox)
    other = await connect(sandbox, rate_limit=None)
    edits = {**OTHERS, "name": "Eve Doe", "business": "business1"}
    del edits["email"], edits["phone"]  # by which they are found below
    moments = (0.4, 1.2, 5.0, 9.5)
    people = [(f"{name}-{number}@example.com", name) for number in range(len(moments)) for name in edits]
    rows = [{"email": email, "tags": "first"} for email, _ in people]
    rows += [{"email": f"p{number}@example.com", "tags": "first"} for number in range(150)]

    async def edit(moment: float, number: int) -> None:
        await clock.sleep(moment)
        ids = {contact["email"]: contact["id"] for contact in sandbox.contacts()}
        for name, value in edits.items():
            contact_id = ids[f"{name}-{number}@example.com"]
            if name == "business":
                await other.contacts.set_business([contact_id], value)
            else:
                await other.contacts.update(contact_id, {name: value})

    loading = asyncio.ensure_future(load_file(client, tmp_path, rows))
    await asyncio.gather(*(edit(moment, number) for number, moment in enumerate(moments)))
    created = await loading
    emails = {contact["id"]: contact["email"] for contact in sandbox.contacts()}
    assert all("first" in contact["tags"] or "vip" in contact["tags"] for contact in sandbox.contacts())
    undone = await undo_run(client, tmp_path, created)
    kept = {emails[one.contact_id] for one in undone.values() if one.status == "kept"}
    assert {email for email, _ in people} - kept == set()
    assert sum(one.status == "deleted" for one in undone.values()) == 150


@pytest.mark.parametrize(
    "rows",
    [
        [
            {"email": "ann@example.com", "city": "Rome"},
            *[{"email": "x@example.com"}] * 30,
            {"email": "ann@example.com"},
        ],
        [
            {"email": "bob@example.com", "phone": PHONE},
            {"email": "ann@example.com", "phone": PHONE},
            *[{"email": "x@example.com"}] * 30,
        ],
    ],
    ids=["a later row of the same person", "the phone is set"],
)
async def test_an_edit_between_two_writes_of_the_load_is_kept(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, tmp_path: Path, rows: list[dict[str, str]]
) -> None:
    sandbox = await open_sandbox(latency=(0.1, 0.1), allow_duplicates=True)  # so that the phone can be set
    client = await connect(sandbox, concurrency=1)
    writer = OtherWriter(await connect(sandbox, rate_limit=None), sandbox, clock)
    rows = [{"city": "", "phone": "", **row} for row in rows]
    loading = asyncio.ensure_future(load_file(client, tmp_path, rows))
    await writer.edit(1.5, "ann@example.com", "website")
    created = await loading
    (ann,) = [contact for contact in sandbox.contacts() if contact["email"] == "ann@example.com"]
    assert sandbox.writes[ann["id"]] == 3
    undone = await undo_run(client, tmp_path, created)
    assert {one.contact_id for one in undone.values() if one.status == "kept"} == {ann["id"]}
    assert undone[ann["id"]].detail == "somebody else changed it while the load was at work: website"


async def test_a_change_that_no_field_shows_is_told_by_the_date(
    client: LeadConnector, clock: FakeClock, tmp_path: Path
) -> None:
    rows = [{"email": "ann@example.com", "tags": "vip"}, {"email": "bob@example.com", "tags": "vip"}]
    created = await load_file(client, tmp_path, rows)
    await clock.sleep(5)
    await client.contacts.set_business([created[0].contact_id], "business1")
    undone = await undo_run(client, tmp_path, created)
    assert [undone[one.contact_id].status for one in created] == ["kept", "deleted"]


async def test_an_edit_in_the_midst_of_a_long_load_is_kept(
    client: LeadConnector, sandbox: Sandbox, connect: OpenSandbox, clock: FakeClock, tmp_path: Path
) -> None:
    writer = OtherWriter(await connect(sandbox, rate_limit=None), sandbox, clock)
    with open_run(tmp_path) as (journal, _):
        loading = asyncio.ensure_future(load(client, journal, 400))  # for half a minute
        await writer.edit(15.0, "p5@example.com", "city")
        await loading
        created = list(read_created(journal))
    undone = await undo_run(client, tmp_path, created)
    assert [one.row for one in created if undone[one.contact_id].status == "kept"] == [5]
    (left,) = sandbox.contacts()
    assert left["city"] == BY_HAND


async def test_a_run_that_does_not_know_what_it_wrote_keeps_all_its_contacts(
    client: LeadConnector, tmp_path: Path
) -> None:
    with open_run(tmp_path) as (journal, _):
        await load(client, journal, 3)
        created = list(read_created(journal))
        with journal._file.transaction() as db:
            db.execute("UPDATE contacts SET fields = NULL")
    undone = await undo_run(client, tmp_path, created)
    assert {one.status for one in undone.values()} == {"kept"}
    assert {one.detail for one in undone.values()} == {"it is not known when the run last wrote to it"}


# ---------------------------------------------------------------------------------------------- inferred creations


async def test_a_creation_that_no_answer_told_is_kept_unless_it_is_included(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.fail_next("reset-after")
    with open_run(tmp_path) as (journal, _):
        report = await client.contacts.bulk_upsert([{"email": f"p{n}@example.com"} for n in range(3)], journal=journal)
        assert (report.created, report.inferred) == (3, 1)
        assert report.to_dict()["inferred"] == 1
        assert [outcome.inferred for outcome in report.outcomes] == [True, False, False]
        plan, created = plan_undo(journal), list(read_created(journal))
    assert (plan.created, plan.inferred) == (3, 1)
    undone = await undo_run(client, tmp_path, created)
    assert [undone[one.contact_id].status for one in created] == ["kept", "deleted", "deleted"]
    assert "the answer that would confirm its creation was lost" in undone[created[0].contact_id].detail
    undone = await undo_run(client, tmp_path, created, is_forced=True)
    assert undone[created[0].contact_id].status == "kept"
    undone = await undo_run(client, tmp_path, created, includes_inferred=True)
    assert [undone[one.contact_id].status for one in created] == ["deleted"] * 3


async def test_an_inferred_creation_that_changed_since_is_kept_also_where_it_is_included(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock, tmp_path: Path
) -> None:
    sandbox.fail_next("reset-after")
    with open_run(tmp_path) as (journal, _):
        await load(client, journal, 1)
        (created,) = read_created(journal)
    await clock.sleep(1)
    await client.contacts.update(created.contact_id, {"city": "Rome"})
    undone = await undo_run(client, tmp_path, [created], includes_inferred=True)
    assert undone[created.contact_id].status == "kept"


@pytest.mark.parametrize("theirs", [{"phone": PHONE}, {"firstName": "Ann"}, {"city": "Rome"}, {}])
async def test_a_contact_that_holds_more_than_was_sent_is_not_taken_for_ours(
    sandbox: Sandbox, connect: OpenSandbox, clock: FakeClock, theirs: dict[str, str]
) -> None:
    """A sign-up form makes it while the first try of our row is lost."""

    sandbox.fail_next("reset-before")
    client = await connect(sandbox, retry=RetryPolicy(first_delay=100.0))
    loading = asyncio.ensure_future(client.contacts.bulk_upsert([{"email": "ann@example.com", "source": "crm"}]))
    while not sandbox.requests:
        await clock.sleep(0.001)
    sandbox.add_contact(LOCATION, email="ann@example.com", **theirs)
    report = await loading
    (outcome,) = report.outcomes
    assert (outcome.status, outcome.inferred) == (("updated", False) if theirs else ("created", True))
    assert "may have created it" in (outcome.note or "") if theirs else "dateAdded" in (outcome.note or "")
