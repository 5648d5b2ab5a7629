"""How many times as long importing the client takes as importing aiohttp and msgspec alone, and `--version` as Python.

Measure: the CPU time of a fresh process that imports, less that of one that imports nothing, and the ratio of the two
within each round; the median of the rounds is what counts. The package itself imports a name when it is asked for, so
the client is what is measured. All processes find compiled modules, as after an installation, whatever the environment
says of writing them. Milliseconds are printed only: how many there are is up to the machine.

    python benchmarks/bench_import.py [--rounds 15] [--most 2.2]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from machine import describe

NEEDED = "import aiohttp, msgspec"
OURS = "from leadconnector_async import LeadConnector"
WITH_SANDBOX = "from leadconnector_async.sandbox import Sandbox"
VERSION = "import sys; sys.argv[1:] = ['--version']; from leadconnector_async.cli import main; main()"
STATEMENTS = (NEEDED, OURS, WITH_SANDBOX, VERSION)


def milliseconds(statement: str, environ: Mapping[str, str]) -> float:
    """The CPU time of a process that does this, its children's clock read before and after."""
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True, env=environ)
    after = os.times()
    return 1000 * (after.children_user + after.children_system - before.children_user - before.children_system)


def one_round(environ: Mapping[str, str]) -> dict[str, float]:
    nothing = milliseconds("pass", environ)
    return {statement: max(milliseconds(statement, environ) - nothing, 0.1) for statement in STATEMENTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--most", type=float, default=2.2, help="times as long; more is a failure")
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        one_round(environ)  # compiles them
        rounds = [one_round(environ) for _ in range(options.rounds)]
    for statement in STATEMENTS:
        print(f"{statement[:60]:60} {statistics.median(times[statement] for times in rounds):6.0f} ms")
    ratio = statistics.median(times[OURS] / times[NEEDED] for times in rounds)
    print(f"ratio: {ratio:.2f}, median of {options.rounds} rounds")
    if ratio > options.most:
        sys.exit(f"the client takes {ratio:.2f} times as long as {NEEDED!r}, and {options.most:g} times are allowed")


main()
