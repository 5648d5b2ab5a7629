"""What drills are made of: a sandbox that is watched, a client on it, and rows of all kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
from msgspec import Struct

from leadconnector_async import BatchReport, LeadConnector
from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.drills.middleman import Middleman, Spoil
from tests.drills.truth import Row, Witness, assert_each_row_is_told_truly, mark


class Drill(Struct, frozen=True):
    """A sandbox, what it was seen to do, and a client on it."""

    sandbox: Sandbox
    witness: Witness
    client: LeadConnector

    async def load(self, rows: list[Row], *, is_ordered: bool = True, **options: Any) -> BatchReport:
        """Load rows in bulk, check each outcome, and return the report."""
        report = await self.client.contacts.bulk_upsert(rows, **options)
        assert report.total == len(rows)
        self.check(rows, report, is_ordered=is_ordered)
        return report

    def check(self, rows: list[Row], report: BatchReport, *, is_ordered: bool = True) -> None:
        assert_each_row_is_told_truly(rows, report, self.sandbox, self.witness, is_ordered=is_ordered)


StartDrill: TypeAlias = Callable[..., Awaitable[Drill]]


@pytest.fixture(autouse=True)
def no_error_within_the_sandbox(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where the sandbox or the witness broke: a client takes the 500 for one more fault of the service."""
    yield
    broken = [record for record in caplog.get_records("call") if record.exc_info and "sandbox" in record.name]
    assert not broken, broken[0].getMessage()


@pytest.fixture
async def start_drill(open_sandbox: OpenSandbox, connect: OpenSandbox) -> AsyncIterator[StartDrill]:
    """Start drills; `client` are options of the client, `spoil` puts a middleman before the sandbox."""
    async with AsyncExitStack() as stack:

        async def start(*, client: dict[str, Any] | None = None, spoil: Spoil | None = None, **options: Any) -> Drill:
            witness = Witness()
            sandbox = await open_sandbox(on_applied=witness.note, **options)
            url = sandbox.url
            if spoil is not None:
                url = (await stack.enter_async_context(Middleman(url, spoil))).url
            return Drill(sandbox, witness, await connect(url, **(client or {})))

        yield start


def people(count: int) -> list[Row]:
    """Valid rows, each of a person of its own."""
    return [{"email": f"person{n}@example.com", "firstName": f"P{n}", "source": mark(n)} for n in range(count)]


def rows_of_all_kinds(count: int) -> list[Row]:
    """People of their own, people who share an email or a phone, flags, and rows that nobody takes."""
    rows = people(count)
    for n, row in enumerate(rows):
        match n % 10:
            case 1:
                del row["email"]
                row["phone"] = f"+1617555{n:04}"
            case 3 | 4:
                row["email"] = f" Shared{n // 20}@Example.com"
            case 5:
                row |= {"email": f"shared{n // 20}@example.com", "phone": f"+1617555{n - 4:04}"}
            case 7:
                row["createNewIfDuplicateAllowed"] = True
            case 8:
                row |= {"email": f"shared{n // 20}@example.com", "createNewIfDuplicateAllowed": n % 20 == 8}
            case 9:
                row["email"] = "" if n % 20 == 9 else "not an address"
    return rows
