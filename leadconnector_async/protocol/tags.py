"""Calls on the tags of one contact, and of up to a hundred at once."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ..models.links import BulkTagsBody, TagsBody, TagsReport, read_tags_report
from ..models.sent import encode_body
from .request import Request, Scope, build_request, fill_path


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
