"""What OpenTelemetry is told is what happened; without it nothing is told and nothing breaks."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from leadconnector_async import DailyQuotaExceededError, RateLimit, RetryPolicy
from tests.conftest import LOCATION, OpenSandbox
from tests.fake_clock import FakeClock
from tests.waiting import PATIENCE


class Meters:
    """What was counted, by instrument: each attribute's value as text, and the number or the number of times."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def read(self) -> dict[str, dict[tuple[str, ...], float]]:
        data = self.reader.get_metrics_data()
        metrics = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        return {
            metric.name.removeprefix("leadconnector."): {
                tuple(str(value) for _, value in sorted((point.attributes or {}).items())): self._number(point)
                for point in metric.data.data_points
            }
            for metric in metrics
        }

    @staticmethod
    def _number(point: Any) -> float:
        return float(point.count if hasattr(point, "count") else point.value)


@pytest.fixture
def meters() -> Iterator[Meters]:
    meters = Meters()
    yield meters
    meters.provider.shutdown()


async def test_calls_and_outcomes_of_a_load_are_counted(
    open_sandbox: OpenSandbox, connect: OpenSandbox, meters: Meters
) -> None:
    sandbox = await open_sandbox()
    for fault in ("500", "429", "reset-after"):
        sandbox.fail_next(fault)
    client = await connect(sandbox, meter_provider=meters.provider)
    rows: list[dict[str, str]] = [{"email": f"p{n}@example.com"} for n in range(20)] + [{"first_name": "nobody"}]
    report = await client.contacts.bulk_upsert(rows)

    told = meters.read()
    calls = told["calls"]
    assert calls == {("POST", "500"): 1, ("POST", "429"): 1, ("ConnectionLostError", "POST"): 1, ("POST", "200"): 20}
    assert sum(calls.values()) == report.requests == sandbox.requests
    assert told["call.duration"] == calls
    assert sum(told["retries"].values()) == report.retries + report.rate_limited
    assert told["retries"] == {("ServerError",): 1, ("RateLimitedError",): 1, ("ConnectionLostError",): 1}
    assert told["rate_limited"] == {(): 1}
    assert told["outcomes"] == {(status,): n for status, n in Counter(o.status for o in report.outcomes).items()}
    assert told["slot.wait.duration"] == {("bulk",): 23}


async def test_what_is_left_of_the_quota_is_told_by_location(
    open_sandbox: OpenSandbox, connect: OpenSandbox, meters: Meters
) -> None:
    sandbox = await open_sandbox(max_requests=30, daily=500)
    client = await connect(sandbox, meter_provider=meters.provider)
    for location in (LOCATION, LOCATION, "other"):
        await client.contacts.upsert({"email": "a@example.com", "location_id": location})
    told = meters.read()
    assert told["quota.remaining"] == {(LOCATION,): 28, ("other",): 29}
    assert told["quota.daily_remaining"] == {(LOCATION,): 498, ("other",): 499}
    assert told["slot.wait.duration"] == {("single",): 3}


async def test_a_call_that_was_not_sent_is_not_counted(
    open_sandbox: OpenSandbox, connect: OpenSandbox, meters: Meters
) -> None:
    sandbox = await open_sandbox()
    limit = RateLimit(daily=1)
    client = await connect(sandbox, meter_provider=meters.provider, rate_limit=limit, retry=RetryPolicy(max_attempts=1))
    await client.contacts.upsert({"email": "a@example.com"})
    with pytest.raises(DailyQuotaExceededError):
        await client.contacts.upsert({"email": "b@example.com"})
    assert meters.read()["calls"] == {("POST", "200"): 1}


async def test_attributes_name_nobody(open_sandbox: OpenSandbox, connect: OpenSandbox, meters: Meters) -> None:
    sandbox = await open_sandbox(token="pit-very-secret")
    client = await connect(sandbox, token="pit-very-secret", meter_provider=meters.provider)
    contact = await client.contacts.upsert({"email": "rosan@deos.com", "phone": "+18887324197"})
    await client.contacts.get(contact.contact.id)
    seen = str(meters.read())
    assert all(secret not in seen for secret in ("pit-very-secret", "rosan", "8887324197", contact.contact.id))


class BrokenInstrument:
    """It raises, as those of no SDK may."""

    def add(self, *_: Any) -> None:
        raise RuntimeError("broken")

    record = set = add


class BrokenProvider(NoOpMeterProvider):
    def get_meter(self, *_: Any, **__: Any) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: BrokenInstrument()


async def test_instruments_that_raise_change_no_outcome(
    open_sandbox: OpenSandbox, connect: OpenSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = await open_sandbox(max_requests=3)
    client = await connect(sandbox, meter_provider=BrokenProvider())
    report = await client.contacts.bulk_upsert([{"email": f"p{n}@example.com"} for n in range(10)])
    assert report.created == 10
    assert sum("got lost" in record.getMessage() for record in caplog.records) == 1


async def test_an_opentelemetry_that_is_too_old_is_as_none(
    monkeypatch: pytest.MonkeyPatch, open_sandbox: OpenSandbox, connect: OpenSandbox
) -> None:
    def get_meter(*_: Any) -> Any:
        raise TypeError("unexpected keyword argument 'explicit_bucket_boundaries_advisory'")

    monkeypatch.setattr("opentelemetry.metrics.get_meter", get_meter)
    client = await connect(await open_sandbox())
    assert client.telemetry is None
    assert (await client.contacts.upsert({"email": "a@example.com"})).new


def test_without_opentelemetry_a_client_works_and_nothing_is_imported() -> None:
    script = """
import asyncio, sys
sys.modules["opentelemetry"] = None  # as where it is not installed
from leadconnector_async import LeadConnector
from leadconnector_async.sandbox import Sandbox

async def main():
    async with Sandbox() as sandbox, LeadConnector("sandbox", base_url=sandbox.url, location_id="L") as client:
        assert client.telemetry is None
        assert (await client.contacts.bulk_upsert([{"email": "a@example.com"}])).created == 1

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=PATIENCE)


def test_importing_the_package_does_not_import_opentelemetry() -> None:
    script = "import sys; from leadconnector_async import LeadConnector\n"
    script += "assert not any(module.startswith('opentelemetry') for module in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=PATIENCE)


async def test_nothing_is_counted_until_the_application_sets_a_provider(
    open_sandbox: OpenSandbox, connect: OpenSandbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry's stand-in would take each count, at its cost, and drop it."""
    client = await connect(await open_sandbox())
    assert client.telemetry is not None
    counted = Mock()
    monkeypatch.setattr(client.telemetry, "_tell", counted)
    assert (await client.contacts.bulk_upsert([{"email": f"p{n}@example.com"} for n in range(5)])).created == 5
    assert counted.call_count == 0
    monkeypatch.setattr(client.telemetry, "_find_provider", NeverExported)
    await clock.sleep(1.1)  # it is looked up once a second
    assert (await client.contacts.upsert({"email": "a@example.com"})).new
    assert counted.call_count == 5  # wait, call, duration, what is left of window and day


class NeverExported:
    """An application's own provider."""
