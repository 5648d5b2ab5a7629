"""The client against the real sandbox: its states, its path, its errors."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import io
import json
import pickle
import threading
from collections.abc import Coroutine
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp import web
from aioresponses import aioresponses

from leadconnector_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BatchReport,
    CallError,
    CallTimeoutError,
    ClientStateError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ContactUpdate,
    ContactUpsert,
    DailyQuotaExceededError,
    DuplicateContactError,
    InvalidContactError,
    InvalidResponseError,
    LeadConnector,
    LeadConnectorError,
    LocalLimits,
    NotFoundError,
    PermissionDeniedError,
    RateLimit,
    RateLimitStuckError,
    RetryPolicy,
    ServerError,
    Timeouts,
    UsageError,
    ValidationError,
    errors,
)
from leadconnector_async.clock import SystemClock
from leadconnector_async.models.fields import FIELD_OF, Operation
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock

ROSAN = ContactUpsert(email="rosan@deos.com", first_name="Rosan")
ONCE = RetryPolicy(max_attempts=1)


# ---------------------------------------------------------------------------------------------- operations


async def test_every_operation_does_what_it_says(client: LeadConnector, sandbox: Sandbox) -> None:
    created = await client.contacts.upsert(ROSAN)
    assert created.new
    assert created.trace_id
    assert created.contact.location_id == LOCATION
    updated = await client.contacts.upsert({"email": "rosan@deos.com", "lastName": "Deo"})
    assert (updated.new, updated.contact.id, updated.contact.name) == (False, created.contact.id, "Rosan Deo")
    contact_id = created.contact.id
    assert (await client.contacts.get(contact_id)).last_name == "Deo"
    assert (await client.contacts.update(contact_id, {"city": "Boston", "last_name": None})).last_name is None
    assert await client.contacts.add_tags(contact_id, ["VIP", "lead"]) == ["vip", "lead"]
    assert await client.contacts.remove_tags(contact_id, ["VIP"]) == ["lead"]
    await client.contacts.delete(contact_id)
    with pytest.raises(NotFoundError):
        await client.contacts.get(contact_id)
    assert sandbox.contacts() == []


async def test_a_duplicate_carries_who_is_there(client: LeadConnector) -> None:
    first = await client.contacts.create(ROSAN)
    with pytest.raises(DuplicateContactError) as caught:
        await client.contacts.create({"email": " ROSAN@deos.com", "phone": "+1 617 555 0100"})
    error = caught.value
    assert (error.contact_id, error.matching_field, error.status) == (first.id, "email", 400)
    assert error.trace_id


@pytest.mark.parametrize("version", ["2021-07-28", "2023-02-21", "v3"])
async def test_each_version_takes_and_gives_the_same(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    client: LeadConnector = await connect(sandbox, api_version=version)
    contact = {
        "email": "a@b.co",
        "dnd_settings": {"whats_app": {"status": "active"}},
        "custom_fields": [{"key": "nickname", "field_value": "Al"}],
    }
    result = await client.contacts.upsert(contact)
    assert result.contact.dnd_settings is not None
    assert result.contact.dnd_settings.whats_app
    assert result.contact.custom_fields is not None
    assert [field.value for field in result.contact.custom_fields] == ["Al"]
    assert (await client.contacts.update(result.contact.id, {"city": "Bonn"})).city == "Bonn"
    await client.contacts.delete(result.contact.id)


FILLED: dict[str, Any] = {
    "email": "a@b.co", "phone": "+16175550100", "first_name": "Ann", "city": "Bonn", "postal_code": "53111",
    "source": "fair", "company_name": "DGS", "timezone": "Europe/Rome", "assigned_to": "u1", "dnd": True,
}  # fmt: skip


async def check_none(
    call: Coroutine[Any, Any, Any], client: LeadConnector, contact_id: str, operation: Operation, name: str
) -> None:
    assert getattr(await client.contacts.get(contact_id), name)
    if FIELD_OF[name].takes_null(operation, client.api_version):
        await call
        assert not getattr(await client.contacts.get(contact_id), name)
    else:
        with pytest.raises(InvalidContactError, match=f"^{name}: null is not accepted by this {operation} in version"):
            await call


@pytest.mark.parametrize("version", ["2021-07-28", "2023-02-21", "v3"])
async def test_none_clears_what_the_version_lets_it_clear(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    client: LeadConnector = await connect(sandbox, api_version=version)
    for name in FILLED.keys() - {"email"}:
        contact_id = (await client.contacts.upsert(FILLED)).contact.id
        await check_none(client.contacts.upsert({"email": "a@b.co", name: None}), client, contact_id, "upsert", name)
        if name in ContactUpdate.__struct_fields__:
            await client.contacts.upsert(FILLED)
            await check_none(client.contacts.update(contact_id, {name: None}), client, contact_id, "update", name)
    assert all(contact["locationId"] == LOCATION for contact in sandbox.contacts())


async def test_what_a_single_call_drops_is_named(client: LeadConnector, sandbox: Sandbox) -> None:
    other = sandbox.add_contact(LOCATION, phone="+16175550100")["id"]
    sent = {"email": "a@b.co", "phone": "+16175550100", "city": "Bonn", "gender": "male"}
    odd = {"custom_fields": [{"key": "plan", "field_value": "Gold"}]}
    made = await client.contacts.create({"email": "a@b.co", "timezone": "Europe/Rome", **odd})
    assert [one.field for one in made.not_applied] == ["custom_fields.plan"], "it says nothing of the time zone"
    result = await client.contacts.upsert({**sent, **odd})
    assert (result.new, result.contact.id != other) == (False, True)
    assert {one.field: one.sent for one in result.not_applied} == {
        "phone": "+16175550100",
        "gender": "male",
        "custom_fields.plan": "Gold",
    }
    changed = await client.contacts.update(made.id, odd)
    assert [(one.field, one.sent) for one in changed.not_applied] == [("custom_fields.plan", "Gold")]
    assert (await client.contacts.upsert({"email": "a@b.co", "city": "Rome"})).not_applied == ()
    assert (await client.contacts.update(made.id, {"city": "Bonn"})).not_applied == ()


async def test_a_contact_of_another_location_goes_there(client: LeadConnector, sandbox: Sandbox) -> None:
    await client.contacts.upsert(ContactUpsert(email="a@b.co", location_id="elsewhere"))
    assert [contact["locationId"] for contact in sandbox.contacts()] == ["elsewhere"]


@pytest.mark.parametrize(
    "contact",
    [
        {"first_name": "Ann"},
        {"email": "", "phone": None},
        {"email": "a@b.co", "dnd": "maybe"},
        {"emial": "a@b.co"},
        "a@b.co",
        ContactUpsert(email=True),  # type: ignore[arg-type]
    ],
)
async def test_a_contact_that_cannot_be_sent_is_not(client: LeadConnector, sandbox: Sandbox, contact: Any) -> None:
    with pytest.raises(InvalidContactError):
        await client.contacts.upsert(contact)
    assert sandbox.requests == 0


async def test_create_knows_no_flag_for_duplicates(client: LeadConnector) -> None:
    with pytest.raises(InvalidContactError, match="create_new_if_duplicate_allowed"):
        await client.contacts.create(ContactUpsert(email="a@b.co", create_new_if_duplicate_allowed=True))


async def test_ids_and_tags_are_looked_at(client: LeadConnector) -> None:
    with pytest.raises(UsageError, match="id is empty"):
        await client.contacts.get("")
    with pytest.raises(UsageError, match="a list of texts, not str"):
        await client.contacts.add_tags("x", "vip")
    for nothing in (None, 5):
        with pytest.raises(UsageError, match="a list of texts"):
            await client.contacts.add_tags("x", nothing)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="a ContactUpdate or a dict"):
            await client.contacts.update("x", nothing)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        await client.contacts.get("../../oauth/token")


# ---------------------------------------------------------------------------------------------- states


async def test_each_state_says_so() -> None:
    client = LeadConnector("secret-token", location_id=LOCATION)
    assert "not open" in repr(client)
    with pytest.raises(ClientStateError, match="async with"):
        await client.contacts.upsert(ROSAN)
    async with client:
        assert "open>" in repr(client)
        with pytest.raises(ClientStateError, match="open"):
            await client.open()
    assert "closed" in repr(client)
    await client.close()
    with pytest.raises(ClientStateError, match="is closed"):
        await client.contacts.upsert(ROSAN)
    with pytest.raises(ClientStateError):
        await client.open()
    assert "secret-token" not in repr(client)


async def test_another_event_loop_is_told_clearly(client: LeadConnector) -> None:
    raised: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(client.contacts.upsert(ROSAN))
        except ClientStateError as error:
            raised.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "another event loop" in str(raised[0])


async def test_closing_waits_for_calls_in_flight(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(latency=(0.1, 0.1), sleep=asyncio.sleep)
    client = await connect(sandbox)
    call = asyncio.ensure_future(client.contacts.upsert(ROSAN))
    await asyncio.sleep(0.03)
    await client.close()
    assert (await call).new


async def test_closing_waits_no_longer_than_told(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox()
    sandbox.fail_next("hang")
    client = await connect(sandbox, timeouts=Timeouts(close=0.05), retry=ONCE)
    call = asyncio.ensure_future(client.contacts.upsert(ROSAN))
    await asyncio.sleep(0.03)
    await client.close()
    with pytest.raises(LeadConnectorError):
        await call


async def test_what_waits_for_a_slot_is_ended_when_the_client_is_closed(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    client = await connect(await open_sandbox(), timeouts=Timeouts(close=0.05), clock=SystemClock())
    await client.contacts.upsert({"email": "a@example.com"})
    client.window(LOCATION).pause(300.0)
    single = asyncio.ensure_future(client.contacts.upsert({"email": "b@example.com"}))
    load = asyncio.ensure_future(client.contacts.bulk_upsert([{"email": f"{n}@example.com"} for n in range(5)]))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(ClientStateError, match="was closed"):
        await single
    report = await load
    assert (report.not_attempted, type(report.stopped)) == (5, ClientStateError)


async def test_a_session_of_the_callers_is_used_and_left_open(sandbox: Sandbox, connect: OpenSandbox) -> None:
    async with aiohttp.ClientSession() as session:
        client = await connect(sandbox, session=session)
        assert (await client.contacts.upsert(ROSAN)).new
        await client.close()
        assert not session.closed


# ---------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "options",
    [
        {"token": " "},
        {"token": "a b"},
        {"token": "tökén"},
        {"base_url": "http://crm.example.com"},
        {"base_url": "crm.example.com"},
        {"base_url": "ftp://crm.example.com"},
        {"base_url": "https://user:pass@crm.example.com"},
        {"base_url": "https://crm.example.com/?a=b"},
        {"api_version": "2020-01-01"},
        {"concurrency": 0},
    ],
)
def test_a_wrong_configuration_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        LeadConnector(**{"token": "x", **options})


@pytest.mark.parametrize(
    "url", ["https://crm.example.com/api/", "http://127.0.0.1:80", "http://localhost:1", "http://[::1]:1"]
)
def test_addresses_of_white_labels_and_of_this_machine_are_fine(url: str) -> None:
    LeadConnector("x", base_url=url)


def test_timeouts_are_above_nothing() -> None:
    with pytest.raises(ConfigurationError):
        Timeouts(total=0)


def test_from_env_takes_the_four_names() -> None:
    environ = {
        "LEADCONNECTOR_TOKEN": " x\r\n",
        "LEADCONNECTOR_LOCATION_ID": "L",
        "LEADCONNECTOR_BASE_URL": "https://crm.example.com",
        "LEADCONNECTOR_API_VERSION": "v3",
    }
    client = LeadConnector.from_env(environ)
    assert (client.location_id, client.api_version) == ("L", "v3")
    assert LeadConnector.from_env(environ, location_id="M").location_id == "M"
    with pytest.raises(ConfigurationError, match="LEADCONNECTOR_TOKEN"):
        LeadConnector.from_env({})


# ---------------------------------------------------------------------------------------------- faults, on the sandbox

WRITTEN_AND_LOST = ["reset-after", "cut-body", "502-after", "empty-200", "html-200"]
NOT_WRITTEN = ["500", "502-html", "503-html", "401-timeout", "reset-before"]


@pytest.mark.parametrize("kind", [*WRITTEN_AND_LOST, *NOT_WRITTEN])
async def test_an_upsert_in_doubt_is_tried_again_and_told_truly(
    client: LeadConnector, sandbox: Sandbox, kind: str
) -> None:
    sandbox.fail_next(kind)
    result = await client.contacts.upsert(ROSAN)
    assert result.new  # by dateAdded, where the answer that said so was lost
    assert result.attempts == 2
    assert len(sandbox.contacts()) == 1


async def test_a_delete_whose_answer_is_lost_has_succeeded(client: LeadConnector, sandbox: Sandbox) -> None:
    contact = sandbox.add_contact(LOCATION, email="rosan@deos.com")
    sandbox.fail_next("reset-after")
    await client.contacts.delete(contact["id"])
    assert sandbox.contacts() == []


async def test_a_contact_that_was_there_before_is_not_called_new(
    client: LeadConnector, sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.add_contact(LOCATION, email="rosan@deos.com")
    await clock.sleep(60)
    sandbox.fail_next("reset-after")
    assert not (await client.contacts.upsert(ROSAN)).new


async def test_a_date_set_on_this_machine_changes_no_truth(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    true_ahead = clock.wall_ahead
    sandbox = await open_sandbox(wall=lambda: clock.now + true_ahead)
    client = await connect(sandbox)
    sandbox.add_contact(LOCATION, email="rosan@deos.com")
    await clock.sleep(60)

    async def set_date(by: float) -> None:
        await asyncio.sleep(0.01)
        clock.wall_ahead += by

    for email, is_new in (("rosan@deos.com", False), ("new@deos.com", True)):
        sandbox.fail_next("reset-after")
        setting = asyncio.create_task(set_date(by=-86_400 if is_new else 3_600))
        assert (await client.contacts.upsert({"email": email})).new is is_new
        await setting


@pytest.mark.parametrize("kind", [*WRITTEN_AND_LOST, *NOT_WRITTEN])
async def test_what_could_make_a_second_contact_is_never_repeated_in_doubt(
    client: LeadConnector, sandbox: Sandbox, kind: str
) -> None:
    for call in (
        lambda: client.contacts.create(ROSAN),
        lambda: client.contacts.upsert(
            ContactUpsert(email="two@deos.com", create_new_if_duplicate_allowed=True),
        ),
    ):
        before = sandbox.requests
        sandbox.fail_next(kind)
        with pytest.raises(CallError) as caught:
            await call()
        assert caught.value.may_be_applied
        assert sandbox.requests == before + 1


@pytest.mark.parametrize("kind", ["429", "429-retry-after"])
async def test_a_429_is_waited_out_and_counts_no_attempt(client: LeadConnector, sandbox: Sandbox, kind: str) -> None:
    sandbox.fail_next(kind, times=3)
    result = await client.contacts.upsert(ROSAN)
    assert (result.new, result.attempts, result.rate_limited) == (True, 1, 3)


async def test_nothing_but_429_for_too_long_is_given_up(client: LeadConnector, sandbox: Sandbox) -> None:
    sandbox.fail_next("429", times=1_000)
    with pytest.raises(RateLimitStuckError) as caught:
        await client.contacts.upsert(ROSAN)
    assert 30 <= caught.value.rate_limited <= 31  # one each 10 s, for five minutes


async def test_a_huge_retry_after_is_not_waited_for(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(retry_after=10**9)
    sandbox.fail_next("429-retry-after")
    client = await connect(sandbox)
    with pytest.raises(RateLimitStuckError):
        await client.contacts.upsert(ROSAN)


@pytest.mark.parametrize("value", ["-5", "soon", "", "9" * 400, "Wed, 99 Xyz 2026 99:99:99 GMT"])
async def test_a_nonsense_retry_after_is_not_believed(
    open_sandbox: OpenSandbox, connect: OpenSandbox, value: str
) -> None:
    sandbox = await open_sandbox(retry_after=value)
    sandbox.fail_next("429-retry-after")
    client = await connect(sandbox)
    assert (await client.contacts.upsert(ROSAN)).rate_limited == 1


async def test_giving_up_says_how_often_it_was_tried(client: LeadConnector, sandbox: Sandbox) -> None:
    sandbox.fail_next("500", times=99)
    with pytest.raises(ServerError) as caught:
        await client.contacts.upsert(ROSAN)
    assert caught.value.attempts == sandbox.requests == 5


async def test_a_call_without_an_answer_times_out(sandbox: Sandbox, connect: OpenSandbox) -> None:
    sandbox.fail_next("hang")
    client = await connect(sandbox, timeouts=Timeouts(total=0.1), retry=ONCE)
    with pytest.raises(CallTimeoutError) as caught:
        await client.contacts.upsert(ROSAN)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.may_be_applied
    assert (await client.contacts.upsert(ROSAN)).new


async def test_cancelling_a_call_cancels_it_although_time_is_watched(sandbox: Sandbox, connect: OpenSandbox) -> None:
    sandbox.fail_next("hang")
    client = await connect(sandbox, timeouts=Timeouts(total=5))
    call = asyncio.ensure_future(client.contacts.upsert(ROSAN))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_no_connection_is_no_doubt(connect: OpenSandbox, unused_tcp_port: int) -> None:
    client = await connect(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(ConnectFailedError) as caught:
        await client.contacts.create(ROSAN)
    assert not caught.value.may_be_applied
    assert caught.value.attempts == 5


async def test_a_spent_day_is_told_with_the_time_it_takes(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(daily=2)
    client = await connect(sandbox)
    for number in range(2):
        await client.contacts.upsert({"email": f"{number}@b.co"})
    with pytest.raises(DailyQuotaExceededError, match="24 h 0 min"):
        await client.contacts.upsert(ROSAN)
    assert sandbox.rate_limited == 0


async def test_a_trial_account_is_learnt_from_the_headers(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(profile="trial")
    client = await connect(sandbox)
    await client.contacts.upsert(ROSAN)
    report = await client.contacts.bulk_upsert([{"email": f"{number}@b.co"} for number in range(60)])
    assert report.created == 60
    assert sandbox.rate_limited == report.rate_limited == 0


async def test_clients_that_share_limits_share_windows(
    sandbox: Sandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    limits = LocalLimits(clock=clock)
    clients = [await connect(sandbox, limits=limits) for _ in range(2)]
    began = clock.now
    rows = [{"email": f"{number}@b.co"} for number in range(150)]
    await asyncio.gather(*(client.contacts.bulk_upsert(rows) for client in clients))
    assert sandbox.rate_limited == 0
    assert clock.now - began == pytest.approx(20.02)  # the third window begins


# ---------------------------------------------------------------------------------------------- answers, scripted

ANSWERS: list[tuple[int, bytes, type[CallError]]] = [
    (400, b'{"statusCode":400,"message":"Bad"}', BadRequestError),
    (400, b'{"error":"Contact with id X not found","status":400}', NotFoundError),
    (401, b'{"statusCode":401,"message":"Invalid JWT"}', AuthenticationError),
    (401, b'{"message":"Invalid token: access token is invalid","error":"Unauthorized"}', AuthenticationError),
    (401, b'{"message":"The token is expired"}', AuthenticationError),
    (401, b'{"message":"Access token is expired"}', AuthenticationError),
    (401, b'{"message":"Invalid Private Integration token"}', AuthenticationError),
    (401, b'{"message":"The token is not authorized for this scope."}', PermissionDeniedError),
    (401, b'{"message":"Token\'s user type mismatch!"}', PermissionDeniedError),
    (401, b'{"message":"version header is invalid"}', PermissionDeniedError),
    (401, b'{"message":"E01 - Unauthorized request"}', PermissionDeniedError),
    (401, b'{"message":"Command timed out"}', ServerError),
    (401, b"", AuthenticationError),
    (403, b'{"message":"Forbidden resource","error":"Forbidden","statusCode":403}', PermissionDeniedError),
    (403, b"error code: 1010", PermissionDeniedError),
    (404, b"", NotFoundError),
    (408, b"", ServerError),
    (418, b"[]", BadRequestError),
    (422, b'{"message":["a","b"],"error":"Unprocessable Entity","statusCode":422}', ValidationError),
    (500, b'{"statusCode":500,"message":"Internal server error"}', ServerError),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>", ServerError),
    (504, b"\xff\xfe", ServerError),
    (200, b"", InvalidResponseError),
    (200, b"<html>", InvalidResponseError),
    (200, b"[1]", InvalidResponseError),
    (200, b'{"new":true}', InvalidResponseError),
    (200, b'{"new":true,"contact":{"id":null}}', InvalidResponseError),
    (200, b'{"contact":{"id":"1"}}', InvalidResponseError),
    (200, b"[" * 100_000, InvalidResponseError),
    (204, b"", InvalidResponseError),
    (302, b"", InvalidResponseError),
]


class ScriptedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know an argument that aiohttp 3.14 wants."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
            options.setdefault("stream_writer", Mock())
        super().__init__(*arguments, **options)


@pytest.mark.parametrize(("status", "body", "expected"), ANSWERS, ids=range(len(ANSWERS)))
async def test_each_answer_becomes_its_error(status: int, body: bytes, expected: type[CallError]) -> None:
    with aioresponses() as scripted:
        scripted.post(
            "https://crm.example.com/contacts/upsert", status=status, body=body, response_class=ScriptedResponse
        )
        async with LeadConnector("x", location_id="L", base_url="https://crm.example.com", retry=ONCE) as client:
            with pytest.raises(expected) as caught:
                await client.contacts.upsert(ROSAN)
    assert type(caught.value) is expected
    if isinstance(caught.value, APIError):
        assert caught.value.status == status
        assert all(caught.value.messages)


async def test_all_that_an_error_says_is_kept_and_made_safe_to_print() -> None:
    body = b'{"message":["one\\u001b[31m","two"],"canonicalCode":"SOME_CODE","traceId":"7f3","statusCode":500}'
    with aioresponses() as scripted:
        scripted.post("https://crm.example.com/contacts/upsert", status=422, body=body, response_class=ScriptedResponse)
        async with LeadConnector("x", location_id="L", base_url="https://crm.example.com") as client:
            with pytest.raises(ValidationError) as caught:
                await client.contacts.upsert(ROSAN)
    error = caught.value
    assert (error.messages, error.code, error.trace_id, error.status) == (("one [31m", "two"), "SOME_CODE", "7f3", 422)


class Handing:
    """A token source whose first token is refused."""

    def __init__(self) -> None:
        self.refreshed = 0

    async def token(self, location_id: str) -> str:
        return "sandbox" if self.refreshed else "expired"

    async def refresh(self, location_id: str, refused: str) -> bool:
        self.refreshed += 1
        return True


async def test_a_refused_token_is_replaced_once(sandbox: Sandbox, connect: OpenSandbox) -> None:
    source = Handing()
    client = await connect(sandbox, token=source)
    assert (await client.contacts.upsert(ROSAN)).new
    assert source.refreshed == 1


async def test_a_token_that_stays_refused_is_refreshed_no_second_time(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox = await open_sandbox(token="another")
    source = Handing()
    client = await connect(sandbox, token=source)
    with pytest.raises(AuthenticationError):
        await client.contacts.upsert(ROSAN)
    assert source.refreshed == 1


# ---------------------------------------------------------------------------------------------- servers of our own


async def serve(handler: Any, connect: OpenSandbox, **options: Any) -> tuple[web.ServerRunner, LeadConnector]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return runner, await connect(f"http://{host}:{port}", retry=ONCE, **options)


async def test_no_redirect_is_followed_with_the_token(sandbox: Sandbox, connect: OpenSandbox) -> None:
    async def elsewhere(request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{sandbox.url}/contacts/upsert"})

    runner, client = await serve(elsewhere, connect)
    with pytest.raises(InvalidResponseError, match="307"):
        await client.contacts.upsert(ROSAN)
    assert sandbox.requests == 0
    await runner.cleanup()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_body_above_the_cap_is_refused(connect: OpenSandbox, encoding: str) -> None:
    async def huge(request: web.BaseRequest) -> web.Response:
        body = b" " * 3_000_000
        if encoding == "identity":
            return web.Response(body=body)
        return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})

    runner, client = await serve(huge, connect, max_body_bytes=1_000_000)
    with pytest.raises(InvalidResponseError, match="larger than 1000000 bytes"):
        await client.contacts.upsert(ROSAN)
    await runner.cleanup()


async def test_a_body_in_many_pieces_is_put_together(connect: OpenSandbox) -> None:
    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in b'{"new":true,"contact":{"id":"1"},"traceId":"t"}':
            await response.write(bytes([byte]))
            await asyncio.sleep(0)
        return response

    runner, client = await serve(slowly, connect)
    assert (await client.contacts.upsert(ROSAN)).contact.id == "1"
    await runner.cleanup()


async def test_a_server_that_speaks_no_http_is_a_lost_connection(connect: OpenSandbox) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 smtp.example.com ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = await connect(f"http://127.0.0.1:{port}", retry=ONCE)
    with pytest.raises(ConnectionLostError):
        await client.contacts.upsert(ROSAN)
    server.close()


# ---------------------------------------------------------------------------------------------- errors


def all_errors() -> list[type[LeadConnectorError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LeadConnectorError)]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_survives_pickling(kind: type[LeadConnectorError]) -> None:
    arguments: dict[str, Any] = {
        "DailyQuotaExceededError": {"location_id": "L", "resets_in": 5.0},
        "LocationRefusedError": {"location_id": "L", "status": 403},
        "RateLimitStuckError": {"rate_limited": 3},
        "InvalidResponseError": {"status": 200},
        "InvalidContactError": {"field": "dnd"},
        "WebhookError": {"reason": "replayed"},
    }.get(kind.__name__, {"report": None} if issubclass(kind, errors.LoadError) else {})
    error = kind(400, ("no",), trace_id="t") if issubclass(kind, APIError) else kind("no", **arguments)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    error.__cause__ = ServerError(503, ("Bad Gateway",))
    error.__cause__.__cause__ = error  # a chain that leads back to itself has an end, too
    copy = pickle.loads(pickled(error))
    assert (type(copy.__cause__), str(copy.__cause__)) == (ServerError, "503: Bad Gateway")
    assert copy.__cause__.__cause__ is copy


def pickled(error: Exception) -> bytes:
    """Pickle an error by its own methods: Dask, which other tests of this process load, has all errors pickled by
    functions of its own, which follow causes themselves and without end."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file)
    pickler.dispatch_table = {}
    pickler.dump(error)
    return file.getvalue()


