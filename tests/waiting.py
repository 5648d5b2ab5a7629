"""How long tests wait for what must come: one number, far above what any of it takes on the busiest machine.

No test decides by real time whether something is right. Whoever waits so long for it, waits for what never comes.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0  # seconds


def patiently() -> asyncio.Timeout:
    """Within, on a loop that keeps real time, what hangs is an error."""
    return asyncio.timeout(PATIENCE)


def wait_until(condition: Callable[[], object], process: subprocess.Popen[Any] | None = None) -> None:
    """Look again and again until something is so; a process that ends before is an error."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


async def until(condition: Callable[[], object]) -> None:
    """Let others go on until something is so, be it on a loop whose time is made up."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.001)
