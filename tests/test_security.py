"""A token is nowhere to be seen: not in logs, reprs, tracebacks, reports or result files of runs that fail."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leadconnector_async import BatchReport, LeadConnector, LeadConnectorError, RetryPolicy, Timeouts
from leadconnector_async.sandbox import FAULT_KINDS, Sandbox
from tests.test_groups import DELETES, NEVER_REPEATED, REPEATABLE, Calling

TOKEN = "pit-5e0f7a31-very-secret"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it was raised from, or while."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def told(error: BaseException) -> str:
    """All that an error says of itself, anywhere."""
    parts = ["".join(traceback.format_exception(error))]
    for one in chain(error):
        parts += [repr(one), str(one), repr(one.args), repr(vars(one))]
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
async def test_no_report_or_log_carries_the_token(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    retry = RetryPolicy(max_attempts=2, first_delay=0.01, max_retry_after=0)
    report = BatchReport()
    async with (
        Sandbox(token=TOKEN, faults={kind: 1}, unlimited=True) as sandbox,
        LeadConnector(TOKEN, base_url=sandbox.url, location_id="L", retry=retry) as client,
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
