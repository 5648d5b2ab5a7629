"""What a figure was measured on, and a sandbox in a process of its own."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

_SERVER = """
import asyncio, sys
from leadconnector_async.sandbox import Sandbox
async def main():
    async with Sandbox(unlimited=True, seed=1) as sandbox:
        print(sandbox.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


def describe(*packages: str) -> str:
    """Return machine and versions in one line."""
    names = ("aiohttp", "msgspec", *packages)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, " + ", ".join(map(_with_version, names))


def _with_version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} not installed"


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Run a sandbox without limits in another process, and yield its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
