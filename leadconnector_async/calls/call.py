"""One call and what became of its tries so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic

from ..protocol import Request, T
from .server_clock import ServerClock


class Call(Generic[T]):
    """One call and what became of its tries so far.

    Attributes:
        request: What is asked.
        attempts: Tries sent, those answered 429 not counted.
        rate_limited: Tries answered 429.
        is_bulk: Whether it is one of a load, and lets single calls go first.
        forgiven: How many of the attempts fell into an outage, and do not count against the retry policy.
        in_flight: Whether a try is out now.
        before_send: Awaited once, when the first try has its slot and before it is sent; where it raises, nothing is.
        on_retry: Called when a try has failed and another is to be made, before the wait for it.
        is_for_source: Whether the token source sends it, and closing waits for it.
        token: What the last try was sent with, where the source gives more than one; what the source itself sends with.
        lacks_token: Whether the source was asked for a token, and gave none.
        limited_since: Since when it is answered nothing but 429, by the client's monotonic clock, or None.
        is_halted: Set from outside to have no further try begun.
        sent_at: When the last try was sent, by the client's monotonic clock: this machine's date may be set meanwhile.
        doubted_at: When the first try began that may have been applied without saying so, by the same clock, or None.
        doubted_span: The same moment by the server's clock, in seconds since 1970: the earliest and the latest that it
            can be; None where no answer had told the server's time by then.
    """

    # Most calls succeed at once and never change these.
    attempts: int = 0
    rate_limited: int = 0
    is_bulk: bool = False
    forgiven: int = 0
    in_flight: bool = False
    is_halted: bool = False
    is_for_source: bool = False
    token: str = ""
    lacks_token: bool = False
    limited_since: float | None = None
    sent_at: float = 0.0
    doubted_at: float | None = None
    before_send: Callable[[], Awaitable[None]] | None = None
    on_retry: Callable[[], None] | None = None
    doubted_span: tuple[float, float] | None = None

    def __init__(self, request: Request[T]) -> None:
        self.request = request

    def begin_try(self, now: float) -> None:
        """Note that a try is sent now, by the monotonic clock."""
        self.in_flight = True
        self.attempts += 1
        self.sent_at = now

    def span(self, server_clock: ServerClock, now: float) -> tuple[float, float] | None:
        """Return between which moments, by the server's clock, it was applied; None where no answer told its time.

        Args:
            server_clock: The server's time.
            now: When its answer was there, by the monotonic clock.
        """
        began = server_clock.span(self.sent_at) if self.doubted_at is None else self.doubted_span
        ended = server_clock.span(now)
        return None if began is None or ended is None else (began[0], ended[1])

    def doubt(self, server_clock: ServerClock) -> None:
        """Note that the last try may have been applied although no answer says so."""
        if self.doubted_at is None:
            self.doubted_at = self.sent_at
            self.doubted_span = server_clock.span(self.sent_at)
