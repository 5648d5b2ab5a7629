"""From a request to its answer: check the token, count the call, run the operation."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct

from . import activities as notes
from . import activities as tasks
from . import contacts, locations, search
from . import contacts as bulk
from . import contacts as enrolments
from . import search as listings
from .answers import HTML, Answer, EdgePage, Refusal, answer_after_write, read_json, refuse_before_write
from .books import Records
from .calls import ONLY_V3, VERSIONS, Body, IncomingCall, check_version
from .data_file import DataFile
from .logins import Bearer
from .oauth import OAuth, scope_of
from .quota import SandboxQuota
from .validation import CREATE, UPDATE, UPSERT, Rules, check

# ---------------------------------------------------------------------------------------------- routes

Operation: TypeAlias = Callable[[Records, IncomingCall], Body]


class Route:
    """One operation.

    Args:
        method: Its method.
        template: Its path, with the names of what varies in braces.
        status: The status of its answer.
        run: What it does.
        rules: What its body may hold, or None where its body is not looked at.
        versions: The versions that know its path.

    Attributes:
        scope: What a token must be good for.
        may_be_agency: Whether that may be an agency's own token.
    """

    __slots__ = ("may_be_agency", "method", "parts", "rules", "run", "scope", "status", "template", "versions")

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
        self.scope, self.may_be_agency = scope_of(method, template)

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


# ---------------------------------------------------------------------------------------------- traffic


class Arrival(Struct, frozen=True):
    """A call as the sandbox saw it.

    Attributes:
        time: When it was counted, on the sandbox's monotonic clock, in seconds.
        status: What it was answered, or 0 where it was not.
        fault: The fault it ran into, or None.
    """

    time: float
    method: str
    path: str
    location_id: str
    status: int
    fault: str | None


class Applied(Struct, frozen=True):
    """A call that was carried out, whatever became of its answer.

    Attributes:
        sent: The body of the request.
        answered: The body of the answer, as it is without a fault. Contacts in it are the stored ones themselves: copy
            them to see later how they were at the time.
        fault: The fault that hit the answer, or None.
    """

    method: str
    path: str
    sent: Mapping[str, Any]
    answered: Mapping[str, Any]
    fault: str | None


class Service:
    """Answers requests.

    Args:
        records: What is stored.
        oauth: Who else than the bearer of `token` may call.
        data: Where it is kept on disk, or None.
        token: The one token that is accepted.
        locations: The locations that it may use, or None for any.
        new_quota: Makes the quota of a location, or None where nothing is counted.
        retry_after: The value of Retry-After in the fault `429-retry-after`.
        chance: The source of trace ids.
        monotonic: The clock of arrivals.
        on_applied: Called with each call that was carried out.
    """

    def __init__(
        self,
        records: Records,
        oauth: OAuth,
        data: DataFile | None,
        *,
        token: str,
        locations: frozenset[str] | None,
        new_quota: Callable[[], SandboxQuota] | None,
        retry_after: str,
        chance: random.Random,
        monotonic: Callable[[], float],
        on_applied: Callable[[Applied], object] | None,
    ) -> None:
        self._records = records
        self.oauth = oauth
        self._data = data
        self._authorization = f"Bearer {token}"
        self._locations = locations
        self._new_quota = new_quota
        self._retry_after = retry_after
        self._chance = chance
        self._monotonic = monotonic
        self._on_applied = on_applied
        self._quotas: dict[str, SandboxQuota] = {}
        self.arrivals: deque[Arrival] = deque(maxlen=200_000)
        self.rate_limited = 0

    def allow_locations(self, locations: frozenset[str] | None) -> None:
        """Let the token use these locations from now on, and no others; None for any."""
        self._locations = locations

    async def answer(self, request: web.BaseRequest, fault: str | None) -> Answer:
        """Carry out what a request asks for, and return the answer, or that of the fault."""
        quota = location_id = None
        if request.path.startswith(("/oauth/", "/v2/oauth/")):
            return await self._answer_oauth(request, fault)
        try:
            version, bearer = self._admit(request)
            route, params = find_route(request.method, request.path, version)
            body = await _read_body(request, route)
            call = IncomingCall(request, params, body, version)
            location_id = self._location_of(call)
            self._check_location(location_id)
            if bearer is not None:
                bearer.check(route.scope, location_id, may_be_agency=route.may_be_agency)
            quota = self._quota(location_id)
            self._take(quota, fault)
            refuse_before_write(fault)
            value = self._run(route, call)
            if self._on_applied is not None:
                self._on_applied(Applied(request.method, request.path, body, value, fault))
            answer = answer_after_write(fault) or Answer(route.status, msgspec.json.encode(value))
        except Refusal as refusal:
            answer = self._refuse(refusal)
        except web.HTTPRequestEntityTooLarge:
            answer = self._refuse(_too_large())
        if quota is not None:
            answer.headers.update(quota.headers())
        self.arrivals.append(
            Arrival(self._monotonic(), request.method, request.path, location_id or "", answer.status, fault)
        )
        return answer

    def _admit(self, request: web.BaseRequest) -> tuple[str, Bearer | None]:
        """Check what comes before any operation, and return the version, and who calls where it is by OAuth."""
        _check_agent(request)
        authorization = request.headers.get("Authorization", "")
        bearer = None if authorization == self._authorization else self.oauth.bearer(authorization)
        return check_version(request.headers.get("Version")), bearer

    async def _answer_oauth(self, request: web.BaseRequest, fault: str | None) -> Answer:
        """Carry out what is about logins and tokens, which has its own way of being asked."""
        quota = self._quota(company_id) if (company_id := self.oauth.company_of(request.path)) else None
        try:
            _check_agent(request)
            self._take(quota, fault)
            refuse_before_write(fault)
            answer = await self.oauth.answer(request, self._new_trace_id())
            if self._data is not None:
                self._data.commit()
            answer = answer_after_write(fault) or answer
        except Refusal as refusal:
            answer = self._refuse(refusal)
        except web.HTTPRequestEntityTooLarge:
            answer = self._refuse(_too_large())
        if quota is not None:
            answer.headers.update(quota.headers())
        self.arrivals.append(Arrival(self._monotonic(), request.method, request.path, company_id, answer.status, fault))
        return answer

    def _location_of(self, call: IncomingCall) -> str:
        """Return whose limits a call counts against: its contact's location, or the one it names."""
        if "contactId" in call.params:
            contact = self._records.contacts.get(call.contact_id)
            return "" if contact is None else str(contact["locationId"])
        return call.location_id()

    def _check_location(self, location_id: str) -> None:
        if self._locations is not None and location_id and location_id not in self._locations:
            raise Refusal(403, "The token does not have access to this location.", error=None)

    def _quota(self, location_id: str) -> SandboxQuota | None:
        if self._new_quota is None:
            return None
        if location_id not in self._quotas:
            self._quotas[location_id] = self._new_quota()
        return self._quotas[location_id]

    def _take(self, quota: SandboxQuota | None, fault: str | None) -> None:
        if fault in ("429", "429-retry-after") or (quota is not None and not quota.take()):
            self.rate_limited += 1
            raise Refusal(
                429, "Too Many Requests", retry_after=self._retry_after if fault == "429-retry-after" else None
            )

    def _run(self, route: Route, call: IncomingCall) -> Body:
        """Carry a call out; what it changed is kept before it is answered."""
        if route.rules is not None:
            check(call.body, route.rules, call.version)
        value = route.run(self._records, call)
        value["traceId"] = self._new_trace_id()
        if self._data is not None:
            self._data.commit()
        return value

    def _refuse(self, refusal: Refusal) -> Answer:
        if isinstance(refusal, EdgePage):
            return Answer(refusal.status, refusal.html.encode(), HTML)
        body = dict(refusal.body)
        retry_after = body.pop("retry_after", None)
        if refusal.status in (400, 403, 404, 422):
            body["traceId"] = self._new_trace_id()
        answer = Answer(refusal.status, msgspec.json.encode(body))
        if retry_after is not None:
            answer.headers["Retry-After"] = retry_after
        return answer

    def _new_trace_id(self) -> str:
        digits = f"{self._chance.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


async def _read_body(request: web.BaseRequest, route: Route) -> Body:
    """Return the body of a request; where the reference requires one, it must be there, if only as `{}`."""
    if request.can_read_body:
        return read_json(await request.read())
    if route.rules is not None:
        raise Refusal(400, "Unexpected end of JSON input")
    return {}


def _too_large() -> Refusal:
    return Refusal(413, "request entity too large", error="Payload Too Large")


def _check_agent(request: web.BaseRequest) -> None:
    agent = request.headers.get("User-Agent", "")
    if not agent or agent.startswith("Python-urllib"):
        raise EdgePage(403, "error code: 1010")
