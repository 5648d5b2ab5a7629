"""A report says what became of rows: as counts, as outcomes, and as an error that names the reasons."""

from __future__ import annotations

import pickle

import pytest

from leadconnector_async import (
    BatchReport,
    LoadStoppedError,
    OutageError,
    Outcome,
    RowError,
    RowsFailedError,
    UsageError,
)
from leadconnector_async.bulk.report import STATUSES


def report_of(*outcomes: Outcome, keep_outcomes: bool = True) -> BatchReport:
    report = BatchReport(keep_outcomes=keep_outcomes)
    for outcome in outcomes:
        report.add(outcome)
    return report


def failed(index: int, message: str) -> Outcome:
    return Outcome(index=index, status="failed", error=RowError("BadRequestError", 400, message))


UNKNOWN = Outcome(index=7, status="unknown", error=RowError("CallTimeoutError", None, "no answer in 30 s"))
CREATED = Outcome(index=9, status="created")


def message_of(report: BatchReport) -> str:
    with pytest.raises(RowsFailedError) as caught:
        report.raise_for_failures()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def test_the_failures_are_the_rows_that_are_not_done() -> None:
    report = report_of(*(Outcome(index=n, status=status) for n, status in enumerate(STATUSES)))
    assert [outcome.status for outcome in report.failures] == ["failed", "unknown", "not_attempted"]


def test_without_outcomes_failures_are_refused_where_there_are_any() -> None:
    assert report_of(CREATED, keep_outcomes=False).failures == []
    with pytest.raises(UsageError, match=r"^1 row not done, but outcomes were not kept"):
        _ = report_of(failed(0, "no"), keep_outcomes=False).failures


def test_the_error_says_how_many_rows_and_why() -> None:
    report = report_of(failed(0, "email must be an email"), failed(3, "email must be an email"), UNKNOWN, CREATED)
    assert message_of(report) == (
        "2 of 4 rows failed and 1 may or may not have been applied: 2 x email must be an email; 1 x no answer in 30 s; "
        "report.failures has each of them"
    )
    assert message_of(report_of(UNKNOWN)).startswith("1 of 1 row may or may not have been applied: 1 x ")
    assert "report.failures" not in message_of(report_of(UNKNOWN, keep_outcomes=False))


def test_the_error_stays_short_however_much_the_service_says() -> None:
    message = message_of(report_of(*(failed(n, f"{n} " + "x" * 5000) for n in range(30))))
    assert "; and 27 more in report.errors" in message
    assert len(message) < 1000


def test_a_load_that_stopped_says_what_failed_before() -> None:
    report = report_of(failed(0, "no"), Outcome(index=1, status="not_attempted"))
    report.stopped = OutageError("no call was answered for an hour")
    with pytest.raises(LoadStoppedError) as caught:
        report.raise_for_failures()
    assert str(caught.value) == (
        "the load stopped with 1 row not attempted: no call was answered for an hour; 1 of 2 rows failed"
    )
    assert caught.value.__cause__ is report.stopped


def test_a_report_in_which_all_is_done_raises_nothing() -> None:
    report_of(CREATED, Outcome(index=10, status="skipped")).raise_for_failures()
