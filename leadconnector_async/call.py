"""One call and what became of its tries so far."""

from __future__ import annotations

from typing import Generic

from .protocol import Request, T


class Call(Generic[T]):
    """One call and what became of its tries so far.

    Attributes:
        request: What is asked.
        attempts: Tries sent, those answered 429 not counted.
        rate_limited: Tries answered 429.
        in_flight: Whether a try is out now.
        is_halted: Set from outside to have no further try begun.
        sent_at: When the last try was sent, in seconds since 1970 by this machine.
        doubted_at: When the first try began that may have been applied without saying so, in seconds since 1970 by this
            machine, or None.
        server_ahead: How many seconds the server's clock is ahead of this machine's, by its last answer, or None.
    """

    # Most calls succeed at once and never change these.
    attempts: int = 0
    rate_limited: int = 0
    in_flight: bool = False
    is_halted: bool = False
    sent_at: float = 0.0
    doubted_at: float | None = None
    server_ahead: float | None = None

    def __init__(self, request: Request[T]) -> None:
        self.request = request

    def begin_try(self, now: float) -> None:
        """Note that a try is sent now, in seconds since 1970."""
        self.in_flight = True
        self.attempts += 1
        self.sent_at = now

    def doubt(self) -> None:
        """Note that the last try may have been applied although no answer says so."""
        if self.doubted_at is None:
            self.doubted_at = self.sent_at

    def doubt_if_in_flight(self) -> None:
        """Note the same of a try that is cut off in its midst."""
        if self.in_flight:
            self.doubt()
