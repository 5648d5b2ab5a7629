"""What an answer says: the service's many shapes of error as exceptions of ours, and its headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    DuplicateContactError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    ValidationError,
)


class Response(Struct, frozen=True, gc=False):
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_CREDENTIAL = re.compile(
    r"\bjwt\b|invalid (private integration |access )?token|token (is|has been|was|has) (invalid|expired|revoked)", re.I
)
_TIMED_OUT = "command timed out"
_NOT_FOUND = re.compile(r"(contact|note|task|custom ?field|location).{0,40}not found|not found for id", re.I)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_TAG = re.compile(r"<(style|script|title)\b.*?</\1>|<[^>]*>", re.I | re.S)
_MAX_MESSAGE_CHARS = 500


def read_error(response: Response) -> APIError:
    """Say what an answer of 400 or more means. The HTTP status decides; the body's own is not believed."""
    fields = _error_fields(response.body)
    status = response.status
    messages = _messages(fields, response)
    error = _error_class(status, " ".join(messages), fields)(
        status,
        messages,
        trace_id=_text(fields.get("traceId")),
        code=_text(fields.get("canonicalCode") or fields.get("error")),
    )
    if isinstance(error, DuplicateContactError):
        error.contact_id = str(fields["meta"]["contactId"])
        error.matching_field = _text(fields["meta"].get("matchingField"))
    if isinstance(error, RateLimitedError | ServerError):
        error.retry_after = read_retry_after(response.headers)
    if isinstance(error, ServerError):
        error.may_be_applied = True
    return error


def _error_fields(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _messages(fields: Mapping[str, Any], response: Response) -> tuple[str, ...]:
    """Find the sentences in any of the service's shapes of error."""
    found = fields.get("message") or fields.get("error_description") or fields.get("error")
    texts = [clean_text(str(text)) for text in (found if isinstance(found, list) else [found]) if text]
    if not texts and not fields:
        texts = [clean_text(_TAG.sub(" ", response.body[:20_000].decode(errors="replace")))]
    return tuple(text for text in texts if text) or (_reason(response.status),)


def clean_text(text: str) -> str:
    """Make text of unknown origin safe to print on one line: no control characters, no great length."""
    return " ".join(_CONTROL.sub(" ", text).split())[:_MAX_MESSAGE_CHARS]


def _text(value: object) -> str | None:
    return clean_text(value) if isinstance(value, str) and value else None


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


_CLASSES: Final[Mapping[int, type[APIError]]] = {
    403: PermissionDeniedError,
    404: NotFoundError,
    422: ValidationError,
    429: RateLimitedError,
}


def _error_class(status: int, message: str, fields: Mapping[str, Any]) -> type[APIError]:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return ServerError
    if status == HTTPStatus.UNAUTHORIZED:
        return _class_of_401(message)
    if status == HTTPStatus.BAD_REQUEST:
        return _class_of_400(message, fields)
    return _CLASSES.get(status, BadRequestError)


def _class_of_401(message: str) -> type[APIError]:
    """Tell a refused token from the other things that this API answers with 401."""
    if _TIMED_OUT in message.lower():
        return ServerError
    return AuthenticationError if _CREDENTIAL.search(message) else PermissionDeniedError


def _class_of_400(message: str, fields: Mapping[str, Any]) -> type[APIError]:
    meta = fields.get("meta")
    if isinstance(meta, dict) and meta.get("contactId"):
        return DuplicateContactError
    return NotFoundError if _NOT_FOUND.search(message) else BadRequestError


class Quota(Struct, frozen=True, gc=False):
    """What the headers of one answer say of the limits; None where they do not.

    Attributes:
        max_requests: Calls in one window.
        remaining: Calls left in the current one.
        per_seconds: Its length.
        daily_remaining: Calls left of this day.
        daily_reset: Seconds until the next.
    """

    max_requests: int | None
    remaining: int | None
    per_seconds: float | None
    daily_remaining: int | None
    daily_reset: float | None


def read_quota(headers: Mapping[str, str]) -> Quota | None:
    """Read the service's six rate headers, or return None where there are none."""
    get = headers.get
    most, remaining = get("x-ratelimit-max"), get("x-ratelimit-remaining")
    daily_remaining = get("x-ratelimit-daily-remaining")
    if most is None and daily_remaining is None:
        return None
    interval, reset = get("x-ratelimit-interval-milliseconds"), get("x-ratelimit-daily-reset")
    try:
        return Quota(
            int(most) if most else None,
            int(remaining) if remaining else None,
            int(interval) / 1000 if interval else None,
            int(daily_remaining) if daily_remaining else None,
            int(reset) / 1000 if reset else None,
        )
    except ValueError:
        return None  # nonsense tells nothing


def read_date(headers: Mapping[str, str]) -> float | None:
    """The server's own time at its answer, in seconds since 1970 and whole, or None."""
    return _http_date(headers.get("Date", ""))


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the service asks to wait, given as a number or a date; None where absent, past or nonsense."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,15}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    until, now = _http_date(value), read_date(headers)
    return until - now if until is not None and now is not None and until > now else None


def _http_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
