"""Read, map and check rows once, before the first is sent, and keep them in the run.

Nothing is written to the service here but custom fields that are to be made, by `resolve`, before a load begins.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from ..bulk.closing import channels_of, close_more, closings_of
from ..bulk.pool import Pool
from ..bulk.source import Closing
from ..bulk.threads import in_thread, in_thread_until
from ..client import LeadConnector
from ..errors import (
    BadRequestError,
    CallError,
    ConfigurationError,
    InvalidContactError,
    NotFoundError,
    PermissionDeniedError,
    ValidationError,
    option,
)
from ..limits.limit import RateLimit
from ..models import ContactUpsert
from ..protocol.answers import clean_text
from ..protocol.text import count_of, one_line
from ..rules.problems import Problem, ProblemTally, UnreadColumn
from ..run.database import Database
from ..run.rows import KeptRow, Rows, RunFile
from .check import ConsentCells, describe_unread, has_location_names, refuse_missing_options, refuse_problems
from .mapping.custom_fields import FieldDefinitions, collect_missing
from .mapping.directories import Directory, create_field, fetch_fields, fetch_locations, why_not_looked_up
from .mapping.meaning import Meaning, check_names
from .mapping.rows import FileRow, RowFile
from .mapping.targets import read_targets
from .matching import Matching, MatchRule, action_for
from .options import MigrationOptions
from .phones import keep_shared_rows
from .plan import Closings
from .planning import MOST_ASKED, Asked, ask_locations, count_closed
from .survey import ClosingTally, Survey, sum_closings
from .tables import Record, Table
from .tables.file import File

_ASKED_EVERY: Final = 1_000
_ROWS_AT_ONCE: Final = 200  # each may be large
_CLOSING_WORDS: Final = {"opt-out": "yes", "opt-in": "no"}
_FIELDS_MADE: Final = "fields_made"
_UNRESOLVED: Final = "unresolved"  # noted where names stand for ids that nobody was asked for


def fields_made(file: Database) -> list[str]:
    """Return the custom fields that were made for a run, by their names."""
    return msgspec.json.decode(file.about(_FIELDS_MADE) or "[]", type=list[str])


class Seen(Struct):
    """What was seen of the rows.

    Attributes:
        files: The rows, as they are kept.
        tally: What is wrong with them.
        survey: What they will do.
        matching: Their identities; which of them share a phone is settled.
        asked: What locations said.
        shared: What is done about rows that share a phone, in sentences.
        closings: Whose channels they close; None if they close none.
    """

    files: list[RunFile]
    tally: ProblemTally
    survey: Survey
    matching: Matching
    asked: dict[str, Asked]
    shared: list[str]
    closings: Closings | None = None


class Preparation:
    """Prepares one run.

    Args:
        options: What is to be done with rows.
        client: Of where the load goes; it is open. None where nothing can be asked: names stand for themselves then.
        file: The database of the run.
        limit: Our own limits of each location.
        location_id: The location of rows without one of their own; empty where it is not known.
        stop: Looked at now and then, and while the service is asked; where it is set, `InterruptedError` is raised.
        tell: Called with what cannot be looked up, and what is done about it.
        waits_for_quota: Whether to wait for the next day where the day's calls are spent.

    Attributes:
        files: The files, once `read` has opened them.
        missing: Custom fields that are to be made.
    """

    def __init__(
        self,
        options: MigrationOptions,
        client: LeadConnector | None,
        file: Database,
        *,
        limit: RateLimit,
        location_id: str,
        stop: asyncio.Event,
        tell: Callable[[str], None],
        waits_for_quota: bool = False,
    ) -> None:
        self._waits_for_quota = waits_for_quota
        self._options = options
        self._client = client
        self._file = file
        self._limit = limit
        self._location_id = location_id
        self._stop = stop
        self._tell = tell
        self._asked_for: set[str] = set()  # locations, be it that they did not answer
        self.files: list[RowFile] = []
        self.missing: list[str] = []

    async def read(self, tables: Sequence[Table], meaning: Meaning, matching: Matching, *, asks_all: bool) -> Seen:
        """Read all rows, and keep them.

        Args:
            tables: The rows.
            meaning: What is known of columns and cells.
            matching: Takes their identities.
            asks_all: Whether all locations are asked how they match; else those alone where rows share a phone.

        Raises:
            ConfigurationError: They cannot be read as rows of contacts, or something that is needed cannot be had.
            JournalError: They cannot be kept.
            InterruptedError: `stop` was set.
        """
        files = await in_thread(lambda: [RowFile(table, meaning) for table in tables])  # may look at all cells
        self._check_names(files, meaning)
        self._check_location(files)
        self.files = files = await self._look_up(files)
        one_pass, rows = _Pass(self._survey(matching, files), files, matching), Rows(self._file)
        await in_thread_until(self._stop.is_set, partial(self._keep, files, rows, one_pass))
        for sentence in (sentence for file in files for sentence in file.about_left_out()):
            self._tell(sentence)
        seen = await self._conclude(one_pass, rows, matching, asks_all=asks_all)
        seen.closings = await self._count_closings(one_pass)
        return seen

    def _check_names(self, files: Sequence[RowFile], meaning: Meaning) -> None:
        names = [name for file in files for name in (*file.columns, *file.table.columns)]
        check_names("`columns`", self._options.columns, names)
        check_names("`ignore`", self._options.ignore, names)
        check_names("the mapping file, values of", meaning.values, names)

    def _check_location(self, files: Sequence[RowFile]) -> None:
        if self._client is not None and not self._location_id and not all(file.has_locations for file in files):
            raise ConfigurationError(
                "there is no location: give `location_id`, set LEADCONNECTOR_LOCATION_ID, or add a column locationId"
            )

    def _survey(self, matching: Matching, files: Sequence[RowFile]) -> Survey:
        may_empty = self._options.empty == "clear" or any(file.is_lines for file in files)
        return Survey(self._location_id, tags_rule=self._options.tags, matching=matching, may_empty=may_empty)

    def _keep(self, files: Sequence[RowFile], rows: Rows, one_pass: _Pass, is_stopped: Callable[[], bool]) -> None:
        left = self._options.limit
        for number, file in enumerate(files):
            count = 0
            every_row = file.rows(one_pass.look_beyond)
            all_rows = islice(every_row, left)
            while some := list(islice(all_rows, _ROWS_AT_ONCE)):
                for kept in one_pass.look(number, some):
                    rows.add(number, kept)
                count += len(some)
                if is_stopped():
                    return
            if left is not None:
                _look_beyond(every_row, file, one_pass, is_stopped)
            one_pass.end_file(number)
            rows.end_file(number, file.about(count))
            left = None if left is None else left - count

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise InterruptedError(0, "interrupted")

    async def _conclude(self, one_pass: _Pass, rows: Rows, matching: Matching, *, asks_all: bool) -> Seen:
        self._check_stop()
        await in_thread(partial(one_pass.close_by_others, rows))
        files = rows.files()
        names = [name for name, _ in one_pass.survey.by_location.most_common()] if asks_all else []
        asked = await self._ask(names, is_needed=False)
        shared = await self._settle_phones(matching, files, asked)
        return Seen(files, one_pass.tally, one_pass.survey, matching, asked, shared)

    async def _count_closings(self, one_pass: _Pass) -> Closings | None:
        """Count whose channels the rows close, and whose were closed before."""
        found = sum_closings(one_pass.closings)
        if found is None or self._client is None:
            return found
        names = [name for name, _ in one_pass.survey.by_location.most_common()]
        before = await count_closed(self._client, names, self._tell, self._stop)
        return msgspec.structs.replace(found, before=before)

    # ------------------------------------------------------------------------------------------ names and ids

    async def _look_up(self, files: Sequence[RowFile]) -> list[RowFile]:
        """Ask the service for what columns need: definitions of custom fields, ids of locations."""
        meaning = more = files[0].meaning
        if any(column.target.is_custom_field for file in files if file.map for column in file.map.columns):
            more = msgspec.structs.replace(more, fields=await self._fetch_fields(files, meaning))
        if await in_thread(partial(has_location_names, files)):
            more = msgspec.structs.replace(more, locations=await self._fetch_locations(meaning))
        found = list(files)
        if more != meaning:
            found = collect_missing(lambda file: RowFile(file.table, more), files, more.fields)
        if self._options.match == "auto":
            return [await self._confirm_ids(file) if file.has_ids else file for file in found]
        return found

    async def _confirm_ids(self, file: RowFile) -> RowFile:
        """Look some ids of a file up, and have its rows matched by email and phone if none is of a contact there."""
        sample = await in_thread(partial(_sample_ids, file, self._location_id))
        if not sample:
            return file
        if self._client is None:
            self._note_unresolved(
                "Rows have ids of contacts. Whether these are of this location is looked up when the load starts; if "
                "they are not, rows are matched by email and phone."
            )
            return file
        pool = Pool(self._client, waits_for_quota=self._waits_for_quota)
        try:
            for location_id, contact_id in sample:
                look = partial(_is_there, self._client, location_id, contact_id)
                if await pool.ask(location_id, look, stop=self._stop):
                    return file
        except CallError as error:
            reason = clean_text(str(error))
            self._tell(f"{file.name}: ids of contacts cannot be looked up ({reason}); rows are matched by them.")
            return file
        self._tell(
            f"{file.name}: its ids are not of contacts in this location ({count_of(len(sample), 'id')} looked up), so "
            "its rows are matched by email and phone (`match='id'` matches by id all the same)."
        )
        return RowFile(file.table, msgspec.structs.replace(file.meaning, ids="none"))

    async def _fetch_locations(self, meaning: Meaning) -> Directory:
        if self._client is not None:
            return await fetch_locations(self._client, self._stop, waits_for_quota=self._waits_for_quota)
        self._note_unresolved(
            "Rows give locations by name, and their ids cannot be looked up offline: this plan refuses those rows."
        )
        return meaning.locations

    async def _fetch_fields(self, files: Sequence[RowFile], meaning: Meaning) -> FieldDefinitions | None:
        if self._client is None:
            self._note_unresolved("Custom fields are not checked, because the location is not asked for them.")
            return None
        if not self._client.location_id or any(file.has_locations for file in files):
            self._tell(
                "Custom fields are sent by key and are not checked, because each row may be for another location."
            )
            return None
        targets = [target for pair in meaning.columns.items() for target in read_targets(*pair)]
        said = [target.part for target in targets if target.is_custom_field]
        try:
            fetch = partial(fetch_fields, self._client)
            pool = Pool(self._client, waits_for_quota=self._waits_for_quota)
            definitions = await pool.ask(self._client.location_id, fetch, stop=self._stop)
        except CallError as error:
            if said:
                sentence = f"the custom fields of the location cannot be looked up ({error})"
                raise why_not_looked_up(sentence, error) from None
            reason = clean_text(str(error))
            self._tell(
                f"Custom fields are sent by key and are not checked, because they cannot be looked up ({reason})."
            )
            return None
        if self._options.create_fields:
            columns = [column for file in files if file.map for column in file.map.columns]
            named = [column.target.part for column in columns if column.target.is_custom_field]
            self.missing = [name for name in dict.fromkeys([*said, *named]) if definitions.find(name) is None]
        return definitions.with_texts(self.missing)

    def _note_unresolved(self, sentence: str) -> None:
        self._file.note([(_UNRESOLVED, "yes")])
        self._tell(sentence)

    async def resolve(self, missing: Sequence[str]) -> Seen | None:
        """Make the custom fields that are missing, look up what names stand for, and read the cells of all rows anew
        with that; None where there is nothing to do.

        Raises:
            ConfigurationError: A field cannot be made; those before it were. Or the load cannot begin; see `refuse`.
            InterruptedError: `stop` was set; the same call goes on later.
        """
        assert self._client is not None  # noqa: S101  (a load has one)
        if missing:
            await self._make_fields(self._client, missing)
        if self._file.about(_UNRESOLVED) is None:
            return None
        rows, meaning = Rows(self._file), self._options.read_meaning()
        kept = [_KeptTable(file) for file in rows.files()]
        files = await self._look_up([RowFile(table, meaning) for table in kept])
        if self.missing:  # planned without the service, which fields are missing is known only now
            await self._make_fields(self._client, self.missing)
            files = await self._look_up([RowFile(table, meaning) for table in kept])
        self.files = files
        with Matching() as matching:
            one_pass = _Pass(self._survey(matching, files), files, matching)
            await in_thread(partial(rows.change, one_pass.look_again))
            seen = await self._conclude(one_pass, rows, matching, asks_all=False)
        self.refuse(seen.tally)
        self._file.forget(_UNRESOLVED)
        return seen

    async def _make_fields(self, client: LeadConnector, missing: Sequence[str]) -> None:
        """Make custom fields. Each is noted at once, so that a load that goes on makes none twice; so is that rows are
        to be read anew, as the load may be cut off before they are."""
        made = fields_made(self._file)
        for name in missing:
            self._check_stop()
            try:
                await create_field(client, name)
            except CallError as error:
                sentence = f"the missing custom fields cannot be created ({error})"
                raise why_not_looked_up(sentence, error) from None
            made.append(name)
            self._file.note([(_FIELDS_MADE, msgspec.json.encode(made).decode()), (_UNRESOLVED, "yes")])
        self._tell(f"Custom fields created, each a single line of text: {one_line(', '.join(missing))}")

    # ------------------------------------------------------------------------------------------ what stops a load

    def refuse(self, tally: ProblemTally) -> None:
        """Refuse a load that cannot begin as it is.

        Raises:
            ConfigurationError: A column about consent cannot be read, an option is missing, or there is a problem and
                none is wanted.
        """
        _refuse_unread(tally)
        refuse_missing_options(tally)
        if self._options.strict:
            refuse_problems(tally)

    def obstacles(self, tally: ProblemTally) -> list[str]:
        """Return why the load cannot begin as it is."""
        try:
            self.refuse(tally)
        except ConfigurationError as error:
            return [str(error)]
        return []

    # ------------------------------------------------------------------------------------------ locations and phones

    async def _ask(self, names: Sequence[str], *, is_needed: bool) -> dict[str, Asked]:
        """Ask locations how they match; those that are not asked are taken to be as usual.

        Args:
            names: Their ids.
            is_needed: Whether a load depends on it, so that an outage is waited out; not where it is only told.
        """
        if self._client is None:
            return {}
        unasked = [name for name in names[:MOST_ASKED] if name not in self._asked_for]
        self._asked_for.update(unasked)
        asked = await ask_locations(
            self._client,
            unasked,
            self._limit,
            self._tell,
            waits=is_needed,
            waits_for_quota=self._waits_for_quota,
            stop=self._stop,
        )
        if len(names) > MOST_ASKED:
            more = count_of(len(names) - MOST_ASKED, "more location was", "more locations were")
            self._tell(f"{more} not asked: the usual limits and matching are assumed.")
        return asked

    async def _settle_phones(self, matching: Matching, files: Sequence[RunFile], asked: dict[str, Asked]) -> list[str]:
        """Settle what is done about rows that share a phone with another person's, and say it in sentences."""
        rule = self._options.phone_conflict
        locations = await in_thread(matching.find_shared_phones)
        told: list[str] = []
        if locations and rule != "allow":
            unasked = [name for name in locations if name not in asked]
            asked |= await self._ask(unasked, is_needed=True)
            rules = dict.fromkeys(locations, MatchRule()) | {name: one.rule for name, one in asked.items()}
            await in_thread(partial(matching.settle_phones, rule, rules))
            waiting, skipped = (matching.phones.count(action) for action in ("wait", "skip"))
            calls = sum(matching.phone_calls().values())
            told += describe_conflicts(waiting, skipped, calls, is_wanted=rule == "skip")
            if any(action_for(rule, rules[name]) is None for name in locations):
                told.append(
                    "Where a location matches by email alone, rows that share only a phone do not overwrite each other."
                )
            await in_thread(partial(keep_shared_rows, self._file, matching, files))
        return told


