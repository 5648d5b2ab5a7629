"""Verify a run: read its contacts back by their ids and compare them with the rows that were sent."""

from __future__ import annotations

import asyncio
import csv
import math
import random
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from ..bulk.closing import closings_of
from ..bulk.pool import Pool
from ..bulk.report import SCHEMA, Outcome, has_closed
from ..calls.server_clock import CLOCK_TOLERANCE, read_time
from ..client import LeadConnector
from ..errors import CallError, ConfigurationError, LeadConnectorError, NotFoundError
from ..models import Contact, ContactUpsert
from ..models.compare import CUSTOM_PREFIX, find_not_applied
from ..models.contacts import NotApplied
from ..models.normal import sorted_tags
from ..private_file import open_anew, write_private
from ..protocol.answers import clean_text
from ..protocol.text import neutral_cell
from ..run.database import Database
from ..run.journal import Journal
from ..run.rows import RunFile, RunRow
from .load import Sending
from .tables.table import text_of
from .tagging import without_tags

# ---------------------------------------------------------------------------------------------- samples

CONFIDENCE: Final = 0.95
_HALVINGS: Final = 40


class Sample(Struct, frozen=True):
    """How many rows to look at.

    Attributes:
        count: So many, or None where a share is named.
        share: Such a part of all, above 0 and at most 1.

    Raises:
        ConfigurationError: It is no sample.
    """

    count: int | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        if (self.count is not None and self.count < 1) or not 0 < self.share <= 1:
            raise ConfigurationError("`sample` is not valid; give 1 row or more, or a share above 0 and at most 1")

    def __str__(self) -> str:
        return f"{self.share * 100:.10g}%" if self.count is None else str(self.count)

    def size(self, total: int) -> int:
        """Return the size of the sample for a number of rows; of a share at least one."""
        if self.count is not None:
            return min(self.count, total)
        return min(total, math.ceil(total * self.share))

    def pick(self, total: int, seed: int) -> frozenset[int] | None:
        """Choose rows at random, counted from 0, the same for one seed; None for all."""
        size = self.size(total)
        return None if size == total else frozenset(random.Random(seed).sample(range(total), size))


def most_differing(differing: int, compared: int) -> float:
    """Return the share of all rows that differs at most, at 95 % confidence.

    The one-sided bound of Clopper and Pearson: the share at which so few in a sample are found in 1 of 20 samples. It
    holds for any number of rows; of a sample that is much of all of them, the truth is better.

    Args:
        differing: How many rows of the sample differ.
        compared: How many rows it has.
    """
    if differing >= compared:
        return 1.0
    ways = _log_ways(differing, compared)
    low, high = differing / compared, 1.0
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        hit, miss = math.log(share), math.log1p(-share)
        chance = math.fsum(math.exp(way + n * hit + (compared - n) * miss) for n, way in enumerate(ways))
        if chance > 1 - CONFIDENCE:
            low = share
        else:
            high = share
    return high


def _log_ways(most: int, tries: int) -> list[float]:
    """Return the logarithm of how many ways there are to have 0, 1, ... hits."""
    return [math.lgamma(tries + 1) - math.lgamma(n + 1) - math.lgamma(tries - n + 1) for n in range(most + 1)]


def describe_confidence(differing: int, compared: int) -> str:
    """Say in plain words what a sample says about all rows."""
    found = "none" if not differing else f"{differing:,}"
    share = math.ceil(most_differing(differing, compared) * 10_000) / 100
    return f"{found} of {compared:,} differed: with 95 % confidence at most {share:g} % of all rows do"


# ---------------------------------------------------------------------------------------------- when the run ended

_ENDED_AT: Final = "ended_at"


def note_end(journal: Journal, client: LeadConnector) -> None:
    """Note in the journal of a run that nothing more of it is on its way.

    Raises:
        JournalError: It could not be written.
    """
    span = client.server_clock.span(client.clock.monotonic())
    if span is not None:
        journal.note({_ENDED_AT: repr(span[1])})


def read_end(journal: Journal) -> float | None:
    """Return when a run ended, in seconds since 1970 by the server's clock; None if that is not known.

    Raises:
        JournalError: The journal cannot be read.
    """
    noted = journal.about(_ENDED_AT)
    known = [time for time in (journal.arrived_until(), None if noted is None else float(noted)) if time is not None]
    return max(known, default=None)


def changed_since(contact: Contact, ended_at: float | None) -> bool | None:
    """Whether a contact was changed after a run, by its `dateUpdated`; None if that cannot be known.

    The change may come from a person, or from an automation that the run itself triggered.
    """
    updated = read_time(contact.date_updated)
    if updated is None or ended_at is None:
        return None
    return updated > ended_at + CLOCK_TOLERANCE


