"""A step that the package does not know: one class, one name in a list, and everything else works for it, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import LeadConnector, OutageError, RetryPolicy
from leadconnector_async.bulk.run_log import read_outcome
from leadconnector_async.bulk.traces import Span, Written, follow
from leadconnector_async.errors import LeadConnectorError
from leadconnector_async.migration import Migration, MigrationOptions
from leadconnector_async.migration import load as load_module
from leadconnector_async.migration.steps import (
    DONE,
    LEFT,
    REFUSED,
    Step,
    StepCall,
    StepProgress,
    StepRow,
    StepRun,
    is_written,
)
from leadconnector_async.models import Contact, ContactUpdate
from leadconnector_async.protocol import Scope
from leadconnector_async.protocol.contacts import build_update
from leadconnector_async.run.journal import Journal
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox

COUNT = 30
SITE = "https://example.com/welcome"


class WebsiteStep(Step):
    """Gives each contact a website, in a call of its own."""

    name = "website"
    work = "setting websites"

    def calls(self, run: StepRun) -> Iterator[StepCall[Contact]]:
        return (self._call(run, row, contact_id) for row, contact_id in self._pending(run))

    def due(self, run: StepRun) -> Iterator[StepRow]:
        return (StepRow(row, LEFT, (SITE,), "the load ended before") for row, _ in self._pending(run))

    def _pending(self, run: StepRun) -> Iterator[tuple[int, str]]:
        rows = chain.from_iterable(file.rows() for file in run.files)
        for number, _ in enumerate(rows):
            for _, encoded in run.journal.hashes(number, 1).values():
                outcome = read_outcome(encoded)
                if is_written(outcome) and outcome.contact_id and not self.records.settled(number, 1):
                    yield number, outcome.contact_id

    def _call(self, run: StepRun, row: int, contact_id: str) -> StepCall[Contact]:
        update = ContactUpdate(website=SITE)
        return StepCall(
            LOCATION,
            build_update(contact_id, update, Scope(LOCATION, run.client.api_version)),
            read=lambda _: [StepRow(row, DONE)],
            refuse=partial(_refuse, row),
            leave_traces=partial(_leave_trace, run.journal, update),
        )


def _refuse(row: int, error: LeadConnectorError) -> list[StepRow]:
    return [StepRow(row, REFUSED, (SITE,), str(error))]


def _leave_trace(journal: Journal, update: ContactUpdate, stored: Contact, span: Span | None) -> None:
    journal.change_traces([stored.id], lambda trace: follow(trace, Written(update, stored, span)))


@pytest.fixture(autouse=True)
def _third_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "STEPS", (*load_module.STEPS, WebsiteStep))


@pytest.fixture
async def client(sandbox: Sandbox, connect: OpenSandbox) -> LeadConnector:
    retry = RetryPolicy(max_attempts=2, first_delay=0.1, max_outage=600.0)
    opened: LeadConnector = await connect(sandbox, retry=retry, rate_limit=None)
    return opened


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> Sandbox:
    started: Sandbox = await open_sandbox(unlimited=True)
    return started


async def prepare(client: LeadConnector, folder: Path) -> Migration:
    path = folder / "a.csv"
    path.write_text("\n".join(["email,tags", *(f"p{number}@example.com,customer" for number in range(COUNT)), ""]))
    return await Migration.prepare(client, [path], folder=folder / "run", options=MigrationOptions())


def websites(sandbox: Sandbox) -> int:
    return sum(contact.get("website") == SITE for contact in sandbox.contacts(LOCATION))


async def test_it_runs_after_the_others_and_verify_and_undo_know_its_writes(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    seen: list[StepProgress] = []
    async with await prepare(client, tmp_path) as run:
        report = await run.upsert(on_step=seen.append)
        assert (report.created, report.is_complete, report.requests) == (COUNT, True, sandbox.requests)
        assert websites(sandbox) == COUNT
        works = [progress.work for progress in seen]
        assert works == ["adding tags", *["setting websites"] * COUNT]
        assert seen[-1].done == COUNT
        assert (await run.verify()).differing == 0
        undone = await run.undo()
    assert (undone.deleted, undone.kept) == (COUNT, 0)  # its own writes are nobody else's changes


async def test_an_outage_costs_no_row_its_step(client: LeadConnector, sandbox: Sandbox, tmp_path: Path) -> None:
    async with await prepare(client, tmp_path) as run:
        sandbox.fail_next(None, times=COUNT + 1 + 5)
        sandbox.fail_next("503-html", times=40)
        report = await run.upsert()
    assert (report.created, report.is_complete) == (COUNT, True)
    assert websites(sandbox) == COUNT


async def test_an_outage_without_end_stops_the_load_and_the_next_session_does_the_rest(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with await prepare(client, tmp_path) as run:
        sandbox.fail_next(None, times=COUNT + 1 + 5)
        sandbox.fail_next("503-html", times=5000)
        report = await run.upsert()
    assert isinstance(report.stopped, OutageError)
    done = websites(sandbox)
    assert 0 < done < COUNT
    assert report.partially_applied == report.not_applied["website"] == COUNT - done
    sandbox._faults._script.clear()
    before = len(sandbox.arrivals)
    async with await Migration.open(client, tmp_path / "run") as run:
        report = await run.upsert()
    assert report.is_complete
    assert websites(sandbox) == COUNT
    assert len(sandbox.arrivals) - before == COUNT - done  # what was done is not sent again


async def test_a_stop_leaves_the_rest_to_the_next_session(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    stop = asyncio.Event()

    def stop_soon(progress: StepProgress) -> None:
        if progress.work == "setting websites" and progress.done >= 3:
            stop.set()

    async with await prepare(client, tmp_path) as run:
        report = await run.upsert(on_step=stop_soon, stop=stop)
        assert not report.is_complete
        assert report.not_applied["website"] == COUNT - websites(sandbox)
        assert (await run.upsert()).is_complete
    assert websites(sandbox) == COUNT


async def test_a_row_that_is_refused_says_so(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[str] = []
    send = LeadConnector.send

    async def delete_one(self: LeadConnector, call: Any) -> Any:
        if not gone and b"website" in (call.request.body or b""):
            contact = sandbox.contacts(LOCATION)[-1]
            gone.append(contact["email"])
            await self.contacts.delete(contact["id"])
        return await send(self, call)

    monkeypatch.setattr(LeadConnector, "send", delete_one)
    async with await prepare(client, tmp_path) as run:
        report = await run.upsert()
        assert (report.created, report.failed, report.partially_applied) == (COUNT, 0, 1)
        assert report.not_applied == {"website": 1}
    table = (tmp_path / "run" / "not_applied.csv").read_text()
    assert gone[0] in table
    assert "website" in table
    told = json.loads((tmp_path / "run" / "report.json").read_text())
    assert told["partially_applied"] == 1
