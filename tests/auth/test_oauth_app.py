"""OAuth apps and accounts as sources of tokens, against the real sandbox."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from leadconnector_async import (
    AuthenticationError,
    ClientStateError,
    ConfigurationError,
    ConnectFailedError,
    LeadConnector,
    LeadConnectorError,
    LocationNotCoveredError,
    LoginRequiredError,
    MemoryTokenStore,
    OAuthApp,
    PermissionDeniedError,
    RetryPolicy,
    TokenSourceError,
    TokenStoreError,
    UsageError,
)
from leadconnector_async.protocol.answers import Response, read_error
from leadconnector_async.protocol.oauth import Grant, build_refresh, read_refusal
from leadconnector_async.sandbox import Sandbox
from tests.conftest import LOCATION, OpenSandbox
from tests.drills.middleman import Middleman, build_answer, closing
from tests.fake_clock import FakeClock
from tests.oauth import DAY, REDIRECT, log_in, make_app, token_calls

ONCE = RetryPolicy(max_attempts=1)
PERSON = {"email": "a@example.com"}


@pytest.fixture
async def app(sandbox: Sandbox) -> OAuthApp:
    return make_app(sandbox)


@pytest.fixture
async def lc(sandbox: Sandbox, app: OAuthApp, connect: OpenSandbox) -> LeadConnector:
    opened: LeadConnector = await connect(sandbox, token=app)
    return opened


async def newest_pair(app: OAuthApp, account_id: str) -> tuple[str, str]:
    grant = await app.logins.load(account_id)
    return grant.access_token, grant.refresh_token


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110  (each turn of the loop counts, and the clock stands still)
        await asyncio.sleep(0)


# ---------------------------------------------------------------------------------------------- logging in


def test_the_page_is_asked_for_with_all_that_it_needs() -> None:
    app = OAuthApp("id-1", "s", redirect_uri=REDIRECT, scopes="contacts.write contacts.readonly")
    url = app.authorization_url("a state")
    assert url.startswith("https://marketplace.gohighlevel.com/v2/oauth/chooselocation?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["id-1"],
        "redirect_uri": [REDIRECT],
        "scope": ["contacts.write contacts.readonly"],
        "state": ["a state"],
    }
    white = app.authorization_url("s", white_label=True)
    assert white.startswith("https://marketplace.leadconnectorhq.com/v2/oauth/chooselocation?")
    assert len({app.new_state() for _ in range(9)}) == 9
    with pytest.raises(ConfigurationError, match="needs a state"):
        app.authorization_url("")


@pytest.mark.parametrize(
    ("client", "options", "sentence"),
    [
        (("", "s"), {}, "no client id"),
        (("i", " "), {}, "no client secret"),
        (("i", "s"), {"redirect_uri": "callback"}, "is not an address"),
        (("i", "s"), {"scopes": ()}, "needs scopes"),
    ],
)
def test_an_app_that_cannot_be(client: tuple[str, str], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        OAuthApp(*client, **{"redirect_uri": REDIRECT, **options})


@pytest.mark.parametrize("version", ["2021-07-28", "2023-02-21", "v3"])
@pytest.mark.parametrize("location_id", [LOCATION, None])
async def test_a_login_in_each_version(
    sandbox: Sandbox, connect: OpenSandbox, version: str, location_id: str | None
) -> None:
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app, api_version=version)
    account = await log_in(app, sandbox, location_id)
    assert (await client.contacts.upsert(PERSON)).new
    info = await account.info()
    assert info.account_id == account.account_id == (location_id or sandbox.oauth.company_id)
    assert info.user_type == ("Location" if location_id else "Company")
    assert "contacts.write" in info.scopes
    sandbox.oauth.expire_tokens()
    assert not (await client.contacts.upsert(PERSON)).new
    assert sandbox.oauth.refreshes == 1
    if location_id is None:
        assert sandbox.oauth.location_tokens == 2
        assert [each.id async for each in account.installed_locations()] == [LOCATION]


@pytest.mark.parametrize("without_state", [False, True])
@pytest.mark.parametrize(
    ("state", "expected"),
    [("one", "other"), (None, "other"), ("", "other"), ("one", None), ("é", "e"), (None, None), ("", ""), ("", None)],
)
async def test_a_state_that_does_not_match(
    lc: LeadConnector, app: OAuthApp, sandbox: Sandbox, state: str | None, expected: str | None, without_state: bool
) -> None:
    """Missing is never equal, unless the caller says that none is wanted."""
    if without_state and not state and not expected:
        pytest.skip("that is what without_state is for")
    code = sandbox.oauth.new_code(LOCATION)
    with pytest.raises(LoginRequiredError, match=r"state that came back.*log in again"):
        await app.exchange(code, state=state, expected_state=expected, without_state=without_state)
    assert sandbox.requests == 0
    account = await app.exchange(code, state="s", expected_state="s")  # the code is still good
    assert account.account_id == LOCATION


async def test_a_wrong_or_reused_code(lc: LeadConnector, app: OAuthApp, sandbox: Sandbox) -> None:
    code = sandbox.oauth.new_code(LOCATION)
    await app.exchange(code, without_state=True)
    for wrong in (code, "nonsense", sandbox.oauth.new_code(LOCATION, redirect_uri="https://elsewhere.example")):
        with pytest.raises(LoginRequiredError, match=r"does not take this code.*log in again") as caught:
            await app.exchange(wrong, without_state=True)
        assert wrong not in str(caught.value)
    with pytest.raises(LoginRequiredError, match="sent no code"):
        await app.exchange(" ", without_state=True)
    assert (await lc.contacts.upsert(PERSON)).new  # the login there was is unharmed


async def test_a_code_that_waited_too_long(
    lc: LeadConnector, app: OAuthApp, sandbox: Sandbox, clock: FakeClock
) -> None:
    code = sandbox.oauth.new_code(LOCATION)
    await clock.sleep(601)
    with pytest.raises(LoginRequiredError, match="does not take this code"):
        await app.exchange(code, without_state=True)


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
async def test_a_wrong_client_secret(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    app = make_app(sandbox, client_secret="not-the-secret")
    await connect(sandbox, token=app, api_version=version)
    with pytest.raises(ConfigurationError, match="does not take the client id and secret") as caught:
        await log_in(app, sandbox, LOCATION)
    assert "not-the-secret" not in str(caught.value)


async def test_without_a_client_that_is_open(app: OAuthApp, sandbox: Sandbox) -> None:
    with pytest.raises(ClientStateError, match="no client is open on this app"):
        await app.exchange("code", without_state=True)
    with pytest.raises(ClientStateError, match="no client is open"):
        await app.token(LOCATION)


async def test_nobody_is_logged_in(lc: LeadConnector, sandbox: Sandbox) -> None:
    with pytest.raises(LoginRequiredError, match="nobody is logged in"):
        await lc.contacts.upsert(PERSON)
    assert sandbox.requests == 0


async def test_a_login_that_is_cancelled_is_stored_all_the_same(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, clock: FakeClock
) -> None:
    task = asyncio.create_task(log_in(app, sandbox, LOCATION))
    await until(lambda: sandbox.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await lc.close()
    assert await newest_pair(app, LOCATION) == sandbox.oauth.newest_pair(LOCATION)


# ---------------------------------------------------------------------------------------------- renewal


async def test_a_thousand_calls_on_an_expired_token_cause_one_refresh(
    open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    sandbox: Sandbox = await open_sandbox(unlimited=True)
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app, rate_limit=None)
    await log_in(app, sandbox, LOCATION)
    sandbox.oauth.grace = 0.0
    sandbox.oauth.expire_tokens()  # the client does not know
    people = [{"email": f"p{number}@example.com"} for number in range(1000)]
    await asyncio.gather(*(client.contacts.upsert(person) for person in people))
    assert (sandbox.oauth.refreshes, token_calls(sandbox)) == (1, 2)
    assert len(sandbox.contacts()) == 1000


async def test_a_thousand_calls_after_a_day_cause_one_refresh_and_no_401(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox: Sandbox = await open_sandbox(unlimited=True)
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app, rate_limit=None)
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    people = [{"email": f"p{number}@example.com"} for number in range(1000)]
    await asyncio.gather(*(client.contacts.upsert(person) for person in people))
    assert (sandbox.oauth.refreshes, token_calls(sandbox)) == (1, 2)
    assert all(arrival.status == 200 for arrival in sandbox.arrivals)


async def test_a_token_is_renewed_ahead_of_its_end_and_nobody_waits(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, clock: FakeClock
) -> None:
    await log_in(app, sandbox, LOCATION)
    first = await app.token(LOCATION)
    await clock.sleep(DAY - 200)
    assert await app.token(LOCATION) == first
    await app._tasks.wait()
    second = await app.token(LOCATION)
    assert second != first
    assert sandbox.oauth.newest_pair(LOCATION) == await newest_pair(app, LOCATION)
    assert all(arrival.status == 200 for arrival in sandbox.arrivals)


async def test_a_failed_renewal_ahead_of_the_end_costs_nothing(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox: Sandbox = await open_sandbox()
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app)
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY - 200)
    sandbox.fail_next(None)
    sandbox.fail_next("500", times=4)
    assert (await client.contacts.upsert(PERSON)).new  # on the old token, while the renewal fails
    await app._tasks.wait()
    await clock.sleep(31)
    await client.contacts.upsert(PERSON)
    await app._tasks.wait()
    assert sandbox.oauth.refreshes == 1
    await clock.sleep(200)
    await client.contacts.upsert(PERSON)
    assert sandbox.oauth.refreshes == 1


async def test_a_load_of_fourteen_hours_outlives_its_tokens_unnoticed(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    # A slow quota stretches 400 rows over 33 hours.
    sandbox: Sandbox = await open_sandbox(max_requests=1, per_seconds=300)
    for location_id, windows in ((LOCATION, 399), (None, 400)):
        app = make_app(sandbox)
        client: LeadConnector = await connect(sandbox, token=app)
        await log_in(app, sandbox, location_id)
        began, before = clock.now, sandbox.oauth.refreshes
        report = await client.contacts.bulk_upsert([{"email": f"p{number}@example.com"} for number in range(400)])
        assert clock.now - began == pytest.approx(windows * 300.3)
        assert report.is_complete
        assert (report.failed, report.retries) == (0, 0)
        assert sandbox.oauth.refreshes - before == 1
    assert not [arrival for arrival in sandbox.arrivals if arrival.status == 401]


async def test_only_credential_wording_causes_a_refresh(sandbox: Sandbox, app: OAuthApp, lc: LeadConnector) -> None:
    await log_in(app, sandbox, LOCATION)
    sandbox.fail_next("401-timeout")
    await lc.contacts.upsert(PERSON)
    await log_in(app, sandbox, LOCATION, scopes=["contacts.readonly"])
    with pytest.raises(PermissionDeniedError, match="not authorized for this scope"):
        await lc.contacts.upsert(PERSON)
    assert sandbox.oauth.refreshes == 0


@pytest.mark.parametrize("body", [b"", b"{}", b'{"statusCode":401}', b'{"message":"Unauthorized","statusCode":401}'])
async def test_a_401_without_words_renews_the_token_once(
    sandbox: Sandbox, app: OAuthApp, connect: OpenSandbox, body: bytes
) -> None:
    """As a proxy of a white label answers: it may be the token, and nothing says that it is not."""

    async def spoil(answer: bytes, writer: asyncio.StreamWriter) -> None:
        is_token = b"access_token" in answer
        writer.write(closing(answer) if is_token else build_answer(body, status="401 Unauthorized"))

    async with Middleman(sandbox.url, spoil) as middleman:
        client: LeadConnector = await connect(middleman.url, token=app)
        await log_in(app, sandbox, LOCATION)
        assert (await client.contacts.upsert(PERSON)).new is False, "the spoilt try had created it"
    assert sandbox.oauth.refreshes == 1


async def test_a_token_that_is_refused_after_its_renewal_is_not_renewed_again(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log_in(app, sandbox, LOCATION)
    monkeypatch.setattr(sandbox._records.logins, "bearer", lambda token: None)
    with pytest.raises(AuthenticationError):
        await lc.contacts.upsert(PERSON)
    assert sandbox.oauth.refreshes == 1


# ---------------------------------------------------------------------------------------------- what may go wrong


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
async def test_a_revoked_login(sandbox: Sandbox, connect: OpenSandbox, version: str) -> None:
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app, api_version=version)
    await log_in(app, sandbox, LOCATION)
    stored = await newest_pair(app, LOCATION)
    sandbox.oauth.revoke(LOCATION)
    results = await asyncio.gather(*(client.contacts.upsert(PERSON) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {LoginRequiredError}
    assert len({id(result) for result in results}) == 20  # an error of its own for each
    error = results[0]
    assert isinstance(error, LoginRequiredError)
    assert f"takes the login of {LOCATION} no more" in str(error)
    assert "log in again" in str(error)
    assert error.account_id == LOCATION
    assert not any(secret in str(error) for secret in stored)
    assert [arrival.path for arrival in sandbox.arrivals].count("/oauth/token") == 2  # the code, and one renewal
    await log_in(app, sandbox, LOCATION)
    assert (await client.contacts.upsert(PERSON)).new


@pytest.mark.parametrize(
    "kind", ["reset-after", "cut-body", "502-after", "empty-200", "html-200", "500", "reset-before"]
)
async def test_a_renewal_whose_answer_was_lost_is_asked_for_again(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, clock: FakeClock, kind: str
) -> None:
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    sandbox.fail_next(kind)
    assert (await lc.contacts.upsert(PERSON)).new
    assert sandbox.oauth.refreshes == 1
    assert sandbox.oauth.newest_pair(LOCATION) == await newest_pair(app, LOCATION)


async def test_an_answer_that_is_lost_for_good_is_told_clearly(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, clock: FakeClock
) -> None:
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    sandbox.fail_next("reset-after", times=4)
    with pytest.raises(ConnectionError):
        await lc.contacts.upsert(PERSON)
    await clock.sleep(31)
    with pytest.raises(LoginRequiredError, match=r"answer to a renewal .* was lost.*log in again"):
        await lc.contacts.upsert(PERSON)


async def test_a_renewal_that_was_lost_is_still_there_within_the_grace(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, clock: FakeClock
) -> None:
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    sandbox.fail_next("reset-after", times=4)
    with pytest.raises(ConnectionError) as caught:
        await lc.contacts.upsert(PERSON)
    assert not getattr(caught.value, "may_be_applied", True)  # of the contact, nothing was sent
    assert (await lc.contacts.upsert(PERSON)).new
    assert sandbox.oauth.refreshes == 1


async def test_a_service_that_cannot_be_reached_fails_the_call_and_loses_nothing(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox: Sandbox = await open_sandbox()
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app, retry=ONCE)
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    await sandbox.stop()
    with pytest.raises(ConnectFailedError):
        await client.contacts.upsert(PERSON)
    await sandbox.start()
    assert (await client.contacts.upsert(PERSON)).new


class BrokenStore(MemoryTokenStore):
    """Fails to save so many times."""

    failures = 0

    async def save(self, key: str, value: bytes | None) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise TokenStoreError("the disk is full")
        await super().save(key, value)


async def test_a_pair_that_cannot_be_stored_is_kept_and_not_used(
    sandbox: Sandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    store = BrokenStore()
    app = make_app(sandbox, store=store)
    client: LeadConnector = await connect(sandbox, token=app)
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    sandbox.oauth.grace = 0.0
    store.failures = 2
    for _ in range(2):
        with pytest.raises(TokenStoreError, match="disk is full"):
            await client.contacts.upsert(PERSON)
    assert (await client.contacts.upsert(PERSON)).new
    assert sandbox.oauth.refreshes == 1
    assert sandbox.oauth.newest_pair(LOCATION) == await newest_pair(app, LOCATION)


async def test_a_login_spends_no_code_on_a_store_that_cannot_be_written(sandbox: Sandbox, connect: OpenSandbox) -> None:
    store = BrokenStore()
    app = make_app(sandbox, store=store)
    await connect(sandbox, token=app)
    code = sandbox.oauth.new_code(LOCATION)
    store.failures = 1
    with pytest.raises(TokenStoreError, match="disk is full"):
        await app.exchange(code, without_state=True)
    assert (await app.exchange(code, without_state=True)).account_id == LOCATION


async def test_a_store_that_raises_something_of_its_own(sandbox: Sandbox, connect: OpenSandbox) -> None:
    class Database(MemoryTokenStore):
        async def load(self, key: str) -> bytes | None:
            raise OSError("gone")

    client: LeadConnector = await connect(sandbox, token=make_app(sandbox, store=Database()))
    with pytest.raises(TokenSourceError, match="the token source raised OSError"):
        await client.contacts.upsert(PERSON)


async def test_what_is_stored_is_damaged(sandbox: Sandbox, connect: OpenSandbox) -> None:
    store = MemoryTokenStore()
    app = make_app(sandbox, store=store)
    client: LeadConnector = await connect(sandbox, token=app)
    await store.save(f"{sandbox.oauth.client_id}/{LOCATION}", b"{")
    with pytest.raises(TokenStoreError, match="is damaged; log in again"):
        await client.contacts.upsert(PERSON)


async def test_tokens_go_to_no_other_service(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    await log_in(app, sandbox, LOCATION)
    other: Sandbox = await open_sandbox()
    with pytest.raises(ConfigurationError, match="in use with http"):
        await connect(other, token=app)
    await lc.close()
    client: LeadConnector = await connect(other, token=app)
    with pytest.raises(LoginRequiredError, match=r"is for http.* and is not sent to"):
        await client.contacts.upsert(PERSON)
    assert other.requests == 0


def test_an_app_on_two_loops() -> None:
    app = OAuthApp("i", "s", redirect_uri=REDIRECT)

    async def use(inner: Callable[[], None] | None = None) -> None:
        async with LeadConnector(app, base_url="http://127.0.0.1:9"):
            if inner is not None:
                await asyncio.to_thread(inner)

    def elsewhere() -> None:
        with pytest.raises(ClientStateError, match="another event loop"):
            asyncio.run(use())

    asyncio.run(use(elsewhere))
    asyncio.run(use())  # one after the other is fine


# ---------------------------------------------------------------------------------------------- which account


async def test_one_client_serves_all_accounts(sandbox: Sandbox, app: OAuthApp, lc: LeadConnector) -> None:
    for location_id in ("A", "B"):
        await log_in(app, sandbox, location_id)
    await log_in(app, sandbox, None)
    rows = [{**PERSON, "location_id": location_id} for location_id in ("A", "B", "C", "D")]
    report = await lc.contacts.bulk_upsert(rows)
    assert report.created == 4
    assert sandbox.oauth.location_tokens == 2
    assert [info.account_id for info in await app.accounts()] == ["A", "B", sandbox.oauth.company_id]


async def test_a_location_that_no_account_covers(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox: Sandbox = await open_sandbox(locations=["A", "B"])
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app)
    account = await log_in(app, sandbox, "A")
    with pytest.raises(LocationNotCoveredError, match=r"no account .* may act for location B: install the app"):
        await client.contacts.upsert({**PERSON, "location_id": "B"})
    alone: LeadConnector = await connect(sandbox, token=account)
    with pytest.raises(LocationNotCoveredError, match="is that of location A, and may not act for B") as caught:
        await alone.contacts.upsert({**PERSON, "location_id": "B"})
    assert caught.value.location_id == "B"
    agency = await log_in(app, sandbox, None)
    alone = await connect(sandbox, token=agency)
    with pytest.raises(LocationNotCoveredError, match=r"gives no token for location C .*install the app there"):
        await alone.contacts.upsert({**PERSON, "location_id": "C"})
    # In a load, it is that location's end, and not the others'.
    report = await client.contacts.bulk_upsert([{**PERSON, "location_id": where} for where in ("A", "C", "B")])
    assert [outcome.status for outcome in report.outcomes] == ["created", "not_attempted", "created"]
    assert "install the app there" in str(report.outcomes[1].error)


async def test_several_accounts_and_no_location(sandbox: Sandbox, app: OAuthApp, connect: OpenSandbox) -> None:
    client: LeadConnector = await connect(sandbox, token=app, location_id=None)
    await log_in(app, sandbox, "A")
    assert await app.token("") == await app.token("A")
    await log_in(app, sandbox, "B")
    with pytest.raises(ConfigurationError, match="name the location"):
        await client.contacts.get("x")


async def test_an_agency_makes_one_token_a_location_and_renews_it(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector, clock: FakeClock
) -> None:
    agency = await log_in(app, sandbox, None)
    tokens = await asyncio.gather(*(agency.token(location_id) for location_id in "ABAB" * 50))
    assert len(set(tokens)) == 2
    assert sandbox.oauth.location_tokens == 2
    sandbox.oauth.expire_tokens("A")
    await asyncio.gather(*(lc.contacts.upsert({**PERSON, "location_id": "A"}) for _ in range(20)))
    assert sandbox.oauth.location_tokens == 3
    await clock.sleep(DAY + 1)
    await lc.contacts.upsert({**PERSON, "location_id": "B"})
    assert (sandbox.oauth.location_tokens, sandbox.oauth.refreshes) == (4, 1)
    assert [arrival.status for arrival in sandbox.arrivals].count(401) == 20


async def test_an_agency_whose_own_token_is_refused_meanwhile(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector
) -> None:
    agency = await log_in(app, sandbox, None)
    sandbox.oauth.expire_tokens()
    await lc.contacts.upsert({**PERSON, "location_id": "A"})
    sandbox.oauth.expire_tokens()
    assert [each.id async for each in agency.installed_locations()] == ["A"]
    assert sandbox.oauth.refreshes == 2


async def test_several_agencies_of_which_one_covers_a_location(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    sandbox: Sandbox = await open_sandbox()
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app)
    await log_in(app, sandbox, None)
    grant = await app.logins.load(sandbox.oauth.company_id)
    changed = {**{name: getattr(grant, name) for name in grant.__struct_fields__}, "company_id": "Elsewhere"}
    await app.logins.add(Grant(**changed))
    assert (await client.contacts.upsert(PERSON)).new


async def test_an_agencys_own_token_is_no_good_for_a_location(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector
) -> None:
    agency = await log_in(app, sandbox, None)
    token = await agency.token("")
    async with LeadConnector(token, base_url=sandbox.url, location_id=LOCATION) as client:
        with pytest.raises(PermissionDeniedError, match=r"agency.*location") as caught:
            await client.contacts.upsert(PERSON)
    assert token not in str(caught.value)


async def test_a_missing_scope_says_what_to_do(sandbox: Sandbox, app: OAuthApp, lc: LeadConnector) -> None:
    await log_in(app, sandbox, LOCATION, scopes=["contacts.readonly"])
    with pytest.raises(PermissionDeniedError, match="add the scope"):
        await lc.contacts.upsert(PERSON)
    await log_in(app, sandbox, None, scopes=["contacts.write"])
    with pytest.raises(ConfigurationError, match=r"add the scope oauth.write"):
        await lc.contacts.upsert({**PERSON, "location_id": "elsewhere"})


async def test_installed_locations_over_many_pages(open_sandbox: OpenSandbox, connect: OpenSandbox) -> None:
    names = [f"L{number:03}" for number in range(45)]
    sandbox: Sandbox = await open_sandbox(locations=names)
    for version in ("2021-07-28", "v3"):
        app = make_app(sandbox)
        client: LeadConnector = await connect(sandbox, token=app, api_version=version)
        agency = await log_in(app, sandbox, None)
        sandbox.oauth.uninstall("L007")
        found = [each async for each in agency.installed_locations()]
        assert [each.id for each in found] == [name for name in names if name != "L007"]
        assert found[0].name
        assert [each.id async for each in agency.installed_locations(is_installed=False)] == ["L007"]
        assert len([each async for each in agency.installed_locations(is_installed=None, page_size=15)]) == 45
        assert [each.id async for each in agency.installed_locations(query="L04")] == names[40:]
        await client.close()


async def test_installed_locations_are_for_agencies(sandbox: Sandbox, app: OAuthApp, lc: LeadConnector) -> None:
    account = await log_in(app, sandbox, LOCATION)
    with pytest.raises(UsageError, match="as an agency"):
        _ = [each async for each in account.installed_locations()]


async def test_logging_out(sandbox: Sandbox, app: OAuthApp, lc: LeadConnector) -> None:
    account = await log_in(app, sandbox, LOCATION)
    assert await app.forget(LOCATION)
    assert not await app.forget(LOCATION)
    assert await app.accounts() == []
    with pytest.raises(LoginRequiredError, match="is not logged in"):
        await account.token(LOCATION)
    with pytest.raises(LoginRequiredError, match="nobody is logged in"):
        await lc.contacts.upsert(PERSON)
    with pytest.raises(ConfigurationError, match="by the id"):
        app.account("")


async def test_another_process_that_renewed_is_believed(
    sandbox: Sandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    store = MemoryTokenStore()
    one, other = (make_app(sandbox, store=store) for _ in range(2))
    first: LeadConnector = await connect(sandbox, token=one)
    second: LeadConnector = await connect(sandbox, token=other)
    sandbox.oauth.grace = 0.0
    await log_in(one, sandbox, LOCATION)
    await second.contacts.upsert(PERSON)
    sandbox.oauth.expire_tokens()
    await first.contacts.upsert(PERSON)
    await second.contacts.upsert(PERSON)
    await clock.sleep(DAY)
    await second.contacts.upsert(PERSON)
    await first.contacts.upsert(PERSON)
    assert sandbox.oauth.refreshes == 2


# ---------------------------------------------------------------------------------------------- cancellation


async def test_a_waiter_that_is_cancelled_takes_nobody_with_it(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox: Sandbox = await open_sandbox(latency=(0.5, 0.5))
    app = make_app(sandbox)
    await connect(sandbox, token=app)
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    waiters = [asyncio.create_task(app.token(LOCATION)) for _ in range(10)]
    await until(lambda: app._tasks._tasks)
    for waiter in waiters[:9]:
        waiter.cancel()
    assert await waiters[9] == (await newest_pair(app, LOCATION))[0]
    assert sandbox.oauth.refreshes == 1


async def test_a_client_that_closes_waits_for_a_renewal(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock
) -> None:
    sandbox: Sandbox = await open_sandbox(latency=(0.5, 0.5))
    app = make_app(sandbox)
    client: LeadConnector = await connect(sandbox, token=app)
    await log_in(app, sandbox, LOCATION)
    await clock.sleep(DAY)
    waiter = asyncio.create_task(client.contacts.upsert(PERSON))
    await until(lambda: app._tasks._tasks)
    waiter.cancel()
    sandbox.fail_next("reset-after")  # and its answer is lost on top
    await client.close()
    assert await newest_pair(app, LOCATION) == sandbox.oauth.newest_pair(LOCATION)
    assert sandbox.oauth.refreshes == 1


STEPS = range(60)


@pytest.mark.parametrize("kind", [None, "reset-after", "500", "empty-200"])
@pytest.mark.parametrize("location_id", [LOCATION, None])
async def test_a_renewal_that_is_killed_at_any_step_loses_no_pair(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, kind: str | None, location_id: str | None
) -> None:
    """Cancel the renewal itself after each number of turns of the loop; a new process then goes on."""
    sandbox: Sandbox = await open_sandbox(unlimited=True)
    reached: set[str] = set()
    for step in STEPS:
        store = BrokenStore()  # its saves take a turn
        app = make_app(sandbox, store=store)
        client: LeadConnector = await connect(sandbox, token=app)
        account = await log_in(app, sandbox, location_id)
        await clock.sleep(DAY)
        before = sandbox.oauth.refreshes
        if kind is not None:
            sandbox.fail_next(kind)
        waiter = asyncio.create_task(account.token(LOCATION))
        for _ in range(step):
            await asyncio.sleep(0)
        for task in list(app._tasks._tasks):
            task.cancel()
        result = (await asyncio.gather(waiter, return_exceptions=True))[0]
        assert isinstance(result, str | LeadConnectorError), result
        reached.add(type(result).__name__)
        while sandbox._faults._script:  # it was cancelled before the fault
            sandbox._faults.next()
        await client.close()
        again = make_app(sandbox, store=store)
        client = await connect(sandbox, token=again)
        assert (await client.contacts.upsert({"email": f"p{step}@example.com"})).contact.id
        assert sandbox.oauth.refreshes - before == 1
        assert await newest_pair(again, account.account_id) == sandbox.oauth.newest_pair(account.account_id)
        await client.close()
    assert reached == {"str", "TokenSourceError"}


# ---------------------------------------------------------------------------------------------- no secret is told


async def test_nothing_tells_a_secret(sandbox: Sandbox, app: OAuthApp, lc: LeadConnector) -> None:
    account = await log_in(app, sandbox, LOCATION)
    grant = await app.logins.load(LOCATION)
    secrets = [grant.access_token, grant.refresh_token, sandbox.oauth.client_secret]
    texts = [repr(each) for each in (app, account, grant, app.client, app.logins, lc, await account.info())]
    texts.append(repr(await account.info()))
    assert not [text for text in texts for secret in secrets if secret in text]


async def test_a_refused_login_can_be_pickled_and_a_request_shows_no_secret(
    sandbox: Sandbox, app: OAuthApp, lc: LeadConnector
) -> None:
    await log_in(app, sandbox, LOCATION)
    grant = await app.logins.load(LOCATION)
    error = read_refusal(read_error(Response(400, {}, b'{"error":"invalid_grant"}')), is_code=False, account_id="A")
    assert isinstance(error, LoginRequiredError)
    assert pickle.loads(pickle.dumps(error)).account_id == "A"
    assert grant.refresh_token not in repr(build_refresh(app.client, grant, "v3"))
