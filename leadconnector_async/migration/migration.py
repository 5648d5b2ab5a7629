"""Plan, load, verify and undo a migration of rows from files into locations.

A migration has a folder. `prepare` reads, maps and checks its rows and keeps them there; all later steps read the
folder alone, in this process or another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from ..bulk.brake import MaxFailures, read_max_failures
from ..bulk.contacts import leave_used_slots
from ..bulk.pool import Pool
from ..bulk.report import BatchReport, Outcome
from ..bulk.source import Closing, Skipped
from ..bulk.threads import in_thread, in_thread_until, open_in_thread
from ..calls.call import CallCounter, counting
from ..client import LeadConnector
from ..errors import ConfigurationError, JournalError, LeadConnectorError
from ..limits.limit import RateLimit
from ..models import ContactUpsert
from ..protocol.answers import clean_text
from ..run.database import Database
from ..run.folder import discard_folder, finish_draft, make_folder, open_draft, open_run
from ..run.journal import Journal
from ..run.rows import Rows, RunFile
from ..run.target import describe_target, is_same_target
from .before import Snapshot, StoredContacts
from .existing import Reading, compare_with_existing, open_chooser, take_snapshot
from .load import FileLoad, Sending, open_steps
from .mapping.custom_fields import about_not_emptied
from .mapping.meaning import Meaning
from .mapping.rows import RowFile, split_emptied
from .matching import Matching
from .options import CHANGED, MigrationOptions, RowCount, check_option
from .plan import Closings, Comparison, Plan
from .planning import Seen as Planned
from .planning import count_closed, make_plan
from .prepare import Preparation, Seen, fields_made
from .report.files import Results
from .restore import Restore, assume_met
from .select import Chooser, read_selection
from .steps import StepProgress
from .survey import Survey
from .tables import Reading as TableReading
from .tables import find_files, open_table
from .tables.inputs import STDIN, Inputs, Sources
from .undo import Created, Undo, UndoPlan, UndoReport, conclude_undo, correct_plan, plan_undo, read_created
from .undone import Undone, UndoRecords
from .verify import (
    Meetings,
    Sample,
    Verification,
    VerifyRecords,
    VerifyReport,
    group_by_contact,
    most_differing,
    note_end,
    read_end,
)

_OPTIONS: Final = "options"
_PLAN: Final = "plan"
_NOTES: Final = "notes"
_FILES: Final = "files"
_LOADING: Final = "loading"
_CLOSINGS: Final = "closings"
_HAS_LOCATIONS: Final = "has_locations"
IN_SANDBOX: Final = "the sandbox"
"""The target of a load into a sandbox that ends with its process."""

T = TypeVar("T")
P = ParamSpec("P")
Tell = Callable[[str], None]
Content = list[int | str]
"""What the content of a source is known by."""


def _alone(
    work: Callable[Concatenate[Migration, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Migration, P], Coroutine[Any, Any, T]]:
    """Refuse a call while another one works on the run: both would write the same results and records."""

    @wraps(work)
    async def call(run: Migration, /, *args: P.args, **options: P.kwargs) -> T:
        with run._working():
            return await work(run, *args, **options)

    return call


class Migration:
    """A migration. Open it with `prepare` or `open`, and close it, as with `async with`.

    Attributes:
        folder: Where it is kept; None if it is not kept.
        options: What is done with rows.
        plan: What the load will do.
        notes: What was assumed when it was prepared, in sentences.
        shared: What is done about rows that share a phone, in sentences; of a run that was just prepared.
        read_files: What was read, of a run that was just prepared.
        load: The load of the last `upsert`, with its results; None before.
    """

    def __init__(
        self,
        client: LeadConnector | None,
        folder: Path | None,
        file: Database,
        options: MigrationOptions,
        plan: Plan,
        notes: list[str],
        *,
        target: str | None = None,
    ) -> None:
        self._client = client
        self._file = file
        self._target = target
        self._is_at_work = False
        self.folder = folder
        self.options = options
        self.plan = plan
        self.notes = notes
        self.shared: list[str] = []
        self.read_files: list[RowFile] = []
        self.load: FileLoad | None = None

    # ------------------------------------------------------------------------------------------ opening

    @classmethod
    async def prepare(
        cls,
        client: LeadConnector | None,
        sources: str | Path | Sequence[str | Path] | Sources,
        *,
        folder: str | Path | None,
        options: MigrationOptions = MigrationOptions(),  # noqa: B008  (it is frozen)
        compare: bool = False,
        ask_locations: bool = True,
        wait_for_quota: bool = False,
        keep_with_obstacles: bool = False,
        rate_limit: RateLimit | None = None,
        location_id: str | None = None,
        target: str | None = None,
        stop: asyncio.Event | None = None,
        tell: Tell = lambda _: None,
    ) -> Migration:
        """Read, map and check rows, and say what a load will do. Nothing is sent.

        Args:
            client: An open client of the location to load into. None to plan offline: what names in cells
                stand for, and how locations match, is then looked up when the load starts.
            sources: The files, or another source of rows.
            folder: A new or empty folder to keep the run in. None to keep nothing; such a run cannot be loaded.
            options: What is done with rows.
            compare: Whether to compare rows with the contacts that exist.
            ask_locations: Whether to ask all locations for their limits and how they match; else only those where rows
                of several people share a phone.
            wait_for_quota: Whether to wait for the next day when the day's calls are spent.
            keep_with_obstacles: Whether to keep a run that cannot be loaded as it is; `plan.obstacles` says why.
            rate_limit: Our own limits of each location, where there is no client.
            location_id: The location of rows without one of their own, if there is no client.
            target: The name of the service; by default the client's address.
            stop: Set it to give up.
            tell: Called with what is read from the service for a comparison, and how long that takes.

        Raises:
            ConfigurationError: Something cannot be read, or the load cannot start as it is; no run was kept.
            LeadConnectorError: The existing contacts cannot be read.
            InterruptedError: `stop` was set.
        """
        if not isinstance(sources, Sources):
            paths = [sources] if isinstance(sources, str | Path) else sources
            sources = Sources(files=[Path(path) for path in paths])
        meaning = await in_thread(options.read_meaning)
        sources = await in_thread(partial(options.complete, sources))
        stop = stop or asyncio.Event()
        place = None if folder is None else Path(folder)
        if place is not None:
            make_folder(place)
        try:
            draft = _Draft(
                client,
                place,
                options,
                limit=(rate_limit if client is None else client.rate_limit) or RateLimit(),
                location_id=location_id,
                target=target,
                stop=stop,
                tell=tell,
                waits_for_quota=wait_for_quota,
            )
            with counting(draft.calls):
                return await draft.prepare(
                    sources, meaning, compare=compare, asks_all=ask_locations, keep_with_obstacles=keep_with_obstacles
                )
        except JournalError as error:
            if place is not None:
                discard_folder(place)
            raise ConfigurationError(f"{error}; nothing was sent; free disk space, and start again") from error
        except BaseException:
            if place is not None:
                discard_folder(place)
            raise

    @classmethod
    async def open(cls, client: LeadConnector | None, folder: str | Path, *, target: str | None = None) -> Migration:
        """Open a run of an earlier process.

        Args:
            client: An open client of the run's service and location. None to give one later, with `use`.
            folder: Of the run.
            target: The name of the service; by default the client's address.

        Raises:
            ConfigurationError: There is no run, it is damaged or in use, or it is for another service or location.
        """
        place = Path(folder)
        file = await open_in_thread(partial(open_run, place))
        try:
            await in_thread(Rows(file).check)
            options, plan, notes = _read_about(file)
            run = cls(None, place, file, options, plan, notes, target=target)
            if client is not None:
                run.use(client)
        except BaseException:
            file.close()
            raise
        return run

    def use(self, client: LeadConnector) -> None:
        """Take a client, which is open.

        Raises:
            ConfigurationError: The run is for another service or location.
        """
        target = self._target or client.target
        if self.target is not None and not is_same_target(self.target, target):
            there, here = describe_target(self.target), describe_target(target)
            is_sandbox = IN_SANDBOX in (self.target, target)
            what_to_do = "name that one" if is_sandbox else "set LEADCONNECTOR_BASE_URL to what it was then"
            what_was_done = "was loaded into" if self.is_loading else "was planned for"
            raise ConfigurationError(
                f"{self.folder}: {what_was_done} {clean_text(there)}, but the settings name {clean_text(here)}; "
                f"{what_to_do}"
            )
        if self.location_id is not None and client.location_id != self.location_id:
            raise ConfigurationError(
                f"{self.folder}: is for location {clean_text(self.location_id)}, but the client is for "
                f"{clean_text(client.location_id or 'none')}; give the location of the run"
            )
        self._client = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder. May be called twice."""
        self._file.close()

    def discard(self) -> None:
        """Remove a run that was not loaded, and its folder if that holds nothing else; then close it."""
        self.close()
        if self.folder is not None:
            discard_folder(self.folder)

    # ------------------------------------------------------------------------------------------ what it is

    @property
    def location_id(self) -> str | None:
        """The location of rows without one of their own, where it is known."""
        return self._file.about("location") or None

    @property
    def target(self) -> str | None:
        """The service, where it is known."""
        return self._file.about("target")

    @property
    def fields_made(self) -> list[str]:
        """The custom fields that were made for it, by their names."""
        return fields_made(self._file)

    @property
    def closings(self) -> Closings | None:
        """Whose channels its rows close; None if no row closes any."""
        noted = self._file.about(_CLOSINGS)
        return self.plan.closings if noted is None else msgspec.json.decode(noted, type=Closings)

    @property
    def has_locations(self) -> bool:
        """Whether rows name their locations."""
        return self._file.about(_HAS_LOCATIONS) == "yes"

    @property
    def is_begun(self) -> bool:
        """Whether rows may have been sent."""
        return self._journal().is_begun

    @property
    def is_loading(self) -> bool:
        """Whether a load has started, even if it only read the existing contacts."""
        return self._file.about(_LOADING) is not None

    @property
    def files(self) -> list[RunFile]:
        """Its rows."""
        return Rows(self._file).files()

    @property
    def journal(self) -> Journal:
        """What became of its rows."""
        return self._journal()

    def _journal(self, *, retry_failed: bool = False) -> Journal:
        return Journal(self._file, retry_failed=retry_failed)

    def check_same(self, sources: Sources, options: MigrationOptions, *, piped: Content | None = None) -> None:
        """Refuse to go on with other rows or options. A file that is gone is fine; a query is not asked again.

        Args:
            sources: The rows.
            options: What is done with them.
            piped: What standard input gives this time, as of `Inputs.describe_stdin`; None where it gives nothing.

        Raises:
            ConfigurationError: Something is not the same; the sentence says what.
        """
        found = options.describe(options.read_meaning())
        changed = [name for name, value in found.items() if self._file.about(f"same.{name}") != value]
        if self._is_changed(options.complete(sources), piped):
            changed.insert(0, _FILES)
        if changed:
            raise ConfigurationError(
                f"{self._file.path}: this run {CHANGED[changed[0]]}; name another one for this load, or give what it "
                "was made for"
            )

    def find_changed(self) -> list[str]:
        """Return the files whose content has changed since they were read for this run.

        Files that are gone, and sources that could be read only once, are left out: their rows are kept.
        """
        kind = self._file.about(_FILES) or ""
        if not kind.startswith("{"):  # a query, or standard input
            return []
        reading = msgspec.json.decode(kind, type=TableReading)
        return [file.about.path for file in self.files if _holds_otherwise(file, reading)]

    def is_same(self, sources: Sources, options: MigrationOptions, *, piped: Content | None = None) -> bool:
        """Whether a run is of these sources and options; see `check_same`."""
        try:
            self.check_same(sources, options, piped=piped)
        except ConfigurationError:
            return False
        return True

    def _is_changed(self, sources: Sources, piped: Content | None) -> bool:
        if self._file.about(_FILES) != _kind_of(sources):
            return True
        kept = [file.about for file in self.files]
        if sources.is_asked_once:
            return piped is not None and [piped] != [about.content for about in kept]
        contents = {about.path: about.content for about in kept}
        try:
            paths = find_files(sources.files)
        except ConfigurationError:  # a pattern that no file matches any more
            return False
        found = [
            open_table(path, sources.reading).describe() if path.exists() else contents.get(str(path.absolute()))
            for path in paths
        ]
        return found != [about.content for about in kept]

    # ------------------------------------------------------------------------------------------ upsert

    @_alone
    async def upsert(
        self,
        *,
        on_outcome: Callable[[Outcome], None] | None = None,
        on_step: Callable[[StepProgress], None] = lambda _: None,
        on_read: Callable[[int], None] = lambda _: None,
        on_load: Callable[[FileLoad], None] = lambda _: None,
        tell: Tell = lambda _: None,
        stop: asyncio.Event | None = None,
        wait_for_quota: bool = False,
        max_failures: int | str | MaxFailures | None = None,
        retry_failed: bool = False,
        limit: int | None = None,
        as_planned: bool = False,
    ) -> BatchReport:
        """Load all rows, or go on where an earlier call or process left off, and write the result files.

        Args:
            on_outcome: Called with each outcome once it is on disk.
            on_step: Called after each call that follows the upserts, such as one that adds tags.
            on_read: Called with the number of further existing contacts that were read.
            on_load: Called with the load before its first row.
            tell: Called with sentences on what happens before the first row.
            stop: Set it to end in order.
            wait_for_quota: Whether to wait for the next day when the day's calls are spent.
            max_failures: As in `Contacts.bulk_upsert`: after how many failures of this call the load stops.
            retry_failed: Whether to send failed rows again.
            limit: The number of rows to load this time, from the first; None for all.
            as_planned: Whether rows are loaded as they were read for a plan of another process, although a file has
                changed since. A load that was begun goes on in any case, and so does one whose file is gone.

        Returns:
            The counts of all sessions.

        Raises:
            ConfigurationError: The load cannot start, e.g. because a file has changed or another call works on the run;
                nothing was sent.
            LoadStoppedError: The results could not be written.
            LeadConnectorError: The existing contacts could not be read; nothing was sent, and what was read is kept.
            InterruptedError: `stop` was set before anything was read or sent.
        """
        check_option("limit", limit, RowCount | None)
        brake = read_max_failures(max_failures)
        client, stop = self._opened_client(), stop or asyncio.Event()
        if not as_planned:
            await self._refuse_changed()
        journal = self._journal(retry_failed=retry_failed)
        calls = CallCounter()
        async with AsyncExitStack() as stack:
            stack.callback(_note_calls, journal, calls)
            stack.enter_context(counting(calls))
            await self._begin(client, journal, stop, tell, waits_for_quota=wait_for_quota)
            is_begun = journal.is_begun
            pool = Pool(client, waits_for_quota=wait_for_quota)
            files = _first(self.files, limit)
            reading = self._reading(client, waits=wait_for_quota, tell=tell, on_read=on_read)
            if self.options.snapshot:
                await take_snapshot(reading, client, files, self._file, stop, pool, is_begun=is_begun)
            chooser = await open_chooser(reading, client, files, self._file, stop, stack, pool, is_begun=is_begun)
            if self.options.snapshot or chooser is not None:
                StoredContacts(self._file).settle(pool.closed)
            journal.count_calls(calls.take())  # before the first row: a crash would lose them
            self.load = FileLoad(
                files,
                Results(self._folder(), files, self.closings),
                journal,
                steps=open_steps(self._file, self.options, retry_refused=retry_failed),
                chooser=chooser,
                closed=pool.closed,
                calls=calls,
            )
            on_load(self.load)
            try:
                return await self.load.run(
                    client,
                    stop,
                    wait_for_quota=wait_for_quota,
                    on_outcome=on_outcome or (lambda _: None),
                    on_step=on_step,
                    max_failures=brake,
                )
            finally:
                with suppress(JournalError):  # what it tells of its end is then less exact
                    note_end(journal, client)

    async def _refuse_changed(self) -> None:
        """Refuse a plan of another process that is not begun, and of which a file has changed since."""
        if self.read_files or self.is_loading:
            return
        if changed := await in_thread(self.find_changed):
            raise ConfigurationError(
                f"{changed[0]}: has changed since this run was planned; plan again, or load it as it was planned "
                "(`as_planned`)"
            )

    async def _begin(
        self, client: LeadConnector, journal: Journal, stop: asyncio.Event, tell: Tell, *, waits_for_quota: bool
    ) -> None:
        """Note where the load goes, and resolve what was left open when it was planned."""
        whole = {
            "location": client.location_id or "",
            "target": self._target or client.target,
            "api_version": client.api_version,
        }
        journal.check(whole)
        if self.plan.obstacles:
            raise ConfigurationError("; ".join(self.plan.obstacles))
        if not journal.is_begun:
            await self._resolve(client, stop, tell, waits_for_quota=waits_for_quota)
            await self._count_closed(client, stop, tell)
            self._file.note([*whole.items(), (_LOADING, "yes")])

    async def _resolve(self, client: LeadConnector, stop: asyncio.Event, tell: Tell, *, waits_for_quota: bool) -> None:
        preparation = Preparation(
            self.options,
            client,
            self._file,
            limit=client.rate_limit or RateLimit(),
            location_id=client.location_id or "",
            stop=stop,
            tell=tell,
            waits_for_quota=waits_for_quota,
        )
        made = self.fields_made
        await preparation.resolve([name for name in self.plan.new_fields if name not in made])

    async def _count_closed(self, client: LeadConnector, stop: asyncio.Event, tell: Tell) -> None:
        """Count whose channels were closed before, where the plan was made without the service."""
        closings = self.closings
        if closings is not None and closings.before is None and self.plan.target is None:
            names = [location.id or "" for location in self.plan.locations]
            closings = msgspec.structs.replace(closings, before=await count_closed(client, names, tell, stop))
            self._file.note([(_CLOSINGS, _encode(closings))])

    def _reading(
        self, client: LeadConnector, *, waits: bool, tell: Tell, on_read: Callable[[int], None] = lambda _: None
    ) -> Reading:
        return _reading_of(self.options, client, waits=waits, tell=tell, on_read=on_read)

    def _opened_client(self) -> LeadConnector:
        if self._client is None:
            raise ConfigurationError("this run was opened without a client; give it one with `use`")
        if self.folder is None:
            raise ConfigurationError("this plan was not kept; prepare it with a folder to load it")
        leave_used_slots(self._client, self.journal.last_calls())
        return self._client

    def _client_of_loaded(self) -> LeadConnector:
        client = self._opened_client()
        if not self.is_begun:
            raise ConfigurationError(f"{self.folder}: no row of this run was sent yet; load it first")
        return client

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Work on the run, alone.

        Raises:
            ConfigurationError: Another call does.
        """
        if self._is_at_work:
            raise ConfigurationError(f"{self.folder}: another call works on this run; wait until it has ended")
        self._is_at_work = True
        try:
            yield
        finally:
            self._is_at_work = False

    def _folder(self) -> Path:
        assert self.folder is not None  # noqa: S101  (of a run that can be loaded there is one)
        return self.folder

    # ------------------------------------------------------------------------------------------ verify

    @_alone
    async def verify(
        self,
        *,
        sample: int | Sample | None = None,
        stop: asyncio.Event | None = None,
        concurrency: int = 64,
        on_start: Callable[[int], None] = lambda _: None,
        on_compared: Callable[[], None] = lambda: None,
    ) -> VerifyReport:
        """Read the contacts of the run back, compare them with what was sent, and write `verify.json` and `.csv`.

        If the last verification of the same sample was stopped, this one goes on: it passes over rows that were found
        as they should be, and compares those that differed once more.

        Args:
            sample: How many rows to compare, chosen at random; None for all.
            stop: Set it to end in order.
            concurrency: Contacts read at a time.
            on_start: Called with how many rows are left to compare.
            on_compared: Called after each row.

        Raises:
            ConfigurationError: Nothing was loaded yet, another call works on the run, or a result cannot be written.
            JournalError: The run cannot be read or written.
        """
        client, stop = self._client_of_loaded(), stop or asyncio.Event()
        journal, adds_tags = self.journal, self.options.tags == "add"
        picking = Sample(count=sample) if isinstance(sample, int) else sample or Sample()
        with ExitStack() as opened:
            meetings = opened.enter_context(await in_thread(partial(Meetings, journal.outcomes())))
            ended_at = read_end(journal)
            records = VerifyRecords(self._file, [str(picking), meetings.total, ended_at, self.is_undo_begun])
            picked = picking.pick(meetings.total, records.seed)
            wanted = meetings.total if picked is None else len(picked)
            work = Verification(client, self._folder(), records, ended_at=ended_at, adds_tags=adds_tags)
            on_start(wanted - work.tally.compared)
            outcomes = journal.outcomes()
            for step in open_steps(self._file, self.options):
                outcomes = step.mark(outcomes)
            sending = self._sending(client, opened)
            groups = group_by_contact(self.files, outcomes, meetings, picked, sending, adds_tags=adds_tags)
            try:
                stopped = await _ending(work.run(groups, stop, concurrency=concurrency, on_compared=on_compared), stop)
                if stopped is None:
                    records.conclude()
                report = _report_of(work, meetings.total, wanted, stopped, is_sample=picked is not None)
                report.write(self._folder())
            except OSError as error:
                reason = error.strerror or error
                raise ConfigurationError(f"{self.folder}: cannot hold the results ({reason})") from None
        return report

    def _sending(self, client: LeadConnector, opened: ExitStack) -> Sending | None:
        """Return what was sent of each row; None where rows were sent as they are."""
        selection = read_selection(self._file.about("same.selection") or "")
        if not selection.fill_empty:
            return None
        stored, replaces_tags = StoredContacts(self._file), self.options.tags == "replace"
        chooser = Chooser(selection, stored, location_id=client.location_id or "", replaces_tags=replaces_tags)
        opened.callback(chooser.close)
        return Sending(open_steps(self._file, self.options), chooser)

    # ------------------------------------------------------------------------------------------ undo

    @property
    def is_undo_begun(self) -> bool:
        """Whether an undo has started."""
        return UndoRecords(self._file).is_begun

    @property
    def restores(self) -> bool:
        """Whether an undo restores updated contacts, because the run kept them as they were before."""
        return self.options.snapshot

    async def plan_undo(self) -> UndoPlan:
        """Count what an undo would delete and restore; change nothing.

        Raises:
            ConfigurationError: Nothing was loaded yet.
            JournalError: The run cannot be read.
        """
        return await in_thread(partial(_Past(self, self._client_of_loaded()).plan))

    @_alone
    async def undo(
        self,
        *,
        force: bool = False,
        include_inferred: bool = False,
        stop: asyncio.Event | None = None,
        concurrency: int = 64,
        on_start: Callable[[int], None] = lambda _: None,
        on_undone: Callable[[Undone], None] = lambda _: None,
    ) -> UndoReport:
        """Delete the contacts that the run created, restore those that it updated where it kept what they were, and
        write `undo.json` and `.csv`. Called again, it goes on.

        Args:
            force: Whether to undo also contacts and fields that somebody has changed since.
            include_inferred: Whether to delete also contacts that the run may not have created.
            stop: Set it to end in order.
            concurrency: Contacts at a time.
            on_start: Called with how many contacts there are, before the deletions and before the restoring.
            on_undone: Called with the result of each.

        Raises:
            ConfigurationError: Nothing was loaded yet, another call works on the run, or a result cannot be written.
            JournalError: The run cannot be read or written.
        """
        client, stop = self._client_of_loaded(), stop or asyncio.Event()
        past, records, pool = _Past(self, client), UndoRecords(self._file), Pool(client)
        plan = await in_thread(past.plan)
        if not records.is_begun:
            records.begin(client.clock.time())
        work = Undo(client, records, self.journal, pool, is_forced=force, includes_inferred=include_inferred)
        on_start(plan.created)
        running = work.run(past.created(), stop, concurrency=concurrency, on_undone=on_undone)
        reason = await _ending(running, stop)
        if past.snapshot is not None and reason in (None, _words_of(pool.reason)):
            on_start(plan.updated)
            with ExitStack() as opened:
                meetings = opened.enter_context(await in_thread(partial(Meetings, past.outcomes())))
                adds_tags = self.options.tags == "add"
                sending = self._sending(client, opened)
                groups = group_by_contact(self.files, past.outcomes(), meetings, None, sending, adds_tags=adds_tags)
                restore = Restore(
                    client, records, past.snapshot, self.journal, pool, adds_tags=adds_tags, is_forced=force
                )
                running = restore.run(groups, stop, concurrency=concurrency, on_undone=on_undone)
                reason = await _ending(running, stop)
        try:
            return conclude_undo(
                self._folder(), plan, records, reason, restores=self.restores, fields_left=self.fields_made
            )
        except OSError as error:
            raise ConfigurationError(f"{self.folder}: cannot hold the results ({error.strerror or error})") from None


class _Draft:
    """Prepares a run."""

    def __init__(
        self,
        client: LeadConnector | None,
        folder: Path | None,
        options: MigrationOptions,
        *,
        limit: RateLimit,
        location_id: str | None,
        target: str | None,
        stop: asyncio.Event,
        tell: Tell,
        waits_for_quota: bool,
    ) -> None:
        self._client = client
        self._folder = folder
        self._options = options
        self._location_id = (location_id if client is None else client.location_id) or ""
        self._target = target or (None if client is None else client.target)
        self._named_target = target
        self._stop = stop
        self._tell = tell
        self._limit = limit
        self._notes: list[str] = []
        self.calls = CallCounter()
        self._file = Database(None) if folder is None else open_draft(folder)
        self._preparation = Preparation(
            options,
            client,
            self._file,
            limit=self._limit,
            location_id=self._location_id,
            stop=stop,
            tell=self._notes.append,
            waits_for_quota=waits_for_quota,
        )

    async def prepare(
        self, sources: Sources, meaning: Meaning, *, compare: bool, asks_all: bool, keep_with_obstacles: bool
    ) -> Migration:
        try:
            with Matching() as matching, Inputs(sources) as inputs:
                tables = await in_thread_until(self._stop.is_set, inputs.open)
                self._notes += [f"{table.name}: {note}" for table in tables for note in table.notes]
                self._notes += self._assume()
                if meaning.empties_fields:
                    files = await in_thread(lambda: [RowFile(table, meaning) for table in tables])
                    self._notes += filter(None, [about_not_emptied(split_emptied(files)[1])])
                seen = await self._preparation.read(tables, meaning, matching, asks_all=asks_all)
                if not keep_with_obstacles:
                    self._preparation.refuse(seen.tally)
                plan = await self._plan(seen, compare=compare)
            if self._stop.is_set():
                raise InterruptedError(0, "interrupted")
            self._note(sources, meaning, seen, plan)
            return self._finish(seen, plan)
        except BaseException:
            self._file.close()
            raise

    def _assume(self) -> Iterator[str]:
        """Yield what is taken for granted where nothing can be asked."""
        if self._client is None:
            yield "The service was not asked: the usual limits and matching are assumed."
            if names := " and ".join(f"`{name}`" for name in self._options.selection.names()):
                yield f"All rows count as sent: offline it is not known which of them {names} would leave out."

    async def _plan(self, seen: Seen, *, compare: bool) -> Plan:
        comparison = None
        survey, matching = seen.survey, seen.matching
        with ExitStack() as opened:
            if compare and self._client is not None:
                matching = opened.enter_context(Matching())
                survey = Survey(self._location_id, tags_rule=self._options.tags, matching=matching)
                comparison = await self._compare(self._client, seen, survey)
                await in_thread(matching.find_shared_phones)
                rules = {name: one.rule for name, one in seen.asked.items()}
                await in_thread(partial(matching.settle_phones, self._options.phone_conflict, rules))
            planned = Planned(
                files=self._preparation.files,
                rows=seen.files,
                survey=survey,
                tally=seen.tally,
                matching=matching,
                asked=seen.asked,
                limit=self._limit,
                target=None if self._target is None else urlsplit(self._target).hostname or self._target,
                obstacles=self._preparation.obstacles(seen.tally),
                new_fields=self._preparation.missing,
                assumptions=self._notes,
                comparison=comparison,
                closings=seen.closings,
                phone_conflict=self._options.phone_conflict,
            )
            return await in_thread_until(self._stop.is_set, partial(make_plan, planned))

    async def _compare(self, client: LeadConnector, seen: Seen, survey: Survey) -> Comparison:
        def look(what: ContactUpsert | Skipped | Closing | None) -> None:
            if isinstance(what, Closing):
                survey.look_at_closing(what)
            elif isinstance(what, ContactUpsert):
                survey.look([what])
            else:
                survey.pass_over()

        reading = _reading_of(self._options, client, waits=False, tell=self._tell)
        conflicts = seen.matching.phones.conflicts()
        return await compare_with_existing(reading, client, seen.files, self._stop, conflicts=conflicts, on_row=look)

    def _note(self, sources: Sources, meaning: Meaning, seen: Seen, plan: Plan) -> None:
        """Note what the run is known by, and what it will do."""
        same = {f"same.{name}": value for name, value in self._options.describe(meaning).items()}
        where = {"location": self._location_id} if self._location_id else {}
        if self._target is not None and self._client is not None:
            where |= {"target": self._target, "location": self._location_id, "api_version": self._client.api_version}
        about = {
            **same,
            **where,
            "snapshot": same["same.snapshot"],
            _FILES: _kind_of(sources),
            _HAS_LOCATIONS: "yes" if any(file.has_locations for file in seen.files) else "",
            _OPTIONS: _encode(self._options),
            _NOTES: _encode(self._notes),
            _PLAN: _encode(plan),
        }
        self._file.note([*about.items()])
        Journal(self._file).count_calls(self.calls.take())

    def _finish(self, seen: Seen, plan: Plan) -> Migration:
        file = self._file if self._folder is None else finish_draft(self._folder, self._file)
        run = Migration(self._client, self._folder, file, self._options, plan, self._notes, target=self._named_target)
        run.shared, run.read_files = seen.shared, self._preparation.files
        return run


class _Past:
    """What a run has left, for an undo."""

    def __init__(self, run: Migration, client: LeadConnector) -> None:
        self._run = run
        self._client = client
        self._stored = StoredContacts(run._file) if run.restores else None
        self.snapshot = None if self._stored is None else Snapshot(run._file, self._stored)

    def plan(self) -> UndoPlan:
        """Count what an undo would delete and restore."""
        plan = plan_undo(self._run.journal, self.outcomes())
        return plan if self.snapshot is None else correct_plan(plan, filter(self._was_there, self._told_created()))

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes, with the contacts that rows met where only what was there tells it."""
        found = self._run.journal.outcomes()
        if self._stored is None:
            return found
        return assume_met(self._run.files, found, self._stored, self._client.location_id or "")

    def created(self) -> Iterator[Created]:
        """Yield the contacts that are to be deleted."""
        return (created for created in self._told_created() if not self._was_there(created))

    def _told_created(self) -> Iterator[Created]:
        journal, files = self._run.journal, self._run.files
        return read_created(journal, _location_of(files)) if self._run.has_locations else read_created(journal)

    def _was_there(self, created: Created) -> bool:
        location_id = created.location_id or self._client.location_id or ""
        return self.snapshot is not None and self.snapshot.was_there(location_id, created.contact_id)


