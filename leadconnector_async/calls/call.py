"""One call: what it is, which never changes, and how its tries have ended so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any, Final, Generic, Literal

from msgspec import Struct, field

from ..protocol import Request, T
from .server_clock import ServerClock


class Ending(Enum):
    """How a try has ended, as far as it has.

    NOT_SENT -> OUT when its bytes begin to leave; OUT -> ANSWERED, or IN_DOUBT, or back to NOT_SENT where no connection
    came about. A slot is given back unused after NOT_SENT alone.
    """

    NOT_SENT = "not sent"
    OUT = "out"
    IN_DOUBT = "in doubt"
    ANSWERED = "answered"


# Looked up once: a member of an Enum costs more than a local name, and each call looks several times.
NOT_SENT: Final = Ending.NOT_SENT
OUT: Final = Ending.OUT
IN_DOUBT: Final = Ending.IN_DOUBT
ANSWERED: Final = Ending.ANSWERED


class Paused(Enum):
    """What comes of a row of a load whose location is paused: it gives way to others, and is sent later."""

    PAUSED = "paused"


PAUSED: Final[Literal[Paused.PAUSED]] = Paused.PAUSED


class Doubt(Struct, frozen=True):
    """A try that may have been applied although no answer said so.

    Attributes:
        sent_at: When it was sent, by the client's monotonic clock.
        ended_at: When it was given up, by the same clock.
        span: Its earliest beginning and its latest end by the server's clock, in seconds since 1970; None where no
            answer had told the server's time by then.
    """

    sent_at: float
    ended_at: float
    span: tuple[float, float] | None

    def span_by(self, server_clock: ServerClock) -> tuple[float, float] | None:
        """Return `span`, by what is known of the server's time now where nothing was known then."""
        return self.span or server_clock.span_of(self.sent_at, self.ended_at)


class Tries:
    """How the tries of one call have ended so far.

    Attributes:
        ending: How the last one ended.
        sent_at: When it was sent, by the client's monotonic clock: this machine's date may be set meanwhile.
        count: How many were sent; those that were rate-limited (HTTP 429) are not counted.
        unsent: How many never left, as no connection came about.
        rate_limited: How many were rate-limited (HTTP 429).
        limited_since: Since when there was nothing but 429, by the same clock, or None.
        limited_in_a_row: How many of the last tries were rate-limited (HTTP 429), with nothing else in between.
        forgiven: How many do not count against the retry policy, as they fell into an outage, or changed the call.
        doubts: Those that may have been applied although no answer said so, in order.
        token: What the last one was sent with, where the source gives more than one.
        is_halted: Set from outside to have no further try begun.
    """

    # Most calls succeed at once and change few of these.
    ending: Ending = NOT_SENT
    sent_at: float = 0.0
    count: int = 0
    unsent: int = 0
    rate_limited: int = 0
    limited_since: float | None = None
    limited_in_a_row: int = 0
    forgiven: int = 0
    doubts: tuple[Doubt, ...] = ()
    token: str = ""
    is_halted: bool = False

    @property
    def is_out(self) -> bool:
        """Whether a try is out now."""
        return self.ending is OUT

    @property
    def is_in_doubt(self) -> bool:
        """Whether the call may have been applied although no answer says so."""
        return bool(self.doubts)

    @property
    def made(self) -> int:
        """How many count against the retry policy, but for those forgiven: sent or not."""
        return self.count + self.unsent

    def begin(self, now: float) -> None:
        """Note that a try is sent now, by the monotonic clock."""
        self.ending = OUT
        self.count += 1
        self.sent_at = now

    def note_end(self, now: float, *, is_limited: bool) -> None:
        """Note whether a try that did not succeed was rate-limited (HTTP 429)."""
        self.limited_in_a_row = self.limited_in_a_row + 1 if is_limited else 0
        if not is_limited:
            self.limited_since = None
        elif self.limited_since is None:
            self.limited_since = now

    def never_left(self) -> None:
        """Note that no connection came about for the last try."""
        self.ending = NOT_SENT
        self.count -= 1
        self.unsent += 1

    def doubt_last(self, server_clock: ServerClock, now: float) -> None:
        """Note that the last try, given up now, may have been applied although no answer says so."""
        self.doubts += (Doubt(self.sent_at, now, server_clock.span_of(self.sent_at, now)),)

    def span(self, server_clock: ServerClock, now: float) -> tuple[float, float] | None:
        """Return between which moments, by the server's clock, the call was applied; None where no answer told its
        time.

        Args:
            server_clock: The server's time.
            now: When its answer was there, by the monotonic clock.
        """
        whole = server_clock.span_of(self.sent_at, now)
        first = self.doubts[0].span if self.doubts else whole
        return None if whole is None or first is None else (first[0], whole[1])


class Call(Struct, Generic[T], frozen=True, eq=False):
    """One call.

    Attributes:
        request: What is asked.
        is_bulk: Whether it is one of a load, and lets single calls go first.
        source_token: Where the token source itself sends it, to ask for a token: what it is sent with.
        before_send: Awaited when a try has its slot, before its bytes leave; where it raises, nothing is sent.
        on_retry: Called with the location when a try has failed and another is to be made, before the wait for it.
        is_counted: Whether whoever sends it counts its tries, as a row's outcome does. The tries of all other calls go
            to the counter of the task, if there is one; see `counting`.
        tries: How its tries have ended so far.
    """

    request: Request[T]
    is_bulk: bool = False
    source_token: str | None = None
    before_send: Callable[[], Awaitable[None]] | None = None
    on_retry: Callable[[str], None] | None = None
    is_counted: bool = False
    tries: Tries = field(default_factory=Tries)


# ---------------------------------------------------------------------------------------------- counting


class CallCount(Struct, frozen=True):
    """What some calls took.

    Attributes:
        requests: All tries.
        retries: Those beyond the first of each call, but for those that were rate-limited (HTTP 429).
        rate_limited: Those that were rate-limited (HTTP 429).
        in_doubt: Those that were about to be sent as a process was cut off: each may not have left.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    in_doubt: int = 0

    def plus(self, other: CallCount) -> CallCount:
        """Return both together."""
        return CallCount(
            self.requests + other.requests,
            self.retries + other.retries,
            self.rate_limited + other.rate_limited,
            self.in_doubt + other.in_doubt,
        )


NO_CALLS_COUNTED: Final = CallCount()


class CallCounter:
    """Adds up the tries of calls that nobody else counts."""

    def __init__(self) -> None:
        self._count = NO_CALLS_COUNTED

    def note(self, tries: Tries) -> None:
        """Count the tries of a call that has ended."""
        sent = tries.count + tries.rate_limited
        self._count = self._count.plus(CallCount(sent, max(tries.count - 1, 0), tries.rate_limited))

    def take(self) -> CallCount:
        """Return what was counted since the last time."""
        count, self._count = self._count, NO_CALLS_COUNTED
        return count


_COUNTER: Final[ContextVar[CallCounter | None]] = ContextVar("calls_counted", default=None)


@contextmanager
def counting(counter: CallCounter) -> Iterator[None]:
    """Count the calls of this task, and of tasks that it starts, unless a counter further out does so already."""
    if _COUNTER.get() is not None:
        yield
        return
    token = _COUNTER.set(counter)
    try:
        yield
    finally:
        _COUNTER.reset(token)


def count_tries(call: Call[Any]) -> None:
    """Count the tries of a call that has ended, where somebody wants to know and does not count them already."""
    if not call.is_counted and (counter := _COUNTER.get()) is not None:
        counter.note(call.tries)