_SAMPLED_ROWS: Final = 1_000
_SAMPLE: Final = 10


def _sample_ids(file: RowFile, home: str) -> list[tuple[str, str]]:
    """Return some ids of contacts from the first rows of a file, each with its location."""
    contacts = (row.contact for row in islice(file.rows(), _SAMPLED_ROWS))
    found = [
        (contact.location_id or home, contact.id)
        for contact in contacts
        if isinstance(contact, ContactUpsert) and contact.id
    ]
    return found[:: math.ceil(len(found) / _SAMPLE)] if found else []


async def _is_there(client: LeadConnector, location_id: str, contact_id: str) -> bool:
    """Whether a contact is in a location.

    Raises:
        CallError: Nobody knows.
    """
    try:
        contact = await client.contacts.get(contact_id, location_id=location_id)
    except (BadRequestError, NotFoundError, ValidationError):
        return False
    except PermissionDeniedError as error:
        if error.status != HTTPStatus.FORBIDDEN:  # which is said of contacts of other locations, too
            raise
        return False
    return contact.location_id in (None, location_id)


def _look_beyond(rest: Iterator[FileRow], file: RowFile, one_pass: _Pass, is_stopped: Callable[[], bool]) -> None:
    """Read the rows that are not loaded for opt-outs of people in those that are."""
    left_out = file.left_out.copy()
    for count, row in enumerate(rest if file.may_close else ()):
        if file.may_close_by(row):
            one_pass.look_beyond(row)
        if count % _ASKED_EVERY == 0 and is_stopped():
            break
    file.left_out = left_out


