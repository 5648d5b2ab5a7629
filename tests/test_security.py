"""A token is nowhere to be seen: not in logs, reprs, tracebacks, reports or result files of runs that fail."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import logging
import pickle
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import (
    BatchReport,
    LeadConnector,
    LeadConnectorError,
    MemoryTokenStore,
    OAuthApp,
    Outcome,
    RetryPolicy,
    RowError,
    Timeouts,
)
from leadconnector_async.protocol.answers import Response, clean_text
from leadconnector_async.protocol.redaction import MASK, Redactor
from leadconnector_async.sandbox import FAULT_KINDS, Sandbox
from leadconnector_async.webhooks import VENDOR_RSA, WebhookKeys, verify_webhook
from tests.contacts.test_group import DELETES, NEVER_REPEATED, REPEATABLE, Calling
from tests.echo import ONLY_IN_ERRORS, SHAPES, SPELLINGS, TORN, Echo, echoing, find_leaks
from tests.fake_clock import FakeClock
from tests.scripted import answering as answering_json

TOKEN = "pit-5e0f7a31-very-secret"
PIT = "pit-5e0f7a31-90c4-4b1f-8e6d-27f3ab51c0d9"
JWT = ".".join(  # as long as those of the service
    base64.urlsafe_b64encode(hashlib.shake_256(part).digest(size)).decode().rstrip("=")
    for part, size in ((b"header", 27), (b"claims", 500), (b"signature", 256))
)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it was raised from, or while."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def told(error: BaseException) -> str:
    """All that an error says of itself, anywhere."""
    parts = ["".join(traceback.format_exception(error))]
    for one in chain(error):
        parts += [repr(one), str(one), repr(one.args), repr(vars(one)), *map(str, one.args)]
        if isinstance(one, LeadConnectorError):
            parts.append(pickle.dumps(one).decode("latin-1"))
    return "\n".join(parts)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    return serve


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"220 smtp.example.com\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 401 No\r\nContent-Length: 25\r\n\r\n{"message":"Invalid JWT"}',
    ],
)
async def test_no_error_carries_the_token(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = await asyncio.start_server(answering(data), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    retry, timeouts = RetryPolicy(max_attempts=2, first_delay=0.01), Timeouts(total=2)
    async with LeadConnector(TOKEN, base_url=url, location_id="L", retry=retry, timeouts=timeouts) as client:
        with pytest.raises(LeadConnectorError) as caught:
            await client.contacts.upsert({"email": "a@example.com"})
        assert TOKEN not in repr(client)
    assert TOKEN not in told(caught.value)
    assert TOKEN not in caplog.text
    server.close()


@pytest.mark.parametrize("kind", sorted(FAULT_KINDS.keys() - {"hang"}))
async def test_no_report_or_log_carries_the_token(
    kind: str, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clocks: dict[str, Any] = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    retry = RetryPolicy(max_attempts=2, first_delay=0.01, max_retry_after=0)
    report = BatchReport()
    async with (
        Sandbox(token=TOKEN, faults={kind: 1}, unlimited=True, data=tmp_path / "sandbox.sqlite3", **clocks) as sandbox,
        LeadConnector(TOKEN, base_url=sandbox.url, location_id="L", retry=retry, clock=clock) as client,
    ):
        load: Any = client.contacts.bulk_upsert(
            [{"email": "a@example.com"}], report=report, journal=tmp_path / "journal.sqlite3"
        )
        if kind == "429":  # it would be tried for minutes
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(load, 0.2)
        else:
            await load
    report.to_csv(tmp_path / "outcomes.csv")
    texts = [report.to_json(), repr(report.outcomes), caplog.text]
    texts += [path.read_text(errors="replace") for path in tmp_path.iterdir()]  # noqa: ASYNC240
    assert len(texts) >= 5
    assert all(TOKEN not in text for text in texts)
    assert report.total == 1
    gc.collect()


@pytest.mark.parametrize("header", ["x-ghl-signature", "x-wh-signature"])
def test_no_refused_delivery_shows_a_key_a_signature_or_what_it_says(
    header: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = base64.b64encode(TOKEN.encode()).decode()
    frame = f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"  # given by mistake
    body = msgspec.json.encode({"email": TOKEN})
    for keys in (
        WebhookKeys(rsa=(VENDOR_RSA,)),
        *(WebhookKeys(ed25519=(key,), rsa=(key,)) for key in (secret, frame, TOKEN)),
    ):
        for signature in (secret, TOKEN):
            with pytest.raises(LeadConnectorError) as caught:
                verify_webhook(body, {header: signature}, keys=keys)
            text = told(caught.value) + caplog.text
            assert TOKEN not in text
            assert secret not in text


@pytest.mark.parametrize(("name", "calling"), (REPEATABLE | DELETES | NEVER_REPEATED).items())
async def test_no_operation_tells_the_token_or_whom_it_looked_for(
    name: str, calling: Calling, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    retry = RetryPolicy(max_attempts=2, first_delay=0.01)
    async with (
        Sandbox(token=TOKEN, unlimited=True) as sandbox,
        LeadConnector(TOKEN, base_url=sandbox.url, location_id="L", retry=retry) as client,
        LeadConnector(TOKEN + "-wrong", base_url=sandbox.url, location_id="L", retry=retry) as stranger,
    ):
        for caller, kind in ((client, "502-html"), (client, "cut-body"), (stranger, None)):
            sandbox.fail_next(kind, times=2)
            with pytest.raises(LeadConnectorError) as caught:
                await calling(caller, "x")
            assert TOKEN not in told(caught.value)
    assert TOKEN not in caplog.text
    assert "rosan" not in caplog.text
    gc.collect()


CLIENT_SECRET = "app-9c2d-very-secret"


@pytest.mark.parametrize("kind", [None, *sorted(FAULT_KINDS.keys() - {"hang", "429", "429-retry-after"})])
@pytest.mark.parametrize("location_id", ["L", None])
async def test_no_login_tells_its_secrets(
    kind: str | None, location_id: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: FakeClock
) -> None:
    """Through a login, a renewal that fails, and a login that is revoked."""
    caplog.set_level(logging.DEBUG)
    retry = RetryPolicy(max_attempts=2, first_delay=0.01)
    errors: list[BaseException] = []
    clocks: dict[str, Any] = {"monotonic": clock.monotonic, "wall": clock.time, "sleep": clock.sleep}
    async with Sandbox(unlimited=True, **clocks) as sandbox:
        oauth = sandbox.oauth
        oauth.client_secret = CLIENT_SECRET
        app = OAuthApp(oauth.client_id, CLIENT_SECRET, redirect_uri="https://example.com/")
        async with LeadConnector(app, base_url=sandbox.url, location_id="L", retry=retry, clock=clock) as client:
            code = oauth.new_code(location_id)
            account = await app.exchange(code, without_state=True)
            pair = oauth.newest_pair(account.account_id)
            assert pair is not None
            secrets = {CLIENT_SECRET, code, *pair, await account.token("L")}

            async def fail(calling: Callable[[], Awaitable[Any]]) -> None:
                with pytest.raises(LeadConnectorError) as caught:
                    await calling()
                errors.append(caught.value)

            oauth.expire_tokens()
            if kind is not None:
                sandbox.fail_next(kind, times=8)
                await fail(lambda: client.contacts.upsert({"email": "a@example.com"}))
                await fail(lambda: app.exchange(code, without_state=True))
            for _ in range(8):
                sandbox.fail_next(None)
            oauth.revoke(account.account_id)
            oauth.expire_tokens()
            await fail(lambda: client.contacts.upsert({"email": "a@example.com"}))
            await fail(lambda: app.exchange(code, without_state=True))
            texts = [caplog.text, *map(told, errors), *map(repr, (app, account, client, app.client, app.logins))]
            texts.append(repr(await app.accounts()))
    assert [(text, secret) for text in texts for secret in secrets if secret in text] == []
    gc.collect()


# ---------------------------------------------------------------------------------------------- what comes back

ONCE = RetryPolicy(max_attempts=1, max_retry_after=0, max_rate_limited=0)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with echoing() as server:
        yield server


@pytest.mark.parametrize("token", [PIT, JWT], ids=["pit", "jwt"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_no_answer_repeats_the_token(
    shape: str, token: str, echo: Echo, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not a piece of it, in whatever spelling, and wherever a text that is too long is cut."""
    caplog.set_level(logging.DEBUG)
    found = []
    echo.say = SHAPES[shape]
    left_out = {*TORN.get(shape, ()), *(ONLY_IN_ERRORS if shape[:3] == "200" else ())}
    spellings = {name: spell for name, spell in SPELLINGS.items() if name not in left_out}
    async with LeadConnector(token, base_url=echo.url, location_id="L", retry=ONCE, clock=clock) as client:
        for name, spell in spellings.items():
            echo.spell = spell
            try:
                text = repr(await client.contacts.upsert({"email": "a@example.com"}))
            except LeadConnectorError as error:
                text = told(error)
            found += [(name, piece) for piece in find_leaks(text, token)]
    assert {name for name, _ in found} == set()
    assert find_leaks(caplog.text, token) == []
    assert echo.requests == len(spellings)


