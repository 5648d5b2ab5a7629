"""Followers and workflows of a contact; tags and businesses of many contacts at once."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from .structs import Received, SentStruct, read_items, read_part, read_parts, read_received


class FollowersChange(Received, kw_only=True):
    """The users who follow a contact.

    Attributes:
        followers: All of them, by id.
        followers_added: Those that this call added.
        followers_removed: Those that this call removed.
    """

    followers: list[str] | None = None
    followers_added: list[str] | None = None
    followers_removed: list[str] | None = None


class TagResult(Received, kw_only=True):
    """What became of the tags of one contact of many.

    Attributes:
        contact_id: Whose.
        type: `success` or `error`; None where the service's answer did not mention this contact.
        message: The service's own sentence.
        old_tags: The tags it had before.
        tags_added: Those that were added.
        tags_removed: Those that were removed.
    """

    contact_id: str
    type: str | None = None
    message: str | None = None
    old_tags: list[str] | None = None
    tags_added: list[str] | None = None
    tags_removed: list[str] | None = None

    @property
    def is_done(self) -> bool:
        """Whether the service says that it did what was asked."""
        return self.type == "success"


class TagsReport(Struct, frozen=True, kw_only=True):
    """What became of the tags of many contacts.

    Attributes:
        results: One entry for each contact, in the order given; a contact given twice has one.
        error_count: How many errors the service counted.
    """

    results: list[TagResult]
    error_count: int

    @property
    def failed(self) -> list[TagResult]:
        """The contacts whose tags the service did not change, or said nothing of."""
        return [result for result in self.results if not result.is_done]


def read_tags_report(body: bytes) -> TagsReport:
    """Read the answer to a change of many contacts' tags, which may be a success and hold failures all the same."""
    parts = read_parts(body)
    results = [result for raw in read_items(parts, "responses") if (result := _read_result(raw)) is not None]
    counted = read_part(parts, "errorCount", int)
    return TagsReport(
        results=results, error_count=sum(not result.is_done for result in results) if counted is None else counted
    )


def _read_result(raw: msgspec.Raw) -> TagResult | None:
    try:
        return read_received(raw, TagResult)
    except msgspec.DecodeError:
        return None  # it names no contact: of those it may have meant, the report says that nothing was said


class FollowersBody(SentStruct, frozen=True, kw_only=True):
    """Users who are to follow a contact, or to do so no longer."""

    followers: list[str]


class TagsBody(SentStruct, frozen=True, kw_only=True):
    """Tags to add to one contact, or to remove."""

    tags: list[str]


class BulkTagsBody(SentStruct, frozen=True, kw_only=True):
    """Tags to add to many contacts, or to remove."""

    contacts: list[str]
    tags: list[str]
    location_id: str
    remove_all_tags: bool | None = None


class BulkBusinessBody(SentStruct, frozen=True, kw_only=True):
    """Contacts and the business they are to belong to; null takes them out of theirs."""

    location_id: str
    ids: list[str]
    business_id: str | None


class WorkflowBody(SentStruct, frozen=True, kw_only=True):
    """When a workflow is to begin."""

    event_start_time: str | None = None