class _Pass:
    """One pass over all rows.

    Args:
        survey: Takes note of what they will do.
        files: Maps and checks them.
        matching: Takes what they close.
    """

    def __init__(self, survey: Survey, files: Sequence[RowFile], matching: Matching) -> None:
        self._matching = matching
        self.tally = ProblemTally()
        self.survey = survey
        self._files = files
        self._cells = [ConsentCells(file) for file in files]
        self.closings = [ClosingTally(file) for file in files]

    def look(self, number: int, rows: Sequence[FileRow]) -> list[KeptRow]:
        """Map and check the next rows of a file."""
        found = [row.file.keep(row) for row in rows]
        cells = self._cells[number]
        for place, (row, kept) in enumerate(zip(rows, found, strict=True), self.survey.rows):
            cells.add(row.record)
            self._look_at_closing(number, row, kept, place)
            if kept.problems:
                self.tally.add(kept.problems, row)
        self.survey.look([kept.contact for kept in found])
        return found

    def look_again(self, number: int, rows: Sequence[KeptRow]) -> list[KeptRow]:
        """Map and check rows that are kept. What other rows of their people close stays closed: some of those may not
        be among the kept ones."""
        found = self.look(number, [FileRow(self._files[number], _record_of(kept)) for kept in rows])
        return [self._close(new, _closed_channels(kept)) for new, kept in zip(found, rows, strict=True)]

    def _look_at_closing(self, number: int, row: FileRow, kept: KeptRow, place: int) -> None:
        wanted = _closing_of(kept)
        if wanted is None:
            return
        self.closings[number].add(row.record, wanted)
        self._note_closing(place, wanted)
        if isinstance(kept.contact, InvalidContactError):
            self.survey.count_closing(Closing(None, wanted, kept.contact))

    def look_beyond(self, row: FileRow) -> None:
        """Take note of what a row closes that is not loaded."""
        wanted = _closing_of(row.file.keep(row))
        if wanted is not None:
            self._note_closing(None, wanted)

    def _note_closing(self, place: int | None, wanted: ContactUpsert) -> None:
        for identity in self.survey.identify(wanted):
            self._matching.add_closing(place, identity, channels_of(wanted))
            place = None  # a row is noted once

    def close_by_others(self, rows: Rows) -> None:
        """Have each row close what other rows of its person close: its own write may start what reaches the person."""
        rows.amend(self._matching.closed_by_others(), self._close_by_others)

    def _close_by_others(self, number: int, kept: KeptRow, channels: Sequence[str]) -> KeptRow:
        closed = self._close(kept, channels)
        if closed is kept:
            return kept
        problem = Problem("", "", f"{_CLOSED_BY_OTHERS} ({', '.join(channels)})", "fixed")
        self.tally.add([problem], FileRow(self._files[number], _record_of(kept)))
        return msgspec.structs.replace(closed, problems=[*kept.problems, problem])

    def _close(self, kept: KeptRow, channels: Sequence[str]) -> KeptRow:
        if not isinstance(kept.contact, ContactUpsert):
            return kept
        contact = close_more(kept.contact, channels)
        if contact is kept.contact:
            return kept
        self.survey.look_anew(kept.contact, contact)
        return msgspec.structs.replace(kept, contact=contact)

    def end_file(self, number: int) -> None:
        """Take note that a file has no more rows."""
        self.tally.unread += self._cells[number].unread()


