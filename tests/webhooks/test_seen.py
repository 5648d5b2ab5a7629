"""What was seen is remembered for its time, in bounded memory, and by any number of threads as by one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from leadconnector_async import ConfigurationError
from leadconnector_async.webhooks import SeenInMemory
from tests.fake_clock import FakeClock


def test_a_delivery_is_new_once_until_its_time_is_over() -> None:
    clock = FakeClock()
    seen = SeenInMemory(clock=clock)
    assert seen.add("a", 10)
    clock.now += 9.9
    assert not seen.add("a", 10)
    clock.now += 0.1
    assert seen.add("a", 10)


def test_what_is_over_leaves_even_behind_one_that_is_not() -> None:
    clock = FakeClock()
    seen = SeenInMemory(clock=clock)
    assert seen.add("long", 100)
    assert seen.add("short", 1)
    clock.now += 50
    assert seen.add("short", 1)
    assert not seen.add("long", 1)


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    seen = SeenInMemory(max_deliveries=3, clock=FakeClock())
    assert all(seen.add(name, 10) for name in "abcd")
    assert len(seen) == 3
    assert seen.add("a", 10)
    assert not seen.add("d", 10)
    with pytest.raises(ConfigurationError, match="at least 1"):
        SeenInMemory(max_deliveries=0)


def test_one_of_many_threads_is_the_first() -> None:
    seen = SeenInMemory()
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            name = f"delivery {number}"
            assert sum(pool.map(lambda _, name=name: seen.add(name, 10), range(16))) == 1
