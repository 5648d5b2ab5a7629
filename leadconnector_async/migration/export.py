"""The contacts of a location in a file, page by page, so that an export that was cut off goes on where it was.

What is written goes to `FILE.part`, and after each page it goes to `FILE.resume` how far that is. A page of which the
second does not know is written anew. `FILE` is there when it is whole.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from ..client import LeadConnector
from ..errors import ConfigurationError, NotFoundError
from ..models import Contact
from ..models.filters import Cursor, Filter
from ..models.search import FoundContact
from ..private_file import keep_database_private, open_anew
from .export_rows import (
    WRITABLE,
    ExportField,
    count_undefined,
    count_unreadable,
    find_told,
    read_fields,
    write_csv_header,
    write_csv_rows,
    write_json_lines,
    write_raw_lines,
)
from .parquet import check_duckdb, convert_to_parquet
from .restricted import RestrictedContacts, take_restrictions
from .sweep import sweep

PAGE_SIZE: Final = 500
Doubt: TypeAlias = Literal["unasked", "unseen", "seen"]
_BY_CHANNEL: Final = ("dndSettings", "inboundDndSettings")
_AT_ONCE: Final = 64  # calls
_CSV, _LINES, _PARQUET = ".csv", (".jsonl", ".ndjson"), ".parquet"

T = TypeVar("T")


class ExportOrder(Struct, frozen=True, kw_only=True):
    """What an export is of; the same when it goes on.

    Attributes:
        target: The host.
        location_id: The location.
        tags: Tags that a contact must have.
        query: Free text that it must match, or None.
        is_raw: Whether to write JSON as the service returns it.
        is_by_id: Whether to read each contact by its id, at a call for each: with what searches leave out.
    """

    target: str
    location_id: str
    tags: tuple[str, ...] = ()
    query: str | None = None
    is_raw: bool = False
    is_by_id: bool = False


class Progress(Struct, frozen=True):
    """How far an export is.

    Attributes:
        contacts: Contacts written.
        size: Bytes of the part that are sure.
        cursor: Where the next page begins; None for the first.
        undefined: Values of custom fields that have no column, as the location does not define them.
        is_all: Whether there are no more.
        by_id: Contacts that were read by their ids.
        told: Fields that were told of at least one contact, by their names on the wire.
        unreadable: Values that are not of the documented kind; they are written as they came.
        is_asked: Whether the service said whose channels are closed.
    """

    contacts: int = 0
    size: int = 0
    cursor: Cursor | None = None
    undefined: int = 0
    is_all: bool = False
    by_id: int = 0
    told: frozenset[str] = frozenset()
    unreadable: int = 0
    is_asked: bool = True


def find_untold(order: ExportOrder, progress: Progress) -> list[str]:
    """Return the fields of which nothing was told, so that they are empty in the file, by their names on the wire.

    Do-not-disturb by channel is none of them: see `doubt_restrictions`.
    """
    if order.is_raw or not progress.contacts:
        return []
    return [name for name in WRITABLE if name not in (*progress.told, *_BY_CHANNEL)]


def doubt_restrictions(order: ExportOrder, progress: Progress) -> Doubt | None:
    """Say what an export may lack of do-not-disturb by channel; None where it lacks nothing.

    Returns:
        `unasked` where searches told no settings at all, and the service cannot be asked who has some. `seen` where
        searches leave settings out: who has a channel closed that can be asked for was read by its id. `unseen` where
        nobody has, and no settings were told, so that nobody knows whether searches leave them out. In both it is not
        known who has only other channels closed.
    """
    if order.is_raw or order.is_by_id or not progress.contacts:
        return None
    if progress.by_id:
        return "seen"
    if _BY_CHANNEL[0] in progress.told:
        return None
    return "unseen" if progress.is_asked else "unasked"


class _Kept(Struct, frozen=True):
    order: ExportOrder
    fields: list[ExportField]
    progress: Progress


class Export:
    """An export into a file; use it as a context manager.

    Args:
        path: The file. Its ending says which kind: `.csv`, `.jsonl`, `.ndjson` or `.parquet`.
        order: What of.
        is_resumed: Whether to go on with one that was cut off, where there is one.

    Attributes:
        order: What of.
        progress: How far it is.
        is_going_on: Whether an earlier one was found to go on with.

    Raises:
        ConfigurationError: The file is there, or its kind is unknown; an export into it was cut off and this one does
            not go on with it, or is another one; another process is at it.
    """

    def __init__(self, path: Path, order: ExportOrder, *, is_resumed: bool) -> None:
        self.path = path
        self.progress = Progress()
        self.order = order
        self._part, self._resume = (path.with_name(path.name + ending) for ending in (".part", ".resume"))
        self._is_lines = _read_kind(path, order)
        self._fields: list[ExportField] | None = None
        self._db: sqlite3.Connection | None = None
        self.is_going_on = self._resume.exists()
        self._check_place(is_resumed=is_resumed)
        if self.is_going_on:
            try:
                self._take_over(self._open_state())
            except ConfigurationError:
                self.close()
                raise

    def _check_place(self, *, is_resumed: bool) -> None:
        if self.path.exists():
            raise ConfigurationError(f"{self.path}: is there already; name another file")
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"{self.path}: there is no folder {self.path.parent}; make it first")
        if self.is_going_on and not is_resumed:
            raise ConfigurationError(
                f"{self.path}: an export into it was cut off; go on with --resume, "
                f"or remove {self._part} and {self._resume}"
            )

    def _take_over(self, db: sqlite3.Connection) -> None:
        (text,) = db.execute("SELECT kept FROM export").fetchone() or (None,)
        if text is None:  # cut off before it began
            return
        kept = _read_kept(text, self._resume)
        if kept.order != self.order:
            raise ConfigurationError(
                f"{self.path}: the export that was cut off is another one (location, service, tags, query or form "
                "differ); give what it was begun with, or name another file"
            )
        size = self._part.stat().st_size if self._part.exists() else -1
        if size < kept.progress.size:
            raise ConfigurationError(f"{self._part}: is not what was written; remove it and {self._resume}, begin anew")
        self._fields, self.progress = kept.fields, kept.progress

    def __enter__(self) -> Export:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files. May be called twice."""
        if self._db is not None:
            self._db.close()

    async def run(self, client: LeadConnector, on_page: Callable[[Progress], None]) -> Progress:
        """Write all contacts that match.

        Contacts that are there from the first page to the last are written once, whatever changes meanwhile, also where
        the export was cut off and goes on; the service's index may lack what was written in the last minute.

        Args:
            client: Where to read them.
            on_page: Called after each page that is on disk.

        Raises:
            LeadConnectorError: A page could not be read; what was read before is on disk, and the export can go on.
            OSError: A page could not be written; the export can go on.
            asyncio.CancelledError: Cancelled; the export can go on.
        """
        if self._fields is None:
            location = self.order.location_id
            self._fields = read_fields(await client.locations.custom_fields.list(model="contact", location_id=location))
            await _in_thread(self._begin)
        if not self.progress.is_all:
            await self._read_all(client, on_page)
        await _in_thread(self._finish)
        return self.progress

    async def _read_all(self, client: LeadConnector, on_page: Callable[[Progress], None]) -> None:
        if self.order.is_raw or self.order.is_by_id:
            await self._read_pages(client, None, on_page)
            return
        with closing(RestrictedContacts()) as restricted:
            await restricted.read(
                client,
                self._filters(),
                query=self.order.query,
                location_id=self.order.location_id,
                page_size=PAGE_SIZE,
            )
            await self._read_pages(client, restricted, on_page)

    def _filters(self) -> list[Filter]:
        return [Filter("tags", "eq", tag) for tag in self.order.tags]

    async def _read_pages(
        self, client: LeadConnector, restricted: RestrictedContacts | None, on_page: Callable[[Progress], None]
    ) -> None:
        search = client.contacts.search(
            *self._filters(),
            query=self.order.query,
            page_size=PAGE_SIZE,
            search_after=self.progress.cursor,
            location_id=self.order.location_id,
        )
        page: list[FoundContact] = []
        async with aclosing(search) as contacts:
            async for contact in contacts:
                page.append(contact)
                if len(page) >= PAGE_SIZE and contact.search_after is not None:
                    await self._keep(client, page, restricted)
                    on_page(self.progress)
                    page = []
        await self._keep(client, page, restricted, is_last=True)

    async def _keep(
        self,
        client: LeadConnector,
        page: list[FoundContact],
        restricted: RestrictedContacts | None,
        *,
        is_last: bool = False,
    ) -> None:
        """Read the contacts of a page by their ids that it does not tell enough of, and write it."""
        cursor = page[-1].search_after if page else self.progress.cursor
        wanted = await self._find_wanted(page, restricted)
        whole = await self._read_by_id(client, wanted)
        for contact in page:
            if (read := whole.get(contact.id)) is not None:
                self._complete(contact, read)
        gone = set(wanted) - whole.keys()
        there = [contact for contact in page if contact.id not in gone]
        await _in_thread(partial(self._write, there, cursor, by_id=len(whole), is_last=is_last))

    async def _find_wanted(self, page: Sequence[FoundContact], restricted: RestrictedContacts | None) -> list[str]:
        """Return the ids of the contacts of a page that are to be read by them."""
        if restricted is None:
            return [contact.id for contact in page] if self.order.is_by_id else []
        if not restricted.is_known:
            self.progress = msgspec.structs.replace(self.progress, is_asked=False)
        return await _in_thread(lambda: restricted.find_unsure(page))

    def _complete(self, contact: FoundContact, whole: Contact) -> None:
        if self.order.is_by_id:
            contact.take_over(whole)
        else:  # no other field: it would be in the file for some contacts, and empty for all others
            take_restrictions(contact, whole)

    async def _read_by_id(self, client: LeadConnector, ids: Sequence[str]) -> dict[str, Contact]:
        """Read contacts by their ids; those that have gone since are left out."""
        found: dict[str, Contact] = {}

        async def fetch(contact_id: str) -> None:
            with suppress(NotFoundError):
                found[contact_id] = await client.contacts.get(contact_id, location_id=self.order.location_id)

        reason = await sweep(ids, fetch, concurrency=min(_AT_ONCE, len(ids)), stop=asyncio.Event())
        if reason is not None:
            raise reason
        return found

    # ------------------------------------------------------------------------------------------ disk

    def _begin(self) -> None:
        assert self._fields is not None  # noqa: S101  (run asked for them)
        if self._db is None:
            self._open_state()
        header = b"" if self._is_lines else write_csv_header(self._fields)
        self._append(header, Progress(size=len(header)))

    def _write(self, page: Sequence[FoundContact], cursor: Cursor | None, *, by_id: int, is_last: bool) -> None:
        assert self._fields is not None  # noqa: S101  (run asked for them)
        write = (write_raw_lines if self.order.is_raw else write_json_lines) if self._is_lines else write_csv_rows
        data = write(page, self._fields)
        done = self.progress
        progress = Progress(
            contacts=done.contacts + len(page),
            size=done.size + len(data),
            cursor=cursor,
            undefined=done.undefined + (0 if self._is_lines else count_undefined(page, self._fields)),
            is_all=is_last,
            by_id=done.by_id + by_id,
            told=done.told | find_told(page, but=done.told),
            unreadable=done.unreadable + count_unreadable(page),
            is_asked=done.is_asked,
        )
        self._append(data, progress)

    def _append(self, data: bytes, progress: Progress) -> None:
        """Write to the part, and only when that is on disk how far it is."""
        assert self._db is not None and self._fields is not None  # noqa: S101, PT018  (it was begun)
        with self._part.open("r+b") if self.progress.size else open_anew(self._part, "wb") as file:
            file.truncate(self.progress.size)
            file.seek(self.progress.size)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        kept = msgspec.json.encode(_Kept(self.order, self._fields, progress)).decode()
        try:
            self._db.execute("INSERT OR REPLACE INTO export VALUES (1, ?)", (kept,))
        except sqlite3.Error as error:
            raise OSError(None, f"{self._resume} cannot be written: {error}") from error
        self.progress = progress

    def _finish(self) -> None:
        with self._part.open("r+b") as file:  # of a page that was cut off there may be some more
            file.truncate(self.progress.size)
        if self.path.suffix.lower() == _PARQUET:
            convert_to_parquet(self._part, self.path, self.progress.contacts)
            self._part.unlink()
        else:
            self._part.replace(self.path)
        self.close()
        self._resume.unlink()

    def _open_state(self) -> sqlite3.Connection:
        """Open the file that tells how far it is, for this process alone."""
        db: sqlite3.Connection | None = None
        try:
            keep_database_private(self._resume)
            db = sqlite3.connect(self._resume, timeout=0, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("CREATE TABLE IF NOT EXISTS export (number INTEGER PRIMARY KEY, kept TEXT NOT NULL)")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")  # the lock stays
        except (sqlite3.Error, OSError) as error:
            if db is not None:
                db.close()
            is_locked = "locked" in str(error)
            why = (
                "another process is at this export; wait until it has ended"
                if is_locked
                else f"cannot be used: {error}"
            )
            raise ConfigurationError(f"{self._resume}: {why}") from None
        self._db = db
        return db


def _read_kept(text: str, path: Path) -> _Kept:
    try:
        return msgspec.json.decode(text, type=_Kept)
    except msgspec.DecodeError:
        raise ConfigurationError(
            f"{path}: was made by another version of leadconnector-async; finish it there"
        ) from None


def _read_kind(path: Path, order: ExportOrder) -> bool:
    """Return whether a file is one of JSON Lines."""
    kind = path.suffix.lower()
    if kind not in (_CSV, *_LINES, _PARQUET):
        raise ConfigurationError(f"{path}: is of no kind that can be written; end it in .csv, .jsonl or .parquet")
    if order.is_raw and kind not in _LINES:
        raise ConfigurationError(f"{path}: what the service returns to the letter is JSON; end the name in .jsonl")
    if kind == _PARQUET:
        check_duckdb()
    return kind in _LINES


async def _in_thread(work: Callable[[], T]) -> T:
    """Do what the disk may hold up in a thread. Where this is cancelled, it is done all the same before it ends."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