@pytest.mark.parametrize(("name", "calling"), (REPEATABLE | DELETES | NEVER_REPEATED).items())
async def test_no_operation_repeats_the_token(name: str, calling: Calling, echo: Echo, clock: FakeClock) -> None:
    async with LeadConnector(JWT, base_url=echo.url, location_id="L", retry=ONCE, clock=clock) as client:
        for shape, say in SHAPES.items():
            echo.say = say
            try:
                text = repr(await calling(client, "x"))
            except LeadConnectorError as error:
                text = told(error)
            assert (shape, find_leaks(text, JWT)) == (shape, [])
    assert echo.requests >= len(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_load_keeps_a_token_that_was_repeated(
    shape: str, echo: Echo, clock: FakeClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo.say = SHAPES[shape]
    rows = [{"email": f"{number}@example.com"} for number in range(4)]
    told_outcomes: list[str] = []
    async with LeadConnector(PIT, base_url=echo.url, location_id="L", retry=ONCE, clock=clock) as client:
        report = BatchReport()
        try:
            await client.contacts.bulk_upsert(
                rows,
                report=report,
                journal=tmp_path / "journal.sqlite3",
                on_outcome=lambda outcome: told_outcomes.append(repr(outcome)),
            )
        except LeadConnectorError as error:
            told_outcomes.append(told(error))
    report.to_csv(tmp_path / "outcomes.csv")
    report.to_json(tmp_path / "report.json")
    assert report.total == len(rows)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}  # noqa: ASYNC240
    assert {"journal.sqlite3", "outcomes.csv", "report.json"} <= files.keys()
    assert {name: found for name, data in files.items() if (found := find_leaks(data, PIT))} == {}
    assert find_leaks("\n".join([repr(report.outcomes), *told_outcomes, caplog.text]), PIT) == []


PAIR = {"userType": "Location", "locationId": "L", "companyId": "C", "token_type": "Bearer", "expires_in": 86_399}
APP_SECRET = "8e0b1f52-6d3c-49aa-b5a7-10c94f7e2d68"
CODE = "c0de51b7e9a24f6db38c7a10e59f64d2b1c3a7f0"
REFRESH_TOKEN = JWT[::-1]
EVERY_SECRET = (PIT, APP_SECRET, CODE, REFRESH_TOKEN)


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_no_login_repeats_what_it_was_sent(
    shape: str, version: str, echo: Echo, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Code, client secret, refresh token and access token, of a login that fails, and of one that is renewed."""
    caplog.set_level(logging.DEBUG)
    echo.say = SHAPES[shape]
    app = OAuthApp("64f1-app", APP_SECRET, redirect_uri="https://example.com/", store=MemoryTokenStore())
    options: dict[str, Any] = {"base_url": echo.url, "location_id": "L", "api_version": version}
    async with LeadConnector(app, retry=ONCE, clock=clock, **options) as client:

        async def fail(calling: Callable[[], Awaitable[object]]) -> None:
            texts.append("")
            try:
                texts[-1] = repr(await calling())
            except LeadConnectorError as error:
                texts[-1] = told(error)

        texts: list[str] = []
        for name in ("as-sent", "base64", "after-460-characters", *(["cut-after-90"] if shape[:3] != "200" else [])):
            echo.spell = SPELLINGS[name]
            await fail(lambda: app.exchange(CODE, without_state=True))
            echo.good = [("/oauth/token", {**PAIR, "access_token": PIT, "refresh_token": REFRESH_TOKEN})]
            account = await app.exchange(CODE, without_state=True)
            await fail(lambda: client.contacts.upsert({"email": "a@example.com"}))
            await clock.sleep(86_400)
            await fail(lambda: client.contacts.upsert({"email": "a@example.com"}))
            texts.append(repr(await account.info()))
    assert [(number, find_leaks(text, *EVERY_SECRET)) for number, text in enumerate(texts)] == [
        (number, []) for number in range(len(texts))
    ]
    assert find_leaks(caplog.text, *EVERY_SECRET) == []


async def test_a_refresh_token_that_stays_the_same_is_kept(echo: Echo, clock: FakeClock) -> None:
    """A service may repeat it in its answer on purpose; and a new token may begin as the old one did."""
    app = OAuthApp("64f1-app", APP_SECRET, redirect_uri="https://example.com/")
    async with LeadConnector(app, base_url=echo.url, location_id="L", clock=clock) as client:
        fields = {**PAIR, "refresh_token": REFRESH_TOKEN, "scope": f"contacts.write {APP_SECRET}"}
        echo.good = [("/oauth/token", {**fields, "access_token": JWT + "0"})]
        account = await app.exchange(CODE, without_state=True)
        assert (await account.info()).scopes == ("contacts.write", MASK)
        for number in range(1, 4):
            await clock.sleep(86_400)
            echo.good = [("/oauth/token", {**fields, "access_token": f"{JWT}{number}"})]
            assert await account.token("L") == f"{JWT}{number}"
        assert client.location_id == "L"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # aiohttp is to rename them
@pytest.mark.parametrize("way", ["proxy", "proxy_auth", "headers"])
async def test_no_proxy_repeats_what_a_session_logs_in_with(way: str, echo: Echo) -> None:
    echo.say = SHAPES["page"]
    with_login = echo.url.replace("//", f"//user:{TOKEN}@")
    options: dict[str, Any] = {
        "proxy": {"proxy": with_login},
        "proxy_auth": {"proxy": echo.url, "proxy_auth": aiohttp.BasicAuth("user", TOKEN)},
        "headers": {"headers": {"Proxy-Authorization": f"Bearer {TOKEN}"}},
    }[way]
    base_url = echo.url if way == "headers" else "http://127.0.0.1:9"
    async with (
        aiohttp.ClientSession(**options) as session,
        LeadConnector(PIT, base_url=base_url, location_id="L", retry=ONCE, session=session) as client,
    ):
        for spell in SPELLINGS.values():
            echo.spell = spell
            with pytest.raises(LeadConnectorError) as caught:
                await client.contacts.upsert({"email": "a@example.com"})
            assert find_leaks(told(caught.value), PIT, TOKEN) == []
    assert echo.requests == len(SPELLINGS)


@pytest.mark.parametrize("status", [200, 422])
@given(data=st.data())
def test_a_secret_is_replaced_and_all_else_kept(status: int, data: st.DataObject) -> None:
    secret = data.draw(st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~+/=", min_size=12, max_size=80))
    before, after = (data.draw(st.text('Жß€😀 "\\%&#;<>\n', max_size=40)) for _ in range(2))
    body = msgspec.json.encode({"message": f"{before}<{secret}>{after}"})
    clean = Redactor(secret).clean(Response(status, {}, body))
    message = msgspec.json.decode(clean.body)["message"]
    assert message == f"{before}<{MASK}>{after}"


def test_words_are_no_secrets() -> None:
    """A token of a test may be a word of each answer; one of the service never is."""
    body = b'{"message":"this sandbox has no such contact"}'
    assert Redactor("sandbox", "x").clean(Response(404, {}, body)).body == body


def test_a_header_that_all_tokens_share_is_no_secret() -> None:
    """A contact may hold a token of another kind, with the same first part: it is read and exported as it is."""
    header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
    body = msgspec.json.encode({"contact": {"id": "1", "website": f"https://x.example/%41?t={header}.{JWT}"}})
    assert Redactor(f"{header}.{PIT}").clean(Response(200, {}, body)).body == body


@pytest.mark.parametrize("status", [200, 422])
@given(data=st.data())
def test_nothing_that_stands_between_its_characters_hides_a_secret(status: int, data: st.DataObject) -> None:
    between = data.draw(st.lists(st.text("\u00ad\u200b\u2060\x01\n .,;:|\"'{}", max_size=3), min_size=len(PIT)))
    said = "".join(char + gap for char, gap in zip(PIT, between, strict=False))
    clean = Redactor(PIT).clean(Response(status, {}, msgspec.json.encode({"message": [said[:50], said[50:]]})))
    assert find_leaks(clean.body, PIT) == []
    msgspec.json.decode(clean.body)


def test_what_is_shown_has_no_invisible_characters() -> None:
    hidden = "\u00ad\u200b\u200e\u202e\u2066\ufeff\U000e0041"
    assert clean_text("pay" + hidden.join("pal") + "\x00\n!") == "paypal !"


# ---------------------------------------------------------------------------------------------- caps in sum

LONG = "x" * 400
MANY = [f"{number} {LONG}" for number in range(15_000)]
STORED = {"id": "C", "locationId": "L", "email": "a@example.com", "firstName": LONG * 4_000}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (422, {"message": MANY, "error": MANY, "traceId": LONG * 4_000, "canonicalCode": LONG * 4_000}),
        (400, {"message": {"message": MANY}}),
        (400, {"error": [MANY]}),
        (400, {"message": "no", "meta": {"contactId": LONG * 100, "matchingField": LONG * 100}}),
        (400, {"message": {name: name for name in MANY[:100]}}),
        (200, {"new": False, "contact": STORED, "traceId": LONG * 4_000}),
    ],
)
async def test_what_is_kept_of_one_answer_is_bounded(status: int, answer: object, tmp_path: Path) -> None:
    async with (
        answering_json(answer, status=status) as service,
        LeadConnector("pit-x", base_url=service.url, location_id="L", retry=ONCE) as client,
    ):
        person = {"email": "a@example.com", "firstName": "Ann"}
        report = await client.contacts.bulk_upsert([person], journal=tmp_path / "journal.sqlite3")
    report.to_csv(tmp_path / "outcomes.csv")
    kept = [report.to_json(), repr(report.outcomes), (tmp_path / "outcomes.csv").read_text()]
    assert report.total == 1
    assert [len(text) for text in kept if len(text) > 12_000] == []


def test_what_is_kept_of_all_answers_is_bounded() -> None:
    """The service may say something else of each row; all are counted."""
    report = BatchReport(keep_outcomes=False)
    for index in range(15_000):
        error = RowError("ValidationError", 422, f"{index} {LONG * 10}")
        report.add(Outcome(index=index, status="failed", error=error))
        report.add(Outcome(index=index, status="skipped", error=error))
    assert len(report.to_json()) < 10_000_000
    assert len(repr(report.errors)) < 500_000
    assert (sum(one.count for one in report.errors), sum(report.skip_reasons.values())) == (15_000, 15_000)


@pytest.mark.parametrize("kind", ["502-html", "reset-before", "cut-body", None])
async def test_no_local_of_ours_shows_the_token(kind: str | None) -> None:
    """Reports of errors show the locals of each frame."""
    retry = RetryPolicy(max_attempts=1)
    async with Sandbox(token=TOKEN, unlimited=True) as sandbox:
        token = TOKEN if kind else TOKEN + "-wrong"
        async with LeadConnector(token, base_url=sandbox.url, location_id="L", retry=retry) as client:
            sandbox.fail_next(kind)
            with pytest.raises(LeadConnectorError) as caught:
                await client.contacts.upsert({"email": "a@example.com"})
    for error in chain(caught.value):
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "leadconnector_async" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                assert TOKEN not in repr(frame.f_locals)
