"""A web app that any location can install: a link to install it, the callback, and a call. On a sandbox here.

python examples/oauth_web_app.py
Open http://127.0.0.1:8080/install in a browser, choose a location, and then:
curl -d '{"email": "ann@example.com"}' http://127.0.0.1:8080/sign-up/ve9EPM428h8vShlRW1KT

With a real app of the marketplace: its client id and secret, a store on disk (SQLiteTokenStore("tokens.sqlite3"), or
your own over your database), no `pages` and no `base_url`. One client serves all accounts that have installed the app.
"""

from collections.abc import AsyncIterator

from aiohttp import web

from leadconnector_async import (
    CallError,
    InvalidContactError,
    LeadConnector,
    LocationNotCoveredError,
    LoginRequiredError,
    OAuthApp,
)
from leadconnector_async.sandbox import Sandbox

REDIRECT_URI = "http://127.0.0.1:8080/callback"
OAUTH = web.AppKey("oauth", OAuthApp)
CLIENT = web.AppKey("client", LeadConnector)


async def connect(app: web.Application) -> AsyncIterator[None]:
    async with Sandbox() as sandbox:
        oauth = OAuthApp(
            sandbox.oauth.client_id, sandbox.oauth.client_secret, redirect_uri=REDIRECT_URI, pages=sandbox.url
        )
        async with LeadConnector(oauth, base_url=sandbox.url) as lc:
            app[OAUTH], app[CLIENT] = oauth, lc
            yield


async def install(request: web.Request) -> web.Response:
    """Send the browser to the page of the service, and keep in a cookie what it must bring back."""
    oauth = request.app[OAUTH]
    state = oauth.new_state()
    response = web.Response(status=302, headers={"Location": oauth.authorization_url(state)})
    response.set_cookie("state", state, max_age=600, httponly=True, samesite="Lax")
    return response


async def callback(request: web.Request) -> web.Response:
    """Turn the code that the browser brings into an account."""
    try:
        account = await request.app[OAUTH].exchange(
            request.query.get("code", ""),
            state=request.query.get("state"),
            expected_state=request.cookies.get("state"),
        )
    except LoginRequiredError as error:
        return web.Response(status=400, text=str(error))
    return web.Response(text=f"Installed for {account.account_id}.")


async def sign_up(request: web.Request) -> web.Response:
    try:
        contact = await request.json()
        result = await request.app[CLIENT].contacts.upsert({**contact, "locationId": request.match_info["location"]})
    except (LoginRequiredError, LocationNotCoveredError):
        return web.json_response({"error": "this location has not installed the app", "open": "/install"}, status=403)
    except (InvalidContactError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except CallError:
        return web.json_response({"error": "please try again later"}, status=503)
    return web.json_response({"new": result.new, "contactId": result.contact.id})


def make_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(connect)
    app.router.add_get("/install", install)
    app.router.add_get("/callback", callback)
    app.router.add_post("/sign-up/{location}", sign_up)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
