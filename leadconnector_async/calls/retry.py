"""Whether to try a call again, and after how long: one pure decision."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from msgspec import Struct

from ..errors import (
    CallError,
    ConfigurationError,
    ConnectFailedError,
    InvalidResponseError,
    RateLimitedError,
    ServerError,
    TransportError,
)


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """How often and how long to try again. All times are in seconds.

    Attributes:
        max_attempts: Tries of one call, the first included; those that were rate-limited (HTTP 429) do not count.
        first_delay: Upper bound of the wait before the second try; it doubles from try to try. The wait is drawn evenly
            from nothing up to the bound.
        max_delay: What that bound grows to at most.
        max_retry_after: A `Retry-After` above this is not waited for: the call fails, or after a 429 the load stops.
        max_rate_limited: How long a call may be answered nothing but 429.
        max_outage: How long a load waits for a service that answers no call at all, before it stops.
    """

    max_attempts: int = 5
    first_delay: float = 1.0
    max_delay: float = 30.0
    max_retry_after: float = 120.0
    max_rate_limited: float = 300.0
    max_outage: float = 3600.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts is {self.max_attempts}; it must be at least 1")
        times = (self.first_delay, self.max_delay, self.max_retry_after, self.max_rate_limited, self.max_outage)
        if min(times) < 0:
            raise ConfigurationError("the times of a RetryPolicy are seconds and cannot be negative")


def is_worth_repeating(error: CallError) -> bool:
    """Whether the same call may do better next time."""
    return isinstance(error, TransportError | ServerError | RateLimitedError) or (
        isinstance(error, InvalidResponseError) and 200 <= error.status < 300
    )


def is_in_doubt(error: CallError) -> bool:
    """Whether the call may have been applied although this came back."""
    if isinstance(error, InvalidResponseError):
        return True  # a redirect, too, may point to what was done: 303 says so
    return is_worth_repeating(error) and not isinstance(error, ConnectFailedError | RateLimitedError)


def delay_before_retry(
    policy: RetryPolicy,
    error: CallError,
    *,
    attempts: int,
    rate_limited_for: float,
    repeatable: bool,
    random: Callable[[], float],
) -> float | None:
    """Decide on another try.

    Args:
        policy: How often and how long.
        error: What came of the last try.
        attempts: Tries so far, not counting those that were rate-limited (HTTP 429).
        rate_limited_for: Seconds since the first 429 in an unbroken row of them; 0 where the last answer was none.
        repeatable: Whether the call does no harm when it is applied twice.
        random: Returns a number from 0 up to 1.

    Returns:
        Seconds to wait, or None to give up. After a 429 it is 0: the location's window is paused, and does the waiting.
    """
    asked: float | None = getattr(error, "retry_after", None)
    is_permanent = isinstance(error, ConnectFailedError) and error.is_permanent
    if not is_worth_repeating(error) or is_permanent or (asked or 0) > policy.max_retry_after:
        return None
    if isinstance(error, RateLimitedError):
        return 0.0 if rate_limited_for < policy.max_rate_limited else None
    if attempts >= policy.max_attempts or (is_in_doubt(error) and not repeatable):
        return None
    # What the service asks for is a floor: jitter comes on top, and never shortens it.
    return (asked or 0.0) + _bound(policy, attempts) * random()


def _bound(policy: RetryPolicy, attempts: int) -> float:
    import backoff  # when a call is retried for the first time: most programs start without that

    delays = backoff.expo(base=2, factor=policy.first_delay, max_value=policy.max_delay)
    # The generator's first value only starts it.
    return float(next(islice(delays, attempts, None)) or 0.0)
