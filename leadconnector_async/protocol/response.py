"""What an answer means: a value of the call, or one of our exceptions."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from ..answers import Response, read_error
from ..errors import InvalidResponseError
from .request import Request, T


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
        kind = "an empty body" if not response.body.strip() else f"a body that cannot be read ({error})"
        raise InvalidResponseError(f"the service answered {status} with {kind}", status=status) from None