VERIFY_TABLE: Final = "verify.csv"
VERIFY_REPORT: Final = "verify.json"
_COLUMNS: Final = ("row", "contact_id", "field", "sent", "stored", "reason")
_TAGS: Final = "tags"
GONE: Final = "the contact no longer exists"
CHANGED: Final = "the contact was changed after the run"
NOT_TAKEN: Final = "was not accepted when it was loaded (see not_applied.csv)"
OVERWRITTEN: Final = "was overwritten by a row about another person (see collisions.csv)"
UNEXPLAINED: Final = "differs"


class Loaded(Struct, frozen=True):
    """A row that was loaded.

    Attributes:
        row: As it stands in its file.
        outcome: What became of it.
        sent: The contact that it is.
        is_picked: Whether it is to be compared; else it only says what another row of the contact was overwritten by.
    """

    row: RunRow
    outcome: Outcome
    sent: ContactUpsert
    is_picked: bool


class Difference(Struct, frozen=True):
    """A field of a row that is not stored as it was sent; "" if the whole contact is missing."""

    row: RunRow
    contact_id: str
    field: str
    sent: str
    stored: str
    reason: str


class Meetings:
    """Which rows met which contacts, on disk: a contact of several rows is compared with all of them.

    Args:
        outcomes: Of the run, in the order of its rows.

    Attributes:
        total: How many rows were loaded.
    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._db = sqlite3.connect("", check_same_thread=False)  # a file of SQLite's own, for as long as it is open
        self._db.execute("CREATE TABLE met (id TEXT NOT NULL, row INTEGER NOT NULL)")
        self._db.executemany(
            "INSERT INTO met VALUES (?, ?)", ((done.contact_id, done.index) for done in outcomes if is_loaded(done))
        )
        self._db.execute("CREATE INDEX by_id ON met (id, row)")
        (self.total,) = self._db.execute("SELECT count(*) FROM met").fetchone()

    def __enter__(self) -> Meetings:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def last_row(self, contact_id: str) -> int:
        """Return the last row that met a contact."""
        (row,) = self._db.execute("SELECT max(row) FROM met WHERE id = ?", (contact_id,)).fetchone()
        return int(row)


def is_loaded(outcome: Outcome) -> bool:
    """Whether a row was applied to a contact that is known, or at least closed channels of it."""
    return (outcome.status in ("created", "updated") or has_closed(outcome)) and outcome.contact_id is not None


def group_by_contact(
    files: Sequence[RunFile],
    outcomes: Iterable[Outcome],
    meetings: Meetings,
    picked: frozenset[int] | None,
    sending: Sending | None = None,
    *,
    adds_tags: bool = False,
) -> Iterator[list[Loaded]]:
    """Yield the rows of each contact of which some row is to be compared, once its last one is read.

    Args:
        files: What was loaded.
        outcomes: In the order of the rows.
        meetings: Of the same outcomes.
        picked: Which of the loaded rows to compare, counted from 0; None for all.
        sending: Of the run, where rows were not sent as they are.
        adds_tags: Whether tags were added to those a contact had, so that a row without any says nothing of them.
    """
    waiting: dict[str, list[Loaded]] = {}
    told = (outcome for outcome in outcomes if is_loaded(outcome))
    outcome = next(told, None)
    position = -1
    for index, row in enumerate(row for file in files for row in file.rows()):
        if outcome is None:
            return
        what = row.contact if sending is None else sending.in_the_end(index, row.contact)
        if outcome.index != index:
            continue
        if has_closed(outcome) and isinstance(row.contact, ContactUpsert):
            wanted = closings_of(row.contact)
            if wanted is not None:  # and nothing else of the row: the contact may hold another email or phone
                what = msgspec.structs.replace(wanted, email=UNSET, phone=UNSET)
        position += 1
        contact_id = str(outcome.contact_id)
        if isinstance(what, ContactUpsert):
            is_picked = picked is None or position in picked
            what = without_tags(what) if adds_tags and not sorted_tags(what.tags) else what
            waiting.setdefault(contact_id, []).append(Loaded(row, outcome, what, is_picked))
        if meetings.last_row(contact_id) == index:
            rows = waiting.pop(contact_id, [])
            if any(loaded.is_picked for loaded in rows):
                yield rows
        outcome = next(told, None)


_VERIFY: Final = "verify"
_ROWS_AT_ONCE: Final = 100  # written in one transaction; what a kill loses of them is compared again
_VERIFY_SCHEMA: Final = """
CREATE TABLE verified (row INTEGER PRIMARY KEY, is_overwritten INTEGER NOT NULL);
"""


class VerifyRecords:
    """Which rows were found as they should be, so that a verification that was stopped goes on.

    Rows that differ are not among them: they are compared anew, as somebody may have mended them meanwhile.

    Args:
        file: The database of the run.
        about: What is verified, and of which state of the run. If the last verification was of something else, or came
            to its end, this one begins anew.

    Attributes:
        seed: For the sample.

    Raises:
        JournalError: It cannot be read or written. All methods raise this, too.
    """

    def __init__(self, file: Database, about: Sequence[object]) -> None:
        self._file = file
        self._waiting: list[tuple[int, bool]] = []
        file.create(_VERIFY_SCHEMA)
        kind = msgspec.json.encode(about).decode()
        noted_kind, _, noted_seed = (file.about(_VERIFY) or "").rpartition(" ")
        self.seed = int(noted_seed) if noted_kind == kind else secrets.randbits(64)
        if noted_kind != kind:
            with file.transaction() as db:
                db.execute("DELETE FROM verified")
            file.note([(_VERIFY, f"{kind} {self.seed}")])

    def counts(self) -> tuple[int, int]:
        """Return how many rows were found as they should be, and of how many of them another row of the same person
        has overwritten a field."""
        ((rows, overwritten),) = self._file.read("SELECT count(*), coalesce(sum(is_overwritten), 0) FROM verified")
        return int(rows), int(overwritten)

    def has(self, row: int) -> bool:
        """Whether a row was found as it should be."""
        return bool(self._file.read("SELECT 1 FROM verified WHERE row = ?", row))

    def add(self, rows: Iterable[tuple[int, bool]]) -> None:
        """Note rows that are as they should be, each with whether it was overwritten in part; see `flush`."""
        self._waiting += rows
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is noted to disk."""
        with self._file.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO verified VALUES (?, ?)", self._waiting)
        self._waiting.clear()

    def conclude(self) -> None:
        """Note that the verification has come to its end: the next one begins anew."""
        self._file.forget(_VERIFY)


