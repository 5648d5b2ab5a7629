"""What a load takes: the time of calls under limits, and calls for tags of many sets."""

from __future__ import annotations

import pytest

from leadconnector_async import ContactUpsert, RateLimit
from leadconnector_async.migration.matching import Matching
from leadconnector_async.migration.plan import time_needed
from leadconnector_async.migration.survey import Survey
from leadconnector_async.migration.tagging import TagGroups

DAY = 86_400.0


@pytest.mark.parametrize(
    ("calls", "left", "expected"),
    [
        (0, None, (0.0, 0)),
        (1, None, (0.0, 1)),
        (100, None, (0.0, 1)),
        (101, None, (10.0, 1)),
        (1000, None, (90.0, 1)),
        (1001, None, (DAY, 2)),
        (3000, None, (2 * DAY + 90.0, 3)),
        (500, 0, (DAY + 40.0, 1)),
        (500, 200, (DAY + 20.0, 2)),
        (1000, 1000, (90.0, 1)),
    ],
)
def test_time_is_counted_in_windows_and_days(calls: int, left: int | None, expected: tuple[float, int]) -> None:
    assert time_needed(calls, RateLimit(100, 10.0, daily=1000), left) == expected


def test_without_a_daily_limit_there_is_one_day() -> None:
    assert time_needed(1_000_000, RateLimit(100, 10.0, daily=None)) == (99_990.0, 1)


@pytest.mark.parametrize("sets", [1, 3, 50, 300, 30_000])
def test_calls_for_tags_hold_all_rows_once_and_few_wait(sets: int) -> None:
    groups, rows, calls = TagGroups(), 60_000, []
    for row in range(rows):
        calls += groups.add("L", (f"tag {row % sets}",), str(row), row)
        assert groups._waiting < 20_000
    calls += groups.rest()
    sent = sorted(row for call in calls for found in call.rows.values() for row in found)
    assert sent == list(range(rows))
    assert all(len(call.rows) <= 100 for call in calls)
    if sets <= 50:
        assert len(calls) == sets * -(-rows // sets // 100)


def test_the_calls_of_a_plan_for_tags_are_those_of_their_sets() -> None:
    with Matching() as matching:
        survey = Survey("L", tags_rule="add", matching=matching)
        for row in range(1000):
            survey.look([ContactUpsert(email=f"p{row}@x.example", tags=["All", f"Set {row % 3}"] if row % 4 else [])])
        told = survey.conclude_tags()
    assert told is not None
    assert (told.rows, told.calls, told.kinds) == (750, 9, 4)
    assert told.names["all"] == 750
