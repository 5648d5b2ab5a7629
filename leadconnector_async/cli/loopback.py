"""Receives the code of a login from the browser, on a port of this machine."""

from __future__ import annotations

import asyncio
import hmac
from html import escape
from types import TracebackType
from typing import Final

from aiohttp import web
from yarl import URL

from ..answers import clean_text
from ..errors import ConfigurationError, LoginRequiredError

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_PAGE: Final = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>leadconnector</title></head>'
    '<body style="font: 16px/1.5 system-ui, sans-serif; margin: 3rem"><p>{}</p></body></html>\n'
)


class Loopback:
    """Listens where the service sends the browser, until it brings a code.

    Args:
        redirect_uri: An `http` address of this machine, with a port.
        state: What the browser must bring back; others are turned away.

    Raises:
        ConfigurationError: The address is not one of this machine.
    """

    def __init__(self, redirect_uri: str, state: str) -> None:
        try:
            url = URL(redirect_uri)
        except ValueError:
            raise ConfigurationError(
                f"{redirect_uri!r} is no address; it looks like http://localhost:8000/callback"
            ) from None
        if url.scheme != "http" or url.host not in _LOCAL:
            raise ConfigurationError(
                f"{redirect_uri} is no address of this machine, so that no code can be received there; take it to the "
                "command line with --paste"
            )
        self._url = url
        self._state = state
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None))

    async def __aenter__(self) -> Loopback:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._url.host, self._url.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"port {self._url.port} cannot be used ({error.strerror}); end what uses it, or use --paste"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def code(self, seconds: float) -> str:
        """Wait for the code.

        Args:
            seconds: How long.

        Raises:
            LoginRequiredError: The login was refused on the page, or nobody came back.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._code
        except TimeoutError:
            raise LoginRequiredError(f"nobody came back from the page within {seconds:.0f} s; log in again") from None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET" or request.path != self._url.path:
            return _page(404, "There is nothing here.")
        if not hmac.compare_digest(request.query.get("state", "").encode(), self._state.encode()):
            return _page(400, "This is not the login that was begun on the command line. Begin it there once more.")
        if self._code.done():
            return _page(200, "This login is done already. You can close this page.")
        code = request.query.get("code", "")
        if not code:
            reason = clean_text(request.query.get("error", "it sent no code"))
            self._code.set_exception(LoginRequiredError(f"the login was refused on the page ({reason}); log in again"))
            return _page(400, f"The login was refused ({reason}).")
        self._code.set_result(code)
        return _page(200, "You can close this page, and go on at the command line.")


def _page(status: int, sentence: str) -> web.Response:
    return web.Response(status=status, text=_PAGE.format(escape(sentence)), content_type="text/html")
