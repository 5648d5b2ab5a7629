"""client.contacts.tags, .followers, .campaigns and .workflows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from ..errors import UsageError
from ..models.links import FollowersChange, TagResult, TagsReport, WorkflowBody
from ..models.structs import format_time
from ..protocol import links as calls
from .group import OperationGroup

# ---------------------------------------------------------------------------------------------- tags

# The service does not say how many contacts it takes in one call; so many are known to be fine.
MAX_IDS = 100


class Tags(OperationGroup):
    """The tags of contacts. Reached as `client.contacts.tags`.

    `location_id` is the location of the contacts, whose limits a call counts against; the client's by default. To
    replace all tags of one contact, `update` it.
    """

    async def add(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Add tags to those the contact has, and return all it has then (the service keeps them in lower case).

        Args:
            contact_id: Whose.
            tags: What to add; a tag that the location does not know yet is made.
            location_id: See the class.

        Raises:
            NotFoundError: There is no such contact.
            CallError: It did not succeed; it may be repeated.
        """
        texts = list_texts(tags, "tags")
        return await self._send(calls.build_tags("POST", contact_id, texts, self._scope(location_id)))

    async def remove(self, contact_id: str, tags: Iterable[str], *, location_id: str | None = None) -> list[str]:
        """Remove tags from the contact, and return those it has left. Arguments and errors are those of `add`."""
        texts = list_texts(tags, "tags")
        return await self._send(calls.build_tags("DELETE", contact_id, texts, self._scope(location_id)))

    async def add_to_many(
        self, contact_ids: Iterable[str], tags: Iterable[str], *, location_id: str | None = None
    ) -> TagsReport:
        """Add tags to many contacts: one call for each hundred of them, one call after the other.

        Args:
            contact_ids: Whose; a contact given twice is asked for once.
            tags: What to add.
            location_id: See the class.

        Returns:
            One result for each contact, in the order given. **A contact may fail although the call succeeds**: look at
            `failed`.

        Raises:
            UsageError: There is no location, or a list is none; nothing was sent.
            CallError: A call did not succeed; the hundreds before it are done. The whole may be repeated.
        """
        return await self._change_many("add", contact_ids, list_texts(tags, "tags"), location_id)

    async def remove_from_many(
        self, contact_ids: Iterable[str], tags: Iterable[str], *, location_id: str | None = None
    ) -> TagsReport:
        """Remove tags from many contacts. Arguments, results and errors are those of `add_to_many`."""
        return await self._change_many("remove", contact_ids, list_texts(tags, "tags"), location_id)

    async def remove_all_from_many(self, contact_ids: Iterable[str], *, location_id: str | None = None) -> TagsReport:
        """Remove all tags, whatever they are, from many contacts. The rest is as in `add_to_many`."""
        return await self._change_many("remove", contact_ids, [], location_id, remove_all=True)

    async def _change_many(
        self,
        kind: str,
        contact_ids: Iterable[str],
        tags: list[str],
        location_id: str | None,
        *,
        remove_all: bool | None = None,
    ) -> TagsReport:
        scope = self._located(location_id)
        results: list[TagResult] = []
        error_count = 0
        for ids in in_hundreds(contact_ids):
            report = await self._send(calls.build_bulk_tags(kind, ids, tags, scope, remove_all=remove_all))
            by_id = {result.contact_id: result for result in report.results}
            results += [by_id.get(contact_id) or _without_result(contact_id) for contact_id in ids]
            error_count += report.error_count
        return TagsReport(results=results, error_count=error_count)


def _without_result(contact_id: str) -> TagResult:
    return TagResult(contact_id=contact_id, message="the service's answer did not mention this contact")