class Tally(Struct):
    """What was found so far, by earlier sessions, too.

    Attributes:
        compared: Rows.
        differing: Rows with a difference.
        unread: Rows whose contact could not be read.
        overwritten: Rows with a field that another row of the same person overwrote, as it should.
        reasons: How many differences there are, by field and reason; the contact as a whole is the field "".
    """

    compared: int = 0
    differing: int = 0
    unread: int = 0
    overwritten: int = 0
    reasons: dict[tuple[str, str], int] = {}


class Verification:
    """Compares contacts with the rows that were sent, and writes what differs.

    Args:
        client: Of the service that was loaded into; it is open.
        folder: Where the table of differences goes.
        records: Remembers which rows are as they should be.
        ended_at: When the run had ended, by the server's clock, or None.
        adds_tags: Whether tags were added to those a contact had: then those of all its rows must be there.

    Attributes:
        tally: What was found so far.
    """

    def __init__(
        self,
        client: LeadConnector,
        folder: Path,
        records: VerifyRecords,
        *,
        ended_at: float | None,
        adds_tags: bool = False,
    ) -> None:
        self._client = client
        self._records = records
        self._pool = Pool(client)
        self._path = folder / VERIFY_TABLE
        self._ended_at = ended_at
        self._adds_tags = adds_tags
        compared, overwritten = records.counts()
        self._has_earlier = bool(compared)
        self.tally = Tally(compared=compared, overwritten=overwritten)

    async def run(
        self,
        groups: Iterable[list[Loaded]],
        stop: asyncio.Event,
        *,
        concurrency: int = 64,
        on_compared: Callable[[], None] = lambda: None,
    ) -> LeadConnectorError | None:
        """Compare the rows of contacts; one call for each contact that was not found as it should be before.

        Args:
            groups: The rows of each, as of `group_by_contact`.
            stop: Set it to end in order.
            concurrency: How many contacts at a time.
            on_compared: Called after each row.

        Returns:
            What ended it early, or None.

        Raises:
            JournalError: The run cannot be read, or it cannot be noted there how far this came.
            OSError: The table cannot be written.
        """
        if self._has_earlier:
            groups = (rows for rows in groups if not all(self._records.has(one.outcome.index) for one in _picked(rows)))
        with open_anew(self._path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)

            def write(rows: list[Loaded], differences: list[Difference]) -> None:
                for found in differences:
                    told = [clean_text(text) for text in (found.contact_id, found.field)]
                    cells = [found.row.where, *told, found.sent, found.stored, found.reason]
                    writer.writerow(map(neutral_cell, cells))
                for _ in _picked(rows):
                    on_compared()

            async def verify(rows: list[Loaded]) -> None:
                write(rows, await self._verify(rows))

            try:
                reason = await self._pool.run(
                    groups,
                    verify,
                    location_of=self._location_of,
                    concurrency=concurrency,
                    stop=stop,
                    on_failed=lambda rows, error: write(rows, self._note_unread(rows, error)),
                )
            finally:
                self._records.flush()
            return reason or self._pool.reason

    def _location_of(self, rows: list[Loaded]) -> str:
        return rows[-1].sent.location_id or self._client.location_id or ""

    async def _verify(self, rows: list[Loaded]) -> list[Difference]:
        contact_id, location_id = str(rows[0].outcome.contact_id), self._location_of(rows)
        get = partial(self._client.contacts.get, contact_id, location_id=location_id or None)
        try:
            contact = await self._pool.call(location_id, get)
        except NotFoundError:
            found, overwritten = _about_whole(rows, GONE), set[int]()
        else:
            found, overwritten = self._compare(rows, contact)
        picked = _picked(rows)
        self._count(picked, found, len(overwritten))
        if not found:
            self._records.add([(one.outcome.index, one.outcome.index in overwritten) for one in picked])
        return found

    def _note_unread(self, rows: list[Loaded], error: CallError) -> list[Difference]:
        self.tally.unread += len(_picked(rows))
        return _about_whole(rows, f"the contact could not be read: {error}")

    def _compare(self, rows: list[Loaded], contact: Contact) -> tuple[list[Difference], set[int]]:
        """Return what differs, and the rows of which another row of the same person has overwritten a field."""
        missing = [find_not_applied(loaded.sent, contact) for loaded in rows]
        found, overwritten = [], set()
        for loaded, fields in zip(rows, missing, strict=True):
            if not loaded.is_picked:
                continue
            for field in fields:
                is_added = self._adds_tags and field.field == _TAGS
                by = None if is_added else _overwritten_by(field.field, rows, missing)
                if by is not None and not _are_of_two_people(loaded, by):
                    overwritten.add(loaded.outcome.index)
                    continue
                reason = self._explain(field, loaded, contact) if by is None else OVERWRITTEN
                told = text_of(field.sent), text_of(field.stored)
                found.append(Difference(loaded.row, contact.id, field.field, *told, reason))
        return found, overwritten

    def _explain(self, field: NotApplied, loaded: Loaded, contact: Contact) -> str:
        if any(told.field == field.field for told in loaded.outcome.not_applied):
            return NOT_TAKEN
        return CHANGED if changed_since(contact, self._ended_at) else UNEXPLAINED

    def _count(self, picked: list[Loaded], found: list[Difference], overwritten: int) -> None:
        tally = self.tally
        tally.compared += len(picked)
        tally.overwritten += overwritten
        tally.differing += len({id(difference.row) for difference in found})
        for difference in found:
            key = difference.field, difference.reason
            tally.reasons[key] = tally.reasons.get(key, 0) + 1


