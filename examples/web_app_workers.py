"""A web app of four processes that share one quota through Redis, on a sandbox: no call too many, whoever sends it.

apt-get install redis-server; pip install 'leadconnector-async[redis]'
python examples/web_app_workers.py
curl -d '{"email": "ann@example.com"}' http://127.0.0.1:8080/sign-up

It starts what is not there: a sandbox in place of the service, a redis-server unless REDIS_URL names one, and the
workers, which listen on one port together (SO_REUSEPORT). A worker that dies is started again, and what it held of the
quota is back within a window. Ctrl-C ends all; calls in flight finish first. A worker takes all it needs from the
environment, as it would in production.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from leadconnector_async import (
    CallError,
    DailyQuotaExceededError,
    InvalidContactError,
    LeadConnector,
    RateLimit,
    RedisLimits,
)
from leadconnector_async.sandbox import Sandbox

CLIENT = web.AppKey("client", LeadConnector)

# ---------------------------------------------------------------------------------------------- one worker


async def connect(app: web.Application) -> AsyncIterator[None]:
    limits = RedisLimits(os.environ["REDIS_URL"])
    async with LeadConnector.from_env(limits=limits, rate_limit=read_limit(os.environ["RATE"])) as lc:
        app[CLIENT] = lc
        yield


async def sign_up(request: web.Request) -> web.Response:
    try:
        result = await request.app[CLIENT].contacts.upsert(await request.json())
    except (InvalidContactError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except (CallError, DailyQuotaExceededError):
        return web.json_response({"error": "please try again later"}, status=503)
    return web.json_response({"new": result.new, "contactId": result.contact.id, "worker": os.getpid()})


def work(port: int) -> None:
    app = web.Application()
    app.cleanup_ctx.append(connect)
    app.router.add_post("/sign-up", sign_up)
    web.run_app(app, host="127.0.0.1", port=port, reuse_port=True, print=None)


# ---------------------------------------------------------------------------------------------- what starts them


@asynccontextmanager
async def running(*command: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    # In a session of its own, so that Ctrl-C reaches none before those that use it have ended.
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environ}, stdout=sys.stderr, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def redis_server() -> AsyncIterator[str]:
    if shutil.which("redis-server") is None:
        raise SystemExit(
            "there is no redis-server: install it (Debian: apt-get install redis-server), or set REDIS_URL"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--loglevel", "warning"]
        async with running(*command, "--dir", folder) as server:
            while not path.exists():
                if server.returncode is not None:
                    raise SystemExit("redis-server ended as it started")
                await asyncio.sleep(0.02)
            yield f"unix://{path}"


async def keep_working(number: int, port: int, environ: dict[str, str]) -> None:
    while True:
        async with running(sys.executable, __file__, "--work", "--port", str(port), **environ) as worker:
            code = await worker.wait()
        print(f"worker {number} ended with {code}; starting it again", file=sys.stderr)
        await asyncio.sleep(1.0)


async def is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def read_limit(rate: str) -> RateLimit:
    calls, _, seconds = rate.partition("/")
    return RateLimit(int(calls), float(seconds))


async def supervise(port: int, workers: int, rate: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    limit = read_limit(rate)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            Sandbox(max_requests=limit.max_requests, per_seconds=limit.per_seconds, latency=(0.01, 0.05))
        )
        given = os.environ.get("REDIS_URL")
        redis = given if given else await stack.enter_async_context(redis_server())
        environ: dict[str, str] = {
            "LEADCONNECTOR_TOKEN": "sandbox",
            "LEADCONNECTOR_LOCATION_ID": "ve9EPM428h8vShlRW1KT",
            "LEADCONNECTOR_BASE_URL": sandbox.url,
            "REDIS_URL": redis,
            "RATE": rate,
        }
        tasks = [asyncio.create_task(keep_working(number, port, environ)) for number in range(workers)]
        while not (await is_listening(port) or stop.is_set()):  # noqa: ASYNC110  (nothing else tells)
            await asyncio.sleep(0.05)
        print(f"sign up at http://127.0.0.1:{port}/sign-up", flush=True)
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        print(f"{sandbox.requests} calls, {sandbox.rate_limited} of them answered 429", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A web app of several processes that share one quota.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", default="100/10", help="calls/seconds that the sandbox allows, and the workers share")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.port)
    else:
        asyncio.run(supervise(options.port, options.workers, options.rate))


if __name__ == "__main__":
    main()