def in_hundreds(contact_ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield distinct ids in their order, up to a hundred at a time."""
    left = iter(dict.fromkeys(list_texts(contact_ids, "contact_ids")))
    while ids := list(islice(left, MAX_IDS)):
        yield ids


def list_texts(texts: Iterable[str], name: str) -> list[str]:
    """Return the texts as a list, and refuse what would be taken for a list of letters.

    Raises:
        UsageError: It is no list, or not of texts.
    """
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise UsageError(f"{name} is a list of texts, not {type(texts).__name__}")
    found = list(texts)
    for text in found:
        if not isinstance(text, str):
            raise UsageError(f"{name} is a list of texts; there is a {type(text).__name__} in it")
    return found


class Followers(OperationGroup):
    """The users who follow a contact. Reached as `client.contacts.followers`.

    `location_id` is the location of the contact, whose limits a call counts against; the client's by default.
    """

    async def add(self, contact_id: str, user_ids: Iterable[str], *, location_id: str | None = None) -> FollowersChange:
        """Have users follow a contact.

        Args:
            contact_id: Whom.
            user_ids: The ids of the users.
            location_id: See the class.

        Returns:
            All followers of the contact then, and those that were added.

        Raises:
            NotFoundError: There is no such contact.
            CallError: It did not succeed; it may be repeated.
        """
        users = list_texts(user_ids, "user_ids")
        return await self._send(calls.build_followers("POST", contact_id, users, self._scope(location_id)))

    async def remove(
        self, contact_id: str, user_ids: Iterable[str], *, location_id: str | None = None
    ) -> FollowersChange:
        """Have users follow a contact no longer. Arguments, results and errors are as those of `add`."""
        users = list_texts(user_ids, "user_ids")
        return await self._send(calls.build_followers("DELETE", contact_id, users, self._scope(location_id)))


class Campaigns(OperationGroup):
    """The campaigns that contacts are in. Reached as `client.contacts.campaigns`.

    `location_id` is the location of the contact, whose limits a call counts against; the client's by default. Each
    method raises `NotFoundError` where there is no such contact, and `CallError` where it does not succeed otherwise.
    """

    async def add(self, contact_id: str, campaign_id: str, *, location_id: str | None = None) -> None:
        """Add a contact to a campaign. Never retried once it may have been done: messages could go out twice."""
        await self._send(calls.build_campaign_add(contact_id, campaign_id, self._scope(location_id)))

    async def remove(self, contact_id: str, campaign_id: str, *, location_id: str | None = None) -> None:
        """Take a contact out of a campaign."""
        await self._send_delete(calls.build_campaign_remove(contact_id, campaign_id, self._scope(location_id)))

    async def remove_from_all(self, contact_id: str, *, location_id: str | None = None) -> None:
        """Take a contact out of every campaign."""
        await self._send_delete(calls.build_campaign_remove_all(contact_id, self._scope(location_id)))


class Workflows(OperationGroup):
    """The workflows that contacts are in. Reached as `client.contacts.workflows`.

    `location_id` is the location of the contact, whose limits a call counts against; the client's by default. Each
    method raises `NotFoundError` where there is no such contact, and `CallError` where it does not succeed otherwise.
    """

    async def add(
        self,
        contact_id: str,
        workflow_id: str,
        *,
        event_start_time: str | datetime | None = None,
        location_id: str | None = None,
    ) -> None:
        """Add a contact to a workflow. Never retried once it may have been done: messages could go out twice.

        Args:
            contact_id: Whom.
            workflow_id: To which.
            event_start_time: When the event begins that the workflow counts from: a datetime with its time zone, or a
                text such as `2026-06-23T03:30:00+01:00`.
            location_id: See the class.
        """
        body = _workflow_body(event_start_time)
        await self._send(calls.build_workflow_add(contact_id, workflow_id, body, self._scope(location_id)))

    async def remove(
        self,
        contact_id: str,
        workflow_id: str,
        *,
        event_start_time: str | datetime | None = None,
        location_id: str | None = None,
    ) -> None:
        """Take a contact out of a workflow. Arguments are those of `add`."""
        body = _workflow_body(event_start_time)
        await self._send_delete(calls.build_workflow_remove(contact_id, workflow_id, body, self._scope(location_id)))


def _workflow_body(event_start_time: str | datetime | None) -> WorkflowBody:
    return WorkflowBody(event_start_time=None if event_start_time is None else format_time(event_start_time))
