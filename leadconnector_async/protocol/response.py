"""What an answer means: a value of the call, or one of our exceptions."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import msgspec

from ..answers import Response, clean_text, read_error
from ..errors import InvalidResponseError
from .request import Request, T

# Escapes of JSON one by one: a pair of surrogates, half of one, any other.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)", re.S
)


def read_response(request: Request[T], response: Response) -> T:
    """Return the value of a call, or raise what its answer means.

    Raises:
        InvalidResponseError: 2xx, but not what the API promises; or a status that is neither success nor error.
        APIError: The API refused, as the class at hand says.
    """
    status = response.status
    if status >= HTTPStatus.BAD_REQUEST:
        raise read_error(response)
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise InvalidResponseError(
            f"the service answered {status}, which no call of this API should get", status=status
        )
    try:
        return request.read(response.body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        mended = _mend_characters(response.body)
        if mended != response.body:
            return read_response(request, Response(status, response.headers, mended))
        kind = (
            "an empty body" if not response.body.strip() else f"a body that cannot be read ({clean_text(str(error))})"
        )
        raise InvalidResponseError(f"the service answered {status} with {kind}", status=status) from None


def _mend_characters(body: bytes) -> bytes:
    """Put a replacement character in the place of half an emoji: one contact's must not spoil a page of others."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
