"""A load of which too many rows fail stops, and can go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import TooManyFailuresError, UsageError
from leadconnector_async.bulk.brake import FIRST_ALIKE, Brake, MaxFailures, read_max_failures
from leadconnector_async.bulk.report import Outcome, RowError
from tests.conftest import OpenSandbox

REFUSED: dict[str, Any] = {"country": "Atlantis"}


def rows(count: int, *, bad: Any) -> list[dict[str, Any]]:
    """Rows of which some are refused by the service."""
    return [{"email": f"person{n}@example.com", **(REFUSED if n in bad else {})} for n in range(count)]


@pytest.mark.parametrize(
    ("limit", "bad", "stops_at"),
    [
        (None, range(200), None),
        (1, {30}, 30),
        (7, range(0, 200, 2), 12),
        ("7", range(0, 200, 2), 12),
        ("10%", range(0, 200, 5), 49),
        ("22%", range(0, 200, 5), None),
        ("100%", range(200), None),
        (FIRST_ALIKE, range(50), 49),
        (FIRST_ALIKE, range(49), None),
        (FIRST_ALIKE, range(1, 200), None),
    ],
)
async def test_a_load_stops_at_its_limit(
    open_sandbox: OpenSandbox, connect: OpenSandbox, limit: Any, bad: Any, stops_at: int | None
) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, rate_limit=None)
    report = await client.contacts.bulk_upsert(rows(200, bad=bad), max_failures=limit, concurrency=1)
    if stops_at is None:
        assert (report.stopped, report.not_attempted) == (None, 0)
        return
    assert isinstance(report.stopped, TooManyFailuresError)
    assert report.total == 200
    assert sandbox.requests == report.requests == stops_at + 1 == 200 - report.not_attempted


async def test_rows_that_are_not_sent_do_not_count(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    client = await connect(await open_sandbox(unlimited=True), rate_limit=None)
    report = await client.contacts.bulk_upsert([{"firstName": "Nobody"}] * 90 + rows(10, bad=()), max_failures=1)
    assert (report.stopped, report.failed, report.created) == (None, 90, 10)


async def test_each_session_counts_anew(open_sandbox: OpenSandbox, connect: OpenSandbox, tmp_path: Path) -> None:
    client = await connect(await open_sandbox(unlimited=True), rate_limit=None)
    people, done = rows(150, bad=range(150)), []
    for _ in range(3):
        report = await client.contacts.bulk_upsert(
            people, max_failures=FIRST_ALIKE, journal=tmp_path / "j.sqlite3", concurrency=1
        )
        done.append(report.failed)
    assert done == [50, 100, 150]
    assert report.not_attempted == 0


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, "", "0", "-3", "5 percent", "0%", "101%", "1e3", "٣", "9" * 40, ()]
)
def test_what_is_no_limit_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="a number of rows of at least 1, or a share such as '5%'"):
        read_max_failures(value)


def test_refusals_of_several_kinds_are_not_alike() -> None:
    brake = Brake(MaxFailures(first_alike=3))
    for index, status in enumerate((422, 422, 400, 422, 422, 422)):
        error = RowError("ValidationError", status, f"row {index} is wrong")
        assert brake.note(Outcome(index=index, status="failed", error=error, attempts=1)) is None
