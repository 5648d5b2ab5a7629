"""The service's answers that say no, in its own shapes."""

from __future__ import annotations

from typing import Any

_PHRASES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 422: "Unprocessable Entity"}


class Refusal(Exception):  # noqa: N818  (it is an answer, not a failure)
    """An answer of 400 or more.

    Args:
        status: The HTTP status.
        message: The sentence, or the list of them.
        fields: What else the body holds; they win over the usual ones. A field that is None is left out.
    """

    def __init__(self, status: int, message: str | list[str], /, **fields: Any) -> None:
        super().__init__(status, message)
        self.status = status
        body = {"message": message, "error": _PHRASES.get(status), "statusCode": status, **fields}
        self.body = {name: value for name, value in body.items() if value is not None}


def contact_not_found(contact_id: str) -> Refusal:
    """400, not 404, for a contact that is unknown or deleted."""
    return Refusal(400, f"Contact not found for id:{contact_id}")


def permanent_dnd(channel: str) -> Refusal:
    """400 whose body says 401, for a change of a channel that is closed for good, or that would close it so."""
    return Refusal(400, f"Not authorized to update permanent dnd setting for {channel}", error=None, statusCode=401)


def duplicate(contact: dict[str, Any], field: str) -> Refusal:
    """400 for a contact whose email or phone another one has."""
    meta = {"contactName": contact.get("name", ""), "contactId": contact["id"], "matchingField": field}
    return Refusal(400, "This location does not allow duplicated contacts.", error=None, meta=meta, succeeded=False)
