"""From a request to its answer: who is let in, what is counted, what is carried out."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import msgspec
from aiohttp import web

from .answers import HTML, Answer, answer_after_write, read_json
from .books import Books
from .calls import Body, Call
from .data_file import DataFile
from .faults import Page, refuse_before_write
from .logins import Bearer
from .oauth import OAuth
from .quota import Quota
from .refusals import Refusal
from .routes import Route, find_route
from .traffic import Applied, Arrival
from .validation import check
from .versions import check_version


class Service:
    """Answers requests.

    Args:
        books: What is stored.
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
        books: Books,
        oauth: OAuth,
        data: DataFile | None,
        *,
        token: str,
        locations: frozenset[str] | None,
        new_quota: Callable[[], Quota] | None,
        retry_after: str,
        chance: random.Random,
        monotonic: Callable[[], float],
        on_applied: Callable[[Applied], object] | None,
    ) -> None:
        self._books = books
        self.oauth = oauth
        self._data = data
        self._authorization = f"Bearer {token}"
        self._locations = locations
        self._new_quota = new_quota
        self._retry_after = retry_after
        self._chance = chance
        self._monotonic = monotonic
        self._on_applied = on_applied
        self._quotas: dict[str, Quota] = {}
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
            body = read_json(await request.read()) if request.can_read_body else {}
            call = Call(request, params, body, version)
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

    def _location_of(self, call: Call) -> str:
        """Return whose limits a call counts against: its contact's location, or the one it names."""
        if "contactId" in call.params:
            contact = self._books.contacts.get(call.contact_id)
            return "" if contact is None else str(contact["locationId"])
        return call.location_id()

    def _check_location(self, location_id: str) -> None:
        if self._locations is not None and location_id and location_id not in self._locations:
            raise Refusal(403, "The token does not have access to this location.", error=None)

    def _quota(self, location_id: str) -> Quota | None:
        if self._new_quota is None:
            return None
        if location_id not in self._quotas:
            self._quotas[location_id] = self._new_quota()
        return self._quotas[location_id]

    def _take(self, quota: Quota | None, fault: str | None) -> None:
        if fault in ("429", "429-retry-after") or (quota is not None and not quota.take()):
            self.rate_limited += 1
            raise Refusal(
                429, "Too Many Requests", retry_after=self._retry_after if fault == "429-retry-after" else None
            )

    def _run(self, route: Route, call: Call) -> Body:
        """Carry a call out; what it changed is kept before it is answered."""
        if route.rules is not None:
            check(call.body, route.rules)
        value = route.run(self._books, call)
        value["traceId"] = self._new_trace_id()
        if self._data is not None:
            self._data.commit()
        return value

    def _refuse(self, refusal: Refusal) -> Answer:
        if isinstance(refusal, Page):
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


def _too_large() -> Refusal:
    return Refusal(413, "request entity too large", error="Payload Too Large")


def _check_agent(request: web.BaseRequest) -> None:
    agent = request.headers.get("User-Agent", "")
    if not agent or agent.startswith("Python-urllib"):
        raise Page(403, "error code: 1010")
