"""The end of a load: what became of it, as page, document and text, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..bulk.report import STATUSES, BatchReport
from ..migration.load import FileLoad
from ..migration.plan import Plan
from ..migration.report.files import (
    COLLISIONS,
    FAILED,
    FAILED_LINES,
    NOT_APPLIED,
    PROBLEMS,
    REPORT,
    SKIPPED,
    SUCCEEDED,
    Results,
)
from ..migration.report.report_page import REPORT_PAGE, FinishedRun, NextStep, write_report_page
from ..migration.report.words import about_closings, about_comparison, why_not_applied, why_stopped
from ..protocol.answers import clean_text
from ..protocol.text import count_of
from ..rules.problems import ProblemCount
from ..run.target import describe_target
from .orders import Order, describe_command, describe_sources
from .terminal import INTERRUPTED, STOPPED, show, show_document, tell

# ---------------------------------------------------------------------------------------------- report.html


def write_page(
    load: FileLoad, target: str, location_id: str | None, reason: str | None, next_steps: Sequence[NextStep]
) -> None:
    """Write the page beside `report.json`; where it cannot be written, a sentence says so, and the load is no worse.

    Args:
        load: What has ended.
        target: The service.
        location_id: The location of rows without one of their own, or None.
        reason: What ended it early where its report does not know, or None.
        next_steps: What to do now.
    """
    results = load.results
    if REPORT not in results.written:
        return
    run = FinishedRun(
        files=load.names,
        target=describe_target(target),
        location_id=location_id,
        report=load.report,
        findings=results.findings,
        problems=[kind for kind in results.problems.kinds() if kind.action != "assumed"],
        closings=results.closings,
        throughput=load.throughput,
        sessions=load.sessions,
        written=results.written,
        stopped=reason or why_stopped(load.report),
        next_steps=next_steps,
    )
    try:
        write_report_page(results.folder, run)
        results.written.insert(1, REPORT_PAGE)
    except OSError as error:
        tell(f"{results.folder / REPORT_PAGE}: could not be written ({error.strerror or error})")


_MOST_ERRORS: Final = 10


def conclude(
    order: Order, load: FileLoad, target: str, location_id: str | None, reason: str | None, *, is_interrupted: bool
) -> int:
    """Write the page, tell what became of a load and what to do next, and return the exit code.

    Args:
        order: What was asked for.
        load: The load; its results are written.
        target: The service.
        location_id: The location of rows without one of their own, or None.
        reason: What ended it early besides what its report says, or None.
        is_interrupted: Whether the user wished it to end.
    """
    is_stopped = reason is not None or load.report.stopped is not None
    steps = list(_next_steps(order, load.report, load.results, is_stopped=is_stopped))
    write_page(load, target, location_id, reason, steps)
    show_document(_document(load, reason, steps))
    _summarise(load.report, load.results, reason)
    for step in steps:
        show(step.sentence if step.command is None else f"{step.sentence} {step.command}")
    if is_interrupted and (is_stopped or not load.report.is_complete):
        return INTERRUPTED
    if is_stopped:
        return STOPPED
    return 0 if load.report.is_complete else 1


def _document(load: FileLoad, reason: str | None, steps: list[NextStep]) -> dict[str, object]:
    """Return what machines are told: `report.json`, and what people are told besides."""
    return {
        **load.results.document(load.report),
        "not_applied": load.report.not_applied,
        "stopped": reason or (None if load.report.stopped is None else str(load.report.stopped)),
        "folder": str(load.results.folder),
        "files": load.results.written,
        "next_steps": steps,
    }


def _summarise(report: BatchReport, results: Results, reason: str | None) -> None:
    tell_counts(report)
    if report.inferred:
        show(
            f"  {report.inferred} of those created: inferred from the date, because the answer was lost (see "
            f"{SUCCEEDED})"
        )
    for why, count in report.skip_reasons.items():
        show(f"  {count} x not sent: {clean_text(why)} (see {SKIPPED})")
    for field, count in report.not_applied.items():
        rows = count_of(count, "row")
        show(f"  {field} not applied on {rows}: {why_not_applied(field)} (see {NOT_APPLIED})")
    if results.closings is not None:
        for sentence in about_closings(results.closings, is_done=True):
            show(f"  {clean_text(sentence)}")
    if report.collisions:
        met = count_of(report.collisions, "row")
        show(f"  {met} overwrote the contact of another person in this load (see {COLLISIONS})")
    left_out, changed = (sum(kind.count for kind in results.problems.kinds(action)) for action in ("skipped", "fixed"))
    if left_out or changed:
        show(f"  {count_of(left_out, 'cell')} left out and {changed:,} changed before they were sent (see {PROBLEMS})")
    if (stopped := reason or why_stopped(report)) is not None:
        show(f"Stopped early: {clean_text(stopped)}")
    if results.written:
        show(f"Results: {results.folder}/ ({', '.join(results.written)})")
    else:
        show(f"No result file could be written in {results.folder}")


def tell_counts(report: BatchReport) -> None:
    """Print what became of rows and calls, and the errors of rows by kind, the most frequent first."""
    counts = [f"{getattr(report, name):,} {name.replace('_', ' ')}" for name in STATUSES if getattr(report, name)]
    sessions = f" over {count_of(report.sessions, 'session')}" if report.sessions > 1 else ""
    what = ", ".join(counts) or "nothing to do"
    show(f"{count_of(report.total, 'row')} in {report.duration_seconds:.1f} s{sessions}: {what}")
    retries = count_of(report.retries, "retry", "retries")
    show(f"{count_of(report.requests, 'call')}, {retries}, {report.rate_limited:,} rate-limited (HTTP 429)")
    for error in report.errors[:_MOST_ERRORS]:
        status = "" if error.status is None else f"{error.status} "
        show(f"  {error.count} x {status}{clean_text(error.message)}")
    if len(report.errors) > _MOST_ERRORS:
        show(f"  and {count_of(len(report.errors) - _MOST_ERRORS, 'more kind')}; all are in {REPORT}")


def _next_steps(order: Order, report: BatchReport, results: Results, *, is_stopped: bool) -> Iterator[NextStep]:
    if is_stopped:
        left = report.not_attempted + report.unknown
        way = "--retry-failed" if order.retry_failed else "--resume"
        what = f"for the {count_of(left, 'row')} left" if left else _what_is_left(report)
        yield NextStep(
            f"Next, {what}:",
            describe_command(order, describe_sources(order.sources), "--out", str(results.folder), way),
        )
        return
    if report.unknown:
        yield NextStep(
            f"First look up the {count_of(report.unknown, 'unknown row')} in {FAILED}: what may have been applied is "
            "not sent again until you clear its status."
        )
    again = results.to_load_again
    if again is None:
        return
    path = results.folder / again
    why = f" ({FAILED} says why)" if again == FAILED_LINES else ""
    yield NextStep(f"Next: correct {path} where needed{why}, then:", describe_command(order, [str(path)]))
    if again == FAILED and FAILED_LINES in results.written:
        yield NextStep(
            f"{FAILED} shows a null of JSON Lines as an empty cell; {FAILED_LINES} holds those rows unchanged."
        )


def _what_is_left(report: BatchReport) -> str:
    if "phone" in report.not_applied and "tags" not in report.not_applied:
        return "to set the phones that rows share (all rows are written)"
    if "tags" in report.not_applied:
        return f"to add the tags of {count_of(report.not_applied['tags'], 'row')} (all rows are written)"
    return "to write the results (all rows are done)"


# ---------------------------------------------------------------------------------------------- a dry run

_MOST_VALUE_CHARS: Final = 40
_DONE: Final = {
    "refused": "not sent",
    "skipped": "left out",
    "fixed": "changed",
    "sent": "sent",
    "empty": "counts as an empty cell",
    "assumed": "sent",
}


def conclude_dry_run(plan: Plan) -> int:
    """Say what a load would do, and return the exit code: 1 where some row cannot be sent."""
    show_document(
        {
            "rows": plan.rows,
            "to_send": plan.to_send,
            "refused": plan.refused,
            "skipped": plan.skipped,
            "problems": plan.problems,
            "comparison": plan.comparison,
            "closings": plan.closings,
        }
    )
    left_out = f", {plan.skipped:,} would be left out" if plan.skipped else ""
    show(f"{count_of(plan.rows, 'row')} checked: {plan.to_send:,} would be sent, {plan.refused:,} would not{left_out}")
    for sentence in about_comparison(plan.comparison) if plan.comparison is not None else ():
        show(f"  {clean_text(sentence)}")
    show("Nothing was written: this was a dry run.")
    return 1 if plan.refused else 0


def describe_problem(kind: ProblemCount) -> str:
    """Return a kind of problem in words, without its count."""
    what = f"{kind.column} " if kind.column else "row "
    value = " ".join(kind.value.split())
    shown = f": {value[:_MOST_VALUE_CHARS]}" if value else ""
    return f"{what}{kind.sentence}; {_DONE.get(kind.action, kind.action)} (first: {kind.where}{shown})"
