"""Random mixtures of rows, faults and kills: each row has exactly one outcome in the end, and it is true."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from leadconnector_async import BatchReport, LeadConnector, Outcome, RetryPolicy
from leadconnector_async.bulk.report import STATUSES
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION
from tests.fake_clock import FakeClock

rows = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"email": st.sampled_from([f"e{number}@b.co" for number in range(12)])},
            optional={
                "phone": st.sampled_from([f"+1617555010{number}" for number in range(6)]),
                "createNewIfDuplicateAllowed": st.booleans(),
            },
        ),
        st.sampled_from([{"firstName": "nobody"}, {"email": "no address"}]),
    ),
    min_size=1,
    max_size=40,
)
KINDS = ["500", "502-after", "reset-before", "reset-after", "cut-body", "429", "empty-200", "401-timeout"]
QUICK = RetryPolicy(max_attempts=3, first_delay=0.1)


def snapshot(path: Path, copy: Path) -> None:
    """Copy a journal as a killed process leaves it."""
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())


async def load_until_killed(client: LeadConnector, rows: list[Any], path: Path, kill_at: int, **options: Any) -> Path:
    """Load until so many outcomes were told, and return the journal as it was then; calls in flight are cut off."""
    copy = path.with_name(f"{path.name}-next")
    told = 0

    def count(outcome: Outcome) -> None:
        nonlocal told
        told += 1
        if told == kill_at:
            snapshot(path, copy)
            load.cancel()

    load = asyncio.ensure_future(client.contacts.bulk_upsert(rows, journal=path, on_outcome=count, **options))
    with contextlib.suppress(asyncio.CancelledError):
        await load
    return copy if copy.exists() else path


def check(report: BatchReport, rows: list[dict[str, Any]], sandbox: Sandbox) -> None:
    assert [outcome.index for outcome in report.outcomes] == list(range(len(rows)))
    assert report.total == len(rows) == sum(getattr(report, status) for status in STATUSES)
    assert report.not_attempted == 0
    stored = {contact["id"] for contact in sandbox.contacts()}
    created = Counter(outcome.contact_id for outcome in report.outcomes if outcome.status == "created")
    assert created.keys() <= stored
    assert all(count == 1 for count in created.values()), "a contact is created once"
    for outcome, row in zip(report.outcomes, rows, strict=True):
        if outcome.status == "updated":
            assert outcome.contact_id in stored
        if outcome.status == "unknown":
            assert row.get("createNewIfDuplicateAllowed")
    uncertain = sum(outcome.status == "unknown" or "applied" in (outcome.note or "") for outcome in report.outcomes)
    assert len(stored - created.keys()) <= uncertain + report.updated
    if not uncertain:
        assert len(stored) == len(created)


@settings(max_examples=40, deadline=None)
@given(
    rows=rows,
    faults=st.dictionaries(st.sampled_from(KINDS), st.sampled_from([0.05, 0.3]), max_size=3),
    kills=st.lists(st.integers(1, 25), max_size=3),
    allow_duplicates=st.booleans(),
    concurrency=st.integers(1, 16),
    coalesce=st.booleans(),
    seed=st.integers(0, 999),
)
async def test_rows_faults_and_kills(
    rows: list[dict[str, Any]],
    faults: dict[str, float],
    kills: list[int],
    allow_duplicates: bool,
    concurrency: int,
    coalesce: bool,
    seed: int,
) -> None:
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            clock.jumping(),
            Sandbox(
                seed=seed,
                faults=faults,
                allow_duplicates=allow_duplicates,
                monotonic=clock.monotonic,
                wall=clock.time,
                sleep=clock.sleep,
            ) as sandbox,
            LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, retry=QUICK, clock=clock) as client,
        ):
            path = Path(folder) / "journal"
            for kill_at in kills:
                path = await load_until_killed(client, rows, path, kill_at, concurrency=concurrency, coalesce=coalesce)
            report = await client.contacts.bulk_upsert(rows, journal=path, concurrency=concurrency, coalesce=coalesce)
            check(report, rows, sandbox)
            requests = sandbox.requests
            again = await client.contacts.bulk_upsert(rows, journal=path)
            assert again.to_dict() | {"sessions": 0, "finished_at": 0, "duration_seconds": 0} == report.to_dict() | {
                "sessions": 0,
                "finished_at": 0,
                "duration_seconds": 0,
            }
            assert sandbox.requests == requests
