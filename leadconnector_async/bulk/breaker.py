"""A circuit breaker: while the service is down, work waits and probes instead of failing.

An item is given up when all tries of one of its calls failed and may do better later. It is sent again until the
service answers it, or it has failed on its own: it alone was given up, the service answered others, and both happened
once more. Two that are given up with nothing answered in between, or one twice, mean an outage. Then the breaker opens:
one item at a time is sent as a probe, with growing pauses, and the others wait. What is answered closes it, also where
the call was sent before it opened; a refusal is an answer, too.

So an outage fails no item, also where the service comes back for a moment only: several are given up in it, and what is
given up together with others is never held against any of them.

A worker asks the breaker after it has its item. Asked before, workers that wait for an item would not know of an outage
that begins meanwhile, and would send what comes without asking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ..calls.call import Call, CallCounter, counting
from ..calls.caller import Caller
from ..calls.retry import is_worth_repeating
from ..errors import CallError, ConnectFailedError, LeadConnectorError, OutageError
from ..protocol import Scope
from ..protocol.locations import build_location_get
from .backlog import Item

_log = logging.getLogger(__name__)

_TIMES_THAT_OPEN: Final = 2  # that items are given up with nothing answered in between
_TIMES_THAT_FAIL: Final = 2  # that an item is given up on its own, each time followed by an answer to another
_NO_LOCATION: Final = "00000000000000000000"  # has the shape of an id
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 30.0
_LONGEST_UNHEARD: Final = 30.0  # where no connection to the address ever came about
_ADDRESS_ADVICE: Final = "check the base URL and the network, and whether they need a proxy"
_CERTIFICATE_ADVICE: Final = (
    "check the base URL; where a company's proxy or a server of your own signs certificates, name the file of its "
    "authority in SSL_CERT_FILE"
)


class _Doubt:
    """An item that was given up, and is neither answered nor settled since.

    Attributes:
        error: What its call came back with last.
        recent: How often it was given up since the service last answered anything.
        alone: How often the service answered others after it was given up, and nothing else was.
    """

    __slots__ = ("alone", "error", "recent")

    def __init__(self) -> None:
        self.error: CallError | None = None
        self.recent = self.alone = 0


class Breaker:
    """Open while the service is down: then one item at a time is let through, with growing pauses.

    Args:
        caller: Has the clock, says how long an outage may last, and asks the service where there is no other probe.
        waits_for_address: Whether to wait as long where no connection to the address ever came about: a service that
            starts together with its network, rather than somebody who waits in front of a wrong address.

    Attributes:
        calls: Counts the calls that it makes itself, unless whoever uses it counts all calls.
        on_pause: Called with the address and the reason when work pauses, and with None when it goes on.
    """

    def __init__(self, caller: Caller, *, waits_for_address: bool = False) -> None:
        self._caller = caller
        self._clock = caller.clock
        self._longest = caller.retry.max_outage
        self._longest_unheard = self._longest if waits_for_address else min(_LONGEST_UNHEARD, self._longest)
        self._opened_at: float | None = None
        self._pause = _FIRST_PAUSE
        self._probe: Item | None = None
        self._end_pause: Callable[[], None] = lambda: None
        self._turn = asyncio.Event()  # set, and replaced, when another item may become the probe
        self._began = self._clock.monotonic()
        self._doubts: dict[Item, _Doubt] = {}
        self._recent: dict[Item, _Doubt] = {}  # those that were given up since the service last answered
        self.calls = CallCounter()
        self.on_pause: Callable[[str | None], None] = lambda _: None
        self._is_down = False  # whether a question that has nothing to do with any item was not answered either

    @property
    def is_open(self) -> bool:
        """Whether items wait."""
        return self._opened_at is not None

    @property
    def is_quiet(self) -> bool:
        """Whether `enter` would return at once, for any item: callers in a hurry may leave it out."""
        return self._opened_at is None and not self._doubts

    @property
    def open_for(self) -> float:
        """Seconds since it opened; 0 where it is closed."""
        return 0.0 if self._opened_at is None else self._clock.monotonic() - self._opened_at

    async def enter(self, item: Item, *, is_repeatable: bool = True) -> CallError | None:
        """Return when an item may be sent: at once where the breaker is closed, else as the probe after a pause.

        Call `leave` when the item was sent, whatever came of it, also where this is cancelled.

        Args:
            item: Which.
            is_repeatable: Whether it does no harm to send it in vain. If not, it is only sent once the service has
                answered another question: each that is lost would have to be looked up by hand.

        Returns:
            None where it is to be sent; what its call came back with last where it has failed on its own.

        Raises:
            OutageError: The service has been down for longer than the retry policy waits.
        """
        while self.is_open and self._find_failure(item) is None:
            if self._probe is None:
                self._probe = item
                await self._wait_out()
                if await self._may_probe(item, is_repeatable=is_repeatable):
                    break
                self._next_turn()
            else:
                await self._turn.wait()
        return self._find_failure(item)

    def _find_failure(self, item: Item) -> CallError | None:
        doubt = self._doubts.get(item)
        return doubt.error if doubt is not None and doubt.alone >= _TIMES_THAT_FAIL else None

    async def _wait_out(self) -> None:
        """Wait until the pause is over, or the breaker is closed."""
        over = asyncio.Event()
        self._end_pause = over.set
        timer = self._clock.call_at(self._clock.monotonic() + self._pause, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def _may_probe(self, item: Item, *, is_repeatable: bool) -> bool:
        """Whether to send an item after the pause.

        An item that alone is in doubt proves nothing by failing once more: there may be no other that could succeed. So
        the service is asked for its location first, or where it is about none (names of locations, with a token of an
        agency), for one that does not exist. An answer to that, a refusal as well, counts like one to another item;
        without one, the outage goes on. Of several items in doubt none is judged by that: the service may read what is
        there, and take nothing.
        """
        is_alone = self._recent.keys() == {item}
        if not self.is_open or (is_repeatable and not is_alone):
            return True
        request = build_location_get(Scope(item.location_id or _NO_LOCATION, self._caller.api_version))
        try:
            with counting(self.calls):
                await self._caller.send(Call(request))
        except CallError as error:
            if is_worth_repeating(error):
                self._is_down = True
                self._lengthen(error)
                self._check_address(error)
                return False
        except LeadConnectorError:  # a token, a spent day: the item's own call meets it, and is judged by it
            return True
        if is_alone:
            self._note_answer()
        return True

    def succeed(self, item: Item) -> None:
        """Say that the service answered what an item asked."""
        self.forget(item)
        self._note_answer()

    def _note_answer(self) -> None:
        if self._recent:
            is_alone = len(self._recent) == 1 and not self._is_down
            for doubt in self._recent.values():
                doubt.alone += is_alone
                doubt.recent = 0
            self._recent.clear()
        self._is_down = False
        if self.is_open:
            _log.warning("%s answers again after %.0f s; work goes on", self._caller.target, self.open_for)
            self.close()

    def give_up(self, item: Item, error: CallError) -> None:
        """Say that an item was given up, and will be sent again later.

        Raises:
            OutageError: The service has been down for longer than the retry policy waits.
        """
        doubt = self._recent[item] = self._doubts.setdefault(item, _Doubt())
        doubt.error = error
        doubt.recent += 1
        if not self.is_open and sum(one.recent for one in self._recent.values()) >= _TIMES_THAT_OPEN:
            self._open(error)
        elif self._probe is item:
            self._lengthen(error)
        self._check_address(error)

    def _open(self, error: CallError) -> None:
        _log.warning("%s does not answer (%s); work pauses until it does", self._caller.target, error)
        self._opened_at = self._clock.monotonic()
        self._pause = _FIRST_PAUSE
        self.on_pause(f"{self._caller.target} does not answer ({error})")

    def _check_address(self, error: CallError) -> None:
        """Stop where waiting is pointless, or soon where no connection ever came about: the address may be wrong."""
        caller = self._caller
        if not isinstance(error, ConnectFailedError):
            return
        if error.is_permanent:
            raise OutageError(f"{caller.target} cannot be used ({error}); {_CERTIFICATE_ADVICE}")
        if caller.has_answered or caller.unreached_since is None:
            return
        since = max(caller.unreached_since, self._began)
        if self._clock.monotonic() - since >= self._longest_unheard:
            raise OutageError(f"{caller.target} was never reached ({error}); {_ADDRESS_ADVICE}")

    def _lengthen(self, error: CallError) -> None:
        """Have the next probe wait longer, after one has failed."""
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if self.open_for > self._longest:
            raise OutageError(f"the service has answered no call for {self._longest:.0f} s ({error}); try again later")

    def forget(self, item: Item) -> None:
        """Say that an item is settled, and is not sent again. That it was given up stays true."""
        self._doubts.pop(item, None)

    def leave(self, item: Item) -> None:
        """Say that an item was sent, whatever came of it: if it was the probe, the next one may be."""
        if self._probe is item:
            self._next_turn()

    def close(self) -> None:
        """Let all items through."""
        if self.is_open:
            self.on_pause(None)
        self._opened_at = None
        self._end_pause()
        self._next_turn()

    def _next_turn(self) -> None:
        # All that wait look again: a single one that is woken could be cancelled at that moment, and nobody would go.
        self._probe = None
        self._turn.set()
        self._turn = asyncio.Event()
