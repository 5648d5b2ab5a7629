"""client.contacts.followers, .campaigns and .workflows: what contacts are tied to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ..group import Group
from ..models.links import FollowersChange, WorkflowBody
from ..models.sent import format_time
from ..protocol import links as calls
from .tags import list_texts


class Followers(Group):
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


class Campaigns(Group):
    """The campaigns that contacts are in. Reached as `client.contacts.campaigns`.

    `location_id` is the location of the contact, whose limits a call counts against; the client's by default. Each
    method raises `NotFoundError` where there is no such contact, and `CallError` where it does not succeed otherwise.
    """

    async def add(self, contact_id: str, campaign_id: str, *, location_id: str | None = None) -> None:
        """Add a contact to a campaign. Never tried again once it may have been done: messages could go out twice."""
        await self._send(calls.build_campaign_add(contact_id, campaign_id, self._scope(location_id)))

    async def remove(self, contact_id: str, campaign_id: str, *, location_id: str | None = None) -> None:
        """Take a contact out of a campaign."""
        await self._send_delete(calls.build_campaign_remove(contact_id, campaign_id, self._scope(location_id)))

    async def remove_from_all(self, contact_id: str, *, location_id: str | None = None) -> None:
        """Take a contact out of every campaign."""
        await self._send_delete(calls.build_campaign_remove_all(contact_id, self._scope(location_id)))


class Workflows(Group):
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
        """Add a contact to a workflow. Never tried again once it may have been done: messages could go out twice.

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