class TwoPartError(Exception):
    """Cannot be made anew from its arguments, as most exceptions with a keyword cannot."""

    def __init__(self, text: str, *, line: int) -> None:
        super().__init__(f"{text} in {line}")


def test_a_cause_of_any_class_survives_pickling() -> None:
    class OwnError(Exception):
        """Cannot be pickled, as it is of a function."""

    report = BatchReport()
    told = json.JSONDecodeError("no", "x", 0), UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), OSError(28, "no", "x")
    odd = TwoPartError("no", line=7)
    for cause, expected in (
        *((cause, cause) for cause in (KeyError("x"), *told)),
        (OwnError("no"), RuntimeError("OwnError: no")),
        (odd, RuntimeError("TwoPartError: no in 7")),
    ):
        report.stopped = cause
        error = errors.LoadStoppedError("ended", report=report)
        error.__cause__ = cause
        copy = pickle.loads(pickled(error))
        assert repr(copy.__cause__) == repr(expected) == repr(copy.report.stopped)


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in all_errors() if kind.__name__ not in errors.__doc__] == []


async def test_only_429s_in_a_row_are_said_to_be_in_a_row(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox()
    client = await connect(sandbox, retry=RetryPolicy(max_rate_limited=25))
    for kind, times in (("429", 2), ("500", 1), ("429", 1), ("reset-before", 1), ("429", 100)):
        sandbox.fail_next(kind, times)
    with pytest.raises(RateLimitStuckError, match=r"\(HTTP 429\) 4 times in a row") as caught:
        await client.contacts.upsert(ROSAN)
    assert caught.value.rate_limited == sandbox.rate_limited == 7


async def test_rate_limits_may_be_turned_off(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox = await open_sandbox(unlimited=True)
    client = await connect(sandbox, rate_limit=None)
    report = await client.contacts.bulk_upsert([{"email": f"{number}@b.co"} for number in range(300)])
    assert report.created == 300


async def test_a_rate_of_ones_own_is_kept(sandbox: Sandbox, connect: OpenSandbox, clock: FakeClock) -> None:
    client = await connect(sandbox, rate_limit=RateLimit(max_requests=10, per_seconds=10))
    began = clock.now
    await client.contacts.bulk_upsert([{"email": f"{number}@b.co"} for number in range(30)])
    assert clock.now - began == pytest.approx(20.02)


async def test_an_error_of_the_token_source_is_not_held_by_its_own_context(connect: OpenSandbox) -> None:
    """Else whatever pickles an error with its context, as Dask does, goes round for ever."""

    class Failing:
        async def token(self, location_id: str) -> str:
            raise ServerError(500, ("not today",))

        async def refresh(self, location_id: str, refused: str) -> bool:
            return False

    client: LeadConnector = await connect("http://127.0.0.1:1", token=Failing())
    with pytest.raises(ServerError) as caught:
        await client.contacts.upsert({"email": "a@example.com"})
    context = caught.value.__context__
    while context is not None:
        assert caught.value not in (*context.args, *vars(context).values())
        context = context.__context__
