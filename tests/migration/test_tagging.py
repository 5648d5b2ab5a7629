"""Adding tags in bulk, on a clock that jumps: outages, calls over time, and what is told of rows without their tags."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector, OutageError, RetryPolicy, ServerError
from leadconnector_async.bulk.report import BatchReport
from leadconnector_async.migration.load import FileLoad
from leadconnector_async.migration.mapping.rows import RowFile, open_row_file
from leadconnector_async.migration.report.charts import show_throughput
from leadconnector_async.migration.report.files import Results
from leadconnector_async.migration.steps import StepProgress
from leadconnector_async.migration.tagging import TagStep
from leadconnector_async.migration.verify import UNEXPLAINED, Meetings, Verification, VerifyRecords, group_by_contact
from leadconnector_async.run.database import Database
from leadconnector_async.run.journal import Journal
from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.kept_rows import keep

QUICK = RetryPolicy(max_attempts=2, first_delay=0.1, max_outage=600.0)


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> Sandbox:
    started: Sandbox = await open_sandbox(unlimited=True)
    return started


@pytest.fixture
async def client(sandbox: Sandbox, connect: OpenSandbox) -> LeadConnector:
    opened: LeadConnector = await connect(sandbox, retry=QUICK, rate_limit=None)
    return opened


def tagged_people(path: Path, count: int, *, sets: int = 1) -> list[RowFile]:
    rows = [f"p{number}@example.com,Set {number % sets};all" for number in range(count)]
    path.write_text("\n".join(["email,tags", *rows, ""]))
    return [open_row_file(path)]


class Load:
    """A load, which may be run more than once."""

    def __init__(
        self, client: LeadConnector, files: list[RowFile], folder: Path, *, retry_failed: bool = False
    ) -> None:
        self._client = client
        self.file = Database(folder / "run.sqlite3")
        kept, self.journal = keep(files, self.file), Journal(self.file)
        self.step = TagStep(self.file, retry_refused=retry_failed)
        results = Results(folder, kept)
        self.load = FileLoad(kept, results, self.journal, steps=[self.step])
        self.tagged = 0

    async def run(self) -> BatchReport:
        try:
            return await self.load.run(
                self._client,
                asyncio.Event(),
                wait_for_quota=False,
                on_outcome=lambda _: None,
                on_step=self._count,
            )
        finally:
            self.calls = sum(second.tagged for second in self.journal.timeline())
            self.missing = self.step.records.missing()
            self.journal.close()

    def _count(self, progress: StepProgress) -> None:
        self.tagged = progress.done


async def tags_in(client: LeadConnector) -> list[list[str]]:
    found = [await client.contacts.get(contact.id) async for contact in client.contacts.search()]
    return [contact.tags or [] for contact in found]


@pytest.mark.parametrize("kind", ["503-html", "reset-before", "reset-after"])
@pytest.mark.parametrize("sets", [1, 5, 40])
async def test_an_outage_amid_the_tags_costs_no_row_its_tags(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, kind: str, sets: int
) -> None:
    load = Load(client, tagged_people(tmp_path / "a.csv", 200, sets=sets), tmp_path)
    sandbox.fail_next(None, times=200)
    sandbox.fail_next(kind, times=30)
    report = await load.run()
    assert (report.created, report.failed, report.stopped, report.is_complete) == (200, 0, None, True)
    assert [len(tags) for tags in await tags_in(client)] == [2] * 200
    assert load.tagged == 200
    assert load.calls >= sets


async def test_an_outage_without_end_stops_the_load_and_the_next_session_goes_on(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    files = tagged_people(tmp_path / "a.csv", 150, sets=10)
    sandbox.fail_next(None, times=150)
    sandbox.fail_next("503-html", times=5000)
    report = await (load := Load(client, files, tmp_path)).run()
    assert isinstance(report.stopped, OutageError)
    assert (report.created, report.failed, report.partially_applied) == (150, 0, 150)
    assert load.tagged == 0
    sandbox._faults._script.clear()
    report = await (load := Load(client, files, tmp_path)).run()
    assert (report.is_complete, report.created, report.partially_applied, load.tagged) == (True, 150, 0, 150)
    assert [len(tags) for tags in await tags_in(client)] == [2] * 150


async def test_a_call_that_the_service_cannot_cope_with_fails_its_rows_alone(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tagged_people(tmp_path / "a.csv", 60, sets=30)  # two rows a call
    send, poison = LeadConnector.send, b'"set 7"'

    async def send_poisoned(self: LeadConnector, call: Any) -> Any:
        if poison in (call.request.body or b""):
            call.tries.count += 2
            raise ServerError(503, ("not today",))
        return await send(self, call)

    monkeypatch.setattr(LeadConnector, "send", send_poisoned)
    report = await (load := Load(client, files, tmp_path)).run()
    assert (report.created, report.failed, report.total, report.stopped) == (58, 2, 60, None)
    assert load.tagged == 60
    assert not report.is_complete
    assert len(load.missing) == 2
    assert all(found.reason for found in load.missing.values())
    poison = b"nothing"
    report = await Load(client, files, tmp_path, retry_failed=True).run()
    assert (report.created, report.failed, report.is_complete) == (60, 0, True)


async def test_calls_for_tags_are_part_of_the_load_over_time(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    load = Load(client, tagged_people(tmp_path / "a.csv", 250, sets=5), tmp_path)
    sandbox.fail_next(None, times=250)
    sandbox.fail_next("reset-after")
    report = await load.run()
    assert (load.calls, report.requests, report.retries) == (5, 256, 1)
    told = load.load.throughput
    assert told is not None
    width = told.seconds / len(told.steps)
    assert sum(step.tagged for step in told.steps) * width == pytest.approx(5)
    shown = "".join(str(part) for part in show_throughput(told))
    assert "calls that set phones, or add tags to many rows" in shown


async def test_a_tag_that_is_gone_is_found_also_where_another_row_of_the_contact_has_its_own(
    client: LeadConnector, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("email,tags\na@example.com,one\na@example.com,two\na@example.com,\nb@example.com,\n")
    files = [open_row_file(path)]
    assert (await Load(client, files, tmp_path).run()).is_complete
    (contact,) = [found async for found in client.contacts.search() if found.email == "a@example.com"]

    async def differences() -> list[tuple[str, str, int]]:
        with Journal(Database(tmp_path / "run.sqlite3")) as journal, Meetings(journal.outcomes()) as meetings:
            records = VerifyRecords(journal._file, [])
            work = Verification(client, tmp_path, records, ended_at=None, adds_tags=True)
            groups = group_by_contact(keep(files, journal._file), journal.outcomes(), meetings, None, adds_tags=True)
            assert await work.run(groups, asyncio.Event()) is None
            records.conclude()
            assert work.tally.compared == 4
            return [(*key, count) for key, count in work.tally.reasons.items()]

    assert await differences() == []
    await client.contacts.remove_tags(contact.id, ["one"])
    await client.contacts.add_tags(contact.id, ["three"])
    assert await differences() == [("tags", UNEXPLAINED, 1)]
