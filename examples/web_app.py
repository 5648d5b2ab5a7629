"""A web app that shares one client over its lifetime, on a sandbox in this process.

python examples/web_app.py
curl -d '{"email": "ann@example.com"}' http://127.0.0.1:8080/sign-up
"""

from collections.abc import AsyncIterator

from aiohttp import web

from leadconnector_async import CallError, DailyQuotaExceededError, InvalidContactError, LeadConnector
from leadconnector_async.sandbox import Sandbox

CLIENT = web.AppKey("client", LeadConnector)


async def connect(app: web.Application) -> AsyncIterator[None]:
    """Open the client when the app starts, and close it when the app ends: calls in flight finish first."""
    async with (
        Sandbox() as sandbox,
        LeadConnector("sandbox", base_url=sandbox.url, location_id="ve9EPM428h8vShlRW1KT") as lc,
    ):
        app[CLIENT] = lc
        yield


async def sign_up(request: web.Request) -> web.Response:
    try:
        result = await request.app[CLIENT].contacts.upsert(await request.json())
    except (InvalidContactError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except (CallError, DailyQuotaExceededError):
        return web.json_response({"error": "please try again later"}, status=503)
    return web.json_response({"new": result.new, "contactId": result.contact.id})


def make_app() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(connect)
    app.router.add_post("/sign-up", sign_up)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=8080)
