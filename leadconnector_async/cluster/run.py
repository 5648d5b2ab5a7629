"""A load on a cluster, from its source to one report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ..bulk.report import BatchReport, LoadStoppedError, Tally, row_error
from ..errors import ConfigurationError, JournalError, StopRequestedError
from ..migration.mapping.meaning import NOTHING_SAID, Meaning
from ..migration.tables import Reading
from ..protocol.answers import clean_text
from .dispatch import Dispatcher, Ending, LoadSetup, Share
from .journal import DIFFERENCES
from .lead import Lead
from .lease import Leadership, Lease
from .load import count_earlier
from .splitting import (
    Frame,
    OnParts,
    Parts,
    Source,
    SourcePart,
    Splitting,
    describe_source,
    find_parts,
    part_name,
    read_part,
    split_file,
    split_frame,
)
from .store import Store
from .workers import ClientOptions, Cluster, open_cluster

# ---------------------------------------------------------------------------------------------- one report


class Progress(Struct, frozen=True, kw_only=True):
    """How far a load is, over all workers.

    Attributes:
        rows: Rows that have an outcome.
        total_rows: All rows.
        locations: Locations that are done.
        total_locations: All locations.
        workers: Workers that take part.
        tally: The counts so far.
        seconds: Since this run of the load began.
    """

    rows: int
    total_rows: int
    locations: int
    total_locations: int
    workers: int
    tally: Tally
    seconds: float


OnProgress: TypeAlias = Callable[[Progress], None]


class Merge:
    """The counts of all locations, each once.

    Args:
        shares: All locations.
        began_at: When the load began, in seconds since 1970.

    Attributes:
        report: What is done, and at the end the rest.
        done: The epoch of each location that is done or stopped.
    """

    def __init__(self, shares: Iterable[Share], *, session: int, began_at: float) -> None:
        self._shares = {share.location_id: share for share in shares}
        self._began = time.monotonic()
        self._total_rows = sum(share.rows for share in self._shares.values())
        self.done: dict[str, int] = {}
        self.report = BatchReport(keep_outcomes=False)
        self.report.sessions = session
        self.report.start(began_at, now=time.time(), monotonic=self._began)
        self._stopped: str | None = None

    def add(self, ending: Ending) -> None:
        """Count a location that is done or stopped."""
        self.done[ending.location_id] = ending.epoch
        rest = self._shares[ending.location_id].rows - sum(ending.tally.counts.values())
        self.report.add_tally(ending.tally)
        self.report.add_rest(rest, row_error(StopRequestedError(ending.stopped or "the load was interrupted")))
        if ending.stopped is not None and self._stopped is None:
            self._stopped = ending.stopped

    def progress(self, under_way: Iterable[Tally], *, workers: int) -> Progress:
        """Return how far the load is."""
        counts = BatchReport(keep_outcomes=False)
        for tally in (self.report.tally(), *under_way):
            counts.add_tally(tally)
        return Progress(
            rows=counts.total,
            total_rows=self._total_rows,
            locations=sum(map(bool, self.done)),  # "" stands for rows that can be sent nowhere
            total_locations=sum(map(bool, self._shares)),
            workers=workers,
            tally=counts.tally(),
            seconds=time.monotonic() - self._began,
        )

    def conclude(self, failure: Exception | None, count_left: Callable[[Share], Tally | None]) -> BatchReport:
        """Count the locations that nobody had to their end, and return the report.

        Args:
            failure: What ended the load, or None.
            count_left: Returns what earlier runs or lost workers left of a location, or None.
        """
        reason = failure or (None if self._stopped is None else StopRequestedError(self._stopped))
        for share in self._shares.values():
            if share.location_id in self.done:
                continue
            reason = reason or StopRequestedError("the load was asked to stop")
            tally = count_left(share)
            if tally is not None:
                self.report.add_tally(tally)
            rest = share.rows - (0 if tally is None else sum(tally.counts.values()))
            self.report.add_rest(rest, row_error(reason))
        self.report.stopped = reason
        self.report.finish(time.monotonic())
        return self.report


def read_endings(store: Store) -> list[Ending]:
    """Return the locations that earlier runs were done with.

    Raises:
        JournalError: They cannot be read.
    """
    latest: dict[str, Ending] = {}
    for name in store.names("done"):
        data = store.read(f"done/{name}")
        if data is not None:
            try:
                ending = msgspec.json.decode(data, type=Ending)
            except msgspec.DecodeError as error:
                raise JournalError(f"{store.path(f'done/{name}')}: is damaged ({error}); remove it") from None
            latest[ending.location_id] = ending
    return list(latest.values())


# ---------------------------------------------------------------------------------------------- what a run is known by

_LOAD: Final = "load.json"
_LEFT_BY_REFUSALS: Final = frozenset(("probe", "lead.json"))  # of runs that ended before they began to read
_OTHER: Final = {
    "source": DIFFERENCES["files"],
    **{name: DIFFERENCES[name] for name in ("location", "target", "api_version")},
    "meaning": "other columns or checks",
}


class Description(Struct, frozen=True, kw_only=True):
    """What a load is known by.

    Attributes:
        split_id: What its pieces are known by.
        began_at: When its first run began to read, in seconds since 1970; 0 before.
        whole: What must be the same when it goes on.
    """

    split_id: str
    began_at: float
    whole: dict[str, str]


def describe(options: ClientOptions, parts: list[str] | Frame, meaning: Meaning) -> dict[str, str]:
    """Return what must be the same when a load goes on."""
    described = (meaning.columns, meaning.is_whole, sorted(meaning.ignored), meaning.checks, meaning.owners.describe())
    return {
        "source": describe_source(parts),
        "location": options.location_id or "",
        "target": options.base_url,
        "api_version": options.api_version,
        "meaning": msgspec.json.encode((*described, meaning.values) if meaning.values else described).decode(),
    }


def open_folder(store: Store, whole: dict[str, str], *, is_resumed: bool) -> Description:
    """Return what an earlier run left of a load, or what a new one is to be known by.

    Raises:
        ConfigurationError: The folder holds something else.
    """
    before = store.decode(_LOAD, Description)
    if before is None:
        if not is_resumed and not _LEFT_BY_REFUSALS.issuperset(store.names("")):
            raise ConfigurationError(f"{store.url}: is not empty; name a new folder for the results")
        return Description(split_id=f"{time.time_ns():x}", began_at=0.0, whole=whole)
    if not is_resumed:
        raise ConfigurationError(f"{store.url}: holds a run; name a new folder, or go on with that one (`resume`)")
    for name, sentence in _OTHER.items():
        if before.whole.get(name) != whole[name]:
            raise ConfigurationError(
                f"{store.url}: holds a run with {sentence}; name another folder, or give what that run was made for"
            )
    return before


def is_cluster_run(folder: Path) -> bool:
    """Whether a folder that this machine can read holds a load on a cluster."""
    try:
        msgspec.json.decode((folder / _LOAD).read_bytes(), type=Description)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def take_folder(store: Store, description: Description) -> Description:
    """Leave what a load is known by in its folder, once this process leads there, and return it.

    Raises:
        ConfigurationError: Another process has begun a load there meanwhile; its pieces are known by its description.
        JournalError: It could not be written.
    """
    before = store.decode(_LOAD, Description)
    if before is not None and before.split_id != description.split_id:
        raise ConfigurationError(f"{store.url}: another process has started a load there; name another folder")
    began_at = description.began_at or time.time()
    description = msgspec.structs.replace(description, began_at=began_at)
    store.write(_LOAD, msgspec.json.encode(description))
    return description


_STOPPED: Final = StopRequestedError("the load was asked to stop")
_REPORT: Final = "report.json"
_PARTS_AT_ONCE: Final = 4  # for each worker
_PROGRESS_SECONDS: Final = 1.0
_EPOCHS_OF_A_SESSION: Final = 10**8


async def upsert_partitions(
    client_options: ClientOptions,
    source: Source,
    *,
    out: str,
    scheduler: str | None = None,
    workers: int | None = None,
    locations_at_once: int = 32,
    meaning: Meaning = NOTHING_SAID,
    reading: Reading = Reading(),  # noqa: B008  (frozen)
    resume: bool = False,
    compare: bool = True,
    wait_for_quota: bool = False,
    lease_seconds: float = 15.0,
    stop: asyncio.Event | None = None,
    on_parts: OnParts | None = None,
    on_progress: OnProgress | None = None,
) -> BatchReport:
    """Upsert the contacts of many locations with the workers of a Dask cluster.

    A location is loaded by one worker at a time, which loads many at once; so each location has its own limits, and no
    two workers need to share them. What becomes of each row is in the store before it counts. Where a worker is lost,
    others go on with its locations: after the time for which it might still send, and one window of the rate limit.
    A load on a cluster cannot be verified or undone for now.

    Args:
        client_options: Where rows go, and where each worker finds the token.
        source: Files or patterns of files that all workers see, or a dask.dataframe. A column names the location of
            each row (`locationId`), unless `client_options` names one for all.
        out: The folder of the run, where all workers can write: a path on a shared disk, or an address of fsspec. It
            receives `report.json`, `results/` (a Parquet file for each location, a line a row), and the journals.
        scheduler: The address of a Dask scheduler. None: a cluster of this machine alone, for the time of the load.
        workers: Processes of that cluster; one a core by default.
        locations_at_once: Locations that a worker loads at the same time.
        meaning: What columns and cells mean, where headers do not say. Rows are matched by email and phone, whatever
            ids they have.
        reading: How to read files, where they do not say.
        resume: Whether to go on with what an earlier run left in `out`; what is done there is not sent again.
        compare: As in `Contacts.bulk_upsert`.
        wait_for_quota: Whether to wait for the next day where a location's calls of the day are spent.
        lease_seconds: How long a worker goes on that does not hear from this process; others wait as long before they
            take its locations. Longer than any pause that is usual on the machines.
        stop: Set it to end the load in order: calls in flight finish, no further one begins.
        on_parts: Awaited when all rows are counted and nothing is sent yet; what it raises ends the load.
        on_progress: Called about once a second.

    Returns:
        The report of all locations and all runs of the load. `report.stopped` says what ended it early, or what ended
        one of its locations early.

    Raises:
        ConfigurationError: The scheduler, a worker, the source or `out` cannot be used; nothing was sent.
        OutageError: The cluster was lost, or failed, while rows were brought together; nothing was sent.
        LoadStoppedError: `on_progress` raised; carries the report, and the reason as `__cause__`.
        JournalError: The store cannot be read or written. What was sent is in it as far as it was counted; go on with
            `resume`.
    """
    _check_numbers(locations_at_once, lease_seconds)
    meaning = _by_email_and_phone(meaning)
    parts = find_parts(source)
    store = Store(out)
    whole = describe(client_options, parts, meaning)
    description = await asyncio.to_thread(open_folder, store, whole, is_resumed=resume)
    setup = LoadSetup(
        store_url=store.url,
        split_id=description.split_id,
        options=client_options,
        locations_at_once=locations_at_once,
        lease_seconds=lease_seconds,
        compare=compare,
        wait_for_quota=wait_for_quota,
    )
    async with open_cluster(scheduler, workers) as cluster:
        await cluster.check(client_options, store, [] if isinstance(parts, Frame) else parts)
        load = ClusterLoad(cluster, store, setup, description, stop or asyncio.Event())
        splitting = Splitting(
            store_url=store.url, location_id=client_options.location_id, meaning=meaning, reading=reading
        )
        return await load.run(parts, splitting, on_parts, on_progress)


def _by_email_and_phone(meaning: Meaning) -> Meaning:
    """Have rows matched as an upsert does: nobody has looked whether their ids are those of contacts there."""
    if meaning.ids == "all" or meaning.takes_nameless:
        raise ConfigurationError("a load on a cluster matches by email and phone alone")
    return msgspec.structs.replace(meaning, ids="none")


def _check_numbers(locations_at_once: int, lease_seconds: float) -> None:
    if locations_at_once < 1 or lease_seconds <= 0:
        raise ConfigurationError("locations_at_once must be at least 1, and lease_seconds above 0")


class ClusterLoad:
    """A load whose folder and cluster are open.

    Args:
        cluster: The workers.
        store: The folder.
        setup: What workers need to know.
        description: What the load is known by.
        stop: Set to end in order.
    """

    def __init__(
        self, cluster: Cluster, store: Store, setup: LoadSetup, description: Description, stop: asyncio.Event
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._setup = setup
        self._description = description
        self._stop = stop
        self._leadership = Leadership(store, Lease(setup.lease_seconds))
        self._dispatcher: Dispatcher | None = None
        self._is_new = not description.began_at
        self._is_refused = False

    async def run(
        self,
        parts: list[str] | Frame,
        splitting: Splitting,
        on_parts: OnParts | None,
        on_progress: OnProgress | None,
    ) -> BatchReport:
        """Split the source, load all locations, and return the report, as `upsert_partitions` says."""
        await self._leadership.begin()
        keeping = asyncio.create_task(self._leadership.keep())
        try:
            self._description = await asyncio.to_thread(take_folder, self._store, self._description)
            found = await self._split(parts, splitting)
            if found is None:
                return Merge([], session=self._leadership.session, began_at=time.time()).conclude(
                    _STOPPED, lambda _: None
                )
            shares = gather_shares(found, is_again=self._leadership.session > 1)
            if on_parts is not None:
                await self._ask(on_parts, Parts.of(found))
            await self._leadership.confirm()
            return await self._load(shares, [] if isinstance(parts, Frame) else parts, on_progress)
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])
            if self._lease_left() <= 0:  # else workers may still send, and whoever goes on waits for them
                with suppress(JournalError):  # then, too
                    await self._leave()

    async def _ask(self, on_parts: OnParts, parts: Parts) -> None:
        try:
            await on_parts(parts)
        except Exception:  # whatever the caller refuses it with
            self._is_refused = True
            raise

    async def _leave(self) -> None:
        """Leave the lead, and the folder as it was found if the load was refused before anything was sent: the mended
        command may name it again."""
        is_mine = self._is_refused and await asyncio.to_thread(self._has_made_folder)
        if is_mine:
            await asyncio.to_thread(self._store.clear, but=_LEFT_BY_REFUSALS)
        await self._leadership.end()
        if is_mine:
            await asyncio.to_thread(self._store.clear)

    def _has_made_folder(self) -> bool:
        if not self._is_new or self._leadership.ended is not None:
            return False
        there = self._store.decode(_LOAD, Description)
        return there is not None and there.split_id == self._description.split_id

    def _lease_left(self) -> float:
        """Return for how many seconds at most some worker may go on by itself."""
        return 0.0 if self._dispatcher is None else self._dispatcher.lease_left(time.monotonic())

    # ------------------------------------------------------------------------------------------ the first pass

    async def _split(self, parts: list[str] | Frame, splitting: Splitting) -> list[SourcePart] | None:
        """Have all parts split that are not yet; None where the load is to stop before that is done.

        Raises:
            ConfigurationError: One cannot be read; nothing was sent.
        """
        count = parts.npartitions if isinstance(parts, Frame) else len(parts)
        missing = [number for number in range(count) if await self._read_part(number) is None]
        workers = len(await self._cluster.workers()) or 1
        problems: list[str] = []
        begin = takewhile(lambda _: not problems, self._splits(parts, splitting, missing))
        splits = self._cluster.finish_all(begin, most=workers * _PARTS_AT_ONCE)
        async with aclosing(splits):
            async for problem in splits:  # also after a problem: a part that is written late would be taken for another
                problems += [] if problem is None else [problem]
                if self._stop.is_set() and not problems:
                    return None
        if problems:
            self._is_refused = True
            raise ConfigurationError(problems[0])
        return [await self._find_part(number) for number in range(count)]

    async def _find_part(self, number: int) -> SourcePart:
        """Read what a worker said that it wrote.

        Raises:
            ConfigurationError: It is not there.
        """
        part = await self._read_part(number)
        if part is None:
            raise ConfigurationError(
                f"{self._store.path(part_name(number))}: a worker wrote it where this process cannot see it; name a "
                "folder that all machines share (`out`)"
            )
        return part

    async def _read_part(self, number: int) -> SourcePart | None:
        return await asyncio.to_thread(read_part, self._store, number)

    def _splits(
        self, parts: list[str] | Frame, splitting: Splitting, numbers: list[int]
    ) -> Iterator[Callable[[], Any]]:
        partitions = parts.to_delayed() if isinstance(parts, Frame) and numbers else ()
        for number in numbers:
            if isinstance(parts, Frame):
                yield partial(self._cluster.compute_with, split_frame, splitting, number, partitions[number])
            else:
                key = f"leadconnector-split-{self._description.split_id}-{self._leadership.session}-{number}"
                yield partial(self._cluster.submit, split_file, splitting, number, parts[number], key=key)

    # ------------------------------------------------------------------------------------------ the load

    async def _load(self, shares: list[Share], sources: list[str], on_progress: OnProgress | None) -> BatchReport:
        session = self._leadership.session
        merge = Merge(shares, session=session, began_at=self._description.began_at)
        merge.report.location_id = self._description.whole["location"] or None
        merge.report.host = urlsplit(self._description.whole["target"]).hostname
        merge.report.sources = [clean_text(source) for source in sources]
        done = await asyncio.to_thread(read_endings, self._store) if session > 1 else []
        for ending in done:
            merge.add(ending)
        self._dispatcher = dispatcher = Dispatcher(
            [share for share in shares if share.location_id not in merge.done],
            at_once=self._setup.locations_at_once,
            ahead=self._setup.locations_at_once // 2 + 1,
            lease_seconds=self._setup.lease_seconds,
            first_epoch=session * _EPOCHS_OF_A_SESSION,
        )
        lead = Lead(self._cluster, dispatcher, self._setup, self._leadership, merge.add)
        watching = asyncio.create_task(self._watch(lead, dispatcher, merge, on_progress))
        watching.add_done_callback(lead.fail_with)
        try:
            await lead.run(f"leadconnector-load-{self._description.split_id}-{session}")
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        await asyncio.sleep(self._lease_left())  # before it counts what lost workers left
        report = await asyncio.to_thread(self._conclude, merge, lead.failure)
        if not watching.cancelled() and (error := watching.exception()) is not None:
            raise LoadStoppedError(f"the load was ended by {type(error).__name__}: {error}", report=report) from error
        return report

    async def _watch(self, lead: Lead, dispatcher: Dispatcher, merge: Merge, on_progress: OnProgress | None) -> None:
        while True:
            dispatcher.is_stopping = dispatcher.is_stopping or self._stop.is_set()
            if on_progress is not None:
                on_progress(merge.progress(lead.under_way.values(), workers=len(lead.under_way)))
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROGRESS_SECONDS):
                    await self._stop.wait()
                await asyncio.sleep(_PROGRESS_SECONDS)

    def _conclude(self, merge: Merge, failure: Exception | None) -> BatchReport:
        report = merge.conclude(failure, self._count_left)
        if self._leadership.ended is None:  # else the folder is another process's by now
            self._remove_superseded()
            self._store.write(_REPORT, report.to_json().encode())
        return report

    def _count_left(self, share: Share) -> Tally | None:
        return count_earlier(self._store, self._setup.split_id, share.location_id)

    def _remove_superseded(self) -> None:
        """Keep the latest results of each location alone: one that was stopped before has older ones."""
        latest: dict[str, str] = {}
        for name in self._store.names("results"):  # sorted, and so by epoch within a location
            key = name.split(".")[0]
            if key in latest:
                self._store.remove(f"results/{latest[key]}")
            latest[key] = name


def gather_shares(parts: list[SourcePart], *, is_again: bool) -> list[Share]:
    """Return all locations of some parts, with the parts that have rows of each."""
    rows: dict[str, int] = {}
    numbers: dict[str, list[int]] = {}
    for number, part in enumerate(parts):
        for location_id, count in part.rows.items():
            rows[location_id] = rows.get(location_id, 0) + count
            numbers.setdefault(location_id, []).append(number)
    return [Share(location_id, count, numbers[location_id], is_again) for location_id, count in rows.items()]
