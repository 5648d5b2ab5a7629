"""Counters and histograms through OpenTelemetry, where its API is installed (extra `telemetry`).

leadconnector.calls                   calls sent, by method and by status or kind of error
leadconnector.call.duration           seconds from a call's sending to the end of its answer, by the same
leadconnector.slot.wait.duration      seconds that a call waited for a slot of its location, by lane
leadconnector.retries                 calls tried again, by kind of error
leadconnector.rate_limited            calls answered 429
leadconnector.outcomes                rows of loads, by outcome
leadconnector.quota.remaining         calls left of the window, as the service last told, by location
leadconnector.quota.daily_remaining   calls left of the day, as the service last told, by location
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..clock import Clock
from ..errors import CallError
from ..limits.limit import Slot, Window
from ..protocol import Request
from ..protocol.answers import Response, read_quota
from ..version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

_log = logging.getLogger(__name__)

Exchange: TypeAlias = Callable[[Request[Any], str], Awaitable[Response]]

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
        from opentelemetry.metrics import get_meter

        meter = get_meter("leadconnector_async", __version__, provider)
        self._clock = clock
        self._has_failed = False
        self._calls = meter.create_counter("leadconnector.calls", "{call}", "Calls sent")
        self._retries = meter.create_counter("leadconnector.retries", "{call}", "Calls tried again")
        self._rate_limited = meter.create_counter("leadconnector.rate_limited", "{call}", "Calls answered 429")
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

    async def acquire(self, window: Window, *, bulk: bool) -> Slot:
        """Take a slot and note how long it took; where it is refused or cancelled, nothing is noted."""
        began = self._clock.monotonic()
        slot = await window.acquire(bulk=bulk)
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

    def watching(self, exchange: Exchange) -> Exchange:
        """Return the same exchange, counted and timed."""

        async def watched(request: Request[Any], token: str) -> Response:
            began = self._clock.monotonic()
            try:
                response = await exchange(request, token)
            except BaseException as error:
                self._note_call(began, request, "error.type", type(error).__name__)
                raise
            self._note_call(began, request, "http.response.status_code", response.status)
            self._note_answer(request.location_id, response)
            return response

        return watched

    def _note_call(self, began: float, request: Request[Any], name: str, value: str | int) -> None:
        attributes = {"http.request.method": request.method, name: value}
        self._tell(self._calls.add, 1, attributes)
        self._tell(self._duration.record, self._clock.monotonic() - began, attributes)

    def _note_answer(self, location_id: str, response: Response) -> None:
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._tell(self._rate_limited.add, 1, {})
        quota = read_quota(response.headers)
        if quota is None:
            return
        location = {"leadconnector.location_id": location_id}
        if quota.remaining is not None:
            self._tell(self._quota.set, quota.remaining, location)
        if quota.daily_remaining is not None:
            self._tell(self._daily.set, quota.daily_remaining, location)

    def count_retry(self, error: CallError) -> None:
        """Note that a call is tried again after this error."""
        self._tell(self._retries.add, 1, {"error.type": type(error).__name__})

    def count_outcome(self, status: str) -> None:
        """Note that a row of a load has an outcome."""
        self._tell(self._outcomes.add, 1, {"leadconnector.outcome": status})
