"""Read answers: turn the service's many error shapes into our exceptions, and read its headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    DuplicateContactError,
    InvalidResponseError,
    NotFoundError,
    PermanentDndError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    ValidationError,
)
from .request import Request, T
from .text import one_line


class Response(Struct, frozen=True, gc=False):
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


_CREDENTIAL = re.compile(
    r"\bjwt\b|invalid (private integration |access )?token|token (is|has been|was|has) (invalid|expired|revoked)", re.I
)
_UNAUTHORIZED: Final = HTTPStatus.UNAUTHORIZED.phrase.lower()
_TIMED_OUT = "command timed out"
_PERMANENT_DND = re.compile(r"not authorized to update permanent dnd\b", re.I)
_NOT_FOUND = re.compile(r"(contact|note|task|custom ?field|location).{0,40}not found|not found for id", re.I)
_TAG = re.compile(r"<(/?)([a-z]*+)[^<>]*+>", re.I)
_UNSHOWN_TAGS: Final = ("style", "script", "title")
_MAX_MESSAGE_CHARS = 500
_MOST_MESSAGES: Final = 10  # of one answer; a report keeps those of many
_LONGEST_INTERVAL, _LONGEST_DAY = 3_600.0, 2 * 86_400.0  # of windows, in seconds; above that it is nonsense
_MOST_DIGITS = 15
_ADVICE: Final = (
    ("not authorized for this scope", "add the scope to the private integration, or to the app and log in again"),
    (
        "authclass type is not allowed",
        "it is an agency's token: name the location (location_id) of the call, or use the location's own token",
    ),
    ("user type mismatch", "this call needs a token of the other kind: a location's or an agency's"),
)


def read_error(response: Response) -> APIError:
    """Say what an answer of 400 or more means, or one that says that it did not succeed. The HTTP status decides; the
    body's own is not believed."""
    said = _read_error_body(response.body)
    fields = said if isinstance(said, dict) else {}
    status = response.status
    messages = _messages(said, status)
    error = _error_class(status, " ".join(messages), fields)(
        status,
        messages,
        trace_id=_text(fields.get("traceId")),
        code=_text(fields.get("canonicalCode") or fields.get("error")),
        advice=_advice(messages),
    )
    if isinstance(error, DuplicateContactError):
        error.contact_id = clean_text(str(fields["meta"]["contactId"]))
        error.contact_name = clean_text(str(fields["meta"].get("contactName") or ""))
        error.matching_field = _text(fields["meta"].get("matchingField"))
    if isinstance(error, PermanentDndError):
        error.channels = _channels_named(messages)
    if isinstance(error, RateLimitedError | ServerError):
        error.retry_after = read_retry_after(response.headers)
    if isinstance(error, ServerError):
        error.may_be_applied = True
    return error


def _read_error_body(body: bytes) -> object:
    """Return the JSON that it is, else the text of the page."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        text = _shown_text(body[:20_000].decode(errors="replace"))
        return text if any(map(str.isalnum, text)) else None


def _messages(said: object, status: int) -> tuple[str, ...]:
    """Find the sentences in any of the service's shapes of error; the reason phrase where there are none.

    Proxies answer with `{}` and the like, which says nothing, and repeat the status in their texts.
    """
    found = _sentences_of(said) if isinstance(said, dict) else said
    told = found if isinstance(found, list) else [found]
    texts = [clean_text(str(text)) for text in told[:_MOST_MESSAGES] if _is_said(text)]
    texts = [re.sub(rf"^{status}\b[ :-]*", "", text) for text in texts]
    if len(told) > _MOST_MESSAGES:
        texts.append(f"and {len(told) - _MOST_MESSAGES:,} more")
    return tuple(filter(None, texts)) or (_reason(status),)


def _sentences_of(fields: Mapping[str, Any]) -> object:
    found = fields.get("message") or fields.get("error_description") or fields.get("error")
    return found.get("message") if isinstance(found, dict) else found  # as v3 has it in places


def _is_said(value: object) -> bool:
    return bool(value) and value is not True


def _shown_text(page: str) -> str:
    """Return what a page of HTML shows: no tags, and nothing of styles, scripts and the title."""
    shown, start, unshown = list[str](), 0, ""
    for tag in _TAG.finditer(page):
        if not unshown:
            shown.append(page[start : tag.start()])
        name = tag[2].lower()
        if not unshown and not tag[1] and name in _UNSHOWN_TAGS:
            unshown = name
        elif tag[1] and name == unshown:
            unshown = ""
        start = tag.end()
    return " ".join(shown) if unshown else " ".join([*shown, page[start:]])


def clean_text(text: str) -> str:
    """Make text of unknown origin safe to print on one line: no control or invisible characters, no great length."""
    return one_line(text)[:_MAX_MESSAGE_CHARS]


def _advice(messages: tuple[str, ...]) -> str | None:
    """Say what to do, where the service's words do not."""
    text = " ".join(messages).lower()
    return next((advice for words, advice in _ADVICE if words in text), None)


