"""OAuth as the sandbox has it: the page, codes, pairs, an agency's locations; in the shapes of the real service."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from leadconnector_async.sandbox import Sandbox
from tests.conftest import OpenSandbox
from tests.fake_clock import FakeClock

L = "ve9EPM428h8vShlRW1KT"
BACK = "https://example.com/callback?keep=1"
VERSIONS = ["2021-07-28", "v3"]


class Browser:
    """Plain HTTP, as any client of OAuth speaks it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def page(self, method: str = "GET", path: str = "/v2/oauth/chooselocation", **options: Any) -> Any:
        query = {
            "response_type": "code",
            "client_id": self.sandbox.oauth.client_id,
            "redirect_uri": BACK,
            "scope": "contacts.write contacts.readonly",
            "state": "s&<t>",
            **options.pop("query", {}),
        }
        params = {name: value for name, value in query.items() if value is not None}
        url = self.sandbox.url + path
        async with self.session.request(method, url, params=params, allow_redirects=False, **options) as answer:
            return answer.status, await answer.text(), answer.headers

    async def token(self, is_v3: bool = False, as_json: bool = False, **fields: Any) -> tuple[int, dict[str, Any]]:
        fields = {
            "client_id": self.sandbox.oauth.client_id,
            "client_secret": self.sandbox.oauth.client_secret,
            **fields,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        if is_v3:
            fields = {_camel(name): value for name, value in fields.items()}
        sent: dict[str, Any] = {"json" if as_json else "data": fields}
        headers = {"Version": "v3"} if is_v3 else {}
        async with self.session.post(self.sandbox.url + "/oauth/token", headers=headers, **sent) as answer:
            return answer.status, await answer.json()

    async def redeem(self, code: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return await self.token(grant_type="authorization_code", code=code, **fields)

    async def refresh(self, refresh_token: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **fields)

    async def call(
        self, token: str, method: str, path: str, version: str = "2021-07-28", **options: Any
    ) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}", "Version": version}
        async with self.session.request(method, self.sandbox.url + path, headers=headers, **options) as answer:
            return answer.status, await answer.json()


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class Buttons(HTMLParser):
    """Finds the buttons, and what a page would run."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "button":
            self.values.append(dict(attrs)["value"] or "")


@pytest.fixture
async def browser(open_sandbox: OpenSandbox) -> AsyncIterator[Browser]:
    sandbox: Sandbox = await open_sandbox()
    async with aiohttp.ClientSession() as session:
        yield Browser(sandbox, session)


# ---------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize("path", ["/v2/oauth/chooselocation", "/oauth/chooselocation"])
async def test_a_click_brings_a_code_and_the_state(browser: Browser, path: str) -> None:
    browser.sandbox.add_contact("other-location", email="a@example.com")
    status, html, headers = await browser.page(path=path)
    assert (status, headers["Content-Type"]) == (200, "text/html")
    found = Buttons()
    found.feed(html)
    assert found.values == ["other-location", "agency", "cancel"]
    for chosen, user_type in (("other-location", "Location"), ("agency", "Company")):
        status, _, headers = await browser.page("POST", path, data={"account": chosen})
        assert status == 302
        back = urlsplit(headers["Location"])
        query = parse_qs(back.query)
        assert headers["Location"].startswith("https://example.com/callback?")
        assert (query["keep"], query["state"]) == (["1"], ["s&<t>"])
        status, pair = await browser.redeem(query["code"][0], redirect_uri=BACK)
        assert (status, pair["userType"]) == (200, user_type)
        assert pair["scope"] == "contacts.write contacts.readonly"


async def test_a_page_escapes_what_it_shows(browser: Browser) -> None:
    browser.sandbox.add_contact('"><script>x</script>', email="a@example.com")
    for query in ({"scope": "<script>alert(1)</script>"}, {"client_id": "<script>"}):
        _, html, _ = await browser.page(query=query)
        found = Buttons()
        found.feed(html)
        assert "script" not in found.tags


async def test_cancel_brings_an_error(browser: Browser) -> None:
    _, _, headers = await browser.page("POST", data={"account": "cancel"})
    assert parse_qs(urlsplit(headers["Location"]).query)["error"] == ["access_denied"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"client_id": "other"}, "client_id"),
        ({"client_id": None}, "client_id"),
        ({"response_type": "token"}, "response_type"),
        ({"redirect_uri": None}, "redirect_uri"),
        ({"redirect_uri": "javascript:alert(1)"}, "redirect_uri"),
        ({"redirect_uri": "http://[nonsense"}, "redirect_uri"),
    ],
)
async def test_a_link_that_cannot_be_used(browser: Browser, query: dict[str, Any], sentence: str) -> None:
    for method in ("GET", "POST"):
        status, html, headers = await browser.page(method, query=query)
        assert (status, sentence in html, "Location" in headers) == (400, True, False)


async def test_a_location_that_is_not_there(open_sandbox: OpenSandbox) -> None:
    sandbox: Sandbox = await open_sandbox(locations=["A"])
    async with aiohttp.ClientSession() as session:
        status, html, _ = await Browser(sandbox, session).page("POST", data={"account": "B"})
    assert (status, "no such location" in html) == (400, True)


# ---------------------------------------------------------------------------------------------- codes and pairs


async def test_a_pair_as_the_service_spells_it(browser: Browser) -> None:
    oauth = browser.sandbox.oauth
    _, pair = await browser.redeem(oauth.new_code(L))
    assert pair.keys() == {
        *("access_token", "token_type", "expires_in", "refresh_token", "scope", "userType", "locationId"),
        *("companyId", "userId", "isBulkInstallation"),
    }
    assert (pair["token_type"], pair["expires_in"], pair["userType"], pair["locationId"]) == (
        "Bearer",
        86399,
        "Location",
        L,
    )
    claims = json.loads(base64.urlsafe_b64decode(pair["access_token"].split(".")[1] + "=="))
    assert (claims["authClass"], claims["authClassId"]) == ("Location", L)
    _, pair = await browser.redeem(oauth.new_code(None), is_v3=True)
    assert pair.keys() == {
        *("accessToken", "tokenType", "expiresIn", "refreshToken", "scope", "userType", "companyId", "userId"),
        *("isBulkInstallation", "approvedLocations", "installToFutureLocations"),
    }
    assert (pair["userType"], pair["companyId"]) == ("Company", oauth.company_id)
    assert (await browser.redeem(oauth.new_code(L), is_v3=True, as_json=True))[0] == 200


@pytest.mark.parametrize("is_v3", [False, True])
async def test_codes_are_good_once_for_a_time_and_for_one_address(
    browser: Browser, clock: FakeClock, is_v3: bool
) -> None:
    new_code = browser.sandbox.oauth.new_code
    used = new_code(L)
    assert (await browser.redeem(used, is_v3=is_v3))[0] == 200
    old = new_code(L)
    await clock.sleep(601)
    elsewhere = new_code(L, redirect_uri=BACK)
    for code, fields in ((used, {}), (old, {}), ("x", {}), (elsewhere, {"redirect_uri": "https://other.example"})):
        status, body = await browser.redeem(code, is_v3=is_v3, **fields)
        if is_v3:
            assert (status, body["message"]) == (400, "Invalid grant: authorization code is invalid")
        else:
            expected = {"error": "UnAuthorized!", "error_description": "Authorization code not found"}
            assert (status, body) == (401, expected)


async def test_refresh_tokens_are_good_once_and_within_the_grace_give_the_same_again(
    browser: Browser, clock: FakeClock
) -> None:
    _, first = await browser.redeem(browser.sandbox.oauth.new_code(L))
    _, second = await browser.refresh(first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    await clock.sleep(29)
    _, again = await browser.refresh(first["refresh_token"])
    tokens = ("access_token", "refresh_token")
    assert [again[name] for name in tokens] == [second[name] for name in tokens]
    assert browser.sandbox.oauth.refreshes == 1
    await clock.sleep(1.1)
    for is_v3 in (False, True):
        status, body = await browser.refresh(first["refresh_token"], is_v3=is_v3)
        assert status == 400
        if is_v3:
            assert body["message"] == "Invalid grant: refresh token is invalid"
        else:
            assert (body["error"], body["error_description"]) == ("invalid_grant", "This refresh token is invalid")
    assert (await browser.refresh(second["refresh_token"], is_v3=True))[0] == 200
    assert browser.sandbox.oauth.newest_pair(L) is not None


@pytest.mark.parametrize(
    ("fields", "status", "v2", "v3"),
    [
        ({"client_id": None}, (422, 400), "client_id must be a string", "Missing parameter: clientId"),
        ({"client_secret": None}, (422, 400), "client_secret must be a string", "Missing parameter: clientSecret"),
        ({"grant_type": "password"}, (422, 400), "grant_type must be one of", "Invalid parameter: grantType"),
        ({"grant_type": None}, (422, 400), "grant_type must be one of", "Invalid parameter: grantType"),
        ({"refresh_token": None}, (422, 400), "refresh_token must be a string", "Missing parameter: refreshToken"),
        ({"client_secret": "x"}, (401, 400), "Client credentials are invalid", "Client credentials are invalid"),
        (
            {"grant_type": "client_credentials"},
            (400, 400),
            "may not use this grant type",
            "may not use this grant type",
        ),
        ({"grant_type": "authorization_code"}, (422, 400), "code must be a string", "Missing parameter: code"),
    ],
)
async def test_what_a_token_call_lacks(
    browser: Browser, fields: dict[str, Any], status: tuple[int, int], v2: str, v3: str
) -> None:
    for is_v3, expected, words in ((False, status[0], v2), (True, status[1], v3)):
        sent = {"grant_type": "refresh_token", "refresh_token": "x", **fields}
        answered, body = await browser.token(is_v3=is_v3, **sent)
        assert (answered, words in json.dumps(body)) == (expected, True), body


async def test_access_tokens_come_to_their_end(browser: Browser, clock: FakeClock) -> None:
    oauth = browser.sandbox.oauth
    body = {"json": {"locationId": L, "email": "a@example.com"}}
    _, pair = await browser.redeem(oauth.new_code(L))
    assert (await browser.call(pair["access_token"], "POST", "/contacts/upsert", **body))[0] == 200
    await clock.sleep(86_399)
    answer = (401, {"statusCode": 401, "message": "Invalid JWT"})
    assert await browser.call(pair["access_token"], "POST", "/contacts/upsert", **body) == answer
    _, pair = await browser.refresh(pair["refresh_token"])
    assert (await browser.call(pair["access_token"], "POST", "/contacts/upsert", **body))[0] == 200
    oauth.revoke(L)
    assert await browser.call(pair["access_token"], "POST", "/contacts/upsert", **body) == answer
    assert (await browser.refresh(pair["refresh_token"]))[0] == 400


# ---------------------------------------------------------------------------------------------- what tokens may do


async def test_scopes_locations_and_kinds_of_tokens(browser: Browser) -> None:
    oauth, add = browser.sandbox.oauth, browser.sandbox.add_contact
    contact = add(L, email="a@example.com")["id"]
    foreign = add("elsewhere", email="b@example.com")["id"]
    _, pair = await browser.redeem(oauth.new_code(L, scopes=["contacts.readonly"]))
    token = pair["access_token"]
    assert (await browser.call(token, "GET", f"/contacts/{contact}"))[0] == 200
    assert (await browser.call(token, "GET", f"/contacts/{foreign}"))[1]["message"].startswith(
        "The token does not have"
    )
    for method, path in (("DELETE", f"/contacts/{contact}"), ("GET", f"/locations/{L}")):
        status, answer = await browser.call(token, method, path)
        assert (status, answer["message"]) == (401, "The token is not authorized for this scope.")
    search = {"json": {"locationId": L, "pageLimit": 1}}
    assert (await browser.call(token, "POST", "/contacts/search", **search))[0] == 200
    _, agency = await browser.redeem(oauth.new_code(None))
    status, answer = await browser.call(agency["access_token"], "GET", f"/contacts/{contact}")
    assert (status, answer["message"].split(".")[0]) == (
        401,
        "This authClass type is not allowed to access this scope",
    )
    assert (await browser.call(agency["access_token"], "GET", "/locations/search"))[0] == 200


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_agency_gets_tokens_of_locations(open_sandbox: OpenSandbox, version: str) -> None:
    sandbox: Sandbox = await open_sandbox(locations=["A", "B", "C"])
    async with aiohttp.ClientSession() as session:
        browser = Browser(sandbox, session)
        _, agency = await browser.redeem(sandbox.oauth.new_code(None))
        token = agency["access_token"]
        assert agency["approvedLocations"] == ["A", "B", "C"]
        paths = ["/oauth/locationToken", "/oauth/location-token"] if version == "v3" else ["/oauth/locationToken"]
        fields = {"companyId": sandbox.oauth.company_id, "locationId": "A"}
        for path in paths:
            names = ("accessToken", "expiresIn") if "-" in path else ("access_token", "expires_in")
            status, answer = await browser.call(token, "POST", path, version, data=fields)
            assert (status, answer[names[1]], answer["locationId"]) == (201, 86_400, "A")
            assert "refresh_token" not in answer
            assert answer["userId"]
            assert answer["traceId"]
        body = {"locationId": "A", "email": "a@example.com"}
        assert (await browser.call(answer[names[0]], "POST", "/contacts/upsert", json=body))[0] == 200
        wrong = {**fields, "locationId": "Z"}
        status, answer = await browser.call(token, "POST", paths[-1], version, data=wrong)
        assert (status, answer["message"], answer["statusCode"]) == (400, "Location not found", 400)
        status, answer = await browser.call(token, "POST", paths[-1], version, data={**fields, "companyId": "Z"})
        assert (status, answer["message"]) == (403, "The token does not have access to this company.")
        status, answer = await browser.call(token, "POST", paths[-1], version, data={})
        assert (status, len(answer["message"])) == (422, 2)
        sandbox.oauth.uninstall("B")
        status, answer = await browser.call(token, "POST", paths[-1], version, data={**fields, "locationId": "B"})
        assert (status, answer["message"]) == (400, "Location not found")


@pytest.mark.parametrize("version", VERSIONS)
async def test_installed_locations(open_sandbox: OpenSandbox, version: str) -> None:
    sandbox: Sandbox = await open_sandbox(locations=[f"L{number:02}" for number in range(30)])
    is_v3 = version == "v3"
    path, items, size = "/oauth/installedLocations", "locations", "limit"
    if is_v3:
        path, items, size = "/oauth/installed-locations", "items", "pageSize"
    async with aiohttp.ClientSession() as session:
        browser = Browser(sandbox, session)
        _, agency = await browser.redeem(sandbox.oauth.new_code(None))
        query = {"companyId": sandbox.oauth.company_id, "appId": "app"}

        async def ask(path: str = path, **more: str) -> tuple[int, dict[str, Any]]:
            return await browser.call(agency["access_token"], "GET", path, version, params={**query, **more})

        status, page = await ask()
        assert (status, len(page[items]), page["installToFutureLocations"]) == (200, 20, False)
        assert page[items][0].keys() == {"_id", "name", "address", "isInstalled"}
        if is_v3:
            pagination = page["pagination"]
            assert (pagination["totalRecords"], pagination["hasNextPage"], pagination["hasPrevPage"]) == (
                30,
                True,
                False,
            )
            _, last = await ask(pageToken=pagination["nextPageToken"])
            assert [each["_id"] for each in last["items"]] == [f"L{number}" for number in range(20, 30)]
            assert (last["pagination"]["hasNextPage"], last["pagination"]["nextPageToken"]) == (False, None)
            assert (await ask(pageToken="nonsense"))[0] == 400
            _, page = await ask("/oauth/installedLocations", skip="28")  # the old path speaks as before
            assert len(page["locations"]) == 2
        else:
            assert page["count"] == 30
            assert [each["_id"] for each in (await ask(skip="28", limit="5"))[1]["locations"]] == ["L28", "L29"]
            assert (await ask(skip="-1"))[0] == 422
            assert (await ask(skip="9" * 5000))[0] == 422
        sandbox.oauth.uninstall("L03")
        assert [each["_id"] for each in (await ask(isInstalled="false"))[1][items]] == ["L03"]
        assert len((await ask(query="l2"))[1][items]) == 10
        assert (await ask(**{size: "501"}))[0] == 400
        assert (await ask(appId=""))[0] == 422
        assert (await ask(companyId="other"))[0] == 403


@pytest.mark.parametrize("method_and_path", [("POST", "/oauth/locationToken"), ("GET", "/oauth/installedLocations")])
async def test_only_agencies_with_the_scope_ask_for_locations(browser: Browser, method_and_path: Any) -> None:
    oauth = browser.sandbox.oauth
    _, location = await browser.redeem(oauth.new_code(L))
    _, narrow = await browser.redeem(oauth.new_code(None, scopes=["contacts.write"]))
    for token, message in (
        ("sandbox", "Invalid JWT"),
        ("pit-x", "Invalid Private Integration token"),
        (location["access_token"], "This token's user type is not yet supported!"),
        (narrow["access_token"], "The token is not authorized for this scope."),
    ):
        status, answer = await browser.call(token, *method_and_path)
        assert (status, answer["message"]) == (401, message)


@pytest.mark.parametrize(
    ("method", "path", "version", "status"),
    [
        ("POST", "/oauth/location-token", "2021-07-28", 404),
        ("GET", "/oauth/installed-locations", "2021-07-28", 404),
        ("GET", "/oauth/token", "2021-07-28", 404),
        ("GET", "/oauth/nothing", "v3", 404),
        ("POST", "/oauth/locationToken", "2020-01-01", 401),
    ],
)
async def test_paths_that_are_not_there(browser: Browser, method: str, path: str, version: str, status: int) -> None:
    assert (await browser.call("sandbox", method, path, version))[0] == status


async def test_an_agencys_calls_count_against_the_agency(open_sandbox: OpenSandbox) -> None:
    sandbox: Sandbox = await open_sandbox(max_requests=2)
    async with aiohttp.ClientSession() as session:
        browser = Browser(sandbox, session)
        _, agency = await browser.redeem(sandbox.oauth.new_code(None))
        fields = {"companyId": sandbox.oauth.company_id, "locationId": "A"}
        for expected in (201, 201, 429):
            status, _ = await browser.call(agency["access_token"], "POST", "/oauth/locationToken", data=fields)
            assert status == expected
        for _ in range(5):  # these count against nobody
            status, agency = await browser.refresh(agency["refresh_token"])
            assert status == 200


async def test_bodies_that_are_no_forms(browser: Browser) -> None:
    url = browser.sandbox.url + "/oauth/token"
    large = {"data": io.BytesIO(b"x" * 2_000_000), "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
    async with browser.session.post(url, **large) as answer:
        assert answer.status == 413
    kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
    for kind in kinds:
        for data in (b"{", b"[1]", b"\xff\xfe=%zz", b'{"client_id": 7}', b"--x\r\n\r\n"):
            async with browser.session.post(url, data=data, headers={"Content-Type": kind}) as answer:
                assert answer.status in (400, 422), (kind, data, await answer.text())


# ---------------------------------------------------------------------------------------------- what is kept


async def test_logins_outlive_a_restart(tmp_path: Any) -> None:
    data = tmp_path / "sandbox.sqlite3"
    async with aiohttp.ClientSession() as session:
        async with Sandbox(data=data) as sandbox:
            _, pair = await Browser(sandbox, session).redeem(sandbox.oauth.new_code(L))
            _, pair = await Browser(sandbox, session).refresh(pair["refresh_token"])
        async with Sandbox(data=data) as sandbox:
            browser = Browser(sandbox, session)
            body = {"json": {"locationId": L, "email": "a@example.com"}}
            assert (await browser.call(pair["access_token"], "POST", "/contacts/upsert", **body))[0] == 200
            assert (await browser.refresh(pair["refresh_token"]))[0] == 200
