"""Answers that are slow, cut, huge or nonsense: what the sandbox applied is told truly all the same."""

from __future__ import annotations

import asyncio
import gzip
import re
import tracemalloc
import zlib
from typing import Any

import msgspec
import pytest

from leadconnector_async import RetryPolicy, Timeouts
from tests.drills.conftest import Drill, StartDrill, people
from tests.drills.middleman import Spoil, body_of, build_answer, closing

QUICK = RetryPolicy(max_attempts=3, first_delay=0.1)
ONCE = RetryPolicy(max_attempts=1)
CAP = 8 * 1024 * 1024


def replying(answer: bytes) -> Spoil:
    async def spoil(_answer: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return spoil


# ---------------------------------------------------------------------------------------------- slow


@pytest.mark.parametrize("part", ["head", "body"])
async def test_an_answer_that_trickles_times_out_and_is_asked_for_again(start_drill: StartDrill, part: str) -> None:
    async def trickle(answer: bytes, writer: asyncio.StreamWriter) -> None:
        at_once = answer.index(b"\r\n\r\n") + 4 if part == "body" else 1
        writer.write(answer[:at_once])
        for byte in answer[at_once:]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)

    drill = await start_drill(spoil=trickle, client={"retry": QUICK, "timeouts": Timeouts(total=0.2)})
    report = await asyncio.wait_for(drill.load(people(20)), 30)
    assert report.created == 20  # by dateAdded
    assert report.retries >= 20  # on a busy machine other answers may come late as well