def _text(value: object) -> str | None:
    return clean_text(value) if isinstance(value, str) and value else None


def _reason(status: int) -> str:
    if status < _FIRST_ERROR:
        return "the service says that it did not succeed"
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
    if status == HTTPStatus.BAD_REQUEST or status < _FIRST_ERROR:
        return _class_of_400(message, fields)
    return _CLASSES.get(status, BadRequestError)


def _class_of_401(message: str) -> type[APIError]:
    """Distinguish a refused token from everything else that this API answers with 401."""
    if _TIMED_OUT in message.lower():
        return ServerError
    if _PERMANENT_DND.search(message):  # answered with 400, whose body says 401: be right if that changes
        return PermanentDndError
    is_without_words = message.lower().strip(" .!") == _UNAUTHORIZED
    return AuthenticationError if is_without_words or _CREDENTIAL.search(message) else PermissionDeniedError


def _class_of_400(message: str, fields: Mapping[str, Any]) -> type[APIError]:
    meta = fields.get("meta")
    if isinstance(meta, dict) and meta.get("contactId"):
        return DuplicateContactError
    if _PERMANENT_DND.search(message):
        return PermanentDndError
    return NotFoundError if _NOT_FOUND.search(message) else BadRequestError


def _channels_named(messages: Iterable[str]) -> tuple[str, ...]:
    """Return what refusals to change permanent channels name: "... permanent dnd setting for SMS"."""
    named = [re.findall(r"\w+", message.partition(" for ")[2]) for message in messages]
    return tuple(dict.fromkeys(word for words in named for word in words))


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
    max_requests, per_seconds = _read_limit(most, get("x-ratelimit-interval-milliseconds"))
    daily_reset = _seconds(get("x-ratelimit-daily-reset"), _LONGEST_DAY)
    return Quota(max_requests, _number(remaining), per_seconds, _number(daily_remaining), daily_reset)


@lru_cache(maxsize=64)  # it is the same in nearly all answers
def _read_limit(most: str | None, milliseconds: str | None) -> tuple[int | None, float | None]:
    return _number(most, least=1), _seconds(milliseconds, _LONGEST_INTERVAL, least=1)


def _number(text: str | None, *, least: int = 0) -> int | None:
    """Read a number of calls; None for nonsense."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        return None
    number = int(text)
    return number if number >= least else None


def _seconds(milliseconds: str | None, longest: float, *, least: int = 0) -> float | None:
    number = _number(milliseconds, least=least)
    return None if number is None or number / 1000 > longest else number / 1000


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


# ---------------------------------------------------------------------------------------------- what an answer means

_FIRST_SUCCESS, _LAST_SUCCESS, _FIRST_ERROR = 200, 299, 400  # numbers, as members of an Enum cost more than a call

# Escapes of JSON one by one: a pair of surrogates, half of one, any other.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)", re.S
)


def read_response(request: Request[T], response: Response) -> T:
    """Return the value of a call, or raise what its answer means.

    Raises:
        InvalidResponseError: 2xx, but not what the API promises; or a status that is neither success nor error.
        APIError: The API refused, as the class at hand says; also with 2xx and a body that says so.
    """
    status = response.status
    if status >= _FIRST_ERROR:
        raise read_error(response)
    if not _FIRST_SUCCESS <= status <= _LAST_SUCCESS:
        raise InvalidResponseError(
            f"the service answered {status}, which no call of this API should get", status=status
        )
    try:
        return request.read(response.body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        mended = _mend_characters(response.body)
        if mended != response.body:
            return read_response(request, Response(status, response.headers, mended))
        if says_no(response.body):
            raise read_error(response) from None
        kind = (
            "an empty body" if not response.body.strip() else f"a body that cannot be read ({clean_text(str(error))})"
        )
        raise InvalidResponseError(f"the service answered {status} with {kind}", status=status) from None


def _mend_characters(body: bytes) -> bytes:
    """Put a replacement character in the place of half an emoji: one contact's must not spoil a page of others."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)


# ---------------------------------------------------------------------------------------------- done, and no more


class _SuccessAnswer(Struct, frozen=True):
    # The misspelling is the service's own up to v3, which has both.
    succeded: bool | None = None
    succeeded: bool | None = None
    success: bool | None = None


def says_no(body: bytes) -> bool:
    """Whether an answer says in so many words that nothing was done."""
    said = _read_error_body(body)
    return isinstance(said, dict) and any(said.get(name) is False for name in _SuccessAnswer.__struct_fields__)


_SUCCESS: Final = msgspec.json.Decoder(_SuccessAnswer)


def read_success(body: bytes) -> None:
    """Read `{"succeded": true}`, in any of its spellings.

    Raises:
        ValueError: It does not say so, or says the opposite.
    """
    answer = _SUCCESS.decode(body)
    if says_no(body) or not (answer.succeded or answer.succeeded or answer.success):
        raise ValueError("it does not say that it succeeded")
