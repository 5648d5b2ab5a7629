"""A sandbox in a thread serves tests of any kind, and can be asked from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from leadconnector_async import (
    ClientStateError,
    ContactUpsert,
    InvalidContactError,
    LeadConnector,
    PermissionDeniedError,
    RetryPolicy,
    UsageError,
)
from leadconnector_async.testing import RunningSandbox, run_sandbox

SOON = RetryPolicy(first_delay=0.01)


@pytest.fixture
def sandbox() -> Any:
    with run_sandbox() as sandbox:
        yield sandbox


async def test_what_a_client_writes_can_be_read_and_what_is_seeded_is_there(sandbox: RunningSandbox) -> None:
    [ann, bob] = sandbox.seed(
        [
            {"email": "Ann@Example.com", "first_name": "Ann", "customFields": [{"key": "plan", "field_value": "pro"}]},
            ContactUpsert(
                phone="+1 888-888-8888", tags=["VIP"], location_id="L2", create_new_if_duplicate_allowed=True
            ),
        ]
    )
    assert (ann.email, ann.location_id, bob.phone, bob.tags, bob.location_id) == (
        "ann@example.com",
        sandbox.location_id,
        "+18888888888",
        ["vip"],
        "L2",
    )
    assert bob.extra == {}
    async with sandbox.client() as lc:
        result = await lc.contacts.upsert({"email": "ann@example.com", "lastName": "Lee"})
        assert (result.new, result.contact.id, result.contact.first_name) == (False, ann.id, "Ann")
    assert [contact.id for contact in sandbox.contacts()] == [ann.id, bob.id]
    assert [contact.last_name for contact in sandbox.contacts(sandbox.location_id)] == ["Lee"]
    found = sandbox.contact(ann.id)
    assert found is not None
    assert found.last_name == "Lee"
    assert ann.last_name is None  # what was returned before stays as it was
    assert sandbox.contact("no-such") is None


async def test_faults_are_met_and_arrivals_tell(sandbox: RunningSandbox) -> None:
    sandbox.fail_next("500", 2)
    sandbox.fail_next("reset-after")
    async with sandbox.client(retry=SOON) as lc:
        result = await lc.contacts.upsert({"email": "ann@example.com"})
    assert (result.new, result.attempts) == (True, 4)
    assert [(call.path, call.status, call.fault) for call in sandbox.arrivals] == [
        ("/contacts/upsert", 500, "500"),
        ("/contacts/upsert", 500, "500"),
        ("/contacts/upsert", 200, "reset-after"),
        ("/contacts/upsert", 200, None),
    ]
    assert [call.sent["email"] for call in sandbox.applied] == ["ann@example.com"] * 2
    assert [call.answered["new"] for call in sandbox.applied] == [True, False]
    with pytest.raises(ValueError, match="unknown fault"):
        sandbox.fail_next("no-such")


async def test_what_is_seeded_is_told_from_what_a_lost_answer_created(sandbox: RunningSandbox) -> None:
    sandbox.seed([{"email": "ann@example.com"}])
    sandbox.fail_next("reset-after", 2)
    async with sandbox.client(retry=SOON) as lc:
        assert not (await lc.contacts.upsert({"email": "ann@example.com"})).new


async def test_what_was_applied_stays_as_it_was(sandbox: RunningSandbox) -> None:
    async with sandbox.client() as lc:
        for name in ("Ann", "Bob"):
            await lc.contacts.upsert({"email": "a@example.com", "firstName": name})
    assert [call.answered["contact"]["firstName"] for call in sandbox.applied] == ["Ann", "Bob"]


def test_options_are_those_of_the_sandbox() -> None:
    seen: list[str] = []
    options: Any = {"token": "t-1", "locations": {"L7"}, "on_applied": lambda call: seen.append(call.path)}
    with run_sandbox(**options) as sandbox:
        assert (sandbox.token, sandbox.location_id) == ("t-1", "L7")
        assert sandbox.environ["LEADCONNECTOR_TOKEN"] == "t-1"

        async def use() -> None:
            async with LeadConnector.from_env(sandbox.environ) as lc:
                assert (await lc.contacts.upsert({"email": "a@example.com"})).new
            async with sandbox.client(location_id="L8") as lc:
                with pytest.raises(PermissionDeniedError):
                    await lc.contacts.upsert({"email": "a@example.com"})

        asyncio.run(use())
    assert seen == ["/contacts/upsert"]


def test_the_sandbox_itself_can_be_asked(sandbox: RunningSandbox) -> None:
    [ann] = sandbox.seed([{"email": "ann@example.com"}])
    assert sandbox.ask(lambda inner: inner.writes[ann.id]) == 1
    assert sandbox.ask(lambda _: threading.current_thread().name) == "sandbox"
    assert sandbox.ask(lambda _: len(sandbox.contacts())) == 1  # asked while it is asked


def test_contacts_that_cannot_be_stored_are_named(sandbox: RunningSandbox) -> None:
    one: Any = {"email": "ann@example.com"}
    with pytest.raises(UsageError, match=r"seed\(\[\.\.\.\]\)"):
        sandbox.seed(one)
    with pytest.raises(InvalidContactError, match=r"contact 1: unknown field 'emial'"):
        sandbox.seed([one, {"emial": "x"}])
    with pytest.raises(InvalidContactError, match="contact 1: email: expected str"):
        sandbox.seed([one, {"email": True}])
    strange: Any = ["ann@example.com"]
    with pytest.raises(InvalidContactError, match="contact 0: it is a str, no dict"):
        sandbox.seed(strange)
    assert sandbox.contacts() == []
    with pytest.raises(InvalidContactError, match="contact 1: This location does not allow duplicated contacts"):
        sandbox.seed([one, one])
    assert len(sandbox.contacts()) == 1
    with pytest.raises(InvalidContactError, match=r"contact 0: .*phone number"):
        sandbox.seed([{"phone": "nonsense"}])


def test_many_threads_may_ask_at_once(sandbox: RunningSandbox) -> None:
    def seed(number: int) -> int:
        sandbox.seed([{"email": f"{number}-{row}@example.com"} for row in range(10)])
        return len(sandbox.contacts())

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(seed, range(40)))
    assert max(counts) == len(sandbox.contacts()) == 400


def test_the_end_waits_for_no_call_and_leaves_nothing_running_and_what_was_stored_can_be_read() -> None:
    before = threading.active_count()
    with run_sandbox(faults={"hang": 1.0}) as sandbox:
        sandbox.seed([{"email": "ann@example.com"}])
        caller = socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2])), timeout=10)
        caller.sendall(b"POST /contacts/upsert HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}")
    assert threading.active_count() == before
    with caller, contextlib.suppress(ConnectionResetError):
        assert caller.recv(1) == b""
    assert [contact.email for contact in sandbox.contacts()] == ["ann@example.com"]
    assert "http://127.0.0.1:" in repr(sandbox)


def test_what_is_wrong_with_its_options_is_told_and_leaves_nothing_running(sandbox: RunningSandbox) -> None:
    before = threading.active_count()
    port = int(sandbox.url.rpartition(":")[2])
    for wrong, error in (({"profile": "best"}, ValueError), ({"nope": 1}, TypeError), ({"port": port}, OSError)):
        options: Any = wrong
        with pytest.raises(error):
            run_sandbox(**options).__enter__()
    assert threading.active_count() == before


def test_it_is_used_within_its_with_block() -> None:
    sandbox = run_sandbox()
    with pytest.raises(ClientStateError, match="with run_sandbox"):
        sandbox.contacts()
    with sandbox:
        pass
    with pytest.raises(ClientStateError, match="another"):
        sandbox.__enter__()


class TestWithUnittest(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.sandbox = self.enterContext(run_sandbox(seed=1))

    async def test_async(self) -> None:
        async with self.sandbox.client() as lc:
            assert (await lc.contacts.upsert({"email": "ann@example.com"})).new

    def test_sync(self) -> None:
        self.sandbox.seed([{"email": "ann@example.com"}])
        assert len(self.sandbox.contacts()) == 1
