"""Counters and histograms through OpenTelemetry, where its API is installed (extra `telemetry`).

leadconnector.calls                   calls sent, by method and by status or kind of error
leadconnector.call.duration           seconds from a call's sending to the end of its answer, by the same
leadconnector.slot.wait.duration      seconds that a call waited for a slot of its location, by lane
leadconnector.retries                 retries of calls, by kind of error
leadconnector.rate_limited            calls that were rate-limited (HTTP 429)
leadconnector.outcomes                rows of loads, by outcome
leadconnector.quota.remaining         calls left of the window, as the service last told, by location
leadconnector.quota.daily_remaining   calls left of the day, as the service last told, by location
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from ..clock import Clock
from ..errors import CallError
from ..limits.limit import Slot, Window
from ..protocol import Request
from ..protocol.answers import Quota
from ..version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 1.0
_CALL_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAIT_SECONDS: Final = (0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 600.0)


def find_telemetry(clock: Clock, provider: MeterProvider | None) -> Telemetry | None:
    """Return where to count, or None where OpenTelemetry is not installed, or too old."""
    try:
        return Telemetry(clock, provider)
    except ModuleNotFoundError:
        return None
    except (ImportError, TypeError, AttributeError) as error:
        _log.warning("nothing is counted: this OpenTelemetry is of another version (%s)", error)
        return None


class Telemetry:
    """The instruments of one client.

    Args:
        clock: Where time comes from.
        provider: Where the counts go; None for the application's own (`opentelemetry.metrics.set_meter_provider`).

    Raises:
        ModuleNotFoundError: OpenTelemetry is not installed.
    """

    def __init__(self, clock: Clock, provider: MeterProvider | None) -> None:
        from opentelemetry.metrics import get_meter, get_meter_provider

        meter = get_meter("leadconnector_async", __version__, provider)
        self._clock = clock
        self._find_provider = get_meter_provider
        self._is_heard = self._is_given = provider is not None
        self._look_again_at = -math.inf
        self._has_failed = False
        self._calls = meter.create_counter("leadconnector.calls", "{call}", "Calls sent")
        self._retries = meter.create_counter("leadconnector.retries", "{call}", "Retries of calls")
        self._rate_limited = meter.create_counter(
            "leadconnector.rate_limited", "{call}", "Rate-limited calls (HTTP 429)"
        )
        self._outcomes = meter.create_counter("leadconnector.outcomes", "{row}", "Rows of loads that have an outcome")
        self._duration = meter.create_histogram(
            "leadconnector.call.duration",
            "s",
            "From the sending of a call to the end of its answer",
            explicit_bucket_boundaries_advisory=_CALL_SECONDS,
        )
        self._wait = meter.create_histogram(
            "leadconnector.slot.wait.duration",
            "s",
            "How long a call waited for a slot of its location",
            explicit_bucket_boundaries_advisory=_WAIT_SECONDS,
        )
        self._quota = meter.create_gauge(
            "leadconnector.quota.remaining", "{call}", "Calls left of a location's window, as last told"
        )
        self._daily = meter.create_gauge(
            "leadconnector.quota.daily_remaining", "{call}", "Calls left of a location's day, as last told"
        )

    def is_heard(self) -> bool:
        """Whether anybody listens: a meter provider was given or set. Looked up once a second, as it costs something.

        Until the application sets one, OpenTelemetry's stand-in takes each count, and drops it.
        """
        if self._is_given:
            return True
        now = self._clock.monotonic()
        if now >= self._look_again_at:
            self._look_again_at = now + _LOOK_SECONDS
            self._is_heard = not type(self._find_provider()).__module__.startswith("opentelemetry.metrics")
        return self._is_heard

    async def acquire(self, window: Window, *, bulk: bool) -> Slot | None:
        """Take a slot and note how long it took; where none is taken, nothing is noted."""
        began = self._clock.monotonic()
        slot: Slot | None = await window.acquire(bulk=bulk)
        if slot is None:
            return None
        lane = {"leadconnector.lane": "bulk" if bulk else "single"}
        self._tell(self._wait.record, self._clock.monotonic() - began, lane)
        return slot

    def _tell(self, tell: Callable[[Any, Any], None], amount: float, attributes: Mapping[str, str | int]) -> None:
        try:
            tell(amount, attributes)
        except Exception as error:  # it is the application's, and may be anything; no row may be told wrongly for it
            if not self._has_failed:
                _log.warning("what is counted got lost: the meter provider raised %s", type(error).__name__)
            self._has_failed = True

    def note_answer(self, request: Request[Any], status: int, quota: Quota | None, seconds: float) -> None:
        """Note that a call was answered, and what the answer says of the limits."""
        self._note_call(request, seconds, "http.response.status_code", status)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self._tell(self._rate_limited.add, 1, {})
        if quota is None:
            return
        location = {"leadconnector.location_id": request.location_id}
        if quota.remaining is not None:
            self._tell(self._quota.set, quota.remaining, location)
        if quota.daily_remaining is not None:
            self._tell(self._daily.set, quota.daily_remaining, location)

    def note_failure(self, request: Request[Any], error: BaseException, seconds: float) -> None:
        """Note that a call was sent, and has no answer."""
        self._note_call(request, seconds, "error.type", type(error).__name__)

    def _note_call(self, request: Request[Any], seconds: float, name: str, value: str | int) -> None:
        attributes = {"http.request.method": request.method, name: value}
        self._tell(self._calls.add, 1, attributes)
        self._tell(self._duration.record, seconds, attributes)

    def count_retry(self, error: CallError) -> None:
        """Note that a call is retried after this error."""
        self._tell(self._retries.add, 1, {"error.type": type(error).__name__})

    def count_outcome(self, status: str) -> None:
        """Note that a row of a load has an outcome."""
        if self.is_heard():
            self._tell(self._outcomes.add, 1, {"leadconnector.outcome": status})
