"""Whatever is put, however often the outbox is closed in between: it is applied once, and in order for each person."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import LeadConnector
from leadconnector_async.ingest import Outbox, Settled
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION
from tests.fake_clock import FakeClock
from tests.waiting import patiently

# Spellings of an address or number, each with what it comes to.
EMAILS = {"ann@example.com": "ann", " Ann@Example.com": "ann", "ben@example.com": "ben"}
PHONES = {"+15125550100": "1", "(512) 555-0100": "1", "+15125550101": "2"}
PEOPLE = st.tuples(st.sampled_from(["", *EMAILS]), st.sampled_from(["", *PHONES])).filter(any)
KEYS = st.sampled_from([None, None, None, "1", "2", "3"])
STEPS = st.lists(st.one_of(st.tuples(PEOPLE, KEYS), st.just("close")), max_size=12)


def identities(contact: dict[str, str]) -> set[str]:
    found = {EMAILS.get(contact.get("email", "")), PHONES.get(contact.get("phone", ""))}
    return {one for one in found if one is not None}


class Puts:
    """Puts numbered contacts, and knows which of them the outbox has stored."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, str]] = {}  # by their numbers, in order
        self._by_key: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count()

    async def put(self, outbox: Outbox, person: tuple[str, str], key: str | None) -> None:
        contact = {"email": person[0], "phone": person[1], "firstName": f"N{next(self._numbers)}"}
        contact = {name: value for name, value in contact.items() if value}
        is_known = key in self._by_key
        if key is not None:  # an event that comes again is the same one
            contact = self._by_key.setdefault(key, contact)
        receipt = await outbox.put(contact, key=key)
        assert receipt.is_duplicate is is_known
        self.stored[contact["firstName"]] = contact


@given(steps=STEPS)
async def test_each_contact_is_applied_once_and_in_order_for_its_person(steps: list[Any]) -> None:
    clock, settled, puts, applied = FakeClock(), list[Settled](), Puts(), list[str]()
    times: dict[str, Any] = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    sandbox = Sandbox(
        seed=1, latency=(0.01, 0.5), on_applied=lambda call: applied.append(call.sent["firstName"]), **times
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.sqlite3"
        async with (
            patiently(),
            clock.jumping(),
            sandbox,
            LeadConnector("sandbox", base_url=sandbox.url, location_id=LOCATION, clock=clock) as client,
        ):
            for part in [*_split(steps), []]:
                async with Outbox(client, path, on_outcome=settled.append) as outbox:
                    for person, key in part:
                        await puts.put(outbox, person, key)
                    if part == []:
                        assert await outbox.flush()
            assert sandbox.rate_limited == 0
    assert sorted(applied) == sorted(puts.stored)
    assert sorted(one.id for one in settled) == list(range(1, len(puts.stored) + 1))
    for earlier, later in itertools.combinations(puts.stored, 2):
        if identities(puts.stored[earlier]) & identities(puts.stored[later]):
            assert applied.index(earlier) < applied.index(later)


def _split(steps: list[Any]) -> list[list[Any]]:
    parts: list[list[Any]] = [[]]
    for step in steps:
        if step == "close":
            parts.append([])
        else:
            parts[-1].append(step)
    return parts
