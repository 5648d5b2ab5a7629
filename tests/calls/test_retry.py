"""The decision on another try: pure, so each row of the table is one case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async import ConfigurationError, RetryPolicy
from leadconnector_async.calls.retry import delay_before_retry, is_in_doubt
from leadconnector_async.errors import (
    AuthenticationError,
    BadRequestError,
    CallError,
    CallTimeoutError,
    ConnectFailedError,
    ConnectionLostError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    ValidationError,
)

POLICY = RetryPolicy(max_attempts=4, first_delay=1.0, max_delay=5.0, max_retry_after=60.0, max_rate_limited=300.0)


def decide(
    error: CallError, *, attempts: int = 1, limited: float = 0.0, repeatable: bool = True, chance: float = 1.0
) -> float | None:
    return delay_before_retry(
        POLICY, error, attempts=attempts, rate_limited_for=limited, repeatable=repeatable, random=lambda: chance
    )


def limited(retry_after: float | None = None) -> RateLimitedError:
    error = RateLimitedError(429, ("Too Many Requests",))
    error.retry_after = retry_after
    return error


def broken(retry_after: float | None = None) -> ServerError:
    error = ServerError(503, ("down",))
    error.retry_after = retry_after
    return error


IN_DOUBT = [
    ConnectionLostError("cut"),
    CallTimeoutError("late"),
    broken(),
    InvalidResponseError("empty", status=200),
]
NEVER = [
    BadRequestError(400, ("no",)),
    NotFoundError(400, ("no",)),
    PermissionDeniedError(403, ("no",)),
    ValidationError(422, ("no",)),
    AuthenticationError(401, ("Invalid JWT",)),
    InvalidResponseError("a redirect", status=302),
]


@pytest.mark.parametrize("error", IN_DOUBT, ids=lambda error: type(error).__name__)
def test_a_call_in_doubt_is_repeated_only_where_that_does_no_harm(error: CallError) -> None:
    assert decide(error, repeatable=True) is not None
    assert decide(error, repeatable=False) is None


def test_a_call_that_never_left_is_repeated_whatever_it_is() -> None:
    assert decide(ConnectFailedError("refused"), repeatable=False) is not None


def test_what_is_no_answer_of_the_api_is_in_doubt_even_where_it_is_final() -> None:
    assert is_in_doubt(InvalidResponseError("a redirect", status=303))
    assert not any(is_in_doubt(error) for error in NEVER if not isinstance(error, InvalidResponseError))


@pytest.mark.parametrize("error", NEVER, ids=lambda error: type(error).__name__)
def test_a_refusal_is_final(error: CallError) -> None:
    assert decide(error) is None


def test_the_bound_of_the_wait_doubles_up_to_the_most() -> None:
    waits = [decide(broken(), attempts=attempts) for attempts in range(1, 4)]
    assert waits == [1.0, 2.0, 4.0]
    assert decide(broken(), attempts=4) is None
    patient = RetryPolicy(max_attempts=10, first_delay=1.0, max_delay=5.0)
    late = delay_before_retry(patient, broken(), attempts=9, rate_limited_for=0, repeatable=True, random=lambda: 1.0)
    assert late == 5.0


@given(chance=st.floats(0, 1, exclude_max=True), asked=st.floats(0, 60), attempts=st.integers(1, 3))
def test_jitter_never_shortens_what_the_service_asks_for(chance: float, asked: float, attempts: int) -> None:
    wait = decide(broken(retry_after=asked), attempts=attempts, chance=chance)
    assert wait is not None
    assert asked <= wait <= asked + 4.0


def test_a_wait_above_the_cap_is_not_waited_for() -> None:
    assert decide(broken(retry_after=61)) is None
    assert decide(limited(retry_after=61)) is None


def test_a_429_is_repeated_until_nothing_else_came_for_too_long() -> None:
    assert decide(limited(), attempts=99, repeatable=False) == 0.0
    assert decide(limited(), limited=299) == 0.0
    assert decide(limited(), limited=300) is None


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"first_delay": -1}, {"max_retry_after": -1}])
def test_a_policy_that_is_none_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(**wrong)
