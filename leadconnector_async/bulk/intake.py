"""Rows on their way in: numbered, looked up in the journal, and checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from ..contacts.authorship import NO_EARLIER_TRIES, EarlierTries
from ..contacts.contacts import ContactLike, ContactOperations, build_checked
from ..errors import InvalidContactError, LeadConnectorError
from ..models import ContactUpsert
from ..models.identity import Identity, identity_of
from ..models.records import as_mapping
from ..protocol import Request, Scope
from ..protocol.contacts import build_get
from ..protocol.search import build_duplicate
from .delivery import Delivery
from .outcome import Entry
from .report import Outcome, RowError, row_error
from .row import Upsert, outcome_skipped
from .run_log import Intent, RunLog, hash_row, read_outcome
from .source import FINISHED, AnyRow, Closing, Creation, Given, Row, RowSource, Skipped
from .threads import in_thread

if TYPE_CHECKING:
    from ..rules.checks import Checks
    from ..rules.problems import Problem

_NOBODY: Final = Identity("", "")
_HASHES: Final = 5_000  # read from the journal at a time
_ToCheck: TypeAlias = ContactLike | InvalidContactError | Skipped | Closing | Creation


class Intake:
    """The rows of a load, from their source to what can be sent.

    Args:
        contacts: Where they are to be sent.
        source: The rows.
        journal: Begun, or None.
        delivery: Takes the intents.
        on_replaced: Called with the outcome of an earlier session whose row is another one now.
        on_standing: Called with the outcome of an earlier session that becomes the outcome of this one.
        on_retry: Called with the location of a row that is to be retried.
        checks: How the values of rows are checked; None to send them as they stand.

    Attributes:
        count: How many rows were read and numbered.
    """

    def __init__(
        self,
        contacts: ContactOperations,
        source: RowSource,
        *,
        journal: RunLog | None,
        delivery: Delivery,
        on_replaced: Callable[[Outcome], None],
        on_standing: Callable[[Outcome], None],
        on_retry: Callable[[str], None],
        checks: Checks | None = None,
    ) -> None:
        self._contacts = contacts
        self._source = source
        self._journal = journal
        self._delivery = delivery
        self._on_replaced = on_replaced
        self._on_standing = on_standing
        self._on_retry = on_retry
        self._checks = checks
        self._batch: deque[AnyRow] = deque()  # read and not yet numbered
        self._rows: deque[tuple[int, _ToCheck, bytes]] = deque()  # and not yet checked
        self._known: list[Outcome] = []
        self.count = 0
        self._hashes: dict[int, tuple[bytes, bytes]] = {}

    async def read(self) -> bool:
        """Read the next rows, and leave out those that an earlier session settled; False at the end.

        A call that is cancelled loses no rows: the next one, or `unread`, goes on with them.
        """
        if not self._batch:
            self._batch.extend(await self._source.batch())
        is_end = not self._batch
        while self._batch:
            row, ref = _unwrap(self._batch[0])
            if row is not FINISHED:
                row_hash = self._hash_of(row)
                if not self._is_finished(self.count) or not await self._is_same(row_hash, ref):
                    self._rows.append((self.count, row, row_hash))
                    self._delivery.keep_ref(self.count, ref)
            self._batch.popleft()
            self.count += 1
        return not is_end

    def take_known(self) -> list[Outcome]:
        """Return the outcomes of rows with a `ref` that an earlier session settled, of those that were read since.

        They are handed over once more: the message behind such a row waits to be acknowledged, and nobody knows whether
        it was.
        """
        known, self._known = self._known, []
        return known

    def _is_finished(self, index: int) -> bool:
        return self._journal is not None and self._journal.is_finished(index)

    def _hash_of(self, row: _ToCheck) -> bytes:
        if self._journal is None or self._journal.is_by_position:
            return b""
        if not isinstance(row, dict | ContactUpsert | Skipped | Closing | Creation):
            try:
                row = self._read(row)
            except InvalidContactError as error:
                row = error
        return hash_of(row)

    async def _is_same(self, row_hash: bytes, ref: Any) -> bool:
        """Whether the next row is the one that an earlier session settled."""
        journal, index = self._journal, self.count
        if journal is None or journal.is_by_position:
            return True
        if index not in self._hashes:
            self._hashes = await in_thread(partial(journal.hashes, index, _HASHES))
        before, outcome = self._hashes.pop(index)
        if before == row_hash:
            if ref is not None:
                self._known.append(msgspec.structs.replace(read_outcome(outcome), ref=ref))
            return True
        self._on_replaced(read_outcome(outcome))
        return False

    def next(self) -> Upsert | Entry | None:
        """Check the next row that was read.

        Returns:
            What to send, or the outcome of a row that is not sent; None where another `read` must come first.
        """
        if not self._rows:
            return None
        index, row, row_hash = self._rows.popleft()
        if isinstance(row, Skipped):
            return Entry(outcome_skipped(index, row), row_hash, _NOBODY, is_repeatable=True)
        problems: list[Problem] = []
        try:
            return self._check(index, row, row_hash, problems)
        except InvalidContactError as error:
            refused = Outcome(index=index, status="failed", error=row_error(error), problems=tuple(problems))
            return Entry(refused, row_hash, _NOBODY, is_repeatable=True)

    def _check(
        self,
        index: int,
        row: ContactLike | InvalidContactError | Closing | Creation,
        row_hash: bytes,
        problems: list[Problem],
    ) -> Upsert:
        closing = row if isinstance(row, Closing) else None
        is_creation = isinstance(row, Creation)
        if isinstance(row, Creation):
            row = row.contact
        if isinstance(row, Closing):
            if not isinstance(row.rest, ContactUpsert):
                return self._check_closing(index, row, row_hash)
            row = row.rest
        contact = self._read(row, problems)
        request = build_checked(contact, self._contacts.client.api_version, may_create=is_creation)
        identity = identity_of(contact, request.location_id)
        if self._journal is None:
            return Upsert(
                index,
                identity,
                contact,
                request,
                row_hash,
                on_retry=self._on_retry,
                closing=closing,
                problems=problems,
            )
        lost = self._journal.lost_tries(index, row_hash)
        return Upsert(
            index,
            identity,
            contact,
            request,
            row_hash,
            on_retry=self._on_retry,
            intend=self._intend,
            closing=closing,
            earlier=EarlierTries(lost) if lost else NO_EARLIER_TRIES,
            problems=problems,
        )

    async def _intend(self, item: Upsert, *, stores: bool) -> None:
        """Have it on disk that a try of a row is about to be made, and when if it stores it."""
        client = self._contacts.client
        lost = item.intended or item.lost_tries(client.server_clock)
        if stores:
            now = client.server_clock.span(client.clock.monotonic())
            this = None if now is None else (now[0], now[1] + client.longest_try)
            lost = item.intended = (*item.lost_tries(client.server_clock), this)
        await self._delivery.intend(Intent(item.index, item.row_hash, item.request.repeatable, lost, item.tries_before))

    def _check_closing(self, index: int, row: Closing, row_hash: bytes) -> Upsert:
        """Check a row of which nothing is sent but what it closes: its first call finds the contact, or reads it."""
        contact = self._read(row.wanted)
        scope = Scope(str(contact.location_id), self._contacts.client.api_version)
        request: Request[Any] = build_duplicate(contact.email or None, contact.phone or None, scope)
        if contact_id := row.contact_id or contact.id:
            request = build_get(contact_id, scope)
        identity = identity_of(contact, scope.location_id)
        intend = None if self._journal is None else self._intend
        return Upsert(index, identity, contact, request, row_hash, on_retry=self._on_retry, intend=intend, closing=row)

    def _read(self, row: ContactLike | InvalidContactError, problems: list[Problem] | None = None) -> ContactUpsert:
        """Return what is to be sent of a row; checked, where there are checks and a list that takes what they find."""
        if isinstance(row, InvalidContactError):
            raise row
        try:
            if self._checks is not None and problems is not None:
                from ..rules.contacts import read_checked  # with all rules, which a load without checks does without

                row, found = read_checked(row, self._checks)
                problems += found
                if isinstance(row, InvalidContactError):
                    raise row
            return self._contacts.complete(row)
        except LeadConnectorError:
            raise
        except Exception as error:  # of a Mapping of the caller's, in giving up its values
            raise InvalidContactError(f"the row raised {type(error).__name__} as it was read") from error

    def unread(self, reason: RowError) -> Iterator[Outcome]:
        """Settle the rows that were read and not checked."""
        while self._rows:
            index, _, row_hash = self._rows.popleft()
            yield self._outcome_unsent(index, row_hash, reason)
        while self._batch:
            row, ref = _unwrap(self._batch.popleft())
            index, self.count = self.count, self.count + 1
            if row is not FINISHED and not self._is_finished(index):
                self._delivery.keep_ref(index, ref)
                yield self._outcome_unsent(index, self._hash_of(row), reason)

    def _outcome_unsent(self, index: int, row_hash: bytes, reason: RowError) -> Outcome:
        """Return the outcome of a row that was not sent: that of an earlier session, if there is one."""
        before = None if self._journal is None else self._journal.pending(index, row_hash)
        if before is None:
            return Outcome(index=index, status="not_attempted", error=reason)
        self._on_standing(before)
        return before


def _unwrap(row: AnyRow) -> tuple[Given, Any]:
    """Return a row as it is given, and what comes with it."""
    return (row.contact, row.ref) if isinstance(row, Row) else (row, None)


def hash_of(row: Any) -> bytes:
    """Return what a row is known by besides its position."""
    if isinstance(row, InvalidContactError):
        return hash_row(str(row).encode(errors="replace"))
    try:
        record = row if isinstance(row, Struct) else as_mapping(row)
        return hash_row(msgspec.json.encode(row if record is None else record))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return hash_row(repr(row).encode(errors="replace"))
