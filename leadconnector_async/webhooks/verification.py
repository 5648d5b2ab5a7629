"""`verify_webhook`: everything that must be true of a delivery before it is acted upon."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ..clock import Clock, SystemClock
from ..errors import ConfigurationError, UsageError, WebhookError
from .events import WebhookEvent, read_event
from .seen import SeenDeliveries
from .signatures import WebhookHeaders, WebhookKeys, check_signature

_DAY: Final = 86_400.0
_LEAST_MILLISECONDS: Final = 1e11  # as seconds, that would be the year 5138


def verify_webhook(
    body: bytes | bytearray | memoryview,
    headers: WebhookHeaders,
    *,
    keys: WebhookKeys = WebhookKeys(),
    seen: SeenDeliveries | None = None,
    max_age: float | None = 300.0,
    max_ahead: float = 60.0,
    max_body_bytes: int = 1024 * 1024,
    clock: Clock | None = None,
) -> WebhookEvent:
    """Check that a delivery comes from the vendor, unchanged and just now, and read it.

    Answer the vendor with 200 as soon as the event is kept safe, and do the work later; also where `error.reason` is
    `replayed`, or it will be delivered again and again. Any other refusal is a 401.

    Args:
        body: The bytes of the request's body, as they came: the signature holds for these alone.
        headers: The request's headers, a mapping or pairs; names in any case.
        keys: Whose signatures are believed; the vendor's by default.
        seen: Where deliveries are remembered, so that each is taken once; by default none are, and one that somebody
            caught can be replayed while it is fresh. Those of one web app share one.
        max_age: Seconds after which a delivery is too old (the vendor's advice is 300), by the `timestamp` that it
            holds; None to take one of any age, or without a time. Whether the vendor renews the time when it tries
            again is not known: if you see such ones refused, give more, and `seen`.
        max_ahead: Seconds by which the vendor's clock may be ahead of this machine's.
        max_body_bytes: Larger bodies are refused unread.
        clock: Where time comes from.

    Returns:
        An event of the class for its type, such as `ContactCreateEvent`; of a type that has none, or without the id of
        its contact, a `WebhookEvent` with all that it holds in `extra`.

    Raises:
        WebhookError: The delivery is not to be believed, or came before; `reason` says which. Only in the last case,
            and where this returns, anything was remembered.
        UsageError: `body` is no bytes, or `seen` gives no plain True or False.
        ConfigurationError: A key or a number cannot be used, or the extra `webhooks` is not installed.
    """
    if not max_ahead >= 0 or not (max_age is None or max_age > 0):  # so that NaN is caught, too
        raise ConfigurationError(f"max_age is {max_age} and max_ahead {max_ahead}; no delivery could be fresh enough")
    raw = _check_body(body, max_body_bytes)
    check_signature(raw, headers, keys)
    event, timestamp = read_event(raw)
    if max_age is not None:
        _check_age((clock or SystemClock()).time() - _read_time(timestamp), max_age, max_ahead)
    if seen is not None:
        _check_new(seen, event, _DAY if max_age is None else max_age + max_ahead)
    return event


def _check_body(body: bytes | bytearray | memoryview, most: int) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise UsageError(
            f"the body is {type(body).__name__}, not bytes; the signature holds for the bytes that came, so pass them "
            "as they are (aiohttp: `await request.read()`; Starlette: `await request.body()`; Flask: `request.data`)"
        )
    size = body.nbytes if isinstance(body, memoryview) else len(body)
    if size > most:
        raise WebhookError(f"the delivery has {size} bytes, more than the {most} allowed", reason="too_large")
    return bytes(body)


def _read_time(timestamp: object) -> float:
    """Return the seconds since 1970 of an ISO 8601 text (UTC unless it says else), or of seconds or milliseconds."""
    try:
        if isinstance(timestamp, str):
            moment = datetime.fromisoformat(timestamp)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(timestamp, int | float) and not isinstance(timestamp, bool):
            return timestamp / 1000 if timestamp >= _LEAST_MILLISECONDS else float(timestamp)
    except (ValueError, OverflowError):
        pass
    raise WebhookError(
        "the delivery has no `timestamp` to tell how old it is; to take such ones, pass max_age=None",
        reason="malformed",
    )


def _check_age(age: float, max_age: float, max_ahead: float) -> None:
    if age > max_age:
        raise WebhookError(f"the delivery is {age:.6g} s old, more than {max_age:g}", reason="too_old")
    if -age > max_ahead:
        raise WebhookError(
            f"the delivery is {-age:.6g} s ahead of this machine's clock, more than {max_ahead:g}", reason="too_early"
        )


def _check_new(seen: SeenDeliveries, event: WebhookEvent, seconds: float) -> None:
    is_new = seen.add(event.delivery, seconds)
    if not isinstance(is_new, bool):  # a coroutine would count as true, and every replay as new
        raise UsageError(f"seen.add returned {type(is_new).__name__}; it must return True or False, without await")
    if not is_new:
        raise WebhookError("the delivery came before", reason="replayed")
