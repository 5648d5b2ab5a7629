"""Who created a contact where an answer was lost: ours only within the very try, and with nothing but what was sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import Contact, ContactUpsert, RetryPolicy
from leadconnector_async.calls.call import Doubt, Tries
from leadconnector_async.calls.server_clock import CLOCK_TOLERANCE, ServerClock
from leadconnector_async.contacts.authorship import EarlierTries, was_created_by_lost_try
from leadconnector_async.models.compare import holds_only_what_was_sent
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock

EPOCH = 1_767_225_600.0
SENT = ContactUpsert(email="ann@example.com", first_name="Ann")
CLOCK = ServerClock()


def stored(added: float, **fields: Any) -> Contact:
    when = datetime.fromtimestamp(EPOCH + added, UTC).isoformat()
    return Contact(id="x" * 20, email="ann@example.com", first_name="Ann", date_added=when, **fields)


def lost(*spans: tuple[float, float] | None) -> Tries:
    tries = Tries()
    tries.doubts = tuple(Doubt(0.0, 0.0, span and (EPOCH + span[0], EPOCH + span[1])) for span in spans)
    return tries


moments = st.integers(0, 100).map(lambda number: number / 2)


@given(st.lists(st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair))), max_size=4), moments)
def test_only_a_contact_that_was_added_within_a_try_is_ours(spans: list[tuple[float, float]], added: float) -> None:
    verdict = was_created_by_lost_try(lost(*spans), SENT, stored(added), CLOCK)
    is_within = any(first - CLOCK_TOLERANCE <= added <= last + CLOCK_TOLERANCE for first, last in spans)
    is_older = bool(spans) and all(added < first - CLOCK_TOLERANCE for first, _ in spans)
    assert verdict is (True if is_within else False if is_older else None)


def test_what_is_not_known_proves_nothing() -> None:
    assert was_created_by_lost_try(Tries(), SENT, stored(1), CLOCK) is None  # no try may have arrived
    assert was_created_by_lost_try(lost(None), SENT, stored(1), CLOCK) is None
    assert was_created_by_lost_try(lost((0, 2)), SENT, Contact(id="x" * 20), CLOCK) is None


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (stored(1), True),
        (stored(1, tags=["new lead"], country="US", source="api"), True),
        (None, None),
        (msgspec.structs.replace(stored(1), first_name="Anna"), None),
        (stored(1, city="Rome"), None),
        (msgspec.structs.replace(stored(1), id="y" * 20), None),
    ],
)
def test_after_a_crash_the_contact_as_it_was_before_is_the_evidence(
    found: Contact | None, verdict: bool | None
) -> None:
    earlier = EarlierTries(((EPOCH, EPOCH + 2),), found)
    assert was_created_by_lost_try(Tries(), SENT, stored(1), CLOCK, earlier) is verdict
    assert was_created_by_lost_try(Tries(), SENT, stored(-10), CLOCK, earlier) is False


SENT_IN_FULL: dict[str, Any] = {
    "email": "ann@example.com",
    "phone": "+16175550100",
    "first_name": "Ann",
    "last_name": "Lee",
    "address1": "1 Main St",
    "city": "Rome",
    "state": "MA",
    "postal_code": "02134",
}
OF_OTHERS: dict[str, Any] = {
    "email": "eve@example.com",
    "phone": "+16175550199",
    "first_name": "Eve",
    "last_name": "Doe",
    "address1": "2 Side St",
    "city": "Bonn",
    "state": "NY",
    "postal_code": "10001",
}


@pytest.mark.parametrize("name", SENT_IN_FULL)
def test_each_field_must_be_as_sent(name: str) -> None:
    held = Contact(id="x" * 20, **SENT_IN_FULL)
    assert holds_only_what_was_sent(ContactUpsert(**SENT_IN_FULL), held)
    assert not holds_only_what_was_sent(ContactUpsert(**{**SENT_IN_FULL, name: OF_OTHERS[name]}), held)
    without = {field: value for field, value in SENT_IN_FULL.items() if field != name}
    assert not holds_only_what_was_sent(ContactUpsert(**without), held)
    assert holds_only_what_was_sent(ContactUpsert(**SENT_IN_FULL), Contact(id="x" * 20, **without))


def test_a_name_is_as_sent_whole_or_in_parts_and_custom_fields_by_id_or_key() -> None:
    held = msgspec.json.decode(
        b'{"id":"x","firstName":"Ann","lastName":"Lee","customFields":[{"id":"f1","value":"blue"}]}', type=Contact
    )
    by_id, by_key = ({name: "f1", "field_value": "blue"} for name in ("id", "key"))

    def sent(**fields: Any) -> ContactUpsert:
        return msgspec.convert({"email": "a@example.com", **fields}, ContactUpsert)

    for names in ({"name": "Ann  Lee"}, {"firstName": "Ann", "lastName": "Lee"}):
        for field in (by_id, by_key):
            assert holds_only_what_was_sent(sent(**names, customFields=[field]), held)
            assert not holds_only_what_was_sent(sent(**names, customFields=[{**field, "field_value": "red"}]), held)
        assert not holds_only_what_was_sent(sent(**names), held)


# ---------------------------------------------------------------------------------------------- single upserts


@pytest.mark.parametrize(
    ("failure", "seconds", "theirs", "claim"),
    [
        ("reset-after", None, {}, (True, True)),
        ("reset-before", 0.0, {}, (True, True)),  # nothing tells this from ours
        ("reset-before", 0.0, {"firstName": "Eve", "city": "Rome"}, (False, None)),
        ("reset-before", 20.0, {}, (False, None)),  # while we waited to try again
    ],
)
async def test_a_single_upsert_claims_no_more(
    sandbox: Sandbox,
    connect: OpenSandbox,
    clock: FakeClock,
    failure: str,
    seconds: float | None,
    theirs: dict[str, str],
    claim: tuple[bool, bool | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.random", lambda: 1.0)
    client = await connect(sandbox, retry=RetryPolicy(first_delay=100.0, max_delay=100.0))
    await client.contacts.upsert({"email": "first@example.com"})
    sandbox.fail_next(failure)
    if seconds is not None:

        async def sleep(delay: float) -> None:
            await clock.sleep(seconds)
            sandbox.add_contact(LOCATION, email="ann@example.com", **theirs)
            await clock.sleep(delay - seconds)

        monkeypatch.setattr(client, "clock", Waiting(clock, sleep))
    result = await client.contacts.upsert({"email": "ann@example.com"})
    assert (result.new, result.is_new_by_date) == claim


class Waiting:
    """A clock on which something happens while a call waits to be retried."""

    def __init__(self, clock: FakeClock, sleep: Any) -> None:
        self._clock = clock
        self.sleep = sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)
