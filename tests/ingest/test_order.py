"""Whatever is put, however often the outbox is closed in between: the service ends as if each had been sent in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import LeadConnector
from leadconnector_async.ingest import Outbox, Put, Settled
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION
from tests.fake_clock import FakeClock
from tests.waiting import patiently

EMAILS = st.sampled_from(["", "ann@example.com", " Ann@Example.com", "ben@example.com"])
PHONES = st.sampled_from(["", "+15125550100", "(512) 555-0100", "+15125550101"])
CONTACTS = (
    st.fixed_dictionaries({"email": EMAILS, "phone": PHONES})
    .filter(lambda keys: any(keys.values()))
    .flatmap(
        lambda keys: st.fixed_dictionaries(
            {name: st.just(value) for name, value in keys.items() if value},
            optional={"firstName": st.sampled_from("ABC"), "city": st.sampled_from("XYZ")},
        )
    )
)
KEYS = st.sampled_from([None, None, None, "1", "2", "3"])
STEPS = st.lists(st.one_of(st.tuples(CONTACTS, KEYS), st.just("close")), max_size=12)


def state(sandbox: Sandbox) -> list[list[Any]]:
    fields = ("email", "phone", "firstName", "city")
    return sorted(([contact.get(field) for field in fields] for contact in sandbox.contacts()), key=repr)


async def send_one_by_one(contacts: list[dict[str, Any]], clock: FakeClock) -> list[list[Any]]:
    async with _sandbox(clock) as sandbox, _client(sandbox, clock) as client:
        for contact in contacts:
            await client.contacts.upsert(contact)
        return state(sandbox)


def _sandbox(clock: FakeClock) -> Sandbox:
    return Sandbox(seed=1, latency=(0.01, 0.5), monotonic=clock.monotonic, wall=clock.time, sleep=clock.sleep)


def _client(sandbox: Sandbox, clock: FakeClock) -> LeadConnector:
    return LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, clock=clock)


@given(steps=STEPS)
async def test_the_order_of_the_store_is_the_order_of_the_service(steps: list[Any]) -> None:
    clock, settled = FakeClock(), list[Settled]()
    by_key: dict[str, dict[str, Any]] = {}
    stored: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.sqlite3"
        async with patiently(), clock.jumping(), _sandbox(clock) as sandbox, _client(sandbox, clock) as client:
            for part in _split(steps):
                async with Outbox(client, path, on_outcome=settled.append) as outbox:
                    for contact, key in part:
                        if by_key.setdefault(str(key), contact) != contact and key is not None:
                            continue  # a conflict, which another test is about
                        receipt = (await outbox.put_many([Put(contact, key=key)]))[0]
                        if not receipt.is_duplicate:
                            stored.append(contact)
            async with Outbox(client, path, on_outcome=settled.append) as outbox:
                assert await outbox.flush()
            assert sandbox.rate_limited == 0
            assert sandbox.requests == len(stored)
            assert sorted(one.id for one in settled) == list(range(1, len(stored) + 1))
            assert state(sandbox) == await send_one_by_one(stored, clock)


def _split(steps: list[Any]) -> list[list[Any]]:
    parts: list[list[Any]] = [[]]
    for step in steps:
        if step == "close":
            parts.append([])
        else:
            parts[-1].append(step)
    return parts
