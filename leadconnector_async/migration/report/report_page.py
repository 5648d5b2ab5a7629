"""`report.html`: what became of a load, for people. Its numbers are those of `report.json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ...bulk.report import BatchReport, ErrorCount
from ...private_file import write_private
from ...protocol.text import count_of
from ...rules.problems import Action, ProblemCount
from ...run.journal import Session
from ...version import __version__
from ..plan import Closings
from .charts import Throughput, duration, show_throughput
from .files import (
    COLLISIONS,
    FAILED,
    MOST_EXAMPLES,
    NOT_APPLIED,
    PROBLEMS,
    REPORT,
    SKIPPED,
    CellExample,
    Findings,
    Meeting,
    NotDone,
)
from .html import (
    Column,
    Content,
    Html,
    Page,
    Part,
    build_bar,
    build_commands,
    build_facts,
    build_grouped_table,
    build_table,
    element,
    link_to_file,
    number,
    quoted,
)
from .plan_page import show_closings
from .words import why_not_applied

REPORT_PAGE: Final = "report.html"
_MOST_KINDS: Final = 25
_MOST_FIELDS: Final = 25
_MOST_DIFFERENCES: Final = 12
_MOST_SESSIONS: Final = 50
_NOTHING: Final = element("span", "nothing", class_="quiet")
_LOOKS: Final = {
    "created": "created",
    "updated": "updated",
    "failed": "failed",
    "unknown": "unknown",
    "skipped": "rest",
    "not_attempted": "rest",
}


_OUTCOMES: Final[dict[Action, str]] = {
    "missing": "nothing was sent",
    "refused": "the row was not sent",
    "skipped": "sent without the cell",
    "fixed": "sent, changed",
    "sent": "sent as it is",
    "empty": "sent without the cell",
    "assumed": "sent",
}


class NextStep(Struct, frozen=True):
    """What to do next.

    Attributes:
        sentence: What, and where a command follows, how.
        command: What to type, or None.
    """

    sentence: str
    command: str | None = None


class FinishedRun(Struct, frozen=True, kw_only=True):
    """All that the page tells.

    Attributes:
        files: What was loaded, by name.
        target: Where to: a host, or the sandbox.
        location_id: The location of rows without one of their own, or None.
        report: The counts.
        findings: Examples.
        problems: What there was to be told of cells and rows before they were sent, by kind.
        throughput: The load over time, or None where that is not known.
        sessions: When it was worked on.
        written: The names of the files beside the page.
        closings: Whose channels were closed, or None.
        stopped: What ended the load early, or None.
        next_steps: What to do now.
    """

    files: Sequence[str]
    target: str
    location_id: str | None
    report: BatchReport
    findings: Findings
    problems: Sequence[ProblemCount] = ()
    closings: Closings | None = None
    throughput: Throughput | None
    sessions: Sequence[Session]
    written: Sequence[str]
    stopped: str | None
    next_steps: Sequence[NextStep]


def write_report_page(folder: Path, run: FinishedRun) -> None:
    """Write the page; it takes its place only when it is whole, and one of before is gone where that fails.

    Raises:
        OSError: It could not be written.
    """
    path = folder / REPORT_PAGE
    try:
        write_private(path, build_report_page(run))
    except OSError:
        path.unlink(missing_ok=True)
        raise


def build_report_page(run: FinishedRun) -> str:
    """Return the page as text."""
    report = run.report
    page = Page(f"{count_of(report.total, 'row')}: {_verdict(run)}", heading=_verdict(run), eyebrow=_about(run))
    page.add_to_top(_lead(run), build_bar(_parts(report)), _to_do(run))
    page.add_section("In figures", build_facts(_facts(run)))
    if run.throughput is not None:
        page.add_section("Over time", show_throughput(run.throughput))
    if report.errors:
        page.add_section("Errors", _errors(run))
    if run.findings.to_fix:
        page.add_section("Rows to fix", _rows_to_fix(run))
    if report.skip_reasons:
        page.add_section("Rows not sent on purpose", _skipped(run))
    if run.closings is not None:
        page.add_section("Opt-outs", show_closings(run.closings))
    if run.problems:
        page.add_section("Problems in the file", _problems(run))
    if report.not_applied:
        page.add_section("Fields not applied", _fields_not_applied(run))
    if report.collisions:
        page.add_section("Collisions", _collisions(run))
    if len(run.sessions) > 1:
        page.add_section("Sessions", _sessions(run))
    files = [[" ", link_to_file(name)] for name in run.written if name != REPORT_PAGE]
    made = f"leadconnector-async {__version__}. This page holds personal data; keep it as you keep the file."
    return page.render("Beside this page:", files, element("br"), made)


# ---------------------------------------------------------------------------------------------- the first screen


def _verdict(run: FinishedRun) -> str:
    report = run.report
    done = report.created + report.updated + report.skipped
    rows = count_of(report.total, "row")
    if not report.total:
        return "There was nothing to load"
    if run.stopped is not None or report.not_attempted:
        return f"Stopped early: {done:,} of {rows} {'is' if done == 1 else 'are'} done"
    if done == report.total:
        return f"All {rows} are done" if done > 1 else "The row is done"
    left = report.total - done
    return f"{done:,} of {rows} are done, {left:,} {'is' if left == 1 else 'are'} not"


def _about(run: FinishedRun) -> list[Content]:
    names = [[quoted(name), ", "] for name in run.files[:3]]
    more = f"and {count_of(len(run.files) - 3, 'more file')}, " if len(run.files) > 3 else None
    where: list[Content] = ["into ", quoted(run.target)]
    if run.location_id:
        where += [", location ", quoted(run.location_id)]
    began = run.report.started_at
    return [*names, more, where, ", begun ", _time(began, "started_at") if began else "never"]


def _lead(run: FinishedRun) -> Html:
    report = run.report
    told = f"It took {duration(report.duration_seconds)} and {count_of(report.requests, 'call')}"
    limited = f"; {report.rate_limited or 'none'} rate-limited (HTTP 429)."
    return element("p", told, limited, [" Stopped: ", quoted(run.stopped), "."] if run.stopped else None)


def _parts(report: BatchReport) -> list[Part]:
    counts = report.to_dict()
    return [Part(status.replace("_", " "), counts[status], look, status) for status, look in _LOOKS.items()]


def _to_do(run: FinishedRun) -> Html:
    report = run.report
    steps: list[Content] = [
        [element("p", quoted(step.sentence)), build_commands(step.command) if step.command else None]
        for step in run.next_steps
    ]
    looks: list[Content] = []
    if run.findings.to_fix:
        kinds, rows = element("a", "errors", href="#errors"), element("a", "rows to fix", href="#rows-to-fix")
        looks.append(["What is wrong: see the ", kinds, " by kind, and the ", rows, "."])
    if run.problems:
        link = element("a", "problems in the file", href="#problems-in-the-file")
        looks.append(["What was wrong with cells before they were sent: see the ", link, "."])
    if report.partially_applied:
        link = element("a", "fields not applied", href="#fields-not-applied")
        looks.append(["Look at the ", link, f" of {count_of(report.partially_applied, 'row')}."])
    if report.collisions:
        link = element("a", "collisions", href="#collisions")
        looks.append(["Look at the ", link, ": rows that overwrote the contact of another person."])
    if not steps and not looks:
        steps.append(element("p", "Nothing. Keep this folder as the record of the load."))
    return element("div", element("h2", "What to do now"), steps, [element("p", look) for look in looks], class_="todo")


# ---------------------------------------------------------------------------------------------- sections


def _facts(run: FinishedRun) -> Iterator[tuple[str, Content]]:
    report = run.report
    counts: dict[str, Any] = report.to_dict()
    yield "Rows", number(report.total, key="total")
    yield "Calls", number(report.requests, key="requests")
    yield "Retries", number(report.retries, key="retries")
    yield "Rate-limited (HTTP 429)", number(report.rate_limited, key="rate_limited")
    yield "Rows with fields not applied", number(report.partially_applied, key="partially_applied")
    yield "Rows that reached another person's contact", number(report.collisions, key="collisions")
    seconds = counts["duration_seconds"]
    yield "Time", element("data", duration(seconds), value=str(seconds), data_key="duration_seconds")
    if report.finished_at is not None:
        yield "Finished", _time(report.finished_at, "finished_at")
    if run.throughput is not None and run.throughput.share is not None:
        yield "Of what the limits allow", f"{run.throughput.share:.0%}"
    if run.throughput is not None and run.throughput.left_today is not None:
        yield "Calls left of the day then", number(run.throughput.left_today)
    yield "Sessions", number(report.sessions, key="sessions")


def _errors(run: FinishedRun) -> list[Content]:
    kinds = run.report.errors
    columns = [
        Column("Rows", "number"),
        Column("Status", "number"),
        Column("Message", "sentence"),
        Column("For example"),
        Column("Who"),
        Column("Value"),
    ]
    groups = [(_kind(kind), _examples(run, kind)) for kind in kinds[:_MOST_KINDS]]
    caption = f"Each kind of error, the most frequent first, with at most {MOST_EXAMPLES} of its rows."
    more = len(kinds) - _MOST_KINDS
    rest = element("p", f"{count_of(more, 'more kind')}: all are in ", link_to_file(REPORT), ".") if more > 0 else None
    return [build_grouped_table(caption, columns, groups), rest]


def _kind(kind: ErrorCount) -> list[Content]:
    return [number(kind.count), "" if kind.status is None else kind.status, quoted(kind.message)]


def _examples(run: FinishedRun, kind: ErrorCount) -> list[list[Content]]:
    found = run.findings.errors.get((kind.status, kind.message), [])
    return [[_place(run, row), quoted(row.who), _value(row)] for row in found] or [["", "", ""]]


def _place(run: FinishedRun, row: NotDone) -> Content:
    link: Content = f"{FAILED} row {row.row:,}"
    if FAILED in run.written:
        link = link_to_file(FAILED, f"row {row.row:,}", fragment=f"row={row.row}")
    return [link, element("br"), element("span", "from ", _origin(run, row.place), class_="quiet")]


def _origin(run: FinishedRun, place: str) -> Content:
    """Return where a row comes from; where there is one file only, its name goes without saying."""
    return quoted(place.removeprefix(f"{run.files[0]}, ") if len(run.files) == 1 else place)


def _value(row: NotDone) -> Content:
    if row.column is None:
        return quoted(row.value)
    return [element("span", quoted(row.column), ": ", class_="quiet"), quoted(row.value) if row.value else _NOTHING]


def _rows_to_fix(run: FinishedRun) -> list[Content]:
    report = run.report
    total = report.failed + report.unknown
    columns = [
        Column(f"In {FAILED}"),
        Column("Who"),
        Column("Status", "word"),
        Column("Why", "sentence"),
        Column("Value"),
    ]
    rows = [
        [_place(run, row), quoted(row.who), row.status.replace("_", " "), _why(row), _value(row)]
        for row in run.findings.to_fix
    ]
    shown = f"The first {len(rows):,} of {total:,}; all are in " if total > len(rows) else "All of them, as in "
    link = link_to_file(FAILED) if FAILED in run.written else FAILED
    return [build_table([shown, link, ". The header is row 1 there."], columns, rows)]


def _why(row: NotDone) -> list[Content]:
    return [quoted(row.error.message if row.error else ""), [" (", quoted(row.note), ")"] if row.note else None]


def _skipped(run: FinishedRun) -> list[Content]:
    columns = [Column("Rows", "number"), Column("Why", "sentence")]
    reasons = sorted(run.report.skip_reasons.items(), key=lambda pair: -pair[1])
    where: Content = ["All are in ", link_to_file(SKIPPED), "."] if SKIPPED in run.written else None
    return [build_table(where, columns, [[number(count), quoted(reason)] for reason, count in reasons])]


def _problems(run: FinishedRun) -> list[Content]:
    columns = [
        Column("Cells", "number"),
        Column("Column"),
        Column("What is wrong", "sentence"),
        Column("For example"),
        Column("Value"),
    ]
    groups = [(_problem_kind(kind), _cells(run, kind)) for kind in run.problems[:_MOST_KINDS]]
    caption: list[Content] = [f"By kind, the gravest first, with at most {MOST_EXAMPLES} cells of each."]
    if PROBLEMS in run.written:
        caption += [" All are in ", link_to_file(PROBLEMS), ". The header is row 1 there."]
    more = len(run.problems) - _MOST_KINDS
    rest = element("p", f"{count_of(more, 'more kind')}.") if more > 0 else None
    return [build_grouped_table(caption, columns, groups), rest]


def _problem_kind(kind: ProblemCount) -> list[Content]:
    what = [quoted(kind.sentence), element("br"), element("span", _OUTCOMES[kind.action], class_="quiet")]
    return [number(kind.count), quoted(kind.column), what]


def _cells(run: FinishedRun, kind: ProblemCount) -> list[list[Content]]:
    found = run.findings.problems.get((kind.column, kind.sentence, kind.action), [])
    return [[_cell_place(run, cell), quoted(cell.value)] for cell in found] or [["", ""]]


def _cell_place(run: FinishedRun, cell: CellExample) -> Content:
    link: Content = f"{PROBLEMS} row {cell.row:,}"
    if PROBLEMS in run.written:
        link = link_to_file(PROBLEMS, f"row {cell.row:,}", fragment=f"row={cell.row}")
    return [link, element("br"), element("span", "from ", _origin(run, cell.place), class_="quiet")]


def _fields_not_applied(run: FinishedRun) -> list[Content]:
    fields = sorted(run.report.not_applied.items(), key=lambda pair: -pair[1])
    columns = [Column("Rows", "number"), Column("Field"), Column("Row"), Column("Who")]
    columns += [Column("Sent"), Column("Stored")]
    groups = []
    for name, count in fields[:_MOST_FIELDS]:
        what = [quoted(name), element("br"), element("span", why_not_applied(name), class_="quiet")]
        found = run.findings.dropped.get(name, [])
        rows = [
            [_origin(run, row.place), quoted(row.who), quoted(row.sent), quoted(row.stored) if row.stored else _NOTHING]
            for row in found
        ]
        groups.append(([number(count), what], rows or [["", "", "", ""]]))
    caption: list[Content] = [f"Contacts that the service took without a field; at most {MOST_EXAMPLES} rows of each."]
    if NOT_APPLIED in run.written:
        caption += [" All are in ", link_to_file(NOT_APPLIED), "."]
    return [build_grouped_table(caption, columns, groups)]


def _collisions(run: FinishedRun) -> list[Content]:
    met, shown = run.report.collisions, run.findings.meetings
    told = f"{count_of(met, 'row')} met the contact of another row, which is about another person, and overwrote it."
    where: Content = [" All are in ", link_to_file(COLLISIONS), "."] if COLLISIONS in run.written else None
    columns = [Column("Contact"), Column("Field"), Column("Written first"), Column("Overwrote it")]
    groups = [([quoted(meeting.contact_id)], _differences(run, meeting)) for meeting in shown]
    caption = f"The first {len(shown):,}, side by side." if met > len(shown) else "Side by side."
    return [element("p", told, where), build_grouped_table(caption, columns, groups)]


def _differences(run: FinishedRun, meeting: Meeting) -> list[list[Content]]:
    rows: list[list[Content]] = [["from", _origin(run, meeting.first), _origin(run, meeting.later)]]
    shown = meeting.differences[:_MOST_DIFFERENCES]
    rows += [[quoted(name), quoted(one), quoted(other)] for name, one, other in shown]
    more = len(meeting.differences) - len(shown)
    return [*rows, [f"and {more:,} more", "", ""]] if more else rows


def _sessions(run: FinishedRun) -> Html:
    columns = [Column("Session", "number"), Column("Begun"), Column("Calls at once", "number")]
    columns.append(Column("Ended"))
    first = max(len(run.sessions) - _MOST_SESSIONS, 0)
    rows: list[list[Content]] = [
        [position, _time(datetime.fromtimestamp(one.began_at, UTC)), one.concurrency, _end(one)]
        for position, one in enumerate(run.sessions[first:], first + 1)
    ]
    caption = f"The last {len(rows):,} of {len(run.sessions):,}." if first else "When the load was worked on."
    return build_table(caption, columns, rows)


def _end(session: Session) -> str:
    return "in order" if session.has_ended else "cut off"


def _time(when: datetime, key: str | None = None) -> Html:
    return element("time", f"{when.day} {when:%B %Y, %H:%M:%S} UTC", datetime=when.isoformat(), data_key=key)
