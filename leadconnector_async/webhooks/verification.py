"""`verify_webhook`: check everything that must be true of a delivery before you act on it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final, Protocol

from ..clock import Clock, SystemClock
from ..errors import ConfigurationError, UsageError, WebhookError
from .events import WebhookEvent, read_event
from .signatures import WebhookHeaders, WebhookKeys, check_signature

# ---------------------------------------------------------------------------------------------- deliveries seen before


class SeenDeliveries(Protocol):
    """Remembers deliveries. With Redis, any number of processes can share it:

    `return bool(redis.set(f"webhook:{delivery}", 1, nx=True, px=int(seconds * 1000)))`

    What is to be awaited does not fit here: call it with `event.delivery` once `verify_webhook` has returned.
    """

    def add(self, delivery: str, seconds: float) -> bool:
        """Remember a delivery for so many seconds, and say whether it is new; both in one step."""


class SeenInMemory:
    """Remembers deliveries in this process; may be used from any thread.

    Args:
        max_deliveries: How many are kept; beyond, the oldest is forgotten before its time. Only genuine deliveries are
            kept at all, so that nobody else can fill it. 100,000 take some 20 MB, and are 300 a second over 5 minutes.
        clock: Where time comes from.

    Raises:
        ConfigurationError: `max_deliveries` is less than 1.
    """

    def __init__(self, *, max_deliveries: int = 100_000, clock: Clock | None = None) -> None:
        if max_deliveries < 1:
            raise ConfigurationError(f"max_deliveries is {max_deliveries}; it must be at least 1")
        self._max = max_deliveries
        self._clock = clock or SystemClock()
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, delivery: str, seconds: float) -> bool:
        """Remember a delivery for so many seconds, and say whether it is new."""
        now = self._clock.monotonic()
        with self._lock:
            while self._until and next(iter(self._until.values())) <= now:
                self._until.popitem(last=False)
            if self._until.get(delivery, now) > now:
                return False
            self._until.pop(delivery, None)  # it goes to the end
            if len(self._until) == self._max:
                self._until.popitem(last=False)
            self._until[delivery] = now + seconds
            return True

    def forget(self, delivery: str) -> None:
        """Take a delivery (`event.delivery`) as new when it comes again, as it could not be dealt with this time."""
        with self._lock:
            self._until.pop(delivery, None)


_DAY: Final = 86_400.0
_LEAST_MILLISECONDS: Final = 1e11  # as seconds, that would be the year 5138


def verify_webhook(
    body: bytes | bytearray | memoryview,
    headers: WebhookHeaders,
    *,
    keys: WebhookKeys = WebhookKeys(),
    app_id: str | None = None,
    locations: Collection[str] | None = None,
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
        app_id: The id of your app. The vendor signs the deliveries of all apps with one key: without this, whoever
            has an app can send you deliveries about their own locations. One that names no app is refused then.
        locations: The ids of the locations that deliveries may be about, such as those that have installed the app;
            None for any.
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
    _check_subject(event, app_id, locations)
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


def _check_subject(event: WebhookEvent, app_id: str | None, locations: Collection[str] | None) -> None:
    """Refuse what is for another app or about another location; what names none is no better."""
    if app_id is not None and event.app_id != app_id:
        raise WebhookError(f"the delivery is for the app {event.app_id!r}, not for {app_id!r}", reason="other_app")
    if locations is not None and event.location_id not in locations:
        raise WebhookError(
            f"the delivery is about the location {event.location_id!r}, which is none of those expected",
            reason="other_location",
        )


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
