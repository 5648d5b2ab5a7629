"""A web app that takes webhooks: it checks each delivery, keeps it safe, answers at once, and works on it afterwards.

python examples/webhook_server.py          # signs a delivery with a key of its own, sends it to itself, and ends
python examples/webhook_server.py --serve  # takes the vendor's deliveries at http://127.0.0.1:8080/webhooks
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from leadconnector_async.webhooks import (
    ContactDeleteEvent,
    ContactEvent,
    SeenInMemory,
    WebhookError,
    WebhookEvent,
    WebhookKeys,
    verify_webhook,
)

APP_ID = "64f1c0ffee64f1c0ffee64f1"  # of your app: the vendor signs the deliveries of all apps with one key
KEYS = web.AppKey("keys", WebhookKeys)
SEEN = web.AppKey("seen", SeenInMemory)
EVENTS = web.AppKey("events", asyncio.Queue[WebhookEvent])


async def receive(request: web.Request) -> web.Response:
    body = (
        await request.read()
    )  # the bytes themselves: the signature holds for these, not for what `json()` makes of them
    try:
        event = verify_webhook(body, request.headers, keys=request.app[KEYS], app_id=APP_ID, seen=request.app[SEEN])
    except WebhookError as error:
        print("refused:", error)
        return web.Response(status=200 if error.reason == "replayed" else 401)
    try:
        request.app[EVENTS].put_nowait(event)  # an app of yours would keep it where it outlives the process
    except asyncio.QueueFull:
        request.app[SEEN].forget(event.delivery)
        return web.Response(status=429)  # the vendor sends it again after a 429, and never after a 5xx
    return web.Response()


async def work(app: web.Application) -> None:
    while True:
        match await app[EVENTS].get():
            case ContactDeleteEvent(id=contact_id):
                print(f"deleted: {contact_id!r}")
            case ContactEvent() as event:
                print(f"{event.type}: {event.name!r}, {event.email!r}, tags {event.tags} of {event.location_id!r}")
            case event:
                print(f"{event.type}: {event.extra}")
        app[EVENTS].task_done()


async def run_worker(app: web.Application) -> AsyncIterator[None]:
    worker = asyncio.create_task(work(app))
    yield
    await app[EVENTS].join()
    worker.cancel()


def make_app(keys: WebhookKeys = WebhookKeys()) -> web.Application:
    app = web.Application()
    app[KEYS], app[SEEN], app[EVENTS] = keys, SeenInMemory(), asyncio.Queue(maxsize=1_000)
    app.cleanup_ctx.append(run_worker)
    app.router.add_post("/webhooks", receive)
    return app


async def demonstrate() -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    runner = web.AppRunner(make_app(WebhookKeys(ed25519=(public,))))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}/webhooks".format(*runner.addresses[0][:2])

    event = {
        "type": "ContactTagUpdate",
        "locationId": "ve9EPM428h8vShlRW1KT",
        "id": "nmFmQEsNgz6AVpgLVUJ0",
        "name": "Rosan Deos",
        "email": "rosan@deos.com",
        "tags": ["customer"],
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "webhookId": "d0f6f9c4",
        "appId": APP_ID,
    }
    body = json.dumps(event).encode()
    headers = {"x-ghl-signature": base64.b64encode(key.sign(body)).decode()}
    async with aiohttp.ClientSession() as session:
        for sent in (body, body, body.replace(b"customer", b"admin")):  # genuine, the same again, and forged
            async with session.post(url, data=sent, headers=headers) as response:
                print("answered", response.status)
    await runner.cleanup()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        web.run_app(make_app(), host="127.0.0.1", port=8080)
    else:
        asyncio.run(demonstrate())
