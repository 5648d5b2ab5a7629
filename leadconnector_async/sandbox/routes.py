"""Every operation that the sandbox serves, in one table, and which of them a request asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from . import bulk, contacts, enrolments, listings, locations, notes, search, tasks
from .books import Books
from .calls import Body, Call
from .refusals import Refusal
from .validation import CREATE, UPDATE, UPSERT, Rules
from .versions import ONLY_V3, VERSIONS

Operation: TypeAlias = Callable[[Books, Call], Body]


class Route:
    """One operation.

    Args:
        method: Its method.
        template: Its path, with the names of what varies in braces.
        status: The status of its answer.
        run: What it does.
        rules: What its body may hold, or None where its body is not looked at.
        versions: The versions that know its path.
    """

    __slots__ = ("method", "parts", "rules", "run", "status", "template", "versions")

    def __init__(
        self,
        method: str,
        template: str,
        status: int,
        run: Operation,
        rules: Rules | None = None,
        *,
        versions: tuple[str, ...] = VERSIONS,
    ) -> None:
        self.method = method
        self.template = template
        self.status = status
        self.run = run
        self.rules = rules
        self.versions = versions
        self.parts = tuple(template.split("/"))

    def match(self, parts: list[str]) -> dict[str, str] | None:
        """Return what varies in a path that is split at its slashes, or None where it is another path."""
        params = {}
        for own, part in zip(self.parts, parts, strict=True):
            if own[:1] == "{":
                if not part:
                    return None
                params[own[1:-1]] = part
            elif own != part:
                return None
        return params


_CONTACT: Final = "/contacts/{contactId}"
_FIELDS: Final = "/locations/{locationId}/customFields"

# Of two that match, the first is meant.
ROUTES: Final = (
    Route("POST", "/contacts/upsert", 200, contacts.upsert, UPSERT),
    Route("POST", "/contacts/", 201, contacts.create, CREATE),
    Route("POST", "/contacts", 201, contacts.create, CREATE),
    Route("GET", "/contacts/", 200, listings.list_contacts),
    Route("GET", "/contacts", 200, listings.list_contacts),
    Route("POST", "/contacts/search", 200, search.search, search.SEARCH),
    Route("GET", "/contacts/search/duplicate", 200, contacts.find_duplicate),
    Route("GET", "/contacts/business/{businessId}", 200, listings.list_business),
    Route("POST", "/contacts/bulk/business", 200, bulk.set_business, bulk.MANY_BUSINESS),
    Route("POST", "/contacts/bulk/tags/update/{type}", 201, bulk.change_tags, bulk.MANY_TAGS),
    Route("GET", _CONTACT, 200, contacts.get),
    Route("PUT", _CONTACT, 200, contacts.update, UPDATE),
    Route("DELETE", _CONTACT, 200, contacts.delete),
    Route("POST", f"{_CONTACT}/tags", 201, contacts.add_tags, contacts.TAGS),
    Route("DELETE", f"{_CONTACT}/tags", 200, contacts.remove_tags, contacts.TAGS),
    Route("POST", f"{_CONTACT}/followers", 201, contacts.add_followers, contacts.FOLLOWERS),
    Route("DELETE", f"{_CONTACT}/followers", 200, contacts.remove_followers, contacts.FOLLOWERS),
    Route("GET", f"{_CONTACT}/appointments", 200, contacts.list_appointments),
    Route("GET", f"{_CONTACT}/notes", 200, notes.list_notes),
    Route("POST", f"{_CONTACT}/notes", 201, notes.create_note, notes.NEW_NOTE),
    Route("GET", f"{_CONTACT}/notes/{{id}}", 200, notes.get_note),
    Route("PUT", f"{_CONTACT}/notes/{{id}}", 200, notes.update_note, notes.CHANGED_NOTE),
    Route("DELETE", f"{_CONTACT}/notes/{{id}}", 200, notes.delete_note),
    Route("GET", f"{_CONTACT}/tasks", 200, tasks.list_tasks),
    Route("POST", f"{_CONTACT}/tasks", 201, tasks.create_task, tasks.NEW_TASK),
    Route("GET", f"{_CONTACT}/tasks/{{taskId}}", 200, tasks.get_task),
    Route("PUT", f"{_CONTACT}/tasks/{{taskId}}", 200, tasks.update_task, tasks.CHANGED_TASK),
    Route("DELETE", f"{_CONTACT}/tasks/{{taskId}}", 200, tasks.delete_task),
    Route("PUT", f"{_CONTACT}/tasks/{{taskId}}/completed", 200, tasks.update_task, tasks.COMPLETION),
    Route("DELETE", f"{_CONTACT}/campaigns/removeAll", 200, enrolments.remove_from_every_campaign),
    Route("DELETE", f"{_CONTACT}/campaigns/remove-all", 200, enrolments.remove_from_every_campaign, versions=ONLY_V3),
    Route("POST", f"{_CONTACT}/campaigns/{{campaignId}}", 201, enrolments.add_to_campaign, enrolments.CAMPAIGN),
    Route("DELETE", f"{_CONTACT}/campaigns/{{campaignId}}", 200, enrolments.remove_from_campaign),
    Route("POST", f"{_CONTACT}/workflow/{{workflowId}}", 200, enrolments.add_to_workflow, enrolments.WORKFLOW),
    Route("DELETE", f"{_CONTACT}/workflow/{{workflowId}}", 200, enrolments.remove_from_workflow, enrolments.WORKFLOW),
    Route("GET", "/locations/search", 200, locations.search_locations),
    Route("GET", "/locations/{locationId}", 200, locations.get_location),
    Route("GET", _FIELDS, 200, locations.list_custom_fields),
    Route("POST", _FIELDS, 201, locations.create_custom_field, locations.NEW_FIELD),
    Route("GET", f"{_FIELDS}/{{id}}", 200, locations.get_custom_field),
    Route("PUT", f"{_FIELDS}/{{id}}", 200, locations.update_custom_field, locations.CHANGED_FIELD),
    Route("DELETE", f"{_FIELDS}/{{id}}", 200, locations.delete_custom_field),
)

_NOTHING: Final[Mapping[str, str]] = {}
_FIXED: Final = {(route.method, route.template): (route, _NOTHING) for route in ROUTES if "{" not in route.template}
_VARYING: Final[dict[tuple[str, int], list[Route]]] = {}
for _route in ROUTES:
    if "{" in _route.template:
        _VARYING.setdefault((_route.method, len(_route.parts)), []).append(_route)
_LITERALS: Final = {part.lower(): part for route in ROUTES for part in route.parts if part[:1] not in ("", "{")}


def find_route(method: str, path: str, version: str) -> tuple[Route, Mapping[str, str]]:
    """Find what a request asks for, and what varies in its path.

    Raises:
        Refusal: 404 for what there is not, 401 for a path in other case.
    """
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return fixed
    found = _find_varying(method, path)
    if found is not None and version in found[0].versions:
        return found
    if found is None and _is_miscased(method, path):
        raise Refusal(401, "Unauthorized", error=None)
    raise Refusal(404, f"Cannot {method} {path}")


def _find_varying(method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
    parts = path.split("/")
    for route in _VARYING.get((method, len(parts)), ()):
        params = route.match(parts)
        if params is not None:
            return route, params
    return None


def _is_miscased(method: str, path: str) -> bool:
    """Say whether there would be such a path, were some words of it in other case."""
    mended = "/".join(_LITERALS.get(part.lower(), part) for part in path.split("/"))
    return mended != path and ((method, mended) in _FIXED or _find_varying(method, mended) is not None)
