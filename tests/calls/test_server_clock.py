"""The server's time: what its `Date` headers tell is narrowed down, and never believed beyond what they can tell."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async.calls.server_clock import ServerClock

AHEAD = 1_790_000_000.25  # server's time less our monotonic clock


def answer(clock: ServerClock, sent_at: float, made_at: float, answered_at: float, ahead: float = AHEAD) -> None:
    clock.believe({"Date": formatdate(int(made_at + ahead), usegmt=True)}, sent_at, answered_at)


def test_without_a_date_nothing_is_known() -> None:
    clock = ServerClock()
    for headers in ({}, {"Date": ""}, {"Date": "yesterday"}):
        clock.believe(headers, 1.0, 2.0)
    assert clock.span(5.0) is None


calls = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 3)), min_size=1, max_size=30)


@given(calls)
def test_the_truth_is_always_within(calls: list[tuple[float, float, float]]) -> None:
    clock, now, widest = ServerClock(), 100.0, float("inf")
    for before, after, pause in calls:
        answer(clock, now, now + before, now + before + after)
        now += before + after + pause
        span = clock.span(now)
        assert span is not None
        assert span[0] - 1e-3 <= now + AHEAD <= span[1] + 1e-3
        assert span[1] - span[0] <= widest + 1e-3
        widest = span[1] - span[0]


def test_answers_narrow_it_down() -> None:
    clock = ServerClock()
    for number in range(50):
        answer(clock, number * 1.07, number * 1.07 + 0.03, number * 1.07 + 0.05)
    span = clock.span(0.0)
    assert span is not None
    assert span[1] - span[0] < 0.2


def test_a_clock_that_was_set_is_followed() -> None:
    clock = ServerClock()
    answer(clock, 1.0, 1.1, 1.2)
    answer(clock, 2.0, 2.1, 2.2, AHEAD + 3_600)
    span = clock.span(3.0)
    assert span is not None
    assert span[0] <= 3.0 + AHEAD + 3_600 <= span[1]
