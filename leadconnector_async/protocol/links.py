"""Calls that tie contacts to users, campaigns, workflows and businesses."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ..models.links import (
    BulkBusinessBody,
    BulkTagsBody,
    FollowersBody,
    FollowersChange,
    TagsBody,
    TagsReport,
    WorkflowBody,
    read_tags_report,
)
from ..models.structs import encode_body, whole
from .answers import read_success
from .request import Request, Scope, build_request, fill_path

_FOLLOWERS: Final = "/contacts/{contact_id}/followers"
_CAMPAIGN: Final = "/contacts/{contact_id}/campaigns/{campaign_id}"
_WORKFLOW: Final = "/contacts/{contact_id}/workflow/{workflow_id}"
_read_followers: Final = whole(FollowersChange)


def build_followers(method: str, contact_id: str, user_ids: list[str], scope: Scope) -> Request[FollowersChange]:
    """POST (add) or DELETE (remove) /contacts/{contactId}/followers."""
    body = encode_body(FollowersBody(followers=user_ids))
    return build_request(method, fill_path(_FOLLOWERS, contact_id=contact_id), scope, _read_followers, body=body)


def build_campaign_add(contact_id: str, campaign_id: str, scope: Scope) -> Request[None]:
    """POST /contacts/{contactId}/campaigns/{campaignId}. A second one might send its messages twice."""
    path = fill_path(_CAMPAIGN, contact_id=contact_id, campaign_id=campaign_id)
    return build_request("POST", path, scope, read_success, body=b"{}", is_repeatable=False)


def build_campaign_remove(contact_id: str, campaign_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/campaigns/{campaignId}."""
    path = fill_path(_CAMPAIGN, contact_id=contact_id, campaign_id=campaign_id)
    return build_request("DELETE", path, scope, read_success)


def build_campaign_remove_all(contact_id: str, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/campaigns/removeAll, or remove-all in v3."""
    last = "remove-all" if scope.version == "v3" else "removeAll"
    path = fill_path("/contacts/{contact_id}/campaigns/", contact_id=contact_id) + last
    return build_request("DELETE", path, scope, read_success)


def build_workflow_add(contact_id: str, workflow_id: str, body: WorkflowBody, scope: Scope) -> Request[None]:
    """POST /contacts/{contactId}/workflow/{workflowId}. A second one might send its messages twice."""
    path = fill_path(_WORKFLOW, contact_id=contact_id, workflow_id=workflow_id)
    return build_request("POST", path, scope, read_success, body=encode_body(body), is_repeatable=False)


def build_workflow_remove(contact_id: str, workflow_id: str, body: WorkflowBody, scope: Scope) -> Request[None]:
    """DELETE /contacts/{contactId}/workflow/{workflowId}."""
    path = fill_path(_WORKFLOW, contact_id=contact_id, workflow_id=workflow_id)
    return build_request("DELETE", path, scope, read_success, body=encode_body(body))


class _BusinessAnswer(Struct, frozen=True):
    success: bool
    ids: list[str]


_BUSINESS: Final = msgspec.json.Decoder(_BusinessAnswer)


def _read_business(body: bytes) -> list[str]:
    answer = _BUSINESS.decode(body)
    if not answer.success:
        raise ValueError("it does not say that it succeeded")
    return answer.ids


def build_bulk_business(contact_ids: list[str], business_id: str | None, scope: Scope) -> Request[list[str]]:
    """POST /contacts/bulk/business."""
    body = BulkBusinessBody(location_id=scope.location_id, ids=contact_ids, business_id=business_id)
    return build_request("POST", "/contacts/bulk/business", scope, _read_business, body=encode_body(body))


# ---------------------------------------------------------------------------------------------- tags


class _TagsAnswer(Struct, frozen=True):
    tags: list[str]


_TAGS: Final = msgspec.json.Decoder(_TagsAnswer)


def _read_tags(body: bytes) -> list[str]:
    return _TAGS.decode(body).tags


def build_tags(method: str, contact_id: str, tags: list[str], scope: Scope) -> Request[list[str]]:
    """POST (add) or DELETE (remove) /contacts/{contactId}/tags."""
    path = fill_path("/contacts/{contact_id}/tags", contact_id=contact_id)
    return build_request(method, path, scope, _read_tags, body=encode_body(TagsBody(tags=tags)))


def build_bulk_tags(
    kind: str, contact_ids: list[str], tags: list[str], scope: Scope, *, remove_all: bool | None = None
) -> Request[TagsReport]:
    """POST /contacts/bulk/tags/update/{type}; the type is `add` or `remove`."""
    body = BulkTagsBody(contacts=contact_ids, tags=tags, location_id=scope.location_id, remove_all_tags=remove_all)
    return build_request("POST", f"/contacts/bulk/tags/update/{kind}", scope, read_tags_report, body=encode_body(body))
