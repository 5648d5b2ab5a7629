"""`report.html`, when a load has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..migration.reasons import why_stopped
from ..migration.report_page import REPORT_PAGE, FinishedRun, NextStep, write_report_page
from ..migration.results import REPORT
from ..migration.run import FileLoad
from .printing import tell


def write_page(load: FileLoad, whole: Mapping[str, str], reason: str | None, next_steps: Sequence[NextStep]) -> None:
    """Write the page beside `report.json`; where it cannot be written, a sentence says so, and the load is no worse.

    Args:
        load: What has ended.
        whole: What the load is known by.
        reason: What ended it early where its report does not know, or None.
        next_steps: What to do now.
    """
    results = load.results
    if REPORT not in results.written:
        return
    run = FinishedRun(
        files=load.names,
        target=whole["target"],
        location_id=whole["location"] or None,
        report=load.report,
        findings=results.findings,
        problems=[kind for kind in results.problems.kinds() if kind.action != "assumed"],
        throughput=load.throughput,
        sittings=load.sittings,
        written=results.written,
        stopped=reason or why_stopped(load.report),
        next_steps=next_steps,
    )
    try:
        write_report_page(results.folder, run)
        results.written.insert(1, REPORT_PAGE)
    except OSError as error:
        tell(f"{results.folder / REPORT_PAGE}: could not be written ({error.strerror or error})")
