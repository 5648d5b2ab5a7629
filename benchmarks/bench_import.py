"""How many times as long importing the package takes as importing aiohttp and msgspec alone.

Measure: the time of the import statement in a fresh process, and the ratio of the two within each round; the median of
the rounds is what counts. Milliseconds are printed only: how many there are is up to the machine.

    python benchmarks/bench_import.py [--rounds 15] [--most 2.2]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from machine import describe

_TIMED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
NEEDED = "aiohttp, msgspec"
OURS = "leadconnector_async"
WITH_SANDBOX = "leadconnector_async.sandbox"


def milliseconds(modules: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(modules)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--most", type=float, default=2.2, help="times as long; more is a failure")
    options = parser.parse_args()
    print(describe())
    for modules in (NEEDED, OURS, WITH_SANDBOX):
        milliseconds(modules)  # warm up: compiles what was not
    rounds = [
        {modules: milliseconds(modules) for modules in (NEEDED, OURS, WITH_SANDBOX)} for _ in range(options.rounds)
    ]
    for modules in (NEEDED, OURS, WITH_SANDBOX):
        print(f"{modules:28} {statistics.median(times[modules] for times in rounds):6.0f} ms")
    ratio = statistics.median(times[OURS] / times[NEEDED] for times in rounds)
    print(f"ratio: {ratio:.2f}, median of {options.rounds} rounds")
    if ratio > options.most:
        sys.exit(f"importing takes {ratio:.2f} times as long as {NEEDED}, and {options.most:g} times are allowed")


main()