def _picked(rows: list[Loaded]) -> list[Loaded]:
    return [loaded for loaded in rows if loaded.is_picked]


def _about_whole(rows: list[Loaded], reason: str) -> list[Difference]:
    """Say the same of all rows of a contact that are to be compared."""
    return [Difference(one.row, str(one.outcome.contact_id), "", "", "", reason) for one in _picked(rows)]


def _overwritten_by(field: str, rows: list[Loaded], missing: Sequence[Sequence[NotApplied]]) -> Loaded | None:
    """Return the row of the same contact whose value is the one that is stored, or None."""
    for loaded, differing in zip(reversed(rows), reversed(missing), strict=True):
        if _sends(loaded.sent, field) and all(other.field != field for other in differing):
            return loaded
    return None


def _sends(contact: ContactUpsert, field: str) -> bool:
    if not field.startswith(CUSTOM_PREFIX):
        return getattr(contact, field) is not UNSET
    key = field.removeprefix(CUSTOM_PREFIX)
    return any(key in (custom.id, custom.key) for custom in contact.custom_fields or [])


def _are_of_two_people(one: Loaded, other: Loaded) -> bool:
    """Whether one of two rows met the contact of another person."""
    return one.outcome.collision_with is not None or other.outcome.collision_with is not None


class VerifyReport(Struct, frozen=True, kw_only=True):
    """A verification as a whole.

    Attributes:
        loaded: Rows of the run that reached a contact.
        wanted: How many of these were to be compared.
        reasons: Differences by field and reason.
        most_differing: Of a sample, the share of all loaded rows that differs at most, at 95 % confidence.
        stopped: What ended it early, or None.
    """

    loaded: int
    wanted: int
    compared: int
    differing: int
    unread: int
    overwritten: int
    reasons: list[tuple[str, str, int]]
    most_differing: float | None
    stopped: str | None

    def write(self, folder: Path) -> None:
        """Write it as JSON.

        Raises:
            OSError: It cannot be written.
        """
        document = {"schema": SCHEMA, **msgspec.structs.asdict(self)}
        write_private(folder / VERIFY_REPORT, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
