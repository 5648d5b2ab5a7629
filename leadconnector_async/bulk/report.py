"""The outcome of each row, and the report of a load. Pure data; only this module counts outcomes."""

from __future__ import annotations

import csv
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ..calls.call import CallCount
from ..errors import (
    APIError,
    DuplicateContactError,
    InvalidContactError,
    InvalidResponseError,
    LeadConnectorError,
    LocationRefusedError,
    UsageError,
    as_picklable,
)
from ..models.contacts import NotApplied
from ..private_file import open_private
from ..protocol.text import count_of, neutral_cell
from ..rules.problems import Problem
from ..version import __version__

Status: TypeAlias = Literal["created", "updated", "failed", "skipped", "unknown", "not_attempted"]
SCHEMA: Final = 1
"""The number of the schema of all documents for machines. It changes when a key is removed or changes its meaning."""
STATUSES: Final[tuple[Status, ...]] = ("created", "updated", "failed", "skipped", "unknown", "not_attempted")


_MOST_ERROR_CHARS: Final = 200_000  # of all kinds together
_MOST_ERRORS: Final = 1000  # kinds; a message may name the row's own values, and be another for each row
_OTHER_ERRORS: Final = "other errors"
_MOST_REASONS: Final = 3  # kinds that an exception names; report.errors has all
_MOST_REASON_CHARS: Final = 200
_ADDED: Final = (  # what the counts of several reports are added up of, but for those by kind
    "requests retries rate_limited requests_in_doubt partially_applied collisions inferred merged".split()
)
_OF_ROWS: Final = (  # what a report counts of rows rather than of calls
    "_counts _errors total partially_applied collisions inferred merged not_applied skip_reasons".split()
)


class RowError(Struct, frozen=True):
    """Why a row is not done.

    Attributes:
        kind: The name of the exception, as in `leadconnector_async.errors`.
        status: The HTTP status, or None where there was no answer.
        message: One sentence, the same for all rows that have this error.
        where: The place in a file that the row comes from, or None.
    """

    kind: str
    status: int | None
    message: str
    where: str | None = None

    def __str__(self) -> str:
        return self.message if self.where is None else f"{self.where}: {self.message}"


def row_error(error: Exception) -> RowError:
    """Keep of an exception what a report needs; the exception itself would hold on to whole stacks."""
    if isinstance(error, InvalidContactError):
        return RowError(type(error).__name__, None, _unicode(error.sentence), error.where and _unicode(error.where))
    status = error.status if isinstance(error, APIError | InvalidResponseError | LocationRefusedError) else None
    message = "; ".join(error.messages) if isinstance(error, APIError) else str(error)
    if isinstance(error, DuplicateContactError):
        owner = f"contact {error.contact_id}{error.contact_name and f' ({error.contact_name})'}"
        message = f"{message}; {owner} has the {error.matching_field or 'email or phone'}"
    return RowError(type(error).__name__, status, _unicode(message) or type(error).__name__)


