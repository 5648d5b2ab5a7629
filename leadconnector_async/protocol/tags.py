"""Calls on the tags of one contact."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from .request import Request, Scope, build_request, fill_path


class _TagsAnswer(Struct, frozen=True):
    tags: list[str]


_TAGS: Final = msgspec.json.Decoder(_TagsAnswer)


def _read_tags(body: bytes) -> list[str]:
    return _TAGS.decode(body).tags


def build_tags(method: str, contact_id: str, tags: list[str], scope: Scope) -> Request[list[str]]:
    """POST (add) or DELETE (remove) /contacts/{contactId}/tags."""
    path = fill_path("/contacts/{contact_id}/tags", contact_id=contact_id)
    return build_request(method, path, scope, _read_tags, body=msgspec.json.encode({"tags": tags}))