def _note_calls(journal: Journal, calls: CallCounter) -> None:
    """Have a journal count calls, also where what made them has failed."""
    with suppress(JournalError):  # what was read before the first row is then missing from the count
        journal.count_calls(calls.take())


def _location_of(files: Sequence[RunFile]) -> Callable[[int], str | None]:
    """Return what tells the location that a row names; it is asked for rows in their order."""
    numbered = enumerate(row for file in files for row in file.rows())

    def find(index: int) -> str | None:
        contact = next(row for number, row in numbered if number == index).contact
        return (contact.location_id or None) if isinstance(contact, ContactUpsert) else None

    return find


async def _ending(running: Any, stop: asyncio.Event) -> str | None:
    """Return what ended work early, in words, or None."""
    try:
        reason = await running
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return "interrupted at once"
    return _words_of(reason) or ("interrupted" if stop.is_set() else None)


def _words_of(reason: LeadConnectorError | None) -> str | None:
    return None if reason is None else str(reason)


def _report_of(work: Verification, loaded: int, wanted: int, stopped: str | None, *, is_sample: bool) -> VerifyReport:
    tally = work.tally
    is_told = is_sample and stopped is None and tally.compared > 0
    return VerifyReport(
        loaded=loaded,
        wanted=wanted,
        compared=tally.compared,
        differing=tally.differing,
        unread=tally.unread,
        overwritten=tally.overwritten,
        reasons=sorted((*key, count) for key, count in tally.reasons.items()),
        most_differing=most_differing(tally.differing, tally.compared) if is_told else None,
        stopped=stopped,
    )


