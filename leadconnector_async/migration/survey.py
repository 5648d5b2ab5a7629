"""A look at what rows will do, while they are read and checked: whom they meet, their tags, their wishes, their
locations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET

from ..bulk.closing import CALLS_TO_CLOSE, channels_of
from ..bulk.source import Closing
from ..contacts.contacts import CALLS_TO_READ_CHANNELS, is_found_by_nothing, names_channels
from ..errors import InvalidContactError
from ..models import ContactUpsert
from ..models.dnd import ALL
from ..models.identity import Identity, identity_of, person_of
from ..models.normal import sorted_tags
from ..rules.texts import clean_cell
from ..run.rows import RunFile, RunRow, pick_rows
from .mapping.columns import Column
from .mapping.custom_fields import list_emptied
from .mapping.rows import RowFile
from .matching import Group, Matching
from .plan import ClosingColumn, Closings, PlannedColumn, PlannedFile, PlannedTags, SharedContact, SharedRow
from .report.files import who
from .report.html import shorten
from .tables import Record
from .tagging import TagBatch, TagGroups, without_tags

_MOST_TAGS: Final = 10_000  # kinds that are counted
_MOST_SHOWN: Final = 20
_MOST_GROUPS: Final = 25
_MOST_ROWS: Final = 6
Kind: TypeAlias = Literal["overwrites", "updates", "phones"]


class Survey:
    """What is gathered of a load's rows. Its memory does not grow with rows.

    Args:
        location_id: Of rows that name none; empty where nothing says it.
        tags_rule: As `MigrationOptions.tags`.
        matching: Takes the identities.
        may_empty: Whether rows may empty fields: not where an empty cell says nothing, and there is no null.

    Attributes:
        rows: How many rows there were.
        by_id: How many are for the contact of an id.
        nameless: How many nothing finds, so that each makes a contact.
        by_location: How many of those that can be sent go to each location.
        tag_calls: How many calls tags take at most, by location.
        closing_calls: How many it takes at most to close channels apart from the upserts, by location.
        channel_calls: How many it takes at most to read what contacts hold of other channels, by location.
        dnd: How many rows say what about not disturbing.
        emptied: How many rows empty each field.
    """

    def __init__(
        self,
        location_id: str,
        *,
        tags_rule: Literal["add", "replace"],
        matching: Matching,
        may_empty: bool = True,
    ) -> None:
        self._location_id = location_id
        self._may_empty = may_empty
        self._rule = tags_rule
        self._matching = matching
        self._groups = TagGroups()
        self._tagged = 0
        self._tags: Counter[str] = Counter()
        self.rows = 0
        self.by_id = self.nameless = 0
        self.by_location: Counter[str] = Counter()
        self.tag_calls: Counter[str] = Counter()
        self.closing_calls: Counter[str] = Counter()
        self.channel_calls: Counter[str] = Counter()
        self.dnd: Counter[str] = Counter()
        self.emptied: Counter[str] = Counter()

    def look(self, contacts: Sequence[ContactUpsert | InvalidContactError]) -> None:
        """Take note of the next rows."""
        sent = [
            (number, contact.location_id or self._location_id, contact)
            for number, contact in enumerate(contacts, self.rows)
            if isinstance(contact, ContactUpsert)
        ]
        self.rows += len(contacts)
        # One thing of all rows after another: to do all of one row after another takes a processor twice as long.
        self.by_location.update([location_id for _, location_id, _ in sent])
        for number, location_id, contact in sent:
            is_apart = contact.create_new_if_duplicate_allowed is True
            is_by_id = contact.id is not UNSET
            self.by_id += is_by_id
            self.nameless += is_found_by_nothing(contact)
            person = person_of(contact, location_id)
            self._matching.add(number, location_id, person, is_apart=is_apart, is_by_id=is_by_id)
        self._look_at_tags(
            [
                (number, location_id, tags)
                for number, location_id, contact in sent
                if contact.tags and (tags := sorted_tags(contact.tags))
            ]
        )
        for _, location_id, contact in sent:
            if names_channels(contact):
                self.channel_calls[location_id] += CALLS_TO_READ_CHANNELS
            if not (contact.dnd is contact.dnd_settings is contact.inbound_dnd_settings is UNSET):
                self.dnd.update(_wishes(contact))
        if self._may_empty:
            for _, _, contact in sent:
                self.emptied.update(list_emptied(without_tags(contact) if self._rule == "add" else contact))

    def pass_over(self) -> None:
        """Take note that the next row is not sent."""
        self.rows += 1

    def look_at_closing(self, closing: Closing) -> None:
        """Take note of the next row, which closes channels by an update of their own."""
        self.count_closing(closing)
        if isinstance(closing.rest, ContactUpsert):
            self.look([closing.rest])
        else:
            self.pass_over()

    def count_closing(self, closing: Closing) -> None:
        """Count the calls that it takes to close channels by an update of their own."""
        is_upserted = isinstance(closing.rest, ContactUpsert)
        is_sought = closing.contact_id is None and not is_upserted  # by one call more
        contacts = (closing.contact_id is not None or is_sought) + is_upserted
        self.closing_calls[closing.wanted.location_id or self._location_id] += contacts * CALLS_TO_CLOSE + is_sought
        self.dnd.update(_wishes(closing.wanted))

    def look_anew(self, before: ContactUpsert, after: ContactUpsert) -> None:
        """Take note that a row closes more channels than when it was looked at."""
        if names_channels(after) and not names_channels(before):
            self.channel_calls[after.location_id or self._location_id] += CALLS_TO_READ_CHANNELS
        self.dnd.subtract(_wishes(before))
        self.dnd.update(_wishes(after))
        self.dnd = +self.dnd  # without what nobody says any more

    def identify(self, contact: ContactUpsert) -> list[Identity]:
        """Return what rows of a contact are known by: `person_of`, then what it is matched by where that differs."""
        location_id = contact.location_id or self._location_id
        return list(dict.fromkeys((person_of(contact, location_id), identity_of(contact, location_id))))

    def _look_at_tags(self, tagged: Sequence[tuple[int, str, tuple[str, ...]]]) -> None:
        self._tagged += len(tagged)
        for tags, count in Counter([tags for _, _, tags in tagged]).items():
            for tag in tags:
                if tag in self._tags or len(self._tags) < _MOST_TAGS:
                    self._tags[tag] += count
        if self._rule == "add":
            for number, location_id, tags in tagged:
                if batches := self._groups.add(location_id, tags, str(number), number):
                    self._count_calls(batches)

    def _count_calls(self, batches: Sequence[TagBatch]) -> None:
        self.tag_calls.update(batch.location_id for batch in batches)

    def conclude_tags(self) -> PlannedTags | None:
        """Return what tags will do, once all rows were looked at."""
        self._count_calls(list(self._groups.rest()))
        self._groups = TagGroups()
        if not self._tagged:
            return None
        return PlannedTags(
            rule=self._rule,
            rows=self._tagged,
            calls=self.tag_calls.total(),
            names=dict(self._tags.most_common(_MOST_SHOWN)),
            kinds=len(self._tags),
        )


# ---------------------------------------------------------------------------------------------- who is closed

_MOST_WORDS: Final = 20
_OTHER_WORDS: Final = "others"


class ClosingTally:
    """Counts which channels the rows of a file close, and by which words of which columns.

    Args:
        file: The file.
    """

    def __init__(self, file: RowFile) -> None:
        self._file = file
        columns = () if file.map is None else file.map.closing_columns
        self._columns = [(column, dict[str, bool]()) for column in columns]
        self._words: dict[str, Counter[str]] = {column.name: Counter() for column in columns}
        self._targets = {column.name: column.target.text for column in columns}
        self.rows = 0
        self.channels: Counter[str] = Counter()

    def add(self, record: Record, wanted: ContactUpsert) -> None:
        """Take note of a row, given what it closes as of `closings_of`."""
        self.rows += 1
        self.channels.update(channels_of(wanted))
        if self._file.map is None:
            self._add_object(wanted)
        meant = self._file.meant(record)
        for column, known in self._columns:
            place = column.position
            cell = clean_cell(meant[place]) if place < len(meant) else ""
            if cell and _closes(column, cell, known):
                self._count(column.name, clean_cell(record.cells[place]))

    def _add_object(self, wanted: ContactUpsert) -> None:
        for channel in channels_of(wanted):
            field = "dnd" if channel == ALL else "dndSettings"
            self._targets[field] = field
            self._words.setdefault(field, Counter())
            self._count(field, "true" if channel == ALL else channel)

    def _count(self, name: str, cell: str) -> None:
        words, word = self._words[name], shorten(cell)
        words[word if word in words or len(words) < _MOST_WORDS else _OTHER_WORDS] += 1

    def columns(self) -> list[ClosingColumn]:
        """Return the columns that close channels of some row."""
        return [
            ClosingColumn(
                file=self._file.name,
                column=name,
                target=self._targets[name],
                rows=words.total(),
                words=dict(words.most_common()),
            )
            for name, words in self._words.items()
            if words
        ]


def _closes(column: Column, cell: str, known: dict[str, bool]) -> bool:
    found = known.get(cell)
    if found is None:
        found = column.closes_by(cell)
        if len(known) < _MOST_KNOWN:
            known[cell] = found
    return found


_MOST_KNOWN: Final = 1_000


def sum_closings(tallies: Sequence[ClosingTally]) -> Closings | None:
    """Return whose channels the rows of all files close; None if no row closes any."""
    rows = sum(tally.rows for tally in tallies)
    if not rows:
        return None
    channels = sum((tally.channels for tally in tallies), Counter[str]())
    columns = [column for tally in tallies for column in tally.columns()]
    return Closings(rows=rows, channels=dict(sorted(channels.items())), columns=columns)


def _wishes(contact: ContactUpsert) -> Iterator[str]:
    """Yield what a contact says about not disturbing, such as `dnd: true` and `SMS: active`."""
    if contact.dnd is not UNSET:
        yield f"dnd: {str(contact.dnd).lower()}"
    for name, settings in (("", contact.dnd_settings), ("inbound ", contact.inbound_dnd_settings)):
        if settings is not UNSET:
            for channel, setting in msgspec.to_builtins(settings).items():
                yield f"{name}{channel}: {setting['status']}"


def describe_file(file: RowFile, count: int) -> PlannedFile:
    """Return where the columns of a file go, given how many rows of it were read."""
    if file.map is None:
        columns = [PlannedColumn(name=name, target=name) for name in file.columns]
        return PlannedFile(name=file.name, rows=count, looks_like=None, columns=columns)
    targets = file.map.texts
    reasons = {unsent.name: unsent.reason for unsent in file.map.unsent}
    return PlannedFile(
        name=file.name,
        rows=count,
        looks_like=None if file.map.preset is None else file.map.preset.name,
        columns=[PlannedColumn(name=name, target=targets.get(name), reason=reasons.get(name)) for name in file.columns],
    )


def find_shared(files: Sequence[RunFile], matching: Matching) -> dict[Kind, list[SharedContact]]:
    """Return the first contacts that rows would overwrite, the first that they would update, and the first phones that
    rows of several people have."""
    found: dict[Kind, list[Group]] = {
        "overwrites": matching.groups("overwrites", most=_MOST_GROUPS, most_rows=_MOST_ROWS),
        "updates": matching.groups("updates", most=_MOST_GROUPS, most_rows=_MOST_ROWS),
        "phones": matching.shared_phones(most=_MOST_GROUPS, most_rows=_MOST_ROWS),
    }
    wanted = sorted({row.number for groups in found.values() for group in groups for row in group.rows})
    rows = dict(zip(wanted, pick_rows(files, wanted), strict=True))
    return {kind: [_show(group, rows) for group in groups] for kind, groups in found.items()}


def _show(group: Group, rows: dict[int, RunRow]) -> SharedContact:
    shown = [
        SharedRow(where=rows[row.number].where, who=describe_person(rows[row.number]), fate=row.fate, field=row.field)
        for row in group.rows
    ]
    return SharedContact(size=group.size, rows=shown)


def describe_person(row: RunRow) -> str:
    """Return whom a row is about, as far as it says."""
    contact = row.contact
    if isinstance(contact, InvalidContactError):
        return ""
    return who({name: value for name, value in msgspec.to_builtins(contact).items() if isinstance(value, str)})