_CLOSED_BY_OTHERS: Final = "opts out of more channels, as other rows of this person do"


def _closing_of(kept: KeptRow) -> ContactUpsert | None:
    """Return what a row closes, be it refused; None where nothing."""
    return closings_of(kept.contact) if isinstance(kept.contact, ContactUpsert) else kept.closing


def _closed_channels(kept: KeptRow) -> list[str]:
    wanted = _closing_of(kept)
    return [] if wanted is None else channels_of(wanted)


class _KeptTable(Table):
    """A file of a run as the table that it was: its cells are read from the run."""

    def __init__(self, file: RunFile) -> None:
        about = file.about
        self._file = file
        self.name = about.name
        self.row_word = about.row_word
        self.columns = about.header
        self.has_objects = about.is_lines
        self.result_delimiter, self.needs_mark = about.delimiter, about.needs_mark

    @property
    def file(self) -> File:  # type: ignore[override]
        raise NotImplementedError("its file may be gone")

    def rows(self) -> Iterator[Record]:
        """Yield all rows."""
        return (_record_of(row.row) for row in self._file.rows())


def _record_of(kept: KeptRow) -> Record:
    is_object = kept.line is not None and kept.error is None
    value = msgspec.json.decode(kept.line) if is_object and kept.line is not None else None
    return Record(kept.number, kept.cells, kept.error, value, kept.line)