def _reading_of(
    options: MigrationOptions,
    client: LeadConnector,
    *,
    waits: bool,
    tell: Tell,
    on_read: Callable[[int], None] = lambda _: None,
) -> Reading:
    return Reading(
        selection=options.selection,
        replaces_tags=options.tags == "replace",
        limit=client.rate_limit or RateLimit(),
        waits=waits,
        tell=tell,
        on_progress=on_read,
    )


def _holds_otherwise(file: RunFile, reading: TableReading) -> bool:
    """Whether a file is there, and holds something else than when its rows were read."""
    path = Path(file.about.path)
    if not path.exists():
        return False
    try:
        return open_table(path, reading).describe() != file.about.content
    except ConfigurationError:  # it cannot even be read any more
        return True


def _first(files: list[RunFile], limit: int | None) -> list[RunFile]:
    """Return files with the first rows alone."""
    if limit is None:
        return files
    shortened = []
    for file in files:
        shortened.append(file.first(limit))
        limit -= shortened[-1].count
    return shortened


def _kind_of(sources: Sources) -> str:
    """Return what is known of sources beside the content of files: how these are read, or which query it is."""
    if sources.query is not None:
        return _encode(sources.query.describe())
    if STDIN in sources.files:
        return "standard input"
    how = msgspec.structs.asdict(sources.reading)
    # What a run of an earlier version does not have is left out where nothing is said of it.
    return _encode({name: value for name, value in how.items() if value is not None or name not in _NEWER})


_NEWER: Final = ("delimiter", "usual_encoding")


def _encode(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _read_about(file: Database) -> tuple[MigrationOptions, Plan, list[str]]:
    told: Mapping[str, str | None] = {name: file.about(name) for name in (_OPTIONS, _PLAN, _NOTES)}
    if None in told.values():
        raise ConfigurationError(f"{file.path}: its preparation was not finished; prepare the run again")
    options = msgspec.json.decode(told[_OPTIONS] or "", type=MigrationOptions, dec_hook=lambda kind, text: kind(text))
    plan = msgspec.json.decode(told[_PLAN] or "", type=Plan)
    return options, plan, msgspec.json.decode(told[_NOTES] or "", type=list[str])
