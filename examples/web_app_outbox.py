"""A web app of four processes that never waits for the service: sign-ups go to an outbox, and one process sends them.

On a sandbox, which it starts. A worker that ends is started again; where it was the one that sent, another goes on.

    python examples/web_app_outbox.py
    curl -d '{"email": "ann@example.com"}' http://127.0.0.1:8080/sign-up
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from leadconnector_async import InvalidContactError, JournalError, KeyConflictError, LeadConnector, OutboxFullError
from leadconnector_async.ingest import Outbox
from leadconnector_async.sandbox import Sandbox

OUTBOX = web.AppKey("outbox", Outbox)

# ---------------------------------------------------------------------------------------------- a worker


async def connect(app: web.Application) -> AsyncIterator[None]:
    """Open the outbox as the worker starts. All workers put into the same file, and one of them drains it."""
    async with LeadConnector.from_env() as lc, Outbox(lc, os.environ["OUTBOX"], when_full="raise") as outbox:
        app[OUTBOX] = outbox
        yield


async def sign_up(request: web.Request) -> web.Response:
    """Answer once the contact is on disk, however the service is doing."""
    try:
        receipt = await request.app[OUTBOX].put(await request.json(), key=request.headers.get("Idempotency-Key"))
    except KeyConflictError as error:
        return web.json_response({"error": str(error)}, status=409)
    except (InvalidContactError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except (OutboxFullError, JournalError):
        return web.json_response({"error": "please try again later"}, status=503)
    return web.json_response({"id": receipt.id, "worker": os.getpid()}, status=202)


def work(port: int) -> None:
    app = web.Application()
    app.cleanup_ctx.append(connect)
    app.router.add_post("/sign-up", sign_up)
    web.run_app(app, host="127.0.0.1", port=port, reuse_port=True, print=None)


# ---------------------------------------------------------------------------------------------- what starts them


async def keep_working(port: int, environ: dict[str, str]) -> None:
    command = [sys.executable, __file__, "--work", "--port", str(port)]
    while True:
        # In a session of its own: Ctrl-C then reaches this process alone, which ends the workers in order.
        worker = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environ}, start_new_session=True)
        try:
            code = await worker.wait()
        except asyncio.CancelledError:
            worker.terminate()
            await worker.wait()
            raise
        print(f"a worker ended with {code}; starting it again", file=sys.stderr)
        await asyncio.sleep(1.0)


async def supervise(port: int, workers: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(latency=(0.01, 0.05)))
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "outbox.sqlite3"
        environ = {
            "LEADCONNECTOR_TOKEN": "sandbox",
            "LEADCONNECTOR_LOCATION_ID": "ve9EPM428h8vShlRW1KT",
            "LEADCONNECTOR_BASE_URL": sandbox.url,
            "OUTBOX": str(path),
        }
        tasks = [asyncio.create_task(keep_working(port, environ)) for _ in range(workers)]
        print(f"sign up at http://127.0.0.1:{port}/sign-up", flush=True)
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with LeadConnector("sandbox", base_url=sandbox.url) as lc, Outbox(lc, path) as outbox:
            await outbox.flush()  # what the workers had no time for
        print(f"{len(sandbox.contacts())} contacts, {sandbox.rate_limited} calls answered 429", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A web app whose sign-ups wait in an outbox.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.port)
    else:
        asyncio.run(supervise(options.port, options.workers))


if __name__ == "__main__":
    main()
