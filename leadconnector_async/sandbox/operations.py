"""The operations of the API that the sandbox serves, and their answers in the form of each version."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from .books import Books
from .refusals import Refusal
from .validation import CREATE, TAGS, UPDATE, UPSERT, check

Body: TypeAlias = dict[str, Any]

_V3_DND = {"Call": "call", "Email": "email", "SMS": "sms", "WhatsApp": "whatsApp", "GMB": "gmb", "FB": "fb"}
_ONLY_ELSEWHERE = ("name", "timezone")  # a created contact comes back without them before v3


class Operation:
    """Which operation a request asks for, and on which contact."""

    __slots__ = ("contact_id", "name")

    def __init__(self, name: str, contact_id: str = "") -> None:
        self.name = name
        self.contact_id = contact_id


_FIXED = {
    ("POST", "/contacts/upsert"): Operation("upsert"),
    ("POST", "/contacts/"): Operation("create"),
    ("POST", "/contacts"): Operation("create"),
}
_BY_ID = re.compile(r"/contacts/([^/]+)(/tags)?")
_NAMES = {
    ("GET", None): "get",
    ("PUT", None): "update",
    ("DELETE", None): "delete",
    ("POST", "/tags"): "add_tags",
    ("DELETE", "/tags"): "remove_tags",
}


def find_operation(method: str, path: str) -> Operation:
    """Find what a request asks for.

    Raises:
        Refusal: 404 for what there is not, 401 for a path in other case.
    """
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return fixed
    match = _BY_ID.fullmatch(path)
    name = _NAMES.get((method, match[2])) if match else None
    if match is not None and name is not None:
        return Operation(name, match[1])
    if path != path.lower() and path.lower().startswith("/contacts") and not path.startswith("/contacts/"):
        raise Refusal(401, "Unauthorized", error=None)
    raise Refusal(404, f"Cannot {method} {path}")


class Operations:
    """Runs operations on the books."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._run: dict[str, Callable[[str, Body, str, str], tuple[int, Body]]] = {
            "upsert": self._upsert,
            "create": self._create,
            "get": self._get,
            "update": self._update,
            "delete": self._delete,
            "add_tags": self._add_tags,
            "remove_tags": self._remove_tags,
        }

    def location_of(self, operation: Operation, body: Body) -> str:
        """Return whose limits the call counts against: the contact's location, or the one it names."""
        if operation.contact_id:
            contact = self._books.contacts.get(operation.contact_id)
            return contact["locationId"] if contact else ""
        location_id = body.get("locationId")
        return location_id if isinstance(location_id, str) else ""

    def run(self, operation: Operation, body: Body, version: str, trace_id: str) -> tuple[int, Body]:
        """Run it and return status and body of the answer, or raise its Refusal."""
        return self._run[operation.name](operation.contact_id, body, version, trace_id)

    def _upsert(self, _id: str, body: Body, version: str, trace_id: str) -> tuple[int, Body]:
        check(body, UPSERT, required=("locationId",))
        contact, is_new = self._books.upsert(body)
        answer = {"new": is_new, "contact": _emit(contact, version), "traceId": trace_id}
        return 200, answer if is_new else {**answer, "succeded": True, "succeeded": True}

    def _create(self, _id: str, body: Body, version: str, trace_id: str) -> tuple[int, Body]:
        check(body, CREATE, required=("locationId",))
        contact = _emit(self._books.create(body), version)
        if version != "v3":
            contact = {name: value for name, value in contact.items() if name not in _ONLY_ELSEWHERE}
            contact |= {"deleted": False, "bounceEmail": False, "unsubscribeEmail": False}
        return 201, {"contact": contact, "traceId": trace_id}

    def _get(self, contact_id: str, _body: Body, version: str, trace_id: str) -> tuple[int, Body]:
        return 200, {"contact": _emit(self._books.get(contact_id), version), "traceId": trace_id}

    def _update(self, contact_id: str, body: Body, version: str, trace_id: str) -> tuple[int, Body]:
        self._books.get(contact_id)
        check(body, UPDATE)
        contact = self._books.update(contact_id, body)
        return 200, {**_success(version), "contact": _emit(contact, version), "traceId": trace_id}

    def _delete(self, contact_id: str, _body: Body, version: str, trace_id: str) -> tuple[int, Body]:
        self._books.delete(contact_id)
        return 200, {**_success(version), "traceId": trace_id}

    def _add_tags(self, contact_id: str, body: Body, _version: str, trace_id: str) -> tuple[int, Body]:
        check(body, TAGS, required=("tags",))
        return 201, {"tags": self._books.change_tags(contact_id, body["tags"], add=True), "traceId": trace_id}

    def _remove_tags(self, contact_id: str, body: Body, _version: str, trace_id: str) -> tuple[int, Body]:
        check(body, TAGS, required=("tags",))
        return 200, {"tags": self._books.change_tags(contact_id, body["tags"], add=False), "traceId": trace_id}


def _success(version: str) -> Body:
    return {"succeeded": True} if version == "v3" else {"succeded": True}


def _emit(contact: Body, version: str) -> Body:
    """Return a stored contact as a version spells it."""
    if version != "v3" or "dndSettings" not in contact:
        return contact
    return {**contact, "dndSettings": {_V3_DND[name]: value for name, value in contact["dndSettings"].items()}}
