"""A network that leads elsewhere or nowhere, and a server that goes away and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from leadconnector_async import (
    BatchReport,
    ConfigurationError,
    ConnectFailedError,
    LeadConnector,
    OutageError,
    RetryPolicy,
    Timeouts,
)
from leadconnector_async.bulk.pool import Pool
from tests.conftest import OpenSandbox
from tests.drills.conftest import Drill, StartDrill, people, rows_of_all_kinds
from tests.drills.middleman import build_answer
from tests.drills.truth import Row
from tests.fake_clock import FakeClock

QUICK = RetryPolicy(max_attempts=3, first_delay=0.1)
# The fake clock jumps over the waits, so that many of them pass while a server starts.
PATIENT = RetryPolicy(max_attempts=1_000, max_delay=1)


@asynccontextmanager
async def listening(
    answer: bytes | None, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that keeps what it is sent and says one thing to it, or nothing; its address and what it got."""
    heard: list[bytes] = []
    open_ones: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(heard)
        heard.append(b"")
        open_ones.append(writer)
        while data := await reader.read(65_536):
            heard[number] += data
            if answer is not None:
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()
        await server.wait_closed()


# ---------------------------------------------------------------------------------------------- elsewhere


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("is_own_session", [True, False], ids=["own session", "session of the caller's"])
async def test_a_redirect_to_another_host_is_never_followed(
    connect: OpenSandbox, status: str, is_own_session: bool
) -> None:
    rows = [*people(4), {**people(5)[4], "createNewIfDuplicateAllowed": True}]
    async with listening(build_answer(b"{}")) as (elsewhere, heard):
        answer = build_answer(b"", f"Location: {elsewhere}/contacts/upsert", f"Refresh: 0; {elsewhere}", status=status)
        async with listening(answer) as (url, calls), aiohttp.ClientSession() as session:
            client = await connect(url, token="secret", retry=QUICK, session=None if is_own_session else session)
            report = await client.contacts.bulk_upsert(rows)
        assert heard == [], "it was contacted"
    assert b"secret" in calls[0]
    assert [outcome.status for outcome in report.outcomes] == ["failed"] * 4 + ["unknown"]
    assert all(str(outcome.error).startswith(f"the service answered {status[:3]}") for outcome in report.outcomes)
    assert all("may have been applied" in (outcome.note or "") for outcome in report.outcomes)
    assert report.requests == 5


