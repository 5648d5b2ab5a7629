"""`leadconnector sandbox`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .printing import show, show_document
from .signals import calling_on_signals

if TYPE_CHECKING:
    from ..sandbox import Sandbox


async def serve(**options: Any) -> int:
    """Run a sandbox until SIGINT or SIGTERM, and return the exit code.

    Raises:
        ConfigurationError: An option makes no sense, or the port cannot be used.
    """
    from ..sandbox import Sandbox  # a load of files has no need of it

    stop = asyncio.Event()
    with calling_on_signals(stop.set):  # before the URL is told: who reads it may send a signal at once
        sandbox = await _start(Sandbox, options)
        oauth = sandbox.oauth
        told = {
            "url": sandbox.url,
            "token": "sandbox",
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
        }
        show_document(told)
        show(sandbox.url)
        show("token: sandbox; any locationId; stop with Ctrl-C")
        show(f"app for logins: client id {oauth.client_id}, client secret {oauth.client_secret}")
        await stop.wait()
        await sandbox.stop()
    return 0


async def _start(kind: Callable[..., Sandbox], options: dict[str, Any]) -> Sandbox:
    try:
        sandbox = kind(**options)
        await sandbox.start()
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        raise ConfigurationError(f"port {options['port']} cannot be used ({error.strerror}); choose another") from None
    return sandbox
