"""What a load would do, as data: for people as text or as a page, for scripts as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct, field

from ..limits.limit import RateLimit
from ..protocol.text import count_of
from ..rules.problems import ProblemCount
from .matching import Field, Forecast, PhoneRule, SharedFate

DAY_SECONDS: Final = 86_400.0


class PlannedColumn(Struct, frozen=True, kw_only=True):
    """A column of a file.

    Attributes:
        name: Its header.
        target: Where it goes, as in `MigrationOptions.columns`; None where it is not sent.
        reason: Why it is not sent, or None.
    """

    name: str
    target: str | None
    reason: str | None = None


class PlannedFile(Struct, frozen=True, kw_only=True):
    """A file.

    Attributes:
        name: How messages call it.
        rows: How many rows it has.
        looks_like: Whose export it is, or None.
        columns: Its columns, in their order.
    """

    name: str
    rows: int
    looks_like: str | None
    columns: list[PlannedColumn]


class SharedRow(Struct, frozen=True, kw_only=True):
    """A row that meets the same contact as another.

    Attributes:
        where: Its place.
        who: Whom it is about.
        fate: Whether it makes the contact, updates it, or overwrites what was of another person. Of rows of several
            people with one phone: `keeps` it, `waits` for it until all rows are sent, or is `skipped`.
        field: By what it meets the contact; None of the row that makes it.
    """

    where: str
    who: str
    fate: SharedFate
    field: Field | None


class SharedContact(Struct, frozen=True, kw_only=True):
    """A contact that several rows meet, or a phone that rows of several people have.

    Attributes:
        size: How many rows they are.
        rows: The first of them, in order.
    """

    size: int
    rows: list[SharedRow]


class PlannedTags(Struct, frozen=True, kw_only=True):
    """What tags will do.

    Attributes:
        rule: `add` or `replace`.
        rows: How many rows have tags.
        calls: How many calls they take at most, besides the upserts.
        names: The most frequent ones, with how many rows have each.
        kinds: How many there are; as many as are counted at least, where there are more.
    """

    rule: Literal["add", "replace"]
    rows: int
    calls: int
    names: dict[str, int]
    kinds: int


class PlannedLocation(Struct, frozen=True, kw_only=True):
    """A location, and what the load takes there. Locations do not wait for each other.

    Attributes:
        id: Its id; None where nothing says which it is.
        rows: How many rows go there.
        calls: How many calls that takes at most.
        seconds: How long that takes at least, waiting for the next day's calls included.
        days: On how many days calls are needed.
        max_requests: How many calls it takes in `per_seconds`, as far as known.
        per_seconds: See there.
        daily: How many calls it takes a day, or None for no limit.
        left_today: How many of these are left today, or None where that is not known.
        match_order: By what it finds contacts, in this order.
        is_asked: Whether it has said that itself; else it is what is usual.
        allows_duplicates: Whether it allows duplicates, or None where that is not known.
    """

    id: str | None
    rows: int
    calls: int
    seconds: float
    days: int
    max_requests: int
    per_seconds: float
    daily: int | None
    left_today: int | None
    match_order: list[str]
    is_asked: bool
    allows_duplicates: bool | None


class FieldChange(Struct, frozen=True, kw_only=True):
    """A field that a row would change.

    Attributes:
        field: Its name in Python; a custom field as `custom_fields.` and its id or key.
        stored: What is there, as all values here the beginning of it where it is long; empty for nothing.
        sent: What would be.
    """

    field: str
    stored: str
    sent: str


class ComparedRow(Struct, frozen=True, kw_only=True):
    """A row that would change a contact which is there.

    Attributes:
        where: Its place.
        who: Whom it is about.
        contact_id: The contact.
        changes: What it would change, were it sent as it is.
    """

    where: str
    who: str
    contact_id: str
    changes: list[FieldChange]


class Comparison(Struct, kw_only=True):
    """The rows that can be sent, against what their locations hold before the load.

    Attributes:
        there: How many contacts are known to be there: all, or those that rows meet.
        new: Rows about somebody who is not there.
        changed: Rows that would change a contact.
        same: Rows that would change nothing.
        repeated: Rows about somebody whom an earlier row is sent about; they are not compared.
        skipped: Rows that the options leave out, by reason. They are counted above, too.
        fields: How many of the changed rows would change each field.
        examples: The first of them.
    """

    there: int = 0
    new: int = 0
    changed: int = 0
    same: int = 0
    repeated: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)
    examples: list[ComparedRow] = field(default_factory=list)


class ClosingColumn(Struct, frozen=True, kw_only=True):
    """A column that closes channels.

    Attributes:
        file: Its file.
        column: Its header; of objects of the API the field.
        target: What it is for, as in `MigrationOptions.columns`.
        rows: How many rows it closes channels of.
        words: What stands in their cells, the most frequent first, each with the number of rows; the rest as `others`.
    """

    file: str
    column: str
    target: str
    rows: int
    words: dict[str, int]


class Closings(Struct, frozen=True, kw_only=True):
    """Whose channels rows close.

    Attributes:
        rows: How many rows close any.
        channels: How many close each, as the API calls it; `all` for the switch of all channels.
        columns: By which columns, in their order.
        before: How many contacts had each channel closed at the service before the load, as a search counts them; None
            if it was not asked. It counts Email, SMS, Call and the switch alone.
    """

    rows: int
    channels: dict[str, int]
    columns: list[ClosingColumn]
    before: dict[str, int] | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """What a load would do.

    Attributes:
        target: The service that was asked, or None where none was.
        files: What would be loaded.
        rows: How many rows there are.
        to_send: How many would be sent.
        refused: How many cannot be.
        skipped: How many would be left out: by the options, or as they share a phone with another person's.
        phone_conflict: As in `MigrationOptions`.
        obstacles: Why nothing at all would be sent; empty where the load can begin.
        problems: What is wrong with cells and rows, by kind, the gravest first.
        forecast: What becomes of the rows among each other.
        overwritten: The first contacts that rows about other people would overwrite.
        sharing: The first phones that rows of several people have, where something is done about it.
        repeated: The first contacts that several rows about one person would update.
        tags: What tags will do; None where no row has any.
        dnd: Who would not be disturbed any more, and who would: by field, channel and value, with the number of rows.
        emptied: How many rows would empty each field.
        new_fields: Custom fields that would be made.
        locations: Where rows go, those with the most rows first; the first hundred of them.
        location_count: How many they are.
        calls: How many calls all take at most.
        seconds: How long they take at least.
        days: On how many days calls are needed.
        effects: What else comes of it.
        assumptions: What was taken for granted, or could not be looked up.
        comparison: Against what is there; None where that was not asked for.
        by_id: How many rows update the contact of an id, and never create one.
        nameless: How many rows have a name alone, so that each makes a contact.
        closings: Whose channels rows close, whatever the options leave out; None if no row closes any.
    """

    target: str | None
    files: list[PlannedFile]
    rows: int
    to_send: int
    refused: int
    skipped: int
    phone_conflict: PhoneRule
    obstacles: list[str]
    problems: list[ProblemCount]
    forecast: Forecast
    overwritten: list[SharedContact]
    sharing: list[SharedContact]
    repeated: list[SharedContact]
    tags: PlannedTags | None
    dnd: dict[str, int]
    emptied: dict[str, int]
    new_fields: list[str]
    locations: list[PlannedLocation]
    location_count: int
    calls: int
    seconds: float
    days: int
    effects: list[str]
    assumptions: list[str]
    comparison: Comparison | None
    by_id: int = 0
    nameless: int = 0
    closings: Closings | None = None


def time_needed(calls: int, limit: RateLimit, left_today: int | None = None) -> tuple[float, int]:
    """Return how long calls to one location take at least, in seconds, and on how many days they are made.

    The next day's calls are taken to come a whole day after the first call.

    Args:
        calls: How many.
        limit: Of the location.
        left_today: How many of its day are left, where that is known.
    """
    if limit.daily is None:
        return _burst_seconds(calls, limit), 1 if calls else 0
    first = limit.daily if left_today is None else left_today
    if calls <= first:
        return _burst_seconds(calls, limit), 1 if calls else 0
    later = math.ceil((calls - first) / limit.daily)
    last = calls - first - (later - 1) * limit.daily
    return later * DAY_SECONDS + _burst_seconds(last, limit), later + (first > 0)


def _burst_seconds(calls: int, limit: RateLimit) -> float:
    windows = math.ceil(calls / limit.max_requests)
    return max(windows - 1, 0) * limit.per_seconds


def effects_of(writes: int, tagged: int) -> list[str]:
    """Say what a load sets going in the account."""
    if not writes:
        return []
    whose = "starts workflows that are triggered by a created or changed contact"
    each = "The write" if writes == 1 else f"Each of the {count_of(writes, 'write')}"
    told = [f"{each} fires the location's contact webhooks, and {whose}."]
    return (
        [*told, f"Tags of {count_of(tagged, 'row')} start workflows that are triggered by a tag."] if tagged else told
    )


def longest(locations: Sequence[PlannedLocation]) -> tuple[float, int]:
    """Return how long a load takes at least, and on how many days calls are made, as locations go side by side."""
    seconds = max((location.seconds for location in locations), default=0.0)
    return seconds, max((location.days for location in locations), default=0)