async def test_an_endless_row_of_interim_answers_times_out(start_drill: StartDrill) -> None:
    async def put_off(_answer: bytes, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n" * 10)
            await writer.drain()
            await asyncio.sleep(0.01)

    drill = await start_drill(spoil=put_off, client={"retry": QUICK, "timeouts": Timeouts(total=0.2)})
    report = await asyncio.wait_for(drill.load(people(5)), 30)
    assert report.created == 5
    assert report.retries >= 5


# ---------------------------------------------------------------------------------------------- cut


class Cut:
    """Cuts each answer one byte later than the one before."""

    def __init__(self, framing: str) -> None:
        self.framing = framing
        self.shown = 0
        self.is_whole = False

    async def __call__(self, answer: bytes, writer: asyncio.StreamWriter) -> None:
        # The head of a cut answer is read and believed, so its date is the sandbox's own.
        date = re.search(rb"(?m)^Date: .+GMT", answer)
        assert date is not None
        answer = build_answer(body_of(answer), date[0].decode(), framing=self.framing)
        self.is_whole = self.shown >= len(answer)
        writer.write(answer[: self.shown])
        self.shown += 1
        await writer.drain()


@pytest.mark.parametrize(
    "framing", ["length", *(pytest.param(framing, marks=pytest.mark.slow) for framing in ("chunked", "close"))]
)
async def test_an_answer_cut_after_any_of_its_bytes(start_drill: StartDrill, framing: str) -> None:
    cut = Cut(framing)
    drill = await start_drill(spoil=cut, unlimited=True, client={"rate_limit": None, "retry": QUICK})
    report = await drill.load(people(1100))
    assert cut.is_whole, "there are answers with more bytes than rows"
    assert report.created == 1100
    assert report.retries >= 500


# ---------------------------------------------------------------------------------------------- huge


async def load_one_and_measure(drill: Drill) -> int:
    """Load one row whose first answer is refused, and return the peak of the memory that took, in bytes."""
    tracemalloc.start()
    try:
        report = await drill.load(people(1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report.created, report.retries) == (1, 1)
    return peak


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_50_megabytes_are_refused_in_bounded_memory(start_drill: StartDrill, framing: str) -> None:
    mebibyte = b" " * 2**20
    sent = 0

    async def flood(_answer: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = build_answer(b"", framing=framing).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        writer.write(head.replace(b"Content-Length: 0", b"Content-Length: %d" % (50 * 2**20)))
        for _ in range(50):
            writer.write(b"%x\r\n%s\r\n" % (len(mebibyte), mebibyte) if framing == "chunked" else mebibyte)
            await writer.drain()
            sent += 1

    drill = await start_drill(spoil=flood, client={"retry": QUICK})
    assert await load_one_and_measure(drill) < 2 * CAP
    assert sent < 20, "it reads no further than it must"


def bomb(encoding: str, megabytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[encoding])
    mebibyte = bytes(2**20)
    return b"".join(packer.compress(mebibyte) for _ in range(megabytes)) + packer.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_refused_in_bounded_memory(start_drill: StartDrill, encoding: str) -> None:
    answer = build_answer(bomb(encoding, 64), f"Content-Encoding: {encoding}")
    assert len(answer) < 2**18
    drill = await start_drill(spoil=replying(answer), client={"retry": QUICK})
    assert await load_one_and_measure(drill) < 2 * CAP


async def pad(answer: bytes, writer: asyncio.StreamWriter) -> None:
    """Send the answer with its own status, and more body than anybody reads."""
    head, _, body = closing(answer).partition(b"\r\n\r\n")
    head = re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % (len(body) + CAP), head)
    writer.write(head + b"\r\n\r\n" + body + b" " * CAP)
    await writer.drain()


async def cut_short(answer: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(closing(answer)[:-20])
    await writer.drain()


def errors_alone(spoil: Spoil) -> Spoil:
    """Spoil errors, and hand on what succeeds: which row meets which is a matter of time."""

    async def spoil_errors(answer: bytes, writer: asyncio.StreamWriter) -> None:
        if answer.startswith(b"HTTP/1.1 2"):
            writer.write(closing(answer))
            await writer.drain()
        else:
            await spoil(answer, writer)

    return spoil_errors


@pytest.mark.parametrize("spoil", [pad, cut_short])
async def test_a_429_is_one_whatever_comes_with_it(start_drill: StartDrill, spoil: Spoil) -> None:
    drill = await start_drill(spoil=errors_alone(spoil), client={"retry": ONCE})
    drill.sandbox.fail_next("429", times=5)
    report = await drill.load([{**row, "createNewIfDuplicateAllowed": True} for row in people(5)])
    assert (report.created, report.rate_limited) == (5, 5)


@pytest.mark.parametrize("kind", ["500", "502-html", "502-after", "401-timeout"])
async def test_an_error_with_too_long_a_page_is_the_same_error(start_drill: StartDrill, kind: str) -> None:
    drill = await start_drill(spoil=errors_alone(pad), client={"retry": QUICK})
    drill.sandbox.fail_next(kind, times=3)
    report = await drill.load(people(3))
    assert (report.created, report.retries) == (3, 3)


# ---------------------------------------------------------------------------------------------- nonsense

NO_ANSWERS: dict[str, bytes] = {
    "a list": b"[]",
    "a list of answers": b'[{"new":true,"contact":{"id":"x"}}]',
    "a text": b'"created"',
    "a number": b"200",
    "null": b"null",
    "true": b"true",
    "nothing in it": b"{}",
    "contact is null": b'{"new":true,"contact":null}',
    "contact is a text": b'{"new":true,"contact":"x"}',
    "contact is a list": b'{"new":true,"contact":["x"]}',
    "contact without id": b'{"new":true,"contact":{"email":"a@example.com"}}',
    "id is a number": b'{"new":true,"contact":{"id":7}}',
    "id is null": b'{"new":true,"contact":{"id":null}}',
    "id is empty": b'{"new":true,"contact":{"id":""}}',
    "id is blank": b'{"new":true,"contact":{"id":" "}}',
    "id is an object": b'{"new":true,"contact":{"id":{}}}',
    "new is a text": b'{"new":"true","contact":{"id":"x"}}',
    "new is a number": b'{"new":1,"contact":{"id":"x"}}',
    "new is missing": b'{"contact":{"id":"x"}}',
    "an error": b'{"statusCode":500,"message":"Internal server error"}',
    "two values": b'{"new":true,"contact":{"id":"x"}}{}',
    "not UTF-8": b'{"new":true,"contact":{"id":"\xff\xfe"}}',
    "not UTF-8 in a name": b'{"new":true,"contact":{"id":"x","firstName":"\xc3\x28"}}',
    "UTF-16": '{"new":true,"contact":{"id":"x"}}'.encode("utf-16"),
    "a control character": b'{"new":true,"contact":{"id":"x\n"}}',
    "deep": b'{"new":true,"contact":' + b"[" * 100_000,
    "deep within": b'{"new":true,"contact":{"id":"x","customFields":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
    "NaN": b'{"new":true,"contact":{"id":NaN}}',
    "white space": b" \r\n\t ",
    "a byte order mark alone": b"\xef\xbb\xbf",
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_a_body_that_is_no_answer_is_no_success(start_drill: StartDrill, body: bytes) -> None:
    drill = await start_drill(spoil=replying(build_answer(body)), client={"retry": QUICK})
    report = await drill.load(people(3))
    assert (report.created, report.retries) == (3, 3)


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_a_body_that_is_no_answer_leaves_doubt_where_that_is_not_tried_again(
    start_drill: StartDrill, body: bytes
) -> None:
    drill = await start_drill(spoil=replying(build_answer(body)), client={"retry": ONCE})
    rows = [{**people(1)[0], "createNewIfDuplicateAllowed": True}, *people(3)[1:]]
    report = await drill.load(rows)
    assert [outcome.status for outcome in report.outcomes] == ["unknown", "created", "created"]
    assert all(outcome.note for outcome in report.outcomes)
    assert [outcome.inferred for outcome in report.outcomes] == [False, True, True]


NO_HTTP: dict[str, bytes] = {
    "nothing": b"",
    "another protocol": b"220 smtp.example.com ESMTP\r\n\r\n",
    "no such status": b"HTTP/1.1 9999 What\r\nContent-Length: 0\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "a length below 0": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "not gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "gzip that is cut": build_answer(
        gzip.compress(b'{"new":true,"contact":{"id":"x"}}')[:-16], "Content-Encoding: gzip"
    ),
    "an unknown encoding": build_answer(b"{}", "Content-Encoding: rot13"),
    "an encoding not asked for": build_answer(b"\x8b\x00\x80\x03", "Content-Encoding: br"),
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500_000,
    "another protocol from here on": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x01",
    "nothing to say": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "partial": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", NO_HTTP.values(), ids=NO_HTTP)
async def test_bytes_that_are_no_answer(start_drill: StartDrill, answer: bytes) -> None:
    drill = await start_drill(
        spoil=replying(answer), client={"retry": QUICK, "timeouts": Timeouts(total=2)}, allow_duplicates=True
    )
    rows = [*people(2), {**people(3)[2], "createNewIfDuplicateAllowed": True}]
    report = await drill.load(rows)
    assert report.unknown == 1
    # What is not even of the kind of a success is not asked for again.
    assert (report.created, report.failed) == ((0, 2) if answer[9:12] in (b"101", b"304") else (2, 0))


@pytest.mark.parametrize(
    "strange",
    [
        '"tags": "vip"',
        '"dnd": "maybe"',
        '"customFields": {"a": 1}',
        '"customFields": [null, 7, {"id": 3}]',
        '"dndSettings": [1]',
        '"dateAdded": 1790000000',
        '"dateAdded": "yesterday"',
        '"firstName": {"first": "P0"}',
        '"attributionSource": "none"',
        '"birthDay": 99999999999999999999999999',
    ],
)
async def test_a_value_of_another_kind_fails_no_row(start_drill: StartDrill, strange: str) -> None:
    name = strange.split('"')[1]

    async def respell(answer: bytes, writer: asyncio.StreamWriter) -> None:
        value: Any = msgspec.json.decode(body_of(answer))
        value["contact"].pop(name, None)
        body = msgspec.json.encode(value).replace(b'"contact":{', f'"contact":{{{strange},'.encode())
        writer.write(build_answer(body))
        await writer.drain()

    drill = await start_drill(spoil=respell)
    report = await drill.load(people(3))
    assert (report.created, report.retries) == (3, 0)
