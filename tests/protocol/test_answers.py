"""What an answer means: errors in all their shapes, and those that say nothing."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from leadconnector_async import AuthenticationError, PermissionDeniedError
from leadconnector_async.protocol.answers import Response, read_error

SILENT: list[bytes] = [
    b"",
    b" \r\n",
    b"{}",
    b" {} ",
    b"[]",
    b"[{}]",
    b"null",
    b'""',
    b'" "',
    b"true",
    b"{",
    b"<html></html>",
    b"<html><head><title>Oh</title></head><body> </body></html>",
    b'{"message":""}',
    b'{"message":null}',
    b'{"message":[]}',
    b'{"message":{}}',
    b'{"message":["", null]}',
    b'{"error":{}}',
    b'{"traceId":"abc"}',
    b"\xef\xbb\xbf",
    b"\xe2\x80\x8b",
]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("body", SILENT)
def test_an_answer_that_says_nothing_shows_the_reason_phrase(status: int, body: bytes) -> None:
    error = read_error(Response(status, {}, body))
    assert str(error) == f"{status}: {HTTPStatus(status).phrase}"


@pytest.mark.parametrize("status", [400, 401, 404, 502])
@pytest.mark.parametrize(
    "shape",
    ["{0}", "{0} {1}", "<h1>{0} {1}</h1>", '{{"message":{0}}}', '{{"message":"{0}: {1}"}}', '{{"error":"{0}"}}'],
)
def test_a_status_that_is_repeated_is_shown_once(status: int, shape: str) -> None:
    phrase = HTTPStatus(status).phrase
    error = read_error(Response(status, {}, shape.format(status, phrase).encode()))
    assert str(error) == f"{status}: {phrase}"


def test_a_number_that_is_not_the_status_stays() -> None:
    assert str(read_error(Response(404, {}, b'{"message":"4041 is no id"}'))) == "404: 4041 is no id"
    assert str(read_error(Response(404, {}, b'{"message":"code 404"}'))) == "404: code 404"


@pytest.mark.parametrize(
    "body", [b'"email is wrong"', b'["email is wrong"]', b"email is wrong", b"<p>email is wrong</p>"]
)
def test_what_is_no_object_is_shown_without_its_marks(body: bytes) -> None:
    assert str(read_error(Response(400, {}, body))) == "400: email is wrong"


@pytest.mark.parametrize("body", SILENT)
def test_a_401_without_words_may_be_the_token(body: bytes) -> None:
    assert isinstance(read_error(Response(401, {}, body)), AuthenticationError)


def test_a_401_with_other_words_is_not_the_token() -> None:
    error = read_error(Response(401, {}, b'{"message":"E01 - Unauthorized request"}'))
    assert isinstance(error, PermissionDeniedError)
