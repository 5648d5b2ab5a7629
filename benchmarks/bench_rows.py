"""Rows a second of reading a file, and of reading, mapping and checking it; peak memory of each format.

Measure: CPU time of this process for a whole pass over a CSV, best of several, without and with a phone column, over
that of Python's csv.reader; beside it DuckDB and pandas (where installed), which read the same file as text. Then, for
every format that is read as a stream, the peak resident size of a fresh process that reads few rows, of one that reads
many, and the difference.

    python benchmarks/bench_rows.py [--rows 200000] [--few 10000] [--many 1000000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from machine import describe

from leadconnector_async import ContactUpsert
from leadconnector_async.migration.mapping.rows import RowFile
from leadconnector_async.migration.tables import open_table

COLUMNS = ["Email", "First Name", "Last Name", "City", "State/Region", "Zip", "Country", "Company", "Tags", "Notes"]
FORMATS = ("csv", "csv.gz", "jsonl", "json", "parquet")


def people(count: int, *, has_phone: bool) -> Iterator[list[str]]:
    """Yield rows as an export of a CRM has them: letters beyond ASCII, empty cells, quotes."""
    for number in range(count):
        row = [f"person{number}@example{number % 50}.com", "Zoë" if number % 7 == 0 else "Ann", f"Berg{number}"]
        row += ["Köln" if number % 3 else "Boston", "MA", f"{number % 99999:05}", "US", f"Acme {number % 900}, Inc."]
        row += ["vip, lead" if number % 2 else "", "Called twice; wants a quote" if number % 4 == 0 else ""]
        yield [*row, f"+1617555{number % 10000:04}"] if has_phone else row


def write(path: Path, count: int, *, has_phone: bool = False) -> None:
    """Write a file of any of the formats."""
    header = [*COLUMNS, "Phone"] if has_phone else COLUMNS
    rows = people(count, has_phone=has_phone)
    if path.name.endswith(".parquet"):
        import duckdb

        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "people.csv", count)
            with duckdb.connect() as connection:
                source = f"read_csv('{folder}/people.csv', all_varchar = true)"
                connection.execute(f"COPY (FROM {source}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 20000)")
        return
    packed = path.suffix == ".gz"
    with gzip.open(path, "wt", 1, "utf-8") if packed else path.open("w", encoding="utf-8", newline="") as file:
        if ".json" not in path.name:
            csv.writer(file).writerows(chain([header], rows))
            return
        is_array = path.suffix == ".json"
        for number, row in enumerate(rows):
            file.write(("[" if number == 0 else ",") if is_array else "")
            file.write(json.dumps(dict(zip(header, row, strict=True))) + "\n")
        file.write("]" if is_array else "")


def read_by_csv(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def read(path: Path) -> int:
    return sum(len(record.cells) > 0 for record in open_table(path).rows())


def read_and_map(path: Path) -> int:
    return sum(isinstance(row.contact, ContactUpsert) for row in RowFile(open_table(path)).rows())


def read_by_duckdb(path: Path) -> int:
    import duckdb

    with duckdb.connect(config={"threads": "1"}) as connection:
        rows = connection.execute(f"FROM read_csv('{path}', all_varchar = true)")
        count = 0
        while chunk := rows.fetchmany(1000):
            count += len(chunk)
    return count


def read_by_pandas(path: Path) -> int:
    import pandas

    count = 0
    for chunk in pandas.read_csv(path, dtype=str, keep_default_na=False, chunksize=10_000):
        count += sum(1 for _ in chunk.itertuples(index=False, name=None))
    return count


def rows_a_second(work: Callable[[Path], int], path: Path, count: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        assert work(path) == count, work
        best = min(best, time.process_time() - began)
    return count / best


def peak_of(path: Path) -> float:
    """Return the peak size in MB of a fresh process that reads a file and makes contacts of it."""
    command = [sys.executable, __file__, "--peak", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare_speed(folder: Path, count: int, rounds: int) -> None:
    print(f"CSV of {count:,} rows, rows a second of one core:")
    works: dict[str, Callable[[Path], int]] = {"csv.reader": read_by_csv, "read": read}
    works |= {"read, map and check": read_and_map}
    works |= {"DuckDB, as tuples of text": read_by_duckdb} if find_spec("duckdb") else {}
    works |= {"pandas, as tuples of text": read_by_pandas} if find_spec("pandas") else {}
    paths = {"without phones": folder / "plain.csv", "with phones": folder / "phones.csv"}
    for name, path in paths.items():
        write(path, count, has_phone=name == "with phones")
    of_csv: dict[str, float] = {}
    for what, work in works.items():
        found = []
        for name, path in paths.items():
            speed = rows_a_second(work, path, count, rounds)
            times = of_csv.setdefault(name, speed) / speed
            found.append(f"{speed:9,.0f} {name} ({times:.1f} times the time of csv.reader)")
        print(f"  {what:28}{', '.join(found)}", flush=True)


def compare_memory(folder: Path, few: int, many: int) -> None:
    print(f"Peak memory of reading and mapping {few:,} and {many:,} rows:")
    for kind in FORMATS:
        if kind == "parquet" and not find_spec("duckdb"):
            continue
        peaks = []
        for count in (few, many):
            path = folder / f"people.{kind}"
            write(path, count)
            peaks.append(peak_of(path))
            path.unlink()
        print(f"  {kind:10}{peaks[0]:7.1f} MB {peaks[1]:7.1f} MB, difference {peaks[1] - peaks[0]:6.1f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        read_and_map(options.peak)
        # Not ru_maxrss, which begins with the size of the process that started this one.
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        print(int(peak) / 1024)
        return
    print(describe("duckdb", "pandas"))
    with tempfile.TemporaryDirectory() as folder:
        compare_speed(Path(folder), options.rows, options.rounds)
        compare_memory(Path(folder), options.few, options.many)


main()
