"""A load over time: no call is lost between the steps of a chart, and a burst is the rate that it is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadconnector_async.bulk.run_log import Pace
from leadconnector_async.migration.report.charts import duration, measure_throughput, show_throughput
from leadconnector_async.run.timeline import Second

START = 1_790_000_000
TEN = Pace(10.0, 10.0, 199_000)


def bursts(count: int, *, every: int = 10, rows: int = 100, pace: Pace = TEN, start: int = START) -> list[Second]:
    return [Second(start + number * every, rows, 0, 0, 0, pace) for number in range(count)]


def test_nothing_sent_is_nothing_to_show() -> None:
    assert measure_throughput(list, [START]) is None


def test_bursts_are_an_even_rate_and_all_of_the_quota() -> None:
    told = measure_throughput(lambda: bursts(30), [START])
    assert told is not None
    assert [step.created for step in told.steps] == pytest.approx([10.0] * len(told.steps))
    assert {step.limit for step in told.steps} == {10.0}
    assert told.share == pytest.approx(1.0, abs=0.01)
    assert (told.seconds, told.left_today, told.pauses) == (291.0, 199_000, [])


def test_half_the_quota_is_told_as_half() -> None:
    told = measure_throughput(lambda: bursts(100, rows=50), [START])
    assert told is not None
    assert told.share == pytest.approx(0.5, abs=0.01)


def test_a_load_too_short_to_tell_has_no_share() -> None:
    told = measure_throughput(lambda: bursts(3), [START])
    assert told is not None
    assert told.share is None


def test_calls_tried_again_are_part_of_the_share_alone() -> None:
    seconds = [Second(START + number * 10, 50, 0, 0, 50, TEN) for number in range(30)]
    told = measure_throughput(lambda: seconds, [START])
    assert told is not None
    assert told.share == pytest.approx(1.0, abs=0.01)
    assert max(step.created for step in told.steps) == pytest.approx(5.0)


def test_what_nothing_limits_has_no_line() -> None:
    told = measure_throughput(lambda: bursts(50, every=1, pace=Pace()), [START])
    assert told is not None
    assert {step.limit for step in told.steps} == {None}
    assert told.share is None
    assert "limits" not in str(show_throughput(told))


def test_a_pause_between_sessions_is_left_out_and_told() -> None:
    second = START + 50_000
    told = measure_throughput(lambda: [*bursts(30), *bursts(30, start=second)], [START - 0.3, second - 0.4])
    assert told is not None
    (pause,) = told.pauses
    assert pause.seconds == 50_000 - 290 - 10
    assert told.seconds == pytest.approx(591, abs=1)
    assert told.share == pytest.approx(1.0, abs=0.02)
    assert told.steps[pause.step].created == pytest.approx(10.0, abs=0.1)
    assert "13 h 48 min" in str(show_throughput(told))


def test_a_wait_for_the_next_day_is_left_out_too_but_no_short_one() -> None:
    seconds = [*bursts(30), *bursts(30, start=START + 400), *bursts(30, start=START + 80_000)]
    told = measure_throughput(lambda: seconds, [START])
    assert told is not None
    assert [round(pause.seconds) for pause in told.pauses] == [80_000 - 690 - 10]
    assert min(step.created for step in told.steps) == 0.0  # the hundred seconds between the first two


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 100), st.integers(0, 9)), min_size=1, max_size=60),
    st.sampled_from([None, 0.3, 1.0, 10.0, 600.0]),
    st.lists(st.integers(0, 5_000), max_size=5),
)
def test_each_row_is_in_the_steps_once(
    told_of: list[tuple[int, int, int]], window: float | None, sessions: list[int]
) -> None:
    pace = Pace() if window is None else Pace(10.0, window)
    by_second = {START + at: Second(START + at, created, 0, failed, 0, pace) for at, created, failed in told_of}
    seconds = [by_second[at] for at in sorted(by_second)]
    last = Second(seconds[-1].second + 1_000, 0, 0, 0, 0, pace)  # so that no window is cut at the end
    told = measure_throughput(lambda: [*seconds, last], [START + at for at in sessions])
    assert told is not None
    assert len(told.steps) <= 120
    width = told.seconds / len(told.steps)
    rows = sum(step.created + step.failed for step in told.steps) * width
    assert rows == pytest.approx(sum(second.created + second.failed for second in seconds), abs=1e-6)
    assert all(0 <= pause.step < len(told.steps) for pause in told.pauses)


def test_many_seconds_take_no_more_memory_than_few() -> None:
    def many(count: int) -> Iterator[Second]:
        return (Second(START + number, 10, 0, 0, 0, TEN) for number in range(count))

    def peak(count: int) -> int:
        tracemalloc.start()
        measure_throughput(lambda: many(count), [START])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(40_000) < 1.5 * peak(2_000)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (20.34, "20.3 s"), (61, "1 min 1 s"), (7_800, "2 h 10 min"), (86_400, "1 d"), (273_600, "3 d 4 h")],
)
def test_times_are_told_as_people_tell_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said