def _refuse_unread(tally: ProblemTally) -> None:
    """Refuse a load of which a column about consent cannot be read: people who opted out could be in it.

    Raises:
        ConfigurationError: There is one; the sentence names the ways to say what it means.
    """
    if tally.unread:
        told = "; ".join(one_line(f"{describe_unread(unread)}; {_ways_to_settle(unread)}") for unread in tally.unread)
        raise ConfigurationError(told)


def _ways_to_settle(unread: UnreadColumn) -> str:
    targets = {f"{kind}:{unread.channels}": word for kind, word in _CLOSING_WORDS.items()}
    ways = [f"{option('columns', {unread.column: target})} where {word} closes" for target, word in targets.items()]
    return f"say what it means: {', '.join(ways)}, or {option('ignore', [unread.column])}"


def describe_conflicts(waiting: int, skipped: int, calls: int, *, is_wanted: bool) -> list[str]:
    """Say what is done about rows that share a phone."""
    told = []
    if waiting:
        told.append(
            f"{_have(waiting)} the phone of another person in an earlier row. To overwrite nobody, the phone is left "
            f"out there and set after all rows, with {count_of(calls, 'more call')} (`phone_conflict='second-pass'`)."
        )
    if skipped:
        why = "`phone_conflict='skip'`" if is_wanted else "their location matches by phone alone"
        told.append(f"{_have(skipped)} the phone of another person in an earlier row: left out ({why}).")
    return told


def _have(rows: int) -> str:
    return count_of(rows, "row has", "rows have")