async def test_an_answer_that_nobody_asked_for_is_taken_for_no_rows(start_drill: StartDrill) -> None:
    is_settled, is_answered_again = asyncio.Event(), asyncio.Event()

    async def add_another(answer: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await is_settled.wait()  # by then the connection waits for its next call
        is_settled.clear()
        writer.write(build_answer(b'{"new":true,"contact":{"id":"of somebody else"}}'))
        await writer.drain()
        is_answered_again.set()
        await writer.wait_closed()

    async def slowly(rows: list[Row]) -> AsyncIterator[Row]:
        for number, row in enumerate(rows):
            if number:
                await asyncio.wait_for(is_answered_again.wait(), 10)
                is_answered_again.clear()
                await asyncio.sleep(0.05)  # for the way through the kernel
            yield row

    drill = await start_drill(spoil=add_another, allow_duplicates=True, client={"concurrency": 1, "retry": QUICK})
    rows = [{**row, "createNewIfDuplicateAllowed": True} for row in people(8)]
    report = await drill.client.contacts.bulk_upsert(slowly(rows), on_outcome=lambda _: is_settled.set())
    drill.check(rows, report)
    assert (report.created, report.requests) == (8, 8), "what never left is not counted"


# ---------------------------------------------------------------------------------------------- nowhere


async def test_a_server_that_never_answers_is_given_up_in_time(connect: OpenSandbox) -> None:
    rows = [*people(3), {**people(4)[3], "createNewIfDuplicateAllowed": True}]
    async with listening(None) as (url, calls):
        retry = RetryPolicy(max_attempts=3, first_delay=0.1, max_outage=60.0)
        client = await connect(url, retry=retry, timeouts=Timeouts(total=0.1))
        report = await asyncio.wait_for(client.contacts.bulk_upsert(rows), 100)
    assert (report.failed, report.unknown, type(report.stopped)) == (0, 4, OutageError)
    assert "may have been applied" in (report.outcomes[3].note or "")
    assert all(call.count(b" HTTP/1.1\r\n") == 1 for call in calls), "a connection that timed out is not used again"


async def load_from_nowhere(connect: OpenSandbox, url: str, **options: Any) -> BatchReport:
    """Load a few rows where nobody was ever reached: the load soon stops, and says what to look at."""
    client = await connect(url, **{"retry": QUICK, **options})
    rows = [*people(3), {**people(4)[3], "createNewIfDuplicateAllowed": True}]
    report: BatchReport = await asyncio.wait_for(client.contacts.bulk_upsert(rows), 100)
    assert report.total == 4
    assert report.failed == 0
    assert isinstance(report.stopped, OutageError)
    return report


def assert_nothing_was_sent(report: BatchReport) -> None:
    assert report.not_attempted == 4
    assert all(outcome.note is None for outcome in report.outcomes)
    assert report.requests == 0
    assert "was never reached" in str(report.stopped)
    assert "check the base URL and the network" in str(report.stopped)


async def test_a_name_that_is_not_found_stops_the_load_soon(
    connect: OpenSandbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_nothing(*_arguments: object, **_options: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", find_nothing)
    began = clock.now
    report = await load_from_nowhere(connect, "https://does-not-exist.invalid", retry=RetryPolicy())
    assert_nothing_was_sent(report)
    assert "https://does-not-exist.invalid was never" in str(report.stopped)
    assert 30 <= clock.now - began < 60


@pytest.mark.slow
async def test_a_name_that_this_machine_does_not_find(connect: OpenSandbox) -> None:
    assert_nothing_was_sent(await load_from_nowhere(connect, "https://does-not-exist.invalid"))


async def test_a_port_where_nobody_listens(connect: OpenSandbox, unused_tcp_port: int) -> None:
    assert_nothing_was_sent(await load_from_nowhere(connect, f"http://127.0.0.1:{unused_tcp_port}"))


@pytest.mark.parametrize("is_silent", [True, False])
async def test_a_server_that_speaks_no_tls(connect: OpenSandbox, is_silent: bool) -> None:
    answer = None if is_silent else build_answer(b"", status="400 Bad Request")
    async with listening(answer) as (url, calls):
        report = await load_from_nowhere(connect, url.replace("http:", "https:"), timeouts=Timeouts(connect=0.1))
    assert_nothing_was_sent(report)
    assert not any(b"POST" in call for call in calls), "sent in clear"


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """A server's, with a certificate that nobody else signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "server.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_that_is_refused_stops_all_at_once(
    connect: OpenSandbox, clock: FakeClock, context: ssl.SSLContext, host: str
) -> None:
    async with listening(None, context) as (url, calls):
        client = await connect(url.replace("http://127.0.0.1", f"https://{host}"), retry=RetryPolicy())
        began = clock.now
        report = await client.contacts.bulk_upsert(people(4))
        with pytest.raises(ConnectFailedError) as caught:
            await client.contacts.get("someone")
        deleted = await Pool(client).run(["someone"], client.contacts.delete, location_of=lambda _: "L", concurrency=1)
    assert clock.now == began
    assert (report.not_attempted, report.requests, calls) == (4, 0, [])
    assert caught.value.is_permanent
    for reason in (report.stopped, deleted):
        assert isinstance(reason, OutageError)
        assert f"https://{host}:" in str(reason)
        assert "certificate of" in str(reason)
        assert "SSL_CERT_FILE" in str(reason)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".com", ".com", "x.", "b\u00fc..example"])
def test_a_host_name_that_cannot_be_right_is_refused_before_anything_is_sent(host: str) -> None:
    with contextlib.suppress(ConfigurationError):  # a root label alone at the end is fine
        LeadConnector("pit-x", base_url=f"https://{host}", location_id="L")
        assert host == "x."


async def test_a_resolver_that_never_answers_is_given_up_in_time(
    connect: OpenSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(*_arguments: object, **_options: object) -> list[Any]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", wait)
    report = await load_from_nowhere(
        connect,
        "https://does-not-exist.invalid",
        retry=RetryPolicy(max_attempts=3, first_delay=0.1, max_outage=10.0),
        timeouts=Timeouts(connect=0.1, total=0.1),
    )
    assert report.not_attempted + report.unknown == 4


async def test_connections_that_break_as_they_are_made(start_drill: StartDrill) -> None:
    """What is refused before a byte of it left is retried whatever it is, and is nobody's doubt."""
    drill = await start_drill(allow_duplicates=True, client={"retry": PATIENT})
    await drill.sandbox.stop()
    rows = rows_of_all_kinds(40)
    report = BatchReport()
    load = asyncio.ensure_future(drill.client.contacts.bulk_upsert(rows, report=report))
    await asyncio.sleep(0.005)
    await drill.sandbox.start()
    await load
    drill.check(rows, report)
    assert report.unknown == 0
    assert report.created > 20


# ---------------------------------------------------------------------------------------------- there and back


async def load_while_the_server_restarts(drill: Drill, rows: list[Row], *, times: int, abruptly: bool) -> BatchReport:
    """Stop and start the sandbox each time that some more rows are done."""
    done = asyncio.Semaphore(0)

    async def restart() -> None:
        for _ in range(times):
            for _ in range(15):
                await done.acquire()
            await drill.sandbox.stop(abruptly=abruptly)
            await asyncio.sleep(0.005)  # calls meet a port where nobody listens
            await drill.sandbox.start()

    restarting = asyncio.create_task(restart())
    report = await drill.load(rows, on_outcome=lambda _: done.release())
    assert restarting.done(), "all restarts were within the load"
    await restarting
    return report


@pytest.mark.parametrize(
    "abruptly", [pytest.param(True, id="killed"), pytest.param(False, id="in order", marks=pytest.mark.slow)]
)
async def test_a_server_that_restarts_in_the_midst_of_a_load(start_drill: StartDrill, abruptly: bool) -> None:
    drill = await start_drill(
        latency=(0.01, 0.02),
        allow_duplicates=True,
        unlimited=True,
        client={"concurrency": 16, "rate_limit": None, "retry": PATIENT},
    )
    rows = rows_of_all_kinds(150)
    report = await load_while_the_server_restarts(drill, rows, times=3, abruptly=abruptly)
    assert report.stopped is None
    assert report.retries > 0
    assert report.failed == 15, "only what nobody takes"
    unknown = [rows[outcome.index] for outcome in report.outcomes if outcome.status == "unknown"]
    assert all(row.get("createNewIfDuplicateAllowed") for row in unknown)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_restarts_again_and_again_with_faults_on_top(start_drill: StartDrill, seed: int) -> None:
    drill = await start_drill(
        seed=seed,
        latency=(0.01, 0.2),
        faults={"reset-after": 0.05, "cut-body": 0.05, "500": 0.05, "429": 0.02},
        allow_duplicates=bool(seed % 2),
        client={"concurrency": 32},
    )
    await load_while_the_server_restarts(drill, rows_of_all_kinds(400), times=12, abruptly=True)
