"""A run of `upsert` that is over: its folder, what it was made of, and a client of the service that it loaded into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..client import LeadConnector
from ..errors import ConfigurationError
from ..migration.before import BEFORE, StoredContacts
from ..migration.books import PHONES, PhoneBook
from ..migration.load import Sending, describe_files
from ..migration.mapping.rows import RowFile
from ..migration.report.files import JOURNAL, keep_run_private
from ..migration.select import Chooser, read_selection
from ..migration.tables import Reading
from ..migration.tables.inputs import STDIN, Inputs, Sources
from ..migration.tables.queries import Query, hide_password
from ..protocol.answers import clean_text
from ..run.journal import Journal
from ..run.target import describe_target, is_same_target
from .accounts import LoginOptions, choose_token
from .options import Saying, read_limits, read_meaning, read_rate
from .preparation import Preparation
from .terminal import tell

SANDBOX: Final = "the sandbox"
_NOTE: Final = "order"
_FIELDS_MADE: Final = "fields_made"
_LINE_SECONDS: Final = 5.0


class RunNote(Struct, frozen=True, kw_only=True):
    """What a run was made of, as its journal keeps it.

    Attributes:
        files: The files, by their whole paths; the one that the run keeps where its rows could be read only once.
        reading: How they are to be read.
        query: The query that gave the rows, its password left out, or None.
        saying: What the options said of columns and cells.
        has_locations: Whether rows name their own locations.
    """

    files: list[Path]
    reading: Reading
    query: Query | None
    saying: Saying
    has_locations: bool


def note_run(sources: Sources, saying: Saying, files: Sequence[RowFile], folder: Path, journal: Journal) -> None:
    """Have the journal keep what a run is made of, when it begins."""
    query = sources.query
    paths = [file.table.file.path.absolute() for file in files]
    whole = msgspec.structs.replace(
        saying,
        mapping=saying.mapping and saying.mapping.absolute(),
        owners=saying.owners and saying.owners.absolute(),
        creates_fields=False,  # they are made
    )
    note = RunNote(
        files=[folder.absolute() / paths[0].name] if sources.is_asked_once else paths,
        reading=Reading(format="csv", encoding="utf-8") if query is not None else sources.reading,
        query=None if query is None else Query(query.sql, hide_password(query.database)),
        saying=whole,
        has_locations=any(file.has_locations for file in files),
    )
    journal.tell(_NOTE, msgspec.json.encode(note, enc_hook=str).decode())


def note_fields_made(names: Sequence[str], journal: Journal) -> None:
    """Have the journal keep which custom fields were made for a run, when it begins."""
    if names:
        journal.tell(_FIELDS_MADE, msgspec.json.encode(names).decode())


class PastOrder(Struct, frozen=True, kw_only=True):
    """What a command that is about a run is told."""

    folder: Path
    rate: str | None
    daily: int | None
    redis: str | None
    concurrency: int
    is_progress_wanted: bool
    token_file: Path | None
    login: LoginOptions


class PastRun:
    """A run that is over, and whose journal no other process has.

    Args:
        order: Which, and how it is to be worked on.
        stack: Closes what is opened.

    Raises:
        ConfigurationError: There is no run, it is in use, or it loaded into a sandbox that has ended.
    """

    def __init__(self, order: PastOrder, stack: ExitStack) -> None:
        self._order = order
        self._stack = stack
        self.folder = order.folder
        path = self.folder / JOURNAL
        if not path.is_file():
            raise ConfigurationError(f"{self.folder}: is no folder of a run; name the one that upsert wrote (--out)")
        self.journal = stack.enter_context(Journal(path))
        try:
            keep_run_private(self.folder)
        except OSError as error:
            raise ConfigurationError(f"{self.folder}: cannot be kept private ({error.strerror or error})") from None
        told = self.journal.told(_NOTE)
        if told is None:
            raise ConfigurationError(f"{path}: does not tell what was loaded; it was made by an earlier version")
        self.note = msgspec.json.decode(told, type=RunNote, dec_hook=lambda kind, text: kind(text))
        self.location_id = self.journal.told("location") or None
        self.target = self.journal.told("target") or ""
        if self.target == SANDBOX:
            raise ConfigurationError(
                f"{self.folder}: was loaded into a sandbox that ended with it (--sandbox); start one that stays with "
                "`leadconnector sandbox` and load into that"
            )

    @property
    def fields_made(self) -> list[str]:
        """The custom fields that were made for it, by their names."""
        return msgspec.json.decode(self.journal.told(_FIELDS_MADE) or "[]", type=list[str])

    @property
    def place(self) -> str:
        """Where it loaded into, for people."""
        location = "the locations of its rows" if self.location_id is None else f"location {self.location_id}"
        return clean_text(f"{location} at {describe_target(self.target)}")

    async def make_client(self) -> LeadConnector:
        """Return a client of the service and location that it loaded into; it is not open.

        Raises:
            ConfigurationError: There is no token, or the settings are of another service.
        """
        order = self._order
        options: dict[str, Any] = await choose_token(order.token_file, order.login)
        if self.location_id is not None:
            options["location_id"] = self.location_id
        rate = read_rate(order.rate, order.daily)
        client = LeadConnector.from_env(
            rate_limit=rate, concurrency=order.concurrency, limits=read_limits(order.redis), **options
        )
        if not is_same_target(self.target, client.target):
            there, here = describe_target(self.target), describe_target(client.target)
            raise ConfigurationError(
                f"{self.folder}: was loaded into {clean_text(there)}, and the settings name {clean_text(here)}; set "
                "LEADCONNECTOR_BASE_URL as it was then"
            )
        return client

    async def open_files(self, client: LeadConnector) -> list[RowFile]:
        """Open what was loaded, with the meaning that it had then.

        Args:
            client: Is asked what columns need, as custom fields; it is open.

        Raises:
            ConfigurationError: It is not there any more, or has changed.
        """
        saying = self.note.saying
        meaning = await asyncio.to_thread(read_meaning, saying)
        inputs = self._stack.enter_context(Inputs(self._sources(), kept=None, is_stopped=lambda: False))
        files = await asyncio.to_thread(lambda: [RowFile(table, meaning) for table in inputs.open()])
        if self.note.query is not None:
            files[0].table.part += self.note.query.describe()
        files = await Preparation(saying, client, lambda: False).look_up(files)
        if not self.journal.is_of(await asyncio.to_thread(describe_files, files)):
            names = ", ".join(file.name for file in files)
            raise ConfigurationError(
                f"{clean_text(names)}: changed since the run, or other columns would go to other fields now (as by "
                "another mapping file); put back what was loaded"
            )
        return files

    def open_phones(self) -> PhoneBook | None:
        """Return which rows share a phone, and which of them have got it; None where none does."""
        path = self.folder / PHONES
        if not path.is_file():
            return None
        book = PhoneBook(path)
        self._stack.callback(book.close)
        return book

    def open_sending(self, client: LeadConnector, phones: PhoneBook | None) -> Sending | None:
        """Return what was sent of each row; None where rows were sent as they are.

        Raises:
            ConfigurationError: What it was chosen by is not there any more.
            JournalError: It cannot be read.
        """
        selection = read_selection(self.journal.told("selection") or "")
        if not selection.fill_empty:
            return None
        path = self.folder / BEFORE
        if not path.is_file():
            raise ConfigurationError(f"{path}: is gone, so that nobody knows what of each row --fill-empty has sent")
        stored = self._stack.enter_context(StoredContacts(path))
        replaces_tags = self.journal.told("tags") == "replace"
        chooser = Chooser(selection, stored, location_id=client.location_id or "", replaces_tags=replaces_tags)
        self._stack.callback(chooser.close)
        return Sending(phones, chooser)

    def _sources(self) -> Sources:
        files = [path for path in self.note.files if path != STDIN]
        for path in files:
            if not path.is_file():
                raise ConfigurationError(f"{path}: was loaded, and is not there any more; put it back")
        return Sources(files=files, reading=self.note.reading)


class Pace:
    """A line now and then on how far a sweep is, on stderr."""

    def __init__(self, total: int, what: str, *, is_wanted: bool) -> None:
        self._total = total
        self._what = what
        self._is_wanted = is_wanted
        self._done = 0
        self._began = self._told = time.monotonic()

    def count(self, _: object = None) -> None:
        """Take note of one more."""
        self._done += 1
        now = time.monotonic()
        if self._is_wanted and now - self._told >= _LINE_SECONDS:
            self._told = now
            rate = self._done / max(now - self._began, 0.1)
            tell(f"{self._done:,}/{self._total:,} {self._what}, {rate:.1f} a second")


def stop_in_order(stop: asyncio.Event, work: asyncio.Task[Any] | None) -> Callable[[], None]:
    """Return what to call on a signal: it stops in order, and a second time at once."""

    def interrupt() -> None:
        if not stop.is_set():
            tell("\nStopping: calls in flight finish. Once more to stop at once.")
            stop.set()
        elif work is not None:
            work.cancel()

    return interrupt
