"""Before the first row is sent: look up what columns need, look at all rows, and say what will become of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ..client import LeadConnector
from ..errors import CallError, ConfigurationError, InvalidContactError
from ..limits.limit import RateLimit
from ..migration.books import PHONES, PhoneBook
from ..migration.check import (
    Look,
    check_files,
    describe_unread,
    has_location_names,
    refuse_missing_options,
    refuse_problems,
)
from ..migration.mapping.custom_fields import FieldBook, about_emptied, about_not_emptied
from ..migration.mapping.directories import Directory, create_fields, fetch_fields, fetch_locations
from ..migration.mapping.meaning import Meaning, check_names
from ..migration.mapping.rows import RowFile, split_emptied
from ..migration.mapping.targets import read_target
from ..migration.matching import Conflict, Matching, MatchRule, PhoneRule, action_for
from ..migration.phones import fill_book
from ..migration.plan import Comparison
from ..migration.planning import MOST_ASKED, ask_locations
from ..migration.report.html import count_of
from ..migration.report.words import about_comparison
from ..models import ContactUpsert
from ..models.identity import identity_of
from ..protocol.answers import clean_text
from ..rules.problems import ProblemCount, ProblemTally, UnreadColumn
from ..run.journal import Journal
from .options import Saying
from .terminal import show, show_document, tell

_MOST_KINDS: Final = 12
_MOST_VALUE_CHARS: Final = 40
_CLOSING_WORDS: Final = {"opt-out": "yes", "opt-in": "no"}
_DONE: Final = {"refused": "not sent", "skipped": "left out", "fixed": "changed", "sent": "sent", "assumed": "sent"}


class Preparation:
    """What is done before a load begins. Nothing is written anywhere but fields that are to be made, last of all.

    Args:
        saying: What the options say of columns and cells.
        client: Where the load goes; it is open. None where nothing is to be asked: then what columns need is not known.
        is_stopped: Asked now and then; where it says so, a look at rows ends early.
        tell: Is told what cannot be looked up, and what is done about it.

    Attributes:
        missing: Custom fields that are to be made.
    """

    def __init__(
        self,
        saying: Saying,
        client: LeadConnector | None,
        is_stopped: Callable[[], bool],
        tell: Callable[[str], None] = tell,
    ) -> None:
        self._saying = saying
        self._client = client
        self._is_stopped = is_stopped
        self._tell = tell
        self.missing: list[str] = []
        self.made: list[str] = []

    async def look_up(self, files: Sequence[RowFile]) -> list[RowFile]:
        """Ask the service for what columns need: definitions of custom fields, ids of locations.

        Raises:
            ConfigurationError: It cannot be had and the load cannot do without, or a custom field is not there.
        """
        meaning = more = files[0].meaning
        if any(column.target.is_custom_field for file in files if file.map for column in file.map.columns):
            more = msgspec.structs.replace(more, fields=await self._fetch_fields(files, meaning))
        if await asyncio.to_thread(has_location_names, files):
            more = msgspec.structs.replace(more, locations=await self._fetch_locations(meaning))
        return list(files) if more == meaning else _read_anew(files, more)

    async def _fetch_locations(self, meaning: Meaning) -> Directory:
        if self._client is not None:
            return await fetch_locations(self._client)
        self._tell(
            "Rows give locations by name, and nothing is asked that tells their ids: those rows are refused here."
        )
        return meaning.locations

    async def _fetch_fields(self, files: Sequence[RowFile], meaning: Meaning) -> FieldBook | None:
        if self._client is None:
            self._tell("Custom fields are not checked, as the location is not asked for them.")
            return None
        if not self._client.location_id or any(file.has_locations for file in files):
            self._tell("Custom fields are sent by key and are not checked, as each row may be for another location.")
            return None
        targets = [read_target(text) for text in meaning.columns.values()]
        said = [target.part for target in targets if target is not None and target.is_custom_field]
        try:
            book = await fetch_fields(self._client)
        except CallError as error:
            if said:
                raise ConfigurationError(f"the custom fields of the location cannot be looked up ({error})") from None
            reason = clean_text(str(error))
            self._tell(f"Custom fields are sent by key and are not checked, as they cannot be looked up ({reason}).")
            return None
        if self._saying.creates_fields:
            self.missing = [name for name in dict.fromkeys(said) if book.find(name) is None]
        return book.with_texts(self.missing)

    async def check(self, files: Sequence[RowFile], look: Look = lambda _: None) -> ProblemTally:
        """Look at all rows.

        Args:
            files: With the rows.
            look: As in `look_at`.

        Raises:
            ConfigurationError: Rows cannot be told apart, an option is missing, or there is a problem and none is
                wanted.
        """
        tally = await self.look_at(files, look)
        self.refuse(tally)
        return tally

    async def look_at(self, files: Sequence[RowFile], look: Look = lambda _: None) -> ProblemTally:
        """Look at all rows, and refuse nothing because of what is wrong with them.

        Args:
            files: With the rows.
            look: Called, in a thread, with the contact of each row, or with what is wrong with it.

        Raises:
            ConfigurationError: Rows cannot be told apart, or an option is about a column that there is not.
        """
        names = [name for file in files for name in (*file.columns, *file.table.columns)]
        check_names("--map", [text.rpartition("=")[0].strip() for text in self._saying.maps], names)
        check_names("--ignore", self._saying.ignored, names)
        return await asyncio.to_thread(check_files, files, self._is_stopped, look)

    def refuse(self, tally: ProblemTally) -> None:
        """Refuse a load that cannot begin as it is.

        Raises:
            ConfigurationError: A column about consent cannot be read, an option is missing, or there is a problem and
                none is wanted.
        """
        _refuse_unread(tally)
        refuse_missing_options(tally)
        if self._saying.is_strict:
            refuse_problems(tally)

    async def make_fields(self, files: Sequence[RowFile]) -> list[RowFile]:
        """Make the custom fields that columns are for and that are missing, where that is wanted.

        Raises:
            ConfigurationError: One cannot be made; those before it were.
        """
        if self._client is None or not self.missing or self._is_stopped():
            return list(files)
        try:
            await create_fields(self._client, self.missing)
            book = await fetch_fields(self._client)
        except CallError as error:
            raise ConfigurationError(f"the missing custom fields cannot be made ({error})") from None
        self.made = self.missing
        tell(f"Custom fields made, of one line of text: {clean_text(', '.join(self.missing))}")
        return _read_anew(files, msgspec.structs.replace(files[0].meaning, fields=book))


def _refuse_unread(tally: ProblemTally) -> None:
    """Refuse a load of which a column about consent cannot be read: people who opted out could be in it.

    Raises:
        ConfigurationError: There is one; the sentence names the ways to say what it means.
    """
    if tally.unread:
        told = "; ".join(clean_text(f"{describe_unread(unread)}; {_ways_to_settle(unread)}") for unread in tally.unread)
        raise ConfigurationError(told)


def _ways_to_settle(unread: UnreadColumn) -> str:
    name = unread.column.replace('"', '\\"')
    ways = [f'--map "{name}={kind}:{unread.channels}" where {word} closes' for kind, word in _CLOSING_WORDS.items()]
    return f'say what it means: {", ".join(ways)}, or --ignore "{name}"'


def _read_anew(files: Sequence[RowFile], meaning: Meaning) -> list[RowFile]:
    """Have files with another meaning; they keep how many rows they were found to have."""
    anew = []
    for file in files:
        other = RowFile(file.table, meaning)
        other.most = file.most
        if "count" in vars(file):
            other.count = file.count
        anew.append(other)
    return anew


def tell_of_columns(files: Sequence[RowFile]) -> None:
    """Say whose export each file looks like, and which of its columns are not sent."""
    for file in files:
        if file.map is None:
            continue
        if file.map.preset is not None:
            tell(f"{file.name}: looks like an export of {file.map.preset.name}")
        consent = [f"{column.name} ({column.target.text})" for column in file.map.columns if column.target.consent]
        if consent:
            tell(f"{file.name}: read as consent: {clean_text(', '.join(consent))}")
        by_reason: dict[str, list[str]] = {}
        for unsent in file.map.unsent:
            by_reason.setdefault(unsent.reason, []).append(unsent.name)
        for reason, names in by_reason.items():
            tell(f"{file.name}: ignored columns: {clean_text(', '.join(names))} ({reason})")


def tell_of_emptying(files: Sequence[RowFile]) -> None:
    """Say which fields empty cells empty, and which they cannot."""
    emptied, others = split_emptied(files)
    for sentence in (about_emptied(emptied), about_not_emptied(others)):
        if sentence is not None:
            tell(clean_text(sentence))


def tell_of_problems(tally: ProblemTally) -> None:
    """Say what is wrong with cells and rows, by kind with an example, and what becomes of them."""
    kinds = tally.kinds()
    for kind in kinds[:_MOST_KINDS]:
        tell(f"  {kind.count} x {clean_text(describe_problem(kind))}")
    if len(kinds) > _MOST_KINDS:
        tell(f"  and {len(kinds) - _MOST_KINDS} more kinds of problems")


def conclude_dry_run(
    files: Sequence[RowFile],
    tally: ProblemTally,
    *,
    shared: Sequence[str],
    skipped: int,
    comparison: Comparison | None = None,
) -> int:
    """Say what a load would do, and return the exit code: 1 where some row cannot be sent.

    Args:
        files: What would be loaded.
        tally: What is wrong with it.
        shared: What there is to say of rows that share a phone.
        skipped: How many rows are not sent because of that.
        comparison: The rows against what is there, where some are chosen by that; it tells of all that are not sent.
    """
    tell_of_columns(files)
    tell_of_problems(tally)
    for sentence in shared:
        tell(sentence)
    total = sum(file.count for file in files)
    skipped = skipped if comparison is None else sum(comparison.skipped.values())
    show_document(
        {
            "rows": total,
            "to_send": total - tally.refused_rows - skipped,
            "refused": tally.refused_rows,
            "skipped": skipped,
            "problems": tally.kinds(),
            "comparison": comparison,
        }
    )
    left_out = f", {skipped} would be left out" if skipped else ""
    sent = total - tally.refused_rows - skipped
    show(f"{total} rows looked at: {sent} would be sent, {tally.refused_rows} would not{left_out}")
    for sentence in about_comparison(comparison) if comparison is not None else ():
        show(f"  {clean_text(sentence)}")
    show("Nothing was written: this was a dry run.")
    return 1 if tally.refused_rows else 0


def describe_problem(kind: ProblemCount) -> str:
    """Return a kind of problem in words, without its count."""
    what = f"{kind.column} " if kind.column else "row "
    value = " ".join(kind.value.split())
    shown = f": {value[:_MOST_VALUE_CHARS]}" if value else ""
    return f"{what}{kind.sentence}; {_DONE.get(kind.action, kind.action)} (first: {kind.where}{shown})"


# ---------------------------------------------------------------------------------------------- shared phones

_NOTE: Final = "shared_phones"  # in the journal: how many rows share one


class PhoneConflicts:
    """What is done about rows that share a phone with another person's.

    Args:
        rule: What the user wants.
        client: Where the load goes; it is open.
        limit: Our own limits.
        matching: Takes the identities of the rows.
        is_stopped: Asked now and then; where it says so, a look at rows ends early.

    Attributes:
        told: What there is to say of it, in sentences, once that is settled.
        skipped: How many rows are not sent because of it.
    """

    def __init__(
        self,
        rule: PhoneRule,
        client: LeadConnector,
        limit: RateLimit,
        matching: Matching,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._rule = rule
        self._client = client
        self._limit = limit
        self._matching = matching
        self._is_stopped = is_stopped
        self._rows = 0
        self.told: list[str] = []
        self.skipped = 0

    def look(self, contact: ContactUpsert | InvalidContactError) -> None:
        """Take note of the next row."""
        number = self._rows
        self._rows += 1
        if self._rule == "allow" or isinstance(contact, InvalidContactError) or not (contact.email and contact.phone):
            return
        location_id = contact.location_id or self._client.location_id or ""
        is_apart = contact.create_new_if_duplicate_allowed is True
        self._matching.add(number, location_id, identity_of(contact, location_id), is_apart=is_apart)

    async def settle(self) -> int:
        """Settle what is done about each row, and return how many there are."""
        locations = await asyncio.to_thread(self._matching.find_shared_phones)
        if not locations:
            return 0
        rules = await self._ask(locations)
        await asyncio.to_thread(self._matching.settle_phones, self._rule, rules)
        waiting, skipped = (self._matching.phones.count(action) for action in ("wait", "skip"))
        calls = sum(self._matching.phone_calls().values())
        self.skipped = skipped
        self.told += describe_conflicts(waiting, skipped, calls, is_wanted=self._rule == "skip")
        if any(action_for(self._rule, rule) is None for rule in rules.values()):
            self.told.append("Where a location matches by email alone, rows that share a phone do not meet.")
        return waiting + skipped

    def conflicts(self) -> Iterator[Conflict]:
        """Yield what was settled, in the order of the rows."""
        return self._matching.phones.conflicts()

    async def _ask(self, locations: Sequence[str]) -> dict[str, MatchRule]:
        """Ask how locations match; those that are not asked are taken to be as usual."""
        asked = await ask_locations(self._client, locations[:MOST_ASKED], self._limit, self.told.append)
        if len(locations) > MOST_ASKED:
            more = len(locations) - MOST_ASKED
            self.told.append(f"{more:,} more locations were not asked how they match contacts: email, then phone.")
        rules = dict.fromkeys(locations, MatchRule())
        return rules | {location_id: one.rule for location_id, one in asked.items()}

    async def open_book(
        self, folder: Path, journal: Journal, files: Sequence[RowFile], *, retry_refused: bool
    ) -> PhoneBook | None:
        """Return what was settled, of a load that goes on by its first sitting; None where no row shares a phone.

        Args:
            folder: Of the load.
            journal: Of it; not begun in this sitting.
            files: The rows.
            retry_refused: Whether phones that the service refused are tried once more.

        Raises:
            ConfigurationError: What an earlier sitting settled is gone; nothing was sent.
        """
        if self._rule == "allow":
            return None
        path = folder / PHONES
        if journal.is_begun:
            told = int(journal.told(_NOTE) or 0)
            if told and not path.is_file():
                raise ConfigurationError(f"{path}: is gone, which tells what rows share a phone; load anew")
            return PhoneBook(path, retry_refused=retry_refused) if told else None
        if not self._rows:  # a load that was to go on, and had not begun
            await asyncio.to_thread(check_files, files, self._is_stopped, self.look)
        found = await self.settle()
        journal.tell(_NOTE, str(found))
        if not found:
            return None
        book = PhoneBook(path)
        await asyncio.to_thread(fill_book, book, self._matching, files)
        return book


def describe_conflicts(waiting: int, skipped: int, calls: int, *, is_wanted: bool) -> list[str]:
    """Say what is done about rows that share a phone."""
    told = []
    if waiting:
        told.append(
            f"{_rows(waiting)} the phone of another person in a row before. To overwrite nobody, the phone is left out "
            f"there and set after all rows, by {count_of(calls, 'more call')} (--phone-conflict second-pass)."
        )
    if skipped:
        why = "--phone-conflict skip" if is_wanted else "their location matches by phone alone"
        told.append(f"{_rows(skipped)} the phone of another person in a row before: left out ({why}).")
    return told


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"
