"""The contacts of a location in a file, page by page, so that an export that was cut off goes on where it was.

What is written goes to `FILE.part`, and after each page it goes to `FILE.resume` how far that is. A page of which the
second does not know is written anew. `FILE` is there when it is whole.
"""

from __future__ import annotations

import csv
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing, closing, suppress
from functools import partial
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from ..bulk.pool import Pool
from ..bulk.threads import in_thread
from ..client import LeadConnector
from ..errors import BadRequestError, ConfigurationError, NotFoundError, ValidationError
from ..models import Contact, DndSettings, InboundDndSettings, any_of
from ..models.fields import CHANNEL_KINDS, FIELD_OF, FIELDS, NAMES, is_empty
from ..models.search import Cursor, Filter, FilterGroup, FoundContact
from ..private_file import keep_database_private, open_again, open_anew, put_in_place
from ..protocol.text import neutral_cell
from .mapping.targets import CUSTOM_PREFIX
from .tables.duck import check_duckdb, convert_to_parquet
from .tables.table import text_of

# ---------------------------------------------------------------------------------------------- rows of an export

_FILE: Final = "FILE_UPLOAD"
_FILE_PREFIX: Final = "file:"  # a load has no value for such a field, and passes the column over
_EXPORTED: Final = [field for field in FIELDS if field.is_exported]
_WRITABLE: Final = {field.wire: field.name for field in _EXPORTED if field.is_stored and field.kind != "custom"}
_READ_ONLY: Final = {field.wire: field.name for field in _EXPORTED if not field.is_stored}
_CUSTOM: Final = next(field for field in FIELDS if field.kind == "custom")
_BY_CHANNEL: Final = [field for field in _EXPORTED if field.kind in CHANNEL_KINDS]
_NAME_PARTS, _NAME = [FIELD_OF[name].wire for name in NAMES[:2]], FIELD_OF[NAMES[2]].wire
_ATTRIBUTES: Final = frozenset(field.name for field in _EXPORTED)
_SEPARATING: Final = re.compile(r'[,;|"\n\r]|:::|^\s|\s$')


class ExportField(Struct, frozen=True):
    """A custom field of the location.

    Attributes:
        id: Its id.
        key: Its key, without the `contact.` that the service puts before it.
        holds_files: Whether it holds files.
    """

    id: str
    key: str
    holds_files: bool

    @property
    def column(self) -> str:
        """Its header."""
        return f"{_FILE_PREFIX if self.holds_files else CUSTOM_PREFIX}{self.key}"


class Definition(Protocol):
    """What is to be known of a custom field's definition."""

    id: str
    field_key: str | None
    data_type: str | None


def read_fields(definitions: Iterable[Definition]) -> list[ExportField]:
    """Return the custom fields of a location, those of the same key by their ids."""
    fields: dict[str, ExportField] = {}
    for one in definitions:
        key = (one.field_key or one.id).removeprefix("contact.")
        key = one.id if key in fields else key
        fields[key] = ExportField(one.id, key, one.data_type == _FILE)
    return list(fields.values())


def write_csv_header(fields: Sequence[ExportField], *, is_neutral: bool = False) -> bytes:
    """Return the header; `is_neutral`: without what a spreadsheet would run as a formula."""
    header = ["id", *_WRITABLE, *_READ_ONLY, *(field.column for field in fields)]
    return _write_csv([[*map(neutral_cell, header)] if is_neutral else header])


def write_csv_rows(
    contacts: Iterable[FoundContact], fields: Sequence[ExportField], *, is_neutral: bool = False
) -> bytes:
    """Return a line for each contact. Values of fields that the location does not define have no column."""
    rows = (_csv_row(contact, fields) for contact in contacts)
    return _write_csv([*map(neutral_cell, row)] if is_neutral else row for row in rows)


