"""Sources of tokens: what a client asks for the token of a location."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from msgspec import Struct

from ..clock import Clock
from ..errors import ConfigurationError
from ..protocol import Request, T
from ..protocol.text import Secret


class TokenSource(Protocol):
    """Gives the token of a location, and a better one where it can."""

    async def token(self, location_id: str) -> str:
        """Return the token to send for this location."""

    async def refresh(self, location_id: str, refused: str) -> bool:
        """Replace a token that was refused.

        Returns:
            Whether there is now another one, so that the call may be tried once more.
        """


class Send(Protocol):
    """Sends a request as the client sends its own: within the limits, and again where that is safe."""

    async def __call__(self, request: Request[T], token: str) -> T:
        """Return the value of the answer, or raise what it means. An empty token is not sent."""


class Line(Struct, frozen=True, eq=False):
    """What a client hands to a source that has to ask the service for its tokens.

    Attributes:
        send: The way to the service.
        base_url: Where it leads.
        api_version: How the service is to be spoken to.
        clock: Where time comes from.
    """

    send: Send
    base_url: str
    api_version: str
    clock: Clock


@runtime_checkable
class ConnectedTokenSource(TokenSource, Protocol):
    """A source that asks the service for its tokens, through the clients that use it."""

    def connect(self, line: Line) -> None:
        """Take the way to the service, when a client opens.

        Raises:
            LeadConnectorError: The source cannot be used by this client; it does not open.
        """

    async def disconnect(self, line: Line) -> None:
        """Finish what is under way, when a client closes. The way is open until this returns."""


def check_token(token: object) -> str:
    """Trim a token, as a line end from a file is a classic cause of 401.

    Raises:
        ConfigurationError: It is empty or cannot stand in a header.
    """
    if not isinstance(token, str):
        raise ConfigurationError(f"a token is a text, not {type(token).__name__}")
    token = token.strip()
    if not token:
        raise ConfigurationError("the token is empty; pass a Private Integration Token of your location")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError("the token has characters that no token has; copy it once more")
    return Secret(token)


class FixedToken:
    """A Private Integration Token, or any token that somebody else keeps fresh.

    Args:
        token: The token; white space around it is cut off.

    Raises:
        ConfigurationError: It is empty or cannot stand in a header.
    """

    __slots__ = ("value",)

    def __init__(self, token: str) -> None:
        self.value = check_token(token)

    def __repr__(self) -> str:
        return "FixedToken(...)"

    async def token(self, location_id: str) -> str:
        """Return the one token, whatever the location."""
        return self.value

    async def refresh(self, location_id: str, refused: str) -> bool:
        """Return False: a fixed token cannot be replaced."""
        return False
