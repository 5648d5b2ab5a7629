"""Time and peak memory of `leadconnector plan` on CSV files of 10,000 and of 1,000,000 rows, and what it costs a load
to look for rows that share a phone.

Measure: seconds, and the peak resident size of a fresh process for each. A tenth of the rows share a phone with another
person's. The look is that of `upsert --dry-run`, with and without it, by user CPU.

    python benchmarks/bench_plan.py [--rows 1000000] [--few 10000]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

MAIN = "from leadconnector_async.cli import main; main()"


def write_people(path: Path, count: int) -> Path:
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        file.write("email,firstName,lastName,phone,city,tags\n")
        for number in range(count):
            shared = number // 3 if chance.random() < 0.1 else number
            file.write(f"p{number}@example.com,First,Last{number},+1617{shared:07},Boston,customer\n")
    return path


def run(*arguments: str) -> tuple[float, float, float]:
    """Return seconds, user CPU, and peak megabytes of a command."""
    command = [sys.executable, "-c", MAIN, *arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LEADCONNECTOR_")}
    began = time.monotonic()
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (arguments, process.returncode)
    return time.monotonic() - began, used.ru_utime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=10_000)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for count in (options.few, options.rows):
            path = str(write_people(Path(folder) / f"{count}.csv", count))
            seconds, cpu, peak = run("plan", path, "--offline", "--location", "L", "--json")
            peaks.append(peak)
            print(f"plan, {count:9,} rows: {seconds:6.1f} s ({cpu:.1f} s of CPU), peak {peak:6.1f} MB", flush=True)
        print(f"difference: {peaks[1] - peaks[0]:.1f} MB")
        without, looking = (
            run("upsert", path, "--sandbox", "--dry-run", "--phone-conflict", rule)[1:]
            for rule in ("allow", "second-pass")
        )
        more = looking[0] - without[0]
        rate = options.rows / more if more > 0 else float("inf")
        print(f"looking for shared phones: {more:.1f} s of CPU more ({rate:,.0f} rows a second)")
        print(f"  peak of checking {without[1]:.1f} MB, with that look {looking[1]:.1f} MB")


main()
