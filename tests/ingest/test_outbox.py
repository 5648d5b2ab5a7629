"""The outbox: what is put is on disk, is sent in order, and has exactly one outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leadconnector_async import LeadConnector
from leadconnector_async.ingest import Outbox, Settled
from leadconnector_async.sandbox import Sandbox


def person(number: int, **fields: Any) -> dict[str, Any]:
    return {"email": f"p{number}@example.com", "firstName": f"P{number}", **fields}


async def test_what_is_put_is_sent_and_its_outcome_is_handed_over(
    client: LeadConnector, sandbox: Sandbox, tmp_path: Path
) -> None:
    settled: list[Settled] = []
    async with Outbox(client, tmp_path / "outbox.sqlite3", on_outcome=settled.append) as outbox:
        receipts = [await outbox.put(person(number), key=f"event-{number}") for number in range(5)]
        assert await outbox.flush()
        status = await outbox.status()
    assert sorted(one.id for one in settled) == [one.id for one in receipts]
    assert sorted(str(one.key) for one in settled) == [f"event-{number}" for number in range(5)]
    assert {one.outcome.status for one in settled} == {"created"}
    assert sorted(contact["email"] for contact in sandbox.contacts()) == [person(n)["email"] for n in range(5)]
    assert (status.waiting, status.undelivered, status.is_draining, status.paused) == (0, 0, True, {})
