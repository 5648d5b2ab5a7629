"""Where a token comes from."""

from __future__ import annotations

from typing import Protocol

from .errors import ConfigurationError


class TokenSource(Protocol):
    """Gives the token of a location, and a better one where it can."""

    async def token(self, location_id: str) -> str:
        """Return the token to send for this location."""

    async def refresh(self, location_id: str, refused: str) -> bool:
        """Replace a token that was refused.

        Returns:
            Whether there is now another one, so that the call may be tried once more.
        """


def check_token(token: str) -> str:
    """Trim a token, as a line end from a file is a classic cause of 401.

    Raises:
        ConfigurationError: It is empty or cannot stand in a header.
    """
    token = token.strip()
    if not token:
        raise ConfigurationError("the token is empty; pass a Private Integration Token of your location")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigurationError("the token has characters that no token has; copy it once more")
    return token


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
