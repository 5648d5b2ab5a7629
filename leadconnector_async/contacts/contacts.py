"""client.contacts: all that can be done with contacts, many at once included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

from ..client import LeadConnector
from ..journal import Journal
from ..protocol.links import build_bulk_business
from ..report import BatchReport, OnOutcome, Outcome
from ..sources import Source
from .finding import Finding
from .links import Campaigns, Followers, Workflows
from .notes import Notes
from .one import OneContact
from .tags import Tags, in_hundreds
from .tasks import Tasks


class Contacts(OneContact, Finding):
    """The contacts of the client's locations. Reached as `client.contacts`.

    Attributes:
        campaigns: The campaigns that contacts are in.
        followers: The users who follow contacts.
        notes: Notes on contacts.
        tags: Tags of one contact, and of many at once.
        tasks: Tasks of contacts.
        workflows: The workflows that contacts are in.
    """

    def __init__(self, client: LeadConnector) -> None:
        super().__init__(client)
        self.campaigns = Campaigns(client)
        self.followers = Followers(client)
        self.notes = Notes(client)
        self.tags = Tags(client)
        self.tasks = Tasks(client)
        self.workflows = Workflows(client)

    async def add_tags(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Add tags to those the contact has, and return all it has then; the same as `tags.add`."""
        return await self.tags.add(contact_id, tags, location_id=location_id)

    async def remove_tags(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Remove tags from the contact, and return those it has left; the same as `tags.remove`."""
        return await self.tags.remove(contact_id, tags, location_id=location_id)

    async def set_business(
        self, contact_ids: Iterable[str], business_id: str | None, *, location_id: str | None = None
    ) -> list[str]:
        """Make contacts belong to a business: one call for each hundred of them, one call after the other.

        Args:
            contact_ids: Whom.
            business_id: To which; None takes them out of theirs.
            location_id: The location of them all; the client's by default.

        Returns:
            The ids that the service names as done, in its own order. Look for those that are missing.

        Raises:
            UsageError: There is no location, or a list is none; nothing was sent.
            CallError: A call did not succeed; the hundreds before it are done. The whole may be repeated.
        """
        scope = self._located(location_id)
        done: list[str] = []
        for ids in in_hundreds(contact_ids):
            done_now = await self._send(build_bulk_business(ids, business_id, scope))
            done += done_now
        return done

    async def bulk_upsert(
        self,
        contacts: Source,
        *,
        concurrency: int | None = None,
        compare: bool = True,
        on_outcome: OnOutcome | None = None,
        keep_outcomes: bool = True,
        report: BatchReport | None = None,
        stop: asyncio.Event | None = None,
        journal: Journal | str | Path | None = None,
        retry_failed: bool = False,
        wait_for_quota: bool = False,
    ) -> BatchReport:
        """Upsert many contacts at once, under the rate limit.

        Rows that share an email or phone are applied in their order, all others as they come. A row that cannot be sent
        or is refused is an outcome `failed`; the load goes on. It stops only for a refused token, a spent day, a
        service that answers nothing but 429, or `stop`; `report.stopped` then says why, and rows not tried are
        `not_attempted` (a sync source is read on for that, for ten seconds at most; an async one is not).

        A location that refuses all calls (403, 404), has no token or a spent day ends for itself: its rows are
        `not_attempted`, others go on, and `report.closed_locations` says why. While no location is known that takes
        calls, a list is read to its end to find one, and any other source for ten seconds at most.

        Args:
            contacts: Iterable or async iterable of contacts or dicts. A sync one (other than a list) is pulled in a
                thread of its own, in small batches; a SQLite connection must allow that (`check_same_thread=False`).
            concurrency: Rows in flight at most; the client's by default.
            compare: Whether to compare what was sent with what the service says it stored (`outcome.not_applied`).
            on_outcome: Called with each outcome as it comes; what it returns is awaited.
            keep_outcomes: Whether `report.outcomes` holds one entry a row.
            report: Where to count, to have it at hand when this call is cancelled; a new one by default.
            stop: Set it to end the load in order: calls in flight finish, no further one begins.
            journal: A file that keeps what became of each row, or a `Journal`. Run the same load with the same file
                again, after whatever ended it, and it goes on: rows that are done are not sent again, the report covers
                all runs. Rows are known by position and content: a row that is another one now is sent. Each outcome is
                on disk before it is counted or handed to `on_outcome`; the last ones may be handed over twice.
            retry_failed: Whether to send rows once more that failed in an earlier run with this journal. They are then
                applied after rows of the same person that came later; `outcome.note` says so.
            wait_for_quota: Whether to wait for the next day where the day's calls are spent, in place of stopping.

        Returns:
            The report; its outcomes are in the order of the rows.

        Raises:
            LoadStoppedError: The source or `on_outcome` raised; carries the report, and the reason as `__cause__`.
            asyncio.CancelledError: Cancelled; `report`, where given, says what became of each row that was read.
        """
        from ..bulk import bulk_upsert
        from ..load import Options

        if report is None:
            report = BatchReport(keep_outcomes=keep_outcomes)
        options = Options(
            concurrency=concurrency or self.client.concurrency,
            compare=compare,
            journal=journal,
            retry_failed=retry_failed,
            wait_for_quota=wait_for_quota,
        )
        return await bulk_upsert(self, contacts, options, report=report, on_outcome=on_outcome, stop=stop)

    def stream_upserts(
        self,
        contacts: Source,
        *,
        concurrency: int | None = None,
        compare: bool = True,
        journal: Journal | str | Path | None = None,
        retry_failed: bool = False,
        wait_for_quota: bool = False,
    ) -> AsyncGenerator[Outcome, None]:
        """Upsert contacts from a source without end, yielding outcomes as they come, in constant memory.

        A consumer that is slower than the service slows the load. Leaving the loop early cancels the calls in flight:
        close the generator (`contextlib.aclosing`) to have that happen at once.

        Args:
            contacts: As in `bulk_upsert`.
            concurrency: Rows in flight at most; the client's by default.
            compare: As in `bulk_upsert`.
            journal, retry_failed, wait_for_quota: As in `bulk_upsert`. Outcomes that an earlier run yielded are not
                yielded again, but for the last ones where it was cut off.

        Yields:
            One outcome for each row that was read, in the order in which they finish.

        Raises:
            LeadConnectorError: What stopped the load (a refused token, a spent day), or the first of its locations that
                took no more calls, after the last outcome.
            Exception: What the source raised, after the outcomes of the rows read by then.
        """
        from ..bulk import stream_upserts
        from ..load import Options

        options = Options(
            concurrency=concurrency or self.client.concurrency,
            compare=compare,
            journal=journal,
            retry_failed=retry_failed,
            wait_for_quota=wait_for_quota,
        )
        return stream_upserts(self, contacts, options)
