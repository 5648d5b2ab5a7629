"""The invariant of all drills: each row has exactly one outcome, and it is true by the sandbox's own books."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from leadconnector_async import BatchReport, Outcome
from leadconnector_async.bulk.report import STATUSES
from leadconnector_async.sandbox import Applied, Sandbox
from leadconnector_async.sandbox.validation import read_phone

Row: TypeAlias = dict[str, Any]

# The errors that end a load: only these may leave a row that is safe to repeat `unknown`.
CUTS_OFF = {
    "AuthenticationError",
    "DailyQuotaExceededError",
    "OutageError",
    "RateLimitStuckError",
    "StopRequestedError",
    "TooManyFailuresError",
    "TokenSourceError",
}
MAY_BE_NEW = "may have created it"


class Write(Struct, frozen=True):
    """What one call did to one contact, in the order in which it was done.

    Attributes:
        row: The row that the call was for.
        contact: The contact right after it.
        new: Whether the call created it.
        fault: The fault that its answer met, or None.
    """

    row: int
    contact: Mapping[str, Any]
    new: bool
    fault: str | None

    @property
    def contact_id(self) -> str:
        return str(self.contact["id"])


class Witness:
    """Sees all that the sandbox does for the rows of one load, which are known by their mark."""

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def note(self, applied: Applied) -> None:
        """For `Sandbox(on_applied=...)`."""
        if applied.method == "GET":  # the load asks for its location, to learn whether the service is up again
            return
        contact = copy.deepcopy(dict(applied.answered["contact"]))
        self.writes.append(Write(row_of(applied.sent), contact, bool(applied.answered["new"]), applied.fault))


def mark(index: int) -> str:
    """What tells a row of a drill from all others, on the wire and in the books: for its field `source`."""
    return f"row {index}"


def row_of(sent: Mapping[str, Any]) -> int:
    return int(sent["source"].removeprefix("row "))


def assert_each_row_is_told_truly(
    rows: Sequence[Row], report: BatchReport, sandbox: Sandbox, witness: Witness, *, is_ordered: bool = True
) -> None:
    """Check every outcome of a load against what the sandbox did.

    Args:
        rows: What was loaded; each valid one marked by its place. Of a load that was cut off, the first may be read.
        report: Of the load, with its outcomes.
        sandbox: Where it went.
        witness: What the sandbox did for it.
        is_ordered: Whether rows of one identity must have been applied in order: not so where tries that the client
            gave up in time may still be under way.
    """
    outcomes = report.outcomes
    assert sorted(outcome.index for outcome in outcomes) == list(range(len(outcomes))), "one outcome for each row"
    _assert_it_adds_up(report)
    by_row: defaultdict[int, list[Write]] = defaultdict(list)
    for write in witness.writes:
        by_row[write.row].append(write)
    assert all(index < len(outcomes) for index in by_row), "a row was applied that was not even read"
    for outcome in outcomes:
        wrong = "; ".join(_lies(outcome, rows[outcome.index], by_row[outcome.index]))
        assert not wrong, f"{wrong}: {outcome} of {rows[outcome.index]}, applied as {by_row[outcome.index]}"
    told_created = [outcome.contact_id for outcome in outcomes if outcome.status == "created"]
    assert len(told_created) == len(set(told_created)), "a contact is told created twice"
    _assert_the_books_hold(sandbox, witness)
    if is_ordered:
        _assert_order(rows, witness)


def _assert_it_adds_up(report: BatchReport) -> None:
    assert report.total == len(report.outcomes) == sum(getattr(report, status) for status in STATUSES)
    for status in STATUSES:
        assert getattr(report, status) == sum(outcome.status == status for outcome in report.outcomes)
    rate_limited = sum(outcome.rate_limited for outcome in report.outcomes)
    of_rows = rate_limited + sum(outcome.attempts for outcome in report.outcomes)
    assert 0 <= report.rate_limited - rate_limited <= report.requests - of_rows, (
        "probes during an outage are calls, too"
    )


def _lies(outcome: Outcome, row: Row, writes: list[Write]) -> Iterator[str]:
    """Say what is untrue in an outcome, given all that was done for its row."""
    is_repeatable = not row.get("createNewIfDuplicateAllowed")
    if not is_repeatable and len(writes) > 1:
        yield "what could make a second contact was repeated"
    if len(writes) > outcome.attempts:
        yield "it was applied more often than it tells of attempts"
    if outcome.status in ("created", "updated"):
        yield from _lies_of_success(outcome, row, writes)
    elif outcome.error is None:
        yield "it does not say why"
    if outcome.status == "failed":
        yield from _lies_of_failure(outcome, writes, is_repeatable=is_repeatable)
    if outcome.status == "not_attempted" and writes:
        yield "it was applied"
    if outcome.status == "unknown" and is_repeatable and outcome.error and outcome.error.kind not in CUTS_OFF:
        yield "it is safe to repeat and was not cut off, and so never unknown"


def _lies_of_success(outcome: Outcome, row: Row, writes: list[Write]) -> Iterator[str]:
    if not writes or writes[-1].contact_id != outcome.contact_id:
        yield "it was not applied to that contact"
        return
    has_created = any(write.new for write in writes if write.contact_id == outcome.contact_id)
    if has_created != (outcome.status == "created") and MAY_BE_NEW not in (outcome.note or ""):
        yield "created and updated are mixed up"
    if outcome.new is not (outcome.status == "created"):
        yield "`new` and status differ"
    missing = {missing.field for missing in outcome.not_applied}
    stored = writes[-1].contact
    for field, value in _as_stored(row).items():
        if stored.get(field) != value and field not in missing:
            yield f"{field} is not what the row says"


def _lies_of_failure(outcome: Outcome, writes: list[Write], *, is_repeatable: bool) -> Iterator[str]:
    # A service that applies a call and says that it refused it cannot be seen through.
    if [write for write in writes if write.fault != "422-created"] and outcome.note is None:
        yield "it was applied, and there is no word of doubt"
    if outcome.note is not None and not is_repeatable:
        yield "it is in doubt and not safe to repeat, and so not failed but unknown"
    if not outcome.attempts and writes:
        yield "it was applied without an attempt"


def _as_stored(row: Row) -> Row:
    """The fields of a row that a drill looks at, as the service stores them."""
    stored: Row = {field: row[field] for field in ("firstName", "source") if field in row}
    if row.get("email"):
        stored["email"] = row["email"].strip().lower()
    if row.get("phone"):
        stored["phone"] = read_phone(row["phone"], "US")
    return stored


def _assert_the_books_hold(sandbox: Sandbox, witness: Witness) -> None:
    last = {write.contact_id: write for write in witness.writes}
    for contact_id, write in last.items():
        stored = sandbox.contact(contact_id) or {}
        answered = {name: write.contact.get(name) for name in stored}  # an answer also shows what nobody has written
        assert stored, "it is there"
        assert stored == answered, "the books hold what the last write left"
    created = [write.contact_id for write in witness.writes if write.new]
    assert len(created) == len(set(created))
    assert set(created) <= {contact["id"] for contact in sandbox.contacts()}


def _assert_order(rows: Sequence[Row], witness: Witness) -> None:
    applied: defaultdict[str, list[int]] = defaultdict(list)
    for write in witness.writes:
        wanted = _as_stored(rows[write.row])
        for key in {wanted.get("email"), wanted.get("phone")} - {None}:
            applied[str(key)].append(write.row)
    for key, indexes in applied.items():
        assert indexes == sorted(indexes), f"rows of {key} were applied out of order"
