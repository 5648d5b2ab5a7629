"""`leadconnector sandbox`."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from ..errors import ConfigurationError


async def serve(**options: Any) -> int:
    """Run a sandbox until SIGINT or SIGTERM, and return the exit code.

    Raises:
        ConfigurationError: An option makes no sense, or the port cannot be used.
    """
    from ..sandbox import Sandbox

    try:
        sandbox = Sandbox(**options)
        await sandbox.start()
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        raise ConfigurationError(f"port {options['port']} cannot be used ({error.strerror}); choose another") from None
    # Before the address is told: whoever reads it may stop the sandbox at once.
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(sandbox.url, flush=True)
    print("token: sandbox; any locationId; stop with Ctrl-C", flush=True)
    await stop.wait()
    await sandbox.stop()
    return 0