def write_json_lines(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> bytes:
    """Return for each contact its id and what an upsert would send to have it as it is."""
    keys = {field.id: field.key for field in fields}
    return b"".join(msgspec.json.encode(_upsert_of(contact, keys)) + b"\n" for contact in contacts)


def write_raw_lines(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> bytes:
    """Return each contact with all fields, as the service returned it."""
    return b"".join(msgspec.json.encode(msgspec.Raw(_on_one_line(contact.raw))) + b"\n" for contact in contacts)


def count_undefined(contacts: Iterable[FoundContact], fields: Sequence[ExportField]) -> int:
    """Return how many values are of custom fields that the location does not define (any more), or that do not say of
    which they are."""
    known = {field.id for field in fields}
    undefined = (value.id not in known for contact in contacts for value in contact.custom_fields or ())
    return sum(undefined) + sum(len(_unread_custom_fields(contact)) for contact in contacts)


def count_unreadable(contacts: Iterable[FoundContact]) -> int:
    """Return how many values are not of the documented kind."""
    return sum(len(contact.unreadable.keys() & _ATTRIBUTES) for contact in contacts)


def find_told(contacts: Sequence[Contact], *, but: Collection[str]) -> set[str]:
    """Return which fields some contacts tell, also where they are empty, by their names on the wire.

    Args:
        contacts: The contacts.
        but: Fields that need not be looked for.
    """
    sought = {name: attribute for name, attribute in _WRITABLE.items() if name not in but}
    return {name for name, attribute in sought.items() if any(contact.knows(attribute) for contact in contacts)}


# ---------------------------------------------------------------------------------------------- one contact


def _values_of(contact: FoundContact) -> dict[str, Any]:
    values = {name: getattr(contact, attribute) for name, attribute in _WRITABLE.items()}
    values |= _unreadable_of(contact)  # as it came: better than to pass for nothing
    if not all(is_empty(values[part]) for part in _NAME_PARTS):
        del values[_NAME]  # made of these
    elif not values[_NAME]:
        values[_NAME] = contact.contact_name
    for field in _BY_CHANNEL:
        values[field.wire] = _channels_of(values[field.wire])
    return {name: value for name, value in values.items() if not is_empty(value)}


def _unreadable_of(contact: FoundContact) -> dict[str, Any]:
    unreadable = contact.unreadable
    return {name: unreadable[attribute] for name, attribute in _WRITABLE.items() if attribute in unreadable}


def _channels_of(settings: DndSettings | InboundDndSettings | None) -> dict[str, Any]:
    """Return all channels, each so that a load takes it: one that is closed in a word of the service's own is `active`.

    A channel that is not known keeps its name, although a load refuses that: better than to lose that it is closed.
    """
    channels = {} if settings is None else settings.by_channel()
    known = {name: one if one.status == "permanent" else one.as_settable() for name, one in channels.items()}
    told: dict[str, dict[str, str | None]] = msgspec.to_builtins(known)
    return {name: {word: text for word, text in one.items() if text is not None} for name, one in told.items()}


def _upsert_of(contact: FoundContact, keys: Mapping[str, str]) -> dict[str, Any]:
    values = _values_of(contact)
    custom = [
        {"id": one.id, **({"key": keys[one.id]} if one.id in keys else {}), "field_value": one.value}
        for one in contact.custom_fields or ()
        if not is_empty(one.value)
    ]
    custom += _unread_custom_fields(contact)  # as they came: better than to pass for nothing
    return {"id": contact.id, **values, **({"customFields": custom} if custom else {})}


def _unread_custom_fields(contact: FoundContact) -> list[Any]:
    if _CUSTOM.name not in contact.unreadable:
        return []
    rest = contact.extra[_CUSTOM.wire]
    return rest if isinstance(rest, list) else [rest]


def _csv_row(contact: FoundContact, fields: Sequence[ExportField]) -> list[str]:
    values, unread = _values_of(contact), contact.unreadable
    if "tags" not in unread:
        values["tags"] = _join_tags(contact.tags or [])
    row = [contact.id, *(text_of(msgspec.to_builtins(values.get(name))) for name in _WRITABLE)]
    row += [_read_only_text(unread.get(name, getattr(contact, name))) for name in _READ_ONLY.values()]
    custom: dict[str, Any] = {value.id: value.value for value in contact.custom_fields or ()}
    return [*row, *(_custom_text(custom.get(field.id)) for field in fields)]


def _join_tags(tags: Sequence[str]) -> str:
    """Join tags as they are read again; one that would not be read as one tag needs JSON."""
    is_plain = not any(_SEPARATING.search(tag) or tag.startswith(("[", "* ")) for tag in tags)
    return ", ".join(tags) if is_plain else msgspec.json.encode(tags).decode()


def _custom_text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(f'"{one.replace(chr(34), chr(34) * 2)}"' if _SEPARATING.search(one) else one for one in value)
    return text_of(value)


def _read_only_text(value: Any) -> str:
    plain = msgspec.to_builtins(value)
    return text_of(plain or None)


def _write_csv(rows: Iterable[Sequence[str]]) -> bytes:
    lines = StringIO()
    # No file with a zero byte is read as text again, and the service stores none.
    csv.writer(lines).writerows([cell.replace("\0", "") for cell in row] for row in rows)
    return lines.getvalue().encode("utf-8", "backslashreplace")


def _on_one_line(raw: bytes) -> bytes:
    return raw if b"\n" not in raw and b"\r" not in raw else msgspec.json.encode(msgspec.json.decode(raw))


# ---------------------------------------------------------------------------------------------- closed channels

# A search may leave `dndSettings` and `inboundDndSettings` out of what it returns, and of a contact without
# restrictions they are left out anyway: so from a contact that comes without them nobody knows whether it has any. But
# a search can be asked for the contacts whose channels are closed, a page at a time. Only those of them that came
# without their settings need to be read by their ids.
#
# The filters know Email, SMS, Call and what comes in, and not WhatsApp, GMB, FB or RCS.

ASKED: Final = ("Email", "SMS", "Call")
NOT_ASKED: Final = ("WhatsApp", "GMB", "FB", "RCS")

_CLOSED: Final[dict[str, FilterGroup]] = {
    "dnd_settings": any_of(
        *(
            Filter(f"dnd_settings.{channel.lower()}.status", "eq", status)
            for channel in ASKED
            for status in ("active", "permanent")
        )
    ),
    "inbound_dnd_settings": any_of(Filter("inbound_dnd_settings.all.status", "eq", "active")),
}
"""What to ask for, by the field that such a contact must have."""


class RestrictedContacts:
    """The contacts of which some channel is closed, in a file of SQLite that is gone when this is closed.

    Attributes:
        is_known: Whether the service has said who they are.
    """

    def __init__(self) -> None:
        self.is_known = False
        self._left = list(_CLOSED)  # fields of which not all were read
        self._cursor: Cursor | None = None
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE closed (field TEXT, id TEXT, PRIMARY KEY (field, id)) WITHOUT ROWID")

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._db.close()

    async def read(
        self, client: LeadConnector, filters: Sequence[Filter], *, query: str | None, location_id: str, page_size: int
    ) -> None:
        """Ask who they are among the contacts that a search would find; where the service knows no such filters, they
        stay unknown. Called again, it goes on after the last page that it read.

        Raises:
            LeadConnectorError: It could not be asked.
        """
        try:
            while self._left:
                search = client.contacts.search(
                    *filters,
                    _CLOSED[self._left[0]],
                    query=query,
                    page_size=page_size,
                    search_after=self._cursor,
                    location_id=location_id,
                )
                async for contact in search:
                    self._db.execute("INSERT OR IGNORE INTO closed VALUES (?, ?)", (self._left[0], contact.id))
                    self._cursor = contact.search_after or self._cursor
                del self._left[0]
                self._cursor = None
        except (BadRequestError, ValidationError):
            return
        self.is_known = True

    def find_unsure(self, contacts: Sequence[Contact]) -> list[str]:
        """Return the ids of those that are restricted and do not say how."""
        return [contact.id for contact in contacts if self._is_unsure(contact)]

    def _is_unsure(self, contact: Contact) -> bool:
        return any(not contact.knows(field) and self._is_closed(field, contact.id) for field in _CLOSED)

    def _is_closed(self, field: str, contact_id: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM closed WHERE field = ? AND id = ?", (field, contact_id)).fetchone())


def take_restrictions(contact: Contact, whole: Contact) -> None:
    """Have a contact that a search returned say of do-not-disturb what a read of it by its id said."""
    for field in FIELDS:
        if field.kind in ("switch", *CHANNEL_KINDS):
            setattr(contact, field.name, getattr(whole, field.name))


PAGE_SIZE: Final = 500
Doubt: TypeAlias = Literal["unasked", "unseen", "seen"]
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
        is_for_spreadsheets: Whether cells that a spreadsheet would run as a formula get an apostrophe before them, so
            that they are not quite what the service stores.
    """

    target: str
    location_id: str
    tags: tuple[str, ...] = ()
    query: str | None = None
    is_raw: bool = False
    is_by_id: bool = False
    is_for_spreadsheets: bool = False


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
    by_channel = [field.wire for field in _BY_CHANNEL]
    return [name for name in _WRITABLE if name not in (*progress.told, *by_channel)]


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
    if _BY_CHANNEL[0].wire in progress.told:
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
        if os.path.lexists(self.path):
            raise ConfigurationError(f"{self.path}: already exists; name another file")
        if not self.path.parent.is_dir():
            raise ConfigurationError(f"{self.path}: the folder {self.path.parent} does not exist; create it first")
        if not self.is_going_on and os.path.lexists(self._part):
            raise ConfigurationError(f"{self._part}: already exists, but not as part of an export; remove it")
        if self.is_going_on and not is_resumed:
            raise ConfigurationError(
                f"{self.path}: an export into it was interrupted; go on with it (`is_resumed`), or remove "
                f"{self._part} and {self._resume}"
            )

    def _take_over(self, db: sqlite3.Connection) -> None:
        (text,) = db.execute("SELECT kept FROM export").fetchone() or (None,)
        if text is None:  # cut off before it began
            return
        kept = _read_kept(text, self._resume)
        if kept.order != self.order:
            raise ConfigurationError(
                f"{self.path}: the interrupted export was another one (location, service, tags, query or form "
                "differ); give the same as then, or name another file"
            )
        size = self._part.stat().st_size if self._part.exists() else -1
        if size < kept.progress.size:
            raise ConfigurationError(
                f"{self._part}: has changed since it was written; remove it and {self._resume}, and start again"
            )
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
        pool = Pool(client)
        if self._fields is None:
            await self._each(pool, [client], self._ask_for_fields)
            await in_thread(self._begin)
        if not self.progress.is_all:
            await self._read_all(client, pool, on_page)
        await in_thread(self._finish)
        return self.progress

    async def _each(
        self, pool: Pool, items: Sequence[T], work: Callable[[T], Awaitable[None]], concurrency: int = 1
    ) -> None:
        """Run `work` for each item; while the service is down, it is begun anew later.

        Raises:
            LeadConnectorError: What ended it early.
        """
        location_id = self.order.location_id

        async def call(item: T) -> None:
            await pool.call(location_id, partial(work, item))

        ended = await pool.run(items, call, location_of=lambda _: location_id, concurrency=concurrency)
        if (reason := ended or pool.reason) is not None:
            raise reason

    async def _ask_for_fields(self, client: LeadConnector) -> None:
        definitions = await client.locations.custom_fields.list(model="contact", location_id=self.order.location_id)
        self._fields = read_fields(definitions)

    async def _read_all(self, client: LeadConnector, pool: Pool, on_page: Callable[[Progress], None]) -> None:
        if self.order.is_raw or self.order.is_by_id:
            await self._read_pages(client, pool, None, on_page)
            return
        with closing(RestrictedContacts()) as restricted:
            read = partial(
                restricted.read,
                filters=self._filters(),
                query=self.order.query,
                location_id=self.order.location_id,
                page_size=PAGE_SIZE,
            )
            await self._each(pool, [client], read)
            await self._read_pages(client, pool, restricted, on_page)

    def _filters(self) -> list[Filter]:
        return [Filter("tags", "eq", tag) for tag in self.order.tags]

    async def _read_pages(
        self,
        client: LeadConnector,
        pool: Pool,
        restricted: RestrictedContacts | None,
        on_page: Callable[[Progress], None],
    ) -> None:
        async def read(client: LeadConnector) -> None:
            await self._read_more_pages(client, pool, restricted, on_page)

        await self._each(pool, [client], read)

    async def _read_more_pages(
        self,
        client: LeadConnector,
        pool: Pool,
        restricted: RestrictedContacts | None,
        on_page: Callable[[Progress], None],
    ) -> None:
        """Read the pages after the last one that was written."""
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
                    await self._keep(client, pool, page, restricted)
                    pool.note_progress()
                    on_page(self.progress)
                    page = []
        await self._keep(client, pool, page, restricted, is_last=True)

    async def _keep(
        self,
        client: LeadConnector,
        pool: Pool,
        page: list[FoundContact],
        restricted: RestrictedContacts | None,
        *,
        is_last: bool = False,
    ) -> None:
        """Read the contacts of a page by their ids that it does not tell enough of, and write it."""
        cursor = page[-1].search_after if page else self.progress.cursor
        wanted = await self._find_wanted(page, restricted)
        whole = await self._read_by_id(client, pool, wanted)
        for contact in page:
            if (read := whole.get(contact.id)) is not None:
                self._complete(contact, read)
        gone = set(wanted) - whole.keys()
        there = [contact for contact in page if contact.id not in gone]
        await in_thread(partial(self._write, there, cursor, by_id=len(whole), is_last=is_last))

    async def _find_wanted(self, page: Sequence[FoundContact], restricted: RestrictedContacts | None) -> list[str]:
        """Return the ids of the contacts of a page that are to be read by them."""
        if restricted is None:
            return [contact.id for contact in page] if self.order.is_by_id else []
        if not restricted.is_known:
            self.progress = msgspec.structs.replace(self.progress, is_asked=False)
        return await in_thread(lambda: restricted.find_unsure(page))

    def _complete(self, contact: FoundContact, whole: Contact) -> None:
        if self.order.is_by_id:
            contact.take_over(whole)
        else:  # no other field: it would be in the file for some contacts, and empty for all others
            take_restrictions(contact, whole)

    async def _read_by_id(self, client: LeadConnector, pool: Pool, ids: Sequence[str]) -> dict[str, Contact]:
        """Read contacts by their ids; those that have gone since are left out."""
        found: dict[str, Contact] = {}

        async def fetch(contact_id: str) -> None:
            with suppress(NotFoundError):
                found[contact_id] = await client.contacts.get(contact_id, location_id=self.order.location_id)

        await self._each(pool, ids, fetch, concurrency=min(_AT_ONCE, len(ids)))
        return found

    # ------------------------------------------------------------------------------------------ disk

    def _begin(self) -> None:
        assert self._fields is not None  # noqa: S101  (run asked for them)
        if self._db is None:
            self._open_state()
        is_neutral = self.order.is_for_spreadsheets
        header = b"" if self._is_lines else write_csv_header(self._fields, is_neutral=is_neutral)
        self._append(header, Progress(size=len(header)))

    def _write(self, page: Sequence[FoundContact], cursor: Cursor | None, *, by_id: int, is_last: bool) -> None:
        assert self._fields is not None  # noqa: S101  (run asked for them)
        if self._is_lines:
            data = (write_raw_lines if self.order.is_raw else write_json_lines)(page, self._fields)
        else:
            data = write_csv_rows(page, self._fields, is_neutral=self.order.is_for_spreadsheets)
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
        with open_again(self._part) if self.progress.size else open_anew(self._part, "wb") as file:
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
        with open_again(self._part) as file:  # of a page that was cut off there may be some more
            file.truncate(self.progress.size)
        if self.path.suffix.lower() == _PARQUET:
            convert_to_parquet(self._part, self.path, self.progress.contacts)
            self._part.unlink()
        else:
            put_in_place(self._part, self.path)
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
                "another process is writing this export; wait until it ends"
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
            f"{path}: was made by another version of leadconnector-async; finish it with that version"
        ) from None


def _read_kind(path: Path, order: ExportOrder) -> bool:
    """Return whether a file is one of JSON Lines."""
    kind = path.suffix.lower()
    if kind not in (_CSV, *_LINES, _PARQUET):
        raise ConfigurationError(f"{path}: cannot be written in this format; end the name in .csv, .jsonl or .parquet")
    if order.is_raw and kind not in _LINES:
        raise ConfigurationError(
            f"{path}: contacts exactly as the service returns them are JSON; end the name in .jsonl"
        )
    if order.is_for_spreadsheets and kind != _CSV:
        raise ConfigurationError(f"{path}: `is_for_spreadsheets` is for CSV; end the name in .csv")
    if kind == _PARQUET:
        check_duckdb()
    return kind in _LINES