def _unicode(text: str) -> str:
    """Escape what no file can hold: lone surrogates, as of a file's name that is no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """What became of one row.

    Attributes:
        index: The row's place in its source, from 0.
        status: `created` or `updated`: applied. `failed`: refused, or given up; `note` says where a try may have been
            applied all the same, and the row is safe to send again. `unknown`: may or may not have been applied, and is
            not safe to send again, or the load ended in the midst. `not_attempted`: the load ended before. `skipped`:
            not sent, on purpose.
        contact_id: The contact it was applied to.
        new: Whether the contact was created; None where that is not known.
        inferred: Whether no answer said that the contact was created: the answer was lost, `dateAdded` lies within the
            very try, and the contact held nothing but what was sent. `undo` keeps such contacts by default.
        trace_id: The API's id of the call, for its support.
        error: Why it is not done.
        not_applied: Fields that were sent and that the service did not take, although it took the contact.
        attempts: Tries it took, not counting those that were rate-limited (HTTP 429).
        rate_limited: Tries that were rate-limited (HTTP 429).
        note: What else there is to know of how the status was found.
        collision_with: The index of another row of the load that reached the same contact, although it is about another
            person: the later of the two has overwritten what the earlier one stored.
        calls: How many calls the tries were of: more than one where the row's opt-out was sent apart.
        merged_into: The index of the earlier row of the same person whose call sent this one as well, where rows were
            coalesced; that row counts the tries.
        ref: What the row came with, of a `Row`; None otherwise, and in what is read from a journal: it is not stored.
        problems: What `checks` found wrong with its values, or changed in them.
    """

    # Known to the garbage collector, as a `ref` may lead back to its outcome; those without one are not tracked anyway.

    index: int
    status: Status
    contact_id: str | None = None
    new: bool | None = None
    inferred: bool = False
    trace_id: str | None = None
    error: RowError | None = None
    not_applied: tuple[NotApplied, ...] = ()
    attempts: int = 0
    rate_limited: int = 0
    note: str | None = None
    collision_with: int | None = None
    calls: int = 1
    merged_into: int | None = None
    ref: Any = None
    problems: tuple[Problem, ...] = ()

    @property
    def has_calls(self) -> bool:
        """Whether anything was sent."""
        return bool(self.attempts or self.rate_limited)


def calls_of(outcome: Outcome) -> CallCount:
    """Return what the calls of a row took, as its outcome says."""
    retries = max(outcome.attempts - outcome.calls, 0)
    return CallCount(outcome.attempts + outcome.rate_limited, retries, outcome.rate_limited)


CLOSED_ONLY: Final = "ClosedOnly"
"""The kind of error of a row of which nothing was sent but that it closes channels."""


def has_closed(outcome: Outcome) -> bool:
    """Whether nothing of a row was sent but that it closes channels."""
    return outcome.status == "skipped" and outcome.error is not None and outcome.error.kind == CLOSED_ONLY


OnOutcome: TypeAlias = Callable[[Outcome], Awaitable[None] | None]
"""What a caller has done with each outcome as it comes; what it returns is awaited."""


class ErrorCount(Struct, frozen=True):
    """One kind of error and how many rows it hit."""

    status: int | None
    message: str
    count: int


class Tally(Struct, frozen=True, kw_only=True):
    """What a report counts, in a form that goes from one process to another; see `BatchReport`."""

    counts: dict[Status, int]
    requests: int
    retries: int
    rate_limited: int
    partially_applied: int
    collisions: int
    not_applied: dict[str, int]
    errors: list[ErrorCount]
    inferred: int = 0
    merged: int = 0
    requests_in_doubt: int = 0


class BatchReport:
    """A load as a whole: counts, errors, and where wanted each outcome.

    Args:
        keep_outcomes: Whether to keep the outcomes; without, memory does not grow with rows.

    Attributes:
        outcomes: Those kept; in the order of the rows once the load is over, before that as they came.
        stopped: What ended the load before its last row, or None.
        paused: Why the load waits for the service now, with its address; None where it does not wait.
        closed_locations: Locations that took no more calls while others went on, and why; their rows that are not done
            are `not_attempted`, and `stopped` is the first of the reasons.
        not_applied: Fields that the service did not take, each with the number of its rows.
        partially_applied: Rows of which the service did not take all.
        collisions: Rows that reached the contact of another row, which is about another person.
        requests: Tries that were sent, in all sessions. A try that looked something up as its process was killed is
            missing, as nothing is written before it.
        requests_in_doubt: How many of them were about to be sent as a process was killed: each is counted, and may not
            have left.
        merged: Rows that were sent by the call of an earlier one (`Outcome.merged_into`).
        inferred: Rows `created` of which no answer said so (`Outcome.inferred`).
        skip_reasons: Why rows were not sent on purpose, each with the number of its rows.
        sessions: In how many sessions the load was done, this one included.
        started_at: When, in UTC; None before.
        finished_at: When, in UTC; None before.
        location_id: The location of rows that do not name one, or None.
        host: The host that was called; None before.
        sources: The names of the files that were loaded; none for rows from Python.
    """

    def __init__(self, *, keep_outcomes: bool = True) -> None:
        self._counts: dict[Status, int] = dict.fromkeys(STATUSES, 0)
        self.total = 0
        self.requests = self.retries = self.rate_limited = self.partially_applied = self.collisions = 0
        self.inferred = self.merged = self.requests_in_doubt = 0
        self.sessions = 1
        self.outcomes: list[Outcome] = []
        self.stopped: Exception | None = None
        self.paused: str | None = None
        self.closed_locations: dict[str, LeadConnectorError] = {}
        self.started_at: datetime | None = None
        self.finished_at: datetime | None = None
        self.location_id: str | None = None
        self.host: str | None = None
        self.sources: list[str] = []
        self._session_began = 0.0, 0.0  # by the date and by the monotonic clock
        self.keeps_outcomes = keep_outcomes
        self._has_replaced = False
        self.not_applied: dict[str, int] = {}
        self.skip_reasons: dict[str, int] = {}
        self._errors: dict[tuple[int | None, str], int] = {}

    def __getstate__(self) -> dict[str, Any]:
        stopped = None if self.stopped is None else as_picklable(self.stopped)
        return {**self.__dict__, "stopped": stopped}

    def __repr__(self) -> str:
        if not hasattr(self, "_counts"):
            return "<BatchReport that was not made>"
        counts = " ".join(f"{status}={count}" for status, count in self._counts.items() if count)
        return f"<BatchReport total={self.total} {counts}>"

    @property
    def created(self) -> int:
        """Rows with that status."""
        return self._counts["created"]

    @property
    def updated(self) -> int:
        """Rows with that status."""
        return self._counts["updated"]

    @property
    def failed(self) -> int:
        """Rows with that status."""
        return self._counts["failed"]

    @property
    def skipped(self) -> int:
        """Rows with that status."""
        return self._counts["skipped"]

    @property
    def unknown(self) -> int:
        """Rows with that status."""
        return self._counts["unknown"]

    @property
    def not_attempted(self) -> int:
        """Rows with that status."""
        return self._counts["not_attempted"]

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; it must be the only one of its row."""
        self._count(outcome, 1)
        if self.keeps_outcomes:
            self.outcomes.append(outcome)

    def add_plain(self, status: Status, count: int) -> None:
        """Count outcomes of which nothing matters but that they took one try and have this status."""
        self.total += count
        self.requests += count
        self._counts[status] += count

    def add_rest(self, count: int, error: RowError) -> None:
        """Count rows that the load never came to."""
        if count > 0:
            self.total += count
            self._counts["not_attempted"] += count
            self._count_error(error, count)

    def add_count(self, calls: CallCount) -> None:
        """Count calls that no outcome shows: of steps, and of rows that a later session sent again."""
        self.requests += calls.requests
        self.retries += calls.retries
        self.rate_limited += calls.rate_limited
        self.requests_in_doubt += calls.in_doubt

    def tally(self) -> Tally:
        """Return what is counted so far."""
        return Tally(
            counts=self._counts.copy(),
            requests=self.requests,
            retries=self.retries,
            rate_limited=self.rate_limited,
            partially_applied=self.partially_applied,
            collisions=self.collisions,
            inferred=self.inferred,
            merged=self.merged,
            not_applied=self.not_applied.copy(),
            errors=self.errors,
            requests_in_doubt=self.requests_in_doubt,
        )

    def add_tally(self, tally: Tally) -> None:
        """Count all that another report counted, whose rows are none of this one's."""
        for status, count in tally.counts.items():
            self._counts[status] += count
            self.total += count
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(tally, name))
        for field, count in tally.not_applied.items():
            self.not_applied[field] = self.not_applied.get(field, 0) + count
        for error in tally.errors:
            self._count_error(error, error.count)

    def take_over(self, told: BatchReport) -> None:
        """Have the rows as another report counts them; calls and times stay."""
        for name in _OF_ROWS:
            setattr(self, name, getattr(told, name))

    def put_again(self, outcome: Outcome) -> None:
        """Put an outcome, which was counted before, in the place of the one that is kept of its row."""
        if self.keeps_outcomes:
            self.outcomes.append(outcome)
            self._has_replaced = True

    def take_back(self, outcome: Outcome) -> None:
        """Count an outcome no more: its row is another one now, and will have another. Its calls were made all the
        same."""
        self._count(outcome, -1)
        self.add_count(calls_of(outcome))
        self._has_replaced = True

    def take_back_calls(self, outcome: Outcome) -> None:
        """Count the calls of an outcome no more: they are counted with it once more, as it still stands."""
        calls = calls_of(outcome)
        self.requests -= calls.requests
        self.retries -= calls.retries
        self.rate_limited -= calls.rate_limited

    def _count(self, outcome: Outcome, by: int) -> None:
        self.total += by
        self._counts[outcome.status] += by
        attempts, rate_limited = outcome.attempts, outcome.rate_limited
        self.requests += (attempts + rate_limited) * by
        if attempts > outcome.calls:
            self.retries += (attempts - outcome.calls) * by
        if rate_limited:
            self.rate_limited += rate_limited * by
        if outcome.not_applied:
            self.partially_applied += by
            for field in {missing.field: None for missing in outcome.not_applied}:
                self.not_applied[field] = self.not_applied.get(field, 0) + by
        self.collisions += by * (outcome.collision_with is not None)
        self.inferred += by * outcome.inferred
        self.merged += by * (outcome.merged_into is not None)
        if outcome.error is not None:
            self._count_reason(outcome.status, outcome.error, by)

    def _count_reason(self, status: Status, reason: RowError, by: int) -> None:
        if status == "skipped":
            is_known = reason.message in self.skip_reasons or len(self.skip_reasons) < _MOST_ERRORS
            message = reason.message if is_known else _OTHER_ERRORS
            self.skip_reasons[message] = self.skip_reasons.get(message, 0) + by
        else:
            self._count_error(reason, by)

    def _count_error(self, error: RowError | ErrorCount, by: int) -> None:
        key = (error.status, error.message)
        if key not in self._errors and not self._has_room(error.message):
            key = (None, _OTHER_ERRORS)
        self._errors[key] = self._errors.get(key, 0) + by

    def _has_room(self, message: str) -> bool:
        """Whether one kind more can be counted by itself: the service may say something else of each row, at length."""
        if len(self._errors) >= _MOST_ERRORS:
            return False
        return len(message) + sum(len(known) for _, known in self._errors) <= _MOST_ERROR_CHARS

    def start(self, began_at: float, *, now: float, monotonic: float) -> None:
        """Set the beginning.

        Args:
            began_at: When the first session began, in seconds since 1970.
            now: When this one does.
            monotonic: The same by a clock that nobody sets.
        """
        self.started_at = datetime.fromtimestamp(min(began_at, now), UTC)
        self._session_began = now, monotonic

    def finish(self, monotonic: float) -> None:
        """Set the end, by the clock that nobody sets, and put the outcomes in the order of their rows."""
        now, then = self._session_began
        self.finished_at = datetime.fromtimestamp(now + monotonic - then, UTC)
        if self._has_replaced:
            self.outcomes = list({outcome.index: outcome for outcome in self.outcomes}.values())  # the later ones
        self.outcomes.sort(key=lambda outcome: outcome.index)

    @property
    def errors(self) -> list[ErrorCount]:
        """Each kind of error with the number of its rows, the most frequent first, then by status and message."""
        kinds = [ErrorCount(status, message, count) for (status, message), count in self._errors.items() if count]
        return sorted(kinds, key=lambda kind: (-kind.count, kind.status or 0, kind.message))

    @property
    def duration_seconds(self) -> float:
        """Seconds from start to finish; 0 while it runs."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def is_complete(self) -> bool:
        """Whether every row is done: none failed, unknown or not attempted, and nothing ended the load early."""
        return self.stopped is None and self.failed == self.unknown == self.not_attempted == 0

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes of rows that are not done (failed, unknown or not attempted), in the order of `outcomes`.

        Raises:
            UsageError: Rows are not done, and outcomes were not kept (`keep_outcomes=False`).
        """
        not_done = self.failed + self.unknown + self.not_attempted
        if not_done and not self.keeps_outcomes:
            raise UsageError(
                f"{count_of(not_done, 'row')} not done, but outcomes were not kept; load with keep_outcomes=True"
            )
        return [outcome for outcome in self.outcomes if outcome.status in ("failed", "unknown", "not_attempted")]

    def raise_for_failures(self) -> None:
        """Do nothing if every row is done; else raise an error that says how many are not, and why.

        Raises:
            LoadStoppedError: The load ended early; `__cause__` says why.
            RowsFailedError: Rows failed or are unknown. Both carry this report.
        """
        if self.stopped is not None or self.not_attempted:
            reason = "" if self.stopped is None else f": {self.stopped}"
            not_done = f"; {self._not_done()}" if self.failed or self.unknown else ""
            raise LoadStoppedError(
                f"the load stopped with {count_of(self.not_attempted, 'row')} not attempted{reason}{not_done}",
                report=self,
            ) from self.stopped
        if not self.is_complete:
            where = "; report.failures has each of them" if self.keeps_outcomes else ""
            raise RowsFailedError(f"{self._not_done()}{self._reasons()}{where}", report=self)

    def _not_done(self) -> str:
        """Say how many rows failed or are unknown."""
        of_all = f" of {count_of(self.total, 'row')}"
        failed = f"{self.failed}{of_all} failed" if self.failed else ""
        unknown = f"{self.unknown}{'' if failed else of_all} may or may not have been applied" if self.unknown else ""
        return " and ".join(filter(None, (failed, unknown)))

    def _reasons(self) -> str:
        """Name the most frequent kinds of errors."""
        kinds = self.errors
        named = "; ".join(f"{kind.count} x {kind.message[:_MOST_REASON_CHARS]}" for kind in kinds[:_MOST_REASONS])
        more = len(kinds) - _MOST_REASONS
        return (f": {named}" if named else "") + (f"; and {more} more in report.errors" if more > 0 else "")

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds: counts, times (ISO 8601), errors; not the outcomes."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "location": self.location_id,
            "host": self.host,
            "sources": self.sources,
            "total": self.total,
            **{str(status): count for status, count in self._counts.items()},
            "partially_applied": self.partially_applied,
            "collisions": self.collisions,
            "requests": self.requests,
            "retries": self.retries,
            "rate_limited": self.rate_limited,
            "started_at": self.started_at and self.started_at.isoformat(),
            "finished_at": self.finished_at and self.finished_at.isoformat(),
            "duration_seconds": round(self.duration_seconds, 3),
            "errors": msgspec.to_builtins(self.errors),
            **({"requests_in_doubt": self.requests_in_doubt} if self.requests_in_doubt else {}),
            **({"merged": self.merged} if self.merged else {}),
            **({"inferred": self.inferred} if self.inferred else {}),
            **({"closed_locations": self._reasons_closed()} if self.closed_locations else {}),
            **({"skip_reasons": self.skip_reasons} if self.skip_reasons else {}),
            **({"sessions": self.sessions} if self.sessions > 1 else {}),
        }

    def _reasons_closed(self) -> dict[str, str]:
        return {location_id: str(error) for location_id, error in self.closed_locations.items()}

    def to_json(self, path: str | Path | None = None) -> str:
        """Return `to_dict()` as JSON text, and write it to `path` where one is given. A new file gets mode 0600."""
        text = format_json(self.to_dict())
        if path is not None:
            with open(path, "w", encoding="utf-8", opener=open_private) as file:
                file.write(text)
        return text

    def to_csv(self, path: str | Path) -> None:
        """Write the outcomes that were kept, a line each, in the order of `outcomes`. A new file gets mode 0600."""
        with open(path, "w", encoding="utf-8", newline="", opener=open_private) as file:
            write_outcomes(file, self.outcomes)


def format_json(document: Mapping[str, Any]) -> str:
    """Return a document as JSON for people, too."""
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


OUTCOME_COLUMNS: Final = ("index", "status", "contact_id", "new", "trace_id", "attempts", "error")


def write_outcomes(file: Any, outcomes: Iterable[Outcome]) -> None:
    """Write outcomes as CSV with a header to an open text file."""
    writer = csv.writer(file)
    writer.writerow(OUTCOME_COLUMNS)
    for outcome in outcomes:
        writer.writerow([_cell(getattr(outcome, column)) for column in OUTCOME_COLUMNS])


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return neutral_cell(value) if isinstance(value, str) else "" if value is None else value


class LoadError(LeadConnectorError):
    """A bulk load did not do all it was asked.

    Attributes:
        report: What became of each row, as far as the load got.
    """

    def __init__(self, message: str, *, report: BatchReport) -> None:
        super().__init__(message)
        self.report = report


class LoadStoppedError(LoadError):
    """The load ended before its last row; `__cause__` is why, and the rows not tried are `not_attempted`."""


class RowsFailedError(LoadError):
    """The load went through all its rows, and some failed or are unknown."""
